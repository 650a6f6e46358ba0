//! Floods: peers that are slow, silent, endless or deaf, hundreds on one thread; and the servers that go with them.
//!
//! Used by `scripts/floods` (through the load program) and by tests/floods.rs, so that both mean the same by a
//! name. Nothing here waits for a single peer: each is looked at every few milliseconds, gives what is taken, and
//! takes what comes unless it is deaf. Segments and windows are small, so that what is in flight stays with the
//! peer whose fault it is and not in the kernel.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

/// What a peer does on each of its connections.
#[derive(Debug, Clone, Default)]
pub struct Peer {
    /// Sent first.
    pub first: Vec<u8>,
    /// Sent after that, over and over, for as long as it is taken.
    pub then: Vec<u8>,
    /// One byte of it at a time.
    pub pace: Option<Duration>,
    /// Reads nothing at all.
    pub deaf: bool,
    /// Begins anew when its connection has ended.
    pub again: bool,
}

/// The kinds of floods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Kind {
    /// Connections that send nothing.
    Silent,
    /// Heads that arrive a byte at a time.
    SlowHeads,
    /// Heads of nearly 16 KiB that never end.
    EndlessHeads,
    /// Bodies that arrive a byte at a time.
    SlowBodies,
    /// Clients that do not read a large response, after a head of nearly 16 KiB.
    SlowReaders,
    /// Heads of 10,000 fields.
    ManyFields,
    /// Targets of 1 MiB.
    LongTargets,
    /// A chunk whose extensions do not end.
    ChunkExtensions,
    /// A chunked body whose trailers do not end.
    Trailers,
    /// Servers that send interim responses without end.
    Interims,
    /// Servers whose head goes on for 1 GiB.
    HugeHeads,
    /// Clients that send 10,000 requests and read nothing.
    Pipelining,
    /// Tunnels whose client stops reading.
    DeafClients,
    /// Tunnels whose server stops reading.
    DeafServers,
    /// Everything that a connection can hold: a large head, a body that the server does not take, a response head that does
    /// not end.
    Everything,
}

impl Kind {
    /// What its clients do. Their requests are for `/flood`, except those that ask for something to read again and again.
    pub fn clients(self) -> Peer {
        let post =
            |more: &str| format!("POST /flood HTTP/1.1\r\nHost: flood\r\n{more}\r\n").into_bytes();
        let get = || b"GET /flood HTTP/1.1\r\nHost: flood\r\n\r\n".to_vec();
        let peer = Peer::default();
        match self {
            Self::Silent => peer,
            Self::SlowHeads => Peer {
                first: b"GET /flood HTTP/1.1\r\nHost: flood\r\n".to_vec(),
                then: b"X-A: b\r\n".to_vec(),
                pace: Some(Duration::from_millis(100)),
                ..peer
            },
            Self::EndlessHeads => Peer {
                first: large(b"GET /flood HTTP/1.1\r\nHost: flood\r\n"),
                then: b"X-A: b\r\n".to_vec(),
                pace: Some(Duration::from_millis(100)),
                ..peer
            },
            Self::SlowBodies => Peer {
                first: post("Content-Length: 1000000\r\n"),
                then: b"x".to_vec(),
                pace: Some(Duration::from_millis(100)),
                ..peer
            },
            Self::SlowReaders => Peer {
                first: large(&get()),
                deaf: true,
                ..peer
            },
            Self::ManyFields => Peer {
                first: [
                    &b"GET /flood HTTP/1.1\r\nHost: flood\r\n"[..],
                    &b"X-Field: value\r\n".repeat(10_000),
                    b"\r\n",
                ]
                .concat(),
                again: true,
                ..peer
            },
            Self::LongTargets => Peer {
                first: [
                    b"GET /",
                    &vec![b'a'; 1 << 20][..],
                    b" HTTP/1.1\r\nHost: flood\r\n\r\n",
                ]
                .concat(),
                again: true,
                ..peer
            },
            Self::ChunkExtensions => Peer {
                first: [&post("Transfer-Encoding: chunked\r\n")[..], b"5"].concat(),
                then: b";name=value".to_vec(),
                again: true,
                ..peer
            },
            Self::Trailers => Peer {
                first: [
                    &post("Transfer-Encoding: chunked\r\n")[..],
                    b"5\r\nhello\r\n0\r\n",
                ]
                .concat(),
                then: b"X-Trailer: value\r\n".to_vec(),
                again: true,
                ..peer
            },
            Self::Interims | Self::HugeHeads => Peer {
                first: get(),
                again: true,
                ..peer
            },
            Self::Pipelining => Peer {
                first: b"GET /good HTTP/1.1\r\nHost: flood\r\n\r\n".repeat(10_000),
                deaf: true,
                ..peer
            },
            Self::DeafClients => Peer {
                first: HANDSHAKE.as_bytes().to_vec(),
                deaf: true,
                ..peer
            },
            Self::DeafServers => Peer {
                first: HANDSHAKE.as_bytes().to_vec(),
                then: message(&[0x82, 0xfe, 0x10, 0x00, 0, 0, 0, 0]),
                ..peer
            },
            Self::Everything => Peer {
                first: large(
                    b"POST /flood HTTP/1.1\r\nHost: flood\r\nContent-Length: 1000000000000\r\n\r\n",
                ),
                then: vec![b'.'; 16 << 10],
                deaf: true,
                ..peer
            },
        }
    }

