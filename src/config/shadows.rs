//! Guards that other routes pass by: `allow` and `deny` of a route count only for requests that it gets, and a route with a more specific host,
//! or a longer path, gets them first. (HAProxy's `http-request deny` comes before any choice of a backend.)

use super::{HostPattern, PathPattern, Route};

/// Whether `route` has a guard for some paths, so that it can be passed by.
pub(super) fn is_guard(route: &Route) -> bool {
    !route.admission.is_open() && route.path != PathPattern::Any
}

/// Whether `other`, which guards nothing itself, gets requests for paths that `guard` is there for.
pub(super) fn passes_by(guard: &Route, other: &Route) -> bool {
    let same_listener = match (guard.listener, other.listener) {
        (Some(one), Some(other)) => one == other,
        _ => true,
    };
    if !other.admission.is_open() || !same_listener {
        return false;
    }
    match hosts(&guard.host, &other.host) {
        Hosts::Apart => false,
        Hosts::MoreSpecific => paths(&guard.path, &other.path) != Paths::Apart,
        Hosts::Same => match paths(&guard.path, &other.path) {
            Paths::MoreSpecific => true,
            // Of two routes for the same requests, a listener's own is taken.
            Paths::Same => guard.listener.is_none() && other.listener.is_some(),
            Paths::LessSpecific | Paths::Apart => false,
        },
    }
}

/// How another route's hosts lie to a guard's.
#[derive(PartialEq, Eq)]
enum Hosts {
    Same,
    /// Among them, and looked for before them.
    MoreSpecific,
    /// No host is in both, or the guard's are looked for first.
    Apart,
}

fn hosts(guard: &HostPattern, other: &HostPattern) -> Hosts {
    use HostPattern::{Any, Exact, Wildcard};
    let below = |host: &str, parent: &str| {
        host.strip_suffix(parent)
            .is_some_and(|rest| rest.ends_with('.'))
    };
    match (guard, other) {
        _ if guard == other => Hosts::Same,
        (Any, _) => Hosts::MoreSpecific,
        (Wildcard(parent), Exact(host) | Wildcard(host)) if below(host, parent) => {
            Hosts::MoreSpecific
        }
        (Exact(_) | Wildcard(_), _) => Hosts::Apart,
    }
}

/// How another route's paths lie to a guard's.
#[derive(PartialEq, Eq)]
enum Paths {
    Same,
    /// Some of them, looked for before them within one host.
    MoreSpecific,
    /// All of them and more, looked for after them within one host.
    LessSpecific,
    Apart,
}

fn paths(guard: &PathPattern, other: &PathPattern) -> Paths {
    use PathPattern::{Any, Exact, Prefix};
    match (guard, other) {
        _ if guard == other => Paths::Same,
        (Prefix(guard), Exact(path) | Prefix(path)) if path.starts_with(guard.as_str()) => {
            Paths::MoreSpecific
        }
        (Exact(path) | Prefix(path), Prefix(other)) if path.starts_with(other.as_str()) => {
            Paths::LessSpecific
        }
        (Exact(_) | Prefix(_), Any) => Paths::LessSpecific,
        // A guard of every path is none of these ([`is_guard`]).
        (Any, _) | (Exact(_) | Prefix(_), Exact(_) | Prefix(_)) => Paths::Apart,
    }
}
