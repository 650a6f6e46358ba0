//! Whether a listener serves, for whoever stands in front of it and asks (HAProxy's `monitor-uri`).
//!
//! Asked before anything else is looked at, answered without a line in the log, and counted.

use super::plan::{Local, PoolHeld};
use crate::config;
use crate::wire::answer::Answer;

/// A listener's monitor as the workers see it.
#[derive(Debug)]
pub struct Monitor {
    path: Box<[u8]>,
    /// Indices of pools of which one must have a server.
    pools: Vec<usize>,
    fine: Answer,
    stopping: Answer,
    down: Answer,
}

impl Monitor {
    /// As the settings say.
    pub fn new(settings: &config::Monitor) -> Self {
        Self {
            path: settings.path.as_bytes().into(),
            pools: settings.pools.clone(),
            fine: Answer::short(200, "OK\n"),
            stopping: Answer::short(503, "stopping\n"),
            down: Answer::short(503, "no server\n"),
        }
    }

    /// Whether a request to this path is for it.
    pub(super) fn is_asked(&self, path: &[u8]) -> bool {
        *self.path == *path
    }

    /// What it says now.
    pub(super) fn answer(&self, plan: &Local, stops: bool) -> &Answer {
        let serves = |pool: PoolHeld| pool.servers.iter().any(|server| server.accepts_new());
        let mut pools = self.pools.iter().map(|pool| plan.pool(*pool));
        match stops {
            true => &self.stopping,
            false if self.pools.is_empty() || pools.any(serves) => &self.fine,
            false => &self.down,
        }
    }
}
