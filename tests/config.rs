//! Configuration files and what is said about them, word by word.
//!
//! Every `tests/config/NAME.toml` has a `NAME.txt` beside it that holds what `ringbolt check` prints for it. After a change of
//! words, `RINGBOLT_BLESS=1 cargo test --test config` writes the texts anew; then read the difference.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use ringbolt::config::{
    self, Address, Balance, Bind, Check, EmptyEnvironment, Environment, HostPattern, Level,
    LogTarget, PathPattern, Problems, SECTIONS, Secret, Secure, Severity, StickyMode, Timeout,
    Workers,
};

#[test]
fn every_problem_is_said_word_by_word() {
    let mut wrong = Vec::new();
    let files = files("toml");
    assert!(files.len() > 40, "the files are gone");
    for file in &files {
        let said = said_about(file);
        let expected = file.with_extension("txt");
        if std::env::var_os("RINGBOLT_BLESS").is_some() {
            std::fs::write(&expected, &said).unwrap();
        }
        if said != std::fs::read_to_string(&expected).unwrap_or_default() {
            wrong.push(format!("{}:\n{said}", file.display()));
        }
        assert!(
            !said.contains("correct horse") && !said.contains("battery"),
            "a secret is shown: {said}"
        );
    }
    assert!(
        wrong.is_empty(),
        "other words than expected:\n\n{}",
        wrong.join("\n\n")
    );
    assert_eq!(
        files.len(),
        self::files("txt").len(),
        "a text without its file"
    );
}

#[test]
fn problems_as_json() {
    let text = "[process]\nworkers = 0\n[[log]]\ntarget = \"stdout\"\ntag = \"x\"\n[[listener]]\nname = \"a\"\nbind = \"127.0.0.1:1\"\n";
    let checked = config::check(Path::new("x.toml"), text.as_bytes(), &EmptyEnvironment);
    assert_eq!(
        checked.problems.to_json(),
        concat!(
            r#"{"file":"x.toml","problems":[{"severity":"error","message":"`workers` is 0: must be 1 to 256","#,
            r#""line":2,"column":11,"text":"workers = 0","mark":{"start":10,"end":11},"help":null},"#,
            r#"{"severity":"warning","message":"`tag` has no effect: this target is not syslog","#,
            r#""line":5,"column":7,"text":"tag = \"x\"","mark":{"start":6,"end":9},"help":null}]}"#,
        )
    );
}

#[test]
fn the_seeds_file_loads_whole() {
    let config = loaded(SEED);
    assert_eq!(config.process.workers, Workers::Auto);
    assert_eq!(config.process.max_connections, 4096);
    assert_eq!(
        (
            config.process.user.as_deref(),
            config.process.group.as_deref()
        ),
        (Some("ringbolt"), Some("ringbolt"))
    );
    let peer: SocketAddr = "127.0.0.1:514".parse().unwrap();
    assert!(
        config
            .logs
            .iter()
            .all(|log| log.target == LogTarget::SyslogUdp(peer))
    );
    let (first, second) = (&config.logs[0], &config.logs[1]);
    assert_eq!(
        (first.facility, first.level, first.skip_empty),
        (16, Level::Info, true)
    );
    assert_eq!((second.facility, second.level), (17, Level::Notice));
    assert_eq!(config.timeouts.tunnel, after(7_200));
    let stats = config.stats.unwrap();
    assert_eq!(stats.path, "/haproxyStats");
    assert_eq!(
        stats.users,
        [("someuser".to_owned(), Secret(b"somepassword".to_vec()))]
    );
    assert_eq!(
        config.listeners[0].bind,
        [Bind::Address(Address::Ip("0.0.0.0:8080".parse().unwrap()))]
    );
    assert_eq!(
        config.routes[0].host,
        HostPattern::Exact("myserver.example.com".to_owned())
    );
    assert_eq!(
        (&config.routes[0].path, config.routes[0].pool()),
        (&PathPattern::Any, Some(0))
    );
    let pool = &config.pools[0];
    assert_eq!(
        (pool.name.as_str(), pool.balance.clone()),
        ("socket_servers", Balance::RoundRobin)
    );
    assert_eq!(
        pool.forwarded_for.as_ref().unwrap().header,
        "X-Forwarded-For"
    );
    assert_eq!(
        (
            pool.timeouts.connect,
            pool.timeouts.server,
            pool.timeouts.tunnel
        ),
        (after(5), after(30), after(7_200))
    );
    let sticky = pool.sticky.as_ref().unwrap();
    assert_eq!(
        (sticky.cookie.as_str(), sticky.mode),
        ("SERVERID", StickyMode::Insert)
    );
    assert!(sticky.indirect && sticky.nocache && !sticky.postonly && !sticky.http_only);
    assert_eq!((sticky.secure, sticky.path.as_str()), (Secure::Auto, "/"));
    let server = &pool.servers[1];
    assert_eq!(
        (
            server.name.as_str(),
            server.cookie.as_deref(),
            server.weight
        ),
        ("node2", Some("bridge2"), 1)
    );
    assert_eq!(server.address.to_string(), "127.0.0.1:3001");
    assert_eq!(server.check, Some(Check::PLAIN));
}

