//! The answer's side: what becomes of the cookies in it.

use super::super::server::Server;
use super::{Sticky, Verdict};
use std::sync::Arc;

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
    /// Its value becomes the key ([`Sticky::amend`]).
    Replace,
    /// Its value gets the key in front ([`Sticky::amend`]).
    Prefix,
}

/// What `Set-Cookie` we add.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Issue {
    /// None.
    Nothing,
    /// One with the server's key.
    Cookie,
    /// One that makes the client forget the cookie: the server has no key.
    Deletion,
}

impl Sticky {
    /// Decides on an answer by server `chosen`. `theirs`: the answer sets a cookie of our name.
    /// `secure`: the client's side is encrypted. `now`: Unix seconds.
    #[expect(clippy::too_many_arguments, reason = "one fact each")]
    pub fn answer(
        &self,
        _servers: &[Arc<Server>],
        _verdict: &Verdict,
        chosen: usize,
        _method: &[u8],
        _status: u16,
        _theirs: bool,
        secure: bool,
        now: u64,
    ) -> Answer {
        Answer {
            theirs: Theirs::Leave,
            issue: Issue::Nothing,
            private: false,
            letter: b'N',
            server: chosen,
            first: None,
            now,
            secure,
        }
    }

    /// Appends the value of the `Set-Cookie` field that [`Answer::issue`] asks for (no field name,
    /// no line end); nothing when it asks for none.
    pub fn write(&self, _answer: &Answer, _out: &mut Vec<u8>) {}

    /// Whether a `Set-Cookie` field's value sets a cookie of our name.
    pub fn is_ours(&self, _set_cookie: &[u8]) -> bool {
        false
    }

    /// Appends such a field's value with its cookie's value replaced or prefixed, as
    /// [`Answer::theirs`] asks.
    pub fn amend(&self, _answer: &Answer, set_cookie: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(set_cookie);
    }
}
