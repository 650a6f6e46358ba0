//! Many clients at once that do what they like, servers that break, reloads under load: nobody gets
//! what belongs to another, nothing is lost that was not broken on purpose, and afterwards all is quiet.
//!
//! What a client does is drawn from a seed, which is part of every failure's message.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use support::{Conn, Driver, Message, Proxy, Server, Setup, frame, handshake};

on_both_drivers!(
    a_storm_mixes_nothing_up,
    reloads_under_load_lose_nothing,
    servers_that_come_and_go_lose_no_idempotent_request,
    tunnels_live_through_a_storm,
);

/// Numbers that look random and come again with the same seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % sides
    }
}

fn body(id: &str, length: usize) -> Vec<u8> {
    id.bytes()
        .chain(b".".iter().copied())
        .cycle()
        .take(length)
        .collect()
}

/// Sends each request's body back, framed and broken as the request asks.
fn moody(name: &str) -> Server {
    let name = name.to_owned();
    Server::named_script(&name.clone(), move |conn| {
        while let Some(request) = conn.read_request() {
            let id = request.field("X-Id").unwrap_or("none");
            let head = format!("HTTP/1.1 200 OK\r\nX-Server: {name}\r\nX-Id: {id}\r\n");
            let length = request.body.len();
            let sent = match request.field("X-Mood").unwrap_or("length") {
                "length" => respond(
                    conn,
                    &format!("{head}Content-Length: {length}\r\n\r\n"),
                    &request.body,
                ),
                "chunked" => {
                    let mut framed = Vec::new();
                    for chunk in request.body.chunks(3_000) {
                        framed.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                        framed.extend_from_slice(chunk);
                        framed.extend_from_slice(b"\r\n");
                    }
                    framed.extend_from_slice(b"0\r\n\r\n");
                    respond(
                        conn,
                        &format!("{head}Transfer-Encoding: chunked\r\n\r\n"),
                        &framed,
                    )
                }
                "close" => {
                    respond(
                        conn,
                        &format!("{head}Connection: close\r\n\r\n"),
                        &request.body,
                    );
                    false
                }
                "vanish" => false,
                "short" => {
                    respond(
                        conn,
                        &format!("{head}Content-Length: {}\r\n\r\n", length + 1),
                        &request.body,
                    );
                    false
                }
                "reset" => {
                    conn.twin().reset();
                    false
                }
                mood => panic!("no such mood: {mood}"),
            };
            if !sent {
                return;
            }
        }
    })
}

fn respond(conn: &mut Conn, head: &str, body: &[u8]) -> bool {
    conn.try_send([head.as_bytes(), body].concat()).is_ok()
}

const GOOD: [&str; 3] = ["length", "chunked", "close"];
const BAD: [&str; 3] = ["vanish", "short", "reset"];

fn request(id: &str, mood: &str, length: usize) -> Vec<u8> {
    let head = format!(
        "POST /{id} HTTP/1.1\r\nHost: a\r\nX-Id: {id}\r\nX-Mood: {mood}\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.into_bytes(), body(id, length)].concat()
}

fn assert_own(reply: &Message, id: &str, length: usize) {
    assert_eq!(reply.status(), 200, "{id}: {}", reply.head);
    assert_eq!(
        reply.field("X-Id"),
        Some(id),
        "the answer belongs to another request"
    );
    assert!(
        reply.body == body(id, length),
        "{id}: the body of {length} bytes is another one"
    );
}

/// One client's life: good requests on kept connections, alone and pipelined, broken ones, and leaving
/// in the middle.
fn one_client(proxy: &Proxy, seed: u64, turns: u32) {
    let mut dice = Dice::new(seed);
    let mut client = proxy.client();
    for turn in 0..turns {
        let id = format!("{seed}-{turn}");
        let length = [0, 10, 1_000, 20_000, 200_000][dice.roll(5) as usize];
        match dice.roll(8) {
            0 => {
                let mood = BAD[dice.roll(3) as usize];
                client.send(request(&id, mood, length));
                client.read_to_end_without_panic();
                client = proxy.client();
            }
            1 => {
                let whole = request(&id, "length", length);
                let part = dice.roll(whole.len() as u64) as usize;
                let _ = client.try_send(&whole[..part]);
                let left = std::mem::replace(&mut client, proxy.client());
                if dice.roll(2) == 0 {
                    left.reset();
                }
            }
            2 => {
                let moods = [0; 4].map(|_| GOOD[dice.roll(2) as usize]);
                let all: Vec<u8> = (0..4)
                    .flat_map(|at| request(&format!("{id}-{at}"), moods[at], 1_000))
                    .collect();
                client.send(all);
                for at in 0..4 {
                    assert_own(&client.read_response(), &format!("{id}-{at}"), 1_000);
                }
            }
            _ => {
                let mood = GOOD[dice.roll(3) as usize];
                client.send(request(&id, mood, length));
                assert_own(&client.read_response(), &id, length);
                if mood == "close" && !client.is_usable() {
                    client = proxy.client();
                }
            }
        }
    }
}

impl Conn {
    /// Whatever is left, be it an answer or an end.
    fn read_to_end_without_panic(&mut self) {
        if let Some(head) = self.try_read_until(b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&head).into_owned();
            assert!(
                head.starts_with("HTTP/1.1 502 ") || head.starts_with("HTTP/1.1 200 "),
                "{head}"
            );
        }
    }

    /// Whether the other side has not ended it; a body until close may have been passed on as such.
    fn is_usable(&self) -> bool {
        std::thread::sleep(Duration::from_millis(2));
        !self.has_something()
    }
}

