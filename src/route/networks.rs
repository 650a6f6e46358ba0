//! Clients by network: lists of any length, looked up in a few steps.

use std::net::IpAddr;

use crate::config::{Admission, Clients, Network};

/// `allow` and `deny` of a listener or a route, made for looking up.
#[derive(Debug)]
pub struct Door {
    allow: Option<Set>,
    deny: Set,
}

impl Door {
    /// `None` where everybody is admitted, which is what most are: then nothing is looked up.
    pub fn new(admission: &Admission) -> Option<Self> {
        (!admission.is_open()).then(|| Self {
            allow: admission.allow.as_ref().map(Set::new),
            deny: Set::new(&admission.deny),
        })
    }

    /// Whether a client of this address, or one without, comes in.
    pub fn admits(&self, client: Option<IpAddr>) -> bool {
        !self.deny.includes(client)
            && self
                .allow
                .as_ref()
                .is_none_or(|allow| allow.includes(client))
    }
}

/// Networks as ranges of addresses: sorted, and none overlaps another, so that one search finds the only one that an
/// address can lie in. Ten thousand networks are fourteen steps.
#[derive(Debug, Default)]
struct Set {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
    unix: bool,
}

impl Set {
    fn new(clients: &Clients) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for Network { address, prefix } in &clients.networks {
            let hosts = |width: u8| width.saturating_sub(*prefix);
            match address {
                IpAddr::V4(ip) => {
                    let first = ip.to_bits();
                    v4.push((first, first | low_bits(hosts(32)) as u32));
                }
                IpAddr::V6(ip) => {
                    let first = ip.to_bits();
                    v6.push((first, first | low_bits(hosts(128))));
                }
            }
        }
        Self {
            v4: merged(v4),
            v6: merged(v6),
            unix: clients.unix,
        }
    }

    /// An IPv4 address in IPv6 form counts as IPv4, as everywhere ([`Network::contains`]).
    fn includes(&self, client: Option<IpAddr>) -> bool {
        match client.map(|ip| ip.to_canonical()) {
            Some(IpAddr::V4(ip)) => lies_in(&self.v4, ip.to_bits()),
            Some(IpAddr::V6(ip)) => lies_in(&self.v6, ip.to_bits()),
            None => self.unix,
        }
    }
}

/// A number whose last so many bits are set.
const fn low_bits(count: u8) -> u128 {
    match u128::MAX.checked_shr(128 - count as u32) {
        Some(bits) => bits,
        None => 0,
    }
}

/// Sorted, and one range for several that overlap.
fn merged<A: Ord + Copy>(mut ranges: Vec<(A, A)>) -> Box<[(A, A)]> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, kept| {
        let overlaps = next.0 <= kept.1;
        if overlaps {
            kept.1 = kept.1.max(next.1);
        }
        overlaps
    });
    ranges.into()
}

