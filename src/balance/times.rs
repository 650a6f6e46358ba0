//! Since when a server stands as it does, how long it has been draining, and whether its clients' cookies still count.
//!
//! Nobody who speaks of a server knows the time; whoever moves slow starts on ([`Pool::advance`](super::Pool::advance)) does,
//! and is called after every word. So everything here is written by the control thread alone.

use super::standing::Standing;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// All times are milliseconds since the Unix epoch.
#[derive(Debug)]
pub(super) struct Times {
    /// The standing that was seen last, or [`UNSEEN`].
    seen: AtomicU8,
    /// When it was first seen.
    since: AtomicU64,
    /// When the drain under way began, or [`NONE`].
    draining: AtomicU64,
    /// It has lasted for so long that cookies are not honoured any more.
    forsaken: AtomicBool,
}

/// No drain is under way.
const NONE: u64 = 0;
const UNSEEN: u8 = u8::MAX;

impl Times {
    pub(super) fn new() -> Self {
        Self {
            seen: AtomicU8::new(UNSEEN),
            since: AtomicU64::new(0),
            draining: AtomicU64::new(NONE),
            forsaken: AtomicBool::new(false),
        }
    }

    /// Since when it stands as it does; 0 before anybody looked.
    pub(super) fn since_ms(&self) -> u64 {
        self.since.load(Relaxed)
    }

    /// When the drain under way began.
    pub(super) fn draining_since_ms(&self) -> Option<u64> {
        Some(self.draining.load(Relaxed)).filter(|since| *since != NONE)
    }

    /// Whether a drain has lasted for so long that cookies are not honoured any more.
    pub(super) fn is_forsaken(&self) -> bool {
        self.forsaken.load(Relaxed)
    }

    /// Looks at the server at `now_ms`. A drain goes on while the server is down meanwhile (`drains`), so that a
    /// server that is up and down all the time is empty in the end as well. Says when cookies will no longer be honoured, if
    /// they are `honoured` for so long after the beginning of a drain.
    pub(super) fn look(
        &self,
        standing: Standing,
        drains: bool,
        honoured: Option<Duration>,
        now_ms: u64,
    ) -> Option<Duration> {
        if self.seen.swap(standing as u8, Relaxed) != standing as u8 {
            self.since.store(now_ms, Relaxed);
        }
        if !drains {
            self.draining.store(NONE, Relaxed);
            self.forsaken.store(false, Relaxed);
            return None;
        }
        let since = self.draining_since_ms().unwrap_or_else(|| now_ms.max(1));
        self.draining.store(since, Relaxed);
        let left = honoured.map(|honoured| left(since, honoured, now_ms));
        self.forsaken.store(left == Some(Duration::ZERO), Relaxed);
        left.filter(|left| !left.is_zero())
    }
}

/// How long it is until `since_ms` lies so far back; zero when it does.
pub fn left(since_ms: u64, after: Duration, now_ms: u64) -> Duration {
    let passed = Duration::from_millis(now_ms.saturating_sub(since_ms));
    after.saturating_sub(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_honoured_for_so_long_after_a_drain_began() {
        let times = Times::new();
        let ten = Duration::from_millis(10);
        let ms = |ms| Some(Duration::from_millis(ms));
        // at, standing, drains; left, forsaken, since, draining since
        #[rustfmt::skip]
        let table = [
            (5,  Standing::Up,        false, None,   false, 5,  None),
            (7,  Standing::Up,        false, None,   false, 5,  None),
            (20, Standing::SoftDrain, true,  ms(10), false, 20, Some(20)),
            (24, Standing::Drain,     true,  ms(6),  false, 24, Some(20)),
            (29, Standing::Down,      true,  ms(1),  false, 29, Some(20)),
            (30, Standing::Drain,     true,  None,   true,  30, Some(20)),
            (90, Standing::Drain,     true,  None,   true,  30, Some(20)),
            (91, Standing::Up,        false, None,   false, 91, None),
            (95, Standing::Drain,     true,  ms(10), false, 95, Some(95)),
            (96, Standing::Maintenance, false, None, false, 96, None),
        ];
        for (at, standing, drains, left, forsaken, since, draining) in table {
            assert_eq!(times.look(standing, drains, Some(ten), at), left, "at {at}");
            assert_eq!(times.is_forsaken(), forsaken, "at {at}");
            assert_eq!(times.since_ms(), since, "at {at}");
            assert_eq!(times.draining_since_ms(), draining, "at {at}");
        }
        assert_eq!(times.look(Standing::Drain, true, None, 100), None);
        assert_eq!(times.look(Standing::Drain, true, None, u64::MAX), None);
        assert!(!times.is_forsaken(), "for ever");
    }
}
