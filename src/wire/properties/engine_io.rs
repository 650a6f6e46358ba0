use super::super::engine_io::{self, Asked, LONGEST_SID, Opened};

/// An open packet is decided by the first bytes that allow it, and by nothing behind them; the id that it gives is a
/// plain word that leads, as a parameter, to the same id again. A query says something for any bytes.
pub fn engine_io(input: &[u8]) {
    let whole = engine_io::opened(input);
    let first = (0..=input.len())
        .map(|size| engine_io::opened(&input[..size]))
        .find(|opened| *opened != Opened::Partial);
    let bytes = input.escape_ascii();
    assert_eq!(first.unwrap_or(Opened::Partial), whole, "{bytes}");
    if let Opened::Session(place) = whole {
        let sid = place.of(input);
        assert!((1..=LONGEST_SID).contains(&sid.len()), "{bytes}");
        assert!(sid.iter().all(u8::is_ascii_graphic), "{bytes}");
        let query = [b"?transport=polling&sid=", &escaped(sid)[..]].concat();
        match engine_io::asked(&query) {
            Asked::Session(again) => assert!(engine_io::plain(again).eq(sid.iter().copied())),
            // Three times as long when escaped.
            other => assert!(escaped(sid).len() > LONGEST_SID, "{other:?} of {bytes}"),
        }
    }
    if let Asked::Session(sid) = engine_io::asked(input) {
        assert!((1..=LONGEST_SID).contains(&sid.len()), "{bytes}");
        assert!(engine_io::plain(sid).count() <= sid.len(), "{bytes}");
    }
}

/// As a client writes it into a query.
fn escaped(sid: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for byte in sid {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(*byte),
            _ => out.extend(format!("%{byte:02X}").bytes()),
        }
    }
    out
}
