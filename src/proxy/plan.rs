//! One configuration generation as the workers use it: immutable, swapped whole.

use std::collections::HashMap;
use std::hash::RandomState;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::monitor::Monitor;
use super::rates::{Rates, RatesLive};
use super::way::{RouteChanges, Way};
use crate::balance;
use crate::config::{self, Config};
use crate::route::{Door, Table};
use crate::wire::HeadLimits;
use crate::wire::answer::Answer;
use crate::wire::forward::Changes;

/// Routes, pools and limits of one configuration. An exchange keeps the routes of the plan it began under; its pool follows the
/// plan in force while it waits for a server.
#[derive(Debug)]
pub struct Plan {
    /// What the file says.
    pub config: Arc<Config>,
    /// As [`Config::pools`], in that order.
    pub pools: Box<[Arc<balance::Pool>]>,
    /// The control thread's page, reached as any server is.
    pub stats: Option<Arc<balance::Pool>>,
    /// In the order in which the listening sockets were first opened, which no reload changes.
    pub listeners: Box<[Arc<Listener>]>,
    /// As [`Config::routes`], in that order.
    pub ways: Arc<[Way]>,
    /// Bounds on heads.
    pub limits: HeadLimits,
    /// Waits on clients, ready for use.
    pub waits: Waits,
}

/// A listener as the workers see it, for as long as its plan is in use. What outlives plans is in [`ListenerLive`].
#[derive(Debug)]
pub struct Listener {
    /// For the log.
    pub name: Box<str>,
    /// Which route takes which request.
    pub table: Table,
    /// The stats page is here, if there is one.
    pub has_stats: bool,
    /// The pool of those that none takes.
    pub default_pool: Option<usize>,
    /// Whose requests are taken; `None` is everybody's.
    pub door: Option<Door>,
    /// Pages in place of our own words.
    pub pages: Vec<Answer>,
    /// Our own words for a refused request have the reason.
    pub verbose_errors: bool,
    /// Where others ask whether it serves.
    pub monitor: Option<Monitor>,
    /// Whose word on `X-Forwarded-…` and `Forwarded` is passed on.
    pub trusted: Vec<config::Network>,
    /// Whose connections begin with a PROXY header.
    pub senders: config::ProxySenders,
    /// What is copied into the log. Shared with the plans before and after while the settings stay the same.
    pub capture: Arc<Captures>,
    /// What may begin in a second, if that is limited.
    pub rates: Option<Box<Rates>>,
    /// Shared with the plans before and after.
    pub live: Arc<ListenerLive>,
}

impl Listener {
    /// The page for an error of this status, if there is one. Nothing is looked for where there are none.
    pub(super) fn page(&self, status: u16) -> Option<&Answer> {
        self.pages.iter().find(|page| page.status == status)
    }
}

/// Header fields that a listener copies into its log lines.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Captures {
    /// Of requests.
    pub request: Vec<config::Capture>,
    /// Of responses.
    pub response: Vec<config::Capture>,
    /// Names of the former, for JSON.
    pub request_names: Vec<String>,
    /// Names of the latter.
    pub response_names: Vec<String>,
}

/// Name and counts of a listener. Belongs to no plan, so a connection or a tunnel may hold it for as long as it lives.
#[derive(Debug)]
pub struct ListenerLive {
    /// For the log.
    pub name: Box<str>,
    connections: AtomicU32,
    total: AtomicU64,
    monitored: AtomicU64,
    /// What its rates have come to.
    pub rates: RatesLive,
}

impl ListenerLive {
    /// Of a listener without a connection yet.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.into(),
            connections: AtomicU32::new(0),
            total: AtomicU64::new(0),
            monitored: AtomicU64::new(0),
            rates: RatesLive::default(),
        }
    }

    /// Client connections now.
    pub fn connections(&self) -> u32 {
        self.connections.load(Relaxed)
    }

    /// Client connections since the start.
    pub fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// Times that its monitor was asked since the start.
    pub fn monitored(&self) -> u64 {
        self.monitored.load(Relaxed)
    }

    /// Counts a question to its monitor.
    pub(super) fn add_monitored(&self) {
        self.monitored.fetch_add(1, Relaxed);
    }

    /// Counts a connection.
    pub fn enter(&self) {
        self.connections.fetch_add(1, Relaxed);
        self.total.fetch_add(1, Relaxed);
    }

    /// A connection has ended.
    pub fn leave(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }
}

/// Timeouts towards clients; `None` never ends.
#[derive(Debug, Clone, Copy)]
#[expect(missing_docs, reason = "documented at config::Timeouts")]
pub struct Waits {
    pub client: Option<Duration>,
    pub request_head: Option<Duration>,
    pub keep_alive: Option<Duration>,
}

