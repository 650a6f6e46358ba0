//! Source addresses on the control thread: checks come from them too; and what the log says of them: that one is no address of this machine, and that ports have run out. Once a
//! second at most, whoever found it out, so that a thousand requests are one line.

use super::desk::Desk;
use crate::balance::{Pool, Server, Sources};
use crate::config::Level;
use crate::proxy::Plan;
use crate::ring;
use std::collections::HashSet;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};

/// Looks once a second, for as long as the process lives.
pub(super) async fn run(desk: Arc<Desk>) {
    let mut plan = None;
    let mut unfit = HashSet::new();
    let mut quiet: u32 = 0;
    loop {
        let now = desk.plan.load_full();
        let is_new = plan.as_ref().is_none_or(|old| !Arc::ptr_eq(old, &now));
        if is_new {
            servers(&now).for_each(|(_, server)| try_all(server));
            tell_of_families(&desk, &now, &mut unfit);
        }
        servers(&now).for_each(|(pool, server)| tell_of_addresses(&desk, pool, server));
        plan = Some(now);
        quiet = quiet.saturating_sub(1);
        let now = plan.as_deref().filter(|_| quiet == 0);
        if now.is_some_and(|plan| tell_of_ports(&desk, plan)) {
            quiet = SECONDS_BETWEEN;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Ports that run out are told of once in so many seconds.
const SECONDS_BETWEEN: u32 = 60;

fn servers(plan: &Plan) -> impl Iterator<Item = (&Pool, &Server)> {
    let pools = plan.pools.iter();
    pools.flat_map(|pool| pool.servers.iter().map(move |server| (&**pool, &**server)))
}

/// Connects as the workers do, from the source whose turn it is, or the next one that is there and has a port left.
///
/// # Errors
/// Those of connect(2). Where no source is an address of this machine the server cannot be reached from it; a lack
/// of ports is ours.
pub(super) async fn connect(address: SocketAddr, sources: &Sources) -> io::Result<TcpStream> {
    let mut refused = io::ErrorKind::NetworkUnreachable.into();
    for source in sources.in_turn() {
        let socket = socket(address.is_ipv4())?;
        if let Some(source) = source {
            let bound = ring::bind_source(&socket, source.address.to_bind());
            let missing = bound.as_ref().is_err_and(ring::is_not_here);
            source.note(missing);
            if missing {
                continue;
            }
            bound?;
        }
        match socket.connect(address).await {
            Err(error) if is_lack_of_ports(&error) => refused = error,
            done => return done,
        }
    }
    Err(refused)
}

fn is_lack_of_ports(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::AddrNotAvailable | Kind::AddrInUse)
}

fn socket(v4: bool) -> io::Result<TcpSocket> {
    match v4 {
        true => TcpSocket::new_v4(),
        false => TcpSocket::new_v6(),
    }
}

/// Before the first request needs them.
fn try_all(server: &Server) {
    for source in server.sources.all() {
        if let Ok(socket) = socket(source.address.ip.is_ipv4()) {
            let bound = ring::bind_source(&socket, source.address.to_bind());
            source.note(bound.is_err_and(|error| ring::is_not_here(&error)));
        }
    }
}

/// Says once of each server that its pool's sources are of the other family, which only its name's answer could show.
fn tell_of_families(desk: &Desk, plan: &Plan, told: &mut HashSet<(String, String)>) {
    let now = servers(plan).filter(|(_, server)| server.sources.are_unfit());
    let now: HashSet<_> = now
        .map(|(pool, server)| (pool.settings.name.clone(), server.name.to_string()))
        .collect();
    for (pool, name) in now.difference(told) {
        desk.events.say(
            Level::Warning,
            format!(
                "no `source` of server {pool}/{name} is of its address's family: the kernel chooses the address to connect from"
            ),
        );
    }
    *told = now;
}

fn tell_of_addresses(desk: &Desk, pool: &Pool, server: &Server) {
    for source in server.sources.all() {
        let (level, words) = match source.news() {
            None => continue,
            Some(true) => (Level::Error, "is not an address of this machine"),
            Some(false) => (Level::Notice, "is an address of this machine again"),
        };
        let (pool, name, address) = (&pool.settings.name, &server.name, source.address);
        desk.events.say(
            level,
            format!("source {address} of server {pool}/{name} {words}"),
        );
    }
}

/// Whether there was anything to tell.
fn tell_of_ports(desk: &Desk, plan: &Plan) -> bool {
    let mut told = false;
    for (pool, server) in servers(plan) {
        let count = server.sources.take_starved();
        if count == 0 {
            continue;
        }
        told = true;
        let (pool, name) = (&pool.settings.name, &server.name);
        let s = if count == 1 { "" } else { "s" };
        desk.events.say(
            Level::Error,
            format!(
                "no local port is left to connect to server {pool}/{name}: {count} attempt{s} failed; \
                 more `source` addresses or a wider net.ipv4.ip_local_port_range give more"
            ),
        );
    }
    told
}
