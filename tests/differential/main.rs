//! Messages on which readers could disagree, through Ringbolt (on io_uring and on epoll) and two other proxies.
//!
//! Each vector of `requests.txt` goes through Ringbolt, HAProxy and nginx to a recording server; each of
//! `responses.txt` is given to them by a server for a recording client. Ringbolt fails the test where it
//! * forwards what one of the others refuses, and the list of exceptions gives no reason;
//! * forwards bytes that a second, strict reading refuses, or frames differently than the others did;
//! * does not pass the benign twin that the vector names;
//! * answers another request, on the same connection or beside it, with what a vector left behind;
//! * makes something else of a message that comes in pieces.
//!
//! `target/differential/requests.md` and `responses.md` then say what everybody answered and what arrived, the
//! differences first. A peer that is not installed is a failure; with `DIFFERENTIAL_PEERS=optional`, which
//! `scripts/check` sets for those who may install none, it is left out, and named in the last line.

#![allow(
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test program, nothing links to it"
)]

#[macro_use]
#[path = "../support/mod.rs"]
mod support;

mod client;
mod corpus;
mod delivery;
mod origin;
mod outcome;
mod pieces;
mod reading;
mod recorder;
mod report;
mod requests;
mod responses;
mod site;
mod splits;
mod trial;

use std::path::Path;
use std::sync::Arc;

use corpus::Exception;
use origin::Origin;
use requests::Requests;
use responses::Responses;
use site::Program;
use trial::Trial;

const REQUESTS: &str = include_str!("requests.txt");
const RESPONSES: &str = include_str!("responses.txt");

#[test]
fn no_request_passes_that_a_peer_refuses_and_none_is_framed_differently() {
    let vectors = corpus::vectors(REQUESTS);
    let exceptions = corpus::exceptions(include_str!("requests-exceptions.txt"));
    assert!(vectors.len() >= 300, "only {} vectors", vectors.len());
    let start = || {
        Program::ALL
            .into_iter()
            .filter_map(Requests::through)
            .collect()
    };
    let trials = trial::all(&vectors, &exceptions, start);
    let columns = "Of each: the answer's status, and method and body's size of every request that arrived whole.";
    let report = report::write("requests", columns, &trials);
    verdict(&trials, &exceptions, &report);
}

#[test]
fn no_answer_passes_that_a_peer_refuses_and_none_is_left_for_another_request() {
    let vectors = Arc::new(corpus::vectors(RESPONSES));
    let exceptions = corpus::exceptions(include_str!("responses-exceptions.txt"));
    let origin = Origin::start(&vectors).address();
    let start = || {
        let through = |program| Responses::through(program, &origin);
        Program::ALL.into_iter().filter_map(through).collect()
    };
    let trials = trial::all(&vectors, &exceptions, start);
    let columns =
        "Of each: the statuses that the client got, and the size of the body where it was whole.";
    let report = report::write("responses", columns, &trials);
    verdict(&trials, &exceptions, &report);
}

fn verdict(trials: &[Trial<'_>], exceptions: &[Exception], report: &Path) {
    let findings: Vec<String> = trials.iter().flat_map(Trial::findings).collect();
    assert!(
        findings.is_empty(),
        "{} findings (all outcomes: {}):\n{}",
        findings.len(),
        report.display(),
        findings.join("\n")
    );
    let all_there = trials[0].outcomes.len() == Program::ALL.len();
    for exception in exceptions.iter().filter(|_| all_there) {
        let used = |trial: &Trial<'_>| {
            let mut excused = trial.excused.iter();
            excused.any(|other| std::ptr::eq(*other, exception))
        };
        assert!(
            trials.iter().any(used),
            "{exception} excuses nothing: take it out"
        );
    }
}
