//! One table of the file: its settings by name, with their defaults, and the keys that it should not have.

use toml::de::{DeTable, DeValue};

use super::hints::{hint, stands_for_a_table};
use super::item::Item;
use super::reader::{Note, Reader, Span, shorten};
use super::section::{Section, nearest};
use super::{ROOT, SECTIONS};

/// One table of the file, or the absence of one that may be left out.
pub(super) struct Table<'a> {
    pub(super) reader: &'a Reader<'a>,
    /// As the file names it: `pool.web.sticky`; empty for the file itself.
    pub(super) path: String,
    /// Its header, or the whole of an inline table.
    pub(super) span: Span,
    section: &'static Section,
    entries: Option<&'a DeTable<'a>>,
}

impl<'a> Table<'a> {
    /// A table that is there; reports the keys that it should not have.
    pub(super) fn new(
        reader: &'a Reader<'a>,
        path: String,
        span: Span,
        section: &'static Section,
        entries: &'a DeTable<'a>,
    ) -> Self {
        let entries = Some(entries);
        let table = Self {
            reader,
            path,
            span,
            section,
            entries,
        };
        table.refuse_unknown_keys();
        table
    }

    /// The file as a whole.
    pub(super) fn root(reader: &'a Reader<'a>, entries: &'a DeTable<'a>) -> Self {
        Self::new(reader, String::new(), 0..0, &ROOT, entries)
    }

    /// A sub-table that may be left out: then all of its settings have their defaults.
    pub(super) fn table(&self, name: &'static str, section: &'static Section) -> Table<'_> {
        match self.item(name).and_then(|item| item.table(section)) {
            Some(table) => table,
            None => Table {
                path: name.to_owned(),
                ..self.nothing(section)
            },
        }
    }

    /// A table in which nothing is set.
    pub(super) fn nothing(&self, section: &'static Section) -> Table<'_> {
        Table {
            reader: self.reader,
            path: section.name.to_owned(),
            span: self.span.clone(),
            section,
            entries: None,
        }
    }

    /// A list of tables, as `[[name]]` or inline; empty when it is left out.
    pub(super) fn tables(&self, name: &'static str, section: &'static Section) -> Vec<Table<'_>> {
        self.item(name)
            .map(|item| item.tables(section))
            .unwrap_or_default()
    }

    /// A value that may be left out; `None` also when it is wrong.
    pub(super) fn optional<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Item<'_>) -> Option<T>,
    ) -> Option<T> {
        self.item(name).and_then(|item| read(&item))
    }

    /// A value that has a default; the default also when it is wrong.
    pub(super) fn setting<T>(
        &self,
        name: &'static str,
        read: impl Fn(&Item<'_>) -> Option<T>,
    ) -> T {
        self.optional(name, &read).unwrap_or_else(|| {
            let text = self.section.default(name);
            let parsed =
                DeValue::parse(text).expect("the defaults of the sections are TOML values");
            let (reader, span, raw) = (self.reader, self.span.clone(), parsed.get_ref());
            let item = Item {
                reader,
                within: &self.path,
                name,
                span,
                raw,
            };
            read(&item).expect("the defaults of the sections are right")
        })
    }

    /// A value that must be there.
    pub(super) fn required<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&Item<'_>) -> Option<T>,
    ) -> Option<T> {
        if !self.has(name) && !self.has_a_foreign_key() {
            let message = format!("`{}` has no `{name}`", self.path);
            self.reader
                .report(Note::error(&self.span, message).absent());
        }
        self.optional(name, read)
    }

    /// Whether a key stands there that another proxy has: it may be what seems to be missing.
    pub(super) fn has_a_foreign_key(&self) -> bool {
        let mut keys = self
            .entries
            .into_iter()
            .flatten()
            .map(|(key, _)| key.get_ref());
        keys.any(|key| !self.section.knows(key) && self.help_for(key).is_some())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.entries
            .is_some_and(|entries| entries.contains_key(name))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_none_or(|entries| entries.is_empty())
    }

    /// Where the value of this name stands, or the table when it is not there.
    pub(super) fn span_of(&self, name: &'static str) -> Span {
        self.item(name)
            .map_or_else(|| self.span.clone(), |item| item.span)
    }

    /// All keys, for tables whose keys are names that the user chooses; in file order.
    pub(super) fn entries(&self) -> Vec<(&'a str, Span, Item<'_>)> {
        let entries = self.entries.into_iter().flatten();
        let mut found: Vec<_> = entries
            .map(|(key, value)| {
                let name = key.get_ref().as_ref();
                let item = Item {
                    reader: self.reader,
                    within: &self.path,
                    name,
                    span: value.span(),
                    raw: value.get_ref(),
                };
                (name, key.span(), item)
            })
            .collect();
        found.sort_by_key(|(_, span, _)| span.start);
        found
    }

    fn item(&self, name: &'static str) -> Option<Item<'_>> {
        debug_assert!(
            self.section.knows(name),
            "{name} is not in the section's table"
        );
        let (key, value) = self.entries?.get_key_value(name)?;
        let span = if value.span().is_empty() {
            key.span()
        } else {
            value.span()
        };
        Some(Item {
            reader: self.reader,
            within: &self.path,
            name,
            span,
            raw: value.get_ref(),
        })
    }

    fn refuse_unknown_keys(&self) {
        if self.section.free_keys {
            return;
        }
        for key in self.entries.into_iter().flatten().map(|(key, _)| key) {
            let name = key.get_ref().as_ref();
            if !self.section.knows(name) {
                let place = match self.path.as_str() {
                    "" => String::new(),
                    path => format!(" in `{path}`"),
                };
                let message = format!("unknown key `{}`{place}", shorten(name));
                let help = self.help_for(name);
                let note = Note::error(&key.span(), message).maybe_help(help);
                let misnamed = self.section.name.is_empty() && stands_for_a_table(name);
                self.reader
                    .report(if misnamed { note.misnamed() } else { note });
            }
        }
    }

    fn help_for(&self, name: &str) -> Option<String> {
        if let Some(help) = super::haproxy::key_of_haproxy(name) {
            return Some(help.to_owned());
        }
        if let Some(help) = hint(self.section.name, name) {
            return Some(help.to_owned());
        }
        let known = self.section.settings.iter().map(|setting| setting.name);
        if let Some(near) = nearest(name, known) {
            return Some(format!("did you mean `{near}`?"));
        }
        let other = SECTIONS.iter().find(|section| section.knows(name))?;
        Some(match other.name {
            "" => format!("`{name}` is a table of its own: it cannot stand inside another one"),
            section => format!("`{name}` is a setting of `{section}`"),
        })
    }
}
