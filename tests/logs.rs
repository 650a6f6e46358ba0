//! Logs: a line for each way an exchange can end, in every format and at every target.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use serde_json::Value;
use support::{AccessLine, Driver, PATIENCE, Proxy, Server, Setup, eventually, handshake};

on_both_drivers!(
    an_exchange_is_one_line_of_httplog,
    each_exchange_of_a_connection_has_its_line,
    the_cookies_story_is_told,
    each_ending_has_its_letters,
    a_tunnel_has_a_line_when_it_opens_and_one_when_it_ends,
    captured_fields_stand_in_braces,
    a_large_head_with_empty_texts_is_logged,
    odd_bytes_are_encoded,
    json_tells_the_same,
    json_stays_json_whatever_is_sent,
    empty_connections_are_skipped_or_not,
    a_file_is_written_and_reopened,
    syslog_goes_out_over_udp,
    syslog_has_a_new_form_too,
    syslog_goes_to_a_unix_socket,
    levels_keep_access_lines_out,
    several_targets_get_their_own_format,
    a_dead_syslog_server_harms_nobody,
    a_reader_that_stalls_harms_nobody,
);

// === httplog ===

#[test]
fn a_line_of_haproxy_is_taken_apart() {
    let line = AccessLine::parse(
        "<134>Nov 22 12:00:00 ringbolt[7]: 10.0.1.2:33317 [06/Feb/2009:12:14:14.655] http-in static/srv1 10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {1wt.eu} {} \"GET /index.html HTTP/1.1\"",
    )
    .unwrap();
    assert_eq!(
        (line.client.as_str(), line.server.as_str()),
        ("10.0.1.2:33317", "srv1")
    );
    assert_eq!(
        (line.status, line.bytes, line.termination.as_str()),
        (200, 2750, "----")
    );
    assert_eq!(line.captures, ["{1wt.eu}", "{}"]);
    assert_eq!(line.request, "GET /index.html HTTP/1.1");
    assert_eq!(AccessLine::parse("server app/one is down"), None);
}

fn an_exchange_is_one_line_of_httplog(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    let reply = client.get("/hello?x=1");
    let line = proxy.access_line("/hello");
    assert_eq!(line.client, client.local_address().to_string());
    assert_eq!(
        line.accepted.len(),
        "22/Nov/2026:12:00:00.123".len(),
        "{}",
        line.line
    );
    assert_eq!(
        (
            line.listener.as_str(),
            line.pool.as_str(),
            line.server.as_str()
        ),
        ("http-in", "app", "one")
    );
    assert_eq!(line.timers.len(), 5);
    assert!(
        line.timers.iter().all(|timer| (0..5_000).contains(timer)),
        "{}",
        line.line
    );
    assert_eq!(line.status, 200);
    assert!(
        line.bytes >= (reply.head.len() + reply.body.len()) as u64,
        "{}",
        line.line
    );
    assert_eq!(
        (line.request_cookie.as_str(), line.response_cookie.as_str()),
        ("-", "-")
    );
    assert_eq!(line.termination, "----");
    assert_eq!(line.counts, "1/1/1/1/0", "{}", line.line);
    assert_eq!(line.queues, "0/0");
    assert_eq!(line.request, "GET /hello?x=1 HTTP/1.1");
}

fn each_exchange_of_a_connection_has_its_line(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    for number in 0..3 {
        client.get(&format!("/n{number}"));
    }
    let lines = proxy.access_lines("GET /n", 3);
    let targets: Vec<_> = lines.iter().map(|line| line.request.as_str()).collect();
    assert_eq!(
        targets,
        ["GET /n0 HTTP/1.1", "GET /n1 HTTP/1.1", "GET /n2 HTTP/1.1"]
    );
}

