//! Who is served when: in order, in steps, and by many threads at once.

#![expect(clippy::unwrap_used, reason = "tests")]

mod model;
mod threads;

use super::super::health::{Change, Reason};
use super::super::sticky::tests::pool_settings;
use super::super::{Ask, Bell, Busy, Missed, Pool, Waiting};
use crate::config::{self, AdminState, Bounds, SlowStart};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Notes who was rung, in order.
#[derive(Default)]
struct Notes(Mutex<Vec<u32>>);

impl Bell for Notes {
    fn ring(&self, place: u32) {
        self.0.lock().unwrap().push(place);
    }
}

struct Scene {
    pool: Pool,
    notes: Arc<Notes>,
    bell: Arc<dyn Bell>,
}

fn settings(bounds: &[(Option<u32>, Option<u32>)]) -> config::Pool {
    let keys: Vec<String> = (0..bounds.len()).map(|at| format!("k{at}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    let mut settings = pool_settings(None, &keys);
    settings.max_queue = 8;
    for (server, (connections, tunnels)) in settings.servers.iter_mut().zip(bounds) {
        server.bounds = Bounds {
            connections: *connections,
            tunnels: *tunnels,
            queue: 8,
        };
    }
    settings
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

impl Scene {
    /// Servers that take so many sessions each.
    fn of(bounds: &[u32]) -> Self {
        let bounds: Vec<_> = bounds.iter().map(|bound| (Some(*bound), None)).collect();
        Self::with(&settings(&bounds))
    }

    fn with(settings: &config::Pool) -> Self {
        let notes: Arc<Notes> = Arc::default();
        Self {
            pool: Pool::new(settings, None, 1),
            bell: notes.clone(),
            notes,
        }
    }

    fn take(&self, ask: &Ask) -> Result<(usize, Busy), Missed> {
        self.pool.take(ask).map(|(pick, busy)| (pick.server, busy))
    }

    fn wait(&self, ask: &Ask, place: u32) -> Waiting {
        self.pool.wait(ask, false, &self.bell, place).unwrap()
    }

    fn rung(&self) -> Vec<u32> {
        std::mem::take(&mut self.notes.0.lock().unwrap())
    }

    fn waiting(&self) -> (u32, Vec<u32>) {
        let own = self.pool.servers.iter().map(|s| s.live.line().waiting());
        (self.pool.live.line().waiting(), own.collect())
    }
}

const ANY: Ask = Ask {
    wanted: None,
    avoid: None,
    key: None,
    tunnel: false,
    now_ms: 0,
    ahead: false,
};

fn wanting(server: usize) -> Ask {
    Ask {
        wanted: Some(server),
        ..ANY
    }
}

fn tunnel() -> Ask {
    Ask {
        tunnel: true,
        ..ANY
    }
}

#[test]
fn first_come_first_served() {
    let scene = Scene::of(&[2]);
    let mut busy = VecDeque::from([scene.take(&ANY).unwrap(), scene.take(&ANY).unwrap()]);
    assert_eq!(scene.take(&ANY).unwrap_err(), Missed::Full);
    let mut waiting: VecDeque<_> = (0..8).map(|place| scene.wait(&ANY, place)).collect();
    let positions: Vec<_> = waiting.iter().map(Waiting::position).collect();
    assert_eq!(positions, [0, 1, 2, 3, 4, 5, 6, 7]);
    assert!(scene.pool.wait(&ANY, false, &scene.bell, 9).is_err());
    assert_eq!(scene.waiting(), (8, vec![0]));
    for place in 0..8 {
        assert!(scene.rung().is_empty());
        busy.pop_front();
        assert_eq!(scene.rung(), [place]);
        assert_eq!(scene.pool.live.sessions(), 2);
        // Who comes now is not faster than those who wait.
        let waits = place < 7;
        assert_eq!(scene.take(&ANY).is_err(), waits || busy.len() == 1);
        let mut first = waiting.pop_front().unwrap();
        assert!(first.is_over());
        let (pick, given) = first.given(&scene.pool).unwrap();
        busy.push_back((pick.server, given));
    }
    busy.clear();
    assert_eq!(scene.pool.live.sessions(), 0);
    assert_eq!(scene.waiting(), (0, vec![0]));
    let line = scene.pool.live.line();
    assert_eq!((line.longest(), line.refused()), (8, 1));
}

/// The older of the server's line and the pool's has the place.
#[test]
fn own_lines_and_the_pools_are_served_by_age() {
    let scene = Scene::of(&[1, 1]);
    let (one, two) = (
        scene.take(&wanting(0)).unwrap(),
        scene.take(&wanting(1)).unwrap(),
    );
    let asks = [wanting(1), ANY, wanting(0), ANY];
    let waiting: Vec<_> = (0..)
        .zip(&asks)
        .map(|(place, ask)| scene.wait(ask, place))
        .collect();
    assert_eq!(scene.waiting(), (2, vec![1, 1]));
    drop(one);
    assert_eq!(
        scene.rung(),
        [1],
        "server 0: the pool's first came before its own"
    );
    drop(two);
    assert_eq!(scene.rung(), [0], "server 1: its own");
    let mut waiting = waiting.into_iter();
    let own = waiting.next().unwrap().given(&scene.pool).unwrap();
    let any = waiting.next().unwrap().given(&scene.pool).unwrap();
    assert_eq!((own.0.server, any.0.server), (1, 0));
    drop(any);
    assert_eq!(scene.rung(), [2]);
    drop(own);
    assert_eq!(scene.rung(), [3]);
}

#[test]
fn who_leaves_makes_room_at_once_and_is_passed_over() {
    let scene = Scene::of(&[1]);
    let busy = scene.take(&ANY).unwrap();
    let mut waiting: Vec<_> = (0..8).map(|place| scene.wait(&ANY, place)).collect();
    drop(waiting.remove(0));
    waiting.remove(3).expire();
    assert_eq!(scene.waiting().0, 6);
    assert_eq!(scene.pool.live.line().timeouts(), 1);
    let _more = [scene.wait(&ANY, 10), scene.wait(&ANY, 11)];
    drop(busy);
    assert_eq!(scene.rung(), [1]);
    // It leaves without having taken what it was given.
    drop(waiting.remove(0));
    assert_eq!(scene.rung(), [2]);
    assert_eq!(scene.pool.live.sessions(), 1);
    drop(waiting);
    assert_eq!(scene.rung(), [3, 5, 6, 7, 10]);
}

#[test]
fn tunnels_have_a_bound_of_their_own() {
    let scene = Scene::with(&settings(&[(Some(3), Some(1))]));
    let first = scene.take(&tunnel()).unwrap();
    assert_eq!(scene.take(&tunnel()).unwrap_err(), Missed::Full);
    let handshake = scene.wait(&tunnel(), 0);
    // It holds up no request.
    let request = scene.take(&ANY).unwrap();
    let another = scene.take(&ANY).unwrap();
    let waiting = scene.wait(&ANY, 1);
    assert_eq!(scene.waiting().0, 2);
    drop(request);
    assert_eq!(scene.rung(), [1]);
    drop(another);
    assert!(scene.rung().is_empty() && !handshake.is_over());
    drop(first);
    assert_eq!(scene.rung(), [0]);
    drop((waiting, handshake));
    assert_eq!(scene.pool.live.sessions(), 0);
}

#[test]
fn a_handshake_that_became_none_gives_both_places_back() {
    let scene = Scene::with(&settings(&[(None, Some(1))]));
    let (_, handshake) = scene.take(&tunnel()).unwrap();
    assert!(scene.take(&tunnel()).is_err());
    let _requests: Vec<_> = (0..50).map(|_| scene.take(&ANY).unwrap()).collect();
    drop(handshake);
    let (_, handshake) = scene.take(&tunnel()).unwrap();
    let tunnel_of = handshake.into_tunnel();
    assert!(scene.take(&tunnel()).is_err());
    assert_eq!(scene.pool.servers[0].live.tunnels(), 1);
    drop(tunnel_of);
    assert!(scene.take(&tunnel()).is_ok());
}

#[test]
fn a_closed_server_lets_its_line_go() {
    let scene = Scene::of(&[1, 1]);
    let (_one, two) = (
        scene.take(&wanting(0)).unwrap(),
        scene.take(&wanting(1)).unwrap(),
    );
    let any = scene.wait(&ANY, 0);
    let mut sticky = scene.wait(&wanting(0), 1);
    let firm = scene.pool.wait(&wanting(0), true, &scene.bell, 2).unwrap();
    let late = scene.wait(&ANY, 3);
    scene.pool.set_admin(0, AdminState::Drain);
    assert_eq!(
        scene.waiting(),
        (2, vec![2, 0]),
        "a draining server keeps its line"
    );
    scene.pool.set_admin(0, AdminState::Maintenance);
    assert_eq!(scene.waiting(), (3, vec![1, 0]));
    // Between those who came before and after it.
    drop(two);
    assert_eq!(scene.rung(), [0]);
    drop(any);
    assert_eq!(scene.rung(), [1]);
    let (pick, busy) = sticky.given(&scene.pool).unwrap();
    assert_eq!(pick.server, 1);
    // Who comes to a closed server without insisting is sent on at once.
    let sent_on = scene.wait(&wanting(0), 4);
    assert_eq!(scene.waiting(), (2, vec![1, 0]));
    drop((late, busy));
    assert_eq!(scene.rung(), [4]);
    drop((firm, sent_on));
}

#[test]
fn a_server_that_comes_back_is_taken_by_those_who_wait() {
    let scene = Scene::of(&[1, 2]);
    scene.pool.mark(1, &change(false), 1);
    let _busy = scene.take(&ANY).unwrap();
    let _waiting: Vec<_> = (0..4).map(|place| scene.wait(&ANY, place)).collect();
    scene.pool.mark(1, &change(true), 2);
    assert_eq!(scene.rung(), [0, 1]);
    assert_eq!(scene.pool.servers[1].live.sessions(), 2);
}

/// A full tier is no reason to use the next one.
#[test]
fn a_backup_is_no_overflow() {
    let mut settings = settings(&[(Some(1), None), (Some(1), None)]);
    settings.servers[1].tier = 1;
    let scene = Scene::with(&settings);
    let busy = scene.take(&ANY).unwrap();
    assert_eq!(scene.take(&ANY).unwrap_err(), Missed::Full);
    let mut waiting = scene.wait(&ANY, 0);
    assert!(!waiting.is_over());
    scene.pool.mark(0, &change(false), 1);
    assert_eq!(scene.rung(), [0]);
    assert_eq!(waiting.given(&scene.pool).unwrap().0.server, 1);
    drop(busy);
}

#[test]
fn with_nobody_up_there_is_no_waiting() {
    let scene = Scene::of(&[1]);
    scene.pool.mark(0, &change(false), 1);
    assert_eq!(scene.take(&ANY).unwrap_err(), Missed::NoServer);
}

/// One has room and no token, the other tokens and no room: the other's next place is waited for.
#[test]
fn who_is_over_one_servers_rate_waits_for_another() {
    let mut settings = settings(&[(None, Some(8)), (None, Some(1))]);
    settings.servers[0].tunnel_rate = Some(config::Rate {
        per_second: 1,
        burst: 1,
    });
    let scene = Scene::with(&settings);
    let mut busy: Vec<_> = (0..2).map(|_| scene.take(&tunnel()).unwrap()).collect();
    busy.sort_by_key(|(server, _)| *server);
    assert_eq!(scene.take(&tunnel()).unwrap_err(), Missed::Full);
    // With the other down there is nothing to wait for but a token.
    scene.pool.mark(1, &change(false), 1);
    assert_eq!(scene.take(&tunnel()).unwrap_err(), Missed::NoServer);
    scene.pool.mark(1, &change(true), 2);
    drop(busy.pop());
    assert_eq!(scene.take(&tunnel()).unwrap().0, 1);
    // A place that becomes free after nobody was found leads to the line, which looks again.
    assert_eq!(scene.pool.missed(None, &tunnel()), Missed::Full);
}

#[test]
fn a_slow_start_scales_the_bounds() {
    let mut settings = settings(&[(Some(32), Some(16)), (Some(1), None)]);
    settings.servers[0].slow_start = Some(SlowStart {
        over: Duration::from_secs(15),
        sessions: None,
    });
    let scene = Scene::with(&settings);
    let live = scene.pool.servers[0].live.clone();
    assert_eq!(
        (live.max_connections(), live.max_tunnels()),
        (Some(32), Some(16))
    );
    scene.pool.mark(0, &change(false), 1_000);
    let _busy = scene.take(&ANY).unwrap();
    let mut waiting: Vec<_> = (0..8).map(|place| scene.wait(&ANY, place)).collect();
    scene.pool.mark(0, &change(true), 2_000);
    assert_eq!(
        (live.max_connections(), live.max_tunnels()),
        (Some(2), Some(1))
    );
    assert_eq!(scene.rung(), [0, 1]);
    scene.pool.advance(2_000);
    scene.pool.advance(3_000);
    assert_eq!(live.max_connections(), Some(4));
    assert_eq!(scene.rung(), [2, 3]);
    scene.pool.advance(17_000);
    assert_eq!(live.max_connections(), Some(32));
    assert_eq!(scene.rung(), [4, 5, 6, 7]);
    waiting.clear();
}

/// A new plan's bounds count at once, and its servers are for all that wait, in their order; who is given one that the
/// worker's plan does not have yet is patient until it does.
#[test]
fn a_new_plan_s_servers_are_for_those_that_wait() {
    let scene = Scene::of(&[1]);
    let busy = scene.take(&ANY).unwrap();
    let mut old: Vec<_> = (0..4).map(|place| scene.wait(&ANY, place)).collect();
    let next = Pool::new(
        &settings(&[(Some(2), None), (Some(1), None)]),
        Some(&scene.pool),
        1,
    );
    assert_eq!(scene.rung(), [0, 1], "the new bound and the new server");
    let under = |pool: &Pool| [old[0].is_over_in(pool), old[1].is_over_in(pool)];
    assert_eq!(under(&next), [true, true]);
    assert_eq!(under(&scene.pool), [true, false]);
    assert!(old[1].given(&scene.pool).is_none() && old[1].is_over());
    let (pick, new) = old[1].given(&next).unwrap();
    assert_eq!(pick.server, 1);
    // Without any bound everybody is served.
    let all = Pool::new(&settings(&[(None, None)]), Some(&next), 1);
    assert_eq!(scene.rung(), [2, 3]);
    assert!(old[2..].iter().all(|waits| waits.is_over_in(&all)));
    drop((old, busy, new));
    assert_eq!(all.live.sessions(), 0);
}

/// The only server has another address: the old one's place is nobody's any more, the new one's is theirs who wait.
#[test]
fn a_removed_server_is_given_to_nobody() {
    let mut other = settings(&[(Some(1), None)]);
    other.servers[0].address = config::Address::Unix("/elsewhere".into());
    let scene = Scene::of(&[1]);
    let busy = scene.take(&ANY).unwrap();
    let mut waits = [scene.wait(&ANY, 0), scene.wait(&ANY, 1)];
    let next = Pool::new(&other, Some(&scene.pool), 1);
    assert_eq!(scene.rung(), [0]);
    drop(busy);
    assert!(scene.rung().is_empty());
    drop(waits[0].given(&next).unwrap());
    assert_eq!(scene.rung(), [1]);
    // And when the place's server is gone before it is taken: back to the line, with the rest.
    let [_, second] = waits;
    let last = Pool::new(&scene.pool.settings, Some(&next), 1);
    assert!(second.is_over_in(&last));
    let mut second = last.wait_on(second, &ANY, false, &scene.bell, 2).unwrap();
    assert_eq!(scene.rung(), [2]);
    assert_eq!(second.given(&last).unwrap().0.server, 0);
    assert_eq!((last.live.sessions(), last.live.queue.waiting()), (0, 0));
}

/// Those in the line of a server that was removed wait on for the one with its key, or for any, where they stood.
#[test]
fn who_waits_for_a_removed_server_keeps_its_place() {
    let scene = Scene::of(&[1, 1]);
    let (one, two) = (
        scene.take(&wanting(0)).unwrap(),
        scene.take(&wanting(1)).unwrap(),
    );
    let firm = scene.pool.wait(&wanting(0), true, &scene.bell, 0).unwrap();
    let waits = scene.wait(&wanting(0), 1);
    let any = scene.wait(&ANY, 2);
    let mut after = scene.pool.settings.clone();
    after.servers[0].address = config::Address::Unix("/moved".into());
    after.servers[0].bounds.connections = Some(0);
    let next = Pool::new(&after, Some(&scene.pool), 1);
    // Not even one that insisted is given the old server's place.
    drop(one);
    assert!(scene.rung().is_empty());
    assert_eq!(next.successor(&scene.pool.servers[0]), Some(0));
    let moved = [&firm, &waits, &any].map(|one| next.is_moved(one, &wanting(0)));
    assert_eq!(moved, [true, true, true]);
    assert!(!next.is_moved(&any, &ANY));
    let firm = next
        .wait_on(firm, &wanting(0), true, &scene.bell, 3)
        .unwrap();
    let waits = next
        .wait_on(waits, &wanting(0), false, &scene.bell, 4)
        .unwrap();
    assert!(!next.is_moved(&waits, &wanting(0)));
    let lines = |pool: &Pool| {
        let own = pool
            .servers
            .iter()
            .map(|server| server.live.line().waiting());
        (pool.live.line().waiting(), own.collect::<Vec<_>>())
    };
    assert_eq!(lines(&next), (1, vec![2, 0]));
    // Then it is gone for good: they stand before the one that came after them.
    after.servers.remove(0);
    let last = Pool::new(&after, Some(&next), 1);
    let _waits = last.wait_on(waits, &ANY, false, &scene.bell, 5).unwrap();
    let _firm = last.wait_on(firm, &ANY, false, &scene.bell, 6).unwrap();
    assert_eq!(lines(&last), (3, vec![0]));
    drop(two);
    assert_eq!(scene.rung(), [6]);
    drop(_firm);
    assert_eq!(scene.rung(), [5]);
    drop(_waits);
    assert_eq!(scene.rung(), [2]);
}
