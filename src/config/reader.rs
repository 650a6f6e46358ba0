//! Reads typed values out of the parsed file and collects every problem on the way.
//!
//! A [`Table`] knows which settings its [`Section`] has and reports the keys that it has not. An [`Item`] is
//! one value; its methods turn it into a Rust value or report why not and return `None`. Nothing stops at the
//! first problem: a wrong value is replaced by its default, so that all others are found in the same run.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use toml::de::{DeTable, DeValue};

use super::environment::Environment;
use super::problem::Severity;
use super::section::{Section, nearest};
use super::source::Source;
use super::values::{Refusal, duration, size};
use super::{ROOT, SECTIONS, Secret, Timeout};

/// A stretch of the file, in bytes.
pub(super) type Span = Range<usize>;

/// What all tables and items of one file share.
pub(super) struct Reader<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) environment: &'a dyn Environment,
    notes: RefCell<Vec<Note>>,
}

/// A problem that has not been given its line yet.
pub(super) struct Note {
    pub(super) severity: Severity,
    pub(super) span: Span,
    pub(super) message: String,
    pub(super) help: Option<String>,
    pub(super) cause: Cause,
}

/// Where a problem comes from; decides which are consequences of others and stay unsaid.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The file is not TOML there.
    Syntax,
    /// Something that stands there is wrong.
    Present,
    /// Something is missing: no news while syntax errors may have swallowed it.
    Absent,
}

impl Note {
    pub(super) fn error(span: &Span, message: impl Into<String>) -> Self {
        let (severity, cause) = (Severity::Error, Cause::Present);
        Self {
            severity,
            span: span.clone(),
            message: message.into(),
            help: None,
            cause,
        }
    }

    pub(super) fn warning(span: &Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(span, message)
        }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    pub(super) fn maybe_help(self, help: Option<String>) -> Self {
        Self { help, ..self }
    }

    pub(super) fn absent(self) -> Self {
        Self {
            cause: Cause::Absent,
            ..self
        }
    }

    pub(super) fn syntax(self) -> Self {
        Self {
            cause: Cause::Syntax,
            ..self
        }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source<'a>, environment: &'a dyn Environment) -> Self {
        Self {
            source,
            environment,
            notes: RefCell::default(),
        }
    }

    pub(super) fn report(&self, note: Note) {
        self.notes.borrow_mut().push(note);
    }

    pub(super) fn into_notes(self) -> Vec<Note> {
        self.notes.into_inner()
    }

    /// Says that a thing which may be there once is there again.
    pub(super) fn twice(&self, what: impl Display, first: &Span, second: &Span) {
        let line = self.source.line(first.start);
        self.report(
            Note::error(second, what.to_string())
                .help(format!("the first one stands in line {line}")),
        );
    }
}

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
    /// The file as a whole.
    pub(super) fn root(reader: &'a Reader<'a>, entries: &'a DeTable<'a>) -> Self {
        let table = Self {
            reader,
            path: String::new(),
            span: 0..0,
            section: &ROOT,
            entries: Some(entries),
        };
        table.refuse_unknown_keys();
        table
    }

    /// A sub-table that may be left out: then all of its settings have their defaults.
    pub(super) fn table(&self, name: &'static str, section: &'static Section) -> Self {
        match self.item(name).and_then(|item| item.table(section)) {
            Some(table) => table,
            None => Self {
                reader: self.reader,
                path: name.to_owned(),
                span: self.span.clone(),
                section,
                entries: None,
            },
        }
    }

    /// A list of tables, as `[[name]]` or inline; empty when it is left out.
    pub(super) fn tables(&self, name: &'static str, section: &'static Section) -> Vec<Self> {
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
        if !self.has(name) {
            let message = format!("`{}` has no `{name}`", self.path);
            self.reader
                .report(Note::error(&self.span, message).absent());
        }
        self.optional(name, read)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.entries
            .is_some_and(|entries| entries.contains_key(name))
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

    fn item(&self, name: &'static str) -> Option<Item<'a>> {
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
                self.reader
                    .report(Note::error(&key.span(), message).maybe_help(help));
            }
        }
    }

    fn help_for(&self, name: &str) -> Option<String> {
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

/// One value of the file.
pub(super) struct Item<'a> {
    pub(super) reader: &'a Reader<'a>,
    pub(super) name: &'a str,
    pub(super) span: Span,
    raw: &'a DeValue<'a>,
}

