//! Waiting for a condition.

use std::time::{Duration, Instant};

/// How long anything may take before a test calls it lost. Long, because a loaded machine is slow;
/// a passing test never waits for it.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Asks until there is an answer; panics with `what` after [`PATIENCE`].
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "never came true: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
