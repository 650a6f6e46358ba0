//! Following the plan in force while a request waits for a server.
//!
//! An exchange keeps what its route decided: the pool's name, and the head as it was written. Which servers the pool of that name
//! has, and its settings, are those of the plan in force each time a server is chosen: at the start of the
//! exchange, and again after every wait, be it in the queue, for a connection, or before another attempt. Once a server
//! has the request, nothing of it changes any more.
//!
//! A pool that is gone from the plan keeps the servers that it had last for those that wait for one.

use super::desk::Desk;
use super::story::Story;
use crate::balance::{Counter, Live, Pool};
use crate::ring::{Call, Timer};

/// Ends the waits of a timer when the worker takes a new plan, for as long as this lives.
pub(super) struct PlanCalls<'a>(&'a Timer);

impl<'a> PlanCalls<'a> {
    /// The timer is not to be told to heed another call meanwhile.
    pub(super) fn on(timer: &'a Timer) -> Self {
        timer.heed(Some(Call::Plan));
        Self(timer)
    }
}

impl Drop for PlanCalls<'_> {
    fn drop(&mut self) {
        self.0.heed(None);
        self.0.disarm();
    }
}

/// Gives the exchange its pool as the plan in force has it, and carries over what it knows of servers. A server that was
/// chosen and is not there any more is no longer chosen; a cookie's server may have a successor. False when nothing has
/// changed.
pub(super) fn follow(desk: &Desk, story: &mut Story) -> bool {
    let Some(before) = story.pool.clone() else {
        return false;
    };
    let Some(now) = desk.plan().pool_named(&before.settings.name) else {
        return false;
    };
    if now.is_same_plan(&before) {
        return false;
    }
    story
        .verdict
        .carry_over(|at| now.successor(&before.servers[at]));
    if before.settings.sticky != now.settings.sticky {
        story.verdict.forget_cookie();
    }
    if before.settings.balance != now.settings.balance {
        story.key = None;
    }
    if let Some(chosen) = story.server.take() {
        let live = &before.servers[chosen].live;
        story.server = now.place_of(live);
        if story.server.is_none() && story.verdict.server.is_none() {
            live.add(desk.worker, Counter::Redispatches, 1);
            story.redispatched = true;
        }
    }
    story.pool = Some(now);
    true
}

/// Whether a server of this pool is in the plan in force, or the pool is gone from it.
pub(super) fn is_present(desk: &Desk, pool: &Pool, live: &Live) -> bool {
    let now = desk.plan().pool_named(&pool.settings.name);
    now.is_none_or(|now| now.place_of(live).is_some())
}
