//! `response_parsing = "lenient"`: what old servers send reaches the client in the strict form, and nothing of theirs is left for
//! another request.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use support::{Driver, KEY, Proxy, Server, Setup, accept_of, frame, handshake};

on_both_drivers!(
    what_old_servers_send_is_forwarded_in_the_strict_form,
    what_has_two_readings_stays_refused,
    nothing_of_it_is_accepted_without_the_setting,
    a_check_reads_as_traffic_does,
    an_old_server_may_switch,
    a_strict_response_of_such_a_pool_keeps_its_link,
);

/// What a server sends, and the field and the raw body that a client receives; then what the server may be told to send by.
const OLD: [(&str, (&str, &str), &str); 11] = [
    (
        "HTTP/1.1 200 OK\nX-A: b\nContent-Length: 2\n\nok",
        ("X-A", "b"),
        "ok",
    ),
    (
        "HTTP/1.1 200 OK\r\nX-A: b\nContent-Length: 2\n\r\nok",
        ("X-A", "b"),
        "ok",
    ),
    (
        "HTTP/1.0 200 OK\nContent-Length: 2\nConnection: keep-alive\n\nok",
        ("Content-Length", "2"),
        "ok",
    ),
    (
        "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\n\td\r\nContent-Length: 2\r\n\r\nok",
        ("X-A", "b c d"),
        "ok",
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nok",
        ("Content-Length", "2"),
        "ok",
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: b\r\ncontent-length: 02\r\n\r\nok",
        ("Content-Length", "2"),
        "ok",
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        ("Content-Length", "2"),
        "ok",
    ),
    (
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ("Transfer-Encoding", "chunked"),
        "2\r\nok\r\n0\r\n\r\n",
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 \nok\n0\nX-B: c\n\n",
        ("Transfer-Encoding", "chunked"),
        "2\r\nok\r\n0\r\nX-B: c\r\n\r\n",
    ),
    (
        "HTTP/1.1 103 Early Hints\nX: y\n\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        ("Content-Length", "2"),
        "ok",
    ),
    (
        "HTTP/1.1 103 Early Hints\nX: y\n\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ("Content-Length", "2"),
        "ok",
    ),
];

/// Answers each request with these bytes, whole or byte by byte, and would go on. A response that is refused may be cut in the
/// middle.
fn old_server(answer: &'static str, by_the_byte: bool) -> Server {
    Server::script(move |conn| {
        while conn.read_request().is_some() {
            let size = if by_the_byte { 1 } else { answer.len() };
            let mut pieces = answer.as_bytes().chunks(size.max(1));
            if !pieces.all(|piece| conn.try_send(piece).is_ok()) {
                return;
            }
        }
    })
}

fn before(on: Driver, server: &Server) -> Proxy {
    Setup::new(on)
        .pool("response_parsing = \"lenient\"")
        .server(server)
        .start()
}

fn what_old_servers_send_is_forwarded_in_the_strict_form(on: Driver) {
    for (answer, (name, value), body) in OLD {
        for by_the_byte in [false, true] {
            let server = old_server(answer, by_the_byte);
            let proxy = before(on, &server);
            let mut client = proxy.client();
            for number in 1..=2 {
                client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                if answer.contains("103") {
                    let hint = client.read_response();
                    assert_eq!((hint.status(), hint.field("X")), (103, Some("y")));
                }
                let reply = client.read_response();
                assert_eq!(reply.status(), 200, "{answer:?}");
                assert_eq!(reply.fields(name), [value], "{answer:?}: {}", reply.head);
                let framing =
                    reply.fields("Content-Length").len() + reply.fields("Transfer-Encoding").len();
                assert_eq!(framing, 1, "{answer:?}: {}", reply.head);
                let raw = match reply.raw_body.is_empty() {
                    true => &reply.body,
                    false => &reply.raw_body,
                };
                assert_eq!(String::from_utf8_lossy(raw), body, "{answer:?}");
                assert_eq!(
                    server.connections(),
                    number,
                    "{answer:?}: a link was used again"
                );
            }
        }
    }
}

