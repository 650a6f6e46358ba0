//! Rates: what begins in a second is bounded, exactly and over all workers, and who is refused is told when to come again.
//!
//! Machines are slow and clocks run on: a test takes the time and allows what the rate gives in it, never less than the
//! burst.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use support::{AccessLine, Conn, Driver, Message, Proxy, Server, Setup, handshake, handshake_with};

on_both_drivers!(
    a_server_is_given_no_more_tunnels_than_its_rate,
    a_client_without_a_cookie_goes_to_a_server_that_has_a_token,
    a_cookie_is_never_moved_by_a_rate,
    a_pool_s_rate_is_each_server_s,
    a_listener_takes_no_more_tunnels_than_its_rate,
    a_client_has_its_rate_and_gets_it_back,
    requests_and_handshakes_are_counted_apart,
    who_is_refused_for_the_sake_of_all_keeps_its_own_tokens,
    who_is_denied_keeps_its_tokens,
    an_ipv6_network_is_one_client,
    a_full_table_does_not_forget_who_is_over_its_rate,
    clients_in_except_are_not_counted,
    clients_are_not_told_the_same_second,
    who_comes_back_when_told_is_let_in,
    who_leaves_while_it_is_held_is_no_tunnel,
    a_young_process_takes_few_tunnels,
    a_ramp_ends,
    a_server_that_comes_back_is_given_few_sessions,
    a_reload_keeps_what_was_taken_and_changes_the_rate,
);

/// A handshake's answer, and the tunnel if it is one.
fn knock(proxy: &Proxy, cookie: &str) -> (Message, Conn) {
    let mut client = proxy.client();
    client.send(match cookie {
        "" => handshake("/"),
        name => handshake_with("/", &format!("Cookie: S={name}\r\n")),
    });
    (client.read_response(), client)
}

/// Statuses of so many handshakes, and how long they took.
fn knocks(proxy: &Proxy, cookie: &str, count: usize) -> (Vec<u16>, Duration) {
    let begin = Instant::now();
    let statuses = (0..count).map(|_| knock(proxy, cookie).0.status());
    (statuses.collect(), begin.elapsed())
}

fn count(statuses: &[u16], status: u16) -> usize {
    statuses.iter().filter(|one| **one == status).count()
}

/// At least the burst, at most what the rate gives besides in that time.
#[track_caller]
fn assert_within(got: usize, burst: usize, per_second: usize, took: Duration) {
    let most = burst + (took.as_millis() as usize * per_second).div_ceil(1_000) + 1;
    assert!((burst..=most).contains(&got), "{got} of {burst} to {most}");
}

fn retry_after(answer: &Message) -> u64 {
    answer.field("Retry-After").unwrap().parse().unwrap()
}

/// A GET as this client, whom a PROXY header introduces.
fn get_as(proxy: &Proxy, address: &str) -> Message {
    ask_as(proxy, address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
}

fn ask_as(proxy: &Proxy, address: &str, request: &str) -> Message {
    let mut client = proxy.client();
    let (family, here) = match address.contains(':') {
        true => (6, "::1"),
        false => (4, "127.0.0.1"),
    };
    client.send(format!(
        "PROXY TCP{family} {address} {here} 4000 80\r\n{request}"
    ));
    client.read_response()
}

/// The first line with this status.
fn refusal(proxy: &Proxy, status: i64) -> AccessLine {
    let find = || {
        let lines = proxy.all_access_lines();
        lines.into_iter().find(|line| line.status == status)
    };
    support::eventually("a refusal is logged", find)
}

fn pool_in(proxy: &Proxy) -> serde_json::Value {
    proxy.status().unwrap()["pools"][0].clone()
}

fn listener_in(proxy: &Proxy) -> serde_json::Value {
    proxy.status().unwrap()["listeners"][0].clone()
}

// === Servers ===

fn a_server_is_given_no_more_tunnels_than_its_rate(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Setup::new(on)
        .process("workers = 2")
        .server_with(&server, "tunnel_rate = { per_second = 10, burst = 30 }")
        .start();
    let begin = Instant::now();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let knocking = [(); 4].map(|()| scope.spawn(|| knocks(&proxy, "", 40).0));
        knocking
            .into_iter()
            .flat_map(|one| one.join().unwrap())
            .collect()
    });
    let (open, refused) = (count(&statuses, 101), count(&statuses, 503));
    assert_eq!(open + refused, 160, "{statuses:?}");
    assert_within(open, 30, 10, begin.elapsed());
    assert_eq!(server.requests().len(), open, "nobody else got through");
    let (answer, mut client) = loop {
        let (answer, client) = knock(&proxy, "");
        if answer.status() == 503 {
            break (answer, client);
        }
    };
    assert!((1..=60).contains(&retry_after(&answer)), "{}", answer.head);
    client.expect_closed();
    let line = refusal(&proxy, 503);
    assert_eq!(
        (line.server.as_str(), line.termination.as_str()),
        ("<NOSRV>", "PC--")
    );
    assert!(pool_in(&proxy)["over_rate"].as_u64().unwrap() > refused as u64);
    // Requests that are no handshakes need no token.
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    assert_eventually!(
        knock(&proxy, "").0.status() == 101,
        "the bucket fills again"
    );
}

