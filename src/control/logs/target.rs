//! One destination of lines: what it takes, what waits for it, what it lost.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::sink::{Sent, Sink};
use super::stats::Stats;
use crate::config::{Level, Log, LogFormat, LogTarget, SyslogForm};
use crate::record::syslog::{Header, MESSAGE_MAX};
use crate::record::{Event, Line, Stamp};

/// A target with its sink and its waiting bytes.
#[derive(Debug)]
pub(super) struct Target {
    /// As the configuration names it.
    pub(super) name: String,
    settings: Log,
    /// Syslog only: each line is a message of its own.
    header: Option<Header>,
    sink: Sink,
    waiting: Waiting,
    state: State,
    /// When its sink last took something, or somebody began to wait for that.
    progress: Instant,
    /// Lines lost since the other targets were told.
    dropped: u64,
    /// Lines lost since this target was told.
    unconfessed: u64,
    failure: Option<Failure>,
    /// A failure that was told of is over, after so long.
    restored: Option<Duration>,
    pub(super) stats: Arc<Stats>,
}

/// Since a target takes nothing, or loses what it takes; until all that waits is written.
#[derive(Debug)]
struct Failure {
    since: Instant,
    why: String,
    /// The file has no name any more: a reopening ends that.
    deleted: bool,
    told: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ready,
    /// Wait until the descriptor takes more.
    Full,
    /// It failed: try again then.
    Failed(Instant),
}

impl Target {
    /// Opens a target; `file` is for one that is a file. `host` is this machine's name.
    pub(super) fn open(settings: &Log, host: &str, file: Option<File>) -> io::Result<Self> {
        Ok(Self {
            name: name(&settings.target),
            header: header(settings, host),
            settings: settings.clone(),
            sink: Sink::open(&settings.target, file)?,
            waiting: Waiting::default(),
            state: State::Ready,
            progress: Instant::now(),
            dropped: 0,
            unconfessed: 0,
            failure: None,
            restored: None,
            stats: Arc::default(),
        })
    }

    /// Takes over what waits in a target that this one replaces.
    pub(super) fn inherit(&mut self, before: &mut Self) {
        self.waiting = std::mem::take(&mut before.waiting);
        self.dropped = std::mem::take(&mut before.dropped);
        self.unconfessed = std::mem::take(&mut before.unconfessed);
        self.failure = before.failure.take();
        self.stats = Arc::clone(&before.stats);
        self.names_again();
    }

    /// Goes on in another file.
    pub(super) fn reopen(&mut self, file: File) {
        if let Ok(sink) = Sink::open(&self.settings.target, Some(file)) {
            self.sink = sink;
            self.state = State::Ready;
            self.names_again();
        }
    }

    /// There is a file of its name again.
    fn names_again(&mut self) {
        if self.failure.as_ref().is_some_and(|failure| failure.deleted) {
            self.works(Instant::now());
        }
    }

    fn fails(&mut self, now: Instant, why: String, deleted: bool) {
        if self.failure.is_none() {
            self.stats.set_failure(Some(why.clone()));
            self.failure = Some(Failure {
                since: now,
                why,
                deleted,
                told: false,
            });
        }
    }

    fn works(&mut self, now: Instant) {
        if let Some(failure) = self.failure.take() {
            self.stats.set_failure(None);
            self.restored = failure.told.then(|| now - failure.since);
        }
    }

    /// Notices that its file was deleted: what is written to it is lost from then on.
    pub(super) fn look_for_file(&mut self, now: Instant) {
        if self.failure.is_none() && self.sink.is_deleted() {
            let why = "the file was deleted, its lines are lost until SIGUSR1 opens it again";
            self.fails(now, why.to_owned(), true);
        }
    }

    /// That it fails or works again, once each; and whether it is told of it itself: when it lost lines.
    pub(super) fn take_news(&mut self) -> Option<(Event, bool)> {
        let target = self.name.clone();
        if let Some(after) = self.restored.take() {
            let lines = std::mem::take(&mut self.dropped);
            self.unconfessed = 0;
            let event = Event::LogTargetRestored {
                target,
                after,
                lines,
            };
            return Some((event, lines > 0));
        }
        let failure = self.failure.as_mut().filter(|failure| !failure.told)?;
        failure.told = true;
        let why = failure.why.clone();
        Some((Event::LogTargetFailed { target, why }, false))
    }

    /// Whether it is standard error.
    pub(super) fn is_stderr(&self) -> bool {
        matches!(self.settings.target, LogTarget::Stderr)
    }

