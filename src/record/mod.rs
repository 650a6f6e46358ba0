//! What happened → lines of the access log, and events.
//!
//! A worker builds one [`Record`] at the end of each exchange and gives it to its [`Log`], which
//! writes it in each format that some target wants (once per format, however many targets) into a
//! block of its own. Full blocks, and every tick the begun ones, go through a bounded [`Queue`] to
//! the writer thread; emptied blocks come back. No system call, no lock and, in steady state, no
//! allocation for a line. What does not fit is dropped, counted and said by the writer.
//!
//! [`Event`]s are rarer, may allocate, and come from any thread through [`Events`].
//!
//! Everything here is pure: times are given, bytes come out; the writer lives in `control::logs`.

mod event;
mod facts;
mod httplog;
mod json;
mod log;
mod queue;
mod refused;
mod stamp;
pub mod syslog;
mod text;

pub use event::{Event, Events, ServerName};
pub use facts::{Counts, Kind, Record, Termination, Timers, TunnelCounts};
pub use httplog::httplog;
pub use json::json;
pub use log::Log;
pub use queue::{BLOCK, Block, Line, Queue, Wanted, most_blocks};
pub use refused::{RecentRefusals, RefusalCounts, RefusedMessage};
pub use stamp::Stamp;
pub use text::TARGET_MAX;
