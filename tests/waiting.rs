//! Requests that wait for a server (in the queue, for a connection, before another attempt) while a reload changes the
//! servers: they go on under the servers as they are now, and keep their place.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::time::{Duration, Instant};

use support::{
    Driver, Server, Setup, Unreachable, asks, gated, handshake, reload, wait_until_waiting,
};

on_both_drivers!(
    a_server_that_is_added_serves_those_that_wait,
    the_only_server_takes_those_that_wait_to_its_new_address,
    a_removed_server_serves_nobody_who_waits,
    a_cookie_s_client_waits_on_for_the_server_with_its_key,
    a_cookie_s_client_whose_server_is_gone_takes_any,
    a_place_without_a_token_is_given_up_with_its_server,
    a_request_before_another_attempt_takes_the_new_server,
    a_connection_under_way_is_given_up_with_its_server,
    a_reload_does_not_prolong_a_connect_timeout,
    a_pool_that_is_renamed_serves_those_that_wait,
    a_new_queue_timeout_counts_for_those_that_wait,
);

const FOR_EVER: &str = "queue = \"never\"\n";

/// Well below any timeout of the scenario, and far above what a loaded machine needs.
const SOON: Duration = Duration::from_secs(20);

fn a_server_that_is_added_serves_those_that_wait(on: Driver) {
    let (gate, _opened) = gated();
    let (one, two) = (gate.server("one"), gate.server("two"));
    let setup = |on| {
        let setup = Setup::new(on).process("workers = 2\n").timeouts(FOR_EVER);
        setup.server_with(&one, "max_connections = 1")
    };
    let proxy = setup(on).start();
    let mut clients = Vec::new();
    for n in 0..6 {
        clients.push(asks(&proxy, &format!("/{n}"), ""));
        wait_until_waiting(&proxy, &[n, 0]);
    }
    gate.wait_for(1);
    reload(&proxy, &setup(on).server_with(&two, "max_connections = 3"));
    gate.wait_for(4);
    wait_until_waiting(&proxy, &[2, 0, 0]);
    let mut served = two.requests();
    served.sort_by_key(|request| request.target().to_owned());
    let targets: Vec<_> = served.iter().map(|request| request.target()).collect();
    assert_eq!(targets, ["/1", "/2", "/3"], "those that came first");
    // One that comes only now is behind those that came before the reload.
    clients.push(asks(&proxy, "/6", ""));
    wait_until_waiting(&proxy, &[3, 0, 0]);
    for n in 4..=6 {
        gate.open(1);
        gate.wait_for(n + 1);
        assert_eq!(gate.arrived()[n], format!("/{n}"));
    }
    gate.open(4);
    for client in &mut clients {
        assert_eq!(client.read_response().status(), 200);
    }
    let queue = &proxy.status().unwrap()["pools"][0]["queue"];
    assert_eq!(queue["timeouts"], 0);
}

fn the_only_server_takes_those_that_wait_to_its_new_address(on: Driver) {
    let (gate, _opened) = gated();
    let (old, new) = (gate.server("old"), gate.server("new"));
    let setup = |server: &Server| {
        let setup = Setup::new(on).timeouts(FOR_EVER);
        setup.server_at("node", &server.address(), "max_connections = 1")
    };
    let proxy = setup(&old).start();
    let mut first = asks(&proxy, "/first", "");
    gate.wait_for(1);
    let mut waits = asks(&proxy, "/waits", "");
    wait_until_waiting(&proxy, &[1, 0]);
    reload(&proxy, &setup(&new));
    gate.wait_for(2);
    assert_eq!((old.requests().len(), new.requests().len()), (1, 1));
    gate.open(2);
    assert_eq!(waits.read_response().server(), "new");
    assert_eq!(first.read_response().server(), "old", "it has its server");
    assert_eq!(proxy.access_line("/waits").server, "node");
}

fn a_removed_server_serves_nobody_who_waits(on: Driver) {
    let (gate, _opened) = gated();
    let (other, _other_opened) = gated();
    let (one, two) = (gate.server("one"), other.server("two"));
    let both = Setup::new(on)
        .timeouts(FOR_EVER)
        .server_with(&one, "max_connections = 1")
        .server_with(&two, "max_connections = 1");
    let proxy = both.start();
    let mut clients = [asks(&proxy, "/a", ""), asks(&proxy, "/b", "")];
    gate.wait_for(1);
    other.wait_for(1);
    let mut waits = asks(&proxy, "/waits", "");
    wait_until_waiting(&proxy, &[1, 0, 0]);
    let left = Setup::new(on).timeouts(FOR_EVER);
    reload(&proxy, &left.server_with(&two, "max_connections = 1"));
    // The removed server is free now.
    gate.open(1);
    assert_eventually!(gate.inside() == 0);
    wait_until_waiting(&proxy, &[1, 0]);
    other.open(1);
    other.wait_for(2);
    other.open(1);
    assert_eq!(waits.read_response().server(), "two");
    assert_eq!(one.requests().len(), 1);
    for client in &mut clients {
        assert_eq!(client.read_response().status(), 200);
    }
}

