use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha1::{Digest as _, Sha1};

use crate::wire::{
    BodyLength, Known, Method, Refusal, Span, request::RequestHead, response::ResponseHead,
};

/// `Sec-WebSocket-Key` as sent: 16 bytes in base64.
pub type Key = [u8; 24];

/// `Sec-WebSocket-Accept` as expected.
pub type Accept = [u8; 28];

/// Why a request that asks for WebSocket gets none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeError {
    /// Something is missing or malformed: 400.
    Malformed,
    /// Another version than 13: 426 with `Sec-WebSocket-Version: 13`.
    Version,
}

impl HandshakeError {
    /// The reason that the log has, which also has the status to answer with.
    pub const fn refusal(self) -> Refusal {
        match self {
            Self::Malformed => Refusal::BadHandshake,
            Self::Version => Refusal::WebSocketVersion,
        }
    }
}

/// Checks a request whose `upgrade` is WebSocket (RFC 6455 section 4.2.1): GET, HTTP/1.1, no body or an empty one,
/// `Upgrade` is `websocket` and nothing else, `Connection` lists it, version 13, one key. Returns the key. Whether a
/// chunked body is empty, [`crate::wire::chunked::empty_body`] says.
pub fn check_request(head: &RequestHead, buf: &[u8]) -> Result<Key, HandshakeError> {
    let sound = head.method == Method::Get
        && head.minor == 1
        && (head.body.is_empty() || head.body == BodyLength::Chunked)
        && head.connection_upgrade
        && is_websocket(head.fields.only(Known::Upgrade), buf);
    let version = head
        .fields
        .only(Known::SecWebSocketVersion)
        .map(|version| version.of(buf));
    let key = head
        .fields
        .only(Known::SecWebSocketKey)
        .and_then(|key| key_of(key.of(buf)));
    match (sound, version, key) {
        (false, _, _) | (_, None, _) => Err(HandshakeError::Malformed),
        (_, Some(version), _) if !is_number(version) => Err(HandshakeError::Malformed),
        (_, Some(version), _) if version != b"13" => Err(HandshakeError::Version),
        (_, _, key) => key.ok_or(HandshakeError::Malformed),
    }
}

/// What the server must answer to that key (RFC 6455 section 4.2.2).
pub fn accept_for(key: &Key) -> Accept {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let mut accept = [0; 28];
    STANDARD
        .encode_slice(hash.finalize(), &mut accept)
        .expect("20 bytes are 28 characters of base64");
    accept
}

/// Whether a response is the 101 that `expected` asks for (RFC 6455 section 4.1): HTTP/1.1, one `Upgrade`
/// that is `websocket`, `Connection` lists it, one right `Sec-WebSocket-Accept`.
pub fn check_response(head: &ResponseHead, buf: &[u8], expected: &Accept) -> bool {
    let accept = head.fields.only(Known::SecWebSocketAccept);
    head.status == 101
        && head.minor == 1
        && head.connection_upgrade
        && is_websocket(head.fields.only(Known::Upgrade), buf)
        && accept.is_some_and(|accept| accept.of(buf) == expected)
}

fn is_websocket(value: Option<Span>, buf: &[u8]) -> bool {
    value.is_some_and(|value| value.of(buf).eq_ignore_ascii_case(b"websocket"))
}

/// RFC 6455 section 4.3: a version is a number without leading zeros, 0 to 255.
fn is_number(value: &[u8]) -> bool {
    matches!(
        value,
        [b'0'..=b'9'] | [b'1'..=b'9', b'0'..=b'9'] | [b'1' | b'2', b'0'..=b'9', b'0'..=b'9']
    )
}

