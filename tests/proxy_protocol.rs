//! The PROXY protocol: clients that a proxy before us introduces, and servers that we introduce clients to.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::net::SocketAddr;

use ringbolt::wire::proxy_header::{self, Endpoints, Verdict};
use support::{Conn, Driver, Message, Peer, Proxy, Server, Setup, handshake};

on_both_drivers!(
    the_client_is_who_the_header_says,
    a_header_may_come_in_pieces,
    without_a_good_header_nothing_is_served,
    nobody_else_is_believed,
    local_and_unknown_leave_the_connections_own_address,
    a_slow_header_runs_out_of_time,
    a_sender_that_leaves_within_its_header,
    a_listed_peer_may_leave_without_a_byte,
    rules_by_address_follow_the_one_that_was_told,
    senders_over_a_unix_socket_are_listed_by_name,
    a_reload_changes_who_is_listed,
    servers_are_told_of_the_client,
    a_header_counts_for_no_byte_of_the_request,
    what_was_told_is_passed_on,
    kept_links_serve_one_client_only,
    a_link_that_closed_is_introduced_anew,
    links_kept_before_a_reload_are_not_mistaken,
    tunnels_are_introduced,
    checks_introduce_themselves,
    a_client_without_an_address_is_introduced_as_unknown,
);

const LISTED: &str = "proxy_protocol = [\"127.0.0.0/8\"]";
const REQUEST: &str = "GET /one HTTP/1.1\r\nHost: h\r\n\r\n";

/// Version 1.
fn line(source: &str, destination: &str) -> Vec<u8> {
    let (source, destination): (SocketAddr, SocketAddr) =
        (source.parse().unwrap(), destination.parse().unwrap());
    let family = if source.is_ipv4() { 4 } else { 6 };
    let (from, to) = (source.ip(), destination.ip());
    let (from_port, to_port) = (source.port(), destination.port());
    format!("PROXY TCP{family} {from} {to} {from_port} {to_port}\r\n").into_bytes()
}

/// Version 2, with a TLV behind the addresses.
fn block(source: &str, destination: &str) -> Vec<u8> {
    let ends: [SocketAddr; 2] = [source.parse().unwrap(), destination.parse().unwrap()];
    let mut rest = Vec::new();
    for end in ends {
        match end {
            SocketAddr::V4(v4) => rest.extend(v4.ip().octets()),
            SocketAddr::V6(v6) => rest.extend(v6.ip().octets()),
        }
    }
    ends.iter()
        .for_each(|end| rest.extend(end.port().to_be_bytes()));
    rest.extend(b"\x02\x00\x01h");
    raw_block(0x21, if ends[0].is_ipv4() { 0x11 } else { 0x21 }, &rest)
}

fn raw_block(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut block = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    block.extend([command, family]);
    block.extend((rest.len() as u16).to_be_bytes());
    block.extend(rest);
    block
}

/// The four kinds with an address, and that address.
fn headers() -> [(Vec<u8>, &'static str, &'static str); 4] {
    let (four, six) = (
        ("203.0.113.7:50412", "203.0.113.7"),
        ("[2001:db8::7]:50412", "2001:db8::7"),
    );
    [
        (line(four.0, "198.51.100.1:80"), four.1, "203.0.113.7:50412"),
        (line(six.0, "[2001:db8::1]:80"), six.1, "2001:db8::7:50412"),
        (
            block(four.0, "198.51.100.1:80"),
            four.1,
            "203.0.113.7:50412",
        ),
        (block(six.0, "[2001:db8::1]:80"), six.1, "2001:db8::7:50412"),
    ]
}

// === Clients that are introduced ===

fn the_client_is_who_the_header_says(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .listener(LISTED)
        .pool("forwarded = true")
        .server(&server)
        .start();
    for (at, (header, ip, logged)) in headers().into_iter().enumerate() {
        let mut client = proxy.client();
        client.send(
            [
                &header[..],
                format!("GET /first{at} HTTP/1.1\r\nHost: h\r\n\r\n").as_bytes(),
            ]
            .concat(),
        );
        assert_eq!(client.read_response().status(), 200);
        assert_eq!(server.last_request().field("X-Forwarded-For"), Some(ip));
        let forwarded = server.last_request().field("Forwarded").unwrap().to_owned();
        assert!(forwarded.contains(ip), "{forwarded}");
        // The header stands once, before the first request.
        assert_eq!(client.get(&format!("/second{at}")).status(), 200);
        assert_eq!(server.last_request().field("X-Forwarded-For"), Some(ip));
        for words in ["first", "second"] {
            let line = proxy.access_line(&format!("/{words}{at} "));
            assert_eq!(line.client, logged, "{}", line.line);
        }
    }
}

