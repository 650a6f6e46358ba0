//! The guard that counts a server and its pool as busy.

use super::live::{Counter, Live};
use std::sync::Arc;

/// Counts one session on a server and on its pool until dropped. Belongs to no plan, so a tunnel
/// may hold it for as long as it lives.
#[derive(Debug)]
pub struct Busy {
    live: Arc<Live>,
    tunnel: bool,
}

impl Busy {
    pub(super) fn new(live: Arc<Live>) -> Self {
        Self::counted(live).0
    }

    /// And how many sessions there are with it: the server's and the pool's.
    pub(super) fn counted(live: Arc<Live>) -> (Self, u32, u32) {
        let (server, pool) = live.begin();
        let tunnel = false;
        (Self { live, tunnel }, server, pool)
    }

    /// The session never was: another server is chosen, or none.
    pub fn withdraw(self) {
        self.live.unbegin();
    }

    /// Counts it as a tunnel as well, from now on.
    #[must_use]
    pub fn into_tunnel(mut self) -> Self {
        if !self.tunnel {
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
        self.live.end(self.tunnel);
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
        let one = Busy::new(Arc::clone(&live));
        let two = Busy::new(Arc::clone(&live)).into_tunnel().into_tunnel();
        assert_eq!(counts(), (2, 1, 2));
        drop(one);
        assert_eq!(counts(), (1, 1, 2));
        drop(two);
        assert_eq!(counts(), (0, 0, 2));
    }
}
