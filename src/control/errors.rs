//! The last messages that were refused, as `ringbolt errors` shows them.
//!
//! The JSON is an interface: fields are added, never renamed.

use super::admin::Source;
use crate::record::{RefusedMessage, Stamp};
use crate::wire::Blame;
use axum::extract::State;
use axum::response::Json;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errors {
    /// Messages refused since the start.
    pub total: u64,
    /// The last of them, oldest first.
    pub messages: Vec<Refused>,
}

/// One refused message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// When, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The same for people, in UTC.
    pub time: String,
    /// `client` or `server`: who sent it.
    pub side: String,
    /// The client's address; `unix` over a unix socket.
    pub client: String,
    /// The listener's name.
    pub listener: String,
    /// The pool's name; `null` if none was chosen.
    pub pool: Option<String>,
    /// The server's name, likewise.
    pub server: Option<String>,
    /// The word of the log.
    pub reason: String,
    /// What it means.
    pub meaning: String,
    /// What to change.
    pub advice: String,
    /// Bytes of the message before the first wrong one, its head included.
    pub offset: u64,
    /// Part of its head, with secrets masked; empty if the fault is in its body.
    pub excerpt: Vec<ExcerptLine>,
}

/// A line of a refused head.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExcerptLine {
    /// Bytes of the message before it.
    pub offset: usize,
    /// Visible ASCII: other bytes are escaped, those of secrets are `*`.
    pub text: String,
    /// Where in the text the first wrong byte begins, if it is in this line.
    #[serde(default)]
    pub mark: Option<usize>,
}

impl Refused {
    fn of(message: &RefusedMessage) -> Self {
        let refusal = message.refusal;
        let lines = message.excerpt.as_ref().map(|excerpt| {
            let at = usize::try_from(message.offset).unwrap_or(usize::MAX);
            excerpt.lines(at).into_iter()
        });
        let mut time = Vec::new();
        Stamp::new(0).iso(message.at_ms, &mut time);
        Self {
            time_ms: message.at_ms,
            time: String::from_utf8_lossy(&time).into_owned(),
            side: match message.from {
                Blame::Client => "client",
                Blame::Server => "server",
            }
            .to_owned(),
            client: match message.client {
                Some(client) => client.to_string(),
                None => "unix".to_owned(),
            },
            listener: message.listener.to_string(),
            pool: message.pool.as_deref().map(str::to_owned),
            server: message.server.as_deref().map(str::to_owned),
            reason: refusal.word().to_owned(),
            meaning: refusal.meaning().to_owned(),
            advice: refusal.advice(message.from).to_owned(),
            offset: message.offset,
            excerpt: lines
                .into_iter()
                .flatten()
                .map(|line| ExcerptLine {
                    offset: line.offset,
                    text: line.text,
                    mark: line.mark,
                })
                .collect(),
        }
    }
}

pub(super) async fn errors(State(source): State<Arc<dyn Source>>) -> Json<Errors> {
    // A worker answers between two turns of its ring. One that does not is left out.
    let asked = source.ask_refused();
    let mut waits = 0;
    while !asked.is_complete() && waits < MOST_WAITS {
        waits += 1;
        tokio::time::sleep(WAIT).await;
    }
    let messages = asked.merged();
    Json(Errors {
        total: source.status().refused_messages.total(),
        messages: messages
            .iter()
            .map(|message| Refused::of(message))
            .collect(),
    })
}

/// Between two looks whether the workers have answered.
const WAIT: Duration = Duration::from_millis(5);
/// A second in all.
const MOST_WAITS: u32 = 200;
