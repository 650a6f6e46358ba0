//! Everything at once for a while: requests, bodies, tunnels, clients that vanish, servers that break, stop
//! and come back, panics, reloads. Then all counts are what they were: connections, tunnels, sessions,
//! descriptors, memory. `RINGBOLT_SOAK_SECONDS` says for how long; the gate's own step takes two minutes.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use support::{Conn, Driver, Message, Process, Proxy, Server, Setup, eventually, handshake};

on_both_drivers!(a_mixed_load_leaves_nothing_behind);

/// Not a test: the server of [`Process`].
#[test]
fn server_process() {
    Process::serve();
}

fn length() -> Duration {
    let seconds = std::env::var("RINGBOLT_SOAK_SECONDS").ok();
    Duration::from_secs(seconds.map_or(6, |seconds| seconds.parse().unwrap()))
}

/// Numbers that look random and are the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) % bound
    }
}

/// Answers in many ways, some of them broken.
fn moody() -> Server {
    Server::named_script("moody", |conn| {
        let mut dice = Dice(u64::from(conn.peer_port()));
        while let Some(request) = conn.read_request() {
            if request.has("Upgrade") {
                let _ = conn.try_send("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
                continue;
            }
            let sent = match dice.below(12) {
                0 => return,
                1 => return conn.twin().reset(),
                2 => {
                    let _ = conn.try_send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome");
                    return;
                }
                3 => {
                    let _ = conn.try_send(
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
                    );
                    return conn.twin().reset();
                }
                4 => {
                    let _ = conn.try_send("HTTP/1.1 200 OK\r\n\r\nuntil the end");
                    return;
                }
                5 => {
                    std::thread::sleep(Duration::from_millis(dice.below(700)));
                    conn.try_send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")
                }
                6 => {
                    let body = vec![b'x'; 300_000];
                    let head = "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n";
                    conn.try_send(head).and_then(|()| conn.try_send(body))
                }
                7 => conn.try_send(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n",
                ),
                8 => conn.try_send("HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n"),
                _ => conn.try_send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nmoody"),
            };
            if sent.is_err() {
                return;
            }
        }
    })
}

/// Reads an answer as far as it comes; whether the connection can go on.
fn answer(client: &mut Conn) -> Option<u16> {
    let head = Message::of_head(&client.try_read_until(b"\r\n\r\n")?);
    let length = head
        .field("Content-Length")
        .map(|length| length.parse().unwrap());
    match length {
        Some(length) => drop(client.try_read_exactly(length)?),
        None if head.status() == 101 => {}
        None => drop(client.try_read_until(b"0\r\n\r\n")?),
    }
    Some(head.status()).filter(|_| head.field("Connection") != Some("close"))
}

fn client(proxy: &Proxy) -> Conn {
    let mut client = proxy.client();
    // A machine that is short of processors may stand still for a while, and that is not what is looked for.
    client.wait_for(Duration::from_secs(60));
    client
}

/// A client that behaves: several requests on a connection.
fn requests(proxy: &Proxy, dice: &mut Dice, good: &AtomicUsize) {
    let mut client = client(proxy);
    for _ in 0..=dice.below(6) {
        let request = match dice.below(4) {
            0 => "POST /l HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            1 => {
                "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n"
            }
            _ => "GET /g HTTP/1.1\r\nHost: a\r\n\r\n",
        };
        if client.try_send(request).is_err() {
            return;
        }
        match answer(&mut client) {
            Some(200) => drop(good.fetch_add(1, SeqCst)),
            Some(_) => {}
            None => return,
        }
    }
}

/// A tunnel, quiet or busy, that ends in one of many ways.
fn tunnel(proxy: &Proxy, dice: &mut Dice, good: &AtomicUsize) {
    let mut client = client(proxy);
    if client.try_send(handshake("/ws")).is_err() || answer(&mut client) != Some(101) {
        return;
    }
    for _ in 0..dice.below(5) {
        if client
            .try_send(support::frame(1, b"hello", Some([1, 2, 3, 4])))
            .is_err()
        {
            return;
        }
        if client.try_read_frame().is_none() {
            return;
        }
        good.fetch_add(1, SeqCst);
    }
    match dice.below(6) {
        // Long enough to be laid to rest.
        0 => std::thread::sleep(Duration::from_millis(2_500)),
        1 => drop(client.try_send("X-Panic: tunnel\r\n")),
        2 => client.reset(),
        3 => drop(client.finish()),
        4 => drop(client.try_send(vec![b'x'; 100_000])),
        _ => {}
    }
}

