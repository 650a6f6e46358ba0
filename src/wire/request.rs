//! A request's head.

use super::{BodyLength, Field, HeadLimits, Known, KnownSet, Method, Progress, Refusal, Span};

/// What kind of request target was sent (RFC 9112 section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TargetForm {
    /// `/path?query`
    #[default]
    Origin,
    /// `http://host/path?query`
    Absolute,
    /// `*`, with OPTIONS only.
    Asterisk,
}

/// What `Upgrade` asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Upgrade {
    /// Nothing, or `Connection` does not name it.
    #[default]
    None,
    /// `websocket` and nothing else: [`super::websocket::check_request`] decides.
    WebSocket,
    /// Something else (or also something else): not passed on, the request is an ordinary one.
    Other,
}

/// A request's head as offsets into the buffer it was read from. One value serves one connection after the other.
#[derive(Debug, Default)]
pub struct RequestHead {
    /// The method; [`Method::Other`]'s name is in `method_name`.
    pub method: Method,
    /// The method as written.
    pub method_name: Span,
    /// The whole target as written.
    pub target: Span,
    /// Which form the target has.
    pub form: TargetForm,
    /// The target's path, without query; may be empty (absolute form, asterisk): see [`RequestHead::path`].
    pub path_span: Span,
    /// The target's query with its `?`; empty if there is none.
    pub query: Span,
    /// Host and port as in the target (absolute form) or `Host`; empty if neither is there (HTTP/1.0 only).
    pub authority: Span,
    /// `authority` without port, IPv6 in its brackets; compare without regard to case.
    pub host: Span,
    /// `HTTP/1.` this: 0 or 1.
    pub minor: u8,
    /// How the body ends; never `UntilClose`.
    pub body: BodyLength,
    /// The client wants the connection kept (HTTP/1.0 must ask for it).
    pub keep_alive: bool,
    /// `Expect: 100-continue` in HTTP/1.1: the client may be waiting before it sends the body.
    pub expect_continue: bool,
    /// What `Upgrade` asks for.
    pub upgrade: Upgrade,
    /// `TE` has `trailers`: the client reads trailers.
    pub te_trailers: bool,
    /// Bytes of the head in the buffer, with an empty line before it: what to consume.
    pub size: usize,
    pub(super) fields: Vec<Field>,
    pub(super) present: KnownSet,
}

impl RequestHead {
    /// With room for `limits.fields`, so that parsing never allocates.
    pub fn new(limits: &HeadLimits) -> Self {
        Self {
            fields: Vec::with_capacity(limits.fields),
            ..Self::default()
        }
    }

    /// Reads the head that begins at `buf[0]`. Of a head that arrives in pieces, `seen` is how many
    /// bytes `buf` had when the last call said [`Progress::Partial`] (0 the first time): they are not
    /// searched again. Bytes behind the head are not looked at.
    pub fn parse(
        &mut self,
        buf: &[u8],
        seen: usize,
        limits: &HeadLimits,
    ) -> Result<Progress, Refusal> {
        let _ = (buf, seen, limits);
        todo!()
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

    /// The value of the first field called `name`, in any case: for captures and conditions.
    pub fn value<'b>(&self, buf: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
        let field = self
            .fields
            .iter()
            .find(|field| field.name.of(buf).eq_ignore_ascii_case(name))?;
        Some(field.value.of(buf))
    }

    /// The path without query, `/` where an absolute target has none, `*` for the asterisk form.
    #[inline]
    pub fn path<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        match (self.form, self.path_span.is_empty()) {
            (TargetForm::Asterisk, _) => b"*",
            (_, true) => b"/",
            (_, false) => self.path_span.of(buf),
        }
    }
}
