//! A chunked body (RFC 9112 section 7.1), in pieces of any size.
//!
//! The decoder passes over the bytes and says which of them are the body. Most bodies go on as they came ([`Step::plain`]).
//! What peers accept of each other beyond the strict form does not: blanks behind a size, leading zeros, chunk extensions
//! (each recipient may drop them, section 7.1.1), trailers that may not be any. [`Decoder::strict`] writes what goes on
//! instead, and [`Decoder::payload`] the bare payload, for a client that knows no chunks. The decoder is a few plain words without a
//! buffer, but for the start of a trailer's name, which is held until it is known whether the trailer goes on.
//!
//! ```text
//!  Size ──► Blanks ──► Extension ──► SizeEnd ──► Data ──► DataCr ──► DataLf ──► Size …
//!                                       │ 0
//!                                       ▼
//!                                    Trailer ──► TrailerName ──► TrailerValue ──► TrailerEnd ──► Trailer …
//!                                       │ CR
//!                                       ▼
//!                                     LastLf ──► Done
//! ```

use super::forward::Trailers;
use super::{Blame, BodyLength, HeadLimits, Refusal, rules};

/// Where in a chunked body the stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoder {
    at: At,
    /// Who sends it.
    from: Blame,
    /// A lone LF ends a line too.
    bare_lf: bool,
    /// One did.
    had_bare_lf: bool,
    /// The size read so far, then what is left of the chunk.
    left: u64,
    /// Digits of the size so far, without leading zeros.
    digits: u8,
    /// Bytes of the size line so far.
    line: u16,
    /// Bytes of size lines, besides their digits, beyond what the payload allows.
    extensions: u32,
    /// Bytes that trailers may still have.
    trailer_bytes: u32,
    /// Lines that trailers may still have.
    trailer_lines: u32,
    /// The trailer's name so far; what is beyond its room is no name that we know.
    name: [u8; 32],
    /// Bytes of the name that are held.
    name_length: u8,
    /// The trailer goes on.
    passes: bool,
}

/// What the next byte is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Size,
    /// Behind the size, up to its line's end or an extension.
    Blanks,
    Extension(Extension),
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    Trailer,
    /// Within a name that is held.
    TrailerName,
    /// Within a name that is longer than what is held.
    TrailerLongName,
    TrailerValue,
    TrailerEnd,
    LastLf,
    Done,
}

/// What the next byte of a chunk's extensions is (RFC 9112 section 7.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extension {
    /// Behind `;`
    NameStart,
    Name,
    /// Behind a name and a blank.
    NameEnd,
    /// Behind `=`
    ValueStart,
    Value,
    /// Within a quoted value; the line cannot end there. A reader that takes quotes seriously would look for the end of the
    /// line behind the closing one.
    Quoted,
    /// Behind a backslash in it.
    Escaped,
    /// Behind a value.
    End,
}

/// How a byte of framing goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goes {
    /// As it came.
    On,
    /// Not.
    Nowhere,
    /// When it is known whether the trailer does.
    Held,
    /// As the last one of what was held.
    BehindHeld,
    /// As CRLF.
    AsLineEnd,
}

/// What one piece of input was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input, from its start, that belong to the body (its framing included). Less than
    /// the input only if the body is done.
    pub taken: usize,
    /// The body ended with the last of them; what follows is another message.
    pub done: bool,
    /// They are in the strict form and go on as they came. If not, [`Decoder::strict`] with the decoder as it was before
    /// writes what goes on.
    pub plain: bool,
}

impl Decoder {
    /// At the start of a body that is sent `from` that side. Trailers obey the same limits as heads.
    pub fn new(limits: &HeadLimits, from: Blame) -> Self {
        Self {
            at: At::Size,
            from,
            bare_lf: false,
            had_bare_lf: false,
            left: 0,
            digits: 0,
            line: 0,
            extensions: 0,
            trailer_bytes: u32::try_from(limits.size).unwrap_or(u32::MAX),
            trailer_lines: u32::try_from(limits.fields).unwrap_or(u32::MAX),
            name: [0; 32],
            name_length: 0,
            passes: true,
        }
    }

    /// A lone LF ends a line too; what goes on has CRLF (`response_parsing = "lenient"`).
    pub fn with_bare_lf(mut self) -> Self {
        self.bare_lf = true;
        self
    }

