//! Servers by name: a real DNS server says where they are, changes its mind, fails and comes back.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
#[macro_use]
mod support;

mod dns;

use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use dns::Dns;
use support::{Conn, Driver, Port, Proxy, Server, Setup, eventually};

on_both_drivers!(
    each_address_is_a_server_of_its_own,
    a_change_is_followed_and_its_tunnels_stay,
    changes_with_tunnels_leave_nothing_behind,
    those_that_wait_follow_the_name,
    an_address_that_one_answer_lacks_stays,
    an_address_that_comes_back_still_has_its_tunnels_and_its_state,
    an_answer_counts_for_its_ttl_and_within_bounds,
    only_one_family_is_asked_for,
    srv_records_give_ports_weights_and_tiers,
    a_dns_server_that_fails_takes_nothing_away,
    a_name_that_is_denied_is_given_up_after_a_while,
    a_name_that_is_unknown_at_the_start_appears,
    a_start_does_not_wait_for_a_silent_dns_server,
    each_address_has_a_cookie_key_of_its_own,
    a_server_of_one_keeps_its_name_and_its_key,
    a_reload_keeps_what_is_known,
    a_reload_finds_new_names_before_it_comes_into_force,
    a_long_answer_comes_over_tcp_and_an_alias_leads_on,
    only_the_last_server_that_goes_leaves_nobody,
    a_hosts_file_counts_before_dns_and_is_followed,
    domains_are_appended_to_names,
    a_family_without_a_source_is_an_event,
);

/// Servers on one port of several addresses, as a name needs them.
struct Hosts {
    base: Port,
    servers: Vec<Server>,
}

impl Hosts {
    fn on(ips: &[&str]) -> Self {
        let base = Port::v4();
        let servers = ips
            .iter()
            .map(|ip| Server::websocket_at(ip, base.beside(ip)))
            .collect();
        Self { base, servers }
    }

    fn port(&self) -> u16 {
        self.base.address.port()
    }

    fn named(&self, ip: &str) -> &Server {
        self.servers
            .iter()
            .find(|server| server.name() == ip)
            .unwrap()
    }

    /// A proxy with one server entry, which asks this DNS server.
    fn setup(&self, on: Driver, dns: &Dns, resolver: &str, lines: &str) -> Setup {
        let address = format!("node.example:{}", self.port());
        Setup::new(on)
            .server_at("node", &address, lines)
            .more(&dns.resolver(resolver))
    }
}

const A: &str = "127.0.0.2";
const B: &str = "127.0.0.3";
const C: &str = "127.0.0.4";

/// Lines of a hosts file: these addresses are `node.example`'s.
fn node(ips: &[&str]) -> String {
    ips.iter()
        .map(|ip| format!("{ip} node.example\n"))
        .collect()
}

/// Which servers answer, and how often.
fn shares(proxy: &Proxy, requests: usize) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for _ in 0..requests {
        *shares
            .entry(proxy.get("/").server().to_owned())
            .or_default() += 1;
    }
    shares
}

fn lines_with(proxy: &Proxy, words: &str) -> Vec<String> {
    let mut lines = proxy.lines();
    lines.retain(|line| line.contains(words));
    lines
}

fn pool(proxy: &Proxy) -> serde_json::Value {
    let status = Conn::connect_unix(&proxy.control_socket()).get("/v1/status");
    let status: serde_json::Value = serde_json::from_str(&status.text()).unwrap();
    status["pools"][0].clone()
}

fn names(proxy: &Proxy) -> Vec<String> {
    let pool = pool(proxy);
    let servers = pool["servers"].as_array().unwrap().iter();
    servers
        .map(|server| server["name"].as_str().unwrap().to_owned())
        .collect()
}

