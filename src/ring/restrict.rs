//! A ring that can do less: what is submitted through a ring does not pass seccomp, so the ring itself is
//! told which operations it takes (IORING_REGISTER_RESTRICTIONS, Linux 5.10).
//!
//! That is possible only on a ring that is not enabled yet, and the runtime keeps its ring to itself. So
//! the ring is made disabled and then found by its number: the kernel gives the lowest free one, and
//! only a ring that is still disabled takes restrictions, so that nothing else can be hit by mistake.
//! Other threads open and close meanwhile, so all numbers are tried from the lowest on.

use std::io;
use std::os::fd::RawFd;
use std::sync::{Mutex, PoisonError};

/// The operations that this room submits: waits, their cancellation, and a close for a descriptor whose
/// wait is still in flight. Neither opening nor reading nor connecting is among them.
const OPERATIONS: [u8; 3] = [
    io_uring::opcode::PollAdd::CODE,
    io_uring::opcode::AsyncCancel::CODE,
    io_uring::opcode::Close::CODE,
];

/// Makes a disabled ring by `make`, restricts it, and enables it for this thread.
///
/// # Errors
/// Those of `make`, or that the kernel knows no restrictions; then what was made is dropped.
pub(super) fn restricted<T>(make: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    /// One ring at a time, so that the disabled one is this thread's.
    static MAKING: Mutex<()> = Mutex::new(());
    let _alone = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    let made = make()?;
    let ring = find()?;
    // SAFETY: enabling takes no argument; it concerns a ring that this thread has just made.
    unsafe { register(ring, REGISTER_ENABLE_RINGS, std::ptr::null(), 0) }?;
    Ok(made)
}

/// Restricts the disabled ring, wherever it is.
fn find() -> io::Result<RawFd> {
    let mut refused = io::Error::from(io::ErrorKind::NotFound);
    let rules = OPERATIONS.map(|operation| Rule {
        kind: RESTRICTION_SQE_OP,
        operation,
        reserved: [0; 13],
    });
    for ring in 0..BEYOND {
        let count = u32::try_from(rules.len()).expect("a handful");
        // SAFETY: the rules live until the call returns, which copies them; the kernel refuses it with
        // an error for every descriptor but a disabled ring.
        match unsafe { register(ring, REGISTER_RESTRICTIONS, rules.as_ptr().cast(), count) } {
            Ok(()) => return Ok(ring),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// # Safety
/// `argument` must be what `opcode` expects, with `count` elements (io_uring_register(2)).
unsafe fn register(
    ring: RawFd,
    opcode: libc::c_uint,
    argument: *const libc::c_void,
    count: libc::c_uint,
) -> io::Result<()> {
    // SAFETY: as promised by the caller.
    let result =
        unsafe { libc::syscall(libc::SYS_io_uring_register, ring, opcode, argument, count) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// `struct io_uring_restriction`.
#[repr(C)]
struct Rule {
    kind: u16,
    operation: u8,
    reserved: [u8; 13],
}

/// Numbers from here on are not tried: a ring is made at the start, where few descriptors are open. A kernel that cannot restrict
/// rings refuses all of them within some milliseconds.
const BEYOND: RawFd = 65_536;
/// From the kernel's `include/uapi/linux/io_uring.h`.
const REGISTER_RESTRICTIONS: libc::c_uint = 11;
const REGISTER_ENABLE_RINGS: libc::c_uint = 12;
const RESTRICTION_SQE_OP: u16 = 1;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::super::{Duplex, Operations, Received, Rung, Stream, block_on};

    /// What opening a file through the ring gives, after a wait that must work.
    fn open_through(operations: Operations) -> Option<std::io::Result<()>> {
        block_on(operations, |driver| async move {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            ours.set_nonblocking(true).unwrap();
            let stream = Stream::adopt(ours.into()).unwrap();
            theirs.write_all(b"x").unwrap();
            stream.readable().await.unwrap();
            assert_eq!(stream.try_recv(&mut [0; 8]).unwrap(), Received::Bytes(1));
            if driver.rung == Rung::Epoll {
                return None;
            }
            assert_eq!(driver.operations, operations);
            Some(monoio::fs::File::open("/dev/null").await.map(drop))
        })
        .unwrap()
    }

    #[test]
    fn a_restricted_ring_waits_and_opens_nothing() {
        if let Some(opened) = open_through(Operations::Few) {
            let error = opened.unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
            assert!(open_through(Operations::All).unwrap().is_ok());
        }
    }

    #[test]
    fn a_ring_is_found_though_other_threads_free_lower_numbers() {
        let done = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let others = [(); 2].map(|()| {
            let done = done.clone();
            std::thread::spawn(move || {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    drop([(); 16].map(|()| UnixStream::pair().unwrap()));
                }
            })
        });
        for _ in 0..50 {
            assert!(open_through(Operations::Few).is_none_or(|opened| opened.is_err()));
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        others.into_iter().for_each(|other| other.join().unwrap());
    }

    #[test]
    fn rings_made_at_once_are_all_restricted() {
        let threads: Vec<_> = (0..8)
            .map(|_| std::thread::spawn(|| open_through(Operations::Few)))
            .collect();
        for thread in threads {
            assert!(thread.join().unwrap().is_none_or(|opened| opened.is_err()));
        }
    }
}
