//! Asking DNS for one name: addresses, or SRV records and the addresses of their targets.
//!
//! Each question is one record type of one name. Of an answer that came in part, the rest is filled in from memory, so that an
//! AAAA record that cannot be asked for does not take its server away.

use crate::balance::discovery::{Found, Ranked, Said};
use crate::config::{DNS_DESCRIPTORS, Family, MOST_SERVERS, Origin, Resolver};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Whoever asks. Shared by the tasks of all names.
pub(super) struct Asker {
    resolver: TokioResolver,
    settings: Resolver,
    room: Semaphore,
}

/// What the last good answer to each question of one name was.
#[derive(Default)]
pub(super) struct Memory(HashMap<Question, Vec<IpAddr>>);

type Question = (String, RecordType);

/// What came of one question.
enum Answer<T> {
    Good(Vec<T>, Ttl),
    /// There is none, and why.
    Nothing(&'static str),
    Failed(String),
}

/// The shortest of the records'.
type Ttl = Duration;

/// The addresses of one host, as far as they are known.
struct Host {
    ips: Vec<IpAddr>,
    ttl: Option<Ttl>,
    failed: Option<String>,
    why: &'static str,
}

impl Asker {
    /// Asks as the settings say.
    ///
    /// # Errors
    /// One line.
    pub(super) fn new(settings: &Resolver) -> Result<Arc<Self>, String> {
        if settings.servers.is_empty() {
            return Err("no DNS server is known".to_owned());
        }
        let servers = settings.servers.iter().map(|server| {
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
            let connections = connections.map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.into())
        });
        let domains = settings
            .search
            .iter()
            .map(|domain| Name::from_ascii(format!("{domain}.")));
        let domains = domains.collect::<Result<Vec<_>, _>>();
        let domains = domains.map_err(|error| format!("resolver.search: {error}"))?;
        let config = ResolverConfig::from_parts(None, domains, servers.collect());
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.timeout = settings.timeout;
        options.attempts = settings.retries;
        options.ndots = settings.dots;
        // Every name has a task that keeps its own time.
        options.cache_size = 0;
        // The process may open no file: the launcher reads it ([`Resolver::hosts`]).
        options.use_hosts_file = ResolveHosts::Never;
        let resolver = builder.build().map_err(|error| error.to_string())?;
        Ok(Arc::new(Self {
            resolver,
            settings: settings.clone(),
            room: Semaphore::new(AT_ONCE),
        }))
    }

    /// Asks, and says how long the answer is good; `None` when it is not.
    pub(super) async fn ask(
        self: &Arc<Self>,
        origin: &Origin,
        memory: &mut Memory,
    ) -> (Said, Option<Duration>) {
        match origin {
            Origin::Host(name, port) => {
                let host = self.host(name, memory).await;
                let found = host.found(*port, None);
                (said(found, host.failed, host.why), host.ttl)
            }
            Origin::Service(name) => self.service(name, memory).await,
        }
    }

    async fn service(
        self: &Arc<Self>,
        name: &str,
        memory: &mut Memory,
    ) -> (Said, Option<Duration>) {
        let of = |record: &Record| match &record.data {
            RData::SRV(srv) => Some(srv.clone()),
            _ => None,
        };
        let (mut records, mut ttl) = match self
            .question(&format!("{name}."), RecordType::SRV, of)
            .await
        {
            Answer::Good(records, ttl) => (records, ttl),
            Answer::Nothing(why) => return (Said::Nothing(why.to_owned()), None),
            Answer::Failed(why) => return (Said::Failed(why, Vec::new()), None),
        };
        records.retain(|srv| !srv.target.is_root() && srv.port != 0);
        records.sort_by_key(|srv| (srv.priority, std::cmp::Reverse(srv.weight)));
        records.truncate(MOST_SERVERS);
        let mut targets: Vec<String> = records.iter().map(|srv| plain(&srv.target)).collect();
        targets.sort();
        targets.dedup();
        memory.0.retain(|(name, _), _| targets.contains(name));
        let mut asking = JoinSet::new();
        for target in targets {
            let asker = Arc::clone(self);
            asking.spawn(async move {
                // The target of a record is a whole name (RFC 2782).
                let answers = asker.families(&format!("{target}.")).await;
                (target, answers)
            });
        }
        let mut hosts = HashMap::new();
        while let Some(answered) = asking.join_next().await {
            if let Ok((target, answers)) = answered {
                let host = memory.recall(&target, answers);
                hosts.insert(target, host);
            }
        }
        let (mut found, mut failed) = (Vec::new(), None);
        for srv in &records {
            let Some(host) = hosts.get(&plain(&srv.target)) else {
                continue;
            };
            let ranked = Ranked {
                priority: srv.priority,
                weight: srv.weight,
            };
            found.extend(host.found(srv.port, Some(ranked)));
            failed = failed.or_else(|| host.failed.clone());
            ttl = host.ttl.map_or(ttl, |other| other.min(ttl));
        }
        let good = failed.is_none() && !found.is_empty();
        let why = "none of its targets has an address";
        (said(found, failed, why), good.then_some(ttl))
    }

