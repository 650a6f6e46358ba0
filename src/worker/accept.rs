//! Accepting: in batches after a poll, never beyond the limit, pausing when the system has no more.
//!
//! At the limit newcomers take the places of those who have sent nothing for the longest time, so that silent
//! connections, however many, keep nobody out. Where there is none of those, newcomers wait.

use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use crate::proxy::{self, Desk, Open};
use crate::record::{Event, Events};
use crate::ring::{self, Accepted, Call, Listener, Stamp, Timer};

/// Accepts from one socket until the worker drains, and then those that wait already.
///
/// # Errors
/// The socket cannot be watched: its clients would wait for ever.
pub(super) async fn run(
    desk: Rc<Desk>,
    events: Events,
    listener: usize,
    socket: OwnedFd,
    open: Open,
) -> io::Result<()> {
    let listener_index = listener;
    let listener = Listener::adopt(socket)?;
    let timer = Timer::new();
    let mut pause = Pause::default();
    while !desk.draining.get() {
        timer.arm(None);
        timer.heed(Some(Call::Drain));
        match timer.limit(listener.readable()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(error),
            Err(ring::Elapsed) => continue,
        }
        #[cfg(debug_assertions)]
        proxy::fault::at_accept()?;
        match batch(&desk, &listener, listener_index) {
            Batch::Taken => {
                pause.over(&events, &desk);
                ring::breathe().await;
            }
            Batch::Full(limit) => {
                pause.begin(&events, &desk, limit, || Event::limit_reached(limit));
                if listener.is_wanted() {
                    desk.gauge.want_room(ring::make_room() == 0);
                }
                room(&desk, &timer, limit).await;
            }
            Batch::Exhausted(error) => {
                let all = desk.gauge.connections();
                pause.begin(&events, &desk, all, || {
                    Event::accept_failed(&error.to_string())
                });
                timer.arm(Some(PAUSE));
                timer.fired().await;
            }
        }
    }
    empty(&desk, &listener, listener_index, &timer, &open).await;
    Ok(())
}

/// Accepts everybody whose handshake was complete, or under way, when the worker was told to stop: closing the socket resets
/// those that wait in it.
async fn empty(desk: &Rc<Desk>, listener: &Listener, index: usize, timer: &Timer, open: &Open) {
    listener.refuse_handshakes();
    open.refuses();
    let mut last = desk.now();
    while !ring::is_shutting_down() {
        let now = desk.now();
        if open.any_takes() {
            last = now;
        }
        let over = now.since(last) >= HANDSHAKE;
        match batch(desk, listener, index) {
            Batch::Taken if over && !listener.is_wanted() => return,
            Batch::Taken => {
                timer.arm(Some(PAUSE));
                let _ = timer.limit(listener.readable()).await;
                ring::breathe().await;
            }
            Batch::Full(limit) => room(desk, timer, limit).await,
            Batch::Exhausted(_) => {
                timer.arm(Some(PAUSE));
                timer.fired().await;
            }
        }
    }
}

enum Batch {
    Taken,
    Full(u32),
    Exhausted(io::Error),
}

/// Takes the clients who wait, some at a time so that those who are served already have their turn.
fn batch(desk: &Rc<Desk>, listener: &Listener, index: usize) -> Batch {
    let plan = desk.plan();
    let limit = plan.config.process.max_connections;
    for _ in 0..BATCH {
        if !desk.gauge.try_enter(limit) {
            return Batch::Full(limit);
        }
        match listener.accept() {
            Accepted::Client(stream, address) => {
                ring::spawn(proxy::serve(desk.clone(), stream, address, index));
            }
            Accepted::Nobody => {
                desk.gauge.leave();
                break;
            }
            Accepted::Exhausted(error) => {
                desk.gauge.leave();
                return Batch::Exhausted(error);
            }
        }
    }
    Batch::Taken
}

/// Waits until a connection of this worker ends, or for a moment: one of another worker may have.
async fn room(desk: &Desk, timer: &Timer, limit: u32) {
    timer.arm(Some(PAUSE));
    let freed = std::future::poll_fn(|cx| {
        if desk.gauge.connections() < limit {
            return Poll::Ready(());
        }
        desk.wait_for_room(cx.waker());
        Poll::Pending
    });
    let _ = timer.limit(freed).await;
}

/// Says once that accepting paused, and once that it goes on: when a tenth of the connections that there were is
/// gone, or nothing has gone wrong for a while. So a proxy that is just full does not say both with every client
/// that comes and goes.
#[derive(Default)]
struct Pause {
    /// Accepting paused; since when it was last so, and with how many connections.
    last: Option<(Stamp, u32)>,
}

impl Pause {
    fn begin(&mut self, events: &Events, desk: &Desk, full: u32, event: impl FnOnce() -> Event) {
        if self.last.is_none() {
            events.send(event());
        }
        self.last = Some((desk.now(), full));
    }

    fn over(&mut self, events: &Events, desk: &Desk) {
        let Some((last, full)) = self.last else {
            return;
        };
        let enough = desk.gauge.connections() <= full - full.div_ceil(10);
        if enough || desk.now().since(last) >= CALM {
            self.last = None;
            events.send(Event::accepting_again());
        }
    }
}

/// Clients taken at a time.
const BATCH: usize = 64;

/// Milliseconds from the last SYN that is taken to its connection: a round trip, with some margin for the Internet's.
const HANDSHAKE: u64 = 250;

/// How long accepting pauses when it cannot go on.
const PAUSE: Duration = Duration::from_millis(100);

/// Milliseconds without a failure after which accepting goes on as before.
const CALM: u64 = 10_000;
