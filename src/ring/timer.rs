//! Deadlines: one coarse wheel per thread, driven by one timer descriptor.
//!
//! monoio's own timers add 768 bytes to every waiting future. Here a deadline is a slot of a table:
//! arming it writes a number, and because a later deadline needs no new place on the wheel (the old
//! place looks again and moves on), a request re-arms it for the price of that write.
//!
//! Arming reads no clock. It is known to lie between two ticks, whose times the wheel keeps, and counts as if it had come
//! at the later one: so a deadline is never early, however long the thread was kept from its ticks, and [`LATENESS`] late at
//! most while the thread runs.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use super::{Alarm, Duplex, Stream};

/// The wheel's step.
pub const TICK: Duration = Duration::from_millis(100);

/// How much later than its deadline a timer fires at most, if the thread is free: a step because arming reads no clock, and a
/// step because nothing fires between two ticks.
pub const LATENESS: Duration = Duration::from_millis(200);

/// What can end a wait before its deadline: the worker says it to all who heed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// Nobody more should be accepted.
    Drain,
    /// Connections that have not sent a byte yet should close.
    Fresh,
    /// Connections between two requests should close.
    Idle,
    /// What has had its time may close early when room is needed: heads on their way, clients that were told to leave.
    Late,
    /// Tunnels should end.
    Tunnel,
    /// The same, because their server is down.
    ServerDown,
    /// The process stops, see [`shut_down`].
    Shutdown,
    /// The worker has a new plan: whatever waits for a server looks at it.
    Plan,
}

/// Fires every timer of this thread that heeds `call`. Walks the whole table: for rare events.
pub fn call(call: Call) {
    WHEEL.with_borrow_mut(|wheel| wheel.call(call));
}

/// Fires the timers that are `of` something ([`Timer::is_of`]), as long as there `may` be one more; one that was called
/// already is none. Looks once through the whole table, beginning where the last look ended, and says where this one did: so
/// whoever calls a few at a time walks the table once for all of them.
pub fn call_some(call: Call, of: usize, from: usize, may: impl FnMut() -> bool) -> usize {
    WHEEL.with_borrow_mut(|wheel| wheel.call_some(call, of, from, may))
}

/// Fires some timers for the sake of newcomers, the longest armed first: of those that heed [`Call::Fresh`],
/// without any of those that heed [`Call::Idle`], without any of those that heed [`Call::Late`] and have had a second.
/// Says how many: an eighth of their kind, 32 at most. Walks the whole table: for when there is no room.
pub fn make_room() -> usize {
    WHEEL.with_borrow_mut(Wheel::make_room)
}

/// Ends every wait of this thread on a timer, and from now on each one that would begin: for the end of the process.
/// [`is_shutting_down`] tells such an end from a deadline's.
pub fn shut_down() {
    SHUTDOWN.set(true);
    WHEEL.with_borrow_mut(Wheel::shut_down);
}

/// Whether [`shut_down`] was called on this thread.
pub fn is_shutting_down() -> bool {
    SHUTDOWN.get()
}

/// Runs `work` until it is done, or until it is polled after [`shut_down`]: which wakes it if it waits on a timer.
///
/// # Errors
/// [`ShutDown`]; `work` is dropped then.
pub fn until_shutdown<F: Future>(work: F) -> impl Future<Output = Result<F::Output, ShutDown>> {
    UntilShutdown(work)
}

/// The process stops: the work was not completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShutDown;

struct UntilShutdown<F>(F);

impl<F: Future> Future for UntilShutdown<F> {
    type Output = Result<F::Output, ShutDown>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if SHUTDOWN.get() {
            return Poll::Ready(Err(ShutDown));
        }
        // SAFETY: `work` is never moved out of a pinned `UntilShutdown`.
        let work = unsafe { self.map_unchecked_mut(|limit| &mut limit.0) };
        work.poll(cx).map(Ok)
    }
}

/// The wait was over before the future was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elapsed;

/// One deadline on this thread's wheel; disarmed when new, gone when dropped.
#[derive(Debug)]
pub struct Timer {
    slot: u32,
}