    async fn host(&self, name: &str, memory: &mut Memory) -> Host {
        if let Some(ips) = self.in_hosts_file(name) {
            return Host {
                ips,
                ttl: Some(self.settings.max_ttl),
                failed: None,
                why: none(RecordType::A),
            };
        }
        let answers = self.families(name).await;
        memory.recall(name, answers)
    }

    /// The addresses that the hosts file has of a name, if it has one that counts.
    fn in_hosts_file(&self, name: &str) -> Option<Vec<IpAddr>> {
        let ips = self.settings.hosts.get(name.trim_end_matches('.'))?;
        let counts = |ip: &&IpAddr| match self.settings.family {
            Family::Any => true,
            Family::Ipv4 => ip.is_ipv4(),
            Family::Ipv6 => ip.is_ipv6(),
        };
        let ips: Vec<IpAddr> = ips.iter().filter(counts).copied().collect();
        (!ips.is_empty()).then_some(ips)
    }

    /// The answers for each family that counts.
    async fn families(&self, name: &str) -> Vec<(RecordType, Answer<IpAddr>)> {
        let one = |kind| async move { (kind, self.question(name, kind, address).await) };
        match self.settings.family {
            Family::Ipv4 => vec![one(RecordType::A).await],
            Family::Ipv6 => vec![one(RecordType::AAAA).await],
            Family::Any => {
                let (a, aaaa) = tokio::join!(one(RecordType::A), one(RecordType::AAAA));
                vec![a, aaaa]
            }
        }
    }

    async fn question<T>(
        &self,
        name: &str,
        kind: RecordType,
        of: impl Fn(&Record) -> Option<T>,
    ) -> Answer<T> {
        let _permit = self.room.acquire().await;
        // The library keeps to its own limits; should it ever not, this name's task goes on all the same.
        let names = 1 + self.settings.search.len() as u32;
        let limit = self.settings.timeout * (2 * self.settings.retries as u32 + 2) * names + GRACE;
        let asked = self.resolver.lookup(name, kind);
        let lookup = match timeout(limit, asked).await {
            Ok(Ok(lookup)) => lookup,
            Ok(Err(error)) => return refused(&error, kind),
            Err(_) => return Answer::Failed("no answer".to_owned()),
        };
        let records = lookup.answers().iter();
        let ttl = records.clone().map(|record| record.ttl).min();
        let found: Vec<T> = records.filter_map(of).collect();
        match found.is_empty() {
            true => Answer::Nothing(none(kind)),
            false => Answer::Good(found, Duration::from_secs(ttl.unwrap_or(0).into())),
        }
    }
}

impl Memory {
    /// Puts the answers for a host together, and fills in what failed.
    fn recall(&mut self, name: &str, answers: Vec<(RecordType, Answer<IpAddr>)>) -> Host {
        let mut host = Host {
            ips: Vec::new(),
            ttl: None,
            failed: None,
            why: none(RecordType::A),
        };
        let mut unknown = None;
        for (kind, answer) in answers {
            let question = (name.to_owned(), kind);
            match answer {
                Answer::Good(ips, ttl) => {
                    host.ttl = Some(host.ttl.map_or(ttl, |other| other.min(ttl)));
                    host.ips.extend_from_slice(&ips);
                    self.0.insert(question, ips);
                }
                Answer::Nothing(why) => {
                    host.why = why;
                    self.0.remove(&question);
                }
                Answer::Failed(why) => match self.0.get(&question) {
                    Some(ips) => {
                        host.ips.extend_from_slice(ips);
                        host.failed = Some(why);
                    }
                    // Many name servers fail at AAAA for names that have none.
                    None => unknown = Some(why),
                },
            }
        }
        if host.ips.is_empty() {
            host.failed = host.failed.or(unknown);
        }
        if host.failed.is_some() {
            host.ttl = None;
        }
        host
    }
}

