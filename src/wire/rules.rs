//! The rules of framing and syntax: every one that a message can break, beside its RFC section.
//!
//! The raw split into lines is httparse's, which is more lenient than this table; what it lets through
//! and a second reader could take otherwise is refused here. The rules are at least as strict as the
//! stricter of HAProxy and nginx, which now and then is stricter than the RFC: those say so. Nothing is
//! repaired. Each function takes the bytes in question and returns their meaning or the [`Refusal`].
//!
//! Where both of them are more lenient than a rule, its refusal stays as long as no browser and no common
//! library sends such a thing: a bare LF, two spaces in a request line, HTTP/1.2, a port without digits, control bytes in
//! values. The next reader may know the older or the stricter reading, and nobody suffers. What some do send and both of them
//! carry (blanks behind a chunk's size, a few empty lines between requests, UTF-8 in a target) is accepted within a bound, and
//! goes on in the strict form.
//!
//! Two rules are kept by other files. That a name is followed by its colon at once and a line does not begin
//! with a space (RFC 9112 sections 5.1 and 5.2) is httparse's: [`raw`]. The order of a chunk's parts is the state
//! machine of [`super::chunked`]. What ends here and is never passed on (RFC 9110 section 7.6.1) is said here by
//! [`is_hop_by_hop`] and left out by [`super::forward`]. The tests of this file list each kind of fault by
//! its name, with bytes, verdict and a benign twin.

use std::net::Ipv6Addr;

use super::response::ResponseHead;
use super::websocket::{self, Accept};
use super::{BodyLength, Known, Method, Refusal, Span, request::TargetForm};

/// Names that `Connection` may list besides the usual options; more is no honest message.
pub const CONNECTION_NAMES: usize = 32;

/// Hexadecimal digits of a chunk's size behind its leading zeros. RFC 9112 section 7.1 asks recipients to bound them.
pub const CHUNK_SIZE_DIGITS: u8 = 16;

/// Bytes of a chunk's size line: leading zeros, digits, the blanks that embedded servers pad to a width with, and extensions
/// (RFC 9112 section 7.1.1: "limit the total length").
pub const CHUNK_LINE: u16 = 256;

/// Bytes of size lines that frame nothing (extensions, blanks, further zeros) and that a body may have beyond twice its payload
/// so far.
pub const CHUNK_EXTENSIONS: u32 = 16 * 1024;

/// Lengths stop at 63 bits, so that no reader's signed type overflows (nginx's does at that point).
pub const MOST_LENGTH: u64 = i64::MAX as u64;

/// One chunk stops at 52 bits, as HAProxy's: what a floating-point number can count.
pub const MOST_CHUNK: u64 = (1 << 52) - 1;

/// Empty lines before a request line. RFC 9112 section 2.2 asks for one to be skipped; some clients send a few.
pub const EMPTY_LINES: usize = 8;

/// Bytes of the empty chunked body that a WebSocket handshake may have.
pub const EMPTY_BODY: usize = 64;

/// Responses before the final one that may come at once. RFC 9110 section 15.2 sets no bound, so a rate is set here: the
/// budget is refilled while time passes, and is spent by [`INTERIM_COST_MS`] and one millisecond for each [`INTERIM_BYTES`].
pub const INTERIM_BUDGET_MS: u64 = 32 * INTERIM_COST_MS;

/// What one interim response takes of the budget, in milliseconds: ten a second may come for as long as the server works.
pub const INTERIM_COST_MS: u64 = 100;

/// Bytes of an interim response that take one millisecond of the budget: 64 KiB a second, and 8 heads of 16 KiB at once.
pub const INTERIM_BYTES: usize = 64;

// ---- RFC 9112 section 2: lines ------------------------------------------------------------------

/// RFC 9112 section 2.2: empty lines before a request line are skipped, up to [`EMPTY_LINES`]. Returns their bytes;
/// `None`: more bytes are needed to know.
#[inline]
pub fn leading_lines(buf: &[u8]) -> Result<Option<usize>, Refusal> {
    match buf.first() {
        None => Ok(None),
        Some(b'\r' | b'\n') => empty_lines(buf),
        Some(_) => Ok(Some(0)),
    }
}

