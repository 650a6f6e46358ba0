//! Values of the cookie ↔ servers.
//!
//! Without signing a value is `KEY`, `KEY|LAST` or `KEY|LAST|FIRST`, as HAProxy writes it. Signed, an
//! opaque name takes the key's place and a tag ends it: `NAME|LAST|FIRST.TAG`, where
//!
//! ```text
//! NAME = base64url(HMAC-SHA256(secret, "name" 0 cookie 0 key))     cut to 12 bytes, 16 characters
//! TAG  = base64url(HMAC-SHA256(secret, "tag" 0 cookie 0 key 0 what stands before the dot))
//!                                                                  cut to 16 bytes, 22 characters
//! ```
//!
//! Several proxies with the same secrets and keys understand each other. Tags are compared in
//! constant time. The first secret signs, all are accepted, so that one can be replaced by another.

use super::super::server::Server;
use super::dates;
use crate::config;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;
use twox_hash::XxHash64;

/// The values that one secret, or none, gives the servers.
#[derive(Debug)]
pub(super) struct Book {
    /// Primed with the secret and what stands first in every tag.
    tag: Option<Hmac<Sha256>>,
    /// By index of the server.
    entries: Box<[Option<Entry>]>,
    /// Servers of the same name in file order. The hash needs no secret: the names are ours.
    servers: HashMap<Box<[u8]>, Vec<usize>, BuildHasherDefault<XxHash64>>,
}

#[derive(Debug)]
struct Entry {
    key: Box<[u8]>,
    /// What stands for the key in the cookie.
    name: Box<[u8]>,
}

/// A value that could be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Value<'b> {
    /// Servers that it names, never empty, in file order.
    pub servers: &'b [usize],
    /// When it was last issued, Unix seconds.
    pub last: Option<u64>,
    /// When it was first issued.
    pub first: Option<u64>,
}

impl Book {
    /// One for each secret, the one that signs first; without signing, one of the plain keys.
    pub(super) fn all(settings: &config::Sticky, servers: &[Arc<Server>]) -> Box<[Self]> {
        if settings.signing_keys.is_empty() {
            return Box::new([Self::new(None, &settings.cookie, servers)]);
        }
        let secrets = settings.signing_keys.iter();
        secrets
            .map(|secret| Self::new(Some(&secret.0), &settings.cookie, servers))
            .collect()
    }

    fn new(secret: Option<&[u8]>, cookie: &str, servers: &[Arc<Server>]) -> Self {
        let primed = |purpose: &str| {
            let mut mac = Hmac::<Sha256>::new_from_slice(secret?).ok()?;
            mac.update(purpose.as_bytes());
            mac.update(b"\0");
            mac.update(cookie.as_bytes());
            mac.update(b"\0");
            Some(mac)
        };
        let naming = primed("name");
        let entry = |server: &Arc<Server>| {
            let key: Box<[u8]> = server.key.as_ref()?.as_bytes().into();
            let name = match &naming {
                Some(mac) => {
                    let mac = mac.clone().chain_update(&key).finalize().into_bytes();
                    BASE64URL.encode(&mac[..NAME_BYTES]).into_bytes().into()
                }
                None => key.clone(),
            };
            Some(Entry { key, name })
        };
        let entries: Box<[_]> = servers.iter().map(entry).collect();
        let mut servers = HashMap::<_, Vec<usize>, _>::default();
        for (at, entry) in entries.iter().enumerate() {
            if let Some(entry) = entry {
                servers.entry(entry.name.clone()).or_default().push(at);
            }
        }
        Self {
            tag: primed("tag"),
            entries,
            servers,
        }
    }