    /// Whether a line ended with a lone LF.
    pub fn had_bare_lf(&self) -> bool {
        self.had_bare_lf
    }

    /// Takes the next piece. After a refusal the stream means nothing any more.
    ///
    /// # Errors
    /// When it is no chunked body.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, Refusal> {
        self.each(input, &Trailers::default(), |_| ())
    }

    /// Takes the next piece and appends the payload in it to `out`, without chunk framing, extensions
    /// and trailers: for HTTP/1.0 clients.
    ///
    /// # Errors
    /// When it is no chunked body.
    pub fn payload(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Step, Refusal> {
        self.each(input, &Trailers::default(), |bytes| {
            out.extend_from_slice(bytes);
        })
    }

    /// Takes the next piece and appends its strict form to `out`: sizes without blanks, extensions and more than one leading
    /// zero, lines that end in CRLF, no trailer that may not be one.
    ///
    /// # Errors
    /// When it is no chunked body.
    pub fn strict(
        &mut self,
        input: &[u8],
        trailers: &Trailers<'_>,
        out: &mut Vec<u8>,
    ) -> Result<Step, Refusal> {
        self.walk(input, trailers, &mut Strict(out))
    }

    /// Takes the next piece; `payload` is given the ranges of it that are payload, in order. No trailer may have a name
    /// that `trailers` refuses.
    ///
    /// # Errors
    /// When it is no chunked body.
    pub fn each(
        &mut self,
        input: &[u8],
        trailers: &Trailers<'_>,
        payload: impl FnMut(&[u8]),
    ) -> Result<Step, Refusal> {
        self.walk(input, trailers, &mut Payload(payload))
    }

    fn walk(
        &mut self,
        input: &[u8],
        trailers: &Trailers<'_>,
        sink: &mut impl Sink,
    ) -> Result<Step, Refusal> {
        let mut taken = 0;
        // A name that is held from an earlier piece does not go on as it came.
        let mut plain = self.at != At::TrailerName;
        while taken < input.len() && self.at != At::Done {
            if self.at == At::Data {
                let rest = &input[taken..];
                let here =
                    usize::try_from(self.left).map_or(rest.len(), |left| left.min(rest.len()));
                sink.payload(&rest[..here]);
                taken += here;
                self.left -= here as u64;
                if self.left == 0 {
                    self.at = At::DataCr;
                }
            } else {
                let byte = input[taken];
                let (at, goes) = self.next(byte, trailers)?;
                match goes {
                    Goes::On => sink.framing(&[byte]),
                    Goes::Held => {}
                    Goes::BehindHeld => {
                        sink.framing(&self.name[..self.name_length.into()]);
                        sink.framing(&[byte]);
                    }
                    Goes::Nowhere => plain = false,
                    Goes::AsLineEnd => {
                        plain = false;
                        sink.framing(b"\r\n");
                    }
                }
                self.at = at;
                taken += 1;
            }
        }
        Ok(Step {
            taken,
            done: self.at == At::Done,
            plain: plain && self.at != At::TrailerName,
        })
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        self.at == At::Done
    }

    /// One byte of framing.
    fn next(&mut self, byte: u8, trailers: &Trailers<'_>) -> Result<(At, Goes), Refusal> {
        if byte == b'\n' && self.ends_a_line() {
            return self.bare_line_end();
        }
        match (self.at, byte) {
            (At::Size, _) => self.size(byte),
            (At::Blanks | At::Extension(_), _) => {
                Ok((self.behind_size(byte)?, goes_if(byte == b'\r')))
            }
            (At::SizeEnd, b'\n') => Ok((self.chunk(), Goes::On)),
            (At::SizeEnd, _) => Err(Refusal::BadChunkSize),
            (At::DataCr, b'\r') => Ok((At::DataLf, Goes::On)),
            (At::DataLf, b'\n') => Ok((At::Size, Goes::On)),
            (At::DataCr | At::DataLf, _) => Err(Refusal::BadChunkEnd),
            (
                At::Trailer
                | At::TrailerName
                | At::TrailerLongName
                | At::TrailerValue
                | At::TrailerEnd,
                _,
            ) => {
                self.trailer_bytes = self
                    .trailer_bytes
                    .checked_sub(1)
                    .ok_or(Refusal::TrailersTooLarge)?;
                self.trailer(byte, trailers)
            }
            (At::LastLf, b'\n') => Ok((At::Done, Goes::On)),
            (At::LastLf, _) => Err(Refusal::BadTrailer),
            (At::Data | At::Done, _) => Ok((self.at, Goes::On)),
        }
    }

    /// Whether a CR could stand here.
    fn ends_a_line(&self) -> bool {
        match self.at {
            At::Size => self.line > 0,
            At::Extension(extension) => !extension.is_quoted(),
            At::Blanks | At::DataCr | At::Trailer | At::TrailerValue => true,
            _ => false,
        }
    }

    /// What the LF would lead to behind the CR that is missing.
    #[cold]
    fn bare_line_end(&mut self) -> Result<(At, Goes), Refusal> {
        if !self.bare_lf {
            return Err(Refusal::BareLineEnd);
        }
        self.had_bare_lf = true;
        Ok(match self.at {
            At::DataCr => (At::Size, Goes::AsLineEnd),
            At::Trailer => (At::Done, Goes::AsLineEnd),
            At::TrailerValue if self.passes => (At::Trailer, Goes::AsLineEnd),
            At::TrailerValue => (At::Trailer, Goes::Nowhere),
            _ => {
                self.size_is_sound()?;
                (self.chunk(), Goes::AsLineEnd)
            }
        })
    }

    fn size(&mut self, byte: u8) -> Result<(At, Goes), Refusal> {
        let Some(digit) = rules::hex(byte) else {
            self.size_is_sound()?;
            return match byte {
                b'\r' => Ok((At::SizeEnd, Goes::On)),
                b';' | b' ' | b'\t' => {
                    self.at = At::Blanks;
                    Ok((self.behind_size(byte)?, Goes::Nowhere))
                }
                _ => Err(Refusal::BadChunkSize),
            };
        };
        if self.left == 0 && digit == 0 {
            // One leading zero goes on: it may be all that there is.
            let goes = goes_if(self.line == 0);
            self.count(u32::from(self.line > 0), Refusal::BadChunkSize)?;
            return Ok((At::Size, goes));
        }
        if self.digits == rules::CHUNK_SIZE_DIGITS {
            return Err(Refusal::BadChunkSize);
        }
        self.digits += 1;
        self.left = self.left << 4 | u64::from(digit);
        self.count(0, Refusal::BadChunkSize)?;
        Ok((At::Size, Goes::On))
    }

    /// There is one, and it is not too large.
    fn size_is_sound(&self) -> Result<(), Refusal> {
        match self.line > 0 && self.left <= rules::MOST_CHUNK {
            true => Ok(()),
            false => Err(Refusal::BadChunkSize),
        }
    }

    /// Counts one more byte of a size line, and `beyond` of what frames nothing.
    fn count(&mut self, beyond: u32, refusal: Refusal) -> Result<(), Refusal> {
        self.line += 1;
        self.extensions += beyond;
        let bounded = self.line <= rules::CHUNK_LINE && self.extensions <= rules::CHUNK_EXTENSIONS;
        if bounded { Ok(()) } else { Err(refusal) }
    }

    /// A byte behind the size, up to its line's end.
    fn behind_size(&mut self, byte: u8) -> Result<At, Refusal> {
        match (self.at, byte) {
            (At::Extension(extension), b'\r') => match extension.may_end(self.from) {
                true => Ok(At::SizeEnd),
                false => Err(Refusal::BadChunkExtension),
            },
            (At::Extension(extension), _) => {
                self.count(1, Refusal::BadChunkExtension)?;
                if !rules::is_extension_byte(byte) {
                    return Err(Refusal::BadChunkExtension);
                }
                let next = extension.next(byte, self.from);
                next.map(At::Extension).ok_or(Refusal::BadChunkExtension)
            }
            (_, b'\r') => Ok(At::SizeEnd),
            (_, b';') => {
                self.count(1, Refusal::BadChunkExtension)?;
                Ok(At::Extension(Extension::NameStart))
            }
            (_, b' ' | b'\t') => {
                self.count(1, Refusal::BadChunkSize)?;
                Ok(At::Blanks)
            }
            _ => Err(Refusal::BadChunkSize),
        }
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

    fn trailer(&mut self, byte: u8, trailers: &Trailers<'_>) -> Result<(At, Goes), Refusal> {
        match (self.at, byte) {
            (At::Trailer, b'\r') => Ok((At::LastLf, Goes::On)),
            (At::Trailer, _) => {
                self.trailer_lines = self
                    .trailer_lines
                    .checked_sub(1)
                    .ok_or(Refusal::TrailersTooLarge)?;
                self.name_length = 0;
                self.trailer_name(byte, trailers)
            }
            (At::TrailerName, b':') => {
                let name = &self.name[..self.name_length.into()];
                self.passes = rules::trailer(name)?;
                trailers.check(name)?;
                Ok((At::TrailerValue, behind_held_if(self.passes)))
            }
            (At::TrailerName, _) => self.trailer_name(byte, trailers),
            (At::TrailerLongName, b':') => Ok((At::TrailerValue, goes_if(self.passes))),
            (At::TrailerLongName, _) if rules::is_token_byte(byte) => {
                Ok((At::TrailerLongName, goes_if(self.passes)))
            }
            (At::TrailerValue, b'\r') => Ok((At::TrailerEnd, goes_if(self.passes))),
            (At::TrailerValue, _) if rules::is_value_byte(byte) => {
                Ok((At::TrailerValue, goes_if(self.passes)))
            }
            (At::TrailerEnd, b'\n') => Ok((At::Trailer, goes_if(self.passes))),
            _ => Err(Refusal::BadTrailer),
        }
    }

    fn trailer_name(&mut self, byte: u8, trailers: &Trailers<'_>) -> Result<(At, Goes), Refusal> {
        if !rules::is_token_byte(byte) {
            return Err(Refusal::BadTrailer);
        }
        if let Some(place) = self.name.get_mut(usize::from(self.name_length)) {
            *place = byte;
            self.name_length += 1;
            return Ok((At::TrailerName, Goes::Held));
        }
        // No known name is so long, but for those of which only the beginning is known.
        self.passes = rules::trailer(&self.name)?;
        trailers.check_start(&self.name)?;
        Ok((At::TrailerLongName, behind_held_if(self.passes)))
    }
}

fn goes_if(passes: bool) -> Goes {
    if passes { Goes::On } else { Goes::Nowhere }
}

fn behind_held_if(passes: bool) -> Goes {
    if passes {
        Goes::BehindHeld
    } else {
        Goes::Nowhere
    }
}

impl Extension {
    /// What follows this byte; `None` where it cannot stand. A server's extensions are dropped with the rest of its size line,
    /// and only their quotes matter: where they end, the line may.
    fn next(self, byte: u8, from: Blame) -> Option<Self> {
        let is_token = rules::is_token_byte(byte);
        Some(match (self, byte) {
            (Self::Quoted, b'\\') => Self::Escaped,
            (Self::Quoted, b'"') => Self::End,
            (Self::Quoted | Self::Escaped, _) => Self::Quoted,
            (_, b'"') if from == Blame::Server => Self::Quoted,
            _ if from == Blame::Server => Self::Name,
            (Self::NameStart | Self::ValueStart, b' ' | b'\t') => self,
            (Self::NameStart | Self::Name, _) if is_token => Self::Name,
            (Self::Name | Self::NameEnd, b' ' | b'\t') => Self::NameEnd,
            (Self::Name | Self::NameEnd, b'=') => Self::ValueStart,
            (Self::ValueStart, b'"') => Self::Quoted,
            (Self::ValueStart | Self::Value, _) if is_token => Self::Value,
            (Self::Value | Self::End, b' ' | b'\t') => Self::End,
            (Self::Name | Self::NameEnd | Self::Value | Self::End, b';') => Self::NameStart,
            _ => return None,
        })
    }

    const fn is_quoted(self) -> bool {
        matches!(self, Self::Quoted | Self::Escaped)
    }

    /// Whether the line may end here.
    fn may_end(self, from: Blame) -> bool {
        match self {
            Self::Quoted | Self::Escaped => false,
            Self::NameStart | Self::ValueStart => from == Blame::Server,
            Self::Name | Self::NameEnd | Self::Value | Self::End => true,
        }
    }
}

/// What is made of a body.
trait Sink {
    fn payload(&mut self, bytes: &[u8]);
    fn framing(&mut self, bytes: &[u8]);
}

/// Looks at the payload.
struct Payload<F>(F);

impl<F: FnMut(&[u8])> Sink for Payload<F> {
    fn payload(&mut self, bytes: &[u8]) {
        (self.0)(bytes);
    }

    fn framing(&mut self, _: &[u8]) {}
}

/// Writes the strict form.
struct Strict<'a>(&'a mut Vec<u8>);

