//! Limits and timeouts: each ends with its own status and its own word in the log.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::time::{Duration, Instant};

use support::{Conn, Driver, Server, Setup, assert_in_time, in_time};

on_both_drivers!(
    at_max_connections_it_stops_accepting_and_refuses_nobody,
    at_max_connections_newcomers_take_the_places_of_the_idle,
    a_head_that_arrives_slowly_yields_to_newcomers_after_a_second,
    max_connections_counts_all_workers,
    a_head_beyond_its_size_is_a_431,
    a_head_that_never_ends_is_a_431,
    too_many_fields_are_a_431,
    a_target_beyond_the_head_size_is_a_414,
    a_head_just_within_its_size_passes,
    an_answer_beyond_the_head_size_is_a_502,
    a_head_that_takes_too_long_is_a_408,
    a_head_that_trickles_is_a_408_too,
    a_later_head_has_the_same_time_as_the_first,
    a_client_without_a_request_is_closed_in_silence,
    an_idle_kept_connection_is_closed_in_silence,
    a_server_that_does_not_answer_is_a_504,
    a_pool_may_have_its_own_server_timeout,
    a_server_that_stalls_inside_the_answer_is_cut,
    activity_of_the_server_keeps_an_exchange,
    a_client_that_stalls_inside_its_body_is_a_408,
    a_client_that_does_not_read_is_cut,
    never_means_never,
    a_slow_request_is_no_reason_to_time_the_server_out,
);

fn request(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

// === Connections ===

fn at_max_connections_it_stops_accepting_and_refuses_nobody(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .process("max_connections = 2")
        .start();
    let busy = || {
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
        client
    };
    let (mut first, mut second) = (busy(), busy());
    assert_eventually!(server.open() == 2);
    let mut waiting: Vec<Conn> = (0..3).map(|_| proxy.client()).collect();
    for client in &mut waiting {
        client.send(request("/waited"));
    }
    waiting[0].expect_silence(Duration::from_millis(200));
    proxy.wait_for_line("max_connections reached: 2");
    let spent = proxy.processor_time_during(Duration::from_millis(300));
    assert!(
        spent < Duration::from_millis(100),
        "waiting at the limit costs {spent:?}"
    );
    for client in [&mut first, &mut second] {
        client.send("x");
        assert_eq!(
            client.read_response().status(),
            200,
            "those inside are served"
        );
    }
    for client in &mut waiting {
        assert_eq!(client.read_response().status(), 200);
    }
}

fn at_max_connections_newcomers_take_the_places_of_the_idle(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .process("max_connections = 3")
        .start();
    let mut kept = proxy.client();
    assert_eq!(kept.get("/").status(), 200);
    let mut silent = [(), ()].map(|()| {
        let silent = proxy.client();
        assert_eq!(kept.get("/").status(), 200);
        silent
    });
    let mut busy = proxy.client();
    busy.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
    assert_eventually!(server.open() == 2);
    silent[0].expect_closed();
    assert_eq!(proxy.get("/").status(), 200);
    silent[1].expect_closed();
    assert_eq!(
        kept.get("/").status(),
        200,
        "who never sent a byte goes before one who was served"
    );
    let mut slow = proxy.client();
    slow.send("GET / HT");
    let began = Instant::now();
    let mut waits = [proxy.client(), proxy.client()];
    for client in &mut waits {
        client.send(request("/"));
    }
    kept.expect_closed();
    assert_eq!(waits[0].read_response().status(), 200);
    assert_eq!(waits[1].read_response().status(), 200);
    drop(waits);
    busy.send("x");
    assert_eq!(busy.read_response().status(), 200);
    assert!(began.elapsed() < Duration::from_secs(5));
}

fn a_head_that_arrives_slowly_yields_to_newcomers_after_a_second(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .process("max_connections = 1")
        .start();
    let mut slow = proxy.client();
    let mut next = in_time(Duration::from_secs(1), || {
        slow.send("GET / HT");
        let mut next = proxy.client();
        next.send(request("/"));
        assert_eq!(slow.read_response().status(), 408);
        next
    });
    assert_eq!(next.read_response().status(), 200);
}

fn max_connections_counts_all_workers(on: Driver) {
    let server = Server::named("one");
    let setup = Setup::new(on).server(&server);
    let proxy = setup.process("workers = 2\nmax_connections = 4").start();
    let busy = |_| {
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
        client
    };
    let mut clients: Vec<Conn> = (0..12).map(busy).collect();
    assert_eventually!(server.open() == 4);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(server.open(), 4, "no fifth one is let in");
    for client in &mut clients {
        client.send("x");
    }
    // As those inside leave, or idle, the others come in, whichever worker they are on; nobody was refused.
    let mut served = 0;
    while !clients.is_empty() {
        let ready = support::eventually("someone is served", || {
            clients.iter_mut().position(|client| client.has_something())
        });
        assert_eq!(clients.remove(ready).read_response().status(), 200);
        served += 1;
    }
    assert_eq!(served, 12);
}

// === Heads ===

fn a_head_beyond_its_size_is_a_431(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .limits("head_size = \"1KiB\"")
        .start();
    let mut client = proxy.client();
    let reply = client.get_with("/", &format!("X-Long: {}\r\n", "x".repeat(2_000)));
    assert_eq!(reply.status(), 431);
    client.expect_closed();
    assert_eq!(server.connections(), 0);
    let lines = support::eventually("a line", || {
        Some(proxy.all_access_lines()).filter(|all| !all.is_empty())
    });
    assert_eq!(
        (&lines[0].termination[..2], lines[0].status),
        ("PR", 431),
        "{}",
        lines[0].line
    );
}

fn a_head_that_never_ends_is_a_431(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on).server(&server).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n");
    while client.try_send("X-More: and more\r\n".repeat(100)).is_ok() && !client.has_something() {}
    assert_eq!(client.read_response().status(), 431);
}

