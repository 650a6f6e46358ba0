//! Which pool a request goes to: host before path, the exact before the general.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use support::{Driver, Proxy, Server};

on_both_drivers!(
    hosts_are_matched_without_case_and_port,
    an_exact_host_goes_before_a_wildcard_and_that_before_any,
    a_wildcard_takes_any_depth_but_not_its_own_root,
    an_exact_path_goes_before_prefixes_and_the_longest_prefix_first,
    the_host_decides_before_the_path,
    the_order_in_the_file_does_not_matter,
    a_query_is_no_part_of_the_path,
    the_host_of_an_absolute_target_counts,
    routes_may_belong_to_one_listener,
    the_default_pool_takes_the_rest,
    without_a_match_the_answer_is_503,
    requests_of_one_connection_may_go_to_different_pools,
    websockets_are_routed_too,
);

/// A proxy with a pool (of one server) for each of these names, and these routes.
struct Routed {
    proxy: Proxy,
    _servers: Vec<Server>,
}

impl Routed {
    fn new(on: Driver, pools: &[&str], listener: &str, routes: &[&str]) -> Self {
        let servers: Vec<Server> = pools.iter().map(|name| Server::websocket(name)).collect();
        let mut text = format!(
            "[process]\nworkers = 1\n[[listener]]\nname = \"http-in\"\nbind = \"{{listen}}\"\n{listener}\n[[listener]]\nname = \"second\"\nbind = \"{{listen2}}\"\n"
        );
        for route in routes {
            text.push_str(&format!("[[route]]\n{}\n", route.replace(", ", "\n")));
        }
        for server in &servers {
            text.push_str(&format!(
                "[[pool.{0}.server]]\nname = \"{0}\"\naddress = \"{1}\"\n",
                server.name(),
                server.address()
            ));
        }
        Self {
            proxy: Proxy::start(on, &text),
            _servers: servers,
        }
    }

    /// The pool that answers, or the status without one.
    fn pool_of(&self, host: &str, target: &str) -> String {
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        let reply = self.proxy.client().request(&request);
        reply
            .field("X-Server")
            .map_or_else(|| reply.status().to_string(), str::to_owned)
    }
}

fn hosts_are_matched_without_case_and_port(on: Driver) {
    let routed = Routed::new(
        on,
        &["a"],
        "",
        &["host = \"MyServer.example.com\", pool = \"a\""],
    );
    for host in [
        "myserver.example.com",
        "MYSERVER.EXAMPLE.COM",
        "myserver.example.com:8080",
    ] {
        assert_eq!(routed.pool_of(host, "/"), "a", "{host}");
    }
    for host in [
        "example.com",
        "xmyserver.example.com",
        "myserver.example.com.evil",
    ] {
        assert_eq!(routed.pool_of(host, "/"), "503", "{host}");
    }
}

fn an_exact_host_goes_before_a_wildcard_and_that_before_any(on: Driver) {
    let routed = Routed::new(
        on,
        &["exact", "wild", "any"],
        "",
        &[
            "pool = \"any\"",
            "host = \"*.example.com\", pool = \"wild\"",
            "host = \"www.example.com\", pool = \"exact\"",
        ],
    );
    assert_eq!(routed.pool_of("www.example.com", "/"), "exact");
    assert_eq!(routed.pool_of("other.example.com", "/"), "wild");
    assert_eq!(routed.pool_of("elsewhere.org", "/"), "any");
}

fn a_wildcard_takes_any_depth_but_not_its_own_root(on: Driver) {
    let routed = Routed::new(
        on,
        &["wild", "deep"],
        "",
        &[
            "host = \"*.example.com\", pool = \"wild\"",
            "host = \"*.b.example.com\", pool = \"deep\"",
        ],
    );
    assert_eq!(routed.pool_of("a.example.com", "/"), "wild");
    assert_eq!(routed.pool_of("x.y.z.example.com", "/"), "wild");
    assert_eq!(
        routed.pool_of("a.b.example.com", "/"),
        "deep",
        "the longer one first"
    );
    assert_eq!(routed.pool_of("example.com", "/"), "503");
    assert_eq!(routed.pool_of("badexample.com", "/"), "503");
}

fn an_exact_path_goes_before_prefixes_and_the_longest_prefix_first(on: Driver) {
    let routed = Routed::new(
        on,
        &["exact", "short", "long"],
        "",
        &[
            "path_prefix = \"/app\", pool = \"short\"",
            "path_prefix = \"/app/api\", pool = \"long\"",
            "path = \"/app/api/health\", pool = \"exact\"",
        ],
    );
    for (target, pool) in [
        ("/app/api/health", "exact"),
        ("/app/api/healthy", "long"),
        ("/app/api", "long"),
        ("/app/ap", "short"),
        ("/application", "short"),
        ("/ap", "503"),
        ("/APP", "503"),
    ] {
        assert_eq!(routed.pool_of("a", target), pool, "{target}");
    }
}

