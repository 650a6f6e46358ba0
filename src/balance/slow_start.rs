//! Slow start: what share of its weight a server has, so long after it came back.
//!
//! A pure function of time. A server that came back (its checks found it up, or maintenance ended) begins
//! with one sixteenth of its weight and has a sixteenth more after each fifteenth of the setting, so that it has all
//! of it when the time is over. The share counts for new clients only; those whose cookie names the server come as ever.
//! Nobody starts slowly when the process does.

use std::time::Duration;

/// Parts that a weight is made of.
pub(super) const WHOLE: u8 = 16;

/// Sixteenths of its weight that a server has `since` it came back, 1 to 16.
pub(super) fn share(since: Duration, slow_start: Duration) -> u8 {
    let steps = u128::from(WHOLE - 1);
    let done = since.as_millis() * steps / slow_start.as_millis().max(1);
    // At most fifteen: it fits.
    1 + done.min(steps) as u8
}

/// How long it has that share from then on; `None` for ever.
pub(super) fn next_step(since: Duration, slow_start: Duration) -> Option<Duration> {
    let share = share(since, slow_start);
    if share == WHOLE {
        return None;
    }
    let steps = u128::from(WHOLE - 1);
    let begins = (u128::from(share) * slow_start.as_millis()).div_ceil(steps);
    let left = begins.saturating_sub(since.as_millis());
    Some(Duration::from_millis(left.max(1) as u64))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_share_grows_with_time() {
        for (since, slow_start, wanted) in [
            (0, 30_000, 1),
            (1_999, 30_000, 1),
            (2_000, 30_000, 2),
            (15_000, 30_000, 8),
            (28_000, 30_000, 15),
            (29_999, 30_000, 15),
            (30_000, 30_000, 16),
            (90_000, 30_000, 16),
            (0, 1, 1),
            (1, 1, 16),
            (u64::MAX, 1, 16),
        ] {
            assert_eq!(
                share(ms(since), ms(slow_start)),
                wanted,
                "{since} ms of {slow_start}"
            );
        }
    }

    proptest! {
        /// From step to step nothing is skipped, and between them nothing changes.
        #[test]
        fn steps_are_where_they_are_said_to_be(slow_start in 1u64..200_000, since in 0u64..250_000) {
            let (since, slow_start) = (ms(since), ms(slow_start));
            let now = share(since, slow_start);
            prop_assert!((1..=WHOLE).contains(&now));
            match next_step(since, slow_start) {
                None => prop_assert_eq!(now, WHOLE),
                Some(left) => {
                    prop_assert!(share(since + left, slow_start) > now);
                    prop_assert_eq!(share(since + left - ms(1), slow_start), now);
                }
            }
        }
    }

    #[test]
    fn sixteen_steps_and_it_is_over() {
        let (mut since, mut steps) = (Duration::ZERO, 0);
        while let Some(left) = next_step(since, ms(30_000)) {
            since += left;
            steps += 1;
        }
        assert_eq!((steps, since), (15, ms(30_000)));
        assert_eq!(next_step(ms(30_000), ms(30_000)), None);
        assert_eq!(next_step(Duration::ZERO, ms(30_000)).unwrap(), ms(2_000));
    }
}