fn a_client_without_a_cookie_goes_to_a_server_that_has_a_token(on: Driver) {
    let servers = ["one", "two"].map(Server::websocket);
    let proxy = Setup::new(on)
        .sticky("cookie = \"S\"")
        .server_with(
            &servers[0],
            "cookie = \"one\"\ntunnel_rate = { per_second = 1, burst = 2 }",
        )
        .server_with(&servers[1], "cookie = \"two\"")
        .start();
    let begin = Instant::now();
    let names: Vec<_> = (0..20).map(|_| knock(&proxy, "").0).collect();
    assert!(names.iter().all(|answer| answer.status() == 101));
    let first = names
        .iter()
        .filter(|answer| answer.server() == "one")
        .count();
    assert_within(first, 2, 1, begin.elapsed());
    assert_eq!(pool_in(&proxy)["over_rate"], 0);
}

fn a_cookie_is_never_moved_by_a_rate(on: Driver) {
    let servers = ["one", "two"].map(Server::websocket);
    let proxy = Setup::new(on)
        .sticky("cookie = \"S\"")
        .server_with(
            &servers[0],
            "cookie = \"one\"\ntunnel_rate = { per_second = 1, burst = 3 }",
        )
        .server_with(&servers[1], "cookie = \"two\"")
        .start();
    let begin = Instant::now();
    let answers: Vec<_> = (0..10).map(|_| knock(&proxy, "one").0).collect();
    let statuses: Vec<_> = answers.iter().map(Message::status).collect();
    assert_within(count(&statuses, 101), 3, 1, begin.elapsed());
    for answer in &answers {
        match answer.status() {
            101 => assert_eq!(answer.server(), "one"),
            status => assert_eq!((status, answer.has("Set-Cookie")), (503, false)),
        }
    }
    let one = pool_in(&proxy)["servers"][0]["over_rate"].clone();
    assert_eq!(one, count(&statuses, 503));
    // Whoever does as he is told gets there.
    let (mut answer, mut attempts) = (answers.into_iter().last().unwrap(), 0);
    while answer.status() == 503 {
        attempts += 1;
        assert!(attempts < 20, "never let in");
        std::thread::sleep(Duration::from_secs(retry_after(&answer).min(5)));
        answer = knock(&proxy, "one").0;
    }
    assert_eq!(answer.server(), "one");
    assert_eq!(servers[1].requests().len(), 0);
}

fn a_pool_s_rate_is_each_server_s(on: Driver) {
    let servers = ["one", "two", "three"].map(Server::websocket);
    let proxy = Setup::new(on)
        .pool("tunnel_rate = { per_second = 1, burst = 4 }")
        .server(&servers[0])
        .server_with(&servers[1], "tunnel_rate = { per_second = 1, burst = 9 }")
        .server(&servers[2])
        .start();
    let (statuses, took) = knocks(&proxy, "", 50);
    assert_within(count(&statuses, 101), 17, 3, took);
    for (server, burst) in servers.iter().zip([4, 9, 4]) {
        assert_within(server.requests().len(), burst, 1, took);
    }
}

