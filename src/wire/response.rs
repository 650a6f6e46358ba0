//! A response's head, read under the same rules as a request's: a server that breaks them is answered
//! for with 502, and nothing of what it said reaches the client.

use std::mem::MaybeUninit;

use super::Blame;
use super::head::{self, Sayings};
use super::{BodyLength, Fields, HeadLimits, Method, Progress, Refusal, Span, rules};

/// A response's head as offsets into the buffer it was read from. One value serves one response after the other.
#[derive(Debug, Default)]
pub struct ResponseHead {
    /// 100 to 999.
    pub status: u16,
    /// The reason phrase; often empty.
    pub reason: Span,
    /// `HTTP/1.` this: 0 or 1.
    pub minor: u8,
    /// The server keeps the connection, as far as the fields say; a body until close ends it in any case
    /// ([`ResponseHead::body`]).
    pub keep_alive: bool,
    /// Bytes of the head in the buffer: what to consume.
    pub size: usize,
    /// The field lines.
    pub fields: Fields,
    /// There is a transfer coding where there can be no body: it is not passed on, and neither is the connection used again
    /// ([`rules::ignores_coding`]).
    pub(super) idle_coding: bool,
    /// What the fields alone say of the body.
    pub(super) framing: BodyLength,
    /// `Connection` lists `upgrade`.
    pub(super) connection_upgrade: bool,
}

impl ResponseHead {
    /// With room for `limits.fields`, so that parsing never allocates.
    pub fn new(limits: &HeadLimits) -> Self {
        Self {
            fields: Fields::with_capacity(limits.fields),
            ..Self::default()
        }
    }

    /// Reads the head that begins at `buf[0]`. Of a head that arrives in pieces, `seen` is how many
    /// bytes `buf` had when the last call said [`Progress::Partial`] (0 the first time).
    pub fn parse(
        &mut self,
        buf: &[u8],
        seen: usize,
        limits: &HeadLimits,
    ) -> Result<Progress, Refusal> {
        let window = &buf[..buf.len().min(limits.size)];
        rules::status_line_start(window)?;
        if !head::is_worth_splitting(window, 0, seen, limits) {
            return not_yet(window, seen, limits);
        }
        let mut lines: head::Lines<'_> = [const { MaybeUninit::uninit() }; HeadLimits::MOST_FIELDS];
        let room = limits.fields.min(HeadLimits::MOST_FIELDS);
        let mut raw = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        match config.parse_response_with_uninit_headers(&mut raw, window, &mut lines[..room]) {
            Ok(httparse::Status::Partial) => not_yet(window, seen, limits),
            Ok(httparse::Status::Complete(size)) => {
                self.read(&window[..size], &raw)?;
                Ok(Progress::Complete)
            }
            Err(error) => Err(rules::raw(error, window)),
        }
    }

    fn read(&mut self, buf: &[u8], raw: &httparse::Response<'_, '_>) -> Result<(), Refusal> {
        let (Some(status), Some(minor)) = (raw.code, raw.version) else {
            return Err(Refusal::BadStatusLine);
        };
        head::check_line_ends(buf, raw.headers)?;
        self.size = buf.len();
        self.status = rules::status(status)?;
        self.minor = minor;
        self.reason = rules::reason(buf);
        let sayings = Sayings::read(buf, raw.headers, &mut self.fields, Blame::Server)?;
        self.framing = sayings.framing.of_response(minor, status)?;
        self.idle_coding = self.framing == BodyLength::Chunked && rules::ignores_coding(status);
        self.keep_alive = sayings.keeps_alive(minor) && !self.idle_coding;
        self.connection_upgrade = sayings.upgrade;
        Ok(())
    }

    /// A response before the final one: 100 to 199 except 101.
    #[inline]
    pub fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// How the body ends, given the request's method (RFC 9112 section 6.3): none after HEAD, 1xx, 204 and
    /// 304.
    pub fn body(&self, request: Method) -> BodyLength {
        match rules::has_body(request, self.status) {
            true => self.framing,
            false => BodyLength::None,
        }
    }
}