fn each_address_is_a_server_of_its_own(on: Driver) {
    if !support::has_ipv6("each address is a server of its own") {
        return;
    }
    let hosts = Hosts::on(&[A, B, "::1"]);
    let dns = Dns::start(&node(&["::1", B, A]));
    let proxy = hosts.setup(on, &dns, "", "").start();
    let even: BTreeMap<_, _> = [A, B, "::1"].map(|ip| (ip.to_owned(), 3)).into();
    assert_eq!(shares(&proxy, 9), even);
    let port = hosts.port();
    let wanted = [A, B, "[::1]"].map(|ip| format!("node-{ip}:{port}"));
    assert_eq!(names(&proxy), wanted);
    let logged: BTreeSet<_> = proxy
        .access_lines("GET /", 9)
        .into_iter()
        .map(|line| line.server)
        .collect();
    assert_eq!(logged, wanted.into());
    let pool = pool(&proxy);
    let asked = format!("node.example:{port}");
    assert_eq!(pool["servers"][2]["address"], format!("[::1]:{port}"));
    assert_eq!(pool["servers"][2]["found_by"], asked);
    let name = &pool["names"][0];
    assert_eq!(
        (&name["server"], &name["asks"]),
        (&"node".into(), &asked.into())
    );
    assert_eq!(
        (&name["addresses"], &name["max_servers"]),
        (&3.into(), &64.into())
    );
    assert!(name["error"].is_null(), "{name}");
    assert!(lines_with(&proxy, " is added").is_empty());
}

fn a_change_is_followed_and_its_tunnels_stay(on: Driver) {
    let hosts = Hosts::on(&[A, B]);
    let dns = Dns::start(&node(&[A]));
    let proxy = hosts.setup(on, &dns, "", "").start();
    let mut tunnel = proxy.client();
    assert_eq!(tunnel.upgrade("/").server(), A);
    tunnel.echoes("before");
    assert_eq!(proxy.get("/").server(), A);
    eventually("the link is kept", || {
        (hosts.named(A).open() == 2).then_some(())
    });

    dns.change(&node(&[B, A]));
    let added = proxy.wait_for_line("is added");
    let port = hosts.port();
    let why = format!(
        "server app/node-{B}:{port} is added: {B}:{port} is an address of node.example:{port}; 2 up in the pool"
    );
    assert!(added.contains(&why), "{added}");
    let both: BTreeMap<_, _> = [A, B].map(|ip| (ip.to_owned(), 4)).into();
    eventually("both take turns", || {
        (shares(&proxy, 8) == both).then_some(())
    });

    dns.change(&node(&[B]));
    let removed = proxy.wait_for_line("is removed");
    let why = format!(
        "server app/node-{A}:{port} is removed: {A}:{port} is no address of node.example:{port} any more; \
         it keeps 1 tunnel; 1 up in the pool"
    );
    assert!(removed.contains(&why), "{removed}");
    eventually("its kept links are closed", || {
        (hosts.named(A).open() == 1).then_some(())
    });
    assert_eq!(shares(&proxy, 4), [(B.to_owned(), 4)].into());
    tunnel.echoes("after");
    assert_eq!(lines_with(&proxy, " is added").len(), 1);
    assert_eq!(lines_with(&proxy, " is removed").len(), 1);
}

/// `RINGBOLT_DNS_CHANGES`: how many, at one a second; in the gate fewer, each of which would be seen.
fn dns_changes() -> usize {
    let changes = std::env::var("RINGBOLT_DNS_CHANGES").ok();
    changes.map_or(5, |changes| changes.parse().unwrap())
}

