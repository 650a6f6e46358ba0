//! WebSocket: the handshake seen from both sides, and the tunnel after it.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::time::{Duration, Instant};

use support::{
    Conn, Driver, KEY, Proxy, Server, Setup, accept_of, frame, handshake, handshake_with,
};

on_both_drivers!(
    a_tunnel_carries_frames_both_ways,
    the_handshake_reaches_the_server_whole,
    names_of_the_handshake_may_be_in_any_case,
    an_empty_body_is_none,
    an_upgrade_that_is_to_be_ignored_is_ignored,
    an_ignored_upgrade_is_not_switched,
    a_transfer_coding_in_a_101_is_dropped,
    malformed_handshakes_are_refused,
    another_version_is_told_the_right_one,
    other_upgrade_tokens_are_removed,
    bytes_before_the_101_are_held,
    more_early_bytes_than_a_buffer_holds_still_arrive,
    a_refused_handshake_is_an_ordinary_answer,
    bytes_held_for_a_refused_handshake_are_never_parsed,
    a_wrong_accept_value_is_no_handshake,
    an_incomplete_101_is_no_handshake,
    a_101_may_carry_the_first_frames,
    the_client_may_end_its_direction_first,
    the_server_may_end_its_direction_first,
    large_frames_pass_whole,
    frames_may_arrive_byte_by_byte,
    an_idle_tunnel_is_ended_by_its_own_timeout,
    traffic_in_one_direction_keeps_a_tunnel,
    only_the_tunnels_timeout_counts_in_a_tunnel,
    bytes_that_are_no_frames_pass_untouched,
    messages_and_bytes_are_counted,
    without_inspection_only_bytes_are_counted,
    unmasked_frames_of_a_client_are_relayed_and_told_of,
    many_tunnels_share_a_worker,
    a_connection_may_be_used_before_it_becomes_a_tunnel,
    an_idle_tunnel_costs_no_time,
);

fn a_tunnel_carries_frames_both_ways(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.upgrade("/socket");
    for text in ["", "hello", "hello again"] {
        client.echoes(text);
    }
    client.send(frame(8, &[3, 232], Some([9; 4])));
    assert_eq!(client.read_frame().opcode, 8);
    client.expect_closed();
}

// === The handshake, from the client ===

fn the_handshake_reaches_the_server_whole(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.send(handshake_with(
        "/s?x",
        "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\nOrigin: http://a\r\n",
    ));
    assert_eq!(client.read_response().status(), 101);
    let request = server.last_request();
    assert_eq!(request.start, "GET /s?x HTTP/1.1");
    for (name, value) in [
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Protocol", "chat"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
        ("Origin", "http://a"),
        ("X-Forwarded-For", "127.0.0.1"),
    ] {
        assert_eq!(request.field(name), Some(value), "{}", request.head);
    }
    assert!(
        request
            .field("Connection")
            .unwrap()
            .eq_ignore_ascii_case("upgrade")
    );
}

fn names_of_the_handshake_may_be_in_any_case(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.send(format!(
        "GET / HTTP/1.1\r\nhost: a\r\nupgrade: WebSocket\r\nconnection: keep-alive, upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: {KEY}\r\n\r\n"
    ));
    assert_eq!(client.read_response().status(), 101);
    client.echoes("hello");
}

const CHUNKED: &str = "\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Charging stations and Envoy send one.
fn an_empty_body_is_none(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Proxy::before(on, &[&server]);
    for body in [
        "\r\nContent-Length: 0\r\n\r\n".to_owned(),
        CHUNKED.to_owned() + "0\r\n\r\n",
    ] {
        for by_the_byte in [false, true] {
            let mut client = proxy.client();
            let request = handshake("/").replace("\r\n\r\n", &body);
            if by_the_byte {
                client.send_by_the_byte(&request);
                client.say("early");
            } else {
                // With its first message behind it.
                let message = frame(1, b"early", Some([5; 4]));
                client.send([request.into_bytes(), message].concat());
            }
            assert_eq!(client.read_response().status(), 101, "{body:?}");
            assert_eq!(client.read_frame().payload, b"early");
            client.echoes("hello");
            let request = server.last_request();
            let framed = request.has("Content-Length") || request.has("Transfer-Encoding");
            assert!(!framed, "{}", request.head);
        }
    }
}

