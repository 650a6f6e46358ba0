//! A tunnel: two streams, bytes both ways, until both sides have ended.
//!
//! Poll first, then receive into the thread's scratch buffer and send at once: a quiet tunnel owns
//! no buffer, and after a moment of rest not even a task ([`Pause::Rest`]). A half-close is carried
//! through. The frame headers of each direction are followed, so that messages can be counted; a
//! direction that is no valid WebSocket is relayed untouched.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::flow::BREATH;
use crate::record::TunnelCounts;
use crate::ring::{self, Buffer, Call, Duplex, Moment, Received, Tick, Timer};
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
    /// Whether it may be laid to rest when it is quiet.
    pub rests: bool,
    /// When a byte was last received or sent.
    pub moved: Cell<Tick>,
}

/// Why a tunnel stopped running.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// It has ended.
    End(TunnelEnd),
    /// It has been quiet since then, nothing waits in it, and both directions are open: its task can go
    /// until a byte comes.
    Rest(Moment),
}

/// One direction of a tunnel.
pub struct Direction {
    tracker: Cell<Option<FrameTracker>>,
    bytes: Cell<u64>,
    /// Received and not yet sent; owns nothing while the receiver keeps up.
    waiting: RefCell<Buffer>,
    ended: Cell<bool>,
}

/// A direction in which nothing waits, as it is kept while its tunnel rests.
#[derive(Debug, Clone, Copy)]
pub(super) struct Still {
    tracker: Option<FrameTracker>,
    bytes: u64,
}

impl Still {
    /// Goes on where it stood still.
    pub(super) fn go_on(self) -> Direction {
        Direction {
            tracker: Cell::new(self.tracker),
            bytes: Cell::new(self.bytes),
            waiting: RefCell::default(),
            ended: Cell::new(false),
        }
    }

    fn messages(&self) -> u64 {
        self.tracker.map_or(0, |tracker| tracker.messages())
    }

    /// Whether every byte so far was part of a valid frame; false when frames are not looked at.
    fn is_followed(&self) -> bool {
        self.tracker.is_some_and(|tracker| tracker.is_followed())
    }
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
    /// The process is stopping, or an operator closed it.
    Killed,
    /// Its server is down, and the pool's `on_down` closes tunnels then.
    ServerDown,
    /// A fault of our own.
    Panicked,
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

    /// What it has come to.
    pub(super) fn still(&self) -> Still {
        Still {
            tracker: self.tracker.get(),
            bytes: self.bytes.get(),
        }
    }

    /// Its sender has not ended, and nothing waits.
    fn is_open(&self) -> bool {
        !self.ended.get() && self.waiting.borrow().is_empty()
    }

    /// Its sender has ended, and nothing waits to be passed on.
    fn is_through(&self) -> bool {
        self.ended.get() && self.waiting.borrow().is_empty()
    }

    fn account(&self, bytes: &[u8]) {
        #[cfg(debug_assertions)]
        super::fault::at(bytes, "tunnel");
        self.bytes.set(self.bytes.get() + bytes.len() as u64);
        if let Some(mut tracker) = self.tracker.get() {
            tracker.advance(bytes);
            self.tracker.set(Some(tracker));
        }
    }
}

