//! One direction of an exchange: a body on its way, with back-pressure.
//!
//! Bytes are received into the thread's scratch buffer, their framing is followed, and they are
//! sent at once; only what the receiver does not take waits in a buffer, and until it is gone
//! nothing more is received. So a body of any size needs no more memory than one scratch buffer's
//! worth.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::retry::Copy;
use super::session::Learning;
use crate::ring::{self, Buffer, Duplex, Elapsed, Hangup, Moment, Received, Tick, Timer};
use crate::wire::chunked::Decoder;
use crate::wire::forward::Trailers;
use crate::wire::{Blame, BodyLength, HeadLimits, Refusal};

/// What is still to come of a body, and what of it waits to be sent.
#[derive(Debug)]
pub(super) struct Flow<'a> {
    left: Left,
    /// What its trailers may not be called.
    trailers: Trailers<'a>,
    /// Only the payload goes on, not the chunks' framing: for an HTTP/1.0 client.
    bare: bool,
    /// Received and not yet sent. Heads are put here too, in front of their body.
    pub(super) waiting: Buffer,
    /// Bytes that were sent.
    pub(super) sent: u64,
    /// All of the body so far, for another attempt; `None` when nobody wants it, or when it grew too large.
    pub(super) copy: Option<Box<Copy>>,
    /// What looks at the payload as it passes.
    pub(super) learning: Option<Box<Learning>>,
    /// A line of its framing ended with a lone LF.
    pub(super) had_bare_lf: bool,
    /// Bytes of the message so far, its head included, where they are needed: in front of and in chunks. After a refusal, those
    /// before the byte that was refused.
    pub(super) position: u64,
}

#[derive(Debug)]
enum Left {
    Nothing,
    Bytes(u64),
    Chunks(Decoder),
    UntilClose,
}

/// Why a flow stopped before its end.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The sender broke off, in order or not.
    SenderLeft,
    /// The sender gave nothing for its timeout.
    SenderSlow,
    /// The receiver's connection broke.
    ReceiverLeft,
    /// The receiver took nothing for its timeout.
    ReceiverSlow,
    /// What the sender sends is not framed as it should be.
    Malformed(Refusal),
    /// The client left while the server was waited for.
    ClientLeft,
    /// The process stops.
    ShutDown,
}

impl<'a> Flow<'a> {
    /// A body that is sent `from` that side.
    pub(super) fn new(body: BodyLength, limits: &HeadLimits, from: Blame) -> Self {
        let left = match body {
            BodyLength::None | BodyLength::Length(0) => Left::Nothing,
            BodyLength::Length(length) => Left::Bytes(length),
            BodyLength::Chunked => Left::Chunks(Decoder::new(limits, from)),
            BodyLength::UntilClose => Left::UntilClose,
        };
        Self {
            left,
            trailers: Trailers::default(),
            bare: false,
            waiting: Buffer::new(),
            sent: 0,
            copy: None,
            learning: None,
            had_bare_lf: false,
            position: 0,
        }
    }

    /// Behind a head of so many bytes.
    pub(super) fn behind(mut self, head: usize) -> Self {
        self.position = head as u64;
        self
    }

    /// No trailer of the body may have one of these names.
    pub(super) fn without(mut self, trailers: Trailers<'a>) -> Self {
        self.trailers = trailers;
        self
    }

    /// From here on only payload goes on.
    pub(super) fn bare(mut self) -> Self {
        self.bare = true;
        self
    }

    /// Whether all of the body was received (it may still wait to be sent).
    pub(super) fn received_all(&self) -> bool {
        matches!(self.left, Left::Nothing)
    }

    /// Whether only the connection's end tells the receiver that this is all (RFC 9112 section 6.3).
    pub(super) fn ends_with_the_connection(&self) -> bool {
        self.bare || matches!(self.left, Left::UntilClose)
    }

    /// Whether all of it was sent as well.
    pub(super) fn is_done(&self) -> bool {
        self.received_all() && self.waiting.is_empty()
    }

