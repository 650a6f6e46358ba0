//! WebSocket on raw sockets: just enough of RFC 6455 for two ends that trust each other.
//!
//! A unit is a message and its echo: two frames through the proxy. The client's frame is masked and checked
//! by the server as any server must; a resting end waits for readiness and holds no buffer.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};
use sha1::{Digest, Sha1};

use crate::Aim;
use crate::tally::Tally;

/// Opens that many tunnels, some at a time; with `touch`, each carries one message and its echo.
pub(crate) async fn open_all(aim: &Aim, tunnels: usize, touch: bool) -> io::Result<Vec<TcpStream>> {
    let open = Rc::new(RefCell::new(Vec::with_capacity(tunnels)));
    let openers: Vec<_> = (0..OPENERS)
        .map(|opener| {
            let (aim, open) = (aim.clone(), open.clone());
            let share = tunnels / OPENERS + usize::from(opener < tunnels % OPENERS);
            monoio::spawn(async move {
                for _ in 0..share {
                    let mut stream = shake_hands(&aim).await?;
                    if touch {
                        round_trip(&mut stream, frame(), Vec::with_capacity(BUFFER)).await?;
                    }
                    open.borrow_mut().push(stream);
                }
                io::Result::Ok(())
            })
        })
        .collect();
    for opener in openers {
        opener.await?;
    }
    Ok(open.take())
}

/// Lets the first `active` tunnels carry messages for ever; the others rest.
pub(crate) fn start_talk(open: Vec<TcpStream>, active: usize, tally: &Tally) {
    for (number, mut stream) in open.into_iter().enumerate() {
        let tally = tally.clone();
        monoio::spawn(async move {
            if number >= active {
                let _ = stream.readable(false).await;
                return tally.error(&"something came through a resting tunnel");
            }
            let mut buffers = (frame(), Vec::with_capacity(BUFFER));
            loop {
                let begun = Instant::now();
                match round_trip(&mut stream, buffers.0, buffers.1).await {
                    Ok(returned) => buffers = returned,
                    Err(error) => return tally.error(&error),
                }
                tally.unit(begun.elapsed());
            }
        });
    }
}

/// Sends a frame and reads its echo; gives the buffers back.
async fn round_trip(
    stream: &mut TcpStream,
    frame: Vec<u8>,
    mut buffer: Vec<u8>,
) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (sent, frame) = stream.write_all(frame).await;
    sent?;
    buffer.clear();
    while buffer.len() < ECHO {
        buffer = read_more(stream, buffer).await?;
    }
    if buffer.len() != ECHO
        || buffer[..2] != [0x82, PAYLOAD as u8]
        || buffer[2..].iter().any(|&byte| byte != FILL)
    {
        return Err(io::Error::other("an echo is not what was sent"));
    }
    Ok((frame, buffer))
}

/// The opening handshake of RFC 6455 section 4.1, its answer checked.
async fn shake_hands(aim: &Aim) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect_addr(aim.target).await?;
    stream.set_nodelay(true)?;
    let request = format!(
        "GET /socket HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nOrigin: http://{}\r\n\
         Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\nCookie: theme=dark\r\n\r\n",
        aim.host, aim.host
    );
    stream.write_all(request.into_bytes()).await.0?;
    let head = read_head(&mut stream, Vec::with_capacity(1_024)).await?;
    let text = String::from_utf8_lossy(&head);
    if !text.starts_with("HTTP/1.1 101 ") || !text.contains(&accept(KEY)) {
        return Err(io::Error::other(format!(
            "no tunnel: {}",
            text.lines().next().unwrap_or_default()
        )));
    }
    Ok(stream)
}

/// Serves WebSocket handshakes and echoes frames.
pub(crate) fn start_server(address: SocketAddr) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    monoio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            monoio::spawn(async move {
                // However the other end leaves, it is told to the one who asked: the load.
                let _ = serve(stream).await;
            });
        }
    });
    Ok(())
}

async fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let Ok(head) = read_head(&mut stream, Vec::with_capacity(1_024)).await else {
        return Ok(()); // a health check
    };
    let head = String::from_utf8_lossy(&head).into_owned();
    let key = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("sec-websocket-key")
            .then(|| value.trim())
    });
    let Some(key) = key else {
        return Err(io::Error::other("a handshake without a key"));
    };
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {}\r\n\r\n",
        accept(key)
    );
    stream.write_all(answer.into_bytes()).await.0?;
    echo(&mut stream).await
}

/// Reads frames of at most 125 bytes and sends their payload back, several at once when several have come.
async fn echo(stream: &mut TcpStream) -> io::Result<()> {
    let (mut received, mut answer) = (Vec::new(), Vec::new());
    loop {
        if received.is_empty() {
            // At rest: no buffer is held while nothing comes.
            (received, answer) = (Vec::new(), Vec::new());
            stream.readable(false).await?;
            received.reserve(BUFFER);
        }
        received = read_more(stream, received).await?;
        let used = answer_frames(&received, &mut answer)?;
        received.drain(..used);
        let (sent, buffer) = stream.write_all(answer).await;
        sent?;
        answer = buffer;
        answer.clear();
    }
}

/// Appends an echo of every complete frame to `answer`; returns the bytes that those took.
fn answer_frames(received: &[u8], answer: &mut Vec<u8>) -> io::Result<usize> {
    let mut used = 0;
    while let [first, second, rest @ ..] = &received[used..] {
        let length = usize::from(second & 0x7f);
        if second & 0x80 == 0 || length > 125 {
            return Err(io::Error::other("a frame that the load never sends"));
        }
        let Some((mask, rest)) = rest.split_first_chunk::<4>() else {
            break;
        };
        let Some(payload) = rest.get(..length) else {
            break;
        };
        answer.extend_from_slice(&[*first, length as u8]);
        answer.extend(
            payload
                .iter()
                .zip(mask.iter().cycle())
                .map(|(byte, key)| byte ^ key),
        );
        used += 6 + length;
    }
    Ok(used)
}

/// Reads until an empty line; nothing may follow it.
async fn read_head(stream: &mut TcpStream, mut buffer: Vec<u8>) -> io::Result<Vec<u8>> {
    while !buffer.ends_with(b"\r\n\r\n") {
        buffer = read_more(stream, buffer).await?;
    }
    Ok(buffer)
}

/// Reads once, behind what the buffer holds.
async fn read_more(stream: &mut TcpStream, mut buffer: Vec<u8>) -> io::Result<Vec<u8>> {
    let held = buffer.len();
    buffer.reserve(PAYLOAD * 4);
    let room = buffer.capacity();
    let (read, slice) = stream
        .read(monoio::buf::IoBufMut::slice_mut(buffer, held..room))
        .await;
    if read? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(slice.into_inner())
}

/// A binary message as a client sends it.
fn frame() -> Vec<u8> {
    let mut frame = vec![0x82, 0x80 | PAYLOAD as u8];
    frame.extend_from_slice(&MASK);
    frame.extend((0..PAYLOAD).map(|at| FILL ^ MASK[at % 4]));
    frame
}

/// The answer to a key (RFC 6455 section 4.2.2, item 5.4).
fn accept(key: &str) -> String {
    STANDARD.encode(Sha1::digest(format!(
        "{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    )))
}

/// Bytes in a message.
const PAYLOAD: usize = 64;
/// Bytes in its echo: no mask, so a header of two.
const ECHO: usize = PAYLOAD + 2;
const FILL: u8 = b'm';
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const BUFFER: usize = 1_024;
/// Handshakes under way at a time.
const OPENERS: usize = 32;
