//! What is true of a server right now, shared by all workers and kept across plans.
//!
//! Three kinds of memory, each on cache lines of its own: what is read at every pick and seldom
//! written (state and weight), what every worker writes (sessions), and what one worker alone
//! writes (its counters). Orderings are relaxed, since nobody derives one value from another; only the
//! counts of sessions are sequentially consistent, for those who wait for one to end.

use super::budget::Budget;
use super::health::{Change, Outcome, Reason};
use super::line::Line;
use super::policy::Lows;
use super::queue::Queue;
use super::rate::Bucket;
use super::room::{Most, Places, Session};
use super::slow_start;
use super::standing::{AgentWord, Standing};
use super::times::Times;
use crate::config::{AdminState, Bounds};
use crate::wire::agent::Verdict as AgentVerdict;
use arc_swap::ArcSwapOption;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU8, AtomicU16, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed,
};
use std::time::Duration;

/// Live state of one server. The operator's word, the agent's and the checks' verdict are kept apart: nobody lifts
/// what somebody else said. What they come to is its [`Standing`].
#[derive(Debug)]
pub struct Live {
    id: usize,
    /// The server's, for what outlives the plan: its address and its name stay the same for as long as it lives.
    name: Box<str>,
    /// Its number in the pool, for as long as it lives.
    slot: u32,
    gate: Gate,
    load: Load,
    buckets: Buckets,
    streak: Streak,
    /// Who waits for this very server.
    line: Line,
    slots: Box<[Slot]>,
    times: Times,
    /// What came from the agent last, for people: its line, or why there was none.
    heard: ArcSwapOption<String>,
    /// Of the pool, so that one reference counts both.
    pool: Arc<PoolLive>,
}

/// What checks found, as one consistent picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Whether checks (or the lack of them) say that the server works.
    pub up: bool,
    /// Whether they say that it wants no new clients; only while it is up.
    pub soft: bool,
    /// Why it is so.
    pub reason: Reason,
    /// Since when: milliseconds since the Unix epoch; 0 means since the start.
    pub since_ms: u64,
}

/// Counters that each worker keeps for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub enum Counter {
    /// Bytes from clients to the server.
    BytesIn,
    /// Bytes from the server to clients.
    BytesOut,
    /// Requests given to the server.
    Requests,
    /// Answers 1xx (101 among them).
    Responses1xx,
    /// Answers 2xx.
    Responses2xx,
    /// Answers 3xx.
    Responses3xx,
    /// Answers 4xx.
    Responses4xx,
    /// Answers 5xx.
    Responses5xx,
    /// Attempts to connect that failed.
    ConnectErrors,
    /// Answers that broke off or were not HTTP.
    ResponseErrors,
    /// Further attempts on the same server.
    Retries,
    /// Requests that left this server for another.
    Redispatches,
    /// Clients whose cookie names it, refused because of its rate.
    OverRate,
}

/// All counters of a server, summed over the workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals([u64; Counter::COUNT]);

/// Live state of one pool, kept across plans under its name.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct PoolLive {
    /// The pool's, for what outlives the plan.
    name: Box<str>,
    load: Load,
    /// Who waits for the first server with room.
    pub(super) line: Line,
    /// Where everybody waits.
    pub(super) queue: Queue,
    /// Plans that have had the pool.
    plans: AtomicU32,
    /// Position in the pool's turn; on its own line, because every pick moves it.
    pub(super) turn: Turn,
    /// Of the present policy, if it keeps any.
    lows: ArcSwapOption<Lows>,
    /// Servers that the pool has had.
    slots: AtomicU32,
    /// Health is ignored.
    panic: AtomicBool,
    /// Of its retries.
    pub(super) budget: Budget,
    /// Clients refused because of the rates of its servers.
    over_rate: AtomicU64,
}

/// The shared turn counter of a pool.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Turn(AtomicU64);

