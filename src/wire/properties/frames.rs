use super::ways;
use crate::wire::websocket::{FrameTracker, From};

/// Frames are followed to the same place however they are cut, and to where a plain reading of the whole
/// finds them.
pub fn frames(input: &[u8], client: bool, cut: usize) {
    let from = if client { From::Client } else { From::Server };
    let read = |way: &[usize]| {
        let mut tracker = FrameTracker::new(from);
        let mut seen = 0;
        for size in way {
            tracker.advance(&input[seen..*size]);
            seen = *size;
        }
        let place = (
            tracker.at_boundary(),
            tracker.in_message(),
            tracker.close_code(),
        );
        (
            tracker.is_followed(),
            tracker.messages(),
            tracker.is_followed().then_some(place),
        )
    };
    let whole = read(&[input.len()]);
    for way in ways(input.len(), cut) {
        assert_eq!(whole, read(&way), "in {way:?}: {}", input.escape_ascii());
    }
    let (messages, ends_between) = plainly(input, client);
    assert_eq!(whole.1, messages, "{}", input.escape_ascii());
    if let Some((at_boundary, ..)) = whole.2 {
        assert_eq!(at_boundary, ends_between, "{}", input.escape_ascii());
    }
}

/// Complete data messages before the first invalid frame, and whether the input ends between two frames (RFC
/// 6455 section 5.2, read frame by frame).
fn plainly(mut rest: &[u8], client: bool) -> (u64, bool) {
    let (mut messages, mut open, mut closed) = (0, false, false);
    while let [first, second, after @ ..] = rest {
        let (last, opcode) = (first >> 7 == 1, first & 15);
        let is_control = opcode >= 8;
        let sound = match opcode {
            0 => open,
            1 | 2 => !open,
            8 => last && second & 127 < 126 && second & 127 != 1,
            9 | 10 => last && second & 127 < 126,
            _ => false,
        };
        if !sound || closed || (second >> 7 == 1) != client {
            return (messages, false);
        }
        let more = match second & 127 {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let Some((length, after)) = after.split_at_checked(more) else {
            return (messages, false);
        };
        let length = match more {
            0 => u64::from(second & 127),
            _ => length
                .iter()
                .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        };
        if (more == 2 && length < 126) || (more == 8 && (length < 65_536 || length >> 63 == 1)) {
            return (messages, false);
        }
        let size = usize::try_from(length).unwrap_or(usize::MAX);
        let size = size.saturating_add(if client { 4 } else { 0 });
        let Some((_, after)) = after.split_at_checked(size) else {
            return (messages, false);
        };
        if !is_control {
            open = !last;
            messages += u64::from(last);
        }
        closed |= opcode == 8;
        rest = after;
    }
    (messages, rest.is_empty())
}
