//! Many threads at once.

use super::{ANY, settings};
use crate::balance::{Ask, Bell, Busy, Pool};
use crate::config::AdminState;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Wakes a thread that parked.
struct Unpark(Thread);

impl Bell for Unpark {
    fn ring(&self, _: u32) {
        self.0.unpark();
    }
}

/// Nobody but those who leave a server wakes who waits: everybody is served, and no server ever has more than it may.
#[test]
fn no_wake_up_is_lost() {
    take_turns(false);
}

/// The same while a server closes and opens. (By itself it would prove less: whoever opens a server looks after all
/// who wait, and so makes up for a wake-up that was lost.)
#[test]
fn nobody_is_lost_while_servers_come_and_go() {
    take_turns(true);
}

fn take_turns(closing: bool) {
    const THREADS: usize = 6;
    const TURNS: usize = 3_000;
    let mut settings = settings(&[(Some(1), Some(1)), (Some(2), None)]);
    settings.max_queue = 1_000;
    for server in &mut settings.servers {
        server.bounds.queue = 1_000;
    }
    let pool = Pool::new(&settings, None, 1);
    let inside = [AtomicU32::new(0), AtomicU32::new(0)];
    let (over, waited) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        let closer = scope.spawn(|| {
            while closing && !over.load(SeqCst) {
                for admin in [AdminState::Maintenance, AdminState::Ready] {
                    pool.set_admin(0, admin);
                    std::thread::yield_now();
                }
            }
        });
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (pool, inside, waited) = (&pool, &inside, &waited);
                scope.spawn(move || {
                    let bell: Arc<dyn Bell> = Arc::new(Unpark(std::thread::current()));
                    for turn in 0..TURNS {
                        let number = turn * THREADS + thread;
                        let ask = Ask {
                            wanted: [None, Some(0), Some(1), None][number % 4],
                            tunnel: number / 4 % 2 == 1,
                            ..ANY
                        };
                        let leaves = number.is_multiple_of(7);
                        let Some((server, busy)) = served(pool, &ask, &bell, leaves, waited) else {
                            continue;
                        };
                        let now = inside[server].fetch_add(1, SeqCst) + 1;
                        assert!(now <= [1, 2][server], "{now} on server {server}");
                        std::thread::yield_now();
                        inside[server].fetch_sub(1, SeqCst);
                        drop(busy);
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        over.store(true, SeqCst);
        closer.join().unwrap();
    });
    assert_eq!(pool.live.sessions(), 0);
    assert_eq!(pool.live.queue.waiting(), 0);
    assert!(waited.load(SeqCst) > 100, "{}", waited.load(SeqCst));
}

/// A server, after a wait if need be; `None` for who leaves while it waits.
fn served(
    pool: &Pool,
    ask: &Ask,
    bell: &Arc<dyn Bell>,
    leaves: bool,
    waited: &AtomicU32,
) -> Option<(usize, Busy)> {
    if let Ok((pick, busy)) = pool.take(ask) {
        return Some((pick.server, busy));
    }
    let mut waiting = pool.wait(ask, false, bell, 0).unwrap();
    if leaves {
        return None;
    }
    waited.fetch_add(1, SeqCst);
    let begun = Instant::now();
    while !waiting.is_over() {
        std::thread::park_timeout(Duration::from_secs(20));
        let lost = waiting.is_over() && begun.elapsed() > Duration::from_secs(19);
        assert!(!lost, "nobody was woken");
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "a lost wake-up: {ask:?}"
        );
    }
    let (pick, busy) = waiting.given(pool).unwrap();
    Some((pick.server, busy))
}