/// No worker was hurt, nothing is left, nothing runs.
fn assert_calm(proxy: &Proxy, descriptors: usize) {
    proxy.wait_for_descriptors(descriptors);
    let spent = proxy.processor_time_during(Duration::from_millis(300));
    assert!(
        spent < Duration::from_millis(100),
        "{spent:?} of processor time while idle"
    );
    let hurt = proxy
        .lines()
        .into_iter()
        .find(|line| line.contains("panicked"));
    assert_eq!(hurt, None);
}

fn a_storm_mixes_nothing_up(on: Driver) {
    let servers = ["one", "two", "three"].map(moody);
    let setup = Setup::new(on)
        .process("workers = 2")
        .timeouts("idle_link = \"1s\"");
    let proxy = servers.iter().fold(setup, Setup::server).start();
    let before = proxy.settled_descriptors();
    std::thread::scope(|scope| {
        for seed in 1..=8 {
            let proxy = &proxy;
            scope.spawn(move || one_client(proxy, seed, 60));
        }
    });
    assert_calm(&proxy, before);
}

fn reloads_under_load_lose_nothing(on: Driver) {
    let servers = ["one", "two", "three"].map(moody);
    let text = |leaving_out: usize| {
        let mut setup = Setup::new(on).process("workers = 2");
        for (at, server) in servers.iter().enumerate() {
            if at != leaving_out {
                setup = setup.server(server);
            }
        }
        setup.text()
    };
    let proxy = Proxy::start(on, &text(9));
    let done = AtomicBool::new(false);
    let (served, reloads) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        let clients: Vec<_> = (1..=4_u64)
            .map(|seed| {
                let (proxy, served, reloads) = (&proxy, &served, &reloads);
                scope.spawn(move || {
                    let mut client = proxy.client();
                    let wanted = |turn| turn < 150 || reloads.load(Ordering::SeqCst) < RELOADS;
                    for turn in (0..).take_while(|turn| wanted(*turn)) {
                        let id = format!("{seed}-{turn}");
                        client.send(request(&id, GOOD[turn % 2], 2_000));
                        assert_own(&client.read_response(), &id, 2_000);
                        served.fetch_add(1, Ordering::SeqCst);
                        if turn % 10 == 0 {
                            client = proxy.client();
                        }
                    }
                })
            })
            .collect();
        let done = &done;
        let proxy = &proxy;
        let (text, reloads) = (&text, &reloads);
        scope.spawn(move || {
            let mut round = 0;
            while !done.load(Ordering::SeqCst) {
                proxy.rewrite_config(&text(round % 4));
                proxy.sighup();
                round += 1;
                let status = || proxy.status().unwrap();
                assert_eventually!(status()["reloads"] == round);
                let servers = status()["pools"][0]["servers"].as_array().unwrap().len();
                assert_eq!(servers, if round % 4 == 0 { 3 } else { 2 });
                reloads.store(round, Ordering::SeqCst);
            }
        });
        for client in clients {
            let outcome = client.join();
            if outcome.is_err() {
                done.store(true, Ordering::SeqCst);
            }
            outcome.unwrap();
        }
        done.store(true, Ordering::SeqCst);
    });
    assert!(served.load(Ordering::SeqCst) >= 600);
    assert!(reloads.load(Ordering::SeqCst) >= RELOADS);
}

