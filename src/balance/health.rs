//! From one check's outcome to up or down.
//!
//! Pure: who runs the checks (the control thread) calls [`Health::step`] with each outcome and hands
//! a [`Change`], when there is one, to `Pool::mark`. A server starts up; `fall` failed checks in a
//! row take it down, `rise` good ones in a row bring it back.

use crate::config::Check;
use std::time::Duration;

/// Where one server stands between up and down. Kept by whoever checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    up: bool,
    /// Outcomes in a row that speak against the present state.
    against: u32,
    /// When the present state began: milliseconds since the Unix epoch.
    since_ms: u64,
}

/// How one check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What happened; [`Reason::Connected`] is the one that is good.
    pub reason: Reason,
    /// How long it took.
    pub took: Duration,
}

/// The server went up or down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// Its new state.
    pub up: bool,
    /// Up, but to take no new clients.
    pub soft: bool,
    /// What the deciding check met.
    pub reason: Reason,
    /// How long the deciding check took.
    pub took: Duration,
    /// How long the state before lasted.
    pub lasted: Duration,
}

/// What a check met, in few enough words for an event's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Reason {
    /// No check yet, or none at all.
    Start,
    /// The connection was made.
    Connected,
    /// Nobody listens there.
    Refused,
    /// No answer within the check's timeout.
    TimedOut,
    /// The network or the host cannot be reached.
    Unreachable,
    /// The connection was cut while it was made.
    Reset,
    /// A unix socket's path is not there.
    Missing,
    /// A unix socket's path may not be opened.
    Denied,
    /// Our own process is short of descriptors or memory: says nothing about the server.
    Ours,
    /// Any other failure.
    Failed,
}

impl Health {
    /// A server nobody has looked at: up.
    pub fn new(now_ms: u64) -> Self {
        Self::resume(true, now_ms)
    }

    /// Goes on from a state that a plan before found.
    pub fn resume(up: bool, since_ms: u64) -> Self {
        Self {
            up,
            against: 0,
            since_ms,
        }
    }

    /// Whether the server counts as up.
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// Takes one outcome at `now_ms`, and says when it turned the state over. A check that failed
    /// for want of our own resources counts for nothing.
    pub fn step(&mut self, outcome: Outcome, check: &Check, now_ms: u64) -> Option<Change> {
        if outcome.reason == Reason::Ours {
            return None;
        }
        if outcome.reason.is_good() == self.up {
            self.against = 0;
            return None;
        }
        self.against += 1;
        let needed = if self.up { check.fall } else { check.rise };
        if self.against < needed {
            return None;
        }
        let lasted = Duration::from_millis(now_ms.saturating_sub(self.since_ms));
        *self = Self::resume(!self.up, now_ms);
        Some(Change {
            up: self.up,
            soft: false,
            reason: outcome.reason,
            took: outcome.took,
            lasted,
        })
    }
}

impl Reason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Start,
        Self::Connected,
        Self::Refused,
        Self::TimedOut,
        Self::Unreachable,
        Self::Reset,
        Self::Missing,
        Self::Denied,
        Self::Ours,
        Self::Failed,
    ];

    /// Whether a check that met this was a good one.
    pub fn is_good(self) -> bool {
        self == Self::Connected
    }

    /// For people: `connection refused`.
    pub fn words(self) -> &'static str {
        match self {
            Self::Start => "not checked",
            Self::Connected => "connected",
            Self::Refused => "connection refused",
            Self::TimedOut => "timed out",
            Self::Unreachable => "unreachable",
            Self::Reset => "connection reset",
            Self::Missing => "no such socket",
            Self::Denied => "permission denied",
            Self::Ours => "no descriptor or memory for a check",
            Self::Failed => "connection failed",
        }
    }

    /// What an attempt to connect that failed like this met.
    pub fn of_error(error: &std::io::Error) -> Self {
        use std::io::ErrorKind as Kind;
        match error.kind() {
            Kind::ConnectionRefused => Self::Refused,
            Kind::TimedOut => Self::TimedOut,
            Kind::HostUnreachable | Kind::NetworkUnreachable | Kind::NetworkDown => {
                Self::Unreachable
            }
            Kind::ConnectionReset | Kind::ConnectionAborted => Self::Reset,
            Kind::NotFound => Self::Missing,
            Kind::PermissionDenied => Self::Denied,
            Kind::OutOfMemory | Kind::AddrNotAvailable => Self::Ours,
            _ => match error.raw_os_error() {
                Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS) => Self::Ours,
                Some(_) | None => Self::Failed,
            },
        }
    }

    pub(super) fn from_number(number: u8) -> Self {
        Self::ALL
            .get(usize::from(number))
            .copied()
            .unwrap_or(Self::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rise: u32, fall: u32) -> Check {
        Check {
            interval: Duration::from_secs(2),
            timeout: Duration::from_secs(2),
            rise,
            fall,
        }
    }

    /// `+` a good check, `-` a failed one, `!` one that failed for our own sake; below, the state
    /// after each: `U` and `D`, lower case where it did not change.
    #[test]
    fn rise_and_fall() {
        for (rise, fall, outcomes, states) in [
            (2, 3, "+++", "uuu"),
            (2, 3, "--+---+-++", "uuuuuDdddU"),
            (2, 3, "---++---", "uuDdUuuD"),
            (1, 1, "-+-+", "DUDU"),
            (2, 1, "-+-++", "DdddU"),
            (1, 2, "-!-+", "uuDU"),
            (1, 2, "!!!", "uuu"),
        ] {
            let mut health = Health::new(0);
            let check = check(rise, fall);
            let mut seen = String::new();
            for outcome in outcomes.chars() {
                let reason = match outcome {
                    '+' => Reason::Connected,
                    '-' => Reason::Refused,
                    _ => Reason::Ours,
                };
                let took = Duration::ZERO;
                let change = health.step(Outcome { reason, took }, &check, 0);
                let letter = if health.is_up() { 'u' } else { 'd' };
                if let Some(change) = change {
                    assert_eq!(change.up, health.is_up());
                    assert_eq!(change.reason, reason);
                    seen.push(letter.to_ascii_uppercase());
                } else {
                    seen.push(letter);
                }
            }
            assert_eq!(seen, states, "rise {rise} fall {fall}: {outcomes}");
        }
    }

    #[test]
    fn a_change_tells_how_long_the_state_before_lasted() {
        let mut health = Health::new(1_000);
        let bad = Outcome {
            reason: Reason::TimedOut,
            took: Duration::from_millis(7),
        };
        let change = health.step(bad, &check(1, 1), 61_000);
        let want = Change {
            up: false,
            soft: false,
            reason: Reason::TimedOut,
            took: Duration::from_millis(7),
            lasted: Duration::from_secs(60),
        };
        assert_eq!(change, Some(want));
    }

    #[test]
    fn reasons_have_the_numbers_of_their_places() {
        for (number, reason) in (0u8..).zip(Reason::ALL) {
            assert_eq!(reason as u8, number);
            assert_eq!(Reason::from_number(number), reason);
        }
        assert_eq!(Reason::from_number(99), Reason::Failed);
    }
}
