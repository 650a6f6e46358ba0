//! A check by a WebSocket handshake: hyper makes it and hands the connection over, tungstenite closes it.
//!
//! The handshake is a real one (RFC 6455 section 4.1): a fresh key, a 101 with the `Sec-WebSocket-Accept` that it asks
//! for. Then the server gets a Close frame and a moment to answer with its own; what it sends meanwhile is dropped.

use super::http::{Bounded, bounded, client, reason_of, request};
use super::tcp::Stream;
use crate::balance::Reason;
use crate::config::{Address, Asking};
use futures_util::StreamExt;
use hyper::body::Incoming;
use hyper::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use hyper::upgrade::Upgraded;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::pin::pin;
use std::time::Duration;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};

/// An open WebSocket that is to be closed.
pub(super) struct Farewell(WebSocketStream<TokioIo<Upgraded>>);

/// Makes a handshake, or says what came instead.
pub(super) async fn ask(
    stream: Stream,
    asking: &Asking,
    address: &Address,
) -> Result<Farewell, Reason> {
    let key = generate_key();
    let ours = [
        (CONNECTION, "Upgrade"),
        (UPGRADE, "websocket"),
        (SEC_WEBSOCKET_VERSION, "13"),
        (SEC_WEBSOCKET_KEY, &*key),
    ];
    let request = request("GET", asking, address, ours).ok_or(Reason::Failed)?;
    let stream: Bounded = bounded(stream);
    let handshake = client().handshake(stream).await;
    let (mut sender, connection) = handshake.map_err(|error| reason_of(&error))?;
    let mut answer = pin!(async {
        let answer = sender.send_request(request).await;
        let answer = answer.map_err(|error| reason_of(&error))?;
        judge(&answer, &key)?;
        let upgraded = hyper::upgrade::on(answer).await;
        upgraded.map_err(|error| reason_of(&error))
    });
    let upgraded = tokio::select! {
        biased;
        upgraded = &mut answer => upgraded,
        _ = connection.with_upgrades() => answer.await,
    }?;
    let io = TokioIo::new(upgraded);
    Ok(Farewell(
        WebSocketStream::from_raw_socket(io, Role::Client, Some(bounds())).await,
    ))
}

fn judge(answer: &Response<Incoming>, key: &str) -> Result<(), Reason> {
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(Reason::Status(answer.status().as_u16()));
    }
    let only = |name| {
        let mut values = answer.headers().get_all(name).iter();
        let first = values.next().filter(|_| values.next().is_none());
        first.and_then(|value| value.to_str().ok())
    };
    let upgrade = only(UPGRADE).unwrap_or("");
    let accept = only(SEC_WEBSOCKET_ACCEPT).unwrap_or("");
    match upgrade.eq_ignore_ascii_case("websocket") && accept == derive_accept_key(key.as_bytes()) {
        true => Ok(()),
        false => Err(Reason::WrongAccept),
    }
}

impl Farewell {
    /// Closes as the protocol wants it, within [`PATIENCE`]; how that ends is nobody's concern.
    pub(super) async fn say(self) {
        let mut socket = self.0;
        let close = async {
            let frame = CloseFrame {
                code: CloseCode::Normal,
                reason: "".into(),
            };
            if socket.close(Some(frame)).await.is_ok() {
                while let Some(Ok(_)) = socket.next().await {}
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

/// For a server to answer a Close frame.
const PATIENCE: Duration = Duration::from_secs(1);
