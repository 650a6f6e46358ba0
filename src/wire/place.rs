//! Where in a refused head the fault is, for the log and for `ringbolt errors`.
//!
//! The parser reports what is wrong, not where: positions would cost every message. A refused head is therefore scanned once more
//! for the first place that breaks the rule. The place is the first wrong byte; of fields that contradict each other it is the
//! start of the later one; of what is missing, the empty line that ends the head without it.

use std::ops::Range;

use super::rules::{self, Framing};
use super::{Blame, HeadLimits, Known, Method, Refusal, Span};

/// The offset in `bytes`, which begin with a request's head that was refused for this reason.
#[cold]
pub fn of_request(bytes: &[u8], refusal: Refusal, limits: &HeadLimits) -> usize {
    Head::new(bytes, Blame::Client, limits).place(refusal)
}

/// The offset in `bytes`, which begin with a response's head that was refused for this reason.
#[cold]
pub fn of_response(bytes: &[u8], refusal: Refusal, limits: &HeadLimits) -> usize {
    Head::new(bytes, Blame::Server, limits).place(refusal)
}

/// A line with a name and a colon.
struct FieldLine {
    start: usize,
    colon: usize,
    /// Without the CRLF.
    end: usize,
}

struct Head<'b> {
    bytes: &'b [u8],
    limits: &'b HeadLimits,
    from: Blame,
    /// Where the start line is.
    start_line: Range<usize>,
    /// Where each further line is, without its end.
    lines: Vec<Range<usize>>,
    /// Where the empty line is, or where the bytes end.
    end: usize,
}

impl<'b> Head<'b> {
    fn new(bytes: &'b [u8], from: Blame, limits: &'b HeadLimits) -> Self {
        let bytes = &bytes[..bytes.len().min(limits.size)];
        let skipped = bytes
            .iter()
            .take_while(|byte| matches!(byte, b'\r' | b'\n'));
        let mut at = match from {
            Blame::Client => skipped.count(),
            Blame::Server => 0,
        };
        let (mut lines, mut end) = (Vec::new(), bytes.len());
        while at < bytes.len() {
            let feed = memchr::memchr(b'\n', &bytes[at..]).map(|feed| at + feed);
            let stop = feed.unwrap_or(bytes.len());
            let line = at..at + without_cr(&bytes[at..stop]).len();
            if line.is_empty() && !lines.is_empty() {
                end = at;
                break;
            }
            lines.push(line);
            at = feed.map_or(bytes.len(), |feed| feed + 1);
        }
        let start_line = match lines.is_empty() {
            true => 0..0,
            false => lines.remove(0),
        };
        Self {
            bytes,
            limits,
            from,
            start_line,
            lines,
            end,
        }
    }