impl<C: Duplex, S: Duplex> Tunnel<C, S> {
    /// Moves bytes until the end, or until it may rest. `timer` is the tunnel's only deadline. A byte only leaves a mark, by
    /// which the deadline is set anew when it comes: so a timeout ends [`ring::LATENESS`] late at most, never early.
    pub async fn run(&self, timer: &Timer) -> Pause {
        let (client, server, moved) = (&self.client, &self.server, &self.moved);
        let directions = (&self.inbound, &self.outbound);
        let mut inbound = pin!(pump(client, server, directions, moved));
        let directions = (&self.outbound, &self.inbound);
        let mut outbound = pin!(pump(server, client, directions, moved));
        let (mut first, mut open) = (None, [true, true]);
        let mut both = pin!(std::future::poll_fn(|cx| {
            if open[0]
                && let Poll::Ready(end) = inbound.as_mut().poll(cx)
            {
                if let Err(at) = end {
                    return Poll::Ready(at.blame(TunnelEnd::ClientBroke, TunnelEnd::ServerBroke));
                }
                open[0] = false;
                first.get_or_insert(TunnelEnd::Client);
            }
            if open[1]
                && let Poll::Ready(end) = outbound.as_mut().poll(cx)
            {
                if let Err(at) = end {
                    return Poll::Ready(at.blame(TunnelEnd::ServerBroke, TunnelEnd::ClientBroke));
                }
                open[1] = false;
                first.get_or_insert(TunnelEnd::Server);
            }
            match first {
                Some(end) if open == [false, false] => Poll::Ready(end),
                _ => Poll::Pending,
            }
        }));
        // Since when the tunnel is quiet, and by which mark that is known for good.
        let mut since = Moment::now();
        let (mut looked, mut known) = (since, None);
        // The step of the wheel in which it may rest, once it has been quiet for long enough; `u32::MAX` before.
        let mut rest_at = u32::MAX;
        loop {
            let next = match (self.rests, rest_at) {
                (true, u32::MAX) if since + REST > looked => since + REST,
                (true, u32::MAX) => looked + REST,
                (true, step) => looked + ring::TICK * step.saturating_sub(ring::step()),
                (false, _) => looked + LOOK,
            };
            let deadline = self.patience().map(|patience| since + patience);
            timer.arm_at(Some(deadline.map_or(next, |deadline| deadline.min(next))));
            match timer.limit(both.as_mut()).await {
                Ok(end) => return Pause::End(end),
                Err(ring::Elapsed) => match timer.heard() {
                    None => {}
                    Some(Call::ServerDown) => return Pause::End(TunnelEnd::ServerDown),
                    Some(_) => return Pause::End(TunnelEnd::Killed),
                },
            }
            looked = Moment::now();
            let mark = self.moved.get();
            if known != Some(mark) {
                since = since.max(mark.end());
                known = mark.is_over().then_some(mark);
            }
            let quiet = looked.since(since);
            if self.patience().is_some_and(|patience| quiet >= patience) {
                return Pause::End(TunnelEnd::Idle);
            }
            let may_rest = self.rests && quiet >= REST;
            if !may_rest || !self.inbound.is_open() || !self.outbound.is_open() {
                rest_at = u32::MAX;
                continue;
            }
            if rest_at == u32::MAX {
                rest_at = ring::reserve_step();
            }
            if rest_at <= ring::step() {
                return Pause::Rest(since);
            }
        }
    }

    /// How long the tunnel may be quiet. Once a side has ended, the other one is given less: a tunnel
    /// half open for hours is most often one whose peer has vanished.
    fn patience(&self) -> Option<Duration> {
        if !self.inbound.ended.get() && !self.outbound.ended.get() {
            return self.timeout;
        }
        Some(
            self.timeout
                .map_or(HALF_OPEN, |timeout| timeout.min(HALF_OPEN)),
        )
    }

    /// What went through so far.
    pub fn counts(&self) -> TunnelCounts {
        counts(self.inbound.still(), self.outbound.still())
    }
}

/// What went through two directions so far.
pub(super) fn counts(inbound: Still, outbound: Still) -> TunnelCounts {
    TunnelCounts {
        messages_in: inbound.messages(),
        messages_out: outbound.messages(),
        bytes_in: inbound.bytes,
        bytes_out: outbound.bytes,
        followed: inbound.is_followed() && outbound.is_followed(),
    }
}

/// One direction, until its sender has ended and everything was passed on. Unless the opposite one is through as well: then
/// the tunnel is over, and both connections are closed at once.
async fn pump(
    from: &impl Duplex,
    to: &impl Duplex,
    (direction, opposite): (&Direction, &Direction),
    moved: &Cell<Tick>,
) -> Result<(), At> {
    let mut received = 0_u32;
    loop {
        while !direction.waiting.borrow().is_empty() {
            let sent = to
                .try_send(direction.waiting.borrow().bytes())
                .map_err(|_| At::To)?;
            if sent == 0 {
                to.writable().await.map_err(|_| At::To)?;
                continue;
            }
            direction.waiting.borrow_mut().consume(sent);
            moved.set(Tick::now());
        }
        if direction.ended.get() {
            if !opposite.is_through() {
                to.finish();
            }
            return Ok(());
        }
        from.readable().await.map_err(|_| At::From)?;
        moved.set(Tick::now());
        let mut turns = TURNS;
        while turns > 0 && relay(from, to, direction)? {
            turns -= 1;
        }
        received = received.wrapping_add(1);
        if received.is_multiple_of(BREATH) {
            ring::breathe().await;
        }
    }
}

