//! Engine.IO sessions in an exchange: what a request asks for, and learning from the answer that opens one.
//!
//! Only the body of such an answer is looked at, and only its first bytes, as they pass: a session is known to all
//! workers before the client reads its id. An answer in a content coding is not looked into, so the server is
//! asked for none.

use super::plan::PoolHeld;
use super::story::Story;
use crate::balance::Pool;
use crate::balance::sticky::Verdict;
use crate::ring::Stamp;
use crate::wire::engine_io::{self, Asked, LOOKED_AT, Opened};
use crate::wire::request::RequestHead;
use crate::wire::response::ResponseHead;
use crate::wire::{Known, Method};

/// Looks at a request to this pool: gives one of a session to the server that holds it, and says whether it opens one.
pub(super) fn look(
    pool: &Pool,
    head: &RequestHead,
    bytes: &[u8],
    now: Stamp,
    verdict: &mut Verdict,
) -> bool {
    let Some(sessions) = &pool.sessions else {
        return false;
    };
    if !sessions.concerns(head.path(bytes)) {
        return false;
    }
    match engine_io::asked(head.query.of(bytes)) {
        Asked::Opening => return head.method == Method::Get,
        Asked::Session(sid) => {
            let key = sessions.key(engine_io::plain(sid));
            sessions.judge(&pool.servers, key, now.seconds(), verdict);
        }
        Asked::Nothing => {}
    }
    false
}

/// Looks at the body of an answer for the session that it opens.
#[derive(Debug)]
pub(super) struct Learning {
    pool: PoolHeld,
    server: usize,
    now_s: u32,
    /// Payload from the start, while it does not tell yet.
    held: Vec<u8>,
}

/// What a [`Learning`] can hold.
pub const LEARNING: usize = 128 + LOOKED_AT;

impl Learning {
    /// For the final answer to a request, if it may open a session.
    pub(super) fn begin(story: &Story, head: &ResponseHead) -> Option<Box<Self>> {
        let is_open = story.request.facts.opens_session
            && head.status == 200
            && !head.fields.has(Known::ContentEncoding);
        if !is_open {
            return None;
        }
        let (pool, server) = story.pool.clone().zip(story.server)?;
        Some(Box::new(Self {
            pool,
            server,
            now_s: story.marks.head.seconds(),
            held: Vec::new(),
        }))
    }

    /// Takes the next piece of the payload. False when there is no more to learn.
    pub(super) fn see(&mut self, payload: &[u8]) -> bool {
        let room = LOOKED_AT - self.held.len();
        let payload = &payload[..payload.len().min(room)];
        if !self.held.is_empty() {
            self.held.extend_from_slice(payload);
        }
        let looked_at = if self.held.is_empty() {
            payload
        } else {
            &self.held
        };
        match engine_io::opened(looked_at) {
            Opened::Partial if looked_at.len() < LOOKED_AT => {
                if self.held.is_empty() {
                    self.held.extend_from_slice(payload);
                }
                true
            }
            Opened::Partial | Opened::Nothing => false,
            Opened::Session(place) => {
                self.learn(place.of(looked_at));
                false
            }
        }
    }

    fn learn(&self, sid: &[u8]) {
        if let Some(sessions) = &self.pool.sessions {
            let key = sessions.key(sid.iter().copied());
            sessions.learn(&self.pool.servers, key, self.server, self.now_s);
        }
    }
}