impl Timer {
    /// A disarmed timer.
    pub fn new() -> Self {
        Self {
            slot: WHEEL.with_borrow_mut(Wheel::add),
        }
    }

    /// Sets the deadline `after` from now, in place of any earlier setting. `None` never fires.
    pub fn arm(&self, after: Option<Duration>) {
        WHEEL.with_borrow_mut(|wheel| match after {
            Some(after) => wheel.arm(self.slot, micros(after)),
            None => wheel.disarm(self.slot),
        });
    }

    /// Sets the deadline, in place of any earlier setting. `None` never fires.
    pub fn arm_at(&self, deadline: Option<Moment>) {
        WHEEL.with_borrow_mut(|wheel| match deadline {
            Some(deadline) => wheel.arm_at(self.slot, deadline.0),
            None => wheel.disarm(self.slot),
        });
    }

    /// Takes the deadline away.
    pub fn disarm(&self) {
        WHEEL.with_borrow_mut(|wheel| wheel.disarm(self.slot));
    }

    /// Whether the deadline has passed since it was armed.
    pub fn expired(&self) -> bool {
        WHEEL.with_borrow(|wheel| wheel.expired(self.slot))
    }

    /// Runs `work` until it is done or the deadline passes, whichever comes first. Not an `async fn`:
    /// that would keep `work` twice in every waiting future.
    ///
    /// # Errors
    /// [`Elapsed`]; `work` is dropped then, so it must be a wait that may be dropped.
    pub fn limit<F: Future>(
        &self,
        work: F,
    ) -> impl Future<Output = Result<F::Output, Elapsed>> + use<'_, F> {
        Limit { work, timer: self }
    }

    /// Makes the timer one that [`call`] fires, whatever its deadline.
    pub fn heed(&self, call: Option<Call>) {
        WHEEL.with_borrow_mut(|wheel| wheel.entries[self.slot as usize].heeds = call);
    }

    /// Makes the timer one that [`call_some`] finds under this number.
    pub fn is_of(&self, of: usize) {
        let of = u32::try_from(of).unwrap_or(NOTHING);
        WHEEL.with_borrow_mut(|wheel| wheel.entries[self.slot as usize].of = of);
    }

    /// Goes on to the deadline after a [`call`] that changed nothing for the caller.
    pub fn resume(&self) {
        WHEEL.with_borrow_mut(|wheel| {
            let entry = &mut wheel.entries[self.slot as usize];
            if entry.heard.take().is_some() {
                entry.fired = entry.passed;
            }
        });
    }

    /// Whether it was a [`call`] that fired it.
    pub fn called(&self) -> bool {
        self.heard().is_some()
    }

    /// Which call fired it, if one did.
    pub fn heard(&self) -> Option<Call> {
        WHEEL.with_borrow(|wheel| wheel.entries[self.slot as usize].heard)
    }

    /// Waits for the deadline itself.
    pub async fn fired(&self) {
        let _ = self.limit(std::future::pending::<()>()).await;
    }
}

impl Default for Timer {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let _ = WHEEL.try_with(|wheel| wheel.borrow_mut().remove(self.slot));
    }
}

struct Limit<'a, F> {
    work: F,
    timer: &'a Timer,
}

impl<F: Future> Future for Limit<'_, F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let timer = self.timer;
        // SAFETY: `work` is never moved out of a pinned `Limit`.
        let work = unsafe { self.map_unchecked_mut(|limit| &mut limit.work) };
        if let Poll::Ready(output) = work.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        let expired = WHEEL.with_borrow_mut(|wheel| wheel.watch(timer.slot, cx.waker()));
        if expired {
            Poll::Ready(Err(Elapsed))
        } else {
            Poll::Pending
        }
    }
}

