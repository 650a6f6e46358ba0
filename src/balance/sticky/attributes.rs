//! What follows the value in `Set-Cookie` (RFC 6265 section 4.1), built once when the settings are
//! loaded.

use crate::config::{self, SameSite, Secure};
use cookie::{Cookie, time::OffsetDateTime};

/// Attributes in the order in which HAProxy writes them: path, domains, HttpOnly, Secure, then the
/// others.
#[derive(Debug)]
pub(super) struct Attributes {
    /// After a value that is to be kept: for a plain and for an encrypted client's side.
    keep: [Box<[u8]>; 2],
    /// After an empty value that is to be forgotten. A browser forgets a cookie only under the same
    /// path, domain and partition.
    forget: [Box<[u8]>; 2],
}

impl Attributes {
    pub(super) fn new(settings: &config::Sticky) -> Self {
        let both = |f: fn(&config::Sticky, bool) -> String| {
            [false, true].map(|secure| f(settings, secure).into_bytes().into())
        };
        Self {
            keep: both(keep),
            forget: both(forget),
        }
    }

    /// For a cookie that names a server.
    pub(super) fn keep(&self, secure: bool) -> &[u8] {
        &self.keep[usize::from(secure)]
    }

    /// For one that is to be forgotten.
    pub(super) fn forget(&self, secure: bool) -> &[u8] {
        &self.forget[usize::from(secure)]
    }
}

fn keep(settings: &config::Sticky, secure: bool) -> String {
    let mut text = common(settings, secure);
    if let Some(age) = settings.max_age {
        let seconds = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
        text += &written(|c| c.set_max_age(cookie::time::Duration::seconds(seconds)));
    }
    for attribute in &settings.attributes {
        text += "; ";
        text += attribute;
    }
    text
}

fn forget(settings: &config::Sticky, secure: bool) -> String {
    let mut text = written(|c| c.set_expires(OffsetDateTime::UNIX_EPOCH));
    text += &common(settings, secure);
    // Max-Age would win over Expires and keep it after all.
    for attribute in settings.attributes.iter().filter(|a| !sets_lifetime(a)) {
        text += "; ";
        text += attribute;
    }
    text
}

fn common(settings: &config::Sticky, secure: bool) -> String {
    let mut text = written(|c| c.set_path(settings.path.clone()));
    for domain in &settings.domain {
        text += &written(|c| c.set_domain(domain.clone()));
    }
    if settings.http_only {
        text += &written(|c| c.set_http_only(true));
    }
    if is_secure(settings, secure) {
        text += &written(|c| c.set_secure(true));
    }
    if let Some(same_site) = settings.same_site {
        text += &written(|c| c.set_same_site(policy(same_site)));
    }
    if settings.partitioned {
        // The crate adds Secure of its own accord; where it belongs is decided below.
        let partitioned = written(|c| c.set_partitioned(true));
        text += partitioned.trim_end_matches("; Secure");
    }
    text
}

/// Browsers refuse SameSite=None and Partitioned without Secure, and behind something that ends
/// TLS we do not see that the client's side is encrypted. So these bring it, unless ruled out.
fn is_secure(settings: &config::Sticky, encrypted: bool) -> bool {
    let needed = settings.partitioned || settings.same_site == Some(SameSite::None);
    match settings.secure {
        Secure::Always => true,
        Secure::Never => false,
        Secure::Auto => encrypted || needed,
    }
}

fn policy(same_site: SameSite) -> cookie::SameSite {
    match same_site {
        SameSite::Strict => cookie::SameSite::Strict,
        SameSite::Lax => cookie::SameSite::Lax,
        SameSite::None => cookie::SameSite::None,
    }
}

fn sets_lifetime(attribute: &str) -> bool {
    let name = attribute.split('=').next().unwrap_or_default().trim();
    name.eq_ignore_ascii_case("max-age") || name.eq_ignore_ascii_case("expires")
}

/// One attribute with the `; ` before it.
fn written(set: impl FnOnce(&mut Cookie<'static>)) -> String {
    let mut cookie = Cookie::new("n", "");
    // Said in so many words, else the crate adds Secure to SameSite=None of its own accord.
    cookie.set_secure(false);
    set(&mut cookie);
    cookie.to_string().split_off("n=".len())
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::*;
    use std::time::Duration;

    #[test]
    fn attributes_are_written_in_haproxys_order() {
        let mut s = settings();
        assert_eq!(keep(&s, false), "; Path=/");
        assert_eq!(keep(&s, true), "; Path=/; Secure");
        s.secure = Secure::Never;
        assert_eq!(keep(&s, true), "; Path=/");
        s.secure = Secure::Always;
        s.http_only = true;
        s.domain = vec!["a.example".into(), "b.example".into()];
        s.path = "/app".into();
        s.same_site = Some(SameSite::Lax);
        s.max_age = Some(Duration::from_secs(3600));
        s.partitioned = true;
        s.attributes = vec!["Priority=High".into(), "max-age=1".into()];
        assert_eq!(
            keep(&s, false),
            "; Path=/app; Domain=a.example; Domain=b.example; HttpOnly; Secure; SameSite=Lax; \
             Partitioned; Max-Age=3600; Priority=High; max-age=1"
        );
        assert_eq!(
            forget(&s, false),
            "; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/app; Domain=a.example; \
             Domain=b.example; HttpOnly; Secure; SameSite=Lax; Partitioned; Priority=High"
        );
    }

    #[test]
    fn what_browsers_take_only_with_secure_brings_it() {
        for (same_site, partitioned, secure, want) in [
            (
                Some(SameSite::None),
                false,
                Secure::Auto,
                "; Path=/; Secure; SameSite=None",
            ),
            (
                Some(SameSite::None),
                false,
                Secure::Never,
                "; Path=/; SameSite=None",
            ),
            (
                Some(SameSite::Strict),
                false,
                Secure::Auto,
                "; Path=/; SameSite=Strict",
            ),
            (None, true, Secure::Auto, "; Path=/; Secure; Partitioned"),
        ] {
            let s = config::Sticky {
                same_site,
                partitioned,
                secure,
                ..settings()
            };
            assert_eq!(keep(&s, false), want);
        }
    }
}
