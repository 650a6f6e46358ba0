//! Another program on a port of its own: HAProxy or nginx, where they are installed.

use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};

use super::port::Port;
use super::wait::eventually;

/// A running HAProxy or nginx; it ends with this value.
pub struct Peer {
    child: Child,
    port: Port,
    _folder: tempfile::TempDir,
}

impl Peer {
    /// In the text `{listen}` becomes a free address and `{folder}` a folder of its own. `None` when the program
    /// is not installed and need not be.
    pub fn start(name: &str, arguments: &[&str], text: &str) -> Option<Self> {
        let (port, folder) = (Port::v4(), tempfile::tempdir().unwrap());
        let config = folder.path().join("config");
        let text = text
            .replace("{listen}", &port.address.to_string())
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
        let quiet = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut peer = Self {
            child: quiet.spawn().unwrap(),
            port,
            _folder: folder,
        };
        let mut missing = false;
        eventually(&format!("{name} listens"), || {
            let ended = peer.child.try_wait().unwrap();
            missing = ended.is_some_and(|status| status.code() == Some(127));
            (missing || TcpStream::connect(peer.address()).is_ok()).then_some(())
        });
        if missing {
            super::without_peer(name);
        }
        (!missing).then_some(peer)
    }

    pub fn address(&self) -> SocketAddr {
        self.port.address
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
