//! Splitting changes nothing: a sample of the vectors in pieces, one by one and in two at each offset.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::corpus::{self, Vector};
use super::delivery::Delivery;
use super::origin::Origin;
use super::outcome::Outcome;
use super::requests::Requests;
use super::responses::Responses;
use super::site::Program;
use super::support::{self, Driver};
use super::{REQUESTS, RESPONSES};

on_both_drivers![requests_in_pieces, answers_in_pieces];

fn requests_in_pieces(on: Driver) {
    let vectors = sample(corpus::vectors(REQUESTS));
    let start = || Requests::through(Program::Ringbolt(on)).unwrap();
    compare(&vectors, start, |requests, vector, delivery, quiet| {
        requests.send(&vector.script, delivery, quiet)
    });
}

fn answers_in_pieces(on: Driver) {
    let vectors = Arc::new(corpus::vectors(RESPONSES));
    let origin = Origin::start(&vectors).address();
    let start = || Responses::through(Program::Ringbolt(on), &origin).unwrap();
    let vectors = sample(corpus::vectors(RESPONSES));
    compare(&vectors, start, |responses, vector, delivery, quiet| {
        responses.ask(vector, "vector", delivery, quiet)
    });
}

/// The first of each group and every so many behind it. Vectors with pauses of their own are in pieces already.
fn sample(vectors: Vec<Vector>) -> Vec<Vector> {
    let mut last = (String::new(), 0);
    let taken = vectors.into_iter().filter(|vector| {
        let number = if vector.group() == last.0 {
            last.1 + 1
        } else {
            0
        };
        last = (vector.group().to_owned(), number);
        number % EVERY == 0 && vector.script.parts.len() == 1
    });
    taken.collect()
}

/// Whether each vector in pieces is like itself sent whole.
fn compare<S>(
    vectors: &[Vector],
    start: impl Fn() -> S + Sync,
    try_out: impl Fn(&S, &Vector, Delivery, Duration) -> Outcome + Sync,
) {
    let whole = Mutex::new(Vec::new());
    each(vectors, &start, |site, vector| {
        let outcome = try_out(site, vector, Delivery::Whole, QUIET[1]);
        // What leaves everybody waiting says nothing sooner in pieces.
        if outcome.status.is_some() {
            whole.lock().unwrap().push((vector, outcome));
        }
    });
    let whole = whole.into_inner().unwrap();
    assert!(
        whole.len() * 4 > vectors.len() * 3,
        "{} of {}",
        whole.len(),
        vectors.len()
    );
    let mut trials = Vec::new();
    for (vector, outcome) in &whole {
        let ways = Delivery::ways(&vector.script.bytes());
        trials.extend(ways.into_iter().map(|way| (*vector, outcome, way)));
    }
    let findings = Mutex::new(Vec::new());
    each(&trials, &start, |site, (vector, expected, way)| {
        let mut outcome = try_out(site, vector, *way, QUIET[0]);
        for quiet in &QUIET[1..] {
            if outcome.is_like(expected) && outcome.faults.is_empty() {
                return;
            }
            outcome = try_out(site, vector, *way, *quiet);
        }
        if !outcome.is_like(expected) || !outcome.faults.is_empty() {
            let finding = format!(
                "{} in pieces ({way}): {outcome} {:?}, whole: {expected}",
                vector.name, outcome.faults
            );
            findings.lock().unwrap().push(finding);
        }
    });
    let findings = findings.into_inner().unwrap();
    assert!(
        findings.is_empty(),
        "{} of {} trials:\n{}",
        findings.len(),
        trials.len(),
        findings.join("\n")
    );
}

/// Goes through the items on lanes of their own.
fn each<'i, I: Sync, S>(
    items: &'i [I],
    start: impl Fn() -> S + Sync,
    act: impl Fn(&S, &'i I) + Sync,
) {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let site = start();
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    act(&site, item);
                }
            });
        }
    });
}

/// One vector of so many in a group.
const EVERY: usize = 8;

const LANES: usize = 4;

/// A finding is looked at again with more patience.
const QUIET: [Duration; 3] = [
    Duration::from_millis(20),
    Duration::from_millis(100),
    Duration::from_millis(1_000),
];
