//! `max_connections`, `max_tunnels` and `max_queue`: how much a server is given at once, and who waits for it.

use toml::de::DeValue;

use super::section::{Setting, setting};
use super::table::Table;
use super::values::Refusal;
use super::{item::Item, reader::Note};

/// How much a server is given at once. A slow start scales the first two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// `max_connections`: requests and tunnels on it at once, over all workers; `None` is no bound.
    pub connections: Option<u32>,
    /// `max_tunnels`: tunnels, and handshakes that may become one, among them; `None` is no bound.
    pub tunnels: Option<u32>,
    /// `max_queue`, its own or the pool's: requests that wait for this very server (default 1024; 0: nobody waits).
    pub queue: u32,
}

impl Bounds {
    /// No bound at all.
    pub const NONE: Self = Self {
        connections: None,
        tunnels: None,
        queue: QUEUE,
    };

    /// Whether anybody may have to wait for the server.
    pub const fn any(&self) -> bool {
        self.connections.is_some() || self.tunnels.is_some()
    }
}

pub(super) const MAX_CONNECTIONS: Setting = setting(
    "max_connections",
    "",
    "requests and tunnels on it at once, over all workers: what comes beyond waits; left out, there is no bound",
);

pub(super) const MAX_TUNNELS: Setting = setting(
    "max_tunnels",
    "",
    "tunnels among them; left out, there is no bound of their own",
);

pub(super) const SERVER_QUEUE: Setting = setting(
    "max_queue",
    "",
    "instead of the pool's: requests that wait for this server because their cookie names it",
);

pub(super) const POOL_QUEUE: Setting = setting(
    "max_queue",
    "1024",
    "requests that may wait for the first server with room, and for each server as many that their cookie sends there; at 0 nobody waits; beyond it 503",
);

/// A pool's.
pub(super) fn max_queue(table: &Table<'_>) -> u32 {
    table.setting("max_queue", queue)
}

/// A server's; `pool` is its pool's `max_queue`.
pub(super) fn bounds(table: &Table<'_>, pool: u32) -> Bounds {
    let connections = table.optional("max_connections", bound);
    let tunnels = table.optional("max_tunnels", bound);
    let own = table.optional("max_queue", queue);
    let bounds = Bounds {
        connections,
        tunnels,
        queue: own.unwrap_or(pool),
    };
    let warn = |name, message: &str| {
        let note = Note::warning(&table.span_of(name), message.to_owned());
        table.reader.report(note);
    };
    if connections.is_some_and(|all| tunnels.is_some_and(|tunnels| tunnels > all)) {
        warn(
            "max_tunnels",
            "`max_tunnels` has no effect: `max_connections` is less",
        );
    }
    // A bound that was refused has been told of already.
    let bounded = table.has("max_connections") || table.has("max_tunnels");
    if table.has("max_queue") && !bounded {
        let message =
            "`max_queue` has no effect: the server has no `max_connections` and no `max_tunnels`";
        warn("max_queue", message);
    }
    bounds
}

fn bound(item: &Item<'_>) -> Option<u32> {
    if matches!(item.raw, DeValue::Integer(number) if number.as_str() == "0") {
        let help = format!("leave `{}` out to set no bound", item.name);
        item.refuse(Refusal::new("a bound of 0 is refused").help(help));
        return None;
    }
    item.number(1..=MOST).map(|bound| bound as u32)
}

fn queue(item: &Item<'_>) -> Option<u32> {
    item.number(0..=MOST).map(|length| length as u32)
}

/// As many as client connections.
const MOST: u64 = 10_000_000;

/// Of [`POOL_QUEUE`].
const QUEUE: u32 = 1024;
