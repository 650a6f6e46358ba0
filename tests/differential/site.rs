//! A proxy of each kind before a recorder of its own, and a client that tells what it was answered.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::reading::Reading;
use super::recorder::Recorder;
use super::support::{Driver, Port, Proxy, Setup, eventually};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Ringbolt,
    Haproxy,
    Nginx,
}

impl Program {
    /// Ringbolt first.
    pub const ALL: [Self; 3] = [Self::Ringbolt, Self::Haproxy, Self::Nginx];
}

impl fmt::Display for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ringbolt => "Ringbolt",
            Self::Haproxy => "HAProxy",
            Self::Nginx => "nginx",
        })
    }
}

/// What became of some bytes.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Of the first final response; `None` when there was none.
    pub status: Option<u16>,
    /// Requests that arrived whole.
    pub arrived: Vec<Reading>,
    /// Why a strict reading refuses what arrived.
    pub misread: Option<String>,
}

impl Outcome {
    pub fn is_refused(&self) -> bool {
        self.status.is_none_or(|status| status >= 400)
    }

    pub fn has_arrived(&self) -> bool {
        !self.arrived.is_empty()
    }

    pub fn is_passed(&self) -> bool {
        !self.is_refused() && self.has_arrived() && self.misread.is_none()
    }

    /// What two readers must agree on.
    pub fn framing(&self) -> &[Reading] {
        &self.arrived
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(formatter, "{status}")?,
            None => formatter.write_str("silence")?,
        }
        for request in &self.arrived {
            write!(formatter, " {:.12}+{}", request.method, request.body.len())?;
        }
        if self.misread.is_some() {
            formatter.write_str(" misread")?;
        }
        Ok(())
    }
}

/// A running proxy; it ends with this value.
pub struct Site {
    pub program: Program,
    recorder: Recorder,
    address: SocketAddr,
    _running: Running,
}

enum Running {
    Ours {
        _proxy: Proxy,
    },
    Peer {
        child: Child,
        _port: Port,
        _folder: tempfile::TempDir,
    },
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::Peer { child, .. } = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Site {
    /// `None` when a peer is not installed.
    pub fn start(program: Program) -> Option<Self> {
        let recorder = Recorder::start();
        let (running, address) = match program {
            Program::Ringbolt => ringbolt(&recorder),
            Program::Haproxy => peer("haproxy", HAPROXY, &["-db", "-f"], &recorder)?,
            Program::Nginx => peer("nginx", NGINX, &["-c"], &recorder)?,
        };
        Some(Self {
            program,
            recorder,
            address,
            _running: running,
        })
    }

    pub fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    pub fn try_out(&self, bytes: &[u8], quiet: Duration) -> Outcome {
        self.try_on(self.connect(), bytes, quiet)
    }

    /// Sends these bytes and waits for what becomes of them.
    pub fn try_on(&self, mut stream: TcpStream, bytes: &[u8], quiet: Duration) -> Outcome {
        let mark = self.recorder.mark();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        let _ = stream.write_all(bytes);
        let status = answer(&mut stream, quiet);
        drop(stream);
        let arrivals = self.recorder.since(mark);
        let misread = arrivals.iter().find_map(|arrival| arrival.misread.clone());
        Outcome {
            status,
            arrived: arrivals
                .into_iter()
                .flat_map(|arrival| arrival.requests)
                .collect(),
            misread,
        }
    }
}

/// How long a proxy may be silent.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Reads until the stream ends or rests after a final response, whose status this is.
fn answer(stream: &mut TcpStream, quiet: Duration) -> Option<u16> {
    let deadline = Instant::now() + PATIENCE;
    let (mut held, mut room) = (Vec::new(), [0; 16_384]);
    while Instant::now() < deadline {
        let wait = if status(&held).is_some() {
            quiet
        } else {
            deadline - Instant::now()
        };
        stream
            .set_read_timeout(Some(wait.max(Duration::from_millis(1))))
            .unwrap();
        match stream.read(&mut room) {
            Ok(count) if count > 0 => held.extend_from_slice(&room[..count]),
            _ => break,
        }
    }
    status(&held)
}

/// The status of the first response that is not 1xx.
fn status(mut bytes: &[u8]) -> Option<u16> {
    loop {
        let text = bytes.get(9..12)?;
        let status: u16 = std::str::from_utf8(text).ok()?.parse().ok()?;
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        if status >= 200 || status == 101 {
            return Some(status);
        }
        bytes = &bytes[end + 4..];
    }
}

// === The programs, with equal limits ===

fn ringbolt(recorder: &Recorder) -> (Running, SocketAddr) {
    let setup = Setup::new(Driver::Ring).limits("head_size = \"16KiB\"\nheaders = 100");
    let proxy = setup.server_at("recorder", &recorder.address(), "").start();
    let address = proxy.address();
    (Running::Ours { _proxy: proxy }, address)
}

fn peer(
    name: &str,
    text: &str,
    arguments: &[&str],
    recorder: &Recorder,
) -> Option<(Running, SocketAddr)> {
    let port = Port::v4();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    let text = text
        .replace("{listen}", &port.address.to_string())
        .replace("{server}", &recorder.address())
        .replace("{folder}", folder.path().to_str().unwrap());
    std::fs::write(&config, text).unwrap();
    // Debian keeps them where only root's path leads.
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("env");
    command
        .arg(format!("PATH={path}"))
        .arg(name)
        .args(arguments)
        .arg(&config);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut missing = false;
    eventually(&format!("{name} listens"), || {
        missing = child
            .try_wait()
            .unwrap()
            .is_some_and(|status| status.code() == Some(127));
        (missing || TcpStream::connect(port.address).is_ok()).then_some(())
    });
    if missing {
        let required = std::env::var("DIFFERENTIAL_PEERS").is_ok_and(|value| value == "required");
        assert!(!required, "{name} is not installed");
        eprintln!("differential: without {name}, which is not installed");
        return None;
    }
    let address = port.address;
    let running = Running::Peer {
        child,
        _port: port,
        _folder: folder,
    };
    Some((running, address))
}

/// What HAProxy keeps for rewriting (`maxrewrite`) is not free for a head.
const HAPROXY: &str = "
global
  maxconn 100
  nbthread 1
  tune.bufsize 17408
  tune.maxrewrite 1024
  tune.http.maxhdr 100
defaults
  mode http
  timeout client 2s
  timeout server 2s
  timeout connect 1s
  timeout http-request 2s
frontend in
  bind {listen}
  default_backend out
backend out
  server recorder {server}
";

/// This nginx has no setting for the number of fields; a line may take the whole head.
const NGINX: &str = "
daemon off;
master_process off;
pid {folder}/pid;
error_log /dev/null;
events { worker_connections 100; }
http {
  access_log off;
  client_header_timeout 2s;
  client_body_timeout 2s;
  client_header_buffer_size 16k;
  large_client_header_buffers 1 16k;
  client_max_body_size 0;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {
    listen {listen} reuseport;
    location / {
      proxy_pass http://{server};
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
    }
  }
}
";
