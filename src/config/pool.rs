//! `[pool.NAME]` and `[[pool.NAME.server]]`: servers that stand in for each other.

use std::time::Duration;

use super::listener::Names;
use super::process::{POOL_TIMEOUTS, pool_timeouts};
use super::reader::{Item, Note, Span, Table};
use super::section::{Section, setting};
use super::sticky::{STICKY, check_keys, sticky};
use super::values::{Refusal, cookie_key, field_name, name, network, server_address};
use super::{AdminState, Balance, Check, ForwardedFor, Pool, Server, Timeouts};

pub(super) const POOL: Section = Section::new(
    "pool.NAME",
    &[
        setting(
            "balance",
            "\"round-robin\"",
            "how a server is chosen for a client that is new: in turn by weight, one order over all workers",
        ),
        setting(
            "retries",
            "3",
            "further attempts to connect after the first, 0 to 10",
        ),
        setting(
            "redispatch",
            "true",
            "the last retry goes to another server",
        ),
        setting(
            "timeouts",
            "{}",
            "connect, server and tunnel instead of those in [timeouts]",
        ),
        setting(
            "forwarded_for",
            "true",
            "tell the server the client's address in X-Forwarded-For; a table sets the field's name and excepted networks",
        ),
        setting(
            "forwarded_proto",
            "true",
            "tell the server in X-Forwarded-Proto whether the client's side is encrypted",
        ),
        setting(
            "forwarded",
            "false",
            "the same in one standard field, Forwarded (RFC 7239)",
        ),
        setting("via", "false", "add a Via field in both directions"),
        setting(
            "request_id",
            "\"X-Request-Id\"",
            "the field that carries a fresh id to the server and into the log; false adds none",
        ),
        setting(
            "sticky",
            "",
            "the cookie that keeps a client on its server; without it there is none",
        ),
        setting("server", "", "the servers; at least one"),
    ],
);

pub(super) const FORWARDED_FOR: Section = Section::new(
    "pool.NAME.forwarded_for",
    &[
        setting("header", "\"X-Forwarded-For\"", "the field's name"),
        setting("except", "[]", "clients in these networks are not told of"),
    ],
);

pub(super) const SERVER: Section = Section::new(
    "pool.NAME.server",
    &[
        setting("name", "", "unique in its pool; in the log; must be given"),
        setting(
            "address",
            "",
            "\"127.0.0.1:3000\", \"[::1]:3000\" or \"unix:/path\"; must be given",
        ),
        setting(
            "weight",
            "1",
            "its share of the new clients, 0 to 256; 0 takes only those whose cookie names it",
        ),
        setting("cookie", "", "its key in the sticky cookie"),
        setting(
            "shared_cookie",
            "false",
            "other servers of the pool may have the same key: the first usable one takes the client",
        ),
        setting(
            "check",
            "false",
            "whether it is checked by connecting to it; a table sets how often",
        ),
        setting(
            "state",
            "\"ready\"",
            "\"ready\", \"drain\" (only clients whose cookie names it) or \"maintenance\" (nobody, and no checks)",
        ),
    ],
);

pub(super) const CHECK: Section = Section::new(
    "pool.NAME.server.check",
    &[
        setting("interval", "\"2s\"", "from one check to the next"),
        setting(
            "timeout",
            "",
            "one check; by default as long as the interval",
        ),
        setting("rise", "2", "good checks in a row until it is up, 1 to 255"),
        setting(
            "fall",
            "3",
            "bad checks in a row until it is down, 1 to 255",
        ),
    ],
);

/// A server with what later rules have to point at.
pub(super) struct Placed {
    pub(super) server: Server,
    pub(super) span: Span,
    pub(super) cookie: Span,
}

pub(super) fn pool(table: &Table<'_>, name: String, general: &Timeouts) -> Pool {
    let servers = servers(table);
    let sticky = table.optional("sticky", |item| {
        let sticky = sticky(&item.table_named(&STICKY, format!("{}.sticky", table.path))?);
        check_keys(table.reader, &sticky, &servers);
        Some(sticky)
    });
    if !table.has("sticky") {
        warn_of_cookies(table, &servers);
    }
    let timeouts = |item: &Item<'_>| {
        Some(pool_timeouts(
            &item.table_named(&POOL_TIMEOUTS, format!("{}.timeouts", table.path))?,
            general,
        ))
    };
    Pool {
        balance: table.setting("balance", |item| {
            item.choice(&[("round-robin", Balance::RoundRobin)])
        }),
        retries: table.setting("retries", |item| item.number(0..=10)) as u32,
        redispatch: table.setting("redispatch", |item| item.switch()),
        timeouts: table.setting("timeouts", timeouts),
        forwarded_for: table.setting("forwarded_for", |item| forwarded_for(item, &table.path)),
        forwarded_proto: table.setting("forwarded_proto", |item| item.switch()),
        forwarded: table.setting("forwarded", |item| item.switch()),
        via: table.setting("via", |item| item.switch()),
        request_id: table.setting("request_id", request_id),
        sticky,
        servers: servers.into_iter().map(|placed| placed.server).collect(),
        name,
    }
}

