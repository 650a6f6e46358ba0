//! From one check's outcome to up, down, or about to leave.
//!
//! Pure: who runs the checks (the control thread) calls [`Health::step`] with each outcome, hands a [`Change`], when
//! there is one, to `Pool::mark`, and waits for as long as [`Health::wait`] says. A server starts up; `fall` failed checks
//! in a row take it down, `rise` good ones in a row bring it back. A 404 that means "no new clients" and its end count at
//! once, and only for a server that is up: one that is down stays so until it answers well (as with HAProxy's
//! `disable-on-404`).
//!
//! ```text
//!            leaving, at once
//!        ┌────────────────────►┐
//!       Up                 SoftDrain
//!      ▲ │ ◄────────────────────┘ │
//!      │ │      good, at once     │
//! rise │ └───────────┬────────────┘
//! good │             │ fall bad
//!      └─────── Down ◄
//! ```

use super::live::State;
use crate::config::Check;
use crate::wire::{Blame, Refusal};
use std::fmt;
use std::time::Duration;

/// Where one server stands between up and down. Kept by whoever checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    found: Found,
    /// Outcomes in a row that speak against the present state.
    against: u32,
    /// When the present state began: milliseconds since the Unix epoch.
    since_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    Up,
    SoftDrain,
    Down,
}

/// How one check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// What happened.
    pub reason: Reason,
    /// How long it took.
    pub took: Duration,
}

/// The server went up or down, or began or ceased to send new clients away.
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
pub enum Reason {
    /// No check yet, or none at all.
    Start,
    /// The connection was made.
    Connected,
    /// Nobody listens there.
    Refused,
    /// No connection within the check's timeout.
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
    /// A WebSocket handshake was made.
    Upgraded,
    /// A 404 that means: no new clients.
    Leaving,
    /// Connected, but no whole answer within the check's timeout.
    Silent,
    /// The connection ended before a whole answer.
    Closed,
    /// The body does not contain the text, as far as a check reads it.
    OtherBody,
    /// A 101 without the `Sec-WebSocket-Accept` that the key asks for.
    WrongAccept,
    /// An answer of this status, which is a good one.
    Answered(u16),
    /// An answer of this status, which is not.
    Status(u16),
    /// A response that traffic would refuse too.
    Invalid(Refusal),
}

/// Whether an outcome speaks for a server.
#[derive(Clone, Copy)]
enum Word {
    Good,
    Leaving,
    Bad,
}

impl Health {
    /// A server nobody has looked at: up.
    pub fn new(now_ms: u64) -> Self {
        Self::resume(State::START, now_ms)
    }

    /// Goes on from a state that was found before.
    pub fn resume(state: State, since_ms: u64) -> Self {
        let found = match state {
            State { up: false, .. } => Found::Down,
            State { soft: true, .. } => Found::SoftDrain,
            State { .. } => Found::Up,
        };
        Self::begin(found, since_ms)
    }

    fn begin(found: Found, since_ms: u64) -> Self {
        Self {
            found,
            against: 0,
            since_ms,
        }
    }

    /// Whether the server counts as up.
    pub fn is_up(&self) -> bool {
        self.found != Found::Down
    }

    /// Whether it is up and takes no new clients.
    pub fn is_leaving(&self) -> bool {
        self.found == Found::SoftDrain
    }

    /// Takes one outcome at `now_ms`, and says when it turned the state over. A check that failed
    /// for want of our own resources counts for nothing.
    pub fn step(&mut self, outcome: Outcome, check: &Check, now_ms: u64) -> Option<Change> {
        if outcome.reason == Reason::Ours {
            return None;
        }
        let word = outcome.reason.word();
        let (next, needed) = match (self.found, word) {
            (Found::Up, Word::Leaving) => (Found::SoftDrain, 1),
            (Found::SoftDrain, Word::Good) => (Found::Up, 1),
            (Found::Up | Found::SoftDrain, Word::Bad) => (Found::Down, check.fall),
            (Found::Down, Word::Good) => (Found::Up, check.rise),
            (Found::Up, Word::Good)
            | (Found::SoftDrain, Word::Leaving)
            | (Found::Down, Word::Bad | Word::Leaving) => {
                self.against = 0;
                return None;
            }
        };
        self.against += 1;
        if self.against < needed {
            return None;
        }
        let lasted = Duration::from_millis(now_ms.saturating_sub(self.since_ms));
        *self = Self::begin(next, now_ms);
        Some(Change {
            up: self.is_up(),
            soft: self.is_leaving(),
            reason: outcome.reason,
            took: outcome.took,
            lasted,
        })
    }

