//! A request's head → what is done with it: the one synchronous step between its last byte and the
//! choice of a server.
//!
//! Parse, route, read the cookie, and write the head that goes on, all from the bytes as they lie in
//! the connection's buffer. What the rest of the exchange needs is copied out here, so that nothing
//! refers to those bytes later.

use std::net::SocketAddr;

use super::desk::Desk;
use super::ending::Ending;
use super::key;
use super::own::Own;
use super::plan::{Listener, Local, Plan, PoolHeld};
use super::session;
use super::way::Lead;
use crate::balance::{self, sticky};
use crate::ring::{Buffer, Stamp};
use crate::wire::forward::{self, Connection, Edit, RequestEdits};
use crate::wire::request::{RequestHead, Upgrade};
use crate::wire::{BodyLength, Method, Progress, Refusal, Span, cookie, text, websocket};

/// The client's side of a connection, as far as requests care.
pub(super) struct Client<'a> {
    pub(super) address: Option<SocketAddr>,
    /// Its IP address as text; empty over a unix socket.
    pub(super) text: &'a [u8],
    pub(super) listener: &'a Listener,
}

impl Client<'_> {
    fn is_trusted(&self) -> bool {
        let trusted = &self.listener.trusted;
        self.address
            .is_some_and(|address| trusted.iter().any(|net| net.contains(address.ip())))
    }
}

/// What is known of a request once its head has been read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) method: Method,
    pub(super) minor: u8,
    pub(super) keep_alive: bool,
    pub(super) body: BodyLength,
    /// The `Sec-WebSocket-Accept` that the server must give.
    pub(super) upgrade: Option<websocket::Accept>,
    /// Its answer may open an Engine.IO session, and the pool holds such.
    pub(super) opens_session: bool,
}

/// A request on its way.
pub(super) struct Request {
    pub(super) facts: Facts,
    /// What the server is sent, then the log's texts.
    pub(super) held: Buffer,
    /// Bytes of `held` that are the head.
    pub(super) head: usize,
    pub(super) texts: Texts,
    /// The route that it follows, by its index in the plan.
    pub(super) route: Option<u32>,
}

/// Where in [`Request::held`] the log's texts lie.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Texts {
    pub(super) method: Span,
    pub(super) target: Span,
    pub(super) host: Span,
    pub(super) id: Span,
    pub(super) captures: [Span; CAPTURES],
}

/// Captured fields per direction; the configuration allows no more.
pub(super) const CAPTURES: usize = 8;

/// Longest target that the log shows; the rest is cut. HAProxy's default is the same.
const LOGGED_TARGET: usize = 1024;

/// Longest method and host that it shows: a name of the DNS, its brackets and its port fit.
const LOGGED_NAME: usize = 262;

/// What the log's texts of one request take, without captures.
pub const TEXTS: usize = LOGGED_TARGET + 2 * LOGGED_NAME + 32;

/// What the head leads to.
pub(super) enum Reading {
    /// More bytes are needed.
    Partial,
    /// It goes to a server of this pool.
    Forward {
        request: Request,
        pool: PoolHeld,
        verdict: sticky::Verdict,
        key: Option<u64>,
        taken: usize,
    },
    /// It is answered here, as the configuration wants it.
    Own {
        request: Request,
        own: Own,
        taken: usize,
    },
    /// It is refused here, or no server can be found for it.
    Answer { request: Request, ending: Ending },
}

/// Reads the head at the front of `bytes`; `seen` bytes of it were looked at before.
pub(super) fn read(
    desk: &Desk,
    plan: &Local,
    client: &Client<'_>,
    bytes: &[u8],
    seen: usize,
    now: Stamp,
) -> Reading {
    let mut head = desk.request.borrow_mut();
    match head.parse(bytes, seen, &plan.limits) {
        Ok(Progress::Partial) => Reading::Partial,
        Ok(Progress::Complete) => decide(desk, plan, client, &head, bytes, now),
        // As HAProxy, the log shows no request line of what could not be read.
        Err(refusal) => refused(refusal),
    }
}

