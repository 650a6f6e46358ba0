//! Pairs of descriptors at rest: watched by one epoll set, which the ring watches as one descriptor.
//!
//! A task that waits for two sockets costs its future, two operations of the runtime and two polls
//! of the ring, well over a kilobyte, and most of a chat's tunnels rest most of the time. So whoever
//! has rested for a moment gives up its task: what is left are the two descriptors and one value,
//! until a byte comes for either of them.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use super::{Duplex, Stream};

/// Pairs at rest, each with a value and a deadline: a step of the thread's wheel ([`Moment::step`](super::Moment::step)).
pub struct Rest<T> {
    set: Stream,
    slots: RefCell<Slots<T>>,
}

/// One pair and what it belongs to.
pub struct Pair<T> {
    /// The first descriptor.
    pub first: OwnedFd,
    /// The second.
    pub second: OwnedFd,
    /// Kept small by being elsewhere.
    pub value: Box<T>,
    /// When its rest ends at the latest; `u32::MAX` is never.
    pub deadline: u32,
}

struct Slots<T> {
    pairs: Vec<Option<Place<T>>>,
    /// Of the same pairs, in a row of their own: looking for those that are due reads nothing else.
    deadlines: Vec<u32>,
    free: Vec<u32>,
    /// Nothing is due before.
    soonest: u32,
}

/// A pair without its deadline.
struct Place<T> {
    first: OwnedFd,
    second: OwnedFd,
    value: Box<T>,
}

impl<T> Rest<T> {
    /// An empty set.
    ///
    /// # Errors
    /// Those of epoll_create1(2): out of descriptors or memory.
    pub fn new() -> io::Result<Self> {
        let set = Stream::adopt(epoll::create(CreateFlags::CLOEXEC)?)?;
        let slots = RefCell::new(Slots {
            pairs: Vec::new(),
            deadlines: Vec::new(),
            free: Vec::new(),
            soonest: NEVER,
        });
        Ok(Self { set, slots })
    }

