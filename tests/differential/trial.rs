//! A vector through every proxy, and the verdict.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::corpus::{Exception, Vector};
use super::outcome::Outcome;
use super::site::Program;

/// A proxy with all that a vector needs around it.
pub trait Way: Sync + Send {
    fn program(&self) -> Program;
    fn try_out(&self, vector: &Vector, quiet: Duration) -> Tried;
}

pub struct Tried {
    pub outcome: Outcome,
    pub twin: Outcome,
}

/// What became of one vector.
pub struct Trial<'a> {
    pub vector: &'a Vector,
    pub outcomes: Vec<(Program, Outcome)>,
    /// Why the test fails, if it does.
    pub faults: Vec<String>,
    /// What would be a fault, was there not this reason.
    pub excused: Vec<&'a Exception>,
}

/// A finding is looked at again with more patience: a loaded machine must not make one.
const QUIET: [Duration; 3] = [
    Duration::from_millis(40),
    Duration::from_millis(300),
    Duration::from_millis(1_000),
];

/// How many vectors are under way at once, each through processes of its own.
const LANES: usize = 4;

/// Tries all vectors; `start` makes the proxies of a lane.
pub fn all<'a, W: Way>(
    vectors: &'a [Vector],
    exceptions: &'a [Exception],
    start: impl Fn() -> Vec<W> + Sync,
) -> Vec<Trial<'a>> {
    let next = AtomicUsize::new(0);
    let trials = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let ways = start();
                while let Some(vector) = vectors.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let trial = Trial::of(vector, &ways, exceptions);
                    trials.lock().unwrap().push(trial);
                }
            });
        }
    });
    let mut trials = trials.into_inner().unwrap();
    trials.sort_by_key(|trial| trial.vector.number);
    trials
}

impl<'a> Trial<'a> {
    fn of(vector: &'a Vector, ways: &[impl Way], exceptions: &'a [Exception]) -> Self {
        let mut trial = Self::once(vector, ways, exceptions, QUIET[0]);
        for quiet in &QUIET[1..] {
            if trial.faults.is_empty() {
                break;
            }
            trial = Self::once(vector, ways, exceptions, *quiet);
        }
        trial
    }

    fn once(
        vector: &'a Vector,
        ways: &[impl Way],
        exceptions: &'a [Exception],
        quiet: Duration,
    ) -> Self {
        let mut trial = Self {
            vector,
            outcomes: Vec::new(),
            faults: Vec::new(),
            excused: Vec::new(),
        };
        let tried: Vec<Tried> = std::thread::scope(|scope| {
            let tries: Vec<_> = ways
                .iter()
                .map(|way| scope.spawn(|| way.try_out(vector, quiet)))
                .collect();
            tries
                .into_iter()
                .map(|tried| tried.join().unwrap())
                .collect()
        });
        for (way, tried) in ways.iter().zip(tried) {
            let (program, twin) = (way.program(), tried.twin);
            let good = if program.is_ours() {
                twin.is_passed()
            } else {
                twin.has_arrived() && !twin.refused
            };
            if !good {
                let why = twin.misread.iter().chain(&twin.faults);
                let why: Vec<&str> = why.map(String::as_str).collect();
                trial.faults.push(format!(
                    "{program} does not pass the twin {}: {twin} {}",
                    vector.twin_name,
                    why.join(", ")
                ));
            }
            trial.outcomes.push((program, tried.outcome));
        }
        trial.judge(exceptions);
        trial
    }

    fn judge(&mut self, exceptions: &'a [Exception]) {
        let (ours, peers): (Vec<_>, Vec<_>) = self
            .outcomes
            .iter()
            .partition(|(program, _)| program.is_ours());
        for (program, outcome) in &ours {
            if let Some(why) = &outcome.misread {
                let what = format!("{program}: a strict reading refuses what arrived: {why}");
                self.faults.push(what);
            }
            let faults = outcome.faults.iter();
            self.faults
                .extend(faults.map(|fault| format!("{program}: {fault}")));
            if !outcome.is_like(&ours[0].1) {
                self.faults
                    .push(format!("the drivers differ: {} and {outcome}", ours[0].1));
            }
        }
        let ours = &ours[0].1;
        if !ours.has_arrived() {
            return;
        }
        for (peer, outcome) in peers {
            let what = if outcome.refused {
                format!("forwarded, and {peer} refuses it")
            } else if outcome.misread.is_none() && outcome.arrived != ours.arrived {
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

    pub fn findings(&self) -> Vec<String> {
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
