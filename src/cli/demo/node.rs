//! One of the demo's two servers: the page, and a WebSocket that answers every message with its name.
//!
//! It remembers in memory how many messages each session sent, so that one sees why a session
//! belongs back on its server. A life of it is a thread with a runtime of its own; killing it drops
//! that runtime, and with it the listener, every socket and the memory at once, as a crash would.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{Html, IntoResponse};
use axum::routing::get;
use serde::{Deserialize, Serialize};
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::{Mutex, oneshot};

/// A server that can be killed and revived, always at the same address.
#[derive(Debug)]
pub(super) struct Node {
    /// Its name in the configuration and in every answer.
    pub(super) name: &'static str,
    /// Its key in the sticky cookie.
    pub(super) cookie: &'static str,
    /// Where it listens while it lives.
    pub(super) address: SocketAddr,
    /// Bound and never listening: keeps the port ours while the server is dead. Connections are
    /// refused meanwhile, and the kernel lends the port to no outgoing connection.
    _place: Socket,
    life: Mutex<Option<Life>>,
}

/// From birth to death; dropping it is death too.
#[derive(Debug)]
struct Life {
    end: oneshot::Sender<()>,
    thread: JoinHandle<()>,
}

impl Node {
    /// A server on a free loopback port, not alive yet.
    pub(super) fn new(name: &'static str, cookie: &'static str) -> io::Result<Self> {
        let place = bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = place
            .local_addr()?
            .as_socket()
            .expect("bound to an IPv4 address");
        Ok(Self {
            name,
            cookie,
            address,
            _place: place,
            life: Mutex::new(None),
        })
    }

    /// Whether it listens.
    pub(super) async fn is_alive(&self) -> bool {
        self.life.lock().await.is_some()
    }

    /// Listens again, with an empty memory; nothing happens when it is alive.
    ///
    /// # Errors
    ///
    /// When the kernel gives no socket or no thread.
    pub(super) async fn revive(&self) -> io::Result<()> {
        let mut life = self.life.lock().await;
        if life.is_none() {
            *life = Some(self.begin()?);
        }
        Ok(())
    }

    /// Closes its listener and all of its sockets at once; nothing happens when it is dead.
    pub(super) async fn kill(&self) {
        if let Some(Life { end, thread }) = self.life.lock().await.take() {
            drop(end);
            // Takes as long as closing a few sockets; and then nothing of it is left for sure.
            let _ = thread.join();
        }
    }

    fn begin(&self) -> io::Result<Life> {
        let socket = bind(self.address)?;
        socket.listen(128)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let router = router(self.name);
        let (end, ended) = oneshot::channel();
        let thread = thread::Builder::new()
            .name(self.name.to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    let listener = TcpListener::from_std(socket.into())
                        .expect("a listening, non-blocking socket");
                    tokio::select! {
                        _ = axum::serve(listener, router) => {}
                        _ = ended => {}
                    }
                });
            })?;
        Ok(Life { end, thread })
    }
}

/// A non-blocking TCP socket bound to `address`, beside others that are bound and do not listen.
pub(super) fn bind(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        None,
    )?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// What one life knows.
struct Memory {
    server: &'static str,
    page: String,
    /// Messages by session.
    sessions: Mutex<HashMap<String, u64>>,
}

fn router(server: &'static str) -> Router {
    let page = include_str!("page.html").replace("@SERVER@", server);
    let memory = Memory {
        server,
        page,
        sessions: Mutex::default(),
    };
    Router::new()
        .route("/", get(page_of))
        .route("/ws", get(upgrade))
        .with_state(Arc::new(memory))
}

async fn page_of(State(memory): State<Arc<Memory>>) -> impl IntoResponse {
    (
        [(header::CACHE_CONTROL, "no-cache")],
        Html(memory.page.clone()),
    )
}

#[derive(Deserialize)]
struct Asked {
    /// A name that the page made up for its browser; empty is nobody's.
    #[serde(default)]
    session: String,
}

