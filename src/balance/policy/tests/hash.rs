//! Keys: where they go, how many move, and that no bound is passed.

use super::*;
use crate::balance::{Why, key_of};
use crate::config::{Hash, HashKey};
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

fn hash(bound: Option<u32>) -> Balance {
    let by = HashKey::Source;
    Balance::Hash(Hash { by, bound })
}

fn key(number: usize) -> Option<u64> {
    Some(key_of(&number.to_be_bytes()))
}

fn owners(pool: &Pool, keys: usize) -> Vec<usize> {
    (0..keys).map(|number| begin(pool, key(number)).0).collect()
}

fn counts(owners: &[usize], servers: usize) -> Vec<usize> {
    let mut counts = vec![0; servers];
    for owner in owners {
        counts[*owner] += 1;
    }
    counts
}

#[test]
fn keys_are_spread_by_weight() {
    for (count, within) in [(3, 0.15), (100, 0.4)] {
        let pool = balanced(hash(None), &vec![1; count]);
        let counts = counts(&owners(&pool, 40_000), count);
        let mean = 40_000.0 / count as f64;
        for share in &counts {
            assert!(
                (*share as f64 / mean - 1.0).abs() < within,
                "{count}: {counts:?}"
            );
        }
    }
    let pool = balanced(hash(None), &[1, 2, 1]);
    let counts = counts(&owners(&pool, 40_000), 3);
    assert!((17_500..22_500).contains(&counts[1]), "{counts:?}");
}

/// Points walked, and rings made, while `work` runs.
fn counted(work: impl FnOnce()) -> (usize, usize) {
    use crate::balance::policy::hash::tests::{MADE, STEPS};
    let now = || (STEPS.get(), MADE.get());
    let before = now();
    work();
    (now().0 - before.0, now().1 - before.1)
}

/// Not after all of its 256,000 points.
#[test]
fn a_pool_without_a_free_server_is_left_after_few_points() {
    let mut settings = settings(hash(None), &[1; 1_000]);
    for server in &mut settings.servers {
        server.bounds.connections = Some(1);
    }
    let pool = Pool::new(&settings, None, 1);
    let mut sessions: Vec<_> = (0..1_000).map(|number| begin(&pool, key(number))).collect();
    let ask = Ask {
        key: key(7),
        ..Ask::default()
    };
    let (steps, _) = counted(|| assert!(pool.take(&ask).is_err()));
    assert!((1..=2 * 65).contains(&steps), "{steps} points");
    // The one that is free is found all the same, wherever it stands.
    for at in [0, 499, 900] {
        let (server, session) = sessions.swap_remove(at);
        drop(session);
        let (pick, busy) = pool.take(&ask).expect("one is free");
        assert_eq!(pick.server, server);
        sessions.push((server, busy));
    }
    // And the same with a bound, which nobody is below.
    let bounded = balanced(hash(Some(100)), &[1; 1_000]);
    let _held: Vec<_> = (0..1_000)
        .map(|number| begin(&bounded, key(number)))
        .collect();
    let (steps, _) = counted(|| drop(begin(&bounded, key(7))));
    assert!(steps < 30_000, "{steps} points");
}

/// All fail together, and come back: the points stay as they are.
#[test]
fn a_change_of_health_makes_no_ring() {
    let pool = balanced(hash(None), &[1; 1_000]);
    let before = owners(&pool, 2_000);
    let (_, made) = counted(|| {
        (1..1_000).for_each(|server| pool.mark(server, &change(false), 1));
        assert!(owners(&pool, 100).iter().all(|owner| *owner == 0));
        (1..1_000).for_each(|server| pool.mark(server, &change(true), 2));
    });
    assert_eq!(made, 0);
    assert_eq!(owners(&pool, 2_000), before);
    let (_, made) = counted(|| pool.set_weight(3, 2));
    assert_eq!(made, 1, "a higher weight takes more points");
    let (_, made) = counted(|| pool.set_weight(3, 1));
    assert_eq!(made, 0, "a lower one leaves some of them out");
    assert!(owners(&pool, 2_000) == before);
    // A reload with the same servers.
    let (_, made) = counted(|| drop(Pool::new(&pool.settings, Some(&pool), 1)));
    assert_eq!(made, 0);
}

