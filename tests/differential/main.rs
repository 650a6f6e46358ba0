//! Requests on which readers could disagree, through Ringbolt and two other proxies to a recording server.
//!
//! Each vector of `requests.txt` goes through Ringbolt, HAProxy and nginx (limits set equal: 16 KiB of head, 100
//! fields where the program can count them). Ringbolt fails the test where it
//! * forwards what one of the others refuses and `exceptions.txt` gives no reason;
//! * forwards bytes that a second, strict reading refuses, or frames differently than the others did;
//! * does not pass the vector's benign twin, sent afterwards on a connection that was open before.
//!
//! `target/differential.md` then says what everybody answered and what arrived. A peer that is not installed is left
//! out with a note; `DIFFERENTIAL_PEERS=required`, which `scripts/check` sets, makes that a failure.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test program, nothing links to it"
)]

#[path = "../support/mod.rs"]
mod support;

mod corpus;
mod reading;
mod recorder;
mod site;

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use corpus::{Exception, Vector};
use site::{Outcome, Program, Site};

/// How many vectors are under way at once, each through processes of its own.
const LANES: usize = 4;

/// A finding is looked at again with more patience: a loaded machine must not make one.
const QUIET: [Duration; 3] = [
    Duration::from_millis(40),
    Duration::from_millis(300),
    Duration::from_millis(1_000),
];

#[test]
fn nothing_passes_that_a_peer_refuses_and_nothing_is_framed_differently() {
    let vectors = corpus::requests(include_str!("requests.txt"));
    let exceptions = corpus::exceptions(include_str!("exceptions.txt"));
    assert!(vectors.len() >= 300, "only {} vectors", vectors.len());
    let next = AtomicUsize::new(0);
    let trials = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let sites: Vec<Site> = Program::ALL.into_iter().filter_map(Site::start).collect();
                while let Some(vector) = vectors.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let trial = Trial::of(vector, &sites, &exceptions);
                    trials.lock().unwrap().push(trial);
                }
            });
        }
    });
    let mut trials = trials.into_inner().unwrap();
    trials.sort_by_key(|trial| trial.vector.number);
    let report = report(&trials);
    let path = Path::new(env!("CARGO_BIN_EXE_ringbolt"))
        .ancestors()
        .nth(2)
        .unwrap()
        .join("differential.md");
    std::fs::write(&path, report).unwrap();
    let findings: Vec<String> = trials.iter().flat_map(Trial::findings).collect();
    assert!(
        findings.is_empty(),
        "{} findings (all outcomes: {}):\n{}",
        findings.len(),
        path.display(),
        findings.join("\n")
    );
}

/// What became of one vector.
struct Trial<'a> {
    vector: &'a Vector,
    outcomes: Vec<(Program, Outcome)>,
    /// Why the test fails, if it does.
    faults: Vec<String>,
    /// What would be a fault, was there not this reason.
    excused: Vec<&'a Exception>,
}

impl<'a> Trial<'a> {
    fn of(vector: &'a Vector, sites: &[Site], exceptions: &'a [Exception]) -> Self {
        let mut trial = Self::once(vector, sites, exceptions, QUIET[0]);
        for quiet in &QUIET[1..] {
            if trial.faults.is_empty() {
                break;
            }
            trial = Self::once(vector, sites, exceptions, *quiet);
        }
        trial
    }

    fn once(
        vector: &'a Vector,
        sites: &[Site],
        exceptions: &'a [Exception],
        quiet: Duration,
    ) -> Self {
        let mut trial = Self {
            vector,
            outcomes: Vec::new(),
            faults: Vec::new(),
            excused: Vec::new(),
        };
        for site in sites {
            let beside = site.connect();
            let outcome = site.try_out(&vector.bytes, quiet);
            let twin = site.try_on(beside, &vector.twin, quiet);
            if !twin.is_passed() {
                let fault = format!("{} does not pass the twin: {twin}", site.program);
                trial.faults.push(fault);
            }
            trial.outcomes.push((site.program, outcome));
        }
        trial.judge(exceptions);
        trial
    }

    fn judge(&mut self, exceptions: &'a [Exception]) {
        let (ours, peers) = self.outcomes.split_first().unwrap();
        let ours = &ours.1;
        if let Some(why) = &ours.misread {
            self.faults
                .push(format!("a strict reading refuses what arrived: {why}"));
        }
        if !ours.has_arrived() {
            return;
        }
        for (peer, outcome) in peers {
            let what = if outcome.is_refused() {
                format!("forwarded, and {peer} refuses it")
            } else if outcome.misread.is_none() && outcome.framing() != ours.framing() {
                format!("framed differently than by {peer}")
            } else {
                continue;
            };
            let found = exceptions
                .iter()
                .find(|exception| exception.covers(self.vector, *peer));
            match found {
                Some(exception) => self.excused.push(exception),
                None => self.faults.push(what),
            }
        }
    }

    fn findings(&self) -> Vec<String> {
        let outcomes: Vec<String> = self
            .outcomes
            .iter()
            .map(|(program, outcome)| format!("{program} {outcome}"))
            .collect();
        let line =
            |fault: &String| format!("{}: {fault} ({})", self.vector.name, outcomes.join("; "));
        self.faults.iter().map(line).collect()
    }
}

/// The table, with what is stricter in Ringbolt than in both others counted at its head.
fn report(trials: &[Trial<'_>]) -> String {
    let programs: Vec<Program> = trials[0]
        .outcomes
        .iter()
        .map(|(program, _)| *program)
        .collect();
    let stricter = trials.iter().filter(|trial| {
        let (ours, peers) = trial.outcomes.split_first().unwrap();
        ours.1.is_refused() && peers.iter().all(|(_, outcome)| !outcome.is_refused())
    });
    let faults: usize = trials.iter().map(|trial| trial.faults.len()).sum();
    let excused: usize = trials.iter().map(|trial| trial.excused.len()).sum();
    let mut text = format!(
        "# {} requests through {} proxies\n\n{faults} findings, {excused} excused; {} refused by Ringbolt alone.\n\n",
        trials.len(),
        programs.len(),
        stricter.count(),
    );
    text.push_str("Of each: the answer's status, and the bodies' sizes of the requests that arrived whole.\n\n| Vector | What stands there |");
    for program in &programs {
        write!(text, " {program} |").unwrap();
    }
    text.push_str(" Remark |\n|---|---|");
    text.push_str(&"---|".repeat(programs.len() + 1));
    for trial in trials {
        let shown: String = trial.vector.shown.chars().take(60).collect();
        let shown = shown.replace('|', "\\|").replace('`', "'");
        write!(text, "\n| {} | `{shown}` |", trial.vector.name).unwrap();
        for (_, outcome) in &trial.outcomes {
            write!(text, " {outcome} |").unwrap();
        }
        let reasons = trial
            .excused
            .iter()
            .map(|exception| exception.reason.clone());
        let remarks: Vec<String> = trial.faults.iter().cloned().chain(reasons).collect();
        write!(text, " {} |", remarks.join("; ")).unwrap();
    }
    text.push('\n');
    text
}
