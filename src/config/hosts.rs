//! hosts(5): addresses that the machine's administrator gives to names, which count before DNS.

use std::collections::BTreeMap;
use std::net::IpAddr;

/// The addresses of each name, in the order of the file. Names are in lower case.
pub type Hosts = BTreeMap<String, Vec<IpAddr>>;

/// Reads a hosts file as far as `names` (in lower case) are concerned: lines of an address and its names, `#` begins a comment.
/// Lines that are none are skipped, as the C library does, and so are addresses beyond [`MOST_ADDRESSES`] of a name.
pub fn parse<'a>(text: &[u8], names: impl Iterator<Item = &'a str>) -> Hosts {
    let mut hosts: Hosts = names.map(|name| (name.to_owned(), Vec::new())).collect();
    let text = String::from_utf8_lossy(text);
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(address) = words.next().and_then(|word| word.parse::<IpAddr>().ok()) else {
            continue;
        };
        for name in words {
            let Some(addresses) = hosts.get_mut(&name.to_ascii_lowercase()) else {
                continue;
            };
            if !addresses.contains(&address) && addresses.len() < MOST_ADDRESSES {
                addresses.push(address);
            }
        }
    }
    hosts.retain(|_, addresses| !addresses.is_empty());
    hosts
}

/// Addresses of one name; a pool has no more servers than this by one name.
pub const MOST_ADDRESSES: usize = super::MOST_SERVERS;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let text = b"127.0.0.1 localhost\n\
            # 10.0.0.9 app\n\
            10.0.0.1\tApp app.example # app2\n\
            10.0.0.2 app app2\n\
            10.0.0.1 app\n\
            fd00::1 app\n\
            300.0.0.1 app\n\
            nonsense\n\
            \xff\xfe\n\
            10.0.0.3\n";
        let hosts = parse(text, ["app", "app.example", "other"].into_iter());
        let of = |name: &str| {
            let addresses = hosts.get(name).into_iter().flatten();
            addresses.map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(of("app"), ["10.0.0.1", "10.0.0.2", "fd00::1"]);
        assert_eq!(of("app.example"), ["10.0.0.1"]);
        assert_eq!(of("other"), [""; 0]);
        // Names that nobody asks for are not kept.
        assert_eq!(hosts.len(), 2);
        let many: String = (0..=255).map(|n| format!("10.1.0.{n} app\n")).collect();
        let many = parse(many.as_bytes(), ["app"].into_iter());
        assert_eq!(many["app"].len(), MOST_ADDRESSES.min(256));
        assert!(parse(b"", ["app"].into_iter()).is_empty());
        assert_eq!("10.0.0.1".parse::<IpAddr>().unwrap(), hosts["app"][0]);
    }
}