/// A listener of half a megabyte, one tunnel and one idle connection that began under each set of addresses.
fn changes_with_tunnels_leave_nothing_behind(on: Driver) {
    let hosts = Hosts::on(&[A, B]);
    let dns = Dns::start(&node(&[A]));
    let page = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(page.path(), vec![b'.'; 60 << 10]).unwrap();
    let page = |status| format!("{status} = \"file:{}\"", page.path().display());
    let pages = [400, 403, 408, 413, 429, 500, 502, 503, 504].map(page);
    let pages = format!("error_pages = {{ {} }}", pages.join(", "));
    let setup = hosts.setup(on, &dns, "", "max_servers = 1");
    let proxy = setup.listener(&pages).start();
    let mut clients = Vec::new();
    let mut turn = [A, B].into_iter().cycle();
    let mut begin = |changes: usize| {
        for _ in 0..changes {
            let ip = turn.next().unwrap();
            dns.change(&node(&[ip]));
            let wanted = format!("{ip}:{}", hosts.port());
            eventually("the server is the other one", || {
                (pool(&proxy)["servers"][0]["address"] == wanted).then_some(())
            });
            let (mut tunnel, mut idle) = (proxy.client(), proxy.client());
            assert_eq!(tunnel.upgrade("/").server(), ip);
            assert_eq!(idle.get("/").server(), ip);
            clients.extend([tunnel, idle]);
        }
        proxy.usage().resident
    };
    let before = begin(3);
    let grown = begin(dns_changes()).saturating_sub(before);
    assert!(
        grown < 2 << 20,
        "{} changes took {grown} bytes",
        dns_changes()
    );
    for client in clients.iter_mut().step_by(2) {
        client.echoes("still here");
    }
}

/// A tunnel fills the only server; the next client waits, and is served by the address that DNS adds, or that takes
/// the first one's place.
fn those_that_wait_follow_the_name(on: Driver) {
    let hosts = Hosts::on(&[A, B]);
    for after in [&[A, B][..], &[B]] {
        let dns = Dns::start(&node(&[A]));
        let setup = hosts.setup(on, &dns, "", "max_connections = 1");
        let proxy = setup.timeouts("queue = \"never\"").start();
        let mut tunnel = proxy.client();
        assert_eq!(tunnel.upgrade("/").server(), A);
        let mut waits = proxy.client();
        waits.send("GET /waits HTTP/1.1\r\nHost: a\r\n\r\n");
        eventually("it waits", || {
            (pool(&proxy)["queue"]["waiting"] == 1).then_some(())
        });
        dns.change(&node(after));
        assert_eq!(waits.read_response().server(), B);
        tunnel.echoes("still there");
        assert_eq!(pool(&proxy)["queue"]["timeouts"], 0);
    }
}

fn an_address_that_one_answer_lacks_stays(on: Driver) {
    let hosts = Hosts::on(&[A, B]);
    let dns = Dns::start(&node(&[A, B]));
    let proxy = hosts.setup(on, &dns, "", "").start();
    let known = |count: u64| {
        eventually("the answer is heard", || {
            (pool(&proxy)["names"][0]["addresses"] == count).then_some(())
        });
    };
    known(2);
    let both: BTreeMap<_, _> = [A, B].map(|ip| (ip.to_owned(), 4)).into();
    // On a machine with much to do the next answer may come too late; not each time.
    eventually("it stays", || {
        let before = lines_with(&proxy, "is removed").len();
        dns.change(&node(&[B]));
        known(1);
        let between = shares(&proxy, 8);
        dns.change(&node(&[A, B]));
        known(2);
        let stayed = lines_with(&proxy, "is removed").len() == before;
        (stayed && between == both).then_some(())
    });
}

fn an_address_that_comes_back_still_has_its_tunnels_and_its_state(on: Driver) {
    let hosts = Hosts::on(&[A, B]);
    let dns = Dns::start(&node(&[A]));
    let proxy = hosts.setup(on, &dns, "", "max_tunnels = 1").start();
    let mut tunnel = proxy.client();
    assert_eq!(tunnel.upgrade("/").server(), A);
    dns.change(&node(&[B]));
    let name = format!("app/node-{A}:{}", hosts.port());
    proxy.wait_for_line(&format!("{name} is removed"));
    assert_eq!(shares(&proxy, 4), [(B.to_owned(), 4)].into());
    dns.change(&node(&[A, B]));
    proxy.wait_for_line(&format!("{name} is added"));
    assert_eq!(pool(&proxy)["servers"][0]["tunnels"], 1);
    // It is full.
    assert_eq!(proxy.client().upgrade("/").server(), B);
    tunnel.echoes("still there");
}

