//! What stands around balancing: redirects, answers of our own, who is admitted.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use support::{Conn, Driver, Proxy, Server, Setup, handshake, ringbolt};

on_both_drivers!(
    a_redirect_keeps_host_path_and_query_and_the_connection,
    a_redirect_needs_the_host_that_it_names,
    an_answer_is_given_by_us_and_keeps_the_connection,
    answers_come_whole_to_a_slow_reader,
    head_gets_no_body,
    a_request_with_a_body_ends_the_connection,
    http_1_0_keeps_only_what_it_asks_for,
    a_handshake_is_redirected_like_any_request,
    a_file_is_read_at_start_and_reload_only,
    a_pipe_is_refused_and_never_waited_for,
    own_answers_are_logged_as_local,
    a_denied_network_gets_403,
    only_allowed_networks_come_in,
    a_listeners_list_goes_before_everything,
    unix_clients_are_admitted_by_their_word,
    the_denied_address_is_the_introduced_one,
    a_monitor_is_answered_before_everything_and_not_logged,
    a_monitor_fails_while_no_server_of_its_pools_is_up,
    a_monitor_fails_while_stopping,
    fields_are_set_added_and_removed_both_ways,
    an_underscore_in_a_changed_name_is_a_hyphen,
    trailers_do_not_bring_back_what_is_changed,
    a_route_has_the_last_word_over_the_pools_fields,
    a_host_may_be_set,
    handshakes_are_changed_too_and_interims_are_not,
    the_sticky_cookie_stands_behind_the_changes,
    a_cookie_is_kept_from_caches_that_the_route_allows,
    own_answers_have_the_routes_fields,
    a_value_may_be_a_secret,
    error_pages_change_the_words_and_nothing_else,
    a_listeners_page_goes_before_that_of_all,
    error_pages_keep_the_fields_of_their_status,
    error_pages_are_sent_whole_and_replaced_by_a_reload,
);

fn a_redirect_keeps_host_path_and_query_and_the_connection(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .more("[[route]]\nhost = \"old.example\"\nredirect = \"https://new.example{path}{query}\"\n")
        .more("[[route]]\npath_prefix = \"/secure\"\nredirect = { to = \"https://{host}:8443{path}{query}\", code = 301 }\n")
        .more("[[route]]\npath = \"/here\"\nredirect = { to = \"/there\", code = 308 }\n")
        .start();
    let mut client = proxy.client();
    let reply = client.request("GET /a/b?c=d&e HTTP/1.1\r\nHost: old.example:80\r\n\r\n");
    assert_eq!(
        (reply.status(), reply.field("Location")),
        (302, Some("https://new.example/a/b?c=d&e"))
    );
    assert_eq!(reply.field("Content-Length"), Some("0"));
    assert_eq!(reply.field("Cache-Control"), Some("no-cache"));
    assert!(!reply.has("Connection"), "{}", reply.head);
    let reply = client.get("/secure/x");
    assert_eq!(
        (reply.status(), reply.field("Location")),
        (301, Some("https://example.com:8443/secure/x"))
    );
    assert!(!reply.has("Cache-Control"), "{}", reply.head);
    let reply = client.request("POST /here HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(
        (reply.status(), reply.field("Location")),
        (308, Some("/there"))
    );
    // `*` is no path: it would become a part of the host.
    for target in ["*", "http://old.example"] {
        let request = format!("OPTIONS {target} HTTP/1.1\r\nHost: old.example\r\n\r\n");
        let reply = client.request(&request);
        assert_eq!(reply.field("Location"), Some("https://new.example/"));
    }
    // All of that on one connection, and a server's answer too, pipelined behind a redirect.
    client.send("GET /here HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.read_response().status(), 308);
    assert_eq!(client.read_response().server(), "one");
    assert_eq!(server.requests().len(), 1);
}

fn a_redirect_needs_the_host_that_it_names(on: Driver) {
    let proxy = Setup::new(on)
        .server(&Server::named("one"))
        .more("[[route]]\nredirect = \"https://{host}{path}\"\n")
        .start();
    let reply = proxy.client().request("GET / HTTP/1.0\r\n\r\n");
    assert_eq!(reply.status(), 400);
    let line = proxy.access_line("GET / HTTP/1.0");
    assert_eq!((line.status, line.termination.as_str()), (400, "PR--"));
    // What a client puts into path or host cannot change where it is sent, nor add a line.
    for (target, host, location) in [
        (
            "//evil.example/",
            "a.example",
            "https://a.example//evil.example/",
        ),
        ("/%0d%0aX:y", "a.example", "https://a.example/%0d%0aX:y"),
        ("/\\evil", "a.example", "https://a.example/\\evil"),
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let reply = proxy.client().request(&request);
        assert_eq!(reply.field("Location"), Some(location), "{target}");
        assert_eq!(reply.fields.len(), 3, "{}", reply.head);
    }
    for host in ["a@evil.example", "a/b", "a evil", ""] {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
        assert_eq!(proxy.client().request(&request).status(), 400, "{host}");
    }
}

/// A proxy whose routes answer by themselves.
fn answering(on: Driver, server: &Server) -> Proxy {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("page.html"), "<p>one</p>\n").unwrap();
    std::fs::write(folder.path().join("large.txt"), "x".repeat(64 * 1024)).unwrap();
    let text = Setup::new(on)
        .server(server)
        .more("[[route]]\npath = \"/hello\"\nanswer = { body = \"hello\" }\n")
        .more("[[route]]\npath = \"/closed\"\nanswer = { status = 503, file = \"{folder}/page.html\" }\n")
        .more("[[route]]\npath = \"/large\"\nanswer = { file = \"{folder}/large.txt\" }\n")
        .more("[[route]]\npath = \"/nothing\"\nanswer = { status = 204 }\n")
        .more("[[route]]\npath = \"/json\"\nanswer = { body = \"{}\", type = \"application/json\" }\n")
        .more("[[route]]\npath = \"/moved\"\nredirect = \"/hello\"\n")
        .text();
    Proxy::start_in(on, folder, &text)
}