impl<'a> Item<'a> {
    pub(super) fn text(&self) -> Option<&'a str> {
        self.text_or("text in quotes")
    }

    pub(super) fn switch(&self) -> Option<bool> {
        let switch = self.raw.as_bool();
        if switch.is_none() {
            self.wrong_type("true or false");
        }
        switch
    }

    /// A whole number in this range.
    pub(super) fn number(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let Some(integer) = self.raw.as_integer() else {
            let help = self.raw.as_str().filter(|text| text.parse::<u64>().is_ok());
            let note = self.type_note("a whole number");
            self.reader.report(
                note.maybe_help(help.map(|number| format!("write {number} without quotes"))),
            );
            return None;
        };
        let number = u64::from_str_radix(integer.as_str(), integer.radix());
        let number = number.ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.refuse(Refusal::new(out_of_range(range.start(), range.end())));
        }
        number
    }

    /// Bytes: `"16KiB"`, `"64k"`, or a bare number.
    pub(super) fn size(&self, range: RangeInclusive<u64>) -> Option<usize> {
        let parsed = match self.raw {
            DeValue::Integer(_) => {
                return self.number(range).and_then(|bytes| bytes.try_into().ok());
            }
            _ => self.parse_as("a size such as \"16KiB\"", size)?,
        };
        if !range.contains(&parsed) {
            let (least, most) = (size_text(*range.start()), size_text(*range.end()));
            self.refuse(Refusal::new(out_of_range(&least, &most)));
            return None;
        }
        parsed.try_into().ok()
    }

    /// A length of time that ends: `"30s"`.
    pub(super) fn duration(&self) -> Option<Duration> {
        if let DeValue::Integer(number) = self.raw {
            self.refuse(Refusal::new("a duration needs a unit").help(unit_help(number.as_str())));
            return None;
        }
        self.parse_as("a duration such as \"30s\"", |text| match text {
            "never" => Err(Refusal::new(
                "this wait must end: give a duration such as \"30s\"",
            )),
            text => duration(text),
        })
    }

    /// A length of time, or `"never"`.
    pub(super) fn timeout(&self) -> Option<Timeout> {
        match self.raw.as_str() {
            Some("never") => Some(Timeout::Never),
            _ if is_zero(self.raw) => {
                let refusal = Refusal::new("a timeout of 0 is refused");
                self.refuse(refusal.help("write \"never\" for a wait without an end"));
                None
            }
            _ => self.duration().map(Timeout::After),
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&'static str, T)]) -> Option<T> {
        let names = || words.iter().map(|(name, _)| *name);
        let listed: Vec<_> = names().map(|name| format!("\"{name}\"")).collect();
        let text = self.text_or(&format!("one of {}", listed.join(", ")))?;
        let found = words
            .iter()
            .find(|(name, _)| *name == text)
            .map(|(_, value)| *value);
        if found.is_none() {
            let refusal = Refusal::new(format!("must be one of {}", listed.join(", ")));
            let near = nearest(text, names()).map(|near| format!("did you mean \"{near}\"?"));
            self.refuse(Refusal {
                help: near,
                ..refusal
            });
        }
        found
    }

    /// Text that `parse` understands.
    pub(super) fn parse<T>(&self, parse: impl Fn(&str) -> Result<T, Refusal>) -> Option<T> {
        self.parse_as("text in quotes", parse)
    }

    pub(super) fn list<T>(&self, read: impl Fn(&Self) -> Option<T>) -> Option<Vec<T>> {
        let Some(list) = self.raw.as_array() else {
            self.wrong_type("a list");
            return None;
        };
        let item = |value: &'a toml::Spanned<DeValue<'a>>| Item {
            span: value.span(),
            raw: value.get_ref(),
            ..*self
        };
        Some(list.iter().filter_map(|value| read(&item(value))).collect())
    }

    /// `"one"` or `["one", "two"]`.
    pub(super) fn one_or_list<T>(&self, read: impl Fn(&Self) -> Option<T>) -> Option<Vec<T>> {
        match self.raw {
            DeValue::Array(_) => self.list(read),
            _ => read(self).map(|value| vec![value]),
        }
    }

    pub(super) fn table(&self, section: &'static Section) -> Option<Table<'a>> {
        self.table_named(section, self.name.to_owned())
    }

    /// A table whose place is said in other words than its key.
    pub(super) fn table_named(&self, section: &'static Section, path: String) -> Option<Table<'a>> {
        let Some(entries) = self.raw.as_table() else {
            let help = self
                .raw
                .is_array()
                .then(|| format!("write `[{path}]` with single brackets"));
            self.reader
                .report(self.type_note("a table").maybe_help(help));
            return None;
        };
        let table = Table {
            reader: self.reader,
            path,
            span: self.span.clone(),
            section,
            entries: Some(entries),
        };
        table.refuse_unknown_keys();
        Some(table)
    }

    pub(super) fn tables(&self, section: &'static Section) -> Vec<Table<'a>> {
        self.tables_named(section, self.name.to_owned())
    }

    pub(super) fn tables_named(&self, section: &'static Section, path: String) -> Vec<Table<'a>> {
        if self.raw.is_table() {
            let help = format!("write `[[{path}]]` with double brackets");
            self.reader
                .report(self.type_note("a list of tables").help(help));
            return Vec::new();
        }
        self.list(|item| item.table_named(section, path.clone()))
            .unwrap_or_default()
    }

    /// A value that must not be shown: as written, `"${VARIABLE}"` or `"file:/path"`.
    pub(super) fn secret(&self) -> Option<Secret> {
        let text = self.text()?;
        let found = if text.starts_with("${") {
            self.secret_of_variable(text)
        } else if let Some(path) = text.strip_prefix("file:") {
            self.secret_of_file(path)
        } else {
            Ok(text.as_bytes().to_vec())
        };
        match found {
            Ok(secret) if !secret.is_empty() => return Some(Secret(secret)),
            Ok(_) => self.error(format!("`{}` is an empty secret", self.name)),
            Err(why) => self.error(format!("`{}`: {why}", self.name)),
        }
        None
    }

    pub(super) fn is_table(&self) -> bool {
        self.raw.is_table()
    }

    pub(super) fn is_switch(&self) -> bool {
        self.raw.is_bool()
    }

    pub(super) fn is_word(&self) -> bool {
        self.raw.is_str()
    }

    pub(super) fn is_number(&self) -> bool {
        self.raw.is_integer()
    }

    pub(super) fn is_empty_list(&self) -> bool {
        self.raw.as_array().is_some_and(|list| list.is_empty())
    }

    pub(super) fn is_longer_than(&self, length: usize) -> bool {
        self.raw.as_array().is_some_and(|list| list.len() > length)
    }

    pub(super) fn is_text(&self, text: &str) -> bool {
        self.raw.as_str() == Some(text)
    }

    /// Reports that the value is not fit: "`name` is VALUE: why".
    pub(super) fn refuse(&self, refusal: Refusal) {
        let message = format!("`{}` is {}: {}", self.name, self.shown(), refusal.message);
        self.reader
            .report(Note::error(&self.span, message).maybe_help(refusal.help));
    }

    pub(super) fn error(&self, message: impl Into<String>) {
        self.reader.report(Note::error(&self.span, message));
    }

    pub(super) fn wrong_type(&self, wanted: &str) {
        self.reader.report(self.type_note(wanted));
    }

    fn type_note(&self, wanted: &str) -> Note {
        let kind = match self.raw {
            DeValue::String(_) => "text",
            DeValue::Integer(_) => "a number",
            DeValue::Float(_) => "a fractional number",
            DeValue::Boolean(true) => "true",
            DeValue::Boolean(false) => "false",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        Note::error(
            &self.span,
            format!("`{}` is {kind}: must be {wanted}", self.name),
        )
    }

    fn text_or(&self, wanted: &str) -> Option<&'a str> {
        let text = self.raw.as_str();
        if text.is_none() {
            self.wrong_type(wanted);
        }
        text
    }

    fn parse_as<T>(&self, wanted: &str, parse: impl Fn(&str) -> Result<T, Refusal>) -> Option<T> {
        match parse(self.text_or(wanted)?) {
            Ok(value) => Some(value),
            Err(refusal) => {
                self.refuse(refusal);
                None
            }
        }
    }

    /// The value for a message. Never called for a secret.
    fn shown(&self) -> String {
        match self.raw {
            DeValue::String(text) => format!("\"{}\"", shorten(text)),
            DeValue::Integer(number) => shorten(&number.to_string()),
            other => other.type_str().to_owned(),
        }
    }

    fn secret_of_variable(&self, text: &str) -> Result<Vec<u8>, String> {
        let name = text
            .strip_prefix("${")
            .and_then(|rest| rest.strip_suffix('}'));
        let word = |name: &&str| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        let name = name
            .filter(word)
            .ok_or("a variable is written \"${NAME}\", with nothing around it")?;
        let value = self.reader.environment.variable(name);
        value
            .map(String::into_bytes)
            .ok_or_else(|| format!("the environment variable {} is not set", shorten(name)))
    }

    fn secret_of_file(&self, path: &str) -> Result<Vec<u8>, String> {
        let held = self.reader.environment.secret_file(path.as_ref());
        let mut held = held.map_err(|why| format!("cannot read {}: {why}", shorten(path)))?;
        if held.last() == Some(&b'\n') {
            held.pop();
        }
        Ok(held)
    }
}

fn is_zero(value: &DeValue<'_>) -> bool {
    match value {
        DeValue::Integer(number) => number.as_str() == "0",
        DeValue::String(text) => {
            let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            !number.is_empty() && number.bytes().all(|b| b == b'0')
        }
        _ => false,
    }
}

fn unit_help(number: &str) -> String {
    let number = shorten(number);
    format!(
        "write \"{number}s\" for seconds, or \"{number}ms\", \"{number}m\", \"{number}h\", \"{number}d\""
    )
}

fn out_of_range(least: impl Display, most: impl Display) -> String {
    format!("must be {least} to {most}")
}

fn size_text(bytes: u64) -> String {
    match bytes {
        bytes if bytes > 0 && bytes % 1024 == 0 => format!("{}KiB", bytes / 1024),
        bytes => format!("{bytes}B"),
    }
}

/// Foreign text for a message: escaped, and not longer than a name is.
pub(super) fn shorten(text: &str) -> String {
    let escaped: String = text.chars().take(65).flat_map(char::escape_debug).collect();
    let escaped = escaped.replace("\\\"", "\"").replace("\\'", "'");
    match text.chars().count() {
        0..=64 => escaped,
        _ => format!("{escaped}…"),
    }
}