/// Moves what one receive gives. True when the scratch buffer was full and all of it could be sent:
/// then there may be more at once, and nobody else has to be asked first.
fn relay(from: &impl Duplex, to: &impl Duplex, direction: &Direction) -> Result<bool, At> {
    ring::with_scratch(|scratch| {
        let received = match from.try_recv(scratch).map_err(|_| At::From)? {
            Received::Bytes(count) => &scratch[..count],
            Received::Empty => return Ok(false),
            Received::Closed => {
                direction.ended.set(true);
                return Ok(false);
            }
        };
        direction.account(received);
        let sent = to.try_send(received).map_err(|_| At::To)?;
        if sent < received.len() {
            direction.waiting.borrow_mut().push(&received[sent..]);
        }
        Ok(sent == scratch.len())
    })
}

/// Quiet for so long, a tunnel is laid to rest. Waking it costs about as much as a message.
const REST: Duration = Duration::from_secs(2);

/// How often a tunnel that cannot rest looks when a byte was last moved: so long marks tell it exactly.
const LOOK: Duration = Duration::from_secs(45);

/// How long a tunnel with only one direction left may be quiet.
const HALF_OPEN: Duration = Duration::from_secs(60);

/// Full scratch buffers that one direction moves before the worker's other connections have their turn.
const TURNS: u32 = 4;

/// At which end of a direction it broke.
enum At {
    From,
    To,
}

impl At {
    fn blame(self, from: TunnelEnd, to: TunnelEnd) -> TunnelEnd {
        match self {
            Self::From => from,
            Self::To => to,
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::{Read, Write};
    use std::net::Shutdown;

    use super::*;
    use crate::ring::detach_test_stream;
    use crate::wire::websocket::From;

    fn tunnel<C: Duplex, S: Duplex>(client: C, server: S) -> Tunnel<C, S> {
        let direction = |from| Direction::new(Some(FrameTracker::new(from)), Buffer::new(), b"");
        Tunnel {
            client,
            server,
            inbound: direction(From::Client),
            outbound: direction(From::Server),
            timeout: None,
            rests: false,
            moved: Cell::new(Tick::now()),
        }
    }

    #[test]
    fn a_resting_tunnel_is_small() {
        ring::block_on(ring::Operations::Few, |_| async {
            let (client, _a) = detach_test_stream().unwrap();
            let (server, _b) = detach_test_stream().unwrap();
            let tunnel = tunnel(client, server);
            let timer = Timer::new();
            let parts = (size_of_val(&tunnel), size_of_val(&tunnel.run(&timer)));
            assert!(parts.0 <= 256 && parts.1 <= 576, "{parts:?}");
        })
        .unwrap();
    }

    #[test]
    fn a_slow_receiver_is_no_ended_direction() {
        ring::block_on(ring::Operations::Few, |_| async {
            let (client, _a) = detach_test_stream().unwrap();
            let (server, _b) = detach_test_stream().unwrap();
            let tunnel = tunnel(client, server);
            tunnel
                .outbound
                .waiting
                .borrow_mut()
                .push(b"nobody reads this");
            assert_eq!(tunnel.patience(), None, "never means never");
            tunnel.inbound.ended.set(true);
            assert_eq!(tunnel.patience(), Some(HALF_OPEN));
        })
        .unwrap();
    }

    #[test]
    fn bytes_and_half_closes_are_carried_through() {
        ring::block_on(ring::Operations::Few, |_| async {
            let (client, mut outside) = detach_test_stream().unwrap();
            let (server, mut inside) = detach_test_stream().unwrap();
            outside.write_all(b"no frame at all").unwrap();
            outside.shutdown(Shutdown::Write).unwrap();
            inside.write_all(b"\x81\x02hi").unwrap();
            inside.shutdown(Shutdown::Write).unwrap();
            let tunnel = tunnel(client, server);
            let end = tunnel.run(&Timer::new()).await;
            assert!(matches!(
                end,
                Pause::End(TunnelEnd::Client | TunnelEnd::Server)
            ));
            let counts = tunnel.counts();
            assert_eq!(
                (counts.bytes_in, counts.bytes_out, counts.messages_out),
                (15, 4, 1)
            );
            assert!(!counts.followed, "one direction was no WebSocket");
            drop(tunnel);
            let mut got = Vec::new();
            inside.read_to_end(&mut got).unwrap();
            assert_eq!(got, b"no frame at all");
            got.clear();
            outside.read_to_end(&mut got).unwrap();
            assert_eq!(got, b"\x81\x02hi");
        })
        .unwrap();
    }
}
