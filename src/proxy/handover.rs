//! From an exchange to a tunnel: what is carried over, and the two lines that tell of it.
//!
//! A tunnel may live for days, so it keeps little: the log's texts in one allocation of their own
//! size, its server's and its listener's counts and names, its timeout. It never holds anything that belongs to a plan.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::time::Duration;

use super::connection::Guest;
use super::exchange::Switched;
use super::plan::{self, Terms};
use super::request::{CAPTURES, Switch};
use super::story::Story;
use super::tunnel::{Direction, Pause, Still, Tunnel, TunnelEnd, counts};
use crate::balance::{Busy, Counter};
use crate::record::{Counts, Kind, Record, Termination, Timers, TunnelCounts};
use crate::ring::{self, Buffer, Call, Duplex, Moment, Pair, Stamp, Stream, Tick, Timer};
use crate::wire::Span;
use crate::wire::websocket::{FrameTracker, From};

/// What the exchange leaves behind for its tunnel.
pub(super) struct Handshake {
    switched: Switched,
    timeout: Option<Duration>,
    inspect: bool,
    notes: Notes,
    busy: Busy,
}

impl Handshake {
    /// Takes from the story what the tunnel needs. `None` if the story has no server, which cannot
    /// be once a server has answered.
    pub(super) fn new(story: &mut Story, switched: Switched, terms: &Terms) -> Option<Self> {
        let pool = story.pool.clone()?;
        let notes = Notes::new(story);
        Some(Self {
            switched,
            timeout: plan::wait(pool.settings.timeouts.tunnel),
            // Other protocols have no frames.
            inspect: terms.inspect
                && matches!(story.request.facts.upgrade, Some(Switch::WebSocket(_))),
            notes,
            busy: story.busy.take()?.into_tunnel(),
        })
    }
}

/// Starts the tunnel in a task of its own. `inbox` is what the client sent before the answer.
pub(super) fn start<C: Duplex + 'static>(
    mut guest: Guest,
    client: C,
    inbox: Buffer,
    handshake: Handshake,
) {
    let Handshake {
        switched,
        timeout,
        inspect,
        notes,
        busy,
    } = handshake;
    let Switched {
        stream,
        head,
        early,
    } = switched;
    let tracker = |from| inspect.then(|| FrameTracker::new(from));
    let tunnel = Tunnel {
        client,
        server: stream,
        inbound: Direction::new(tracker(From::Client), Buffer::new(), inbox.bytes()),
        outbound: Direction::new(tracker(From::Server), head, early.bytes()),
        timeout,
        rests: true,
        moved: Cell::new(Tick::now()),
    };
    notes.log(
        &guest,
        &busy,
        Kind::TunnelOpened,
        (b'-', b'-'),
        tunnel.counts(),
    );
    guest.becomes_tunnel();
    spawn(Awake {
        tunnel,
        guest,
        busy,
        notes,
    });
}

/// A tunnel that rests has come to life.
pub(super) fn wake(pair: Pair<Resting>) {
    revive(pair, true);
}

/// Ends a tunnel that rests.
pub(super) fn end(pair: Pair<Resting>, end: TunnelEnd) {
    let Resting {
        inbound,
        outbound,
        guest,
        busy,
        notes,
        ..
    } = *pair.value;
    drop((pair.first, pair.second));
    finish(&guest, &busy, &notes, end, counts(inbound, outbound));
}

/// A tunnel that has a task.
struct Awake<C, S> {
    tunnel: Tunnel<C, S>,
    guest: Guest,
    busy: Busy,
    notes: Notes,
}

/// What is left of a tunnel at rest, besides its descriptors.
pub(super) struct Resting {
    inbound: Still,
    outbound: Still,
    /// `None` is never.
    timeout: Option<Wait>,
    guest: Guest,
    busy: Busy,
    notes: Notes,
}

/// A duration in four bytes: milliseconds, or whole seconds where those would not fit (49 days).
#[derive(Debug, Clone, Copy)]
struct Wait(NonZeroU32);

impl Wait {
    const SECONDS: u32 = 1 << 31;

    fn new(wait: Duration) -> Self {
        let few = u32::try_from(wait.as_millis()).ok();
        let number = few.filter(|ms| *ms < Self::SECONDS).unwrap_or_else(|| {
            let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
            Self::SECONDS | seconds
        });
        Self(NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN))
    }

    fn get(self) -> Duration {
        let number = self.0.get();
        match number & Self::SECONDS {
            0 => Duration::from_millis(number.into()),
            _ => Duration::from_secs((number & !Self::SECONDS).into()),
        }
    }
}

impl Resting {
    /// Which server's tunnel it is: the number of its live state.
    pub(super) fn server(&self) -> usize {
        self.busy.live().id()
    }
}

