//! Rates: how many tunnels, requests or sessions may begin in a second, and what a rate grows from after a start.
//!
//! `tunnel_rate` (of a server or a listener), `client_rate` (of a listener), the table form of `slow_start`, and
//! `process.tunnel_ramp`.

use std::net::IpAddr;
use std::time::Duration;

use super::item::Item;
use super::reader::Note;
use super::section::{Section, setting};
use super::settings::Network;
use super::table::Table;
use super::values::network;

/// So many a second, and so many at once after a quiet time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// `per_second`: 1 to [`MOST`].
    pub per_second: u32,
    /// `burst`: 1 to [`MOST`] (default: a tenth of `per_second`, at least 1).
    pub burst: u32,
}

/// A rate that grows evenly for some time after the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ramp {
    /// `over`: when it is over there is no limit any more.
    pub over: Duration,
    /// `from`: a second, at the start.
    pub from: u32,
    /// `to`: a second, at the end.
    pub to: u32,
}

/// `client_rate`: what each network of clients may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientRate {
    /// `requests`: those that are no WebSocket handshake; `None` is no limit.
    pub requests: Option<Rate>,
    /// `tunnels`: WebSocket handshakes; `None` is no limit.
    pub tunnels: Option<Rate>,
    /// `ipv4_prefix`: bits of an IPv4 address that make a network (default 32).
    pub ipv4_prefix: u8,
    /// `ipv6_prefix`: of an IPv6 address (default 64).
    pub ipv6_prefix: u8,
    /// `networks`: how many are remembered at a time (default 65,536), 8 bytes each.
    pub networks: usize,
    /// `except`: clients in these are not counted (default none).
    pub except: Vec<Network>,
}

/// `slow_start`: how a server that came back is given more and more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowStart {
    /// `over`, or the setting itself: how long it takes.
    pub over: Duration,
    /// `sessions_per_second`: what it may be given meanwhile, besides its share of the weight.
    pub sessions: Option<Growth>,
}

/// From one rate to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// `from`: a second, at first.
    pub from: u32,
    /// `to`: a second, at last.
    pub to: u32,
}

impl ClientRate {
    /// Whether this client is one of those that are not counted.
    pub fn excepts(&self, client: IpAddr) -> bool {
        self.except.iter().any(|network| network.contains(client))
    }
}

pub(super) const TUNNEL_RATE: Section = Section::new(
    "pool.NAME.tunnel_rate",
    &[
        setting(
            "per_second",
            "",
            "so many in a second, 1 to 1000000; must be given",
        ),
        setting(
            "burst",
            "",
            "so many at once after a quiet time, 1 to 1000000; by default a tenth of per_second",
        ),
    ],
);

pub(super) const CLIENT_RATE: Section = Section::new(
    "listener.client_rate",
    &[
        setting(
            "requests",
            "",
            "requests, WebSocket handshakes apart: { per_second, burst }, at most 10000 a second",
        ),
        setting(
            "tunnels",
            "",
            "WebSocket handshakes: { per_second, burst }, at most 10000 a second",
        ),
        setting(
            "ipv4_prefix",
            "32",
            "IPv4 clients whose addresses agree in so many bits are counted together, 8 to 32",
        ),
        setting(
            "ipv6_prefix",
            "64",
            "the same for IPv6, 16 to 128; a site usually has 48, 56 or 64 bits of its own",
        ),
        setting(
            "networks",
            "65536",
            "networks that are remembered at a time, 64 to 16777216, each in 8 bytes",
        ),
        setting("except", "[]", "clients in these networks are not counted"),
    ],
);

pub(super) const TUNNEL_RAMP: Section = Section::new(
    "process.tunnel_ramp",
    &[
        setting("over", "", "for so long after the start; must be given"),
        setting(
            "from",
            "",
            "new tunnels per second at the start; must be given",
        ),
        setting(
            "to",
            "",
            "new tunnels per second at the end, after which there is no limit; must be given",
        ),
    ],
);

pub(super) const SLOW_START: Section = Section::new(
    "pool.NAME.slow_start",
    &[
        setting(
            "over",
            "",
            "how long the share grows, as in the short form; must be given",
        ),
        setting(
            "sessions_per_second",
            "",
            "and so many clients without a cookie are sent there meanwhile: { from, to }",
        ),
    ],
);

