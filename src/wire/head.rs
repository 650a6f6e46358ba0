//! What heads of both directions share: their bounds, where they end, how a body's end is known, and
//! what their fields say to a proxy.

use super::{Blame, Field, Fields, Known, Refusal, Span, rules};

/// Bounds on one head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes up to and including the empty line (`limits.head_size`).
    pub size: usize,
    /// Field lines (`limits.headers`), at most [`HeadLimits::MOST_FIELDS`].
    pub fields: usize,
}

impl HeadLimits {
    /// No configuration may ask for more fields than this.
    pub const MOST_FIELDS: usize = 256;
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self {
            size: 16 * 1024,
            fields: 100,
        }
    }
}

/// Whether a head is all there. "Not yet" is no error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed; the head's other fields mean nothing yet.
    Partial,
    /// The head was read.
    Complete,
}

/// How the end of a body is known (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BodyLength {
    /// There is no body.
    #[default]
    None,
    /// So many bytes (possibly 0) follow the head.
    Length(u64),
    /// Chunks follow: see [`super::chunked::Decoder`].
    Chunked,
    /// Everything until the server closes; only in responses.
    UntilClose,
}

impl BodyLength {
    /// Whether not a byte follows the head.
    #[inline]
    pub const fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

/// Lines as httparse leaves them; a stack frame's worth, never initialised.
pub(super) type Lines<'b> = [std::mem::MaybeUninit<httparse::Header<'b>>; HeadLimits::MOST_FIELDS];

/// Whether the lines should be split now. The first bytes always are (most heads come whole); after
/// that only when the empty line has come, the first line has become complete, or the bound is reached,
/// so that a head that drips in byte by byte is not read over and over.
///
/// `skip` bytes of empty lines stand before the first line.
pub(super) fn is_worth_splitting(
    window: &[u8],
    skip: usize,
    seen: usize,
    limits: &HeadLimits,
) -> bool {
    if seen <= skip || window.len() >= limits.size {
        return true;
    }
    let from = seen.saturating_sub(3).min(window.len());
    if memchr::memmem::find(&window[from..], b"\r\n\r\n").is_some() {
        return true;
    }
    let seen = seen.min(window.len());
    match memchr::memchr(b'\n', &window[seen..]) {
        Some(at) => memchr::memchr(b'\n', &window[skip..seen + at]).is_none(),
        None => false,
    }
}

/// A head that has not ended: refused if it cannot become a good one.
pub(super) fn not_yet(
    window: &[u8],
    skip: usize,
    seen: usize,
    limits: &HeadLimits,
) -> Result<Progress, Refusal> {
    rules::bare_line_end(window, seen.min(window.len()))?;
    if window.len() < limits.size {
        return Ok(Progress::Partial);
    }
    match memchr::memchr(b'\n', &window[skip..]) {
        Some(_) => Err(Refusal::HeadTooLarge),
        None => Err(Refusal::TargetTooLong),
    }
}

/// RFC 9112 section 2.2: httparse lets lines end in a lone LF. All line ends of a head stand before a name
/// or at its end, so looking there is enough.
pub(super) fn check_line_ends(head: &[u8], lines: &[httparse::Header<'_>]) -> Result<(), Refusal> {
    let whole = head.ends_with(b"\r\n\r\n")
        && lines.iter().all(|line| {
            let name = Span::locate(head, line.name.as_bytes()).from();
            head[..name].ends_with(b"\r\n")
        });
    if whole {
        Ok(())
    } else {
        Err(Refusal::BareLineEnd)
    }
}

/// What the fields of a head say, besides what they are.
#[derive(Debug, Default)]
pub(super) struct Sayings {
    pub(super) framing: rules::Framing,
    /// `Connection` says `close`.
    pub(super) close: bool,
    /// `Connection` says `keep-alive`.
    pub(super) keep_alive: bool,
    /// `Connection` says `upgrade`.
    pub(super) upgrade: bool,
    /// How many `Host` fields there are, and the last one's value.
    pub(super) hosts: usize,
    pub(super) host: Span,
}

impl Sayings {
    /// Reads the lines, sent `from` that side, into `fields`.
    pub(super) fn read(
        buf: &[u8],
        lines: &[httparse::Header<'_>],
        fields: &mut Fields,
        from: Blame,
    ) -> Result<Self, Refusal> {
        let mut sayings = Self::default();
        let mut named = 0;
        fields.clear();
        for line in lines {
            let name = Span::locate(buf, line.name.as_bytes());
            let value = Span::locate(buf, line.value);
            let known = Known::of(line.name.as_bytes());
            if from == Blame::Client && fields.has(known) {
                rules::repeated(known)?;
            }
            fields.push(Field {
                name,
                value,
                known,
                hop: rules::is_hop_by_hop(known),
            });
            rules::name(line.name.as_bytes())?;
            match known {
                Known::Other if from == Blame::Client => rules::lookalike(line.name.as_bytes())?,
                Known::Host if from == Blame::Client => {
                    rules::no_tab_behind(buf, value)?;
                    (sayings.hosts, sayings.host) = (sayings.hosts + 1, value);
                }
                Known::ContentLength => {
                    rules::no_tabs(buf, name, value, Refusal::BadLength)?;
                    sayings.framing.length(line.value)?;
                }
                Known::TransferEncoding => {
                    rules::no_tabs(buf, name, value, Refusal::BadCoding)?;
                    sayings.framing.coding(line.value)?;
                }
                Known::Connection => sayings.connection(line.value, &mut named, from)?,
                _ => {}
            }
        }
        if named > 0 {
            mark_named(buf, fields.lines_mut());
        }
        Ok(sayings)
    }

    /// RFC 9110 section 7.6.1: options for this connection, and names of fields that end here.
    fn connection(&mut self, value: &[u8], named: &mut usize, from: Blame) -> Result<(), Refusal> {
        for option in rules::list(value) {
            if self.option(option) {
                continue;
            }
            *named += 1;
            let name = match from {
                Blame::Client => option,
                Blame::Server => rules::without_parameters(option),
            };
            if name.len() == option.len() || !self.option(name) {
                rules::connection_name(name, *named)?;
            }
        }
        Ok(())
    }

    /// Whether this is one of the usual options, which is taken note of.
    #[inline]
    fn option(&mut self, option: &[u8]) -> bool {
        if option.eq_ignore_ascii_case(b"keep-alive") {
            self.keep_alive = true;
        } else if option.eq_ignore_ascii_case(b"close") {
            self.close = true;
        } else if option.eq_ignore_ascii_case(b"upgrade") {
            self.upgrade = true;
        } else {
            return false;
        }
        true
    }

    /// Whether the sender wants the connection kept.
    pub(super) fn keeps_alive(&self, minor: u8) -> bool {
        rules::persists(minor, self.close, self.keep_alive)
    }
}

/// Marks the fields that some `Connection` lists as ending here. Both loops are bounded: so many names,
/// so many fields.
#[cold]
fn mark_named(buf: &[u8], fields: &mut [Field]) {
    for at in 0..fields.len() {
        if fields[at].known != Known::Connection {
            continue;
        }
        for option in rules::list(fields[at].value.of(buf)) {
            for field in fields
                .iter_mut()
                .filter(|field| rules::connection_may_name(field.known))
            {
                field.hop |= field.name.of(buf).eq_ignore_ascii_case(option);
            }
        }
    }
}
