/// Whose frames a tracker follows: a client's are masked, a server's are not (RFC 6455 section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// The client's.
    Client,
    /// The server's.
    Server,
}

/// The place in one direction's frames (RFC 6455 section 5.2): headers are read, payload is skipped by its
/// length, nothing is kept of it but a close frame's code. Invalid frames end the following, not the
/// tunnel. Reserved bits are left alone: extensions give them a meaning that is not ours.
///
/// A plain value of a few words: it can be copied, and written down to be taken up elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameTracker {
    /// Payload bytes of the present frame that have not come yet.
    left: u64,
    /// Complete data messages.
    messages: u64,
    /// The header so far, when it arrives in pieces.
    header: [u8; LONGEST_HEADER],
    header_length: u8,
    from: From,
    /// The bytes were frames until now.
    followed: bool,
    /// A data message has begun and its last frame's header has not come.
    fragmented: bool,
    /// The present frame is the last of a data message.
    ends_message: bool,
    /// What is known of a close frame.
    close: Close,
}

/// Two masked or plain bytes at the start of a close frame's payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Close {
    None,
    /// Its header came; the key to unmask the code with.
    First {
        mask: [u8; 2],
    },
    Second {
        high: u8,
        mask: u8,
    },
    Code(u16),
}

/// Two bytes, eight of length, four of mask.
const LONGEST_HEADER: usize = 14;

/// "No status code was present" (RFC 6455 section 7.4.1).
const NO_CODE: u16 = 1005;

impl FrameTracker {
    /// Before the first frame.
    pub const fn new(from: From) -> Self {
        Self {
            left: 0,
            messages: 0,
            header: [0; LONGEST_HEADER],
            header_length: 0,
            from,
            followed: true,
            fragmented: false,
            ends_message: false,
            close: Close::None,
        }
    }

    /// Takes the next bytes of that direction. One whole small frame, the usual case, is a few compares.
    #[inline]
    pub fn advance(&mut self, bytes: &[u8]) {
        let masked = self.from == From::Client;
        if let [first, second, ..] = bytes
            && matches!(first & 0x8f, 0x81 | 0x82)
            && (second >> 7 == 1) == masked
            && second & 0x7f < 126
            && bytes.len() == 2 + 4 * usize::from(masked) + usize::from(second & 0x7f)
            && self.is_between_messages()
        {
            self.messages += 1;
        } else {
            self.follow(bytes);
        }
    }

    /// Complete data messages so far (control frames are none).
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// False once the bytes were no valid frames: nothing else is known from then on.
    pub const fn is_followed(&self) -> bool {
        self.followed
    }

    /// Whether the next byte begins a frame: here one may be put in between.
    pub const fn at_boundary(&self) -> bool {
        self.followed && self.left == 0 && self.header_length == 0
    }

    /// Whether a message has begun and is not complete: only control frames may come in between.
    pub const fn in_message(&self) -> bool {
        self.followed && (self.fragmented || self.ends_message)
    }

    /// The code of the close frame that went by; 1005 if it had none (RFC 6455 section 7.1.5). `None`
    /// until it is complete.
    pub const fn close_code(&self) -> Option<u16> {
        match self.close {
            Close::Code(code) => Some(code),
            _ => None,
        }
    }

    const fn is_between_messages(&self) -> bool {
        self.at_boundary() && !self.fragmented && matches!(self.close, Close::None)
    }

    fn follow(&mut self, mut bytes: &[u8]) {
        while self.followed && !bytes.is_empty() {
            if self.left > 0 {
                bytes = self.payload(bytes);
            } else {
                bytes = self.head(bytes);
            }
        }
    }

