//! What happens to the process rather than to a client: a server goes down, a limit is reached, …

use std::sync::Arc;
use std::time::Duration;

use super::json::string;
use super::queue::Queue;
use super::stamp::Stamp;
use super::syslog::word;
use super::text::number;
use crate::config::Level;

/// One event. Each has a level, a fixed name for machines and a sentence for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The process serves.
    Started {
        /// What it found and took: version, workers, driver.
        about: String,
    },
    /// It stops accepting.
    Stopping {
        /// Why, and until when it waits.
        about: String,
    },
    /// It is about to exit.
    Stopped,
    /// A new configuration is in force.
    Reloaded {
        /// What changed, or an empty text.
        about: String,
    },
    /// A new configuration was refused; nothing has changed.
    ReloadFailed {
        /// The problems.
        why: String,
    },
    /// A server takes traffic again.
    ServerUp {
        /// Pool and server.
        server: ServerName,
        /// `check passed`, `set by the operator`.
        why: String,
        /// How long it was down.
        after: Duration,
        /// Servers of the pool that are up now.
        left: usize,
    },
    /// A server takes no more traffic.
    ServerDown {
        /// Pool and server.
        server: ServerName,
        /// `connection refused`, `check timed out`.
        why: String,
        /// How long it was up.
        after: Duration,
        /// Servers of the pool that are up now.
        left: usize,
    },
    /// Too much of a server's traffic failed: it takes none for a while.
    ServerEjected {
        /// Pool and server.
        server: ServerName,
        /// `5 errors in a row`.
        why: String,
        /// For how long.
        lasts: Duration,
        /// Servers of the pool that are up now.
        left: usize,
    },
    /// An ejected server takes traffic again.
    ServerReturned {
        /// Pool and server.
        server: ServerName,
        /// How long it was out.
        after: Duration,
        /// Servers of the pool that are up now.
        left: usize,
    },
    /// So few servers of a pool work that their health is ignored; or enough of them again.
    Panic {
        /// The pool's name.
        pool: String,
        /// It begins; otherwise it ends.
        begins: bool,
        /// Servers that work.
        working: usize,
        /// Of so many.
        servers: usize,
    },
    /// A server takes no new clients, since a check was answered with 404.
    ServerLeaving {
        /// Pool and server.
        server: ServerName,
        /// `status 404`.
        why: String,
        /// How long it was up.
        after: Duration,
        /// Servers of the pool that take new clients now.
        left: usize,
    },
    /// A server's agent has said something else than before that is not up or down.
    AgentSaid {
        /// Pool and server.
        server: ServerName,
        /// The words in force: `drain 75% (reason)`.
        what: String,
        /// How long those before were in force.
        after: Duration,
        /// Servers of the pool that take new clients now.
        left: usize,
    },
    /// The operator has changed a server's state or weight.
    ServerSet {
        /// Pool and server.
        server: ServerName,
        /// `drain`, `weight 10`.
        to: String,
    },
    /// Tunnels of a server are about to be closed, spread over a time.
    TunnelsClosing {
        /// Pool and server.
        server: ServerName,
        /// How many there are.
        tunnels: u64,
        /// Over how long.
        over: Duration,
        /// What brought it about.
        why: String,
    },
    /// Tunnels of a server were closed.
    TunnelsClosed {
        /// Pool and server.
        server: ServerName,
        /// How many.
        tunnels: u64,
        /// How long it took.
        after: Duration,
        /// What brought it about, and perhaps why others stay.
        why: String,
    },
    /// DNS has a new address of a server's name.
    ServerAdded {
        /// Pool and server.
        server: ServerName,
        /// `10.0.0.7:3000 is an address of backend.example.com:3000`.
        why: String,
        /// Servers of the pool that are up now.
        left: usize,
    },
    /// DNS has an address of a server's name no more; tunnels stay.
    ServerRemoved {
        /// Pool and server.
        server: ServerName,
        /// `10.0.0.7:3000 is no address of backend.example.com:3000 any more`.
        why: String,
        /// Tunnels that it has, and keeps until they end.
        tunnels: u32,
        /// Servers of the pool that are up now.
        left: usize,
    },
    /// DNS does not say where the servers of a name are; those that are known stay.
    NameFailed {
        /// The name.
        name: String,
        /// `no answer`, `no such name`.
        why: String,
        /// Addresses that are known of it.
        servers: usize,
    },
    /// It says so again.
    NameAnswered {
        /// The name.
        name: String,
        /// How long it did not.
        after: Duration,
        /// Addresses that are known of it.
        servers: usize,
    },
    /// A bound was reached, and what happens now.
    LimitReached {
        /// The setting, as `max_connections`.
        limit: &'static str,
        /// Its value.
        value: u64,
    },
    /// Tasks of a worker panicked and were ended; the worker goes on.
    Panicked {
        /// The worker's number.
        worker: usize,
        /// How many since this was last said.
        tasks: u64,
        /// Where the last of them did, and what it said.
        place: String,
    },
    /// A connection could not be accepted; the worker pauses for a moment.
    AcceptFailed {
        /// The system's words.
        why: String,
    },
    /// After a limit or a failure: accepting again.
    AcceptingAgain,
    /// Lines did not fit.
    LinesDropped {
        /// How many since this was last said.
        lines: u64,
        /// The slow target, as the configuration names it; or the writer itself.
        target: String,
    },
    /// A log target takes no lines.
    LogTargetFailed {
        /// As the configuration names it.
        target: String,
        /// The system's words.
        why: String,
    },
    /// It takes lines again.
    LogTargetRestored {
        /// As the configuration names it.
        target: String,
        /// How long it did not.
        after: Duration,
        /// Lines that it lost meanwhile.
        lines: u64,
    },
    /// The log files were opened anew.
    LogsReopened,
    /// Anything else.
    Said {
        /// How urgent.
        level: Level,
        /// One line.
        message: String,
    },
}

