//! Our own answers, as bytes.

/// The whole answer for a status, ready to be sent: it says `Connection: close`, and its body is left
/// out where the request was a HEAD. A status that has none is answered as 500.
pub fn reply(status: u16, head_only: bool) -> &'static [u8] {
    let _ = (status, head_only);
    todo!()
}