/// RFC 6455 section 4.2.1 point 5: base64 that decodes to 16 bytes. Its last digit carries four unused
/// bits; browsers and servers do not look at them, so neither do we.
fn key_of(value: &[u8]) -> Option<Key> {
    let key: &Key = value.try_into().ok()?;
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    (key[..22].iter().all(is_digit) && key[22..] == *b"==").then_some(*key)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::wire::HeadLimits;

    const GOOD: &str = "GET /ws HTTP/1.1\nHost: h\nUpgrade: websocket\nConnection: Upgrade\n\
        Sec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n";

    fn check(request: &str) -> Result<Key, HandshakeError> {
        let buf = format!("{request}\n").replace('\n', "\r\n").into_bytes();
        let mut head = RequestHead::new(&HeadLimits::default());
        head.parse(&buf, 0, &HeadLimits::default()).unwrap();
        check_request(&head, &buf)
    }

    #[test]
    fn requests() {
        assert_eq!(check(GOOD), Ok(*b"dGhlIHNhbXBsZSBub25jZQ=="));
        let good = [
            ("websocket", "WebSocket"),
            ("Connection: Upgrade", "Connection: keep-alive, upgrade"),
            ("Host: h", "Host: h\nContent-Length: 0"),
            ("Host: h", "Host: h\nTransfer-Encoding: chunked"),
        ];
        for (from, to) in good {
            assert!(check(&GOOD.replace(from, to)).is_ok(), "{to}");
        }
        use HandshakeError::{Malformed, Version};
        let bad = [
            ("GET", "POST", Malformed),
            ("HTTP/1.1", "HTTP/1.0", Malformed),
            ("Connection: Upgrade\n", "", Malformed),
            ("Connection: Upgrade", "Connection: close", Malformed),
            ("Upgrade: websocket", "Upgrade: websocket, h2c", Malformed),
            ("Upgrade: websocket", "Upgrade: websocket/13", Malformed),
            (
                "Upgrade: websocket",
                "Upgrade: websocket\nUpgrade: websocket",
                Malformed,
            ),
            ("Host: h", "Host: h\nContent-Length: 3", Malformed),
            ("Sec-WebSocket-Version: 13\n", "", Malformed),
            ("Version: 13", "Version: 013", Malformed),
            ("Version: 13", "Version: 13, 8", Malformed),
            ("Version: 13", "Version: x", Malformed),
            (
                "Version: 13",
                "Version: 13\nSec-WebSocket-Version: 13",
                Malformed,
            ),
            ("Version: 13", "Version: 8", Version),
            ("Version: 13", "Version: 255", Version),
            ("dGhlIHNhbXBsZSBub25jZQ==", "", Malformed),
            (
                "dGhlIHNhbXBsZSBub25jZQ==",
                "dGhlIHNhbXBsZSBub25jZQ=",
                Malformed,
            ),
            (
                "dGhlIHNhbXBsZSBub25jZQ==",
                "dGhlIHNhbXBsZSBub25jZQQQ",
                Malformed,
            ),
            (
                "dGhlIHNhbXBsZSBub25jZQ==",
                "dGhlIHNhbXBsZSBub25j!Q==",
                Malformed,
            ),
            (
                "==",
                "==\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
                Malformed,
            ),
        ];
        for (from, to, error) in bad {
            assert_eq!(check(&GOOD.replacen(from, to, 1)), Err(error), "{to}");
        }
    }

    #[test]
    fn the_accept_of_the_rfc() {
        assert_eq!(
            accept_for(b"dGhlIHNhbXBsZSBub25jZQ=="),
            *b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        );
    }

    #[test]
    fn responses() {
        let good = "HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: upgrade\n\
            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n";
        let accepts = |response: &str| {
            let buf = format!("{response}\n").replace('\n', "\r\n").into_bytes();
            let mut head = ResponseHead::new(&HeadLimits::default());
            head.parse(&buf, 0, &HeadLimits::default()).unwrap();
            check_response(&head, &buf, &accept_for(b"dGhlIHNhbXBsZSBub25jZQ=="))
        };
        assert!(accepts(good));
        let bad = [
            ("101", "200"),
            ("HTTP/1.1", "HTTP/1.0"),
            ("Upgrade: websocket\n", ""),
            ("Upgrade: websocket", "Upgrade: h2c"),
            (
                "Upgrade: websocket",
                "Upgrade: websocket\nUpgrade: websocket",
            ),
            ("Connection: upgrade\n", ""),
            ("s3pP", "S3pP"),
            ("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", ""),
            (
                "xOo=\n",
                "xOo=\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\n",
            ),
        ];
        for (from, to) in bad {
            assert!(!accepts(&good.replacen(from, to, 1)), "{to}");
        }
    }
}
