//! Health checks of each kind, soft drain, and agents.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Conn, Driver, Proxy, Server, Setup, accept_of, frame, ringbolt};

on_both_drivers!(
    an_http_check_asks_what_it_is_told_to,
    a_plain_http_check_names_the_address,
    statuses_decide,
    a_body_must_hold_its_text,
    an_endless_body_is_read_to_its_bound,
    an_endless_head_is_read_to_its_bound,
    endless_interim_answers_have_a_bound,
    a_slow_answer_is_none,
    what_is_no_answer_is_told_apart,
    a_response_that_traffic_refuses_fails_a_check_for_the_same_reason,
    checks_may_go_elsewhere,
    a_404_keeps_new_clients_away_and_held_ones_come,
    a_404_means_down_unless_told_otherwise,
    a_server_that_is_down_does_not_come_back_with_a_404,
    a_websocket_check_is_a_real_handshake,
    a_websocket_check_needs_the_right_accept,
    a_server_that_never_closes_is_checked_on,
    each_word_of_an_agent,
    an_agent_is_sent_its_text,
    an_agents_percentage_shares_out_new_clients,
    an_agents_silence_changes_nothing,
    agent_and_check_do_not_lift_each_other,
    the_operators_word_is_not_undone,
    down_and_changing_have_their_own_intervals,
    a_change_is_logged_once,
    every_kind_introduces_itself,
    the_pools_check_is_for_servers_without_one,
    status_and_page_tell_of_checks_and_agents,
);

/// What a scripted party says at the moment.
#[derive(Clone)]
struct Says(Arc<Mutex<String>>);

impl Says {
    fn new(text: &str) -> Self {
        Self(Arc::new(Mutex::new(text.to_owned())))
    }

    fn now(&self, text: &str) {
        *self.0.lock().unwrap() = text.to_owned();
    }

    fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A head with this status and no body.
fn status(status: u16) -> String {
    format!("HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n")
}

/// Answers requests for `/health` with what it says, and all others with its name.
fn healthy(name: &'static str, says: &Says) -> Server {
    let says = says.clone();
    Server::named_script(name, move |conn| {
        while let Some(request) = conn.read_request() {
            let answer = match request.target() {
                "/health" => says.text(),
                _ => format!(
                    "HTTP/1.1 200 OK\r\nX-Server: {name}\r\nContent-Length: {}\r\n\r\n{name}",
                    name.len()
                ),
            };
            if conn.try_send(answer).is_err() {
                return;
            }
        }
    })
}

/// An agent that says this in each answer.
fn agent(says: &Says) -> Server {
    let says = says.clone();
    Server::named_script("agent", move |conn| {
        let _ = conn.try_send(says.text());
    })
}

fn asked_of(agent: &Server) -> String {
    format!(
        "agent = {{ address = \"{}\", interval = \"40ms\", timeout = \"5s\" }}",
        agent.address()
    )
}

/// A check of this type every 40 ms, decided by one outcome.
fn check(kind: &str, more: &str) -> String {
    format!(
        "check = {{ type = \"{kind}\", interval = \"40ms\", timeout = \"5s\", rise = 1, fall = 1{more} }}"
    )
}

fn http(more: &str) -> String {
    check("http", &format!(", path = \"/health\"{more}"))
}

/// What the status says of a server.
fn told(proxy: &Proxy, server: &str, what: &str) -> Value {
    let status = proxy.status().unwrap_or_default();
    let servers = status["pools"][0]["servers"].as_array().cloned();
    let mut servers = servers.unwrap_or_default().into_iter();
    servers
        .find(|found| found["name"] == server)
        .map_or(Value::Null, |found| found[what].clone())
}

fn state(proxy: &Proxy, server: &str) -> String {
    told(proxy, server, "state")
        .as_str()
        .unwrap_or("")
        .to_owned()
}

fn wait_for_state(proxy: &Proxy, server: &str, wanted: &str) {
    assert_eventually!(
        state(proxy, server) == wanted,
        "{server} is {wanted}, not {}",
        state(proxy, server)
    );
}

/// Waits until so many further checks have been made.
fn after_checks(proxy: &Proxy, server: &str, more: u64) {
    let checks = || told(proxy, server, "checks").as_u64().unwrap_or(0);
    let before = checks();
    assert_eventually!(checks() >= before + more);
}

/// Lines of the log that hold all of these words.
fn events(proxy: &Proxy, words: &[&str]) -> Vec<String> {
    let mut lines = proxy.lines();
    lines.retain(|line| words.iter().all(|word| line.contains(word)));
    lines
}

fn wait_for_event(proxy: &Proxy, words: &[&str]) {
    assert_eventually!(
        !events(proxy, words).is_empty(),
        "an event {words:?} in {:?}",
        proxy.lines()
    );
}

/// How often each server answers so many requests, each on its own connection.
fn shares(proxy: &Proxy, requests: usize) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        let server = proxy.get("/").server().to_owned();
        *shares.entry(server).or_default() += 1;
    }
    shares
}

