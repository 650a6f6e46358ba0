use super::*;
use proptest::prelude::*;

fn table(networks: usize) -> Clients {
    let prefixes = Prefixes { ipv4: 32, ipv6: 64 };
    Clients::new(networks, prefixes, RandomState::new(), 500)
}

fn limit(per_second: u32, burst: u32) -> ClientLimit {
    ClientLimit::new(Rate { per_second, burst })
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn v4(number: u32) -> IpAddr {
    std::net::Ipv4Addr::from_bits(number).into()
}

/// How many of so many attempts have a token.
fn taken(table: &Clients, client: IpAddr, limit: ClientLimit, now: u64, attempts: usize) -> usize {
    let take = |_: &usize| table.take(client, limit, now, 0).is_ok();
    (0..attempts).filter(take).count()
}

#[test]
fn each_network_has_a_burst_and_its_rate() {
    let (table, limit) = (table(1_024), limit(10, 5));
    for client in ["10.0.0.1", "10.0.0.2", "2001:db8::1"] {
        for (now, wanted) in [(1_000, 5), (1_099, 0), (1_100, 1), (1_350, 2), (9_000, 5)] {
            let got = taken(&table, ip(client), limit, now, wanted + 2);
            assert_eq!(got, wanted, "{client} at {now}");
        }
    }
}

#[test]
fn who_is_refused_is_told_when() {
    let (table, limit) = (table(1_024), limit(1, 3));
    let take = |now, random| table.take(ip("::1"), limit, now, random);
    assert_eq!(
        [take(1_000, 0), take(1_000, 0), take(1_000, 0)],
        [Ok(()); 3]
    );
    assert_eq!(take(1_000, 0), Err(1));
    assert_eq!(take(1_000, SECOND), Err(2));
    assert_eq!(take(1_000, 2 * SECOND - 1), Err(3));
    assert_eq!(take(1_999, 0), Err(1));
    assert_eq!(take(2_000, 0), Ok(()));
}

#[test]
fn a_network_is_what_the_prefix_says() {
    let same = |prefixes: (u8, u8), one: &str, other: &str| {
        let prefixes = Prefixes {
            ipv4: prefixes.0,
            ipv6: prefixes.1,
        };
        network(ip(one), prefixes) == network(ip(other), prefixes)
    };
    for (prefixes, one, other, wanted) in [
        ((32, 64), "10.0.0.1", "10.0.0.1", true),
        ((32, 64), "10.0.0.1", "10.0.0.2", false),
        ((32, 64), "10.0.0.1", "::ffff:10.0.0.1", true),
        ((24, 64), "10.0.0.1", "10.0.0.255", true),
        ((24, 64), "10.0.0.1", "10.0.1.1", false),
        ((32, 64), "2001:db8::1", "2001:db8::ffff:0:0:1", true),
        ((32, 64), "2001:db8::1", "2001:db8:0:1::1", false),
        ((32, 48), "2001:db8::1", "2001:db8:0:1::1", true),
        ((32, 128), "::1", "::2", false),
        // An IPv4 address is no IPv6 address of the same bits.
        ((32, 128), "0.0.0.9", "::9", false),
    ] {
        assert_eq!(
            same(prefixes, one, other),
            wanted,
            "{prefixes:?} {one} {other}"
        );
    }
}

#[test]
fn a_client_over_its_rate_is_remembered_longest() {
    let (table, limit) = (table(64), limit(1, 10));
    let attacker = v4(7);
    assert_eq!(taken(&table, attacker, limit, 1_000, 50), 10);
    // A hundred times as many networks as the table has words come by, each with one request, within a second.
    for other in 1_000..7_400 {
        assert!(table.take(v4(other), limit, 1_500, 0).is_ok());
    }
    assert_eq!(
        taken(&table, attacker, limit, 1_900, 50),
        0,
        "still remembered"
    );
    assert_eq!(
        taken(&table, attacker, limit, 2_000, 50),
        1,
        "and no better off than it was"
    );
}

#[test]
fn full_buckets_are_written_over_first() {
    let (table, limit) = (table(8), limit(1, 10));
    let mut busy = Vec::new();
    for client in 0..7 {
        assert_eq!(taken(&table, v4(client), limit, 1_000, 5), 5);
        busy.push(v4(client));
    }
    // The eighth word serves everybody else, one after the other, as each is full again by then.
    for other in 0..100 {
        assert!(table.take(v4(1_000 + other), limit, 1_000, 0).is_ok());
    }
    for client in busy {
        assert_eq!(taken(&table, client, limit, 1_000, 20), 5, "{client}");
    }
}

#[test]
fn its_size_is_what_is_said() {
    for (networks, rows) in [
        (1, 1),
        (8, 1),
        (9, 2),
        (64, 8),
        (65_536, 8_192),
        (100_000, 16_384),
    ] {
        let table = table(networks);
        assert_eq!(table.rows.len(), rows, "{networks}");
        assert_eq!(Clients::bytes(networks), rows * 64);
        assert!(table.is_for(networks, table.prefixes));
    }
    assert!(!table(64).is_for(128, Prefixes { ipv4: 32, ipv6: 64 }));
    assert!(!table(64).is_for(64, Prefixes { ipv4: 24, ipv6: 64 }));
}

#[test]
fn all_workers_count_one_client_together() {
    let (table, limit) = (table(64), limit(1_000, 100));
    let worker = || -> usize {
        (500..1_500)
            .map(|ms| taken(&table, v4(1), limit, ms, 3))
            .sum()
    };
    let all: usize = std::thread::scope(|scope| {
        let running = [(); 4].map(|()| scope.spawn(worker));
        running.into_iter().map(|one| one.join().unwrap_or(0)).sum()
    });
    assert!((1_080..=1_100).contains(&all), "{all}");
}

#[test]
fn what_is_owed_under_a_lower_rate_is_forgotten() {
    let table = table(64);
    assert_eq!(taken(&table, v4(1), limit(1, 500), 1_000, 600), 500);
    assert_eq!(taken(&table, v4(1), limit(100, 10), 1_001, 20), 0);
    assert_eq!(taken(&table, v4(1), limit(100, 10), 2_000, 20), 10);
}

#[test]
fn the_end_of_time_refuses_nobody() {
    let (table, limit) = (table(64), limit(1, 1));
    for now in [LAST / 100 + 501, u64::MAX] {
        assert_eq!(taken(&table, v4(1), limit, now, 5), 5, "{now}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever others do meanwhile: with room for all no network gets more than its rate and burst, and each gets it.
    #[test]
    fn no_network_has_too_many(
        steps in prop::collection::vec((0u64..=200, 0u32..6, 0usize..=30), 1..80),
        per_second in 1u32..=1_000,
        burst in 1u32..=40,
    ) {
        let (table, limit) = (table(4_096), limit(per_second, burst));
        let mut got = vec![Vec::new(); 6];
        let mut now = 1_000;
        for (step, client, attempts) in steps {
            now += step;
            got[client as usize].push((now, taken(&table, v4(client), limit, now, attempts), attempts));
        }
        for got in &got {
            if let Some((_, count, attempts)) = got.first() {
                prop_assert_eq!(*count, (*attempts).min(burst as usize));
            }
            for (at, (begin, ..)) in got.iter().enumerate() {
                let mut sum = 0;
                for (end, count, _) in &got[at..] {
                    sum += *count as u64;
                    let allowed = u64::from(burst) + (end - begin) * u64::from(per_second) / 1_000;
                    prop_assert!(sum <= allowed, "{sum} in {} ms", end - begin);
                }
            }
        }
    }
}

#[test]
fn a_token_that_is_put_back_is_the_next_ones() {
    let (table, limit) = (table(1_024), limit(1, 3));
    let (client, other) = (ip("10.0.0.1"), ip("10.0.0.2"));
    assert_eq!(taken(&table, client, limit, 1_000, 9), 3);
    table.give_back(client, limit);
    table.give_back(client, limit);
    assert_eq!(taken(&table, client, limit, 1_000, 9), 2);
    // Whoever is not remembered has all its tokens anyway, and no more than these.
    table.give_back(other, limit);
    assert_eq!(taken(&table, other, limit, 1_000, 9), 3);
}