/// Servers with keys; each takes one request at a time.
fn with_keys(on: Driver, servers: &[(&str, &Server, &str)]) -> Setup {
    let setup = Setup::new(on).timeouts(FOR_EVER).sticky("cookie = \"S\"");
    servers.iter().fold(setup, |setup, (name, server, key)| {
        let lines = format!("cookie = \"{key}\"\nmax_connections = 1");
        setup.server_at(name, &server.address(), &lines)
    })
}

fn a_cookie_s_client_waits_on_for_the_server_with_its_key(on: Driver) {
    let (gate, _opened) = gated();
    let (other, _other_opened) = gated();
    let (old, new, two) = (gate.server("old"), gate.server("new"), other.server("two"));
    let proxy = with_keys(on, &[("two", &two, "k2"), ("one", &old, "k1")]).start();
    let _first = asks(&proxy, "/first", "Cookie: S=k1\r\n");
    gate.wait_for(1);
    let mut waits = asks(&proxy, "/waits", "Cookie: S=k1\r\n");
    wait_until_waiting(&proxy, &[0, 0, 1]);
    // Another place in the file, another name, another address: the key is the client's.
    reload(
        &proxy,
        &with_keys(on, &[("uno", &new, "k1"), ("two", &two, "k2")]),
    );
    gate.wait_for(2);
    gate.open(2);
    let answer = waits.read_response();
    assert_eq!((answer.server(), answer.set_cookie("S")), ("new", None));
    let line = proxy.access_line("/waits");
    assert_eq!(
        (line.server.as_str(), line.termination.as_str()),
        ("uno", "--VN")
    );
    assert!(!line.counts.contains('+'), "{}", line.line);
    assert_eq!((new.requests().len(), two.requests().len()), (1, 0));
}

fn a_cookie_s_client_whose_server_is_gone_takes_any(on: Driver) {
    let (gate, _opened) = gated();
    let (other, _other_opened) = gated();
    let (one, two) = (gate.server("one"), other.server("two"));
    let proxy = with_keys(on, &[("one", &one, "k1"), ("two", &two, "k2")]).start();
    let _first = asks(&proxy, "/first", "Cookie: S=k1\r\n");
    let mut second = asks(&proxy, "/second", "Cookie: S=k2\r\n");
    gate.wait_for(1);
    other.wait_for(1);
    let mut older = asks(&proxy, "/older", "Cookie: S=k1\r\n");
    wait_until_waiting(&proxy, &[0, 1, 0]);
    let mut younger = asks(&proxy, "/younger", "Cookie: S=k2\r\n");
    wait_until_waiting(&proxy, &[0, 1, 1]);
    reload(&proxy, &with_keys(on, &[("two", &two, "k2")]));
    wait_until_waiting(&proxy, &[1, 1]);
    other.open(3);
    for client in [&mut second, &mut younger] {
        assert_eq!(client.read_response().set_cookie("S"), None);
    }
    let answer = older.read_response();
    assert_eq!(answer.server(), "two");
    assert!(answer.set_cookie("S").unwrap().starts_with("k2"));
    assert_eq!(other.arrived(), ["/second", "/older", "/younger"]);
    let line = proxy.access_line("/older");
    assert_eq!(line.termination, "--DI");
    assert!(line.counts.contains('+'), "{}", line.line);
    assert_eq!(one.requests().len(), 1);
}

/// They are let in one a second, as the rate of their server allows; then that is gone, and with it the rate.
fn a_place_without_a_token_is_given_up_with_its_server(on: Driver) {
    let (gate, _opened) = gated();
    let (old, new) = (gate.server("old"), gate.server("new"));
    let setup = |server: &Server, lines: &str| {
        let setup = Setup::new(on).timeouts(FOR_EVER);
        setup.server_at("node", &server.address(), lines)
    };
    let rate = "tunnel_rate = { per_second = 1, burst = 1 }";
    let proxy = setup(&old, &format!("max_tunnels = 1\n{rate}")).start();
    let mut first = proxy.client();
    assert_eq!(first.upgrade("/first").status(), 101);
    // With a token, it finds the server full; then there is a place, and another one takes the token.
    std::thread::sleep(Duration::from_millis(1_100));
    let mut waits: Vec<_> = (0..4)
        .map(|count| {
            let mut client = proxy.client();
            client.send(handshake("/waits"));
            wait_until_waiting(&proxy, &[count + 1, 0]);
            client
        })
        .collect();
    let begin = Instant::now();
    drop(first);
    gate.wait_for(2);
    let free = setup(&new, "max_tunnels = 4");
    reload(&proxy, &free);
    for client in &mut waits {
        assert_eq!(client.read_response_head().status(), 101);
    }
    assert_eq!(proxy.status().unwrap()["pools"][0]["over_rate"], 0);
    assert_eq!(old.requests().len() + new.requests().len(), 5);
    assert!(new.requests().len() >= 2 && begin.elapsed() < SOON);
}

