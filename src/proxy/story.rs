//! What is remembered of one exchange until its line is in the log.

use super::connection::Guest;
use super::ending::Ending;
use super::plan::PoolHeld;
use super::refused::Refused;
use super::request::{CAPTURES, Request, Texts};
use super::retry::Copy;
use crate::balance::{Busy, Server, sticky};
use crate::config::Capture;
use crate::record::{Counts, Kind, Record, RefusedMessage, Termination, Timers};
use crate::ring::{Buffer, Stamp};
use crate::wire::{Blame, Refusal, Span};

/// The facts of an exchange, collected as it goes.
pub(super) struct Story {
    pub(super) request: Request,
    pub(super) pool: Option<PoolHeld>,
    pub(super) verdict: sticky::Verdict,
    /// The hash of what the pool's `balance` hashes.
    pub(super) key: Option<u64>,
    pub(super) server: Option<usize>,
    /// Counts the server as busy for as long as the exchange lasts.
    pub(super) busy: Option<Busy>,
    pub(super) marks: Marks,
    /// How many waited before this one: for its own server, for any.
    pub(super) queued: [u32; 2],
    pub(super) retries: u32,
    pub(super) redispatched: bool,
    /// Of the response that was begun towards the client; 0 for none.
    pub(super) status: u16,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) cookie_response: u8,
    pub(super) response_captures: [Span; CAPTURES],
    /// Where a message was refused.
    pub(super) refused: Option<Box<Refused>>,
    /// The request's body, once another attempt needs it.
    pub(super) body: Option<Box<Copy>>,
}

/// When each phase was over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Marks {
    pub(super) began: Stamp,
    pub(super) head: Stamp,
    /// When the wait for a server with room was over, if there was one.
    pub(super) queued: Option<Stamp>,
    pub(super) connected: Option<Stamp>,
    pub(super) answered: Option<Stamp>,
}

impl Marks {
    /// When a server was there to connect to.
    pub(super) fn ready(&self) -> Stamp {
        self.queued.unwrap_or(self.head)
    }

    /// Tw; `chosen` is whether a server was.
    pub(super) fn queue(&self, chosen: bool) -> i64 {
        match self.queued {
            Some(at) => at.since(self.head).cast_signed(),
            None if chosen => 0,
            None => -1,
        }
    }

    /// Tc
    pub(super) fn connect(&self) -> i64 {
        let since = |at: Stamp| at.since(self.ready()).cast_signed();
        self.connected.map_or(-1, since)
    }

    /// Tr
    pub(super) fn response(&self) -> i64 {
        let from = self.connected.unwrap_or_else(|| self.ready());
        self.answered.map_or(-1, |at| at.since(from).cast_signed())
    }
}

impl Story {
    /// Of a request of which nothing is known yet; where it lies, the exchange leaves it.
    pub(super) fn blank(at: Stamp) -> Self {
        Self {
            request: Request::unread(),
            pool: None,
            verdict: sticky::Verdict::NONE,
            key: None,
            server: None,
            busy: None,
            marks: Marks {
                began: at,
                head: at,
                queued: None,
                connected: None,
                answered: None,
            },
            queued: [0; 2],
            retries: 0,
            redispatched: false,
            status: 0,
            bytes_in: 0,
            bytes_out: 0,
            cookie_response: b'-',
            response_captures: [Span::default(); CAPTURES],
            refused: None,
            body: None,
        }
    }

    /// Another attempt begins: of the answer before, if there was one, nothing is told.
    pub(super) fn again(&mut self) {
        self.retries += 1;
        self.cookie_response = b'-';
        self.marks.answered = None;
        let captures = std::mem::take(&mut self.response_captures);
        let kept = captures.iter().filter(|span| !span.is_empty());
        if let Some(from) = kept.map(|span| span.from()).min() {
            self.request.held.truncate(from);
        }
    }

    /// Lets go of the request's head, which nobody will be sent again, and keeps the log's texts. Only of one that
    /// is not small: a response may be read slowly by thousands.
    pub(super) fn shed(&mut self) {
        if self.request.held.capacity() <= Buffer::SMALL {
            return;
        }
        let from = std::mem::take(&mut self.request.head);
        let mut texts = Buffer::new();
        texts.push(&self.request.held.bytes()[from..]);
        self.request.held = texts;
        let Texts {
            method,
            target,
            host,
            id,
            captures,
        } = &mut self.request.texts;
        for span in [method, target, host, id]
            .into_iter()
            .chain(captures)
            .chain(&mut self.response_captures)
        {
            // An empty text may stand anywhere, behind the end of what is kept as well.
            *span = match span.is_empty() {
                true => Span::default(),
                false => Span::new(span.from() - from, span.to() - from),
            };
        }
    }

