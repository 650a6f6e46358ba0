use super::lines::Lines;
use super::request::via;
use super::{Changes, Connection, Edit};
use crate::wire::response::ResponseHead;
use crate::wire::text::push_decimal;
use crate::wire::{Known, rules};

/// How the body goes on to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// As the server framed it.
    AsReceived,
    /// The connection's end is its end: chunks taken off, for an HTTP/1.0 client. With [`Connection::Close`].
    UntilClose,
}

/// How a response's head differs from what the server sent. `Default` is a head with nothing added.
#[derive(Debug, Clone, Copy)]
pub struct ResponseEdits<'a> {
    /// Towards the client. An interim response says nothing in any case.
    pub connection: Connection,
    /// What [`Connection::Upgrade`] upgrades to.
    pub protocol: &'a [u8],
    /// How the body goes on.
    pub framing: Framing,
    /// Changes to `Set-Cookie` fields ([`crate::wire::cookie::set_cookies`]), in order.
    pub cookies: &'a [Edit],
    /// What a [`Edit::Put`] puts.
    pub text: &'a [u8],
    /// The value of a `Set-Cookie` to add.
    pub set_cookie: Option<&'a [u8]>,
    /// Add `Cache-Control: private`.
    pub cache_private: bool,
    /// `Via: 1.x` this name.
    pub via: Option<&'a [u8]>,
    /// What the route changes. An interim response goes on as it came, and our own cookie is put behind all of it.
    pub changes: Option<&'a Changes>,
}

impl Default for ResponseEdits<'_> {
    fn default() -> Self {
        Self {
            connection: Connection::Kept,
            protocol: b"",
            framing: Framing::AsReceived,
            cookies: &[],
            text: b"",
            set_cookie: None,
            cache_private: false,
            via: None,
            changes: None,
        }
    }
}

/// Appends the head that the client gets, with its empty line.
pub fn write_response(
    head: &ResponseHead,
    buf: &[u8],
    edits: &ResponseEdits<'_>,
    out: &mut Vec<u8>,
) {
    let changes = edits.changes.filter(|_| !head.is_interim());
    let changed = changes.map_or(0, |changes| changes.lines().len());
    out.reserve(head.size + ADDITIONS + changed);
    write_line(head, buf, out);
    let dropped = |known| changes.is_some_and(|changes| changes.drops_known(known));
    let cookies = if dropped(Known::SetCookie) {
        &[]
    } else {
        edits.cookies
    };
    let mut lines = Lines::new(buf, out, cookies, edits.text);
    for (at, field) in head.fields.iter().enumerate() {
        match field.known {
            _ if field.hop => {}
            _ if changes.is_some_and(|changes| changes.drops_field(field, buf)) => {}
            Known::SetCookie => lines.edited(at, field),
            Known::ContentLength if !rules::may_have_length(head.status) => {}
            Known::TransferEncoding | Known::Trailer if edits.framing == Framing::UntilClose => {}
            Known::TransferEncoding if rules::ignores_coding(head.status) => {}
            Known::TransferEncoding => lines.line(b"Transfer-Encoding", b"chunked"),
            _ => lines.copy(field),
        }
    }
    if let Some(name) = edits.via.filter(|_| !dropped(Known::Via)) {
        via(head.minor, name, &mut lines);
    }
    if let Some(changes) = changes {
        lines.ready(changes.lines());
    }
    if !head.is_interim() {
        if edits.cache_private {
            lines.line(b"Cache-Control", b"private");
        }
        if let Some(cookie) = edits.set_cookie {
            lines.line(b"Set-Cookie", cookie);
        }
        lines.connection(edits.connection, edits.protocol, false);
    }
    lines.end();
}

/// RFC 9112 section 4, in HTTP/1.1 whatever the server speaks (RFC 9110 section 6.2).
fn write_line(head: &ResponseHead, buf: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_decimal(out, head.status.into());
    out.push(b' ');
    out.extend_from_slice(head.reason.of(buf));
    out.extend_from_slice(b"\r\n");
}