// === Listeners ===

fn a_listener_takes_no_more_tunnels_than_its_rate(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Setup::new(on)
        .listener("tunnel_rate = { per_second = 2, burst = 6 }")
        .server(&server)
        .start();
    let (statuses, took) = knocks(&proxy, "", 30);
    let (open, refused) = (count(&statuses, 101), count(&statuses, 503));
    assert_within(open, 6, 2, took);
    assert_eq!((open + refused, server.requests().len()), (30, open));
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(listener_in(&proxy)["over_tunnel_rate"], refused);
    let line = refusal(&proxy, 503);
    assert_eq!(
        (line.termination.as_str(), line.pool.as_str()),
        ("PR--", "http-in")
    );
}

// === Clients ===

fn a_client_has_its_rate_and_gets_it_back(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .process("workers = 2")
        .listener("client_rate = { requests = { per_second = 4, burst = 12 } }")
        .server(&server)
        .start();
    let begin = Instant::now();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let ask = || -> Vec<_> { (0..20).map(|_| proxy.get("/").status()).collect() };
        let asking = [(); 4].map(|()| scope.spawn(ask));
        asking
            .into_iter()
            .flat_map(|one| one.join().unwrap())
            .collect()
    });
    let (served, refused) = (count(&statuses, 200), count(&statuses, 429));
    assert_eq!(served + refused, 80, "{statuses:?}");
    assert_within(served, 12, 4, begin.elapsed());
    assert_eq!(server.requests().len(), served);
    assert_eq!(listener_in(&proxy)["over_client_rate"], refused);
    let mut client = proxy.client();
    let answer = loop {
        let answer = client.get("/");
        if answer.status() == 429 {
            break answer;
        }
    };
    assert!((1..=3).contains(&retry_after(&answer)), "{}", answer.head);
    client.expect_closed();
    let line = refusal(&proxy, 429);
    assert_eq!(line.termination, "PR--");
    assert_eventually!(proxy.get("/").status() == 200, "a token comes back");
}

fn requests_and_handshakes_are_counted_apart(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Setup::new(on)
        .listener("client_rate = { tunnels = { per_second = 1, burst = 3 } }")
        .server(&server)
        .start();
    for _ in 0..20 {
        assert_eq!(proxy.get("/").status(), 200);
    }
    let (statuses, took) = knocks(&proxy, "", 20);
    let open = count(&statuses, 101);
    assert_within(open, 3, 1, took);
    assert_eq!(open + count(&statuses, 429), 20);
    assert_eq!(proxy.get("/").status(), 200);
}

const INTRODUCED: &str = "proxy_protocol = [\"127.0.0.0/8\"]";

fn who_is_refused_for_the_sake_of_all_keeps_its_own_tokens(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Setup::new(on)
        .listener(
            "tunnel_rate = { per_second = 1, burst = 1 }\n\
             client_rate = { tunnels = { per_second = 1, burst = 4 } }",
        )
        .server(&server)
        .start();
    let (statuses, _) = knocks(&proxy, "", 12);
    let (open, refused) = (count(&statuses, 101), count(&statuses, 503));
    // Its own rate allows all that the listener's does, and three more.
    assert_eq!(open + refused, 12, "{statuses:?}");
    assert!(open > 0 && refused > 0, "{statuses:?}");
    assert_eq!(listener_in(&proxy)["over_client_rate"], 0);
}

fn who_is_denied_keeps_its_tokens(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .listener("client_rate = { requests = { per_second = 1, burst = 3 } }")
        .server(&server)
        .more("[[route]]\npath = \"/denied\"\npool = \"app\"\ndeny = \"127.0.0.1\"\n")
        .start();
    for _ in 0..10 {
        assert_eq!(proxy.get("/denied").status(), 403);
    }
    for _ in 0..3 {
        assert_eq!(proxy.get("/").status(), 200);
    }
}

