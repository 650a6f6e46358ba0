//! Exchanges over HTTP/1.1: framing, connections, what is added and what is taken away.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::time::Duration;

use support::{Driver, Message, Proxy, Server, Setup};

on_both_drivers!(
    a_request_reaches_the_server_and_its_answer_the_client,
    a_connection_is_kept_on_both_sides,
    pipelined_requests_are_answered_in_order,
    a_request_behind_a_body_is_not_part_of_it,
    messages_may_arrive_byte_by_byte,
    a_body_by_length_passes_both_ways,
    a_chunked_body_passes_both_ways,
    trailers_pass_both_ways,
    chunk_extensions_do_not_harm_the_body,
    a_body_until_close_ends_with_the_server,
    an_answer_to_head_has_no_body,
    answers_204_and_304_have_no_body,
    interim_answers_are_passed_on,
    expect_continue_is_passed_on,
    a_refused_expectation_is_passed_on,
    a_client_of_http_1_0_gets_no_chunks_and_a_close,
    a_client_of_http_1_0_may_ask_to_keep_the_connection,
    a_server_of_http_1_0_is_understood,
    an_absolute_target_becomes_its_path_and_host,
    fields_of_one_hop_are_removed_from_the_request,
    fields_of_one_hop_are_removed_from_the_answer,
    close_asked_by_the_client_closes,
    the_last_answer_and_the_end_are_one_segment,
    an_empty_line_behind_a_body_takes_no_answer_away,
    a_fresh_link_s_handshake_is_acknowledged_with_the_request,
    close_asked_by_the_server_spares_the_client,
    the_server_learns_of_the_client,
    what_a_client_claims_of_itself_is_dropped,
    what_a_trusted_proxy_sent_is_continued_in_one_line,
    addresses_in_excepted_networks_are_not_told,
    the_fields_of_forwarding_can_be_renamed_and_switched_off,
    forwarded_is_added_when_asked_for,
    via_is_added_on_both_sides_when_asked_for,
    request_ids_differ,
    an_answer_may_come_before_the_request_is_whole,
    both_directions_stream_at_once,
    malformed_requests_are_refused_and_never_forwarded,
    malformed_answers_become_502,
    an_unused_link_that_the_server_closed_is_not_used_again,
    a_get_on_a_kept_link_that_breaks_is_sent_again,
    a_post_on_a_kept_link_that_breaks_is_not_sent_again,
    links_beyond_the_bound_are_not_kept,
    idle_links_expire,
    bytes_behind_an_answer_reach_no_other_client,
    a_body_of_full_buffers_is_whole_when_its_server_closes,
    malformed_chunks_end_the_request_on_both_sides,
    a_malformed_chunk_of_the_server_cuts_the_answer,
    what_is_not_ours_passes_as_it_came,
    an_empty_line_before_a_request_is_skipped,
    methods_of_all_kinds_pass,
    methods_for_proxies_are_refused,
    a_thousand_pipelined_requests_meet_a_slow_reader,
);

fn a_request_reaches_the_server_and_its_answer_the_client(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    let reply = proxy.get("/hello?x=1");
    assert_eq!((reply.status(), reply.text().as_str()), (200, "one"));
    let request = server.last_request();
    assert_eq!(request.start, "GET /hello?x=1 HTTP/1.1");
    assert_eq!(request.field("Host"), Some("example.com"));
}

// === Connections ===

fn a_connection_is_kept_on_both_sides(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    for number in 0..20 {
        assert_eq!(client.get(&format!("/{number}")).status(), 200);
    }
    assert_eq!(server.requests().len(), 20);
    assert_eq!(server.connections(), 1, "one link carries them all");
}

