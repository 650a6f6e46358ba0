//! Those who wait for a server that has room, first come first served over all workers.
//!
//! ```text
//!                     ┌ a server's own line: clients whose cookie names it ┐
//!  worker ── Entered ─┤                                                    ├─ the oldest that fits ──► given the place,
//!                     └ the pool's line: whoever takes any server          ┘        and its worker is rung
//! ```
//!
//! A place is handed on: whoever tells that a server has room takes a place there for the oldest who can use it, in the
//! server's own line or in the pool's, and only then wakes it. So nobody who comes later is faster, and a place that a
//! waiter is woken for cannot be gone by then.
//!
//! The lines are one plain table that one thread at a time has on its desk. Nobody waits for the table: what happened
//! is left as [`News`], and who has the table (or finds it lying there) goes through all news before laying it back, and looks
//! once more afterwards. This is "flat combining" (D. Hendler et al., 2010) without a lock to wait for.
//!
//! **No wake-up is lost.** Who enters counts itself as waiting and then looks for room; who leaves a server gives its place
//! back and then looks for those who wait. With sequentially consistent operations at least one of the two sees the
//! other, and tells. The same holds for a server that is closed, for news and for the table.
//!
//! Bounds: `max_queue` of the server or the pool, which its [`Line`] counts. News are no more than two for each who waits and one
//! for each session that ends.

use super::line::Line;
use super::live::{Live, PoolLive};
use super::room::Session;
use super::{Busy, Pick, Pool, Why};
use crossbeam_queue::{ArrayQueue, SegQueue};
use std::collections::BTreeMap;
use std::sync::atomic::{
    AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst, fence,
};
use std::sync::{Arc, OnceLock};

/// How a worker is told that one of those who wait on it has a place. Called on any thread; must not block.
pub trait Bell: Send + Sync {
    /// `place` is what was given to [`Pool::wait`](super::Pool::wait).
    fn ring(&self, place: u32);
}

/// Where those who wait for a pool and its servers are kept; as long as the pool lives, whatever plan they follow.
#[derive(Debug)]
pub(super) struct Queue {
    /// In all lines together.
    waiting: AtomicU32,
    /// Who came how manyth.
    order: AtomicU64,
    news: SegQueue<News>,
    table: ArrayQueue<Box<Table>>,
}

/// What happened, until it has been seen to.
enum News {
    Entered(Arc<Ticket>),
    Left(Arc<Ticket>),
    /// A server may have room, for one more at least.
    Room(Arc<Live>),
    /// Nobody can come to a server any more.
    Closed(Arc<Live>),
}

/// By line, by what is asked for, by order.
#[derive(Default)]
struct Table(BTreeMap<(u32, Session, u64), Arc<Ticket>>);

/// The line of those who take any server.
const SHARED: u32 = u32::MAX;

/// Somebody who waits.
struct Ticket {
    order: u64,
    session: Session,
    /// Whose line it came to.
    own: Option<Arc<Live>>,
    /// It waits for that server whatever becomes of it.
    firm: bool,
    state: AtomicU8,
    given: OnceLock<Arc<Live>>,
    bell: Arc<dyn Bell>,
    place: u32,
}

/// It waits in the line of a server.
const OWN: u8 = 0;
/// It waits in the pool's line.
const ANY: u8 = 1;
/// It has a place.
const GIVEN: u8 = 2;
/// It does not wait any more.
const GONE: u8 = 3;

/// What is asked for by somebody who has to wait.
pub(super) struct Wish {
    pub(super) session: Session,
    pub(super) own: Option<Arc<Live>>,
    pub(super) firm: bool,
    /// How many may wait in its line.
    pub(super) longest: u32,
    /// The place in the order of a request that waits already, which keeps it whatever the length of the line.
    pub(super) order: Option<u64>,
}

/// Somebody's wait. Dropping it ends the wait, and passes on a place that was given meanwhile.
pub struct Waiting {
    ticket: Option<Arc<Ticket>>,
    pool: Arc<PoolLive>,
    position: u32,
    order: u64,
}

