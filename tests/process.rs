//! The process: how it starts, what it may do, how it stops, and a new configuration while it runs.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use support::{Driver, Proxy, Server, Setup, eventually, ringbolt};

on_both_drivers!(
    a_stopping_process_finishes_its_exchanges,
    a_stopping_process_closes_idle_connections,
    a_stopping_process_waits_for_its_tunnels,
    a_stopping_process_waits_no_longer_than_told,
    a_second_signal_ends_at_once,
    a_bad_file_changes_nothing_and_says_why,
    a_good_file_is_the_next_requests_plan,
    a_kept_connection_follows_new_routes_to_new_pools,
    a_reload_touches_no_tunnel,
    an_exchange_ends_under_the_plan_it_began_with,
    every_thread_has_dropped_its_privileges,
    descriptors_are_raised_to_what_connections_need,
    workers_are_pinned,
    without_its_launcher_a_generation_ends,
    status_tells_of_servers,
    the_stats_page_asks_for_a_password,
);

/// A server that answers when told to.
fn patient_server() -> (Server, std::sync::mpsc::Sender<()>) {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let server = Server::script(move |conn| {
        while conn.read_request().is_some() {
            if wait.lock().unwrap().recv().is_err() {
                return;
            }
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
        }
    });
    (server, go)
}

fn refuses(proxy: &Proxy) -> bool {
    TcpStream::connect(proxy.address()).is_err()
}

// === Stopping ===

