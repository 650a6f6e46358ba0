//! Peers that may leave: watched by one epoll set per thread, which the ring watches as one descriptor.
//!
//! A poll for readability would be over at once where a client has sent something ahead that nobody reads yet. Only an epoll
//! set can be asked for the end alone (EPOLLRDHUP), and it costs nothing while nobody leaves.

use std::cell::RefCell;
use std::io;
use std::os::fd::BorrowedFd;
use std::rc::Rc;
use std::task::Waker;

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::{Duplex, Stream};

/// Tells when a peer has ended its side or is gone. Made for waits that are long; gone when dropped.
pub struct Hangup<'a> {
    watched: BorrowedFd<'a>,
    set: Rc<Stream>,
    slot: u32,
}

impl<'a> Hangup<'a> {
    /// Watches a socket.
    ///
    /// # Errors
    /// Those of epoll_create1(2) and epoll_ctl(2): out of descriptors, memory or watches.
    pub fn watch(watched: BorrowedFd<'a>) -> io::Result<Self> {
        let set = set()?;
        let slot = SLOTS.with_borrow_mut(Slots::add);
        let data = EventData::new_u64(slot.into());
        // Once: whoever was told looks no further.
        let flags = EventFlags::RDHUP | EventFlags::ONESHOT;
        let hangup = Self { watched, set, slot };
        epoll::add(&*hangup.set, watched, data, flags)?;
        Ok(hangup)
    }

    /// Makes this thread's set, so that no descriptor has to be found for it later.
    ///
    /// # Errors
    /// Those of epoll_create1(2).
    pub fn prepare() -> io::Result<()> {
        set().map(drop)
    }

    /// Whether the peer has left; leaves a waker if not.
    pub fn is_over(&self, waker: &Waker) -> bool {
        SLOTS.with_borrow_mut(|slots| match &mut slots.watches[self.slot as usize] {
            Watch::Left => true,
            Watch::Waiting(known) if known.will_wake(waker) => false,
            watch => {
                *watch = Watch::Waiting(waker.clone());
                false
            }
        })
    }
}

impl Drop for Hangup<'_> {
    fn drop(&mut self) {
        let _ = epoll::delete(&*self.set, self.watched);
        let _ = SLOTS.try_with(|slots| {
            let mut slots = slots.borrow_mut();
            slots.watches[self.slot as usize] = Watch::New;
            slots.free.push(self.slot);
        });
    }
}

/// What is known of one peer.
enum Watch {
    /// Nobody has asked yet.
    New,
    Waiting(Waker),
    Left,
}

#[derive(Default)]
struct Slots {
    watches: Vec<Watch>,
    free: Vec<u32>,
}

impl Slots {
    fn add(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.watches.push(Watch::New);
            u32::try_from(self.watches.len() - 1).expect("fewer watches than descriptors")
        })
    }
}

/// This thread's set, made the first time together with a task that waits for it.
fn set() -> io::Result<Rc<Stream>> {
    if let Some(set) = SET.with_borrow(Option::clone) {
        return Ok(set);
    }
    let set = Rc::new(Stream::adopt(epoll::create(CreateFlags::CLOEXEC)?)?);
    SET.set(Some(Rc::clone(&set)));
    let watched = Rc::clone(&set);
    super::spawn(async move {
        // It ends only with the ring.
        let _ = tell(&watched).await;
    });
    Ok(set)
}

async fn tell(set: &Stream) -> io::Result<()> {
    let none = rustix::event::Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut events: Vec<Event> = Vec::with_capacity(AT_A_TIME);
    loop {
        set.readable().await?;
        events.clear();
        epoll::wait(
            set,
            rustix::buffer::spare_capacity(&mut events),
            Some(&none),
        )?;
        for event in &events {
            let left = SLOTS.with_borrow_mut(|slots| {
                let watch = slots
                    .watches
                    .get_mut(usize::try_from(event.data.u64()).ok()?)?;
                Some(std::mem::replace(watch, Watch::Left))
            });
            if let Some(Watch::Waiting(waker)) = left {
                waker.wake();
            }
        }
        super::breathe().await;
    }
}

/// Events taken at a time.
const AT_A_TIME: usize = 64;

thread_local! {
    static SET: RefCell<Option<Rc<Stream>>> = const { RefCell::new(None) };
    static SLOTS: RefCell<Slots> = const { RefCell::new(Slots { watches: Vec::new(), free: Vec::new() }) };
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Write;
    use std::net::Shutdown;
    use std::os::fd::AsFd;

    use super::*;

    #[test]
    fn an_end_is_told_and_bytes_are_not() {
        super::super::block_on(super::super::Operations::All, |_| async {
            let (stays, mut outside) = super::super::detach_test_stream().unwrap();
            let (leaves, other) = super::super::detach_test_stream().unwrap();
            let one = Hangup::watch(stays.as_fd()).unwrap();
            let two = Hangup::watch(leaves.as_fd()).unwrap();
            outside.write_all(b"ahead").unwrap();
            other.shutdown(Shutdown::Write).unwrap();
            std::future::poll_fn(|cx| {
                assert!(!one.is_over(cx.waker()));
                match two.is_over(cx.waker()) {
                    true => std::task::Poll::Ready(()),
                    false => std::task::Poll::Pending,
                }
            })
            .await;
            drop(two);
            // Its place is another's now.
            let (third, _out) = super::super::detach_test_stream().unwrap();
            let third = Hangup::watch(third.as_fd()).unwrap();
            assert!(!third.is_over(Waker::noop()));
            assert!(!one.is_over(Waker::noop()));
        })
        .unwrap();
    }
}