fn pipelined_requests_are_answered_in_order(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = Proxy::before(on, &[&one, &two]);
    let mut client = proxy.client();
    let requests: String = (0..10)
        .map(|number| format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"))
        .collect();
    client.send(requests);
    let names: Vec<String> = (0..10)
        .map(|_| client.read_response().server().to_owned())
        .collect();
    assert!(
        names.windows(2).all(|pair| pair[0] != pair[1]),
        "round robin: {names:?}"
    );
    let mut targets: Vec<String> = [&one, &two]
        .iter()
        .flat_map(|server| server.requests())
        .map(|request| request.target().to_owned())
        .collect();
    targets.sort();
    assert_eq!(
        targets,
        ["/0", "/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8", "/9"]
    );
}

fn a_request_behind_a_body_is_not_part_of_it(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.send(
        "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\
         POST /b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n\
         GET /c HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    for _ in 0..3 {
        assert_eq!(client.read_response().status(), 200);
    }
    let requests = server.requests();
    let seen: Vec<_> = requests
        .iter()
        .map(|one| (one.method(), one.target(), one.text()))
        .collect();
    let wanted = [
        ("POST", "/a", "hello"),
        ("POST", "/b", "abc"),
        ("GET", "/c", ""),
    ];
    assert_eq!(
        seen,
        wanted.map(|(method, target, body)| (method, target, body.to_owned()))
    );
}

fn messages_may_arrive_byte_by_byte(on: Driver) {
    let server = Server::script(|conn| {
        while conn.read_request().is_some() {
            conn.send_by_the_byte(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbyte\r\n3\r\nbit\r\n0\r\nT: 1\r\n\r\n",
            );
        }
    });
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    for _ in 0..2 {
        client.send_by_the_byte(
            "POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        );
        let reply = client.read_response();
        assert_eq!((reply.status(), reply.text().as_str()), (200, "bytebit"));
        assert_eq!(server.last_request().text(), "hello");
    }
}

fn close_asked_by_the_client_closes(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    let reply = client.get_with("/", "Connection: close\r\n");
    assert_eq!(reply.status(), 200);
    assert_eq!(
        reply.field("Connection").map(str::to_lowercase).as_deref(),
        Some("close")
    );
    client.expect_closed();
    assert_eq!(proxy.get("/again").status(), 200);
    assert_eq!(server.connections(), 1, "the link was kept all the same");
}

/// Segments without payload that one side of a connection has received, by ss(8), which tells of `tcp_info`: the side whose
/// own address (`src`) or whose peer's (`dst`) is this.
fn empty_segments(side: &str, address: std::net::SocketAddr) -> u64 {
    let filter = ["-tinH", "state", "all", side, &address.to_string()];
    let said = std::process::Command::new("ss").args(filter).output();
    let said = String::from_utf8(said.expect("iproute2 is installed").stdout).unwrap();
    let count = |key| {
        let mut words = said.split_whitespace();
        let number = words.find_map(|word| word.strip_prefix(key));
        number.map_or(0, |number| number.parse::<u64>().unwrap())
    };
    count("segs_in:") - count("data_segs_in:")
}

fn the_last_answer_and_the_end_are_one_segment(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    let ends = (0..5).map(|_| {
        let mut client = proxy.client();
        assert_eq!(client.get("/first").status(), 200);
        let before = empty_segments("src", client.local_address());
        let reply = client.get_with("/last", "Connection: close\r\n");
        assert_eq!(reply.text(), "one");
        client.expect_closed();
        empty_segments("src", client.local_address()) - before
    });
    // A late acknowledgement would be one too, so the best of some counts.
    assert_eq!(ends.min(), Some(0));
}

/// Some clients send one, though they have asked for the end.
fn an_empty_line_behind_a_body_takes_no_answer_away(on: Driver) {
    for length in [0, 2] {
        let (arrived, known) = std::sync::mpsc::channel();
        let (answer, wanted) = std::sync::mpsc::channel::<()>();
        let wanted = std::sync::Mutex::new(wanted);
        let server = Server::script(move |conn| {
            conn.read_request();
            arrived.send(()).unwrap();
            wanted.lock().unwrap().recv().unwrap();
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
        });
        let proxy = Proxy::before(on, &[&server]);
        let mut client = proxy.client();
        let body = "x".repeat(length);
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
        ));
        known.recv().unwrap();
        client.send("\r\n");
        answer.send(()).unwrap();
        assert_eq!(client.read_response().text(), "done");
        client.expect_closed();
    }
}

fn a_fresh_link_s_handshake_is_acknowledged_with_the_request(on: Driver) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let proxy = Setup::new(on)
        .server_at("one", &address, "check = false")
        .start();
    let empty = || {
        let (link, peer) = listener.accept().unwrap();
        assert!(link.peek(&mut [0]).unwrap() > 0);
        empty_segments("dst", peer)
    };
    let mut ours = Vec::new();
    for _ in 0..5 {
        proxy
            .client()
            .send("GET / HTTP/1.1\r\nHost: example.com\r\n\r\n");
        ours.push(empty());
    }
    // Somebody who does it the usual way sends one more.
    let mut usual = std::net::TcpStream::connect(address).unwrap();
    std::io::Write::write_all(&mut usual, b"x").unwrap();
    assert_eq!(ours.into_iter().min(), empty().checked_sub(1));
}

