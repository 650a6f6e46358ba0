//! A server's key in the cookie: as written, or derived from a secret and the server's address.

use crate::config::{self, Address};
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use twox_hash::XxHash64;

/// The key of a server: its own, else the dynamic one when the pool has a secret, else none.
pub fn key_of(sticky: Option<&config::Sticky>, server: &config::Server) -> Option<Box<str>> {
    let explicit = server.cookie.as_deref().map(Box::from);
    let secret = sticky.and_then(|s| s.dynamic_key.as_ref());
    explicit.or_else(|| Some(dynamic_key(&secret?.0, &server.address)))
}

/// Sixteen lower-case hexadecimal digits: XXH64 (seed 0) of the secret, the address (4 or 16 bytes)
/// and the port as four bytes, most significant first. HAProxy derives the same. For a unix socket,
/// which HAProxy has no rule for, the path takes the place of address and port.
pub fn dynamic_key(secret: &[u8], address: &Address) -> Box<str> {
    let mut input = secret.to_vec();
    match address {
        Address::Ip(address) => {
            match address.ip() {
                IpAddr::V4(ip) => input.extend_from_slice(&ip.octets()),
                IpAddr::V6(ip) => input.extend_from_slice(&ip.octets()),
            }
            input.extend_from_slice(&u32::from(address.port()).to_be_bytes());
        }
        Address::Unix(path) => input.extend_from_slice(path.as_os_str().as_bytes()),
    }
    format!("{:016x}", XxHash64::oneshot(0, &input)).into()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// Computed with another implementation of XXH64.
    #[test]
    fn dynamic_keys_are_those_that_haproxy_derives() {
        for (secret, address, key) in [
            ("secret", "127.0.0.1:3000", "b1eaba2c94b8bf9e"),
            ("secret", "127.0.0.1:3001", "9593d33e12d8d6b0"),
            ("", "192.0.2.1:80", "d27bf40a1ca4744d"),
            (
                "a longer secret than thirty-two bytes",
                "[2001:db8::1]:65535",
                "49728e1d1c20c07c",
            ),
        ] {
            let address = Address::Ip(address.parse().unwrap());
            assert_eq!(&*dynamic_key(secret.as_bytes(), &address), key);
        }
        let unix = Address::Unix("/run/app.sock".into());
        assert_eq!(&*dynamic_key(b"secret", &unix), "e708a1a6642e71e3");
    }
}