impl Plan {
    /// The plan of a configuration. Live state of listeners, pools and servers that the `previous`
    /// plan also had is carried over. `stats` is the control thread's unix socket for the page.
    pub fn new(
        config: &Arc<Config>,
        previous: Option<&Self>,
        workers: usize,
        stats: Option<&Path>,
    ) -> Arc<Self> {
        let pools = previous.into_iter().flat_map(|plan| &plan.pools);
        let before: HashMap<&str, &Arc<balance::Pool>> =
            pools.map(|pool| (&*pool.settings.name, pool)).collect();
        let pools = config
            .pools
            .iter()
            .map(|settings| {
                let before = before.get(&*settings.name);
                // As it was: exchanges that hold it keep nothing that would be there otherwise.
                if let Some(same) = before.filter(|pool| pool.stays(settings, workers)) {
                    return Arc::clone(same);
                }
                let before = before.map(|pool| &***pool);
                let mut pool = balance::Pool::new(settings, before, workers);
                pool.keep_sessions(before, RandomState::new);
                Arc::new(pool)
            })
            .collect();
        let stats = stats.filter(|_| config.stats.is_some()).map(|socket| {
            let previous = previous.and_then(|plan| plan.stats.as_ref());
            let settings = stats_pool(socket, config);
            match previous.filter(|pool| pool.stays(&settings, workers)) {
                Some(same) => Arc::clone(same),
                None => {
                    let previous = previous.map(Arc::as_ref);
                    Arc::new(balance::Pool::new(&settings, previous, workers))
                }
            }
        });
        Arc::new(Self {
            config: config.clone(),
            pools,
            stats,
            listeners: listeners(config, previous),
            ways: match previous {
                Some(previous) if previous.config.routes == config.routes => previous.ways.clone(),
                _ => config.routes.iter().map(Way::new).collect(),
            },
            limits: HeadLimits {
                size: config.limits.head_size,
                fields: config.limits.headers,
            },
            waits: Waits {
                client: wait(config.timeouts.client),
                request_head: wait(config.timeouts.request_head),
                keep_alive: wait(config.timeouts.keep_alive),
            },
        })
    }

    /// The slots of all servers, the page's among them.
    pub fn slots(&self) -> impl Iterator<Item = usize> {
        let pools = self.pools.iter().chain(&self.stats);
        pools.flat_map(|pool| pool.servers.iter().map(|server| server.live.id()))
    }

    /// Whether a request is for the stats page: its path, or one below it.
    pub fn is_stats(&self, path: &[u8]) -> bool {
        let Some(stats) = self.config.stats.as_ref().filter(|_| self.stats.is_some()) else {
            return false;
        };
        let root = stats.path.as_bytes();
        path.strip_prefix(root)
            .is_some_and(|rest| matches!(rest, b"" | b".json" | b"/"))
    }
}

/// The plan as one worker's exchanges hold it.
pub type Held = Rc<Local>;

/// A pool as one worker's exchanges hold it.
pub type PoolHeld = Rc<Arc<balance::Pool>>;

/// What a route changes of messages, as one worker's exchanges hold it.
pub(super) type ChangesHeld = Rc<Arc<RouteChanges>>;

/// What an exchange keeps of the plan under which it began: plain values, and what its route changes. It may last for days, and
/// plans may follow each other every second.
pub(super) struct Terms {
    /// [`Waits::client`]
    pub(super) client: Option<Duration>,
    /// Bounds on heads.
    pub(super) limits: HeadLimits,
    /// Whether frames of tunnels are looked at.
    pub(super) inspect: bool,
    changes: Option<ChangesHeld>,
}

impl Terms {
    /// What is changed of requests.
    pub(super) fn request_changes(&self) -> Option<&Changes> {
        self.changes.as_ref()?.request.as_ref()
    }

    /// And of responses.
    pub(super) fn response_changes(&self) -> Option<&Changes> {
        self.changes.as_ref()?.response.as_ref()
    }
}

/// A plan with counts of references of the worker's own: with the process-wide ones alone, every request
/// of every worker would write the same cache lines.
pub struct Local {
    plan: Arc<Plan>,
    pools: Box<[PoolHeld]>,
    /// By route.
    changes: Box<[Option<ChangesHeld>]>,
    stats: Option<PoolHeld>,
}

impl Local {
    /// For one worker.
    pub fn new(plan: Arc<Plan>) -> Self {
        let pools = plan
            .pools
            .iter()
            .map(|pool| Rc::new(pool.clone()))
            .collect();
        let stats = plan.stats.clone().map(Rc::new);
        let changes = plan
            .ways
            .iter()
            .map(|way| way.changes().cloned().map(Rc::new));
        Self {
            changes: changes.collect(),
            plan,
            pools,
            stats,
        }
    }

