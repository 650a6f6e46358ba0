//! Timeouts: none ends early, and none late. Both ends are asserted; a second or more of each, so that one that is counted in steps
//! which take too long would be seen.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::{Conn, Driver, Proxy, Server, Setup, Unreachable, in_time};

on_both_drivers!(
    each_ends_in_time,
    waiting_long_is_cheap_and_exact,
    what_expires_together_is_ended,
);

/// All of these at once: most of their time they wait.
fn together(on: Driver, scenarios: &[fn(Driver)]) {
    std::thread::scope(|scope| {
        for scenario in scenarios {
            scope.spawn(|| scenario(on));
        }
    });
}

fn each_ends_in_time(on: Driver) {
    together(
        on,
        &[
            a_server_that_does_not_answer,
            a_server_that_stalls_inside_its_answer,
            a_server_that_answers_late_after_a_slow_upload,
            a_client_that_stalls_inside_its_body,
            a_client_that_does_not_read,
            a_head_and_the_wait_for_one,
            a_quiet_tunnel,
            a_tunnel_that_was_busy_a_moment_ago,
            a_tunnel_with_one_side_ended,
            a_tunnel_at_rest,
            a_connection_and_a_queue,
            an_unused_link,
        ],
    );
}

fn waiting_long_is_cheap_and_exact(on: Driver) {
    together(
        on,
        &[
            a_process_that_stood_still_is_early_with_nothing,
            a_client_that_leaves_a_late_server_is_seen_at_once,
            waiting_for_late_servers_costs_nothing,
        ],
    );
}

const SECOND: Duration = Duration::from_secs(1);

fn get(proxy: &Proxy) -> Conn {
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client
}

fn a_server_that_does_not_answer(on: Driver) {
    let server = Server::silent();
    let setup = Setup::new(on).server(&server);
    let proxy = setup.timeouts("server = \"5s\"").start();
    let status = in_time(5 * SECOND, || get(&proxy).read_response().status());
    assert_eq!(status, 504);
}

fn a_server_that_stalls_inside_its_answer(on: Driver) {
    let server = Server::script(|conn| {
        if conn.read_request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
            for byte in ["a", "b"] {
                std::thread::sleep(SECOND);
                conn.send(byte);
            }
            conn.read_to_end();
        }
    });
    let setup = Setup::new(on).server(&server);
    let proxy = setup.timeouts("server = \"3s\"").start();
    // Two seconds with a byte each, then silence.
    in_time(5 * SECOND, || {
        let mut client = get(&proxy);
        assert_eq!(client.read_response_head().status(), 200);
        assert_eq!(client.read_to_end(), b"ab");
    });
}

fn a_server_that_answers_late_after_a_slow_upload(on: Driver) {
    let server = Server::silent();
    let setup = Setup::new(on).server(&server);
    let proxy = setup.timeouts("server = \"2s\"").start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n");
    for _ in 0..7 {
        client.send("x").expect_silence(Duration::from_millis(400));
    }
    in_time(2 * SECOND, || {
        client.send("x");
        assert_eq!(client.read_response().status(), 504);
    });
}

fn a_client_that_stalls_inside_its_body(on: Driver) {
    let server = Server::named("one");
    let setup = Setup::new(on).server(&server);
    let proxy = setup.timeouts("client = \"2s\"").start();
    let mut client = proxy.client();
    in_time(2 * SECOND, || {
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly this");
        assert_eq!(client.read_response().status(), 408);
    });
}

fn a_client_that_does_not_read(on: Driver) {
    let server = Server::script(|conn| {
        if conn.read_request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            while conn.try_send([0; 10_000]).is_ok() {}
        }
    });
    let setup = Setup::new(on).server(&server);
    let proxy = setup.timeouts("client = \"2s\"").start();
    let mut client = Conn::connect_narrow(proxy.address());
    in_time(2 * SECOND, || {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eventually!(server.requests().len() == 1);
        assert_eventually!(server.open() == 0);
    });
}

fn a_head_and_the_wait_for_one(on: Driver) {
    let server = Server::named("one");
    let timeouts = "request_head = \"1s\"\nkeep_alive = \"2s\"";
    let proxy = Setup::new(on).server(&server).timeouts(timeouts).start();
    in_time(SECOND, || proxy.client().expect_closed());
    let mut client = proxy.client();
    in_time(SECOND, || {
        client.send("GET / HT");
        assert_eq!(client.read_response().status(), 408);
    });
    let mut client = proxy.client();
    in_time(2 * SECOND, || {
        assert_eq!(client.get("/").status(), 200);
        client.expect_closed();
    });
}

fn tunnel(on: Driver, server: &Server, timeout: &str) -> (Proxy, Conn) {
    let setup = Setup::new(on).server(server);
    let timeouts = format!("tunnel = \"{timeout}\"");
    let proxy = setup.timeouts(&timeouts).start();
    let mut client = proxy.client();
    client.upgrade("/");
    (proxy, client)
}

fn a_quiet_tunnel(on: Driver) {
    let server = Server::websocket("one");
    let (_proxy, mut client) = tunnel(on, &server, "1s");
    in_time(SECOND, || {
        client.echoes("hello");
        client.expect_closed();
    });
}