fn an_answer_counts_for_its_ttl_and_within_bounds(on: Driver) {
    let hosts = Hosts::on(&[A, B]);
    let mut dns = Dns::start_with(&node(&[A]), "local-ttl=600\n");
    let long = hosts.setup(on, &dns, "", "").start();
    let bounded = hosts.setup(on, &dns, "max_ttl = \"1s\"", "").start();
    dns.restart_with("local-ttl=1\n");
    let least = hosts
        .setup(on, &dns, "min_ttl = \"1h\"\nmax_ttl = \"1h\"", "")
        .start();
    dns.change(&node(&[B]));
    bounded.wait_for_line(&format!("node-{B}:{} is added", hosts.port()));
    bounded.wait_for_line(&format!("node-{A}:{} is removed", hosts.port()));
    assert_eq!(bounded.get("/").server(), B);
    std::thread::sleep(Duration::from_secs(2));
    for (proxy, why) in [(&long, "its TTL is not over"), (&least, "nor is min_ttl")] {
        assert_eq!(proxy.get("/").server(), A, "{why}");
        assert!(lines_with(proxy, "is added").is_empty(), "{why}");
    }
}

fn only_one_family_is_asked_for(on: Driver) {
    if !support::has_ipv6("only one family is asked for") {
        return;
    }
    let hosts = Hosts::on(&[A, "::1"]);
    let dns = Dns::start(&node(&[A, "::1"]));
    for (family, only) in [("ipv4", A), ("ipv6", "::1")] {
        let lines = format!("family = \"{family}\"");
        let proxy = hosts.setup(on, &dns, &lines, "").start();
        assert_eq!(shares(&proxy, 4), [(only.to_owned(), 4)].into(), "{family}");
    }
}

fn srv_records_give_ports_weights_and_tiers(on: Driver) {
    let mut servers = ["one", "two", "three"].map(Server::websocket);
    let port = |server: &Server| server.address().rsplit(':').next().unwrap().to_owned();
    let record = |server: &Server, priority: u32, weight: u32| {
        let port = port(server);
        format!("srv-host=_ws._tcp.example,node.example,{port},{priority},{weight}\n")
    };
    let [one, two, three] = &servers;
    let records = record(one, 10, 3) + &record(two, 10, 1) + &record(three, 20, 5);
    let mut dns = Dns::start_with(
        "127.0.0.1 node.example\n",
        &format!("local-ttl=1\n{records}"),
    );
    let check = "check = { interval = \"100ms\", rise = 2, fall = 2 }";
    let entry = format!(
        "[[pool.app.server]]\nname = \"ws\"\nsrv = \"_ws._tcp.example\"\n{check}\n{}",
        dns.resolver("")
    );
    let proxy = Setup::new(on).more(&entry).start();
    let wanted = [("one".to_owned(), 12), ("two".to_owned(), 4)].into();
    assert_eq!(shares(&proxy, 16), wanted);
    let status = pool(&proxy);
    assert_eq!(status["names"][0]["asks"], "_ws._tcp.example");
    assert_eq!(status["servers"][0]["found_by"], "_ws._tcp.example");

    // The backups serve when the servers before them do not.
    let mut tunnel = proxy.client();
    let held = tunnel.upgrade("/").server().to_owned();
    let [one, two, _] = &mut servers;
    one.stop_listening();
    two.stop_listening();
    eventually("the next tier takes over", || {
        (proxy.get("/").server() == "three").then_some(())
    });
    tunnel.echoes("still there");
    assert_ne!(held, "three");
    one.revive();
    two.revive();
    eventually("the first tier is back", || {
        (proxy.get("/").server() == "two").then_some(())
    });

    // Other weights, and one server less.
    let [one, two, _] = &servers;
    let records = record(one, 5, 100) + &record(two, 5, 300);
    dns.restart_with(&format!("local-ttl=1\n{records}"));
    proxy.wait_for_line("is removed");
    let wanted = [("one".to_owned(), 2), ("two".to_owned(), 6)].into();
    eventually("the weights are the new ones", || {
        (shares(&proxy, 8) == wanted).then_some(())
    });
    tunnel.echoes("and still");
}

