//! An order to end tunnels of one server, carried out by all workers together.
//!
//! The control thread says how many have to be ended by now; each worker ends its own until there are as many. Nobody
//! keeps a list for that: tunnels at rest are found in the table in which they rest, those awake by their timers
//! ([`call_some`](crate::ring::call_some)). So a tunnel costs nothing more for it, and a message nothing at all.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use super::tunnel::TunnelEnd;
use crate::balance::Live;
use crate::ring::Call;

/// What the control thread and the workers have in common. The orderings are relaxed but for `asked`, whose end is what the
/// control thread waits for.
#[derive(Debug)]
pub struct Closing {
    server: usize,
    why: Why,
    /// Tunnels that have to be ended by now.
    due: AtomicU32,
    /// Tunnels that were ended or told to.
    ended: AtomicU32,
    /// Workers that have not yet done what they were asked last.
    asked: AtomicUsize,
    /// By worker: where its next look begins, among those at rest and those awake.
    places: Box<[[AtomicUsize; 2]]>,
}

/// Why tunnels are ended: their letters in the log are HAProxy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// By an operator, at once or by a drain that has lasted long enough: `K`.
    Operator,
    /// Their server is down, or in maintenance: `D`.
    ServerDown,
}

impl Closing {
    /// For the tunnels of this server, carried by so many workers.
    pub fn new(server: &Live, why: Why, workers: usize) -> Self {
        Self {
            server: server.id(),
            why,
            due: AtomicU32::new(0),
            ended: AtomicU32::new(0),
            asked: AtomicUsize::new(0),
            places: (0..workers).map(|_| Default::default()).collect(),
        }
    }

    /// Tunnels that were ended or told to so far.
    pub fn ended(&self) -> u32 {
        self.ended.load(Relaxed)
    }

    /// So many have to be ended by now. To be followed by the order to every worker, and only while [`Closing::is_done`].
    pub(crate) fn ask(&self, due: u32) {
        self.due.store(due, Relaxed);
        self.asked.store(self.places.len(), Relaxed);
    }

    /// Whether every worker has done what it was asked last.
    pub fn is_done(&self) -> bool {
        self.asked.load(std::sync::atomic::Ordering::Acquire) == 0
    }

    /// A worker has.
    pub(super) fn answer(&self) {
        self.asked
            .fetch_sub(1, std::sync::atomic::Ordering::Release);
    }

    /// Whether one more has to be ended; it counts as ended then.
    pub(super) fn takes_one(&self) -> bool {
        let due = self.due.load(Relaxed);
        let more = |ended| (ended < due).then_some(ended + 1);
        self.ended.fetch_update(Relaxed, Relaxed, more).is_ok()
    }

    /// Whose tunnels: [`Live::id`].
    pub(super) fn server(&self) -> usize {
        self.server
    }

    pub(super) fn end(&self) -> TunnelEnd {
        match self.why {
            Why::Operator => TunnelEnd::Killed,
            Why::ServerDown => TunnelEnd::ServerDown,
        }
    }

    pub(super) fn call(&self) -> Call {
        match self.why {
            Why::Operator => Call::Tunnel,
            Why::ServerDown => Call::ServerDown,
        }
    }

    /// Where a worker's next look begins: at rest, awake.
    pub(super) fn places(&self, worker: usize) -> &[AtomicUsize; 2] {
        &self.places[worker]
    }
}

/// Tunnels that a worker ends at a time, some ten microseconds each, while its other connections wait.
pub(super) const AT_A_TIME: u32 = 64;
