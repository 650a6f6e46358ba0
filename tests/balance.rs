//! How a server is chosen for a new client: every policy, tiers, weights that change, and slow starts.
//!
//! Two workers carry each scenario; which one takes a connection is the kernel's choice.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use support::{Conn, Driver, PATIENCE, Proxy, Server, Setup, ringbolt};

on_both_drivers!(
    least_connections_keeps_tunnels_level,
    least_connections_fills_up_who_has_lost_its_tunnels,
    least_connections_counts_requests_with_tunnels,
    two_choices_stay_close,
    first_is_first_while_it_can,
    equal_keys_go_to_the_same_server,
    equal_addresses_go_to_the_same_server,
    a_request_without_the_key_takes_its_turn,
    only_the_keys_of_a_lost_server_move,
    a_bound_moves_what_is_too_much,
    a_backup_waits_until_its_tier_is_down,
    a_backup_takes_what_its_tier_refuses,
    a_weight_changes_while_it_runs,
    a_server_that_comes_back_starts_slowly,
    a_slow_start_ends,
    a_cookie_goes_before_every_policy,
);

const CHECK: &str = "check = { interval = \"50ms\", rise = 1, fall = 1 }";

fn setup(on: Driver, balance: &str) -> Setup {
    Setup::new(on)
        .process("workers = 2")
        .pool(&format!("balance = {balance}"))
}

fn before<'a>(setup: Setup, servers: impl IntoIterator<Item = &'a Server>) -> Proxy {
    let servers = servers.into_iter();
    servers
        .fold(setup, |setup, server| setup.server(server))
        .start()
}

fn tunnel(proxy: &Proxy) -> (Conn, String) {
    let mut client = proxy.client();
    let server = client.upgrade("/").server().to_owned();
    (client, server)
}

/// How many of these each server has.
fn counted<'a>(names: impl IntoIterator<Item = &'a String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for name in names {
        *counts.entry(name.clone()).or_default() += 1;
    }
    counts
}

/// Most minus fewest, over all three servers.
fn spread(counts: &BTreeMap<String, usize>) -> usize {
    let of = |name: &str| counts.get(name).copied().unwrap_or_default();
    let all = ["one", "two", "three"].map(of);
    all.iter().max().unwrap() - all.iter().min().unwrap()
}

fn server_in(proxy: &Proxy, name: &str) -> serde_json::Value {
    let status = proxy.status().unwrap();
    let servers = status["pools"][0]["servers"].as_array().unwrap();
    servers.iter().find(|s| s["name"] == name).unwrap().clone()
}

fn wait_for_state(proxy: &Proxy, name: &str, state: &str) {
    assert_eventually!(
        server_in(proxy, name)["state"] == state,
        "{name} is {state}"
    );
}

// === Least connections ===

fn least_connections_keeps_tunnels_level(on: Driver) {
    let servers = ["one", "two", "three"].map(Server::websocket);
    let proxy = before(setup(on, "\"least-connections\""), &servers);
    // One after the other: nobody is ever two above another.
    let mut held: Vec<(Conn, String)> = Vec::new();
    for _ in 0..10 {
        held.push(tunnel(&proxy));
        assert!(spread(&counted(held.iter().map(|(_, name)| name))) <= 1);
    }
    // All at once, on both workers: at most one per worker above the least.
    let open = || (0..8).map(|_| tunnel(&proxy)).collect::<Vec<_>>();
    let more = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(open)).collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap())
            .collect::<Vec<_>>()
    });
    held.extend(more);
    let counts = counted(held.iter().map(|(_, name)| name));
    assert!(spread(&counts) <= 2, "{counts:?}");
}

fn least_connections_fills_up_who_has_lost_its_tunnels(on: Driver) {
    let servers = ["one", "two", "three"].map(Server::websocket);
    let proxy = before(setup(on, "\"least-connections\""), &servers);
    let mut held: Vec<_> = (0..18).map(|_| tunnel(&proxy)).collect();
    held.retain(|(_, server)| server != "two");
    assert_eventually!(server_in(&proxy, "two")["tunnels"] == 0, "two has none");
    let new: Vec<_> = (0..6).map(|_| tunnel(&proxy)).collect();
    assert!(
        new.iter().all(|(_, server)| server == "two"),
        "two was the least busy"
    );
}

