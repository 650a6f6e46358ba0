//! `ringbolt status`: what a running Ringbolt says of itself, as a table or as JSON.
//!
//! The question is one HTTP request over the control socket.

use super::socket;
use crate::control::status::{ServerState, ServerStatus, Status, count, size, span};
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Asks the process at the socket and prints its answer.
pub(super) fn run(config: &Path, socket: Option<PathBuf>, json: bool) -> ExitCode {
    let socket = match socket::path(config, socket, "status") {
        Ok(socket) => socket,
        Err(code) => return code,
    };
    let answer = match ask(&socket) {
        Ok(answer) => answer,
        Err(error) => return socket::nobody(&socket, &error),
    };
    if json {
        return print(&format!("{}\n", answer.trim_end()));
    }
    match serde_json::from_str(&answer) {
        Ok(status) => print(&table(&status, colours())),
        Err(error) => {
            eprintln!(
                "ringbolt: {} answers, but not as expected: {error}",
                socket.display()
            );
            ExitCode::from(super::EXIT_NOBODY)
        }
    }
}

/// A reader that has gone (`ringbolt status | head`) is no failure.
fn print(text: &str) -> ExitCode {
    let _ = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// The status as JSON, as it came.
pub(super) fn ask(socket: &Path) -> io::Result<String> {
    match socket::ask(socket, "GET", "/v1/status", "")? {
        (200, body) => Ok(body),
        (status, _) => Err(socket::unexpected(&status.to_string())),
    }
}

/// On a terminal, unless its user wants none (<https://no-color.org>).
fn colours() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn table(status: &Status, colours: bool) -> String {
    let paint = |code: &'static str, text: &str| match colours {
        true => format!("\x1b[{code}m{text}\x1b[0m"),
        false => text.to_owned(),
    };
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{} {}, up {}, pid {} (signals go to {})",
        paint("1", "ringbolt"),
        status.version,
        span(status.uptime),
        status.pid,
        status.launcher
    );
    let plural = if status.workers == 1 { "" } else { "s" };
    let _ = writeln!(
        text,
        "{} worker{plural} on {}",
        status.workers, status.driver
    );
    if !status.sandbox.is_empty() {
        let _ = writeln!(text, "sandbox: {}", status.sandbox);
    }
    let _ = writeln!(
        text,
        "{} of {} connections, {} tunnels",
        count(status.connections.into()),
        count(status.max_connections.into()),
        count(status.tunnels.into())
    );
    if status.draining {
        let _ = writeln!(
            text,
            "{}",
            paint("33", "draining: nothing is accepted any more")
        );
    }
    if status.lame_duck {
        let stopping =
            "stopping: new connections are still served, monitors answer 503 (process.lame_duck)";
        let _ = writeln!(text, "{}", paint("33", stopping));
    }
    if let Some(why) = &status.refused_reload {
        let _ = writeln!(
            text,
            "{} {why}",
            paint("33", "the last reload was refused:")
        );
    }
    for (count, what) in [
        (
            u64::from(status.restarts),
            "serving processes died before this one; the log says of what",
        ),
        (
            status.panics,
            "connections ended by a fault of ringbolt's own; the log says where",
        ),
    ] {
        if count > 0 {
            let _ = writeln!(text, "{}", paint("31", &format!("{count} {what}")));
        }
    }
    for log in &status.logs {
        let lost = format!("{} lines lost", count(log.lost));
        let state = match (&log.failure, log.lost) {
            (Some(why), _) => format!("fails: {why}; {lost}"),
            (None, 0) => continue,
            (None, _) => lost,
        };
        let _ = writeln!(text, "log {} {}", log.target, paint("33", &state));
    }
    for listener in &status.listeners {
        let addresses = listener.addresses.join(", ");
        let _ = writeln!(
            text,
            "listener {} on {addresses}: {} connections, {} in all",
            paint("1", &listener.name),
            count(listener.connections.into()),
            count(listener.total_connections)
        );
    }
    for pool in &status.pools {
        let active = format!(
            "{} of {} take new sessions{}",
            pool.active,
            pool.servers.len(),
            if pool.panic {
                ", their health is ignored"
            } else {
                ""
            }
        );
        let code = if pool.active == 0 || pool.panic {
            "31"
        } else {
            "2"
        };
        let _ = writeln!(
            text,
            "\npool {}: {}",
            paint("1", &pool.name),
            paint(code, &active)
        );
        if pool.queue.longest > 0 || pool.queue.refused > 0 {
            let _ = writeln!(text, "  in its queue: {}", pool.queue.words());
        }
        servers(&mut text, &pool.servers, &paint);
        for name in &pool.names {
            let known = format!(
                "  {} is {}: {} of at most {} addresses",
                name.server,
                name.asks,
                name.addresses.min(name.max_servers),
                name.max_servers
            );
            let error = name.error.as_ref();
            let error = error.map_or_else(String::new, |error| paint("31", &format!("; {error}")));
            let _ = writeln!(text, "{known}{error}");
        }
    }
    text
}

