//! The least busy server, exactly: scanned in small pools, found by lower bounds in large ones.

use super::*;
use proptest::prelude::*;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

fn pool(weights: &[u16]) -> Pool {
    balanced(Balance::LeastConnections, weights)
}

#[test]
fn those_that_are_level_take_turns_by_weight() {
    let three = pool(&[1, 1, 1]);
    let names: Vec<_> = (0..7).map(|_| begin(&three, None).0).collect();
    assert_eq!(names, [0, 1, 2, 0, 1, 2, 0]);
    assert_eq!(shares(&pool(&[3, 1, 2]), 600), [300, 100, 200]);
    // Busy ones among them get no share, and give none of theirs to a neighbour.
    let four = pool(&[1; 4]);
    let _busy = four.busy(1);
    assert_eq!(shares(&four, 300), [100, 0, 100, 100]);
}

#[test]
fn in_a_large_pool_too() {
    let large = pool(&[1; 1_000]);
    let shares = shares(&large, 20_000);
    let (least, most) = (shares.iter().min(), shares.iter().max());
    // Groups of seven and of eight take equal turns.
    assert!(
        least >= Some(&17) && most <= Some(&24),
        "{least:?} {most:?}"
    );
}

#[test]
fn sessions_are_shared_by_weight() {
    let pool = pool(&[1, 2, 5]);
    let _held: Vec<_> = (0..800).map(|_| begin(&pool, None)).collect();
    let sessions: Vec<_> = pool.servers.iter().map(|s| s.live.sessions()).collect();
    assert_eq!(sessions, [100, 200, 500]);
}

/// Threads that hold all they begin: at the instant of each choice, the chosen server is at most one per thread above
/// the least busy one.
fn nobody_gets_more_than_one_per_worker_above_the_least(servers: usize, each: usize) {
    const WORKERS: usize = 4;
    let pool = pool(&vec![1; servers]);
    let worst = AtomicUsize::new(0);
    let worker = || {
        let mut held = Vec::new();
        for _ in 0..each {
            let (server, busy) = begin(&pool, None);
            // Nothing ends, so that the least only grows: what it is now is no less than it was.
            let with = pool.servers[server].live.sessions();
            let least = spread_of(&pool).0;
            worst.fetch_max(with.saturating_sub(least) as usize, SeqCst);
            held.push(busy);
        }
        held
    };
    let held: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..WORKERS).map(|_| scope.spawn(worker)).collect();
        threads
            .into_iter()
            .flat_map(std::thread::ScopedJoinHandle::join)
            .collect()
    });
    let (least, most) = spread_of(&pool);
    assert!((most - least) as usize <= WORKERS, "{least} to {most}");
    // Its own session counts, and those that others began before it looked.
    assert!(worst.load(SeqCst) <= 2 * WORKERS, "{worst:?}");
    assert_eq!(held.iter().map(Vec::len).sum::<usize>(), WORKERS * each);
}

#[test]
fn four_workers_keep_seven_servers_level() {
    nobody_gets_more_than_one_per_worker_above_the_least(7, 5_000);
}

#[test]
fn four_workers_keep_three_hundred_servers_level() {
    nobody_gets_more_than_one_per_worker_above_the_least(300, 800);
}

/// Sessions come and go on four threads; once they rest, one choice after the other is the least busy server.
#[test]
fn bounds_hold_after_a_storm() {
    let pool = pool(&[1; 300]);
    let worker = |seed: u64| {
        let mut held = Vec::new();
        for step in 0..5_000u64 {
            let random = super::super::mix(seed << 32 | step);
            if random % 5 < 3 || held.is_empty() {
                held.push(begin(&pool, None).1);
            } else {
                held.swap_remove((random >> 8) as usize % held.len());
            }
        }
        held
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
    let mut more = Vec::new();
    for _ in 0..600 {
        let least = spread_of(&pool).0;
        let (server, busy) = begin(&pool, None);
        assert_eq!(pool.servers[server].live.sessions(), least + 1);
        more.push(busy);
    }
}

#[test]
fn a_large_pool_passes_over_who_is_avoided_or_gone() {
    let pool = pool(&[1; 400]);
    let avoid = Some(0);
    for _ in 0..800 {
        let ask = Ask {
            avoid,
            ..Ask::default()
        };
        assert_ne!(pool.pick(&ask).map(|pick| pick.server), avoid);
    }
    for server in 0..399 {
        pool.servers[server].live.mark(&change(false), None, 1);
    }
    assert_eq!(begin(&pool, None).0, 399);
    assert_eq!(begin(&pool, None).0, 399);
    pool.mark(7, &change(true), 2);
    let _busy = pool.busy(399);
    assert_eq!(begin(&pool, None).0, 7);
}

/// What was learned while a server was avoided does not hide it from the next client.
#[test]
fn an_avoided_server_is_found_again() {
    let pool = pool(&[1; 300]);
    let _busy: Vec<_> = (1..300).map(|server| pool.busy(server)).collect();
    let ask = Ask {
        avoid: Some(0),
        ..Ask::default()
    };
    for _ in 0..300 {
        assert!(pool.pick(&ask).is_some_and(|pick| pick.server != 0));
    }
    assert_eq!(begin(&pool, None).0, 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever begins and ends, also by cookies, every choice is the least busy for its weight.
    #[test]
    fn every_choice_is_the_least_busy(
        large: bool,
        heavy in 1u16..=4,
        steps in prop::collection::vec((0u8..10, any::<u32>()), 1..400),
    ) {
        let count = if large { 260 } else { 5 };
        let weights: Vec<_> = (0..count).map(|at| if at % 3 == 0 { heavy } else { 1 }).collect();
        let pool = pool(&weights);
        let mut held = Vec::new();
        for (what, which) in steps {
            let which = which as usize;
            match what {
                0..5 => {
                    let load = |at: usize| pool.servers[at].live.load_for_weight();
                    let least = (0..count).map(load).min();
                    let before: Vec<_> = (0..count).map(load).collect();
                    let (server, busy) = begin(&pool, None);
                    prop_assert_eq!(Some(before[server]), least);
                    held.push(busy);
                }
                // After a failure: the least busy of all others.
                5 => {
                    let avoid = which % count;
                    let ask = Ask {
                        avoid: Some(avoid),
                        ..Ask::default()
                    };
                    let load = |at: usize| pool.servers[at].live.load_for_weight();
                    let least = (0..count).filter(|at| *at != avoid).map(load).min();
                    let server = pool.pick(&ask).map_or(avoid, |pick| pick.server);
                    prop_assert!(server != avoid && Some(load(server)) == least);
                }
                6 => held.push(pool.busy(which % count)),
                _ if held.is_empty() => {}
                7..9 => drop(held.swap_remove(which % held.len())),
                _ => pool.set_weight(which % count, 1 + (which % 3) as u16),
            }
        }
    }
}
