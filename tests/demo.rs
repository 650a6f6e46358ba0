//! `ringbolt demo` as a newcomer meets it: the page, a session that moves, Ctrl-C.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests"
)]

#[macro_use]
mod support;

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use support::{Conn, eventually, ringbolt};

#[test]
fn the_page_comes_from_the_server_that_its_cookie_names() {
    let demo = Demo::start();
    let first = Conn::connect(demo.page).get("/");
    assert_eq!(first.status(), 200);
    assert!(
        first.text().starts_with("<!doctype html>"),
        "{}",
        first.text()
    );
    let key = first.set_cookie("SERVERID").unwrap();
    let name = page_from(&first.text());
    assert_eq!(key, key_of(&name));
    for _ in 0..4 {
        let again = Conn::connect(demo.page).get_with("/", &cookie(&key));
        assert_eq!(
            (page_from(&again.text()), again.set_cookie("SERVERID")),
            (name.clone(), None)
        );
    }
    let next = Conn::connect(demo.page).get("/");
    assert_ne!(
        page_from(&next.text()),
        name,
        "round robin, so a new browser gets the other"
    );
}

#[test]
fn a_killed_server_breaks_the_line_and_the_session_moves_with_a_new_cookie() {
    let demo = Demo::start();
    let (mut line, answer) = demo.make_fast("");
    let hello = line.hears();
    let key = answer.set_cookie("SERVERID").unwrap();
    let name = hello["server"].as_str().unwrap().to_owned();
    assert_eq!(
        (hello["kind"].as_str(), key.as_str()),
        (Some("hello"), key_of(&name))
    );
    assert_eq!(hello["cookie"], Value::Null, "the servers never see it");
    line.say("ahoy");
    let echo = line.hears();
    assert_eq!(
        (&echo["server"], &echo["text"]),
        (&hello["server"], &Value::from("ahoy"))
    );
    assert_eq!(echo["memory"], 1);

    demo.press("kill", &name);
    line.expect_closed();
    // Until we end our side too, the tunnel is half open and counts.
    drop(line);
    // With the old cookie, as the browser does.
    let (mut moved, answer) = demo.make_fast(&key);
    let other = moved.hears()["server"].as_str().unwrap().to_owned();
    assert_ne!(other, name);
    assert_eq!(
        answer.set_cookie("SERVERID").as_deref(),
        Some(key_of(&other))
    );

    // Ringbolt's own view of it, which the page shows.
    eventually(
        "the checks see the death, and the tunnel counts where it is",
        || {
            let state = demo.json("/demo/state");
            let seen = |server: &str| {
                let all = state.as_array().unwrap();
                all.iter().find(|one| one["name"] == server).unwrap()["seen"].clone()
            };
            let (dead, alive) = (seen(&name), seen(&other));
            let moved = dead["state"] == "down" && dead["tunnels"] == 0;
            (moved && alive["state"] == "up" && alive["tunnels"] == 1).then_some(())
        },
    );

    // Revived, it gets this session back only by its cookie.
    demo.press("revive", &name);
    let (mut stays, answer) = demo.make_fast(key_of(&other));
    assert_eq!(stays.hears()["server"], other.as_str());
    assert_eq!(answer.set_cookie("SERVERID"), None);
    eventually(
        "a client with the old cookie is back on the revived server",
        || {
            let (mut back, _) = demo.make_fast(&key);
            let hello = back.hears();
            (hello["server"] == name.as_str() && hello["memory"] == 0).then_some(())
        },
    );
}

#[test]
fn foreign_pages_cannot_press_the_buttons() {
    let demo = Demo::start();
    let post = |target: &str, lines: &str| {
        let request =
            format!("POST {target} HTTP/1.1\r\nHost: x\r\n{lines}Content-Length: 0\r\n\r\n");
        Conn::connect(demo.page).request(&request).status()
    };
    assert_eq!(post("/demo/kill/node1", ""), 403);
    assert_eq!(post("/demo/kill/node3", "X-Demo: 1\r\n"), 404);
    let state = demo.json("/demo/state");
    assert_eq!(
        (&state[0]["alive"], &state[1]["alive"]),
        (&true.into(), &true.into())
    );
}

#[test]
fn the_curious_see_the_configuration_and_the_access_log() {
    let demo = Demo::start();
    let config = Conn::connect(demo.page).get("/demo/config").text();
    assert!(config.contains("cookie = \"SERVERID\""), "{config}");
    let copy = demo.folder.path().join("copy.toml");
    std::fs::write(&copy, config).unwrap();
    let checked = ringbolt().arg("check").arg(&copy).output().unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
    Conn::connect(demo.page).get("/?look-at-me");
    let log = eventually("the request is in the log", || {
        let log = Conn::connect(demo.page).get("/demo/log").text();
        log.contains("GET /?look-at-me HTTP/1.1").then_some(log)
    });
    assert!(!log.contains("/demo/"), "{log}");
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    let mut demo = Demo::start();
    let (mut line, _) = demo.make_fast("");
    line.hears();
    let state = demo.json("/demo/state");
    let node: SocketAddr = state[0]["address"].as_str().unwrap().parse().unwrap();
    assert!(
        processes_with(&demo.mark()).len() >= 2,
        "the demo and its proxy"
    );

    let status = demo.end_with(Signal::INT);
    assert!(status.success(), "{status}: {}", demo.complaints());
    line.expect_closed();
    assert_eq!(std::fs::read_dir(demo.folder.path()).unwrap().count(), 0);
    for address in [demo.page, node] {
        assert!(
            TcpStream::connect(address).is_err(),
            "somebody still listens on {address}"
        );
    }
    assert_eventually!(processes_with(&demo.mark()).is_empty());
}

