use super::{Connection, Edit};
use crate::wire::response::ResponseHead;

/// How the body goes on to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// As the server framed it.
    AsReceived,
    /// The connection's end is its end: chunks taken off, for an HTTP/1.0 client. With [`Connection::Close`].
    UntilClose,
}

/// How a response's head differs from what the server sent. `Default` is a head with nothing added.
#[derive(Debug, Clone, Copy)]
pub struct ResponseEdits<'a> {
    /// Towards the client. An interim response says nothing in any case.
    pub connection: Connection,
    /// How the body goes on.
    pub framing: Framing,
    /// Changes to `Set-Cookie` fields ([`crate::wire::cookie::set_cookies`]), in order.
    pub cookies: &'a [Edit],
    /// What a [`Edit::Put`] puts.
    pub text: &'a [u8],
    /// The value of a `Set-Cookie` to add.
    pub set_cookie: Option<&'a [u8]>,
    /// Add `Cache-Control: private`.
    pub cache_private: bool,
    /// `Via: 1.x` this name.
    pub via: Option<&'a [u8]>,
}

impl Default for ResponseEdits<'_> {
    fn default() -> Self {
        Self {
            connection: Connection::Kept,
            framing: Framing::AsReceived,
            cookies: &[],
            text: b"",
            set_cookie: None,
            cache_private: false,
            via: None,
        }
    }
}

/// Appends the head that the client gets, with its empty line.
pub fn write_response(
    head: &ResponseHead,
    buf: &[u8],
    edits: &ResponseEdits<'_>,
    out: &mut Vec<u8>,
) {
    let _ = (head, buf, edits, out);
    todo!()
}
