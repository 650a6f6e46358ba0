//! The generation: the process that serves.
//!
//! It is given everything by the launcher over standard input, becomes the configured user before
//! its second thread exists, starts log writer and workers, and then turns its first thread into the
//! control thread: commands from the launcher, health checks, control socket, stats page. It heeds
//! no signal: the launcher does, and says so on the channel. When the launcher dies, it dies.

use super::admin::{self, Source};
use super::channel::{Channel, Command, PROTOCOL, Received, Report, Socket, Start};
use super::launcher::EXIT_START;
use super::logs::Logs;
use super::probes::Probes;
use super::status::{ListenerStatus, PoolStatus, Status};
use super::{identity, limits, now_ms, started_ms};
use crate::config::{self, Config, Level, Stats, Timeout};
use crate::proxy::Plan;
use crate::record::{Event, Events, ServerName};
use crate::worker::{ListenerSockets, Setup, Workers};
use arc_swap::{ArcSwap, ArcSwapOption};
use rustix::fs::{Mode, OFlags};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixStream;
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

/// What the launcher sent before `Go`.
struct Handed {
    start: Start,
    listeners: Vec<HandedListener>,
    control: OwnedFd,
    stats: OwnedFd,
    logs: Vec<(usize, File)>,
}

struct HandedListener {
    listener: usize,
    bind: usize,
    address: String,
    sockets: Vec<OwnedFd>,
}

impl Handed {
    fn receive(channel: &Channel) -> Result<Self, String> {
        let mut start = None;
        let mut listeners: Vec<HandedListener> = Vec::new();
        let (mut control, mut stats) = (None, None);
        let mut logs = Vec::new();
        loop {
            let (command, mut descriptors) = match channel.receive() {
                Ok(Received::Message(command, descriptors)) => (command, descriptors),
                Ok(Received::Closed | Received::Nothing) => {
                    return Err("the launcher went away".to_owned());
                }
                Err(error) => return Err(format!("cannot read the launcher's orders: {error}")),
            };
            match command {
                Command::Start(order) if order.protocol != PROTOCOL => {
                    let theirs = order.protocol;
                    return Err(format!(
                        "the binary was replaced while it started (it speaks protocol {PROTOCOL}, \
                         the launcher {theirs}): start again"
                    ));
                }
                Command::Start(order) => start = Some(*order),
                Command::Listener {
                    listener,
                    bind,
                    address,
                } => match listeners.last_mut() {
                    Some(last) if (last.listener, last.bind) == (listener, bind) => {
                        last.sockets.append(&mut descriptors);
                    }
                    _ => listeners.push(HandedListener {
                        listener,
                        bind,
                        address,
                        sockets: descriptors,
                    }),
                },
                Command::Socket(Socket::Control) => control = descriptors.pop(),
                Command::Socket(Socket::Stats) => stats = descriptors.pop(),
                Command::LogFile { log } => logs.extend(files(log, descriptors)),
                Command::Go => break,
                // Told to stop before it began.
                Command::Drain | Command::Stop => std::process::exit(0),
                Command::Reload { .. }
                | Command::Reopen
                | Command::Refused { .. }
                | Command::Say { .. } => {}
            }
        }
        match (start, control, stats) {
            (Some(start), Some(control), Some(stats)) => Ok(Self {
                start,
                listeners,
                control,
                stats,
                logs,
            }),
            _ => Err("the launcher's orders are incomplete".to_owned()),
        }
    }
}

fn files(log: usize, descriptors: Vec<OwnedFd>) -> impl Iterator<Item = (usize, File)> {
    descriptors
        .into_iter()
        .map(move |descriptor| (log, File::from(descriptor)))
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

    let (logs, ends) = Logs::start(&config, log_files, start.workers)?;
    let events = logs.events();
    let plan = Plan::new(&config, None, start.workers, Some(&start.stats_socket));
    let addresses = addresses(&config, &listeners);
    let workers = Workers::start(Setup {
        plan: Arc::clone(&plan),
        listeners: merged(listeners),
        logs: ends,
        cores: start.cores,
        events: events.clone(),
    })
    .map_err(|error| format!("cannot start the workers: {error}"))?;

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the control thread: {error}"))?;
    let desk = Arc::new(Desk {
        plan: ArcSwap::new(plan),
        workers,
        events: events.clone(),
        launcher: start.launcher,
        addresses,
        draining: AtomicBool::new(false),
        reloads: AtomicU64::new(0),
        refused: ArcSwapOption::empty(),
    });
    let ended = runtime.block_on(async {
        admin::serve(control, stats, Arc::clone(&desk) as Arc<dyn Source>)
            .map_err(|error| format!("cannot serve the control socket: {error}"))?;
        let probes = Probes::start(&desk.plan.load().pools, tell(&desk));
        let mut control = Control {
            channel,
            desk: Arc::clone(&desk),
            logs: logs.clone(),
            fresh_files: Vec::new(),
            probes,
            path: &start.path,
            stats_socket: &start.stats_socket,
            ends: None,
        };
        desk.say_started(&start.warnings);
        let ended = control.run().await;
        tokio::time::sleep(LAST_LINES).await;
        ended
    });
    events.send(Event::Stopped);
    logs.finish();
    ended
}

