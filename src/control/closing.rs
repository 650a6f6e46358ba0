//! Ends tunnels of a server at a pace, so that their clients do not all come back in one instant.
//!
//! [`Closings`] holds the orders under way, one per server; [`run`] looks at the clock for them and lets the workers end what
//! is due ([`Workers::close`]). How many that is, is [`due`], a pure function of time. A tunnel has no timer for this.

use super::desk::Desk;
use crate::balance::Live;
use crate::proxy::{Closing, Why};
use crate::record::{Event, Events, ServerName};
use crate::worker::Workers;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

/// What is to be closed.
pub(super) struct Order {
    pub(super) server: ServerName,
    pub(super) live: Arc<Live>,
    pub(super) cause: Cause,
    /// Spread evenly over this time; zero is as fast as the workers can.
    pub(super) over: Duration,
}

/// What brought it about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// A command.
    Command,
    /// The pool's `on_down`, and it is down.
    Down,
    /// The pool's `on_down`, and it is in maintenance.
    Maintenance,
    /// The pool's `drain.close_after`.
    Drain,
}

/// The orders under way, one for each server at most; touched by the control thread alone.
#[derive(Default)]
pub(super) struct Closings {
    jobs: Mutex<Vec<Job>>,
    changed: Notify,
}

struct Job {
    order: Order,
    closing: Arc<Closing>,
    total: u32,
    begun: Instant,
    /// How many had ended, and how many were due, when the workers were asked last.
    seen: u32,
    asked: u32,
    /// After the time is over: how often in a row the workers found no more.
    vain: Option<u32>,
}

/// How many of `total` tunnels have to be ended so long after the beginning: the first at once, then one after the other at
/// equal distances, and none is left when the time is over.
pub(super) fn due(total: u32, elapsed: Duration, over: Duration) -> u32 {
    if elapsed >= over {
        return total;
    }
    let done = u128::from(total) * elapsed.as_nanos() / over.as_nanos();
    // Less than the total: it fits.
    (done as u32).saturating_add(1).min(total)
}

/// When more than `done` have to be ended, counted from the beginning.
pub(super) fn next(total: u32, done: u32, over: Duration) -> Duration {
    let part = over.as_nanos() * u128::from(done) / u128::from(total.max(1));
    // One nanosecond for what the division left over.
    Duration::from_nanos(u64::try_from(part).unwrap_or(u64::MAX - 1) + 1).min(over)
}

impl Closings {
    /// Begins; an order for the same server that is under way ends. Says how many tunnels there are to be closed.
    pub(super) fn begin(&self, order: Order, workers: usize, events: &Events) -> u32 {
        let total = order.live.tunnels();
        self.stop(&order.live, "another order follows", events, |_| true);
        if total > 0 {
            if !order.over.is_zero() {
                events.send(Event::TunnelsClosing {
                    server: order.server.clone(),
                    tunnels: total.into(),
                    over: order.over,
                    why: order.cause.words().to_owned(),
                });
            }
            self.jobs().push(Job::new(order, total, workers));
            self.changed.notify_one();
        }
        total
    }

    /// Ends an order of such a cause, if one is under way: the tunnels that it has not reached stay.
    pub(super) fn stop(
        &self,
        live: &Live,
        why: &str,
        events: &Events,
        which: impl Fn(Cause) -> bool,
    ) {
        self.jobs().retain(|job| {
            let ends = job.order.live.id() == live.id() && which(job.order.cause);
            if ends {
                job.tell(Some(why), events);
            }
            !ends
        });
    }

    /// Lets the workers do what is due; says when to look again, `None` when nothing is under way.
    fn step(&self, workers: &Workers, events: &Events) -> Option<Duration> {
        let now = Instant::now();
        let mut soonest = None;
        self.jobs().retain_mut(|job| {
            let wait = job.step(workers, now);
            if wait.is_none() {
                job.tell(None, events);
            }
            soonest = soonest.into_iter().chain(wait).min();
            wait.is_some()
        });
        soonest
    }

    fn jobs(&self) -> MutexGuard<'_, Vec<Job>> {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs for as long as the control thread does.
pub(super) async fn run(desk: Arc<Desk>) {
    loop {
        let wait = desk.closings.step(&desk.workers, &desk.events);
        let changed = desk.closings.changed.notified();
        match wait {
            Some(wait) => {
                let _ = timeout(wait, changed).await;
            }
            None => changed.await,
        }
    }
}

impl Job {
    fn new(order: Order, total: u32, workers: usize) -> Self {
        let why = match order.cause {
            Cause::Command | Cause::Drain => Why::Operator,
            Cause::Down | Cause::Maintenance => Why::ServerDown,
        };
        Self {
            closing: Arc::new(Closing::new(&order.live, why, workers)),
            order,
            total,
            begun: Instant::now(),
            seen: 0,
            asked: 0,
            vain: None,
        }
    }

