//! What the connections of one worker share: the plan, kept links, the log, scratch heads, counts.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::task::Waker;

use super::closing::{AT_A_TIME, Closing};
use super::handover::{self, Resting};
use super::plan::{Held, Local, Plan};
use super::rates::RampLive;
use super::tunnel::TunnelEnd;
use crate::balance;
use crate::record::{Log, RecentRefusals, RefusalCounts, RefusedMessage};
use crate::ring::{self, Bell, Call, Clock, Rest, Stamp};
use crate::upstream::Links;
use crate::wire::cookie::Crumb;
use crate::wire::forward::Edit;
use crate::wire::request::RequestHead;
use crate::wire::response::ResponseHead;
use crate::wire::{Blame, Refusal};

/// One worker's desk. Everything on it belongs to the worker's thread, except the gauge.
pub struct Desk {
    /// The worker's number, for its slots of counters.
    pub worker: usize,
    /// Kept connections to servers.
    pub links: Links,
    /// Access lines on their way.
    pub log: RefCell<Log>,
    /// The clock; set by the wall once a second.
    pub clock: Cell<Clock>,
    /// No further requests: connections close after the one they have.
    pub draining: Cell<bool>,
    /// The process was told to stop, and serves as before for a while.
    pub lame_duck: Cell<bool>,
    /// Shared with the other workers.
    pub gauge: Arc<Gauge>,
    /// Wakes the control thread, for passive checks.
    pub(super) bell: Arc<Bell>,
    /// Requests that had no descriptor for a connection to their server.
    pub exhausted: Cell<u64>,
    plan: RefCell<Held>,
    /// The last messages that were refused here.
    refused: RefCell<RecentRefusals>,
    pub(super) request: RefCell<RequestHead>,
    pub(super) response: RefCell<ResponseHead>,
    pub(super) scratch: RefCell<Scratch>,
    ids: Ids,
    /// Tunnels that rest.
    pub(super) resting: Rest<Resting>,
    /// How many were laid down since memory was last given back.
    pub(super) laid_down: Cell<u32>,
    trims: Cell<bool>,
    waiting_for_room: RefCell<Option<Waker>>,
    /// Rung when somebody who waits here for a server has one.
    pub(super) waiters: Arc<dyn balance::Bell>,
}

/// Lists and texts that live only while one head is written, kept so that none is allocated.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) edits: Vec<Edit>,
    pub(super) crumbs: Vec<Crumb>,
    pub(super) text: Vec<u8>,
    pub(super) line: Vec<u8>,
}

impl Scratch {
    pub(super) fn clear(&mut self) {
        self.edits.clear();
        self.crumbs.clear();
        self.text.clear();
        self.line.clear();
    }
}

/// Counts of the whole process.
#[derive(Debug, Default)]
pub struct Gauge {
    connections: AtomicU32,
    tunnels: AtomicU32,
    listening: AtomicU32,
    /// Those among them that still take newcomers.
    taking: AtomicU32,
    total_connections: AtomicU64,
    panics: AtomicU64,
    room_wanted: AtomicBool,
    /// By worker.
    refusals: Box<[RefusalCounts]>,
    /// New tunnels in the first time after the start.
    pub(super) ramp: RampLive,
}

impl Gauge {
    /// For so many workers.
    pub fn new(workers: usize) -> Self {
        Self {
            refusals: (0..workers).map(|_| RefusalCounts::default()).collect(),
            ..Self::default()
        }
    }

    /// Messages refused for this reason since the start, sent `from` that side.
    pub fn refusals(&self, refusal: Refusal, from: Blame) -> u64 {
        let counts = self.refusals.iter();
        counts.map(|counts| counts.get(refusal, from)).sum()
    }

    /// Client connections now, tunnels among them.
    pub fn connections(&self) -> u32 {
        self.connections.load(Relaxed)
    }

    /// Tunnels now.
    pub fn tunnels(&self) -> u32 {
        self.tunnels.load(Relaxed)
    }

    /// Listening sockets that are open.
    pub fn listening(&self) -> u32 {
        self.listening.load(Relaxed)
    }

    /// Client connections since the start.
    pub fn total_connections(&self) -> u64 {
        self.total_connections.load(Relaxed)
    }

    /// Tasks that panicked since the start.
    pub fn panics(&self) -> u64 {
        self.panics.load(Relaxed)
    }

    /// Adds panics that a worker has caught.
    pub fn add_panics(&self, count: u64) {
        self.panics.fetch_add(count, Relaxed);
    }

