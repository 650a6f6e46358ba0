//! The generation: the process that serves.
//!
//! It is given everything by the launcher over standard input, becomes the configured user before
//! its second thread exists, starts log writer and workers, and then turns its first thread into the
//! control thread: commands from the launcher, health checks, control socket, stats page. It heeds
//! no signal: the launcher does, and says so on the channel. When the launcher dies, it dies.

use super::admin::{self, Source};
use super::channel::{Channel, Command, Received, Report};
use super::closing::{self, Closings};
use super::desk::{self, Desk};
use super::discovery::{Change, Discovery, changes};
use super::environment::Answers;
use super::handed::{self, Handed};
use super::launcher::EXIT_START;
use super::logs::{FINISH, Logs, zone};
use super::probes::Probes;
use super::removed::Removed;
#[cfg(debug_assertions)]
use super::sandbox;
use super::sandbox::Sandbox;
use super::{caught_signals, identity, limits, pace, passive, sources, started_ms};
use crate::config::{self, Config, Level, Timeout, host_names, hosts};
use crate::proxy::Plan;
use crate::record::Event;
use crate::worker::{Setup, Workers};
use arc_swap::{ArcSwap, ArcSwapOption};
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Takes its orders from the launcher on standard input.
pub fn run() -> ExitCode {
    started_ms();
    let channel = match channel() {
        Ok(channel) => channel,
        Err(error) => {
            eprintln!("ringbolt: `generation` is what `ringbolt run` starts: {error}");
            return ExitCode::from(2);
        }
    };
    let ended = Handed::receive(&channel).and_then(|handed| serve(&channel, handed));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // If the launcher is gone there is nobody left to tell.
            let _ = channel.send(&Report::Failed { why }, &[]);
            ExitCode::from(EXIT_START)
        }
    }
}

/// Standard input is the channel; afterwards it is `/dev/null`, as befits a service.
fn channel() -> io::Result<Channel> {
    let stdin = rustix::stdio::stdin();
    rustix::net::sockopt::socket_type(stdin)?;
    let channel = Channel::new(rustix::io::fcntl_dupfd_cloexec(stdin, 3)?);
    let null = rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdin(null.as_fd())?;
    Ok(channel)
}

/// From one thread to many, and then until told to end.
fn serve(channel: &Channel, handed: Handed) -> Result<(), String> {
    let Handed {
        start,
        listeners,
        control,
        stats,
        logs: log_files,
    } = handed;
    identity::assume(start.identity.as_ref(), start.launcher)?;
    ignore_signals().map_err(|error| format!("cannot set signals aside: {error}"))?;
    let config = load(&start.path, &start.text, &start.answers)?;

    // The last file that is opened is the time zone's.
    zone();
    let mut sandbox = Sandbox::enter(config.process.sandbox);

    let (logs, ends) = Logs::start(&config, log_files, start.workers)?;
    let events = logs.events();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the control thread: {error}"))?;
    let names = Change::to(&config).map_err(|error| format!("cannot ask DNS: {error}"))?;
    let mut discovery = runtime.block_on(Discovery::start(names, events.clone()));
    let found = discovery.config();
    let plan = Plan::new(&found, None, start.workers, Some(&start.stats_socket));
    let addresses = handed::addresses(config.listeners.len(), &listeners);
    let workers = Workers::start(Setup {
        plan: Arc::clone(&plan),
        listeners: handed::sockets(listeners),
        logs: ends,
        cores: start.cores.clone(),
        events: events.clone(),
        operations: sandbox.operations(),
    })
    .map_err(|error| format!("cannot start the workers: {error}"))?;
    sandbox.close(workers.driver(), workers.operations());

    let desk = Arc::new(Desk {
        plan: ArcSwap::new(plan),
        names: discovery.names(),
        workers,
        sandbox,
        events: events.clone(),
        logs: logs.clone(),
        launcher: start.launcher,
        restarts: start.restarts,
        addresses,
        draining: AtomicBool::new(false),
        lame_duck: AtomicBool::new(false),
        reloads: AtomicU64::new(0),
        refused: ArcSwapOption::empty(),
        came_back: Notify::new(),
        closings: Closings::default(),
        removed: Removed::default(),
    });
    let ended = runtime.block_on(async {
        admin::serve(control, stats, Arc::clone(&desk) as Arc<dyn Source>)
            .map_err(|error| format!("cannot serve the control socket: {error}"))?;
        let probes = {
            let plan = desk.plan.load();
            Probes::start(&plan.pools, plan.limits, desk::tell(Arc::clone(&desk)))
        };
        tokio::spawn(pace::run(Arc::clone(&desk)));
        tokio::spawn(passive::run(Arc::clone(&desk)));
        tokio::spawn(sources::run(Arc::clone(&desk)));
        tokio::spawn(closing::run(Arc::clone(&desk)));
        let mut control = Control {
            channel,
            desk: Arc::clone(&desk),
            logs: logs.clone(),
            fresh_files: Vec::new(),
            probes,
            discovery: &mut discovery,
            path: &start.path,
            stats_socket: &start.stats_socket,
            drains_at: None,
            ends: None,
        };
        desk.say_started(&start);
        let ended = control.run().await;
        control.end().await;
        // Only what has said that it started says that it stopped.
        events.send(Event::Stopped);
        ended
    });
    logs.finish();
    ended
}

