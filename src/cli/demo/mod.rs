//! `ringbolt demo`: two small servers, the proxy over them, and a page to watch a session move.

use std::process::ExitCode;

/// Arguments of `ringbolt demo`.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Options {
    /// Port of the page on 127.0.0.1 [default: 8080, or any free one when that is taken].
    #[arg(long, value_name = "PORT")]
    pub port: Option<u16>,
}

/// Runs the demo until Ctrl-C; 0 after a clean end, 1 when it could not start or the proxy died.
pub fn run(options: &Options) -> ExitCode {
    eprintln!("ringbolt demo: not built yet (port {:?})", options.port);
    ExitCode::FAILURE
}
