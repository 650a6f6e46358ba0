//! Bytes on their way: buffers lent by a thread-local pool, and one scratch buffer per thread.
//!
//! A [`Buffer`] that holds nothing owns nothing: the first byte takes storage from the pool, the
//! last byte consumed gives it back. Two sizes, because a request's head that waits for its
//! answer is small and there may be thousands of them.

use std::cell::RefCell;

/// A queue of bytes: filled at the end, consumed at the front.
#[derive(Default)]
pub struct Buffer {
    storage: Vec<u8>,
    start: usize,
}

impl Buffer {
    /// The size of the small class: a common request head with room to spare.
    pub const SMALL: usize = 4 * 1024;
    /// The size of the large class: the default bound of a head.
    pub const LARGE: usize = 16 * 1024;

    /// A buffer that holds nothing and owns nothing.
    pub const fn new() -> Self {
        Self {
            storage: Vec::new(),
            start: 0,
        }
    }

    /// An empty buffer with storage from the pool, for at least `size` bytes.
    pub fn with_capacity(size: usize) -> Self {
        Self {
            storage: POOL.with_borrow_mut(|pool| pool.take(size)),
            start: 0,
        }
    }

    /// What has not been consumed.
    pub fn bytes(&self) -> &[u8] {
        &self.storage[self.start..]
    }

    /// How many bytes have not been consumed.
    pub fn len(&self) -> usize {
        self.storage.len() - self.start
    }

    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes `count` bytes off the front; with the last one the storage returns to the pool.
    pub fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.len(), "consumes no more than there is");
        self.start += count;
        if self.start == self.storage.len() {
            self.release();
        }
    }

    /// Forgets what is behind the first `len` bytes.
    pub fn truncate(&mut self, len: usize) {
        self.storage.truncate(self.start + len);
    }

    /// Bytes of storage that it owns, used or not.
    pub fn capacity(&self) -> usize {
        self.storage.capacity()
    }

    /// The storage that so many bytes take: one of the two classes, or whole pages.
    pub const fn storage_for(bytes: usize) -> usize {
        if bytes <= Self::SMALL {
            Self::SMALL
        } else if bytes <= Self::LARGE {
            Self::LARGE
        } else {
            bytes.next_multiple_of(PAGE)
        }
    }

    /// Appends bytes, growing where needed. The caller keeps the bound.
    #[inline]
    pub fn push(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        self.storage.extend_from_slice(bytes);
    }

    /// The storage itself, for writers that append to a `Vec`. Whatever is appended becomes the buffer's end.
    pub fn tail(&mut self) -> &mut Vec<u8> {
        if self.storage.capacity() == 0 {
            self.reserve(Self::SMALL);
        }
        &mut self.storage
    }

    /// Makes room for `size` further bytes without a later reallocation. Never takes more storage than
    /// what it then holds needs ([`Buffer::storage_for`]).
    #[inline]
    pub fn reserve(&mut self, size: usize) {
        match self.storage.capacity() {
            0 if size == 0 => {}
            0 => self.storage = POOL.with_borrow_mut(|pool| pool.take(size)),
            capacity if capacity - self.storage.len() >= size => {}
            _ => self.grow(size),
        }
    }

    fn grow(&mut self, size: usize) {
        self.storage.drain(..self.start);
        self.start = 0;
        let needed = self.storage.len() + size;
        if needed > self.storage.capacity() {
            let grown = POOL.with_borrow_mut(|pool| pool.take(needed));
            let old = std::mem::replace(&mut self.storage, grown);
            self.storage.extend_from_slice(&old);
            if old.capacity() > 0 {
                POOL.with_borrow_mut(|pool| pool.put(old));
            }
        }
    }

    /// Makes room to receive into: storage for `most` bytes (at first the large class at most, a head of 64 KiB is
    /// rare), or what is left of the present one unless that is nearly full.
    pub(super) fn make_room(&mut self, most: usize) {
        let (len, capacity) = (self.len(), self.storage.capacity());
        if capacity == 0 {
            return self.reserve(most.min(Self::LARGE));
        }
        if capacity - self.storage.len() >= LEAST_ROOM {
            return;
        }
        let goal = most.min(2 * capacity).max(len + 1);
        self.reserve(goal - len);
    }

    /// Forgets everything and gives the storage back to the pool.
    pub fn release(&mut self) {
        self.start = 0;
        if self.storage.capacity() > 0 {
            let storage = std::mem::take(&mut self.storage);
            POOL.with_borrow_mut(|pool| pool.put(storage));
        }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.storage.capacity() > 0 {
            let storage = std::mem::take(&mut self.storage);
            // At the thread's end the pool may be gone already: then the storage is simply freed.
            let _ = POOL.try_with(|pool| {
                if let Ok(mut pool) = pool.try_borrow_mut() {
                    pool.put(storage);
                }
            });
        }
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes)", self.len())
    }
}

/// Lends the thread's scratch buffer for as long as `work` runs.
///
/// For bytes that are received and passed on at once. What the receiver does not take at once has to
/// wait in a [`Buffer`], so the scratch buffer has [`SCRATCH`] bytes only while few such buffers are
/// lent; with [`GENEROUS`] of them it shrinks to [`Buffer::LARGE`], and thousands of receivers that
/// stopped reading hold a quarter of what they could. `work` must not lend it again.
pub fn with_scratch<T>(work: impl FnOnce(&mut [u8]) -> T) -> T {
    let generous = POOL.with_borrow(|pool| pool.generous < GENEROUS);
    let size = if generous { SCRATCH } else { Buffer::LARGE };
    SCRATCH_BUFFER.with_borrow_mut(|scratch| work(&mut scratch[..size]))
}

