//! A request's head → what is done with it: the one synchronous step between its last byte and the
//! choice of a server.
//!
//! Parse, route, read the cookie, and write the head that goes on, all from the bytes as they lie in
//! the connection's buffer. What the rest of the exchange needs is copied out here, so that nothing
//! refers to those bytes later.

use std::net::SocketAddr;
use std::time::Duration;

use super::desk::{Desk, Scratch};
use super::ending::Ending;
use super::key;
use super::own::Own;
use super::plan::{Listener, Local, Plan};
use super::refused::Refused;
use super::session;
use super::story::Story;
use super::way::Lead;
use crate::balance::{self, sticky};
use crate::ring::{Buffer, Stamp};
use crate::wire::cookie::Crumb;
use crate::wire::forward::{self, Connection, Edit, RequestEdits};
use crate::wire::request::{RequestHead, Upgrade};
use crate::wire::{BodyLength, Method, Progress, Refusal, Span, chunked, cookie, text, websocket};

/// The client's side of a connection, as far as requests care.
pub(super) struct Client<'a> {
    pub(super) address: Option<SocketAddr>,
    /// Its IP address as text; empty over a unix socket.
    pub(super) text: &'a [u8],
    pub(super) listener: &'a Listener,
    /// The request is the first of its connection.
    pub(super) is_first: bool,
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
    /// What the request asks to switch to.
    pub(super) upgrade: Option<Switch>,
    /// Its answer may open an Engine.IO session, and the pool holds such.
    pub(super) opens_session: bool,
}

/// A protocol that a tunnel may be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Switch {
    /// The `Sec-WebSocket-Accept` that the server must give.
    WebSocket(websocket::Accept),
    /// One of the pool's `upgrade_protocols`, by its index.
    Other(u8),
}

impl Facts {
    /// Whether the client sends nothing behind this request: it has asked for the end after it (RFC 9112 section 9.6), and there
    /// is no body, not even an empty one, behind which some send an empty line too much.
    pub(super) fn says_all(&self) -> bool {
        let bare = self.body == BodyLength::None && self.upgrade.is_none();
        self.minor == 1 && !self.keep_alive && bare
    }
}

