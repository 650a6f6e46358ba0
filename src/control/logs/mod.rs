//! The log's writer: one thread that takes blocks of lines and events off the queue and brings them
//! to their targets.
//!
//! No target makes a worker wait, and none makes another target wait for longer than one write to a
//! file takes: pipes, terminals and sockets are written without blocking, and what they do not take
//! waits in a bounded buffer of their own. What that cannot hold is dropped, counted, and said once
//! a second in the other targets, and in the slow one itself as soon as it has room.
//!
//! The thread sleeps in one `poll`: on an eventfd that queue and handle write to, and on the
//! targets that refused to take more. An idle process wakes it once a
//! minute, for the time zone.

mod sink;
mod stats;
mod target;

pub use target::TARGET;

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use self::sink::Sink;
use self::stats::Published;
use self::target::Target;
use super::status::LogStatus;
use super::wall_ms;
use crate::config::{Config, Level, LogFormat, LogTarget};
use crate::record::{Block, Event, Events, Log, Queue, Stamp, Wanted};

/// The process's handle of its log. Clones are the same log.
#[derive(Debug, Clone)]
pub struct Logs {
    queue: Arc<Queue>,
    orders: Sender<Order>,
    alarm: Arc<OwnedFd>,
    published: Arc<Published>,
}

impl Logs {
    /// Starts the writer for the targets of a configuration, and gives an end for each worker.
    /// `files` are the open files of `[[log]]` tables by their index; each must be opened for appending.
    ///
    /// # Errors
    /// When a file is missing, or the system gives no thread, eventfd or socket.
    pub fn start(
        config: &Config,
        files: Vec<(usize, File)>,
        workers: usize,
    ) -> Result<(Self, Vec<Log>), String> {
        let alarm = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|error| format!("cannot make the log writer's eventfd: {error}"))?;
        let alarm = Arc::new(alarm);
        let ring = alarm.clone();
        let queue = Queue::new(move || sound(&ring));
        queue.set_offset(offset());
        let targets = targets(config, files)?;
        queue.set_wanted(wanted(&targets));
        let published = Arc::new(Published::new(publishable(&targets)));
        let (orders, incoming) = mpsc::channel();
        let writer = Writer {
            queue: queue.clone(),
            orders: incoming,
            alarm: alarm.clone(),
            targets,
            stamp: Stamp::new(queue.offset()),
            text: Vec::new(),
            chores: Instant::now(),
            files: Instant::now(),
            published: published.clone(),
            patient: false,
            ending: None,
        };
        thread::Builder::new()
            .name("log".to_owned())
            .spawn(|| writer.run())
            .map_err(|error| format!("cannot start the log writer: {error}"))?;
        let ends = (0..workers).map(|_| queue.log()).collect();
        let logs = Self {
            queue,
            orders,
            alarm,
            published,
        };
        Ok((logs, ends))
    }

    /// For events, from any thread.
    pub fn events(&self) -> Events {
        self.queue.events()
    }

    /// Each target, the lines that it lost, and whether it works.
    pub fn status(&self) -> Vec<LogStatus> {
        stats::status(&self.published)
    }

    /// Writes to these files from now on (SIGUSR1, after rotation), each for the `[[log]]` of its index.
    pub fn reopen(&self, files: Vec<(usize, File)>) {
        self.order(Order::Reopen(files));
    }

    /// Replaces all targets by those of another configuration. Lines that wait for a target that stays, stay.
    ///
    /// # Errors
    /// As for [`Logs::start`]; then nothing has changed.
    pub fn adopt(&self, config: &Config, files: Vec<(usize, File)>) -> Result<(), String> {
        self.order(Order::Adopt(targets(config, files)?));
        Ok(())
    }

    /// From now on slow targets are waited for instead of losing lines, each as long as it goes on taking some: nobody is
    /// kept waiting by it any more but the end of the process.
    pub fn await_targets(&self) {
        self.order(Order::Await);
    }

    /// Writes what is left, for at most [`FINISH`], and ends the writer. Workers must have ended
    /// before; what is logged later is lost.
    pub fn finish(&self) {
        let (ended, wait) = mpsc::channel();
        self.order(Order::Finish(ended));
        // Ends when the writer drops its end; the margin is for a file that blocks.
        let _ = wait.recv_timeout(FINISH + Duration::from_secs(2));
    }

    fn order(&self, order: Order) {
        if self.orders.send(order).is_ok() {
            sound(&self.alarm);
        }
    }
}

