//! `source`: the addresses of this machine from which a server is connected to.

use super::item::Item;
use super::reader::Note;
use super::table::Table;
use super::values::{Refusal, source_address};
use super::{Address, LocalAddress};

/// `"10.0.0.5"` or a list; of the family of the server's address, each once.
pub(super) fn sources(table: &Table<'_>, server: Option<&Address>) -> Vec<LocalAddress> {
    let written = table.setting("source", |item| {
        let sources = item.one_or_list(source)?;
        if sources.len() > MOST {
            item.error(format!("`source` has more than {MOST} addresses"));
        }
        Some(sources)
    });
    if let (Some(Address::Unix(_)), false) = (server, written.is_empty()) {
        let message = "`source` is for addresses with a port: a unix socket has none to come from";
        let span = table.span_of("source");
        table.reader.report(Note::error(&span, message));
    }
    let mut sources: Vec<LocalAddress> = Vec::new();
    for (address, span) in written {
        let report = |message| table.reader.report(Note::error(&span, message));
        match server {
            Some(Address::Ip(server)) if server.is_ipv4() != address.ip.is_ipv4() => {
                let family = if server.is_ipv4() { "IPv4" } else { "IPv6" };
                report(format!(
                    "`source` is {address}: must be of {family}, as the server's address {server} is"
                ));
            }
            _ if sources.contains(&address) => report(format!("`source` has {address} twice")),
            _ => sources.push(address),
        }
    }
    sources
}

fn source(item: &Item<'_>) -> Option<(LocalAddress, super::reader::Span)> {
    let address = item.parse_zoned(source_address)?;
    if address.ip.is_unspecified() || address.ip.is_multicast() {
        item.refuse(Refusal::new("not an address that a connection comes from"));
        return None;
    }
    Some((address, item.span.clone()))
}

/// Each has up to 64,512 ports towards one server: four million connections.
const MOST: usize = 64;
