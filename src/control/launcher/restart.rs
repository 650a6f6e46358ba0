//! A generation that ended on its own, and the one that follows it.
//!
//! The listening sockets stay open in the launcher, so clients that come meanwhile wait in the kernel's
//! queue and are served by the next generation. The first one follows at once: a crash is rare and every
//! moment is an outage. One that crashes again and again is given growing pauses, so that it neither
//! fills the log nor takes a core; a generation that lived for a minute starts the count anew.

use super::super::{limits, notify, opening};
use super::generation_channel::GenerationChannel;
use super::{Launcher, State, say};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant};

impl Launcher {
    /// Sees whether the generation has ended, and what follows from it: another one, or our own end.
    pub(super) fn look_after(&mut self) -> Option<ExitCode> {
        match self.state {
            State::Stopped => return Some(ExitCode::SUCCESS),
            State::Waiting { until } if Instant::now() < until => return None,
            State::Waiting { .. } => {
                self.start_again();
                return None;
            }
            _ => {}
        }
        let Ok(Some(status)) = self.generation.try_wait() else {
            return None;
        };
        self.reaped = true;
        self.reports();
        match self.state {
            State::Serving | State::Reloading { .. } => {}
            State::Starting { .. } if self.proven => {}
            _ => return Some(self.ended(status)),
        }
        self.died(&cause(status));
        None
    }

    /// It has ended and nobody had told it to.
    fn died(&mut self, cause: &str) {
        let wait = self.restarts.ended(self.began.elapsed());
        let reloading = match self.state {
            State::Reloading { .. } => {
                " while it took a new configuration; the one in force before stays"
            }
            _ => "",
        };
        let next = match wait.as_secs() {
            0 => "another one starts".to_owned(),
            seconds => format!("another one starts in {seconds} s"),
        };
        let text = format!("the serving process {cause}{reloading}: {next}");
        say(&format!("ringbolt: {text}"));
        // It also ends a reload.
        notify::ready(&text);
        self.closed = true;
        self.because = format!("the serving process before this one {cause}{reloading}");
        self.state = State::Waiting {
            until: Instant::now() + wait,
        };
        if std::mem::take(&mut self.reload_again) {
            self.reload();
        }
    }

    /// Another generation on the same sockets.
    fn start_again(&mut self) {
        let config = &self.current.config;
        let started = limits::raise_descriptors(limits::descriptors(config, self.workers))
            .and_then(|()| opening::open_logs(config))
            .and_then(|logs| Ok((opening::spawn(&opening::same(&self.program))?, logs)));
        self.began = Instant::now();
        match started {
            Ok(((generation, channel), logs)) => {
                self.generation = generation;
                self.channel = GenerationChannel::new(channel);
                (self.reaped, self.closed) = (false, false);
                self.state = State::starting();
                // If it has died already, its end says so.
                let _ = self.hand_over(Some(self.because.clone()), &logs);
            }
            Err(why) => self.died(&format!("could not be started ({why})")),
        }
    }

    /// The status of a generation that was told to end, or of the first that could not start, is ours.
    fn ended(&self, status: ExitStatus) -> ExitCode {
        if let Some(signal) = status.signal() {
            say(&format!("ringbolt: the serving process {}", cause(status)));
            return ExitCode::from(128 + u8::try_from(signal).unwrap_or(127));
        }
        let code = status.code().and_then(|code| u8::try_from(code).ok());
        if code == Some(0) && matches!(self.state, State::Starting { .. }) {
            say("ringbolt: the serving process ended on its own");
        }
        ExitCode::from(code.unwrap_or(1))
    }
}

/// Generations that ended on their own, one after the other.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    /// Since the launcher began.
    total: u32,
    /// Without one that lived long in between.
    in_a_row: u32,
}

impl Restarts {
    /// Counts a generation that ended after `lived`, and says how long to wait for the next.
    fn ended(&mut self, lived: Duration) -> Duration {
        if lived >= LONG {
            self.in_a_row = 0;
        }
        self.total = self.total.saturating_add(1);
        self.in_a_row = self.in_a_row.saturating_add(1);
        match self.in_a_row {
            1 => Duration::ZERO,
            more => MOST.min(Duration::from_secs(1 << (more - 2).min(30))),
        }
    }

    /// Since the launcher began.
    pub(super) fn total(&self) -> u32 {
        self.total
    }
}

/// A life after which a crash is the first one again.
const LONG: Duration = Duration::from_secs(60);
/// The longest pause.
const MOST: Duration = Duration::from_secs(60);

/// `was ended by signal 9 (SIGKILL)`, `ended with exit code 70`.
fn cause(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => match signal_hook::low_level::signal_name(signal) {
            Some(name) => format!("was ended by signal {signal} ({name})"),
            None => format!("was ended by signal {signal}"),
        },
        (None, Some(code)) => format!("ended with exit code {code}"),
        (None, None) => "ended".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_a_long_life_ends_them() {
        const SHORT: Duration = Duration::from_secs(5);
        let mut restarts = Restarts::default();
        let mut pauses = |lives: &[Duration]| -> Vec<u64> {
            let waits = lives.iter().map(|lived| restarts.ended(*lived).as_secs());
            waits.collect()
        };
        assert_eq!(pauses(&[SHORT; 9]), [0, 1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(pauses(&[LONG, SHORT, SHORT, LONG]), [0, 1, 2, 0]);
        assert_eq!(pauses(&[SHORT; 100])[99], 60, "and never overflow");
        assert_eq!(restarts.total(), 113);
    }

    #[test]
    fn causes_have_names() {
        let cases = [
            (9, "was ended by signal 9 (SIGKILL)"),
            (11, "was ended by signal 11 (SIGSEGV)"),
            (6 | 0x80, "was ended by signal 6 (SIGABRT)"),
            (40, "was ended by signal 40"),
            (70 << 8, "ended with exit code 70"),
        ];
        for (raw, wanted) in cases {
            assert_eq!(cause(ExitStatus::from_raw(raw)), wanted);
        }
    }
}
