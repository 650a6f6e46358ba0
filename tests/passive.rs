//! Servers that traffic itself ejects, how they come back, and when health is ignored.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use support::{Driver, Proxy, Server, Setup, ringbolt};

on_both_drivers!(
    broken_answers_in_a_row_eject_a_server,
    failed_connections_in_a_row_eject_a_server,
    timeouts_in_a_row_eject_a_server,
    a_good_answer_breaks_the_row,
    two_workers_count_one_row,
    a_5xx_is_an_error_only_where_it_is_said_to_be,
    a_share_of_5xx_in_a_window_ejects_a_server,
    a_share_counts_before_its_window_is_over,
    a_few_answers_say_nothing,
    without_the_setting_nobody_is_ejected,
    no_more_than_the_share_is_out_at_once,
    the_only_server_is_never_ejected,
    it_comes_back_and_stays_longer_the_next_time,
    it_comes_back_with_a_slow_start,
    a_cookie_of_an_ejected_server_is_not_honoured,
    a_tunnel_of_an_ejected_server_stays,
    with_on_down_they_stay_too,
    a_reload_keeps_ejections,
    a_reload_without_the_setting_ends_them,
    the_operators_word_outlives_an_ejection,
    a_server_in_maintenance_is_not_ejected,
    what_checks_found_outlives_an_ejection,
    with_too_few_working_servers_health_is_ignored,
    checks_and_ejections_count_together_for_a_panic,
);

/// A server whose status can be changed; 0 closes the connection without an answer.
struct Moody {
    server: Server,
    status: Arc<AtomicU16>,
    served: Arc<AtomicUsize>,
}

impl Moody {
    fn new(name: &str, status: u16) -> Self {
        let status = Arc::new(AtomicU16::new(status));
        let served = Arc::new(AtomicUsize::new(0));
        let (now, count, own) = (Arc::clone(&status), Arc::clone(&served), name.to_owned());
        let server = Server::named_script(name, move |conn| {
            while conn.read_request().is_some() {
                count.fetch_add(1, SeqCst);
                let status = now.load(SeqCst);
                let answer =
                    format!("HTTP/1.1 {status} So\r\nX-Server: {own}\r\nContent-Length: 0\r\n\r\n");
                if status == 0 || conn.try_send(answer).is_err() {
                    return;
                }
            }
        });
        Self {
            server,
            status,
            served,
        }
    }

    fn becomes(&self, status: u16) {
        self.status.store(status, SeqCst);
    }

    fn served(&self) -> usize {
        self.served.load(SeqCst)
    }
}

/// A server whose tunnels stand and whose requests break.
fn tunnels_only() -> Server {
    Server::named_script("bad", |conn| {
        let Some(request) = conn.read_request().filter(|request| request.has("Upgrade")) else {
            return;
        };
        let accept = support::accept_of(request.field("Sec-WebSocket-Key").unwrap());
        let _ = conn.try_send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\nX-Server: bad\r\n\r\n"
        ));
        while let Some(arrived) = conn.try_read_frame() {
            let _ = conn.try_send(support::frame(arrived.opcode, &arrived.payload, None));
        }
    })
}

/// Long enough that no test sees its end.
const LONG: &str = "eject_for = \"10m\", max_eject_for = \"10m\"";

fn passive(settings: &str) -> String {
    format!("passive = {{ {settings}, {LONG} }}")
}

fn setup(on: Driver, servers: &[&Moody], pool: &str) -> Setup {
    let setup = Setup::new(on).pool(pool);
    servers
        .iter()
        .fold(setup, |setup, moody| setup.server(&moody.server))
}

fn server(proxy: &Proxy, index: usize, field: &str) -> serde_json::Value {
    proxy.status().unwrap()["pools"][0]["servers"][index][field].clone()
}

fn state(proxy: &Proxy, index: usize) -> String {
    server(proxy, index, "state").as_str().unwrap().to_owned()
}

fn wait_for_state(proxy: &Proxy, index: usize, wanted: &str) {
    assert_eventually!(
        state(proxy, index) == wanted,
        "server {index} is {wanted}, it is {}",
        state(proxy, index)
    );
}

