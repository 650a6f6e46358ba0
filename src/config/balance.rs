//! `balance`: how a pool chooses, as one word or as a table that says what is hashed.
//!
//! HAProxy's words for the same things are answered with what to write here.

use toml::de::DeValue;

use super::haproxy::balance_of_haproxy;
use super::item::Item;
use super::section::{Section, setting};
use super::values::{Refusal, cookie_name, field_name, parameter_name};
use super::{Balance, Hash, HashKey};

pub(super) const BALANCE: Section = Section::new(
    "pool.NAME.balance",
    &[
        setting(
            "hash",
            "",
            "what equal requests have in common: \"source\" (the client's address), \"path\", { header = \"NAME\" }, { cookie = \"NAME\" } or { query = \"NAME\" }; must be given",
        ),
        setting(
            "bound",
            "false",
            "a server with this many times its share of the pool's sessions is passed over, 1.01 to 100; false sets no bound",
        ),
    ],
);

pub(super) const HASH: Section = Section::new(
    "pool.NAME.balance.hash",
    &[
        setting("header", "", "the value of this field"),
        setting("cookie", "", "the value of this cookie"),
        setting("query", "", "the value of this parameter of the query"),
    ],
);

/// `"round-robin"`, …, or `{ hash = …, bound = … }`.
pub(super) fn balance(item: &Item<'_>) -> Option<Balance> {
    if item.is_table() {
        return hash(item);
    }
    let text = item.text_or(WANTED)?;
    let found = WORDS.iter().find(|(word, _)| *word == text);
    if found.is_none() {
        let help = balance_of_haproxy(text).or_else(|| near(text));
        item.refuse(Refusal {
            message: format!("must be {WANTED}"),
            help,
        });
    }
    found.map(|(_, balance)| balance.clone())
}

fn near(text: &str) -> Option<String> {
    let words = WORDS.iter().map(|(word, _)| *word);
    super::section::nearest(text, words).map(|near| format!("did you mean \"{near}\"?"))
}

fn hash(item: &Item<'_>) -> Option<Balance> {
    let table = item.table(&BALANCE)?;
    let by = table.required("hash", key);
    let bound = table.setting("bound", bound);
    Some(Balance::Hash(Hash { by: by?, bound }))
}

fn key(item: &Item<'_>) -> Option<HashKey> {
    if !item.is_table() {
        return match item.text_or(KEYS)? {
            "source" => Some(HashKey::Source),
            "path" => Some(HashKey::Path),
            other => {
                let help = balance_of_haproxy(other)
                    .or_else(|| Some(format!("write {{ {} = \"NAME\" }}", named(other)?)));
                item.refuse(Refusal {
                    message: format!("must be {KEYS}"),
                    help,
                });
                None
            }
        };
    }
    let table = item.table(&HASH)?;
    let header = table.optional("header", |item| item.parse(field_name));
    let cookie = table.optional("cookie", |item| item.parse(cookie_name));
    let query = table.optional("query", |item| item.parse(parameter_name));
    let given = ["header", "cookie", "query"].map(|name| table.has(name));
    if given.iter().filter(|given| **given).count() != 1 {
        item.error("`hash` needs exactly one of `header`, `cookie` and `query`");
        return None;
    }
    let header = header.map(HashKey::Header);
    let cookie = cookie.map(HashKey::Cookie);
    let query = query.map(HashKey::Query);
    header.or(cookie).or(query)
}

/// The key that somebody wrote as a word.
fn named(word: &str) -> Option<&'static str> {
    ["header", "cookie", "query"]
        .into_iter()
        .find(|name| *name == word)
}

/// In hundredths; `false` is none.
fn bound(item: &Item<'_>) -> Option<Option<u32>> {
    if item.is_text("false") || item.is_switch() {
        return match item.switch()? {
            false => Some(None),
            true => {
                item.refuse(Refusal::new("must be a number or false").help("write `bound = 1.25`"));
                None
            }
        };
    }
    let number = match item.raw {
        DeValue::Integer(number) => number.as_str().parse::<f64>().ok(),
        DeValue::Float(number) => number.as_str().parse::<f64>().ok(),
        _ => {
            item.wrong_type("a number such as 1.25, or false");
            return None;
        }
    };
    let hundredths = number.map(|number| (number * 100.0).round());
    match hundredths.filter(|hundredths| (101.0..=10_000.0).contains(hundredths)) {
        Some(hundredths) => Some(Some(hundredths as u32)),
        None => {
            item.refuse(Refusal::new("must be 1.01 to 100"));
            None
        }
    }
}

const WORDS: [(&str, Balance); 4] = [
    ("round-robin", Balance::RoundRobin),
    ("least-connections", Balance::LeastConnections),
    ("two-choices", Balance::TwoChoices),
    ("first", Balance::First),
];

const WANTED: &str = "one of \"round-robin\", \"least-connections\", \"two-choices\", \"first\" or a table such as { hash = \"source\" }";

const KEYS: &str = "\"source\", \"path\", or a table such as { header = \"X-User\" }";