fn a_dns_server_that_fails_takes_nothing_away(on: Driver) {
    let hosts = Hosts::on(&[A, B]);
    let mut dns = Dns::start(&node(&[A, B]));
    let quick = "timeout = \"200ms\"\nretries = 1\nhold = \"1s\"";
    let proxy = hosts
        .setup(on, &dns, quick, "")
        .more("[stats]\npath = \"/page\"\n")
        .start();
    let both: BTreeMap<_, _> = [A, B].map(|ip| (ip.to_owned(), 4)).into();
    assert_eq!(shares(&proxy, 8), both);
    dns.stop();
    let port = hosts.port();
    let line = proxy.wait_for_line("DNS does not say where");
    let why = format!("node.example:{port} is: no answer; 2 addresses known of it stay");
    assert!(line.contains(&why), "{line}");
    let error = pool(&proxy)["names"][0]["error"].clone();
    assert_eq!(error, "no answer");
    let page = proxy.get("/page").text();
    let asked = format!("node.example:{port}");
    assert!(page.contains(&format!(
        "DNS does not say where {asked} is.</b> no answer; known: 2"
    )));
    assert!(page.contains(&format!("\">{A}:{port} of {asked}</code>")));
    let mut status = support::ringbolt();
    status
        .args(["status", "--socket"])
        .arg(proxy.control_socket());
    let status = String::from_utf8(status.output().unwrap().stdout).unwrap();
    let told = format!("node is {asked}: 2 of at most 64 addresses; no answer");
    assert!(status.contains(&told), "{status}");
    // Longer than `hold`, which is not about silence, and for more than one further question.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(shares(&proxy, 8), both);
    dns.run();
    proxy.wait_for_line(&format!("DNS says again where node.example:{port} is"));
    assert_eq!(shares(&proxy, 8), both);
    assert_eq!(lines_with(&proxy, "DNS does not say").len(), 1);
    assert!(lines_with(&proxy, "is removed").is_empty());
    assert!(pool(&proxy)["names"][0]["error"].is_null());

    // It answers, but that it cannot.
    dns.restart_with("local-ttl=1\nserver=/node.example/127.0.0.1#1\n");
    dns.change("");
    eventually("another failure is told", || {
        (lines_with(&proxy, "DNS does not say").len() == 2).then_some(())
    });
    assert_eq!(shares(&proxy, 8), both);
}

fn a_name_that_is_denied_is_given_up_after_a_while(on: Driver) {
    let hosts = Hosts::on(&[A]);
    let dns = Dns::start(&node(&[A]));
    let kept = hosts.setup(on, &dns, "", "").start();
    let given_up = hosts.setup(on, &dns, "hold = \"2s\"", "").start();
    dns.change("");
    let begun = Instant::now();
    for proxy in [&kept, &given_up] {
        proxy.wait_for_line("no such name");
    }
    given_up.wait_for_line("is removed");
    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert_eq!(given_up.get("/").status(), 503);
    assert_eq!(kept.get("/").server(), A, "half a minute is not over");
    dns.change(&node(&[A]));
    given_up.wait_for_line("is added");
    assert_eq!(given_up.get("/").server(), A);
    assert_eq!(lines_with(&given_up, "no such name").len(), 1);
}

fn a_name_that_is_unknown_at_the_start_appears(on: Driver) {
    let hosts = Hosts::on(&[A]);
    let dns = Dns::start("127.0.0.9 other.example\n");
    let check = "check = { interval = \"100ms\" }";
    let proxy = hosts.setup(on, &dns, "", check).start();
    assert_eq!(proxy.get("/").status(), 503);
    let line = proxy.wait_for_line("DNS does not say where");
    assert!(
        line.contains("no such name; it has no server until then"),
        "{line}"
    );
    assert_eq!(names(&proxy), [""; 0]);
    dns.change(&node(&[A]));
    proxy.wait_for_line("is added");
    assert_eq!(proxy.get("/").server(), A);
    eventually("it is checked", || {
        (pool(&proxy)["servers"][0]["checks"].as_u64() > Some(0)).then_some(())
    });
}

