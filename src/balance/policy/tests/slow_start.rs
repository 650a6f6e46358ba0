//! Shares of servers that came back, under each policy that has shares.

use super::*;
use crate::balance::Live;
use crate::config::{AdminState, SlowStart};

const LENGTH: Duration = Duration::from_secs(30);
/// Milliseconds since the Unix epoch.
const NOON: u64 = 1_800_000_000_000;

fn pool(balance: Balance) -> Pool {
    let mut settings = settings(balance, &[1; 2]);
    for server in &mut settings.servers {
        server.slow_start = Some(SlowStart {
            over: LENGTH,
            sessions: None,
        });
    }
    Pool::new(&settings, None, 2)
}

fn sixteenths(pool: &Pool) -> [u8; 2] {
    [0, 1].map(|at| Live::sixteenths(&pool.servers[at].live))
}

#[test]
fn the_share_grows_from_step_to_step() {
    let pool = pool(Balance::RoundRobin);
    assert_eq!((pool.advance(NOON), sixteenths(&pool)), (None, [16, 16]));
    pool.mark(1, &change(false), NOON);
    assert_eq!(pool.advance(NOON), None);
    pool.mark(1, &change(true), NOON);
    // Even before the clock was looked at.
    assert_eq!(shares(&pool, 170), [160, 10]);
    assert_eq!(pool.advance(NOON), Some(Duration::from_secs(2)));
    assert_eq!(shares(&pool, 170), [160, 10]);
    let left = pool.advance(NOON + 14_500);
    assert_eq!(
        (left, sixteenths(&pool)),
        (Some(Duration::from_millis(1_500)), [16, 8])
    );
    assert_eq!(shares(&pool, 240), [160, 80]);
    assert_eq!(pool.advance(NOON + 30_000), None);
    assert_eq!(shares(&pool, 20), [10, 10]);
}

#[test]
fn least_connections_heeds_it() {
    let pool = pool(Balance::LeastConnections);
    pool.mark(1, &change(false), NOON);
    pool.mark(1, &change(true), NOON);
    pool.advance(NOON);
    let _held: Vec<_> = (0..34).map(|_| begin(&pool, None)).collect();
    assert_eq!(pool.servers[1].live.sessions(), 2);
}

#[test]
fn it_begins_when_a_server_comes_back_and_never_else() {
    let pool = pool(Balance::RoundRobin);
    // A check that changes nothing, drain, weights.
    pool.mark(0, &change(true), NOON);
    pool.set_admin(0, AdminState::Drain);
    pool.set_admin(0, AdminState::Ready);
    pool.set_weight(0, 7);
    assert_eq!((pool.advance(NOON), sixteenths(&pool)), (None, [16, 16]));
    pool.set_admin(0, AdminState::Maintenance);
    pool.set_admin(0, AdminState::Ready);
    assert_eq!(pool.advance(NOON), Some(Duration::from_secs(2)));
    assert_eq!(sixteenths(&pool), [1, 16]);
    // Down in between: it begins anew.
    pool.advance(NOON + 20_000);
    assert_eq!(sixteenths(&pool), [11, 16]);
    pool.mark(0, &change(false), NOON + 20_000);
    assert_eq!(pool.advance(NOON + 21_000), None);
    pool.mark(0, &change(true), NOON + 22_000);
    pool.advance(NOON + 22_000);
    assert_eq!(sixteenths(&pool), [1, 16]);
}

#[test]
fn a_reload_goes_on_with_it_or_ends_it() {
    let before = pool(Balance::RoundRobin);
    before.mark(0, &change(false), NOON);
    before.mark(0, &change(true), NOON);
    before.advance(NOON);
    let mut settings = before.settings.clone();
    let after = Pool::new(&settings, Some(&before), 2);
    assert_eq!(shares(&after, 170), [10, 160]);
    after.advance(NOON + 14_500);
    assert_eq!(sixteenths(&after), [8, 16]);
    settings.servers[0].slow_start = None;
    let later = Pool::new(&settings, Some(&after), 2);
    assert_eq!(sixteenths(&later), [16, 16]);
    settings.servers[0].state = AdminState::Maintenance;
    let closed = Pool::new(&settings, Some(&later), 2);
    settings.servers[0].state = AdminState::Ready;
    settings.servers[0].slow_start = Some(SlowStart {
        over: LENGTH,
        sessions: None,
    });
    let opened = Pool::new(&settings, Some(&closed), 2);
    assert_eq!(sixteenths(&opened), [1, 16]);
}

#[test]
fn a_cookie_comes_as_ever() {
    let pool = pool(Balance::RoundRobin);
    pool.mark(1, &change(false), NOON);
    pool.mark(1, &change(true), NOON);
    let ask = Ask {
        wanted: Some(1),
        ..Ask::default()
    };
    assert!((0..40).all(|_| pool.pick(&ask).is_some_and(|pick| pick.server == 1)));
}
