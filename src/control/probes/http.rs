//! A check by an HTTP request, on a connection of its own that is closed after the response.

use super::exchange::{Parsing, Received, exchange, receive, request};
use super::tcp::Stream;
use crate::balance::Reason;
use crate::config::{Address, HttpCheck};
use crate::wire::chunked::Decoder;
use crate::wire::{Blame, BodyLength, Method, Refusal};
use memchr::memmem;

/// Bytes of a body that are searched for the expected text.
pub(super) const BODY_MAX: usize = 64 * 1024;

/// Sends the request and reports what was received.
pub(super) async fn ask(
    stream: Stream,
    check: &HttpCheck,
    address: &Address,
    parsing: &Parsing,
) -> Reason {
    let request = request(
        &check.method,
        &check.asking,
        address,
        &[("Connection", "close")],
    );
    let judged = match exchange(stream, &request, parsing).await {
        Ok(received) => judge(check, received, parsing).await,
        Err(reason) => Err(reason),
    };
    judged.unwrap_or_else(|reason| reason)
}

async fn judge(check: &HttpCheck, received: Received, parsing: &Parsing) -> Result<Reason, Reason> {
    match received.head.status {
        // Nobody asked for it, so traffic would refuse it too.
        101 => Err(Reason::Invalid(Refusal::BadSwitch)),
        404 if check.soft_drain_on_404 => Ok(Reason::Leaving),
        status if !check.expects(status) => Err(Reason::Status(status)),
        status => match &check.body {
            Some(text) if !contains(check, received, text.as_bytes(), parsing).await? => {
                Err(Reason::OtherBody)
            }
            _ => Ok(Reason::Answered(status)),
        },
    }
}

/// Whether a body has this text in its first [`BODY_MAX`] bytes; no more than those are read.
async fn contains(
    check: &HttpCheck,
    mut received: Received,
    text: &[u8],
    parsing: &Parsing,
) -> Result<bool, Reason> {
    let method = Method::of(check.method.as_bytes());
    let mut body = Body::new(received.head.body(method), parsing);
    received.buf.drain(..received.head.size);
    let mut found = Vec::new();
    loop {
        // The text may begin in what came before.
        let from = found.len().saturating_sub(text.len());
        let done = body.step(&received.buf, &mut found)?;
        found.truncate(BODY_MAX);
        if memmem::find(&found[from..], text).is_some() {
            return Ok(true);
        }
        if done || found.len() == BODY_MAX {
            return Ok(false);
        }
        received.buf.clear();
        match receive(&mut received.stream, &mut received.buf).await {
            Err(Reason::Closed) if body.ends_with_connection() => return Ok(false),
            other => other?,
        }
    }
}

/// What is left of a body.
enum Body {
    Length(u64),
    Chunked(Decoder),
    UntilClose,
}

impl Body {
    fn new(length: BodyLength, parsing: &Parsing) -> Self {
        match length {
            BodyLength::None => Self::Length(0),
            BodyLength::Length(left) => Self::Length(left),
            BodyLength::Chunked => {
                let decoder = Decoder::new(&parsing.limits, Blame::Server);
                Self::Chunked(match parsing.is_lenient() {
                    true => decoder.with_bare_lf(),
                    false => decoder,
                })
            }
            BodyLength::UntilClose => Self::UntilClose,
        }
    }

    fn ends_with_connection(&self) -> bool {
        matches!(self, Self::UntilClose)
    }

    /// Appends the payload in `input` to `out`; whether the body has ended.
    fn step(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<bool, Reason> {
        match self {
            Self::Length(left) => {
                let here = usize::try_from(*left).map_or(input.len(), |left| left.min(input.len()));
                out.extend_from_slice(&input[..here]);
                *left -= here as u64;
                Ok(*left == 0)
            }
            Self::Chunked(decoder) => {
                let step = decoder.payload(input, out).map_err(Reason::Invalid)?;
                Ok(step.done)
            }
            Self::UntilClose => {
                out.extend_from_slice(input);
                Ok(false)
            }
        }
    }
}
