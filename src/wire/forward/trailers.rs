use super::Changes;
use crate::config::Pool;
use crate::wire::{Refusal, rules};

/// The names that no trailer may have on one side of an exchange, besides those that [`rules::trailer`] refuses: a receiver
/// that merges trailers into the head would find there what the head was freed of. `Default` refuses no more.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trailers<'a> {
    /// What the route sets or removes.
    pub changes: Option<&'a Changes>,
    /// Towards a server: the pool's fields for the request's id and for the client's address.
    pub pool: Option<&'a Pool>,
}

impl Trailers<'_> {
    /// # Errors
    /// When this name may not be a trailer's.
    pub(in crate::wire) fn check(&self, name: &[u8]) -> Result<(), Refusal> {
        self.check_by(|other| rules::is_same_name(name, other))
    }

    /// The same for a longer name of which only the start is known: it is refused if it may be one of these.
    pub(in crate::wire) fn check_start(&self, start: &[u8]) -> Result<(), Refusal> {
        let begins = |other: &[u8]| match other.get(..start.len()) {
            Some(same) => other.len() > start.len() && rules::is_same_name(start, same),
            None => false,
        };
        self.check_by(begins)
    }

    fn check_by(&self, is: impl Fn(&[u8]) -> bool) -> Result<(), Refusal> {
        let changed = self
            .changes
            .is_some_and(|changes| changes.dropped().any(&is));
        let ours = self.pool.is_some_and(|pool| {
            let id = pool.request_id.as_deref();
            let address = pool.forwarded_for.as_ref().map(|field| &*field.header);
            id.into_iter()
                .chain(address)
                .any(|name| is(name.as_bytes()))
        });
        match changed || ours {
            true => Err(Refusal::ForbiddenTrailer),
            false => Ok(()),
        }
    }
}
