//! Engine.IO sessions held by their `sid`, for clients that keep no cookies.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::{Conn, Driver, Message, Proxy, Server, Setup, accept_of};

on_both_drivers!(
    every_request_of_a_session_reaches_its_server,
    every_worker_knows_a_session_at_once,
    an_answer_is_understood_however_it_is_framed,
    an_answer_may_come_in_any_pieces,
    other_answers_open_nothing,
    what_does_not_open_a_session_is_not_looked_at,
    the_path_counts_with_and_without_its_slash,
    a_handshake_asks_for_an_answer_that_can_be_read,
    more_sessions_than_there_is_room_for_push_out_the_oldest,
    an_idle_session_is_forgotten,
    a_session_leaves_a_server_that_is_down,
    a_session_leaves_a_server_that_refuses,
    drain_keeps_a_session_and_maintenance_does_not,
    a_reload_keeps_the_sessions,
    a_cookie_goes_first,
    without_the_setting_nothing_is_held,
);

// === Scenarios ===

fn every_request_of_a_session_reaches_its_server(on: Driver) {
    let servers = three(by_length);
    let proxy = before(on, &servers, "engine_io = true").start();
    for _ in 0..6 {
        let sid = open(&proxy);
        for _ in 0..4 {
            assert_eq!(proxy.get(&polling(&sid)).status(), 200);
        }
        let mut client = proxy.client();
        client.upgrade(&format!("/socket.io/?EIO=4&transport=websocket&sid={sid}"));
        assert_eq!(proxy.get(&polling(&sid)).status(), 200);
    }
    let lines = proxy.access_lines("transport=polling&sid=", 30);
    assert!(
        lines.iter().all(|line| letter_of(&line.termination) == 'V'),
        "{lines:?}"
    );
    let lines = proxy.access_lines("transport=polling HTTP", 6);
    assert!(
        lines.iter().all(|line| letter_of(&line.termination) == 'N'),
        "{lines:?}"
    );
    assert_eq!(letter(&proxy, "nobody-1"), 'I');
    assert_eq!(letter(&proxy, ""), 'N');
}

fn every_worker_knows_a_session_at_once(on: Driver) {
    let servers = three(by_length);
    let setup = before(on, &servers, "engine_io = true");
    let proxy = setup.process("workers = 2").start();
    for _ in 0..40 {
        let sid = open(&proxy);
        // Connections of their own, so some come to the other worker.
        for _ in 0..5 {
            assert_eq!(proxy.get(&polling(&sid)).status(), 200);
        }
    }
}

fn an_answer_is_understood_however_it_is_framed(on: Driver) {
    let ways: [fn(&mut Conn, &str, &str); 9] = [
        |conn, name, sid| answer(conn, name, "text/plain; charset=UTF-8", &packet(sid)),
        |conn, name, sid| answer(conn, name, "TEXT/Plain", &format!("97:{}", packet(sid))),
        |conn, name, sid| {
            let binary = [b"\0\x09\x07\xff".as_slice(), packet(sid).as_bytes()].concat();
            answer(conn, name, "application/octet-stream", &binary);
        },
        |conn, name, sid| {
            let script = format!("___eio[3](\"97:{}\");", packet(sid).replace('"', "\\\""));
            answer(conn, name, "text/javascript; charset=UTF-8", &script);
        },
        |conn, name, sid| {
            answer(
                conn,
                name,
                "application/json",
                &format!("{}\x1e40", packet(sid)),
            )
        },
        // Whatever the server calls it: the packet is what counts.
        |conn, name, sid| answer(conn, name, "text/html", &packet(sid)),
        |conn, name, sid| {
            let packet = packet(sid);
            let length = packet.len();
            let _ = conn.try_send(format!(
                "HTTP/1.1 200 OK\r\nX-Server: {name}\r\nContent-Length: {length}\r\n\r\n{packet}"
            ));
        },
        chunked,
        |conn, name, sid| {
            let head = head(name, "text/plain", "Connection: close\r\n");
            let _ = conn.try_send(head + &packet(sid));
            conn.finish();
        },
    ];
    for way in ways {
        let servers = three(way);
        let proxy = before(on, &servers, "engine_io = true").start();
        for _ in 0..2 {
            let sid = open(&proxy);
            for _ in 0..3 {
                assert_eq!(proxy.get(&polling(&sid)).status(), 200);
            }
        }
        // A client that knows no chunks gets the payload alone, and it is learned all the same.
        let mut old = proxy.client();
        old.send(format!("GET {} HTTP/1.0\r\nHost: a\r\n\r\n", polling("")));
        let text = String::from_utf8_lossy(&old.read_to_end()).into_owned();
        let sid = sid_in(&text);
        assert_eq!(letter(&proxy, &sid), 'V', "{text}");
    }
}

