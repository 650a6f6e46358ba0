//! The wait for a server that has room.
//!
//! Who waits keeps a place in this thread's table of wakers. Whoever gives it a server rings the worker's [`Bell`](crate::balance::Bell):
//! at once when that is on the same thread, through the worker's mailbox otherwise.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::{Poll, Waker};
use std::time::Duration;

use super::connection::Connection;
use super::desk::Desk;
use super::ending::Ending;
use super::plan;
use super::reach::nobody;
use super::story::Story;
use crate::balance::rate::after_queue;
use crate::balance::{Ask, Busy, Counter, Missed, Pick, Pool, Waiting, Why};
use crate::ring::{Duplex, Elapsed, Stamp, Timer};

/// A server with room for what [`Pool::take`] had none for. Whose cookie names a server waits for that one; if too
/// many do already, it takes another, where the pool lets it move.
pub(super) async fn wait<C: Duplex>(
    connection: &Connection<C>,
    story: &mut Story,
    pool: &Pool,
    mut ask: Ask,
) -> Result<Pick, Ending> {
    let bell = &connection.guest.desk.waiters;
    let place = Place::new();
    let patience = Patience::new(&connection.guest.desk, pool);
    // Persistence may have overruled that it is down: then it is waited for as it is.
    let firm = |ask: &Ask| {
        let closed = |wanted: usize| !pool.servers[wanted].accepts_sticky();
        story.verdict.force || ask.wanted.is_some_and(closed)
    };
    let enter = |ask: &Ask, firm| pool.wait(ask, firm, bell, place.0);
    let insists = firm(&ask);
    let mut entered = enter(&ask, insists);
    if let Some(wanted) = ask.wanted {
        story.server = Some(wanted);
        if entered.is_err() && pool.settings.redispatch && !story.verdict.force {
            moved(connection, story, pool, wanted);
            ask.wanted = None;
            match pool.take(&ask) {
                Ok((pick, busy)) => {
                    (story.server, story.busy) = (Some(pick.server), Some(busy));
                    return Ok(pick);
                }
                // Their rates allow no more: that is why, not the length of the line.
                Err(Missed::NoServer) => match nobody(&connection.guest.desk, pool, &ask) {
                    Ending::NoServer => {}
                    over_rate => return Err(over_rate),
                },
                Err(Missed::Full) => entered = enter(&ask, false),
            }
        }
    }
    let waiting = entered.map_err(|_| Ending::QueueFull(later(connection, pool)))?;
    let side = usize::from(ask.wanted.is_none());
    story.queued[side] = waiting.position();
    let end = patiently(connection, &patience, &place, &waiting).await;
    story.marks.queued = Some(connection.guest.desk.now());
    match end {
        Some(Gone::Patience) if !waiting.is_over() => {
            waiting.expire();
            return Err(Ending::QueueTimeout(later(connection, pool)));
        }
        Some(Gone::Client) => return Err(Ending::LeftInQueue),
        Some(Gone::Patience) | None => {}
    }
    let given = waiting.given(pool).ok_or(Ending::NoServer)?;
    if let Some(wanted) = ask.wanted.take_if(|wanted| *wanted != given.0.server) {
        // It has gone down meanwhile.
        moved(connection, story, pool, wanted);
    }
    let admitted = admitted(connection, pool, &patience, given, &mut ask, insists).await;
    story.marks.queued = Some(connection.guest.desk.now());
    let (pick, busy) = admitted?;
    if let Some(wanted) = ask.wanted.filter(|wanted| *wanted != pick.server) {
        moved(connection, story, pool, wanted);
    }
    (story.server, story.busy) = (Some(pick.server), Some(busy));
    Ok(pick)
}

/// Waits until the rates of its server allow what has a place there. The place is kept meanwhile: whoever it was passed
/// on to would find no token either. Another server that has both is taken instead, unless the client's own is open.
async fn admitted<C: Duplex>(
    connection: &Connection<C>,
    pool: &Pool,
    patience: &Patience,
    (pick, busy): (Pick, Busy),
    ask: &mut Ask,
    insists: bool,
) -> Result<(Pick, Busy), Ending> {
    let desk = &connection.guest.desk;
    loop {
        ask.now_ms = desk.now().ms();
        let is_open = insists || pool.servers[pick.server].accepts_sticky();
        if is_open && pool.admits(&pick, ask) {
            return Ok((pick, busy));
        }
        let any = Ask {
            wanted: None,
            ..*ask
        };
        let is_bound = is_open && pick.why == Why::Cookie;
        if !is_bound && let Ok(other) = pool.take(&any) {
            busy.withdraw();
            return Ok(other);
        }
        let left = patience.left(desk).unwrap_or(Duration::MAX);
        if left == Duration::ZERO {
            busy.withdraw();
            return Err(nobody(desk, pool, if is_bound { ask } else { &any }));
        }
        let pause = pool.token_in(&pick, ask).min(LOOK).min(left);
        connection.timer.arm(Some(pause));
        connection.timer.fired().await;
        if connection.stream.peer_left() {
            busy.withdraw();
            return Err(Ending::LeftInQueue);
        }
    }
}

