//! The log writer with real targets: files, pipes, syslog sockets, slow ones among them.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs::{self, File, OpenOptions};
use std::io::Read;
use std::net::UdpSocket;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ringbolt::config::{self, Config, EmptyEnvironment, Level};
use ringbolt::control::logs::Logs;
use ringbolt::record::{Event, Kind, Log, Record, ServerName};

/// A whole configuration with these `[[log]]` tables.
fn config(logs: &str) -> Config {
    let rest = r#"
        [[listener]]
        name = "http-in"
        bind = "127.0.0.1:0"
        default_pool = "app"
        [[pool.app.server]]
        name = "node1"
        address = "127.0.0.1:3000"
    "#;
    config::load(
        Path::new("test.toml"),
        &format!("{logs}{rest}"),
        &EmptyEnvironment,
    )
    .unwrap()
}

fn start(logs: &str, files: Vec<(usize, File)>) -> (Logs, Log) {
    let (logs, mut ends) = Logs::start(&config(logs), files, 1).unwrap();
    (logs, ends.remove(0))
}

fn append(path: &Path) -> File {
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap()
}

fn request(target: &[u8]) -> Record<'_> {
    Record {
        client: "10.0.1.2:33317".parse().ok(),
        pool: Some("app"),
        server: Some("node1"),
        status: 200,
        method: b"GET",
        target,
        ..Record::empty(
            Kind::Exchange,
            1_795_381_533_123,
            1_795_381_533_123,
            "http-in",
        )
    }
}

fn say(log: &mut Log, target: &str) {
    log.access(&request(target.as_bytes()));
    log.flush();
}

/// Waits until a file's text fulfils a condition.
fn file_until(path: &Path, what: &str, fits: impl Fn(&str) -> bool) -> String {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let text = fs::read_to_string(path).unwrap();
        if fits(&text) {
            return text;
        }
        let end = &text[text.len().saturating_sub(2000)..];
        let lines = text.lines().count();
        assert!(
            Instant::now() < deadline,
            "no {what} in {lines} lines that end:\n{end}"
        );
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn fifo(dir: &Path) -> PathBuf {
    let path = dir.join("fifo");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&path)
            .status()
            .unwrap()
            .success()
    );
    path
}

#[test]
fn syslog_over_udp_in_both_forms() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    server
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    let to = server.local_addr().unwrap();
    let (logs, mut log) = start(
        &format!(
            r#"
            [[log]]
            target = "syslog://{to}"
            facility = "local0"
            [[log]]
            target = "syslog://{to}"
            facility = "local1"
            level = "notice"
            syslog = "rfc5424"
            tag = "edge"
            "#
        ),
        Vec::new(),
    );
    say(&mut log, "/a");
    let mut message = [0; 9000];
    let mut receive = || {
        let len = server.recv(&mut message).unwrap();
        String::from_utf8(message[..len].to_vec()).unwrap()
    };
    let pid = std::process::id();
    let line = receive();
    assert!(line.starts_with("<134>"), "{line}");
    assert!(
        line.contains(&format!(" ringbolt[{pid}]: 10.0.1.2:33317 [")),
        "{line}"
    );
    assert!(line.ends_with("\"GET /a HTTP/1.1\""), "{line}");

    logs.events().send(Event::ServerDown {
        server: ServerName {
            pool: "app".to_owned(),
            server: "node1".to_owned(),
        },
        why: "connection refused".to_owned(),
        after: Duration::from_secs(61),
        left: 1,
    });
    let sentence = "server app/node1 is down after 1m 1s: connection refused; 1 up in the pool";
    let (old, new) = (receive(), receive());
    assert!(old.starts_with("<129>"), "{old}");
    assert!(
        old.ends_with(&format!(" ringbolt[{pid}]: {sentence}")),
        "{old}"
    );
    assert!(new.starts_with("<137>1 20"), "{new}");
    assert!(
        new.ends_with(&format!(" edge {pid} - - {sentence}")),
        "{new}"
    );

    log.access(&request("/x".repeat(5000).as_bytes()));
    log.flush();
    assert!(receive().len() <= 8192);
    logs.finish();
}

#[test]
fn a_syslog_daemon_that_restarts_loses_nothing_that_still_waits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (logs, mut log) = start(
        &format!(
            "[[log]]\ntarget = \"syslog:{}\"\nskip_empty = false\n",
            path.display()
        ),
        Vec::new(),
    );
    let listen = || {
        let socket = UnixDatagram::bind(&path).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
            .unwrap();
        socket
    };
    let receive = |socket: &UnixDatagram| {
        let mut message = [0; 9000];
        let len = socket.recv(&mut message).unwrap();
        String::from_utf8(message[..len].to_vec()).unwrap()
    };
    // Nobody there yet.
    say(&mut log, "/before");
    std::thread::park_timeout(Duration::from_millis(50));
    let daemon = listen();
    let line = receive(&daemon);
    // No host name on the machine's own socket.
    assert_eq!(line[..5], *"<134>");
    assert_eq!(&line[20..30], " ringbolt[", "{line}");
    assert!(line.contains("/before"));
    log.access(&Record::empty(Kind::Empty, 0, 0, "http-in"));
    log.flush();
    assert!(receive(&daemon).ends_with("\"<BADREQ>\""));

    drop(daemon);
    fs::remove_file(&path).unwrap();
    say(&mut log, "/between");
    std::thread::park_timeout(Duration::from_millis(50));
    let daemon = listen();
    assert!(receive(&daemon).contains("/between"));
    logs.finish();
}