fn an_answer_may_come_in_any_pieces(on: Driver) {
    let by_bytes = |conn: &mut Conn, name: &str, sid: &str| {
        let length = format!("Content-Length: {}\r\n", packet(sid).len());
        conn.send(head(name, "text/plain", &length));
        for byte in packet(sid).bytes() {
            std::thread::sleep(Duration::from_millis(1));
            let _ = conn.try_send([byte]);
        }
    };
    let in_chunks = |conn: &mut Conn, name: &str, sid: &str| {
        conn.send(head(name, "text/plain", "Transfer-Encoding: chunked\r\n"));
        for piece in packet(sid).as_bytes().chunks(3) {
            std::thread::sleep(Duration::from_millis(2));
            let chunk = [b"3;x=y\r\n", piece, b"\r\n"].concat();
            let chunk = if piece.len() == 3 {
                chunk
            } else {
                [format!("{}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
            };
            let _ = conn.try_send(chunk);
        }
        let _ = conn.try_send("0\r\n\r\n");
    };
    for way in [by_bytes as Way, in_chunks as Way] {
        let servers = three(way);
        let proxy = before(on, &servers, "engine_io = true").start();
        let sid = open(&proxy);
        (0..4).for_each(|_| assert_eq!(proxy.get(&polling(&sid)).status(), 200));
    }
}

fn other_answers_open_nothing(on: Driver) {
    let ways: [Way; 5] = [
        |conn, name, sid| answer(conn, name, "text/plain", &format!("{{\"sid\":\"{sid}\"}}")),
        |conn, name, sid| {
            let lines = format!(
                "Content-Encoding: gzip\r\nContent-Length: {}\r\n",
                packet(sid).len()
            );
            let _ = conn.try_send(head(name, "text/plain", &lines) + &packet(sid));
        },
        |conn, name, sid| {
            let length = format!("Content-Length: {}\r\n", packet(sid).len());
            let head = head(name, "text/plain", &length).replace("200 OK", "203 Changed");
            let _ = conn.try_send(head + &packet(sid));
        },
        |conn, name, sid| {
            let far = format!(
                "0{{\"filling\":\"{}\",\"sid\":\"{sid}\"}}",
                "x".repeat(1_024)
            );
            answer(conn, name, "text/plain", &far);
        },
        |conn, name, sid| {
            let long = format!("{sid}{}", "x".repeat(128));
            answer(conn, name, "text/plain", &packet(&long));
        },
    ];
    for (number, way) in ways.into_iter().enumerate() {
        let servers = three(way);
        let proxy = before(on, &servers, "engine_io = true").start();
        let answer = proxy.get(&polling(""));
        assert_eq!(
            letter(&proxy, &sid_in(&answer.text())),
            expected_of_unknown(&answer),
            "{number}"
        );
    }
}

fn what_does_not_open_a_session_is_not_looked_at(on: Driver) {
    let servers = three(by_length);
    let proxy = before(on, &servers, "engine_io = { path = \"/io/\" }").start();
    let body = "POST /io/?transport=polling HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    for request in [
        "GET /socket.io/?transport=polling HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /io/?transport=websocket HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /io/ HTTP/1.1\r\nHost: a\r\n\r\n",
        body,
    ] {
        let answer = proxy.client().request(request);
        let sid = sid_in(&answer.text());
        assert_eq!(letter_at(&proxy, "/io/", &sid), 'I', "{request}");
    }
    let answer = proxy.get("/io/?transport=polling");
    let sid = sid_in(&answer.text());
    assert_eq!(letter_at(&proxy, "/io/", &sid), 'V');
    assert_eq!(letter_at(&proxy, "/socket.io/", &sid), 'N');
}

/// Servers take `/socket.io` and `/socket.io/` alike, and a session may use both.
fn the_path_counts_with_and_without_its_slash(on: Driver) {
    let servers = three(by_length);
    let proxy = before(on, &servers, "engine_io = true").start();
    for (opened, used) in [("/socket.io", "/socket.io/"), ("/socket.io/", "/socket.io")] {
        let sid = sid_in(
            &proxy
                .get(&format!("{opened}?EIO=4&transport=polling"))
                .text(),
        );
        for _ in 0..3 {
            assert_eq!(letter_at(&proxy, used, &sid), 'V', "{opened} {used}");
        }
        assert_eq!(letter_at(&proxy, "/socket.iox", &sid), 'N');
    }
}

fn a_handshake_asks_for_an_answer_that_can_be_read(on: Driver) {
    let servers = [eio("one", by_length)];
    let proxy = before(on, &servers, "engine_io = true").start();
    let accepts = "accept-encoding: gzip, br\r\n";
    let mut client = proxy.client();
    let sid = sid_in(&client.get_with(&polling(""), accepts).text());
    let opening = servers[0].last_request();
    assert_eq!(opening.field("Accept-Encoding"), Some("identity"));
    client.get_with(&polling(&sid), accepts);
    assert_eventually!(servers[0].requests().len() == 2);
    let later = servers[0].last_request();
    assert_eq!(later.field("Accept-Encoding"), Some("gzip, br"));
}

fn more_sessions_than_there_is_room_for_push_out_the_oldest(on: Driver) {
    let servers = three(by_length);
    let setup = before(on, &servers, "engine_io = { sessions = 1024 }");
    let proxy = setup.log("level = \"error\"").start();
    let mut client = proxy.client();
    let first: Vec<String> = (0..10).map(|_| open_on(&mut client)).collect();
    let held = |client: &mut Conn, sid: &String| client.get(&polling(sid)).status() == 200;
    assert!(first.iter().all(|sid| held(&mut client, sid)));
    // They are the oldest by a whole second.
    std::thread::sleep(Duration::from_millis(1_100));
    let later: Vec<String> = (0..1_000).map(|_| open_on(&mut client)).collect();
    // No more than are promised: all are there, and found though others come and go.
    assert!(later.iter().rev().all(|sid| held(&mut client, sid)));
    std::thread::sleep(Duration::from_millis(1_100));
    assert!(later.iter().rev().all(|sid| held(&mut client, sid)));
    for _ in 0..4_000 {
        open_on(&mut client);
    }
    // Of the unknown, one in three reaches its server by chance: they are asked for in another order than that of the
    // servers' turns.
    let left = first
        .iter()
        .rev()
        .filter(|sid| held(&mut client, sid))
        .count();
    assert!(left < 10, "{left} of 10");
    let young: Vec<String> = (0..100).map(|_| open_on(&mut client)).collect();
    let young = young
        .iter()
        .rev()
        .filter(|sid| held(&mut client, sid))
        .count();
    assert!(young > 85, "{young} of 100");
}

fn an_idle_session_is_forgotten(on: Driver) {
    let servers = three(by_length);
    let proxy = before(on, &servers, "engine_io = { idle = \"3s\" }").start();
    let (idle, busy) = (open(&proxy), open(&proxy));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(5_100) {
        assert_eq!(letter(&proxy, &busy), 'V');
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(letter(&proxy, &idle), 'I');
    assert_eq!(letter(&proxy, &busy), 'V');
}

fn a_session_leaves_a_server_that_is_down(on: Driver) {
    let mut servers = three(by_length);
    let check = "check = { interval = \"50ms\", timeout = \"5s\", rise = 1, fall = 1 }";
    let setup = Setup::new(on).sticky("engine_io = true");
    let setup = servers
        .iter()
        .fold(setup, |setup, server| setup.server_with(server, check));
    let proxy = setup.start();
    let sid = open_with(&proxy, "one-");
    servers[0].stop();
    proxy.wait_for_line("server app/one is down");
    assert_eq!(
        proxy.get(&polling(&sid)).status(),
        400,
        "somebody else does not know it"
    );
    assert_eq!(letter(&proxy, &sid), 'D');
    // The client begins anew and is held again; and the old server is no place to go back to before it is up.
    let sid = open(&proxy);
    assert_eq!(letter(&proxy, &sid), 'V');
}

fn a_session_leaves_a_server_that_refuses(on: Driver) {
    let mut servers = three(by_length);
    let setup = before(on, &servers, "engine_io = true").pool("retries = 1");
    let proxy = setup.timeouts("idle_link = \"1s\"").start();
    let sid = open_with(&proxy, "one-");
    servers[0].stop();
    let answer = proxy.get(&format!("{}&t=refused", polling(&sid)));
    assert_eq!(answer.status(), 400);
    let line = proxy.access_line("t=refused");
    assert_eq!(letter_of(&line.termination), 'D', "{line:?}");
    assert!(line.counts.ends_with("/+1"), "redispatched: {line:?}");
}

fn drain_keeps_a_session_and_maintenance_does_not(on: Driver) {
    let servers = three(by_length);
    let text = |state: &str| {
        let setup = Setup::new(on).sticky("engine_io = true");
        let setup = setup.server_with(&servers[0], &format!("state = \"{state}\""));
        setup.server(&servers[1]).server(&servers[2]).text()
    };
    let proxy = Proxy::start(on, &text("ready"));
    let sid = open_with(&proxy, "one-");
    for (state, wanted, reloads) in [
        ("drain", 'V', 1),
        ("maintenance", 'D', 2),
        ("ready", 'V', 3),
    ] {
        reload(&proxy, &text(state), reloads);
        assert_eq!(letter(&proxy, &sid), wanted, "{state}");
    }
}

fn a_reload_keeps_the_sessions(on: Driver) {
    let servers = three(by_length);
    let text = |sticky: &str, order: &[usize]| {
        let chosen = order.iter().map(|at| &servers[*at]);
        let setup = Setup::new(on).process("workers = 2").sticky(sticky);
        chosen
            .fold(setup, |setup, server| setup.server(server))
            .text()
    };
    let proxy = Proxy::start(on, &text("engine_io = true", &[0, 1, 2]));
    let sids: Vec<String> = ["one-", "two-", "three-"]
        .map(|name| open_with(&proxy, name))
        .into();
    let letters = || {
        sids.iter()
            .map(|sid| letter(&proxy, sid))
            .collect::<String>()
    };
    reload(&proxy, &text("engine_io = true", &[2, 1, 0]), 1);
    assert_eq!(letters(), "VVV");
    assert!(
        sids.iter()
            .all(|sid| proxy.get(&polling(sid)).status() == 200)
    );
    let other_size = "engine_io = { sessions = 2048, idle = \"5m\" }";
    reload(&proxy, &text(other_size, &[1, 0]), 2);
    assert_eq!(letters(), "VVI");
    assert!(
        sids[..2]
            .iter()
            .all(|sid| proxy.get(&polling(sid)).status() == 200)
    );
}

fn a_cookie_goes_first(on: Driver) {
    let servers = three(by_length);
    let setup = Setup::new(on)
        .sticky("cookie = \"SERVERID\"")
        .sticky("engine_io = true");
    let keyed = ["a", "b", "c"].iter().zip(&servers);
    let setup = keyed.fold(setup, |setup, (key, server)| {
        setup.server_with(server, &format!("cookie = \"{key}\""))
    });
    let proxy = setup.start();
    let sid = open_with(&proxy, "one-");
    let with = |cookie: &str| {
        let lines = format!("Cookie: SERVERID={cookie}\r\n");
        proxy.client().get_with(&polling(&sid), &lines)
    };
    assert_eq!(with("b").server(), "two");
    assert_eq!(with("a").server(), "one");
    // A cookie that names nobody decides nothing.
    (0..3).for_each(|_| assert_eq!(with("zzz").server(), "one"));
    // And who brings none is given the one of the session's server.
    for _ in 0..3 {
        let answer = proxy.get(&polling(&sid));
        assert_eq!(answer.server(), "one");
        assert!(
            answer
                .field("Set-Cookie")
                .unwrap()
                .starts_with("SERVERID=a;")
        );
    }
}

fn without_the_setting_nothing_is_held(on: Driver) {
    let servers = three(by_length);
    let proxy = Proxy::before(on, &servers.each_ref());
    let sid = open(&proxy);
    let statuses = [(); 3].map(|()| proxy.get(&polling(&sid)).status());
    assert!(statuses.contains(&400), "{statuses:?}");
    assert_eq!(letter(&proxy, &sid), '-');
}

// === Servers ===

/// How a server writes the answer that opens a session.
type Way = fn(&mut Conn, &str, &str);

fn three(way: Way) -> [Server; 3] {
    ["one", "two", "three"].map(|name| eio(name, way))
}

fn before(on: Driver, servers: &[Server], sticky: &str) -> Setup {
    let setup = Setup::new(on).sticky(sticky);
    servers
        .iter()
        .fold(setup, |setup, server| setup.server(server))
}

/// A server that knows the sessions that it opened: their ids begin with its name.
fn eio(name: &'static str, way: Way) -> Server {
    let count = AtomicUsize::new(0);
    Server::named_script(name, move |conn| {
        while let Some(request) = conn.read_request() {
            let sid = request.target().split("sid=").nth(1).unwrap_or_default();
            let sid = sid.split('&').next().unwrap_or_default();
            if sid.is_empty() {
                let number = count.fetch_add(1, Ordering::SeqCst);
                way(conn, name, &format!("{name}-{number}"));
            } else if !sid.starts_with(&format!("{name}-")) {
                let text = "{\"code\":1,\"message\":\"Session ID unknown\"}";
                let length = format!("Content-Length: {}\r\n", text.len());
                let head =
                    head(name, "application/json", &length).replace("200 OK", "400 Bad Request");
                let _ = conn.try_send(head + text);
            } else if let Some(key) = request.field("Sec-WebSocket-Key") {
                let accept = accept_of(key);
                let _ = conn.try_send(format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Accept: {accept}\r\n\r\n"
                ));
                while conn.try_read_frame().is_some() {}
                return;
            } else {
                answer(conn, name, "text/plain", "6");
            }
        }
    })
}

fn by_length(conn: &mut Conn, name: &str, sid: &str) {
    answer(conn, name, "text/plain; charset=UTF-8", &packet(sid));
}

fn chunked(conn: &mut Conn, name: &str, sid: &str) {
    let packet = packet(sid);
    let (one, two) = packet.split_at(10);
    let head = head(name, "text/plain", "Transfer-Encoding: chunked\r\n");
    let (first, second) = (one.len(), two.len());
    let _ = conn.try_send(format!(
        "{head}{first:x}\r\n{one}\r\n{second:x}\r\n{two}\r\n0\r\n\r\n"
    ));
}

fn answer(conn: &mut Conn, name: &str, content_type: &str, body: &(impl AsRef<[u8]> + ?Sized)) {
    let body = body.as_ref();
    let length = format!("Content-Length: {}\r\n", body.len());
    let _ = conn.try_send([head(name, content_type, &length).as_bytes(), body].concat());
}

fn head(name: &str, content_type: &str, lines: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nX-Server: {name}\r\nContent-Type: {content_type}\r\n{lines}\r\n")
}

/// As engine.io 6 writes it.
fn packet(sid: &str) -> String {
    format!(
        "0{{\"sid\":\"{sid}\",\"upgrades\":[\"websocket\"],\"pingInterval\":25000,\"pingTimeout\":20000,\
         \"maxPayload\":1000000}}"
    )
}

// === Clients ===

fn polling(sid: &str) -> String {
    match sid {
        "" => "/socket.io/?EIO=4&transport=polling".to_owned(),
        sid => format!("/socket.io/?EIO=4&transport=polling&sid={sid}"),
    }
}

fn open(proxy: &Proxy) -> String {
    open_on(&mut proxy.client())
}

fn open_on(client: &mut Conn) -> String {
    let answer = client.get(&polling(""));
    assert_eq!(answer.status(), 200);
    sid_in(&answer.text())
}

/// A session on the server of this name.
fn open_with(proxy: &Proxy, name: &str) -> String {
    let mut sids = (0..9).map(|_| open(proxy));
    sids.find(|sid| sid.starts_with(name))
        .expect("each server has its turn")
}

/// The id in a body in any form.
fn sid_in(text: &str) -> String {
    let rest = text
        .split("sid")
        .nth(1)
        .unwrap_or_else(|| panic!("no sid in {text:?}"));
    let word = rest.trim_start_matches(['"', '\\', ':']);
    word.split(['"', '\\']).next().unwrap().to_owned()
}

/// The third letter of the termination state of a request in this session.
fn letter(proxy: &Proxy, sid: &str) -> char {
    letter_at(proxy, "/socket.io/", sid)
}

fn letter_at(proxy: &Proxy, path: &str, sid: &str) -> char {
    static MARK: AtomicUsize = AtomicUsize::new(0);
    let mark = format!("t=mark{}.", MARK.fetch_add(1, Ordering::SeqCst));
    proxy.get(&format!("{path}?transport=x&sid={sid}&{mark}"));
    letter_of(&proxy.access_line(&mark).termination)
}

fn letter_of(termination: &str) -> char {
    termination.chars().nth(2).unwrap()
}

/// An id that is too long to be one is as good as none.
fn expected_of_unknown(answer: &Message) -> char {
    if sid_in(&answer.text()).len() > 128 {
        'N'
    } else {
        'I'
    }
}

fn reload(proxy: &Proxy, text: &str, count: u64) {
    proxy.rewrite_config(text);
    proxy.sighup();
    assert_eventually!(
        proxy
            .status()
            .is_some_and(|status| status["reloads"] == count)
    );
    // The workers take the plan from their mailboxes.
    std::thread::sleep(Duration::from_millis(100));
}
