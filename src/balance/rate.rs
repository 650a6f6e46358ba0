//! Token buckets: so many in a second, so many at once after a quiet time, over all workers.
//!
//! A bucket is one number, the moment at which it will be full again (the generic cell rate algorithm, ITU-T I.371
//! annex A). A token moves that moment one interval on; when it lies more than a burst ahead there is no token. So there is
//! no refilling, a bucket that nobody uses costs nothing, and a compare-and-swap makes it exact over all workers.
//!
//! Whoever is refused is told when to come again, and they must not all come at once. So refusals have a second number, the
//! last return that was promised: each refused client is promised the next free place behind it, one
//! interval apart, as if it stood in a queue. Twenty thousand clients at a rate of a thousand a second are told one to twenty
//! seconds, and nearly all of them find a token when they do as they are told.
//!
//! Moments are given as milliseconds of a clock that only goes forward, random numbers as values.

use crate::config::{Growth, Ramp, Rate};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// A rate as a bucket counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Nanoseconds from one token to the next.
    interval: u64,
    /// Nanoseconds by which an empty bucket may be ahead: all tokens of the burst but one.
    depth: u64,
}

/// A token bucket; full when it is new.
#[derive(Debug, Default)]
pub struct Bucket {
    /// When it will be full again, in nanoseconds.
    full: AtomicU64,
    /// The last return that was promised.
    promised: AtomicU64,
}

impl Limit {
    /// Of a setting.
    pub fn new(rate: Rate) -> Self {
        // Rounded up, so that no second has a token too many.
        let interval = SECOND.div_ceil(u64::from(rate.per_second.max(1)));
        Self {
            interval,
            depth: interval * u64::from(rate.burst.max(1) - 1),
        }
    }

    /// A rate with the burst that a rate has by default.
    fn plain(per_second: u32) -> Self {
        let burst = (per_second / 10).max(1);
        Self::new(Rate { per_second, burst })
    }

    /// Of a ramp, so long after the start; `None` when it is over.
    pub fn of_ramp(ramp: &Ramp, since: Duration) -> Option<Self> {
        let Ramp { over, from, to } = *ramp;
        let growth = Growth { from, to };
        (since < over).then(|| Self::plain(between(growth, since.as_millis(), over.as_millis())))
    }

    /// Of a slow start, at so many sixteenths of it (0 to 15).
    pub(super) fn of_growth(growth: Growth, sixteenths: u8) -> Self {
        Self::plain(between(growth, u128::from(sixteenths.max(1) - 1), 14))
    }
}

/// The rate at this part of the way.
fn between(growth: Growth, part: u128, whole: u128) -> u32 {
    let Growth { from, to } = growth;
    let grown = u128::from(to.saturating_sub(from)) * part.min(whole) / whole.max(1);
    from + grown as u32
}

impl Bucket {
    /// Takes a token, if there is one.
    pub fn take(&self, limit: Limit, now_ms: u64) -> bool {
        let now = now_ms.saturating_mul(MILLISECOND);
        let mut full = self.full.load(Relaxed);
        for _ in 0..TRIES {
            if full > now.saturating_add(limit.depth) {
                self.forget(limit, now, full);
                return false;
            }
            let next = full.max(now).saturating_add(limit.interval);
            match self.full.compare_exchange(full, next, Relaxed, Relaxed) {
                Ok(_) => return true,
                Err(other) => full = other,
            }
        }
        false
    }

    /// Whether there is a token now.
    pub fn has(&self, limit: Limit, now_ms: u64) -> bool {
        let now = now_ms.saturating_mul(MILLISECOND);
        let full = self.full.load(Relaxed);
        full <= now.saturating_add(limit.depth) || self.forget(limit, now, full)
    }

    /// How long until there is a token, if nobody else takes it.
    pub(super) fn token_in(&self, limit: Limit, now_ms: u64) -> Duration {
        let now = now_ms.saturating_mul(MILLISECOND);
        let token = self.full.load(Relaxed).saturating_sub(limit.depth);
        Duration::from_nanos(token.saturating_sub(now))
    }

    /// Puts back a token that was not used.
    pub fn give_back(&self, limit: Limit) {
        let less = |full: u64| Some(full.saturating_sub(limit.interval));
        let _ = self.full.fetch_update(Relaxed, Relaxed, less);
    }

    /// Seconds after which a client that was refused should come again, at least 1: the next place behind all that were
    /// promised before, and up to a second more by chance. When that is too far away, any of the later seconds.
    pub fn promise(&self, limit: Limit, now_ms: u64, random: u64) -> u32 {
        let now = now_ms.saturating_mul(MILLISECOND);
        let token = self.full.load(Relaxed).saturating_sub(limit.depth);
        let mut last = self.promised.load(Relaxed);
        for _ in 0..TRIES {
            let next = last.max(token).max(now).saturating_add(limit.interval);
            if next - now > FURTHEST - SECOND {
                break;
            }
            let promised = &self.promised;
            match promised.compare_exchange(last, next, Relaxed, Relaxed) {
                Ok(_) => return seconds(next - now, random % SECOND),
                Err(other) => last = other,
            }
        }
        seconds(FURTHEST / 2, random % (FURTHEST / 2))
    }

    /// A bucket cannot be further behind than empty. If it is, its rate was lower a moment ago: what is beyond counts no
    /// more. Not what is within [`SLACK`], for another worker's moment may be ahead of this one's. Never says yes.
    fn forget(&self, limit: Limit, now: u64, full: u64) -> bool {
        let empty = now.saturating_add(limit.depth + limit.interval);
        if full > empty.saturating_add(SLACK) {
            let _ = self.full.compare_exchange(full, empty, Relaxed, Relaxed);
        }
        false
    }
}

/// Whole seconds, at least 1, for somebody who should wait so many nanoseconds and so many more by chance.
pub(super) fn seconds(wait: u64, chance: u64) -> u32 {
    let seconds = wait.saturating_add(chance).div_ceil(SECOND);
    u32::try_from(seconds).unwrap_or(u32::MAX).max(1)
}

/// Nanoseconds.
pub(super) const SECOND: u64 = 1_000_000_000;
const MILLISECOND: u64 = 1_000_000;

/// Attempts to change a bucket that others change meanwhile: each that fails is another's success. Whoever has none is
/// refused.
pub(super) const TRIES: usize = 64;

/// So far apart the moments of two workers never are, however long one of them was not running.
const SLACK: u64 = 10 * SECOND;

/// Nobody is told to come again later than in a minute, however many wait.
const FURTHEST: u64 = 60 * SECOND;

/// Seconds after which a client that a queue has turned away should come again: from 1 on, over twice the time that
/// anybody waits there (`None`: for ever) and a minute at most, so that they come while places become free and not together.
pub fn after_queue(patience_ms: Option<u64>, random: u64) -> u32 {
    let most = FURTHEST / SECOND;
    let span = patience_ms.map_or(most, |patience| {
        patience.saturating_mul(2).div_ceil(1_000).clamp(1, most)
    });
    1 + u32::try_from(random % span).unwrap_or_default()
}

#[cfg(test)]
mod tests;