fn a_start_does_not_wait_for_a_silent_dns_server(on: Driver) {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let resolver = format!(
        "[resolver]\nservers = [\"{}\"]\ntimeout = \"1m\"\n",
        silent.local_addr().unwrap()
    );
    let one = Server::named("one");
    let proxy = Setup::new(on)
        .server(&one)
        .server_at("node", "node.example:3000", "")
        .more(&resolver)
        .start();
    assert_eq!(proxy.get("/").server(), "one");
    let line = proxy.wait_for_line("DNS does not say where");
    assert!(line.contains("no answer yet"), "{line}");
    assert_eq!(pool(&proxy)["names"][0]["error"], "no answer yet");
}

fn each_address_has_a_cookie_key_of_its_own(on: Driver) {
    let hosts = Hosts::on(&[A, B, C]);
    let dns = Dns::start(&node(&[A, B]));
    let proxy = hosts
        .setup(on, &dns, "", "")
        .sticky("cookie = \"SERVERID\"\ndynamic_key = \"of the test\"")
        .start();
    let cookies: BTreeMap<String, String> = (0..2)
        .map(|_| {
            let answer = proxy.get("/");
            (
                answer.server().to_owned(),
                answer.set_cookie("SERVERID").unwrap(),
            )
        })
        .collect();
    assert_eq!(cookies.len(), 2);
    assert_ne!(cookies[A], cookies[B]);
    let held = |ip: &str| {
        let lines = format!("Cookie: SERVERID={}\r\n", cookies[ip]);
        (0..4).all(|_| proxy.client().get_with("/", &lines).server() == ip)
    };
    assert!(held(A) && held(B));
    // Others come and go, and the order of the answer changes: each key leads where it led.
    dns.change(&node(&[C, B, A]));
    proxy.wait_for_line(&format!("node-{C}:{} is added", hosts.port()));
    assert!(held(A) && held(B));
    dns.change(&node(&[B, C]));
    proxy.wait_for_line(&format!("node-{A}:{} is removed", hosts.port()));
    assert!(held(B) && !held(A));
    dns.change(&node(&[A, B]));
    proxy.wait_for_line(&format!("node-{A}:{} is added", hosts.port()));
    assert!(held(A) && held(B));
}

fn a_server_of_one_keeps_its_name_and_its_key(on: Driver) {
    let hosts = Hosts::on(&[A, B]);
    let dns = Dns::start(&node(&[B]));
    let proxy = hosts
        .setup(on, &dns, "", "cookie = \"n1\"")
        .sticky("cookie = \"SERVERID\"")
        .start();
    assert_eq!(names(&proxy), ["node"]);
    let answer = proxy.get("/");
    assert_eq!(answer.server(), B);
    assert_eq!(answer.set_cookie("SERVERID").as_deref(), Some("n1"));
    // With two addresses it stays where it is.
    dns.change(&node(&[B, A]));
    eventually("both are known", || {
        (pool(&proxy)["names"][0]["addresses"] == 2).then_some(())
    });
    // Until the plan that this would cause were there.
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(proxy.get("/").server(), B);
    dns.change(&node(&[A]));
    proxy.wait_for_line("app/node is added");
    let moved = proxy.client().get_with("/", "Cookie: SERVERID=n1\r\n");
    assert_eq!((moved.server(), moved.set_cookie("SERVERID")), (A, None));
    assert_eq!(proxy.access_lines("GET /", 3)[2].server, "node");
}

