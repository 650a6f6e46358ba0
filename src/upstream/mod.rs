//! Connections to servers, one store per worker: open, lend, keep, let go.
//!
//! A kept [`Link`] is idle and owns no buffer and no task. It is looked at when it is lent; those that have waited too long are
//! closed when that is so, and those that the server has closed once a second, so that they do not pile up.

use std::cell::{Cell, RefCell};
use std::io;
use std::num::NonZeroU64;
use std::pin::pin;
use std::time::Duration;

use crate::balance::Sources;
use crate::config::Address;
use crate::ring::{self, Dialled, Elapsed, NotDialled, Stream, Timer};

/// A connection to a server.
#[derive(Debug)]
pub struct Link {
    /// The bytes' way.
    pub stream: Stream,
    /// Whether an exchange has used it before: then a failure before the first byte of an answer
    /// may only mean that the server had just closed it.
    pub reused: bool,
}

/// Why no link could be opened.
#[derive(Debug)]
pub enum ConnectError {
    /// No answer within the connect timeout.
    Timeout,
    /// The kernel's reason, such as refused or unreachable.
    Failed(io::Error),
    /// No source of the server's has a port left towards it, or none is an address of this machine: no fault of the
    /// server's, which was never asked. Towards another server there may be one.
    NoSource(io::Error),
    /// No descriptor or memory is left here: no fault of the server's.
    Exhausted(io::Error),
    /// The link was not wanted any more before it stood.
    Unwanted,
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Timeout => f.write_str("connect timeout"),
            Self::Unwanted => f.write_str("not wanted any more"),
            Self::Failed(error) | Self::NoSource(error) | Self::Exhausted(error) => error.fmt(f),
        }
    }
}

/// Opens a fresh link: one attempt, at most `timeout` long (`None` waits for the kernel's verdict), from the source
/// whose turn it is, or the next one that is there and has a port left. When a call fires the timer, the attempt
/// goes on if the link is still `wanted`.
///
/// # Errors
/// [`ConnectError`], after which the server may be tried again or another one taken.
pub async fn open(
    address: &Address,
    sources: &Sources,
    timer: &Timer,
    timeout: Option<Duration>,
    wanted: impl Fn() -> bool,
) -> Result<Link, ConnectError> {
    let dialled = dial(address, sources)?;
    timer.arm(timeout);
    let mut connected = pin!(dialled.connected());
    loop {
        return match timer.limit(connected.as_mut()).await {
            Ok(Ok(stream)) => Ok(Link {
                stream,
                reused: false,
            }),
            Ok(Err(error)) => Err(failed(error)),
            Err(Elapsed) if timer.called() && wanted() => {
                timer.resume();
                continue;
            }
            Err(Elapsed) if timer.called() => Err(ConnectError::Unwanted),
            Err(Elapsed) => Err(ConnectError::Timeout),
        };
    }
}

/// Begins at the first source that can.
fn dial(address: &Address, sources: &Sources) -> Result<Dialled, ConnectError> {
    let mut refused = None;
    for source in sources.in_turn() {
        let dialled = ring::dial(address, source.map(|source| source.address.to_bind()));
        if let Some(source) = source {
            source.note(matches!(dialled, Err(NotDialled::NoSource(_))));
        }
        match dialled {
            Ok(dialled) => return Ok(dialled),
            Err(NotDialled::Failed(error)) => return Err(failed(error)),
            Err(NotDialled::NoPort(error)) => refused = Some((true, error)),
            Err(NotDialled::NoSource(error)) => {
                refused = refused.or(Some((false, error)));
            }
        }
    }
    let (starved, error) = refused.expect("there is always one to try");
    if starved {
        sources.starve();
    }
    Err(ConnectError::NoSource(error))
}

fn failed(error: io::Error) -> ConnectError {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM) => {
            ConnectError::Exhausted(error)
        }
        _ => ConnectError::Failed(error),
    }
}

/// Kept links of one worker, by server.
#[derive(Default)]
pub struct Links {
    /// One for each server of the plan, in the order of their slots; the newest link of a server is lent first, so that
    /// the rest can age.
    idle: RefCell<Vec<Kept>>,
    limit: Cell<usize>,
    /// In steps of the thread's wheel, as all times here.
    age: Cell<Option<u32>>,
    /// No link has waited too long before.
    soonest: Cell<u32>,
    /// Where the sweep under way goes on: a place in `idle`, and one of its links.
    swept: Cell<(usize, usize)>,
    owners: Cell<u64>,
}

/// Of one server.
struct Kept {
    slot: usize,
    links: Vec<Idle>,
}

struct Idle {
    stream: Stream,
    since: u32,
    /// The client's connection that alone may use it; `None`: anybody.
    owner: Option<NonZeroU64>,
}

impl Links {
    /// An empty store that keeps at most `limit` links per server, each for at most `age` unused.
    pub fn new(limit: usize, age: Option<Duration>) -> Self {
        let links = Self::default();
        links.bound(limit, age);
        links
    }

    /// Sets both bounds anew, for a new plan.
    pub fn bound(&self, limit: usize, age: Option<Duration>) {
        self.limit.set(limit);
        self.age
            .set(age.map(|age| u32::try_from(age.as_millis().div_ceil(STEP)).unwrap_or(u32::MAX)));
        self.soonest.set(0);
    }