/// Read at every pick, written when something changes.
#[derive(Debug)]
#[repr(align(128))]
struct Gate {
    admin: AtomicU8,
    /// An [`AgentWord`], packed.
    agent: AtomicU32,
    /// Since when: milliseconds since the Unix epoch; 0 means since the start.
    agent_since: AtomicU64,
    /// Sixteenths of the weight that count: fewer than all in a slow start.
    share: AtomicU8,
    weight: AtomicU16,
    /// It takes new sessions, and is of the lowest tier that has any which do.
    in_turn: AtomicBool,
    /// [`Most`], packed, before the slow start.
    most: AtomicU64,
    /// The newest plan of its pool does not have it.
    removed: AtomicBool,
    /// When the slow start under way began: milliseconds since the Unix epoch; [`DUE`], or [`NONE`].
    slow_since: AtomicU64,
    /// `since_ms << 20 | reason << 2 | soft << 1 | up`.
    health: AtomicU64,
    /// When its ejection is over: milliseconds since the Unix epoch; [`NONE`].
    ejected_until: AtomicU64,
    /// So few of the pool's servers work that health is ignored.
    panic: AtomicBool,
    failures: AtomicU64,
    checks: AtomicU64,
    /// How the last check went: `took_us << 20 | reason`.
    last_check: AtomicU64,
    downs: AtomicU64,
    ejections: AtomicU64,
}

/// Errors in a row, of all workers together. Read at every answer where there are passive checks, and written only while
/// something goes wrong.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Streak(AtomicU32);

/// Written by every worker.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Load {
    places: Places,
    tunnels: AtomicU32,
    total: AtomicU64,
    /// Only in a pool's: who wants to know when a session ends, [`LOWS`] and [`WAITERS`]. Here, where ending writes anyway.
    heeded: AtomicU8,
}

/// Written by every worker that gives it a session which is limited.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Buckets {
    /// New tunnels.
    pub(super) tunnels: Bucket,
    /// Sessions in a slow start.
    pub(super) sessions: Bucket,
}

/// Written by one worker.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot([AtomicU64; Counter::COUNT]);

