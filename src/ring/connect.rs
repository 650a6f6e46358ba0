//! Reaching a server without ever blocking: connect(2), a poll, and the socket's own verdict.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, ipproto};

use super::{Duplex, Stream};
use crate::config::Address;

/// A connection on its way.
#[derive(Debug)]
pub struct Dialled {
    stream: Stream,
    verdict: Result<(), Errno>,
}

/// Why none could be begun.
#[derive(Debug)]
pub enum NotDialled {
    /// The source is no address of this machine.
    NoSource(io::Error),
    /// All ports of the source (or of the address that the kernel would take) towards there are in use.
    NoPort(io::Error),
    /// Those of socket(2) and connect(2), such as unreachable or out of descriptors.
    Failed(io::Error),
}

/// Begins to connect to `address`, from `source` if one is given; which must be of its family.
///
/// # Errors
/// [`NotDialled`]; what comes later is [`Dialled::connected`]'s.
pub fn dial(address: &Address, source: Option<SocketAddr>) -> Result<Dialled, NotDialled> {
    let (socket, verdict) = match address {
        Address::Ip(address) => {
            let family = if address.is_ipv4() {
                AddressFamily::INET
            } else {
                AddressFamily::INET6
            };
            let socket = socket(family, Some(ipproto::TCP))?;
            rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
            // The request follows at once and acknowledges the handshake too: one segment less for both sides.
            let _ = rustix::net::sockopt::set_tcp_quickack(&socket, false);
            if let Some(source) = source {
                bind_source(&socket, source).map_err(|error| match is_not_here(&error) {
                    true => NotDialled::NoSource(error),
                    false => NotDialled::Failed(error),
                })?;
            }
            let verdict = rustix::net::connect(&socket, address);
            (socket, verdict)
        }
        Address::Unix(path) => {
            let socket = socket(AddressFamily::UNIX, None)?;
            let verdict = connect_unix(&socket, path);
            (socket, verdict)
        }
    };
    match verdict {
        Ok(()) | Err(Errno::INPROGRESS) => {}
        Err(error @ (Errno::ADDRNOTAVAIL | Errno::ADDRINUSE)) => {
            return Err(NotDialled::NoPort(error.into()));
        }
        // A unix socket whose backlog is full says EAGAIN and never completes: as good as refused.
        Err(error) => return Err(error.into()),
    }
    let stream = Stream::adopt(socket).map_err(NotDialled::Failed)?;
    Ok(Dialled { stream, verdict })
}

impl Dialled {
    /// The connection. The caller bounds the wait; dropping the future closes the socket.
    ///
    /// # Errors
    /// Those of connect(2), such as refused.
    pub async fn connected(self) -> io::Result<Stream> {
        let Self { stream, verdict } = self;
        if verdict.is_err() {
            stream.writable().await?;
            rustix::net::sockopt::socket_error(&stream)??;
        }
        Ok(stream)
    }
}

/// Binds a TCP socket to an address (its port is 0) and to no port yet: the kernel chooses one when it connects, so that each port
/// can serve once for every address connected to (ip(7), IP_BIND_ADDRESS_NO_PORT).
///
/// # Errors
/// Those of bind(2); see [`is_not_here`].
pub fn bind_source(socket: &impl AsFd, source: SocketAddr) -> io::Result<()> {
    let (socket, yes): (_, libc::c_int) = (socket.as_fd(), 1);
    // SAFETY: the option is an int that outlives the call, of the size that is told. It is one of
    // IP's for sockets of both families.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const yes).cast(),
            size_of_val(&yes) as libc::socklen_t,
        )
    };
    if set < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(rustix::net::bind(socket, &source)?)
}

/// Whether binding failed because the address is not one of this machine.
pub fn is_not_here(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
}

impl From<Errno> for NotDialled {
    fn from(error: Errno) -> Self {
        Self::Failed(error.into())
    }
}

impl From<io::Error> for NotDialled {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

/// A connected pair of streams, for tests of the rooms above.
///
/// # Errors
/// Those of socketpair(2).
#[doc(hidden)]
pub fn detach_test_stream() -> io::Result<(Stream, std::os::unix::net::UnixStream)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    Ok((Stream::adopt(super::stream::owned(ours))?, theirs))
}

fn socket(family: AddressFamily, protocol: Option<rustix::net::Protocol>) -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(
        family,
        SocketType::STREAM,
        flags,
        protocol,
    )?)
}

fn connect_unix(socket: &OwnedFd, path: &Path) -> Result<(), Errno> {
    rustix::net::connect(socket, &SocketAddrUnix::new(path)?)
}
