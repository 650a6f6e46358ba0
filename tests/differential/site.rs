//! A proxy of each kind before a server, with equal limits: 16 KiB of head both ways, 100 fields where the program can
//! count them, no bound on a body.

use std::fmt;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use super::support::{self, Driver, Port, Proxy, Setup, eventually};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Program {
    Ringbolt(Driver),
    Haproxy,
    Nginx,
}

impl Program {
    /// Ringbolt first.
    pub const ALL: [Self; 4] = [
        Self::Ringbolt(Driver::Ring),
        Self::Ringbolt(Driver::Epoll),
        Self::Haproxy,
        Self::Nginx,
    ];

    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Ringbolt(_))
    }
}

impl fmt::Display for Program {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Ringbolt(Driver::Ring) => "Ringbolt",
            Self::Ringbolt(Driver::Epoll) => "Ringbolt/epoll",
            Self::Haproxy => "HAProxy",
            Self::Nginx => "nginx",
        })
    }
}

/// A running proxy; it ends with this value.
pub struct Site {
    pub program: Program,
    pub address: SocketAddr,
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
    pub fn start(program: Program, server: &str) -> Option<Self> {
        let (running, address) = match program {
            Program::Ringbolt(driver) => ringbolt(driver, server),
            Program::Haproxy => peer("haproxy", HAPROXY, &["-db", "-f"], server)?,
            Program::Nginx => peer("nginx", NGINX, &["-c"], server)?,
        };
        Some(Self {
            program,
            address,
            _running: running,
        })
    }
}

// === The programs, with equal limits ===

fn ringbolt(driver: Driver, server: &str) -> (Running, SocketAddr) {
    let setup = Setup::new(driver).limits("head_size = \"16KiB\"\nheaders = 100");
    let proxy = setup.server_at("server", server, "").start();
    let address = proxy.address();
    (Running::Ours { _proxy: proxy }, address)
}

fn peer(name: &str, text: &str, arguments: &[&str], server: &str) -> Option<(Running, SocketAddr)> {
    let port = Port::v4();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config");
    let text = text
        .replace("{listen}", &port.address.to_string())
        .replace("{server}", server)
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
        support::without_peer(name);
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

/// What HAProxy keeps for rewriting (`maxrewrite`) is not free for a head, of either side.
const HAPROXY: &str = "
global
  maxconn 1000
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
  server server {server}
";

/// This nginx has no setting for the number of fields; a line may take the whole head. The first buffer for an answer
/// holds its head.
const NGINX: &str = "
daemon off;
master_process off;
pid {folder}/pid;
error_log /dev/null;
events { worker_connections 1000; }
http {
  access_log off;
  client_header_timeout 2s;
  client_body_timeout 2s;
  client_header_buffer_size 16k;
  large_client_header_buffers 1 16k;
  client_max_body_size 0;
  proxy_buffer_size 16k;
  proxy_buffers 8 16k;
  proxy_next_upstream off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  map $http_upgrade $option {
    '' close;
    default upgrade;
  }
  server {
    listen {listen} reuseport;
    location / {
      proxy_pass http://{server};
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $option;
    }
  }
}
";