fn a_request_before_another_attempt_takes_the_new_server(on: Driver) {
    let mut dead = Server::named("dead");
    dead.stop();
    let alive = Server::named("alive");
    let setup = |server: &Server, lines: &str| {
        Setup::new(on)
            .pool("retries = 10")
            .sticky("cookie = \"S\"")
            .server_at("node", &server.address(), lines)
    };
    for cookie in ["Cookie: S=k\r\n", ""] {
        let proxy = setup(&dead, "cookie = \"k\"").start();
        let mut client = asks(&proxy, "/waits", cookie);
        let errors = || {
            proxy.status().unwrap_or_default()["pools"][0]["servers"][0]["connect_errors"].as_u64()
        };
        assert_eventually!(errors() >= Some(1));
        reload(&proxy, &setup(&alive, "cookie = \"k\""));
        let answer = client.read_response();
        assert_eq!((answer.status(), answer.server()), (200, "alive"));
        let line = proxy.access_line("/waits");
        let wanted = if cookie.is_empty() { "--NI" } else { "--VN" };
        assert_eq!(line.termination, wanted, "{}", line.line);
        let pool = proxy.status().unwrap()["pools"][0].clone();
        assert_eq!(pool["servers"][0]["connect_errors"], 0);
    }
}

fn a_connection_under_way_is_given_up_with_its_server(on: Driver) {
    let (silent, alive) = (Unreachable::new(), Server::named("alive"));
    let setup = |address: &str| {
        Setup::new(on)
            .timeouts("connect = \"5m\"\n")
            .pool("retries = 0")
            .server_at("node", address, "")
    };
    let proxy = setup(&silent.address()).start();
    let begin = Instant::now();
    let mut client = asks(&proxy, "/waits", "");
    assert_eventually!(proxy.status().unwrap_or_default()["pools"][0]["sessions"] == 1);
    // A reload without a change is none for it.
    reload(&proxy, &setup(&silent.address()));
    reload(&proxy, &setup(&alive.address()));
    let answer = client.read_response();
    assert_eq!((answer.status(), answer.server()), (200, "alive"));
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    let line = proxy.access_line("/waits");
    assert!(
        line.counts.ends_with("/+0"),
        "no attempt that failed: {}",
        line.line
    );
}

fn a_reload_does_not_prolong_a_connect_timeout(on: Driver) {
    let silent = Unreachable::new();
    let setup = Setup::new(on)
        .timeouts("connect = \"3s\"\n")
        .pool("retries = 0")
        .server_at("node", &silent.address(), "");
    let proxy = setup.start();
    let mut client = asks(&proxy, "/waits", "");
    for _ in 0..4 {
        reload(&proxy, &setup);
    }
    assert_eq!(client.read_response().status(), 503);
    let line = proxy.access_line("/waits");
    assert_eq!(&line.termination[..2], "sC");
    assert!((3_000..4_500).contains(&line.timers[4]), "{}", line.line);
}

fn a_pool_that_is_renamed_serves_those_that_wait(on: Driver) {
    let (gate, _opened) = gated();
    let server = gate.server("one");
    let setup = Setup::new(on)
        .timeouts(FOR_EVER)
        .server_with(&server, "max_connections = 1");
    let proxy = setup.start();
    let mut clients: Vec<_> = (0..3).map(|n| asks(&proxy, &format!("/{n}"), "")).collect();
    wait_until_waiting(&proxy, &[2, 0]);
    let renamed = setup.text().replace("pool.app", "pool.web");
    let renamed = renamed.replace("default_pool = \"app\"", "default_pool = \"web\"");
    proxy.rewrite_config(&renamed);
    proxy.sighup();
    assert_eventually!(proxy.status().unwrap_or_default()["pools"][0]["name"] == "web");
    gate.open(3);
    for client in &mut clients {
        assert_eq!(client.read_response().status(), 200);
    }
    assert_eq!(gate.most(), 1);
    gate.open(1);
    assert_eq!(proxy.get("/new").status(), 200);
    assert_eq!(proxy.access_line("/new").pool, "web");
}

fn a_new_queue_timeout_counts_for_those_that_wait(on: Driver) {
    let (gate, _opened) = gated();
    let server = gate.server("one");
    let setup = |timeout: &str| {
        Setup::new(on)
            .timeouts(timeout)
            .server_with(&server, "max_connections = 1")
    };
    let proxy = setup(FOR_EVER).start();
    let mut first = asks(&proxy, "/first", "");
    gate.wait_for(1);
    let mut waits = asks(&proxy, "/waits", "");
    wait_until_waiting(&proxy, &[1, 0]);
    reload(&proxy, &setup("queue = \"1s\"\n"));
    assert_eq!(waits.read_response().status(), 503);
    let line = proxy.access_line("/waits");
    assert_eq!(&line.termination[..2], "sQ");
    assert!((1_000..5_000).contains(&line.timers[1]), "{}", line.line);
    gate.open(1);
    assert_eq!(first.read_response().status(), 200);
}
