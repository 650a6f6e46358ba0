//! Bounds on what a server is given at once, and the queue before them.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::time::Duration;

use support::{
    AccessLine, Conn, Driver, Message, Proxy, Server, Setup, asks, eventually, gated, handshake,
    handshake_with, reload, wait_until_waiting, waiting,
};

on_both_drivers!(
    never_more_than_the_bound,
    two_workers_keep_one_bound,
    who_waits_is_served_in_order,
    a_full_queue_is_a_503_at_once,
    nobody_waits_where_the_queue_has_no_length,
    who_waits_too_long_gets_503,
    a_client_that_leaves_frees_its_place,
    a_client_that_sends_ahead_may_leave_too,
    a_cookie_waits_for_its_own_server,
    a_cookie_moves_when_its_queue_is_full,
    without_redispatch_a_full_queue_of_ones_own_is_a_503,
    tunnels_are_bounded_by_themselves,
    a_tunnels_end_serves_who_waits,
    a_server_that_goes_down_lets_its_queue_go,
    a_reload_serves_who_waits,
    a_reload_without_changes_loses_nobody,
    a_slow_start_scales_the_bound,
    the_log_and_the_status_tell_of_the_queue,
    who_is_moved_and_finds_no_token_is_over_a_rate,
    a_place_without_a_token_is_kept_until_there_is_one,
    a_place_without_a_token_is_kept_no_longer_than_anybody_waits,
);

const STICKY: &str = "cookie = \"SRV\"";

fn never_more_than_the_bound(on: Driver) {
    let (gate, _opened) = gated();
    let server = gate.server("one");
    let proxy = Setup::new(on)
        .timeouts("queue = \"never\"\n")
        .server_with(&server, "max_connections = 3")
        .start();
    let mut clients: Vec<_> = (0..12)
        .map(|n| asks(&proxy, &format!("/{n}"), ""))
        .collect();
    gate.wait_for(3);
    wait_until_waiting(&proxy, &[9, 0]);
    assert_eq!(gate.inside(), 3);
    gate.open(12);
    for client in &mut clients {
        assert_eq!(client.read_response().status(), 200);
    }
    assert_eq!(gate.most(), 3);
    assert_eq!(gate.arrived().len(), 12);
}

/// Each client on a worker of its own choice; the server counts.
fn two_workers_keep_one_bound(on: Driver) {
    let (gate, _opened) = gated();
    let servers = [gate.server("one"), gate.server("two")];
    let proxy = Setup::new(on)
        .process("workers = 2\n")
        .timeouts("queue = \"never\"\n")
        .server_with(&servers[0], "max_connections = 2")
        .server_with(&servers[1], "max_connections = 1")
        .start();
    const CLIENTS: usize = 24;
    const TURNS: usize = 12;
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let address = proxy.address();
            scope.spawn(move || {
                let mut client = Conn::connect(address);
                for turn in 0..TURNS {
                    // A lost wake-up would end in the client's patience.
                    assert_eq!(client.get(&format!("/{turn}")).status(), 200);
                }
            });
        }
        gate.wait_for(3);
        wait_until_waiting(&proxy, &[CLIENTS as u64 - 3, 0, 0]);
        gate.open(1 << 20);
    });
    assert_eq!(gate.arrived().len(), CLIENTS * TURNS);
    assert_eq!(gate.most(), 3);
    let status = proxy.status().unwrap();
    let longest = status["pools"][0]["queue"]["longest"].as_u64().unwrap();
    // Who is just being given a place may still be counted.
    assert!((CLIENTS as u64 - 3..=CLIENTS as u64).contains(&longest));
}

fn who_waits_is_served_in_order(on: Driver) {
    let (gate, _opened) = gated();
    let server = gate.server("one");
    let proxy = Setup::new(on)
        .timeouts("queue = \"never\"\n")
        .server_with(&server, "max_connections = 1")
        .start();
    let mut clients = Vec::new();
    for n in 0..20 {
        clients.push(asks(&proxy, &format!("/{n}"), ""));
        wait_until_waiting(&proxy, &[n, 0]);
    }
    for (n, client) in clients.iter_mut().enumerate() {
        gate.wait_for(n + 1);
        gate.open(1);
        assert_eq!(client.read_response().status(), 200);
    }
    let wanted: Vec<_> = (0..20).map(|n| format!("/{n}")).collect();
    assert_eq!(gate.arrived(), wanted);
    let positions: Vec<_> = proxy
        .access_lines("HTTP/1.1", 20)
        .iter()
        .map(|line| line.queues.clone())
        .collect();
    let at = |n: u64| format!("0/{}", n.saturating_sub(1));
    assert_eq!(positions, (0..20).map(at).collect::<Vec<_>>());
}

