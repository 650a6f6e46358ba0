//! Where a target's bytes go, written so that nothing but a file can make the writer wait.
//!
//! Standard output may be shared with other processes, so it is not made non-blocking (that would
//! change it for them too). A pipe or terminal that polls as writable takes at least a page,
//! so it is asked before each write, and gets at most that.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::config::LogTarget;

#[derive(Debug)]
pub(super) enum Sink {
    /// A file on a disk: a write returns when it is in the page cache.
    Disk(OwnedFd),
    /// A pipe, terminal or device.
    Pipe(OwnedFd),
    /// A stream socket, as systemd gives for standard output.
    Stream(OwnedFd),
    /// A syslog server.
    Udp(UdpSocket, SocketAddr),
    /// A syslog daemon's socket; connected when first used, and again when the daemon was restarted.
    Unix(PathBuf, Option<UnixDatagram>),
}

/// What came of sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// So many bytes are out.
    Bytes(usize),
    /// This message cannot be sent at all.
    Refused,
    /// Nothing now; the descriptor will become writable.
    Full,
    /// Nothing now; try again later.
    Failed(Errno),
}

impl Sink {
    pub(super) fn open(target: &LogTarget, file: Option<File>) -> io::Result<Self> {
        match target {
            LogTarget::Stdout => Self::of(io::stdout().as_fd().try_clone_to_owned()?),
            LogTarget::Stderr => Self::of(io::stderr().as_fd().try_clone_to_owned()?),
            LogTarget::File(_) => match file {
                Some(file) => Self::of(file.into()),
                None => Err(io::Error::other("the file was not opened")),
            },
            LogTarget::SyslogUdp(to) => {
                let any: SocketAddr = match to {
                    SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
                    SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
                };
                let socket = UdpSocket::bind(any)?;
                socket.set_nonblocking(true)?;
                Ok(Self::Udp(socket, *to))
            }
            LogTarget::SyslogUnix(path) => Ok(Self::Unix(path.clone(), None)),
        }
    }

    /// The sink for a descriptor of unknown kind.
    fn of(descriptor: OwnedFd) -> io::Result<Self> {
        let mode = rustix::fs::fstat(&descriptor)?.st_mode;
        Ok(match FileType::from_raw_mode(mode) {
            FileType::Socket => Self::Stream(descriptor),
            FileType::Fifo | FileType::CharacterDevice => Self::Pipe(descriptor),
            _ => Self::Disk(descriptor),
        })
    }

    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        match self {
            Self::Disk(descriptor) | Self::Pipe(descriptor) | Self::Stream(descriptor) => {
                Some(descriptor.as_fd())
            }
            Self::Udp(socket, _) => Some(socket.as_fd()),
            Self::Unix(_, socket) => socket.as_ref().map(AsFd::as_fd),
        }
    }

    /// Whether it is a file that has no name any more: what is written to it goes when it is closed.
    pub(super) fn is_deleted(&self) -> bool {
        let Self::Disk(file) = self else {
            return false;
        };
        rustix::fs::fstat(file).is_ok_and(|stat| stat.st_nlink == 0)
    }

    /// Sends bytes of a stream, or one message.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Sent {
        match self {
            Self::Disk(file) => outcome(rustix::io::write(file, bytes)),
            Self::Pipe(pipe) => match takes_a_page(pipe) {
                Sent::Bytes(page) => {
                    outcome(rustix::io::write(pipe, &bytes[..bytes.len().min(page)]))
                }
                not_now => not_now,
            },
            Self::Stream(socket) => outcome(rustix::net::send(
                socket,
                bytes,
                SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
            )),
            Self::Udp(socket, to) => {
                outcome(rustix::net::sendto(socket, bytes, SendFlags::DONTWAIT, to))
            }
            Self::Unix(path, connected) => {
                let sent = match connected.take().map_or_else(|| connect(path), Ok) {
                    Ok(socket) => outcome(rustix::net::send(
                        connected.insert(socket),
                        bytes,
                        SendFlags::DONTWAIT | SendFlags::NOSIGNAL,
                    )),
                    Err(error) => Sent::Failed(errno(&error)),
                };
                if matches!(sent, Sent::Failed(_)) {
                    *connected = None;
                }
                sent
            }
        }
    }
}

fn connect(path: &PathBuf) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect(path)?;
    Ok(socket)
}

fn takes_a_page(pipe: &OwnedFd) -> Sent {
    let mut asked = [PollFd::new(pipe, PollFlags::OUT)];
    let at_once = Timespec::default();
    match poll(&mut asked, Some(&at_once)) {
        Ok(0) | Err(Errno::INTR) => Sent::Full,
        Ok(_) if asked[0].revents() == PollFlags::OUT => Sent::Bytes(PAGE),
        // Nobody has the other end open.
        Ok(_) => Sent::Failed(Errno::PIPE),
        Err(error) => Sent::Failed(error),
    }
}

fn outcome(sent: Result<usize, Errno>) -> Sent {
    match sent {
        Ok(0) => Sent::Failed(Errno::IO),
        Ok(count) => Sent::Bytes(count),
        Err(Errno::INTR) => Sent::Bytes(0),
        Err(Errno::AGAIN) => Sent::Full,
        Err(Errno::MSGSIZE) => Sent::Refused,
        Err(error) => Sent::Failed(error),
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// PIPE_BUF: what a pipe that polls as writable takes without blocking (pipe(7)).
const PAGE: usize = 4096;
