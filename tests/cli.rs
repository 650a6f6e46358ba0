//! The commands as people and scripts use them: pipes that close, narrow terminals, completions, standard input.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Command, Stdio};

use support::{Driver, Proxy, Server, Setup, ringbolt};

fn told(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command whose reader has gone before it writes; its exit code and complaints.
fn into_closed_pipe(command: &mut Command) -> (Option<i32>, String) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    drop(child.stdin.take());
    let mut said = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    (child.wait().unwrap().code(), said)
}

fn asking(proxy: &Proxy, arguments: &[&str]) -> Command {
    let mut command = ringbolt();
    command
        .args(arguments)
        .arg("--socket")
        .arg(proxy.control_socket());
    command
}

fn many(count: usize) -> (Vec<Server>, Proxy) {
    let servers: Vec<Server> = (0..count).map(|_| Server::named("one")).collect();
    let setup =
        servers
            .iter()
            .enumerate()
            .fold(Setup::new(Driver::Ring), |setup, (number, server)| {
                setup.server_at(
                    &format!("server-with-a-long-name-{number}"),
                    &server.address(),
                    "check = true",
                )
            });
    (servers, setup.start())
}

#[test]
fn a_command_acts_on_all_though_nobody_reads_it() {
    let (_servers, proxy) = many(5);
    let drain = &mut asking(&proxy, &["server", "app/*", "drain"]);
    assert_eq!(into_closed_pipe(drain), (Some(0), String::new()));
    let status = proxy.status().unwrap();
    let servers = status["pools"][0]["servers"].as_array().unwrap();
    assert_eq!(servers.len(), 5);
    assert!(
        servers.iter().all(|server| server["state"] == "drain"),
        "{status}"
    );
}

#[test]
fn no_command_minds_a_reader_that_has_gone() {
    let (_servers, proxy) = many(1);
    let config = proxy.folder().join("config.toml");
    for command in [
        &mut asking(&proxy, &["status"]),
        &mut asking(&proxy, &["status", "--json"]),
        &mut asking(&proxy, &["status", "--watch=1"]),
        &mut asking(
            &proxy,
            &["server", "app/server-with-a-long-name-0", "ready"],
        ),
        ringbolt().arg("check").arg(&config),
        ringbolt().args(["check", "--json"]).arg(&config),
        ringbolt().args(["completions", "bash"]),
        ringbolt().arg("--help"),
        ringbolt().arg("--version"),
    ] {
        assert_eq!(
            into_closed_pipe(command),
            (Some(0), String::new()),
            "{command:?}"
        );
    }
    let missing = ringbolt()
        .args(["check", "/no/such/file"])
        .stderr(Stdio::piped())
        .spawn();
    let mut missing = missing.unwrap();
    drop(missing.stderr.take());
    assert_eq!(missing.wait().unwrap().code(), Some(1));
}

