//! What is shown of a refused head: a part of it around the fault, with secrets masked, and escaped for a terminal.
//!
//! A body is never shown, and of bytes that do not begin as HTTP only so many that a protocol can be recognised. The head is broken,
//! so masking trusts none of its structure: a field counts as secret as soon as its name resembles one, whatever stands between
//! the letters, and everything is masked up to the next line that is a field for certain.

use std::ops::Range;

use super::{Blame, rules};

/// Bytes of a head that are shown at most.
pub const EXCERPT: usize = 1_024;

/// Bytes of a line of [`Excerpt::lines`].
const LINE: usize = 64;

/// Bytes that are shown of what does not begin as HTTP.
const FOREIGN: usize = 16;

/// A part of a head with its secrets masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Excerpt {
    /// Bytes of the message before it.
    pub start: usize,
    /// As many as were received there; each byte of a secret is `*`.
    pub bytes: Box<[u8]>,
}

/// A line of an excerpt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Bytes of the message before it.
    pub offset: usize,
    /// Visible ASCII; other bytes as `\r`, `\n`, `\t` or `\x00`, a backslash as `\\`.
    pub text: String,
    /// Where in the text the refused byte begins, if it is in this line.
    pub mark: Option<usize>,
}

impl Excerpt {
    /// Of the head at the front of `bytes`, sent `from` that side, around the byte `at`.
    #[cold]
    pub fn new(bytes: &[u8], at: usize, from: Blame) -> Self {
        let shown = shown(bytes, from);
        let end = shown.min(at.saturating_add(EXCERPT));
        let mut masked = bytes[..end].to_vec();
        mask(&mut masked);
        let start = match at.min(end).checked_sub(EXCERPT / 2) {
            None | Some(0) => 0,
            Some(before) => {
                let line = memchr::memchr(b'\n', &masked[before..at.min(end)]);
                line.map_or(before, |line| before + line + 1)
            }
        };
        let end = end.min(start + EXCERPT);
        Self {
            start,
            bytes: masked[start..end].into(),
        }
    }

    /// As lines to be printed one below the other; a long one is several. The byte `at` is marked.
    pub fn lines(&self, at: usize) -> Vec<Line> {
        let mut lines = Vec::new();
        let mut from = 0;
        while from < self.bytes.len() {
            let rest = &self.bytes[from..];
            let rest = &rest[..rest.len().min(LINE)];
            let length = memchr::memchr(b'\n', rest).map_or(rest.len(), |feed| feed + 1);
            let offset = self.start + from;
            let mut line = Line {
                offset,
                text: String::new(),
                mark: None,
            };
            for (index, byte) in rest[..length].iter().enumerate() {
                if offset + index == at {
                    line.mark = Some(line.text.len());
                }
                push_escaped(*byte, &mut line.text);
            }
            from += length;
            lines.push(line);
        }
        // Behind all that is there.
        if let Some(last) = lines.last_mut()
            && at == self.start + self.bytes.len()
        {
            last.mark = Some(last.text.len());
        }
        lines
    }
}

fn push_escaped(byte: u8, out: &mut String) {
    match byte {
        b'\r' => out.push_str("\\r"),
        b'\n' => out.push_str("\\n"),
        b'\t' => out.push_str("\\t"),
        b'\\' => out.push_str("\\\\"),
        b' '..=b'~' => out.push(byte.into()),
        _ => {
            let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
            out.push_str("\\x");
            out.push(digit(byte >> 4));
            out.push(digit(byte & 15));
        }
    }
}

/// How many bytes may be shown at all: the head and the empty line behind it, or the first few of what is no head.
fn shown(bytes: &[u8], from: Blame) -> usize {
    let start = line_ends(bytes);
    if !begins_as_http(bytes, from) {
        return bytes.len().min(start.min(FOREIGN) + FOREIGN);
    }
    // Two line ends in a row, of whatever kind.
    let mut at = start;
    while let Some(feed) = memchr::memchr(b'\n', &bytes[at..]) {
        at += feed + 1;
        match &bytes[at..] {
            [b'\n', ..] => return at + 1,
            [b'\r', b'\n', ..] => return at + 2,
            [b'\r', ..] => return at + 1,
            _ => {}
        }
    }
    bytes.len()
}