pub(super) const GROWTH: Section = Section::new(
    "pool.NAME.slow_start.sessions_per_second",
    &[
        setting("from", "", "a second, at first; must be given"),
        setting("to", "", "a second, at last; must be given"),
    ],
);

/// `100`, or `{ per_second = 100, burst = 20 }`.
pub(super) fn rate(item: &Item<'_>) -> Option<Rate> {
    rate_of(item, MOST)
}

/// `{ requests, tunnels, … }`; one of the two must be there.
pub(super) fn client_rate(item: &Item<'_>) -> Option<ClientRate> {
    let table = item.table(&CLIENT_RATE)?;
    let rate = |name| table.optional(name, |item| rate_of(item, MOST_OF_A_CLIENT));
    if !table.has("requests") && !table.has("tunnels") {
        item.error("`client_rate` limits nothing: it needs `requests`, `tunnels` or both");
    }
    Some(ClientRate {
        requests: rate("requests"),
        tunnels: rate("tunnels"),
        ipv4_prefix: table.setting("ipv4_prefix", |item| item.number(8..=32)) as u8,
        ipv6_prefix: table.setting("ipv6_prefix", |item| item.number(16..=128)) as u8,
        networks: table.setting("networks", |item| item.number(64..=16_777_216)) as usize,
        except: table.setting("except", |item| item.list(|item| item.parse(network))),
    })
}

/// `{ over, from, to }`
pub(super) fn tunnel_ramp(item: &Item<'_>) -> Option<Ramp> {
    let table = item.table(&TUNNEL_RAMP)?;
    let over = table.required("over", |item| item.duration());
    let Growth { from, to } = growth_of(&table)?;
    let over = over?;
    Some(Ramp { over, from, to })
}

/// `"30s"`, or `{ over = "30s", sessions_per_second = { from = 10, to = 200 } }`.
pub(super) fn slow_start(item: &Item<'_>) -> Option<SlowStart> {
    if !item.is_table() {
        let over = item.duration()?;
        let sessions = None;
        return Some(SlowStart { over, sessions });
    }
    let table = item.table(&SLOW_START)?;
    let over = table.required("over", |item| item.duration());
    let sessions = table.optional("sessions_per_second", |item| {
        growth_of(&item.table(&GROWTH)?)
    });
    let over = over?;
    Some(SlowStart { over, sessions })
}

fn rate_of(item: &Item<'_>, most: u64) -> Option<Rate> {
    if item.is_number() {
        let per_second = item.number(1..=most)? as u32;
        let burst = usual_burst(per_second);
        return Some(Rate { per_second, burst });
    }
    if !item.is_table() {
        item.wrong_type("a number a second, or a table such as { per_second = 100, burst = 20 }");
        return None;
    }
    let table = item.table(&TUNNEL_RATE)?;
    let per_second = table.required("per_second", |item| item.number(1..=most));
    let burst = table.optional("burst", |item| item.number(1..=u64::from(MOST_AT_ONCE)));
    let per_second = per_second? as u32;
    Some(Rate {
        per_second,
        burst: burst.map_or_else(|| usual_burst(per_second), |burst| burst as u32),
    })
}

fn growth_of(table: &Table<'_>) -> Option<Growth> {
    let rate = |name| table.required(name, |item| item.number(1..=MOST));
    let (from, to) = (rate("from"), rate("to"));
    let (from, to) = (from? as u32, to? as u32);
    if from > to {
        let message = "a rate grows: `to` must not be less than `from`";
        table
            .reader
            .report(Note::error(&table.span_of("to"), message));
    }
    Some(Growth { from, to })
}

/// Of a rate that does not say.
const fn usual_burst(per_second: u32) -> u32 {
    match per_second / 10 {
        0 => 1,
        tenth => tenth,
    }
}

/// The highest rate: a token every microsecond.
const MOST: u64 = 1_000_000;
/// The largest burst.
const MOST_AT_ONCE: u32 = 1_000_000;
/// What the table of networks can count: it has steps of 10 µs.
const MOST_OF_A_CLIENT: u64 = 10_000;