fn a_header_may_come_in_pieces(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on).listener(LISTED).server(&server).start();
    for (header, ip, _) in headers() {
        let bytes = [&header[..], REQUEST.as_bytes()].concat();
        let mut client = proxy.client();
        client.send_by_the_byte(&bytes);
        assert_eq!(client.read_response().status(), 200);
        assert_eq!(server.last_request().field("X-Forwarded-For"), Some(ip));
        for cut in 1..=header.len() {
            let mut client = proxy.client();
            client.send(&bytes[..cut]).send(&bytes[cut..]);
            assert_eq!(client.read_response().status(), 200, "cut at {cut}");
            assert_eq!(server.last_request().field("X-Forwarded-For"), Some(ip));
        }
    }
}

fn without_a_good_header_nothing_is_served(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on).listener(LISTED).server(&server).start();
    let v4 = b"\x0a\x01\x02\x03\x0a\x04\x05\x06\x01\x02\x00\x50";
    let bad_sum = [&v4[..], b"\x03\x00\x04\0\0\0\0"].concat();
    let bad: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"PROXY\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 198.51.100.1 50412\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.07 198.51.100.1 50412 80\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 198.51.100.1 50412 80\n".to_vec(),
        b"PROXY TCP4 2001:db8::7 2001:db8::1 50412 80\r\n".to_vec(),
        b"PROXY TCP4 203.0.113.7 198.51.100.1 65536 80\r\n".to_vec(),
        [b"PROXY UNKNOWN ", &[b'x'; 200][..], b"\r\n"].concat(),
        b" PROXY UNKNOWN\r\n".to_vec(),
        raw_block(0x11, 0x11, v4),
        raw_block(0x22, 0x11, v4),
        raw_block(0x21, 0x51, v4),
        raw_block(0x21, 0x11, &v4[..8]),
        raw_block(0x21, 0x11, &[&v4[..], b"\x04\x00\x09"].concat()),
        raw_block(0x21, 0x11, &bad_sum),
        raw_block(0x21, 0x11, &[0; 5_000]),
    ];
    for header in &bad {
        let mut client = proxy.client();
        let _ = client.try_send([&header[..], REQUEST.as_bytes()].concat());
        client.expect_closed();
    }
    let lines = proxy.access_lines("<BADREQ>", bad.len());
    for line in lines {
        assert_eq!((line.status, line.bytes), (-1, 0), "{}", line.line);
        assert_eq!(line.termination, "PR--", "{}", line.line);
        assert!(line.client.starts_with("127.0.0.1:"), "{}", line.line);
    }
    assert_eq!(server.accepted(), 0);
}

fn nobody_else_is_believed(on: Driver) {
    let server = Server::named("one");
    for listed in ["", "proxy_protocol = [\"10.0.0.0/8\", \"::1\", \"unix\"]"] {
        let proxy = Setup::new(on).listener(listed).server(&server).start();
        assert_eq!(proxy.get("/plain").status(), 200);
        let seen = server.requests().len();
        for (header, ..) in headers() {
            let mut client = proxy.client();
            client.send([&header[..], REQUEST.as_bytes()].concat());
            assert_eq!(client.read_response().status(), 400);
        }
        assert_eq!(server.requests().len(), seen);
        for line in proxy.access_lines("<BADREQ>", 4) {
            assert!(line.client.starts_with("127.0.0.1:"), "{}", line.line);
        }
    }
}

fn local_and_unknown_leave_the_connections_own_address(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on).listener(LISTED).server(&server).start();
    for (at, header) in [
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 2001:db8::7 ::1 1 2\r\n".to_vec(),
        raw_block(0x20, 0, b""),
        raw_block(0x20, 0x11, &[7; 12]),
        raw_block(0x21, 0, b""),
        raw_block(0x21, 0x31, &[7; 216]),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = proxy.client();
        client.send(header);
        assert_eq!(client.get(&format!("/own{at}")).status(), 200);
        let seen = server.last_request();
        assert_eq!(seen.field("X-Forwarded-For"), Some("127.0.0.1"));
        let line = proxy.access_line(&format!("/own{at} "));
        assert_eq!(line.client, client.local_address().to_string());
    }
}