    /// Skips payload of the present frame, and returns the bytes behind it.
    fn payload<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let here = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        let (payload, rest) = bytes.split_at(here);
        self.left -= here as u64;
        if !matches!(self.close, Close::None | Close::Code(_)) {
            self.close_payload(payload);
        }
        if self.left == 0 {
            self.end();
        }
        rest
    }

    fn close_payload(&mut self, payload: &[u8]) {
        for byte in payload {
            self.close = match self.close {
                Close::First { mask } => Close::Second {
                    high: byte ^ mask[0],
                    mask: mask[1],
                },
                Close::Second { high, mask } => {
                    Close::Code(u16::from_be_bytes([high, byte ^ mask]))
                }
                known => known,
            };
        }
    }

    /// The present frame is complete.
    fn end(&mut self) {
        self.messages += u64::from(std::mem::take(&mut self.ends_message));
    }

    /// Takes bytes of a header, and returns the bytes behind those.
    fn head<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        let kept = usize::from(self.header_length);
        let room = &mut self.header[kept..];
        let more = room.len().min(bytes.len());
        room[..more].copy_from_slice(&bytes[..more]);
        if let [first, second, ..] = self.header[..kept + more] {
            if !self.is_valid_start(first, second) {
                self.followed = false;
                return &[];
            }
            let length = header_length(second);
            if kept + more >= length {
                self.header_length = 0;
                self.begin(first, second, length);
                return &bytes[length - kept..];
            }
        }
        self.header_length = (kept + more) as u8;
        &[]
    }

    /// What the first two bytes alone can be held to (RFC 6455 sections 5.1 to 5.5).
    fn is_valid_start(&self, first: u8, second: u8) -> bool {
        let (last, opcode, length) = (first & 0x80 != 0, first & 0x0f, second & 0x7f);
        let fits = match opcode {
            0 => self.fragmented,
            1 | 2 => !self.fragmented,
            // A close payload is empty or begins with a code of two bytes (section 5.5.1).
            8 => last && length <= 125 && length != 1,
            9 | 10 => last && length <= 125,
            _ => false,
        };
        // Nothing follows a close frame (section 5.5.1).
        fits && matches!(self.close, Close::None)
            && (second & 0x80 != 0) == (self.from == From::Client)
    }

    /// A header of `length` bytes is complete.
    fn begin(&mut self, first: u8, second: u8, length: usize) {
        let masked = usize::from(second & 0x80 != 0) * 4;
        let header = &self.header[2..length - masked];
        let number = header
            .iter()
            .fold(0, |number, byte| number << 8 | u64::from(*byte));
        // Lengths are minimal and have 63 bits (section 5.2).
        let (payload, valid) = match second & 0x7f {
            126 => (number, number > 125),
            127 => (number, number > u64::from(u16::MAX) && number >> 63 == 0),
            short => (short.into(), true),
        };
        if !valid {
            self.followed = false;
            return;
        }
        let last = first & 0x80 != 0;
        match first & 0x0f {
            0..=2 => (self.fragmented, self.ends_message) = (!last, last),
            8 => self.close = self.close_begins(length, payload),
            _ => {}
        }
        self.left = payload;
        if payload == 0 {
            self.end();
        }
    }

    fn close_begins(&self, length: usize, payload: u64) -> Close {
        match (payload, self.from) {
            (0, _) => Close::Code(NO_CODE),
            (_, From::Server) => Close::First { mask: [0, 0] },
            (_, From::Client) => Close::First {
                mask: [self.header[length - 4], self.header[length - 3]],
            },
        }
    }
}

