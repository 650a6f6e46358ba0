use super::lines::Lines;
use super::{Changes, Connection, Edit};
use crate::wire::request::{RequestHead, TargetForm};
use crate::wire::text::push_percent_encoded;
use crate::wire::{BodyLength, Field, Known, rules};

/// How a request's head differs from what the client sent. `Default` is a head with nothing added.
#[derive(Debug, Clone, Copy)]
pub struct RequestEdits<'a> {
    /// Towards the server: `Kept`, `Close`, `WebSocket` or `Upgrade`.
    pub connection: Connection,
    /// What the last of them upgrades to.
    pub protocol: &'a [u8],
    /// `Host` for an HTTP/1.0 request that has none; empty leaves the value empty.
    pub host: &'a [u8],
    /// Changes to `Cookie` fields ([`crate::wire::cookie::strip`]), in order.
    pub cookies: &'a [Edit],
    /// What a [`Edit::Put`] puts.
    pub text: &'a [u8],
    /// Keep what the client says in `X-Forwarded-…` and `Forwarded`; false for a client that is not
    /// trusted.
    pub trust_client: bool,
    /// The field that carries the client's address, and the address as text: appended to what a trusted client sent in it, in
    /// one line, since many servers read only the first or the last line of a name.
    pub forwarded_for: Option<(&'a [u8], &'a [u8])>,
    /// The name of that field where no address is told: a client that is not trusted does not speak in it either.
    pub untold: Option<&'a [u8]>,
    /// `X-Forwarded-Proto`: `http` or `https`.
    pub forwarded_proto: Option<&'a [u8]>,
    /// `Forwarded` (RFC 7239): the client's address (quoted here if need be; empty is `unknown`) and the
    /// protocol.
    pub forwarded: Option<(&'a [u8], &'a [u8])>,
    /// `Via: 1.x` this name.
    pub via: Option<&'a [u8]>,
    /// Name and value of the request id; what the client sent under that name is replaced.
    pub request_id: Option<(&'a [u8], &'a [u8])>,
    /// What the route changes; it has the last word, also on what is added here.
    pub changes: Option<&'a Changes>,
    /// `Accept-Encoding: identity`, whatever the client accepts.
    pub uncoded: bool,
}

impl Default for RequestEdits<'_> {
    fn default() -> Self {
        Self {
            connection: Connection::Kept,
            protocol: b"",
            host: b"",
            cookies: &[],
            text: b"",
            trust_client: false,
            forwarded_for: None,
            untold: None,
            forwarded_proto: None,
            forwarded: None,
            via: None,
            request_id: None,
            changes: None,
            uncoded: false,
        }
    }
}

/// Appends the head that the server gets, with its empty line.
pub fn write_request(head: &RequestHead, buf: &[u8], edits: &RequestEdits<'_>, out: &mut Vec<u8>) {
    let changed = edits.changes.map_or(0, |changes| changes.lines().len());
    out.reserve(head.size + 2 * head.above_ascii + ADDITIONS + changed);
    write_line(head, buf, out);
    let dropped = |known| {
        edits
            .changes
            .is_some_and(|changes| changes.drops_known(known))
    };
    let cookies = if dropped(Known::Cookie) {
        &[]
    } else {
        edits.cookies
    };
    let mut lines = Lines::new(buf, out, cookies, edits.text);
    // RFC 9112 section 3.2.2: an absolute target's authority becomes `Host`, which stands first.
    if let Some(host) = edits.changes.and_then(Changes::host) {
        lines.line(b"Host", host);
    } else if head.form == TargetForm::Absolute {
        lines.line(b"Host", head.authority.of(buf));
    } else if !head.fields.has(Known::Host) {
        lines.line(b"Host", edits.host);
    }
    for (at, field) in head.fields.iter().enumerate() {
        match field.known {
            _ if field.hop || is_replaced(field, buf, edits) => {}
            _ if edits.trust_client && is_continued(field, buf, edits) => {}
            _ if edits
                .changes
                .is_some_and(|changes| changes.drops_field(field, buf)) => {}
            Known::Cookie => lines.edited(at, field),
            Known::Host if head.form == TargetForm::Absolute => {}
            Known::Expect if head.minor == 0 => {}
            Known::ContentLength | Known::TransferEncoding => {}
            _ => lines.copy(field),
        }
    }
    // An empty body of a handshake has been received (RFC 6455 section 4.1 knows none), and is not passed on.
    if edits.connection != Connection::WebSocket {
        framing(head.body, &mut lines);
    }
    additions(head, buf, edits, &mut lines);
    if let Some(changes) = edits.changes {
        lines.ready(changes.lines());
    }
    if head.te_trailers {
        lines.line(b"TE", b"trailers");
    }
    lines.connection(edits.connection, edits.protocol, head.te_trailers);
    lines.end();
}