/// How many line ends there are at the front.
fn line_ends(bytes: &[u8]) -> usize {
    let is_end = |byte: &&u8| matches!(byte, b'\r' | b'\n');
    bytes.iter().take_while(is_end).count()
}

/// Whether the first line, behind empty ones, is that of a request or response, as far as it has come.
pub fn begins_as_http(bytes: &[u8], from: Blame) -> bool {
    let bytes = &bytes[line_ends(bytes)..];
    if from == Blame::Server {
        return bytes.starts_with(b"HTTP/");
    }
    let end = memchr::memchr2(b'\r', b'\n', bytes).unwrap_or(bytes.len());
    let line = &bytes[..end];
    let method = line.iter().take_while(|byte| byte.is_ascii_uppercase());
    let method = method.count();
    let target = line[method..].trim_ascii_start();
    let is_request =
        method > 0 && line.get(method) == Some(&b' ') && matches!(target, [b'/' | b'*', ..]);
    is_request || memchr::memmem::find(line, b" HTTP/").is_some()
}

// ---- masking ----------------------------------------------------------------------------------------

/// What the name of a field with a secret has in it, without regard to case, hyphens and all else that is no letter.
/// `Sec-WebSocket-Protocol` is where browsers put their tokens, since they can set no other field of a handshake.
const SECRET: &[&[u8]] = &[
    b"auth",
    b"cookie",
    b"credential",
    b"csrf",
    b"jwt",
    b"key",
    b"password",
    b"passwd",
    b"protocol",
    b"secret",
    b"session",
    b"signature",
    b"token",
    b"xsrf",
];

/// Fields that are secret wherever their name and its colon stand, in the middle of another line too.
const CERTAIN: &[&[u8]] = &[
    b"authorization",
    b"cookie",
    b"sec-websocket-key",
    b"sec-websocket-protocol",
];

/// Puts `*` in place of each byte that may be part of a secret: values of fields that [resemble](SECRET) a secret one, with the lines that may
/// continue them; queries, parameters and fragments of targets; user information.
pub fn mask(head: &mut [u8]) {
    let mut from = 0;
    let (mut is_first, mut was_secret) = (true, false);
    while from < head.len() {
        let rest = &head[from..];
        let length = memchr::memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
        if length > 0 {
            let line = &mut head[from..from + length];
            let is_start_line = is_first
                && (begins_as_http(line, Blame::Client) || begins_as_http(line, Blame::Server));
            was_secret = match is_start_line {
                true => mask_start_line(line),
                false => mask_line(line, was_secret),
            };
            is_first = false;
        }
        from += length + 1;
    }
}

/// Whether what follows may continue a secret.
fn mask_start_line(line: &mut [u8]) -> bool {
    mask_target(line, b"?#;");
    mask_user(line);
    mask_certain(line)
}

fn mask_line(line: &mut [u8], was_secret: bool) -> bool {
    let colon = memchr::memchr(b':', line);
    let is_field = colon.is_some_and(|colon| rules::is_token(&line[..colon]));
    if was_secret && !is_field {
        hide(line, 0..line.len());
        return true;
    }
    if let Some(name) = secret_name(&line[..colon.unwrap_or(line.len())]) {
        // The byte behind a name is none of its value.
        let behind = &line[name..];
        let behind = behind.iter().position(|byte| !rules::is_token_byte(*byte));
        if let Some(behind) = behind {
            let blanks = |from: usize| {
                let blanks = line[from..].iter();
                from + blanks
                    .take_while(|byte| matches!(byte, b' ' | b'\t'))
                    .count()
            };
            let mut value = blanks(name + behind + 1);
            if line[name + behind] != b':' && line.get(value) == Some(&b':') {
                value = blanks(value + 1);
            }
            hide(line, value..line.len());
        }
        return true;
    }
    if !is_field && let Some(at) = memchr::memchr2(b':', b'=', line) {
        hide(line, at + 1..line.len());
    }
    let is_url = memchr::memmem::find(line, b"://").is_some();
    mask_target(line, if is_url { b"?#;" } else { b"?#" });
    mask_user(line);
    mask_certain(line)
}