// === HTTP ===

fn an_http_check_asks_what_it_is_told_to(on: Driver) {
    let one = healthy("one", &Says::new(OK));
    let proxy = Setup::new(on)
        .server_with(
            &one,
            &check(
                "http",
                ", method = \"OPTIONS\", path = \"/health?full=1&x=%20\", host = \"app.example:81\", \
                 headers = { X-Key = \"${KEY}\", Accept = \"text/plain\" }",
            ),
        )
        .environment("KEY", "open sesame")
        .start();
    let request = one.last_request();
    assert_eq!(
        (request.method(), request.target()),
        ("OPTIONS", "/health?full=1&x=%20")
    );
    assert_eq!(request.fields("Host"), ["app.example:81"]);
    assert_eq!(request.field("X-Key"), Some("open sesame"));
    assert_eq!(request.field("Accept"), Some("text/plain"));
    assert_eq!(request.field("Connection"), Some("close"));
    assert_eq!(state(&proxy, "one"), "up");
    let said = proxy.status().unwrap().to_string() + &proxy.lines().join("\n");
    assert!(!said.contains("sesame"), "{said}");
}

fn a_plain_http_check_names_the_address(on: Driver) {
    let one = healthy("one", &Says::new(OK));
    let proxy = Setup::new(on).server_with(&one, &check("http", "")).start();
    let request = one.last_request();
    assert_eq!((request.method(), request.target()), ("GET", "/"));
    assert_eq!(request.field("Host"), Some(one.address().as_str()));
    drop(proxy);
}

fn statuses_decide(on: Driver) {
    for (expect, good, bad) in [
        (
            "",
            &[200, 204, 302, 399][..],
            &[199, 400, 404, 500, 503][..],
        ),
        (", expect = 204", &[204], &[200, 205]),
        (
            ", expect = [401, \"3xx\", \"500-502\"]",
            &[401, 300, 500, 502],
            &[200, 402, 503],
        ),
    ] {
        let says = Says::new(OK);
        says.now(&status(good[0]));
        let one = healthy("one", &says);
        let proxy = Setup::new(on).server_with(&one, &http(expect)).start();
        // 1xx other than 101 is no answer yet, so 199 is followed by silence; it is left to another test.
        for (number, bad) in bad.iter().filter(|status| **status >= 200).enumerate() {
            says.now(&status(*bad));
            wait_for_event(&proxy, &["app/one is down", &format!("status {bad}")]);
            let good = good[number % good.len()];
            says.now(&status(good));
            wait_for_state(&proxy, "one", "up");
            assert_eventually!(told(&proxy, "one", "last_check") == format!("status {good}"));
        }
    }
}

fn a_body_must_hold_its_text(on: Driver) {
    let with = |body: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let says = Says::new(&with("all is well"));
    let one = healthy("one", &says);
    let proxy = Setup::new(on)
        .server_with(&one, &http(", body = \"is well\""))
        .start();
    after_checks(&proxy, "one", 2);
    assert_eq!(state(&proxy, "one"), "up");
    let far = "x".repeat(64 * 1024 - 7) + "is well";
    for (good, bad) in [
        (with("all is well"), with("all is not well")),
        // In pieces, each of which has only a part of it.
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nall is\r\n3\r\n we\r\n2\r\nll\r\n0\r\n\r\n"
                .to_owned(),
            with(""),
        ),
        ("HTTP/1.0 200 OK\r\n\r\nis well".to_owned() + &" ".repeat(70_000), with("is")),
        // The last place where it is found, and the first where it is not.
        (with(&far), with(&format!("x{far}"))),
        (with("is well"), "HTTP/1.1 500 No\r\nContent-Length: 7\r\n\r\nis well".to_owned()),
    ] {
        says.now(&bad);
        wait_for_state(&proxy, "one", "down");
        says.now(&good);
        wait_for_state(&proxy, "one", "up");
    }
    assert!(!events(&proxy, &["is down", "the text is not in the body"]).is_empty());
}

/// Sends this for ever to whoever asks for `/health`, and counts its bytes.
fn endless(start: &'static str, again: &'static [u8], sent: &Arc<Mutex<Vec<usize>>>) -> Server {
    let sent = Arc::clone(sent);
    Server::script(move |conn| {
        if conn.read_request().is_some() && conn.try_send(start).is_ok() {
            let mut count = start.len();
            while conn.try_send(again).is_ok() && count < ENOUGH {
                count += again.len();
            }
            sent.lock().unwrap().push(count);
        }
    })
}

/// Nobody who has a bound takes so much; socket buffers hold less.
const ENOUGH: usize = 256 << 20;

fn assert_bounded(sent: &Mutex<Vec<usize>>) {
    assert_eventually!(sent.lock().unwrap().len() >= 2);
    let sent = sent.lock().unwrap();
    assert!(sent.iter().all(|bytes| *bytes < ENOUGH), "{sent:?}");
}

