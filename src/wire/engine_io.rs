//! Engine.IO, which carries Socket.IO, as far as a balancer has to know it: which session a request belongs to, and
//! which one an answer opens.
//!
//! A session begins with a GET that has `transport=polling` in its query and no `sid`. The answer's body is an open
//! packet, `0{"sid":"…",…}`; from then on every request of the session, and the handshake of its WebSocket, says
//! `sid=…` in its query. Protocol 4 sends the packet bare; protocol 3 puts its length in front (`97:0{…`), or a
//! zero, the length's digits as bytes and 255 for clients that take binary; a script (JSONP) has all that as a string
//! in a call, `___eio[0]("97:0{\"sid\":…")`.

use super::Span;

/// What a request's query says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked<'b> {
    /// A session to be opened, by polling.
    Opening,
    /// This session, as written: [`plain`] undoes escapes.
    Session(&'b [u8]),
    /// Neither.
    Nothing,
}

/// What the first bytes of a body are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opened {
    /// Perhaps an open packet: more bytes will tell.
    Partial,
    /// An open packet, and this is its session.
    Session(Span),
    /// Something else.
    Nothing,
}

/// Longest session id that is taken note of. Those of the well-known servers have 20 to 36 characters.
pub const LONGEST_SID: usize = 128;

/// So many bytes of a body are looked at. The open packet of a server of today is about 120 long.
pub const LOOKED_AT: usize = 1024;

/// Reads a query, with the `?` that it begins with. Of several parameters of a name the first counts.
pub fn asked(query: &[u8]) -> Asked<'_> {
    let (mut polling, mut sid) = (None, None);
    let pairs = query.strip_prefix(b"?").unwrap_or_default();
    for pair in pairs.split(|byte| *byte == b'&') {
        if let Some(value) = pair.strip_prefix(b"sid=") {
            sid.get_or_insert(value);
        } else if let Some(value) = pair.strip_prefix(b"transport=") {
            polling.get_or_insert(value == b"polling");
        }
    }
    match (sid.unwrap_or_default(), polling) {
        ([], Some(true)) => Asked::Opening,
        (sid @ [_, ..], _) if sid.len() <= LONGEST_SID => Asked::Session(sid),
        _ => Asked::Nothing,
    }
}

/// The bytes of a parameter's value with `%41` as the byte that it stands for.
pub fn plain(value: &[u8]) -> impl Iterator<Item = u8> + '_ {
    let mut rest = value;
    std::iter::from_fn(move || {
        let (byte, length) = match rest {
            [] => return None,
            [b'%', high, low, ..] => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, 3),
                _ => (b'%', 1),
            },
            [byte, ..] => (*byte, 1),
        };
        rest = &rest[length..];
        Some(byte)
    })
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

/// Reads the beginning of a body. What it says of some bytes it says whatever follows them, unless it was
/// [`Opened::Partial`].
pub fn opened(body: &[u8]) -> Opened {
    let mut reader = Reader {
        body,
        at: 0,
        quoted: false,
    };
    match reader.packet() {
        Ok(sid) => Opened::Session(sid),
        Err(Stop::More) => Opened::Partial,
        Err(Stop::Other) => Opened::Nothing,
    }
}

/// Reads a body forwards, and stops where it ends or is no open packet.
struct Reader<'b> {
    body: &'b [u8],
    at: usize,
    /// Within a string of a script: quotes and backslashes have a backslash in front.
    quoted: bool,
}

enum Stop {
    /// At the end of what is there.
    More,
    /// At a byte that no open packet has there.
    Other,
}

/// A string of JSON, without its quotes.
struct Text {
    place: Span,
    /// Nothing in it is escaped.
    plain: bool,
}