    /// Reads a value; `None` when it names no server of ours or its tag is wrong.
    pub(super) fn read(&self, value: &[u8]) -> Option<Value<'_>> {
        let (body, tag) = match &self.tag {
            Some(_) => cut(value, memchr::memrchr(b'.', value)?),
            None => (value, &b""[..]),
        };
        let (name, dates) = match memchr::memchr(b'|', body) {
            Some(bar) => cut(body, bar),
            None => (body, &b""[..]),
        };
        let servers = self.servers.get(name)?;
        self.verify(servers[0], body, tag)?;
        let first = memchr::memchr(b'|', dates).and_then(|bar| dates::read(&dates[bar + 1..]));
        Some(Value {
            servers,
            last: dates::read(dates),
            first,
        })
    }

    /// Appends a server's value with the dates that are given; nothing when it has no key.
    pub(super) fn write(
        &self,
        server: usize,
        last: Option<u64>,
        first: Option<u64>,
        out: &mut Vec<u8>,
    ) {
        let Some(entry) = &self.entries[server] else {
            return;
        };
        let begin = out.len();
        out.extend_from_slice(&entry.name);
        for date in [last, first].into_iter().flatten() {
            out.push(b'|');
            out.extend_from_slice(&dates::write(date));
        }
        if let Some(mac) = self.mac(server, &out[begin..]) {
            let mut text = [0; TAG_CHARACTERS];
            let bytes = mac.finalize().into_bytes();
            // Cannot fail: the text is exactly as long as the encoding of so many bytes.
            if BASE64URL
                .encode_slice(&bytes[..TAG_BYTES], &mut text)
                .is_ok()
            {
                out.push(b'.');
                out.extend_from_slice(&text);
            }
        }
    }

    /// Whether a server has a key.
    pub(super) fn has(&self, server: usize) -> bool {
        self.entries[server].is_some()
    }

    /// Whether a cookie that names one server names the other as well.
    pub(super) fn same(&self, one: usize, other: usize) -> bool {
        match (&self.entries[one], &self.entries[other]) {
            (Some(one), Some(other)) => one.key == other.key,
            _ => false,
        }
    }

    /// Some when the tag is right, or none is needed.
    fn verify(&self, server: usize, body: &[u8], tag: &[u8]) -> Option<()> {
        let Some(mac) = self.mac(server, body) else {
            return Some(());
        };
        // The decoder asks for room by a rough estimate, hence more than it will fill.
        let mut bytes = [0; TAG_CHARACTERS];
        let length = match tag.len() {
            TAG_CHARACTERS => BASE64URL.decode_slice(tag, &mut bytes).ok()?,
            _ => return None,
        };
        mac.verify_truncated_left(&bytes[..length]).ok()
    }

    fn mac(&self, server: usize, body: &[u8]) -> Option<Hmac<Sha256>> {
        let (tag, entry) = (self.tag.as_ref()?, self.entries[server].as_ref()?);
        let mac = tag.clone().chain_update(&entry.key);
        Some(mac.chain_update(b"\0").chain_update(body))
    }
}

const NAME_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// Base64 of [`TAG_BYTES`], without padding.
const TAG_CHARACTERS: usize = 22;

/// What stands before and after the byte at `at`.
fn cut(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    (&bytes[..at], &bytes[at + 1..])
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::super::Pool;
    use super::super::tests::{pool_settings, settings};
    use super::*;

    /// Computed with another implementation of HMAC-SHA256.
    #[test]
    fn a_signed_value_is_built_as_documented() {
        let sticky = config::Sticky {
            signing_keys: vec![config::Secret(b"new".to_vec())],
            ..settings()
        };
        let pool = Pool::new(&pool_settings(Some(sticky.clone()), &["bridge1"]), None, 1);
        let books = Book::all(&sticky, &pool.servers);
        let mut value = Vec::new();
        books[0].write(0, None, None, &mut value);
        let value = String::from_utf8(value).unwrap();
        assert_eq!(value, "uafg55leNSynmWl0.bhGHa2iUTji3wbawyxKBXg");
        assert_eq!(books[0].read(value.as_bytes()).unwrap().servers, [0]);
    }
}
