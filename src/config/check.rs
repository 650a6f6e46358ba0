//! `check`: how a server is asked whether it works, and how often.
//!
//! One table for three kinds. A key that its kind does not have is an error: a path that nobody asks for would be a
//! setting silently ignored.

use std::time::Duration;

use toml::de::DeValue;

use super::item::Item;
use super::reader::{Note, shorten};
use super::section::{Section, setting};
use super::table::Table;
use super::values::{Refusal, asked_address, field_name, field_value, method, target};
use super::{Address, Secret};

pub(super) const CHECK: Section = Section::new(
    "pool.NAME.server.check",
    &[
        setting(
            "type",
            "\"tcp\"",
            "\"tcp\" connects; \"http\" sends a request and looks at the answer; \"websocket\" makes a real handshake and closes",
        ),
        setting(
            "address",
            "",
            "where to ask, when that is not the server's own address",
        ),
        setting(
            "interval",
            "\"2s\"",
            "from one check to the next; at least 10ms",
        ),
        setting(
            "interval_down",
            "",
            "the same while the server is down; by default `interval`",
        ),
        setting(
            "interval_changing",
            "",
            "the same while checks contradict the present state, until `rise` or `fall` decides; by default `interval`",
        ),
        setting(
            "jitter",
            "0.1",
            "0 to 0.5: each interval is made longer or shorter at random by up to this part of it, so that checks keep no common rhythm",
        ),
        setting(
            "timeout",
            "",
            "one check; by default as long as the interval",
        ),
        setting("rise", "2", "good checks in a row until it is up, 1 to 255"),
        setting(
            "fall",
            "3",
            "bad checks in a row until it is down, 1 to 255",
        ),
        setting("method", "\"GET\"", "http: the request's method"),
        setting(
            "path",
            "\"/\"",
            "http, websocket: what is asked for, with a query if it needs one",
        ),
        setting(
            "host",
            "",
            "http, websocket: the Host field; by default the address, or `localhost` on a unix socket",
        ),
        setting(
            "headers",
            "{}",
            "http, websocket: further fields, { NAME = \"value\" }; a value may be \"${VARIABLE}\" or \"file:/path\"",
        ),
        setting(
            "expect",
            "[\"2xx\", \"3xx\"]",
            "http: the statuses that are good: numbers, \"2xx\" or \"200-299\", one or a list",
        ),
        setting(
            "body",
            "",
            "http: text that the first 64 KiB of the answer's body must contain",
        ),
        setting(
            "soft_drain_on_404",
            "false",
            "http: a 404 from a server that is up means that it is about to leave: no new clients, but those whose cookie names it",
        ),
    ],
);

/// A health check.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Check {
    /// `type`, with what only this one has.
    pub kind: CheckKind,
    /// `address`: where to ask instead of the server's own.
    pub address: Option<Address>,
    /// `interval` while nothing speaks against "up" (default `"2s"`).
    pub interval: Duration,
    /// `interval_down` while it is down (default: `interval`).
    pub interval_down: Duration,
    /// `interval_changing` while outcomes contradict the present state (default: `interval`).
    pub interval_changing: Duration,
    /// `jitter`: per cent of an interval by which it may be longer or shorter, 0 to 50 (default 10).
    pub jitter: u8,
    /// `timeout` of one check (default: the interval).
    pub timeout: Duration,
    /// `rise`: good checks until up (default 2).
    pub rise: u32,
    /// `fall`: bad checks until down (default 3).
    pub fall: u32,
}

/// What a check does.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CheckKind {
    /// Connects.
    Tcp,
    /// Sends a request and looks at the answer.
    Http(HttpCheck),
    /// Makes a WebSocket handshake and closes.
    WebSocket(Asking),
}

/// `type = "http"`
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HttpCheck {
    /// `method` (default `"GET"`).
    pub method: String,
    /// `path`, `host` and `headers`.
    pub asking: Asking,
    /// `expect`: the good statuses, as ranges with both ends (default 200 to 399).
    pub expect: Vec<(u16, u16)>,
    /// `body`: text that the answer must contain.
    pub body: Option<String>,
    /// `soft_drain_on_404`
    pub soft_drain_on_404: bool,
}

