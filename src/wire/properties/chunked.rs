use super::{LIMITS, ways};
use crate::wire::chunked::Decoder;

/// A chunked body means the same however it is cut, and what a plain reading of the whole finds. It ends with
/// the last byte that it needs.
pub fn chunked(input: &[u8], cut: usize) {
    let read = |way: &[usize]| {
        let (mut decoder, mut payload, mut taken) = (Decoder::new(&LIMITS), Vec::new(), 0);
        for size in way {
            match decoder.payload(&input[taken..*size], &mut payload) {
                Ok(step) => {
                    taken += step.taken;
                    assert!(step.done == decoder.is_done() && (step.done || taken == *size));
                    if step.done {
                        break;
                    }
                }
                Err(refusal) => return Err(refusal),
            }
        }
        Ok((payload, taken, decoder))
    };
    let whole = read(&[input.len()]);
    for way in ways(input.len(), cut) {
        assert_eq!(whole, read(&way), "in {way:?}: {}", input.escape_ascii());
    }
    let Ok((payload, taken, decoder)) = whole else {
        return;
    };
    let (plain, size) = plainly(input).expect("what the decoder reads can be read");
    assert_eq!(payload, plain, "{}", input.escape_ascii());
    if decoder.is_done() {
        assert_eq!(Some(taken), size, "{}", input.escape_ascii());
        let mut short = Decoder::new(&LIMITS);
        let step = short.step(&input[..taken - 1]);
        assert!(
            step.is_ok_and(|step| !step.done),
            "{}",
            input.escape_ascii()
        );
    } else {
        assert!(size.is_none(), "{}", input.escape_ascii());
    }
}

/// The payload that is there, and the body's size if its end is, too. Lenient: it is only asked about bodies that
/// the strict reader took. `None` for what is no chunked body at all.
fn plainly(input: &[u8]) -> Option<(Vec<u8>, Option<usize>)> {
    let (mut payload, mut at) = (Vec::new(), 0);
    loop {
        let Some(line) = line(&input[at..]) else {
            return Some((payload, None));
        };
        at += line.len() + 2;
        let digits = line.split(|byte| *byte == b';').next()?;
        let size = usize::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        if size == 0 {
            break;
        }
        let rest = &input[at..];
        payload.extend_from_slice(&rest[..size.min(rest.len())]);
        if rest.len() < size + 2 {
            return Some((payload, None));
        }
        at += size + 2;
    }
    loop {
        let Some(line) = line(&input[at..]) else {
            return Some((payload, None));
        };
        at += line.len() + 2;
        if line.is_empty() {
            return Some((payload, Some(at)));
        }
    }
}

fn line(rest: &[u8]) -> Option<&[u8]> {
    memchr::memmem::find(rest, b"\r\n").map(|end| &rest[..end])
}
