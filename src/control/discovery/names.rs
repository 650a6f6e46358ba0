//! What is known of each name, for the status.

use crate::balance::discovery::Known;
use crate::config::{Origin, Pool, Template};
use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;

/// A server entry of the file that has a name instead of an address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameStatus {
    /// The entry's `name`.
    pub server: String,
    /// What is asked: `backend.example.com:3000`, `_ws._tcp.example.com`.
    pub asks: String,
    /// Addresses that are known of it.
    pub addresses: usize,
    /// `max_servers`: no more of them become servers.
    pub max_servers: usize,
    /// What is wrong with its answers at present.
    pub error: Option<String>,
    /// Since when, in milliseconds since the Unix epoch.
    pub error_since_ms: Option<u64>,
}

/// Written by the control loop, read by the status.
#[derive(Clone, Default)]
pub(in crate::control) struct Names(Arc<ArcSwap<HashMap<Origin, Known>>>);

impl Names {
    pub(super) fn set<'a>(&self, names: impl Iterator<Item = (&'a Origin, &'a Known)>) {
        let copy = names.map(|(origin, known)| (origin.clone(), known.clone()));
        self.0.store(Arc::new(copy.collect()));
    }

    /// The names of a pool, in file order.
    pub(in crate::control) fn of(&self, pool: &Pool) -> Vec<NameStatus> {
        let names = self.0.load();
        let status = |template: &Template| {
            let known = names.get(&template.origin);
            let trouble = known.and_then(Known::trouble);
            let unheard = known.is_none_or(|known| !known.is_heard());
            NameStatus {
                server: template.server.name.clone(),
                asks: template.origin.to_string(),
                addresses: known.map_or(0, |known| known.found().len() + known.left_out()),
                max_servers: template.max_servers,
                error: match trouble {
                    Some(trouble) => Some(trouble.why.clone()),
                    None => unheard.then(|| "no answer yet".to_owned()),
                },
                error_since_ms: trouble.map(|trouble| crate::control::on_wall(trouble.since_ms)),
            }
        };
        pool.templates.iter().map(status).collect()
    }
}