/// A client that does not behave.
fn vanish(proxy: &Proxy, dice: &mut Dice) {
    let mut client = client(proxy);
    let _ = client.try_send(match dice.below(9) {
        0 => "GET / HT",
        1 => "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nonly this",
        2 => "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHo",
        3 => "nonsense\r\n\r\n",
        4 => "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        5 => "GET / HTTP/1.1\r\nHost: a\r\nX-Panic: head\r\n\r\n",
        6 => "GET / HTTP/1.1\r\nHost: a\r\nX-Panic: wait\r\n\r\n",
        7 => "GET / HTTP/1.1\r\nHost: a\r\nX-Panic: data\r\n\r\n",
        _ => "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    });
    std::thread::sleep(Duration::from_millis(dice.below(30)));
    if dice.below(2) == 0 {
        client.reset();
    }
}

/// Lets all of it go on for so long. How many answers and messages came as they should.
fn load(
    proxy: &Proxy,
    servers: &mut [Server],
    stoppable: &Process,
    texts: &[String],
    span: Duration,
) -> usize {
    let (over, good) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (over, good) = (&over, &good);
    let from = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..8 {
            scope.spawn(move || {
                let mut dice = Dice(number);
                while !over.load(SeqCst) {
                    match number {
                        0..3 => requests(proxy, &mut dice, good),
                        3..6 => tunnel(proxy, &mut dice, good),
                        _ => vanish(proxy, &mut dice),
                    }
                    std::thread::sleep(Duration::from_millis(5 + dice.below(10)));
                }
            });
        }
        let _end = End(over);
        let mut dice = Dice(99);
        while from.elapsed() < span {
            let pause = || std::thread::sleep(Duration::from_millis(150));
            match dice.below(6) {
                0 => servers[0].cut(),
                1 => {
                    servers[0].stop();
                    pause();
                    servers[0].revive();
                }
                2 => {
                    stoppable.stop();
                    pause();
                    stoppable.resume();
                }
                3 => proxy.sigusr1(),
                _ => {
                    proxy.rewrite_config(&texts[dice.below(texts.len() as u64) as usize]);
                    proxy.sighup();
                    proxy.wait_for_notice("READY=1");
                }
            }
            pause();
        }
    });
    good.load(SeqCst)
}

/// Ends the load, even if its master panics.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// What has to come back.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Counts {
    /// By process: launcher and generation.
    descriptors: Vec<usize>,
    threads: usize,
    connections: u64,
    tunnels: u64,
    sessions: Vec<u64>,
}

fn counts(proxy: &Proxy) -> Option<Counts> {
    let status = proxy.status()?;
    let number = |value: &serde_json::Value| value.as_u64().unwrap();
    let pool = &status["pools"][0];
    let servers = pool["servers"].as_array().unwrap();
    let of_servers = servers
        .iter()
        .flat_map(|one| [&one["sessions"], &one["tunnels"]]);
    let processes = [proxy.id(), proxy.generation()];
    let entries = |process: u32, folder: &str| {
        std::fs::read_dir(format!("/proc/{process}/{folder}"))
            .unwrap()
            .count()
    };
    Some(Counts {
        descriptors: processes.map(|process| entries(process, "fd")).to_vec(),
        threads: entries(processes[1], "task"),
        connections: number(&status["connections"]),
        tunnels: number(&status["tunnels"]),
        sessions: [&pool["sessions"], &pool["tunnels"]]
            .into_iter()
            .chain(of_servers)
            .map(number)
            .collect(),
    })
}

fn a_mixed_load_leaves_nothing_behind(on: Driver) {
    let mut servers = [Server::websocket("one"), moody()];
    let stoppable = Process::start(128);
    let setup = |weight: u32| {
        Setup::new(on)
            .process("workers = 2")
            .environment("RINGBOLT_TEST_PANIC", "X-Panic")
            .timeouts("connect = \"500ms\"\nserver = \"1s\"\nclient = \"2s\"\ntunnel = \"8s\"\nidle_link = \"1s\"\nkeep_alive = \"2s\"\nrequest_head = \"2s\"")
            .log("target = \"file:{folder}/log\"")
            .sticky("cookie = \"SERVERID\"")
            .server_with(&servers[0], &format!("weight = {weight}\ncheck = {{ interval = \"200ms\", timeout = \"300ms\", rise = 1, fall = 1 }}"))
            .server(&servers[1])
            .server_at("stoppable", stoppable.address(), "")
    };
    let setups = [setup(1), setup(3)];
    let texts = setups.each_ref().map(Setup::text);
    let proxy = setups[0].start();
    let span = length();

    // What is opened or allocated once is counted at the start.
    load(
        &proxy,
        &mut servers,
        &stoppable,
        &texts,
        span.min(Duration::from_secs(20)) / 2,
    );
    let settled = |wanted: Option<&Counts>| {
        proxy.rewrite_config(&texts[0]);
        proxy.sighup();
        let quiet = |counts: &Counts| {
            let own = counts.connections == 0 && counts.sessions.iter().all(|count| *count == 0);
            own && wanted.is_none_or(|wanted| counts == wanted)
        };
        let mut last = None;
        eventually(
            &format!("the counts are what they were: {wanted:?}"),
            || {
                let now = counts(&proxy).filter(quiet);
                let settled = now.is_some() && now == last;
                last.clone_from(&now);
                // Kept links live for a second.
                std::thread::sleep(Duration::from_millis(1_300));
                now.filter(|_| settled)
            },
        )
    };
    let before = settled(None);
    let memory = proxy.usage().resident;

    let good = load(&proxy, &mut servers, &stoppable, &texts, span);
    let busy = proxy.usage().resident;
    assert_eq!(settled(Some(&before)), before);
    assert!(good as u64 > 20 * span.as_secs(), "only {good} went well");
    let status = proxy.status().unwrap();
    assert!(status["panics"].as_u64().unwrap() > 0 && status["reloads"].as_u64().unwrap() > 0);
    assert_eq!(status["restarts"], 0);
    for server in &servers {
        assert_eventually!(server.open() == 0, "{} is let go", server.name());
    }
    let after = proxy.usage().resident;
    println!(
        "{on:?}: {good} answers and messages, {} panics, {} reloads; resident {memory} B before, {busy} B at the end of the load, {after} B after; {before:?}",
        status["panics"], status["reloads"]
    );
    assert!(
        after < memory + MARGIN,
        "resident {memory} B before, {after} B after"
    );
}

/// What the allocator may keep of the load's peaks.
const MARGIN: u64 = 4 << 20;
