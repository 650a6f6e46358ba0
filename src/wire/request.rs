//! A request's head: read once, then asked by every room behind.
//!
//! Parsing is in three steps: httparse splits the lines, [`rules`] says what may stand in each, and
//! what the fields say together (body, host, connection) is settled last. The value holds offsets only
//! and is used again for the connection's next request, so that in steady state nothing allocates.

use std::mem::MaybeUninit;

use super::Blame;
use super::head::{self, Sayings};
use super::{BodyLength, Fields, HeadLimits, Known, Method, Progress, Refusal, Span, rules};

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

/// What `Upgrade` asks for, where it may ask ([`rules::may_upgrade`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Upgrade {
    /// Nothing, or nothing that is to be heeded: an ordinary request.
    #[default]
    None,
    /// `websocket` is in the list: [`super::websocket::check_request`] decides.
    WebSocket,
    /// Something else (`h2c`): not passed on, the request is an ordinary one.
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
    /// Host and port as in the target (absolute form) or `Host`; empty if `Host` is, or is not there (HTTP/1.0 only).
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
    /// Bytes above ASCII in the target, which go on percent-encoded.
    pub above_ascii: usize,
    /// Bytes of the head in the buffer, with the empty lines before it: what to consume.
    pub size: usize,
    /// The field lines.
    pub fields: Fields,
    /// `Connection` lists `upgrade`.
    pub(super) connection_upgrade: bool,
}

impl RequestHead {
    /// With room for `limits.fields`, so that parsing never allocates.
    pub fn new(limits: &HeadLimits) -> Self {
        Self {
            fields: Fields::with_capacity(limits.fields),
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
        let window = &buf[..buf.len().min(limits.size)];
        let Some(skip) = rules::leading_lines(window)? else {
            return Ok(Progress::Partial);
        };
        if !head::is_worth_splitting(window, skip, seen, limits) {
            return head::not_yet(window, skip, seen, limits);
        }
        let mut lines: head::Lines<'_> = [const { MaybeUninit::uninit() }; HeadLimits::MOST_FIELDS];
        let room = limits.fields.min(HeadLimits::MOST_FIELDS);
        let mut raw = httparse::Request::new(&mut []);
        match raw.parse_with_uninit_headers(&window[skip..], &mut lines[..room]) {
            Ok(httparse::Status::Partial) => head::not_yet(window, skip, seen, limits),
            Ok(httparse::Status::Complete(size)) => {
                self.read(&window[..skip + size], &raw, limits)?;
                Ok(Progress::Complete)
            }
            Err(httparse::Error::Version) => match rules::version_refusal(&window[skip..]) {
                Some(refusal) => Err(refusal),
                None => head::not_yet(window, skip, seen, limits),
            },
            // No method begins with this byte, and every TLS handshake does.
            Err(_) if window.starts_with(&[rules::TLS_HANDSHAKE]) => Err(Refusal::TlsOnPlainPort),
            Err(error) => Err(rules::raw(error, &window[skip..])),
        }
    }

    fn read(
        &mut self,
        buf: &[u8],
        raw: &httparse::Request<'_, '_>,
        limits: &HeadLimits,
    ) -> Result<(), Refusal> {
        let (Some(name), Some(target), Some(minor)) = (raw.method, raw.path, raw.version) else {
            return Err(Refusal::BadRequestLine);
        };
        head::check_line_ends(buf, raw.headers)?;
        self.size = buf.len();
        self.minor = minor;
        self.method_name = Span::locate(buf, name.as_bytes());
        self.method = rules::method(name.as_bytes())?;
        self.target = Span::locate(buf, target.as_bytes());
        let target = rules::target(buf, self.target, self.method)?;
        (self.form, self.path_span, self.query) = (target.form, target.path, target.query);
        self.above_ascii = target.above_ascii;
        if self.above_ascii > 0 && buf.len() + 2 * self.above_ascii > limits.size {
            return Err(Refusal::TargetTooLong);
        }
        let sayings = Sayings::read(buf, raw.headers, &mut self.fields, Blame::Client)?;
        self.route(buf, &target, &sayings)?;
        self.body = sayings.framing.of_request(minor, self.method)?;
        self.keep_alive = sayings.keeps_alive(minor);
        self.connection_upgrade = sayings.upgrade;
        self.expect_continue = minor == 1 && self.fields.lists(buf, Known::Expect, b"100-continue");
        self.te_trailers = minor == 1 && self.fields.lists(buf, Known::Te, b"trailers");
        self.upgrade = match rules::may_upgrade(minor, self.method, sayings.upgrade)
            && self.fields.has(Known::Upgrade)
        {
            false => Upgrade::None,
            true if self.fields.lists(buf, Known::Upgrade, b"websocket") => Upgrade::WebSocket,
            true => Upgrade::Other,
        };
        Ok(())
    }

    /// Which of these protocols the request asks to switch to (RFC 9110 section 7.8), if it names that one alone. Any method may ask; HTTP/1.0
    /// and a request whose `Connection` does not list `upgrade` ask for nothing.
    pub fn asks_for<'p>(
        &self,
        buf: &[u8],
        mut protocols: impl Iterator<Item = &'p [u8]>,
    ) -> Option<usize> {
        let named = self.fields.only(Known::Upgrade)?.of(buf);
        let asks = self.minor == 1 && self.connection_upgrade;
        protocols.position(|protocol| asks && named.eq_ignore_ascii_case(protocol))
    }

    /// RFC 9112 section 3.2: an absolute target's authority wins over `Host`, and they must agree.
    fn route(&mut self, buf: &[u8], target: &rules::Target, said: &Sayings) -> Result<(), Refusal> {
        rules::hosts(self.minor, said.hosts)?;
        self.authority = said.host;
        if self.form == TargetForm::Absolute {
            self.authority = target.authority;
            if said.hosts == 1 {
                rules::same_authority(
                    target.authority.of(buf),
                    said.host.of(buf),
                    target.default_port,
                )?;
            }
        }
        // An empty `Host`, or none in HTTP/1.0, is a request for no host in particular.
        let host = match self.authority.is_empty() && self.form != TargetForm::Absolute {
            true => 0,
            false => rules::host(self.authority.of(buf))?,
        };
        self.host = Span::new(self.authority.from(), self.authority.from() + host);
        Ok(())
    }

    /// The path without query. Where an absolute target has none it is `/`, and for OPTIONS `*` as in the
    /// asterisk form (RFC 9112 section 3.2.4).
    #[inline]
    pub fn path<'b>(&self, buf: &'b [u8]) -> &'b [u8] {
        match (self.path_span.is_empty(), self.method) {
            (false, _) => self.path_span.of(buf),
            (true, Method::Options) => b"*",
            (true, _) => b"/",
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
