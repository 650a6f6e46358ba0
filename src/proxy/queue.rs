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
use super::follow::{PlanCalls, follow};
use super::plan::{self, PoolHeld};
use super::reach::nobody;
use super::story::Story;
use crate::balance::rate::after_queue;
use crate::balance::{Ask, Busy, Counter, Missed, Pick, Pool, Waiting, Why};
use crate::ring::{Duplex, Elapsed, Stamp, Timer};

/// A server with room for what [`Pool::take`] had none for. Whose cookie names a server waits for that one; if too
/// many do already, it takes another, where the pool lets it move. The wait goes on under each new plan, in the same
/// place of the order; the story's pool is then that plan's.
pub(super) async fn wait<C: Duplex>(
    connection: &Connection<C>,
    story: &mut Story,
    ask: Ask,
) -> Result<Pick, Ending> {
    let Some(pool) = story.pool.clone() else {
        return Err(Ending::NoServer);
    };
    let _calls = PlanCalls::on(&connection.timer);
    let mut waiter = Waiter {
        connection,
        patience: Patience::new(&connection.guest.desk, &pool),
        place: Place::new(),
        insists: false,
        pool,
        ask,
    };
    waiter.insists = waiter.is_firm(story);
    let mut waiting = match waiter.enter(story)? {
        Entered::Served(pick) => return Ok(pick),
        Entered::Waits(waiting) => waiting,
    };
    let side = usize::from(waiter.ask.wanted.is_none());
    story.queued[side] = waiting.position();
    let (pick, busy) = loop {
        let end = waiter.patiently(&waiting).await;
        story.marks.queued = Some(connection.guest.desk.now());
        match end {
            Some(Gone::Patience) => {
                waiting.expire();
                return Err(Ending::QueueTimeout(later(connection, &waiter.pool)));
            }
            Some(Gone::Client) => return Err(Ending::LeftInQueue),
            Some(Gone::Plan) | None => {}
        }
        let moved = waiter.follow(story) && waiter.pool.is_moved(&waiting, &waiter.ask);
        if let Some(given) = waiting.given(&waiter.pool) {
            let admitted = waiter.admitted(story, given).await;
            story.marks.queued = Some(connection.guest.desk.now());
            if let Some(admitted) = admitted? {
                break admitted;
            }
        } else if !moved && !waiting.is_over() {
            continue;
        }
        // For another server than before, or the server of the place has gone since it was given.
        waiting = waiter.go_on(waiting)?;
    };
    if let Some(wanted) = waiter.ask.wanted.filter(|wanted| *wanted != pick.server) {
        moved(connection, story, &waiter.pool, wanted);
    }
    (story.server, story.busy) = (Some(pick.server), Some(busy));
    Ok(pick)
}

/// A request that waits, and what it waits for.
struct Waiter<'a, C> {
    connection: &'a Connection<C>,
    pool: PoolHeld,
    ask: Ask,
    /// For its server even if that is down.
    insists: bool,
    patience: Patience,
    place: Place,
}

enum Entered {
    Served(Pick),
    Waits(Waiting),
}

