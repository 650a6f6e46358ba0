//! The request's side: what the client's cookie says.

use super::super::server::Server;
use super::{Asked, Sticky};
use std::sync::Arc;

/// What the client's cookie says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// For the log: `N` none, `I` invalid, `D` down, `V` valid, `E` expired, `O` old, `U` unused.
    pub letter: u8,
    /// The server to take; its state is already weighed.
    pub server: Option<usize>,
    /// A `force` condition holds: never redispatch.
    pub force: bool,
    /// An `ignore` condition holds: the answer's cookies stay as they are, none is issued.
    pub ignore: bool,
    /// Some cookie of our name came.
    pub(super) sent: bool,
    /// The first server that the cookie names, usable or not.
    pub(super) named: Option<usize>,
    /// When it was last issued, Unix seconds.
    pub(super) last: Option<u64>,
    /// When it was first issued.
    pub(super) first: Option<u64>,
    /// It is signed with an old key.
    pub(super) stale: bool,
}

/// What the server is shown of a crumb of our name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forwarded {
    /// All of it.
    Whole,
    /// Nothing: the crumb is removed.
    Nothing,
    /// The value without so many bytes at its beginning.
    After(usize),
}

impl Sticky {
    /// Reads the client's cookies of our name, in the order in which they came, without quotes.
    /// `now` is Unix seconds.
    pub fn read<'v>(
        &self,
        _servers: &[Arc<Server>],
        _values: impl IntoIterator<Item = &'v [u8]>,
        _now: u64,
        _asked: &Asked<'_>,
    ) -> Verdict {
        Verdict::NONE
    }

    /// What the server is shown of a crumb with this value.
    pub fn forwarded(&self, _value: &[u8]) -> Forwarded {
        Forwarded::Whole
    }
}

impl Verdict {
    /// No cookie came.
    pub const NONE: Self = Self {
        letter: b'N',
        server: None,
        force: false,
        ignore: false,
        sent: false,
        named: None,
        last: None,
        first: None,
        stale: false,
    };

    /// The request left the server that the cookie named: `V` becomes `D`.
    pub fn redispatched(&mut self) {
        if self.letter == b'V' {
            self.letter = b'D';
        }
        self.server = None;
    }
}