/// Where the first secret word in a name ends.
fn secret_name(name: &[u8]) -> Option<usize> {
    let letters = name.iter().enumerate();
    let (places, letters): (Vec<_>, Vec<_>) = letters
        .filter(|(_, byte)| byte.is_ascii_alphabetic())
        .map(|(at, byte)| (at, byte.to_ascii_lowercase()))
        .unzip();
    let ends = SECRET.iter().filter_map(|word| {
        let at = memchr::memmem::find(&letters, word)?;
        Some(places[at + word.len() - 1] + 1)
    });
    ends.min()
}

/// Masks what stands behind the first of these bytes, up to the version: the values of parameters, and those without a name.
fn mask_target(line: &mut [u8], begins: &[u8]) {
    let Some(begin) = line.iter().position(|byte| begins.contains(byte)) else {
        return;
    };
    let version = memchr::memmem::rfind(&line[begin..], b" HTTP/");
    let end = version.map_or(line.len(), |version| begin + version);
    let mut from = begin + 1;
    while from < end {
        let rest = &line[from..end];
        let length = rest.iter().position(|byte| b"&;?#".contains(byte));
        let length = length.unwrap_or(rest.len());
        let name = memchr::memchr(b'=', &rest[..length]);
        let value = name.map_or(0, |name| name + 1);
        hide(line, from + value..from + length);
        from += length + 1;
    }
}

/// Masks what stands before each `@`, back to the authority's start or a blank.
fn mask_user(line: &mut [u8]) {
    let mut from = 0;
    while let Some(found) = memchr::memchr(b'@', &line[from..]) {
        let at = from + found;
        let before = &line[from..at];
        let blank = before.iter().rposition(|byte| matches!(byte, b' ' | b'\t'));
        let slashes = memchr::memmem::rfind(before, b"//").map(|slashes| slashes + 1);
        let start = blank.max(slashes).map_or(from, |start| from + start + 1);
        let run = &line[start..at];
        if !run.starts_with(b"/") || run.contains(&b':') {
            hide(line, start..at);
        }
        from = at + 1;
    }
}

/// Masks what stands behind the name of a field that is [certain](CERTAIN) to be secret; says whether there is one.
fn mask_certain(line: &mut [u8]) -> bool {
    let lower = line.to_ascii_lowercase();
    let values = CERTAIN.iter().filter_map(|name| {
        let mut found = memchr::memmem::find_iter(&lower, name).map(|at| at + name.len());
        found.find_map(|end| {
            let blanks = lower[end..]
                .iter()
                .take_while(|byte| **byte == b' ')
                .count();
            (lower.get(end + blanks) == Some(&b':')).then_some(end + blanks + 1)
        })
    });
    match values.min() {
        Some(value) => {
            hide(line, value..line.len());
            true
        }
        None => false,
    }
}

