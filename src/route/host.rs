//! Hosts: what is compared, and the sorted list that a request's host is looked up in.

use super::paths::Paths;
use std::cmp::Ordering;

/// Routes by host, looked up without regard to case.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    /// Lower case; sorted by [`seal`](Self::seal), shorter ones first: most differ in length, which
    /// is compared faster than bytes.
    entries: Vec<(Box<[u8]>, Paths)>,
}

impl Hosts {
    /// The paths of a host, made when new. Only while building.
    pub(super) fn entry(&mut self, host: &str) -> &mut Paths {
        let host = bare(host.as_bytes())
            .to_ascii_lowercase()
            .into_boxed_slice();
        let known = self.entries.iter().position(|(name, _)| *name == host);
        let at = known.unwrap_or(self.entries.len());
        if known.is_none() {
            self.entries.push((host, Paths::default()));
        }
        &mut self.entries[at].1
    }

    /// Sorts; to be called once, before the first lookup.
    pub(super) fn seal(&mut self) {
        self.entries.sort_by(|(a, _), (b, _)| compare(a, b));
        for (_, paths) in &mut self.entries {
            paths.seal();
        }
    }

    /// The paths of exactly this host, given without port.
    pub(super) fn get(&self, host: &[u8]) -> Option<&Paths> {
        let found = self
            .entries
            .binary_search_by(|(name, _)| compare(name, host));
        found.ok().map(|at| &self.entries[at].1)
    }

    /// The route for `path` under the longest listed suffix of `host` that has one.
    pub(super) fn find_below(&self, host: &[u8], path: &[u8]) -> Option<usize> {
        // Longer suffixes need no search, so that a host of a thousand dots costs little. The dot
        // before the suffix must be there as well, hence one more byte.
        let longest = self.entries.last()?.0.len();
        let tail = &host[host.len().saturating_sub(longest + 1)..];
        memchr::memchr_iter(b'.', tail)
            .filter_map(|dot| self.get(&tail[dot + 1..]))
            .find_map(|paths| paths.find(path))
    }
}

/// A host without port, brackets and trailing dot. What is no host at all comes back as it is
/// and matches nothing.
pub(super) fn bare(host: &[u8]) -> &[u8] {
    if let [b'[', rest @ ..] = host {
        return match memchr::memchr(b']', rest) {
            Some(end) => &rest[..end],
            None => host,
        };
    }
    let host = match memchr::memchr(b':', host) {
        // Several colons: an IPv6 address without brackets, so without port.
        Some(colon) if memchr::memchr(b':', &host[colon + 1..]).is_none() => &host[..colon],
        Some(_) | None => host,
    };
    host.strip_suffix(b".").unwrap_or(host)
}

/// Orders a lower-case name and a host of any case.
fn compare(name: &[u8], host: &[u8]) -> Ordering {
    let bytes = || {
        let host = host.iter().map(u8::to_ascii_lowercase);
        name.iter().copied().cmp(host)
    };
    name.len().cmp(&host.len()).then_with(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_bared_of_port_brackets_and_dot() {
        for (sent, want) in [
            ("a", "a"),
            ("a:1", "a"),
            ("a.:1", "a"),
            ("a.", "a"),
            ("[::1]:80", "::1"),
            ("[::1]", "::1"),
            ("::1", "::1"),
            ("[::1", "[::1"),
            (":", ""),
            ("", ""),
            (".", ""),
        ] {
            assert_eq!(bare(sent.as_bytes()), want.as_bytes(), "{sent}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_host_is_looked_up_without_panic(host: Vec<u8>, path: Vec<u8>) {
            let mut hosts = Hosts::default();
            hosts.entry("example.com").add(&crate::config::PathPattern::Any, 1);
            hosts.seal();
            let bare = bare(&host);
            let _ = hosts.get(bare);
            let _ = hosts.find_below(bare, &path);
        }
    }
}
