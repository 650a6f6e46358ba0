//! The order of turns: smooth weighted round robin, laid out in advance.

/// One round of turns. With weights 5, 1, 1 it reads `a a b a c a a`: in each round a server has
/// exactly as many turns as its weight says (all weights divided by their greatest common
/// divisor), and they lie as far apart as possible.
///
/// Bound: [`MAX_TURNS`] turns of 4 bytes. Weights whose sum is larger (more than 256 servers with
/// large weights that have no common divisor) are scaled down to fit, at least 1 each: the shares
/// are then rounded.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    turns: Box<[u32]>,
}

/// Servers of equal weight take the turns of their class one after the other.
struct Class {
    weight: u64,
    servers: Vec<u32>,
    taken: usize,
}

impl Schedule {
    /// Lays out one round for servers with these weights; 0 has no turn.
    pub(super) fn new(weights: &[u16]) -> Self {
        let mut classes = classes(&fitted(weights));
        let round: u64 = classes.iter().map(Class::total).sum();
        // Each turn every server earns its weight, the richest one takes the turn (the first of
        // the richest, in file order) and pays a whole round. In a class the next in line is the
        // richest, so that the work is turns × different weights, not turns × servers.
        let turns = (1..=round).map(|turn| {
            let richest = classes
                .iter_mut()
                .max_by_key(|class| (class.credit(turn, round), std::cmp::Reverse(class.next())));
            richest.map_or(0, Class::take)
        });
        Self {
            turns: turns.collect(),
        }
    }

    /// Whose turn it is; `None` when nobody has one.
    pub(super) fn at(&self, turn: u64) -> Option<usize> {
        let round = self.turns.len() as u64;
        let at = turn.checked_rem(round)?;
        Some(self.turns[at as usize] as usize)
    }
}

impl Class {
    fn total(&self) -> u64 {
        self.weight * self.servers.len() as u64
    }

    /// Whose turn comes next in the class.
    fn next(&self) -> u32 {
        self.servers[self.taken % self.servers.len()]
    }

    /// What that server has earned and not yet spent.
    fn credit(&self, turn: u64, round: u64) -> i64 {
        let spent = (self.taken / self.servers.len()) as u64 * round;
        (self.weight * turn) as i64 - spent as i64
    }

    fn take(&mut self) -> u32 {
        let server = self.next();
        self.taken += 1;
        server
    }
}

/// Turns in a round at most: 256 KiB, laid out in some milliseconds.
const MAX_TURNS: u64 = 1 << 16;

/// The weights, reduced as far as they go, and to the bound.
fn fitted(weights: &[u16]) -> Vec<u64> {
    let divisor = weights.iter().fold(0, |a, b| gcd(a, u64::from(*b))).max(1);
    let reduced = weights.iter().map(|w| u64::from(*w) / divisor);
    let sum: u64 = reduced.clone().sum();
    if sum <= MAX_TURNS {
        return reduced.collect();
    }
    let scaled = |w: u64| (w * MAX_TURNS / sum).max(u64::from(w > 0));
    reduced.map(scaled).collect()
}

fn classes(weights: &[u64]) -> Vec<Class> {
    let mut classes: Vec<Class> = Vec::new();
    for (server, &weight) in (0u32..).zip(weights) {
        match classes.iter_mut().find(|class| class.weight == weight) {
            _ if weight == 0 => {}
            Some(class) => class.servers.push(server),
            None => classes.push(Class {
                weight,
                servers: vec![server],
                taken: 0,
            }),
        }
    }
    classes
}

pub(super) fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn letters(weights: &[u16]) -> String {
        let letter = |turn: &u32| char::from(b'a' + *turn as u8);
        Schedule::new(weights).turns.iter().map(letter).collect()
    }

    /// The textbook's way, server by server.
    fn textbook(weights: &[u16]) -> Vec<u32> {
        let weights = fitted(weights);
        let round: u64 = weights.iter().sum();
        let mut credit = vec![0i64; weights.len()];
        let mut turns = Vec::new();
        for _ in 0..round {
            for (c, w) in credit.iter_mut().zip(&weights) {
                *c += *w as i64;
            }
            let richest = (0..weights.len())
                .filter(|i| weights[*i] > 0)
                .max_by_key(|i| (credit[*i], std::cmp::Reverse(*i)))
                .unwrap_or_default();
            credit[richest] -= round as i64;
            turns.push(richest as u32);
        }
        turns
    }

    #[test]
    fn turns_are_smooth() {
        assert_eq!(letters(&[1, 1, 1]), "abc");
        assert_eq!(letters(&[5, 1, 1]), "aabacaa");
        assert_eq!(letters(&[256, 128, 128]), "abca");
        assert_eq!(letters(&[2, 0, 4]), "cac");
        assert_eq!(letters(&[0, 0]), "");
        assert_eq!(letters(&[]), "");
        assert_eq!(Schedule::default().at(5), None);
    }

    #[test]
    fn a_round_is_bounded() {
        let weights: Vec<u16> = (0..10_000).map(|i| i % 256 + 1).collect();
        let schedule = Schedule::new(&weights);
        assert!(schedule.turns.len() as u64 <= MAX_TURNS + 10_000);
        let last = schedule.turns.iter().filter(|t| **t == 255).count();
        let first = schedule.turns.iter().filter(|t| **t == 0).count();
        assert_eq!((first, last), (1, 13));
    }

    proptest! {
        #[test]
        fn turns_are_those_of_the_textbook(weights in prop::collection::vec(0u16..=9, 0..9)) {
            let schedule = Schedule::new(&weights);
            prop_assert_eq!(&*schedule.turns, &*textbook(&weights));
        }

        #[test]
        fn shares_are_exact(weights in prop::collection::vec(0u16..=256, 1..12)) {
            let schedule = Schedule::new(&weights);
            let sum: u64 = weights.iter().map(|w| u64::from(*w)).sum();
            for (server, weight) in weights.iter().enumerate() {
                let turns = (0..sum).filter(|t| schedule.at(*t) == Some(server)).count();
                prop_assert_eq!(turns, usize::from(*weight));
            }
        }
    }
}