/// Requests until the server has been ejected.
fn get_until_ejected(proxy: &Proxy, index: usize) {
    support::eventually("it is ejected", || {
        proxy.get("/");
        (state(proxy, index) == "ejected").then_some(())
    });
}

/// Lines of events that hold these words.
fn events(proxy: &Proxy, words: &str) -> Vec<String> {
    let lines = proxy.lines();
    lines
        .into_iter()
        .filter(|line| !line.contains("HTTP/1.") && line.contains(words))
        .collect()
}

// === What ejects ===

fn broken_answers_in_a_row_eject_a_server(on: Driver) {
    let (bad, good) = (Moody::new("bad", 0), Moody::new("good", 200));
    let proxy = setup(on, &[&bad, &good], &passive("errors = 3"))
        .more("[stats]\npath = \"/page\"")
        .start();
    let statuses: Vec<_> = (0..6).map(|_| proxy.get("/").status()).collect();
    assert_eq!(statuses, [502, 200, 502, 200, 502, 200]);
    wait_for_state(&proxy, 0, "ejected");
    for _ in 0..6 {
        assert_eq!(proxy.get("/").server(), "good");
    }
    assert_eq!(bad.served(), 3);
    let line = proxy.wait_for_line("is ejected");
    assert!(
        line.ends_with(
            "alert: server app/bad is ejected for 10m 0s: 3 errors in a row; 1 up in the pool"
        ) || line.contains("is ejected for 9m 59s: 3 errors in a row; 1 up in the pool"),
        "{line}"
    );
    assert_eq!(events(&proxy, "ejected").len(), 1);
    assert_eq!(server(&proxy, 0, "ejections"), 1);
    assert!(server(&proxy, 0, "ejected_for").as_u64().unwrap() > 500);
    assert!(server(&proxy, 0, "ejected_until_ms").as_u64().unwrap() > 1_700_000_000_000);
    assert!(server(&proxy, 1, "ejected_until_ms").is_null());
    let page = proxy.get("/page").text();
    assert!(page.contains("<b class=\"ejected\">ejected</b>"), "{page}");
    assert!(page.contains("back in "), "{page}");
    let mut command = ringbolt();
    command
        .args(["status", "--socket"])
        .arg(proxy.control_socket());
    let table = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert!(
        table.contains("ejected") && table.contains("back in "),
        "{table}"
    );
}

fn failed_connections_in_a_row_eject_a_server(on: Driver) {
    let (mut bad, good) = (Server::named("bad"), Server::named("good"));
    bad.stop();
    let proxy = Setup::new(on)
        .server(&bad)
        .server(&good)
        .pool(&passive("errors = 3, server_errors = false"))
        .timeouts("connect = \"50ms\"")
        .start();
    for _ in 0..6 {
        assert_eq!(proxy.get("/").server(), "good", "redispatched");
    }
    wait_for_state(&proxy, 0, "ejected");
    // A request may have had its turn while the control thread was being woken.
    assert!(server(&proxy, 0, "connect_errors").as_u64().unwrap() >= 3);
}

fn timeouts_in_a_row_eject_a_server(on: Driver) {
    let silent = Server::named_script("bad", |conn| while conn.read_request().is_some() {});
    let good = Server::named("good");
    let proxy = Setup::new(on)
        .server(&silent)
        .server(&good)
        .pool(&passive("errors = 2"))
        .timeouts("server = \"100ms\"")
        .start();
    let statuses: Vec<_> = (0..4).map(|_| proxy.get("/").status()).collect();
    assert_eq!(statuses, [504, 200, 504, 200]);
    wait_for_state(&proxy, 0, "ejected");
}

fn a_good_answer_breaks_the_row(on: Driver) {
    let (one, two) = (Moody::new("one", 200), Moody::new("two", 200));
    let proxy = setup(
        on,
        &[&one, &two],
        &passive("errors = 3, server_errors = false"),
    )
    .start();
    for round in 0..12 {
        one.becomes(if round % 3 == 2 { 200 } else { 0 });
        proxy.get("/");
        proxy.get("/");
    }
    assert_eq!(server(&proxy, 0, "response_errors"), 8);
    assert_eq!(state(&proxy, 0), "up");
    one.becomes(0);
    get_until_ejected(&proxy, 0);
    assert!(server(&proxy, 0, "response_errors").as_u64().unwrap() >= 11);
}