const ACCEPT_ENCODING: &[u8] = b"Accept-Encoding";

/// RFC 9112 section 3.2.1: servers are asked in origin form; section 3.2.4: `*` for OPTIONS without a path.
fn write_line(head: &RequestHead, buf: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(head.method_name.of(buf));
    out.push(b' ');
    match head.form {
        _ if head.above_ascii > 0 => {
            push_percent_encoded(out, head.path(buf));
            push_percent_encoded(out, head.query.of(buf));
        }
        TargetForm::Origin | TargetForm::Asterisk => out.extend_from_slice(head.target.of(buf)),
        TargetForm::Absolute => {
            out.extend_from_slice(head.path(buf));
            out.extend_from_slice(head.query.of(buf));
        }
    }
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// Fields that we speak for: what an untrusted client says in them must not be taken for ours.
fn is_replaced(field: &Field, buf: &[u8], edits: &RequestEdits<'_>) -> bool {
    let is_called = |name: &[u8]| rules::is_same_name(field.name.of(buf), name);
    match field.known {
        Known::Forwarded
        | Known::XForwardedFor
        | Known::XForwardedProto
        | Known::XForwardedHost
        | Known::XForwardedOther => !edits.trust_client,
        Known::Other => {
            edits.request_id.is_some_and(|(name, _)| is_called(name))
                || edits.uncoded && is_called(ACCEPT_ENCODING)
                || !edits.trust_client
                    && (edits.forwarded_for.is_some_and(|(name, _)| is_called(name))
                        || edits.untold.is_some_and(is_called))
        }
        _ => false,
    }
}

/// Fields of a trusted client that go on in one line with what is appended to them.
fn is_continued(field: &Field, buf: &[u8], edits: &RequestEdits<'_>) -> bool {
    match field.known {
        Known::Forwarded => edits.forwarded.is_some(),
        // Another field that the pool names (`X-Real-IP`) need not be a list.
        Known::XForwardedFor => edits
            .forwarded_for
            .is_some_and(|(name, _)| rules::is_same_name(field.name.of(buf), name)),
        _ => false,
    }
}

/// RFC 9112 section 6, in the one form that nobody reads otherwise.
fn framing(body: BodyLength, lines: &mut Lines<'_, '_>) {
    match body {
        BodyLength::Length(length) => {
            lines.line(
                b"Content-Length",
                itoa::Buffer::new().format(length).as_bytes(),
            );
        }
        BodyLength::Chunked => lines.line(b"Transfer-Encoding", b"chunked"),
        BodyLength::None | BodyLength::UntilClose => {}
    }
}

fn additions(head: &RequestHead, buf: &[u8], edits: &RequestEdits<'_>, lines: &mut Lines<'_, '_>) {
    let ours = |name: &[u8]| !edits.changes.is_some_and(|changes| changes.drops(name));
    if edits.uncoded && ours(ACCEPT_ENCODING) {
        lines.line(ACCEPT_ENCODING, b"identity");
    }
    if let Some((name, address)) = edits.forwarded_for.filter(|(name, _)| ours(name)) {
        let before = sent_before(head, buf, edits, Known::XForwardedFor);
        match rules::is_same_name(name, b"X-Forwarded-For") {
            true => lines.continued(name, before, &[address]),
            false => lines.line(name, address),
        }
    }
    let says_proto = edits.trust_client && head.fields.has(Known::XForwardedProto);
    let proto = edits.forwarded_proto.filter(|_| !says_proto);
    if let Some(proto) = proto.filter(|_| ours(b"X-Forwarded-Proto")) {
        lines.line(b"X-Forwarded-Proto", proto);
    }
    if let Some((address, proto)) = edits.forwarded.filter(|_| ours(b"Forwarded")) {
        let before = sent_before(head, buf, edits, Known::Forwarded);
        forwarded(before, address, proto, lines);
    }
    if let Some(name) = edits.via.filter(|_| ours(b"Via")) {
        via(head.minor, name, lines);
    }
    if let Some((name, value)) = edits.request_id {
        lines.line(name, value);
    }
}

/// The values that a trusted client sent under this name, in order.
fn sent_before<'b>(
    head: &'b RequestHead,
    buf: &'b [u8],
    edits: &RequestEdits<'_>,
    name: Known,
) -> impl Iterator<Item = &'b [u8]> {
    let fields = edits.trust_client.then(|| head.fields.iter());
    let named = fields
        .into_iter()
        .flatten()
        .filter(move |field| field.known == name);
    named.map(|field| field.value.of(buf))
}