impl Waiting {
    /// Whether it has a place by now.
    pub fn is_over(&self) -> bool {
        let state = |ticket: &Arc<Ticket>| ticket.state.load(SeqCst);
        self.ticket.as_ref().map(state) == Some(GIVEN)
    }

    /// Whether it has a place that can be taken, or passed on, under this plan of the pool: the place is on one of its
    /// servers, or no newer plan could have the server.
    pub fn is_over_in(&self, pool: &Pool) -> bool {
        let given = |ticket: &Arc<Ticket>| {
            let live = ticket.given.get();
            pool.is_newest() || live.is_some_and(|live| pool.place_of(live).is_some())
        };
        self.is_over() && self.ticket.as_ref().is_some_and(given)
    }

    /// How many waited in its line when it came.
    pub fn position(&self) -> u32 {
        self.position
    }

    /// The place; `pool` is the newest plan's as far as the caller has it. `None` while there is no place, or while the
    /// place is on a server that `pool` does not have: see [`Pool::is_newest`].
    pub fn given(&mut self, pool: &Pool) -> Option<(Pick, Busy)> {
        let ticket = self.ticket.as_ref().filter(|_| self.is_over())?;
        let live = ticket.given.get()?;
        let server = pool.place_of(live)?;
        let own = |own: &Arc<Live>| Arc::ptr_eq(own, live);
        let why = match ticket.own.as_ref().is_some_and(own) {
            true => Why::Cookie,
            false => Why::Fallback,
        };
        let busy = Busy::given(Arc::clone(live), ticket.session);
        self.ticket = None;
        Some((Pick { server, why }, busy))
    }

    /// Whether it came for another server than this one, or for one where this is `None`.
    pub(super) fn is_for_another(&self, server: Option<&Arc<Live>>) -> bool {
        let own = self.ticket.as_ref().and_then(|ticket| ticket.own.as_ref());
        own.map(|own| own.id()) != server.map(|live| live.id())
    }

    /// Its place in the order, if this is the pool that it is a place in.
    pub(super) fn order_in(&self, pool: &Arc<PoolLive>) -> Option<u64> {
        Arc::ptr_eq(&self.pool, pool).then_some(self.order)
    }

    /// It has waited for too long.
    pub fn expire(self) {
        if let Some(ticket) = &self.ticket {
            ticket.line(&self.pool).count_timeout();
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let mut state = ticket.state.load(SeqCst);
        while state != GIVEN {
            let left = ticket.state.compare_exchange(state, GONE, SeqCst, SeqCst);
            match left {
                Ok(_) => return self.pool.queue.left(ticket, state, &self.pool),
                Err(now) => state = now,
            }
        }
        if let Some(live) = ticket.given.get() {
            drop(Busy::given(Arc::clone(live), ticket.session));
        }
    }
}

impl Queue {
    /// How many wait, in all lines together.
    pub(super) fn waiting(&self) -> u32 {
        self.waiting.load(SeqCst)
    }

    /// Comes to wait, for a place that `room` looks for once it is counted. `None` when the line is as long as it may be.
    pub(super) fn enter(
        &self,
        pool: &Arc<PoolLive>,
        wish: Wish,
        bell: &Arc<dyn Bell>,
        place: u32,
        room: impl FnOnce(&Self),
    ) -> Option<Waiting> {
        let Wish {
            session,
            own,
            firm,
            longest,
            order,
        } = wish;
        let line = own.as_ref().map_or(&pool.line, |own| own.line());
        let position = match order {
            None => line.join(session, longest)?,
            Some(_) => line.move_in(session),
        };
        let order = order.unwrap_or_else(|| self.order.fetch_add(1, Relaxed));
        self.waiting.fetch_add(1, SeqCst);
        let state = if own.is_some() { OWN } else { ANY };
        let ticket = Arc::new(Ticket {
            order,
            session,
            own,
            firm,
            state: AtomicU8::new(state),
            given: OnceLock::new(),
            bell: Arc::clone(bell),
            place,
        });
        self.news.push(News::Entered(Arc::clone(&ticket)));
        // What it looks at is read without order: whoever changes it looks for those who wait after a fence of its own.
        fence(SeqCst);
        room(self);
        self.see_to(&pool.line);
        Some(Waiting {
            ticket: Some(ticket),
            pool: Arc::clone(pool),
            position,
            order,
        })
    }