/// A head that has not ended; a status line has no target that could be too long.
fn not_yet(window: &[u8], seen: usize, limits: &HeadLimits) -> Result<Progress, Refusal> {
    head::not_yet(window, 0, seen, limits).map_err(|refusal| match refusal {
        Refusal::TargetTooLong => Refusal::HeadTooLarge,
        other => other,
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::wire::properties;
    use proptest::prelude::*;

    const LIMITS: HeadLimits = HeadLimits {
        size: 1024,
        fields: 10,
    };

    fn parse(input: &[u8]) -> Result<ResponseHead, Refusal> {
        let mut head = ResponseHead::new(&LIMITS);
        match head.parse(input, 0, &LIMITS)? {
            Progress::Complete => Ok(head),
            Progress::Partial => panic!("partial: {}", input.escape_ascii()),
        }
    }

    fn with(line: &str, fields: &str) -> Result<ResponseHead, Refusal> {
        let fields = fields.replace('\n', "\r\n");
        parse(format!("{line}\r\n{fields}\r\n").as_bytes())
    }

    #[test]
    fn an_ordinary_response() {
        let buf = b"HTTP/1.1 200 Very OK\r\nContent-Length: 4\r\nSet-Cookie: a=b\r\n\r\nbody";
        let head = parse(buf).unwrap();
        assert_eq!(
            (head.status, head.minor, head.reason.of(buf)),
            (200, 1, &b"Very OK"[..])
        );
        assert_eq!(head.body(Method::Get), BodyLength::Length(4));
        assert_eq!(head.body(Method::Head), BodyLength::None);
        assert!(head.keep_alive && !head.is_interim());
        assert_eq!(head.size, buf.len() - 4);
        for (line, reason) in [
            ("HTTP/1.1 200 ", ""),
            ("HTTP/1.1 200", ""),
            ("HTTP/1.0 999 x", "x"),
            ("HTTP/1.1 404 \u{e9}", "\u{e9}"),
        ] {
            let buf = format!("{line}\r\n\r\n");
            let head = parse(buf.as_bytes()).unwrap();
            assert_eq!(head.reason.of(buf.as_bytes()), reason.as_bytes(), "{line}");
        }
    }

    #[test]
    fn bodies() {
        use BodyLength::*;
        let table = [
            ("HTTP/1.1 200 OK", "", UntilClose),
            ("HTTP/1.0 200 OK", "", UntilClose),
            ("HTTP/1.0 200 OK", "Content-Length: 3\n", Length(3)),
            ("HTTP/1.1 200 OK", "Transfer-Encoding: chunked\n", Chunked),
            ("HTTP/1.1 204 No", "", None),
            ("HTTP/1.1 204 No", "Content-Length: 3\n", None),
            ("HTTP/1.1 304 No", "Content-Length: 3\n", None),
            ("HTTP/1.1 304 No", "Transfer-Encoding: chunked\n", None),
            ("HTTP/1.1 204 No", "Transfer-Encoding: chunked\n", None),
            ("HTTP/1.1 101 Go", "Transfer-Encoding: chunked\n", None),
            ("HTTP/1.1 100 Go", "", None),
            ("HTTP/1.1 101 Go", "", None),
        ];
        for (line, fields, body) in table {
            assert_eq!(
                with(line, fields).unwrap().body(Method::Post),
                body,
                "{line} {fields}"
            );
        }
        assert!(with("HTTP/1.1 103 Early", "").unwrap().is_interim());
        assert!(!with("HTTP/1.1 101 Go", "").unwrap().is_interim());
        assert!(!with("HTTP/1.0 200 OK", "").unwrap().keep_alive);
        assert!(
            with("HTTP/1.0 200 OK", "Connection: keep-alive\n")
                .unwrap()
                .keep_alive
        );
    }

    #[test]
    fn refused() {
        use Refusal::*;
        let table = [
            ("HTTP/1.1 20 OK", "", BadStatusLine),
            ("HTTP/1.1 2000 OK", "", BadStatusLine),
            ("HTTP/1.1 099 OK", "", BadStatusLine),
            ("HTTP/1.1  200 OK", "", BadStatusLine),
            ("HTTP/1.1 +20 OK", "", BadStatusLine),
            ("HTTP/1.1", "", BadVersion),
            ("HTTP/2.0 200 OK", "", BadVersion),
            ("HTTP/1.1 200 O\0K", "", BadStatusLine),
            ("ICY 200 OK", "", BadStatusLine),
            (" HTTP/1.1 200 OK", "", BadStatusLine),
            ("\r\nHTTP/1.1 200 OK", "", BadStatusLine),
            ("<html>", "", BadStatusLine),
            ("HTTP/1.1 200 OK\n", "", BareLineEnd),
            ("HTTP/1.1 200 OK", "A: b\r\n c: d\n", FoldedField),
            ("HTTP/1.1 200 OK", "A : b\n", BadFieldName),
            (
                "HTTP/1.1 200 OK",
                "Content-Length: 1\nContent-Length: 1\n",
                LengthRepeated,
            ),
            (
                "HTTP/1.1 200 OK",
                "Content-Length: 1\nTransfer-Encoding: chunked\n",
                LengthAndCoding,
            ),
            ("HTTP/1.1 200 OK", "Content-Length: x\n", BadLength),
            ("HTTP/1.1 200 OK", "Transfer-Encoding: gzip\n", BadCoding),
            (
                "HTTP/1.0 200 OK",
                "Transfer-Encoding: chunked\n",
                CodingInOldVersion,
            ),
            (
                "HTTP/1.1 100 OK",
                "Transfer-Encoding: chunked\n",
                CodingWithoutBody,
            ),
            (
                "HTTP/1.1 103 OK",
                "Transfer-Encoding: chunked\n",
                CodingWithoutBody,
            ),
        ];
        for (line, fields, refusal) in table {
            let input = format!(
                "{line}\r\n{}\r\n",
                fields.replace('\n', "\r\n").replace("\r\r\n", "\r\n")
            );
            assert_eq!(
                parse(input.as_bytes()).err(),
                Some(refusal),
                "{line} {fields}"
            );
        }
        assert!(
            with("HTTP/1.1 200 OK", "content_length: 5\n").is_ok(),
            "only requests are held to that"
        );
        let long = format!("HTTP/1.1 200 OK\r\nA: {}", "x".repeat(2000));
        let mut head = ResponseHead::new(&LIMITS);
        assert_eq!(head.parse(long.as_bytes(), 0, &LIMITS), Err(HeadTooLarge));
    }

    proptest! {
        #[test]
        fn splitting_changes_nothing(
            words in proptest::collection::vec(proptest::sample::select(vec![
                "HTTP/1.1 200 OK", "HTTP/1.0 304", " ", "\r\n", "\r\n", "\r\n", "\r\n\r\n", "\n", "\r", "Content-Length: 5",
                "Transfer-Encoding: chunked", "Connection: close", "A: b", ":", "\0", "\u{e9}",
            ]), 0..12),
            cut in 0_usize..200,
        ) {
            properties::response_head(words.concat().as_bytes(), cut);
            properties::response_head(format!("HTTP/1.1 200 \r\n{}", words.concat()).as_bytes(), cut);
        }

        #[test]
        fn any_bytes(input: Vec<u8>, cut in 0_usize..100) {
            properties::response_head(&input, cut);
        }
    }
}
