//! A pool of servers → the server for this request.
//!
//! [`sticky`] reads the persistence cookie and says which server it names; [`Pool::pick`] takes that
//! server, or the next one of the weighted turn; [`Busy`] counts it as busy until dropped; and
//! [`sticky`] again says what becomes of the cookie in the answer. [`health`] is the step from one
//! check's outcome to up or down.
//!
//! Nothing here reads a clock, a socket or a random source. What workers share are atomics: they
//! take no lock and allocate nothing. Operators and checks act through [`Pool::mark`],
//! [`Pool::set_admin`] and [`Pool::set_weight`], off the workers.

pub mod health;
pub mod sticky;

mod busy;
mod live;
mod pool;
mod schedule;
mod server;

pub use busy::Busy;
pub use health::{Change, Health, Outcome, Reason};
pub use live::{Counter, Live, PoolLive, State, Totals};
pub use pool::{Pick, Pool, Why};
pub use server::Server;