fn a_tunnel_that_was_busy_a_moment_ago(on: Driver) {
    let server = Server::websocket("one");
    let (_proxy, mut client) = tunnel(on, &server, "1500ms");
    let from = Instant::now();
    while from.elapsed() < Duration::from_millis(3_300) {
        client.echoes("busy");
        std::thread::sleep(Duration::from_millis(70));
    }
    in_time(Duration::from_millis(1_500), || {
        client.echoes("the last");
        client.expect_closed();
    });
}

fn a_tunnel_with_one_side_ended(on: Driver) {
    let server = Server::tunnel(|conn| {
        conn.read_to_end();
        std::thread::sleep(4 * SECOND);
    });
    let (_proxy, mut client) = tunnel(on, &server, "1500ms");
    in_time(Duration::from_millis(1_500), || {
        client.finish();
        client.expect_closed();
    });
}

fn a_tunnel_at_rest(on: Driver) {
    let server = Server::websocket("one");
    let (proxy, mut client) = tunnel(on, &server, "4s");
    in_time(4 * SECOND, || {
        client.echoes("hello");
        proxy.wait_for_resting(1);
        client.expect_closed();
    });
    assert_eq!(proxy.resting(), 0);
}

fn a_connection_and_a_queue(on: Driver) {
    let nobody = Unreachable::new();
    let proxy = Setup::new(on)
        .unreachable("one", &nobody, "")
        .pool("retries = 0\ntimeouts = { connect = \"1s\" }")
        .start();
    in_time(SECOND, || {
        assert_eq!(get(&proxy).read_response().status(), 503)
    });
    let server = Server::silent();
    let proxy = Setup::new(on)
        .server_with(&server, "max_connections = 1")
        .pool("timeouts = { queue = \"2s\" }")
        .start();
    let _first = get(&proxy);
    assert_eventually!(server.open() == 1);
    in_time(2 * SECOND, || {
        assert_eq!(get(&proxy).read_response().status(), 503);
    });
}

fn an_unused_link(on: Driver) {
    let server = Server::named("one");
    let setup = Setup::new(on).server(&server);
    let proxy = setup.timeouts("idle_link = \"1500ms\"").start();
    let mut client = proxy.client();
    in_time(Duration::from_millis(1_500), || {
        assert_eq!(client.get("/").status(), 200);
        assert_eventually!(server.open() == 0);
    });
}

fn a_process_that_stood_still_is_early_with_nothing(on: Driver) {
    let server = Server::named("one");
    let timeouts = "client = \"1s\"\nrequest_head = \"1s\"";
    let proxy = Setup::new(on).server(&server).timeouts(timeouts).start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n");
    assert_eventually!(server.open() == 1);
    proxy.strike(Signal::STOP);
    std::thread::sleep(2 * SECOND);
    // It finds this byte, and two seconds of ticks.
    let from = Instant::now();
    client.send("x");
    proxy.strike(Signal::CONT);
    assert_eq!(client.read_response().status(), 408);
    let took = from.elapsed();
    assert!(took >= SECOND, "ended early, after {took:?}");
    assert!(took < 4 * SECOND, "ended late, after {took:?}");
}

/// More than are ended in one turn of the worker; each has its line.
fn what_expires_together_is_ended(on: Driver) {
    const MANY: usize = 600;
    let server = Server::websocket("one");
    let (proxy, first) = tunnel(on, &server, "4s");
    let mut clients = vec![first];
    clients.extend((1..MANY).map(|_| {
        let mut client = proxy.client();
        client.send(support::handshake("/"));
        client
    }));
    for client in &mut clients[1..] {
        assert_eq!(client.read_response().status(), 101);
    }
    proxy.wait_for_resting(MANY);
    assert_eventually!(server.open() == 0);
    assert_eventually!(proxy.lines().iter().filter(|l| l.contains(" cD")).count() == MANY);
    for client in &mut clients {
        client.expect_closed();
    }
    assert_eq!(proxy.resting(), 0);
}

fn a_client_that_leaves_a_late_server_is_seen_at_once(on: Driver) {
    let server = Server::silent();
    let setup = Setup::new(on).server(&server);
    let proxy = setup.timeouts("server = \"1h\"").start();
    // One that has sent something ahead, too: it is not read before its turn comes.
    for more in ["", "GET /ahead HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut client = get(&proxy);
        client.send(more);
        assert_eventually!(server.open() == 1);
        client.expect_silence(Duration::from_millis(1_200));
        let from = Instant::now();
        drop(client);
        assert_eventually!(server.open() == 0);
        let took = from.elapsed();
        assert!(took < Duration::from_millis(350), "{took:?}");
    }
    let cut = proxy.access_lines("GET /", 2);
    assert!(cut.iter().all(|line| &line.termination[..2] == "CH"));
}

fn waiting_for_late_servers_costs_nothing(on: Driver) {
    let server = Server::silent();
    let setup = Setup::new(on).server(&server);
    let proxy = setup.timeouts("server = \"1h\"").start();
    let clients: Vec<Conn> = (0..300).map(|_| get(&proxy)).collect();
    assert_eventually!(server.open() == clients.len());
    std::thread::sleep(SECOND);
    let before = proxy.wakeups();
    std::thread::sleep(2 * SECOND);
    let woken = proxy.wakeups() - before;
    // The ticks of two seconds, and not one look at each client.
    assert!((15..200).contains(&woken), "woken {woken} times");
}
