//! One client connection: requests one after the other, until either side has had enough or a
//! tunnel takes over.

use std::cell::Cell;
use std::net::SocketAddr;
use std::num::NonZeroU64;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::desk::Desk;
use super::ending::{Ending, Phase};
use super::exchange;
use super::handover::{self, Handshake};
use super::plan::{Captures, Held, Listener, ListenerLive, Plan, Terms};
use super::refused::Refused;
use super::request::{self, Client, Reading, address_text};
use super::story::Story;
use crate::record::{Kind, Record, Termination, Timers};
use crate::ring::{self, Buffer, Call, Duplex, Elapsed, Received, Stamp, Timer};
use crate::wire::{Blame, reply, rules};

/// Serves a client of the listener at `place` until its connection ends. Over a stream that may be plain or encrypted.
pub async fn serve<C: Duplex + 'static>(
    desk: Rc<Desk>,
    stream: C,
    address: Option<SocketAddr>,
    place: usize,
) {
    let guest = Guest::new(desk, address, place);
    let mut connection = Connection {
        accepted: guest.desk.now(),
        text: address_text(guest.address),
        guest,
        stream,
        inbox: Buffer::new(),
        timer: Timer::new(),
        served: false,
        destination: None,
        owner: Cell::new(None),
    };
    if connection.is_introduced() && !connection.introduction().await {
        if connection.guest.desk.draining.get() {
            connection.linger().await;
        }
        return;
    }
    let after = loop {
        match connection.turn().await {
            After::Again => connection.served = true,
            after => break after,
        }
    };
    connection.let_go_of_links();
    match after {
        After::Again | After::Close => {}
        After::Linger => connection.linger().await,
        After::Tunnel(handshake) => connection.hand_over(*handshake),
    }
}

/// The client as counted and as logged; outlives its connection in a tunnel. It holds nothing of a plan but values that
/// plans share: whoever is idle, or tunnels, keeps no configuration alive.
pub(super) struct Guest {
    pub(super) desk: Rc<Desk>,
    pub(super) address: Option<SocketAddr>,
    pub(super) listener: Arc<ListenerLive>,
    /// Which fields its lines in the log have.
    pub(super) capture: Arc<Captures>,
    /// The listener's place, the same in every plan.
    place: u32,
    /// Counted as a tunnel.
    tunnel: bool,
}

impl Guest {
    fn new(desk: Rc<Desk>, address: Option<SocketAddr>, place: usize) -> Self {
        let (listener, capture) = {
            let of_plan = &desk.plan().listeners[place];
            (of_plan.live.clone(), of_plan.capture.clone())
        };
        listener.enter();
        desk.gauge.entered();
        Self {
            desk,
            address,
            listener,
            capture,
            place: u32::try_from(place).unwrap_or(u32::MAX),
            tunnel: false,
        }
    }

    /// Takes the captured fields of the plan that the exchange follows, for its lines in the log.
    fn follow(&mut self, plan: &Plan) {
        let capture = &self.of(plan).capture;
        if !Arc::ptr_eq(capture, &self.capture) {
            self.capture = capture.clone();
        }
    }

    /// Its listener as a plan has it.
    pub(super) fn of<'a>(&self, plan: &'a Plan) -> &'a Listener {
        &plan.listeners[self.place as usize]
    }

    /// Counts the client as a tunnel from now on.
    pub(super) fn becomes_tunnel(&mut self) {
        self.tunnel = true;
        self.desk.gauge.tunnel_opened();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.listener.leave();
        if self.tunnel {
            self.desk.gauge.tunnel_ended();
        }
        self.desk.gauge.leave();
        self.desk.made_room();
    }
}

/// A client's connection between and in exchanges.
pub(super) struct Connection<C> {
    pub(super) guest: Guest,
    pub(super) stream: C,
    /// Received and not yet understood; owns nothing while the client is idle.
    pub(super) inbox: Buffer,
    pub(super) timer: Timer,
    /// The client's IP address as text, for the heads that go on.
    pub(super) text: ([u8; 46], usize),
    pub(super) accepted: Stamp,
    /// An exchange has ended well on this connection.
    pub(super) served: bool,
    /// What the client connected to, where a PROXY header told.
    pub(super) destination: Option<Box<SocketAddr>>,
    /// Kept links that are this connection's alone, if it has any.
    pub(super) owner: Cell<Option<NonZeroU64>>,
}

/// What comes after a turn.
pub(super) enum After {
    /// The next request.
    Again,
    /// The end.
    Close,
    /// The end, once the client has read what it was sent.
    Linger,
    /// A tunnel, which takes everything over.
    Tunnel(Box<Handshake>),
}