fn a_stopping_process_finishes_its_exchanges(on: Driver) {
    let (server, go) = patient_server();
    let mut proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.send("GET /last HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eventually!(server.requests().len() == 1);
    proxy.sigterm();
    proxy.wait_for_notice("STOPPING=1");
    assert_eventually!(refuses(&proxy), "no new connection is let in");
    go.send(()).unwrap();
    assert_eq!(client.read_response().text(), "done");
    client.expect_closed();
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
    assert_eq!(proxy.access_line("GET /last").termination, "----");
}

fn a_stopping_process_closes_idle_connections(on: Driver) {
    let server = Server::named("one");
    let mut proxy = Setup::new(on)
        .server(&server)
        .process("drain_timeout = \"never\"")
        .start();
    let mut client = proxy.client();
    assert_eq!(client.get("/").status(), 200);
    let mut silent = proxy.client();
    proxy.sigterm();
    client.expect_closed();
    silent.expect_closed();
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
}

fn a_stopping_process_waits_for_its_tunnels(on: Driver) {
    let server = Server::websocket("one");
    let mut proxy = Setup::new(on)
        .server(&server)
        .process("drain_timeout = \"never\"")
        .start();
    let mut client = proxy.client();
    client.upgrade("/");
    client.echoes("before");
    proxy.sigterm();
    assert_eventually!(refuses(&proxy));
    client.echoes("after");
    client.finish();
    client.expect_closed();
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
}

fn a_stopping_process_waits_no_longer_than_told(on: Driver) {
    let server = Server::websocket("one");
    let mut proxy = Setup::new(on)
        .server(&server)
        .process("drain_timeout = \"700ms\"")
        .start();
    let mut client = proxy.client();
    client.upgrade("/");
    let from = Instant::now();
    proxy.sigterm();
    client.expect_closed();
    assert!(
        from.elapsed() >= Duration::from_millis(600),
        "{:?}",
        from.elapsed()
    );
    proxy.wait_for_exit();
    assert!(
        from.elapsed() < Duration::from_secs(8),
        "{:?}",
        from.elapsed()
    );
    let ended = eventually("the tunnel's end is logged", || {
        proxy
            .lines()
            .into_iter()
            .find(|line| line.contains("ws=") && !line.contains("ws=open"))
    });
    assert!(ended.contains(" K"), "ended by the operator: {ended}");
}

fn a_second_signal_ends_at_once(on: Driver) {
    let server = Server::websocket("one");
    let mut proxy = Setup::new(on)
        .server(&server)
        .process("drain_timeout = \"never\"")
        .start();
    let mut client = proxy.client();
    client.upgrade("/");
    proxy.sigterm();
    assert_eventually!(refuses(&proxy));
    // One signal alone would wait for the tunnel, for ever: it is still there after more than a drain's few steps.
    let from = Instant::now();
    while from.elapsed() < Duration::from_millis(500) {
        client.echoes("still there");
    }
    assert!(proxy.is_running());
    let from = Instant::now();
    proxy.sigterm();
    client.expect_closed();
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
    let took = from.elapsed();
    assert!(took < Duration::from_secs(5), "at once, not after {took:?}");
}

// === A new configuration ===

fn a_bad_file_changes_nothing_and_says_why(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.upgrade("/");
    proxy.rewrite_config("[process]\nworkerz = 3\n");
    proxy.sighup();
    let said = eventually("why it was not loaded", || {
        proxy
            .lines()
            .into_iter()
            .find(|line| line.contains("not reloaded"))
    });
    assert!(said.contains("workerz"), "{said}");
    client.echoes("still there");
    assert_eq!(proxy.get("/").server(), "one");
    assert!(proxy.is_running());
}

fn a_good_file_is_the_next_requests_plan(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = Proxy::before(on, &[&one]);
    let mut kept = proxy.client();
    assert_eq!(kept.get("/").server(), "one");
    proxy.rewrite_config(&Setup::new(on).server(&two).text());
    proxy.sighup();
    assert_eventually!(proxy.get("/").server() == "two");
    assert_eq!(
        kept.get("/").server(),
        "two",
        "the connection goes on, under the new plan"
    );
}

fn a_kept_connection_follows_new_routes_to_new_pools(on: Driver) {
    let servers = [Server::named("a"), Server::named("b"), Server::named("c")];
    let text = |hosts: &[(&str, usize)]| {
        let mut text = String::from(
            "[[listener]]\nname = \"main\"\nbind = \"{listen}\"\n[control]\nsocket = \"{folder}/control.sock\"\n",
        );
        for (host, _) in hosts {
            text += &format!("[[route]]\nhost = \"{host}.example\"\npool = \"{host}\"\n");
        }
        for (host, server) in hosts {
            let address = servers[*server].address();
            text += &format!(
                "[pool.{host}]\n[[pool.{host}.server]]\nname = \"s\"\naddress = \"{address}\"\n"
            );
        }
        text
    };
    let proxy = Proxy::start(on, &text(&[("a", 0), ("b", 1), ("c", 2)]));
    let mut kept = proxy.client();
    let mut ask =
        |host: &str| kept.request(&format!("GET / HTTP/1.1\r\nHost: {host}.example\r\n\r\n"));
    assert_eq!(ask("a").server(), "a");
    assert_eq!(ask("c").server(), "c");
    // The pools change places, and one goes: indices of old would lead astray, or nowhere.
    proxy.rewrite_config(&text(&[("c", 2), ("a", 0)]));
    proxy.sighup();
    let gone = "GET / HTTP/1.1\r\nHost: b.example\r\n\r\n";
    assert_eventually!(proxy.client().request(gone).status() == 503);
    for _ in 0..3 {
        assert_eq!(ask("c").server(), "c");
        assert_eq!(ask("a").server(), "a");
    }
}

fn a_reload_touches_no_tunnel(on: Driver) {
    let (one, two) = (Server::websocket("one"), Server::websocket("two"));
    let setup = |server: &Server| Setup::new(on).server(server).process("workers = 2").text();
    let proxy = Proxy::start(on, &setup(&one));
    let mut client = proxy.client();
    client.upgrade("/");
    for server in [&two, &one, &two] {
        proxy.rewrite_config(&setup(server));
        proxy.sighup();
        assert_eventually!(proxy.get("/").server() == server.name());
        client.echoes("still there");
    }
    assert_eq!(proxy.processes().len(), 2, "launcher and one generation");
}

fn an_exchange_ends_under_the_plan_it_began_with(on: Driver) {
    let (one, go) = patient_server();
    let two = Server::named("two");
    let proxy = Proxy::before(on, &[&one]);
    let mut client = proxy.client();
    client.send("GET /old HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eventually!(one.requests().len() == 1);
    proxy.rewrite_config(&Setup::new(on).server(&two).text());
    proxy.sighup();
    // A request under the old plan would wait for the patient server.
    proxy.wait_for_complaint("reloaded");
    assert_eventually!(proxy.get("/").has("X-Server"));
    go.send(()).unwrap();
    assert_eq!(client.read_response().text(), "done");
    assert_eq!(client.get("/new").server(), "two");
    assert_eq!(proxy.access_line("GET /old").server, "one");
}

// === What it may do ===

/// What `/proc` says of each thread of a process.
fn thread_statuses(process: u32) -> Vec<String> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    threads
        .filter_map(|thread| std::fs::read_to_string(thread.ok()?.path().join("status")).ok())
        .collect()
}

fn line_of<'a>(status: &'a str, name: &str) -> Vec<&'a str> {
    let line = status
        .lines()
        .find(|line| line.starts_with(name))
        .unwrap_or_else(|| panic!("{name}"));
    line[name.len()..].split_whitespace().collect()
}

