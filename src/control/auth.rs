//! Basic authentication (RFC 7617) for the stats page.
//!
//! A password in the configuration is the password itself, `sha256:HEX`, or `sha256:SALT:HEX` where
//! HEX is the SHA-256 of salt and password together. Whatever is compared is compared as digests of
//! equal length and in full, so that the time taken tells nothing about the password.

use crate::config::{Secret, Stats};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

/// Whether an `Authorization` field lets its sender see the page. No users: everybody may.
pub(super) fn allows(stats: &Stats, authorization: Option<&[u8]>) -> bool {
    if stats.users.is_empty() {
        return true;
    }
    let Some((name, password)) = authorization.and_then(credentials) else {
        return false;
    };
    let mut allowed = false;
    // All users are tried, and both halves of each, so that a known name takes no longer.
    for (user, secret) in &stats.users {
        let same_name = same(&digest(user.as_bytes()), &digest(&name));
        allowed |= same_name & Stored::read(secret).is_some_and(|stored| stored.fits(&password));
    }
    allowed
}

/// What is wrong with a stats table's passwords, in one line; `None` when nothing is.
pub(super) fn problem(stats: &Stats) -> Option<String> {
    let (user, _) = stats
        .users
        .iter()
        .find(|(_, secret)| Stored::read(secret).is_none())?;
    Some(format!(
        "stats.users: the password of \"{user}\" begins like a hash but is none: write \
         sha256:HEX or sha256:SALT:HEX with 64 hexadecimal digits"
    ))
}

enum Stored<'a> {
    Plain(&'a [u8]),
    Hash { salt: &'a [u8], digest: [u8; 32] },
}

impl<'a> Stored<'a> {
    fn read(secret: &'a Secret) -> Option<Self> {
        let Some(rest) = secret.0.strip_prefix(b"sha256:") else {
            return Some(Self::Plain(&secret.0));
        };
        let colon = rest.iter().rposition(|&byte| byte == b':');
        let (salt, hex) = colon.map_or((&rest[..0], rest), |at| (&rest[..at], &rest[at + 1..]));
        Some(Self::Hash {
            salt,
            digest: unhex(hex)?,
        })
    }

    fn fits(&self, password: &[u8]) -> bool {
        match self {
            Self::Plain(wanted) => same(&digest(wanted), &digest(password)),
            Self::Hash {
                salt,
                digest: wanted,
            } => same(wanted, &digest(&[salt, password].concat())),
        }
    }
}

/// `Basic dXNlcjpwYXNz` → user, pass; the scheme's name in any case (RFC 9110 section 11.1).
fn credentials(authorization: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (scheme, rest) = authorization.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let pair = STANDARD.decode(rest.trim_ascii()).ok()?;
    let colon = pair.iter().position(|&byte| byte == b':')?;
    Some((pair[..colon].to_vec(), pair[colon + 1..].to_vec()))
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Looks at every byte, wherever the first difference is.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let difference = a.iter().zip(b).fold(0, |all, (a, b)| all | (a ^ b));
    std::hint::black_box(difference) == 0
}

fn unhex(text: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |at: usize| char::from(pair[at]).to_digit(16);
        *byte = u8::try_from(digit(0)? << 4 | digit(1)?).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::time::Duration;

    fn stats(users: &[(&str, &str)]) -> Stats {
        let users = users.iter();
        Stats {
            path: "/stats".to_owned(),
            listener: None,
            users: users
                .map(|(name, secret)| ((*name).to_owned(), Secret(secret.as_bytes().to_vec())))
                .collect(),
            realm: "R".to_owned(),
            refresh: Duration::from_secs(5),
        }
    }

    fn basic(pair: &str) -> Vec<u8> {
        format!("Basic {}", STANDARD.encode(pair)).into_bytes()
    }

    #[test]
    fn who_may_look() {
        // printf salt+password | sha256sum
        let plain = "sha256:5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8";
        let salted = format!("sha256:na:cl:{}", hex(&digest(b"na:clword")));
        let stats = stats(&[("ann", "a:b"), ("bob", plain), ("cid", &salted)]);
        assert_eq!(problem(&stats), None);
        let cases = [
            ("ann:a:b", true),
            ("ann:a:", false),
            ("ann:", false),
            ("bob:password", true),
            ("bob:a:b", false),
            (&format!("bob:{plain}"), false),
            ("cid:word", true),
            ("cid:words", false),
            ("dan:a:b", false),
            ("ann", false),
        ];
        for (pair, wanted) in cases {
            assert_eq!(allows(&stats, Some(&basic(pair))), wanted, "{pair}");
        }
        let lower = [b"bAsIc  ".as_slice(), STANDARD.encode("ann:a:b").as_bytes()].concat();
        assert!(allows(&stats, Some(&lower)));
        for bad in [
            &b"Basic"[..],
            b"",
            b"Basic !!!",
            b"Bearer YW5uOmE6Yg==",
            b"Basic \xff",
        ] {
            assert!(!allows(&stats, Some(bad)));
        }
        assert!(!allows(&stats, None));
    }

    #[test]
    fn no_users_no_door() {
        assert!(allows(&stats(&[]), None));
    }

    #[test]
    fn a_hash_that_is_none_is_said() {
        let why = problem(&stats(&[("ann", "sha256:abc")])).unwrap();
        assert!(why.contains("\"ann\"") && !why.contains("abc"), "{why}");
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
