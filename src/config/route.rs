//! `[[route]]`: which requests go to which pool, or what they get instead.

use super::action::action;
use super::headers::{Side, header_changes, is_same};
use super::names::Names;
use super::networks::admission;
use super::reader::{Note, Reader, Span};
use super::section::{Section, setting};
use super::shadows::{is_guard, passes_by};
use super::table::Table;
use super::values::{host, url_path};
use super::{Action, HostPattern, PathPattern, Pool, Route};

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
        setting(
            "pool",
            "",
            "where they go; this, `redirect` or `answer` must be given",
        ),
        setting(
            "redirect",
            "",
            "where they are sent instead: \"https://{host}{path}{query}\", or a table { to, code }",
        ),
        setting(
            "answer",
            "",
            "what they get instead: a table { status, body, file, type }",
        ),
        setting(
            "request_headers",
            "",
            "fields that are set, added and removed on the way to the server: a table { set, add, remove }",
        ),
        setting("response_headers", "", "the same on the way to the client"),
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
    ],
);

pub(super) fn routes(
    tables: &[Table<'_>],
    listeners: &Names,
    pool_names: &Names,
    pools: &[Pool],
) -> Vec<Route> {
    let mut read: Vec<(Route, Span)> = Vec::new();
    for table in tables {
        let Some(route) = route(table, listeners, pool_names) else {
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
        check_headers(table, &route, pools);
        read.push((route, table.span.clone()));
    }
    if let Some(table) = tables.first() {
        warn_of_shadows(table.reader, &read);
    }
    read.into_iter().map(|(route, _)| route).collect()
}

/// Says which routes take requests past a guard; at most [`GUARDS_SHOWN`] guards are looked at.
fn warn_of_shadows(reader: &Reader<'_>, routes: &[(Route, Span)]) {
    let guards = routes.iter().filter(|(route, _)| is_guard(route));
    for (guard, span) in guards.take(GUARDS_SHOWN) {
        let others = routes.iter().filter(|(other, _)| passes_by(guard, other));
        let lines: Vec<usize> = others
            .map(|(_, other)| reader.source.line(other.start))
            .collect();
        let Some(first) = lines.first() else {
            continue;
        };
        let more = match lines.len() {
            1 => String::new(),
            2 => format!(" and that in line {}", lines[1]),
            more => format!(" and {} others", more - 1),
        };
        let (host, path) = (&guard.host, &guard.path);
        let verb = if lines.len() == 1 { "takes" } else { "take" };
        let message = format!(
            "`allow` and `deny` for {path} of {host} can be passed by: the route in line {first}{more} {verb} some of these requests, without a guard"
        );
        let help = "the most specific host wins, then the longest path, and only the guard of the route that is taken counts: repeat it there, or put it into the [[listener]]";
        reader.report(Note::warning(span, message).help(help));
    }
}

/// Guards that are compared with all routes: a file may have thousands of each.
const GUARDS_SHOWN: usize = 100;

/// `None` when a part is wrong: such a route is compared with no other.
fn route(table: &Table<'_>, listeners: &Names, pools: &Names) -> Option<Route> {
    let listener = table.optional("listener", |item| Some(listeners.find(item)));
    let host = table.optional("host", |item| Some(item.parse(host)));
    let path = path(table);
    let action = action(table, pools);
    let admission = admission(table);
    let changes = |name, side| {
        let changes = table.optional(name, |item| header_changes(item, side));
        changes.unwrap_or_default()
    };
    let request_headers = changes("request_headers", Side::Request);
    let response_headers = changes("response_headers", Side::Response);
    Some(Route {
        listener: match listener {
            Some(found) => Some(found?),
            None => None,
        },
        host: host.unwrap_or(Some(HostPattern::Any))?,
        path: path?,
        action: action?,
        admission,
        request_headers,
        response_headers,
    })
}

/// What only shows beside the rest of a route.
fn check_headers(table: &Table<'_>, route: &Route, pools: &[Pool]) {
    let names = |changes: &super::HeaderChanges| {
        let given = changes.set.iter().chain(&changes.add);
        let given = given.map(|(name, _)| name.clone());
        given.chain(changes.remove.clone()).collect::<Vec<_>>()
    };
    let request = names(&route.request_headers);
    let report = |note| table.reader.report(note);
    let id = route
        .pool()
        .and_then(|pool| pools.get(pool)?.request_id.as_deref());
    if let Some(id) = id.filter(|id| request.iter().any(|name| is_same(name, id))) {
        let note = Note::error(
            &table.span_of("request_headers"),
            format!("field `{id}` carries the id that the pool gives to its requests"),
        );
        report(note.help("write `request_id = false` in the pool, or another name there"));
    }
    if route.pool().is_none() && !request.is_empty() {
        report(Note::warning(
            &table.span_of("request_headers"),
            "`request_headers` has no effect: no server gets this route's requests",
        ));
    }
    let location = names(&route.response_headers)
        .iter()
        .any(|name| is_same(name, "Location"));
    if location && matches!(route.action, Action::Redirect(_)) {
        report(Note::error(
            &table.span_of("response_headers"),
            "field `Location`: the redirect's `to` is what stands in it",
        ));
    }
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

/// How a path pattern is shown.
impl std::fmt::Display for PathPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "path {path}"),
            Self::Prefix(path) => write!(f, "paths below {path}"),
            Self::Any => f.write_str("any path"),
        }
    }
}

/// How a host pattern is shown.
impl std::fmt::Display for HostPattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exact(host) => write!(f, "host {host}"),
            Self::Wildcard(host) => write!(f, "hosts below {host}"),
            Self::Any => f.write_str("any host"),
        }
    }
}
