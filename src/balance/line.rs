//! Who waits in one line, in numbers: a server's own, or the pool's.

use super::room::{Most, Places, Session};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// The counts of one line. Who they are, and in which order they came, is the queue's business.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Line {
    waiting: Places,
    longest: AtomicU32,
    timeouts: AtomicU64,
    refused: AtomicU64,
}

impl Line {
    /// Requests that wait in it now.
    pub fn waiting(&self) -> u32 {
        self.waiting.sessions()
    }

    /// The most that ever waited in it at once.
    pub fn longest(&self) -> u32 {
        self.longest.load(Relaxed)
    }

    /// Requests that waited in it for longer than `timeouts.queue`.
    pub fn timeouts(&self) -> u64 {
        self.timeouts.load(Relaxed)
    }

    /// Requests that found it as long as it may be.
    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }

    /// Whether somebody of this kind waits.
    pub(super) fn has(&self, session: Session) -> bool {
        self.waiting.only(session) > 0
    }

    /// Joins a line that is no longer than it may be, and says how many were there before.
    pub(super) fn join(&self, session: Session, longest: u32) -> Option<u32> {
        let most = Most {
            sessions: longest,
            tunnels: u32::MAX,
        };
        let joined = self.waiting.try_enter(session, most);
        let counted = joined.inspect(|length| self.note(*length));
        if counted.is_none() {
            self.refused.fetch_add(1, Relaxed);
        }
        counted.map(|length| length - 1)
    }

    /// Joins it from another line, however long it is, and says how many were there before.
    pub(super) fn move_in(&self, session: Session) -> u32 {
        let length = self.waiting.enter(session);
        self.note(length);
        length - 1
    }

    pub(super) fn leave(&self, session: Session) {
        self.waiting.leave(session);
    }

    pub(super) fn count_timeout(&self) {
        self.timeouts.fetch_add(1, Relaxed);
    }

    fn note(&self, length: u32) {
        self.longest.fetch_max(length, Relaxed);
    }
}
