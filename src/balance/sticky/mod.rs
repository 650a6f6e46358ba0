//! The persistence cookie: which server a client sticks to, and what the answer says of it.
//!
//! A [`Sticky`] is compiled from the settings with the pool. For a request, [`Sticky::read`] takes
//! the values of the cookie as the client sent them and gives a [`Verdict`]; [`Sticky::forwarded`]
//! says what the server sees of each. Once a server has answered, [`Sticky::answer`] gives an
//! [`Answer`]: what becomes of the server's own cookie of that name, and what the client is given;
//! [`Sticky::write`] puts the latter into bytes.
//!
//! The cookie is issued whenever the client's is absent or names another server than the chosen
//! one, and never when it names that one, unless a date in it (or its signature) is due.

mod answer;
mod asked;
mod attributes;
mod book;
mod cache;
mod dates;
mod key;
#[doc(hidden)]
pub mod properties;
mod read;

pub use answer::{Answer, Issue, Theirs};
pub use asked::Asked;
pub use cache::Storable;
pub use key::{dynamic_key, key_of};
pub use read::{Forwarded, Verdict};

use super::server::Server;
use crate::config::{self, Condition, StickyMode};
use attributes::Attributes;
use book::Book;
use std::sync::Arc;

/// A pool's persistence cookie, compiled.
#[derive(Debug)]
pub struct Sticky {
    name: Box<[u8]>,
    mode: StickyMode,
    indirect: bool,
    nocache: bool,
    postonly: bool,
    preserve: bool,
    persist: bool,
    /// Seconds.
    max_idle: Option<u64>,
    /// Seconds.
    max_life: Option<u64>,
    attributes: Attributes,
    /// Values and servers; the first is what we write, all are what we read.
    books: Box<[Book]>,
    force: Box<[Condition]>,
    ignore: Box<[Condition]>,
}

impl Sticky {
    /// Compiles the settings for a pool with these servers.
    pub fn new(settings: &config::Sticky, servers: &[Arc<Server>]) -> Self {
        Self {
            name: settings.cookie.as_bytes().into(),
            mode: settings.mode,
            indirect: settings.indirect,
            nocache: settings.nocache,
            postonly: settings.postonly,
            preserve: settings.preserve,
            persist: settings.persist,
            max_idle: settings.max_idle.map(|d| d.as_secs()),
            max_life: settings.max_life.map(|d| d.as_secs()),
            attributes: Attributes::new(settings),
            books: Book::all(settings, servers),
            force: settings.force.as_slice().into(),
            ignore: settings.ignore.as_slice().into(),
        }
    }

    /// The cookie's name, to be compared exactly.
    pub fn name(&self) -> &[u8] {
        &self.name
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
pub(super) mod tests;
