//! The process: launcher and generation, reload, probes, the control socket and the stats page.
//!
//! `ringbolt run` is a [`launcher`] (one thread, keeps its privileges and its PID, reads no byte from
//! the network) and a [`generation`] (drops its privileges before its second thread, then serves).
//! Between them is one socketpair with a closed list of commands: `channel`.

mod channel;
mod environment;
pub mod generation;
mod identity;
pub mod launcher;
mod limits;
mod listen;
mod notify;
mod reload;

pub use environment::Machine;
