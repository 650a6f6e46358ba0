//! The server with the fewest requests and tunnels for its weight; those that are level take turns.
//!
//! Counts are shared by all workers and are read at every pick, so that a worker can be wrong by no more than the
//! sessions that others begin while it looks: a server gets at most one per worker above the least busy one.

use super::lows::{GROUPS, Lows};
use super::{Entrant, View};
use crate::balance::live::Live;
use crate::balance::pool::{Pick, Why};
use crate::balance::room::Session;
use crate::balance::schedule::gcd;
use crate::balance::server::Server;
use std::ops::Range;
use std::sync::Arc;

/// Up to [`SCANNED`] servers are looked at one by one; for more, there are lower bounds by group ([`Lows`]).
#[derive(Debug)]
pub(in crate::balance) struct LeastConnections {
    /// By group, if there are groups.
    members: Box<[Member]>,
    groups: Option<Groups>,
    /// Some server has fewer places for tunnels than for requests.
    uneven: bool,
}

#[derive(Debug)]
struct Groups {
    lows: Arc<Lows>,
    ranges: Box<[Range<usize>; GROUPS]>,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    server: u32,
    /// How many turns it has among those that are level; as few as keep the proportions.
    weight: u16,
    /// The load of one session.
    unit: u64,
}

/// The least load in a row of members.
struct Least {
    load: u64,
    /// The weights of all that have it.
    weight: u64,
    /// The first that has it.
    server: usize,
}

impl LeastConnections {
    pub(super) fn new(entrants: &[Entrant], servers: &[Arc<Server>]) -> Self {
        let divisor = entrants.iter().fold(0, |a, e| gcd(a, u64::from(e.weight)));
        let member = |entrant| Member::new(entrant, divisor.max(1) as u16);
        let mut members: Box<[Member]> = entrants.iter().map(member).collect();
        let uneven = servers.iter().any(|server| server.bounds.tunnels.is_some());
        if members.len() <= SCANNED {
            let groups = None;
            return Self {
                members,
                groups,
                uneven,
            };
        }
        let group = |member: &Member| Lows::group(servers[member.server as usize].live.slot());
        members.sort_by_key(group);
        let range = |wanted: usize| {
            members.partition_point(|m| group(m) < wanted)
                ..members.partition_point(|m| group(m) <= wanted)
        };
        let ranges = Box::new(std::array::from_fn(range));
        let lows = Arc::new(Lows::new());
        let groups = Some(Groups { lows, ranges });
        Self {
            members,
            groups,
            uneven,
        }
    }

    /// What sessions have to lower when they end.
    pub(super) fn lows(&self) -> Option<Arc<Lows>> {
        self.groups.as_ref().map(|groups| Arc::clone(&groups.lows))
    }

    pub(super) fn pick(&self, view: &View<'_>) -> Option<Pick> {
        let turn = view.turn();
        let server = match &self.groups {
            // A bound by group tells of servers with room for a request. What has none for a tunnel must not raise it. Nor
            // does it know of rates: a token comes back without a session that ends. A server over its rate is found
            // out afterwards, and the pool looks for another.
            Some(groups) if !self.uneven || view.session == Session::Request => {
                let view = View {
                    rates: None,
                    ..*view
                };
                groups.choose(&self.members, &view, turn)?
            }
            Some(_) | None => {
                let least = least(&self.members, view)?;
                least.in_turn(&self.members, view, turn)
            }
        };
        let why = Why::Policy;
        Some(Pick { server, why })
    }
}

impl Groups {
    /// A group's bound does not say what it has besides the server to be avoided: that one's group is looked at by
    /// itself.
    fn choose(&self, members: &[Member], view: &View<'_>, turn: u64) -> Option<usize> {
        let apart = view
            .avoid
            .map(|server| Lows::group(view.servers[server].live.slot()));
        let other = self.pick(members, view, turn, apart);
        let members = &members[apart.map_or(0..0, |group| self.ranges[group].clone())];
        match (other, least(members, view)) {
            (Some((server, load)), Some(least)) if load <= least.load => Some(server),
            (_, Some(least)) => Some(least.in_turn(members, view, turn)),
            (other, None) => other.map(|(server, _)| server),
        }
    }

    /// The server, and the load that made it the least busy one, of all groups but this.
    fn pick(
        &self,
        members: &[Member],
        view: &View<'_>,
        turn: u64,
        apart: Option<usize>,
    ) -> Option<(usize, u64)> {
        loop {
            let (low, level) = self.lowest(apart);
            if low == u64::MAX {
                return None;
            }
            let Some(group) = self.nth(low, turn % level, apart) else {
                continue;
            };
            let members = &members[self.ranges[group].clone()];
            match least(members, view) {
                Some(least) if least.load <= low => {
                    let server = least.in_turn(members, view, turn / level);
                    return Some((server, least.load));
                }
                found => {
                    // Each round raises a bound that was too low; the sessions that made it so paid for it.
                    let load = |least: Option<Least>| least.map_or(u64::MAX, |least| least.load);
                    let again = || load(least(members, view));
                    self.lows.raise(group, low, load(found), again);
                }
            }
        }
    }

    /// The lowest bound, and how many groups have it.
    fn lowest(&self, apart: Option<usize>) -> (u64, u64) {
        let mut lowest = (u64::MAX, 1);
        for group in self.filled(apart) {
            let low = self.lows.get(group);
            if low < lowest.0 {
                lowest = (low, 1);
            } else if low == lowest.0 {
                lowest.1 += 1;
            }
        }
        lowest
    }

    /// One of the groups with this bound.
    fn nth(&self, low: u64, place: u64, apart: Option<usize>) -> Option<usize> {
        let level = || {
            self.filled(apart)
                .filter(|group| self.lows.get(*group) <= low)
        };
        // The bounds may have changed since they were counted: any group does, its bound will be looked at again.
        level().nth(place as usize).or_else(|| level().next())
    }

    fn filled(&self, apart: Option<usize>) -> impl Iterator<Item = usize> {
        (0..GROUPS).filter(move |at| Some(*at) != apart && !self.ranges[*at].is_empty())
    }
}

impl Member {
    /// With the divisor of all weights.
    fn new(entrant: &Entrant, divisor: u16) -> Self {
        Self {
            server: entrant.server,
            weight: entrant.weight / divisor,
            unit: Live::load_of_one(entrant.weight),
        }
    }

    fn load(&self, view: &View<'_>) -> u64 {
        u64::from(view.servers[self.server as usize].live.sessions()) * self.unit
    }
}

/// The least load that a server has which may be chosen.
fn least(members: &[Member], view: &View<'_>) -> Option<Least> {
    let mut least: Option<Least> = None;
    for member in members {
        let (server, weight) = (member.server as usize, u64::from(member.weight));
        let load = member.load(view);
        match &mut least {
            Some(least) if load > least.load => {}
            _ if !view.fits(server) => {}
            Some(least) if load == least.load => least.weight += weight,
            _ => {
                least = Some(Least {
                    load,
                    weight,
                    server,
                });
            }
        }
    }
    least
}

impl Least {
    /// Those that are level take turns by weight.
    fn in_turn(&self, members: &[Member], view: &View<'_>, turn: u64) -> usize {
        let mut place = turn % self.weight;
        for member in members {
            let (server, weight) = (member.server as usize, u64::from(member.weight));
            if member.load(view) <= self.load && view.fits(server) {
                if place < weight {
                    return server;
                }
                place -= weight;
            }
        }
        self.server
    }
}

/// Servers that are looked at one by one at most.
const SCANNED: usize = 256;