    /// A server may have room: the oldest who can use it has it.
    pub(super) fn has_room(&self, live: &Arc<Live>, shared: &Line) {
        self.note_room(live);
        self.see_to(shared);
    }

    /// The same, to be followed by [`Queue::see_to`].
    pub(super) fn note_room(&self, live: &Arc<Live>) {
        self.news.push(News::Room(Arc::clone(live)));
    }

    /// Those who wait for a server to which nobody can come any more take any other; to be followed by
    /// [`Queue::see_to`].
    pub(super) fn note_closed(&self, live: &Arc<Live>) {
        self.news.push(News::Closed(Arc::clone(live)));
    }

    fn left(&self, ticket: Arc<Ticket>, state: u8, pool: &PoolLive) {
        ticket.line_of(state, &pool.line).leave(ticket.session);
        self.waiting.fetch_sub(1, SeqCst);
        self.news.push(News::Left(ticket));
        self.see_to(&pool.line);
    }

    /// Goes through the news, unless somebody is at it; `shared` is the pool's line.
    pub(super) fn see_to(&self, shared: &Line) {
        while let Some(mut table) = Desk::of(&self.table) {
            while let Some(news) = self.news.pop() {
                table.see_to(news, self, shared);
            }
            drop(table);
            // Whoever left news meanwhile may have found the table taken.
            fence(SeqCst);
            if self.news.is_empty() {
                return;
            }
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        let table = ArrayQueue::new(1);
        let laid = table.push(Box::default());
        debug_assert!(laid.is_ok());
        Self {
            waiting: AtomicU32::new(0),
            order: AtomicU64::new(0),
            news: SegQueue::new(),
            table,
        }
    }
}

/// Has the table, and lays it back whatever happens.
struct Desk<'a> {
    table: Option<Box<Table>>,
    home: &'a ArrayQueue<Box<Table>>,
}

impl<'a> Desk<'a> {
    /// `None` while somebody else has it.
    fn of(home: &'a ArrayQueue<Box<Table>>) -> Option<Self> {
        fence(SeqCst);
        let table = Some(home.pop()?);
        Some(Self { table, home })
    }

    fn see_to(&mut self, news: News, queue: &Queue, shared: &Line) {
        if let Some(table) = &mut self.table {
            table.see_to(news, queue, shared);
        }
    }
}

impl Drop for Desk<'_> {
    fn drop(&mut self) {
        if let Some(table) = self.table.take() {
            // It has room for the one table there is.
            let _ = self.home.push(table);
        }
    }
}

impl Table {
    fn see_to(&mut self, news: News, queue: &Queue, shared: &Line) {
        match news {
            News::Entered(ticket) => {
                // Who has left again by now is not let in, so that its leaving finds nobody.
                let state = ticket.state.load(SeqCst);
                if state != GONE {
                    self.0.insert(ticket.key(state), ticket);
                }
            }
            News::Left(ticket) => {
                for key in [OWN, ANY].map(|state| ticket.key(state)) {
                    // One that waits on elsewhere has the same place in the order.
                    if self
                        .0
                        .get(&key)
                        .is_some_and(|there| Arc::ptr_eq(there, &ticket))
                    {
                        self.0.remove(&key);
                    }
                }
            }
            News::Room(live) => {
                if self.give(&live, queue, shared) {
                    // Others have their turn before the next place of this one.
                    queue.note_room(&live);
                }
            }
            News::Closed(live) => self.close(&live, shared),
        }
    }

