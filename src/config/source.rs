//! The text of a configuration file: where an offset lies, and how its line is shown.
//!
//! What is shown never holds a secret. Two nets lie over each other: [`secret_values`] knows the parsed
//! tree and hides exactly the values; [`suspect_lines`] knows only lines and hides generously. The second
//! is needed when the file has syntax errors, because then the tree is incomplete.

use std::collections::HashMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::section::{nearest, slips};
use super::{ROOT, SECTIONS};

/// A file's text, cut into lines.
pub(super) struct Source<'a> {
    text: &'a str,
    /// Where each line begins; never empty.
    starts: Vec<usize>,
}

/// A line ready to be printed.
pub(super) struct Shown {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) text: String,
    pub(super) mark: Range<usize>,
}

impl<'a> Source<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let after_newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            text,
            starts: std::iter::once(0).chain(after_newlines).collect(),
        }
    }

    /// The number, from 1, of the line in which this offset lies.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start <= offset)
    }

    /// What stands there.
    pub(super) fn text(&self, span: &Range<usize>) -> &'a str {
        self.text.get(span.clone()).unwrap_or("")
    }

    /// The first line before that of an offset which says the same: the same table's header.
    pub(super) fn same_before(&self, offset: usize) -> Option<usize> {
        let header = |line: usize| {
            self.text[self.bounds(line)]
                .split('#')
                .next()
                .map(str::trim)
        };
        let own = self.line(offset);
        (1..own).find(|line| header(*line) == header(own))
    }

    /// The bare key before an offset in its line, and where its value stands: up to a comma, a bracket or a comment.
    pub(super) fn key_and_value(&self, offset: usize) -> Option<(&'a str, Range<usize>)> {
        let bounds = self.bounds(self.line(offset));
        let line = &self.text[bounds.clone()];
        let before = line.get(..offset.checked_sub(bounds.start)?.min(line.len()))?;
        let equals = before.rfind('=')?;
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        let key = line[..equals].trim_end();
        let key = key
            .rsplit(|c| !is_word(c))
            .next()
            .filter(|key| !key.is_empty())?;
        let rest = &line[equals + 1..];
        let rest = &rest[..rest.find([',', '}', ']', '#']).unwrap_or(rest.len())];
        let start = bounds.start + equals + 1 + rest.len() - rest.trim_start().len();
        Some((key, start..start + rest.trim().len()))
    }

    /// The line in which the span begins, with the part of the span that lies in it.
    pub(super) fn show(&self, span: &Range<usize>, secrets: &[Range<usize>]) -> Shown {
        let line = self.line(span.start);
        let bounds = self.bounds(line);
        let start = span.start.min(bounds.end);
        let end = span.end.clamp(start, bounds.end);
        let column = self.text[bounds.start..floor(self.text, start)]
            .chars()
            .count()
            + 1;
        let (text, mark) = cut(paint(self.text, bounds, start..end, secrets));
        Shown {
            line,
            column,
            text,
            mark,
        }
    }

    /// The bytes of a line, without its end.
    fn bounds(&self, line: usize) -> Range<usize> {
        let start = self.starts[line - 1];
        let end = self
            .starts
            .get(line)
            .map_or(self.text.len(), |next| next - 1);
        let bare = self.text[start..end].trim_end_matches('\r');
        start..start + bare.len()
    }
}

/// Draws a line character by character; a secret becomes `***`.
fn paint(
    text: &str,
    line: Range<usize>,
    span: Range<usize>,
    secrets: &[Range<usize>],
) -> (Vec<char>, Range<usize>) {
    let mut drawn = Vec::new();
    let (mut mark_start, mut mark_end) = (None, 0);
    let mut hidden: Option<&Range<usize>> = None;
    for (within, character) in text[line.clone()].char_indices() {
        let at = line.start + within;
        let cell = drawn.len();
        let secret = secrets.iter().find(|secret| secret.contains(&at));
        match secret {
            Some(_) if hidden.is_some() => {}
            Some(_) => drawn.extend(['*'; 3]),
            None => draw(character, &mut drawn),
        }
        let first = if secret.is_some() && hidden.is_some() {
            drawn.len() - 3
        } else {
            cell
        };
        hidden = secret;
        if at + character.len_utf8() > span.start && mark_start.is_none() {
            mark_start = Some(first);
        }
        if at < span.end {
            mark_end = drawn.len();
        }
    }
    let mark_start = mark_start.unwrap_or(drawn.len());
    (drawn, mark_start..mark_end.max(mark_start))
}

