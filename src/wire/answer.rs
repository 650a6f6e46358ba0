//! Answers that the configuration has us give: pages, redirects, the monitor's. Unlike a [`reply`] to
//! what went wrong, such an answer may leave its connection open.

use std::sync::Arc;

use super::forward::{Changes, Connection};
use super::reply;
use super::request::RequestHead;
use super::text::{push_decimal, push_percent_encoded};
use crate::config::{Page, Piece, Redirect};

/// An answer whose bytes are known before any request, but for what it says of its connection.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// The status line and the fields, each with its end.
    head: Box<[u8]>,
    body: Arc<[u8]>,
}

impl Answer {
    /// An answer with this page as its body, and what is changed of its fields.
    pub fn new(status: u16, page: &Page, changes: Option<&Changes>) -> Self {
        let mut head = start(status);
        if may_have_body(status) {
            line(&mut head, b"Content-Type", page.kind.as_bytes(), changes);
            let length = itoa::Buffer::new().format(page.content.len()).to_owned();
            line(&mut head, b"Content-Length", length.as_bytes(), None);
        }
        head.extend_from_slice(changes.map_or(&b""[..], Changes::lines));
        Self {
            status,
            head: head.into(),
            body: page.content.clone(),
        }
    }

    /// A short text, not to be kept by any cache.
    pub fn short(status: u16, text: &str) -> Self {
        let page = Page {
            content: text.as_bytes().into(),
            kind: "text/plain".to_owned(),
        };
        Self::error(status, &page)
    }

    /// A page in place of our own words for what went wrong. With the fields that those have.
    pub fn error(status: u16, page: &Page) -> Self {
        let Self { head, body, .. } = Self::new(status, page, None);
        let mut head = head.into_vec();
        line(&mut head, b"Cache-Control", b"no-cache", None);
        if status == 426 {
            head.extend_from_slice(reply::WEBSOCKET_13.as_bytes());
        }
        Self {
            status,
            head: head.into(),
            body,
        }
    }

    /// Appends the head of an error, which ends its connection; perhaps with a `Retry-After` of so many seconds.
    pub fn write_error_head(&self, retry_after: Option<u32>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        if let Some(seconds) = retry_after {
            let seconds = itoa::Buffer::new().format(seconds).to_owned();
            line(out, b"Retry-After", seconds.as_bytes(), None);
        }
        end(Connection::Close, out);
    }

    /// Appends the head, with its empty line.
    pub fn write_head(&self, connection: Connection, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        end(connection, out);
    }

    /// Bytes that its head has at most.
    pub fn room(&self) -> usize {
        self.head.len() + END
    }

    /// The body. A request with HEAD gets none.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The same, to be held for as long as it is being sent.
    pub fn shared_body(&self) -> Arc<[u8]> {
        self.body.clone()
    }
}

/// Answers that name another address for what was asked (RFC 9110 section 15.4).
#[derive(Debug)]
pub struct Elsewhere {
    /// Its status.
    pub status: u16,
    /// The status line and the fields before `Location`.
    head: Box<[u8]>,
    /// Those after it.
    fields: Box<[u8]>,
    to: Vec<Piece>,
}

impl Elsewhere {
    /// As the settings say, and what is changed of its fields.
    pub fn new(redirect: &Redirect, changes: Option<&Changes>) -> Self {
        let mut head = start(redirect.code);
        line(&mut head, b"Content-Length", b"0", None);
        // The other two are for ever, and browsers take that word by word.
        if matches!(redirect.code, 302 | 303 | 307) {
            line(&mut head, b"Cache-Control", b"no-cache", changes);
        }
        Self {
            status: redirect.code,
            head: head.into(),
            fields: changes.map_or(&b""[..], Changes::lines).into(),
            to: redirect.to.clone(),
        }
    }

    /// Appends the head for a request, with its empty line; there is no body. False, and nothing, if the request lacks
    /// the host that the target needs (HTTP/1.0 may).
    ///
    /// The host and the target are what [`RequestHead::parse`] let pass: no space or control character is in them, nor
    /// anything in a host that could end it. Bytes above ASCII go into `Location` percent-encoded (RFC 3986 section 2.5).
    pub fn write(
        &self,
        request: &RequestHead,
        buf: &[u8],
        connection: Connection,
        out: &mut Vec<u8>,
    ) -> bool {
        let host = request.host.of(buf);
        if host.is_empty() && self.to.contains(&Piece::Host) {
            return false;
        }
        // `*` is no path, in either form of OPTIONS, and what follows a host begins with `/`.
        let path = match request.path(buf) {
            b"*" => b"/",
            path => path,
        };
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"Location: ");
        for piece in &self.to {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Host => out.extend_from_slice(host),
                Piece::Path => push_percent_encoded(out, path),
                Piece::Query => push_percent_encoded(out, request.query.of(buf)),
            }
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(&self.fields);
        end(connection, out);
        true
    }

    /// Bytes that an answer can have besides what it takes from the request, which is in there twice at most.
    pub fn room(&self) -> usize {
        let text = |piece: &Piece| match piece {
            Piece::Text(text) => text.len(),
            Piece::Host | Piece::Path | Piece::Query => 0,
        };
        let texts: usize = self.to.iter().map(text).sum();
        self.head.len() + self.fields.len() + texts + END
    }
}

