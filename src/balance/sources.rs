//! The addresses from which a server is connected to, in turn, and what became of them.

use crate::config::{Address, LocalAddress};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};

/// The source addresses of one server in one plan, shared by all workers. Without any, the kernel chooses.
#[derive(Debug, Default)]
pub struct Sources {
    list: Box<[Source]>,
    turn: AtomicU32,
    /// Attempts that found no free port.
    starved: AtomicU64,
    /// There are addresses, but none of the server's family.
    unfit: bool,
}

/// One of them.
#[derive(Debug)]
pub struct Source {
    /// To be bound with port 0.
    pub address: LocalAddress,
    missing: AtomicBool,
    /// What was last said of it.
    told: AtomicBool,
}

impl Sources {
    /// Those of these addresses that are of the family of the server's, all of them taken to be there. A server that was
    /// found by name may have one of either family.
    pub fn new(addresses: &[LocalAddress], server: &Address) -> Self {
        let is_v4 = match server {
            Address::Ip(server) => Some(server.is_ipv4()),
            Address::Unix(_) => None,
        };
        let all = addresses;
        let fit = all
            .iter()
            .filter(|address| is_v4 == Some(address.ip.is_ipv4()));
        let source = |address: &LocalAddress| Source {
            address: *address,
            missing: AtomicBool::new(false),
            told: AtomicBool::new(false),
        };
        let list: Box<[Source]> = fit.map(source).collect();
        Self {
            unfit: list.is_empty() && !all.is_empty() && is_v4.is_some(),
            list,
            ..Self::default()
        }
    }

    /// All of them once, beginning with the one whose turn it is; one `None` where there are none.
    pub fn in_turn(&self) -> impl Iterator<Item = Option<&Source>> {
        let first = match self.list.len() {
            0 | 1 => 0,
            count => self.turn.fetch_add(1, Relaxed) as usize % count,
        };
        let (before, after) = self.list.split_at(first);
        let kernels = self.list.is_empty().then_some(None);
        after.iter().chain(before).map(Some).chain(kernels)
    }

    /// Whether the configuration has addresses to connect from and none of them is of the server's family, so that the kernel
    /// chooses.
    pub fn are_unfit(&self) -> bool {
        self.unfit
    }

    /// In file order.
    pub fn all(&self) -> &[Source] {
        &self.list
    }

    /// Counts an attempt for which no port was left at any of them.
    pub fn starve(&self) {
        self.starved.fetch_add(1, Relaxed);
    }

    /// How many there were since this was last asked.
    pub fn take_starved(&self) -> u64 {
        match self.starved.load(Relaxed) {
            0 => 0,
            _ => self.starved.swap(0, Relaxed),
        }
    }
}

impl Source {
    /// What came of binding it. Only a change is written: this is read by all workers.
    pub fn note(&self, missing: bool) {
        if self.missing.load(Relaxed) != missing {
            self.missing.store(missing, Relaxed);
        }
    }

    /// Whether it has come or gone since this was last asked: `Some(true)` when it is missing now.
    pub fn news(&self) -> Option<bool> {
        let missing = self.missing.load(Relaxed);
        (self.told.swap(missing, Relaxed) != missing).then_some(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    const SERVER: Address = Address::Ip(std::net::SocketAddr::new(
        IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        1,
    ));

    fn turn(sources: &Sources) -> Vec<Option<u8>> {
        let last = |source: &Source| match source.address.ip {
            IpAddr::V4(address) => address.octets()[3],
            IpAddr::V6(_) => 0,
        };
        sources.in_turn().map(|source| source.map(last)).collect()
    }

    #[test]
    fn each_begins_in_turn_and_all_come() {
        let mut addresses: Vec<LocalAddress> = (1..=3)
            .map(|last| IpAddr::from([127, 0, 0, last]).into())
            .collect();
        addresses.insert(1, IpAddr::V6(std::net::Ipv6Addr::LOCALHOST).into());
        let sources = Sources::new(&addresses, &SERVER);
        let turns = [(); 4].map(|()| turn(&sources));
        let some = |list: [u8; 3]| list.map(Some).to_vec();
        assert_eq!(turns[0], some([1, 2, 3]));
        assert_eq!(turns[1], some([2, 3, 1]));
        assert_eq!(turns[2], some([3, 1, 2]));
        assert_eq!(turns[3], turns[0]);
        assert_eq!(turn(&Sources::default()), [None]);
    }

    /// A server that was found by name may be of either family; where no source is of its own, that shows.
    #[test]
    fn only_those_of_the_servers_family_count() {
        let six = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST).into();
        let four = IpAddr::from([127, 0, 0, 1]).into();
        let of = |addresses: &[LocalAddress]| {
            let sources = Sources::new(addresses, &SERVER);
            (sources.all().len(), sources.are_unfit())
        };
        assert_eq!(of(&[six, four]), (1, false));
        assert_eq!(of(&[six]), (0, true));
        assert_eq!(of(&[]), (0, false));
        let unix = Address::Unix("/x".into());
        assert!(!Sources::new(&[six], &unix).are_unfit());
    }

    #[test]
    fn coming_and_going_is_told_once() {
        let sources = Sources::new(&[IpAddr::from([127, 0, 0, 1]).into()], &SERVER);
        let source = &sources.all()[0];
        assert_eq!(source.news(), None);
        source.note(true);
        source.note(true);
        assert_eq!((source.news(), source.news()), (Some(true), None));
        source.note(false);
        assert_eq!((source.news(), source.news()), (Some(false), None));
    }
}
