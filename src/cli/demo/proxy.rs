//! The proxy of the demo: this same binary as a child, `ringbolt run TEMP/config.toml`.

use std::fmt::Write as _;
use std::io::{self, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{sleep, timeout};

use super::node::Node;

/// The configuration: what a user would write, with checks quick enough to watch.
pub(super) fn config(
    page: SocketAddr,
    nodes: &[Node],
    controller: SocketAddr,
    home: &Path,
) -> String {
    let quoted = |text: String| toml::Value::from(text).to_string();
    let mut text = format!(
        r#"[process]
workers = {workers}
drain_timeout = "1s"

[control]
socket = {socket}

[[log]]                       # every request and every tunnel
target = {log}
format = "httplog"

[[log]]                       # servers up and down
target = "stderr"
level = "notice"

[timeouts]
connect = "1s"
tunnel = "2h"

[stats]
path = "/ringbolt"

[[listener]]
name = "http-in"
bind = "{page}"
default_pool = "chat"

[[route]]                     # the buttons of the page
path_prefix = "/demo/"
pool = "demo"

[pool.chat]
balance = "round-robin"
sticky = {{ cookie = "SERVERID", mode = "insert", indirect = true, nocache = true }}
"#,
        workers = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(2)),
        socket = quoted(home.join(CONTROL).display().to_string()),
        log = quoted(format!("file:{}", home.join(ACCESS_LOG).display())),
    );
    for Node {
        name,
        cookie,
        address,
        ..
    } in nodes
    {
        let _ = write!(
            text,
            r#"
[[pool.chat.server]]
name = "{name}"
address = "{address}"
cookie = "{cookie}"
check = {{ interval = "500ms", rise = 1, fall = 2 }}
"#
        );
    }
    let _ = write!(
        text,
        r#"
[pool.demo]
[[pool.demo.server]]
name = "controller"
address = "{controller}"
"#
    );
    text
}

/// The control socket's name in the demo's folder.
pub(super) const CONTROL: &str = "control.sock";
/// The access log's name in the demo's folder.
pub(super) const ACCESS_LOG: &str = "access.log";

/// The running child.
pub(super) struct Proxy {
    child: Child,
    /// Fires when a child has ended.
    ends: tokio::signal::unix::Signal,
    messages: Arc<Mutex<Messages>>,
}

/// What the proxy writes to standard error.
#[derive(Default)]
struct Messages {
    held: Vec<u8>,
    let_through: bool,
}

impl Messages {
    fn take(&mut self, bytes: &[u8]) {
        self.held.extend_from_slice(bytes);
        if self.let_through {
            let _ = io::stderr().write_all(&self.held);
            self.held.clear();
        }
    }
}

impl Proxy {
    /// Starts it, in a process group of its own, so that the terminal's Ctrl-C reaches us alone and
    /// the end has an order. Its messages go where ours go, once they are let through.
    pub(super) fn start(config: &Path) -> io::Result<Self> {
        let ends = signal(SignalKind::child())?;
        let program = std::env::args_os()
            .next()
            .unwrap_or_else(|| "ringbolt".into());
        let mut child = Command::new(program)
            .arg("run")
            .arg(config)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let messages = Arc::<Mutex<Messages>>::default();
        if let Some(mut stderr) = child.stderr.take() {
            let messages = Arc::clone(&messages);
            // It ends with the proxy.
            std::thread::spawn(move || {
                let mut piece = [0; 4096];
                while let Ok(count @ 1..) = stderr.read(&mut piece) {
                    lock(&messages).take(&piece[..count]);
                }
            });
        }
        Ok(Self {
            child,
            ends,
            messages,
        })
    }

    /// Writes what it has written so far, and from now on what it writes.
    pub(super) fn let_messages_through(&self) {
        let mut messages = lock(&self.messages);
        messages.let_through = true;
        messages.take(b"");
    }

    /// Waits until a request through it is answered.
    pub(super) async fn ready(&mut self, page: SocketAddr) -> Result<(), String> {
        let asking = async {
            while !answers(page).await {
                sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            status = self.ended() => {
                Err(format!("the proxy ended before it was ready ({status}); it says why above"))
            }
            asked = timeout(START, asking) => {
                asked.map_err(|_| format!("the proxy does not answer on {page} after {START:?}"))
            }
        }
    }

    /// Waits until it has ended.
    pub(super) async fn ended(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.child.try_wait().expect("a child of ours") {
                return status;
            }
            self.ends.recv().await;
        }
    }

    /// Asks it to end and waits; kills it when it does not.
    pub(super) async fn stop(mut self) -> Result<(), String> {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        }
        match timeout(STOP, self.ended()).await {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("the proxy ended badly ({status})")),
            Err(_) => {
                let _ = self.child.kill();
                let _ = self.child.wait();
                Err(format!(
                    "the proxy did not end within {STOP:?} and was killed"
                ))
            }
        }
    }
}

fn lock(messages: &Mutex<Messages>) -> MutexGuard<'_, Messages> {
    messages.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the page's address answers a request for the controller's state.
async fn answers(page: SocketAddr) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(page).await?;
        let request =
            format!("GET /demo/state HTTP/1.1\r\nHost: {page}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.take(4096).read_to_end(&mut answer).await?;
        io::Result::Ok(answer.starts_with(b"HTTP/1.1 200 "))
    };
    matches!(timeout(Duration::from_secs(1), ask).await, Ok(Ok(true)))
}

/// How long a start may take.
const START: Duration = Duration::from_secs(10);
/// How long an end may take: the drain timeout and a margin.
const STOP: Duration = Duration::from_secs(5);