    /// What an exchange of the route of this index takes along.
    pub(super) fn terms(&self, route: Option<u32>) -> Terms {
        let changes = route.and_then(|route| self.changes.get(route as usize)?.clone());
        Terms {
            client: self.waits.client,
            limits: self.limits,
            inspect: self.config.websocket.inspect,
            changes,
        }
    }

    /// A pool by its place.
    pub(super) fn pool(&self, index: usize) -> PoolHeld {
        self.pools[index].clone()
    }

    /// A pool by its name.
    pub(super) fn pool_named(&self, name: &str) -> Option<PoolHeld> {
        let found = self.pools.iter().find(|pool| pool.settings.name == name);
        found.cloned()
    }

    /// The stats page's, if there is one.
    pub(super) fn stats(&self) -> Option<PoolHeld> {
        self.stats.clone()
    }
}

impl std::ops::Deref for Local {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        &self.plan
    }
}

/// A timeout as the timers take it.
pub fn wait(timeout: config::Timeout) -> Option<Duration> {
    match timeout {
        config::Timeout::After(after) => Some(after),
        config::Timeout::Never => None,
    }
}

/// Listeners keep the place they had: their sockets were opened in that order.
fn listeners(config: &Config, previous: Option<&Plan>) -> Box<[Arc<Listener>]> {
    let Some(previous) = previous else {
        return (0..config.listeners.len())
            .map(|index| Arc::new(listener(config, index, None)))
            .collect();
    };
    // Most plans differ in servers alone: exchanges that go on under one of them keep no listener of its own alive.
    let old = &previous.config;
    let is_same = old.listeners == config.listeners
        && old.routes == config.routes
        && old.error_pages == config.error_pages
        && old.process.tunnel_ramp == config.process.tunnel_ramp;
    previous
        .listeners
        .iter()
        .map(|old| {
            if is_same {
                return old.clone();
            }
            let index = config
                .listeners
                .iter()
                .position(|new| *new.name == *old.name);
            index.map_or_else(
                || old.clone(),
                |index| Arc::new(listener(config, index, Some(old))),
            )
        })
        .collect()
}

fn listener(config: &Config, index: usize, previous: Option<&Arc<Listener>>) -> Listener {
    let settings = &config.listeners[index];
    let stats_listener = config.stats.as_ref().and_then(|stats| stats.listener);
    let before = previous.and_then(|previous| previous.rates.as_deref());
    let rates = Rates::new(config, settings, before);
    let names = |captures: &[config::Capture]| captures.iter().map(|c| c.header.clone()).collect();
    let capture = Captures {
        request_names: names(&settings.capture_request),
        response_names: names(&settings.capture_response),
        request: settings.capture_request.clone(),
        response: settings.capture_response.clone(),
    };
    Listener {
        name: settings.name.as_str().into(),
        table: match stats_listener == Some(index) {
            true => Table::new(&[], index),
            false => Table::new(&config.routes, index),
        },
        has_stats: stats_listener.is_none_or(|only| only == index),
        default_pool: settings.default_pool,
        door: Door::new(&settings.admission),
        pages: pages(config, settings),
        verbose_errors: settings.verbose_errors,
        monitor: settings.monitor.as_ref().map(Monitor::new),
        trusted: settings.trusted_proxies.clone(),
        senders: settings.proxy_protocol.clone(),
        capture: match previous {
            Some(previous) if *previous.capture == capture => previous.capture.clone(),
            _ => Arc::new(capture),
        },
        rates: rates.map(Box::new),
        live: previous.map_or_else(
            || Arc::new(ListenerLive::new(&settings.name)),
            |previous| previous.live.clone(),
        ),
    }
}

/// The listener's own, then those of all.
fn pages(config: &Config, settings: &config::Listener) -> Vec<Answer> {
    let own = settings.error_pages.iter().chain(&config.error_pages);
    own.map(|(status, page)| Answer::error(*status, page))
        .collect()
}

