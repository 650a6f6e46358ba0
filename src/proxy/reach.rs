//! A link to a server for an exchange: which server, which link, and what if it cannot be reached.
//!
//! The cookie's server, or the key's, is asked again while it is up, and left at the last attempt; a server that
//! only had its turn is left at once. Nothing of the request has been sent until a link stands, so
//! every attempt may be another server's (HAProxy's `retries` and `option redispatch`).

use std::io::ErrorKind;
use std::time::Duration;

use super::connection::Connection;
use super::desk::Desk;
use super::ending::Ending;
use super::follow::{PlanCalls, follow, is_present};
use super::passive;
use super::plan;
use super::queue;
use super::story::Story;
use crate::balance::{Ask, Counter, Missed, Pick, Pool, Server, Why};
use crate::ring::{Duplex, Stamp};
use crate::upstream::{self, ConnectError, Link};

/// A link to a server: the one the cookie names, or the next by turn; kept or fresh; and if it
/// cannot be reached, again, or another one. Each attempt has the whole connect timeout. After every wait the servers are
/// those of the plan in force, and so is the story's pool.
pub(super) async fn reach<C: Duplex>(
    connection: &Connection<C>,
    story: &mut Story,
    start: Start,
) -> Result<Link, Ending> {
    let desk = &connection.guest.desk;
    // Once the request was sent, only a fresh link tells a server that breaks off from one that had closed the link before;
    // a kept one would buy another delivery that neither `retries` nor the budget knows of.
    let fresh = start != Start::First;
    if fresh {
        follow(desk, story);
    }
    let mut pick = match (start, chosen(story)) {
        (Start::Fresh, Some(chosen)) => chosen,
        (Start::Elsewhere, Some(failed)) => next(connection, story, failed, true, true).await?,
        (Start::First, _) => choose(connection, story, story.marks.head).await?,
        (_, None) => choose(connection, story, desk.now()).await?,
    };
    let retries = story.pool.as_ref().map_or(0, |pool| pool.settings.retries);
    let mut left = retries.saturating_sub(story.retries);
    loop {
        // Apart, so that only those that are held have room for it in their task.
        while story.request.wait > Duration::ZERO {
            pick = Box::pin(hold(connection, story, pick)).await?;
        }
        let Some(pool) = story.pool.clone() else {
            return Err(Ending::NoServer);
        };
        let server = &pool.servers[pick.server];
        if !fresh && let Some(link) = lend(connection, story, server) {
            story.marks.connected = Some(story.marks.ready());
            return Ok(link);
        }
        let error = match open(connection, &pool, server).await {
            Ok(link) => {
                story.marks.connected = Some(desk.now());
                return Ok(link);
            }
            // A new plan does not have it any more: that is nobody's fault, and no attempt.
            Err(ConnectError::Unwanted) => {
                follow(desk, story);
                pick = choose(connection, story, desk.now()).await?;
                continue;
            }
            // Neither the server's fault nor its business: no retry would help, and another server neither.
            Err(ConnectError::Exhausted(_)) if desk.links.shed() => continue,
            Err(ConnectError::Exhausted(_)) => {
                desk.exhausted.set(desk.exhausted.get() + 1);
                return Err(Ending::Exhausted);
            }
            // Nor is this, but another server may be reached: at once, and at nobody's cost.
            Err(error @ ConnectError::NoSource(_)) => {
                let leaves = may_leave(story, &pool) && is_tried_again(&pool, &error);
                if left == 0 || !leaves {
                    return Err(Ending::Exhausted);
                }
                left -= 1;
                story.retries += 1;
                pick = elsewhere(connection, story, &pool, pick).ok_or(Ending::Exhausted)?;
                continue;
            }
            Err(error) => error,
        };
        server.live.add(desk.worker, Counter::ConnectErrors, 1);
        passive::failed(desk, &pool, &server.live);
        if connection.stream.peer_left() {
            return Err(Ending::LeftInConnect);
        }
        if left == 0 || !is_tried_again(&pool, &error) || !pool.spend_retry(desk.now().ms()) {
            return Err(Ending::from(&error));
        }
        left -= 1;
        story.retries += 1;
        // One that failed at once would do so again: it is given a moment (as HAProxy does).
        let pause = matches!(error, ConnectError::Failed(_));
        let next = next(connection, story, pick, left == 0, pause).await;
        pick = next.map_err(|ending| match ending {
            Ending::NoServer => Ending::from(&error),
            ending => ending,
        })?;
    }
}

