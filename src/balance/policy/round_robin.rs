//! Round robin by weight: smooth, and one order over all workers.

use super::{Entrant, TRIES, View, weights};
use crate::balance::pool::{Pick, Why};
use crate::balance::schedule::Schedule;

/// The turns of one round; the pool's shared count says whose turn it is. A pick costs one addition to that count, for
/// any number of servers.
#[derive(Debug)]
pub(in crate::balance) struct RoundRobin {
    schedule: Schedule,
}

impl RoundRobin {
    pub(super) fn new(entrants: &[Entrant], count: usize) -> Self {
        Self {
            schedule: Schedule::new(&weights(entrants, count)),
        }
    }

    pub(super) fn pick(&self, view: &View<'_>) -> Option<Pick> {
        let mut why = Why::Policy;
        for _ in 0..TRIES {
            let server = self.schedule.at(view.turn())?;
            if view.fits(server) {
                return Some(Pick { server, why });
            }
            // Taking a further turn, instead of the neighbour in this one, spreads a lost
            // server's turns over the others in proportion until the schedule is rebuilt.
            why = Why::Fallback;
        }
        None
    }
}
