//! Memory: a body of any length needs no more than a short one, and what is idle holds nothing.
//!
//! The long bodies here are 2 GiB: what grows by a hundred-thousandth part of them would be seen.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::time::Duration;

use support::{Conn, Driver, Proxy, Server, Setup, eventually, handshake};

on_both_drivers!(
    a_long_answer_needs_no_more_memory_than_a_short_one,
    a_long_request_needs_no_more_memory_than_a_short_one,
    a_long_chunked_answer_needs_no_more_memory_than_a_short_one,
    a_reader_that_stalls_holds_the_sender_back,
    a_server_that_stalls_holds_the_client_back,
    idle_connections_cost_little,
    reloads_with_tunnels_leave_nothing_behind,
    reloads_with_long_exchanges_leave_nothing_behind,
    pipelined_requests_of_a_client_that_never_reads_are_bounded,
);

const SHORT: u64 = 10 << 10;
const LONG: u64 = 2 << 30;
/// What the peak may grow by from the short body to the long one.
const SLACK: u64 = 4 << 20;

/// A block of what bodies are made of.
fn block() -> Vec<u8> {
    vec![b'.'; 256 << 10]
}

fn send_block_by_block(conn: &mut Conn, mut count: u64) -> std::io::Result<()> {
    let block = block();
    while count > 0 {
        let now = count.min(block.len() as u64);
        conn.try_send(&block[..now as usize])?;
        count -= now;
    }
    Ok(())
}

/// Answers with a body of as many bytes as the target says; swallows what comes with a request.
fn bulk_server() -> Server {
    Server::script(|conn| {
        while let Some(head) = conn.read_request_head() {
            let uploaded: u64 = head
                .field("Content-Length")
                .map_or(0, |text| text.parse().unwrap());
            conn.skip(uploaded);
            let count: u64 = head.target()[1..].parse().unwrap();
            conn.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {count}\r\n\r\n"
            ));
            if send_block_by_block(conn, count).is_err() {
                return;
            }
        }
    })
}

fn download(client: &mut Conn, count: u64) {
    client.send(format!("GET /{count} HTTP/1.1\r\nHost: a\r\n\r\n"));
    assert_eq!(
        client.read_response_head().field("Content-Length"),
        Some(count.to_string().as_str())
    );
    client.skip(count);
}

fn upload(client: &mut Conn, count: u64) {
    client.send(format!(
        "POST /0 HTTP/1.1\r\nHost: a\r\nContent-Length: {count}\r\n\r\n"
    ));
    send_block_by_block(client, count).unwrap();
    assert_eq!(client.read_response().status(), 200);
}

/// Runs the exchange with a short body a few times and with a long one once, and compares the peaks.
fn assert_same_peak(proxy: &Proxy, mut exchange: impl FnMut(&mut Conn, u64)) {
    let mut client = proxy.client();
    for _ in 0..20 {
        exchange(&mut client, SHORT);
    }
    exchange(&mut client, 1 << 20);
    let before = proxy.usage().peak;
    exchange(&mut client, LONG);
    let grown = proxy.usage().peak.saturating_sub(before);
    assert!(
        grown < SLACK,
        "{LONG} bytes took {grown} more than a MiB did"
    );
}

fn a_long_answer_needs_no_more_memory_than_a_short_one(on: Driver) {
    let server = bulk_server();
    let proxy = Proxy::before(on, &[&server]);
    assert_same_peak(&proxy, download);
}

fn a_long_request_needs_no_more_memory_than_a_short_one(on: Driver) {
    let server = bulk_server();
    let proxy = Proxy::before(on, &[&server]);
    assert_same_peak(&proxy, upload);
}

