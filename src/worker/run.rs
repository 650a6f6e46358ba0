//! A worker's thread: its ring, its tasks, its tick.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc;

use super::{Command, Dealt, accept};
use crate::proxy::{Desk, Gauge, Plan};
use crate::record::{Event, Events, Log};
use crate::ring::{self, Call, Clock, Mailbox, Rung, Ticker};

/// What one worker is made of, until its thread runs.
pub(super) struct Worker {
    pub(super) index: usize,
    pub(super) core: Option<usize>,
    pub(super) sockets: Vec<Dealt>,
    pub(super) plan: Arc<Plan>,
    pub(super) log: Log,
    pub(super) gauge: Arc<Gauge>,
    pub(super) events: Events,
    pub(super) mailbox: Mailbox<Command>,
    pub(super) report: mpsc::Sender<io::Result<(Rung, Option<String>)>>,
}

impl Worker {
    /// Runs for as long as the process does.
    pub(super) fn run(self) {
        let report = self.report.clone();
        if let Some(id) = self.core {
            core_affinity::set_for_current(core_affinity::CoreId { id });
        }
        let end = ring::block_on(|rung, refused| async move {
            let _ = self
                .report
                .send(Ok((rung, refused.map(|error| error.to_string()))));
            self.work().await
        });
        if let Err(error) = end.and_then(|end| end) {
            let _ = report.send(Err(error));
        }
    }

    async fn work(self) -> io::Result<()> {
        let Self {
            index,
            sockets,
            plan,
            log,
            gauge,
            events,
            mailbox,
            ..
        } = self;
        let desk = Rc::new(Desk::new(index, plan, log, gauge, seed())?);
        for (listener, socket) in sockets {
            ring::spawn(accept::run(desk.clone(), events.clone(), listener, socket));
        }
        let reader = desk.clone();
        ring::spawn(async move {
            // The mailbox ends with the thread; a ring that cannot poll cannot serve either.
            let _ = mailbox.deliver(|command| obey(&reader, command)).await;
        });
        let waker = desk.clone();
        ring::spawn(async move {
            let _ = waker.wake_tunnels().await;
        });
        tick(&desk, &events).await
    }
}

fn obey(desk: &Desk, command: Command) {
    match command {
        Command::Adopt(plan) => desk.adopt(plan),
        Command::Drain => {
            desk.draining.set(true);
            ring::call(Call::Idle);
        }
        Command::EndTunnels => desk.end_tunnels(),
    }
}

/// Ten times a second: deadlines, and log lines that wait. Once a second: kept links, the wall's
/// time, panics.
async fn tick(desk: &Desk, events: &Events) -> io::Result<()> {
    let ticker = Ticker::new()?;
    let (steps, panics) = (Cell::new(0_u32), Cell::new(0));
    loop {
        ticker.tick().await?;
        desk.log.borrow_mut().flush();
        steps.set(steps.get().wrapping_add(1));
        if !steps.get().is_multiple_of(10) {
            continue;
        }
        desk.links.sweep();
        desk.end_idle_tunnels();
        desk.trim();
        desk.clock.set(Clock::new());
        let caught = ring::panics();
        if caught > panics.get() {
            desk.gauge.add_panics(caught - panics.get());
            events.send(Event::panicked(desk.worker, caught - panics.get()));
            panics.set(caught);
        }
    }
}

/// Differs for every worker of every process: the standard library's own random hasher keys.
fn seed() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}
