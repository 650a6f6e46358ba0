//! Token buckets: so many in a second, so many at once after a quiet time, over all workers.
//!
//! A bucket is one number, the moment at which it will be full again (the generic cell rate algorithm, ITU-T I.371
//! annex A). A token moves that moment one interval on; when it lies more than a burst ahead there is no token. So there is
//! no refilling, a bucket that nobody uses costs nothing, and a compare-and-swap makes it exact over all workers.
//!
//! A refused client is promised a place in line: a second number is the last place that was promised, and each refused
//! client gets the next one behind it. Three things make the promise good, without recognising any client:
//!
//! * **Places take five ninths of the rate.** The rest stays for new clients and for those that return early. Even when new
//!   clients come at half the rate, all together are a twentieth too many, not half.
//! * **Whole seconds.** `Retry-After` sends all clients that were refused at one moment back at one moment, when the bucket
//!   has only its burst. So while promised clients return, a token may be taken up to [`AHEAD`] before it is there, and
//!   the handshake is held until then. What is let in stays exactly within rate and burst.
//! * **Late clients.** Tokens can be taken ahead for half the length of the line after its end too, for clients that
//!   add jitter of up to half of what they were told.
//!
//! Twenty thousand clients at once at a rate of a thousand a second are told one to thirty-six seconds.
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
    /// The last place that was promised, in nanoseconds; 0 before the first.
    promised: AtomicU64,
    /// When the first client of the line can be back.
    due: AtomicU64,
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
        self.take_within(limit, now, 0).is_some()
    }

    /// Takes a token that is there or, while promised clients return, one that will be within a second: then what it was
    /// taken for is to be held that long.
    pub fn take_ahead(&self, limit: Limit, now_ms: u64) -> Option<Duration> {
        let now = now_ms.saturating_mul(MILLISECOND);
        let token = self.take_within(limit, now, 0);
        let ahead = || self.take_within(limit, now, AHEAD);
        token.or_else(|| self.is_due(now).then(ahead)?)
    }

    /// Takes a token that is there in so many nanoseconds at most, and returns how long that is.
    fn take_within(&self, limit: Limit, now: u64, ahead: u64) -> Option<Duration> {
        let there = now.saturating_add(limit.depth);
        let mut full = self.full.load(Relaxed);
        for _ in 0..TRIES {
            if full > there.saturating_add(ahead) {
                self.forget(limit, now, full);
                return None;
            }
            let next = full.max(now).saturating_add(limit.interval);
            match self.full.compare_exchange(full, next, Relaxed, Relaxed) {
                Ok(_) => return Some(Duration::from_nanos(full.saturating_sub(there))),
                Err(other) => full = other,
            }
        }
        None
    }

    /// Whether clients that were promised a place return now.
    fn is_due(&self, now: u64) -> bool {
        let (due, last) = (self.due.load(Relaxed), self.promised.load(Relaxed));
        let late = (last.saturating_sub(due) / 2).min(FURTHEST / 2) + LATE;
        last > 0 && due <= now && now <= last.saturating_add(late)
    }

    /// Whether there is a token now.
    pub fn has(&self, limit: Limit, now_ms: u64) -> bool {
        let now = now_ms.saturating_mul(MILLISECOND);
        let full = self.full.load(Relaxed);
        full <= now.saturating_add(limit.depth) || self.forget(limit, now, full)
    }

    /// Whether [`Bucket::take_ahead`] would take one.
    pub(super) fn has_ahead(&self, limit: Limit, now_ms: u64) -> bool {
        let now = now_ms.saturating_mul(MILLISECOND);
        let there = now.saturating_add(limit.depth);
        let full = self.full.load(Relaxed);
        full <= there || (full <= there.saturating_add(AHEAD) && self.is_due(now))
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
    /// promised before. When that is too far away, any of the later seconds.
    pub fn promise(&self, limit: Limit, now_ms: u64, random: u64) -> u32 {
        let now = now_ms.saturating_mul(MILLISECOND);
        let token = self.full.load(Relaxed).saturating_sub(limit.depth);
        let place = limit.interval.saturating_mul(OF) / PLACES;
        let mut last = self.promised.load(Relaxed);
        for _ in 0..TRIES {
            let next = last.max(token).max(now).saturating_add(place);
            if next - now > FURTHEST - SECOND {
                break;
            }
            if last.saturating_add(LATE) < now {
                // A new line. No client is told less than a second.
                self.due.store(now.saturating_add(SECOND), Relaxed);
            }
            let promised = &self.promised;
            match promised.compare_exchange(last, next, Relaxed, Relaxed) {
                Ok(_) => return seconds(next - now, 0),
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

/// So many of [`OF`] tokens are promised to refused clients. More, and fewer than nine in ten clients of a long line are in at
/// the second attempt while new ones come at half the rate (tests::line); fewer, and the line lasts longer than it must.
const PLACES: u64 = 5;
const OF: u64 = 9;

/// A token is taken at most so long before it is there: the grain of `Retry-After`.
const AHEAD: u64 = SECOND;

/// A client that obeys is back within so long after the place it was promised: the rest of its second, and its way here.
const LATE: u64 = 2 * SECOND;

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
