//! The rules of framing and syntax, each beside its RFC section.
