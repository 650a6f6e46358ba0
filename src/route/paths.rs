//! The paths of one host: exact ones, prefixes, any.

use crate::config::PathPattern;

/// The routes of one host, by path.
#[derive(Debug, Default)]
pub(super) struct Paths {
    /// Sorted by [`seal`](Self::seal).
    exact: Vec<(Box<[u8]>, usize)>,
    /// Likewise.
    prefixes: Vec<Prefix>,
    any: Option<usize>,
}

#[derive(Debug)]
struct Prefix {
    bytes: Box<[u8]>,
    route: usize,
    /// The longest other prefix that begins this one.
    parent: Option<usize>,
}

impl Paths {
    /// Adds a route; of two equal ones the first stays. Only while building.
    pub(super) fn add(&mut self, pattern: &PathPattern, route: usize) {
        match pattern {
            PathPattern::Exact(path) => {
                let bytes = path.as_bytes();
                if !self.exact.iter().any(|(known, _)| **known == *bytes) {
                    self.exact.push((bytes.into(), route));
                }
            }
            PathPattern::Prefix(prefix) => {
                let bytes = prefix.as_bytes();
                if !self.prefixes.iter().any(|known| *known.bytes == *bytes) {
                    self.prefixes.push(Prefix {
                        bytes: bytes.into(),
                        route,
                        parent: None,
                    });
                }
            }
            PathPattern::Any => {
                self.any.get_or_insert(route);
            }
        }
    }

    /// Sorts, and links every prefix to the one that it refines.
    pub(super) fn seal(&mut self) {
        self.exact.sort();
        self.prefixes.sort_by(|a, b| a.bytes.cmp(&b.bytes));
        for at in 1..self.prefixes.len() {
            // Sorted, so what begins this entry also begins, or is, the entry before it.
            let mut candidate = Some(at - 1);
            while let Some(before) = candidate
                && !self.prefixes[at]
                    .bytes
                    .starts_with(&self.prefixes[before].bytes)
            {
                candidate = self.prefixes[before].parent;
            }
            self.prefixes[at].parent = candidate;
        }
    }

    /// The route for a path without its query.
    pub(super) fn find(&self, path: &[u8]) -> Option<usize> {
        self.exact(path)
            .or_else(|| self.longest_prefix(path))
            .or(self.any)
    }

    fn exact(&self, path: &[u8]) -> Option<usize> {
        let found = self
            .exact
            .binary_search_by(|(known, _)| (**known).cmp(path));
        found.ok().map(|at| self.exact[at].1)
    }

    /// The greatest entry that is not after `path`, or the nearest of its parents that begins it:
    /// whatever sorts between a prefix of `path` and `path` begins with that prefix too.
    fn longest_prefix(&self, path: &[u8]) -> Option<usize> {
        let after = self.prefixes.partition_point(|known| *known.bytes <= *path);
        let mut candidate = after.checked_sub(1);
        while let Some(at) = candidate {
            let known = &self.prefixes[at];
            if path.starts_with(&known.bytes) {
                return Some(known.route);
            }
            candidate = known.parent;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_longest_prefix_is_found_as_by_trying_all(
            prefixes in prop::collection::vec("[ab/]{0,5}", 0..12),
            path in "[ab/]{0,8}",
        ) {
            let mut paths = Paths::default();
            for (pool, prefix) in prefixes.iter().enumerate() {
                paths.add(&PathPattern::Prefix(prefix.clone()), pool);
            }
            paths.seal();
            let longest = prefixes.iter().filter(|p| path.starts_with(*p)).max_by_key(|p| p.len());
            let want = longest.and_then(|l| prefixes.iter().position(|p| p == l));
            prop_assert_eq!(paths.find(path.as_bytes()), want);
        }
    }
}
