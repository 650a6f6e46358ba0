//! What a server is good for, all words about it taken together.
//!
//! Three parties speak of a server: the operator, the agent that runs beside it, and the checks. Each has a place of
//! its own in [`Live`](super::Live), so that nobody lifts what somebody else said; here is what they come to. The
//! strictest word holds:
//!
//! ```text
//! standing     new clients   clients with its cookie   checks   who says so
//! Up           yes           yes                       run      nobody says anything else
//! SoftDrain    no            yes                       run      checks: a 404 while soft_drain_on_404 is set
//! Drain        no            yes                       run      operator or agent
//! Ejected      no            no                        run      passive checks
//! Down         no            no                        run      checks or agent
//! Maintenance  no            no                        rest     operator or agent
//! ```
//!
//! A weight of 0, the operator's or the agent's, keeps new clients away as well and changes nothing else. An agent is
//! asked in every standing: who may only undo its own words must be heard to undo them.

use super::live::State;
use crate::config::AdminState;
use crate::wire::agent::{Report, Verdict};
use std::fmt;

/// What a server is good for; the later, the stricter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Anybody may come.
    Up,
    /// Only clients whose cookie names it, since a check was answered with 404.
    SoftDrain,
    /// Only clients whose cookie names it, by the operator's or the agent's word.
    Drain,
    /// Nobody may come for a while: too much of its traffic failed.
    Ejected,
    /// Nobody may come: its checks fail, or its agent says so.
    Down,
    /// Nobody may come, and nobody checks, by the operator's or the agent's word.
    Maintenance,
}

/// What an agent has said so far, and not taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AgentWord {
    /// `ready`, `drain`, `maint`.
    pub admin: AdminState,
    /// `up`, and the words for the opposite.
    pub verdict: Verdict,
    /// What part of the weight counts: 0 to 1,000 (ten times the weight).
    pub percent: u16,
}

impl Standing {
    /// What the words of all three come to.
    pub fn of(operator: AdminState, agent: AgentWord, checks: State) -> Self {
        let found = match checks {
            State { up: false, .. } => Self::Down,
            State { soft: true, .. } => Self::SoftDrain,
            State { .. } => Self::Up,
        };
        let verdict = match agent.verdict {
            Verdict::Up => Self::Up,
            Verdict::Down | Verdict::Stopped | Verdict::Fail => Self::Down,
        };
        let admin = |word| match word {
            AdminState::Ready => Self::Up,
            AdminState::Drain => Self::Drain,
            AdminState::Maintenance => Self::Maintenance,
        };
        found
            .max(verdict)
            .max(admin(operator))
            .max(admin(agent.admin))
    }

    /// Whether new clients may come, if it has any weight.
    pub fn accepts_new(self) -> bool {
        self == Self::Up
    }

    /// Whether clients whose cookie names it may come.
    pub fn accepts_sticky(self) -> bool {
        self < Self::Ejected
    }

    /// Whether it is as good as not there: unlike one that is ejected, it is not expected to serve what it has.
    pub fn is_gone(self) -> bool {
        self > Self::Ejected
    }

    /// Whether only clients may come whose cookie names it.
    pub fn is_draining(self) -> bool {
        matches!(self, Self::SoftDrain | Self::Drain)
    }

    /// Whether it is to be checked.
    pub fn wants_check(self) -> bool {
        self != Self::Maintenance
    }
}

impl AgentWord {
    /// Nothing: what counts where there is no agent, or none has spoken yet.
    pub const NONE: Self = Self {
        admin: AdminState::Ready,
        verdict: Verdict::Up,
        percent: 100,
    };

    /// With what one more line of the agent says; what the line does not speak of stays.
    #[must_use]
    pub fn and(self, report: &Report<'_>) -> Self {
        Self {
            admin: report.admin.unwrap_or(self.admin),
            verdict: report.verdict.unwrap_or(self.verdict),
            percent: report.percent.unwrap_or(self.percent),
        }
    }

    pub(super) fn pack(self) -> u32 {
        u32::from(self.percent) << 16 | (self.verdict as u32) << 8 | self.admin as u32
    }

    pub(super) fn unpack(word: u32) -> Self {
        Self {
            admin: match word & 0xff {
                0 => AdminState::Ready,
                1 => AdminState::Drain,
                _ => AdminState::Maintenance,
            },
            verdict: match word >> 8 & 0xff {
                0 => Verdict::Up,
                1 => Verdict::Down,
                2 => Verdict::Stopped,
                _ => Verdict::Fail,
            },
            percent: (word >> 16) as u16,
        }
    }
}

