//! A value without its quotes: the commonest slip of somebody whose last configuration had none.
//!
//! The TOML reader says it in words about TOML, at the first character that is no number's. Here it becomes a problem with the
//! whole value, and the line as it should be where the value can be no secret.

use std::ops::Range;

use super::SECTIONS;
use super::reader::{Note, Span};
use super::source::Source;

/// What to say instead of the TOML reader's message; `None` when it is about something else.
pub(super) fn unquoted(
    message: &str,
    span: &Span,
    source: &Source<'_>,
    secrets: &[Range<usize>],
) -> Option<Note> {
    if !MESSAGES.iter().any(|start| message.starts_with(start)) {
        return None;
    }
    let (key, value) = source.key_and_value(span.start)?;
    let written = source.text(&value);
    if written.is_empty() {
        // An unknown word before a `=` may be a part of a secret.
        let what = if SECTIONS.iter().any(|section| section.knows(key)) {
            format!("`{key}` has no value")
        } else {
            "there is no value".to_owned()
        };
        return Some(Note::error(span, what).syntax());
    }
    if written.contains(['[', '{', '"', '\'', '\\']) {
        return None;
    }
    if let Some(text) = between_typographic_quotes(written) {
        let hidden = secrets
            .iter()
            .any(|secret| secret.start < value.end && value.start < secret.end);
        let is_plain = text.len() <= LONGEST && !text.contains(char::is_control);
        let help = match is_plain && !hidden {
            true => format!("write `{key} = \"{text}\"`"),
            false => "write the straight ones, `\"`".to_owned(),
        };
        let note = Note::error(&value, "these quotation marks are none of TOML's").help(help);
        return Some(note.syntax());
    }
    if !takes_text(key) {
        let note = Note::error(&value, "neither a number nor true or false").help(RULE);
        return Some(note.syntax());
    }
    let hidden = secrets
        .iter()
        .any(|secret| secret.start < value.end && value.start < secret.end);
    let help = match hidden || written.len() > LONGEST || written.contains(char::is_control) {
        true => RULE.to_owned(),
        false => format!("write `{key} = \"{written}\"`"),
    };
    Some(
        Note::error(&value, "text must be in quotes")
            .help(help)
            .syntax(),
    )
}

/// What stands between quotation marks that a word processor or a web page has put in the place of straight ones.
fn between_typographic_quotes(written: &str) -> Option<&str> {
    const MARKS: [char; 9] = [
        '\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}', '\u{201a}', '\u{ab}', '\u{bb}',
        '`',
    ];
    let text = written.strip_prefix(MARKS)?;
    Some(text.strip_suffix(MARKS).unwrap_or(text))
}

/// Whether no setting of this name is a number or a switch, as far as its default tells.
fn takes_text(key: &str) -> bool {
    let mut settings = SECTIONS.iter().flat_map(|section| section.settings);
    !settings.any(|setting| {
        let default = setting.default;
        let plain = matches!(default, "true" | "false");
        setting.name == key && (plain || default.starts_with(|c: char| c.is_ascii_digit()))
    })
}

/// How the TOML reader's messages about such a value begin.
const MESSAGES: [&str; 4] = [
    "string values must be quoted",
    "invalid float",
    "invalid integer",
    "invalid date",
];

/// For a value that is not shown.
const RULE: &str = "text stands in quotes, a number and true or false without";

/// Longer values are not said twice.
const LONGEST: usize = 64;