fn a_long_chunked_answer_needs_no_more_memory_than_a_short_one(on: Driver) {
    let server = Server::script(|conn| {
        let mut chunk = format!("{:x}\r\n", 64 << 10).into_bytes();
        chunk.extend(std::iter::repeat_n(b'.', 64 << 10));
        chunk.extend_from_slice(b"\r\n");
        while let Some(request) = conn.read_request() {
            let count: u64 = request.target()[1..].parse().unwrap();
            conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            for _ in 0..count {
                if conn.try_send(&chunk).is_err() {
                    return;
                }
            }
            conn.send("0\r\n\r\n");
        }
    });
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    let mut exchange = |chunks: u64| {
        client.send(format!("GET /{chunks} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.read_response_head();
        let framed = (64 << 10) + "10000\r\n\r\n".len() as u64;
        client.skip(chunks * framed + "0\r\n\r\n".len() as u64);
    };
    exchange(16);
    let before = proxy.usage().peak;
    exchange(8_000);
    let grown = proxy.usage().peak.saturating_sub(before);
    assert!(
        grown < SLACK,
        "half a GiB of chunks took {grown} more than a MiB did"
    );
}

/// How far a sender gets before it has to wait; given how much it has sent.
fn stall(sent: impl Fn() -> usize) -> usize {
    let mut last = 0;
    eventually("the sender is held back", || {
        std::thread::sleep(Duration::from_millis(200));
        let now = sent();
        let stalled = now > 0 && now == last;
        last = now;
        stalled.then_some(now)
    })
}

/// Kernel buffers on both sides of the proxy, generously, and what the proxy may hold.
const ON_THE_WAY: usize = 24 << 20;

fn a_reader_that_stalls_holds_the_sender_back(on: Driver) {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let server = Server::script(move |conn| {
        while let Some(request) = conn.read_request() {
            if request.target() == "/warm" {
                conn.send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
                    1 << 20
                ));
                conn.send(vec![b'.'; 1 << 20]);
                continue;
            }
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n");
            while conn.try_send([0; 65_536]).is_ok() {
                counted.fetch_add(65_536, Ordering::SeqCst);
            }
        }
    });
    let proxy = Proxy::before(on, &[&server]);
    assert_eq!(proxy.get("/warm").status(), 200);
    let before = proxy.usage().resident;
    let mut client = Conn::connect_narrow(proxy.address());
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let held = stall(|| sent.load(Ordering::SeqCst));
    assert!(
        held < ON_THE_WAY,
        "{held} bytes are on their way to a reader that does not read"
    );
    let grown = proxy.usage().resident.saturating_sub(before);
    assert!(grown < SLACK, "{grown} bytes are held for it");
}

fn a_server_that_stalls_holds_the_client_back(on: Driver) {
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let server = Server::script(move |conn| {
        while let Some(head) = conn.read_request_head() {
            if head.target() == "/warm" {
                conn.skip(1 << 20);
                conn.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
                continue;
            }
            let _ = wait.lock().unwrap().recv();
        }
    });
    let proxy = Proxy::before(on, &[&server]);
    let mut warm = proxy.client();
    warm.send(format!(
        "POST /warm HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
        1 << 20
    ));
    warm.send(vec![b'.'; 1 << 20]);
    assert_eq!(warm.read_response().status(), 200);
    let before = proxy.usage().resident;
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000000\r\n\r\n");
    let held = client.send_until_held_back();
    assert!(
        held < ON_THE_WAY,
        "{held} bytes are on their way to a server that does not read"
    );
    let grown = proxy.usage().resident.saturating_sub(before);
    assert!(grown < SLACK, "{grown} bytes are held for it");
    drop(go);
}

/// What a tunnel at rest may take, and an idle connection (which has a task). The README promises 600 B of thousands of tunnels in a
/// release build; here it is fewer, and the allocator's pages count whole.
const TUNNEL: u64 = 1_280;
const CONNECTION: u64 = 10 << 10;

fn idle_connections_cost_little(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Proxy::before(on, &[&server]);
    let open = |count: usize| -> Vec<Conn> {
        let mut clients: Vec<Conn> = (0..count).map(|_| proxy.client()).collect();
        for client in &mut clients {
            client.send(handshake("/"));
        }
        for client in &mut clients {
            assert_eq!(client.read_response().status(), 101);
        }
        clients
    };
    let settled = |count: usize| {
        proxy.wait_for_resting(count);
        // What their tasks took is given back within two seconds.
        std::thread::sleep(Duration::from_millis(2_500));
        proxy.usage().resident
    };
    let _warm = open(600);
    let before = settled(600);
    let _idle = open(1_000);
    let each = settled(1_600).saturating_sub(before) / 1_000;
    assert!(each <= TUNNEL, "a tunnel at rest holds {each} bytes");
    let before = proxy.usage().resident;
    let idle: Vec<Conn> = (0..300).map(|_| proxy.client()).collect();
    assert_eventually!(proxy.status().unwrap()["connections"] == 1_900);
    let each = proxy.usage().resident.saturating_sub(before) / idle.len() as u64;
    assert!(each <= CONNECTION, "an idle connection holds {each} bytes");
}

