//! Passive checks: from what real traffic met to ejecting a server, and back.
//!
//! Pure: the control thread calls [`Watched::step`] when a streak of errors is complete, several times in each window, at its
//! end and when an ejection is over, with what the server's counters show by then, and does what the [`Verdict`] says. Two
//! things eject a server: errors in a row, and a share of 5xx among its answers in a window. Each further ejection lasts
//! longer, and each window without one takes a step of that back. (Envoy's outlier detection is the model, and HAProxy's
//! `observe`.)
//!
//! Whether all of a pool is so bad that health says nothing any more, the panic threshold, is decided here too.

use crate::config::Passive;
use std::time::Duration;

/// One server, as its pool's passive checks see it. Kept by the control thread for as long as the server lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watched {
    /// When the present window began, milliseconds since the Unix epoch; 0: it has not.
    window_ms: u64,
    /// What the counters showed then.
    answers: u64,
    server_errors: u64,
    /// When the present ejection began and when it is over; 0: there is none.
    since_ms: u64,
    until_ms: u64,
    /// Ejections that lengthen the next.
    times: u32,
}

/// What a server's counters show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Errors in a row by now.
    pub streak: u32,
    /// Answers since the start.
    pub answers: u64,
    /// Those with a status of 500 and above.
    pub server_errors: u64,
}

/// Why a server is ejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// So many errors in a row.
    Streak(u32),
    /// So many 5xx among so many answers of a window.
    Share {
        /// Answers with a status of 500 and above.
        server_errors: u64,
        /// All answers.
        answers: u64,
    },
}

/// What becomes of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is out until then, milliseconds since the Unix epoch.
    Eject {
        /// When it comes back.
        until_ms: u64,
        /// Why it is out.
        blame: Blame,
    },
    /// It is back.
    Return {
        /// How long it was out.
        after: Duration,
    },
}

impl Watched {
    /// Looks at a server at `now_ms`. `room` says whether the pool may lose one more.
    pub fn step(
        &mut self,
        seen: Seen,
        passive: &Passive,
        room: bool,
        now_ms: u64,
    ) -> Option<Verdict> {
        if self.until_ms > 0 {
            return self.until_over(seen, now_ms);
        }
        let blame = self.blame(seen, passive, now_ms)?;
        if !room {
            return None;
        }
        self.times = self.times.saturating_add(1);
        let lasts = passive.eject_for.saturating_mul(self.times);
        let lasts = lasts.min(passive.max_eject_for).as_millis();
        self.since_ms = now_ms;
        self.until_ms = now_ms.saturating_add(lasts as u64).max(1);
        Some(Verdict::Eject {
            until_ms: self.until_ms,
            blame,
        })
    }

    /// When it is to be looked at again, whatever happens until then: in a window by tenths of it, and every second at least.
    pub fn next_ms(&self, passive: &Passive, now_ms: u64) -> u64 {
        let window = passive.window.as_millis() as u64;
        match self.until_ms {
            0 if passive.server_errors.is_some() => {
                let end = self.window_ms + window;
                end.min(now_ms + (window / 10).min(LOOK_MS))
            }
            0 => self.window_ms + window,
            until_ms => until_ms,
        }
    }

    /// An ejection goes on, or is over.
    fn until_over(&mut self, seen: Seen, now_ms: u64) -> Option<Verdict> {
        // A clock that was set back ends it as well, or it would last until the clock is there again.
        if (self.since_ms..self.until_ms).contains(&now_ms) {
            return None;
        }
        let after = Duration::from_millis(now_ms.saturating_sub(self.since_ms));
        (self.since_ms, self.until_ms) = (0, 0);
        self.begin_window(seen, now_ms);
        Some(Verdict::Return { after })
    }

    /// What speaks against it; ends a window that is over. A share counts as soon as the window has enough answers, so that a
    /// server that fails is not used until the window's end.
    fn blame(&mut self, seen: Seen, passive: &Passive, now_ms: u64) -> Option<Blame> {
        let window = passive.window.as_millis() as u64;
        let first = self.window_ms == 0;
        // A clock that was set back ends it as well, or it would last until the clock is there again.
        let over = !(self.window_ms..self.window_ms + window).contains(&now_ms);
        let answers = seen.answers.wrapping_sub(self.answers);
        let server_errors = seen.server_errors.wrapping_sub(self.server_errors);
        if over {
            self.begin_window(seen, now_ms);
        }
        if passive.errors.is_some_and(|errors| seen.streak >= errors) {
            return Some(Blame::Streak(seen.streak));
        }
        if first {
            return None;
        }
        let too_many = passive.server_errors.is_some_and(|share| {
            answers >= u64::from(passive.minimum)
                && server_errors > 0
                && server_errors * 1000 >= answers * u64::from(share)
        });
        if over && !too_many {
            self.times = self.times.saturating_sub(1);
        }
        too_many.then_some(Blame::Share {
            server_errors,
            answers,
        })
    }

