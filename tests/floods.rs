//! Floods: peers that are slow, silent, endless or deaf, as many as there is room for. Well-behaved clients beside them are
//! served within a second, memory stays below the bound that `ringbolt check` prints, and afterwards there is
//! nothing left of them.
//!
//! What each flood does is in benches/load/flood.rs, which `scripts/floods` uses as well.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

#[path = "../benches/load/flood.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    reason = "shared with the load program"
)]
mod flood;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use flood::{Crowd, Kind};
use support::{Conn, Driver, Port, Proxy, Server, Setup, eventually, ringbolt};

on_both_drivers!(
    connections_that_send_nothing_keep_nobody_out,
    slow_heads_have_their_time_and_no_more,
    endless_heads_are_held_up_to_their_bound,
    slow_bodies_are_held_by_nobody,
    slow_readers_of_a_large_response_hold_what_one_receive_gave,
    heads_of_ten_thousand_fields_are_refused,
    targets_of_a_mebibyte_are_refused,
    endless_chunk_extensions_are_refused,
    endless_trailers_are_refused,
    endless_interim_responses_are_cut,
    a_head_of_a_gibibyte_is_cut,
    ten_thousand_pipelined_requests_wait_for_their_reader,
    tunnels_whose_client_stops_reading_hold_what_one_receive_gave,
    tunnels_whose_server_stops_reading_hold_what_one_receive_gave,
    connections_that_hold_all_they_can_stay_below_the_bound_and_come_near_it,
);

/// Client connections that the proxy takes.
const ROOM: usize = 500;
/// Those of a flood that keeps its place: some room is left.
const MANY: usize = 450;
/// Those of a flood that is refused and begins anew.
const FEW: usize = 30;

/// What one receive leaves with a receiver that stopped reading, the task, and its share of the worker's allowance.
const LEFTOVER: u64 = 36 << 10;

/// A proxy in a flood.
struct Scene {
    proxy: Proxy,
    bound: u64,
    at_rest: usize,
    flooders: Port,
    _good: Server,
}

/// A flood and the well-behaved clients beside it.
struct Running<'a> {
    scene: &'a Scene,
    clients: Crowd,
}

