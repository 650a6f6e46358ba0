//! Where a refused message is wrong: found out only once it is refused.

use crate::wire::excerpt::{self, Excerpt};
use crate::wire::{Blame, HeadLimits, Refusal, place};

/// Of a refused message.
pub(super) struct Refused {
    /// Bytes of it before the first wrong one, those of its head included.
    pub(super) at: u64,
    /// What is shown of its head; `None` if the fault is in its body, or may be.
    pub(super) excerpt: Option<Excerpt>,
}

impl Refused {
    /// Of a request whose head `bytes` begin with. `is_first` on its connection: otherwise what is no head may be the rest of a
    /// body, and is not shown.
    #[cold]
    pub(super) fn request(
        bytes: &[u8],
        is_first: bool,
        refusal: Refusal,
        limits: &HeadLimits,
    ) -> Option<Box<Self>> {
        let at = place::of_request(bytes, refusal, limits);
        Self::head(bytes, is_first, at, Blame::Client)
    }

    /// Of a response whose head `bytes` begin with, likewise.
    #[cold]
    pub(super) fn response(
        bytes: &[u8],
        is_first: bool,
        refusal: Refusal,
        limits: &HeadLimits,
    ) -> Option<Box<Self>> {
        let at = place::of_response(bytes, refusal, limits);
        Self::head(bytes, is_first, at, Blame::Server)
    }

    /// Of a connection that does not begin with the PROXY header that it should.
    #[cold]
    pub(super) fn proxy_header(bytes: &[u8]) -> Option<Box<Self>> {
        Self::head(bytes, true, 0, Blame::Client)
    }

    /// Of a message with a malformed body.
    #[cold]
    pub(super) fn body(at: u64) -> Option<Box<Self>> {
        let excerpt = None;
        Some(Box::new(Self { at, excerpt }))
    }

    fn head(bytes: &[u8], is_first: bool, at: usize, from: Blame) -> Option<Box<Self>> {
        let is_head = is_first || excerpt::begins_as_http(bytes, from);
        Some(Box::new(Self {
            at: at as u64,
            excerpt: is_head.then(|| Excerpt::new(bytes, at, from)),
        }))
    }
}