fn a_slow_header_runs_out_of_time(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .timeouts("request_head = \"200ms\"")
        .listener(LISTED)
        .server(&server)
        .start();
    for (header, ..) in headers() {
        let mut client = proxy.client();
        client.send(&header[..header.len() - 1]);
        client.expect_closed();
    }
    for line in proxy.access_lines("<BADREQ>", 4) {
        assert_eq!(
            (line.status, &*line.termination),
            (-1, "cR--"),
            "{}",
            line.line
        );
    }
    assert_eq!(server.accepted(), 0);
}

fn a_sender_that_leaves_within_its_header(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on).listener(LISTED).server(&server).start();
    for (header, ..) in headers() {
        let mut client = proxy.client();
        client.send(&header[..header.len() - 1]).finish();
        client.expect_closed();
    }
    for line in proxy.access_lines("<BADREQ>", 4) {
        assert_eq!(
            (line.status, &*line.termination),
            (-1, "CR--"),
            "{}",
            line.line
        );
    }
    assert_eq!(server.accepted(), 0);
}

/// Checks do so, with a header or without.
fn a_listed_peer_may_leave_without_a_byte(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on).listener(LISTED).server(&server).start();
    for header in [&b""[..], b"PROXY UNKNOWN\r\n", &raw_block(0x20, 0, b"")] {
        let mut client = proxy.client();
        client.send(header).finish();
        client.expect_closed();
    }
    let mut last = proxy.client();
    last.send("PROXY UNKNOWN\r\n");
    assert_eq!(last.get("/last").status(), 200);
    proxy.access_line("/last");
    assert_eq!(proxy.all_access_lines().len(), 1, "{:?}", proxy.lines());
}

/// From the header on, the address that it told is the client's, for every rule.
fn rules_by_address_follow_the_one_that_was_told(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .listener(&format!(
            "{LISTED}\ntrusted_proxies = [\"198.51.100.0/24\"]"
        ))
        .pool("forwarded_for = { except = [\"192.0.2.0/24\"] }")
        .sticky("cookie = \"S\"\nignore = [{ network = \"192.0.2.0/24\" }]")
        .server_with(&server, "cookie = \"a\"")
        .start();
    // (the address told, what the client claims, what the server sees, whether a cookie is set)
    for (told, sees, cookie) in [
        ("203.0.113.7", vec!["203.0.113.7"], true),
        ("198.51.100.9", vec!["8.8.8.8", "198.51.100.9"], true),
        ("192.0.2.1", vec![], false),
    ] {
        let mut client = proxy.client();
        client.send(line(&format!("{told}:1"), "198.51.100.1:80"));
        let answer = client.get_with("/rules", "X-Forwarded-For: 8.8.8.8\r\n");
        assert_eq!(answer.status(), 200);
        let request = server.last_request();
        let seen: Vec<String> = request
            .fields("X-Forwarded-For")
            .iter()
            .flat_map(|field| field.split(", ").map(str::to_owned).collect::<Vec<_>>())
            .collect();
        assert_eq!(seen, sees, "{told}");
        assert_eq!(answer.set_cookie("S").is_some(), cookie, "{told}");
    }
    // The one before us is not the client: what it may say of itself is not at stake.
    let proxy = Setup::new(on)
        .listener(&format!("{LISTED}\ntrusted_proxies = [\"127.0.0.0/8\"]"))
        .server(&server)
        .start();
    let mut client = proxy.client();
    client.send(line("203.0.113.7:1", "198.51.100.1:80"));
    client.get_with("/rules", "X-Forwarded-For: 8.8.8.8\r\n");
    let request = server.last_request();
    assert_eq!(request.field("X-Forwarded-For"), Some("203.0.113.7"));
}

fn senders_over_a_unix_socket_are_listed_by_name(on: Driver) {
    let server = Server::named("one");
    let bind = "bind = [\"{listen}\", \"unix:{folder}/http.sock\"]\n";
    let proxy = Setup::new(on)
        .listener(&format!("{bind}proxy_protocol = [\"unix\"]"))
        .server(&server)
        .start();
    let socket = proxy.folder().join("http.sock");
    let mut client = Conn::connect_unix(&socket);
    client.send(line("203.0.113.7:50412", "198.51.100.1:80"));
    assert_eq!(client.get("/told").status(), 200);
    let request = server.last_request();
    assert_eq!(request.field("X-Forwarded-For"), Some("203.0.113.7"));
    assert_eq!(proxy.access_line("/told").client, "203.0.113.7:50412");
    let mut client = Conn::connect_unix(&socket);
    client.send(REQUEST).expect_closed();
    assert_eq!(proxy.get("/plain").status(), 200);
}

