//! The persistence cookie: who gets one, who keeps their server, who is moved.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use support::{Driver, Message, Proxy, Server, Setup, handshake, handshake_with};

on_both_drivers!(
    without_a_cookie_one_is_inserted,
    attributes_stand_in_a_fixed_order,
    a_valid_cookie_is_not_sent_again_and_stays_unseen,
    an_unknown_key_is_replaced,
    an_empty_key_is_replaced,
    two_of_our_cookies_in_one_field,
    our_cookie_in_a_second_field,
    our_cookie_alone_takes_its_field_along,
    our_cookie_first_in_the_middle_and_last,
    a_quoted_value_is_understood,
    spaces_around_the_equals_sign_are_understood,
    names_are_compared_exactly,
    a_cookie_of_a_down_server_is_replaced,
    a_cookie_of_a_draining_server_is_honoured,
    a_cookie_of_a_server_in_maintenance_is_replaced,
    refused_with_redispatch_moves_the_client,
    refused_without_redispatch_is_a_503,
    a_handshakes_answer_carries_the_cookie,
    an_interim_answer_does_not_carry_the_cookie,
    answers_of_any_status_carry_the_cookie,
    nocache_marks_what_could_be_stored,
    answers_to_head_carry_the_cookie,
    postonly_issues_in_answers_to_post,
    insert_without_indirect_lets_the_server_see_the_cookie,
    the_servers_own_cookie_is_removed_in_insert_mode,
    the_servers_own_cookie_is_preserved_when_asked_for,
    rewrite_mode_writes_into_the_servers_cookie,
    prefix_mode_goes_before_the_servers_value,
    passive_mode_only_reads,
    a_cookie_is_refreshed_once_a_step,
    an_idle_cookie_expires,
    an_old_cookie_expires,
    a_clock_far_ahead_is_not_believed,
    a_server_without_a_key_makes_the_client_forget,
    a_shared_key_fails_over_in_file_order,
    dynamic_keys_come_from_the_address,
    signed_values_are_opaque_and_checked,
    forced_requests_reach_a_server_in_maintenance,
    ignored_requests_get_no_cookie,
    a_weight_of_zero_takes_only_sticky_clients,
    the_cookie_of_haproxy_is_understood,
);

/// Two servers with the keys `a` and `b`, and these lines under `sticky`.
fn pair(on: Driver, one: &Server, two: &Server, lines: &str) -> Setup {
    Setup::new(on)
        .sticky("cookie = \"SERVERID\"")
        .sticky(lines)
        .server_with(one, "cookie = \"a\"")
        .server_with(two, "cookie = \"b\"")
}

/// A GET with this `Cookie` field.
fn with_cookie(proxy: &Proxy, cookie: &str) -> Message {
    proxy
        .client()
        .get_with("/", &format!("Cookie: {cookie}\r\n"))
}

/// What is expected of a request that names the second server.
fn assert_kept(reply: &Message) {
    assert_eq!(
        (reply.server(), reply.set_cookie("SERVERID")),
        ("two", None),
        "{}",
        reply.head
    );
}

/// The pair of cookie letters of the only request for this target.
fn letters(proxy: &Proxy, target: &str) -> String {
    proxy.access_line(&format!(" {target} ")).termination[2..].to_owned()
}

// === Issuing ===

fn without_a_cookie_one_is_inserted(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = pair(on, &one, &two, "").start();
    for (server, key) in [("one", "a"), ("two", "b"), ("one", "a")] {
        let reply = proxy.get("/");
        assert_eq!(reply.server(), server);
        assert_eq!(
            reply.field("Set-Cookie"),
            Some(format!("SERVERID={key}; Path=/").as_str())
        );
    }
    assert_eq!(letters(&proxy, "/"), "NI");
}