fn an_endless_body_is_read_to_its_bound(on: Driver) {
    const HEAD: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    const CHUNK: &[u8] = b"a\r\n0123456789\r\n";
    let sent = Arc::default();
    let one = endless(HEAD, CHUNK, &sent);
    let proxy = Setup::new(on)
        .server_with(&one, &http(", body = \"never\""))
        .start();
    wait_for_event(&proxy, &["app/one is down", "the text is not in the body"]);
    assert_bounded(&sent);
    // Where nobody looks for a text, nothing is read of it.
    let sent = Arc::default();
    let one = endless(HEAD, CHUNK, &sent);
    let proxy = Setup::new(on).server_with(&one, &http("")).start();
    assert_bounded(&sent);
    after_checks(&proxy, "one", 1);
    assert_eq!(state(&proxy, "one"), "up");
}

fn an_endless_head_is_read_to_its_bound(on: Driver) {
    for (start, again, word) in [
        (
            "HTTP/1.1 200 OK\r\nX: ",
            &b"0123456789"[..],
            "head-too-large",
        ),
        ("HTTP/1.1 200 ", b"OK OK OK ", "head-too-large"),
        (
            "HTTP/1.1 200 OK\r\n",
            b"X: 0123456789\r\n",
            "too-many-fields",
        ),
    ] {
        let sent = Arc::default();
        let one = endless(start, again, &sent);
        let proxy = Setup::new(on).server_with(&one, &http("")).start();
        let words = format!("invalid response: {word}");
        wait_for_event(&proxy, &["app/one is down", &words]);
        assert_bounded(&sent);
    }
    // The bound is 16 KiB, for heads that have an end too.
    let head = |size: usize| {
        let field = "x".repeat(size);
        format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: {field}\r\n\r\n")
    };
    let says = Says::new(&head(15_000));
    let one = healthy("one", &says);
    let proxy = Setup::new(on).server_with(&one, &http("")).start();
    after_checks(&proxy, "one", 2);
    assert_eq!(state(&proxy, "one"), "up");
    says.now(&head(40_000));
    wait_for_event(
        &proxy,
        &["app/one is down", "invalid response: head-too-large"],
    );
}

fn endless_interim_answers_have_a_bound(on: Driver) {
    let sent = Arc::default();
    let one = endless("", b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n", &sent);
    let proxy = Setup::new(on).server_with(&one, &http("")).start();
    wait_for_state(&proxy, "one", "down");
    assert_bounded(&sent);
}

fn a_slow_answer_is_none(on: Driver) {
    // Nothing at all; and a byte now and then, which is a sign of life but no answer.
    let silent = Server::silent();
    let dripping = Server::named_script("two", |conn| {
        while conn.read_request().is_some() {
            for byte in OK.as_bytes().iter().cycle() {
                if conn.try_send([*byte]).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(40));
            }
        }
    });
    let quick =
        "check = { type = \"http\", interval = \"40ms\", timeout = \"300ms\", rise = 1, fall = 1 }";
    let from = Instant::now();
    let proxy = Setup::new(on)
        .server_with(&silent, quick)
        .server_with(&dripping, quick)
        .start();
    wait_for_event(&proxy, &["app/one is down", "no answer in time"]);
    assert!(from.elapsed() >= Duration::from_millis(300));
    wait_for_event(&proxy, &["app/two is down", "no answer in time"]);
    assert!(told(&proxy, "one", "last_check_us").as_u64().unwrap() >= 300_000);
}

fn what_is_no_answer_is_told_apart(on: Driver) {
    for (answer, words) in [
        (
            "SSH-2.0-OpenSSH_9.9\r\n\r\n",
            "invalid response: bad-status-line",
        ),
        ("", "closed before an answer"),
        ("HTTP/1.1 200 OK\r\nContent-", "closed before an answer"),
    ] {
        let one = Server::answering_once(answer);
        let proxy = Setup::new(on).server_with(&one, &http("")).start();
        wait_for_event(&proxy, &["app/one is down", words]);
    }
}

/// The rules and limits are those of traffic: what a check accepts, a client receives, and the other way round.
fn a_response_that_traffic_refuses_fails_a_check_for_the_same_reason(on: Driver) {
    for (response, word) in [
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "bare-line-end"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
            "lengths-differ",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
            "length-repeated",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
            "length-and-coding",
        ),
        ("HTTP/1.1 200 OK\r\nX : y\r\n\r\nok", "bad-field-name"),
        ("HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\nok", "folded-field"),
        ("HTTP/1.1 101 Switching Protocols\r\n\r\n", "bad-switch"),
        ("HTTP/2.0 200 OK\r\n\r\nok", "bad-version"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n",
            "bare-line-end",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno?\r\n0\r\n\r\n",
            "bad-chunk-end",
        ),
    ] {
        let one = Server::answering_once(response);
        // Traffic: the same response from a server without checks is answered for with 502, or cut.
        let proxy = Setup::new(on).server(&one).start();
        let text = proxy.get("/").text();
        assert!(!text.contains("ok"), "{word}: traffic passed {text}");
        drop(proxy);
        let lines = http(", body = \"ok\", expect = \"100-299\"");
        let proxy = Setup::new(on).server_with(&one, &lines).start();
        let advised = [
            "bare-line-end",
            "folded-field",
            "length-repeated",
            "length-and-coding",
        ];
        let advice = match advised.contains(&word) {
            true => " (accepted by response_parsing = lenient)",
            false => "",
        };
        let words = format!("invalid response: {word}{advice}");
        wait_for_event(&proxy, &["app/one is down", &words]);
        assert_eventually!(told(&proxy, "one", "last_check") == *words);
    }
}