fn close_asked_by_the_server_spares_the_client(on: Driver) {
    let server = Server::script(|conn| {
        conn.read_request();
        conn.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    });
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    for _ in 0..3 {
        let reply = client.get("/");
        assert_eq!((reply.status(), reply.text().as_str()), (200, "ok"));
        let connection = reply.field("Connection").unwrap_or("keep-alive");
        assert!(
            !connection.to_lowercase().contains("close"),
            "{}",
            reply.head
        );
    }
    assert_eq!(server.connections(), 3);
}

// === Bodies ===

/// A body in which every place is recognisable.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at % 251) as u8 ^ (at >> 12) as u8)
        .collect()
}

/// A server that answers with the request's body, framed as asked for.
fn mirror(chunked: bool) -> Server {
    Server::script(move |conn| {
        while let Some(request) = conn.read_request() {
            if chunked {
                let mut answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
                answer.extend(chunks(&request.body, 7_001));
                conn.send(answer);
            } else {
                let length = request.body.len();
                conn.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n"
                ));
                conn.send(request.body);
            }
        }
    })
}

fn chunks(body: &[u8], size: usize) -> Vec<u8> {
    let mut framed = Vec::new();
    for chunk in body.chunks(size) {
        framed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        framed.extend_from_slice(chunk);
        framed.extend_from_slice(b"\r\n");
    }
    framed.extend_from_slice(b"0\r\n\r\n");
    framed
}

const SIZES: [usize; 7] = [0, 1, 1_460, 16_383, 65_536, 100_001, 3_000_000];

fn a_body_by_length_passes_both_ways(on: Driver) {
    let server = mirror(false);
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    for size in SIZES {
        let body = pattern(size);
        client.send(format!(
            "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
        ));
        client.send(&body);
        let reply = client.read_response();
        assert_eq!((reply.status(), reply.body.len()), (200, size));
        assert!(
            reply.body == body,
            "the body of {size} bytes is another one"
        );
    }
    assert_eq!(server.connections(), 1);
}

fn a_chunked_body_passes_both_ways(on: Driver) {
    let server = mirror(true);
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    for size in SIZES {
        let body = pattern(size);
        client.send("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(chunks(&body, 50_000));
        let reply = client.read_response();
        assert_eq!((reply.status(), reply.body.len()), (200, size));
        assert!(
            reply.body == body,
            "the body of {size} bytes is another one"
        );
    }
    assert_eq!(server.connections(), 1);
}

fn trailers_pass_both_ways(on: Driver) {
    let server = Server::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Digest\r\n\r\n3\r\nabc\r\n0\r\nDigest: xyz\r\nMore: 1\r\n\r\n",
    );
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    for _ in 0..2 {
        let reply = client.request(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nChecksum: 42\r\n\r\n",
        );
        assert_eq!(reply.text(), "abc");
        let trailer = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            reply.trailers,
            [trailer("Digest", "xyz"), trailer("More", "1")]
        );
        let request = server.last_request();
        assert_eq!(request.text(), "hi");
        assert_eq!(request.trailers, [trailer("Checksum", "42")]);
    }
}

fn chunk_extensions_do_not_harm_the_body(on: Driver) {
    let server = Server::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;name=value\r\nabc\r\n0;last=\"q;uo\\\"ted\"\r\n\r\n",
    );
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    for _ in 0..2 {
        let reply = client.request(
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;a;b=c\r\nhi\r\n0\r\n\r\n",
        );
        assert_eq!(reply.text(), "abc");
        assert_eq!(server.last_request().text(), "hi");
    }
}

fn a_body_until_close_ends_with_the_server(on: Driver) {
    let body = pattern(200_000);
    let mut answer = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    answer.extend_from_slice(&body);
    let server = Server::answering_once(answer);
    let proxy = Proxy::before(on, &[&server]);
    let reply = proxy.get("/");
    assert_eq!(reply.status(), 200);
    assert!(reply.body == body, "the body is another one");
    assert_eq!(proxy.access_line("GET /").termination, "----");
}