    /// A lone LF ends a line of the framing too.
    pub(super) fn with_bare_lf(mut self) -> Self {
        if let Left::Chunks(decoder) = self.left {
            self.left = Left::Chunks(decoder.with_bare_lf());
        }
        self
    }

    /// How much may be received without taking bytes of the next message.
    fn room(&self) -> usize {
        match self.left {
            Left::Bytes(left) => usize::try_from(left).unwrap_or(usize::MAX),
            Left::Nothing | Left::Chunks(_) | Left::UntilClose => usize::MAX,
        }
    }

    /// Follows the framing over received bytes, and says how many belong to this body, and whether they are passed on as they
    /// are. If not, what goes on instead is put to wait: the payload with [`Flow::bare`], or the strict form of chunks.
    fn follow(&mut self, bytes: &[u8]) -> Result<(usize, bool), Refusal> {
        let Some(mut learning) = self.learning.take() else {
            return self.frame(bytes, |_| ());
        };
        let mut goes_on = true;
        let followed = self.frame(bytes, |payload| {
            goes_on = goes_on && learning.see(payload);
        })?;
        self.learning = goes_on.then_some(learning);
        Ok(followed)
    }

    /// The same; `seen` is shown the payload.
    fn frame(
        &mut self,
        bytes: &[u8],
        mut seen: impl FnMut(&[u8]),
    ) -> Result<(usize, bool), Refusal> {
        match &mut self.left {
            Left::Nothing => Ok((0, true)),
            Left::UntilClose => {
                seen(bytes);
                Ok((bytes.len(), true))
            }
            Left::Bytes(left) => {
                let taken = usize::try_from(*left)
                    .unwrap_or(usize::MAX)
                    .min(bytes.len());
                seen(&bytes[..taken]);
                *left -= taken as u64;
                if *left == 0 {
                    self.left = Left::Nothing;
                }
                Ok((taken, true))
            }
            Left::Chunks(decoder) => {
                let before = *decoder;
                let step = if self.bare {
                    self.waiting.reserve(bytes.len());
                    let out = self.waiting.tail();
                    decoder.each(bytes, &self.trailers, |payload| {
                        out.extend_from_slice(payload);
                        seen(payload);
                    })
                } else {
                    decoder.each(bytes, &self.trailers, seen)
                };
                let step = match step {
                    Ok(step) => step,
                    Err(refusal) => return Err(self.refused(before, bytes, refusal)),
                };
                self.position += step.taken as u64;
                self.had_bare_lf |= decoder.had_bare_lf();
                if step.done {
                    self.left = Left::Nothing;
                }
                if !step.plain && !self.bare {
                    self.write_strict(before, bytes)?;
                }
                Ok((step.taken, step.plain && !self.bare))
            }
        }
    }

    /// Finds the byte that the decoder, as it was before these bytes, refuses.
    #[cold]
    fn refused(&mut self, mut before: Decoder, bytes: &[u8], refusal: Refusal) -> Refusal {
        let mut each = bytes.chunks(1);
        let at = each.position(|byte| before.each(byte, &self.trailers, |_| ()).is_err());
        self.position += at.unwrap_or(bytes.len()) as u64;
        refusal
    }

    /// Puts the strict form of chunks to wait, as the decoder reads them that was there before.
    #[cold]
    fn write_strict(&mut self, mut before: Decoder, bytes: &[u8]) -> Result<(), Refusal> {
        let from = self.waiting.len();
        self.waiting.reserve(bytes.len() + STRICT_GROWTH);
        before.strict(bytes, &self.trailers, self.waiting.tail())?;
        if let Some(mut copy) = self.copy.take() {
            self.copy = copy.add(&self.waiting.bytes()[from..]).then_some(copy);
        }
        Ok(())
    }

