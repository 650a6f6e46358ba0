//! A listening socket: accept in batches after a poll.
//!
//! monoio's own accept leaks the descriptor of a connection when its future is dropped, and does
//! not set close-on-exec; a poll and accept4(2) have neither fault.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::SocketFlags;

use super::{Duplex, Stream};

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
