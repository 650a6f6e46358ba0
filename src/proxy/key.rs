//! What a pool that hashes looks at in a request.
//!
//! The bytes are taken as they came: nothing is decoded, lowered or trimmed, except that an IPv4 address in IPv6 form
//! is the same client as the IPv4 address. A request may lack what is hashed; an empty value is a value.

use std::net::{IpAddr, SocketAddr};

use crate::balance::key_of;
use crate::config::{Balance, HashKey};
use crate::wire::cookie;
use crate::wire::request::RequestHead;

/// The hash of what the pool's `balance` hashes; `None` when it hashes nothing or the request lacks it.
pub(super) fn of(
    balance: &Balance,
    client: Option<SocketAddr>,
    head: &RequestHead,
    bytes: &[u8],
) -> Option<u64> {
    let Balance::Hash(hash) = balance else {
        return None;
    };
    match &hash.by {
        HashKey::Source => Some(match client?.ip().to_canonical() {
            IpAddr::V4(address) => key_of(&address.octets()),
            IpAddr::V6(address) => key_of(&address.octets()),
        }),
        HashKey::Path => Some(key_of(head.path(bytes))),
        HashKey::Header(name) => head.fields.value(bytes, name.as_bytes()).map(key_of),
        HashKey::Cookie(name) => {
            let crumb = cookie::crumbs(&head.fields, bytes, name.as_bytes()).next();
            crumb.map(|crumb| key_of(crumb.value.of(bytes)))
        }
        HashKey::Query(name) => parameter(head.query.of(bytes), name.as_bytes()).map(key_of),
    }
}

/// The value of the first parameter of that name in a query that begins with `?`.
fn parameter<'b>(query: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
    let pairs = query.strip_prefix(b"?")?.split(|byte| *byte == b'&');
    pairs
        .filter_map(|pair| pair.strip_prefix(name))
        .find_map(|rest| match rest {
            [] => Some(rest),
            [b'=', value @ ..] => Some(value),
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Hash;
    use crate::wire::HeadLimits;

    const HEAD: &[u8] =
        b"GET /a/b?roo=1&room=x%20y&room=2&flag HTTP/1.1\r\nHost: h\r\nX-User: Anna\r\n\
        Cookie: uid=7; UID=8\r\nX-Empty:\r\n\r\n";

    #[test]
    fn each_key_is_taken_as_it_came() {
        let mut head = RequestHead::new(&HeadLimits::default());
        assert!(head.parse(HEAD, 0, &HeadLimits::default()).is_ok());
        let name = str::to_owned;
        let peer = |text: &str| text.parse::<SocketAddr>().ok();
        let v6 = b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01";
        for (by, client, wanted) in [
            (
                HashKey::Source,
                peer("10.0.0.1:80"),
                Some(&b"\x0a\0\0\x01"[..]),
            ),
            (HashKey::Source, peer("10.0.0.1:81"), Some(b"\x0a\0\0\x01")),
            (
                HashKey::Source,
                peer("[::ffff:10.0.0.1]:82"),
                Some(b"\x0a\0\0\x01"),
            ),
            (HashKey::Source, peer("[2001:db8::1]:82"), Some(v6)),
            (HashKey::Source, None, None),
            (HashKey::Path, None, Some(b"/a/b")),
            (HashKey::Header(name("x-user")), None, Some(b"Anna")),
            (HashKey::Header(name("X-Empty")), None, Some(b"")),
            (HashKey::Header(name("X-None")), None, None),
            (HashKey::Cookie(name("uid")), None, Some(b"7")),
            (HashKey::Cookie(name("UID")), None, Some(b"8")),
            (HashKey::Cookie(name("Uid")), None, None),
            (HashKey::Query(name("room")), None, Some(b"x%20y")),
            (HashKey::Query(name("roo")), None, Some(b"1")),
            (HashKey::Query(name("flag")), None, Some(b"")),
            (HashKey::Query(name("oom")), None, None),
        ] {
            let balance = Balance::Hash(Hash { by, bound: None });
            let found = of(&balance, client, &head, HEAD);
            assert_eq!(found, wanted.map(key_of), "{balance:?} {client:?}");
        }
        assert_eq!(of(&Balance::First, None, &head, HEAD), None);
    }
}