impl Scene {
    fn new(on: Driver, timeouts: &str) -> Self {
        let flooders = Port::v4();
        let good = Server::named_script("good", |conn| {
            let answer = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{}",
                ".".repeat(1000)
            );
            while conn.read_request().is_some() && conn.try_send(&answer).is_ok() {}
        });
        let proxy = Setup::new(on)
            .process(&format!("max_connections = {ROOM}"))
            .timeouts(&format!("idle_link = \"1s\"\n{timeouts}"))
            .server(&good)
            .more(&format!(
                "[[route]]\npath = \"/flood\"\npool = \"flood\"\n[[pool.flood.server]]\nname = \"f\"\naddress = \"{}\"\n",
                flooders.address
            ))
            .start();
        let said = ringbolt()
            .args(["check", "--json"])
            .arg(proxy.folder().join("config.toml"))
            .output()
            .unwrap();
        let said: serde_json::Value = serde_json::from_slice(&said.stdout).unwrap();
        let bound = said["memory"]["bytes"].as_u64().unwrap();
        assert_eq!(proxy.get("/good").status(), 200);
        let at_rest = proxy.settled_descriptors();
        Self {
            proxy,
            bound,
            at_rest,
            flooders,
            _good: good,
        }
    }

    /// Floods until `enough` of it was seen, with well-behaved clients beside it.
    fn flood(&self, kind: Kind, count: usize, enough: impl FnOnce(&Running<'_>)) {
        let _share = Share::take(match count {
            _ if kind == Kind::Everything => MACHINE,
            ..=100 if kind != Kind::Pipelining => 1,
            _ => MACHINE / 2,
        });
        let servers = Crowd::servers(self.flooders.listen(4096), kind.servers());
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let good = scope.spawn(|| self.behave_well(&stop));
            let running = Running {
                scene: self,
                clients: Crowd::clients(self.proxy.address(), count, kind.clients()),
            };
            let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| enough(&running)));
            stop.store(true, Relaxed);
            let (requests, slowest) = good.join().unwrap();
            if let Err(panic) = seen {
                std::panic::resume_unwind(panic);
            }
            println!("{kind:?}: {requests} requests beside it, the slowest took {slowest:?}");
            assert!(
                slowest < Duration::from_secs(1),
                "a request beside the flood took {slowest:?}"
            );
            let statuses = running.clients.statuses();
            if let Some(status) = kind.status() {
                assert!(statuses.keys().eq([&status]), "{statuses:?}");
            } else {
                assert!(
                    statuses.keys().all(|status| [101, 200].contains(status)),
                    "{statuses:?}"
                );
            }
        });
        drop(servers);
        let peak = self.proxy.usage().peak;
        println!(
            "{kind:?}: peak {} KiB of {} KiB",
            peak >> 10,
            self.bound >> 10
        );
        assert!(
            peak < self.bound,
            "{peak} bytes were held, {} are the bound",
            self.bound
        );
        eventually("no connection is left", || {
            (self.connections() == 0).then_some(())
        });
        self.proxy.wait_for_descriptors(self.at_rest);
    }

    /// Asks for something, on a kept connection and on a fresh one, until told to stop. How often, and the longest time.
    fn behave_well(&self, stop: &AtomicBool) -> (usize, Duration) {
        let (mut requests, mut slowest) = (0, Duration::ZERO);
        let mut kept = self.proxy.client();
        while !stop.load(Relaxed) || requests < 10 {
            let began = Instant::now();
            assert_eq!(kept.get("/good").status(), 200);
            slowest = slowest.max(began.elapsed());
            let began = Instant::now();
            assert_eq!(self.proxy.get("/good").status(), 200);
            slowest = slowest.max(began.elapsed());
            requests += 2;
            std::thread::sleep(Duration::from_millis(20));
        }
        (requests, slowest)
    }

    fn connections(&self) -> u64 {
        let body = Conn::connect_unix(&self.proxy.control_socket()).get("/v1/status");
        let status: serde_json::Value = serde_json::from_str(&body.text()).unwrap();
        status["connections"].as_u64().unwrap()
    }

    fn resident(&self) -> u64 {
        self.proxy.usage().resident
    }
}

/// A share of the machine, so that it is not other floods that well-behaved clients wait for: in a debug build 450
/// newcomers within a second are work.
struct Share(usize);

/// All of it.
const MACHINE: usize = 4;

static TAKEN: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

impl Share {
    fn take(size: usize) -> Self {
        let taken = TAKEN.0.lock().unwrap();
        let free = |taken: &mut usize| *taken + size > MACHINE;
        *TAKEN.1.wait_while(taken, free).unwrap() += size;
        Self(size)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        *TAKEN.0.lock().unwrap() -= self.0;
        TAKEN.1.notify_all();
    }
}

impl Running<'_> {
    /// Waits until the proxy has most of so many connections, and then until no more memory is taken.
    fn settle(&self, connections: usize) {
        eventually("the flood is there", || {
            (self.scene.connections() >= connections as u64 * 2 / 3).then_some(())
        });
        let mut last = (0, 0);
        eventually("the flood settles", || {
            std::thread::sleep(Duration::from_millis(150));
            let now = self.scene.resident() >> 18;
            last = if now == last.0 {
                (now, last.1 + 1)
            } else {
                (now, 0)
            };
            (last.1 == 3).then_some(())
        });
    }

    /// Waits until so many of its connections have ended.
    fn ends(&self, count: usize) {
        eventually("connections of the flood end", || {
            (self.clients.ended() >= count).then_some(())
        });
    }
}

fn connections_that_send_nothing_keep_nobody_out(on: Driver) {
    let scene = Scene::new(on, "");
    scene.flood(Kind::Silent, 2_000, |running| {
        running.ends(2_000 - ROOM);
        assert!(scene.connections() <= ROOM as u64);
        running.settle(ROOM);
    });
}

fn slow_heads_have_their_time_and_no_more(on: Driver) {
    let scene = Scene::new(on, "request_head = \"1s\"");
    scene.flood(Kind::SlowHeads, MANY, |running| running.ends(MANY));
}