    /// Follows the body's part of bytes that came together with the head, which the caller sends from where they lie. Says how
    /// many bytes those were; `None`, and nothing has changed, when they do not go on as they are: [`Flow::take_along`].
    ///
    /// # Errors
    /// When they are not framed as they should be.
    pub(super) fn go_along(&mut self, bytes: &[u8]) -> Result<Option<usize>, Refusal> {
        debug_assert!(!self.bare, "chunks are taken off while they are copied");
        if let Left::Chunks(decoder) = &self.left {
            let mut trial = *decoder;
            match trial.each(bytes, &self.trailers, |_| ()) {
                Ok(step) if step.plain => {}
                Ok(_) => return Ok(None),
                Err(refusal) => return Err(self.refused(*decoder, bytes, refusal)),
            }
        }
        let (taken, _) = self.follow(bytes)?;
        self.keep(&bytes[..taken]);
        Ok(Some(taken))
    }

    /// Takes the body's part of bytes that came together with the head, behind whatever waits.
    /// Says how many bytes those were.
    ///
    /// # Errors
    /// When they are not framed as they should be.
    pub(super) fn take_along(&mut self, bytes: &[u8]) -> Result<usize, Refusal> {
        let (taken, as_it_is) = self.follow(bytes)?;
        if as_it_is && taken > 0 {
            self.waiting.push(&bytes[..taken]);
            self.keep(&bytes[..taken]);
        }
        Ok(taken)
    }

    /// Adds to the copy, if there is one.
    fn keep(&mut self, bytes: &[u8]) {
        if let Some(copy) = &mut self.copy
            && !copy.add(bytes)
        {
            self.copy = None;
        }
    }

    /// Sends what waits, as far as it goes now. True when nothing waits any more.
    ///
    /// # Errors
    /// The receiver's connection broke.
    pub(super) fn send_now(&mut self, to: &impl Duplex) -> io::Result<bool> {
        self.send_by(|bytes| to.try_send(bytes))
    }

    /// The same where the receiver's connection ends as soon as all is sent.
    ///
    /// # Errors
    /// The receiver's connection broke.
    pub(super) fn send_last(&mut self, to: &impl Duplex) -> io::Result<bool> {
        self.send_by(|bytes| to.try_send_last(bytes))
    }

    /// Sends a head from where it lies, and behind it what came along of the body ([`Flow::go_along`]); what the receiver does
    /// not take now waits. Nothing waits yet. True when nothing does afterwards.
    ///
    /// # Errors
    /// The receiver's connection broke.
    pub(super) fn send_first(
        &mut self,
        to: &impl Duplex,
        head: &[u8],
        body: &[u8],
    ) -> io::Result<bool> {
        debug_assert!(self.waiting.is_empty(), "the caller's");
        if is_worth_a_copy(body) {
            self.waiting.push(head);
            self.waiting.push(body);
            return self.send_now(to);
        }
        let sent = match body {
            [] => to.try_send(head)?,
            _ => to.try_send_both(head, body)?,
        };
        self.sent += sent as u64;
        let of_head = sent.min(head.len());
        self.leave(&head[of_head..]);
        self.leave(&body[sent - of_head..]);
        Ok(self.waiting.is_empty())
    }

    /// Sends the head that waits, and behind it what came along of the body.
    ///
    /// # Errors
    /// The receiver's connection broke.
    pub(super) fn send_with(&mut self, to: &impl Duplex, body: &[u8]) -> io::Result<bool> {
        let sent = to.try_send_both(self.waiting.bytes(), body)?;
        self.sent += sent as u64;
        let of_head = sent.min(self.waiting.len());
        self.waiting.consume(of_head);
        self.leave(&body[sent - of_head..]);
        Ok(self.waiting.is_empty())
    }

    /// What was not taken now waits.
    fn leave(&mut self, rest: &[u8]) {
        if !rest.is_empty() {
            self.waiting.push(rest);
        }
    }

    fn send_by(&mut self, send: impl Fn(&[u8]) -> io::Result<usize>) -> io::Result<bool> {
        while !self.waiting.is_empty() {
            let sent = send(self.waiting.bytes())?;
            if sent == 0 {
                return Ok(false);
            }
            self.sent += sent as u64;
            self.waiting.consume(sent);
        }
        Ok(true)
    }