#[cold]
fn empty_lines(buf: &[u8]) -> Result<Option<usize>, Refusal> {
    let mut size = 0;
    loop {
        match &buf[size..] {
            [] | [b'\r'] => return Ok(None),
            [b'\r', b'\n', ..] if size < 2 * EMPTY_LINES => size += 2,
            [b'\r' | b'\n', ..] => return Err(Refusal::BadStart),
            _ => return Ok(Some(size)),
        }
    }
}

/// How many empty lines these bytes are; 0 if they are anything else.
#[inline]
pub fn empty_lines_only(buf: &[u8]) -> usize {
    match buf.first() {
        Some(b'\r') if buf.chunks(2).all(|line| line == b"\r\n") => buf.len() / 2,
        _ => 0,
    }
}

/// RFC 9112 section 2.2: lines end in CRLF. A lone LF may be read as a line's end or as part of a value,
/// so it is refused. `from` is where bytes begin that were not looked at before.
pub fn bare_line_end(buf: &[u8], from: usize) -> Result<(), Refusal> {
    let lone = |at: usize| at == 0 || buf[at - 1] != b'\r';
    match memchr::memchr_iter(b'\n', &buf[from..]).any(|at| lone(from + at)) {
        true => Err(Refusal::BareLineEnd),
        false => Ok(()),
    }
}

/// The content type of a TLS record that begins a handshake (RFC 8446 section 5.1).
pub const TLS_HANDSHAKE: u8 = 0x16;

/// What httparse found wrong, in our words. It knows lines and tokens (RFC 9112 sections 3, 4, 5). `lines` is what it
/// read: a name that begins with a blank is a folded line (section 5.2).
#[cold]
pub fn raw(error: httparse::Error, lines: &[u8]) -> Refusal {
    match error {
        httparse::Error::HeaderName if is_folded(lines) => Refusal::FoldedField,
        httparse::Error::HeaderName => Refusal::BadFieldName,
        httparse::Error::HeaderValue => Refusal::BadFieldValue,
        httparse::Error::NewLine => Refusal::BareLineEnd,
        httparse::Error::Status => Refusal::BadStatusLine,
        httparse::Error::Token => Refusal::BadRequestLine,
        httparse::Error::TooManyHeaders => Refusal::TooManyFields,
        httparse::Error::Version => Refusal::BadVersion,
    }
}

/// Whether the first line that is no field begins with a blank.
fn is_folded(lines: &[u8]) -> bool {
    let is_field = |line: &&[u8]| {
        let colon = memchr::memchr(b':', line);
        colon.is_some_and(|colon| is_token(&line[..colon]))
    };
    let mut fields = lines.split(|byte| *byte == b'\n').skip(1);
    let first = fields.find(|line| !is_field(line));
    first.is_some_and(|line| matches!(line, [b' ' | b'\t', ..]))
}

/// RFC 9112 section 2.3: `HTTP/` digit `.` digit. A version that is spelled otherwise makes the line
/// no request line (HTTP/0.9 has none at all); one that we do not speak is 505, also 1.2 to 1.9, which nobody
/// ever defined, and the HTTP/2 preface. `line` is what has come of the request line and behind it; `None`: it
/// cannot be told yet.
pub fn version_refusal(line: &[u8]) -> Option<Refusal> {
    let line = &line[..memchr::memchr2(b'\r', b'\n', line)?];
    let version = line
        .splitn(3, |byte| *byte == b' ')
        .nth(2)
        .unwrap_or_default();
    Some(match version {
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Refusal::BadVersion,
        _ => Refusal::BadRequestLine,
    })
}

// ---- RFC 9112 section 3: the request line -------------------------------------------------------

/// RFC 9110 section 9.1: a method is a token. Stricter, as nginx: upper-case letters, `-` and `_`.
/// CONNECT would make us a tunnel to anywhere and TRACE shows a client what it must not see
/// (RFC 9110 sections 9.3.6 and 9.3.8): neither is implemented. PRI is reserved so that nobody takes an HTTP/2
/// preface for a request (RFC 9113 section 11.6).
pub fn method(name: &[u8]) -> Result<Method, Refusal> {
    match Method::of(name) {
        Method::Connect | Method::Trace => Err(Refusal::MethodNotImplemented),
        Method::Other if name == b"PRI" => Err(Refusal::MethodNotImplemented),
        Method::Other
            if !name
                .iter()
                .all(|byte| matches!(byte, b'A'..=b'Z' | b'-' | b'_')) =>
        {
            Err(Refusal::BadMethod)
        }
        known => Ok(known),
    }
}