fn load(
    path: &Path,
    text: &str,
    answers: &super::environment::Answers,
) -> Result<Arc<Config>, String> {
    // The launcher has found it good, from the same text and the same answers.
    config::load(path, text, answers)
        .map(Arc::new)
        .map_err(|problems| format!("launcher and generation disagree: {problems}"))
}

/// They are the launcher's. A terminal's Ctrl-C reaches every process of its group, and a service
/// manager may send its signals to all of them.
fn ignore_signals() -> io::Result<()> {
    for signal in [SIGTERM, SIGINT, SIGHUP, SIGUSR1] {
        signal_hook::flag::register(signal, Arc::new(AtomicBool::new(false)))?;
    }
    Ok(())
}

/// What both the control socket and the control loop look at.
struct Desk {
    plan: ArcSwap<Plan>,
    workers: Workers,
    events: Events,
    launcher: u32,
    /// By listener: where it really listens.
    addresses: Vec<Vec<String>>,
    draining: AtomicBool,
    reloads: AtomicU64,
    refused: ArcSwapOption<String>,
}

impl Desk {
    fn say_started(&self, warnings: &[String]) {
        let (count, driver) = (self.workers.count(), self.workers.driver());
        let plural = if count == 1 { "" } else { "s" };
        let version = env!("CARGO_PKG_VERSION");
        let about = format!("ringbolt {version}, {count} worker{plural} on {driver}");
        self.events.send(Event::Started { about });
        for warning in warnings {
            self.events.say(Level::Warning, warning);
        }
        if let Some(why) = self.workers.refused() {
            self.events.say(
                Level::Warning,
                format!(
                    "the workers run on {driver}, a better driver was refused: {why}; look at \
                     kernel.io_uring_disabled, the container's seccomp profile and LimitMEMLOCK"
                ),
            );
        }
        if identity::is_root() {
            let text = "it serves as root: process.user can name somebody with less power";
            self.events.say(Level::Notice, text);
        }
    }

    /// Connections and tunnels as the log says them.
    fn load(&self) -> String {
        let (connections, tunnels) = (self.workers.connections(), self.workers.tunnels());
        format!("{connections} connections, {tunnels} of them tunnels")
    }
}

impl Source for Desk {
    fn status(&self) -> Status {
        let (plan, now_ms, started_ms) = (self.plan.load(), now_ms(), started_ms());
        let pools = plan.pools.iter();
        let listeners = plan.listeners.iter().zip(&self.addresses);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            launcher: self.launcher,
            started_ms,
            uptime: now_ms.saturating_sub(started_ms) / 1000,
            driver: self.workers.driver().to_string(),
            workers: self.workers.count(),
            draining: self.draining.load(Relaxed),
            connections: self.workers.connections(),
            max_connections: plan.config.process.max_connections,
            tunnels: self.workers.tunnels(),
            reloads: self.reloads.load(Relaxed),
            refused_reload: self.refused.load().as_deref().cloned(),
            listeners: listeners
                .map(|(listener, addresses)| ListenerStatus {
                    name: listener.name.to_string(),
                    addresses: addresses.clone(),
                    connections: listener.live.connections(),
                    total_connections: listener.live.total(),
                })
                .collect(),
            pools: pools
                .map(|pool| PoolStatus::of(pool, now_ms, started_ms))
                .collect(),
        }
    }

    fn stats(&self) -> Option<Stats> {
        self.plan.load().config.stats.clone()
    }
}

