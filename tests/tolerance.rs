//! What HAProxy and nginx carry although it is not as it should be: accepted within bounds, and always passed on in the strict
//! form. Beside each are the twins that stay refused.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::time::Duration;

use support::{Conn, Driver, Proxy, Server, Setup};

on_both_drivers!(
    blanks_and_zeros_of_chunk_sizes_do_not_reach_the_server,
    blanks_and_zeros_of_chunk_sizes_do_not_reach_the_client,
    a_chunked_body_that_is_sent_again_is_the_strict_one,
    a_transfer_coding_without_a_body_is_dropped_and_its_link_with_it,
    many_interim_answers_pass_at_a_pace,
    a_few_empty_lines_between_requests_are_skipped,
    a_request_for_no_host_is_one,
    targets_of_all_kinds_reach_the_server_in_the_strict_form,
    lists_may_stand_in_several_fields,
    parameters_of_a_connection_option_are_ignored,
    trailers_that_may_not_be_any_are_dropped,
    quoted_cookies_that_contain_our_name_are_not_ours,
);

/// Sends it whole, or byte by byte.
fn send(conn: &mut Conn, bytes: &str, by_the_byte: bool) {
    match by_the_byte {
        false => conn.send(bytes),
        true => conn.send_by_the_byte(bytes),
    };
}

// === Chunks ===

/// Chunked bodies of which the size lines have more than they should, all of one strict form.
const PADDED: [&str; 5] = [
    "5     \r\nhello\r\n0 \r\n\r\n",
    "5\t\r\nhello\r\n0\t \t\r\n\r\n",
    "5 ;a=b\r\nhello\r\n0;last\r\n\r\n",
    "5 ; a = \"b;\\\"c\" ; d \r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0000000000000000000000\r\n\r\n",
];

fn blanks_and_zeros_of_chunk_sizes_do_not_reach_the_server(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let mut client = proxy.client();
    for body in PADDED {
        for by_the_byte in [false, true] {
            send(&mut client, &format!("{head}{body}"), by_the_byte);
            assert_eq!(client.read_response().text(), "one", "{body:?}");
            let raw = server.last_request().raw_body;
            assert_eq!(
                String::from_utf8_lossy(&raw),
                "5\r\nhello\r\n0\r\n\r\n",
                "{body:?}"
            );
        }
    }
    // One leading zero goes on; a body that does not fit one buffer is as strict.
    let large = format!("000002710 \r\n{}\r\n", "x".repeat(10_000)).repeat(20) + "0\r\n\r\n";
    client.send(format!("{head}{large}"));
    assert_eq!(client.read_response().text(), "one");
    let raw = server.last_request().raw_body;
    let strict = format!("02710\r\n{}\r\n", "x".repeat(10_000)).repeat(20) + "0\r\n\r\n";
    assert!(raw == strict.as_bytes(), "{}", raw[..20].escape_ascii());

    let before = server.requests().len();
    for body in [
        format!("5{}\r\nhello\r\n0\r\n\r\n", " ".repeat(300)),
        format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(300)),
        " 5\r\nhello\r\n0\r\n\r\n".to_owned(),
        "5 5\r\nhello\r\n0\r\n\r\n".to_owned(),
        "5 \nhello\r\n0\r\n\r\n".to_owned(),
        "5;\r\nhello\r\n0\r\n\r\n".to_owned(),
        "5;;\r\nhello\r\n0\r\n\r\n".to_owned(),
        "5; =x\r\nhello\r\n0\r\n\r\n".to_owned(),
    ] {
        for by_the_byte in [false, true] {
            let mut client = proxy.client();
            send(&mut client, &format!("{head}{body}"), by_the_byte);
            let answer = String::from_utf8(client.read_to_end()).unwrap();
            let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 400 ");
            assert!(refused, "{body:?} got {answer:?}");
        }
    }
    assert_eventually!(server.open() <= 1);
    assert_eq!(server.requests().len(), before);
}

