//! What a listener lets begin in a second: of each network of clients, and of all together.
//!
//! Looked at once a request's head is understood and its client is admitted to where it leads, and before anything is made of it, so that a refused client costs
//! little. A client over its own rate is told 429; when all together are too many, or too many for the time since the
//! start, new tunnels are told 503. Both are told when to come again. Servers' rates are the pool's business.

use std::hash::RandomState;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::desk::Desk;
use super::ending::Ending;
use crate::balance::clients::{ClientLimit, Clients, Prefixes};
use crate::balance::rate::{Bucket, Limit};
use crate::config::{self, ClientRate, Config, Ramp};
use crate::ring::{Clock, Stamp};

/// A listener's rates, as one plan sees them.
#[derive(Debug)]
pub struct Rates {
    tunnels: Option<Limit>,
    ramp: Option<Ramp>,
    clients: Option<ClientRates>,
}

/// Rates of networks of clients, with what is remembered of these.
#[derive(Debug)]
struct ClientRates {
    settings: ClientRate,
    requests: Option<(ClientLimit, Arc<Clients>)>,
    tunnels: Option<(ClientLimit, Arc<Clients>)>,
}

/// What a listener's rates have come to; kept across plans.
#[derive(Debug, Default)]
pub struct RatesLive {
    tunnels: Bucket,
    over_client_rate: AtomicU64,
    over_tunnel_rate: AtomicU64,
}

/// The time since the process began to serve, for its ramp.
#[derive(Debug, Default)]
pub struct RampLive {
    tunnels: Bucket,
    /// Milliseconds of the workers' clock; 0 until the first has started.
    began_ms: AtomicU64,
}

impl Rates {
    /// The rates of a listener; `None` when nothing is limited. What the `previous` plan's remember of clients is
    /// kept as long as networks are made in the same way.
    pub(super) fn new(
        config: &Config,
        listener: &config::Listener,
        previous: Option<&Self>,
    ) -> Option<Self> {
        let previous = previous.and_then(|previous| previous.clients.as_ref());
        let client = listener.client_rate.as_ref();
        let rates = Self {
            tunnels: listener.tunnel_rate.map(Limit::new),
            ramp: config.process.tunnel_ramp,
            clients: client.map(|settings| ClientRates::new(settings, previous)),
        };
        let any = rates.tunnels.is_some() || rates.ramp.is_some() || rates.clients.is_some();
        any.then_some(rates)
    }

    /// Takes the tokens that a request needs, and returns how long it is to be held until they are there.
    ///
    /// # Errors
    /// How it ends; then none of them is taken.
    pub(super) fn refuse(
        &self,
        desk: &Desk,
        live: &RatesLive,
        client: Option<SocketAddr>,
        tunnel: bool,
        now: Stamp,
    ) -> Result<Duration, Ending> {
        if let Some(seconds) = self.over_client_rate(desk, client, tunnel, now) {
            live.over_client_rate.fetch_add(1, Relaxed);
            return Err(Ending::OverClientRate(seconds));
        }
        if !tunnel {
            return Ok(Duration::ZERO);
        }
        let seconds = match self.over_tunnel_rate(desk, live, now) {
            Ok(held) => return Ok(held),
            Err(seconds) => seconds,
        };
        // Otherwise those who come again as they are told would be over their own rate for what others do.
        if let Some((limit, clients, client)) = self.counted(client, tunnel) {
            clients.give_back(client, limit);
        }
        live.over_tunnel_rate.fetch_add(1, Relaxed);
        Err(Ending::OverRate(seconds))
    }

    fn over_client_rate(
        &self,
        desk: &Desk,
        client: Option<SocketAddr>,
        tunnel: bool,
        now: Stamp,
    ) -> Option<u32> {
        let (limit, clients, client) = self.counted(client, tunnel)?;
        let taken = clients.take(client, limit, now.ms(), desk.random());
        taken.err()
    }

    /// What counts the client's requests of this kind, if anything does.
    fn counted(
        &self,
        client: Option<SocketAddr>,
        tunnel: bool,
    ) -> Option<(ClientLimit, &Clients, IpAddr)> {
        let (rates, client) = (self.clients.as_ref()?, client?.ip());
        let counted = if tunnel {
            &rates.tunnels
        } else {
            &rates.requests
        };
        let (limit, clients) = counted.as_ref()?;
        (!rates.settings.excepts(client)).then_some((*limit, &**clients, client))
    }

    fn over_tunnel_rate(&self, desk: &Desk, live: &RatesLive, now: Stamp) -> Result<Duration, u32> {
        let take = |bucket: &Bucket, limit| {
            let taken = bucket.take_ahead(limit, now.ms());
            taken.ok_or_else(|| bucket.promise(limit, now.ms(), desk.random()))
        };
        let tunnels = self.tunnels.map(|limit| take(&live.tunnels, limit));
        let held = tunnels.unwrap_or(Ok(Duration::ZERO))?;
        let ramp = &desk.gauge.ramp;
        let limit = |settings| Limit::of_ramp(settings, ramp.since(now));
        let Some(limit) = self.ramp.as_ref().and_then(limit) else {
            return Ok(held);
        };
        match take(&ramp.tunnels, limit) {
            Ok(longer) => Ok(held.max(longer)),
            Err(seconds) => {
                if let Some(unused) = self.tunnels {
                    live.tunnels.give_back(unused);
                }
                Err(seconds)
            }
        }
    }
}

impl ClientRates {
    fn new(settings: &ClientRate, previous: Option<&Self>) -> Self {
        let table = |rate: Option<config::Rate>, before: Option<&(ClientLimit, Arc<Clients>)>| {
            let limit = ClientLimit::new(rate?);
            let before = before.map(|(_, clients)| clients);
            let prefixes = Prefixes {
                ipv4: settings.ipv4_prefix,
                ipv6: settings.ipv6_prefix,
            };
            let same = before.filter(|clients| clients.is_for(settings.networks, prefixes));
            let clients = same.cloned().unwrap_or_else(|| {
                let now = Clock::new().now().ms();
                let key = RandomState::new();
                Arc::new(Clients::new(settings.networks, prefixes, key, now))
            });
            Some((limit, clients))
        };
        Self {
            requests: table(
                settings.requests,
                previous.and_then(|p| p.requests.as_ref()),
            ),
            tunnels: table(settings.tunnels, previous.and_then(|p| p.tunnels.as_ref())),
            settings: settings.clone(),
        }
    }
}

impl RatesLive {
    /// Requests refused since the start because of their client's rate.
    pub fn over_client_rate(&self) -> u64 {
        self.over_client_rate.load(Relaxed)
    }

    /// Tunnels refused since the start because there were too many of all clients together.
    pub fn over_tunnel_rate(&self) -> u64 {
        self.over_tunnel_rate.load(Relaxed)
    }
}

impl RampLive {
    /// A worker has started: the first one's start counts.
    pub(super) fn begin(&self, now: Stamp) {
        let began = &self.began_ms;
        let _ = began.compare_exchange(0, now.ms(), Relaxed, Relaxed);
    }

    fn since(&self, now: Stamp) -> Duration {
        Duration::from_millis(now.ms().saturating_sub(self.began_ms.load(Relaxed)))
    }
}
