//! Source addresses: more connections to one server than one address has ports. Each scenario runs in a network
//! namespace of its own, which it makes by running itself once more and which ends with that process.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::net::SocketAddr;
use std::process::Command;

use socket2::{Domain, Socket, Type};
use support::{Conn, Driver, Proxy, Server, Setup, eventually};

on_both_drivers!(
    three_sources_carry_290_tunnels_to_one_server,
    one_address_carries_a_hundred,
    a_source_without_a_port_left_is_passed_over_at_once,
    a_port_serves_once_for_each_server,
    a_missing_source_is_passed_over_and_told_once,
    a_server_without_any_source_that_is_here_is_down,
    a_missing_source_is_not_the_servers_fault,
    a_lack_of_ports_is_not_the_servers_fault,
    checks_come_from_the_source,
    sources_of_ipv6,
    link_local_addresses_have_their_zone,
    a_reload_changes_the_sources_and_keeps_the_tunnels,
);

fn three_sources_carry_290_tunnels_to_one_server(on: Driver) {
    alone("three_sources_carry_290_tunnels_to_one_server", on, || {
        let server = Server::websocket("one");
        let proxy = over_unix(on, &server, THREE, "");
        narrow();
        let mut tunnels: Vec<Conn> = (0..290).map(|_| tunnel(&proxy).unwrap()).collect();
        for (number, tunnel) in tunnels.iter_mut().enumerate() {
            tunnel.echoes(&format!("message {number}"));
        }
        let from = connections_from(&server);
        assert_eq!(from.len(), 3, "{from:?}");
        let all_of_one = from.iter().map(|(_, count)| count).sum::<usize>();
        assert_eq!(all_of_one, 290, "{from:?}");
        assert!(from.iter().all(|(_, count)| *count <= 100), "{from:?}");
        // It is one server still, with one number of tunnels.
        let status = proxy.status().unwrap();
        let servers = status["pools"][0]["servers"].as_array().unwrap();
        assert_eq!(servers.len(), 1, "{status:#}");
        assert_eq!(servers[0]["tunnels"], 290, "{status:#}");
        // Nothing of all this was an attempt that failed.
        let lines = proxy.all_access_lines();
        assert!(
            lines.iter().all(|line| line.counts.ends_with("/0")),
            "{lines:?}"
        );
        // Behind the last port there is an end, told in one line.
        while let Some(another) = tunnel(&proxy) {
            tunnels.push(another);
        }
        assert_eq!(tunnels.len(), 300);
        (0..5).for_each(|_| assert!(tunnel(&proxy).is_none()));
        proxy.wait_for_line("no local port is left to connect to server app/one");
        tunnels.truncate(150);
        eventually("ports are free again", || tunnel(&proxy).map(drop));
        assert_eq!(said(&proxy, "no local port is left"), 1);
    });
}

fn one_address_carries_a_hundred(on: Driver) {
    alone("one_address_carries_a_hundred", on, || {
        let server = Server::websocket("one");
        let proxy = over_unix(on, &server, "", "");
        narrow();
        let tunnels: Vec<Conn> = (0..290).map_while(|_| tunnel(&proxy)).collect();
        assert_eq!(tunnels.len(), 100);
        assert_eq!(connections_from(&server), [("127.0.0.1".to_owned(), 100)]);
        proxy.wait_for_line("no local port is left to connect to server app/one");
    });
}

fn a_source_without_a_port_left_is_passed_over_at_once(on: Driver) {
    alone(
        "a_source_without_a_port_left_is_passed_over_at_once",
        on,
        || {
            let server = Server::websocket("one");
            let proxy = over_unix(on, &server, THREE, "");
            narrow();
            let _theirs: Vec<_> = (0..100).map(|_| from_second(&server)).collect();
            let tunnels: Vec<Conn> = (0..60).map_while(|_| tunnel(&proxy)).collect();
            assert_eq!(tunnels.len(), 60);
            let lines = proxy.all_access_lines();
            assert!(
                lines.iter().all(|line| line.counts.ends_with("/0")),
                "{lines:?}"
            );
            assert_eq!(said(&proxy, "no local port is left"), 0);
        },
    );
}

fn a_port_serves_once_for_each_server(on: Driver) {
    alone("a_port_serves_once_for_each_server", on, || {
        let servers = [Server::websocket("one"), Server::websocket("two")];
        let setup = setup(on, &servers[0], "source = \"127.0.0.2\"\n", "");
        let proxy = setup
            .server_with(&servers[1], "source = \"127.0.0.2\"\n")
            .start();
        narrow();
        let tunnels: Vec<Conn> = (0..190).map_while(|_| tunnel(&proxy)).collect();
        assert_eq!(tunnels.len(), 190);
    });
}

