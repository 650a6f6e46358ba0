//! Faults: of servers, of the system, and of Ringbolt itself. Whoever is not concerned does not notice,
//! the log says what it was, and nothing is left behind. (Peers that vanish: tests/vanish.rs.)

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, prlimit};
use support::{Conn, Driver, Process, Proxy, Server, Setup, eventually, thread_time};

on_both_drivers!(
    a_server_may_break_off_in_every_way_in_every_phase,
    a_stopped_server_times_out_with_a_request_in_flight,
    a_stopped_server_lets_its_backlog_fill,
    a_stopped_server_is_met_on_a_kept_link,
    a_tunnel_waits_for_a_stopped_server,
    a_generation_that_dies_is_followed_by_another,
    clients_wait_while_the_next_generation_does,
    every_order_is_heeded_after_a_restart,
    a_generation_may_die_before_it_serves,
    a_generation_that_cannot_be_started_is_tried_again,
    a_signal_to_stop_ends_the_pause,
    a_new_configuration_ends_the_pause,
    a_configuration_that_kills_is_not_in_force,
    sockets_belong_to_their_listeners_after_a_restart,
    a_worker_that_dies_takes_its_generation_along,
    a_panic_in_an_exchange_ends_only_it,
    a_panic_in_a_tunnel_ends_only_it,
    without_descriptors_accepting_pauses_and_goes_on,
    without_descriptors_a_server_is_not_blamed,
    a_check_without_a_descriptor_is_no_verdict,
    a_kept_link_gives_its_descriptor_to_a_request,
);

fn refuses(proxy: &Proxy) -> bool {
    TcpStream::connect(proxy.address()).is_err()
}

// === A server breaks off ===

/// How a server's connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    Close,
    Reset,
    /// Its direction only; it still reads.
    HalfClose,
}

impl Break {
    fn of(self, conn: &mut Conn) {
        match self {
            Self::Close => {}
            // The connection itself is closed when the script ends.
            Self::Reset => conn.twin().reset(),
            Self::HalfClose => {
                conn.finish();
                conn.read_to_end();
            }
        }
    }
}

/// A phase of an exchange, what the server has sent until then, and what becomes of it.
struct Phase {
    name: &'static str,
    /// Whether the server has read the request.
    reads: bool,
    sends: &'static str,
    /// The client's request has a body, of which the server reads nothing.
    uploads: bool,
    /// What the client is told; the log has the same.
    status: u16,
    letters: &'static str,
    /// For an end that is no reset.
    letters_in_order: &'static str,
}

const CUT: Phase = Phase {
    name: "",
    reads: true,
    sends: "",
    uploads: false,
    status: 502,
    letters: "SH",
    letters_in_order: "SH",
};

const CUT_IN_DATA: Phase = Phase {
    status: 200,
    letters: "SD",
    letters_in_order: "SD",
    ..CUT
};

