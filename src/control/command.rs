//! What an operator may change in a running server: so far its weight.
//!
//! ```text
//! PUT /v1/pools/POOL/servers/SERVER/weight      body: 0 to 256
//! 200 {"pool":"app","server":"node1","weight":50,"was":1}
//! ```
//!
//! 404 names what does not exist, 400 says what may be written. Who can write to the socket may do it: the mode
//! of its file is the lock, as for everything there.

use super::admin::Source;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

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

/// The route of [`weight`].
pub(super) const WEIGHT: &str = "/v1/pools/{pool}/servers/{server}/weight";

pub(super) async fn weight(
    State(source): State<Arc<dyn Source>>,
    Path((pool, server)): Path<(String, String)>,
    body: String,
) -> Response {
    let weight = body.trim().parse().ok().filter(|weight| *weight <= 256);
    let Some(weight) = weight else {
        return refusal(
            StatusCode::BAD_REQUEST,
            "a weight is a number from 0 to 256",
        );
    };
    match source.set_weight(&pool, &server, weight) {
        Ok(was) => Json(Weighed {
            pool,
            server,
            weight,
            was,
        })
        .into_response(),
        Err(why) => refusal(StatusCode::NOT_FOUND, &why),
    }
}

fn refusal(status: StatusCode, why: &str) -> Response {
    (status, format!("{why}\n")).into_response()
}