    /// How long until the next check, counted from the beginning of the last one; `random` is any number, all equally
    /// likely, and another one each time.
    pub fn wait(&self, check: &Check, random: u32) -> Duration {
        let interval = match self.found {
            _ if self.against > 0 => check.interval_changing,
            Found::Down => check.interval_down,
            Found::Up | Found::SoftDrain => check.interval,
        };
        let spread = interval * u32::from(check.jitter) / 100;
        let part = f64::from(random) / f64::from(u32::MAX);
        interval - spread + (spread * 2).mul_f64(part)
    }
}

impl Reason {
    /// Those without a status; a reason's place here is its number.
    const PLAIN: [Self; 16] = [
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
        Self::Upgraded,
        Self::Leaving,
        Self::Silent,
        Self::Closed,
        Self::OtherBody,
        Self::WrongAccept,
    ];

    /// Whether a check that met this was a good one.
    pub fn is_good(self) -> bool {
        matches!(self.word(), Word::Good | Word::Leaving)
    }

    fn word(self) -> Word {
        match self {
            Self::Connected | Self::Upgraded | Self::Answered(_) => Word::Good,
            Self::Leaving => Word::Leaving,
            _ => Word::Bad,
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

    /// In 18 bits.
    pub(super) fn pack(self) -> u64 {
        match self {
            Self::Answered(status) => 1 << 16 | u64::from(status),
            Self::Status(status) => 2 << 16 | u64::from(status),
            Self::Invalid(refusal) => {
                let place = Refusal::ALL.iter().position(|other| *other == refusal);
                3 << 16 | place.unwrap_or_default() as u64
            }
            plain => {
                let place = Self::PLAIN.iter().position(|other| *other == plain);
                place.unwrap_or_default() as u64
            }
        }
    }

    /// What was packed; bits above are not looked at.
    pub(super) fn unpack(word: u64) -> Self {
        let low = word as u16;
        match word >> 16 & 3 {
            1 => Self::Answered(low),
            2 => Self::Status(low),
            3 => {
                let refusal = Refusal::ALL.get(usize::from(low)).copied();
                refusal.map_or(Self::Failed, Self::Invalid)
            }
            _ => {
                let plain = Self::PLAIN.get(usize::from(low));
                plain.copied().unwrap_or(Self::Failed)
            }
        }
    }
}

impl fmt::Display for Reason {
    /// For people: `connection refused`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answered(status) | Self::Status(status) => return write!(f, "status {status}"),
            Self::Invalid(refusal) => {
                write!(f, "invalid response: {}", refusal.word())?;
                return match refusal.accepted_by(Blame::Server) {
                    Some(advice) => write!(f, " ({advice})"),
                    None => Ok(()),
                };
            }
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
            Self::Upgraded => "handshake made",
            Self::Leaving => "status 404, takes no new clients",
            Self::Silent => "no answer in time",
            Self::Closed => "closed before an answer",
            Self::OtherBody => "the text is not in the body",
            Self::WrongAccept => "wrong Sec-WebSocket-Accept",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rise: u32, fall: u32) -> Check {
        Check {
            rise,
            fall,
            ..Check::PLAIN
        }
    }

    fn reason(letter: char) -> Reason {
        match letter {
            '+' => Reason::Answered(200),
            '4' => Reason::Leaving,
            '-' => Reason::Status(500),
            _ => Reason::Ours,
        }
    }

    fn step(health: &mut Health, letter: char, check: &Check) -> Option<Change> {
        let (reason, took) = (reason(letter), Duration::ZERO);
        health.step(Outcome { reason, took }, check, 0)
    }

    fn letter(health: &Health) -> char {
        match (health.is_up(), health.is_leaving()) {
            (true, false) => 'u',
            (true, true) => 's',
            (false, _) => 'd',
        }
    }

    /// `+` a good check, `4` one that says no new clients, `-` a failed one, `!` one that failed for our own sake;
    /// below, the state after each: up, soft drain, down; a capital where it changed.
    #[test]
    fn rise_fall_and_soft_drain() {
        for (rise, fall, outcomes, states) in [
            (2, 3, "+++", "uuu"),
            (2, 3, "--+---+-++", "uuuuuDdddU"),
            (2, 3, "---++---", "uuDdUuuD"),
            (1, 1, "-+-+", "DUDU"),
            (2, 1, "-+-++", "DdddU"),
            (1, 2, "-!-+", "uuDU"),
            (1, 2, "!!!", "uuu"),
            // At once in, at once out.
            (2, 3, "+44+", "uSsU"),
            (5, 5, "4+4+", "SUSU"),
            // A 404 is an answer: it ends a row of failures, and is ended by a row of them.
            (2, 3, "--4--4---", "uuSsssssD"),
            (2, 3, "--4!-!-!-", "uuSsssssD"),
            // A server that is down does not come back with one, and no row of good ones goes on over it.
            (2, 1, "-444", "Dddd"),
            (2, 1, "-+4+4++", "DdddddU"),
            (1, 1, "4-4+", "SDdU"),
        ] {
            let mut health = Health::new(0);
            let check = check(rise, fall);
            let mut seen = String::new();
            for outcome in outcomes.chars() {
                let change = step(&mut health, outcome, &check);
                let now = letter(&health);
                if let Some(change) = change {
                    assert_eq!(
                        (change.up, change.soft),
                        (health.is_up(), health.is_leaving())
                    );
                    assert_eq!(change.reason, reason(outcome));
                    seen.push(now.to_ascii_uppercase());
                } else {
                    seen.push(now);
                }
            }
            assert_eq!(seen, states, "rise {rise} fall {fall}: {outcomes}");
        }
    }

    /// After each outcome the interval that follows: `u` while up, `c` while changing, `d` while down.
    #[test]
    fn three_intervals() {
        let check = Check {
            interval: Duration::from_secs(2),
            interval_changing: Duration::from_millis(500),
            interval_down: Duration::from_secs(5),
            jitter: 0,
            ..check(2, 3)
        };
        for (outcomes, waits) in [
            ("+-+", "ucu"),
            ("---", "ccd"),
            ("----+", "ccddc"),
            ("---+-", "ccdcd"),
            ("---++", "ccdcu"),
            ("-!", "cc"),
            ("4+", "uu"),
            ("4-4", "ucu"),
            ("---4+4", "ccddcd"),
        ] {
            let mut health = Health::new(0);
            let found: String = outcomes
                .chars()
                .map(|outcome| {
                    step(&mut health, outcome, &check);
                    match health.wait(&check, 12_345).as_millis() {
                        2000 => 'u',
                        500 => 'c',
                        _ => 'd',
                    }
                })
                .collect();
            assert_eq!(found, waits, "{outcomes}");
        }
    }

    #[test]
    fn jitter_spreads_evenly_around_the_interval() {
        let health = Health::new(0);
        for (jitter, random, wanted) in [
            (0, u32::MAX, 2_000),
            (10, 0, 1_800),
            (10, u32::MAX / 2, 2_000),
            (10, u32::MAX, 2_200),
            (50, 0, 1_000),
            (50, u32::MAX, 3_000),
        ] {
            let check = Check {
                jitter,
                ..check(1, 1)
            };
            assert_eq!(health.wait(&check, random).as_millis(), wanted, "{jitter}");
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
    fn what_was_found_before_goes_on() {
        for (up, soft, wanted) in [(true, false, 'u'), (true, true, 's'), (false, false, 'd')] {
            let state = State {
                up,
                soft,
                ..State::START
            };
            assert_eq!(letter(&Health::resume(state, 7)), wanted);
        }
    }

    #[test]
    fn reasons_are_kept_whole() {
        let statuses = [Reason::Answered(204), Reason::Status(599)];
        for reason in Reason::PLAIN.into_iter().chain(statuses) {
            assert_eq!(Reason::unpack(reason.pack()), reason);
            assert_eq!(Reason::unpack(reason.pack() | 1 << 18), reason);
        }
        assert_eq!(Reason::unpack(0xffff), Reason::Failed);
        assert_eq!(Reason::unpack(0), Reason::Start);
    }
}
