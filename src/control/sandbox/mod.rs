//! The generation locks itself in: what it has not been handed by now it will never get.
//!
//! Three layers, each of which says honestly whether it is there. [`landlock`] takes every path on the
//! disk away; [`seccomp`] takes system calls away; and because operations through an io_uring ring do
//! not pass seccomp, the rings themselves take polls, cancellations and closes only (`ring`).
//!
//! Credentials, Landlock's domain and seccomp's filters belong to threads and are inherited, so
//! [`Sandbox::enter`] is called while there is one thread. When the workers have their rings,
//! [`Sandbox::close`] takes away what only the start needed, on all threads at once.

mod landlock;
mod seccomp;

#[cfg(debug_assertions)]
use crate::ring::escape;
use crate::ring::{Operations, Rung};

/// What confines this process.
#[derive(Debug)]
pub(super) struct Sandbox {
    wanted: bool,
    in_force: Vec<String>,
    missing: Vec<String>,
}

impl Sandbox {
    /// Takes files and dangerous system calls away, for this thread and those it will start. To be called
    /// once, with one thread, after the last file was opened. What the kernel cannot do is left out and
    /// named by [`Sandbox::missing`].
    pub(super) fn enter(wanted: bool) -> Self {
        let mut sandbox = Self {
            wanted,
            in_force: Vec::new(),
            missing: Vec::new(),
        };
        if wanted {
            // seccomp is last: it would refuse Landlock's own calls.
            sandbox.add("Landlock", unless_left_out("landlock", landlock::enter));
            sandbox.add("seccomp", unless_left_out("seccomp", seccomp::enter));
        }
        sandbox
    }

    /// What the rings are to take.
    pub(super) fn operations(&self) -> Operations {
        match self.wanted && !left_out("ring") {
            true => Operations::Few,
            false => Operations::All,
        }
    }

    /// Once the workers have what they run on: no other ring from here on, on no thread.
    pub(super) fn close(&mut self, rung: Rung, operations: Operations) {
        if !self.wanted {
            return;
        }
        if self.in_force.iter().any(|layer| layer == "seccomp")
            && let Err(why) = seccomp::close()
        {
            self.missing.push(format!("seccomp's last step: {why}"));
        }
        match (rung, operations) {
            (Rung::Epoll, _) => {}
            (_, Operations::Few) => self.in_force.push(
                "restricted rings (operations through a ring do not pass seccomp: it takes polls, \
                 cancellations and closes only)"
                    .to_owned(),
            ),
            (_, Operations::All) => self.missing.push(
                "restricted rings: not by this kernel, and operations through a ring do not pass \
                 seccomp"
                    .to_owned(),
            ),
        }
    }

    /// In a few words: the layers in force, or "off" or "none".
    pub(super) fn words(&self) -> String {
        match (self.wanted, self.in_force.is_empty()) {
            (false, _) => "off (process.sandbox)".to_owned(),
            (true, true) => "none".to_owned(),
            (true, false) => self.in_force.join(", "),
        }
    }

    /// What was wanted and could not be had, a line each.
    pub(super) fn missing(&self) -> &[String] {
        &self.missing
    }

    fn add(&mut self, layer: &str, tried: Result<String, String>) {
        match tried {
            Ok(words) => self.in_force.push(words),
            Err(why) => self.missing.push(format!("{layer}: {why}")),
        }
    }
}

fn unless_left_out(
    layer: &str,
    enter: impl Fn() -> Result<String, String>,
) -> Result<String, String> {
    if left_out(layer) {
        return Err("left out by a test".to_owned());
    }
    enter()
}

/// Whether a test wants to see what holds without this layer. Only in a debug build: a release asks nobody.
fn left_out(layer: &str) -> bool {
    cfg!(debug_assertions)
        && std::env::var("RINGBOLT_TEST_WITHOUT").is_ok_and(|layers| layers.contains(layer))
}

/// Tries what an intruder would try, as `RINGBOLT_TEST_ESCAPE` says, and tells on standard error what came
/// of it. There is no such thing in a release build.
#[cfg(debug_assertions)]
pub(super) fn try_to_escape(workers: &crate::worker::Workers) {
    for way in std::env::var("RINGBOLT_TEST_ESCAPE")
        .unwrap_or_default()
        .split_whitespace()
    {
        match way {
            "ring-open" => workers.escape(),
            way => escape::tell(way, &escape::by(way)),
        }
    }
}
