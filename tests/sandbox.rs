//! The sandbox: what an intruder inside the serving process could not do, tried from inside. A debug build
//! tries the ways out that `RINGBOLT_TEST_ESCAPE` lists once it serves, and says what came of each;
//! `RINGBOLT_TEST_WITHOUT` takes layers away, to see what the others hold alone.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use support::{Driver, Proxy, Server, Setup};

on_both_drivers!(
    what_is_in_force_is_told,
    nothing_is_opened_made_run_or_bound,
    what_only_an_intruder_would_call_ends_the_process,
    landlock_holds_alone,
    seccomp_holds_alone,
    rings_hold_alone,
    it_can_be_turned_off,
    root_that_stays_root_keeps_no_capability,
    a_replaced_configuration_and_rotated_logs_come_in_all_the_same,
);

const WAYS: &str = "open create spawn ring netlink listen listen-any code ring-open";

fn trying(on: Driver, ways: &str, without: &str) -> Proxy {
    Setup::new(on)
        .server(&Server::named("one"))
        .environment("RINGBOLT_TEST_ESCAPE", ways)
        .environment("RINGBOLT_TEST_WITHOUT", without)
        .start()
}

/// What came of a way out: the error's number, or 0.
fn tried(proxy: &Proxy, way: &str) -> i32 {
    let line = proxy.wait_for_complaint(&format!("escape by {way}: "));
    let code = line.split_once("{ code: ").map(|(_, rest)| rest);
    match code.and_then(|rest| rest.split_once(',')) {
        Some((code, _)) => code.parse().unwrap(),
        None => {
            assert!(line.ends_with("Ok(())"), "{line}");
            0
        }
    }
}

const NOTHING: i32 = 0;
const EPERM: i32 = 1;
const EACCES: i32 = 13;
const ENOSYS: i32 = 38;

/// `/proc/PID/status` of every thread of the serving process.
fn threads(proxy: &Proxy) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", proxy.generation())).unwrap();
    let status = |path: std::path::PathBuf| std::fs::read_to_string(path.join("status")).ok();
    let threads: Vec<_> = tasks.filter_map(|task| status(task.ok()?.path())).collect();
    assert!(
        threads.len() >= 3,
        "worker, log writer, control: {}",
        threads.len()
    );
    threads
}

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {name} in {status}"))
        .trim()
}

fn what_is_in_force_is_told(on: Driver) {
    let proxy = Proxy::before(on, &[&Server::named("one")]);
    let said = proxy.wait_for_complaint("ringbolt: sandbox: ");
    for layer in ["Landlock", "seccomp"] {
        assert!(said.contains(layer), "{said}");
    }
    let honest = said.contains("operations through a ring do not pass seccomp");
    assert_eq!(honest, on == Driver::Ring, "{said}");
    let status = support::ringbolt()
        .args(["status", "--socket"])
        .arg(proxy.control_socket())
        .output()
        .unwrap();
    let status = String::from_utf8(status.stdout).unwrap();
    // In short for people, and whole for programs.
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("sandbox: "));
    let line = line.unwrap_or_else(|| panic!("no sandbox in {status}"));
    assert!(
        line.contains("Landlock") && line.contains("seccomp") && !line.contains('('),
        "{line}"
    );
    let words = said.trim_start_matches("ringbolt: sandbox: ");
    assert_eq!(proxy.status().unwrap()["sandbox"], words);
    for status in threads(&proxy) {
        assert_eq!(field(&status, "Seccomp"), "2", "{status}");
        assert_eq!(field(&status, "Seccomp_filters"), "4", "{status}");
        assert_eq!(field(&status, "NoNewPrivs"), "1", "{status}");
    }
}

fn nothing_is_opened_made_run_or_bound(on: Driver) {
    let server = Server::named("one");
    let proxy = Setup::new(on)
        .server(&server)
        .environment("RINGBOLT_TEST_ESCAPE", WAYS)
        .start();
    for (way, answer) in [
        ("open", EACCES),
        ("create", EACCES),
        ("spawn", ENOSYS),
        ("ring", EPERM),
        ("netlink", ENOSYS),
        ("listen", EACCES),
        ("listen-any", ENOSYS),
        ("code", ENOSYS),
        ("ring-open", EACCES),
    ] {
        assert_eq!(tried(&proxy, way), answer, "{way}");
    }
    assert_eq!(proxy.get("/").status(), 200, "it serves on");
}

fn what_only_an_intruder_would_call_ends_the_process(on: Driver) {
    for way in ["exec", "ptrace", "root"] {
        let proxy = trying(on, way, "");
        let said = proxy.wait_for_complaint("ended by signal");
        assert!(said.contains("signal 31"), "SIGSYS: {said}");
    }
}

