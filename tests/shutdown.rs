//! The end of the process: what is cut then is told to its client and written to the log, all of it.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout as SocketTimeout, set_socket_timeout};
use support::{
    Conn, Driver, PATIENCE, Proxy, Server, Setup, Unreachable, handshake, raise_own_limit,
};

on_both_drivers!(
    every_tunnel_that_is_cut_has_its_line,
    every_exchange_that_is_cut_has_its_line_and_letters,
    part_of_a_body_that_is_cut_is_not_passed_off_as_the_whole,
    a_second_signal_cuts_and_logs_as_well,
);

/// Opens so many tunnels, some at a time: both ends of each.
fn crowd(proxy: &Proxy, server: &TcpListener, count: usize) -> Vec<(TcpStream, TcpStream)> {
    let request = handshake("/chat");
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        support::accept_of(support::KEY)
    );
    let read_head = |mut stream: &TcpStream| {
        let (mut head, mut room) = (Vec::new(), [0; 1024]);
        while !head.ends_with(b"\r\n\r\n") {
            let count = stream.read(&mut room).unwrap();
            assert!(count > 0, "ended within a head");
            head.extend_from_slice(&room[..count]);
        }
        head
    };
    let mut tunnels = Vec::with_capacity(count);
    while tunnels.len() < count {
        let batch = 32.min(count - tunnels.len());
        let clients = (0..batch).map(|_| {
            let mut client = TcpStream::connect(proxy.address()).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.write_all(request.as_bytes()).unwrap();
            client
        });
        let clients: Vec<_> = clients.collect();
        set_socket_timeout(server, SocketTimeout::Recv, Some(PATIENCE)).unwrap();
        let servers = (0..batch).map(|_| {
            let (mut server, _) = server.accept().unwrap();
            read_head(&server);
            server.write_all(answer.as_bytes()).unwrap();
            server
        });
        let servers: Vec<_> = servers.collect();
        for client in &clients {
            assert!(read_head(client).starts_with(b"HTTP/1.1 101 "));
        }
        tunnels.extend(clients.into_iter().zip(servers));
    }
    tunnels
}

/// Reads a FIFO to its end; slowly once told to.
fn reader(path: std::path::PathBuf, slow: Arc<AtomicBool>) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let (mut fifo, mut text) = (std::fs::File::open(path).unwrap(), Vec::new());
        let mut room = [0; 16 * 1024];
        loop {
            match fifo.read(&mut room).unwrap() {
                0 => return String::from_utf8(text).unwrap(),
                count => text.extend_from_slice(&room[..count]),
            }
            if slow.load(Relaxed) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    })
}

fn every_tunnel_that_is_cut_has_its_line(on: Driver) {
    /// As JSON, 2.4 MB of lines: more than may wait for one target. Some of the tunnels rest by then.
    const TUNNELS: usize = 4_000;
    raise_own_limit();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    let slow = Arc::new(AtomicBool::new(false));
    let reader = reader(fifo, Arc::clone(&slow));
    let text = Setup::new(on)
        .process(&format!(
            "workers = 2\ndrain_timeout = \"500ms\"\nmax_connections = {}",
            TUNNELS + 10
        ))
        .log("target = \"file:{folder}/fifo\"\nformat = \"json\"\n[[log]]\ntarget = \"file:{folder}/access.log\"")
        .server_at("one", &server.local_addr().unwrap().to_string(), "")
        .text();
    let mut proxy = Proxy::start_in(on, folder, &text);
    let tunnels = crowd(&proxy, &server, TUNNELS);
    slow.store(true, Relaxed);
    let from = Instant::now();
    proxy.sigterm();
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
    let lasted = from.elapsed();
    assert!(lasted >= Duration::from_millis(500), "{lasted:?}");
    let ended = |text: &str, mark: &str, letters: &str| {
        let ended = text.lines().filter(|line| line.contains(mark));
        ended.filter(|line| line.contains(letters)).count()
    };
    let file = std::fs::read_to_string(proxy.folder().join("access.log")).unwrap();
    assert_eq!(
        ended(&file, " ws=0/0/0/0", " KD-- "),
        TUNNELS,
        "in the file"
    );
    let json = reader.join().unwrap();
    assert_eq!(
        ended(&json, "\"tunnel_ended\"", "\"KD--\""),
        TUNNELS,
        "in the FIFO"
    );
    assert!(!file.contains("dropped") && !json.contains("dropped"));
    for (mut client, mut server) in tunnels {
        assert_eq!(client.read(&mut [0; 16]).unwrap_or(0), 0);
        assert_eq!(server.read(&mut [0; 16]).unwrap_or(0), 0);
    }
}

/// Sends the beginning of an answer and waits for the end.
fn half_way(conn: &mut Conn) {
    while let Some(request) = conn.read_request_head() {
        let answer = match request.target() {
            "/length" => "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome",
            "/chunked" => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n",
            "/close" => "HTTP/1.1 200 OK\r\n\r\nsome",
            _ => "",
        };
        conn.send(answer);
        if request.target() != "/short" {
            conn.read_to_end();
            return;
        }
    }
}

/// A figure of a pool, by its JSON pointer.
fn in_pool(proxy: &Proxy, name: &str, figure: &str) -> u64 {
    let status = proxy.status().unwrap();
    let pools = status["pools"].as_array().unwrap();
    let pool = pools.iter().find(|pool| pool["name"] == name).unwrap();
    pool.pointer(figure).unwrap().as_u64().unwrap()
}