fn moved<C: Duplex>(connection: &Connection<C>, story: &mut Story, pool: &Pool, from: usize) {
    let live = &pool.servers[from].live;
    live.add(connection.guest.desk.worker, Counter::Redispatches, 1);
    story.server = None;
    story.redispatched = true;
    story.verdict.redispatched();
}

/// Seconds after which a client that was turned away should come again.
fn later<C: Duplex>(connection: &Connection<C>, pool: &Pool) -> u32 {
    let patience = plan::wait(pool.settings.timeouts.queue);
    let patience =
        patience.map(|patience| u64::try_from(patience.as_millis()).unwrap_or(u64::MAX / 2));
    after_queue(patience, connection.guest.desk.random())
}

/// How long anybody waits, for a place and then for a token.
struct Patience {
    began: Stamp,
    most: Option<Duration>,
}

impl Patience {
    fn new(desk: &Desk, pool: &Pool) -> Self {
        Self {
            began: desk.now(),
            most: plan::wait(pool.settings.timeouts.queue),
        }
    }

    /// `None` is for ever.
    fn left(&self, desk: &Desk) -> Option<Duration> {
        let waited = Duration::from_millis(desk.now().since(self.began));
        self.most.map(|most| most.saturating_sub(waited))
    }
}

/// What has run out before there was a place.
enum Gone {
    Patience,
    Client,
}

/// Waits for a place, for as long as the pool lets it and the client stays. `None` when there is one.
async fn patiently<C: Duplex>(
    connection: &Connection<C>,
    patience: &Patience,
    place: &Place,
    waiting: &Waiting,
) -> Option<Gone> {
    let desk = &connection.guest.desk;
    let (client, timer) = (&connection.stream, &connection.timer);
    loop {
        let left = patience.left(desk);
        if left == Some(Duration::ZERO) {
            return (!waiting.is_over()).then_some(Gone::Patience);
        }
        // What a client sends ahead would end every wait for it to leave.
        let watches = !client.has_input();
        let step = left.map_or(LOOK, |left| left.min(LOOK));
        timer.arm(if watches { left } else { Some(step) });
        match either(timer, client, watches, place, waiting).await {
            Ok(Came::Place) => return None,
            Ok(Came::Client) | Err(Elapsed) if client.peer_left() => {
                return Some(Gone::Client);
            }
            Ok(Came::Client) | Err(Elapsed) => {}
        }
    }
}

enum Came {
    Place,
    Client,
}

async fn either<C: Duplex>(
    timer: &Timer,
    client: &C,
    watches: bool,
    place: &Place,
    waiting: &Waiting,
) -> Result<Came, Elapsed> {
    let mut input = pin!(client.readable());
    let came = poll_fn(|cx| {
        if waiting.is_over() {
            return Poll::Ready(Came::Place);
        }
        place.watch(cx.waker());
        if watches && input.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Came::Client);
        }
        Poll::Pending
    });
    timer.limit(came).await
}

/// Wakes who waits at a place of this thread, if anybody does.
pub fn knock(place: u32) {
    let waker = WAITERS.with_borrow_mut(|waiters| {
        let waker = waiters.wakers.get_mut(place as usize);
        waker.and_then(Option::take)
    });
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A place in this thread's table, free again when dropped.
struct Place(u32);

impl Place {
    fn new() -> Self {
        WAITERS.with_borrow_mut(|waiters| {
            Self(waiters.free.pop().unwrap_or_else(|| {
                waiters.wakers.push(None);
                (waiters.wakers.len() - 1) as u32
            }))
        })
    }

    fn watch(&self, waker: &Waker) {
        WAITERS.with_borrow_mut(|waiters| {
            let known = &mut waiters.wakers[self.0 as usize];
            if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
                *known = Some(waker.clone());
            }
        });
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = WAITERS.try_with(|waiters| {
            let mut waiters = waiters.borrow_mut();
            waiters.wakers[self.0 as usize] = None;
            waiters.free.push(self.0);
        });
    }
}

#[derive(Default)]
struct Waiters {
    wakers: Vec<Option<Waker>>,
    free: Vec<u32>,
}

thread_local! {
    static WAITERS: RefCell<Waiters> = RefCell::default();
}

/// How often who waits looks whether its client is still there, and whether another server will do, where that cannot be
/// waited for.
const LOOK: Duration = Duration::from_millis(500);
