//! One client connection: exchanges and tunnels.
//!
//! Calls each room in turn and carries the value to the next: a head is read ([`wire`]), a pool found
//! ([`route`]), a server picked ([`balance`]), a link taken ([`upstream`]), bytes moved, a line written
//! ([`record`]). A [`Plan`] is the configuration as workers use it, a [`Desk`] what one worker's
//! connections share.
//!
//! [`wire`]: crate::wire
//! [`route`]: crate::route
//! [`balance`]: crate::balance
//! [`upstream`]: crate::upstream
//! [`record`]: crate::record

mod closing;
mod connection;
mod desk;
mod ending;
mod exchange;
#[cfg(debug_assertions)]
pub(crate) mod fault;
mod flow;
mod follow;
mod handover;
mod introduction;
mod key;
mod monitor;
mod own;
mod passive;
mod plan;
mod rates;
mod queue;
mod reach;
mod refused;
mod request;
mod response;
mod retry;
mod session;
mod story;
mod tunnel;
mod way;

pub use closing::{Closing, Why};
pub use connection::{TASK, serve};
pub use desk::{Desk, Gauge, Open};
pub use ending::Ending;
pub use monitor::Monitor;
pub use plan::{Captures, Held, Listener, ListenerLive, Local, Plan, PoolHeld, Waits, wait};
pub use queue::knock;
pub use rates::{RampLive, Rates, RatesLive};
pub use request::{ADDED, TEXTS};
pub use session::LEARNING;
pub use tunnel::{Direction, Tunnel, TunnelEnd};
pub use way::Way;