fn a_reload_keeps_what_is_known(on: Driver) {
    let hosts = Hosts::on(&[A, B]);
    let mut dns = Dns::start(&node(&[A, B]));
    let quick = "timeout = \"200ms\"\nretries = 0";
    let setup = hosts.setup(on, &dns, quick, "");
    let proxy = setup.start();
    let mut tunnel = proxy.client();
    tunnel.upgrade("/");
    dns.stop();
    // Also when all that is asked is asked anew.
    let later = hosts.setup(on, &dns, "timeout = \"300ms\"\nretries = 0", "");
    for (text, reloads) in [(setup.text(), 1), (later.text(), 2)] {
        proxy.rewrite_config(&text);
        proxy.sighup();
        eventually("it is reloaded", || {
            (lines_with(&proxy, "configuration reloaded").len() == reloads).then_some(())
        });
        let both: BTreeMap<_, _> = [A, B].map(|ip| (ip.to_owned(), 4)).into();
        assert_eq!(shares(&proxy, 8), both);
        let servers = pool(&proxy)["servers"].clone();
        let tunnels: u64 = (0..2)
            .map(|at| servers[at]["tunnels"].as_u64().unwrap())
            .sum();
        assert_eq!(tunnels, 1, "live state is kept");
    }
    tunnel.echoes("still there");
    assert!(lines_with(&proxy, "is removed").is_empty());
    dns.run();
    dns.change(&node(&[A]));
    proxy.wait_for_line("is removed");
}

fn a_reload_finds_new_names_before_it_comes_into_force(on: Driver) {
    let hosts = Hosts::on(&[A]);
    let dns = Dns::start(&node(&[A]));
    let one = Server::named("one");
    let proxy = Setup::new(on).server(&one).start();
    assert_eq!(proxy.get("/").server(), "one");
    proxy.rewrite_config(&hosts.setup(on, &dns, "", "").text());
    proxy.sighup();
    eventually("the new server serves", || {
        let answer = proxy.get("/");
        assert_eq!(answer.status(), 200);
        (answer.server() == A).then_some(())
    });
    // And back.
    proxy.rewrite_config(&Setup::new(on).server(&one).text());
    proxy.sighup();
    eventually("the old server serves", || {
        (proxy.get("/").server() == "one").then_some(())
    });
    assert_eq!(pool(&proxy)["names"].as_array().unwrap().len(), 0);
}

