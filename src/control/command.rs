//! What an operator may change in a running server: its weight, its state; and its tunnels may be closed.
//!
//! ```text
//! PUT /v1/pools/POOL/servers/SERVER/weight          body: 0 to 256
//! 200 {"pool":"app","server":"node1","weight":50,"was":1}
//! PUT /v1/pools/POOL/servers/SERVER/state           body: ready, drain or maintenance
//! 200 {"pool":"app","server":"node1","state":"drain","was":"ready"}
//! POST /v1/pools/POOL/servers/SERVER/close-tunnels  body: nothing, or over how long, such as 30s
//! 200 {"pool":"app","server":"node1","tunnels":60}
//! ```
//!
//! 404 names what does not exist, 400 says what may be written. Who can write to the socket may do it: the mode
//! of its file is the lock, as for everything there.

use super::admin::Source;
use crate::config::{self, AdminState};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The answer to a change of weight.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weighed {
    /// The pool's name.
    pub pool: String,
    /// The server's name.
    pub server: String,
    /// Its weight from now on.
    pub weight: u16,
    /// Its weight before.
    pub was: u16,
}

/// The answer to a change of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stated {
    /// The pool's name.
    pub pool: String,
    /// The server's name.
    pub server: String,
    /// What the operator says of it from now on: `ready`, `drain` or `maintenance`.
    pub state: String,
    /// What the operator said of it before.
    pub was: String,
}

/// The answer to an order to close tunnels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Closed {
    /// The pool's name.
    pub pool: String,
    /// The server's name.
    pub server: String,
    /// How many tunnels there are to be closed.
    pub tunnels: u32,
}

/// The route of [`weight`].
pub(super) const WEIGHT: &str = "/v1/pools/{pool}/servers/{server}/weight";
/// The route of [`state`].
pub(super) const STATE: &str = "/v1/pools/{pool}/servers/{server}/state";
/// The route of [`close_tunnels`].
pub(super) const CLOSE_TUNNELS: &str = "/v1/pools/{pool}/servers/{server}/close-tunnels";

type Named = Path<(String, String)>;

pub(super) async fn weight(
    State(source): State<Arc<dyn Source>>,
    Path((pool, server)): Named,
    body: String,
) -> Response {
    let weight = body.trim().parse().ok().filter(|weight| *weight <= 256);
    let Some(weight) = weight else {
        return not_understood("a weight is a number from 0 to 256");
    };
    let was = source.set_weight(&pool, &server, weight);
    answer(was.map(|was| Weighed {
        pool,
        server,
        weight,
        was,
    }))
}

pub(super) async fn state(
    State(source): State<Arc<dyn Source>>,
    Path((pool, server)): Named,
    body: String,
) -> Response {
    let mut words = AdminState::WORDS.iter();
    let Some((word, state)) = words.find(|(word, _)| *word == body.trim()) else {
        return not_understood("a state is \"ready\", \"drain\" or \"maintenance\"");
    };
    let was = source.set_state(&pool, &server, *state);
    answer(was.map(|was| Stated {
        pool,
        server,
        state: (*word).to_owned(),
        was: was.word().to_owned(),
    }))
}

pub(super) async fn close_tunnels(
    State(source): State<Arc<dyn Source>>,
    Path((pool, server)): Named,
    body: String,
) -> Response {
    let over = match body.trim() {
        "" => Ok(Duration::ZERO),
        text => config::duration(text),
    };
    let tunnels = match over {
        Ok(over) => source.close_tunnels(&pool, &server, over),
        Err(why) => return not_understood(&why),
    };
    answer(tunnels.map(|tunnels| Closed {
        pool,
        server,
        tunnels,
    }))
}

/// An error names what does not exist.
fn answer(done: Result<impl Serialize, String>) -> Response {
    match done {
        Ok(done) => Json(done).into_response(),
        Err(why) => (StatusCode::NOT_FOUND, format!("{why}\n")).into_response(),
    }
}

fn not_understood(why: &str) -> Response {
    (StatusCode::BAD_REQUEST, format!("{why}\n")).into_response()
}
