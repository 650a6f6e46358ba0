//! Passive checks: the clock and the log for what `balance::passive` decides.
//!
//! Woken by a worker whose server has had too many errors in a row, by a reload, some times in each window, and at the end of
//! each window and ejection. Workers only count; nothing here is waited for by any of them.

use super::desk::Desk;
use super::now_ms;
use crate::balance::passive::{Seen, Verdict, Watched};
use crate::balance::{Counter, Live, Pool};
use crate::config::{Level, Passive};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::time::timeout;

/// Runs for as long as the control thread does.
pub(super) async fn run(desk: Arc<Desk>) {
    let bell = desk.workers.bell();
    let ear = match bell.hear().and_then(UnixStream::from_std) {
        Ok(ear) => ear,
        Err(error) => {
            let text = format!("passive checks cannot run: {error}");
            return desk.events.say(Level::Error, text);
        }
    };
    let mut watch = Watch::default();
    loop {
        while ear.try_read(&mut [0; 16]).is_ok_and(|count| count > 0) {}
        bell.hush();
        let plan = desk.plan.load_full();
        let next = watch.look(&plan.pools, now_ms(), &|pool, server, verdict| {
            desk.tell_passive(pool, server, verdict);
        });
        let rung = ear.readable();
        let _ = match next {
            Some(wait) => timeout(wait, rung).await,
            None => Ok(rung.await),
        };
    }
}

/// Every server of a pool with passive checks, by the number of its live state: so a reload loses nothing.
#[derive(Default)]
struct Watch(HashMap<usize, Watched>);

impl Watch {
    /// Looks at them all and does what is due; says how long nothing is unless the bell rings.
    fn look(
        &mut self,
        pools: &[Arc<Pool>],
        now_ms: u64,
        tell: &dyn Fn(&Pool, usize, &Verdict),
    ) -> Option<Duration> {
        let before = std::mem::take(&mut self.0);
        let mut soonest: Option<u64> = None;
        for pool in pools {
            let Some(passive) = &pool.settings.passive else {
                continue;
            };
            for (index, server) in pool.servers.iter().enumerate() {
                let live = &server.live;
                let mut watched = before.get(&live.id()).copied().unwrap_or_default();
                let room = pool.may_eject(index);
                if let Some(verdict) = watched.step(seen(live), passive, room, now_ms) {
                    match verdict {
                        Verdict::Eject { until_ms, .. } => pool.eject(index, until_ms),
                        Verdict::Return { .. } => pool.restore(index),
                    }
                    tell(pool, index, &verdict);
                }
                let next = next_ms(&watched, passive, now_ms);
                soonest = soonest.into_iter().chain([next]).min();
                self.0.insert(live.id(), watched);
            }
        }
        soonest.map(|next| Duration::from_millis(next.saturating_sub(now_ms)))
    }
}

/// Not at once again, even if the clock was set back.
fn next_ms(watched: &Watched, passive: &Passive, now_ms: u64) -> u64 {
    watched
        .next_ms(passive, now_ms)
        .max(now_ms + LEAST_PAUSE_MS)
}

const LEAST_PAUSE_MS: u64 = 10;

fn seen(live: &Live) -> Seen {
    let totals = live.totals();
    let classes = [
        Counter::Responses1xx,
        Counter::Responses2xx,
        Counter::Responses3xx,
        Counter::Responses4xx,
        Counter::Responses5xx,
    ];
    Seen {
        streak: live.streak(),
        answers: classes.into_iter().map(|class| totals.get(class)).sum(),
        server_errors: totals.get(Counter::Responses5xx),
    }
}
