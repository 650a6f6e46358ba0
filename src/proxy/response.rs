//! A server's head → the head that the client gets: the one synchronous step between its last
//! byte and the first one sent.

use super::desk::Desk;
use super::flow::{Flow, is_worth_a_copy};
use super::refused::Refused;
use super::request::{self, ADDED, CAPTURES, Switch};
use super::session::Learning;
use super::story::Story;
use crate::balance::sticky::{self, Issue, Theirs};
use crate::config::Capture;
use crate::ring::Buffer;
use crate::wire::forward::{self, Changes, Connection, Edit, Framing, ResponseEdits, Trailers};
use crate::wire::response::ResponseHead;
use crate::wire::{Blame, BodyLength, HeadLimits, Progress, Refusal, Span, cookie, lenient, rules};

/// What a server's bytes lead to.
pub(super) enum Reading<'a> {
    /// More bytes are needed.
    Partial,
    /// A response before the final one: these bytes go to the client as they are put here.
    Interim { taken: usize, out: Buffer },
    /// The tunnel stands: the head is in the buffer, what follows `taken` is the server's first bytes.
    Switched { taken: usize, out: Buffer },
    /// The final response. Its head, and what of the body came along, wait in the flow.
    Final(Final<'a>),
}

/// A final response on its way.
pub(super) struct Final<'a> {
    pub(super) flow: Flow<'a>,
    pub(super) status: u16,
    /// Bytes that are taken from the buffer.
    pub(super) taken: usize,
    /// So many of these, the last ones, are part of the body and do not wait in the flow: they are sent from where they lie.
    pub(super) beside: usize,
    /// The client's connection stays.
    pub(super) keep_client: bool,
    /// The server's connection stays, as far as this head goes.
    pub(super) keep_server: bool,
}

/// What the head that goes on depends on.
pub(super) struct Circumstances<'a, 'c> {
    pub(super) limits: &'a HeadLimits,
    /// The request has been sent to its end.
    pub(super) request_sent: bool,
    pub(super) now_s: u64,
    pub(super) via: bool,
    /// The pool's servers are old ones: a lone LF ends a line of chunks too.
    pub(super) lenient: bool,
    /// What the route changes.
    pub(super) changes: Option<&'a Changes>,
    /// Whether the client asked for a tunnel and has sent bytes for it; asked only when it gets an ordinary answer instead:
    /// those bytes are never read as a request, its connection ends.
    pub(super) spoke_early: &'c dyn Fn() -> bool,
    /// Fields that go into the log line.
    pub(super) captures: &'c [Capture],
}

/// Reads the head at the front of `bytes`; `seen` bytes of it were looked at before.
pub(super) fn read<'a>(
    desk: &Desk,
    story: &mut Story,
    bytes: &[u8],
    seen: usize,
    circumstances: &Circumstances<'a, '_>,
) -> Result<Reading<'a>, Refusal> {
    let mut head = desk.response.borrow_mut();
    match head.parse(bytes, seen, circumstances.limits)? {
        Progress::Partial => Ok(Reading::Partial),
        Progress::Complete if head.is_interim() => Ok(interim(story, &head, bytes)),
        Progress::Complete if head.status == 101 => {
            switched(desk, story, &head, bytes, circumstances)
        }
        Progress::Complete => last(desk, story, &head, bytes, circumstances).map(Reading::Final),
    }
}

/// An HTTP/1.0 client does not know interim responses (RFC 9110 section 15.2).
fn interim(story: &Story, head: &ResponseHead, bytes: &[u8]) -> Reading<'static> {
    let mut out = Buffer::new();
    if story.request.facts.minor > 0 {
        out.reserve(head.size + ADDED);
        forward::write_response(head, bytes, &ResponseEdits::default(), out.tail());
    }
    Reading::Interim {
        taken: head.size,
        out,
    }
}

