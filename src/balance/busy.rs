//! The guard that counts a server and its pool as busy.

use super::live::{Counter, Live};
use super::room::Session;
use std::sync::Arc;

/// Counts one session on a server and on its pool until dropped. Belongs to no plan, so a tunnel
/// may hold it for as long as it lives.
#[derive(Debug)]
pub struct Busy {
    live: Arc<Live>,
    /// What it took a place for.
    session: Session,
    /// It is a tunnel by now.
    tunnel: bool,
}

impl Busy {
    /// Whatever the server's bound.
    pub(super) fn new(live: Arc<Live>, session: Session) -> Self {
        live.begin(session);
        Self::given(live, session)
    }

    /// If there is room; and how many sessions there are with it: the server's and the pool's.
    pub(super) fn try_new(live: &Arc<Live>, session: Session) -> Option<(Self, u32, u32)> {
        let (server, pool) = live.try_begin(session)?;
        Some((Self::given(Arc::clone(live), session), server, pool))
    }

    /// For a session that has been counted.
    pub(super) fn given(live: Arc<Live>, session: Session) -> Self {
        let tunnel = false;
        Self {
            live,
            session,
            tunnel,
        }
    }

    /// The session never was: another server is chosen, or none.
    pub fn withdraw(self) {
        self.live.unbegin();
    }

    /// Counts it as a tunnel as well, from now on.
    #[must_use]
    pub fn into_tunnel(mut self) -> Self {
        if !self.tunnel {
            if self.session == Session::Request {
                self.live.widen();
                self.session = Session::Tunnel;
            }
            self.live.begin_tunnel();
            self.tunnel = true;
        }
        self
    }

    /// Adds to a counter of the server; `worker` is the calling worker's number.
    pub fn add(&self, worker: usize, counter: Counter, amount: u64) {
        self.live.add(worker, counter, amount);
    }

    /// The server's live state, for the counts in a log line.
    pub fn live(&self) -> &Live {
        &self.live
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.live.end(self.session, self.tunnel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::AdminState;

    #[test]
    fn a_session_and_a_tunnel_are_counted_until_dropped() {
        let live = Arc::new(Live::new(AdminState::Ready, 1, 1, Arc::default()));
        let counts = || {
            let pool = live.pool();
            assert_eq!(pool.sessions(), live.sessions());
            assert_eq!(pool.tunnels(), live.tunnels());
            (live.sessions(), live.tunnels(), live.total_sessions())
        };
        let one = Busy::new(Arc::clone(&live), Session::Request);
        let two = Busy::new(Arc::clone(&live), Session::Tunnel)
            .into_tunnel()
            .into_tunnel();
        assert_eq!(counts(), (2, 1, 2));
        drop(one);
        assert_eq!(counts(), (1, 1, 2));
        drop(two);
        assert_eq!(counts(), (0, 0, 2));
    }
}