/// Bytes of a header, of which the second byte tells.
const fn header_length(second: u8) -> usize {
    let length = match second & 0x7f {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    if second & 0x80 != 0 {
        length + 4
    } else {
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::properties;
    use proptest::prelude::*;

    /// A frame of `from`'s, masked with `1 2 3 4` if it is the client's.
    fn frame(from: From, first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = if from == From::Client { 0x80 } else { 0 };
        let mut out = vec![first];
        match payload.len() {
            short @ 0..126 => out.push(mask | short as u8),
            medium @ 126..=0xffff => {
                out.push(mask | 126);
                out.extend_from_slice(&(medium as u16).to_be_bytes());
            }
            long => {
                out.push(mask | 127);
                out.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        if from == From::Client {
            out.extend_from_slice(&[1, 2, 3, 4]);
            out.extend(
                payload
                    .iter()
                    .zip([1, 2, 3, 4].iter().cycle())
                    .map(|(byte, key)| byte ^ key),
            );
        } else {
            out.extend_from_slice(payload);
        }
        out
    }

    fn after(from: From, bytes: &[u8]) -> FrameTracker {
        let mut tracker = FrameTracker::new(from);
        tracker.advance(bytes);
        tracker
    }

    #[test]
    fn messages_are_counted_when_complete() {
        for from in [From::Client, From::Server] {
            for size in [0, 1, 125, 126, 127, 65535, 65536, 100_000] {
                let bytes = frame(from, 0x81, &vec![b'x'; size]);
                let tracker = after(from, &bytes);
                assert!(tracker.at_boundary() && !tracker.in_message());
                assert_eq!(tracker.messages(), 1, "{size}");
                let before = after(from, &bytes[..bytes.len() - 1]);
                assert_eq!((before.messages(), before.at_boundary()), (0, false));
            }
            let parts = [
                frame(from, 0x01, b"one"),
                frame(from, 0x89, b"ping"),
                frame(from, 0x00, b""),
                frame(from, 0x8a, b""),
                frame(from, 0x80, b"end"),
                frame(from, 0xc2, b"compressed"),
            ];
            let tracker = after(from, &parts.concat());
            assert_eq!((tracker.messages(), tracker.is_followed()), (2, true));
            let tracker = after(from, &parts[..4].concat());
            assert_eq!(
                (
                    tracker.messages(),
                    tracker.at_boundary(),
                    tracker.in_message()
                ),
                (0, true, true)
            );
        }
    }

    #[test]
    fn close_codes() {
        for from in [From::Client, From::Server] {
            let bytes = [frame(from, 0x82, b"x"), frame(from, 0x88, b"\x03\xe9bye")].concat();
            let tracker = after(from, &bytes);
            assert_eq!((tracker.close_code(), tracker.messages()), (Some(1001), 1));
            assert_eq!(
                after(from, &frame(from, 0x88, b"")).close_code(),
                Some(1005)
            );
            assert_eq!(
                after(from, &frame(from, 0x88, b"\x03\xe9")[..3]).close_code(),
                None
            );
            let more = [bytes, frame(from, 0x81, b"more")].concat();
            assert!(!after(from, &more).is_followed());
        }
    }

    #[test]
    fn invalid_frames_end_the_following() {
        let table: [(&str, From, &[u8]); 15] = [
            ("reserved opcode", From::Server, b"\x83\x00"),
            ("reserved control opcode", From::Server, b"\x8b\x00"),
            ("fragmented ping", From::Server, b"\x09\x00"),
            ("long ping", From::Server, b"\x89\x7e\x00\x7e"),
            ("close of one byte", From::Server, b"\x88\x01x"),
            ("continuation without start", From::Server, b"\x80\x00"),
            ("start within a message", From::Server, b"\x01\x00\x81\x00"),
            (
                "masked by a server",
                From::Server,
                b"\x81\x80\x01\x02\x03\x04",
            ),
            ("unmasked by a client", From::Client, b"\x81\x01x"),
            ("unmasked and empty by a client", From::Client, b"\x81\x00"),
            ("16 bits where 7 do", From::Server, b"\x81\x7e\x00\x7d"),
            (
                "64 bits where 16 do",
                From::Server,
                b"\x81\x7f\0\0\0\0\0\0\xff\xff",
            ),
            (
                "64 bits where 7 do",
                From::Client,
                b"\x81\xff\0\0\0\0\0\0\0\0\x01\x02\x03\x04",
            ),
            ("the top bit", From::Server, b"\x81\x7f\x80\0\0\0\0\0\0\0"),
            ("no frames at all", From::Client, b"GET / HTTP/1.1\r\n"),
        ];
        for (what, from, bytes) in table {
            let mut tracker = after(from, bytes);
            assert!(!tracker.is_followed() && !tracker.at_boundary(), "{what}");
            let messages = tracker.messages();
            tracker.advance(&frame(from, 0x81, b"x"));
            assert_eq!(tracker.messages(), messages, "{what}");
        }
    }

    proptest! {
        #[test]
        fn splitting_changes_nothing(
            frames in proptest::collection::vec(
                (proptest::sample::select(vec![0x81, 0x82, 0x01, 0x00, 0x80, 0x89, 0x88, 0xc1, 0x83]), 0_usize..140),
                0..8),
            tail in proptest::collection::vec(any::<u8>(), 0..20),
            client: bool,
            cut in 0_usize..400,
        ) {
            let from = if client { From::Client } else { From::Server };
            let mut bytes: Vec<u8> = frames
                .into_iter()
                .flat_map(|(first, size)| frame(from, first, &vec![7; size]))
                .collect();
            bytes.extend_from_slice(&tail);
            properties::frames(&bytes, client, cut);
        }
    }
}
