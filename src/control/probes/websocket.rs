//! A check by a WebSocket handshake, which tungstenite closes.
//!
//! The handshake is a real one (RFC 6455 section 4.1): a fresh key, a 101 with the `Sec-WebSocket-Accept` that it asks
//! for, under the rules of traffic. Then the server receives a Close frame and has a moment to send its own; what it sends
//! meanwhile is dropped.

use super::exchange::{Parsing, exchange, request};
use super::tcp::Stream;
use crate::balance::Reason;
use crate::config::{Address, Asking};
use crate::wire::websocket::{accept_for, check_response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::StreamExt;
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

/// An open WebSocket that is to be closed.
pub(super) struct Farewell(WebSocketStream<Stream>);

/// Makes a handshake, or says what came instead.
pub(super) async fn ask(
    stream: Stream,
    asking: &Asking,
    address: &Address,
    parsing: &Parsing,
) -> Result<Farewell, Reason> {
    let mut key = [0; 24];
    STANDARD
        .encode_slice(fastrand::u128(..).to_ne_bytes(), &mut key)
        .expect("16 bytes are 24 characters of base64");
    // The usual spelling, which servers that compare names by case look for.
    let ours = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", &String::from_utf8_lossy(&key)),
    ];
    let request = request("GET", asking, address, &ours);
    let received = exchange(stream, &request, parsing).await?;
    match received.head.status {
        101 if check_response(&received.head, &received.buf, &accept_for(&key)) => {
            let rest = received.rest().to_vec();
            let stream = received.stream.into_inner();
            Ok(Farewell(
                WebSocketStream::from_partially_read(stream, rest, Role::Client, Some(bounds()))
                    .await,
            ))
        }
        101 => Err(Reason::WrongAccept),
        status => Err(Reason::Status(status)),
    }
}

impl Farewell {
    /// Closes as the protocol wants it, within [`PATIENCE`]; the outcome does not count for the check.
    pub(super) async fn say(self) {
        let mut socket = self.0;
        let close = async {
            let frame = CloseFrame {
                code: CloseCode::Normal,
                reason: "".into(),
            };
            if socket.close(Some(frame)).await.is_ok() {
                let mut received = 0;
                while let Some(Ok(message)) = socket.next().await {
                    received += message.len();
                    if received > RECEIVED_MAX {
                        break;
                    }
                }
            }
        };
        let _ = timeout(PATIENCE, close).await;
    }
}

/// What a server may send after the handshake, which nobody reads.
fn bounds() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .write_buffer_size(0)
        .max_message_size(Some(64 * 1024))
        .max_frame_size(Some(64 * 1024))
}

/// Bytes of messages that are read while a server's Close frame is awaited.
const RECEIVED_MAX: usize = 256 * 1024;

/// For a server to answer a Close frame.
const PATIENCE: Duration = Duration::from_secs(1);
