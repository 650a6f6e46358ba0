//! The server that answers with vectors: what a request's target asks for.
//!
//! `/say/WORD` is answered in order, `/vector/N/DELIVERY/LINGER` and `/twin/N/DELIVERY/LINGER` with the bytes of a
//! vector or its twin. The connection is then kept: a proxy that thinks it can go on with it does. One that waits for
//! the end gets it after so many milliseconds.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use super::corpus::{End, Vector};
use super::delivery::Delivery;
use super::reading;
use super::support::Port;

/// Listens for as long as the test program runs.
pub struct Origin {
    port: Port,
}

impl Origin {
    pub fn start(vectors: &Arc<Vec<Vector>>) -> Self {
        let port = Port::v4();
        let listener: TcpListener = port.listen(1024).into();
        let vectors = Arc::clone(vectors);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let vectors = Arc::clone(&vectors);
                std::thread::spawn(move || serve(stream.unwrap(), &vectors));
            }
        });
        Self { port }
    }

    pub fn address(&self) -> String {
        self.port.address.to_string()
    }
}

/// How long a connection is kept after an answer in order.
const IDLE: Duration = Duration::from_secs(5);

fn serve(mut stream: TcpStream, vectors: &[Vector]) {
    let _ = stream.set_nodelay(true);
    let (mut held, mut wait) = (Vec::new(), IDLE);
    while let Some(target) = request(&mut stream, &mut held, wait) {
        match answer(&mut stream, &target, vectors) {
            Some(linger) => wait = linger,
            None => return,
        }
    }
    let _ = stream.shutdown(Shutdown::Write);
}

/// The target of the next request.
fn request(stream: &mut TcpStream, held: &mut Vec<u8>, wait: Duration) -> Option<String> {
    let mut room = [0; 16_384];
    stream.set_read_timeout(Some(wait)).ok()?;
    loop {
        if let Some((_, used)) = reading::read(held).ok()? {
            let line = String::from_utf8_lossy(held).into_owned();
            held.drain(..used);
            return Some(line.split(' ').nth(1)?.to_owned());
        }
        match stream.read(&mut room) {
            Ok(count) if count > 0 => held.extend_from_slice(&room[..count]),
            _ => return None,
        }
    }
}

/// Says for how long the connection stays.
fn answer(stream: &mut TcpStream, target: &str, vectors: &[Vector]) -> Option<Duration> {
    let words: Vec<&str> = target.split('/').collect();
    let (kind, number, delivery, linger) = match words[..] {
        ["", "say", word] => {
            let length = word.len();
            let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{word}");
            stream.write_all(text.as_bytes()).ok()?;
            return Some(IDLE);
        }
        ["", kind, number, delivery, linger] => (kind, number, delivery, linger),
        _ => return None,
    };
    let vector = &vectors[number.parse::<usize>().ok()?];
    let script = if kind == "twin" {
        &vector.twin
    } else {
        &vector.script
    };
    let delivery: Delivery = delivery.parse().ok()?;
    let sent = delivery.send(script, stream);
    match script.end {
        End::Stay => sent
            .ok()
            .and_then(|()| Some(Duration::from_millis(linger.parse().ok()?))),
        End::Close => None,
        End::Reset => {
            let _ = socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
            None
        }
    }
}
