//! Backups: nobody of a tier is used while a lower one has anybody.

use super::*;
use crate::balance::Why;
use crate::config::{AdminState, Hash, HashKey};
use std::collections::BTreeSet;

fn policies() -> [Balance; 5] {
    let by = HashKey::Source;
    [
        Balance::RoundRobin,
        Balance::LeastConnections,
        Balance::TwoChoices,
        Balance::First,
        Balance::Hash(Hash { by, bound: None }),
    ]
}

fn tiered(balance: Balance) -> Pool {
    let mut settings = settings(balance, &[1; 4]);
    for (server, tier) in settings.servers.iter_mut().zip([1, 0, 0, 2]) {
        server.tier = tier;
    }
    Pool::new(&settings, None, 2)
}

fn used(pool: &Pool) -> Vec<usize> {
    let servers: BTreeSet<_> = (0..40).map(|key| begin(pool, Some(key)).0).collect();
    servers.into_iter().collect()
}

#[test]
fn the_lowest_tier_that_has_anybody_is_used() {
    for balance in policies() {
        let all = balance != Balance::First;
        let pool = tiered(balance);
        assert_eq!(used(&pool), if all { vec![1, 2] } else { vec![1] });
        pool.set_admin(1, AdminState::Drain);
        assert_eq!(used(&pool), [2]);
        pool.mark(2, &change(false), 1);
        assert_eq!(used(&pool), [0]);
        pool.set_weight(0, 0);
        assert_eq!(used(&pool), [3]);
        pool.mark(3, &change(false), 2);
        assert_eq!(pool.pick(&Ask::default()), None);
        pool.mark(2, &change(true), 3);
        assert_eq!(used(&pool), [2]);
    }
}

/// Before the table is made anew, and when one just failed.
#[test]
fn a_higher_tier_is_a_last_resort() {
    for balance in policies() {
        let pool = tiered(balance);
        pool.servers[1].live.mark(&change(false), None, 1);
        let ask = Ask {
            avoid: Some(2),
            key: Some(7),
            ..Ask::default()
        };
        let pick = pool.pick(&ask).expect("two backups");
        assert_eq!((pick.server, pick.why), (0, Why::Fallback));
        assert_eq!(used(&pool), [2]);
    }
}