fn load(path: &Path, text: &str, answers: &Answers) -> Result<Arc<Config>, String> {
    // The launcher has found it good, from the same text and the same answers.
    config::load(path, text, answers)
        .map(Arc::new)
        .map_err(|problems| format!("launcher and generation disagree: {problems}"))
}

/// They are the launcher's. A terminal's Ctrl-C reaches every process of its group, and a service
/// manager may send its signals to all of them.
fn ignore_signals() -> io::Result<()> {
    for signal in caught_signals::all() {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    let _ = signal_hook::flag::register(caught_signals::last(), Arc::new(AtomicBool::new(false)));
    Ok(())
}

/// The control thread's loop.
struct Control<'a> {
    channel: &'a Channel,
    desk: Arc<Desk>,
    logs: Logs,
    /// Log files that came for the next `Reload` or `Reopen`.
    fresh_files: Vec<(usize, File)>,
    probes: Probes,
    discovery: &'a mut Discovery,
    path: &'a Path,
    stats_socket: &'a Path,
    /// During `process.lame_duck`: when it is over.
    drains_at: Option<Instant>,
    /// While draining: when patience ends; `None` inside is never.
    ends: Option<Option<Instant>>,
}

/// Whether the loop goes on.
enum Next {
    Listen,
    End,
}