impl Reader<'_> {
    fn packet(&mut self) -> Result<Span, Stop> {
        self.script()?;
        self.length()?;
        self.expect(b'0')?;
        self.expect(b'{')?;
        let mut depth = 1_u32;
        while depth > 0 {
            match self.next()? {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                b'"' => {
                    let text = self.text()?;
                    if depth == 1 && text.place.of(self.body) == b"sid" && self.is_key()? {
                        return self.sid();
                    }
                }
                _ => {}
            }
        }
        Err(Stop::Other)
    }

    /// `___eio[0]("`, if it is there.
    fn script(&mut self) -> Result<(), Stop> {
        if self.peek()? != b'_' {
            return Ok(());
        }
        b"___eio[".iter().try_for_each(|byte| self.expect(*byte))?;
        while self.peek()?.is_ascii_digit() {
            self.at += 1;
        }
        b"](\"".iter().try_for_each(|byte| self.expect(*byte))?;
        self.quoted = true;
        Ok(())
    }

    /// `97:`, or `00 09 07 ff`, if it is there. The packet's own `0` stands before a brace.
    fn length(&mut self) -> Result<(), Stop> {
        let (is_digit, end): (fn(u8) -> bool, u8) = match self.peek()? {
            0 if !self.quoted => {
                self.at += 1;
                (|byte| byte < 10, 0xff)
            }
            b'1'..=b'9' => (|byte| byte.is_ascii_digit(), b':'),
            _ => return Ok(()),
        };
        for _ in 0..=LENGTH_DIGITS {
            let byte = self.next()?;
            if byte == end {
                return Ok(());
            }
            if !is_digit(byte) {
                break;
            }
        }
        Err(Stop::Other)
    }

    /// Whether what was just read is followed by a colon.
    fn is_key(&mut self) -> Result<bool, Stop> {
        self.skip_space()?;
        let is_key = self.peek()? == b':';
        if is_key {
            self.at += 1;
        }
        Ok(is_key)
    }

    fn sid(&mut self) -> Result<Span, Stop> {
        self.skip_space()?;
        if self.next()? != b'"' {
            return Err(Stop::Other);
        }
        let Text { place, plain } = self.text()?;
        let fits = (1..=LONGEST_SID).contains(&place.len());
        let is_graphic = || place.of(self.body).iter().all(u8::is_ascii_graphic);
        match plain && fits && is_graphic() {
            true => Ok(place),
            false => Err(Stop::Other),
        }
    }

    /// To the closing quote of a string.
    fn text(&mut self) -> Result<Text, Stop> {
        let (from, mut plain) = (self.at, true);
        loop {
            let before = self.at;
            match self.next()? {
                b'"' => {
                    let place = Span::new(from, before);
                    return Ok(Text { place, plain });
                }
                b'\\' => {
                    plain = false;
                    self.next()?;
                }
                _ => {}
            }
        }
    }

    fn skip_space(&mut self) -> Result<(), Stop> {
        while self.peek()?.is_ascii_whitespace() {
            self.at += 1;
        }
        Ok(())
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Stop> {
        match self.next()? == wanted {
            true => Ok(()),
            false => Err(Stop::Other),
        }
    }

    /// The next byte, which stays; outside of a script's string.
    fn peek(&self) -> Result<u8, Stop> {
        self.body.get(self.at).copied().ok_or(Stop::More)
    }

    /// The next byte, as it is without a script's backslash. A bare quote there ends the script's string.
    fn next(&mut self) -> Result<u8, Stop> {
        let byte = self.peek()?;
        self.at += 1;
        match byte {
            b'\\' if self.quoted => {
                let escaped = self.peek()?;
                self.at += 1;
                Ok(escaped)
            }
            b'"' if self.quoted => Err(Stop::Other),
            byte => Ok(byte),
        }
    }
}

/// Of a length: more than a body in memory can have.
const LENGTH_DIGITS: usize = 10;

#[cfg(test)]
mod tests {
    use super::super::properties;
    use super::*;
    use proptest::prelude::*;