fn an_answer_is_given_by_us_and_keeps_the_connection(on: Driver) {
    let server = Server::named("one");
    let proxy = answering(on, &server);
    let mut client = proxy.client();
    for (path, status, kind, body) in [
        ("/hello", 200, Some("text/plain; charset=utf-8"), "hello"),
        (
            "/closed",
            503,
            Some("text/html; charset=utf-8"),
            "<p>one</p>\n",
        ),
        ("/json", 200, Some("application/json"), "{}"),
        ("/nothing", 204, None, ""),
    ] {
        let reply = client.get(path);
        let length = (status != 204).then(|| body.len().to_string());
        assert_eq!(
            (reply.status(), reply.field("Content-Type"), reply.text()),
            (status, kind, body.to_owned()),
        );
        assert_eq!(reply.field("Content-Length"), length.as_deref(), "{path}");
    }
    let reply = client.get("/large");
    assert_eq!(reply.body, "x".repeat(64 * 1024).into_bytes());
    assert_eq!(client.get("/").server(), "one");
    assert_eq!(server.requests().len(), 1);
}

fn answers_come_whole_to_a_slow_reader(on: Driver) {
    let server = Server::named("one");
    let proxy = answering(on, &server);
    let mut client = Conn::connect_narrow(proxy.address());
    // More than the sockets hold.
    let asked = 64;
    for _ in 0..asked {
        client.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    }
    std::thread::sleep(Duration::from_millis(200));
    for _ in 0..asked {
        assert_eq!(client.read_response().body.len(), 64 * 1024);
    }
}

fn head_gets_no_body(on: Driver) {
    let server = Server::named("one");
    let proxy = answering(on, &server);
    let mut client = proxy.client();
    for (path, length) in [("/hello", "5"), ("/large", "65536"), ("/moved", "0")] {
        let reply = client.request(&format!("HEAD {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(
            reply.start.starts_with("HTTP/1.1 "),
            "behind a body: {}",
            reply.start
        );
        assert_eq!(reply.field("Content-Length"), Some(length), "{path}");
    }
    let reply = client.get("/");
    assert!(
        reply.start.starts_with("HTTP/1.1 "),
        "behind a body: {}",
        reply.start
    );
    assert_eq!(reply.server(), "one");
}

fn a_request_with_a_body_ends_the_connection(on: Driver) {
    let server = Server::named("one");
    let proxy = answering(on, &server);
    for path in ["/hello", "/moved"] {
        for framing in ["Content-Length: 35", "Transfer-Encoding: chunked"] {
            let mut client = proxy.client();
            // What looks like a request is the body, and must not be taken for one.
            client.send(format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
            ));
            let reply = client.read_response();
            assert_eq!(reply.field("Connection"), Some("close"), "{path} {framing}");
            client.expect_closed();
        }
    }
    assert!(server.requests().is_empty());
}