fn attributes_stand_in_a_fixed_order(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let lines = "domain = [\"a.example\", \"b.example\"]\nhttp_only = true\nsecure = true\nsame_site = \"lax\"\npath = \"/app\"\nmax_age = \"1h\"\nattributes = [\"Priority=High\"]";
    let proxy = pair(on, &one, &two, lines).start();
    assert_eq!(
        proxy.get("/").field("Set-Cookie"),
        Some(
            "SERVERID=a; Path=/app; Domain=a.example; Domain=b.example; HttpOnly; Secure; SameSite=Lax; Max-Age=3600; Priority=High"
        )
    );
}

fn a_valid_cookie_is_not_sent_again_and_stays_unseen(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = pair(on, &one, &two, "").start();
    for _ in 0..4 {
        assert_kept(&with_cookie(&proxy, "x=1; SERVERID=b; y=2"));
        assert_eq!(two.last_request().field("Cookie"), Some("x=1; y=2"));
    }
    assert_eq!(letters(&proxy, "/"), "VN");
    assert!(one.requests().is_empty());
}

fn an_unknown_key_is_replaced(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = pair(on, &one, &two, "").start();
    for key in ["c", "A", "aa", "a~", "one"] {
        let reply = with_cookie(&proxy, &format!("SERVERID={key}"));
        assert!(
            reply.set_cookie("SERVERID").is_some(),
            "{key}: {}",
            reply.head
        );
    }
    assert_eq!(letters(&proxy, "/"), "II");
    let requests = [one.requests(), two.requests()].concat();
    assert!(
        requests.iter().all(|request| !request.has("Cookie")),
        "not even a wrong one is seen"
    );
}

fn an_empty_key_is_replaced(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = pair(on, &one, &two, "").start();
    let reply = with_cookie(&proxy, "SERVERID=");
    assert_eq!(reply.set_cookie("SERVERID").as_deref(), Some("a"));
    assert_eq!(letters(&proxy, "/"), "II");
}

// === Reading ===

fn two_of_our_cookies_in_one_field(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = pair(on, &one, &two, "").start();
    assert_kept(&with_cookie(&proxy, "SERVERID=b; x=1; SERVERID=b"));
    assert_eq!(
        two.last_request().field("Cookie"),
        Some("x=1"),
        "both are removed"
    );
}

fn our_cookie_in_a_second_field(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = pair(on, &one, &two, "").start();
    let reply = proxy
        .client()
        .get_with("/", "Cookie: x=1\r\nCookie: SERVERID=b\r\n");
    assert_kept(&reply);
    assert_eq!(two.last_request().fields("Cookie"), ["x=1"]);
}

fn our_cookie_alone_takes_its_field_along(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = pair(on, &one, &two, "").start();
    for cookie in ["SERVERID=b", "SERVERID=b;", " SERVERID=b ; "] {
        assert_kept(&with_cookie(&proxy, cookie));
        assert!(
            !two.last_request().has("Cookie"),
            "{}",
            two.last_request().head
        );
    }
}

fn our_cookie_first_in_the_middle_and_last(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = pair(on, &one, &two, "").start();
    for cookie in [
        "SERVERID=b; x=1; y=2",
        "x=1; SERVERID=b; y=2",
        "x=1; y=2; SERVERID=b",
    ] {
        assert_kept(&with_cookie(&proxy, cookie));
        assert_eq!(
            two.last_request().field("Cookie"),
            Some("x=1; y=2"),
            "from {cookie}"
        );
    }
}

fn a_quoted_value_is_understood(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = pair(on, &one, &two, "").start();
    for _ in 0..2 {
        assert_kept(&with_cookie(
            &proxy,
            "x=\"SERVERID=a\"; SERVERID=\"b\"; y=2",
        ));
        assert_eq!(
            two.last_request().field("Cookie"),
            Some("x=\"SERVERID=a\"; y=2")
        );
    }
}

fn spaces_around_the_equals_sign_are_understood(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = pair(on, &one, &two, "").start();
    for cookie in [
        "SERVERID = b",
        "SERVERID =b",
        "SERVERID= b",
        "x=1;SERVERID=b",
    ] {
        assert_kept(&with_cookie(&proxy, cookie));
    }
}

