//! One server of a pool, as one plan sees it.

use super::live::{Buckets, Live};
use super::rate::{Bucket, Limit};
use super::slow_start;
use super::sources::Sources;
use crate::config::{Address, Agent, Bounds, Check, Growth, ProxyVersion};
use std::sync::Arc;
use std::time::Duration;

/// A server: what the settings say, and the live state it shares with the plans before and after.
#[derive(Debug)]
pub struct Server {
    /// Its pool's name.
    pub pool: Arc<str>,
    /// Unique in its pool.
    pub name: Box<str>,
    /// Where it is reached.
    pub address: Address,
    /// Whence.
    pub sources: Sources,
    /// Its key in the cookie, explicit or derived; `None` when clients do not stick to it.
    pub key: Option<Box<str>>,
    /// Every connection to it begins with a PROXY header of this version.
    pub proxy_protocol: Option<ProxyVersion>,
    /// How it is checked, if at all.
    pub check: Option<Check>,
    /// Its agent, if it has one.
    pub agent: Option<Agent>,
    /// Its weight in the file, whatever it is now.
    pub weight: u16,
    /// It takes new sessions only while no server of a lower tier does.
    pub tier: u8,
    /// How long its share grows after it came back.
    pub slow_start: Option<Duration>,
    /// And how many sessions a second it may be given meanwhile, for those that a policy gives it.
    pub slow_sessions: Option<Growth>,
    /// How many new tunnels a second it may be given.
    pub tunnel_rate: Option<Limit>,
    /// How much it is given at once, and how many may wait for it.
    pub bounds: Bounds,
    /// Its live state; the same one in every plan that has this pool, name and address.
    pub live: Arc<Live>,
}

impl Server {
    /// Whether new sessions may come by turn: nobody speaks against it, and it is of some weight.
    pub fn accepts_new(&self) -> bool {
        self.live.accepts_new()
    }

    /// Whether clients whose cookie names it may come: also while it drains or weighs nothing,
    /// but not when it is down or in maintenance, nor when it has drained for `drain.honour_cookies_for`.
    pub fn accepts_sticky(&self) -> bool {
        self.live.accepts_sticky()
    }

    /// Whether the number of sessions that it is given a second is limited, if need be.
    pub(super) fn is_limited(&self) -> bool {
        self.tunnel_rate.is_some() || self.slow_sessions.is_some()
    }

    /// Whether it may be given a session of this kind now.
    pub(super) fn has_token(&self, kind: Kind, now_ms: u64) -> bool {
        let buckets = self.live.buckets();
        self.limits(kind)
            .pairs(buckets)
            .all(|(limit, bucket)| match kind.ahead {
                true => bucket.has_ahead(limit, now_ms),
                false => bucket.has(limit, now_ms),
            })
    }

    /// Takes what such a session needs, and returns how long the session is to be held, which it is only of a kind that
    /// may take tokens ahead. `None`: it may not be given any now, and nothing was taken.
    pub(super) fn take_token(&self, kind: Kind, now_ms: u64) -> Option<Duration> {
        let (limits, buckets) = (self.limits(kind), self.live.buckets());
        let take = |bucket: &Bucket, limit: Option<Limit>| match limit {
            None => Some(Duration::ZERO),
            Some(limit) if kind.ahead => bucket.take_ahead(limit, now_ms),
            Some(limit) => bucket.take(limit, now_ms).then_some(Duration::ZERO),
        };
        let held = take(&buckets.sessions, limits.sessions)?;
        let Some(tunnel) = take(&buckets.tunnels, limits.tunnels) else {
            if let Some(limit) = limits.sessions {
                buckets.sessions.give_back(limit);
            }
            return None;
        };
        Some(held.max(tunnel))
    }

    /// How long until it may be given a session of this kind, if nobody else is meanwhile.
    pub(super) fn token_in(&self, kind: Kind, now_ms: u64) -> Duration {
        let limits = self.limits(kind).pairs(self.live.buckets());
        let waits = limits.map(|(limit, bucket)| bucket.token_in(limit, now_ms));
        waits.max().unwrap_or_default()
    }

    /// Seconds after which a client that it could not be given should come again; `None` if it could.
    pub(super) fn promise(&self, kind: Kind, now_ms: u64, random: u64) -> Option<u32> {
        let buckets = self.live.buckets();
        self.limits(kind)
            .pairs(buckets)
            .filter(|(limit, bucket)| !bucket.has(*limit, now_ms))
            .map(|(limit, bucket)| bucket.promise(limit, now_ms, random))
            .max()
    }

    fn limits(&self, kind: Kind) -> Limits {
        let slow = self.live.sixteenths();
        Limits {
            tunnels: self.tunnel_rate.filter(|_| kind.tunnel),
            sessions: self
                .slow_sessions
                .filter(|_| !kind.named && slow < slow_start::WHOLE)
                .map(|growth| Limit::of_growth(growth, slow)),
        }
    }

    /// Whether it is to be checked now: it has a check, and is not in maintenance.
    pub fn wants_check(&self) -> Option<&Check> {
        let wanted = self.live.standing().wants_check();
        self.check.as_ref().filter(|_| wanted)
    }
}

/// What kind of session it is, as far as rates care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Kind {
    /// A WebSocket handshake.
    pub(super) tunnel: bool,
    /// The client named the server, by its cookie.
    pub(super) named: bool,
    /// It can be held until a token is there that it takes now.
    pub(super) ahead: bool,
}

/// What limits such a session.
#[derive(Debug, Clone, Copy)]
struct Limits {
    tunnels: Option<Limit>,
    sessions: Option<Limit>,
}

impl Limits {
    fn pairs(self, buckets: &Buckets) -> impl Iterator<Item = (Limit, &Bucket)> {
        let tunnels = self.tunnels.map(|limit| (limit, &buckets.tunnels));
        let sessions = self.sessions.map(|limit| (limit, &buckets.sessions));
        tunnels.into_iter().chain(sessions)
    }
}