    /// Counts the message that the exchange ended with, and keeps what is shown of it.
    #[cold]
    fn note_refused(&self, guest: &Guest, refusal: Refusal, from: Blame, now: Stamp) {
        let refused = self.refused.as_deref();
        guest.desk.add_refused(RefusedMessage {
            at_ms: guest.desk.clock.get().wall_ms(now),
            refusal,
            from,
            offset: refused.map_or(0, |refused| refused.at),
            client: guest.address,
            listener: guest.listener.name.clone(),
            pool: self.pool_name(guest).map(Into::into),
            server: self.server_name().map(Into::into),
            excerpt: refused.and_then(|refused| refused.excerpt.clone()),
        });
    }

    /// Writes the exchange's line.
    pub(super) fn log(&self, guest: &Guest, ending: Ending) {
        let desk = &guest.desk;
        let now = desk.now();
        let refused = ending.refused();
        if let Some((refusal, from)) = refused {
            self.note_refused(guest, refusal, from, now);
        }
        let (cause, phase) = if self.is_stats() {
            (b'L', b'R')
        } else {
            ending.letters()
        };
        let texts = &self.request.texts;
        let text = |span: Span| self.request.text(span);
        let capture = &*guest.capture;
        let captured = |spans: &[Span; CAPTURES], asked: &[Capture]| match asked {
            [] => [&b""[..]; CAPTURES],
            _ => spans.map(text),
        };
        let captured_request = captured(&texts.captures, &capture.request);
        let captured_response = captured(&self.response_captures, &capture.response);
        let understood = !texts.method.is_empty();
        let record = Record {
            kind: Kind::Exchange,
            accepted_ms: desk.clock.get().wall_ms(self.marks.began),
            now_ms: desk.clock.get().wall_ms(now),
            client: guest.address,
            listener: &guest.listener.name,
            pool: self.pool_name(guest),
            server: self.server_name(),
            timers: Timers {
                request: if understood {
                    self.marks.head.since(self.marks.began).cast_signed()
                } else {
                    -1
                },
                queue: self.marks.queue(self.busy.is_some()),
                connect: self.marks.connect(),
                response: self.marks.response(),
                active: now.since(self.marks.began).cast_signed(),
            },
            status: self.status,
            bytes_out: self.bytes_out,
            bytes_in: self.bytes_in,
            termination: Termination {
                cause,
                phase,
                cookie_request: self.cookie_letter(),
                cookie_response: self.cookie_response,
            },
            counts: self.counts(guest),
            retries: self.retries,
            redispatched: self.redispatched,
            method: text(texts.method),
            target: text(texts.target),
            minor: self.request.facts.minor,
            host: text(texts.host),
            request_id: text(texts.id),
            captured_request: &captured_request[..capture.request.len().min(CAPTURES)],
            captured_response: &captured_response[..capture.response.len().min(CAPTURES)],
            capture_request_names: &capture.request_names,
            capture_response_names: &capture.response_names,
            refused: refused.map(|(refusal, _)| refusal.word()),
            refused_at: self.refused.as_ref().map(|refused| refused.at),
            tunnel: None,
        };
        desk.log.borrow_mut().access(&record);
    }

    fn is_stats(&self) -> bool {
        self.pool
            .as_deref()
            .is_some_and(|pool| pool.settings.name == "<STATS>")
    }

    /// The page is the listener's own, as HAProxy's users know it: `http-in/<STATS>`.
    fn pool_name<'a>(&'a self, guest: &'a Guest) -> Option<&'a str> {
        if self.is_stats() {
            return Some(&guest.listener.name);
        }
        self.pool.as_deref().map(|pool| pool.settings.name.as_str())
    }

    fn server_name(&self) -> Option<&str> {
        self.chosen().map(|server| &*server.name)
    }

    /// The server that was chosen last.
    pub(super) fn chosen(&self) -> Option<&Server> {
        let pool = self.pool.as_deref()?;
        Some(&pool.servers[self.server?])
    }

    /// `-` where neither a cookie nor a session was looked for.
    pub(super) fn cookie_letter(&self) -> u8 {
        let pool = self.pool.as_deref();
        if pool.is_some_and(|pool| pool.sticky.is_some() || pool.sessions.is_some()) {
            self.verdict.letter
        } else {
            b'-'
        }
    }

    pub(super) fn counts(&self, guest: &Guest) -> Counts {
        Counts {
            process: guest.desk.gauge.connections(),
            listener: guest.listener.connections(),
            pool: self.pool.as_deref().map_or(0, |pool| pool.live.sessions()),
            server: self.busy.as_ref().map_or(0, |busy| busy.live().sessions()),
            server_queue: self.queued[0],
            pool_queue: self.queued[1],
        }
    }
}