fn names_are_compared_exactly(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = pair(on, &one, &two, "").start();
    for cookie in [
        "serverid=b",
        "XSERVERID=b",
        "SERVERIDX=b",
        "SERVERI=b",
        "$SERVERID=b",
    ] {
        let reply = with_cookie(&proxy, cookie);
        assert!(
            reply.set_cookie("SERVERID").is_some(),
            "{cookie} is not ours"
        );
        let server = if reply.server() == "one" { &one } else { &two };
        assert_eq!(
            server.last_request().field("Cookie"),
            Some(cookie),
            "it passes untouched"
        );
    }
}

// === Servers that are not there ===

const CHECK: &str = "check = { interval = \"100ms\", rise = 1, fall = 1 }";

/// Waits until the log says that this server is down.
fn wait_until_down(proxy: &Proxy, name: &str) {
    assert_eventually!(proxy.lines().iter().any(|line| {
        let line = line.to_lowercase();
        line.contains(name) && line.contains("down")
    }));
}

fn a_cookie_of_a_down_server_is_replaced(on: Driver) {
    let (one, mut two) = (Server::named("one"), Server::named("two"));
    let proxy = Setup::new(on)
        .sticky("cookie = \"SERVERID\"")
        .server_with(&one, &format!("cookie = \"a\"\n{CHECK}"))
        .server_with(&two, &format!("cookie = \"b\"\n{CHECK}"))
        .start();
    assert_kept(&with_cookie(&proxy, "SERVERID=b"));
    two.stop();
    wait_until_down(&proxy, "two");
    let reply = proxy.client().get_with("/moved", "Cookie: SERVERID=b\r\n");
    assert_eq!(
        (reply.server(), reply.set_cookie("SERVERID").as_deref()),
        ("one", Some("a"))
    );
    assert_eq!(letters(&proxy, "/moved"), "DI");
    two.revive();
    assert_eventually!(with_cookie(&proxy, "SERVERID=b").server() == "two");
}

fn a_cookie_of_a_draining_server_is_honoured(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = Setup::new(on)
        .sticky("cookie = \"SERVERID\"")
        .server_with(&one, "cookie = \"a\"")
        .server_with(&two, "cookie = \"b\"\nstate = \"drain\"")
        .start();
    for _ in 0..3 {
        assert_kept(&with_cookie(&proxy, "SERVERID=b"));
        assert_eq!(proxy.get("/new").server(), "one");
    }
}

fn a_cookie_of_a_server_in_maintenance_is_replaced(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = Setup::new(on)
        .sticky("cookie = \"SERVERID\"")
        .server_with(&one, "cookie = \"a\"")
        .server_with(&two, "cookie = \"b\"\nstate = \"maintenance\"")
        .start();
    let reply = with_cookie(&proxy, "SERVERID=b");
    assert_eq!(
        (reply.server(), reply.set_cookie("SERVERID").as_deref()),
        ("one", Some("a"))
    );
    assert_eq!(letters(&proxy, "/"), "DI");
    assert_eq!(two.accepted(), 0);
}

fn refused_with_redispatch_moves_the_client(on: Driver) {
    let (one, mut two) = (Server::named("one"), Server::named("two"));
    let proxy = pair(on, &one, &two, "")
        .timeouts("connect = \"50ms\"")
        .start();
    two.stop();
    let reply = with_cookie(&proxy, "SERVERID=b");
    assert_eq!(
        (reply.server(), reply.set_cookie("SERVERID").as_deref()),
        ("one", Some("a"))
    );
    let line = proxy.access_line("GET /");
    assert_eq!(line.termination, "--DI", "{}", line.line);
    assert!(
        line.counts.ends_with("/+3"),
        "redispatched at the last retry: {}",
        line.line
    );
}

