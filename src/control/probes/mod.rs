//! Who is asked whether it works: health checks of every kind, and agents; from the control thread.
//!
//! One task per check and per agent, so a slow server delays nobody else's checks. At the start the tasks
//! are spread over their interval, so that a thousand servers are not called in one instant; later each wait is a
//! little longer or shorter at random. What an outcome means is decided by the pure steps in `balance`; here are only the
//! sockets, the clock and the dice. A reload keeps the tasks whose server and check stayed the same, with their counts.
//!
//! A file per kind: [`tcp`] connects, [`http`] and [`websocket`] send a request by [`exchange`], [`agent`] asks somebody else.
//! Everything that is read has a bound on its bytes and its time.

mod agent;
mod check;
mod exchange;
mod http;
mod tcp;
mod websocket;

use crate::balance::{AgentWord, Change, Pool, Server};
use crate::config::{Agent, Check, ProxyVersion};
use crate::wire::HeadLimits;
use arc_swap::ArcSwap;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// The pools of the plan in force.
pub(super) type Pools = Box<[Arc<Pool>]>;

/// Told once per change, after the server's state is set.
pub(super) type Tell = dyn Fn(&Pool, &Server, &News<'_>) + Send + Sync;

/// What there is to tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News<'a> {
    /// A check turned a server's state over.
    Checked(&'a Change),
    /// An agent's words are other ones than before.
    Agent {
        before: AgentWord,
        now: AgentWord,
        /// Its text for people; may be empty.
        reason: &'a str,
        /// How long the words before were in force.
        lasted: Duration,
    },
    /// An agent said a word that is none.
    OddWord(&'a str),
    /// An agent does not answer any more, or not with a line; what it said last holds.
    AgentLost(&'a str),
    /// It answers again.
    AgentBack,
}

/// All running checks. To be used on the control thread's runtime.
pub(super) struct Probes {
    shared: Arc<Shared>,
    tasks: HashMap<Target, JoinHandle<()>>,
}

struct Shared {
    pools: ArcSwap<Pools>,
    /// Those of traffic.
    limits: ArcSwap<HeadLimits>,
    room: Semaphore,
    tell: Box<Tell>,
}

/// Which server, and how it is asked: if any of it changes, its checks begin anew.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Target {
    pool: String,
    server: Box<str>,
    /// The server's own address.
    address: crate::config::Address,
    way: Way,
}

/// How.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Way {
    Check {
        check: Check,
        introduce: Option<ProxyVersion>,
    },
    Agent(Agent),
}

impl Probes {
    /// Begins with the checks of these pools; responses are read within `limits`.
    pub(super) fn start(pools: &[Arc<Pool>], limits: HeadLimits, tell: Box<Tell>) -> Self {
        let shared = Shared {
            pools: ArcSwap::from_pointee(pools.into()),
            limits: ArcSwap::from_pointee(limits),
            room: Semaphore::new(AT_ONCE),
            tell,
        };
        let mut probes = Self {
            shared: Arc::new(shared),
            tasks: HashMap::new(),
        };
        probes.follow(pools, limits);
        probes
    }

    /// Checks the servers of a new plan from now on.
    pub(super) fn follow(&mut self, pools: &[Arc<Pool>], limits: HeadLimits) {
        self.shared.pools.store(Arc::new(pools.into()));
        self.shared.limits.store(Arc::new(limits));
        let mut wanted: Vec<Target> = targets(pools).collect();
        let all: HashSet<&Target> = wanted.iter().collect();
        self.tasks.retain(|target, task| {
            let stays = all.contains(target);
            if !stays {
                task.abort();
            }
            stays
        });
        wanted.retain(|target| !self.tasks.contains_key(target));
        let count = wanted.len().max(1) as u32;
        for (index, target) in (0u32..).zip(wanted) {
            let first = Instant::now() + target.interval() * index / count;
            let shared = Arc::clone(&self.shared);
            let task = match target.way.clone() {
                Way::Check { .. } => tokio::spawn(check::run(shared, target.clone(), first)),
                Way::Agent(agent) => tokio::spawn(agent::run(shared, target.clone(), agent, first)),
            };
            self.tasks.insert(target, task);
        }
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.tasks.values().for_each(JoinHandle::abort);
    }
}

impl Target {
    fn interval(&self) -> Duration {
        match &self.way {
            Way::Check { check, .. } => check.interval,
            Way::Agent(agent) => agent.interval,
        }
    }
}

/// Checks and questions under way at once, in the whole process. More only wait a moment.
pub(super) const AT_ONCE: usize = 256;

/// Bytes that one of them can hold: a head and a body in buffers that double as they grow, and a piece of what was received
/// last.
pub(super) const fn held(head_size: usize) -> usize {
    2 * head_size + 2 * http::BODY_MAX + 16 * 1024
}

fn targets(pools: &[Arc<Pool>]) -> impl Iterator<Item = Target> {
    let servers = pools
        .iter()
        .flat_map(|pool| pool.servers.iter().map(move |server| (pool, server)));
    servers.flat_map(|(pool, server)| {
        let check = server.check.clone().map(|check| Way::Check {
            // Who listens elsewhere is not the one who waits for the header (as HAProxy has it).
            introduce: server.proxy_protocol.filter(|_| check.address.is_none()),
            check,
        });
        let agent = server.agent.clone().map(Way::Agent);
        check.into_iter().chain(agent).map(|way| Target {
            pool: pool.settings.name.clone(),
            server: server.name.clone(),
            address: server.address.clone(),
            way,
        })
    })
}

fn find<'a>(pools: &'a [Arc<Pool>], target: &Target) -> Option<(&'a Arc<Pool>, usize)> {
    let pool = pools
        .iter()
        .find(|pool| pool.settings.name == target.pool)?;
    let index = pool
        .servers
        .iter()
        .position(|server| server.name == target.server)?;
    Some((pool, index))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::balance::Reason;
    use crate::config::{self, EmptyEnvironment};
    use std::path::Path;
    use std::sync::Mutex;

    fn pools(text: &str, previous: Option<&[Arc<Pool>]>) -> Pools {
        let config = config::load(Path::new("test.toml"), text, &EmptyEnvironment).unwrap();
        let settings = config.pools.iter().enumerate();
        settings
            .map(|(i, pool)| {
                let before = previous.and_then(|all| all.get(i));
                Arc::new(Pool::new(pool, before.map(|pool| &**pool), 1))
            })
            .collect()
    }

    fn text(address: &str, extra: &str) -> String {
        format!(
            "[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:0\"\ndefault_pool = \"app\"\n\
             [[pool.app.server]]\nname = \"one\"\naddress = \"{address}\"\n\
             check = {{ interval = \"10ms\", timeout = \"1s\", rise = 2, fall = 3 }}\n{extra}"
        )
    }

    type Told = Arc<Mutex<Vec<(String, bool, Reason)>>>;

    fn recording() -> (Box<Tell>, Told) {
        let told = Told::default();
        let sink = Arc::clone(&told);
        let tell = move |_: &Pool, server: &Server, news: &News<'_>| {
            let News::Checked(change) = news else { return };
            sink.lock()
                .unwrap()
                .push((server.name.to_string(), change.up, change.reason));
        };
        (Box::new(tell), told)
    }

    async fn until(what: &str, mut holds: impl FnMut() -> bool) {
        for _ in 0..1000 {
            if holds() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("never came true: {what}");
    }

    #[tokio::test]
    async fn down_once_after_fall_and_up_once_after_rise() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let pools = pools(&text(&address.to_string(), ""), None);
        let live = Arc::clone(&pools[0].servers[0].live);
        let (tell, told) = recording();
        let _probes = Probes::start(&pools, HeadLimits::default(), tell);

        until("three good checks", || live.checks() >= 3).await;
        assert!(live.is_up() && told.lock().unwrap().is_empty());
        drop(listener);
        until("down", || !live.is_up()).await;
        assert_eq!(pools[0].active(), 0);
        let failures = live.failures();
        assert!(failures >= 3, "{failures}");
        until("more failures", || live.failures() > failures + 2).await;
        let _again = std::net::TcpListener::bind(address).unwrap();
        until("up", || live.is_up()).await;
        let down = ("one".to_owned(), false, Reason::Refused);
        let up = ("one".to_owned(), true, Reason::Connected);
        assert_eq!(*told.lock().unwrap(), [down, up]);
    }

    #[tokio::test]
    async fn a_unix_socket_and_maintenance() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("server");
        let address = format!("unix:{}", path.display());
        let pools = pools(&text(&address, ""), None);
        let live = Arc::clone(&pools[0].servers[0].live);
        let (tell, told) = recording();
        let _probes = Probes::start(&pools, HeadLimits::default(), tell);
        until("down", || !live.is_up()).await;
        assert_eq!(told.lock().unwrap()[0].2, Reason::Missing);
        pools[0].set_admin(0, config::AdminState::Maintenance);
        tokio::time::sleep(Duration::from_millis(30)).await;
        let checks = live.checks();
        tokio::time::sleep(Duration::from_millis(60)).await;
        assert_eq!(live.checks(), checks);
        pools[0].set_admin(0, config::AdminState::Ready);
        let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        until("up", || live.is_up()).await;
    }

    #[tokio::test]
    async fn a_new_plan_keeps_what_stayed_and_drops_what_left() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let two = format!(
            "[[pool.app.server]]\nname = \"two\"\naddress = \"{address}\"\ncheck = {{ interval = \"10ms\" }}\n"
        );
        let before = pools(&text(&address, &two), None);
        let mut probes = Probes::start(&before, HeadLimits::default(), recording().0);
        let gone = Arc::clone(&before[0].servers[1].live);
        until("both checked", || {
            before[0]
                .servers
                .iter()
                .all(|server| server.live.checks() > 0)
        })
        .await;
        let after = pools(&text(&address, ""), Some(&before));
        probes.follow(&after, HeadLimits::default());
        assert_eq!(probes.tasks.len(), 1);
        tokio::time::sleep(Duration::from_millis(20)).await;
        let (stays, left) = (after[0].servers[0].live.checks(), gone.checks());
        until("the one goes on", || {
            after[0].servers[0].live.checks() > stays + 2
        })
        .await;
        assert_eq!(gone.checks(), left);
    }
}
