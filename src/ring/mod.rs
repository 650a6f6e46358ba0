//! monoio set up right: the only room that talks to the kernel for the data path, and the only one
//! with unsafe code. Everything above it speaks of [`Stream`]s, [`Buffer`]s and [`Timer`]s;
//! replacing monoio would touch no other room.
//!
//! What always holds:
//! * A wait is a poll ([`Stream::readable`], [`Stream::writable`]): dropping it loses nothing.
//! * Bytes move by system calls that never block, after the poll.
//! * Buffers come from a thread-local pool and go back to it; an idle connection holds none.
//! * Deadlines stand on one coarse wheel per thread ([`Timer`]), never on a timer of their own.
//! * Tasks are started by [`spawn`], which catches panics.

#![expect(
    unsafe_code,
    reason = "the one room that may borrow raw descriptors from the runtime"
)]

mod bell;
mod alarm;
#[cfg(debug_assertions)]
mod allocator;
mod buffer;
mod connect;
#[cfg(debug_assertions)]
pub mod escape;
mod hangup;
mod listener;
mod mailbox;
mod rest;
mod restrict;
mod runtime;
mod stream;
mod task;
mod time;
mod timer;

pub use alarm::Alarm;
#[cfg(debug_assertions)]
pub use allocator::{Counting, allocations, watch_allocations};
pub use bell::Bell;
pub use buffer::{Buffer, GENEROUS, KEPT, SCRATCH, trim, with_scratch};
pub use connect::{Dialled, NotDialled, bind_source, detach_test_stream, dial, is_not_here};
pub use hangup::Hangup;
pub use listener::{Accepted, Listener};
pub use mailbox::{Mailbox, Sender, mailbox};
pub use rest::{A_STEP, Pair, Rest, reserve_step};
pub use runtime::{Driver, Operations, Rung, block_on};
pub use stream::{Duplex, Received, Stream};
pub use task::{
    Caught, Panicked, breathe, caught, last_panic, panics, remember_panics, spawn, spawn_vital,
};
pub use time::{Clock, Stamp};
pub use timer::{
    AT_A_TIME, Call, Elapsed, LATENESS, Moment, ShutDown, TICK, Tick, Ticker, Timer, call,
    call_some, is_shutting_down, make_room, shut_down, step, until_shutdown,
};
