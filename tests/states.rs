//! What an operator says of a server and what its checks find: who still comes, and what becomes of its tunnels.
//!
//! Two workers carry each scenario; which one takes a connection is the kernel's choice.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::{Duration, Instant};

use support::{Conn, Driver, Message, PATIENCE, Proxy, Server, Setup, eventually, ringbolt};

on_both_drivers!(
    tunnels_of_a_removed_server_can_be_closed,
    every_state_means_what_it_says,
    a_command_changes_a_state_and_says_so,
    a_word_outlives_checks_and_reloads,
    a_drained_servers_cookie_counts_for_a_while,
    a_drain_begins_anew_and_conditions_overrule_it,
    a_drains_tunnels_are_closed_in_the_end,
    a_drain_that_ends_closes_nothing,
    tunnels_stay_when_their_server_goes_down,
    tunnels_are_closed_when_their_server_goes_down,
    in_a_panic_nothing_is_closed,
    a_panic_stops_what_on_down_began,
    tunnels_are_closed_by_hand,
    many_tunnels_are_closed_and_others_go_on,
    tunnels_are_closed_at_a_pace,
    a_command_ends_as_many_tunnels_as_there_were,
    a_server_that_comes_back_keeps_what_is_left,
);

const CHECK: &str = "check = { interval = \"50ms\", rise = 1, fall = 1 }";

/// Long enough for a tunnel to be laid to rest: there is nothing to be seen of it from outside.
const REST: Duration = Duration::from_millis(5_500);

/// Servers `one` and `two`, both checked, with the cookies `a` and `b`.
fn setup(on: Driver, one: &Server, two: &Server) -> Setup {
    Setup::new(on)
        .process("workers = 2")
        .sticky("cookie = \"S\"")
        .server_with(one, &format!("cookie = \"a\"\n{CHECK}"))
        .server_with(two, &format!("cookie = \"b\"\n{CHECK}"))
}

fn pair() -> (Server, Server) {
    (Server::websocket("one"), Server::websocket("two"))
}

/// What a server's check asks: 200, or 404 from the moment on at which it is told to leave.
struct Health {
    server: Server,
    leaves: Arc<AtomicBool>,
}

