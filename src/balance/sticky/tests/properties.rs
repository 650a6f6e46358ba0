//! What holds for any cookie.

use super::*;

proptest::proptest! {
    #[test]
    fn any_bytes_in_a_cookie(
        values: Vec<u8>,
        near in "(bridge[123]|[A-Za-z0-9_-]{16})?[|]?[A-Za-z+/]{0,6}[|.~]?[A-Za-z0-9_-]{0,23}",
    ) {
        super::super::properties::values(&values);
        super::super::properties::values(near.as_bytes());
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
