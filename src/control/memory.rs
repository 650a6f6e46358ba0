//! How much memory the service can come to hold: a bound that follows from the configuration.
//!
//! [`Bound::of`] adds up what there can be at once, each thing in the state in which it holds most. Every [`Term`]
//! says what is held; the constants beside it say why it cannot be more. `ringbolt check` prints the sum, and
//! tests/floods.rs drives the proxy against it: the peak stays below, and the heaviest flood comes within a third.
//!
//! It is about resident memory of both processes. The kernel's own (socket buffers above all, see
//! `net.ipv4.tcp_mem`) is not in it: Ringbolt stops receiving for whoever does not read, so there it is
//! the kernel's usual bound per socket, twice a connection.

use crate::balance;
use crate::balance::clients::Clients;
use crate::config::{CheckKind, Config, Listener, Pool, Route, Server};
use crate::control::{logs, probes};
use crate::proxy;
use crate::record::{self, RecentRefusals};
use crate::ring::{self, Buffer};
use crate::wire::excerpt::EXCERPT;

/// The bound, taken apart; the largest term first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    /// What it consists of.
    pub terms: Vec<Term>,
}

/// A kind of thing that takes memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// What is counted, as a plural.
    pub what: &'static str,
    /// How many there can be.
    pub count: u64,
    /// Bytes that one of them can hold.
    pub each: u64,
}

impl Term {
    /// Bytes of all of them.
    pub const fn bytes(&self) -> u64 {
        self.count.saturating_mul(self.each)
    }
}

impl Bound {
    /// The bound of a configuration that so many workers carry.
    pub fn of(config: &Config, workers: usize) -> Self {
        let servers: usize = config.pools.iter().map(Pool::most_servers).sum();
        let clients = config.process.max_connections as usize;
        let named = config.pools.iter().any(|pool| !pool.templates.is_empty());
        // Servers whose address DNS has no more live on in the exchanges and tunnels that they have.
        let former = if named { clients } else { 0 };
        let links = (workers * servers * config.limits.idle_links).min(clients);
        let term = |what, count: usize, each: usize| Term {
            what,
            count: count as u64,
            each: each as u64,
        };
        let mut terms = vec![
            term("connections", clients, connection(config)),
            term("workers", workers, worker()),
            term("idle links", links, LINK),
            term("log blocks", record::most_blocks(workers), record::BLOCK),
            term("log targets", config.logs.len(), logs::TARGET),
            term("servers", servers, server(workers)),
            term("bytes of pages", config.page_bytes(), PAGE_BYTE),
            term("source addresses", sources(config), PLANS * SOURCE),
            term("tables of clients", 1, tables(config)),
            term("former servers", former, LEFT + workers * COUNTERS),
            term("queue places", queue_places(config).min(clients), WAITER),
            term("bytes of sessions", sessions(config), RESIZED),
            term(
                "checks",
                checks(config),
                probes::held(config.limits.head_size),
            ),
            term("processes", 1, PROCESSES),
        ];
        terms.retain(|term| term.bytes() > 0);
        terms.sort_by_key(|term| std::cmp::Reverse(term.bytes()));
        Self { terms }
    }

    /// Bytes in all.
    pub fn total(&self) -> u64 {
        self.terms.iter().map(Term::bytes).sum()
    }
}

impl std::fmt::Display for Bound {
    /// `at most 341 MiB resident: 4096 connections × 80 KiB, …`: what is at least a hundredth of it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "at most {} resident: ", size(self.total()))?;
        let (large, small): (Vec<&Term>, Vec<&Term>) = self
            .terms
            .iter()
            .partition(|term| term.bytes() * 100 >= self.total());
        for Term { what, count, each } in large.into_iter().copied() {
            match count {
                1 => write!(f, "{} for the {what}, ", size(each))?,
                _ => write!(f, "{count} {what} × {}, ", size(each))?,
            }
        }
        let rest: u64 = small.into_iter().map(Term::bytes).sum();
        write!(f, "{} for the rest", size(rest))
    }
}

/// Checks and agents' questions that can be under way at once and hold what they read; one that only connects holds nothing.
fn checks(config: &Config) -> usize {
    let of_server = |server: &Server| {
        let check = server.check.as_ref();
        let reads = check.is_some_and(|check| check.kind != CheckKind::Tcp);
        usize::from(reads) + usize::from(server.agent.is_some())
    };
    let asked = config.pools.iter().map(|pool| pool.most_of(of_server));
    asked.sum::<usize>().min(probes::AT_ONCE)
}