fn blanks_and_zeros_of_chunk_sizes_do_not_reach_the_client(on: Driver) {
    let bodies = PADDED
        .iter()
        .chain(&["5;\r\nhello\r\n0;;\r\n\r\n", "5; =x\r\nhello\r\n0\r\n\r\n"]);
    for body in bodies {
        for by_the_byte in [false, true] {
            let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            let server = Server::script(move |conn| {
                while conn.read_request().is_some() {
                    send(conn, &answer, by_the_byte);
                }
            });
            let proxy = Proxy::before(on, &[&server]);
            let mut client = proxy.client();
            for _ in 0..2 {
                let reply = client.get("/");
                let raw = String::from_utf8_lossy(&reply.raw_body).into_owned();
                assert_eq!(raw, "5\r\nhello\r\n0\r\n\r\n", "{body:?}");
            }
            assert_eq!(server.connections(), 1, "{body:?}");
        }
    }
}

fn a_chunked_body_that_is_sent_again_is_the_strict_one(on: Driver) {
    let failing = Server::answering("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n");
    let good = Server::named("two");
    let proxy = Setup::new(on)
        .pool("balance = \"first\"\nretry = { on = [\"503\"] }")
        .server(&failing)
        .server(&good)
        .start();
    for by_the_byte in [false, true] {
        let request = format!(
            "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}",
            PADDED[2]
        );
        let mut client = proxy.client();
        send(&mut client, &request, by_the_byte);
        assert_eq!(client.read_response().text(), "two");
        for server in [&failing, &good] {
            let raw = server.last_request().raw_body;
            assert_eq!(String::from_utf8_lossy(&raw), "5\r\nhello\r\n0\r\n\r\n");
        }
    }
}

// === Responses ===

fn a_transfer_coding_without_a_body_is_dropped_and_its_link_with_it(on: Driver) {
    for status in ["204 No Content", "304 Not Modified"] {
        // Some servers send the chunks as well.
        for behind in ["", "0\r\n\r\n"] {
            let answer = format!(
                "HTTP/1.1 {status}\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n{behind}"
            );
            let server = Server::answering(&answer);
            let proxy = Proxy::before(on, &[&server]);
            let mut client = proxy.client();
            for number in 1..=3 {
                let reply = client.get("/");
                assert!(status.starts_with(&reply.status().to_string()));
                assert_eq!(reply.field("X-A"), Some("b"));
                assert!(!reply.has("Transfer-Encoding"), "{}", reply.head);
                assert_eq!(server.connections(), number, "a link was used again");
            }
        }
    }
    let server = Server::answering(
        "HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let proxy = Proxy::before(on, &[&server]);
    assert_eq!(proxy.get("/").status(), 502);
}

fn many_interim_answers_pass_at_a_pace(on: Driver) {
    const COUNT: usize = 40;
    let server = Server::script(|conn| {
        conn.read_request();
        for _ in 0..COUNT {
            conn.send("HTTP/1.1 102 Processing\r\n\r\n");
            std::thread::sleep(Duration::from_millis(40));
        }
        conn.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone");
    });
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    for _ in 0..COUNT {
        assert_eq!(client.read_response().status(), 102);
    }
    assert_eq!(client.read_response().text(), "done");
}

fn parameters_of_a_connection_option_are_ignored(on: Driver) {
    let answer = |connection: &str| {
        format!(
            "HTTP/1.1 200 OK\r\nConnection: {connection}\r\nX-A: b\r\nContent-Length: 2\r\n\r\nok"
        )
    };
    for (connection, kept) in [
        ("Keep-Alive; timeout=5", true),
        ("Keep-Alive; timeout=5, max=100", true),
        ("close; x=y", false),
    ] {
        let server = Server::answering(answer(connection));
        let proxy = Proxy::before(on, &[&server]);
        let mut client = proxy.client();
        for _ in 0..2 {
            let reply = client.get("/");
            assert_eq!((reply.status(), reply.text().as_str()), (200, "ok"));
            assert!(!reply.has("Connection"), "{}", reply.head);
        }
        assert_eq!(server.connections() == 1, kept, "{connection}");
    }
    let server = Server::answering_once(answer("a b; c"));
    let proxy = Proxy::before(on, &[&server]);
    assert_eq!(proxy.get("/").status(), 502);
    // A client's has none.
    let before = server.requests().len();
    let mut client = proxy.client();
    let reply = client.get_with("/", "Connection: Keep-Alive; timeout=5\r\n");
    assert_eq!((reply.status(), server.requests().len()), (400, before));
}

fn trailers_that_may_not_be_any_are_dropped(on: Driver) {
    let trailers = "Date: x\r\nX-Sum: 1\r\nExpires: y\r\nCache-Control: z\r\nX-Last: 2\r\n";
    let answer = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n{trailers}\r\n"
    );
    for by_the_byte in [false, true] {
        let answer = answer.clone();
        let server = Server::script(move |conn| {
            while conn.read_request().is_some() {
                send(conn, &answer, by_the_byte);
            }
        });
        let proxy = Proxy::before(on, &[&server]);
        let mut client = proxy.client();
        let wanted = [("X-Sum", "1"), ("X-Last", "2")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        for _ in 0..2 {
            let request = format!(
                "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n{trailers}\r\n"
            );
            send(&mut client, &request, by_the_byte);
            let reply = client.read_response();
            assert_eq!(
                (reply.text().as_str(), reply.trailers),
                ("abc", wanted.to_vec())
            );
            assert_eq!(server.last_request().trailers, wanted);
        }
        assert_eq!(server.connections(), 1);
    }
    for trailer in [
        "Content-Length: 5",
        "Set-Cookie: a=b",
        "Connection: close",
        "Content_Type: x",
    ] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n{trailer}\r\n\r\n"
        );
        let server = Server::answering_once(&answer);
        let proxy = Proxy::before(on, &[&server]);
        assert_eq!(proxy.get("/").status(), 502, "{trailer}");
    }
}

