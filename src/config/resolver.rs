//! `[resolver]`: how the names of servers are asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::environment::Environment;
use super::hosts::{self, Hosts};
use super::item::Item;
use super::reader::Note;
use super::section::{Section, setting};
use super::table::Table;
use super::values::{DNS_PORT, Refusal, domain_name, file_path, name_server};
use super::{Origin, Pool, Timeout};

pub(super) const RESOLVER: Section = Section::new(
    "resolver",
    &[
        setting(
            "servers",
            "",
            "the DNS servers, at most 8, such as [\"127.0.0.1\", \"[::1]:5353\"]; by default those of /etc/resolv.conf, read at the start and at a reload",
        ),
        setting("timeout", "\"1s\"", "one question to one of them"),
        setting("retries", "2", "further attempts after the first, 0 to 10"),
        setting(
            "min_ttl",
            "\"1s\"",
            "an answer is asked for again when its TTL is over, but no sooner",
        ),
        setting("max_ttl", "\"5m\"", "and no later"),
        setting(
            "hold",
            "\"30s\"",
            "for so long the servers of a name stay that is said not to exist; \"never\" to give them up",
        ),
        setting(
            "family",
            "\"any\"",
            "\"any\", \"ipv4\" (A records only) or \"ipv6\" (AAAA records only)",
        ),
        setting(
            "search",
            "",
            "domains, at most 8, that are appended to a name without a dot in turn, and to others that do not exist; a name with a dot at its end is asked for as it is. By default those of /etc/resolv.conf",
        ),
        setting(
            "hosts",
            "\"/etc/hosts\"",
            "a file whose addresses of a name count instead of DNS, read again when it changes; false for none",
        ),
    ],
);

/// `[resolver]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolver {
    /// `servers`; empty when no server has a name.
    pub servers: Vec<SocketAddr>,
    /// `timeout` of one question (default `"1s"`).
    pub timeout: Duration,
    /// `retries`: attempts after the first (default 2).
    pub retries: usize,
    /// `min_ttl`: how soon an answer is asked for again at the earliest (default `"1s"`).
    pub min_ttl: Duration,
    /// `max_ttl`: and at the latest (default `"5m"`).
    pub max_ttl: Duration,
    /// `hold`: how long the servers of a name stay that is said not to exist (default `"30s"`).
    pub hold: Timeout,
    /// `family` (default `"any"`).
    pub family: Family,
    /// `search`: domains appended to names, in lower case (by default those of resolv.conf).
    pub search: Vec<String>,
    /// Names with at least so many dots are asked for as they are before a domain is appended (resolv.conf's `ndots`, 1 by
    /// default).
    pub dots: usize,
    /// `hosts`: the file (default `/etc/hosts`), if one is read.
    pub hosts_file: Option<PathBuf>,
    /// What it says of the names that servers have.
    pub hosts: Hosts,
}

/// Which addresses are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// A and AAAA.
    Any,
    /// A only.
    Ipv4,
    /// AAAA only.
    Ipv6,
}

pub(super) fn resolver(table: &Table<'_>, pools: &[Pool]) -> Resolver {
    let named = pools.iter().any(|pool| !pool.templates.is_empty());
    let duration = |name| table.setting(name, |item| item.duration());
    let servers = table.optional("servers", |item| {
        let servers = item.list(|item| item.parse_zoned(name_server))?;
        if servers.is_empty() {
            item.error("`servers` is an empty list: leave it out for those of /etc/resolv.conf");
        } else if servers.len() > MOST {
            item.refuse(Refusal::new(format!("at most {MOST} are asked")));
        }
        Some(servers)
    });
    let search = table.optional("search", |item| {
        let domains = item.list(|item| item.parse(domain_name))?;
        if domains.len() > MOST {
            item.refuse(Refusal::new(format!("at most {MOST} are searched")));
        }
        Some(domains)
    });
    let machine = match named {
        true => ResolvConf::of(table.reader.environment),
        false => ResolvConf::default(),
    };
    let (search, dots) = match search {
        Some(search) => (search, 1),
        None => (machine.search, machine.dots),
    };
    let hosts_file = table.setting("hosts", hosts_file);
    let resolver = Resolver {
        servers: servers.unwrap_or(machine.servers),
        search,
        dots,
        hosts: hosts(table, hosts_file.as_deref(), pools),
        hosts_file,
        timeout: duration("timeout"),
        retries: table.setting("retries", |item| item.number(0..=10)) as usize,
        min_ttl: duration("min_ttl"),
        max_ttl: duration("max_ttl"),
        hold: table.setting("hold", |item| item.timeout()),
        family: table.setting("family", |item| item.choice(&FAMILIES)),
    };
    if resolver.min_ttl < SHORTEST_TTL {
        let note = Note::error(&table.span_of("min_ttl"), "`min_ttl` must be at least 1s");
        table.reader.report(note);
    }
    if resolver.min_ttl > resolver.max_ttl {
        let message = "`min_ttl` is longer than `max_ttl`";
        table
            .reader
            .report(Note::error(&table.span_of("min_ttl"), message));
    }
    resolver
}

