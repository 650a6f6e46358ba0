//! How many retries a pool may make, so that they cannot multiply an outage.
//!
//! A pool earns a share of a retry with every request that it is given, and `minimum` retries in ten seconds whatever
//! its traffic; each retry spends one. What it has not spent it saves, up to `minimum`: a failure after quiet hours
//! finds no more credit than that. So in any time the servers see at most (1 + share) attempts for each request, and
//! `minimum` for every ten seconds begun, and `minimum` more. (Linkerd's and Envoy's retry budgets are the models: the
//! former's share and least rate, without its timers.)
//!
//! Nothing of it is on the path of a request: the pool counts its requests anyway, and what they earned is reckoned when
//! somebody wants to retry.

use crate::config::RetryBudget;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The credit of one pool. Shared by all workers; written at retries only.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Budget {
    /// In parts of a retry, see [`ONE`].
    credit: AtomicU64,
    /// Requests whose share is in the credit.
    reckoned: AtomicU64,
    /// Milliseconds up to which the minimum is in the credit; 0 before the first retry.
    filled_ms: AtomicU64,
    /// Sessions that the pool counted for retries: no requests.
    moved: AtomicU64,
    refused: AtomicU64,
}

impl Budget {
    /// Takes one retry out of the budget, if it has one left. `sessions` is how many the pool has counted since the
    /// start, `now_ms` milliseconds of the monotonic clock: one that could be set back would earn nothing until it is there
    /// again.
    pub(super) fn spend(&self, budget: &RetryBudget, sessions: u64, now_ms: u64) -> bool {
        let earned = self.requests(budget, sessions) + self.minimum(budget, now_ms);
        let most = u64::from(budget.minimum.max(1)) * ONE;
        let spent = self.credit.fetch_update(Relaxed, Relaxed, |credit| {
            let credit = credit.saturating_add(earned).min(most);
            Some(credit.checked_sub(ONE).unwrap_or(credit))
        });
        // What there was before, as it was reckoned above.
        let had = spent.unwrap_or_default().saturating_add(earned).min(most);
        let granted = had >= ONE;
        if !granted {
            self.refused.fetch_add(1, Relaxed);
        }
        granted
    }

    /// A retry was counted as one of the pool's sessions.
    pub(super) fn moved(&self) {
        self.moved.fetch_add(1, Relaxed);
    }

    /// Retries that it refused.
    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// What the requests since the last time earned.
    fn requests(&self, budget: &RetryBudget, sessions: u64) -> u64 {
        let requests = sessions.saturating_sub(self.moved.load(Relaxed));
        // Two workers may come in the wrong order, and a session is counted a moment before it is known to be a retry:
        // the mark never goes back, so that no request earns twice.
        let before = self.reckoned.fetch_max(requests, Relaxed);
        requests.saturating_sub(before) * u64::from(budget.thousandths) * (ONE / 1000)
    }

    /// What the time since the last time earned; at first, all that may be saved.
    fn minimum(&self, budget: &RetryBudget, now_ms: u64) -> u64 {
        let before = self.filled_ms.fetch_max(now_ms, Relaxed);
        let passed = match before {
            0 => SPAN_MS,
            before => now_ms.saturating_sub(before).min(SPAN_MS),
        };
        u64::from(budget.minimum) * passed * (ONE / SPAN_MS)
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self {
            credit: AtomicU64::new(0),
            reckoned: AtomicU64::new(0),
            filled_ms: AtomicU64::new(0),
            moved: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }
}

/// One retry, in parts fine enough that a share in thousandths and a millisecond of the minimum are whole numbers.
const ONE: u64 = 10_000;
/// The time that `minimum` is for.
const SPAN_MS: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// At `ms`, after so many requests of the pool in all, so many retries are wanted: how many are granted.
    #[test]
    fn requests_and_time_earn_retries() {
        type Step = (u64, u64, usize, usize);
        #[rustfmt::skip]
        let table: [(u32, u32, &[Step]); 7] = [
            // The minimum is there at once, and no more.
            (0, 3, &[(1_000, 1_000, 9, 3), (1_000, 2_000, 9, 0)]),
            // It comes back with time, whatever the traffic.
            (0, 3, &[(1_000, 1, 9, 3), (2_000, 2, 9, 0), (11_000, 3, 9, 3), (50_000, 3, 9, 3)]),
            // A fifth of the requests.
            (200, 10, &[(1_000, 10, 20, 10), (1_000, 40, 20, 6), (1_000, 41, 9, 0), (1_000, 45, 9, 1)]),
            // Quiet hours save no more than the minimum.
            (200, 10, &[(1_000, 0, 99, 10), (9_999_000, 1_000_000, 99, 10)]),
            // No budget at all, and no minimum.
            (0, 0, &[(1_000, 1_000, 9, 0), (60_000, 9_000, 9, 0)]),
            (1000, 0, &[(1_000, 1, 9, 1), (1_000, 2, 9, 1), (1_000, 9, 9, 1)]),
            // Workers that come in the wrong order earn nothing, and break nothing.
            (0, 2, &[(90_000, 1, 9, 2), (1_000, 1, 9, 0), (95_000, 1, 9, 1)]),
        ];
        for (thousandths, minimum, steps) in table {
            let budget = Budget::default();
            let settings = RetryBudget {
                thousandths,
                minimum,
            };
            for &(ms, requests, wanted, granted) in steps {
                let got = (0..wanted)
                    .filter(|_| budget.spend(&settings, requests, 1_000_000 + ms))
                    .count();
                assert_eq!(got, granted, "{thousandths} {minimum} at {ms}: {requests}");
            }
        }
    }

    /// The monotonic clock counts from the machine's start.
    #[test]
    fn all_of_the_minimum_is_there_when_the_machine_has_just_started() {
        let (budget, settings) = (
            Budget::default(),
            RetryBudget {
                thousandths: 0,
                minimum: 5,
            },
        );
        let granted = (0..9).filter(|_| budget.spend(&settings, 0, 7)).count();
        assert_eq!(granted, 5);
    }

    #[test]
    fn a_retry_is_no_request_and_refusals_are_counted() {
        let budget = Budget::default();
        let settings = RetryBudget {
            thousandths: 1000,
            minimum: 0,
        };
        let mut sessions = 1;
        let mut granted = 0;
        for _ in 0..50 {
            if budget.spend(&settings, sessions, 1_000_000) {
                granted += 1;
                sessions += 1;
                budget.moved();
            }
        }
        assert_eq!((granted, budget.refused()), (1, 49));
    }

    proptest! {
        /// Whatever comes in whatever order: no more retries than the settings promise.
        #[test]
        fn the_promise_holds(
            thousandths in 0u32..=1000,
            minimum in 0u32..50,
            steps in prop::collection::vec((0u64..3_000, 0u64..20, 0usize..30), 1..60),
        ) {
            let (budget, settings) = (Budget::default(), RetryBudget { thousandths, minimum });
            let (begin, mut now, mut requests, mut granted) = (5_000_000, 5_000_000, 0, 0u64);
            for (passed, more, wanted) in steps {
                now += passed;
                requests += more;
                granted += (0..wanted).filter(|_| budget.spend(&settings, requests, now)).count() as u64;
            }
            let most = requests * u64::from(thousandths) / 1000
                + u64::from(minimum) * ((now - begin) / 10_000 + 2);
            prop_assert!(granted <= most, "{} of {}", granted, most);
        }
    }
}