/// The page's server: one address, nothing added, no second try.
fn stats_pool(socket: &Path, config: &Config) -> config::Pool {
    config::Pool {
        name: "<STATS>".into(),
        balance: config::Balance::RoundRobin,
        retries: 0,
        redispatch: false,
        retry: None,
        passive: None,
        upgrade_protocols: Vec::new(),
        response_parsing: config::ResponseParsing::Strict,
        panic_threshold: 0,
        timeouts: config::PoolTimeouts {
            connect: config.timeouts.connect,
            server: config.timeouts.server,
            tunnel: config.timeouts.tunnel,
            queue: config.timeouts.queue,
        },
        forwarded_for: None,
        forwarded_proto: false,
        forwarded: false,
        via: false,
        request_id: None,
        on_down: config::OnDown::Keep,
        drain: config::Drain::default(),
        sticky: None,
        max_queue: 0,
        engine_io: None,
        servers: vec![config::Server {
            name: "<STATS>".into(),
            address: config::Address::Unix(socket.into()),
            source: Vec::new(),
            weight: 1,
            tier: 0,
            slow_start: None,
            tunnel_rate: None,
            bounds: config::Bounds::NONE,
            cookie: None,
            shared_cookie: false,
            proxy_protocol: None,
            check: None,
            agent: None,
            state: config::AdminState::Ready,
        }],
        templates: Vec::new(),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::path::Path;
    use std::sync::Weak;

    use super::*;
    use crate::balance::{Ask, Busy};
    use crate::config::EmptyEnvironment;

    fn config(port: u16, page: char) -> Arc<Config> {
        let page = page.to_string().repeat(1_000);
        let text = format!(
            "[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:0\"\ndefault_pool = \"app\"\n\
             capture_request = [{{ header = \"a\" }}]\n\
             [[route]]\npath = \"/\"\nanswer = {{ body = \"{page}\" }}\n\
             [[pool.app.server]]\nname = \"one\"\naddress = \"127.0.0.1:{port}\"\n"
        );
        Arc::new(config::load(Path::new("test.toml"), &text, &EmptyEnvironment).unwrap())
    }

    /// What an exchange holds of its plan keeps nothing else of it, and no pool that stays as it is is made anew.
    #[test]
    fn what_a_long_exchange_holds_keeps_no_plan_alive() {
        let text = |page: usize| {
            let route = "[[route]]\npath = \"/\"\npool = \"app\"\nresponse_headers = { set = { X-A = \"b\" } }\n";
            format!(
                "[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:0\"\n[[route]]\npath = \"/{page}\"\nanswer = {{ body = \"\" }}\n\
                 {route}[[pool.app.server]]\nname = \"one\"\naddress = \"127.0.0.1:1\"\n"
            )
        };
        let load = |page| config::load(Path::new("test.toml"), &text(page), &EmptyEnvironment);
        let plan = |page, before: Option<&Plan>| {
            Plan::new(&Arc::new(load(page).unwrap()), before, 1, None)
        };
        let mut last = plan(0, None);
        let (mut gone, mut held) = (Vec::new(), Vec::new());
        for page in 1..=300 {
            let next = plan(page, Some(&last));
            assert!(Arc::ptr_eq(&last.pools[0], &next.pools[0]));
            let before = std::mem::replace(&mut last, next);
            gone.push((Arc::downgrade(&before), Arc::downgrade(&before.config)));
            let local = Local::new(before);
            held.push((local.terms(Some(1)), local.pool(0)));
        }
        let counts = |(plan, config): &(Weak<Plan>, Weak<Config>)| {
            (plan.strong_count(), config.strong_count())
        };
        assert!(gone.iter().all(|weak| counts(weak) == (0, 0)));
        let changes = held.iter().map(|(terms, _)| terms.response_changes());
        assert!(changes.into_iter().all(|changes| changes.is_some()));
    }

    /// Over 150 changes of servers and 150 of everything: what a tunnel holds of each plan keeps nothing else of it.
    #[test]
    fn what_a_tunnel_holds_keeps_no_plan_alive() {
        let mut plan = Plan::new(&config(1, 'a'), None, 1, None);
        let (mut gone, mut held) = (Vec::new(), Vec::new());
        for change in 0..300_u16 {
            let pages = ['a', 'b'][usize::from(change > 150 && change % 2 == 1)];
            let next = Plan::new(&config(2 + change, pages), Some(&plan), 1, None);
            let is_shared = Arc::ptr_eq(&plan.listeners[0], &next.listeners[0]);
            assert_eq!(is_shared, change <= 150, "{change}");
            let before = std::mem::replace(&mut plan, next);
            let listener = &before.listeners[0];
            let (_, busy): (_, Busy) = before.pools[0].take(&Ask::default()).unwrap();
            held.push((
                listener.live.clone(),
                listener.capture.clone(),
                busy.into_tunnel(),
            ));
            gone.push((
                Arc::downgrade(&before),
                Arc::downgrade(&before.config),
                Arc::downgrade(&before.pools[0]),
                Arc::downgrade(&before.pools[0].servers[0]),
            ));
        }
        assert!(gone.iter().all(|(plan, config, pool, server)| {
            let counts = [plan.strong_count(), config.strong_count()];
            counts == [0; 2] && (pool.strong_count(), server.strong_count()) == (0, 0)
        }));
        assert_eq!(plan.pools[0].live.tunnels(), 300);
        assert_eq!((&*held[0].0.name, held[0].2.live().name()), ("in", "one"));
        let shared = &held[0].1;
        assert!(
            held.iter()
                .all(|(_, capture, _)| Arc::ptr_eq(capture, shared))
        );
    }
}