/// A server and its pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerName {
    /// The pool's name.
    pub pool: String,
    /// The server's name.
    pub server: String,
}

impl Event {
    /// Tasks of a worker panicked.
    pub fn panicked(worker: usize, tasks: u64, place: String) -> Self {
        Self::Panicked {
            worker,
            tasks,
            place,
        }
    }

    /// `max_connections` clients are there; the workers stop accepting.
    pub fn limit_reached(limit: u32) -> Self {
        Self::LimitReached {
            limit: "max_connections",
            value: limit.into(),
        }
    }

    /// The system refused to accept, as when descriptors run out.
    pub fn accept_failed(why: &str) -> Self {
        let why = why.to_owned();
        Self::AcceptFailed { why }
    }

    /// The end of such a pause.
    pub fn accepting_again() -> Self {
        Self::AcceptingAgain
    }

    /// How urgent it is.
    pub fn level(&self) -> Level {
        match self {
            Self::Started { .. }
            | Self::Stopping { .. }
            | Self::Stopped
            | Self::Reloaded { .. }
            | Self::ServerUp { .. }
            | Self::ServerReturned { .. }
            | Self::Panic { begins: false, .. }
            | Self::ServerSet { .. }
            | Self::TunnelsClosing { .. }
            | Self::TunnelsClosed { .. }
            | Self::ServerAdded { .. }
            | Self::NameAnswered { .. }
            | Self::AcceptingAgain
            | Self::LogTargetRestored { .. }
            | Self::LogsReopened => Level::Notice,
            Self::ServerDown { left: 0, .. }
            | Self::ServerEjected { left: 0, .. }
            | Self::ServerLeaving { left: 0, .. }
            | Self::AgentSaid { left: 0, .. }
            | Self::ServerRemoved { left: 0, .. } => Level::Emergency,
            Self::ServerLeaving { .. } | Self::AgentSaid { .. } | Self::ServerRemoved { .. } => {
                Level::Notice
            }
            Self::ServerDown { .. } | Self::ServerEjected { .. } | Self::Panic { .. } => {
                Level::Alert
            }
            Self::ReloadFailed { .. }
            | Self::AcceptFailed { .. }
            | Self::NameFailed { .. }
            | Self::LogTargetFailed { .. } => Level::Error,
            Self::Panicked { .. } => Level::Critical,
            Self::LimitReached { .. } | Self::LinesDropped { .. } => Level::Warning,
            Self::Said { level, .. } => *level,
        }
    }