    /// What the servers behind them do. They do not wait for a request.
    pub fn servers(self) -> Peer {
        let peer = Peer::default();
        match self {
            Self::SlowReaders => Peer {
                first: b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n".to_vec(),
                then: vec![b'.'; 16 << 10],
                ..peer
            },
            Self::Interims => Peer {
                then: b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n".to_vec(),
                ..peer
            },
            Self::HugeHeads => Peer {
                first: b"HTTP/1.1 200 OK\r\n".to_vec(),
                then: b"X-Field: value\r\n".to_vec(),
                ..peer
            },
            Self::DeafClients => Peer {
                first: SWITCHED.as_bytes().to_vec(),
                then: message(&[0x82, 0x7e, 0x10, 0x00]),
                ..peer
            },
            Self::DeafServers => Peer {
                first: SWITCHED.as_bytes().to_vec(),
                deaf: true,
                ..peer
            },
            Self::Everything => Peer {
                first: large(b"HTTP/1.1 200 OK\r\n"),
                deaf: true,
                ..peer
            },
            _ => peer,
        }
    }

    /// The status that every client of the flood is answered with (of several answers to a request: the first
    /// one's); `None` where it does not come to answers.
    pub fn status(self) -> Option<u16> {
        match self {
            Self::SlowHeads | Self::EndlessHeads => Some(408),
            Self::ManyFields | Self::Trailers => Some(431),
            Self::LongTargets => Some(414),
            Self::ChunkExtensions => Some(400),
            Self::Interims => Some(103),
            Self::HugeHeads => Some(502),
            _ => None,
        }
    }
}

/// A head of some 16,000 bytes; without its empty line if `from` has none.
fn large(from: &[u8]) -> Vec<u8> {
    let (line, rest) = from.split_at(from.len() - if from.ends_with(b"\r\n\r\n") { 2 } else { 0 });
    let field = [b"X-Large: ", &[b'x'; 3_980][..], b"\r\n"].concat();
    [line, &field.repeat(4), rest].concat()
}

/// A frame of 4 KiB.
fn message(head: &[u8]) -> Vec<u8> {
    [head, &[b'.'; 4096]].concat()
}

const HANDSHAKE: &str = "GET /flood HTTP/1.1\r\nHost: flood\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Answers that key (RFC 6455 section 1.3).
const SWITCHED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// Peers at work; they leave when this is dropped.
#[derive(Debug)]
pub struct Crowd {
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

/// What has become of a crowd.
#[derive(Debug, Default)]
struct Counts {
    stop: AtomicBool,
    open: AtomicUsize,
    ended: AtomicUsize,
    statuses: Mutex<BTreeMap<u16, usize>>,
}

impl Crowd {
    /// So many clients of `address`, who come within about a second.
    pub fn clients(address: SocketAddr, count: usize, peer: Peer) -> Self {
        Self::start(move |counts| {
            let mut crowd: Vec<Option<Member>> = (0..count).map(|_| None).collect();
            let mut begun = 0;
            while !counts.stop.load(Relaxed) {
                let mut room = count.div_ceil(STEPS);
                for place in &mut crowd {
                    match place {
                        None if room > 0 && (begun < count || peer.again) => {
                            (begun, room) = (begun + 1, room - 1);
                            *place = Member::connect(address).ok();
                        }
                        None => {}
                        Some(member) => {
                            let goes_on = member.step(&peer, counts);
                            if !goes_on {
                                counts.ended.fetch_add(1, Relaxed);
                                *place = None;
                            }
                        }
                    }
                }
                counts.open.store(crowd.iter().flatten().count(), Relaxed);
                std::thread::sleep(STEP);
            }
        })
    }

