//! What a request shows to the conditions of `force` and `ignore`.

use crate::config::{Condition, Network};
use std::net::IpAddr;

/// A view of a request.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The path, perhaps with a query, which is left out.
    pub path: &'a [u8],
    /// The client's address; `None` over a unix socket.
    pub client: Option<IpAddr>,
    /// Whether there is a field of that name (any case) and, when a value is given, with exactly
    /// that value.
    pub header: &'a dyn Fn(&str, Option<&str>) -> bool,
}

impl Asked<'_> {
    /// Whether all that a condition gives holds.
    pub(super) fn meets(&self, condition: &Condition) -> bool {
        let path = self.path.split(|b| *b == b'?').next().unwrap_or_default();
        let begins = |p: &String| path.starts_with(p.as_bytes());
        let ends = |p: &String| path.ends_with(p.as_bytes());
        let from = |n: &Network| self.client.is_some_and(|client| n.contains(client));
        let has = |name: &String| (self.header)(name, condition.value.as_deref());
        condition.path_prefix.as_ref().is_none_or(begins)
            && condition.path_suffix.as_ref().is_none_or(ends)
            && condition.network.as_ref().is_none_or(from)
            && condition.header.as_ref().is_none_or(has)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_a_condition_gives_must_hold() {
        let condition = Condition {
            path_prefix: Some("/s".into()),
            path_suffix: Some(".js".into()),
            network: Some(Network {
                address: [10, 0, 0, 0].into(),
                prefix: 8,
            }),
            header: Some("X-Test".into()),
            value: Some("1".into()),
        };
        let yes = |_: &str, value: Option<&str>| value == Some("1");
        let no = |_: &str, _: Option<&str>| false;
        let ten = Some(IpAddr::from([10, 0, 0, 1]));
        let asked = |path: &'static [u8], client, header| Asked {
            path,
            client,
            header,
        };
        assert!(asked(b"/s/a.js?x", ten, &yes).meets(&condition));
        assert!(!asked(b"/t/a.js", ten, &yes).meets(&condition));
        assert!(!asked(b"/s/a.css", ten, &yes).meets(&condition));
        assert!(!asked(b"/s/a.js", None, &yes).meets(&condition));
        assert!(!asked(b"/s/a.js", ten, &no).meets(&condition));
        assert!(asked(b"", None, &no).meets(&Condition::default()));
    }
}