fn spawn<C: Duplex + 'static, S: Duplex + 'static>(awake: Awake<C, S>) {
    let mut awake = awake;
    // One block, so that nothing is kept twice in the task.
    ring::spawn(async move {
        let timer = Timer::new();
        timer.heed(Some(Call::Tunnel));
        timer.is_of(awake.busy.live().id());
        loop {
            let pause = ring::caught(awake.tunnel.run(&timer)).await;
            match pause.unwrap_or(Pause::End(TunnelEnd::Panicked)) {
                Pause::End(end) => return awake.end(end),
                Pause::Rest(since) => match awake.lay_down(since) {
                    Ok(()) => return,
                    Err(up) => awake = up,
                },
            }
            awake.tunnel.rests = false;
        }
    });
}

impl<C: Duplex, S: Duplex> Awake<C, S> {
    fn end(self, end: TunnelEnd) {
        let Self {
            tunnel,
            guest,
            busy,
            notes,
        } = self;
        let counts = tunnel.counts();
        drop(tunnel);
        finish(&guest, &busy, &notes, end, counts);
    }

    /// Gives up the task. Back comes a tunnel that cannot be described by two descriptors.
    #[expect(
        clippy::result_large_err,
        reason = "the tunnel itself, once every two quiet seconds"
    )]
    fn lay_down(self, since: Moment) -> Result<(), Self> {
        let descriptors = self
            .tunnel
            .client
            .descriptor()
            .zip(self.tunnel.server.descriptor());
        let Some((first, second)) = descriptors else {
            return Err(self);
        };
        let Self {
            tunnel,
            guest,
            busy,
            notes,
        } = self;
        let Tunnel {
            inbound,
            outbound,
            timeout,
            ..
        } = tunnel;
        let desk = guest.desk.clone();
        let deadline = timeout.map_or(u32::MAX, |timeout| (since + timeout).step());
        let value = Box::new(Resting {
            inbound: inbound.still(),
            outbound: outbound.still(),
            timeout: timeout.map(Wait::new),
            guest,
            busy,
            notes,
        });
        desk.laid_down.set(desk.laid_down.get() + 1);
        if let Err(pair) = desk.resting.put(Pair {
            first,
            second,
            value,
            deadline,
        }) {
            revive(pair, false);
        }
        Ok(())
    }
}

fn revive(pair: Pair<Resting>, rests: bool) {
    let Pair {
        first,
        second,
        value,
        ..
    } = pair;
    let Resting {
        inbound,
        outbound,
        timeout,
        guest,
        busy,
        notes,
    } = *value;
    let streams = Stream::adopt(first).and_then(|first| Ok((first, Stream::adopt(second)?)));
    let Ok((client, server)) = streams else {
        let counts = counts(inbound, outbound);
        return finish(&guest, &busy, &notes, TunnelEnd::ClientBroke, counts);
    };
    let moved = Cell::new(Tick::now());
    let tunnel = Tunnel {
        client,
        server,
        inbound: inbound.go_on(),
        outbound: outbound.go_on(),
        timeout: timeout.map(Wait::get),
        rests,
        moved,
    };
    spawn(Awake {
        tunnel,
        guest,
        busy,
        notes,
    });
}

fn finish(guest: &Guest, busy: &Busy, notes: &Notes, end: TunnelEnd, counts: TunnelCounts) {
    busy.add(guest.desk.worker, Counter::BytesIn, counts.bytes_in);
    busy.add(guest.desk.worker, Counter::BytesOut, counts.bytes_out);
    notes.log(guest, busy, Kind::TunnelEnded, letters(end), counts);
}

/// The first two letters of the termination state.
fn letters(end: TunnelEnd) -> (u8, u8) {
    match end {
        TunnelEnd::Client | TunnelEnd::Server => (b'-', b'-'),
        TunnelEnd::ClientBroke => (b'C', b'D'),
        TunnelEnd::ServerBroke => (b'S', b'D'),
        TunnelEnd::Idle => (b'c', b'D'),
        TunnelEnd::Killed => (b'K', b'D'),
        TunnelEnd::ServerDown => (b'D', b'D'),
        TunnelEnd::Panicked => (b'I', b'D'),
    }
}

/// What a tunnel's lines say, as far as the handshake decided it. Small, for there may be thousands that rest.
struct Notes {
    /// Method, target, host and request id, one behind the other; then captured fields.
    texts: Box<[u8]>,
    /// Of the first four.
    lengths: [u16; 4],
    rare: Option<Box<Rare>>,
    began: Stamp,
    /// TR, Tw, Tc and Tr in milliseconds; -1 is none.
    timers: [i32; 4],
    handshake_in: u32,
    handshake_out: u32,
    cookies: [u8; 2],
    minor: u8,
}

/// What most tunnels have nothing of.
struct Rare {
    /// Captured fields: the request's, then as many of the response's.
    captures: [Span; 2 * CAPTURES],
    queued: [u32; 2],
    retries: u32,
    redispatched: bool,
}

impl Rare {
    fn is_any(&self) -> bool {
        let captured = self.captures.iter().any(|span| !span.is_empty());
        captured || self.queued != [0; 2] || self.retries > 0 || self.redispatched
    }
}