    fn place(&self, refusal: Refusal) -> usize {
        let found = match refusal {
            Refusal::HeadTooLarge | Refusal::TrailersTooLarge => Some(self.bytes.len()),
            Refusal::TargetTooLong => match memchr::memchr(b'\n', self.bytes) {
                None => Some(self.bytes.len()),
                // It is too long once it is percent-encoded.
                Some(_) => Some(self.target().start),
            },
            Refusal::TooManyFields => self.lines.get(self.limits.fields).map(|line| line.start),
            Refusal::BadStart => Some(self.bad_start()),
            Refusal::BadRequestLine => Some(self.bad_request_line()),
            Refusal::BadStatusLine => Some(self.bad_status_line()),
            Refusal::BadMethod => self.bad_method(),
            Refusal::BadTarget => Some(self.bad_target()),
            Refusal::BadVersion => Some(self.bad_version()),
            Refusal::BareLineEnd => self.bare_line_end(),
            Refusal::BadFieldName => self.bad_field_name(),
            Refusal::FoldedField => {
                let is_blank = |line: &&Range<usize>| {
                    matches!(self.bytes[(*line).clone()], [b' ' | b'\t', ..])
                };
                self.lines.iter().find(is_blank).map(|line| line.start)
            }
            Refusal::BadFieldValue => self.bad_field_value(),
            Refusal::LookalikeField => {
                self.field(|field| rules::lookalike(self.name(field)).is_err())
            }
            Refusal::FieldRepeated => self.repeated(),
            Refusal::HostMissing => Some(self.end),
            Refusal::HostRepeated => self.nth(Known::Host, 1),
            Refusal::BadHost => self.bad_host(),
            Refusal::HostMismatch => self.nth(Known::Host, 0),
            Refusal::BadLength => self.bad_length(),
            Refusal::LengthRepeated | Refusal::LengthsDiffer => self
                .nth(Known::ContentLength, 1)
                .or_else(|| self.nth(Known::ContentLength, 0)),
            Refusal::LengthAndCoding => {
                let both = [Known::ContentLength, Known::TransferEncoding];
                both.into_iter()
                    .filter_map(|known| self.nth(known, 0))
                    .max()
            }
            Refusal::BadCoding | Refusal::UnknownCoding => self.bad_coding(),
            Refusal::CodingInOldVersion | Refusal::CodingWithoutBody => {
                self.nth(Known::TransferEncoding, 0)
            }
            Refusal::BodyNotExpected => self
                .nth(Known::TransferEncoding, 0)
                .or_else(|| self.nth(Known::ContentLength, 0)),
            Refusal::BadConnection => self.bad_connection(),
            // The status.
            Refusal::BadSwitch => Some(self.start_line.start + "HTTP/1.1 ".len()),
            Refusal::BadHandshake => Some(self.bad_handshake()),
            Refusal::WebSocketVersion => self
                .fields(Known::SecWebSocketVersion)
                .map(|field| self.value(&field).start)
                .next(),
            // These are not about a part of a head.
            Refusal::TlsOnPlainPort
            | Refusal::MethodNotImplemented
            | Refusal::TooManyInterims
            | Refusal::BadChunkSize
            | Refusal::BadChunkExtension
            | Refusal::BadChunkEnd
            | Refusal::BadTrailer
            | Refusal::ForbiddenTrailer
            | Refusal::BadProxyHeader => None,
        };
        found.unwrap_or(self.start_line.start).min(self.bytes.len())
    }

    // ---- the start line -------------------------------------------------------------------------

    fn bad_start(&self) -> usize {
        let pairs = self.bytes.chunks(2).take(rules::EMPTY_LINES);
        2 * pairs.take_while(|pair| *pair == b"\r\n").count()
    }

    /// The start line's parts, which single spaces separate; the last one has what is behind them.
    fn part(&self, number: usize) -> Range<usize> {
        let line = &self.bytes[self.start_line.clone()];
        let mut at = self.start_line.start;
        let mut parts = line.splitn(3, |byte| *byte == b' ').map(|part| {
            let start = at;
            at += part.len() + 1;
            start..start + part.len()
        });
        let end = self.start_line.end;
        parts.nth(number).unwrap_or(end..end)
    }

    fn target(&self) -> Range<usize> {
        self.part(1)
    }

    fn first_in(&self, range: Range<usize>, is_wrong: impl Fn(u8) -> bool) -> Option<usize> {
        let bytes = &self.bytes[range.clone()];
        let at = bytes.iter().position(|byte| is_wrong(*byte))?;
        Some(range.start + at)
    }

    fn bad_request_line(&self) -> usize {
        let [method, target, version] = [0, 1, 2].map(|number| self.part(number));
        let in_method = || self.first_in(method.clone(), |byte| !rules::is_token_byte(byte));
        let empty = |part: &Range<usize>| part.is_empty().then_some(part.start);
        let in_target = || {
            let control = self.first_in(target.clone(), |byte| byte <= b' ' || byte == 0x7f);
            let text = std::str::from_utf8(&self.bytes[target.clone()]);
            let other = text.err().map(|error| target.start + error.valid_up_to());
            control.into_iter().chain(other).min()
        };
        empty(&method)
            .or_else(in_method)
            .or_else(|| empty(&target))
            .or_else(in_target)
            .unwrap_or_else(|| version.start + mismatch(&self.bytes[version.clone()], b"HTTP/9.9"))
    }

    fn bad_status_line(&self) -> usize {
        let line = self.start_line.clone();
        let start = mismatch(&self.bytes[line.clone()], b"HTTP/9.9 199 ");
        if start < "HTTP/1.1 200".len() {
            return line.start + start;
        }
        let rest = line.start + start..line.end;
        self.first_in(rest, |byte| !rules::is_value_byte(byte))
            .unwrap_or(line.start + start)
    }