fn decide(
    desk: &Desk,
    plan: &Local,
    client: &Client<'_>,
    head: &RequestHead,
    bytes: &[u8],
    now: Stamp,
) -> Reading {
    let mut facts = Facts {
        method: head.method,
        minor: head.minor,
        keep_alive: head.keep_alive,
        body: head.body,
        upgrade: None,
        opens_session: false,
    };
    let answer = |facts, ending| {
        let mut request = Request::unsent(facts);
        request.note(head, bytes, client.listener);
        Reading::Answer { request, ending }
    };
    let ip = client.address.map(|address| address.ip());
    let (listener, path) = (client.listener, head.path(bytes));
    if let Some(monitor) = listener.monitor.as_ref()
        && monitor.is_asked(path)
    {
        let mut request = Request::unsent(facts);
        let page = monitor.answer(plan, desk.draining.get());
        let own = Own::answer(page, may_stay(desk, head), &mut request).quietly();
        let taken = head.size;
        return Reading::Own {
            request,
            own,
            taken,
        };
    }
    if listener.door.as_ref().is_some_and(|door| !door.admits(ip)) {
        return answer(facts, Ending::Denied);
    }
    if head.upgrade == Upgrade::WebSocket {
        match websocket::check_request(head, bytes) {
            Ok(key) => facts.upgrade = Some(websocket::accept_for(&key)),
            Err(error) => return answer(facts, Ending::BadHandshake(error.status())),
        }
    }
    let lead = plan.lead(listener, ip, head.host.of(bytes), path);
    // Who may not come anyway takes no token from others behind the same address.
    if matches!(lead, Lead::Denied) {
        return answer(facts, Ending::Denied);
    }
    if let Some(rates) = &client.listener.rates {
        let (live, tunnel) = (&client.listener.live.rates, facts.upgrade.is_some());
        if let Some(ending) = rates.refuse(desk, live, client.address, tunnel, now) {
            return answer(facts, ending);
        }
    }
    let answered = |mut request: Request, own: Option<Own>| {
        request.note(head, bytes, listener);
        let taken = head.size;
        match own {
            Some(own) => Reading::Own {
                request,
                own,
                taken,
            },
            None => answer(facts, Ending::Refused(Refusal::HostMissing)),
        }
    };
    let mut request = Request::unsent(facts);
    let pool = match lead {
        Lead::Pool(pool, route) => {
            request.route = route;
            pool
        }
        Lead::Answer(page) => {
            let own = Own::answer(page, may_stay(desk, head), &mut request);
            return answered(request, Some(own));
        }
        Lead::Redirect(elsewhere) => {
            let keep = may_stay(desk, head);
            let own = Own::redirect(elsewhere, head, bytes, keep, &mut request);
            return answered(request, own);
        }
        Lead::Denied => return answer(facts, Ending::Denied),
        Lead::Nowhere => return answer(facts, Ending::NoRoute),
    };
    let now_s = desk.clock.get().wall_ms(now) / 1_000;
    let mut verdict = verdict(&pool, client, head, bytes, now_s);
    request.facts.opens_session = session::look(&pool, head, bytes, now, &mut verdict);
    let key = key::of(&pool.settings.balance, client.address, head, bytes);
    let id = pool.settings.request_id.as_ref().map(|_| desk.next_id());
    request.write(desk, plan, &pool, client, head, bytes, id.as_ref());
    request.note(head, bytes, client.listener);
    if let Some(id) = id {
        request.texts.id = request.keep(&id);
    }
    Reading::Forward {
        request,
        pool,
        verdict,
        key,
        taken: head.size,
    }
}

/// Whether the connection may stay after an answer of our own: what comes next on it is surely another request.
fn may_stay(desk: &Desk, head: &RequestHead) -> bool {
    head.keep_alive
        && head.body.is_empty()
        && head.upgrade != Upgrade::WebSocket
        && !desk.draining.get()
}

fn refused(refusal: Refusal) -> Reading {
    Reading::Answer {
        request: Request::unread(),
        ending: Ending::Refused(refusal),
    }
}

/// What the client's cookie says.
fn verdict(
    pool: &balance::Pool,
    client: &Client<'_>,
    head: &RequestHead,
    bytes: &[u8],
    now_s: u64,
) -> sticky::Verdict {
    let Some(sticky) = &pool.sticky else {
        return sticky::Verdict::NONE;
    };
    let values =
        cookie::crumbs(&head.fields, bytes, sticky.name()).map(|crumb| crumb.value.of(bytes));
    let asked = sticky::Asked {
        path: head.path(bytes),
        client: client.address.map(|address| address.ip()),
        header: &|name, wanted| {
            head.fields
                .value(bytes, name.as_bytes())
                .is_some_and(|value| wanted.is_none_or(|wanted| value == wanted.as_bytes()))
        },
    };
    sticky.read(&pool.servers, values, now_s, &asked)
}

impl Request {
    fn unsent(facts: Facts) -> Self {
        Self {
            facts,
            held: Buffer::new(),
            head: 0,
            texts: Texts::default(),
            route: None,
        }
    }

