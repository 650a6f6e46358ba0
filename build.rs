//! What `ringbolt --version` says of the build: commit, date, target, and how it was built.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=SOURCE_DATE_EPOCH");
    println!("cargo::rerun-if-env-changed=RINGBOLT_COMMIT");
    // Only a repository of our own: a tarball may lie inside of another one.
    let here = Path::new(".git").exists();
    if here {
        for name in ["HEAD", "logs/HEAD"] {
            if let Some(path) = git(&["rev-parse", "--git-path", name]) {
                println!("cargo::rerun-if-changed={path}");
            }
        }
    }
    let ours = |words: &[&str]| here.then(|| git(words)).flatten();
    let commit = std::env::var("RINGBOLT_COMMIT").ok();
    let commit = commit.or_else(|| ours(&["rev-parse", "--short=12", "HEAD"]));
    // The date of the source, not of the build: the same source gives the same program (reproducible-builds.org).
    let epoch = std::env::var("SOURCE_DATE_EPOCH").ok();
    let epoch = epoch.or_else(|| ours(&["log", "-1", "--format=%ct"]));
    let date = epoch.and_then(|seconds| seconds.parse().ok()).map(day);
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let features = match variable("PROFILE").as_str() {
        "debug" => "debug assertions, io_uring, epoll, seccomp, Landlock",
        _ => "io_uring, epoll, seccomp, Landlock",
    };
    for (name, value) in [
        (
            "RINGBOLT_COMMIT",
            commit.unwrap_or_else(|| "unknown".to_owned()),
        ),
        (
            "RINGBOLT_DATE",
            date.unwrap_or_else(|| "date unknown".to_owned()),
        ),
        ("RINGBOLT_TARGET", variable("TARGET")),
        ("RINGBOLT_FEATURES", features.to_owned()),
    ] {
        println!("cargo::rustc-env={name}={value}");
    }
}

fn git(words: &[&str]) -> Option<String> {
    let output = Command::new("git").args(words).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// `2026-12-01` of seconds since 1970 (the civil calendar, by days from 1 March of year 0).
fn day(seconds: u64) -> String {
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, more) = if month < 10 {
        (month + 3, 0)
    } else {
        (month - 9, 1)
    };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year + more)
}