fn too_many_fields_are_a_431(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .limits("headers = 10")
        .start();
    assert_eq!(
        proxy.client().get_with("/", &"X: 1\r\n".repeat(9)).status(),
        200
    );
    assert_eq!(
        proxy
            .client()
            .get_with("/", &"X: 1\r\n".repeat(10))
            .status(),
        431
    );
}

fn a_target_beyond_the_head_size_is_a_414(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .limits("head_size = \"1KiB\"")
        .start();
    let mut client = proxy.client();
    client.send(format!("GET /{} HTTP/1.1\r\n", "x".repeat(2_000)));
    assert_eq!(client.read_response().status(), 414);
}

fn a_head_just_within_its_size_passes(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .limits("head_size = \"1KiB\"")
        .start();
    let fixed = request("/").len() + "X: \r\n".len();
    let reply = proxy.client().request(&format!(
        "GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n",
        "x".repeat(1_024 - fixed)
    ));
    assert_eq!(reply.status(), 200);
}

fn an_answer_beyond_the_head_size_is_a_502(on: Driver) {
    let long = "x".repeat(2_000);
    let server = Server::answering(format!(
        "HTTP/1.1 200 OK\r\nX: {long}\r\nContent-Length: 0\r\n\r\n"
    ));
    let proxy = Setup::new(on)
        .server(&server)
        .limits("head_size = \"1KiB\"")
        .start();
    assert_eq!(proxy.get("/").status(), 502);
    assert_eq!(&proxy.access_line("GET /").termination[..2], "PH");
}

// === The client's time ===

fn a_head_that_takes_too_long_is_a_408(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .timeouts("request_head = \"300ms\"")
        .start();
    let mut client = proxy.client();
    let reply = in_time(Duration::from_millis(300), || {
        client.send("GET / HTTP/1.1\r\nHo");
        client.read_response()
    });
    assert_eq!(reply.status(), 408);
    client.expect_closed();
    let lines = support::eventually("a line", || {
        Some(proxy.all_access_lines()).filter(|all| !all.is_empty())
    });
    assert_eq!(
        (&lines[0].termination[..2], lines[0].status),
        ("cR", 408),
        "{}",
        lines[0].line
    );
    assert_eq!(lines[0].request, "<BADREQ>");
}

fn a_head_that_trickles_is_a_408_too(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .timeouts("request_head = \"500ms\"")
        .start();
    let mut client = proxy.client();
    let from = Instant::now();
    client.send("GET / HTTP/1.1\r\nX: ");
    while !client.has_something() && client.try_send("x").is_ok() {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(client.read_response().status(), 408);
    assert_in_time(from, Duration::from_millis(500));
}

fn a_later_head_has_the_same_time_as_the_first(on: Driver) {
    let server = Server::named("one");
    let timeouts = "request_head = \"400ms\"\nkeep_alive = \"60s\"";
    let proxy = Setup::new(on).server(&server).timeouts(timeouts).start();
    let mut client = proxy.client();
    assert_eq!(client.get("/").status(), 200);
    // The time between two requests is the other timeout's.
    client.expect_silence(Duration::from_millis(700));
    in_time(Duration::from_millis(400), || {
        client.send("GET /slow HTTP/1.1\r\nHo");
        assert_eq!(client.read_response().status(), 408);
    });
    client.expect_closed();
    // The beginning of a second head may come together with the first one.
    let mut client = proxy.client();
    in_time(Duration::from_millis(400), || {
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /slow HTTP/1.1\r\n");
        assert_eq!(client.read_response().status(), 200);
        assert_eq!(client.read_response().status(), 408);
    });
}

fn a_client_without_a_request_is_closed_in_silence(on: Driver) {
    let server = Server::named("one");
    let timeouts = "keep_alive = \"300ms\"\nrequest_head = \"300ms\"";
    let proxy = Setup::new(on).server(&server).timeouts(timeouts).start();
    in_time(Duration::from_millis(300), || {
        proxy.client().expect_closed()
    });
    assert!(proxy.all_access_lines().is_empty());
}

fn an_idle_kept_connection_is_closed_in_silence(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .timeouts("keep_alive = \"400ms\"")
        .start();
    let mut client = proxy.client();
    let from = Instant::now();
    assert_eq!(client.get("/").status(), 200);
    client.expect_closed();
    assert_in_time(from, Duration::from_millis(400));
    assert_eq!(proxy.all_access_lines().len(), 1);
}

fn a_client_that_stalls_inside_its_body_is_a_408(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .timeouts("client = \"400ms\"")
        .start();
    let mut client = proxy.client();
    in_time(Duration::from_millis(400), || {
        client.send("POST /stalls HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly this");
        assert_eq!(client.read_response().status(), 408);
    });
    client.expect_closed();
    let line = proxy.access_line("POST /stalls");
    assert_eq!(
        (&line.termination[..2], line.status),
        ("cD", 408),
        "{}",
        line.line
    );
    assert_eventually!(server.open() == 0);
}

fn a_client_that_does_not_read_is_cut(on: Driver) {
    let server = Server::script(|conn| {
        if conn.read_request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            while conn.try_send([0; 10_000]).is_ok() {}
        }
    });
    let proxy = Setup::new(on)
        .server(&server)
        .timeouts("client = \"500ms\"")
        .start();
    let mut client = Conn::connect_narrow(proxy.address());
    in_time(Duration::from_millis(500), || {
        client.send(request("/unread"));
        assert_eventually!(server.requests().len() == 1);
        assert_eventually!(server.open() == 0);
    });
    let line = proxy.access_line("GET /unread");
    assert_eq!(&line.termination[..2], "cD", "{}", line.line);
}

