//! From an exchange to a tunnel: what is carried over, and the two lines that tell of it.
//!
//! A tunnel may live for days, so it keeps little: the log's texts in one allocation of their own
//! size, its server's and its listener's counts, its timeout. It never holds a plan.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use super::connection::Guest;
use super::exchange::Switched;
use super::plan::{self, Plan};
use super::request::CAPTURES;
use super::story::{Marks, Story};
use super::tunnel::{Direction, Pause, Tunnel, TunnelEnd, counts};
use crate::balance::{Busy, Counter, Pool, Server};
use crate::record::{Counts, Kind, Record, Termination, Timers, TunnelCounts};
use crate::ring::{self, Buffer, Call, Duplex, Pair, Stream, Timer};
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
    pub(super) fn new(story: Story, switched: Switched, plan: &Plan) -> Option<Self> {
        let pool = story.pool.clone()?;
        let notes = Notes::new(&story, &pool)?;
        Some(Self {
            switched,
            timeout: plan::wait(pool.settings.timeouts.tunnel),
            inspect: plan.config.websocket.inspect,
            notes,
            busy: story.busy?.into_tunnel(),
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
        moved: Cell::new(false),
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
    finish(&guest, &busy, &notes, end, counts(&inbound, &outbound));
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
    inbound: Direction,
    outbound: Direction,
    timeout: Option<Duration>,
    guest: Guest,
    busy: Busy,
    notes: Notes,
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
                Pause::Rest(quiet) => match awake.lay_down(quiet) {
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
    fn lay_down(self, quiet: Duration) -> Result<(), Self> {
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
        let left =
            timeout.map(|timeout| timeout.saturating_sub(quiet).as_millis().div_ceil(1_000) + 1);
        let deadline = left.map_or(u32::MAX, |left| {
            desk.now()
                .seconds()
                .saturating_add(u32::try_from(left).unwrap_or(u32::MAX))
        });
        let value = Box::new(Resting {
            inbound,
            outbound,
            timeout,
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
        let counts = counts(&inbound, &outbound);
        return finish(&guest, &busy, &notes, TunnelEnd::ClientBroke, counts);
    };
    let moved = Cell::new(false);
    let tunnel = Tunnel {
        client,
        server,
        inbound,
        outbound,
        timeout,
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

/// What a tunnel's lines say, as far as the handshake decided it.
struct Notes {
    texts: Box<[u8]>,
    method: Span,
    target: Span,
    host: Span,
    id: Span,
    /// Captured fields: the request's, then as many of the response's. Empty when none are asked for.
    captures: Box<[Span]>,
    server: Arc<Server>,
    marks: Marks,
    queued: [u32; 2],
    retries: u32,
    redispatched: bool,
    cookies: [u8; 2],
    minor: u8,
    handshake_in: u32,
    handshake_out: u32,
}

impl Notes {
    fn new(story: &Story, pool: &Pool) -> Option<Self> {
        let request = &story.request;
        let (from, texts) = (request.head, request.held.bytes().get(request.head..)?);
        let here = |span: Span| {
            if span.is_empty() {
                Span::default()
            } else {
                Span::new(span.from() - from, span.to() - from)
            }
        };
        let asked = [&request.texts.captures, &story.response_captures];
        let captured = asked.into_iter().flatten().any(|span| !span.is_empty());
        Some(Self {
            texts: texts.into(),
            method: here(request.texts.method),
            target: here(request.texts.target),
            host: here(request.texts.host),
            id: here(request.texts.id),
            captures: if captured {
                asked
                    .into_iter()
                    .flatten()
                    .map(|span| here(*span))
                    .collect()
            } else {
                Box::default()
            },
            server: pool.servers[story.server?].clone(),
            marks: story.marks,
            queued: story.queued,
            retries: story.retries,
            redispatched: story.redispatched,
            cookies: [story.cookie_letter(), story.cookie_response],
            minor: request.facts.minor,
            handshake_in: u32::try_from(story.bytes_in).unwrap_or(u32::MAX),
            handshake_out: u32::try_from(story.bytes_out).unwrap_or(u32::MAX),
        })
    }

    fn captured(&self, half: usize) -> [&[u8]; CAPTURES] {
        std::array::from_fn(|at| {
            let span = self
                .captures
                .get(half * CAPTURES + at)
                .copied()
                .unwrap_or_default();
            span.of(&self.texts)
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
        let Marks { began, head, .. } = self.marks;
        let (captured_request, captured_response) = (self.captured(0), self.captured(1));
        let capture = &guest.listener.capture;
        let record = Record {
            kind,
            accepted_ms: desk.clock.get().wall_ms(began),
            now_ms: desk.clock.get().wall_ms(now),
            client: guest.address,
            listener: &guest.listener.name,
            pool: Some(&self.server.pool),
            server: Some(&self.server.name),
            timers: Timers {
                request: head.since(began).cast_signed(),
                queue: self.marks.queue(true),
                connect: self.marks.connect(),
                response: self.marks.response(),
                active: now.since(began).cast_signed(),
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
                listener: guest.listener.live.connections(),
                pool: busy.live().pool().sessions(),
                server: busy.live().sessions(),
                server_queue: self.queued[0],
                pool_queue: self.queued[1],
            },
            retries: self.retries,
            redispatched: self.redispatched,
            method: self.method.of(&self.texts),
            target: self.target.of(&self.texts),
            minor: self.minor,
            host: self.host.of(&self.texts),
            request_id: self.id.of(&self.texts),
            captured_request: &captured_request[..capture.request.len().min(CAPTURES)],
            captured_response: &captured_response[..capture.response.len().min(CAPTURES)],
            capture_request_names: &capture.request_names,
            capture_response_names: &capture.response_names,
            tunnel: Some(tunnel),
        };
        desk.log.borrow_mut().access(&record);
    }
}
