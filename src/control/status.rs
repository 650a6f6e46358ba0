//! What is going on, as one value: made from live counters, sent as JSON, printed by `ringbolt status`.
//!
//! The JSON is an interface: fields are added, never renamed. Times are milliseconds since the Unix
//! epoch, durations are seconds, sizes are bytes.

pub use super::discovery::NameStatus;
use crate::balance::health::Reason;
use crate::balance::{Counter, Line, Pool, Server, Standing};
use crate::config::{self, Check};
use crate::wire::{Blame, Refusal};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The whole process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    /// Ringbolt's version.
    pub version: String,
    /// Process id of the generation, which serves.
    pub pid: u32,
    /// Process id of the launcher, which takes signals.
    pub launcher: u32,
    /// When the generation began.
    pub started_ms: u64,
    /// Seconds since then.
    pub uptime: u64,
    /// What drives the workers, such as `io_uring (single issuer, deferred task run)`.
    pub driver: String,
    /// What confines the process, such as `Landlock (version 7), seccomp`.
    #[serde(default)]
    pub sandbox: String,
    /// How many workers.
    pub workers: usize,
    /// Whether it is on its way out: nothing is accepted any more.
    pub draining: bool,
    /// Whether it was told to stop and serves as before for `process.lame_duck`, while its monitors answer 503.
    #[serde(default)]
    pub lame_duck: bool,
    /// Client connections now.
    pub connections: u32,
    /// How many there may be.
    pub max_connections: u32,
    /// Tunnels now; each holds one of the connections.
    pub tunnels: u32,
    /// Reloads that came into force.
    pub reloads: u64,
    /// Serving processes that died before this one, since the launcher began.
    #[serde(default)]
    pub restarts: u32,
    /// Connections that a fault of Ringbolt's own ended, since the start; the log has the places.
    #[serde(default)]
    pub panics: u64,
    /// Allocations of the workers so far; only in a debug build.
    #[cfg(debug_assertions)]
    #[serde(default)]
    pub allocations: u64,
    /// Messages refused since the start.
    #[serde(default)]
    pub refused_messages: RefusedMessages,
    /// What the last refused reload said, until one succeeds.
    pub refused_reload: Option<String>,
    /// The log's targets, in file order.
    #[serde(default)]
    pub logs: Vec<LogStatus>,
    /// In file order.
    pub listeners: Vec<ListenerStatus>,
    /// In file order.
    pub pools: Vec<PoolStatus>,
    /// Servers that a reload or DNS removed and that still have tunnels.
    #[serde(default)]
    pub removed_servers: Vec<RemovedServer>,
}

/// Refused messages since the start: how many of each reason that occurred, by its word in the log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RefusedMessages {
    /// Those of clients.
    pub client: BTreeMap<String, u64>,
    /// Those of servers.
    pub server: BTreeMap<String, u64>,
}

impl RefusedMessages {
    /// Of both sides.
    pub(super) fn total(&self) -> u64 {
        self.client.values().chain(self.server.values()).sum()
    }

    /// From counters.
    pub(super) fn of(count: impl Fn(Refusal, Blame) -> u64) -> Self {
        let of = |from: Blame| {
            let all = Refusal::ALL.iter();
            all.map(|refusal| (refusal.word().to_owned(), count(*refusal, from)))
                .filter(|(_, count)| *count > 0)
                .collect()
        };
        Self {
            client: of(Blame::Client),
            server: of(Blame::Server),
        }
    }
}

/// A server that no pool has any more and that still has tunnels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedServer {
    /// The pool's name.
    pub pool: String,
    /// The server's name; a server of the pool may have it again, with another address.
    pub server: String,
    /// Where it was reached.
    pub address: String,
    /// Tunnels that are left.
    pub tunnels: u32,
}

/// One `[[log]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStatus {
    /// Where its lines go, as `file:/var/log/access.log`.
    pub target: String,
    /// Lines that it did not get, since the start.
    pub lost: u64,
    /// Why it gets none now; `null` while it works.
    pub failure: Option<String>,
}

/// One `[[listener]]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// Where it really listens.
    pub addresses: Vec<String>,
    /// Client connections now.
    pub connections: u32,
    /// Client connections since the start.
    pub total_connections: u64,
    /// Times that its monitor was asked since the start.
    #[serde(default)]
    pub monitored: u64,
    /// Requests refused since the start because of their client's rate.
    #[serde(default)]
    pub over_client_rate: u64,
    /// Tunnels refused since the start because all clients together wanted too many, or too many so soon after it.
    #[serde(default)]
    pub over_tunnel_rate: u64,
}

