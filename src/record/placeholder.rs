//! Placeholder for the record engineer to replace: the doors that `proxy` and `worker` call (`Log::access`, `Log::flush`,
//! `Events::send`, the `Event` constructors, `Record::empty`, `Timers::NONE`). Delete this file when the real ones land.

use super::*;

/// stub
pub struct Log;
impl Log {
    /// stub
    pub fn access(&mut self, _record: &Record<'_>) {}
    /// stub
    pub fn flush(&mut self) {}
}
impl Timers {
    /// stub
    pub const NONE: Self = Self {
        request: -1,
        queue: -1,
        connect: -1,
        response: -1,
        active: -1,
    };
}
impl<'a> Record<'a> {
    /// stub
    pub fn empty(kind: Kind, accepted_ms: u64, now_ms: u64, listener: &'a str) -> Self {
        Self {
            kind,
            accepted_ms,
            now_ms,
            client: None,
            listener,
            pool: None,
            server: None,
            timers: Timers::NONE,
            status: 0,
            bytes_out: 0,
            bytes_in: 0,
            termination: Termination {
                cause: b'-',
                phase: b'-',
                cookie_request: b'-',
                cookie_response: b'-',
            },
            counts: Counts::default(),
            retries: 0,
            redispatched: false,
            method: b"",
            target: b"",
            minor: 1,
            host: b"",
            request_id: b"",
            captured_request: &[],
            captured_response: &[],
            capture_request_names: &[],
            capture_response_names: &[],
            tunnel: None,
        }
    }
}
/// stub
#[derive(Clone)]
pub struct Events;
impl Events {
    /// stub
    pub fn send(&self, event: Event) {
        eprintln!("{}", event.0);
    }
}
/// stub
pub struct Event(String);
impl Event {
    /// stub
    pub fn panicked(worker: usize, count: u64) -> Self {
        Self(format!("panic {worker} {count}"))
    }
    /// stub
    pub fn listener_failed(worker: usize, error: &str) -> Self {
        Self(format!("listener {worker} {error}"))
    }
    /// stub
    pub fn limit_reached(limit: u32) -> Self {
        Self(format!("limit {limit}"))
    }
    /// stub
    pub fn accept_failed(error: &str) -> Self {
        Self(format!("accept {error}"))
    }
    /// stub
    pub fn accepting_again() -> Self {
        Self("accepting again".into())
    }
}