    /// Gives one place of a server to the oldest who can use it. True when it is worth to look again.
    fn give(&mut self, live: &Arc<Live>, queue: &Queue, shared: &Line) -> bool {
        let mut undone = false;
        loop {
            let Some(key) = self.oldest(live) else {
                return undone;
            };
            // Somebody who comes may be faster: then look who fits what is left.
            let Some(ticket) = live.try_begin(key.1).and_then(|_| self.0.remove(&key)) else {
                continue;
            };
            if ticket.give(live, shared) {
                queue.waiting.fetch_sub(1, SeqCst);
                ticket.bell.ring(ticket.place);
                return true;
            }
            // Meanwhile somebody may have found no room, whose news come after these.
            live.undo(ticket.session);
            undone = true;
        }
    }

    fn oldest(&self, live: &Live) -> Option<(u32, Session, u64)> {
        if live.is_removed() {
            return None;
        }
        let (open, in_turn) = (live.accepts_sticky(), live.is_in_turn());
        let first = |line: u32, session| {
            let mut those = self.0.range((line, session, 0)..=(line, session, u64::MAX));
            let fits = |ticket: &Ticket| match line {
                SHARED => in_turn,
                _ => open || ticket.firm,
            };
            let found = those.find(|(_, ticket)| fits(ticket));
            found.map(|(key, _)| *key)
        };
        let sessions = Session::ALL.into_iter().filter(|s| live.has_room(*s));
        let found = sessions.flat_map(|s| [first(live.slot(), s), first(SHARED, s)]);
        found.flatten().min_by_key(|(_, _, order)| *order)
    }

    /// Whoever waits for this server, and would take another one, joins the pool's line where it would be had it
    /// stood there from the start.
    fn close(&mut self, live: &Live, shared: &Line) {
        // Those in the line of a removed server move themselves.
        if live.accepts_sticky() || live.is_removed() {
            return;
        }
        for session in Session::ALL {
            let line = (live.slot(), session, 0)..=(live.slot(), session, u64::MAX);
            let moving = self.0.range(line).filter(|(_, ticket)| !ticket.firm);
            let moving: Vec<_> = moving.map(|(key, _)| *key).collect();
            for key in moving {
                let Some(ticket) = self.0.remove(&key) else {
                    continue;
                };
                let moved = ticket.state.compare_exchange(OWN, ANY, SeqCst, SeqCst);
                if moved.is_ok() {
                    live.line().leave(session);
                    shared.move_in(session);
                    self.0.insert(ticket.key(ANY), ticket);
                }
            }
        }
    }
}

impl Ticket {
    fn key(&self, state: u8) -> (u32, Session, u64) {
        let own = self.own.as_ref().filter(|_| state == OWN);
        let line = own.map_or(SHARED, |own| own.slot());
        (line, self.session, self.order)
    }

    /// Gives it a place that was taken for it; false if it has gone.
    fn give(&self, live: &Arc<Live>, shared: &Line) -> bool {
        let _ = self.given.set(Arc::clone(live));
        // Only who has the table moves it from line to line, so that it is this or gone.
        let state = self.state.load(SeqCst);
        let given = |state| {
            self.state
                .compare_exchange(state, GIVEN, SeqCst, SeqCst)
                .is_ok()
        };
        if state == GONE || !given(state) {
            return false;
        }
        self.line_of(state, shared).leave(self.session);
        true
    }

    fn line<'a>(&'a self, pool: &'a PoolLive) -> &'a Line {
        self.line_of(self.state.load(SeqCst), &pool.line)
    }

    /// Its line in this state.
    fn line_of<'a>(&'a self, state: u8, shared: &'a Line) -> &'a Line {
        let own = self.own.as_ref().filter(|_| state == OWN);
        own.map_or(shared, |own| own.line())
    }
}

#[cfg(test)]
mod tests;
