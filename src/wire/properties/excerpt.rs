use crate::wire::excerpt::{EXCERPT, Excerpt, mask};
use crate::wire::{Blame, rules};

/// Whatever a head is, its excerpt is a bounded part of it in which bytes are either as they were or masked; what is printed of it is
/// visible ASCII, one place marked. Of a field that is secret nothing is left, wherever the head breaks: `input` is put before, into
/// and behind one.
pub fn excerpt(input: &[u8], cut: usize) {
    let cut = cut.min(input.len());
    for from in [Blame::Client, Blame::Server] {
        bounded(input, cut, from);
    }
    for name in [
        "Authorization",
        "proxy-authorization",
        "COOKIE",
        "Set-Cookie",
        "Sec-WebSocket-Key",
    ] {
        hidden(input, cut, name);
    }
    target(input);
}

fn bounded(input: &[u8], at: usize, from: Blame) {
    let excerpt = Excerpt::new(input, at, from);
    let end = excerpt.start + excerpt.bytes.len();
    assert!(excerpt.bytes.len() <= EXCERPT && end <= input.len());
    let is_same = |(shown, was): (&u8, &u8)| shown == was || *shown == b'*';
    assert!(
        excerpt
            .bytes
            .iter()
            .zip(&input[excerpt.start..end])
            .all(is_same)
    );
    let lines = excerpt.lines(at);
    let marks = lines.iter().filter_map(|line| line.mark);
    let is_in = (excerpt.start..=end).contains(&at) && !excerpt.bytes.is_empty();
    assert_eq!(marks.count(), usize::from(is_in));
    for line in &lines {
        assert!(line.text.bytes().all(|byte| matches!(byte, b' '..=b'~')));
        assert!(line.mark.is_none_or(|mark| mark <= line.text.len()));
    }
}

/// A field of that name with the input's first part before it and its second part as its value.
fn hidden(input: &[u8], cut: usize, name: &str) {
    let (before, value) = input.split_at(cut);
    let head = [
        b"GET / HTTP/1.1\r\n",
        before,
        b"\r\n",
        name.as_bytes(),
        b": ",
    ]
    .concat();
    let mut whole = [&head[..], value].concat();
    mask(&mut whole);
    let lines = |bytes| <[u8]>::split(bytes, |byte| matches!(byte, b'\r' | b'\n'));
    // The value ends where a line is a field for certain. Its first line is the name's, whatever is in it.
    let mut is_secret = true;
    for (number, (line, original)) in lines(&whole[head.len()..]).zip(lines(value)).enumerate() {
        let colon = memchr::memchr(b':', original);
        let is_field = colon.is_some_and(|colon| rules::is_token(&original[..colon]));
        is_secret &= number == 0 || !is_field;
        if is_secret {
            let shown = line
                .iter()
                .find(|byte| !matches!(byte, b'*' | b' ' | b'\t'));
            assert_eq!(shown, None, "{}", whole.escape_ascii());
        }
    }
}

/// A query with the input as its value.
fn target(input: &[u8]) {
    let is_value = |byte: &&u8| !matches!(byte, b'\r' | b'\n' | b'&' | b';' | b'?' | b'#');
    let value: Vec<u8> = input.iter().take_while(is_value).copied().collect();
    let mut line = [b"GET /?a=", &value[..], b" HTTP/1.1\r\n"].concat();
    mask(&mut line);
    let shown = &line[b"GET /?a=".len()..][..value.len()];
    assert!(
        shown.iter().all(|byte| *byte == b'*'),
        "{}",
        line.escape_ascii()
    );
}
