//! A worker's thread: its ring, its tasks, its tick.

use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;

use super::{Command, Dealt, Flushed, accept};
use crate::balance;
use crate::config::Level;
use crate::proxy::{self, Desk, Gauge, Open, Plan};
use crate::record::{Event, Events, Log};
use crate::ring::{self, Bell, Call, Clock, Driver, Hangup, Mailbox, Operations, Sender, Ticker};

/// What one worker is made of, until its thread runs.
pub(super) struct Worker {
    pub(super) index: usize,
    pub(super) core: Option<usize>,
    pub(super) operations: Operations,
    pub(super) sockets: Vec<Dealt>,
    pub(super) plan: Arc<Plan>,
    pub(super) log: Log,
    pub(super) gauge: Arc<Gauge>,
    pub(super) bell: Arc<Bell>,
    pub(super) events: Events,
    pub(super) mailbox: Mailbox<Command>,
    /// To itself, for those who ring it.
    pub(super) sender: Sender<Command>,
    pub(super) report: mpsc::Sender<io::Result<Driver>>,
}

impl Worker {
    /// Runs for as long as the process does. If a worker that has started ends all the same, the process ends:
    /// clients would go on arriving at sockets that nobody accepts from.
    pub(super) fn run(self) {
        let report = self.report.clone();
        let _last = Last { index: self.index };
        if let Some(id) = self.core {
            core_affinity::set_for_current(core_affinity::CoreId { id });
        }
        let end = ring::block_on(self.operations, |driver| self.work(driver));
        if let Err(error) = end.and_then(|end| end) {
            let _ = report.send(Err(error));
        }
    }

    /// Sets everything up, says so, and goes on for ever.
    async fn work(self, driver: Driver) -> io::Result<()> {
        let Self {
            index,
            sockets,
            plan,
            log,
            gauge,
            bell,
            events,
            mailbox,
            sender,
            report,
            ..
        } = self;
        HERE.set(Some(index));
        let waiters = Arc::new(WorkersBell { index, sender });
        let desk = Desk::new(index, plan, log, gauge, bell, waiters, seed())?;
        let desk = Rc::new(desk);
        let ticker = Ticker::new()?;
        Hangup::prepare()?;
        for (listener, socket) in sockets {
            let open = Open::new(&desk.gauge);
            let accepting = accept::run(desk.clone(), events.clone(), listener, socket, open);
            ring::spawn_vital(accepting, move |why| lost(index, "accepting", why));
        }
        let reader = desk.clone();
        let reading = async move { mailbox.deliver(|command| obey(&reader, command)).await };
        ring::spawn_vital(reading, move |why| lost(index, "its mailbox", why));
        let waker = desk.clone();
        let waking = async move { waker.wake_tunnels().await };
        ring::spawn_vital(waking, move |why| {
            lost(index, "waking tunnels", why);
        });
        let _ = report.send(Ok(driver));
        RUNNING.set(true);
        #[cfg(debug_assertions)]
        ring::watch_allocations();
        tick(&desk, &events, &ticker).await
    }
}

/// Ends the process with its worker.
struct Last {
    index: usize,
}

impl Drop for Last {
    fn drop(&mut self) {
        if RUNNING.get() {
            eprintln!(
                "ringbolt: worker {} has ended, and the process with it",
                self.index
            );
            std::process::exit(WORKER_ENDED);
        }
    }
}

/// Without this task the worker is a trap for clients: the process ends, and the launcher starts another.
fn lost(index: usize, what: &str, why: &str) {
    eprintln!("ringbolt: worker {index} has lost {what}, and the process ends: {why}");
    std::process::exit(WORKER_ENDED);
}

/// The exit code of a generation whose worker has ended: EX_SOFTWARE of sysexits(3).
const WORKER_ENDED: i32 = 70;

thread_local! {
    /// This thread's worker has started.
    static RUNNING: Cell<bool> = const { Cell::new(false) };
    /// The number of this thread's worker.
    static HERE: Cell<Option<usize>> = const { Cell::new(None) };
    /// Those who wait for this worker's log lines: one, at the end.
    static FLUSHES: RefCell<Vec<Arc<Flushed>>> = const { RefCell::new(Vec::new()) };
}