fn lies_in<A: Ord + Copy>(ranges: &[(A, A)], address: A) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after > 0 && address <= ranges[after - 1].1
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network(text: &str) -> Network {
        let (address, prefix) = text.split_once('/').unwrap();
        Network {
            address: address.parse().unwrap(),
            prefix: prefix.parse().unwrap(),
        }
    }

    fn clients(networks: &[&str]) -> Clients {
        Clients {
            unix: networks.contains(&"unix"),
            networks: networks
                .iter()
                .filter(|text| **text != "unix")
                .map(|text| network(text))
                .collect(),
        }
    }

    fn door(allow: Option<&[&str]>, deny: &[&str]) -> Option<Door> {
        Door::new(&Admission {
            allow: allow.map(clients),
            deny: clients(deny),
        })
    }

    #[test]
    fn deny_wins_and_allow_must_match() {
        type Case<'a> = (Option<&'a [&'a str]>, &'a [&'a str], &'a str, bool);
        let cases: &[Case<'_>] = &[
            (None, &["10.0.0.0/8"], "10.1.2.3", false),
            (None, &["10.0.0.0/8"], "9.255.255.255", true),
            (None, &["10.0.0.0/8"], "11.0.0.0", true),
            (None, &["10.0.0.0/8"], "10.255.255.255", false),
            (None, &["10.0.0.0/8"], "::ffff:10.0.0.1", false),
            (None, &["10.0.0.0/8"], "::1", true),
            (None, &["10.0.0.0/8"], "unix", true),
            (None, &["unix"], "unix", false),
            (None, &["unix"], "10.0.0.1", true),
            (None, &["0.0.0.0/0"], "255.255.255.255", false),
            (None, &["::/0"], "2001:db8::1", false),
            (None, &["::/0"], "10.0.0.1", true),
            (None, &["2001:db8::/32"], "2001:db8:ffff::", false),
            (None, &["2001:db8::/32"], "2001:db9::", true),
            (None, &["10.0.0.1/32"], "10.0.0.1", false),
            (None, &["10.0.0.1/32"], "10.0.0.2", true),
            (Some(&["10.0.0.0/8"]), &[], "10.0.0.1", true),
            (Some(&["10.0.0.0/8"]), &[], "11.0.0.1", false),
            (Some(&["10.0.0.0/8"]), &[], "unix", false),
            (Some(&["unix", "::1/128"]), &[], "unix", true),
            (Some(&["unix", "::1/128"]), &[], "::1", true),
            (Some(&["10.0.0.0/8"]), &["10.1.0.0/16"], "10.1.0.1", false),
            (Some(&["10.0.0.0/8"]), &["10.1.0.0/16"], "10.2.0.1", true),
            // The longer prefix decides nothing: deny wins.
            (Some(&["10.1.0.0/16"]), &["10.0.0.0/8"], "10.1.0.1", false),
        ];
        for (allow, deny, client, admitted) in cases {
            let ip = (*client != "unix").then(|| client.parse().unwrap());
            let door = door(*allow, deny).unwrap();
            assert_eq!(door.admits(ip), *admitted, "{allow:?} {deny:?} {client}");
        }
        assert!(door(None, &[]).is_none());
    }

    #[test]
    fn ten_thousand_networks_are_a_few_steps() {
        let networks: Vec<Network> = (0..10_000u32)
            .map(|index| {
                network(&format!(
                    "{}/28",
                    std::net::Ipv4Addr::from_bits(index << 12)
                ))
            })
            .collect();
        let set = Set::new(&Clients {
            networks,
            unix: false,
        });
        assert_eq!(set.v4.len(), 10_000);
        // A client costs 14 steps of a search; 200,000 of them would take half a minute one network at a time.
        let found = (0..200_000u32).filter(|index| {
            let ip = std::net::Ipv4Addr::from_bits(index << 8);
            set.includes(Some(ip.into()))
        });
        assert_eq!(found.count(), 10_000);
    }

    proptest! {
        #[test]
        fn a_set_includes_what_one_of_its_networks_does(
            networks in prop::collection::vec((any::<u8>(), 0u8..=32, any::<bool>()), 0..24),
            addresses in prop::collection::vec((any::<u8>(), any::<u8>(), any::<bool>()), 1..24),
        ) {
            let v6 = |high: u32| IpAddr::from(std::net::Ipv6Addr::from_bits(u128::from(high) << 96));
            let v4 = |high: u32| IpAddr::from(std::net::Ipv4Addr::from_bits(high));
            let networks: Vec<Network> = networks
                .into_iter()
                .map(|(byte, prefix, six)| {
                    // Few different addresses, so that networks overlap.
                    let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                    let bits = u32::from(byte & 0x83) << 24 & mask;
                    Network { address: if six { v6(bits) } else { v4(bits) }, prefix }
                })
                .collect();
            let set = Set::new(&Clients { networks: networks.clone(), unix: false });
            for (high, low, six) in addresses {
                let bits = u32::from(high & 0x83) << 24 | u32::from(low);
                let ip = if six { v6(bits) } else { v4(bits) };
                let one_by_one = networks.iter().any(|network| network.contains(ip));
                prop_assert_eq!(set.includes(Some(ip)), one_by_one, "{}", ip);
            }
        }
    }
}