fn least_connections_counts_requests_with_tunnels(on: Driver) {
    let (one, two) = (Server::websocket("one"), Server::websocket("two"));
    let proxy = before(setup(on, "\"least-connections\""), [&one, &two]);
    let (_client, busy) = tunnel(&proxy);
    let idle = if busy == "one" { "two" } else { "one" };
    for _ in 0..6 {
        assert_eq!(proxy.get("/").server(), idle);
        // The request counts until its line is written; the next one must not come before.
        assert_eventually!(server_in(&proxy, idle)["sessions"] == 0, "{idle} is idle");
    }
}

// === Two choices, first ===

fn two_choices_stay_close(on: Driver) {
    let servers = ["one", "two", "three"].map(Server::websocket);
    let proxy = before(setup(on, "\"two-choices\""), &servers);
    let held: Vec<_> = (0..45).map(|_| tunnel(&proxy)).collect();
    let counts = counted(held.iter().map(|(_, name)| name));
    assert!(spread(&counts) <= 4, "{counts:?}");
}

fn first_is_first_while_it_can(on: Driver) {
    let (mut one, two) = (Server::named("one"), Server::named("two"));
    let proxy = setup(on, "\"first\"")
        .server_with(&one, CHECK)
        .server_with(&two, CHECK)
        .start();
    assert!((0..8).all(|_| proxy.get("/").server() == "one"));
    one.stop();
    wait_for_state(&proxy, "one", "down");
    assert!((0..4).all(|_| proxy.get("/").server() == "two"));
    one.revive();
    wait_for_state(&proxy, "one", "up");
    assert!((0..4).all(|_| proxy.get("/").server() == "one"));
}

// === Hash ===

fn equal_keys_go_to_the_same_server(on: Driver) {
    type Request = fn(&str) -> (String, String);
    let ways: [(&str, Request); 4] = [
        ("{ hash = \"path\" }", |key| {
            (format!("/{key}?{key}"), String::new())
        }),
        ("{ hash = { query = \"room\" } }", |key| {
            (format!("/?a=b&room={key}"), String::new())
        }),
        ("{ hash = { header = \"X-User\" } }", |key| {
            ("/".to_owned(), format!("x-user: {key}\r\n"))
        }),
        ("{ hash = { cookie = \"user\" } }", |key| {
            ("/".to_owned(), format!("Cookie: a=b; user={key}\r\n"))
        }),
    ];
    for (balance, request) in ways {
        let servers = ["one", "two", "three"].map(Server::named);
        let proxy = before(setup(on, balance), &servers);
        let mut used = BTreeSet::new();
        let mut clients: Vec<_> = (0..8).map(|_| proxy.client()).collect();
        for key in 0..20 {
            let (target, lines) = request(&format!("key{key}"));
            let server_of =
                |client: &mut Conn| client.get_with(&target, &lines).server().to_owned();
            let first = server_of(&mut clients[0]);
            assert!(
                clients.iter_mut().all(|client| server_of(client) == first),
                "{balance}"
            );
            used.insert(first);
        }
        assert_eq!(used.len(), 3, "{balance}: {used:?}");
    }
}

fn connect_from(proxy: &Proxy, source: &str) -> Conn {
    let source: SocketAddr = format!("{source}:0").parse().unwrap();
    let address = proxy.address();
    let domain = socket2::Domain::for_address(address);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
    socket.bind(&source.into()).unwrap();
    socket.connect_timeout(&address.into(), PATIENCE).unwrap();
    Conn::over(socket)
}

fn equal_addresses_go_to_the_same_server(on: Driver) {
    let servers = ["one", "two", "three"].map(Server::named);
    let proxy = before(setup(on, "{ hash = \"source\" }"), &servers);
    let mut used = BTreeSet::new();
    for host in 1..=20 {
        let source = format!("127.0.7.{host}");
        let names: BTreeSet<_> = (0..4)
            .map(|_| connect_from(&proxy, &source).get("/").server().to_owned())
            .collect();
        assert_eq!(names.len(), 1, "{source}: {names:?}");
        used.extend(names);
    }
    assert_eq!(used.len(), 3);
}