fn endless_heads_are_held_up_to_their_bound(on: Driver) {
    let scene = Scene::new(on, "request_head = \"2s\"");
    let before = scene.resident();
    scene.flood(Kind::EndlessHeads, MANY, |running| {
        eventually("heads are held", || {
            (scene.resident() > before + ((MANY as u64 * 16) << 10)).then_some(())
        });
        running.ends(MANY);
    });
}

fn slow_bodies_are_held_by_nobody(on: Driver) {
    let scene = Scene::new(on, "client = \"1s\"");
    scene.flood(Kind::SlowBodies, MANY, |running| {
        running.settle(MANY);
        let each = (scene.resident() / MANY as u64) >> 10;
        assert!(each < 160, "{each} KiB each, the process included");
        assert_eq!(
            running.clients.ended(),
            0,
            "they are slow, but they do send"
        );
    });
}

fn slow_readers_of_a_large_response_hold_what_one_receive_gave(on: Driver) {
    let scene = Scene::new(on, "client = \"3s\"");
    let before = scene.proxy.usage().peak;
    scene.flood(Kind::SlowReaders, MANY, |running| {
        running.settle(MANY);
        let each = (scene.proxy.usage().peak - before) / MANY as u64;
        assert!(each < LEFTOVER, "{each} bytes are held for each");
        eventually("they are cut", || (scene.connections() < 50).then_some(()));
    });
}

fn refused(on: Driver, kind: Kind) {
    let scene = Scene::new(on, "");
    scene.flood(kind, FEW, |running| running.ends(5 * FEW));
}

fn heads_of_ten_thousand_fields_are_refused(on: Driver) {
    refused(on, Kind::ManyFields);
}

fn targets_of_a_mebibyte_are_refused(on: Driver) {
    refused(on, Kind::LongTargets);
}

fn endless_chunk_extensions_are_refused(on: Driver) {
    refused(on, Kind::ChunkExtensions);
}

fn endless_trailers_are_refused(on: Driver) {
    refused(on, Kind::Trailers);
}

fn endless_interim_responses_are_cut(on: Driver) {
    let scene = Scene::new(on, "");
    scene.flood(Kind::Interims, FEW, |running| running.ends(5 * FEW));
    let line = scene.proxy.access_line("/flood");
    assert_eq!((line.status, &line.termination[..2]), (502, "PH"));
}

fn a_head_of_a_gibibyte_is_cut(on: Driver) {
    refused(on, Kind::HugeHeads);
}

fn ten_thousand_pipelined_requests_wait_for_their_reader(on: Driver) {
    let scene = Scene::new(on, "client = \"3s\"");
    scene.flood(Kind::Pipelining, 100, |running| {
        running.settle(100);
        eventually("they are cut", || (scene.connections() < 50).then_some(()));
    });
}

fn deaf_tunnels(on: Driver, kind: Kind) {
    let scene = Scene::new(on, "tunnel = \"3s\"");
    let before = scene.proxy.usage().peak;
    scene.flood(kind, MANY, |running| {
        running.settle(MANY);
        let each = (scene.proxy.usage().peak - before) / MANY as u64;
        assert!(each < LEFTOVER, "{each} bytes are held for each");
        eventually("they are ended", || {
            (scene.connections() < 50).then_some(())
        });
    });
}

fn tunnels_whose_client_stops_reading_hold_what_one_receive_gave(on: Driver) {
    deaf_tunnels(on, Kind::DeafClients);
}

fn tunnels_whose_server_stops_reading_hold_what_one_receive_gave(on: Driver) {
    deaf_tunnels(on, Kind::DeafServers);
}

fn connections_that_hold_all_they_can_stay_below_the_bound_and_come_near_it(on: Driver) {
    let scene = Scene::new(on, "");
    scene.flood(Kind::Everything, MANY, |running| running.settle(MANY));
    let (peak, bound) = (scene.proxy.usage().peak, scene.bound);
    assert!(
        peak >= bound / 3,
        "a bound of {bound} that nobody can reach: the peak was {peak}"
    );
}
