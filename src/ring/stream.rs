//! A connected socket: wait by polling, move bytes by system calls that never block.
//!
//! TCP and unix sockets alike: the runtime only watches the descriptor, so one type serves both.

use std::cell::Cell;
use std::future::Future;
use std::io::{self, IoSlice};
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::time::Duration;

use monoio::net::UnixStream;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};

use super::Buffer;

/// What a receive gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// This many bytes, at least one.
    Bytes(usize),
    /// Nothing now: wait until readable.
    Empty,
    /// The peer sends no more.
    Closed,
}

/// A two-way stream of bytes that waits by polling. Exchange and tunnel are written over this, so
/// that an encrypted stream can stand where a plain one does.
///
/// The `try_` methods never wait. An error is final for the connection.
pub trait Duplex {
    /// Waits until a receive would give something. Dropping the future loses nothing.
    fn readable(&self) -> impl Future<Output = io::Result<()>>;
    /// Waits until a send would take something. Dropping the future loses nothing.
    fn writable(&self) -> impl Future<Output = io::Result<()>>;
    /// Receives into `space`, which must not be empty.
    ///
    /// # Errors
    /// Those of recv(2): the connection is gone.
    fn try_recv(&self, space: &mut [u8]) -> io::Result<Received>;
    /// Receives to the end of `buffer`, whose storage grows to `most` bytes as it fills.
    ///
    /// # Errors
    /// Those of recv(2): the connection is gone.
    fn try_recv_into(&self, buffer: &mut Buffer, most: usize) -> io::Result<Received>;
    /// Sends what fits now and says how much that was; 0 means: wait until writable.
    ///
    /// # Errors
    /// Those of send(2): the connection is gone.
    fn try_send(&self, bytes: &[u8]) -> io::Result<usize>;
    /// The same for what is followed by the end at once, by [`Duplex::finish`] or by dropping: the last bytes may wait for
    /// it and leave with it in one segment.
    ///
    /// # Errors
    /// Those of send(2): the connection is gone.
    fn try_send_last(&self, bytes: &[u8]) -> io::Result<usize>;
    /// The same for two pieces in a row, in one call.
    ///
    /// # Errors
    /// Those of sendmsg(2): the connection is gone.
    fn try_send_both(&self, first: &[u8], second: &[u8]) -> io::Result<usize>;
    /// Says that nothing more will be sent; the other direction goes on.
    fn finish(&self);
    /// Makes a close reset the connection: the peer learns that what it got is not whole, where nothing in it
    /// would say so. Sent bytes that have not arrived yet are lost.
    fn spoil(&self);
    /// A copy of the descriptor, so that the stream can be laid to rest and dropped. `None` where there is
    /// more to a stream than its descriptor, or no descriptor left.
    fn descriptor(&self) -> Option<OwnedFd>;
    /// The descriptor of the socket below, to be watched and nothing else.
    fn socket(&self) -> BorrowedFd<'_>;
    /// What the peer connected to; `None` where that has no IP address.
    fn local_address(&self) -> Option<SocketAddr>;
    /// Whether bytes (or the end) wait to be received.
    fn has_input(&self) -> bool;
    /// Whether the peer has ended its side or is gone, whatever still waits to be read.
    fn peer_left(&self) -> bool;
}

/// A plain TCP or unix socket, watched by this thread's ring.
pub struct Stream {
    /// There until the stream is dropped.
    watched: ManuallyDrop<UnixStream>,
    /// A wait was dropped before it was over: the ring may still hold the descriptor.
    abandoned: Cell<bool>,
}

impl Stream {
    /// Takes over a connected, non-blocking socket.
    ///
    /// # Errors
    /// On the epoll driver, when the descriptor cannot be registered.
    pub fn adopt(socket: OwnedFd) -> io::Result<Self> {
        // monoio polls the descriptor and closes it; whether it is TCP or not makes no difference to
        // either. Its TCP type would also keep room for two addresses.
        let socket = std::os::unix::net::UnixStream::from(socket);
        let watched = ManuallyDrop::new(UnixStream::from_std(socket)?);
        Ok(Self {
            watched,
            abandoned: Cell::new(false),
        })
    }

    /// Whether the connection is idle and alive: nothing to read, not closed. For kept connections,
    /// where a byte nobody asked for is as bad as an end.
    pub fn is_quiet(&self) -> bool {
        let mut byte = [0_u8; 1];
        matches!(
            rustix::net::recv(self, &mut byte[..], RecvFlags::PEEK | RecvFlags::DONTWAIT),
            Err(Errno::AGAIN)
        )
    }

