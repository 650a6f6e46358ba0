//! Which failures are tried again elsewhere, which never, and how the budget ends it.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use support::{Driver, Message, Proxy, Server, Setup, Unreachable};

on_both_drivers!(
    without_the_table_answers_are_passed_on,
    each_named_status_goes_to_another_server,
    a_status_that_is_not_named_is_passed_on,
    a_link_that_breaks_before_an_answer_goes_to_another_server,
    a_link_that_breaks_within_an_answer_does_not,
    no_answer_in_time_goes_to_another_server,
    a_post_is_never_repeated,
    a_body_within_the_bound_goes_along,
    a_body_beyond_the_bound_is_not_repeated,
    a_body_that_is_still_coming_is_not_repeated,
    an_interim_answer_is_an_answer,
    a_handshake_goes_to_another_server,
    a_moved_client_gets_a_new_cookie,
    without_redispatch_the_same_server_is_asked_again,
    a_kept_link_that_dies_costs_no_retry,
    kept_links_do_not_multiply_the_attempts,
    what_comes_behind_a_repeated_request_stays_in_order,
    only_refused_connections_when_only_they_are_named,
    retries_bound_the_attempts_of_one_request,
    the_budget_bounds_the_attempts_of_an_outage,
    the_budget_bounds_connections_as_well,
);

/// The bad server first in turn, so that the first request meets it.
fn two(on: Driver, bad: &Server, good: &Server, retry: &str) -> Proxy {
    Setup::new(on)
        .server(bad)
        .server(good)
        .pool(&format!("balance = \"first\"\nretry = {retry}"))
        .timeouts("server = \"1s\"\nconnect = \"50ms\"")
        .start()
}

fn answering(name: &str, status: u16) -> Server {
    let answer = format!(
        "HTTP/1.1 {status} So\r\nX-Server: {name}\r\nX-Of: {name}\r\nContent-Length: 2\r\n\r\nno"
    );
    Server::named_script(name, move |conn| {
        while conn.read_request().is_some() && conn.try_send(&answer).is_ok() {}
    })
}

/// Reads a request and closes.
fn breaking(name: &str, part: &'static str) -> Server {
    Server::named_script(name, move |conn| {
        if conn.read_request().is_some() {
            let _ = conn.try_send(part);
        }
    })
}