/// One `[pool.NAME]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PoolStatus {
    /// Its name.
    pub name: String,
    /// Servers that take new sessions.
    pub active: usize,
    /// Requests and tunnels now.
    pub sessions: u32,
    /// Tunnels now.
    pub tunnels: u32,
    /// Sessions since the start.
    pub total_sessions: u64,
    /// Whether so few servers work that their health is ignored.
    #[serde(default)]
    pub panic: bool,
    /// Further attempts at requests, on the same server or another one.
    #[serde(default)]
    pub retries: u64,
    /// Those that the pool's budget refused.
    #[serde(default)]
    pub retries_refused: u64,
    /// Clients refused since the start because of the rates of its servers.
    #[serde(default)]
    pub over_rate: u64,
    /// Requests that wait for the first server with room.
    #[serde(default)]
    pub queue: QueueStatus,
    /// In file order.
    pub servers: Vec<ServerStatus>,
    /// The entries of the file that have a name; their servers are among the servers.
    #[serde(default)]
    pub names: Vec<NameStatus>,
}

/// Those who wait: for one server, or in a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct QueueStatus {
    /// How many wait now.
    pub waiting: u32,
    /// How many may.
    pub max: u32,
    /// The most that waited at once, since the start.
    pub longest: u32,
    /// Requests that waited for too long, since the start.
    pub timeouts: u64,
    /// Requests that were one too many to wait, since the start.
    pub refused: u64,
}

impl QueueStatus {
    fn of(line: &Line, max: u32) -> Self {
        Self {
            waiting: line.waiting(),
            max,
            longest: line.longest(),
            timeouts: line.timeouts(),
            refused: line.refused(),
        }
    }

    /// `3`, and since the start `3 (most 9, 2 timed out, 1 refused)`.
    pub fn words(&self) -> String {
        let mut words = Vec::new();
        if self.longest > 0 {
            words.push(format!("most {}", count(self.longest.into())));
        }
        for (number, word) in [(self.timeouts, "timed out"), (self.refused, "refused")] {
            if number > 0 {
                words.push(format!("{} {word}", count(number)));
            }
        }
        match words.is_empty() {
            true => count(self.waiting.into()),
            false => format!("{} ({})", count(self.waiting.into()), words.join(", ")),
        }
    }
}

/// One `[[pool.NAME.server]]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerStatus {
    /// Its name.
    pub name: String,
    /// Where it is reached.
    pub address: String,
    /// The name that the address was found by, as `backend.example.com:3000`.
    #[serde(default)]
    pub found_by: Option<String>,
    /// What it does for new sessions, all in all.
    pub state: ServerState,
    /// Whether it is checked.
    pub checked: bool,
    /// How: `tcp`, `http`, `websocket`; empty when it is not.
    #[serde(default)]
    pub check: String,
    /// What its last check met, as `status 200`; empty before the first.
    #[serde(default)]
    pub last_check: String,
    /// How long that took, in microseconds.
    #[serde(default)]
    pub last_check_us: u64,
    /// Its agent's words that are in force, as `drain 75%`; `ready` when there is nothing against it; empty without an agent.
    #[serde(default)]
    pub agent: String,
    /// What came from the agent last: its line, or why there was none.
    #[serde(default)]
    pub agent_heard: String,
    /// What the operator says of it: `ready`, `drain` or `maintenance`.
    #[serde(default)]
    pub operator: String,
    /// Whether cookies that name it count: false when it has drained for `drain.honour_cookies_for`.
    #[serde(default = "yes")]
    pub honours_cookies: bool,
    /// What the checks' last word was due to.
    pub reason: String,
    /// When its state last changed, or the process began.
    pub since_ms: u64,
    /// Seconds since then.
    pub since: u64,
    /// Its present share of the turn.
    pub weight: u16,
    /// How much of it counts now, in percent: less than 100 in a slow start.
    pub share: u8,
    /// Requests and tunnels now.
    pub sessions: u32,
    /// Tunnels now.
    pub tunnels: u32,
    /// Requests and tunnels that it may have at once now: in a slow start fewer than the file says. `null` is no bound.
    #[serde(default)]
    pub max_connections: Option<u32>,
    /// Tunnels among them, likewise.
    #[serde(default)]
    pub max_tunnels: Option<u32>,
    /// Requests that wait for this very server.
    #[serde(default)]
    pub queue: QueueStatus,
    /// Sessions since the start.
    pub total_sessions: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Requests given to it.
    pub requests: u64,
    /// Its answers by class, `1xx` to `5xx`.
    pub responses: [u64; 5],
    /// Attempts to connect that failed.
    pub connect_errors: u64,
    /// Answers that broke off or were not HTTP.
    pub response_errors: u64,
    /// Further attempts on it.
    pub retries: u64,
    /// Requests that left it for another.
    pub redispatches: u64,
    /// Clients whose cookie names it, refused because of its rate.
    #[serde(default)]
    pub over_rate: u64,
    /// Checks made.
    pub checks: u64,
    /// Checks that failed.
    pub failed_checks: u64,
    /// Times that checks took it down.
    pub downs: u64,
    /// Until when it is ejected.
    #[serde(default)]
    pub ejected_until_ms: Option<u64>,
    /// Seconds until then.
    #[serde(default)]
    pub ejected_for: u64,
    /// Times that passive checks ejected it.
    #[serde(default)]
    pub ejections: u64,
}