/// RFC 9110 section 7.8.
fn an_upgrade_that_is_to_be_ignored_is_ignored(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    let good = handshake("/");
    for (what, request) in [
        ("another method", good.replace("GET", "POST")),
        ("HTTP/1.0", good.replace("HTTP/1.1", "HTTP/1.0")),
        ("no Connection", good.replace("Connection: Upgrade\r\n", "")),
        (
            "Connection without it",
            good.replace("Connection: Upgrade", "Connection: keep-alive"),
        ),
    ] {
        let mut client = proxy.client();
        client.send(&request);
        let reply = client.read_response();
        assert_eq!(
            (reply.status(), reply.text().as_str()),
            (200, "one"),
            "{what}"
        );
        let request = server.last_request();
        let connection = request.fields("Connection").join(",").to_lowercase();
        assert!(
            !request.has("Upgrade") && !connection.contains("upgrade"),
            "{}",
            request.head
        );
    }
    // And what follows is another request, on the same connection.
    let mut client = proxy.client();
    client.send(
        good.replace("Connection: Upgrade", "Connection: keep-alive")
            + "GET /next HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(client.read_response().text(), "one");
    assert_eq!(client.read_response().text(), "one");
    assert_eq!(server.last_request().target(), "/next");
}

/// A switch that nobody asked for is refused in answers to these too.
fn an_ignored_upgrade_is_not_switched(on: Driver) {
    let server = Server::answering_once(switching(KEY));
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.send(handshake("/").replace("Connection: Upgrade\r\n", ""));
    assert_eq!(client.read_response().status(), 502);
}

/// Some libraries send one; it frames nothing.
fn a_transfer_coding_in_a_101_is_dropped(on: Driver) {
    let answer = switching(KEY).replace("\r\n\r\n", CHUNKED);
    let server = Server::script(move |conn| {
        conn.read_request_head();
        conn.send(&answer);
        while let Some(arrived) = conn.try_read_frame() {
            conn.send(frame(1, &arrived.payload, None));
        }
    });
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.send(handshake("/"));
    let reply = client.read_response();
    assert_eq!(reply.status(), 101);
    assert!(!reply.has("Transfer-Encoding"), "{}", reply.head);
    client.echoes("hello");
}

fn malformed_handshakes_are_refused(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Proxy::before(on, &[&server]);
    let good = handshake("/");
    let key = format!("Sec-WebSocket-Key: {KEY}\r\n");
    let version = "Sec-WebSocket-Version: 13\r\n";
    for (what, bad) in [
        ("no key", good.replace(&key, "")),
        ("two keys", good.replace(&key, &format!("{key}{key}"))),
        ("a short key", good.replace(KEY, "c2hvcnQ=")),
        (
            "a long key",
            good.replace(KEY, "dGhlIHNhbXBsZSBub25jZSBpcyB0b28gbG9uZw=="),
        ),
        (
            "a key that is no base64",
            good.replace(KEY, "!!!!!!!!!!!!!!!!!!!!!!=="),
        ),
        ("no version", good.replace(version, "")),
        (
            "a body",
            good.replace("\r\n\r\n", "\r\nContent-Length: 2\r\n\r\nhi"),
        ),
        (
            "a chunk",
            good.replace("\r\n\r\n", &(CHUNKED.to_owned() + "2\r\nhi\r\n0\r\n\r\n")),
        ),
        (
            "the beginning of a chunk",
            good.replace("\r\n\r\n", &(CHUNKED.to_owned() + "2\r\n")),
        ),
        (
            "a trailer",
            good.replace("\r\n\r\n", &(CHUNKED.to_owned() + "0\r\nA: b\r\n\r\n")),
        ),
        (
            "an empty body that is long",
            good.replace("\r\n\r\n", &(CHUNKED.to_owned() + &"0".repeat(100))),
        ),
    ] {
        for by_the_byte in [false, true] {
            let mut client = proxy.client();
            if by_the_byte {
                client.send_by_the_byte(&bad);
            } else {
                client.send(&bad);
            }
            let reply = client.read_response();
            assert_eq!(reply.status(), 400, "{what}: {}", reply.head);
        }
    }
    assert_eq!(server.connections(), 0, "{:?}", server.requests());
}

fn another_version_is_told_the_right_one(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Proxy::before(on, &[&server]);
    for version in ["8", "7", "14", "0", "255"] {
        let mut client = proxy.client();
        client.send(handshake("/").replace("Version: 13", &format!("Version: {version}")));
        let reply = client.read_response();
        assert_eq!(reply.status(), 426, "{version}: {}", reply.head);
        assert_eq!(reply.field("Sec-WebSocket-Version"), Some("13"));
    }
    assert_eq!(server.connections(), 0);
}

fn other_upgrade_tokens_are_removed(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    for token in ["h2c", "TLS/1.0", "websockets", "foo, bar"] {
        let lines = format!("Upgrade: {token}\r\nConnection: Upgrade\r\n");
        assert_eq!(client.get_with("/", &lines).status(), 200);
        let request = server.last_request();
        assert!(!request.has("Upgrade"), "{}", request.head);
        let connection = request.fields("Connection").join(",").to_lowercase();
        assert!(!connection.contains("upgrade"), "{}", request.head);
    }
}

// === Bytes before the answer ===

fn bytes_before_the_101_are_held(on: Driver) {
    let server = Server::script(|conn| {
        let request = conn.read_request_head().unwrap();
        conn.expect_silence(Duration::from_millis(150));
        conn.send(switching(request.field("Sec-WebSocket-Key").unwrap()));
        while let Some(arrived) = conn.try_read_frame() {
            conn.send(frame(1, &arrived.payload, None));
        }
    });
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    let mut together = handshake("/").into_bytes();
    together.extend(frame(1, b"early", Some([5; 4])));
    client.send(together);
    client.say("later");
    assert_eq!(client.read_response().status(), 101);
    assert_eq!(client.read_frame().payload, b"early");
    assert_eq!(client.read_frame().payload, b"later");
}

fn more_early_bytes_than_a_buffer_holds_still_arrive(on: Driver) {
    let server = Server::script(|conn| {
        let request = conn.read_request_head().unwrap();
        conn.expect_silence(Duration::from_millis(150));
        conn.send(switching(request.field("Sec-WebSocket-Key").unwrap()));
        let arrived = conn.try_read_frame().map_or(0, |frame| frame.payload.len());
        conn.send(frame(1, arrived.to_string().as_bytes(), None));
    });
    let proxy = Setup::new(on).server(&server).start();
    let mut client = proxy.client();
    client.send(handshake("/"));
    client.send(frame(2, &[7; 100_000], Some([5; 4])));
    assert_eq!(client.read_response().status(), 101);
    assert_eq!(client.read_frame().payload, b"100000");
}

fn switching(key: &str) -> String {
    let accept = accept_of(key);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

fn a_refused_handshake_is_an_ordinary_answer(on: Driver) {
    let server = Server::script(|conn| {
        while let Some(request) = conn.read_request() {
            conn.send(if request.has("Upgrade") {
                "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
            } else {
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes"
            });
        }
    });
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.send(handshake("/"));
    let reply = client.read_response();
    assert_eq!((reply.status(), reply.text().as_str()), (403, "no"));
    assert_eq!(client.get("/").text(), "yes");
}

fn bytes_held_for_a_refused_handshake_are_never_parsed(on: Driver) {
    let server = Server::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.send(handshake("/") + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    let reply = client.read_response();
    assert_eq!((reply.status(), reply.text().as_str()), (403, "no"));
    client.expect_closed();
    assert_eq!(proxy.get("/good").status(), 403);
    let targets: Vec<_> = server
        .requests()
        .iter()
        .map(|one| one.target().to_owned())
        .collect();
    assert_eq!(targets, ["/", "/good"]);
    let all = server.received().concat();
    assert!(!String::from_utf8_lossy(&all).contains("smuggled"));
}

// === The handshake, from the server ===

fn a_wrong_accept_value_is_no_handshake(on: Driver) {
    let server = Server::answering_once(switching("AAAAAAAAAAAAAAAAAAAAAA=="));
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.send(handshake("/"));
    assert_eq!(client.read_response().status(), 502);
}

fn an_incomplete_101_is_no_handshake(on: Driver) {
    let good = switching(KEY);
    for (what, bad) in [
        (
            "no accept value",
            good.replace("Sec-WebSocket-Accept", "X-Other"),
        ),
        ("no Upgrade", good.replace("Upgrade: websocket\r\n", "")),
        (
            "another Upgrade",
            good.replace("Upgrade: websocket\r\n", "Upgrade: h2c\r\n"),
        ),
        ("no Connection", good.replace("Connection: Upgrade\r\n", "")),
        ("HTTP/1.0", good.replace("HTTP/1.1", "HTTP/1.0")),
    ] {
        let server = Server::answering_once(bad);
        let proxy = Proxy::before(on, &[&server]);
        let mut client = proxy.client();
        client.send(handshake("/"));
        assert_eq!(client.read_response().status(), 502, "{what}");
    }
}

fn a_101_may_carry_the_first_frames(on: Driver) {
    let server = Server::script(|conn| {
        let request = conn.read_request().unwrap();
        let mut together = switching(request.field("Sec-WebSocket-Key").unwrap()).into_bytes();
        together.extend(frame(1, b"welcome", None));
        conn.send(together);
        conn.read_to_end();
    });
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.upgrade("/");
    assert_eq!(client.read_frame().payload, b"welcome");
}

// === Ends ===

fn the_client_may_end_its_direction_first(on: Driver) {
    let server = Server::tunnel(|conn| {
        let all = conn.read_to_end();
        conn.expect_open();
        conn.send(frame(1, format!("{} bytes", all.len()).as_bytes(), None));
    });
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.upgrade("/");
    client.say("last words").finish();
    assert_eq!(client.read_frame().payload, b"16 bytes");
    client.expect_closed();
    assert_eventually!(server.open() == 0);
}

fn the_server_may_end_its_direction_first(on: Driver) {
    let server = Server::tunnel(|conn| {
        conn.send(frame(1, b"last words", None)).finish();
        conn.read_to_end();
    });
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.upgrade("/");
    assert_eq!(client.read_frame().payload, b"last words");
    client.expect_closed();
    client.say("still here");
    assert_eventually!(server.received()[0].ends_with(&frame(
        1,
        b"still here",
        Some([1, 2, 3, 4])
    )));
    assert_eq!(server.open(), 1, "the server still listens");
    client.finish();
    assert_eventually!(server.open() == 0);
}

impl Conn {
    /// For scripts: the other direction can still be written to.
    fn expect_open(&mut self) {
        self.try_send("").unwrap();
    }
}

// === Payloads ===

fn large_frames_pass_whole(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.upgrade("/");
    for size in [125, 126, 65_535, 65_536, 1_000_003] {
        let payload: Vec<u8> = (0..size).map(|at: usize| (at % 253) as u8).collect();
        let mut sender = client.twin();
        let sent = frame(2, &payload, Some([3, 1, 4, 1]));
        let sending = std::thread::spawn(move || {
            sender.send(sent);
        });
        let back = client.read_frame();
        sending.join().unwrap();
        assert!(
            back.payload == payload,
            "{size} bytes came back as {}",
            back.payload.len()
        );
    }
}

fn frames_may_arrive_byte_by_byte(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.send_by_the_byte(handshake("/"));
    assert_eq!(client.read_response().status(), 101);
    client.send_by_the_byte(frame(1, b"bit by bit", Some([1; 4])));
    assert_eq!(client.read_frame().payload, b"bit by bit");
}

// === Timeouts ===

fn an_idle_tunnel_is_ended_by_its_own_timeout(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Setup::new(on)
        .server(&server)
        .timeouts("tunnel = \"400ms\"")
        .start();
    let mut client = proxy.client();
    let from = Instant::now();
    client.upgrade("/idle");
    client.expect_closed();
    assert!(
        from.elapsed() >= Duration::from_millis(350),
        "{:?}",
        from.elapsed()
    );
    assert!(
        from.elapsed() < Duration::from_secs(5),
        "{:?}",
        from.elapsed()
    );
    assert_eventually!(server.open() == 0);
}

fn traffic_in_one_direction_keeps_a_tunnel(on: Driver) {
    let server = Server::tunnel(|conn| {
        conn.read_to_end();
    });
    let proxy = Setup::new(on)
        .server(&server)
        .timeouts("tunnel = \"1s\"")
        .start();
    let mut client = proxy.client();
    client.upgrade("/");
    for _ in 0..10 {
        client.say("tick");
        client.expect_silence(Duration::from_millis(200));
    }
}

fn only_the_tunnels_timeout_counts_in_a_tunnel(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Setup::new(on)
        .server(&server)
        .timeouts(
            "client = \"300ms\"\nserver = \"300ms\"\nrequest_head = \"300ms\"\nkeep_alive = \"300ms\"\ntunnel = \"never\"",
        )
        .start();
    let mut client = proxy.client();
    client.upgrade("/");
    client.expect_silence(Duration::from_millis(1_200));
    client.echoes("still there");
}

// === Counting ===

fn bytes_that_are_no_frames_pass_untouched(on: Driver) {
    let server = Server::tunnel(|conn| {
        conn.send([0xff; 40]);
        conn.send("not a frame at all");
        let arrived = conn.read_exactly(3_000);
        conn.send(arrived);
    });
    let proxy = Setup::new(on)
        .server(&server)
        .log("format = \"json\"")
        .start();
    let mut client = proxy.client();
    client.upgrade("/odd");
    assert_eq!(client.read_exactly(40), [0xff; 40]);
    assert_eq!(client.read_exactly(18), b"not a frame at all");
    let noise: Vec<u8> = (0..3_000_u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    client.send(&noise);
    assert!(client.read_exactly(3_000) == noise);
    client.expect_closed();
    drop(client);
    let ended = tunnel_record(&proxy);
    assert_eq!(ended["followed"], false, "{ended}");
    assert_eq!(
        (&ended["bytes_in"], &ended["bytes_out"]),
        (&3_000.into(), &3_058.into()),
        "{ended}"
    );
}

fn messages_and_bytes_are_counted(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Setup::new(on)
        .server(&server)
        .log("format = \"json\"")
        .start();
    let mut client = proxy.client();
    client.upgrade("/counted");
    client.echoes("one");
    client.echoes("two");
    // A message in two fragments, with a ping between: one message.
    let mut first = frame(1, b"th", Some([0; 4]));
    first[0] &= 0x7f;
    client
        .send(first)
        .send(frame(9, b"", Some([0; 4])))
        .send(frame(0, b"ree", Some([0; 4])));
    for _ in 0..3 {
        client.read_frame();
    }
    client.finish();
    client.expect_closed();
    let ended = tunnel_record(&proxy);
    assert_eq!(ended["followed"], true, "{ended}");
    assert_eq!(ended["messages_in"], 3, "{ended}");
    assert_eq!(
        (&ended["bytes_in"], &ended["bytes_out"]),
        (&41.into(), &21.into()),
        "{ended}"
    );
}

fn without_inspection_only_bytes_are_counted(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Setup::new(on)
        .server(&server)
        .websocket("inspect = false")
        .start();
    let mut client = proxy.client();
    client.upgrade("/");
    client.echoes("hello");
    client.finish();
    client.expect_closed();
    let ended = support::eventually("the tunnel's end", || {
        let mut lines = proxy.lines().into_iter();
        lines.find(|line| line.contains("ws=") && !line.contains("ws=open"))
    });
    assert!(ended.ends_with("ws=11/7/-/-"), "{ended}");
}

fn unmasked_frames_of_a_client_are_relayed_and_told_of(on: Driver) {
    let server = Server::tunnel(|conn| {
        while let Some(arrived) = conn.try_read_frame() {
            conn.send(frame(1, &arrived.payload, None));
        }
    });
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.upgrade("/");
    client.send(frame(1, b"bare", None));
    assert_eq!(client.read_frame().payload, b"bare");
    client.finish();
    client.expect_closed();
    let ended = support::eventually("the tunnel's end", || {
        let mut lines = proxy.lines().into_iter();
        lines.find(|line| line.contains("ws=") && !line.contains("ws=open"))
    });
    assert!(ended.ends_with("ws=6/6/-/-"), "{ended}");
}

/// What the log says of the tunnel's end.
fn tunnel_record(proxy: &Proxy) -> serde_json::Value {
    let line = support::eventually("a line of the tunnel's end", || {
        proxy
            .lines()
            .into_iter()
            .find(|line| line.contains("tunnel_ended"))
    });
    let all: serde_json::Value = serde_json::from_str(&line[line.find('{').unwrap()..]).unwrap();
    if all.get("tunnel").is_some() {
        all["tunnel"].clone()
    } else {
        all
    }
}

// === Many ===

fn many_tunnels_share_a_worker(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Proxy::before(on, &[&server]);
    let before = proxy.settled_descriptors();
    let mut clients: Vec<Conn> = (0..60).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.upgrade("/");
    }
    for round in 0..3 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.say(&format!("{round}/{number}"));
        }
        for (number, client) in clients.iter_mut().enumerate() {
            assert_eq!(
                client.read_frame().payload,
                format!("{round}/{number}").into_bytes()
            );
        }
    }
    drop(clients);
    assert_eventually!(server.open() == 0);
    proxy.wait_for_descriptors(before);
}

fn a_connection_may_be_used_before_it_becomes_a_tunnel(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    assert_eq!(client.get("/page").status(), 200);
    client.upgrade("/");
    client.echoes("hello");
}

fn an_idle_tunnel_costs_no_time(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.upgrade("/");
    client.echoes("hello");
    let spent = proxy.processor_time_during(Duration::from_millis(500));
    assert!(spent < Duration::from_millis(100), "{spent:?}");
}
