use crate::wire::{request::RequestHead, response::ResponseHead};

/// `Sec-WebSocket-Key` as sent: 16 bytes in base64.
pub type Key = [u8; 24];

/// `Sec-WebSocket-Accept` as expected.
pub type Accept = [u8; 28];

/// Why a request that asks for WebSocket gets none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeError {
    /// Something is missing or malformed: 400.
    Malformed,
    /// Another version than 13: 426 with `Sec-WebSocket-Version: 13`.
    Version,
}

impl HandshakeError {
    /// The status to answer with.
    pub const fn status(self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Version => 426,
        }
    }
}

/// Checks a request whose `upgrade` is WebSocket (RFC 6455 section 4.2.1): GET, HTTP/1.1, no body, one
/// `Upgrade`, version 13, one key. Returns the key.
pub fn check_request(head: &RequestHead, buf: &[u8]) -> Result<Key, HandshakeError> {
    let _ = (head, buf);
    todo!()
}

/// What the server must answer to that key (RFC 6455 section 4.2.2).
pub fn accept_for(key: &Key) -> Accept {
    let _ = key;
    todo!()
}

/// Whether a response is the 101 that `expected` asks for.
pub fn check_response(head: &ResponseHead, buf: &[u8], expected: &Accept) -> bool {
    let _ = (head, buf, expected);
    todo!()
}
