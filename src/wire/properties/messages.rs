use super::passage::{End, Found, HeadFound, Passage};
use super::{LIMITS, Method, Span, Way, ways};
use crate::wire::forward::{
    Connection, RequestEdits, ResponseEdits, write_request, write_response,
};
use crate::wire::request::{RequestHead, Upgrade};
use crate::wire::response::ResponseHead;
use crate::wire::rules::Interims;
use crate::wire::text::push_percent_encoded;
use crate::wire::{
    Blame, BodyLength, Field, HeadLimits, Known, Progress, Refusal, lenient, place, rules,
    websocket,
};

/// For fuzz targets: [`requests`] within narrow limits, cut thrice.
pub fn request_head(input: &[u8], cut: usize) {
    requests(input, &LIMITS, ways(input.len(), cut));
}

/// For fuzz targets: [`responses`] within narrow limits, cut thrice.
pub fn response_head(input: &[u8], cut: usize) {
    for method in [Method::Get, Method::Head] {
        responses(input, method, &LIMITS, ways(input.len(), cut));
    }
}

/// What a client sends on one connection is the same requests in whatever pieces it comes: their heads, their
/// bodies, what goes on, and the refusal that ends it. Each head that goes on is read a second time: it frames
/// the same body, names each field of framing and routing once, and goes on from the next hop unchanged.
pub fn requests(input: &[u8], limits: &HeadLimits, ways: impl IntoIterator<Item = Way>) {
    let run = |way: &[usize]| {
        let mut head = RequestHead::new(limits);
        let read = |bytes: &[u8], seen: usize| match head.parse(bytes, seen, limits) {
            Ok(Progress::Partial) => Ok(None),
            Ok(Progress::Complete) => Ok(Some(request(&head, bytes))),
            Err(refusal) => {
                assert!(place::of_request(bytes, refusal, limits) <= bytes.len());
                Err(refusal)
            }
        };
        Passage::new(read, *limits, Blame::Client).run(input, way)
    };
    alike(input, run, ways);
}

/// The same for what a server sends on one connection, where each answers a request of that method.
pub fn responses(
    input: &[u8],
    method: Method,
    limits: &HeadLimits,
    ways: impl IntoIterator<Item = Way>,
) {
    let run = |way: &[usize]| {
        let (mut head, mut interims) = (ResponseHead::new(limits), Interims::default());
        let read = |bytes: &[u8], seen: usize| match head.parse(bytes, seen, limits) {
            Ok(Progress::Partial) => Ok(None),
            Err(refusal) => {
                assert!(place::of_response(bytes, refusal, limits) <= bytes.len());
                Err(refusal)
            }
            Ok(Progress::Complete) => {
                if head.is_interim() {
                    interims.next(head.size, 0)?;
                } else {
                    interims = Interims::default();
                }
                Ok(Some(response(&head, bytes, method)))
            }
        };
        Passage::new(read, *limits, Blame::Server).run(input, way)
    };
    alike(input, run, ways);
}

/// Every way comes to what the whole comes to. Three differences are none. Before a refusal in a body, more or less of
/// it has gone on, depending on the pieces. Of a head without an end, a fault in its middle may not have
/// been looked for yet. And of a head with several faults, a bare LF is named as soon as it comes.
fn alike(input: &[u8], run: impl Fn(&[usize]) -> Found, ways: impl IntoIterator<Item = Way>) {
    let whole = run(&[input.len()]);
    for way in ways {
        let cut = run(&way);
        let shown = || format!("in {way:?}: {}", input.escape_ascii());
        match (whole.end, cut.end) {
            (End::Refused(_), End::InHead) => {
                let mut rest = &cut.rest[..];
                while let Some(behind) = rest.strip_prefix(b"\r\n") {
                    rest = behind;
                }
                assert!(
                    memchr::memmem::find(rest, b"\r\n\r\n").is_none(),
                    "{}",
                    shown()
                );
            }
            (End::Refused(one), End::Refused(other)) => {
                let is_early = [one, other].contains(&Refusal::BareLineEnd);
                assert!(one == other || is_early, "{one}, {other} {}", shown());
            }
            (whole, cut) => assert_eq!(whole, cut, "{}", shown()),
        }
        assert_eq!(whole.heads, cut.heads, "{}", shown());
        if whole.end == cut.end && !matches!(whole.end, End::Refused(_)) {
            assert_eq!(
                (&whole.out, &whole.payload),
                (&cut.out, &cut.payload),
                "{}",
                shown()
            );
        } else {
            assert!(
                agree(&whole.out, &cut.out) && agree(&whole.payload, &cut.payload),
                "{}",
                shown()
            );
        }
    }
}

/// Whether one is the beginning of the other.
fn agree(one: &[u8], other: &[u8]) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