    /// Counts lines that it did not get.
    pub(super) fn lose(&mut self, lines: u64) {
        self.dropped += lines;
        self.unconfessed += lines;
        self.stats.lose(lines);
    }

    pub(super) fn format(&self) -> LogFormat {
        self.settings.format
    }

    pub(super) fn skips_empty(&self) -> bool {
        self.settings.skip_empty
    }

    pub(super) fn takes_level(&self, level: Level) -> bool {
        level <= self.settings.level
    }

    /// Whether a line of such a block is for this target.
    pub(super) fn takes(&self, format: LogFormat, line: &Line<'_>) -> bool {
        self.settings.format == format
            && self.takes_level(line.level)
            && !(line.empty && self.settings.skip_empty)
    }

    /// Adds a line to what waits, or counts it as dropped.
    pub(super) fn line(&mut self, level: Level, ms: u64, text: &[u8], stamp: &mut Stamp) {
        let deleted = self.failure.as_ref().is_some_and(|failure| failure.deleted);
        if !self.offer(level, ms, text, stamp) || deleted {
            self.lose(1);
        }
    }

    /// Adds an event's line. `text` is scratch.
    pub(super) fn event(&mut self, event: &Event, ms: u64, stamp: &mut Stamp, text: &mut Vec<u8>) {
        self.write(event, ms, stamp, text);
        self.line(event.level(), ms, text, stamp);
    }

    /// Says in this target how many lines it lost, if it has room again; false as long as it has not.
    pub(super) fn confess(&mut self, ms: u64, stamp: &mut Stamp, text: &mut Vec<u8>) -> bool {
        let event = Event::LinesDropped {
            lines: self.unconfessed,
            target: self.name.clone(),
        };
        let fails = self.failure.is_some();
        if self.unconfessed == 0 || fails || !self.takes_level(event.level()) {
            return true;
        }
        self.write(&event, ms, stamp, text);
        let said = self.offer(event.level(), ms, text, stamp);
        if said {
            self.unconfessed = 0;
        }
        said
    }

    /// Lines lost since this was last asked.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Whether lines were lost because it is slow; those of a failure are told of when it is over.
    pub(super) fn has_dropped(&self) -> bool {
        self.dropped > 0 && self.failure.is_none()
    }

    /// Sends what waits, as far as the sink takes it without blocking.
    pub(super) fn flush(&mut self, now: Instant) {
        if matches!(self.state, State::Failed(until) if now < until) {
            return;
        }
        self.state = State::Ready;
        while let Some(next) = self.waiting.next() {
            match self.sink.send(next) {
                Sent::Bytes(count) => {
                    self.waiting.sent(count);
                    self.progress = now;
                }
                Sent::Refused => {
                    let length = next.len();
                    self.waiting.sent(length);
                    self.lose(1);
                }
                Sent::Full => {
                    self.state = State::Full;
                    return;
                }
                Sent::Failed(error) => {
                    self.state = State::Failed(now + RETRY);
                    return self.fails(now, io::Error::from(error).to_string(), false);
                }
            }
        }
        if self
            .failure
            .as_ref()
            .is_some_and(|failure| !failure.deleted)
        {
            self.works(now);
        }
    }

    /// Forgets a failure, so that the next flush tries again.
    pub(super) fn retry(&mut self) {
        self.state = State::Ready;
    }

    /// From now on it has [`STALL`] to take something.
    pub(super) fn expect(&mut self, now: Instant) {
        self.progress = now;
    }

    /// Until when it is waited for, if it is slow: [`STALL`] after it last took something.
    pub(super) fn slow_until(&self) -> Option<Instant> {
        (self.state == State::Full).then(|| self.progress + STALL)
    }

    /// Whether it is slow, may take more soon, and has no room for another block's lines.
    pub(super) fn holds_back(&self, now: Instant) -> bool {
        let crowded = self.waiting.len() + ROOM > WAITING_MAX;
        crowded && self.slow_until().is_some_and(|until| now < until)
    }

    /// Nothing waits, or nothing can be done for what waits.
    pub(super) fn is_done(&self, now: Instant) -> bool {
        let stalls = self.slow_until().is_some_and(|until| now >= until);
        self.waiting.next().is_none() || stalls || matches!(self.state, State::Failed(_))
    }

    /// Lines that wait.
    pub(super) fn left(&self) -> u64 {
        self.waiting.lines()
    }