// === The server's time ===

fn a_server_that_does_not_answer_is_a_504(on: Driver) {
    let server = Server::silent();
    let proxy = Setup::new(on)
        .server(&server)
        .timeouts("server = \"300ms\"")
        .start();
    let mut client = proxy.client();
    in_time(Duration::from_millis(300), || {
        assert_eq!(client.get("/late").status(), 504);
    });
    let line = proxy.access_line("GET /late");
    assert_eq!(
        (&line.termination[..2], line.status),
        ("sH", 504),
        "{}",
        line.line
    );
    assert_eventually!(server.open() == 0);
}

fn a_pool_may_have_its_own_server_timeout(on: Driver) {
    let server = Server::silent();
    let proxy = Setup::new(on)
        .server(&server)
        .timeouts("server = \"1h\"")
        .pool("timeouts = { server = \"300ms\" }")
        .start();
    in_time(Duration::from_millis(300), || {
        assert_eq!(proxy.get("/").status(), 504);
    });
}

fn a_server_that_stalls_inside_the_answer_is_cut(on: Driver) {
    let server = Server::script(|conn| {
        if conn.read_request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
            conn.read_to_end();
        }
    });
    let proxy = Setup::new(on)
        .server(&server)
        .timeouts("server = \"400ms\"")
        .start();
    let mut client = proxy.client();
    in_time(Duration::from_millis(400), || {
        client.send(request("/stalls"));
        assert_eq!(client.read_response_head().status(), 200);
        assert_eq!(client.read_to_end(), b"only this");
    });
    let line = proxy.access_line("GET /stalls");
    assert_eq!(
        (&line.termination[..2], line.status),
        ("sD", 200),
        "{}",
        line.line
    );
    assert_eventually!(server.open() == 0);
}

fn activity_of_the_server_keeps_an_exchange(on: Driver) {
    let server = Server::script(|conn| {
        while conn.read_request().is_some() {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
            for _ in 0..10 {
                std::thread::sleep(Duration::from_millis(200));
                conn.send("x");
            }
        }
    });
    let timeouts = "server = \"1s\"\nclient = \"1s\"\nkeep_alive = \"1s\"\nrequest_head = \"1s\"";
    let proxy = Setup::new(on).server(&server).timeouts(timeouts).start();
    assert_eq!(proxy.get("/").text(), "xxxxxxxxxx");
}

fn a_slow_request_is_no_reason_to_time_the_server_out(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .timeouts("server = \"600ms\"")
        .start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n");
    for _ in 0..8 {
        std::thread::sleep(Duration::from_millis(200));
        client.send("x");
    }
    assert_eq!(client.read_response().status(), 200);
}

fn never_means_never(on: Driver) {
    let server = Server::script(|conn| {
        while conn.read_request().is_some() {
            std::thread::sleep(Duration::from_millis(500));
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let never = [
        "connect",
        "client",
        "server",
        "tunnel",
        "request_head",
        "keep_alive",
        "idle_link",
    ]
    .map(|name| format!("{name} = \"never\"\n"))
    .concat();
    let proxy = Setup::new(on).server(&server).timeouts(&never).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\n");
    client.expect_silence(Duration::from_millis(300));
    client.send("Host: a\r\n\r\n");
    assert_eq!(client.read_response().text(), "ok");
    client.expect_silence(Duration::from_millis(300));
    assert_eq!(client.get("/").text(), "ok");
}
