//! Names and small texts with an alphabet of their own: what may stand in a log line, in a header field, in a cookie.
//! Whatever passes here can be written to a peer or a log as it is.

use super::Refusal;
use crate::config::HostPattern;

/// A listener's, pool's or server's name: it becomes a word of the log line.
pub(in crate::config) fn name(text: &str) -> Result<String, Refusal> {
    match text.len() {
        0 => Err(Refusal::new("a name has at least one character")),
        65.. => Err(Refusal::new("a name has at most 64 characters")),
        _ => only(
            text,
            "a name",
            "letters, digits and `-` `_` `.` `:`",
            |byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte),
        ),
    }
}

/// A header field's name, a token (RFC 9110 section 5.6.2).
pub(in crate::config) fn field_name(text: &str) -> Result<String, Refusal> {
    filled(text, "a field name")?;
    only(
        text,
        "a field name",
        "the characters of a token (RFC 9110 section 5.6.2)",
        is_token,
    )
}

/// A cookie's name, a token (RFC 6265 section 4.1.1).
pub(in crate::config) fn cookie_name(text: &str) -> Result<String, Refusal> {
    filled(text, "a cookie name")?;
    if text.starts_with('$') {
        return Err(Refusal::new(
            "a cookie name that begins with `$` is never read back",
        ));
    }
    only(
        text,
        "a cookie name",
        "the characters of a token (RFC 6265 section 4.1.1)",
        is_token,
    )
}

/// A parameter's name in a query, as it stands there (RFC 3986 section 3.4, without the separators).
pub(in crate::config) fn parameter_name(text: &str) -> Result<String, Refusal> {
    filled(text, "a parameter's name")?;
    only(
        text,
        "a parameter's name",
        "what a query may hold as it is: no spaces, `&`, `=`, `#` or `+`",
        |byte| byte.is_ascii_alphanumeric() || b"-._~%!$'()*,;:@/?[]".contains(&byte),
    )
}

/// A server's key: cookie octets (RFC 6265 section 4.1.1).
pub(in crate::config) fn cookie_key(text: &str) -> Result<String, Refusal> {
    filled(text, "a cookie key")?;
    only(
        text,
        "a cookie key",
        "what a cookie's value may hold: no spaces, `\"`, `,`, `;` or `\\`",
        |byte| matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e),
    )
}

/// A cookie's `Domain`.
pub(in crate::config) fn domain(text: &str) -> Result<String, Refusal> {
    filled(text, "a domain")?;
    only(text, "a domain", "letters, digits, `-` and `.`", |byte| {
        byte.is_ascii_alphanumeric() || b"-.".contains(&byte)
    })
}

/// Text behind a `;` in a `Set-Cookie`.
pub(in crate::config) fn attribute(text: &str) -> Result<String, Refusal> {
    filled(text, "an attribute")?;
    match text
        .bytes()
        .find(|byte| byte.is_ascii_control() || *byte == b';' || !byte.is_ascii())
    {
        Some(b';') => {
            Err(Refusal::new("an attribute has no `;` in it")
                .help("write one attribute per list item"))
        }
        Some(_) => Err(Refusal::new(
            "an attribute has no control characters and only ASCII in it",
        )),
        None => Ok(text.to_owned()),
    }
}

/// The realm of the basic authentication, a quoted string's inside.
pub(in crate::config) fn realm(text: &str) -> Result<String, Refusal> {
    only(
        text,
        "a realm",
        "printable ASCII without `\"` and `\\`",
        |byte| (b' '..=b'~').contains(&byte) && !b"\"\\".contains(&byte),
    )
}

/// The program's name in a syslog message (RFC 3164 section 4.1.3, RFC 5424 section 6.2.5).
pub(in crate::config) fn tag(text: &str) -> Result<String, Refusal> {
    filled(text, "a tag")?;
    if text.len() > 32 {
        return Err(Refusal::new("a tag has at most 32 characters"));
    }
    only(text, "a tag", "letters, digits and `-` `_` `.`", |byte| {
        byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
    })
}

/// A path as it stands in a request: begins with `/`, ends before `?`.
pub(in crate::config) fn url_path(text: &str) -> Result<String, Refusal> {
    if is_pattern(text) {
        return Err(Refusal::new("a path is no pattern: regular expressions and `*` have no meaning here")
            .help("write `path_prefix = \"/api/\"` for all paths that begin so, or `path` for exactly one"));
    }
    if !text.starts_with('/') {
        return Err(Refusal::new("a path begins with `/`").help(format!("write \"/{text}\"")));
    }
    match text
        .bytes()
        .find(|byte| matches!(byte, b'?' | b'#') || !byte.is_ascii_graphic())
    {
        None => Ok(text.to_owned()),
        Some(b'?' | b'#') => Err(Refusal::new("a path ends before `?` and `#`")),
        Some(b' ') => Err(Refusal::new("a path has no spaces in it")
            .help("write `%20`, as it stands in a request")),
        Some(_) => Err(Refusal::new("a path has only printable ASCII in it")
            .help("write other bytes as `%XX`, as they stand in a request")),
    }
}

/// Whether a path was meant as a regular expression or a shell's pattern. Parentheses, `+` and `$` may stand in a path.
fn is_pattern(text: &str) -> bool {
    text.starts_with(['^', '~'])
        || [".*", "/*", "*.", "[^", "(?:", "\\."]
            .iter()
            .any(|sign| text.contains(sign))
        || text.ends_with(['*', '$'])
}

