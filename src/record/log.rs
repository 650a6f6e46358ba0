//! A worker's end of the log: records in, blocks of lines out.

use std::collections::VecDeque;
use std::sync::Arc;

use super::facts::{Kind, Record};
use super::httplog::httplog;
use super::json::json;
use super::queue::{Block, Queue};
use super::stamp::Stamp;
use crate::config::{Level, LogFormat};

/// One per worker, never shared. The worker calls [`Log::flush`] from its tick (every 100 ms or so).
#[derive(Debug)]
pub struct Log {
    queue: Arc<Queue>,
    httplog: Option<Block>,
    json: Option<Block>,
    stamp: Stamp,
    /// Full blocks that the queue has no room for, once lines are held; `None` before.
    held: Option<VecDeque<Block>>,
}

impl Log {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        let stamp = Stamp::new(queue.offset());
        Self {
            queue,
            httplog: None,
            json: None,
            stamp,
            held: None,
        }
    }

    /// From now on, lines that the queue has no room for are kept here for [`Log::flush`] instead of being dropped. For the end
    /// of the process: then each connection writes one more line, and that is their bound.
    pub fn hold(&mut self) {
        self.held.get_or_insert_default();
    }

    /// Whether some target takes access lines: if not, no record need be built.
    pub fn wants_access(&self) -> bool {
        let wanted = self.queue.wanted();
        wanted.httplog || wanted.json
    }

    /// Writes a record's line in every format that some target takes; none if none does.
    pub fn access(&mut self, record: &Record<'_>) {
        let empty = record.kind == Kind::Empty;
        let wanted = self.queue.wanted();
        if empty && !wanted.empty {
            return;
        }
        let Self {
            queue,
            httplog: http_block,
            json: json_block,
            stamp,
            held,
        } = self;
        if wanted.httplog {
            let block = http_block.get_or_insert_with(|| Block::new(LogFormat::Httplog));
            if block.add(record.now_ms, Level::Info, empty, |out| {
                httplog(record, stamp, out)
            }) {
                queue.put(block, held.as_mut());
            }
        }
        if wanted.json {
            let block = json_block.get_or_insert_with(|| Block::new(LogFormat::Json));
            if block.add(record.now_ms, Level::Info, empty, |out| {
                json(record, stamp, out)
            }) {
                queue.put(block, held.as_mut());
            }
        }
    }

    /// Hands over what was written since the last time. True when all of it is with the writer: always, unless lines are
    /// [held](Log::hold).
    pub fn flush(&mut self) -> bool {
        let Self {
            queue,
            httplog,
            json,
            stamp,
            held,
        } = self;
        let through = held.as_mut().is_none_or(|held| queue.put_held(held));
        for block in [httplog, json].into_iter().flatten() {
            queue.put(block, held.as_mut());
        }
        stamp.set_offset(queue.offset());
        through && held.as_ref().is_none_or(VecDeque::is_empty)
    }

    /// For events, from this worker as from anywhere.
    pub fn events(&self) -> super::event::Events {
        self.queue.events()
    }
}

impl Drop for Log {
    /// The last lines of an ending worker are not lost.
    fn drop(&mut self) {
        self.flush();
    }
}