fn an_answer_to_head_has_no_body(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    let reply = client.request("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(reply.field("Content-Length"), Some("3"));
    assert_eq!(client.get("/").text(), "one");
    assert_eq!(server.connections(), 1);
}

fn answers_204_and_304_have_no_body(on: Driver) {
    let server = Server::script(|conn| {
        while let Some(request) = conn.read_request() {
            conn.send(match request.target() {
                "/204" => "HTTP/1.1 204 No Content\r\n\r\n",
                "/304" => {
                    "HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\nETag: \"x\"\r\n\r\n"
                }
                _ => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            });
        }
    });
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    for _ in 0..2 {
        assert_eq!(client.get("/204").status(), 204);
        assert_eq!(client.get("/304").status(), 304);
        assert_eq!(client.get("/").text(), "ok");
    }
    assert_eq!(server.connections(), 1);
}

// === Interim answers ===

fn interim_answers_are_passed_on(on: Driver) {
    let server = Server::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    for _ in 0..2 {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        for link in ["</a.css>", "</b.css>"] {
            let hint = client.read_response();
            assert_eq!((hint.status(), hint.field("Link")), (103, Some(link)));
        }
        assert_eq!(client.read_response().text(), "ok");
    }
    assert_eq!(proxy.access_line("GET /").status, 200);
}

fn expect_continue_is_passed_on(on: Driver) {
    let server = Server::script(|conn| {
        while let Some(head) = conn.read_request_head() {
            assert_eq!(
                head.field("Expect").map(str::to_lowercase).as_deref(),
                Some("100-continue")
            );
            conn.send("HTTP/1.1 100 Continue\r\n\r\n");
            assert_eq!(conn.read_exactly(4), b"body");
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        }
    });
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    for _ in 0..2 {
        client.send(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n",
        );
        assert_eq!(client.read_response().status(), 100);
        client.send("body");
        assert_eq!(client.read_response().status(), 200);
    }
}

fn a_refused_expectation_is_passed_on(on: Driver) {
    let server = Server::script(|conn| {
        conn.read_request_head();
        conn.send("HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n");
        conn.read_to_end();
    });
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.read_response().status(), 417);
}

// === HTTP/1.0 ===

fn a_client_of_http_1_0_gets_no_chunks_and_a_close(on: Driver) {
    let server = mirror(true);
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    let reply = client.read_response();
    assert!(!reply.has("Transfer-Encoding"), "{}", reply.head);
    assert_eq!(reply.text(), "hello");
    client.expect_closed();
    assert!(
        server.last_request().start.ends_with("HTTP/1.1"),
        "each hop has its own version"
    );
}

