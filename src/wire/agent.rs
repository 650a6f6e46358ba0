//! What an agent answers: one line of words, as HAProxy's `agent-check` reads it.
//!
//! The line ends with the first CR or LF. Words are parted by spaces, tabs and commas, stand in any order and in any
//! case; of two that speak of the same, the last one counts. A word that begins with `#` begins a text for people.
//!
//! | word | says |
//! | --- | --- |
//! | `75%` | the part of its weight that counts |
//! | `ready`, `drain`, `maint` | which clients may come; takes back an earlier one of these |
//! | `up`, `down`, `stopped`, `fail` | whether the server works; takes back an earlier one of these |
//!
//! Any other word is odd, `maxconn:100` too, which HAProxy takes from an agent and we do not.

use crate::config::AdminState;

/// What one line says; `None` where it says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Report<'a> {
    /// Per cent of the weight, 0 to [`MOST_PERCENT`].
    pub percent: Option<u16>,
    /// `ready`, `drain` or `maint`.
    pub admin: Option<AdminState>,
    /// `up`, `down`, `stopped` or `fail`.
    pub verdict: Option<Verdict>,
    /// What stands behind the `#`, without spaces around it; empty when nothing does.
    pub reason: &'a [u8],
    /// The first word that is none.
    pub odd: Option<&'a [u8]>,
}

/// Whether the agent finds that its server works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are HAProxy's")]
pub enum Verdict {
    Up,
    Down,
    Stopped,
    Fail,
}

/// Bytes of a line with its end; what is longer is not read.
pub const LONGEST: usize = 1024;

/// An agent can raise its server's share to ten times its weight; more is read as this, so that one that reports a count or a
/// byte rate by mistake does not draw nearly every client to its server. (HAProxy's bound is 25,600 %.)
pub const MOST_PERCENT: u16 = 1_000;

/// What the first line says; `None` while it has no end. An unfinished line means nothing: the beginning of `100%` may be
/// `10`.
pub fn read(bytes: &[u8]) -> Option<Report<'_>> {
    let end = memchr::memchr2(b'\r', b'\n', bytes)?;
    let mut report = Report::default();
    let mut rest = &bytes[..end];
    loop {
        let gap = rest.iter().take_while(|byte| is_between(**byte)).count();
        rest = &rest[gap..];
        if let [b'#', reason @ ..] = rest {
            report.reason = reason.trim_ascii();
            return Some(report);
        }
        let length = rest.iter().take_while(|byte| !is_between(**byte)).count();
        let (word, behind) = rest.split_at(length);
        if word.is_empty() {
            return Some(report);
        }
        report.take(word);
        rest = behind;
    }
}

impl<'a> Report<'a> {
    fn take(&mut self, word: &'a [u8]) {
        let is = |name: &str| word.eq_ignore_ascii_case(name.as_bytes());
        if let Some((_, admin)) = ADMINS.iter().find(|(name, _)| is(name)) {
            self.admin = Some(*admin);
        } else if let Some((_, verdict)) = VERDICTS.iter().find(|(name, _)| is(name)) {
            self.verdict = Some(*verdict);
        } else if let Some(percent) = percent(word) {
            self.percent = Some(percent);
        } else if self.odd.is_none() {
            self.odd = Some(word);
        }
    }
}

/// `75%`
fn percent(word: &[u8]) -> Option<u16> {
    let digits = word.strip_suffix(b"%")?;
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0_u32, |number, digit| {
        number
            .saturating_mul(10)
            .saturating_add(u32::from(digit - b'0'))
    });
    Some(number.min(u32::from(MOST_PERCENT)) as u16)
}

fn is_between(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b',')
}

const ADMINS: [(&str, AdminState); 3] = [
    ("ready", AdminState::Ready),
    ("drain", AdminState::Drain),
    ("maint", AdminState::Maintenance),
];

const VERDICTS: [(&str, Verdict); 4] = [
    ("up", Verdict::Up),
    ("down", Verdict::Down),
    ("stopped", Verdict::Stopped),
    ("fail", Verdict::Fail),
];

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::wire::properties;
    use AdminState::{Drain, Maintenance, Ready};
    use Verdict::{Down, Fail, Stopped, Up};
    use proptest::prelude::*;

    #[test]
    fn lines() {
        let none = Report::default();
        let percent = |percent| Report {
            percent: Some(percent),
            ..none
        };
        let admin = |admin| Report {
            admin: Some(admin),
            ..none
        };
        let verdict = |verdict| Report {
            verdict: Some(verdict),
            ..none
        };
        let because = |verdict, reason: &'static str| Report {
            verdict: Some(verdict),
            reason: reason.as_bytes(),
            ..none
        };
        let odd = |word: &'static str| Report {
            odd: Some(word.as_bytes()),
            ..none
        };
        for (line, wanted) in [
            ("75%\n", percent(75)),
            ("0%\r\n", percent(0)),
            ("99999999999999999999%\n", percent(MOST_PERCENT)),
            ("ready\n", admin(Ready)),
            ("drain\n", admin(Drain)),
            ("MAINT\r", admin(Maintenance)),
            ("up\n", verdict(Up)),
            ("down\n", verdict(Down)),
            ("Stopped\n", verdict(Stopped)),
            ("fail\n", verdict(Fail)),
            ("fail # disk full \n", because(Fail, "disk full")),
            ("down#5\n", odd("down#5")),
            ("down #a #b\n", because(Down, "a #b")),
            (
                "#up\n",
                Report {
                    reason: b"up",
                    ..none
                },
            ),
            (" ,\tup\t, \n", verdict(Up)),
            ("up down\n", verdict(Down)),
            ("drain ready\n", admin(Ready)),
            (
                "up,ready 50%\n",
                Report {
                    percent: Some(50),
                    admin: Some(Ready),
                    ..verdict(Up)
                },
            ),
            ("up\ndown\n", verdict(Up)),
            ("\n", none),
            ("50\n", odd("50")),
            ("%\n", odd("%")),
            ("5%%\n", odd("5%%")),
            ("-5%\n", odd("-5%")),
            ("maxconn:10\n", odd("maxconn:10")),
            (
                "uptime up x\n",
                Report {
                    odd: Some(b"uptime"),
                    ..verdict(Up)
                },
            ),
        ] {
            assert_eq!(read(line.as_bytes()).unwrap(), wanted, "{line:?}");
        }
        for unfinished in ["", "up", "100%", "down # why"] {
            assert_eq!(read(unfinished.as_bytes()), None, "{unfinished:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            properties::agent(&bytes);
        }

        #[test]
        fn any_words(words in "([a-z0-9%#:]{0,8}|up|DOWN|fail|stopped|drain|ready|maint|[0-9]{1,6}%|[ ,\t\r\n]){0,12}") {
            properties::agent(words.as_bytes());
        }
    }
}
