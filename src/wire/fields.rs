//! The field lines of one head, of a request or of a response, and the questions that are asked of them.

use std::ops::Deref;

use super::{Field, Known, KnownSet, Span, rules};

/// Field lines in order, and which of the known names are among them. One value serves one head after
/// the other, so that in steady state nothing allocates. As a slice it is the lines.
#[derive(Debug, Default)]
pub struct Fields {
    lines: Vec<Field>,
    present: KnownSet,
}

impl Fields {
    /// None, with room for so many.
    pub fn with_capacity(lines: usize) -> Self {
        Self {
            lines: Vec::with_capacity(lines),
            present: KnownSet::default(),
        }
    }

    /// Whether a field of that name is there.
    #[inline]
    pub fn has(&self, known: Known) -> bool {
        self.present.has(known)
    }

    /// The first field of that name.
    #[inline]
    pub fn find(&self, known: Known) -> Option<&Field> {
        if !self.has(known) {
            return None;
        }
        self.lines.iter().find(|field| field.known == known)
    }

    /// The value of the field of that name, if there is exactly one.
    pub fn only(&self, known: Known) -> Option<Span> {
        let mut named = self.lines.iter().filter(|field| field.known == known);
        let value = named.next()?.value;
        named.next().is_none().then_some(value)
    }

    /// The value of the first field called `name`, in any case: for captures and conditions.
    pub fn value<'b>(&self, buf: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
        let is_called = |field: &&Field| field.name.of(buf).eq_ignore_ascii_case(name);
        Some(self.lines.iter().find(is_called)?.value.of(buf))
    }

    /// Whether a field of that name lists `element`, in any case (RFC 9110 section 5.6.1).
    pub fn lists(&self, buf: &[u8], known: Known, element: &[u8]) -> bool {
        let mut named = self.lines.iter().filter(|field| field.known == known);
        self.has(known)
            && named.any(|field| {
                rules::list(field.value.of(buf)).any(|listed| listed.eq_ignore_ascii_case(element))
            })
    }

    /// Forgets all of them, but not their room.
    pub(super) fn clear(&mut self) {
        self.lines.clear();
        self.present = KnownSet::default();
    }

    /// Adds the next line.
    #[inline]
    pub(super) fn push(&mut self, field: Field) {
        self.present.insert(field.known);
        self.lines.push(field);
    }

    /// The lines, to mark them.
    pub(super) fn lines_mut(&mut self) -> &mut [Field] {
        &mut self.lines
    }
}

impl Deref for Fields {
    type Target = [Field];

    #[inline]
    fn deref(&self) -> &[Field] {
        &self.lines
    }
}