/// A host, or `*.` and a host: any below it. Compared in lower case, without a port.
pub(in crate::config) fn host(text: &str) -> Result<HostPattern, Refusal> {
    let lower = text.to_ascii_lowercase();
    let (wildcard, name) = match lower.strip_prefix("*.") {
        Some(name) => (true, name),
        None => (false, lower.as_str()),
    };
    if name.starts_with('[') {
        return ipv6_host(name, wildcard);
    }
    let wrong = |message: &str, help: String| Err(Refusal::new(message).help(help));
    match name {
        "" => wrong(
            "a host has at least one character",
            "leave `host` out to mean any host".to_owned(),
        ),
        "*" => wrong(
            "any host is said by saying nothing",
            "leave `host` out".to_owned(),
        ),
        name if name.contains('*') => wrong(
            "a `*` stands only at the beginning, before a `.`",
            "write \"*.example.com\"".to_owned(),
        ),
        name if name.contains('/') => wrong(
            "a host has no path or scheme",
            "write the name alone, and the path as `path` or `path_prefix`".to_owned(),
        ),
        name if name.contains(':') => {
            let bare = text.split(':').next().unwrap_or("");
            wrong(
                "a host is compared without its port",
                format!("write \"{bare}\""),
            )
        }
        name if !name.is_ascii() => wrong(
            "a host is written in ASCII",
            "write the name's `xn--` form".to_owned(),
        ),
        name if name.len() > 253 => Err(Refusal::new("a host has at most 253 characters")),
        name if name.split('.').any(str::is_empty) => wrong(
            "a host has no empty part between dots",
            "write \"example.com\"".to_owned(),
        ),
        name => only(name, "a host", "letters, digits and `-` `_` `.`", |byte| {
            byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)
        })
        .map(if wildcard {
            HostPattern::Wildcard
        } else {
            HostPattern::Exact
        }),
    }
}

fn ipv6_host(name: &str, wildcard: bool) -> Result<HostPattern, Refusal> {
    let inner = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address = inner.and_then(|inner| inner.parse::<std::net::Ipv6Addr>().ok());
    match address {
        Some(_) if !wildcard => Ok(HostPattern::Exact(name.to_owned())),
        _ => Err(Refusal::new("not a host")
            .help("an IPv6 address is written \"[2001:db8::1]\", without port")),
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn filled(text: &str, what: &str) -> Result<(), Refusal> {
    match text.len() {
        0 => Err(Refusal::new(format!("{what} has at least one character"))),
        257.. => Err(Refusal::new(format!("{what} has at most 256 characters"))),
        _ => Ok(()),
    }
}

fn only(
    text: &str,
    what: &str,
    alphabet: &str,
    fits: impl Fn(u8) -> bool,
) -> Result<String, Refusal> {
    match text
        .chars()
        .find(|character| !u8::try_from(*character).is_ok_and(|byte| byte.is_ascii() && fits(byte)))
    {
        None => Ok(text.to_owned()),
        Some(odd) => {
            let odd = match odd {
                ' ' => "space".to_owned(),
                quote @ ('"' | '\'') => format!("`{quote}`"),
                other => format!("`{}`", other.escape_debug()),
            };
            let refusal = Refusal::new(format!("{what} has no {odd} in it"));
            Err(refusal.help(format!("it is made of {alphabet}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        for (text, pattern) in [
            (
                "Example.COM",
                Some(HostPattern::Exact("example.com".into())),
            ),
            ("localhost", Some(HostPattern::Exact("localhost".into()))),
            ("10.0.0.1", Some(HostPattern::Exact("10.0.0.1".into()))),
            ("[::1]", Some(HostPattern::Exact("[::1]".into()))),
            (
                "*.Example.com",
                Some(HostPattern::Wildcard("example.com".into())),
            ),
            ("", None),
            ("*", None),
            ("*.", None),
            ("a.*.com", None),
            ("example.com:80", None),
            ("[::1]:80", None),
            ("*.[::1]", None),
            ("http://example.com", None),
            ("example.com.", None),
            ("bücher.example", None),
            ("exam ple", None),
        ] {
            assert_eq!(host(text).ok(), pattern, "{text}");
        }
    }

    #[test]
    fn alphabets() {
        type Reader = fn(&str) -> Result<String, Refusal>;
        let cases: [(Reader, &[&str], &[&str]); 8] = [
            (
                name,
                &["a", "node-1", "http-in", "a.b:c_d"],
                &["", "a b", "a/b", "é", "a\n"],
            ),
            (
                field_name,
                &["X-Request-Id", "a!b"],
                &["", "a b", "a:", "ä"],
            ),
            (
                cookie_name,
                &["SERVERID", "__Host-x"],
                &["", "$x", "a=b", "a;b", "a b"],
            ),
            (
                cookie_key,
                &["bridge1", "a|b~c=", "!"],
                &["", "a b", "a;b", "a,b", "a\"", "a\\", "ä"],
            ),
            (
                domain,
                &["example.com", ".example.com"],
                &["", "a b", "a;b"],
            ),
            (
                attribute,
                &["Priority=High", "a b"],
                &["", "a;b", "a\rb", "ä"],
            ),
            (tag, &["ringbolt"], &["", "a b", "a[1]"]),
            (
                url_path,
                &["/", "/a/%20", "/~x"],
                &["", "a", "/a b", "/a?b", "/a#b", "/ä"],
            ),
        ];
        for (index, (read, good, bad)) in cases.into_iter().enumerate() {
            for text in good {
                assert_eq!(read(text), Ok((*text).to_owned()), "case {index}: {text}");
            }
            for text in bad {
                assert!(read(text).is_err(), "case {index}: {text}");
            }
        }
        assert!(name(&"a".repeat(65)).is_err());
    }
}
