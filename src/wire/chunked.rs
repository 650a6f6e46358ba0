//! A chunked body (RFC 9112 section 7.1), strictly, in pieces of any size.
//!
//! The decoder passes over the bytes and says which of them are the body: they go on as they came
//! (chunks, extensions, trailers and all) or, for a client that knows no chunks, as bare payload. It is
//! a few plain words without a buffer, the same for one byte and for a gigabyte.
//!
//! ```text
//!  Size ──► Extension ──► SizeEnd ──► Data ──► DataCr ──► DataLf ──► Size …
//!                            │ 0
//!                            ▼
//!                         Trailer ──► TrailerName ──► TrailerValue ──► TrailerEnd ──► Trailer …
//!                            │ CR
//!                            ▼
//!                          LastLf ──► Done
//! ```

use super::forward::Trailers;
use super::{HeadLimits, Refusal, rules};

/// Where in a chunked body the stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoder {
    at: At,
    /// The size read so far, then what is left of the chunk.
    left: u64,
    /// Digits of the size so far.
    digits: u8,
    /// Bytes of the size line so far.
    line: u16,
    /// Extension bytes beyond what the payload allows.
    extensions: u32,
    /// Bytes that trailers may still have.
    trailer_bytes: u32,
    /// Lines that trailers may still have.
    trailer_lines: u32,
    /// The trailer's name so far; what is beyond its room is no name that we know.
    name: [u8; 32],
    /// Bytes of the name, up to one more than its room.
    name_length: u8,
}

/// What the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Size,
    Extension,
    /// Within a quoted value of an extension; the line cannot end there (RFC 9112 section 7.1.1). A reader that
    /// takes quotes seriously would look for the end of the line behind the closing one.
    Quoted,
    /// Behind a backslash in it.
    Escaped,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    Trailer,
    TrailerName,
    TrailerValue,
    TrailerEnd,
    LastLf,
    Done,
}

/// What one piece of input was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input, from its start, that belong to the body (its framing included). Less than
    /// the input only if the body is done.
    pub taken: usize,
    /// The body ended with the last of them; what follows is another message.
    pub done: bool,
}

impl Decoder {
    /// At the start of a body. Trailers obey the same limits as heads.
    pub fn new(limits: &HeadLimits) -> Self {
        Self {
            at: At::Size,
            left: 0,
            digits: 0,
            line: 0,
            extensions: 0,
            trailer_bytes: u32::try_from(limits.size).unwrap_or(u32::MAX),
            trailer_lines: u32::try_from(limits.fields).unwrap_or(u32::MAX),
            name: [0; 32],
            name_length: 0,
        }
    }

