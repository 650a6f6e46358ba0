//! The launcher: the process that systemd, a terminal or a container knows.
//!
//! It has one thread, keeps the privileges it was started with, and reads no byte from the network.
//! It opens what needs privilege (ports, secret and log files), starts the generation, and passes signals
//! on as commands. A generation that ends without having been told to is followed by another on the same
//! sockets (`restart`); one that was told to, or the first if it cannot start, ends the launcher with its
//! exit status. It waits in one place: a poll over the signal pipe and the generation's channel.

use super::channel::{
    Command, Identity, MAX_DESCRIPTORS, PROTOCOL, Received, Report, Socket, Start,
};
use super::environment::Answers;
use super::file::{self, Loaded};
use super::generation::LONGEST_END;
use super::listen::{self, Listening};
use super::opening::{self, AdminSockets};
use super::{caught_signals, identity, limits, notify};
use crate::config::{Config, Problems};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::SIGCHLD;
use signal_hook::iterator::backend::SignalDelivery;
use signal_hook::iterator::exfiltrator::SignalOnly;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitCode};
use std::time::{Duration, Instant};

mod generation_channel;
mod hosts;
mod restart;
mod signals;

use generation_channel::GenerationChannel;
use hosts::HostsWatch;
use restart::Restarts;

/// Serves as the file says until it is told to stop. Messages go to standard error.
pub fn run(path: &Path) -> ExitCode {
    let loaded = match file::read(path) {
        Ok(loaded) => loaded,
        Err(refused) => {
            say(&refused.to_string());
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    warn(&loaded.warnings);
    match Launcher::start(path, loaded) {
        Ok(mut launcher) => launcher.serve(),
        Err(why) => {
            say(&format!("ringbolt: {why}"));
            ExitCode::from(EXIT_START)
        }
    }
}

/// Exit code for problems in the configuration.
pub const EXIT_CONFIG: u8 = 1;
/// Exit code for everything else that keeps Ringbolt from starting.
pub const EXIT_START: u8 = 3;

struct Launcher {
    program: PathBuf,
    path: PathBuf,
    /// As the launcher was started; what a reload cannot change is compared with this.
    started: Config,
    /// In force now.
    current: Sources,
    identity: Option<Identity>,
    workers: usize,
    cores: Vec<usize>,
    generation: Child,
    /// Its exit status has been taken: its process id may be another's.
    reaped: bool,
    /// When it was started.
    began: Instant,
    /// A generation has been ready before: the configuration can serve.
    proven: bool,
    restarts: Restarts,
    /// Why the last one was needed.
    because: String,
    channel: GenerationChannel,
    signals: SignalDelivery<UnixStream, SignalOnly>,
    listening: Vec<Listening>,
    /// Their files go with the launcher.
    admin: AdminSockets,
    state: State,
    /// SIGHUP came while the answer to it had to wait.
    reload_again: bool,
    /// SIGUSR1 did.
    reopen_again: bool,
    /// The hosts file, where names of servers are looked up.
    hosts: Option<HostsWatch>,
    /// It has changed, and the generation has not been sent it.
    hosts_changed: bool,
    /// The generation has closed its end; its exit status is next.
    closed: bool,
}

/// A configuration, and what it was made from: the generation makes it again.
#[derive(Debug)]
struct Sources {
    config: Config,
    text: String,
    answers: Answers,
}

/// ```text
///  Starting ─► Serving ◄─► Reloading
///    ▲ │          │            │
///    │ ├──────────┴────────────┴─────► Draining ─► Stopping
///    │ ▼ died     ▼ died       ▼ died
///   Waiting ───────────────────────────────────────► Stopped
/// ```
///
/// Each `until` is a deadline, which is `None` when there is none or when what follows from it has been done.
#[derive(Debug)]
enum State {
    /// Until the generation reports; killed at that moment if it has not.
    Starting {
        until: Option<Instant>,
    },
    Serving,
    /// A new configuration is on its way. At that moment the reload counts as refused, though the generation may still take it.
    Reloading {
        next: Box<Sources>,
        until: Option<Instant>,
    },
    /// The generation has died; the next one starts at that moment.
    Waiting {
        until: Instant,
    },
    /// Told to drain; killed at that moment if it has not ended.
    Draining {
        until: Option<Instant>,
    },
    /// Told to end at once; likewise.
    Stopping {
        until: Option<Instant>,
    },
    /// Told to end while there was no generation.
    Stopped,
}

impl Launcher {
    fn start(path: &Path, loaded: Loaded) -> Result<Self, String> {
        let program = opening::own_path()?;
        let Loaded {
            config,
            text,
            answers,
            ..
        } = loaded;
        let (workers, cores) = opening::place(&config)?;
        let identity = identity::resolve(&config.process)?;
        limits::raise_descriptors(limits::descriptors(&config, workers))?;
        limits::raise_locked_memory(workers);

        // Signals first: from here on none is lost, and none kills the launcher before its child.
        let signals = signals().map_err(|error| format!("cannot take signals: {error}"))?;
        let admin = opening::admin_sockets(&config, identity.as_ref())?;
        let listening = listen::open(&config, workers)?;
        let logs = opening::open_logs(&config)?;

        let (generation, channel) = opening::spawn(&program)?;
        let mut launcher = Self {
            program,
            path: path.to_owned(),
            started: config.clone(),
            current: Sources {
                config,
                text,
                answers,
            },
            identity,
            workers,
            cores,
            generation,
            reaped: false,
            began: Instant::now(),
            proven: false,
            restarts: Restarts::default(),
            because: String::new(),
            channel: GenerationChannel::new(channel),
            signals,
            listening,
            admin,
            state: State::starting(),
            reload_again: false,
            reopen_again: false,
            hosts: None,
            hosts_changed: false,
            closed: false,
        };
        // If the generation has died already its report or its status says why, so a broken pipe
        // here is not the message to show.
        let _ = launcher.hand_over(None, &logs);
        launcher.watch_hosts();
        Ok(launcher)
    }

    /// Sends a new generation what it needs. `because` is why there is another one, for its log.
    fn hand_over(&mut self, because: Option<String>, logs: &[(usize, File)]) -> io::Result<()> {
        let start = Start {
            protocol: PROTOCOL,
            launcher: std::process::id(),
            path: self.path.clone(),
            text: self.current.text.clone(),
            answers: self.current.answers.clone(),
            identity: self.identity.clone(),
            workers: self.workers,
            cores: self.cores.clone(),
            stats_socket: self.admin.stats.path().to_owned(),
            warnings: Vec::new(),
            restarts: self.restarts.total(),
            because,
        };
        self.channel.send(&Command::Start(Box::new(start)), &[])?;
        for Listening {
            listener,
            bind,
            address,
            sockets,
            ..
        } in &self.listening
        {
            // A reload may have put the listeners into another order; their names and binds it may not change.
            let name = &self.started.listeners[*listener].name;
            let mut now = self.current.config.listeners.iter();
            let Some(listener) = now.position(|other| other.name == *name) else {
                continue;
            };
            let sockets: Vec<BorrowedFd<'_>> = sockets.iter().map(AsFd::as_fd).collect();
            for some in sockets.chunks(MAX_DESCRIPTORS) {
                let address = address.to_string();
                let command = Command::Listener {
                    listener,
                    bind: *bind,
                    address,
                };
                self.channel.send(&command, some)?;
            }
        }
        let AdminSockets { control, stats } = &self.admin;
        self.channel
            .send(&Command::Socket(Socket::Control), &[control.as_fd()])?;
        self.channel
            .send(&Command::Socket(Socket::Stats), &[stats.as_fd()])?;
        self.send_logs(logs)?;
        self.channel.send(&Command::Go, &[])
    }

    fn send_logs(&mut self, logs: &[(usize, File)]) -> io::Result<()> {
        for (log, file) in logs {
            self.channel
                .send(&Command::LogFile { log: *log }, &[file.as_fd()])?;
        }
        Ok(())
    }

    /// Until the generation has ended as it was told to.
    fn serve(&mut self) -> ExitCode {
        loop {
            if let Err(error) = self.wait() {
                say(&format!("ringbolt: cannot wait for events: {error}"));
                self.kill();
            }
            let pending: Vec<i32> = self.signals.pending().collect();
            for signal in pending {
                self.signal(signal);
            }
            if !self.closed && self.channel.flush().is_err() {
                // Its end, or what it reports, says why.
                self.closed = true;
            }
            self.reports();
            self.follow_hosts();
            if let Some(code) = self.look_after() {
                return code;
            }
            self.overdue();
        }
    }

    fn wait(&self) -> io::Result<()> {
        let deadline = match &self.state {
            State::Waiting { until } => Some(*until),
            _ => self.deadline(),
        };
        let left = deadline.map(|until| {
            let left = until.saturating_duration_since(Instant::now());
            Timespec {
                tv_sec: left.as_secs().cast_signed(),
                tv_nsec: left.subsec_nanos().into(),
            }
        });
        let mut waiting = vec![PollFd::new(self.signals.get_read(), PollFlags::IN)];
        // A generation that closed its end is about to exit: SIGCHLD will say so.
        if !self.closed {
            let unsent = self.channel.stuck_since().is_some();
            let out = if unsent {
                PollFlags::OUT
            } else {
                PollFlags::empty()
            };
            waiting.push(PollFd::new(&self.channel, PollFlags::IN | out));
        }
        let hosts = self.hosts.as_ref();
        waiting.extend(hosts.map(|hosts| PollFd::new(hosts, PollFlags::IN)));
        match poll(&mut waiting, left.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes what the generation has reported. Their number in a while is bounded.
    fn reports(&mut self) {
        while !self.closed {
            match self.channel.receive() {
                Ok(Received::Message(report, _)) => self.report(report),
                Ok(Received::Nothing) => return,
                Ok(Received::Closed) => self.closed = true,
                Err(error) => {
                    say(&format!(
                        "ringbolt: the serving process sent an invalid report and is killed: {error}"
                    ));
                    self.closed = true;
                    self.kill();
                }
            }
        }
    }

    fn report(&mut self, report: Report) {
        match report {
            Report::Ready {
                driver,
                sandbox,
                missing,
            } => {
                if !matches!(self.state, State::Starting { .. }) {
                    return;
                }
                say(&format!("ringbolt: sandbox: {sandbox}"));
                for missing in missing {
                    say(&format!("ringbolt: the sandbox is without {missing}"));
                }
                let (workers, served) = (workers(self.workers), self.served());
                say(&format!("ringbolt: ready: {workers} on {driver}; {served}"));
                self.proven = true;
                self.serving(&format!("Serving {served}"));
            }
            Report::Draining => self.stop_listening(),
            Report::Failed { why } => say(&format!("ringbolt: {why}")),
            Report::Reloaded => match std::mem::replace(&mut self.state, State::Serving) {
                State::Reloading { next, .. } => {
                    say(&format!("ringbolt: reloaded {}", self.path.display()));
                    self.current = *next;
                    self.watch_hosts();
                    self.serving(&format!("Serving {}", self.served()));
                }
                // A signal to stop came meanwhile.
                other => self.state = other,
            },
            Report::ReloadFailed { why } => {
                if matches!(self.state, State::Reloading { .. }) {
                    self.not_reloaded(&why);
                }
            }
        }
    }

    /// Serving (again): says so to systemd, and takes up what was asked for meanwhile.
    fn serving(&mut self, status: &str) {
        self.state = State::Serving;
        notify::ready(status);
        if std::mem::take(&mut self.reopen_again) {
            self.reopen();
        }
        if std::mem::take(&mut self.reload_again) {
            self.reload();
        }
    }

    /// `http-in on 0.0.0.0:8080, [::]:8080; admin on unix:/run/x`
    fn served(&self) -> String {
        let mut text = String::new();
        for (index, listening) in self.listening.iter().enumerate() {
            let new = index == 0 || self.listening[index - 1].listener != listening.listener;
            let name = &self.started.listeners[listening.listener].name;
            match (index, new) {
                (0, _) => text.push_str(&format!("{name} on {}", listening.address)),
                (_, true) => text.push_str(&format!("; {name} on {}", listening.address)),
                (_, false) => text.push_str(&format!(", {}", listening.address)),
            }
        }
        text
    }

    /// When the generation must have done what it was told.
    fn deadline(&self) -> Option<Instant> {
        // One that does not even take the command will not do what it says.
        let untaken = || Some(self.channel.stuck_since()? + UNTAKEN_MAX);
        match &self.state {
            State::Draining { until } => [*until, untaken()].into_iter().flatten().min(),
            State::Starting { until }
            | State::Reloading { until, .. }
            | State::Stopping { until } => *until,
            State::Serving | State::Waiting { .. } | State::Stopped => None,
        }
    }

    /// Does what follows from a deadline that has passed, once.
    fn overdue(&mut self) {
        if self.deadline().is_none_or(|until| Instant::now() < until) {
            return;
        }
        match &mut self.state {
            State::Reloading { until, .. } => {
                *until = None;
                let why = format!(
                    "the serving process has not answered for {} s; should it still take the new configuration, that is in force then",
                    REPLY_MAX.as_secs()
                );
                let text = format!("reload refused, the configuration in force stays: {why}");
                say(&format!("ringbolt: {text}"));
                notify::ready(&text);
            }
            State::Starting { until } => {
                *until = None;
                say(&format!(
                    "ringbolt: the serving process was not ready within {} s and is killed",
                    START_MAX.as_secs()
                ));
                self.kill();
            }
            State::Draining { .. } | State::Stopping { .. } => {
                self.state = State::Stopping { until: None };
                say("ringbolt: the serving process did not end in time and is killed");
                self.kill();
            }
            State::Serving | State::Waiting { .. } | State::Stopped => {}
        }
    }

    fn kill(&self) {
        // Once its status has been taken, the process id may be another's.
        if !self.reaped {
            let _ = kill_process(Pid::from_child(&self.generation), Signal::KILL);
        }
    }
}

impl State {
    fn starting() -> Self {
        Self::Starting {
            until: Some(Instant::now() + START_MAX),
        }
    }
}

/// Beyond `process.drain_timeout`, and after a second SIGTERM, until SIGKILL: all that the generation needs to end what is left.
const GRACE: Duration = LONGEST_END;

/// For a generation to report that it serves; it waits three seconds for DNS.
const START_MAX: Duration = Duration::from_secs(60);
/// For a generation to answer a reload.
const REPLY_MAX: Duration = Duration::from_secs(30);
/// For a generation to take a command to end, where how long it may take to end has no bound.
const UNTAKEN_MAX: Duration = Duration::from_secs(60);

/// To be read from one pipe.
fn signals() -> io::Result<SignalDelivery<UnixStream, SignalOnly>> {
    let (read, write) = UnixStream::pair()?;
    let wanted = caught_signals::all().chain([SIGCHLD]);
    let signals = SignalDelivery::with_pipe(read, write, SignalOnly, wanted)?;
    let _ = signals.handle().add_signal(caught_signals::last());
    Ok(signals)
}

/// To standard error, each line at once. A terminal or pipe that has gone is no reason to end, as the
/// print macros would, and one that nobody reads is no reason to wait: it has a moment for each page, then the rest is dropped.
fn say(text: &str) {
    let line = format!("{}\n", text.trim_end());
    let stderr = rustix::stdio::stderr();
    for page in line.as_bytes().chunks(PIPE_BUF) {
        let mut writable = [PollFd::new(&stderr, PollFlags::OUT)];
        let moment = Timespec {
            tv_sec: 0,
            tv_nsec: 100_000_000,
        };
        // A pipe that polls as writable takes as much at once (pipe(7)).
        match poll(&mut writable, Some(&moment)) {
            Ok(1..) => {
                let _ = rustix::io::retry_on_intr(|| rustix::io::write(stderr, page));
            }
            _ => return,
        }
    }
}

/// What a pipe takes in one piece (pipe(7)).
const PIPE_BUF: usize = 4096;

fn warn(warnings: &Problems) {
    if !warnings.is_empty() {
        say(&warnings.to_string());
    }
}

fn workers(count: usize) -> String {
    format!("{count} worker{}", if count == 1 { "" } else { "s" })
}