    /// Says how long to wait for the next step; `None` when all is done.
    fn step(&mut self, workers: &Workers, now: Instant) -> Option<Duration> {
        if !self.closing.is_done() {
            return Some(MOMENT);
        }
        let (over, elapsed) = (self.order.over, now - self.begun);
        let ended = self.closing.ended();
        let found = ended > std::mem::replace(&mut self.seen, ended);
        if elapsed >= over {
            // Whatever is left, those that came meanwhile among them. Twice in vain: a tunnel that was just about to get
            // up or lie down may have been overlooked once.
            self.vain = Some(match self.vain {
                Some(vain) if !found => vain + 1,
                Some(_) | None => 0,
            });
            // Where clients can come back, as many are ended as there were: those who do are not meant.
            let live = &self.order.live;
            let come_back = live.standing().accepts_sticky() || live.pool().panics();
            let most = match (self.order.cause, come_back) {
                (Cause::Command | Cause::Down | Cause::Maintenance, true) => self.total,
                (_, false) | (Cause::Drain, true) => u32::MAX,
            };
            if self.vain == Some(2) || ended >= most {
                return None;
            }
            workers.close(&self.closing, most);
            return Some(MOMENT);
        }
        if self.order.live.tunnels() == 0 {
            return None;
        }
        let due = due(self.total, elapsed, over);
        // Who found no more of them is not asked for the same again.
        if ended < due && (found || due > self.asked) {
            self.asked = due;
            workers.close(&self.closing, due);
            return Some(MOMENT);
        }
        let next = next(self.total, due, over).saturating_sub(elapsed);
        Some(next.max(over / STEPS).max(MOMENT))
    }

    /// The line at the end; `stays` says why it is not the end of all of them.
    fn tell(&self, stays: Option<&str>, events: &Events) {
        let cause = self.order.cause.words();
        events.send(Event::TunnelsClosed {
            server: self.order.server.clone(),
            tunnels: self.closing.ended().into(),
            after: self.begun.elapsed(),
            why: match stays {
                None => cause.to_owned(),
                Some(why) => format!("{cause}; the others stay: {why}"),
            },
        });
    }
}

impl Cause {
    fn words(self) -> &'static str {
        match self {
            Self::Command => "by command",
            Self::Down => "it is down",
            Self::Maintenance => "it is in maintenance",
            Self::Drain => "it has drained for drain.close_after",
        }
    }
}

/// The least time from one step to the next: workers need it for what they were asked.
const MOMENT: Duration = Duration::from_millis(10);
/// Steps that an order is cut into at most: in each a worker may have to walk through all of its tunnels.
const STEPS: u32 = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn so_many_are_due() {
        for (total, elapsed, over, wanted) in [
            (60, 0, 3_000, 1),
            (60, 49, 3_000, 1),
            (60, 50, 3_000, 2),
            (60, 1_500, 3_000, 31),
            (60, 2_949, 3_000, 59),
            (60, 2_950, 3_000, 60),
            (60, 3_000, 3_000, 60),
            (60, 90_000, 3_000, 60),
            (1, 0, 30_000, 1),
            (3, 0, 30_000, 1),
            (3, 9_999, 30_000, 1),
            (3, 10_000, 30_000, 2),
            (3, 20_000, 30_000, 3),
            (0, 0, 30_000, 0),
            (0, 30_000, 30_000, 0),
            (5, 0, 0, 5),
            (u32::MAX, 1, 1_000, u32::MAX / 1_000 + 1),
            (u32::MAX, 1_000, 1_000, u32::MAX),
        ] {
            let found = due(total, ms(elapsed), ms(over));
            assert_eq!(found, wanted, "{total} over {over} ms after {elapsed}");
        }
    }

    proptest! {
        /// It never goes back, and changes when it is said to.
        #[test]
        fn steps_are_where_they_are_said_to_be(
            total in 1u32..5_000, over in 1u64..600_000, elapsed in 0u64..700_000,
        ) {
            let (over, elapsed) = (ms(over), ms(elapsed));
            let now = due(total, elapsed, over);
            prop_assert!((1..=total).contains(&now));
            if now < total {
                let at = next(total, now, over);
                prop_assert!(at > elapsed);
                prop_assert!(due(total, at, over) > now);
                prop_assert_eq!(due(total, at - Duration::from_nanos(2), over), now);
            }
        }
    }
}
