//! A refused message has its reason in the log, as a word, in both forms, and the place of its fault.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::collections::{BTreeMap, HashSet};

use ringbolt::wire::{Blame, Refusal};
use support::{Conn, Driver, Proxy, Server, Setup, ringbolt};

on_both_drivers!(
    a_refused_request_has_its_word_and_its_place,
    a_refused_response_has_its_word_and_its_place,
    a_fault_in_a_later_piece_has_its_place,
    a_refused_proxy_header_has_its_word,
    what_is_not_refused_has_none,
    a_verbose_answer_has_the_reason,
    errors_show_what_was_refused_and_no_secret,
    errors_show_the_last_64_of_all_workers,
);

fn with_json(on: Driver, server: &Server, listener: &str) -> (Proxy, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("log.json");
    let proxy = Setup::new(on)
        .listener(listener)
        .server(server)
        .more(&format!(
            "[[log]]\ntarget = \"file:{}\"\nformat = \"json\"\n",
            json.display()
        ))
        .start();
    (proxy, folder)
}

/// What both forms have of each message, in order: the word, and the place in JSON.
fn logged(
    proxy: &Proxy,
    folder: &tempfile::TempDir,
    lines: usize,
) -> Vec<(Option<String>, Option<u64>)> {
    let json = folder.path().join("log.json");
    let read = || -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(&json).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines
            .filter(|line: &serde_json::Value| line["event"] == "request")
            .collect()
    };
    assert_eventually!(read().len() >= lines);
    let plain = support::eventually("the plain lines", || {
        let plain = proxy.lines().into_iter();
        let plain: Vec<_> = plain.filter(|line| line.contains(" http-in ")).collect();
        (plain.len() >= lines).then_some(plain)
    });
    let plain = plain.iter().map(|line| {
        let behind = line.rsplit_once('"').unwrap().1.trim();
        behind.strip_prefix("refused=").map(str::to_owned)
    });
    let json: Vec<_> = read()
        .iter()
        .map(|line| {
            let word = line["refused"].as_str().map(str::to_owned);
            (word, line["refused_at"].as_u64())
        })
        .collect();
    assert_eq!(plain.collect::<Vec<_>>(), words(&json));
    json
}

fn words(logged: &[(Option<String>, Option<u64>)]) -> Vec<Option<String>> {
    logged.iter().map(|(word, _)| word.clone()).collect()
}

/// What is sent, and where the mark in it is.
fn unmarked(marked: &str) -> (String, Option<u64>) {
    let at = marked.find('¦').map(|at| at as u64);
    (marked.replacen('¦', "", 1), at)
}

