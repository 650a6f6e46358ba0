//! What becomes of a request: where its route leads, and whether its client may go there.

use std::net::IpAddr;

use super::plan::{Listener, Local, PoolHeld};
use crate::config::{Action, Route};
use crate::route::Door;
use crate::wire::answer::{Answer, Elsewhere};

/// A route as the workers see it.
#[derive(Debug)]
pub struct Way {
    door: Option<Door>,
    to: To,
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
        Self {
            door: Door::new(&route.admission),
            to: match &route.action {
                Action::Pool(pool) => To::Pool(*pool),
                Action::Redirect(redirect) => To::Redirect(Elsewhere::new(redirect, b"")),
                Action::Answer(answer) => To::Answer(Answer::new(answer.status, &answer.page, b"")),
            },
        }
    }
}

/// What the routes say of one request.
pub(super) enum Lead<'a> {
    /// To a server of this pool.
    Pool(PoolHeld),
    Redirect(&'a Elsewhere),
    Answer(&'a Answer),
    /// Its client is not admitted there.
    Denied,
    /// No route matches.
    Nowhere,
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
        if self.is_stats(path)
            && let Some(stats) = self.stats()
        {
            return Lead::Pool(stats);
        }
        let found = listener.table.find(host, path);
        let Some(way) = found.and_then(|route| self.ways.get(route)) else {
            let default = listener.default_pool.map(|pool| self.pool(pool));
            return default.map_or(Lead::Nowhere, Lead::Pool);
        };
        if way.door.as_ref().is_some_and(|door| !door.admits(client)) {
            return Lead::Denied;
        }
        match &way.to {
            To::Pool(pool) => Lead::Pool(self.pool(*pool)),
            To::Redirect(elsewhere) => Lead::Redirect(elsewhere),
            To::Answer(answer) => Lead::Answer(answer),
        }
    }
}