fn a_reload_changes_who_is_listed(on: Driver) {
    let server = Server::named("one");
    let setup = |listed: &str| Setup::new(on).listener(listed).server(&server);
    let proxy = setup("").start();
    assert_eq!(proxy.get("/plain").status(), 200);
    proxy.rewrite_config(&setup(LISTED).text());
    proxy.sighup();
    assert_eventually!(
        {
            let mut client = proxy.client();
            client.send(line("203.0.113.7:1", "198.51.100.1:80"));
            client.get("/told").status() == 200
        },
        "the listener reads headers"
    );
}

// === Servers that clients are introduced to ===

/// What stood before the first request on a connection, and how long it was.
fn header_of(bytes: &[u8]) -> (Option<Endpoints>, usize) {
    match proxy_header::read(bytes) {
        Verdict::Complete(header) => (header.endpoints, header.size),
        other => panic!("{other:?}: {}", bytes.escape_ascii()),
    }
}

/// Reads a PROXY header, then answers requests.
fn introduced(name: &str) -> Server {
    let name = name.to_owned();
    let own = name.clone();
    Server::named_script(&own, move |conn| {
        if read_header(conn) {
            while let Some(request) = conn.read_request() {
                answer(conn, &request, &name);
            }
        }
    })
}

fn read_header(conn: &mut Conn) -> bool {
    let Some(start) = conn.try_read_exactly(12) else {
        return false;
    };
    if start.starts_with(b"PROXY ") {
        return conn.try_read_until(b"\r\n").is_some();
    }
    assert_eq!(start, b"\r\n\r\n\0\r\nQUIT\n", "{}", start.escape_ascii());
    let fixed = conn.try_read_exactly(4).unwrap();
    let length = u16::from_be_bytes([fixed[2], fixed[3]]);
    conn.try_read_exactly(length.into()).is_some()
}

fn answer(conn: &mut Conn, request: &Message, name: &str) {
    let connection = if request.target().contains("close") {
        "Connection: close\r\n"
    } else {
        ""
    };
    let head =
        format!("HTTP/1.1 200 OK\r\nX-Server: {name}\r\n{connection}Content-Length: 2\r\n\r\nok");
    let _ = conn.try_send(head);
}

fn with_header(on: Driver, server: &Server, version: &str) -> Setup {
    Setup::new(on).server_with(server, &format!("proxy_protocol = \"{version}\""))
}

fn servers_are_told_of_the_client(on: Driver) {
    if !support::has_ipv6("servers are told of the client") {
        return;
    }
    for version in ["v1", "v2"] {
        for six in [false, true] {
            let server = introduced("one");
            let bind = "bind = [\"{listen}\", \"{listen6}\"]";
            let proxy = with_header(on, &server, version).listener(bind).start();
            let to = if six {
                proxy.v6_address()
            } else {
                proxy.address()
            };
            let mut client = Conn::connect(to);
            for _ in 0..3 {
                assert_eq!(client.get("/told").status(), 200);
            }
            // One connection, one header, for this client's three requests.
            let heard = server.received();
            assert_eq!(heard.len(), 1);
            let (ends, size) = header_of(&heard[0]);
            let ends = ends.unwrap();
            assert_eq!(ends.source, client.local_address());
            assert_eq!(ends.destination, to);
            assert_eq!(heard[0].starts_with(b"PROXY TCP"), version == "v1");
            assert!(heard[0][size..].starts_with(b"GET /told HTTP/1.1\r\n"));
        }
    }
}

fn a_header_counts_for_no_byte_of_the_request(on: Driver) {
    let plain = Server::named("one");
    let told = introduced("one");
    let mut counted = Vec::new();
    for setup in [Setup::new(on).server(&plain), with_header(on, &told, "v1")] {
        let proxy = setup.log("target = \"stdout\"\nformat = \"json\"").start();
        let mut client = proxy.client();
        // Its body comes later, so that it takes the way of long ones.
        client.send(
            "POST /body HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: x\r\nContent-Length: 5\r\n\r\n",
        );
        let at = if counted.is_empty() { &plain } else { &told };
        assert_eventually!(
            at.received()
                .iter()
                .any(|bytes| bytes.ends_with(b"\r\n\r\n")),
            "the head is there"
        );
        client.send("12345");
        assert_eq!(client.read_response().status(), 200);
        let line = proxy.wait_for_line("/body");
        let (_, count) = line.split_once("\"bytes_in\":").unwrap();
        counted.push(count.split(',').next().unwrap().to_owned());
    }
    assert_eq!(counted[0], counted[1]);
}