/// A tab becomes spaces; a control character must not reach a terminal.
fn draw(character: char, drawn: &mut Vec<char>) {
    match character {
        '\t' => drawn.extend([' '; 4]),
        other if other.is_control() => drawn.push(char::REPLACEMENT_CHARACTER),
        other => drawn.push(other),
    }
}

/// Keeps a very long line to [`WIDTH`] characters around the mark.
fn cut((drawn, mark): (Vec<char>, Range<usize>)) -> (String, Range<usize>) {
    if drawn.len() <= WIDTH {
        return (drawn.into_iter().collect(), mark);
    }
    let from = mark
        .start
        .saturating_sub(WIDTH / 4)
        .min(drawn.len() - WIDTH);
    let to = from + WIDTH;
    let (before, after) = (from > 0, to < drawn.len());
    let mut text: String = drawn[from..to].iter().collect();
    if before {
        text.insert(0, '…');
    }
    if after {
        text.push('…');
    }
    let shift = |at: usize| (at.clamp(from, to) - from) + usize::from(before);
    (text, shift(mark.start)..shift(mark.end))
}

/// Longer lines are cut.
const WIDTH: usize = 160;

/// The nearest character border at or before an offset.
fn floor(text: &str, offset: usize) -> usize {
    (0..=offset.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0)
}

/// The spans of all values that stand below a key which names a secret.
pub(super) fn secret_values(root: &DeTable<'_>) -> Vec<Range<usize>> {
    let mut search = Search::default();
    for (key, value) in root {
        let stats = key.get_ref() == "stats";
        search.collect(key.get_ref(), value, stats);
    }
    search.found
}

#[derive(Default)]
struct Search {
    found: Vec<Range<usize>>,
    /// [`is_harmless`] of the keys so far: a file of ten thousand servers has few different ones, and each is compared with
    /// every setting.
    harmless: HashMap<String, bool>,
}

impl Search {
    /// `stats` says that the key stands below `[stats]`, where all but four settings are about users.
    fn collect(&mut self, key: &str, value: &Spanned<DeValue<'_>>, stats: bool) {
        match value.get_ref() {
            // The table `passive` begins like a password, and is none; text under that name is not a table.
            DeValue::Table(table) if key == "passive" => {
                for (key, value) in table {
                    self.collect(key.get_ref(), value, stats);
                }
            }
            _ if names_secret(key) || FIELD_VALUES.contains(&key) => leaves(value, &mut self.found),
            DeValue::Table(table) => {
                for (key, value) in table {
                    self.collect(key.get_ref(), value, stats);
                }
            }
            DeValue::Array(list) => list.iter().for_each(|item| self.collect(key, item, stats)),
            _ if stats && !matches!(key, "path" | "bind" | "realm" | "refresh") => {
                leaves(value, &mut self.found);
            }
            DeValue::String(_) if !self.is_harmless(key) => leaves(value, &mut self.found),
            _ => {}
        }
    }

    fn is_harmless(&mut self, key: &str) -> bool {
        if let Some(known) = self.harmless.get(key) {
            return *known;
        }
        #[cfg(test)]
        tests::COMPARED.with(|compared| compared.set(compared.get() + 1));
        let harmless = is_harmless(key);
        self.harmless.insert(key.to_owned(), harmless);
        harmless
    }
}

/// Whether a key is a setting that holds no secret, or one slip away from it. What is one letter short of a short name may be
/// what is left of a long one (`dey` of `dynamic_key`, which is no `deny`).
fn is_harmless(key: &str) -> bool {
    let mut known = SECTIONS.iter().flat_map(|section| section.settings);
    known.any(|setting| {
        let name = setting.name;
        let allowed = usize::from(name.len() > SHORT_NAME || key.len() > name.len());
        slips(key, name).is_some_and(|slips| slips <= allowed)
    })
}

