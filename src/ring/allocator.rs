//! Allocations counted, for the test that a steady request and a message make none. Only in a debug build: a release
//! has the bare allocator.

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// An allocator that counts what the workers ask of it.
#[derive(Debug)]
pub struct Counting<A>(pub A);

/// From now on this thread's allocations count.
pub fn watch_allocations() {
    WATCHED.set(true);
}

/// Allocations of all watched threads so far, those that grew something among them.
pub fn allocations() -> u64 {
    COUNT.load(Relaxed)
}

static COUNT: AtomicU64 = AtomicU64::new(0);

thread_local!(static WATCHED: Cell<bool> = const { Cell::new(false) });

fn count() {
    // At a thread's end the mark may be gone already.
    if WATCHED.try_with(Cell::get).unwrap_or(false) {
        COUNT.fetch_add(1, Relaxed);
    }
}

// SAFETY: every call goes to the allocator inside as it came, and counting allocates nothing.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Counting<A> {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { self.0.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { self.0.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { self.0.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { self.0.realloc(pointer, layout, size) }
    }
}
