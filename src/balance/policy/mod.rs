//! Who is next: one file for each way to choose.
//!
//! A [`Policy`] is a table that was made for the servers that take new sessions now: those of the lowest tier
//! that has any, with the weights they have at this moment. It never changes; when a server's state, weight or slow
//! start does, another one is made off the workers and swapped in. What changes with every session (counts, the
//! turn) is read from the servers' live state while choosing.
//!
//! Choosing takes no lock and allocates nothing. Servers that stopped taking sessions since the table was made are
//! passed over; what is left to do when a policy finds nobody is the pool's business.

mod first;
mod hash;
mod least_connections;
mod lows;
mod round_robin;
mod two_choices;

pub use hash::key_of;
pub(super) use lows::Lows;

use super::live::PoolLive;
use super::pool::Pick;
use super::room::Session;
use super::server::{Kind, Server};
use crate::config::Balance;
use first::First;
use hash::Ring;
use least_connections::LeastConnections;
use round_robin::RoundRobin;
use std::sync::Arc;
use two_choices::TwoChoices;

/// The pool's way to choose, made ready for the servers that take new sessions.
#[derive(Debug)]
pub(super) enum Policy {
    RoundRobin(RoundRobin),
    LeastConnections(LeastConnections),
    TwoChoices(TwoChoices),
    First(First),
    Hash(Ring),
}

/// A server that takes new sessions, with its weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entrant {
    /// Index into the pool's servers.
    pub(super) server: u32,
    /// In sixteenths, for slow starts: 1 to 4,096.
    pub(super) weight: u16,
}

/// One choice to be made.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) servers: &'a [Arc<Server>],
    pub(super) live: &'a PoolLive,
    /// A server that just failed.
    pub(super) avoid: Option<usize>,
    /// The request's hash, if it has what is hashed.
    pub(super) key: Option<u64>,
    /// If some server has a rate: the session's kind, and now.
    pub(super) rates: Option<(Kind, u64)>,
    /// What it is for.
    pub(super) session: Session,
}

impl Policy {
    /// Made for these servers, in file order; to be called off the workers. What the policy `before` has for servers of the same
    /// names in the same order is used again where it still holds.
    pub(super) fn new(
        balance: &Balance,
        servers: &[Arc<Server>],
        live: &PoolLive,
        before: Option<&Self>,
    ) -> Self {
        let entrants = entrants(servers, live.panics());
        let mut next = entrants.iter().peekable();
        for (at, server) in (0..).zip(servers) {
            let in_turn = next.next_if(|entrant| entrant.server == at).is_some();
            server.live.set_in_turn(in_turn);
        }
        let policy = match balance {
            Balance::RoundRobin => Self::RoundRobin(RoundRobin::new(&entrants, servers.len())),
            Balance::LeastConnections => {
                Self::LeastConnections(LeastConnections::new(&entrants, servers))
            }
            Balance::TwoChoices => Self::TwoChoices(TwoChoices::new(&entrants, servers.len())),
            Balance::First => Self::First(First::new(&entrants)),
            Balance::Hash(hash) => {
                let before = match before {
                    Some(Self::Hash(ring)) => Some(ring),
                    Some(_) | None => None,
                };
                Self::Hash(Ring::new(&entrants, servers, hash.bound, before))
            }
        };
        live.set_lows(match &policy {
            Self::LeastConnections(policy) => policy.lows(),
            Self::RoundRobin(_) | Self::TwoChoices(_) | Self::First(_) | Self::Hash(_) => None,
        });
        policy
    }

    /// A server that takes new sessions, and is not the one to be avoided. `None` when the table knows of none.
    pub(super) fn pick(&self, view: &View<'_>) -> Option<Pick> {
        match self {
            Self::RoundRobin(policy) => policy.pick(view),
            Self::LeastConnections(policy) => policy.pick(view),
            Self::TwoChoices(policy) => policy.pick(view),
            Self::First(policy) => policy.pick(view),
            Self::Hash(policy) => policy.pick(view),
        }
    }

    /// Whether a server that was just given a session has more of them than it may; `sessions` and the pool's `total`
    /// count the new one.
    pub(super) fn overfull(&self, server: usize, sessions: u32, total: u32) -> bool {
        match self {
            Self::Hash(ring) => ring.overfull(server, sessions, total),
            Self::RoundRobin(_)
            | Self::LeastConnections(_)
            | Self::TwoChoices(_)
            | Self::First(_) => false,
        }
    }
}

impl View<'_> {
    /// Whether the server may be chosen: it takes new sessions, and has room.
    pub(super) fn fits(&self, server: usize) -> bool {
        let Server { live, .. } = &*self.servers[server];
        Some(server) != self.avoid
            && live.accepts_new()
            && live.has_room(self.session)
            && self.has_token(server)
    }

    /// Whether its rates allow the session now.
    pub(super) fn has_token(&self, server: usize) -> bool {
        let allows = |(kind, now_ms)| self.servers[server].has_token(kind, now_ms);
        self.rates.is_none_or(allows)
    }

    /// The next number of the pool's one count, over all workers.
    pub(super) fn turn(&self) -> u64 {
        self.live.turn.next()
    }
}

/// The servers of the lowest tier that has any which take new sessions; of every tier where health is ignored, for then
/// it may be the lowest that is lost.
fn entrants(servers: &[Arc<Server>], all: bool) -> Vec<Entrant> {
    let open = || {
        (0..)
            .zip(servers)
            .filter(|(_, server)| server.accepts_new())
    };
    let tier = open().map(|(_, server)| server.tier).min();
    open()
        .filter(|(_, server)| all || Some(server.tier) == tier)
        .map(|(at, server)| Entrant {
            server: at,
            weight: server.live.share_of_weight(),
        })
        .collect()
}

/// The weights of all `count` servers: 0 for those that are no entrants.
fn weights(entrants: &[Entrant], count: usize) -> Vec<u16> {
    let mut weights = vec![0; count];
    for entrant in entrants {
        weights[entrant.server as usize] = entrant.weight;
    }
    weights
}

/// The finaliser of splitmix64: numbers that follow each other look nothing alike.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Turns or draws that may lead to servers which stopped taking sessions a moment ago. More in a row mean that the
/// table is older than a change to many servers.
const TRIES: usize = 16;

#[cfg(test)]
mod tests;
