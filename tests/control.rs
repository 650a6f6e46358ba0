//! Looking in and steering from outside: control socket, stats page, notices, reloads, log files.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use base64::Engine as _;
use support::{Conn, Driver, Message, Proxy, Server, Setup, ringbolt};

const STATS: &str = "[stats]\npath = \"/page\"\nusers = { ann = \"plain\", bob = \"sha256:pepper:HASH\" }\nrealm = \"the quay\"\nrefresh = \"9s\"\n";

fn basic(user: &str, password: &str) -> String {
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    format!("Authorization: Basic {pair}\r\n")
}

fn status(proxy: &Proxy) -> serde_json::Value {
    let body = Conn::connect_unix(&proxy.control_socket()).get("/v1/status");
    assert_eq!(body.status(), 200);
    serde_json::from_str(&body.text()).unwrap()
}

fn server_of(status: &serde_json::Value) -> &serde_json::Value {
    &status["pools"][0]["servers"][0]
}

// === The stats page ===

#[test]
fn the_page_is_html_and_json() {
    let server = Server::named("one");
    let stats = STATS.replace("HASH", &sha256(b"peppersecret"));
    let proxy = Setup::new(Driver::Ring)
        .server(&server)
        .more(&stats)
        .start();
    proxy.get("/");
    let mut client = proxy.client();

    let page = client.get_with("/page", &basic("ann", "plain"));
    assert_eq!(page.status(), 200);
    assert_eq!(page.field("Content-Type"), Some("text/html; charset=utf-8"));
    assert_eq!(page.field("Cache-Control"), Some("no-store"));
    assert!(
        page.field("Content-Security-Policy")
            .unwrap()
            .contains("default-src 'none'")
    );
    assert!(
        page.text().contains("content=\"9\""),
        "it loads itself again"
    );
    assert!(
        page.text().contains(env!("CARGO_PKG_VERSION")),
        "a known reader may know it"
    );

    for target in ["/page.json", "/page?format=json"] {
        let json = client.get_with(target, &basic("bob", "secret"));
        assert_eq!(json.status(), 200, "{target}");
        let json: serde_json::Value = serde_json::from_str(&json.text()).unwrap();
        assert_eq!(json["pools"][0]["name"], "app");
        let server = server_of(&json);
        assert_eq!(
            (&server["name"], &server["state"]),
            (&"one".into(), &"up".into())
        );
        assert_eq!(server["requests"], 1);
        assert_eq!(server["responses"][1], 1);
        assert!(server["bytes_out"].as_u64().unwrap() > 0);
    }
    let post = format!(
        "POST /page HTTP/1.1\r\nHost: a\r\n{}Content-Length: 0\r\n\r\n",
        basic("ann", "plain")
    );
    assert_eq!(client.request(&post).status(), 405);
    let head = format!(
        "HEAD /page HTTP/1.1\r\nHost: a\r\n{}\r\n",
        basic("ann", "plain")
    );
    assert_eq!(client.request(&head).status(), 200);
}