/// Each reason that a client can give, and a message in which its place is marked.
fn requests() -> Vec<(String, &'static str)> {
    let get = "GET / HTTP/1.1\r\nHost: a\r\n";
    let post = "POST / HTTP/1.1\r\nHost: a\r\n";
    let chunks = format!("{post}Transfer-Encoding: chunked\r\n\r\n");
    let upgrade = format!("{get}Upgrade: websocket\r\nConnection: Upgrade\r\n");
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let [head, line, fields] = [
        format!("{get}A: {}¦bb", "b".repeat(16_384 - get.len() - 3)),
        format!("GET /{}¦bb", "b".repeat(16_384 - 5)),
        format!("GET / HTTP/1.1\r\n{}¦A: b\r\n\r\n", "A: b\r\n".repeat(100)),
    ];
    vec![
        (head, "head-too-large"),
        (line, "target-too-long"),
        (fields, "too-many-fields"),
        (format!("¦\n{get}\r\n"), "bad-start"),
        (
            "¦\u{16}\u{3}\u{1}\u{2}\0\u{1}\0".to_owned(),
            "tls-on-plain-port",
        ),
        ("GET ¦ / HTTP/1.1\r\n\r\n".to_owned(), "bad-request-line"),
        (
            "G¦et / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            "bad-method",
        ),
        (
            "¦TRACE / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            "method-not-implemented",
        ),
        (
            "GET /a¦%zz HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
            "bad-target",
        ),
        (
            "GET / HTTP/¦2.0\r\nHost: a\r\n\r\n".to_owned(),
            "bad-version",
        ),
        ("GET / HTTP/1.1¦\nHost: a\n\n".to_owned(), "bare-line-end"),
        (format!("{get}A¦ b\r\n\r\n"), "bad-field-name"),
        (format!("{get}¦ b: c\r\n\r\n"), "folded-field"),
        (format!("{get}A: b¦\u{1}\r\n\r\n"), "bad-field-value"),
        (
            format!("{post}¦Content_Length: 5\r\n\r\n"),
            "lookalike-field",
        ),
        (
            format!("{get}Expect: a\r\n¦Expect: a\r\n\r\n"),
            "field-repeated",
        ),
        ("GET / HTTP/1.1\r\n¦\r\n".to_owned(), "host-missing"),
        (format!("{get}¦Host: b\r\n\r\n"), "host-repeated"),
        (
            "GET / HTTP/1.1\r\nHost: a¦@b\r\n\r\n".to_owned(),
            "bad-host",
        ),
        (
            "GET http://a/ HTTP/1.1\r\n¦Host: b\r\n\r\n".to_owned(),
            "host-mismatch",
        ),
        (format!("{post}Content-Length: ¦+5\r\n\r\n"), "bad-length"),
        (
            format!("{post}Content-Length: 5\r\n¦Content-Length: 5\r\n\r\n"),
            "length-repeated",
        ),
        (
            format!("{post}Content-Length: 5\r\n¦Content-Length: 6\r\n\r\n"),
            "lengths-differ",
        ),
        (
            format!("{post}Content-Length: 5\r\n¦Transfer-Encoding: chunked\r\n\r\n"),
            "length-and-coding",
        ),
        (
            format!("{post}¦Transfer-Encoding: gzip\r\n\r\n"),
            "bad-coding",
        ),
        (
            format!("{post}¦Transfer-Encoding: gzip, chunked\r\n\r\n"),
            "unknown-coding",
        ),
        (
            "POST / HTTP/1.0\r\n¦Transfer-Encoding: chunked\r\n\r\n".to_owned(),
            "coding-in-old-version",
        ),
        (
            "GET / HTTP/1.0\r\n¦Content-Length: 5\r\n\r\n".to_owned(),
            "body-not-expected",
        ),
        (
            format!("{get}Connection: close, ¦a b\r\n\r\n"),
            "bad-connection",
        ),
        (format!("{chunks}¦x\r\n"), "bad-chunk-size"),
        (format!("{chunks}5;¦=a\r\nhello"), "bad-chunk-extension"),
        (format!("{chunks}5\r\nhello¦!"), "bad-chunk-end"),
        (format!("{chunks}5\r\nhello\r\n5¦\n"), "bare-line-end"),
        (format!("{chunks}0\r\n¦ a: b\r\n\r\n"), "bad-trailer"),
        (
            format!("{chunks}0\r\nHost¦: b\r\n\r\n"),
            "forbidden-trailer",
        ),
        (
            format!("{chunks}0\r\nA: {}¦bb", "b".repeat(16_381)),
            "trailers-too-large",
        ),
        (
            format!("{upgrade}Sec-WebSocket-Version: 13\r\n¦Sec-WebSocket-Key: x\r\n\r\n"),
            "bad-handshake",
        ),
        (
            format!("{upgrade}Sec-WebSocket-Version: ¦8\r\n{key}\r\n"),
            "websocket-version",
        ),
    ]
}

/// Each further reason that a server can give.
fn responses() -> Vec<(String, &'static str)> {
    let ok = "HTTP/1.1 200 OK\r\n";
    let chunks = format!("{ok}Transfer-Encoding: chunked\r\n\r\n");
    vec![
        ("¦<html>\r\n\r\n".to_owned(), "bad-status-line"),
        ("HTTP/¦2.0 200 OK\r\n\r\n".to_owned(), "bad-version"),
        (
            "HTTP/1.1 200 OK¦\nContent-Length: 2\n\nok".to_owned(),
            "bare-line-end",
        ),
        (format!("{ok}¦ a: b\r\n\r\n"), "folded-field"),
        (
            format!("{ok}Content-Length: 2\r\n¦Content-Length: 3\r\n\r\nok"),
            "lengths-differ",
        ),
        (
            "HTTP/1.1 103 Early\r\n¦Transfer-Encoding: chunked\r\n\r\n".to_owned(),
            "coding-without-body",
        ),
        (
            "HTTP/1.1 ¦101 Go\r\nUpgrade: websocket\r\n\r\n".to_owned(),
            "bad-switch",
        ),
        (
            format!("{}{ok}\r\n", "HTTP/1.1 103 Early\r\n\r\n".repeat(40)),
            "too-many-interims",
        ),
        (format!("{chunks}2\r\nok¦x"), "bad-chunk-end"),
        (format!("{chunks}2\r\nok\r\n¦x"), "bad-chunk-size"),
    ]
}

