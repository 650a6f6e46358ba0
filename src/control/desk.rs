//! What the whole control thread looks at: the plan in force, the workers, where events go; and the
//! status made from it.

use super::admin::Source;
use super::channel::Start;
use super::closing::{Cause, Closings, Order};
use super::discovery::Names;
use super::logs::Logs;
use super::probes::{News, Tell};
use super::removed::Removed;
use super::sandbox::Sandbox;
use super::status::{ListenerStatus, PoolStatus, RefusedMessages, Status};
use super::{identity, now_ms, on_wall, started_ms};
use crate::balance::passive::Verdict;
use crate::balance::{Pool, Server};
use crate::config::{AdminState, Level, Stats};
use crate::proxy::Plan;
use crate::record::{Event, Events, ServerName};
use crate::wire::agent::Verdict as AgentVerdict;
use crate::worker::{Collected, Workers};
use arc_swap::{ArcSwap, ArcSwapOption};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::Notify;

/// What both the control socket and the control loop look at.
pub(super) struct Desk {
    pub(super) plan: ArcSwap<Plan>,
    pub(super) names: Names,
    pub(super) workers: Workers,
    pub(super) sandbox: Sandbox,
    pub(super) events: Events,
    pub(super) logs: Logs,
    pub(super) launcher: u32,
    /// Generations of this launcher that died before this one.
    pub(super) restarts: u32,
    /// By listener: where it really listens.
    pub(super) addresses: Vec<Vec<String>>,
    pub(super) draining: AtomicBool,
    /// `process.lame_duck` has begun, and draining not yet.
    pub(super) lame_duck: AtomicBool,
    pub(super) reloads: AtomicU64,
    pub(super) refused: ArcSwapOption<String>,
    /// Wakes [`super::pace`]: a server may have come back.
    pub(super) came_back: Notify,
    /// Tunnels that are being closed.
    pub(super) closings: Closings,
    /// Servers that no plan has any more.
    pub(super) removed: Removed,
}

impl Desk {
    /// The first lines of the log.
    pub(super) fn say_started(&self, start: &Start) {
        let (count, driver) = (self.workers.count(), self.workers.driver());
        let plural = if count == 1 { "" } else { "s" };
        let version = env!("CARGO_PKG_VERSION");
        let about = format!("ringbolt {version}, {count} worker{plural} on {driver}");
        self.events.send(Event::Started { about });
        if let Some(because) = &start.because {
            self.events.say(Level::Critical, because);
        }
        for warning in &start.warnings {
            self.events.say(Level::Warning, warning);
        }
        if let Some(why) = self.workers.refused() {
            self.events.say(
                Level::Warning,
                format!(
                    "the workers run on {driver}, a better driver was refused: {why}; look at \
                     kernel.io_uring_disabled, the container's seccomp profile and LimitMEMLOCK"
                ),
            );
        }
        for missing in self.sandbox.missing() {
            let text = format!("the sandbox is without {missing}");
            self.events.say(Level::Notice, text);
        }
        if identity::is_root() {
            let text = "it serves as root: process.user can name somebody with less power";
            self.events.say(Level::Notice, text);
        }
    }

    /// What passive checks have done to a server.
    pub(super) fn tell_passive(&self, pool: &Pool, server: usize, verdict: &Verdict) {
        self.came_back.notify_one();
        let left = pool.active();
        let server = name(&pool.servers[server]);
        self.events.send(match *verdict {
            Verdict::Eject { until_ms, blame } => Event::ServerEjected {
                server,
                why: blame.to_string(),
                lasts: Duration::from_millis(until_ms.saturating_sub(now_ms())),
                left,
            },
            Verdict::Return { after } => Event::ServerReturned {
                server,
                after,
                left,
            },
        });
    }

    /// Connections and tunnels as the log says them.
    pub(super) fn load(&self) -> String {
        let (connections, tunnels) = (self.workers.connections(), self.workers.tunnels());
        format!("{connections} connections, {tunnels} of them tunnels")
    }
}