fn http_1_0_keeps_only_what_it_asks_for(on: Driver) {
    let server = Server::named("one");
    let proxy = answering(on, &server);
    let mut client = proxy.client();
    let reply = client.request("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(reply.field("Connection"), Some("keep-alive"));
    let reply = client.request("GET /hello HTTP/1.0\r\n\r\n");
    assert_eq!(reply.field("Connection"), Some("close"));
    client.expect_closed();
}

fn a_handshake_is_redirected_like_any_request(on: Driver) {
    let server = Server::websocket("one");
    let proxy = answering(on, &server);
    let mut client = proxy.client();
    // The frames of a client that did not wait are never read as requests.
    client.send(handshake("/moved") + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    let reply = client.read_response();
    assert_eq!(
        (reply.status(), reply.field("Location")),
        (302, Some("/hello"))
    );
    client.expect_closed();
    assert!(server.requests().is_empty());
}

fn a_file_is_read_at_start_and_reload_only(on: Driver) {
    let server = Server::named("one");
    let proxy = answering(on, &server);
    let page = proxy.folder().join("page.html");
    std::fs::write(&page, "<p>two</p>\n").unwrap();
    assert_eq!(proxy.get("/closed").text(), "<p>one</p>\n");
    proxy.sighup();
    proxy.wait_for_complaint("reloaded");
    assert_eventually!(proxy.get("/closed").text() == "<p>two</p>\n");
    // A page that is too large refuses the reload, and the old one stays.
    std::fs::write(&page, vec![b'x'; 64 * 1024 + 1]).unwrap();
    proxy.sighup();
    proxy.wait_for_complaint("more than 64 KiB");
    assert_eq!(proxy.get("/closed").text(), "<p>two</p>\n");
}

/// Opening one waits until somebody writes, which would be for ever: the launcher would hear no signal any more.
fn a_pipe_is_refused_and_never_waited_for(on: Driver) {
    let server = Server::named("one");
    let mut proxy = answering(on, &server);
    let [page, config] = ["page.html", "config.toml"].map(|name| proxy.folder().join(name));
    let make_pipe = |path: &Path| {
        std::fs::remove_file(path).unwrap();
        let made = Command::new("mkfifo").arg(path).status();
        assert!(made.unwrap().success());
    };
    let check = || {
        let mut check = ringbolt()
            .arg("check")
            .arg(&config)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        assert_eventually!(check.try_wait().unwrap().is_some());
        let said = check.wait_with_output().unwrap().stderr;
        String::from_utf8(said).unwrap()
    };
    for (pipe, complaint) in [
        (&page, "page.html: not a regular file"),
        (&config, "config.toml: not a regular file"),
    ] {
        make_pipe(pipe);
        assert!(check().contains(complaint), "{complaint}");
        proxy.sighup();
        proxy.wait_for_complaint(complaint);
    }
    assert_eq!(proxy.get("/closed").text(), "<p>one</p>\n");
    proxy.sigterm();
    proxy.wait_for_exit();
}

fn own_answers_are_logged_as_local(on: Driver) {
    let server = Server::named("one");
    let proxy = answering(on, &server);
    let mut client = proxy.client();
    let reply = client.get("/hello");
    client.get("/moved");
    let line = proxy.access_line("GET /hello");
    assert_eq!(
        (line.status, line.termination.as_str(), line.bytes),
        (200, "LR--", (reply.head.len() + reply.body.len()) as u64)
    );
    assert_eq!(
        (
            line.listener.as_str(),
            line.pool.as_str(),
            line.server.as_str()
        ),
        ("http-in", "http-in", "<NOSRV>")
    );
    assert_eq!(line.timers[1..4], [-1, -1, -1]);
    let line = proxy.access_line("GET /moved");
    assert_eq!((line.status, line.termination.as_str()), (302, "LR--"));
}

fn a_denied_network_gets_403(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .more("[[route]]\npath_prefix = \"/admin\"\npool = \"app\"\ndeny = [\"10.0.0.0/8\", \"127.0.0.0/8\"]\n")
        .more("[[route]]\npath = \"/moved\"\nredirect = \"/\"\ndeny = \"127.0.0.1\"\n")
        .more("[[route]]\npath = \"/text\"\nanswer = { body = \"secret\" }\ndeny = \"127.0.0.1\"\n")
        .start();
    assert_eq!(proxy.get("/").server(), "one");
    for path in ["/admin/x", "/moved", "/text"] {
        let mut client = proxy.client();
        let reply = client.get(path);
        assert_eq!(
            (reply.status(), reply.field("Connection")),
            (403, Some("close"))
        );
        assert!(!reply.has("Location") && !reply.text().contains("secret"));
        client.expect_closed();
        let line = proxy.access_line(path);
        assert_eq!((line.status, line.termination.as_str()), (403, "PR--"));
    }
    // A handshake is a request.
    let reply = proxy.client().request(&handshake("/admin/"));
    assert_eq!(reply.status(), 403);
    assert_eq!(server.requests().len(), 1);
}

fn only_allowed_networks_come_in(on: Driver) {
    if !support::has_ipv6("only allowed networks come in") {
        return;
    }
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .listener("bind = [\"{listen}\", \"{listen6}\"]")
        .more("[[route]]\npath = \"/six\"\npool = \"app\"\nallow = [\"::1\"]\n")
        .more("[[route]]\npath = \"/both\"\npool = \"app\"\nallow = [\"::/0\", \"127.0.0.0/8\"]\n")
        .more("[[route]]\npath = \"/neither\"\npool = \"app\"\nallow = [\"::/0\", \"127.0.0.0/8\"]\ndeny = [\"127.0.0.1\", \"::1\"]\n")
        .start();
    for (path, four, six) in [
        ("/six", 403, 200),
        ("/both", 200, 200),
        ("/neither", 403, 403),
    ] {
        assert_eq!(proxy.get(path).status(), four, "{path}");
        let mut client = Conn::connect(proxy.v6_address());
        assert_eq!(client.get(path).status(), six, "{path}");
    }
}

fn a_listeners_list_goes_before_everything(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .listener("deny = [\"127.0.0.0/8\"]")
        .more("[[route]]\npath = \"/open\"\npool = \"app\"\nallow = [\"127.0.0.0/8\"]\n")
        .more("[stats]\npath = \"/stats\"\n")
        .start();
    for path in ["/", "/open", "/stats", "/stats.json"] {
        assert_eq!(proxy.get(path).status(), 403, "{path}");
    }
    assert!(server.requests().is_empty());
    // A reload lets them in.
    let open = Setup::new(on).server(&server).text();
    proxy.rewrite_config(&open);
    proxy.sighup();
    assert_eventually!(proxy.get("/").status() == 200);
}

fn unix_clients_are_admitted_by_their_word(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .listener("bind = [\"{listen}\", \"unix:{folder}/http.sock\"]")
        .more("[[route]]\npath = \"/unix\"\npool = \"app\"\nallow = \"unix\"\n")
        .more("[[route]]\npath = \"/ip\"\npool = \"app\"\nallow = [\"0.0.0.0/0\", \"::/0\"]\n")
        .start();
    let unix = || Conn::connect_unix(&proxy.folder().join("http.sock"));
    assert_eq!(
        (unix().get("/unix").status(), unix().get("/ip").status()),
        (200, 403)
    );
    assert_eq!(
        (proxy.get("/unix").status(), proxy.get("/ip").status()),
        (403, 200)
    );
}

fn the_denied_address_is_the_introduced_one(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .listener("proxy_protocol = [\"127.0.0.0/8\"]\ndeny = [\"10.1.0.0/16\"]\nallow = [\"10.0.0.0/8\"]\ntrusted_proxies = [\"10.0.0.0/8\"]")
        .start();
    for (address, status) in [("10.1.2.3", 403), ("10.2.2.3", 200), ("127.0.0.1", 403)] {
        let mut client = proxy.client();
        client.send(format!("PROXY TCP4 {address} 127.0.0.1 4321 80\r\n"));
        // What a client says of itself in a field decides nothing.
        let reply = client.get_with("/", "X-Forwarded-For: 10.2.2.3\r\n");
        assert_eq!(reply.status(), status, "{address}");
    }
}

fn a_monitor_is_answered_before_everything_and_not_logged(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .listener("monitor = \"/healthz\"\ndeny = [\"127.0.0.0/8\"]")
        .start();
    let mut client = proxy.client();
    for target in ["/healthz", "/healthz?verbose", "http://any.example/healthz"] {
        let reply = client.request(&format!(
            "GET {target} HTTP/1.1\r\nHost: any.example\r\n\r\n"
        ));
        assert_eq!(
            (reply.status(), reply.text()),
            (200, "OK\n".to_owned()),
            "{target}"
        );
        assert_eq!(reply.field("Cache-Control"), Some("no-cache"));
    }
    let reply = client.request("HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (reply.status(), reply.field("Content-Length")),
        (200, Some("3"))
    );
    let reply = client.request("OPTIONS /healthz HTTP/1.0\r\n\r\n");
    assert_eq!(
        (reply.status(), reply.field("Connection")),
        (200, Some("close"))
    );
    client.expect_closed();
    // A body is not read, and never a request.
    let mut client = proxy.client();
    client.send("POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\n\r\nGET /healthz HTTP/1.1\r\nHost: aa\r\n\r\n\r\n");
    assert_eq!(client.read_response().field("Connection"), Some("close"));
    client.expect_closed();
    for other in ["/healthz/", "/health", "/", "/Healthz"] {
        assert_eq!(proxy.get(other).status(), 403, "{other}");
    }
    proxy.access_line("GET /Healthz");
    let lines = proxy.lines();
    assert!(
        !lines.iter().any(|line| line.contains("/healthz ")),
        "{lines:?}"
    );
    let status = proxy.status().unwrap();
    assert_eq!(status["listeners"][0]["monitored"], 6);
    assert!(server.requests().is_empty());
}

fn a_monitor_fails_while_no_server_of_its_pools_is_up(on: Driver) {
    let (mut one, two) = (Server::named("one"), Server::named("two"));
    let check = "check = { interval = \"50ms\", rise = 1, fall = 1 }";
    let text = |pools: &str, state: &str| {
        Setup::new(on)
            .server_with(&one, check)
            .listener(&format!("monitor = {{ path = \"/healthz\", pools = {pools} }}"))
            .more(&format!(
                "[[route]]\npath = \"/two\"\npool = \"other\"\n[[pool.other.server]]\nname = \"two\"\naddress = \"{}\"\nstate = \"{state}\"\n",
                two.address()
            ))
            .text()
    };
    let (app, both, neither) = (
        text("\"app\"", "ready"),
        text("[\"app\", \"other\"]", "ready"),
        text("[\"app\", \"other\"]", "maintenance"),
    );
    let proxy = Proxy::start(on, &app);
    let status = || proxy.get("/healthz").status();
    assert_eventually!(status() == 200);
    one.stop_listening();
    assert_eventually!(status() == 503);
    let mut client = proxy.client();
    let reply = client.get("/healthz");
    assert_eq!(
        (reply.status(), reply.text()),
        (503, "no server\n".to_owned())
    );
    // It is an answer like any other: the connection stays.
    assert_eq!(client.get("/two").server(), "two");
    proxy.rewrite_config(&both);
    proxy.sighup();
    assert_eventually!(status() == 200);
    proxy.rewrite_config(&neither);
    proxy.sighup();
    assert_eventually!(status() == 503);
    one.revive();
    assert_eventually!(status() == 200);
}

fn a_monitor_fails_while_stopping(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Setup::new(on)
        .server(&server)
        .listener("monitor = \"/healthz\"")
        .start();
    let mut tunnel = proxy.client();
    tunnel.upgrade("/");
    let (mut monitor, mut idle) = (proxy.client(), proxy.client());
    assert_eq!(monitor.get("/healthz").status(), 200);
    assert_eq!(idle.get("/healthz").status(), 200);
    // A connection in the middle of a head is served to its end; one between two requests is closed.
    monitor.send("GET /healthz HTTP/1.1\r\nHost: a\r\n");
    std::thread::sleep(Duration::from_millis(100));
    proxy.sigterm();
    idle.expect_closed();
    monitor.send("\r\n");
    let reply = monitor.read_response();
    assert_eq!(
        (reply.status(), reply.text()),
        (503, "stopping\n".to_owned())
    );
    assert_eq!(reply.field("Connection"), Some("close"));
    monitor.expect_closed();
    tunnel.echoes("still here");
}

fn fields_are_set_added_and_removed_both_ways(on: Driver) {
    let server = Server::answering(
        "HTTP/1.1 200 OK\r\nServer: old\r\nX-A: theirs\r\nX-B: theirs\r\nContent-Length: 2\r\n\r\nok",
    );
    let proxy = Setup::new(on)
        .server(&server)
        .more("[[route]]\npath = \"/changed\"\npool = \"app\"\n")
        .more("request_headers = { set = { X-A = \"ours\" }, add = { X-B = [\"ours\", \"too\"] }, remove = [\"X-C\", \"Cookie\"] }\n")
        .more("response_headers = { set = { X-A = \"ours\", Strict-Transport-Security = \"max-age=1\" }, add = { X-B = \"ours\" }, remove = \"Server\" }\n")
        .start();
    let mut client = proxy.client();
    let lines = "X-A: 1\r\nx-a: 2\r\nX-B: 1\r\nX-C: 1\r\nX_C: 1\r\nCookie: a=b\r\nX-D: 1\r\n";
    let reply = client.get_with("/changed", lines);
    assert_eq!(reply.text(), "ok");
    assert_eq!(reply.fields("X-A"), ["ours"]);
    assert_eq!(reply.fields("X-B"), ["theirs", "ours"]);
    assert_eq!(reply.field("Strict-Transport-Security"), Some("max-age=1"));
    assert!(!reply.has("Server"));
    let request = server.last_request();
    assert_eq!(request.fields("X-A"), ["ours"]);
    assert_eq!(request.fields("X-B"), ["1", "ours", "too"]);
    assert_eq!(request.field("X-D"), Some("1"));
    assert!(
        !request.has("X-C") && !request.has("X_C") && !request.has("Cookie"),
        "{}",
        request.head
    );
    // Another route, another word; on the same connection.
    let reply = client.get_with("/", lines);
    assert_eq!(
        (reply.field("X-A"), reply.field("Server")),
        (Some("theirs"), Some("old"))
    );
    assert_eq!(server.last_request().fields("X-C"), ["1"]);
}

fn an_underscore_in_a_changed_name_is_a_hyphen(on: Driver) {
    let server = Server::answering(
        "HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nCache-Control: public\r\nContent-Length: 2\r\n\r\nok",
    );
    let proxy = Setup::new(on)
        .server(&server)
        .listener("trusted_proxies = [\"127.0.0.0/8\"]")
        .more("[[route]]\npool = \"app\"\n")
        .more("request_headers = { set = { Proxy_Authorization = \"mine\" }, remove = [\"X_Forwarded_For\"] }\n")
        .more("response_headers = { remove = [\"Set_Cookie\"], set = { Cache_Control = \"no-store\" } }\n")
        .start();
    let lines = "Proxy-Authorization: theirs\r\nX-Forwarded-For: 6.6.6.6\r\n";
    let reply = proxy.client().get_with("/", lines);
    assert!(!reply.has("Set-Cookie"), "{}", reply.head);
    assert_eq!(reply.fields("Cache-Control"), ["no-store"]);
    let request = server.last_request();
    assert_eq!(request.fields("Proxy-Authorization"), ["mine"]);
    assert!(!request.has("X-Forwarded-For"), "{}", request.head);
}

fn trailers_do_not_bring_back_what_is_changed(on: Driver) {
    let server = Server::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Powered-By: php\r\n\r\n",
    );
    let proxy = Setup::new(on)
        .server(&server)
        .pool("forwarded_for = { header = \"X-Client-IP\" }")
        .more("[[route]]\npath = \"/changed\"\npool = \"app\"\n")
        .more("request_headers = { set = { X-User = \"safe\" }, remove = [\"X-Debug\"] }\n")
        .more("[[route]]\npath = \"/answer\"\npool = \"app\"\nresponse_headers.remove = [\"X-Powered-By\"]\n")
        .start();
    let ask = |path: &str, trailer: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n{trailer}: 1\r\n\r\n"
        )
    };
    for (path, trailer, status) in [
        ("/changed", "X-User", 400),
        ("/changed", "x_debug", 400),
        ("/changed", "X-Sum", 200),
        ("/", "X-User", 200),
        ("/", "X-Request-Id", 400),
        ("/", "X-Client-IP", 400),
    ] {
        let reply = proxy.client().request(&ask(path, trailer));
        assert_eq!(reply.status(), status, "{path} {trailer}");
    }
    // The other way: what the route removes is not passed on behind the body either.
    let reply = proxy.client().request(&ask("/answer", "X-Sum"));
    assert_eq!(reply.status(), 502);
    assert!(reply.trailers.is_empty(), "{:?}", reply.trailers);
}

