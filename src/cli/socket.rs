//! One request over the control socket.
//!
//! The client is the standard library's unix stream and a few lines: it talks to our own server, asks for the
//! connection to be closed, and bounds what it reads.

use super::output;
use crate::control::file;
use std::io::{self, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::control::launcher::EXIT_CONFIG;

/// The socket that was given, or the configuration's. `command` is who asks, for the message.
pub(super) fn path(
    config: &Path,
    given: Option<PathBuf>,
    command: &str,
) -> Result<PathBuf, ExitCode> {
    if let Some(socket) = given {
        return Ok(socket);
    }
    let read = file::read(config).map(|read| read.config.control.socket);
    read.map_err(|refused| {
        let _ = output::write(io::stderr(), &refused.to_string());
        errln!(
            "ringbolt: {command} reads it for control.socket; --socket PATH asks without reading it"
        );
        ExitCode::from(EXIT_CONFIG)
    })
}

/// The same for a question that nobody sees: without a message when there is none.
pub(super) fn quiet_path(config: &Path, given: Option<PathBuf>) -> Option<PathBuf> {
    given.or_else(|| Some(file::read(config).ok()?.config.control.socket))
}

/// Asks, and gives the answer's status and body. Blocks, for [`PATIENCE`] at most with each read and write.
pub(super) fn ask(
    socket: &Path,
    method: &str,
    path: &str,
    body: &str,
) -> io::Result<(u16, String)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    // HTTP/1.0, so that the answer ends with the connection and never comes in chunks.
    let length = body.len();
    let head =
        format!("{method} {path} HTTP/1.0\r\nHost: ringbolt\r\nContent-Length: {length}\r\n\r\n");
    stream.write_all((head + body).as_bytes())?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    let whole = answer.split_once("\r\n\r\n").and_then(|(head, body)| {
        let status = head.strip_prefix("HTTP/1.")?.get(2..5)?;
        Some((status.parse().ok()?, body.to_owned()))
    });
    whole.ok_or_else(|| unexpected(answer.lines().next().unwrap_or("nothing")))
}

/// An answer that nobody understands.
pub(super) fn unexpected(answer: &str) -> io::Error {
    io::Error::other(format!("the answer is: {answer}"))
}

/// Says that nobody answers, and what may be done.
pub(super) fn nobody(socket: &Path, error: &io::Error) -> ExitCode {
    errln!(
        "ringbolt: nobody answers at {}: {error}{}",
        socket.display(),
        advice(error)
    );
    ExitCode::from(super::EXIT_NOBODY)
}

fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
            ": is it running? The socket is control.socket of its configuration, or --socket PATH"
        }
        io::ErrorKind::PermissionDenied => {
            ": only root and the group that Ringbolt runs as may ask"
        }
        _ => "",
    }
}

const PATIENCE: Duration = Duration::from_secs(5);
/// Some ten thousand servers.
const MAX_ANSWER: u64 = 16 << 20;
