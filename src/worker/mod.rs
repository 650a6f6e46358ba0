//! One core: a ring, its own sockets of every listener, the present plan, and an orderly end.
//!
//! [`Workers::start`] runs one pinned thread per worker. Each accepts from sockets of its own
//! (SO_REUSEPORT, opened by the launcher), serves its clients without sharing anything but atomics,
//! and takes commands from a mailbox. It waits in one place only: for its ring.

mod accept;
mod run;

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::mpsc;

use crossbeam_queue::SegQueue;

use crate::proxy::{Closing, Gauge, Plan};
use crate::record::{Events, Log, RecentRefusals, RefusedMessage};
use crate::ring::{self, Bell, Driver, Operations, Rung, Sender};

/// What workers start with.
pub struct Setup {
    /// The first plan.
    pub plan: Arc<Plan>,
    /// The sockets of each listener, in the plan's order.
    pub listeners: Vec<ListenerSockets>,
    /// One per worker: access lines on their way to the writer.
    pub logs: Vec<Log>,
    /// Cores to pin to, in turn; empty: every usable core in order.
    pub cores: Vec<usize>,
    /// Where events go.
    pub events: Events,
    /// What the rings should take.
    pub operations: Operations,
}

/// The sockets of one listener: all that were opened for it. They are dealt out to the workers in
/// turn, so with fewer workers than sockets some accept from several.
pub struct ListenerSockets {
    /// Index into the plan's listeners.
    pub listener: usize,
    /// Listening, non-blocking. Sockets of the same address follow one another.
    pub sockets: Vec<OwnedFd>,
}

/// The running workers.
pub struct Workers {
    senders: Vec<Sender<Command>>,
    gauge: Arc<Gauge>,
    bell: Arc<Bell>,
    /// The worst of them.
    driver: Driver,
    refused: Option<String>,
}

/// What workers are told.
pub(crate) enum Command {
    /// Exchanges that begin from now on follow this plan, and those that wait take their servers from it.
    Adopt(Arc<Plan>),
    /// Serve as before; monitors say that the process stops.
    LameDuck,
    /// Accept nobody, close idle connections, end each connection after its exchange.
    Drain,
    /// Who waits at this place for a server has one.
    Given(u32),
    /// End what is left.
    ShutDown,
    /// Hand over every log line.
    Flush(Arc<Flushed>),
    /// Hand over the last messages that were refused.
    Refused(Arc<Collected>),
    /// End as many of a server's tunnels as are due.
    Close(Arc<Closing>),
    /// Try to open a file through the ring: for a test of the sandbox.
    #[cfg(debug_assertions)]
    Escape,
}

