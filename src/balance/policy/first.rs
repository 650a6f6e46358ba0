//! The first server of the file that takes new sessions.
//!
//! The next one is used only while the first takes none, so that the last ones can be switched off.

use super::{Entrant, View};
use crate::balance::pool::{Pick, Why};

/// Servers in file order. In steady state a pick looks at one of them.
#[derive(Debug)]
pub(in crate::balance) struct First {
    order: Box<[u32]>,
}

impl First {
    pub(super) fn new(entrants: &[Entrant]) -> Self {
        Self {
            order: entrants.iter().map(|entrant| entrant.server).collect(),
        }
    }

    pub(super) fn pick(&self, view: &View<'_>) -> Option<Pick> {
        let mut order = self.order.iter().map(|server| *server as usize);
        let server = order.find(|server| view.fits(*server))?;
        let why = Why::Policy;
        Some(Pick { server, why })
    }
}
