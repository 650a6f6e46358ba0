//! A tunnel: two streams, bytes both ways, until both sides have ended.
//!
//! Poll first, then receive into the thread's scratch buffer and send at once: an idle tunnel owns
//! no buffer. A half-close is carried through. The frame headers of each direction are followed,
//! so that messages can be counted; a direction that is no valid WebSocket is relayed untouched.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use crate::record::TunnelCounts;
use crate::ring::{self, Buffer, Duplex, Received, Timer};
use crate::wire::websocket::FrameTracker;

/// What a tunnel is made of, all of it plain values: nothing lives only in a future.
pub struct Tunnel<C, S> {
    /// Towards the client.
    pub client: C,
    /// Towards the server.
    pub server: S,
    /// From the client.
    pub inbound: Direction,
    /// From the server.
    pub outbound: Direction,
    /// Inactivity of both directions that ends the tunnel; `None` is never.
    pub timeout: Option<Duration>,
}

/// One direction of a tunnel.
pub struct Direction {
    tracker: Cell<Option<FrameTracker>>,
    bytes: Cell<u64>,
    /// Received and not yet sent; owns nothing while the receiver keeps up.
    waiting: RefCell<Buffer>,
    ended: Cell<bool>,
}

/// Why a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TunnelEnd {
    /// Both sides ended in order; the client first.
    Client,
    /// Both sides ended in order; the server first.
    Server,
    /// The client's connection broke.
    ClientBroke,
    /// The server's connection broke.
    ServerBroke,
    /// No byte for the tunnel timeout.
    Idle,
    /// The process is stopping.
    Killed,
}

impl Direction {
    /// A direction that begins with a head to be sent first (or nothing), and with bytes that were
    /// received before the tunnel stood.
    pub fn new(tracker: Option<FrameTracker>, head: Buffer, early: &[u8]) -> Self {
        let direction = Self {
            tracker: Cell::new(tracker),
            bytes: Cell::new(0),
            waiting: RefCell::new(head),
            ended: Cell::new(false),
        };
        if !early.is_empty() {
            direction.account(early);
            direction.waiting.borrow_mut().push(early);
        }
        direction
    }

    /// Whether every byte so far was part of a valid frame; false when frames are not looked at.
    pub fn followed(&self) -> bool {
        self.tracker
            .get()
            .is_some_and(|tracker| tracker.is_followed())
    }

    fn messages(&self) -> u64 {
        self.tracker.get().map_or(0, |tracker| tracker.messages())
    }

    fn account(&self, bytes: &[u8]) {
        self.bytes.set(self.bytes.get() + bytes.len() as u64);
        if let Some(mut tracker) = self.tracker.get() {
            tracker.advance(bytes);
            self.tracker.set(Some(tracker));
        }
    }
}

impl<C: Duplex, S: Duplex> Tunnel<C, S> {
    /// Moves bytes until the end. `timer` is the tunnel's only deadline.
    pub async fn run(&self, timer: &Timer) -> TunnelEnd {
        timer.arm(self.timeout);
        let first = Cell::new(None);
        let inbound = self.pump(&self.client, &self.server, &self.inbound, timer);
        let outbound = self.pump(&self.server, &self.client, &self.outbound, timer);
        let both = both(
            async {
                let end = inbound.await;
                first.set(first.get().or(Some(TunnelEnd::Client)));
                end.map_err(|at| at.blame(TunnelEnd::ClientBroke, TunnelEnd::ServerBroke))
            },
            async {
                let end = outbound.await;
                first.set(first.get().or(Some(TunnelEnd::Server)));
                end.map_err(|at| at.blame(TunnelEnd::ServerBroke, TunnelEnd::ClientBroke))
            },
        );
        match timer.limit(both).await {
            Ok(Ok(())) => first.get().unwrap_or(TunnelEnd::Client),
            Ok(Err(end)) => end,
            Err(ring::Elapsed) if timer.called() => TunnelEnd::Killed,
            Err(ring::Elapsed) => TunnelEnd::Idle,
        }
    }

    /// What went through so far.
    pub fn counts(&self) -> TunnelCounts {
        TunnelCounts {
            messages_in: self.inbound.messages(),
            messages_out: self.outbound.messages(),
            bytes_in: self.inbound.bytes.get(),
            bytes_out: self.outbound.bytes.get(),
            followed: self.inbound.followed() && self.outbound.followed(),
        }
    }

    async fn pump(
        &self,
        from: &impl Duplex,
        to: &impl Duplex,
        direction: &Direction,
        timer: &Timer,
    ) -> Result<(), At> {
        loop {
            while !direction.waiting.borrow().is_empty() {
                let sent = to
                    .try_send(direction.waiting.borrow().bytes())
                    .map_err(At::To)?;
                if sent == 0 {
                    to.writable().await.map_err(At::To)?;
                    continue;
                }
                direction.waiting.borrow_mut().consume(sent);
                timer.arm(self.timeout);
            }
            if direction.ended.get() {
                to.finish();
                return Ok(());
            }
            from.readable().await.map_err(At::From)?;
            timer.arm(self.timeout);
            let mut turns = TURNS;
            while turns > 0 && relay(from, to, direction)? {
                turns -= 1;
            }
        }
    }
}

/// Moves what one receive gives. True when the scratch buffer was full and all of it could be sent:
/// then there may be more at once, and nobody else has to be asked first.
fn relay(from: &impl Duplex, to: &impl Duplex, direction: &Direction) -> Result<bool, At> {
    ring::with_scratch(|scratch| {
        let received = match from.try_recv(scratch).map_err(At::From)? {
            Received::Bytes(count) => &scratch[..count],
            Received::Empty => return Ok(false),
            Received::Closed => {
                direction.ended.set(true);
                return Ok(false);
            }
        };
        direction.account(received);
        let sent = to.try_send(received).map_err(At::To)?;
        if sent < received.len() {
            direction.waiting.borrow_mut().push(&received[sent..]);
        }
        Ok(sent == scratch.len())
    })
}

/// Full scratch buffers that one direction moves before the worker's other connections have their turn.
const TURNS: u32 = 4;

/// At which end of a direction it broke.
enum At {
    From(io::Error),
    To(io::Error),
}

impl At {
    fn blame(self, from: TunnelEnd, to: TunnelEnd) -> TunnelEnd {
        match self {
            Self::From(_) => from,
            Self::To(_) => to,
        }
    }
}

/// Runs two futures until both are done or one fails.
async fn both<E>(
    first: impl Future<Output = Result<(), E>>,
    second: impl Future<Output = Result<(), E>>,
) -> Result<(), E> {
    let mut first = pin!(first);
    let mut second = pin!(second);
    let (mut first_done, mut second_done) = (false, false);
    std::future::poll_fn(|cx| {
        if !first_done && let Poll::Ready(end) = first.as_mut().poll(cx) {
            end?;
            first_done = true;
        }
        if !second_done && let Poll::Ready(end) = second.as_mut().poll(cx) {
            end?;
            second_done = true;
        }
        if first_done && second_done {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    })
    .await
}
