//! Responses of old servers, for pools with `response_parsing = "lenient"`: a head that is not strict is rewritten into one that
//! is, and then read with all the rules.
//!
//! Rewritten are line feeds without a carriage return (RFC 9112 section 2.2 lets a recipient take them for line ends), folded
//! lines (section 5.2: joined by a space), lengths that repeat one value, and lengths beside a transfer coding (section 6.3: the
//! coding wins). What else is wrong stays wrong, and is refused by [`super::response::ResponseHead::parse`].

use super::{HeadLimits, Known, Refusal, rules};

/// Appends the strict form of the head at the front of `buf` to `out`. Returns how many bytes of `buf` the head has; `None`, and
/// nothing appended, while it has no end.
///
/// # Errors
/// When it is too large, empty, or begins with a folded line.
pub fn strict_head(
    buf: &[u8],
    limits: &HeadLimits,
    out: &mut Vec<u8>,
) -> Result<Option<usize>, Refusal> {
    let window = &buf[..buf.len().min(limits.size)];
    let Some(size) = size(window) else {
        return match window.len() < limits.size {
            true => Ok(None),
            false => Err(Refusal::HeadTooLarge),
        };
    };
    let mut unfolded = Vec::with_capacity(size);
    if lines(&window[..size]).next().is_none() {
        return Err(Refusal::BadStatusLine);
    }
    for (number, line) in lines(&window[..size]).enumerate() {
        match line {
            // What it would continue is no field.
            [b' ' | b'\t', ..] if number < 2 => return Err(Refusal::FoldedField),
            [b' ' | b'\t', ..] => join(rules::trim(line), &mut unfolded),
            _ => push_line(line, &mut unfolded),
        }
    }
    push_framed(&unfolded, out);
    out.extend_from_slice(b"\r\n");
    Ok(Some(size))
}

/// Appends the lines without lengths that say nothing of their own.
fn push_framed(head: &[u8], out: &mut Vec<u8>) {
    let has_coding = lines(head).any(|line| known(line) == Known::TransferEncoding);
    let mut length = None;
    for line in lines(head) {
        let one = match known(line) {
            Known::ContentLength => rules::one_length(&line[LENGTH.len()..]),
            _ => None,
        };
        match one {
            Some(_) if has_coding => {}
            Some(one) if length == Some(one) => {}
            Some(one) if line.contains(&b',') => {
                length = Some(one);
                let value = itoa::Buffer::new().format(one).to_owned();
                push_line(format!("Content-Length: {value}").as_bytes(), out);
            }
            _ => {
                length = length.or(one);
                push_line(line, out);
            }
        }
    }
}

/// A field's name and its colon.
const LENGTH: &str = "Content-Length:";

/// Bytes up to and with the first empty line.
fn size(window: &[u8]) -> Option<usize> {
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', window) {
        if matches!(&window[start..end], b"" | b"\r") {
            return Some(end + 1);
        }
        start = end + 1;
    }
    None
}

/// The lines before the empty one, without their ends.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let lines = head.split(|byte| *byte == b'\n');
    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    lines.take_while(|line| !line.is_empty())
}

/// Which field a line is. A name that is not followed by its colon at once is none.
fn known(line: &[u8]) -> Known {
    match memchr::memchr(b':', line) {
        Some(colon) => Known::of(&line[..colon]),
        None => Known::Other,
    }
}

fn push_line(line: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(line);
    out.extend_from_slice(b"\r\n");
}