fn every_thread_has_dropped_its_privileges(on: Driver) {
    let server = Server::named("one");
    // Only root can become somebody else; others can at least say who they are.
    let root = rustix::process::geteuid().is_root();
    let id = if root {
        65_534
    } else {
        rustix::process::geteuid().as_raw()
    };
    let group = if root {
        65_534
    } else {
        rustix::process::getegid().as_raw()
    };
    let proxy = Setup::new(on)
        .server(&server)
        .process(&format!(
            "workers = 2\nuser = \"{id}\"\ngroup = \"{group}\""
        ))
        .start();
    assert_eq!(proxy.get("/").status(), 200);
    let statuses = thread_statuses(proxy.generation());
    assert!(
        statuses.len() >= 3,
        "two workers and the control thread: {}",
        statuses.len()
    );
    let (id, group) = (id.to_string(), group.to_string());
    for status in statuses {
        assert_eq!(line_of(&status, "Uid:"), [id.as_str(); 4], "{status}");
        assert_eq!(line_of(&status, "Gid:"), [group.as_str(); 4], "{status}");
        if root {
            let groups = line_of(&status, "Groups:");
            assert!(groups.iter().all(|other| *other == group), "{status}");
        }
        for set in ["CapPrm:", "CapEff:", "CapInh:", "CapAmb:"] {
            assert_eq!(
                line_of(&status, set),
                ["0000000000000000"],
                "{set} {status}"
            );
        }
        assert_eq!(line_of(&status, "NoNewPrivs:"), ["1"], "{status}");
    }
}

fn descriptors_are_raised_to_what_connections_need(on: Driver) {
    let server = Server::named("one");
    let text = Setup::new(on)
        .server(&server)
        .process("max_connections = 3000")
        .text();
    let folder = tempfile::tempdir().unwrap();
    let proxy = Proxy::start_in(on, folder, &text);
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", proxy.generation())).unwrap();
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let soft: u64 = line.split_whitespace().nth(3).unwrap().parse().unwrap();
    assert!(soft >= 6_000, "a client and a server each: {line}");
}

fn workers_are_pinned(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .process("workers = 2\ncores = [0]")
        .start();
    let statuses = thread_statuses(proxy.generation());
    let pinned = statuses
        .iter()
        .filter(|status| line_of(status, "Cpus_allowed_list:") == ["0"]);
    assert!(pinned.count() >= 2, "{statuses:?}");
}

