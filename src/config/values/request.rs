//! Parts of a request that we write ourselves: its target, its method, values of its fields.

use super::Refusal;

/// What a request asks for in origin form (RFC 9112 section 3.2.1): a path, and a query if there is one.
pub(in crate::config) fn target(text: &str) -> Result<String, Refusal> {
    if !text.starts_with('/') {
        let help = format!("write \"/{text}\"");
        return Err(Refusal::new("a path begins with `/`").help(help));
    }
    if text.len() > LONGEST {
        return Err(Refusal::new(format!("has at most {LONGEST} bytes")));
    }
    match text
        .bytes()
        .find(|byte| !byte.is_ascii_graphic() || b"#\"<>\\^`{|}".contains(byte))
    {
        None => Ok(text.to_owned()),
        Some(b'#') => Err(Refusal::new("what follows a `#` is never sent")),
        Some(_) => Err(Refusal::new("has a byte in it that no path has")
            .help("write it as `%XX`, as it stands in a request")),
    }
}

/// A method (RFC 9110 section 9.1), in capitals as all that servers know are.
pub(in crate::config) fn method(text: &str) -> Result<String, Refusal> {
    let upper = text.to_ascii_uppercase();
    match text {
        "CONNECT" => Err(Refusal::new("a check makes no tunnel")),
        _ if text.is_empty() || text.len() > 32 || !text.bytes().all(is_method_byte) => {
            Err(Refusal::new("not a method").help("write \"GET\", \"HEAD\" or another method"))
        }
        _ if text != upper => {
            Err(Refusal::new("a method is written in capitals").help(format!("write \"{upper}\"")))
        }
        _ => Ok(upper),
    }
}

/// The value of a field: printable ASCII, and no spaces around it (RFC 9110 section 5.5).
pub(in crate::config) fn field_value(text: &str) -> Result<String, Refusal> {
    let printable = |byte: u8| (b' '..=b'~').contains(&byte);
    if text.is_empty() || text.len() > LONGEST {
        return Err(Refusal::new(format!("has 1 to {LONGEST} bytes")));
    }
    if !text.bytes().all(printable) || text.trim() != text {
        return Err(Refusal::new(
            "a field's value is printable ASCII without spaces around it",
        ));
    }
    Ok(text.to_owned())
}

fn is_method_byte(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || b"-_".contains(&byte)
}

/// Bytes of a target or a value.
const LONGEST: usize = 2048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_methods_and_values() {
        for (text, good) in [
            ("/", true),
            ("/health?full=1&x=%20", true),
            ("/socket.io/?EIO=4&transport=websocket", true),
            ("health", false),
            ("/a b", false),
            ("/a#b", false),
            ("/ä", false),
            ("", false),
        ] {
            assert_eq!(target(text).is_ok(), good, "{text}");
        }
        for (text, good) in [
            ("GET", true),
            ("OPTIONS", true),
            ("M-SEARCH", true),
            ("get", false),
            ("CONNECT", false),
            ("G ET", false),
            ("", false),
        ] {
            assert_eq!(method(text).is_ok(), good, "{text}");
        }
        for (text, good) in [
            ("Bearer a.b", true),
            (" a", false),
            ("a\r\nb", false),
            ("", false),
        ] {
            assert_eq!(field_value(text).is_ok(), good, "{text}");
        }
    }
}
