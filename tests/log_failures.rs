//! Log targets that fail: said once elsewhere, again when they work again, and what they lost is counted.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;

use support::{Driver, Proxy, Server, Setup, ringbolt};

on_both_drivers!(a_full_disk_is_told_of_once_and_its_lines_are_counted,);

fn log_of(proxy: &Proxy, at: usize) -> serde_json::Value {
    proxy.status().unwrap()["logs"][at].clone()
}

fn lines_with(path: &Path, words: &str) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| line.contains(words));
    lines.map(str::to_owned).collect()
}

/// `/dev/full` behind a link, which a rotation replaces.
fn a_full_disk_is_told_of_once_and_its_lines_are_counted(on: Driver) {
    let server = Server::named("one");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let text = Setup::new(on)
        .log("target = \"file:{folder}/access.log\"\n[[log]]\ntarget = \"stdout\"\nlevel = \"notice\"")
        .server(&server)
        .text();
    let proxy = Proxy::start_in(on, folder, &text);
    let name = format!("log target file:{}", path.display());
    let failed = format!("{name} failed: No space left on device");
    proxy.wait_for_complaint(&failed);
    proxy.wait_for_line(&failed);
    // 1 MiB may wait; of each target a line keeps 1 KB.
    let long = "x".repeat(2_000);
    let mut client = proxy.client();
    let sent = 1_400;
    let mut ask = |target: &str| assert_eq!(client.get(target).status(), 200);
    (0..sent).for_each(|_| ask(&format!("/{long}")));
    assert_eventually!(log_of(&proxy, 0)["lost"].as_u64().unwrap() >= 20);
    let status = log_of(&proxy, 0);
    assert!(
        status["failure"]
            .as_str()
            .unwrap()
            .contains("No space left"),
        "{status}"
    );
    assert_eq!(log_of(&proxy, 1)["lost"], 0);
    let told = ringbolt()
        .arg("status")
        .arg("--socket")
        .arg(proxy.control_socket())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    assert!(
        told.contains("access.log fails: No space left on device") && told.contains("lines lost"),
        "{told}"
    );
    fs::remove_file(&path).unwrap();
    proxy.sigusr1();
    let restored = proxy.wait_for_line(&format!("{name} works again after"));
    proxy.wait_for_complaint(&format!("{name} works again after"));
    assert_eq!(log_of(&proxy, 0)["failure"], serde_json::Value::Null);
    ask("/after");
    assert_eventually!(lines_with(&path, "GET /after ").len() == 1);
    let lost = log_of(&proxy, 0)["lost"].as_u64().unwrap() as usize;
    assert!(
        restored.ends_with(&format!("; lost {lost} lines")),
        "{lost}: {restored}"
    );
    assert_eq!(lines_with(&path, "GET /xxx").len() + lost, sent);
    assert_eq!(
        lines_with(&path, "works again").len(),
        1,
        "it is told itself"
    );
    for lines in [proxy.lines(), proxy.complaints()] {
        let count = lines.iter().filter(|line| line.contains(&failed)).count();
        assert_eq!(count, 1, "{lines:?}");
    }
}

#[test]
fn a_syslog_socket_that_is_gone_is_told_of() {
    let server = Server::named("one");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("syslog");
    let daemon = UnixDatagram::bind(&path).unwrap();
    let text = Setup::new(Driver::Ring)
        .log(
            "target = \"syslog:{folder}/syslog\"\n[[log]]\ntarget = \"stdout\"\nlevel = \"notice\"",
        )
        .server(&server)
        .text();
    let proxy = Proxy::start_in(Driver::Ring, folder, &text);
    daemon.set_read_timeout(Some(support::PATIENCE)).unwrap();
    assert!(daemon.recv(&mut [0; 9000]).is_ok());
    drop(daemon);
    fs::remove_file(&path).unwrap();
    assert_eq!(proxy.get("/gone").status(), 200);
    proxy.wait_for_line("failed: ");
    proxy.wait_for_complaint("syslog failed: ");
    let daemon = UnixDatagram::bind(&path).unwrap();
    daemon.set_read_timeout(Some(support::PATIENCE)).unwrap();
    proxy.wait_for_line("syslog works again after");
    // What waited is not lost; events of the start may come before.
    let mut message = [0; 9000];
    loop {
        let length = daemon.recv(&mut message).unwrap();
        if String::from_utf8_lossy(&message[..length]).contains("GET /gone ") {
            break;
        }
    }
    assert_eq!(log_of(&proxy, 0)["lost"], 0);
}

#[test]
fn a_log_folder_that_is_gone_is_told_of() {
    let server = Server::named("one");
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    fs::create_dir(&logs).unwrap();
    let text = Setup::new(Driver::Ring)
        .log("target = \"file:{folder}/logs/access.log\"\n[[log]]\ntarget = \"stdout\"\nlevel = \"notice\"")
        .server(&server)
        .text();
    let proxy = Proxy::start_in(Driver::Ring, folder, &text);
    fs::remove_dir_all(&logs).unwrap();
    assert_eventually!({
        proxy.get("/lost");
        proxy
            .complaints()
            .iter()
            .any(|line| line.contains("access.log failed: the file was deleted"))
    });
    proxy.wait_for_line("access.log failed: the file was deleted");
    proxy.get("/lost");
    assert_eventually!(log_of(&proxy, 0)["lost"].as_u64().unwrap() > 0);
    fs::create_dir(&logs).unwrap();
    proxy.sigusr1();
    proxy.wait_for_line("access.log works again after");
    proxy.get("/found");
    assert_eventually!(lines_with(&logs.join("access.log"), "GET /found ").len() == 1);
}