fn what_was_told_is_passed_on(on: Driver) {
    for version in ["v1", "v2"] {
        let server = introduced("one");
        let proxy = with_header(on, &server, version).listener(LISTED).start();
        for (header, ..) in headers() {
            let mut client = proxy.client();
            client.send(&header);
            assert_eq!(client.get("/told").status(), 200);
            let heard = server.received();
            assert_eq!(header_of(heard.last().unwrap()).0, header_of(&header).0);
        }
    }
}

fn kept_links_serve_one_client_only(on: Driver) {
    let server = introduced("one");
    let proxy = with_header(on, &server, "v2").start();
    let (mut ann, mut bob) = (proxy.client(), proxy.client());
    for _ in 0..3 {
        assert_eq!(ann.get("/ann").status(), 200);
        assert_eq!(bob.get("/bob").status(), 200);
    }
    let heard = server.received();
    assert_eq!(heard.len(), 2);
    for (bytes, client, own, other) in [
        (&heard[0], &ann, "GET /ann ", "GET /bob "),
        (&heard[1], &bob, "GET /bob ", "GET /ann "),
    ] {
        assert_eq!(header_of(bytes).0.unwrap().source, client.local_address());
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(text.matches(own).count(), 3);
        assert!(!text.contains(other));
    }
    // A link ends with its client.
    drop(ann);
    assert_eventually!(server.open() == 1, "the link is closed");
    assert_eq!(proxy.get("/carl").status(), 200);
    assert_eq!(server.accepted(), 3);
    assert_eq!(bob.get("/bob").status(), 200);
    assert_eq!(server.accepted(), 3);
}

fn a_link_that_closed_is_introduced_anew(on: Driver) {
    let server = introduced("one");
    let proxy = with_header(on, &server, "v1").start();
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(client.get("/close").status(), 200);
    }
    assert_eq!(client.get("/stays").status(), 200);
    server.cut();
    assert_eq!(client.get("/again").status(), 200);
    let heard = server.received();
    assert_eq!(heard.len(), 5);
    for bytes in heard {
        assert_eq!(header_of(&bytes).0.unwrap().source, client.local_address());
    }
}

fn links_kept_before_a_reload_are_not_mistaken(on: Driver) {
    // Takes connections with a header and without.
    let server = Server::script(|conn| {
        while let Some(head) = conn.try_read_until(b"\r\n") {
            if !head.starts_with(b"PROXY ") && conn.try_read_until(b"\r\n\r\n").is_some() {
                let _ = conn.try_send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
            }
        }
    });
    let proxy = Setup::new(on).server(&server).start();
    assert_eq!(proxy.get("/plain").status(), 200);
    assert_eq!(proxy.get("/plain").status(), 200);
    assert_eq!(server.accepted(), 1);
    proxy.rewrite_config(&with_header(on, &server, "v1").text());
    proxy.sighup();
    proxy.wait_for_notice("READY=1");
    assert_eventually!(
        proxy.get("/told").status() == 200 && server.accepted() > 1,
        "the server is told"
    );
    let heard = server.received();
    assert!(!String::from_utf8_lossy(&heard[0]).contains("PROXY"));
    assert!(header_of(&heard[1]).0.is_some());
}

fn tunnels_are_introduced(on: Driver) {
    let server = Server::script(|conn| {
        read_header(conn);
        let Some(request) = conn.read_request() else {
            return;
        };
        let accept = support::accept_of(request.field("Sec-WebSocket-Key").unwrap());
        let _ = conn.try_send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        ));
        while let Some(arrived) = conn.try_read_frame() {
            let _ = conn.try_send(support::frame(arrived.opcode, &arrived.payload, None));
        }
    });
    let proxy = with_header(on, &server, "v2").listener(LISTED).start();
    let mut client = proxy.client();
    client.send(
        [
            &line("203.0.113.7:50412", "198.51.100.1:80")[..],
            handshake("/ws").as_bytes(),
        ]
        .concat(),
    );
    assert_eq!(client.read_response_head().status(), 101);
    client.echoes("fast");
    let told = header_of(&server.received()[0]).0.unwrap();
    assert_eq!(told.source.to_string(), "203.0.113.7:50412");
    drop(client);
    for line in proxy.access_lines("/ws", 2) {
        assert_eq!(line.client, "203.0.113.7:50412", "{}", line.line);
    }
}

