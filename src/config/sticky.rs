//! `sticky = { … }`: the persistence cookie, its settings and the rules between them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Duration;

use super::engine_io::engine_io;
use super::item::Item;
use super::reader::{Note, Reader};
use super::section::{Section, setting};
use super::server::Placed;
use super::table::Table;
use super::values::{Refusal, attribute, cookie_name, domain, field_name, network, url_path};
use super::{Address, Condition, EngineIo, SameSite, Secret, Secure, Sticky, StickyMode};

pub(super) const STICKY: Section = Section::new(
    "pool.NAME.sticky",
    &[
        setting(
            "cookie",
            "",
            "the cookie's name; must be given unless engine_io is, and everything else here is about it",
        ),
        setting(
            "engine_io",
            "false",
            "whether Engine.IO (Socket.IO) sessions are held by the `sid` of their queries, for clients that keep no cookies; a table sets their path and how many are remembered. A cookie goes first",
        ),
        setting(
            "mode",
            "\"insert\"",
            "\"insert\": we issue it; \"rewrite\": the server issues it and we put our key into it; \"prefix\": we put our key and `~` before the server's value; \"passive\": we only read it",
        ),
        setting(
            "indirect",
            "",
            "with insert: the servers never see the cookie; otherwise: their Set-Cookie of that name is removed for a client that has its server already; by default true with insert, otherwise false",
        ),
        setting(
            "nocache",
            "",
            "with insert: Cache-Control: private where a shared cache could store the cookie; by default true",
        ),
        setting(
            "postonly",
            "false",
            "with insert: issue it only in answers to POST",
        ),
        setting(
            "preserve",
            "false",
            "a server's own cookie of that name wins; needs insert or indirect",
        ),
        setting(
            "persist",
            "false",
            "a stopped server that the cookie names is tried all the same",
        ),
        setting("http_only", "false", "with insert: the attribute HttpOnly"),
        setting(
            "secure",
            "\"auto\"",
            "with insert: the attribute Secure; \"auto\" when the client's side is encrypted",
        ),
        setting(
            "same_site",
            "",
            "with insert: the attribute SameSite: \"lax\", \"strict\" or \"none\"",
        ),
        setting(
            "partitioned",
            "false",
            "with insert: the attribute Partitioned",
        ),
        setting(
            "domain",
            "[]",
            "with insert: the attribute Domain, one or a list",
        ),
        setting("path", "\"/\"", "with insert: the attribute Path"),
        setting(
            "max_age",
            "",
            "with insert: the attribute Max-Age, which makes it outlive the browser's session",
        ),
        setting(
            "attributes",
            "[]",
            "with insert: further attributes as written",
        ),
        setting(
            "max_idle",
            "",
            "a cookie that was not seen for so long no longer counts",
        ),
        setting(
            "max_life",
            "",
            "a cookie that was issued so long ago no longer counts",
        ),
        setting(
            "dynamic_key",
            "",
            "servers without a key get one derived from this secret and their address",
        ),
        setting("signed", "false", "make the value opaque and authenticated"),
        setting(
            "signing_keys",
            "[]",
            "with signed: one secret of at least 16 bytes, or two: the new one and the old one",
        ),
        setting(
            "force",
            "[]",
            "requests whose cookie is honoured even when its server is stopped: { path_prefix = \"/test/\" }",
        ),
        setting(
            "ignore",
            "[]",
            "requests whose cookie is not looked at and that get none: { path_suffix = \".css\" }",
        ),
    ],
);

pub(super) const CONDITION: Section = Section::new(
    "pool.NAME.sticky.condition",
    &[
        setting("path_prefix", "", "the path begins so"),
        setting("path_suffix", "", "the path ends so"),
        setting("network", "", "the client's address lies in it"),
        setting("header", "", "a field of this name is there"),
        setting("value", "", "and it has this value"),
    ],
);

