//! Faults on purpose, for the tests of what follows from them. This file is no part of a release build:
//! every mention of it stands under `cfg(debug_assertions)`.
//!
//! `RINGBOLT_TEST_PANIC` names a header field. A request that carries it with the name of a place panics
//! there: `head`, `wait`, `data`. In a tunnel the line that does so may be anywhere in a message. `accept`
//! and `tick` make the worker's next accept or tick panic, `accept-error` makes the next accept fail, `abort` ends the process on the spot.

use std::cell::Cell;
use std::sync::OnceLock;

/// Panics if `text` asks for it at this place.
pub(super) fn at(text: &[u8], place: &str) {
    if asks(text, place) {
        panic!("on purpose, at {place}");
    }
    if asks(text, "abort") {
        std::process::abort();
    }
    for later in [Later::Accept, Later::AcceptError, Later::Tick] {
        if asks(text, later.word()) {
            LATER.set(Some(later));
        }
    }
}

/// Panics, or fails, if a request asked this worker to.
pub(crate) fn at_accept() -> std::io::Result<()> {
    later(Later::Accept);
    match LATER.get() == Some(Later::AcceptError) {
        true => Err(std::io::Error::other("on purpose")),
        false => Ok(()),
    }
}

/// Panics if a request asked this worker to.
pub(crate) fn at_tick() {
    later(Later::Tick);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Later {
    Accept,
    AcceptError,
    Tick,
}

impl Later {
    fn word(self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::AcceptError => "accept-error",
            Self::Tick => "tick",
        }
    }
}

fn later(place: Later) {
    if LATER.get() == Some(place) {
        panic!("on purpose, at {}", place.word());
    }
}

fn asks(text: &[u8], place: &str) -> bool {
    static NAME: OnceLock<Option<String>> = OnceLock::new();
    let name = NAME.get_or_init(|| std::env::var("RINGBOLT_TEST_PANIC").ok());
    name.as_ref().is_some_and(|name| {
        memchr::memmem::find(text, format!("{name}: {place}\r\n").as_bytes()).is_some()
    })
}

thread_local! {
    static LATER: Cell<Option<Later>> = const { Cell::new(None) };
}