fn an_ipv6_network_is_one_client(on: Driver) {
    let server = Server::named("one");
    let rate = "client_rate = { requests = { per_second = 1, burst = 4 }, ipv4_prefix = 24, ipv6_prefix = 56 }";
    let proxy = Setup::new(on)
        .listener(&format!("{INTRODUCED}\n{rate}"))
        .server(&server)
        .start();
    let same = |addresses: &dyn Fn(usize) -> String| {
        let begin = Instant::now();
        let asked = (0..24).map(|at| get_as(&proxy, &addresses(at)).status());
        let served = count(&asked.collect::<Vec<_>>(), 200);
        (served, begin.elapsed())
    };
    for addresses in [
        (|at| format!("2001:db8:1:{at:x}::{at:x}")) as fn(usize) -> String,
        |at| format!("2001:db8:1:100::{at:x}"),
        |at| format!("203.0.113.{at}"),
        |at| format!("203.0.114.{at}"),
        |_| "::1".to_owned(),
    ] {
        let (served, took) = same(&addresses);
        assert_within(served, 4, 1, took);
    }
    // Each of its own network: all of them have tokens.
    let (served, _) = same(&|at| format!("2001:db8:2:{at:x}00::1"));
    assert_eq!(served, 24);
}

fn a_full_table_does_not_forget_who_is_over_its_rate(on: Driver) {
    let server = Server::named("one");
    let rate = "client_rate = { requests = { per_second = 1, burst = 30 }, networks = 64 }";
    let proxy = Setup::new(on)
        .listener(&format!("{INTRODUCED}\n{rate}"))
        .log("level = \"notice\"")
        .server(&server)
        .start();
    let begin = Instant::now();
    let attack = || {
        (0..40)
            .map(|_| get_as(&proxy, "198.51.100.7").status())
            .collect::<Vec<_>>()
    };
    let mut served = count(&attack(), 200);
    // Ten times as many other networks as there is room for.
    for at in 0..640 {
        let other = format!("10.{}.{}.1", at / 250, at % 250);
        assert_eq!(get_as(&proxy, &other).status(), 200);
    }
    served += count(&attack(), 200);
    assert_within(served, 30, 1, begin.elapsed());
}

fn clients_in_except_are_not_counted(on: Driver) {
    let server = Server::websocket("one");
    let rate =
        "client_rate = { requests = 1, tunnels = 1, except = [\"10.0.0.0/8\", \"2001:db8::/32\"] }";
    let proxy = Setup::new(on)
        .listener(&format!("{INTRODUCED}\n{rate}"))
        .server(&server)
        .start();
    for address in ["10.1.2.3", "2001:db8::1"] {
        for _ in 0..15 {
            assert_eq!(get_as(&proxy, address).status(), 200, "{address}");
            assert_eq!(
                ask_as(&proxy, address, &handshake("/")).status(),
                101,
                "{address}"
            );
        }
    }
    let begin = Instant::now();
    let others: Vec<_> = (0..15)
        .map(|_| get_as(&proxy, "11.1.2.3").status())
        .collect();
    assert_within(count(&others, 200), 1, 1, begin.elapsed());
}

fn clients_are_not_told_the_same_second(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Setup::new(on)
        .listener("client_rate = { requests = 1 }")
        .server_with(&server, "tunnel_rate = { per_second = 5, burst = 1 }")
        .start();
    let told: Vec<u64> = (0..50)
        .map(|_| knock(&proxy, "").0)
        .filter(|answer| answer.status() == 503)
        .map(|answer| retry_after(&answer))
        .collect();
    // Some 45 places, five in each second.
    let different: BTreeSet<_> = told.iter().collect();
    assert!(different.len() >= 6, "{told:?}");
    for second in different {
        let same = told.iter().filter(|other| *other == second).count();
        assert!(same <= 15, "{same} are told {second}: {told:?}");
    }
    let told: Vec<u64> = (0..60)
        .map(|_| proxy.get("/"))
        .filter(|answer| answer.status() == 429)
        .map(|answer| retry_after(&answer))
        .collect();
    let different: BTreeSet<_> = told.iter().copied().collect();
    assert!(
        different.len() >= 2 && different.iter().all(|s| (1..=3).contains(s)),
        "{told:?}"
    );
}

