//! Twenty thousand clients come back at once when their servers do: no server is given more tunnels than its rate, and all
//! are let in by the server that their cookie names.
//!
//! They come in rounds that fit the descriptors of a process. In each, both servers die, return, and are found up
//! again; then every client of the round knocks in the same moment, and again as its answer's `Retry-After` says, with some
//! jitter of its own, until it has a tunnel, which it keeps. The servers write down when each handshake's
//! connection reached them; every sliding second of that is held to the rate and the burst.
//!
//! What arrived is drawn (a character for each tenth of a second), printed, and left in the target folder.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, Shutdown, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};
use support::{Driver, KEY, Proxy, Setup, accept_of, handshake_with};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;

/// What this is about: in CI too, on io_uring.
#[test]
fn twenty_thousand_clients_reconnect_at_once() {
    let clients = std::env::var("RECONNECT_CLIENTS").map_or(20_000, |text| text.parse().unwrap());
    storm(Driver::Ring, clients, "ring");
}

/// A round of it on the other driver.
#[test]
fn clients_reconnect_at_once_on_epoll() {
    storm(Driver::Epoll, 3_000, "epoll");
}

/// New tunnels per second to each of two servers.
const RATE: usize = 600;
const BURST: usize = 60;
/// Clients that come at once.
const ROUND: usize = 5_000;
const NAMES: [&str; 2] = ["one", "two"];