fn yes() -> bool {
    true
}

/// One word for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerState {
    /// Takes sessions.
    Up,
    /// Its checks fail, or its agent says so: takes none.
    Down,
    /// Too much of its traffic failed: takes none for a while.
    Ejected,
    /// Takes only clients whose cookie names it.
    Drain,
    /// The same, since its check was answered with 404.
    SoftDrain,
    /// Takes none, by an operator's or an agent's word.
    Maintenance,
}

impl ServerState {
    /// The one word for it, in the JSON, for people, and on the page.
    pub fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Ejected => "ejected",
            Self::Drain => "drain",
            Self::SoftDrain => "soft-drain",
            Self::Maintenance => "maintenance",
        }
    }

    fn of(server: &Server) -> Self {
        match server.live.standing() {
            Standing::Up => Self::Up,
            Standing::SoftDrain => Self::SoftDrain,
            Standing::Drain => Self::Drain,
            Standing::Down => Self::Down,
            Standing::Ejected => Self::Ejected,
            Standing::Maintenance => Self::Maintenance,
        }
    }
}

impl PoolStatus {
    /// The pool as it is at `now_ms`.
    pub(super) fn of(pool: &Pool, now_ms: u64, started_ms: u64) -> Self {
        let servers = pool.servers.iter();
        let servers: Vec<_> = servers
            .zip(&pool.settings.servers)
            .map(|(server, settings)| ServerStatus {
                found_by: found_by(&pool.settings, settings),
                ..ServerStatus::of(server, now_ms, started_ms)
            })
            .collect();
        let retries = servers.iter().map(|s| s.retries + s.redispatches).sum();
        Self {
            name: pool.settings.name.clone(),
            active: pool.active(),
            sessions: pool.live.sessions(),
            tunnels: pool.live.tunnels(),
            total_sessions: pool.live.total_sessions(),
            panic: pool.live.panics(),
            retries,
            retries_refused: pool.live.retries_refused(),
            over_rate: pool.live.over_rate(),
            queue: QueueStatus::of(pool.live.line(), pool.settings.max_queue),
            servers,
            names: Vec::new(),
        }
    }

    /// A sum over the servers.
    pub fn sum(&self, of: impl Fn(&ServerStatus) -> u64) -> u64 {
        self.servers.iter().map(of).sum()
    }
}

