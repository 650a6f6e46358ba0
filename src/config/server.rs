//! `[[pool.NAME.server]]`: one server, and how it is checked.

use super::agent::agent;
use super::bounds::{self, bounds};
use super::check::check;
use super::names::Names;
use super::proxy_protocol;
use super::rate::{rate, slow_start};
use super::reader::{Note, Span};
use super::section::{Section, setting};
use super::sources::sources;
use super::table::Table;
use super::template::{Origin, whereabouts};
use super::values::{cookie_key, name};
use super::{AdminState, Check, Rate, Server, SlowStart};

pub(super) const SERVER: Section = Section::new(
    "pool.NAME.server",
    &[
        setting("name", "", "unique in its pool; in the log; must be given"),
        setting(
            "address",
            "",
            "\"127.0.0.1:3000\", \"[::1]:3000\", \"unix:/path\", or \"name:3000\" for all addresses that DNS has of it; must be given, or `srv`",
        ),
        setting(
            "srv",
            "",
            "instead of `address`: the servers are where the SRV records of this name say, such as \"_ws._tcp.example.com\"; their weights are the servers', lower priorities go first",
        ),
        setting(
            "max_servers",
            "",
            "so many servers a name may stand for, 1 to 64; by default 64, and 1 with a `cookie`",
        ),
        setting(
            "source",
            "[]",
            "addresses of this machine to connect from, one or a list of up to 64, taken in turn: each has its own ports, so together they carry more than 64,000 connections; empty leaves the address to the kernel",
        ),
        setting(
            "weight",
            "1",
            "its share of the new clients, 0 to 256; 0 takes only those whose cookie names it",
        ),
        setting(
            "tier",
            "0",
            "0 to 255: it takes new clients only while no server of a lower tier does; 1 is a backup",
        ),
        setting(
            "slow_start",
            "",
            "instead of the pool's: for so long after it came back its share grows from a sixteenth to the whole",
        ),
        setting(
            "tunnel_rate",
            "",
            "instead of the pool's: so many new tunnels per second, a number or { per_second, burst }",
        ),
        bounds::MAX_CONNECTIONS,
        bounds::MAX_TUNNELS,
        bounds::SERVER_QUEUE,
        setting("cookie", "", "its key in the sticky cookie"),
        setting(
            "shared_cookie",
            "false",
            "other servers of the pool may have the same key: the first usable one takes the client",
        ),
        setting(
            "proxy_protocol",
            "",
            "\"v1\" or \"v2\": every connection to it begins with a PROXY header that tells the client's address; left out, none does",
        ),
        setting(
            "check",
            "",
            "instead of the pool's: true connects to it every two seconds; a table says how and how often; false does not check it",
        ),
        setting(
            "agent",
            "",
            "a program beside it that is asked over TCP what it is good for, and answers in a line of text",
        ),
        setting(
            "state",
            "\"ready\"",
            "\"ready\", \"drain\" (only clients whose cookie names it) or \"maintenance\" (nobody, and no checks)",
        ),
    ],
);

/// A server with what later rules have to point at.
pub(super) struct Placed {
    pub(super) server: Server,
    /// It has a name, and may become so many.
    pub(super) origin: Option<(Origin, usize)>,
    pub(super) span: Span,
    pub(super) cookie: Span,
}

/// What a server has of its pool unless it says otherwise.
pub(super) struct Inherited {
    pub(super) slow_start: Option<SlowStart>,
    pub(super) tunnel_rate: Option<Rate>,
    pub(super) max_queue: u32,
    pub(super) check: Option<Check>,
}

pub(super) fn server(
    table: &Table<'_>,
    names: &mut Names,
    inherited: &Inherited,
) -> Option<Placed> {
    let name = table.required("name", |item| item.parse(name));
    if let Some(name) = &name {
        names.take(table.reader, name, &table.span_of("name"));
    }
    let found = whereabouts(table);
    // A name may have addresses of either family.
    let known = found.as_ref().filter(|found| found.origin.is_none());
    let source = sources(table, known.map(|found| &found.address));
    let weight = table.setting("weight", |item| item.number(0..=256)) as u16;
    let tier = table.setting("tier", |item| item.number(0..=255)) as u8;
    let own = table.optional("slow_start", slow_start);
    let tunnel_rate = table.optional("tunnel_rate", rate);
    let bounds = bounds(table, inherited.max_queue);
    let cookie = table.optional("cookie", |item| item.parse(cookie_key));
    let shared_cookie = table.setting("shared_cookie", |item| item.switch());
    let proxy_protocol = table.optional("proxy_protocol", proxy_protocol::version);
    let check = table.optional("check", check);
    let agent = table.optional("agent", agent);
    let state = table.setting("state", |item| item.choice(&AdminState::WORDS));
    if shared_cookie && !table.has("cookie") {
        let message = "`shared_cookie` has no effect: the server has no `cookie`";
        table
            .reader
            .report(Note::warning(&table.span_of("shared_cookie"), message));
    }
    let found = found?;
    let server = Server {
        name: name?,
        address: found.address,
        source,
        weight,
        tier,
        slow_start: own.or(inherited.slow_start),
        tunnel_rate: tunnel_rate.or(inherited.tunnel_rate),
        bounds,
        cookie,
        shared_cookie,
        proxy_protocol,
        check: check.unwrap_or_else(|| inherited.check.clone()),
        agent,
        state,
    };
    Some(Placed {
        server,
        origin: found.origin,
        span: table.span.clone(),
        cookie: table.span_of("cookie"),
    })
}
