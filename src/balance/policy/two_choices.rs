//! Of two random servers the less busy one.
//!
//! Nearly as even as the least busy of all, at a cost that does not grow with the number of servers, and without
//! the herd that runs to whoever looks idle. (M. Mitzenmacher, "The power of two choices in randomized load balancing",
//! 2001: the fullest of n servers has some ln ln n sessions above the mean, instead of ln n / ln ln n.)

use super::{Entrant, TRIES, View, mix, weights};
use crate::balance::pool::{Pick, Why};
use crate::balance::schedule::Schedule;

/// Servers are drawn by weight: a random turn of a round is a random server in proportion. The random numbers are
/// the pool's shared count, mixed.
#[derive(Debug)]
pub(in crate::balance) struct TwoChoices {
    schedule: Schedule,
}

impl TwoChoices {
    pub(super) fn new(entrants: &[Entrant], count: usize) -> Self {
        Self {
            schedule: Schedule::new(&weights(entrants, count)),
        }
    }

    pub(super) fn pick(&self, view: &View<'_>) -> Option<Pick> {
        let random = mix(view.turn());
        let one = self.draw(random >> 16, |server| view.fits(server))?;
        let random = mix(random);
        let other = self.draw(random >> 16, |server| server != one && view.fits(server));
        // If there is no other, it is the only one, or the others hardly weigh anything.
        let server = other.map_or(one, |other| less_busy(view, one, other));
        let why = Why::Policy;
        Some(Pick { server, why })
    }

    /// A random server; if it does not fit, its neighbour in the turn, which is another one.
    fn draw(&self, random: u64, fits: impl Fn(usize) -> bool) -> Option<usize> {
        let turns = (0..TRIES as u64).map_while(|step| self.schedule.at(random + step));
        turns.into_iter().find(|server| fits(*server))
    }
}

/// For its weight; the first of two that are level.
fn less_busy(view: &View<'_>, one: usize, other: usize) -> usize {
    let load = |server: usize| view.servers[server].live.load_for_weight();
    if load(other) < load(one) { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{balanced, spread_of};
    use crate::balance::Ask;
    use crate::config::Balance;
    use proptest::prelude::*;

    /// 10,000 sessions that stay, on 100 servers: how far the fullest is above the mean.
    #[test]
    fn two_choices_are_far_better_than_one() {
        let pool = balanced(Balance::TwoChoices, &[1; 100]);
        let held: Vec<_> = (0..10_000).map(|_| pool.take(&Ask::default())).collect();
        let (least, most) = spread_of(&pool);
        assert!(most <= 104 && least >= 90, "{least} to {most}");
        drop(held);
        // The same draws without the comparison.
        let mut counts = [0u32; 100];
        for turn in 0..10_000 {
            counts[(super::mix(turn) >> 16) as usize % 100] += 1;
        }
        let alone = counts.iter().max().copied().unwrap_or_default();
        assert!(alone > 115, "{alone}");
    }

    proptest! {
        /// Whoever is the less busy of two is taken, always; with weights, the less busy for its weight.
        #[test]
        fn of_two_servers_the_less_busy_is_taken(weights in [1u16..=9, 1u16..=9], picks in 1usize..200) {
            let pool = balanced(Balance::TwoChoices, &weights);
            let mut held = Vec::new();
            for _ in 0..picks {
                let load = |at: usize| pool.servers[at].live.load_for_weight();
                let before = [load(0), load(1)];
                let taken = pool.take(&Ask::default());
                let Ok((pick, busy)) = taken else { panic!("two servers take sessions") };
                prop_assert!(before[pick.server] <= before[1 - pick.server]);
                held.push(busy);
            }
        }
    }
}
