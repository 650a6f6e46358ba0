//! What a new plan brought and took, for the log.

use crate::balance::Pool;
use crate::config::{Server, Template};
use crate::record::{Event, ServerName};
use std::sync::Arc;

/// An event for each server that was found and for each that is found no more, between two plans of one
/// configuration.
pub(in crate::control) fn changes(before: &[Arc<Pool>], after: &[Arc<Pool>]) -> Vec<Event> {
    let mut events = Vec::new();
    for (before, after) in before.iter().zip(after) {
        let left = after.active();
        for (at, server) in missing(before, after) {
            let tunnels = before.servers[at].live.tunnels();
            let (server, why) = said(before, server, "is no address of", " any more");
            events.push(Event::ServerRemoved {
                server,
                why,
                tunnels,
                left,
            });
        }
        for (_, server) in missing(after, before) {
            let (server, why) = said(after, server, "is an address of", "");
            events.push(Event::ServerAdded { server, why, left });
        }
    }
    events
}

/// Servers of a pool that the other has not.
fn missing<'a>(pool: &'a Pool, other: &'a Pool) -> impl Iterator<Item = (usize, &'a Server)> {
    let there = |server: &Server| {
        let mut others = other.settings.servers.iter();
        others.any(|other| other.name == server.name && other.address == server.address)
    };
    let servers = pool.settings.servers.iter().enumerate();
    servers.filter(move |(_, server)| !there(server))
}

fn said(pool: &Pool, server: &Server, is: &str, end: &str) -> (ServerName, String) {
    let made = |template: &&Template| template.made(server);
    let template = pool.settings.templates.iter().find(made);
    let origin = template.map_or_else(String::new, |template| template.origin.to_string());
    let name = ServerName {
        pool: pool.settings.name.clone(),
        server: server.name.clone(),
    };
    (name, format!("{} {is} {origin}{end}", server.address))
}