    /// Moves the body to its end. Bytes behind the end, which belong to the next message, are given to
    /// `beyond`.
    pub(super) async fn run<S: Duplex, R: Duplex>(
        &mut self,
        from: &S,
        to: &R,
        mut beyond: impl FnMut(&[u8]),
        patience: &Patience<'_, impl Duplex>,
    ) -> Result<(), Stopped> {
        let mut received = 0_u32;
        loop {
            while !self.send_now(to).map_err(|_| Stopped::ReceiverLeft)? {
                patience.until_writable(to).await?;
            }
            if self.received_all() {
                return Ok(());
            }
            patience.until_readable(from).await?;
            let mut turns = TURNS;
            while turns > 0 && self.relay(from, to, &mut beyond)? {
                turns -= 1;
            }
            received += 1;
            if received.is_multiple_of(BREATH) {
                ring::breathe().await;
                // On epoll a wait that is over at once does not look.
                if ring::is_shutting_down() {
                    return Err(Stopped::ShutDown);
                }
            }
        }
    }

    /// Moves what one receive gives; true when it was a full buffer and all of it was sent.
    fn relay(
        &mut self,
        from: &impl Duplex,
        to: &impl Duplex,
        beyond: &mut impl FnMut(&[u8]),
    ) -> Result<bool, Stopped> {
        ring::with_scratch(|scratch| {
            let room = self.room().min(scratch.len());
            let bytes = match from.try_recv(&mut scratch[..room]) {
                Ok(Received::Bytes(count)) => &scratch[..count],
                Ok(Received::Empty) => return Ok(false),
                Ok(Received::Closed) if matches!(self.left, Left::UntilClose) => {
                    self.left = Left::Nothing;
                    return Ok(false);
                }
                Ok(Received::Closed) | Err(_) => return Err(Stopped::SenderLeft),
            };
            let (taken, as_it_is) = self.follow(bytes).map_err(Stopped::Malformed)?;
            if taken < bytes.len() {
                beyond(&bytes[taken..]);
            }
            if !as_it_is {
                return Ok(false);
            }
            self.keep(&bytes[..taken]);
            let sent = to
                .try_send(&bytes[..taken])
                .map_err(|_| Stopped::ReceiverLeft)?;
            self.sent += sent as u64;
            if sent < taken {
                self.waiting.push(&bytes[sent..taken]);
            }
            Ok(sent == scratch.len() && !self.received_all())
        })
    }
}

/// How long the two sides of a flow are waited for.
pub(super) struct Patience<'a, C> {
    pub(super) timer: &'a Timer,
    /// Without a byte from the sender.
    pub(super) sender: Option<Duration>,
    /// Without the receiver taking one.
    pub(super) receiver: Option<Duration>,
    /// While the server is waited for: the client, who may leave meanwhile.
    pub(super) client: Option<&'a C>,
    /// While true, the other direction is at work and the sender is not to blame for its silence.
    pub(super) meanwhile: Option<&'a Cell<bool>>,
}