/// The cookie and the sessions that the table asks for; at least one of them, or there is a problem.
pub(super) fn held(item: &Item<'_>) -> Option<(Option<Sticky>, Option<EngineIo>)> {
    let table = item.table(&STICKY)?;
    let sessions = table.optional("engine_io", engine_io);
    let alone = !table.has("cookie") && table.has("engine_io") && sessions != Some(None);
    if !alone {
        return Some((Some(sticky(&table)), sessions.flatten()));
    }
    let names = STICKY.settings.iter().map(|setting| setting.name);
    for name in names.filter(|name| *name != "engine_io" && table.has(name)) {
        let message = format!("`{name}` has no effect: there is no `cookie`");
        table
            .reader
            .report(Note::warning(&table.span_of(name), message));
    }
    Some((None, sessions.flatten()))
}

fn sticky(table: &Table<'_>) -> Sticky {
    let mode = table.setting("mode", |item| item.choice(&MODES));
    let insert = mode == StickyMode::Insert;
    let switch = |name| table.setting(name, |item| item.switch());
    let switch_or = |name, otherwise| {
        table
            .optional(name, |item| item.switch())
            .unwrap_or(otherwise)
    };
    let duration = |name| table.optional(name, seconds);
    let conditions = |item: &Item<'_>| {
        Some(
            item.tables(&CONDITION)
                .iter()
                .filter_map(condition)
                .collect(),
        )
    };
    let sticky = Sticky {
        cookie: table
            .required("cookie", |item| item.parse(cookie_name))
            .unwrap_or_default(),
        mode,
        indirect: switch_or("indirect", insert),
        nocache: switch_or("nocache", insert),
        postonly: switch("postonly"),
        preserve: switch("preserve"),
        persist: switch("persist"),
        http_only: switch("http_only"),
        secure: table.setting("secure", secure),
        same_site: table.optional("same_site", |item| item.choice(&SAME_SITE)),
        partitioned: switch("partitioned"),
        domain: table.setting("domain", |item| item.one_or_list(cookie_domain)),
        path: table.setting("path", |item| {
            item.parse(url_path).filter(|_| cookie_path(item))
        }),
        max_age: duration("max_age"),
        attributes: table.setting("attributes", |item| {
            item.one_or_list(|item| item.parse(attribute))
        }),
        max_idle: duration("max_idle"),
        max_life: duration("max_life"),
        dynamic_key: table.optional("dynamic_key", |item| item.secret()),
        signing_keys: signing_keys(table),
        force: table.setting("force", conditions),
        ignore: table.setting("ignore", conditions),
    };
    check_rules(table, &sticky);
    check_attributes(table, &sticky);
    sticky
}

fn check_rules(table: &Table<'_>, sticky: &Sticky) {
    let report = |name, message: &str| {
        table
            .reader
            .report(Note::error(&table.span_of(name), message))
    };
    if sticky.mode == StickyMode::Rewrite && sticky.indirect {
        report(
            "indirect",
            "`indirect` cannot go with mode \"rewrite\": the server must see the cookie to issue it again",
        );
    }
    if sticky.preserve && sticky.mode != StickyMode::Insert && !sticky.indirect {
        report(
            "preserve",
            "`preserve` needs mode \"insert\" or `indirect = true`",
        );
    }
    if sticky.mode == StickyMode::Insert {
        return;
    }
    for name in ONLY_WITH_INSERT.into_iter().filter(|name| table.has(name)) {
        let message =
            format!("`{name}` has no effect: only mode \"insert\" issues a cookie of its own");
        table
            .reader
            .report(Note::warning(&table.span_of(name), message));
    }
}