fn a_long_answer_comes_over_tcp_and_an_alias_leads_on(on: Driver) {
    let hosts = Hosts::on(&[A]);
    let many: Vec<_> = (1..=100).map(|last| format!("127.0.1.{last}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let dns = Dns::start_with(
        &node(&many),
        "local-ttl=1\ncname=alias.example,node.example\n",
    );
    let port = hosts.port();
    let proxy = Setup::new(on)
        .server_at("all", &format!("alias.example:{port}"), "")
        .server_at("few", &format!("node.example:{port}"), "max_servers = 3")
        .more(&dns.resolver(""))
        .start();
    let pool = pool(&proxy);
    for at in 0..2 {
        assert_eq!(pool["names"][at]["addresses"], 100, "{}", pool["names"]);
        assert!(pool["names"][at]["error"].is_null(), "{}", pool["names"]);
    }
    let all = names(&proxy);
    let of = |name: &str| all.iter().filter(|server| server.starts_with(name)).count();
    assert_eq!((of("all-127.0.1."), of("few-127.0.1.")), (64, 3));
}

fn only_the_last_server_that_goes_leaves_nobody(on: Driver) {
    let hosts = Hosts::on(&[A, B]);
    let dns = Dns::start(&node(&[A, B]));
    let proxy = hosts.setup(on, &dns, "hold = \"1s\"", "").start();
    let port = hosts.port();
    dns.change(&node(&[B]));
    let line = proxy.wait_for_line(&format!("app/node-{A}:{port} is removed"));
    assert!(
        line.contains("notice: ") && line.contains("1 up in the pool"),
        "{line}"
    );
    dns.change("");
    let line = proxy.wait_for_line(&format!("app/node-{B}:{port} is removed"));
    assert!(
        line.contains("emergency: ") && line.contains("0 up in the pool"),
        "{line}"
    );
    assert_eq!(proxy.get("/").status(), 503);
}

/// Replaced, written in place, removed: each counts without a reload, and DNS answers for what the file lacks.
fn a_hosts_file_counts_before_dns_and_is_followed(on: Driver) {
    let hosts = Hosts::on(&[A, B, C]);
    let dns = Dns::start(&node(&[A]));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("hosts");
    std::fs::write(
        &file,
        format!("{B}\tNode.example other # {C} node.example\n"),
    )
    .unwrap();
    let setting = format!("hosts = \"{}\"", file.display());
    let proxy = hosts.setup(on, &dns, &setting, "").start();
    let only = |ip: &str| assert_eventually!(shares(&proxy, 3) == [(ip.to_owned(), 3)].into());
    assert_eq!(shares(&proxy, 3), [(B.to_owned(), 3)].into());
    let mut tunnel = proxy.client();
    tunnel.upgrade("/");

    let next = folder.path().join("hosts.next");
    std::fs::write(&next, format!("{C} node.example\n")).unwrap();
    std::fs::rename(&next, &file).unwrap();
    only(C);
    // In place, with another line that has nothing to do with it.
    std::fs::write(&file, format!("{A} elsewhere\n{B} node.example\n")).unwrap();
    only(B);
    std::fs::remove_file(&file).unwrap();
    only(A);
    // Anew, beside a file of another name; and once more in place, which only a watch of the new file itself sees.
    std::fs::write(folder.path().join("hosts.old"), node(&[B])).unwrap();
    std::fs::write(&file, node(&[C, B])).unwrap();
    assert_eventually!(shares(&proxy, 4) == [(B.to_owned(), 2), (C.to_owned(), 2)].into());
    std::fs::write(&file, node(&[C])).unwrap();
    only(C);
    assert_eq!(proxy.status().unwrap()["reloads"], 0);
    tunnel.echoes("still there");
}

/// `search`: to a name without a dot first, to one with dots when it does not exist as it is, to one with a dot at its end never.
fn domains_are_appended_to_names(on: Driver) {
    let hosts = Hosts::on(&[A, B]);
    let port = hosts.port();
    let dns = Dns::start(&format!("{A} node.example\n{B} far.example.example\n"));
    for (name, search, server) in [
        ("node", "[\"example\"]", Some(A)),
        ("node", "[\"nothing.example\", \"Example.\"]", Some(A)),
        ("node.example", "[\"example\"]", Some(A)),
        ("far.example", "[\"example\"]", Some(B)),
        ("node", "[]", None),
        ("node.", "[\"example\"]", None),
        ("far.example.", "[\"example\"]", None),
    ] {
        let proxy = Setup::new(on)
            .server_at("node", &format!("{name}:{port}"), "")
            .more(&dns.resolver(&format!("search = {search}\nretries = 0")))
            .start();
        let answer = proxy.get("/");
        match server {
            Some(server) => assert_eq!(answer.server(), server, "{name} {search}"),
            None => assert_eq!(answer.status(), 503, "{name} {search}"),
        }
    }
}

/// Which only the name's answer can show: the file names no family. Once, and only for the server that it is true of.
fn a_family_without_a_source_is_an_event(on: Driver) {
    if !support::has_ipv6("a family without a source is an event") {
        return;
    }
    let hosts = Hosts::on(&[A, "::1"]);
    let dns = Dns::start(&node(&[A, "::1"]));
    let proxy = hosts.setup(on, &dns, "", "source = \"127.0.0.1\"").start();
    let six = format!("no `source` of server app/node-[::1]:{}", hosts.port());
    proxy.wait_for_line(&six);
    assert_eq!(shares(&proxy, 2).len(), 2, "both are served all the same");
    proxy.sighup();
    proxy.wait_for_line("configuration reloaded");
    // The next look comes within a second.
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(lines_with(&proxy, "no `source` of server").len(), 1);
}
