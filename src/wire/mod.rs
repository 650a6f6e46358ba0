//! Bytes ↔ meaning: HTTP/1.1 heads and bodies, WebSocket handshakes and frames, cookies.
//!
//! Everything here is pure and works on the caller's buffers: a parsed head is a list of offsets
//! ([`Span`]) that is used again for the next message, a body is a state machine that is fed bytes in
//! pieces of any size, and what goes on is pushed to the caller's `Vec<u8>`. In steady state nothing
//! allocates.
//!
//! Where two readings of a message could differ it is refused, not repaired. The rules for that stand in
//! [`rules`], each beside its RFC section; a broken one is a [`Refusal`], and one table maps those to a
//! status and a word for the log.
//!
//! | of the wire | here |
//! | --- | --- |
//! | a request's head | [`request::RequestHead`] |
//! | a response's head | [`response::ResponseHead`] |
//! | a response's head that is not strict | [`lenient`] |
//! | a chunked body | [`chunked::Decoder`] |
//! | the sticky cookie | [`cookie`] |
//! | an Engine.IO session | [`engine_io`] |
//! | the head that goes on | [`forward`] |
//! | the PROXY protocol | [`proxy_header`] |
//! | an agent's line | [`agent`] |
//! | where a refused head is wrong | [`place`] |
//! | what is shown of one | [`excerpt`] |
//! | our own answers to what went wrong | [`reply`] |
//! | those that the configuration wants | [`answer`] |
//! | an upgrade and its tunnel | [`websocket`] |

pub mod agent;
pub mod answer;
pub mod chunked;
pub mod cookie;
pub mod engine_io;
mod field;
mod fields;
pub mod excerpt;
pub mod forward;
mod head;
pub mod lenient;
mod method;
#[doc(hidden)]
pub mod properties;
pub mod proxy_header;
pub mod place;
mod refusal;
pub mod reply;
pub mod request;
pub mod response;
pub mod rules;
mod span;
pub mod text;
pub mod websocket;

pub use field::{Field, Known, KnownSet};
pub use fields::Fields;
pub use head::{BodyLength, HeadLimits, Progress};
pub use method::Method;
pub use refusal::{Blame, Refusal};
pub use span::Span;
