//! Servers that refuse, reset, stay silent, go down and come back; and whose turn it is.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use support::{Driver, Message, Proxy, Server, Setup, Unreachable, eventually};

on_both_drivers!(
    turns_go_round,
    weights_give_shares,
    turns_go_round_over_two_workers,
    websockets_take_turns_with_requests,
    a_refusing_server_is_tried_again_then_left,
    without_redispatch_a_refusing_server_is_a_503,
    a_single_refusing_server_is_a_503_and_comes_back,
    a_server_that_drops_every_syn_is_left_after_its_timeout,
    a_server_that_drops_every_syn_alone_is_a_503,
    a_server_that_resets_at_once_is_not_tried_with_a_post,
    without_retries_one_attempt_decides,
    a_post_moves_with_its_whole_body,
    a_handshake_moves_with_its_early_bytes,
    a_reset_inside_the_handshake_of_tcp_is_a_failed_attempt,
    a_server_that_fails_its_checks_is_left,
    a_server_starts_up_and_needs_its_falls_to_go_down,
    a_server_that_comes_back_is_used_again,
    a_pool_whose_servers_are_all_down_answers_503,
    a_request_moves_at_once_when_its_server_goes_down,
    checks_send_nothing,
    checks_are_spread_over_their_interval,
    a_server_in_maintenance_is_not_checked,
    a_tunnel_stays_when_its_server_goes_down,
    a_large_pool_is_served_evenly,
);

const CHECK: &str = "check = { interval = \"100ms\", rise = 2, fall = 2 }";

/// How often each server answers so many requests, each on its own connection.
fn shares(proxy: &Proxy, requests: usize) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        *shares
            .entry(proxy.get("/").server().to_owned())
            .or_default() += 1;
    }
    shares
}

/// Waits for an event that names this server and holds this word.
fn wait_for_event(proxy: &Proxy, server: &str, word: &str) -> String {
    eventually(&format!("an event: {server} {word}"), || {
        proxy.lines().into_iter().find(|line| {
            let lower = line.to_lowercase();
            !line.contains("HTTP/1.") && lower.contains(server) && lower.contains(word)
        })
    })
}

// === Turns ===

fn turns_go_round(on: Driver) {
    let servers = ["one", "two", "three"].map(Server::named);
    let proxy = Proxy::before(on, &[&servers[0], &servers[1], &servers[2]]);
    let names: Vec<_> = (0..9).map(|_| proxy.get("/").server().to_owned()).collect();
    assert_eq!(names[..3], ["one", "two", "three"]);
    assert_eq!(names[..3], names[3..6]);
    assert_eq!(names[..3], names[6..]);
}

fn weights_give_shares(on: Driver) {
    let servers = ["one", "two", "none"].map(Server::named);
    let proxy = Setup::new(on)
        .server_with(&servers[0], "weight = 3")
        .server_with(&servers[1], "weight = 1")
        .server_with(&servers[2], "weight = 0")
        .start();
    let names: Vec<_> = (0..16)
        .map(|_| proxy.get("/").server().to_owned())
        .collect();
    assert_eq!(names.iter().filter(|name| *name == "one").count(), 12);
    assert_eq!(names.iter().filter(|name| *name == "two").count(), 4);
    assert!(
        !names
            .windows(4)
            .any(|four| four.iter().all(|name| name == "one")),
        "smooth: {names:?}"
    );
}

fn turns_go_round_over_two_workers(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = Setup::new(on)
        .server(&one)
        .server(&two)
        .process("workers = 2")
        .start();
    // Connections land on either worker as the kernel likes; the order is one all the same.
    let mut clients: Vec<_> = (0..16).map(|_| proxy.client()).collect();
    let mut names = Vec::new();
    for _ in 0..3 {
        for client in &mut clients {
            names.push(client.get("/").server().to_owned());
        }
    }
    let wanted: Vec<_> = ["one", "two"].into_iter().cycle().take(48).collect();
    assert_eq!(names, wanted);
}

fn websockets_take_turns_with_requests(on: Driver) {
    let (one, two) = (Server::websocket("one"), Server::websocket("two"));
    let proxy = Proxy::before(on, &[&one, &two]);
    let mut names = Vec::new();
    let mut tunnels = Vec::new();
    for _ in 0..3 {
        let mut client = proxy.client();
        names.push(client.upgrade("/").server().to_owned());
        tunnels.push(client);
        names.push(proxy.get("/").server().to_owned());
    }
    assert_eq!(names, ["one", "two", "one", "two", "one", "two"]);
}