fn switched(
    desk: &Desk,
    story: &mut Story,
    head: &ResponseHead,
    bytes: &[u8],
    circumstances: &Circumstances<'_, '_>,
) -> Result<Reading<'static>, Refusal> {
    let connection = match story.request.facts.upgrade {
        Some(Switch::WebSocket(accept)) => {
            rules::switch(head, bytes, Some(&accept))?;
            Connection::WebSocket
        }
        // Only once the request has been sent whole: what follows it is the other protocol (RFC 9110 section 7.8).
        Some(other @ Switch::Other(_)) if circumstances.request_sent => {
            let pool = story.pool.as_ref();
            let name = pool.map_or(&b""[..], |pool| request::protocol(pool, Some(other)));
            rules::switch_to(head, bytes, name)?;
            Connection::Upgrade
        }
        Some(Switch::Other(_)) | None => return Err(Refusal::BadSwitch),
    };
    let mut out = Buffer::new();
    write(
        desk,
        story,
        head,
        bytes,
        circumstances,
        connection,
        Framing::AsReceived,
        &mut out,
    );
    Ok(Reading::Switched {
        taken: head.size,
        out,
    })
}

fn last<'a>(
    desk: &Desk,
    story: &mut Story,
    head: &ResponseHead,
    bytes: &[u8],
    circumstances: &Circumstances<'a, '_>,
) -> Result<Final<'a>, Refusal> {
    let facts = story.request.facts;
    let body = head.body(facts.method);
    let bare = body == BodyLength::Chunked && facts.minor == 0;
    let keep_client = facts.keep_alive
        && circumstances.request_sent
        && !(circumstances.spoke_early)()
        && !bare
        && body != BodyLength::UntilClose
        && !desk.draining.get();
    let connection = match (keep_client, facts.minor) {
        (false, _) => Connection::Close,
        (true, 0) => Connection::KeptExplicitly,
        (true, _) => Connection::Kept,
    };
    let framing = if bare {
        Framing::UntilClose
    } else {
        Framing::AsReceived
    };
    let mut flow = Flow::new(body, circumstances.limits, Blame::Server)
        .without(Trailers {
            changes: circumstances.changes,
            pool: None,
        })
        .behind(head.size);
    if bare {
        flow = flow.bare();
    }
    if circumstances.lenient {
        flow = flow.with_bare_lf();
    }
    write(
        desk,
        story,
        head,
        bytes,
        circumstances,
        connection,
        framing,
        &mut flow.waiting,
    );
    flow.learning = Learning::begin(story, head);
    let arrived = &bytes[head.size..];
    let beside = match !bare && !is_worth_a_copy(arrived) {
        true => flow.go_along(arrived),
        false => Ok(None),
    };
    let along = match beside {
        Ok(Some(along)) => Ok(along),
        Ok(None) => flow.take_along(arrived),
        Err(refusal) => Err(refusal),
    };
    let (beside, along) = match (beside, along) {
        (Ok(beside), Ok(along)) => (beside, along),
        (Err(refusal), _) | (_, Err(refusal)) => {
            story.refused = Refused::body(flow.position);
            return Err(refusal);
        }
    };
    Ok(Final {
        flow,
        status: head.status,
        taken: head.size + along,
        beside: beside.unwrap_or(0),
        keep_client,
        keep_server: head.keep_alive && body != BodyLength::UntilClose,
    })
}

/// The same bytes with the head at their front in the strict form, for a pool of old servers. `None` while it has no end.
///
/// # Errors
/// When it cannot have one.
#[cold]
pub(super) fn rewrite(bytes: &[u8], limits: &HeadLimits) -> Result<Option<Buffer>, Refusal> {
    let mut strict = Buffer::new();
    let size = lenient::strict_head(bytes, limits, strict.tail())?;
    Ok(size.map(|size| {
        strict.push(&bytes[size..]);
        strict
    }))
}