/// Turned away, and told when to come again: within a minute, and not all at once.
fn assert_later(answer: &Message) {
    assert_eq!(answer.status(), 503);
    let seconds: u32 = answer.field("Retry-After").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
}

fn a_full_queue_is_a_503_at_once(on: Driver) {
    let (gate, _opened) = gated();
    let server = gate.server("one");
    let proxy = Setup::new(on)
        .timeouts("queue = \"never\"\n")
        .pool("max_queue = 2")
        .server_with(&server, "max_connections = 1")
        .start();
    let mut first = asks(&proxy, "/first", "");
    gate.wait_for(1);
    let mut others = [asks(&proxy, "/a", ""), asks(&proxy, "/b", "")];
    wait_until_waiting(&proxy, &[2, 0]);
    assert_later(&proxy.get("/refused"));
    let line = proxy.access_line("/refused");
    assert_eq!(
        (line.server.as_str(), &line.termination[..2], line.timers[1]),
        ("<NOSRV>", "SQ", -1)
    );
    gate.open(3);
    assert_eq!(first.read_response().status(), 200);
    for other in &mut others {
        assert_eq!(other.read_response().status(), 200);
    }
    assert_eq!(proxy.status().unwrap()["pools"][0]["queue"]["refused"], 1);
}

fn nobody_waits_where_the_queue_has_no_length(on: Driver) {
    let (gate, _opened) = gated();
    let server = gate.server("one");
    let proxy = Setup::new(on)
        .pool("max_queue = 0")
        .server_with(&server, "max_connections = 1")
        .start();
    let mut first = asks(&proxy, "/first", "");
    gate.wait_for(1);
    assert_eq!(proxy.get("/refused").status(), 503);
    gate.open(1);
    assert_eq!(first.read_response().status(), 200);
    gate.open(1);
    assert_eventually!(proxy.get("/next").status() == 200);
}

fn who_waits_too_long_gets_503(on: Driver) {
    let (gate, _opened) = gated();
    let server = gate.server("one");
    let proxy = Setup::new(on)
        .pool("timeouts = { queue = \"400ms\" }")
        .server_with(&server, "max_connections = 1")
        .start();
    let mut first = asks(&proxy, "/first", "");
    gate.wait_for(1);
    assert_later(&proxy.get("/late"));
    let line = proxy.access_line("/late");
    assert_eq!(
        (line.server.as_str(), &line.termination[..2]),
        ("<NOSRV>", "sQ")
    );
    assert!((400..5_000).contains(&line.timers[1]), "{}", line.line);
    assert_eq!(line.timers[2..4], [-1, -1]);
    let queue = &proxy.status().unwrap()["pools"][0]["queue"];
    assert_eq!(
        (&queue["timeouts"], &queue["waiting"]),
        (&1.into(), &0.into())
    );
    gate.open(1);
    assert_eq!(first.read_response().status(), 200);
}

fn a_client_that_leaves_frees_its_place(on: Driver) {
    let (gate, _opened) = gated();
    let server = gate.server("one");
    let proxy = Setup::new(on)
        .timeouts("queue = \"never\"\n")
        .pool("max_queue = 1")
        .server_with(&server, "max_connections = 1")
        .start();
    let mut first = asks(&proxy, "/first", "");
    gate.wait_for(1);
    let leaver = asks(&proxy, "/leaver", "");
    wait_until_waiting(&proxy, &[1, 0]);
    drop(leaver);
    let line = proxy.access_line("/leaver");
    assert_eq!((&line.termination[..2], line.status), ("CQ", -1));
    let mut next = asks(&proxy, "/next", "");
    wait_until_waiting(&proxy, &[1, 0]);
    gate.open(2);
    assert_eq!(first.read_response().status(), 200);
    assert_eq!(next.read_response().status(), 200);
    assert_eq!(gate.arrived(), ["/first", "/next"]);
}

