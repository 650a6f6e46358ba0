//! Sessions and tunnels counted in one word, so that both bounds of a server hold at once and exactly.
//!
//! With a word for each, whoever took a place under the first bound and found none under the second would have to
//! give the first one back, and others would have been refused meanwhile for a place that nobody used.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// What is counted: it takes a place among the sessions, and a tunnel one among the tunnels as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Session {
    /// A request and its answer.
    #[default]
    Request,
    /// A tunnel, or a handshake that may become one.
    Tunnel,
}

impl Session {
    /// All there are.
    pub(super) const ALL: [Self; 2] = [Self::Request, Self::Tunnel];

    const fn word(self) -> u64 {
        match self {
            Self::Request => 1,
            Self::Tunnel => 1 << 32 | 1,
        }
    }
}

/// How many there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Most {
    pub(super) sessions: u32,
    pub(super) tunnels: u32,
}

impl Most {
    /// Any number.
    pub(super) const ANY: Self = Self {
        sessions: u32::MAX,
        tunnels: u32::MAX,
    };

    pub(super) const fn pack(self) -> u64 {
        (self.tunnels as u64) << 32 | self.sessions as u64
    }

    pub(super) const fn unpack(word: u64) -> Self {
        Self {
            sessions: word as u32,
            tunnels: (word >> 32) as u32,
        }
    }

    /// So many parts of `whole`, at least one session and tunnel each.
    pub(super) fn scaled(self, part: u8, whole: u8) -> Self {
        if part >= whole {
            return self;
        }
        let scale = |most: u32| match most {
            u32::MAX => u32::MAX,
            most => (u64::from(most) * u64::from(part) / u64::from(whole)).max(1) as u32,
        };
        Self {
            sessions: scale(self.sessions),
            tunnels: scale(self.tunnels),
        }
    }

    fn allow(self, taken: u64, session: Session) -> bool {
        let Self { sessions, tunnels } = Self::unpack(taken);
        sessions < self.sessions && (session == Session::Request || tunnels < self.tunnels)
    }
}

/// How many there are. All operations are sequentially consistent: who waits and who leaves must not miss each other
/// (see [`queue`](super::queue)). On x86 that costs nothing for an addition, which is locked anyway, nor for a load.
#[derive(Debug, Default)]
pub(super) struct Places(AtomicU64);

impl Places {
    /// Takes a place whatever the bound, and says how many are taken with it.
    pub(super) fn enter(&self, session: Session) -> u32 {
        self.0.fetch_add(session.word(), SeqCst) as u32 + 1
    }

    /// Takes a place if there is one, and says how many are taken with it. An addition that is taken back when it was
    /// too much would keep others out of a place for a moment, who would then wait for it in vain.
    pub(super) fn try_enter(&self, session: Session, most: Most) -> Option<u32> {
        let more = |taken| most.allow(taken, session).then(|| taken + session.word());
        let before = self.0.fetch_update(SeqCst, SeqCst, more).ok()?;
        Some(before as u32 + 1)
    }

    /// Gives a place back.
    pub(super) fn leave(&self, session: Session) {
        self.0.fetch_sub(session.word(), SeqCst);
    }

    /// A request's place becomes a tunnel's, whatever the bound.
    pub(super) fn widen(&self) {
        let both = Session::Tunnel.word() - Session::Request.word();
        self.0.fetch_add(both, SeqCst);
    }

    /// Whether a place could be had.
    pub(super) fn has(&self, session: Session, most: Most) -> bool {
        most.allow(self.0.load(SeqCst), session)
    }

    /// All that are taken.
    pub(super) fn sessions(&self) -> u32 {
        self.0.load(SeqCst) as u32
    }

    /// Those of one kind alone.
    pub(super) fn only(&self, session: Session) -> u32 {
        let Most { sessions, tunnels } = Most::unpack(self.0.load(SeqCst));
        match session {
            Session::Request => sessions - tunnels,
            Session::Tunnel => tunnels,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Session::{Request, Tunnel};
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    #[test]
    fn both_bounds_hold_at_once() {
        let most = Most {
            sessions: 3,
            tunnels: 1,
        };
        let places = Places::default();
        assert_eq!(places.try_enter(Tunnel, most), Some(1));
        assert_eq!(places.try_enter(Tunnel, most), None);
        assert!(places.has(Request, most) && !places.has(Tunnel, most));
        assert_eq!(places.try_enter(Request, most), Some(2));
        assert_eq!(places.try_enter(Request, most), Some(3));
        assert_eq!(places.try_enter(Request, most), None);
        places.leave(Tunnel);
        assert_eq!((places.sessions(), places.only(Tunnel)), (2, 0));
        places.widen();
        assert_eq!((places.only(Request), places.only(Tunnel)), (1, 1));
        assert_eq!(places.enter(Tunnel), 3);
        assert_eq!(Most::unpack(most.pack()), most);
    }

    #[test]
    fn a_slow_start_leaves_at_least_one() {
        let most = |sessions, tunnels| Most { sessions, tunnels };
        for (whole, part, wanted) in [
            (most(160, 32), 16, most(160, 32)),
            (most(160, 32), 1, most(10, 2)),
            (most(160, 32), 8, most(80, 16)),
            (most(3, 1), 1, most(1, 1)),
            (most(u32::MAX, 7), 8, most(u32::MAX, 3)),
            (Most::ANY, 1, Most::ANY),
        ] {
            assert_eq!(whole.scaled(part, 16), wanted, "{whole:?} {part}");
        }
    }

    #[test]
    fn many_threads_never_take_more_than_there_is() {
        let (places, highest) = (Places::default(), AtomicU32::new(0));
        let most = Most {
            sessions: 7,
            tunnels: 3,
        };
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (places, highest) = (&places, &highest);
                scope.spawn(move || {
                    for turn in 0..20_000 {
                        let session = Session::ALL[(turn + thread) % 2];
                        if let Some(taken) = places.try_enter(session, most) {
                            highest.fetch_max(taken, Relaxed);
                            assert!(places.only(Tunnel) <= 3);
                            places.leave(session);
                        }
                    }
                });
            }
        });
        assert!(highest.load(Relaxed) <= 7);
        assert_eq!(places.sessions(), 0);
    }
}