fn landlock_holds_alone(on: Driver) {
    let proxy = trying(on, WAYS, "seccomp ring");
    for (way, answer) in [
        ("open", EACCES),
        ("create", EACCES),
        ("spawn", EACCES),
        ("listen", EACCES),
        ("ring-open", EACCES),
        // Not its affair: so it is seccomp that refuses them elsewhere. A source address binds port 0.
        ("listen-any", NOTHING),
        ("ring", NOTHING),
        ("netlink", NOTHING),
        ("code", NOTHING),
    ] {
        assert_eq!(tried(&proxy, way), answer, "{way}");
    }
    proxy.wait_for_complaint("the sandbox is without seccomp");
    proxy.wait_for_line("the sandbox is without seccomp");
}

fn seccomp_holds_alone(on: Driver) {
    let proxy = trying(on, WAYS, "landlock ring");
    for (way, answer) in [
        ("open", EACCES),
        ("create", EACCES),
        ("spawn", ENOSYS),
        ("listen", ENOSYS),
        ("listen-any", ENOSYS),
        ("ring", EPERM),
        // The reason for the other layers; on epoll it is a system call like any other.
        (
            "ring-open",
            if on == Driver::Ring { NOTHING } else { EACCES },
        ),
    ] {
        assert_eq!(tried(&proxy, way), answer, "{way}");
    }
    proxy.wait_for_complaint("the sandbox is without Landlock");
}

fn rings_hold_alone(on: Driver) {
    let proxy = trying(on, "open ring-open", "landlock seccomp");
    let through_the_ring = if on == Driver::Ring { EACCES } else { NOTHING };
    assert_eq!(tried(&proxy, "ring-open"), through_the_ring);
    assert_eq!(tried(&proxy, "open"), NOTHING);
}

fn it_can_be_turned_off(on: Driver) {
    let proxy = Setup::new(on)
        .server(&Server::named("one"))
        .process("sandbox = false")
        .environment(
            "RINGBOLT_TEST_ESCAPE",
            "open ring netlink listen code ring-open",
        )
        .start();
    proxy.wait_for_complaint("ringbolt: sandbox: off (process.sandbox)");
    for way in ["open", "ring", "netlink", "listen", "code", "ring-open"] {
        assert_eq!(tried(&proxy, way), NOTHING, "{way}");
    }
    for status in threads(&proxy) {
        assert_eq!(field(&status, "Seccomp"), "0", "{status}");
        assert_eq!(field(&status, "NoNewPrivs"), "1", "{status}");
    }
}

fn root_that_stays_root_keeps_no_capability(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    assert_eq!(proxy.get("/").status(), 200);
    let mut sets = vec!["CapInh", "CapPrm", "CapEff", "CapAmb"];
    if rustix::process::geteuid().is_root() {
        // Others may not change this one, and without the rest it is nothing.
        sets.push("CapBnd");
    }
    for status in threads(&proxy) {
        for set in &sets {
            assert_eq!(field(&status, set), "0000000000000000", "{set} {status}");
        }
        assert_eq!(field(&status, "NoNewPrivs"), "1", "{status}");
    }
}

fn a_replaced_configuration_and_rotated_logs_come_in_all_the_same(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let setup = |server: &Server| {
        Setup::new(on)
            .server(server)
            .log("target = \"file:{folder}/access.log\"")
    };
    let proxy = setup(&one).start();
    proxy.wait_for_complaint("ringbolt: sandbox: Landlock");
    assert_eq!(proxy.get("/before").text(), "one");

    // As editors and configuration systems do it: another file takes the name.
    let config = proxy.folder().join("config.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let new = proxy.folder().join("config.new");
    std::fs::write(&new, text.replace(&one.address(), &two.address())).unwrap();
    std::fs::rename(&new, &config).unwrap();
    proxy.sighup();
    proxy.wait_for_complaint("ringbolt: reloaded");
    assert_eventually!(proxy.get("/moved").text() == "two");

    let (current, rotated) = (
        proxy.folder().join("access.log"),
        proxy.folder().join("access.log.1"),
    );
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    assert_eventually!(read(&current).contains("GET /moved"));
    std::fs::rename(&current, &rotated).unwrap();
    proxy.sigusr1();
    assert_eventually!(read(&current).contains("log files reopened"));
    proxy.get("/after");
    assert_eventually!(read(&current).contains("GET /after"));
    assert!(read(&rotated).contains("GET /moved"));
    assert!(!read(&rotated).contains("GET /after"));
}