fn refused_without_redispatch_is_a_503(on: Driver) {
    let (one, mut two) = (Server::named("one"), Server::named("two"));
    let proxy = pair(on, &one, &two, "")
        .pool("redispatch = false\nretries = 2")
        .timeouts("connect = \"50ms\"")
        .start();
    two.stop();
    let reply = with_cookie(&proxy, "SERVERID=b");
    assert_eq!((reply.status(), reply.set_cookie("SERVERID")), (503, None));
    let line = proxy.access_line("GET /");
    assert_eq!(&line.termination[..3], "SCV", "{}", line.line);
    assert!(line.counts.ends_with("/2"), "{}", line.line);
    assert!(one.requests().is_empty());
}

// === Which answers ===

fn a_handshakes_answer_carries_the_cookie(on: Driver) {
    let (one, two) = (Server::websocket("one"), Server::websocket("two"));
    let proxy = pair(on, &one, &two, "").start();
    let mut client = proxy.client();
    let answer = client.upgrade("/new");
    assert_eq!(answer.set_cookie("SERVERID").as_deref(), Some("a"));
    client.echoes("hello");
    let mut client = proxy.client();
    client.send(handshake_with("/back", "Cookie: SERVERID=b\r\n"));
    let answer = client.read_response();
    assert_eq!(
        (answer.status(), answer.set_cookie("SERVERID")),
        (101, None)
    );
    client.echoes("hello");
    assert_eq!(two.requests().len(), 1);
    assert!(!two.last_request().has("Cookie"));
}

fn an_interim_answer_does_not_carry_the_cookie(on: Driver) {
    let server = Server::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
    let proxy = Setup::new(on)
        .sticky("cookie = \"SERVERID\"")
        .server_with(&server, "cookie = \"a\"")
        .start();
    let mut client = proxy.client();
    let hint = client.get("/");
    assert_eq!((hint.status(), hint.has("Set-Cookie")), (103, false));
    assert_eq!(
        client.read_response().set_cookie("SERVERID").as_deref(),
        Some("a")
    );
}

/// One server that gives this answer, with the key `a`.
fn answers(on: Driver, lines: &str, answer: &str) -> (Server, Proxy) {
    let server = Server::answering(answer);
    let setup = Setup::new(on).sticky("cookie = \"SERVERID\"").sticky(lines);
    let proxy = setup.server_with(&server, "cookie = \"a\"").start();
    (server, proxy)
}

fn answers_of_any_status_carry_the_cookie(on: Driver) {
    let server = Server::script(|conn| {
        while let Some(request) = conn.read_request() {
            let status = &request.target()[1..];
            conn.send(format!(
                "HTTP/1.1 {status} Word\r\nContent-Length: 0\r\n\r\n"
            ));
        }
    });
    let setup = Setup::new(on).sticky("cookie = \"SERVERID\"");
    let proxy = setup.server_with(&server, "cookie = \"a\"").start();
    let mut client = proxy.client();
    for status in [200, 206, 302, 304, 400, 404, 500, 503] {
        let reply = client.get(&format!("/{status}"));
        assert_eq!(reply.status(), status);
        assert_eq!(
            reply.set_cookie("SERVERID").as_deref(),
            Some("a"),
            "{}",
            reply.head
        );
    }
}