/// 64 KiB: a 1 MiB body passes in 16 steps, and it stays in a core's second-level cache.
pub const SCRATCH: usize = 64 * 1024;

/// Storage above the large class that a thread lends before its scratch buffer shrinks: what 64 receivers
/// that stopped reading leave behind.
pub const GENEROUS: usize = 64 * SCRATCH;

/// Gives memory back after a burst: storage that no buffer wanted since the last time, and whole pages
/// that the allocator kept of what this thread has freed. Takes about a millisecond per 10 MiB.
pub fn trim() {
    POOL.with_borrow_mut(Pool::trim);
    // SAFETY: the call concerns this thread's heap only and takes no pointer.
    unsafe { libmimalloc_sys::mi_collect(true) };
}

/// Less room than this is not worth a receive of its own.
const LEAST_ROOM: usize = 1024;

/// Storage kept for reuse, per class and thread. What is above goes back to the allocator.
pub const KEPT: usize = 128;

/// Storage above the classes comes in whole pages: what the allocator would round to anyway.
const PAGE: usize = 4 * 1024;

struct Pool {
    small: Class,
    large: Class,
    /// Bytes of storage above the large class that is lent.
    generous: usize,
}

/// Storage of one size, and how much of it was never wanted since the last trim.
struct Class {
    kept: Vec<Vec<u8>>,
    unwanted: usize,
}

impl Class {
    const fn new() -> Self {
        Self {
            kept: Vec::new(),
            unwanted: 0,
        }
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let storage = self.kept.pop();
        self.unwanted = self.unwanted.min(self.kept.len());
        storage
    }

    fn trim(&mut self) {
        self.kept.drain(..self.unwanted);
        self.unwanted = self.kept.len();
    }
}

impl Pool {
    fn take(&mut self, size: usize) -> Vec<u8> {
        let capacity = Buffer::storage_for(size);
        let kept = match capacity {
            Buffer::SMALL => self.small.pop(),
            Buffer::LARGE => self.large.pop(),
            _ => {
                self.generous += capacity;
                None
            }
        };
        kept.unwrap_or_else(|| Vec::with_capacity(capacity))
    }

    fn trim(&mut self) {
        self.small.trim();
        self.large.trim();
    }

    fn put(&mut self, mut storage: Vec<u8>) {
        let class = match storage.capacity() {
            Buffer::SMALL => &mut self.small,
            Buffer::LARGE => &mut self.large,
            capacity => {
                self.generous = self.generous.saturating_sub(capacity);
                return;
            }
        };
        if class.kept.len() < KEPT {
            storage.clear();
            class.kept.push(storage);
        }
    }
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { small: Class::new(), large: Class::new(), generous: 0 }) };
    static SCRATCH_BUFFER: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH].into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_buffer_owns_nothing_and_storage_is_reused() {
        let mut buffer = Buffer::new();
        assert_eq!(buffer.storage.capacity(), 0);
        buffer.push(b"abc");
        let address = buffer.bytes().as_ptr();
        buffer.consume(1);
        assert_eq!(buffer.bytes(), b"bc");
        buffer.consume(2);
        assert_eq!(
            buffer.storage.capacity(),
            0,
            "the last byte returns the storage"
        );
        buffer.push(b"x");
        assert_eq!(
            buffer.bytes().as_ptr(),
            address,
            "and the next byte takes it again"
        );
    }

    #[test]
    fn storage_grows_by_what_is_needed_and_to_its_bound() {
        let mut buffer = Buffer::new();
        let mut sizes = Vec::new();
        for _ in 0..44 {
            buffer.make_room(Buffer::LARGE + Buffer::SMALL);
            buffer.push(&[1; 400]);
            sizes.push(buffer.capacity());
        }
        sizes.dedup();
        assert_eq!(sizes, [Buffer::LARGE, Buffer::LARGE + Buffer::SMALL]);
        buffer.push(&[1; 4_000]);
        assert_eq!(buffer.capacity(), Buffer::storage_for(44 * 400 + 4_000));
    }

    #[test]
    fn many_large_leftovers_make_the_scratch_buffer_small() {
        let scratch = || with_scratch(|scratch| scratch.len());
        let mut left = Vec::new();
        while scratch() == SCRATCH {
            let mut buffer = Buffer::new();
            buffer.push(&[1; SCRATCH - 1]);
            left.push(buffer);
        }
        assert_eq!((left.len(), scratch()), (GENEROUS / SCRATCH, Buffer::LARGE));
        left.pop();
        assert_eq!(scratch(), SCRATCH);
    }

    #[test]
    fn consumed_bytes_make_room_before_the_storage_grows() {
        let mut buffer = Buffer::with_capacity(Buffer::SMALL);
        buffer.push(&[7; Buffer::SMALL]);
        buffer.consume(Buffer::SMALL - 3);
        buffer.push(&[8; Buffer::SMALL - 3]);
        assert_eq!(buffer.storage.capacity(), Buffer::SMALL);
        assert_eq!(&buffer.bytes()[..4], &[7, 7, 7, 8]);
    }
}