fn without_its_launcher_a_generation_ends(on: Driver) {
    let server = Server::named("one");
    let mut proxy = Proxy::before(on, &[&server]);
    let generation = proxy.generation();
    let launcher = rustix::process::Pid::from_raw(proxy.id() as i32).unwrap();
    rustix::process::kill_process(launcher, rustix::process::Signal::KILL).unwrap();
    proxy.wait_for_exit();
    assert_eventually!(!std::path::Path::new(&format!("/proc/{generation}/exe")).exists());
    // The kernel takes a dead ring's sockets down a moment later.
    assert_eventually!(refuses(&proxy));
}

// === Starting ===

#[test]
fn an_address_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    let text = format!(
        "[control]\nsocket = \"{}\"\n[[listener]]\nname = \"a\"\nbind = \"{address}\"\ndefault_pool = \"p\"\n[[pool.p.server]]\nname = \"s\"\naddress = \"127.0.0.1:1\"\n",
        folder.path().join("control.sock").display()
    );
    std::fs::write(&config, text).unwrap();
    let output = ringbolt().arg("run").arg(&config).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{complaint}");
    assert!(complaint.contains(&address.to_string()), "{complaint}");
}

#[test]
fn a_bad_file_does_not_start() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("config.toml");
    std::fs::write(&config, "[process]\nworkerz = 3\n").unwrap();
    for command in ["run", "check"] {
        let output = ringbolt().arg(command).arg(&config).output().unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command}: {complaint}");
        assert!(
            complaint.contains("config.toml:2:1"),
            "{command}: {complaint}"
        );
        assert!(
            complaint.contains("workers"),
            "the nearest name: {complaint}"
        );
    }
}

#[test]
fn the_version_is_told() {
    let output = ringbolt().arg("-V").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        text.trim(),
        format!("ringbolt {}", env!("CARGO_PKG_VERSION"))
    );
}

// === Looking in ===

fn status_tells_of_servers(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Proxy::before(on, &[&server]);
    proxy.get("/");
    let mut client = proxy.client();
    client.upgrade("/");
    let mut status = ringbolt();
    status
        .args(["status", "--json", "--socket"])
        .arg(proxy.control_socket());
    let output = status.output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{complaint}");
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let text = json.to_string();
    assert!(
        text.contains("\"app\"") && text.contains("\"one\""),
        "{text}"
    );
    let mut plain = ringbolt();
    plain
        .args(["status", "--socket"])
        .arg(proxy.control_socket());
    let output = plain.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("app") && text.contains("one"), "{text}");
    drop(proxy);
    let output = status.output().unwrap();
    assert_eq!(output.status.code(), Some(4), "nobody is there");
}

fn the_stats_page_asks_for_a_password(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .more("[stats]\npath = \"/haproxyStats\"\nusers = { someuser = \"somepassword\" }\n")
        .start();
    let mut client = proxy.client();
    let refused = client.get("/haproxyStats");
    assert_eq!(refused.status(), 401);
    let line = proxy.access_line("GET /haproxyStats").line;
    assert!(
        line.contains(" http-in/<STATS> ") && line.contains(" LR-- "),
        "{line}"
    );
    assert!(
        refused
            .field("WWW-Authenticate")
            .unwrap()
            .starts_with("Basic "),
        "{}",
        refused.head
    );
    let wrong = client.get_with("/haproxyStats", "Authorization: Basic d3Jvbmc6d3Jvbmc=\r\n");
    assert_eq!(wrong.status(), 401);
    // someuser:somepassword
    let page = client.get_with(
        "/haproxyStats",
        "Authorization: Basic c29tZXVzZXI6c29tZXBhc3N3b3Jk\r\n",
    );
    assert_eq!(page.status(), 200);
    assert!(
        page.text().contains("app") && page.text().contains("one"),
        "{}",
        page.text()
    );
    assert!(!page.text().contains("somepassword"));
    assert_eq!(client.get("/").server(), "one", "the connection goes on");
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.target() == "/")
    );
}