    /// As engine.io 6.6 and 3.6 send them; then what others may.
    const BODIES: [(&[u8], Option<&[u8]>); 24] = [
        (
            br#"0{"sid":"eUnizmJKkRkgezWHAAAA","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}"#,
            Some(b"eUnizmJKkRkgezWHAAAA"),
        ),
        (
            b"0{\"sid\":\"ltKsCPAJZIJwS93lAAAG\",\"upgrades\":[],\"pingInterval\":25000}\x1e4hello",
            Some(b"ltKsCPAJZIJwS93lAAAG"),
        ),
        (
            br#"97:0{"sid":"IjX8ee2y2IvPA3CJAAAA","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}2:40"#,
            Some(b"IjX8ee2y2IvPA3CJAAAA"),
        ),
        (b"\0\x09\x07\xff0{\"sid\":\"a-b_c\"}", Some(b"a-b_c")),
        (
            br#"___eio[0]("97:0{\"sid\":\"L4DeEzsIvLgkgjEkAAAC\",\"upgrades\":[\"websocket\"]}");"#,
            Some(b"L4DeEzsIvLgkgjEkAAAC"),
        ),
        (br#"0{"upgrades":["sid"],"sid":"x"}"#, Some(b"x")),
        (br#"0{"a":{"sid":"inner"},"sid":"outer"}"#, Some(b"outer")),
        (br#"0{ "b": "}{\"" , "sid" : "x" }"#, Some(b"x")),
        (
            br#"0{"sid":"2f4d1f0e-5c39-4d1e-9d0a-0a52a4c1a111"}"#,
            Some(b"2f4d1f0e-5c39-4d1e-9d0a-0a52a4c1a111"),
        ),
        (br#"0{"a":"sid","b":"x"}"#, None),
        (br#"0{"a":{"sid":"inner"}}"#, None),
        (br#"0{"sid":7}"#, None),
        (br#"0{"sid":""}"#, None),
        (br#"0{"sid":"a\"b"}"#, None),
        (br#"0{"sid":"a b"}"#, None),
        (br#"0{"sid":"\u0041"}"#, None),
        (br#"4{"sid":"x"}"#, None),
        (br#"{"sid":"x"}"#, None),
        (br#"{"code":1,"message":"Session ID unknown"}"#, None),
        (br#"97;0{"sid":"x"}"#, None),
        (br#"12345678901234:0{"sid":"x"}"#, None),
        (b"\0\x0a\xff0{\"sid\":\"x\"}", None),
        (br#"___eio[0]("0")"#, None),
        (b"<html>", None),
    ];

    #[test]
    fn the_session_of_an_open_packet() {
        for (body, wanted) in BODIES {
            let found = match opened(body) {
                Opened::Session(place) => Some(place.of(body)),
                Opened::Partial | Opened::Nothing => None,
            };
            assert_eq!(found, wanted, "{}", body.escape_ascii());
            properties::engine_io(body);
        }
    }

    #[test]
    fn what_may_still_become_one_is_partial() {
        for body in [
            &b""[..],
            b"0",
            b"0{",
            b"97",
            b"97:",
            b"\0\x09",
            b"___eio",
            b"0{\"sid",
            b"0{\"sid\"",
            b"0{\"sid\":\"abc",
        ] {
            assert_eq!(opened(body), Opened::Partial, "{}", body.escape_ascii());
        }
    }

    #[test]
    fn queries() {
        for (query, wanted) in [
            ("?EIO=4&transport=polling&t=x", Asked::Opening),
            ("?transport=polling", Asked::Opening),
            ("?transport=polling&sid=", Asked::Opening),
            ("?EIO=4&transport=websocket", Asked::Nothing),
            ("?EIO=4", Asked::Nothing),
            ("", Asked::Nothing),
            ("transport=polling", Asked::Nothing),
            ("?EIO=4&transport=polling&sid=abc", Asked::Session(b"abc")),
            ("?sid=abc&transport=websocket", Asked::Session(b"abc")),
            ("?sid=abc", Asked::Session(b"abc")),
            ("?sid=a&sid=b", Asked::Session(b"a")),
            ("?xsid=abc&transport=polling", Asked::Opening),
            ("?transport=websocket&transport=polling", Asked::Nothing),
        ] {
            assert_eq!(asked(query.as_bytes()), wanted, "{query}");
        }
        let long = format!("?sid={}", "x".repeat(LONGEST_SID + 1));
        assert_eq!(asked(long.as_bytes()), Asked::Nothing);
    }

    #[test]
    fn escapes_are_undone() {
        for (written, meant) in [
            ("abc", "abc"),
            ("a%2Db%5f", "a-b_"),
            ("100%", "100%"),
            ("%zz%4", "%zz%4"),
            ("", ""),
        ] {
            let plain: Vec<u8> = plain(written.as_bytes()).collect();
            assert_eq!(plain, meant.as_bytes(), "{written}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            properties::engine_io(&body);
        }

        #[test]
        fn bytes_that_are_nearly_a_packet(parts in proptest::collection::vec(prop_oneof![
            Just("0"), Just("{"), Just("}"), Just("["), Just("]"), Just("\""), Just("\\"), Just(":"), Just(","),
            Just("sid"), Just("\"sid\":\""), Just("___eio[0](\""), Just("12:"), Just("\0\x05\u{ff}"), Just(" "), Just("x"),
        ], 0..40)) {
            properties::engine_io(parts.concat().as_bytes());
        }
    }
}
