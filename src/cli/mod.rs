//! Arguments and exit codes.

use std::process::ExitCode;

pub mod demo;

/// Runs the command line and returns the process's exit code.
pub fn main() -> ExitCode {
    ExitCode::SUCCESS
}
