//! Units done, and how long each took.

use hdrhistogram::Histogram;
use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Counts of one run, shared by its tasks.
#[derive(Debug, Clone)]
pub struct Tally(Rc<Counts>);

#[derive(Debug)]
struct Counts {
    begun: Cell<Instant>,
    units: Cell<u64>,
    resting: Cell<u64>,
    bytes: Cell<u64>,
    errors: Cell<u64>,
    latencies: RefCell<Histogram<u64>>,
}

/// What was counted, as people and scripts are told.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Report {
    /// Units done in the measured time.
    pub units: u64,
    /// Bytes of payload that came back.
    pub bytes: u64,
    /// What went wrong, from the first connection on.
    pub errors: u64,
    /// The measured time.
    pub seconds: f64,
    /// Latencies in microseconds.
    pub p50_us: f64,
    /// Nine of ten were faster.
    pub p90_us: f64,
    /// 99 of 100.
    pub p99_us: f64,
    /// 999 of 1,000.
    pub p99_9_us: f64,
    /// 9,999 of 10,000.
    pub p99_99_us: f64,
    /// The slowest.
    pub max_us: f64,
}

impl Default for Tally {
    fn default() -> Self {
        Self(Rc::new(Counts {
            begun: Cell::new(Instant::now()),
            units: Cell::new(0),
            resting: Cell::new(0),
            bytes: Cell::new(0),
            errors: Cell::new(0),
            latencies: RefCell::new(histogram()),
        }))
    }
}

/// 100 ns to a minute, in steps of a hundredth at most.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(100, 60_000_000_000, 2).expect("constant bounds that fit")
}

impl Tally {
    /// A unit is done that took this long and brought so many bytes.
    pub fn unit(&self, took: Duration, bytes: u64) {
        self.0.units.set(self.0.units.get() + 1);
        self.0.bytes.set(self.0.bytes.get() + bytes);
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.latencies.borrow_mut().saturating_record(nanos);
    }

    /// A connection ended, or an answer was not what it had to be. The first one is printed.
    pub fn error(&self, what: &dyn Display) {
        if self.0.errors.get() == 0 {
            errln!("bench: {what}");
        }
        self.0.errors.set(self.0.errors.get() + 1);
    }

    /// So many tunnels carry nothing: they are what is counted.
    pub fn rests(&self, tunnels: u64) {
        self.0.resting.set(tunnels);
    }

    /// The measured time begins. Errors stay: a connection lost while warming up is missing later.
    pub fn restart(&self) {
        self.0.units.set(0);
        self.0.bytes.set(0);
        self.0.latencies.borrow_mut().reset();
        self.0.begun.set(Instant::now());
    }

    /// What was counted since then.
    pub fn report(&self) -> Report {
        let latencies = self.0.latencies.borrow();
        let at = |share: f64| latencies.value_at_quantile(share) as f64 / 1_000.0;
        Report {
            units: self.0.units.get() + self.0.resting.get(),
            bytes: self.0.bytes.get(),
            errors: self.0.errors.get(),
            seconds: self.0.begun.get().elapsed().as_secs_f64(),
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p99_9_us: at(0.999),
            p99_99_us: at(0.999_9),
            max_us: if latencies.is_empty() {
                0.0
            } else {
                latencies.max() as f64 / 1_000.0
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_a_hundredth() {
        let tally = Tally::default();
        for micros in 1..=1_000 {
            tally.unit(Duration::from_micros(micros), 2);
        }
        let report = tally.report();
        assert_eq!(
            (report.units, report.bytes, report.errors),
            (1_000, 2_000, 0)
        );
        for (found, right) in [
            (report.p50_us, 500.0),
            (report.p99_us, 990.0),
            (report.max_us, 1_000.0),
        ] {
            assert!((found / right - 1.0).abs() < 0.011, "{found} for {right}");
        }
        tally.restart();
        assert_eq!(tally.report().units, 0);
    }
}