impl Live {
    pub(super) fn new(admin: AdminState, weight: u16, workers: usize, pool: Arc<PoolLive>) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Self {
            id: NEXT.fetch_add(1, Relaxed),
            name: Box::default(),
            slot: pool.slots.fetch_add(1, Relaxed),
            gate: Gate {
                admin: AtomicU8::new(admin as u8),
                agent: AtomicU32::new(AgentWord::NONE.pack()),
                agent_since: AtomicU64::new(0),
                share: AtomicU8::new(slow_start::WHOLE),
                slow_since: AtomicU64::new(NONE),
                weight: AtomicU16::new(weight),
                in_turn: AtomicBool::new(false),
                most: AtomicU64::new(Most::ANY.pack()),
                removed: AtomicBool::new(false),
                health: AtomicU64::new(pack(State::START)),
                ejected_until: AtomicU64::new(NONE),
                panic: AtomicBool::new(false),
                failures: AtomicU64::new(0),
                checks: AtomicU64::new(0),
                last_check: AtomicU64::new(0),
                downs: AtomicU64::new(0),
                ejections: AtomicU64::new(0),
            },
            load: Load::default(),
            buckets: Buckets::default(),
            streak: Streak::default(),
            line: Line::default(),
            slots: (0..workers.max(1)).map(|_| Slot::default()).collect(),
            times: Times::new(),
            heard: ArcSwapOption::empty(),
            pool,
        }
    }

    /// With the server's name.
    pub(super) fn named(mut self, name: &str) -> Self {
        self.name = name.into();
        self
    }

    /// The server's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A small number of its own, for tables that workers keep by server; never used again.
    pub fn id(&self) -> usize {
        self.id
    }

    /// What the operator said.
    pub fn admin(&self) -> AdminState {
        match self.gate.admin.load(Relaxed) {
            0 => AdminState::Ready,
            1 => AdminState::Drain,
            _ => AdminState::Maintenance,
        }
    }

    /// What the agent said, if it has one.
    pub fn agent(&self) -> AgentWord {
        AgentWord::unpack(self.gate.agent.load(Relaxed))
    }

    /// When the agent's words came into force: milliseconds since the Unix epoch; 0 means since the start.
    pub fn agent_since_ms(&self) -> u64 {
        self.gate.agent_since.load(Relaxed)
    }

    /// What came from the agent last: its line, or why there was none.
    pub fn heard(&self) -> Option<Arc<String>> {
        self.heard.load_full()
    }

    /// Keeps that; not for workers.
    pub fn set_heard(&self, what: &str) {
        if self.heard.load().as_deref().is_none_or(|kept| kept != what) {
            self.heard.store(Some(Arc::new(what.to_owned())));
        }
    }

    /// What all words about it come to.
    pub fn standing(&self) -> Standing {
        let standing = Standing::of(self.admin(), self.agent(), self.state());
        match self.gate.ejected_until.load(Relaxed) {
            NONE => standing,
            _ => standing.max(Standing::Ejected),
        }
    }

    /// The same for those who choose: where health is ignored, only the operator's and the agent's administrative words
    /// count, and a soft drain.
    pub(super) fn standing_in_use(&self) -> Standing {
        if !self.gate.panic.load(Relaxed) {
            return self.standing();
        }
        let agent = AgentWord {
            verdict: AgentVerdict::Up,
            ..self.agent()
        };
        let checks = State {
            up: true,
            ..self.state()
        };
        Standing::of(self.admin(), agent, checks)
    }

    /// When its ejection is over: milliseconds since the Unix epoch; `None` when it is not ejected.
    pub fn ejected_until_ms(&self) -> Option<u64> {
        match self.gate.ejected_until.load(Relaxed) {
            NONE => None,
            until => Some(until),
        }
    }

    /// Times that passive checks ejected it.
    pub fn ejections(&self) -> u64 {
        self.gate.ejections.load(Relaxed)
    }

    /// Errors in a row, as far as they are counted.
    pub fn streak(&self) -> u32 {
        self.streak.0.load(Relaxed)
    }

    /// An answer came: whatever went wrong before was no streak. Writes nothing when nothing did.
    pub fn went_well(&self) {
        if self.streak.0.load(Relaxed) != 0 {
            self.streak.0.store(0, Relaxed);
        }
    }

    /// It failed; says how often in a row.
    pub fn went_wrong(&self) -> u32 {
        self.streak.0.fetch_add(1, Relaxed).saturating_add(1)
    }

    /// Since when it stands as it does: milliseconds since the Unix epoch; 0 before [`Pool::advance`](super::Pool::advance).
    pub fn since_ms(&self) -> u64 {
        self.times.since_ms()
    }

    /// When the drain under way began, if one is: by a word of the operator or the agent, or softly by its checks. It goes
    /// on while the server is down meanwhile.
    pub fn draining_since_ms(&self) -> Option<u64> {
        self.times.draining_since_ms()
    }

    /// Whether it drains, and has for so long that the pool does not honour its cookies any more.
    pub fn is_forsaken(&self) -> bool {
        self.times.is_forsaken() && self.standing().is_draining()
    }

    /// What the checks found.
    pub fn state(&self) -> State {
        unpack(self.gate.health.load(Relaxed))
    }

    /// Whether checks say that it works; a server without checks always does.
    pub fn is_up(&self) -> bool {
        self.gate.health.load(Relaxed) & 1 == 1
    }

    /// Its present share of the turn, 0 to 256, before the agent's percentage and a slow start.
    pub fn weight(&self) -> u16 {
        self.gate.weight.load(Relaxed)
    }

    /// Sixteenths of that share which count now: less than 16 in a slow start.
    pub fn sixteenths(&self) -> u8 {
        self.gate.share.load(Relaxed)
    }

    /// Requests and tunnels on it now.
    pub fn sessions(&self) -> u32 {
        self.load.places.sessions()
    }

    /// Tunnels on it now; they are among the sessions.
    pub fn tunnels(&self) -> u32 {
        self.load.tunnels.load(Relaxed)
    }

    /// Sessions since the start.
    pub fn total_sessions(&self) -> u64 {
        self.load.total.load(Relaxed)
    }

    /// Checks made.
    pub fn checks(&self) -> u64 {
        self.gate.checks.load(Relaxed)
    }

    /// Checks that failed.
    pub fn failures(&self) -> u64 {
        self.gate.failures.load(Relaxed)
    }

    /// Times that checks took it from up to down.
    pub fn downs(&self) -> u64 {
        self.gate.downs.load(Relaxed)
    }

    /// The pool that it belongs to.
    pub fn pool(&self) -> &PoolLive {
        &self.pool
    }

    /// Adds to a counter of a worker; only that worker may (load and store, no locked instruction).
    /// A worker number out of range shares the last slot, where a count may get lost.
    pub fn add(&self, worker: usize, counter: Counter, amount: u64) {
        let slot = &self.slots[worker.min(self.slots.len() - 1)];
        let cell = &slot.0[counter as usize];
        cell.store(cell.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// The counters of all workers together.
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for slot in &self.slots {
            for (sum, cell) in totals.0.iter_mut().zip(&slot.0) {
                *sum += cell.load(Relaxed);
            }
        }
        totals
    }

    /// Counts a check and keeps how it went; to be called for each, whether or not it changed anything.
    pub fn checked(&self, outcome: &Outcome) {
        let took = outcome.took.as_micros().min(1 << 40) as u64;
        let word = took << 20 | outcome.reason.pack();
        self.gate.last_check.store(word, Relaxed);
        self.gate.checks.fetch_add(1, Relaxed);
        if !outcome.reason.is_good() {
            self.gate.failures.fetch_add(1, Relaxed);
        }
    }

    /// How the last check went; [`Reason::Start`] before the first.
    pub fn last_check(&self) -> Outcome {
        let word = self.gate.last_check.load(Relaxed);
        Outcome {
            reason: Reason::unpack(word),
            took: Duration::from_micros(word >> 20),
        }
    }

    pub(super) fn buckets(&self) -> &Buckets {
        &self.buckets
    }

    pub(super) fn workers(&self) -> usize {
        self.slots.len()
    }

    /// An operator's word.
    pub(super) fn admit(&self, admin: AdminState, slow_start: Option<Duration>) {
        self.change(slow_start, || self.gate.admin.store(admin as u8, Relaxed));
    }

    /// All that the agent has said and not taken back.
    pub(super) fn hear(&self, word: AgentWord, slow_start: Option<Duration>, now_ms: u64) {
        self.gate.agent_since.store(now_ms, Relaxed);
        self.change(slow_start, || self.gate.agent.store(word.pack(), Relaxed));
    }

    /// Passive checks: nobody may come until then.
    pub(super) fn eject(&self, until_ms: u64, slow_start: Option<Duration>) {
        self.gate.ejections.fetch_add(1, Relaxed);
        let until = until_ms.max(1);
        self.change(slow_start, || {
            self.gate.ejected_until.store(until, Relaxed);
        });
    }

    /// Its ejection is over, and what it did wrong forgotten.
    pub(super) fn restore(&self, slow_start: Option<Duration>) {
        self.streak.0.store(0, Relaxed);
        self.change(slow_start, || self.gate.ejected_until.store(NONE, Relaxed));
    }

    /// Whether health is ignored, in all of the pool.
    pub(super) fn set_panic(&self, panic: bool) {
        self.gate.panic.store(panic, Relaxed);
    }

    /// Whoever speaks: a server that nobody could come to and that somebody may come to now starts slowly, if it does at
    /// all; one that stops is through with its slow start.
    fn change(&self, slow_start: Option<Duration>, speak: impl FnOnce()) {
        let before = self.standing().accepts_sticky();
        speak();
        match (before, self.standing().accepts_sticky()) {
            (false, true) if slow_start.is_some() => self.begin_slowly(),
            (true, false) => self.end_slow_start(),
            _ => {}
        }
    }

    pub(super) fn set_weight(&self, weight: u16) {
        self.gate.weight.store(weight.min(256), Relaxed);
    }

    pub(super) fn slot(&self) -> u32 {
        self.slot
    }

    /// The weight that counts now, in sixteenths: 0 to 4,096. A weight that is not 0 and of which the agent leaves
    /// anything never rounds down to nothing.
    pub(super) fn share_of_weight(&self) -> u16 {
        let share = self.weight() * u16::from(self.sixteenths());
        match self.agent().percent {
            100 => share,
            percent => {
                let least = u32::from(share > 0 && percent > 0);
                let share = u32::from(share) * u32::from(percent) / 100;
                share.clamp(least, 4_096) as u16
            }
        }
    }

    /// The load of one session for a server of this weight in sixteenths.
    pub(super) fn load_of_one(weight: u16) -> u64 {
        (1 << 32) / u64::from(weight.max(1))
    }

    /// Its sessions for the weight that counts now; to be compared only.
    pub(super) fn load_for_weight(&self) -> u64 {
        u64::from(self.sessions()) * Self::load_of_one(self.share_of_weight())
    }

    /// It came back: a slow start begins with the next [`Live::advance`], and its share is small from now on.
    pub(super) fn begin_slowly(&self) {
        self.gate.share.store(1, Relaxed);
        self.gate.slow_since.store(DUE, Relaxed);
    }

    /// Whatever slow start was under way is over.
    pub(super) fn end_slow_start(&self) {
        self.gate.slow_since.store(NONE, Relaxed);
        self.gate.share.store(slow_start::WHOLE, Relaxed);
    }

    /// Moves a slow start on. Says whether the share has changed, and how long it stays as it is.
    pub(super) fn advance(&self, length: Duration, now_ms: u64) -> (bool, Option<Duration>) {
        let since = match self.gate.slow_since.load(Relaxed) {
            NONE => return (false, None),
            // Also when the clock was set back, or it would stay small until the clock is there again.
            since if since > now_ms => {
                self.gate.slow_since.store(now_ms, Relaxed);
                now_ms
            }
            since => since,
        };
        let since = Duration::from_millis(now_ms.saturating_sub(since));
        let share = slow_start::share(since, length);
        let changed = self.gate.share.swap(share, Relaxed) != share;
        let next = slow_start::next_step(since, length);
        if next.is_none() {
            self.gate.slow_since.store(NONE, Relaxed);
        }
        (changed, next)
    }

    /// Looks at what it stands for now. Says when its cookies will no longer be honoured.
    pub(super) fn look(&self, honoured: Option<Duration>, now_ms: u64) -> Option<Duration> {
        let standing = self.standing();
        let told = [self.admin(), self.agent().admin].contains(&AdminState::Drain);
        let drains = standing.is_draining() || standing == Standing::Down && told;
        self.times.look(standing, drains, honoured, now_ms)
    }

    pub(super) fn mark(&self, change: &Change, slow_start: Option<Duration>, now_ms: u64) {
        if !change.up && self.is_up() {
            self.gate.downs.fetch_add(1, Relaxed);
        }
        let state = State {
            up: change.up,
            soft: change.up && change.soft,
            reason: change.reason,
            since_ms: now_ms,
        };
        self.change(slow_start, || self.gate.health.store(pack(state), Relaxed));
    }

    /// Up again without a check's word: for a server that is no longer checked.
    pub(super) fn forget_health(&self) {
        self.gate.health.store(pack(State::START), Relaxed);
    }

    /// As if no agent had ever spoken: for a server that has none any more.
    pub(super) fn forget_agent(&self) {
        self.gate.agent.store(AgentWord::NONE.pack(), Relaxed);
        self.gate.agent_since.store(0, Relaxed);
        self.heard.store(None);
    }

    /// Counts a session whatever the bound, and says how many there are now: the server's and the pool's.
    pub(super) fn begin(&self, session: Session) -> (u32, u32) {
        (self.load.begin(session), self.pool.load.begin(session))
    }

    /// Counts a session if there is room for it.
    pub(super) fn try_begin(&self, session: Session) -> Option<(u32, u32)> {
        let most = self.most();
        if most == Most::ANY {
            return Some(self.begin(session));
        }
        let sessions = self.load.places.try_enter(session, most)?;
        self.load.total.fetch_add(1, Relaxed);
        Some((sessions, self.pool.load.begin(session)))
    }

    /// Whether there is room for a session.
    pub(super) fn has_room(&self, session: Session) -> bool {
        let most = self.gate.most.load(Relaxed);
        most == Most::ANY.pack() || self.load.places.has(session, self.most())
    }

    /// What its bounds allow now, in a slow start a part of them.
    fn most(&self) -> Most {
        let most = Most::unpack(self.gate.most.load(Relaxed));
        most.scaled(self.sixteenths(), slow_start::WHOLE)
    }

    /// Requests and tunnels that it may have now; `None` is any number.
    pub fn max_connections(&self) -> Option<u32> {
        let most = self.most().sessions;
        (most < u32::MAX).then_some(most)
    }

    /// Tunnels that it may have now; `None` is any number.
    pub fn max_tunnels(&self) -> Option<u32> {
        let most = self.most().tunnels;
        (most < u32::MAX).then_some(most)
    }

    /// Who waits for this very server.
    pub fn line(&self) -> &Line {
        &self.line
    }

    pub(super) fn set_bounds(&self, bounds: &Bounds) {
        let most = Most {
            sessions: bounds.connections.unwrap_or(u32::MAX),
            tunnels: bounds.tunnels.unwrap_or(u32::MAX),
        };
        self.gate.most.store(most.pack(), Relaxed);
    }

    /// Whether new clients may come to it by turn; the policy that is in force says so.
    pub(super) fn is_in_turn(&self) -> bool {
        self.gate.in_turn.load(Relaxed) && !self.is_removed() && self.accepts_new()
    }

    pub(super) fn set_in_turn(&self, in_turn: bool) {
        self.gate.in_turn.store(in_turn, Relaxed);
    }

    /// Whether new sessions may come by turn, as far as its own state goes.
    pub(super) fn accepts_new(&self) -> bool {
        self.standing_in_use().accepts_new() && self.share_of_weight() > 0
    }

    /// Whether those whose cookie names it may come.
    pub(super) fn accepts_sticky(&self) -> bool {
        self.standing_in_use().accepts_sticky() && !self.is_forsaken()
    }

    /// The newest plan of its pool has the server no more, or (`false`) has it again.
    pub(super) fn set_removed(&self, removed: bool) {
        self.gate.removed.store(removed, Relaxed);
    }

    /// Whether the newest plan of its pool lacks the server. A removed server is given to no request that waits.
    pub(super) fn is_removed(&self) -> bool {
        self.gate.removed.load(Relaxed)
    }

    /// Takes back a session that was counted a moment ago and never was.
    pub(super) fn unbegin(&self) {
        self.load.total.fetch_sub(1, Relaxed);
        self.pool.load.total.fetch_sub(1, Relaxed);
    }

    pub(super) fn begin_tunnel(&self) {
        self.load.tunnels.fetch_add(1, Relaxed);
        self.pool.load.tunnels.fetch_add(1, Relaxed);
    }

    /// A request turned out to be a tunnel.
    pub(super) fn widen(&self) {
        self.load.places.widen();
        self.pool.load.places.widen();
    }

    pub(super) fn end(self: &Arc<Self>, session: Session, tunnel: bool) {
        self.load.end(session, tunnel);
        self.pool.load.end(session, tunnel);
        let heeded = self.pool.load.heeded.load(Relaxed);
        if heeded != 0 {
            self.tell(heeded);
        }
    }

    /// Takes back a session that was counted a moment ago and never was, without telling who waits.
    pub(super) fn undo(&self, session: Session) {
        self.unbegin();
        self.load.end(session, false);
        self.pool.load.end(session, false);
        let heeded = self.pool.load.heeded.load(Relaxed);
        self.tell_lows(heeded);
    }

    #[cold]
    fn tell(self: &Arc<Self>, heeded: u8) {
        self.tell_lows(heeded);
        if heeded & WAITERS != 0 && self.pool.queue.waiting() > 0 {
            self.pool.queue.has_room(self, &self.pool.line);
        }
    }

    fn tell_lows(&self, heeded: u8) {
        if heeded & LOWS != 0
            && let Some(lows) = &*self.pool.lows.load()
        {
            lows.ended(Lows::group(self.slot), self.load_for_weight());
        }
    }
}