fn a_large_pool_is_served_evenly(on: Driver) {
    let servers: Vec<_> = (0..12)
        .map(|number| Server::named(&format!("s{number}")))
        .collect();
    let all: Vec<&Server> = servers.iter().collect();
    let proxy = Proxy::before(on, &all);
    let shares = shares(&proxy, 36);
    assert_eq!(shares.len(), 12);
    assert!(shares.values().all(|count| *count == 3), "{shares:?}");
}

// === Connecting ===

fn a_refusing_server_is_tried_again_then_left(on: Driver) {
    let (mut one, two) = (Server::named("one"), Server::named("two"));
    one.stop();
    let proxy = Setup::new(on)
        .server(&one)
        .server(&two)
        .timeouts("connect = \"50ms\"")
        .start();
    for _ in 0..4 {
        assert_eq!(proxy.get("/").server(), "two");
    }
    let lines = proxy.access_lines("GET /", 4);
    assert!(
        lines
            .iter()
            .all(|line| line.termination == "----" && line.server == "two")
    );
    let moved: Vec<_> = lines
        .iter()
        .filter(|line| line.counts.contains("/+"))
        .collect();
    assert!(
        !moved.is_empty(),
        "a moved request is marked: {:?}",
        lines[0].line
    );
}

fn without_redispatch_a_refusing_server_is_a_503(on: Driver) {
    let (mut one, two) = (Server::named("one"), Server::named("two"));
    one.stop();
    let proxy = Setup::new(on)
        .server(&one)
        .server(&two)
        .pool("redispatch = false\nretries = 1")
        .timeouts("connect = \"50ms\"")
        .start();
    let statuses: Vec<_> = (0..4).map(|_| proxy.get("/").status()).collect();
    assert_eq!(statuses, [503, 200, 503, 200]);
}

fn a_single_refusing_server_is_a_503_and_comes_back(on: Driver) {
    let mut one = Server::named("one");
    one.stop();
    let proxy = Setup::new(on)
        .server(&one)
        .timeouts("connect = \"50ms\"")
        .start();
    let mut client = proxy.client();
    assert_eq!(client.get("/refused").status(), 503);
    let line = proxy.access_line("GET /refused");
    assert_eq!(
        (&line.termination[..2], line.status),
        ("SC", 503),
        "{}",
        line.line
    );
    assert!(
        line.counts.ends_with("/3") || line.counts.ends_with("/+3"),
        "{}",
        line.line
    );
    one.revive();
    assert_eq!(proxy.get("/").status(), 200);
}

fn a_server_that_drops_every_syn_is_left_after_its_timeout(on: Driver) {
    let (lost, two) = (Unreachable::new(), Server::named("two"));
    let proxy = Setup::new(on)
        .unreachable("lost", &lost, "")
        .server(&two)
        .pool("retries = 1")
        .timeouts("connect = \"200ms\"")
        .start();
    let from = Instant::now();
    assert_eq!(proxy.get("/").server(), "two");
    assert!(
        from.elapsed() >= Duration::from_millis(190),
        "{:?}",
        from.elapsed()
    );
    assert!(
        from.elapsed() < Duration::from_secs(5),
        "{:?}",
        from.elapsed()
    );
}

fn a_server_that_drops_every_syn_alone_is_a_503(on: Driver) {
    let lost = Unreachable::new();
    let proxy = Setup::new(on)
        .unreachable("lost", &lost, "")
        .pool("retries = 1")
        .timeouts("connect = \"200ms\"")
        .start();
    let before = proxy.settled_descriptors();
    let from = Instant::now();
    assert_eq!(proxy.get("/lost").status(), 503);
    assert!(
        from.elapsed() >= Duration::from_millis(390),
        "each attempt has its own time"
    );
    let line = proxy.access_line("GET /lost");
    assert_eq!(&line.termination[..2], "sC", "{}", line.line);
    proxy.wait_for_descriptors(before);
}

