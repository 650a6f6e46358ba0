//! What is known of each log target, for status: written by the log writer, read by the control thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::{ArcSwap, ArcSwapOption};

use crate::control::status::LogStatus;

/// The targets in force, in file order.
pub(super) type Published = ArcSwap<Vec<(String, Arc<Stats>)>>;

/// One target's figures since the start; they outlive a reload that keeps the target.
#[derive(Debug, Default)]
pub(super) struct Stats {
    lost: AtomicU64,
    failure: ArcSwapOption<String>,
}

impl Stats {
    /// Counts lines that the target did not get.
    pub(super) fn lose(&self, lines: u64) {
        self.lost.fetch_add(lines, Relaxed);
    }

    /// Sets why the target fails; `None`: it works.
    pub(super) fn set_failure(&self, why: Option<String>) {
        self.failure.store(why.map(Arc::new));
    }
}

/// Every target as status shows it.
pub(super) fn status(published: &Published) -> Vec<LogStatus> {
    let targets = published.load();
    let status = targets.iter().map(|(target, stats)| LogStatus {
        target: target.clone(),
        lost: stats.lost.load(Relaxed),
        failure: stats.failure.load().as_deref().cloned(),
    });
    status.collect()
}