impl fmt::Display for AgentWord {
    /// The words in force: `drain 75%`; `ready` when there is nothing against its server.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let admin = match self.admin {
            AdminState::Ready => "",
            AdminState::Drain => "drain",
            AdminState::Maintenance => "maint",
        };
        let verdict = match self.verdict {
            Verdict::Up => "",
            Verdict::Down => "down",
            Verdict::Stopped => "stopped",
            Verdict::Fail => "fail",
        };
        let percent = match self.percent {
            100 => String::new(),
            percent => format!("{percent}%"),
        };
        let words = [admin, verdict, &percent];
        let mut words = words.into_iter().filter(|word| !word.is_empty());
        f.write_str(words.next().unwrap_or("ready"))?;
        words.try_for_each(|word| write!(f, " {word}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use AdminState::{Drain, Maintenance, Ready};
    use Verdict::{Down, Fail, Stopped, Up};

    const UP: State = State::START;
    const SOFT: State = State { soft: true, ..UP };
    const DOWN: State = State { up: false, ..UP };

    #[test]
    fn every_word_against_every_other() {
        #[rustfmt::skip]
        let table = [
            // operator, agent's administrative word and verdict, checks; standing; new, sticky, checked
            (Ready,       Ready,       Up,      UP,   Standing::Up,          "nsc"),
            (Ready,       Ready,       Up,      SOFT, Standing::SoftDrain,   "-sc"),
            (Ready,       Ready,       Up,      DOWN, Standing::Down,        "--c"),
            (Ready,       Ready,       Down,    UP,   Standing::Down,        "--c"),
            (Ready,       Ready,       Stopped, SOFT, Standing::Down,        "--c"),
            (Ready,       Ready,       Fail,  UP,   Standing::Down,        "--c"),
            (Ready,       Drain,       Up,      UP,   Standing::Drain,       "-sc"),
            (Ready,       Drain,       Up,      SOFT, Standing::Drain,       "-sc"),
            (Ready,       Drain,       Up,      DOWN, Standing::Down,        "--c"),
            (Ready,       Drain,       Down,    UP,   Standing::Down,        "--c"),
            (Ready,       Maintenance, Up,      UP,   Standing::Maintenance, "---"),
            (Drain,       Ready,       Up,      UP,   Standing::Drain,       "-sc"),
            (Drain,       Ready,       Up,      SOFT, Standing::Drain,       "-sc"),
            (Drain,       Ready,       Up,      DOWN, Standing::Down,        "--c"),
            (Drain,       Ready,       Down,    UP,   Standing::Down,        "--c"),
            (Drain,       Drain,       Up,      UP,   Standing::Drain,       "-sc"),
            (Drain,       Maintenance, Up,      UP,   Standing::Maintenance, "---"),
            (Maintenance, Ready,       Up,      UP,   Standing::Maintenance, "---"),
            (Maintenance, Ready,       Up,      DOWN, Standing::Maintenance, "---"),
            (Maintenance, Drain,       Down,    SOFT, Standing::Maintenance, "---"),
        ];
        for (operator, admin, verdict, checks, wanted, may) in table {
            let agent = AgentWord {
                admin,
                verdict,
                ..AgentWord::NONE
            };
            let standing = Standing::of(operator, agent, checks);
            assert_eq!(standing, wanted, "{operator:?} {agent:?} {checks:?}");
            let letter = |holds, letter| if holds { letter } else { '-' };
            let found: String = [
                letter(standing.accepts_new(), 'n'),
                letter(standing.accepts_sticky(), 's'),
                letter(standing.wants_check(), 'c'),
            ]
            .iter()
            .collect();
            assert_eq!(found, may, "{standing:?}");
        }
    }

    #[test]
    fn an_agents_word_is_kept_whole() {
        for admin in [Ready, Drain, Maintenance] {
            for verdict in [Up, Down, Stopped, Fail] {
                for percent in [0, 75, 100, 25_600] {
                    let word = AgentWord {
                        admin,
                        verdict,
                        percent,
                    };
                    assert_eq!(AgentWord::unpack(word.pack()), word);
                }
            }
        }
    }

    #[test]
    fn what_a_line_does_not_speak_of_stays() {
        let mut word = AgentWord::NONE;
        for (line, wanted) in [
            ("up", "ready"),
            ("drain", "drain"),
            ("75%", "drain 75%"),
            ("fail", "drain fail 75%"),
            ("maint 100%", "maint fail"),
            ("up", "maint"),
            ("nonsense", "maint"),
            ("ready", "ready"),
            ("0%", "0%"),
            ("stopped", "stopped 0%"),
            ("down", "down 0%"),
            ("up,ready,100%", "ready"),
        ] {
            let line = format!("{line}\n");
            let report = crate::wire::agent::read(line.as_bytes()).expect("it has an end");
            word = word.and(&report);
            assert_eq!(word.to_string(), wanted, "{line}");
        }
    }
}
