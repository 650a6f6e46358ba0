//! `allow` and `deny`: clients by the network of their address.

use super::item::Item;
use super::reader::Note;
use super::settings::Network;
use super::table::Table;
use super::values::network;

/// `allow` and `deny` of a listener or a route. `deny` wins; where `allow` is given, a client must be in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admission {
    /// `allow`: only these; `None` is everybody.
    pub allow: Option<Clients>,
    /// `deny`: all but these.
    pub deny: Clients,
}

impl Admission {
    /// Whether everybody is admitted.
    pub fn is_open(&self) -> bool {
        self.allow.is_none() && self.deny.is_empty()
    }
}

/// Clients in these networks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Clients {
    /// Their networks, in file order.
    pub networks: Vec<Network>,
    /// `"unix"`: those without an address, who come over a unix socket.
    pub unix: bool,
}

impl Clients {
    fn is_empty(&self) -> bool {
        !self.unix && self.networks.is_empty()
    }
}

pub(super) fn admission(table: &Table<'_>) -> Admission {
    let admission = Admission {
        allow: table.optional("allow", clients),
        deny: table.optional("deny", clients).unwrap_or_default(),
    };
    if admission.allow.as_ref().is_some_and(Clients::is_empty)
        && table.optional("allow", |item| item.is_empty_list().then_some(())) == Some(())
    {
        let note = Note::error(
            &table.span_of("allow"),
            "`allow` is an empty list: nobody would be admitted",
        );
        table
            .reader
            .report(note.help("leave it out to admit everybody"));
    }
    admission
}

/// One network, or a list; `"unix"` among them for unix sockets.
fn clients(item: &Item<'_>) -> Option<Clients> {
    let mut clients = Clients::default();
    let read = item.one_or_list(|item| {
        if item.is_text("unix") {
            return Some(None);
        }
        item.parse(network).map(Some)
    })?;
    for network in read {
        match network {
            Some(network) => clients.networks.push(network),
            None => clients.unix = true,
        }
    }
    Some(clients)
}