fn a_missing_source_is_passed_over_and_told_once(on: Driver) {
    alone("a_missing_source_is_passed_over_and_told_once", on, || {
        let server = closing_server();
        let sources = "source = [\"192.0.2.1\", \"127.0.0.2\"]\n";
        let proxy = over_unix(on, &server, sources, "");
        proxy.wait_for_line("source 192.0.2.1 of server app/one is not an address of this machine");
        (0..20).for_each(|_| assert_eq!(client(&proxy).get("/").status(), 200));
        ip("addr add 192.0.2.1/32 dev lo");
        (0..2).for_each(|_| assert_eq!(client(&proxy).get("/").status(), 200));
        proxy.wait_for_line(
            "source 192.0.2.1 of server app/one is an address of this machine again",
        );
        assert_eq!(said(&proxy, "is not an address of this machine"), 1);
        assert!(
            proxy
                .all_access_lines()
                .iter()
                .all(|line| line.counts.ends_with("/0"))
        );
    });
}

fn a_server_without_any_source_that_is_here_is_down(on: Driver) {
    alone(
        "a_server_without_any_source_that_is_here_is_down",
        on,
        || {
            let server = closing_server();
            let proxy = over_unix(on, &server, "source = \"192.0.2.1\"\n", CHECKED);
            proxy.wait_for_line("server app/one is down");
            assert_eq!(client(&proxy).get("/").status(), 503);
            ip("addr add 192.0.2.1/32 dev lo");
            proxy.wait_for_line("server app/one is up");
            assert_eq!(client(&proxy).get("/").status(), 200);
        },
    );
}

/// Clients are served by the other server, at once, and nothing is held against this one.
fn a_missing_source_is_not_the_servers_fault(on: Driver) {
    alone("a_missing_source_is_not_the_servers_fault", on, || {
        let (one, two) = (closing_server(), Server::named("two"));
        let proxy = blaming(on, [(&one, "source = \"192.0.2.1\"\n"), (&two, "")], 1);
        for _ in 0..8 {
            assert_eq!(client(&proxy).get("/").status(), 200);
        }
        assert_eq!(said(&proxy, "is ejected"), 0);
        blameless(&proxy);
        let status = proxy.status().unwrap();
        let moved = status["pools"][0]["servers"][0]["redispatches"].as_u64();
        assert!(moved.is_some_and(|moved| moved > 0), "{status:#}");
        assert_eq!(status["pools"][0]["retries_refused"], 0, "{status:#}");
        ip("addr add 192.0.2.1/32 dev lo");
        eventually("it is back in its turn", || {
            assert_eq!(client(&proxy).get("/").status(), 200);
            (!one.requests().is_empty()).then_some(())
        });
    });
}

/// Where no other server is left either, the log says that it was us.
fn a_lack_of_ports_is_not_the_servers_fault(on: Driver) {
    alone("a_lack_of_ports_is_not_the_servers_fault", on, || {
        let (one, two) = (Server::websocket("one"), Server::websocket("two"));
        let proxy = blaming(on, [(&one, ""), (&two, "")], 3);
        narrow();
        let mut tunnels = Vec::new();
        while let Some(another) = tunnel(&proxy) {
            tunnels.push(another);
        }
        assert_eq!(tunnels.len(), 200);
        (0..8).for_each(|_| assert!(tunnel(&proxy).is_none()));
        let refused = eventually("the lines of those who were refused", || {
            let mut lines = proxy.all_access_lines();
            lines.retain(|line| line.status == 503);
            (lines.len() == 9).then_some(lines)
        });
        assert!(
            refused
                .iter()
                .all(|line| line.termination.starts_with("RC")),
            "{refused:?}"
        );
        assert_eq!(said(&proxy, "is ejected"), 0);
        blameless(&proxy);
        tunnels
            .iter_mut()
            .for_each(|tunnel| tunnel.echoes("still here"));
    });
}

/// Two servers that would be ejected for two errors in a row, and a budget that allows no retry.
fn blaming(on: Driver, servers: [(&Server, &str); 2], retries: u32) -> Proxy {
    let setup = Setup::new(on)
        .listener("bind = [\"{listen}\", \"unix:{folder}/in.sock\"]\n")
        .pool(&format!(
            "retries = {retries}\non_down = \"close\"\npassive = {{ errors = 2, max_ejected = 1.0 }}\n\
             retry = {{ budget = 0.0, minimum = 0 }}\n"
        ));
    let add = |setup: Setup, (server, source): (&Server, &str)| setup.server_with(server, source);
    servers.into_iter().fold(setup, add).start()
}

fn blameless(proxy: &Proxy) {
    let status = proxy.status().unwrap();
    for server in status["pools"][0]["servers"].as_array().unwrap() {
        let found = (
            &server["state"],
            &server["connect_errors"],
            &server["ejections"],
        );
        assert_eq!(found, (&"up".into(), &0.into(), &0.into()), "{status:#}");
    }
}