/// Continues the line that was pushed last.
fn join(rest: &[u8], out: &mut Vec<u8>) {
    out.truncate(out.len() - 2);
    if !rest.is_empty() {
        out.push(b' ');
    }
    push_line(rest, out);
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::wire::properties;
    use crate::wire::response::ResponseHead;
    use crate::wire::{Blame, Progress};
    use proptest::prelude::*;

    const LIMITS: HeadLimits = HeadLimits {
        size: 256,
        fields: 10,
    };

    /// What is read of this response: lenient, and the refusal without it.
    fn read(input: &str) -> (Result<String, Refusal>, Option<Refusal>) {
        let mut head = ResponseHead::new(&LIMITS);
        let strict = head.parse(input.as_bytes(), 0, &LIMITS).err();
        let mut out = Vec::new();
        let lenient = strict_head(input.as_bytes(), &LIMITS, &mut out).and_then(|size| {
            assert_eq!(size, Some(input.len()), "{input:?}");
            assert_eq!(head.parse(&out, 0, &LIMITS)?, Progress::Complete);
            assert_eq!(head.size, out.len());
            Ok(String::from_utf8(out).unwrap().replace("\r\n", "|"))
        });
        (lenient, strict)
    }

    #[test]
    fn what_old_servers_send_becomes_strict() {
        use Refusal::{BareLineEnd, FoldedField, LengthAndCoding, LengthRepeated};
        let table = [
            (
                "HTTP/1.1 200 OK\nA: b\n\n",
                "HTTP/1.1 200 OK|A: b||",
                BareLineEnd,
            ),
            (
                "HTTP/1.1 200\r\nA: b\n\r\n",
                "HTTP/1.1 200|A: b||",
                BareLineEnd,
            ),
            (
                "HTTP/1.0 200 OK\nA:\n\r\n",
                "HTTP/1.0 200 OK|A:||",
                BareLineEnd,
            ),
            (
                "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\t d\r\n\r\n",
                "HTTP/1.1 200 OK|A: b c d||",
                FoldedField,
            ),
            (
                "HTTP/1.1 200 OK\r\nA: b\r\n \r\nC: d\r\n\r\n",
                "HTTP/1.1 200 OK|A: b|C: d||",
                FoldedField,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length:\r\n 5\r\n\r\n",
                "HTTP/1.1 200 OK|Content-Length: 5||",
                FoldedField,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nA: b\r\ncontent-length:05\r\n\r\n",
                "HTTP/1.1 200 OK|Content-Length: 5|A: b||",
                LengthRepeated,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5, 5\r\n\r\n",
                "HTTP/1.1 200 OK|Content-Length: 5||",
                LengthRepeated,
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n\r\n",
                "HTTP/1.1 200 OK|Transfer-Encoding: chunked||",
                LengthRepeated,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
                "HTTP/1.1 200 OK|Transfer-Encoding: chunked||",
                LengthAndCoding,
            ),
        ];
        for (input, output, refusal) in table {
            let (lenient, strict) = read(input);
            assert_eq!(lenient.as_deref(), Ok(output), "{input:?}");
            let strict = strict.unwrap();
            // Of two lengths that differ the first refusal speaks; the coding wins over both.
            assert!(
                strict == refusal || strict == Refusal::LengthsDiffer,
                "{input:?}: {strict}"
            );
            let advised = strict.accepted_by(Blame::Server).is_some();
            assert!(advised || strict == Refusal::LengthsDiffer, "{input:?}");
            assert_eq!(strict.accepted_by(Blame::Client), None);
        }
    }

    #[test]
    fn what_has_two_readings_stays_refused() {
        use Refusal::*;
        let table = [
            ("Content-Length: 5\nContent-Length: 6\n", LengthsDiffer),
            ("Content-Length: 5, 6\n", BadLength),
            ("Content-Length: 5,\n", BadLength),
            (
                "Content-Length: +5\nTransfer-Encoding: chunked\n",
                BadLength,
            ),
            ("Content-Length : 5\n", BadFieldName),
            ("Transfer-Encoding: gzip\nContent-Length: 5\n", BadCoding),
            (
                "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n",
                BadCoding,
            ),
            ("A: b\rC: d\n", BadFieldValue),
            ("A: b\r\r\n", BadFieldValue),
            ("A: \0\n", BadFieldValue),
            ("A\n", BadFieldName),
            (": b\n", BadFieldName),
            (" A: b\n", FoldedField),
            ("\tA: b\n", FoldedField),
        ];
        for (fields, refusal) in table {
            let input = format!("HTTP/1.1 200 OK\n{fields}\n");
            assert_eq!(read(&input).0, Err(refusal), "{input:?}");
        }
        for (input, refusal) in [
            (
                "HTTP/1.0 200 OK\nTransfer-Encoding: chunked\nContent-Length: 5\n\n",
                CodingInOldVersion,
            ),
            ("ICY 200 OK\n\n", BadStatusLine),
            ("HTTP/1.1 200 OK\rA: b\n\n", BadStatusLine),
        ] {
            assert_eq!(read(input).0, Err(refusal), "{input:?}");
        }
        let long = format!("HTTP/1.1 200 OK\nA: {}", "x".repeat(300));
        let refused = strict_head(long.as_bytes(), &LIMITS, &mut Vec::new());
        assert_eq!(refused, Err(HeadTooLarge));
        let most = "HTTP/1.1 200 OK\nA: b";
        assert_eq!(
            strict_head(most.as_bytes(), &LIMITS, &mut Vec::new()),
            Ok(None)
        );
    }

    proptest! {
        #[test]
        fn what_is_rewritten_is_strict(
            words in proptest::collection::vec(proptest::sample::select(vec![
                "HTTP/1.1 200 OK", " ", "\t", "\r\n", "\n", "\n\n", "\r", "Content-Length: 5", "Content-Length: 5, 5",
                "Transfer-Encoding: chunked", "A: b", ":", "\0", ",",
            ]), 0..12),
            cut in 0_usize..200,
        ) {
            properties::lenient_head(words.concat().as_bytes(), cut);
            properties::lenient_head(format!("HTTP/1.1 200 OK\n{}", words.concat()).as_bytes(), cut);
        }
    }
}
