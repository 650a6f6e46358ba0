//! Lower bounds of servers' loads by group: how the least busy of thousands is found without asking each.
//!
//! Servers are dealt into [`GROUPS`] groups, for as long as they live. Each group has a bound that no server in it is
//! below. A session that begins cannot break it; one that ends lowers it when it must, which is a comparison; and whoever finds, in
//! looking for the least busy, that a bound is lower than any server of its group raises it. So a pick looks at
//! the bounds and, but for the first after a group's last server of that load was taken, at one group.
//!
//! Raising and lowering may meet: the one who raises looks at the group again afterwards, the one who lowers looks at the
//! bound after its session has ended. With sequentially consistent operations one of the two sees the other.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst, fence};

/// One bound for each group.
#[derive(Debug)]
pub(in crate::balance) struct Lows([AtomicU64; GROUPS]);

/// With 10,000 servers some 80 in each.
pub(in crate::balance) const GROUPS: usize = 128;

impl Lows {
    /// Bounds that hold for any loads.
    pub(super) fn new() -> Self {
        Self([const { AtomicU64::new(0) }; GROUPS])
    }

    /// The group of the server with this number.
    pub(in crate::balance) fn group(slot: u32) -> usize {
        slot as usize % GROUPS
    }

    /// A session of a server in the group has ended; its load is now this.
    pub(in crate::balance) fn ended(&self, group: usize, load: u64) {
        fence(SeqCst);
        if self.0[group].load(SeqCst) > load {
            self.0[group].fetch_min(load, SeqCst);
        }
    }

    /// The group's bound.
    pub(super) fn get(&self, group: usize) -> u64 {
        self.0[group].load(SeqCst)
    }

    /// Raises the group's bound to what its least busy server had; `least` looks again.
    pub(super) fn raise(&self, group: usize, from: u64, to: u64, least: impl FnOnce() -> u64) {
        let low = &self.0[group];
        if low.compare_exchange(from, to, SeqCst, SeqCst).is_ok() {
            fence(SeqCst);
            let least = least();
            if least < to {
                low.fetch_min(least, SeqCst);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever raises a bound finds out what ended meanwhile; whoever comes too late changes nothing.
    #[test]
    fn a_raised_bound_holds_whatever_ended_meanwhile() {
        let lows = Lows::new();
        lows.raise(7, 0, 5, || 3);
        assert_eq!((lows.get(7), lows.get(8)), (3, 0));
        lows.raise(7, 0, 9, || 9);
        assert_eq!(lows.get(7), 3);
        lows.raise(7, 3, 9, || u64::MAX);
        assert_eq!(lows.get(7), 9);
        lows.ended(7, 11);
        assert_eq!(lows.get(7), 9);
        lows.ended(7, 2);
        assert_eq!(lows.get(7), 2);
    }
}