fn checks_come_from_the_source(on: Driver) {
    alone("checks_come_from_the_source", on, || {
        // A server that ends nothing before the test does, so that the connections of checks can be counted.
        let (over, wait) = std::sync::mpsc::channel::<()>();
        let wait = std::sync::Mutex::new(wait);
        let held = Server::script(move |conn| {
            conn.read_to_end();
            let _ = wait.lock().unwrap().recv();
        });
        let proxy = over_unix(on, &held, THREE, CHECKED);
        eventually("checks from each source", || {
            let seen = half_closed_from(&held);
            let all = ["127.0.0.1", "127.0.0.2", "127.0.0.3"];
            all.iter()
                .all(|source| seen.iter().any(|other| other == source))
                .then_some(())
        });
        drop(proxy);
        drop(over);
    });
}

fn sources_of_ipv6(on: Driver) {
    alone("sources_of_ipv6", on, || {
        let server = Server::named_v6("one");
        ip("addr add fd00::2/128 dev lo nodad");
        let proxy = over_unix(on, &server, "source = [\"fd00::2\"]\n", CHECKED);
        let mut client = client(&proxy);
        assert_eq!(client.get("/").status(), 200);
        let peers = table("/proc/net/tcp6", &server, ESTABLISHED);
        let own: std::net::Ipv6Addr = "fd00::2".parse().unwrap();
        assert!(peers.iter().any(|peer| of_v6(peer) == own), "{peers:?}");
    });
}

/// Of a link, whose addresses say nothing without the interface: to listen on, to connect to, and to connect from.
fn link_local_addresses_have_their_zone(on: Driver) {
    alone("link_local_addresses_have_their_zone", on, || {
        ip("addr add fe80::1/64 dev lo nodad");
        ip("addr add fe80::2/64 dev lo nodad");
        let server = Server::named("one");
        let port = support::Port::v4();
        let number = port.address.port();
        let behind = Setup::new(on)
            .server(&server)
            .listener(&format!(
                "bind = \"[fe80::1%lo]:{number}\"\nproxy_protocol = [\"fe80::/64\"]"
            ))
            .start();
        for version in ["v1", "v2"] {
            let lines =
                format!("source = \"fe80::2%lo\"\nproxy_protocol = \"{version}\"\ncheck = true");
            let front = Setup::new(on)
                .server_at("two", &format!("[fe80::1%lo]:{number}"), &lines)
                .listener(
                    "bind = \"[fe80::1%lo]:{port6}\""
                        .replace("{port6}", &(number + 1).to_string())
                        .as_str(),
                )
                .start();
            let address = format!("[fe80::1%1]:{}", number + 1).parse().unwrap();
            let mut client = Conn::connect(address);
            assert_eq!(client.get("/linked").server(), "one", "{version}");
            // The client of the front, which the header tells without a zone.
            assert_eq!(
                server.last_request().field("X-Forwarded-For"),
                Some("fe80::1")
            );
            let line = front.wait_for_line("GET /linked");
            assert!(line.starts_with("fe80::1%1:"), "{line}");
            assert_eq!(
                front.status().unwrap()["pools"][0]["servers"][0]["state"],
                "up"
            );
        }
        let peers = eventually("a connection of the front", || {
            behind
                .status()
                .map(|status| status["listeners"][0]["total_connections"].as_u64())
        });
        assert!(peers > Some(1), "{peers:?}");
    });
}

fn a_reload_changes_the_sources_and_keeps_the_tunnels(on: Driver) {
    alone(
        "a_reload_changes_the_sources_and_keeps_the_tunnels",
        on,
        || {
            let server = Server::websocket("one");
            let before = setup(on, &server, "source = \"127.0.0.2\"\n", "");
            let proxy = before.start();
            let mut first = tunnel(&proxy).unwrap();
            proxy.rewrite_config(&setup(on, &server, "source = \"127.0.0.3\"\n", "").text());
            proxy.sighup();
            proxy.wait_for_line("configuration reloaded");
            let mut second = eventually("the new plan", || {
                let tunnel = tunnel(&proxy);
                let from = connections_from(&server);
                from.iter()
                    .any(|(source, _)| source == "127.0.0.3")
                    .then_some(tunnel)?
            });
            first.echoes("still here");
            second.echoes("and here");
            let status = proxy.status().unwrap();
            let tunnels = status["pools"][0]["servers"][0]["tunnels"]
                .as_u64()
                .unwrap();
            assert!(tunnels >= 2, "{status:#}");
        },
    );
}

const THREE: &str = "source = [\"127.0.0.1\", \"127.0.0.2\", \"127.0.0.3\"]\n";
const CHECKED: &str = "check = { interval = \"50ms\", timeout = \"5s\", rise = 1, fall = 1 }\n";

