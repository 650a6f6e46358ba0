//! What signals ask of the launcher: to end, to read the configuration again, to open the log files again.

use super::super::channel::Command;
use super::super::file::{self, Loaded};
use super::super::listen::Listening;
use super::super::{limits, notify, opening, reload};
use super::{GRACE, Launcher, REPLY_MAX, Sources, State, say, warn};
use crate::config::Timeout;
use rustix::process::Pid;
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};
use std::time::Instant;

impl Launcher {
    pub(super) fn signal(&mut self, signal: i32) {
        match signal {
            SIGTERM | SIGINT | SIGQUIT => self.stop(),
            SIGHUP => self.reload(),
            SIGUSR1 => self.reopen(),
            // As nginx and others have it; here it is not there yet, and must not end anything.
            SIGUSR2 => say(
                "ringbolt: SIGUSR2: an upgrade without a restart is not available: replace the binary and restart",
            ),
            // SIGCHLD: the loop looks for itself. The others have no meaning here.
            _ => {}
        }
    }

    /// The first time in good order, the second at once, and the third by force.
    fn stop(&mut self) {
        let (command, state) = match self.state {
            State::Stopping { .. } => {
                self.kill();
                return;
            }
            State::Starting { .. } | State::Draining { .. } => (
                Command::Stop,
                State::Stopping {
                    until: Some(Instant::now() + GRACE),
                },
            ),
            State::Waiting { .. } | State::Stopped => (Command::Stop, State::Stopped),
            State::Serving | State::Reloading { .. } => {
                let process = &self.current.config.process;
                let until = match process.drain_timeout {
                    Timeout::After(wait) => {
                        Instant::now().checked_add(process.lame_duck + wait + GRACE)
                    }
                    Timeout::Never => None,
                };
                (Command::Drain, State::Draining { until })
            }
        };
        notify::stopping();
        // What it has not taken is of no use to it any more; a descriptor in there would keep a listening socket open.
        self.channel.take_back_unsent();
        let _ = self.channel.send(&command, &[]);
        self.state = state;
        let draining = matches!(self.state, State::Draining { .. });
        if !draining || self.current.config.process.lame_duck.is_zero() {
            self.stop_listening();
        }
    }

    /// Closes our copies of the listening sockets, if we stop: as long as one is open, the kernel goes on completing
    /// handshakes that nobody will accept.
    pub(super) fn stop_listening(&mut self) {
        if matches!(
            self.state,
            State::Draining { .. } | State::Stopping { .. } | State::Stopped
        ) {
            self.listening.iter_mut().for_each(Listening::close);
        }
    }

    pub(super) fn reload(&mut self) {
        match self.state {
            State::Serving | State::Waiting { .. } => {}
            State::Starting { .. } | State::Reloading { .. } => {
                self.reload_again = true;
                return;
            }
            State::Draining { .. } | State::Stopping { .. } | State::Stopped => return,
        }
        notify::reloading();
        let loaded = match file::read(&self.path) {
            Ok(loaded) => loaded,
            Err(refused) => {
                say(&refused.to_string());
                return self.not_reloaded(&refused.one_line());
            }
        };
        warn(&loaded.warnings);
        if let Err(why) = self.send_reload(loaded) {
            self.not_reloaded(&why);
        }
    }

    /// Opens what the new configuration needs and sends it; an error changes nothing.
    fn send_reload(&mut self, loaded: Loaded) -> Result<(), String> {
        let Loaded {
            config,
            text,
            answers,
            ..
        } = loaded;
        reload::refusal(&self.started, &config)?;
        let next = Sources {
            config,
            text,
            answers,
        };
        if matches!(self.state, State::Waiting { .. }) {
            // Perhaps it is the remedy: the next generation starts with it, and at once.
            say(&format!(
                "ringbolt: read {} for the next serving process",
                self.path.display()
            ));
            self.current = next;
            self.watch_hosts();
            self.state = State::Waiting {
                until: Instant::now(),
            };
            notify::ready("Starting the serving process again");
            return Ok(());
        }
        let config = &next.config;
        let descriptors = limits::descriptors(config, self.workers);
        limits::allow_descriptors(Pid::from_child(&self.generation), descriptors);
        let logs = opening::open_logs(config)?;
        let warnings = reload::waiting_for_restart(&self.started, config);
        for warning in &warnings {
            say(&format!("ringbolt: {warning}"));
        }
        self.send_logs(&logs)
            .and_then(|()| {
                self.channel.send(
                    &Command::Reload {
                        text: next.text.clone(),
                        answers: next.answers.clone(),
                        warnings,
                    },
                    &[],
                )
            })
            .map_err(|error| format!("cannot reach the serving process: {error}"))?;
        self.state = State::Reloading {
            next: Box::new(next),
            until: Some(Instant::now() + REPLY_MAX),
        };
        Ok(())
    }

    pub(super) fn not_reloaded(&mut self, why: &str) {
        let text = format!("reload refused, the configuration in force stays: {why}");
        say(&format!("ringbolt: {text}"));
        let command = Command::Refused {
            why: why.to_owned(),
        };
        let _ = self.channel.send(&command, &[]);
        match self.state {
            State::Serving | State::Reloading { .. } => self.serving(&text),
            // The reload is over for systemd too.
            State::Waiting { .. } => notify::ready(&text),
            State::Starting { .. }
            | State::Draining { .. }
            | State::Stopping { .. }
            | State::Stopped => {}
        }
    }

    pub(super) fn reopen(&mut self) {
        match self.state {
            State::Serving | State::Draining { .. } => {}
            // Its files may have been opened before they were renamed.
            State::Starting { .. } | State::Reloading { .. } => {
                self.reopen_again = true;
                return;
            }
            // The next generation gets fresh ones.
            State::Waiting { .. } | State::Stopping { .. } | State::Stopped => return,
        }
        match opening::open_logs(&self.current.config) {
            Ok(logs) => {
                let sent = self.send_logs(&logs);
                let _ = sent.and_then(|()| self.channel.send(&Command::Reopen, &[]));
            }
            Err(why) => {
                say(&format!("ringbolt: log files not reopened: {why}"));
                self.log(format!("log files not reopened: {why}"));
            }
        }
    }

    fn log(&mut self, text: String) {
        let _ = self.channel.send(&Command::Say { text }, &[]);
    }
}
