//! `ringbolt demo` (being built).

use std::process::ExitCode;

/// Runs the demonstration until Ctrl-C.
pub fn run() -> ExitCode {
    eprintln!("ringbolt: the demonstration is not built yet");
    ExitCode::FAILURE
}
