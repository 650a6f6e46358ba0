//! A listening socket: accept in batches after a poll.
//!
//! monoio's own accept leaks the descriptor of a connection when its future is dropped, and does
//! not set close-on-exec; a poll and accept4(2) have neither fault.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::SocketFlags;

use super::{Duplex, Stream};

/// socket(7) does not have it yet; the same number on all processors but SPARC and PA-RISC.
const SO_BINDTOIFINDEX: libc::c_int = 62;

/// A listening socket that this thread accepts from.
pub struct Listener {
    socket: Stream,
}

/// What one accept gave.
pub enum Accepted {
    /// A client, and its address where the family has one.
    Client(Stream, Option<SocketAddr>),
    /// Nobody waits.
    Nobody,
    /// The process or the system is out of descriptors or memory: accepting must pause.
    Exhausted(io::Error),
}

impl Listener {
    /// Takes over a listening, non-blocking socket.
    ///
    /// # Errors
    /// When the descriptor cannot be registered with the driver.
    pub fn adopt(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self {
            socket: Stream::adopt(socket)?,
        })
    }

    /// Waits until a client waits.
    ///
    /// # Errors
    /// When the poll itself fails, which ends the listener.
    pub async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    /// From now on no handshake of a TCP client begins: its SYN is refused, as if the socket were closed. Handshakes under way are
    /// completed, and those that wait stay. So all of them can be accepted before the socket is closed, which would
    /// reset them. Without effect on unix sockets, and before Linux 5.0.
    pub fn refuse_handshakes(&self) {
        if self.socket.local_address().is_none() {
            return;
        }
        // A listener that is bound to an interface matches only what comes over that one, and the kernel does not ask whether
        // there is one of this index. The socket of a handshake has its own, that over which it came. A filter that drops
        // SYNs would do the same, but newer kernels let only CAP_NET_ADMIN attach one to a TCP socket.
        let nowhere = libc::c_int::MAX;
        // SAFETY: the option is an int that outlives the call, of the size that is told.
        unsafe {
            libc::setsockopt(
                self.socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                SO_BINDTOIFINDEX,
                (&raw const nowhere).cast(),
                size_of_val(&nowhere) as libc::socklen_t,
            );
        }
    }

    /// Whether somebody waits now.
    pub fn is_wanted(&self) -> bool {
        self.socket.has_input()
    }

    /// Accepts one client. One who came over IPv4 to a socket of both families has an IPv4 address. Errors of a single connection (it left before we came) count as nobody's.
    pub fn accept(&self) -> Accepted {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        loop {
            return match rustix::net::acceptfrom_with(&self.socket, flags) {
                Ok((socket, address)) => {
                    let address = address.and_then(|address| address.try_into().ok());
                    let address = address.map(unmapped);
                    match Stream::adopt(socket) {
                        Ok(stream) => Accepted::Client(stream, address),
                        Err(error) => Accepted::Exhausted(error),
                    }
                }
                Err(Errno::AGAIN) => Accepted::Nobody,
                // accept(2): errors of the new connection, or of the network under it; try the next one.
                Err(
                    Errno::CONNABORTED
                    | Errno::INTR
                    | Errno::PERM
                    | Errno::PROTO
                    | Errno::NOPROTOOPT
                    | Errno::NETDOWN
                    | Errno::NETUNREACH
                    | Errno::NONET
                    | Errno::HOSTDOWN
                    | Errno::HOSTUNREACH
                    | Errno::OPNOTSUPP,
                ) => continue,
                // Out of descriptors or memory; anything else is as little this connection's fault.
                Err(error) => Accepted::Exhausted(error.into()),
            };
        }
    }
}

/// The address of a client who came over IPv4, as such, where the socket is of both families.
pub(super) fn unmapped(address: SocketAddr) -> SocketAddr {
    let SocketAddr::V6(v6) = address else {
        return address;
    };
    let v4 = v6.ip().to_ipv4_mapped();
    v4.map_or(address, |v4| SocketAddr::from((v4, v6.port())))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::{ErrorKind, Write};
    use std::net::{TcpListener, TcpStream};

    use super::super::Received;
    use super::*;

    #[test]
    fn a_listener_that_refuses_handshakes_keeps_those_that_wait() {
        super::super::block_on(super::super::Operations::Few, |_| async {
            for address in ["127.0.0.1:0", "[::1]:0"] {
                let Ok(socket) = TcpListener::bind(address) else {
                    continue;
                };
                socket.set_nonblocking(true).unwrap();
                let address = socket.local_addr().unwrap();
                let listener = Listener::adopt(socket.into()).unwrap();
                let waits = TcpStream::connect(address).unwrap();
                listener.refuse_handshakes();
                let late = TcpStream::connect(address);
                assert_eq!(late.unwrap_err().kind(), ErrorKind::ConnectionRefused);
                let Accepted::Client(stream, Some(peer)) = listener.accept() else {
                    unreachable!("one waits");
                };
                assert_eq!(peer, waits.local_addr().unwrap());
                assert!(matches!(listener.accept(), Accepted::Nobody));
                (&waits).write_all(b"x").unwrap();
                assert!(stream.readable().await.is_ok());
                assert_eq!(stream.try_recv(&mut [0; 8]).unwrap(), Received::Bytes(1));
            }
        })
        .unwrap();
    }
}
