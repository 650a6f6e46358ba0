//! `ringbolt server POOL/NAME …`: changes a server of a running Ringbolt.

use super::socket;
use crate::control::Weighed;
use clap::Subcommand;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What is changed.
#[derive(Debug, Subcommand)]
pub(super) enum Change {
    /// Its share of the new clients, until the next restart or until the file gives another.
    Weight {
        /// 0 to 256; 0 takes only clients whose cookie names it.
        #[arg(value_parser = clap::value_parser!(u16).range(0..=256))]
        weight: u16,
    },
}

/// Asks the process at the socket to change it, and says what it did.
pub(super) fn run(
    config: &Path,
    given: Option<PathBuf>,
    server: &str,
    change: &Change,
) -> ExitCode {
    let socket = match socket::path(config, given, "server") {
        Ok(socket) => socket,
        Err(code) => return code,
    };
    let Some((pool, name)) = server
        .split_once('/')
        .filter(|(p, s)| is_name(p) && is_name(s))
    else {
        eprintln!(
            "ringbolt: \"{server}\" is no server: write POOL/NAME, as the configuration has them"
        );
        return ExitCode::from(EXIT_USAGE);
    };
    let Change::Weight { weight } = change;
    let path = format!("/v1/pools/{pool}/servers/{name}/weight");
    match socket::ask(&socket, "PUT", &path, &weight.to_string()) {
        Ok((200, body)) => match serde_json::from_str::<Weighed>(&body) {
            Ok(Weighed { weight, was, .. }) => {
                println!("{server}: weight {weight}, was {was}");
                ExitCode::SUCCESS
            }
            Err(_) => socket::nobody(&socket, &socket::unexpected(&body)),
        },
        Ok((_, why)) => {
            eprintln!("ringbolt: {}", why.trim_end());
            ExitCode::from(EXIT_USAGE)
        }
        Err(error) => socket::nobody(&socket, &error),
    }
}

/// Characters of a pool's or server's name, which stand for themselves in a path.
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    !name.is_empty() && name.bytes().all(fits)
}

/// The arguments make no sense, or name nothing that is there.
const EXIT_USAGE: u8 = 2;
