//! `[pool.NAME.passive]`: what traffic itself says about servers, and how long it keeps one out.

use std::time::Duration;

use super::item::Item;
use super::reader::Note;
use super::retry::share_or_false;
use super::section::{Section, setting};
use super::table::Table;
use super::values::Refusal;

pub(super) const PASSIVE: Section = Section::new(
    "pool.NAME.passive",
    &[
        setting(
            "errors",
            "5",
            "so many failed connections, timeouts and broken answers in a row eject a server, 1 to 1000; false: none do",
        ),
        setting(
            "count_server_errors",
            "false",
            "an answer with a status of 500 and above is such an error too",
        ),
        setting(
            "server_errors",
            "0.5",
            "this share of answers with a status of 500 and above in a window ejects a server, 0.0 to 1.0; false: none does",
        ),
        setting(
            "minimum",
            "20",
            "answers in a window below which their share says nothing, 1 to 1000000",
        ),
        setting("window", "\"10s\"", "how long answers are counted together"),
        setting(
            "eject_for",
            "\"30s\"",
            "how long a server is out, times the number of its recent ejections",
        ),
        setting("max_eject_for", "\"5m\"", "and at most for so long"),
        setting(
            "max_ejected",
            "0.5",
            "this share of the pool's servers may be out at once, rounded down, but one of several always may, 0.0 to 1.0",
        ),
    ],
);

/// `passive`: when traffic ejects a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passive {
    /// `errors` in a row (default 5); `None` is `false`.
    pub errors: Option<u32>,
    /// `count_server_errors`: whether such answers are among them (default false).
    pub count_server_errors: bool,
    /// `server_errors`: share of 5xx in a window, in thousandths (default 500); `None` is `false`.
    pub server_errors: Option<u32>,
    /// `minimum`: answers in a window that make the share count (default 20).
    pub minimum: u32,
    /// `window` (default `"10s"`).
    pub window: Duration,
    /// `eject_for`: the first time (default `"30s"`); so much longer with each further one.
    pub eject_for: Duration,
    /// `max_eject_for` (default `"5m"`).
    pub max_eject_for: Duration,
    /// `max_ejected`: share of the pool, in thousandths (default 500).
    pub max_ejected: u32,
}

/// `true`, `false`, or a table.
pub(super) fn passive(item: &Item<'_>) -> Option<Option<Passive>> {
    if item.is_switch() && item.switch() == Some(false) {
        return Some(None);
    }
    if item.is_switch() {
        return Some(Some(PLAIN));
    }
    if !item.is_table() {
        item.wrong_type("true, false or a table such as { errors = 5 }");
        return None;
    }
    Some(Some(table(&item.table(&PASSIVE)?)))
}

fn table(table: &Table<'_>) -> Passive {
    let eject_for = table.setting("eject_for", |item| item.duration());
    let max_eject_for = match table.setting("max_eject_for", |item| item.duration()) {
        default if !table.has("max_eject_for") => eject_for.max(default),
        given => given,
    };
    let passive = Passive {
        errors: table.setting("errors", errors),
        count_server_errors: table.setting("count_server_errors", |item| item.switch()),
        server_errors: table.setting("server_errors", share_or_false),
        minimum: table.setting("minimum", |item| item.number(1..=1_000_000)) as u32,
        window: table.setting("window", window),
        eject_for,
        max_eject_for,
        max_ejected: table.setting("max_ejected", |item| item.thousandths()),
    };
    if passive.max_eject_for < passive.eject_for {
        let message = "`max_eject_for` is shorter than `eject_for`";
        table
            .reader
            .report(Note::error(&table.span_of("max_eject_for"), message));
    }
    if passive.errors.is_none() && passive.server_errors.is_none() {
        let message = format!(
            "`{}` has no effect: both its conditions are off",
            table.path
        );
        table.reader.report(Note::warning(&table.span, message));
    }
    if passive.errors.is_none() && passive.count_server_errors {
        let message = "`count_server_errors` has no effect: errors in a row are not counted";
        let span = table.span_of("count_server_errors");
        table.reader.report(Note::warning(&span, message));
    }
    passive
}

fn errors(item: &Item<'_>) -> Option<Option<u32>> {
    if item.is_switch() && item.switch() == Some(false) {
        return Some(None);
    }
    item.number(1..=1000).map(|number| Some(number as u32))
}

fn window(item: &Item<'_>) -> Option<Duration> {
    let window = item.duration()?;
    if window < SHORTEST_WINDOW {
        item.refuse(Refusal::new("must be at least 100ms"));
    }
    Some(window)
}

const PLAIN: Passive = Passive {
    errors: Some(5),
    count_server_errors: false,
    server_errors: Some(500),
    minimum: 20,
    window: Duration::from_secs(10),
    eject_for: Duration::from_secs(30),
    max_eject_for: Duration::from_secs(300),
    max_ejected: 500,
};

/// All servers of the pool are looked at so often.
const SHORTEST_WINDOW: Duration = Duration::from_millis(100);
