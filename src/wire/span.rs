/// A range of bytes in the buffer that a head was read from. Heads hold spans instead of slices, so
/// they can outlive a move of the buffer and be used again for the next message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// One past the last.
    pub end: u32,
}

impl Span {
    /// From `start` to before `end`. Heads are bounded far below 4 GiB (`limits.head_size`).
    #[inline]
    pub fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= u32::MAX as usize);
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    /// The bytes. `buf` is the buffer that was given to the parser; panics if it is shorter than that.
    #[inline]
    pub fn of(self, buf: &[u8]) -> &[u8] {
        &buf[self.start as usize..self.end as usize]
    }

    /// How many bytes.
    #[inline]
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// `start` as an index.
    #[inline]
    pub fn from(self) -> usize {
        self.start as usize
    }

    /// `end` as an index.
    #[inline]
    pub fn to(self) -> usize {
        self.end as usize
    }

    /// Where `part`, which must be a subslice of `buf`, lies in it.
    #[inline]
    pub(super) fn locate(buf: &[u8], part: &[u8]) -> Self {
        let start = (part.as_ptr() as usize).wrapping_sub(buf.as_ptr() as usize);
        debug_assert!(start + part.len() <= buf.len());
        Self::new(start, start + part.len())
    }
}
