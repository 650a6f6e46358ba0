//! The things of one kind that have names, each with its place: what other tables may refer to.

use super::item::Item;
use super::reader::{Note, Reader, Span, shorten};
use super::section::nearest;
use std::collections::HashMap;

/// The things of one kind that have names, each with its place: what other tables may refer to.
pub(super) struct Names {
    kind: &'static str,
    known: Vec<(String, Span)>,
    /// The first of each name.
    first: HashMap<String, usize>,
}

impl Names {
    pub(super) fn new(kind: &'static str) -> Self {
        Self {
            kind,
            known: Vec::new(),
            first: HashMap::new(),
        }
    }

    /// Takes the next thing's name, or says that another one has it. One whose name is missing is taken under the empty one, so
    /// that indices stay right.
    pub(super) fn take(&mut self, reader: &Reader<'_>, name: &str, span: &Span) {
        if let Some(first) = self.first.get(name) {
            let (_, first) = &self.known[*first];
            reader.twice(
                format!("two {}s are named `{name}`", self.kind),
                first,
                span,
            );
        } else if !name.is_empty() {
            self.first.insert(name.to_owned(), self.known.len());
        }
        self.known.push((name.to_owned(), span.clone()));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(String, Span)> {
        self.known.iter()
    }

    pub(super) fn get(&self, index: usize) -> Option<&(String, Span)> {
        self.known.get(index)
    }

    /// The index of the thing that an item names, or a problem with the nearest name.
    pub(super) fn find(&self, item: &Item<'_>) -> Option<usize> {
        let wanted = item.text()?;
        let found = match wanted.is_empty() {
            true => self.known.iter().position(|(name, _)| name.is_empty()),
            false => self.first.get(wanted).copied(),
        };
        if found.is_none() {
            let kind = self.kind;
            let message = format!("{kind} `{}` is not defined", shorten(wanted));
            let names = || self.known.iter().map(|(name, _)| name.as_str());
            let help = match nearest(wanted, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if self.known.is_empty() => format!("the file defines no {kind}"),
                None => format!(
                    "defined are {}",
                    names()
                        .take(8)
                        .map(|name| format!("`{name}`"))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            };
            item.reader
                .report(Note::error(&item.span, message).help(help).absent());
        }
        found
    }
}
