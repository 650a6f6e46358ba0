//! A server that is given by a name: what DNS answers decides how many servers it stands for, and where they are.
//!
//! The pool keeps it beside its servers, as a [`Template`]; `balance::discovery` makes servers of it.

use std::net::{IpAddr, SocketAddr};

use super::item::Item;
use super::reader::{Note, Span};
use super::table::Table;
use super::values::{Place, server_place, service_name};
use super::{Address, Pool, Server};

/// A `[[pool.NAME.server]]` whose `address` is a name, or that has `srv`.
#[derive(Debug, Clone, PartialEq)]
pub struct Template {
    /// So many of the pool's own servers stand before it in the file.
    pub after: usize,
    /// What is asked.
    pub origin: Origin,
    /// `max_servers`: how many servers it may come to stand for, 1 to [`MOST_SERVERS`]. With 1 its name and cookie key are
    /// those of the file, whatever the address.
    pub max_servers: usize,
    /// What all of them have in common. Its address stands for none yet.
    pub server: Server,
}

/// What DNS is asked. Names are in lower case, without the dot at their end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// `address = "name:port"`: A and AAAA records.
    Host(String, u16),
    /// `srv = "_service._tcp.name"`: SRV records (RFC 2782), and the addresses of their targets.
    Service(String),
}

/// Servers that one name can stand for; what an answer holds beyond them is left out.
pub const MOST_SERVERS: usize = 64;

/// Descriptors for questions to DNS, when a server has a name.
pub const DNS_DESCRIPTORS: usize = 64;

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Host(name, port) => write!(f, "{name}:{port}"),
            Self::Service(name) => f.write_str(name),
        }
    }
}

impl Template {
    /// The name of the server at an address (`node-10.0.0.7:3000`, `node-[fd00::7]:3000`): it does not depend on what else the answer holds.
    pub fn name_at(&self, address: SocketAddr) -> String {
        match self.max_servers {
            1 => self.server.name.clone(),
            _ => format!("{}-{address}", self.server.name),
        }
    }

    /// Whether a server of its pool is one that it stands for.
    pub fn made(&self, server: &Server) -> bool {
        matches!(server.address, Address::Ip(address) if self.name_at(address) == server.name)
    }
}

impl Pool {
    /// The most servers that it can come to have, for those who make room.
    pub fn most_servers(&self) -> usize {
        let named = self.templates.iter().map(|template| template.max_servers);
        self.servers.len() + named.sum::<usize>()
    }

    /// The most that a count over its servers can come to.
    pub fn most_of(&self, count: impl Fn(&Server) -> usize) -> usize {
        let named = self.templates.iter();
        let named = named.map(|template| template.max_servers * count(&template.server));
        self.servers.iter().map(&count).sum::<usize>() + named.sum::<usize>()
    }
}

/// Where a server is: an address, or what to ask.
pub(super) struct Whereabouts {
    pub(super) address: Address,
    /// With how many servers it may become.
    pub(super) origin: Option<(Origin, usize)>,
}

/// `address` or `srv`, and `max_servers`.
pub(super) fn whereabouts(table: &Table<'_>) -> Option<Whereabouts> {
    let asked = |origin| Whereabouts {
        address: Address::Ip(([0, 0, 0, 0], 0).into()),
        origin: Some((origin, 1)),
    };
    let service = table.optional("srv", |item| item.parse(service_name));
    let place = match table.has("srv") {
        true => table.optional("address", server),
        false => table.required("address", server),
    };
    if table.has("srv") && table.has("address") {
        let message = "`srv` and `address` exclude each other";
        let note = Note::error(&table.span_of("srv"), message);
        table
            .reader
            .report(note.help("SRV records say where the servers are, and their ports"));
        return None;
    }
    if table.has("srv") && table.has("weight") {
        let message = "`weight` has no effect: SRV records say what weighs how much";
        table
            .reader
            .report(Note::error(&table.span_of("weight"), message));
    }
    let mut found = match (service, place) {
        (Some(name), _) => asked(Origin::Service(name)),
        (None, Some(Place::Name(name, port))) => asked(Origin::Host(name, port)),
        (None, Some(Place::Address(address))) => Whereabouts {
            address,
            origin: None,
        },
        (None, None) => return None,
    };
    let most = table.optional("max_servers", |item| item.number(1..=MOST_SERVERS as u64));
    match &mut found.origin {
        Some((_, servers)) => {
            // A key of its own is one server's.
            let otherwise = if table.has("cookie") { 1 } else { MOST_SERVERS };
            *servers = most.map_or(otherwise, |most| most as usize);
            if *servers > 1 && table.has("cookie") {
                let message = format!("`cookie` is one server's key, and this may be {servers}");
                let note = Note::error(&table.span_of("cookie"), message);
                table.reader.report(note.help(
                    "leave it out and give `sticky` a `dynamic_key`: each gets a key of its own",
                ));
            }
        }
        None if table.has("max_servers") => {
            let message = "`max_servers` has no effect: the address is no name";
            table
                .reader
                .report(Note::warning(&table.span_of("max_servers"), message));
        }
        None => {}
    }
    Some(found)
}

fn server(item: &Item<'_>) -> Option<Place> {
    item.parse_zoned(server_place)
}

/// Reports a name that one of the others' addresses may come to have.
pub(super) fn check_names(table: &Table<'_>, templates: &[Template], servers: &[(&str, &Span)]) {
    for template in templates.iter().filter(|template| template.max_servers > 1) {
        let name = &template.server.name;
        let taken = |other: &str| {
            let rest = other.strip_prefix(name.as_str())?.strip_prefix('-')?;
            let (ip, port) = rest.rsplit_once(':')?;
            Some(ip.parse::<IpAddr>().is_ok() && port.parse::<u16>().is_ok())
        };
        for (other, span) in servers {
            if taken(other) == Some(true) {
                let message = format!("a server that `{name}` finds may get the name `{other}`");
                table.reader.report(Note::error(span, message));
            }
        }
    }
}