fn nocache_marks_what_could_be_stored(on: Driver) {
    let server = Server::script(|conn| {
        while let Some(request) = conn.read_request() {
            let control = request.field("X-Wanted").unwrap_or("").to_owned();
            let field = if control.is_empty() {
                String::new()
            } else {
                format!("{control}\r\n")
            };
            let status = request.field("X-Status").unwrap_or("200").to_owned();
            conn.send(format!(
                "HTTP/1.1 {status} Word\r\n{field}Content-Length: 0\r\n\r\n"
            ));
        }
    });
    let setup = Setup::new(on).sticky("cookie = \"SERVERID\"");
    let proxy = setup.server_with(&server, "cookie = \"a\"").start();
    let mut client = proxy.client();
    let mut marked = |method: &str, lines: &str| {
        let reply = client.request(&format!(
            "{method} / HTTP/1.1\r\nHost: a\r\n{lines}Content-Length: 0\r\n\r\n"
        ));
        reply.fields("Cache-Control").contains(&"private")
    };
    for storable in [
        "X-Wanted: Cache-Control: max-age=60\r\n",
        "X-Wanted: Cache-Control: public\r\n",
        "X-Wanted: ETag: \"x\"\r\n",
        "X-Wanted: Expires: Thu, 01 Jan 2037 00:00:00 GMT\r\n",
        "X-Status: 404\r\nX-Wanted: Last-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n",
    ] {
        assert!(marked("GET", storable), "{storable}");
    }
    for (method, other) in [
        ("POST", "X-Wanted: Cache-Control: max-age=60\r\n"),
        ("GET", ""),
        ("GET", "X-Wanted: Cache-Control: no-store\r\n"),
        ("GET", "X-Wanted: Cache-Control: no-cache\r\n"),
        (
            "GET",
            "X-Status: 302\r\nX-Wanted: Cache-Control: max-age=60\r\n",
        ),
        (
            "GET",
            "Cookie: SERVERID=a\r\nX-Wanted: Cache-Control: max-age=60\r\n",
        ),
    ] {
        assert!(!marked(method, other), "{method} {other}");
    }
}

fn answers_to_head_carry_the_cookie(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = pair(on, &one, &two, "").start();
    let reply = proxy.client().request("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(reply.set_cookie("SERVERID").as_deref(), Some("a"));
}

fn postonly_issues_in_answers_to_post(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = pair(on, &one, &two, "postonly = true").start();
    assert_eq!(proxy.get("/").set_cookie("SERVERID"), None);
    let reply = proxy
        .client()
        .request("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(reply.set_cookie("SERVERID").as_deref(), Some("b"));
    assert_kept(&with_cookie(&proxy, "SERVERID=b"));
}

// === Modes ===

fn insert_without_indirect_lets_the_server_see_the_cookie(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = pair(on, &one, &two, "indirect = false").start();
    assert_kept(&with_cookie(&proxy, "x=1; SERVERID=b"));
    assert_eq!(two.last_request().field("Cookie"), Some("x=1; SERVERID=b"));
}

const OWN: &str = "HTTP/1.1 200 OK\r\nSet-Cookie: other=1\r\nSet-Cookie: SERVERID=own; Path=/x\r\nContent-Length: 0\r\n\r\n";

fn the_servers_own_cookie_is_removed_in_insert_mode(on: Driver) {
    let (_server, proxy) = answers(on, "", OWN);
    let reply = proxy.get("/new");
    assert_eq!(
        reply.fields("Set-Cookie"),
        ["other=1", "SERVERID=a; Path=/"]
    );
    let reply = proxy.client().get_with("/back", "Cookie: SERVERID=a\r\n");
    assert_eq!(reply.fields("Set-Cookie"), ["other=1"]);
    assert_eq!(letters(&proxy, "/back"), "VD");
}

fn the_servers_own_cookie_is_preserved_when_asked_for(on: Driver) {
    let (_server, proxy) = answers(on, "preserve = true", OWN);
    assert_eq!(
        proxy.get("/").fields("Set-Cookie"),
        ["other=1", "SERVERID=own; Path=/x"]
    );
    assert_eq!(letters(&proxy, "/"), "NP");
}

fn rewrite_mode_writes_into_the_servers_cookie(on: Driver) {
    let (server, proxy) = answers(on, "mode = \"rewrite\"", OWN);
    assert_eq!(
        proxy.get("/new").fields("Set-Cookie"),
        ["other=1", "SERVERID=a; Path=/x"]
    );
    assert_eq!(letters(&proxy, "/new"), "NR");
    proxy.client().get_with("/back", "Cookie: SERVERID=a\r\n");
    assert_eq!(server.last_request().field("Cookie"), Some("SERVERID=a"));
    assert_eq!(letters(&proxy, "/back"), "VR");
}

fn prefix_mode_goes_before_the_servers_value(on: Driver) {
    let (server, proxy) = answers(on, "mode = \"prefix\"", OWN);
    assert_eq!(
        proxy.get("/new").fields("Set-Cookie"),
        ["other=1", "SERVERID=a~own; Path=/x"]
    );
    proxy
        .client()
        .get_with("/back", "Cookie: x=1; SERVERID=a~own\r\n");
    assert_eq!(
        server.last_request().field("Cookie"),
        Some("x=1; SERVERID=own")
    );
    assert_eq!(letters(&proxy, "/back"), "VR");
}

fn passive_mode_only_reads(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = pair(on, &one, &two, "mode = \"passive\"").start();
    assert!(!proxy.get("/new").has("Set-Cookie"));
    for _ in 0..3 {
        assert_kept(&with_cookie(&proxy, "SERVERID=b"));
        assert_eq!(two.last_request().field("Cookie"), Some("SERVERID=b"));
    }
}

// === Dates ===

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}

/// A date as it stands in a cookie: four-second steps in five characters.
fn date(seconds: u64) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let steps = seconds.div_ceil(4);
    let digit = |shift: u32| char::from(ALPHABET[(steps >> shift & 63) as usize]);
    [24, 18, 12, 6, 0].map(digit).iter().collect()
}

