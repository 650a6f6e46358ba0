//! How lines cross from the workers to the writer: whole blocks, both ways, without locks.
//!
//! ```text
//!  worker's Log ──full blocks──► Queue ──► writer ──► targets
//!        ◄──────────empty blocks──────────────┘
//! ```
//!
//! Memory is bounded: `BLOCKS` blocks in the queue, `SPARE` empty ones, one per worker and format
//! being filled, and one in the writer's hands. The writer sleeps until it is woken; a worker wakes
//! it only when it does sleep, so that a busy writer costs no system call.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, AtomicU64, Ordering, fence};

use crossbeam_queue::ArrayQueue;

use super::event::{Event, Events};
use super::log::Log;
use super::syslog;
use crate::config::{Level, LogFormat};

/// The one meeting point of all workers, all other threads and the writer.
pub struct Queue {
    full: ArrayQueue<Block>,
    empty: ArrayQueue<Vec<u8>>,
    events: ArrayQueue<Event>,
    /// Lines that no room was left for: httplog, JSON, events.
    dropped: [AtomicU64; 3],
    wanted: AtomicU8,
    /// Seconds east of Greenwich, for dates.
    offset: AtomicI32,
    /// The writer is asleep, or about to be.
    waiting: AtomicBool,
    wake: Box<dyn Fn() + Send + Sync>,
}

/// Which lines some target takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Wanted {
    /// Access lines as httplog.
    pub httplog: bool,
    /// Access lines as JSON.
    pub json: bool,
    /// Also of connections without a byte from the client.
    pub empty: bool,
}

/// Lines and events that the queue had no room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Access lines as httplog.
    pub httplog: u64,
    /// Access lines as JSON.
    pub json: u64,
    /// Events.
    pub events: u64,
}

impl Dropped {
    /// All of them.
    pub fn total(self) -> u64 {
        self.httplog + self.json + self.events
    }
}

/// Lines of one format, framed.
#[derive(Debug)]
pub struct Block {
    format: LogFormat,
    lines: u32,
    bytes: Vec<u8>,
}

/// One line of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// When it was written, milliseconds since the Unix epoch.
    pub ms: u64,
    /// How urgent.
    pub level: Level,
    /// Of a connection without a byte from the client: for targets without `skip_empty` only.
    pub empty: bool,
    /// The text, without a line's end.
    pub text: &'a [u8],
}