/// A moment of the monotonic clock, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// Reads the clock.
    pub fn now() -> Self {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        Self(time.tv_sec.cast_unsigned() * 1_000_000 + time.tv_nsec.cast_unsigned() / 1_000)
    }

    /// How long it has been since an earlier moment.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The first step of this thread's wheel that is not before it, as [`Rest`](super::Rest) takes deadlines.
    pub fn step(self) -> u32 {
        WHEEL.with_borrow(|wheel| wheel.step_of(self.0))
    }
}

impl std::ops::Add<Duration> for Moment {
    type Output = Self;

    fn add(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(micros(wait)))
    }
}

/// The time between two ticks of this thread, by its number: noting that something happens now costs a read of memory, and
/// [`Tick::end`] says later when that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick(u32);

impl Tick {
    /// The present one.
    #[inline]
    pub fn now() -> Self {
        Self(TICKS.get())
    }

    /// Whether the next one has come.
    pub fn is_over(self) -> bool {
        self.0 != TICKS.get()
    }

    /// A moment before which it was over, or at least everything in it so far. Exact to [`TICK`], if it was one of the last
    /// 512.
    pub fn end(self) -> Moment {
        match self.is_over() {
            true => Moment(WHEEL.with_borrow(|wheel| wheel.end_of(self.0))),
            false => Moment::now(),
        }
    }
}

/// The present step of this thread's wheel: what of it lies behind has passed.
pub fn step() -> u32 {
    WHEEL.with_borrow(|wheel| wheel.now)
}

/// What drives the wheel: one task per thread waits on it.
pub struct Ticker {
    descriptor: Stream,
    pause: Alarm,
}

impl Ticker {
    /// A timer descriptor that fires every [`TICK`].
    ///
    /// # Errors
    /// Those of timerfd_create(2) and timerfd_settime(2).
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let step = Timespec {
            tv_sec: 0,
            tv_nsec: i64::from(TICK.subsec_nanos()),
        };
        WHEEL.with_borrow_mut(|wheel| wheel.begin(Moment::now().0));
        rustix::time::timerfd_settime(
            &descriptor,
            TimerfdTimerFlags::empty(),
            &Itimerspec {
                it_interval: step,
                it_value: step,
            },
        )?;
        Ok(Self {
            descriptor: Stream::adopt(descriptor)?,
            pause: Alarm::new()?,
        })
    }

    /// Waits for the next step and wakes whoever's deadline has passed: a few at a time, so that the thread's other tasks have
    /// their turn however many there are.
    ///
    /// # Errors
    /// When the poll fails, which nothing but a broken ring can cause.
    pub async fn tick(&self) -> io::Result<()> {
        self.descriptor.readable().await?;
        let mut steps = [0_u8; 8];
        if rustix::io::read(&self.descriptor, &mut steps[..]).is_ok() {
            WHEEL.with_borrow_mut(|wheel| wheel.tick(Moment::now().0));
            while WHEEL.with_borrow_mut(|wheel| wheel.fire(AT_A_TIME)) {
                self.pause().await?;
            }
        }
        Ok(())
    }

    /// Lets everything else that is ready have its turn, within long work.
    ///
    /// # Errors
    /// When the poll fails, which nothing but a broken ring can cause.
    pub async fn pause(&self) -> io::Result<()> {
        self.pause.after(Duration::from_micros(1)).await
    }
}

/// Timers that fire, and tunnels that end, before other tasks have their turn: ending a tunnel takes some 25 µs.
pub const AT_A_TIME: usize = 64;

/// Places that are looked at before other tasks have their turn; most of them move on.
const LOOKED_AT: usize = 8_192;

/// Slots of the wheel: at 100 ms a step one turn takes 51 s; later deadlines go round again.
const SLOTS: usize = 512;

/// Ticks whose times are kept: no timer stands for longer without being looked at.
const KEPT: usize = SLOTS;

const NONE: u32 = u32::MAX;
/// A deadline that never comes.
const NEVER: u64 = u64::MAX;
/// Of a timer that [`call_some`] does not find.
const NOTHING: u32 = u32::MAX;

/// Ticks after which [`Call::Late`] is heeded for the sake of newcomers: a second, and the one under way.
const LATE: u32 = 11;

