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

/// How much later than its timeout a wait of the proxy's may end: what is promised, and what a loaded machine takes to
/// run both ends.
pub const LATE: Duration = Duration::from_millis(300 + 350);

/// Runs what a timeout of the proxy's ends, from before its time begins until the end is seen: it ends neither early nor late.
pub fn in_time<T>(timeout: Duration, wait: impl FnOnce() -> T) -> T {
    let from = Instant::now();
    let ended = wait();
    assert_in_time(from, timeout);
    ended
}

/// A timeout whose time began after `from` has just been seen to end.
pub fn assert_in_time(from: Instant, timeout: Duration) {
    let took = from.elapsed();
    assert!(took >= timeout, "{timeout:?} ended early, after {took:?}");
    assert!(
        took <= timeout + LATE,
        "{timeout:?} ended late, after {took:?}"
    );
}