fn a_cookie_is_refreshed_once_a_step(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = pair(on, &one, &two, "max_idle = \"1h\"").start();
    let value = proxy.get("/").set_cookie("SERVERID").unwrap();
    assert_eq!((&value[..2], value.len()), ("a|", 7), "{value}");
    // The cookie of this very step is not sent again; the clock may tick in between.
    support::eventually("two requests within a step", || {
        let value = format!("b|{}", date(now()));
        let reply = with_cookie(&proxy, &format!("SERVERID={value}"));
        assert_eq!(reply.server(), "two");
        reply.set_cookie("SERVERID").is_none().then_some(())
    });
    let old = format!("SERVERID=b|{}", date(now() - 600));
    let reply = proxy
        .client()
        .get_with("/refresh", &format!("Cookie: {old}\r\n"));
    assert_eq!(reply.server(), "two");
    let fresh = reply.set_cookie("SERVERID").unwrap();
    let wanted = [now() - 4, now()].map(|time| format!("b|{}", date(time)));
    assert!(wanted.contains(&fresh), "{fresh} is none of {wanted:?}");
    assert_eq!(letters(&proxy, "/refresh"), "VU");
    assert!(
        with_cookie(&proxy, "SERVERID=b")
            .set_cookie("SERVERID")
            .is_some(),
        "one without a date"
    );
}

fn an_idle_cookie_expires(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = pair(on, &one, &two, "max_idle = \"10m\"").start();
    let reply = with_cookie(&proxy, &format!("SERVERID=b|{}", date(now() - 700)));
    assert_eq!(reply.server(), "one", "it no longer counts");
    assert!(reply.set_cookie("SERVERID").unwrap().starts_with("a|"));
    assert_eq!(letters(&proxy, "/"), "EI");
}

fn an_old_cookie_expires(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = pair(on, &one, &two, "max_life = \"10m\"").start();
    let (last, first) = (date(now()), date(now() - 300));
    let reply = proxy
        .client()
        .get_with("/young", &format!("Cookie: SERVERID=b|{last}|{first}\r\n"));
    assert_eq!(reply.server(), "two");
    let (last, first) = (date(now()), date(now() - 700));
    let reply = proxy
        .client()
        .get_with("/old", &format!("Cookie: SERVERID=b|{last}|{first}\r\n"));
    assert_eq!(reply.server(), "one");
    let value = reply.set_cookie("SERVERID").unwrap();
    assert_eq!(value.split('|').count(), 3, "{value}");
    assert_eq!(letters(&proxy, "/old"), "OI");
}