impl PoolLive {
    /// Requests and tunnels in the pool now.
    pub fn sessions(&self) -> u32 {
        self.load.places.sessions()
    }

    /// Tunnels in the pool now; they are among the sessions.
    pub fn tunnels(&self) -> u32 {
        self.load.tunnels.load(Relaxed)
    }

    /// Sessions since the start.
    pub fn total_sessions(&self) -> u64 {
        self.load.total.load(Relaxed)
    }

    /// Whether so few servers work that their health is ignored.
    pub fn panics(&self) -> bool {
        self.panic.load(Relaxed)
    }

    /// Retries that the pool's budget refused.
    pub fn retries_refused(&self) -> u64 {
        self.budget.refused()
    }

    /// Clients refused since the start because of the rates of its servers.
    pub fn over_rate(&self) -> u64 {
        self.over_rate.load(Relaxed)
    }

    /// Counts one of those.
    pub fn add_over_rate(&self) {
        self.over_rate.fetch_add(1, Relaxed);
    }
}

impl PoolLive {
    pub(super) fn set_panic(&self, panic: bool) {
        self.panic.store(panic, Relaxed);
    }

    /// The bounds that sessions lower from now on when they end.
    pub(super) fn set_lows(&self, lows: Option<Arc<Lows>>) {
        let there = lows.is_some();
        self.lows.store(lows);
        if there {
            self.load.heeded.fetch_or(LOWS, Relaxed);
        } else {
            self.load.heeded.fetch_and(!LOWS, Relaxed);
        }
    }

