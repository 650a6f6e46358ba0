use crate::wire::Span;

/// A change to a field's value on its way through. Lists of them are in the order of their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    /// These bytes, all within one field's value, go.
    Cut(Span),
    /// These bytes, all within one field's value (possibly none: an insertion), are replaced by the edits' text.
    Put(Span),
    /// The field with this index goes.
    Drop(usize),
}
