//! What to write for a key that another proxy has: the words of HAProxy, nginx, Caddy, Traefik and Envoy, in the table where people
//! write them. HAProxy's keywords that mean one thing wherever they stand are in [`super::haproxy`].

/// The hint for a key in a section; sections as [`super::Section::name`] has them, `*` is any.
pub(super) fn hint(section: &str, key: &str) -> Option<&'static str> {
    let key = key.to_ascii_lowercase().replace('_', "-");
    let rows = |wanted: &'static str| {
        HINTS
            .iter()
            .filter(move |(section, _, _)| *section == wanted)
    };
    let found = rows(match section {
        "" => "top",
        "listener" => "listener",
        "route" => "route",
        "process" => "process",
        "pool.NAME" => "pool",
        "pool.NAME.server" => "server",
        "stats" => "stats",
        _ => "none",
    })
    .chain(rows("*"))
    .find(|(_, keys, _)| keys.contains(&key.as_str()));
    found.map(|(_, _, hint)| *hint)
}

/// Whether this key at the top of a file stands for a table that the file then seems to lack.
pub(super) fn stands_for_a_table(key: &str) -> bool {
    const TABLES: [&str; 3] = [LISTENER, POOL, SERVER];
    hint("", key).is_some_and(|hint| TABLES.contains(&hint))
}

const LISTENER: &str = "write `[[listener]]` with `name`, `bind` and `default_pool`";
const POOL: &str = "write `[pool.NAME]`, and each server as `[[pool.NAME.server]]`";
const SERVER: &str =
    "a server stands in its pool: `[[pool.NAME.server]]` with `name` and `address`";
const TLS: &str = "Ringbolt speaks no TLS yet: leave it to what stands in front, and name that in `trusted_proxies` of the listener";
const MATCHES: &str = "a route chooses by `listener`, `host`, and `path` or `path_prefix` alone";