fn checks_introduce_themselves(on: Driver) {
    for version in ["v1", "v2"] {
        let server = introduced("one");
        let lines = format!("proxy_protocol = \"{version}\"\ncheck = {{ interval = \"20ms\" }}");
        let proxy = Setup::new(on).server_with(&server, &lines).start();
        assert_eventually!(
            server
                .received()
                .iter()
                .filter(|bytes| !bytes.is_empty())
                .count()
                > 2,
            "checks say who they are"
        );
        for bytes in server.received().iter().filter(|bytes| !bytes.is_empty()) {
            let (ends, size) = header_of(bytes);
            assert_eq!(size, bytes.len(), "a check asks nothing");
            assert_eq!(ends.is_none(), version == "v2", "LOCAL in version 2");
            if let Some(ends) = ends {
                assert_eq!(ends.destination.to_string(), server.address());
            }
        }
        assert_eq!(proxy.get("/up").status(), 200);
    }
}

fn a_client_without_an_address_is_introduced_as_unknown(on: Driver) {
    for (version, header) in [
        ("v1", b"PROXY UNKNOWN\r\n".to_vec()),
        ("v2", raw_block(0x20, 0, b"")),
    ] {
        let server = introduced("one");
        let proxy = with_header(on, &server, version)
            .listener("bind = \"unix:{folder}/http.sock\"")
            .start();
        let mut client = Conn::connect_unix(&proxy.folder().join("http.sock"));
        assert_eq!(client.get("/unknown").status(), 200);
        assert!(server.received()[0].starts_with(&header));
    }
}

// === Real ones ===

/// HAProxy before us, in each form that it sends, its checks among them.
#[test]
fn haproxy_introduces_its_clients() {
    let server = Server::named("one");
    let proxy = Setup::new(Driver::Ring)
        .listener(LISTED)
        .server(&server)
        .start();
    for sends in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 proxy-v2-options crc32c,unique-id",
    ] {
        let Some(haproxy) = Peer::start("haproxy", &["-db", "-f"], &haproxy(&proxy, sends)) else {
            return;
        };
        let mut client = Conn::connect(haproxy.address());
        assert_eq!(client.get("/haproxy").status(), 200, "{sends}");
        let request = server.last_request();
        assert_eq!(
            request.field("X-Forwarded-For"),
            Some("127.0.0.9"),
            "{sends}"
        );
    }
    // Its checks begin with a header and end: nobody's line.
    let lines = proxy.all_access_lines();
    assert!(lines.iter().all(|line| line.request.contains("/haproxy")));
}

fn haproxy(proxy: &Proxy, sends: &str) -> String {
    format!(
        "
global
  maxconn 100
  nbthread 1
defaults
  mode http
  timeout client 2s
  timeout server 2s
  timeout connect 1s
frontend in
  bind {{listen}}
  http-request set-src ipv4(127.0.0.9)
  unique-id-format %ci
  default_backend out
backend out
  server ringbolt {} check inter 20ms {sends}
",
        proxy.address()
    )
}

/// nginx behind us.
#[test]
fn nginx_learns_of_our_clients() {
    for version in ["v1", "v2"] {
        let Some(nginx) = Peer::start("nginx", &["-c"], NGINX) else {
            return;
        };
        let lines = format!("proxy_protocol = \"{version}\"\ncheck = {{ interval = \"20ms\" }}");
        let proxy = Setup::new(Driver::Ring)
            .listener(LISTED)
            .server_at("nginx", &nginx.address().to_string(), &lines)
            .start();
        for (source, destination) in [
            ("203.0.113.7:50412", "198.51.100.1:8080"),
            ("[2001:db8::7]:50412", "[2001:db8::1]:8080"),
        ] {
            let mut client = proxy.client();
            client.send(line(source, destination));
            for _ in 0..2 {
                let answer = client.get("/nginx");
                let expected = format!("{source} {destination}").replace(['[', ']'], "");
                assert_eq!(answer.text(), expected);
            }
        }
    }
}

const NGINX: &str = "
daemon off;
master_process off;
pid {folder}/pid;
error_log /dev/null;
events { worker_connections 100; }
http {
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {
    listen {listen} proxy_protocol;
    location / {
      return 200 '$proxy_protocol_addr:$proxy_protocol_port $proxy_protocol_server_addr:$proxy_protocol_server_port';
    }
  }
}
";