/// Timers that [`make_room`] fires at most.
const MOST_AT_ONCE: usize = 32;

/// [`TICK`] in microseconds.
const STEP: u64 = 100_000;

#[derive(Default)]
struct Wheel {
    /// When step 0 was, in microseconds of the monotonic clock.
    start: u64,
    /// The present step.
    now: u32,
    /// The last step whose slot has been looked at; behind the present one only within a tick.
    done: u32,
    /// Counts ticks; one may be several steps after the one before.
    ticks: u32,
    /// When they came, the last of them, by their number.
    times: Box<[u64]>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    slots: Vec<Vec<u32>>,
    /// Counts armings.
    armed: u32,
}

struct Entry {
    /// When it fires, in microseconds, or [`NEVER`].
    due: u64,
    /// The step at whose slot it stands, or [`NONE`]: other places that name it are stale.
    place: u32,
    /// The tick in which it was last armed, and which arming that was.
    since: u32,
    order: u32,
    /// `due` counts from the beginning of that tick, as long as its end is not known.
    open: bool,
    fired: bool,
    /// The deadline had passed before a call came.
    passed: bool,
    /// Fired by this call rather than by time.
    heard: Option<Call>,
    used: bool,
    heeds: Option<Call>,
    /// What [`call_some`] finds it under, or [`NOTHING`].
    of: u32,
    waker: Option<Waker>,
}