fn a_route_has_the_last_word_over_the_pools_fields(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .pool("via = true\nforwarded = true")
        .more("[[route]]\npath = \"/set\"\npool = \"app\"\nrequest_headers.set = { x-forwarded-proto = \"https\", Forwarded = \"for=unknown\" }\n")
        .more("[[route]]\npath = \"/removed\"\npool = \"app\"\nrequest_headers.remove = [\"X-Forwarded-For\", \"Via\"]\nresponse_headers.remove = [\"Via\"]\n")
        .start();
    let reply = proxy.get("/set");
    assert!(reply.has("Via"));
    let request = server.last_request();
    assert_eq!(request.fields("X-Forwarded-Proto"), ["https"]);
    assert_eq!(request.fields("Forwarded"), ["for=unknown"]);
    assert_eq!(request.fields("X-Forwarded-For"), ["127.0.0.1"]);
    let reply = proxy.get("/removed");
    assert!(!reply.has("Via"), "{}", reply.head);
    let request = server.last_request();
    assert!(
        !request.has("X-Forwarded-For") && !request.has("Via"),
        "{}",
        request.head
    );
    assert_eq!(request.fields("X-Forwarded-Proto"), ["http"]);
}

fn a_host_may_be_set(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .log("format = \"json\"")
        .more("[[route]]\nhost = \"outside.example\"\npool = \"app\"\nrequest_headers.set = { Host = \"inside.example:81\" }\n")
        .start();
    let reply = proxy
        .client()
        .request("GET /a HTTP/1.1\r\nHost: outside.example\r\n\r\n");
    assert_eq!(reply.status(), 200);
    let request = server.last_request();
    assert_eq!(request.fields("Host"), ["inside.example:81"]);
    // The log tells what the client asked.
    let line = proxy.wait_for_line("\"/a\"");
    assert!(
        line.contains("outside.example") && !line.contains("inside.example"),
        "{line}"
    );
}

