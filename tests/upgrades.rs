//! Other protocols than WebSocket behind an upgrade: only those that the pool lets through, and never another HTTP.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use support::{Conn, Driver, Proxy, Server, Setup};

on_both_drivers!(
    a_protocol_of_the_pool_becomes_a_tunnel,
    a_request_with_a_body_may_ask_for_it,
    what_the_pool_does_not_name_is_an_ordinary_request,
    a_server_may_decline,
    a_switch_to_something_else_is_a_502,
    a_switch_before_the_request_is_whole_is_a_502,
);

const SWITCHED: &str = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

/// Switches to `tcp`, then sends back what it receives, as long as that is.
fn switching() -> Server {
    Server::script(|conn| {
        let Some(request) = conn.read_request() else {
            return;
        };
        match request.field("Upgrade") {
            Some(_) => {
                let _ = conn.try_send(SWITCHED);
                while let Some(line) = conn.try_read_until(b"\n") {
                    if conn.try_send(line).is_err() {
                        return;
                    }
                }
            }
            None => {
                let _ = conn.try_send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            }
        }
    })
}

fn with_tcp(on: Driver, server: &Server) -> Proxy {
    Setup::new(on)
        .server(server)
        .pool("upgrade_protocols = [\"TCP\"]")
        .start()
}

fn ask(method: &str, upgrade: &str, body: &str) -> String {
    let length = match body {
        "" => String::new(),
        body => format!("Content-Length: {}\r\n", body.len()),
    };
    format!(
        "{method} /exec/1/start HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\n{length}\r\n{body}"
    )
}

fn head_of(client: &mut Conn) -> String {
    let head = client.try_read_until(b"\r\n\r\n").unwrap();
    String::from_utf8(head).unwrap()
}

fn passes(client: &mut Conn) {
    for line in ["not a frame\n", "\u{81}\u{5}\n", "\n"] {
        client.send(line);
        assert_eq!(client.try_read_until(b"\n").unwrap(), line.as_bytes());
    }
}

fn a_protocol_of_the_pool_becomes_a_tunnel(on: Driver) {
    let server = switching();
    let proxy = with_tcp(on, &server);
    for (method, upgrade) in [("GET", "tcp"), ("POST", "TCP")] {
        let mut client = proxy.client();
        client.send(ask(method, upgrade, ""));
        let head = head_of(&mut client);
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(
            head.contains("\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"),
            "{head}"
        );
        let request = server.last_request();
        assert_eq!(request.fields("Upgrade"), ["tcp"]);
        assert_eq!(request.fields("Connection"), ["Upgrade"]);
        passes(&mut client);
        assert_eq!(proxy.status().unwrap()["tunnels"], 1);
        drop(client);
        assert_eventually!(proxy.status().unwrap()["tunnels"] == 0);
    }
    let lines = proxy.access_lines("/exec/1/start", 4);
    assert!(lines.iter().all(|line| line.status == 101), "{lines:?}");
}

/// As docker exec: what runs is in the body, and the stream follows the 101.
fn a_request_with_a_body_may_ask_for_it(on: Driver) {
    let server = switching();
    let proxy = with_tcp(on, &server);
    let mut client = proxy.client();
    let body = "{\"Detach\":false,\"Tty\":true}";
    client.send(ask("POST", "tcp", body));
    assert!(head_of(&mut client).starts_with("HTTP/1.1 101 "));
    assert_eq!(server.last_request().text(), body);
    passes(&mut client);
}

fn what_the_pool_does_not_name_is_an_ordinary_request(on: Driver) {
    let server = switching();
    let named = with_tcp(on, &server);
    let plain = Proxy::before(on, &[&server]);
    for (proxy, request) in [
        (&plain, ask("GET", "tcp", "")),
        (&plain, ask("POST", "tcp", "x")),
        (&named, ask("GET", "h2c", "")),
        (&named, ask("GET", "tcp, h2c", "")),
        (&named, ask("GET", "tcp/1", "")),
        (
            &named,
            ask("GET", "tcp", "").replace("Connection: Upgrade\r\n", ""),
        ),
        (
            &named,
            ask("GET", "tcp", "").replace("HTTP/1.1", "HTTP/1.0"),
        ),
    ] {
        let reply = proxy.client().request(&request);
        assert_eq!(reply.status(), 200, "{request}");
        assert!(!server.last_request().has("Upgrade"), "{request}");
    }
    // WebSocket needs no setting beside it.
    let socket = Server::websocket("one");
    let proxy = with_tcp(on, &socket);
    let mut client = proxy.client();
    client.upgrade("/");
    client.echoes("still a WebSocket");
}

fn a_server_may_decline(on: Driver) {
    let server = Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno");
    let proxy = with_tcp(on, &server);
    let mut client = proxy.client();
    for _ in 0..2 {
        assert_eq!(client.request(&ask("POST", "tcp", "x")).text(), "no");
    }
}

fn a_switch_to_something_else_is_a_502(on: Driver) {
    for (from, to) in [
        ("Upgrade: tcp", "Upgrade: h2c"),
        ("Upgrade: tcp", "Upgrade: tcp, h2c"),
        ("Upgrade: tcp\r\n", ""),
        ("Connection: Upgrade\r\n", ""),
        ("HTTP/1.1", "HTTP/1.0"),
    ] {
        let answer: &'static str = Box::leak(SWITCHED.replace(from, to).into_boxed_str());
        let server = Server::answering_once(answer);
        let proxy = with_tcp(on, &server);
        let reply = proxy.client().request(&ask("GET", "tcp", ""));
        assert_eq!(reply.status(), 502, "{to}");
    }
}

/// What the client sends after that would be taken for the body.
fn a_switch_before_the_request_is_whole_is_a_502(on: Driver) {
    let server = Server::script(|conn| {
        let _ = conn.try_read_until(b"\r\n\r\n");
        let _ = conn.try_send(SWITCHED);
        let _ = conn.try_read_until(b"never");
    });
    let proxy = with_tcp(on, &server);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 10\r\n\r\nhalf");
    assert_eq!(client.read_response().status(), 502);
    assert_eq!(proxy.status().unwrap()["tunnels"], 0);
}
