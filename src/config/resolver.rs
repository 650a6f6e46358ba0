//! `[resolver]`: how the names of servers are asked.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::environment::Environment;
use super::reader::Note;
use super::section::{Section, setting};
use super::table::Table;
use super::values::{DNS_PORT, Refusal, name_server};
use super::{Pool, Timeout};

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
        let servers = item.list(|item| item.parse(name_server))?;
        if servers.is_empty() {
            item.error("`servers` is an empty list: leave it out for those of /etc/resolv.conf");
        } else if servers.len() > MOST {
            item.refuse(Refusal::new(format!("at most {MOST} are asked")));
        }
        Some(servers)
    });
    let resolver = Resolver {
        servers: match servers {
            Some(servers) => servers,
            None if named => of_the_machine(table.reader.environment),
            None => Vec::new(),
        },
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

/// As resolv.conf(5): without a file, or without a server in it, the machine itself is asked. Other lines are none of
/// our business, and none of them makes the file a wrong one.
fn of_the_machine(environment: &dyn Environment) -> Vec<SocketAddr> {
    let text = environment.resolv_conf().unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let server = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let (key, address) = (words.next()?, words.next()?);
        name_server(address).ok().filter(|_| key == "nameserver")
    };
    let servers: Vec<_> = text.lines().filter_map(server).take(MOST).collect();
    match servers.is_empty() {
        true => vec![(Ipv4Addr::LOCALHOST, DNS_PORT).into()],
        false => servers,
    }
}

/// Servers that are asked.
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
            let found: Vec<_> = of_the_machine(&Machine(text))
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found.join(" "), wanted, "{text:?}");
        }
    }
}
