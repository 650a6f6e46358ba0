mod line;

use super::*;
use proptest::prelude::*;

fn limit(per_second: u32, burst: u32) -> Limit {
    Limit::new(Rate { per_second, burst })
}

/// How many of so many attempts at this moment have a token.
fn taken(bucket: &Bucket, limit: Limit, now_ms: u64, attempts: usize) -> usize {
    let attempts = 0..attempts;
    attempts.filter(|_| bucket.take(limit, now_ms)).count()
}

#[test]
fn a_burst_and_then_the_rate() {
    const START: u64 = 1_000_000;
    for (per_second, burst, steps) in [
        // After so many milliseconds so many more.
        (
            10,
            5,
            vec![(0, 5), (99, 0), (100, 1), (100, 0), (350, 2), (400, 1)],
        ),
        (
            10,
            1,
            vec![(0, 1), (99, 0), (100, 1), (1_000, 1), (1_001, 0)],
        ),
        (1_000, 20, vec![(0, 20), (1, 1), (5, 4), (1_000, 20)]),
        (
            1_500,
            150,
            vec![(0, 150), (100, 149), (101, 2), (10_000, 150)],
        ),
        (1_000_000, 7, vec![(0, 7), (1, 7)]),
        (
            1,
            3,
            vec![
                (0, 3),
                (999, 0),
                (1_000, 1),
                (3_500, 2),
                (4_000, 1),
                (99_000, 3),
            ],
        ),
    ] {
        let (bucket, limit) = (Bucket::default(), limit(per_second, burst));
        for (after, wanted) in steps {
            let now = START + after;
            assert_eq!(
                bucket.has(limit, now),
                wanted > 0,
                "{per_second}/{burst} at {after}"
            );
            let got = taken(&bucket, limit, now, wanted + 1);
            assert_eq!(got, wanted, "{per_second}/{burst} at {after}");
        }
    }
}

#[test]
fn a_token_that_was_not_used_is_put_back() {
    let (bucket, limit) = (Bucket::default(), limit(10, 2));
    assert_eq!(taken(&bucket, limit, 5_000, 3), 2);
    bucket.give_back(limit);
    assert_eq!(taken(&bucket, limit, 5_000, 2), 1);
    let fresh = Bucket::default();
    fresh.give_back(limit);
    assert_eq!(
        taken(&fresh, limit, 5_000, 9),
        2,
        "never more than the burst"
    );
}

#[test]
fn what_is_owed_under_a_lower_rate_is_forgotten() {
    let bucket = Bucket::default();
    assert_eq!(taken(&bucket, limit(1, 500), 1_000, 501), 500);
    let faster = limit(100, 10);
    assert!(!bucket.take(faster, 1_001), "not at once");
    assert!(
        bucket.has(faster, 1_011) && bucket.take(faster, 1_011),
        "within an interval"
    );
    // A worker whose moment lags behind changes nothing.
    let bucket = Bucket::default();
    assert_eq!(taken(&bucket, faster, 5_000, 11), 10);
    assert_eq!(taken(&bucket, faster, 4_500, 5), 0);
    assert_eq!(taken(&bucket, faster, 5_009, 5), 0);
    assert_eq!(taken(&bucket, faster, 5_010, 5), 1);
}

#[test]
fn all_workers_take_from_one_bucket() {
    let (bucket, limit) = (Bucket::default(), limit(1_000, 100));
    // Four workers' moments run from 0 to 2 s, at their own speed.
    let worker = |step: u64| {
        let bucket = &bucket;
        move || -> usize {
            (0..2_000 / step)
                .map(|n| taken(bucket, limit, n * step, 50))
                .sum()
        }
    };
    let all: usize = std::thread::scope(|scope| {
        let running = [1, 2, 1, 5].map(|step| scope.spawn(worker(step)));
        running.into_iter().map(|one| one.join().unwrap_or(0)).sum()
    });
    assert!((2_050..=2_100).contains(&all), "{all}");
}

#[test]
fn refused_clients_are_promised_places_in_a_row() {
    let (bucket, limit) = (Bucket::default(), limit(100, 10));
    assert_eq!(taken(&bucket, limit, 7_000, 11), 10);
    let mut by_second = [0; 11];
    for _ in 0..500 {
        by_second[bucket.promise(limit, 7_000, 0) as usize] += 1;
    }
    // The first token is there after 10 ms, and then there is a place each 18 ms: five for nine tokens.
    assert_eq!(by_second, [0, 55, 55, 56, 55, 56, 55, 56, 55, 56, 1]);
    // Later refusals stand behind them, and once all of these have passed, at the front.
    assert_eq!(bucket.promise(limit, 14_500, 0), 2);
    assert_eq!(bucket.promise(limit, 90_000, 0), 1);
    // A rate so low that no place is near: some time within the last half of a minute.
    let far = self::limit(1, 1);
    let hour: Vec<_> = (0..3_600u64)
        .map(|n| bucket.promise(far, 200_000, n * 977_777_777))
        .collect();
    let (least, most) = (hour[60..].iter().min(), hour.iter().max());
    assert!(least >= Some(&30) && most <= Some(&60) && least < Some(&35) && most > Some(&55));
}

