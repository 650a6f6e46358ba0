//! WebSocket by hand: handshakes and frames (RFC 6455 sections 4 and 5).

use base64::Engine as _;
use sha1::{Digest as _, Sha1};

use super::conn::Conn;

/// The example key of RFC 6455.
pub const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The `Sec-WebSocket-Accept` that belongs to a key.
pub fn accept_of(key: &str) -> String {
    let digest = Sha1::digest(format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"));
    base64::engine::general_purpose::STANDARD.encode(digest)
}

/// A good handshake request.
pub fn handshake(target: &str) -> String {
    handshake_with(target, "")
}

/// A good handshake request with further header lines, each ended by CRLF.
pub fn handshake_with(target: &str, lines: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n{lines}\r\n"
    )
}

/// One frame, as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub fin: bool,
    pub opcode: u8,
    pub masked: bool,
    /// Unmasked.
    pub payload: Vec<u8>,
}

/// A final frame; clients must mask theirs.
pub fn frame(opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut bytes = vec![0x80 | opcode];
    let flag = if mask.is_some() { 0x80 } else { 0 };
    match payload.len() {
        short @ 0..=125 => bytes.push(flag | short as u8),
        medium @ 126..=65535 => {
            bytes.push(flag | 126);
            bytes.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            bytes.push(flag | 127);
            bytes.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    match mask {
        None => bytes.extend_from_slice(payload),
        Some(mask) => {
            bytes.extend_from_slice(&mask);
            bytes.extend(
                payload
                    .iter()
                    .zip(mask.iter().cycle())
                    .map(|(byte, mask)| byte ^ mask),
            );
        }
    }
    bytes
}

/// The mask of our clients.
const MASK: [u8; 4] = [1, 2, 3, 4];

impl Conn {
    /// Opens a tunnel; panics unless the answer is 101 and its accept value matches.
    pub fn upgrade(&mut self, target: &str) -> super::Message {
        self.send(handshake(target));
        let answer = self.read_response();
        assert_eq!(answer.status(), 101, "{}", answer.head);
        assert_eq!(
            answer.field("Sec-WebSocket-Accept"),
            Some(accept_of(KEY).as_str())
        );
        answer
    }

    /// Sends a masked text frame.
    pub fn say(&mut self, text: &str) -> &mut Self {
        self.send(frame(1, text.as_bytes(), Some(MASK)))
    }

    /// Reads a frame; `None` when the stream ends before one is whole.
    pub fn try_read_frame(&mut self) -> Option<Frame> {
        let start = self.try_read_exactly(2)?;
        let masked = start[1] & 0x80 != 0;
        let length = match start[1] & 0x7f {
            126 => u64::from(u16::from_be_bytes(
                self.try_read_exactly(2)?.try_into().unwrap(),
            )),
            127 => u64::from_be_bytes(self.try_read_exactly(8)?.try_into().unwrap()),
            short => u64::from(short),
        };
        let mask = if masked {
            self.try_read_exactly(4)?
        } else {
            vec![0; 4]
        };
        let mut payload = self.try_read_exactly(usize::try_from(length).unwrap())?;
        for (byte, mask) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        Some(Frame {
            fin: start[0] & 0x80 != 0,
            opcode: start[0] & 0x0f,
            masked,
            payload,
        })
    }

    pub fn read_frame(&mut self) -> Frame {
        self.try_read_frame().expect("a whole frame")
    }

    /// Sends a text and expects it back.
    pub fn echoes(&mut self, text: &str) {
        self.say(text);
        assert_eq!(String::from_utf8_lossy(&self.read_frame().payload), text);
    }
}
