//! The sticky cookie in `Cookie` and `Set-Cookie` fields, found in place.

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

/// Every crumb called `name` (exactly so, in that case) in every `Cookie` field, in order.
pub fn crumbs<'a>(
    fields: &'a [Field],
    buf: &'a [u8],
    name: &'a [u8],
) -> impl Iterator<Item = Crumb> + 'a {
    let _ = (fields, buf, name, Known::Cookie);
    std::iter::empty()
}

/// Appends the edits that remove every crumb called `name`; a field in which nothing is left is
/// dropped whole. Says how many crumbs those are.
pub fn strip(fields: &[Field], buf: &[u8], name: &[u8], edits: &mut Vec<Edit>) -> usize {
    let _ = (fields, buf, name, edits);
    todo!()
}

/// One `Set-Cookie` field that sets the cookie looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetCookie {
    /// Index of its field in the head.
    pub field: usize,
    /// The value as written, quotes included, without the attributes.
    pub value: Span,
}

/// Every `Set-Cookie` field that sets `name`, in order.
pub fn set_cookies<'a>(
    fields: &'a [Field],
    buf: &'a [u8],
    name: &'a [u8],
) -> impl Iterator<Item = SetCookie> + 'a {
    let _ = (fields, buf, name);
    std::iter::empty()
}
