//! What an exchange tells the pool's passive checks: that its server answered, or that it failed.
//!
//! Where a pool has none this is one comparison. Where it has, a good answer is a load and a comparison as long as
//! nothing went wrong before; an error is an addition; and the error that completes a row wakes the control thread.

use super::desk::Desk;
use super::story::Story;
use crate::balance::{Live, Pool};

/// The exchange's server gave an answer of this status.
pub(super) fn answered(desk: &Desk, story: &Story, status: u16) {
    let (Some(pool), Some(busy)) = (&story.pool, &story.busy) else {
        return;
    };
    match &pool.settings.passive {
        None => {}
        Some(passive) if passive.count_server_errors && status >= 500 => {
            failed(desk, pool, busy.live())
        }
        Some(_) => busy.live().went_well(),
    }
}

/// The server was not reached, gave no answer in time, or one that is none.
#[cold]
pub(super) fn failed(desk: &Desk, pool: &Pool, live: &Live) {
    let passive = pool.settings.passive.as_ref();
    let Some(errors) = passive.and_then(|passive| passive.errors) else {
        return;
    };
    if live.went_wrong() == errors {
        desk.bell.ring();
    }
}