fn request(head: &RequestHead, bytes: &[u8]) -> HeadFound {
    let buf = &bytes[..head.size];
    assert!(head.body != BodyLength::UntilClose && buf.ends_with(b"\r\n\r\n"));
    for span in [head.method_name, head.authority, head.host] {
        assert!(span.of(buf).is_ascii());
    }
    let above = |span: Span| {
        let bytes = span.of(buf);
        assert!(std::str::from_utf8(bytes).is_ok());
        bytes.iter().filter(|byte| !byte.is_ascii()).count()
    };
    assert_eq!(above(head.target), head.above_ascii);
    assert_eq!(above(head.path_span) + above(head.query), head.above_ascii);
    check_fields(&head.fields, buf);
    let is_handshake =
        head.upgrade == Upgrade::WebSocket && websocket::check_request(head, buf).is_ok();
    let mut forwarded = Vec::new();
    let connection = if is_handshake {
        Connection::WebSocket
    } else {
        Connection::Kept
    };
    let plain = RequestEdits {
        connection,
        host: b"server:1",
        ..RequestEdits::default()
    };
    write_request(head, buf, &plain, &mut forwarded);
    check_request(head, buf, &forwarded, is_handshake);
    let mut again = RequestHead::new(&WIDE);
    let mut twice = Vec::new();
    assert_eq!(again.parse(&forwarded, 0, &WIDE), Ok(Progress::Complete));
    write_request(&again, &forwarded, &plain, &mut twice);
    assert_eq!(forwarded, twice, "{}", buf.escape_ascii());
    // Everything that we have to say, and the connection's end.
    let mut all = Vec::new();
    write_request(head, buf, &EVERYTHING, &mut all);
    check_request(head, buf, &all, false);
    HeadFound {
        size: head.size,
        body: head.body,
        meaning: format!("{head:?}"),
        forwarded,
        last: is_handshake,
    }
}

/// What goes on frames and routes as what came, in the one form that nobody reads otherwise.
fn check_request(head: &RequestHead, buf: &[u8], forwarded: &[u8], is_handshake: bool) {
    let mut again = RequestHead::new(&WIDE);
    let end = again.parse(forwarded, 0, &WIDE);
    let shown = || format!("{} became {}", buf.escape_ascii(), forwarded.escape_ascii());
    assert_eq!(end, Ok(Progress::Complete), "{}", shown());
    assert_eq!(
        (again.size, again.minor),
        (forwarded.len(), 1),
        "{}",
        shown()
    );
    // An empty body of a handshake is taken with its head.
    let body = match is_handshake {
        true => BodyLength::None,
        false => head.body,
    };
    assert_eq!(again.body, body, "{}", shown());
    assert_eq!(
        again.method_name.of(forwarded),
        head.method_name.of(buf),
        "{}",
        shown()
    );
    // An empty `Host` stays so.
    let host: &[u8] = match head.host.of(buf) {
        b"" if !head.fields.has(Known::Host) => b"server",
        host => host,
    };
    assert_eq!(again.host.of(forwarded), host, "{}", shown());
    let encoded = |bytes: &[u8]| {
        let mut out = Vec::new();
        push_percent_encoded(&mut out, bytes);
        out
    };
    assert!(again.target.of(forwarded).is_ascii(), "{}", shown());
    assert_eq!(
        again.path(forwarded),
        encoded(head.path(buf)),
        "{}",
        shown()
    );
    assert_eq!(
        again.query.of(forwarded),
        encoded(head.query.of(buf)),
        "{}",
        shown()
    );
    check_framing(&again.fields, forwarded, is_handshake);
    let hosts = again
        .fields
        .iter()
        .filter(|field| field.known == Known::Host);
    assert_eq!(hosts.count(), 1, "{}", shown());
}

fn response(head: &ResponseHead, bytes: &[u8], method: Method) -> HeadFound {
    let buf = &bytes[..head.size];
    assert!(head.status >= 100 && buf.ends_with(b"\r\n\r\n"));
    assert!(!head.reason.of(buf).contains(&b'\n'));
    check_fields(&head.fields, buf);
    let mut forwarded = Vec::new();
    write_response(head, buf, &ResponseEdits::default(), &mut forwarded);
    let shown = || format!("{} became {}", buf.escape_ascii(), forwarded.escape_ascii());
    let mut again = ResponseHead::new(&WIDE);
    let end = again.parse(&forwarded, 0, &WIDE);
    assert_eq!(end, Ok(Progress::Complete), "{}", shown());
    assert_eq!(
        (again.size, again.status),
        (forwarded.len(), head.status),
        "{}",
        shown()
    );
    assert_eq!(again.body(method), head.body(method), "{}", shown());
    check_framing(&again.fields, &forwarded, false);
    let mut twice = Vec::new();
    write_response(&again, &forwarded, &ResponseEdits::default(), &mut twice);
    assert_eq!(forwarded, twice, "{}", buf.escape_ascii());
    HeadFound {
        size: head.size,
        body: head.body(method),
        meaning: format!("{head:?}"),
        forwarded,
        last: head.status == 101,
    }
}