impl ServerStatus {
    /// What there is to be said of its state besides, for people.
    pub fn remark(&self) -> Option<Cow<'_, str>> {
        let by_operator = self.operator == self.state.word();
        let remark = match self.state {
            ServerState::Ejected => {
                return Some(format!("back in {}", span(self.ejected_for)).into());
            }
            ServerState::Up if self.share < 100 => {
                return Some(format!("slow start, {} %", self.share).into());
            }
            ServerState::Down => Some(self.reason.as_str()),
            ServerState::Drain | ServerState::SoftDrain if !self.honours_cookies => {
                Some("cookies are not honoured any more")
            }
            ServerState::Drain | ServerState::Maintenance if by_operator => Some("by the operator"),
            ServerState::Drain | ServerState::Maintenance => Some("by its agent"),
            ServerState::Up if !self.checked => Some("not checked"),
            ServerState::SoftDrain => Some(self.reason.as_str()),
            ServerState::Up => None,
        };
        remark.map(Cow::Borrowed)
    }

    fn of(server: &Server, now_ms: u64, started_ms: u64) -> Self {
        let (live, state) = (&server.live, server.live.state());
        let heard = live.heard();
        let heard = heard.as_deref().map_or("", String::as_str);
        // Down by the agent's word alone.
        let by_agent = state.up && live.standing() == Standing::Down;
        let since_ms = match live.since_ms() {
            0 => started_ms,
            since => since,
        };
        let totals = live.totals();
        let check = server.check.as_ref().map_or("", Check::word);
        let last = live.last_check();
        let last_check = match last.reason {
            Reason::Start => String::new(),
            reason => reason.to_string(),
        };
        let reason = match (server.check.is_some(), state.reason) {
            _ if by_agent => format!("its agent says {heard}"),
            (true, Reason::Start) => "no change since the start".to_owned(),
            (_, reason) => reason.to_string(),
        };
        Self {
            name: server.name.to_string(),
            address: server.address.to_string(),
            found_by: None,
            state: ServerState::of(server),
            operator: live.admin().word().to_owned(),
            honours_cookies: !live.is_forsaken(),
            checked: server.check.is_some(),
            check: check.to_owned(),
            last_check,
            last_check_us: last.took.as_micros() as u64,
            agent: server
                .agent
                .as_ref()
                .map_or_else(String::new, |_| live.agent().to_string()),
            agent_heard: heard.to_owned(),
            reason,
            since_ms: super::on_wall(since_ms),
            since: now_ms.saturating_sub(since_ms) / 1000,
            weight: live.weight(),
            share: (u16::from(live.sixteenths()) * 100 / 16) as u8,
            sessions: live.sessions(),
            tunnels: live.tunnels(),
            max_connections: live.max_connections(),
            max_tunnels: live.max_tunnels(),
            queue: QueueStatus::of(live.line(), server.bounds.queue),
            total_sessions: live.total_sessions(),
            bytes_in: totals.get(Counter::BytesIn),
            bytes_out: totals.get(Counter::BytesOut),
            requests: totals.get(Counter::Requests),
            responses: [
                Counter::Responses1xx,
                Counter::Responses2xx,
                Counter::Responses3xx,
                Counter::Responses4xx,
                Counter::Responses5xx,
            ]
            .map(|class| totals.get(class)),
            connect_errors: totals.get(Counter::ConnectErrors),
            response_errors: totals.get(Counter::ResponseErrors),
            retries: totals.get(Counter::Retries),
            redispatches: totals.get(Counter::Redispatches),
            over_rate: totals.get(Counter::OverRate),
            checks: live.checks(),
            failed_checks: live.failures(),
            downs: live.downs(),
            ejected_until_ms: live.ejected_until_ms().map(super::on_wall),
            ejected_for: live
                .ejected_until_ms()
                .map_or(0, |until| until.saturating_sub(now_ms).div_ceil(1000)),
            ejections: live.ejections(),
        }
    }
}

/// What was asked for the address of a server, if it was not in the file.
fn found_by(pool: &config::Pool, server: &config::Server) -> Option<String> {
    let made = |template: &&config::Template| template.made(server);
    let template = pool.templates.iter().find(made)?;
    Some(template.origin.to_string())
}

/// `512 B`, `3.4 KiB`, `12.0 GiB`.
pub fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].iter();
    let mut unit = units.next();
    while value >= 1023.95 {
        value /= 1024.0;
        unit = units.next();
    }
    match unit {
        Some(&"B") | None => format!("{bytes} B"),
        Some(unit) => format!("{value:.1} {unit}"),
    }
}

/// `7s`, `12m 30s`, `5h 2m`, `3d 4h`.
pub fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match () {
        () if days > 0 => format!("{days}d {}h", hours % 24),
        () if hours > 0 => format!("{hours}h {}m", minutes % 60),
        () if minutes > 0 => format!("{minutes}m {}s", seconds % 60),
        () => format!("{seconds}s"),
    }
}

/// `1,234,567`
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_for_people() {
        let sizes = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1_048_575, "1.0 MiB"),
            (5_368_709_120, "5.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, wanted) in sizes {
            assert_eq!(size(bytes), wanted);
        }
        let spans = [
            (0, "0s"),
            (59, "59s"),
            (750, "12m 30s"),
            (18_120, "5h 2m"),
            (273_600, "3d 4h"),
        ];
        for (seconds, wanted) in spans {
            assert_eq!(span(seconds), wanted);
        }
        for (number, wanted) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
        ] {
            assert_eq!(count(number), wanted);
        }
    }
}
