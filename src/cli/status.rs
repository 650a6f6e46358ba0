//! `ringbolt status`: what a running Ringbolt says of itself, as a table or as JSON.
//!
//! The question is one HTTP request over the control socket.

use super::{output, socket};
use crate::control::status::{ServerState, ServerStatus, Status, count, size, span};
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Asks the process at the socket and prints its answer, once or, with `watch`, at that interval until nobody reads it.
pub(super) fn run(
    config: &Path,
    socket: Option<PathBuf>,
    json: bool,
    watch: Option<Duration>,
) -> ExitCode {
    let socket = match socket::path(config, socket, "status") {
        Ok(socket) => socket,
        Err(code) => return code,
    };
    let Some(interval) = watch else {
        return match shown(&socket, json) {
            // A reader that has gone (`ringbolt status | head`) is no failure.
            Ok(text) => {
                let _ = output::write(io::stdout(), &text);
                ExitCode::SUCCESS
            }
            Err(code) => code,
        };
    };
    // On a terminal each answer takes the place of the one before.
    let clear = if io::stdout().is_terminal() {
        "\x1b[H\x1b[2J"
    } else {
        ""
    };
    loop {
        let text = match shown(&socket, json) {
            Ok(text) => text,
            Err(code) => return code,
        };
        let gap = if json || !clear.is_empty() { "" } else { "\n" };
        if output::write(io::stdout(), &format!("{clear}{text}{gap}")).is_err() {
            return ExitCode::SUCCESS;
        }
        std::thread::sleep(interval);
    }
}

/// One answer as it is printed.
fn shown(socket: &Path, json: bool) -> Result<String, ExitCode> {
    let answer = ask(socket).map_err(|error| socket::nobody(socket, &error))?;
    if json {
        return Ok(format!("{}\n", answer.trim_end()));
    }
    match serde_json::from_str(&answer) {
        Ok(status) => Ok(table(&status, colours(), width())),
        Err(error) => {
            errln!(
                "ringbolt: {} answers, but not as expected: {error}",
                socket.display()
            );
            Err(ExitCode::from(super::EXIT_NOBODY))
        }
    }
}