    /// Servers that accept from a socket that listens.
    pub fn servers(listening: Socket, peer: Peer) -> Self {
        Self::start(move |counts| {
            shrink(&listening);
            let _ = listening.set_nonblocking(true);
            let mut crowd = Vec::new();
            while !counts.stop.load(Relaxed) {
                while let Ok((socket, _)) = listening.accept() {
                    let _ = socket.set_nonblocking(true);
                    crowd.push(Member::new(socket));
                }
                crowd.retain_mut(|member| member.step(&peer, counts));
                counts.open.store(crowd.len(), Relaxed);
                std::thread::sleep(STEP);
            }
        })
    }

    fn start(work: impl FnOnce(&Counts) + Send + 'static) -> Self {
        let counts = Arc::<Counts>::default();
        let theirs = Arc::clone(&counts);
        let thread = std::thread::spawn(move || work(&theirs));
        Self {
            counts,
            thread: Some(thread),
        }
    }

    /// Connections that are open now.
    pub fn open(&self) -> usize {
        self.counts.open.load(Relaxed)
    }

    /// Connections of clients that have ended.
    pub fn ended(&self) -> usize {
        self.counts.ended.load(Relaxed)
    }

    /// How many connections of clients were answered with which status.
    pub fn statuses(&self) -> BTreeMap<u16, usize> {
        let statuses = self.counts.statuses.lock();
        statuses
            .map(|statuses| statuses.clone())
            .unwrap_or_default()
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.counts.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// One connection of a crowd.
struct Member {
    socket: Socket,
    sent: usize,
    due: Instant,
    /// The first bytes that came, up to a status.
    line: Vec<u8>,
}

impl Member {
    fn new(socket: Socket) -> Self {
        Self {
            socket,
            sent: 0,
            due: Instant::now(),
            line: Vec::with_capacity(STATUS_LINE),
        }
    }

    fn connect(address: SocketAddr) -> std::io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        shrink(&socket);
        socket.set_nonblocking(true)?;
        // It is under way; until it is done nothing can be sent or received.
        let _ = socket.connect(&address.into());
        Ok(Self::new(socket))
    }

    /// Sends and receives what goes now. False when the connection has ended.
    fn step(&mut self, peer: &Peer, counts: &Counts) -> bool {
        (peer.deaf || self.receive(counts)) && self.send(peer)
    }

    fn send(&mut self, peer: &Peer) -> bool {
        let mut left = AT_ONCE;
        while left > 0 {
            let bytes = if self.sent < peer.first.len() {
                &peer.first[self.sent..]
            } else if peer.then.is_empty() {
                return true;
            } else {
                let bytes = &peer.then[(self.sent - peer.first.len()) % peer.then.len()..];
                match peer.pace {
                    Some(_) if self.due > Instant::now() => return true,
                    Some(_) => &bytes[..1],
                    None => bytes,
                }
            };
            match (&self.socket).write(&bytes[..bytes.len().min(left)]) {
                Ok(count) => {
                    self.sent += count;
                    left -= count;
                    self.due = Instant::now() + peer.pace.unwrap_or_default();
                }
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
        true
    }

    fn receive(&mut self, counts: &Counts) -> bool {
        let mut room = [0; 4096];
        for _ in 0..AT_ONCE / room.len() {
            let count = match (&self.socket).read(&mut room) {
                Ok(0) => return false,
                Ok(count) => count,
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            };
            if self.line.len() < STATUS_LINE {
                let more = STATUS_LINE - self.line.len();
                self.line.extend_from_slice(&room[..count.min(more)]);
                if self.line.len() == STATUS_LINE {
                    self.tell(counts);
                }
            }
        }
        true
    }

    fn tell(&self, counts: &Counts) {
        let status = self.line.strip_prefix(b"HTTP/1.1 ");
        let status = status.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        if let (Some(status), Ok(mut statuses)) = (status, counts.statuses.lock()) {
            *statuses.entry(status).or_default() += 1;
        }
    }
}

/// Small windows and segments.
fn shrink(socket: &Socket) {
    let _ = socket.set_recv_buffer_size(4096);
    let _ = socket.set_send_buffer_size(16 << 10);
    let _ = socket.set_tcp_mss(1400);
}

/// `HTTP/1.1 200`
const STATUS_LINE: usize = 12;
/// Between two looks at everybody.
const STEP: Duration = Duration::from_millis(4);
/// Looks until everybody has come.
const STEPS: usize = 250;
/// Bytes that one peer sends or receives at a look.
const AT_ONCE: usize = 64 << 10;
