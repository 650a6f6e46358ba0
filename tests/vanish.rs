//! Either side vanishing, in every phase and at every byte: it is noticed, the other side learns of
//! it, nothing spins, and every descriptor comes back.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::time::Duration;

use support::{Conn, Driver, Proxy, Server, Setup};

on_both_drivers!(
    a_client_may_leave_without_a_word,
    a_client_may_leave_at_any_byte_of_its_request,
    a_client_that_leaves_a_long_poll_is_noticed,
    a_client_that_resets_a_long_poll_is_noticed,
    a_client_that_leaves_with_pipelined_bytes_pending_is_noticed,
    pipelined_bytes_during_a_long_poll_do_not_spin,
    a_client_that_leaves_inside_its_body_ends_the_request,
    a_client_that_leaves_inside_the_answer_ends_it,
    a_server_that_closes_without_a_word_is_a_502,
    a_server_that_resets_without_a_word_is_a_502,
    a_server_may_leave_at_any_byte_of_its_answer,
    an_answer_cut_short_is_cut_for_the_client_too,
    an_answer_cut_in_a_chunk_is_cut_for_the_client_too,
    part_of_a_body_that_ends_with_its_connection_is_not_passed_off_as_the_whole,
    a_server_that_leaves_inside_the_request_body_is_noticed,
    a_client_that_leaves_a_tunnel_takes_the_server_along,
    a_client_that_resets_a_tunnel_takes_the_server_along,
    a_server_that_resets_a_tunnel_takes_the_client_along,
    a_client_that_leaves_during_the_handshake_is_noticed,
    a_half_closed_tunnel_does_not_spin,
    a_stalled_reader_does_not_spin,
    a_client_that_leaves_while_connecting_is_noticed,
    a_client_that_resets_a_flooded_tunnel_is_noticed,
    a_stalled_tunnel_does_not_spin,
);

const REQUEST: &str = "POST /cut HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";

/// Nothing runs that nobody asked for.
fn assert_quiet(proxy: &Proxy) {
    let spent = proxy.processor_time_during(Duration::from_millis(400));
    assert!(
        spent < Duration::from_millis(100),
        "{spent:?} of processor time while idle"
    );
}

/// A proxy whose descriptors were counted while it was idle, links to servers not kept.
fn counted(on: Driver, server: &Server) -> (Proxy, usize) {
    let proxy = Setup::new(on)
        .server(server)
        .limits("idle_links = 0")
        .start();
    // A first exchange, so that what a worker opens once is counted too.
    drop(
        proxy
            .client()
            .try_send("GET /first HTTP/1.1\r\nHost: a\r\n\r\n"),
    );
    assert_eventually!(server.accepted() >= 1 && server.open() == 0);
    let descriptors = proxy.settled_descriptors();
    (proxy, descriptors)
}

// === The client ===

fn a_client_may_leave_without_a_word(on: Driver) {
    let server = Server::named("one");
    let (proxy, before) = counted(on, &server);
    for number in 0..20 {
        let client = proxy.client();
        if number % 2 == 0 {
            client.reset();
        }
    }
    proxy.wait_for_descriptors(before);
    assert_eq!(proxy.get("/after").status(), 200);
}

fn a_client_may_leave_at_any_byte_of_its_request(on: Driver) {
    let server = Server::named("one");
    let (proxy, before) = counted(on, &server);
    for end in 1..REQUEST.len() {
        let mut client = proxy.client();
        client.send(&REQUEST[..end]);
        if end % 2 == 0 {
            client.reset();
        }
    }
    proxy.wait_for_descriptors(before);
    assert_eventually!(server.open() == 0);
    assert_eq!(proxy.client().request(REQUEST).status(), 200);
    assert_quiet(&proxy);
    assert!(
        server
            .requests()
            .iter()
            .all(|one| one.text() == "hello" || one.target() == "/first")
    );
}