    /// Sessions that end look for somebody who waits, from now on and for ever: a server that no plan has any more
    /// may still be waited for.
    pub(super) fn heed_waiters(&self) {
        self.load.heeded.fetch_or(WAITERS, Relaxed);
    }

    /// Of a pool of this name, which no plan has had yet.
    pub(super) fn named(name: &str) -> Self {
        Self {
            name: name.into(),
            ..Self::default()
        }
    }

    /// The pool's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A further plan has the pool; its number.
    pub(super) fn next_plan(&self) -> u32 {
        self.plans.fetch_add(1, Relaxed) + 1
    }

    /// The number of the newest plan that has the pool.
    pub(super) fn newest_plan(&self) -> u32 {
        self.plans.load(Relaxed)
    }

    /// Who waits for the first server with room.
    pub fn line(&self) -> &Line {
        &self.line
    }
}

impl Turn {
    /// Where the count stands.
    pub(super) fn now(&self) -> u64 {
        self.0.load(Relaxed)
    }

    /// This pick's turn.
    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(1, Relaxed)
    }
}

impl Load {
    fn begin(&self, session: Session) -> u32 {
        self.total.fetch_add(1, Relaxed);
        self.places.enter(session)
    }

    fn end(&self, session: Session, tunnel: bool) {
        self.places.leave(session);
        if tunnel {
            self.tunnels.fetch_sub(1, Relaxed);
        }
    }
}

