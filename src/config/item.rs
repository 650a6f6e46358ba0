//! One value of the file, and the Rust values that it may be read as.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::DeValue;

use super::reader::{Note, Reader, Span, shorten};
use super::section::{Section, nearest};
use super::table::Table;
use super::values::{Refusal, duration, size, unit_help, with_numeric_zone};
use super::{Secret, Timeout};

/// One value of the file.
pub(super) struct Item<'a> {
    pub(super) reader: &'a Reader<'a>,
    /// The table that it stands in, as [`Table::path`] says it.
    pub(super) within: &'a str,
    pub(super) name: &'a str,
    pub(super) span: Span,
    pub(super) raw: &'a DeValue<'a>,
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

    /// A share: 0.0 to 1.0, in thousandths.
    pub(super) fn thousandths(&self) -> Option<u32> {
        let number = match self.raw {
            DeValue::Integer(number) => number.as_str().parse::<f64>().ok(),
            DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
            _ => {
                self.wrong_type("a number from 0.0 to 1.0");
                return None;
            }
        };
        let share = number.filter(|number| (0.0..=1.0).contains(number));
        if share.is_none() {
            self.refuse(Refusal::new("must be 0.0 to 1.0"));
        }
        share.map(|share| (share * 1000.0).round() as u32)
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
            if number.as_str() == "0" {
                self.refuse(Refusal::new("a duration of 0 is refused"));
                return None;
            }
            self.refuse(
                Refusal::new("a duration needs a unit").help(unit_help(&shorten(number.as_str()))),
            );
            return None;
        }
        self.parse_as("a duration such as \"30s\"", |text| match text {
            "never" => Err(Refusal::new(
                "this wait must end: give a duration such as \"30s\"",
            )),
            text => duration(text),
        })
    }

    /// A length of time that ends, or 0 for none.
    pub(super) fn duration_or_zero(&self) -> Option<Duration> {
        match is_zero(self.raw) {
            true => Some(Duration::ZERO),
            false => self.duration(),
        }
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
        let listed = match listed.as_slice() {
            [only] => only.clone(),
            several => format!("one of {}", several.join(", ")),
        };
        let text = self.text_or(&listed)?;
        let found = words
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(text))
            .map(|(_, value)| *value);
        if found.is_none() {
            let refusal = Refusal::new(format!("must be {listed}"));
            let near = nearest(text, names()).map(|near| format!("did you mean \"{near}\"?"));
            self.refuse(Refusal {
                help: near,
                ..refusal
            });
        }
        found
    }

    /// An address that `parse` understands once the zone in it (`[fe80::1%eth0]:80`) is a number.
    pub(super) fn parse_zoned<T>(&self, parse: impl Fn(&str) -> Result<T, Refusal>) -> Option<T> {
        let environment = self.reader.environment;
        self.parse(|text| {
            parse(&with_numeric_zone(text, |name| {
                environment.interface(name)
            })?)
        })
    }

    /// Text that `parse` understands.
    pub(super) fn parse<T>(&self, parse: impl Fn(&str) -> Result<T, Refusal>) -> Option<T> {
        self.parse_as("text in quotes", parse)
    }

    pub(super) fn list<T>(&self, mut read: impl FnMut(&Self) -> Option<T>) -> Option<Vec<T>> {
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
        let Some(entries) = self.raw.as_table() else {
            self.reader
                .report(self.type_note("a table").maybe_help(self.single_brackets()));
            return None;
        };
        let span = self.span.clone();
        Some(Table::new(self.reader, self.path(), span, section, entries))
    }

    pub(super) fn tables(&self, section: &'static Section) -> Vec<Table<'a>> {
        if self.raw.is_table() {
            let help = format!("write `[[{}]]` with double brackets", self.path());
            self.reader
                .report(self.type_note("a list of tables").help(help));
            return Vec::new();
        }
        self.list(|item| item.table(section)).unwrap_or_default()
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

    /// For somebody who wrote a list of tables where one table belongs.
    fn single_brackets(&self) -> Option<String> {
        let list = self.raw.as_array()?;
        let tables = !list.is_empty() && list.iter().all(|item| item.get_ref().is_table());
        tables.then(|| format!("write `[{}]` with single brackets", self.path()))
    }

    fn path(&self) -> String {
        match (self.within, shorten(self.name)) {
            ("", name) => name,
            (table, name) => format!("{table}.{name}"),
        }
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

    /// Text of one line. Several are refused without showing them: no setting needs them, and a string that was never
    /// closed holds the rest of the file, secrets included.
    pub(super) fn text_or(&self, wanted: &str) -> Option<&'a str> {
        match self.raw.as_str() {
            None => self.wrong_type(wanted),
            Some(text) if text.contains(['\n', '\r']) => {
                self.error(format!(
                    "`{}` is text of several lines: must be one",
                    self.name
                ));
            }
            one_line => return one_line,
        }
        None
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
            DeValue::Float(number) => shorten(&number.to_string()),
            DeValue::Boolean(switch) => switch.to_string(),
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

fn out_of_range(least: impl Display, most: impl Display) -> String {
    format!("must be {least} to {most}")
}

fn size_text(bytes: u64) -> String {
    match bytes {
        bytes if bytes > 0 && bytes % 1024 == 0 => format!("{}KiB", bytes / 1024),
        0 => "0".to_owned(),
        bytes => format!("{bytes}B"),
    }
}