fn every_exchange_that_is_cut_has_its_line_and_letters(on: Driver) {
    let (server, nowhere) = (Server::script(half_way), Unreachable::new());
    let mut proxy = Setup::new(on)
        .process("drain_timeout = \"700ms\"")
        .timeouts("queue = \"1m\"\nconnect = \"1m\"\nserver = \"1m\"\nclient = \"1m\"\nrequest_head = \"1m\"")
        .server(&server)
        .more("[[route]]\npath_prefix = \"/queue\"\npool = \"small\"\n")
        .more(&format!(
            "[[route]]\npath_prefix = \"/connect\"\npool = \"far\"\n[pool.far]\n[[pool.far.server]]\nname = \"f\"\naddress = \"{}\"\n",
            nowhere.address()
        ))
        .more(&format!(
            "[pool.small]\n[[pool.small.server]]\nname = \"s\"\naddress = \"{}\"\nmax_connections = 1\n",
            server.address()
        ))
        .start();
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
    let upload = "POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nsome";
    // What is sent, what has come of the answer before the cut, what comes then (or the end), the line.
    let cases = [
        ("GET /head HTTP/1.1\r\nHost:", "", 503, "KR--", -1),
        (&get("/queue/first"), "", 503, "KH--", 503),
        (&get("/queue/second"), "", 503, "KQ--", 503),
        (&get("/connect"), "", 503, "KC--", 503),
        (&get("/wait"), "", 503, "KH--", 503),
        (upload, "", 503, "KH--", 503),
        (&get("/length"), "some", 0, "KD--", 200),
        (&get("/chunked"), "4\r\nsome\r\n", 0, "KD--", 200),
    ];
    let mut clients = Vec::new();
    for (request, begun, ..) in &cases {
        let mut client = proxy.client();
        client.send(request);
        if !begun.is_empty() {
            client.read_until(format!("\r\n\r\n{begun}").as_bytes());
        }
        if request.contains("/queue/first") {
            assert_eventually!(in_pool(&proxy, "small", "/sessions") == 1);
        }
        clients.push(client);
    }
    assert_eventually!(proxy.status().unwrap()["connections"] == cases.len());
    assert_eventually!(in_pool(&proxy, "small", "/queue/waiting") == 1);
    assert_eventually!(in_pool(&proxy, "far", "/sessions") == 1);
    assert_eventually!(in_pool(&proxy, "app", "/sessions") == 4);
    let from = Instant::now();
    proxy.sigterm();
    for ((request, _, status, ..), mut client) in cases.iter().zip(clients) {
        match status {
            0 => client.expect_closed(),
            status => assert_eq!(client.read_response().status(), *status, "{request:?}"),
        }
        let lasted = from.elapsed();
        assert!(lasted >= Duration::from_millis(700), "{lasted:?}");
        assert!(
            lasted < Duration::from_millis(700) + PATIENCE / 2,
            "{lasted:?}"
        );
    }
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
    assert_eventually!(
        proxy.all_access_lines().len() == cases.len(),
        "{:?}",
        proxy.all_access_lines()
    );
    for (request, _, _, letters, status) in cases {
        let target = request.split(' ').nth(1).unwrap();
        let wanted = match letters {
            "KR--" => "<BADREQ>",
            _ => target,
        };
        let line = proxy.access_line(wanted);
        assert_eq!(line.termination, letters, "{}", line.line);
        assert!(status < 0 || line.status == status, "{}", line.line);
    }
}

fn part_of_a_body_that_is_cut_is_not_passed_off_as_the_whole(on: Driver) {
    let server = Server::script(half_way);
    let mut proxy = Setup::new(on)
        .process("drain_timeout = \"300ms\"")
        .server(&server)
        .start();
    // The end of the connection is the end of the body: of the server's answer, and of chunks for an old client.
    let mut clients = [
        "GET /close HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /chunked HTTP/1.0\r\nHost: a\r\n\r\n",
    ]
    .map(|request| {
        let mut client = proxy.client();
        client.send(request);
        client.read_until(b"\r\n\r\nsome");
        client
    });
    let mut uploading = proxy.client();
    uploading.send("POST /close HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n");
    uploading.read_until(b"\r\n\r\nsome");
    proxy.sigterm();
    for client in clients.iter_mut().chain([&mut uploading]) {
        assert!(client.is_reset());
    }
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
    for line in proxy.access_lines(" /c", 3) {
        assert_eq!(
            (&*line.termination, line.status),
            ("KD--", 200),
            "{}",
            line.line
        );
        assert!(line.bytes >= 23, "its bytes are counted: {}", line.line);
    }
}

fn a_second_signal_cuts_and_logs_as_well(on: Driver) {
    let (server, chat) = (Server::script(half_way), Server::websocket("chat"));
    let mut proxy = Setup::new(on)
        .process("drain_timeout = \"never\"")
        .server(&server)
        .more("[[route]]\npath = \"/chat\"\npool = \"chat\"\n")
        .more(&format!(
            "[pool.chat]\n[[pool.chat.server]]\nname = \"c\"\naddress = \"{}\"\n",
            chat.address()
        ))
        .start();
    let (mut tunnel, mut waiting) = (proxy.client(), proxy.client());
    tunnel.upgrade("/chat");
    waiting.send("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eventually!(server.open() == 1);
    proxy.sigterm();
    proxy.wait_for_notice("STOPPING=1");
    tunnel.echoes("goes on");
    proxy.sigterm();
    tunnel.expect_closed();
    assert_eq!(waiting.read_response().status(), 503);
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
    assert_eq!(proxy.access_line("/wait").termination, "KH--");
    let [opened, ended] = &proxy.access_lines("/chat", 2)[..] else {
        unreachable!("two were waited for");
    };
    assert_eq!(
        (&*opened.termination, &*ended.termination),
        ("----", "KD--")
    );
}
