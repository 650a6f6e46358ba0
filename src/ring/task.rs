//! Tasks that cannot take the worker down: in monoio a panic ends the thread, so every task is
//! wrapped in one that catches it. A part of a task can be wrapped as well ([`caught`]), so that the rest
//! of it can still answer and tell. What panicked, and where, is remembered for the log.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind};
use std::pin::Pin;
use std::sync::Once;
use std::task::{Context, Poll, Waker};

/// Starts `work` on this thread. A panic in it ends only it, and is counted.
pub fn spawn(work: impl Future<Output = ()> + 'static) {
    // Dropping the handle lets the task run on its own.
    drop(monoio::spawn(Task(work)));
}

/// Starts work that the thread cannot do without: if it panics or ends with an error, `lost` is called with the place or the
/// error, and should end the process.
pub fn spawn_vital<E: std::fmt::Display>(
    work: impl Future<Output = Result<(), E>> + 'static,
    lost: impl FnOnce(&str) + 'static,
) {
    spawn(async move {
        match caught(work).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => lost(&error.to_string()),
            Err(Panicked) => LAST_PLACE.with_borrow(|place| lost(&format!("a panic at {place}"))),
        }
    });
}

/// The part of a task after whose panic the rest of it goes on.
pub fn caught<F: Future>(work: F) -> Caught<F> {
    Caught(work)
}

/// What [`caught`] waits for.
pub struct Caught<F>(F);

/// The work panicked. It has been counted, and its place is in [`last_panic`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

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
        Breather::will_wake(cx.waker().clone());
        Poll::Pending
    })
    .await;
}

/// The other task: one for the thread, so that a breath allocates nothing.
struct Breather {
    waiting: Vec<Waker>,
    /// Its own, once it has been started.
    waker: Option<Waker>,
}

impl Breather {
    fn will_wake(waker: Waker) {
        let started = BREATHER.with_borrow_mut(|breather| {
            breather.waiting.push(waker);
            breather.waker.as_ref().map(Waker::wake_by_ref).is_some()
        });
        if !started {
            spawn(std::future::poll_fn(|cx| {
                BREATHER.with_borrow_mut(|breather| {
                    breather.waker = Some(cx.waker().clone());
                    breather.waiting.drain(..).for_each(Waker::wake);
                });
                Poll::Pending
            }));
        }
    }
}

/// This thread runs on epoll.
pub(super) fn on_epoll() {
    EPOLL.set(true);
}

/// How many tasks of this thread have panicked.
pub fn panics() -> u64 {
    PANICS.get()
}

/// Where the last of them did, and what it said: `src/a.rs:12:5: index out of bounds`.
pub fn last_panic() -> String {
    LAST_PLACE.with_borrow(Clone::clone)
}

/// From now on a panic that is caught is remembered instead of printed: a peer that found a way to cause one
/// could otherwise fill standard error. Others are printed as before.
pub fn remember_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if CATCHING.get() {
                LAST_PLACE.set(place(info));
            } else {
                print(info);
            }
        }));
    });
}

fn place(info: &PanicHookInfo<'_>) -> String {
    let what = info.payload_as_str().unwrap_or("panicked");
    info.location()
        .map_or_else(|| what.to_owned(), |place| format!("{place}: {what}"))
}

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // SAFETY: the inner future is never moved out of the pinned wrapper.
        let work = unsafe { self.map_unchecked_mut(|caught| &mut caught.0) };
        poll_caught(work, cx)
    }
}

struct Task<F>(F);

impl<F: Future<Output = ()>> Future for Task<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // SAFETY: the inner future is never moved out of the pinned wrapper.
        let work = unsafe { self.map_unchecked_mut(|task| &mut task.0) };
        poll_caught(work, cx).map(|_| ())
    }
}

/// After a panic the future is not polled again, only dropped.
fn poll_caught<F: Future>(
    work: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, Panicked>> {
    let outer = CATCHING.replace(true);
    let polled = catch_unwind(AssertUnwindSafe(|| work.poll(cx)));
    CATCHING.set(outer);
    match polled {
        Ok(polled) => polled.map(Ok),
        Err(_) => {
            PANICS.set(PANICS.get() + 1);
            Poll::Ready(Err(Panicked))
        }
    }
}

thread_local! {
    static PANICS: Cell<u64> = const { Cell::new(0) };
    /// A panic now would be caught here.
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static LAST_PLACE: RefCell<String> = const { RefCell::new(String::new()) };
    static EPOLL: Cell<bool> = const { Cell::new(false) };
    static BREATHER: RefCell<Breather> = const { RefCell::new(Breather { waiting: Vec::new(), waker: None }) };
}
