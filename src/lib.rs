//! Ringbolt: a load balancer that holds every WebSocket session fast to its server.
//!
//! The walk of a request, each arrow a plain value:
//!
//! ```text
//!  accept ──► parse ──► route ──► pick server ──► forward / tunnel ──► log
//!  worker     wire      route     balance upstream   proxy             record
//!  Stream ──► Head ───► Route ──► Pick ──► Link ───► Outcome ────────► Record
//! ```
//!
//! The rooms stand in order: a room may name only the rooms before it (a test holds them to it).
//! The first five are pure: they are given bytes, values and times, and return values.

pub mod config;
pub mod wire;
pub mod route;
pub mod balance;
pub mod record;
pub mod ring;
pub mod upstream;
pub mod proxy;
pub mod worker;
pub mod control;
pub mod cli;