    fn bad_method(&self) -> Option<usize> {
        let is_good = |byte: u8| matches!(byte, b'A'..=b'Z' | b'-' | b'_');
        self.first_in(self.part(0), |byte| !is_good(byte))
    }

    fn bad_version(&self) -> usize {
        let version = match self.from {
            Blame::Client => self.part(2),
            Blame::Server => self.part(0),
        };
        version.start + mismatch(&self.bytes[version], b"HTTP/1.0")
    }

    fn bad_target(&self) -> usize {
        let target = self.target();
        let is_bad = |end: usize| {
            let span = Span::new(target.start, end);
            rules::target(self.bytes, span, Method::Options).is_err()
        };
        if let Some(at) = self.first_in(target.clone(), |byte| byte == b'#') {
            return at;
        }
        // The first segment of the path with which the target is wrong, and in it the escape that is. Halving, since a path may
        // have thousands of segments: what is wrong stays so with more behind it.
        let bytes = &self.bytes[target.clone()];
        let authority = memchr::memmem::find(bytes, b"://").map_or(0, |at| at + 3);
        let ends: Vec<usize> = memchr::memchr2_iter(b'/', b'?', &bytes[authority..])
            .map(|at| target.start + authority + at)
            .filter(|end| *end > target.start)
            .chain([target.end])
            .collect();
        let first = ends.partition_point(|end| !is_bad(*end));
        let (Some(end), Some(before)) = (ends.get(first), first.checked_sub(1)) else {
            return match first {
                0 => self
                    .first_escape(target.start, ends[0])
                    .unwrap_or(target.start),
                _ => target.start,
            };
        };
        self.first_escape(ends[before], *end)
            .unwrap_or(ends[before])
    }

    fn first_escape(&self, start: usize, end: usize) -> Option<usize> {
        (start..end).find(|at| self.is_bad_escape(*at, end))
    }

    fn is_bad_escape(&self, at: usize, end: usize) -> bool {
        match &self.bytes[at..end] {
            [b'%', b'0', b'0', ..] => true,
            [b'%', high, low, ..] => ![high, low].into_iter().all(u8::is_ascii_hexdigit),
            [b'%', ..] => true,
            _ => false,
        }
    }

    // ---- lines ----------------------------------------------------------------------------------

    fn bare_line_end(&self) -> Option<usize> {
        // Where the line of a request should end.
        let version = self.part(2);
        if self.from == Blame::Client && version.len() > "HTTP/1.1".len() {
            return Some(version.start + "HTTP/1.1".len());
        }
        let head = &self.bytes[..self.bytes.len().min(self.end + 2)];
        let mut ends = memchr::memchr2_iter(b'\r', b'\n', head);
        ends.find(|at| match head[*at] {
            b'\n' => *at == 0 || head[at - 1] != b'\r',
            _ => head.get(at + 1).is_some_and(|next| *next != b'\n'),
        })
    }

    /// The line as a field, if it has a colon.
    fn split(&self, line: &Range<usize>) -> Option<FieldLine> {
        let colon = memchr::memchr(b':', &self.bytes[line.clone()])?;
        Some(FieldLine {
            start: line.start,
            colon: line.start + colon,
            end: line.end,
        })
    }

    fn bad_field_name(&self) -> Option<usize> {
        let bad = |line: &Range<usize>| {
            let Some(field) = self.split(line) else {
                let wrong = self.first_in(line.clone(), |byte| !rules::is_token_byte(byte));
                return Some(wrong.unwrap_or(line.end));
            };
            let name = field.start..field.colon;
            let empty = name.is_empty().then_some(name.start);
            empty.or_else(|| self.first_in(name, |byte| !rules::is_token_byte(byte)))
        };
        let long = |line: &Range<usize>| {
            let name = self.split(line)?;
            rules::name(self.name(&name)).err()?;
            Some(line.start + 255)
        };
        let lines = self.lines.iter();
        let bad = lines.clone().find_map(bad);
        bad.or_else(|| lines.clone().find_map(long))
    }

    fn bad_field_value(&self) -> Option<usize> {
        self.lines.iter().find_map(|line| {
            let field = self.split(line)?;
            self.first_in(field.colon + 1..field.end, |byte| {
                !rules::is_value_byte(byte)
            })
        })
    }

    // ---- fields ---------------------------------------------------------------------------------

