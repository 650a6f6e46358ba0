//! `[[listener]]`: where requests come in.

use super::error_pages::error_pages;
use super::item::Item;
use super::monitor::monitor;
use super::names::Names;
use super::networks::admission;
use super::proxy_protocol;
use super::rate::{client_rate, rate};
use super::reader::{Reader, Span};
use super::section::{Section, setting};
use super::table::Table;
use super::values::{bind_address, field_name, name, network};
use super::{Address, Bind, Capture, Listener};

pub(super) const LISTENER: Section = Section::new(
    "listener",
    &[
        setting(
            "name",
            "",
            "unique; the frontend's name in the log; must be given",
        ),
        setting(
            "bind",
            "",
            "one address or a list: \"0.0.0.0:80\", \"*:80\" (every address, IPv4 and IPv6), \"[::]:80\" (IPv4 too, unless the same port is bound for IPv4), \"unix:/path\"; must be given",
        ),
        setting(
            "default_pool",
            "",
            "takes the requests that no route matches; without it they are answered with 503",
        ),
        setting(
            "capture_request",
            "[]",
            "request header fields for the log line: { header = \"Host\", length = 64 }",
        ),
        setting(
            "capture_response",
            "[]",
            "response header fields for the log line",
        ),
        setting(
            "backlog",
            "1024",
            "connections waiting to be accepted, per socket; the kernel caps it at net.core.somaxconn",
        ),
        setting(
            "trusted_proxies",
            "[]",
            "networks whose X-Forwarded-* and Forwarded fields are kept and added to; what anybody else sends under these names is dropped. Behind a CDN or another proxy, list it here",
        ),
        setting(
            "proxy_protocol",
            "[]",
            "networks (and \"unix\", for unix sockets) whose connections begin with a PROXY header, version 1 or 2: the client's address is the one it tells",
        ),
        setting(
            "allow",
            "",
            "networks (and \"unix\") of the clients that are admitted, all others get 403; without it, all are",
        ),
        setting(
            "deny",
            "[]",
            "networks (and \"unix\") of clients that get 403, whatever `allow` says",
        ),
        setting(
            "error_pages",
            "",
            "pages instead of our own words, by status, over those of [error_pages]",
        ),
        setting(
            "verbose_errors",
            "false",
            "add to the answer to a refused request why it was refused, where in the request, and what to change; not to [error_pages]",
        ),
        setting(
            "monitor",
            "",
            "a path at which others ask whether it serves: 200, or 503 while it stops; a table { path, pools } also asks for servers",
        ),
        setting(
            "tunnel_rate",
            "",
            "new tunnels per second of all clients together: a number or { per_second, burst }; beyond it they are answered with 503",
        ),
        setting(
            "client_rate",
            "",
            "what each client, or network of clients, may begin in a second: { requests, tunnels, … }; beyond it they are answered with 429",
        ),
    ],
);

pub(super) const CAPTURE: Section = Section::new(
    "listener.capture",
    &[
        setting("header", "", "the field's name; must be given"),
        setting("length", "64", "bytes kept of its value, 1 to 1024"),
    ],
);

/// Addresses that are listened on, each with its place.
pub(super) type Taken = Vec<(Bind, Span)>;

pub(super) fn listeners(
    tables: &[Table<'_>],
    names: &mut Names,
    pools: &Names,
    taken: &mut Taken,
) -> Vec<Listener> {
    tables
        .iter()
        .map(|table| listener(table, names, pools, taken))
        .collect()
}

/// A listener that leads to no pool: of the stats page, if it has addresses of its own.
pub(super) fn internal(root: &Table<'_>, name: &str, bind: Vec<Bind>) -> Listener {
    let defaults = root.nothing(&LISTENER);
    with(&defaults, &Names::new("pool"), name.to_owned(), bind)
}

fn listener(table: &Table<'_>, names: &mut Names, pools: &Names, taken: &mut Taken) -> Listener {
    let name = table
        .required("name", |item| item.parse(name))
        .unwrap_or_default();
    names.take(table.reader, &name, &table.span_of("name"));
    let bind = table.required("bind", addresses).unwrap_or_default();
    with(table, pools, name, take_all(table.reader, bind, taken))
}

/// What a `bind` names.
pub(super) fn addresses(item: &Item<'_>) -> Option<Taken> {
    let bind =
        item.one_or_list(|item| Some((item.parse_zoned(bind_address)?, item.span.clone())))?;
    if item.is_empty_list() {
        item.error("`bind` is an empty list: a listener has at least one address");
    }
    Some(bind)
}

/// Takes the addresses of one listener, or says which is bound already.
pub(super) fn take_all(reader: &Reader<'_>, mut bind: Taken, taken: &mut Taken) -> Vec<Bind> {
    // As other proxies need them: `"*:80"` beside `"[::]:80"`. The former has the latter in it.
    let every: Vec<Bind> = bind
        .iter()
        .map(|(bind, _)| bind.clone())
        .filter(|bind| matches!(bind, Bind::Every(_)))
        .collect();
    bind.retain(|(bind, _)| {
        !every
            .iter()
            .any(|every| every != bind && is_same(every, bind))
    });
    for (bind, span) in &bind {
        take_address(reader, bind, span, taken);
    }
    bind.into_iter().map(|(bind, _)| bind).collect()
}

fn with(table: &Table<'_>, pools: &Names, name: String, bind: Vec<Bind>) -> Listener {
    let captures =
        |item: &Item<'_>| Some(item.tables(&CAPTURE).iter().filter_map(capture).collect());
    Listener {
        name,
        bind,
        default_pool: table.optional("default_pool", |item| pools.find(item)),
        capture_request: table.setting("capture_request", captures),
        capture_response: table.setting("capture_response", captures),
        backlog: table.setting("backlog", |item| item.number(1..=65_535)) as u32,
        trusted_proxies: table.setting("trusted_proxies", |item| {
            item.list(|item| item.parse(network))
        }),
        proxy_protocol: table.setting("proxy_protocol", proxy_protocol::senders),
        admission: admission(table),
        error_pages: table
            .optional("error_pages", error_pages)
            .unwrap_or_default(),
        verbose_errors: table.setting("verbose_errors", |item| item.switch()),
        monitor: table.optional("monitor", |item| monitor(item, pools)),
        tunnel_rate: table.optional("tunnel_rate", rate),
        client_rate: table.optional("client_rate", client_rate),
    }
}

/// The same address twice would share its connections by chance. Port 0 is another one each time.
fn take_address(reader: &Reader<'_>, bind: &Bind, span: &Span, taken: &mut Taken) {
    if matches!(bind, Bind::Every(0))
        || matches!(bind, Bind::Address(Address::Ip(ip)) if ip.port() == 0)
    {
        return;
    }
    match taken.iter().find(|(other, _)| is_same(other, bind)) {
        Some((_, first)) => reader.twice(format!("{bind} is bound twice"), first, span),
        None => taken.push((bind.clone(), span.clone())),
    }
}

/// Whether both take the same connections; `"*:80"` has the two wildcards in it.
fn is_same(one: &Bind, other: &Bind) -> bool {
    match (one, other) {
        (Bind::Every(port), Bind::Address(Address::Ip(ip)))
        | (Bind::Address(Address::Ip(ip)), Bind::Every(port)) => {
            ip.ip().is_unspecified() && ip.port() == *port
        }
        _ => one == other,
    }
}

fn capture(table: &Table<'_>) -> Option<Capture> {
    let length = table.setting("length", |item| item.number(1..=1_024)) as usize;
    Some(Capture {
        header: table.required("header", |item| item.parse(field_name))?,
        length,
    })
}
