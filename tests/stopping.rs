//! From SIGTERM to the last exchange: whoever has connected by then is served, and nobody is met by a reset.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::{Conn, Driver, PATIENCE, Proxy, Server, Setup};

on_both_drivers!(
    who_waits_in_the_accept_queue_is_served,
    who_connects_meanwhile_is_served_or_refused_and_never_reset,
    a_fresh_connection_is_answered,
    a_connection_without_a_byte_is_closed_in_order,
    a_lame_duck_serves_newcomers_while_its_monitor_says_no,
    a_second_signal_ends_a_lame_duck,
    a_unix_listener_serves_who_waits,
);

const REQUEST: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn setup(on: Driver, server: &Server) -> Setup {
    let setup = Setup::new(on).server(server).process("workers = 2");
    setup.listener("monitor = \"/up\"")
}

fn draining(proxy: &Proxy) -> bool {
    proxy
        .status()
        .is_none_or(|status| status["draining"] == true)
}

fn who_waits_in_the_accept_queue_is_served(on: Driver) {
    let server = Server::named("one");
    let mut proxy = setup(on, &server).start();
    // The kernel completes handshakes; nobody accepts. More than a worker takes at a time.
    proxy.strike(Signal::STOP);
    let mut clients: Vec<Conn> = (0..300).map(|_| proxy.client()).collect();
    for client in &mut clients[..150] {
        client.send(REQUEST);
    }
    proxy.sigterm();
    proxy.wait_for_notice("STOPPING=1");
    proxy.strike(Signal::CONT);
    // Half of them only now.
    for client in &mut clients[150..] {
        client.send(REQUEST);
    }
    for client in &mut clients {
        assert_eq!(client.read_response().status(), 200);
        client.expect_closed();
    }
    drop(clients);
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
    assert_eq!(proxy.access_lines("GET / ", 300).len(), 300);
}

fn who_connects_meanwhile_is_served_or_refused_and_never_reset(on: Driver) {
    let server = Server::named("one");
    let mut proxy = setup(on, &server).start();
    let [served, refused] = [AtomicU32::new(0), AtomicU32::new(0)];
    let (address, over) = (proxy.address(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Relaxed) {
                    let Some(mut stream) = connect(address) else {
                        refused.fetch_add(1, Relaxed);
                        return;
                    };
                    stream
                        .write_all(
                            REQUEST
                                .replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")
                                .as_bytes(),
                        )
                        .unwrap();
                    let mut answer = String::new();
                    let read = stream.read_to_string(&mut answer);
                    assert!(
                        read.is_ok() && answer.starts_with("HTTP/1.1 200 "),
                        "{read:?}: {answer}"
                    );
                    served.fetch_add(1, Relaxed);
                }
            });
        }
        assert_eventually!(served.load(Relaxed) >= 50);
        proxy.sigterm();
        // All come to be refused: by then the port is closed.
        assert_eventually!(refused.load(Relaxed) == 4);
        over.store(true, Relaxed);
    });
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
}

/// `None` when there is nobody.
fn connect(address: SocketAddr) -> Option<TcpStream> {
    match TcpStream::connect_timeout(&address, PATIENCE) {
        Ok(stream) => {
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            Some(stream)
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            None
        }
    }
}

fn a_fresh_connection_is_answered(on: Driver) {
    let server = Server::named("one");
    let mut proxy = setup(on, &server)
        .process("drain_timeout = \"never\"")
        .start();
    let mut client = proxy.client();
    assert_eventually!(proxy.status().unwrap()["connections"] == 1);
    proxy.sigterm();
    assert_eventually!(draining(&proxy));
    client.send(REQUEST);
    let answer = client.read_response();
    assert_eq!(
        (answer.status(), answer.field("Connection")),
        (200, Some("close"))
    );
    client.expect_closed();
    drop(client);
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
}

fn a_connection_without_a_byte_is_closed_in_order(on: Driver) {
    let server = Server::named("one");
    let mut proxy = setup(on, &server)
        .process("drain_timeout = \"never\"")
        .start();
    let (mut fresh, mut idle) = (proxy.client(), proxy.client());
    assert_eq!(idle.get("/").status(), 200);
    assert_eventually!(proxy.status().unwrap()["connections"] == 2);
    let from = Instant::now();
    proxy.sigterm();
    idle.expect_closed();
    fresh.expect_closed();
    let lasted = from.elapsed();
    assert!(
        lasted >= Duration::from_secs(1),
        "it had no time for its request: {lasted:?}"
    );
    assert!(lasted < Duration::from_secs(3), "{lasted:?}");
    // Requests that were on their way are not answered by a reset.
    for client in [&mut idle, &mut fresh] {
        client.send(REQUEST);
        assert!(!client.is_reset());
    }
    drop((fresh, idle));
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
}

fn a_lame_duck_serves_newcomers_while_its_monitor_says_no(on: Driver) {
    const DUCK: Duration = Duration::from_secs(2);
    let server = Server::named("one");
    let mut proxy = setup(on, &server).process("lame_duck = \"2s\"").start();
    let mut kept = proxy.client();
    assert_eq!(kept.get("/up").status(), 200);
    let from = Instant::now();
    proxy.sigterm();
    assert_eventually!(proxy.get("/up").status() == 503);
    assert_eq!(proxy.get("/").status(), 200);
    let answer = kept.get("/");
    assert_eq!(
        (answer.status(), answer.field("Connection")),
        (200, None),
        "it is kept"
    );
    let status = proxy.status().unwrap();
    assert_eq!(
        (&status["lame_duck"], &status["draining"]),
        (&true.into(), &false.into())
    );
    kept.expect_closed();
    assert!(from.elapsed() >= DUCK, "{:?}", from.elapsed());
    drop(kept);
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
    let lasted = from.elapsed();
    assert!(lasted < DUCK + Duration::from_secs(3), "{lasted:?}");
    assert!(TcpStream::connect(proxy.address()).is_err());
    proxy.wait_for_line("process.lame_duck");
}

fn a_second_signal_ends_a_lame_duck(on: Driver) {
    let server = Server::named("one");
    let mut proxy = setup(on, &server).process("lame_duck = \"1m\"").start();
    let mut kept = proxy.client();
    assert_eq!(kept.get("/").status(), 200);
    let from = Instant::now();
    proxy.sigterm();
    assert_eventually!(proxy.get("/up").status() == 503);
    proxy.sigterm();
    kept.expect_closed();
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
    assert!(from.elapsed() < PATIENCE);
}

fn a_unix_listener_serves_who_waits(on: Driver) {
    let server = Server::named("one");
    let mut proxy = setup(on, &server)
        .listener("bind = \"unix:{folder}/http.sock\"")
        .start();
    let path = proxy.folder().join("http.sock");
    proxy.strike(Signal::STOP);
    let mut clients: Vec<Conn> = (0..100).map(|_| Conn::connect_unix(&path)).collect();
    proxy.sigterm();
    assert_eventually!(!path.exists(), "nobody else is let in");
    proxy.strike(Signal::CONT);
    for client in &mut clients {
        client.send(REQUEST);
        assert_eq!(client.read_response().status(), 200);
    }
    drop(clients);
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
}
