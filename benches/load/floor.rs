//! The floor: what it costs to move bytes and do nothing else. Each client's connection is joined with one to a server,
//! in turn; nothing is read, nothing is logged, nobody is ever checked or timed out. Multishot accepts and receives into
//! buffers that the kernel picks, so that a message costs a send and a share of one system call.
//!
//! Not on monoio, which has neither; and only for measuring: a receiver that stops reading stops it.

#![allow(
    unsafe_code,
    reason = "a ring of its own, whose operations take raw pointers"
)]

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{FromRawFd, IntoRawFd, RawFd};

use io_uring::{IoUring, cqueue, opcode, squeue, types::Fd};
use socket2::{Domain, Socket, Type};

/// Forwards from `listen` to the servers, for ever.
///
/// # Errors
/// Those of the ring, and of an address that cannot be listened on.
pub(crate) fn run(listen: SocketAddr, servers: &[SocketAddr]) -> io::Result<()> {
    let listener = Socket::new(Domain::for_address(listen), Type::STREAM, None)?;
    listener.set_reuse_address(true)?;
    listener.bind(&listen.into())?;
    listener.listen(4_096)?;
    let ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_coop_taskrun()
        .setup_cqsize(16_384)
        .build(2_048)?;
    let mut floor = Floor {
        ring,
        buffers: vec![0; COUNT * SIZE],
        ends: Vec::new(),
        free: Vec::new(),
        waiting: Vec::new(),
    };
    floor.provide(0, COUNT);
    let accept = opcode::AcceptMulti::new(Fd(listener.into_raw_fd())).build();
    floor.submit(accept.user_data(ACCEPT));
    println!("ready");
    let mut next = 0;
    loop {
        let Floor { ring, waiting, .. } = &mut floor;
        {
            let mut queue = ring.submission();
            while let Some(entry) = waiting.pop() {
                // SAFETY: all memory that entries point to is `buffers`, which lives as long as the ring.
                if unsafe { queue.push(&entry) }.is_err() {
                    waiting.push(entry);
                    break;
                }
            }
        }
        ring.submit_and_wait(1)?;
        let done: Vec<cqueue::Entry> = ring.completion().collect();
        for entry in done {
            match entry.user_data() {
                ACCEPT => {
                    if entry.result() >= 0 {
                        floor.join(entry.result(), servers[next % servers.len()]);
                        next += 1;
                    }
                }
                PROVIDE => {}
                end => floor.received(end as usize, &entry),
            }
        }
    }
}

struct Floor {
    ring: IoUring,
    buffers: Vec<u8>,
    ends: Vec<Option<End>>,
    free: Vec<usize>,
    waiting: Vec<squeue::Entry>,
}

/// One socket, and which its other one is.
#[derive(Clone, Copy)]
struct End {
    socket: RawFd,
    other: usize,
    ended: bool,
}

impl Floor {
    fn submit(&mut self, entry: squeue::Entry) {
        self.waiting.push(entry);
    }

    fn provide(&mut self, first: usize, count: usize) {
        let start = self.buffers[first * SIZE..].as_mut_ptr();
        let entry =
            opcode::ProvideBuffers::new(start, SIZE as i32, count as u16, GROUP, first as u16);
        self.submit(entry.build().user_data(PROVIDE));
    }

    fn receive(&mut self, at: usize) {
        let Some(end) = self.ends[at] else { return };
        let entry = opcode::RecvMulti::new(Fd(end.socket), GROUP).build();
        self.submit(entry.user_data(at as u64));
    }

    fn join(&mut self, client: RawFd, server: SocketAddr) {
        // SAFETY: the kernel has just given us this descriptor.
        let client = unsafe { TcpStream::from_raw_fd(client) };
        let Ok(server) = TcpStream::connect(server) else {
            return;
        };
        let places = [(); 2].map(|()| {
            self.free.pop().unwrap_or_else(|| {
                self.ends.push(None);
                self.ends.len() - 1
            })
        });
        for (at, socket) in [client, server].into_iter().enumerate() {
            let _ = socket.set_nodelay(true);
            self.ends[places[at]] = Some(End {
                socket: socket.into_raw_fd(),
                other: places[1 - at],
                ended: false,
            });
        }
        for at in places {
            self.receive(at);
        }
    }

    fn received(&mut self, at: usize, entry: &cqueue::Entry) {
        let Some(end) = self.ends[at] else { return };
        if let Some(buffer) = cqueue::buffer_select(entry.flags()) {
            let (buffer, count) = (usize::from(buffer), entry.result().max(0) as usize);
            if let Some(other) = self.ends[end.other] {
                send(
                    other.socket,
                    &self.buffers[buffer * SIZE..buffer * SIZE + count],
                );
            }
            self.provide(buffer, 1);
        }
        match entry.result() {
            result if result > 0 && cqueue::more(entry.flags()) => {}
            result if result > 0 || -result == libc::ENOBUFS => self.receive(at),
            _ => self.end(at),
        }
    }

    /// This side sends no more: so does the other, and with both the pair is gone.
    fn end(&mut self, at: usize) {
        let Some(end) = self.ends[at].as_mut() else {
            return;
        };
        end.ended = true;
        let other = end.other;
        match self.ends[other] {
            Some(there) if !there.ended => {
                // SAFETY: an open descriptor of ours.
                unsafe { libc::shutdown(there.socket, libc::SHUT_WR) };
            }
            _ => {
                for place in [at, other] {
                    if let Some(end) = self.ends[place].take() {
                        // SAFETY: closed once, as it has just been taken.
                        unsafe { libc::close(end.socket) };
                        self.free.push(place);
                    }
                }
            }
        }
    }
}

/// Sends all of it, and waits for a receiver that does not take it.
fn send(socket: RawFd, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;
        // SAFETY: pointer and length are those of a slice.
        let sent = unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), flags) };
        if sent > 0 {
            bytes = &bytes[sent as usize..];
        } else if io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock {
            let mut wanted = libc::pollfd {
                fd: socket,
                events: libc::POLLOUT,
                revents: 0,
            };
            // SAFETY: one entry, as the count says.
            unsafe { libc::poll(&raw mut wanted, 1, 1_000) };
        } else {
            return;
        }
    }
}

const ACCEPT: u64 = u64::MAX;
const PROVIDE: u64 = u64::MAX - 1;
const GROUP: u16 = 1;
const COUNT: usize = 512;
const SIZE: usize = 16 * 1024;