fn a_request_without_the_key_takes_its_turn(on: Driver) {
    let servers = ["one", "two", "three"].map(Server::named);
    let proxy = before(setup(on, "{ hash = { header = \"X-User\" } }"), &servers);
    let names: Vec<_> = (0..6).map(|_| proxy.get("/").server().to_owned()).collect();
    assert_eq!(names, ["one", "two", "three", "one", "two", "three"]);
}

fn only_the_keys_of_a_lost_server_move(on: Driver) {
    let mut servers = ["one", "two", "three"].map(Server::named);
    let balance = "{ hash = { query = \"room\" } }";
    let proxy = servers
        .iter()
        .fold(setup(on, balance), |setup, server| {
            setup.server_with(server, CHECK)
        })
        .start();
    let mut client = proxy.client();
    let mut owners = || -> Vec<String> {
        let owner = |room| client.get(&format!("/?room={room}")).server().to_owned();
        (0..60).map(owner).collect()
    };
    let before = owners();
    servers[1].stop();
    wait_for_state(&proxy, "two", "down");
    let during = owners();
    for (before, during) in before.iter().zip(&during) {
        assert!(before == during || before == "two", "{before} {during}");
        assert_ne!(during, "two");
    }
    servers[1].revive();
    wait_for_state(&proxy, "two", "up");
    assert_eq!(owners(), before);
}

fn a_bound_moves_what_is_too_much(on: Driver) {
    let servers = ["one", "two", "three"].map(Server::websocket);
    let balance = "{ hash = { query = \"room\" }, bound = 1.5 }";
    let proxy = before(setup(on, balance), &servers);
    // All have the same key: without the bound they would all be on one server.
    let mut held: Vec<(Conn, String)> = Vec::new();
    for _ in 0..24 {
        let mut client = proxy.client();
        let name = client.upgrade("/?room=7").server().to_owned();
        held.push((client, name));
        let counts = counted(held.iter().map(|(_, name)| name));
        let bound = (held.len() * 3).div_ceil(2 * 3);
        assert!(counts.values().all(|count| *count <= bound), "{counts:?}");
    }
    let counts = counted(held.iter().map(|(_, name)| name));
    assert_eq!(
        counts.values().max(),
        Some(&12),
        "its own server is full: {counts:?}"
    );
}

// === Tiers ===

fn a_backup_waits_until_its_tier_is_down(on: Driver) {
    let mut servers = ["one", "two", "spare", "last"].map(Server::named);
    let proxy = Setup::new(on)
        .process("workers = 2")
        .server_with(&servers[0], CHECK)
        .server_with(&servers[1], CHECK)
        .server_with(&servers[2], &format!("{CHECK}\ntier = 1"))
        .server_with(&servers[3], &format!("{CHECK}\ntier = 2"))
        .start();
    let used = |proxy: &Proxy| -> BTreeSet<String> {
        (0..8).map(|_| proxy.get("/").server().to_owned()).collect()
    };
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(used(&proxy), set(&["one", "two"]));
    servers[0].stop();
    wait_for_state(&proxy, "one", "down");
    assert_eq!(used(&proxy), set(&["two"]));
    servers[1].stop();
    wait_for_state(&proxy, "two", "down");
    assert_eq!(used(&proxy), set(&["spare"]));
    servers[2].stop();
    wait_for_state(&proxy, "spare", "down");
    assert_eq!(used(&proxy), set(&["last"]));
    servers[1].revive();
    wait_for_state(&proxy, "two", "up");
    assert_eq!(used(&proxy), set(&["two"]));
}

fn a_backup_takes_what_its_tier_refuses(on: Driver) {
    let (mut one, spare) = (Server::named("one"), Server::named("spare"));
    one.stop();
    // No checks: nobody knows that it is down.
    let proxy = Setup::new(on)
        .server(&one)
        .server_with(&spare, "tier = 1")
        .start();
    assert_eq!(proxy.get("/").server(), "spare");
    one.revive();
    assert_eq!(proxy.get("/").server(), "one");
}

