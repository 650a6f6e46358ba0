//! The process: launcher and generation, reload, probes, the control socket and the stats page.
//!
//! `ringbolt run` is a [`launcher`] (one thread, keeps its privileges and its PID, reads no byte from
//! the network) and a [`generation`] (drops its privileges before its second thread, then serves).
//! Between them is one socketpair with a closed list of commands: `channel`. The generation's first
//! thread becomes the control thread: a current-thread runtime with the probes, the control socket
//! and the stats page, none of which a worker ever waits for.

mod admin;
mod admin_listener;
mod auth;
mod caught_signals;
mod channel;
mod closing;
mod command;
mod desk;
mod discovery;
mod environment;
pub mod errors;
pub mod file;
pub mod generation;
mod handed;
mod identity;
pub mod launcher;
mod leaving;
mod limits;
mod listen;
pub mod logs;
mod log_file;
pub mod memory;
mod notify;
mod opening;
mod pace;
mod page;
mod passive;
mod probes;
mod reload;
mod removed;
mod sandbox;
mod sources;
pub mod status;

pub use command::{Closed, Stated, Weighed};
pub use environment::Machine;
pub use opening::place;

use std::sync::OnceLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch by the clock as it was when this process began, moved on by the monotonic clock: what
/// every duration on the control thread is counted by. A clock that is set changes none of them.
fn now_ms() -> u64 {
    static BEGAN: OnceLock<(u64, Instant)> = OnceLock::new();
    let (wall_ms, began) = BEGAN.get_or_init(|| (wall_ms(), Instant::now()));
    let passed = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    wall_ms.saturating_add(passed)
}

/// A moment of [`now_ms`] as the clock on the wall has it now, for people and programs that read it.
fn on_wall(ms: u64) -> u64 {
    let set = i128::from(wall_ms()) - i128::from(now_ms());
    // Less is not a clock that was set, but the time between the two readings.
    let set = if set.abs() < 500 { 0 } else { set };
    u64::try_from(i128::from(ms) + set).unwrap_or(0)
}

/// Milliseconds since the Unix epoch, for log lines.
fn wall_ms() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// When this process was first asked; the generation asks as it begins.
fn started_ms() -> u64 {
    static STARTED: OnceLock<u64> = OnceLock::new();
    *STARTED.get_or_init(now_ms)
}