/// Each of the four configurations twice.
const RELOADS: usize = 8;

fn servers_that_come_and_go_lose_no_idempotent_request(on: Driver) {
    // It takes a moment for each answer, so that being cut hits requests that it has.
    let mut one = Server::named_script("one", |conn| {
        while conn.read_request().is_some() {
            std::thread::sleep(Duration::from_millis(5));
            if !respond(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"") {
                return;
            }
        }
    });
    let two = Server::named("two");
    let check = "check = { interval = \"100ms\", rise = 1, fall = 1 }";
    let proxy = Setup::new(on)
        .server_with(&one, check)
        .server_with(&two, check)
        .process("workers = 2")
        .pool("retry = { on = [\"connect-failure\", \"reset\"], budget = false }")
        .timeouts("connect = \"50ms\"")
        .start();
    let done = Arc::new(AtomicBool::new(false));
    let served = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (proxy, served) = (&proxy, &served);
        let clients: Vec<_> = (0..4)
            .map(|_| {
                let done = Arc::clone(&done);
                scope.spawn(move || {
                    let mut statuses = Vec::new();
                    let mut client = proxy.client();
                    while !done.load(Ordering::SeqCst) {
                        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
                        let reply = client.read_response();
                        statuses.push(reply.status());
                        served.fetch_add(1, Ordering::SeqCst);
                    }
                    statuses
                })
            })
            .collect();
        let more = || {
            let wanted = served.load(Ordering::SeqCst) + 40;
            assert_eventually!(served.load(Ordering::SeqCst) >= wanted);
        };
        let state = || proxy.status().unwrap()["pools"][0]["servers"][0]["state"].clone();
        for _ in 0..6 {
            more();
            one.stop();
            more();
            assert_eventually!(state() == "down");
            one.revive();
            assert_eventually!(state() == "up");
        }
        done.store(true, Ordering::SeqCst);
        let clients = clients.into_iter();
        let all: Vec<u16> = clients.flat_map(|client| client.join().unwrap()).collect();
        let failed = all.iter().filter(|status| **status != 200).count();
        assert_eq!(failed, 0, "of {}", all.len());
        // What was cut was sent again: to the other server, or on another connection.
        let one = &proxy.status().unwrap()["pools"][0]["servers"][0];
        let again = |name: &str| one[name].as_u64().unwrap();
        assert!(again("retries") + again("redispatches") > 0, "{one}");
        assert!(again("downs") >= 6, "{one}");
    });
}

fn tunnels_live_through_a_storm(on: Driver) {
    let servers = [Server::websocket("one"), Server::websocket("two")];
    let setup = Setup::new(on).process("workers = 2");
    let proxy = setup.server(&servers[0]).server(&servers[1]).start();
    let before = proxy.settled_descriptors();
    std::thread::scope(|scope| {
        for seed in 1..=6 {
            let proxy = &proxy;
            scope.spawn(move || {
                let mut dice = Dice::new(seed);
                for _ in 0..6 {
                    let mut client = proxy.client();
                    client.send(handshake("/"));
                    let early = dice.roll(2) == 0;
                    if early {
                        client.say("early");
                    }
                    assert_eq!(client.read_response().status(), 101, "seed {seed}");
                    if early {
                        assert_eq!(client.read_frame().payload, b"early");
                    }
                    for _ in 0..20 {
                        let payload = body(&seed.to_string(), dice.roll(70_000) as usize);
                        let mut sender = client.twin();
                        let sent = frame(2, &payload, Some([dice.roll(255) as u8; 4]));
                        let sending = std::thread::spawn(move || {
                            sender.send(sent);
                        });
                        assert!(client.read_frame().payload == payload, "seed {seed}");
                        sending.join().unwrap();
                    }
                    match dice.roll(3) {
                        0 => client.reset(),
                        1 => drop(client),
                        _ => {
                            client.finish();
                            client.expect_closed();
                        }
                    }
                }
            });
        }
    });
    for server in &servers {
        assert_eventually!(server.open() == 0);
    }
    assert_calm(&proxy, before);
}
