//! What heads of both directions share: their bounds, where they end, how a body's end is known.

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