impl<C: Duplex> Waiter<'_, C> {
    /// Persistence may have overruled that its server is down: then it is waited for as it is.
    fn is_firm(&self, story: &Story) -> bool {
        let closed = |wanted: usize| !self.pool.servers[wanted].accepts_sticky();
        story.verdict.force || self.ask.wanted.is_some_and(closed)
    }

    fn join(&self) -> Result<Waiting, Missed> {
        let bell = &self.connection.guest.desk.waiters;
        self.pool.wait(&self.ask, self.insists, bell, self.place.0)
    }

    fn enter(&mut self, story: &mut Story) -> Result<Entered, Ending> {
        let (connection, pool) = (self.connection, self.pool.clone());
        let mut entered = self.join();
        if let Some(wanted) = self.ask.wanted {
            story.server = Some(wanted);
            if entered.is_err() && pool.settings.redispatch && !story.verdict.force {
                moved(connection, story, &pool, wanted);
                self.ask.wanted = None;
                self.insists = false;
                match pool.take(&self.ask) {
                    Ok((pick, busy)) => {
                        (story.server, story.busy) = (Some(pick.server), Some(busy));
                        return Ok(Entered::Served(pick));
                    }
                    // Their rates allow no more: that is why, not the length of the line.
                    Err(Missed::NoServer) => {
                        match nobody(&connection.guest.desk, &pool, &self.ask) {
                            Ending::NoServer => {}
                            over_rate => return Err(over_rate),
                        }
                    }
                    Err(Missed::Full) => entered = self.join(),
                }
            }
        }
        let full = |_| Ending::QueueFull(later(connection, &pool));
        entered.map(Entered::Waits).map_err(full)
    }

    /// Takes the pool as the plan in force has it. False when nothing has changed.
    fn follow(&mut self, story: &mut Story) -> bool {
        let changed = follow(&self.connection.guest.desk, story);
        if changed && let Some(pool) = &story.pool {
            self.pool = pool.clone();
            self.patience.most = plan::wait(self.pool.settings.timeouts.queue);
            (self.ask.wanted, self.ask.key) = (story.verdict.server, story.key);
            story.server = self.ask.wanted;
            self.insists = self.is_firm(story);
        }
        changed
    }

    /// Waits on for what is asked for now.
    fn go_on(&self, before: Waiting) -> Result<Waiting, Ending> {
        let bell = &self.connection.guest.desk.waiters;
        let Self {
            pool,
            ask,
            place,
            insists,
            ..
        } = self;
        let waits = pool.wait_on(before, ask, *insists, bell, place.0);
        waits.map_err(|_| Ending::QueueFull(later(self.connection, pool)))
    }

    /// Waits until the rates of its server allow what has a place there. The place is kept meanwhile: whoever it was passed
    /// on to would find no token either. Another server that has both is taken instead, unless the client's own is open.
    /// `None` when a new plan does not have the server.
    async fn admitted(
        &mut self,
        story: &mut Story,
        (mut pick, busy): (Pick, Busy),
    ) -> Result<Option<(Pick, Busy)>, Ending> {
        let (connection, desk) = (self.connection, &self.connection.guest.desk);
        if let Some(wanted) = self.ask.wanted.take_if(|wanted| *wanted != pick.server) {
            // It has gone down meanwhile.
            moved(connection, story, &self.pool, wanted);
        }
        loop {
            self.ask.now_ms = desk.now().ms();
            let is_open = self.insists || self.pool.servers[pick.server].accepts_sticky();
            if is_open && self.pool.admits(&pick, &self.ask).is_some() {
                return Ok(Some((pick, busy)));
            }
            let any = Ask {
                wanted: None,
                ..self.ask
            };
            let is_bound = is_open && pick.why == Why::Cookie;
            if !is_bound && let Ok(other) = self.pool.take(&any) {
                busy.withdraw();
                return Ok(Some(other));
            }
            let ahead = Ask {
                ahead: true,
                ..self.ask
            };
            // Else those that take theirs ahead would leave it none.
            if is_open && let Some(held) = self.pool.admits(&pick, &ahead) {
                story.request.wait = held;
                return Ok(Some((pick, busy)));
            }
            let left = self.patience.left(desk).unwrap_or(Duration::MAX);
            if left == Duration::ZERO {
                busy.withdraw();
                let ask = if is_bound { &self.ask } else { &any };
                return Err(nobody(desk, &self.pool, ask));
            }
            let pause = self.pool.token_in(&pick, &self.ask).min(LOOK).min(left);
            connection.timer.arm(Some(pause));
            connection.timer.fired().await;
            if connection.stream.peer_left() {
                busy.withdraw();
                return Err(Ending::LeftInQueue);
            }
            if self.follow(story) {
                match self.pool.place_of(busy.live()) {
                    Some(server) => pick.server = server,
                    None => {
                        busy.withdraw();
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Waits for a place, for as long as the pool lets it and the client stays. `None` when there is one.
    async fn patiently(&self, waiting: &Waiting) -> Option<Gone> {
        let desk = &self.connection.guest.desk;
        let (client, timer) = (&self.connection.stream, &self.connection.timer);
        // A place may be on a server that only the next plan has, which is on its way to this worker.
        let is_there = || waiting.is_over_in(&self.pool);
        loop {
            let left = self.patience.left(desk);
            if left == Some(Duration::ZERO) {
                return (!is_there()).then_some(Gone::Patience);
            }
            // What a client sends ahead would end every wait for it to leave.
            let watches = !client.has_input();
            let step = left.map_or(LOOK, |left| left.min(LOOK));
            timer.arm(if watches { left } else { Some(step) });
            match either(timer, client, watches, &self.place, is_there).await {
                Ok(Came::Place) => return None,
                Ok(Came::Client) | Err(Elapsed) if client.peer_left() => {
                    return Some(Gone::Client);
                }
                Err(Elapsed) if timer.called() => return Some(Gone::Plan),
                Ok(Came::Client) | Err(Elapsed) => {}
            }
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
    /// Nothing: the worker has a new plan.
    Plan,
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
    is_there: impl Fn() -> bool,
) -> Result<Came, Elapsed> {
    let mut input = pin!(client.readable());
    let came = poll_fn(|cx| {
        if is_there() {
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