// === Requests ===

fn a_few_empty_lines_between_requests_are_skipped(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for by_the_byte in [false, true] {
        for lines in [1, 2, 3, 8] {
            send(&mut client, &("\r\n".repeat(lines) + request), by_the_byte);
            assert_eq!(client.read_response().status(), 200, "{lines}");
        }
    }
    for start in [
        &"\r\n".repeat(20)[..],
        "\n",
        "\r\n\n",
        "\r\n\r",
        "\r\n \r\n",
    ] {
        let mut client = proxy.client();
        client.send(format!("{start}{request}"));
        let reply = client.read_response();
        assert_eq!(reply.status(), 400, "{start:?}");
        client.expect_closed();
    }
    assert_eq!(server.requests().len(), 8);
}

fn a_request_for_no_host_is_one(on: Driver) {
    let (any, named) = (Server::named("any"), Server::named("named"));
    let proxy = Setup::new(on)
        .listener("monitor = \"/healthz\"")
        .server(&any)
        .more("[[route]]\nhost = \"a\"\npool = \"named\"\n[[route]]\nhost = \"*.a\"\npool = \"named\"\n")
        .more("[[route]]\npath = \"/moved\"\nredirect = \"https://{host}/\"\n")
        .more(&format!(
            "[[pool.named.server]]\nname = \"named\"\naddress = \"{}\"\n",
            named.address()
        ))
        .start();
    let mut client = proxy.client();
    let mut ask = |target: &str, host: &str| {
        client.request(&format!("GET {target} HTTP/1.1\r\nHost:{host}\r\n\r\n"))
    };
    assert_eq!(ask("/healthz", "").status(), 200);
    assert_eq!(ask("/", " ").text(), "any");
    assert_eq!(any.last_request().field("Host"), Some(""));
    for host in ["\ta", " \t a", "a"] {
        assert_eq!(ask("/", host).text(), "named", "{host:?}");
        let all = named.received().concat();
        let all = String::from_utf8_lossy(&all);
        let last = all.rfind("Host:").unwrap();
        assert!(all[last..].starts_with("Host: a\r\n"), "{}", &all[last..]);
    }
    for (target, host) in [
        ("/moved", ""),
        ("/", " :80"),
        ("/", " a\t"),
        ("/", " a\tb"),
        ("/", "\r\nHost:"),
        ("http://a/", ""),
        ("http:///", ""),
    ] {
        let mut client = proxy.client();
        let reply = client.request(&format!("GET {target} HTTP/1.1\r\nHost:{host}\r\n\r\n"));
        assert_eq!(reply.status(), 400, "{target} {host:?}");
    }
    assert_eq!(any.requests().len() + named.requests().len(), 4);
}

