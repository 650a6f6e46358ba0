//! Addresses: IPv4, IPv6 and unix sockets, for listeners and for servers.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use support::{Conn, Driver, Proxy, Server, Setup};

on_both_drivers!(
    a_listener_on_ipv6_tells_the_clients_address,
    a_listener_on_a_unix_socket_has_no_address_to_tell,
    a_listener_may_have_several_addresses,
    two_workers_share_a_unix_socket,
    a_wildcard_takes_both_families,
    an_ipv4_listener_on_the_same_port_has_its_own_clients,
    an_address_beside_a_wildcard,
    a_server_on_ipv6_is_reached,
    a_server_on_a_unix_socket_is_reached,
    a_unix_socket_that_is_gone_is_a_503_until_it_is_back,
    a_unix_socket_may_carry_tunnels,
    a_stale_unix_socket_is_replaced,
);

fn a_listener_on_ipv6_tells_the_clients_address(on: Driver) {
    if !support::has_ipv6("a listener on ipv6 tells the clients address") {
        return;
    }
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .listener("bind = \"{listen6}\"")
        .start();
    let mut client = Conn::connect(proxy.v6_address());
    assert_eq!(client.get("/six").status(), 200);
    assert_eq!(server.last_request().field("X-Forwarded-For"), Some("::1"));
    let line = proxy.wait_for_line("GET /six");
    assert!(
        line.starts_with(&format!("::1:{} ", client.local_address().port())),
        "{line}"
    );
}

fn a_listener_on_a_unix_socket_has_no_address_to_tell(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .listener("bind = \"unix:{folder}/http.sock\"")
        .start();
    let mut client = Conn::connect_unix(&proxy.folder().join("http.sock"));
    for _ in 0..2 {
        assert_eq!(client.get("/unix").status(), 200);
    }
    assert!(
        !server.last_request().has("X-Forwarded-For"),
        "{}",
        server.last_request().head
    );
    assert_eq!(proxy.access_line("GET /unix").status, 200);
}

fn a_listener_may_have_several_addresses(on: Driver) {
    if !support::has_ipv6("a listener may have several addresses") {
        return;
    }
    let server = Server::named("one");
    let bind = "bind = [\"{listen}\", \"{listen6}\", \"unix:{folder}/http.sock\"]";
    let proxy = Setup::new(on).server(&server).listener(bind).start();
    assert_eq!(proxy.get("/").status(), 200);
    assert_eq!(Conn::connect(proxy.v6_address()).get("/").status(), 200);
    assert_eq!(
        Conn::connect_unix(&proxy.folder().join("http.sock"))
            .get("/")
            .status(),
        200
    );
}

fn two_workers_share_a_unix_socket(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .listener("bind = \"unix:{folder}/http.sock\"")
        .process("workers = 2")
        .start();
    let path = proxy.folder().join("http.sock");
    let mut clients: Vec<Conn> = (0..20).map(|_| Conn::connect_unix(&path)).collect();
    for client in &mut clients {
        assert_eq!(client.get("/").status(), 200);
    }
}

/// `"*:80"` is every address of both families, and `"[::]:80"` takes IPv4 clients too; both know them by their IPv4 address.
fn a_wildcard_takes_both_families(on: Driver) {
    if !support::has_ipv6("a wildcard takes both families") {
        return;
    }
    let server = Server::named("one");
    for wildcard in ["*", "[::]"] {
        let port = support::Port::v4();
        let number = port.address.port();
        let bind = format!("bind = \"{wildcard}:{number}\"");
        let proxy = Setup::new(on).server(&server).listener(&bind).start();
        for (client, path) in [("127.0.0.1", "/four"), ("::1", "/six")] {
            let address = format!("{}:{number}", bracketed(client)).parse().unwrap();
            let mut conn = Conn::connect(address);
            assert_eq!(conn.get(path).status(), 200, "{wildcard} {client}");
            let told = server.last_request();
            assert_eq!(told.field("X-Forwarded-For"), Some(client), "{wildcard}");
            let line = proxy.wait_for_line(path);
            let start = format!("{client}:{} ", conn.local_address().port());
            assert!(line.starts_with(&start), "{wildcard}: {line}");
        }
    }
}