enum Order {
    Reopen(Vec<(usize, File)>),
    Adopt(Vec<Target>),
    Await,
    /// Dropped when the writer has ended.
    Finish(Sender<()>),
}

struct Writer {
    queue: Arc<Queue>,
    orders: Receiver<Order>,
    alarm: Arc<OwnedFd>,
    targets: Vec<Target>,
    stamp: Stamp,
    text: Vec<u8>,
    /// When to look after dropped lines and the time zone again.
    chores: Instant,
    /// When to look again whether log files were deleted.
    files: Instant,
    published: Arc<Published>,
    /// Slow targets are waited for.
    patient: bool,
    /// Until when, and who waits.
    ending: Option<(Instant, Sender<()>)>,
}

impl Writer {
    fn run(mut self) {
        loop {
            while let Ok(order) = self.orders.try_recv() {
                self.obey(order);
            }
            while let Some(event) = self.queue.take_event() {
                self.event(&event, None);
            }
            for _ in 0..BATCH {
                if self.is_held_back() {
                    break;
                }
                let Some(block) = self.queue.take() else {
                    break;
                };
                self.block(&block);
                self.queue.recycle(block);
                self.flush();
            }
            self.chore();
            self.flush();
            if self.is_done() {
                return self.count_what_is_left();
            }
            self.hurry(Instant::now());
            self.sleep();
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Reopen(files) => {
                for (index, file) in files {
                    if let Some(target) = self.targets.get_mut(index) {
                        target.flush(Instant::now());
                        target.reopen(file);
                    }
                }
                self.event(&Event::LogsReopened, None);
            }
            Order::Adopt(targets) => {
                let old = std::mem::replace(&mut self.targets, targets);
                // Several may have one name: the first is the heir of the first.
                let mut heirs: Vec<&mut Target> = self.targets.iter_mut().collect();
                for mut before in old {
                    match heirs.iter().position(|target| target.name == before.name) {
                        Some(at) => heirs.remove(at).inherit(&mut before),
                        None => before.flush(Instant::now()),
                    }
                }
                self.published.store(publishable(&self.targets));
                self.queue.set_wanted(wanted(&self.targets));
            }
            Order::Await => self.be_patient(),
            Order::Finish(ended) => {
                self.be_patient();
                self.look_after();
                self.targets.iter_mut().for_each(Target::retry);
                self.ending = Some((Instant::now() + FINISH, ended));
            }
        }
    }

    fn be_patient(&mut self) {
        if !std::mem::replace(&mut self.patient, true) {
            let now = Instant::now();
            self.targets
                .iter_mut()
                .for_each(|target| target.expect(now));
        }
    }

    /// Whether blocks stay in the queue until a slow target has room.
    fn is_held_back(&self) -> bool {
        let now = Instant::now();
        self.patient && self.targets.iter().any(|target| target.holds_back(now))
    }

    fn block(&mut self, block: &Block) {
        for line in block.lines() {
            for target in &mut self.targets {
                if target.takes(block.format(), &line) {
                    target.line(line.level, line.ms, line.text, &mut self.stamp);
                }
            }
        }
    }

    /// Brings an event to all targets that take its level; `except` one.
    fn event(&mut self, event: &Event, except: Option<usize>) {
        let ms = wall_ms();
        for (index, target) in self.targets.iter_mut().enumerate() {
            if except != Some(index) && target.takes_level(event.level()) {
                target.event(event, ms, &mut self.stamp, &mut self.text);
            }
        }
    }

