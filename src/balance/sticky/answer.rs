//! The answer's side: what becomes of the cookies in it.

use super::{Sticky, Verdict};
use crate::config::StickyMode;

/// What to do with the cookies of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// With each `Set-Cookie` of our name that the server sent.
    pub theirs: Theirs,
    /// What we add.
    pub issue: Issue,
    /// `Cache-Control: private` is wanted if a shared cache could store the answer ([`super::Storable`]).
    pub private: bool,
    /// For the log: `N` none, `I` inserted, `U` updated, `P` passed, `R` rewritten, `D` deleted.
    pub letter: u8,
    server: usize,
    first: Option<u64>,
    now: u64,
    secure: bool,
}

/// What becomes of the server's own cookie of our name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theirs {
    /// It passes as it is.
    Leave,
    /// The field is removed.
    Delete,
    /// [`Sticky::value`] takes the place of its value.
    Replace,
    /// [`Sticky::value`] goes before its value.
    Prefix,
}

/// What `Set-Cookie` we add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issue {
    /// None.
    Nothing,
    /// One with the server's key.
    Cookie,
    /// One that makes the client forget the cookie it sent: the server has no key.
    Deletion,
}

impl Sticky {
    /// Decides on an answer with this status (101 counts, other 1xx pass untouched) by server
    /// `chosen`. `theirs`: the answer sets a cookie of our name. `secure`: the client's side is
    /// encrypted. `now`: Unix seconds.
    #[expect(clippy::too_many_arguments, reason = "one fact each")]
    pub fn answer(
        &self,
        verdict: &Verdict,
        chosen: usize,
        method: &[u8],
        status: u16,
        theirs: bool,
        secure: bool,
        now: u64,
    ) -> Answer {
        let mut answer = Answer {
            theirs: Theirs::Leave,
            issue: Issue::Nothing,
            private: false,
            letter: b'N',
            server: chosen,
            first: verdict.first,
            now,
            secure,
        };
        let interim = status < 200 && status != 101;
        if verdict.ignore || interim {
            return answer;
        }
        let books = &self.books;
        let holds = verdict.named.is_some_and(|n| books[0].same(n, chosen));
        if theirs {
            (answer.theirs, answer.letter) = self.theirs(chosen, holds);
        }
        let ruled_out = self.preserve && theirs || self.postonly && method != b"POST";
        if self.mode == StickyMode::Insert && !ruled_out {
            answer.issue = self.issue(verdict, chosen, holds, now);
        }
        if answer.issue != Issue::Nothing {
            answer.letter = if holds { b'U' } else { b'I' };
            answer.private = self.nocache;
        }
        answer
    }

    /// Appends the value of the `Set-Cookie` field that [`Answer::issue`] asks for (no field name,
    /// no line end); nothing when it asks for none.
    pub fn write(&self, answer: &Answer, out: &mut Vec<u8>) {
        if answer.issue == Issue::Nothing {
            return;
        }
        out.extend_from_slice(&self.name);
        out.push(b'=');
        if answer.issue == Issue::Deletion {
            out.extend_from_slice(self.attributes.forget(answer.secure));
            return;
        }
        let dated = self.max_idle.is_some() || self.max_life.is_some();
        let last = dated.then_some(answer.now);
        let first = self.max_life.map(|_| answer.first.unwrap_or(answer.now));
        self.books[0].write(answer.server, last, first, out);
        out.extend_from_slice(self.attributes.keep(answer.secure));
    }

    /// Appends what replaces the value of the server's own cookie, or goes before it, as
    /// [`Answer::theirs`] asks; nothing when it asks for neither.
    pub fn value(&self, answer: &Answer, out: &mut Vec<u8>) {
        match answer.theirs {
            Theirs::Leave | Theirs::Delete => {}
            Theirs::Replace => self.books[0].write(answer.server, None, None, out),
            Theirs::Prefix => {
                self.books[0].write(answer.server, None, None, out);
                out.push(b'~');
            }
        }
    }

    /// What becomes of the server's own cookie, and its letter.
    fn theirs(&self, chosen: usize, holds: bool) -> (Theirs, u8) {
        let keyed = self.books[0].has(chosen);
        match self.mode {
            _ if self.preserve => (Theirs::Leave, b'P'),
            StickyMode::Insert => (Theirs::Delete, b'D'),
            _ if self.indirect && holds => (Theirs::Delete, b'D'),
            StickyMode::Rewrite if keyed => (Theirs::Replace, b'R'),
            StickyMode::Prefix if keyed => (Theirs::Prefix, b'R'),
            StickyMode::Rewrite | StickyMode::Prefix | StickyMode::Passive => (Theirs::Leave, b'P'),
        }
    }

    /// What insert mode adds.
    fn issue(&self, verdict: &Verdict, chosen: usize, holds: bool, now: u64) -> Issue {
        if !self.books[0].has(chosen) {
            // A client without a cookie has nothing to forget.
            return if verdict.sent {
                Issue::Deletion
            } else {
                Issue::Nothing
            };
        }
        if holds && !verdict.stale && !self.is_due(verdict, now) {
            return Issue::Nothing;
        }
        Issue::Cookie
    }

    /// Whether a date is missing, past (dates are rounded up, so that happens once a step), or there
    /// without need. HAProxy renews the date of the last issue also where only `max_life` is set;
    /// nothing needs it there.
    fn is_due(&self, verdict: &Verdict, now: u64) -> bool {
        let last = match self.max_idle {
            Some(_) => verdict.last.is_none_or(|last| last < now),
            None => self.max_life.is_none() && verdict.last.is_some(),
        };
        last || self.max_life.is_some() != verdict.first.is_some()
    }
}