/// Room for the lines that are usually added, so that a fresh buffer grows once.
const ADDITIONS: usize = 256;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::wire::{HeadLimits, Progress, Span, cookie};

    fn parse(input: &str) -> (ResponseHead, Vec<u8>) {
        let buf = input.replace('\n', "\r\n").into_bytes();
        let mut head = ResponseHead::new(&HeadLimits::default());
        assert_eq!(
            head.parse(&buf, 0, &HeadLimits::default()),
            Ok(Progress::Complete),
            "{input}"
        );
        (head, buf)
    }

    fn forwarded_as(input: &str, edits: &ResponseEdits<'_>) -> String {
        let (head, buf) = parse(input);
        let mut out = Vec::new();
        write_response(&head, &buf, edits, &mut out);
        String::from_utf8(out).unwrap().replace("\r\n", "\n")
    }

    #[test]
    fn what_is_kept_and_what_ends_here() {
        let table = [
            (
                "HTTP/1.1 200 OK\nA: b\nContent-Length: 3\n\n",
                "HTTP/1.1 200 OK\nA: b\nContent-Length: 3\n\n",
            ),
            ("HTTP/1.0 200\nA:b\n\n", "HTTP/1.1 200 \nA: b\n\n"),
            (
                "HTTP/1.1 200 OK\nConnection: close, a\nKeep-Alive: 5\nA: 1\nSet-Cookie: x\nUpgrade: h2c\n\n",
                "HTTP/1.1 200 OK\nSet-Cookie: x\n\n",
            ),
            (
                "HTTP/1.1 200 OK\nConnection: set-cookie\nSet-Cookie: x\n\n",
                "HTTP/1.1 200 OK\nSet-Cookie: x\n\n",
            ),
            (
                "HTTP/1.1 200 OK\ntransfer-encoding: Chunked\nTrailer: x\n\n",
                "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: x\n\n",
            ),
            (
                "HTTP/1.1 204 No Content\nContent-Length: 0\n\n",
                "HTTP/1.1 204 No Content\n\n",
            ),
            (
                "HTTP/1.1 304 Not Modified\nContent-Length: 9\n\n",
                "HTTP/1.1 304 Not Modified\nContent-Length: 9\n\n",
            ),
        ];
        for (input, output) in table {
            assert_eq!(forwarded_as(input, &ResponseEdits::default()), output);
        }
        let edits = ResponseEdits {
            framing: Framing::UntilClose,
            connection: Connection::Close,
            ..ResponseEdits::default()
        };
        let input = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: x\nA: b\n\n";
        assert_eq!(
            forwarded_as(input, &edits),
            "HTTP/1.1 200 OK\nA: b\nConnection: close\n\n"
        );
    }

    #[test]
    fn what_is_added() {
        let edits = ResponseEdits {
            connection: Connection::KeptExplicitly,
            set_cookie: Some(b"SID=a; path=/"),
            cache_private: true,
            via: Some(b"ringbolt"),
            ..ResponseEdits::default()
        };
        let ours = "Via: 1.1 ringbolt\nCache-Control: private\nSet-Cookie: SID=a; path=/\nConnection: keep-alive\n\n";
        assert_eq!(
            forwarded_as("HTTP/1.1 200 OK\nA: b\n\n", &edits),
            format!("HTTP/1.1 200 OK\nA: b\n{ours}")
        );
        let early = "HTTP/1.1 103 Early Hints\nLink: x\n";
        assert_eq!(
            forwarded_as(&format!("{early}\n"), &edits),
            format!("{early}Via: 1.1 ringbolt\n\n")
        );

        let edits = ResponseEdits {
            connection: Connection::WebSocket,
            via: None,
            cache_private: false,
            ..edits
        };
        let input = "HTTP/1.1 101 Switching\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: x\n\n";
        assert_eq!(
            forwarded_as(input, &edits),
            "HTTP/1.1 101 Switching\nSec-WebSocket-Accept: x\nSet-Cookie: SID=a; path=/\nConnection: Upgrade\nUpgrade: websocket\n\n"
        );
    }

    #[test]
    fn set_cookies_are_edited() {
        let input = "HTTP/1.1 200 OK\nSet-Cookie: SID=app; Path=/\nSet-Cookie: x=y\nSet-Cookie: SID=\"q\"\n\n";
        let (head, buf) = parse(input);
        let with = |edit: fn(cookie::SetCookie) -> Edit| {
            let cookies: Vec<_> = cookie::set_cookies(&head.fields, &buf, b"SID")
                .map(edit)
                .collect();
            let edits = ResponseEdits {
                cookies: &cookies,
                text: b"key~",
                ..ResponseEdits::default()
            };
            forwarded_as(input, &edits)
                .replace("HTTP/1.1 200 OK\nSet-Cookie: ", "")
                .replace("\nSet-Cookie: ", "|")
        };
        assert_eq!(
            with(|set| Edit::Put(set.value)),
            "SID=key~; Path=/|x=y|SID=key~\n\n"
        );
        let front = |set: cookie::SetCookie| {
            Edit::Put(Span {
                start: set.value.start,
                end: set.value.start,
            })
        };
        assert_eq!(with(front), "SID=key~app; Path=/|x=y|SID=key~\"q\"\n\n");
        assert_eq!(with(|set| Edit::Drop(set.field)), "x=y\n\n");
    }
}
