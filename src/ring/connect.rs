//! Reaching a server without ever blocking: connect(2), a poll, and the socket's own verdict.

use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, ipproto};

use super::{Duplex, Stream};
use crate::config::Address;

/// Connects to `address`. The caller bounds the wait; dropping the future closes the socket.
///
/// # Errors
/// Those of socket(2) and connect(2), such as refused, unreachable or out of descriptors.
pub async fn connect(address: &Address) -> io::Result<Stream> {
    let (stream, verdict) = match address {
        Address::Ip(address) => {
            let family = if address.is_ipv4() {
                AddressFamily::INET
            } else {
                AddressFamily::INET6
            };
            let socket = socket(family, Some(ipproto::TCP))?;
            rustix::net::sockopt::set_tcp_nodelay(&socket, true)?;
            let verdict = rustix::net::connect(&socket, address);
            (Stream::adopt(socket)?, verdict)
        }
        Address::Unix(path) => {
            let socket = socket(AddressFamily::UNIX, None)?;
            let verdict = connect_unix(&socket, path);
            (Stream::adopt(socket)?, verdict)
        }
    };
    match verdict {
        Ok(()) => return Ok(stream),
        Err(Errno::INPROGRESS) => {}
        // A unix socket whose backlog is full says EAGAIN and never completes: as good as refused.
        Err(error) => return Err(error.into()),
    }
    stream.writable().await?;
    match rustix::net::sockopt::socket_error(&stream)? {
        Ok(()) => Ok(stream),
        Err(error) => Err(error.into()),
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
