//! What the fuzz targets in `src/bin/` share. Each hands its input to the property function that the
//! unit tests of that reader call too; a property that fails panics, and that is a finding.
//!
//! The rooms that are fuzzed are compiled into this crate as they are: they are pure and name one another only, so
//! that nothing of the proxy's sockets has to be built, and the passes that count coverage see nothing else.

#[path = "../../src/balance/mod.rs"]
pub mod balance;
#[path = "../../src/config/mod.rs"]
pub mod config;
#[path = "../../src/wire/mod.rs"]
pub mod wire;

/// Where to cut an input in two: anywhere, but always at the same place of the same bytes, so that a
/// seed is a plain message.
pub fn cut(input: &[u8]) -> usize {
    let sum: usize = input.iter().copied().map(usize::from).sum();
    sum % (input.len() + 1)
}
