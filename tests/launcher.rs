//! The launcher, which nothing may keep from its signals: not a log file that is a FIFO, not a generation that is stopped.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::io::Read as _;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use rustix::process::{Pid, Signal, kill_process};
use support::{Driver, Proxy, Server, Setup, eventually};

on_both_drivers!(
    a_fifo_as_log_file_holds_nobody_up,
    a_stopped_generation_holds_no_signal_up,
    log_files_are_opened_again_after_a_reload_that_was_under_way,
    other_signals_end_neither_process,
    the_third_signal_ends_by_force,
);

fn signal(process: u32, signal: Signal) {
    kill_process(Pid::from_raw(process.cast_signed()).unwrap(), signal).unwrap();
}

/// Complaints with these words.
fn complaints(proxy: &Proxy, words: &str) -> usize {
    let lines = proxy.complaints().into_iter();
    lines.filter(|line| line.contains(words)).count()
}

/// Without a reader: at the start, at a reload, when log files are opened again, after a crash; and it ends when it is told to.
fn a_fifo_as_log_file_holds_nobody_up(on: Driver) {
    let server = Server::named("one");
    let folder = tempfile::tempdir().unwrap();
    let fifo = folder.path().join("log");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let mut proxy = Setup::new(on)
        .server(&server)
        .log(&format!("target = \"file:{}\"", fifo.display()))
        .start();
    assert_eq!(proxy.get("/first").status(), 200);
    proxy.sighup();
    proxy.wait_for_complaint("reloaded");
    proxy.sigusr1();
    proxy.strike(Signal::KILL);
    proxy.wait_for_complaint("another one starts");
    assert_eq!(proxy.get("/second").status(), 200);
    // A reader that comes later finds what waited in the pipe.
    let read = std::thread::spawn(move || {
        let mut reader = std::fs::File::open(&fifo).unwrap();
        let (mut text, mut piece) = (String::new(), [0; 4096]);
        while !text.contains("GET /second") {
            let count = reader.read(&mut piece).unwrap();
            text.push_str(&String::from_utf8_lossy(&piece[..count]));
        }
        text
    });
    let text = read.join().unwrap();
    assert!(text.contains("notice: started"), "{text}");
    proxy.sigterm();
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
}

/// A reload of a large file that the generation does not take; then a stop, which has its deadline, and says once that it
/// passed.
fn a_stopped_generation_holds_no_signal_up(on: Driver) {
    let server = Server::named("one");
    let setup = Setup::new(on)
        .server(&server)
        .process("drain_timeout = \"1s\"");
    let proxy = setup.start();
    let generation = proxy.generation();
    signal(generation, Signal::STOP);
    let large = setup.text() + &format!("# {}\n", "x".repeat(600_000));
    proxy.rewrite_config(&large);
    proxy.sighup();
    // It goes on taking signals, each of which is answered.
    signal(proxy.id(), Signal::USR2);
    proxy.wait_for_complaint("SIGUSR2");
    signal(generation, Signal::CONT);
    proxy.wait_for_complaint("reloaded");
    assert_eq!(proxy.get("/").status(), 200);

    signal(generation, Signal::STOP);
    let mut proxy = proxy;
    let from = Instant::now();
    proxy.sigterm();
    let status = loop {
        if let Some(status) = proxy.try_wait() {
            break status;
        }
        assert!(from.elapsed() < Duration::from_secs(60), "it never ends");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(
        status.code(),
        Some(128 + 9),
        "{status} {:?}",
        status.signal()
    );
    // What is in force after the drain timeout, and not much later.
    let took = from.elapsed();
    let least = Duration::from_secs(1);
    assert!(took >= least && took < Duration::from_secs(40), "{took:?}");
    assert_eq!(complaints(&proxy, "did not end in time"), 1);
}

/// The signal comes while a reload is under way: its log files were opened before they were renamed.
fn log_files_are_opened_again_after_a_reload_that_was_under_way(on: Driver) {
    let server = Server::named("one");
    let folder = tempfile::tempdir().unwrap();
    let (log, old) = (folder.path().join("log"), folder.path().join("log.1"));
    let proxy = Setup::new(on)
        .server(&server)
        .log(&format!("target = \"file:{}\"", log.display()))
        .start();
    assert_eq!(proxy.get("/before").status(), 200);
    assert_eventually!(
        std::fs::read_to_string(&log)
            .unwrap()
            .contains("GET /before")
    );
    let generation = proxy.generation();
    signal(generation, Signal::STOP);
    proxy.sighup();
    // The launcher has opened the files of the reload once it answers a later signal.
    signal(proxy.id(), Signal::USR2);
    proxy.wait_for_complaint("SIGUSR2");
    std::fs::rename(&log, &old).unwrap();
    proxy.sigusr1();
    signal(generation, Signal::CONT);
    proxy.wait_for_complaint("reloaded");
    let fresh = eventually("lines go into the new file", || {
        assert_eq!(proxy.get("/after").status(), 200);
        std::fs::read_to_string(&log)
            .ok()
            .filter(|text| text.contains("GET /after"))
    });
    assert!(!fresh.contains("GET /before"), "{fresh}");
}

/// Such as those of a service manager that signals every process of a group.
fn other_signals_end_neither_process(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    let generation = proxy.generation();
    let mut kept = proxy.client();
    assert_eq!(kept.get("/").status(), 200);
    for sent in [
        Signal::USR2,
        Signal::ALARM,
        Signal::VTALARM,
        Signal::PROF,
        Signal::IO,
        Signal::POWER,
        Signal::XCPU,
        Signal::XFSZ,
        Signal::WINCH,
        Signal::PIPE,
    ] {
        for process in [proxy.id(), generation] {
            signal(process, sent);
        }
    }
    proxy.wait_for_complaint("SIGUSR2: an upgrade without a restart is not available");
    // In order behind them: the launcher still takes signals, and so the generation had its own.
    proxy.sighup();
    proxy.wait_for_complaint("reloaded");
    assert_eq!(kept.get("/").status(), 200);
    assert_eq!(proxy.processes(), [proxy.id(), generation]);
    assert_eq!(complaints(&proxy, "another one starts"), 0);
}

/// A generation that is stopped does not even hear the second one.
fn the_third_signal_ends_by_force(on: Driver) {
    let server = Server::named("one");
    let mut proxy = Setup::new(on)
        .server(&server)
        .process("drain_timeout = \"never\"")
        .start();
    signal(proxy.generation(), Signal::STOP);
    let from = Instant::now();
    for sent in 1..=3 {
        proxy.sigterm();
        if sent < 3 {
            // Taken by then: signals of one kind do not queue.
            signal(proxy.id(), Signal::USR2);
            assert_eventually!(complaints(&proxy, "SIGUSR2") == sent);
            assert!(proxy.is_running());
        }
    }
    assert_eq!(proxy.wait_for_exit().code(), Some(128 + 9));
    assert!(
        from.elapsed() < Duration::from_secs(10),
        "{:?}",
        from.elapsed()
    );
}
