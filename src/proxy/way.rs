//! What becomes of a request: where its route leads, and whether its client may go there.

use std::net::IpAddr;
use std::sync::Arc;

use super::plan::{Listener, Local, Plan, PoolHeld};
use crate::config::{Action, Route};
use crate::route::Door;
use crate::wire::answer::{Answer, Elsewhere};
use crate::wire::forward::Changes;

/// A route as the workers see it.
#[derive(Debug)]
pub struct Way {
    door: Option<Door>,
    to: To,
    /// What is changed on the way, if anything is.
    changes: Option<Arc<RouteChanges>>,
}

/// What a route changes of messages. Apart, for an exchange holds it as long as it lasts and nothing else of its plan.
#[derive(Debug)]
pub(super) struct RouteChanges {
    /// On the way to a server.
    pub(super) request: Option<Changes>,
    /// And back.
    pub(super) response: Option<Changes>,
}

#[derive(Debug)]
enum To {
    /// A pool's index.
    Pool(usize),
    Redirect(Elsewhere),
    Answer(Answer),
}

impl Way {
    /// As the settings say.
    pub fn new(route: &Route) -> Self {
        let response = Changes::new(&route.response_headers);
        let changes = response.as_ref();
        Self {
            door: Door::new(&route.admission),
            to: match &route.action {
                Action::Pool(pool) => To::Pool(*pool),
                Action::Redirect(redirect) => To::Redirect(Elsewhere::new(redirect, changes)),
                Action::Answer(answer) => {
                    To::Answer(Answer::new(answer.status, &answer.page, changes))
                }
            },
            changes: RouteChanges::new(Changes::new(&route.request_headers), response),
        }
    }

    /// What it changes of messages.
    pub(super) fn changes(&self) -> Option<&Arc<RouteChanges>> {
        self.changes.as_ref()
    }
}

impl RouteChanges {
    fn new(request: Option<Changes>, response: Option<Changes>) -> Option<Arc<Self>> {
        let any = request.is_some() || response.is_some();
        any.then(|| Arc::new(Self { request, response }))
    }
}

/// What the routes say of one request.
pub(super) enum Lead<'a> {
    /// To a server of this pool; by the route of this index, or none.
    Pool(PoolHeld, Option<u32>),
    Redirect(&'a Elsewhere),
    Answer(&'a Answer),
    /// Its client is not admitted there.
    Denied,
    /// No route matches.
    Nowhere,
}

impl Plan {
    /// What the route of this index changes of requests.
    pub(super) fn request_changes(&self, route: Option<u32>) -> Option<&Changes> {
        let changes = self.ways.get(route? as usize)?.changes.as_ref()?;
        changes.request.as_ref()
    }
}

impl Local {
    /// Where a request to `path` on this listener leads.
    pub(super) fn lead(
        &self,
        listener: &Listener,
        client: Option<IpAddr>,
        host: &[u8],
        path: &[u8],
    ) -> Lead<'_> {
        if listener.has_stats
            && self.is_stats(path)
            && let Some(stats) = self.stats()
        {
            return Lead::Pool(stats, None);
        }
        let route = listener.table.find(host, path);
        let Some(way) = route.and_then(|route| self.ways.get(route)) else {
            let default = listener.default_pool.map(|pool| self.pool(pool));
            return default.map_or(Lead::Nowhere, |pool| Lead::Pool(pool, None));
        };
        if way.door.as_ref().is_some_and(|door| !door.admits(client)) {
            return Lead::Denied;
        }
        match &way.to {
            To::Pool(pool) => Lead::Pool(
                self.pool(*pool),
                route.and_then(|route| u32::try_from(route).ok()),
            ),
            To::Redirect(elsewhere) => Lead::Redirect(elsewhere),
            To::Answer(answer) => Lead::Answer(answer),
        }
    }
}