    /// Its name in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Started { .. } => "started",
            Self::Stopping { .. } => "stopping",
            Self::Stopped => "stopped",
            Self::Reloaded { .. } => "reloaded",
            Self::ReloadFailed { .. } => "reload_failed",
            Self::ServerUp { .. } => "server_up",
            Self::ServerDown { .. } => "server_down",
            Self::ServerEjected { .. } => "server_ejected",
            Self::ServerReturned { .. } => "server_returned",
            Self::Panic { begins: true, .. } => "panic_begun",
            Self::Panic { begins: false, .. } => "panic_ended",
            Self::ServerLeaving { .. } => "server_leaving",
            Self::AgentSaid { .. } => "agent_said",
            Self::ServerSet { .. } => "server_set",
            Self::TunnelsClosing { .. } => "tunnels_closing",
            Self::TunnelsClosed { .. } => "tunnels_closed",
            Self::ServerAdded { .. } => "server_added",
            Self::ServerRemoved { .. } => "server_removed",
            Self::NameFailed { .. } => "name_failed",
            Self::NameAnswered { .. } => "name_answered",
            Self::LimitReached { .. } => "limit_reached",
            Self::Panicked { .. } => "panicked",
            Self::AcceptFailed { .. } => "accept_failed",
            Self::AcceptingAgain => "accepting_again",
            Self::LinesDropped { .. } => "lines_dropped",
            Self::LogTargetFailed { .. } => "log_target_failed",
            Self::LogTargetRestored { .. } => "log_target_restored",
            Self::LogsReopened => "logs_reopened",
            Self::Said { .. } => "said",
        }
    }

    /// The sentence, without a date; control characters are left out so that it stays one line.
    pub fn message(&self) -> String {
        let said = match self {
            Self::Started { about } => after("started", about),
            Self::Stopping { about } => after("stopping", about),
            Self::Stopped => "stopped".to_owned(),
            Self::Reloaded { about } => after("configuration reloaded", about),
            Self::ReloadFailed { why } => after("configuration not reloaded", why),
            Self::ServerUp {
                server,
                why,
                after,
                left,
            } => {
                format!(
                    "server {server} is up after {}: {why}; {left} up in the pool",
                    wait(*after)
                )
            }
            Self::ServerDown {
                server,
                why,
                after,
                left,
            } => {
                format!(
                    "server {server} is down after {}: {why}; {left} up in the pool",
                    wait(*after)
                )
            }
            Self::ServerEjected {
                server,
                why,
                lasts,
                left,
            } => format!(
                "server {server} is ejected for {}: {why}; {left} up in the pool",
                wait(*lasts)
            ),
            Self::ServerReturned {
                server,
                after,
                left,
            } => format!(
                "server {server} is back after an ejection of {}; {left} up in the pool",
                wait(*after)
            ),
            Self::Panic {
                pool,
                begins,
                working,
                servers,
            } => {
                let now = match begins {
                    true => "health is ignored",
                    false => "health counts again",
                };
                format!("pool {pool}: {working} of {servers} servers work, {now}")
            }
            Self::ServerLeaving {
                server,
                why,
                after,
                left,
            } => {
                format!(
                    "server {server} takes no new clients after {}: {why}; {left} up in the pool",
                    wait(*after)
                )
            }
            Self::AgentSaid {
                server,
                what,
                after,
                left,
            } => {
                format!(
                    "the agent of {server} says {what} after {}; {left} up in the pool",
                    wait(*after)
                )
            }
            Self::ServerSet { server, to } => format!("server {server} set to {to}"),
            Self::TunnelsClosing {
                server,
                tunnels,
                over,
                why,
            } => {
                let tunnels = many(*tunnels, "tunnel");
                format!(
                    "closing {tunnels} of server {server} over {}: {why}",
                    wait(*over)
                )
            }
            Self::TunnelsClosed {
                server,
                tunnels,
                after,
                why,
            } => {
                let tunnels = many(*tunnels, "tunnel");
                format!(
                    "closed {tunnels} of server {server} in {}: {why}",
                    wait(*after)
                )
            }
            Self::ServerAdded { server, why, left } => {
                format!("server {server} is added: {why}; {left} up in the pool")
            }
            Self::ServerRemoved {
                server,
                why,
                tunnels,
                left,
            } => format!(
                "server {server} is removed: {why}; it keeps {}; {left} up in the pool",
                many(u64::from(*tunnels), "tunnel")
            ),
            Self::NameFailed { name, why, servers } => {
                let known = match servers {
                    0 => "it has no server until then".to_owned(),
                    count => format!("{} known of it stay", many(*count as u64, "address")),
                };
                format!("DNS does not say where {name} is: {why}; {known}")
            }
            Self::NameAnswered {
                name,
                after,
                servers,
            } => format!(
                "DNS says again where {name} is, after {}: {}",
                wait(*after),
                many(*servers as u64, "address")
            ),
            Self::LimitReached { limit, value } => format!("{limit} reached: {value}"),
            Self::Panicked {
                worker,
                tasks,
                place,
            } => after(
                &format!(
                    "{} of worker {worker} panicked and ended",
                    many(*tasks, "task")
                ),
                place,
            ),
            Self::AcceptFailed { why } => format!("cannot accept, pausing: {why}"),
            Self::AcceptingAgain => "accepting again".to_owned(),
            Self::LinesDropped { lines, target } => {
                format!("dropped {} because {target} is slow", many(*lines, "line"))
            }
            Self::LogTargetFailed { target, why } => format!("log target {target} failed: {why}"),
            Self::LogTargetRestored {
                target,
                after,
                lines,
            } => format!(
                "log target {target} works again after {}; lost {}",
                wait(*after),
                many(*lines, "line")
            ),
            Self::LogsReopened => "log files reopened".to_owned(),
            Self::Said { message, .. } => message.clone(),
        };
        said.replace(char::is_control, " ")
    }

    /// Appends `[22/Nov/2026:21:05:33.123] alert: server a/b is down …`, for targets without a header of their own.
    pub fn text(&self, ms: u64, stamp: &mut Stamp, out: &mut Vec<u8>) {
        out.push(b'[');
        stamp.httplog(ms, out);
        out.extend_from_slice(b"] ");
        out.extend_from_slice(word(self.level()).as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(self.message().as_bytes());
    }

    /// Appends one JSON object: `time`, `level`, `event`, `message`, and the event's own facts.
    pub fn json(&self, ms: u64, stamp: &mut Stamp, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"time\":\"");
        stamp.iso(ms, out);
        for (field, text) in [
            ("level", word(self.level())),
            ("event", self.name()),
            ("message", &self.message()),
        ] {
            out.extend_from_slice(if field == "level" { b"\",\"" } else { b",\"" });
            out.extend_from_slice(field.as_bytes());
            out.extend_from_slice(b"\":");
            string(text.as_bytes(), out);
        }
        for (field, fact) in self.facts() {
            out.extend_from_slice(b",\"");
            out.extend_from_slice(field.as_bytes());
            out.extend_from_slice(b"\":");
            match fact {
                Fact::Text(text) => string(text.as_bytes(), out),
                Fact::Number(value) => number(value, out),
            }
        }
        out.push(b'}');
    }

    fn facts(&self) -> Vec<(&'static str, Fact<'_>)> {
        use Fact::{Number, Text};
        match self {
            Self::ServerUp {
                server,
                why,
                after,
                left,
            }
            | Self::ServerDown {
                server,
                why,
                after,
                left,
            }
            | Self::ServerLeaving {
                server,
                why,
                after,
                left,
            }
            | Self::AgentSaid {
                server,
                what: why,
                after,
                left,
            } => vec![
                ("pool", Text(&server.pool)),
                ("server", Text(&server.server)),
                ("reason", Text(why)),
                ("after_ms", Number(millis(*after))),
                ("up", Number(*left as u64)),
            ],
            Self::ServerEjected {
                server,
                why,
                lasts,
                left,
            } => vec![
                ("pool", Text(&server.pool)),
                ("server", Text(&server.server)),
                ("reason", Text(why)),
                ("for_ms", Number(millis(*lasts))),
                ("up", Number(*left as u64)),
            ],
            Self::ServerReturned {
                server,
                after,
                left,
            } => vec![
                ("pool", Text(&server.pool)),
                ("server", Text(&server.server)),
                ("after_ms", Number(millis(*after))),
                ("up", Number(*left as u64)),
            ],
            Self::Panic {
                pool,
                working,
                servers,
                ..
            } => vec![
                ("pool", Text(pool)),
                ("working", Number(*working as u64)),
                ("servers", Number(*servers as u64)),
            ],
            Self::ServerSet { server, to } => {
                vec![
                    ("pool", Text(&server.pool)),
                    ("server", Text(&server.server)),
                    ("to", Text(to)),
                ]
            }
            Self::TunnelsClosing {
                server,
                tunnels,
                over: span,
                why,
            }
            | Self::TunnelsClosed {
                server,
                tunnels,
                after: span,
                why,
            } => {
                let closing = matches!(self, Self::TunnelsClosing { .. });
                vec![
                    ("pool", Text(&server.pool)),
                    ("server", Text(&server.server)),
                    ("tunnels", Number(*tunnels)),
                    (
                        if closing { "over_ms" } else { "after_ms" },
                        Number(millis(*span)),
                    ),
                    ("reason", Text(why)),
                ]
            }
            Self::ServerAdded { server, why, left } => vec![
                ("pool", Text(&server.pool)),
                ("server", Text(&server.server)),
                ("reason", Text(why)),
                ("up", Number(*left as u64)),
            ],
            Self::ServerRemoved {
                server,
                why,
                tunnels,
                left,
            } => vec![
                ("pool", Text(&server.pool)),
                ("server", Text(&server.server)),
                ("reason", Text(why)),
                ("tunnels", Number(u64::from(*tunnels))),
                ("up", Number(*left as u64)),
            ],
            Self::NameFailed { name, why, servers } => vec![
                ("name", Text(name)),
                ("reason", Text(why)),
                ("addresses", Number(*servers as u64)),
            ],
            Self::NameAnswered {
                name,
                after,
                servers,
            } => vec![
                ("name", Text(name)),
                ("after_ms", Number(millis(*after))),
                ("addresses", Number(*servers as u64)),
            ],
            Self::LimitReached { limit, value } => {
                vec![("limit", Text(limit)), ("value", Number(*value))]
            }
            Self::Panicked {
                worker,
                tasks,
                place,
            } => vec![
                ("worker", Number(*worker as u64)),
                ("tasks", Number(*tasks)),
                ("place", Text(place)),
            ],
            Self::AcceptFailed { why } => vec![("reason", Text(why))],
            Self::LogTargetFailed { target, why } => {
                vec![("target", Text(target)), ("reason", Text(why))]
            }
            Self::LogTargetRestored {
                target,
                after,
                lines,
            } => vec![
                ("target", Text(target)),
                ("after_ms", Number(millis(*after))),
                ("lines", Number(*lines)),
            ],
            Self::LinesDropped { lines, target } => {
                vec![("lines", Number(*lines)), ("target", Text(target))]
            }
            _ => Vec::new(),
        }
    }
}

