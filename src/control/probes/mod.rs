//! Health checks: a TCP (or unix) connect to every server that wants one, from the control thread.
//!
//! One task per checked server, so a slow server delays nobody else's checks. At the start the tasks
//! are spread over their interval, so that a thousand servers are not called in one instant. What an
//! outcome means is decided by the pure step in `balance::health`; here are only the sockets and
//! the clock. A reload keeps the tasks whose server and check stayed the same, with their counts.

use super::sources;
use crate::balance::health::{Change, Health, Outcome, Reason};
use crate::balance::{Pool, Server, Sources};
use crate::config::{Address, Check, ProxyVersion};
use crate::wire::proxy_header::{self, Endpoints};
use arc_swap::ArcSwap;
use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

/// The pools of the plan in force.
pub(super) type Pools = Box<[Arc<Pool>]>;

/// Told once per change, after the server's state is set.
pub(super) type Tell = dyn Fn(&Pool, &Server, &Change) + Send + Sync;

/// All running checks. To be used on the control thread's runtime.
pub(super) struct Probes {
    shared: Arc<Shared>,
    tasks: HashMap<Target, JoinHandle<()>>,
}

struct Shared {
    pools: ArcSwap<Pools>,
    room: Semaphore,
    tell: Box<Tell>,
}

/// Which server, and how: if any of it changes, its checks begin anew.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Target {
    pool: String,
    server: Box<str>,
    address: Address,
    introduce: Option<ProxyVersion>,
    interval: Duration,
    timeout: Duration,
    rise: u32,
    fall: u32,
}

impl Probes {
    /// Begins with the checks of these pools.
    pub(super) fn start(pools: &[Arc<Pool>], tell: Box<Tell>) -> Self {
        let shared = Shared {
            pools: ArcSwap::from_pointee(pools.into()),
            room: Semaphore::new(AT_ONCE),
            tell,
        };
        let mut probes = Self {
            shared: Arc::new(shared),
            tasks: HashMap::new(),
        };
        probes.follow(pools);
        probes
    }

    /// Checks the servers of a new plan from now on.
    pub(super) fn follow(&mut self, pools: &[Arc<Pool>]) {
        self.shared.pools.store(Arc::new(pools.into()));
        let mut wanted: Vec<Target> = targets(pools).collect();
        self.tasks.retain(|target, task| {
            let stays = wanted.contains(target);
            if !stays {
                task.abort();
            }
            stays
        });
        wanted.retain(|target| !self.tasks.contains_key(target));
        let count = wanted.len().max(1) as u32;
        for (index, target) in (0u32..).zip(wanted) {
            let first = Instant::now() + target.interval * index / count;
            let task = tokio::spawn(check(Arc::clone(&self.shared), target.clone(), first));
            self.tasks.insert(target, task);
        }
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        self.tasks.values().for_each(JoinHandle::abort);
    }
}

/// Checks under way at once, in the whole process. More only wait a moment.
const AT_ONCE: usize = 256;

fn targets(pools: &[Arc<Pool>]) -> impl Iterator<Item = Target> {
    pools.iter().flat_map(|pool| {
        pool.servers.iter().filter_map(|server| {
            let Check {
                interval,
                timeout,
                rise,
                fall,
            } = server.check?;
            Some(Target {
                pool: pool.settings.name.clone(),
                server: server.name.clone(),
                address: server.address.clone(),
                introduce: server.proxy_protocol,
                interval,
                timeout,
                rise,
                fall,
            })
        })
    })
}

/// One server's checks, for as long as the plan has them.
async fn check(shared: Arc<Shared>, target: Target, first: Instant) {
    let mut ticks = interval_at(first, target.interval);
    // After a pause (a stopped process, a check longer than its interval) no volley follows.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut health = None;
    loop {
        ticks.tick().await;
        let pools = shared.pools.load_full();
        let Some((pool, index)) = find(&pools, &target) else {
            return;
        };
        let server = &pool.servers[index];
        let Some(settings) = server.wants_check() else {
            // Maintenance: when it ends, counting begins anew from the state that is published.
            health = None;
            continue;
        };
        let outcome = probe(&shared.room, &target, &server.sources).await;
        let now_ms = super::now_ms();
        let health = health.get_or_insert_with(|| {
            let state = server.live.state();
            let since = if state.since_ms == 0 {
                super::started_ms()
            } else {
                state.since_ms
            };
            Health::resume(state.up, since)
        });
        if outcome.reason != Reason::Ours {
            server.live.checked(outcome.reason.is_good());
        }
        let Some(change) = health.step(outcome, settings, now_ms) else {
            continue;
        };
        // The plan may have changed while we waited; the state belongs to both.
        let pools = shared.pools.load_full();
        let Some((pool, index)) = find(&pools, &target) else {
            return;
        };
        pool.mark(index, &change, now_ms);
        (shared.tell)(pool, &pool.servers[index], &change);
    }
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

/// Connects, says that it is a check where the server waits for a PROXY header, and closes. Waiting for room is
/// not counted against the server.
async fn probe(room: &Semaphore, target: &Target, sources: &Sources) -> Outcome {
    let _permit = room.acquire().await;
    let begun = Instant::now();
    let introduce = target.introduce;
    let reason = match &target.address {
        Address::Ip(address) => {
            let connect = tcp(*address, sources, introduce);
            verdict(target.timeout, connect).await
        }
        Address::Unix(path) => verdict(target.timeout, unix(path, introduce)).await,
    };
    Outcome {
        reason,
        took: begun.elapsed(),
    }
}

async fn tcp(
    address: SocketAddr,
    sources: &Sources,
    introduce: Option<ProxyVersion>,
) -> io::Result<TcpStream> {
    let mut stream = sources::connect(address, sources).await?;
    if let Some(version) = introduce {
        let ends = Endpoints {
            source: stream.local_addr()?,
            destination: address,
        };
        stream
            .write_all(&introduction(version, Some(&ends)))
            .await?;
    }
    Ok(stream)
}

async fn unix(path: &Path, introduce: Option<ProxyVersion>) -> io::Result<UnixStream> {
    let mut stream = UnixStream::connect(path).await?;
    if let Some(version) = introduce {
        stream.write_all(&introduction(version, None)).await?;
    }
    Ok(stream)
}

/// Of a connection on our own account, as HAProxy's `check-send-proxy`: `LOCAL` in version 2; version 1 has no such
/// word, and some servers refuse `UNKNOWN`, so there the connection's own addresses stand (section 2.1).
fn introduction(version: ProxyVersion, ends: Option<&Endpoints>) -> Vec<u8> {
    let ends = ends.filter(|_| version == ProxyVersion::V1);
    let mut header = Vec::new();
    proxy_header::write(version, ends, &mut header);
    header
}

async fn verdict<T>(limit: Duration, connect: impl Future<Output = io::Result<T>>) -> Reason {
    match timeout(limit, connect).await {
        Ok(Ok(_connection)) => Reason::Connected,
        Ok(Err(error)) => Reason::of_error(&error),
        Err(_) => Reason::TimedOut,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
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
        let tell = move |_: &Pool, server: &Server, change: &Change| {
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
        let _probes = Probes::start(&pools, tell);

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
        let _probes = Probes::start(&pools, tell);
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
        let mut probes = Probes::start(&before, recording().0);
        let gone = Arc::clone(&before[0].servers[1].live);
        until("both checked", || {
            before[0]
                .servers
                .iter()
                .all(|server| server.live.checks() > 0)
        })
        .await;
        let after = pools(&text(&address, ""), Some(&before));
        probes.follow(&after);
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
