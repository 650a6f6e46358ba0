//! The demo's own little service under `/demo/`: state of the servers, kill, revive, and for the
//! curious the configuration and the end of the access log.
//!
//! It is reached through the proxy like any server, by a route of its own, so that the page needs
//! one origin only.

use std::io::{self, Read, Seek, SeekFrom};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::{self, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Serialize;
use tokio::net::TcpListener;

use super::node::Node;
use crate::cli::status;
use crate::control::status::{ServerStatus, Status};

/// What the controller speaks about.
pub(super) struct Demo {
    /// The servers, in the order of the configuration.
    pub(super) nodes: Vec<Node>,
    /// The running configuration's text.
    pub(super) config: String,
    /// The proxy's control socket.
    pub(super) control: PathBuf,
    /// Where the proxy writes its access log.
    pub(super) access_log: PathBuf,
}

/// Serves on `listener` for as long as the runtime lives.
pub(super) fn spawn(listener: TcpListener, demo: Arc<Demo>) {
    let router = Router::new()
        .route("/demo/state", get(state))
        .route("/demo/kill/{name}", post(kill))
        .route("/demo/revive/{name}", post(revive))
        .route(
            "/demo/config",
            get(async |State(demo): State<Arc<Demo>>| demo.config.clone()),
        )
        .route("/demo/log", get(log))
        .with_state(demo);
    tokio::spawn(async move { axum::serve(listener, router).await });
}

#[derive(Serialize)]
struct Server {
    name: &'static str,
    cookie: &'static str,
    address: SocketAddr,
    alive: bool,
    /// What the proxy says of it; it learns of a death from its checks.
    seen: Option<ServerStatus>,
}

async fn state(State(demo): State<Arc<Demo>>) -> Json<Vec<Server>> {
    let control = demo.control.clone();
    let seen = tokio::task::spawn_blocking(move || seen(&control)).await;
    let seen = seen.unwrap_or_default();
    let mut servers = Vec::with_capacity(demo.nodes.len());
    for node in &demo.nodes {
        let &Node {
            name,
            cookie,
            address,
            ..
        } = node;
        let seen = seen.iter().find(|server| server.name == name).cloned();
        servers.push(Server {
            name,
            cookie,
            address,
            alive: node.is_alive().await,
            seen,
        });
    }
    Json(servers)
}

/// What the proxy says of all servers; nothing while it does not answer.
fn seen(control: &Path) -> Vec<ServerStatus> {
    let answer = status::ask(control).ok();
    let status = answer.and_then(|text| serde_json::from_str::<Status>(&text).ok());
    let pools = status.map(|status| status.pools).unwrap_or_default();
    pools.into_iter().flat_map(|pool| pool.servers).collect()
}

type Answer = Result<Json<Vec<Server>>, (StatusCode, String)>;

async fn kill(
    demo: State<Arc<Demo>>,
    extract::Path(name): extract::Path<String>,
    head: HeaderMap,
) -> Answer {
    find(&demo, &name, &head)?.kill().await;
    Ok(state(demo).await)
}

async fn revive(
    demo: State<Arc<Demo>>,
    extract::Path(name): extract::Path<String>,
    head: HeaderMap,
) -> Answer {
    let revived = find(&demo, &name, &head)?.revive().await;
    revived.map_err(|error| {
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("{name}: {error}"),
        )
    })?;
    Ok(state(demo).await)
}

/// The server called `name`. Asks for a field that a foreign page cannot set without a CORS
/// preflight, which nobody here answers: so no other site can press the buttons.
fn find<'a>(
    demo: &'a Demo,
    name: &str,
    head: &HeaderMap,
) -> Result<&'a Node, (StatusCode, String)> {
    if !head.contains_key("x-demo") {
        return Err((
            StatusCode::FORBIDDEN,
            "the field X-Demo is missing".to_owned(),
        ));
    }
    let node = demo.nodes.iter().find(|node| node.name == name);
    node.ok_or_else(|| (StatusCode::NOT_FOUND, format!("no server {name}")))
}

/// The last lines of the access log that are not about this service.
async fn log(State(demo): State<Arc<Demo>>) -> Result<String, (StatusCode, String)> {
    let end = tail(&demo.access_log, LOG_BYTES)
        .map_err(|error| (StatusCode::NOT_FOUND, format!("no access log: {error}")))?;
    let lines: Vec<&str> = end
        .lines()
        .filter(|line| !line.contains(" /demo/"))
        .collect();
    Ok(lines[lines.len().saturating_sub(LOG_LINES)..].join("\n"))
}

/// Whole lines at the end of a file, at most `bytes` of them.
fn tail(path: &Path, bytes: u64) -> io::Result<String> {
    let mut file = std::fs::File::open(path)?;
    let start = file.metadata()?.len().saturating_sub(bytes);
    file.seek(SeekFrom::Start(start))?;
    let mut text = Vec::new();
    file.take(bytes).read_to_end(&mut text)?;
    let text = String::from_utf8_lossy(&text).into_owned();
    Ok(match text.split_once('\n') {
        Some((_, whole)) if start > 0 => whole.to_owned(),
        _ => text,
    })
}

/// Bytes of the access log that are looked at.
const LOG_BYTES: u64 = 256 * 1024;
/// Lines of it that are shown.
const LOG_LINES: usize = 40;