fn put(proxy: &Proxy, target: &str, body: &str) -> Message {
    let length = body.len();
    proxy.client().request(&format!(
        "PUT {target} HTTP/1.1\r\nHost: example.com\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}

fn post(proxy: &Proxy, target: &str) -> Message {
    proxy.client().request(&format!(
        "POST {target} HTTP/1.1\r\nHost: example.com\r\nContent-Length: 2\r\n\r\nhi"
    ))
}

fn pool_status(proxy: &Proxy, field: &str) -> u64 {
    proxy.status().unwrap()["pools"][0][field].as_u64().unwrap()
}

// === Conditions ===

fn without_the_table_answers_are_passed_on(on: Driver) {
    let (bad, good) = (answering("bad", 503), Server::named("good"));
    let proxy = Setup::new(on)
        .server(&bad)
        .server(&good)
        .pool("balance = \"first\"")
        .start();
    assert_eq!(proxy.get("/").status(), 503);
    assert_eq!((bad.requests().len(), good.requests().len()), (1, 0));
}

fn each_named_status_goes_to_another_server(on: Driver) {
    for status in [502, 503, 504] {
        let (bad, good) = (answering("bad", status), Server::named("good"));
        let proxy = Setup::new(on)
            .server(&bad)
            .server(&good)
            .pool(&format!(
                "balance = \"first\"\nretry = {{ on = [\"{status}\"] }}"
            ))
            .listener("capture_response = [{ header = \"X-Of\" }, { header = \"X-Server\" }]")
            .start();
        for method in ["GET", "HEAD", "DELETE", "OPTIONS"] {
            let answer = proxy.client().request(&format!(
                "{method} /{method} HTTP/1.1\r\nHost: example.com\r\n\r\n"
            ));
            assert_eq!(
                (answer.status(), answer.server()),
                (200, "good"),
                "{method}"
            );
            let line = proxy.access_line(&format!("/{method} "));
            assert_eq!((line.server.as_str(), line.status), ("good", 200));
            assert!(line.counts.ends_with("/+1"), "{}", line.line);
            assert_eq!(&line.termination[..2], "--", "{}", line.line);
            // Nothing of the answer that nobody was given.
            assert!(line.line.contains("{|good}"), "{}", line.line);
        }
        assert_eq!((bad.requests().len(), good.requests().len()), (4, 4));
        assert_eq!(pool_status(&proxy, "retries"), 4);
        let server = &proxy.status().unwrap()["pools"][0]["servers"][0];
        assert_eq!(server["responses"][4], 4, "it did answer: {server}");
        assert_eq!(server["redispatches"], 4);
    }
}

fn a_status_that_is_not_named_is_passed_on(on: Driver) {
    let (bad, good) = (answering("bad", 503), Server::named("good"));
    let proxy = two(on, &bad, &good, "{ on = [\"502\", \"504\", \"reset\"] }");
    assert_eq!(proxy.get("/").status(), 503);
    assert!(good.requests().is_empty());
}

fn a_link_that_breaks_before_an_answer_goes_to_another_server(on: Driver) {
    let (bad, good) = (breaking("bad", ""), Server::named("good"));
    let proxy = two(on, &bad, &good, "{ on = [\"reset\"] }");
    let answer = proxy.get("/moved");
    assert_eq!((answer.status(), answer.server()), (200, "good"));
    let line = proxy.access_line("/moved");
    assert!(line.counts.ends_with("/+1"), "{}", line.line);
    let server = &proxy.status().unwrap()["pools"][0]["servers"][0];
    assert_eq!(server["response_errors"], 1, "{server}");
    let alone = two(on, &bad, &good, "{ on = [\"503\", \"timeout\"] }");
    assert_eq!(alone.get("/").status(), 502);
}

fn a_link_that_breaks_within_an_answer_does_not(on: Driver) {
    let (bad, good) = (
        breaking("bad", "HTTP/1.1 200 OK\r\nX-S"),
        Server::named("good"),
    );
    let proxy = two(on, &bad, &good, "{ on = [\"reset\", \"502\"] }");
    assert_eq!(proxy.get("/").status(), 502);
    assert!(good.requests().is_empty());
}

fn no_answer_in_time_goes_to_another_server(on: Driver) {
    let silent = || Server::named_script("bad", |conn| while conn.read_request().is_some() {});
    let (bad, good) = (silent(), Server::named("good"));
    let proxy = two(on, &bad, &good, "{ on = [\"timeout\"] }");
    let from = Instant::now();
    assert_eq!(proxy.get("/").server(), "good");
    assert!(from.elapsed() >= Duration::from_millis(900));
    let other = two(on, &bad, &good, "{ on = [\"reset\", \"504\"] }");
    assert_eq!(other.get("/").status(), 504);
}

fn a_post_is_never_repeated(on: Driver) {
    let all = "{ on = [\"connect-failure\", \"reset\", \"timeout\", \"502\", \"503\", \"504\"] }";
    let (bad, good) = (answering("bad", 503), Server::named("good"));
    let proxy = two(on, &bad, &good, all);
    assert_eq!(post(&proxy, "/").status(), 503);
    // Nor one without a body, nor a method that nobody knows.
    for method in ["POST", "PATCH", "BREW"] {
        let request =
            format!("{method} / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(proxy.client().request(&request).status(), 503, "{method}");
    }
    assert!(good.requests().is_empty());
    let bad = breaking("bad", "");
    let proxy = two(on, &bad, &good, all);
    assert_eq!(post(&proxy, "/").status(), 502);
    assert_eq!((bad.requests().len(), good.requests().len()), (1, 0));
    // One that reached nobody is another matter.
    let mut gone = Server::named("gone");
    gone.stop();
    let proxy = two(on, &gone, &good, all);
    assert_eq!(post(&proxy, "/").server(), "good");
}

// === Bodies ===

const ON_503: &str = "{ on = [\"503\", \"reset\"], buffer = \"4KiB\" }";

fn a_body_within_the_bound_goes_along(on: Driver) {
    let (bad, good) = (answering("bad", 503), Server::named("good"));
    let proxy = two(on, &bad, &good, ON_503);
    for size in [1, 4096] {
        let body = "b".repeat(size);
        assert_eq!(put(&proxy, &format!("/{size}"), &body).server(), "good");
        assert_eq!(good.last_request().text(), body);
        let line = proxy.access_line(&format!("/{size} "));
        assert!(line.counts.ends_with("/+1"), "{}", line.line);
    }
    // In pieces that come after the head, and in chunks.
    let mut client = proxy.client();
    client.send("PUT /pieces HTTP/1.1\r\nHost: example.com\r\nContent-Length: 8\r\n\r\n");
    client.send_by_the_byte("in parts");
    assert_eq!(client.read_response().server(), "good");
    assert_eq!(good.last_request().text(), "in parts");
    client.send("PUT /chunks HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send_by_the_byte("3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
    assert_eq!(client.read_response().server(), "good");
    assert_eq!(good.last_request().text(), "abcdefg");
    let bad = breaking("bad", "");
    let proxy = two(on, &bad, &good, ON_503);
    assert_eq!(put(&proxy, "/reset", "again").server(), "good");
    assert_eq!(good.last_request().text(), "again");
}

fn a_body_beyond_the_bound_is_not_repeated(on: Driver) {
    let (bad, good) = (answering("bad", 503), Server::named("good"));
    let proxy = two(on, &bad, &good, ON_503);
    let body = "b".repeat(4097);
    assert_eq!(put(&proxy, "/", &body).status(), 503);
    assert_eq!(bad.last_request().text(), body, "it passes all the same");
    let mut client = proxy.client();
    client.send("PUT /chunks HTTP/1.1\r\nHost: example.com\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send(format!("1001\r\n{body}\r\n0\r\n\r\n"));
    assert_eq!(client.read_response().status(), 503);
    assert_eq!(bad.last_request().text(), body);
    assert!(good.requests().is_empty());
    let proxy = two(on, &bad, &good, "{ on = [\"503\"], buffer = 0 }");
    assert_eq!(put(&proxy, "/", "b").status(), 503);
    assert_eq!(put(&proxy, "/", "").server(), "good");
}

fn a_body_that_is_still_coming_is_not_repeated(on: Driver) {
    let early = Server::named_script("bad", |conn| {
        if conn.read_request_head().is_some() {
            let _ = conn.try_send("HTTP/1.1 503 So\r\nContent-Length: 0\r\n\r\n");
            let _ = conn.read_to_end();
        }
    });
    let good = Server::named("good");
    let proxy = two(on, &early, &good, ON_503);
    let mut client = proxy.client();
    client.send("PUT / HTTP/1.1\r\nHost: example.com\r\nContent-Length: 9\r\n\r\nhalf");
    assert_eq!(client.read_response().status(), 503);
    assert!(good.requests().is_empty());
}

fn an_interim_answer_is_an_answer(on: Driver) {
    let bad = breaking(
        "bad",
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 503 So\r\nContent-Length: 0\r\n\r\n",
    );
    let good = Server::named("good");
    let proxy = two(on, &bad, &good, ON_503);
    let mut client = proxy.client();
    assert_eq!(client.get("/").status(), 103);
    assert_eq!(client.read_response().status(), 503);
    assert!(good.requests().is_empty());
}

// === Where it goes ===

fn a_handshake_goes_to_another_server(on: Driver) {
    for bad in [answering("bad", 503), breaking("bad", "")] {
        let good = Server::websocket("good");
        let proxy = two(on, &bad, &good, ON_503);
        let mut client = proxy.client();
        assert_eq!(client.upgrade("/").server(), "good");
        client.echoes("hello");
        assert_eq!(bad.requests().len(), 1);
        let line = proxy.access_line("GET / ");
        assert!(line.counts.ends_with("/+1"), "{}", line.line);
    }
}

fn a_moved_client_gets_a_new_cookie(on: Driver) {
    let (bad, good) = (answering("bad", 503), Server::named("good"));
    let proxy = Setup::new(on)
        .server_with(&bad, "cookie = \"b\"")
        .server_with(&good, "cookie = \"g\"")
        .sticky("cookie = \"S\"")
        .pool("retry = { on = [\"503\"] }")
        .start();
    let answer = proxy.client().get_with("/moved", "Cookie: S=b\r\n");
    assert_eq!((answer.status(), answer.server()), (200, "good"));
    assert_eq!(answer.set_cookie("S").as_deref(), Some("g"));
    let line = proxy.access_line("/moved");
    assert_eq!(line.termination, "--DI", "{}", line.line);
    assert!(line.counts.ends_with("/+1"), "{}", line.line);
    let answer = proxy.client().get_with("/", "Cookie: S=g\r\n");
    assert_eq!((answer.server(), answer.set_cookie("S")), ("good", None));
}

fn without_redispatch_the_same_server_is_asked_again(on: Driver) {
    let count = std::sync::atomic::AtomicUsize::new(0);
    let moody = Server::named_script("moody", move |conn| {
        while conn.read_request().is_some() {
            let first = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
            let status = if first { 503 } else { 200 };
            let _ = conn.try_send(format!(
                "HTTP/1.1 {status} So\r\nX-Server: moody\r\nContent-Length: 0\r\n\r\n"
            ));
        }
    });
    let good = Server::named("good");
    let proxy = Setup::new(on)
        .server(&moody)
        .server(&good)
        .pool("balance = \"first\"\nredispatch = false\nretry = { on = [\"503\"] }")
        .timeouts("connect = \"50ms\"")
        .start();
    let answer = proxy.get("/");
    assert_eq!((answer.status(), answer.server()), (200, "moody"));
    let line = proxy.access_line("GET / ");
    assert!(line.counts.ends_with("/1"), "{}", line.line);
    assert!(good.requests().is_empty());
}

fn a_kept_link_that_dies_costs_no_retry(on: Driver) {
    let one = Server::named_script("one", |conn| {
        // Answers once on a connection, and closes it when the next request comes.
        if conn.read_request().is_some() {
            let answer = "HTTP/1.1 200 OK\r\nX-Server: one\r\nContent-Length: 0\r\n\r\n";
            let _ = conn.try_send(answer);
            let _ = conn.read_request();
        }
    });
    let retry = "retry = { on = [\"reset\", \"503\"], budget = 0.0, minimum = 0 }";
    let proxy = Setup::new(on).server(&one).pool(retry).start();
    let mut client = proxy.client();
    for _ in 0..4 {
        assert_eq!(client.get("/").status(), 200);
    }
    assert_eq!(pool_status(&proxy, "retries"), 0);
    assert_eq!(pool_status(&proxy, "retries_refused"), 0);
}

/// Both servers die of one request. Two kept links to each would be worth as many deliveries that nobody counts.
fn kept_links_do_not_multiply_the_attempts(on: Driver) {
    // Four requests at once, two on each server, so that two links to each are kept.
    let together = Arc::new(Barrier::new(4));
    let server = |name: &'static str| {
        let together = Arc::clone(&together);
        Server::named_script(name, move |conn| {
            while conn.read_request().is_some_and(|r| r.target() == "/warm") {
                together.wait();
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                let _ = conn.try_send(answer);
            }
        })
    };
    let servers = [server("one"), server("two")];
    let proxy = Setup::new(on)
        .server(&servers[0])
        .server(&servers[1])
        .pool("retries = 3\nretry = { on = [\"reset\"], budget = false }")
        .start();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(proxy.get("/warm").status(), 200));
        }
    });
    assert_eq!(proxy.get("/poison").status(), 502);
    let arrived = servers.iter().flat_map(Server::requests);
    let deliveries = arrived.filter(|r| r.target() == "/poison").count();
    // The first, its repetition on a fresh link, and three that were counted.
    assert_eq!(deliveries, 5);
    assert_eq!(pool_status(&proxy, "retries"), 3);
    let errors = |at: usize| {
        let status = proxy.status().unwrap();
        status["pools"][0]["servers"][at]["response_errors"].as_u64()
    };
    assert_eq!((errors(0), errors(1)), (Some(2), Some(2)));
}

fn what_comes_behind_a_repeated_request_stays_in_order(on: Driver) {
    let (bad, good) = (answering("bad", 503), Server::named("good"));
    let proxy = two(on, &bad, &good, ON_503);
    let mut client = proxy.client();
    client.send(
        "PUT /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none\
         PUT /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\ntwo\
         GET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    for _ in 0..3 {
        assert_eq!(client.read_response().server(), "good");
    }
    let arrived: Vec<_> = good
        .requests()
        .iter()
        .map(|request| format!("{} {}", request.target(), request.text()))
        .collect();
    assert_eq!(arrived, ["/1 one", "/2 two", "/3 "]);
}

fn only_refused_connections_when_only_they_are_named(on: Driver) {
    let (lost, good) = (Unreachable::new(), Server::named("good"));
    let mut gone = Server::named("gone");
    gone.stop();
    let proxy = Setup::new(on)
        .server(&gone)
        .server(&good)
        .pool("balance = \"first\"\nretry = { on = [\"refused\"] }")
        .start();
    assert_eq!(proxy.get("/").server(), "good");
    let proxy = Setup::new(on)
        .unreachable("lost", &lost, "")
        .server(&good)
        .pool("balance = \"first\"\nretry = { on = [\"refused\"] }")
        .timeouts("connect = \"100ms\"")
        .start();
    assert_eq!(proxy.get("/").status(), 503);
    let line = proxy.access_line("GET / ");
    assert!(line.counts.ends_with("/0"), "{}", line.line);
}

// === Bounds ===

fn retries_bound_the_attempts_of_one_request(on: Driver) {
    let servers = ["one", "two", "three", "four"].map(|name| answering(name, 503));
    let setup = servers
        .iter()
        .fold(Setup::new(on), |setup, server| setup.server(server));
    let proxy = setup
        .pool("retries = 2\nretry = { on = [\"503\"], budget = false }")
        .start();
    assert_eq!(proxy.get("/").status(), 503);
    let attempts: usize = servers.iter().map(|server| server.requests().len()).sum();
    assert_eq!(attempts, 3);
    let line = proxy.access_line("GET / ");
    assert!(line.counts.ends_with("/+2"), "{}", line.line);
}

/// A full outage: what the servers see is what was promised, and the clients are told at once.
fn the_budget_bounds_the_attempts_of_an_outage(on: Driver) {
    let (one, two) = (answering("one", 503), breaking("two", ""));
    let proxy = Setup::new(on)
        .server(&one)
        .server(&two)
        .process("workers = 2")
        .pool("retry = { on = [\"503\", \"reset\"], budget = 0.2, minimum = 5 }")
        .start();
    let from = Instant::now();
    let requests = 200;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..requests / 4 {
                    assert!(matches!(proxy.get("/").status(), 502 | 503));
                }
            });
        }
    });
    let spans = from.elapsed().as_secs() as usize / 10 + 1;
    let attempts = one.requests().len() + two.requests().len();
    let most = requests + requests / 5 + 5 * (spans + 1);
    println!("{attempts} attempts for {requests} requests, {most} allowed");
    assert!(attempts <= most, "{attempts} of {most}");
    assert!(attempts > requests + requests / 10, "{attempts}: some were");
    assert_eq!(pool_status(&proxy, "retries") as usize, attempts - requests);
    assert!(pool_status(&proxy, "retries_refused") > 0);
}

fn the_budget_bounds_connections_as_well(on: Driver) {
    let (mut one, mut two) = (Server::named("one"), Server::named("two"));
    one.stop();
    two.stop();
    let proxy = Setup::new(on)
        .server(&one)
        .server(&two)
        .pool("retry = { budget = 0.1, minimum = 3 }")
        .timeouts("connect = \"50ms\"")
        .start();
    let from = Instant::now();
    for _ in 0..40 {
        assert_eq!(proxy.get("/").status(), 503);
    }
    let spans = from.elapsed().as_secs() / 10 + 2;
    let retries = pool_status(&proxy, "retries");
    assert!((3..=4 + 3 * spans).contains(&retries), "{retries}");
    assert!(pool_status(&proxy, "retries_refused") >= 40 - retries);
}
