//! Servers that hold back their answers, and clients that wait for them.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex};

use super::{Conn, Message, Proxy, Server, Setup, accept_of, eventually};

/// Servers that answer when they are told to, and count who is with them.
#[derive(Default)]
pub struct Gate {
    state: Mutex<State>,
    bell: Condvar,
    inside: AtomicUsize,
    most: AtomicUsize,
}

#[derive(Default)]
struct State {
    permits: usize,
    arrived: Vec<String>,
}

impl Gate {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A server that lets each request go on one permit, and keeps tunnels until they end.
    pub fn server(self: &Arc<Self>, name: &str) -> Server {
        let (gate, own) = (self.clone(), name.to_owned());
        Server::named_script(name, move |conn| {
            while let Some(request) = conn.read_request() {
                gate.enter(&request);
                if request.has("Upgrade") {
                    gate.keep_tunnel(conn, &request);
                    return;
                }
                gate.wait_for_permit();
                gate.inside.fetch_sub(1, SeqCst);
                let length = own.len();
                let answer = format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nX-Server: {own}\r\n\r\n{own}"
                );
                if conn.try_send(answer).is_err() {
                    return;
                }
            }
        })
    }

    pub fn enter(&self, request: &Message) {
        let now = self.inside.fetch_add(1, SeqCst) + 1;
        self.most.fetch_max(now, SeqCst);
        let target = request.target().to_owned();
        self.state.lock().unwrap().arrived.push(target);
    }

    fn keep_tunnel(&self, conn: &mut Conn, request: &Message) {
        let accept = accept_of(request.field("Sec-WebSocket-Key").unwrap());
        let _ = conn.try_send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        ));
        conn.wait_for_ever();
        while conn.try_read_frame().is_some() {}
        self.inside.fetch_sub(1, SeqCst);
    }

    pub fn wait_for_permit(&self) {
        let mut state = self.state.lock().unwrap();
        while state.permits == 0 {
            state = self.bell.wait(state).unwrap();
        }
        state.permits -= 1;
    }

    /// Lets so many requests be answered.
    pub fn open(&self, count: usize) {
        self.state.lock().unwrap().permits += count;
        self.bell.notify_all();
    }

    /// The most that were with them at once.
    pub fn most(&self) -> usize {
        self.most.load(SeqCst)
    }

    pub fn inside(&self) -> usize {
        self.inside.load(SeqCst)
    }

    pub fn arrived(&self) -> Vec<String> {
        self.state.lock().unwrap().arrived.clone()
    }

    pub fn wait_for(&self, count: usize) {
        assert_eventually!(self.arrived().len() == count, "{count} requests arrive");
    }
}

/// Everybody is let go at the end, so that the servers' threads end.
pub struct Opened(Arc<Gate>);

impl Drop for Opened {
    fn drop(&mut self) {
        self.0.open(1 << 20);
    }
}

pub fn gated() -> (Arc<Gate>, Opened) {
    let gate = Gate::new();
    (gate.clone(), Opened(gate))
}

pub fn asks(proxy: &Proxy, target: &str, lines: &str) -> Conn {
    let mut client = proxy.client();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
    client
}

/// How many wait: in the pool's queue, then in each server's own.
pub fn waiting(proxy: &Proxy) -> Vec<u64> {
    let status = proxy.status().unwrap_or_default();
    let pool = &status["pools"][0];
    let of = |value: &serde_json::Value| value["queue"]["waiting"].as_u64().unwrap_or(u64::MAX);
    let servers = pool["servers"].as_array().cloned().unwrap_or_default();
    std::iter::once(of(pool))
        .chain(servers.iter().map(of))
        .collect()
}

pub fn wait_until_waiting(proxy: &Proxy, wanted: &[u64]) {
    assert_eventually!(waiting(proxy) == wanted, "{wanted:?} wait");
}

pub fn reload(proxy: &Proxy, setup: &Setup) {
    let reloads = || proxy.status().unwrap_or_default()["reloads"].as_u64();
    let before = eventually("a status", reloads);
    proxy.rewrite_config(&setup.text());
    proxy.sighup();
    assert_eventually!(reloads() > Some(before));
}
