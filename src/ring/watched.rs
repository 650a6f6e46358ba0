//! A stream on which one wait stands also while nobody waits: a connection to a server, from one exchange to the next.
//!
//! While the connection is kept, the wait tells without a system call that something has come. Once it is lent, the same
//! wait is the one for the answer: so each exchange takes one poll and no look before it.

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::marker::PhantomPinned;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::{Buffer, Duplex, Received, Stream};

/// A stream, and the wait for its next bytes, which is never given up while the stream lives.
pub struct Watched(Pin<Box<dyn Stand>>);

/// What is behind a [`Watched`]: the type of a wait has no name.
trait Stand {
    fn stream(&self) -> &Stream;
    /// Polls the wait that stands, or begins one.
    fn poll(self: Pin<&Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Gives the wait up, and the stream out.
    fn take(self: Pin<&mut Self>) -> Stream;
}

struct Standing<F, B> {
    /// Borrows the stream, so it stands before it: fields are dropped in their order.
    wait: RefCell<Option<F>>,
    begin: B,
    /// There until it is taken out.
    stream: Option<Stream>,
    _stays: PhantomPinned,
}

impl<F: Future<Output = io::Result<()>>, B: Fn(&'static Stream) -> F> Stand for Standing<F, B> {
    fn stream(&self) -> &Stream {
        self.stream
            .as_ref()
            .expect("nobody has it once it is taken")
    }

    fn poll(self: Pin<&Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut slot = self.wait.borrow_mut();
        let wait = slot.get_or_insert_with(|| {
            // SAFETY: the value is pinned, so the stream stays where it is until it is dropped or taken, and both happen
            // after the wait is gone.
            (self.begin)(unsafe { &*std::ptr::from_ref(self.stream()) })
        });
        // SAFETY: the wait lies in a pinned value, and is only ever dropped where it lies.
        let ready = unsafe { Pin::new_unchecked(wait) }.poll(cx);
        if ready.is_ready() {
            *slot = None;
        }
        ready
    }

    fn take(self: Pin<&mut Self>) -> Stream {
        // SAFETY: the wait, which alone needs the value to stay, is dropped where it lies before anything moves.
        let this = unsafe { self.get_unchecked_mut() };
        *this.wait.get_mut() = None;
        this.stream.take().expect("it is taken once")
    }
}

impl Watched {
    /// Nothing stands yet.
    pub fn new(stream: Stream) -> Self {
        Self(Box::pin(Standing {
            wait: RefCell::new(None),
            begin: |stream: &'static Stream| stream.readable(),
            stream: Some(stream),
            _stays: PhantomPinned,
        }))
    }

    /// Whether nothing is known to have come, neither bytes nor the end: true until the runtime has heard otherwise, which it
    /// does once in each of its turns. From the first call on, a wait stands. After a "no" the stream is only good for closing.
    pub fn is_quiet(&self) -> bool {
        let nobody = &mut Context::from_waker(Waker::noop());
        self.0.as_ref().poll(nobody).is_pending()
    }

    /// The same by asking the kernel.
    pub fn is_silent(&self) -> bool {
        self.0.stream().is_quiet()
    }

    /// The stream alone. A wait that stands is given up.
    pub fn into_stream(mut self) -> Stream {
        self.0.as_mut().take()
    }
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.stream().fmt(f)
    }
}

impl Duplex for Watched {
    fn readable(&self) -> impl Future<Output = io::Result<()>> {
        std::future::poll_fn(|cx| self.0.as_ref().poll(cx))
    }

    fn writable(&self) -> impl Future<Output = io::Result<()>> {
        self.0.stream().writable()
    }

    fn try_recv(&self, space: &mut [u8]) -> io::Result<Received> {
        self.0.stream().try_recv(space)
    }

    fn try_recv_into(&self, buffer: &mut Buffer, most: usize) -> io::Result<Received> {
        self.0.stream().try_recv_into(buffer, most)
    }

    fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.stream().try_send(bytes)
    }

    fn try_send_last(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.stream().try_send_last(bytes)
    }

    fn finish(&self) {
        self.0.stream().finish();
    }

    fn spoil(&self) {
        self.0.stream().spoil();
    }

    fn descriptor(&self) -> Option<OwnedFd> {
        self.0.stream().descriptor()
    }

    fn local_address(&self) -> Option<SocketAddr> {
        self.0.stream().local_address()
    }

    fn has_input(&self) -> bool {
        self.0.stream().has_input()
    }

    fn peer_left(&self) -> bool {
        self.0.stream().peer_left()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::ring::{self, detach_test_stream};

    /// Until it is known; each look is a turn of the runtime.
    async fn hears(watched: &Watched) {
        while watched.is_quiet() {
            watched.writable().await.unwrap();
        }
    }

    #[test]
    fn what_comes_while_nobody_waits_is_known_later() {
        ring::block_on(ring::Operations::Few, |_| async {
            let (stream, mut peer) = detach_test_stream().unwrap();
            let watched = Watched::new(stream);
            assert!(watched.is_quiet() && watched.is_silent());
            peer.write_all(b"x").unwrap();
            assert!(!watched.is_silent());
            hears(&watched).await;
            let (stream, peer) = detach_test_stream().unwrap();
            let watched = Watched::new(stream);
            assert!(watched.is_quiet());
            drop(peer);
            hears(&watched).await;
        })
        .unwrap();
    }

    #[test]
    fn a_wait_that_stood_is_the_next_one_s() {
        ring::block_on(ring::Operations::Few, |_| async {
            let (stream, mut peer) = detach_test_stream().unwrap();
            let watched = Watched::new(stream);
            for _ in 0..3 {
                assert!(watched.is_quiet());
                peer.write_all(b"answer").unwrap();
                watched.readable().await.unwrap();
                let mut space = [0; 16];
                assert_eq!(watched.try_recv(&mut space).unwrap(), Received::Bytes(6));
            }
            assert!(watched.is_quiet());
            let stream = watched.into_stream();
            peer.write_all(b"more").unwrap();
            stream.readable().await.unwrap();
            assert!(!stream.is_quiet());
        })
        .unwrap();
    }
}
