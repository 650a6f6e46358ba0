//! The sticky cookie in `Cookie` and `Set-Cookie` fields, found in place.
//!
//! A `Cookie` field is a row of crumbs, `name=value` with `;` between them (RFC 6265 section 4.2). What
//! real clients and old servers do is met halfway: spaces around `=`, values in quotes, and `,` between
//! crumbs (RFC 2965); names that begin with `$` are attributes of that old form and no cookies. As in HAProxy, what a
//! value has in quotes belongs to it, separators too, so that a cookie whose text contains our name is not taken for ours.
//! A quote that is not closed is a byte like others. Names are compared exactly.

use super::{Field, Known, Span, forward::Edit};

/// One `name=value` of a `Cookie` field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crumb {
    /// Index of its field in the head.
    pub field: usize,
    /// The value without surrounding whitespace and quotes.
    pub value: Span,
    /// From the name's first byte to the value's last (quotes included).
    pub whole: Span,
}

/// Appends every crumb called `name` in every `Cookie` field, in order: [`crumbs`] for whoever looks at them more than once.
pub fn find(fields: &[Field], buf: &[u8], name: &[u8], found: &mut Vec<Crumb>) {
    for (field, value) in cookie_fields(fields, Known::Cookie) {
        for whole in segments(buf, value) {
            if let Some(value) = value_of(buf, whole, name) {
                found.push(Crumb {
                    field,
                    value,
                    whole,
                });
            }
        }
    }
}

/// Every crumb called `name` in every `Cookie` field, in order.
pub fn crumbs<'a>(
    fields: &'a [Field],
    buf: &'a [u8],
    name: &'a [u8],
) -> impl Iterator<Item = Crumb> + 'a {
    cookie_fields(fields, Known::Cookie).flat_map(move |(field, value)| {
        segments(buf, value).filter_map(move |whole| {
            let value = value_of(buf, whole, name)?;
            Some(Crumb {
                field,
                value,
                whole,
            })
        })
    })
}

/// Appends the edits that remove every crumb called `name`, each with one separator; a field in which
/// nothing is left is dropped whole. Says how many crumbs those are.
pub fn strip(fields: &[Field], buf: &[u8], name: &[u8], edits: &mut Vec<Edit>) -> usize {
    let mut stripped = 0;
    for (field, value) in cookie_fields(fields, Known::Cookie) {
        stripped += strip_field(field, value, buf, name, edits);
    }
    stripped
}

fn strip_field(field: usize, value: Span, buf: &[u8], name: &[u8], edits: &mut Vec<Edit>) -> usize {
    let (mut stripped, mut cut_from, mut kept_to) = (0, None, None);
    for segment in segments(buf, value) {
        if value_of(buf, segment, name).is_some() {
            stripped += 1;
            cut_from = cut_from.or(Some(segment.start));
        } else {
            if let Some(start) = cut_from.take() {
                let end = segment.start;
                edits.push(Edit::Cut(Span { start, end }));
            }
            kept_to = Some(segment.end);
        }
    }
    match (cut_from, kept_to) {
        (Some(_), Some(start)) => edits.push(Edit::Cut(Span {
            start,
            end: value.end,
        })),
        (Some(_), None) => edits.push(Edit::Drop(field)),
        (None, _) => {}
    }
    stripped
}

/// One `Set-Cookie` field that sets the cookie looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetCookie {
    /// Index of its field in the head.
    pub field: usize,
    /// The value as written, quotes included, without the attributes.
    pub value: Span,
}

/// Every `Set-Cookie` field that sets `name`, in order (RFC 6265 section 5.2: what is before the first `;`).
pub fn set_cookies<'a>(
    fields: &'a [Field],
    buf: &'a [u8],
    name: &'a [u8],
) -> impl Iterator<Item = SetCookie> + 'a {
    cookie_fields(fields, Known::SetCookie).filter_map(move |(field, value)| {
        let length = memchr::memchr(b';', value.of(buf)).unwrap_or(value.len());
        let end = value.from() + length;
        let pair = trimmed(buf, value.from(), end);
        Some(SetCookie {
            field,
            value: raw_value_of(buf, pair, name)?,
        })
    })
}