/// A target taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Its form.
    pub form: TargetForm,
    /// Host and port; empty unless absolute.
    pub authority: Span,
    /// The port that the scheme implies.
    pub default_port: u16,
    /// The path; may be empty.
    pub path: Span,
    /// The query with its `?`; may be empty.
    pub query: Span,
    /// Bytes above ASCII, in path and query.
    pub above_ascii: usize,
}

/// RFC 9112 section 3.2. Authority form belongs to CONNECT, the asterisk to OPTIONS; a fragment is never
/// sent (RFC 9110 section 7.1). Bytes that RFC 3986 excludes but browsers send in queries (`|`, `"`, `{`…) pass, as in
/// HAProxy and nginx. UTF-8, which old clients send as it is (httparse refuses what is none), goes on percent-encoded as
/// RFC 3986 section 2.5 says: the one form that no reader behind us can refuse or read in another character set. Stricter,
/// as HAProxy: no query right behind an authority.
pub fn target(buf: &[u8], span: Span, method: Method) -> Result<Target, Refusal> {
    let bytes = span.of(buf);
    if memchr::memchr(b'#', bytes).is_some() {
        return Err(Refusal::BadTarget);
    }
    let above_ascii = match bytes.is_ascii() {
        true => 0,
        false => bytes.iter().filter(|byte| !byte.is_ascii()).count(),
    };
    let nowhere = Span {
        start: span.start,
        end: span.start,
    };
    let (form, authority, default_port, rest) = match bytes {
        b"*" if method == Method::Options => {
            let path = Span {
                start: span.end,
                end: span.end,
            };
            let form = TargetForm::Asterisk;
            return Ok(Target {
                form,
                authority: nowhere,
                default_port: 80,
                path,
                query: path,
                above_ascii,
            });
        }
        [b'/', ..] => (TargetForm::Origin, nowhere, 80, span.from()),
        _ => {
            let (scheme, default_port) = scheme(bytes).ok_or(Refusal::BadTarget)?;
            let start = span.from() + scheme;
            let rest = &buf[start..span.to()];
            let end = start + memchr::memchr2(b'/', b'?', rest).unwrap_or(rest.len());
            if buf[end..span.to()].starts_with(b"?") {
                return Err(Refusal::BadTarget);
            }
            (
                TargetForm::Absolute,
                Span::new(start, end),
                default_port,
                end,
            )
        }
    };
    let after = &buf[rest..span.to()];
    let end = rest + memchr::memchr(b'?', after).unwrap_or(after.len());
    path(&buf[rest..end])?;
    let (path, query) = (Span::new(rest, end), Span::new(end, span.to()));
    Ok(Target {
        form,
        authority,
        default_port,
        path,
        query,
        above_ascii,
    })
}

/// RFC 9110 section 4.2 and RFC 6455 section 3: the schemes that are HTTP on the wire. Length of scheme and `://`, default
/// port.
fn scheme(target: &[u8]) -> Option<(usize, u16)> {
    let starts = |with: &[u8]| {
        target
            .get(..with.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(with))
    };
    match () {
        () if starts(b"http://") => Some((7, 80)),
        () if starts(b"https://") => Some((8, 443)),
        () if starts(b"ws://") => Some((5, 80)),
        () if starts(b"wss://") => Some((6, 443)),
        () => None,
    }
}