fn a_client_that_sends_ahead_may_leave_too(on: Driver) {
    let (gate, _opened) = gated();
    let server = gate.server("one");
    let proxy = Setup::new(on)
        .timeouts("queue = \"never\"\n")
        .server_with(&server, "max_connections = 1")
        .start();
    let mut first = asks(&proxy, "/first", "");
    gate.wait_for(1);
    let mut leaver = asks(&proxy, "/leaver", "Content-Length: 10\r\n");
    wait_until_waiting(&proxy, &[1, 0]);
    leaver.send("12345");
    drop(leaver);
    assert!(proxy.access_line("/leaver").termination.starts_with("CQ"));
    // One who sends its body while it waits is served as ever.
    let mut sender = asks(&proxy, "/sender", "Content-Length: 10\r\n");
    wait_until_waiting(&proxy, &[1, 0]);
    sender.send("1234567890");
    gate.open(2);
    assert_eq!(first.read_response().status(), 200);
    assert_eq!(sender.read_response().status(), 200);
}

/// Two servers with keys, the first bounded.
fn sticky(on: Driver, one: &Server, two: &Server, bounds: &str, pool: &str) -> Setup {
    Setup::new(on)
        .timeouts("queue = \"never\"\n")
        .pool(pool)
        .sticky(STICKY)
        .server_with(one, &format!("cookie = \"k1\"\n{bounds}"))
        .server_with(two, "cookie = \"k2\"")
}

fn a_cookie_waits_for_its_own_server(on: Driver) {
    let (gate, _opened) = gated();
    let one = gate.server("one");
    let two = Server::named("two");
    let proxy = sticky(on, &one, &two, "max_connections = 1", "").start();
    let mut first = asks(&proxy, "/first", "Cookie: SRV=k1\r\n");
    gate.wait_for(1);
    let mut waits = asks(&proxy, "/waits", "Cookie: SRV=k1\r\n");
    wait_until_waiting(&proxy, &[0, 1, 0]);
    // Everybody else goes round the full server.
    for _ in 0..4 {
        assert_eq!(proxy.get("/other").server(), "two");
    }
    gate.open(2);
    assert_eq!(first.read_response().server(), "one");
    let answer = waits.read_response();
    assert_eq!((answer.server(), answer.set_cookie("SRV")), ("one", None));
    let line = proxy.access_line("/waits");
    assert_eq!(
        (line.queues.as_str(), line.termination.as_str()),
        ("0/0", "--VN")
    );
}

fn a_cookie_moves_when_its_queue_is_full(on: Driver) {
    let (gate, _opened) = gated();
    let one = gate.server("one");
    let two = Server::named("two");
    let proxy = sticky(on, &one, &two, "max_connections = 1\nmax_queue = 1", "").start();
    let _first = asks(&proxy, "/first", "Cookie: SRV=k1\r\n");
    gate.wait_for(1);
    let _waits = asks(&proxy, "/waits", "Cookie: SRV=k1\r\n");
    wait_until_waiting(&proxy, &[0, 1, 0]);
    let answer = asks(&proxy, "/moved", "Cookie: SRV=k1\r\n").read_response();
    assert_eq!(answer.server(), "two");
    assert!(answer.set_cookie("SRV").unwrap().starts_with("k2"));
    let line = proxy.access_line("/moved");
    assert_eq!(line.termination, "--DI");
    assert!(line.counts.ends_with("/+0"), "{}", line.line);
    let servers = proxy.status().unwrap()["pools"][0]["servers"].clone();
    assert_eq!(servers[0]["redispatches"], 1);
}

fn without_redispatch_a_full_queue_of_ones_own_is_a_503(on: Driver) {
    let (gate, _opened) = gated();
    let one = gate.server("one");
    let two = Server::named("two");
    let bounds = "max_connections = 1\nmax_queue = 0";
    let proxy = sticky(on, &one, &two, bounds, "redispatch = false").start();
    let _first = asks(&proxy, "/first", "Cookie: SRV=k1\r\n");
    gate.wait_for(1);
    let answer = asks(&proxy, "/refused", "Cookie: SRV=k1\r\n").read_response();
    assert_eq!(answer.status(), 503);
    let line = proxy.access_line("/refused");
    assert_eq!(
        (line.server.as_str(), line.termination.as_str()),
        ("one", "SQV-")
    );
    assert_eq!(proxy.get("/other").server(), "two");
}