fn checks_may_go_elsewhere(on: Driver) {
    let (one, says) = (Server::named("one"), Says::new(OK));
    let mut elsewhere = healthy("elsewhere", &says);
    let address = format!(", address = \"{}\"", elsewhere.address());
    let proxy = Setup::new(on)
        .server_with(&one, &(http(&address) + "\nproxy_protocol = \"v1\""))
        .start();
    after_checks(&proxy, "one", 2);
    assert_eq!(one.accepted(), 0, "the server itself is left alone");
    let first = elsewhere.received()[0].clone();
    assert!(
        first.starts_with(b"GET /health"),
        "{}",
        first.escape_ascii()
    );
    elsewhere.stop();
    // The check that was under way may have been cut before.
    wait_for_state(&proxy, "one", "down");
    assert_eventually!(told(&proxy, "one", "last_check") == "connection refused");
}

// === Soft drain ===

fn a_404_keeps_new_clients_away_and_held_ones_come(on: Driver) {
    let (leaving, staying) = (Says::new(OK), Says::new(OK));
    let (one, two) = (healthy("one", &leaving), healthy("two", &staying));
    let lines = |cookie: &str| http(", soft_drain_on_404 = true") + "\ncookie = \"" + cookie + "\"";
    let proxy = Setup::new(on)
        .sticky("cookie = \"SERVERID\"")
        .server_with(&one, &lines("a"))
        .server_with(&two, &lines("b"))
        .start();
    leaving.now(&status(404));
    wait_for_state(&proxy, "one", "soft-drain");
    wait_for_event(
        &proxy,
        &["app/one takes no new clients after", "1 up in the pool"],
    );
    let held = |proxy: &Proxy| {
        let answer = proxy.client().get_with("/", "Cookie: SERVERID=a\r\n");
        (answer.server().to_owned(), answer.set_cookie("SERVERID"))
    };
    assert_eq!(held(&proxy), ("one".to_owned(), None));
    assert_eq!(shares(&proxy, 4), BTreeMap::from([("two".to_owned(), 4)]));
    let given = proxy.get("/").set_cookie("SERVERID");
    assert_eq!(given.as_deref(), Some("b"));
    after_checks(&proxy, "one", 3);
    assert_eq!(
        state(&proxy, "one"),
        "soft-drain",
        "checks go on, and stay with it"
    );
    assert_eq!(told(&proxy, "one", "failed_checks"), 0);
    // Any good answer ends it.
    leaving.now(&status(302));
    wait_for_state(&proxy, "one", "up");
    assert_eq!(shares(&proxy, 4)["one"], 2);
    assert_eq!(events(&proxy, &["app/one takes no new clients"]).len(), 1);
    assert_eq!(events(&proxy, &["app/one is up", "status 302"]).len(), 1);
    // A server that leaves and then fails is down, for those that it held too.
    leaving.now(&status(404));
    wait_for_state(&proxy, "one", "soft-drain");
    leaving.now(&status(500));
    wait_for_state(&proxy, "one", "down");
    let (server, cookie) = held(&proxy);
    assert_eq!(server, "two");
    assert_eq!(cookie.as_deref(), Some("b"));
}

fn a_404_means_down_unless_told_otherwise(on: Driver) {
    let says = Says::new(&status(404));
    let one = healthy("one", &says);
    let proxy = Setup::new(on).server_with(&one, &http("")).start();
    wait_for_event(&proxy, &["app/one is down", "status 404"]);
    drop(proxy);
}

fn a_server_that_is_down_does_not_come_back_with_a_404(on: Driver) {
    let says = Says::new(&status(500));
    let one = healthy("one", &says);
    let proxy = Setup::new(on)
        .server_with(&one, &http(", soft_drain_on_404 = true"))
        .start();
    wait_for_state(&proxy, "one", "down");
    says.now(&status(404));
    assert_eventually!(
        told(&proxy, "one", "last_check")
            .as_str()
            .unwrap()
            .contains("404")
    );
    after_checks(&proxy, "one", 3);
    assert_eq!(state(&proxy, "one"), "down");
    says.now(OK);
    wait_for_state(&proxy, "one", "up");
}

// === WebSocket ===

fn upgrade(conn: &mut Conn, accept: &str) {
    let _ = conn.try_send(format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    ));
}