fn a_clock_far_ahead_is_not_believed(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = pair(on, &one, &two, "max_idle = \"10m\"").start();
    let day = 24 * 3600;
    let reply = proxy.client().get_with(
        "/hours",
        &format!("Cookie: SERVERID=b|{}\r\n", date(now() + day - 100)),
    );
    assert_eq!(reply.server(), "two", "within a day it is tolerated");
    let reply = proxy.client().get_with(
        "/days",
        &format!("Cookie: SERVERID=b|{}\r\n", date(now() + day + 100)),
    );
    assert_eq!(reply.server(), "one");
    assert_eq!(letters(&proxy, "/days"), "EI");
}

// === Keys ===

fn a_server_without_a_key_makes_the_client_forget(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = Setup::new(on)
        .sticky("cookie = \"SERVERID\"")
        .server(&one)
        .server_with(&two, "cookie = \"b\"\nweight = 0")
        .start();
    let reply = with_cookie(&proxy, "SERVERID=gone");
    assert_eq!(reply.server(), "one");
    let cookie = reply.field("Set-Cookie").unwrap();
    assert!(cookie.starts_with("SERVERID=;"), "{cookie}");
    assert!(cookie.contains("Expires=Thu, 01 Jan 1970"), "{cookie}");
    assert!(cookie.to_lowercase().contains("path=/"), "{cookie}");
}

fn a_shared_key_fails_over_in_file_order(on: Driver) {
    let (mut one, two, three) = (
        Server::named("one"),
        Server::named("two"),
        Server::named("three"),
    );
    let shared = format!("cookie = \"s\"\nshared_cookie = true\n{CHECK}");
    let proxy = Setup::new(on)
        .sticky("cookie = \"SERVERID\"")
        .server_with(&one, &shared)
        .server_with(&two, &shared)
        .server_with(&three, "cookie = \"t\"")
        .start();
    for _ in 0..3 {
        assert_eq!(with_cookie(&proxy, "SERVERID=s").server(), "one");
    }
    one.stop();
    wait_until_down(&proxy, "one");
    for _ in 0..3 {
        let reply = with_cookie(&proxy, "SERVERID=s");
        assert_eq!(
            (reply.server(), reply.set_cookie("SERVERID")),
            ("two", None)
        );
    }
    one.revive();
    assert_eventually!(with_cookie(&proxy, "SERVERID=s").server() == "one");
}

fn dynamic_keys_come_from_the_address(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = Setup::new(on)
        .sticky("cookie = \"SERVERID\"\ndynamic_key = \"sesame\"")
        .server(&one)
        .server_with(&two, "cookie = \"own\"")
        .start();
    let address: std::net::SocketAddrV4 = one.address().parse().unwrap();
    let mut input = b"sesame".to_vec();
    input.extend_from_slice(&address.ip().octets());
    input.extend_from_slice(&u32::from(address.port()).to_be_bytes());
    let key = format!("{:016x}", twox_hash::XxHash64::oneshot(0, &input));
    assert_eq!(proxy.get("/").set_cookie("SERVERID"), Some(key.clone()));
    assert_eq!(
        proxy.get("/").set_cookie("SERVERID").as_deref(),
        Some("own")
    );
    for _ in 0..3 {
        let reply = with_cookie(&proxy, &format!("SERVERID={key}"));
        assert_eq!(
            (reply.server(), reply.set_cookie("SERVERID")),
            ("one", None)
        );
    }
}