fn tunnels_are_bounded_by_themselves(on: Driver) {
    let (gate, _opened) = gated();
    let server = gate.server("one");
    let proxy = Setup::new(on)
        .timeouts("queue = \"never\"\n")
        .server_with(&server, "max_tunnels = 2")
        .start();
    let mut tunnels: Vec<_> = (0..2).map(|_| proxy.client()).collect();
    for tunnel in &mut tunnels {
        assert_eq!(tunnel.upgrade("/tunnel").status(), 101);
    }
    let mut third = proxy.client();
    third.send(handshake("/third"));
    wait_until_waiting(&proxy, &[1, 0]);
    // Requests are not held up.
    gate.open(3);
    for _ in 0..3 {
        assert_eq!(proxy.get("/request").status(), 200);
    }
    tunnels.pop();
    assert_eq!(third.read_response_head().status(), 101);
    assert_eq!(gate.most(), 3, "two tunnels and a request");
    let status = proxy.status().unwrap();
    let server = &status["pools"][0]["servers"][0];
    assert_eq!(
        (&server["tunnels"], &server["max_tunnels"]),
        (&2.into(), &2.into())
    );
}

fn a_tunnels_end_serves_who_waits(on: Driver) {
    let (gate, _opened) = gated();
    let server = gate.server("one");
    let proxy = Setup::new(on)
        .process("workers = 2\n")
        .timeouts("queue = \"never\"\n")
        .server_with(&server, "max_connections = 1")
        .start();
    let mut tunnel = proxy.client();
    assert_eq!(tunnel.upgrade("/tunnel").status(), 101);
    let mut waits: Vec<_> = (0..8).map(|n| asks(&proxy, &format!("/{n}"), "")).collect();
    wait_until_waiting(&proxy, &[8, 0]);
    // Long enough for it to be laid to rest, where it holds its place as before.
    std::thread::sleep(Duration::from_millis(2_600));
    assert_eq!(waiting(&proxy), [8, 0]);
    gate.open(8);
    drop(tunnel);
    for client in &mut waits {
        assert_eq!(client.read_response().status(), 200);
    }
    assert_eq!(gate.most(), 1);
}

fn a_server_that_goes_down_lets_its_queue_go(on: Driver) {
    let (gate, _opened) = gated();
    let mut one = gate.server("one");
    let two = Server::named("two");
    let check = "check = { interval = \"100ms\", rise = 2, fall = 2 }";
    let bounds = format!("max_connections = 1\n{check}");
    let proxy = sticky(on, &one, &two, &bounds, "").start();
    let _first = asks(&proxy, "/first", "Cookie: SRV=k1\r\n");
    gate.wait_for(1);
    let mut waits: Vec<_> = (0..3)
        .map(|n| asks(&proxy, &format!("/{n}"), "Cookie: SRV=k1\r\n"))
        .collect();
    wait_until_waiting(&proxy, &[0, 3, 0]);
    one.stop_listening();
    for client in &mut waits {
        let answer = client.read_response();
        assert_eq!(answer.server(), "two");
        assert!(answer.set_cookie("SRV").unwrap().starts_with("k2"));
    }
    for line in proxy.access_lines("/2 HTTP", 1) {
        assert_eq!(line.termination, "--DI");
    }
}

fn a_reload_serves_who_waits(on: Driver) {
    let (gate, _opened) = gated();
    let server = gate.server("one");
    let setup = |bound| {
        let bound = format!("max_connections = {bound}");
        Setup::new(on)
            .timeouts("queue = \"never\"\n")
            .server_with(&server, &bound)
    };
    let proxy = setup(1).start();
    let mut clients: Vec<_> = (0..5).map(|n| asks(&proxy, &format!("/{n}"), "")).collect();
    wait_until_waiting(&proxy, &[4, 0]);
    reload(&proxy, &setup(3));
    gate.wait_for(3);
    wait_until_waiting(&proxy, &[2, 0]);
    // A lower bound ends nothing and lets nobody in.
    reload(&proxy, &setup(2));
    gate.open(1);
    assert_eventually!(gate.inside() == 2);
    assert_eq!(waiting(&proxy), [2, 0]);
    let no_bound = Setup::new(on).server(&server);
    reload(&proxy, &no_bound);
    gate.wait_for(5);
    gate.open(4);
    for client in &mut clients {
        assert_eq!(client.read_response().status(), 200);
    }
}