/// Section, keys (in lower case, with `-`), and what to write.
const HINTS: [(&str, &[&str], &str); 40] = [
    (
        "top",
        &[
            "frontend",
            "frontends",
            "listen",
            "listeners",
            "entrypoints",
            "entry-points",
            "http",
            "https",
        ],
        LISTENER,
    ),
    (
        "top",
        &[
            "backend",
            "backends",
            "upstream",
            "upstreams",
            "pools",
            "cluster",
            "clusters",
            "services",
        ],
        POOL,
    ),
    (
        "top",
        &["server", "servers", "loadbalancer", "load-balancer"],
        SERVER,
    ),
    (
        "top",
        &["global", "main", "events"],
        "write `[process]` for what concerns the process, `[[log]]` for logs and `[limits]` for bounds",
    ),
    (
        "top",
        &["defaults", "default"],
        "write `[timeouts]` and `[limits]`; a pool may have `timeouts` of its own",
    ),
    (
        "top",
        &[
            "routes",
            "router",
            "routers",
            "rules",
            "location",
            "locations",
            "acl",
            "use-backend",
        ],
        "write `[[route]]` with `host`, `path` or `path_prefix`, and `pool`",
    ),
    (
        "top",
        &["resolvers", "dns"],
        "write `[resolver]` with `servers`",
    ),
    (
        "top",
        &["logs", "logging", "access-log", "error-log", "accesslog"],
        "write `[[log]]` with `target`",
    ),
    (
        "top",
        &["admin", "api", "dashboard"],
        "write `[stats]` for the page, and `[control]` for the socket",
    ),
    (
        "top",
        &["peers", "cache", "mailers", "ring", "userlist"],
        "there is no such thing in Ringbolt",
    ),
    (
        "process",
        &[
            "nbthread",
            "nbproc",
            "threads",
            "worker-processes",
            "thread",
        ],
        "write `workers = 4`; it is one per core when left out",
    ),
    (
        "process",
        &["worker-connections", "maxconns", "max-conn"],
        "write `max_connections = 4096`: client connections in all",
    ),
    (
        "process",
        &["cpu-map", "worker-cpu-affinity", "cpus"],
        "write `cores = [0, 1]`",
    ),
    (
        "process",
        &["daemon", "pidfile", "pid", "master-worker"],
        "leave it out: the service manager does that (scripts/install writes a unit)",
    ),
    (
        "process",
        &["chroot"],
        "leave it out: the serving process may open no file at all (`sandbox`)",
    ),
    (
        "process",
        &["ulimit-n", "worker-rlimit-nofile"],
        "leave it out: the limit is raised to what the configuration needs",
    ),
    (
        "process",
        &["log", "access-log"],
        "write `[[log]]` with `target`",
    ),
    (
        "process",
        &["stats"],
        "write `[stats]` for the page, and `[control]` `socket` for the socket",
    ),
    (
        "process",
        &["grace", "hard-stop-after", "worker-shutdown-timeout"],
        "write `drain_timeout = \"30s\"`",
    ),
    (
        "listener",
        &["port", "listen", "address", "addr", "socket"],
        "write `bind = \"*:8080\"`",
    ),
    (
        "listener",
        &["server-name", "host", "hostname", "hosts"],
        "a `[[route]]` has the `host`; a listener takes any",
    ),
    (
        "listener",
        &[
            "default-backend",
            "backend",
            "pool",
            "proxy-pass",
            "use-backend",
        ],
        "write `default_pool = \"NAME\"`",
    ),
    (
        "listener",
        &["accept-proxy", "proxy-protocol-v2"],
        "write `proxy_protocol = [\"10.0.0.0/8\"]`, with the networks that send it",
    ),
    (
        "listener",
        &["set-real-ip-from", "real-ip-header"],
        "write `trusted_proxies = [\"10.0.0.0/8\"]`",
    ),
    ("route", &["method", "methods"], MATCHES),
    (
        "route",
        &["header", "headers", "cookie", "query", "src", "ip"],
        MATCHES,
    ),
    (
        "route",
        &["path-reg", "path-regex", "regex", "path-regexp", "rewrite"],
        MATCHES,
    ),
    (
        "route",
        &["path-beg", "prefix", "location", "uri"],
        "write `path_prefix = \"/api/\"`, or `path` for exactly one",
    ),
    (
        "route",
        &["hdr", "domain", "hostname", "server-name"],
        "write `host = \"example.com\"`, or `\"*.example.com\"`",
    ),
    (
        "route",
        &[
            "backend",
            "use-backend",
            "proxy-pass",
            "service",
            "upstream",
            "to",
        ],
        "write `pool = \"NAME\"`",
    ),
    (
        "route",
        &["respond", "return"],
        "write `answer = { status = 200, body = \"ok\" }`",
    ),
    (
        "pool",
        &[
            "lb-policy",
            "algorithm",
            "strategy",
            "load-balancing",
            "lb",
            "policy",
            "method",
            "least-conn",
            "ip-hash",
        ],
        "write `balance = \"least-connections\"`, or another of the policies",
    ),
    (
        "pool",
        &[
            "cookie",
            "sticky-session",
            "stickiness",
            "sticky-sessions",
            "session-affinity",
            "appsession",
        ],
        "write `sticky = { cookie = \"SERVERID\" }`",
    ),
    (
        "pool",
        &["health-check", "healthcheck", "health", "httpchk"],
        "write `check = { type = \"http\", path = \"/health\" }`",
    ),
    (
        "pool",
        &["servers", "upstreams", "members", "nodes", "address"],
        SERVER,
    ),
    (
        "server",
        &["retries"],
        "`retries` is the pool's: write it in `[pool.NAME]`",
    ),
    (
        "server",
        &["url", "uri", "host", "addr", "ip", "port"],
        "write `address = \"127.0.0.1:3000\"`: host and port together",
    ),
    (
        "server",
        &["max-fails", "fail-timeout", "observe", "error-limit"],
        "write `passive = { errors = 5 }` in the pool",
    ),
    (
        "*",
        &[
            "ssl",
            "tls",
            "https",
            "crt",
            "certificate",
            "certificates",
            "ssl-certificate",
            "verify",
            "sni",
            "alpn",
            "ca-file",
        ],
        TLS,
    ),
    (
        "*",
        &["option", "options", "mode"],
        "each option is a setting of its own, or always on: the README has a table for haproxy.cfg",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::SECTIONS;

    /// A word that a section knows needs no hint, and would never be given one.
    #[test]
    fn no_hint_is_for_a_setting() {
        for section in SECTIONS.iter() {
            for setting in section.settings {
                // What is for any section is looked at last, and only for keys that are unknown.
                let known = hint(section.name, setting.name)
                    .filter(|hint| !hint.starts_with("each option"));
                assert_eq!(known, None, "[{}] {}", section.name, setting.name);
            }
        }
    }

    #[test]
    fn case_and_hyphens_make_no_difference() {
        for key in ["NbThread", "worker_processes", "worker-processes"] {
            assert!(
                hint("process", key).is_some_and(|hint| hint.contains("workers = 4")),
                "{key}"
            );
        }
        assert!(stands_for_a_table("Frontend") && !stands_for_a_table("global"));
    }
}
