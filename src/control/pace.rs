//! Slow starts go on as time passes.
//!
//! The share of a server that came back is a pure function of time; somebody has to look at the clock. This task
//! sleeps from step to step while a slow start is under way, and otherwise until it is woken by whoever may have
//! begun one: a check, a reload, a command.

use super::desk::Desk;
use super::now_ms;
use std::sync::Arc;
use tokio::time::timeout;

/// Runs for as long as the control thread does.
pub(super) async fn run(desk: Arc<Desk>) {
    loop {
        let plan = desk.plan.load_full();
        let now_ms = now_ms();
        let pools = plan.pools.iter();
        let soonest = pools.filter_map(|pool| pool.advance(now_ms)).min();
        let woken = desk.came_back.notified();
        match soonest {
            Some(step) => {
                let _ = timeout(step, woken).await;
            }
            None => woken.await,
        }
    }
}
