//! `[stats]`: the page for people.

use std::time::Duration;

use super::item::Item;
use super::reader::Note;
use super::section::{Section, setting};
use super::table::Table;
use super::values::{Refusal, realm, url_path};
use super::{Secret, Stats};

pub(super) const STATS: Section = Section::new(
    "stats",
    &[
        setting(
            "path",
            "\"/ringbolt\"",
            "where the page is, on every listener unless it has a bind of its own; without [stats] there is none",
        ),
        setting(
            "bind",
            "",
            "where the page is instead, and nothing else: addresses as a listener's, such as \"127.0.0.1:8404\"",
        ),
        setting(
            "users",
            "{}",
            "who may see it: name = \"password\"; empty is everybody. Passwords may be \"${VARIABLE}\", \"file:/path\", or a digest: \"sha256:SALT:HEX\"",
        ),
        setting(
            "realm",
            "\"Ringbolt\"",
            "what the browser says when it asks for the password",
        ),
        setting(
            "refresh",
            "\"5s\"",
            "how often the page loads itself again, in whole seconds",
        ),
    ],
);

const USERS: Section = Section {
    free_keys: true,
    ..Section::new("stats.users", &[])
};

/// All but `bind`, which makes a listener.
pub(super) fn stats(table: &Table<'_>) -> Stats {
    Stats {
        path: table.setting("path", |item| item.parse(url_path)),
        listener: None,
        users: table.setting("users", users),
        realm: table.setting("realm", |item| item.parse(realm)),
        refresh: table.setting("refresh", refresh),
    }
}

fn users(item: &Item<'_>) -> Option<Vec<(String, Secret)>> {
    let table = item.table(&USERS)?;
    let user = |(name, span, item): (&str, _, Item<'_>)| {
        if name.is_empty() || name.contains(':') || name.chars().any(char::is_control) {
            table.reader.report(Note::error(
                &span,
                "a user's name has at least one character, and no `:` and no control characters",
            ));
        }
        Some((name.to_owned(), item.secret()?))
    };
    Some(table.entries().into_iter().filter_map(user).collect())
}

fn refresh(item: &Item<'_>) -> Option<Duration> {
    let refresh = item.duration()?;
    if refresh.subsec_nanos() != 0 {
        item.refuse(Refusal::new("must be whole seconds"));
    }
    Some(refresh)
}