/// The control thread's loop.
struct Control<'a> {
    channel: &'a Channel,
    desk: Arc<Desk>,
    logs: Logs,
    /// Log files that came for the next `Reload` or `Reopen`.
    fresh_files: Vec<(usize, File)>,
    probes: Probes,
    path: &'a Path,
    stats_socket: &'a Path,
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
        });
        loop {
            let next = tokio::select! {
                order = receive(&orders, self.channel) => self.obey(order.map_err(text)?),
                () = tokio::time::sleep(DRAIN_TICK), if self.ends.is_some() => self.drained(),
            };
            if matches!(next, Next::End) {
                return Ok(());
            }
        }
    }

    fn obey(&mut self, order: Received<Command>) -> Next {
        let Received::Message(command, descriptors) = order else {
            // The launcher has died: nobody is left to take signals, reloads, or the ports back.
            self.desk
                .events
                .say(Level::Critical, "the launcher is gone: ending");
            return Next::End;
        };
        match command {
            Command::LogFile { log } => self.fresh_files.extend(files(log, descriptors)),
            Command::Reload {
                text,
                answers,
                warnings,
            } => self.reload(&text, &answers, &warnings),
            Command::Reopen => {
                let files = std::mem::take(&mut self.fresh_files);
                self.logs.reopen(files);
            }
            Command::Refused { why } => {
                self.desk.refused.store(Some(Arc::new(why.clone())));
                self.desk.events.send(Event::ReloadFailed { why });
            }
            Command::Say { text } => self.desk.events.say(Level::Error, text),
            Command::Drain => self.drain(),
            Command::Stop => {
                self.desk.workers.end_tunnels();
                return Next::End;
            }
            // Only before `Go`.
            Command::Start(_) | Command::Listener { .. } | Command::Socket(_) | Command::Go => {}
        }
        Next::Listen
    }

    fn reload(&mut self, text: &str, answers: &super::environment::Answers, warnings: &[String]) {
        let files = std::mem::take(&mut self.fresh_files);
        let adopted = load(self.path, text, answers).and_then(|config| {
            limits::raise_descriptors(limits::descriptors(&config, self.desk.workers.count()))?;
            self.logs.adopt(&config, files)?;
            Ok(config)
        });
        let config = match adopted {
            Ok(config) => config,
            Err(why) => {
                self.report(&Report::ReloadFailed { why });
                return;
            }
        };
        let before = self.desk.plan.load_full();
        let plan = Plan::new(
            &config,
            Some(&before),
            self.desk.workers.count(),
            Some(self.stats_socket),
        );
        self.desk.plan.store(Arc::clone(&plan));
        self.desk.workers.adopt(&plan);
        self.probes.follow(&plan.pools);
        self.desk.reloads.fetch_add(1, Relaxed);
        self.desk.refused.store(None);
        for warning in warnings {
            self.desk.events.say(Level::Warning, warning);
        }
        let about = self.path.display().to_string();
        self.desk.events.send(Event::Reloaded { about });
        self.report(&Report::Reloaded);
    }

    fn drain(&mut self) {
        if self.ends.is_some() {
            return;
        }
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
        if connections == 0 && tunnels == 0 {
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
        self.desk.workers.end_tunnels();
        Next::End
    }

    /// A launcher that cannot be told is noticed by the next read.
    fn report(&self, report: &Report) {
        let _ = self.channel.send(report, &[]);
    }
}

/// From the last word to the end: workers hand their log lines over ten times a second.
const LAST_LINES: Duration = Duration::from_millis(200);
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

fn tell(desk: &Arc<Desk>) -> Box<super::probes::Tell> {
    let events = desk.events.clone();
    Box::new(move |pool, server, change| {
        let server = ServerName {
            pool: pool.settings.name.clone(),
            server: server.name.to_string(),
        };
        let (why, after, left) = (
            change.reason.words().to_owned(),
            change.lasted,
            pool.active(),
        );
        events.send(match change.up {
            true => Event::ServerUp {
                server,
                why,
                after,
                left,
            },
            false => Event::ServerDown {
                server,
                why,
                after,
                left,
            },
        });
    })
}

fn addresses(config: &Config, listeners: &[HandedListener]) -> Vec<Vec<String>> {
    let mut addresses = vec![Vec::new(); config.listeners.len()];
    for handed in listeners {
        if let Some(list) = addresses.get_mut(handed.listener) {
            list.push(handed.address.clone());
        }
    }
    addresses
}

fn merged(listeners: Vec<HandedListener>) -> Vec<ListenerSockets> {
    listeners
        .into_iter()
        .map(|handed| ListenerSockets {
            listener: handed.listener,
            sockets: handed.sockets,
        })
        .collect()
}

fn text(error: io::Error) -> String {
    error.to_string()
}