fn hide(line: &mut [u8], range: Range<usize>) {
    line[range].fill(b'*');
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::wire::properties;
    use proptest::prelude::*;

    fn masked(head: &str) -> String {
        let mut bytes = head.as_bytes().to_vec();
        mask(&mut bytes);
        assert_eq!(bytes.len(), head.len());
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn secrets_are_masked_and_the_rest_is_not() {
        for (head, wanted) in [
            (
                "GET / HTTP/1.1\r\nHost: a\r\n",
                "GET / HTTP/1.1\r\nHost: a\r\n",
            ),
            (
                "GET /a?b=secret&c&d= HTTP/1.1\r\n",
                "GET /a?b=******&*&d= HTTP/1.1\r\n",
            ),
            ("GET /a?b=c d HTTP/1.1\r\n", "GET /a?b=*** HTTP/1.1\r\n"),
            ("GET /a?b=c d\r\n", "GET /a?b=***\r\n"),
            (
                "GET /a;jsessionid=s?b=c HTTP/1.1\r\n",
                "GET /a;jsessionid=*?b=* HTTP/1.1\r\n",
            ),
            ("GET /a#token=s HTTP/1.1\r\n", "GET /a#token=* HTTP/1.1\r\n"),
            (
                "GET http://u:p@h/ HTTP/1.1\r\n",
                "GET http://***@h/ HTTP/1.1\r\n",
            ),
            (
                "GET /@a/b HTTP/1.1\r\nHost: u@h\r\n",
                "GET /@a/b HTTP/1.1\r\nHost: *@h\r\n",
            ),
            ("GET /auth HTTP/1.1\r\n", "GET /auth HTTP/1.1\r\n"),
            (
                "GET / HTTP/1.1 Cookie: s\r\n",
                "GET / HTTP/1.1 Cookie:**\r\n",
            ),
            (
                "X\r\nCookie: a=s\r\nB: c\r\n",
                "X\r\nCookie: ***\r\nB: c\r\n",
            ),
            ("X\r\nset-cookie:a=s\r\n", "X\r\nset-cookie:***\r\n"),
            (
                "X\r\nAUTHORIZATION: Basic s\r\n",
                "X\r\nAUTHORIZATION: *******\r\n",
            ),
            (
                "X\r\nProxy-Authorization : s\r\n",
                "X\r\nProxy-Authorization : *\r\n",
            ),
            (
                "X\r\nSec-WebSocket-Key: s==\r\n",
                "X\r\nSec-WebSocket-Key: ***\r\n",
            ),
            (
                "X\r\nSec-WebSocket-Protocol: s\r\n",
                "X\r\nSec-WebSocket-Protocol: *\r\n",
            ),
            (
                "X\r\nX-Api_Key: s\r\nX-Auth-Token: s\r\n",
                "X\r\nX-Api_Key: *\r\nX-Auth-Token: *\r\n",
            ),
            // Folded, or cut by a bare line end.
            (
                "X\r\nCookie: a=s\r\n s: t\r\n\tu\r\nB: c\r\n",
                "X\r\nCookie: ***\r\n*****\r\n**\r\nB: c\r\n",
            ),
            (
                "X\r\nCookie: a\nb=s\r\nB: c\r\n",
                "X\r\nCookie: *\n***\r\nB: c\r\n",
            ),
            ("X\r\nCookie: a\rb=s\r\n", "X\r\nCookie: *\r***\r\n"),
            ("X\r\nB: c\rCookie: s\r\n", "X\r\nB: c\rCookie: *\r\n"),
            // Broken names, and none.
            ("X\r\nCookie a=s\r\n", "X\r\nCookie ***\r\n"),
            ("X\r\nCookie a=s: t\r\n", "X\r\nCookie ******\r\n"),
            ("X\r\nCookie=s\r\n", "X\r\nCookie=*\r\n"),
            ("X\r\nCoo\0kie: s\r\n", "X\r\nCoo\0kie: *\r\n"),
            ("X\r\n Cookie: s\r\n", "X\r\n Cookie: *\r\n"),
            ("X\r\nA: b Cookie: s\r\n", "X\r\nA: b Cookie:**\r\n"),
            ("X\r\n{\"pin\": 1}\r\n", "X\r\n{\"pin\":***\r\n"),
            ("X\r\na=s&b=t\r\n", "X\r\na=*****\r\n"),
            // Cut in the middle.
            ("X\r\nCookie: a=s", "X\r\nCookie: ***"),
            ("X\r\nCookie", "X\r\nCookie"),
            // URLs in other fields.
            (
                "X\r\nReferer: http://h/a?b=s\r\n",
                "X\r\nReferer: http://h/a?b=*\r\n",
            ),
            ("X\r\nLocation: /a#s\r\n", "X\r\nLocation: /a#*\r\n"),
        ] {
            assert_eq!(masked(head), wanted, "{head:?}");
        }
    }

    #[test]
    fn bodies_and_other_protocols_are_not_shown() {
        let text = |bytes: &str, from| {
            let excerpt = Excerpt::new(bytes.as_bytes(), 0, from);
            String::from_utf8(excerpt.bytes.into()).unwrap()
        };
        for (bytes, shown) in [
            (
                "GET / HTTP/1.1\r\nA: b\r\n\r\nbody",
                "GET / HTTP/1.1\r\nA: b\r\n\r\n",
            ),
            ("GET / HTTP/1.1\nA: b\n\nbody", "GET / HTTP/1.1\nA: b\n\n"),
            (
                "GET / HTTP/1.1\nA: b\n\r\nbody",
                "GET / HTTP/1.1\nA: b\n\r\n",
            ),
            ("GET / HTTP/1.1\nA: b\n\rbody", "GET / HTTP/1.1\nA: b\n\r"),
            (
                "\r\n\r\nGET / HTTP/1.1\r\n\r\nbody",
                "\r\n\r\nGET / HTTP/1.1\r\n\r\n",
            ),
            ("get / HTTP/1.1\r\n\r\nbody", "get / HTTP/1.1\r\n\r\n"),
            ("GET /\r\n\r\nbody", "GET /\r\n\r\n"),
            ("some text that was a body", "some text that w"),
            ("{\"name\": \"a\", \"b\": 1}\r\n", "{\"name\":********"),
        ] {
            assert_eq!(text(bytes, Blame::Client), shown, "{bytes:?}");
        }
        assert_eq!(text("<html><body>hello", Blame::Server), "<html><body>hell");
    }

    #[test]
    fn lines_are_escaped_and_the_place_is_marked() {
        let head = b"GET / HTTP/1.1\r\nHost: a\\b\r\nA\0: \xff\t\r\n\xff\t";
        let excerpt = Excerpt::new(head, 28, Blame::Client);
        let line = |offset, text: &str, mark| Line {
            offset,
            text: text.to_owned(),
            mark,
        };
        let wanted = [
            line(0, "GET / HTTP/1.1\\r\\n", None),
            line(16, "Host: a\\\\b\\r\\n", None),
            line(27, "A\\x00:***\\r\\n", Some(1)),
            line(35, "\\xff\\t", None),
        ];
        assert_eq!(excerpt.lines(28), wanted);
        let end = excerpt.lines(head.len());
        assert_eq!(end[3].mark, Some(wanted[3].text.len()));
    }

    #[test]
    fn an_excerpt_is_bounded_and_around_its_place() {
        let long = format!("GET / HTTP/1.1\r\n{}", "A: bcdefgh\r\n".repeat(2_000));
        for at in [0, 511, 512, 513, 1_024, 10_000, long.len() - 1, long.len()] {
            let excerpt = Excerpt::new(long.as_bytes(), at, Blame::Client);
            assert!(excerpt.bytes.len() <= EXCERPT);
            assert!(
                (excerpt.start..=excerpt.start + excerpt.bytes.len()).contains(&at),
                "{at}"
            );
            assert_eq!(
                excerpt
                    .lines(at)
                    .iter()
                    .filter(|line| line.mark.is_some())
                    .count(),
                1
            );
        }
    }

    proptest! {
        #[test]
        fn no_secret_is_shown(
            words in proptest::collection::vec(proptest::sample::select(vec![
                "GET / HTTP/1.1", "HTTP/1.1 200 OK", "\r\n", "\r\n", "\r\n", "\n", "\r", " ", "\t", "Cookie: ", "authorization:", "Set-Cookie :",
                "SEC-WEBSOCKET-KEY", ":", "=", "a", "?", "&", "\0", "@", "//", ";",
            ]), 0..20),
            cut in 0_usize..100,
        ) {
            properties::excerpt(words.concat().as_bytes(), cut);
            properties::excerpt(format!("GET / HTTP/1.1\r\n{}", words.concat()).as_bytes(), cut);
        }

        #[test]
        fn any_bytes(input: Vec<u8>, cut in 0_usize..100) {
            properties::excerpt(&input, cut);
        }
    }
}