impl Sink for Strict<'_> {
    fn payload(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn framing(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

/// The bytes of a WebSocket handshake's body, which must be empty: some clients and proxies send `Content-Length: 0` or a last
/// chunk. `behind` is what has come behind the head; `None`: more is needed to know.
///
/// # Errors
/// When it is not empty, or longer than [`rules::EMPTY_BODY`].
pub fn empty_body(length: BodyLength, behind: &[u8]) -> Result<Option<usize>, Refusal> {
    if length != BodyLength::Chunked {
        return Ok(Some(0));
    }
    let most = &behind[..behind.len().min(rules::EMPTY_BODY)];
    let limits = HeadLimits {
        size: rules::EMPTY_BODY,
        fields: 0,
    };
    let mut decoder = Decoder::new(&limits, Blame::Client);
    let mut is_empty = true;
    let step = decoder.each(most, &Trailers::default(), |_| is_empty = false)?;
    match is_empty && decoder.at != At::Data {
        true if step.done => Ok(Some(step.taken)),
        true if most.len() < rules::EMPTY_BODY => Ok(None),
        _ => Err(Refusal::BodyNotExpected),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{HeaderChanges, Secret};
    use crate::wire::forward::Changes;
    use crate::wire::properties;
    use proptest::prelude::*;

    const NARROW: HeadLimits = HeadLimits {
        size: 64,
        fields: 2,
    };

    fn whole(input: &[u8]) -> Result<(Vec<u8>, Step), Refusal> {
        let mut out = Vec::new();
        let step = Decoder::new(&NARROW, Blame::Client).payload(input, &mut out)?;
        Ok((out, step))
    }

    #[test]
    fn good_bodies() {
        let table: [(&[u8], &[u8]); 18] = [
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
            (b"1\t;\ta\t;b \r\nx\r\n0 ;c\r\n\r\n", b"x"),
            (b"1   \r\nx\r\n0\t\r\n\r\n", b"x"),
            (b"00000000000000000000000001\r\nx\r\n0\r\n\r\n", b"x"),
            (b"1\r\nx\r\n00000000000000000000000000\r\n\r\n", b"x"),
            (b"0\r\nDate: x\r\n\r\n", b""),
            (b"0\r\nx-a-name-of-thirty-two-letters--: y\r\n\r\n", b""),
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
        let table: [(&[u8], Refusal); 53] = [
            (b"\r\n", BadChunkSize),
            (b" 5\r\n", BadChunkSize),
            (b"5 5\r\n", BadChunkSize),
            (b"5 \n", BareLineEnd),
            (b"5 \rhello", BadChunkSize),
            (b" \r\n", BadChunkSize),
            (b"5\x0b\r\n", BadChunkSize),
            (b"+5\r\n", BadChunkSize),
            (b"-5\r\n", BadChunkSize),
            (b"0x5\r\n", BadChunkSize),
            (b"5_0\r\n", BadChunkSize),
            (b"g\r\n", BadChunkSize),
            (b"5\n", BareLineEnd),
            (b"5\rhello", BadChunkSize),
            (b";a\r\n", BadChunkSize),
            (b"5,5\r\n", BadChunkSize),
            (b"0000000000000000010000000000000\r\n", BadChunkSize),
            (b"8000000000000000\r\n", BadChunkSize),
            (b"0010000000000000\r\n", BadChunkSize),
            (b"ffffffffffffffff\r\n", BadChunkSize),
            (b"fffffffffffffffff\r\n", BadChunkSize),
            (b"5;a\n", BareLineEnd),
            (b"5;\r\n", BadChunkExtension),
            (b"5; \r\n", BadChunkExtension),
            (b"5;;\r\n", BadChunkExtension),
            (b"5;a;\r\n", BadChunkExtension),
            (b"5; =x\r\n", BadChunkExtension),
            (b"5;a=\r\n", BadChunkExtension),
            (b"5;a=b=c\r\n", BadChunkExtension),
            (b"5;a b\r\n", BadChunkExtension),
            (b"5;a=\"b\"c\r\n", BadChunkExtension),
            (b"5;\"a\"\r\n", BadChunkExtension),
            (b"5;a=\"\r\n", BadChunkExtension),
            (b"5;a=\"b\\\"\r\n", BadChunkExtension),
            (b"5;a\0\r\n", BadChunkExtension),
            (b"5;\xe9\r\n", BadChunkExtension),
            (b"5;a\rb\r\n", BadChunkSize),
            (&long, BadChunkExtension),
            (b"5\r\nhello0\r\n\r\n", BadChunkEnd),
            (b"5\r\nhello\n0\r\n\r\n", BareLineEnd),
            (b"5\r\nhello\r0\r\n\r\n", BadChunkEnd),
            (b"5\r\nhello!\r\n0\r\n\r\n", BadChunkEnd),
            (b"0\r\n\n", BareLineEnd),
            (b"0\r\n\rX", BadTrailer),
            (b"0\r\n a: b\r\n\r\n", BadTrailer),
            (b"0\r\na : b\r\n\r\n", BadTrailer),
            (b"0\r\n: b\r\n\r\n", BadTrailer),
            (b"0\r\na\r\n\r\n", BadTrailer),
            (b"0\r\na: b\n\r\n", BareLineEnd),
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

    /// What goes on of a body, as it is told whole and byte by byte.
    fn strict(input: &[u8], from: Blame) -> Result<String, Refusal> {
        let run = |size: usize| {
            let (mut decoder, mut out) = (Decoder::new(&NARROW, from), Vec::new());
            for piece in input.chunks(size) {
                decoder.strict(piece, &Trailers::default(), &mut out)?;
            }
            assert!(decoder.is_done());
            Ok(String::from_utf8(out).expect("text"))
        };
        let whole = run(input.len());
        assert_eq!(whole, run(1), "{}", input.escape_ascii());
        whole
    }

    #[test]
    fn what_goes_on_is_strict() {
        let table = [
            ("1\r\nx\r\n0\r\n\r\n", "1\r\nx\r\n0\r\n\r\n"),
            ("1   \r\nx\r\n0\t \r\n\r\n", "1\r\nx\r\n0\r\n\r\n"),
            ("0001\r\nx\r\n000\r\n\r\n", "01\r\nx\r\n0\r\n\r\n"),
            (
                "1 ;a=\"b;\\\"\"; c\r\nx\r\n0;d\r\n\r\n",
                "1\r\nx\r\n0\r\n\r\n",
            ),
            ("0\r\nDate: a\r\nA: b\r\n\r\n", "0\r\nA: b\r\n\r\n"),
            ("0\r\nA: b\r\nexpires:a\r\n\r\n", "0\r\nA: b\r\n\r\n"),
            ("0\r\nAge:\r\nVary: a\r\n\r\n", "0\r\n\r\n"),
            ("0\r\nDated: a\r\n\r\n", "0\r\nDated: a\r\n\r\n"),
        ];
        for (input, output) in table {
            for from in [Blame::Client, Blame::Server] {
                let written = strict(input.as_bytes(), from);
                assert_eq!(written.as_deref(), Ok(output), "{input}");
            }
        }
    }

    #[test]
    fn a_server_s_extensions_are_dropped_whatever_they_are() {
        for extension in [";", ";;", "; =x", ";a b", ";a=\"b\"c", ";\"a\""] {
            let input = format!("1{extension}\r\nx\r\n0\r\n\r\n");
            let written = strict(input.as_bytes(), Blame::Server);
            assert_eq!(written.as_deref(), Ok("1\r\nx\r\n0\r\n\r\n"), "{input}");
            let refused = strict(input.as_bytes(), Blame::Client);
            assert_eq!(refused, Err(Refusal::BadChunkExtension), "{input}");
        }
        for open in ["1;a=\"\r\nx\r\n", "1;\x01\r\n", "1;a=\"\n"] {
            let refused = strict(open.as_bytes(), Blame::Server);
            assert_eq!(refused, Err(Refusal::BadChunkExtension), "{open}");
        }
    }

    #[test]
    fn blanks_and_zeros_have_a_bound() {
        let most = usize::from(rules::CHUNK_LINE);
        for fill in [" ", "\t"] {
            let line = |blanks: usize| format!("1{}\r\nx\r\n0\r\n\r\n", fill.repeat(blanks));
            assert!(whole(line(most - 1).as_bytes()).is_ok());
            let refused = whole(line(most).as_bytes());
            assert_eq!(refused, Err(Refusal::BadChunkSize));
        }
        let zeros = |zeros: usize| format!("{}1\r\nx\r\n0\r\n\r\n", "0".repeat(zeros));
        assert!(whole(zeros(most - 1).as_bytes()).is_ok());
        assert_eq!(whole(zeros(most).as_bytes()), Err(Refusal::BadChunkSize));
        // And all of them together by what they frame.
        let chunk = format!("1{}\r\nx\r\n", " ".repeat(200));
        let mut decoder = Decoder::new(&NARROW, Blame::Server);
        let refused = (0..1_000).find(|_| decoder.step(chunk.as_bytes()).is_err());
        assert!(refused.is_some_and(|chunks| (70..100).contains(&chunks)));
    }

    #[test]
    fn a_lone_lf_ends_a_line_only_where_that_was_asked_for() {
        let lenient = |input: &str| {
            let mut out = Vec::new();
            let mut decoder = Decoder::new(&NARROW, Blame::Server).with_bare_lf();
            let step = decoder.strict(input.as_bytes(), &Trailers::default(), &mut out)?;
            assert!(step.done && decoder.had_bare_lf(), "{input:?}");
            Ok(String::from_utf8(out).expect("text"))
        };
        for input in [
            "1\nx\n0\n\n",
            "1\nx\r\n0\r\n\r\n",
            "1 ;a\r\nx\n0\r\n\r\n",
            "1;a\nx\r\n0\r\n\n",
            "1\r\nx\r\n0\r\nDate: a\n\r\n",
        ] {
            let written = lenient(input);
            assert_eq!(written.as_deref(), Ok("1\r\nx\r\n0\r\n\r\n"), "{input:?}");
            assert!(whole(input.as_bytes()).is_err(), "{input:?}");
        }
        assert_eq!(lenient("0\nA: b\n\n").as_deref(), Ok("0\r\nA: b\r\n\r\n"));
        for (input, refusal) in [
            ("\n", Refusal::BadChunkSize),
            ("1\rx", Refusal::BadChunkSize),
            ("1;a=\"\n", Refusal::BadChunkExtension),
            ("1\nxy\n", Refusal::BadChunkEnd),
            ("0\nA\n", Refusal::BadTrailer),
            ("0\nContent-Length: 1\n", Refusal::ForbiddenTrailer),
            ("fffffffffffffff\n", Refusal::BadChunkSize),
        ] {
            assert_eq!(lenient(input), Err(refusal), "{input:?}");
        }
    }

    #[test]
    fn an_empty_body_of_a_handshake_is_taken() {
        use BodyLength::{Chunked, Length};
        assert_eq!(empty_body(BodyLength::None, b"x"), Ok(Some(0)));
        assert_eq!(empty_body(Length(0), b"x"), Ok(Some(0)));
        for (behind, size) in [
            ("", None),
            ("0\r\n\r", None),
            ("0\r\n\r\n", Some(5)),
            ("00 ;a\r\n\r\nx", Some(9)),
        ] {
            assert_eq!(empty_body(Chunked, behind.as_bytes()), Ok(size), "{behind}");
        }
        for behind in ["1\r\n", "1\r\nx\r\n0\r\n\r\n", "0\r\nA: b\r\n\r\n", "x"] {
            assert!(empty_body(Chunked, behind.as_bytes()).is_err(), "{behind}");
        }
        let long = "0".repeat(rules::EMPTY_BODY - 4) + "\r\n\r\n";
        assert_eq!(empty_body(Chunked, long.as_bytes()), Ok(Some(64)));
        assert!(empty_body(Chunked, format!("0{long}").as_bytes()).is_err());
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
                Decoder::new(&HeadLimits::default(), Blame::Client).each(
                    input.as_bytes(),
                    trailers,
                    |_| (),
                )
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
        let mut decoder = Decoder::new(&HeadLimits::default(), Blame::Client);
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
        let mut decoder = Decoder::new(&HeadLimits::default(), Blame::Client);
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