fn two_workers_count_one_row(on: Driver) {
    let (bad, good) = (Moody::new("bad", 0), Moody::new("good", 200));
    let proxy = setup(
        on,
        &[&bad, &good],
        &passive("errors = 20, server_errors = false"),
    )
    .process("workers = 2")
    .start();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..20 {
                    proxy.get("/");
                }
            });
        }
    });
    wait_for_state(&proxy, 0, "ejected");
    assert!(bad.served() >= 20);
    assert_eq!(events(&proxy, "ejected").len(), 1);
}

fn a_5xx_is_an_error_only_where_it_is_said_to_be(on: Driver) {
    let (bad, good) = (Moody::new("bad", 503), Moody::new("good", 200));
    let only_rows = "errors = 2, server_errors = false";
    let proxy = setup(on, &[&bad, &good], &passive(only_rows)).start();
    for _ in 0..10 {
        proxy.get("/");
    }
    assert_eq!((bad.served(), state(&proxy, 0)), (5, "up".to_owned()));
    let counted = passive(&format!("{only_rows}, count_server_errors = true"));
    let proxy = setup(on, &[&bad, &good], &counted).start();
    for _ in 0..4 {
        proxy.get("/");
    }
    wait_for_state(&proxy, 0, "ejected");
}

fn a_share_of_5xx_in_a_window_ejects_a_server(on: Driver) {
    let (bad, good) = (Moody::new("bad", 503), Moody::new("good", 200));
    let share = "errors = false, server_errors = 0.5, minimum = 5, window = \"500ms\"";
    let proxy = setup(on, &[&bad, &good], &passive(share)).start();
    let mut client = proxy.client();
    support::eventually("it is ejected", || {
        for _ in 0..20 {
            client.get("/");
        }
        (state(&proxy, 0) == "ejected").then_some(())
    });
    let line = proxy.wait_for_line("is ejected");
    assert!(line.contains("answers were 5xx; 1 up"), "{line}");
    assert_eq!(client.get("/").server(), "good");
    assert_eq!(state(&proxy, 1), "up");
}

/// Once enough answers have been seen: nobody waits for the end of the window, which is an hour off.
fn a_share_counts_before_its_window_is_over(on: Driver) {
    let (bad, good) = (Moody::new("bad", 503), Moody::new("good", 200));
    let share = "errors = false, server_errors = 0.5, minimum = 5, window = \"1h\"";
    let proxy = setup(on, &[&bad, &good], &passive(share)).start();
    let mut client = proxy.client();
    for _ in 0..8 {
        client.get("/");
    }
    assert_eq!(bad.served(), 4, "one answer below the minimum");
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(state(&proxy, 0), "up");
    (0..2).for_each(|_| drop(client.get("/")));
    let line = proxy.wait_for_line("is ejected");
    assert!(line.contains("5 of 5 answers were 5xx; 1 up"), "{line}");
    assert_eq!(client.get("/").server(), "good");
}

fn a_few_answers_say_nothing(on: Driver) {
    let (bad, good) = (Moody::new("bad", 503), Moody::new("good", 200));
    let share = "errors = false, server_errors = 0.1, minimum = 1000, window = \"100ms\"";
    let proxy = setup(on, &[&bad, &good], &passive(share)).start();
    for _ in 0..20 {
        proxy.get("/");
    }
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!((bad.served(), state(&proxy, 0)), (10, "up".to_owned()));
}

fn without_the_setting_nobody_is_ejected(on: Driver) {
    let (bad, good) = (Moody::new("bad", 0), Moody::new("good", 200));
    let proxy = setup(on, &[&bad, &good], "passive = false").start();
    for _ in 0..40 {
        proxy.get("/");
    }
    assert_eq!((bad.served(), state(&proxy, 0)), (20, "up".to_owned()));
}