fn a_reload_without_changes_loses_nobody(on: Driver) {
    let (gate, _opened) = gated();
    let server = gate.server("one");
    let setup = Setup::new(on)
        .process("workers = 2\n")
        .timeouts("queue = \"never\"\n")
        .server_with(&server, "max_connections = 1");
    let proxy = setup.start();
    let mut clients: Vec<_> = (0..6).map(|n| asks(&proxy, &format!("/{n}"), "")).collect();
    wait_until_waiting(&proxy, &[5, 0]);
    reload(&proxy, &setup);
    clients.extend((6..9).map(|n| asks(&proxy, &format!("/{n}"), "")));
    wait_until_waiting(&proxy, &[8, 0]);
    gate.open(9);
    for client in &mut clients {
        assert_eq!(client.read_response().status(), 200);
    }
    assert_eq!(gate.most(), 1);
}

fn a_slow_start_scales_the_bound(on: Driver) {
    let (gate, _opened) = gated();
    let mut server = gate.server("one");
    let lines = "max_connections = 16\nslow_start = \"1h\"\n\
                 check = { interval = \"100ms\", rise = 1, fall = 1 }";
    let proxy = Setup::new(on)
        .timeouts("queue = \"never\"\n")
        .server_with(&server, lines)
        .start();
    let bound = || {
        let status = proxy.status().unwrap_or_default();
        let server = &status["pools"][0]["servers"][0];
        (server["state"].clone(), server["max_connections"].as_u64())
    };
    assert_eq!(bound().1, Some(16));
    server.stop_listening();
    assert_eventually!(bound().0 == "down");
    server.revive();
    assert_eventually!(bound() == ("up".into(), Some(1)));
    let _clients: Vec<_> = (0..4).map(|n| asks(&proxy, &format!("/{n}"), "")).collect();
    gate.wait_for(1);
    wait_until_waiting(&proxy, &[3, 0]);
    assert_eq!(gate.inside(), 1);
}

fn the_log_and_the_status_tell_of_the_queue(on: Driver) {
    let (gate, _opened) = gated();
    let one = gate.server("one");
    let two = Server::named("two");
    let log = "target = \"stdout\"\n[[log]]\ntarget = \"stderr\"\nformat = \"json\"\n";
    let proxy = sticky(on, &one, &two, "max_connections = 1", "")
        .log(log)
        .start();
    let _first = asks(&proxy, "/first", "Cookie: SRV=k1\r\n");
    gate.wait_for(1);
    let mut waits = asks(&proxy, "/waits", "Cookie: SRV=k1\r\n");
    wait_until_waiting(&proxy, &[0, 1, 0]);
    let mut tunnel = proxy.client();
    tunnel.send(handshake_with("/tunnel", "Cookie: SRV=k1\r\n"));
    wait_until_waiting(&proxy, &[0, 2, 0]);
    std::thread::sleep(Duration::from_millis(300));
    gate.open(2);
    assert_eq!(waits.read_response().status(), 200);
    assert_eq!(tunnel.read_response_head().status(), 101);
    let of = |words: &str| proxy.access_line(words);
    let opened = proxy.wait_for_line("ws=open").replace('+', "");
    let opened = AccessLine::parse(&opened).unwrap();
    let (first, second) = (of("/first"), of("/waits"));
    assert_eq!((first.timers[1], first.queues.as_str()), (0, "0/0"));
    assert!(second.timers[1] >= 300, "{}", second.line);
    assert!(
        second.timers[2] < 300,
        "Tc begins when Tw ends: {}",
        second.line
    );
    assert!(
        opened.timers[1] >= 300 && opened.queues == "1/0",
        "{}",
        opened.line
    );
    let json = proxy.wait_for_complaint("\"/waits\"");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["time_queue_ms"], second.timers[1], "{json}");
    assert_eq!(
        proxy.status().unwrap()["pools"][0]["servers"][0]["queue"]["longest"],
        2
    );
}