fn handshakes_are_changed_too_and_interims_are_not(on: Driver) {
    let server = Server::websocket("one");
    let early = Server::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    );
    let changes = "response_headers = { set = { X-A = \"b\" }, remove = \"X-Server\" }\nrequest_headers.set = { Origin = \"https://inside.example\" }\n";
    let proxy = Setup::new(on)
        .server(&server)
        .more(&format!(
            "[[route]]\npath = \"/ws\"\npool = \"app\"\n{changes}"
        ))
        .more(&format!(
            "[[route]]\npath = \"/early\"\npool = \"early\"\n{changes}"
        ))
        .more(&format!(
            "[[pool.early.server]]\nname = \"early\"\naddress = \"{}\"\n",
            early.address()
        ))
        .start();
    let mut tunnel = proxy.client();
    let reply = tunnel.upgrade("/ws");
    assert_eq!((reply.status(), reply.field("X-A")), (101, Some("b")));
    assert!(!reply.has("X-Server"));
    tunnel.echoes("hello");
    assert_eq!(
        server.last_request().fields("Origin"),
        ["https://inside.example"]
    );
    let mut client = proxy.client();
    let interim = client.get("/early");
    assert_eq!((interim.status(), interim.field("X-A")), (103, None));
    let reply = client.read_response();
    assert_eq!((reply.status(), reply.field("X-A")), (200, Some("b")));
}