/// A client's connection while its exchange holds most: the request not yet taken by the server, the response
/// not yet taken by the client. Before (a head that arrives) and after (a tunnel: two directions, and at
/// its start two heads) it holds less.
fn connection(config: &Config) -> usize {
    let head = config.limits.head_size;
    let captures = config.listeners.iter().map(captures).max().unwrap_or(0);
    // What a route adds to heads.
    let most = |bytes: fn(&Route) -> usize| config.routes.iter().map(bytes).max().unwrap_or(0);
    let (asked, answered) = (
        most(|route| route.request_headers.bytes()),
        most(|route| route.response_headers.bytes()),
    );
    // Received from the client: the head on its way, or what was sent behind the present request. Grows to the bound
    // of a head; more is left in the kernel.
    let inbox = Buffer::storage_for(head);
    // The head as it goes on and the log's texts, until a server has answered.
    let request = Buffer::storage_for(head + proxy::ADDED + proxy::TEXTS + captures + asked);
    // Towards the server: first that head and what came behind it, later what one receive gave. Beyond the large class
    // it is the worker's allowance.
    // With it goes a body that another attempt sends again.
    let body = config.pools.iter().map(kept_body).max().unwrap_or(0);
    let up = Buffer::storage_for(head + proxy::ADDED + body + asked);
    // Towards the client: the response's head as it arrives; then as it goes on, or what one receive gave.
    let down = Buffer::storage_for(head + proxy::ADDED + answered);
    // The copy of that body, made while it was sent for the first time.
    let copy = if body > 0 {
        Buffer::storage_for(body)
    } else {
        0
    };
    let learns = config.pools.iter().any(|pool| pool.engine_io.is_some());
    let learning = if learns { proxy::LEARNING } else { 0 };
    proxy::TASK + RUNTIME + inbox + request + up + copy + down + learning
}

/// Bytes of a body that a pool keeps for another attempt.
fn kept_body(pool: &Pool) -> usize {
    let retry = pool.retry.as_ref().filter(|retry| retry.on.repeats());
    retry.map_or(0, |retry| retry.buffer)
}

/// Tables of client networks, all together: the present ones, and as many again, in case a reload makes others
/// while exchanges from before still hold the old.
fn tables(config: &Config) -> usize {
    let rates = config.listeners.iter();
    let tables = rates.filter_map(|l| l.client_rate.as_ref()).map(|rate| {
        let kinds = usize::from(rate.requests.is_some()) + usize::from(rate.tunnels.is_some());
        2 * kinds * Clients::bytes(rate.networks)
    });
    tables.sum()
}

/// Texts that a listener copies into its log lines.
fn captures(listener: &Listener) -> usize {
    let both = listener
        .capture_request
        .iter()
        .chain(&listener.capture_response);
    both.map(|capture| capture.length).sum()
}

/// A worker: its scratch buffer, buffers kept for reuse, its last refused messages, the allowance for large leftovers (one receive begins below
/// it and may end above), its ring, its stack.
const fn worker() -> usize {
    let kept = ring::KEPT * (Buffer::SMALL + Buffer::LARGE);
    2 * ring::SCRATCH + kept + ring::GENEROUS + RING + STACK + REFUSED
}

/// A server: its settings in the plans that are in use, with turns in the pool's schedule, and its counters, a
/// slot for each worker.
const fn server(workers: usize) -> usize {
    PLANS * SETTINGS + workers * COUNTERS
}

/// Bytes of the tables of Engine.IO sessions.
fn sessions(config: &Config) -> usize {
    let pools = config.pools.iter();
    let kept = pools.filter_map(|pool| pool.engine_io.as_ref());
    kept.map(|kept| balance::bytes_of_sessions(kept.sessions))
        .sum()
}

fn sources(config: &Config) -> usize {
    let servers = config.pools.iter().flat_map(|pool| &pool.servers);
    servers.map(|server| server.source.len()).sum()
}

/// As many as may wait for servers: for none, where no server has a bound.
fn queue_places(config: &Config) -> usize {
    let lines = |pool: &Pool| {
        let fixed = pool.servers.iter().map(|server| (1, &server.bounds));
        let named = pool
            .templates
            .iter()
            .map(|t| (t.max_servers, &t.server.bounds));
        let bounded = fixed.chain(named).filter(|(_, bounds)| bounds.any());
        let own: usize = bounded
            .map(|(count, bounds)| count * bounds.queue as usize)
            .sum();
        if own > 0 {
            own + pool.max_queue as usize
        } else {
            0
        }
    };
    config.pools.iter().map(lines).sum()
}

