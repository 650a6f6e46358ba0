//! `[pool.NAME.retry]`: which failures of a server are tried again, and how many of them.
//!
//! Without the table only failed connections are, and every request may use all of the pool's `retries`. With it a
//! request whose answer never came, or was one of three statuses, may go to another server; and a budget that all
//! requests of the pool share keeps an outage from being multiplied.

use super::item::Item;
use super::section::{Section, setting};
use super::table::Table;
use super::values::Refusal;

pub(super) const RETRY: Section = Section::new(
    "pool.NAME.retry",
    &[
        setting(
            "on",
            "[\"connect-failure\"]",
            "what is tried again: \"connect-failure\" (any), \"refused\" (only that one), \"reset\" (the server broke off before a byte of its answer), \"timeout\" (it gave none in time), \"502\", \"503\", \"504\" (it answered so)",
        ),
        setting(
            "buffer",
            "\"16KiB\"",
            "a request whose body is larger is not repeated once it was sent, 0 to 1024KiB",
        ),
        setting(
            "budget",
            "0.2",
            "retries for each request of the pool, 0.0 to 1.0; false sets no bound",
        ),
        setting(
            "minimum",
            "10",
            "retries in ten seconds that the budget always allows, 0 to 1000",
        ),
    ],
);

/// `retry`: what is tried again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// `on`
    pub on: RetryOn,
    /// `buffer`: bytes of a body that are kept for another attempt (default 16 KiB, at most 1 MiB).
    pub buffer: usize,
    /// `budget` and `minimum`; `None` is `false`.
    pub budget: Option<RetryBudget>,
}

/// The conditions, each on or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RetryOn {
    /// `"connect-failure"`: whatever kept a connection from being made.
    pub connect_failure: bool,
    /// `"refused"`: nobody listened.
    pub refused: bool,
    /// `"reset"`: the connection ended before a byte of an answer.
    pub reset: bool,
    /// `"timeout"`: no byte of an answer within `timeouts.server`.
    pub timeout: bool,
    /// `"502"`
    pub bad_gateway: bool,
    /// `"503"`
    pub unavailable: bool,
    /// `"504"`
    pub gateway_timeout: bool,
}

/// How many retries a pool may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryBudget {
    /// `budget`: for each request, in thousandths (default 200).
    pub thousandths: u32,
    /// `minimum`: in ten seconds, whatever the number of requests (default 10); also what may be saved up.
    pub minimum: u32,
}

impl RetryOn {
    /// Whether a request may be sent again that has reached a server: its body is kept then.
    pub fn repeats(&self) -> bool {
        self.reset || self.timeout || self.bad_gateway || self.unavailable || self.gateway_timeout
    }

    /// Whether an answer of this status is not passed on as long as another attempt is allowed.
    pub fn has_status(&self, status: u16) -> bool {
        match status {
            502 => self.bad_gateway,
            503 => self.unavailable,
            504 => self.gateway_timeout,
            _ => false,
        }
    }
}

pub(super) fn retry(table: &Table<'_>) -> Retry {
    let thousandths = table.setting("budget", share_or_false);
    let minimum = table.setting("minimum", |item| item.number(0..=1000)) as u32;
    Retry {
        on: table.setting("on", on),
        buffer: table.setting("buffer", |item| item.size(0..=MOST_BUFFER)),
        budget: thousandths.map(|thousandths| RetryBudget {
            thousandths,
            minimum,
        }),
    }
}

fn on(item: &Item<'_>) -> Option<RetryOn> {
    let mut on = RetryOn::default();
    if item.is_empty_list() {
        item.error("`on` is empty: to try nothing again write `retries = 0` in the pool");
        return None;
    }
    for condition in item.list(|item| item.choice(&CONDITIONS))? {
        *match condition {
            Condition::ConnectFailure => &mut on.connect_failure,
            Condition::Refused => &mut on.refused,
            Condition::Reset => &mut on.reset,
            Condition::Timeout => &mut on.timeout,
            Condition::BadGateway => &mut on.bad_gateway,
            Condition::Unavailable => &mut on.unavailable,
            Condition::GatewayTimeout => &mut on.gateway_timeout,
        } = true;
    }
    Some(on)
}

/// In thousandths; `false` is none.
pub(super) fn share_or_false(item: &Item<'_>) -> Option<Option<u32>> {
    if item.is_switch() {
        return match item.switch()? {
            false => Some(None),
            true => {
                item.refuse(Refusal::new("must be a number or false"));
                None
            }
        };
    }
    item.thousandths().map(Some)
}

#[derive(Debug, Clone, Copy)]
enum Condition {
    ConnectFailure,
    Refused,
    Reset,
    Timeout,
    BadGateway,
    Unavailable,
    GatewayTimeout,
}

const CONDITIONS: [(&str, Condition); 7] = [
    ("connect-failure", Condition::ConnectFailure),
    ("refused", Condition::Refused),
    ("reset", Condition::Reset),
    ("timeout", Condition::Timeout),
    ("502", Condition::BadGateway),
    ("503", Condition::Unavailable),
    ("504", Condition::GatewayTimeout),
];

/// Bytes: each connection may hold so many, twice.
const MOST_BUFFER: u64 = 1024 * 1024;