/// What HTTP and WebSocket checks ask for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Asking {
    /// `path` (default `"/"`), with its query.
    pub path: String,
    /// `host`
    pub host: Option<String>,
    /// `headers`, in file order.
    pub headers: Vec<(String, Secret)>,
}

impl Check {
    /// `check = true`: connects every two seconds.
    pub const PLAIN: Self = Self {
        kind: CheckKind::Tcp,
        address: None,
        interval: Duration::from_secs(2),
        interval_down: Duration::from_secs(2),
        interval_changing: Duration::from_secs(2),
        jitter: 10,
        timeout: Duration::from_secs(2),
        rise: 2,
        fall: 3,
    };

    /// Its `type`.
    pub fn word(&self) -> &'static str {
        match self.kind {
            CheckKind::Tcp => "tcp",
            CheckKind::Http(_) => "http",
            CheckKind::WebSocket(_) => "websocket",
        }
    }
}

impl HttpCheck {
    /// Whether a status is a good one.
    pub fn expects(&self, status: u16) -> bool {
        let within = |range: &(u16, u16)| (range.0..=range.1).contains(&status);
        self.expect.iter().any(within)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Type {
    Tcp,
    Http,
    WebSocket,
}

/// `true`, `false`, or a table of its own.
pub(super) fn check(item: &Item<'_>) -> Option<Option<Check>> {
    if item.is_switch() {
        return item.switch().map(|on| on.then_some(Check::PLAIN));
    }
    if !item.is_table() {
        item.wrong_type("true, false or a table such as { type = \"http\", path = \"/health\" }");
        return None;
    }
    let table = item.table(&CHECK)?;
    let kind = table.setting("type", |item| item.choice(&TYPES));
    refuse_strange_keys(&table, kind);
    let length = table.setting("interval", interval);
    let other = |name| table.optional(name, interval).unwrap_or(length);
    Some(Some(Check {
        kind: match kind {
            Type::Tcp => CheckKind::Tcp,
            Type::Http => CheckKind::Http(http(&table)),
            Type::WebSocket => CheckKind::WebSocket(asking(&table)),
        },
        address: table.optional("address", |item| item.parse_zoned(asked_address)),
        interval: length,
        interval_down: other("interval_down"),
        interval_changing: other("interval_changing"),
        jitter: table.setting("jitter", jitter),
        timeout: table
            .optional("timeout", |item| item.duration())
            .unwrap_or(length),
        rise: table.setting("rise", |item| item.number(1..=255)) as u32,
        fall: table.setting("fall", |item| item.number(1..=255)) as u32,
    }))
}

fn refuse_strange_keys(table: &Table<'_>, kind: Type) {
    for (keys, kinds) in [
        (&ONLY_HTTP[..], &[Type::Http][..]),
        (&ONLY_ASKING, &[Type::Http, Type::WebSocket]),
    ] {
        if kinds.contains(&kind) {
            continue;
        }
        for key in keys.iter().filter(|key| table.has(key)) {
            let is = word_of(kind);
            let message = format!("`{key}` has no effect: the check's `type` is \"{is}\"");
            let help = match kinds {
                [Type::Http] => "only `type = \"http\"` has it",
                _ => "only `type = \"http\"` and `type = \"websocket\"` have it",
            };
            let note = Note::error(&table.span_of(key), message);
            table.reader.report(note.help(help));
        }
    }
}

fn http(table: &Table<'_>) -> HttpCheck {
    let method = table.setting("method", |item| item.parse(method));
    if method == "HEAD" && table.has("body") {
        let message = "`body` is never found: an answer to HEAD has none";
        let note = Note::error(&table.span_of("body"), message);
        table.reader.report(note);
    }
    HttpCheck {
        method,
        asking: asking(table),
        expect: table.setting("expect", |item| item.one_or_list(statuses)),
        body: table.optional("body", |item| item.parse(body)),
        soft_drain_on_404: table.setting("soft_drain_on_404", |item| item.switch()),
    }
}

fn asking(table: &Table<'_>) -> Asking {
    Asking {
        path: table.setting("path", |item| item.parse(target)),
        host: table.optional("host", |item| item.parse(field_value)),
        headers: table.setting("headers", headers),
    }
}

/// `{ NAME = "value" }`; the names are the user's.
fn headers(item: &Item<'_>) -> Option<Vec<(String, Secret)>> {
    let table = item.table(&HEADERS)?;
    let mut fields = Vec::new();
    for (name, span, item) in table.entries() {
        let shown = shorten(name);
        if let Err(why) = field_name(name).and_then(|_| own(name)) {
            let message = format!("`{shown}` cannot stand in `headers`: {}", why.message);
            table
                .reader
                .report(Note::error(&span, message).maybe_help(why.help));
            continue;
        }
        let Some(value) = item.secret() else {
            continue;
        };
        // What it holds may be a secret, so it is not shown.
        match std::str::from_utf8(&value.0).map(field_value) {
            Ok(Ok(_)) => fields.push((name.to_owned(), value)),
            Ok(Err(why)) => item.error(format!("`{shown}`: {}", why.message)),
            Err(_) => item.error(format!("`{shown}` is not UTF-8")),
        }
    }
    Some(fields)
}

/// The fields that we write ourselves.
fn own(name: &str) -> Result<(), Refusal> {
    let help = match () {
        () if name.eq_ignore_ascii_case("Host") => "write `host = \"…\"` beside `headers`",
        () if RESERVED.iter().any(|own| own.eq_ignore_ascii_case(name)) => {
            "the check writes this field itself"
        }
        () => return Ok(()),
    };
    Err(Refusal::new("this field has a meaning of its own").help(help))
}

/// `200`, `"2xx"`, `"200-299"`.
fn statuses(item: &Item<'_>) -> Option<(u16, u16)> {
    if item.is_number() {
        let status = item.number(100..=599)? as u16;
        return Some((status, status));
    }
    item.parse(|text| {
        let number = |text: &str| text.parse::<u16>().ok();
        let range = match text.strip_suffix("xx") {
            Some(class) => number(class).map(|class| (class * 100, class * 100 + 99)),
            None => match text.split_once('-') {
                Some((from, to)) => number(from).zip(number(to)),
                None => number(text).map(|status| (status, status)),
            },
        };
        range
            .filter(|(from, to)| (100..=599).contains(from) && from <= to && *to <= 599)
            .ok_or_else(|| Refusal::new("not a status").help("write 200, \"2xx\" or \"200-299\""))
    })
}

fn body(text: &str) -> Result<String, Refusal> {
    match text.len() {
        0 => Err(Refusal::new("every body contains an empty text")),
        1..=MOST_TEXT => Ok(text.to_owned()),
        _ => Err(Refusal::new(format!("has at most {MOST_TEXT} bytes"))),
    }
}

/// A part of one, in per cent.
fn jitter(item: &Item<'_>) -> Option<u8> {
    let number = match item.raw {
        DeValue::Integer(number) => number.as_str().parse::<f64>().ok(),
        DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
        _ => {
            item.wrong_type("a number such as 0.1");
            return None;
        }
    };
    let part = number.filter(|part| (0.0..=0.5).contains(part));
    if part.is_none() {
        item.refuse(Refusal::new("must be 0 to 0.5"));
    }
    part.map(|part| (part * 100.0).round() as u8)
}

pub(super) fn interval(item: &Item<'_>) -> Option<Duration> {
    let interval = item.duration()?;
    if interval < SHORTEST {
        item.refuse(Refusal::new("must be at least 10ms"));
    }
    Some(interval)
}

fn word_of(kind: Type) -> &'static str {
    let word = TYPES.iter().find(|(_, other)| *other == kind);
    word.map_or("", |(word, _)| word)
}

/// More often than this, checks are a load of their own.
const SHORTEST: Duration = Duration::from_millis(10);

/// Bytes of the text that is looked for in a body.
const MOST_TEXT: usize = 1024;

const TYPES: [(&str, Type); 3] = [
    ("tcp", Type::Tcp),
    ("http", Type::Http),
    ("websocket", Type::WebSocket),
];

const ONLY_HTTP: [&str; 4] = ["method", "expect", "body", "soft_drain_on_404"];
const ONLY_ASKING: [&str; 3] = ["path", "host", "headers"];

/// A table of field names.
const HEADERS: Section = Section {
    name: "pool.NAME.server.check.headers",
    settings: &[],
    free_keys: true,
};

/// What the library or the handshake writes.
const RESERVED: [&str; 9] = [
    "Connection",
    "Content-Length",
    "Transfer-Encoding",
    "TE",
    "Upgrade",
    "Expect",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "Sec-WebSocket-Extensions",
];