/// RFC 3986 section 2.1: `%` takes two hexadecimal digits. Stricter, as nginx: no escaped NUL, and no path
/// that climbs above its root once unescaped, because the two sides would disagree on what it names.
fn path(path: &[u8]) -> Result<(), Refusal> {
    if memchr::memchr(b'%', path).is_none() && !path.windows(3).any(|three| three == b"/..") {
        return Ok(());
    }
    let (mut depth, mut segment, mut dots_only, mut rest) = (0_usize, 0_usize, true, path);
    loop {
        let byte = match rest {
            [] => None,
            [b'%', high, low, after @ ..] => {
                rest = after;
                let byte = hex(*high).zip(hex(*low)).map(|(high, low)| high << 4 | low);
                Some(byte.filter(|byte| *byte != 0).ok_or(Refusal::BadTarget)?)
            }
            [b'%', ..] => return Err(Refusal::BadTarget),
            [byte, after @ ..] => {
                rest = after;
                Some(*byte)
            }
        };
        match byte {
            Some(b'/') | None => {
                match (dots_only, segment) {
                    (_, 0) | (true, 1) => {}
                    (true, 2) => depth = depth.checked_sub(1).ok_or(Refusal::BadTarget)?,
                    _ => depth += 1,
                }
                (segment, dots_only) = (0, true);
            }
            Some(byte) => {
                segment += 1;
                dots_only &= byte == b'.';
            }
        }
        if byte.is_none() {
            return Ok(());
        }
    }
}

// ---- RFC 9112 section 3.2: Host -----------------------------------------------------------------

/// RFC 9112 section 3.2: HTTP/1.1 has exactly one `Host`, HTTP/1.0 at most one.
pub const fn hosts(minor: u8, count: usize) -> Result<(), Refusal> {
    match (minor, count) {
        (1, 0) => Err(Refusal::HostMissing),
        (_, 0 | 1) => Ok(()),
        _ => Err(Refusal::HostRepeated),
    }
}

/// RFC 3986 section 3.2: host and port. Returns the host's length. Stricter: not empty, no user information
/// (RFC 9110 section 4.2.4), no escapes and no comma in a name, no empty label in the middle, a port of
/// 1 to 5 digits that fits.
pub fn host(value: &[u8]) -> Result<usize, Refusal> {
    let length = match value {
        [b'[', inside @ ..] => {
            let length = memchr::memchr(b']', inside).ok_or(Refusal::BadHost)?;
            let text = std::str::from_utf8(&inside[..length]).map_err(|_| Refusal::BadHost)?;
            text.parse::<Ipv6Addr>().map_err(|_| Refusal::BadHost)?;
            length + 2
        }
        _ => {
            let length = memchr::memchr(b':', value).unwrap_or(value.len());
            // In one look: no byte that may not be there, and no label that is empty, except behind the last dot.
            let mut before = b'.';
            for byte in &value[..length] {
                if !HOST_BYTES[usize::from(*byte)] || (before == b'.' && *byte == b'.') {
                    return Err(Refusal::BadHost);
                }
                before = *byte;
            }
            if length == 0 {
                return Err(Refusal::BadHost);
            }
            length
        }
    };
    match &value[length..] {
        [] => Ok(length),
        [b':', digits @ ..] => port(digits).map(|_| length).ok_or(Refusal::BadHost),
        _ => Err(Refusal::BadHost),
    }
}

fn port(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 5 {
        return None;
    }
    let mut port = 0_u32;
    for digit in digits {
        port = port * 10 + u32::from(digit.is_ascii_digit().then(|| digit - b'0')?);
    }
    u16::try_from(port).ok()
}

/// RFC 9112 section 3.2.2: the authority of an absolute target replaces `Host`; where the two differ, so
/// could the readers, hence they must name the same host and port.
pub fn same_authority(target: &[u8], host: &[u8], default_port: u16) -> Result<(), Refusal> {
    let (target_name, target_port) = target.split_at(self::host(target)?);
    let (host_name, host_port) = host.split_at(self::host(host)?);
    let number = |part: &[u8]| part.get(1..).and_then(port).unwrap_or(default_port);
    let same =
        target_name.eq_ignore_ascii_case(host_name) && number(target_port) == number(host_port);
    if same {
        Ok(())
    } else {
        Err(Refusal::HostMismatch)
    }
}

/// RFC 3986 section 3.2.2: what a registered name may have (unreserved and sub-delimiters), less the comma.
/// By [`is_host_byte`].
static HOST_BYTES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = is_host_byte(byte as u8);
        byte += 1;
    }
    table
};

