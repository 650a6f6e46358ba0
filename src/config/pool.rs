//! `[pool.NAME]`: servers that stand in for each other.

use super::balance::balance;
use super::bounds::{self, max_queue};
use super::check::check;
use super::drain::{drain, on_down};
use super::item::Item;
use super::names::Names;
use super::passive::passive;
use super::process::{POOL_TIMEOUTS, pool_timeouts};
use super::rate::{rate, slow_start};
use super::reader::Note;
use super::retry::{RETRY, retry};
use super::section::{Section, setting};
use super::server::{Inherited, Placed, SERVER, server};
use super::sticky::{check_keys, held};
use super::table::Table;
use super::template::{Template, check_names};
use super::values::{Refusal, field_name, network};
use super::{ForwardedFor, Pool, ResponseParsing, Timeouts};

pub(super) const POOL: Section = Section::new(
    "pool.NAME",
    &[
        setting(
            "balance",
            "\"round-robin\"",
            "how a server is chosen for a client that is new: \"round-robin\" (in turn by weight, one order over all workers), \"least-connections\" (the one with the fewest requests and tunnels for its weight), \"two-choices\" (the less busy of two random ones), \"first\" (the first of the file that takes sessions) or a table { hash, bound }",
        ),
        setting(
            "retries",
            "3",
            "further attempts to connect after the first, 0 to 10",
        ),
        setting(
            "retry",
            "",
            "what else than a failed connection is tried again, and the budget of all retries; without it there is neither",
        ),
        setting(
            "redispatch",
            "true",
            "the last retry goes to another server",
        ),
        setting(
            "timeouts",
            "{}",
            "connect, server, tunnel and queue instead of those in [timeouts]",
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
            "upgrade_protocols",
            "[]",
            "protocols other than WebSocket that a request may switch to, such as \"tcp\" (docker exec and attach), at most 8; never \"h2c\"",
        ),
        setting(
            "response_parsing",
            "\"strict\"",
            "which responses are accepted: \"strict\", or \"lenient\" for old servers that send bare line feeds, folded fields, repeated lengths, or a length beside chunks; they are forwarded in the strict form, and the connection is not used again",
        ),
        setting(
            "request_id",
            "\"X-Request-Id\"",
            "the field that carries a fresh id to the server and into the log; false adds none",
        ),
        setting(
            "sticky",
            "",
            "what keeps a client on its server: a cookie, its Engine.IO session, or both; without it nothing does",
        ),
        setting(
            "slow_start",
            "",
            "servers that come back take more and more new clients over this long; without it their share at once. A table { over, sessions_per_second } also limits how many",
        ),
        setting(
            "tunnel_rate",
            "",
            "new tunnels per second to each of its servers: a number or { per_second, burst }",
        ),
        setting(
            "on_down",
            "\"keep\"",
            "what becomes of a server's tunnels when it goes down or into maintenance: \"keep\", \"close\" (at once) or { close_over = \"30s\" } (spread over that time)",
        ),
        setting(
            "drain",
            "",
            "how long a draining server's cookies are honoured, and when its tunnels are closed; left out: for ever, and never",
        ),
        setting(
            "passive",
            "false",
            "whether traffic itself ejects servers that fail: true, or a table that says when",
        ),
        setting(
            "panic_threshold",
            "0.0",
            "while a smaller share of the servers works than this, all of them take clients whatever their health, 0.0 to 1.0",
        ),
        bounds::POOL_QUEUE,
        setting(
            "check",
            "false",
            "how servers are checked that have no `check` of their own",
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

pub(super) fn pool(table: &Table<'_>, name: String, general: &Timeouts) -> Pool {
    let inherited = Inherited {
        slow_start: table.optional("slow_start", slow_start),
        tunnel_rate: table.optional("tunnel_rate", rate),
        max_queue: max_queue(table),
        check: table.setting("check", check),
    };
    let servers = servers(table, &inherited);
    if table.has("max_queue") && !servers.iter().any(|placed| placed.server.bounds.any()) {
        let message = "`max_queue` has no effect: no server has `max_connections` or `max_tunnels`";
        let span = table.span_of("max_queue");
        table
            .reader
            .report(Note::warning(&span, message.to_owned()));
    }
    let (sticky, engine_io) = table.optional("sticky", held).unwrap_or_default();
    if let Some(sticky) = &sticky {
        check_keys(table.reader, sticky, &servers);
    } else if !table.has("sticky") || engine_io.is_some() {
        warn_of_cookies(table, &servers);
    }
    let retries = table.setting("retries", |item| item.number(0..=10)) as u32;
    if retries == 0 && table.has("retry") {
        let message = format!("`retry` has no effect: `{}` has no retries", table.path);
        table
            .reader
            .report(Note::warning(&table.span_of("retry"), message));
    }
    let timeouts = |item: &Item<'_>| Some(pool_timeouts(&item.table(&POOL_TIMEOUTS)?, general));
    Pool {
        balance: table.setting("balance", balance),
        retries,
        redispatch: table.setting("redispatch", |item| item.switch()),
        retry: table.optional("retry", |item| Some(retry(&item.table(&RETRY)?))),
        timeouts: table.setting("timeouts", timeouts),
        forwarded_for: table.setting("forwarded_for", forwarded_for),
        forwarded_proto: table.setting("forwarded_proto", |item| item.switch()),
        forwarded: table.setting("forwarded", |item| item.switch()),
        via: table.setting("via", |item| item.switch()),
        upgrade_protocols: table.setting("upgrade_protocols", upgrade_protocols),
        response_parsing: table.setting("response_parsing", |item| {
            item.choice(&[
                ("strict", ResponseParsing::Strict),
                ("lenient", ResponseParsing::Lenient),
            ])
        }),
        request_id: table.setting("request_id", request_id),
        on_down: table.setting("on_down", on_down),
        drain: table
            .optional("drain", |item| drain(item, table.has("sticky")))
            .unwrap_or_default(),
        sticky,
        passive: table.setting("passive", passive),
        panic_threshold: table.setting("panic_threshold", |item| item.thousandths()),
        max_queue: inherited.max_queue,
        engine_io,
        templates: templates(table, &servers),
        servers: servers
            .into_iter()
            .filter(|placed| placed.origin.is_none())
            .map(|placed| placed.server)
            .collect(),
        name,
    }
}

fn servers(table: &Table<'_>, inherited: &Inherited) -> Vec<Placed> {
    let mut names = Names::new("server");
    let tables = table.optional("server", |item| {
        let servers = item.tables(&SERVER);
        if item.is_empty_list() {
            item.error(format!("`{}` has no server", table.path));
        }
        Some(
            servers
                .iter()
                .filter_map(|table| server(table, &mut names, inherited))
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

/// The servers that have a name.
fn templates(table: &Table<'_>, servers: &[Placed]) -> Vec<Template> {
    let mut after = 0;
    let mut templates = Vec::new();
    for placed in servers {
        match &placed.origin {
            None => after += 1,
            Some((origin, max_servers)) => templates.push(Template {
                after,
                origin: origin.clone(),
                max_servers: *max_servers,
                server: placed.server.clone(),
            }),
        }
    }
    let names: Vec<_> = servers
        .iter()
        .map(|placed| (placed.server.name.as_str(), &placed.span))
        .collect();
    check_names(table, &templates, &names);
    templates
}

/// `true`, `false`, or a table of its own.
fn forwarded_for(item: &Item<'_>) -> Option<Option<ForwardedFor>> {
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
    let table = item.table(&FORWARDED_FOR)?;
    Some(Some(ForwardedFor {
        header: table.setting("header", |item| item.parse(field_name)),
        except: table.setting("except", |item| item.list(|item| item.parse(network))),
    }))
}

/// A field's name; `true` is the usual one, `false` is none.
/// Protocols of `Upgrade` (RFC 9110 section 7.8), in lower case.
fn upgrade_protocols(item: &Item<'_>) -> Option<Vec<String>> {
    let protocols = item.list(|item| item.parse(upgrade_protocol))?;
    if protocols.len() > MOST_PROTOCOLS {
        item.refuse(Refusal::new(format!("at most {MOST_PROTOCOLS} are taken")));
    }
    Some(protocols)
}

fn upgrade_protocol(text: &str) -> Result<String, Refusal> {
    let protocol = text.to_ascii_lowercase();
    match protocol.split('/').next().unwrap_or("") {
        "websocket" => Err(Refusal::new("WebSocket needs no setting").help("leave it out")),
        "h2c" | "h2" | "http" | "tls" => Err(Refusal::new(
            "another version of HTTP behind a tunnel would pass by every rule: it is never let through",
        )),
        "" => Err(Refusal::new("a protocol has a name").help("write \"tcp\"")),
        _ if protocol
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.+/".contains(&byte)) =>
        {
            Ok(protocol)
        }
        _ => {
            Err(Refusal::new("a protocol is a name, perhaps with a version").help("write \"tcp\""))
        }
    }
}

/// Protocols of a pool.
const MOST_PROTOCOLS: usize = 8;

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
        let without = if table.has("sticky") {
            "`sticky` has no `cookie`".to_owned()
        } else {
            format!("`{}` has no `sticky`", table.path)
        };
        let message = format!("`cookie` has no effect: {without}");
        table.reader.report(Note::warning(&placed.cookie, message));
    }
}

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
