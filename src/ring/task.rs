//! Tasks that cannot take the worker down: in monoio a panic ends the thread, so every task is
//! wrapped in one that catches it.

use std::cell::Cell;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

/// Starts `work` on this thread. A panic in it ends only it, and is counted.
pub fn spawn(work: impl Future<Output = ()> + 'static) {
    // Dropping the handle lets the task run on its own.
    drop(monoio::spawn(Caught(work)));
}

/// How many tasks of this thread have panicked.
pub fn panics() -> u64 {
    PANICS.get()
}

struct Caught<F>(F);

impl<F: Future<Output = ()>> Future for Caught<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: the inner future is never moved out of the pinned wrapper.
        let work = unsafe { self.map_unchecked_mut(|caught| &mut caught.0) };
        // After a panic the future is not polled again, only dropped.
        catch_unwind(AssertUnwindSafe(|| work.poll(cx))).unwrap_or_else(|_| {
            PANICS.set(PANICS.get() + 1);
            Poll::Ready(())
        })
    }
}

thread_local! {
    static PANICS: Cell<u64> = const { Cell::new(0) };
}
