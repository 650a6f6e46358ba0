//! Slow starts and drains go on as time passes.
//!
//! The share of a server that came back is a pure function of time, and so is whether the cookies of one that drains are
//! honoured; somebody has to look at the clock. This task sleeps from step to step while any of that is under way, and otherwise
//! until it is woken by whoever may have begun something: a check, an agent, a reload, a command. It then also looks at who
//! has gone ([`Leaving`]).

use super::desk::Desk;
use super::leaving::Leaving;
use super::now_ms;
use std::sync::Arc;
use tokio::time::timeout;

/// Runs for as long as the control thread does.
pub(super) async fn run(desk: Arc<Desk>) {
    let mut leaving = Leaving::default();
    loop {
        let plan = desk.plan.load_full();
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