/// Tells those who wait on a worker that they have a server.
struct WorkersBell {
    index: usize,
    sender: Sender<Command>,
}

impl balance::Bell for WorkersBell {
    fn ring(&self, place: u32) {
        if HERE.get() == Some(self.index) {
            proxy::knock(place);
        } else {
            self.sender.send(Command::Given(place));
        }
    }
}

fn obey(desk: &Desk, command: Command) {
    match command {
        Command::Adopt(plan) => desk.adopt(plan),
        Command::LameDuck => desk.lame_duck.set(true),
        Command::Drain => {
            desk.draining.set(true);
            for call in [Call::Drain, Call::Fresh, Call::Idle] {
                ring::call(call);
            }
        }
        Command::Given(place) => proxy::knock(place),
        Command::ShutDown => desk.shut_down(),
        Command::Flush(flushed) => {
            FLUSHES.with_borrow_mut(|flushes| flushes.push(flushed));
            flush(desk);
        }
        Command::Refused(collected) => collected.add(desk.refused()),
        Command::Close(closing) => desk.close_tunnels(&closing),
        #[cfg(debug_assertions)]
        Command::Escape => ring::spawn(async {
            ring::escape::tell("ring-open", &ring::escape::by_ring().await);
        }),
    }
}

/// Hands log lines over, and tells those who wait for that.
fn flush(desk: &Desk) {
    if desk.log.borrow_mut().flush() {
        FLUSHES.with_borrow_mut(|flushes| flushes.drain(..).for_each(|flushed| flushed.done()));
    }
}

/// Ten times a second: deadlines, tunnels that have rested for too long, log lines that wait, room for another worker's newcomers.
/// Once a second: kept links, the wall's time, panics.
async fn tick(desk: &Desk, events: &Events, ticker: &Ticker) -> io::Result<()> {
    let (steps, panics) = (Cell::new(0_u32), Cell::new(0));
    let mut exhaustion = Exhaustion::default();
    loop {
        ticker.tick().await?;
        #[cfg(debug_assertions)]
        proxy::fault::at_tick();
        flush(desk);
        if desk.gauge.room_is_wanted() && ring::make_room() > 0 {
            desk.gauge.want_room(false);
        }
        while desk.end_idle_tunnels() || desk.links.expire(ring::AT_A_TIME) {
            ticker.pause().await?;
        }
        steps.set(steps.get().wrapping_add(1));
        if !steps.get().is_multiple_of(10) {
            continue;
        }
        desk.links.begin_sweep();
        while desk.links.sweep(ring::AT_A_TIME) {
            ticker.pause().await?;
        }
        desk.trim();
        desk.clock.set(Clock::new());
        exhaustion.look(desk, events);
        let caught = ring::panics();
        if caught > panics.get() {
            desk.gauge.add_panics(caught - panics.get());
            events.send(Event::panicked(
                desk.worker,
                caught - panics.get(),
                ring::last_panic(),
            ));
            panics.set(caught);
        }
    }
}

/// Says that descriptors are used up for connections to servers: at once, and then at most once a minute.
#[derive(Default)]
struct Exhaustion {
    told: u64,
    seconds: u32,
}

impl Exhaustion {
    /// Once a second.
    fn look(&mut self, desk: &Desk, events: &Events) {
        self.seconds = self.seconds.saturating_sub(1);
        let times = desk.exhausted.get() - self.told;
        if times == 0 || self.seconds > 0 {
            return;
        }
        (self.told, self.seconds) = (desk.exhausted.get(), 60);
        let s = if times == 1 { "" } else { "s" };
        events.say(
            Level::Error,
            format!(
                "no descriptor or memory left to connect to a server: {times} request{s} answered with 503"
            ),
        );
    }
}

/// Differs for every worker of every process: the standard library's own random hasher keys.
fn seed() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}
