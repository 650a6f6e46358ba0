//! Where a refused message is wrong: found out only once it is refused.

use crate::wire::excerpt::Excerpt;
use crate::wire::{Blame, HeadLimits, Refusal, place};

/// Of a refused message.
pub(super) struct Refused {
    /// Bytes of it before the first wrong one, those of its head included.
    pub(super) at: u64,
    /// What is shown of its head; `None` if the fault is in its body.
    pub(super) excerpt: Option<Excerpt>,
}

impl Refused {
    /// Of a request whose head `bytes` begin with.
    #[cold]
    pub(super) fn request(
        bytes: &[u8],
        refusal: Refusal,
        limits: &HeadLimits,
    ) -> Option<Box<Self>> {
        let at = place::of_request(bytes, refusal, limits);
        Self::head(bytes, at, Blame::Client)
    }

    /// Of a response whose head `bytes` begin with.
    #[cold]
    pub(super) fn response(
        bytes: &[u8],
        refusal: Refusal,
        limits: &HeadLimits,
    ) -> Option<Box<Self>> {
        let at = place::of_response(bytes, refusal, limits);
        Self::head(bytes, at, Blame::Server)
    }

    /// Of a connection that does not begin with the PROXY header that it should.
    #[cold]
    pub(super) fn proxy_header(bytes: &[u8]) -> Option<Box<Self>> {
        Self::head(bytes, 0, Blame::Client)
    }

    /// Of a message with a malformed body.
    #[cold]
    pub(super) fn body(at: u64) -> Option<Box<Self>> {
        let excerpt = None;
        Some(Box::new(Self { at, excerpt }))
    }

    fn head(bytes: &[u8], at: usize, from: Blame) -> Option<Box<Self>> {
        Some(Box::new(Self {
            at: at as u64,
            excerpt: Some(Excerpt::new(bytes, at, from)),
        }))
    }
}