#[test]
fn a_proxy_that_dies_ends_the_demo() {
    let mut demo = Demo::start();
    let proxy = children_of(demo.child.id())[0];
    kill_process(pid(proxy), Signal::TERM).unwrap();
    let status = demo.child.wait().unwrap();
    assert!(!status.success());
    assert!(demo.complaints().contains("the proxy ended by itself"));
    assert_eq!(std::fs::read_dir(demo.folder.path()).unwrap().count(), 0);
}

#[test]
fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let ended = ringbolt()
        .args(["demo", "--port", &port.to_string()])
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(3));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.contains(&format!("port {port} is taken")), "{said}");
}

/// A running `ringbolt demo` with a temporary folder of its own; killed with this value.
struct Demo {
    child: Child,
    page: SocketAddr,
    folder: tempfile::TempDir,
}

impl Demo {
    /// Starts it on a free port and waits until it says where its page is.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut child = ringbolt()
            .args(["demo", "--port", "0"])
            .env("TMPDIR", folder.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let page = lines.map_while(Result::ok).find_map(|line| {
            let address = line.split_once("http://")?.1;
            Some(address.trim_end_matches('/').parse().unwrap())
        });
        let Some(page) = page else {
            let ended = child.wait_with_output().unwrap();
            panic!(
                "the demo did not start: {}",
                String::from_utf8_lossy(&ended.stderr)
            );
        };
        Self {
            child,
            page,
            folder,
        }
    }

    /// A WebSocket through the proxy, with this cookie if any.
    fn make_fast(&self, key: &str) -> (Conn, support::Message) {
        let mut line = Conn::connect(self.page);
        let cookie = if key.is_empty() {
            String::new()
        } else {
            cookie(key)
        };
        line.send(support::handshake_with("/ws?session=test", &cookie));
        let answer = line.read_response();
        assert_eq!(answer.status(), 101, "{}", answer.head);
        (line, answer)
    }

    fn press(&self, what: &str, name: &str) {
        let answer = Conn::connect(self.page).request(&format!(
            "POST /demo/{what}/{name} HTTP/1.1\r\nHost: x\r\nX-Demo: 1\r\nContent-Length: 0\r\n\r\n"
        ));
        assert_eq!(answer.status(), 200, "{}", answer.text());
    }

    fn json(&self, target: &str) -> Value {
        serde_json::from_str(&Conn::connect(self.page).get(target).text()).unwrap()
    }

    fn end_with(&mut self, signal: Signal) -> ExitStatus {
        kill_process(pid(self.child.id()), signal).unwrap();
        eventually("the demo ends", || self.child.try_wait().unwrap())
    }

    /// All it wrote to standard error; only once it has ended.
    fn complaints(&mut self) -> String {
        let mut text = String::new();
        self.child
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        text
    }

    /// What its processes, and no others, have in their environment.
    fn mark(&self) -> String {
        format!("TMPDIR={}", self.folder.path().display())
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = kill_process(pid(self.child.id()), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// The demo's servers speak JSON.
trait Hears {
    fn hears(&mut self) -> Value;
}

impl Hears for Conn {
    fn hears(&mut self) -> Value {
        serde_json::from_slice(&self.read_frame().payload).unwrap()
    }
}

fn cookie(key: &str) -> String {
    format!("Cookie: SERVERID={key}\r\n")
}

fn key_of(name: &str) -> &'static str {
    match name {
        "node1" => "bridge1",
        "node2" => "bridge2",
        _ => panic!("no server {name}"),
    }
}

/// Which server wrote its name into the page.
fn page_from(page: &str) -> String {
    let rest = page.split_once("data-page-from=\"").unwrap().1;
    rest.split('"').next().unwrap().to_owned()
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(id.try_into().unwrap()).unwrap()
}

fn all_processes() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
}

fn processes_with(mark: &str) -> Vec<u32> {
    let has = |process: &u32| {
        let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == mark.as_bytes())
    };
    all_processes().filter(has).collect()
}

fn children_of(parent: u32) -> Vec<u32> {
    let is_child = |process: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        after_name.split_whitespace().nth(1) == Some(parent.to_string().as_str())
    };
    all_processes().filter(is_child).collect()
}

/// Where the page is comes first, on the terminal that both streams go to, and then what the proxy has to say.
#[test]
fn the_address_is_what_is_said_first() {
    let folder = tempfile::tempdir().unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    let mut child = ringbolt()
        .args(["demo", "--port", "0"])
        .env("TMPDIR", folder.path())
        .stdout(writer.try_clone().unwrap())
        .stderr(writer)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(reader).lines().map_while(Result::ok);
    let first: Vec<String> = lines.by_ref().take(3).collect();
    assert!(first[2].contains("http://127.0.0.1:"), "{first:?}");
    let later = lines.find(|line| line.contains("ringbolt: ready"));
    assert!(later.is_some(), "the proxy's own lines follow");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert!(child.wait().unwrap().success());
}