fn the_cookies_story_is_told(on: Driver) {
    let server = Server::named("one");
    let setup = Setup::new(on).sticky("cookie = \"SERVERID\"");
    let proxy = setup.server_with(&server, "cookie = \"a\"").start();
    proxy.get("/none");
    for (target, value) in [("/valid", "a"), ("/invalid", "zzz")] {
        proxy
            .client()
            .get_with(target, &format!("Cookie: SERVERID={value}\r\n"));
    }
    for (target, letters) in [("/none", "--NI"), ("/valid", "--VN"), ("/invalid", "--II")] {
        assert_eq!(
            proxy.access_line(&format!("GET {target} ")).termination,
            letters
        );
    }
}

/// The parts of a line that tell how an exchange ended.
fn ending(line: &AccessLine) -> (&str, i64, &str) {
    (&line.termination[..2], line.status, &line.server)
}

fn each_ending_has_its_letters(on: Driver) {
    let server = Server::script(|conn| {
        while let Some(request) = conn.read_request() {
            match request.target() {
                "/closes" => return,
                "/silent" | "/left" => drop(conn.read_to_end()),
                "/short" => {
                    conn.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort");
                    return;
                }
                "/stalls" => {
                    conn.send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort");
                    conn.read_to_end();
                }
                "/garbage" => {
                    conn.send("what?\r\n\r\n");
                    return;
                }
                _ => drop(conn.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
            }
        }
    });
    let mut refusing = Server::named("refusing");
    refusing.stop();
    let proxy = Setup::new(on)
        .server(&server)
        .timeouts("server = \"500ms\"\nrequest_head = \"500ms\"\nconnect = \"50ms\"")
        .more(&format!(
            "[[route]]\npath = \"/refused\"\npool = \"dead\"\n[[pool.dead.server]]\nname = \"refusing\"\naddress = \"{}\"\n",
            refusing.address()
        ))
        .start();
    for target in ["/good", "/closes", "/silent", "/refused", "/garbage"] {
        proxy.get(target);
    }
    for target in ["/short", "/stalls"] {
        let mut client = proxy.client();
        client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.read_to_end();
    }
    let mut client = proxy.client();
    client.send("GET /left HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eventually!(
        server
            .requests()
            .iter()
            .any(|request| request.target() == "/left")
    );
    drop(client);
    for (target, wanted) in [
        ("/good", ("--", 200, "one")),
        ("/closes", ("SH", 502, "one")),
        ("/silent", ("sH", 504, "one")),
        ("/refused", ("SC", 503, "refusing")),
        ("/garbage", ("PH", 502, "one")),
        ("/short", ("SD", 200, "one")),
        ("/stalls", ("sD", 200, "one")),
        ("/left", ("CH", -1, "one")),
    ] {
        let line = proxy.access_line(&format!("GET {target} "));
        assert_eq!(ending(&line), wanted, "{}", line.line);
    }
    // What was no request has no target.
    let mut client = proxy.client();
    client.send("nonsense\r\n\r\n").read_to_end();
    let bad = proxy.access_lines("<BADREQ>", 1).remove(0);
    assert_eq!(ending(&bad), ("PR", 400, "<NOSRV>"), "{}", bad.line);
    let mut client = proxy.client();
    client.send("GET / HTT").read_to_end();
    let late = proxy.access_lines("<BADREQ>", 2).remove(1);
    assert_eq!(ending(&late), ("cR", 408, "<NOSRV>"), "{}", late.line);
    let mut client = proxy.client();
    client.send("GET / HTT");
    drop(client);
    let left = proxy.access_lines("<BADREQ>", 3).remove(2);
    assert_eq!(&left.termination[..2], "CR", "{}", left.line);
}

fn a_tunnel_has_a_line_when_it_opens_and_one_when_it_ends(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.upgrade("/socket");
    let opened = proxy.wait_for_line("ws=open");
    let line = AccessLine::parse(&opened).unwrap();
    assert_eq!(
        (line.status, line.server.as_str()),
        (101, "one"),
        "{opened}"
    );
    client.echoes("hello");
    client.echoes("again");
    std::thread::sleep(Duration::from_millis(50));
    client.finish();
    client.expect_closed();
    let ended = eventually("the tunnel's end", || {
        proxy
            .lines()
            .into_iter()
            .find(|line| line.contains("ws=") && !line.contains("ws=open"))
    });
    let line = AccessLine::parse(&ended).unwrap();
    assert_eq!(
        (line.status, line.request.as_str()),
        (101, "GET /socket HTTP/1.1"),
        "{ended}"
    );
    assert_eq!(line.termination, "----", "{ended}");
    assert!(line.timers[4] >= 50, "the tunnel's whole life: {ended}");
    assert!(ended.ends_with("ws=22/14/2/2"), "{ended}");
}

fn captured_fields_stand_in_braces(on: Driver) {
    let server = Server::answering("HTTP/1.1 200 OK\r\nX-Answer: yes\r\nContent-Length: 0\r\n\r\n");
    let proxy = Setup::new(on)
        .server(&server)
        .listener("capture_request = [{ header = \"Host\", length = 64 }, { header = \"User-Agent\", length = 4 }]")
        .listener("capture_response = [{ header = \"x-answer\" }, { header = \"X-None\" }]")
        .start();
    proxy.client().get_with("/", "User-Agent: browser\r\n");
    let line = proxy.access_line("GET /");
    assert_eq!(
        line.captures,
        ["{example.com|brow}", "{yes|}"],
        "{}",
        line.line
    );
}

/// Of a head that is not small only the log's texts are kept once the answer has begun, and what is empty among them stands
/// nowhere. It once stood where it had been: beyond their end, and the line was lost in a panic.
fn a_large_head_with_empty_texts_is_logged(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .listener("capture_request = [{ header = \"X-None\" }, { header = \"X-Some\" }]")
        .listener("capture_response = [{ header = \"X-None\" }, { header = \"X-Server\" }]")
        .start();
    let mut client = proxy.client();
    let large = "a".repeat(5_000);
    for target in ["/first", "/second"] {
        client.send(format!(
            "GET {target} HTTP/1.0\r\nConnection: keep-alive\r\nX-Some: b\r\nX-A: {large}\r\n\r\n"
        ));
        assert_eq!(client.read_response().status(), 200);
        let line = proxy.access_line(&format!("GET {target}"));
        assert_eq!(line.captures[0], "{|b}", "{}", line.line);
    }
    let complaints = proxy.complaints();
    assert!(
        !complaints.iter().any(|line| line.contains("panicked")),
        "{complaints:?}"
    );
}

fn odd_bytes_are_encoded(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .listener("capture_request = [{ header = \"X-Odd\" }]")
        .start();
    let mut client = proxy.client();
    let mut request = b"GET /odd HTTP/1.1\r\nHost: a\r\nX-Odd: a\"b|c}d\te\xff\r\n\r\n".to_vec();
    client.send(&request);
    assert_eq!(client.read_response().status(), 200);
    let line = proxy.wait_for_line("GET /odd");
    assert!(line.is_ascii() && !line.contains('\t'), "{line:?}");
    assert!(
        !line.contains("a\"b"),
        "a quote would end the field: {line}"
    );
    request.clear();
}

// === JSON ===

fn json_lines(proxy: &Proxy) -> Vec<Value> {
    let parse = |line: &String| {
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    proxy
        .lines()
        .iter()
        .filter(|line| line.starts_with('{'))
        .map(parse)
        .collect()
}

fn json_with(proxy: &Proxy, event: &str) -> Value {
    eventually(&format!("a JSON line with the event {event}"), || {
        json_lines(proxy)
            .into_iter()
            .find(|value| value["event"] == event)
    })
}

fn json_tells_the_same(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Setup::new(on)
        .server_with(&server, "cookie = \"a\"")
        .sticky("cookie = \"SERVERID\"")
        .log("format = \"json\"")
        .start();
    let mut client = proxy.client();
    client.get("/hello?x=1");
    let id = server
        .last_request()
        .field("X-Request-Id")
        .unwrap()
        .to_owned();
    let line = json_with(&proxy, "request");
    for (name, wanted) in [
        ("client_ip", Value::from("127.0.0.1")),
        ("client_port", client.local_address().port().into()),
        ("listener", "http-in".into()),
        ("pool", "app".into()),
        ("server", "one".into()),
        ("method", "GET".into()),
        ("target", "/hello?x=1".into()),
        ("protocol", "HTTP/1.1".into()),
        ("host", "example.com".into()),
        ("status", 200.into()),
        ("termination", "--NI".into()),
        ("request_id", id.into()),
        ("retries", 0.into()),
    ] {
        assert_eq!(line[name], wanted, "{name} in {line}");
    }
    client.send(handshake("/socket"));
    assert_eq!(client.read_response().status(), 101);
    assert_eq!(json_with(&proxy, "tunnel_opened")["target"], "/socket");
    client.echoes("hello");
    client.finish();
    client.expect_closed();
    let ended = json_with(&proxy, "tunnel_ended");
    assert_eq!(ended["tunnel"]["messages_in"], 1, "{ended}");
    assert_eq!(ended["tunnel"]["messages_out"], 1, "{ended}");
}

fn json_stays_json_whatever_is_sent(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .log("format = \"json\"")
        .listener("capture_request = [{ header = \"X-Odd\" }]")
        .start();
    let mut client = proxy.client();
    client.send(b"GET /a?q=%22'\\ HTTP/1.1\r\nHost: a\r\nX-Odd: \"}\\u0000\x80\xff\xc3\r\n\r\n");
    client.read_response();
    let mut client = proxy.client();
    client.send(b"\x16\x03\x01\xff\xfe\"\r\n\r\n");
    client.read_to_end();
    eventually("both lines", || {
        (json_lines(&proxy)
            .iter()
            .filter(|line| line["event"] == "request")
            .count()
            >= 2)
            .then_some(())
    });
}

// === What is not logged ===

fn empty_connections_are_skipped_or_not(on: Driver) {
    for (skip, wanted) in [(true, 1), (false, 2)] {
        let server = Server::named("one");
        let proxy = Setup::new(on)
            .server(&server)
            .log(&format!("skip_empty = {skip}"))
            .start();
        let before = proxy.settled_descriptors();
        drop(proxy.client());
        proxy.wait_for_descriptors(before);
        proxy.get("/");
        proxy.access_line("GET /");
        let lines = proxy.all_access_lines();
        assert_eq!(lines.len(), wanted, "skip_empty = {skip}: {lines:?}");
    }
}

fn levels_keep_access_lines_out(on: Driver) {
    let mut server = Server::named("one");
    let proxy = Setup::new(on)
        .server_with(
            &server,
            "check = { interval = \"100ms\", rise = 1, fall = 1 }",
        )
        .log("level = \"notice\"")
        .start();
    proxy.get("/");
    server.stop();
    let event = proxy.wait_for_line("app/one is down");
    assert!(event.contains("refused"), "the reason is told: {event}");
    assert!(proxy.all_access_lines().is_empty(), "{:?}", proxy.lines());
}

// === Targets ===

fn a_file_is_written_and_reopened(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .log("target = \"file:{folder}/access.log\"")
        .start();
    let (current, rotated) = (
        proxy.folder().join("access.log"),
        proxy.folder().join("access.log.1"),
    );
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    proxy.get("/before");
    assert_eventually!(read(&current).contains("GET /before"));
    std::fs::rename(&current, &rotated).unwrap();
    proxy.get("/between");
    assert_eventually!(read(&rotated).contains("GET /between"));
    proxy.sigusr1();
    assert_eventually!(current.exists());
    assert_eventually!({
        proxy.get("/after");
        read(&current).contains("GET /after")
    });
    assert!(!read(&current).contains("GET /between"));
}

fn syslog_receiver() -> (UdpSocket, String) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let target = format!("target = \"syslog://{}\"\n", socket.local_addr().unwrap());
    (socket, target)
}

/// The first datagram that holds these words.
fn datagram(words: &str, mut receive: impl FnMut(&mut [u8]) -> std::io::Result<usize>) -> String {
    let mut room = [0; 16_384];
    loop {
        let count = receive(&mut room).unwrap_or_else(|_| panic!("no datagram with {words:?}"));
        let text = String::from_utf8_lossy(&room[..count]).into_owned();
        if text.contains(words) {
            return text;
        }
    }
}

fn syslog_goes_out_over_udp(on: Driver) {
    let server = Server::named("one");
    let (socket, target) = syslog_receiver();
    let proxy = Setup::new(on)
        .server(&server)
        .log(&target)
        .log("facility = \"local1\"\ntag = \"balancer\"")
        .start();
    proxy.get("/hello");
    let message = datagram("GET /hello", |room| socket.recv(room));
    assert!(message.starts_with("<142>"), "local1 and info: {message}");
    assert!(message.contains(" balancer["), "{message}");
    assert!(!message.ends_with('\n'), "a datagram is a line");
    let line = AccessLine::parse(&message).expect("a line that parsers read");
    assert_eq!((line.status, line.server.as_str()), (200, "one"));
    // `<142>Nov 22 12:00:00 `
    assert_eq!(message.as_bytes()[20], b' ', "{message}");
}

fn syslog_has_a_new_form_too(on: Driver) {
    let server = Server::named("one");
    let (socket, target) = syslog_receiver();
    let setup = Setup::new(on).server(&server).log(&target);
    let proxy = setup.log("syslog = \"rfc5424\"\nformat = \"json\"").start();
    proxy.get("/hello");
    let message = datagram("/hello", |room| socket.recv(room));
    assert!(
        message.starts_with("<134>1 20"),
        "local0 and info, version 1: {message}"
    );
    let words: Vec<_> = message.splitn(8, ' ').collect();
    assert_eq!(words[3], "ringbolt", "{message}");
    let json: Value = serde_json::from_str(words[7]).unwrap();
    assert_eq!(json["status"], 200);
}

fn syslog_goes_to_a_unix_socket(on: Driver) {
    let folder = tempfile::tempdir().unwrap();
    let socket = UnixDatagram::bind(folder.path().join("log")).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let server = Server::named("one");
    let setup = Setup::new(on)
        .server(&server)
        .log("target = \"syslog:{folder}/log\"");
    let proxy = Proxy::start_in(on, folder, &setup.text());
    proxy.get("/hello");
    let message = datagram("GET /hello", |room| socket.recv(room));
    assert!(message.starts_with("<134>"), "{message}");
}

fn several_targets_get_their_own_format(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .more("[[log]]\ntarget = \"file:{folder}/access.json\"\nformat = \"json\"\n")
        .start();
    proxy.get("/hello");
    assert_eq!(proxy.access_line("GET /hello").status, 200);
    let file = proxy.folder().join("access.json");
    let text = eventually("the JSON line", || {
        std::fs::read_to_string(&file)
            .ok()
            .filter(|text| text.contains("/hello"))
    });
    let line = text.lines().find(|line| line.contains("/hello")).unwrap();
    assert_eq!(serde_json::from_str::<Value>(line).unwrap()["status"], 200);
}

fn a_dead_syslog_server_harms_nobody(on: Driver) {
    let server = Server::named("one");
    let (socket, target) = syslog_receiver();
    drop(socket);
    let proxy = Setup::new(on).server(&server).log(&target).start();
    let mut client = proxy.client();
    for _ in 0..50 {
        assert_eq!(client.get("/").status(), 200);
    }
}

fn a_reader_that_stalls_harms_nobody(on: Driver) {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    // Open for both, so that opening it for writing does not wait; nobody reads.
    let _reader = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe)
        .unwrap();
    let server = Server::named("one");
    let setup = Setup::new(on)
        .server(&server)
        .log("target = \"file:{folder}/pipe\"");
    let proxy = Proxy::start_in(on, folder, &setup.text());
    let mut client = proxy.client();
    let long = "x".repeat(1_000);
    // Far more than a pipe holds.
    for _ in 0..300 {
        assert_eq!(client.get(&format!("/{long}")).status(), 200);
    }
}