/// A fresh link. The attempt ends when a new plan takes the server away.
async fn open<C: Duplex>(
    connection: &Connection<C>,
    pool: &Pool,
    server: &Server,
) -> Result<Link, ConnectError> {
    let timeout = plan::wait(pool.settings.timeouts.connect);
    let (address, sources) = (&server.address, &server.sources);
    let wanted = || is_present(&connection.guest.desk, pool, &server.live);
    let _calls = PlanCalls::on(&connection.timer);
    upstream::open(address, sources, &connection.timer, timeout, wanted).await
}

/// The server for a request that has none, after a wait if need be; `now` is for rates.
async fn choose<C: Duplex>(
    connection: &Connection<C>,
    story: &mut Story,
    now: Stamp,
) -> Result<Pick, Ending> {
    let Some(pool) = story.pool.clone() else {
        return Err(Ending::NoServer);
    };
    let ask = Ask {
        wanted: story.verdict.server,
        avoid: None,
        key: story.key,
        tunnel: story.request.facts.upgrade.is_some(),
        now_ms: now.ms(),
        ahead: false,
    };
    match take(story, &pool, &ask) {
        Ok(pick) => Ok(pick),
        // Apart, so that only those who wait have room for it in their task.
        Err(Missed::Full) => Box::pin(queue::wait(connection, story, ask)).await,
        Err(Missed::NoServer) => take_ahead(connection, story, &pool, &ask),
    }
}

/// A server whose token is taken ahead, for a request for which no server has one now.
#[cold]
fn take_ahead<C: Duplex>(
    connection: &Connection<C>,
    story: &mut Story,
    pool: &Pool,
    ask: &Ask,
) -> Result<Pick, Ending> {
    let Ok((pick, busy, held)) = pool.take_ahead(ask) else {
        return Err(nobody(&connection.guest.desk, pool, ask));
    };
    if story.retries > 0 {
        pool.counted_again();
    }
    (story.server, story.busy) = (Some(pick.server), Some(busy));
    story.request.wait = story.request.wait.max(held);
    Ok(pick)
}

/// Holds a request until the tokens that it took ahead are there; counted as time in the queue. Another server is chosen if
/// a new plan has taken its own away.
async fn hold<C: Duplex>(
    connection: &Connection<C>,
    story: &mut Story,
    pick: Pick,
) -> Result<Pick, Ending> {
    let (desk, timer) = (&connection.guest.desk, &connection.timer);
    timer.arm(Some(std::mem::take(&mut story.request.wait)));
    timer.fired().await;
    story.marks.queued = Some(desk.now());
    if connection.stream.peer_left() {
        return Err(Ending::LeftInQueue);
    }
    follow(desk, story);
    match story.server {
        Some(server) => Ok(Pick { server, ..pick }),
        None => choose(connection, story, desk.now()).await,
    }
}

/// Where an attempt begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// With the choice of a server.
    First,
    /// With the server that was chosen, on a fresh link: the kept one had been closed.
    Fresh,
    /// With another server than the one that was chosen, whose answer is to be had from somebody else; on a fresh link too.
    Elsewhere,
}

/// The choice that was made before.
fn chosen(story: &Story) -> Option<Pick> {
    let why = match (story.verdict.server, story.key) {
        (Some(_), _) => Why::Cookie,
        (None, Some(_)) => Why::Key,
        (None, None) => Why::Policy,
    };
    story.server.map(|server| Pick { server, why })
}