impl Queue {
    /// A queue that calls `wake` to wake its writer. `wake` is called from any thread and must not block.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            full: ArrayQueue::new(BLOCKS),
            empty: ArrayQueue::new(SPARE),
            events: ArrayQueue::new(EVENTS),
            dropped: Default::default(),
            wanted: AtomicU8::new(0),
            offset: AtomicI32::new(0),
            waiting: AtomicBool::new(false),
            wake: Box::new(wake),
        })
    }

    /// A worker's end.
    pub fn log(self: &Arc<Self>) -> Log {
        Log::new(self.clone())
    }

    /// Everybody's end for events.
    pub fn events(self: &Arc<Self>) -> Events {
        Events::new(self.clone())
    }

    /// Which access lines workers shall write; from the next line on.
    pub fn set_wanted(&self, wanted: Wanted) {
        let bits = [
            (wanted.httplog, HTTPLOG),
            (wanted.json, JSON),
            (wanted.empty, EMPTY),
        ];
        let bits = bits
            .iter()
            .filter(|(on, _)| *on)
            .fold(0, |all, (_, bit)| all | bit);
        self.wanted.store(bits, Ordering::Relaxed);
    }

    /// What was last set.
    pub fn wanted(&self) -> Wanted {
        let bits = self.wanted.load(Ordering::Relaxed);
        Wanted {
            httplog: bits & HTTPLOG != 0,
            json: bits & JSON != 0,
            empty: bits & EMPTY != 0,
        }
    }

    /// Seconds east of Greenwich from now on.
    pub fn set_offset(&self, seconds: i32) {
        self.offset.store(seconds, Ordering::Relaxed);
    }

    /// What was last set.
    pub fn offset(&self) -> i32 {
        self.offset.load(Ordering::Relaxed)
    }

    /// The writer's: the next block, if one waits.
    pub fn take(&self) -> Option<Block> {
        self.full.pop()
    }

    /// The writer's: the next event, if one waits.
    pub fn take_event(&self) -> Option<Event> {
        self.events.pop()
    }

    /// The writer's: lines and events dropped since this was last asked.
    pub fn take_dropped(&self) -> Dropped {
        let [httplog, json, events] = self
            .dropped
            .each_ref()
            .map(|dropped| dropped.swap(0, Ordering::Relaxed));
        Dropped {
            httplog,
            json,
            events,
        }
    }

    /// Whether [`Queue::take_dropped`] would give more than 0.
    pub fn has_dropped(&self) -> bool {
        let mut dropped = self.dropped.iter();
        dropped.any(|dropped| dropped.load(Ordering::Relaxed) > 0)
    }

    /// Neither block nor event waits.
    pub fn is_empty(&self) -> bool {
        self.full.is_empty() && self.events.is_empty()
    }

    /// The writer's: a block that was read goes back.
    pub fn recycle(&self, block: Block) {
        let mut bytes = block.bytes;
        bytes.clear();
        bytes.shrink_to(BLOCK_CAPACITY);
        let _ = self.empty.push(bytes);
    }

    /// The writer's, before it sleeps: false if something has come meanwhile, and it must look again.
    pub fn may_sleep(&self) -> bool {
        self.waiting.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        let nothing = self.is_empty();
        if !nothing {
            self.waiting.store(false, Ordering::Relaxed);
        }
        nothing
    }

    /// The writer's, after it slept.
    pub fn awake(&self) {
        self.waiting.store(false, Ordering::Relaxed);
    }

    /// Wakes the writer if it sleeps: something was left where it will look.
    pub fn nudge(&self) {
        fence(Ordering::SeqCst);
        if self.waiting.load(Ordering::Relaxed) && self.waiting.swap(false, Ordering::Relaxed) {
            (self.wake)();
        }
    }

    /// Hands a block over and replaces it with an empty one. Without room it is put behind those that are `held`, if lines are;
    /// else its lines are dropped and counted.
    pub(super) fn put(&self, block: &mut Block, held: Option<&mut VecDeque<Block>>) {
        if block.lines == 0 {
            return;
        }
        // Behind blocks that wait already, or lines would change places.
        let waits = held.as_ref().is_some_and(|held| !held.is_empty());
        if held.is_none() && self.full.is_full() {
            return self.lose(block);
        }
        let next = Block {
            format: block.format,
            lines: 0,
            bytes: self
                .empty
                .pop()
                .unwrap_or_else(|| Vec::with_capacity(BLOCK_CAPACITY)),
        };
        let full = std::mem::replace(block, next);
        let refused = match waits {
            true => Err(full),
            false => self.full.push(full),
        };
        match (refused, held) {
            (Ok(()), _) => self.nudge(),
            (Err(refused), Some(held)) => held.push_back(refused),
            // Another worker took the last place in between.
            (Err(mut refused), None) => {
                self.lose(&mut refused);
                self.recycle(refused);
            }
        }
    }

    /// Hands over held blocks, as many as there is room for. True when none is left.
    pub(super) fn put_held(&self, held: &mut VecDeque<Block>) -> bool {
        while let Some(block) = held.pop_front() {
            if let Err(refused) = self.full.push(block) {
                held.push_front(refused);
                return false;
            }
            self.nudge();
        }
        true
    }

    pub(super) fn put_event(&self, event: Event) {
        if self.events.push(event).is_err() {
            self.dropped[2].fetch_add(1, Ordering::Relaxed);
        }
        self.nudge();
    }

    fn lose(&self, block: &mut Block) {
        let kind = match block.format {
            LogFormat::Httplog => 0,
            LogFormat::Json => 1,
        };
        self.dropped[kind].fetch_add(u64::from(block.lines), Ordering::Relaxed);
        block.lines = 0;
        block.bytes.clear();
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("full", &self.full.len())
            .field("empty", &self.empty.len())
            .field("events", &self.events.len())
            .finish_non_exhaustive()
    }
}

impl Block {
    pub(super) fn new(format: LogFormat) -> Self {
        Self {
            format,
            lines: 0,
            bytes: Vec::with_capacity(BLOCK_CAPACITY),
        }
    }

    /// The format of all its lines.
    pub fn format(&self) -> LogFormat {
        self.format
    }

