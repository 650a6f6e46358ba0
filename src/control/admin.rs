//! The control thread's two HTTP servers, each on a unix socket of its own.
//!
//! The control socket is for people and programs on this machine: its file's mode is the lock. The
//! stats socket is for our workers, which hand on the requests that met `stats.path`; who asked is
//! settled here by basic authentication.

use super::admin_listener::AdminListener;
use super::status::Status;
use super::{auth, command, errors, page};
use crate::config::{AdminState, Stats};
use crate::worker::Collected;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
    REFERRER_POLICY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post, put};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// Where the servers' answers come from.
pub(super) trait Source: Send + Sync + 'static {
    /// How things are now.
    fn status(&self) -> Status;
    /// Asks every worker for the last messages that it refused.
    fn ask_refused(&self) -> Arc<Collected>;
    /// The `[stats]` table in force.
    fn stats(&self) -> Option<Stats>;
    /// Gives a server another weight, 0 to 256, and says which it had; an error names what does not exist.
    fn set_weight(&self, pool: &str, server: &str, weight: u16) -> Result<u16, String>;
    /// Takes the operator's word on a server, and says what it was before.
    fn set_state(&self, pool: &str, server: &str, state: AdminState) -> Result<AdminState, String>;
    /// Closes a server's tunnels, spread over this time, and says how many there are.
    fn close_tunnels(&self, pool: &str, server: &str, over: Duration) -> Result<u32, String>;
}

/// Serves both sockets until the runtime ends. To be called inside it.
pub(super) fn serve(control: OwnedFd, stats: OwnedFd, source: Arc<dyn Source>) -> io::Result<()> {
    let v1 = Router::new()
        .route("/v1/status", get(status))
        .route("/v1/health", get(health))
        .route("/v1/errors", get(errors::errors))
        .route(command::WEIGHT, put(command::weight))
        .route(command::STATE, put(command::state))
        .route(command::CLOSE_TUNNELS, post(command::close_tunnels))
        .with_state(Arc::clone(&source));
    let people = Router::new().fallback(stats_page).with_state(source);
    for (socket, router) in [(control, v1), (stats, people)] {
        let listener = AdminListener::new(socket)?;
        tokio::spawn(async move { axum::serve(listener, router).await });
    }
    Ok(())
}

async fn status(State(source): State<Arc<dyn Source>>) -> Json<Status> {
    Json(source.status())
}

/// 200 while every pool has a server that takes new sessions, 503 when one has none.
async fn health(State(source): State<Arc<dyn Source>>) -> (StatusCode, Json<serde_json::Value>) {
    let status = source.status();
    let empty: Vec<_> = status
        .pools
        .iter()
        .filter(|pool| pool.active == 0)
        .collect();
    let (code, word) = match (status.draining || status.lame_duck, empty.is_empty()) {
        (true, _) => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (false, true) => (StatusCode::OK, "ok"),
        (false, false) => (StatusCode::SERVICE_UNAVAILABLE, "pools without a server"),
    };
    let names: Vec<_> = empty.iter().map(|pool| &pool.name).collect();
    (
        code,
        Json(serde_json::json!({ "health": word, "pools_without_a_server": names })),
    )
}

async fn stats_page(State(source): State<Arc<dyn Source>>, request: Request) -> Response {
    let mut response = match source.stats() {
        None => StatusCode::NOT_FOUND.into_response(),
        Some(stats) => answer(
            &*source,
            &stats,
            request.method(),
            request.uri(),
            request.headers(),
        ),
    };
    let headers = response.headers_mut();
    // Workers would keep their links for a while, and with them the places of those who ask meanwhile.
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(NOTHING_FROM_ELSEWHERE),
    );
    response
}

const NOTHING_FROM_ELSEWHERE: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'";

fn answer(
    source: &dyn Source,
    stats: &Stats,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Response {
    let path = uri.path();
    let as_page = path.trim_end_matches('/') == stats.path.trim_end_matches('/');
    let as_json = path
        .strip_suffix(".json")
        .map(|path| path.trim_end_matches('/'))
        == Some(stats.path.trim_end_matches('/'))
        || as_page
            && uri
                .query()
                .is_some_and(|query| query.split('&').any(|p| p == "format=json"));
    if !as_page && !as_json {
        return StatusCode::NOT_FOUND.into_response();
    }
    if !auth::allows(stats, headers.get(AUTHORIZATION).map(HeaderValue::as_bytes)) {
        return challenge(&stats.realm);
    }
    if method != Method::GET && method != Method::HEAD {
        return (StatusCode::METHOD_NOT_ALLOWED, [("allow", "GET, HEAD")]).into_response();
    }
    let known = !stats.users.is_empty();
    let mut status = source.status();
    if as_json {
        if !known {
            conceal(&mut status);
        }
        return Json(status).into_response();
    }
    let json = format!("{}.json", stats.path.trim_end_matches('/'));
    let html = page::page(&status, stats.refresh.as_secs(), known, &json);
    ([(CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response()
}

/// What a stranger has no use for.
fn conceal(status: &mut Status) {
    status.version.clear();
    status.driver.clear();
    status.sandbox.clear();
    status.refused_reload = None;
    (status.pid, status.launcher) = (0, 0);
}

fn challenge(realm: &str) -> Response {
    let realm = realm.replace('\\', "\\\\").replace('"', "\\\"");
    let value = format!("Basic realm=\"{realm}\", charset=\"UTF-8\"");
    let value = HeaderValue::try_from(value)
        .unwrap_or_else(|_| HeaderValue::from_static("Basic realm=\"Ringbolt\""));
    (
        StatusCode::UNAUTHORIZED,
        [(WWW_AUTHENTICATE, value)],
        "authentication is needed\n",
    )
        .into_response()
}