fn a_client_that_leaves_a_long_poll_is_noticed(on: Driver) {
    let server = Server::silent();
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.send("GET /poll HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eventually!(server.requests().len() == 1);
    drop(client);
    assert_eventually!(server.open() == 0);
    let line = proxy.access_line("GET /poll");
    assert_eq!(
        (&line.termination[..2], line.status),
        ("CH", -1),
        "{}",
        line.line
    );
}

fn a_client_that_resets_a_long_poll_is_noticed(on: Driver) {
    let server = Server::silent();
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.send("GET /poll HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eventually!(server.requests().len() == 1);
    client.reset();
    assert_eventually!(server.open() == 0);
    assert_eq!(&proxy.access_line("GET /poll").termination[..2], "CH");
}

fn a_client_that_leaves_with_pipelined_bytes_pending_is_noticed(on: Driver) {
    // Beyond what the proxy's socket holds, an orderly end would wait behind the bytes: unseen by anybody.
    for (pending, resetting) in [(1, false), (100, true), (60_000, false), (300_000, true)] {
        let server = Server::silent();
        let proxy = Proxy::before(on, &[&server]);
        let mut client = proxy.client();
        client.send("GET /poll HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eventually!(server.requests().len() == 1);
        client.send("GET /next HTTP/1.1\r\nHost: a\r\nX-Pad: ");
        client.send(vec![b'x'; pending]);
        std::thread::sleep(Duration::from_millis(50));
        if resetting {
            client.reset();
        } else {
            drop(client);
        }
        assert_eventually!(server.open() == 0, "{pending} bytes pending: noticed");
        assert_eq!(&proxy.access_line("GET /poll").termination[..2], "CH");
        assert_eq!(server.requests().len(), 1, "nobody is left to answer");
    }
}

fn pipelined_bytes_during_a_long_poll_do_not_spin(on: Driver) {
    let server = Server::silent();
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.send("GET /poll HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eventually!(server.requests().len() == 1);
    client.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_quiet(&proxy);
    assert_eq!(server.requests().len(), 1);
}

fn a_client_that_leaves_inside_its_body_ends_the_request(on: Driver) {
    let server = Server::named("one");
    let (proxy, before) = counted(on, &server);
    for resetting in [false, true] {
        let mut client = proxy.client();
        client.send("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n");
        client.send(vec![b'x'; 50_000]);
        assert_eventually!(server.open() == 1);
        if resetting {
            client.reset();
        } else {
            drop(client);
        }
        assert_eventually!(server.open() == 0);
    }
    proxy.wait_for_descriptors(before);
    for line in proxy.access_lines("POST /body", 2) {
        assert_eq!(&line.termination[..1], "C", "{}", line.line);
    }
    assert!(
        server.requests().iter().all(|one| one.method() == "GET"),
        "no whole POST arrived"
    );
}

/// Answers with a body that never ends.
fn endless() -> Server {
    Server::script(|conn| {
        if conn.read_request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
            while conn.try_send([0; 10_000]).is_ok() {}
        }
    })
}

fn a_client_that_leaves_inside_the_answer_ends_it(on: Driver) {
    let server = endless();
    let proxy = Proxy::before(on, &[&server]);
    let before = proxy.settled_descriptors();
    for resetting in [false, true] {
        let mut client = proxy.client();
        client.send("GET /endless HTTP/1.1\r\nHost: a\r\n\r\n");
        client.read_response_head();
        client.skip(500_000);
        if resetting {
            client.reset();
        } else {
            drop(client);
        }
        assert_eventually!(server.open() == 0);
    }
    proxy.wait_for_descriptors(before);
    for line in proxy.access_lines("GET /endless", 2) {
        assert_eq!(
            (&line.termination[..2], line.status),
            ("CD", 200),
            "{}",
            line.line
        );
    }
    assert_quiet(&proxy);
}

fn part_of_a_body_that_ends_with_its_connection_is_not_passed_off_as_the_whole(on: Driver) {
    let server = Server::script(|conn| {
        let Some(request) = conn.read_request_head() else {
            return;
        };
        conn.send("HTTP/1.1 200 OK\r\n\r\nsome");
        // The client has read that once the body of its request comes.
        conn.read_exactly(4);
        if request.target() == "/part" {
            conn.twin().reset();
        }
    });
    let proxy = Proxy::before(on, &[&server]);
    for (target, whole) in [("/whole", true), ("/part", false)] {
        let mut client = proxy.client();
        client.send(format!(
            "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
        ));
        client.read_until(b"\r\n\r\nsome");
        client.send("more");
        assert_eq!(client.is_reset(), !whole, "{target}");
    }
}

fn a_client_that_leaves_while_connecting_is_noticed(on: Driver) {
    let unreachable = support::Unreachable::new();
    let proxy = Setup::new(on)
        .unreachable("one", &unreachable, "")
        .timeouts("connect = \"1s\"")
        .pool("retries = 10")
        .start();
    let before = proxy.settled_descriptors();
    let mut client = proxy.client();
    client.send("GET /lost HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eventually!(proxy.usage().descriptors >= before + 2);
    // Noticed at the end of the attempt, long before that of all eleven.
    let from = std::time::Instant::now();
    drop(client);
    proxy.wait_for_descriptors(before);
    assert!(
        from.elapsed() < Duration::from_secs(5),
        "{:?}",
        from.elapsed()
    );
    assert_eq!(&proxy.access_line("GET /lost").termination[..2], "CC");
}

// === The server ===

fn a_server_that_closes_without_a_word_is_a_502(on: Driver) {
    let server = Server::script(|conn| drop(conn.read_request()));
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    assert_eq!(client.get("/").status(), 502);
    let line = proxy.access_line("GET /");
    assert_eq!(
        (&line.termination[..2], line.status),
        ("SH", 502),
        "{}",
        line.line
    );
}

fn a_server_that_resets_without_a_word_is_a_502(on: Driver) {
    let server = Server::script(|conn| {
        conn.read_request();
        conn.linger_none();
    });
    let proxy = Proxy::before(on, &[&server]);
    assert_eq!(proxy.get("/").status(), 502);
    assert_eq!(&proxy.access_line("GET /").termination[..2], "SH");
}

impl Conn {
    /// For scripts: the end of this connection is a reset.
    fn linger_none(&self) {
        self.twin().reset();
    }
}

fn a_server_may_leave_at_any_byte_of_its_answer(on: Driver) {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Pad: 1\r\n\r\nhello";
    let head = ANSWER.find("hello").unwrap();
    let turn = std::sync::atomic::AtomicUsize::new(0);
    let server = Server::script(move |conn| {
        let end = turn.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        conn.read_request();
        conn.send(&ANSWER[..end]);
        if end.is_multiple_of(2) {
            conn.linger_none();
        }
    });
    let proxy = Setup::new(on)
        .server(&server)
        .limits("idle_links = 0")
        .start();
    let mut before = 0;
    for end in 0..ANSWER.len() {
        let mut client = proxy.client();
        client.send("GET /cut HTTP/1.1\r\nHost: a\r\n\r\n");
        let all = String::from_utf8(client.read_to_end_or_response()).unwrap();
        if end < head {
            assert!(all.starts_with("HTTP/1.1 502 "), "cut at {end}: {all:?}");
        } else {
            let whole = all.ends_with("hello");
            assert!(
                !whole && (all.is_empty() || !all.contains("\r\n\r\nhello")),
                "cut at {end}: {all:?}"
            );
        }
        drop(client);
        if end == 0 {
            before = proxy.usage().descriptors;
        }
    }
    proxy.wait_for_descriptors(before);
    assert_quiet(&proxy);
}

impl Conn {
    /// Everything until the stream ends, or one whole 502.
    fn read_to_end_or_response(&mut self) -> Vec<u8> {
        let Some(mut all) = self.try_read_until(b"\r\n\r\n") else {
            return self.read_to_end();
        };
        if all.starts_with(b"HTTP/1.1 502 ") {
            return all;
        }
        all.extend(self.read_to_end());
        all
    }
}

fn an_answer_cut_short_is_cut_for_the_client_too(on: Driver) {
    let server = Server::answering_once("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.send("GET /short HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        client.read_response_head().field("Content-Length"),
        Some("100")
    );
    assert_eq!(client.read_to_end(), b"only this");
    let line = proxy.access_line("GET /short");
    assert_eq!(
        (&line.termination[..2], line.status),
        ("SD", 200),
        "{}",
        line.line
    );
}

fn an_answer_cut_in_a_chunk_is_cut_for_the_client_too(on: Driver) {
    for cut in ["5\r\nhello\r\n", "5\r\nhel", "5\r", "5\r\nhello\r\n0\r\n"] {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let server = Server::answering_once(format!("{head}{cut}"));
        let proxy = Proxy::before(on, &[&server]);
        let mut client = proxy.client();
        client.send("GET /short HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(client.read_response_head().status(), 200);
        let rest = client.read_to_end();
        assert!(
            !rest.ends_with(b"0\r\n\r\n"),
            "the end was made up: {rest:?}"
        );
        assert_eq!(&proxy.access_line("GET /short").termination[..2], "SD");
    }
}

fn a_server_that_leaves_inside_the_request_body_is_noticed(on: Driver) {
    let server = Server::script(|conn| {
        conn.read_request_head();
        conn.read_exactly(1_000);
    });
    let (proxy, before) = {
        let proxy = Setup::new(on)
            .server(&server)
            .limits("idle_links = 0")
            .start();
        let before = proxy.settled_descriptors();
        (proxy, before)
    };
    let mut client = proxy.client();
    client.send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    client.send(vec![b'x'; 2_000]);
    assert_eq!(client.read_response().status(), 502);
    drop(client);
    proxy.wait_for_descriptors(before);
    assert_eq!(&proxy.access_line("POST /up").termination[..1], "S");
}

// === Tunnels ===

fn a_client_that_leaves_a_tunnel_takes_the_server_along(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.upgrade("/");
    client.echoes("hello");
    drop(client);
    assert_eventually!(server.open() == 0);
}

fn a_client_that_resets_a_tunnel_takes_the_server_along(on: Driver) {
    let server = Server::tunnel(|conn| drop(conn.read_to_end()));
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.upgrade("/");
    client.reset();
    assert_eventually!(server.open() == 0);
}

fn a_server_that_resets_a_tunnel_takes_the_client_along(on: Driver) {
    let server = Server::tunnel(|conn| {
        conn.read_exactly(1);
        conn.linger_none();
    });
    let proxy = Proxy::before(on, &[&server]);
    let before = proxy.settled_descriptors();
    let mut client = proxy.client();
    client.upgrade("/");
    client.say("go");
    client.expect_closed();
    drop(client);
    proxy.wait_for_descriptors(before);
}

fn a_client_that_leaves_during_the_handshake_is_noticed(on: Driver) {
    let server = Server::silent();
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.send(support::handshake("/shake"));
    client.say("early");
    assert_eventually!(server.requests().len() == 1);
    drop(client);
    assert_eventually!(server.open() == 0);
    assert_eq!(&proxy.access_line("GET /shake").termination[..2], "CH");
}

fn a_half_closed_tunnel_does_not_spin(on: Driver) {
    let server = Server::tunnel(|conn| {
        conn.finish();
        conn.read_to_end();
    });
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.upgrade("/");
    client.expect_closed();
    assert_quiet(&proxy);
    assert_eq!(server.open(), 1, "the other direction is still open");
}

fn a_stalled_reader_does_not_spin(on: Driver) {
    let server = endless();
    let proxy = Proxy::before(on, &[&server]);
    let mut client = Conn::connect_narrow(proxy.address());
    client.send("GET /stalled HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_response_head();
    // Until every buffer on the way is full.
    support::eventually("the stream stalls", || {
        let spent = proxy.processor_time_during(Duration::from_millis(300));
        (spent <= Duration::from_millis(20)).then_some(())
    });
    assert_quiet(&proxy);
}

/// Opens a tunnel and sends without end.
fn flooding() -> Server {
    Server::tunnel(|conn| while conn.try_send([0; 10_000]).is_ok() {})
}

fn a_client_that_resets_a_flooded_tunnel_is_noticed(on: Driver) {
    let server = flooding();
    let proxy = Proxy::before(on, &[&server]);
    let before = proxy.settled_descriptors();
    for reading in [true, false] {
        let mut client = proxy.client();
        client.upgrade("/");
        if reading {
            client.skip(1_000_000);
        }
        client.reset();
        assert_eventually!(server.open() == 0);
    }
    proxy.wait_for_descriptors(before);
    assert_quiet(&proxy);
}

fn a_stalled_tunnel_does_not_spin(on: Driver) {
    let server = flooding();
    let proxy = Proxy::before(on, &[&server]);
    let mut client = Conn::connect_narrow(proxy.address());
    client.upgrade("/");
    let before = proxy.usage().resident;
    support::eventually("the stream stalls", || {
        let spent = proxy.processor_time_during(Duration::from_millis(300));
        (spent <= Duration::from_millis(20)).then_some(())
    });
    assert_quiet(&proxy);
    let grown = proxy.usage().resident.saturating_sub(before);
    assert!(
        grown < 4 << 20,
        "{grown} bytes are held for a reader that does not read"
    );
    // The other direction goes on, and so does this one once it is read again.
    client.say("still there?");
    client.skip(30_000_000);
}