#[test]
fn settings_have_more_than_one_form() {
    let config = loaded(
        r#"
        listener = [{ name = "a", bind = ["*:80", "[::]:80", "unix:/run/a.sock"], default_pool = "web" }]
        [limits]
        head_size = "64k"
        [timeouts]
        tunnel = "never"
        [pool.web]
        forwarded_for = false
        request_id = false
        timeouts.connect = "250ms"
        sticky = { cookie = "S", mode = "passive" }
        server = [
            { name = "a", address = "[::1]:3000", check = true },
            { name = "b", address = "unix:/run/b.sock", check = false },
            { name = "c", address = "127.0.0.1:3000", check = { timeout = "1s" } },
        ]
        [pool.another]
        forwarded_for = { except = ["10.0.0.0/8"] }
        request_id = true
        [[pool.another.server]]
        name = "a"
        address = "127.0.0.1:3000"
        "#,
    );
    assert_eq!(config.limits.head_size, 65_536);
    assert_eq!(config.timeouts.tunnel.as_option(), None);
    // `*` has `[::]` in it.
    let binds = config.listeners[0].bind.iter().map(ToString::to_string);
    assert_eq!(binds.collect::<Vec<_>>(), ["*:80", "unix:/run/a.sock"]);
    assert_eq!(
        config
            .pools
            .iter()
            .map(|pool| pool.name.as_str())
            .collect::<Vec<_>>(),
        ["web", "another"]
    );
    let (web, another) = (&config.pools[0], &config.pools[1]);
    assert_eq!((&web.forwarded_for, &web.request_id), (&None, &None));
    assert_eq!(another.request_id.as_deref(), Some("X-Request-Id"));
    assert_eq!(another.forwarded_for.as_ref().unwrap().except.len(), 1);
    assert_eq!(
        web.timeouts.connect,
        Timeout::After(Duration::from_millis(250))
    );
    let sticky = web.sticky.as_ref().unwrap();
    assert!(
        !sticky.indirect && !sticky.nocache,
        "their defaults follow the mode"
    );
    let checks: Vec<_> = web
        .servers
        .iter()
        .map(|server| server.check.as_ref().map(|check| check.timeout.as_secs()))
        .collect();
    assert_eq!(checks, [Some(2), None, Some(1)]);
}

#[test]
fn secrets_come_from_variables_and_files() {
    let text = r#"
        [stats]
        users = { a = "plain", b = "${PASSWORD}", c = "file:/run/secret" }
        [[listener]]
        name = "a"
        bind = "127.0.0.1:80"
    "#;
    let config = config::load(Path::new("x.toml"), text, &Table::default()).unwrap();
    let users = config.stats.as_ref().unwrap().users.iter();
    let users: Vec<_> = users
        .map(|(name, secret)| (name.as_str(), secret.0.as_slice()))
        .collect();
    assert_eq!(
        users,
        [
            ("a", b"plain".as_slice()),
            ("b", b"from outside"),
            ("c", b"from a file\n")
        ]
    );
    let shown = format!("{config:?}");
    assert!(
        shown.contains("***") && !shown.contains("plain") && !shown.contains("outside"),
        "{shown}"
    );
}

#[test]
fn the_control_socket_stands_where_its_user_may_write() {
    let text = "[[listener]]\nname = \"a\"\nbind = \"127.0.0.1:80\"\n";
    for (user, folder, socket) in [
        (0, Some("/run/user/0"), "/run/ringbolt.sock"),
        (1000, Some("/run/user/1000"), "/run/user/1000/ringbolt.sock"),
        (1000, Some("relative"), "/tmp/ringbolt-1000.sock"),
        (1000, None, "/tmp/ringbolt-1000.sock"),
    ] {
        let environment = Table { user, folder };
        let config = config::load(Path::new("x.toml"), text, &environment).unwrap();
        assert_eq!(config.control.socket, PathBuf::from(socket));
    }
}

