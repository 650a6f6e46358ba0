//! Numbers and addresses as bytes, without the formatting machinery.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Appends a number in decimal.
#[inline]
pub fn push_decimal(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends these bytes, those above ASCII percent-encoded (RFC 3986 section 2.5).
pub fn push_percent_encoded(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.is_ascii() {
        out.extend_from_slice(bytes);
        return;
    }
    for byte in bytes {
        if byte.is_ascii() {
            out.push(*byte);
        } else {
            let digit = |half: u8| b"0123456789ABCDEF"[usize::from(half)];
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// Appends an address as text (IPv6 as RFC 5952 has it, without brackets). An IPv4 address that was
/// mapped into IPv6 is written as IPv4.
pub fn push_ip(out: &mut Vec<u8>, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(v4) => push_v4(out, v4),
        IpAddr::V6(v6) => push_v6(out, v6),
    }
}

pub(super) fn push_v4(out: &mut Vec<u8>, address: Ipv4Addr) {
    for (at, octet) in address.octets().into_iter().enumerate() {
        if at > 0 {
            out.push(b'.');
        }
        push_decimal(out, octet.into());
    }
}

pub(super) fn push_v6(out: &mut Vec<u8>, address: Ipv6Addr) {
    let groups = address.segments();
    let (zeros, length) = longest_zeros(&groups);
    let mut at = 0;
    while at < 8 {
        if at == zeros && length >= 2 {
            out.extend_from_slice(b"::");
            at += length;
            continue;
        }
        if at > 0 && !(length >= 2 && at == zeros + length) {
            out.push(b':');
        }
        push_hex(out, groups[at]);
        at += 1;
    }
}

/// RFC 5952 section 4.2.3: the longest run of zero groups, the first of equals.
fn longest_zeros(groups: &[u16; 8]) -> (usize, usize) {
    let (mut best, mut run) = ((0, 0), (0, 0));
    for (at, group) in groups.iter().enumerate() {
        run = match (group, run) {
            (0, (_, 0)) => (at, 1),
            (0, (start, length)) => (start, length + 1),
            _ => (0, 0),
        };
        if run.1 > best.1 {
            best = run;
        }
    }
    best
}

fn push_hex(out: &mut Vec<u8>, group: u16) {
    let digits = group.checked_ilog2().map_or(1, |bits| bits / 4 + 1);
    for place in (0..digits).rev() {
        out.push(b"0123456789abcdef"[usize::from(group >> (place * 4) & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_what_is_above_ascii_is_percent_encoded() {
        let encoded = |text: &str| {
            let mut out = Vec::new();
            push_percent_encoded(&mut out, text.as_bytes());
            String::from_utf8(out).expect("ASCII")
        };
        assert_eq!(encoded("/a%20|\"?"), "/a%20|\"?");
        assert_eq!(encoded("/caf\u{e9}/\u{20ac}x"), "/caf%C3%A9/%E2%82%ACx");
    }

    proptest! {
        #[test]
        fn as_the_standard_library_writes_them(groups: [u16; 8], mask: u8) {
            let groups: [u16; 8] = std::array::from_fn(|at| if mask >> at & 1 == 1 { groups[at] } else { 0 });
            let v6 = Ipv6Addr::from(groups);
            let mut out = Vec::new();
            push_v6(&mut out, v6);
            // The standard library writes IPv4-mapped addresses in mixed notation; those go the other way here.
            if v6.to_ipv4().is_none() {
                prop_assert_eq!(String::from_utf8(out).expect("ASCII"), v6.to_string());
            }
        }
    }

    #[test]
    fn addresses() {
        for text in [
            "127.0.0.1",
            "255.0.10.9",
            "::",
            "::1",
            "1::",
            "2001:db8::1",
            "1:0:0:2::3",
            "a:b:c:d:e:f:1:2",
        ] {
            let mut out = Vec::new();
            push_ip(&mut out, text.parse().expect("an address"));
            assert_eq!(String::from_utf8_lossy(&out), text);
        }
        let mut out = Vec::new();
        push_ip(&mut out, "::ffff:10.0.0.1".parse().expect("an address"));
        assert_eq!(out, b"10.0.0.1");
    }
}