    fn flush(&mut self) {
        let now = Instant::now();
        let looks = now >= self.files;
        if looks {
            self.files = now + SECOND;
        }
        for target in &mut self.targets {
            target.flush(now);
            if looks {
                target.look_for_file(now);
            }
        }
        // Of each target one failure at most is news, and half a second passes until it is tried again.
        while self.tell_news() {
            self.targets.iter_mut().for_each(|target| target.flush(now));
        }
    }

    /// Says which targets fail and which work again: in the others and on standard error. False when there is nothing to say.
    fn tell_news(&mut self) -> bool {
        let mut any = false;
        for index in 0..self.targets.len() {
            let Some((event, itself)) = self.targets[index].take_news() else {
                continue;
            };
            any = true;
            self.event(&event, (!itself).then_some(index));
            let level = event.level();
            let reads = |target: &Target| target.is_stderr() && target.takes_level(level);
            if !self.targets.iter().any(reads) {
                tell(&event.message());
            }
        }
        any
    }

    /// Does the chores if they are due.
    fn chore(&mut self) {
        if Instant::now() >= self.chores {
            self.look_after();
        }
    }

    /// Whatever was dropped is said within a second.
    fn hurry(&mut self, now: Instant) {
        if self.queue.has_dropped() || self.targets.iter().any(Target::has_dropped) {
            self.chores = self.chores.min(now + SECOND);
        }
    }

    /// Once a second while there is anything to say, else now and then: dropped lines, the time zone.
    fn look_after(&mut self) {
        self.queue.set_offset(offset());
        self.stamp.set_offset(self.queue.offset());
        let mut unsaid = false;
        let dropped = self.queue.take_dropped();
        if dropped.total() > 0 {
            for target in &mut self.targets {
                target.stats.lose(match target.format() {
                    _ if !target.takes_level(Level::Info) => dropped.events,
                    LogFormat::Httplog => dropped.httplog + dropped.events,
                    LogFormat::Json => dropped.json + dropped.events,
                });
            }
            let (lines, target) = (dropped.total(), "the log writer".to_owned());
            self.event(&Event::LinesDropped { lines, target }, None);
        }
        for index in 0..self.targets.len() {
            let target = self.targets[index].name.clone();
            if self.targets[index].has_dropped() {
                let lines = self.targets[index].take_dropped();
                self.event(&Event::LinesDropped { lines, target }, Some(index));
            }
            unsaid |= !self.targets[index].confess(wall_ms(), &mut self.stamp, &mut self.text);
        }
        self.chores = Instant::now() + if unsaid { SECOND } else { NOW_AND_THEN };
    }

    fn is_done(&self) -> bool {
        let Some((deadline, _)) = &self.ending else {
            return false;
        };
        let now = Instant::now();
        let nothing_left =
            || self.queue.is_empty() && self.targets.iter().all(|target| target.is_done(now));
        now >= *deadline || nothing_left()
    }

    /// What targets did not take in time is lost; standard error is told.
    fn count_what_is_left(&mut self) {
        while let Some(block) = self.queue.take() {
            self.block(&block);
        }
        self.flush();
        for target in &mut self.targets {
            let lines = target.left() + target.take_dropped();
            if lines > 0 {
                let name = &target.name;
                tell(&format!(
                    "log target {name} lost {lines} lines at the end: it did not take them"
                ));
            }
        }
    }

