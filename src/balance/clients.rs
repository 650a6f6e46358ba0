//! What each network of clients has begun: a table of token buckets that never grows.
//!
//! A network's bucket is one 64-bit word, which holds its name in the table and the moment at which the bucket is full
//! again, so that a compare-and-swap changes both. The keyed hash of the network says in which row of
//! [`WAYS`] words it stands: a peer cannot choose addresses that fall into one row, for it does not know the key.
//!
//! **Eviction.** A word whose bucket is full says no more than an absent one, and is the first to be written over. When
//! all of a row are in debt, the one that owes least is forgotten. So a client that is over its rate is
//! remembered longest, and others that come cannot make the table forget it before they owe more than it does.
//!
//! **Exactness.** Two networks share a bucket if they agree in row and name: with a full table, one in some 130,000 has such a
//! twin. Moments are counted in steps of 10 µs from the table's making; after five years of one process nobody is
//! refused any more.

use super::rate::{SECOND, TRIES, seconds};
use crate::config::Rate;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Buckets of networks, for one kind of thing that they do.
#[derive(Debug)]
pub struct Clients {
    rows: Box<[Row]>,
    prefixes: Prefixes,
    key: RandomState,
    /// When it was made: milliseconds of the clock that callers go by.
    since_ms: u64,
}

/// How many bits of an address make a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefixes {
    /// Of an IPv4 address, and of one that is written as IPv6.
    pub ipv4: u8,
    /// Of an IPv6 address.
    pub ipv6: u8,
}

/// On one cache line.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Row([AtomicU64; WAYS]);

/// A rate as the table counts it, in its steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimit {
    interval: u64,
    depth: u64,
}

impl ClientLimit {
    /// Of a setting.
    pub fn new(rate: Rate) -> Self {
        let interval = (SECOND / STEP).div_ceil(u64::from(rate.per_second.max(1)));
        Self {
            interval,
            depth: interval * u64::from(rate.burst.max(1) - 1),
        }
    }
}

impl Clients {
    /// A table for so many networks, rounded up to whole rows, a power of two of them. `key` is to be a secret.
    pub fn new(networks: usize, prefixes: Prefixes, key: RandomState, now_ms: u64) -> Self {
        let rows = networks.div_ceil(WAYS).next_power_of_two();
        Self {
            rows: (0..rows).map(|_| Row::default()).collect(),
            prefixes,
            key,
            since_ms: now_ms,
        }
    }

    /// Bytes that a table for so many networks takes.
    pub const fn bytes(networks: usize) -> usize {
        networks.div_ceil(WAYS).next_power_of_two() * size_of::<Row>()
    }

    /// Whether a table that was made for this many and these would be the same.
    pub fn is_for(&self, networks: usize, prefixes: Prefixes) -> bool {
        self.prefixes == prefixes && self.rows.len() == networks.div_ceil(WAYS).next_power_of_two()
    }

    /// Takes a token of the client's network.
    ///
    /// # Errors
    /// There is none: the seconds after which the client should come again. When it is one client alone, the next token
    /// is there by then; `random` spreads those of a network that are refused together over two more seconds.
    pub fn take(
        &self,
        client: IpAddr,
        limit: ClientLimit,
        now_ms: u64,
        random: u64,
    ) -> Result<(), u32> {
        let now = now_ms
            .saturating_sub(self.since_ms)
            .saturating_mul(SECOND / 1_000 / STEP);
        let (row, name) = self.place(client);
        if now >= LAST {
            return Ok(());
        }
        for _ in 0..TRIES {
            let (way, seen) = find(row, name);
            let full = if seen >> MOMENT == name >> MOMENT {
                seen & LAST
            } else {
                0
            };
            let empty = now + limit.depth + limit.interval;
            if full > empty + SLACK {
                // It was filled under a lower rate: what is beyond empty counts no more.
                let _ = row[way].compare_exchange(seen, name | empty.min(LAST), Relaxed, Relaxed);
            }
            if full > now + limit.depth {
                let wait = (full - limit.depth - now) * STEP;
                return Err(seconds(wait, random % (2 * SECOND)));
            }
            let next = (full.max(now) + limit.interval).min(LAST);
            let changed = row[way].compare_exchange(seen, name | next, Relaxed, Relaxed);
            if changed.is_ok() {
                return Ok(());
            }
        }
        Err(seconds(0, random % (2 * SECOND)))
    }

    /// Puts back a token that was not used, unless the network is forgotten by now.
    #[cold]
    pub fn give_back(&self, client: IpAddr, limit: ClientLimit) {
        let (row, name) = self.place(client);
        for _ in 0..TRIES {
            let (way, seen) = find(row, name);
            if seen >> MOMENT != name >> MOMENT {
                return;
            }
            let less = name | (seen & LAST).saturating_sub(limit.interval);
            if row[way]
                .compare_exchange(seen, less, Relaxed, Relaxed)
                .is_ok()
            {
                return;
            }
        }
    }

    /// The row in which the client's network stands, and its name there.
    fn place(&self, client: IpAddr) -> (&[AtomicU64; WAYS], u64) {
        let hash = self.key.hash_one(network(client, self.prefixes));
        let row = &self.rows[hash as usize & (self.rows.len() - 1)].0;
        (row, (hash >> (64 - NAME)).max(1) << MOMENT)
    }
}

/// The network's word, or the one that is to be written over: of the bucket that is full first.
fn find(row: &[AtomicU64; WAYS], name: u64) -> (usize, u64) {
    let mut least = (0, u64::MAX);
    for (way, word) in row.iter().enumerate() {
        let seen = word.load(Relaxed);
        if seen >> MOMENT == name >> MOMENT {
            return (way, seen);
        }
        if seen & LAST < least.1 & LAST {
            least = (way, seen);
        }
    }
    least
}

/// The bits that count, and which family they are of.
fn network(client: IpAddr, prefixes: Prefixes) -> (u128, bool) {
    match client.to_canonical() {
        IpAddr::V4(address) => {
            let ignored = 32 - u32::from(prefixes.ipv4.min(32));
            let bits = address.to_bits().checked_shr(ignored).unwrap_or(0);
            (u128::from(bits), true)
        }
        IpAddr::V6(address) => {
            let ignored = 128 - u32::from(prefixes.ipv6.min(128));
            (address.to_bits().checked_shr(ignored).unwrap_or(0), false)
        }
    }
}

/// Words in a row: a cache line.
const WAYS: usize = 8;
/// Bits of a word that are the network's name in its row; 0 is nobody's.
const NAME: u32 = 20;
/// Bits that are the moment at which its bucket is full.
const MOMENT: u32 = 64 - NAME;
/// The last moment that a word can hold.
const LAST: u64 = (1 << MOMENT) - 1;
/// Nanoseconds in a step.
const STEP: u64 = 10_000;
/// Steps that the moments of two workers are apart at most.
const SLACK: u64 = 10 * SECOND / STEP;

#[cfg(test)]
mod tests;