/// Columns of the terminal; where the output is none, those of `COLUMNS`, as other programs have it, or 80.
fn width() -> usize {
    let terminal = rustix::termios::tcgetwinsize(io::stdout()).map(|size| size.ws_col.into());
    let asked = || std::env::var("COLUMNS").ok()?.parse().ok();
    let width = terminal.ok().filter(|columns| *columns > 0).or_else(asked);
    width.unwrap_or(80).max(40)
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

fn table(status: &Status, colours: bool, width: usize) -> String {
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
        let _ = writeln!(text, "sandbox: {}", without_remarks(&status.sandbox));
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
    for (refused, what) in [
        (&status.refused_messages.client, "request"),
        (&status.refused_messages.server, "response"),
    ] {
        let total: u64 = refused.values().sum();
        if total > 0 {
            let s = if total == 1 { "" } else { "s" };
            let mut reasons: Vec<_> = refused.iter().collect();
            reasons.sort_by_key(|(_, number)| std::cmp::Reverse(**number));
            let reasons = reasons.iter();
            let reasons = reasons.map(|(word, number)| format!("{} {word}", count(**number)));
            let reasons = reasons.collect::<Vec<_>>().join(", ");
            let _ = writeln!(
                text,
                "{} {what}{s} refused: {reasons} (see ringbolt errors)",
                count(total)
            );
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
        servers(&mut text, &pool.servers, width, &paint);
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
    text.lines().map(|line| wrapped(line, width)).collect()
}

/// `Landlock, seccomp` of `Landlock (version 7), seccomp`: the remarks are for the log and for JSON.
fn without_remarks(text: &str) -> String {
    let mut depth = 0;
    let kept: String = text
        .chars()
        .filter(|letter| {
            depth += i32::from(*letter == '(');
            let outside = depth == 0;
            depth -= i32::from(*letter == ')');
            outside
        })
        .collect();
    kept.replace(" ,", ",").trim_end().to_owned()
}

/// A line in pieces of at most `width` columns, broken at spaces; what follows the first is indented. Rows of a table are never
/// that long.
fn wrapped(line: &str, width: usize) -> String {
    if columns(line) <= width {
        return format!("{line}\n");
    }
    let (mut all, mut piece, mut first) = (String::new(), String::new(), true);
    for word in line.split(' ') {
        if !piece.trim().is_empty() && columns(&piece) + 1 + columns(word) > width {
            all.push_str(piece.trim_end());
            all.push('\n');
            piece = " ".repeat(INDENT);
        } else if !first {
            piece.push(' ');
        }
        first = false;
        piece.push_str(word);
    }
    all + piece.trim_end() + "\n"
}

/// Characters that a terminal shows: without the sequences that colour them.
fn columns(text: &str) -> usize {
    let mut escaped = false;
    let shown = text.chars().filter(|letter| {
        let before = escaped;
        escaped = match letter {
            '\x1b' => true,
            'm' => false,
            _ => escaped,
        };
        !before && !escaped
    });
    shown.count()
}

const INDENT: usize = 4;

/// Columns as wide as their widest cell; figures to the right. Those that matter least are left out where there is no room.
fn servers(
    text: &mut String,
    servers: &[ServerStatus],
    width: usize,
    paint: &dyn Fn(&'static str, &str) -> String,
) {
    let mut rows: Vec<[String; COLUMNS]> = servers.iter().map(cells).collect();
    let mut widths = HEADINGS.map(str::len);
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut shown = [true; COLUMNS];
    fit(&mut widths, &mut shown, width);
    for cell in rows.iter_mut().flatten().enumerate() {
        let (at, cell) = cell;
        shorten(cell, widths[at % COLUMNS]);
    }
    let line = |cells: [&str; COLUMNS], state: Option<ServerState>| {
        let mut line = String::from(" ");
        for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
            if !shown[column] {
                continue;
            }
            let padding = " ".repeat(width.saturating_sub(cell.chars().count()));
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

/// Leaves columns out, and then narrows those of words, until a row has at most `width`.
fn fit(widths: &mut [usize; COLUMNS], shown: &mut [bool; COLUMNS], width: usize) {
    let row = |widths: &[usize; COLUMNS], shown: &[bool; COLUMNS]| -> usize {
        let columns = widths.iter().zip(shown).filter(|(_, shown)| **shown);
        1 + columns.map(|(width, _)| width + 1).sum::<usize>()
    };
    for step in STEPS {
        let over = row(widths, shown).saturating_sub(width);
        match step {
            Step::LeaveOut(column) if over > 0 => shown[column] = false,
            Step::LeaveOut(_) => {}
            Step::Narrow(column, least) => {
                let least = least.min(widths[column]);
                widths[column] = widths[column].saturating_sub(over).max(least);
            }
        }
    }
}

/// What makes a row shorter.
#[derive(Clone, Copy)]
enum Step {
    LeaveOut(usize),
    /// To so many characters at least.
    Narrow(usize, usize),
}

/// Cuts a cell to so many characters, the last of which shows it.
fn shorten(cell: &mut String, width: usize) {
    if let Some((cut, _)) = cell.char_indices().nth(width.saturating_sub(1))
        && cell.chars().count() > width
    {
        cell.truncate(cut);
        cell.push('…');
    }
}

/// In this order, as long as a row is too long: without in, out, total, weight, queue and 5xx; short checks; without since and address;
/// a short state, and a short name.
const STEPS: [Step; 11] = [
    Step::LeaveOut(9),
    Step::LeaveOut(10),
    Step::LeaveOut(8),
    Step::LeaveOut(4),
    Step::LeaveOut(7),
    Step::LeaveOut(11),
    Step::Narrow(12, 10),
    Step::LeaveOut(3),
    Step::LeaveOut(1),
    Step::Narrow(2, 10),
    Step::Narrow(0, 8),
];

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
        "" => server.state.word().to_owned(),
        agent => format!("{} (agent: {agent})", server.state.word()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_and_long_lines() {
        let words =
            "Landlock (version 7), seccomp, restricted rings (operations (all) do: polls, closes)";
        assert_eq!(
            without_remarks(words),
            "Landlock, seccomp, restricted rings"
        );
        assert_eq!(
            wrapped("short \x1b[1mline\x1b[0m", 10),
            "short \x1b[1mline\x1b[0m\n"
        );
        assert_eq!(
            wrapped("  one two three four", 12),
            "  one two\n    three\n    four\n"
        );
        assert_eq!(wrapped("unbreakable", 4), "unbreakable\n");
        assert_eq!(columns("\x1b[31mred\x1b[0m m"), 5);
        let mut cell = "name-of-a-server".to_owned();
        shorten(&mut cell, 8);
        assert_eq!(cell, "name-of…");
        shorten(&mut cell, 8);
        assert_eq!(cell, "name-of…");
    }

    #[test]
    fn rows_fit() {
        for (width, columns) in [(400, 13), (170, 13), (120, 8), (80, 6), (60, 5)] {
            let (mut widths, mut shown) = ([9; COLUMNS], [true; COLUMNS]);
            widths[12] = 30;
            widths[0] = 20;
            fit(&mut widths, &mut shown, width);
            let row: usize = (0..COLUMNS)
                .filter(|at| shown[*at])
                .map(|at| widths[at] + 1)
                .sum();
            assert!(row < width, "{width}: {row}");
            assert_eq!(
                shown.iter().filter(|shown| **shown).count(),
                columns,
                "{width}"
            );
            assert!(shown[0] && shown[2] && shown[5] && shown[6]);
        }
    }
}