/// What browsers refuse: the cookie would be issued again and again, and never come back.
fn check_attributes(table: &Table<'_>, sticky: &Sticky) {
    let warn = |name, message: String| {
        table
            .reader
            .report(Note::warning(&table.span_of(name), message))
    };
    if sticky.secure == Secure::Never {
        if sticky.same_site == Some(SameSite::None) {
            warn(
                "same_site",
                "browsers drop a cookie with SameSite=None that is not Secure".to_owned(),
            );
        }
        if sticky.partitioned {
            warn(
                "partitioned",
                "browsers drop a Partitioned cookie that is not Secure".to_owned(),
            );
        }
        for prefix in ["__Secure-", "__Host-"]
            .into_iter()
            .filter(|prefix| sticky.cookie.starts_with(prefix))
        {
            warn(
                "cookie",
                format!("browsers drop a cookie named `{prefix}…` that is not Secure"),
            );
        }
    }
    if sticky.cookie.starts_with("__Host-") && (!sticky.domain.is_empty() || sticky.path != "/") {
        warn(
            "cookie",
            "browsers drop a cookie named `__Host-…` that has a Domain or a Path other than /"
                .to_owned(),
        );
    }
}

/// The rules between the servers' keys.
pub(super) fn check_keys(reader: &Reader<'_>, sticky: &Sticky, servers: &[Placed]) {
    // The first server with each key, and each address from which one is derived.
    let mut keys = HashMap::<_, &Placed>::new();
    let mut derived = HashMap::<_, &Placed>::new();
    for placed in servers {
        match &placed.server.cookie {
            Some(key) => {
                check_separators(reader, sticky, placed, key);
                match keys.entry(key.as_str()) {
                    Entry::Occupied(first) => check_shared(reader, first.get(), placed, key),
                    Entry::Vacant(none) => _ = none.insert(placed),
                }
            }
            None if sticky.dynamic_key.is_some() => {
                let unix = matches!(placed.server.address, Address::Unix(_));
                match derived.entry((&placed.server.address, &placed.origin)) {
                    _ if unix => check_not_unix(reader, placed),
                    Entry::Occupied(first) => check_derived(reader, first.get(), placed),
                    Entry::Vacant(none) => _ = none.insert(placed),
                }
            }
            None => {}
        }
    }
}

/// In the cookie's value a key ends at these.
fn check_separators(reader: &Reader<'_>, sticky: &Sticky, placed: &Placed, key: &str) {
    let separator = if sticky.mode == StickyMode::Prefix {
        '~'
    } else {
        '|'
    };
    if key.contains(separator) {
        let message =
            format!("cookie key `{key}` has a `{separator}`, at which a key ends in this mode");
        reader.report(Note::error(&placed.cookie, message));
    }
}

fn check_shared(reader: &Reader<'_>, other: &Placed, placed: &Placed, key: &str) {
    if other.server.shared_cookie && placed.server.shared_cookie {
        return;
    }
    let (one, two) = (&other.server.name, &placed.server.name);
    let line = reader.source.line(other.cookie.start);
    let message = format!("servers `{one}` and `{two}` have the same cookie key `{key}`");
    let help = format!(
        "the first one stands in line {line}; if it is meant so, write `shared_cookie = true` at both"
    );
    reader.report(Note::error(&placed.cookie, message).help(help));
}

/// A key is derived from address and port.
fn check_derived(reader: &Reader<'_>, other: &Placed, placed: &Placed) {
    let (other, name) = (&other.server.name, &placed.server.name);
    let message = format!(
        "servers `{other}` and `{name}` have the same address, and so the same derived key"
    );
    reader.report(Note::error(&placed.span, message).help("give one of them a `cookie`"));
}

fn check_not_unix(reader: &Reader<'_>, placed: &Placed) {
    let name = &placed.server.name;
    let message =
        format!("server `{name}` needs a `cookie`: no key can be derived from a unix socket");
    reader.report(Note::error(&placed.span, message));
}

fn secure(item: &Item<'_>) -> Option<Secure> {
    if item.is_text("auto") {
        return Some(Secure::Auto);
    }
    if !item.is_switch() {
        item.wrong_type("true, false or \"auto\"");
        return None;
    }
    item.switch()
        .map(|on| if on { Secure::Always } else { Secure::Never })
}

