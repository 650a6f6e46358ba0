//! A precise wait for one waiter, by a timer descriptor of its own: for measuring. Traffic has [`super::Timer`].

use std::io;
use std::time::Duration;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use super::{Duplex, Stream};

/// An alarm clock.
#[derive(Debug)]
pub struct Alarm {
    descriptor: Stream,
}

impl Alarm {
    /// One that is not set.
    ///
    /// # Errors
    /// Those of timerfd_create(2).
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self {
            descriptor: Stream::adopt(descriptor)?,
        })
    }

    /// Waits that long; to be awaited by one task at a time.
    ///
    /// # Errors
    /// Those of timerfd_settime(2), which nothing but a broken descriptor can cause.
    pub async fn after(&self, wait: Duration) -> io::Result<()> {
        if wait.is_zero() {
            return Ok(());
        }
        let once = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec {
                tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: wait.subsec_nanos().into(),
            },
        };
        rustix::time::timerfd_settime(&self.descriptor, TimerfdTimerFlags::empty(), &once)?;
        self.descriptor.readable().await?;
        let _ = rustix::io::read(&self.descriptor, &mut [0_u8; 8][..]);
        Ok(())
    }
}