/// A request on its way.
pub(super) struct Request {
    pub(super) facts: Facts,
    /// What the server is sent, then the log's texts.
    pub(super) held: Buffer,
    /// Bytes of `held` that are the head.
    pub(super) head: usize,
    /// Bytes of the head as it was received.
    pub(super) received: u32,
    pub(super) texts: Texts,
    /// The route that it follows, by its index in the plan.
    pub(super) route: Option<u32>,
    /// How long it is held before a server gets it, for the token that it took ahead.
    pub(super) wait: Duration,
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

/// What the head leads to. What is known of the request, and of where it goes, is in the story.
pub(super) enum Reading {
    /// More bytes are needed.
    Partial,
    /// The head is whole, and its empty body, which is taken with it, is not.
    PartialBody,
    /// It goes to a server of the story's pool.
    Forward { taken: usize },
    /// It is answered here, as the configuration wants it.
    Own { own: Own, taken: usize },
    /// It is refused here, or no server can be found for it.
    Answer { ending: Ending },
}

/// Reads the head at the front of `bytes` into a blank story; `seen` bytes of it were looked at before.
pub(super) fn read(
    desk: &Desk,
    plan: &Local,
    client: &Client<'_>,
    (bytes, seen): (&[u8], usize),
    now: Stamp,
    story: &mut Story,
) -> Reading {
    let mut head = desk.request.borrow_mut();
    match head.parse(bytes, seen, &plan.limits) {
        Ok(Progress::Partial) => Reading::Partial,
        Ok(Progress::Complete) => decide(desk, plan, client, (&head, bytes), now, story),
        // As HAProxy, the log shows no request line of what could not be read.
        Err(refusal) => {
            story.refused = Refused::request(bytes, client.is_first, refusal, &plan.limits);
            Reading::Answer {
                ending: Ending::Refused(refusal),
            }
        }
    }
}

fn decide(
    desk: &Desk,
    plan: &Local,
    client: &Client<'_>,
    (head, bytes): (&RequestHead, &[u8]),
    now: Stamp,
    story: &mut Story,
) -> Reading {
    let request = &mut story.request;
    request.facts = Facts {
        method: head.method,
        minor: head.minor,
        keep_alive: head.keep_alive,
        body: head.body,
        upgrade: None,
        opens_session: false,
    };
    let answer = |request: &mut Request, ending| {
        request.note(head, bytes, client.listener);
        Reading::Answer { ending }
    };
    let ip = client.address.map(|address| address.ip());
    let (listener, path, mut taken) = (client.listener, head.path(bytes), head.size);
    if let Some(monitor) = listener.monitor.as_ref()
        && monitor.is_asked(path)
    {
        let page = monitor.answer(plan, desk.draining.get() || desk.lame_duck.get());
        let own = Own::answer(page, may_stay(desk, head), request).quietly();
        return Reading::Own { own, taken };
    }
    if listener.door.as_ref().is_some_and(|door| !door.admits(ip)) {
        return answer(request, Ending::Denied);
    }
    if head.upgrade == Upgrade::WebSocket {
        match websocket::check_request(head, bytes) {
            Ok(key) => request.facts.upgrade = Some(Switch::WebSocket(websocket::accept_for(&key))),
            Err(error) => {
                story.refused =
                    Refused::request(bytes, client.is_first, error.refusal(), &plan.limits);
                return answer(request, Ending::Refused(error.refusal()));
            }
        }
        match chunked::empty_body(head.body, &bytes[head.size..]) {
            Ok(Some(size)) => taken += size,
            Ok(None) => return Reading::PartialBody,
            Err(_) => {
                story.refused =
                    Refused::request(bytes, client.is_first, Refusal::BadHandshake, &plan.limits);
                return answer(request, Ending::Refused(Refusal::BadHandshake));
            }
        }
        request.facts.body = BodyLength::None;
    }
    let lead = plan.lead(listener, ip, head.host.of(bytes), path);
    // Who may not come anyway takes no token from others behind the same address.
    if matches!(lead, Lead::Denied) {
        return answer(request, Ending::Denied);
    }
    if let Some(rates) = &client.listener.rates {
        let (live, tunnel) = (&client.listener.live.rates, request.facts.upgrade.is_some());
        match rates.refuse(desk, live, client.address, tunnel, now) {
            Ok(held) => request.wait = held,
            Err(ending) => return answer(request, ending),
        }
    }
    let answered = |request: &mut Request, own: Option<Own>| {
        request.note(head, bytes, listener);
        match own {
            Some(own) => Reading::Own { own, taken },
            None => Reading::Answer {
                ending: Ending::Refused(Refusal::HostMissing),
            },
        }
    };
    let pool = match lead {
        Lead::Pool(pool, route) => {
            request.route = route;
            pool
        }
        Lead::Answer(page) => {
            let own = Own::answer(page, may_stay(desk, head), request);
            return answered(request, Some(own));
        }
        Lead::Redirect(elsewhere) => {
            let keep = may_stay(desk, head);
            let own = Own::redirect(elsewhere, head, bytes, keep, request);
            if own.is_none() {
                story.refused =
                    Refused::request(bytes, client.is_first, Refusal::HostMissing, &plan.limits);
            }
            return answered(request, own);
        }
        Lead::Denied => return answer(request, Ending::Denied),
        Lead::Nowhere => return answer(request, Ending::NoRoute),
    };
    let now_s = desk.clock.get().wall_ms(now) / 1_000;
    let mut scratch = desk.scratch.borrow_mut();
    scratch.clear();
    if let Some(sticky) = &pool.sticky {
        let crumbs = &mut scratch.crumbs;
        cookie::find(&head.fields, bytes, sticky.name(), crumbs);
        story.verdict = verdict(sticky, &pool, client, (head, bytes), crumbs, now_s);
    }
    if !pool.settings.upgrade_protocols.is_empty() && request.facts.upgrade.is_none() {
        let protocols = pool.settings.upgrade_protocols.iter();
        let asked = head.asks_for(bytes, protocols.map(|protocol| protocol.as_bytes()));
        request.facts.upgrade = asked.map(|index| Switch::Other(index as u8));
    }
    request.facts.opens_session = session::look(&pool, head, bytes, now, &mut story.verdict);
    story.key = key::of(&pool.settings.balance, client.address, head, bytes);
    let id = pool.settings.request_id.as_ref().map(|_| desk.next_id());
    request.write(
        &mut scratch,
        plan,
        &pool,
        client,
        (head, bytes),
        id.as_ref(),
    );
    request.note(head, bytes, client.listener);
    if let Some(id) = id {
        request.texts.id = request.keep(&id);
    }
    story.request.received = taken as u32;
    story.pool = Some(pool);
    Reading::Forward { taken }
}

/// Whether the connection may stay after an answer of our own: what comes next on it is surely another request.
fn may_stay(desk: &Desk, head: &RequestHead) -> bool {
    head.keep_alive
        && head.body.is_empty()
        && head.upgrade != Upgrade::WebSocket
        && !desk.draining.get()
}

/// The name of a protocol that is not WebSocket; empty when there is none, or the pool does not let it through any more.
pub(super) fn protocol(pool: &balance::Pool, switch: Option<Switch>) -> &[u8] {
    let protocols = &pool.settings.upgrade_protocols;
    match switch {
        Some(Switch::Other(index)) => protocols
            .get(usize::from(index))
            .map_or(b"", |name| name.as_bytes()),
        Some(Switch::WebSocket(_)) | None => b"",
    }
}

/// What the client's cookie says.
fn verdict(
    sticky: &sticky::Sticky,
    pool: &balance::Pool,
    client: &Client<'_>,
    (head, bytes): (&RequestHead, &[u8]),
    crumbs: &[Crumb],
    now_s: u64,
) -> sticky::Verdict {
    let values = crumbs.iter().map(|crumb| crumb.value.of(bytes));
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
    /// Of which nothing has been understood.
    pub(super) fn unread() -> Self {
        Self {
            facts: Facts {
                method: Method::Other,
                minor: 1,
                keep_alive: false,
                body: BodyLength::None,
                upgrade: None,
                opens_session: false,
            },
            held: Buffer::new(),
            head: 0,
            received: 0,
            texts: Texts::default(),
            route: None,
            wait: Duration::ZERO,
        }
    }

    /// Writes the head that goes on.
    fn write(
        &mut self,
        scratch: &mut Scratch,
        plan: &Plan,
        pool: &balance::Pool,
        client: &Client<'_>,
        (head, bytes): (&RequestHead, &[u8]),
        id: Option<&[u8; 32]>,
    ) {
        let settings = &pool.settings;
        let Scratch { edits, crumbs, .. } = scratch;
        if let Some(sticky) = &pool.sticky {
            hide_cookie(sticky, head, bytes, crumbs, edits);
        }
        let field = settings.forwarded_for.as_ref();
        let forwarded_for = field.filter(|field| {
            let address = client.address.map(|address| address.ip());
            address.is_some_and(|ip| !field.except.iter().any(|net| net.contains(ip)))
        });
        let edits = RequestEdits {
            connection: match self.facts.upgrade {
                Some(Switch::WebSocket(_)) => Connection::WebSocket,
                Some(Switch::Other(_)) => Connection::Upgrade,
                None => Connection::Kept,
            },
            protocol: protocol(pool, self.facts.upgrade),
            cookies: edits,
            trust_client: client.is_trusted(),
            forwarded_for: forwarded_for.map(|field| (field.header.as_bytes(), client.text)),
            untold: field
                .filter(|_| forwarded_for.is_none())
                .map(|field| field.header.as_bytes()),
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
        self.held
            .reserve(head.size + 2 * head.above_ascii + ADDED + changed);
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
fn hide_cookie(
    sticky: &sticky::Sticky,
    head: &RequestHead,
    bytes: &[u8],
    crumbs: &[Crumb],
    edits: &mut Vec<Edit>,
) {
    let Some(first) = crumbs.first() else {
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
