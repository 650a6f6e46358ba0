//! `ringbolt demo`: two small servers, the proxy over them, and a page to watch a session move.
//!
//! Nothing needs to be installed and nothing stays behind. The demo's process carries the two
//! servers (`node`), each on a thread of its own, and the service behind the page's buttons
//! (`controller`); the proxy is a child, started as a user would start it (`proxy`), over a
//! configuration in a temporary folder.

mod controller;
mod node;
mod proxy;

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::control::launcher::EXIT_START;
use controller::Demo;
use node::Node;
use proxy::Proxy;

/// Arguments of `ringbolt demo`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Options {
    /// Port of the page on 127.0.0.1, 0 for any free one [default: 8080 if it is free].
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
}

/// Runs the demo until Ctrl-C; 0 after a clean end, [`EXIT_START`] when it could not start or the
/// proxy died.
pub fn run(options: &Options) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let ended = runtime
        .map_err(|error| format!("no runtime: {error}"))
        .and_then(|runtime| runtime.block_on(demo(options)));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            errln!("ringbolt demo: {problem}");
            ExitCode::from(EXIT_START)
        }
    }
}

async fn demo(options: &Options) -> Result<(), String> {
    let mut leave = Leave::new().map_err(|error| format!("no signal handler: {error}"))?;
    let page = page_address(options.port)?;
    let nodes = start_nodes()
        .await
        .map_err(|error| format!("no server started: {error}"))?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.map_err(|error| format!("no port for the controller: {error}"))?;
    let controller = listener.local_addr().map_err(|error| error.to_string())?;

    let home = Home::new()?;
    let config = proxy::config(page, &nodes, controller, &home.path);
    let config_path = home.path.join("config.toml");
    std::fs::write(&config_path, &config)
        .map_err(|error| format!("cannot write {}: {error}", config_path.display()))?;
    let (control, access_log) = (
        home.path.join(proxy::CONTROL),
        home.path.join(proxy::ACCESS_LOG),
    );
    let demo = Arc::new(Demo {
        nodes,
        config,
        control,
        access_log,
    });
    controller::spawn(listener, Arc::clone(&demo));

    let mut proxy =
        Proxy::start(&config_path).map_err(|error| format!("cannot start the proxy: {error}"))?;
    let ended = tokio::select! {
        ended = show(&mut proxy, page, &home.path) => ended,
        () = leave.asked() => Ok(()),
    };
    proxy.let_messages_through();
    for node in &demo.nodes {
        node.kill().await;
    }
    // A proxy that died has been waited for; stopping it again is harmless.
    let stopped = proxy.stop().await;
    ended.and(stopped)
}

/// Says where the page is once it is there; returns only when the proxy fails.
async fn show(proxy: &mut Proxy, page: SocketAddr, home: &Path) -> Result<(), String> {
    proxy.ready(page).await?;
    // First, where it is looked for; then what the proxy has written meanwhile.
    say(&welcome(page, home));
    proxy.let_messages_through();
    let status = proxy.ended().await;
    Err(format!(
        "the proxy ended by itself ({status}); it says why above"
    ))
}

fn welcome(page: SocketAddr, home: &Path) -> String {
    let home = home.display();
    format!(
        "\
Ringbolt {version}: two servers and a proxy are running.

  Open   http://{page}/

  It shows which server your browser is made fast to. Then try:
   - reload the page: the cookie SERVERID brings you back to the same server
   - open a private window: it has no cookie yet and gets the other one
   - kill your server: the WebSocket breaks and comes back on the other, with a new cookie

  Configuration   {home}/config.toml
  Access log      {home}/{log}

  Ctrl-C ends it all and leaves nothing behind.
",
        version = env!("CARGO_PKG_VERSION"),
        log = proxy::ACCESS_LOG,
    )
}

/// Prints; a reader that has gone away is no reason to end.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

async fn start_nodes() -> io::Result<Vec<Node>> {
    let nodes = vec![
        Node::new("node1", "bridge1")?,
        Node::new("node2", "bridge2")?,
    ];
    for node in &nodes {
        node.revive().await?;
    }
    Ok(nodes)
}

/// Where the page will be: the port asked for, or 8080, or a free one.
fn page_address(asked: Option<u16>) -> Result<SocketAddr, String> {
    let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let free = |port| {
        // Only a listening socket finds out whether another one listens there.
        let socket = node::bind(at(port))?;
        socket.listen(1)?;
        socket
            .local_addr()
            .map(|address| address.as_socket().unwrap_or_else(|| at(port)))
    };
    let Some(port) = asked else {
        return free(8080)
            .or_else(|_| free(0))
            .map_err(|error| format!("no free port: {error}"));
    };
    free(port).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "port {port} is taken by another program: choose another with --port, or leave --port out"
        ),
        io::ErrorKind::PermissionDenied => {
            format!("port {port} needs privileges: choose one from 1024 on")
        }
        _ => format!("cannot listen on {}: {error}", at(port)),
    })
}

/// A folder of ours alone, removed at the end.
struct Home {
    path: PathBuf,
}

impl Home {
    fn new() -> Result<Self, String> {
        let path = std::env::temp_dir().join(format!("ringbolt-demo-{}", std::process::id()));
        let made = std::fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| format!("cannot create {}: {error}", path.display()))?;
        Ok(Self { path })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            errln!(
                "ringbolt demo: cannot remove {}: {error}",
                self.path.display()
            );
        }
    }
}

/// The ways to be asked to leave: Ctrl-C, SIGTERM, and the terminal's end.
struct Leave {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Leave {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_refused_when_asked_for_and_avoided_otherwise() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = taken.local_addr().expect("bound").port();
        let problem = page_address(Some(port)).expect_err("taken");
        assert!(
            problem.contains(&format!("port {port} is taken")),
            "{problem}"
        );
        assert_ne!(page_address(None).expect("any port").port(), port);
    }

    #[test]
    fn the_folder_is_ours_alone_and_goes() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = Home::new().expect("a temporary folder");
        let path = home.path.clone();
        let mode = std::fs::metadata(&path)
            .expect("it is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
        drop(home);
        assert!(!path.exists());
    }
}
