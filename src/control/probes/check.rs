//! One server's checks, for as long as the plan has them.

use super::exchange::Parsing;
use super::{News, Shared, Target, Way, find, http, tcp, websocket};
use crate::balance::{Health, Outcome, Reason, Server, Sources};
use crate::config::{Check, CheckKind, ProxyVersion, ResponseParsing};
use crate::control::{now_ms, started_ms};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Ends when the plan has the server no more.
pub(super) async fn run(shared: Arc<Shared>, target: Target, first: Instant) {
    let Way::Check { check, introduce } = &target.way else {
        return;
    };
    let mut health = None;
    let mut next = first;
    loop {
        sleep_until(next).await;
        let Some((wait, begun)) = once(&shared, &target, check, *introduce, &mut health).await
        else {
            return;
        };
        // After a pause (a stopped process, a check longer than its interval) no volley follows.
        next = begun + wait;
    }
}

/// One check, if the server is to have one now. How long to wait from when, or `None` when it is gone.
async fn once(
    shared: &Shared,
    target: &Target,
    check: &Check,
    introduce: Option<ProxyVersion>,
    health: &mut Option<Health>,
) -> Option<(Duration, Instant)> {
    let pools = shared.pools.load_full();
    let (pool, index) = find(&pools, target)?;
    let server = &pool.servers[index];
    if server.wants_check().is_none() {
        // Maintenance: when it ends, counting begins anew from the state that is published.
        *health = None;
        return Some((check.interval, Instant::now()));
    }
    // Waiting for room is not counted against the server.
    let permit = shared.room.acquire().await;
    let begun = Instant::now();
    let parsing = pool.settings.response_parsing;
    let (reason, farewell) = ask(shared, check, server, introduce, parsing, begun).await;
    let outcome = Outcome {
        reason,
        took: begun.elapsed(),
    };
    let now_ms = now_ms();
    if outcome.reason != Reason::Ours {
        server.live.checked(&outcome);
    }
    let health = health.get_or_insert_with(|| resume(server));
    if let Some(change) = health.step(outcome, check, now_ms) {
        // The plan may have changed while we waited; the state belongs to both.
        let pools = shared.pools.load_full();
        let (pool, index) = find(&pools, target)?;
        pool.mark(index, &change, now_ms);
        (shared.tell)(pool, &pool.servers[index], &News::Checked(&change));
    }
    let wait = health.wait(check, fastrand::u32(..));
    if let Some(farewell) = farewell {
        farewell.say().await;
    }
    drop(permit);
    Some((wait, begun))
}

/// Counting begins from what is published.
fn resume(server: &Server) -> Health {
    let state = server.live.state();
    let since = match state.since_ms {
        0 => started_ms(),
        since => since,
    };
    Health::resume(state, since)
}

/// Asks once. A WebSocket that was opened is to be closed, which the server's state does not wait for.
async fn ask(
    shared: &Shared,
    check: &Check,
    server: &Server,
    introduce: Option<ProxyVersion>,
    parsing: ResponseParsing,
    begun: Instant,
) -> (Reason, Option<websocket::Farewell>) {
    let none = Sources::default();
    let (address, sources) = match &check.address {
        Some(address) => (address, &none),
        None => (&server.address, &server.sources),
    };
    let deadline = begun + check.timeout;
    let parsing = Parsing {
        limits: **shared.limits.load(),
        parsing,
    };
    let stream = match timeout_at(deadline, tcp::connect(address, sources, introduce)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return (Reason::of_error(&error), None),
        Err(_) => return (Reason::TimedOut, None),
    };
    match &check.kind {
        CheckKind::Tcp => (Reason::Connected, None),
        CheckKind::Http(http) => {
            let answer = timeout_at(deadline, http::ask(stream, http, address, &parsing)).await;
            (answer.unwrap_or(Reason::Silent), None)
        }
        CheckKind::WebSocket(asking) => {
            match timeout_at(deadline, websocket::ask(stream, asking, address, &parsing)).await {
                Ok(Ok(farewell)) => (Reason::Upgraded, Some(farewell)),
                Ok(Err(reason)) => (reason, None),
                Err(_) => (Reason::Silent, None),
            }
        }
    }
}