// === How many ===

fn no_more_than_the_share_is_out_at_once(on: Driver) {
    let servers = ["one", "two", "three", "four"].map(|name| Moody::new(name, 0));
    let all = servers.each_ref();
    let proxy = setup(on, &all, &passive("errors = 2, max_ejected = 0.5")).start();
    for _ in 0..24 {
        assert_eq!(proxy.get("/").status(), 502);
    }
    let out = || {
        (0..4)
            .filter(|index| state(&proxy, *index) == "ejected")
            .count()
    };
    assert_eventually!(out() == 2);
    for _ in 0..8 {
        proxy.get("/");
    }
    assert_eq!(out(), 2);
    assert_eq!(events(&proxy, "ejected").len(), 2);
}

fn the_only_server_is_never_ejected(on: Driver) {
    let bad = Moody::new("bad", 0);
    let proxy = setup(on, &[&bad], &passive("errors = 1")).start();
    for _ in 0..10 {
        assert_eq!(proxy.get("/").status(), 502);
    }
    assert_eq!(bad.served(), 10);
    assert_eq!(state(&proxy, 0), "up");
}

// === Coming back ===

fn it_comes_back_and_stays_longer_the_next_time(on: Driver) {
    let (bad, good) = (Moody::new("bad", 0), Moody::new("good", 200));
    let short = "passive = { errors = 2, window = \"1h\", eject_for = \"400ms\", max_eject_for = \"700ms\" }";
    let proxy = setup(on, &[&bad, &good], short).start();
    for count in 1..=3 {
        support::eventually("it is ejected", || {
            proxy.get("/");
            (events(&proxy, "is ejected").len() == count).then_some(())
        });
        assert_eventually!(events(&proxy, "is back after an ejection").len() == count);
    }
    let lengths: Vec<u64> = events(&proxy, "is ejected")
        .iter()
        .map(|line| {
            let rest = line.split("ejected for ").nth(1).unwrap();
            rest.split("ms").next().unwrap().parse().unwrap()
        })
        .collect();
    // What was left of it when it was told of.
    for (length, most) in lengths.iter().zip([400, 700, 700]) {
        assert!(*length > most - 200 && *length <= most, "{lengths:?}");
    }
    bad.becomes(200);
    assert_eventually!(proxy.get("/").server() == "bad");
    let line = proxy.wait_for_line("is back after an ejection");
    assert!(line.contains("notice: server app/bad"), "{line}");
    assert!(line.contains("2 up in the pool"), "{line}");
}

fn it_comes_back_with_a_slow_start(on: Driver) {
    let (bad, good) = (Moody::new("bad", 0), Moody::new("good", 200));
    let pool = "slow_start = \"10m\"\npassive = { errors = 2, eject_for = \"300ms\" }";
    let proxy = setup(on, &[&bad, &good], pool).start();
    assert_eq!(server(&proxy, 0, "share"), 100);
    get_until_ejected(&proxy, 0);
    bad.becomes(200);
    wait_for_state(&proxy, 0, "up");
    assert_eventually!(server(&proxy, 0, "share") == 6);
    let before = bad.served();
    for _ in 0..34 {
        proxy.get("/");
    }
    assert_eq!(bad.served() - before, 2, "a sixteenth of the other's");
}

// === What it does not touch ===

fn a_cookie_of_an_ejected_server_is_not_honoured(on: Driver) {
    let (bad, good) = (Moody::new("bad", 0), Moody::new("good", 200));
    let proxy = Setup::new(on)
        .server_with(&bad.server, "cookie = \"b\"")
        .server_with(&good.server, "cookie = \"g\"")
        .sticky("cookie = \"S\"")
        .pool(&passive("errors = 2"))
        .start();
    for _ in 0..2 {
        let answer = proxy.client().get_with("/", "Cookie: S=b\r\n");
        assert_eq!(answer.status(), 502);
    }
    wait_for_state(&proxy, 0, "ejected");
    let answer = proxy.client().get_with("/moved", "Cookie: S=b\r\n");
    assert_eq!(answer.server(), "good");
    assert_eq!(answer.set_cookie("S").as_deref(), Some("g"));
    assert_eq!(proxy.access_line("/moved").termination, "--DI");
}