fn a_websocket_check_is_a_real_handshake(on: Driver) {
    let closes = Arc::<Mutex<Vec<(bool, u8, Vec<u8>)>>>::default();
    let kept = Arc::clone(&closes);
    let one = Server::script(move |conn| {
        let Some(request) = conn.read_request() else {
            return;
        };
        upgrade(
            conn,
            &accept_of(request.field("Sec-WebSocket-Key").unwrap()),
        );
        // As Socket.IO does: it speaks first.
        let _ = conn.try_send(frame(1, b"0{\"sid\":\"x\"}", None));
        if let Some(close) = conn.try_read_frame() {
            kept.lock()
                .unwrap()
                .push((close.masked, close.opcode, close.payload.clone()));
            let _ = conn.try_send(frame(8, &close.payload, None));
        }
    });
    let more = ", path = \"/socket.io/?EIO=4&transport=websocket\", host = \"app.example\", \
                headers = { Origin = \"https://app.example\", Sec-WebSocket-Protocol = \"chat\" }";
    let proxy = Setup::new(on)
        .server_with(&one, &check("websocket", more))
        .start();
    assert_eventually!(closes.lock().unwrap().len() >= 3);
    assert_eq!(state(&proxy, "one"), "up");
    assert_eq!(told(&proxy, "one", "failed_checks"), 0);
    assert_eq!(told(&proxy, "one", "last_check"), "handshake made");
    let normal = (true, 8, vec![3, 232]);
    assert!(closes.lock().unwrap().iter().all(|close| *close == normal));
    let requests = one.requests();
    for request in &requests {
        assert_eq!(request.method(), "GET");
        assert_eq!(request.target(), "/socket.io/?EIO=4&transport=websocket");
        assert_eq!(request.fields("Host"), ["app.example"]);
        assert_eq!(request.field("Origin"), Some("https://app.example"));
        assert_eq!(request.field("Sec-WebSocket-Protocol"), Some("chat"));
        assert_eq!(request.field("Sec-WebSocket-Version"), Some("13"));
        assert_eq!(request.field("Upgrade"), Some("websocket"));
        assert_eq!(request.field("Connection"), Some("Upgrade"));
        assert_eq!(request.field("Sec-WebSocket-Key").unwrap().len(), 24);
    }
    // In the usual spelling: some servers compare names by case.
    let first = String::from_utf8_lossy(&one.received()[0]).into_owned();
    for name in [
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Version",
        "Upgrade",
        "Connection",
        "Host",
        "Origin",
    ] {
        assert!(first.contains(&format!("\r\n{name}: ")), "{name}: {first}");
    }
    let key = |at: usize| requests[at].field("Sec-WebSocket-Key").unwrap().to_owned();
    assert_ne!(key(0), key(1), "a fresh key each time");
}

fn a_websocket_check_needs_the_right_accept(on: Driver) {
    let says = Says::new("right");
    let kind = says.clone();
    let one = Server::script(move |conn| {
        let Some(request) = conn.read_request() else {
            return;
        };
        let right = accept_of(request.field("Sec-WebSocket-Key").unwrap());
        let _ = match &*kind.text() {
            "right" => {
                upgrade(conn, &right);
                conn.try_read_frame();
                Ok(())
            }
            "wrong" => {
                upgrade(conn, &accept_of("dGhlIHNhbXBsZSBub25jZQ=="));
                Ok(())
            }
            "twice" => {
                upgrade(conn, &format!("{right}\r\nSec-WebSocket-Accept: {right}"));
                Ok(())
            }
            "none" => conn.try_send(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            ),
            "other" => conn.try_send(format!(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {right}\r\n\r\n"
            )),
            "plain" => conn.try_send(OK),
            _ => conn.try_send(status(426)),
        };
    });
    let proxy = Setup::new(on)
        .server_with(&one, &check("websocket", ""))
        .start();
    for (kind, words) in [
        ("wrong", "wrong Sec-WebSocket-Accept"),
        ("twice", "wrong Sec-WebSocket-Accept"),
        ("none", "wrong Sec-WebSocket-Accept"),
        ("other", "wrong Sec-WebSocket-Accept"),
        ("plain", "status 200"),
        ("refused", "status 426"),
    ] {
        says.now("right");
        wait_for_state(&proxy, "one", "up");
        says.now(kind);
        wait_for_state(&proxy, "one", "down");
        assert_eventually!(told(&proxy, "one", "last_check") == words, "{kind}");
    }
}

fn a_server_that_never_closes_is_checked_on(on: Driver) {
    // It answers no Close frame, and speaks without end.
    let one = Server::tunnel(|conn| while conn.try_send(frame(2, &[7; 60_000], None)).is_ok() {});
    let proxy = Setup::new(on)
        .server_with(&one, &check("websocket", ""))
        .start();
    after_checks(&proxy, "one", 3);
    assert_eq!(state(&proxy, "one"), "up");
    assert_eq!(told(&proxy, "one", "failed_checks"), 0);
    assert_eventually!(one.open() <= 1, "they are let go: {}", one.open());
}

