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
