//! The head that goes on: what was received, less what ends at this hop, plus what a proxy has to say.
//!
//! Fields keep their order and their bytes; runs of untouched lines are copied at once. The start line
//! and the framing fields are written in their one canonical form, whitespace around values is
//! normalised, and both sides are spoken to in HTTP/1.1, whatever version the other side has. Only
//! fields that `Connection` may name end here on its word ([`crate::wire::rules::connection_may_name`]).
//! Nothing here can fail: heads that could not be passed on were refused when they were read.

mod changes;
mod edit;
mod lines;
mod request;
mod response;
mod trailers;

pub use changes::Changes;
pub use edit::Edit;
pub use request::{RequestEdits, write_request};
pub use response::{Framing, ResponseEdits, write_response};
pub use trailers::Trailers;

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
    /// `Upgrade`, with the protocol that the edits name: only for one that the pool lets through, or its 101.
    Upgrade,
}