fn a_tunnel_of_an_ejected_server_stays(on: Driver) {
    let other = Server::websocket("other");
    let bad = tunnels_only();
    let proxy = Setup::new(on)
        .server(&bad)
        .server(&other)
        .pool(&passive("errors = 2"))
        .start();
    let mut tunnel = proxy.client();
    assert_eq!(tunnel.upgrade("/").server(), "bad");
    tunnel.echoes("before");
    get_until_ejected(&proxy, 0);
    tunnel.echoes("after");
    assert_eq!(server(&proxy, 0, "tunnels"), 1);
}

/// Until a check says that the server is down, which an ejection does not hide.
fn with_on_down_they_stay_too(on: Driver) {
    let other = Server::websocket("other");
    let mut bad = tunnels_only();
    let check = "check = { interval = \"50ms\", rise = 1, fall = 1 }";
    let proxy = Setup::new(on)
        .server_with(&bad, check)
        .server(&other)
        .pool(&format!("on_down = \"close\"\n{}", passive("errors = 2")))
        .start();
    let mut tunnel = proxy.client();
    assert_eq!(tunnel.upgrade("/").server(), "bad");
    tunnel.echoes("before");
    get_until_ejected(&proxy, 0);
    tunnel.expect_silence(Duration::from_millis(300));
    tunnel.echoes("after");
    assert_eq!(server(&proxy, 0, "state"), "ejected");
    bad.stop_listening();
    tunnel.expect_closed();
}

fn a_reload_keeps_ejections(on: Driver) {
    let (bad, good) = (Moody::new("bad", 0), Moody::new("good", 200));
    let setup = setup(on, &[&bad, &good], &passive("errors = 2"));
    let proxy = setup.start();
    get_until_ejected(&proxy, 0);
    let until = server(&proxy, 0, "ejected_until_ms");
    let text = setup.text().replace("errors = 2", "errors = 7");
    proxy.rewrite_config(&text);
    proxy.sighup();
    proxy.wait_for_line("configuration reloaded");
    assert_eq!(server(&proxy, 0, "ejected_until_ms"), until);
    for _ in 0..4 {
        assert_eq!(proxy.get("/").server(), "good");
    }
    assert_eq!(events(&proxy, "ejected").len(), 1);
    assert!(events(&proxy, "is back").is_empty());
}

fn a_reload_without_the_setting_ends_them(on: Driver) {
    let (bad, good) = (Moody::new("bad", 0), Moody::new("good", 200));
    let settings = passive("errors = 2");
    let setup = setup(on, &[&bad, &good], &settings);
    let proxy = setup.start();
    get_until_ejected(&proxy, 0);
    bad.becomes(200);
    proxy.rewrite_config(&setup.text().replace(&settings, ""));
    proxy.sighup();
    assert_eventually!(proxy.get("/").server() == "bad");
    assert_eq!(state(&proxy, 0), "up");
}

fn the_operators_word_outlives_an_ejection(on: Driver) {
    let (bad, good) = (Moody::new("bad", 0), Moody::new("good", 200));
    let proxy = Setup::new(on)
        .server_with(&bad.server, "cookie = \"b\"\nstate = \"drain\"")
        .server_with(&good.server, "cookie = \"g\"")
        .sticky("cookie = \"S\"")
        .pool("passive = { errors = 2, eject_for = \"300ms\" }")
        .start();
    let ask = || proxy.client().get_with("/", "Cookie: S=b\r\n");
    assert_eq!((ask().status(), ask().status()), (502, 502));
    proxy.wait_for_line("is ejected");
    bad.becomes(200);
    proxy.wait_for_line("is back after an ejection");
    assert_eq!(state(&proxy, 0), "drain");
    assert_eq!(ask().server(), "bad");
    for _ in 0..4 {
        assert_eq!(proxy.get("/").server(), "good");
    }
}