// === Agents ===

fn each_word_of_an_agent(on: Driver) {
    let says = Says::new("up ready\n");
    let (one, two, agent) = (Server::named("one"), Server::named("two"), agent(&says));
    let proxy = Setup::new(on)
        .sticky("cookie = \"SERVERID\"")
        .server_with(&one, &(asked_of(&agent) + "\ncookie = \"a\""))
        .server_with(&two, "cookie = \"b\"")
        .start();
    // What it says; the words in force then, the state, and whether new clients and held ones come.
    for (line, words, wanted, new, held) in [
        ("up\n", "ready", "up", true, true),
        ("drain\n", "drain", "drain", false, true),
        ("75%\n", "drain 75%", "drain", false, true),
        ("ready\n", "75%", "up", true, true),
        ("0%\n", "0%", "up", false, true),
        ("100%\r\n", "ready", "up", true, true),
        ("maint\n", "maint", "maintenance", false, false),
        ("up\n", "maint", "maintenance", false, false),
        ("READY\n", "ready", "up", true, true),
        ("down # no process\n", "down", "down", false, false),
        ("ready\n", "down", "down", false, false),
        ("up\n", "ready", "up", true, true),
        ("stopped\n", "stopped", "down", false, false),
        ("fail # disk full\n", "fail", "down", false, false),
        ("up,drain,50% # later\n", "drain 50%", "drain", false, true),
        ("up ready 100%\n", "ready", "up", true, true),
    ] {
        says.now(line);
        assert_eventually!(told(&proxy, "one", "agent") == words, "{line:?}");
        assert_eq!(state(&proxy, "one"), wanted, "{line:?}");
        let of_new = shares(&proxy, 4).contains_key("one");
        let of_held = proxy.client().get_with("/", "Cookie: SERVERID=a\r\n");
        assert_eq!((of_new, of_held.server() == "one"), (new, held), "{line:?}");
    }
    for words in [
        &["the agent of app/one says drain after"][..],
        &["app/one is down after", "its agent says down (no process)"],
        &["app/one is up after", "its agent says ready"],
        &["the agent of app/one says maint after"],
    ] {
        assert!(
            !events(&proxy, words).is_empty(),
            "{words:?}: {:?}",
            proxy.lines()
        );
    }
    assert_eq!(
        events(&proxy, &["no process"]).len(),
        1,
        "each is said once"
    );
}

fn an_agent_is_sent_its_text(on: Driver) {
    let one = Server::named("one");
    let agent = Server::named_script("agent", |conn| {
        // Two lines at most, and the answer needs not wait for the connection's end.
        if let Some(asked) = conn.try_read_until(b"\n") {
            let drain = asked == b"what of one?\n";
            let _ = conn.try_send(if drain { "dra" } else { "fail\n" });
            std::thread::sleep(Duration::from_millis(20));
            let _ = conn.try_send("in\nfail\n");
            let _ = conn.try_read_until(b"never");
        }
    });
    let lines = format!(
        "agent = {{ address = \"{}\", interval = \"40ms\", timeout = \"5s\", send = \"what of one?\\n\" }}",
        agent.address()
    );
    let proxy = Setup::new(on).server_with(&one, &lines).start();
    wait_for_state(&proxy, "one", "drain");
    assert_eventually!(agent.accepted() >= 3);
    assert_eq!(state(&proxy, "one"), "drain", "only the first line counts");
}

fn an_agents_percentage_shares_out_new_clients(on: Driver) {
    let says = Says::new("50%\n");
    let (one, two, agent) = (Server::named("one"), Server::named("two"), agent(&says));
    let proxy = Setup::new(on)
        .server_with(&one, &asked_of(&agent))
        .server(&two)
        .start();
    assert_eventually!(told(&proxy, "one", "agent") == "50%");
    assert_eq!(
        told(&proxy, "one", "weight"),
        1,
        "the operator's weight is another thing"
    );
    let wanted = [("one".to_owned(), 4), ("two".to_owned(), 8)];
    assert_eq!(shares(&proxy, 12), BTreeMap::from(wanted));
    assert!(events(&proxy, &["agent"]).is_empty(), "a load is no news");
    says.now("200%\n");
    assert_eventually!(told(&proxy, "one", "agent") == "200%");
    assert_eq!(shares(&proxy, 12)["one"], 8);
}

