//! Servers that may be given only so many tunnels or sessions a second, under every policy.

use super::*;
use crate::balance::{Missed, Why};
use crate::config::{AdminState, Growth, Hash, HashKey, Rate, SlowStart};

const EVERY: [Balance; 5] = [
    Balance::RoundRobin,
    Balance::LeastConnections,
    Balance::TwoChoices,
    Balance::First,
    Balance::Hash(Hash {
        by: HashKey::Path,
        bound: None,
    }),
];

fn rate(per_second: u32, burst: u32) -> Option<Rate> {
    Some(Rate { per_second, burst })
}

/// The servers' rates, in order; `None` is none.
fn limited(balance: &Balance, rates: &[Option<Rate>]) -> Pool {
    let mut settings = settings(balance.clone(), &vec![1; rates.len()]);
    for (server, rate) in settings.servers.iter_mut().zip(rates) {
        server.tunnel_rate = *rate;
    }
    Pool::new(&settings, None, 2)
}

fn tunnel(now_ms: u64, key: u64) -> Ask {
    Ask {
        key: Some(key),
        tunnel: true,
        now_ms,
        ..Ask::default()
    }
}

/// How many of so many handshakes each server is given; and how many nobody.
fn given(pool: &Pool, now_ms: u64, count: u64) -> (Vec<usize>, usize) {
    let (mut shares, mut refused) = (vec![0; pool.servers.len()], 0);
    for key in 0..count {
        match pool.take(&tunnel(now_ms, key)) {
            Ok((pick, _)) => shares[pick.server] += 1,
            Err(_) => refused += 1,
        }
    }
    (shares, refused)
}

#[test]
fn whoever_has_a_token_takes_the_tunnel() {
    for balance in &EVERY {
        let pool = limited(balance, &[rate(10, 5), rate(10, 20), rate(10, 1)]);
        assert_eq!(
            given(&pool, 5_000, 100),
            (vec![5, 20, 1], 74),
            "{balance:?}"
        );
        assert_eq!(given(&pool, 5_000, 10), (vec![0, 0, 0], 10), "{balance:?}");
        assert_eq!(given(&pool, 5_200, 10), (vec![2, 2, 1], 5), "{balance:?}");
        // A server without a rate takes all that the others cannot.
        let pool = limited(balance, &[rate(10, 5), None]);
        let (shares, refused) = given(&pool, 5_000, 100);
        assert!(shares[0] <= 5 && refused == 0, "{balance:?}: {shares:?}");
        assert_eq!(shares[0] + shares[1], 100);
    }
}

/// Also in a pool so large that the least busy server is found by bounds: they are not raised for want of a token.
#[test]
fn a_large_pool_comes_back_to_servers_that_were_over_their_rate() {
    let pool = limited(&Balance::LeastConnections, &[rate(1, 1); 600]);
    assert_eq!(given(&pool, 1_000, 700), (vec![1; 600], 100));
    assert_eq!(given(&pool, 2_000, 700), (vec![1; 600], 100));
}

#[test]
fn requests_need_no_token() {
    for balance in &EVERY {
        let pool = limited(balance, &[rate(1, 1), rate(1, 1)]);
        for key in 0..50 {
            let ask = Ask {
                tunnel: false,
                ..tunnel(5_000, key)
            };
            assert!(pool.take(&ask).is_ok(), "{balance:?}");
        }
        assert_eq!(given(&pool, 5_000, 5).1, 3);
    }
}

#[test]
fn a_cookie_waits_for_its_own_server() {
    let pool = limited(&Balance::RoundRobin, &[rate(10, 2), None]);
    let wanting = |now_ms| Ask {
        wanted: Some(0),
        ..tunnel(now_ms, 1)
    };
    for _ in 0..2 {
        let taken = pool.take(&wanting(3_000));
        assert_eq!(
            taken.map(|(pick, _)| (pick.server, pick.why)),
            Ok((0, Why::Cookie))
        );
    }
    assert!(pool.take(&wanting(3_000)).is_err());
    assert_eq!(pool.live.total_sessions(), 2, "who was refused never was");
    let told: Vec<_> = (0..25)
        .filter_map(|_| pool.retry_after(&wanting(3_000), 0))
        .collect();
    let (first, last) = (told.first().copied(), told.last().copied());
    assert_eq!(
        (first, last),
        (Some(1), Some(5)),
        "a place each, five for nine tokens"
    );
    assert!(pool.take(&wanting(3_100)).is_ok());
    // As they return, each is held until its token is there, and nobody for longer than a second.
    for _ in 0..2 {
        assert!(pool.take(&wanting(4_000)).is_ok());
    }
    assert!(pool.take(&wanting(4_000)).is_err());
    let held: Vec<_> = (0..15)
        .map_while(|_| pool.take_ahead(&wanting(4_000)).ok())
        .map(|(pick, _, held)| (pick.server, held.as_millis()))
        .collect();
    let each: Vec<_> = (1..=10).map(|n| (0, n * 100)).collect();
    assert_eq!(held, each);
    let free = balanced(Balance::RoundRobin, &[1]);
    assert!(free.take_ahead(&wanting(4_000)).is_err(), "without a rate");
}

