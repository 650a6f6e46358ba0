//! `drain` and `on_down`: what becomes of a server's clients when it is drained, and of their tunnels when it goes down.

use std::time::Duration;

use super::haproxy::ON_DOWN_OF_HAPROXY;
use super::item::Item;
use super::reader::Note;
use super::section::{Section, nearest, setting};
use super::table::Table;
use super::values::Refusal;

pub(super) const DRAIN: Section = Section::new(
    "pool.NAME.drain",
    &[
        setting(
            "honour_cookies_for",
            "",
            "so long after its drain began a server still gets the clients whose cookie names it; left out: until close_after, or for ever",
        ),
        setting(
            "close_after",
            "\"never\"",
            "so long after its drain began the tunnels that are left are closed",
        ),
        setting(
            "close_over",
            "\"1m\"",
            "they are closed one after the other, spread over this time; \"now\" closes all at once",
        ),
    ],
);

pub(super) const ON_DOWN: Section = Section::new(
    "pool.NAME.on_down",
    &[setting(
        "close_over",
        "",
        "tunnels are closed one after the other, spread over this time; \"now\" closes all at once; must be given",
    )],
);

/// `drain`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drain {
    /// `honour_cookies_for` (default `close_after`): since the drain began; `None` is for ever.
    pub honour_cookies_for: Option<Duration>,
    /// `close_after`: since the drain began; `None` is `"never"`.
    pub close_after: Option<Duration>,
    /// `close_over` (default `"1m"`); zero is `"now"`.
    pub close_over: Duration,
}

/// `on_down`: what becomes of a server's tunnels when it goes down or into maintenance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDown {
    /// `"keep"`: they stay until they end.
    Keep,
    /// `"close"` and `{ close_over = … }`: they are closed, spread over this time; zero is at once.
    Close(Duration),
}

pub(super) fn drain(item: &Item<'_>, sticky: bool) -> Option<Drain> {
    let table = item.table(&DRAIN)?;
    let honour = table.optional("honour_cookies_for", |item| item.duration());
    let close_after = table.setting("close_after", |item| item.timeout());
    let close_after = close_after.as_option();
    let close_over = table.setting("close_over", close_over);
    let warn = |name, message: String| {
        let note = Note::warning(&table.span_of(name), message);
        table.reader.report(note);
    };
    if table.has("close_over") && close_after.is_none() {
        warn(
            "close_over",
            no_effect("close_over", "nothing is closed without `close_after`"),
        );
    }
    if honour.is_some() && !sticky {
        warn(
            "honour_cookies_for",
            no_effect("honour_cookies_for", "the pool has no `sticky`"),
        );
    }
    if honour
        .zip(close_after)
        .is_some_and(|(honour, after)| honour > after)
    {
        let message = "`honour_cookies_for` is longer than `close_after`: clients whose tunnels are closed come back to the same server";
        warn("honour_cookies_for", message.to_owned());
    }
    Some(Drain {
        honour_cookies_for: honour.or(close_after),
        close_after,
        close_over,
    })
}

fn no_effect(name: &str, why: &str) -> String {
    format!("`{name}` has no effect: {why}")
}

/// `"keep"`, `"close"`, or a table with the time over which it is done.
pub(super) fn on_down(item: &Item<'_>) -> Option<OnDown> {
    const WANTED: &str = "\"keep\", \"close\" or a table such as { close_over = \"30s\" }";
    if item.is_table() {
        let table: Table<'_> = item.table(&ON_DOWN)?;
        return table.required("close_over", close_over).map(OnDown::Close);
    }
    let text = item.text_or(WANTED)?;
    let found = ON_DOWNS.iter().find(|(word, _)| *word == text);
    if found.is_none() {
        let near = || {
            let near = nearest(text, ON_DOWNS.iter().map(|(word, _)| *word));
            near.map(|near| format!("did you mean \"{near}\"?"))
        };
        let theirs = (text == ON_DOWN_OF_HAPROXY).then(|| "write `on_down = \"close\"`".to_owned());
        item.refuse(Refusal {
            message: format!("must be {WANTED}"),
            help: theirs.or_else(near),
        });
    }
    found.map(|(_, on_down)| *on_down)
}

const ON_DOWNS: [(&str, OnDown); 2] = [
    ("keep", OnDown::Keep),
    ("close", OnDown::Close(Duration::ZERO)),
];

fn close_over(item: &Item<'_>) -> Option<Duration> {
    match item.is_word() && item.text() == Some("now") {
        true => Some(Duration::ZERO),
        false => item.duration(),
    }
}
