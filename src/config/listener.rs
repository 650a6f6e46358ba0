//! `[[listener]]` and `[[route]]`: where requests come in, and which pool they go to.

use super::reader::{Item, Note, Reader, Span, Table};
use super::section::{Section, nearest, setting};
use super::values::{bind_address, field_name, host, name, network, url_path};
use super::{Address, Capture, HostPattern, Listener, PathPattern, Route};

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
            "one address or a list: \"0.0.0.0:80\", \"*:80\", \"[::]:80\", \"unix:/path\"; must be given",
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
    ],
);

pub(super) const CAPTURE: Section = Section::new(
    "listener.capture",
    &[
        setting("header", "", "the field's name; must be given"),
        setting("length", "64", "bytes kept of its value, 1 to 1024"),
    ],
);

pub(super) const ROUTE: Section = Section::new(
    "route",
    &[
        setting(
            "listener",
            "",
            "only requests of this listener; without it, of all",
        ),
        setting(
            "host",
            "",
            "\"example.com\", or \"*.example.com\" for all below it; without it, any",
        ),
        setting(
            "path",
            "",
            "exactly this path; without it and `path_prefix`, any",
        ),
        setting(
            "path_prefix",
            "",
            "paths that begin so; the longest one wins",
        ),
        setting("pool", "", "where they go; must be given"),
    ],
);

/// The things of one kind that have names, each with its place: what other tables may refer to.
pub(super) struct Names {
    kind: &'static str,
    known: Vec<(String, Span)>,
}

impl Names {
    pub(super) fn new(kind: &'static str) -> Self {
        Self {
            kind,
            known: Vec::new(),
        }
    }

    /// Takes a name, or says that another one has it. A name is given to every thing, so that indices stay right.
    pub(super) fn take(&mut self, reader: &Reader<'_>, name: &str, span: &Span) {
        if let Some((_, first)) = self.known.iter().find(|(known, _)| known == name) {
            reader.twice(
                format!("two {}s are named `{name}`", self.kind),
                first,
                span,
            );
        }
        self.known.push((name.to_owned(), span.clone()));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &(String, Span)> {
        self.known.iter()
    }

    pub(super) fn get(&self, index: usize) -> Option<&(String, Span)> {
        self.known.get(index)
    }

    /// The index of the thing that an item names, or a problem with the nearest name.
    pub(super) fn find(&self, item: &Item<'_>) -> Option<usize> {
        let wanted = item.text()?;
        let found = self.known.iter().position(|(name, _)| name == wanted);
        if found.is_none() {
            let kind = self.kind;
            let message = format!("{kind} `{}` is not defined", super::reader::shorten(wanted));
            let names = || self.known.iter().map(|(name, _)| name.as_str());
            let help = match nearest(wanted, names()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if self.known.is_empty() => format!("the file defines no {kind}"),
                None => format!(
                    "defined are {}",
                    names()
                        .take(8)
                        .map(|name| format!("`{name}`"))
                        .collect::<Vec<_>>()
                        .join(", ")
                ),
            };
            item.reader
                .report(Note::error(&item.span, message).help(help).absent());
        }
        found
    }
}

pub(super) fn listeners(tables: &[Table<'_>], names: &mut Names, pools: &Names) -> Vec<Listener> {
    let mut taken: Vec<(Address, Span)> = Vec::new();
    tables
        .iter()
        .map(|table| listener(table, names, pools, &mut taken))
        .collect()
}

fn listener(
    table: &Table<'_>,
    names: &mut Names,
    pools: &Names,
    taken: &mut Vec<(Address, Span)>,
) -> Listener {
    let name = table
        .required("name", |item| item.parse(name))
        .unwrap_or_default();
    if !name.is_empty() {
        names.take(table.reader, &name, &table.span_of("name"));
    } else {
        names.known.push((name.clone(), table.span.clone()));
    }
    let bind = table.required("bind", |item| {
        let bind = item.one_or_list(|item| Some((item.parse(bind_address)?, item.span.clone())))?;
        if item.is_empty_list() {
            item.error("`bind` is an empty list: a listener has at least one address");
        }
        Some(bind)
    });
    let bind = bind.unwrap_or_default();
    for (address, span) in &bind {
        take_address(table.reader, address, span, taken);
    }
    let captures =
        |item: &Item<'_>| Some(item.tables(&CAPTURE).iter().filter_map(capture).collect());
    Listener {
        name,
        bind: bind.into_iter().map(|(address, _)| address).collect(),
        default_pool: table.optional("default_pool", |item| pools.find(item)),
        capture_request: table.setting("capture_request", captures),
        capture_response: table.setting("capture_response", captures),
        backlog: table.setting("backlog", |item| item.number(1..=65_535)) as u32,
        trusted_proxies: table.setting("trusted_proxies", |item| {
            item.list(|item| item.parse(network))
        }),
    }
}

/// The same address twice would share its connections by chance. Port 0 is another one each time.
fn take_address(
    reader: &Reader<'_>,
    address: &Address,
    span: &Span,
    taken: &mut Vec<(Address, Span)>,
) {
    if matches!(address, Address::Ip(ip) if ip.port() == 0) {
        return;
    }
    match taken.iter().find(|(other, _)| other == address) {
        Some((_, first)) => reader.twice(format!("{address} is bound twice"), first, span),
        None => taken.push((address.clone(), span.clone())),
    }
}

fn capture(table: &Table<'_>) -> Option<Capture> {
    let length = table.setting("length", |item| item.number(1..=1_024)) as usize;
    Some(Capture {
        header: table.required("header", |item| item.parse(field_name))?,
        length,
    })
}

pub(super) fn routes(tables: &[Table<'_>], listeners: &Names, pools: &Names) -> Vec<Route> {
    let mut read: Vec<(Route, Span)> = Vec::new();
    for table in tables {
        let Some(route) = route(table, listeners, pools) else {
            continue;
        };
        let same = |other: &Route| {
            (other.listener, &other.host, &other.path) == (route.listener, &route.host, &route.path)
        };
        if let Some((_, first)) = read.iter().find(|(other, _)| same(other)) {
            let message = format!(
                "two routes take the same requests: {}, {}",
                route.host, route.path
            );
            table.reader.twice(message, first, &table.span);
        }
        read.push((route, table.span.clone()));
    }
    read.into_iter().map(|(route, _)| route).collect()
}

/// `None` when a part is wrong: such a route is compared with no other.
fn route(table: &Table<'_>, listeners: &Names, pools: &Names) -> Option<Route> {
    let listener = table.optional("listener", |item| Some(listeners.find(item)));
    let host = table.optional("host", |item| Some(item.parse(host)));
    let path = path(table);
    let pool = table.required("pool", |item| pools.find(item));
    Some(Route {
        listener: match listener {
            Some(found) => Some(found?),
            None => None,
        },
        host: host.unwrap_or(Some(HostPattern::Any))?,
        path: path?,
        pool: pool?,
    })
}

fn path(table: &Table<'_>) -> Option<PathPattern> {
    let exact = table.optional("path", |item| Some(item.parse(url_path)));
    let prefix = table.optional("path_prefix", |item| Some(item.parse(url_path)));
    match (exact, prefix) {
        (None, None) => Some(PathPattern::Any),
        (Some(exact), None) => exact.map(PathPattern::Exact),
        (None, Some(prefix)) => prefix.map(PathPattern::Prefix),
        (Some(_), Some(_)) => {
            let message = "a route has `path` or `path_prefix`, not both";
            table
                .reader
                .report(Note::error(&table.span_of("path_prefix"), message));
            None
        }
    }
}
