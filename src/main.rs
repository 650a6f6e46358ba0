//! The `ringbolt` binary: the allocator, and the door to the command line.

use std::process::ExitCode;

/// Small fast allocations on every thread without a shared lock; an idle tunnel's few hundred bytes
/// pack tightly in its size classes.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ringbolt::cli::main()
}
