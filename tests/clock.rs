//! A clock that is set while the proxy runs, by libfaketime (Debian's package): no duration follows it.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use support::{Conn, Driver, Proxy, Server, Setup, ringbolt};

on_both_drivers!(
    a_drain_ends_when_its_time_is_over_whatever_the_clock_says,
    cookies_are_honoured_for_their_time_whatever_the_clock_says,
);

/// Where Debian and Ubuntu have it, by architecture.
fn library() -> PathBuf {
    let folders = std::fs::read_dir("/usr/lib")
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1"));
    let found = found.find(|path| path.exists());
    found.expect("libfaketime is Debian's package of that name; scripts/check installs it")
}

/// A proxy whose wall clock is what a file says, and whose monotonic clock is the machine's.
fn start(setup: Setup, file: &Path) -> Proxy {
    std::fs::write(file, "+0").unwrap();
    setup
        // The file is read by the process that serves.
        .process("sandbox = false")
        .environment("LD_PRELOAD", library().to_str().unwrap())
        .environment("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap())
        .environment("FAKETIME_NO_CACHE", "1")
        .environment("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .start()
}

/// Sets the clock so many seconds on or back, and waits until the log shows it.
fn set(proxy: &Proxy, file: &Path, seconds: i64) {
    std::fs::write(file, format!("{seconds:+}")).unwrap();
    let year = |line: &str| line.split(['/', ':']).nth(2).unwrap_or_default().to_owned();
    let before = format!("/{}:", year(&proxy.lines()[0]));
    // An event has the time at which it is written.
    assert_eventually!({
        proxy.sigusr1();
        let mut lines = proxy.lines().into_iter();
        lines.any(|line| line.contains("log files reopened") && !line.contains(&before))
    });
}

/// Three years.
const FAR: i64 = 3 * 366 * 24 * 3_600;

fn drain(proxy: &Proxy) {
    let mut command = ringbolt();
    command.args(["server", "app/one", "drain", "--socket"]);
    assert!(
        command
            .arg(proxy.control_socket())
            .status()
            .unwrap()
            .success()
    );
}

fn a_drain_ends_when_its_time_is_over_whatever_the_clock_says(on: Driver) {
    for seconds in [FAR, -FAR] {
        let (server, folder) = (Server::websocket("one"), tempfile::tempdir().unwrap());
        let file = folder.path().join("clock");
        let setup = Setup::new(on)
            .server(&server)
            .pool("drain = { close_after = \"2s\", close_over = \"now\" }");
        let proxy = start(setup, &file);
        let mut tunnel = proxy.client();
        tunnel.upgrade("/");
        let from = Instant::now();
        drain(&proxy);
        set(&proxy, &file, seconds);
        tunnel.echoes("still there");
        tunnel.expect_closed();
        let took = from.elapsed();
        let within = Duration::from_millis(1_900)..Duration::from_secs(8);
        assert!(within.contains(&took), "{seconds}: {took:?}");
    }
}

fn cookies_are_honoured_for_their_time_whatever_the_clock_says(on: Driver) {
    for seconds in [FAR, -FAR] {
        let (one, two) = (Server::named("one"), Server::named("two"));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("clock");
        let setup = Setup::new(on)
            .server_with(&one, "cookie = \"a\"")
            .server_with(&two, "cookie = \"b\"")
            .sticky("cookie = \"S\"")
            .pool("drain = { honour_cookies_for = \"2s\" }");
        let proxy = start(setup, &file);
        let asked = |client: &mut Conn| client.get_with("/", "Cookie: S=a\r\n").server().to_owned();
        let mut client = proxy.client();
        let from = Instant::now();
        drain(&proxy);
        set(&proxy, &file, seconds);
        if from.elapsed() < Duration::from_millis(1_500) {
            assert_eq!(asked(&mut client), "one", "{seconds}");
        }
        assert_eventually!(asked(&mut client) == "two");
        let took = from.elapsed();
        let within = Duration::from_millis(1_900)..Duration::from_secs(8);
        assert!(within.contains(&took), "{seconds}: {took:?}");
    }
}