#[test]
fn strangers_learn_nothing() {
    let server = Server::named("one");
    let stats = STATS.replace("HASH", &sha256(b"peppersecret"));
    let proxy = Setup::new(Driver::Ring)
        .server(&server)
        .more(&stats)
        .start();
    let mut client = proxy.client();
    let bad = [
        String::new(),
        basic("ann", "wrong"),
        basic("ann", ""),
        basic("bob", "plain"),
        basic("nobody", "plain"),
        basic("bob", &sha256(b"peppersecret")),
        "Authorization: Basic ?\r\n".to_owned(),
        "Authorization: Bearer plain\r\n".to_owned(),
    ];
    for lines in bad {
        for target in ["/page", "/page.json", "/page?format=json"] {
            let answer = client.get_with(target, &lines);
            assert_eq!(answer.status(), 401, "{target} with {lines}");
            assert_eq!(
                answer.field("WWW-Authenticate"),
                Some(r#"Basic realm="the quay", charset="UTF-8""#)
            );
            assert!(!answer.text().contains("one") && !answer.text().contains("0.1"));
        }
    }
    assert_eq!(
        client.get("/pages").server(),
        "one",
        "another path is nobody's page"
    );
}

/// More at once than the control thread has places: nobody holds one beyond an answer.
#[test]
fn many_who_ask_at_once_are_all_answered() {
    let server = Server::named("one");
    let proxy = Setup::new(Driver::Ring)
        .server(&server)
        .process("workers = 2")
        .timeouts("server = \"5s\"")
        .more(&STATS.replace("HASH", &sha256(b"peppersecret")))
        .start();
    let mut clients: Vec<_> = (0..300).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send("GET /page HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let mut statuses = clients
        .iter_mut()
        .map(|client| client.read_response().status());
    let other = statuses.find(|status| *status != 401);
    assert_eq!(other, None);
    // The clients' own connections are kept as ever.
    let answer = clients[0].get_with("/page", &basic("ann", "plain"));
    assert_eq!(answer.status(), 200);
}

#[test]
fn an_open_page_tells_no_version() {
    let server = Server::named("one");
    let proxy = Setup::new(Driver::Ring)
        .server(&server)
        .more("[stats]\n")
        .start();
    let mut client = proxy.client();
    let page = client.get("/ringbolt");
    assert_eq!(page.status(), 200);
    let json = client.get("/ringbolt.json");
    for text in [page.text(), json.text()] {
        assert!(text.contains("app") && text.contains("one"), "{text}");
        assert!(
            !text.contains(concat!("\"", env!("CARGO_PKG_VERSION"))),
            "{text}"
        );
        assert!(!text.contains("io_uring"), "{text}");
    }
}

#[test]
fn a_reload_changes_who_may_look() {
    let server = Server::named("one");
    let setup = |users: &str| {
        Setup::new(Driver::Ring)
            .server(&server)
            .more(&format!("[stats]\nusers = {users}\n"))
    };
    let proxy = setup("{ ann = \"old\" }").start();
    assert_eq!(
        proxy
            .client()
            .get_with("/ringbolt", &basic("ann", "old"))
            .status(),
        200
    );
    proxy.rewrite_config(&setup("{ ann = \"new\" }").text());
    proxy.sighup();
    let with = |password: &str| {
        proxy
            .client()
            .get_with("/ringbolt", &basic("ann", password))
            .status()
    };
    assert_eventually!(with("new") == 200);
    assert_eq!(with("old"), 401);
}

// === The control socket ===

#[test]
fn status_counts_what_happens() {
    let server = Server::websocket("one");
    let proxy = Setup::new(Driver::Ring)
        .server_with(&server, "check = { interval = \"50ms\" }")
        .start();
    let first = status(&proxy);
    assert_eq!(first["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(first["launcher"], proxy.id());
    assert_eq!(
        (&first["workers"], &first["draining"]),
        (&1.into(), &false.into())
    );
    assert_eq!(
        first["listeners"][0]["addresses"][0],
        proxy.address().to_string()
    );

    let mut client = proxy.client();
    client.upgrade("/");
    client.echoes("hello");
    assert_eventually!(status(&proxy)["tunnels"] == 1);
    let now = status(&proxy);
    assert_eq!(
        (&now["connections"], &now["listeners"][0]["connections"]),
        (&1.into(), &1.into())
    );
    assert_eq!(
        (&server_of(&now)["sessions"], &server_of(&now)["tunnels"]),
        (&1.into(), &1.into())
    );
    client.finish();
    client.expect_closed();
    assert_eventually!(status(&proxy)["connections"] == 0);
    assert_eq!(server_of(&status(&proxy))["sessions"], 0);
    assert_eventually!(server_of(&status(&proxy))["checks"].as_u64().unwrap() > 3);
}

#[test]
fn health_is_one_word_and_a_code() {
    let mut server = Server::named("one");
    let proxy = Setup::new(Driver::Ring)
        .server_with(
            &server,
            "check = { interval = \"30ms\", fall = 2, rise = 1 }",
        )
        .start();
    let health = || Conn::connect_unix(&proxy.control_socket()).get("/v1/health");
    assert_eq!(health().status(), 200);
    server.stop();
    assert_eventually!(health().status() == 503);
    assert!(health().text().contains("\"app\""), "{}", health().text());
    let down = status(&proxy);
    assert_eq!(server_of(&down)["state"], "down");
    assert_eq!(server_of(&down)["reason"], "connection refused");
    assert_eq!(down["pools"][0]["active"], 0);
    server.revive();
    assert_eventually!(health().status() == 200);
    assert_eq!(server_of(&status(&proxy))["downs"], 1);
}

#[test]
fn only_owner_and_group_may_ask() {
    let server = Server::named("one");
    let proxy = Proxy::before(Driver::Ring, &[&server]);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&proxy.control_socket()), 0o660);
    assert_eq!(mode(&proxy.folder().join("control.sock.stats")), 0o600);
}

/// Silent ones, in the middle of a request, and between two: whoever comes next is answered all the same, and soon; and none keeps its
/// place for long.
#[test]
fn idle_clients_lock_nobody_out_of_the_control_socket() {
    let server = Server::named("one");
    let proxy = Proxy::before(Driver::Ring, &[&server]);
    let half = "GET /v1/status HTTP/1.1\r\nHost: x\r\n";
    let from = Instant::now();
    let mut idle: Vec<Conn> = (0..64 + 6)
        .map(|number| {
            let mut client = Conn::connect_unix(&proxy.control_socket());
            match number % 3 {
                0 => {}
                1 => drop(client.send(half)),
                _ => assert_eq!(client.get("/v1/health").status(), 200),
            }
            client
        })
        .collect();
    assert_eq!(status(&proxy)["connections"], 0);
    let took = from.elapsed();
    assert!(
        took < Duration::from_secs(10),
        "before any of them has timed out: {took:?}"
    );
    // What they had is over ten seconds later, and not before.
    let mut last = idle.pop().unwrap();
    last.expect_closed();
    let took = from.elapsed();
    assert!(
        took >= Duration::from_secs(9) && took < Duration::from_secs(20),
        "{took:?}"
    );
    assert_eq!(status(&proxy)["connections"], 0);
}

/// One that sends a byte now and then has no more time for its request than any other.
#[test]
fn a_slow_request_at_the_control_socket_has_an_end() {
    let server = Server::named("one");
    let proxy = Proxy::before(Driver::Ring, &[&server]);
    let mut client = Conn::connect_unix(&proxy.control_socket());
    let from = Instant::now();
    client.send("GET /v1/status HTTP/1.1\r\nX: ");
    while client.try_send("x").is_ok() {
        assert!(from.elapsed() < Duration::from_secs(20), "for ever");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(from.elapsed() >= Duration::from_secs(10));
}

#[test]
fn the_sockets_go_with_the_process() {
    let server = Server::named("one");
    let mut proxy = Setup::new(Driver::Ring)
        .server(&server)
        .listener("bind = [\"{listen}\", \"unix:{folder}/http.sock\"]")
        .start();
    let unix = proxy.folder().join("http.sock");
    assert_eq!(Conn::connect_unix(&unix).get("/").server(), "one");
    proxy.sigterm();
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
    assert!(!proxy.control_socket().exists() && !unix.exists());
}

#[test]
fn what_a_killed_process_left_behind_is_replaced() {
    let server = Server::named("one");
    let folder = tempfile::tempdir().unwrap();
    let stale = folder.path().join("http.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("control.sock")).unwrap());
    let text = Setup::new(Driver::Ring)
        .server(&server)
        .listener("bind = [\"{listen}\", \"unix:{folder}/http.sock\"]")
        .text();
    let proxy = Proxy::start_in(Driver::Ring, folder, &text);
    assert_eq!(Conn::connect_unix(&stale).get("/").server(), "one");
    assert_eq!(status(&proxy)["workers"], 1);
}

#[test]
fn a_second_ringbolt_does_not_slip_in_beside_the_first() {
    let server = Server::named("one");
    let proxy = Proxy::before(Driver::Ring, &[&server]);
    let again = || -> Output {
        ringbolt()
            .arg("run")
            .arg(proxy.folder().join("config.toml"))
            .output()
            .unwrap()
    };
    let output = again();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{complaint}");
    assert!(
        complaint.contains("is another Ringbolt running?"),
        "{complaint}"
    );

    // With a control socket of its own it still finds the port taken, although the kernel would
    // let it share.
    let config = proxy.folder().join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("control.sock", "other.sock")).unwrap();
    let output = again();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{complaint}");
    assert!(
        complaint.contains(&proxy.address().to_string()),
        "{complaint}"
    );
    assert!(complaint.contains("ss -ltnp"), "what to do: {complaint}");
    assert!(
        !proxy.folder().join("other.sock").exists(),
        "nothing is left behind"
    );
    assert_eq!(proxy.get("/").server(), "one");
    assert_eq!(status(&proxy)["workers"], 1);
}

#[test]
fn status_prints_a_table() {
    let server = Server::named("one");
    let proxy = Setup::new(Driver::Ring)
        .server_with(&server, "check = true")
        .start();
    let config = proxy.folder().join("config.toml");
    let output = ringbolt().arg("status").arg(&config).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    for wanted in [
        "http-in",
        "pool app: 1 of 1 take new sessions",
        "one",
        &server.address(),
    ] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    assert!(!text.contains('\x1b'), "no colours in a pipe: {text}");
}

// === Reload ===

#[test]
fn systemd_learns_of_every_step() {
    let server = Server::named("one");
    let mut proxy = Proxy::before(Driver::Ring, &[&server]);
    proxy.sighup();
    proxy.wait_for_notice("RELOADING=1");
    proxy.wait_for_notice("READY=1");
    proxy.rewrite_config("nonsense");
    proxy.sighup();
    proxy.wait_for_notice("RELOADING=1");
    proxy.wait_for_notice("READY=1");
    proxy.sigterm();
    proxy.wait_for_notice("STOPPING=1");
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
}

#[test]
fn what_waits_for_a_restart_is_said_and_the_rest_is_taken() {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = Proxy::before(Driver::Ring, &[&one]);
    let next = Setup::new(Driver::Ring)
        .server(&two)
        .process("workers = 2\nmax_connections = 77");
    proxy.rewrite_config(&next.text());
    proxy.sighup();
    proxy.wait_for_line("process.workers has changed: this takes effect at the next restart");
    assert_eventually!(proxy.get("/").server() == "two");
    let now = status(&proxy);
    assert_eq!(
        (&now["workers"], &now["max_connections"]),
        (&1.into(), &77.into())
    );
    assert_eq!(now["reloads"], 1);
}

#[test]
fn other_listeners_refuse_the_reload() {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = Proxy::before(Driver::Ring, &[&one]);
    let next = Setup::new(Driver::Ring)
        .server(&two)
        .listener("bind = \"{listen2}\"");
    proxy.rewrite_config(&next.text());
    proxy.sighup();
    let complaint = proxy.wait_for_complaint("reload refused");
    assert!(
        complaint.contains("\"http-in\" has another `bind`"),
        "{complaint}"
    );
    assert_eq!(proxy.get("/").server(), "one");
    let refused = || status(&proxy)["refused_reload"].to_string();
    assert_eventually!(refused().contains("http-in"), "{}", refused());

    proxy.rewrite_config(&Setup::new(Driver::Ring).server(&one).text());
    proxy.sighup();
    proxy.wait_for_complaint("reloaded");
    assert_eq!(status(&proxy)["refused_reload"], serde_json::Value::Null);
}

#[test]
fn more_connections_get_more_descriptors() {
    let server = Server::named("one");
    let proxy = Proxy::before(Driver::Ring, &[&server]);
    let more = Setup::new(Driver::Ring)
        .server(&server)
        .process("max_connections = 9000");
    proxy.rewrite_config(&more.text());
    proxy.sighup();
    proxy.wait_for_complaint("reloaded");
    let generation = status(&proxy)["pid"].as_u64().unwrap();
    let limits = std::fs::read_to_string(format!("/proc/{generation}/limits")).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let soft: u64 = line.split_whitespace().nth(3).unwrap().parse().unwrap();
    assert!(soft > 18_000, "{line}");
}

// === What only the launcher may read and open ===

#[test]
fn secrets_and_logs_of_root_serve_an_ordinary_user() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let server = Server::named("one");
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "from a file\n").unwrap();
    std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
    let text = Setup::new(Driver::Ring)
        .server(&server)
        .process("user = \"nobody\"")
        .log("target = \"file:{folder}/access.log\"")
        .more("[stats]\nusers = { ann = \"file:{folder}/secret\" }\n")
        .text();
    let proxy = Proxy::start_in(Driver::Ring, folder, &text);
    let page = proxy
        .client()
        .get_with("/ringbolt", &basic("ann", "from a file"));
    assert_eq!(page.status(), 200);

    let log = proxy.folder().join("access.log");
    let lines = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
    proxy.get("/first");
    assert_eventually!(lines(&log).contains("GET /first"));
    // Rotation: moved away, and a new one after SIGUSR1.
    let old = proxy.folder().join("access.log.1");
    std::fs::rename(&log, &old).unwrap();
    proxy.get("/between");
    assert_eventually!(lines(&old).contains("GET /between"));
    proxy.sigusr1();
    assert_eventually!(log.exists());
    let answer: Message = proxy.get("/after");
    assert_eq!(answer.server(), "one");
    assert_eventually!(lines(&log).contains("GET /after"));
    assert!(!lines(&old).contains("GET /after"));
    assert_eq!(log.metadata().unwrap().permissions().mode() & 0o777, 0o640);

    // A reload asks for the secret anew.
    std::fs::write(&secret, "another\n").unwrap();
    proxy.sighup();
    proxy.wait_for_complaint("reloaded");
    let with = |password: &str| {
        proxy
            .client()
            .get_with("/ringbolt", &basic("ann", password))
            .status()
    };
    assert_eventually!(with("another") == 200);
    assert_eq!(with("from a file"), 401);
}

#[test]
fn a_user_that_nobody_is_cannot_be_become() {
    let server = Server::named("one");
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    let text = Setup::new(Driver::Ring)
        .server(&server)
        .process("user = \"no-such-user-here\"")
        .text()
        .replace("{listen}", "127.0.0.1:0")
        + &format!("[control]\nsocket = \"{}/c\"\n", folder.path().display());
    std::fs::write(&config, text).unwrap();
    let output = ringbolt().arg("run").arg(&config).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{complaint}");
    assert!(complaint.contains("no-such-user-here"), "{complaint}");
    assert!(!folder.path().join("c").exists());
}

#[test]
fn an_ordinary_user_is_told_what_it_may_not_do() {
    use std::os::unix::process::CommandExt as _;
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(folder.path(), open).unwrap();
    let binary = folder.path().join("ringbolt");
    // Written by another process: a file that this one has open for writing cannot be run, and a test
    // beside this one may just be starting a child that inherits it.
    let copied = std::process::Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_ringbolt"))
        .arg(&binary)
        .status();
    assert!(copied.unwrap().success());
    let server = Server::named("one");
    let setup = Setup::new(Driver::Ring).server(&server);
    let cases = [
        (
            setup
                .process("user = \"root\"")
                .text()
                .replace("{listen}", "127.0.0.1:0"),
            "start as root, or remove process.user",
        ),
        (
            Setup::new(Driver::Ring)
                .server(&server)
                .text()
                .replace("{listen}", "127.0.0.1:1"),
            "CAP_NET_BIND_SERVICE",
        ),
        (
            Setup::new(Driver::Ring)
                .server(&server)
                .process("max_connections = 9000000")
                .text()
                .replace("{listen}", "127.0.0.1:0"),
            "needs 18000",
        ),
    ];
    for (text, advice) in cases {
        let config = folder.path().join("config.toml");
        let socket = folder.path().join("control.sock");
        let text = format!("{text}\n[control]\nsocket = \"{}\"\n", socket.display());
        std::fs::write(&config, text).unwrap();
        let output = std::process::Command::new(&binary)
            .arg("run")
            .arg(&config)
            .uid(65_534)
            .gid(65_534)
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{complaint}");
        assert!(complaint.contains(advice), "{advice}: {complaint}");
        assert_eq!(complaint.lines().count(), 1, "one line: {complaint}");
        assert!(!socket.exists(), "nothing is left behind: {complaint}");
    }
}

#[test]
fn a_terminal_that_has_gone_ends_nothing() {
    let server = Server::named("one");
    let folder = tempfile::tempdir().unwrap();
    let (config, socket) = (
        folder.path().join("config.toml"),
        folder.path().join("c.sock"),
    );
    let text = Setup::new(Driver::Ring)
        .server(&server)
        .text()
        .replace("{listen}", "127.0.0.1:0");
    let text = format!("{text}\n[control]\nsocket = \"{}\"\n", socket.display());
    std::fs::write(&config, text).unwrap();
    let mut child = ringbolt()
        .arg("run")
        .arg(&config)
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eventually!(std::os::unix::net::UnixStream::connect(&socket).is_ok());
    let status = || -> serde_json::Value {
        serde_json::from_str(&Conn::connect_unix(&socket).get("/v1/status").text()).unwrap()
    };
    let first = status();
    let launcher = rustix::process::Pid::from_child(&child);
    assert_eventually!({
        // The first may come before the launcher knows that all is ready.
        rustix::process::kill_process(launcher, rustix::process::Signal::HUP).unwrap();
        status()["reloads"] != first["reloads"]
    });
    rustix::process::kill_process(launcher, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

// === check ===

#[test]
fn check_says_ok_or_everything_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    let check = |text: &str, arguments: &[&str]| {
        std::fs::write(&config, text).unwrap();
        ringbolt()
            .arg("check")
            .arg(&config)
            .args(arguments)
            .output()
            .unwrap()
    };
    let server = Server::named("one");
    let good = Setup::new(Driver::Ring)
        .server(&server)
        .text()
        .replace("{listen}", "127.0.0.1:0");
    let output = check(&good, &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let (first, second) = said.trim_end().split_once('\n').unwrap();
    assert!(
        second.starts_with("memory: at most ") && second.contains(" resident: 4096 connections × "),
        "{said}"
    );
    assert!(
        first.ends_with(": ok: 1 listener, 0 routes, 1 pool, 1 server"),
        "{said}"
    );
    assert!(output.stderr.is_empty());

    let output = check("[proces]\n[timeouts]\nclient = 3\n", &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stderr.is_empty());
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["ok"], false);
    let lines: Vec<_> = json["problems"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| &problem["line"])
        .collect();
    assert!(
        lines.contains(&&1.into()) && lines.contains(&&3.into()),
        "{json}"
    );

    let bad_hash = format!("{good}\n[stats]\nusers = {{ ann = \"sha256:short\" }}\n");
    let output = check(&bad_hash, &[]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("\"ann\"") && !said.contains("short"),
        "{said}"
    );

    let output = ringbolt()
        .args(["check", "/no/such/file"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("/no/such/file"));
}

#[test]
fn arguments_that_make_no_sense_are_code_2() {
    for arguments in [&["walk"][..], &["run", "a", "b"], &["generation"]] {
        let output = ringbolt()
            .args(arguments)
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn signals_in_a_heap_are_all_heeded() {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let mut proxy = Proxy::before(Driver::Ring, &[&one]);
    for _ in 0..20 {
        proxy.sighup();
        proxy.sigusr1();
    }
    proxy.rewrite_config(&Setup::new(Driver::Ring).server(&two).text());
    proxy.sighup();
    assert_eventually!(proxy.get("/").server() == "two");
    // A reload on its way does not hold up the end.
    proxy.sighup();
    proxy.sigterm();
    proxy.wait_for_notice("STOPPING=1");
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
}

#[test]
fn the_page_may_have_an_address_of_its_own() {
    for on in [Driver::Ring, Driver::Epoll] {
        let server = Server::named("one");
        let setup = Setup::new(on)
            .server(&server)
            .more("[stats]\nbind = \"{listen2}\"\n")
            .more("[[route]]\npath = \"/routed\"\npool = \"app\"\n");
        let proxy = setup.start();
        let page = |path: &str| Conn::connect(proxy.second_address()).get(path);
        let html = page("/ringbolt");
        assert!(html.status() == 200 && html.text().contains("Ringbolt"));
        assert_eq!(page("/ringbolt.json").status(), 200);
        for path in ["/", "/routed"] {
            assert_eq!(page(path).status(), 503, "{path}");
        }
        assert_eq!(server.requests().len(), 0, "no request gets through there");
        // Elsewhere the path is one like any other.
        assert_eq!(proxy.get("/ringbolt").text(), "one");
        assert_eq!(proxy.get("/routed").text(), "one");
        let listeners = proxy.status().unwrap()["listeners"].clone();
        assert_eq!(listeners[1]["name"], "stats");
        let address = proxy.second_address().to_string();
        assert_eq!(listeners[1]["addresses"][0], address.as_str());
        // A reload leaves it where it is.
        proxy.rewrite_config(&setup.text().replace("\"one\"", "\"two\""));
        proxy.sighup();
        proxy.wait_for_complaint("ringbolt: reloaded");
        assert_eventually!(page("/ringbolt").text().contains("two"));
        assert_eq!(page("/routed").status(), 503);
        // What it is bound to is bound once.
        proxy.rewrite_config(&setup.text().replace("{listen2}", "{listen}"));
        let config = proxy.folder().join("config.toml");
        let checked = ringbolt().arg("check").arg(&config).output().unwrap();
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert!(
            !checked.status.success() && said.contains("is bound twice"),
            "{said}"
        );
    }
}