/// At most one field that frames, in its canonical form, and none that ends at a hop but our own.
fn check_framing(fields: &[Field], buf: &[u8], is_handshake: bool) {
    let mut framing = 0;
    for field in fields {
        let value = field.value.of(buf);
        match field.known {
            Known::ContentLength => {
                framing += 1;
                assert!(value.iter().all(u8::is_ascii_digit));
            }
            Known::TransferEncoding => {
                framing += 1;
                assert_eq!(value, b"chunked");
            }
            Known::Connection => {
                let ours: [&[u8]; 5] = [b"close", b"keep-alive", b"Upgrade", b"TE", b"close, TE"];
                assert!(
                    ours.contains(&value) || value == b"Upgrade, TE",
                    "{}",
                    value.escape_ascii()
                );
            }
            Known::Upgrade => assert!(is_handshake && value == b"websocket"),
            Known::Te => assert_eq!(value, b"trailers"),
            Known::KeepAlive | Known::ProxyConnection | Known::Http2Settings => {
                panic!("{field:?} is passed on")
            }
            _ => {}
        }
    }
    assert!(framing <= 1, "{}", buf.escape_ascii());
}

/// No field reaches over a line's end, and names are tokens.
fn check_fields(fields: &[Field], head: &[u8]) {
    for field in fields {
        let (name, value) = (field.name.of(head), field.value.of(head));
        assert!(rules::is_token(name));
        assert!(value.iter().all(|byte| rules::is_value_byte(*byte)));
        assert!(field.name.end < field.value.end || field.value.is_empty());
    }
}

/// For heads that have grown on their way.
const WIDE: HeadLimits = HeadLimits {
    size: 128 * 1024,
    fields: HeadLimits::MOST_FIELDS,
};

const EVERYTHING: RequestEdits<'_> = RequestEdits {
    connection: Connection::Close,
    protocol: b"",
    host: b"server:1",
    cookies: &[],
    text: b"",
    trust_client: false,
    forwarded_for: Some((b"X-Forwarded-For", b"10.0.0.1")),
    untold: None,
    forwarded_proto: Some(b"http"),
    forwarded: Some((b"2001:db8::1", b"http")),
    via: Some(b"ringbolt"),
    request_id: Some((b"X-Request-Id", b"42")),
    changes: None,
    uncoded: true,
};

/// A response's head in the form that old servers give it is rewritten into one that the strict reader takes for what it
/// would be to a lenient one: the same status and, but for the lengths that repeat one another, the same fields. It is found as
/// soon as its empty line has come, however it is cut, and one that is strict already is not changed in its meaning.
pub fn lenient_head(input: &[u8], cut: usize) {
    let rewrite = |bytes: &[u8]| {
        let mut out = Vec::new();
        lenient::strict_head(bytes, &LIMITS, &mut out).map(|size| (size, out))
    };
    let whole = rewrite(input);
    for way in ways(input.len(), cut) {
        let end = way.iter().find_map(|size| match rewrite(&input[..*size]) {
            Ok((None, _)) => None,
            end => Some(end),
        });
        let end = end.unwrap_or(Ok((None, Vec::new())));
        assert_eq!(end, whole, "in {way:?}: {}", input.escape_ascii());
    }
    let Ok((Some(size), strict)) = whole else {
        return;
    };
    let shown = || format!("{} became {}", input.escape_ascii(), strict.escape_ascii());
    assert!(strict.ends_with(b"\r\n\r\n"), "{}", shown());
    assert!(rules::bare_line_end(&strict, 0).is_ok(), "{}", shown());
    let lines = strict.windows(3).filter(|three| three.starts_with(b"\r\n"));
    let mut starts = lines.map(|three| three[2]);
    assert!(
        !starts.any(|byte| matches!(byte, b' ' | b'\t')),
        "{}",
        shown()
    );
    let mut head = ResponseHead::new(&WIDE);
    if head.parse(&strict, 0, &WIDE) != Ok(Progress::Complete) {
        return;
    }
    assert_eq!(head.size, strict.len(), "{}", shown());
    response(&head, &strict, Method::Get);
    let mut before = ResponseHead::new(&WIDE);
    if before.parse(&input[..size], 0, &WIDE) == Ok(Progress::Complete) {
        assert_eq!(strict, &input[..size], "{}", shown());
    }
}