    fn begin_window(&mut self, seen: Seen, now_ms: u64) {
        self.window_ms = now_ms.max(1);
        self.answers = seen.answers;
        self.server_errors = seen.server_errors;
    }
}

impl std::fmt::Display for Blame {
    /// `5 errors in a row`, `12 of 20 answers were 5xx`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Streak(1) => f.write_str("an error"),
            Self::Streak(errors) => write!(f, "{errors} errors in a row"),
            Self::Share {
                server_errors,
                answers,
            } => write!(f, "{server_errors} of {answers} answers were 5xx"),
        }
    }
}

/// Between two looks at a window, milliseconds at most.
const LOOK_MS: u64 = 1_000;

/// How many of so many servers may be out at once: the share in thousandths, rounded down, but one of several always.
pub(super) fn most_ejected(servers: usize, share: u32) -> usize {
    let most = servers * share as usize / 1000;
    most.max(usize::from(servers > 1))
}

/// Whether so few of a pool's servers work that their health is ignored; the threshold is in thousandths.
pub(super) fn panics(working: usize, servers: usize, threshold: u32) -> bool {
    working * 1000 < servers * threshold as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PASSIVE: Passive = Passive {
        errors: Some(5),
        count_server_errors: false,
        server_errors: Some(500),
        minimum: 20,
        window: Duration::from_secs(10),
        eject_for: Duration::from_secs(30),
        max_eject_for: Duration::from_secs(70),
        max_ejected: 500,
    };

    /// Second, streak, answers and 5xx in all so far, room; what comes of it: `.` nothing, `E` ejected until that
    /// second, `R` back after so many.
    type Step = (u64, u32, u64, u64, bool, &'static str);

    #[rustfmt::skip]
    const TABLE: [(&str, &[Step]); 12] = [
        ("a streak", &[
            (100, 4, 0, 0, true, "."), (101, 5, 0, 0, true, "E131"), (102, 9, 0, 0, true, "."),
            (130, 9, 0, 0, true, "."), (131, 0, 0, 0, true, "R30"), (132, 4, 0, 0, true, "."),
        ]),
        ("a streak finds no room, and then does", &[
            (100, 5, 0, 0, false, "."), (110, 7, 0, 0, false, "."), (120, 7, 0, 0, true, "E150"),
        ]),
        ("a share", &[
            (100, 0, 1000, 900, true, "."), (105, 0, 1019, 919, true, "."), (110, 0, 1020, 910, true, "E140"),
        ]),
        ("a share counts before its window is over", &[
            (100, 0, 0, 0, true, "."), (101, 0, 19, 19, true, "."), (102, 0, 41, 20, true, "."), (103, 0, 42, 21, true, "E133"),
            (133, 0, 42, 21, true, "R30"), (134, 0, 61, 40, true, "."), (135, 0, 62, 40, true, "E195"),
        ]),
        ("a share finds room within its window", &[
            (100, 0, 0, 0, true, "."), (103, 0, 20, 20, false, "."), (104, 0, 20, 20, true, "E134"),
        ]),
        ("a share below", &[
            (100, 0, 0, 0, true, "."), (110, 0, 100, 49, true, "."), (120, 0, 200, 99, true, "E150"),
        ]),
        ("too few answers", &[
            (100, 0, 0, 0, true, "."), (110, 0, 19, 19, true, "."), (120, 0, 38, 38, true, "."),
        ]),
        ("a share finds no room, and the next window counts anew", &[
            (100, 0, 0, 0, true, "."), (110, 0, 50, 50, false, "."), (120, 0, 100, 50, true, "."),
        ]),
        ("longer each time, and bounded", &[
            (100, 5, 0, 0, true, "E130"), (130, 0, 0, 0, true, "R30"), (131, 5, 0, 0, true, "E191"),
            (191, 0, 0, 0, true, "R60"), (192, 5, 0, 0, true, "E262"), (262, 0, 0, 0, true, "R70"),
        ]),
        ("calm windows forgive", &[
            (100, 5, 0, 0, true, "E130"), (130, 0, 0, 0, true, "R30"), (140, 0, 9, 0, true, "."),
            (141, 5, 9, 0, true, "E171"),
        ]),
        ("a late look, and a clock that is set back", &[
            (100, 5, 0, 0, true, "E130"), (500, 0, 0, 0, true, "R400"), (200, 0, 40, 40, true, "E260"),
        ]),
        ("a clock that is set back during an ejection", &[
            (9000, 5, 0, 0, true, "E9030"), (8999, 5, 0, 0, true, "R0"), (9001, 0, 0, 0, true, "."),
            (9002, 5, 0, 0, true, "E9062"), (9005, 0, 0, 0, true, "."), (9003, 0, 0, 0, true, "."),
        ]),
    ];

    #[test]
    fn what_traffic_shows_and_what_comes_of_it() {
        for (what, steps) in TABLE {
            let mut watched = Watched::default();
            for &(second, streak, answers, server_errors, room, wanted) in steps {
                let seen = Seen {
                    streak,
                    answers,
                    server_errors,
                };
                let got = match watched.step(seen, &PASSIVE, room, second * 1000) {
                    None => ".".to_owned(),
                    Some(Verdict::Eject { until_ms, .. }) => format!("E{}", until_ms / 1000),
                    Some(Verdict::Return { after }) => format!("R{}", after.as_secs()),
                };
                assert_eq!(got, wanted, "{what}, second {second}");
            }
        }
    }

    #[test]
    fn conditions_can_be_off() {
        let off = Passive {
            errors: None,
            server_errors: None,
            ..PASSIVE
        };
        let mut watched = Watched::default();
        let seen = |answers| Seen {
            streak: 99,
            answers,
            server_errors: answers,
        };
        assert_eq!(watched.step(seen(0), &off, true, 1_000), None);
        assert_eq!(watched.step(seen(900), &off, true, 20_000), None);
        let always = Passive {
            server_errors: Some(0),
            ..off
        };
        // A share of nothing still wants one of them.
        let calm = Seen {
            answers: 2_000,
            ..seen(900)
        };
        assert_eq!(watched.step(calm, &always, true, 40_000), None);
    }

    #[test]
    fn blame_in_words() {
        let share = Blame::Share {
            server_errors: 12,
            answers: 20,
        };
        assert_eq!(share.to_string(), "12 of 20 answers were 5xx");
        assert_eq!(Blame::Streak(5).to_string(), "5 errors in a row");
        assert_eq!(Blame::Streak(1).to_string(), "an error");
    }

    #[test]
    fn how_many_may_be_out() {
        #[rustfmt::skip]
        let table = [
            (1, 0, 0), (1, 500, 0), (1, 1000, 1), (2, 0, 1), (2, 500, 1), (2, 1000, 2),
            (3, 500, 1), (4, 500, 2), (10, 100, 1), (10, 299, 2), (0, 1000, 0),
        ];
        for (servers, share, most) in table {
            assert_eq!(most_ejected(servers, share), most, "{servers} {share}");
        }
    }

    #[test]
    fn when_health_is_ignored() {
        #[rustfmt::skip]
        let table = [
            (0, 3, 0, false), (0, 3, 1, true), (1, 2, 500, false), (0, 2, 500, true), (1, 3, 500, true),
            (2, 3, 500, false), (2, 3, 1000, true), (3, 3, 1000, false), (0, 0, 1000, false),
        ];
        for (working, servers, threshold, wanted) in table {
            assert_eq!(
                panics(working, servers, threshold),
                wanted,
                "{working} of {servers}, {threshold}"
            );
        }
    }

    proptest! {
        /// Whatever is seen: an ejection lasts as long as was said, between the two settings, and is followed by a return.
        #[test]
        fn ejections_are_bounded(steps in prop::collection::vec((1u64..40_000, 0u32..9, 0u64..60, 0u64..60, any::<bool>()), 1..80)) {
            let (mut watched, mut now, mut seen, mut out) = (Watched::default(), 1_000_000, Seen::default(), None);
            for (passed, streak, answers, server_errors, room) in steps {
                now += passed;
                seen.streak = streak;
                seen.answers += answers.max(server_errors);
                seen.server_errors += server_errors;
                match watched.step(seen, &PASSIVE, room, now) {
                    Some(Verdict::Eject { until_ms, .. }) => {
                        prop_assert!(room && out.is_none());
                        prop_assert!((30_000..=70_000).contains(&(until_ms - now)));
                        prop_assert_eq!(watched.next_ms(&PASSIVE, now), until_ms);
                        out = Some((now, until_ms));
                    }
                    Some(Verdict::Return { after }) => {
                        let Some((since, until)) = out.take() else { panic!("it was not out") };
                        prop_assert!(now >= until);
                        prop_assert_eq!(after.as_millis() as u64, now - since);
                    }
                    None => prop_assert!(out.is_none_or(|(_, until)| now < until)),
                }
            }
        }
    }
}