/// Columns as wide as their widest cell; figures to the right.
fn servers(
    text: &mut String,
    servers: &[ServerStatus],
    paint: &dyn Fn(&'static str, &str) -> String,
) {
    let rows: Vec<[String; COLUMNS]> = servers.iter().map(cells).collect();
    let mut widths = HEADINGS.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; COLUMNS], state: Option<ServerState>| {
        let mut line = String::from(" ");
        for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
            let padding = " ".repeat(width - cell.chars().count());
            let cell = match (column, state) {
                (_, None) => paint("2", cell),
                (2, Some(ServerState::Up)) => paint("32", cell),
                (2, Some(ServerState::Down)) => paint("31", cell),
                (
                    2,
                    Some(
                        ServerState::Drain
                        | ServerState::SoftDrain
                        | ServerState::Ejected
                        | ServerState::Maintenance,
                    ),
                ) => paint("33", cell),
                (_, Some(_)) => (*cell).to_owned(),
            };
            let _ = match column < FIRST_FIGURE {
                true => write!(line, " {cell}{padding}"),
                false => write!(line, " {padding}{cell}"),
            };
        }
        format!("{}\n", line.trim_end())
    };
    text.push_str(&line(HEADINGS, None));
    for (row, server) in rows.iter().zip(servers) {
        text.push_str(&line(
            row.each_ref().map(String::as_str),
            Some(server.state),
        ));
    }
}

const COLUMNS: usize = 13;
/// Before it are words, from it on figures.
const FIRST_FIGURE: usize = 4;
const HEADINGS: [&str; COLUMNS] = [
    "server", "address", "state", "since", "weight", "sessions", "tunnels", "queue", "total", "in",
    "out", "5xx", "checks",
];

/// `12`, or `12/100` where there is a bound.
fn of_at_most(number: u32, most: Option<u32>) -> String {
    let bound = most.map(|most| format!("/{}", count(most.into())));
    count(number.into()) + &bound.unwrap_or_default()
}

fn cells(server: &ServerStatus) -> [String; COLUMNS] {
    let since = match server.remark() {
        Some(remark) => format!("{} ({remark})", span(server.since)),
        None => span(server.since),
    };
    let state = match server.agent.as_str() {
        "" => server.words().to_owned(),
        agent => format!("{} (agent: {agent})", server.words()),
    };
    [
        server.name.clone(),
        server.address.clone(),
        state,
        since,
        count(server.weight.into()),
        of_at_most(server.sessions, server.max_connections),
        of_at_most(server.tunnels, server.max_tunnels),
        server.queue.words(),
        count(server.total_sessions),
        size(server.bytes_in),
        size(server.bytes_out),
        count(server.responses[4]),
        checks(server),
    ]
}

/// `1,200 http, 3 failed, last: status 503`
fn checks(server: &ServerStatus) -> String {
    if !server.checked {
        return "-".to_owned();
    }
    let mut text = format!("{} {}", count(server.checks), server.check);
    if server.failed_checks > 0 {
        let _ = write!(text, ", {} failed", count(server.failed_checks));
    }
    if !server.last_check.is_empty() {
        let _ = write!(text, ", last: {}", server.last_check);
    }
    text
}
