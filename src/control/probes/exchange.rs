//! One request of a check and the head of its response.
//!
//! The response is read by [`crate::wire`], with the rules and limits of traffic, so that a server whose responses
//! traffic would refuse does not pass its check. What a server can make a check hold is bounded: the head by
//! `limits.head_size`, everything received by [`RECEIVED_MAX`].

use super::tcp::Stream;
use crate::balance::Reason;
use crate::config::{Address, Asking, ResponseParsing};
use crate::wire::response::ResponseHead;
use crate::wire::{HeadLimits, Progress, lenient};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Take};

/// Bytes received of one response, in all: a few interim responses, and the framing of a chunked body.
const RECEIVED_MAX: u64 = 320 * 1024;

/// Bytes asked for at a time, while a head grows.
const RECEIVE: usize = 4 * 1024;

/// How responses are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parsing {
    /// Bounds on heads.
    pub(super) limits: HeadLimits,
    /// The pool's `response_parsing`.
    pub(super) parsing: ResponseParsing,
}

impl Parsing {
    pub(super) fn is_lenient(&self) -> bool {
        self.parsing == ResponseParsing::Lenient
    }
}

/// A connection that a request was sent over, with the head of the final response.
pub(super) struct Received {
    /// Reads no more than [`RECEIVED_MAX`] bytes.
    pub(super) stream: Take<Stream>,
    /// The final response's head; its spans lie in `buf`.
    pub(super) head: ResponseHead,
    /// The head, then what came behind it.
    pub(super) buf: Vec<u8>,
}

impl Received {
    /// What was received behind the head.
    pub(super) fn rest(&self) -> &[u8] {
        &self.buf[self.head.size..]
    }
}

/// Sends `request` and reads until the final response's head is there.
///
/// # Errors
/// What the check met instead.
pub(super) async fn exchange(
    mut stream: Stream,
    request: &[u8],
    parsing: &Parsing,
) -> Result<Received, Reason> {
    let limits = &parsing.limits;
    stream
        .write_all(request)
        .await
        .map_err(|error| Reason::of_error(&error))?;
    let mut stream = stream.take(RECEIVED_MAX);
    let mut head = ResponseHead::new(limits);
    let mut buf = Vec::with_capacity(RECEIVE);
    let (mut seen, mut is_rewritten) = (0, false);
    loop {
        let progress = match head.parse(&buf, seen, limits) {
            Err(refusal) if parsing.is_lenient() && !is_rewritten => {
                let mut strict = Vec::with_capacity(buf.len() + RECEIVE);
                match lenient::strict_head(&buf, limits, &mut strict) {
                    Ok(Some(size)) => {
                        strict.extend_from_slice(&buf[size..]);
                        buf = strict;
                        is_rewritten = true;
                    }
                    Ok(None) => receive(&mut stream, &mut buf).await?,
                    Err(_) => return Err(Reason::Invalid(refusal)),
                }
                seen = 0;
                continue;
            }
            progress => progress.map_err(Reason::Invalid)?,
        };
        match progress {
            Progress::Complete if head.is_interim() => {
                buf.drain(..head.size);
                (seen, is_rewritten) = (0, false);
            }
            Progress::Complete => return Ok(Received { stream, head, buf }),
            Progress::Partial => {
                seen = buf.len();
                receive(&mut stream, &mut buf).await?;
            }
        }
    }
}

/// Appends what is received next.
///
/// # Errors
/// [`Reason::Closed`] at the end of the connection, or of what a check reads.
pub(super) async fn receive(stream: &mut Take<Stream>, buf: &mut Vec<u8>) -> Result<(), Reason> {
    buf.reserve(RECEIVE);
    match stream.read_buf(buf).await {
        Ok(0) => Err(Reason::Closed),
        Ok(_) => Ok(()),
        Err(error) => Err(Reason::of_error(&error)),
    }
}

/// A request's head: `ours` in the given spelling, then the configured fields in theirs. No body.
pub(super) fn request(
    method: &str,
    asking: &Asking,
    address: &Address,
    ours: &[(&str, &str)],
) -> Vec<u8> {
    let host = match (&asking.host, address) {
        (Some(host), _) => host.clone(),
        (None, Address::Ip(address)) => address.to_string(),
        (None, Address::Unix(_)) => "localhost".to_owned(),
    };
    let mut request = format!("{method} {} HTTP/1.1\r\nHost: {host}\r\n", asking.path).into_bytes();
    let mut field = |name: &str, value: &[u8]| {
        request.extend_from_slice(name.as_bytes());
        request.extend_from_slice(b": ");
        request.extend_from_slice(value);
        request.extend_from_slice(b"\r\n");
    };
    for (name, value) in ours {
        field(name, value.as_bytes());
    }
    for (name, value) in &asking.headers {
        field(name, &value.0);
    }
    request.extend_from_slice(b"\r\n");
    request
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::config::{self, CheckKind, EmptyEnvironment};
    use crate::wire::request::RequestHead;
    use std::path::Path;

    /// Whatever the configuration accepts as a path, a method or a field makes a request that our own rules accept.
    #[test]
    fn the_settings_accept_nothing_that_the_rules_refuse() {
        let printable = |but: &str| -> String {
            (b'!'..=b'~')
                .map(char::from)
                .filter(|letter| !but.contains(*letter))
                .collect()
        };
        let path = format!("/{}", printable("#%\"<>\\^`{|}"));
        let value = printable("\"\\");
        let text = format!(
            "[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:0\"\ndefault_pool = \"app\"\n\
             [[pool.app.server]]\nname = \"one\"\naddress = \"127.0.0.1:1\"\n\
             check = {{ type = \"http\", method = \"M-SEARCH_X\", path = \"{path}\", host = \"app.example:81\", \
             headers = {{ \"X-!#$%&'*+.^_`|~a1\" = \"{value}\" }} }}"
        );
        let config = config::load(Path::new("test.toml"), &text, &EmptyEnvironment).unwrap();
        let server = &config.pools[0].servers[0];
        let Some(CheckKind::Http(check)) = server.check.as_ref().map(|check| &check.kind) else {
            panic!("an HTTP check");
        };
        let limits = HeadLimits::default();
        let bytes = request(&check.method, &check.asking, &server.address, &[]);
        let mut head = RequestHead::new(&limits);
        assert_eq!(head.parse(&bytes, 0, &limits), Ok(Progress::Complete));
        assert_eq!(head.size, bytes.len());
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.starts_with(&format!(
            "M-SEARCH_X {path} HTTP/1.1\r\nHost: app.example:81\r\n"
        )));
        assert!(text.ends_with(&format!("\r\nX-!#$%&'*+.^_`|~a1: {value}\r\n\r\n")));
    }
}