fn a_client_of_http_1_0_may_ask_to_keep_the_connection(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    for _ in 0..2 {
        let reply = client.request("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(reply.text(), "one");
        let connection = reply.field("Connection").expect("it must be told");
        assert!(
            connection.eq_ignore_ascii_case("keep-alive"),
            "{}",
            reply.head
        );
    }
    assert_eq!(
        client.request("GET / HTTP/1.0\r\nHost: a\r\n\r\n").text(),
        "one"
    );
    client.expect_closed();
}

fn a_server_of_http_1_0_is_understood(on: Driver) {
    let server = Server::answering_once("HTTP/1.0 200 OK\r\nX-Old: 1\r\n\r\nancient");
    let proxy = Proxy::before(on, &[&server]);
    for _ in 0..2 {
        let reply = proxy.get("/");
        assert_eq!((reply.status(), reply.text().as_str()), (200, "ancient"));
        assert!(reply.start.starts_with("HTTP/1.1 "), "{}", reply.start);
        assert_eq!(reply.field("X-Old"), Some("1"));
    }
    assert_eq!(server.connections(), 2);
}

// === Heads ===

fn an_absolute_target_becomes_its_path_and_host(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.request("GET http://a.example:81/p/q?x HTTP/1.1\r\nHost: a.example:81\r\n\r\n");
    let request = server.last_request();
    assert_eq!(request.target(), "/p/q?x");
    assert_eq!(request.field("Host"), Some("a.example:81"));
    client.request("GET http://a.example HTTP/1.1\r\nHost: a.example\r\n\r\n");
    assert_eq!(server.last_request().target(), "/");
}

fn fields_of_one_hop_are_removed_from_the_request(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    proxy.client().get_with(
        "/",
        "Connection: keep-alive, X-Secret\r\nconnection: x-other\r\nX-Secret: 1\r\nX-Other: 2\r\nKeep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nTE: gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\nX-Stays: 3\r\n",
    );
    let request = server.last_request();
    for gone in [
        "X-Secret",
        "X-Other",
        "Keep-Alive",
        "Proxy-Connection",
        "Upgrade",
    ] {
        assert!(!request.has(gone), "{gone} is still in {}", request.head);
    }
    assert!(
        request
            .fields("TE")
            .iter()
            .all(|value| *value == "trailers"),
        "{}",
        request.head
    );
    let named = request.fields("Connection").join(",").to_lowercase();
    assert!(
        !named.contains("x-secret") && !named.contains("upgrade"),
        "{}",
        request.head
    );
    assert_eq!(request.field("X-Stays"), Some("3"));
}

fn fields_of_one_hop_are_removed_from_the_answer(on: Driver) {
    let server = Server::answering(
        "HTTP/1.1 200 OK\r\nConnection: X-Internal\r\nX-Internal: 1\r\nKeep-Alive: timeout=5\r\nProxy-Connection: x\r\nX-Stays: 3\r\nContent-Length: 0\r\n\r\n",
    );
    let proxy = Proxy::before(on, &[&server]);
    let reply = proxy.get("/");
    for gone in ["X-Internal", "Keep-Alive", "Proxy-Connection"] {
        assert!(!reply.has(gone), "{gone} is still in {}", reply.head);
    }
    assert_eq!(reply.field("X-Stays"), Some("3"));
}

fn the_server_learns_of_the_client(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    proxy.get("/");
    let request = server.last_request();
    assert_eq!(request.field("X-Forwarded-For"), Some("127.0.0.1"));
    assert_eq!(request.field("X-Forwarded-Proto"), Some("http"));
    assert!(
        request
            .field("X-Request-Id")
            .is_some_and(|id| id.len() >= 16),
        "{}",
        request.head
    );
    assert!(
        !request.has("Forwarded") && !request.has("Via"),
        "{}",
        request.head
    );
}

fn what_a_client_claims_of_itself_is_dropped(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    proxy.client().get_with(
        "/",
        "x-forwarded-for: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8\r\nX-Forwarded-Proto: https\r\nX-Request-Id: mine\r\n",
    );
    let request = server.last_request();
    assert_eq!(request.field("X-Forwarded-For"), Some("127.0.0.1"));
    assert_eq!(request.field("X-Forwarded-Proto"), Some("http"));
    assert_ne!(request.field("X-Request-Id"), Some("mine"));
}

/// Many servers read one line only.
fn what_a_trusted_proxy_sent_is_continued_in_one_line(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .listener("trusted_proxies = [\"127.0.0.0/8\"]")
        .pool("forwarded = true")
        .start();
    proxy.client().get_with(
        "/",
        "x-forwarded-for: 1.2.3.4\r\nX-Forwarded-For: 5.6.7.8, 9.9.9.9\r\nForwarded: for=1.2.3.4\r\n",
    );
    let request = server.last_request();
    assert_eq!(
        request.fields("X-Forwarded-For"),
        ["1.2.3.4, 5.6.7.8, 9.9.9.9, 127.0.0.1"]
    );
    assert_eq!(
        request.fields("Forwarded"),
        ["for=1.2.3.4, for=127.0.0.1;proto=http"]
    );
}

fn addresses_in_excepted_networks_are_not_told(on: Driver) {
    let server = Server::named("one");
    let setup = Setup::new(on).server(&server);
    let proxy = setup
        .pool("forwarded_for = { except = [\"127.0.0.0/8\"] }")
        .start();
    proxy.get("/");
    assert!(!server.last_request().has("X-Forwarded-For"));
    // Nor may they tell one themselves.
    let setup = Setup::new(on).server(&server);
    let proxy = setup
        .pool("forwarded_for = { header = \"X-Client-IP\", except = [\"127.0.0.0/8\"] }")
        .start();
    let lines = "X-Client-IP: 8.8.8.8\r\nx_client_ip: 8.8.4.4\r\nX-Client: mine\r\n";
    proxy.client().get_with("/", lines);
    let request = server.last_request();
    assert!(!request.head.contains("8.8."), "{}", request.head);
    assert!(request.has("X-Client"));
}

fn the_fields_of_forwarding_can_be_renamed_and_switched_off(on: Driver) {
    let server = Server::named("one");
    let setup = Setup::new(on).server(&server);
    let proxy = setup
        .pool("forwarded_for = { header = \"X-Client\" }\nforwarded_proto = false\nrequest_id = \"X-Trace\"")
        .start();
    proxy.get("/");
    let request = server.last_request();
    assert_eq!(request.field("X-Client"), Some("127.0.0.1"));
    assert!(request.has("X-Trace"));
    for gone in ["X-Forwarded-For", "X-Forwarded-Proto", "X-Request-Id"] {
        assert!(!request.has(gone), "{gone} is in {}", request.head);
    }
    let bare = Server::named("bare");
    let setup = Setup::new(on).server(&bare);
    let proxy = setup
        .pool("forwarded_for = false\nrequest_id = false")
        .start();
    proxy.get("/");
    assert!(!bare.last_request().has("X-Forwarded-For"));
    assert!(!bare.last_request().has("X-Request-Id"));
}

fn forwarded_is_added_when_asked_for(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .pool("forwarded = true")
        .start();
    proxy.client().get_with("/", "Forwarded: for=1.2.3.4\r\n");
    let request = server.last_request();
    let forwarded = request
        .field("Forwarded")
        .expect("one field")
        .to_lowercase();
    assert!(forwarded.contains("for=127.0.0.1"), "{forwarded}");
    assert!(forwarded.contains("proto=http"), "{forwarded}");
    assert!(!forwarded.contains("1.2.3.4"), "{forwarded}");
}

fn via_is_added_on_both_sides_when_asked_for(on: Driver) {
    let server =
        Server::answering("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nVia: 1.1 inner\r\n\r\n");
    let proxy = Setup::new(on).server(&server).pool("via = true").start();
    let reply = proxy.client().get_with("/", "Via: 1.0 outer\r\n");
    assert_eq!(reply.fields("Via").join(", "), "1.1 inner, 1.1 ringbolt");
    assert_eq!(
        server.last_request().fields("Via").join(", "),
        "1.0 outer, 1.1 ringbolt"
    );
}

fn request_ids_differ(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .process("workers = 2")
        .start();
    for _ in 0..4 {
        let mut client = proxy.client();
        for _ in 0..4 {
            client.get("/");
        }
    }
    let mut ids: Vec<String> = server
        .requests()
        .iter()
        .map(|request| request.field("X-Request-Id").unwrap().to_owned())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 16);
}

