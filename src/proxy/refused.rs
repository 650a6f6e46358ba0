//! Where a refused message is wrong: found out only once it is refused.

use crate::wire::{HeadLimits, Refusal, place};

/// Of a refused message.
pub(super) struct Refused {
    /// Bytes of it before the first wrong one, those of its head included.
    pub(super) at: u64,
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
        Some(Box::new(Self { at: at as u64 }))
    }

    /// Of a response whose head `bytes` begin with.
    #[cold]
    pub(super) fn response(
        bytes: &[u8],
        refusal: Refusal,
        limits: &HeadLimits,
    ) -> Option<Box<Self>> {
        let at = place::of_response(bytes, refusal, limits);
        Some(Box::new(Self { at: at as u64 }))
    }

    /// Of a connection that does not begin with the PROXY header that it should.
    #[cold]
    pub(super) fn proxy_header() -> Option<Box<Self>> {
        Some(Box::new(Self { at: 0 }))
    }

    /// Of a message with a malformed body.
    #[cold]
    pub(super) fn body(at: u64) -> Option<Box<Self>> {
        Some(Box::new(Self { at }))
    }
}
