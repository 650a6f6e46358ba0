//! The request's side: what the client's cookie says.

use super::super::server::Server;
use super::book::Value;
use super::{Asked, Sticky};
use crate::config::{Condition, StickyMode};
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
    /// A server that the cookie names, usable or not.
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
    /// `now` is Unix seconds. The first one that designates a server counts; when none does, the
    /// first one. Where both an `ignore` and a `force` condition hold, the request is ignored.
    pub fn read<'v>(
        &self,
        servers: &[Arc<Server>],
        values: impl IntoIterator<Item = &'v [u8]>,
        now: u64,
        asked: &Asked<'_>,
    ) -> Verdict {
        let meets = |list: &[Condition]| list.iter().any(|condition| asked.meets(condition));
        let ignore = meets(&self.ignore);
        let force = !ignore && meets(&self.force);
        let mut verdict = Verdict {
            force,
            ignore,
            ..Verdict::NONE
        };
        for value in values {
            if ignore {
                return verdict.but(b'U');
            }
            let one = self.judge(servers, value, now, verdict);
            if one.server.is_some() {
                return one;
            }
            if !verdict.sent {
                verdict = one;
            }
        }
        verdict
    }

    /// What the server is shown of a crumb with this value, whether or not it was honoured.
    pub fn forwarded(&self, value: &[u8]) -> Forwarded {
        match (self.mode, memchr::memchr(b'~', value)) {
            (StickyMode::Insert, _) if self.indirect => Forwarded::Nothing,
            (StickyMode::Prefix, Some(tilde)) => Forwarded::After(tilde + 1),
            _ => Forwarded::Whole,
        }
    }

    /// Whether all crumbs of our name are removed before the request is forwarded.
    pub fn hides(&self) -> bool {
        self.mode == StickyMode::Insert && self.indirect
    }

    /// One value alone; `blank` carries the request's conditions.
    fn judge(&self, servers: &[Arc<Server>], value: &[u8], now: u64, blank: Verdict) -> Verdict {
        let Verdict { force, ignore, .. } = blank;
        let blank = Verdict {
            force,
            ignore,
            ..Verdict::NONE
        };
        let value = match self.mode {
            StickyMode::Prefix => match memchr::memchr(b'~', value) {
                Some(tilde) => &value[..tilde],
                None => return blank.but(b'I'),
            },
            StickyMode::Insert | StickyMode::Rewrite | StickyMode::Passive => value,
        };
        let books = self.books.iter().enumerate();
        let found = books.filter_map(|(at, book)| Some((at, book.read(value)?)));
        let Some((book, value)) = found.take(1).next() else {
            return blank.but(b'I');
        };
        if let Some(letter) = self.outdated(&value, now) {
            return blank.but(letter);
        }
        let named = value.servers.first().copied();
        let up = |server: &&usize| servers[**server].accepts_sticky();
        // A stopped server is taken only where no other one of that key runs; one that has drained for too long
        // is not stopped, it is being emptied: there `persist` says nothing.
        let running = value.servers.iter().find(up).copied();
        let persists = |server: &usize| self.persist && !servers[*server].live.is_forsaken();
        let server = running.or_else(|| named.filter(|server| force || persists(server)));
        Verdict {
            server,
            named,
            last: value.last,
            first: value.first,
            stale: book > 0,
            ..blank.but(if server.is_some() { b'V' } else { b'D' })
        }
    }

    /// The letter of a value whose dates are past or absurd.
    fn outdated(&self, value: &Value<'_>, now: u64) -> Option<u8> {
        let beyond = |date: Option<u64>, limit: Option<u64>| match (date, limit) {
            (Some(date), Some(limit)) => {
                now.saturating_sub(date) > limit || date.saturating_sub(now) > TOLERATED_AHEAD
            }
            _ => false,
        };
        if beyond(value.first, self.max_life) {
            Some(b'O')
        } else if beyond(value.last, self.max_idle) {
            Some(b'E')
        } else {
            None
        }
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

    /// Carries the verdict over to another plan of the pool, whose index of one of the servers `place` gives. A cookie
    /// whose server has none there is redispatched.
    pub fn carry_over(&mut self, place: impl Fn(usize) -> Option<usize>) {
        self.named = self.named.and_then(&place);
        if let Some(server) = self.server {
            match place(server) {
                Some(server) => self.server = Some(server),
                None => self.redispatched(),
            }
        }
    }

    /// Forgets the cookie, so that one is issued with the answer: the pool has other settings for it now.
    pub fn forget_cookie(&mut self) {
        *self = Self {
            force: self.force,
            ignore: self.ignore,
            server: self.server,
            ..Self::NONE
        };
    }

    /// The same for a cookie that came and is judged so.
    fn but(self, letter: u8) -> Self {
        Self {
            letter,
            sent: true,
            ..self
        }
    }
}

/// Seconds that a date may lie ahead: a clock that was wrong can be put right without every client
/// losing its server.
const TOLERATED_AHEAD: u64 = 86_400;
