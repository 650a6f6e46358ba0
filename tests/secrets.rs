//! No secret leaves the process: every one that a configuration can hold is planted, then everything that
//! Ringbolt says anywhere is searched for it, as it stands and in base64.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use support::{Conn, Driver, Proxy, Server, Setup, ringbolt};

on_both_drivers!(nothing_that_is_said_holds_a_secret);

/// What is planted, each a word of its own.
const PLAIN: &str = "Qplain-0123456789abcdefghij";
const VARIABLE: &str = "Qvariable-0123456789abcdef";
const FILE: &str = "Qfile-0123456789abcdefghijkl";
const SALT: &str = "Qsalt-0123456789";
const HASHED: &str = "Qhashed-0123456789abcdefgh";
const DYNAMIC: &str = "Qdynamic-0123456789abcdefg";
const SIGNING: &str = "Qsigning-0123456789abcdefghijklmnop";
const SIGNING_BEFORE: &str = "Qbefore-0123456789abcdefghijklmnopq";
/// What somebody tries.
const GUESS: &str = "Qguess-0123456789abcdefghij";

fn digest() -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(format!("{SALT}{HASHED}"))
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// Each secret, and what it looks like where it is sent: a user's password goes over the wire in base64.
fn forbidden() -> Vec<String> {
    let secrets = [
        PLAIN,
        VARIABLE,
        FILE,
        SALT,
        HASHED,
        DYNAMIC,
        SIGNING,
        SIGNING_BEFORE,
        GUESS,
    ];
    let digest = digest();
    let mut all = vec![digest];
    for secret in secrets {
        all.push(secret.to_owned());
        all.push(STANDARD.encode(secret).trim_end_matches('=').to_owned());
        all.push(URL_SAFE_NO_PAD.encode(secret));
        for user in ["ann", "bob", "cid", "dan"] {
            let pair = STANDARD.encode(format!("{user}:{secret}"));
            all.push(pair.trim_end_matches('=').to_owned());
        }
    }
    all
}

/// A file with every setting that takes a secret, and with every kind of log.
fn text(on: Driver, server: &Server) -> String {
    let log = |target: &str, more: &str| {
        format!("[[log]]\ntarget = \"{target}\"\nlevel = \"debug\"\nskip_empty = false\n{more}\n")
    };
    let logs = [
        log("file:{folder}/http.log", "format = \"httplog\""),
        log("file:{folder}/json.log", "format = \"json\""),
        log("syslog:{folder}/old.sock", "format = \"httplog\""),
        log(
            "syslog:{folder}/new.sock",
            "format = \"json\"\nsyslog = \"rfc5424\"",
        ),
        log("stderr", "format = \"json\""),
    ];
    let users = format!(
        "ann = \"{PLAIN}\", bob = \"${{RINGBOLT_TEST_SECRET}}\", cid = \"file:{{folder}}/secret\", dan = \"sha256:{SALT}:{}\"",
        digest()
    );
    Setup::new(on)
        .log("target = \"stdout\"\nlevel = \"debug\"")
        .listener("capture_request = [{ header = \"User-Agent\" }]\ncapture_response = [{ header = \"X-Server\" }]")
        .sticky(&format!(
            "cookie = \"S\"\ndynamic_key = \"{DYNAMIC}\"\nsigned = true\nsigning_keys = [\"{SIGNING}\", \"{SIGNING_BEFORE}\"]"
        ))
        .server_with(server, "check = { interval = \"50ms\" }")
        .more(&format!("{}\n[stats]\nusers = {{ {users} }}\n", logs.concat()))
        .text()
}

/// Slips of a hurried hand, each beside a secret.
fn slips(good: &str) -> Vec<String> {
    let swap = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1)
    };
    vec![
        swap("dynamic_key =", "dynamic_keys ="),
        swap("signing_keys = [", "signing_keys = [1, "),
        swap("signed = true", "signed = false"),
        swap("signing_keys = [", "signing_keys = [\"Qshort\", "),
        swap(&format!("\"{DYNAMIC}\""), DYNAMIC),
        swap(&format!("\"{DYNAMIC}\""), &format!("[\"{DYNAMIC}\"]")),
        swap(&format!("\"{DYNAMIC}\""), &format!("\"{DYNAMIC}")),
        swap("ann = ", "ann "),
        swap("bob = ", "ann = "),
        swap("{RINGBOLT_TEST_SECRET}", "{RINGBOLT_TEST_SECRET_UNSET}"),
        swap("/secret\"", "/no-such-secret\""),
        swap(&digest(), &digest()[1..]),
        swap("users = {", "users = ["),
        swap("users = { ann", "realm = { ann"),
    ]
}

fn run(proxy: &Proxy, arguments: &[&str], config: &Path) -> Output {
    ringbolt()
        .args(arguments)
        .arg(config)
        .env("RINGBOLT_TEST_SECRET", VARIABLE)
        .current_dir(proxy.folder())
        .output()
        .unwrap()
}