/// A word of so few letters is no more like another than by chance.
const SHORT_NAME: usize = 4;

/// Below these, in a route's changes of fields, the keys are names that say nothing of what their values are.
const FIELD_VALUES: [&str; 2] = ["set", "add"];

fn leaves(value: &Spanned<DeValue<'_>>, found: &mut Vec<Range<usize>>) {
    match value.get_ref() {
        DeValue::Table(table) => table.values().for_each(|value| leaves(value, found)),
        DeValue::Array(list) => list.iter().for_each(|value| leaves(value, found)),
        _ => found.push(value.span()),
    }
}

/// Whether a key speaks of a secret. Wider than the settings that exist, so that a misspelled one is
/// covered too.
fn names_secret(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    let speaks = lower != "user" && SECRET_WORDS.iter().any(|word| lower.contains(word));
    speaks || !is_setting(key) && nearest(key, SECRET_SETTINGS).is_some()
}

/// What is hidden in a file that cannot be parsed: values of keys that are not plainly known and harmless, and everything
/// from a word about secrets up to the next table.
pub(super) fn suspect_lines(text: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let (mut start, mut secretive) = (0, false);
    for line in text.split_inclusive('\n') {
        if is_header(line, secretive) {
            secretive = speaks_of_secret(line);
        } else {
            secretive |= speaks_of_secret(line);
            if secretive || !is_plain(line) {
                found.push(value_in(line, start));
            }
        }
        start += line.len();
    }
    found
}

/// What follows a key and `=`, or the whole line when it begins otherwise.
fn value_in(line: &str, start: usize) -> Range<usize> {
    let is_key = |text: &str| {
        text.trim()
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
    };
    let equals = line.find('=').filter(|equals| is_key(&line[..*equals]));
    let key = equals.map_or(0, |equals| equals + 1);
    let value = key + line[key..].len() - line[key..].trim_start().len();
    let end = line.trim_end().len();
    start + value.min(end)..start + end
}

fn speaks_of_secret(line: &str) -> bool {
    let line = line.trim_start();
    let plain_user = line
        .strip_prefix("user")
        .filter(|rest| rest.trim_start().starts_with('='));
    let line = plain_user.unwrap_or(line).to_ascii_lowercase();
    line.trim_start_matches('[')
        .trim_start()
        .starts_with("stats")
        || SECRET_WORDS.iter().any(|word| line.contains(word))
}

/// Whether the line is a table's header and not part of some list; inside secrets only one of our tables counts.
fn is_header(line: &str, secretive: bool) -> bool {
    let line = line.trim();
    let name = line.trim_start_matches('[').trim_end_matches(']').trim();
    let bare = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-. ".contains(&byte));
    let ours = ROOT.knows(name.split('.').next().unwrap_or("").trim());
    line.starts_with('[') && bare && (ours || !secretive)
}

/// Whether all keys of a line are settings that hold no secret.
fn is_plain(line: &str) -> bool {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !line.contains(is_word) {
        return true;
    }
    let first = line
        .trim_start()
        .split(|c| !is_word(c))
        .next()
        .unwrap_or("");
    let keys = line.match_indices('=').map(|(at, _)| {
        let before = line[..at].trim_end();
        before.rsplit(|c| !is_word(c)).next().unwrap_or("")
    });
    is_setting(first) && keys.into_iter().all(is_setting)
}

fn is_setting(key: &str) -> bool {
    SECTIONS.iter().any(|section| section.knows(key))
}

/// No setting that holds no secret has one of these in its name, but for `user`.
const SECRET_WORDS: [&str; 7] = ["user", "usr", "key", "secret", "pass", "token", "auth"];