async fn upgrade(
    State(memory): State<Arc<Memory>>,
    Query(Asked { session }): Query<Asked>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> impl IntoResponse {
    upgrade
        .max_message_size(MESSAGE_SIZE)
        .on_upgrade(move |socket| converse(socket, memory, session, headers))
}

/// What the server says, as JSON.
#[derive(Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Said<'a> {
    /// Once, first: who speaks, and what reached it of the handshake's head.
    Hello {
        server: &'a str,
        /// Messages that this session sent to this life of this server before.
        memory: u64,
        cookie: Option<&'a str>,
        forwarded_for: Option<&'a str>,
        request_id: Option<&'a str>,
    },
    /// To every message, in order.
    Echo {
        server: &'a str,
        memory: u64,
        text: &'a str,
    },
}

impl Said<'_> {
    fn message(&self) -> Message {
        Message::text(serde_json::to_string(self).expect("strings and numbers only"))
    }
}

/// Until either side ends it. An empty message is the page's heartbeat: echoed, not remembered.
async fn converse(mut socket: WebSocket, memory: Arc<Memory>, session: String, head: HeaderMap) {
    let field = |name: &str| head.get(name).and_then(|value| value.to_str().ok());
    let hello = Said::Hello {
        server: memory.server,
        memory: memory.recall(&session).await,
        cookie: field("cookie"),
        forwarded_for: field("x-forwarded-for"),
        request_id: field("x-request-id"),
    };
    let mut answer = hello.message();
    while socket.send(answer).await.is_ok() {
        let text = loop {
            match socket.recv().await {
                Some(Ok(Message::Text(text))) => break text,
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            }
        };
        if !text.is_empty() {
            memory.remember(&session).await;
        }
        let count = memory.recall(&session).await;
        answer = Said::Echo {
            server: memory.server,
            memory: count,
            text: &text,
        }
        .message();
    }
}

impl Memory {
    async fn recall(&self, session: &str) -> u64 {
        self.sessions
            .lock()
            .await
            .get(session)
            .copied()
            .unwrap_or(0)
    }

    /// Counts a message; new sessions beyond the bound are not remembered.
    async fn remember(&self, session: &str) {
        let mut sessions = self.sessions.lock().await;
        if let Some(count) = sessions.get_mut(session) {
            *count += 1;
        } else if sessions.len() < SESSIONS && (1..=SESSION_NAME).contains(&session.len()) {
            sessions.insert(session.to_owned(), 1);
        }
    }
}

/// Sessions that one life remembers.
const SESSIONS: usize = 1024;
/// Bytes in a session's name.
const SESSION_NAME: usize = 64;
/// Bytes in a message.
const MESSAGE_SIZE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[tokio::test]
    async fn a_dead_node_refuses_and_a_revived_one_has_the_same_address() {
        let node = Node::new("node1", "bridge1").expect("a free port");
        assert!(!node.is_alive().await);
        assert!(TcpStream::connect(node.address).is_err());
        for _ in 0..3 {
            node.revive().await.expect("to live");
            assert!(node.is_alive().await);
            assert!(TcpStream::connect(node.address).is_ok());
            node.kill().await;
            assert!(!node.is_alive().await);
            assert!(TcpStream::connect(node.address).is_err());
        }
    }

    #[tokio::test]
    async fn memory_is_bounded_and_nameless_sessions_have_none() {
        let memory = Memory {
            server: "node1",
            page: String::new(),
            sessions: Mutex::default(),
        };
        memory.remember("").await;
        memory.remember(&"x".repeat(SESSION_NAME + 1)).await;
        assert_eq!(memory.sessions.lock().await.len(), 0);
        for session in 0..2 * SESSIONS {
            memory.remember(&session.to_string()).await;
        }
        assert_eq!(memory.sessions.lock().await.len(), SESSIONS);
        memory.remember("0").await;
        assert_eq!(memory.recall("0").await, 2);
    }
}
