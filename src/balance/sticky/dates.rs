//! Dates in a cookie: five characters of HAProxy's base64, most significant first, that hold Unix
//! time in steps of four seconds (30 bits, which last until 2106).

/// Seconds in a step.
const TICK: u64 = 4;

/// A date as written for `now`, Unix seconds: rounded up, so that it never reads as the past.
pub(super) fn write(now: u64) -> [u8; 5] {
    let ticks = tick(now);
    [24, 18, 12, 6, 0].map(|shift| ALPHABET[(ticks >> shift & 63) as usize])
}

/// A date from the first five characters; `None` when there are fewer, others, or it is zero.
pub(super) fn read(text: &[u8]) -> Option<u64> {
    let ticks = text.get(..5)?.iter().try_fold(0u64, |ticks, byte| {
        let digit = memchr::memchr(*byte, ALPHABET)?;
        Some(ticks << 6 | digit as u64)
    })?;
    (ticks > 0).then_some(ticks * TICK)
}

fn tick(now: u64) -> u64 {
    now.div_ceil(TICK) & ((1 << 30) - 1)
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_as_haproxy_writes_them() {
        // The last one worked out by hand: 425,000,000 steps are 25, 21, 15, 49, 0 in base 64.
        for (now, text) in [
            (0, b"AAAAA"),
            (1, b"AAAAB"),
            (4, b"AAAAB"),
            (5, b"AAAAC"),
            (256, b"AAABA"),
            (1_700_000_000, b"ZVPxA"),
        ] {
            assert_eq!(&write(now), text, "{now}");
        }
        assert_eq!(read(b"AAAAA"), None);
        assert_eq!(read(b"AAAAB|rest"), Some(4));
        assert_eq!(read(b"//////"), Some(((1 << 30) - 1) * 4));
        for bad in [&b"AAAA"[..], b"", b"AAA=A", b"AA-AB", b"AA AB", b"AAAA\xff"] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_date_comes_back_within_its_step(now in 1u64..1 << 32) {
            let back = read(&write(now)).unwrap_or_default();
            proptest::prop_assert!((now..now + TICK).contains(&back));
        }
    }
}
