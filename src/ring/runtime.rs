//! The ladder: the best ring that this kernel and these limits allow, each rung tried for real.
//!
//! monoio's own detection makes a ring of two entries and then fails on the real one, because
//! locked memory is charged per user; so we try the rings themselves, best first, and end on epoll.

use std::future::Future;
use std::io;

use super::restrict::restricted;
use monoio::{FusionRuntime, IoUringDriver, LegacyDriver, Runtime, RuntimeBuilder};

/// Which driver a worker got.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// io_uring with single issuer and deferred task running (Linux 6.1), large completion queue.
    Deferred,
    /// io_uring with cooperative task running (Linux 5.19).
    Cooperative,
    /// A plain small io_uring (Linux 5.15).
    Plain,
    /// epoll: io_uring is refused.
    Epoll,
}

impl std::fmt::Display for Rung {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Deferred => "io_uring (deferred task running)",
            Self::Cooperative => "io_uring (cooperative task running)",
            Self::Plain => "io_uring (small plain ring)",
            Self::Epoll => "epoll",
        })
    }
}

/// What a ring takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operations {
    /// Everything that the kernel offers, past seccomp.
    All,
    /// Only what this room submits: polls, their cancellation, closing.
    Few,
}

/// What a thread runs on.
#[derive(Debug)]
pub struct Driver {
    /// The best there was.
    pub rung: Rung,
    /// Why it is not a better one.
    pub refused: Option<io::Error>,
    /// What its ring takes; on epoll there is no ring and nothing to restrict.
    pub operations: Operations,
}

impl Driver {
    /// The one of two that offers less speed, and the weaker of both restrictions.
    pub fn worse(self, other: Self) -> Self {
        let operations = if self.operations == other.operations {
            self.operations
        } else {
            Operations::All
        };
        let worse = if other.rung >= self.rung { other } else { self };
        Self {
            operations,
            ..worse
        }
    }
}

/// Runs `work` on this thread, on the best driver there is; `work` learns which one. Where the kernel cannot
/// restrict a ring, it takes [`Operations::All`] whatever is wanted.
///
/// # Errors
/// When not even epoll can be set up: out of descriptors or memory.
pub fn block_on<W: Future>(
    wanted: Operations,
    work: impl FnOnce(Driver) -> W,
) -> io::Result<W::Output> {
    let (mut runtime, driver) = climb(wanted)?;
    Ok(runtime.block_on(work(driver)))
}

type Any = FusionRuntime<IoUringDriver, LegacyDriver>;

fn climb(wanted: Operations) -> io::Result<(Any, Driver)> {
    let mut refused = None;
    if std::env::var_os("MONOIO_FORCE_LEGACY_DRIVER").is_none_or(|value| value == "0") {
        for rung in [Rung::Deferred, Rung::Cooperative, Rung::Plain] {
            match ring(rung, wanted) {
                Ok((runtime, operations)) => {
                    let driver = Driver {
                        rung,
                        refused,
                        operations,
                    };
                    return Ok((FusionRuntime::Uring(runtime), driver));
                }
                Err(error) => refused = Some(error),
            }
        }
    }
    super::task::on_epoll();
    let epoll = RuntimeBuilder::<LegacyDriver>::new().build()?;
    let driver = Driver {
        rung: Rung::Epoll,
        refused,
        operations: Operations::All,
    };
    Ok((FusionRuntime::Legacy(epoll), driver))
}

/// The ring of a rung, restricted if that is wanted and can be had.
fn ring(rung: Rung, wanted: Operations) -> io::Result<(Runtime<IoUringDriver>, Operations)> {
    if wanted == Operations::Few
        && let Ok(runtime) = restricted(|| build(rung, Operations::Few))
    {
        return Ok((runtime, Operations::Few));
    }
    Ok((build(rung, Operations::All)?, Operations::All))
}

/// The ring of a rung; one that is to be restricted is disabled until then.
fn build(rung: Rung, operations: Operations) -> io::Result<Runtime<IoUringDriver>> {
    let mut flags = io_uring::IoUring::builder();
    if operations == Operations::Few {
        flags.setup_r_disabled();
    }
    let entries = match rung {
        Rung::Deferred => {
            flags.setup_single_issuer().setup_defer_taskrun();
            flags
                .setup_coop_taskrun()
                .setup_submit_all()
                .setup_clamp()
                .setup_cqsize(8_192);
            1_024
        }
        Rung::Cooperative => {
            flags
                .setup_coop_taskrun()
                .setup_submit_all()
                .setup_clamp()
                .setup_cqsize(4_096);
            1_024
        }
        Rung::Plain | Rung::Epoll => {
            flags.setup_clamp();
            256
        }
    };
    RuntimeBuilder::<IoUringDriver>::new()
        .uring_builder(flags)
        .with_entries(entries)
        .build()
}