    /// Takes the next piece, to be passed on as it is. After a refusal the stream means nothing any more.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, Refusal> {
        self.each(input, &Trailers::default(), |_| ())
    }

    /// Takes the next piece and appends the payload in it to `out`, without chunk framing, extensions
    /// and trailers: for HTTP/1.0 clients.
    pub fn payload(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Step, Refusal> {
        self.each(input, &Trailers::default(), |bytes| {
            out.extend_from_slice(bytes);
        })
    }

    /// Takes the next piece; `payload` is given the ranges of it that are payload, in order. No trailer may have a name
    /// that `trailers` refuses.
    pub fn each(
        &mut self,
        input: &[u8],
        trailers: &Trailers<'_>,
        mut payload: impl FnMut(&[u8]),
    ) -> Result<Step, Refusal> {
        let mut taken = 0;
        while taken < input.len() && self.at != At::Done {
            if self.at == At::Data {
                let rest = &input[taken..];
                let here =
                    usize::try_from(self.left).map_or(rest.len(), |left| left.min(rest.len()));
                payload(&rest[..here]);
                taken += here;
                self.left -= here as u64;
                if self.left == 0 {
                    self.at = At::DataCr;
                }
            } else {
                self.at = self.next(input[taken], trailers)?;
                taken += 1;
            }
        }
        Ok(Step {
            taken,
            done: self.at == At::Done,
        })
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.at == At::Done
    }

    /// One byte of framing.
    fn next(&mut self, byte: u8, trailers: &Trailers<'_>) -> Result<At, Refusal> {
        match (self.at, byte) {
            (At::Size, _) => self.size(byte),
            (At::Extension, b'\r') => Ok(At::SizeEnd),
            (At::Extension | At::Quoted | At::Escaped, _) => self.extension(byte),
            (At::SizeEnd, b'\n') => Ok(self.chunk()),
            (At::SizeEnd, _) => Err(Refusal::BadChunkSize),
            (At::DataCr, b'\r') => Ok(At::DataLf),
            (At::DataLf, b'\n') => Ok(At::Size),
            (At::DataCr | At::DataLf, _) => Err(Refusal::BadChunkEnd),
            (At::Trailer | At::TrailerName | At::TrailerValue | At::TrailerEnd, _) => {
                self.trailer_bytes = self
                    .trailer_bytes
                    .checked_sub(1)
                    .ok_or(Refusal::TrailersTooLarge)?;
                self.trailer(byte, trailers)
            }
            (At::LastLf, b'\n') => Ok(At::Done),
            (At::LastLf, _) => Err(Refusal::BadTrailer),
            (At::Data | At::Done, _) => Ok(self.at),
        }
    }

    fn size(&mut self, byte: u8) -> Result<At, Refusal> {
        if let Some(digit) = rules::hex(byte) {
            if self.digits == rules::CHUNK_SIZE_DIGITS {
                return Err(Refusal::BadChunkSize);
            }
            self.digits += 1;
            self.line += 1;
            self.left = self.left << 4 | u64::from(digit);
            return Ok(At::Size);
        }
        match byte {
            b'\r' | b';' if self.digits == 0 || self.left > rules::MOST_CHUNK => {
                Err(Refusal::BadChunkSize)
            }
            b'\r' => Ok(At::SizeEnd),
            b';' => self.extension(byte),
            _ => Err(Refusal::BadChunkSize),
        }
    }

    fn extension(&mut self, byte: u8) -> Result<At, Refusal> {
        self.line += 1;
        self.extensions += 1;
        let bounded = self.line <= rules::CHUNK_LINE && self.extensions <= rules::CHUNK_EXTENSIONS;
        if !bounded || !rules::is_extension_byte(byte) {
            return Err(Refusal::BadChunkExtension);
        }
        Ok(match (self.at, byte) {
            (At::Quoted, b'\\') => At::Escaped,
            (At::Quoted, b'"') => At::Extension,
            (At::Quoted | At::Escaped, _) | (_, b'"') => At::Quoted,
            _ => At::Extension,
        })
    }

    /// A size line is complete.
    fn chunk(&mut self) -> At {
        let allowed = u32::try_from(self.left.saturating_mul(2)).unwrap_or(u32::MAX);
        self.extensions = self.extensions.saturating_sub(allowed);
        (self.digits, self.line) = (0, 0);
        if self.left == 0 {
            At::Trailer
        } else {
            At::Data
        }
    }

    fn trailer(&mut self, byte: u8, trailers: &Trailers<'_>) -> Result<At, Refusal> {
        match (self.at, byte) {
            (At::Trailer, b'\r') => Ok(At::LastLf),
            (At::Trailer, _) => {
                self.trailer_lines = self
                    .trailer_lines
                    .checked_sub(1)
                    .ok_or(Refusal::TrailersTooLarge)?;
                self.name_length = 0;
                self.trailer_name(byte)
            }
            (At::TrailerName, b':') => {
                match self.name.get(..self.name_length.into()) {
                    Some(name) => {
                        rules::trailer(name)?;
                        trailers.check(name)?;
                    }
                    // No known name is so long, but for those of which only the beginning is known.
                    None => {
                        rules::trailer(&self.name)?;
                        trailers.check_start(&self.name)?;
                    }
                }
                Ok(At::TrailerValue)
            }
            (At::TrailerName, _) => self.trailer_name(byte),
            (At::TrailerValue, b'\r') => Ok(At::TrailerEnd),
            (At::TrailerValue, _) if rules::is_value_byte(byte) => Ok(At::TrailerValue),
            (At::TrailerEnd, b'\n') => Ok(At::Trailer),
            _ => Err(Refusal::BadTrailer),
        }
    }

    fn trailer_name(&mut self, byte: u8) -> Result<At, Refusal> {
        if !rules::is_token_byte(byte) {
            return Err(Refusal::BadTrailer);
        }
        match self.name.get_mut(usize::from(self.name_length)) {
            Some(place) => {
                *place = byte;
                self.name_length += 1;
            }
            None => self.name_length = self.name.len() as u8 + 1,
        }
        Ok(At::TrailerName)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{HeaderChanges, Secret};
    use crate::wire::forward::Changes;
    use crate::wire::properties;
    use proptest::prelude::*;

    fn whole(input: &[u8]) -> Result<(Vec<u8>, Step), Refusal> {
        let mut out = Vec::new();
        let step = Decoder::new(&HeadLimits {
            size: 64,
            fields: 2,
        })
        .payload(input, &mut out)?;
        Ok((out, step))
    }

    #[test]
    fn good_bodies() {
        let table: [(&[u8], &[u8]); 12] = [
            (b"0\r\n\r\n", b""),
            (b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
            (
                b"A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n",
                b"01234567890123456789",
            ),
            (b"0000000000000001\r\nx\r\n0\r\n\r\n", b"x"),
            (b"1;a\r\nx\r\n0\r\n\r\n", b"x"),
            (b"1;a=b;c=\"d ; e\"\r\nx\r\n0;last\r\n\r\n", b"x"),
            (b"1; a = b\r\nx\r\n0\r\n\r\n", b"x"),
            (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
            (b"0\r\nServer-Timing: a\r\n\r\n", b""),
            (b"0\r\na:\r\nETag: \"\xe9\"\r\n\r\n", b""),
            (b"0\r\nx-a-name-longer-than-all-we-know: y\r\n\r\n", b""),
            (b"3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\n", b"abc"),
        ];
        for (input, payload) in table {
            let (out, step) = whole(input).unwrap_or_else(|refusal| panic!("{refusal}: {input:?}"));
            assert_eq!(out, payload);
            assert!(step.done);
            let end = input
                .windows(4)
                .rposition(|four| four == b"\r\n\r\n")
                .unwrap_or_default()
                + 4;
            assert_eq!(step.taken, end, "{}", input.escape_ascii());
        }
    }

    #[test]
    fn bad_bodies() {
        use Refusal::*;
        let long = [b"1;".as_slice(), &[b'x'; 255], b"\r\nx\r\n0\r\n\r\n"].concat();
        let table: [(&[u8], Refusal); 40] = [
            (b"\r\n", BadChunkSize),
            (b" 5\r\n", BadChunkSize),
            (b"5 \r\n", BadChunkSize),
            (b"5\t\r\n", BadChunkSize),
            (b"+5\r\n", BadChunkSize),
            (b"-5\r\n", BadChunkSize),
            (b"0x5\r\n", BadChunkSize),
            (b"5_0\r\n", BadChunkSize),
            (b"g\r\n", BadChunkSize),
            (b"5\n", BadChunkSize),
            (b"5\rhello", BadChunkSize),
            (b";a\r\n", BadChunkSize),
            (b"5,5\r\n", BadChunkSize),
            (b"00000000000000001\r\n", BadChunkSize),
            (b"8000000000000000\r\n", BadChunkSize),
            (b"0010000000000000\r\n", BadChunkSize),
            (b"ffffffffffffffff\r\n", BadChunkSize),
            (b"fffffffffffffffff\r\n", BadChunkSize),
            (b"5;a\n", BadChunkExtension),
            (b"5;a=\"\r\n", BadChunkExtension),
            (b"5;a=\"b\\\"\r\n", BadChunkExtension),
            (b"5;a\0\r\n", BadChunkExtension),
            (b"5;\xe9\r\n", BadChunkExtension),
            (b"5;a\rb\r\n", BadChunkSize),
            (&long, BadChunkExtension),
            (b"5\r\nhello0\r\n\r\n", BadChunkEnd),
            (b"5\r\nhello\n0\r\n\r\n", BadChunkEnd),
            (b"5\r\nhello\r0\r\n\r\n", BadChunkEnd),
            (b"5\r\nhello!\r\n0\r\n\r\n", BadChunkEnd),
            (b"0\r\n\n", BadTrailer),
            (b"0\r\n\rX", BadTrailer),
            (b"0\r\n a: b\r\n\r\n", BadTrailer),
            (b"0\r\na : b\r\n\r\n", BadTrailer),
            (b"0\r\n: b\r\n\r\n", BadTrailer),
            (b"0\r\na\r\n\r\n", BadTrailer),
            (b"0\r\na: b\n\r\n", BadTrailer),
            (b"0\r\na: \0\r\n\r\n", BadTrailer),
            (b"0\r\nGET / HTTP/1.1\r\n\r\n", BadTrailer),
            (b"0\r\na: 1\r\nb: 2\r\nc: 3\r\n\r\n", TrailersTooLarge),
            (
                b"0\r\na: 0123456789012345678901234567890123456789012345678901234567890\r\n\r\n",
                TrailersTooLarge,
            ),
        ];
        for (input, refusal) in table {
            assert_eq!(whole(input), Err(refusal), "{}", input.escape_ascii());
        }
    }

    #[test]
    fn trailers_may_not_change_the_message() {
        for name in [
            "Content-Length",
            "transfer-encoding",
            "HOST",
            "Cookie",
            "Set-Cookie",
        ]
        .into_iter()
        .chain([
            "Connection",
            "Upgrade",
            "X-Forwarded-For",
            "X-Forwarded-For-The-Sake-Of-A-Long-Name",
            "X_Forwarded_For_The_Sake_Of_A_Long_Name",
            "Authorization",
            "TE",
            "content_length",
        ]) {
            let input = format!("0\r\n{name}: 1\r\n\r\n");
            let result = whole(input.as_bytes());
            assert!(
                matches!(
                    result,
                    Err(Refusal::ForbiddenTrailer | Refusal::LookalikeField)
                ),
                "{name}: {result:?}"
            );
        }
    }

    #[test]
    fn trailers_may_not_bring_back_what_a_route_changes() {
        let changes = Changes::new(&HeaderChanges {
            set: vec![("X-User".to_owned(), Secret(b"safe".to_vec()))],
            add: vec![("X-Added".to_owned(), Secret(b"more".to_vec()))],
            remove: vec!["X-A-Name-Longer-Than-The-Room-For-Names".to_owned()],
        });
        let trailers = Trailers {
            changes: changes.as_ref(),
            pool: None,
        };
        let table = [
            ("X-User", false),
            ("x_user", false),
            ("X-Users", true),
            ("X-Added", true),
            ("X-A-Name-Longer-Than-The-Room-Fo", true),
            ("x_a-name-longer-than-the-room-for-names", false),
            ("X-A-Name-Longer-Than-The-Lines-Of-This", true),
        ];
        for (name, passes) in table {
            let input = format!("0\r\n{name}: 1\r\n\r\n");
            let read = |trailers: &Trailers<'_>| {
                Decoder::new(&HeadLimits::default()).each(input.as_bytes(), trailers, |_| ())
            };
            let wanted = match passes {
                true => read(&Trailers::default()),
                false => Err(Refusal::ForbiddenTrailer),
            };
            assert_eq!(read(&trailers), wanted, "{name}");
            assert!(read(&Trailers::default()).is_ok(), "{name}");
        }
    }

    #[test]
    fn extensions_are_bounded_by_payload() {
        let chunk = [b"1;".as_slice(), &[b'x'; 200], b"\r\n.\r\n"].concat();
        let mut decoder = Decoder::new(&HeadLimits::default());
        let refused = (0..1000).find(|_| decoder.step(&chunk).is_err());
        assert!(
            refused.is_some_and(|chunks| (70..100).contains(&chunks)),
            "{refused:?}"
        );

        let chunk = [
            b"400;".as_slice(),
            &[b'x'; 200],
            b"\r\n",
            &[b'.'; 1024],
            b"\r\n",
        ]
        .concat();
        let mut decoder = Decoder::new(&HeadLimits::default());
        assert!((0..1000).all(|_| decoder.step(&chunk).is_ok()));
    }

    proptest! {
        #[test]
        fn splitting_changes_nothing(
            input in proptest::collection::vec(
                proptest::sample::select(b"0123aAf;x=\"\r\n\r\n\r\n :\tX\0".to_vec()), 0..80),
            cut in 0_usize..80,
        ) {
            properties::chunked(&input, cut);
        }

        #[test]
        fn splitting_a_good_body_changes_nothing(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..20), 0..5),
            cut in 0_usize..200,
        ) {
            let mut input = Vec::new();
            for chunk in &chunks {
                input.extend_from_slice(format!("{:x};e\r\n", chunk.len()).as_bytes());
                input.extend_from_slice(chunk);
                input.extend_from_slice(b"\r\n");
            }
            input.extend_from_slice(b"0\r\nA: b\r\n\r\nrest");
            prop_assert_eq!(whole(&input).expect("a good body").0, chunks.concat());
            properties::chunked(&input, cut);
        }
    }
}