enum Fact<'a> {
    Text(&'a str),
    Number(u64),
}

impl std::fmt::Display for ServerName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.pool, self.server)
    }
}

/// Where any thread leaves events for the writer. Never blocks; an event that finds
/// the queue full is counted as a dropped line.
#[derive(Debug, Clone)]
pub struct Events {
    queue: Arc<Queue>,
}

impl Events {
    pub(super) fn new(queue: Arc<Queue>) -> Self {
        Self { queue }
    }

    /// Hands an event to the writer, which dates it and passes it to every target whose level takes it.
    pub fn send(&self, event: Event) {
        self.queue.put_event(event);
    }

    /// Shorthand for [`Event::Said`].
    pub fn say(&self, level: Level, message: impl Into<String>) {
        self.send(Event::Said {
            level,
            message: message.into(),
        });
    }
}

fn after(what: &str, about: &str) -> String {
    match about {
        "" => what.to_owned(),
        about => format!("{what}: {about}"),
    }
}

fn many(count: u64, what: &str) -> String {
    let end = match count {
        1 => "",
        _ if what.ends_with('s') => "es",
        _ => "s",
    };
    format!("{count} {what}{end}")
}

/// `3d 4h`, `2m 5s`, `1.5s`, `20ms`: the two greatest units.
fn wait(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{}.{}s", seconds, duration.subsec_millis() / 100),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEN: u64 = 1_795_381_533_123;

    fn server() -> ServerName {
        ServerName {
            pool: "app".to_owned(),
            server: "node1".to_owned(),
        }
    }

    fn down(left: usize) -> Event {
        Event::ServerDown {
            server: server(),
            why: "connection refused".to_owned(),
            after: Duration::from_millis(93_784_000),
            left,
        }
    }

    fn removed(left: usize) -> Event {
        Event::ServerRemoved {
            server: server(),
            why: "x".to_owned(),
            tunnels: 3,
            left,
        }
    }

    fn failed(servers: usize) -> Event {
        Event::NameFailed {
            name: "a:80".to_owned(),
            why: "no answer".to_owned(),
            servers,
        }
    }

    #[test]
    fn sentences() {
        #[rustfmt::skip]
        let table = [
            (Event::Started { about: "version 0.1.0".to_owned() }, "notice: started: version 0.1.0"),
            (Event::Stopping { about: String::new() }, "notice: stopping"),
            (Event::ReloadFailed { why: "a\nb\x1b".to_owned() }, "error: configuration not reloaded: a b "),
            (down(1), "alert: server app/node1 is down after 1d 2h: connection refused; 1 up in the pool"),
            (down(0), "emergency: server app/node1 is down after 1d 2h: connection refused; 0 up in the pool"),
            (Event::TunnelsClosing { server: server(), tunnels: 60, over: Duration::from_secs(30), why: "by command".to_owned() }, "notice: closing 60 tunnels of server app/node1 over 30.0s: by command"),
            (Event::TunnelsClosed { server: server(), tunnels: 1, after: Duration::from_millis(20), why: "by command".to_owned() }, "notice: closed 1 tunnel of server app/node1 in 20ms: by command"),
            (Event::limit_reached(4096), "warning: max_connections reached: 4096"),
            (Event::accepting_again(), "notice: accepting again"),
            (Event::panicked(2, 1, "src/a.rs:1:2: no".to_owned()), "critical: 1 task of worker 2 panicked and ended: src/a.rs:1:2: no"),
            (Event::LogTargetFailed { target: "file:/x".to_owned(), why: "No space left on device".to_owned() }, "error: log target file:/x failed: No space left on device"),
            (Event::LogTargetRestored { target: "file:/x".to_owned(), after: Duration::from_secs(61), lines: 1 }, "notice: log target file:/x works again after 1m 1s; lost 1 line"),
            (Event::LinesDropped { lines: 7, target: "file:/x".to_owned() }, "warning: dropped 7 lines because file:/x is slow"),
            (Event::ServerAdded { server: server(), why: "x".to_owned(), left: 2 }, "notice: server app/node1 is added: x; 2 up in the pool"),
            (removed(1), "notice: server app/node1 is removed: x; it keeps 3 tunnels; 1 up in the pool"),
            (removed(0), "emergency: server app/node1 is removed: x; it keeps 3 tunnels; 0 up in the pool"),
            (failed(0), "error: DNS does not say where a:80 is: no answer; it has no server until then"),
            (failed(2), "error: DNS does not say where a:80 is: no answer; 2 addresses known of it stay"),
            (Event::NameAnswered { name: "a:80".to_owned(), after: Duration::from_secs(9), servers: 1 }, "notice: DNS says again where a:80 is, after 9.0s: 1 address"),
            (Event::Said { level: Level::Debug, message: "hm".to_owned() }, "debug: hm"),
        ];
        for (event, wanted) in table {
            let mut out = Vec::new();
            event.text(THEN, &mut Stamp::new(0), &mut out);
            let wanted = format!("[22/Nov/2026:21:05:33.123] {wanted}");
            assert_eq!(String::from_utf8_lossy(&out), wanted);
        }
    }

    #[test]
    fn objects() {
        let mut out = Vec::new();
        down(1).json(THEN, &mut Stamp::new(0), &mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            r#"{"time":"2026-11-22T21:05:33.123+00:00","level":"alert","event":"server_down","#
                .to_owned()
                + r#""message":"server app/node1 is down after 1d 2h: connection refused; 1 up in the pool","#
                + r#""pool":"app","server":"node1","reason":"connection refused","after_ms":93784000,"up":1}"#
        );
    }

    #[test]
    fn objects_about_names() {
        let mut out = Vec::new();
        removed(1).json(THEN, &mut Stamp::new(0), &mut out);
        let removed = String::from_utf8_lossy(&out);
        let end = r#""pool":"app","server":"node1","reason":"x","tunnels":3,"up":1}"#;
        assert!(removed.ends_with(end), "{removed}");
        let mut out = Vec::new();
        failed(2).json(THEN, &mut Stamp::new(0), &mut out);
        let failed = String::from_utf8_lossy(&out);
        let end = r#""name":"a:80","reason":"no answer","addresses":2}"#;
        assert!(
            failed.contains(r#""event":"name_failed""#) && failed.ends_with(end),
            "{failed}"
        );
    }

    #[test]
    fn waits() {
        for (ms, wanted) in [
            (0, "0ms"),
            (999, "999ms"),
            (1500, "1.5s"),
            (59_999, "59.9s"),
            (125_000, "2m 5s"),
            (7_260_000, "2h 1m"),
            (90_000_000, "1d 1h"),
        ] {
            assert_eq!(wait(Duration::from_millis(ms)), wanted);
        }
    }
}
