//! A link to a server for an exchange: which server, which link, and what if it cannot be reached.
//!
//! The cookie's server, or the key's, is asked again while it is up, and left at the last attempt; a server that
//! only had its turn is left at once. Nothing of the request has been sent until a link stands, so
//! every attempt may be another server's (HAProxy's `retries` and `option redispatch`).

use std::time::Duration;

use super::connection::Connection;
use super::ending::Ending;
use super::plan;
use super::story::Story;
use crate::balance::{Ask, Counter, Pick, Pool, Server, Why};
use crate::ring::Duplex;
use crate::upstream::{self, ConnectError, Link};

/// A link to a server: the one the cookie names, or the next by turn; kept or fresh; and if it
/// cannot be reached, again, or another one. Each attempt has the whole connect timeout.
pub(super) async fn reach<C: Duplex>(
    connection: &Connection<C>,
    story: &mut Story,
    pool: &Pool,
    fresh: bool,
) -> Result<Link, Ending> {
    let desk = &connection.guest.desk;
    let mut pick = match story.server.filter(|_| fresh) {
        Some(server) => Pick {
            server,
            why: match (story.verdict.server, story.key) {
                (Some(_), _) => Why::Cookie,
                (None, Some(_)) => Why::Key,
                (None, None) => Why::Policy,
            },
        },
        None => {
            let ask = Ask {
                wanted: story.verdict.server,
                avoid: None,
                key: story.key,
            };
            take(story, pool, &ask).ok_or(Ending::NoServer)?
        }
    };
    let mut left = pool.settings.retries;
    loop {
        let server = &pool.servers[pick.server];
        if !fresh && let Some(link) = lend(connection, story, server) {
            story.marks.connected = Some(story.marks.head);
            return Ok(link);
        }
        let timeout = plan::wait(pool.settings.timeouts.connect);
        let (address, sources) = (&server.address, &server.sources);
        let error = match upstream::open(address, sources, &connection.timer, timeout).await {
            Ok(link) => {
                story.marks.connected = Some(desk.now());
                return Ok(link);
            }
            // Neither the server's fault nor its business: no retry would help, and another server neither.
            Err(ConnectError::Exhausted(_)) if desk.links.shed() => continue,
            Err(ConnectError::Exhausted(_)) => {
                desk.exhausted.set(desk.exhausted.get() + 1);
                return Err(Ending::Exhausted);
            }
            Err(error) => error,
        };
        server.live.add(desk.worker, Counter::ConnectErrors, 1);
        if connection.stream.peer_left() {
            return Err(Ending::LeftInConnect);
        }
        if left == 0 {
            return Err(Ending::from(&error));
        }
        left -= 1;
        story.retries += 1;
        pick = next(connection, story, pool, pick, left, &error)
            .await
            .ok_or_else(|| Ending::from(&error))?;
    }
}

/// A server other than the one to be avoided, counted as busy instead of the one before.
fn take(story: &mut Story, pool: &Pool, ask: &Ask) -> Option<Pick> {
    let (pick, busy) = pool.take(ask)?;
    if Some(pick.server) == ask.avoid {
        busy.withdraw();
        return None;
    }
    story.server = Some(pick.server);
    story.busy = Some(busy);
    Some(pick)
}

/// A kept link, unless it could die under a request that could not be sent twice.
fn lend<C: Duplex>(connection: &Connection<C>, story: &Story, server: &Server) -> Option<Link> {
    let facts = &story.request.facts;
    let repeatable = facts.method.is_idempotent() && facts.body.is_empty();
    // The first request of a connection has nobody who would repeat it for us (RFC 9112 9.3.1
    // leaves that to the client, which knows of no earlier exchange).
    if !repeatable && !connection.served {
        return None;
    }
    let owner = connection.owner_of_links(server);
    let links = &connection.guest.desk.links;
    links.lend(server.live.id(), owner)
}

/// The server for another attempt. Without a cookie or a key any other will do, at once; with one its server
/// is asked again, until the last attempt or until it has left "up".
async fn next<C: Duplex>(
    connection: &Connection<C>,
    story: &mut Story,
    pool: &Pool,
    failed: Pick,
    left: u32,
    error: &ConnectError,
) -> Option<Pick> {
    let worker = connection.guest.desk.worker;
    let server = &pool.servers[failed.server];
    let sticks = matches!(failed.why, Why::Cookie | Why::Key);
    let moves = pool.settings.redispatch
        && !story.verdict.force
        && (!sticks || left == 0 || !server.accepts_sticky());
    let ask = Ask {
        wanted: None,
        avoid: Some(failed.server),
        key: story.key,
    };
    if moves && let Some(pick) = take(story, pool, &ask) {
        server.live.add(worker, Counter::Redispatches, 1);
        story.redispatched = true;
        story.verdict.redispatched();
        return Some(pick);
    }
    if moves && !server.accepts_sticky() && !story.verdict.force {
        return None;
    }
    server.live.add(worker, Counter::Retries, 1);
    if matches!(error, ConnectError::Failed(_)) {
        // It failed at once and would again: give the server a moment (as HAProxy does).
        let pause =
            plan::wait(pool.settings.timeouts.connect).map_or(PAUSE, |wait| wait.min(PAUSE));
        connection.timer.arm(Some(pause));
        connection.timer.fired().await;
    }
    Some(failed)
}

/// Before a server that refused is asked again.
const PAUSE: Duration = Duration::from_secs(1);
