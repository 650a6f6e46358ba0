//! Both ends of a tunnel for measuring: a client that shakes hands, and messages of a given size.

use crate::config::Address;
use crate::ring::{self, Duplex, NotDialled, Received, Stream};
use crate::wire::response::ResponseHead;
use crate::wire::websocket::{self, FrameTracker, From};
use crate::wire::{HeadLimits, Progress};
use std::cell::Cell;
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::Poll;

/// Where tunnels are opened.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// The address to connect to.
    pub(super) address: Address,
    /// The `Host` field.
    pub(super) host: String,
    /// Path and query.
    pub(super) path: String,
}

/// A client's tunnel that stands.
pub(super) struct Tunnel {
    stream: Stream,
    tracker: FrameTracker,
    /// The message that is sent each time, as a frame.
    frame: Vec<u8>,
}

/// Why there is no tunnel, or no longer.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection could not be made or broke.
    Io(io::Error),
    /// The other side has ended.
    Ended,
    /// An answer that is no handshake: its status line.
    Refused(String),
    /// What came back is no WebSocket.
    NoFrames,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Ended => f.write_str("the other side ended a tunnel"),
            Self::Refused(line) => write!(f, "no tunnel: {line}"),
            Self::NoFrames => f.write_str("what comes back are no WebSocket frames"),
        }
    }
}

impl std::convert::From<io::Error> for Broken {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Tunnel {
    /// Connects and shakes hands (RFC 6455 section 4.1). Messages will have `size` bytes.
    pub(super) async fn open(target: &Target, size: usize) -> Result<Self, Broken> {
        let stream = connect(&target.address).await?;
        let key = next_key();
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: http://{}\r\n\
             Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n\r\n",
            target.path,
            target.host,
            target.host,
            str::from_utf8(&key).expect("base64"),
        );
        send_all(&stream, request.as_bytes()).await?;
        let mut tracker = FrameTracker::new(From::Server);
        shake_hands(&stream, &websocket::accept_for(&key), &mut tracker).await?;
        Ok(Self {
            stream,
            tracker,
            frame: frame(size),
        })
    }

    /// Sends one message.
    pub(super) async fn send(&self) -> Result<(), Broken> {
        send_all(&self.stream, &self.frame).await
    }

    /// Sends as much as is taken at once of messages one after the other; `begun` are the bytes of the present one
    /// that went before. Returns how many were completed.
    pub(super) fn push(&self, begun: &mut usize, most: u64) -> Result<u64, Broken> {
        let mut done = 0;
        while done < most {
            let sent = self.stream.try_send(&self.frame[*begun..])?;
            if sent == 0 {
                break;
            }
            *begun += sent;
            if *begun == self.frame.len() {
                *begun = 0;
                done += 1;
            }
        }
        Ok(done)
    }

    /// Messages that have come back whole.
    pub(super) fn messages(&self) -> u64 {
        self.tracker.messages()
    }

    /// Waits for something, and follows it.
    pub(super) async fn receive(&mut self) -> Result<(), Broken> {
        self.stream.readable().await?;
        while self.take()? {}
        Ok(())
    }

    /// Waits until something has come, or, if `sending`, until more can be sent.
    pub(super) async fn ready(&self, sending: bool) -> Result<(), Broken> {
        let (mut readable, mut writable) =
            (pin!(self.stream.readable()), pin!(self.stream.writable()));
        std::future::poll_fn(|cx| match readable.as_mut().poll(cx) {
            Poll::Pending if sending => writable.as_mut().poll(cx),
            readable => readable,
        })
        .await?;
        Ok(())
    }

    /// Whether it can be read from, or has ended.
    pub(super) async fn readable(&self) -> Result<(), Broken> {
        Ok(self.stream.readable().await?)
    }

