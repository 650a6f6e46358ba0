//! `sticky = { engine_io = … }`: Engine.IO sessions (Socket.IO's) held on their servers without a cookie.

use super::EngineIo;
use super::item::Item;
use super::section::{Section, setting};
use super::values::{Refusal, url_path};
use std::time::Duration;

pub(super) const ENGINE_IO: Section = Section::new(
    "pool.NAME.sticky.engine_io",
    &[
        setting(
            "path",
            "\"/socket.io/\"",
            "the paths that begin so are Engine.IO's, and with a slash at its end also the path without it",
        ),
        setting(
            "idle",
            "\"2m\"",
            "a session without a request for so long is forgotten, 1s to 30d; a tunnel needs no remembering",
        ),
        setting(
            "sessions",
            "65536",
            "so many are remembered in this pool, 1024 to 16777216, at 32 bytes or a little more; beyond that those that were not seen for longest are forgotten first",
        ),
    ],
);

/// `true`, `false`, or a table of its own.
pub(super) fn engine_io(item: &Item<'_>) -> Option<Option<EngineIo>> {
    if item.is_switch() {
        return item.switch().map(|on| on.then(plain));
    }
    if !item.is_table() {
        item.wrong_type("true, false or a table such as { path = \"/socket.io/\" }");
        return None;
    }
    let table = item.table(&ENGINE_IO)?;
    Some(Some(EngineIo {
        path: table.setting("path", |item| item.parse(url_path)),
        idle: table.setting("idle", idle),
        sessions: table.setting("sessions", |item| item.number(1_024..=16_777_216)) as u32,
    }))
}

fn plain() -> EngineIo {
    EngineIo {
        path: "/socket.io/".to_owned(),
        idle: Duration::from_secs(120),
        sessions: 65_536,
    }
}

/// Whole seconds, which is how the table counts.
fn idle(item: &Item<'_>) -> Option<Duration> {
    let idle = item.duration()?;
    if idle.subsec_nanos() != 0 || idle > LONGEST_IDLE {
        item.refuse(Refusal::new("must be whole seconds, 1s to 30d"));
        return None;
    }
    Some(idle)
}

const LONGEST_IDLE: Duration = Duration::from_secs(30 * 24 * 60 * 60);
