use super::{LIMITS, Way, ways};
use crate::wire::chunked::Decoder;
use crate::wire::forward::Trailers;
use crate::wire::{Blame, HeadLimits, Refusal};

/// A chunked body means the same however it is cut, and what a plain reading of the whole finds. It ends with
/// the last byte that it needs. What goes on is the strict form: it has the same payload, needs no change, and is itself
/// when it is read again, as a request's body too.
pub fn chunked(input: &[u8], cut: usize) {
    for from in [Blame::Client, Blame::Server] {
        let decoder = Decoder::new(&LIMITS, from);
        body(input, decoder, ways(input.len(), cut));
        body(input, decoder.with_bare_lf(), ways(input.len(), cut));
    }
}

/// What a body came to.
struct Body {
    payload: Vec<u8>,
    /// What goes on.
    strict: Vec<u8>,
    taken: usize,
    decoder: Decoder,
}

fn read(input: &[u8], mut decoder: Decoder, way: &[usize]) -> Result<Body, Refusal> {
    let (mut payload, mut strict, mut taken) = (Vec::new(), Vec::new(), 0);
    for size in way {
        let piece = &input[taken..*size];
        let (mut before, from) = (decoder, strict.len());
        let step = decoder.payload(piece, &mut payload)?;
        let again = before.strict(piece, &Trailers::default(), &mut strict)?;
        assert!(again == step && before == decoder);
        let as_it_came = strict[from..] == piece[..step.taken];
        assert!(
            as_it_came || !step.plain,
            "{} became {}",
            piece.escape_ascii(),
            strict.escape_ascii()
        );
        taken += step.taken;
        assert!(step.done == decoder.is_done() && (step.done || taken == *size));
        if step.done {
            break;
        }
    }
    Ok(Body {
        payload,
        strict,
        taken,
        decoder,
    })
}

fn body(input: &[u8], decoder: Decoder, ways: impl IntoIterator<Item = Way>) {
    let whole = read(input, decoder, &[input.len()]);
    for way in ways {
        let shown = || format!("in {way:?}: {}", input.escape_ascii());
        match (&whole, read(input, decoder, &way)) {
            (Err(one), Err(other)) => assert_eq!(*one, other, "{}", shown()),
            (Ok(one), Ok(other)) => {
                assert_eq!(one.payload, other.payload, "{}", shown());
                assert_eq!(one.strict, other.strict, "{}", shown());
                assert_eq!(one.taken, other.taken, "{}", shown());
                assert_eq!(one.decoder, other.decoder, "{}", shown());
            }
            _ => panic!("{}", shown()),
        }
    }
    let Ok(whole) = whole else {
        return;
    };
    let (plain, size) =
        plainly(input, whole.decoder.had_bare_lf()).expect("what the decoder reads can be read");
    assert_eq!(whole.payload, plain, "{}", input.escape_ascii());
    check_strict(&whole);
    if whole.decoder.is_done() {
        assert_eq!(Some(whole.taken), size, "{}", input.escape_ascii());
        let mut short = decoder;
        let step = short.step(&input[..whole.taken - 1]);
        assert!(
            step.is_ok_and(|step| !step.done),
            "{}",
            input.escape_ascii()
        );
    } else {
        assert!(size.is_none(), "{}", input.escape_ascii());
    }
}

/// The strict form is one, for the strictest of readers.
fn check_strict(body: &Body) {
    let shown = || body.strict.escape_ascii().to_string();
    let decoder = Decoder::new(&WIDE, Blame::Client);
    let again = read(&body.strict, decoder, &[body.strict.len()]).expect("the strict form is read");
    assert_eq!(again.payload, body.payload, "{}", shown());
    // Of an unfinished one, the name of a trailer may be held.
    assert!(body.strict.starts_with(&again.strict), "{}", shown());
    assert_eq!(
        again.decoder.is_done(),
        body.decoder.is_done(),
        "{}",
        shown()
    );
    let mut rest = &body.strict[..];
    loop {
        let Some(line) = line(rest, false) else {
            return;
        };
        assert!(
            line.len() <= 16 && line.iter().all(u8::is_ascii_hexdigit),
            "{}",
            shown()
        );
        assert!(line.len() == 1 || !line.starts_with(b"00"), "{}", shown());
        let text = std::str::from_utf8(line).expect("digits");
        let size = usize::from_str_radix(text, 16).expect("digits");
        if size == 0 || rest.len() < line.len() + 2 + size + 2 {
            return;
        }
        rest = &rest[line.len() + 2 + size + 2..];
    }
}

/// For bodies that have been read already.
const WIDE: HeadLimits = HeadLimits {
    size: 128 * 1024,
    fields: HeadLimits::MOST_FIELDS,
};

/// The payload that is there, and the body's size if its end is, too. Lenient: it is only asked about bodies that
/// the strict reader took. `None` for what is no chunked body at all.
fn plainly(input: &[u8], bare_lf: bool) -> Option<(Vec<u8>, Option<usize>)> {
    let (mut payload, mut at) = (Vec::new(), 0);
    let end = |rest: &[u8]| match rest {
        [b'\n', ..] if bare_lf => 1,
        _ => 2,
    };
    loop {
        let Some(line) = line(&input[at..], bare_lf) else {
            return Some((payload, None));
        };
        at += line.len() + end(&input[at + line.len()..]);
        let digits = line.split(|byte| *byte == b';').next()?.trim_ascii_end();
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        let rest = &input[at..];
        payload.extend_from_slice(&rest[..size.min(rest.len())]);
        let Some(behind) = rest.get(size..).filter(|behind| behind.contains(&b'\n')) else {
            return Some((payload, None));
        };
        at += size + end(behind);
    }
    loop {
        let Some(line) = line(&input[at..], bare_lf) else {
            return Some((payload, None));
        };
        at += line.len() + end(&input[at + line.len()..]);
        if line.is_empty() {
            return Some((payload, Some(at)));
        }
    }
}

/// A line without its end, if it has one.
fn line(rest: &[u8], bare_lf: bool) -> Option<&[u8]> {
    if bare_lf {
        let line = &rest[..memchr::memchr(b'\n', rest)?];
        return Some(line.strip_suffix(b"\r").unwrap_or(line));
    }
    memchr::memmem::find(rest, b"\r\n").map(|end| &rest[..end])
}