    /// Lays a pair to rest.
    ///
    /// # Errors
    /// Gives the pair back if the kernel does not take it: then it has to wait in a task.
    pub fn put(&self, pair: Pair<T>) -> Result<(), Pair<T>> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.free.pop().unwrap_or_else(|| {
            slots.pairs.push(None);
            slots.deadlines.push(NEVER);
            u32::try_from(slots.pairs.len() - 1).expect("fewer pairs than descriptors")
        });
        let data = EventData::new_u64(u64::from(slot));
        let flags = EventFlags::IN | EventFlags::RDHUP;
        let watched = epoll::add(&self.set, &pair.first, data, flags).and_then(|()| {
            epoll::add(&self.set, &pair.second, data, flags).inspect_err(|_| {
                let _ = epoll::delete(&self.set, &pair.first);
            })
        });
        if watched.is_err() {
            slots.free.push(slot);
            return Err(pair);
        }
        let Pair {
            first,
            second,
            value,
            deadline,
        } = pair;
        slots.soonest = slots.soonest.min(deadline);
        slots.deadlines[slot as usize] = deadline;
        slots.pairs[slot as usize] = Some(Place {
            first,
            second,
            value,
        });
        Ok(())
    }

    /// Hands over every pair for which something has come, for as long as the thread lives.
    ///
    /// # Errors
    /// When the set cannot be watched, which nothing but a broken ring can cause.
    pub async fn wake(&self, mut woken: impl FnMut(Pair<T>)) -> io::Result<()> {
        let none = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut events: Vec<Event> = Vec::with_capacity(WOKEN);
        loop {
            self.set.readable().await?;
            events.clear();
            epoll::wait(
                &self.set,
                rustix::buffer::spare_capacity(&mut events),
                Some(&none),
            )?;
            for event in &events {
                // The second descriptor of a pair whose first one was just woken finds nothing.
                if let Some(pair) = self.take(event.data.u64()) {
                    woken(pair);
                }
            }
            super::breathe().await;
        }
    }

    /// How many rest.
    pub fn len(&self) -> usize {
        let slots = self.slots.borrow();
        slots.pairs.len() - slots.free.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes pairs whose deadline has come, `most` of them.
    pub fn take_due(&self, now: u32, most: usize) -> Vec<Pair<T>> {
        let mut due = Vec::new();
        {
            let mut slots = self.slots.borrow_mut();
            if slots.soonest > now {
                return Vec::new();
            }
            let mut soonest = NEVER;
            for (slot, deadline) in (0_u64..).zip(&slots.deadlines) {
                if *deadline <= now && *deadline != NEVER && due.len() < most {
                    due.push(slot);
                } else {
                    soonest = soonest.min(*deadline);
                }
            }
            slots.soonest = soonest;
        }
        due.into_iter().filter_map(|slot| self.take(slot)).collect()
    }

    /// Takes every pair.
    pub fn take_all(&self) -> Vec<Pair<T>> {
        let count = self.slots.borrow().pairs.len() as u64;
        (0..count).filter_map(|slot| self.take(slot)).collect()
    }

    /// Takes pairs for whose value `which` holds, as long as there `may` be one more. Looks once through all that rest,
    /// beginning where the last look ended, and says where this one did: so whoever takes a few at a time walks the
    /// table once for all of them.
    pub fn take_some(
        &self,
        from: usize,
        which: impl Fn(&T) -> bool,
        mut may: impl FnMut() -> bool,
    ) -> (Vec<Pair<T>>, usize) {
        let (mut chosen, mut next) = (Vec::new(), from);
        {
            let slots = self.slots.borrow();
            let count = slots.pairs.len();
            let from = from.min(count);
            for slot in (from..count).chain(0..from) {
                let pair = slots.pairs[slot].as_ref();
                if !pair.is_some_and(|pair| which(&pair.value)) {
                    continue;
                }
                if !may() {
                    next = slot;
                    break;
                }
                chosen.push(slot as u64);
            }
        }
        let taken = chosen.into_iter().filter_map(|slot| self.take(slot));
        (taken.collect(), next)
    }

    fn take(&self, slot: u64) -> Option<Pair<T>> {
        let mut slots = self.slots.borrow_mut();
        let slot = u32::try_from(slot).ok()?;
        let Place {
            first,
            second,
            value,
        } = slots.pairs.get_mut(slot as usize)?.take()?;
        let deadline = std::mem::replace(&mut slots.deadlines[slot as usize], NEVER);
        slots.free.push(slot);
        for descriptor in [first.as_fd(), second.as_fd()] {
            let _ = epoll::delete(&self.set, descriptor);
        }
        Some(Pair {
            first,
            second,
            value,
            deadline,
        })
    }
}

/// Pairs that a thread lays to rest in one step of its wheel. Each has two descriptors twice until the ring has cancelled
/// the waits of its task, and many can become quiet at once: after the thread was kept from running, all of them.
pub const A_STEP: u32 = 64;

/// Reserves a place for one more pair, and returns the step of this thread's wheel to which it belongs: the present one, or
/// the next one that has fewer than [`A_STEP`].
pub fn reserve_step() -> u32 {
    let (last, taken) = RESERVED.get();
    let next = reserve(super::step(), last, taken);
    RESERVED.set(next);
    next.0
}

/// The step of the next place, and how many of that step are taken then.
const fn reserve(now: u32, last: u32, taken: u32) -> (u32, u32) {
    if last < now {
        (now, 1)
    } else if taken < A_STEP {
        (last, taken + 1)
    } else {
        (last + 1, 1)
    }
}

thread_local! {
    /// The latest step with a reserved place, and how many it has.
    static RESERVED: Cell<(u32, u32)> = const { Cell::new((0, 0)) };
}

/// A deadline that does not come.
const NEVER: u32 = u32::MAX;