    /// Its lines in order.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (frame, after) = rest.split_first_chunk::<FRAME>()?;
            let (text, after) = after.split_at_checked(Line::length(frame))?;
            rest = after;
            Some(Line::unframed(frame, text))
        })
    }

    /// Adds a line whose text `write` appends; true when the block is now full.
    pub(super) fn add(
        &mut self,
        ms: u64,
        level: Level,
        empty: bool,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> bool {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; FRAME]);
        write(&mut self.bytes);
        let len =
            u32::try_from(self.bytes.len() - start - FRAME).expect("a line's fields are bounded");
        let frame = Line::frame(len, ms, level, empty);
        self.bytes[start..start + FRAME].copy_from_slice(&frame);
        self.lines += 1;
        self.bytes.len() >= BLOCK_FULL
    }
}

/// Bytes before each line: length (4), milliseconds (8), level (1), whether empty (1).
const FRAME: usize = 14;

impl Line<'_> {
    fn frame(len: u32, ms: u64, level: Level, empty: bool) -> [u8; FRAME] {
        let mut frame = [0; FRAME];
        frame[..4].copy_from_slice(&len.to_le_bytes());
        frame[4..12].copy_from_slice(&ms.to_le_bytes());
        frame[12] = level as u8;
        frame[13] = u8::from(empty);
        frame
    }

    fn length(frame: &[u8; FRAME]) -> usize {
        u32::from_le_bytes([frame[0], frame[1], frame[2], frame[3]]) as usize
    }

    fn unframed<'a>(frame: &[u8; FRAME], text: &'a [u8]) -> Line<'a> {
        let mut ms = [0; 8];
        ms.copy_from_slice(&frame[4..12]);
        Line {
            ms: u64::from_le_bytes(ms),
            level: syslog::level(frame[12]),
            empty: frame[13] != 0,
            text,
        }
    }
}

/// Blocks that there can be at once: waiting, empty, being filled by each worker in both formats, being written.
pub const fn most_blocks(workers: usize) -> usize {
    BLOCKS + SPARE + 2 * workers + 1
}

/// Bytes that a block takes. (Only a line of more than 8 KiB, which needs large captures, makes one grow.)
pub const BLOCK: usize = BLOCK_CAPACITY;

/// Blocks that may wait for the writer; 128 × 32 KiB are 4 MiB, some twenty thousand lines.
const BLOCKS: usize = 128;
/// Empty blocks that are kept; a burst's further ones are freed.
const SPARE: usize = 16;
/// Events that may wait for the writer.
const EVENTS: usize = 1024;
/// A block with so many bytes is handed over.
const BLOCK_FULL: usize = 32 * 1024;
/// Room for the line that fills a block, so that the block does not grow.
const BLOCK_CAPACITY: usize = BLOCK_FULL + 8 * 1024;

