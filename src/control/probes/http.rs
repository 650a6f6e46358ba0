//! A check by a request: hyper's client on a connection of its own, closed after the one answer.
//!
//! What the server can make us hold is bounded: the head by hyper's buffer, the body by what is read of it, and all that
//! is received at all by the reader below both, so that no endless row of interim answers goes on for longer than
//! its bytes, nor than the check's timeout.

use super::tcp::Stream;
use crate::balance::Reason;
use crate::config::{Address, Asking, HttpCheck};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST, HeaderName, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use memchr::memmem;
use std::error::Error as _;
use std::io;
use std::pin::pin;
use tokio::io::{AsyncReadExt, Join, ReadHalf, Take, WriteHalf};

/// Bytes of an answer's head; hyper's least is 8 KiB.
pub(in crate::control) const MOST_HEAD: usize = 16 * 1024;

/// Bytes of a body that are looked at.
pub(in crate::control) const MOST_BODY: usize = 64 * 1024;

/// Bytes of everything: a few interim answers, and chunks' sizes and extensions.
const MOST: u64 = 4 * (MOST_HEAD + MOST_BODY) as u64;

/// A stream that ends after [`MOST`] bytes.
pub(super) type Bounded = TokioIo<Join<Take<ReadHalf<Stream>>, WriteHalf<Stream>>>;

/// Asks, and says what came.
pub(super) async fn ask(stream: Stream, check: &HttpCheck, address: &Address) -> Reason {
    let Some(request) = request(
        &check.method,
        &check.asking,
        address,
        [(CONNECTION, "close")],
    ) else {
        return Reason::Failed;
    };
    let (mut sender, connection) = match client().handshake(bounded(stream)).await {
        Ok(both) => both,
        Err(error) => return reason_of(&error),
    };
    let mut answer = pin!(async {
        match sender.send_request(request).await {
            Ok(answer) => judge(check, answer.status(), answer.into_body()).await,
            Err(error) => reason_of(&error),
        }
    });
    tokio::select! {
        biased;
        reason = &mut answer => reason,
        // It has read all that there is; the rest of the answer waits to be taken.
        _ = connection => answer.await,
    }
}

async fn judge(check: &HttpCheck, status: StatusCode, body: Incoming) -> Reason {
    match status.as_u16() {
        404 if check.soft_drain_on_404 => Reason::Leaving,
        status if !check.expects(status) => Reason::Status(status),
        status => match &check.body {
            None => Reason::Answered(status),
            Some(text) => match contains(body, text.as_bytes()).await {
                Ok(true) => Reason::Answered(status),
                Ok(false) => Reason::OtherBody,
                Err(error) => reason_of(&error),
            },
        },
    }
}

/// Whether a body has this text in its first [`MOST_BODY`] bytes; no more than those are read.
async fn contains(mut body: Incoming, text: &[u8]) -> Result<bool, hyper::Error> {
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        // It may begin in what came before.
        let from = read.len().saturating_sub(text.len());
        let room = MOST_BODY - read.len();
        read.extend_from_slice(&data[..data.len().min(room)]);
        if memmem::find(&read[from..], text).is_some() {
            return Ok(true);
        }
        if read.len() == MOST_BODY {
            break;
        }
    }
    Ok(false)
}

pub(super) fn client() -> http1::Builder {
    let mut client = http1::Builder::new();
    client.max_buf_size(MOST_HEAD);
    client
}

pub(super) fn bounded(stream: Stream) -> Bounded {
    let (reader, writer) = tokio::io::split(stream);
    TokioIo::new(tokio::io::join(reader.take(MOST), writer))
}

/// A request of the settings' parts; `None` when the library refuses one, which the settings' own rules exclude.
pub(super) fn request<'a>(
    method: &str,
    asking: &Asking,
    address: &Address,
    ours: impl IntoIterator<Item = (HeaderName, &'a str)>,
) -> Option<Request<Empty<Bytes>>> {
    let uri: Uri = asking.path.parse().ok()?;
    let host = match (&asking.host, address) {
        (Some(host), _) => host.clone(),
        (None, Address::Ip(address)) => address.to_string(),
        (None, Address::Unix(_)) => "localhost".to_owned(),
    };
    let mut request = Request::builder()
        .method(method)
        .uri(uri)
        .header(HOST, host);
    for (name, value) in ours {
        request = request.header(name, value);
    }
    for (name, value) in &asking.headers {
        let mut value = HeaderValue::from_bytes(&value.0).ok()?;
        value.set_sensitive(true);
        request = request.header(name, value);
    }
    request.body(Empty::new()).ok()
}

/// What an exchange that failed met.
pub(super) fn reason_of(error: &hyper::Error) -> Reason {
    if error.is_parse_too_large() {
        return Reason::LongHead;
    }
    if error.is_parse() {
        return Reason::Garbled;
    }
    let source = error.source();
    match source.and_then(|source| source.downcast_ref::<io::Error>()) {
        Some(error) if error.kind() != io::ErrorKind::UnexpectedEof => Reason::of_error(error),
        _ => Reason::Closed,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::config::{self, CheckKind, EmptyEnvironment};
    use std::path::Path;

    /// Whatever the configuration takes as a path, a method or a field can be sent.
    #[test]
    fn the_settings_take_nothing_that_the_library_refuses() {
        let printable = |but: &str| -> String {
            (b'!'..=b'~')
                .map(char::from)
                .filter(|letter| !but.contains(*letter))
                .collect()
        };
        let path = format!("/{}", printable("#\"<>\\^`{|}"));
        let value = printable("\"\\");
        let text = format!(
            "[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:0\"\ndefault_pool = \"app\"\n\
             [[pool.app.server]]\nname = \"one\"\naddress = \"127.0.0.1:1\"\n\
             check = {{ type = \"http\", method = \"M-SEARCH_X\", path = \"{path}\", host = \"{value}\", \
             headers = {{ \"!#$%&'*+-.^_`|~a1\" = \"{value}\" }} }}"
        );
        let config = config::load(Path::new("test.toml"), &text, &EmptyEnvironment).unwrap();
        let server = &config.pools[0].servers[0];
        let Some(CheckKind::Http(check)) = server.check.as_ref().map(|check| &check.kind) else {
            panic!("an HTTP check");
        };
        let request = request(&check.method, &check.asking, &server.address, []).unwrap();
        assert_eq!(request.uri().to_string(), path);
        assert_eq!(request.headers()[HOST], value);
    }
}
