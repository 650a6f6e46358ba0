//! How many descriptors and how much locked memory the configuration needs, and getting them.
//!
//! Too few descriptors is an error at the start, with the figure needed: later it would be a refused
//! client. Too little locked memory only costs the ring (the workers fall back to a smaller one and
//! then to epoll, and say so), so it is tried and no more.

use crate::config::{Config, DNS_DESCRIPTORS, Pool};
use crate::ring::A_STEP;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// Descriptors that the configuration can come to need in the generation: two a client connection, idle links, and what
/// workers, log targets, checks, agents and questions to DNS have open.
pub(super) fn descriptors(config: &Config, workers: usize) -> u64 {
    let binds: usize = config
        .listeners
        .iter()
        .map(|listener| listener.bind.len())
        .sum();
    let servers: usize = config.pools.iter().map(Pool::most_servers).sum();
    let agents = |pool: &Pool| pool.most_of(|server| usize::from(server.agent.is_some()));
    let agents: usize = config.pools.iter().map(agents).sum();
    // A connection is a client and its server; between exchanges the server's side is an idle link,
    // and some more of those stay from exchanges with other servers: as many as the settings allow,
    // but in a thousand servers times sixty-four workers no more than there were clients.
    let clients = config.process.max_connections as usize;
    let idle = (workers * servers * config.limits.idle_links).min(clients);
    let named = config.pools.iter().any(|pool| !pool.templates.is_empty());
    let questions = if named { DNS_DESCRIPTORS } else { 0 };
    let fixed = workers * (FOR_EACH_WORKER + binds)
        + config.logs.len()
        + servers
        + agents
        + questions
        + FOR_THE_PROCESS;
    (2 * clients + idle + fixed) as u64
}

/// Lets this process, and those it will start, open `needed` descriptors.
///
/// # Errors
/// One line with the figure and how to allow it.
pub(super) fn raise_descriptors(needed: u64) -> Result<(), String> {
    let now = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, at_least(now, needed)).map_err(|_| refused(now, needed))
}

/// Lifts the hard limit of a generation that runs already, as far as the launcher may; it then
/// raises its own with [`raise_descriptors`].
pub(super) fn allow_descriptors(generation: Pid, needed: u64) {
    let now = getrlimit(Resource::Nofile);
    if now.maximum.is_some_and(|hard| hard < needed) {
        let _ = prlimit(Some(generation), Resource::Nofile, at_least(now, needed));
    }
}

/// Lets the rings of two generations (an upgrade runs both, and the kernel counts per user) be
/// locked, as far as it is allowed.
pub(super) fn raise_locked_memory(workers: usize) {
    let now = getrlimit(Resource::Memlock);
    let needed = 2 * workers as u64 * RING_BYTES;
    if setrlimit(Resource::Memlock, at_least(now, needed)).is_err() {
        // Without privilege the hard limit stays; up to there is better than nothing.
        let _ = setrlimit(
            Resource::Memlock,
            Rlimit {
                current: now.maximum,
                ..now
            },
        );
    }
}

/// A ring of 2,048 submissions and 8,192 completions was measured at 270 KiB.
const RING_BYTES: u64 = 512 << 10;
/// Ring, eventfd, two epoll sets, two timers, and one accepted connection over the limit; and the two descriptors that each
/// tunnel has twice while it is laid to rest, in two steps of the wheel.
const FOR_EACH_WORKER: usize = 8 + 2 * 2 * A_STEP as usize;
/// Standard streams, the launcher's channel, control and stats sockets with their clients, runtime.
const FOR_THE_PROCESS: usize = 128;

/// A limit is never lowered: `None` is no limit at all.
fn at_least(now: Rlimit, needed: u64) -> Rlimit {
    let larger = |limit: Option<u64>| limit.map(|limit| limit.max(needed));
    Rlimit {
        current: larger(now.current),
        maximum: larger(now.maximum),
    }
}

fn refused(now: Rlimit, needed: u64) -> String {
    let hard = now
        .maximum
        .map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    format!(
        "the configuration needs {needed} open files, the limit is {hard}: allow more \
         (LimitNOFILE={needed} in the unit, or `ulimit -n {needed}` as root) or lower \
         process.max_connections or limits.idle_links"
    )
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::config::{self, EmptyEnvironment};
    use std::path::Path;

    #[test]
    fn limits_only_grow() {
        let limits = |current, maximum| Rlimit { current, maximum };
        let cases = [
            (
                limits(Some(1024), Some(4096)),
                2000,
                limits(Some(2000), Some(4096)),
            ),
            (
                limits(Some(1024), Some(4096)),
                9000,
                limits(Some(9000), Some(9000)),
            ),
            (limits(Some(9999), None), 2000, limits(Some(9999), None)),
            (limits(None, None), 2000, limits(None, None)),
        ];
        for (now, needed, wanted) in cases {
            assert_eq!(at_least(now, needed), wanted);
        }
    }

    #[test]
    fn the_need_follows_the_settings() {
        let need_of = |connections: u32, servers: &str, workers| {
            let text = format!(
                "[process]\nmax_connections = {connections}\n[[listener]]\nname = \"in\"\n\
                 bind = \"127.0.0.1:81\"\ndefault_pool = \"app\"\n{servers}"
            );
            let config = config::load(Path::new("test.toml"), &text, &EmptyEnvironment);
            descriptors(&config.unwrap(), workers)
        };
        let need = |connections, servers: usize, workers| {
            let server =
                |i| format!("[[pool.app.server]]\nname = \"{i}\"\naddress = \"127.0.0.1:1\"\n");
            need_of(
                connections,
                &(0..servers).map(server).collect::<String>(),
                workers,
            )
        };
        let small = need(1000, 1, 1);
        assert_eq!(small, 2000 + 64 + (8 + 256 + 1) + 1 + 128);
        assert!(
            need(1000, 2, 1) > small + 60,
            "idle links of another server"
        );
        let large = need(100_000, 1000, 64);
        assert!((316_000..322_000).contains(&large), "{large}");
        // A name counts as many servers as it may become, and the questions for it.
        let named = |most: usize| {
            let server = "[[pool.app.server]]\nname = \"node\"\naddress = \"node.example:1\"\nmax_servers = ";
            need_of(1000, &format!("{server}{most}\n"), 1)
        };
        assert_eq!(named(1), small + DNS_DESCRIPTORS as u64);
        assert_eq!(named(3), named(1) + 2 * (64 + 1));
    }

    #[test]
    fn a_refusal_names_the_figure() {
        let now = Rlimit {
            current: Some(10),
            maximum: Some(20),
        };
        let text = refused(now, 8492);
        assert!(
            text.contains("8492") && text.contains("limit is 20"),
            "{text}"
        );
    }
}
