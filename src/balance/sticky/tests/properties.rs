//! What holds for any cookie.

use super::*;

proptest::proptest! {
    #[test]
    fn any_bytes_in_a_cookie_are_read_without_panic(
        values: Vec<Vec<u8>>,
        near in "(bridge1|[A-Za-z0-9_-]{16})?[|]?[A-Za-z+/]{0,6}[|.~]?[A-Za-z0-9_-]{0,23}",
        now: u64,
    ) {
        let modes = [StickyMode::Insert, StickyMode::Prefix];
        for sticky in [settings(), signed(&["one", "two"])] {
            for mode in modes {
                let pool = two(config::Sticky { mode, ..sticky.clone() });
                let sticky = pool.sticky.as_ref().unwrap();
                let values = values.iter().map(Vec::as_slice).chain([near.as_bytes()]);
                for value in values.clone() {
                    if let Forwarded::After(count) = sticky.forwarded(value) {
                        proptest::prop_assert!(count <= value.len());
                    }
                }
                let verdict = sticky.read(&pool.servers, values, now, &asked("/"));
                let answer = sticky.answer(&verdict, 0, b"GET", 200, false, false, now);
                let mut line = Vec::new();
                sticky.write(&answer, &mut line);
                proptest::prop_assert!(line.iter().all(|b| (b' '..0x7f).contains(b)));
            }
        }
    }

    #[test]
    fn what_is_issued_is_read_back(now in 1u64..1 << 32, server in 0usize..2, mode in 0..4) {
        let sticky = match mode {
            0 => settings(),
            1 => signed(&["k"]),
            2 => config::Sticky { max_life: Some(Duration::from_secs(60)), ..settings() },
            _ => config::Sticky { max_life: Some(Duration::from_secs(60)), ..signed(&["k"]) },
        };
        let pool = two(sticky);
        let line = issued_at(&pool, &Verdict::NONE, server, now).0;
        let verdict = read_at(&pool, &[&value_of(&line)], now);
        proptest::prop_assert_eq!(verdict.server, Some(server));
        proptest::prop_assert_eq!(issued_at(&pool, &verdict, server, now).1, 'N');
    }
}