fn storm(on: Driver, clients: usize, name: &str) {
    // One storm at a time: the other would only make this machine's pauses longer.
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    support::raise_own_limit();
    let mut apps = NAMES.map(App::new);
    let setup = apps.iter().fold(Setup::new(on), |setup, app| {
        let lines = "check = { interval = \"50ms\", rise = 1, fall = 1 }";
        let lines = format!("cookie = \"{}\"\n{lines}", app.name);
        setup.server_at(app.name, &app.address.to_string(), &lines)
    });
    let rate = format!("tunnel_rate = {{ per_second = {RATE}, burst = {BURST} }}");
    let proxy = setup
        .process("workers = 2\nmax_connections = 6000")
        .listener("backlog = 4096")
        .log("level = \"notice\"")
        .sticky("cookie = \"S\"")
        .pool(&rate)
        .start();
    let lags = Lags::measure();
    let mut report = String::new();
    let mut left = clients;
    while left > 0 {
        let count = left.min(ROUND);
        left -= count;
        for app in &mut apps {
            app.stop();
        }
        wait_for(&proxy, "down");
        for app in &mut apps {
            app.start();
        }
        wait_for(&proxy, "up");
        let round = Round::run(&proxy, count);
        let curve = round.curve(&apps, clients - left - count);
        print!("{curve}");
        report.push_str(&curve);
        round.check(&apps, &lags, &curve);
    }
    let path = format!("{}/reconnect-{name}.txt", env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(&path, &report).unwrap();
    println!("also in {path}");
    let status = proxy.status().unwrap();
    let pool = &status["pools"][0];
    // Nobody was moved, and nobody met a fault.
    assert_eq!(status["panics"], 0);
    for (server, app) in pool["servers"].as_array().unwrap().iter().zip(&apps) {
        let arrived = app.arrivals.lock().unwrap().len();
        assert_eq!(server["responses"][0], arrived);
        assert_eq!(
            (&server["redispatches"], &server["connect_errors"]),
            (&0.into(), &0.into())
        );
    }
}

fn wait_for(proxy: &Proxy, state: &str) {
    let are = || {
        let status = proxy.status()?;
        let servers = status["pools"][0]["servers"].as_array()?.clone();
        servers
            .iter()
            .all(|server| server["state"] == state)
            .then_some(())
    };
    support::eventually(&format!("both servers are {state}"), are);
}

/// A WebSocket application that can die and return.
struct App {
    name: &'static str,
    address: SocketAddr,
    /// When each connection was accepted on which a handshake came, since the beginning.
    arrivals: Arc<Mutex<Vec<Instant>>>,
    life: Option<(Socket, [JoinHandle<()>; 2])>,
}

impl App {
    fn new(name: &'static str) -> Self {
        let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        Self {
            name,
            address: free.local_addr().unwrap(),
            arrivals: Arc::default(),
            life: None,
        }
    }

    /// With a listener that has room for everybody. One thread does nothing but accept, so that the moments are
    /// true: the proxy connects as soon as it has decided, and the kernel wakes who waits. Another one serves.
    fn start(&mut self) {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.set_reuse_address(true).unwrap();
        listener.bind(&self.address.into()).unwrap();
        listener.listen(4_096).unwrap();
        let (accepted, mut arriving) = mpsc::unbounded_channel();
        let door = listener.try_clone().unwrap();
        let accepting = std::thread::spawn(move || {
            while let Ok((socket, _)) = door.accept() {
                let _ = accepted.send((Instant::now(), socket));
            }
        });
        let (name, arrivals) = (self.name, self.arrivals.clone());
        let serving = std::thread::spawn(move || {
            // Every connection ends with the runtime.
            runtime().block_on(async move {
                while let Some((at, socket)) = arriving.recv().await {
                    socket.set_nonblocking(true).unwrap();
                    let stream = TcpStream::from_std(socket.into()).unwrap();
                    tokio::spawn(app(stream, at, name, arrivals.clone()));
                }
            });
        });
        self.life = Some((listener, [accepting, serving]));
    }

    fn stop(&mut self) {
        if let Some((listener, threads)) = self.life.take() {
            listener.shutdown(Shutdown::Both).unwrap();
            drop(listener);
            for thread in threads {
                thread.join().unwrap();
            }
        }
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Some((listener, _)) = self.life.take() {
            let _ = listener.shutdown(Shutdown::Both);
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// One connection, accepted at this moment: a handshake, and then whatever comes. Checks send nothing, and do not count.
async fn app(mut stream: TcpStream, at: Instant, name: &str, arrivals: Arc<Mutex<Vec<Instant>>>) {
    let Some(_head) = head(&mut stream).await else {
        return;
    };
    arrivals.lock().unwrap().push(at);
    let accept = accept_of(KEY);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\nX-Server: {name}\r\n\r\n"
    );
    let _ = stream.write_all(answer.as_bytes()).await;
    let mut room = [0; 64];
    while stream.read(&mut room).await.is_ok_and(|count| count > 0) {}
}

/// A whole head; `None` when the stream ends before.
async fn head(stream: &mut TcpStream) -> Option<String> {
    let mut held = Vec::new();
    let mut room = [0; 1_024];
    while !held.ends_with(b"\r\n\r\n") && memchr::memmem::find(&held, b"\r\n\r\n").is_none() {
        match stream.read(&mut room).await {
            Ok(count) if count > 0 => held.extend_from_slice(&room[..count]),
            Ok(_) | Err(_) => return None,
        }
    }
    Some(String::from_utf8_lossy(&held).into_owned())
}

/// What a round of clients went through.
struct Round {
    begin: Instant,
    end: Instant,
    /// When somebody knocked.
    knocks: Vec<Instant>,
    /// How many clients needed so many attempts.
    attempts: BTreeMap<usize, usize>,
    /// The longest wait that anybody was told, in seconds.
    longest: u64,
}

impl Round {
    fn run(proxy: &Proxy, count: usize) -> Self {
        let target = proxy.address();
        let runtime = runtime();
        let begin = Instant::now();
        let served = Arc::new(AtomicUsize::new(0));
        let clients = async {
            let clients: Vec<_> = (0..count)
                .map(|number| tokio::spawn(client(target, number, served.clone())))
                .collect();
            let mut all = Vec::with_capacity(count);
            for client in clients {
                all.push(client.await.unwrap());
            }
            all
        };
        let waited = runtime.block_on(async { tokio::time::timeout(LONG, clients).await });
        let served = served.load(Ordering::SeqCst);
        let all = waited.unwrap_or_else(|_| panic!("{served} of {count} were let in"));
        let end = Instant::now();
        let mut knocks: Vec<_> = all
            .iter()
            .flat_map(|client| client.knocks.clone())
            .collect();
        knocks.sort_unstable();
        let mut attempts = BTreeMap::new();
        for client in &all {
            *attempts.entry(client.knocks.len()).or_default() += 1;
        }
        let longest = all.iter().map(|client| client.told).max().unwrap();
        Self {
            begin,
            end,
            knocks,
            attempts,
            longest,
        }
        // Their tunnels end with the runtime; the servers are about to die anyway.
    }

    fn arrivals(&self, app: &App) -> Vec<Instant> {
        let all = app.arrivals.lock().unwrap();
        let within = |at: &&Instant| (self.begin..=self.end).contains(*at);
        let mut arrivals: Vec<_> = all.iter().filter(within).copied().collect();
        arrivals.sort_unstable();
        arrivals
    }

    /// Nobody is missing, and no sliding second had more than the rate and the burst, and what this machine's pauses may
    /// have piled up: a handshake is written down late when a worker or whoever accepts had to wait for a processor.
    fn check(&self, apps: &[App; 2], lags: &Lags, curve: &str) {
        let arrivals: Vec<_> = apps.iter().map(|app| self.arrivals(app)).collect();
        let clients: usize = self.attempts.values().sum();
        assert_eq!(arrivals.iter().map(Vec::len).sum::<usize>(), clients);
        for (app, arrivals) in apps.iter().zip(&arrivals) {
            let (most, until) = fullest_second(arrivals);
            let lag = lags.longest(until) + GRAIN + HELD;
            let allowed = RATE + BURST + (RATE as f64 * lag.as_secs_f64()) as usize;
            assert!(
                most <= allowed,
                "{}: {most} in a second, {allowed} allowed\n{curve}",
                app.name
            );
            println!(
                "{}: the fullest second had {most}, rate {RATE} and burst {BURST}",
                app.name
            );
        }
        assert!(self.longest <= 60);
        // A place in line: hardly any are told in vain.
        let often = self
            .attempts
            .range(3..)
            .map(|(_, clients)| clients)
            .sum::<usize>();
        assert!(
            often * 10 <= clients,
            "{often} knocked more than twice\n{curve}"
        );
    }

    fn curve(&self, apps: &[App; 2], first: usize) -> String {
        let clients: usize = self.attempts.values().sum();
        let mut text = String::new();
        let _ = writeln!(
            text,
            "clients {first} to {}: all served after {:.1} s, told to wait {} s at most, attempts {:?}",
            first + clients - 1,
            (self.end - self.begin).as_secs_f64(),
            self.longest,
            self.attempts
        );
        let _ = writeln!(text, "  at the door |{}|", self.chart(&self.knocks));
        for app in apps {
            let _ = writeln!(
                text,
                "  server {:>4} |{}|",
                app.name,
                self.chart(&self.arrivals(app))
            );
        }
        text
    }

    /// A character for each 100 ms: the full block is twice what the rate gives in that time, or more.
    fn chart(&self, moments: &[Instant]) -> String {
        const BLOCKS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
        let tenths = (self.end - self.begin).as_millis() as usize / 100 + 1;
        let mut counts = vec![0; tenths];
        for moment in moments {
            counts[(*moment - self.begin).as_millis() as usize / 100] += 1;
        }
        let block = |count: &usize| BLOCKS[(count * 4).div_ceil(RATE / 10).min(8)];
        counts.iter().map(block).collect()
    }
}

/// The most in any second, and when that one ended.
fn fullest_second(moments: &[Instant]) -> (usize, Instant) {
    let mut first = 0;
    let within = moments.iter().enumerate().map(|(last, until)| {
        while *until - moments[first] >= Duration::from_secs(1) {
            first += 1;
        }
        (last + 1 - first, *until)
    });
    within.max().unwrap()
}

/// A handshake that is held for its token goes on at a step of the wheel, up to two steps late.
const HELD: Duration = Duration::from_millis(200);
/// The milliseconds of clocks, a connection that is set up, a thread that wakes.
const GRAIN: Duration = Duration::from_millis(20);
/// How long a round may take at most.
const LONG: Duration = Duration::from_secs(90);

/// A client's way in.
struct Client {
    knocks: Vec<Instant>,
    /// Seconds, the most.
    told: u64,
    /// Kept open.
    _tunnel: TcpStream,
}

async fn client(target: SocketAddr, number: usize, served: Arc<AtomicUsize>) -> Client {
    let name = NAMES[number % 2];
    let request = handshake_with("/", &format!("Cookie: S={name}\r\n"));
    let mut dice = Dice::new(number as u64);
    let (mut knocks, mut told) = (Vec::new(), 0);
    loop {
        knocks.push(Instant::now());
        let Some((answer, stream)) = knock(target, number, &request).await else {
            // Not even an answer: as any client, a moment later.
            tokio::time::sleep(dice.within(1_000)).await;
            continue;
        };
        if answer.starts_with("HTTP/1.1 101 ") {
            assert!(
                answer.contains(&format!("X-Server: {name}\r\n")),
                "{answer}"
            );
            served.fetch_add(1, Ordering::SeqCst);
            return Client {
                knocks,
                told,
                _tunnel: stream,
            };
        }
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        let (_, rest) = answer
            .split_once("Retry-After: ")
            .expect("when to come again");
        let seconds: u64 = rest.split("\r\n").next().unwrap().parse().unwrap();
        told = told.max(seconds);
        drop(stream);
        tokio::time::sleep(Duration::from_secs(seconds) + dice.within(1_000)).await;
    }
}

/// From one of several addresses, so that ports do not run out.
async fn knock(target: SocketAddr, number: usize, request: &str) -> Option<(String, TcpStream)> {
    let socket = TcpSocket::new_v4().ok()?;
    let own = Ipv4Addr::new(127, 0, 0, 2 + (number % 16) as u8);
    socket.bind((own, 0).into()).ok()?;
    let mut stream = socket.connect(target).await.ok()?;
    stream.write_all(request.as_bytes()).await.ok()?;
    let answer = head(&mut stream).await?;
    Some((answer, stream))
}

/// Numbers that look random and come again with the same seed (xorshift64*).
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn within(&mut self, milliseconds: u64) -> Duration {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % milliseconds;
        Duration::from_millis(drawn)
    }
}

/// How long a thread that wanted to run had to wait, again and again.
struct Lags(Arc<Mutex<Vec<(Instant, Duration)>>>);

impl Lags {
    fn measure() -> Self {
        let lags = Arc::<Mutex<Vec<_>>>::default();
        let own = Arc::downgrade(&lags);
        std::thread::spawn(move || {
            const STEP: Duration = Duration::from_millis(2);
            let mut before = Instant::now();
            while let Some(lags) = own.upgrade() {
                std::thread::sleep(STEP);
                let now = Instant::now();
                lags.lock()
                    .unwrap()
                    .push((now, (now - before).saturating_sub(STEP)));
                before = now;
            }
        });
        Self(lags)
    }

    /// In the two seconds before this moment; a worker and whoever accepts may both have waited as long.
    fn longest(&self, until: Instant) -> Duration {
        let lags = self.0.lock().unwrap();
        let near = lags.iter().filter(|(at, _)| {
            *at <= until + 2 * GRAIN
                && until.saturating_duration_since(*at) < Duration::from_secs(2)
        });
        near.map(|(_, lag)| *lag).max().unwrap_or_default() * 2
    }
}
