//! Completions: a script for each shell that asks this program, and the names of servers, which a running Ringbolt knows.

use super::{file, output, socket, status};
use crate::control::status::Status;
use clap_complete::engine::CompletionCandidate;
use clap_complete::env::Shells;
use std::ffi::OsStr;
use std::io;
use std::process::ExitCode;

/// Shells that there is a script for.
pub(super) const SHELLS: [&str; 5] = ["bash", "zsh", "fish", "elvish", "powershell"];

/// Prints the script of a shell.
pub(super) fn run(shell: &str) -> ExitCode {
    let shells = Shells::builtins();
    let Some(completer) = shells.completer(shell) else {
        errln!("ringbolt: no completions for the shell \"{shell}\"");
        return ExitCode::FAILURE;
    };
    let mut script = Vec::new();
    let written =
        completer.write_registration("COMPLETE", "ringbolt", "ringbolt", "ringbolt", &mut script);
    match written {
        Ok(()) => {
            let _ = output::write(io::stdout(), &String::from_utf8_lossy(&script));
            ExitCode::SUCCESS
        }
        Err(error) => {
            errln!("ringbolt: {error}");
            ExitCode::FAILURE
        }
    }
}

/// `POOL/NAME` of every server, and `POOL/*`, of the process that the configuration leads to; none when nobody answers there.
pub(super) fn servers(begun: &OsStr) -> Vec<CompletionCandidate> {
    let begun = begun.to_string_lossy();
    let names = known().unwrap_or_default().into_iter();
    names
        .filter(|name| name.starts_with(&*begun))
        .map(CompletionCandidate::new)
        .collect()
}

fn known() -> Option<Vec<String>> {
    // A shell's line is not looked through for --config and --socket: what `run` takes by default counts.
    let socket = std::env::var_os("RINGBOLT_SOCKET").map(Into::into);
    let socket = socket::quiet_path(&file(None), socket)?;
    let status: Status = serde_json::from_str(&status::ask(&socket).ok()?).ok()?;
    let pools = status.pools.into_iter();
    let names = pools.flat_map(|pool| {
        let all = format!("{}/*", pool.name);
        let name = pool.name;
        let servers = pool
            .servers
            .into_iter()
            .map(move |server| format!("{name}/{}", server.name));
        servers.chain([all])
    });
    Some(names.collect())
}