    /// The descriptor whose readiness is waited for.
    pub(super) fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        match self.state {
            State::Full => self.sink.descriptor(),
            State::Ready | State::Failed(_) => None,
        }
    }

    /// When to try again after a failure.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        match self.state {
            State::Failed(until) if self.waiting.next().is_some() => Some(until),
            _ => None,
        }
    }

    fn write(&self, event: &Event, ms: u64, stamp: &mut Stamp, text: &mut Vec<u8>) {
        text.clear();
        match (self.settings.format, &self.header) {
            (LogFormat::Json, _) => event.json(ms, stamp, text),
            (LogFormat::Httplog, Some(_)) => text.extend_from_slice(event.message().as_bytes()),
            (LogFormat::Httplog, None) => event.text(ms, stamp, text),
        }
    }

    fn offer(&mut self, level: Level, ms: u64, text: &[u8], stamp: &mut Stamp) -> bool {
        if self.waiting.len() + text.len() > WAITING_MAX {
            return false;
        }
        match &self.header {
            Some(header) => self.waiting.message(|out| {
                let start = out.len();
                header.write(level, ms, stamp, out);
                out.extend_from_slice(text);
                out.truncate(start + MESSAGE_MAX);
            }),
            None => self.waiting.line(text),
        }
        true
    }
}

/// Bytes on their way: a stream of lines, or messages one by one.
#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    /// So much of them is sent.
    sent: usize,
    /// Lengths of what is left, for messages.
    messages: VecDeque<usize>,
}

impl Waiting {
    fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    fn line(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.bytes.push(b'\n');
    }

    fn message(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        write(&mut self.bytes);
        self.messages.push_back(self.bytes.len() - start);
    }

    /// How many lines are not sent, or not wholly.
    fn lines(&self) -> u64 {
        match self.messages.len() {
            0 => memchr::memchr_iter(b'\n', &self.bytes[self.sent..]).count() as u64,
            messages => messages as u64,
        }
    }

    /// What to send next: a message, or all lines.
    fn next(&self) -> Option<&[u8]> {
        let rest = &self.bytes[self.sent..];
        match self.messages.front() {
            Some(len) => Some(&rest[..*len]),
            None => Some(rest).filter(|rest| !rest.is_empty()),
        }
    }

    fn sent(&mut self, count: usize) {
        self.sent += count;
        if count > 0 {
            self.messages.pop_front();
        }
        if self.sent == self.bytes.len() {
            self.bytes.clear();
            self.bytes.shrink_to(WAITING_KEPT);
            self.sent = 0;
        } else if self.sent > WAITING_MAX {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
    }
}

/// A target as the configuration writes it.
pub(super) fn name(target: &LogTarget) -> String {
    match target {
        LogTarget::Stdout => "stdout".to_owned(),
        LogTarget::Stderr => "stderr".to_owned(),
        LogTarget::File(path) => format!("file:{}", path.display()),
        LogTarget::SyslogUdp(to) => format!("syslog://{to}"),
        LogTarget::SyslogUnix(path) => format!("syslog:{}", path.display()),
    }
}

fn header(settings: &Log, host: &str) -> Option<Header> {
    let local = match settings.target {
        LogTarget::SyslogUdp(_) => false,
        LogTarget::SyslogUnix(_) => true,
        LogTarget::Stdout | LogTarget::Stderr | LogTarget::File(_) => return None,
    };
    // Daemons expect no host in old messages on their own machine's socket: they would take it for the tag.
    let nameless = local && settings.syslog == SyslogForm::Rfc3164;
    Some(Header {
        form: settings.syslog,
        facility: settings.facility,
        host: (!nameless).then(|| host.to_owned()),
        tag: settings.tag.clone(),
        pid: std::process::id(),
    })
}

/// Bytes that may wait for one target: some five thousand lines.
pub(super) const WAITING_MAX: usize = 1024 * 1024;
/// More than the lines of a block take, headers of syslog included.
const ROOM: usize = WAITING_MAX / 4;
/// How long a target that takes nothing is waited for at the end.
pub(super) const STALL: Duration = Duration::from_secs(2);
/// What a target can hold: as much waiting, as much already sent in front of it, and storage that doubles.
pub const TARGET: usize = 4 * WAITING_MAX;
/// Room that is kept when nothing waits.
const WAITING_KEPT: usize = 64 * 1024;
/// How long a target that failed is left alone.
const RETRY: Duration = Duration::from_millis(500);