    /// Takes what is there; true when there may be more.
    pub(super) fn take(&mut self) -> Result<bool, Broken> {
        let (stream, tracker) = (&self.stream, &mut self.tracker);
        ring::with_scratch(|scratch| match stream.try_recv(scratch)? {
            Received::Bytes(count) => {
                tracker.advance(&scratch[..count]);
                match tracker.is_followed() {
                    true => Ok(count == scratch.len()),
                    false => Err(Broken::NoFrames),
                }
            }
            Received::Empty => Ok(false),
            Received::Closed => Err(Broken::Ended),
        })
    }
}

/// Connects, from whatever address and port the kernel takes.
///
/// # Errors
/// Those of socket(2) and connect(2).
pub async fn connect(address: &Address) -> io::Result<Stream> {
    let dialled = ring::dial(address, None).map_err(|refused| match refused {
        NotDialled::NoSource(error) | NotDialled::NoPort(error) | NotDialled::Failed(error) => {
            error
        }
    })?;
    dialled.connected().await
}

/// Sends all of it.
pub(super) async fn send_all(stream: &Stream, mut bytes: &[u8]) -> Result<(), Broken> {
    while !bytes.is_empty() {
        match stream.try_send(bytes)? {
            0 => stream.writable().await?,
            sent => bytes = &bytes[sent..],
        }
    }
    Ok(())
}

async fn shake_hands(
    stream: &Stream,
    accept: &websocket::Accept,
    tracker: &mut FrameTracker,
) -> Result<(), Broken> {
    let limits = HeadLimits::default();
    let (mut head, mut bytes) = (ResponseHead::new(&limits), Vec::new());
    loop {
        stream.readable().await?;
        let closed = ring::with_scratch(|scratch| match stream.try_recv(scratch)? {
            Received::Bytes(count) => {
                bytes.extend_from_slice(&scratch[..count]);
                io::Result::Ok(false)
            }
            Received::Empty => Ok(false),
            Received::Closed => Ok(true),
        })?;
        match head.parse(&bytes, 0, &limits) {
            Ok(Progress::Complete) if websocket::check_response(&head, &bytes, accept) => {
                tracker.advance(&bytes[head.size..]);
                return Ok(());
            }
            Ok(Progress::Partial) if closed => return Err(Broken::Ended),
            Ok(Progress::Partial) => {}
            Ok(Progress::Complete) | Err(_) => {
                let line = String::from_utf8_lossy(&bytes);
                return Err(Broken::Refused(
                    line.lines().next().unwrap_or_default().to_owned(),
                ));
            }
        }
    }
}

/// A binary message as a client sends it (RFC 6455 section 5.2), always with the same mask: the other end is ours or
/// does not care.
fn frame(size: usize) -> Vec<u8> {
    let mut frame = header(size, 0x80);
    frame.extend_from_slice(&MASK);
    frame.extend((0..size).map(|at| b'm' ^ MASK[at % 4]));
    frame
}

/// First and second byte and what follows of the length.
pub(super) fn header(size: usize, masked: u8) -> Vec<u8> {
    let mut header = vec![0x82];
    match size {
        0..=125 => header.push(masked | size as u8),
        126..=65_535 => {
            header.push(masked | 126);
            header.extend_from_slice(&(size as u16).to_be_bytes());
        }
        _ => {
            header.push(masked | 127);
            header.extend_from_slice(&(size as u64).to_be_bytes());
        }
    }
    header
}

/// 16 bytes in base64 that no other tunnel of this thread has; nothing here depends on their being random.
fn next_key() -> websocket::Key {
    use base64::Engine as _;
    thread_local!(static NEXT: Cell<u64> = const { Cell::new(0) });
    let number = NEXT.replace(NEXT.get() + 1);
    let mut raw = [0x5a; 16];
    raw[..8].copy_from_slice(&number.to_be_bytes());
    let mut key = [0; 24];
    base64::engine::general_purpose::STANDARD
        .encode_slice(raw, &mut key)
        .expect("16 bytes are 24 characters");
    key
}

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