impl Entry {
    fn call(&mut self, call: Call) {
        self.passed |= self.fired && self.heard.is_none();
        self.fired = true;
        self.heard = Some(call);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

impl Wheel {
    fn add(&mut self) -> u32 {
        let entry = Entry {
            due: NEVER,
            place: NONE,
            since: 0,
            order: 0,
            open: false,
            fired: false,
            passed: false,
            heard: None,
            used: true,
            heeds: None,
            of: NOTHING,
            waker: None,
        };
        if let Some(slot) = self.free.pop() {
            // A stale place of the slot's last owner may still name it; at worst it looks for nothing.
            self.entries[slot as usize] = Entry {
                place: self.entries[slot as usize].place,
                ..entry
            };
            return slot;
        }
        self.entries.push(entry);
        u32::try_from(self.entries.len() - 1).expect("fewer timers than 2^32")
    }

    fn remove(&mut self, slot: u32) {
        let entry = &mut self.entries[slot as usize];
        entry.used = false;
        entry.heeds = None;
        entry.of = NOTHING;
        entry.due = NEVER;
        entry.waker = None;
        self.free.push(slot);
    }

    /// The first time is step 0.
    fn begin(&mut self, now: u64) {
        self.start = now - u64::from(self.now) * STEP;
        self.note(now);
    }

    fn note(&mut self, now: u64) {
        if self.times.is_empty() {
            self.times = vec![self.start; KEPT].into();
        }
        self.times[self.ticks as usize % KEPT] = now;
    }

    /// When a tick was over; one that is too long ago ends when the first that is kept did.
    fn end_of(&self, tick: u32) -> u64 {
        let age = self.ticks.wrapping_sub(tick).clamp(1, KEPT as u32);
        let next = self.ticks.wrapping_sub(age - 1);
        self.times.get(next as usize % KEPT).copied().unwrap_or(0)
    }

    /// The first step that is not before this time.
    fn step_of(&self, time: u64) -> u32 {
        let steps = time.saturating_sub(self.start).div_ceil(STEP);
        u32::try_from(steps).unwrap_or(NONE).min(NONE - 1)
    }

    /// Arms it for `after` microseconds from now, which lies before the end of the present tick.
    fn arm(&mut self, slot: u32, after: u64) {
        let now = self.times.get(self.ticks as usize % KEPT);
        let due = now.copied().unwrap_or(self.start).saturating_add(after);
        let place = self.step_of(due.saturating_add(STEP));
        self.set(slot, due.min(NEVER - 1), place, true);
    }

    fn arm_at(&mut self, slot: u32, due: u64) {
        let place = self.step_of(due);
        self.set(slot, due.min(NEVER - 1), place, false);
    }

    fn set(&mut self, slot: u32, due: u64, place: u32, open: bool) {
        let place = self.within(place);
        self.armed = self.armed.wrapping_add(1);
        let entry = &mut self.entries[slot as usize];
        (entry.since, entry.order, entry.open) = (self.ticks, self.armed, open);
        entry.due = due;
        entry.fired = false;
        entry.passed = false;
        entry.heard = None;
        if entry.place == NONE || entry.place > place {
            entry.place = place;
            self.put(slot, place);
        }
    }

    /// A place at which nothing has been looked at yet, and of the present turn.
    fn within(&self, place: u32) -> u32 {
        place.clamp(self.done + 1, self.done + (SLOTS as u32 - 1))
    }

    fn disarm(&mut self, slot: u32) {
        let entry = &mut self.entries[slot as usize];
        entry.due = NEVER;
        entry.fired = false;
        entry.passed = false;
        entry.waker = None;
    }

    fn expired(&self, slot: u32) -> bool {
        self.entries[slot as usize].fired
    }

    /// Leaves a waker, unless the deadline has passed already.
    fn watch(&mut self, slot: u32, waker: &Waker) -> bool {
        let entry = &mut self.entries[slot as usize];
        if SHUTDOWN.get() {
            entry.fired = true;
            entry.heard = Some(Call::Shutdown);
        }
        if entry.fired {
            return true;
        }
        if !entry
            .waker
            .as_ref()
            .is_some_and(|known| known.will_wake(waker))
        {
            entry.waker = Some(waker.clone());
        }
        false
    }

    fn call(&mut self, call: Call) {
        for entry in self
            .entries
            .iter_mut()
            .filter(|entry| entry.heeds == Some(call))
        {
            entry.call(call);
        }
    }

    fn shut_down(&mut self) {
        for entry in self.entries.iter_mut().filter(|entry| entry.used) {
            entry.call(Call::Shutdown);
        }
    }

    fn call_some(
        &mut self,
        call: Call,
        of: usize,
        from: usize,
        mut may: impl FnMut() -> bool,
    ) -> usize {
        let count = self.entries.len();
        let from = from.min(count);
        for slot in (from..count).chain(0..from) {
            let entry = &mut self.entries[slot];
            if entry.of as usize != of || entry.heard.is_some() {
                continue;
            }
            if !may() {
                return slot;
            }
            entry.call(call);
        }
        from
    }

    fn make_room(&mut self) -> usize {
        let kinds = [(Call::Fresh, 0), (Call::Idle, 0), (Call::Late, LATE)];
        for (call, age) in kinds {
            let ready = |entry: &Entry| {
                entry.heeds == Some(call)
                    && !entry.fired
                    && self.ticks.wrapping_sub(entry.since) >= age
            };
            let mut found: Vec<(u32, usize)> = (0..)
                .zip(&self.entries)
                .filter(|(_, entry)| ready(entry))
                .map(|(slot, entry)| (u32::MAX - self.armed.wrapping_sub(entry.order), slot))
                .collect();
            if found.is_empty() {
                continue;
            }
            let count = (found.len() / 8).clamp(1, MOST_AT_ONCE);
            found.select_nth_unstable(count - 1);
            for (_, slot) in &found[..count] {
                self.entries[*slot].call(call);
            }
            return count;
        }
        0
    }

    fn put(&mut self, slot: u32, place: u32) {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, Vec::new);
        }
        self.slots[place as usize % SLOTS].push(slot);
    }

    /// It is this time now.
    fn tick(&mut self, now: u64) {
        self.ticks = self.ticks.wrapping_add(1);
        TICKS.set(self.ticks);
        self.note(now);
        let steps = now.saturating_sub(self.start) / STEP;
        self.now = self.now.max(u32::try_from(steps).unwrap_or(NONE - 1));
    }