#[rustfmt::skip]
const PHASES: &[Phase] = &[
    Phase { name: "accepted", reads: false, ..CUT },
    Phase { name: "request-read", ..CUT },
    Phase { name: "in-head", sends: "HTTP/1.1 200 OK\r\nContent-Le", ..CUT },
    Phase { name: "after-interim", sends: "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", ..CUT },
    Phase { name: "in-request-body", uploads: true, ..CUT },
    Phase { name: "after-head", sends: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", ..CUT_IN_DATA },
    Phase { name: "in-body", sends: "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome", ..CUT_IN_DATA },
    Phase { name: "in-chunk-size", sends: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n1", ..CUT_IN_DATA },
    Phase { name: "before-last-chunk", sends: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n", ..CUT_IN_DATA },
    Phase { name: "in-trailers", sends: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\n", ..CUT_IN_DATA },
    Phase { name: "until-close", sends: "HTTP/1.1 200 OK\r\n\r\nsome", letters_in_order: "--", ..CUT_IN_DATA },
    Phase { name: "answered", sends: "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsome", letters: "--", letters_in_order: "--", ..CUT_IN_DATA },
    Phase { name: "answered-early", uploads: true, sends: "HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno", status: 413, letters: "--", letters_in_order: "--", ..CUT },
];

fn a_server_may_break_off_in_every_way_in_every_phase(on: Driver) {
    let server = Server::script(|conn| {
        if conn.try_read_until(b" /").is_none() {
            return;
        }
        let named = String::from_utf8(conn.read_until(b" ")).unwrap();
        let (phase, how) = named.trim().split_once('/').unwrap();
        let Some(phase) = PHASES.iter().find(|one| one.name == phase) else {
            return;
        };
        let how = [Break::Close, Break::Reset, Break::HalfClose]
            .into_iter()
            .find(|one| format!("{one:?}") == how)
            .unwrap();
        if phase.reads {
            conn.read_until(b"\r\n\r\n");
        }
        let _ = conn.try_send(phase.sends);
        how.of(conn);
    });
    let other = Server::named("other");
    let proxy = Setup::new(on)
        .server(&server)
        .server_with(&other, "weight = 0")
        .limits("idle_links = 0")
        .start();
    drop(
        proxy
            .client()
            .try_send("GET /none/Close HTTP/1.1\r\nHost: a\r\n\r\n"),
    );
    let before = proxy.settled_descriptors();
    for phase in PHASES {
        for how in [Break::Close, Break::Reset, Break::HalfClose] {
            let about = format!("{}/{how:?}", phase.name);
            let mut client = proxy.client();
            if phase.uploads {
                client.send(format!(
                    "POST /{about} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
                ));
                let mut body = client.twin();
                std::thread::spawn(move || drop(body.try_send(vec![b'x'; 500_000])));
            } else {
                client.send(format!("GET /{about} HTTP/1.1\r\nHost: a\r\n\r\n"));
            }
            let mut head = client.read_response_head();
            while head.status() < 200 {
                head = client.read_response_head();
            }
            assert_eq!(head.status(), phase.status, "{about}");
            let line = proxy.access_line(&format!("/{about} "));
            assert_eq!(
                line.status,
                i64::from(phase.status),
                "{about}: {}",
                line.line
            );
            let letters = match how {
                Break::Reset => phase.letters,
                Break::Close | Break::HalfClose => phase.letters_in_order,
            };
            assert_eq!(&line.termination[..2], letters, "{about}: {}", line.line);
            assert!(line.counts.ends_with("/0"), "no retries: {}", line.line);
            if phase.letters != "--" {
                client.read_to_end();
            }
        }
    }
    assert_eventually!(server.open() == 0);
    proxy.wait_for_descriptors(before);
    let status = proxy.status().unwrap();
    assert_eq!(status["connections"], 0, "{status}");
    assert_eq!(status["pools"][0]["servers"][0]["sessions"], 0, "{status}");
    assert_eq!(
        other.accepted(),
        0,
        "nothing that reached a server is sent to another"
    );
}

// === A server is stopped ===

/// Not a test: the server of [`Process`].
#[test]
fn server_process() {
    Process::serve();
}

fn a_stopped_server_times_out_with_a_request_in_flight(on: Driver) {
    let server = Process::start(128);
    let proxy = server.before(
        Setup::new(on)
            .timeouts("server = \"400ms\"")
            .limits("idle_links = 0"),
    );
    assert_eq!(proxy.get("/").status(), 200);
    let before = proxy.settled_descriptors();
    server.stop();
    // The kernel still completes handshakes for it, and takes the request.
    assert_eq!(proxy.get("/stopped").status(), 504);
    let line = proxy.access_line("GET /stopped");
    assert_eq!(
        (&line.termination[..2], line.status),
        ("sH", 504),
        "{}",
        line.line
    );
    proxy.wait_for_descriptors(before);
    assert_eq!(proxy.status().unwrap()["pools"][0]["sessions"], 0);
    server.resume();
    assert_eq!(proxy.get("/resumed").status(), 200);
}

fn a_stopped_server_lets_its_backlog_fill(on: Driver) {
    let server = Process::start(1);
    let setup = Setup::new(on).timeouts("connect = \"400ms\"\nserver = \"30s\"");
    let proxy = server.before(setup.pool("retries = 1").limits("idle_links = 0"));
    assert_eq!(proxy.get("/").status(), 200);
    server.stop();
    let mut inside = Vec::new();
    let refused = eventually("the backlog is full", || {
        let mut client = proxy.client();
        client.send("GET /queued HTTP/1.1\r\nHost: a\r\n\r\n");
        inside.push(client);
        std::thread::sleep(Duration::from_millis(100));
        let mut lines = proxy.all_access_lines();
        lines.retain(|line| line.request.contains("/queued"));
        lines.pop()
    });
    assert_eq!(
        (&refused.termination[..2], refused.status),
        ("sC", 503),
        "{}",
        refused.line
    );
    assert!(
        refused.counts.ends_with("/1"),
        "asked twice: {}",
        refused.line
    );
    server.resume();
    let statuses: Vec<u16> = inside
        .iter_mut()
        .map(|client| client.read_response().status())
        .collect();
    assert!(
        statuses.contains(&200) && statuses.contains(&503),
        "{statuses:?}"
    );
    assert_eventually!(proxy.status().unwrap()["pools"][0]["sessions"] == 0);
}

fn a_stopped_server_is_met_on_a_kept_link(on: Driver) {
    let server = Process::start(128);
    let proxy = server.before(Setup::new(on).timeouts("server = \"400ms\""));
    let mut client = proxy.client();
    assert_eq!(client.get("/").status(), 200);
    server.stop();
    assert_eq!(client.get("/stopped").status(), 504);
    let line = proxy.access_line("GET /stopped");
    assert_eq!(
        (&line.termination[..2], line.status),
        ("sH", 504),
        "{}",
        line.line
    );
    assert_eq!(line.timers[2], 0, "it was a kept link: {}", line.line);
    client.expect_closed();
    server.resume();
    assert_eq!(proxy.get("/resumed").status(), 200);
}

fn a_tunnel_waits_for_a_stopped_server(on: Driver) {
    let server = Process::start(128);
    let proxy = server.before(Setup::new(on).timeouts("tunnel = \"3s\"\nserver = \"300ms\""));
    let before = proxy.settled_descriptors();
    let (mut patient, mut lost) = (proxy.client(), proxy.client());
    patient.upgrade("/patient");
    lost.upgrade("/lost");
    server.stop();
    patient.say("is anybody there");
    let from = Instant::now();
    patient.expect_silence(Duration::from_millis(700));
    assert_eq!(
        proxy.status().unwrap()["tunnels"],
        2,
        "the server's timeout is not the tunnel's"
    );
    server.resume();
    assert_eq!(patient.read_frame().payload, b"is anybody there");
    patient.echoes("and again");
    server.stop();
    lost.expect_closed();
    assert!(
        from.elapsed() >= Duration::from_secs(2),
        "{:?}",
        from.elapsed()
    );
    patient.expect_closed();
    let ended = |target: &str| {
        eventually("the tunnel's end is logged", || {
            let mut lines = proxy.lines().into_iter();
            lines.find(|line| line.contains(target) && !line.contains("ws=open"))
        })
    };
    assert!(ended("/lost").contains(" cD-- "), "{}", ended("/lost"));
    assert!(
        ended("/patient").contains(" cD-- "),
        "{}",
        ended("/patient")
    );
    proxy.wait_for_descriptors(before);
    assert_eq!(proxy.status().unwrap()["pools"][0]["tunnels"], 0);
}

// === The generation dies ===

fn a_generation_that_dies_is_followed_by_another(on: Driver) {
    for (signal, words) in [
        (Signal::KILL, "was ended by signal 9 (SIGKILL)"),
        // Not SEGV: the standard library's handler lets a fault that it does not know happen again, and one
        // that was sent does not.
        (Signal::ILL, "was ended by signal 4 (SIGILL)"),
        (Signal::ABORT, "was ended by signal 6 (SIGABRT)"),
    ] {
        let server = Server::websocket("one");
        let proxy = Setup::new(on)
            .server(&server)
            .process("workers = 2")
            .start();
        let mut tunnel = proxy.client();
        tunnel.upgrade("/");
        let dead = proxy.generation();
        let held = || {
            let open = std::fs::read_dir(format!("/proc/{}/fd", proxy.id()));
            open.unwrap().count()
        };
        let before = held();
        proxy.strike(signal);
        tunnel.expect_closed();
        assert_eq!(proxy.get("/").status(), 200, "the port was never closed");
        assert_ne!(proxy.generation(), dead);
        assert_eventually!(server.open() <= 1, "the tunnel's server learns of it");
        proxy.wait_for_complaint(&format!("the serving process {words}: another one starts"));
        proxy.wait_for_line(&format!(
            "critical: the serving process before this one {words}"
        ));
        assert_eq!(proxy.status().unwrap()["restarts"], 1);
        assert_eq!(proxy.processes().len(), 2, "launcher and generation");
        assert_eventually!(
            held() == before,
            "the launcher keeps nothing of the dead one"
        );
    }
}

/// Kills two generations, so that the third one is waited for.
fn pausing(proxy: &Proxy) {
    proxy.strike(Signal::KILL);
    proxy.wait_for_notice("READY=1");
    assert_eq!(proxy.get("/").status(), 200);
    proxy.strike(Signal::KILL);
    proxy.wait_for_complaint("another one starts in 1 s");
}

fn clients_wait_while_the_next_generation_does(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .process("workers = 2")
        .start();
    let from = Instant::now();
    pausing(&proxy);
    let mut clients: Vec<Conn> = (0..20).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send("GET /waited HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    for client in &mut clients {
        assert_eq!(client.read_response().status(), 200);
    }
    assert!(from.elapsed() >= Duration::from_secs(1), "it did pause");
    assert_eq!(proxy.access_lines("GET /waited", 20).len(), 20);
    assert_eq!(proxy.status().unwrap()["restarts"], 2);
}

fn a_generation_may_die_before_it_serves(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    let dead = proxy.generation();
    proxy.strike(Signal::KILL);
    assert_eventually!(![dead, proxy.id()].contains(proxy.processes().last().unwrap()));
    // It has begun this moment, and takes some to be ready.
    proxy.strike(Signal::KILL);
    proxy.wait_for_complaint("another one starts in 1 s");
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(proxy.status().unwrap()["restarts"], 2);
}

fn a_generation_that_cannot_be_started_is_tried_again(on: Driver) {
    let server = Server::named("one");
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    std::fs::create_dir(&logs).unwrap();
    let text = Setup::new(on)
        .server(&server)
        .log("target = \"file:{folder}/logs/log\"")
        .text();
    let proxy = Proxy::start_in(on, folder, &text);
    std::fs::remove_dir_all(&logs).unwrap();
    proxy.strike(Signal::KILL);
    proxy.wait_for_complaint("could not be started (cannot open log file ");
    std::fs::create_dir(&logs).unwrap();
    assert_eq!(proxy.get("/").status(), 200);
}

fn every_order_is_heeded_after_a_restart(on: Driver) {
    let (one, two) = (Server::websocket("one"), Server::websocket("two"));
    let setup = |server: &Server| {
        let log = "target = \"file:{folder}/log\"";
        Setup::new(on).server(server).log(log).text()
    };
    let mut proxy = Proxy::start(on, &setup(&one));
    proxy.rewrite_config(&setup(&two));
    proxy.sighup();
    proxy.wait_for_complaint("reloaded");
    proxy.strike(Signal::KILL);
    assert_eq!(
        proxy.get("/").server(),
        "two",
        "the configuration in force, not the first one"
    );
    proxy.rewrite_config(&setup(&one));
    proxy.sighup();
    assert_eventually!(proxy.get("/").server() == "one");
    assert_eq!(proxy.status().unwrap()["reloads"], 1);
    let log = proxy.folder().join("log");
    std::fs::rename(&log, proxy.folder().join("old")).unwrap();
    proxy.sigusr1();
    eventually("the log is opened again", || {
        proxy.get("/rotated");
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.contains("GET /rotated").then_some(())
    });
    let mut tunnel = proxy.client();
    tunnel.upgrade("/");
    proxy.sigterm();
    assert_eventually!(refuses(&proxy));
    tunnel.echoes("drained, not cut");
    drop(tunnel);
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
}

fn a_signal_to_stop_ends_the_pause(on: Driver) {
    let server = Server::named("one");
    let mut proxy = Proxy::before(on, &[&server]);
    pausing(&proxy);
    let mut waiting = proxy.client();
    let from = Instant::now();
    proxy.sigterm();
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
    let took = from.elapsed();
    assert!(took < Duration::from_millis(700), "{took:?}");
    waiting.expect_closed();
    assert!(refuses(&proxy));
    assert!(!proxy.control_socket().exists());
}

fn a_new_configuration_ends_the_pause(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = Proxy::before(on, &[&one]);
    pausing(&proxy);
    let from = Instant::now();
    // A bad one changes nothing.
    proxy.rewrite_config("[process]\nworkerz = 3\n");
    proxy.sighup();
    proxy.wait_for_complaint("reload refused");
    proxy.rewrite_config(&Setup::new(on).server(&two).text());
    proxy.sighup();
    assert_eq!(proxy.get("/").server(), "two");
    let took = from.elapsed();
    assert!(took < Duration::from_millis(900), "{took:?}");
}

fn a_configuration_that_kills_is_not_in_force(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = Proxy::before(on, &[&one]);
    // It is stopped, so that it dies with the order unread.
    proxy.strike(Signal::STOP);
    proxy.rewrite_config(&Setup::new(on).server(&two).text());
    proxy.sighup();
    proxy.wait_for_notice("RELOADING=1");
    std::thread::sleep(Duration::from_millis(100));
    proxy.strike(Signal::KILL);
    proxy.wait_for_complaint("while it took a new configuration; the one in force before stays");
    assert_eq!(proxy.get("/").server(), "one");
    proxy.sighup();
    assert_eventually!(proxy.get("/").server() == "two");
}

fn sockets_belong_to_their_listeners_after_a_restart(on: Driver) {
    let servers = [Server::named("a"), Server::named("b")];
    let text = |order: [usize; 2]| {
        let one = |index: usize| {
            let (name, bind) = [("a", "{listen}"), ("b", "{listen2}")][index];
            let address = servers[index].address();
            format!(
                "[[listener]]\nname = \"{name}\"\nbind = \"{bind}\"\ndefault_pool = \"{name}\"\n\
                 [[pool.{name}.server]]\nname = \"s\"\naddress = \"{address}\"\n"
            )
        };
        order.map(one).concat()
    };
    let proxy = Proxy::start(on, &text([0, 1]));
    proxy.rewrite_config(&text([1, 0]));
    proxy.sighup();
    proxy.wait_for_complaint("reloaded");
    proxy.strike(Signal::KILL);
    assert_eq!(proxy.get("/").server(), "a");
    let mut second = Conn::connect(proxy.second_address());
    assert_eq!(second.get("/").server(), "b");
    assert_eq!(proxy.status().unwrap()["restarts"], 1);
}

// === A panic ===

/// A request that makes a worker panic, at a place that src/proxy/fault.rs knows.
fn fatal(place: &str) -> String {
    format!("GET /{place} HTTP/1.1\r\nHost: a\r\nX-Panic: {place}\r\n\r\n")
}

fn panicking(on: Driver) -> Setup {
    Setup::new(on).environment("RINGBOLT_TEST_PANIC", "X-Panic")
}

fn a_worker_that_dies_takes_its_generation_along(on: Driver) {
    for (place, words) in [
        (
            "accept",
            "worker 0 has lost accepting, and the process ends: a panic at src/proxy/fault.rs",
        ),
        (
            "accept-error",
            "worker 0 has lost accepting, and the process ends: on purpose",
        ),
        ("tick", "worker 0 has ended"),
        ("abort", "was ended by signal 6 (SIGABRT)"),
    ] {
        let server = Server::named("one");
        let proxy = panicking(on).server(&server).start();
        let dead = proxy.generation();
        let mut client = proxy.client();
        client.send(fatal(place));
        if place.starts_with("accept") {
            assert_eq!(client.read_response().status(), 200);
            drop(proxy.client());
        }
        proxy.wait_for_complaint(words);
        proxy.wait_for_complaint("another one starts");
        assert_eq!(proxy.get("/").status(), 200, "{place}");
        assert_ne!(proxy.generation(), dead, "{place}");
        if place != "abort" {
            proxy.wait_for_complaint("ended with exit code 70: another one starts");
        }
    }
}

fn a_panic_in_an_exchange_ends_only_it(on: Driver) {
    for (place, status, letters) in [("head", 500, "IR"), ("wait", 500, "IH"), ("data", -1, "ID")] {
        let server = Server::named("one");
        let proxy = panicking(on)
            .server(&server)
            .limits("idle_links = 0")
            .start();
        let mut beside = proxy.client();
        assert_eq!(beside.get("/").status(), 200);
        let before = proxy.settled_descriptors();
        for _ in 0..10 {
            let mut client = proxy.client();
            client.send(fatal(place));
            match status {
                500 => assert_eq!(client.read_response().status(), 500, "{place}"),
                _ => client.expect_closed(),
            }
        }
        let lines = eventually("a line for each", || {
            let mut lines = proxy.all_access_lines();
            lines.retain(|line| line.termination.starts_with(letters));
            (lines.len() == 10).then_some(lines)
        });
        for line in lines {
            let wanted = if place == "data" { 200 } else { 500 };
            assert_eq!(line.status, wanted, "{place}: {}", line.line);
        }
        let said = proxy.wait_for_line("of worker 0 panicked and ended: src/proxy/");
        assert!(
            said.contains("critical: ") && said.contains(place),
            "{said}"
        );
        let told = || {
            proxy
                .lines()
                .iter()
                .filter(|line| line.contains("panicked"))
                .count()
        };
        assert_eventually!(proxy.status().unwrap()["panics"] == 10);
        assert!(told() < 5, "not a line for each");
        assert_eventually!(server.open() == 0, "{place}: the links are closed");
        proxy.wait_for_descriptors(before);
        let status = proxy.status().unwrap();
        assert_eq!(status["connections"], 1, "{place}: {status}");
        assert_eq!(status["pools"][0]["sessions"], 0, "{place}: {status}");
        assert_eq!(status["pools"][0]["servers"][0]["sessions"], 0, "{place}");
        assert_eq!(beside.get("/").status(), 200, "the rest is unharmed");
        assert_eq!(status["restarts"], 0);
    }
}

fn a_panic_in_a_tunnel_ends_only_it(on: Driver) {
    let server = Server::websocket("one");
    let proxy = panicking(on).server(&server).start();
    let mut beside = proxy.client();
    beside.upgrade("/beside");
    let before = proxy.settled_descriptors();
    let mut client = proxy.client();
    client.upgrade("/fatal");
    client.echoes("so far");
    client.send("X-Panic: tunnel\r\n");
    client.expect_closed();
    let ended = eventually("the tunnel's end is logged", || {
        let mut lines = proxy.lines().into_iter();
        lines.find(|line| line.contains("/fatal") && !line.contains("ws=open"))
    });
    assert!(ended.contains(" ID-- "), "{ended}");
    proxy.wait_for_line("1 task of worker 0 panicked and ended: src/proxy/fault.rs");
    assert_eventually!(server.open() == 1);
    proxy.wait_for_descriptors(before);
    let status = proxy.status().unwrap();
    assert_eq!(
        (&status["tunnels"], &status["connections"]),
        (&1.into(), &1.into())
    );
    assert_eq!(status["pools"][0]["servers"][0]["tunnels"], 1);
    assert_eq!(status["panics"], 1);
    beside.echoes("unharmed");
}

// === No descriptors ===

/// The process that serves gets no descriptor beyond those that it has, until this value goes.
struct Starved {
    process: Pid,
    /// Free numbers among those that it has.
    gaps: usize,
    before: Rlimit,
}

impl Starved {
    fn of(proxy: &Proxy) -> Self {
        let process = proxy.generation();
        let open = std::fs::read_dir(format!("/proc/{process}/fd")).unwrap();
        let numbers: Vec<usize> = open
            .filter_map(|one| one.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        let end = numbers.iter().max().unwrap() + 1;
        let process = Pid::from_raw(i32::try_from(process).unwrap()).unwrap();
        let limit = Rlimit {
            current: Some(end as u64),
            maximum: rustix::process::getrlimit(Resource::Nofile).maximum,
        };
        let before = prlimit(Some(process), Resource::Nofile, limit).unwrap();
        Self {
            process,
            gaps: end - numbers.len(),
            before,
        }
    }
}

impl Drop for Starved {
    fn drop(&mut self) {
        let _ = prlimit(Some(self.process), Resource::Nofile, self.before);
    }
}

fn count_of(proxy: &Proxy, words: &str) -> usize {
    let lines = proxy.lines();
    lines.iter().filter(|line| line.contains(words)).count()
}

/// Connects clients until the proxy can accept no more: gaps among its descriptors are filled then.
fn crowd(proxy: &Proxy, starved: &Starved) -> Vec<Conn> {
    let mut clients: Vec<Conn> = (1..starved.gaps).map(|_| proxy.client()).collect();
    eventually("accepting pauses", || {
        clients.push(proxy.client());
        // The log is written ten times a second.
        std::thread::sleep(Duration::from_millis(120));
        (count_of(proxy, "cannot accept, pausing") > 0).then_some(())
    });
    clients
}

fn without_descriptors_accepting_pauses_and_goes_on(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut beside = proxy.client();
    assert_eq!(beside.get("/").status(), 200);
    let mut inside: Vec<Conn> = (0..60).map(|_| proxy.client()).collect();
    for client in &mut inside {
        assert_eq!(client.get("/").status(), 200);
    }
    let starved = Starved::of(&proxy);
    let mut crowd = crowd(&proxy, &starved);
    // Descriptors that come free are used, and are nothing to write about.
    for _ in 0..5 {
        inside.truncate(inside.len() - 2);
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(120));
            crowd.push(proxy.client());
        }
    }
    std::thread::sleep(Duration::from_millis(120));
    let mut waiting: Vec<Conn> = (0..5).map(|_| proxy.client()).collect();
    for client in &mut waiting {
        client.send("GET /waited HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    let spent = thread_time(proxy.generation());
    waiting[0].expect_silence(Duration::from_secs(1));
    let spent = thread_time(proxy.generation()) - spent;
    assert!(spent < Duration::from_millis(50), "{spent:?} in a second");
    assert_eq!(beside.get("/").status(), 200, "those inside are served");
    let said = proxy.wait_for_line("cannot accept, pausing");
    assert!(
        said.contains("error: ") && said.contains("Too many open files"),
        "{said}"
    );
    assert_eq!(
        count_of(&proxy, "cannot accept, pausing"),
        1,
        "not one for each attempt"
    );
    drop(starved);
    for client in &mut waiting {
        assert_eq!(client.read_response().status(), 200);
    }
    drop((crowd, waiting, inside));
    eventually("accepting goes on, and says so", || {
        assert_eq!(proxy.get("/").status(), 200);
        (count_of(&proxy, "accepting again") == 1).then_some(())
    });
    assert_eq!(count_of(&proxy, "cannot accept, pausing"), 1);
}

fn without_descriptors_a_server_is_not_blamed(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .limits("idle_links = 0")
        .start();
    let mut inside: Vec<Conn> = (0..5).map(|_| proxy.client()).collect();
    for client in &mut inside {
        assert_eq!(client.get("/").status(), 200);
    }
    let starved = Starved::of(&proxy);
    let crowd = crowd(&proxy, &starved);
    for client in &mut inside {
        let from = Instant::now();
        assert_eq!(client.get("/starved").status(), 503);
        assert!(
            from.elapsed() < Duration::from_millis(900),
            "no retry would help"
        );
        client.expect_closed();
        // A gap that this client leaves is filled again.
        proxy.client().send("GET / HTTP/1.1\r\n");
    }
    for line in proxy.access_lines("GET /starved", 5) {
        assert_eq!(&line.termination[..2], "RC", "{}", line.line);
        assert!(line.counts.ends_with("/0"), "no retries: {}", line.line);
    }
    proxy.wait_for_line("error: no descriptor or memory left to connect to a server: ");
    assert_eq!(count_of(&proxy, "no descriptor or memory left"), 1);
    drop((starved, crowd));
    assert_eventually!(proxy.get("/").status() == 200);
    let status = proxy.status().unwrap();
    assert_eq!(
        status["pools"][0]["servers"][0]["connect_errors"], 0,
        "{status}"
    );
}

fn a_check_without_a_descriptor_is_no_verdict(on: Driver) {
    let server = Server::named("one");
    let check = "check = { interval = \"20ms\", timeout = \"1s\", rise = 1, fall = 1 }";
    let proxy = Setup::new(on).server_with(&server, check).start();
    assert_eventually!(server.accepted() > 1);
    let starved = Starved::of(&proxy);
    // It may be at a check's cost that a client comes in, and the other way round.
    let _crowd = crowd(&proxy, &starved);
    eventually("no check finds a descriptor", || {
        let before = server.accepted();
        std::thread::sleep(Duration::from_millis(200));
        (server.accepted() == before).then_some(())
    });
    assert_eq!(count_of(&proxy, "is down"), 0);
}

fn a_kept_link_gives_its_descriptor_to_a_request(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = Proxy::before(on, &[&one, &two]);
    let mut clients = [proxy.client(), proxy.client()];
    assert_eq!(clients[0].get("/").server(), "one");
    assert_eventually!(one.open() == 1);
    let starved = Starved::of(&proxy);
    let _crowd = crowd(&proxy, &starved);
    assert_eq!(clients[1].get("/").server(), "two", "it is its turn");
    assert_eventually!(
        one.open() == 0,
        "the link that nobody used is closed for it"
    );
}
