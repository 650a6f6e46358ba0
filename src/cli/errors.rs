//! `ringbolt errors`: the last messages that were refused, and where each is wrong.

use super::{output, socket};
use crate::control::errors::{Errors, Refused};
use crate::control::status::count;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Asks the process at the socket and prints its answer.
pub(super) fn run(config: &Path, socket: Option<PathBuf>, json: bool) -> ExitCode {
    let socket = match socket::path(config, socket, "errors") {
        Ok(socket) => socket,
        Err(code) => return code,
    };
    let answer = match socket::ask(&socket, "GET", "/v1/errors", "") {
        Ok((200, body)) => body,
        Ok((status, _)) => {
            return socket::nobody(&socket, &socket::unexpected(&status.to_string()));
        }
        Err(error) => return socket::nobody(&socket, &error),
    };
    let text = match serde_json::from_str(&answer) {
        _ if json => format!("{}\n", answer.trim_end()),
        Ok(errors) => report(&errors),
        Err(error) => return socket::nobody(&socket, &socket::unexpected(&error.to_string())),
    };
    // A reader that has gone (`ringbolt errors | head`) is no failure.
    let _ = output::write(io::stdout(), &text);
    ExitCode::SUCCESS
}

fn report(errors: &Errors) -> String {
    let shown = errors.messages.len() as u64;
    let mut text = match errors.total {
        0 => "no message was refused\n".to_owned(),
        total if total == shown => format!("{} refused, oldest first\n", messages(total)),
        total => format!(
            "the last {} of {} refused, oldest first\n",
            count(shown),
            messages(total)
        ),
    };
    for refused in &errors.messages {
        push(refused, &mut text);
    }
    text
}

fn messages(number: u64) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} message{s}", count(number))
}

fn push(refused: &Refused, text: &mut String) {
    let Refused {
        client, listener, ..
    } = refused;
    let place = match (&refused.pool, &refused.server) {
        (Some(pool), Some(server)) => format!("{pool}/{server}"),
        (Some(pool), None) => pool.clone(),
        (None, _) => String::new(),
    };
    let (time, reason, offset) = (&refused.time, &refused.reason, refused.offset);
    let _ = match (&*refused.side, place.is_empty()) {
        ("server", _) => write!(
            text,
            "\n{time} response of {place} to {client} at {listener}"
        ),
        (_, true) => write!(text, "\n{time} request of {client} at {listener}"),
        (_, false) => write!(
            text,
            "\n{time} request of {client} at {listener} for {place}"
        ),
    };
    let _ = writeln!(text, ": {reason} at offset {offset}");
    let _ = writeln!(text, "  {}\n  {}", refused.meaning, refused.advice);
    if refused.excerpt.is_empty() {
        let _ = writeln!(text, "  (not shown: it is, or may be, part of a body)");
    }
    for line in &refused.excerpt {
        let _ = writeln!(text, "  {:05}  {}", line.offset, line.text);
        if let Some(mark) = line.mark {
            let _ = writeln!(text, "         {}^", " ".repeat(mark));
        }
    }
}