impl Notes {
    fn new(story: &Story) -> Self {
        let (request, marks) = (&story.request, &story.marks);
        let asked = [&request.texts.captures, &story.response_captures];
        let firsts = &request.texts;
        let firsts = [firsts.method, firsts.target, firsts.host, firsts.id];
        let all = || firsts.iter().chain(asked.into_iter().flatten());
        let mut texts = Vec::with_capacity(all().map(|span| span.len()).sum());
        let mut captures = [Span::default(); 2 * CAPTURES];
        for (at, span) in all().enumerate() {
            let from = texts.len();
            texts.extend_from_slice(request.text(*span));
            if let Some(capture) = at.checked_sub(firsts.len()) {
                captures[capture] = Span::new(from, texts.len());
            }
        }
        let rare = Rare {
            captures,
            queued: story.queued,
            retries: story.retries,
            redispatched: story.redispatched,
        };
        let ms = |ms: i64| i32::try_from(ms).unwrap_or(i32::MAX);
        Self {
            texts: texts.into(),
            lengths: firsts.map(|span| u16::try_from(span.len()).unwrap_or(u16::MAX)),
            rare: rare.is_any().then(|| Box::new(rare)),
            began: marks.began,
            timers: [
                ms(marks.head.since(marks.began).cast_signed()),
                ms(marks.queue(true)),
                ms(marks.connect()),
                ms(marks.response()),
            ],
            handshake_in: u32::try_from(story.bytes_in).unwrap_or(u32::MAX),
            handshake_out: u32::try_from(story.bytes_out).unwrap_or(u32::MAX),
            cookies: [story.cookie_letter(), story.cookie_response],
            minor: request.facts.minor,
        }
    }

    /// Method, target, host and request id.
    fn firsts(&self) -> [&[u8]; 4] {
        let mut rest = &self.texts[..];
        self.lengths.map(|length| {
            let (text, behind) = rest.split_at_checked(length.into()).unwrap_or_default();
            rest = behind;
            text
        })
    }

    fn captured(&self, half: usize) -> [&[u8]; CAPTURES] {
        let captures = self.rare.as_ref().map(|rare| &rare.captures);
        std::array::from_fn(|at| {
            captures.map_or(&b""[..], |captures| {
                captures[half * CAPTURES + at].of(&self.texts)
            })
        })
    }

    fn log(
        &self,
        guest: &Guest,
        busy: &Busy,
        kind: Kind,
        (cause, phase): (u8, u8),
        tunnel: TunnelCounts,
    ) {
        let desk = &guest.desk;
        let now = desk.now();
        let [method, target, host, request_id] = self.firsts();
        let [request, queue, connect, response] = self.timers.map(i64::from);
        let rare = self.rare.as_deref();
        let queued = rare.map_or([0; 2], |rare| rare.queued);
        let (captured_request, captured_response) = (self.captured(0), self.captured(1));
        let capture = &*guest.capture;
        let record = Record {
            kind,
            accepted_ms: desk.clock.get().wall_ms(self.began),
            now_ms: desk.clock.get().wall_ms(now),
            client: guest.address,
            listener: &guest.listener.name,
            pool: Some(busy.live().pool().name()),
            server: Some(busy.live().name()),
            timers: Timers {
                request,
                queue,
                connect,
                response,
                active: now.since(self.began).cast_signed(),
            },
            status: 101,
            bytes_out: u64::from(self.handshake_out) + tunnel.bytes_out,
            bytes_in: u64::from(self.handshake_in) + tunnel.bytes_in,
            termination: Termination {
                cause,
                phase,
                cookie_request: self.cookies[0],
                cookie_response: self.cookies[1],
            },
            counts: Counts {
                process: desk.gauge.connections(),
                listener: guest.listener.connections(),
                pool: busy.live().pool().sessions(),
                server: busy.live().sessions(),
                server_queue: queued[0],
                pool_queue: queued[1],
            },
            retries: rare.map_or(0, |rare| rare.retries),
            redispatched: rare.is_some_and(|rare| rare.redispatched),
            method,
            target,
            minor: self.minor,
            host,
            request_id,
            captured_request: &captured_request[..capture.request.len().min(CAPTURES)],
            captured_response: &captured_response[..capture.response.len().min(CAPTURES)],
            capture_request_names: &capture.request_names,
            capture_response_names: &capture.response_names,
            refused: None,
            refused_at: None,
            tunnel: Some(tunnel),
        };
        desk.log.borrow_mut().access(&record);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_at_rest_takes_little() {
        let size = size_of::<Resting>();
        assert!(size <= 256, "{size}");
    }

    #[test]
    fn a_wait_is_kept_in_four_bytes() {
        let seconds = |seconds| Duration::from_secs(seconds);
        for wait in [
            Duration::from_millis(1),
            Duration::from_millis(1_500),
            seconds(7_200),
            seconds(24 * 86_400),
            seconds(25 * 86_400),
            seconds(3_650 * 86_400),
        ] {
            assert_eq!(Wait::new(wait).get(), wait);
        }
        assert_eq!(Wait::new(Duration::ZERO).get(), Duration::from_millis(1));
    }
}