/// Those that hold one.
const SECRET_SETTINGS: [&str; 3] = ["users", "dynamic_key", "signing_keys"];

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn shown(
        text: &str,
        span: Range<usize>,
        secrets: &[Range<usize>],
    ) -> (usize, usize, String, String) {
        let shown = Source::new(text).show(&span, secrets);
        let marked = shown
            .text
            .chars()
            .skip(shown.mark.start)
            .take(shown.mark.len())
            .collect();
        (shown.line, shown.column, shown.text, marked)
    }

    thread_local! {
        /// Keys that were compared with every setting, by this thread.
        pub(super) static COMPARED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    #[test]
    fn each_key_is_compared_once_however_many_servers_there_are() {
        let server = |number| format!("[[pool.a.server]]\nname = \"{number}\"\nadress = \"x\"\n");
        let text: String = (0..1_000).map(server).collect();
        let tree = DeTable::parse(&text).expect("TOML");
        assert_eq!(secret_values(tree.get_ref()), []);
        assert_eq!(COMPARED.get(), 2);
    }

    #[test]
    fn a_span_is_shown_in_its_line() {
        let text = "a = 1\r\nbb = 22\n\tc = \"ä\" # x\n";
        let at = |word: &str| text.find(word).unwrap();
        for (span, line, column, all, marked) in [
            (0..1, 1, 1, "a = 1", "a"),
            (at("22")..at("22") + 2, 2, 6, "bb = 22", "22"),
            (at("\"ä")..at(" #"), 3, 6, "    c = \"ä\" # x", "\"ä\""),
            (at("# x")..at("# x") + 3, 3, 10, "    c = \"ä\" # x", "# x"),
            (text.len()..text.len(), 4, 1, "", ""),
            (at("22")..text.len(), 2, 6, "bb = 22", "22"),
            (4_000..5_000, 4, 1, "", ""),
        ] {
            assert_eq!(
                shown(text, span.clone(), &[]),
                (line, column, all.to_owned(), marked.to_owned()),
                "{span:?}"
            );
        }
    }

    #[test]
    fn a_secret_is_three_stars() {
        let text = "users = { a = \"geheim\", b = \"x\" } # end";
        let first = text.find("\"geheim").unwrap();
        let second = text.find("\"x\"").unwrap();
        let secrets = [first..first + 8, second..second + 3];
        let all = "users = { a = ***, b = *** } # end";
        for (span, marked) in [
            (first..first + 8, "***"),
            (first + 3..first + 5, "***"),
            (second..second + 3, "***"),
            (0..5, "users"),
            (8..text.len() - 6, "{ a = ***, b = *** }"),
        ] {
            let (_, _, text, mark) = shown(text, span.clone(), &secrets);
            assert_eq!((text.as_str(), mark.as_str()), (all, marked), "{span:?}");
        }
    }

    #[test]
    fn a_long_line_is_cut_around_its_mark() {
        let text = format!("{}HERE{}", "a".repeat(1_000), "b".repeat(1_000));
        let (_, column, shown, marked) = shown(&text, 1_000..1_004, &[]);
        assert_eq!((column, marked.as_str()), (1_001, "HERE"));
        assert_eq!(shown.chars().count(), WIDTH + 2);
    }

    #[test]
    fn control_characters_are_not_shown() {
        assert_eq!(shown("a\u{1b}[2J", 0..1, &[]).2, "a\u{fffd}[2J");
    }

    #[test]
    fn suspect_lines_hide_values() {
        let text = concat!(
            "[process]\nuser = \"ringbolt\"\n",
            "[stats]\npath = \"/x\"\nusers = { a = \"GEHEIM\"\n  b = \"GEHEIM\"\n",
            "[pool.a]\nbalance = 3\nsticky = { dynamic_key = \"GEHEIM\",\n  signing_keys = [\n",
            "  \"GEHEIM\",\n [\"GEHEIM\"],\n]\n[[pool.a.server]]\nname = \"a\"\n",
            "stats.users.x = \"GEHEIM\"\n[process]\ndynamic_ky = \"GEHEIM\nworkers = 4\n",
            "sticky = { cookie = \"a\", dinamic = \"GEHEIM }\n  \"GEHEIM\n",
        );
        let hidden = suspect_lines(text);
        let kept: String = text
            .char_indices()
            .filter(|(at, _)| !hidden.iter().any(|range| range.contains(at)))
            .map(|(_, character)| character)
            .collect();
        assert!(!kept.contains("GEHEIM"), "{kept}");
        assert!(
            kept.contains("balance = 3")
                && kept.contains("workers = 4")
                && kept.contains("\"ringbolt\""),
            "{kept}"
        );
    }
}