pub(super) const fn is_host_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~')
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b';' | b'='
        )
}

// ---- RFC 9112 section 4: the status line --------------------------------------------------------

/// RFC 9112 section 4: nothing stands before a status line, no empty line either. `window` may be a part of it.
pub fn status_line_start(window: &[u8]) -> Result<(), Refusal> {
    match window.first() {
        Some(b'H') | None => Ok(()),
        Some(_) => Err(Refusal::BadStatusLine),
    }
}

/// RFC 9110 section 15: three digits, the first of which is a class. Classes above 5 are treated as 5xx
/// by their receivers (some applications send 999), so they pass.
pub fn status(status: u16) -> Result<u16, Refusal> {
    if status >= 100 {
        Ok(status)
    } else {
        Err(Refusal::BadStatusLine)
    }
}

/// RFC 9112 section 4: the reason phrase stands between `HTTP/1.x nnn ` and the line's end; it may be
/// empty, and its space may be missing. `head` is a whole one.
pub fn reason(head: &[u8]) -> Span {
    const BEFORE: usize = "HTTP/1.1 200".len();
    let end = memchr::memchr(b'\r', head).unwrap_or(head.len());
    Span::new((BEFORE + 1).min(end), end)
}

// ---- RFC 9112 section 5: fields -----------------------------------------------------------------

/// RFC 9110 section 5.6.2.
pub const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+')
        || matches!(byte, b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// RFC 9110 section 5.5: tab, space, visible ASCII, and obs-text, which is opaque.
pub const fn is_value_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// RFC 9110 section 5.4: bounded. Stricter, as HAProxy: 255 bytes.
#[inline]
pub const fn name(name: &[u8]) -> Result<(), Refusal> {
    if name.len() <= 255 {
        Ok(())
    } else {
        Err(Refusal::BadFieldName)
    }
}

/// RFC 9110 section 5.3: only lists may be repeated; of these a second one is another reading, as nginx
/// has it. Stricter: `Expect`, which is a list, because it decides on when a body is sent. (Lengths, codings and hosts have
/// their own refusals.)
pub const fn repeated(known: Known) -> Result<(), Refusal> {
    match known {
        Known::Authorization
        | Known::ProxyAuthorization
        | Known::Expect
        | Known::IfModifiedSince
        | Known::IfUnmodifiedSince
        | Known::IfRange => Err(Refusal::FieldRepeated),
        _ => Ok(()),
    }
}

/// RFC 9110 section 5.6.3 counts tabs among the whitespace around values; in the fields that decide on
/// framing, as nginx, we do not.
pub fn no_tabs(buf: &[u8], name: Span, value: Span, refusal: Refusal) -> Result<(), Refusal> {
    let before = &buf[name.to() + 1..value.from().max(name.to() + 1)];
    let after = buf[value.to()..].iter().take_while(|byte| **byte != b'\r');
    if before.iter().chain(after).all(|byte| *byte == b' ') {
        Ok(())
    } else {
        Err(refusal)
    }
}

/// RFC 3875 section 4.1.18 turns `-` into `_`, so a gateway behind us could take `Content_Length` for what
/// it resembles. nginx drops such fields; we refuse those that resemble a field which matters.
pub fn lookalike(name: &[u8]) -> Result<(), Refusal> {
    if !name.contains(&b'_') {
        return Ok(());
    }
    // No known name is longer, but for those of which only the beginning is known.
    let mut plain = [0; 32];
    let plain = &mut plain[..name.len().min(32)];
    for (to, from) in plain.iter_mut().zip(name) {
        *to = without_underscore(*from);
    }
    if Known::of(plain) == Known::Other {
        Ok(())
    } else {
        Err(Refusal::LookalikeField)
    }
}

/// Whether two names are one to a reader behind us, who may take `_` for `-` (see [`lookalike`]).
pub fn is_same_name(name: &[u8], other: &[u8]) -> bool {
    let plain = |byte: &u8| without_underscore(byte.to_ascii_lowercase());
    name.len() == other.len() && name.iter().map(plain).eq(other.iter().map(plain))
}

const fn without_underscore(byte: u8) -> u8 {
    if byte == b'_' { b'-' } else { byte }
}

/// RFC 9110 section 7.6.1: fields that end at this hop whether or not `Connection` lists them.
pub const fn is_hop_by_hop(known: Known) -> bool {
    matches!(
        known,
        Known::Connection
            | Known::KeepAlive
            | Known::ProxyConnection
            | Known::Te
            | Known::Upgrade
            | Known::Http2Settings
    )
}

/// RFC 9110 section 5.6.3: a tab may stand before a host, as HAProxy has it, and does not go on. Stricter, as nginx: none
/// behind it.
pub fn no_tab_behind(buf: &[u8], value: Span) -> Result<(), Refusal> {
    let mut after = buf[value.to()..].iter().take_while(|byte| **byte != b'\r');
    match after.all(|byte| *byte == b' ') {
        true => Ok(()),
        false => Err(Refusal::BadHost),
    }
}

/// RFC 9112 section 9.3: HTTP/1.1 keeps a connection unless told not to, HTTP/1.0 only if told to.
pub const fn persists(minor: u8, close: bool, keep_alive: bool) -> bool {
    !close && (minor == 1 || keep_alive)
}

/// RFC 9110 section 7.6.1: `Connection` must not list fields meant for all recipients. A client that lists
/// `Host`, `Cookie` or `X-Forwarded-For` wants them to vanish behind us: the fields that we know stay
/// whatever it says, only others go.
pub const fn connection_may_name(known: Known) -> bool {
    matches!(known, Known::Other) || is_hop_by_hop(known)
}

/// RFC 9110 section 7.6.1: a connection option is a token; the `count`th one that is no usual option. Empty
/// elements of the list count, so that it has a bound.
pub fn connection_name(option: &[u8], count: usize) -> Result<(), Refusal> {
    match count <= CONNECTION_NAMES && (option.is_empty() || is_token(option)) {
        true => Ok(()),
        false => Err(Refusal::BadConnection),
    }
}

/// A connection option of a server without its parameters: it has none by RFC 9110 section 7.6.1, but some servers write those
/// of `Keep-Alive` behind it (`Keep-Alive; timeout=5, max=100`), and it does not go on in any case.
pub fn without_parameters(option: &[u8]) -> &[u8] {
    match memchr::memchr2(b';', b'=', option) {
        Some(at) if option[at] == b';' => trim(&option[..at]),
        Some(_) => b"",
        None => option,
    }
}

/// The elements of a comma-separated list without the whitespace around them (RFC 9110 section 5.6.1).
pub fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(trim)
}

