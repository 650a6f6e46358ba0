//! The ladder: the best ring that this kernel and these limits allow, each rung tried for real.
//!
//! monoio's own detection makes a ring of two entries and then fails on the real one, because
//! locked memory is charged per user; so we try the rings themselves, best first, and end on epoll.

use std::future::Future;
use std::io;

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

/// Runs `work` on this thread, on the best driver there is. `work` learns which one, and why not a better one.
///
/// # Errors
/// When not even epoll can be set up: out of descriptors or memory.
pub fn block_on<W: Future>(
    work: impl FnOnce(Rung, Option<io::Error>) -> W,
) -> io::Result<W::Output> {
    let (mut runtime, rung, refused) = climb()?;
    Ok(runtime.block_on(work(rung, refused)))
}

type Any = FusionRuntime<IoUringDriver, LegacyDriver>;

fn climb() -> io::Result<(Any, Rung, Option<io::Error>)> {
    let mut refused = None;
    if std::env::var_os("MONOIO_FORCE_LEGACY_DRIVER").is_none_or(|value| value == "0") {
        for rung in [Rung::Deferred, Rung::Cooperative, Rung::Plain] {
            match ring(rung) {
                Ok(runtime) => return Ok((FusionRuntime::Uring(runtime), rung, refused)),
                Err(error) => refused = Some(error),
            }
        }
    }
    super::task::on_epoll();
    let epoll = RuntimeBuilder::<LegacyDriver>::new().build()?;
    Ok((FusionRuntime::Legacy(epoll), Rung::Epoll, refused))
}

fn ring(rung: Rung) -> io::Result<Runtime<IoUringDriver>> {
    let mut flags = io_uring::IoUring::builder();
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