    /// Looks at all who stand at steps that have come: some fire, some move on, some are stale. True when `most` have
    /// fired and there may be more. Every step is taken, also after the process was stopped for an hour: a place is found
    /// by its step.
    fn fire(&mut self, most: usize) -> bool {
        let now = self.times.get(self.ticks as usize % KEPT);
        let now = now.copied().unwrap_or(0);
        let (mut fired, mut looked) = (0, 0);
        while self.done < self.now {
            let step = self.done + 1;
            let index = step as usize % SLOTS;
            let mut standing = match self.slots.get_mut(index) {
                Some(slot) => std::mem::take(slot),
                None => Vec::new(),
            };
            self.done = step;
            while let Some(slot) = standing.pop() {
                fired += usize::from(self.look(slot, step, now));
                looked += 1;
                if (fired == most || looked == LOOKED_AT) && !standing.is_empty() {
                    // The rest is looked at in the same place later.
                    self.done = step - 1;
                    break;
                }
            }
            // Give the slot its storage back, so that a steady load allocates nothing.
            if let Some(slot) = self.slots.get_mut(index) {
                debug_assert!(slot.is_empty(), "places are of the present turn");
                *slot = standing;
            }
            if fired >= most || looked >= LOOKED_AT {
                return true;
            }
        }
        false
    }

    /// Looks at one who may stand at this step. True when it fires.
    fn look(&mut self, slot: u32, step: u32, now: u64) -> bool {
        let entry = &self.entries[slot as usize];
        if entry.place != step {
            return false;
        }
        let (open, since) = (entry.open && entry.since != self.ticks, entry.since);
        let gap = match open {
            true => self.end_of(since) - self.end_of(since.wrapping_sub(1)),
            false => 0,
        };
        let entry = &mut self.entries[slot as usize];
        entry.place = NONE;
        if !entry.used || entry.due == NEVER {
            return false;
        }
        if open {
            (entry.due, entry.open) = (entry.due.saturating_add(gap).min(NEVER - 1), false);
        }
        if entry.due > now || entry.open {
            let due = entry.due.saturating_add(if entry.open { STEP } else { 0 });
            let place = self.within(self.step_of(due));
            self.entries[slot as usize].place = place;
            self.put(slot, place);
            return false;
        }
        entry.passed |= entry.heard.is_some();
        entry.fired = true;
        entry.due = NEVER;
        if let Some(waker) = entry.waker.take() {
            waker.wake();
        }
        true
    }
}

/// Whole microseconds that are at least `duration`.
fn micros(duration: Duration) -> u64 {
    let whole = duration.as_secs().saturating_mul(1_000_000);
    whole.saturating_add(u64::from(duration.subsec_nanos().div_ceil(1_000)))
}

