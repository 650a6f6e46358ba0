//! What is true of the policies, on pools of up to ten thousand servers and from several threads.

mod hash;
mod least_connections;
mod rates;
mod slow_start;
mod tiers;

use crate::balance::sticky::tests::pool_settings;
use crate::balance::{Ask, Busy, Change, Pool, Reason};
use crate::config::{self, Balance};
use std::time::Duration;

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

/// A session of the policy's choice: its server's place, and the session itself.
fn begin(pool: &Pool, key: Option<u64>) -> (usize, Busy) {
    let ask = Ask {
        key,
        ..Ask::default()
    };
    let (pick, busy) = pool.take(&ask).expect("some server takes sessions");
    (pick.server, busy)
}

/// How often each server is chosen when no session lasts.
fn shares(pool: &Pool, picks: usize) -> Vec<usize> {
    let mut shares = vec![0; pool.servers.len()];
    for _ in 0..picks {
        shares[begin(pool, None).0] += 1;
    }
    shares
}

fn change(up: bool) -> Change {
    Change {
        up,
        soft: false,
        reason: Reason::Connected,
        took: Duration::ZERO,
        lasted: Duration::ZERO,
    }
}
