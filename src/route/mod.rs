//! A request's host and path → a route; a client's address → whether it comes in.
//!
//! One [`Table`] per listener, built with the plan, read by every worker, changed by nobody. The
//! order of routes in the file never matters; the most specific one wins:
//!
//! 1. an exact host, then wildcards from the longest to the shortest, then routes for any host;
//! 2. within a host the exact path, then the longest prefix, then any path;
//! 3. for the same host and path, a route of this listener beats one for all listeners.
//!
//! When a host is known but none of its paths match, the search goes on with the less specific
//! hosts, as a list of HAProxy `use_backend` lines would. A lookup allocates nothing.
//!
//! Who is admitted is a [`Door`]'s business: it refuses clients of a route that was found, and never makes
//! the search go on.

mod host;
mod networks;
mod paths;

pub use networks::Door;

use crate::config::{HostPattern, Route};
use host::Hosts;
use paths::Paths;

/// The routes of one listener.
#[derive(Debug, Default)]
pub struct Table {
    exact: Hosts,
    /// Keyed by what follows `*.`.
    wildcard: Hosts,
    any: Paths,
}

impl Table {
    /// The table of the listener with index `listener` among the settings' listeners: its own
    /// routes and those that name no listener.
    pub fn new(routes: &[Route], listener: usize) -> Self {
        let mut table = Self::default();
        // The listener's own routes come first, and the first of two equal ones stays.
        let those_of = |only: Option<usize>| {
            let all = routes.iter().enumerate();
            all.filter(move |(_, route)| route.listener == only)
        };
        for (index, route) in those_of(Some(listener)).chain(those_of(None)) {
            table.paths_of(&route.host).add(&route.path, index);
        }
        table.exact.seal();
        table.wildcard.seal();
        table.any.seal();
        table
    }

    /// The index of the route for a request, `None` when nothing matches.
    ///
    /// `host` is the field's or the target's authority as sent: any case, perhaps with a port, an
    /// IPv6 literal in brackets, a trailing dot; empty when there is none. `path` is compared byte
    /// by byte; what follows a `?` is left out.
    pub fn find(&self, host: &[u8], path: &[u8]) -> Option<usize> {
        let path = match memchr::memchr(b'?', path) {
            Some(query) => &path[..query],
            None => path,
        };
        let host = host::bare(host);
        self.exact
            .get(host)
            .and_then(|paths| paths.find(path))
            .or_else(|| self.wildcard.find_below(host, path))
            .or_else(|| self.any.find(path))
    }

    fn paths_of(&mut self, host: &HostPattern) -> &mut Paths {
        match host {
            HostPattern::Exact(name) => self.exact.entry(name),
            HostPattern::Wildcard(suffix) => self.wildcard.entry(suffix),
            HostPattern::Any => &mut self.any,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Action, Admission, HeaderChanges, PathPattern};

    /// `"host path pool"`, with `*.x` for a wildcard, `*` for any, `/p*` for a prefix; `@N` for a listener.
    fn routes(lines: &[&str]) -> Vec<Route> {
        let one = |line: &&str| {
            let mut words = line.split(' ');
            let (host, path, pool) = (words.next(), words.next(), words.next());
            let host = match host.unwrap_or_default() {
                "*" => HostPattern::Any,
                wild if wild.starts_with("*.") => HostPattern::Wildcard(wild[2..].into()),
                exact => HostPattern::Exact(exact.into()),
            };
            let path = match path.unwrap_or_default() {
                "*" => PathPattern::Any,
                prefix if prefix.ends_with('*') => {
                    PathPattern::Prefix(prefix[..prefix.len() - 1].into())
                }
                exact => PathPattern::Exact(exact.into()),
            };
            Route {
                listener: words.next().and_then(|w| w[1..].parse().ok()),
                host,
                path,
                action: Action::Pool(pool.and_then(|p| p.parse().ok()).unwrap_or_default()),
                admission: Admission::default(),
                request_headers: HeaderChanges::default(),
                response_headers: HeaderChanges::default(),
            }
        };
        lines.iter().map(one).collect()
    }

    /// The pool that a request's route leads to.
    fn found(routes: &[Route], listener: usize, host: &str, path: &str) -> Option<usize> {
        let table = Table::new(routes, listener);
        let found = table.find(host.as_bytes(), path.as_bytes())?;
        routes[found].pool()
    }

    #[test]
    fn the_most_specific_route_wins() {
        let lines = [
            "* * 0",
            "* /any 1",
            "*.example.com * 2",
            "*.a.example.com * 3",
            "*.example.com /deep* 4",
            "www.example.com /only 5",
            "www.example.com /api* 6",
            "www.example.com /api/v2* 7",
            "www.example.com /api/v2/exact 8",
            "[::1] * 9",
            "10.0.0.1 * 10",
        ];
        let cases: &[(&str, &str, usize)] = &[
            ("www.example.com", "/only", 5),
            ("www.example.com", "/only?x=/api", 5),
            ("WWW.Example.COM:8080", "/only", 5),
            ("www.example.com.", "/only", 5),
            ("www.example.com.:80", "/only", 5),
            ("www.example.com", "/api", 6),
            ("www.example.com", "/apix", 6),
            ("www.example.com", "/api/v2", 7),
            ("www.example.com", "/api/v2/exact", 8),
            ("www.example.com", "/api/v2/exact/", 7),
            ("www.example.com", "/ap", 2),
            ("www.example.com", "/deep/er", 4),
            ("www.example.com", "/", 2),
            ("x.a.example.com", "/", 3),
            ("y.x.a.example.com", "/", 3),
            ("x.a.example.com", "/deep", 3),
            ("a.example.com", "/deep", 4),
            ("example.com", "/deep", 0),
            (".example.com", "/", 2),
            ("badexample.com", "/", 0),
            ("other", "/any", 1),
            ("", "/any", 1),
            ("", "/", 0),
            ("[::1]", "/", 9),
            ("[::1]:443", "/", 9),
            ("::1", "/", 9),
            ("[::2]:443", "/", 0),
            ("10.0.0.1:80", "/", 10),
            ("www.example.com", "*", 2),
            ("www.example.com", "", 2),
        ];
        let mut backwards = lines;
        backwards.reverse();
        for lines in [lines, backwards] {
            let routes = routes(&lines);
            for (host, path, pool) in cases {
                let found = found(&routes, 0, host, path);
                assert_eq!(found, Some(*pool), "{host} {path}");
            }
        }
    }

    #[test]
    fn without_a_match_there_is_none() {
        let routes = routes(&["a.example /x 1"]);
        assert_eq!(found(&routes, 0, "a.example", "/y"), None);
        assert_eq!(found(&routes, 0, "a.example", "/x"), Some(1));
        assert_eq!(Table::default().find(b"a", b"/"), None);
    }

    #[test]
    fn a_listener_sees_its_own_routes_first_and_never_those_of_another() {
        let routes = routes(&["h / 1", "h / 2 @0", "h /one 3 @1"]);
        assert_eq!(found(&routes, 0, "h", "/"), Some(2));
        assert_eq!(found(&routes, 1, "h", "/"), Some(1));
        assert_eq!(found(&routes, 0, "h", "/one"), None);
        assert_eq!(found(&routes, 1, "h", "/one"), Some(3));
    }
}
