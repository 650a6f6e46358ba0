//! A response's head.

use super::{BodyLength, Field, HeadLimits, Known, KnownSet, Method, Progress, Refusal, Span};

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
    /// What the fields alone say of the body.
    pub(super) framing: BodyLength,
    pub(super) fields: Vec<Field>,
    pub(super) present: KnownSet,
}

impl ResponseHead {
    /// With room for `limits.fields`, so that parsing never allocates.
    pub fn new(limits: &HeadLimits) -> Self {
        Self {
            fields: Vec::with_capacity(limits.fields),
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
        let _ = (buf, seen, limits);
        todo!()
    }

    /// A response before the final one: 100 to 199 except 101.
    #[inline]
    pub fn is_interim(&self) -> bool {
        matches!(self.status, 100 | 102..=199)
    }

    /// How the body ends, given the request's method (RFC 9112 section 6.3): none after HEAD, 1xx, 204 and
    /// 304.
    pub fn body(&self, request: Method) -> BodyLength {
        match (request, self.status) {
            (Method::Head, _) | (_, 100..=199 | 204 | 304) => BodyLength::None,
            _ => self.framing,
        }
    }

    /// The field lines in order.
    #[inline]
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Whether a field of that name is there.
    #[inline]
    pub fn has(&self, known: Known) -> bool {
        self.present.has(known)
    }

    /// The first field of that name.
    #[inline]
    pub fn find(&self, known: Known) -> Option<&Field> {
        if !self.has(known) {
            return None;
        }
        self.fields.iter().find(|field| field.known == known)
    }

    /// The value of the first field called `name`, in any case.
    pub fn value<'b>(&self, buf: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
        let field = self
            .fields
            .iter()
            .find(|field| field.name.of(buf).eq_ignore_ascii_case(name))?;
        Some(field.value.of(buf))
    }
}
