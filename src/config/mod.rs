//! The configuration: one TOML file → checked settings, or all of its problems.
//!
//! [`settings`] holds what the program uses, with every default filled in; [`load`](fn@load) reads a
//! file into it and reports everything that is wrong at once, each problem with file, line, column,
//! the line itself and the nearest known name. [`check`](fn@check) does the same and also gives the warnings
//! of a file that can be used. [`SECTIONS`] lists every setting that exists.
//!
//! The room does no I/O: the caller reads the file, and an [`Environment`] answers for variables and
//! secret files.

mod action;
mod agent;
mod balance;
mod check;
mod drain;
mod bounds;
mod engine_io;
pub mod environment;
mod error_pages;
mod foreign;
mod haproxy;
mod headers;
mod hints;
pub mod hosts;
mod item;
mod listener;
mod load;
mod log;
mod monitor;
mod names;
mod networks;
mod page;
mod passive;
mod pool;
pub mod problem;
mod process;
mod proxy_protocol;
mod rate;
mod reader;
mod resolver;
mod retry;
mod route;
pub mod section;
mod server;
pub mod settings;
mod shadows;
mod source;
mod sources;
mod stats;
mod sticky;
mod table;
mod template;
mod unquoted;
mod values;

pub use action::{Action, Answer, Piece, Redirect};
pub use agent::Agent;
pub use bounds::Bounds;
pub use check::{Asking, Check, CheckKind, HttpCheck};
pub use drain::{Drain, OnDown};
pub use environment::{EmptyEnvironment, Environment};
pub use error_pages::ERROR_STATUSES;
pub use headers::HeaderChanges;
pub use load::{Checked, check, fuzz_any, load};
pub use networks::{Admission, Clients};
pub use page::Page;
pub use passive::Passive;
pub use problem::{Problem, Problems, Severity};
pub use proxy_protocol::{ProxySenders, ProxyVersion};
pub use rate::{ClientRate, Growth, Ramp, Rate, SlowStart};
pub use resolver::{Family, Resolver, host_names};
pub use retry::{Retry, RetryBudget, RetryOn};
pub use section::{Section, Setting, reference};
pub use settings::*;
pub use template::{DNS_DESCRIPTORS, MOST_SERVERS, Origin, Template};

use section::setting;
use std::time::Duration;

/// A duration as the file writes it: `"30s"`; what is wrong with it when it is none.
///
/// # Errors
/// A sentence, with what to write instead.
pub fn duration(text: &str) -> Result<Duration, String> {
    values::duration(text).map_err(|refusal| match refusal.help {
        Some(help) => format!("{}: {help}", refusal.message),
        None => refusal.message,
    })
}

/// Every kind of table that the file may have.
pub const SECTIONS: &[&Section] = &[
    &ROOT,
    &process::PROCESS,
    &rate::TUNNEL_RAMP,
    &process::LIMITS,
    &process::TIMEOUTS,
    &process::WEBSOCKET,
    &log::LOG,
    &process::CONTROL,
    &stats::STATS,
    &resolver::RESOLVER,
    &listener::LISTENER,
    &listener::CAPTURE,
    &monitor::MONITOR,
    &rate::CLIENT_RATE,
    &route::ROUTE,
    &action::REDIRECT,
    &action::ANSWER,
    &headers::HEADERS,
    &error_pages::PAGE,
    &pool::POOL,
    &balance::BALANCE,
    &balance::HASH,
    &drain::DRAIN,
    &drain::ON_DOWN,
    &process::POOL_TIMEOUTS,
    &pool::FORWARDED_FOR,
    &retry::RETRY,
    &rate::TUNNEL_RATE,
    &rate::SLOW_START,
    &rate::GROWTH,
    &passive::PASSIVE,
    &sticky::STICKY,
    &sticky::CONDITION,
    &engine_io::ENGINE_IO,
    &server::SERVER,
    &check::CHECK,
    &agent::AGENT,
];

/// The file itself.
const ROOT: Section = Section::new(
    "",
    &[
        setting("process", "", "the process as the system sees it"),
        setting("limits", "", "bounds on what one peer may send"),
        setting("timeouts", "", "how long is waited for what"),
        setting("websocket", "", "what is done with tunnels"),
        setting("log", "", "where log lines go; none, and there is no log"),
        setting("control", "", "the socket for `ringbolt status`"),
        setting("stats", "", "the page for people; without it there is none"),
        setting("resolver", "", "how the names of servers are asked"),
        setting("listener", "", "where requests come in; at least one"),
        setting(
            "route",
            "",
            "what becomes of which requests; file order never matters",
        ),
        setting(
            "error_pages",
            "",
            "pages instead of our own words, by status: text, \"file:/path\" or a table { body, file, type }",
        ),
        setting("pool", "", "servers that stand in for each other, by name"),
    ],
);