/// Tokens are taken ahead only while promised clients return, and for a second at most.
#[test]
fn a_token_is_taken_ahead_while_promised_clients_return() {
    let (bucket, limit) = (Bucket::default(), limit(10, 2));
    let ahead = |now_ms| {
        bucket
            .take_ahead(limit, now_ms)
            .map(|held| held.as_millis())
    };
    assert_eq!(
        [ahead(5_000), ahead(5_000), ahead(5_000)],
        [Some(0), Some(0), None]
    );
    assert_eq!(bucket.promise(limit, 5_000, 0), 1);
    // The first can be back at 6 s. Until then it is a bucket like any other.
    assert_eq!(
        [ahead(5_100), ahead(5_100), ahead(5_999)],
        [Some(0), None, Some(0)]
    );
    assert_eq!([ahead(5_999), ahead(5_999)], [Some(0), None]);
    assert!(!bucket.has(limit, 6_000) && bucket.has_ahead(limit, 6_000));
    assert!(!bucket.take(limit, 6_000));
    let held: Vec<_> = (0..12).map_while(|_| ahead(6_000)).collect();
    assert_eq!(held, [99, 199, 299, 399, 499, 599, 699, 799, 899, 999]);
    assert!(!bucket.has_ahead(limit, 6_000));
    // One that takes no token ahead has to wait for those that do.
    assert!(!bucket.take(limit, 6_999) && bucket.take(limit, 7_099));
    // The line has ended by then.
    assert_eq!(
        [ahead(20_000), ahead(20_000), ahead(20_000)],
        [Some(0), Some(0), None]
    );
}

#[test]
fn a_ramp_grows_and_ends() {
    let ramp = Ramp {
        over: Duration::from_secs(30),
        from: 50,
        to: 1_000,
    };
    let plain = |per_second| Some(Limit::plain(per_second));
    for (since, wanted) in [
        (0, plain(50)),
        (15_000, plain(525)),
        (29_999, plain(999)),
        (30_000, None),
        (90_000, None),
    ] {
        assert_eq!(
            Limit::of_ramp(&ramp, Duration::from_millis(since)),
            wanted,
            "{since}"
        );
    }
    let growth = Growth { from: 10, to: 200 };
    let steps = [(1, 10), (2, 23), (8, 105), (15, 200)];
    for (sixteenths, wanted) in steps {
        assert_eq!(Limit::of_growth(growth, sixteenths), Limit::plain(wanted));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// In any span of time there are at most so many tokens as the rate gives in it, and a burst; and whoever asks all
    /// the time gets that many but one.
    #[test]
    fn no_span_has_too_many(
        per_second in 1u32..=5_000,
        burst in 1u32..=300,
        steps in prop::collection::vec((0u64..=400, 0usize..=200), 1..60),
    ) {
        let (bucket, limit) = (Bucket::default(), limit(per_second, burst));
        let (mut now, mut got) = (1_000, Vec::new());
        for (step, attempts) in steps {
            now += step;
            got.push((now, taken(&bucket, limit, now, attempts)));
        }
        for (at, (begin, _)) in got.iter().enumerate() {
            let mut sum = 0;
            for (end, count) in &got[at..] {
                sum += *count as u64;
                let allowed = u64::from(burst) + (end - begin) * u64::from(per_second) / 1_000;
                prop_assert!(sum <= allowed, "{sum} in {} ms", end - begin);
            }
        }
        let from = now + 1_000_000;
        let all: usize = (0..=500).map(|ms| taken(&bucket, limit, from + ms, 400)).sum();
        let wanted = burst as usize + per_second as usize / 2;
        prop_assert!(all <= wanted, "{all} of {wanted}");
        // Moments are whole milliseconds: without that much of a burst some of each is lost.
        if (burst - 1) * 1_000 >= per_second {
            prop_assert!(all + 1 + wanted / 100 >= wanted, "{all} of {wanted}");
        }
    }

    /// A promise is kept if everybody comes when he was told to.
    #[test]
    fn who_comes_when_told_finds_a_token(per_second in 1u32..=2_000, clients in 1usize..2_000, random: u64) {
        let (bucket, limit) = (Bucket::default(), limit(per_second, 1));
        let mut told: Vec<(u64, u64)> = (0..clients as u64)
            .filter(|_| !bucket.take(limit, 1_000))
            .map(|n| (u64::from(bucket.promise(limit, 1_000, random.rotate_left(n as u32))), n))
            .collect();
        told.sort_unstable();
        // Five places for nine tokens.
        let last = told.last().map_or(0, |last| last.0);
        for second in 1..=last.min(29) {
            let count = told.iter().filter(|one| one.0 == second).count();
            prop_assert!(count <= per_second as usize * 5 / 9 + 1, "{count} in second {second}");
        }
        let needed = clients as u64 * 9 / 5 / u64::from(per_second) + 2;
        prop_assert!(last <= needed.min(60), "{last} of {needed}");
    }
}

#[test]
fn who_was_turned_away_from_a_queue_comes_again_in_its_time() {
    let spread = |patience| (0..1_000).map(move |random| after_queue(patience, random));
    for (patience, last) in [
        (Some(0), 1),
        (Some(400), 1),
        (Some(5_000), 10),
        (Some(u64::MAX / 2), 60),
        (None, 60),
    ] {
        assert_eq!(spread(patience).min(), Some(1), "{patience:?}");
        assert_eq!(spread(patience).max(), Some(last), "{patience:?}");
    }
}