    /// Until something comes, a slow target takes more, or a chore is due.
    fn sleep(&self) {
        if !self.is_held_back() && !self.queue.may_sleep() {
            return;
        }
        let now = Instant::now();
        let mut until = self.chores;
        for retry in self.targets.iter().filter_map(Target::retry_at) {
            until = until.min(retry);
        }
        if let Some((deadline, _)) = &self.ending {
            until = until.min(*deadline);
        }
        if self.patient {
            for stall in self
                .targets
                .iter()
                .filter_map(Target::slow_until)
                .filter(|until| *until > now)
            {
                until = until.min(stall);
            }
        }
        let mut waits = vec![PollFd::new(&self.alarm, PollFlags::IN)];
        waits.extend(
            self.targets
                .iter()
                .filter_map(Target::waits_for)
                .map(|blocked| PollFd::from_borrowed_fd(blocked, PollFlags::OUT)),
        );
        let timeout = Timespec::try_from(until.saturating_duration_since(now)).ok();
        let _ = poll(&mut waits, timeout.as_ref());
        if !waits[0].revents().is_empty() {
            let _ = rustix::io::read(&self.alarm, &mut [0; 8]);
        }
        self.queue.awake();
    }
}

/// The targets of a configuration, opened.
fn targets(config: &Config, mut files: Vec<(usize, File)>) -> Result<Vec<Target>, String> {
    let targets = config.logs.iter().enumerate().map(|(index, settings)| {
        let place = files.iter().rposition(|(of, _)| *of == index);
        let file = place.map(|place| files.swap_remove(place).1);
        Target::open(settings, identity(), file).map_err(|error| {
            let name = target::name(&settings.target);
            format!("cannot log to {name}: {error}")
        })
    });
    targets.collect()
}

fn publishable(targets: &[Target]) -> Arc<Vec<(String, Arc<stats::Stats>)>> {
    let targets = targets.iter();
    let published = targets.map(|target| (target.name.clone(), Arc::clone(&target.stats)));
    Arc::new(published.collect())
}

fn wanted(targets: &[Target]) -> Wanted {
    let access = |format: LogFormat| {
        targets
            .iter()
            .any(|target| target.takes_level(Level::Info) && target.format() == format)
    };
    Wanted {
        httplog: access(LogFormat::Httplog),
        json: access(LogFormat::Json),
        empty: targets
            .iter()
            .any(|target| target.takes_level(Level::Info) && !target.skips_empty()),
    }
}

/// This machine's name, as syslog messages carry it.
fn identity() -> &'static str {
    static HOST: OnceLock<String> = OnceLock::new();
    HOST.get_or_init(|| {
        let name = rustix::system::uname()
            .nodename()
            .to_string_lossy()
            .into_owned();
        let name: String = name.chars().filter(char::is_ascii_graphic).collect();
        if name.is_empty() {
            "localhost".to_owned()
        } else {
            name
        }
    })
}

/// Seconds east of Greenwich, now.
fn offset() -> i32 {
    zone().to_offset(jiff::Timestamp::now()).seconds()
}

/// The zone of the log's times: TZ, then the system's zone, then UTC. Read when it is first asked for, which
/// must be before the sandbox closes; its changes between summer and winter are part of it.
pub(super) fn zone() -> &'static jiff::tz::TimeZone {
    static ZONE: OnceLock<jiff::tz::TimeZone> = OnceLock::new();
    ZONE.get_or_init(jiff::tz::TimeZone::system)
}

/// Wakes the writer. An eventfd's counter cannot be full here, and if it were, it would wake as well.
fn sound(alarm: &OwnedFd) {
    let _ = rustix::io::write(alarm.as_fd(), &1_u64.to_ne_bytes());
}

/// Writes a line to standard error, unless that would have to wait: it may be a pipe that nobody reads.
fn tell(text: &str) {
    let line = format!("ringbolt: {text}\n");
    if let Ok(mut stderr) = Sink::open(&LogTarget::Stderr, None) {
        stderr.send(line.as_bytes());
    }
}

/// Blocks between two looks at orders and events.
const BATCH: usize = 16;
/// How often dropped lines are said.
const SECOND: Duration = Duration::from_secs(1);
/// How often the time zone is looked at.
const NOW_AND_THEN: Duration = Duration::from_secs(60);
/// How long writing what is left may take at the end. A target that takes nothing for 2 s of it is given up.
pub const FINISH: Duration = Duration::from_secs(10);