#[test]
fn the_commented_file_starts_unprivileged() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let checked = config::check(Path::new("config.toml"), text.as_bytes(), &EmptyEnvironment);
    assert_eq!(
        checked.problems,
        Problems {
            file: "config.toml".to_owned(),
            problems: Vec::new()
        }
    );
    let config = checked.config.unwrap();
    assert_eq!(config.listeners[0].bind[0].to_string(), "127.0.0.1:8080");
    let servers: Vec<_> = config.pools[0]
        .servers
        .iter()
        .map(|server| server.address.to_string())
        .collect();
    assert_eq!(servers, ["127.0.0.1:3000", "127.0.0.1:3001"]);
    assert_eq!((config.process.user, config.process.group), (None, None));
    assert_eq!(config.logs[0].target, LogTarget::Stdout);
}

/// Takes every line `key = value` and `# key = value` with its table, and every `key =` in an inline table.
#[test]
fn the_commented_file_carries_every_setting_with_its_default() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let mut shown: HashMap<(String, String), String> = HashMap::new();
    let mut table = String::new();
    for line in text.lines() {
        let line = line.trim_start_matches("# ");
        if let Some(header) = line.strip_prefix('[') {
            table = header
                .trim_matches(['[', ']'])
                .replace("pool.servers", "pool.NAME");
        } else if let Some((key, value)) =
            line.split_once(" = ").filter(|(key, _)| !key.contains(' '))
        {
            shown.insert((table.clone(), key.to_owned()), value.to_owned());
        }
    }
    for section in SECTIONS {
        for setting in section.settings {
            let value = shown.get(&(
                section.name.replace("condition", "ignore"),
                setting.name.to_owned(),
            ));
            let inline = format!("{} =", setting.name);
            let known = match section.name {
                "" => text.contains(&format!("[{}", setting.name)),
                "listener.capture"
                | "listener.monitor"
                | "route.redirect"
                | "route.answer"
                | "route.headers"
                | "error_pages.STATUS"
                | "pool.NAME.timeouts"
                | "pool.NAME.forwarded_for"
                | "pool.NAME.on_down"
                | "pool.NAME.balance"
                | "pool.NAME.balance.hash"
                | "pool.NAME.server.check"
                | "pool.NAME.tunnel_rate"
                | "pool.NAME.slow_start"
                | "pool.NAME.slow_start.sessions_per_second"
                | "process.tunnel_ramp"
                | "listener.client_rate"
                | "pool.NAME.server.agent" => text.contains(&inline),
                "pool.NAME"
                    if matches!(
                        setting.name,
                        "sticky" | "retry" | "drain" | "passive" | "server"
                    ) =>
                {
                    text.contains(&format!(".servers.{}]", setting.name))
                }
                _ => value.is_some(),
            };
            assert!(
                known,
                "`{}` of `{}` is not in config.toml",
                setting.name, section.name
            );
            let example = ["pool.NAME.server"].contains(&section.name) && setting.name == "check";
            if let Some(value) = value.filter(|_| !setting.default.is_empty() && !example) {
                assert_eq!(
                    value, setting.default,
                    "`{}` of `{}`",
                    setting.name, section.name
                );
            }
        }
    }
}