fn the_host_decides_before_the_path(on: Driver) {
    let routed = Routed::new(
        on,
        &["host", "path", "both"],
        "",
        &[
            "host = \"a.example\", pool = \"host\"",
            "path = \"/exact\", pool = \"path\"",
            "host = \"b.example\", path_prefix = \"/\", pool = \"both\"",
        ],
    );
    assert_eq!(routed.pool_of("a.example", "/exact"), "host");
    assert_eq!(routed.pool_of("b.example", "/exact"), "both");
    assert_eq!(routed.pool_of("c.example", "/exact"), "path");
}

fn the_order_in_the_file_does_not_matter(on: Driver) {
    let mut routes = [
        "pool = \"any\"",
        "path_prefix = \"/p\", pool = \"prefix\"",
        "host = \"a.example\", pool = \"host\"",
    ];
    for _ in 0..2 {
        let routed = Routed::new(on, &["any", "prefix", "host"], "", &routes);
        assert_eq!(routed.pool_of("a.example", "/p"), "host");
        assert_eq!(routed.pool_of("b.example", "/p"), "prefix");
        assert_eq!(routed.pool_of("b.example", "/q"), "any");
        routes.reverse();
    }
}

fn a_query_is_no_part_of_the_path(on: Driver) {
    let routed = Routed::new(on, &["a"], "", &["path = \"/socket.io/\", pool = \"a\""]);
    assert_eq!(
        routed.pool_of("a", "/socket.io/?EIO=4&transport=polling"),
        "a"
    );
    assert_eq!(routed.pool_of("a", "/?/socket.io/"), "503");
}

fn the_host_of_an_absolute_target_counts(on: Driver) {
    let routed = Routed::new(
        on,
        &["a"],
        "",
        &["host = \"a.example\", path = \"/x\", pool = \"a\""],
    );
    assert_eq!(routed.pool_of("a.example", "http://A.example/x"), "a");
}

fn routes_may_belong_to_one_listener(on: Driver) {
    let routed = Routed::new(
        on,
        &["first", "second"],
        "",
        &[
            "listener = \"http-in\", pool = \"first\"",
            "listener = \"second\", pool = \"second\"",
        ],
    );
    assert_eq!(routed.pool_of("a", "/"), "first");
    let mut client = support::Conn::connect(routed.proxy.second_address());
    assert_eq!(client.get("/other").server(), "second");
    assert_eq!(routed.proxy.access_line("GET /other").listener, "second");
}

fn the_default_pool_takes_the_rest(on: Driver) {
    let routed = Routed::new(
        on,
        &["a", "rest"],
        "default_pool = \"rest\"",
        &["host = \"a.example\", pool = \"a\""],
    );
    assert_eq!(routed.pool_of("a.example", "/"), "a");
    assert_eq!(routed.pool_of("b.example", "/"), "rest");
}

fn without_a_match_the_answer_is_503(on: Driver) {
    let routed = Routed::new(on, &["a"], "", &["host = \"a.example\", pool = \"a\""]);
    assert_eq!(routed.proxy.get("/lost").status(), 503);
    let line = routed.proxy.access_line("GET /lost");
    assert_eq!(
        (line.pool.as_str(), line.server.as_str()),
        ("http-in", "<NOSRV>"),
        "{}",
        line.line
    );
    assert_eq!(
        (line.termination.as_str(), line.status),
        ("SC--", 503),
        "{}",
        line.line
    );
}

fn requests_of_one_connection_may_go_to_different_pools(on: Driver) {
    let routed = Routed::new(
        on,
        &["a", "b"],
        "",
        &[
            "path_prefix = \"/a\", pool = \"a\"",
            "path_prefix = \"/b\", pool = \"b\"",
        ],
    );
    let mut client = routed.proxy.client();
    client.send("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\nGET /a HTTP/1.1\r\nHost: x\r\n\r\n");
    let names = [(); 3].map(|()| client.read_response().server().to_owned());
    assert_eq!(names, ["a", "b", "a"]);
}

fn websockets_are_routed_too(on: Driver) {
    let routed = Routed::new(
        on,
        &["a", "b"],
        "",
        &["path_prefix = \"/b\", pool = \"b\"", "pool = \"a\""],
    );
    let mut client = routed.proxy.client();
    client.upgrade("/b/socket");
    client.echoes("hello");
    assert_eq!(routed._servers[1].requests().len(), 1);
}
