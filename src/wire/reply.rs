//! Our own answers, as bytes.
//!
//! They are as short as they can be and say nothing of what the request was: no version, no name of a
//! server. Each ends its connection, because what stands behind a refused or unanswered request in the
//! stream cannot be trusted to be another one.

use super::text::push_decimal;
use super::{Blame, Refusal};

/// The whole answer for a status, ready to be sent; without its body where the request was a HEAD. A
/// status that has no answer here is answered as 500.
pub fn reply(status: u16, head_only: bool) -> &'static [u8] {
    let known = REPLIES.iter().find(|(known, _)| *known == status);
    let whole = known.map_or(INTERNAL, |(_, bytes)| *bytes);
    match memchr::memmem::find(whole, b"\r\n\r\n") {
        Some(end) if head_only => &whole[..end + 4],
        _ => whole,
    }
}

/// The same, with a `Retry-After` of so many seconds (RFC 9110 section 10.2.3).
pub fn push_later(status: u16, seconds: u32, head_only: bool, out: &mut Vec<u8>) {
    let whole = reply(status, head_only);
    // Every answer has it (a test reads them all).
    let at = memchr::memmem::find(whole, b"Content-Length:").unwrap_or(whole.len());
    let (before, rest) = whole.split_at(at);
    out.extend_from_slice(before);
    out.extend_from_slice(b"Retry-After: ");
    out.extend_from_slice(itoa::Buffer::new().format(seconds).as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(rest);
}

/// The answer to a request that was refused, with the reason: its word, the byte `at` which the request is wrong, and what to
/// change. Nothing of the request is in it.
pub fn push_verbose(refusal: Refusal, at: Option<u64>, head_only: bool, out: &mut Vec<u8>) {
    let whole = reply(refusal.status(Blame::Client), false);
    // Every answer has both (a test reads them all).
    let length = memchr::memmem::find(whole, b"Content-Length:").unwrap_or(whole.len());
    let end = memchr::memmem::find(whole, b"\r\n\r\n").map_or(whole.len(), |end| end + 4);
    let (word, advice) = (refusal.word(), refusal.advice(Blame::Client));
    let place = at.map_or_else(String::new, |at| format!(" at offset {at}"));
    let reason = format!("<p><code>{word}</code>{place}: {advice}\n");
    out.extend_from_slice(&whole[..length]);
    out.extend_from_slice(b"Content-Length: ");
    push_decimal(out, (whole.len() - end + reason.len()) as u64);
    out.extend_from_slice(b"\r\n\r\n");
    if !head_only {
        out.extend_from_slice(&whole[end..]);
        out.extend_from_slice(reason.as_bytes());
    }
}

/// The interim answer to `Expect: 100-continue` (RFC 9110 section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

macro_rules! websocket_13 {
    () => {
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    };
}

/// What a 426 says besides (RFC 6455 section 4.4).
pub(super) const WEBSOCKET_13: &str = websocket_13!();

macro_rules! answer {
    ($status:literal, $reason:literal, $length:literal, $text:literal) => {
        answer!($status, $reason, $length, $text, "")
    };
    ($status:literal, $reason:literal, $length:literal, $text:literal, $fields:expr) => {
        concat!(
            "HTTP/1.1 ",
            $status,
            " ",
            $reason,
            "\r\nContent-Type: text/html\r\nCache-Control: no-cache\r\nConnection: close\r\n",
            $fields,
            "Content-Length: ",
            $length,
            "\r\n\r\n<!doctype html><title>",
            $status,
            "</title><h1>",
            $status,
            " ",
            $reason,
            "</h1><p>",
            $text,
            "\n"
        )
        .as_bytes()
    };
}

const INTERNAL: &[u8] = answer!(
    500,
    "Internal Server Error",
    105,
    "Something went wrong on this side."
);

const REPLIES: &[(u16, &[u8])] = &[
    (
        400,
        answer!(400, "Bad Request", 92, "The request was not understood."),
    ),
    (403, answer!(403, "Forbidden", 79, "This is not allowed.")),
    (404, answer!(404, "Not Found", 81, "There is no such page.")),
    (
        408,
        answer!(
            408,
            "Request Timeout",
            101,
            "The request took too long to arrive."
        ),
    ),
    (
        413,
        answer!(
            413,
            "Content Too Large",
            99,
            "The request's body is too large."
        ),
    ),
    (
        414,
        answer!(414, "URI Too Long", 86, "The address is too long."),
    ),
    (
        426,
        answer!(
            426,
            "Upgrade Required",
            102,
            "WebSocket version 13 is spoken here.",
            websocket_13!()
        ),
    ),
    (
        429,
        answer!(
            429,
            "Too Many Requests",
            103,
            "Please wait before the next request."
        ),
    ),
    (
        431,
        answer!(
            431,
            "Request Header Fields Too Large",
            113,
            "The request's head is too large."
        ),
    ),
    (500, INTERNAL),
    (
        501,
        answer!(
            501,
            "Not Implemented",
            114,
            "The request's method or coding is not known here."
        ),
    ),
    (
        502,
        answer!(
            502,
            "Bad Gateway",
            100,
            "The server's answer was not understood."
        ),
    ),
    (
        503,
        answer!(503, "Service Unavailable", 92, "No server is available."),
    ),
    (
        504,
        answer!(
            504,
            "Gateway Timeout",
            100,
            "The server took too long to answer."
        ),
    ),
    (
        505,
        answer!(
            505,
            "HTTP Version Not Supported",
            100,
            "HTTP/1.1 is spoken here."
        ),
    ),
];

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::wire::{BodyLength, HeadLimits, Known, Method, response::ResponseHead};

    #[test]
    fn every_answer_is_a_sound_response() {
        for (status, bytes) in REPLIES {
            let mut head = ResponseHead::new(&HeadLimits::default());
            head.parse(bytes, 0, &HeadLimits::default()).unwrap();
            let length = (bytes.len() - head.size) as u64;
            assert_eq!(
                (head.status, head.body(Method::Get)),
                (*status, BodyLength::Length(length))
            );
            assert!(!head.keep_alive && head.fields.has(Known::CacheControl));
            for (head_only, wanted) in [(true, &bytes[..head.size]), (false, *bytes)] {
                let mut later = Vec::new();
                push_later(*status, 17, head_only, &mut later);
                let text = String::from_utf8(later).unwrap();
                let (before, after) = text.split_once("Retry-After: 17\r\n").unwrap();
                assert!(before.ends_with("\r\n") && after.starts_with("Content-Length: "));
                assert_eq!([before, after].concat().as_bytes(), wanted);
            }
            assert_eq!(reply(*status, true), &bytes[..head.size]);
            assert_eq!(reply(*status, false), *bytes);
        }
        assert_eq!(reply(599, false), INTERNAL);
        assert!(
            reply(426, true)
                .windows(25)
                .any(|line| line == b"Sec-WebSocket-Version: 13")
        );
    }

    #[test]
    fn a_verbose_answer_is_a_sound_response() {
        for refusal in Refusal::ALL {
            let [mut whole, mut head_only] = [Vec::new(), Vec::new()];
            push_verbose(*refusal, Some(1_234), false, &mut whole);
            push_verbose(*refusal, None, true, &mut head_only);
            let mut head = ResponseHead::new(&HeadLimits::default());
            head.parse(&whole, 0, &HeadLimits::default()).unwrap();
            let length = (whole.len() - head.size) as u64;
            assert_eq!(head.status, refusal.status(Blame::Client));
            assert_eq!(head.body(Method::Get), BodyLength::Length(length));
            let (word, advice) = (refusal.word(), refusal.advice(Blame::Client));
            let reason = format!("\n<p><code>{word}</code> at offset 1234: {advice}\n");
            assert!(whole.ends_with(reason.as_bytes()), "{word}");
            assert!(!advice.contains(['<', '&']), "{advice}");
            head.parse(&head_only, 0, &HeadLimits::default()).unwrap();
            assert_eq!(head.size, head_only.len());
        }
    }

    #[test]
    fn every_error_page_stands_for_an_answer() {
        let statuses = REPLIES.iter().map(|(status, _)| *status);
        let answered = statuses.filter(|status| *status != 404);
        assert!(
            answered.eq(crate::config::ERROR_STATUSES),
            "of none is it said that there is no page"
        );
    }

    #[test]
    fn every_refusal_has_its_answer() {
        for refusal in Refusal::ALL {
            for blame in [Blame::Client, Blame::Server] {
                let status = refusal.status(blame);
                assert!(
                    REPLIES.iter().any(|(known, _)| *known == status),
                    "{status}"
                );
            }
        }
    }
}