// === Weights ===

/// Runs `ringbolt server` and gives its exit code and what it printed.
fn change(proxy: &Proxy, server: &str, weight: &str) -> (Option<i32>, String) {
    let mut command = ringbolt();
    command.args(["server", server, "weight", weight, "--socket"]);
    let output = command.arg(proxy.control_socket()).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

fn a_weight_changes_while_it_runs(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = Setup::new(on)
        .process("workers = 2")
        .server(&one)
        .server(&two)
        .start();
    let share = || {
        let names: Vec<_> = (0..20)
            .map(|_| proxy.get("/").server().to_owned())
            .collect();
        names.iter().filter(|name| *name == "one").count()
    };
    assert_eq!(share(), 10);
    let said = (Some(0), "app/one: weight 4, was 1\n".to_owned());
    assert_eq!(change(&proxy, "app/one", "4"), said);
    assert_eq!(share(), 16);
    proxy.wait_for_line("server app/one set to weight 4, was 1");
    assert_eq!(server_in(&proxy, "one")["weight"], 4);
    assert_eq!(change(&proxy, "app/one", "0").0, Some(0));
    assert_eq!(share(), 0);
    for (server, weight, words) in [
        ("app/three", "1", "pool \"app\" has no server \"three\""),
        ("web/one", "1", "there is no pool \"web\""),
        ("one", "1", "write POOL/NAME"),
        ("app/one", "257", "257"),
    ] {
        let (code, text) = change(&proxy, server, weight);
        assert!(code == Some(2) && text.contains(words), "{code:?} {text}");
    }
    let mut socket = Conn::connect_unix(&proxy.control_socket());
    let put =
        "PUT /v1/pools/app/servers/one/weight HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n257";
    assert_eq!(socket.request(put).status(), 400);
}

// === Slow start ===

fn returned(on: Driver, slow_start: &str) -> (Proxy, [Server; 2]) {
    let mut servers = ["one", "two"].map(Server::named);
    let proxy = Setup::new(on)
        .process("workers = 2")
        .pool(&format!("slow_start = \"{slow_start}\""))
        .server_with(&servers[0], CHECK)
        .server_with(&servers[1], CHECK)
        .start();
    assert_eq!(server_in(&proxy, "two")["share"], 100, "not at the start");
    servers[1].stop();
    wait_for_state(&proxy, "two", "down");
    servers[1].revive();
    wait_for_state(&proxy, "two", "up");
    (proxy, servers)
}

fn a_server_that_comes_back_starts_slowly(on: Driver) {
    let (proxy, _servers) = returned(on, "10m");
    assert_eq!(server_in(&proxy, "two")["share"], 6);
    let names: Vec<_> = (0..34)
        .map(|_| proxy.get("/").server().to_owned())
        .collect();
    assert_eq!(names.iter().filter(|name| *name == "two").count(), 2);
}

fn a_slow_start_ends(on: Driver) {
    let (proxy, _servers) = returned(on, "300ms");
    assert_eventually!(server_in(&proxy, "two")["share"] == 100, "it is over");
    let names: Vec<_> = (0..20)
        .map(|_| proxy.get("/").server().to_owned())
        .collect();
    assert_eq!(names.iter().filter(|name| *name == "two").count(), 10);
}

// === Cookies ===

fn a_cookie_goes_before_every_policy(on: Driver) {
    for balance in [
        "\"round-robin\"",
        "\"least-connections\"",
        "\"two-choices\"",
        "\"first\"",
        "{ hash = \"path\" }",
    ] {
        let servers = ["one", "two", "three"].map(Server::named);
        let proxy = servers
            .iter()
            .fold(setup(on, balance), |setup, server| {
                setup.server_with(server, &format!("cookie = \"{}\"", server.name()))
            })
            .sticky("cookie = \"S\"")
            .start();
        for name in ["three", "two", "one", "two"] {
            let answer = proxy
                .client()
                .get_with("/x", &format!("Cookie: S={name}\r\n"));
            assert_eq!(answer.server(), name, "{balance}");
        }
    }
}
