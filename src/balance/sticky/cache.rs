//! Whether a shared cache could store an answer (RFC 9111 section 3, as HAProxy reads it).

/// What an answer's fields say of caching; [`see`](Self::see) each, then ask [`Storable::shared`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Storable {
    public: bool,
    forbidden: bool,
    /// Has a lifetime or a validator.
    lasting: bool,
    max_age: Option<u64>,
    s_maxage: Option<u64>,
}

impl Storable {
    /// Takes note of a field of the answer; those that say nothing of caching are ignored.
    pub fn see(&mut self, name: &[u8], value: &[u8]) {
        if name.eq_ignore_ascii_case(b"cache-control") {
            value
                .split(|b| *b == b',')
                .for_each(|word| self.directive(word.trim_ascii()));
        } else if name.eq_ignore_ascii_case(b"pragma") {
            self.forbidden |= value
                .split(|b| *b == b',')
                .any(|word| word.trim_ascii().eq_ignore_ascii_case(b"no-cache"));
        } else if [&b"expires"[..], b"etag", b"last-modified"]
            .iter()
            .any(|lasting| name.eq_ignore_ascii_case(lasting))
        {
            self.lasting = true;
        }
    }

    /// Whether a shared cache could store the answer to such a request.
    pub fn shared(&self, method: &[u8], status: u16) -> bool {
        if status < 200 {
            return false;
        }
        let spent = match (self.s_maxage, self.max_age) {
            (Some(shared), _) => shared == 0,
            (None, own) => own == Some(0),
        };
        let storable = !self.forbidden
            && !spent
            && (self.lasting || self.max_age.is_some() || self.s_maxage.is_some())
            && METHODS.contains(&method)
            && STATUSES.contains(&status);
        self.public || storable
    }

    fn directive(&mut self, word: &[u8]) {
        let (name, value) = match memchr::memchr(b'=', word) {
            Some(at) => (word[..at].trim_ascii_end(), Some(&word[at + 1..])),
            None => (word, None),
        };
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        if is(b"public") {
            self.public = true;
        } else if is(b"private") || is(b"no-cache") || is(b"no-store") {
            self.forbidden = true;
        } else if is(b"max-age") {
            self.max_age = value.map(seconds);
        } else if is(b"s-maxage") {
            self.s_maxage = value.map(seconds);
        }
    }
}

/// A number of seconds, perhaps quoted; what is no number counts as 0 (RFC 9111 section 4.2.1:
/// treat as stale), what is too large as the largest.
fn seconds(value: &[u8]) -> u64 {
    let digits = value.trim_ascii();
    let digits = digits.strip_prefix(b"\"").unwrap_or(digits);
    let digits = digits.strip_suffix(b"\"").unwrap_or(digits);
    digits
        .iter()
        .try_fold(0u64, |sum, byte| {
            byte.is_ascii_digit().then(|| {
                sum.saturating_mul(10)
                    .saturating_add(u64::from(byte - b'0'))
            })
        })
        .unwrap_or(0)
}

const METHODS: [&[u8]; 4] = [b"GET", b"HEAD", b"OPTIONS", b"TRACE"];

const STATUSES: [u16; 11] = [200, 203, 204, 206, 300, 301, 404, 405, 410, 414, 501];

#[cfg(test)]
mod tests {
    use super::*;

    fn storable(method: &str, status: u16, fields: &[(&str, &str)]) -> bool {
        let mut storable = Storable::default();
        for (name, value) in fields {
            storable.see(name.as_bytes(), value.as_bytes());
        }
        storable.shared(method.as_bytes(), status)
    }

    #[test]
    fn what_a_shared_cache_could_store() {
        let control = "Cache-Control";
        for (fields, want) in [
            (&[][..], false),
            (&[("ETag", "\"x\"")], true),
            (&[("last-modified", "…")], true),
            (&[("EXPIRES", "…")], true),
            (&[(control, "max-age=60")], true),
            (&[(control, "max-age=\"60\"")], true),
            (&[(control, "s-maxage=60")], true),
            (&[(control, "max-age=0")], false),
            (&[(control, "max-age=0"), ("ETag", "x")], false),
            (&[(control, "max-age=0, s-maxage=60")], true),
            (&[(control, "max-age=60, s-maxage=0")], false),
            (&[(control, "max-age=0, public")], true),
            (&[(control, "Public")], true),
            (&[(control, "private"), ("ETag", "x")], false),
            (
                &[(control, "no-cache=\"Set-Cookie\""), ("ETag", "x")],
                false,
            ),
            (&[(control, "no-store"), ("ETag", "x")], false),
            (&[(control, "must-revalidate"), ("ETag", "x")], true),
            (&[(control, "max-age=junk"), ("ETag", "x")], false),
            (&[(control, "max-age=99999999999999999999999")], true),
            (&[("Pragma", "no-cache"), ("ETag", "x")], false),
            (&[("Pragma", "x, No-Cache"), ("ETag", "x")], false),
            (&[("Set-Cookie", "max-age=60")], false),
        ] {
            assert_eq!(storable("GET", 200, fields), want, "{fields:?}");
        }
    }

    #[test]
    fn methods_and_statuses() {
        let lasting = &[("ETag", "x")][..];
        let public = &[("Cache-Control", "public")][..];
        for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
            assert!(storable(method, 200, lasting), "{method}");
        }
        for method in ["POST", "PUT", "get"] {
            assert!(!storable(method, 200, lasting), "{method}");
            assert!(storable(method, 200, public), "{method}");
        }
        for status in [200, 203, 204, 206, 300, 301, 404, 405, 410, 414, 501] {
            assert!(storable("GET", status, lasting), "{status}");
        }
        for status in [201, 302, 304, 307, 400, 500, 503] {
            assert!(!storable("GET", status, lasting), "{status}");
            assert!(storable("GET", status, public), "{status}");
        }
        assert!(!storable("GET", 101, public));
    }
}
