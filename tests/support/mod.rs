//! What every theme stands on: the real binary, scripted servers and a client that speaks raw bytes.
//!
//! A scenario takes three lines: servers, a proxy before them, a client. Ports are held for as long
//! as their owner lives, waiting is always for a condition with a deadline, and whatever a proxy
//! printed is shown when its test fails.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    unused_imports,
    unused_macros,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "shared by test programs that each use a part; tests block and panic"
)]

mod access_line;
mod conn;
mod message;
mod not_run;
mod peer;
mod port;
mod process;
mod proxy;
mod server;
mod setup;
mod stoppable;
mod wait;
mod websocket;

pub use access_line::AccessLine;
pub use conn::Conn;
pub use message::Message;
pub use not_run::{has_ipv6, not_run, without_peer};
pub use peer::Peer;
pub use port::Port;
pub use process::{Usage, raise_own_limit, thread_time};
pub use proxy::{Driver, Ended, Proxy, ringbolt};
pub use server::{Server, Unreachable};
pub use setup::Setup;
pub use stoppable::Process;
pub use wait::{LATE, PATIENCE, assert_in_time, eventually, in_time};
pub use websocket::{Frame, KEY, accept_of, frame, handshake, handshake_with};

/// Makes two tests of each scenario: one on io_uring, one on the epoll driver. A scenario left out
/// of the list is dead code, which the gate refuses.
macro_rules! on_both_drivers {
    ($($scenario:ident),* $(,)?) => {
        mod on_the_ring {
            $(#[test] fn $scenario() { super::$scenario(super::support::Driver::Ring); })*
        }
        mod on_epoll {
            $(#[test] fn $scenario() { super::$scenario(super::support::Driver::Epoll); })*
        }
    };
}

/// Waits, with a deadline, until the condition holds.
macro_rules! assert_eventually {
    ($condition:expr) => { assert_eventually!($condition, "{}", stringify!($condition)) };
    ($condition:expr, $($what:tt)+) => {
        $crate::support::eventually(&format!($($what)+), || ($condition).then_some(()))
    };
}

// Behind the macros, which it uses.
mod gate;

pub use gate::{Gate, Opened, asks, gated, reload, wait_until_waiting, waiting};
