use super::{Connection, Edit};
use crate::wire::request::RequestHead;

/// How a request's head differs from what the client sent. `Default` is a head with nothing added.
#[derive(Debug, Clone, Copy)]
pub struct RequestEdits<'a> {
    /// Towards the server: `Kept`, `Close` or `WebSocket`.
    pub connection: Connection,
    /// `Host` for an HTTP/1.0 request that has none; empty leaves the value empty.
    pub host: &'a [u8],
    /// Changes to `Cookie` fields ([`crate::wire::cookie::strip`]), in order.
    pub cookies: &'a [Edit],
    /// What a [`Edit::Put`] puts.
    pub text: &'a [u8],
    /// Keep what the client says in `X-Forwarded-…` and `Forwarded`; false for a client that is not
    /// trusted.
    pub trust_client: bool,
    /// The field that carries the client's address, and the address as text: appended as a new line.
    pub forwarded_for: Option<(&'a [u8], &'a [u8])>,
    /// `X-Forwarded-Proto`: `http` or `https`.
    pub forwarded_proto: Option<&'a [u8]>,
    /// `Forwarded` (RFC 7239): the client's address (quoted here if need be; empty is `unknown`) and the
    /// protocol.
    pub forwarded: Option<(&'a [u8], &'a [u8])>,
    /// `Via: 1.x` this name.
    pub via: Option<&'a [u8]>,
    /// Name and value of the request id; what the client sent under that name is replaced.
    pub request_id: Option<(&'a [u8], &'a [u8])>,
}

impl Default for RequestEdits<'_> {
    fn default() -> Self {
        Self {
            connection: Connection::Kept,
            host: b"",
            cookies: &[],
            text: b"",
            trust_client: false,
            forwarded_for: None,
            forwarded_proto: None,
            forwarded: None,
            via: None,
            request_id: None,
        }
    }
}

/// Appends the head that the server gets, with its empty line.
pub fn write_request(head: &RequestHead, buf: &[u8], edits: &RequestEdits<'_>, out: &mut Vec<u8>) {
    let _ = (head, buf, edits, out);
    todo!()
}