fn both(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Everything that arrives at a syslog socket.
fn syslog(path: &Path) -> Arc<Mutex<String>> {
    let (socket, said) = (
        UnixDatagram::bind(path).unwrap(),
        Arc::<Mutex<String>>::default(),
    );
    let theirs = Arc::clone(&said);
    std::thread::spawn(move || {
        let mut room = [0; 65_536];
        while let Ok(count) = socket.recv(&mut room) {
            let text = String::from_utf8_lossy(&room[..count]).into_owned() + "\n";
            theirs.lock().unwrap().push_str(&text);
        }
    });
    said
}

fn authorization(user: &str, password: &str) -> String {
    let pair = STANDARD.encode(format!("{user}:{password}"));
    format!("Authorization: Basic {pair}\r\n")
}

fn refused(proxy: &Proxy) -> usize {
    let lines = proxy.lines();
    let refused = lines.iter().filter(|line| line.contains("not reloaded"));
    refused.count()
}

fn nothing_that_is_said_holds_a_secret(on: Driver) {
    let server = Server::named("one");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), format!("{FILE}\n")).unwrap();
    let sockets = ["old.sock", "new.sock"].map(|name| syslog(&folder.path().join(name)));
    let good = text(on, &server);
    let environment = [("RINGBOLT_TEST_SECRET".to_owned(), VARIABLE.to_owned())];
    let mut proxy = Proxy::start_in_with(on, folder, &good, &environment);
    let config = proxy.folder().join("config.toml");
    let mut said: Vec<(String, String)> = Vec::new();

    // Requests with passwords that are right, wrong and nobody's, for the page and for servers.
    let users = [
        ("ann", PLAIN),
        ("bob", VARIABLE),
        ("cid", FILE),
        ("dan", HASHED),
    ];
    for (user, password) in users {
        for target in ["/ringbolt", "/ringbolt.json", "/ringbolt?x=1"] {
            let page = proxy
                .client()
                .get_with(target, &authorization(user, password));
            assert_eq!(page.status(), 200, "{user} {target}");
            said.push((
                format!("{target} for {user}"),
                page.head.clone() + &page.text(),
            ));
            let page = proxy.client().get_with(target, &authorization(user, GUESS));
            assert_eq!(page.status(), 401);
            said.push((
                format!("{target} refused"),
                page.head.clone() + &page.text(),
            ));
        }
        let answer = proxy
            .client()
            .get_with("/served", &authorization(user, password));
        assert_eq!(answer.status(), 200);
        said.push(("an answer with its cookie".to_owned(), answer.head.clone()));
    }
    let bad = format!(
        "GET /bad HTTP/1.1\r\nHost: h\r\n{}X : y\r\n\r\n",
        authorization("ann", PLAIN)
    );
    said.push(("a refusal".to_owned(), proxy.client().request(&bad).head));
    for target in ["/v1/status", "/v1/health", "/nothing"] {
        let answer = Conn::connect_unix(&proxy.control_socket()).get(target);
        said.push((
            format!("the control socket's {target}"),
            answer.head.clone() + &answer.text(),
        ));
    }

    // What the commands say of a good file, and of slips in it.
    for arguments in [&["check"][..], &["check", "--json"]] {
        let output = run(&proxy, arguments, &config);
        assert!(output.status.success(), "{}", both(&output));
        said.push((format!("{arguments:?}"), both(&output)));
    }
    for arguments in [&["status"][..], &["status", "--json"]] {
        let output = run(&proxy, arguments, &config);
        assert!(output.status.success(), "{}", both(&output));
        said.push((format!("{arguments:?}"), both(&output)));
    }
    proxy.rewrite_config(&good);
    proxy.sighup();
    proxy.wait_for_line("configuration reloaded");
    for (at, slip) in slips(&good).iter().enumerate() {
        proxy.rewrite_config(slip);
        for arguments in [&["check"][..], &["check", "--json"]] {
            let output = run(&proxy, arguments, &config);
            assert!(!output.status.success(), "slip {at} is none");
            said.push((format!("{arguments:?} of slip {at}"), both(&output)));
        }
        let output = run(&proxy, &["run"], &config);
        assert!(!output.status.success(), "slip {at} is none");
        said.push((format!("run with slip {at}"), both(&output)));
        proxy.sighup();
        assert_eventually!(refused(&proxy) > at, "slip {at} is refused by a reload");
        proxy.wait_for_notice("READY=1");
    }
    proxy.sigusr1();
    proxy.wait_for_line("reopened");
    proxy.access_line("<BADREQ>");
    proxy.sigterm();
    assert!(proxy.wait_for_exit().success());

    // Whatever was written anywhere meanwhile.
    for process in ["stdout", "stderr"] {
        let lines = if process == "stdout" {
            proxy.lines()
        } else {
            proxy.complaints()
        };
        assert!(lines.len() > 5, "{process}: {lines:?}");
        said.push((process.to_owned(), lines.join("\n")));
    }
    for name in ["http.log", "json.log"] {
        let text = std::fs::read_to_string(proxy.folder().join(name)).unwrap();
        assert!(
            text.contains("/served") && text.contains("not reloaded"),
            "{name}: {text}"
        );
        said.push((name.to_owned(), text));
    }
    for (name, socket) in ["old.sock", "new.sock"].iter().zip(&sockets) {
        let text = socket.lock().unwrap().clone();
        assert!(
            text.contains("/served") && text.contains("not reloaded"),
            "{name}: {text}"
        );
        said.push(((*name).to_owned(), text));
    }
    let forbidden = forbidden();
    for (who, text) in &said {
        for secret in &forbidden {
            assert!(
                !text.contains(secret.as_str()),
                "{who} says {secret}:\n{text}"
            );
        }
    }
}

/// The search itself finds what it looks for.
#[test]
fn a_secret_that_is_said_is_found() {
    let said = STANDARD.encode(format!("bob:{VARIABLE}"));
    assert!(
        forbidden()
            .iter()
            .any(|secret| said.contains(secret.as_str()))
    );
    let line = format!("key {SIGNING}");
    assert!(
        forbidden()
            .iter()
            .any(|secret| line.contains(secret.as_str()))
    );
}
