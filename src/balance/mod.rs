//! A pool of servers → the server for this request.
//!
//! [`sticky`] reads the persistence cookie and says which server it names; [`Pool::take`] takes that
//! server, or the one that the pool's policy chooses; [`Busy`] counts it as busy until dropped; and
//! [`sticky`] again says what becomes of the cookie in the answer. [`health`] is the step from one
//! check's outcome to up or down, `slow_start` the growth of a server's share after it came back, [`rate`] a token
//! bucket and [`clients`] one for each network of clients.
//!
//! Nothing here reads a clock, a socket or a random source. What workers share are atomics: they
//! take no lock and allocate nothing. Operators, agents and checks act through [`Pool::mark`],
//! [`Pool::hear`], [`Pool::set_admin`], [`Pool::set_weight`] and [`Pool::advance`], off the workers; what their words come to
//! is a [`Standing`].

pub mod clients;
pub mod discovery;
pub mod health;
pub mod passive;
pub mod rate;
pub mod sticky;

mod budget;
mod busy;
mod line;
mod live;
mod policy;
mod pool;
mod queue;
mod room;
mod schedule;
mod server;
mod sessions;
mod slow_start;
mod standing;
mod sources;
mod times;

pub use busy::Busy;
pub use health::{Change, Health, Outcome, Reason};
pub use line::Line;
pub use live::{Counter, Live, PoolLive, State, Totals};
pub use policy::key_of;
pub use pool::{Ask, Missed, Pick, Pool, Why};
pub use queue::{Bell, Waiting};
pub use server::Server;
pub use sessions::{SessionKey, Sessions, bytes_of_sessions};
pub use sources::{Source, Sources};
pub use standing::{AgentWord, Standing};
pub use times::left;