/// `RINGBOLT_RELOADS`: how many; in the gate fewer, each of which would be seen.
fn reloads() -> usize {
    let reloads = std::env::var("RINGBOLT_RELOADS").ok();
    reloads.map_or(30, |reloads| reloads.parse().unwrap())
}

/// A setting with a third of a megabyte, and where it comes from.
fn large_pages() -> (tempfile::NamedTempFile, String) {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), vec![b'.'; 60 << 10]).unwrap();
    let page = |status| format!("{status} = \"file:{}\"", file.path().display());
    let pages = [408, 429, 500, 502, 503, 504].map(page).join(", ");
    (file, format!("error_pages = {{ {pages} }}"))
}

/// One download, one upload and one request without an answer that began under each configuration.
fn reloads_with_long_exchanges_leave_nothing_behind(on: Driver) {
    let server = Server::script(|conn| {
        let Some(head) = conn.read_request_head() else {
            return;
        };
        if head.target() == "/down" {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab");
        }
        // Until the client says so.
        let told = conn.try_read_until(b"go");
        if told.is_some() && head.target() != "/down" {
            conn.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd");
        }
    });
    let (_page, pages) = large_pages();
    let proxy = Setup::new(on).server(&server).listener(&pages).start();
    let mut clients = Vec::new();
    let mut begin = |count: usize| {
        for _ in 0..count {
            for target in ["/down", "/up"] {
                let mut client = proxy.client();
                client.send(format!(
                    "POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"
                ));
                if target == "/down" {
                    assert_eq!(client.read_response_head().status(), 200);
                    client.skip(2);
                }
                clients.push(client);
            }
            assert_eventually!(server.open() == clients.len());
            proxy.sighup();
            proxy.wait_for_notice("RELOADING=1");
            proxy.wait_for_notice("READY=1");
        }
        proxy.usage().resident
    };
    let before = begin(10);
    let grown = begin(reloads()).saturating_sub(before);
    assert!(grown < SLACK, "{} reloads took {grown} bytes", reloads());
    for mut client in clients.into_iter().skip(1).step_by(2) {
        client.send("go");
        assert_eq!(client.read_response().status(), 200);
    }
}

/// A configuration of a third of a megabyte, one tunnel and one idle connection that began under each.
fn reloads_with_tunnels_leave_nothing_behind(on: Driver) {
    let server = Server::websocket("one");
    let (_page, pages) = large_pages();
    let proxy = Setup::new(on).server(&server).listener(&pages).start();
    let mut clients = Vec::new();
    let mut begin = |count: usize| {
        for _ in 0..count {
            let (mut tunnel, mut idle) = (proxy.client(), proxy.client());
            tunnel.upgrade("/");
            assert_eq!(idle.get("/").status(), 200);
            clients.extend([tunnel, idle]);
            proxy.sighup();
            proxy.wait_for_notice("RELOADING=1");
            proxy.wait_for_notice("READY=1");
        }
        proxy.usage().resident
    };
    let before = begin(10);
    let grown = begin(reloads()).saturating_sub(before);
    assert!(grown < SLACK, "{} reloads took {grown} bytes", reloads());
    for client in clients.iter_mut().step_by(2) {
        client.echoes("still here");
    }
}

fn pipelined_requests_of_a_client_that_never_reads_are_bounded(on: Driver) {
    let server = Server::script(|conn| {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{}",
            ".".repeat(100_000)
        );
        while conn.read_request().is_some() && conn.try_send(&answer).is_ok() {}
    });
    let proxy = Proxy::before(on, &[&server]);
    assert_eq!(proxy.get("/").status(), 200);
    let before = proxy.usage().resident;
    let mut client = Conn::connect_narrow(proxy.address());
    let requests = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(2_000);
    let sent = client.send_until_held_back_by(requests.as_bytes());
    assert!(sent < ON_THE_WAY, "{sent} bytes of requests were taken");
    let grown = proxy.usage().resident.saturating_sub(before);
    assert!(grown < SLACK, "{grown} bytes are held for it");
    let served = server.requests().len();
    assert!(served < 1_000, "{served} answers were fetched for nobody");
}