impl Control<'_> {
    async fn run(&mut self) -> Result<(), String> {
        let orders = orders(self.channel).map_err(text)?;
        self.report(&Report::Ready {
            driver: self.desk.workers.driver().to_string(),
            sandbox: self.desk.sandbox.words(),
            missing: self.desk.sandbox.missing().to_vec(),
        });
        #[cfg(debug_assertions)]
        sandbox::try_to_escape(&self.desk.workers);
        loop {
            let next = tokio::select! {
                order = receive(&orders, self.channel) => self.obey(order.map_err(text)?).await,
                () = self.discovery.changed() => self.rediscover(),
                () = tokio::time::sleep_until(self.drains_at.unwrap_or_else(Instant::now)), if self.drains_at.is_some() => {
                    self.drain();
                    Next::Listen
                }
                () = tokio::time::sleep(DRAIN_TICK), if self.ends.is_some() => self.drained(),
            };
            if matches!(next, Next::End) {
                return Ok(());
            }
        }
    }

    async fn obey(&mut self, order: Received<Command>) -> Next {
        let Received::Message(command, descriptors) = order else {
            // The launcher has died: nobody is left to take signals, reloads, or the ports back.
            self.desk
                .events
                .say(Level::Critical, "the launcher is gone: ending");
            return Next::End;
        };
        match command {
            Command::LogFile { log } => self.fresh_files.extend(handed::files(log, descriptors)),
            Command::Reload {
                text,
                answers,
                warnings,
            } => self.reload(&text, &answers, &warnings).await,
            Command::Reopen => {
                let files = std::mem::take(&mut self.fresh_files);
                self.logs.reopen(files);
            }
            Command::Refused { why } => {
                self.desk.refused.store(Some(Arc::new(why.clone())));
                self.desk.events.send(Event::ReloadFailed { why });
            }
            Command::Hosts { lines } => self.take_hosts(&lines).await,
            Command::Say { text } => self.desk.events.say(Level::Error, text),
            Command::Drain => self.stop(),
            Command::Stop => return Next::End,
            // Only before `Go`.
            Command::Start(_) | Command::Listener { .. } | Command::Socket(_) | Command::Go => {}
        }
        Next::Listen
    }

    /// The hosts file has changed. Names are looked up again, and what is known of them stays until they are.
    async fn take_hosts(&mut self, lines: &[u8]) {
        let mut config = Config::clone(self.discovery.configured());
        let names = host_names(&config.pools);
        config.resolver.hosts = hosts::parse(lines, names.into_iter());
        match Change::to(&Arc::new(config)) {
            Ok(names) => self.discovery.follow(names).await,
            Err(why) => {
                return self
                    .desk
                    .events
                    .say(Level::Error, format!("cannot ask DNS: {why}"));
            }
        }
        self.rediscover();
    }

    async fn reload(&mut self, text: &str, answers: &Answers, warnings: &[String]) {
        let files = std::mem::take(&mut self.fresh_files);
        let adopted = load(self.path, text, answers).and_then(|config| {
            limits::raise_descriptors(limits::descriptors(&config, self.desk.workers.count()))?;
            let names = Change::to(&config).map_err(|error| format!("cannot ask DNS: {error}"))?;
            // The last that may fail: what is refused must not be half in force.
            self.logs.adopt(&config, files)?;
            Ok(names)
        });
        match adopted {
            Ok(names) => self.discovery.follow(names).await,
            Err(why) => return self.report(&Report::ReloadFailed { why }),
        }
        self.publish();
        self.desk.reloads.fetch_add(1, Relaxed);
        self.desk.refused.store(None);
        for warning in warnings {
            self.desk.events.say(Level::Warning, warning);
        }
        let about = self.path.display().to_string();
        self.desk.events.send(Event::Reloaded { about });
        self.report(&Report::Reloaded);
    }

    /// DNS has other addresses for some name.
    fn rediscover(&mut self) -> Next {
        let before = self.desk.plan.load_full();
        let after = self.publish();
        for event in changes(&before.pools, &after.pools) {
            self.desk.events.send(event);
        }
        Next::Listen
    }

    /// Makes a plan of the configuration and the servers that are known, and puts it into force. What stays
    /// keeps its live state, and no tunnel is touched.
    fn publish(&mut self) -> Arc<Plan> {
        let before = self.desk.plan.load_full();
        let plan = Plan::new(
            &self.discovery.config(),
            Some(&before),
            self.desk.workers.count(),
            Some(self.stats_socket),
        );
        self.desk.removed.note(&before.pools, &plan.pools);
        self.desk.plan.store(Arc::clone(&plan));
        self.desk.workers.adopt(&plan);
        self.probes.follow(&plan.pools, plan.limits);
        self.desk.came_back.notify_one();
        self.desk.workers.bell().ring();
        plan
    }

    fn stop(&mut self) {
        let lame_duck = self.desk.plan.load().config.process.lame_duck;
        if lame_duck.is_zero() {
            return self.drain();
        }
        if self.drains_at.is_some() || self.ends.is_some() {
            return;
        }
        self.drains_at = Instant::now().checked_add(lame_duck);
        self.desk.lame_duck.store(true, Relaxed);
        self.desk.workers.lame_duck();
        let text = format!(
            "stopping: process.lame_duck, new connections are served for {} ms more, monitors answer 503",
            lame_duck.as_millis()
        );
        self.desk.events.say(Level::Notice, text);
    }

    fn drain(&mut self) {
        self.drains_at = None;
        if self.ends.is_some() {
            return;
        }
        self.report(&Report::Draining);
        self.desk.lame_duck.store(false, Relaxed);
        let patience = match self.desk.plan.load().config.process.drain_timeout {
            Timeout::After(patience) => Instant::now().checked_add(patience),
            Timeout::Never => None,
        };
        self.ends = Some(patience);
        self.desk.draining.store(true, Relaxed);
        let about = self.desk.load();
        self.desk.events.send(Event::Stopping { about });
        self.desk.workers.drain();
    }

    fn drained(&self) -> Next {
        let (connections, tunnels) = (self.desk.workers.connections(), self.desk.workers.tunnels());
        if connections == 0 && tunnels == 0 && self.desk.workers.listening() == 0 {
            return Next::End;
        }
        if self.ends.flatten().is_none_or(|end| Instant::now() < end) {
            return Next::Listen;
        }
        let text = format!(
            "process.drain_timeout is over, cut are {}",
            self.desk.load()
        );
        self.desk.events.say(Level::Warning, text);
        Next::End
    }

    /// Ends what is left, and waits until all of it has ended and its log lines are with the writer.
    async fn end(&self) {
        let workers = &self.desk.workers;
        let deadline = Instant::now() + SHUTDOWN;
        self.logs.await_targets();
        workers.shut_down();
        let ended = async || {
            while workers.connections() > 0 {
                tokio::time::sleep(SHUTDOWN_TICK).await;
            }
            let flushed = workers.flush();
            while !flushed.is_done() {
                tokio::time::sleep(SHUTDOWN_TICK).await;
            }
        };
        if tokio::time::timeout_at(deadline, ended()).await.is_err() {
            let left = self.desk.load();
            let text = format!(
                "shutdown: not ended within {} s: {left}",
                SHUTDOWN.as_secs()
            );
            self.desk.events.say(Level::Error, text);
        }
    }

    /// A launcher that cannot be told is noticed by the next read.
    fn report(&self, report: &Report) {
        let _ = self.channel.send(report, &[]);
    }
}