fn targets_of_all_kinds_reach_the_server_in_the_strict_form(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .more("[[route]]\npath_prefix = \"/moved\"\nredirect = \"https://a{path}{query}\"\n")
        .start();
    let mut client = proxy.client();
    for (target, strict) in [
        (
            "/caf\u{e9}?\u{20ac}=\u{1f600}&b",
            "/caf%C3%A9?%E2%82%AC=%F0%9F%98%80&b",
        ),
        ("/%41\u{e9}/../x|y", "/%41%C3%A9/../x|y"),
        ("http://a/\u{e9}", "/%C3%A9"),
        ("ws://a/b?c", "/b?c"),
        ("wss://a:443/", "/"),
        ("WS://a", "/"),
    ] {
        let host = if target.contains("443") { "a:443" } else { "a" };
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        for by_the_byte in [false, true] {
            send(&mut client, &request, by_the_byte);
            assert_eq!(client.read_response().status(), 200, "{target}");
            assert_eq!(server.last_request().target(), strict);
        }
    }
    let reply = client.get("/moved/\u{e9}?\u{e9}");
    assert_eq!(
        reply.field("Location"),
        Some("https://a/moved/%C3%A9?%C3%A9")
    );
    let before = server.requests().len();
    for target in [
        &b"/\xe9"[..],
        b"/\x80",
        b"/\xc3\xa9#f",
        b"/\xc3\xa9/../../x",
        b"http://\xc3\xa9/",
        b"ws:/a/",
        b"ftp://a/",
    ] {
        let mut client = proxy.client();
        client.send([b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat());
        assert_eq!(
            client.read_response().status(),
            400,
            "{}",
            target.escape_ascii()
        );
    }
    assert_eq!(server.requests().len(), before);
}

fn lists_may_stand_in_several_fields(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    for name in ["If-Match", "If-None-Match"] {
        let lines = format!("{name}: \"a\"\r\n{name}: \"b\"\r\n");
        assert_eq!(proxy.client().get_with("/", &lines).status(), 200);
        assert_eq!(server.last_request().fields(name), ["\"a\"", "\"b\""]);
    }
    let before = server.requests().len();
    for name in ["If-Modified-Since", "If-Range", "Authorization", "Expect"] {
        let lines = format!("{name}: a\r\n{name}: b\r\n");
        assert_eq!(proxy.client().get_with("/", &lines).status(), 400, "{name}");
    }
    assert_eq!(server.requests().len(), before);
}

fn quoted_cookies_that_contain_our_name_are_not_ours(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = Setup::new(on)
        .sticky("cookie = \"SID\"")
        .server_with(&one, "cookie = \"a\"")
        .server_with(&two, "cookie = \"b\"")
        .start();
    for (cookie, server, passed) in [
        // What HAProxy 3.0 does with the same configuration.
        ("q=\"1; SID=b\"; r=2", None, Some("q=\"1; SID=b\"; r=2")),
        ("q=\"1, SID=b\"; r=2", None, Some("q=\"1, SID=b\"; r=2")),
        ("q=\"1; SID=b\"; SID=a", Some("one"), Some("q=\"1; SID=b\"")),
        ("SID=b; q=\"1; SID=a\"", Some("two"), Some("q=\"1; SID=a\"")),
        ("q=1\"; SID=b\"2; r=2", None, Some("q=1\"; SID=b\"2; r=2")),
        (
            "q=\"\\\"; SID=b\"; r=2",
            None,
            Some("q=\"\\\"; SID=b\"; r=2"),
        ),
        ("SID=\"b\"; r=2", Some("two"), Some("r=2")),
        // A quote that is not closed takes no client off its server.
        ("q=5\"; SID=b", Some("two"), Some("q=5\"")),
    ] {
        let reply = proxy
            .client()
            .get_with("/", &format!("Cookie: {cookie}\r\n"));
        let chosen = match reply.server() {
            "one" => &one,
            _ => &two,
        };
        if let Some(server) = server {
            assert_eq!(reply.server(), server, "{cookie}");
        } else {
            assert!(reply.has("Set-Cookie"), "{cookie}: {}", reply.head);
        }
        assert_eq!(chosen.last_request().field("Cookie"), passed, "{cookie}");
    }
}