/// How the wait for a head ended, if not with one.
pub(super) enum NoHead {
    /// The client left without a byte, or was idle for too long.
    Quiet { slow: bool },
    /// The client left within a head.
    Left(Stamp),
    /// It was too slow with a head.
    Slow(Stamp),
    /// The process stops.
    ShutDown(Stamp),
}

/// A head that has been read.
struct Head {
    reading: Reading,
    plan: Held,
}

impl<C: Duplex + 'static> Connection<C> {
    /// One request, from its first byte to the last of its response.
    async fn turn(&mut self) -> After {
        // It stays where it is for the whole turn: what is handed to a future is stored twice in it.
        let mut story = Story::blank(self.accepted);
        let (began, ending) = match ring::caught(self.head(&mut story)).await {
            Ok(Ok(head)) => return self.heed(&mut story, head).await,
            Ok(Err(NoHead::Quiet { slow })) => return self.leave_quietly(slow),
            Ok(Err(NoHead::Left(began))) => (began, Ending::LeftInHead),
            Ok(Err(NoHead::Slow(began))) => (began, Ending::HeadTimeout),
            Ok(Err(NoHead::ShutDown(began))) => (began, Ending::Shutdown(Phase::Head)),
            Err(ring::Panicked) => (self.guest.desk.now(), Ending::PanickedInHead),
        };
        self.refuse(began, ending, None).await
    }

    /// Does what a head leads to.
    async fn heed(&mut self, story: &mut Story, head: Head) -> After {
        let Head { reading, plan } = head;
        self.guest.follow(&plan);
        match reading {
            Reading::Forward { taken } => {
                self.inbox.consume(taken);
                let terms = plan.terms(story.request.route);
                drop(plan);
                let end = self.exchange(story, &terms).await;
                self.conclude(story, end, &terms).await
            }
            Reading::Own { own, taken } => {
                self.inbox.consume(taken);
                self.own(story, own).await
            }
            Reading::Answer { ending } => self.answer(story, ending, &plan).await,
            Reading::Partial | Reading::PartialBody => After::Close,
        }
    }

    /// The exchange with a server.
    async fn exchange(&mut self, story: &mut Story, terms: &Terms) -> exchange::End {
        let end = ring::caught(exchange::run(self, story, terms)).await;
        end.unwrap_or_else(|_| {
            exchange::End::Failed(if story.status == 0 {
                Ending::Panicked
            } else {
                Ending::PanickedInData
            })
        })
    }

    /// What comes after it.
    async fn conclude(&mut self, story: &mut Story, end: exchange::End, terms: &Terms) -> After {
        match end {
            exchange::End::Done { keep, received } => {
                story.log(&self.guest, Ending::Complete);
                match (keep, received) {
                    (true, _) => After::Again,
                    (false, true) if self.has_said_all(story) || self.is_silent() => After::Close,
                    (false, _) => After::Linger,
                }
            }
            exchange::End::Switched(switched) => Handshake::new(story, *switched, terms)
                .map_or(After::Close, |handshake| After::Tunnel(Box::new(handshake))),
            exchange::End::Failed(ending) if story.status == 0 => {
                let plan = self.guest.desk.plan();
                self.answer(story, ending, &plan).await
            }
            exchange::End::Failed(ending) => {
                story.log(&self.guest, ending);
                After::Close
            }
        }
    }

    /// Waits for a head and reads it.
    async fn head(&mut self, story: &mut Story) -> Result<Head, NoHead> {
        let (mut began, mut seen, mut looked_at) = (None, 0, 0);
        let mut empty_lines = if self.served { rules::EMPTY_LINES } else { 0 };
        loop {
            // A few empty lines after a body are no beginning of a head (RFC 9112 section 2.2); more are, or
            // they would keep a connection for ever.
            let empty = rules::empty_lines_only(self.inbox.bytes());
            if empty > 0 && empty <= empty_lines {
                empty_lines -= empty;
                self.inbox.consume(2 * empty);
                (seen, looked_at) = (0, 0);
            }
            if self.inbox.len() > looked_at {
                let now = self.guest.desk.now();
                let is_first = began.is_none();
                let first = *began.get_or_insert(now);
                let (reading, plan) = self.read_head(story, seen, first, now);
                looked_at = self.inbox.len();
                seen = match reading {
                    Reading::Partial => looked_at,
                    Reading::PartialBody => 0,
                    reading => return Ok(Head { reading, plan }),
                };
                if is_first {
                    self.timer.arm(self.guest.desk.plan().waits.request_head);
                }
            }
            self.receive(began).await?;
        }
    }

    fn read_head(
        &self,
        story: &mut Story,
        seen: usize,
        began: Stamp,
        now: Stamp,
    ) -> (Reading, Held) {
        let desk = &self.guest.desk;
        let plan = desk.plan();
        #[cfg(debug_assertions)]
        super::fault::at(self.inbox.bytes(), "head");
        let (text, length) = &self.text;
        let client = Client {
            address: self.guest.address,
            text: &text[..*length],
            // The plan's, not the one that accepted: their routes and pools belong together.
            listener: self.guest.of(&plan),
            is_first: !self.served,
        };
        let bytes = self.inbox.bytes();
        let reading = request::read(desk, &plan, &client, (bytes, seen), now, story);
        (story.marks.began, story.marks.head) = (began, now);
        (reading, plan)
    }

    /// Waits for more of a head, or for its first byte.
    pub(super) async fn receive(&mut self, began: Option<Stamp>) -> Result<(), NoHead> {
        let desk = &self.guest.desk;
        if began.is_none() {
            let waits = desk.plan().waits;
            let (call, wait) = match (self.served, desk.draining.get()) {
                (true, true) => return self.last_look(),
                (true, false) => (Call::Idle, waits.keep_alive),
                (false, false) => (Call::Fresh, waits.request_head),
                // It has only just connected, and its request is on its way.
                (false, true) => {
                    let wait = waits.request_head.map_or(FIRST, |wait| wait.min(FIRST));
                    (Call::Late, Some(wait))
                }
            };
            self.timer.heed(Some(call));
            self.timer.arm(wait);
        } else {
            self.timer.heed(Some(Call::Late));
        }
        let waited = self.timer.limit(self.stream.readable()).await;
        self.timer.heed(None);
        match (waited, began) {
            (Ok(Ok(())), _) => {}
            // From now on it waits as those that come while the process stops.
            (Err(Elapsed), None)
                if !self.served
                    && self.timer.heard() == Some(Call::Fresh)
                    && desk.draining.get() =>
            {
                return Ok(());
            }
            (Err(Elapsed), None) if self.timer.called() => return self.last_look(),
            (Ok(Err(_)), None) => return Err(NoHead::Quiet { slow: false }),
            (Err(Elapsed), None) => {
                let slow = !desk.draining.get();
                return Err(NoHead::Quiet { slow });
            }
            (Ok(Err(_)), Some(began)) => return Err(NoHead::Left(began)),
            (Err(Elapsed), Some(began)) if ring::is_shutting_down() => {
                return Err(NoHead::ShutDown(began));
            }
            (Err(Elapsed), Some(began)) => return Err(NoHead::Slow(began)),
        }
        let most = desk.plan().limits.size.max(Buffer::LARGE);
        match (self.stream.try_recv_into(&mut self.inbox, most), began) {
            (Ok(Received::Bytes(_) | Received::Empty), _) => Ok(()),
            (Ok(Received::Closed) | Err(_), None) => Err(NoHead::Quiet { slow: false }),
            (Ok(Received::Closed) | Err(_), Some(began)) => Err(NoHead::Left(began)),
        }
    }

    /// Whoever has to leave, because the worker drains or somebody needs the place, is still served if a request
    /// has arrived already.
    fn last_look(&mut self) -> Result<(), NoHead> {
        match self.stream.try_recv_into(&mut self.inbox, Buffer::LARGE) {
            Ok(Received::Bytes(_)) => Ok(()),
            Ok(Received::Empty | Received::Closed) | Err(_) => Err(NoHead::Quiet {
                slow: !self.guest.desk.draining.get(),
            }),
        }
    }

    /// A connection that never sent a byte leaves a line of its own, if anybody wants it.
    pub(super) fn leave_quietly(&self, slow: bool) -> After {
        if !self.served {
            let desk = &self.guest.desk;
            let now = desk.now();
            let record = Record {
                timers: Timers {
                    active: now.since(self.accepted).cast_signed(),
                    ..Timers::NONE
                },
                termination: Termination {
                    cause: if slow { b'c' } else { b'C' },
                    phase: b'R',
                    cookie_request: b'-',
                    cookie_response: b'-',
                },
                counts: crate::record::Counts {
                    process: desk.gauge.connections(),
                    listener: self.guest.listener.connections(),
                    ..Default::default()
                },
                ..Record::empty(
                    Kind::Empty,
                    desk.clock.get().wall_ms(self.accepted),
                    desk.clock.get().wall_ms(now),
                    &self.guest.listener.name,
                )
            };
            desk.log.borrow_mut().access(&Record {
                client: self.guest.address,
                ..record
            });
        }
        match self.guest.desk.draining.get() {
            // A request may be on its way: it must not be answered by a reset.
            true => After::Linger,
            false => After::Close,
        }
    }

    pub(super) async fn refuse(
        &mut self,
        began: Stamp,
        ending: Ending,
        refused: Option<Box<Refused>>,
    ) -> After {
        let now = self.guest.desk.now();
        let plan = self.guest.desk.plan();
        self.guest.follow(&plan);
        let mut story = Story::blank(began);
        story.marks.head = now;
        story.refused = refused;
        self.answer(&mut story, ending, &plan).await
    }

    /// Answers a request here, without a server. The connection ends after it.
    async fn answer(&self, story: &mut Story, ending: Ending, plan: &Plan) -> After {
        let status = ending.status();
        if status == 0 {
            story.log(&self.guest, ending);
            return After::Close;
        }
        let head_only = story.request.facts.method == crate::wire::Method::Head;
        let mut later = Buffer::new();
        let (page, retry_after) = (self.guest.of(plan).page(status), ending.retry_after());
        let (bytes, body) = match (page, retry_after) {
            (Some(page), _) => {
                page.write_error_head(retry_after, later.tail());
                let body = if head_only { b"" } else { page.body() };
                (later.bytes(), body)
            }
            (None, None) => match ending.refused() {
                Some((refusal, Blame::Client)) if self.guest.of(plan).verbose_errors => {
                    let at = story.refused.as_ref().map(|refused| refused.at);
                    reply::push_verbose(refusal, at, head_only, later.tail());
                    (later.bytes(), &b""[..])
                }
                _ => (reply::reply(status, head_only), &b""[..]),
            },
            (None, Some(seconds)) => {
                reply::push_later(status, seconds, head_only, later.tail());
                (later.bytes(), &b""[..])
            }
        };
        story.status = status;
        story.bytes_out += self.deliver(bytes, body).await;
        story.log(&self.guest, ending);
        After::Linger
    }

    /// Whether the client has sent nothing behind this request and will not: then there is no need to look.
    fn has_said_all(&self, story: &Story) -> bool {
        story.request.facts.says_all() && self.inbox.is_empty()
    }

    /// Whether nothing of the client's lies unread. Then closing is safe: there is nothing that the
    /// kernel would answer with a reset.
    pub(super) fn is_silent(&mut self) -> bool {
        self.inbox.is_empty()
            && !matches!(
                self.stream.try_recv_into(&mut self.inbox, Buffer::SMALL),
                Ok(Received::Bytes(_))
            )
    }

    /// Ends the connection so that the client can still read what it was sent: if bytes of its own
    /// were left unread, closing at once would reset the connection and take the answer away.
    async fn linger(mut self) {
        self.stream.finish();
        self.inbox.release();
        self.timer.arm(Some(LINGER));
        self.timer.heed(Some(Call::Late));
        let mut left = LINGER_BYTES;
        loop {
            let received = ring::with_scratch(|scratch| self.stream.try_recv(scratch));
            match received {
                Ok(Received::Bytes(count)) if left > count => left -= count,
                Ok(Received::Empty) => {
                    if !matches!(self.timer.limit(self.stream.readable()).await, Ok(Ok(()))) {
                        return;
                    }
                }
                Ok(Received::Bytes(_) | Received::Closed) | Err(_) => return,
            }
        }
    }

    /// Nobody else may use them.
    fn let_go_of_links(&self) {
        if let Some(owner) = self.owner.get() {
            self.guest.desk.links.let_go(owner);
        }
    }

    /// The tunnel gets a task of its own, which is small; this one, which is not, ends.
    fn hand_over(self, handshake: Handshake) {
        handover::start(self.guest, self.stream, self.inbox, handshake);
    }
}

/// What the task of a connection takes, whatever it does.
pub const TASK: usize = 6 * 1024;

/// How long a client that has connected may take to begin its request when the process stops.
const FIRST: Duration = Duration::from_secs(1);

/// How long a client that was told "close" may take to close.
const LINGER: Duration = Duration::from_secs(2);

/// And how much it may still send meanwhile.
const LINGER_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<A, B, D, E, F>(_: impl Fn(A, B, D, E) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_connection_s_task_is_no_larger_than_is_said() {
        let size = size_of_future(serve::<ring::Stream>);
        assert!(size <= TASK, "{size}");
    }
}