fn the_sticky_cookie_stands_behind_the_changes(on: Driver) {
    let server = Server::answering(
        "HTTP/1.1 200 OK\r\nSet-Cookie: theirs=1\r\nSet-Cookie: S=app\r\nContent-Length: 0\r\n\r\n",
    );
    let proxy = Setup::new(on)
        .server_with(&server, "cookie = \"key\"")
        .sticky("cookie = \"S\"")
        .more("[[route]]\npath = \"/remove\"\npool = \"app\"\nresponse_headers.remove = \"Set-Cookie\"\n")
        .more("[[route]]\npath = \"/set\"\npool = \"app\"\nresponse_headers.set = { Set-Cookie = \"route=1\" }\nrequest_headers.remove = \"Cookie\"\n")
        .start();
    let cookies = |path: &str| {
        let reply = proxy.get(path);
        reply
            .fields("Set-Cookie")
            .iter()
            .map(|line| (*line).to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(cookies("/"), ["theirs=1", "S=key; Path=/"]);
    assert_eq!(cookies("/remove"), ["S=key; Path=/"]);
    assert_eq!(cookies("/set"), ["route=1", "S=key; Path=/"]);
    // The client's cookie is read all the same.
    let reply = proxy
        .client()
        .get_with("/set", "Cookie: a=b; S=key; c=d\r\n");
    assert_eq!(reply.fields("Set-Cookie"), ["route=1"]);
    assert!(!server.last_request().has("Cookie"));
}

fn a_cookie_is_kept_from_caches_that_the_route_allows(on: Driver) {
    let cached = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 0\r\n\r\n";
    let (plain, cached) = (Server::named("one"), Server::answering(cached));
    let proxy = Setup::new(on)
        .server_with(&plain, "cookie = \"key\"")
        .sticky("cookie = \"S\"")
        .more("[[route]]\npath = \"/allowed\"\npool = \"app\"\nresponse_headers.set = { Cache-Control = \"public, max-age=60\" }\n")
        .more("[[route]]\npath = \"/forbidden\"\npool = \"cached\"\nresponse_headers.set = { Cache-Control = \"no-store\" }\n")
        .more(&format!("[[route]]\npath = \"/cached\"\npool = \"cached\"\n[pool.cached]\nsticky = {{ cookie = \"S\" }}\n[[pool.cached.server]]\nname = \"c\"\ncookie = \"c\"\naddress = \"{}\"\n", cached.address()))
        .start();
    let control = |path: &str| {
        let reply = proxy.get(path);
        reply.fields("Cache-Control").join(" + ")
    };
    assert_eq!(control("/"), "");
    assert_eq!(control("/allowed"), "public, max-age=60 + private");
    assert_eq!(control("/cached"), "max-age=60 + private");
    assert_eq!(control("/forbidden"), "no-store");
}

fn own_answers_have_the_routes_fields(on: Driver) {
    let proxy = Setup::new(on)
        .server(&Server::named("one"))
        .more("[[route]]\npath = \"/hello\"\nanswer = { body = \"hello\" }\nresponse_headers = { set = { X-A = \"b\" }, add = { X-B = [\"c\", \"d\"] }, remove = [\"Content-Type\"] }\n")
        .more("[[route]]\npath = \"/moved\"\nredirect = \"/hello\"\nresponse_headers.set = { Cache-Control = \"max-age=60\", X-A = \"b\" }\n")
        .start();
    let reply = proxy.get("/hello");
    assert_eq!(
        (reply.text(), reply.field("X-A")),
        ("hello".to_owned(), Some("b"))
    );
    assert_eq!(reply.fields("X-B"), ["c", "d"]);
    assert!(!reply.has("Content-Type"));
    let reply = proxy.get("/moved");
    assert_eq!(reply.fields("Cache-Control"), ["max-age=60"]);
    assert_eq!(
        (reply.field("Location"), reply.field("X-A")),
        (Some("/hello"), Some("b"))
    );
}

fn a_value_may_be_a_secret(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .environment("UPSTREAM_PASSWORD", "Basic c2VjcmV0")
        .more("[[route]]\npool = \"app\"\nrequest_headers.set = { Authorization = \"${UPSTREAM_PASSWORD}\" }\n")
        .start();
    proxy.client().get_with("/", "Authorization: mine\r\n");
    assert_eq!(
        server.last_request().fields("Authorization"),
        ["Basic c2VjcmV0"]
    );
}

fn error_pages_change_the_words_and_nothing_else(on: Driver) {
    let broken = Server::answering_once("nonsense\r\n\r\n");
    let silent = Server::silent();
    let routes = format!(
        "[[route]]\npath = \"/denied\"\npool = \"app\"\ndeny = \"127.0.0.1\"\n\
         [[route]]\npath = \"/silent\"\npool = \"silent\"\n[pool.silent]\ntimeouts.server = \"200ms\"\n[[pool.silent.server]]\nname = \"s\"\naddress = \"{}\"\n\
         [[route]]\npath = \"/down\"\npool = \"down\"\n[[pool.down.server]]\nname = \"d\"\naddress = \"127.0.0.1:1\"\nstate = \"maintenance\"\n",
        silent.address()
    );
    let setup = || {
        Setup::new(on)
            .server(&broken)
            .timeouts("request_head = \"300ms\"")
            .more(&routes)
    };
    let plain = setup().start();
    let pages: String = [400, 403, 408, 426, 431, 501, 502, 503, 504, 505]
        .iter()
        .map(|status| format!("{status} = \"<h1>page {status}</h1>\"\n"))
        .collect();
    let proxy = setup().more(&format!("[error_pages]\n{pages}")).start();
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    for (request, status) in [
        (get("/denied"), 403),
        (get("/silent"), 504),
        (get("/down"), 503),
        (get("/"), 502),
        ("GET /bad HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET /slow HTTP/1.1\r\nHost: a\r\n".to_owned(), 408),
        ("GET /new HTTP/2.5\r\nHost: a\r\n\r\n".to_owned(), 505),
        (
            handshake("/version").replace("Version: 13", "Version: 8"),
            426,
        ),
    ] {
        let usual_reply = plain.client().request(&request);
        let mut own = proxy.client();
        let reply = own.request(&request);
        assert_eq!(
            (usual_reply.status(), reply.status()),
            (status, status),
            "{request}"
        );
        assert_eq!(reply.text(), format!("<h1>page {status}</h1>"), "{request}");
        assert_eq!(
            reply.field("Content-Type"),
            Some("text/html; charset=utf-8")
        );
        let others = |reply: &support::Message| {
            let mut fields: Vec<_> = reply
                .fields
                .iter()
                .filter(|(name, _)| !["Content-Type", "Content-Length"].contains(&name.as_str()))
                .cloned()
                .collect();
            fields.sort();
            fields
        };
        assert_eq!(others(&reply), others(&usual_reply), "{request}");
        own.expect_closed();
    }
    let letters = |proxy: &Proxy| {
        assert_eventually!(proxy.all_access_lines().len() >= 8);
        let lines = proxy.all_access_lines();
        lines
            .iter()
            .map(|line| (line.status, line.termination.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(letters(&proxy), letters(&plain));
    // HEAD has the head of the page.
    let reply = proxy
        .client()
        .request("HEAD /denied HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(
        (reply.status(), reply.field("Content-Length")),
        (403, Some("17"))
    );
}

fn a_listeners_page_goes_before_that_of_all(on: Driver) {
    let text = "[process]\nworkers = 1\n[error_pages]\n503 = \"all\"\n\
        [[listener]]\nname = \"one\"\nbind = \"{listen}\"\nerror_pages = { 503 = { body = \"own\", type = \"text/plain\" } }\n\
        [[listener]]\nname = \"two\"\nbind = \"{listen2}\"\n";
    let proxy = Proxy::start(on, text);
    let reply = proxy.get("/");
    assert_eq!((reply.status(), reply.text()), (503, "own".to_owned()));
    assert_eq!(reply.field("Content-Type"), Some("text/plain"));
    let reply = Conn::connect(proxy.second_address()).get("/");
    assert_eq!((reply.status(), reply.text()), (503, "all".to_owned()));
}

fn error_pages_keep_the_fields_of_their_status(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .listener("client_rate = { requests = { per_second = 1, burst = 1 } }")
        .more("[error_pages]\n429 = { body = \"slow down\", type = \"text/plain\" }\n")
        .start();
    let replies: Vec<_> = (0..8).map(|_| proxy.get("/")).collect();
    let refused = replies.iter().find(|reply| reply.status() == 429).unwrap();
    assert_eq!(refused.text(), "slow down");
    assert!(refused.has("Retry-After"), "{}", refused.head);
}

fn error_pages_are_sent_whole_and_replaced_by_a_reload(on: Driver) {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("503.html");
    std::fs::write(&page, "x".repeat(64 * 1024)).unwrap();
    let text = "[process]\nworkers = 1\n[error_pages]\n503 = \"file:{folder}/503.html\"\n[[listener]]\nname = \"one\"\nbind = \"{listen}\"\n";
    let proxy = Proxy::start_in(on, folder, text);
    let mut client = Conn::connect_narrow(proxy.address());
    let reply = client.get("/");
    assert_eq!((reply.status(), reply.body.len()), (503, 64 * 1024));
    client.expect_closed();
    // A connection that was there before gets the new page too, also for a head that never ends.
    let mut waiting = proxy.client();
    waiting.send("GET / HTTP/1.1\r\n");
    std::fs::write(&page, "<p>new</p>").unwrap();
    proxy.sighup();
    proxy.wait_for_complaint("reloaded");
    assert_eventually!(proxy.get("/").text() == "<p>new</p>");
    waiting.send("Host: a\r\n\r\n");
    assert_eq!(waiting.read_response().text(), "<p>new</p>");
}
