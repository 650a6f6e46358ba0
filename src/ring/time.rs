//! The clock of a worker: milliseconds that only go forward, and the wall's time for the log.

use std::num::NonZeroU64;

use rustix::time::{ClockId, clock_gettime};

/// A moment: milliseconds of the monotonic clock. Two of them give a duration. Never 0, so that one that may not have come
/// takes no more room: a connection keeps several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Stamp(NonZeroU64);

impl Stamp {
    /// Milliseconds of the monotonic clock, for rooms that are given time as a number.
    pub fn ms(self) -> u64 {
        self.0.get()
    }

    /// Whole seconds of the monotonic clock, for deadlines far away.
    pub fn seconds(self) -> u32 {
        u32::try_from(self.0.get() / 1_000).unwrap_or(u32::MAX)
    }

    /// Milliseconds from `earlier` to here; 0 when it was not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.get().saturating_sub(earlier.0.get())
    }
}

/// Reads the time. A read is a call into the vDSO (some 20 ns), so a request makes three.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// Wall minus monotonic, in milliseconds.
    offset: u64,
}

impl Clock {
    /// A clock set by the wall. Set it again now and then: the wall's time may be adjusted.
    pub fn new() -> Self {
        Self {
            offset: read(ClockId::Realtime).saturating_sub(read(ClockId::Monotonic)),
        }
    }

    /// Now.
    pub fn now(&self) -> Stamp {
        Stamp(NonZeroU64::new(read(ClockId::Monotonic)).unwrap_or(NonZeroU64::MIN))
    }

    /// A moment as milliseconds since the Unix epoch.
    pub fn wall_ms(&self, stamp: Stamp) -> u64 {
        stamp.0.get() + self.offset
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

fn read(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    time.tv_sec.cast_unsigned() * 1_000 + time.tv_nsec.cast_unsigned() / 1_000_000
}