#[test]
fn no_server_at_all_is_no_question_of_rates() {
    let pool = limited(&Balance::RoundRobin, &[rate(10, 1), rate(10, 1)]);
    pool.set_admin(0, AdminState::Drain);
    assert_eq!(given(&pool, 1_000, 3), (vec![0, 1], 2));
    assert!(pool.retry_after(&tunnel(1_000, 1), 0).is_some());
    pool.set_admin(1, AdminState::Maintenance);
    assert_eq!(pool.retry_after(&tunnel(9_000, 1), 0), None);
    let free = balanced(Balance::RoundRobin, &[1]);
    assert_eq!(free.retry_after(&tunnel(9_000, 1), 0), None);
}

/// Who looks for another server than the one that failed costs that one nothing, when there is none.
#[test]
fn a_retry_takes_no_token_of_the_server_that_failed() {
    for balance in &EVERY {
        let pool = limited(balance, &[rate(10, 3), None]);
        pool.set_admin(1, AdminState::Maintenance);
        let elsewhere = Ask {
            avoid: Some(0),
            ..tunnel(5_000, 1)
        };
        for _ in 0..5 {
            assert_eq!(pool.take(&elsewhere).err(), Some(Missed::NoServer));
        }
        assert_eq!(pool.live.total_sessions(), 0);
        assert_eq!(given(&pool, 5_000, 5), (vec![3, 0], 2), "{balance:?}");
    }
}

#[test]
fn tokens_are_kept_over_plans() {
    let mut settings = settings(Balance::RoundRobin, &[1]);
    settings.servers[0].tunnel_rate = rate(1, 10);
    let before = Pool::new(&settings, None, 2);
    assert_eq!(given(&before, 1_000, 20), (vec![10], 10));
    let after = Pool::new(&settings, Some(&before), 2);
    assert_eq!(given(&after, 1_000, 20), (vec![0], 20));
    settings.servers[0].tunnel_rate = None;
    let free = Pool::new(&settings, Some(&after), 2);
    assert_eq!(given(&free, 1_000, 20), (vec![20], 0));
}

#[test]
fn a_server_that_came_back_is_given_sessions_at_a_growing_rate() {
    const OVER: Duration = Duration::from_secs(15);
    let growth = Growth { from: 10, to: 150 };
    for balance in &EVERY {
        let mut settings = settings(balance.clone(), &[1]);
        settings.servers[0].slow_start = Some(SlowStart {
            over: OVER,
            sessions: Some(growth),
        });
        let pool = Pool::new(&settings, None, 2);
        let ask = |now_ms, wanted| Ask {
            now_ms,
            wanted,
            ..Ask::default()
        };
        let count = |from: u64, wanted| {
            let takes = |ms: &u64| pool.take(&ask(from + ms, wanted)).is_ok();
            (1..=1_000).filter(takes).count()
        };
        assert_eq!(
            count(0, None),
            1_000,
            "nobody starts slowly when the process does"
        );
        pool.mark(0, &change(false), 1);
        pool.mark(0, &change(true), 2);
        assert_eq!(pool.advance(1_000), Some(Duration::from_secs(1)));
        assert_eq!(count(10_000, None), 10, "{balance:?}");
        assert_eq!(count(10_000, Some(0)), 1_000, "a cookie counts as ever");
        // A sixteenth more with each second; half way, and at the end.
        pool.advance(8_500);
        let halfway = count(20_000, None);
        assert!((79..=89).contains(&halfway), "{balance:?}: {halfway}");
        assert_eq!(pool.advance(16_000), None);
        assert_eq!(count(30_000, None), 1_000, "{balance:?}");
    }
}
