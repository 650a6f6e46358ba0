//! WebSocket (RFC 6455): the handshake's checks on both sides, and the place in a tunnel's frames.

mod frames;
mod handshake;

pub use frames::{FrameTracker, From};
pub use handshake::{Accept, HandshakeError, Key, accept_for, check_request, check_response};