/// All come back together and start slowly: each step leaves the points as they are, and moves keys to those servers only.
#[test]
fn a_slow_start_makes_no_ring() {
    let mut settings = settings(hash(None), &[1; 1_000]);
    for server in &mut settings.servers[1..] {
        server.slow_start = Some(config::SlowStart {
            over: Duration::from_secs(15),
            sessions: None,
        });
    }
    let pool = Pool::new(&settings, None, 1);
    let before = owners(&pool, 2_000);
    (1..1_000).for_each(|server| pool.mark(server, &change(false), 1));
    let mut owned = owners(&pool, 2_000);
    let (mut moved, mut steps) = (0, 0);
    let (_, made) = counted(|| {
        (1..1_000).for_each(|server| pool.mark(server, &change(true), 2));
        let mut now_ms = 2;
        while let Some(wait) = pool.advance(now_ms) {
            now_ms += wait.as_millis() as u64;
            steps += 1;
            let next = owners(&pool, 2_000);
            let changed = owned.iter().zip(&next).filter(|(old, new)| old != new);
            moved += changed.count();
            owned = next;
        }
    });
    assert_eq!((made, steps), (0, 15));
    assert!(owners(&pool, 2_000) == before);
    assert!(moved > 1_800, "{moved}");
}

/// A ring on which most points are left out would be walked in vain.
#[test]
fn a_ring_far_too_large_is_made_anew() {
    let pool = balanced(hash(None), &[1; 3]);
    let (_, made) = counted(|| pool.set_weight(0, 256));
    assert_eq!(made, 1);
    let (_, made) = counted(|| pool.set_weight(0, 1));
    assert_eq!(made, 1);
}

/// Removing one of N moves its keys and no others: about one in N.
#[test]
fn about_one_key_in_n_moves() {
    for count in [2, 3, 10, 100] {
        let pool = balanced(hash(None), &vec![1; count]);
        let before = owners(&pool, 20_000);
        let lost = count / 2;
        pool.mark(lost, &change(false), 1);
        let during = owners(&pool, 20_000);
        let mut moved = 0;
        for (before, during) in before.iter().zip(&during) {
            assert_ne!(*during, lost);
            if before != during {
                assert_eq!(*before, lost);
                moved += 1;
            }
        }
        let wanted = 20_000 / count;
        assert!(
            moved * 10 > wanted * 6 && moved * 10 < wanted * 14,
            "{count}: {moved}"
        );
        // They go to many others, not to one neighbour.
        let heirs: std::collections::BTreeSet<_> = before
            .iter()
            .zip(&during)
            .filter(|(before, during)| before != during)
            .map(|(_, during)| during)
            .collect();
        assert!(
            heirs.len() >= (count - 1).min(20),
            "{count}: {}",
            heirs.len()
        );
        pool.mark(lost, &change(true), 2);
        assert_eq!(owners(&pool, 20_000), before);
    }
}

/// A plan with one server more moves keys to it only.
#[test]
fn a_new_server_takes_only_its_share() {
    let settings = settings(hash(None), &[1; 11]);
    let fewer = config::Pool {
        servers: settings.servers[..10].to_vec(),
        ..settings.clone()
    };
    let before = Pool::new(&fewer, None, 1);
    let after = Pool::new(&settings, Some(&before), 1);
    let (before, after) = (owners(&before, 20_000), owners(&after, 20_000));
    let moved: Vec<_> = before.iter().zip(&after).filter(|(b, a)| b != a).collect();
    assert!(moved.iter().all(|(_, after)| **after == 10));
    assert!((1_200..2_500).contains(&moved.len()), "{}", moved.len());
}

/// Several proxies, and the next version, agree about every key.
#[test]
fn places_on_the_ring_do_not_change() {
    let pool = balanced(hash(None), &[1; 5]);
    let owners: String = owners(&pool, 40).iter().map(usize::to_string).collect();
    assert_eq!(owners, PLACES);
}

