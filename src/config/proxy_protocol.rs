//! The PROXY protocol in the configuration: who tells us of its clients, and which servers we tell of ours.
//!
//! A peer that is listed must begin each connection with a PROXY header, and one that is not listed never has
//! one read: the specification forbids guessing (section 2), because whoever may send the header chooses the
//! address that the log and the servers are told.

use std::net::IpAddr;

use super::item::Item;
use super::settings::Network;
use super::values::network;

/// Who begins every connection with a PROXY header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProxySenders {
    /// Peers in these networks.
    pub networks: Vec<Network>,
    /// Whoever comes over a unix socket.
    pub unix: bool,
}

impl ProxySenders {
    /// Whether nobody does.
    pub fn is_empty(&self) -> bool {
        !self.unix && self.networks.is_empty()
    }

    /// Whether this peer does; it has no address when it came over a unix socket.
    pub fn include(&self, peer: Option<IpAddr>) -> bool {
        match peer {
            Some(ip) => self.networks.iter().any(|network| network.contains(ip)),
            None => self.unix,
        }
    }
}

/// The form of a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// A list of networks, `"unix"` among them for unix sockets.
pub(super) fn senders(item: &Item<'_>) -> Option<ProxySenders> {
    if item.is_switch() {
        item.wrong_type("a list of the networks that send the header, such as [\"10.0.0.0/8\"]");
        return None;
    }
    let mut unix = false;
    let networks = item.list(|item| {
        if item.is_text("unix") {
            unix = true;
            return None;
        }
        item.parse(network)
    })?;
    Some(ProxySenders { networks, unix })
}

/// `"v1"` or `"v2"`.
pub(super) fn version(item: &Item<'_>) -> Option<ProxyVersion> {
    item.choice(&[("v1", ProxyVersion::V1), ("v2", ProxyVersion::V2)])
}