    /// Of which nothing could be understood.
    pub(super) fn unread() -> Self {
        Self::unsent(Facts {
            method: Method::Other,
            minor: 1,
            keep_alive: false,
            body: BodyLength::None,
            upgrade: None,
            opens_session: false,
        })
    }

    /// Writes the head that goes on.
    #[expect(clippy::too_many_arguments, reason = "one fact each")]
    fn write(
        &mut self,
        desk: &Desk,
        plan: &Plan,
        pool: &balance::Pool,
        client: &Client<'_>,
        head: &RequestHead,
        bytes: &[u8],
        id: Option<&[u8; 32]>,
    ) {
        let settings = &pool.settings;
        let mut scratch = desk.scratch.borrow_mut();
        scratch.clear();
        if let Some(sticky) = &pool.sticky {
            hide_cookie(sticky, head, bytes, &mut scratch.edits);
        }
        let forwarded_for = settings.forwarded_for.as_ref().filter(|field| {
            let address = client.address.map(|address| address.ip());
            address.is_some_and(|ip| !field.except.iter().any(|net| net.contains(ip)))
        });
        let edits = RequestEdits {
            connection: match self.facts.upgrade {
                Some(_) => Connection::WebSocket,
                None => Connection::Kept,
            },
            cookies: &scratch.edits,
            trust_client: client.is_trusted(),
            forwarded_for: forwarded_for.map(|field| (field.header.as_bytes(), client.text)),
            forwarded_proto: settings.forwarded_proto.then_some(b"http"),
            forwarded: settings.forwarded.then_some((client.text, b"http")),
            via: settings.via.then_some(b"ringbolt"),
            uncoded: self.facts.opens_session,
            request_id: settings
                .request_id
                .as_ref()
                .zip(id)
                .map(|(name, id)| (name.as_bytes(), &id[..])),
            changes: plan.request_changes(self.route),
            ..RequestEdits::default()
        };
        let changed = edits.changes.map_or(0, |changes| changes.lines().len());
        self.held.reserve(head.size + ADDED + changed);
        forward::write_request(head, bytes, &edits, self.held.tail());
        self.head = self.held.len();
    }

    /// Copies what the log will want to know.
    fn note(&mut self, head: &RequestHead, bytes: &[u8], listener: &Listener) {
        let cut = |span: Span, most| {
            let text = span.of(bytes);
            &text[..text.len().min(most)]
        };
        self.texts.method = self.keep(cut(head.method_name, LOGGED_NAME));
        self.texts.target = self.keep(cut(head.target, LOGGED_TARGET));
        self.texts.host = self.keep(cut(head.host, LOGGED_NAME));
        for (index, capture) in listener.capture.request.iter().take(CAPTURES).enumerate() {
            let value = head
                .fields
                .value(bytes, capture.header.as_bytes())
                .unwrap_or_default();
            self.texts.captures[index] = self.keep(&value[..value.len().min(capture.length)]);
        }
    }

    /// Copies a text behind the head.
    pub(super) fn keep(&mut self, text: &[u8]) -> Span {
        let start = self.held.len();
        self.held.push(text);
        Span::new(start, self.held.len())
    }

    /// A text kept earlier.
    pub(super) fn text(&self, span: Span) -> &[u8] {
        span.of(self.held.bytes())
    }
}

/// What the server is not to see of our cookie.
fn hide_cookie(sticky: &sticky::Sticky, head: &RequestHead, bytes: &[u8], edits: &mut Vec<Edit>) {
    let mut crumbs = cookie::crumbs(&head.fields, bytes, sticky.name()).peekable();
    let Some(first) = crumbs.peek() else {
        return;
    };
    if sticky.forwarded(first.value.of(bytes)) == sticky::Forwarded::Nothing {
        cookie::strip(&head.fields, bytes, sticky.name(), edits);
        return;
    }
    for crumb in crumbs {
        if let sticky::Forwarded::After(count) = sticky.forwarded(crumb.value.of(bytes)) {
            let start = crumb.value.from();
            edits.push(Edit::Cut(Span::new(start, start + count)));
        }
    }
}

/// Room for what is added to a head, so that the buffer of a common one never grows.
pub const ADDED: usize = 256;

/// The client's address as text, kept with the connection.
pub(super) fn address_text(address: Option<SocketAddr>) -> ([u8; 46], usize) {
    let mut inline = [0; 46];
    let Some(address) = address else {
        return (inline, 0);
    };
    let mut out = Vec::with_capacity(46);
    text::push_ip(&mut out, address.ip());
    inline[..out.len()].copy_from_slice(&out);
    (inline, out.len())
}