#[expect(clippy::too_many_arguments, reason = "one fact each")]
fn write(
    desk: &Desk,
    story: &mut Story,
    head: &ResponseHead,
    bytes: &[u8],
    circumstances: &Circumstances<'_, '_>,
    connection: Connection,
    framing: Framing,
    out: &mut Buffer,
) {
    capture(story, head, bytes, circumstances.captures);
    let mut scratch = desk.scratch.borrow_mut();
    let scratch = &mut *scratch;
    scratch.clear();
    let is_upgrade = connection == Connection::Upgrade;
    let pool = is_upgrade.then(|| story.pool.clone()).flatten();
    let mut edits = ResponseEdits {
        connection,
        protocol: pool.as_ref().map_or(&b""[..], |pool| {
            request::protocol(pool, story.request.facts.upgrade)
        }),
        framing,
        via: circumstances.via.then_some(b"ringbolt"),
        changes: circumstances.changes,
        ..ResponseEdits::default()
    };
    let sticky = story.pool.clone().zip(story.server);
    if let Some((pool, server)) = sticky
        && let Some(sticky) = &pool.sticky
    {
        // What the route removes is as if it had not been there.
        let changes = circumstances.changes;
        let theirs = !changes.is_some_and(|changes| changes.drops(b"Set-Cookie"))
            && cookie::set_cookies(&head.fields, bytes, sticky.name())
                .next()
                .is_some();
        let method = story.request.text(story.request.texts.method);
        let answer = sticky.answer(
            &story.verdict,
            server,
            method,
            head.status,
            theirs,
            false,
            circumstances.now_s,
        );
        story.cookie_response = answer.letter;
        if theirs {
            amend(
                sticky,
                &answer,
                head,
                bytes,
                &mut scratch.edits,
                &mut scratch.text,
            );
        }
        sticky.write(&answer, &mut scratch.line);
        edits.set_cookie = (answer.issue != Issue::Nothing).then_some(&scratch.line[..]);
        edits.cache_private =
            answer.private && storable(head, bytes, method, circumstances.changes);
        edits.cookies = &scratch.edits;
        edits.text = &scratch.text;
    }
    let changed = edits.changes.map_or(0, |changes| changes.lines().len());
    let put = scratch.edits.len() * scratch.text.len() + scratch.line.len() + changed;
    out.reserve(head.size + put + ADDED);
    forward::write_response(head, bytes, &edits, out.tail());
}

/// What becomes of the server's own cookie of our name.
fn amend(
    sticky: &sticky::Sticky,
    answer: &sticky::Answer,
    head: &ResponseHead,
    bytes: &[u8],
    edits: &mut Vec<Edit>,
    text: &mut Vec<u8>,
) {
    sticky.value(answer, text);
    for theirs in cookie::set_cookies(&head.fields, bytes, sticky.name()) {
        let start = theirs.value.from();
        match answer.theirs {
            Theirs::Leave => {}
            Theirs::Delete => edits.push(Edit::Drop(theirs.field)),
            Theirs::Replace => edits.push(Edit::Put(theirs.value)),
            Theirs::Prefix => edits.push(Edit::Put(Span::new(start, start))),
        }
    }
}

/// Whether a shared cache could store what the client is sent, which the route may have changed.
fn storable(head: &ResponseHead, bytes: &[u8], method: &[u8], changes: Option<&Changes>) -> bool {
    let mut storable = sticky::Storable::default();
    for field in head.fields.iter() {
        if !changes.is_some_and(|changes| changes.drops_field(field, bytes)) {
            storable.see(field.name.of(bytes), field.value.of(bytes));
        }
    }
    for (name, value) in changes.into_iter().flat_map(Changes::added) {
        storable.see(name, value);
    }
    storable.shared(method, head.status)
}

fn capture(story: &mut Story, head: &ResponseHead, bytes: &[u8], captures: &[Capture]) {
    for (index, capture) in captures.iter().take(CAPTURES).enumerate() {
        let value = head
            .fields
            .value(bytes, capture.header.as_bytes())
            .unwrap_or_default();
        story.response_captures[index] = story
            .request
            .keep(&value[..value.len().min(capture.length)]);
    }
}
