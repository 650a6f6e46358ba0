//! Messages to a worker from other threads: a queue and an event descriptor.
//!
//! monoio's `sync` feature would take two mutexes at every park; commands are rare, so they pay
//! for themselves here.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crossbeam_queue::SegQueue;
use rustix::event::{EventfdFlags, eventfd};

use super::{Duplex, Stream};

/// The worker's end. Made on any thread, opened on the worker's.
pub struct Mailbox<T> {
    shared: Arc<Shared<T>>,
}

/// The other end; clones go to whoever has something to say.
pub struct Sender<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    queue: SegQueue<T>,
    bell: OwnedFd,
}

/// A new mailbox.
///
/// # Errors
/// Those of eventfd(2): out of descriptors.
pub fn mailbox<T>() -> io::Result<(Sender<T>, Mailbox<T>)> {
    let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
    let shared = Arc::new(Shared {
        queue: SegQueue::new(),
        bell,
    });
    Ok((
        Sender {
            shared: shared.clone(),
        },
        Mailbox { shared },
    ))
}

impl<T> Sender<T> {
    /// Leaves a message and rings. Never blocks.
    pub fn send(&self, message: T) {
        self.shared.queue.push(message);
        // The only failure is a counter near 2^64, which has rung already.
        let _ = rustix::io::write(&self.shared.bell, &1_u64.to_ne_bytes());
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self {
            shared: self.shared.clone(),
        }
    }
}

impl<T> Mailbox<T> {
    /// Hands every message to `read`, for as long as the thread lives.
    ///
    /// # Errors
    /// When the bell cannot be watched.
    pub async fn deliver(self, mut read: impl FnMut(T)) -> io::Result<()> {
        let bell = Stream::adopt(self.shared.bell.try_clone()?)?;
        loop {
            bell.readable().await?;
            let mut count = [0_u8; 8];
            let _ = rustix::io::read(&bell, &mut count[..]);
            while let Some(message) = self.shared.queue.pop() {
                read(message);
            }
        }
    }
}