fn a_server_that_resets_at_once_is_not_tried_with_a_post(on: Driver) {
    let server = Server::script(|conn| {
        conn.read_request();
    });
    let proxy = Proxy::before(on, &[&server]);
    let reply = proxy
        .client()
        .request("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    assert_eq!(reply.status(), 502);
    assert_eq!(server.requests().len(), 1);
}

fn without_retries_one_attempt_decides(on: Driver) {
    let (mut one, two) = (Server::named("one"), Server::named("two"));
    one.stop();
    let setup = Setup::new(on).server(&one).server(&two);
    let proxy = setup
        .pool("retries = 0")
        .timeouts("connect = \"100ms\"")
        .start();
    let statuses: Vec<_> = (0..4).map(|_| proxy.get("/").status()).collect();
    assert_eq!(statuses, [503, 200, 503, 200]);
    assert!(proxy.access_line("GET /").counts.ends_with("/0"));
}

fn a_post_moves_with_its_whole_body(on: Driver) {
    for size in [5, 2_000_000] {
        let (mut one, two) = (Server::named("one"), Server::named("two"));
        one.stop();
        let setup = Setup::new(on).server(&one).server(&two);
        let proxy = setup.timeouts("connect = \"50ms\"").start();
        let body: Vec<u8> = (0..size).map(|at: u32| (at % 249) as u8).collect();
        let mut client = proxy.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
        ));
        client.send(&body);
        assert_eq!(client.read_response().server(), "two");
        assert!(two.last_request().body == body, "{size} bytes arrive whole");
    }
}

fn a_handshake_moves_with_its_early_bytes(on: Driver) {
    let (mut one, two) = (Server::websocket("one"), Server::websocket("two"));
    one.stop();
    let setup = Setup::new(on).server(&one).server(&two);
    let proxy = setup.timeouts("connect = \"50ms\"").start();
    let mut client = proxy.client();
    client.send(support::handshake("/"));
    client.say("early");
    assert_eq!(client.read_response().server(), "two");
    assert_eq!(client.read_frame().payload, b"early");
}

fn a_reset_inside_the_handshake_of_tcp_is_a_failed_attempt(on: Driver) {
    // Accepts and resets at once, before a byte: what a dying process does with its queue.
    let broken = Server::named_script("broken", |conn| conn.twin().reset());
    let two = Server::named("two");
    let proxy = Setup::new(on).server(&broken).server(&two).start();
    for _ in 0..6 {
        let status = proxy.get("/").status();
        assert!(matches!(status, 200 | 502), "{status}");
    }
    assert!(
        two.requests().len() >= 3,
        "every other turn at least is served"
    );
}

// === Checks ===

fn a_server_that_fails_its_checks_is_left(on: Driver) {
    let (one, mut two) = (Server::named("one"), Server::named("two"));
    let proxy = Setup::new(on)
        .server_with(&one, CHECK)
        .server_with(&two, CHECK)
        .start();
    two.stop();
    let event = wait_for_event(&proxy, "two", "down");
    assert!(event.contains("app"), "the pool is named too: {event}");
    for _ in 0..4 {
        assert_eq!(proxy.get("/").server(), "one");
    }
    let lines = proxy.access_lines("GET /", 4);
    assert!(
        lines.iter().all(|line| line.counts.ends_with("/0")),
        "no attempt was wasted"
    );
}

fn a_server_starts_up_and_needs_its_falls_to_go_down(on: Driver) {
    let mut one = Server::named("one");
    let check = "check = { interval = \"100ms\", rise = 1, fall = 100 }";
    let proxy = Setup::new(on)
        .server_with(&one, check)
        .timeouts("connect = \"50ms\"")
        .start();
    assert_eq!(proxy.get("/").status(), 200, "up from the start");
    one.stop();
    assert_eq!(proxy.get("/").status(), 503);
    one.revive();
    assert_eq!(proxy.get("/").status(), 200);
    let lines = proxy.lines();
    assert!(
        !lines
            .iter()
            .any(|line| line.to_lowercase().contains("is down")),
        "{lines:?}"
    );
}

fn a_server_that_comes_back_is_used_again(on: Driver) {
    let (one, mut two) = (Server::named("one"), Server::named("two"));
    let proxy = Setup::new(on)
        .server_with(&one, CHECK)
        .server_with(&two, CHECK)
        .start();
    two.stop();
    wait_for_event(&proxy, "two", "down");
    two.revive();
    wait_for_event(&proxy, "two", " up");
    assert_eventually!(proxy.get("/").server() == "two");
}