/// Whether the pool's conditions name such a failure; all of them unless it has conditions.
fn is_tried_again(pool: &Pool, error: &ConnectError) -> bool {
    let Some(retry) = &pool.settings.retry else {
        return true;
    };
    let refused = |error: &std::io::Error| error.kind() == ErrorKind::ConnectionRefused;
    retry.on.connect_failure
        || matches!(error, ConnectError::Failed(error) if retry.on.refused && refused(error))
}

/// A server other than the one to be avoided, counted as busy instead of the one before.
fn take(story: &mut Story, pool: &Pool, ask: &Ask) -> Result<Pick, Missed> {
    let (pick, busy) = pool.take(ask)?;
    if story.retries > 0 {
        pool.counted_again();
    }
    story.server = Some(pick.server);
    story.busy = Some(busy);
    Ok(pick)
}

/// Why there is no server: none takes sessions, or those that do have been given all that their rates allow.
#[cold]
pub(super) fn nobody(desk: &Desk, pool: &Pool, ask: &Ask) -> Ending {
    let Some(seconds) = pool.retry_after(ask, desk.random()) else {
        return Ending::NoServer;
    };
    pool.live.add_over_rate();
    if let Some(wanted) = ask.wanted {
        let live = &pool.servers[wanted].live;
        live.add(desk.worker, Counter::OverRate, 1);
    }
    Ending::OverServerRate(seconds)
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
/// is asked again, until the `last` attempt or until it has left "up". With a `pause` before the same one is. A server
/// that the plan in force does not have is not asked again: then the request is one that has no server.
async fn next<C: Duplex>(
    connection: &Connection<C>,
    story: &mut Story,
    failed: Pick,
    last: bool,
    pause: bool,
) -> Result<Pick, Ending> {
    let desk = &connection.guest.desk;
    follow(desk, story);
    let (Some(pool), Some(server)) = (story.pool.clone(), story.server) else {
        return choose(connection, story, desk.now()).await;
    };
    let failed = Pick { server, ..failed };
    let server = &pool.servers[failed.server];
    let sticks = matches!(failed.why, Why::Cookie | Why::Key);
    let moves = may_leave(story, &pool) && (!sticks || last || !server.accepts_sticky());
    if moves && let Some(pick) = elsewhere(connection, story, &pool, failed) {
        return Ok(pick);
    }
    if moves && !server.accepts_sticky() && !story.verdict.force {
        return Err(Ending::NoServer);
    }
    server.live.add(desk.worker, Counter::Retries, 1);
    if pause {
        let pause =
            plan::wait(pool.settings.timeouts.connect).map_or(PAUSE, |wait| wait.min(PAUSE));
        let timer = &connection.timer;
        let _calls = PlanCalls::on(timer);
        timer.arm(Some(pause));
        timer.fired().await;
        while timer.called() && is_present(desk, &pool, &server.live) {
            timer.resume();
            timer.fired().await;
        }
    }
    follow(desk, story);
    match story.server {
        Some(server) => Ok(Pick { server, ..failed }),
        None => choose(connection, story, desk.now()).await,
    }
}

/// Whether an attempt may be another server's.
fn may_leave(story: &Story, pool: &Pool) -> bool {
    pool.settings.redispatch && !story.verdict.force
}

/// Another server than the one that failed, if any takes the request.
fn elsewhere<C: Duplex>(
    connection: &Connection<C>,
    story: &mut Story,
    pool: &Pool,
    failed: Pick,
) -> Option<Pick> {
    let desk = &connection.guest.desk;
    let ask = Ask {
        wanted: None,
        avoid: Some(failed.server),
        key: story.key,
        tunnel: story.request.facts.upgrade.is_some(),
        now_ms: desk.now().ms(),
        ahead: false,
    };
    let pick = take(story, pool, &ask).ok()?;
    let live = &pool.servers[failed.server].live;
    live.add(desk.worker, Counter::Redispatches, 1);
    story.redispatched = true;
    story.verdict.redispatched();
    Some(pick)
}

/// Before a server that refused is asked again.
const PAUSE: Duration = Duration::from_secs(1);