thread_local! {
    /// Counts this thread's ticks.
    static TICKS: Cell<u32> = const { Cell::new(0) };
    static WHEEL: RefCell<Wheel> = RefCell::new(Wheel::default());
    static SHUTDOWN: Cell<bool> = const { Cell::new(false) };
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advance(steps: u32) {
        (0..steps).for_each(|_| tick_after(STEP));
    }

    /// The next tick comes so many microseconds after the last one.
    fn tick_after(passed: u64) {
        WHEEL.with_borrow_mut(|wheel| {
            let last = wheel.end_of(wheel.ticks.wrapping_sub(1));
            wheel.tick(last + passed);
            while wheel.fire(AT_A_TIME) {}
        });
    }

    #[test]
    fn a_deadline_fires_after_its_time_and_not_before() {
        let timer = Timer::new();
        timer.arm(Some(Duration::from_millis(300)));
        advance(3);
        assert!(!timer.expired());
        advance(1);
        assert!(timer.expired());
    }

    #[test]
    fn a_deadline_set_again_counts_from_then() {
        let timer = Timer::new();
        timer.arm(Some(Duration::from_secs(1)));
        advance(9);
        timer.arm(Some(Duration::from_secs(1)));
        advance(10);
        assert!(!timer.expired());
        advance(1);
        assert!(timer.expired());
        timer.arm(Some(Duration::from_secs(60)));
        assert!(!timer.expired());
        timer.arm(Some(Duration::from_millis(100)));
        advance(2);
        assert!(
            timer.expired(),
            "an earlier deadline takes an earlier place"
        );
    }

    #[test]
    fn a_deadline_of_more_than_a_turn_goes_round() {
        let timer = Timer::new();
        timer.arm(Some(Duration::from_secs(3600)));
        advance(36_000);
        assert!(!timer.expired());
        for _ in 0..40 {
            advance(900);
        }
        assert!(timer.expired());
    }

    #[test]
    fn a_wait_goes_on_after_a_call_that_changed_nothing() {
        let timer = Timer::new();
        timer.heed(Some(Call::Plan));
        timer.arm(Some(Duration::from_secs(1)));
        advance(5);
        call(Call::Plan);
        assert!(timer.expired() && timer.called());
        timer.resume();
        assert!(!timer.expired() && !timer.called());
        advance(6);
        assert!(timer.expired(), "the deadline is the same as before");
        call(Call::Plan);
        timer.resume();
        assert!(timer.expired(), "a deadline that has passed stays passed");
    }

    #[test]
    fn a_thread_that_was_kept_from_its_ticks_fires_nothing_early() {
        let timers = [(); 3].map(|()| Timer::new());
        advance(1);
        // All three are armed somewhere in the second that follows, the last one with a deadline of its own.
        for timer in &timers[..2] {
            timer.arm(Some(Duration::from_millis(300)));
        }
        timers[1].arm(Some(Duration::from_secs(60)));
        let last = WHEEL.with_borrow(|wheel| wheel.end_of(wheel.ticks.wrapping_sub(1)));
        timers[2].arm_at(Some(Moment(last) + Duration::from_millis(300)));
        let mark = Tick::now();
        let fired = || timers.each_ref().map(Timer::expired);
        tick_after(1_000_000);
        assert_eq!(fired(), [false, false, true]);
        assert_eq!(mark.end(), Moment(last) + Duration::from_secs(1));
        advance(2);
        assert_eq!(fired(), [false, false, true]);
        advance(1);
        assert_eq!(fired(), [true, false, true]);
        advance(596);
        assert_eq!(fired(), [true, false, true]);
        advance(1);
        assert_eq!(fired(), [true, true, true]);
        // A tick comes late, those after it come when they should.
        for late in [1_000, 60_000, 99_000] {
            timers[0].arm(Some(Duration::from_millis(300)));
            let (mut next, mut passed) = (STEP + late, 0);
            while !timers[0].expired() {
                tick_after(next);
                passed += next;
                next = STEP - passed % STEP;
            }
            let earliest = STEP + late + 300_000;
            assert!((earliest..earliest + STEP).contains(&passed), "{passed}");
        }
    }

    #[test]
    fn many_fire_a_few_at_a_time() {
        let timers: Vec<Timer> = (0..150).map(|_| Timer::new()).collect();
        for timer in &timers {
            timer.arm(Some(Duration::from_millis(100)));
        }
        let fired = || timers.iter().filter(|timer| timer.expired()).count();
        advance(1);
        WHEEL.with_borrow_mut(|wheel| {
            let last = wheel.end_of(wheel.ticks.wrapping_sub(1));
            wheel.tick(last + STEP);
        });
        let more = || WHEEL.with_borrow_mut(|wheel| wheel.fire(AT_A_TIME));
        assert!(more());
        assert_eq!(fired(), 64);
        // Meanwhile one whose turn has not come is armed anew.
        timers[0].arm(Some(Duration::from_millis(100)));
        assert!(more());
        assert_eq!(fired(), 128);
        assert!(!more());
        assert_eq!(fired(), 149);
        advance(2);
        assert_eq!(fired(), 150);
    }

    #[test]
    fn room_is_made_by_the_longest_armed_of_the_first_kind_that_there_is() {
        let new = |heeds| {
            let timer = Timer::new();
            timer.arm(Some(Duration::from_secs(60)));
            timer.heed(Some(heeds));
            timer
        };
        let timers = [
            new(Call::Tunnel),
            new(Call::Late),
            new(Call::Idle),
            new(Call::Fresh),
            new(Call::Idle),
            new(Call::Fresh),
        ];
        timers[3].arm(Some(Duration::from_secs(1)));
        let mut order = Vec::new();
        let mut look = || {
            assert_eq!(make_room(), 1);
            let called = (0..timers.len()).find(|at| timers[*at].called() && !order.contains(at));
            order.extend(called);
        };
        (0..4).for_each(|_| look());
        assert_eq!(make_room(), 0, "the late one is not late yet");
        advance(LATE);
        assert_eq!(make_room(), 1);
        assert!(timers[1].called() && !timers[0].called());
        assert_eq!(order, [5, 3, 2, 4]);
        let many: Vec<Timer> = (0..100).map(|_| new(Call::Fresh)).collect();
        assert_eq!(make_room(), 12);
        assert!(many[..12].iter().all(Timer::called) && !many[12].called());
    }

    #[test]
    fn some_are_called_in_turn_and_once() {
        let timers: Vec<Timer> = (0..6)
            .map(|number| {
                let timer = Timer::new();
                timer.heed(Some(Call::Tunnel));
                timer.is_of(number % 2);
                timer
            })
            .collect();
        let called = || (0..6).filter(|at| timers[*at].called()).collect::<Vec<_>>();
        let most = |count: usize| {
            let mut left = count;
            move || left.checked_sub(1).map(|less| left = less).is_some()
        };
        let next = call_some(Call::ServerDown, 1, 0, most(1));
        assert_eq!(called(), [1]);
        let next = call_some(Call::Tunnel, 1, next, most(1));
        assert_eq!(called(), [1, 3]);
        assert_eq!(timers[1].heard(), Some(Call::ServerDown));
        assert_eq!(timers[3].heard(), Some(Call::Tunnel));
        // Begins behind the last one, and comes round.
        timers[1].arm(Some(Duration::from_secs(1)));
        let next = call_some(Call::Tunnel, 1, next, most(2));
        assert_eq!(called(), [1, 3, 5]);
        call_some(Call::Tunnel, 1, next, most(9));
        assert_eq!(called(), [1, 3, 5]);
        call_some(Call::Tunnel, 7, 0, most(9));
        assert_eq!(called(), [1, 3, 5]);
    }

    #[test]
    fn a_shutdown_ends_every_wait_and_each_later_one() {
        use std::pin::pin;
        let mut cx = Context::from_waker(Waker::noop());
        let (waits, idle) = (Timer::new(), Timer::new());
        waits.arm(None);
        let mut wait = pin!(waits.limit(std::future::pending::<()>()));
        let mut work = pin!(until_shutdown(waits.fired()));
        assert!(
            wait.as_mut().poll(&mut cx).is_pending() && work.as_mut().poll(&mut cx).is_pending()
        );
        assert!(!is_shutting_down());
        shut_down();
        assert!(is_shutting_down());
        assert_eq!(wait.poll(&mut cx), Poll::Ready(Err(Elapsed)));
        assert_eq!(work.poll(&mut cx), Poll::Ready(Err(ShutDown)));
        for timer in [&waits, &idle, &Timer::new()] {
            timer.arm(Some(Duration::from_secs(60)));
            let wait = pin!(timer.limit(std::future::pending::<()>()));
            assert_eq!(wait.poll(&mut cx), Poll::Ready(Err(Elapsed)));
            assert_eq!(timer.heard(), Some(Call::Shutdown));
            // What need not wait goes on.
            let done = pin!(timer.limit(std::future::ready(())));
            assert_eq!(done.poll(&mut cx), Poll::Ready(Ok(())));
        }
    }

    #[test]
    fn a_slot_used_again_does_not_inherit() {
        let first = Timer::new();
        first.arm(Some(Duration::from_millis(200)));
        let slot = first.slot;
        drop(first);
        let second = Timer::new();
        assert_eq!(second.slot, slot);
        second.arm(Some(Duration::from_secs(2)));
        advance(10);
        assert!(!second.expired());
        advance(20);
        assert!(second.expired());
    }
}
