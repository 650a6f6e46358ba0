//! A chunked body (RFC 9112 section 7.1), strictly, in pieces of any size.

use super::{HeadLimits, Refusal};

/// Where in a chunked body the stream stands. A few plain words; no buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoder {
    limits: HeadLimits,
}

/// What one piece of input was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// Bytes of the input, from its start, that belong to the body (its framing included).
    pub taken: usize,
    /// The body ended with the last of them; what follows is another message.
    pub done: bool,
}

impl Decoder {
    /// At the start of a body. Trailers obey the same limits as heads.
    pub fn new(limits: &HeadLimits) -> Self {
        Self { limits: *limits }
    }

    /// Takes the next piece, to be passed on as it is.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, Refusal> {
        self.each(input, |_| ())
    }

    /// Takes the next piece and appends the payload in it to `out`, without chunk framing, extensions
    /// and trailers: for HTTP/1.0 clients.
    pub fn payload(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Step, Refusal> {
        self.each(input, |bytes| out.extend_from_slice(bytes))
    }

    /// Takes the next piece; `payload` is given the ranges of it that are payload, in order.
    pub fn each(&mut self, input: &[u8], payload: impl FnMut(&[u8])) -> Result<Step, Refusal> {
        let _ = (input, payload, self.limits);
        todo!()
    }

    /// Whether the body has ended.
    pub fn is_done(&self) -> bool {
        todo!()
    }
}
