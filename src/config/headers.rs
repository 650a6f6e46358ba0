//! `request_headers` and `response_headers` of a route: fields that it sets, adds and removes.

use super::item::Item;
use super::reader::Note;
use super::section::{Section, setting};
use super::settings::Secret;
use super::table::Table;
use super::values::field_name;

pub(super) const HEADERS: Section = Section::new(
    "route.headers",
    &[
        setting(
            "set",
            "{}",
            "fields that there are with this value and no other",
        ),
        setting(
            "add",
            "{}",
            "further fields, beside those of the same name; a value or a list",
        ),
        setting("remove", "[]", "names of fields that are not passed on"),
    ],
);

/// The keys are names of fields.
const FIELDS: Section = Section {
    free_keys: true,
    ..Section::new("route.headers.fields", &[])
};

/// What a route changes of the heads that pass. Names and values can be written to a peer as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HeaderChanges {
    /// `set`: these are there once, with this value. Values may be secrets, such as a password for the server.
    pub set: Vec<(String, Secret)>,
    /// `add`: these are there as well.
    pub add: Vec<(String, Secret)>,
    /// `remove`: these are not.
    pub remove: Vec<String>,
}

impl HeaderChanges {
    /// Bytes that a head can grow by.
    pub fn bytes(&self) -> usize {
        let line = |(name, value): &(String, Secret)| name.len() + value.0.len() + ": \r\n".len();
        self.set.iter().chain(&self.add).map(line).sum()
    }
}

/// Whose heads are changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Request,
    Response,
}

pub(super) fn header_changes(item: &Item<'_>, side: Side) -> Option<HeaderChanges> {
    let table = item.table(&HEADERS)?;
    let changes = HeaderChanges {
        set: table.setting("set", |item| {
            fields(item, side, Verb::Set, |item| Some(vec![value(item)?]))
        }),
        add: table.setting("add", |item| {
            fields(item, side, Verb::Add, |item| item.one_or_list(value))
        }),
        remove: table.setting("remove", |item| {
            item.one_or_list(|item| removed(item, side))
        }),
    };
    check_names(&table, &changes);
    if changes.bytes() > MOST_BYTES {
        let message = format!(
            "`{}` adds more than {MOST_BYTES} bytes to a head",
            table.path
        );
        table.reader.report(Note::error(&table.span, message));
    }
    Some(changes)
}

/// What is done to a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verb {
    Set,
    Add,
    Remove,
}

fn fields(
    item: &Item<'_>,
    side: Side,
    verb: Verb,
    read: impl Fn(&Item<'_>) -> Option<Vec<Secret>>,
) -> Option<Vec<(String, Secret)>> {
    let table = item.table(&FIELDS)?;
    let mut fields = Vec::new();
    for (name, span, item) in table.entries() {
        let refusal = field_name(name).err().map(|refusal| refusal.message);
        if let Some(why) = refusal.or_else(|| protected(name, side, verb).map(str::to_owned)) {
            let name = super::reader::shorten(name);
            let message = format!("field `{name}`: {why}");
            table.reader.report(Note::error(&span, message));
            continue;
        }
        let values = read(&item).unwrap_or_default();
        if is_same(name, "Host") && !values.iter().all(|value| is_host(&value.0)) {
            item.error("`Host` is a host, perhaps with a port: \"app.internal:8080\"");
        }
        fields.extend(values.into_iter().map(|value| (name.to_owned(), value)));
    }
    Some(fields)
}

fn removed(item: &Item<'_>, side: Side) -> Option<String> {
    let name = item.parse(field_name)?;
    if let Some(why) = protected(&name, side, Verb::Remove) {
        item.error(format!("field `{name}`: {why}"));
        return None;
    }
    Some(name)
}

/// Printable ASCII in one line: whatever passes here ends no line and begins no other. Never shown: it may be a secret.
fn value(item: &Item<'_>) -> Option<Secret> {
    let value = item.secret()?;
    let name = super::reader::shorten(item.name);
    let wrong = match &value.0[..] {
        bytes if bytes.len() > LONGEST_VALUE => format!("has more than {LONGEST_VALUE} bytes"),
        bytes if !bytes.iter().all(|byte| (b' '..=b'~').contains(byte)) => {
            "has only printable ASCII in it: no line ends, tabs, NUL or other letters".to_owned()
        }
        [b' ', ..] | [.., b' '] => "has no spaces at its ends".to_owned(),
        _ => return Some(value),
    };
    item.error(format!("the value of field `{name}` {wrong}"));
    None
}

/// One name, one change; and what is set is set once.
fn check_names(table: &Table<'_>, changes: &HeaderChanges) {
    let set = |name: &str| changes.set.iter().any(|(other, _)| is_same(other, name));
    for name in changes.remove.iter().filter(|name| set(name)) {
        let message = format!("field `{name}` is set and removed");
        table
            .reader
            .report(Note::error(&table.span_of("remove"), message));
    }
    for (at, (name, _)) in changes.set.iter().enumerate() {
        if changes.set[..at]
            .iter()
            .any(|(other, _)| is_same(other, name))
        {
            let message = format!("field `{name}` is set twice: case makes no difference");
            table
                .reader
                .report(Note::error(&table.span_of("set"), message));
        }
    }
}

/// Why this field cannot be changed so.
fn protected(name: &str, side: Side, verb: Verb) -> Option<&'static str> {
    let is = |names: &[&str]| names.iter().any(|other| is_same(name, other));
    if is(&["Content-Length", "Transfer-Encoding", "Trailer"]) {
        return Some("it says where the message ends, which no setting can know");
    }
    if is(&HOP_BY_HOP) {
        return Some("it is about one connection, and each side has its own");
    }
    let start = name.get(..WEBSOCKET.len());
    if start.is_some_and(|start| is_same(start, WEBSOCKET)) {
        return Some("it belongs to the handshake between client and server");
    }
    match (side, verb) {
        (Side::Request, _) if is(&["Expect"]) => {
            Some("it is about when the body is sent, which is settled already")
        }
        (Side::Request, Verb::Add) if is(&["Host", "Cookie"]) => {
            Some("a request has one such field: set it")
        }
        (Side::Request, Verb::Remove) if is(&["Host"]) => Some("a request must have it: set it"),
        _ => None,
    }
}

const WEBSOCKET: &str = "Sec-WebSocket-";

/// RFC 9110 section 7.6.1.
const HOP_BY_HOP: [&str; 6] = [
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Upgrade",
    "HTTP2-Settings",
];

/// Whether two names are one to somebody, who may take `_` for `-`.
pub(super) fn is_same(name: &str, other: &str) -> bool {
    let plain = |name: &str| name.to_ascii_lowercase().replace('_', "-");
    plain(name) == plain(other)
}

/// A host with or without a port; not more than looks like one, since the operator's word is taken for it.
fn is_host(value: &[u8]) -> bool {
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(byte);
    !value.is_empty() && value.iter().all(fits)
}

/// Content security policies are long.
const LONGEST_VALUE: usize = 4 * 1024;

/// What all lines of one direction may take.
const MOST_BYTES: usize = 8 * 1024;
