//! What becomes of live tunnels when their server goes: `on_down` and `drain.close_after`.
//!
//! Whoever speaks of a server (a check, an agent, a command, a reload) only sets its state. Here its standing is compared with
//! what was seen before, each time [`super::pace`] is woken by one of them or by a deadline.

use super::closing::{Cause, Order};
use super::desk::{self, Desk};
use crate::balance::{self, Pool, Server, Standing};
use crate::config::OnDown;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// What was seen last, by the number of a server's live state; as many as the plan has servers.
#[derive(Default)]
pub(super) struct Leaving {
    seen: HashMap<usize, Seen>,
}

#[derive(Clone, Copy)]
struct Seen {
    /// Its tunnels are not to stay, if the pool's `on_down` says so.
    stopped: bool,
    /// The beginning of the drain whose tunnels have been ordered to be closed.
    closed: Option<u64>,
}

impl Leaving {
    /// Looks at every server of the plan in force; says when to look again for the sake of a drain.
    pub(super) fn look(&mut self, desk: &Desk, now_ms: u64) -> Option<Duration> {
        let plan = desk.plan.load();
        let (mut seen, mut soonest) = (HashMap::with_capacity(self.seen.len()), None);
        for pool in &plan.pools {
            for server in &pool.servers {
                let id = server.live.id();
                let (now, left) = look(desk, pool, server, self.seen.get(&id).copied(), now_ms);
                seen.insert(id, now);
                soonest = soonest.into_iter().chain(left).min();
            }
        }
        self.seen = seen;
        soonest
    }
}

fn look(
    desk: &Desk,
    pool: &Pool,
    server: &Server,
    before: Option<Seen>,
    now_ms: u64,
) -> (Seen, Option<Duration>) {
    let (live, standing) = (&server.live, server.live.standing());
    // A pool in a panic does not believe that its servers are gone; and an ejection is for a while and about requests.
    let stopped = standing.is_gone() && !pool.live.panics();
    // A server that was never seen, as at the start, has not gone.
    let before = before.unwrap_or(Seen {
        stopped,
        closed: None,
    });
    match (before.stopped, stopped, pool.settings.on_down) {
        (false, true, OnDown::Close(over)) => {
            let cause = match standing {
                Standing::Maintenance => Cause::Maintenance,
                _ => Cause::Down,
            };
            close(desk, server, cause, over);
        }
        (true, false, _) => {
            let why = match standing.is_gone() {
                true => "health is ignored",
                false => "it is back",
            };
            stop(desk, server, why, |cause| {
                matches!(cause, Cause::Down | Cause::Maintenance)
            });
        }
        _ => {}
    }
    let drain = &pool.settings.drain;
    let since = live.draining_since_ms();
    let left = drain
        .close_after
        .zip(since)
        .filter(|_| before.closed != since)
        .map(|(after, since)| balance::left(since, after, now_ms));
    let mut closed = before.closed.filter(|_| before.closed == since);
    if before.closed.is_some() && closed.is_none() {
        stop(desk, server, "it does not drain any more", |cause| {
            cause == Cause::Drain
        });
    }
    if left == Some(Duration::ZERO) {
        close(desk, server, Cause::Drain, drain.close_over);
        closed = since;
    }
    let left = left.filter(|left| !left.is_zero());
    (Seen { stopped, closed }, left)
}

fn close(desk: &Desk, server: &Server, cause: Cause, over: Duration) {
    let order = Order {
        server: desk::name(server),
        live: Arc::clone(&server.live),
        cause,
        over,
    };
    let workers = desk.workers.count();
    desk.closings.begin(order, workers, &desk.events);
}

fn stop(desk: &Desk, server: &Server, why: &str, which: impl Fn(Cause) -> bool) {
    desk.closings.stop(&server.live, why, &desk.events, which);
}