impl Workers {
    /// Starts as many workers as there are logs, and waits until each has its ring.
    ///
    /// # Errors
    /// When a thread, a mailbox, or not even the epoll driver can be had: out of descriptors or memory.
    pub fn start(setup: Setup) -> io::Result<Self> {
        ring::remember_panics();
        let count = setup.logs.len();
        let gauge = Arc::new(Gauge::new(count));
        let bell = Arc::new(Bell::new()?);
        let mut decks = deal(setup.listeners, count);
        let cores = cores(&setup.cores);
        let (report, reports) = mpsc::channel();
        let mut senders = Vec::with_capacity(count);
        for (index, log) in setup.logs.into_iter().enumerate() {
            let (sender, mailbox) = ring::mailbox()?;
            senders.push(sender.clone());
            let worker = run::Worker {
                index,
                core: cores.get(index % cores.len().max(1)).copied(),
                operations: setup.operations,
                sockets: std::mem::take(&mut decks[index]),
                plan: setup.plan.clone(),
                log,
                gauge: gauge.clone(),
                bell: bell.clone(),
                events: setup.events.clone(),
                mailbox,
                sender,
                report: report.clone(),
            };
            std::thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || worker.run())?;
        }
        drop(report);
        let mut driver: Option<Driver> = None;
        for _ in 0..count {
            let report = reports
                .recv()
                .map_err(|_| io::Error::other("a worker died at its start"))?;
            driver = Some(match driver {
                Some(other) => other.worse(report?),
                None => report?,
            });
        }
        let driver = driver.ok_or_else(|| io::Error::other("there is no worker"))?;
        Ok(Self {
            senders,
            gauge,
            bell,
            refused: driver.refused.as_ref().map(ToString::to_string),
            driver,
        })
    }

    /// Gives every worker a new plan. No connection is touched.
    pub fn adopt(&self, plan: &Arc<Plan>) {
        for sender in &self.senders {
            sender.send(Command::Adopt(plan.clone()));
        }
    }

    /// Lets monitors answer 503 while everything else goes on.
    pub fn lame_duck(&self) {
        self.tell(|| Command::LameDuck);
    }

    /// Stops accepting, closes idle connections, and lets exchanges and tunnels go on.
    pub fn drain(&self) {
        self.tell(|| Command::Drain);
    }

    /// Ends every exchange and tunnel. [`Workers::connections`] is 0 when all have, and each has written its line.
    pub fn shut_down(&self) {
        self.tell(|| Command::ShutDown);
    }

    /// Makes the workers hand over their log lines; they have done so when the value [is done](Flushed::is_done).
    pub fn flush(&self) -> Arc<Flushed> {
        let flushed = Arc::new(Flushed(AtomicUsize::new(self.senders.len())));
        self.tell(|| Command::Flush(Arc::clone(&flushed)));
        flushed
    }

    /// Asks every worker for the last messages that it refused; all have answered when the value
    /// [is complete](Collected::is_complete).
    pub fn refused_messages(&self) -> Arc<Collected> {
        let collected = Arc::new(Collected {
            messages: SegQueue::new(),
            left: AtomicUsize::new(self.senders.len()),
        });
        self.tell(|| Command::Refused(Arc::clone(&collected)));
        collected
    }

    /// Lets the workers end tunnels of one server until `due` of them have ended since the order was made. They have
    /// done what they can when it [is done](Closing::is_done), and are not to be asked again before: each ends a bounded
    /// number at a time.
    pub fn close(&self, closing: &Arc<Closing>, due: u32) {
        closing.ask(due);
        self.tell(|| Command::Close(Arc::clone(closing)));
    }

    /// Makes every worker try to open a file through its ring, and say on standard error what came of it.
    #[cfg(debug_assertions)]
    pub fn escape(&self) {
        self.tell(|| Command::Escape);
    }

    /// Client connections now, tunnels among them.
    pub fn connections(&self) -> u32 {
        self.gauge.connections()
    }

    /// Listening sockets that are open.
    pub fn listening(&self) -> u32 {
        self.gauge.listening()
    }

    /// Tunnels now.
    pub fn tunnels(&self) -> u32 {
        self.gauge.tunnels()
    }

    /// Counts of the whole process.
    pub fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    /// What a worker rings when a server has had too many errors in a row.
    pub fn bell(&self) -> &Arc<Bell> {
        &self.bell
    }

    /// How many workers there are.
    pub fn count(&self) -> usize {
        self.senders.len()
    }

    /// The driver that every worker has at least.
    pub fn driver(&self) -> Rung {
        self.driver.rung
    }

    /// What every ring takes at most.
    pub fn operations(&self) -> Operations {
        self.driver.operations
    }

    /// Why a better driver was refused.
    pub fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    fn tell(&self, command: impl Fn() -> Command) {
        for sender in &self.senders {
            sender.send(command());
        }
    }
}

/// Workers that have not yet handed over all of their log lines.
#[derive(Debug)]
pub struct Flushed(AtomicUsize);

impl Flushed {
    /// Whether all have.
    pub fn is_done(&self) -> bool {
        self.0.load(Acquire) == 0
    }

    fn done(&self) {
        self.0.fetch_sub(1, Release);
    }
}

/// Refused messages of the workers that have answered: [`RecentRefusals::MOST`] of each at most.
#[derive(Debug)]
pub struct Collected {
    messages: SegQueue<Arc<RefusedMessage>>,
    left: AtomicUsize,
}

impl Collected {
    /// Whether all workers have answered.
    pub fn is_complete(&self) -> bool {
        self.left.load(Acquire) == 0
    }

    /// The last messages of all workers that have answered, oldest first.
    pub fn merged(&self) -> Vec<Arc<RefusedMessage>> {
        let messages = std::iter::from_fn(|| self.messages.pop());
        RecentRefusals::merge(messages.collect())
    }

    fn add(&self, messages: Vec<Arc<RefusedMessage>>) {
        for message in messages {
            self.messages.push(message);
        }
        self.left.fetch_sub(1, Release);
    }
}

/// A listening socket and the index of its listener.
pub(crate) type Dealt = (usize, OwnedFd);

fn deal(listeners: Vec<ListenerSockets>, workers: usize) -> Vec<Vec<Dealt>> {
    let mut decks: Vec<Vec<Dealt>> = (0..workers).map(|_| Vec::new()).collect();
    for ListenerSockets { listener, sockets } in listeners {
        for (index, socket) in sockets.into_iter().enumerate() {
            decks[index % workers].push((listener, socket));
        }
    }
    decks
}

/// Where workers are pinned: what the settings say, or every core that the process may use.
fn cores(wanted: &[usize]) -> Vec<usize> {
    if !wanted.is_empty() {
        return wanted.to_vec();
    }
    let usable = core_affinity::get_core_ids().unwrap_or_default();
    usable.into_iter().map(|core| core.id).collect()
}