/// A ticket, its place in the table and in the news, its waker; and while the client is watched as well, a further
/// operation and its poll.
const WAITER: usize = 1024;
/// Two operations and their polls, a place on the wheel of deadlines, the listener's and the link's streams: measured
/// at 1 KiB, with tables that double as they grow. And what the allocator rounds the task's size up to.
const RUNTIME: usize = 4 * 1024;
/// An unused link: its stream, its place in the store, its entry in the driver's table. There are as many as the
/// settings allow, but no more than there were clients to need them: descriptors are counted in the same way.
const LINK: usize = 512;
/// A ring of 1,024 submissions and 8,192 completions, as the process sees it, was measured at 270 KiB.
const RING: usize = 512 * 1024;
/// The last refused messages of a worker: the excerpt of each, and what is known of it.
const REFUSED: usize = RecentRefusals::MOST * (EXCERPT + 512);
/// What of a worker's stack was ever touched: parsing keeps its lines there (256 of them), nothing is recursive.
const STACK: usize = 256 * 1024;
/// The present plan, the next one while it is built, and two that exchanges from before still follow. Tunnels and connections
/// between two requests keep none. (Each reload during a long exchange may keep one more, and so may each change of what DNS says;
/// without its listeners and routes, where those stay the same.)
const PLANS: usize = 4;
/// Names, address, keys, its share of the schedule (256 turns at most), health.
const SETTINGS: usize = 4 * 1024;
/// A byte of a page: as it was read and as it is sent, in each plan in use and in the launcher; while it travels from there, as
/// text of up to four bytes at either end.
const PAGE_BYTE: usize = 2 * (PLANS + 2) + 8;
/// A reload that sets another size holds the table before it as well, while exchanges still follow that plan.
const RESIZED: usize = 2;
/// An address to connect from, in the settings and with its marks.
const SOURCE: usize = 64;
/// A server that no plan has any more: name, address, key, and its live state without the counters.
const LEFT: usize = 1024;
/// A worker's slot of a server's counters, in cache lines of its own.
const COUNTERS: usize = 256;
/// Both processes before the first client, measured at 13 MiB (27 in a debug build): program, allocator, control
/// thread with its sockets' 64 clients, the log's writer.
const PROCESSES: usize = 32 * 1024 * 1024;

/// `341 MiB`, `80 KiB`, `512 bytes`
fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} bytes"),
        10_240..10_485_760 => format!("{} KiB", bytes.div_ceil(1 << 10)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::config::{self, EmptyEnvironment};
    use std::path::Path;

    fn bound(lines: &str, listener: &str, workers: usize) -> Bound {
        let text = format!(
            "{lines}\n[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:81\"\ndefault_pool = \"app\"\n{listener}\n\
             [[pool.app.server]]\nname = \"a\"\naddress = \"127.0.0.1:1\"\n"
        );
        let config = config::load(Path::new("test.toml"), &text, &EmptyEnvironment);
        Bound::of(&config.unwrap(), workers)
    }

    #[test]
    fn the_bound_follows_the_settings() {
        let usual = bound("", "", 2);
        let (few, many) = (
            bound("[process]\nmax_connections = 500", "", 2),
            bound("[process]\nmax_connections = 1500", "", 2),
        );
        let each = (many.total() - few.total()) / 1000;
        assert!((70..90).contains(&(each >> 10)), "{each}");
        let larger = [
            ("[limits]\nhead_size = \"32KiB\"", "", 2),
            ("[limits]\nidle_links = 1000", "", 2),
            ("[[log]]\ntarget = \"stdout\"", "", 2),
            (
                "[[pool.app.server]]\nname = \"n\"\naddress = \"n.example:1\"",
                "",
                2,
            ),
            ("", "", 3),
            ("", "client_rate = { requests = 10 }", 2),
            (
                "[[route]]\npath = \"/a\"\nanswer = { body = \"hello\" }",
                "",
                2,
            ),
            (
                "pool.again.retry = { on = [\"503\"] }\npool.again.server = [{ name = \"a\", address = \"127.0.0.1:1\" }]",
                "",
                2,
            ),
            (
                "",
                "[pool.more]\nserver = [{ name = \"a\", address = \"127.0.0.1:2\", max_tunnels = 5 }]",
                2,
            ),
            (
                "",
                "capture_request = [{ header = \"a\", length = 1024 }, { header = \"b\", length = 1024 }, \
                  { header = \"c\", length = 1024 }]",
                2,
            ),
        ];
        for (lines, listener, workers) in larger {
            let total = bound(lines, listener, workers).total();
            assert!(total > usual.total(), "{lines}{listener}: {total}");
        }
    }

    #[test]
    fn it_reads_as_one_line() {
        let terms = vec![
            Term {
                what: "connections",
                count: 4096,
                each: 80 << 10,
            },
            Term {
                what: "processes",
                count: 1,
                each: 32 << 20,
            },
            Term {
                what: "workers",
                count: 2,
                each: 7 << 20,
            },
            Term {
                what: "idle links",
                count: 3,
                each: 500,
            },
        ];
        let text = "at most 367 MiB resident: 4096 connections × 80 KiB, 32 MiB for the processes, \
                    2 workers × 7168 KiB, 1500 bytes for the rest";
        assert_eq!(Bound { terms }.to_string(), text);
    }
}