// === Both directions at once ===

fn an_answer_may_come_before_the_request_is_whole(on: Driver) {
    let server = Server::script(|conn| {
        conn.read_request_head();
        conn.send(
            "HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nmuch",
        );
        conn.read_to_end();
    });
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.send("POST /big HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    client.send(pattern(50_000));
    let reply = client.read_response();
    assert_eq!((reply.status(), reply.text().as_str()), (413, "much"));
    drop(client);
    assert_eq!(proxy.access_line("POST /big").status, 413);
}

fn both_directions_stream_at_once(on: Driver) {
    let server = Server::script(|conn| {
        conn.read_request_head();
        conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        loop {
            let size = conn.read_until(b"\r\n");
            conn.send(&size);
            if size == b"0\r\n" {
                conn.read_until(b"\r\n");
                conn.send("\r\n");
                return;
            }
            let chunk = conn.read_until(b"\r\n");
            conn.send(chunk);
        }
    });
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(client.read_response_head().status(), 200);
    for word in ["one", "three", "fifteen"] {
        client.send(format!("{:x}\r\n{word}\r\n", word.len()));
        let size = client.read_until(b"\r\n");
        assert_eq!(size, format!("{:x}\r\n", word.len()).into_bytes());
        assert_eq!(
            client.read_until(b"\r\n"),
            format!("{word}\r\n").into_bytes()
        );
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.read_exactly(5), b"0\r\n\r\n");
}

// === What is refused ===

/// Heads that two readers could understand differently, or that are no HTTP.
const MALFORMED: &[&str] = &[
    "GET / HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\n: empty\r\n\r\n",
    "GET / HTTP/1.1\nHost: a\n\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n",
    "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / x HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /\r\nHost: a\r\n\r\n",
    "GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\na",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\na",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x1\r\n\r\na",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 1\r\n\r\na",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999999\r\n\r\na",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

fn malformed_requests_are_refused_and_never_forwarded(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    for request in MALFORMED {
        let mut client = proxy.client();
        client.send(request);
        let reply = client.read_response();
        assert!(
            matches!(reply.status(), 400 | 501 | 505),
            "{request:?} got {}",
            reply.head
        );
        client.expect_closed();
    }
    assert_eq!(server.connections(), 0, "{:?}", server.received());
    assert_eq!(proxy.get("/good").status(), 200);
    assert_eq!(server.requests().len(), 1);
}

fn malformed_answers_become_502(on: Driver) {
    for answer in [
        "SSH-2.0-OpenSSH\r\n\r\n",
        "HTTP/1.1 OK\r\n\r\n",
        "HTTP/1.1 99 Low\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 200",
        "",
    ] {
        let server = Server::answering_once(answer);
        let proxy = Proxy::before(on, &[&server]);
        let reply = proxy.get("/");
        assert_eq!(reply.status(), 502, "{answer:?} became {}", reply.head);
    }
}

// === Links ===

fn an_unused_link_that_the_server_closed_is_not_used_again(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    for _ in 0..5 {
        let reply = client.request("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
        assert_eq!(reply.status(), 200);
        server.cut();
        assert_eventually!(server.open() == 0);
    }
    assert_eq!(server.requests().len(), 5);
}

/// Answers the first request of each connection and, when a second comes, closes without a word.
fn breaks_when_reused() -> Server {
    Server::script(|conn| {
        conn.read_request();
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        conn.read_request();
    })
}

fn a_get_on_a_kept_link_that_breaks_is_sent_again(on: Driver) {
    let server = breaks_when_reused();
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    assert_eq!(client.get("/1").status(), 200);
    assert_eq!(client.get("/2").status(), 200);
    assert_eq!(server.connections(), 2);
}

fn a_post_on_a_kept_link_that_breaks_is_not_sent_again(on: Driver) {
    let server = breaks_when_reused();
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    assert_eq!(client.get("/1").status(), 200);
    let post = "POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    let sent =
        |requests: Vec<Message>| requests.iter().filter(|one| one.method() == "POST").count();
    let reply = client.request(post);
    assert!(sent(server.requests()) <= 1, "a POST was sent twice");
    // Either the link was not trusted with a POST, or its failure is the client's to judge.
    assert_eq!(
        reply.status(),
        if server.connections() == 2 { 200 } else { 502 }
    );
}

fn links_beyond_the_bound_are_not_kept(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .limits("idle_links = 0")
        .start();
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(client.get("/").status(), 200);
    }
    assert_eq!(server.connections(), 3);
    assert_eventually!(server.open() == 0);
}

fn idle_links_expire(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .timeouts("idle_link = \"300ms\"")
        .start();
    let mut client = proxy.client();
    assert_eq!(client.get("/").status(), 200);
    assert_eventually!(server.open() == 0);
    assert_eq!(client.get("/").status(), 200);
    assert_eq!(server.connections(), 2);
}

// === What would mix clients up ===

fn bytes_behind_an_answer_reach_no_other_client(on: Driver) {
    const POISON: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
    for late in [false, true] {
        let server = Server::script(move |conn| {
            while conn.read_request().is_some() {
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                if late {
                    conn.send(answer);
                    std::thread::sleep(Duration::from_millis(50));
                    let _ = conn.try_send(POISON);
                } else {
                    conn.send(format!("{answer}{POISON}"));
                }
            }
        });
        let proxy = Proxy::before(on, &[&server]);
        for _ in 0..5 {
            assert_eq!(proxy.get("/").text(), "ok", "late: {late}");
            std::thread::sleep(Duration::from_millis(if late { 100 } else { 0 }));
        }
        assert_eq!(
            server.accepted(),
            5,
            "no such link is used again; late: {late}"
        );
    }
}

fn a_body_of_full_buffers_is_whole_when_its_server_closes(on: Driver) {
    const SIZE: usize = 4 * 65_536;
    let server = Server::script(move |conn| {
        if conn.read_request().is_none() {
            return;
        }
        conn.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"));
        // The head goes its way first, so that the body arrives by itself.
        std::thread::sleep(Duration::from_millis(20));
        conn.send(vec![b'x'; SIZE]);
    });
    let proxy = Proxy::before(on, &[&server]);
    for _ in 0..20 {
        let mut client = proxy.client();
        assert_eq!(client.get("/whole").text().len(), SIZE);
    }
    for line in proxy.access_lines("GET /whole", 20) {
        assert_eq!(line.termination, "----", "{}", line.line);
    }
}

fn malformed_chunks_end_the_request_on_both_sides(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    for body in [
        "zz\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 5\r\nhello\r\n0\r\n\r\n",
        "5;\r\nhello\r\n0\r\n\r\n",
        "5;;\r\nhello\r\n0\r\n\r\n",
        "5; =x\r\nhello\r\n0\r\n\r\n",
        "5\nhello\n0\n\n",
        "5\r\nhelloXX0\r\n\r\n",
        "ffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\nContent-Length: 5\r\n\r\n",
    ] {
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        // Also when the server is already reading it.
        std::thread::sleep(Duration::from_millis(10));
        client.send(body);
        let answer = String::from_utf8(client.read_to_end()).unwrap();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
            "{body:?} got {answer:?}"
        );
    }
    assert_eventually!(server.open() == 0);
    assert_eq!(server.requests().len(), 0, "{:?}", server.requests());
    assert_eq!(proxy.get("/good").status(), 200);
}

fn a_malformed_chunk_of_the_server_cuts_the_answer(on: Driver) {
    for chunk in ["zz\r\nbad", "3\r\nabcd\r\n", "\r\n", "3\nabc\n"] {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
        let server = Server::answering_once(format!("{head}{chunk}0\r\n\r\n"));
        let proxy = Proxy::before(on, &[&server]);
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        let all = String::from_utf8(client.read_to_end()).unwrap();
        assert!(
            !all.ends_with("0\r\n\r\n"),
            "{chunk:?} became a whole answer: {all:?}"
        );
    }
}

// === What is left alone ===

fn what_is_not_ours_passes_as_it_came(on: Driver) {
    let server = Server::answering(
        b"HTTP/1.1 299 Odd \xe9 Phrase\r\nx-lower: 1\r\nX-UPPER: 2\r\nX-Twice: a\r\nX-Twice: b\r\nX-Text: caf\xe9\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n",
    );
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    let target = "/a//b/../c;d=e/%2F%2e?x=%00&y=[1]";
    client.send(format!("GET {target} HTTP/1.1\r\nHost: EXAMPLE.com\r\n"));
    client.send(b"x-lower: 1\r\nX-UPPER: 2\r\nX-Twice: a\r\nX-Twice: b\r\nX-Text: caf\xe9\r\nX-Empty:\r\n\r\n");
    let head = client.read_until(b"\r\n\r\n");
    let between = |bytes: &[u8], from: &[u8], to: &[u8]| -> Vec<u8> {
        let start = memchr::memmem::find(bytes, from).expect("its start");
        let length = memchr::memmem::find(&bytes[start..], to).expect("its end");
        bytes[start..start + length].to_vec()
    };
    let common = b"x-lower: 1\r\nX-UPPER: 2\r\nX-Twice: a\r\nX-Twice: b\r\nX-Text: caf\xe9\r\n";
    assert!(
        head.starts_with(b"HTTP/1.1 299 Odd \xe9 Phrase\r\n"),
        "{}",
        head.escape_ascii()
    );
    assert_eq!(between(&head, b"x-lower", b"Set-Cookie: a"), common);
    let request = &server.received()[0];
    assert!(
        request.starts_with(format!("GET {target} HTTP/1.1\r\nHost: EXAMPLE.com\r\n").as_bytes())
    );
    assert_eq!(between(request, b"x-lower", b"X-Empty:"), common);
}

fn an_empty_line_before_a_request_is_skipped(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.send("\r\nGET /1 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_response().status(), 200);
    client.send("\r\n");
    client.send("GET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_response().status(), 200);
}

fn methods_of_all_kinds_pass(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "PROPFIND", "QUERY"] {
        let reply = client.request(&format!(
            "{method} /m HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"
        ));
        assert_eq!(reply.status(), 200, "{method}");
        let request = server.last_request();
        assert_eq!(
            (request.method(), request.text().as_str()),
            (method, "body")
        );
    }
    let reply = client.request("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(reply.status(), 200);
    assert_eq!(server.last_request().start, "OPTIONS * HTTP/1.1");
}

fn methods_for_proxies_are_refused(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    for request in [
        "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n",
        "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n",
    ] {
        let mut client = proxy.client();
        client.send(request);
        let status = client.read_response().status();
        assert!(
            matches!(status, 400 | 405 | 501),
            "{request:?} got {status}"
        );
        client.expect_closed();
    }
    assert_eq!(server.connections(), 0);
}

fn a_thousand_pipelined_requests_meet_a_slow_reader(on: Driver) {
    let server = Server::script(|conn| {
        let body = "x".repeat(10_000);
        while conn.read_request().is_some() {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n";
            if conn.try_send(format!("{head}{body}")).is_err() {
                return;
            }
        }
    });
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    let mut writer = client.twin();
    let writing = std::thread::spawn(move || {
        for number in 0..1_000 {
            writer.send(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        }
    });
    std::thread::sleep(Duration::from_millis(300));
    for _ in 0..1_000 {
        assert_eq!(client.read_response().body.len(), 10_000);
    }
    writing.join().unwrap();
    let requests = server.requests();
    assert!(
        requests
            .iter()
            .enumerate()
            .all(|(at, one)| one.target() == format!("/{at}"))
    );
    assert_eq!(requests.len(), 1_000);
}
