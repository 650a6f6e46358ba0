//! A server in a process of its own.

use rustix::process::{Pid, Signal, kill_process};

use super::proxy::Proxy;
use super::server::Server;
use super::setup::Setup;
use super::wait::eventually;

/// A server in a process of its own, which can be stopped.
pub struct Process {
    child: std::process::Child,
    /// Kept open: the test harness in there says something once a minute.
    _out: std::io::BufReader<std::process::ChildStdout>,
    address: String,
}

impl Process {
    /// This test program again, of which only the test `server_process` runs: it calls [`Process::serve`].
    pub fn start(backlog: i32) -> Self {
        use std::io::{BufRead as _, Read as _};
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "server_process", "--nocapture"])
            .env("SERVER_PROCESS", backlog.to_string())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut out = std::io::BufReader::new(child.stdout.take().unwrap());
        let address = out
            .by_ref()
            .lines()
            .find_map(|line| Some(line.unwrap().split_once("serves ")?.1.to_owned()));
        Self {
            child,
            _out: out,
            address: address.unwrap(),
        }
    }

    /// What the other process does; nothing in any other.
    pub fn serve() {
        let Ok(backlog) = std::env::var("SERVER_PROCESS") else {
            return;
        };
        let server = Server::websocket_with_backlog("one", backlog.parse().unwrap());
        println!("serves {}", server.address());
        loop {
            std::thread::park();
        }
    }

    pub fn address(&self) -> &str {
        &self.address
    }

    fn send(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it, and waits until each of its threads is.
    pub fn stop(&self) {
        self.send(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.child.id());
        let stopped = || {
            std::fs::read_dir(&tasks).unwrap().all(|task| {
                let stat = std::fs::read_to_string(task.unwrap().path().join("stat"));
                stat.is_ok_and(|stat| stat.contains(") T "))
            })
        };
        eventually("the server is stopped", || stopped().then_some(()));
    }

    pub fn resume(&self) {
        self.send(Signal::CONT);
    }

    pub fn before(&self, setup: Setup) -> Proxy {
        setup.server_at("one", &self.address, "").start()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
