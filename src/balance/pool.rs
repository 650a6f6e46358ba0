//! A pool: its servers, and which of them is next.

use super::busy::Busy;
use super::health::Change;
use super::live::{Live, PoolLive};
use super::schedule::Schedule;
use super::server::Server;
use super::sticky::{self, Sticky};
use crate::config::{self, AdminState};
use arc_swap::ArcSwap;
use std::sync::Arc;

/// Servers that stand in for each other, as one plan sees them.
#[derive(Debug)]
pub struct Pool {
    /// What the file says of it: name, retries, timeouts, fields to add and so on.
    pub settings: config::Pool,
    /// In file order; picks and cookies name them by index.
    pub servers: Box<[Arc<Server>]>,
    /// The persistence cookie, if it has one.
    pub sticky: Option<Sticky>,
    /// Shared with the plans before and after.
    pub live: Arc<PoolLive>,
    /// Of the servers that take new sessions; replaced whole, off the workers, when that changes.
    schedule: ArcSwap<Schedule>,
}

/// A choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pick {
    /// Index into [`Pool::servers`].
    pub server: usize,
    /// How it came about.
    pub why: Why,
}

/// What a choice rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The client's cookie.
    Cookie,
    /// It was this server's turn.
    Policy,
    /// The server whose turn it was did not qualify any more: another that does, or, when there is
    /// none, the one to be avoided.
    Fallback,
}

impl Pool {
    /// The pool for a new plan. Servers that the `previous` plan's pool of this name had, under the
    /// same name and address, keep their live state; so does the pool its counts and its turn. An
    /// operator's word and weight survive unless the file now says something else than before, a
    /// server that is no longer checked is up.
    ///
    /// `workers` is the number of slots for counters; it does not change while a process lives.
    pub fn new(settings: &config::Pool, previous: Option<&Self>, workers: usize) -> Self {
        let previous = previous.filter(|p| p.settings.name == settings.name);
        let live = previous.map_or_else(Arc::default, |p| Arc::clone(&p.live));
        let servers: Box<[_]> = settings
            .servers
            .iter()
            .map(|server| {
                let live = previous
                    .and_then(|p| p.carried_over(server, workers))
                    .unwrap_or_else(|| {
                        let pool = Arc::clone(&live);
                        Arc::new(Live::new(server.state, server.weight, workers, pool))
                    });
                Arc::new(Server {
                    name: server.name.as_str().into(),
                    address: server.address.clone(),
                    key: sticky::key_of(settings.sticky.as_ref(), server),
                    check: server.check,
                    live,
                })
            })
            .collect();
        let sticky = settings.sticky.as_ref().map(|s| Sticky::new(s, &servers));
        let schedule = ArcSwap::from_pointee(Schedule::new(&weights(&servers)));
        Self {
            settings: settings.clone(),
            servers,
            sticky,
            live,
            schedule,
        }
    }

    /// The server for a session: `wanted` (what a [`sticky::Verdict`] names; it is not asked again
    /// whether it accepts, since persistence may overrule that) unless it is to be avoided, else the
    /// next by turn. `avoid` is one that just failed: it comes back only when nothing else takes new
    /// sessions. `None` when nothing is left.
    pub fn pick(&self, wanted: Option<usize>, avoid: Option<usize>) -> Option<Pick> {
        if let Some(server) = wanted.filter(|_| wanted != avoid) {
            let why = Why::Cookie;
            return Some(Pick { server, why });
        }
        let schedule = self.schedule.load();
        let fits = |server: &usize| Some(*server) != avoid && self.servers[*server].accepts_new();
        let mut why = Why::Policy;
        for _ in 0..TURNS_TRIED {
            let server = schedule.at(self.live.turn.next())?;
            if fits(&server) {
                return Some(Pick { server, why });
            }
            // Taking a further turn, instead of the neighbour in this one, spreads a lost
            // server's turns over the others in proportion until the schedule is rebuilt.
            why = Why::Fallback;
        }
        (0..self.servers.len())
            .find(fits)
            .or_else(|| avoid.filter(|a| self.servers[*a].accepts_new()))
            .map(|server| Pick { server, why })
    }

    /// Counts a server of this pool as busy.
    pub fn busy(&self, server: usize) -> Busy {
        Busy::new(Arc::clone(&self.servers[server].live))
    }

    /// How many servers take new sessions.
    pub fn active(&self) -> usize {
        self.servers.iter().filter(|s| s.accepts_new()).count()
    }

    /// What checks found out about a server; not for workers.
    pub fn mark(&self, server: usize, change: &Change, now_ms: u64) {
        self.servers[server].live.mark(change, now_ms);
        self.reschedule();
    }

    /// What an operator says of a server; not for workers.
    pub fn set_admin(&self, server: usize, admin: AdminState) {
        self.servers[server].live.set_admin(admin);
        self.reschedule();
    }

    /// Gives a server another weight, 0 to 256; not for workers.
    pub fn set_weight(&self, server: usize, weight: u16) {
        self.servers[server].live.set_weight(weight);
        self.reschedule();
    }

    /// Lays the turns out anew over the servers that take new sessions. Called by the three above;
    /// one thread at a time.
    fn reschedule(&self) {
        let schedule = Schedule::new(&weights(&self.servers));
        self.schedule.store(Arc::new(schedule));
    }

    /// The live state of a server that this, the previous, pool has as well.
    fn carried_over(&self, now: &config::Server, workers: usize) -> Option<Arc<Live>> {
        let same = |s: &&config::Server| s.name == now.name && s.address == now.address;
        let at = self.settings.servers.iter().position(|s| same(&s))?;
        let (before, live) = (&self.settings.servers[at], &self.servers[at].live);
        if live.workers() != workers.max(1) {
            return None;
        }
        if before.state != now.state {
            live.set_admin(now.state);
        }
        if before.weight != now.weight {
            live.set_weight(now.weight);
        }
        if now.check.is_none() {
            live.forget_health();
        }
        Some(Arc::clone(live))
    }
}

/// The weights that count for new sessions.
fn weights(servers: &[Arc<Server>]) -> Vec<u16> {
    let weight = |s: &Arc<Server>| if s.accepts_new() { s.live.weight() } else { 0 };
    servers.iter().map(weight).collect()
}

/// Turns taken until the servers are searched one by one. More than this many useless turns in a
/// row mean that the schedule is older than a change to many servers.
const TURNS_TRIED: usize = 16;
