//! A client that speaks raw bytes to a proxy and keeps what it is answered.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::corpus::Script;
use super::delivery::Delivery;

pub struct Client {
    stream: TcpStream,
    /// What came.
    pub held: Vec<u8>,
    /// Nothing more comes.
    pub closed: bool,
    /// It was no orderly end.
    pub broken: bool,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream,
            held: Vec::new(),
            closed: false,
            broken: false,
        }
    }

    /// A proxy that has refused the beginning need not take the rest.
    pub fn send(&mut self, script: &Script, delivery: Delivery) {
        let _ = delivery.send(script, &mut self.stream);
    }

    /// Reads until the stream ends, or nothing has come for this long after what is there was enough.
    pub fn receive(&mut self, quiet: Duration, is_enough: impl Fn(&[u8]) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut room = [0; 16_384];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let wait = if is_enough(&self.held) { quiet } else { left };
            if left.is_zero() {
                return;
            }
            let wait = wait.max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(wait)).unwrap();
            match self.stream.read(&mut room) {
                Ok(0) => {
                    self.closed = true;
                    return;
                }
                Ok(count) => self.held.extend_from_slice(&room[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => {
                    (self.closed, self.broken) = (true, true);
                    return;
                }
            }
        }
    }
}

/// How long a proxy may be silent.
pub const PATIENCE: Duration = Duration::from_millis(1_500);
