//! `ringbolt bench serve`: a WebSocket server that sends every message back, to be put behind the proxy that is
//! measured.

use super::tunnel::{Broken, header, send_all};
use crate::ring::{self, Accepted, Duplex, Listener, Received, Stream};
use crate::wire::request::RequestHead;
use crate::wire::{HeadLimits, Progress, websocket};
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::SocketAddr;

/// Listens there and serves for as long as the thread lives.
///
/// # Errors
/// The address cannot be listened on.
pub(super) fn start(address: SocketAddr) -> io::Result<()> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        None,
    )?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(4_096)?;
    let listener = Listener::adopt(socket.into())?;
    ring::spawn(async move {
        while listener.readable().await.is_ok() {
            while let Accepted::Client(stream, _) = listener.accept() {
                ring::spawn(async move {
                    // However the other end leaves, it is told to the one who asked: the client.
                    let _ = serve(&stream).await;
                });
            }
        }
    });
    Ok(())
}

async fn serve(stream: &Stream) -> Result<(), Broken> {
    let limits = HeadLimits::default();
    let (mut head, mut inbox, mut out) = (RequestHead::new(&limits), Vec::new(), Vec::new());
    while head
        .parse(&inbox, 0, &limits)
        .map_err(|_| Broken::NoFrames)?
        == Progress::Partial
    {
        receive(stream, &mut inbox).await?;
    }
    let key = websocket::check_request(&head, &inbox).map_err(|_| Broken::NoFrames)?;
    inbox.drain(..head.size);
    let accept = websocket::accept_for(&key);
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ";
    send_all(stream, &[answer.as_bytes(), &accept, b"\r\n\r\n"].concat()).await?;
    drop(head);
    loop {
        let used = answer_frames(&inbox, &mut out)?;
        inbox.drain(..used);
        send_all(stream, &out).await?;
        out.clear();
        if inbox.is_empty() {
            // At rest: no buffer is held while nothing comes.
            (inbox, out) = (Vec::new(), Vec::new());
        }
        receive(stream, &mut inbox).await?;
    }
}

async fn receive(stream: &Stream, inbox: &mut Vec<u8>) -> Result<(), Broken> {
    stream.readable().await?;
    ring::with_scratch(|scratch| match stream.try_recv(scratch)? {
        Received::Bytes(count) => {
            inbox.extend_from_slice(&scratch[..count]);
            Ok(())
        }
        Received::Empty => Ok(()),
        Received::Closed => Err(Broken::Ended),
    })
}

/// Appends an echo of every complete frame to `out`; returns the bytes that those took. A close frame is echoed like
/// any other, which is what RFC 6455 section 5.5.1 wants.
fn answer_frames(received: &[u8], out: &mut Vec<u8>) -> Result<usize, Broken> {
    let mut used = 0;
    while let Some((size, start)) = frame_at(&received[used..])? {
        let Some(payload) = received.get(used + start..used + start + size) else {
            break;
        };
        let mask = &received[used + start - 4..used + start];
        let first = out.len();
        out.extend_from_slice(&header(size, 0));
        out[first] = received[used];
        let pairs = payload.iter().zip(mask.iter().cycle());
        out.extend(pairs.map(|(byte, key)| byte ^ key));
        used += start + size;
    }
    Ok(used)
}

/// Payload's size, and where it begins, of the masked frame at the front; `None` while its header is not whole.
fn frame_at(bytes: &[u8]) -> Result<Option<(usize, usize)>, Broken> {
    let [_, second, rest @ ..] = bytes else {
        return Ok(None);
    };
    if second & 0x80 == 0 {
        return Err(Broken::NoFrames);
    }
    let (size, length) = match (second & 0x7f, rest) {
        (126, [a, b, ..]) => (u64::from(u16::from_be_bytes([*a, *b])), 2),
        (127, rest) if rest.len() >= 8 => {
            let eight = rest[..8].try_into().expect("eight bytes");
            (u64::from_be_bytes(eight), 8)
        }
        (126 | 127, _) => return Ok(None),
        (size, _) => (u64::from(size), 0),
    };
    if size > MOST {
        return Err(Broken::NoFrames);
    }
    Ok((rest.len() >= length + 4).then_some((size as usize, 2 + length + 4)))
}

/// Longest message that is sent back.
const MOST: u64 = 16 << 20;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_unmasked_whole_or_in_pieces() {
        for size in [0_usize, 1, 125, 126, 65_535, 65_536] {
            let mut frame = header(size, 0x80);
            frame.extend_from_slice(&[1, 2, 3, 4]);
            frame.extend((0..size).map(|at| b'x' ^ [1, 2, 3, 4][at % 4]));
            let mut out = Vec::new();
            for cut in [0, 1, frame.len() - 1] {
                assert_eq!(answer_frames(&frame[..cut], &mut out).unwrap(), 0, "{size}");
            }
            assert_eq!(answer_frames(&frame, &mut out).unwrap(), frame.len());
            let mut right = header(size, 0);
            right.extend(vec![b'x'; size]);
            assert_eq!(out, right, "{size}");
        }
        assert!(answer_frames(&[0x82, 5, 0, 0], &mut Vec::new()).is_err());
        assert!(answer_frames(&[0x82, 0xff, 1, 0, 0, 0, 0, 0, 0, 0], &mut Vec::new()).is_err());
    }
}