fn setup(on: Driver, server: &Server, source: &str, check: &str) -> Setup {
    Setup::new(on)
        .listener("bind = [\"{listen}\", \"unix:{folder}/in.sock\"]\n")
        .pool("retries = 0\n")
        .server_with(server, &format!("{source}{check}"))
}

/// Clients come over a unix socket: they need no port.
fn over_unix(on: Driver, server: &Server, source: &str, check: &str) -> Proxy {
    setup(on, server, source, check).start()
}

fn client(proxy: &Proxy) -> Conn {
    Conn::connect_unix(&proxy.folder().join("in.sock"))
}

/// A connection from 127.0.0.2 that is not the proxy's.
fn from_second(server: &Server) -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // A port bound in the usual way would be closed to connections from any other address, too.
    ringbolt::ring::bind_source(&socket, ([127, 0, 0, 2], 0).into()).unwrap();
    let server: SocketAddr = server.address().parse().unwrap();
    socket.connect(&server.into()).unwrap();
    socket
}

/// A server that closes after each answer, so that every request needs a new connection.
fn closing_server() -> Server {
    Server::answering_once("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
}

/// A tunnel, or `None` when the answer is 503.
fn tunnel(proxy: &Proxy) -> Option<Conn> {
    let mut client = client(proxy);
    client.send(support::handshake("/chat"));
    match client.read_response().status() {
        101 => Some(client),
        503 => None,
        other => panic!("{other}"),
    }
}

fn said(proxy: &Proxy, words: &str) -> usize {
    let lines = proxy.lines();
    lines.iter().filter(|line| line.contains(words)).count()
}

// === The namespace ===

/// Runs the scenario alone in a network namespace.
fn alone(scenario: &str, on: Driver, play: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        ip("link set lo up");
        return play();
    }
    let module = match on {
        Driver::Ring => "on_the_ring",
        Driver::Epoll => "on_epoll",
    };
    let mut inner = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        inner.args(["--user", "--map-root-user"]);
    }
    let inner = inner
        .args(["--net", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("{module}::{scenario}"), "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let (out, err) = (
        String::from_utf8_lossy(&inner.stdout),
        String::from_utf8_lossy(&inner.stderr),
    );
    let passed = inner.status.success() && out.contains("test result: ok. 1 passed");
    assert!(passed, "in its namespace:\n{out}\n{err}");
}

const INSIDE: &str = "RINGBOLT_TEST_IN_NAMESPACE";

fn ip(arguments: &str) {
    let done = Command::new("ip")
        .args(arguments.split(' '))
        .status()
        .unwrap();
    assert!(done.success(), "ip {arguments}");
}

/// A hundred ports for everybody, none of which a server or the proxy already has.
fn narrow() {
    std::fs::write("/proc/sys/net/ipv4/ip_local_port_range", "20000 20099").unwrap();
}

/// How many connections to the server stand, by the address that they come from.
fn connections_from(server: &Server) -> Vec<(String, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    for peer in table("/proc/net/tcp", server, ESTABLISHED) {
        *counts.entry(readable(&peer)).or_insert(0) += 1;
    }
    counts.into_iter().collect()
}

/// Whence the server has connections whose other end was closed.
fn half_closed_from(server: &Server) -> Vec<String> {
    let peers = table("/proc/net/tcp", server, CLOSE_WAIT);
    peers.iter().map(|peer| readable(peer)).collect()
}

/// As the kernel numbers them (include/net/tcp_states.h).
const ESTABLISHED: &str = "01";
const CLOSE_WAIT: &str = "08";

/// The peers, in hexadecimal digits, of the server's own connections in this state.
fn table(path: &str, server: &Server, state: &str) -> Vec<String> {
    let address: SocketAddr = server.address().parse().unwrap();
    let port = format!(":{:04X}", address.port());
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[1].ends_with(&port) && row[3] == state)
        .map(|row| row[2].split(':').next().unwrap().to_owned())
        .collect()
}

/// An IPv4 address of these tables: a number in the machine's order of bytes.
fn readable(hexadecimal: &str) -> String {
    let number = u32::from_str_radix(hexadecimal, 16).unwrap();
    std::net::Ipv4Addr::from(number.to_ne_bytes()).to_string()
}

/// An IPv6 address of these tables: four such numbers.
fn of_v6(hexadecimal: &str) -> std::net::Ipv6Addr {
    let word = |at: usize| u32::from_str_radix(&hexadecimal[at * 8..at * 8 + 8], 16).unwrap();
    let mut octets = [0; 16];
    for at in 0..4 {
        octets[at * 4..at * 4 + 4].copy_from_slice(&word(at).to_ne_bytes());
    }
    octets.into()
}