fn a_refused_request_has_its_word_and_its_place(on: Driver) {
    let server = Server::named("one");
    let (proxy, folder) = with_json(on, &server, "");
    let rows = requests();
    let mut wanted = Vec::new();
    for (marked, word) in &rows {
        let (request, at) = unmarked(marked);
        let mut client = proxy.client();
        client.send(request);
        client.read_to_end();
        wanted.push((Some((*word).to_owned()), at));
    }
    assert_eq!(logged(&proxy, &folder, rows.len()), wanted);
    assert_eq!(counted(&proxy, "client"), count(&rows));
    assert_eq!(counted(&proxy, "server"), BTreeMap::new());
    let shown = told(&proxy, &["status"]);
    let line = format!("{} requests refused: 2 bare-line-end, ", rows.len());
    let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        shown.contains(&line) && !shown.contains("responses refused"),
        "{shown}"
    );
}

/// What a command prints of it.
fn told(proxy: &Proxy, arguments: &[&str]) -> String {
    let mut command = ringbolt();
    let command = command.args(arguments).arg("--socket");
    let output = command.arg(proxy.control_socket()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// What status has of one side.
fn counted(proxy: &Proxy, side: &str) -> BTreeMap<String, u64> {
    let status = proxy.status().unwrap();
    serde_json::from_value(status["refused_messages"][side].clone()).unwrap()
}

fn count(rows: &[(String, &'static str)]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (_, word) in rows {
        *counts.entry((*word).to_owned()).or_default() += 1;
    }
    counts
}

fn a_refused_response_has_its_word_and_its_place(on: Driver) {
    let rows = responses();
    let bytes: Vec<_> = rows.iter().map(|(marked, _)| unmarked(marked).0).collect();
    let server = Server::script(move |conn: &mut Conn| {
        let Some(request) = conn.read_request() else {
            return;
        };
        let number: usize = request.target().trim_matches('/').parse().unwrap();
        let _ = conn.try_send(&bytes[number]);
    });
    let (proxy, folder) = with_json(on, &server, "");
    let mut wanted = Vec::new();
    for (number, (marked, word)) in rows.iter().enumerate() {
        let mut client = proxy.client();
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        while client.try_read_until(b"\n").is_some() {}
        // The head of an interim response that is one too many.
        let at = unmarked(marked).1.or(Some(0));
        wanted.push((Some((*word).to_owned()), at));
    }
    assert_eq!(logged(&proxy, &folder, rows.len()), wanted);
    assert_eq!(counted(&proxy, "server"), count(&rows));
    assert_eq!(counted(&proxy, "client"), BTreeMap::new());
}

fn a_fault_in_a_later_piece_has_its_place(on: Driver) {
    let (go_on, wait) = std::sync::mpsc::channel();
    let wait = std::sync::Mutex::new(wait);
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n";
    let server = Server::script(move |conn: &mut Conn| {
        let Some(request) = conn.read_request_head() else {
            return;
        };
        if request.method() == "POST" {
            conn.send("HTTP/1.1 100 Continue\r\n\r\n");
            while conn.try_read_exactly(1).is_some() {}
        } else {
            conn.send(head);
            wait.lock().unwrap().recv().unwrap();
            let _ = conn.try_send("2\r\nok!");
        }
    });
    let (proxy, folder) = with_json(on, &server, "");
    let begun = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let mut client = proxy.client();
    client.send(begun).read_until(b"Continue\r\n\r\n");
    client.send("1\r\nx\r\ny").read_to_end();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_until(b"ok\r\n");
    go_on.send(()).unwrap();
    while client.try_read_until(b"\n").is_some() {}
    let row = |word: &str, at: usize| (Some(word.to_owned()), Some(at as u64));
    let wanted = [
        row("bad-chunk-size", begun.len() + 6),
        row("bad-chunk-end", head.len() + 5),
    ];
    assert_eq!(logged(&proxy, &folder, 2), wanted);
}

fn a_refused_proxy_header_has_its_word(on: Driver) {
    let server = Server::named("one");
    let (proxy, folder) = with_json(on, &server, "proxy_protocol = [\"127.0.0.0/8\"]");
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.read_to_end();
    let wanted = (Some("bad-proxy-header".to_owned()), Some(0));
    assert_eq!(logged(&proxy, &folder, 1), [wanted]);
}

fn what_is_not_refused_has_none(on: Driver) {
    let server = Server::named("one");
    let (proxy, folder) = with_json(on, &server, "");
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(logged(&proxy, &folder, 1), [(None, None)]);
    assert_eq!(counted(&proxy, "client"), BTreeMap::new());
    assert!(!told(&proxy, &["status"]).contains("refused"));
}

fn a_verbose_answer_has_the_reason(on: Driver) {
    let server = Server::named("one");
    let answer = |lines: &str, request: &str| {
        let proxy = Setup::new(on).listener(lines).server(&server).start();
        let mut client = proxy.client();
        client.send(request);
        let answer = client.read_response();
        client.expect_closed();
        answer
    };
    let missing = "GET / HTTP/1.1\r\n\r\n";
    let verbose = "verbose_errors = true\n";
    let page = "error_pages = { 400 = { body = \"ours\", type = \"text/plain\" } }\n";
    assert_eq!(answer(verbose, missing).status(), 400);
    assert!(
        answer(verbose, missing)
            .text()
            .ends_with("<p><code>host-missing</code> at offset 16: Send a Host field.\n")
    );
    let upgrade = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let version = answer(verbose, upgrade);
    assert_eq!(
        (version.status(), version.field("Sec-WebSocket-Version")),
        (426, Some("13"))
    );
    assert!(
        version
            .text()
            .contains("<code>websocket-version</code> at offset 89: Use")
    );
    for lines in ["", "verbose_errors = false\n"] {
        assert!(!answer(lines, missing).text().contains("host-missing"));
    }
    assert_eq!(answer(&format!("{verbose}{page}"), missing).text(), "ours");
}

fn errors_show_what_was_refused_and_no_secret(on: Driver) {
    let server = Server::answering_once(
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=s3cret\r\n s3cret: b\r\n\r\ns3cret",
    );
    let own = "[[route]]\npath = \"/own\"\nanswer = { body = \"ours\", type = \"text/plain\" }\n";
    let proxy = Setup::new(on).server(&server).more(own).start();
    assert_eq!(told(&proxy, &["errors"]), "no message was refused\n");
    let requests = [
        "GET /cart?id=s3cret HTTP/1.1\r\nHost: a\r\nX-Customer Id: 7\r\nCookie: a=s3cret\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\ns3cret",
        "{\"a\":\"s3cret\"}",
        "s3cret was a body, and not a request\r\n\r\n",
    ];
    let mut client_ports = Vec::new();
    for request in requests {
        let mut client = proxy.client();
        client_ports.push(client.local_address().port());
        client.send(request).read_to_end();
    }
    // What is no request behind one may be the rest of its body.
    let mut client = proxy.client();
    client_ports.push(client.local_address().port());
    client.send("GET /own HTTP/1.1\r\nHost: a\r\n\r\ns3cret here\r\n\r\n");
    client.read_to_end();
    let text = told(&proxy, &["errors"]);
    // Without times and ports.
    let is_time =
        |word: &&str| word.len() == 29 && word.starts_with("20") && word.ends_with("+00:00");
    let mut shown: String = text
        .split_inclusive('\n')
        .map(|line| match line.split(' ').next().filter(is_time) {
            Some(time) => line.replace(time, "TIME"),
            None => line.to_owned(),
        })
        .collect();
    for port in client_ports {
        shown = shown.replace(&format!("127.0.0.1:{port} "), "CLIENT ");
    }
    let advice = |refusal: Refusal, from: Blame| {
        format!("  {}\n  {}\n", refusal.meaning(), refusal.advice(from))
    };
    let wanted = [
        "6 messages refused, oldest first\n\nTIME request of CLIENT at http-in: bad-field-name at offset 49\n",
        &advice(Refusal::BadFieldName, Blame::Client),
        "  00000  GET /cart?id=****** HTTP/1.1\\r\\n\n  00030  Host: a\\r\\n\n",
        "  00039  X-Customer Id:**\\r\\n\n                   ^\n",
        "  00057  Cookie: ********\\r\\n\n  00075  \\r\\n\n",
        "\nTIME response of app/one to CLIENT at http-in: folded-field at offset 39\n",
        &advice(Refusal::FoldedField, Blame::Server),
        "  00000  HTTP/1.1 200 OK\\r\\n\n  00017  Set-Cookie: ********\\r\\n\n",
        "  00039  **********\\r\\n\n         ^\n  00051  \\r\\n\n",
        "\nTIME request of CLIENT at http-in for app/one: bad-chunk-size at offset 56\n",
        &advice(Refusal::BadChunkSize, Blame::Client),
        "  (not shown: it is, or may be, part of a body)\n",
        "\nTIME request of CLIENT at http-in: bad-request-line at offset 0\n",
        &advice(Refusal::BadRequestLine, Blame::Client),
        "  00000  {\"a\":*********\n         ^\n",
        "\nTIME request of CLIENT at http-in: bad-request-line at offset 11\n",
        &advice(Refusal::BadRequestLine, Blame::Client),
        "  00000  s3cret was a bod\n                    ^\n",
        "\nTIME request of CLIENT at http-in: bad-request-line at offset 11\n",
        &advice(Refusal::BadRequestLine, Blame::Client),
        "  (not shown: it is, or may be, part of a body)\n",
    ];
    assert_eq!(shown, wanted.concat());
    let json = told(&proxy, &["errors", "--json"]);
    let errors: serde_json::Value = serde_json::from_str(&json).unwrap();
    let first = &errors["messages"][0];
    assert_eq!(errors["total"], 6);
    assert_eq!(
        (&first["side"], &first["reason"]),
        (&"client".into(), &"bad-field-name".into())
    );
    assert_eq!(
        (&first["offset"], &first["listener"]),
        (&49.into(), &"http-in".into())
    );
    assert_eq!(first["excerpt"][2]["mark"], 10);
    assert_eq!(errors["messages"][1]["server"], "one");
    // The beginning of what is no HTTP, by which its protocol can be told.
    assert!(
        !json.replace("s3cret was a bod", "").contains("s3cret"),
        "{json}"
    );
}

fn errors_show_the_last_64_of_all_workers(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .process("workers = 2\n")
        .server(&server)
        .start();
    for number in 0..140 {
        let mut client = proxy.client();
        client
            .send(format!("GET /{number} HTTP/1.1\r\n\r\n"))
            .read_to_end();
    }
    let errors: serde_json::Value =
        serde_json::from_str(&told(&proxy, &["errors", "--json"])).unwrap();
    assert_eq!(errors["total"], 140);
    let messages = errors["messages"].as_array().unwrap();
    let times: Vec<_> = messages
        .iter()
        .map(|m| m["time_ms"].as_u64().unwrap())
        .collect();
    assert!(times.len() == 64 && times.is_sorted(), "{times:?}");
    // Those of two workers are in any order where their times are equal.
    let mut last = messages.iter();
    assert!(last.any(|message| message["excerpt"][0]["text"] == "GET /139 HTTP/1.1\\r\\n"));
    let text = told(&proxy, &["errors"]);
    assert!(
        text.starts_with("the last 64 of 140 messages refused, oldest first\n"),
        "{text}"
    );
}

/// A reason that no message above gives would be one that nobody has seen.
#[test]
fn every_reason_is_given() {
    let (requests, responses) = (requests(), responses());
    let given = requests.iter().chain(&responses).map(|(_, word)| *word);
    let given: HashSet<_> = given.chain(["bad-proxy-header"]).collect();
    let all: HashSet<_> = Refusal::ALL.iter().map(|refusal| refusal.word()).collect();
    assert_eq!(given, all);
}

/// Each reason stands in the documentation with what it means and what to do.
#[test]
fn every_reason_is_documented() {
    let list = include_str!("../docs/messages.md");
    for refusal in Refusal::ALL {
        let row = format!(
            "| `{}` | {} | {} |",
            refusal.word(),
            refusal.meaning(),
            refusal.advice(Blame::Client)
        );
        assert!(list.contains(&row), "missing in docs/messages.md: {row}");
    }
}