/// What a date in the cookie, or `Max-Age`, can say: whole seconds, less than 2^31.
fn seconds(item: &Item<'_>) -> Option<Duration> {
    let duration = item.duration()?;
    if duration.subsec_nanos() != 0 {
        item.refuse(Refusal::new("must be whole seconds"));
    }
    Some(duration)
}

fn cookie_domain(item: &Item<'_>) -> Option<String> {
    let domain = item.parse(domain)?;
    if !domain.contains('.') {
        let message = format!("domain `{domain}` has no dot: browsers drop such a cookie");
        item.reader.report(Note::warning(&item.span, message));
    }
    Some(domain)
}

fn cookie_path(item: &Item<'_>) -> bool {
    let wrong = item.text().is_some_and(|text| text.contains(';'));
    if wrong {
        item.refuse(Refusal::new("a cookie's path has no `;` in it"));
    }
    !wrong
}

fn signing_keys(table: &Table<'_>) -> Vec<Secret> {
    let signed = table.setting("signed", |item| item.switch());
    let keys = table.setting("signing_keys", |item| {
        let keys = item.list(signing_key)?;
        if item.is_longer_than(2) {
            item.error("`signing_keys` has more than two: the new key and the old one are enough");
        }
        Some(keys)
    });
    if signed && !table.has("signing_keys") {
        table.reader.report(
            Note::error(&table.span_of("signed"), "`signed` needs `signing_keys`").absent(),
        );
    } else if signed && keys.is_empty() {
        table.reader.report(Note::error(
            &table.span_of("signing_keys"),
            "`signing_keys` holds no key",
        ));
    }
    if !signed && table.has("signing_keys") {
        let note = Note::error(
            &table.span_of("signing_keys"),
            "`signing_keys` without `signed = true`",
        );
        table
            .reader
            .report(note.help("write `signed = true`, or leave the keys out"));
    }
    keys
}

fn signing_key(item: &Item<'_>) -> Option<Secret> {
    let key = item.secret()?;
    if key.0.len() < SHORTEST_KEY {
        item.error(format!("a signing key has at least {SHORTEST_KEY} bytes"));
    }
    Some(key)
}

fn condition(table: &Table<'_>) -> Option<Condition> {
    let condition = Condition {
        path_prefix: table.optional("path_prefix", |item| item.parse(url_path)),
        path_suffix: table.optional("path_suffix", |item| item.text().map(str::to_owned)),
        network: table.optional("network", |item| item.parse(network)),
        header: table.optional("header", |item| item.parse(field_name)),
        value: table.optional("value", |item| item.text().map(str::to_owned)),
    };
    if table.has("value") && !table.has("header") {
        let message = "`value` needs `header`: the field that has it";
        table
            .reader
            .report(Note::error(&table.span_of("value"), message));
    }
    if table.is_empty() {
        let note = Note::error(
            &table.span,
            "a condition without parts would hold for every request",
        );
        table
            .reader
            .report(note.help("give at least one of path_prefix, path_suffix, network, header"));
    }
    Some(condition)
}

/// RFC 2104 section 3 discourages keys much shorter than the hash; 16 bytes is what can still not be guessed.
const SHORTEST_KEY: usize = 16;

const MODES: [(&str, StickyMode); 4] = [
    ("insert", StickyMode::Insert),
    ("rewrite", StickyMode::Rewrite),
    ("prefix", StickyMode::Prefix),
    ("passive", StickyMode::Passive),
];

const SAME_SITE: [(&str, SameSite); 3] = [
    ("lax", SameSite::Lax),
    ("strict", SameSite::Strict),
    ("none", SameSite::None),
];

const ONLY_WITH_INSERT: [&str; 10] = [
    "nocache",
    "postonly",
    "http_only",
    "secure",
    "same_site",
    "partitioned",
    "domain",
    "path",
    "max_age",
    "attributes",
];