#[test]
fn a_file_is_rotated() {
    let dir = tempfile::tempdir().unwrap();
    let [path, rotated] = ["access.log", "access.log.1"].map(|name| dir.path().join(name));
    let (logs, mut log) = start(
        &format!("[[log]]\ntarget = \"file:{}\"\n", path.display()),
        vec![(0, append(&path))],
    );
    say(&mut log, "/one");
    let line = file_until(&path, "line", |text| text.ends_with('\n'));
    assert!(line.starts_with("10.0.1.2:33317 [") && line.ends_with("] http-in app/node1 -1/-1/-1/-1/-1 200 0 - - ---- 0/0/0/0/0 0/0 \"GET /one HTTP/1.1\"\n"), "{line}");

    fs::rename(&path, &rotated).unwrap();
    say(&mut log, "/two");
    file_until(&rotated, "second line", |text| text.contains("/two"));
    logs.reopen(vec![(0, append(&path))]);
    file_until(&path, "word of it", |text| {
        text.contains("notice: log files reopened")
    });
    say(&mut log, "/three");
    log.access(&Record::empty(Kind::Empty, 0, 0, "http-in"));
    drop(log);
    logs.finish();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.ends_with("\"GET /three HTTP/1.1\"\n"), "{text}");
    assert_eq!(
        text.lines().count(),
        2,
        "no line for an empty connection: {text}"
    );
    assert!(!fs::read_to_string(&rotated).unwrap().contains("/three"));
}

#[test]
fn a_target_that_nobody_reads_slows_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (slow, good) = (fifo(dir.path()), dir.path().join("good.log"));
    // Open for both, so that there is a reader that never reads.
    let pipe = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&slow)
        .unwrap();
    let (logs, mut log) = start(
        &format!(
            "[[log]]\ntarget = \"file:{}\"\n[[log]]\ntarget = \"file:{}\"\nformat = \"json\"\n",
            slow.display(),
            good.display()
        ),
        vec![(0, pipe), (1, append(&good))],
    );
    // Four times of what fits into the pipe and what may wait, at a pace that the good one keeps up with.
    let target = "/x".repeat(400);
    let mut slowest = Duration::ZERO;
    let lines = 5000;
    for sent in 0..lines {
        let before = Instant::now();
        log.access(&request(target.as_bytes()));
        slowest = slowest.max(before.elapsed());
        if sent % 200 == 0 {
            log.flush();
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
    log.flush();
    assert!(
        slowest < Duration::from_millis(500),
        "a worker waited {slowest:?}"
    );
    let name = format!("file:{}", slow.display());
    let text = file_until(&good, "lines and word of the drop", |text| {
        text.matches("\"event\":\"request\"").count() == lines
            && text.contains("\"event\":\"lines_dropped\"")
    });
    let said = text
        .lines()
        .find(|line| line.contains("lines_dropped"))
        .unwrap();
    assert!(
        said.contains(&format!("lines because {name} is slow")),
        "{said}"
    );
    assert!(said.contains("\"level\":\"warning\""), "{said}");

    // Once it is read again, it is told in it as well, and goes on.
    let mut reader = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(&slow)
        .unwrap();
    let mut text = String::new();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !text.contains("is slow") {
        assert!(Instant::now() < deadline, "not told");
        let mut part = [0; 65_536];
        match reader.read(&mut part) {
            Ok(len) => text.push_str(&String::from_utf8_lossy(&part[..len])),
            Err(_) => std::thread::park_timeout(Duration::from_millis(5)),
        }
    }
    let whole = text.lines().take_while(|line| !line.contains("is slow"));
    assert!(
        whole.into_iter().all(|line| line.ends_with(" HTTP/1.1\"")),
        "no line is torn"
    );
    let before = Instant::now();
    logs.finish();
    assert!(before.elapsed() < Duration::from_secs(4));
}

#[test]
fn a_flood_beyond_the_queue_is_counted_to_the_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    let (logs, mut log) = start(
        &format!("[[log]]\ntarget = \"file:{}\"\n", path.display()),
        vec![(0, append(&path))],
    );
    let lines = 200_000;
    for _ in 0..lines {
        log.access(&request(b"/flood"));
    }
    log.flush();
    drop(log);
    std::thread::park_timeout(Duration::from_millis(1500));
    logs.finish();
    let text = fs::read_to_string(&path).unwrap();
    let written = text.matches("\"GET /flood HTTP/1.1\"\n").count();
    let dropped: usize = text
        .lines()
        .filter_map(|line| {
            line.split_once("warning: dropped ")?
                .1
                .split(' ')
                .next()?
                .parse::<usize>()
                .ok()
        })
        .sum();
    assert_eq!(written + dropped, lines, "{dropped} said to be dropped");
}

#[test]
fn other_targets_after_a_reload() {
    let dir = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| dir.path().join(name));
    let table = |path: &Path, more: &str| {
        format!("[[log]]\ntarget = \"file:{}\"\n{more}\n", path.display())
    };
    let (logs, mut log) = start(
        &table(&first, "level = \"notice\""),
        vec![(0, append(&first))],
    );
    assert!(!log.wants_access(), "events only");
    say(&mut log, "/nobody");
    let next = config(&table(&second, "format = \"json\""));
    assert!(
        logs.adopt(&next, Vec::new()).is_err(),
        "its file is missing"
    );
    logs.adopt(&next, vec![(0, append(&second))]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while !log.wants_access() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    say(&mut log, "/somebody");
    logs.events().say(Level::Warning, "careful");
    let text = file_until(&second, "two lines", |text| text.lines().count() == 2);
    assert!(text.contains("\"target\":\"/somebody\"") && text.contains("\"message\":\"careful\""));
    logs.finish();
    assert_eq!(fs::read_to_string(&first).unwrap(), "");
}