    fn name(&self, field: &FieldLine) -> &'b [u8] {
        &self.bytes[field.start..field.colon]
    }

    /// Without the blanks around it.
    fn value(&self, field: &FieldLine) -> Range<usize> {
        let whole = &self.bytes[field.colon + 1..field.end];
        let value = whole.trim_ascii();
        let before = whole.len() - whole.trim_ascii_start().len();
        let start = field.colon + 1 + before;
        start..start + value.len()
    }

    fn split_lines(&self) -> impl Iterator<Item = FieldLine> {
        self.lines.iter().filter_map(|line| self.split(line))
    }

    fn fields(&self, known: Known) -> impl Iterator<Item = FieldLine> {
        self.split_lines()
            .filter(move |field| Known::of(self.name(field)) == known)
    }

    fn field(&self, is_wrong: impl Fn(&FieldLine) -> bool) -> Option<usize> {
        let found = self.split_lines().find(is_wrong);
        found.map(|field| field.start)
    }

    fn nth(&self, known: Known, number: usize) -> Option<usize> {
        self.fields(known).nth(number).map(|field| field.start)
    }

    fn repeated(&self) -> Option<usize> {
        let mut seen = Vec::new();
        self.field(|field| rules::repeated(Known::of(self.name(field))).is_err())?;
        let mut fields = self.split_lines();
        let second = fields.find(|field| {
            let known = Known::of(self.name(field));
            let again = seen.contains(&known);
            seen.push(known);
            again && rules::repeated(known).is_err()
        });
        second.map(|field| field.start)
    }

    fn bad_host(&self) -> Option<usize> {
        // An absolute target's authority counts, and comes first.
        let target = self.target();
        let span = Span::new(target.start, target.end);
        let target = rules::target(self.bytes, span, Method::Options).ok();
        let authority = target
            .map(|target| target.authority.from()..target.authority.to())
            .filter(|authority| !authority.is_empty());
        let values = self.fields(Known::Host).map(|field| self.value(&field));
        let found = authority.into_iter().chain(values).find_map(|value| {
            let host = &self.bytes[value.clone()];
            rules::host(host).err()?;
            let name = value.start..value.start + memchr::memchr(b':', host).unwrap_or(host.len());
            let is_wrong = |byte: u8| !rules::is_host_byte(byte);
            Some(match host.first() {
                None | Some(b'[') => value.start,
                Some(_) => self.first_in(name.clone(), is_wrong).unwrap_or(name.end),
            })
        });
        // A tab behind it.
        let behind = || {
            let mut fields = self.fields(Known::Host);
            fields
                .find_map(|field| self.first_in(self.value(&field).end..field.end, |b| b == b'\t'))
        };
        found.or_else(behind).or_else(|| self.nth(Known::Host, 0))
    }

    fn bad_length(&self) -> Option<usize> {
        let wrong = self.fields(Known::ContentLength).find_map(|field| {
            let blanks = [
                field.colon + 1..self.value(&field).start,
                self.value(&field).end..field.end,
            ];
            let tab = blanks
                .into_iter()
                .find_map(|range| self.first_in(range, |byte| byte != b' '));
            let value = self.value(&field);
            let is_one = rules::one_length(&self.bytes[value.clone()]).is_some();
            let wrong = (!is_one).then(|| {
                let byte = self.first_in(value.clone(), |byte| !byte.is_ascii_digit());
                byte.unwrap_or(value.start)
            });
            tab.or(wrong)
        });
        wrong.or_else(|| self.nth(Known::ContentLength, 0))
    }

    fn bad_coding(&self) -> Option<usize> {
        let mut framing = Framing::default();
        let wrong = self.fields(Known::TransferEncoding).find(|field| {
            let value = self.value(field);
            let blanks = &self.bytes[field.colon + 1..value.start];
            let has_tab =
                blanks.contains(&b'\t') || self.bytes[value.end..field.end].contains(&b'\t');
            framing.coding(&self.bytes[value]).is_err() || has_tab
        });
        wrong.map(|field| field.start)
    }

    fn bad_connection(&self) -> Option<usize> {
        let mut count = 0;
        let wrong = self.fields(Known::Connection).find_map(|field| {
            let mut at = field.colon + 1;
            self.bytes[at..field.end]
                .split(|byte| *byte == b',')
                .find_map(|element| {
                    let start = at + element.len() - element.trim_ascii_start().len();
                    at += element.len() + 1;
                    count += 1;
                    let option = rules::trim(element);
                    let usual = ["keep-alive", "close", "upgrade"];
                    if usual
                        .iter()
                        .any(|usual| option.eq_ignore_ascii_case(usual.as_bytes()))
                    {
                        count -= 1;
                    }
                    rules::connection_name(option, count).err().map(|_| start)
                })
        });
        wrong.or_else(|| self.nth(Known::Connection, 0))
    }

    fn bad_handshake(&self) -> usize {
        let is_websocket =
            |field: &FieldLine| self.bytes[self.value(field)].eq_ignore_ascii_case(b"websocket");
        let odd_upgrade = self
            .fields(Known::Upgrade)
            .find(|field| !is_websocket(field));
        let body = self.fields(Known::ContentLength).find(|field| {
            self.bytes[self.value(field)]
                .iter()
                .any(|byte| *byte != b'0')
        });
        let key = self.fields(Known::SecWebSocketKey).find(|field| {
            self.value(field).len() != 24 || !self.bytes[self.value(field)].ends_with(b"==")
        });
        let version = self
            .fields(Known::SecWebSocketVersion)
            .find(|field| &self.bytes[self.value(field)] != b"13");
        let singles = [
            Known::Upgrade,
            Known::SecWebSocketVersion,
            Known::SecWebSocketKey,
        ];
        let second = singles.into_iter().find_map(|known| self.nth(known, 1));
        let field = odd_upgrade.or(body).or(version).or(key);
        let missing = singles
            .into_iter()
            .any(|known| self.nth(known, 0).is_none());
        let coding = || self.nth(Known::TransferEncoding, 0);
        field
            .map(|field| field.start)
            .or(second)
            .or_else(|| missing.then_some(self.end))
            .or_else(coding)
            .unwrap_or(self.end)
    }
}

fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// How many bytes are as the pattern has them, in which `9` is any digit, `1` one that is not 0, and `0` one that is 0 or 1.
fn mismatch(bytes: &[u8], pattern: &[u8]) -> usize {
    let fits = |(index, (byte, wanted)): (usize, (&u8, &u8))| match wanted {
        b'9' => byte.is_ascii_digit(),
        b'1' if index > 8 => (b'1'..=b'9').contains(byte),
        b'0' => matches!(byte, b'0' | b'1'),
        _ => byte == wanted,
    };
    let pairs = bytes.iter().zip(pattern).enumerate();
    pairs.take_while(|pair| fits(*pair)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Progress;
    use crate::wire::request::RequestHead;
    use crate::wire::response::ResponseHead;

    const LIMITS: HeadLimits = HeadLimits {
        size: 400,
        fields: 4,
    };

    /// Reads a message without the mark, and expects the fault where the mark is.
    fn check(marked: &str, refusal: Refusal, from: Blame) {
        let bytes = marked
            .replacen('¦', "", 1)
            .replace('\n', "\r\n")
            .replace("\r\r\n", "\n");
        let wanted = marked
            .replace('\n', "\r\n")
            .replace("\r\r\n", "\n")
            .find('¦');
        let bytes = bytes.as_bytes();
        let (found, at) = match from {
            Blame::Client => (
                RequestHead::new(&LIMITS).parse(bytes, 0, &LIMITS),
                of_request(bytes, refusal, &LIMITS),
            ),
            Blame::Server => (
                ResponseHead::new(&LIMITS).parse(bytes, 0, &LIMITS),
                of_response(bytes, refusal, &LIMITS),
            ),
        };
        assert_eq!(found, Err::<Progress, _>(refusal), "{marked:?}");
        assert_eq!(Some(at), wanted, "{marked:?}");
    }

    /// A line end is CRLF, and a bare LF is written `\r\n`.
    #[test]
    fn requests() {
        use Refusal::*;
        let long = format!("GET / HTTP/1.1\nA: {}¦bbb", "b".repeat(381));
        let target = format!("GET /{}¦bbb", "b".repeat(395));
        let name = format!("GET / HTTP/1.1\nHost: h\n{}¦aa: b\n\n", "a".repeat(255));
        check(&long, HeadTooLarge, Blame::Client);
        check(&target, TargetTooLong, Blame::Client);
        check(&name, BadFieldName, Blame::Client);
        for (marked, refusal) in [
            (
                "GET / HTTP/1.1\nHost: h\nA: b\nB: c\nC: d\n¦D: e\n\n",
                TooManyFields,
            ),
            ("\n\n\n\n\n\n\n\n¦\nGET / HTTP/1.1\n", BadStart),
            ("¦\x16\x03\x01", TlsOnPlainPort),
            ("G¦(T / HTTP/1.1\n\n", BadRequestLine),
            ("GET ¦ / HTTP/1.1\n\n", BadRequestLine),
            ("GET /a¦\tb HTTP/1.1\n\n", BadRequestLine),
            ("GET / ¦http/1.1\n\n", BadRequestLine),
            ("GET / HTTP/1.1¦ \n\n", BareLineEnd),
            ("\nGET /¦\n\n", BadRequestLine),
            ("G¦et / HTTP/1.1\nHost: h\n\n", BadMethod),
            ("¦CONNECT h:80 HTTP/1.1\nHost: h\n\n", MethodNotImplemented),
            ("GET /a¦#b HTTP/1.1\nHost: h\n\n", BadTarget),
            ("GET /a%20¦%zz/b HTTP/1.1\nHost: h\n\n", BadTarget),
            ("GET /a¦%00/b HTTP/1.1\nHost: h\n\n", BadTarget),
            ("GET /a/..¦/../b HTTP/1.1\nHost: h\n\n", BadTarget),
            ("GET ¦a HTTP/1.1\nHost: h\n\n", BadTarget),
            ("GET ¦* HTTP/1.1\nHost: h\n\n", BadTarget),
            ("GET /¦%0x HTTP/1.1\nHost: h\n\n", BadTarget),
            ("GET http://h¦?a HTTP/1.1\nHost: h\n\n", BadTarget),
            ("GET http://h/a/¦%2?a HTTP/1.1\nHost: h\n\n", BadTarget),
            ("GET ¦ftp://h/a HTTP/1.1\nHost: h\n\n", BadTarget),
            ("GET / HTTP/1.¦2\nHost: h\n\n", BadVersion),
            ("GET / HTTP/¦2.0\nHost: h\n\n", BadVersion),
            ("GET / HTTP/1.1\nA: b¦\r\nHost: h\n\n", BareLineEnd),
            ("GET / HTTP/1.1¦\r\nHost: h\n\n", BareLineEnd),
            ("GET / HTTP/1.1\nHost: h\nA¦ b: c\n\n", BadFieldName),
            ("GET / HTTP/1.1\nHost: h\nA¦ : c\n\n", BadFieldName),
            ("GET / HTTP/1.1\nHost: h\nAbc¦\n\n", BadFieldName),
            ("GET / HTTP/1.1\nHost: h\n¦: c\n\n", BadFieldName),
            ("GET / HTTP/1.1\nHost: h\n¦ b: c\n\n", FoldedField),
            ("GET / HTTP/1.1\nHost: h\nA: b¦\0c\n\n", BadFieldValue),
            ("GET / HTTP/1.1\nHost: h\nA: b¦\rc\n\n", BadFieldValue),
            (
                "GET / HTTP/1.1\nHost: h\n¦Content_Length: 5\n\n",
                LookalikeField,
            ),
            (
                "GET / HTTP/1.1\nHost: h\nExpect: a\n¦Expect: b\n\n",
                FieldRepeated,
            ),
            ("GET / HTTP/1.1\nA: b\n¦\nbody", HostMissing),
            ("GET / HTTP/1.1\nHost: h\n¦host: h\n\n", HostRepeated),
            ("GET / HTTP/1.1\nHost: a¦@b\n\n", BadHost),
            ("GET / HTTP/1.1\nHost: a¦:b\n\n", BadHost),
            ("GET / HTTP/1.1\nHost: a¦\t\n\n", BadHost),
            ("GET http://a¦@b/ HTTP/1.1\nHost: b\n\n", BadHost),
            ("GET http://a/ HTTP/1.1\n¦Host: b\n\n", HostMismatch),
            (
                "GET / HTTP/1.1\nHost: h\nContent-Length: 1¦x\n\n",
                BadLength,
            ),
            (
                "GET / HTTP/1.1\nHost: h\nContent-Length:¦\t1\n\n",
                BadLength,
            ),
            (
                "GET / HTTP/1.1\nHost: h\nContent-Length: ¦9223372036854775808\n\n",
                BadLength,
            ),
            (
                "GET / HTTP/1.1\nHost: h\nContent-Length: 1\n¦Content-Length: 1\n\n",
                LengthRepeated,
            ),
            (
                "GET / HTTP/1.1\nHost: h\n¦Content-Length: 1, 1\n\n",
                LengthRepeated,
            ),
            (
                "GET / HTTP/1.1\nHost: h\nContent-Length: 1\n¦Content-Length: 2\n\n",
                LengthsDiffer,
            ),
            (
                "GET / HTTP/1.1\nHost: h\nContent-Length: 1\n¦Transfer-Encoding: chunked\n\n",
                LengthAndCoding,
            ),
            (
                "GET / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n¦Content-Length: 1\n\n",
                LengthAndCoding,
            ),
            (
                "GET / HTTP/1.1\nHost: h\n¦Transfer-Encoding: gzip\n\n",
                BadCoding,
            ),
            (
                "GET / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n¦Transfer-Encoding: chunked\n\n",
                BadCoding,
            ),
            (
                "GET / HTTP/1.1\nHost: h\n¦Transfer-Encoding: gzip, chunked\n\n",
                UnknownCoding,
            ),
            (
                "GET / HTTP/1.0\nHost: h\n¦Transfer-Encoding: chunked\n\n",
                CodingInOldVersion,
            ),
            (
                "GET / HTTP/1.0\nHost: h\n¦Content-Length: 1\n\n",
                BodyNotExpected,
            ),
            (
                "GET / HTTP/1.1\nHost: h\nConnection: close, ¦a b\n\n",
                BadConnection,
            ),
        ] {
            check(marked, refusal, Blame::Client);
        }
    }

    #[test]
    fn responses() {
        use Refusal::*;
        for (marked, refusal) in [
            ("¦<html>\n\n", BadStatusLine),
            ("¦\nHTTP/1.1 200 OK\n\n", BadStatusLine),
            ("HTTP/1.1 ¦ 200 OK\n\n", BadStatusLine),
            ("HTTP/1.1 ¦099 OK\n\n", BadStatusLine),
            ("HTTP/1.1 200¦0 OK\n\n", BadStatusLine),
            ("HTTP/1.1 200 O¦\0K\n\n", BadStatusLine),
            ("HTTP/¦2.0 200 OK\n\n", BadVersion),
            ("HTTP/1.1 200 OK¦\r\nA: b\n\n", BareLineEnd),
            ("HTTP/1.1 200 OK\nA: b\n¦ c\n\n", FoldedField),
            (
                "HTTP/1.1 200 OK\nContent-Length: 1\n¦Content-Length: 2\n\n",
                LengthsDiffer,
            ),
            (
                "HTTP/1.1 103 OK\n¦Transfer-Encoding: chunked\n\n",
                CodingWithoutBody,
            ),
        ] {
            check(marked, refusal, Blame::Server);
        }
    }

    #[test]
    fn handshakes() {
        let good = "GET / HTTP/1.1\nHost: h\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n";
        for (from, to, refusal) in [
            (
                "Upgrade: websocket",
                "¦Upgrade: websocket, h2c",
                Refusal::BadHandshake,
            ),
            (
                "Sec-WebSocket-Key: d",
                "¦Sec-WebSocket-Key: ",
                Refusal::BadHandshake,
            ),
            ("Sec-WebSocket-Version: 13\n", "", Refusal::BadHandshake),
            (
                "Host: h",
                "Host: h\n¦Content-Length: 5",
                Refusal::BadHandshake,
            ),
            ("Version: 13", "Version: ¦8", Refusal::WebSocketVersion),
        ] {
            let marked = good.replace(from, to);
            let marked = match marked.contains('¦') {
                true => marked,
                false => marked.replace("\n\n", "\n¦\n"),
            };
            let marked = marked.replace('\n', "\r\n");
            let bytes = marked.replace('¦', "");
            let at = of_request(bytes.as_bytes(), refusal, &HeadLimits::default());
            assert_eq!(Some(at), marked.find('¦'), "{marked}");
        }
    }
}