fn cookie_fields(fields: &[Field], known: Known) -> impl Iterator<Item = (usize, Span)> {
    let named = move |(_, field): &(usize, &Field)| field.known == known;
    fields
        .iter()
        .enumerate()
        .filter(named)
        .map(|(at, field)| (at, field.value))
}

/// The parts of a `Cookie` value between separators, without the whitespace around them; empty ones are
/// left out.
fn segments(buf: &[u8], value: Span) -> impl Iterator<Item = Span> {
    let mut rest = value;
    let mut has_quotes = memchr::memchr(b'"', value.of(buf)).is_some();
    let has_commas = memchr::memchr(b',', value.of(buf)).is_some();
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let bytes = rest.of(buf);
            let length = match (has_commas, has_quotes) {
                (false, false) => memchr::memchr(b';', bytes),
                (true, false) => memchr::memchr2(b';', b',', bytes),
                (_, true) => separator(bytes, has_commas, &mut has_quotes),
            };
            let end = rest.from() + length.unwrap_or(bytes.len());
            let segment = trimmed(buf, rest.from(), end);
            rest = Span::new((end + 1).min(rest.to()), rest.to());
            if !segment.is_empty() {
                return Some(segment);
            }
        }
        None
    })
}

/// Where a separator outside of quotes stands. Only a value has quotes. `has_quotes` ends with a quote that is not closed:
/// there is none behind it that could be.
#[cold]
fn separator(bytes: &[u8], has_commas: bool, has_quotes: &mut bool) -> Option<usize> {
    let (mut at, mut in_value) = (0, false);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b';' => return Some(at),
            b',' if has_commas => return Some(at),
            b'=' => in_value = true,
            b'"' if in_value && *has_quotes => match closing_quote(bytes, at + 1) {
                Some(end) => at = end,
                None => *has_quotes = false,
            },
            _ => {}
        }
        at += 1;
    }
    None
}

/// The quote that closes what begins at `from`; `\` takes the next byte with it.
fn closing_quote(segment: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let at = from + memchr::memchr2(b'"', b'\\', segment.get(from..)?)?;
        if segment[at] == b'"' {
            return Some(at);
        }
        from = at + 2;
    }
}

/// The value, without quotes, of a crumb if it is called `name`.
#[inline]
fn value_of(buf: &[u8], crumb: Span, name: &[u8]) -> Option<Span> {
    let value = raw_value_of(buf, crumb, name)?;
    match value.of(buf) {
        [b'"', _, .., b'"'] | [b'"', b'"'] => Some(Span::new(value.from() + 1, value.to() - 1)),
        _ => Some(value),
    }
}

/// What stands behind `name` and `=`, with the spaces around that left out.
#[inline]
fn raw_value_of(buf: &[u8], pair: Span, name: &[u8]) -> Option<Span> {
    let bytes = pair.of(buf);
    let rest = bytes
        .strip_prefix(name)
        .filter(|_| !bytes.starts_with(b"$"))?;
    let blanks = rest
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    (rest.get(blanks) == Some(&b'=')).then_some(())?;
    Some(trimmed(
        buf,
        pair.from() + name.len() + blanks + 1,
        pair.to(),
    ))
}