fn a_pool_whose_servers_are_all_down_answers_503(on: Driver) {
    let (mut one, mut two) = (Server::named("one"), Server::named("two"));
    let proxy = Setup::new(on)
        .server_with(&one, CHECK)
        .server_with(&two, CHECK)
        .start();
    one.stop();
    two.stop();
    wait_for_event(&proxy, "one", "down");
    wait_for_event(&proxy, "two", "down");
    assert_eq!(proxy.get("/none").status(), 503);
    let line = proxy.access_line("GET /none");
    assert_eq!(
        (line.pool.as_str(), line.server.as_str()),
        ("app", "<NOSRV>"),
        "{}",
        line.line
    );
    assert_eq!(&line.termination[..2], "SC", "{}", line.line);
    one.revive();
    assert_eventually!(proxy.get("/").status() == 200);
}

fn a_request_moves_at_once_when_its_server_goes_down(on: Driver) {
    let (mut one, two) = (Server::named("one"), Server::named("two"));
    let proxy = Setup::new(on)
        .sticky("cookie = \"SERVERID\"")
        .server_with(&one, &format!("cookie = \"a\"\n{CHECK}"))
        .server_with(&two, &format!("cookie = \"b\"\n{CHECK}"))
        .pool("retries = 10")
        .timeouts("connect = \"5s\"")
        .start();
    let sticky =
        |target: &str| -> Message { proxy.client().get_with(target, "Cookie: SERVERID=a\r\n") };
    assert_eq!(sticky("/").server(), "one");
    one.stop();
    // Ten retries with a pause of a second each would take that long; the checks end them.
    let from = Instant::now();
    assert_eq!(sticky("/moved").server(), "two");
    assert!(
        from.elapsed() < Duration::from_secs(5),
        "{:?}",
        from.elapsed()
    );
}

fn checks_are_spread_over_their_interval(on: Driver) {
    let servers: Vec<_> = (0..10)
        .map(|number| Server::named(&number.to_string()))
        .collect();
    let mut setup = Setup::new(on);
    for server in &servers {
        setup = setup.server_with(server, "check = { interval = \"2s\" }");
    }
    let from = Instant::now();
    let _proxy = setup.start();
    let mut called = vec![None; servers.len()];
    eventually("a check of each", || {
        for (at, server) in called.iter_mut().zip(&servers) {
            if at.is_none() && server.accepted() > 0 {
                *at = Some(from.elapsed());
            }
        }
        called.iter().all(Option::is_some).then_some(())
    });
    let (first, last) = (called.iter().min().unwrap(), called.iter().max().unwrap());
    let apart = last.unwrap() - first.unwrap();
    // The last of ten is called nine tenths of the interval after the first.
    assert!(apart > Duration::from_millis(1_200), "{called:?}");
    assert!(apart < Duration::from_secs(4), "{called:?}");
}

fn checks_send_nothing(on: Driver) {
    let one = Server::named("one");
    let proxy = Setup::new(on).server_with(&one, CHECK).start();
    assert_eventually!(one.accepted() >= 4);
    assert!(
        one.received().iter().all(Vec::is_empty),
        "{:?}",
        one.received()
    );
    drop(proxy);
}

fn a_server_in_maintenance_is_not_checked(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = Setup::new(on)
        .server_with(&one, CHECK)
        .server_with(&two, &format!("{CHECK}\nstate = \"maintenance\""))
        .start();
    assert_eventually!(one.accepted() >= 4);
    assert_eq!(two.accepted(), 0);
    assert_eq!(shares(&proxy, 4).get("two"), None);
}

fn a_tunnel_stays_when_its_server_goes_down(on: Driver) {
    let (one, two) = (Server::websocket("one"), Server::websocket("two"));
    let proxy = Setup::new(on)
        .server_with(&one, &format!("{CHECK}\nweight = 0\ncookie = \"a\""))
        .server_with(&two, "cookie = \"b\"")
        .sticky("cookie = \"SERVERID\"")
        .start();
    let mut client = proxy.client();
    client.send(support::handshake_with("/", "Cookie: SERVERID=a\r\n"));
    assert_eq!(client.read_response().server(), "one");
    client.echoes("before");
    let mut one = one;
    one.stop_listening();
    wait_for_event(&proxy, "one", "down");
    client.echoes("after");
}