/// Sixty clients at once at forty a second, each of which obeys to the second; once for each limit that promises places.
fn who_comes_back_when_told_is_let_in(on: Driver) {
    const CLIENTS: usize = 60;
    const RATE: &str = "tunnel_rate = { per_second = 40, burst = 4 }";
    for of_listener in [true, false] {
        let server = Server::websocket("one");
        let (listener, pool) = if of_listener { (RATE, "") } else { ("", RATE) };
        let proxy = Setup::new(on)
            .process("workers = 2")
            .listener(listener)
            .server_with(&server, pool)
            .start();
        let begin = Instant::now();
        let attempts: Vec<usize> = std::thread::scope(|scope| {
            let client = || {
                for attempt in 1.. {
                    let answer = knock(&proxy, "").0;
                    if answer.status() == 101 {
                        return attempt;
                    }
                    std::thread::sleep(Duration::from_secs(retry_after(&answer)));
                }
                unreachable!()
            };
            let clients = [(); CLIENTS].map(|()| scope.spawn(client));
            clients.into_iter().map(|one| one.join().unwrap()).collect()
        });
        let took = begin.elapsed();
        let in_by = |most| attempts.iter().filter(|needed| **needed <= most).count();
        println!(
            "{took:?}: {:?} after 1, 2, 3 attempts",
            [1, 2, 3].map(in_by)
        );
        assert!(in_by(1) < CLIENTS / 2, "there was no line: {attempts:?}");
        assert!(in_by(2) * 10 >= CLIENTS * 9, "{attempts:?}");
        assert_within(CLIENTS, 4, 40, took);
        assert!(took < Duration::from_secs(8), "{took:?}");
        // Who came back at one moment was held, for a second at most, until it had its token.
        let lines = support::eventually("all tunnels are logged", || {
            let lines = proxy.all_access_lines();
            let tunnels: Vec<_> = lines
                .into_iter()
                .filter(|line| line.line.ends_with("ws=open"))
                .collect();
            (tunnels.len() == CLIENTS).then_some(tunnels)
        });
        let held: Vec<_> = lines.iter().map(|line| line.timers[1]).collect();
        assert!(held.iter().all(|ms| (0..=1_500).contains(ms)), "{held:?}");
        let waited = held.iter().filter(|ms| **ms >= 20).count();
        assert!(waited >= CLIENTS / 4, "{held:?}");
    }
}

fn who_leaves_while_it_is_held_is_no_tunnel(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Setup::new(on)
        .server_with(&server, "tunnel_rate = { per_second = 1, burst = 1 }")
        .start();
    assert_eq!(knock(&proxy, "").0.status(), 101);
    let answer = knock(&proxy, "").0;
    assert_eq!((answer.status(), retry_after(&answer)), (503, 3));
    // From now on the one that was refused can be back, and tokens are taken ahead.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(knock(&proxy, "").0.status(), 101);
    let mut client = proxy.client();
    let begin = Instant::now();
    client.send(handshake("/left"));
    client.reset();
    let line = support::eventually("it is logged", || {
        let lines = proxy.all_access_lines();
        lines.into_iter().find(|line| line.termination == "CQ--")
    });
    assert!(begin.elapsed() < Duration::from_secs(5));
    assert!((500..=1_500).contains(&line.timers[1]), "{}", line.line);
    assert_eq!(server.requests().len(), 2);
}

// === Starts ===

fn a_young_process_takes_few_tunnels(on: Driver) {
    let server = Server::websocket("one");
    let setup = Setup::new(on)
        .process("workers = 2\ntunnel_ramp = { over = \"1h\", from = 40, to = 1000 }")
        .server(&server);
    let proxy = setup.start();
    let begin = Instant::now();
    let (statuses, _) = knocks(&proxy, "", 60);
    let (open, refused) = (count(&statuses, 101), count(&statuses, 503));
    assert_eq!(open + refused, 60);
    // 40 a second, and a little more as the hour goes on.
    assert_within(open, 4, 41, begin.elapsed());
    assert!(refused > 0, "{statuses:?}");
    assert_eq!(listener_in(&proxy)["over_tunnel_rate"], refused);
    assert_eq!(proxy.get("/").status(), 200);
    proxy.rewrite_config(
        &setup
            .text()
            .replace("from = 40", "from = 1")
            .replace("to = 1000", "to = 1"),
    );
    proxy.sighup();
    proxy.wait_for_line("config.toml");
    assert_eventually!(proxy.status().unwrap()["reloads"] == 1);
    let (statuses, took) = knocks(&proxy, "", 20);
    assert!(
        count(&statuses, 101) <= 2 + took.as_secs() as usize,
        "{statuses:?}"
    );
}

