//! Slow starts and drains go on as time passes.
//!
//! The share of a server that came back is a pure function of time, and so is whether the cookies of one that drains are
//! honoured; somebody has to look at the clock. This task sleeps from step to step while any of that is under way, and otherwise
//! until it is woken by whoever may have begun something: a check, an agent, a reload, a command. It then also looks at who
//! has gone ([`Leaving`]), and says when a panic (so few servers of a pool work that health is ignored) has begun or ended.

use super::desk::Desk;
use super::leaving::Leaving;
use super::now_ms;
use crate::balance::Pool;
use crate::record::{Event, Events};
use std::collections::HashSet;
use std::sync::Arc;
use tokio::time::timeout;

/// Runs for as long as the control thread does.
pub(super) async fn run(desk: Arc<Desk>) {
    let mut leaving = Leaving::default();
    let mut panics = HashSet::new();
    loop {
        let plan = desk.plan.load_full();
        say_panics(&plan.pools, &mut panics, &desk.events);
        let now_ms = now_ms();
        let pools = plan.pools.iter();
        let advanced = pools.filter_map(|pool| pool.advance(now_ms)).min();
        let left = leaving.look(&desk, now_ms);
        let woken = desk.came_back.notified();
        match advanced.into_iter().chain(left).min() {
            Some(step) => {
                let _ = timeout(step, woken).await;
            }
            None => woken.await,
        }
    }
}

/// Once when one begins and once when it ends; one that was over before anybody looked is not told of.
fn say_panics(pools: &[Arc<Pool>], told: &mut HashSet<String>, events: &Events) {
    for pool in pools {
        let name = &pool.settings.name;
        let begins = pool.live.panics();
        let news = match begins {
            true => told.insert(name.clone()),
            false => told.remove(name),
        };
        if news {
            let (working, servers) = pool.working();
            events.send(Event::Panic {
                pool: name.clone(),
                begins,
                working,
                servers,
            });
        }
    }
}
