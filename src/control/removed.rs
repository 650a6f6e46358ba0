//! Servers that a reload or DNS took away while something of them is left: their tunnels can still be closed.

use super::status::RemovedServer;
use crate::balance::{Live, Pool};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Removed servers, as long as a tunnel or a request holds their state; so their number is bounded by those. Touched by the
/// control thread alone.
#[derive(Default)]
pub(super) struct Removed(Mutex<Vec<Gone>>);

struct Gone {
    pool: String,
    server: String,
    address: String,
    live: Weak<Live>,
}

impl Removed {
    /// A plan with the pools `after` replaces one with the pools `before`.
    pub(super) fn note(&self, before: &[Arc<Pool>], after: &[Arc<Pool>]) {
        let servers = |pools| {
            let pools: &[Arc<Pool>] = pools;
            pools.iter().flat_map(|pool| pool.servers.iter())
        };
        let mut present: Vec<_> = servers(after).map(|server| server.live.id()).collect();
        present.sort_unstable();
        let is_present = |live: &Live| present.binary_search(&live.id()).is_ok();
        let mut gone = self.gone();
        gone.retain(|gone| gone.live.upgrade().is_some_and(|live| !is_present(&live)));
        let left = servers(before).filter(|server| !is_present(&server.live));
        gone.extend(left.map(|server| Gone {
            pool: server.pool.to_string(),
            server: server.name.to_string(),
            address: server.address.to_string(),
            live: Arc::downgrade(&server.live),
        }));
    }

    /// All of this name that have tunnels.
    pub(super) fn find(&self, pool: &str, server: &str) -> Vec<Arc<Live>> {
        let gone = self.gone();
        let named = gone
            .iter()
            .filter(|gone| gone.pool == pool && gone.server == server);
        named.filter_map(Gone::with_tunnels).collect()
    }

    /// All that have tunnels.
    pub(super) fn status(&self) -> Vec<RemovedServer> {
        let status = |gone: &Gone| {
            let live = gone.with_tunnels()?;
            Some(RemovedServer {
                pool: gone.pool.clone(),
                server: gone.server.clone(),
                address: gone.address.clone(),
                tunnels: live.tunnels(),
            })
        };
        self.gone().iter().filter_map(status).collect()
    }

    fn gone(&self) -> MutexGuard<'_, Vec<Gone>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gone {
    fn with_tunnels(&self) -> Option<Arc<Live>> {
        self.live.upgrade().filter(|live| live.tunnels() > 0)
    }
}
