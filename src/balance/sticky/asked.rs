//! What a request shows to the conditions of `force` and `ignore`.

use crate::config::{Condition, Network};
use std::net::IpAddr;

/// A view of a request.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The path, perhaps with a query, which is left out.
    pub path: &'a [u8],
    /// The client's address; `None` over a unix socket.
    pub client: Option<IpAddr>,
    /// Whether there is a field of that name (any case) and, when a value is given, with exactly
    /// that value.
    pub header: &'a dyn Fn(&str, Option<&str>) -> bool,
}

impl Asked<'_> {
    /// Whether all that a condition gives holds.
    pub(super) fn meets(&self, condition: &Condition) -> bool {
        let path = self.path.split(|b| *b == b'?').next().unwrap_or_default();
        let begins = |p: &String| path.starts_with(p.as_bytes());
        let ends = |p: &String| path.ends_with(p.as_bytes());
        let from = |n: &Network| self.client.is_some_and(|client| contains(n, client));
        let has = |name: &String| (self.header)(name, condition.value.as_deref());
        condition.path_prefix.as_ref().is_none_or(begins)
            && condition.path_suffix.as_ref().is_none_or(ends)
            && condition.network.as_ref().is_none_or(from)
            && condition.header.as_ref().is_none_or(has)
    }
}

/// Whether an address is in a network. An IPv4 client on an IPv6 socket counts as IPv4.
fn contains(network: &Network, client: IpAddr) -> bool {
    match (network.address, client.to_canonical()) {
        (IpAddr::V4(net), IpAddr::V4(client)) => {
            let differing = (net.to_bits() ^ client.to_bits()).leading_zeros();
            differing >= u32::from(network.prefix)
        }
        (IpAddr::V6(net), IpAddr::V6(client)) => {
            let differing = (net.to_bits() ^ client.to_bits()).leading_zeros();
            differing >= u32::from(network.prefix)
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    fn network(address: &str, prefix: u8) -> Network {
        Network {
            address: address.parse().unwrap(),
            prefix,
        }
    }

    #[test]
    fn addresses_are_in_networks() {
        for (net, prefix, client, want) in [
            ("10.0.0.0", 8, "10.255.0.1", true),
            ("10.0.0.0", 8, "11.0.0.1", false),
            ("10.0.0.0", 8, "::ffff:10.0.0.1", true),
            ("0.0.0.0", 0, "192.0.2.1", true),
            ("192.0.2.1", 32, "192.0.2.1", true),
            ("192.0.2.1", 32, "192.0.2.0", false),
            ("fd00::", 8, "fd12::1", true),
            ("fd00::", 8, "fe12::1", false),
            ("::", 0, "10.0.0.1", false),
        ] {
            let found = contains(&network(net, prefix), client.parse().unwrap());
            assert_eq!(found, want, "{client} in {net}/{prefix}");
        }
    }

    #[test]
    fn all_that_a_condition_gives_must_hold() {
        let condition = Condition {
            path_prefix: Some("/s".into()),
            path_suffix: Some(".js".into()),
            network: Some(network("10.0.0.0", 8)),
            header: Some("X-Test".into()),
            value: Some("1".into()),
        };
        let yes = |_: &str, value: Option<&str>| value == Some("1");
        let no = |_: &str, _: Option<&str>| false;
        let ten = Some(IpAddr::from([10, 0, 0, 1]));
        let asked = |path: &'static [u8], client, header| Asked {
            path,
            client,
            header,
        };
        assert!(asked(b"/s/a.js?x", ten, &yes).meets(&condition));
        assert!(!asked(b"/t/a.js", ten, &yes).meets(&condition));
        assert!(!asked(b"/s/a.css", ten, &yes).meets(&condition));
        assert!(!asked(b"/s/a.js", None, &yes).meets(&condition));
        assert!(!asked(b"/s/a.js", ten, &no).meets(&condition));
        assert!(asked(b"", None, &no).meets(&Condition::default()));
    }
}