impl Host {
    fn found(&self, port: u16, ranked: Option<Ranked>) -> Vec<Found> {
        let found = |ip: &IpAddr| Found {
            address: SocketAddr::new(*ip, port),
            ranked,
        };
        self.ips.iter().map(found).collect()
    }
}

fn said(found: Vec<Found>, failed: Option<String>, why: &str) -> Said {
    match failed {
        Some(why) => Said::Failed(why, found),
        None if found.is_empty() => Said::Nothing(why.to_owned()),
        None => Said::Found(found),
    }
}

fn address(record: &Record) -> Option<IpAddr> {
    match &record.data {
        RData::A(a) => Some(a.0.into()),
        RData::AAAA(aaaa) => Some(aaaa.0.into()),
        _ => None,
    }
}

/// As the settings write it.
fn plain(name: &Name) -> String {
    name.to_lowercase()
        .to_ascii()
        .trim_end_matches('.')
        .to_owned()
}

fn refused<T>(error: &NetError, kind: RecordType) -> Answer<T> {
    match error {
        error if error.is_nx_domain() => Answer::Nothing("no such name"),
        error if error.is_no_records_found() => Answer::Nothing(none(kind)),
        NetError::Timeout => Answer::Failed("no answer".to_owned()),
        NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail)) => {
            Answer::Failed("the DNS server failed (SERVFAIL)".to_owned())
        }
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => {
            Answer::Failed("the DNS server refused (REFUSED)".to_owned())
        }
        other => Answer::Failed(other.to_string()),
    }
}

fn none(kind: RecordType) -> &'static str {
    match kind {
        RecordType::SRV => "it has no SRV record",
        _ => "it has no address",
    }
}

/// Questions on their way at once, in the whole process. More only wait a moment.
/// A question may be put to two servers at once, and again over TCP.
const AT_ONCE: usize = DNS_DESCRIPTORS / 4;
/// Beyond what the library's own limits add up to.
const GRACE: Duration = Duration::from_secs(1);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use RecordType::{A, AAAA};

    fn good(ip: &str, seconds: u64) -> Answer<IpAddr> {
        Answer::Good(vec![ip.parse().unwrap()], Duration::from_secs(seconds))
    }

    fn failed() -> Answer<IpAddr> {
        Answer::Failed("SERVFAIL".to_owned())
    }

    /// The answers to both questions, one after the other; then what is found, for how many seconds, and what failed.
    #[test]
    fn what_fails_is_filled_in_from_memory() {
        let (four, six) = ("10.0.0.1", "2001:db8::1");
        let rows = [
            // Never known: as if there were none, unless there is nothing else.
            (good(four, 9), failed(), vec![four], Some(9), None),
            (failed(), failed(), vec![four], None, Some("SERVFAIL")),
            (good(four, 9), good(six, 5), vec![four, six], Some(5), None),
            (
                good(four, 9),
                failed(),
                vec![four, six],
                None,
                Some("SERVFAIL"),
            ),
            (
                good(four, 9),
                Answer::Nothing("none"),
                vec![four],
                Some(9),
                None,
            ),
            // It was said that there is none: that is not remembered as an address.
            (good(four, 9), failed(), vec![four], Some(9), None),
            (
                Answer::Nothing("none"),
                Answer::Nothing("none"),
                vec![],
                None,
                None,
            ),
            (
                failed(),
                Answer::Nothing("none"),
                vec![],
                None,
                Some("SERVFAIL"),
            ),
        ];
        let mut memory = Memory::default();
        for (at, (a, aaaa, ips, ttl, why)) in rows.into_iter().enumerate() {
            let host = memory.recall("node.example", vec![(A, a), (AAAA, aaaa)]);
            let found: Vec<_> = host.ips.iter().map(ToString::to_string).collect();
            assert_eq!(found, ips, "{at}");
            assert_eq!(host.ttl, ttl.map(Duration::from_secs), "{at}");
            assert_eq!(host.failed.as_deref(), why, "{at}");
        }
    }
}
