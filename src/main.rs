//! The `ringbolt` binary: the allocator, and the door to the command line.

use std::process::ExitCode;

/// Small fast allocations on every thread without a shared lock; an idle tunnel's few hundred bytes
/// pack tightly in its size classes.
#[cfg(not(debug_assertions))]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The same, and the workers' allocations are counted: tests/allocations.rs asks for the number.
#[cfg(debug_assertions)]
#[global_allocator]
static ALLOCATOR: ringbolt::ring::Counting<mimalloc::MiMalloc> =
    ringbolt::ring::Counting(mimalloc::MiMalloc);

fn main() -> ExitCode {
    ringbolt::cli::main()
}