/// Events taken at a time.
const WOKEN: usize = 128;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::cell::RefCell;
    use std::future::Future;
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    fn pair(value: u32) -> Pair<u32> {
        let (a, c) = (UnixStream::pair().unwrap().0, UnixStream::pair().unwrap().0);
        let (first, second) = (a.into(), c.into());
        Pair {
            first,
            second,
            value: Box::new(value),
            deadline: 0,
        }
    }

    #[test]
    fn no_step_has_more_places_than_it_may() {
        let (mut last, mut taken) = (0, 0);
        let mut of_step = std::collections::BTreeMap::new();
        for number in 0..5 * A_STEP {
            // Two steps go by meanwhile.
            let now = 7 + number / (3 * A_STEP);
            (last, taken) = reserve(now, last, taken);
            assert!(last >= now);
            *of_step.entry(last).or_insert(0) += 1;
        }
        assert_eq!(of_step, (7..12).map(|step| (step, A_STEP)).collect());
        assert_eq!(reserve(40, last, taken), (40, 1));
    }

    #[test]
    fn a_few_are_taken_in_turn() {
        super::super::block_on(super::super::Operations::All, |_| async {
            let rest = Rest::new().unwrap();
            for value in 0..6 {
                assert!(rest.put(pair(value)).is_ok());
            }
            let take = |from, most: usize| {
                let mut left = most;
                let may = || left.checked_sub(1).map(|less| left = less).is_some();
                let (pairs, next) = rest.take_some(from, |value| value % 2 == 1, may);
                (
                    pairs.iter().map(|pair| *pair.value).collect::<Vec<_>>(),
                    next,
                )
            };
            assert_eq!(take(0, 1), (vec![1], 3));
            assert!(rest.put(pair(1)).is_ok());
            assert_eq!(take(3, 1), (vec![3], 5));
            // Goes on behind the last one, and comes round.
            assert_eq!(take(5, 9).0, [5, 1]);
            assert_eq!(take(5, 9).0, [0; 0]);
            assert_eq!(rest.len(), 3);
        })
        .unwrap();
    }

    #[test]
    fn those_that_are_due_are_taken_a_few_at_a_time() {
        super::super::block_on(super::super::Operations::All, |_| async {
            let rest = Rest::new().unwrap();
            for deadline in [5, 7, NEVER, 5, 9] {
                let pair = Pair {
                    deadline,
                    ..pair(deadline)
                };
                assert!(rest.put(pair).is_ok());
            }
            let due = |now, most| {
                let pairs = rest.take_due(now, most);
                pairs.iter().map(|pair| *pair.value).collect::<Vec<_>>()
            };
            assert_eq!(due(4, 9), [0; 0]);
            assert_eq!(due(5, 1), [5]);
            assert_eq!(due(5, 1), [5]);
            assert_eq!(due(6, 1), [0; 0]);
            assert!(
                rest.put(Pair {
                    deadline: 6,
                    ..pair(6)
                })
                .is_ok()
            );
            assert_eq!(due(8, 9), [7, 6]);
            assert_eq!(due(NEVER, 9), [9]);
            assert_eq!(rest.len(), 1);
        })
        .unwrap();
    }

    #[test]
    fn a_byte_or_an_end_wakes_a_pair_once() {
        super::super::block_on(super::super::Operations::All, |_| async {
            let rest = Rest::new().unwrap();
            let mut outside = Vec::new();
            for value in 0..3_u32 {
                let ((a, b), (c, d)) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
                let (first, second) = (a.into(), c.into());
                let pair = Pair {
                    first,
                    second,
                    value: Box::new(value),
                    deadline: value,
                };
                assert!(rest.put(pair).is_ok());
                outside.push((b, d));
            }
            outside[1].0.write_all(b"x").unwrap();
            outside[1].1.write_all(b"x").unwrap();
            drop(outside.pop());
            let woken = RefCell::new(Vec::new());
            let mut wake = pin!(rest.wake(|pair| woken.borrow_mut().push(*pair.value)));
            std::future::poll_fn(|cx| {
                assert!(wake.as_mut().poll(cx).is_pending());
                if woken.borrow().len() < 2 {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            })
            .await;
            woken.borrow_mut().sort_unstable();
            assert_eq!(*woken.borrow(), [1, 2]);
            assert_eq!(rest.take_all().len(), 1);
        })
        .unwrap();
    }
}
