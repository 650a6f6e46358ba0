//! Units done, and how long each took.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Counts of one run, shared by its tasks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(Rc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: Cell<Option<Instant>>,
    units: Cell<u64>,
    errors: Cell<u64>,
    latencies: RefCell<Histogram>,
}

impl Tally {
    /// A unit is done that took this long.
    pub(crate) fn unit(&self, took: Duration) {
        self.0.units.set(self.0.units.get() + 1);
        self.0.latencies.borrow_mut().add(took);
    }

    /// A connection ended, or an answer was not what it had to be.
    pub(crate) fn error(&self, what: &dyn std::fmt::Display) {
        if self.0.errors.get() == 0 {
            eprintln!("load: {what}");
        }
        self.0.errors.set(self.0.errors.get() + 1);
    }

    /// The measured time begins. Errors stay: a connection lost while warming up is missing later.
    pub(crate) fn restart(&self) {
        self.0.units.set(0);
        self.0.latencies.take();
        self.0.begun.set(Some(Instant::now()));
    }

    /// What was counted since then.
    pub(crate) fn report(&self) -> serde_json::Value {
        let seconds = self
            .0
            .begun
            .get()
            .map_or(0.0, |begun| begun.elapsed().as_secs_f64());
        let latencies = self.0.latencies.borrow();
        serde_json::json!({
            "units": self.0.units.get(),
            "errors": self.0.errors.get(),
            "seconds": seconds,
            "p50_us": latencies.quantile(0.50),
            "p99_us": latencies.quantile(0.99),
        })
    }
}

/// Latencies in buckets that are at most 1/32 wide of their value: 32 per power of two of microseconds.
#[derive(Debug, Default)]
struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

/// Buckets per power of two.
const STEPS: u64 = 32;

impl Histogram {
    fn add(&mut self, took: Duration) {
        let bucket = bucket(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        if bucket >= self.buckets.len() {
            self.buckets.resize(bucket + 1, 0);
        }
        self.buckets[bucket] += 1;
        self.count += 1;
    }

    /// The lower edge, in microseconds, of the bucket where that share of all values is reached.
    fn quantile(&self, share: f64) -> u64 {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return edge(bucket as u64);
            }
        }
        0
    }
}

/// Values below [`STEPS`] have a bucket each; above, the five bits after the leading one choose it.
fn bucket(micros: u64) -> usize {
    let shift = u64::from(micros.max(1).ilog2()).saturating_sub(5);
    usize::try_from(shift * STEPS + (micros >> shift)).unwrap_or(usize::MAX)
}

/// The least value of a bucket.
fn edge(bucket: u64) -> u64 {
    let shift = (bucket / STEPS).saturating_sub(1);
    (bucket - shift * STEPS) << shift
}
