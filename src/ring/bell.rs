//! How a worker wakes the control thread: a byte through a pair of sockets, one until somebody has looked.
//!
//! Never blocks, and says nothing: what there is to see lies in atomics that whoever looks reads. (A pair of sockets
//! because the control thread's runtime can watch one; an event descriptor it could watch only by unsafe code.)

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::SeqCst};

/// Shared by all workers and the one who looks.
pub struct Bell {
    rope: UnixStream,
    bell: UnixStream,
    rung: AtomicBool,
}

impl Bell {
    /// A new one.
    ///
    /// # Errors
    /// Those of socketpair(2): out of descriptors.
    pub fn new() -> io::Result<Self> {
        let (rope, bell) = UnixStream::pair()?;
        rope.set_nonblocking(true)?;
        bell.set_nonblocking(true)?;
        let rung = AtomicBool::new(false);
        Ok(Self { rope, bell, rung })
    }

    /// Sends the byte, unless one is on its way.
    pub fn ring(&self) {
        if !self.rung.swap(true, AcqRel) {
            // There is room for a byte.
            let _ = rustix::io::write(&self.rope, &[0]);
        }
    }

    /// Where the bytes arrive; never blocks.
    ///
    /// # Errors
    /// Out of descriptors.
    pub fn hear(&self) -> io::Result<UnixStream> {
        self.bell.try_clone()
    }

    /// Whoever looks calls this first, with the byte taken: what happens from now on rings again. Swapped, not stored, so
    /// that nothing is read before it, and what was rung for in vain is seen.
    pub fn hush(&self) {
        let _ = self.rung.swap(false, SeqCst);
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn it_rings_once_until_it_is_heard() {
        let bell = Bell::new().unwrap();
        let mut ear = bell.hear().unwrap();
        let mut heard = || ear.read(&mut [0; 8]).unwrap_or(0);
        assert_eq!(heard(), 0);
        bell.ring();
        bell.ring();
        assert_eq!(heard(), 1);
        bell.ring();
        assert_eq!(heard(), 0);
        bell.hush();
        bell.ring();
        assert_eq!(heard(), 1);
    }
}