    /// Whether a state holds now. A socket that hung up or failed is in every state.
    fn is(&self, state: PollFlags) -> bool {
        let mut fds = [PollFd::new(self, state)];
        let instant = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        rustix::event::poll(&mut fds, Some(&instant)).is_ok_and(|ready| ready > 0)
    }
}

/// Notes on the stream when a wait is dropped before it is over.
struct Wait<'a>(&'a Cell<bool>);

impl Drop for Wait<'_> {
    fn drop(&mut self) {
        self.0.set(true);
    }
}

impl Drop for Stream {
    /// Closes by close(2) where nothing is in flight. monoio would submit a CLOSE, then a cancellation
    /// of it, and box both; that is left for streams whose descriptor the ring may still hold.
    fn drop(&mut self) {
        // SAFETY: taken once, here; nothing uses the stream afterwards.
        let watched = unsafe { ManuallyDrop::take(&mut self.watched) };
        if self.abandoned.get() {
            drop(watched);
        } else {
            drop(owned(watched));
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: `watched` owns the descriptor and is borrowed for as long as the result.
        unsafe { BorrowedFd::borrow_raw(self.watched.as_raw_fd()) }
    }
}

impl Duplex for Stream {
    async fn readable(&self) -> io::Result<()> {
        let wait = Wait(&self.abandoned);
        let ready = self.watched.readable(false).await;
        std::mem::forget(wait);
        ready
    }

    async fn writable(&self) -> io::Result<()> {
        let wait = Wait(&self.abandoned);
        let ready = self.watched.writable(false).await;
        std::mem::forget(wait);
        ready
    }

    fn try_recv(&self, space: &mut [u8]) -> io::Result<Received> {
        debug_assert!(!space.is_empty(), "an empty receive would look like an end");
        received(|| rustix::net::recv(self, &mut *space, RecvFlags::DONTWAIT).map(|(_, n)| n))
    }

    fn try_recv_into(&self, buffer: &mut Buffer, most: usize) -> io::Result<Received> {
        buffer.make_room(most);
        let storage = buffer.tail();
        let before = storage.len();
        let got = received(|| {
            let space = rustix::buffer::spare_capacity(storage);
            rustix::net::recv(self, space, RecvFlags::DONTWAIT).map(|(_, n)| n)
        });
        if storage.len() == before && buffer.is_empty() {
            buffer.release();
        }
        got
    }

    fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        sent(|| rustix::net::send(self, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT))
    }

    fn try_send_last(&self, bytes: &[u8]) -> io::Result<usize> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT | SendFlags::MORE;
        sent(|| rustix::net::send(self, bytes, flags))
    }

    fn try_send_both(&self, first: &[u8], second: &[u8]) -> io::Result<usize> {
        let pieces = [IoSlice::new(first), IoSlice::new(second)];
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        sent(|| rustix::net::sendmsg(self, &pieces, &mut SendAncillaryBuffer::default(), flags))
    }

    fn finish(&self) {
        let _ = rustix::net::shutdown(self, Shutdown::Write);
    }

    fn spoil(&self) {
        let _ = rustix::net::sockopt::set_socket_linger(self, Some(Duration::ZERO));
    }

    fn descriptor(&self) -> Option<OwnedFd> {
        // The ring may hold the old one until a wait in flight has been cancelled.
        rustix::io::fcntl_dupfd_cloexec(self, 0).ok()
    }

    fn socket(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }

    fn local_address(&self) -> Option<SocketAddr> {
        let address = rustix::net::getsockname(self).ok()?;
        address.try_into().ok().map(super::listener::unmapped)
    }

    fn has_input(&self) -> bool {
        self.is(PollFlags::IN)
    }

    fn peer_left(&self) -> bool {
        self.is(PollFlags::RDHUP)
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stream({})", self.watched.as_raw_fd())
    }
}

/// Takes the descriptor out of a std socket without closing it.
pub(super) fn owned(socket: impl IntoRawFd) -> OwnedFd {
    // SAFETY: `into_raw_fd` hands over ownership of an open descriptor.
    unsafe { OwnedFd::from_raw_fd(socket.into_raw_fd()) }
}

fn received(mut call: impl FnMut() -> Result<usize, Errno>) -> io::Result<Received> {
    loop {
        return match call() {
            Ok(0) => Ok(Received::Closed),
            Ok(count) => Ok(Received::Bytes(count)),
            Err(Errno::AGAIN) => Ok(Received::Empty),
            Err(Errno::INTR) => continue,
            Err(error) => Err(error.into()),
        };
    }
}

fn sent(mut call: impl FnMut() -> Result<usize, Errno>) -> io::Result<usize> {
    loop {
        return match call() {
            Ok(count) => Ok(count),
            Err(Errno::AGAIN) => Ok(0),
            Err(Errno::INTR) => continue,
            Err(error) => Err(error.into()),
        };
    }
}
