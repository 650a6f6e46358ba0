//! Clients that are refused and come back as they are told: how many attempts they need, and what is let in meanwhile.
//!
//! The bucket does not recognise clients, so it is the same whether each has an address of its own or all have one.

use super::*;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What clients add of their own to what they are told.
#[derive(Debug, Clone, Copy)]
enum Jitter {
    None,
    /// Up to a second.
    Second,
    /// Up to half of what they were told.
    Half,
}

#[derive(Debug, Clone, Copy)]
struct Storm {
    clients: usize,
    per_second: u32,
    /// Milliseconds in which they come.
    within: u64,
    /// New clients in a second, meanwhile.
    new_clients: u32,
    jitter: Jitter,
    /// Threads; each one's moment is up to as many milliseconds old.
    workers: u64,
}

/// How many of the clients are in after 1, 2, 3 attempts, in percent.
type Curve = [f64; 3];

struct Outcome {
    storm: Curve,
    new_clients: Curve,
    seconds: u64,
}

impl Storm {
    fn run(self) -> Outcome {
        let limit = limit(self.per_second, (self.per_second / 10).max(1));
        let mut random = Random(7);
        let bucket = Bucket::default();
        let start = 5_000_000_000;
        // Moment in microseconds, number, attempt; numbers from `clients` on are new clients.
        let mut events = BinaryHeap::new();
        for number in 0..self.clients {
            let at = start + random.below(self.within * 1_000);
            events.push(Reverse((at, number, 1)));
        }
        let seconds = self.clients as u64 * 2 / u64::from(self.per_second);
        let new_clients = u64::from(self.new_clients) * seconds;
        for number in 0..new_clients as usize {
            let at = start + random.below(seconds * 1_000_000);
            events.push(Reverse((at, self.clients + number, 1)));
        }
        let mut attempts = vec![0; self.clients + new_clients as usize];
        let mut let_in = Vec::new();
        while let Some(Reverse((at, number, attempt))) = events.pop() {
            let now_ms = at / 1_000 - random.below(self.workers);
            if let Some(held) = bucket.take_ahead(limit, now_ms) {
                assert!(held <= Duration::from_secs(1));
                attempts[number] = attempt;
                let_in.push(now_ms * MILLISECOND + held.as_nanos() as u64);
                continue;
            }
            let told = u64::from(bucket.promise(limit, now_ms, random.next())) * 1_000_000;
            let jitter = match self.jitter {
                Jitter::None => 0,
                Jitter::Second => random.below(1_000_000),
                Jitter::Half => random.below(told / 2),
            };
            // The refusal's way and the next handshake's.
            let way = 1_000 + random.below(30_000);
            events.push(Reverse((at + told + jitter + way, number, attempt + 1)));
        }
        let_in.sort_unstable();
        within_the_rate(&let_in, limit, self.workers * MILLISECOND);
        let (storm, new_clients) = attempts.split_at(self.clients);
        Outcome {
            storm: curve(storm),
            new_clients: curve(new_clients),
            seconds: (let_in[let_in.len() - 1] / MILLISECOND * 1_000 - start) / 1_000_000,
        }
    }
}

/// In any span of time no more were let in than the rate gives in it, and a burst.
fn within_the_rate(moments: &[u64], limit: Limit, grain: u64) {
    let mut full = 0;
    for at in moments {
        let ahead = full - (*at).min(full);
        assert!(ahead <= limit.depth + grain, "{ahead} ns too early");
        full = full.max(*at) + limit.interval;
    }
}

fn curve(attempts: &[u32]) -> Curve {
    let in_by = |most| attempts.iter().filter(|needed| **needed <= most).count();
    [1, 2, 3].map(|most| in_by(most) as f64 * 100.0 / attempts.len().max(1) as f64)
}

#[test]
fn nine_in_ten_clients_that_obey_need_two_attempts() {
    for (clients, per_second) in [(20, 3), (240, 60), (400, 100), (20_000, 1_000)] {
        for within in [1, 1_000] {
            for new_clients in [0, per_second / 2] {
                for jitter in [Jitter::None, Jitter::Second, Jitter::Half] {
                    for workers in [2, 8] {
                        let storm = Storm {
                            clients,
                            per_second,
                            within,
                            new_clients,
                            jitter,
                            workers,
                        };
                        let outcome = storm.run();
                        let Outcome {
                            storm: [one, two, three],
                            new_clients: [new_one, new_two, new_three],
                            seconds,
                        } = outcome;
                        println!(
                            "{clients:>6} within {within:>4} ms at {per_second:>4}/s, {jitter:?}, {new_clients:>3}/s new: \
                             {one:5.1} {two:5.1} {three:5.1} % after 1, 2, 3 attempts, new clients \
                             {new_one:5.1} {new_two:5.1} {new_three:5.1} %, {seconds} s"
                        );
                        assert!(two >= 90.0, "{two} % after two attempts: {storm:?}");
                        assert!(three >= 97.0, "{three} % after three attempts: {storm:?}");
                        if new_clients > 0 {
                            assert!(new_two >= 90.0, "{new_two} % of new clients: {storm:?}");
                        }
                    }
                }
            }
        }
    }
}

/// Numbers that look random and are the same in every run (xorshift64*).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}
