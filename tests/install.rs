//! `scripts/install` into a folder: what it puts there is whole, checks out, and respects what is there.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

fn install(into: &Path, arguments: &[&str]) -> Output {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/install"))
        .args(["--binary", env!("CARGO_BIN_EXE_ringbolt")])
        .args(arguments)
        .env("DESTDIR", into)
        .output()
        .unwrap()
}

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn everything_is_put_in_place_and_checks_out() {
    let folder = tempfile::tempdir().unwrap();
    let at = |path: &str| folder.path().join(path);
    let output = install(folder.path(), &["--prefix", "/opt/ring"]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );

    let binary = at("opt/ring/bin/ringbolt");
    assert_eq!(
        binary.metadata().unwrap().permissions().mode() & 0o777,
        0o755
    );
    for reference in [
        "opt/ring/share/doc/ringbolt/config.toml",
        "etc/ringbolt/config.toml",
    ] {
        let output = Command::new(&binary)
            .arg("check")
            .arg(at(reference))
            .output()
            .unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{reference}: {complaint}");
    }
    let mode = at("etc/ringbolt/config.toml")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600, "it may come to hold passwords");
    let rotation = text(&at("etc/logrotate.d/ringbolt"));
    assert!(
        rotation.contains("/var/log/ringbolt/") && rotation.contains("USR1"),
        "{rotation}"
    );
    for path in [
        "etc/systemd/system/ringbolt.service",
        "etc/ringbolt/config.toml",
    ] {
        assert!(!text(&at(path)).contains("@PREFIX@"), "{path}");
    }
    verify(&at("etc/systemd/system/ringbolt.service"), &binary);
}

/// systemd's own opinion of the unit, with the binary where it really is.
fn verify(unit: &Path, binary: &Path) {
    if Command::new("systemd-analyze")
        .arg("--version")
        .output()
        .is_err()
    {
        support::not_run("systemd's check of the unit", "no systemd-analyze");
        return;
    }
    let here = text(unit).replace("/opt/ring/bin/ringbolt", binary.to_str().unwrap());
    std::fs::write(unit, here).unwrap();
    let output = Command::new("systemd-analyze")
        .arg("verify")
        .arg(unit)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let ours: Vec<_> = said
        .lines()
        .filter(|line| line.contains("ringbolt"))
        .collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");

    // A mistake is seen, so silence above means something.
    let wrong = text(unit).replace("[Install]", "NoSuchDirective=yes\n[Install]");
    std::fs::write(unit, wrong).unwrap();
    let output = Command::new("systemd-analyze")
        .arg("verify")
        .arg(unit)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("NoSuchDirective"), "{said}");
}

#[test]
fn a_second_run_replaces_the_program_and_keeps_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("etc/ringbolt/config.toml");
    assert!(install(folder.path(), &[]).status.success());
    let binary = folder.path().join("usr/local/bin/ringbolt");
    std::fs::write(&config, "mine").unwrap();
    std::fs::write(&binary, "old").unwrap();
    let output = install(folder.path(), &[]);
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("stays as it is"));
    assert_eq!(text(&config), "mine");
    let built = std::fs::read(env!("CARGO_BIN_EXE_ringbolt")).unwrap();
    assert!(
        std::fs::read(&binary).unwrap() == built,
        "not the new program"
    );
    // Nothing half written stays behind.
    let folder = binary.parent().unwrap();
    assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
}

#[test]
fn wrong_arguments_install_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["--prefix", "relative"][..], &["--what"]] {
        let output = install(folder.path(), arguments);
        assert_eq!(output.status.code(), Some(2));
        assert!(!output.stderr.is_empty());
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