fn a_server_in_maintenance_is_not_ejected(on: Driver) {
    let (bad, good) = (Moody::new("bad", 0), Moody::new("good", 200));
    let setup = |state: &str| {
        Setup::new(on)
            .server_with(&bad.server, state)
            .server(&good.server)
            .pool("passive = { errors = 2, eject_for = \"300ms\" }")
    };
    let proxy = setup("").start();
    get_until_ejected(&proxy, 0);
    proxy.rewrite_config(&setup("state = \"maintenance\"").text());
    proxy.sighup();
    wait_for_state(&proxy, 0, "maintenance");
    proxy.wait_for_line("is back after an ejection");
    assert_eq!(state(&proxy, 0), "maintenance");
    for _ in 0..4 {
        assert_eq!(proxy.get("/").server(), "good");
    }
}

fn what_checks_found_outlives_an_ejection(on: Driver) {
    let (mut bad, good) = (Server::named("bad"), Server::named("good"));
    bad.stop();
    let check = "check = { interval = \"50ms\", rise = 1, fall = 40 }";
    let proxy = Setup::new(on)
        .server_with(&bad, check)
        .server(&good)
        .pool("passive = { errors = 1, eject_for = \"4s\", max_eject_for = \"4s\" }")
        .timeouts("connect = \"50ms\"")
        .start();
    get_until_ejected(&proxy, 0);
    wait_for_state(&proxy, 0, "down");
    proxy.wait_for_line("is back after an ejection");
    assert_eq!(state(&proxy, 0), "down");
    bad.revive();
    wait_for_state(&proxy, 0, "up");
}

// === Panic ===

fn with_too_few_working_servers_health_is_ignored(on: Driver) {
    let servers = ["one", "two", "three"].map(|name| Moody::new(name, 200));
    let [one, two, three] = &servers;
    let resting = Moody::new("resting", 200);
    let proxy = setup(on, &[one, two, three], "panic_threshold = 0.5\npassive = { errors = 2, count_server_errors = true, server_errors = false, eject_for = \"3s\", max_ejected = 1.0 }")
        .server_with(&resting.server, "state = \"maintenance\"")
        .start();
    one.becomes(503);
    two.becomes(503);
    support::eventually("two are out", || {
        proxy.get("/");
        (events(&proxy, "is ejected").len() == 2).then_some(())
    });
    proxy.wait_for_line("pool app: 1 of 3 servers work, health is ignored");
    assert_eq!(proxy.status().unwrap()["pools"][0]["panic"], true);
    one.becomes(200);
    two.becomes(200);
    let mut names: Vec<_> = (0..6).map(|_| proxy.get("/").server().to_owned()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names, ["one", "three", "two"]);
    proxy.wait_for_line("servers work, health counts again");
    assert_eq!(proxy.status().unwrap()["pools"][0]["panic"], false);
    assert_eq!(events(&proxy, "health is ignored").len(), 1);
    assert_eq!(events(&proxy, "health counts again").len(), 1);
    assert_eq!(resting.served(), 0);
}

fn checks_and_ejections_count_together_for_a_panic(on: Driver) {
    let (mut gone, bad, good) = (
        Server::named("gone"),
        Moody::new("bad", 200),
        Moody::new("good", 200),
    );
    gone.stop();
    let check = "check = { interval = \"50ms\", rise = 1, fall = 1 }";
    let proxy = Setup::new(on)
        .server_with(&gone, check)
        .server(&bad.server)
        .server(&good.server)
        .pool(&format!(
            "panic_threshold = 0.5\nretries = 1\n{}",
            passive("errors = 2")
        ))
        .timeouts("connect = \"50ms\"")
        .start();
    wait_for_state(&proxy, 0, "down");
    assert_eq!(proxy.status().unwrap()["pools"][0]["panic"], false);
    bad.becomes(0);
    get_until_ejected(&proxy, 1);
    proxy.wait_for_line("pool app: 1 of 3 servers work, health is ignored");
    // A check that finds the server again ends it.
    gone.revive();
    proxy.wait_for_line("pool app: 2 of 3 servers work, health counts again");
}