/// How long ending everything that is left may take, and handing over its log lines. 20,000 tunnels take some 0.2 s in an
/// optimised build; the rest is for a busy machine, and for log targets that are slower than the lines come.
const SHUTDOWN: Duration = Duration::from_secs(10);
/// How often it is looked at meanwhile.
const SHUTDOWN_TICK: Duration = Duration::from_millis(5);
/// How long the end of a generation may take, from the moment at which it ends what is left.
pub(super) const LONGEST_END: Duration = SHUTDOWN
    .saturating_add(FINISH)
    .saturating_add(Duration::from_secs(5));
/// How often a draining process looks whether it is done.
const DRAIN_TICK: Duration = Duration::from_millis(25);

/// A second handle on the channel, for the runtime to watch.
fn orders(channel: &Channel) -> io::Result<UnixStream> {
    let watched = std::os::unix::net::UnixStream::from(channel.as_fd().try_clone_to_owned()?);
    watched.set_nonblocking(true)?;
    UnixStream::from_std(watched)
}

async fn receive(watched: &UnixStream, channel: &Channel) -> io::Result<Received<Command>> {
    loop {
        watched.readable().await?;
        let received = watched.try_io(Interest::READABLE, || match channel.try_receive()? {
            Received::Nothing => Err(io::ErrorKind::WouldBlock.into()),
            received => Ok(received),
        });
        match received {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            received => return received,
        }
    }
}

fn text(error: io::Error) -> String {
    error.to_string()
}
