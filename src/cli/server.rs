//! `ringbolt server POOL/NAME …`: changes a server of a running Ringbolt, or closes its tunnels.

use super::{socket, status};
use crate::control::status::{Status, count};
use crate::control::{Closed, Stated, Weighed};
use clap::Subcommand;
use serde::de::DeserializeOwned;
use std::io;
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
    /// It takes clients again, as far as its checks allow; after maintenance slowly, if it has a slow_start.
    Ready,
    /// Only clients whose cookie names it still come; checks go on, tunnels stay (see the pool's drain).
    Drain,
    /// Nobody comes and nobody checks it; tunnels stay unless the pool's on_down says otherwise.
    Maintenance,
    /// Ends its tunnels, without changing its state.
    CloseTunnels {
        /// Spread over this time, such as 30s, so that their clients do not all come back at once.
        #[arg(long, value_name = "DURATION")]
        over: Option<String>,
    },
}

/// Asks the process at the socket to change it, or all of a pool one after the other, and says what it did.
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
        .filter(|(p, s)| is_name(p) && (is_name(s) || *s == "*"))
    else {
        errln!(
            "ringbolt: \"{server}\" is no server: write POOL/NAME, as the configuration has them, or POOL/* for all of a pool"
        );
        return ExitCode::from(EXIT_USAGE);
    };
    let names = match name {
        "*" => names(&socket, pool, matches!(change, Change::CloseTunnels { .. })),
        name => Ok(vec![name.to_owned()]),
    };
    let refused = |refusal| match refusal {
        Refusal::NotThere(why) => {
            errln!("ringbolt: {}", why.trim_end());
            ExitCode::from(EXIT_USAGE)
        }
        Refusal::Nobody(error) => socket::nobody(&socket, &error),
    };
    let names = match names {
        Ok(names) => names,
        Err(refusal) => return refused(refusal),
    };
    // All of them, whether or not somebody reads what is done, and though one may have gone meanwhile.
    let mut code = ExitCode::SUCCESS;
    for name in names {
        match ask(&socket, pool, &name, change) {
            Ok(done) => drop(outln!("{pool}/{name}: {done}")),
            Err(refusal @ Refusal::NotThere(_)) => code = refused(refusal),
            Err(refusal @ Refusal::Nobody(_)) => return refused(refusal),
        }
    }
    code
}

/// Why nothing was changed.
enum Refusal {
    /// What was named is not there, or what was asked makes no sense.
    NotThere(String),
    /// Nobody answers, or not as expected.
    Nobody(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Nobody(error)
    }
}

/// The servers of a pool, and those that it had, as long as they have tunnels (`removed`).
fn names(socket: &Path, pool: &str, removed: bool) -> Result<Vec<String>, Refusal> {
    let status: Status = read(&status::ask(socket)?)?;
    let found = status.pools.into_iter().find(|other| other.name == pool);
    let found = found.ok_or_else(|| Refusal::NotThere(format!("there is no pool \"{pool}\"")))?;
    let mut names: Vec<String> = found
        .servers
        .into_iter()
        .map(|server| server.name)
        .collect();
    if removed {
        let gone = status
            .removed_servers
            .into_iter()
            .filter(|gone| gone.pool == pool);
        names.extend(gone.map(|gone| gone.server));
        names.sort_unstable();
        names.dedup();
    }
    Ok(names)
}

/// One change of one server, in words.
fn ask(socket: &Path, pool: &str, name: &str, change: &Change) -> Result<String, Refusal> {
    let state = match change {
        Change::Ready => "ready",
        Change::Drain => "drain",
        Change::Maintenance => "maintenance",
        Change::Weight { weight } => {
            let body = weight.to_string();
            let Weighed { weight, was, .. } = put(socket, pool, name, ("PUT", "weight"), &body)?;
            return Ok(format!("weight {weight}, was {was}"));
        }
        Change::CloseTunnels { over } => {
            let body = over.as_deref().unwrap_or("");
            let order = ("POST", "close-tunnels");
            let Closed { tunnels, .. } = put(socket, pool, name, order, body)?;
            return Ok(closing(tunnels, over.as_deref()));
        }
    };
    let Stated { state, was, .. } = put(socket, pool, name, ("PUT", "state"), state)?;
    Ok(if state == was {
        format!("{state}, as before")
    } else {
        format!("{state}, was {was}")
    })
}

fn closing(tunnels: u32, over: Option<&str>) -> String {
    let over = over.map(|over| format!(" over {over}")).unwrap_or_default();
    match tunnels {
        0 => "no tunnels".to_owned(),
        1 => format!("closing 1 tunnel{over}"),
        more => format!("closing {} tunnels{over}", count(more.into())),
    }
}

fn put<T: DeserializeOwned>(
    socket: &Path,
    pool: &str,
    name: &str,
    (method, what): (&str, &str),
    body: &str,
) -> Result<T, Refusal> {
    let path = format!("/v1/pools/{pool}/servers/{name}/{what}");
    match socket::ask(socket, method, &path, body)? {
        (200, body) => read(&body),
        (_, why) => Err(Refusal::NotThere(why)),
    }
}

fn read<T: DeserializeOwned>(body: &str) -> Result<T, Refusal> {
    serde_json::from_str(body).map_err(|_| Refusal::Nobody(socket::unexpected(body)))
}

/// Characters of a pool's or server's name, which stand for themselves in a path.
fn is_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    !name.is_empty() && name.bytes().all(fits)
}

/// The arguments make no sense, or name nothing that is there.
const EXIT_USAGE: u8 = 2;
