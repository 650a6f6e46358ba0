//! Tests that this machine cannot run are named, not passed over.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Notes that a test did not run, and why: on standard error, and as a line in the file that `RINGBOLT_NOT_RUN` names,
/// which `scripts/check` prints in its last line.
pub fn not_run(what: &str, why: &str) {
    eprintln!("{what}: not run: {why}");
    if let Some(path) = std::env::var_os("RINGBOLT_NOT_RUN") {
        let mut notes = OpenOptions::new()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        writeln!(notes, "{what} ({why})").unwrap();
    }
}

/// Whether this machine has IPv6 on its loopback interface; if not, notes that a test did not run.
pub fn has_ipv6(what: &str) -> bool {
    let has = std::net::TcpListener::bind("[::1]:0").is_ok();
    if !has {
        not_run(what, "no IPv6");
    }
    has
}

/// A peer of a comparison is not installed: a failure, unless `DIFFERENTIAL_PEERS=optional`, as `scripts/check` has it for those
/// who may not install it.
pub fn without_peer(name: &str) {
    let optional = std::env::var("DIFFERENTIAL_PEERS").is_ok_and(|value| value == "optional");
    assert!(
        optional,
        "{name} is not installed: scripts/check installs it as root; DIFFERENTIAL_PEERS=optional goes without it"
    );
    not_run(&format!("comparison with {name}"), "not installed");
}