fn an_agents_silence_changes_nothing(on: Driver) {
    let says = Says::new("drain\n");
    let (one, mut agent) = (Server::named("one"), agent(&says));
    let proxy = Setup::new(on).server_with(&one, &asked_of(&agent)).start();
    wait_for_state(&proxy, "one", "drain");
    for (before, (line, why)) in [
        ("", "closed without a word"),
        ("ready", "an unfinished line"),
        (&*"ready ".repeat(200), "a line without an end"),
    ]
    .into_iter()
    .enumerate()
    {
        says.now(line);
        assert_eventually!(told(&proxy, "one", "agent_heard") == why);
        let asked = agent.accepted();
        assert_eventually!(agent.accepted() >= asked + 3);
        says.now("drain\n");
        let back = || events(&proxy, &["the agent of app/one answers again"]).len();
        assert_eventually!(back() == before + 1);
        assert_eq!(events(&proxy, &["does not answer", why, "holds"]).len(), 1);
    }
    agent.stop();
    assert_eventually!(
        told(&proxy, "one", "agent_heard")
            .as_str()
            .unwrap()
            .contains("refused")
    );
    assert_eq!(state(&proxy, "one"), "drain");
    agent.revive();
    // Odd words are passed over, and said once.
    says.now("maxconn:10 ready\n");
    wait_for_state(&proxy, "one", "up");
    let asked = agent.accepted();
    assert_eventually!(agent.accepted() >= asked + 3);
    assert_eq!(events(&proxy, &["maxconn:10", "not understood"]).len(), 1);
}

fn agent_and_check_do_not_lift_each_other(on: Driver) {
    let (says, health) = (Says::new("down\n"), Says::new(OK));
    let (one, agent) = (healthy("one", &health), agent(&says));
    let proxy = Setup::new(on)
        .server_with(&one, &(http("") + "\n" + &asked_of(&agent)))
        .start();
    wait_for_state(&proxy, "one", "down");
    after_checks(&proxy, "one", 3);
    assert_eq!(
        state(&proxy, "one"),
        "down",
        "good checks do not lift the agent's word"
    );
    health.now(&status(500));
    assert_eventually!(told(&proxy, "one", "last_check") == "status 500");
    says.now("up\n");
    assert_eventually!(told(&proxy, "one", "agent") == "ready");
    assert_eq!(
        state(&proxy, "one"),
        "down",
        "nor the agent the checks' verdict"
    );
    health.now(OK);
    wait_for_state(&proxy, "one", "up");
    // In maintenance it is not checked; the agent is asked, and ends it.
    says.now("maint\n");
    wait_for_state(&proxy, "one", "maintenance");
    let (checks, asked) = (
        told(&proxy, "one", "checks").as_u64().unwrap(),
        agent.accepted(),
    );
    assert_eventually!(agent.accepted() >= asked + 5);
    assert!(told(&proxy, "one", "checks").as_u64().unwrap() <= checks + 1);
    says.now("ready\n");
    wait_for_state(&proxy, "one", "up");
    after_checks(&proxy, "one", 1);
}

fn the_operators_word_is_not_undone(on: Driver) {
    let (says, health) = (Says::new("ready up 100%\n"), Says::new(OK));
    let (one, two, agent) = (healthy("one", &health), Server::named("two"), agent(&says));
    for word in ["maintenance", "drain"] {
        let own = format!("\nstate = \"{word}\"");
        let proxy = Setup::new(on)
            .server_with(&one, &(http("") + "\n" + &asked_of(&agent) + &own))
            .server(&two)
            .start();
        let asked = agent.accepted();
        says.now("drain\n");
        assert_eventually!(told(&proxy, "one", "agent") == "drain");
        says.now("ready up 100%\n");
        assert_eventually!(told(&proxy, "one", "agent") == "ready");
        assert_eventually!(agent.accepted() >= asked + 3);
        assert_eq!(state(&proxy, "one"), word);
        assert_eq!(told(&proxy, "one", "operator"), word);
        assert_eq!(told(&proxy, "one", "checked"), true);
        assert_eq!(shares(&proxy, 2).get("one"), None);
    }
}

// === Intervals and the log ===

fn down_and_changing_have_their_own_intervals(on: Driver) {
    let says = Says::new(OK);
    let one = healthy("one", &says);
    let proxy = Setup::new(on)
        .server_with(
            &one,
            "check = { type = \"http\", path = \"/health\", interval = \"1s\", interval_down = \"25ms\", \
             interval_changing = \"25ms\", timeout = \"5s\", rise = 200, fall = 20, jitter = 0.5 }",
        )
        .start();
    // Up: once a second, more or less. Twenty failures at that pace would take at least ten seconds.
    let begun = Instant::now();
    after_checks(&proxy, "one", 2);
    assert!(
        begun.elapsed() >= Duration::from_millis(450),
        "{:?}",
        begun.elapsed()
    );
    says.now(&status(500));
    wait_for_event(&proxy, &["app/one is down"]);
    assert!(
        begun.elapsed() < Duration::from_secs(9),
        "{:?}",
        begun.elapsed()
    );
    // Down: 40 a second, so these take less time than 11 would while it is up.
    let begun = Instant::now();
    after_checks(&proxy, "one", 40);
    assert!(
        begun.elapsed() < Duration::from_secs(9),
        "{:?}",
        begun.elapsed()
    );
    assert!(
        begun.elapsed() >= Duration::from_millis(450),
        "{:?}",
        begun.elapsed()
    );
    // Without a common rhythm.
    let _ = state(&proxy, "one");
}