/// Whether a list's element is a token; empty ones are skipped by the reader.
pub fn is_token(element: &[u8]) -> bool {
    !element.is_empty() && element.iter().all(|byte| is_token_byte(*byte))
}

/// Without the optional whitespace around it (RFC 9110 section 5.6.3: space and tab only).
pub fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

// ---- RFC 9112 section 6: framing ----------------------------------------------------------------

/// What the framing fields of one head said.
#[derive(Debug, Clone, Copy, Default)]
pub struct Framing {
    length: Option<u64>,
    chunked: bool,
}

impl Framing {
    /// RFC 9110 section 8.6: one decimal number. RFC 9112 section 6.3 lets equal repetitions be merged; we do
    /// not, as nginx.
    pub fn length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.length.is_some() {
            return Err(self.bad_length(value));
        }
        match content_length(value) {
            Some(length) => self.length = Some(length),
            None => return Err(self.bad_length(value)),
        }
        Ok(())
    }

    #[cold]
    fn bad_length(&self, value: &[u8]) -> Refusal {
        match (self.length, one_length(value)) {
            (None, None) => Refusal::BadLength,
            (None, Some(_)) => Refusal::LengthRepeated,
            (before, other) if before == other => Refusal::LengthRepeated,
            _ => Refusal::LengthsDiffer,
        }
    }

    /// RFC 9112 section 6.1: `chunked` is the last coding, and applied once. It is the only one we know,
    /// so anything before it is 501.
    pub fn coding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.chunked {
            return Err(Refusal::BadCoding);
        }
        self.chunked = true;
        if value.eq_ignore_ascii_case(b"chunked") {
            return Ok(());
        }
        let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
        let known = list(value).filter(|coding| is_chunked(coding)).count();
        let last = list(value).last().is_some_and(is_chunked);
        match known == 1 && last && list(value).all(is_token) {
            true => Err(Refusal::UnknownCoding),
            false => Err(Refusal::BadCoding),
        }
    }

    /// RFC 9112 sections 6.1 and 6.3: a transfer coding excludes a length, and belongs to HTTP/1.1.
    fn settle(self, minor: u8) -> Result<Option<BodyLength>, Refusal> {
        match (self.chunked, self.length) {
            (true, _) if minor == 0 => Err(Refusal::CodingInOldVersion),
            (true, Some(_)) => Err(Refusal::LengthAndCoding),
            (true, None) => Ok(Some(BodyLength::Chunked)),
            (false, Some(length)) => Ok(Some(BodyLength::Length(length))),
            (false, None) => Ok(None),
        }
    }

    /// A request without framing fields has no body (RFC 9112 section 6.3). RFC 9110 section 9.3.1: a body in
    /// GET, HEAD or DELETE has no meaning, and old servers leave it in the stream; refused in HTTP/1.0, as
    /// HAProxy does.
    pub fn of_request(self, minor: u8, method: Method) -> Result<BodyLength, Refusal> {
        let body = self.settle(minor)?.unwrap_or_default();
        let bodiless = matches!(method, Method::Get | Method::Head | Method::Delete);
        match minor == 0 && bodiless && !body.is_empty() {
            true => Err(Refusal::BodyNotExpected),
            false => Ok(body),
        }
    }

    /// A response without framing fields ends with the connection. RFC 9112 section 6.1: no interim one may have a coding;
    /// where others cannot have a body, it frames nothing ([`ignores_coding`]).
    pub fn of_response(self, minor: u8, status: u16) -> Result<BodyLength, Refusal> {
        let body = self.settle(minor)?.unwrap_or(BodyLength::UntilClose);
        match (body, status) {
            (BodyLength::Chunked, 100 | 102..=199) => Err(Refusal::CodingWithoutBody),
            _ => Ok(body),
        }
    }
}