const HTTPLOG: u8 = 1;
const JSON: u8 = 2;
const EMPTY: u8 = 4;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::super::facts::{Kind, Record};
    use super::*;

    fn queue() -> (Arc<Queue>, Arc<AtomicUsize>) {
        let woken = Arc::new(AtomicUsize::new(0));
        let count = woken.clone();
        let queue = Queue::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        (queue, woken)
    }

    fn wanted(httplog: bool, json: bool, empty: bool) -> Wanted {
        Wanted {
            httplog,
            json,
            empty,
        }
    }

    fn record(kind: Kind, ms: u64) -> Record<'static> {
        Record {
            method: b"GET",
            target: b"/",
            ..Record::empty(kind, ms, ms, "in")
        }
    }

    /// Of each waiting block the format and its lines' times, and whether they are of empty connections.
    fn taken(queue: &Queue) -> Vec<(LogFormat, Vec<(u64, bool)>)> {
        let blocks = std::iter::from_fn(|| queue.take());
        blocks
            .map(|block| {
                let lines = block.lines();
                let lines = lines.map(|line| (line.ms, line.empty));
                let taken = (block.format(), lines.collect());
                queue.recycle(block);
                taken
            })
            .collect()
    }

    #[test]
    fn nobody_wants_lines() {
        let (queue, _) = queue();
        let mut log = queue.log();
        assert!(!log.wants_access());
        log.access(&record(Kind::Exchange, 1));
        log.flush();
        assert!(queue.is_empty());
    }

    #[test]
    fn each_format_once_and_empty_ones_only_where_wanted() {
        let (queue, _) = queue();
        queue.set_wanted(wanted(true, true, false));
        let mut log = queue.log();
        assert!(log.wants_access());
        log.access(&record(Kind::Exchange, 1));
        log.access(&record(Kind::Empty, 2));
        log.flush();
        queue.set_wanted(wanted(true, false, true));
        log.access(&record(Kind::Empty, 3));
        log.flush();
        let taken = taken(&queue);
        let formats: Vec<_> = taken.iter().map(|(format, _)| *format).collect();
        assert_eq!(
            formats,
            [LogFormat::Httplog, LogFormat::Json, LogFormat::Httplog]
        );
        let lines: Vec<_> = taken.into_iter().map(|(_, lines)| lines).collect();
        assert_eq!(lines, [[(1, false)], [(1, false)], [(3, true)]]);
    }

    #[test]
    fn what_has_no_room_is_dropped_and_counted() {
        let (queue, _) = queue();
        queue.set_wanted(wanted(true, false, false));
        let mut log = queue.log();
        for ms in 0..BLOCKS as u64 + 3 {
            log.access(&record(Kind::Exchange, ms));
            log.access(&record(Kind::Exchange, ms));
            log.flush();
        }
        assert!(queue.has_dropped());
        assert_eq!(
            queue.take_dropped(),
            Dropped {
                httplog: 6,
                ..Dropped::default()
            }
        );
        assert_eq!(queue.take_dropped().total(), 0);
        let taken = taken(&queue);
        assert_eq!(taken.len(), BLOCKS);
        let first: Vec<u64> = taken.iter().map(|(_, lines)| lines[0].0).collect();
        assert_eq!(
            first,
            (0..BLOCKS as u64).collect::<Vec<_>>(),
            "the oldest are kept, in order"
        );
        log.access(&record(Kind::Exchange, 9));
        log.flush();
        assert!(!queue.is_empty(), "room again");
    }

    #[test]
    fn held_lines_wait_for_room_and_keep_their_order() {
        let (queue, _) = queue();
        queue.set_wanted(wanted(true, false, false));
        let mut log = queue.log();
        let mut written = 0;
        let mut line = |log: &mut Log| {
            log.access(&record(Kind::Exchange, written));
            written += 1;
        };
        log.hold();
        for _ in 0..BLOCKS {
            line(&mut log);
            assert!(log.flush());
        }
        for _ in 0..3 {
            line(&mut log);
            assert!(!log.flush(), "there is no room");
        }
        let mut seen = 0;
        let mut take = || {
            let block = queue.take().unwrap();
            for line in block.lines() {
                assert_eq!(line.ms, seen);
                seen += 1;
            }
        };
        take();
        line(&mut log);
        assert!(!log.flush());
        (0..BLOCKS).for_each(|_| take());
        assert!(log.flush());
        while !queue.is_empty() {
            take();
        }
        assert_eq!((seen, queue.take_dropped().total()), (written, 0));
    }

    #[test]
    fn full_blocks_leave_by_themselves_and_come_back() {
        let (queue, _) = queue();
        queue.set_wanted(wanted(false, true, false));
        let mut log = queue.log();
        let mut seen = 0;
        for ms in 0..2000 {
            log.access(&record(Kind::Exchange, ms));
            for (format, lines) in taken(&queue) {
                assert_eq!(format, LogFormat::Json);
                assert_eq!(lines[0].0, seen);
                seen += lines.len() as u64;
            }
        }
        assert!(seen > 1000);
        assert_eq!(
            queue.empty.len(),
            1,
            "one block is filled while the other goes round"
        );
        drop(log);
        let rest: usize = taken(&queue).iter().map(|(_, lines)| lines.len()).sum();
        assert_eq!(
            seen + rest as u64,
            2000,
            "an ending worker leaves its last lines"
        );
    }

    #[test]
    fn only_a_sleeping_writer_is_woken_and_only_once() {
        let (queue, woken) = queue();
        queue.set_wanted(wanted(true, false, false));
        let mut log = queue.log();
        let mut line = || {
            log.access(&record(Kind::Exchange, 1));
            log.flush();
        };
        line();
        assert_eq!(woken.load(Ordering::Relaxed), 0, "it is not asleep");
        assert!(!queue.may_sleep(), "something waits");
        queue.recycle(queue.take().unwrap());
        assert!(queue.may_sleep());
        line();
        line();
        assert_eq!(woken.load(Ordering::Relaxed), 1);
        queue.awake();
        queue.events().say(Level::Notice, "x");
        assert_eq!(woken.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn events_beyond_the_bound_are_counted_as_lines() {
        let (queue, _) = queue();
        let events = queue.events();
        for _ in 0..EVENTS + 2 {
            events.say(Level::Notice, "x");
        }
        assert_eq!(queue.take_dropped().events, 2);
        assert_eq!(std::iter::from_fn(|| queue.take_event()).count(), EVENTS);
    }
}