fn a_ramp_ends(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Setup::new(on)
        .process("tunnel_ramp = { over = \"1s\", from = 1, to = 1 }")
        .server(&server)
        .start();
    std::thread::sleep(Duration::from_millis(1_050));
    let (statuses, _) = knocks(&proxy, "", 30);
    assert_eq!(count(&statuses, 101), 30);
}

fn a_server_that_comes_back_is_given_few_sessions(on: Driver) {
    const CHECK: &str = "check = { interval = \"50ms\", rise = 1, fall = 1 }";
    let mut servers = ["one", "two"].map(Server::named);
    let slow = "slow_start = { over = \"10m\", sessions_per_second = { from = 2, to = 3 } }";
    let setup = servers.iter().fold(Setup::new(on), |setup, server| {
        setup.server_with(server, &format!("cookie = \"{}\"\n{CHECK}", server.name()))
    });
    let proxy = setup
        .process("workers = 2")
        .pool(&format!("balance = \"first\"\n{slow}"))
        .sticky("cookie = \"S\"")
        .start();
    let state = |at: usize| pool_in(&proxy)["servers"][at]["state"].clone();
    for _ in 0..20 {
        assert_eq!(proxy.get("/").server(), "one", "not at the start");
    }
    servers[0].stop();
    assert_eventually!(state(0) == "down");
    servers[0].revive();
    assert_eventually!(state(0) == "up");
    let begin = Instant::now();
    let names: Vec<_> = (0..40)
        .map(|_| proxy.get("/").server().to_owned())
        .collect();
    let first = names.iter().filter(|name| *name == "one").count();
    assert_within(first, 1, 2, begin.elapsed());
    // With its cookie everybody comes as ever.
    for _ in 0..20 {
        let answer = proxy.client().get_with("/", "Cookie: S=one\r\n");
        assert_eq!((answer.status(), answer.server()), (200, "one"));
    }
    // Alone it gives no more: the others are told to come again.
    servers[1].stop();
    assert_eventually!(state(1) == "down");
    let begin = Instant::now();
    let answers: Vec<_> = (0..40).map(|_| proxy.get("/")).collect();
    let statuses: Vec<_> = answers.iter().map(Message::status).collect();
    let served = count(&statuses, 200);
    assert_within(served, 0, 2, begin.elapsed());
    assert_eq!(served + count(&statuses, 503), 40);
    assert!(
        answers
            .iter()
            .all(|answer| answer.status() == 200 || answer.has("Retry-After"))
    );
}

// === Reloads ===

fn a_reload_keeps_what_was_taken_and_changes_the_rate(on: Driver) {
    let server = Server::websocket("one");
    let client_rate = "client_rate = { requests = { per_second = 1, burst = 5 } }";
    let setup = Setup::new(on)
        .listener(client_rate)
        .server_with(&server, "tunnel_rate = { per_second = 1, burst = 5 }");
    let proxy = setup.start();
    let begin = Instant::now();
    let reload = |text: &str, count: u64| {
        proxy.rewrite_config(text);
        proxy.sighup();
        assert_eventually!(proxy.status().unwrap()["reloads"] == count);
    };
    let round = || {
        let requests: Vec<_> = (0..12).map(|_| proxy.get("/").status()).collect();
        [count(&knocks(&proxy, "", 12).0, 101), count(&requests, 200)]
    };
    let before = round();
    reload(&setup.text(), 1);
    let after = round();
    for (before, after) in before.into_iter().zip(after) {
        assert_within(before + after, 5, 1, begin.elapsed());
    }
    let none = setup
        .text()
        .replace(client_rate, "")
        .replace("tunnel_rate", "# tunnel_rate");
    reload(&none, 2);
    assert_eq!(round(), [12, 12]);
}
