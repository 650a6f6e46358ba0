//! Printing, for every command: a reader that has gone (`ringbolt status | head`) is no failure, and nothing is left undone
//! because of it. The print macros of the standard library would panic.

use std::fmt;
use std::io::{self, Write};

/// `println!`, which a closed standard output does not stop.
macro_rules! outln {
    ($($text:tt)*) => { $crate::cli::output::line(std::io::stdout(), format_args!($($text)*)) };
}

/// `eprintln!`, which a closed standard error does not stop.
macro_rules! errln {
    ($($text:tt)*) => { $crate::cli::output::line(std::io::stderr(), format_args!($($text)*)) };
}

/// Writes a line at once; false when nobody can read it.
pub(super) fn line(to: impl Write, text: fmt::Arguments<'_>) -> bool {
    write(to, &format!("{text}\n")).is_ok()
}

/// Writes text and flushes it.
///
/// # Errors
/// Nobody can read it.
pub(super) fn write(mut to: impl Write, text: &str) -> io::Result<()> {
    to.write_all(text.as_bytes())?;
    to.flush()
}
