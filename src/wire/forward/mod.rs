//! The head that goes on.

mod edit;
mod request;
mod response;

pub use edit::Edit;
pub use request::{RequestEdits, write_request};
pub use response::{Framing, ResponseEdits, write_response};

/// What `Connection` says on the side that the head goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// Nothing: kept, as HTTP/1.1 peers expect.
    Kept,
    /// `keep-alive`: kept, said to an HTTP/1.0 peer.
    KeptExplicitly,
    /// `close`
    Close,
    /// `Upgrade`, with `Upgrade: websocket`: only for a checked WebSocket handshake or its 101.
    WebSocket,
}
