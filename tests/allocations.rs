//! A steady request on kept connections and a message in a tunnel allocate nothing: a debug build counts what its
//! workers ask of the allocator.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use support::{Conn, Driver, Proxy, Server, Setup};

on_both_drivers!(
    a_steady_request_allocates_nothing,
    a_request_with_bodies_allocates_nothing,
    a_message_allocates_nothing,
);

fn allocations(proxy: &Proxy) -> u64 {
    let body = Conn::connect_unix(&proxy.control_socket()).get("/v1/status");
    let status: serde_json::Value = serde_json::from_str(&body.text()).unwrap();
    status["allocations"].as_u64().unwrap()
}

/// Times that something is done warm, and then counted.
const TIMES: usize = 300;

/// What the process allocates by itself meanwhile: ten times a second it looks at its deadlines and hands log lines over, whose blocks come
/// back. A request that allocated once would be counted 300 times.
const BY_ITSELF: u64 = 20;

fn assert_nothing(proxy: &Proxy, mut work: impl FnMut()) {
    (0..TIMES).for_each(|_| work());
    let before = allocations(proxy);
    (0..TIMES).for_each(|_| work());
    let made = allocations(proxy) - before;
    assert!(made <= BY_ITSELF, "{made} allocations in {TIMES} times");
}

/// Everything that people run with: a cookie, checks, both logs.
fn proxy(on: Driver, server: &Server) -> Proxy {
    Setup::new(on)
        .sticky("cookie = \"SERVERID\"")
        .server_with(server, "cookie = \"one\"\ncheck = { interval = \"10s\" }")
        .more("[[log]]\ntarget = \"syslog://127.0.0.1:9\"\nformat = \"json\"\n")
        .start()
}

fn a_steady_request_allocates_nothing(on: Driver) {
    let server = Server::named("one");
    let proxy = proxy(on, &server);
    let mut client = proxy.client();
    assert_nothing(&proxy, || {
        let answer = client.get_with(
            "/a?b=c",
            "Cookie: theme=dark; SERVERID=one\r\nAccept: */*\r\n",
        );
        assert_eq!(answer.status(), 200);
    });
}

fn a_request_with_bodies_allocates_nothing(on: Driver) {
    let server = Server::answering(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n{}",
        "y".repeat(10_000)
    ));
    let proxy = proxy(on, &server);
    let mut client = proxy.client();
    let request = format!(
        "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10000\r\n\r\n{}",
        "x".repeat(10_000)
    );
    assert_nothing(&proxy, || {
        assert_eq!(client.request(&request).body.len(), 10_000);
    });
}

fn a_message_allocates_nothing(on: Driver) {
    let server = Server::websocket("one");
    let proxy = proxy(on, &server);
    let mut client = proxy.client();
    client.upgrade("/socket");
    assert_nothing(&proxy, || client.echoes("hello"));
}
