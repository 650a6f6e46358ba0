//! A unix listener of the control thread that nobody can lock others out of.
//!
//! It serves [`CLIENTS`] at once. A newcomer beyond that waits for a place, and after [`PATIENCE`] takes that of the client that has had no
//! answer for the longest time; one that is neither root nor the user that Ringbolt runs as does not take theirs. A client has [`TIMEOUT`] for a request, from its connection or its last answer,
//! and as long to take a part of an answer.

use axum::serve::Listener;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::SocketAddr;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::oneshot;
use tokio::time::{Instant, Sleep, sleep};

/// Clients at once, on each of the two sockets.
const CLIENTS: usize = 64;
/// For a whole request, and for a part of an answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// For a place, while all are taken by clients that may have their answer any moment.
const PATIENCE: Duration = Duration::from_secs(1);
/// Between two looks for a place.
const TICK: Duration = Duration::from_millis(10);
/// After a failed accept, such as for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

pub(super) struct AdminListener {
    listener: UnixListener,
    places: Places,
}

impl AdminListener {
    pub(super) fn new(socket: OwnedFd) -> io::Result<Self> {
        let listener = std::os::unix::net::UnixListener::from(socket);
        listener.set_nonblocking(true)?;
        Ok(Self {
            listener: UnixListener::from_std(listener)?,
            places: Places::default(),
        })
    }
}

impl Listener for AdminListener {
    type Io = Client;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Client, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    if let Some(client) = self.places.seat(stream).await {
                        return (client, peer);
                    }
                }
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// The clients that are served, each with the number of its place.
#[derive(Clone, Default)]
struct Places(Arc<Mutex<Taken>>);

#[derive(Default)]
struct Taken {
    places: Vec<Place>,
    next: u64,
}

struct Place {
    number: u64,
    /// Of root, or of the user that Ringbolt runs as.
    owner: bool,
    /// When it was accepted, or had the last part of an answer.
    since: Instant,
    /// Dropped to end the client's connection.
    _keep: oneshot::Sender<()>,
}

impl Places {
    /// A place for a client; `None` when all are taken by clients with a better right to it.
    async fn seat(&self, stream: UnixStream) -> Option<Client> {
        let user = stream.peer_cred().ok()?.uid();
        let owner = user == 0 || user == rustix::process::geteuid().as_raw();
        while !self.make_room(owner)? {
            sleep(TICK).await;
        }
        let (keep, evicted) = oneshot::channel();
        let mut taken = self.taken();
        taken.next += 1;
        let number = taken.next;
        taken.places.push(Place {
            number,
            owner,
            since: Instant::now(),
            _keep: keep,
        });
        Some(Client {
            stream,
            number,
            places: self.clone(),
            evicted,
            timeout: Box::pin(sleep(TIMEOUT)),
        })
    }

    /// Whether there is a place now, if need be of a client that has waited long enough; `None` when there is nobody to wait
    /// for.
    fn make_room(&self, owner: bool) -> Option<bool> {
        let mut taken = self.taken();
        if taken.places.len() < CLIENTS {
            return Some(true);
        }
        let places = taken.places.iter().enumerate();
        let weaker = places.filter(|(_, place)| owner || !place.owner);
        let (index, place) = weaker.min_by_key(|(_, place)| place.since)?;
        let is_long = place.since.elapsed() >= PATIENCE;
        if is_long {
            taken.places.swap_remove(index);
        }
        Some(is_long)
    }

    fn answered(&self, number: u64) {
        let mut taken = self.taken();
        let place = taken.places.iter_mut().find(|place| place.number == number);
        if let Some(place) = place {
            place.since = Instant::now();
        }
    }

    fn leave(&self, number: u64) {
        self.taken().places.retain(|place| place.number != number);
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's connection and its place.
pub(super) struct Client {
    stream: UnixStream,
    number: u64,
    places: Places,
    evicted: oneshot::Receiver<()>,
    timeout: Pin<Box<Sleep>>,
}

impl Client {
    /// While nothing can be read or written: whether its time, or its place, is gone.
    fn waits<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        let evicted = Pin::new(&mut self.evicted).poll(context).is_ready();
        if evicted || self.timeout.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.places.leave(self.number);
    }
}

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Pending => self.waits(context),
            ready @ Poll::Ready(_) => ready,
        }
    }
}

impl AsyncWrite for Client {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match Pin::new(&mut self.stream).poll_write(context, bytes) {
            Poll::Pending => self.waits(context),
            ready @ Poll::Ready(_) => {
                self.places.answered(self.number);
                let next = Instant::now() + TIMEOUT;
                self.timeout.as_mut().reset(next);
                ready
            }
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