/// Whether a response with this status may have a body (RFC 9110 section 6.4.1).
pub const fn may_have_body(status: u16) -> bool {
    !matches!(status, 100..=199 | 204 | 205 | 304)
}

fn start(status: u16) -> Vec<u8> {
    let mut head = b"HTTP/1.1 ".to_vec();
    push_decimal(&mut head, status.into());
    head.push(b' ');
    head.extend_from_slice(reason(status).as_bytes());
    head.extend_from_slice(b"\r\n");
    head
}

/// A line, unless it is changed.
fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8], changes: Option<&Changes>) {
    if changes.is_some_and(|changes| changes.drops(name)) {
        return;
    }
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// What an answer says of its connection, and its empty line.
fn end(connection: Connection, out: &mut Vec<u8>) {
    out.extend_from_slice(match connection {
        Connection::Kept => b"\r\n",
        Connection::KeptExplicitly => b"Connection: keep-alive\r\n\r\n",
        Connection::Close | Connection::WebSocket | Connection::Upgrade => {
            b"Connection: close\r\n\r\n"
        }
    });
}

/// The longest [`end`] and a `Location` without its value.
const END: usize = 48;

/// RFC 9110 section 15, for those that people use; a reason may be empty (RFC 9112 section 4).
const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        410 => "Gone",
        413 => "Content Too Large",
        414 => "URI Too Long",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::config::{HeaderChanges, Secret};
    use crate::wire::{BodyLength, HeadLimits, Method, response::ResponseHead};

    fn changes() -> Changes {
        let added = HeaderChanges {
            add: vec![("X-A".to_owned(), Secret(b"b".to_vec()))],
            ..HeaderChanges::default()
        };
        Changes::new(&added).unwrap()
    }

    fn read(bytes: &[u8]) -> ResponseHead {
        let mut head = ResponseHead::new(&HeadLimits::default());
        head.parse(bytes, 0, &HeadLimits::default()).unwrap();
        head
    }

    fn redirected(to: &[Piece], request: &str) -> Option<String> {
        let redirect = Redirect {
            code: 302,
            to: to.to_vec(),
        };
        let buf = request.replace('\n', "\r\n").into_bytes();
        let mut head = RequestHead::new(&HeadLimits::default());
        head.parse(&buf, 0, &HeadLimits::default()).unwrap();
        let mut out = Vec::new();
        let elsewhere = Elsewhere::new(&redirect, Some(&changes()));
        if !elsewhere.write(&head, &buf, Connection::Close, &mut out) {
            assert!(out.is_empty());
            return None;
        }
        assert!(out.len() <= elsewhere.room() + 2 * head.size);
        let answer = read(&out);
        assert_eq!(
            (answer.status, answer.body(Method::Get), answer.size),
            (302, BodyLength::Length(0), out.len())
        );
        assert_eq!(answer.fields.value(&out, b"x-a"), Some(&b"b"[..]));
        let location = answer.fields.value(&out, b"location").unwrap();
        Some(String::from_utf8(location.to_vec()).unwrap())
    }

    #[test]
    fn an_answer_is_a_sound_response() {
        let page = Page {
            content: b"hello"[..].into(),
            kind: "text/plain".into(),
        };
        for (status, length) in [(200, 5), (404, 5), (599, 5), (204, 0), (304, 0)] {
            for (connection, kept) in [
                (Connection::Kept, true),
                (Connection::KeptExplicitly, true),
                (Connection::Close, false),
            ] {
                let answer = Answer::new(status, &page, Some(&changes()));
                let mut out = Vec::new();
                answer.write_head(connection, &mut out);
                let head = read(&out);
                assert_eq!((head.status, head.size), (status, out.len()));
                assert_eq!(head.keep_alive, kept);
                let body = head.body(Method::Get);
                let wanted = if length > 0 {
                    BodyLength::Length(length)
                } else {
                    BodyLength::None
                };
                assert_eq!(body, wanted, "{status}");
            }
        }
        assert_eq!(Answer::short(200, "OK\n").body(), b"OK\n");
    }

    #[test]
    fn a_redirect_takes_what_it_names_of_the_request() {
        let text = |text: &str| Piece::Text(text.to_owned());
        let whole = [text("https://"), Piece::Host, Piece::Path, Piece::Query];
        let table = [
            (
                "GET /a/b?c=d HTTP/1.1\nHost: x.example:8080\n\n",
                Some("https://x.example/a/b?c=d"),
            ),
            (
                "GET http://Y.example HTTP/1.1\nHost: Y.example\n\n",
                Some("https://Y.example/"),
            ),
            (
                "OPTIONS * HTTP/1.1\nHost: x.example\n\n",
                Some("https://x.example/"),
            ),
            (
                "OPTIONS http://x.example HTTP/1.1\nHost: x.example\n\n",
                Some("https://x.example/"),
            ),
            (
                "GET //evil.example HTTP/1.1\nHost: x\n\n",
                Some("https://x//evil.example"),
            ),
            ("GET / HTTP/1.0\n\n", None),
            ("GET / HTTP/1.1\nHost: [::1]:80\n\n", Some("https://[::1]/")),
        ];
        for (request, location) in table {
            let found = redirected(&whole, request);
            assert_eq!(found.as_deref(), location, "{request}");
        }
        let fixed = [text("/new"), Piece::Path];
        assert_eq!(
            redirected(&fixed, "GET /a?b HTTP/1.0\n\n").as_deref(),
            Some("/new/a")
        );
    }
}