/// 80 columns where there is no terminal; or `COLUMNS`.
#[test]
fn a_status_fits_its_width() {
    let (_servers, proxy) = many(2);
    assert_eventually!(
        proxy.status().unwrap()["pools"][0]["servers"][0]["checks"].as_u64() > Some(1)
    );
    let wide = told(asking(&proxy, &["status"]).env("COLUMNS", "250"));
    assert!(wide.contains(" out ") && wide.contains("last: "), "{wide}");
    let text = told(asking(&proxy, &["status"]).env_remove("COLUMNS"));
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    for wanted in ["server-with-a", " up ", "sessions", "tunnels", "checks"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let sandbox = text
        .lines()
        .find(|line| line.starts_with("sandbox: "))
        .unwrap();
    assert!(!sandbox.contains('('), "{sandbox}");
}

#[test]
fn a_status_may_be_watched() {
    let (_servers, proxy) = many(1);
    let mut child = asking(&proxy, &["status", "--json", "--watch", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    proxy.get("/");
    let second: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    let total = |status: &serde_json::Value| status["listeners"][0]["total_connections"].as_u64();
    assert!(total(&second) > total(&first), "{first} {second}");
    // It ends with its reader.
    drop(lines);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// What a shell asks: the words so far, and which of them is completed.
fn completed(words: &[&str], socket: Option<&Proxy>) -> Vec<String> {
    let mut command = ringbolt();
    command
        .env("COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", (words.len() - 1).to_string());
    command
        .env("_CLAP_IFS", "\n")
        .env("_CLAP_COMPLETE_COMP_TYPE", "9");
    if let Some(proxy) = socket {
        command.env("RINGBOLT_SOCKET", proxy.control_socket());
    }
    let text = told(command.arg("--").args(words));
    text.lines().map(str::to_owned).collect()
}

#[test]
fn completions_know_commands_and_servers() {
    let script = told(ringbolt().args(["completions", "bash"]));
    assert!(
        script.contains("COMPLETE=") && script.contains("ringbolt"),
        "{script}"
    );
    assert!(!script.contains("generation"), "{script}");
    let commands = completed(&["ringbolt", ""], None);
    assert!(commands.contains(&"status".to_owned()), "{commands:?}");
    assert!(!commands.contains(&"generation".to_owned()), "{commands:?}");
    assert_eq!(completed(&["ringbolt", "gen"], None), [""; 0]);
    let (_servers, proxy) = many(2);
    assert_eq!(
        completed(&["ringbolt", "server", "app/s"], Some(&proxy)),
        [
            "app/server-with-a-long-name-0",
            "app/server-with-a-long-name-1"
        ]
    );
    let all = completed(&["ringbolt", "server", ""], Some(&proxy));
    assert!(all.contains(&"app/*".to_owned()), "{all:?}");
}

#[test]
fn the_version_says_what_was_built_from_what() {
    let text = told(ringbolt().arg("--version"));
    let first = format!("ringbolt {} (commit ", env!("CARGO_PKG_VERSION"));
    assert!(text.starts_with(&first), "{text}");
    for wanted in ["\ntarget: ", "-linux-", "\nfeatures: ", "io_uring"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let short = told(ringbolt().arg("-V"));
    assert_eq!(
        short.trim_end(),
        format!("ringbolt {}", env!("CARGO_PKG_VERSION"))
    );
}

fn check(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut child = ringbolt()
        .arg("check")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (
        output.status.code(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn check_reads_standard_input_and_warns_of_what_is_missing() {
    let good = "[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:0\"\ndefault_pool = \"app\"\n\
                [[pool.app.server]]\nname = \"one\"\naddress = \"127.0.0.1:1\"\n\
                [control]\nsocket = \"/tmp/ringbolt-check.sock\"\n";
    let (code, said, complaints) = check(&["-"], good);
    assert_eq!((code, complaints.as_str()), (Some(0), ""), "{said}");
    assert!(said.starts_with("standard input: ok: 1 listener"), "{said}");
    let (code, _, complaints) = check(&["-"], "[proces]\n");
    assert_eq!(code, Some(1));
    assert!(complaints.contains("standard input:1:"), "{complaints}");

    let lacking = format!(
        "[process]\nuser = \"nobody-like-this\"\ngroup = \"no-such-group\"\n\
         [[log]]\ntarget = \"file:/no/such/folder/log\"\n{good}"
    );
    let (code, _, complaints) = check(&["-"], &lacking);
    assert_eq!(code, Some(0), "{complaints}");
    for wanted in [
        "warning: process.user: there is no user \"nobody-like-this\"",
        "warning: process.group: there is no group \"no-such-group\"",
        "warning: log file /no/such/folder/log: there is no folder /no/such/folder: create it",
    ] {
        assert!(complaints.contains(wanted), "{wanted}: {complaints}");
    }
    let (_, json, _) = check(&["-", "--json"], &lacking);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(
        (&json["ok"], json["problems"].as_array().unwrap().len()),
        (&true.into(), 3)
    );
}
