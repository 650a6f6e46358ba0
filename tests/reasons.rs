//! A refused message has its reason in the log, as a word, in both forms.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use support::{Driver, Proxy, Server, Setup};

on_both_drivers!(
    a_refused_request_has_its_word,
    a_refused_response_has_its_word,
    what_is_not_refused_has_none,
);

fn with_json(on: Driver, server: &Server) -> (Proxy, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("log.json");
    let proxy = Setup::new(on)
        .server(server)
        .more(&format!(
            "[[log]]\ntarget = \"file:{}\"\nformat = \"json\"\n",
            json.display()
        ))
        .start();
    (proxy, folder)
}

/// The word in the last line of either form.
fn words(
    proxy: &Proxy,
    folder: &tempfile::TempDir,
    lines: usize,
) -> (Option<String>, Option<String>) {
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
        let lines_there: Vec<_> = proxy
            .lines()
            .into_iter()
            .filter(|line| line.contains(" http-in "))
            .collect();
        (lines_there.len() >= lines).then(|| lines_there.last().unwrap().clone())
    });
    let plain = plain
        .rsplit_once('"')
        .unwrap()
        .1
        .trim()
        .strip_prefix("refused=")
        .map(str::to_owned);
    let json = read().last().unwrap()["refused"]
        .as_str()
        .map(str::to_owned);
    (plain, json)
}

fn a_refused_request_has_its_word(on: Driver) {
    let server = Server::named("one");
    let (proxy, folder) = with_json(on, &server);
    for (number, (request, word)) in [
        ("GET / HTTP/1.1\nHost: a\n\n", "bare-line-end"),
        ("GET / HTTP/1.1\r\n\r\n", "host-missing"),
        ("\u{16}\u{3}\u{1}\u{2}\0\u{1}\0", "tls-on-plain-port"),
        ("GET / HTTP/1.1\r\nHost: a\r\nA b\r\n\r\n", "bad-field-name"),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "bad-chunk-size",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            "websocket-version",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let mut client = proxy.client();
        client.send(request);
        client.read_to_end();
        let word = Some(word.to_owned());
        assert_eq!(words(&proxy, &folder, number + 1), (word.clone(), word), "{request}");
    }
}

fn a_refused_response_has_its_word(on: Driver) {
    for (response, word) in [
        ("HTTP/1.1 200 OK\nContent-Length: 2\n\nok", "bare-line-end"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
            "lengths-differ",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokx",
            "bad-chunk-end",
        ),
    ] {
        let server = Server::answering_once(response);
        let (proxy, folder) = with_json(on, &server);
        let mut client = proxy.client();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        while client.try_read_until(b"\n").is_some() {}
        let word = Some(word.to_owned());
        assert_eq!(
            words(&proxy, &folder, 1),
            (word.clone(), word),
            "{response}"
        );
    }
}

fn what_is_not_refused_has_none(on: Driver) {
    let server = Server::named("one");
    let (proxy, folder) = with_json(on, &server);
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(words(&proxy, &folder, 1), (None, None));
}