/// RFC 9112 section 6.3: a response to HEAD, and 1xx, 204 and 304, have no body, whatever their fields say.
pub const fn has_body(request: Method, status: u16) -> bool {
    !matches!(
        (request, status),
        (Method::Head, _) | (_, 100..=199 | 204 | 304)
    )
}

/// RFC 9110 section 8.6: no length in 1xx and 204. One that a server says all the same is not passed on.
pub const fn may_have_length(status: u16) -> bool {
    !matches!(status, 100..=199 | 204)
}

/// RFC 9112 section 6.1: no transfer coding in 101 and 204; in 304 it would only say what another answer had. Servers send one
/// all the same (Node in 204, WebSocket libraries in 101): it frames nothing, so `chunked` refuses nothing there and is not passed on. The
/// connection is not used again, because the server may send chunks behind such a head. In other interim responses, where
/// another response follows on the same connection, it stays refused.
pub const fn ignores_coding(status: u16) -> bool {
    matches!(status, 101 | 204 | 304)
}

/// RFC 9112 section 6.3: the one length that a value says, perhaps several times.
pub(super) fn one_length(value: &[u8]) -> Option<u64> {
    let mut lengths = list(value).map(content_length);
    let first = lengths.next()??;
    lengths.all(|other| other == Some(first)).then_some(first)
}

/// RFC 9110 section 8.6: digits only; no sign, no space, no list, at most 63 bits.
fn content_length(value: &[u8]) -> Option<u64> {
    let mut length = 0_u64;
    for byte in value {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        let longer = length.checked_mul(10)?.checked_add(digit.into())?;
        length = Some(longer).filter(|length| *length <= MOST_LENGTH)?;
    }
    (!value.is_empty()).then_some(length)
}

// ---- RFC 9112 section 7: chunks and trailers ----------------------------------------------------

/// RFC 9112 section 7.1: a size is hexadecimal digits, nothing before or between them. Blanks may stand behind (section 7.1.1
/// has them before an extension), and end here.
pub const fn hex(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// RFC 9112 section 7.1.1: names, `=`, `;`, quoted strings; all of it visible ASCII, space and tab.
/// Stricter: no obs-text in quoted strings.
pub const fn is_extension_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~')
}