#[test]
fn the_reference_has_a_row_for_every_setting() {
    let reference = config::reference();
    for section in SECTIONS.iter().filter(|section| !section.name.is_empty()) {
        assert!(reference.contains(&format!("### `{}`\n", section.name)));
        for setting in section.settings {
            assert!(
                !setting.meaning.is_empty() && !setting.meaning.contains('|'),
                "{}",
                setting.name
            );
            let row = reference
                .lines()
                .find(|line| line.starts_with(&format!("| `{}` | ", setting.name)));
            assert_eq!(
                row.map(|row| row.matches(" | ").count()),
                Some(2),
                "{}",
                setting.name
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        config::fuzz_any(&bytes);
    }

    #[test]
    fn nothing_that_looks_like_toml_panics(text in r#"([a-z_.]{1,8}|[\[\]{}=,"'#.\\ \t\n\r]|"[a-z0-9:]{0,9}"|[0-9]{1,4}|é|pool|server|sticky|users|= ?\[){0,60}"#) {
        config::fuzz_any(text.as_bytes());
    }

    /// A file with one stretch replaced: whatever is said about it, no secret is in it.
    #[test]
    fn no_slip_shows_a_secret(at in 0..1_000_usize, length in 0..12_usize, put in r#"[a-z=\[\]{}",\n' ]{0,3}"#) {
        let at = at % SECRETS.len();
        let (before, after) = (&SECRETS[..at], &SECRETS[(at + length).min(SECRETS.len())..]);
        let text = format!("{before}{put}{after}");
        config::fuzz_any(text.as_bytes());
        let checked = config::check(Path::new("x.toml"), text.as_bytes(), &EmptyEnvironment);
        let said = format!("{}{}", checked.problems, checked.problems.to_json());
        prop_assert!(!said.contains("QQQQQQ"), "{text}\n\n{said}");
    }
}

/// What would be printed about a file; nothing when it is right.
fn said_about(file: &Path) -> String {
    let name = Path::new(file.file_name().unwrap());
    let checked = config::check(name, &std::fs::read(file).unwrap(), &EmptyEnvironment);
    let errors = checked
        .problems
        .problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .count();
    assert_eq!(checked.config.is_none(), errors > 0, "{}", checked.problems);
    checked.problems.to_string()
}

fn files(extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config");
    let entries = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|own| own == extension))
        .collect();
    files.sort();
    files
}

fn loaded(text: &str) -> config::Config {
    match config::load(Path::new("test.toml"), text, &EmptyEnvironment) {
        Ok(config) => config,
        Err(problems) => panic!("{problems}"),
    }
}

fn after(seconds: u64) -> Timeout {
    Timeout::After(Duration::from_secs(seconds))
}

/// An environment with one variable, one file and a user.
#[derive(Default)]
struct Table {
    user: u32,
    folder: Option<&'static str>,
}

impl Environment for Table {
    fn variable(&self, name: &str) -> Option<String> {
        match name {
            "PASSWORD" => Some("from outside".to_owned()),
            "XDG_RUNTIME_DIR" => self.folder.map(str::to_owned),
            _ => None,
        }
    }

    fn secret_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        assert_eq!(path, Path::new("/run/secret"));
        Ok(b"from a file\n\n".to_vec())
    }

    fn user_id(&self) -> u32 {
        self.user
    }
}

const SECRETS: &str = r#"[process]
user = "ringbolt"
[stats]
path = "/x"
users = { someuser = "QQQQQQQQQQQQ", other = "QQQQQQQQQQQQ" }
[[listener]]
name = "a"
bind = "127.0.0.1:80"
default_pool = "web"
[pool.web]
sticky = { cookie = "S", signed = true, dynamic_key = "QQQQQQQQQQQQ", signing_keys = ["QQQQQQQQQQQQQQQQQQQQQQ"] }
[[pool.web.server]]
name = "one"
address = "127.0.0.1:3000"
[pool.api.sticky]
cookie = "S"
dynamic_key = "QQQQQQQQQQQQ"
signed = true
signing_keys = [
    "QQQQQQQQQQQQQQQQQQQQQQ",
    "QQQQQQQQQQQQQQQQQQQQQQ",
]
[[pool.api.server]]
name = "one"
address = "127.0.0.1:3000"
"#;

/// The file that people come with from HAProxy, in TOML.
const SEED: &str = r#"
[process]
workers = "auto"
max_connections = 4096
user = "ringbolt"
group = "ringbolt"

[[log]]
target = "syslog://127.0.0.1:514"
facility = "local0"
format = "httplog"
skip_empty = true

[[log]]
target = "syslog://127.0.0.1:514"
facility = "local1"
level = "notice"

[timeouts]
connect = "5s"
client = "30s"
server = "30s"
tunnel = "2h"

[stats]
path = "/haproxyStats"
users = { someuser = "somepassword" }

[[listener]]
name = "http-in"
bind = "0.0.0.0:8080"

[[route]]
host = "myserver.example.com"
pool = "socket_servers"

[pool.socket_servers]
balance = "round-robin"
forwarded_for = true
sticky = { cookie = "SERVERID", mode = "insert", indirect = true, nocache = true }

[[pool.socket_servers.server]]
name = "node1"
address = "127.0.0.1:3000"
cookie = "bridge1"
check = { interval = "2s", rise = 2, fall = 3 }

[[pool.socket_servers.server]]
name = "node2"
address = "127.0.0.1:3001"
cookie = "bridge2"
check = { interval = "2s", rise = 2, fall = 3 }
"#;