#[inline]
fn trimmed(buf: &[u8], mut from: usize, mut to: usize) -> Span {
    let is_blank = |byte: u8| matches!(byte, b' ' | b'\t');
    while from < to && is_blank(buf[from]) {
        from += 1;
    }
    while from < to && is_blank(buf[to - 1]) {
        to -= 1;
    }
    Span::new(from, to)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::wire::{HeadLimits, properties, request::RequestHead, response::ResponseHead};
    use proptest::prelude::*;

    fn request(fields: &[&str]) -> (RequestHead, Vec<u8>) {
        let lines: String = fields.iter().map(|field| format!("{field}\r\n")).collect();
        let buf = format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n").into_bytes();
        let mut head = RequestHead::new(&HeadLimits::default());
        head.parse(&buf, 0, &HeadLimits::default()).unwrap();
        (head, buf)
    }

    /// The values found, and what is left of each field when they are removed (`None`: nothing).
    fn read(values: &[&str]) -> (Vec<String>, Vec<Option<String>>) {
        let fields: Vec<String> = values
            .iter()
            .map(|value| format!("Cookie: {value}"))
            .collect();
        let (head, buf) = request(&fields.iter().map(String::as_str).collect::<Vec<_>>());
        let crumbs: Vec<Crumb> = crumbs(&head.fields, &buf, b"SID").collect();
        let mut found = Vec::new();
        find(&head.fields, &buf, b"SID", &mut found);
        assert_eq!(found, crumbs);
        let mut edits = Vec::new();
        assert_eq!(strip(&head.fields, &buf, b"SID", &mut edits), found.len());
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let left = head.fields[1..].iter().enumerate().map(|(at, field)| {
            let mut left = Vec::new();
            let mut from = field.value.from();
            for edit in &edits {
                match edit {
                    Edit::Drop(dropped) if *dropped == at + 1 => return None,
                    Edit::Cut(span)
                        if field.value.from() <= span.from() && span.to() <= field.value.to() =>
                    {
                        left.extend_from_slice(&buf[from..span.from()]);
                        from = span.to();
                    }
                    _ => {}
                }
            }
            left.extend_from_slice(&buf[from..field.value.to()]);
            Some(text(&left))
        });
        (
            found
                .iter()
                .map(|crumb| text(crumb.value.of(&buf)))
                .collect(),
            left.collect(),
        )
    }

    #[test]
    fn one_field() {
        let table: [(&str, &[&str], Option<&str>); 48] = [
            ("SID=a", &["a"], None),
            ("SID=a; x=1", &["a"], Some("x=1")),
            ("x=1; SID=a", &["a"], Some("x=1")),
            ("x=1; SID=a; y=2", &["a"], Some("x=1; y=2")),
            ("x=1;SID=a;y=2", &["a"], Some("x=1;y=2")),
            ("x=1 ; SID=a ; y=2", &["a"], Some("x=1 ; y=2")),
            ("SID=a; SID=b", &["a", "b"], None),
            ("x=1; SID=a; SID=b", &["a", "b"], Some("x=1")),
            ("SID=a; SID=b; x=1", &["a", "b"], Some("x=1")),
            ("SID=a; x=1; SID=b", &["a", "b"], Some("x=1")),
            (
                "SID=a; x=1; SID=b; y=2; SID=c",
                &["a", "b", "c"],
                Some("x=1; y=2"),
            ),
            ("SID = a", &["a"], None),
            ("SID\t=\ta ; x = 1", &["a"], Some("x = 1")),
            ("SID=\"a\"", &["a"], None),
            ("SID=\"\"; x=1", &[""], Some("x=1")),
            ("SID=\"a", &["\"a"], None),
            ("SID=\"", &["\""], None),
            ("SID=", &[""], None),
            ("SID=a=b", &["a=b"], None),
            ("SID=a|b|c", &["a|b|c"], None),
            ("SID", &[], Some("SID")),
            ("sid=a", &[], Some("sid=a")),
            ("XSID=a", &[], Some("XSID=a")),
            ("SIDX=a", &[], Some("SIDX=a")),
            ("$SID=a", &[], Some("$SID=a")),
            (
                "$Version=1; SID=a; $Path=/",
                &["a"],
                Some("$Version=1; $Path=/"),
            ),
            ("x=SID=a", &[], Some("x=SID=a")),
            ("x=1, SID=a", &["a"], Some("x=1")),
            ("SID=a, x=1", &["a"], Some("x=1")),
            ("SID=a,b", &["a"], Some("b")),
            ("x=\"1,SID=a\"; y=2", &[], Some("x=\"1,SID=a\"; y=2")),
            (
                "x={\"k\":\"v,SID=a\\\",\"}, SID=b",
                &["b"],
                Some("x={\"k\":\"v,SID=a\\\",\"}"),
            ),
            ("x=\"1; SID=a\"; y=2", &[], Some("x=\"1; SID=a\"; y=2")),
            ("x=\"1; SID=a; y=2\"", &[], Some("x=\"1; SID=a; y=2\"")),
            ("x=\"1; SID=a\"; SID=b", &["b"], Some("x=\"1; SID=a\"")),
            ("x=1\"; SID=a\"2; SID=b", &["b"], Some("x=1\"; SID=a\"2")),
            ("x=\"\\\"; SID=a\"; y", &[], Some("x=\"\\\"; SID=a\"; y")),
            ("x=\"1,SID=a;\" y", &[], Some("x=\"1,SID=a;\" y")),
            ("SID=\"a; b\"; x=1", &["a; b"], Some("x=1")),
            // A quote that is not closed, or that is in no value, is a byte like others.
            ("x=5\", SID=a", &["a"], Some("x=5\"")),
            ("x=5\"; SID=a; y=2", &["a"], Some("x=5\"; y=2")),
            ("x=\"\\\"; SID=a; y=\\\"", &["a"], Some("x=\"\\\"; y=\\\"")),
            ("\"x; SID=a; y\"=2", &["a"], Some("\"x; y\"=2")),
            (";; SID=a ;;", &["a"], None),
            ("; x=1;; SID=a ;;", &["a"], Some("; x=1")),
            ("; ;", &[], Some("; ;")),
            ("", &[], Some("")),
            ("=a; SID=b", &["b"], Some("=a")),
        ];
        for (value, found, left) in table {
            let (values, lefts) = read(&[value]);
            assert_eq!(values, found, "{value}");
            assert_eq!(lefts[0].as_deref(), left, "{value}");
        }
    }

    #[test]
    fn several_fields() {
        let (values, left) = read(&["x=1; SID=a", "SID=b", "y=2"]);
        assert_eq!(values, ["a", "b"]);
        assert_eq!(left, [Some("x=1".into()), None, Some("y=2".into())]);
    }

    #[test]
    fn set_cookie() {
        let buf = b"HTTP/1.1 200 OK\r\nSet-Cookie: SID=a; Path=/\r\nSet-Cookie: x=SID=b\r\nset-cookie: SID = \"c\"\r\nSet-Cookie: SIDE=d\r\n\r\n";
        let mut head = ResponseHead::new(&HeadLimits::default());
        head.parse(buf, 0, &HeadLimits::default()).unwrap();
        let found: Vec<_> = set_cookies(&head.fields, buf, b"SID")
            .map(|set| (set.field, set.value.of(buf).escape_ascii().to_string()))
            .collect();
        assert_eq!(found, [(0, "a".to_string()), (2, "\\\"c\\\"".to_string())]);
    }

    proptest! {
        #[test]
        fn what_a_plain_client_sends_is_read_as_the_cookie_crate_reads_it(
            pairs in proptest::collection::vec(("(SID|SIDE|x|sid)", "[a-z0-9|~=]{0,6}"), 1..6),
        ) {
            let value = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ");
            let parsed: Vec<_> = ::cookie::Cookie::split_parse(value.clone()).map(|pair| pair.unwrap()).collect();
            let values: Vec<_> = parsed.iter().filter(|pair| pair.name() == "SID").map(|pair| pair.value().to_string()).collect();
            let left: Vec<_> = pairs.iter().filter(|(name, _)| name != "SID").map(|(name, value)| format!("{name}={value}")).collect();
            let (found, kept) = read(&[&value]);
            prop_assert_eq!(found, values);
            prop_assert_eq!(kept[0].clone().unwrap_or_default(), left.join("; "));
        }

        #[test]
        fn any_fields_are_read_and_stripped(
            words in proptest::collection::vec(
                proptest::sample::select(vec!["SID", "=", "x=", "SID=a", ";", "; ", ",", "\"", "\\", " ", "\n", "$", "y"]),
                0..24),
        ) {
            properties::cookies(words.concat().as_bytes());
        }

        #[test]
        fn nothing_of_ours_is_left_in_any_bytes(value in "[ !#-~\t]{0,60}", at in 0_usize..60) {
            let mut value = value;
            value.insert_str(at.min(value.len()), "; SID=a; ");
            let (found, left) = read(&[&value]);
            prop_assert!(!found.is_empty());
            if let Some(left) = &left[0] {
                prop_assert_eq!(read(&[left]).0.len(), 0, "{}", left);
            }
        }
    }
}