/// RFC 9110 section 6.5.1: no trailer for framing, routing, authentication, request modifiers, or content description: a
/// receiver that merges trailers would read another message. Whether the others go on: one of response control data, which
/// some servers send and no merging makes dangerous, is left out instead.
pub fn trailer(name: &[u8]) -> Result<bool, Refusal> {
    lookalike(name)?;
    let is_among = |names: &[&[u8]]| names.iter().any(|other| is_same_name(name, other));
    match Known::of(name) {
        Known::Other if is_among(FORBIDDEN_TRAILERS) => Err(Refusal::ForbiddenTrailer),
        Known::Other => Ok(!is_among(DROPPED_TRAILERS)),
        Known::ETag | Known::LastModified => Ok(true),
        Known::CacheControl | Known::Expires | Known::Pragma => Ok(false),
        _ => Err(Refusal::ForbiddenTrailer),
    }
}

/// Those of the names in RFC 9110 section 6.5.1 that are no [`Known`] ones, and the client's address as many
/// servers expect it.
const FORBIDDEN_TRAILERS: &[&[u8]] = &[
    b"location",
    b"max-forwards",
    b"range",
    b"www-authenticate",
    b"x-real-ip",
];

/// Response control data that is no [`Known`] one.
const DROPPED_TRAILERS: &[&[u8]] = &[b"age", b"date", b"retry-after", b"vary", b"warning"];

// ---- RFC 9110 sections 7.8 and 15.2: what comes before a final response -------------------------

/// RFC 9110 section 15.2: how many responses before the final one may come, by their rate and their bytes. Their number has
/// no bound: a job of an hour may report every second.
#[derive(Debug, Clone, Copy, Default)]
pub struct Interims {
    /// When the budget is full again, in milliseconds of the caller's clock.
    full_at: u64,
}

impl Interims {
    /// The next one, of so many bytes, has come at `now_ms`, which never goes back.
    ///
    /// # Errors
    /// [`Refusal::TooManyInterims`] when the budget does not last.
    pub fn next(&mut self, bytes: usize, now_ms: u64) -> Result<(), Refusal> {
        let cost = INTERIM_COST_MS + (bytes / INTERIM_BYTES) as u64;
        self.full_at = self.full_at.max(now_ms) + cost;
        match self.full_at - now_ms <= INTERIM_BUDGET_MS {
            true => Ok(()),
            false => Err(Refusal::TooManyInterims),
        }
    }
}

/// RFC 9110 section 7.8: `Upgrade` is to be ignored in HTTP/1.0, and where `Connection` does not list it. RFC 6455 section 4.1:
/// a WebSocket begins with GET, and no other protocol is switched to, so it is ignored on other methods too.
pub const fn may_upgrade(minor: u8, method: Method, connection_upgrade: bool) -> bool {
    minor == 1 && matches!(method, Method::Get) && connection_upgrade
}

/// RFC 9110 sections 7.8 and 15.2.2: a 101 answers a request that asked to switch (`asked` is what it asked
/// for), and with the protocol asked for. Any other 101 would make a tunnel that the client takes for its next
/// responses.
pub fn switch(head: &ResponseHead, buf: &[u8], asked: Option<&Accept>) -> Result<(), Refusal> {
    match asked.is_some_and(|accept| websocket::check_response(head, buf, accept)) {
        true => Ok(()),
        false => Err(Refusal::BadSwitch),
    }
}

/// The same for a protocol that is not WebSocket: HTTP/1.1, one `Upgrade` that names it alone, and `Connection` lists it.
pub fn switch_to(head: &ResponseHead, buf: &[u8], protocol: &[u8]) -> Result<(), Refusal> {
    let named = head.fields.only(Known::Upgrade);
    let is_switch = head.status == 101
        && head.minor == 1
        && head.connection_upgrade
        && named.is_some_and(|named| named.of(buf).eq_ignore_ascii_case(protocol));
    if is_switch {
        Ok(())
    } else {
        Err(Refusal::BadSwitch)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests;
