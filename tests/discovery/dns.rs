//! A real DNS server on loopback: dnsmasq, of Debian's package dnsmasq-base.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::support::{Port, eventually};
use rustix::process::{Pid, Signal, kill_process};

/// A running dnsmasq that knows names below `example` and no others; it ends with this value.
pub(crate) struct Dns {
    port: Port,
    folder: tempfile::TempDir,
    options: String,
    child: Option<Child>,
}

impl Dns {
    /// Knows these addresses of names, a line of `/etc/hosts` each, with a TTL of one second.
    pub(crate) fn start(hosts: &str) -> Self {
        Self::start_with(hosts, "local-ttl=1\n")
    }

    /// With these lines in its configuration.
    pub(crate) fn start_with(hosts: &str, options: &str) -> Self {
        let mut dns = Self {
            port: Port::v4(),
            folder: tempfile::tempdir().unwrap(),
            options: options.to_owned(),
            child: None,
        };
        dns.write(hosts);
        dns.run();
        dns
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.port.address
    }

    /// The table of the configuration that makes a proxy ask it, and, unless `lines` say otherwise, nothing of this machine's own.
    pub(crate) fn resolver(&self, lines: &str) -> String {
        let address = self.address();
        let mut table = format!("[resolver]\nservers = [\"{address}\"]\n{lines}\n");
        for (setting, value) in [("search", "[]"), ("hosts", "false")] {
            if !lines.contains(setting) {
                table.push_str(&format!("{setting} = {value}\n"));
            }
        }
        table
    }

    /// From now on it knows these.
    pub(crate) fn change(&self, hosts: &str) {
        self.write(hosts);
        let child = self.child.as_ref().unwrap();
        kill_process(Pid::from_child(child), Signal::HUP).unwrap();
    }

    /// Ends; nobody answers at its address any more.
    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// The same with other lines in its configuration.
    pub(crate) fn restart_with(&mut self, options: &str) {
        self.stop();
        options.clone_into(&mut self.options);
        self.run();
    }

    /// Answers again.
    pub(crate) fn run(&mut self) {
        let folder = self.folder.path().display();
        let mut text = format!(
            "port={}\nlisten-address=127.0.0.1\nbind-interfaces\nno-resolv\nno-hosts\nno-poll\n\
             addn-hosts={folder}/hosts\nlocal=/example/\npid-file={folder}/pid\nlog-facility=-\n{}",
            self.address().port(),
            self.options
        );
        if rustix::process::geteuid().is_root() {
            // As anybody else it could not read the hosts again.
            text.push_str("user=root\n");
        }
        let config = self.folder.path().join("dnsmasq.conf");
        std::fs::write(&config, text).unwrap();
        // A socket of somebody else's question may have its port for a moment.
        self.child = Some(eventually("dnsmasq runs", || {
            let mut child = spawn(&config);
            for _ in 0..400 {
                if child.try_wait().unwrap().is_some() {
                    return None;
                }
                if answers(self.address()) {
                    return Some(child);
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = child.kill();
            let _ = child.wait();
            None
        }));
    }

    fn write(&self, hosts: &str) {
        let path = self.folder.path().join("hosts");
        let next = self.folder.path().join("hosts.next");
        std::fs::write(&next, hosts).unwrap();
        std::fs::rename(next, path).unwrap();
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(config: &Path) -> Child {
    // Debian keeps it where only root's path leads.
    let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("dnsmasq");
    command
        .env("PATH", path)
        .arg("--keep-in-foreground")
        .arg(format!("--conf-file={}", config.display()))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    match command.spawn() {
        Ok(child) => child,
        Err(error) => panic!("dnsmasq does not start (Debian's package is dnsmasq-base): {error}"),
    }
}

/// Whether it answers a question for the name servers of the root.
fn answers(address: SocketAddr) -> bool {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    socket
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let question = [0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1];
    let mut answer = [0; 512];
    socket.send_to(&question, address).is_ok() && socket.recv(&mut answer).is_ok()
}
