//! One server of a pool, as one plan sees it.

use super::live::Live;
use super::sources::Sources;
use crate::config::{Address, Check, ProxyVersion};
use std::sync::Arc;
use std::time::Duration;

/// A server: what the settings say, and the live state it shares with the plans before and after.
#[derive(Debug)]
pub struct Server {
    /// Its pool's name.
    pub pool: Arc<str>,
    /// Unique in its pool.
    pub name: Box<str>,
    /// Where it is reached.
    pub address: Address,
    /// Whence.
    pub sources: Sources,
    /// Its key in the cookie, explicit or derived; `None` when clients do not stick to it.
    pub key: Option<Box<str>>,
    /// Every connection to it begins with a PROXY header of this version.
    pub proxy_protocol: Option<ProxyVersion>,
    /// How it is checked, if at all.
    pub check: Option<Check>,
    /// Its weight in the file, whatever it is now.
    pub weight: u16,
    /// It takes new sessions only while no server of a lower tier does.
    pub tier: u8,
    /// How long its share grows after it came back.
    pub slow_start: Option<Duration>,
    /// Its live state; the same one in every plan that has this pool, name and address.
    pub live: Arc<Live>,
}

impl Server {
    /// Whether new sessions may come by turn: nobody speaks against it, and it is of some weight.
    pub fn accepts_new(&self) -> bool {
        self.live.standing().accepts_new() && self.live.share_of_weight() > 0
    }

    /// Whether clients whose cookie names it may come: also while it drains or weighs nothing,
    /// but not when it is down or in maintenance, nor when it has drained for `drain.honour_cookies_for`.
    pub fn accepts_sticky(&self) -> bool {
        self.live.standing().accepts_sticky() && !self.live.is_forsaken()
    }

    /// Whether it is to be checked now: it has a check, and is not in maintenance.
    pub fn wants_check(&self) -> Option<&Check> {
        let wanted = self.live.standing().wants_check();
        self.check.as_ref().filter(|_| wanted)
    }
}
