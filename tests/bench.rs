//! `ringbolt bench`: its tunnels through the proxy, and its own server behind it.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use support::{Driver, Port, Proxy, Server, Setup, ringbolt};

/// `ringbolt bench serve`, ended with the test.
struct Echo {
    process: Child,
    port: Port,
}

impl Echo {
    fn start() -> Self {
        let port = Port::v4();
        let mut process = ringbolt()
            .args(["bench", "serve", &port.address.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let out = process.stdout.as_mut().unwrap();
        BufReader::new(out).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n");
        Self { process, port }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The exit code, and the report or what was said instead.
fn bench(proxy: &Proxy, work: &str) -> (i32, serde_json::Value, String) {
    let mut words = work.split(' ');
    let output = ringbolt()
        .args(["bench", words.next().unwrap()])
        .arg(format!("ws://{}/a?b", proxy.address()))
        .args(words)
        .args([
            "--tunnels",
            "8",
            "--warm-up",
            "0.1",
            "--seconds",
            "0.3",
            "--json",
        ])
        .output()
        .unwrap();
    let report = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let complaint = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), report, complaint)
}

#[test]
fn tunnels_are_opened_measured_and_counted() {
    let echo = Echo::start();
    let proxy = Setup::new(Driver::Ring)
        .server_at("echo", &echo.port.address.to_string(), "")
        .start();
    for work in [
        "ping",
        "ping --size 16384",
        "ping --active 2 --rate 200",
        "flood --size 70000 --window 4",
        "open",
        "open --rate 50",
        "idle",
    ] {
        let (code, report, complaint) = bench(&proxy, work);
        assert_eq!((code, complaint.as_str()), (0, ""), "{work}");
        let number = |name: &str| report[name].as_f64().unwrap();
        assert!(
            number("units") > 0.0 && number("errors") == 0.0,
            "{work}: {report}"
        );
        if work.contains("--rate 200") {
            assert!(number("units") <= 100.0, "a rate is a rate: {report}");
        }
        if work == "idle" {
            assert_eq!(number("units"), 8.0);
        }
    }
    let lines = proxy.access_lines("GET /a?b", 8);
    assert!(lines.iter().all(|line| line.status == 101));
}

#[test]
fn what_cannot_be_measured_is_said() {
    let silent = Server::tunnel(|conn| drop(conn.read_to_end()));
    let proxy = Proxy::before(Driver::Ring, &[&silent]);
    let (code, _, complaint) = bench(&proxy, "ping");
    assert_eq!(code, 3);
    assert!(complaint.contains("ringbolt bench serve"), "{complaint}");
    let (code, _, complaint) = bench(&proxy, "ping --rate 0");
    assert_eq!(code, 2, "{complaint}");
    drop(proxy);
    let plain = Server::named("plain");
    let proxy = Proxy::before(Driver::Ring, &[&plain]);
    let (code, _, complaint) = bench(&proxy, "open");
    assert_eq!(code, 3);
    assert!(complaint.contains("no tunnel: HTTP/1.1 "), "{complaint}");
}