fn a_change_is_logged_once(on: Driver) {
    let says = Says::new(OK);
    let (one, two) = (healthy("one", &says), Server::named("two"));
    let proxy = Setup::new(on)
        .log("format = \"json\"")
        .server_with(
            &one,
            "check = { type = \"http\", path = \"/health\", interval = \"40ms\", timeout = \"5s\", rise = 3, fall = 3 }",
        )
        .server(&two)
        .start();
    after_checks(&proxy, "one", 3);
    says.now(&status(503));
    wait_for_state(&proxy, "one", "down");
    after_checks(&proxy, "one", 5);
    says.now(OK);
    wait_for_state(&proxy, "one", "up");
    after_checks(&proxy, "one", 5);
    assert_eventually!(events(&proxy, &["server_up"]).len() == 1);
    let event = |name: &str| -> Value {
        let lines = events(&proxy, &[name]);
        assert_eq!(lines.len(), 1, "{lines:?}");
        serde_json::from_str(&lines[0]).unwrap()
    };
    let (down, up) = (event("server_down"), event("server_up"));
    assert_eq!(
        (&down["server"], &down["reason"], &down["up"]),
        (&"one".into(), &"status 503".into(), &1.into())
    );
    assert_eq!(
        (&up["server"], &up["reason"], &up["up"]),
        (&"one".into(), &"status 200".into(), &2.into())
    );
    // It was down for at least the five checks that were waited for.
    assert!(up["after_ms"].as_u64().unwrap() >= 100, "{up}");
}

// === Together with the rest ===

fn every_kind_introduces_itself(on: Driver) {
    for (version, start) in [
        ("v1", &b"PROXY TCP4 "[..]),
        ("v2", b"\r\n\r\n\0\r\nQUIT\n\x20"),
    ] {
        for kind in ["tcp", "http", "websocket"] {
            let one = Server::script(|conn| {
                let _ = conn.try_read_until(b"\r\n\r\n");
                let _ = conn.try_read_until(b"\r\n\r\n");
            });
            let lines = format!(
                "proxy_protocol = \"{version}\"\ncheck = {{ type = \"{kind}\", interval = \"40ms\" }}"
            );
            let proxy = Setup::new(on).server_with(&one, &lines).start();
            let full = || {
                let received = one.received().into_iter();
                let whole = |bytes: &Vec<u8>| match kind {
                    "tcp" => bytes.len() >= 16,
                    _ => bytes.windows(4).any(|four| four == b"GET "),
                };
                received.filter(whole).collect::<Vec<_>>()
            };
            assert_eventually!(!full().is_empty(), "{version} {kind}");
            let first = full()[0].clone();
            assert!(
                first.starts_with(start),
                "{version} {kind}: {}",
                first.escape_ascii()
            );
            drop(proxy);
        }
    }
}

fn the_pools_check_is_for_servers_without_one(on: Driver) {
    let says = Says::new(OK);
    let (one, two, three) = (
        healthy("one", &says),
        healthy("two", &says),
        healthy("three", &says),
    );
    let proxy = Setup::new(on)
        .pool(&http(""))
        .server(&one)
        .server_with(&two, "check = true")
        .server_with(&three, "check = false")
        .start();
    let kinds = ["one", "two", "three"].map(|server| told(&proxy, server, "check"));
    assert_eq!(kinds, ["http", "tcp", ""]);
    says.now(&status(500));
    wait_for_state(&proxy, "one", "down");
    assert_eq!(state(&proxy, "two"), "up");
    assert_eq!(three.accepted(), 0);
}

fn status_and_page_tell_of_checks_and_agents(on: Driver) {
    let (says, health) = (
        Says::new("drain 75% # for <now>\n"),
        Says::new(&status(204)),
    );
    let (one, two, agent) = (healthy("one", &health), Server::named("two"), agent(&says));
    let proxy = Setup::new(on)
        .server_with(&one, &(http("") + "\n" + &asked_of(&agent)))
        .server_with(&two, &check("websocket", ""))
        .more("[stats]\npath = \"/stats\"")
        .start();
    wait_for_state(&proxy, "two", "down");
    wait_for_state(&proxy, "one", "drain");
    assert_eventually!(told(&proxy, "one", "last_check") == "status 204");
    assert_eq!(told(&proxy, "one", "agent_heard"), "drain 75% # for <now>");
    let page = proxy.get("/stats").text();
    for wanted in [
        "by its agent",
        "agent: drain 75%",
        "for &lt;now&gt;",
        " http<small",
        "status 204 · ",
        " websocket, ",
        "status 200 · ",
    ] {
        assert!(page.contains(wanted), "{wanted} is not in {page}");
    }
    let output = ringbolt()
        .env("COLUMNS", "200")
        .args(["status", "--socket"])
        .arg(proxy.control_socket())
        .output()
        .unwrap();
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    for wanted in [
        "drain (agent: drain 75%)",
        " http, last: status 204",
        "websocket, ",
    ] {
        assert!(table.contains(wanted), "{wanted} is not in {table}");
    }
}
