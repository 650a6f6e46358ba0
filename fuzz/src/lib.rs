//! What the fuzz targets in `src/bin/` share. Each hands its input to the property function that the
//! unit tests of that reader call too; a property that fails panics, and that is a finding.

/// Where to cut an input in two: anywhere, but always at the same place of the same bytes, so that a
/// seed is a plain message.
pub fn cut(input: &[u8]) -> usize {
    let sum: usize = input.iter().copied().map(usize::from).sum();
    sum % (input.len() + 1)
}
