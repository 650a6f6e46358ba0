//! Arguments and exit codes.
//!
//! Every subcommand is one file; this one only reads the arguments and says which. The codes are
//! stable, scripts may rely on them:
//!
//! | code | meaning |
//! | --- | --- |
//! | 0 | done, or stopped in good order |
//! | 1 | the configuration has problems (all of them are on standard error) |
//! | 2 | the arguments make no sense |
//! | 3 | could not start: an address in use, a missing privilege, a limit too low |
//! | 4 | `status`, `errors` or `server` found nobody at the control socket |
//! | 128 + N | the serving process was ended by signal N at its first start or in its drain |

#[macro_use]
mod output;
pub mod bench;
mod check;
mod completions;
pub mod demo;
mod errors;
mod server;
mod socket;
mod status;

use crate::control;
use clap::{CommandFactory, Parser, Subcommand};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Runs the command line and returns the process's exit code.
pub fn main() -> ExitCode {
    // What `run` starts to serve. It is of no use to people, so neither help nor completions name it.
    if std::env::args_os().skip(1).eq(["generation"]) {
        return control::generation::run();
    }
    // A shell asks for completions through the program itself; names of servers come from the running process.
    clap_complete::CompleteEnv::with_factory(Arguments::command).complete();
    match Arguments::parse().command {
        Command::Run { config } => control::launcher::run(&file(config)),
        Command::Check { config, json } => check::run(&file(config), json),
        Command::Demo(options) => demo::run(&options),
        Command::Status {
            config,
            socket,
            json,
            watch,
        } => status::run(&file(config), socket, json, watch.map(seconds)),
        Command::Errors {
            config,
            socket,
            json,
        } => errors::run(&file(config), socket, json),
        Command::Server {
            server,
            change,
            config,
            socket,
        } => server::run(&file(config), socket, &server, &change),
        Command::Bench { work } => bench::run(work),
        Command::Completions { shell } => completions::run(&shell),
    }
}

/// The configuration file: what the argument says, or `config.toml` in the present folder, or, when
/// there is none, where `scripts/install` puts it.
fn file(argument: Option<PathBuf>) -> PathBuf {
    let installed = Path::new("/etc/ringbolt/config.toml");
    argument.unwrap_or_else(|| match Path::new("config.toml") {
        here if !here.exists() && installed.exists() => installed.to_owned(),
        here => here.to_owned(),
    })
}

/// A load balancer that holds every WebSocket session fast to its server.
#[derive(Debug, Parser)]
#[command(name = "ringbolt", version, long_version = LONG_VERSION, about, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve as the configuration says, until SIGTERM or Ctrl-C.
    #[command(after_help = SIGNALS)]
    Run {
        /// The configuration file [default: config.toml here, else /etc/ringbolt/config.toml].
        config: Option<PathBuf>,
    },
    /// Read a configuration and report everything that is wrong with it; nothing is started.
    #[command(after_help = "Exit code: 0 if it is good, 1 if it has problems.")]
    Check {
        /// The configuration file, or - for standard input [default: config.toml here, else /etc/ringbolt/config.toml].
        config: Option<PathBuf>,
        /// Write the result as one JSON object to standard output.
        #[arg(long)]
        json: bool,
    },
    /// See a session held fast: two servers, the proxy and a page, all in this program.
    Demo(demo::Options),
    /// Show what a running Ringbolt is doing: listeners, pools, servers, their health and load.
    Status {
        /// The configuration file that names the control socket [default: as for `run`].
        config: Option<PathBuf>,
        /// The control socket itself; the configuration is not read.
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
        /// Write the answer as JSON, as it came.
        #[arg(long)]
        json: bool,
        /// Ask again every so many seconds, until Ctrl-C.
        #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
              value_parser = clap::value_parser!(u64).range(1..=86_400))]
        watch: Option<u64>,
    },
    /// Show the last messages that a running Ringbolt refused: why, and where each is wrong. Secrets are masked.
    Errors {
        /// The configuration file that names the control socket [default: as for `run`].
        config: Option<PathBuf>,
        /// The control socket itself; the configuration is not read.
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
        /// Write the answer as JSON, as it came.
        #[arg(long)]
        json: bool,
    },
    /// Change a server of a running Ringbolt, without touching its configuration, or close its tunnels.
    Server {
        /// Which one: POOL/NAME, or POOL/* for all of a pool, one after the other.
        #[arg(add = clap_complete::engine::ArgValueCompleter::new(completions::servers))]
        server: String,
        #[command(subcommand)]
        change: server::Change,
        /// The configuration file that names the control socket [default: as for `run`].
        #[arg(long, value_name = "FILE", global = true)]
        config: Option<PathBuf>,
        /// The control socket itself; the configuration is not read.
        #[arg(long, value_name = "PATH", global = true)]
        socket: Option<PathBuf>,
    },
    /// Measure tunnels through any proxy: round trips, throughput, handshakes, memory at rest.
    Bench {
        #[command(subcommand)]
        work: bench::Work,
    },
    /// Write a completion script for a shell to standard output.
    Completions {
        /// Which shell: bash, zsh, fish, elvish or powershell.
        #[arg(value_parser = completions::SHELLS)]
        shell: String,
    },
}

const SIGNALS: &str = "\
Signals:
  SIGTERM, SIGINT  stop accepting, wait for exchanges and tunnels until process.drain_timeout, then
                   close what is left; a second one closes it at once
  SIGHUP           read the configuration again; a bad one changes nothing
  SIGUSR1          reopen log files (after rotation)
  SIGQUIT          as SIGTERM; SIGUSR2 and others do nothing

Exit codes: 0 stopped in good order, 1 problems in the configuration, 2 wrong arguments,
3 could not start, 128+N the serving process was ended by signal N.";

/// What was built, from what, and for what.
const LONG_VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (commit ",
    env!("RINGBOLT_COMMIT"),
    ", ",
    env!("RINGBOLT_DATE"),
    ")\ntarget: ",
    env!("RINGBOLT_TARGET"),
    "\nfeatures: ",
    env!("RINGBOLT_FEATURES"),
);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// `status`, `errors` or `server` found nobody at the socket.
const EXIT_NOBODY: u8 = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
