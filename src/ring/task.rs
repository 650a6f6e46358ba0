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

/// Lets the thread's other tasks have their turn, within a long copy that never has to wait. On io_uring every
/// poll does that by itself; the epoll driver says at once that a ready descriptor is ready. The task is
/// woken by another one, because monoio puts a task that wakes itself in front of all.
pub async fn breathe() {
    if !EPOLL.get() {
        return;
    }
    let mut asked = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut asked, true) {
            return Poll::Ready(());
        }
        let waker = cx.waker().clone();
        spawn(async move { waker.wake() });
        Poll::Pending
    })
    .await;
}

/// This thread runs on epoll.
pub(super) fn on_epoll() {
    EPOLL.set(true);
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
    static EPOLL: Cell<bool> = const { Cell::new(false) };
}
