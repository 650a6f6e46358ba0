//! The facts of one finished (or just opened) connection, exchange or tunnel.

use std::net::SocketAddr;

/// One finished connection, exchange or tunnel, as the log sees it. Built once, formatted at once;
/// everything is borrowed from the worker.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// What ended (or, for [`Kind::TunnelOpened`], began).
    pub kind: Kind,
    /// When the request's first byte arrived (no byte: when the connection was accepted, or the
    /// exchange before it ended), in milliseconds since the Unix epoch. The date of the line.
    pub accepted_ms: u64,
    /// Now, likewise.
    pub now_ms: u64,
    /// The client's address; `None` over a unix socket (logged `unix:1`).
    pub client: Option<SocketAddr>,
    /// The listener's name.
    pub listener: &'a str,
    /// The pool's name; `None` when no route matched or none was needed (logged as the listener's name).
    pub pool: Option<&'a str>,
    /// The server's name; `None` is logged `<NOSRV>`.
    pub server: Option<&'a str>,
    /// Milliseconds of each phase.
    pub timers: Timers,
    /// The status sent to the client; 0 for none (logged `-1`).
    pub status: u16,
    /// Bytes sent to the client.
    pub bytes_out: u64,
    /// Bytes received from the client.
    pub bytes_in: u64,
    /// Who ended it, in which phase, and the cookie's story.
    pub termination: Termination,
    /// Connections at the moment of logging.
    pub counts: Counts,
    /// Connection attempts beyond the first.
    pub retries: u32,
    /// Whether the request moved to another server than first chosen (logged `+retries`).
    pub redispatched: bool,
    /// `GET`; empty when no request was understood (the request is then logged `<BADREQ>`).
    pub method: &'a [u8],
    /// The target as received. The line keeps the first [`TARGET_MAX`](super::TARGET_MAX) bytes of it.
    pub target: &'a [u8],
    /// `HTTP/1.1` minor version.
    pub minor: u8,
    /// Host as received, or empty.
    pub host: &'a [u8],
    /// The id given to the request, or empty.
    pub request_id: &'a [u8],
    /// Values of the listener's captured request fields, in order; empty for an absent one.
    pub captured_request: &'a [&'a [u8]],
    /// Likewise for the response.
    pub captured_response: &'a [&'a [u8]],
    /// Names of the captured fields, same order, also when no value was captured: they decide how
    /// many columns `{a|b}` has.
    pub capture_request_names: &'a [String],
    /// Likewise.
    pub capture_response_names: &'a [String],
    /// Why a message was refused: a word of [`crate::wire::Refusal`].
    pub refused: Option<&'static str>,
    /// Which byte of that message is the first wrong one, its head included.
    pub refused_at: Option<u64>,
    /// For tunnels.
    pub tunnel: Option<TunnelCounts>,
}

impl<'a> Record<'a> {
    /// A record in which nothing was reached, chosen or understood.
    pub fn empty(kind: Kind, accepted_ms: u64, now_ms: u64, listener: &'a str) -> Self {
        Self {
            kind,
            accepted_ms,
            now_ms,
            client: None,
            listener,
            pool: None,
            server: None,
            timers: Timers::NONE,
            status: 0,
            bytes_out: 0,
            bytes_in: 0,
            termination: Termination::default(),
            counts: Counts::default(),
            retries: 0,
            redispatched: false,
            method: b"",
            target: b"",
            minor: 1,
            host: b"",
            request_id: b"",
            captured_request: &[],
            captured_response: &[],
            capture_request_names: &[],
            capture_response_names: &[],
            refused: None,
            refused_at: None,
            tunnel: None,
        }
    }
}

/// What a record tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A request and its response (or its failure).
    Exchange,
    /// A tunnel was opened; a line so that it can be seen before it ends.
    TunnelOpened,
    /// A tunnel ended.
    TunnelEnded,
    /// A connection ended without a byte from the client (`skip_empty`).
    Empty,
}

/// Milliseconds as HAProxy's `TR/Tw/Tc/Tr/Ta`; -1 for a phase that was not reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// TR: first byte of the request to the end of its head.
    pub request: i64,
    /// Tw: in queues.
    pub queue: i64,
    /// Tc: until connected to the server, retries included.
    pub connect: i64,
    /// Tr: until the response's head.
    pub response: i64,
    /// Ta: first byte of the request to the last of the response.
    pub active: i64,
}

impl Timers {
    /// No phase was reached.
    pub const NONE: Self = Self {
        request: -1,
        queue: -1,
        connect: -1,
        response: -1,
        active: -1,
    };
}

/// HAProxy's four letters, e.g. `--VN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Termination {
    /// `-` normal, `C` client, `S` server, `P` proxy refused, `R` resource, `c` client timeout, `s` server timeout, `I` internal,
    /// `L` answered by the proxy itself, `K` killed by the operator, `D` killed because the server went down.
    pub cause: u8,
    /// `R` request, `Q` queue, `C` connect, `H` response head, `D` data, `L` last bytes, `T` tarpit, `-`.
    pub phase: u8,
    /// `N` none, `I` invalid, `D` down, `V` valid, `E` expired, `O` old, `U` unused, `-`.
    pub cookie_request: u8,
    /// `N` none, `I` inserted, `U` updated, `P` passed, `R` rewritten, `D` deleted, `-`.
    pub cookie_response: u8,
}

impl Default for Termination {
    /// `----`: nothing went wrong and no cookie mattered.
    fn default() -> Self {
        Self {
            cause: b'-',
            phase: b'-',
            cookie_request: b'-',
            cookie_response: b'-',
        }
    }
}

impl Termination {
    /// The letters as they stand in the line.
    pub fn letters(self) -> [u8; 4] {
        [
            self.cause,
            self.phase,
            self.cookie_request,
            self.cookie_response,
        ]
    }
}

/// HAProxy's `actconn/feconn/beconn/srv_conn` and `srv_queue/backend_queue`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Client connections in the process.
    pub process: u32,
    /// On this listener.
    pub listener: u32,
    /// Exchanges and tunnels in this pool.
    pub pool: u32,
    /// On this server.
    pub server: u32,
    /// Before this one in the server's queue.
    pub server_queue: u32,
    /// In the pool's queue.
    pub pool_queue: u32,
}

/// What went through a tunnel, each way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TunnelCounts {
    /// WebSocket messages from the client; counted only while `followed`.
    pub messages_in: u64,
    /// To the client.
    pub messages_out: u64,
    /// Bytes from the client after the handshake.
    pub bytes_in: u64,
    /// To the client.
    pub bytes_out: u64,
    /// False when `websocket.inspect` is off or the bytes were no valid frames.
    pub followed: bool,
}