const PLACES: &str = "0421132343124244214003004020200111123113";

#[test]
fn without_a_key_it_is_round_robin() {
    let pool = balanced(hash(Some(125)), &[3, 1]);
    assert_eq!(shares(&pool, 400), [300, 100]);
}

#[test]
fn an_avoided_or_lost_server_is_passed_over() {
    let pool = balanced(hash(None), &[1; 4]);
    for number in 0..200 {
        let (owner, _) = begin(&pool, key(number));
        let ask = Ask {
            avoid: Some(owner),
            key: key(number),
            ..Ask::default()
        };
        let other = pool.pick(&ask).expect("three others");
        assert!(other.server != owner && other.why == Why::Key);
        pool.servers[owner].live.mark(&change(false), None, 1);
        assert_eq!(begin(&pool, key(number)).0, other.server);
        pool.servers[owner].live.mark(&change(true), None, 1);
    }
}

/// Four threads, one key for half of the sessions: the bound holds at every instant, for it only grows.
#[test]
fn workers_together_keep_the_bound() {
    let pool = balanced(hash(Some(125)), &[1; 6]);
    let worker = |seed: usize| {
        let number = |step: usize| {
            if step.is_multiple_of(2) {
                0
            } else {
                seed * 10_000 + step
            }
        };
        let session = |step| begin(&pool, key(number(step))).1;
        (0..5_000).map(session).collect::<Vec<_>>()
    };
    let _held: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|seed| scope.spawn(move || worker(seed)))
            .collect();
        threads
            .into_iter()
            .flat_map(std::thread::ScopedJoinHandle::join)
            .collect()
    });
    let bound = (20_000u32 * 125).div_ceil(600);
    assert_eq!(pool.live.sessions(), 20_000);
    let (_, most) = spread_of(&pool);
    assert_eq!(most, bound, "the hot key's server is full");
    assert_eq!(
        pool.live.total_sessions(),
        20_000,
        "what was taken back is not counted"
    );
}

/// Two threads that ask in the same instant, over and over, for a place of which there is one left.
#[test]
fn two_workers_never_share_the_last_place() {
    const ROUNDS: usize = 20_000;
    let pool = balanced(hash(Some(101)), &[1; 3]);
    let [arrived, done, exceeded] = [const { AtomicUsize::new(0) }; 3];
    let meet = |at: &AtomicUsize, round: usize| {
        at.fetch_add(1, SeqCst);
        while at.load(SeqCst) < 2 * round {
            std::hint::spin_loop();
            std::thread::yield_now();
        }
    };
    let worker = || {
        let mut held = Vec::new();
        for round in 1..=ROUNDS {
            meet(&arrived, round);
            held.push(begin(&pool, key(0)).1);
            meet(&done, round);
            let bound = (2 * round as u32 * 101).div_ceil(300);
            let most = spread_of(&pool).1;
            // The other may have begun the next round already.
            let total = pool.live.sessions() as usize;
            if most > bound && total == 2 * round {
                exceeded.fetch_add(1, SeqCst);
            }
        }
        held
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(worker);
        let _held = worker();
        assert!(other.join().is_ok());
    });
    assert_eq!(exceeded.into_inner(), 0, "of {ROUNDS} rounds");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// No server is given a session that takes it above its bound, whatever the keys and the weights.
    #[test]
    fn no_server_exceeds_its_bound(
        weights in prop::collection::vec(1u16..=5, 1..8),
        bound in 101u32..300,
        keys in prop::collection::vec((0usize..4, any::<bool>()), 1..200),
    ) {
        let pool = balanced(hash(Some(bound)), &weights);
        let whole: u64 = weights.iter().map(|weight| u64::from(*weight)).sum();
        let mut held = Vec::new();
        for (number, ends) in keys {
            let (server, busy) = begin(&pool, key(number));
            let total = u64::from(pool.live.sessions());
            let most = (u64::from(bound) * total * u64::from(weights[server])).div_ceil(100 * whole);
            prop_assert!(u64::from(busy.live().sessions()) <= most);
            if !ends {
                held.push(busy);
            }
        }
    }
}
