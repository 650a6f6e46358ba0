use super::within;
use crate::wire::cookie::{crumbs, set_cookies, strip};
use crate::wire::forward::Edit;
use crate::wire::request::RequestHead;
use crate::wire::response::ResponseHead;
use crate::wire::{HeadLimits, Progress, Span};

/// Each line is a `Cookie` field of a request and a `Set-Cookie` field of a response: what is found in them
/// lies within its field, and once `SID` was stripped there is none left.
pub fn cookies(input: &[u8]) {
    cookie(input);
    set_cookie(input);
}

fn cookie(input: &[u8]) {
    let Some((head, buf)) = request_with(input.split(|byte| *byte == b'\n')) else {
        return;
    };
    let mut found = 0;
    for crumb in crumbs(&head.fields, &buf, b"SID") {
        let field = head.fields[crumb.field].value;
        assert!(within(crumb.whole, field) && within(crumb.value, crumb.whole));
        assert!(crumb.whole.of(&buf).starts_with(b"SID"));
        let quoted = crumb.whole.of(&buf).contains(&b'"');
        assert!(quoted || !crumb.whole.of(&buf).contains(&b';'));
        found += 1;
    }
    let mut edits = Vec::new();
    assert_eq!(strip(&head.fields, &buf, b"SID", &mut edits), found);
    let left: Vec<Vec<u8>> = (1..head.fields.len())
        .filter_map(|at| edited(at, head.fields[at].value, &buf, &edits))
        .collect();
    assert!(found > 0 || edits.is_empty());
    let Some((stripped, bytes)) = request_with(left.iter().map(Vec::as_slice)) else {
        panic!("stripped, it is refused: {}", input.escape_ascii());
    };
    if let Some(crumb) = crumbs(&stripped.fields, &bytes, b"SID").next() {
        let crumb = crumb.whole.of(&bytes).escape_ascii();
        panic!("stripped, there is {crumb}: {}", bytes.escape_ascii());
    }
    let others = |head: &RequestHead, buf: &[u8]| {
        let crumbs = crumbs(&head.fields, buf, b"x");
        let values = crumbs.map(|crumb| crumb.value.of(buf).to_vec());
        values.collect::<Vec<_>>()
    };
    assert_eq!(
        others(&head, &buf),
        others(&stripped, &bytes),
        "{} became {}",
        buf.escape_ascii(),
        bytes.escape_ascii()
    );
}

fn set_cookie(input: &[u8]) {
    let mut buf = b"HTTP/1.1 200 OK\r\n".to_vec();
    for line in input.split(|byte| *byte == b'\n') {
        buf.extend_from_slice(b"Set-Cookie: ");
        buf.extend_from_slice(line);
        buf.extend_from_slice(b"\r\n");
    }
    buf.extend_from_slice(b"\r\n");
    let limits = HeadLimits::default();
    let mut head = ResponseHead::new(&limits);
    if head.parse(&buf, 0, &limits) != Ok(Progress::Complete) {
        return;
    }
    for set in set_cookies(&head.fields, &buf, b"SID") {
        let field = head.fields[set.field].value;
        assert!(within(set.value, field) && field.of(&buf).starts_with(b"SID"));
        assert!(!set.value.of(&buf).contains(&b';'));
    }
}

/// A request with these `Cookie` fields, where it is one.
fn request_with<'a>(values: impl Iterator<Item = &'a [u8]>) -> Option<(RequestHead, Vec<u8>)> {
    let mut buf = b"GET / HTTP/1.1\r\nHost: h\r\n".to_vec();
    for value in values {
        buf.extend_from_slice(b"Cookie: ");
        buf.extend_from_slice(value);
        buf.extend_from_slice(b"\r\n");
    }
    buf.extend_from_slice(b"\r\n");
    let limits = HeadLimits::default();
    let mut head = RequestHead::new(&limits);
    let end = head.parse(&buf, 0, &limits);
    (end == Ok(Progress::Complete)).then_some((head, buf))
}

/// What the edits leave of the field with this index and value, if anything.
fn edited(at: usize, value: Span, buf: &[u8], edits: &[Edit]) -> Option<Vec<u8>> {
    let (mut left, mut from) = (Vec::new(), value.from());
    for edit in edits {
        match edit {
            Edit::Drop(dropped) if *dropped == at => return None,
            Edit::Cut(span) if within(*span, value) => {
                left.extend_from_slice(&buf[from..span.from()]);
                from = span.to();
            }
            Edit::Drop(_) | Edit::Cut(_) | Edit::Put(_) => {}
        }
    }
    left.extend_from_slice(&buf[from..value.to()]);
    Some(left)
}