fn servers(table: &Table<'_>) -> Vec<Placed> {
    let mut names = Names::new("server");
    let tables = table.optional("server", |item| {
        let servers = item.tables_named(&SERVER, format!("{}.server", table.path));
        if item.is_empty_list() {
            item.error(format!("{} has no server", table.path));
        }
        Some(
            servers
                .iter()
                .filter_map(|table| server(table, &mut names))
                .collect(),
        )
    });
    if !table.has("server") {
        let note = Note::error(&table.span, format!("`{}` has no server", table.path));
        table.reader.report(
            note.help(format!(
                "write `[[{}.server]]` with `name` and `address`",
                table.path
            ))
            .absent(),
        );
    }
    let servers: Vec<Placed> = tables.unwrap_or_default();
    if !servers.is_empty() && servers.iter().all(|placed| placed.server.weight == 0) {
        let message = format!(
            "all servers of `{}` have weight 0: new clients get 503",
            table.path
        );
        table
            .reader
            .report(Note::warning(&servers[0].span, message));
    }
    servers
}

fn server(table: &Table<'_>, names: &mut Names) -> Option<Placed> {
    let name = table.required("name", |item| item.parse(name));
    if let Some(name) = &name {
        names.take(table.reader, name, &table.span_of("name"));
    }
    let address = table.required("address", |item| item.parse(server_address));
    let weight = table.setting("weight", |item| item.number(0..=256)) as u16;
    let cookie = table.optional("cookie", |item| item.parse(cookie_key));
    let shared_cookie = table.setting("shared_cookie", |item| item.switch());
    let check = table.setting("check", |item| check(item, &table.path));
    let state = table.setting("state", |item| item.choice(&STATES));
    if shared_cookie && !table.has("cookie") {
        let message = "`shared_cookie` has no effect: the server has no `cookie`";
        table
            .reader
            .report(Note::warning(&table.span_of("shared_cookie"), message));
    }
    let server = Server {
        name: name?,
        address: address?,
        weight,
        cookie,
        shared_cookie,
        check,
        state,
    };
    Some(Placed {
        server,
        span: table.span.clone(),
        cookie: table.span_of("cookie"),
    })
}

/// `true`, `false`, or a table of its own.
fn check(item: &Item<'_>, server: &str) -> Option<Option<Check>> {
    if item.is_switch() {
        return item.switch().map(|on| on.then_some(PLAIN_CHECK));
    }
    if !item.is_table() {
        item.wrong_type("true, false or a table such as { interval = \"2s\" }");
        return None;
    }
    let table = item.table_named(&CHECK, format!("{server}.check"))?;
    let interval = table.setting("interval", |item| item.duration());
    Some(Some(Check {
        interval: interval.max(SHORTEST_CHECK),
        timeout: table
            .optional("timeout", |item| item.duration())
            .unwrap_or(interval),
        rise: table.setting("rise", |item| item.number(1..=255)) as u32,
        fall: table.setting("fall", |item| item.number(1..=255)) as u32,
    }))
}

/// `true`, `false`, or a table of its own.
fn forwarded_for(item: &Item<'_>, pool: &str) -> Option<Option<ForwardedFor>> {
    let plain = || ForwardedFor {
        header: "X-Forwarded-For".to_owned(),
        except: Vec::new(),
    };
    if item.is_switch() {
        return item.switch().map(|on| on.then(plain));
    }
    if !item.is_table() {
        item.wrong_type("true, false or a table such as { except = [\"10.0.0.0/8\"] }");
        return None;
    }
    let table = item.table_named(&FORWARDED_FOR, format!("{pool}.forwarded_for"))?;
    Some(Some(ForwardedFor {
        header: table.setting("header", |item| item.parse(field_name)),
        except: table.setting("except", |item| item.list(|item| item.parse(network))),
    }))
}

/// A field's name; `true` is the usual one, `false` is none.
fn request_id(item: &Item<'_>) -> Option<Option<String>> {
    if item.is_switch() {
        return item
            .switch()
            .map(|on| on.then(|| "X-Request-Id".to_owned()));
    }
    if !item.is_word() {
        item.wrong_type("a field name or false");
        return None;
    }
    let name = item.parse(field_name)?;
    if RESERVED_FIELDS
        .iter()
        .any(|reserved| reserved.eq_ignore_ascii_case(&name))
    {
        item.refuse(Refusal::new("this field has a meaning of its own"));
        return None;
    }
    Some(Some(name))
}

fn warn_of_cookies(table: &Table<'_>, servers: &[Placed]) {
    for placed in servers
        .iter()
        .filter(|placed| placed.server.cookie.is_some())
    {
        let message = format!("`cookie` has no effect: `{}` has no `sticky`", table.path);
        table.reader.report(Note::warning(&placed.cookie, message));
    }
}

const PLAIN_CHECK: Check = Check {
    interval: Duration::from_secs(2),
    timeout: Duration::from_secs(2),
    rise: 2,
    fall: 3,
};

/// More often than this, checks are a load of their own.
const SHORTEST_CHECK: Duration = Duration::from_millis(10);

const STATES: [(&str, AdminState); 3] = [
    ("ready", AdminState::Ready),
    ("drain", AdminState::Drain),
    ("maintenance", AdminState::Maintenance),
];

/// Replacing one of these would change what the message means.
const RESERVED_FIELDS: [&str; 9] = [
    "Host",
    "Content-Length",
    "Transfer-Encoding",
    "Connection",
    "Upgrade",
    "Cookie",
    "TE",
    "Trailer",
    "Expect",
];