const ONE_BY_ONE: &str = "max_tunnels = 1\ntunnel_rate = { per_second = 1, burst = 1 }";

fn knocks(proxy: &Proxy) -> Conn {
    let mut client = proxy.client();
    client.send(handshake("/waits"));
    client
}

/// One after the other is let in, and nobody is turned away because the first found no token.
fn a_place_without_a_token_is_kept_until_there_is_one(on: Driver) {
    let (gate, _opened) = gated();
    let server = gate.server("one");
    let proxy = Setup::new(on)
        .timeouts("queue = \"never\"\n")
        .server_with(&server, ONE_BY_ONE)
        .start();
    let mut first = proxy.client();
    assert_eq!(first.upgrade("/first").status(), 101);
    // With a token, everybody finds the server full.
    std::thread::sleep(Duration::from_millis(1_100));
    let mut waits = Vec::new();
    for count in 1..=4 {
        waits.push(knocks(&proxy));
        wait_until_waiting(&proxy, &[count, 0]);
    }
    drop(first);
    for mut client in waits {
        assert_eq!(client.read_response_head().status(), 101);
    }
    assert_eq!(proxy.status().unwrap()["pools"][0]["over_rate"], 0);
    assert_eq!(gate.most(), 1);
}

fn a_place_without_a_token_is_kept_no_longer_than_anybody_waits(on: Driver) {
    // On a slow machine the time in the queue may be over before there is a place: then once more.
    let waited = (0..5).find_map(|_| turned_away_with_a_place(on));
    let waited = waited.expect("a place without a token");
    assert!((400..=700).contains(&waited), "{waited} ms");
}

/// How many milliseconds a client waited that got a place and found no token; `None` if it got no place.
fn turned_away_with_a_place(on: Driver) -> Option<i64> {
    let (gate, _opened) = gated();
    let server = gate.server("one");
    let proxy = Setup::new(on)
        .timeouts("queue = \"400ms\"\n")
        .server_with(&server, ONE_BY_ONE)
        .start();
    let mut first = proxy.client();
    assert_eq!(first.upgrade("/first").status(), 101);
    // With a token, everybody finds the server full.
    std::thread::sleep(Duration::from_millis(1_100));
    let (mut one, mut two) = (knocks(&proxy), knocks(&proxy));
    drop(first);
    let first_status = one.read_response_head().status();
    drop(one);
    if (first_status, two.read_response_head().status()) != (101, 503) {
        return None;
    }
    // Of the tunnel its beginning and its end.
    let lines = proxy.access_lines("/waits", 3);
    let turned_away = lines.iter().find(|line| line.termination.starts_with("PC"));
    turned_away.map(|line| line.timers[1])
}

/// Its own queue is full, and the others' rate allows no more: the rate is what it is told of.
fn who_is_moved_and_finds_no_token_is_over_a_rate(on: Driver) {
    let (gate, _opened) = gated();
    let (one, two) = (gate.server("one"), gate.server("two"));
    let proxy = Setup::new(on)
        .timeouts("queue = \"never\"\n")
        .sticky(STICKY)
        .server_with(
            &one,
            "cookie = \"k1\"\nmax_tunnels = 1\nmax_queue = 0\nweight = 0",
        )
        .server_with(
            &two,
            "cookie = \"k2\"\ntunnel_rate = { per_second = 1, burst = 1 }",
        )
        .start();
    let mut first = proxy.client();
    first.send(handshake_with("/first", "Cookie: SRV=k1\r\n"));
    assert_eq!(first.read_response_head().status(), 101);
    let asks = || {
        let mut client = proxy.client();
        client.send(handshake_with("/moved", "Cookie: SRV=k1\r\n"));
        client.read_response_head()
    };
    // The first few may find a token.
    let refused = || Some(asks()).filter(|answer| answer.status() == 503);
    let answer = eventually("a refusal", refused);
    assert!(answer.has("Retry-After"), "{}", answer.head);
    let refusals = || {
        proxy
            .all_access_lines()
            .into_iter()
            .find(|line| line.status == 503)
    };
    let line = eventually("its line", refusals);
    assert_eq!(&line.termination[..2], "PC");
    let pool = proxy.status().unwrap()["pools"][0].clone();
    assert!(pool["over_rate"].as_u64() > Some(0));
}
