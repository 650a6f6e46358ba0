//! Whether a request that has reached a server may be sent to another one.
//!
//! Only what the pool's `retry` names, only requests that may be repeated (RFC 9110 section 9.2.2) and whose body is at
//! hand, only before the client has been sent a byte of an answer, and only while the pool's budget lasts. Everything
//! here happens after a failure, but for [`keeps`], which is a comparison for pools that repeat nothing.

use super::ending::Ending;
use super::request::Facts;
use super::story::Story;
use crate::balance::Pool;
use crate::config::RetryOn;
use crate::ring::Buffer;
use crate::wire::BodyLength;

/// What came of an attempt that is to be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// An answer of this status, which nobody has seen.
    Status(u16),
    /// No answer.
    Ended(Ending),
}

impl Again {
    fn is_wanted(self, on: &RetryOn) -> bool {
        match self {
            Self::Status(status) => on.has_status(status),
            Self::Ended(Ending::ServerBroke) => on.reset,
            Self::Ended(Ending::ServerTimeout) => on.timeout,
            Self::Ended(_) => false,
        }
    }
}

/// Whether such a request may reach two servers, as far as its head goes. A handshake is a GET without a body.
pub(super) fn repeats(pool: &Pool, facts: Facts) -> bool {
    let retry = pool.settings.retry.as_ref();
    retry.is_some_and(|retry| retry.on.repeats()) && facts.method.is_idempotent()
}

/// How much of the request's body is to be kept while it is sent, if it is to be kept at all.
pub(super) fn keeps(pool: &Pool, facts: Facts) -> Option<usize> {
    let most = pool.settings.retry.as_ref()?.buffer;
    let fits = match facts.body {
        BodyLength::None | BodyLength::Length(0) | BodyLength::UntilClose => false,
        BodyLength::Length(length) => length <= most as u64,
        BodyLength::Chunked => most > 0,
    };
    (fits && repeats(pool, facts)).then_some(most)
}

/// Whether the pool's conditions and its `retries` have another attempt for this, and the client knows of no answer yet.
pub(super) fn is_wanted(pool: &Pool, story: &Story, again: Again) -> bool {
    let retry = pool.settings.retry.as_ref();
    retry.is_some_and(|retry| again.is_wanted(&retry.on))
        && story.bytes_out == 0
        && story.retries < pool.settings.retries
}

/// A body that is kept while it is sent, up to a bound.
#[derive(Debug)]
pub(super) struct Copy {
    bytes: Buffer,
    most: usize,
}

impl Copy {
    /// Of at most so many bytes, framing included.
    pub(super) fn new(most: usize) -> Box<Self> {
        let bytes = Buffer::new();
        Box::new(Self { bytes, most })
    }

    /// Keeps these as well; false when that is too much.
    pub(super) fn add(&mut self, bytes: &[u8]) -> bool {
        let fits = self.bytes.len() + bytes.len() <= self.most;
        if fits {
            self.bytes.push(bytes);
        }
        fits
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.bytes()
    }
}