    /// Makes room for one more connection unless there are `limit` already.
    pub fn try_enter(&self, limit: u32) -> bool {
        if self.connections.fetch_add(1, Relaxed) < limit {
            return true;
        }
        self.connections.fetch_sub(1, Relaxed);
        false
    }

    /// A worker has newcomers, and nobody of its own whose place they could have (or has no longer).
    pub fn want_room(&self, wanted: bool) {
        self.room_wanted.store(wanted, Relaxed);
    }

    /// Whether some worker does.
    pub fn room_is_wanted(&self) -> bool {
        self.room_wanted.load(Relaxed)
    }

    /// A connection has ended.
    pub fn leave(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    /// A client came into the room that was made for it.
    pub(super) fn entered(&self) {
        self.total_connections.fetch_add(1, Relaxed);
    }

    pub(super) fn tunnel_opened(&self) {
        self.tunnels.fetch_add(1, Relaxed);
    }

    pub(super) fn tunnel_ended(&self) {
        self.tunnels.fetch_sub(1, Relaxed);
    }
}

/// Counts a listening socket as open until it is dropped.
#[derive(Debug)]
pub struct Open {
    gauge: Arc<Gauge>,
    /// Newcomers can still come to it.
    taking: Cell<bool>,
}

impl Open {
    /// One more is open.
    pub fn new(gauge: &Arc<Gauge>) -> Self {
        gauge.listening.fetch_add(1, Relaxed);
        gauge.taking.fetch_add(1, Relaxed);
        Self {
            gauge: Arc::clone(gauge),
            taking: Cell::new(true),
        }
    }

    /// No newcomer can come to it any more.
    pub fn refuses(&self) {
        if self.taking.take() {
            self.gauge.taking.fetch_sub(1, Relaxed);
        }
    }

    /// Whether some socket of the process still takes newcomers: the kernel may give them to another socket of the same
    /// address.
    pub fn any_takes(&self) -> bool {
        self.gauge.taking.load(Relaxed) > 0
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.refuses();
        self.gauge.listening.fetch_sub(1, Relaxed);
    }
}

impl Desk {
    /// The desk of a worker. `seed` makes its request ids differ from everybody else's.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn new(
        worker: usize,
        plan: Arc<Plan>,
        log: Log,
        gauge: Arc<Gauge>,
        bell: Arc<Bell>,
        waiters: Arc<dyn balance::Bell>,
        seed: u64,
    ) -> io::Result<Self> {
        let limits = &plan.config.limits;
        let clock = Clock::new();
        gauge.ramp.begin(clock.now());
        let links = Links::new(
            limits.idle_links,
            super::plan::wait(plan.config.timeouts.idle_link),
        );
        links.serve(plan.slots());
        Ok(Self {
            worker,
            links,
            log: RefCell::new(log),
            clock: Cell::new(clock),
            draining: Cell::new(false),
            lame_duck: Cell::new(false),
            exhausted: Cell::new(0),
            gauge,
            bell,
            request: RefCell::new(RequestHead::new(&plan.limits)),
            response: RefCell::new(ResponseHead::new(&plan.limits)),
            plan: RefCell::new(Rc::new(Local::new(plan))),
            refused: RefCell::default(),
            scratch: RefCell::default(),
            ids: Ids {
                seed,
                count: Cell::new(0),
            },
            resting: Rest::new()?,
            laid_down: Cell::new(0),
            trims: Cell::new(false),
            waiting_for_room: RefCell::new(None),
            waiters,
        })
    }

    /// The present plan.
    pub fn plan(&self) -> Held {
        self.plan.borrow().clone()
    }

    /// Takes a new plan for all exchanges that begin from now on, and for those that wait for a server.
    pub fn adopt(&self, plan: Arc<Plan>) {
        let config = &plan.config;
        let age = super::plan::wait(config.timeouts.idle_link);
        self.links.bound(config.limits.idle_links, age);
        self.links.serve(plan.slots());
        *self.request.borrow_mut() = RequestHead::new(&plan.limits);
        *self.response.borrow_mut() = ResponseHead::new(&plan.limits);
        let pools = plan.pools.clone();
        *self.plan.borrow_mut() = Rc::new(Local::new(plan));
        ring::call(Call::Plan);
        for pool in &pools {
            pool.look_after_waiters();
        }
    }

    /// Wakes tunnels at rest when something comes, for as long as the worker lives.
    ///
    /// # Errors
    /// When they cannot be watched any more.
    pub async fn wake_tunnels(&self) -> io::Result<()> {
        self.resting.wake(handover::wake).await
    }