const TWO_READINGS: [&str; 9] = [
    "HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 3\n\nok",
    "HTTP/1.1 200 OK\r\nContent-Length: 2, 3\r\n\r\nok",
    "HTTP/1.1 200 OK\nContent-Length : 2\n\nok",
    "HTTP/1.1 200 OK\n X-A: b\nContent-Length: 2\n\nok",
    "HTTP/1.1 200 OK\r\nX-A: b\rContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nX-A: b\r\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\nTransfer-Encoding: gzip\nContent-Length: 2\n\nok",
    "\nHTTP/1.1 200 OK\nContent-Length: 2\n\nok",
];

fn what_has_two_readings_stays_refused(on: Driver) {
    for answer in TWO_READINGS {
        for by_the_byte in [false, true] {
            let proxy_before = old_server(answer, by_the_byte);
            let proxy = before(on, &proxy_before);
            assert_eq!(proxy.get("/").status(), 502, "{answer:?}");
        }
    }
    // A head without an end has the bound of every other.
    let server = Server::script(|conn| {
        conn.read_request();
        let _ = conn.try_send(format!("HTTP/1.1 200 OK\n{}", "A: b\n c\n".repeat(5_000)));
    });
    let proxy = before(on, &server);
    assert_eq!(proxy.get("/").status(), 502);
}

fn nothing_of_it_is_accepted_without_the_setting(on: Driver) {
    for (answer, _, _) in OLD {
        let server = old_server(answer, false);
        let proxy = Proxy::before(on, &[&server]);
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let status = client.read_response_head().status();
        assert_eq!(status, 502, "{answer:?}");
    }
    // Requests are read strictly whatever the pool.
    let server = Server::named("one");
    let proxy = before(on, &server);
    for request in [
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\nhi\n0\n\n",
    ] {
        let mut client = proxy.client();
        client.send(request);
        assert_eq!(client.read_response().status(), 400, "{request:?}");
    }
    assert_eq!(server.requests().len(), 0);
}

fn a_check_reads_as_traffic_does(on: Driver) {
    let check =
        "check = { type = \"http\", interval = \"100ms\", fall = 1, rise = 1, body = \"ok\" }";
    for (answer, is_up) in [
        (OLD[0].0, true),
        (OLD[3].0, true),
        (OLD[8].0, true),
        (OLD[9].0, true),
        (TWO_READINGS[0], false),
    ] {
        let server = old_server(answer, false);
        let proxy = Setup::new(on)
            .pool("response_parsing = \"lenient\"")
            .server_with(&server, check)
            .start();
        assert_eventually!(server.requests().len() >= 2, "{answer:?} is checked");
        let state = || proxy.status().unwrap()["pools"][0]["servers"][0]["state"].clone();
        match is_up {
            true => assert!(state() != "down", "{answer:?}: {}", state()),
            false => assert_eventually!(state() == "down", "{answer:?} is down"),
        }
    }
}

fn an_old_server_may_switch(on: Driver) {
    let accept = accept_of(KEY);
    let server = Server::script(move |conn| {
        conn.read_request_head();
        conn.send(format!(
            "HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept:\n {accept}\n\n"
        ));
        conn.send(frame(1, b"first", None));
        while let Some(arrived) = conn.try_read_frame() {
            conn.send(frame(1, &arrived.payload, None));
        }
    });
    let proxy = before(on, &server);
    let mut client = proxy.client();
    client.send(handshake("/"));
    let reply = client.read_response();
    let accept = accept_of(KEY);
    assert_eq!(reply.field("Sec-WebSocket-Accept"), Some(&accept[..]));
    assert_eq!(client.read_frame().payload, b"first");
    client.echoes("hello");
}

fn a_strict_response_of_such_a_pool_keeps_its_link(on: Driver) {
    let server = Server::named("one");
    let proxy = before(on, &server);
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(client.get("/").text(), "one");
    }
    assert_eq!(server.connections(), 1);
}