/// A path, or `false`.
fn hosts_file(item: &Item<'_>) -> Option<Option<PathBuf>> {
    if item.is_switch() {
        return match item.switch()? {
            true => Some(Some(HOSTS.into())),
            false => Some(None),
        };
    }
    if !item.is_word() {
        item.wrong_type("a path or false");
        return None;
    }
    item.parse(file_path).map(Some)
}

/// What the hosts file says of the names of servers. Only a file that was asked for must be there.
fn hosts(table: &Table<'_>, file: Option<&Path>, pools: &[Pool]) -> Hosts {
    let names = host_names(pools);
    let Some(file) = file.filter(|_| !names.is_empty()) else {
        return Hosts::new();
    };
    match table.reader.environment.hosts(file, &names) {
        Ok(text) => hosts::parse(&text, names.into_iter()),
        Err(error) => {
            if table.has("hosts") {
                let message = format!("`hosts`: cannot read {}: {error}", file.display());
                let note = Note::error(&table.span_of("hosts"), message);
                table.reader.report(note);
            }
            Hosts::new()
        }
    }
}

/// The names of servers that a hosts file can have addresses of.
pub fn host_names(pools: &[Pool]) -> Vec<&str> {
    let templates = pools.iter().flat_map(|pool| &pool.templates);
    let mut names: Vec<&str> = templates
        .filter_map(|template| match &template.origin {
            Origin::Host(name, _) => Some(name.trim_end_matches('.')),
            Origin::Service(_) => None,
        })
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What resolv.conf(5) says. Without a file, or without a server in it, the machine itself is asked. Lines of other kinds do not
/// make the file a wrong one.
#[derive(Debug, Default, PartialEq, Eq)]
struct ResolvConf {
    servers: Vec<SocketAddr>,
    search: Vec<String>,
    dots: usize,
}

impl ResolvConf {
    fn of(environment: &dyn Environment) -> Self {
        let text = environment.resolv_conf().unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let mut found = Self {
            dots: 1,
            ..Self::default()
        };
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let server = words.next().and_then(|word| name_server(word).ok());
                    found.servers.extend(server);
                }
                // Of several, the last one counts.
                Some("search" | "domain") => {
                    let domains = words.filter(|word| *word != ".");
                    let domains = domains.filter_map(|word| domain_name(word).ok());
                    found.search = domains.take(MOST).collect();
                }
                Some("options") => {
                    let mut dots =
                        words.filter_map(|word| word.strip_prefix("ndots:")?.parse().ok());
                    found.dots = dots
                        .next_back()
                        .map_or(found.dots, |dots: usize| dots.min(15));
                }
                _ => {}
            }
        }
        found.servers.truncate(MOST);
        if found.servers.is_empty() {
            found.servers.push((Ipv4Addr::LOCALHOST, DNS_PORT).into());
        }
        found
    }
}

const HOSTS: &str = "/etc/hosts";

/// Servers that are asked, and domains that are searched.
const MOST: usize = 8;
/// More often than this, nobody's answer changes.
const SHORTEST_TTL: Duration = Duration::from_secs(1);

const FAMILIES: [(&str, Family); 3] = [
    ("any", Family::Any),
    ("ipv4", Family::Ipv4),
    ("ipv6", Family::Ipv6),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::path::Path;

    struct Machine(&'static str);

    impl Environment for Machine {
        fn variable(&self, _name: &str) -> Option<String> {
            None
        }

        fn secret_file(&self, path: &Path) -> io::Result<Vec<u8>> {
            assert_eq!(path, Path::new("/etc/resolv.conf"));
            match self.0 {
                "" => Err(io::ErrorKind::NotFound.into()),
                text => Ok(text.into()),
            }
        }

        fn user_id(&self) -> u32 {
            0
        }
    }

    #[test]
    fn the_machines_servers() {
        for (text, wanted) in [
            ("", "127.0.0.1:53"),
            (
                "# nameserver 10.0.0.1\nsearch example.com\n",
                "127.0.0.1:53",
            ),
            (
                "nameserver 10.0.0.1\noptions trust-ad what:1\n\tnameserver   fd00::53 ; second\nnameserver bad\n",
                "10.0.0.1:53 [fd00::53]:53",
            ),
        ] {
            let found: Vec<_> = ResolvConf::of(&Machine(text))
                .servers
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found.join(" "), wanted, "{text:?}");
        }
    }
    #[test]
    fn the_machines_domains() {
        for (text, wanted, dots) in [
            ("", "", 1),
            ("domain example.com\n", "example.com", 1),
            (
                "domain example.com\nsearch a.example B.example. .\noptions ndots:5 trust-ad\n",
                "a.example b.example",
                5,
            ),
            ("search\noptions ndots:99\n", "", 15),
            ("#search example.com\noptions ndots:x\n", "", 1),
        ] {
            let found = ResolvConf::of(&Machine(text));
            assert_eq!(
                (found.search.join(" ").as_str(), found.dots),
                (wanted, dots),
                "{text:?}"
            );
        }
    }
}
