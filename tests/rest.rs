//! Tunnels at rest: after two quiet seconds a tunnel has no task any more, and nobody may notice.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::{Conn, Driver, Proxy, Server, Setup, assert_in_time, in_time};

on_both_drivers!(
    a_rested_tunnel_goes_on_where_it_was,
    a_rested_tunnel_keeps_what_its_line_says,
    a_rested_tunnel_ends_with_its_client,
    a_rested_tunnel_ends_with_its_server,
    a_rested_tunnel_has_its_timeout,
    a_rested_tunnel_outlives_a_reload,
    a_stopping_process_ends_rested_tunnels,
    rested_tunnels_hold_two_descriptors_each,
    tunnels_that_rest_all_at_once_stay_within_the_descriptors,
);

fn rested(proxy: &Proxy) -> Conn {
    let mut client = proxy.client();
    client.upgrade("/chat");
    let from = Instant::now();
    client.echoes("before");
    proxy.wait_for_resting(1);
    assert_in_time(from, Duration::from_secs(2));
    client
}

fn ended(proxy: &Proxy) -> String {
    support::eventually("the tunnel's end", || {
        let mut lines = proxy.lines().into_iter();
        lines.find(|line| line.contains("ws=") && !line.contains("ws=open"))
    })
}

fn a_rested_tunnel_goes_on_where_it_was(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = rested(&proxy);
    client.echoes("after");
    assert_eq!(proxy.resting(), 0);
    proxy.wait_for_resting(1);
    client.echoes("and after that");
    client.finish();
    client.expect_closed();
    // Three messages of 6, 5 and 14 bytes; a client's frames have four bytes of mask more.
    assert!(ended(&proxy).ends_with("ws=43/31/3/3"), "{}", ended(&proxy));
    assert_eq!(server.accepted(), 1);
}

fn a_rested_tunnel_keeps_what_its_line_says(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Setup::new(on)
        .server(&server)
        .listener("capture_request = [{ header = \"X-None\" }, { header = \"Host\" }]")
        .listener("capture_response = [{ header = \"Upgrade\" }]")
        .start();
    drop(rested(&proxy));
    for line in proxy.access_lines("GET /chat", 2) {
        assert_eq!(
            line.captures,
            ["{|example.com}", "{websocket}"],
            "{}",
            line.line
        );
        assert_eq!(line.request, "GET /chat HTTP/1.1");
    }
}

fn a_rested_tunnel_ends_with_its_client(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Proxy::before(on, &[&server]);
    rested(&proxy).reset();
    assert_eventually!(server.open() == 0);
    assert!(ended(&proxy).contains(" CD"), "{}", ended(&proxy));
}

fn a_rested_tunnel_ends_with_its_server(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = rested(&proxy);
    server.cut();
    client.expect_closed();
}

fn a_rested_tunnel_has_its_timeout(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Setup::new(on)
        .server(&server)
        .timeouts("tunnel = \"4s\"")
        .start();
    let mut client = proxy.client();
    client.upgrade("/idle");
    in_time(Duration::from_secs(4), || {
        client.echoes("hello");
        proxy.wait_for_resting(1);
        client.expect_closed();
    });
    assert!(ended(&proxy).contains(" cD"), "{}", ended(&proxy));
}

fn a_rested_tunnel_outlives_a_reload(on: Driver) {
    let server = Server::websocket("one");
    let setup = Setup::new(on).server(&server);
    let proxy = setup.start();
    let mut client = rested(&proxy);
    proxy.sighup();
    proxy.wait_for_notice("RELOADING=1");
    assert_eq!(proxy.resting(), 1);
    client.echoes("still there");
}

fn a_stopping_process_ends_rested_tunnels(on: Driver) {
    let server = Server::websocket("one");
    let mut proxy = Setup::new(on)
        .server(&server)
        .process("drain_timeout = \"500ms\"")
        .start();
    let mut client = rested(&proxy);
    proxy.sigterm();
    client.expect_closed();
    assert!(proxy.wait_for_exit().success());
    assert!(ended(&proxy).contains(" KD"), "{}", ended(&proxy));
}

fn rested_tunnels_hold_two_descriptors_each(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Proxy::before(on, &[&server]);
    let before = proxy.settled_descriptors();
    let mut clients: Vec<_> = (0..20).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.upgrade("/");
        client.echoes("hello");
    }
    proxy.wait_for_resting(clients.len());
    proxy.wait_for_descriptors(before + 40);
    for client in &mut clients {
        client.echoes("awake");
    }
    assert_eq!(proxy.resting(), 0);
    proxy.wait_for_descriptors(before + 40);
    drop(clients);
    proxy.wait_for_descriptors(before);
}

/// A process that was kept from running finds all its tunnels quiet at once. Laying one to rest takes its two descriptors twice
/// for a moment, and the process may open no more than its configuration needs.
fn tunnels_that_rest_all_at_once_stay_within_the_descriptors(on: Driver) {
    const MANY: usize = 500;
    let server = Server::websocket("one");
    let proxy = Setup::new(on)
        .server(&server)
        .process(&format!("max_connections = {MANY}"))
        .limits("idle_links = 1")
        .start();
    let mut clients: Vec<_> = (0..MANY).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.upgrade("/");
        client.echoes("hello");
    }
    proxy.strike(Signal::STOP);
    // Stopped, it becomes no quieter: this is the time that passes.
    std::thread::sleep(Duration::from_millis(2_200));
    proxy.strike(Signal::CONT);
    proxy.wait_for_resting(MANY);
    for client in &mut clients {
        client.echoes("still there");
    }
}