/// RFC 7239 section 4; section 6: an IPv6 address stands in brackets and quotes.
fn forwarded<'b>(
    before: impl Iterator<Item = &'b [u8]>,
    address: &[u8],
    proto: &[u8],
    lines: &mut Lines<'_, '_>,
) {
    let (start, node, after): (&[u8], &[u8], &[u8]) = match address {
        [] => (b"for=", b"unknown", b";proto="),
        address if address.contains(&b':') => (b"for=\"[", address, b"]\";proto="),
        address => (b"for=", address, b";proto="),
    };
    lines.continued(b"Forwarded", before, &[start, node, after, proto]);
}

/// RFC 9110 section 7.6.3: the version that the message came in, and who received it.
pub(super) fn via(minor: u8, name: &[u8], lines: &mut Lines<'_, '_>) {
    let version: &[u8] = if minor == 0 { b"1.0 " } else { b"1.1 " };
    lines.parts(b"Via", &[version, name]);
}

/// Room for the lines that are usually added, so that a fresh buffer grows once.
const ADDITIONS: usize = 256;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::config::{HeaderChanges, Secret};
    use crate::wire::{HeadLimits, Progress, cookie};
    use proptest::prelude::*;

    /// What goes on of this request (its lines end in `\n` here), in the same notation.
    fn forwarded_as(input: &str, edits: &RequestEdits<'_>) -> String {
        let buf = input.replace('\n', "\r\n").into_bytes();
        let mut head = RequestHead::new(&HeadLimits::default());
        assert_eq!(
            head.parse(&buf, 0, &HeadLimits::default()),
            Ok(Progress::Complete),
            "{input}"
        );
        let mut out = Vec::new();
        write_request(&head, &buf, edits, &mut out);
        String::from_utf8(out).unwrap().replace("\r\n", "\n")
    }

    fn changes(set: &[(&str, &str)], add: &[(&str, &str)], remove: &[&str]) -> Changes {
        let fields = |fields: &[(&str, &str)]| {
            let field = |(name, value): &(&str, &str)| {
                ((*name).to_owned(), Secret(value.as_bytes().to_vec()))
            };
            fields.iter().map(field).collect()
        };
        Changes::new(&HeaderChanges {
            set: fields(set),
            add: fields(add),
            remove: remove.iter().map(|name| (*name).to_owned()).collect(),
        })
        .unwrap()
    }

    #[test]
    fn a_route_has_the_last_word() {
        let all = RequestEdits {
            forwarded_for: Some((b"X-Forwarded-For", b"10.0.0.1")),
            forwarded_proto: Some(b"http"),
            forwarded: Some((b"10.0.0.1", b"http")),
            via: Some(b"ringbolt"),
            request_id: Some((b"X-Request-Id", b"42")),
            ..RequestEdits::default()
        };
        let set = changes(
            &[("x-forwarded-proto", "https"), ("X-A", "new")],
            &[("X-B", "more")],
            &["Via", "forwarded", "X-C", "X-Forwarded-For"],
        );
        let input = "GET / HTTP/1.1\nHost: h\nx_a: old\nX-A: old\nX-B: one\nVia: x\nX-C: c\nX-Cc: c\nX-Forwarded-Proto: http\n\n";
        let edits = RequestEdits {
            changes: Some(&set),
            ..all
        };
        assert_eq!(
            forwarded_as(input, &edits),
            "GET / HTTP/1.1\nHost: h\nX-B: one\nX-Cc: c\nX-Request-Id: 42\nx-forwarded-proto: https\nX-A: new\nX-B: more\n\n"
        );

        let host = changes(&[("Host", "app:81")], &[], &[]);
        for input in [
            "GET / HTTP/1.1\nA: b\nHost: h\n\n",
            "GET http://h/ HTTP/1.1\nA: b\nHost: h\n\n",
            "GET / HTTP/1.0\nA: b\n\n",
        ] {
            let edits = RequestEdits {
                changes: Some(&host),
                ..RequestEdits::default()
            };
            let wanted = "GET / HTTP/1.1\nHost: app:81\nA: b\n\n";
            assert_eq!(forwarded_as(input, &edits), wanted, "{input}");
        }

        // The sticky cookie was to be cut out of a field that goes as a whole.
        let cookies = [Edit::Cut(crate::wire::Span::new(33, 37))];
        let cookie = changes(&[], &[], &["Cookie"]);
        let edits = RequestEdits {
            changes: Some(&cookie),
            cookies: &cookies,
            ..RequestEdits::default()
        };
        assert_eq!(
            forwarded_as(
                "GET / HTTP/1.1\nHost: h\nCookie: S=a; b=c\nA: b\n\n",
                &edits
            ),
            "GET / HTTP/1.1\nHost: h\nA: b\n\n"
        );
    }

    #[test]
    fn an_underscore_in_a_known_name_is_a_hyphen() {
        let set = changes(
            &[("Proxy_Authorization", "mine")],
            &[],
            &["X_Forwarded_For", "If_None_Match"],
        );
        let edits = RequestEdits {
            trust_client: true,
            forwarded_for: Some((b"X-Forwarded-For", b"10.0.0.1")),
            changes: Some(&set),
            ..RequestEdits::default()
        };
        let input = "GET / HTTP/1.1\nHost: h\nProxy-Authorization: theirs\nX-Forwarded-For: 6.6.6.6\nif-none-match: x\nA: b\n\n";
        assert_eq!(
            forwarded_as(input, &edits),
            "GET / HTTP/1.1\nHost: h\nA: b\nProxy-Authorization: mine\n\n"
        );
    }

    #[test]
    fn what_is_kept_and_what_ends_here() {
        let table = [
            (
                "GET /a?b HTTP/1.1\nHost: h\nA: b\n\n",
                "GET /a?b HTTP/1.1\nHost: h\nA: b\n\n",
            ),
            (
                "\nGET / HTTP/1.1\nhost:h\nA:\t b \t\nB:\nC: d\n\n",
                "GET / HTTP/1.1\nhost: h\nA: b\nB: \nC: d\n\n",
            ),
            (
                "GET / HTTP/1.1\nHost: h\nConnection: a, cookie, host\nA: 1\nCookie: x=y\nB: 2\n\n",
                "GET / HTTP/1.1\nHost: h\nCookie: x=y\nB: 2\n\n",
            ),
            (
                "GET / HTTP/1.1\nHost: h\nKeep-Alive: 5\nProxy-Connection: close\nUpgrade: h2c\nHTTP2-Settings: x\nConnection: Upgrade, HTTP2-Settings\n\n",
                "GET / HTTP/1.1\nHost: h\n\n",
            ),
            (
                "GET / HTTP/1.1\nHost: h\nTE: gzip, trailers\nConnection: TE\n\n",
                "GET / HTTP/1.1\nHost: h\nTE: trailers\nConnection: TE\n\n",
            ),
            (
                "GET / HTTP/1.1\nHost: h\nTE: gzip\n\n",
                "GET / HTTP/1.1\nHost: h\n\n",
            ),
            (
                "POST / HTTP/1.1\nHost: h\nExpect: 100-continue\nContent-Length: 005\nTrailer: x\n\n",
                "POST / HTTP/1.1\nHost: h\nExpect: 100-continue\nTrailer: x\nContent-Length: 5\n\n",
            ),
            (
                "POST / HTTP/1.1\nHost: h\nTransfer-Encoding:CHUNKED\n\n",
                "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n",
            ),
            (
                "POST / HTTP/1.1\nHost: h\nConnection: content-length, transfer-encoding\nContent-Length: 5\n\n",
                "POST / HTTP/1.1\nHost: h\nContent-Length: 5\n\n",
            ),
            (
                "GET http://H:80/p?q HTTP/1.1\nHost: h\nA: b\n\n",
                "GET /p?q HTTP/1.1\nHost: H:80\nA: b\n\n",
            ),
            (
                "GET http://h/?q HTTP/1.1\nHost: h\n\n",
                "GET /?q HTTP/1.1\nHost: h\n\n",
            ),
            ("GET http://h HTTP/1.0\n\n", "GET / HTTP/1.1\nHost: h\n\n"),
            (
                "OPTIONS http://h HTTP/1.1\nHost: h\n\n",
                "OPTIONS * HTTP/1.1\nHost: h\n\n",
            ),
            (
                "OPTIONS * HTTP/1.1\nHost: h\n\n",
                "OPTIONS * HTTP/1.1\nHost: h\n\n",
            ),
            (
                "GET / HTTP/1.0\nExpect: 100-continue\n\n",
                "GET / HTTP/1.1\nHost: server:1\n\n",
            ),
            (
                "GET / HTTP/1.1\nHost: h\nX-Forwarded-For: 6.6.6.6\nx-forwarded-port: 1\nForwarded: for=x\nVia: 1.0 a\n\n",
                "GET / HTTP/1.1\nHost: h\nVia: 1.0 a\n\n",
            ),
        ];
        let edits = RequestEdits {
            host: b"server:1",
            ..RequestEdits::default()
        };
        for (input, output) in table {
            assert_eq!(forwarded_as(input, &edits), output);
        }
    }

    #[test]
    fn what_a_trusted_client_sent_is_continued_in_one_line() {
        let edits = RequestEdits {
            trust_client: true,
            forwarded_for: Some((b"X-Forwarded-For", b"10.0.0.1")),
            forwarded: Some((b"10.0.0.1", b"http")),
            ..RequestEdits::default()
        };
        for (sent, goes_on) in [
            (
                "",
                "X-Forwarded-For: 10.0.0.1\nForwarded: for=10.0.0.1;proto=http\n",
            ),
            (
                "x-forwarded-for: 1.1.1.1\nA: b\n",
                "A: b\nX-Forwarded-For: 1.1.1.1, 10.0.0.1\nForwarded: for=10.0.0.1;proto=http\n",
            ),
            (
                "X-Forwarded-For: 1.1.1.1, 2.2.2.2\nX-Forwarded-For:\nX-Forwarded-For: 3.3.3.3\nForwarded: for=\"[::2]\"\n",
                "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 3.3.3.3, 10.0.0.1\nForwarded: for=\"[::2]\", for=10.0.0.1;proto=http\n",
            ),
        ] {
            let input = format!("GET / HTTP/1.1\nHost: h\n{sent}\n");
            let wanted = format!("GET / HTTP/1.1\nHost: h\n{goes_on}\n");
            assert_eq!(forwarded_as(&input, &edits), wanted);
        }
        // Where the pool adds nothing, it goes on as it came; and another field's name is no other than that field's.
        let input = "GET / HTTP/1.1\nHost: h\nX-Forwarded-For: 1.1.1.1\nX-Real-IP: 2.2.2.2\n\n";
        let silent = RequestEdits {
            forwarded_for: None,
            forwarded: None,
            ..edits
        };
        assert_eq!(forwarded_as(input, &silent), input);
        let real = RequestEdits {
            forwarded_for: Some((b"X-Real-IP", b"10.0.0.1")),
            forwarded: None,
            ..edits
        };
        assert_eq!(
            forwarded_as(input, &real),
            "GET / HTTP/1.1\nHost: h\nX-Forwarded-For: 1.1.1.1\nX-Real-IP: 2.2.2.2\nX-Real-IP: 10.0.0.1\n\n"
        );
    }

    #[test]
    fn what_is_added() {
        let edits = RequestEdits {
            forwarded_for: Some((b"X-Real-IP", b"10.0.0.1")),
            forwarded_proto: Some(b"http"),
            forwarded: Some((b"2001:db8::1", b"http")),
            via: Some(b"ringbolt"),
            request_id: Some((b"X-Request-Id", b"42")),
            connection: Connection::Close,
            ..RequestEdits::default()
        };
        let input = "GET / HTTP/1.0\nHost: h\nX-FORWARDED-PROTO: https\nx-real-ip: 6.6.6.6\nx-request-id: 41\nB: c\n\n";
        let ours = "X-Real-IP: 10.0.0.1\nX-Forwarded-Proto: http\nForwarded: for=\"[2001:db8::1]\";proto=http\nVia: 1.0 ringbolt\nX-Request-Id: 42\nConnection: close\n\n";
        assert_eq!(
            forwarded_as(input, &edits),
            format!("GET / HTTP/1.1\nHost: h\nB: c\n{ours}")
        );

        let edits = RequestEdits {
            trust_client: true,
            forwarded: Some((b"10.0.0.1", b"https")),
            request_id: None,
            via: None,
            ..edits
        };
        let theirs = "X-FORWARDED-PROTO: https\nx-real-ip: 6.6.6.6\nx-request-id: 41\nB: c\n";
        let ours =
            "X-Real-IP: 10.0.0.1\nForwarded: for=10.0.0.1;proto=https\nConnection: close\n\n";
        assert_eq!(
            forwarded_as(input, &edits),
            format!("GET / HTTP/1.1\nHost: h\n{theirs}{ours}")
        );

        let unknown = RequestEdits {
            forwarded: Some((b"", b"http")),
            ..RequestEdits::default()
        };
        assert!(forwarded_as(input, &unknown).contains("\nForwarded: for=unknown;proto=http\n"));
    }

    #[test]
    fn a_handshake_goes_on_whole() {
        let input = "GET /ws HTTP/1.1\nHost: h\nUpgrade: WebSocket\nConnection: keep-alive, Upgrade\nSec-WebSocket-Key: k\n\n";
        let edits = RequestEdits {
            connection: Connection::WebSocket,
            ..RequestEdits::default()
        };
        assert_eq!(
            forwarded_as(input, &edits),
            "GET /ws HTTP/1.1\nHost: h\nSec-WebSocket-Key: k\nConnection: Upgrade\nUpgrade: websocket\n\n"
        );
    }

    #[test]
    fn cookies_are_edited() {
        let table = [
            (
                "Cookie: a=1; SID=x; b=2\nA: b\n",
                "Cookie: a=1; b=2\nA: b\n",
            ),
            (
                "Cookie: SID=x\nA: b\nCookie: b=2; SID=y\n",
                "A: b\nCookie: b=2\n",
            ),
            (
                "Cookie: SID=x; a=1; SID=y; b=2; SID=z\nCookie: c=3\n",
                "Cookie: a=1; b=2\nCookie: c=3\n",
            ),
        ];
        for (fields, left) in table {
            let input = format!("GET / HTTP/1.1\nHost: h\n{fields}\n");
            let buf = input.replace('\n', "\r\n").into_bytes();
            let mut head = RequestHead::new(&HeadLimits::default());
            head.parse(&buf, 0, &HeadLimits::default()).unwrap();
            let mut cookies = Vec::new();
            cookie::strip(&head.fields, &buf, b"SID", &mut cookies);
            let edits = RequestEdits {
                cookies: &cookies,
                ..RequestEdits::default()
            };
            assert_eq!(
                forwarded_as(&input, &edits),
                format!("GET / HTTP/1.1\nHost: h\n{left}\n")
            );
        }
    }

    proptest! {
        /// What goes on reads as the same request, and goes on from the next hop unchanged.
        #[test]
        fn what_goes_on_is_settled(
            fields in proptest::collection::vec(("(A|B-c|Cookie|Connection|Via|TE|Upgrade|X-Forwarded-For)", "[a-z, \t=;]{0,12}"), 0..8),
            framing in proptest::sample::select(vec!["", "Content-Length: 07\n", "Transfer-Encoding: Chunked\n"]),
            target in proptest::sample::select(vec!["/", "/a?b", "http://h", "http://h/p?q"]),
        ) {
            let lines: String = fields.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
            let input = format!("POST {target} HTTP/1.1\nHost: h\n{lines}{framing}\n");
            let mut head = RequestHead::new(&HeadLimits::default());
            let buf = input.replace('\n', "\r\n").into_bytes();
            prop_assume!(head.parse(&buf, 0, &HeadLimits::default()).is_ok());
            let once = forwarded_as(&input, &RequestEdits::default());
            let mut next = RequestHead::new(&HeadLimits::default());
            let sent = once.replace('\n', "\r\n").into_bytes();
            prop_assert_eq!(next.parse(&sent, 0, &HeadLimits::default()), Ok(Progress::Complete));
            prop_assert_eq!(next.size, sent.len());
            prop_assert_eq!((next.body, next.path(&sent), next.query.of(&sent)), (head.body, head.path(&buf), head.query.of(&buf)));
            let twice = forwarded_as(&once, &RequestEdits::default());
            prop_assert_eq!(once, twice);
        }
    }
}