    /// Keeps links to the servers in these slots from now on, and closes those to all others: slots are never used again, so
    /// what is kept for a server that has gone would never be lent.
    pub fn serve(&self, slots: impl Iterator<Item = usize>) {
        let mut slots: Vec<usize> = slots.collect();
        slots.sort_unstable();
        let mut idle = self.idle.borrow_mut();
        let mut before = std::mem::take(&mut *idle);
        let links = |slot: usize| {
            let at = before.binary_search_by_key(&slot, |kept| kept.slot);
            at.map_or_else(|_| Vec::new(), |at| std::mem::take(&mut before[at].links))
        };
        *idle = slots
            .iter()
            .copied()
            .zip(slots.iter().copied().map(links))
            .map(|(slot, links)| Kept { slot, links })
            .collect();
    }

    /// Lends a kept link to the server in `slot`, if one is still quiet. A link on which something has
    /// come is closed, be it the end or bytes: those belong to nobody's request, and the next one would
    /// get them for its answer. With an `owner`, only that one's own; without, only those that are nobody's.
    pub fn lend(&self, slot: usize, owner: Option<NonZeroU64>) -> Option<Link> {
        let mut idle = self.idle.borrow_mut();
        let links = of(&mut idle, slot)?;
        // The last one, unless a reload changed whether links to this server have owners.
        while let Some(at) = links.iter().rposition(|idle| idle.owner == owner) {
            let Idle { stream, .. } = links.remove(at);
            if stream.is_quiet() {
                return Some(Link {
                    stream,
                    reused: true,
                });
            }
        }
        None
    }

    /// Keeps a link that stands between two exchanges, or closes it when there are enough, or when its server has gone. One with an `owner`
    /// is lent to nobody else.
    pub fn keep(&self, slot: usize, link: Link, owner: Option<NonZeroU64>) {
        let mut idle = self.idle.borrow_mut();
        if let Some(links) = of(&mut idle, slot)
            && links.len() < self.limit.get()
        {
            // It is kept before the next step at the latest.
            let since = ring::step() + 1;
            if let Some(age) = self.age.get() {
                let due = since.saturating_add(age);
                self.soonest.set(self.soonest.get().min(due));
            }
            links.push(Idle {
                stream: link.stream,
                since,
                owner,
            });
        }
    }

    /// A name for an owner of links, never given twice.
    pub fn new_owner(&self) -> NonZeroU64 {
        let next = NonZeroU64::MIN.saturating_add(self.owners.get());
        self.owners.set(next.get());
        next
    }

    /// Closes the links of an owner that has gone.
    pub fn let_go(&self, owner: NonZeroU64) {
        for Kept { links, .. } in self.idle.borrow_mut().iter_mut() {
            links.retain(|idle| idle.owner != Some(owner));
        }
    }

    /// Closes one kept link, the oldest of its server's, for somebody who needs a descriptor now. False when there
    /// is none.
    pub fn shed(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        let longest = idle.iter_mut().max_by_key(|kept| kept.links.len());
        longest.is_some_and(|kept| !kept.links.is_empty() && kept.links.drain(..1).count() == 1)
    }

    /// Closes links that have waited too long, `most` of them. To be called at every step. True when there may be more: then
    /// other tasks should have their turn first.
    pub fn expire(&self, most: usize) -> bool {
        let Some(age) = self.age.get() else {
            return false;
        };
        let now = ring::step();
        if now < self.soonest.get() {
            return false;
        }
        let (mut closed, mut soonest) = (0, u32::MAX);
        for kept in self.idle.borrow_mut().iter_mut() {
            // The oldest come first.
            let due = |link: &Idle| link.since.saturating_add(age);
            let old = kept.links.iter().take(most - closed);
            let old = old.take_while(|link| due(link) <= now).count();
            drop(kept.links.drain(..old));
            closed += old;
            soonest = kept
                .links
                .first()
                .map_or(soonest, |link| soonest.min(due(link)));
        }
        self.soonest.set(soonest);
        closed == most
    }

    /// [`Links::sweep`] begins anew.
    pub fn begin_sweep(&self) {
        self.swept.set((0, 0));
    }

    /// Closes what the server has closed, `most` links at a time; others are only looked at, which is quicker. True when there may be more: then other tasks should have their turn first.
    pub fn sweep(&self, most: usize) -> bool {
        let (mut slot, mut at) = self.swept.get();
        let (mut closed, mut looked) = (0, 0);
        let mut idle = self.idle.borrow_mut();
        // Between two pieces of a sweep the servers may become others: what is passed over then has its turn in a second.
        while let Some(kept) = idle.get_mut(slot) {
            while let Some(link) = kept.links.get(at) {
                if closed == most || looked == LOOKED_AT {
                    self.swept.set((slot, at));
                    return true;
                }
                looked += 1;
                if link.stream.is_quiet() {
                    at += 1;
                } else {
                    kept.links.remove(at);
                    closed += 1;
                }
            }
            (slot, at) = (slot + 1, 0);
        }
        self.swept.set((slot, at));
        false
    }
}

/// A step of the wheel, in milliseconds.
const STEP: u128 = ring::TICK.as_millis();

/// Links that are looked at in one piece of a sweep: a receive each, which finds nothing.
const LOOKED_AT: usize = 1_024;

/// The links kept for a slot: with three servers two comparisons, with ten thousand fourteen.
fn of(idle: &mut [Kept], slot: usize) -> Option<&mut Vec<Idle>> {
    let at = idle.binary_search_by_key(&slot, |kept| kept.slot).ok()?;
    Some(&mut idle[at].links)
}