fn signed_values_are_opaque_and_checked(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let keys = |list: &str| format!("signed = true\nsigning_keys = [{list}]");
    let old = "\"0123456789abcdef0123456789abcdef\"";
    let new = "\"fedcba9876543210fedcba9876543210\"";
    let proxy = pair(on, &one, &two, &keys(old)).start();
    let value = proxy.get("/").set_cookie("SERVERID").unwrap();
    assert!(value.len() > 10 && !value.starts_with('a'), "{value}");
    for _ in 0..3 {
        let reply = with_cookie(&proxy, &format!("SERVERID={value}"));
        assert_eq!(
            (reply.server(), reply.set_cookie("SERVERID")),
            ("one", None)
        );
    }
    let mut forged = value.clone().into_bytes();
    forged[3] = if forged[3] == b'x' { b'y' } else { b'x' };
    for wrong in [
        "a",
        "b",
        &String::from_utf8(forged).unwrap(),
        &value[..value.len() - 1],
    ] {
        let reply = with_cookie(&proxy, &format!("SERVERID={wrong}"));
        assert!(
            reply.set_cookie("SERVERID").is_some(),
            "{wrong} was believed"
        );
    }
    // After a rotation the old signature still counts, and a new one is issued.
    let proxy = pair(on, &one, &two, &keys(&format!("{new}, {old}"))).start();
    let mut fresh = None;
    for _ in 0..3 {
        let reply = with_cookie(&proxy, &format!("SERVERID={value}"));
        assert_eq!(reply.server(), "one");
        fresh = reply.set_cookie("SERVERID");
    }
    let fresh = fresh.expect("a value under the new key");
    assert_ne!(fresh, value);
    let reply = with_cookie(&proxy, &format!("SERVERID={fresh}"));
    assert_eq!(
        (reply.server(), reply.set_cookie("SERVERID")),
        ("one", None)
    );
}

// === Rules ===

fn forced_requests_reach_a_server_in_maintenance(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = Setup::new(on)
        .sticky("cookie = \"SERVERID\"\nforce = [{ header = \"X-Tester\", value = \"yes\" }]")
        .server_with(&one, "cookie = \"a\"")
        .server_with(&two, "cookie = \"b\"\nstate = \"maintenance\"")
        .start();
    assert_eq!(with_cookie(&proxy, "SERVERID=b").server(), "one");
    let lines = "Cookie: SERVERID=b\r\nx-tester: yes\r\n";
    assert_kept(&proxy.client().get_with("/", lines));
    let lines = "Cookie: SERVERID=b\r\nX-Tester: no\r\n";
    assert_eq!(proxy.client().get_with("/", lines).server(), "one");
}

fn ignored_requests_get_no_cookie(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let lines = "ignore = [{ path_prefix = \"/static/\" }, { path_suffix = \".png\" }]";
    let proxy = pair(on, &one, &two, lines).start();
    for target in ["/static/a.js", "/b.png", "/b.png?x"] {
        let reply = proxy.client().get_with(target, "Cookie: SERVERID=zzz\r\n");
        assert_eq!(reply.set_cookie("SERVERID"), None, "{target}");
    }
    assert_eq!(letters(&proxy, "/static/a.js"), "UN");
    assert!(proxy.get("/page").set_cookie("SERVERID").is_some());
}

fn a_weight_of_zero_takes_only_sticky_clients(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let proxy = Setup::new(on)
        .sticky("cookie = \"SERVERID\"")
        .server_with(&one, "cookie = \"a\"")
        .server_with(&two, "cookie = \"b\"\nweight = 0")
        .start();
    for _ in 0..4 {
        assert_eq!(proxy.get("/").server(), "one");
        assert_kept(&with_cookie(&proxy, "SERVERID=b"));
    }
}

fn the_cookie_of_haproxy_is_understood(on: Driver) {
    let (one, two) = (Server::websocket("one"), Server::websocket("two"));
    let proxy = pair(on, &one, &two, "").start();
    // Written by HAProxy with `maxidle` and `maxlife`, read without: the dates go.
    let dated = format!("SERVERID=b|{}|{}", date(now()), date(now() - 10));
    let reply = with_cookie(&proxy, &dated);
    assert_eq!(
        (reply.server(), reply.set_cookie("SERVERID").as_deref()),
        ("two", Some("b"))
    );
    // A handshake with the cookie of a running browser.
    let mut client = proxy.client();
    client
        .send(handshake("/").replace("Host: example.com\r\n", "Host: a\r\nCookie: SERVERID=b\r\n"));
    let answer = client.read_response();
    assert_eq!(
        (answer.server(), answer.set_cookie("SERVERID")),
        ("two", None)
    );
}
