//! Refused messages: how many of each kind, and the last ones.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::wire::excerpt::Excerpt;
use crate::wire::{Blame, Refusal};

/// How many messages were refused, by reason and sender. Each worker has its own; all of them are added up when they are read.
#[derive(Debug)]
#[repr(align(128))]
pub struct RefusalCounts([[AtomicU64; 2]; Refusal::ALL.len()]);

impl Default for RefusalCounts {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Default::default()))
    }
}

impl RefusalCounts {
    /// Counts one, sent `from` that side.
    pub fn add(&self, refusal: Refusal, from: Blame) {
        self.0[refusal as usize][from as usize].fetch_add(1, Relaxed);
    }

    /// How many there were.
    pub fn get(&self, refusal: Refusal, from: Blame) -> u64 {
        self.0[refusal as usize][from as usize].load(Relaxed)
    }
}

/// A message that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedMessage {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Why.
    pub refusal: Refusal,
    /// Who sent it.
    pub from: Blame,
    /// Bytes of it before the first wrong one.
    pub offset: u64,
    /// The client of the exchange; `None` over a unix socket.
    pub client: Option<SocketAddr>,
    /// The listener's name.
    pub listener: Box<str>,
    /// The pool's name, once there was one.
    pub pool: Option<Box<str>>,
    /// The server's name, once there was one.
    pub server: Option<Box<str>>,
    /// Part of its head; `None` if the fault is in its body, which is never shown.
    pub excerpt: Option<Excerpt>,
}

/// The last messages that were refused: [`RecentRefusals::MOST`] of one worker, or of all of them together.
#[derive(Debug, Default)]
pub struct RecentRefusals(VecDeque<Arc<RefusedMessage>>);

impl RecentRefusals {
    /// How many are kept.
    pub const MOST: usize = 64;

    /// Adds one; the oldest makes room for it.
    pub fn add(&mut self, message: RefusedMessage) {
        if self.0.len() == Self::MOST {
            self.0.pop_front();
        }
        self.0.push_back(Arc::new(message));
    }

    /// The messages, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<RefusedMessage>> {
        self.0.iter()
    }

    /// The last ones of several workers, oldest first.
    pub fn merge(mut all: Vec<Arc<RefusedMessage>>) -> Vec<Arc<RefusedMessage>> {
        all.sort_by_key(|message| message.at_ms);
        let surplus = all.len().saturating_sub(Self::MOST);
        all.split_off(surplus)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(at_ms: u64) -> RefusedMessage {
        RefusedMessage {
            at_ms,
            refusal: Refusal::BadStart,
            from: Blame::Client,
            offset: 0,
            client: None,
            listener: "in".into(),
            pool: None,
            server: None,
            excerpt: None,
        }
    }

    #[test]
    fn counts_are_by_reason_and_sender() {
        let counts = RefusalCounts::default();
        for refusal in Refusal::ALL {
            counts.add(*refusal, Blame::Server);
        }
        counts.add(Refusal::BadStart, Blame::Client);
        for refusal in Refusal::ALL {
            let client = u64::from(*refusal == Refusal::BadStart);
            let both = [Blame::Client, Blame::Server].map(|from| counts.get(*refusal, from));
            assert_eq!(both, [client, 1], "{refusal}");
        }
    }

    #[test]
    fn only_the_last_are_kept() {
        let (mut one, mut other) = (RecentRefusals::default(), RecentRefusals::default());
        for at in 0..100 {
            one.add(message(2 * at));
            other.add(message(2 * at + 1));
        }
        let times = |messages: &[Arc<RefusedMessage>]| -> Vec<u64> {
            messages.iter().map(|message| message.at_ms).collect()
        };
        let one: Vec<_> = one.iter().cloned().collect();
        assert_eq!(times(&one), (36..100).map(|at| 2 * at).collect::<Vec<_>>());
        let all = one.into_iter().chain(other.iter().cloned()).collect();
        assert_eq!(
            times(&RecentRefusals::merge(all)),
            (136..200).collect::<Vec<_>>()
        );
        assert!(RecentRefusals::merge(Vec::new()).is_empty());
    }
}