impl<C: Duplex> Patience<'_, C> {
    /// Waits for the sender.
    pub(super) async fn until_readable(&self, from: &impl Duplex) -> Result<(), Stopped> {
        let Some(client) = self.client else {
            self.timer.arm(self.sender);
            return match self.timer.limit(from.readable()).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(Stopped::SenderLeft),
                Err(Elapsed) => Err(shut_down_or(Stopped::SenderSlow)),
            };
        };
        self.watching(from, client).await
    }

    /// Waits for the server, and once that is late, for the client to leave as well. Watching the client's socket from the
    /// start would cost every request two system calls.
    async fn watching(&self, from: &impl Duplex, client: &C) -> Result<(), Stopped> {
        let began = Tick::now();
        let is_short = !self.is_excused() && self.sender.is_some_and(|sender| sender <= LOOK);
        self.timer.arm(match is_short {
            true => self.sender,
            false => Some(LOOK),
        });
        match self.timer.limit(from.readable()).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(_)) => return Err(Stopped::SenderLeft),
            Err(Elapsed) if ring::is_shutting_down() => return Err(Stopped::ShutDown),
            Err(Elapsed) if client.peer_left() => return Err(Stopped::ClientLeft),
            Err(Elapsed) if is_short => return Err(Stopped::SenderSlow),
            Err(Elapsed) => {}
        }
        // Apart, so that only those who wait long have room for it in their task.
        Box::pin(self.late(from, client, began.end())).await
    }

    /// Goes on waiting for a server that should have sent something since `began`.
    async fn late(&self, from: &impl Duplex, client: &C, began: Moment) -> Result<(), Stopped> {
        let hangup = Hangup::watch(client.socket()).ok();
        let mut readable = pin!(from.readable());
        let (mut began, mut excused) = (began, self.is_excused());
        loop {
            // The sender's time begins when the other direction's is over.
            let deadline = self.sender.filter(|_| !excused).map(|wait| began + wait);
            let look = hangup.is_none().then(|| Moment::now() + LOOK);
            self.timer.arm_at(deadline.into_iter().chain(look).min());
            let came = poll_fn(|cx| {
                if let Poll::Ready(came) = readable.as_mut().poll(cx) {
                    return Poll::Ready(
                        came.map(|()| Came::Bytes).map_err(|_| Stopped::SenderLeft),
                    );
                }
                if hangup
                    .as_ref()
                    .is_some_and(|hangup| hangup.is_over(cx.waker()))
                {
                    return Poll::Ready(Err(Stopped::ClientLeft));
                }
                match excused && !self.is_excused() {
                    true => Poll::Ready(Ok(Came::End)),
                    false => Poll::Pending,
                }
            });
            match self.timer.limit(came).await {
                Ok(Ok(Came::Bytes)) => return Ok(()),
                Ok(Ok(Came::End)) => (began, excused) = (Moment::now(), false),
                Ok(Err(stopped)) => return Err(stopped),
                Err(Elapsed) if ring::is_shutting_down() => return Err(Stopped::ShutDown),
                Err(Elapsed) if hangup.is_none() && client.peer_left() => {
                    return Err(Stopped::ClientLeft);
                }
                Err(Elapsed) if deadline.is_some_and(|deadline| deadline <= Moment::now()) => {
                    return Err(Stopped::SenderSlow);
                }
                Err(Elapsed) => {}
            }
        }
    }

    /// Whether the other direction is at work.
    fn is_excused(&self) -> bool {
        self.meanwhile.is_some_and(Cell::get)
    }

    /// Waits for the receiver.
    pub(super) async fn until_writable(&self, to: &impl Duplex) -> Result<(), Stopped> {
        self.timer.arm(self.receiver);
        match self.timer.limit(to.writable()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Stopped::ReceiverLeft),
            Err(Elapsed) => Err(shut_down_or(Stopped::ReceiverSlow)),
        }
    }
}

/// Why a wait was over.
fn shut_down_or(slow: Stopped) -> Stopped {
    match ring::is_shutting_down() {
        true => Stopped::ShutDown,
        false => slow,
    }
}

/// What a late wait brought.
enum Came {
    /// The sender has something.
    Bytes,
    /// The other direction is at its end.
    End,
}

/// Whether part of a body is put behind its head, for one send of one piece: a send of two costs more than to copy so little.
pub(super) fn is_worth_a_copy(body: &[u8]) -> bool {
    (1..=COPIED).contains(&body.len())
}

/// What the strict form may have beyond what was received: the start of a trailer's name that was held.
const STRICT_GROWTH: usize = 64;

/// A third of what a small buffer holds.
const COPIED: usize = 1_400;

/// How long a server may take until its client is watched as well, which may leave. Where it cannot be watched, how often it is
/// looked at.
const LOOK: Duration = Duration::from_millis(500);

/// Full scratch buffers that are moved before the worker's other connections have their turn.
const TURNS: u32 = 4;

/// Rounds of receiving after which the others have their turn even if the next bytes are there already.
pub(super) const BREATH: u32 = 8;
