//! Pieces that several line formats push: numbers, addresses, escaped bytes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of a request's target that a line keeps. HAProxy keeps 1,023 of the whole request line.
pub const TARGET_MAX: usize = 4096;

/// A number in decimal.
pub(super) fn number(value: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// An address as people write it: dotted quad, or RFC 5952 without brackets.
pub(super) fn address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => quad(v4, out),
        IpAddr::V6(v6) => groups(v6, out),
    }
}

/// A client's address without its port; one of a link has its zone (`fe80::1%2`, RFC 4007 section 11).
pub(super) fn client(client: &SocketAddr, out: &mut Vec<u8>) {
    address(client.ip(), out);
    if let SocketAddr::V6(v6) = client
        && v6.scope_id() != 0
    {
        out.push(b'%');
        out.extend_from_slice(itoa::Buffer::new().format(v6.scope_id()).as_bytes());
    }
}

fn quad(address: Ipv4Addr, out: &mut Vec<u8>) {
    for (at, octet) in address.octets().into_iter().enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        number(octet, out);
    }
}

fn groups(address: Ipv6Addr, out: &mut Vec<u8>) {
    if let Some(v4) = address.to_ipv4_mapped() {
        out.extend_from_slice(b"::ffff:");
        return quad(v4, out);
    }
    let groups = address.segments();
    let (from, len) = longest_zeros(&groups);
    for (at, group) in groups.into_iter().enumerate() {
        if len > 0 && at == from {
            out.extend_from_slice(b"::");
        }
        if (from..from + len).contains(&at) {
            continue;
        }
        let follows_zeros = len > 0 && at == from + len;
        if at > 0 && !follows_zeros {
            out.push(b':');
        }
        hex(group, out);
    }
}

/// Where the first longest run of two or more zero groups is, and its length (RFC 5952 section 4.2).
fn longest_zeros(groups: &[u16; 8]) -> (usize, usize) {
    let (mut best, mut run) = ((0, 0), (0, 0));
    for (at, group) in groups.iter().enumerate() {
        run = match (group, run.1) {
            (0, 0) => (at, 1),
            (0, len) => (run.0, len + 1),
            _ => (0, 0),
        };
        if run.1 > best.1 {
            best = run;
        }
    }
    if best.1 < 2 { (0, 0) } else { best }
}

fn hex(group: u16, out: &mut Vec<u8>) {
    let digits = [12, 8, 4, 0].map(|shift| HEX_LOWER[usize::from(group >> shift & 15)]);
    let zeros = digits[..3]
        .iter()
        .take_while(|digit| **digit == b'0')
        .count();
    out.extend_from_slice(&digits[zeros..]);
}

/// Copies `bytes`, each one that `plain` refuses as `#XX`: how HAProxy keeps quotes, controls and
/// foreign bytes out of its lines (its manual, section 8.6).
pub(super) fn hash_encoded(bytes: &[u8], plain: &[bool; 256], out: &mut Vec<u8>) {
    let mut from = 0;
    for (at, byte) in bytes.iter().enumerate() {
        if !plain[usize::from(*byte)] {
            out.extend_from_slice(&bytes[from..at]);
            let [high, low] = [byte >> 4, byte & 15].map(|half| HEX_UPPER[usize::from(half)]);
            out.extend_from_slice(&[b'#', high, low]);
            from = at + 1;
        }
    }
    out.extend_from_slice(&bytes[from..]);
}

/// Bytes that stand for themselves: printable ASCII without those in `special`.
pub(super) const fn plain_except(special: &[u8]) -> [bool; 256] {
    let mut plain = [false; 256];
    let mut at = 32;
    while at < 127 {
        plain[at] = true;
        at += 1;
    }
    let mut at = 0;
    while at < special.len() {
        plain[special[at] as usize] = false;
        at += 1;
    }
    plain
}

pub(super) const HEX_LOWER: &[u8; 16] = b"0123456789abcdef";
const HEX_UPPER: &[u8; 16] = b"0123456789ABCDEF";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(ip: IpAddr) -> String {
        let mut out = Vec::new();
        address(ip, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn addresses() {
        for text in [
            "0.0.0.0",
            "255.10.1.203",
            "::",
            "::1",
            "1::",
            "2001:db8::1",
            "2001:db8:0:1:1:1:1:1",
            "2001:0:0:1::1",
            "1:2:3:4:5:6:7:8",
            "1:2:3:4:5:6:7:0",
            "::ffff:10.0.0.1",
            "fe80::abcd:0:0:1",
        ] {
            let ip: IpAddr = text.parse().expect("an address");
            assert_eq!(shown(ip), ip.to_string());
        }
    }

    proptest! {
        #[test]
        fn addresses_are_those_of_the_standard_library(groups in prop::array::uniform8(prop_oneof![Just(0_u16), any::<u16>()])) {
            let ip = IpAddr::V6(groups.into());
            prop_assert_eq!(shown(ip), ip.to_string());
        }
    }
}
