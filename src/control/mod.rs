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
mod sandbox;
mod sources;
pub mod status;

pub use command::{Closed, Stated, Weighed};
pub use environment::Machine;
pub use opening::place;

use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch.
fn now_ms() -> u64 {
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
