//! Equal keys to the same server: a consistent hash, with bounded load if one is set.
//!
//! Every server has points on a ring, in proportion to its weight, at places that only its own name decides. A key
//! belongs to the next point. So when one of N servers goes, its keys move (about one in N) and no others do; when it
//! comes back, they do. (D. Karger et al., "Consistent hashing and random trees", 1997.)
//!
//! With a bound, a server that holds so many times its share of the pool's sessions is passed over, and the key goes to
//! the next server on the ring that has room. (V. Mirrokni et al., "Consistent hashing with bounded loads", 2016.)

use super::{Entrant, View, mix, round_robin::RoundRobin};
use crate::balance::pool::{Pick, Why};
use crate::balance::server::Server;
use crate::balance::slow_start;
use std::sync::Arc;
use twox_hash::XxHash64;

/// The points in order, and for each of equal parts of the ring the first point in it or behind: a key's point is found
/// in a step or two, whatever the number of servers.
#[derive(Debug)]
pub(in crate::balance) struct Ring {
    places: Arc<Places>,
    /// By server, in the pool's order; 0 for those that are not on the ring.
    weights: Box<[u16]>,
    /// How many of its points each server has now, the first ones; 0 for those that are not on the ring.
    counts: Box<[u32]>,
    /// All of them.
    weight: u64,
    /// In hundredths.
    bound: Option<u32>,
    /// For requests without a key.
    turns: RoundRobin,
}

/// Where the servers stand, those that are down too, with all of their weight: a change of health makes no other one, nor does
/// a step of a slow start, an agent's percentage, or a lower weight.
#[derive(Debug)]
struct Places {
    points: Box<[Point]>,
    parts: Box<[u32]>,
    /// Points of each server, in the pool's order.
    counts: Box<[u32]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Point {
    at: u32,
    server: u32,
    /// Among the server's, from 0: it has those below its present count.
    number: u32,
}

impl Ring {
    pub(super) fn new(
        entrants: &[Entrant],
        servers: &[Arc<Server>],
        bound: Option<u32>,
        before: Option<&Self>,
    ) -> Self {
        let weights = super::weights(entrants, servers.len());
        let counts = Counts::new(servers);
        let places = before.filter(|before| counts.fit(&before.places.counts));
        let places = places.map_or_else(
            || Arc::new(Places::new(counts.most(), servers)),
            |before| Arc::clone(&before.places),
        );
        let on_the_ring = |(count, weight): (u32, &u16)| if *weight > 0 { count } else { 0 };
        Self {
            places,
            counts: counts
                .now
                .into_iter()
                .zip(&weights)
                .map(on_the_ring)
                .collect(),
            weight: weights.iter().map(|weight| u64::from(*weight)).sum(),
            weights: weights.into(),
            bound,
            turns: RoundRobin::new(entrants, servers.len()),
        }
    }

    pub(super) fn pick(&self, view: &View<'_>) -> Option<Pick> {
        let Some(key) = view.key else {
            return self.turns.pick(view);
        };
        let begin = self.find((mix(key) >> 32) as u32);
        let (before, from) = self.places.points.split_at(begin);
        let why = Why::Key;
        let mut full: Option<usize> = None;
        for (steps, point) in from.iter().chain(before).enumerate() {
            #[cfg(test)]
            tests::STEPS.with(|steps| steps.set(steps.get() + 1));
            // Many in a row: before all points are walked, each server is looked at once.
            if steps == LOOKED_AT && !self.has_room(view, full) {
                break;
            }
            let server = point.server as usize;
            if point.number >= self.counts[server] || Some(server) == full || !view.fits(server) {
                continue;
            }
            let sessions = view.servers[server].live.sessions();
            if !self.overfull(server, sessions + 1, view.live.sessions() + 1) {
                return Some(Pick { server, why });
            }
            full = full.or(Some(server));
        }
        // Only the one to be avoided has room.
        full.map(|server| Pick { server, why })
    }

    /// Whether any server would be picked; where none has room below the bound, whether one above it is still to be found.
    fn has_room(&self, view: &View<'_>, full: Option<usize>) -> bool {
        let total = view.live.sessions() + 1;
        let fits = |server: usize| self.weights[server] > 0 && view.fits(server);
        (0..self.weights.len())
            .filter(|server| fits(*server))
            .any(|server| {
                let sessions = view.servers[server].live.sessions() + 1;
                full.is_none() || !self.overfull(server, sessions, total)
            })
    }

