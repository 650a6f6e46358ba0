//! `agent`: a program beside a server that says by a line of text what it is good for.

use std::time::Duration;

use super::Address;
use super::check::interval;
use super::item::Item;
use super::section::{Section, setting};
use super::values::asked_address;

pub(super) const AGENT: Section = Section::new(
    "pool.NAME.server.agent",
    &[
        setting("address", "", "where the agent listens; must be given"),
        setting(
            "interval",
            "\"2s\"",
            "from one question to the next; at least 10ms",
        ),
        setting(
            "timeout",
            "",
            "one question; by default as long as the interval",
        ),
        setting(
            "send",
            "\"\"",
            "what it is sent first, up to 1024 bytes, such as \"node1\\n\"",
        ),
    ],
);

/// `agent = { address, interval, timeout, send }`
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Agent {
    /// `address`: where it listens.
    pub address: Address,
    /// `interval` (default `"2s"`).
    pub interval: Duration,
    /// `timeout` of one question (default: the interval).
    pub timeout: Duration,
    /// `send`: what it is sent first (default: nothing).
    pub send: String,
}

pub(super) fn agent(item: &Item<'_>) -> Option<Agent> {
    if !item.is_table() {
        item.wrong_type("a table such as { address = \"127.0.0.1:9999\" }");
        return None;
    }
    let table = item.table(&AGENT)?;
    let address = table.required("address", |item| item.parse_zoned(asked_address));
    let length = table.setting("interval", interval);
    Some(Agent {
        address: address?,
        interval: length,
        timeout: table
            .optional("timeout", |item| item.duration())
            .unwrap_or(length),
        send: table.setting("send", send),
    })
}

/// The one text of the file that may have line ends in it: an agent that is asked waits for one.
fn send(item: &Item<'_>) -> Option<String> {
    match item.raw.as_str() {
        None => item.wrong_type("text in quotes"),
        Some(text) if text.len() > MOST => {
            item.error(format!("`send` has at most {MOST} bytes"));
        }
        Some(text) => return Some(text.to_owned()),
    }
    None
}

/// Bytes of a question.
const MOST: usize = 1024;
