//! A tunnel: two streams, bytes both ways, until both sides have ended.
//!
//! Poll first, then receive into the thread's scratch buffer and send at once: an idle tunnel owns
//! no buffer. A half-close is carried through. The frame headers of each direction are followed,
//! so that messages can be counted; a direction that is no valid WebSocket is relayed untouched.

use std::cell::{Cell, RefCell};
use std::future::Future;
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
        let mut inbound = pin!(self.pump(&self.client, &self.server, &self.inbound, timer));
        let mut outbound = pin!(self.pump(&self.server, &self.client, &self.outbound, timer));
        let (mut first, mut open) = (None, [true, true]);
        let both = std::future::poll_fn(|cx| {
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
        });
        match timer.limit(both).await {
            Ok(end) => end,
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
                    .map_err(|_| At::To)?;
                if sent == 0 {
                    to.writable().await.map_err(|_| At::To)?;
                    continue;
                }
                direction.waiting.borrow_mut().consume(sent);
                timer.arm(self.timeout);
            }
            if direction.ended.get() {
                to.finish();
                return Ok(());
            }
            from.readable().await.map_err(|_| At::From)?;
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
        }
    }

    #[test]
    fn a_resting_tunnel_is_small() {
        ring::block_on(|_, _| async {
            let (client, _a) = detach_test_stream().unwrap();
            let (server, _b) = detach_test_stream().unwrap();
            let tunnel = tunnel(client, server);
            let timer = Timer::new();
            let parts = (size_of_val(&tunnel), size_of_val(&tunnel.run(&timer)));
            assert!(parts.0 <= 320 && parts.1 <= 640, "{parts:?}");
        })
        .unwrap();
    }

    #[test]
    fn bytes_and_half_closes_are_carried_through() {
        ring::block_on(|_, _| async {
            let (client, mut outside) = detach_test_stream().unwrap();
            let (server, mut inside) = detach_test_stream().unwrap();
            outside.write_all(b"no frame at all").unwrap();
            outside.shutdown(Shutdown::Write).unwrap();
            inside.write_all(b"\x81\x02hi").unwrap();
            inside.shutdown(Shutdown::Write).unwrap();
            let tunnel = tunnel(client, server);
            let end = tunnel.run(&Timer::new()).await;
            assert!(matches!(end, TunnelEnd::Client | TunnelEnd::Server));
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