    /// Whether so many of the pool's `total` are more than the server may have.
    pub(super) fn overfull(&self, server: usize, sessions: u32, total: u32) -> bool {
        let Some(bound) = self.bound else {
            return false;
        };
        let share = u64::from(bound) * u64::from(total) * u64::from(self.weights[server]);
        u64::from(sessions) > share.div_ceil(100 * self.weight.max(1))
    }

    /// The first point at this place or behind it.
    fn find(&self, at: u32) -> usize {
        let Places { points, parts, .. } = &*self.places;
        if points.is_empty() {
            return 0;
        }
        let part = u64::from(at) >> part_shift(parts.len());
        let begin = parts[part as usize] as usize;
        let behind = points[begin..].iter().position(|point| point.at >= at);
        behind.map_or(0, |steps| begin + steps)
    }
}

/// A request's key for [`super::super::Ask::key`], of what is hashed in it: XXH64, seed 0, so that several proxies agree.
pub fn key_of(bytes: &[u8]) -> u64 {
    XxHash64::oneshot(0, bytes)
}

/// Points of each server, in the pool's order.
struct Counts {
    /// At its present weight, whether or not it takes sessions now.
    now: Vec<u32>,
    /// And with all of that weight, when no slow start and no agent lessens it.
    full: Vec<u32>,
}

impl Counts {
    fn new(servers: &[Arc<Server>]) -> Self {
        let each = if servers.len() <= MANY { FINE } else { COARSE };
        // The heaviest server of the file has so many points: whether servers are up does not change the others' points.
        let heaviest = servers.iter().map(|server| server.weight).max();
        let heaviest = u64::from(heaviest.unwrap_or(1).max(1)) * u64::from(slow_start::WHOLE);
        let count = |sixteenths: u64| (each * sixteenths).div_ceil(heaviest) as u32;
        let now = |server: &Arc<Server>| count(server.live.share_of_weight().into());
        let whole = u64::from(slow_start::WHOLE);
        let full = |server: &Arc<Server>| count(u64::from(server.live.weight()) * whole);
        Self {
            now: servers.iter().map(now).collect(),
            full: servers.iter().map(full).collect(),
        }
    }

    /// What a ring needs that is good for the present weights and all lower ones.
    fn most(&self) -> Box<[u32]> {
        let both = self.now.iter().zip(&self.full);
        both.map(|(now, full)| *now.max(full)).collect()
    }

    /// Whether a ring of so many points has all of these, and not too many others that are walked in vain.
    fn fit(&self, made: &[u32]) -> bool {
        let sum = |counts: &[u32]| counts.iter().map(|count| u64::from(*count)).sum::<u64>();
        self.now.len() == made.len()
            && self.now.iter().zip(made).all(|(now, made)| now <= made)
            && sum(made) <= 2 * sum(&self.most())
    }
}

impl Places {
    fn new(counts: Box<[u32]>, servers: &[Arc<Server>]) -> Self {
        #[cfg(test)]
        tests::MADE.with(|made| made.set(made.get() + 1));
        let mut points = Vec::with_capacity(counts.iter().map(|count| *count as usize).sum());
        for (at, (count, server)) in (0..).zip(counts.iter().zip(servers)) {
            let name = XxHash64::oneshot(0, server.name.as_bytes());
            points.extend((0..*count).map(|number| Point {
                at: (mix(name ^ mix(number.into())) >> 32) as u32,
                server: at,
                number,
            }));
        }
        points.sort_unstable();
        Self {
            parts: parts(&points),
            points: points.into(),
            counts,
        }
    }
}

/// As many parts as points, rounded up to a power of two.
fn parts(points: &[Point]) -> Box<[u32]> {
    let count = points.len().next_power_of_two();
    let shift = part_shift(count);
    let mut next = 0;
    (0..count as u64)
        .map(|part| {
            let begin = part << shift;
            while points.get(next).is_some_and(|p| u64::from(p.at) < begin) {
                next += 1;
            }
            next as u32
        })
        .collect()
}

/// Bits of a place that do not say in which part it is.
fn part_shift(parts: usize) -> u32 {
    32 - parts.trailing_zeros()
}

/// Points of the heaviest server in a pool of up to [`MANY`]: shares then differ by some 6 % (one in its root).
const FINE: u64 = 256;
/// And in larger pools.
const COARSE: u64 = 32;
const MANY: usize = 1024;
/// Points that are walked before all servers are looked at.
const LOOKED_AT: usize = 64;

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    thread_local! {
        /// Points walked, and rings made, by this thread.
        pub(in crate::balance::policy) static STEPS: Cell<usize> = const { Cell::new(0) };
        pub(in crate::balance::policy) static MADE: Cell<usize> = const { Cell::new(0) };
    }
}