/// Where IPv4 has a listener of its own on that port, `"[::]:80"` leaves it that.
fn an_ipv4_listener_on_the_same_port_has_its_own_clients(on: Driver) {
    if !support::has_ipv6("an ipv4 listener on the same port has its own clients") {
        return;
    }
    for ipv4 in ["127.0.0.1", "0.0.0.0"] {
        let port = support::Port::v4();
        let number = port.address.port();
        let (one, two) = (Server::named("one"), Server::named("two"));
        let proxy = Setup::new(on)
            .server(&one)
            .listener(&format!("bind = \"{ipv4}:{number}\""))
            .more(&format!(
                "[[listener]]\nname = \"six\"\nbind = \"[::]:{number}\"\ndefault_pool = \"six\"\n\
                 [[pool.six.server]]\nname = \"two\"\naddress = \"{}\"",
                two.address()
            ))
            .process("workers = 2")
            .start();
        for _ in 0..8 {
            let four = format!("127.0.0.1:{number}").parse().unwrap();
            assert_eq!(Conn::connect(four).get("/").server(), "one", "{ipv4}");
            let six = format!("[::1]:{number}").parse().unwrap();
            assert_eq!(Conn::connect(six).get("/").server(), "two", "{ipv4}");
        }
        drop(proxy);
    }
}

/// A wildcard and an address of the same port stand in nobody's way.
fn an_address_beside_a_wildcard(on: Driver) {
    if !support::has_ipv6("an address beside a wildcard") {
        return;
    }
    let port = support::Port::v4();
    let number = port.address.port();
    let bind = format!("bind = [\"*:{number}\", \"127.0.0.1:{number}\"]");
    let server = Server::named("one");
    let _proxy = Setup::new(on).server(&server).listener(&bind).start();
    for host in ["127.0.0.1", "[::1]"] {
        let address = format!("{host}:{number}").parse().unwrap();
        assert_eq!(Conn::connect(address).get("/").status(), 200, "{host}");
    }
}

fn bracketed(ip: &str) -> String {
    match ip.contains(':') {
        true => format!("[{ip}]"),
        false => ip.to_owned(),
    }
}

fn a_server_on_ipv6_is_reached(on: Driver) {
    if !support::has_ipv6("a server on ipv6 is reached") {
        return;
    }
    let server = Server::named_v6("six");
    let proxy = Proxy::before(on, &[&server]);
    let mut client = proxy.client();
    for _ in 0..2 {
        assert_eq!(client.get("/").server(), "six");
    }
    assert_eq!(server.connections(), 1);
}

fn a_server_on_a_unix_socket_is_reached(on: Driver) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::named_unix("unix", &folder.path().join("app.sock"));
    let check = "check = { interval = \"100ms\", rise = 1, fall = 1 }";
    let proxy = Setup::new(on).server_with(&server, check).start();
    let mut client = proxy.client();
    for _ in 0..2 {
        assert_eq!(client.get("/").server(), "unix");
    }
    assert_eq!(server.connections(), 1);
    assert_eventually!(server.accepted() >= 4, "it is checked");
    assert_eq!(proxy.get("/").server(), "unix");
}

fn a_unix_socket_that_is_gone_is_a_503_until_it_is_back(on: Driver) {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::named_unix("unix", &folder.path().join("app.sock"));
    let proxy = Setup::new(on)
        .server(&server)
        .timeouts("connect = \"50ms\"")
        .start();
    server.stop();
    assert_eq!(proxy.get("/").status(), 503);
    server.revive();
    assert_eq!(proxy.get("/").status(), 200);
}

fn a_unix_socket_may_carry_tunnels(on: Driver) {
    let server = Server::websocket("one");
    let proxy = Setup::new(on)
        .server(&server)
        .listener("bind = \"unix:{folder}/http.sock\"")
        .start();
    let mut client = Conn::connect_unix(&proxy.folder().join("http.sock"));
    client.upgrade("/");
    client.echoes("hello");
    client.finish();
    client.expect_closed();
}

fn a_stale_unix_socket_is_replaced(on: Driver) {
    let folder = tempfile::tempdir().unwrap();
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("http.sock")).unwrap());
    let server = Server::named("one");
    let setup = Setup::new(on)
        .server(&server)
        .listener("bind = \"unix:{folder}/http.sock\"");
    let proxy = Proxy::start_in(on, folder, &setup.text());
    assert_eq!(
        Conn::connect_unix(&proxy.folder().join("http.sock"))
            .get("/")
            .status(),
        200
    );
}
