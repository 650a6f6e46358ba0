//! What the tests of all policies need, and what is true of each of them.

use crate::balance::Pool;
use crate::balance::sticky::tests::pool_settings;
use crate::config::{self, Balance};

/// A pool of servers with these weights.
pub(super) fn balanced(balance: Balance, weights: &[u16]) -> Pool {
    Pool::new(&settings(balance, weights), None, 2)
}

pub(super) fn settings(balance: Balance, weights: &[u16]) -> config::Pool {
    let mut settings = pool_settings(None, &vec![""; weights.len()]);
    settings.balance = balance;
    for (server, weight) in settings.servers.iter_mut().zip(weights) {
        server.weight = *weight;
    }
    settings
}

/// The fewest and the most sessions that a server has.
pub(super) fn spread_of(pool: &Pool) -> (u32, u32) {
    let sessions = || pool.servers.iter().map(|server| server.live.sessions());
    (
        sessions().min().unwrap_or_default(),
        sessions().max().unwrap_or_default(),
    )
}