impl Source for Desk {
    fn status(&self) -> Status {
        let (plan, now_ms, started_ms) = (self.plan.load(), now_ms(), started_ms());
        let pools = plan.pools.iter();
        let listeners = plan.listeners.iter().zip(&self.addresses);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            launcher: self.launcher,
            started_ms: on_wall(started_ms),
            uptime: now_ms.saturating_sub(started_ms) / 1000,
            driver: self.workers.driver().to_string(),
            sandbox: self.sandbox.words(),
            workers: self.workers.count(),
            draining: self.draining.load(Relaxed),
            lame_duck: self.lame_duck.load(Relaxed),
            connections: self.workers.connections(),
            max_connections: plan.config.process.max_connections,
            tunnels: self.workers.tunnels(),
            reloads: self.reloads.load(Relaxed),
            restarts: self.restarts,
            panics: self.workers.gauge().panics(),
            #[cfg(debug_assertions)]
            allocations: crate::ring::allocations(),
            refused_messages: RefusedMessages::of(|refusal, from| {
                self.workers.gauge().refusals(refusal, from)
            }),
            refused_reload: self.refused.load().as_deref().cloned(),
            logs: self.logs.status(),
            listeners: listeners
                .map(|(listener, addresses)| ListenerStatus {
                    name: listener.name.to_string(),
                    addresses: addresses.clone(),
                    connections: listener.live.connections(),
                    total_connections: listener.live.total(),
                    monitored: listener.live.monitored(),
                    over_client_rate: listener.live.rates.over_client_rate(),
                    over_tunnel_rate: listener.live.rates.over_tunnel_rate(),
                })
                .collect(),
            pools: pools
                .map(|pool| PoolStatus {
                    names: self.names.of(&pool.settings),
                    ..PoolStatus::of(pool, now_ms, started_ms)
                })
                .collect(),
            removed_servers: self.removed.status(),
        }
    }

    fn ask_refused(&self) -> Arc<Collected> {
        self.workers.refused_messages()
    }

    fn stats(&self) -> Option<Stats> {
        self.plan.load().config.stats.clone()
    }

    fn set_weight(&self, pool: &str, server: &str, weight: u16) -> Result<u16, String> {
        let (pool, at) = self.find(pool, server)?;
        let was = pool.servers[at].live.weight();
        pool.set_weight(at, weight);
        self.came_back.notify_one();
        self.say_set(&pool.servers[at], format!("weight {weight}, was {was}"));
        Ok(was)
    }

    fn set_state(&self, pool: &str, server: &str, state: AdminState) -> Result<AdminState, String> {
        let (pool, at) = self.find(pool, server)?;
        let was = pool.servers[at].live.admin();
        if was == state {
            return Ok(was);
        }
        pool.set_admin(at, state);
        self.came_back.notify_one();
        let to = format!("{}, was {}", state.word(), was.word());
        self.say_set(&pool.servers[at], to);
        Ok(was)
    }

    fn close_tunnels(&self, pool: &str, server: &str, over: Duration) -> Result<u32, String> {
        // The name is that of the present server, and of those with the same name that were removed.
        let mut lives = self.removed.find(pool, server);
        match self.find(pool, server) {
            Ok((pool, at)) => lives.push(Arc::clone(&pool.servers[at].live)),
            Err(why) if lives.is_empty() => return Err(why),
            Err(_) => {}
        }
        let workers = self.workers.count();
        let begin = |live| {
            let server = ServerName {
                pool: pool.to_owned(),
                server: server.to_owned(),
            };
            let cause = Cause::Command;
            let order = Order {
                server,
                live,
                cause,
                over,
            };
            self.closings.begin(order, workers, &self.events)
        };
        Ok(lives.into_iter().map(begin).sum())
    }
}

impl Desk {
    /// A server of the plan in force, as pool and place; an error names what does not exist.
    fn find(&self, pool: &str, server: &str) -> Result<(Arc<Pool>, usize), String> {
        let plan = self.plan.load();
        let found = plan.pools.iter().find(|p| p.settings.name == pool);
        let found = found.ok_or_else(|| format!("there is no pool \"{pool}\""))?;
        let at = found.servers.iter().position(|s| &*s.name == server);
        let at = at.ok_or_else(|| format!("pool \"{pool}\" has no server \"{server}\""))?;
        Ok((Arc::clone(found), at))
    }

    fn say_set(&self, server: &Server, to: String) {
        let server = name(server);
        self.events.send(Event::ServerSet { server, to });
    }
}

/// As the log says it.
pub(super) fn name(server: &Server) -> ServerName {
    ServerName {
        pool: server.pool.to_string(),
        server: server.name.to_string(),
    }
}

/// What checks and agents call when there is news of a server.
pub(super) fn tell(desk: Arc<Desk>) -> Box<Tell> {
    Box::new(move |pool, server, news| {
        desk.came_back.notify_one();
        let name = ServerName {
            pool: pool.settings.name.clone(),
            server: server.name.to_string(),
        };
        if let Some(event) = event(name, pool.active(), news) {
            desk.events.send(event);
        }
    })
}

/// What the log says of it; `left` servers take new sessions now.
fn event(server: ServerName, left: usize, news: &News<'_>) -> Option<Event> {
    let warn = |message| Event::Said {
        level: Level::Warning,
        message,
    };
    Some(match *news {
        News::Checked(change) => {
            let (why, after) = (change.reason.to_string(), change.lasted);
            match (change.up, change.soft) {
                (true, true) => Event::ServerLeaving {
                    server,
                    why,
                    after,
                    left,
                },
                (true, false) => Event::ServerUp {
                    server,
                    why,
                    after,
                    left,
                },
                (false, _) => Event::ServerDown {
                    server,
                    why,
                    after,
                    left,
                },
            }
        }
        News::Agent {
            before,
            now,
            reason,
            lasted: after,
        } => {
            let because = match reason {
                "" => String::new(),
                reason => format!(" ({reason})"),
            };
            let why = format!("its agent says {now}{because}");
            match (
                before.verdict == AgentVerdict::Up,
                now.verdict == AgentVerdict::Up,
            ) {
                (true, false) => Event::ServerDown {
                    server,
                    why,
                    after,
                    left,
                },
                (false, true) => Event::ServerUp {
                    server,
                    why,
                    after,
                    left,
                },
                // A load that goes up and down would fill the log; only nothing and its end are news.
                _ if before.admin == now.admin
                    && before.verdict == now.verdict
                    && (before.percent == 0) == (now.percent == 0) =>
                {
                    return None;
                }
                _ => Event::AgentSaid {
                    server,
                    what: format!("{now}{because}"),
                    after,
                    left,
                },
            }
        }
        News::OddWord(word) => warn(format!(
            "the agent of {server} says \"{word}\", which is not understood"
        )),
        News::AgentLost(why) => warn(format!(
            "the agent of {server} does not answer: {why}; what it said last holds"
        )),
        News::AgentBack => Event::Said {
            level: Level::Notice,
            message: format!("the agent of {server} answers again"),
        },
    })
}