impl Counter {
    /// How many there are.
    pub const COUNT: usize = Self::OverRate as usize + 1;

    /// The counter of a status's class; 100 to 599, others count with the nearest.
    pub fn of_status(status: u16) -> Self {
        match status {
            ..=199 => Self::Responses1xx,
            200..=299 => Self::Responses2xx,
            300..=399 => Self::Responses3xx,
            400..=499 => Self::Responses4xx,
            500.. => Self::Responses5xx,
        }
    }
}

impl Totals {
    /// One counter.
    pub fn get(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }
}

impl State {
    /// Up until a check says otherwise.
    pub const START: Self = Self {
        up: true,
        soft: false,
        reason: Reason::Start,
        since_ms: 0,
    };
}

/// Bounds are to be lowered when a session ends.
const LOWS: u8 = 1;
/// Somebody may wait for it to end.
const WAITERS: u8 = 2;

/// No slow start is under way.
const NONE: u64 = 0;
/// One is to begin: later than any time.
const DUE: u64 = u64::MAX;

fn pack(state: State) -> u64 {
    let flags = u64::from(state.soft) << 1 | u64::from(state.up);
    state.since_ms << 20 | state.reason.pack() << 2 | flags
}

fn unpack(word: u64) -> State {
    State {
        up: word & 1 == 1,
        soft: word & 2 == 2,
        reason: Reason::unpack(word >> 2),
        since_ms: word >> 20,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_is_kept_whole_in_one_word() {
        for reason in [
            Reason::Refused,
            Reason::Answered(200),
            Reason::Status(503),
            Reason::Invalid(crate::wire::Refusal::BadChunkEnd),
        ] {
            for up in [true, false] {
                let state = State {
                    up,
                    soft: up && reason.is_good(),
                    reason,
                    since_ms: 1_800_000_000_123,
                };
                assert_eq!(unpack(pack(state)), state);
            }
        }
    }

    #[test]
    fn a_slow_start_begins_anew_when_the_clock_is_set_back() {
        let live = Live::new(AdminState::Ready, 1, 1, Arc::default());
        live.begin_slowly();
        let length = Duration::from_secs(15);
        for (second, share, left) in [
            (9_000, 1, Some(1)),
            (9_003, 4, Some(1)),
            (100, 1, Some(1)),
            (107, 8, Some(1)),
            (115, 16, None),
            (50, 16, None),
        ] {
            let (_, next) = live.advance(length, second * 1000);
            assert_eq!(live.sixteenths(), share, "{second}");
            assert_eq!(next, left.map(Duration::from_secs), "{second}");
        }
    }

    #[test]
    fn workers_counters_are_summed() {
        let live = Live::new(AdminState::Ready, 1, 3, Arc::default());
        live.add(0, Counter::BytesIn, 5);
        live.add(2, Counter::BytesIn, 7);
        live.add(1, Counter::Redispatches, 1);
        assert_eq!(live.totals().get(Counter::BytesIn), 12);
        assert_eq!(live.totals().get(Counter::Redispatches), 1);
        assert_eq!(live.totals().get(Counter::Requests), 0);
    }

    #[test]
    fn kinds_of_memory_do_not_share_a_line() {
        assert_eq!(align_of::<Slot>(), 128);
        assert_eq!(align_of::<Gate>(), 128);
        assert_eq!(align_of::<Load>(), 128);
        assert_eq!(align_of::<Streak>(), 128);
        assert_eq!(align_of::<Turn>(), 128);
    }
}