impl Health {
    fn new() -> Self {
        let leaves = Arc::new(AtomicBool::new(false));
        let says = Arc::clone(&leaves);
        let server = Server::script(move |conn| {
            while conn.read_request().is_some() {
                let status = if says.load(SeqCst) {
                    "404 Not Found"
                } else {
                    "200 OK"
                };
                let _ = conn.try_send(format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n"));
            }
        });
        Self { server, leaves }
    }

    /// [`CHECK`], but asking here.
    fn check(&self) -> String {
        let address = self.server.address();
        let http = format!("type = \"http\", address = \"{address}\", soft_drain_on_404 = true, ");
        CHECK.replace("{ ", &format!("{{ {http}"))
    }
}

/// Runs `ringbolt server app/…` and gives its exit code and what it printed.
fn run(proxy: &Proxy, words: &str) -> (Option<i32>, String) {
    let mut command = ringbolt();
    command.arg("server").args(words.split(' '));
    command.arg("--socket").arg(proxy.control_socket());
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// The same, where it must succeed.
fn tell(proxy: &Proxy, words: &str) -> String {
    let (code, text) = run(proxy, words);
    assert_eq!(code, Some(0), "{text}");
    text
}

/// What the control socket says of a server.
fn server_in(proxy: &Proxy, name: &str) -> serde_json::Value {
    let mut socket = Conn::connect_unix(&proxy.control_socket());
    let answer = socket.request("GET /v1/status HTTP/1.1\r\nHost: x\r\n\r\n");
    let status: serde_json::Value = serde_json::from_str(&answer.text()).unwrap();
    let servers = status["pools"][0]["servers"].as_array().unwrap();
    let found = servers.iter().find(|server| server["name"] == name);
    found.unwrap().clone()
}

fn wait_for_state(proxy: &Proxy, server: &str, state: &str) {
    assert_eventually!(
        server_in(proxy, server)["state"] == state,
        "{server} is {state}"
    );
}

fn with_cookie(proxy: &Proxy, value: &str) -> Message {
    proxy
        .client()
        .get_with("/again", &format!("Cookie: S={value}\r\n"))
}

/// Opens a tunnel to the server of this cookie.
fn tunnel_to(proxy: &Proxy, cookie: &str) -> Conn {
    let mut client = proxy.client();
    let lines = format!("Cookie: S={cookie}\r\n");
    client.send(support::handshake_with("/chat", &lines));
    assert_eq!(client.read_response().status(), 101);
    client.echoes("hello");
    client
}

/// The letters of the tunnels of a server that have ended, with the whole of them waited for.
fn ends(proxy: &Proxy, server: &str, count: usize) -> Vec<String> {
    let server = format!(" app/{server} ");
    eventually(&format!("{count} ended tunnels of {server}"), || {
        let lines = proxy.lines();
        let ended: Vec<_> = lines
            .iter()
            .filter(|line| line.contains("ws=") && !line.contains("ws=open"))
            .filter(|line| line.contains(&server))
            .filter_map(|line| support::AccessLine::parse(line))
            .map(|line| line.termination[..2].to_owned())
            .collect();
        (ended.len() >= count).then_some(ended)
    })
}

fn lines_with(proxy: &Proxy, words: &str) -> usize {
    let lines = proxy.lines();
    lines.iter().filter(|line| line.contains(words)).count()
}

// === What a state means ===

/// What is true of a server in a state.
struct Meaning {
    state: &'static str,
    /// As `ringbolt status` shows it.
    words: &'static str,
    /// Of 34 new clients, with another server of the same weight.
    new: usize,
    sticky: bool,
    checked: bool,
}

fn every_state_means_what_it_says(on: Driver) {
    #[rustfmt::skip]
    let meanings = [
        Meaning { state: "ready",       words: "up",          new: 17, sticky: true,  checked: true },
        Meaning { state: "slow start",  words: "up",          new: 2,  sticky: true,  checked: true },
        Meaning { state: "weight 0",    words: "up",          new: 0,  sticky: true,  checked: true },
        Meaning { state: "drain",       words: "drain",       new: 0,  sticky: true,  checked: true },
        Meaning { state: "soft drain",  words: "soft-drain",  new: 0,  sticky: true,  checked: true },
        Meaning { state: "down",        words: "down",        new: 0,  sticky: false, checked: true },
        Meaning { state: "maintenance", words: "maintenance", new: 0,  sticky: false, checked: false },
    ];
    for meaning in meanings {
        let (one, two) = pair();
        let mut health = Health::new();
        let proxy = Setup::new(on)
            .process("workers = 2")
            .sticky("cookie = \"S\"")
            .pool("slow_start = \"10m\"")
            .server_with(&one, &format!("cookie = \"a\"\n{}", health.check()))
            .server_with(&two, "cookie = \"b\"")
            .start();
        let mut live = tunnel_to(&proxy, "a");
        match meaning.state {
            "ready" => {}
            "slow start" => {
                tell(&proxy, "app/one maintenance");
                tell(&proxy, "app/one ready");
            }
            "soft drain" => {
                health.leaves.store(true, SeqCst);
                wait_for_state(&proxy, "one", "soft-drain");
            }
            "down" => {
                health.server.stop();
                wait_for_state(&proxy, "one", "down");
            }
            state => drop(tell(&proxy, &format!("app/one {state}"))),
        }
        holds(&proxy, &meaning);
        live.echoes("still here");
    }
}

fn holds(proxy: &Proxy, meaning: &Meaning) {
    let state = meaning.state;
    let new: Vec<_> = (0..34)
        .map(|_| proxy.get("/new").server().to_owned())
        .collect();
    let mine = new.iter().filter(|name| *name == "one").count();
    assert_eq!(mine, meaning.new, "{state}: {new:?}");
    let answer = with_cookie(proxy, "a");
    let line = proxy.access_line("GET /again");
    match meaning.sticky {
        true => {
            assert_eq!(answer.server(), "one", "{state}");
            assert_eq!(answer.set_cookie("S"), None, "{state}");
            assert_eq!(line.termination, "--VN", "{state}");
        }
        false => {
            assert_eq!(answer.server(), "two", "{state}");
            let moved = answer.set_cookie("S").expect("a new cookie");
            assert!(moved.starts_with('b'), "{state}: {moved}");
            assert_eq!(line.termination, "--DI", "{state}");
        }
    }
    let checks = || server_in(proxy, "one")["checks"].as_u64().unwrap();
    match meaning.checked {
        true => {
            let before = checks();
            assert_eventually!(checks() > before + 1, "{state}: it is checked");
        }
        false => {
            // The one that may have been under way when it was said.
            std::thread::sleep(Duration::from_millis(200));
            let before = checks();
            std::thread::sleep(Duration::from_millis(400));
            assert_eq!(checks(), before, "{state}: it is not checked");
        }
    }
    let mut status = ringbolt();
    status
        .args(["status", "--socket"])
        .arg(proxy.control_socket());
    let table = String::from_utf8(status.output().unwrap().stdout).unwrap();
    let row = table.lines().find(|line| line.starts_with("  one "));
    let row = row.unwrap_or_else(|| panic!("no row: {table}"));
    let words = row.split_once("127.0.0.1:").unwrap().1;
    let words = words.split_once(' ').unwrap().1.trim_start();
    assert!(words.starts_with(&format!("{} ", meaning.words)), "{row}");
}

// === Commands ===

fn a_command_changes_a_state_and_says_so(on: Driver) {
    let (one, two) = pair();
    let proxy = setup(on, &one, &two).start();
    let began = server_in(&proxy, "one")["since_ms"].as_u64().unwrap();
    for (words, said) in [
        ("app/one drain", "app/one: drain, was ready\n"),
        ("app/one drain", "app/one: drain, as before\n"),
        ("app/one maintenance", "app/one: maintenance, was drain\n"),
        (
            "app/* ready",
            "app/one: ready, was maintenance\napp/two: ready, as before\n",
        ),
        ("app/two close-tunnels", "app/two: no tunnels\n"),
    ] {
        assert_eq!(tell(&proxy, words), said);
    }
    proxy.wait_for_line("server app/one set to ready, was maintenance");
    for said in ["drain, was ready", "maintenance, was drain"] {
        let line = format!("server app/one set to {said}");
        assert_eq!(lines_with(&proxy, &line), 1, "{line}");
    }
    assert_eq!(lines_with(&proxy, "server app/two set to"), 0);
    assert_eventually!(server_in(&proxy, "one")["since_ms"].as_u64().unwrap() > began);
    tell(&proxy, "app/one drain");
    assert_eq!(server_in(&proxy, "one")["operator"], "drain");
    for (words, said) in [
        ("app/three drain", "pool \"app\" has no server \"three\""),
        ("web/one drain", "there is no pool \"web\""),
        ("web/* drain", "there is no pool \"web\""),
        ("one drain", "write POOL/NAME"),
        ("app/one drained", "drained"),
        ("app/one close-tunnels --over 30", "a duration needs a unit"),
    ] {
        let (code, text) = run(&proxy, words);
        assert!(code == Some(2) && text.contains(said), "{code:?} {text}");
    }
    let mut socket = Conn::connect_unix(&proxy.control_socket());
    let put =
        "PUT /v1/pools/app/servers/one/state HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nup";
    assert_eq!(socket.request(put).status(), 400);
}

fn a_word_outlives_checks_and_reloads(on: Driver) {
    let (mut one, two) = pair();
    let setup = |state: &str| {
        Setup::new(on)
            .sticky("cookie = \"S\"")
            .server_with(
                &one,
                &format!("cookie = \"a\"\n{CHECK}\nstate = \"{state}\""),
            )
            .server_with(&two, &format!("cookie = \"b\"\n{CHECK}"))
    };
    let (same, other) = (setup("ready").text(), setup("maintenance").text());
    let proxy = setup("ready").start();
    let reload = |text: &str, times: usize| {
        proxy.rewrite_config(text);
        proxy.sighup();
        assert_eventually!(lines_with(&proxy, "configuration reloaded") == times);
    };
    tell(&proxy, "app/one drain");
    one.stop();
    wait_for_state(&proxy, "one", "down");
    one.revive();
    wait_for_state(&proxy, "one", "drain");
    reload(&same, 1);
    wait_for_state(&proxy, "one", "drain");
    assert_eq!(with_cookie(&proxy, "a").server(), "one");
    reload(&other, 2);
    wait_for_state(&proxy, "one", "maintenance");
    tell(&proxy, "app/one ready");
    reload(&other, 3);
    wait_for_state(&proxy, "one", "up");
}

// === Drains ===

fn a_drained_servers_cookie_counts_for_a_while(on: Driver) {
    let (one, two) = pair();
    let proxy = setup(on, &one, &two)
        .pool("drain = { honour_cookies_for = \"3s\" }")
        .start();
    let mut live = tunnel_to(&proxy, "a");
    let from = Instant::now();
    tell(&proxy, "app/one drain");
    let honoured = with_cookie(&proxy, "a");
    if from.elapsed() < Duration::from_secs(3) {
        assert_eq!(honoured.server(), "one");
    }
    let moved = eventually("the client moves", || {
        let answer = with_cookie(&proxy, "a");
        (answer.server() == "two").then_some(answer)
    });
    assert!(
        from.elapsed() >= Duration::from_secs(3),
        "{:?}",
        from.elapsed()
    );
    let cookie = moved.set_cookie("S").expect("a new cookie");
    assert!(cookie.starts_with('b'), "{cookie}");
    eventually("its line", || {
        let lines = proxy.all_access_lines();
        lines.into_iter().find(|line| line.termination == "--DI")
    });
    assert_eq!(server_in(&proxy, "one")["state"], "drain");
    assert_eq!(server_in(&proxy, "one")["honours_cookies"], false);
    live.echoes("its tunnels stay");
    tell(&proxy, "app/one ready");
    assert_eq!(with_cookie(&proxy, "a").server(), "one");
}

fn a_drain_begins_anew_and_conditions_overrule_it(on: Driver) {
    let (one, two) = pair();
    let proxy = setup(on, &one, &two)
        .sticky("persist = true\nforce = [{ header = \"X-Tester\" }]")
        .pool("drain = { honour_cookies_for = \"300ms\" }")
        .start();
    for _ in 0..2 {
        tell(&proxy, "app/one drain");
        // `persist` is about servers that are stopped.
        assert_eventually!(with_cookie(&proxy, "a").server() == "two");
        let mut tester = proxy.client();
        let answer = tester.get_with("/", "Cookie: S=a\r\nX-Tester: yes\r\n");
        assert_eq!(answer.server(), "one");
        tell(&proxy, "app/one ready");
        assert_eq!(with_cookie(&proxy, "a").server(), "one");
    }
    tell(&proxy, "app/one maintenance");
    assert_eq!(with_cookie(&proxy, "a").server(), "one");
}

fn a_drains_tunnels_are_closed_in_the_end(on: Driver) {
    for soft in [false, true] {
        let ((one, two), health) = (pair(), Health::new());
        let proxy = Setup::new(on)
            .process("workers = 2")
            .sticky("cookie = \"S\"")
            .pool("drain = { close_after = \"1s\", close_over = \"500ms\" }")
            .server_with(&one, &format!("cookie = \"a\"\n{}", health.check()))
            .server_with(&two, "cookie = \"b\"")
            .start();
        let mut mine: Vec<_> = (0..10).map(|_| tunnel_to(&proxy, "a")).collect();
        let mut other = tunnel_to(&proxy, "b");
        let from = Instant::now();
        match soft {
            true => health.leaves.store(true, SeqCst),
            false => drop(tell(&proxy, "app/one drain")),
        }
        mine.iter_mut().for_each(Conn::expect_closed);
        assert!(
            from.elapsed() >= Duration::from_millis(1_400),
            "{:?}",
            from.elapsed()
        );
        assert_eq!(ends(&proxy, "one", 10), ["KD"; 10]);
        proxy.wait_for_line(
            "closing 10 tunnels of server app/one over 500ms: it has drained for drain.close_after",
        );
        proxy.wait_for_line("closed 10 tunnels of server app/one in ");
        // Nor does the cookie bring them back.
        assert_eq!(with_cookie(&proxy, "a").server(), "two");
        other.echoes("not mine");
    }
}

fn a_drain_that_ends_closes_nothing(on: Driver) {
    let (one, two) = pair();
    let proxy = setup(on, &one, &two)
        .pool("drain = { close_after = \"2s\", close_over = \"now\" }")
        .start();
    let mut live = tunnel_to(&proxy, "a");
    let from = Instant::now();
    tell(&proxy, "app/one drain");
    tell(&proxy, "app/one ready");
    if from.elapsed() < Duration::from_secs(2) {
        live.expect_silence(Duration::from_secs(3));
        live.echoes("still here");
    }
}

// === Closing ===

fn tunnels_stay_when_their_server_goes_down(on: Driver) {
    let (mut one, two) = pair();
    let proxy = setup(on, &one, &two).start();
    let mut live = tunnel_to(&proxy, "a");
    one.stop_listening();
    wait_for_state(&proxy, "one", "down");
    tell(&proxy, "app/one maintenance");
    live.expect_silence(Duration::from_millis(300));
    live.echoes("still here");
    assert_eq!(lines_with(&proxy, "tunnel of server"), 0);
}

fn tunnels_are_closed_when_their_server_goes_down(on: Driver) {
    for (how, why) in [
        ("checks", "it is down"),
        ("command", "it is in maintenance"),
        ("reload", "it is in maintenance"),
    ] {
        let (mut one, two) = pair();
        let setup = || setup(on, &one, &two).pool("on_down = \"close\"");
        let stopped = setup().text().replacen(CHECK, "state = \"maintenance\"", 1);
        let proxy = setup().start();
        let mut mine: Vec<_> = (0..4).map(|_| tunnel_to(&proxy, "a")).collect();
        let mut other = tunnel_to(&proxy, "b");
        // A drain is not the end.
        tell(&proxy, "app/one drain");
        mine[0].expect_silence(Duration::from_millis(200));
        match how {
            "checks" => one.stop_listening(),
            "command" => drop(tell(&proxy, "app/one maintenance")),
            _ => {
                proxy.rewrite_config(&stopped);
                proxy.sighup();
            }
        }
        mine.iter_mut().for_each(Conn::expect_closed);
        assert_eq!(ends(&proxy, "one", 4), ["DD"; 4], "{how}");
        let line = proxy.wait_for_line("closed 4 tunnels of server app/one in ");
        assert!(line.ends_with(why), "{how}: {line}");
        other.echoes("not mine");
        assert_eventually!(server_in(&proxy, "one")["sessions"] == 0);
    }
}

/// A pool in a panic says nothing about its servers that is worth a tunnel.
fn in_a_panic_nothing_is_closed(on: Driver) {
    let (mut one, mut two) = pair();
    let proxy = setup(on, &one, &two)
        .pool("on_down = \"close\"\npanic_threshold = 1.0")
        .start();
    let mut tunnels = [tunnel_to(&proxy, "a"), tunnel_to(&proxy, "b")];
    one.stop_listening();
    two.stop_listening();
    wait_for_state(&proxy, "one", "down");
    wait_for_state(&proxy, "two", "down");
    tunnels[0].expect_silence(Duration::from_millis(300));
    tunnels
        .iter_mut()
        .for_each(|tunnel| tunnel.echoes("still here"));
    assert_eq!(lines_with(&proxy, "tunnel of server"), 0);
}

/// What was under way stops, and goes on when health counts again.
fn a_panic_stops_what_on_down_began(on: Driver) {
    let (one, mut two) = pair();
    let proxy = setup(on, &one, &two)
        .pool("on_down = { close_over = \"1h\" }\npanic_threshold = 0.5")
        .start();
    let mut mine: Vec<_> = (0..20).map(|_| tunnel_to(&proxy, "a")).collect();
    tell(&proxy, "app/one maintenance");
    assert_eventually!(server_in(&proxy, "one")["tunnels"] == 19);
    two.stop_listening();
    let line = proxy.wait_for_line("closed 1 tunnel of server app/one in ");
    assert!(
        line.ends_with("it is in maintenance; the others stay: health is ignored"),
        "{line}"
    );
    two.revive();
    assert_eventually!(server_in(&proxy, "one")["tunnels"] == 18);
    let stay = mine.iter_mut().filter(|conn| !conn.has_something());
    assert_eq!(stay.map(|conn| conn.echoes("still here")).count(), 18);
}

fn tunnels_are_closed_by_hand(on: Driver) {
    let (one, two) = pair();
    let proxy = setup(on, &one, &two).start();
    let mut rested: Vec<_> = (0..8).map(|_| tunnel_to(&proxy, "a")).collect();
    let mut other = tunnel_to(&proxy, "b");
    other.expect_silence(REST);
    let mut awake: Vec<_> = (0..8).map(|_| tunnel_to(&proxy, "a")).collect();
    let said = tell(&proxy, "app/one close-tunnels");
    assert_eq!(said, "app/one: closing 16 tunnels\n");
    rested.iter_mut().for_each(Conn::expect_closed);
    awake.iter_mut().for_each(Conn::expect_closed);
    assert_eq!(ends(&proxy, "one", 16), ["KD"; 16]);
    let line = proxy.wait_for_line("closed 16 tunnels of server app/one in ");
    assert!(line.ends_with(": by command"), "{line}");
    assert_eq!(lines_with(&proxy, "closing 16"), 0, "one line is enough");
    other.echoes("not mine");
    assert_eventually!(server_in(&proxy, "one")["tunnels"] == 0);
    assert_eq!(server_in(&proxy, "one")["state"], "up");
    tunnel_to(&proxy, "a").echoes("it takes others");
}

/// More than a worker ends at a time.
fn many_tunnels_are_closed_and_others_go_on(on: Driver) {
    let (one, two) = pair();
    let proxy = setup(on, &one, &two).process("workers = 1").start();
    let mut mine: Vec<_> = (0..300).map(|_| tunnel_to(&proxy, "a")).collect();
    let mut other = tunnel_to(&proxy, "b");
    let said = tell(&proxy, "app/one close-tunnels");
    assert_eq!(said, "app/one: closing 300 tunnels\n");
    other.echoes("not mine");
    mine.iter_mut().for_each(Conn::expect_closed);
    assert_eq!(ends(&proxy, "one", 300), ["KD"; 300]);
    proxy.wait_for_line("closed 300 tunnels of server app/one in ");
    other.echoes("not mine");
}

fn tunnels_are_closed_at_a_pace(on: Driver) {
    const OVER: Duration = Duration::from_secs(3);
    let (one, two) = pair();
    let proxy = setup(on, &one, &two).start();
    let mut mine: Vec<_> = (0..30).map(|_| tunnel_to(&proxy, "a")).collect();
    let mut others: Vec<_> = (0..5).map(|_| tunnel_to(&proxy, "b")).collect();
    others[0].expect_silence(REST);
    mine.extend((0..30).map(|_| tunnel_to(&proxy, "a")));
    others.extend((0..5).map(|_| tunnel_to(&proxy, "b")));
    let from = Instant::now();
    let said = tell(&proxy, "app/one close-tunnels --over 3s");
    assert_eq!(said, "app/one: closing 60 tunnels over 3s\n");
    let mut curve = vec![0];
    while *curve.last().unwrap() < 60 {
        let closed = 60 - server_in(&proxy, "one")["tunnels"].as_u64().unwrap();
        // However slow the machine is: it began after `from`, and this was seen before now.
        let share = from.elapsed().as_secs_f64() / OVER.as_secs_f64();
        let most = (share * 60.0) as u64 + 1;
        assert!(closed <= most, "{closed} instead of {most}: {curve:?}");
        curve.push(closed);
        assert!(from.elapsed() < PATIENCE, "{curve:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(from.elapsed() > OVER * 9 / 10, "{:?}", from.elapsed());
    mine.iter_mut().for_each(Conn::expect_closed);
    others.iter_mut().for_each(|other| other.echoes("not mine"));
    assert_eq!(ends(&proxy, "one", 60), ["KD"; 60]);
    proxy.wait_for_line("closing 60 tunnels of server app/one over 3.0s: by command");
    proxy.wait_for_line("closed 60 tunnels of server app/one in ");
}

fn a_command_ends_as_many_tunnels_as_there_were(on: Driver) {
    let (one, two) = pair();
    let proxy = setup(on, &one, &two).start();
    let mut mine: Vec<_> = (0..20).map(|_| tunnel_to(&proxy, "a")).collect();
    tell(&proxy, "app/one close-tunnels --over 300ms");
    // Who is closed comes back at once, to a server that takes them.
    let (from, mut closed) = (Instant::now(), 0);
    while closed < 20 {
        for conn in mine.iter_mut().filter(|conn| conn.has_something()) {
            conn.expect_closed();
            *conn = tunnel_to(&proxy, "a");
            closed += 1;
        }
        assert!(from.elapsed() < PATIENCE, "{closed}");
    }
    proxy.wait_for_line("closed 20 tunnels of server app/one in ");
    mine.iter_mut().for_each(|conn| conn.echoes("still here"));
}

fn a_server_that_comes_back_keeps_what_is_left(on: Driver) {
    let (one, two) = pair();
    let proxy = setup(on, &one, &two)
        .pool("on_down = { close_over = \"1h\" }")
        .start();
    let mut mine: Vec<_> = (0..20).map(|_| tunnel_to(&proxy, "a")).collect();
    tell(&proxy, "app/one maintenance");
    // The first one goes at once, the next in three minutes.
    assert_eventually!(server_in(&proxy, "one")["tunnels"] == 19);
    tell(&proxy, "app/one ready");
    let line = proxy.wait_for_line("closed 1 tunnel of server app/one in ");
    assert!(
        line.ends_with("it is in maintenance; the others stay: it is back"),
        "{line}"
    );
    let stay = mine.iter_mut().filter(|conn| !conn.has_something());
    assert_eq!(stay.map(|conn| conn.echoes("still here")).count(), 19);
}

/// By its name, which another server may have by now, or by that of its pool.
fn tunnels_of_a_removed_server_can_be_closed(on: Driver) {
    for (words, said) in [
        ("app/one close-tunnels", "app/one: closing 1 tunnel\n"),
        (
            "app/* close-tunnels",
            "app/one: closing 1 tunnel\napp/two: no tunnels\n",
        ),
    ] {
        let (one, two) = (Server::websocket("one"), Server::websocket("two"));
        let proxy = Setup::new(on).server(&one).process("workers = 2").start();
        let mut tunnel = proxy.client();
        tunnel.upgrade("/");
        proxy.rewrite_config(&Setup::new(on).server(&two).process("workers = 2").text());
        proxy.sighup();
        proxy.wait_for_line("configuration reloaded");
        tunnel.echoes("still there");
        let removed = proxy.status().unwrap()["removed_servers"].clone();
        assert_eq!(removed[0]["server"], "one", "{removed}");
        assert_eq!(
            (&removed[0]["pool"], &removed[0]["tunnels"]),
            (&"app".into(), &1.into())
        );
        assert_eq!(tell(&proxy, words), said);
        tunnel.expect_closed();
        assert_eventually!(proxy.status().unwrap()["removed_servers"] == serde_json::json!([]));
        let (code, _) = run(&proxy, "app/one close-tunnels");
        assert_eq!(code, Some(2), "nothing of it is left");
    }
}