    /// Gives the memory of many tunnels' tasks back to the system, once they rest.
    pub fn trim(&self) {
        let laid_down = self.laid_down.replace(0);
        // Once more after the last of them: what they gave up a moment ago is free only now.
        let burst = laid_down >= MANY && laid_down as usize * 4 >= self.resting.len();
        if burst || self.trims.get() {
            self.trims.set(burst);
            ring::trim();
        }
    }

    /// Ends tunnels that have rested for longer than their timeout, a few at a time. True when there may be more: then other
    /// tasks should have their turn first.
    pub fn end_idle_tunnels(&self) -> bool {
        let due = self.resting.take_due(ring::step(), ring::AT_A_TIME);
        let more = due.len() == ring::AT_A_TIME;
        for pair in due {
            handover::end(pair, TunnelEnd::Idle);
        }
        more
    }

    /// Ends everything that is left: every wait of an exchange or a tunnel ends now, and each writes its line. Lines that the
    /// log's queue has no room for wait from now on ([`Log::hold`]).
    pub fn shut_down(&self) {
        self.draining.set(true);
        self.log.borrow_mut().hold();
        ring::shut_down();
        for pair in self.resting.take_all() {
            handover::end(pair, TunnelEnd::Killed);
        }
    }

    /// Ends as many tunnels of a server as are due, those at rest first.
    pub fn close_tunnels(&self, closing: &Closing) {
        let left = Cell::new(AT_A_TIME);
        let may = || {
            let more = left.get() > 0 && closing.takes_one();
            left.set(left.get() - u32::from(more));
            more
        };
        let [resting, awake] = closing.places(self.worker);
        let (pairs, next) = self.resting.take_some(
            resting.load(Relaxed),
            |tunnel| tunnel.server() == closing.server(),
            may,
        );
        resting.store(next, Relaxed);
        for pair in pairs {
            handover::end(pair, closing.end());
        }
        let from = awake.load(Relaxed);
        let next = ring::call_some(closing.call(), closing.server(), from, may);
        awake.store(next, Relaxed);
        closing.answer();
    }

    /// Counts and keeps a refused message.
    #[cold]
    pub(super) fn add_refused(&self, message: RefusedMessage) {
        if let Some(counts) = self.gauge.refusals.get(self.worker) {
            counts.add(message.refusal, message.from);
        }
        self.refused.borrow_mut().add(message);
    }

    /// The last messages that were refused here, oldest first.
    pub fn refused(&self) -> Vec<Arc<RefusedMessage>> {
        self.refused.borrow().iter().cloned().collect()
    }

    /// Now.
    pub fn now(&self) -> Stamp {
        self.clock.get().now()
    }

    /// A fresh request id: 32 hexadecimal digits.
    pub fn next_id(&self) -> [u8; 32] {
        self.ids.next()
    }

    /// A number that looks random: for spreading clients, not secret.
    pub(super) fn random(&self) -> u64 {
        self.ids.random()
    }

    /// A connection of this worker has ended: whoever waits for room may look again.
    pub fn made_room(&self) {
        if let Some(waker) = self.waiting_for_room.borrow_mut().take() {
            waker.wake();
        }
    }

    /// Leaves a waker for [`Desk::made_room`].
    pub fn wait_for_room(&self, waker: &Waker) {
        *self.waiting_for_room.borrow_mut() = Some(waker.clone());
    }
}

/// Request ids: a seed and a count, mixed so that neighbours look nothing alike. Unique, not secret.
struct Ids {
    seed: u64,
    count: Cell<u64>,
}

impl Ids {
    /// As many different ones as ids; neither tells the other.
    fn random(&self) -> u64 {
        let count = self.count.get() + 1;
        self.count.set(count);
        mix(self.seed.rotate_left(16) ^ count)
    }

    fn next(&self) -> [u8; 32] {
        let count = self.count.get() + 1;
        self.count.set(count);
        let mut id = [0; 32];
        // A bijection of the count for a given seed: no two ids of a worker are equal.
        let halves = [
            mix(self.seed ^ count),
            mix(count.wrapping_add(self.seed.rotate_left(32))),
        ];
        for (half, digits) in halves.into_iter().zip(id.chunks_exact_mut(16)) {
            for (place, digit) in digits.iter_mut().enumerate() {
                *digit = b"0123456789abcdef"[(half >> (60 - 4 * place) & 15) as usize];
            }
        }
        id
    }
}

/// The finaliser of splitmix64.
fn mix(value: u64) -> u64 {
    let value = value.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Tunnels whose tasks are worth a walk of the allocator.
const MANY: u32 = 512;
