//! What is said to somebody who comes from HAProxy: a haproxy.cfg where our file is expected, and HAProxy's words in it.
//!
//! Nothing of HAProxy's is read here. A file of its kind ends in one problem instead of one for every line, because the TOML
//! reader's words about it help nobody; and a key or value that HAProxy has gets the name that the same thing has in our file,
//! or the news that there is no such thing yet.

use super::problem::{Problem, Severity};
use super::source::Source;

/// The one problem with a haproxy.cfg; `None` for any other text.
///
/// It is one when a line begins one of HAProxy's sections, which no TOML does outside of text in several lines, and when no line
/// begins with the bracket of a TOML table.
pub(super) fn file_of_haproxy(text: &str) -> Option<Problem> {
    let mut start = 0;
    let mut section = None;
    for line in text.split_inclusive('\n') {
        if line.starts_with('[') {
            return None;
        }
        if section.is_none() && begins_section(line) {
            section = Some((start, line));
        }
        start += line.len();
    }
    let (start, line) = section?;
    let word = line.find(char::is_whitespace).unwrap_or(line.len());
    let mark = start..start + word;
    // What stands behind a `#` may be anything.
    let comment = line.find('#').unwrap_or(line.len());
    let hidden = start + comment..start + line.trim_end().len();
    let shown = Source::new(text).show(&mark, &[hidden]);
    Some(Problem {
        severity: Severity::Error,
        message: "this is a haproxy.cfg: Ringbolt reads TOML".to_owned(),
        line: shown.line,
        column: shown.column,
        text: shown.text,
        mark: shown.mark,
        help: Some(
            "the README shows line by line how to say the same: \"From haproxy.cfg in five minutes\""
                .to_owned(),
        ),
    })
}

/// What to write for a word, or words, behind HAProxy's `balance`.
pub(super) fn balance_of_haproxy(text: &str) -> Option<String> {
    let word = text
        .split(|c: char| c == '(' || c.is_whitespace())
        .next()
        .unwrap_or("");
    let argument = text[word.len()..]
        .trim_matches(|c: char| c == '(' || c == ')' || c.is_whitespace())
        .split_whitespace()
        .next()
        .filter(|name| name.bytes().all(|b| b.is_ascii_graphic() && b != b'"'))
        .unwrap_or("NAME");
    let words = match word {
        "roundrobin" | "static-rr" => "balance = \"round-robin\"".to_owned(),
        "leastconn" => "balance = \"least-connections\"".to_owned(),
        "random" => "balance = \"two-choices\"".to_owned(),
        "source" => "balance = { hash = \"source\" }".to_owned(),
        "uri" | "path" => "balance = { hash = \"path\" }".to_owned(),
        "url_param" => format!("balance = {{ hash = {{ query = \"{argument}\" }} }}"),
        "hdr" => format!("balance = {{ hash = {{ header = \"{argument}\" }} }}"),
        "cookie" | "req.cook" | "rdp-cookie" => {
            format!("balance = {{ hash = {{ cookie = \"{argument}\" }} }}")
        }
        _ => return None,
    };
    Some(format!("write `{words}`"))
}

/// What to write for a key that HAProxy has as a keyword.
pub(super) fn key_of_haproxy(name: &str) -> Option<&'static str> {
    Some(match name {
        "backup" => "write `tier = 1`: it takes new clients while no server of tier 0 does",
        "maxconn" => {
            "write `max_connections = 100`: on a server, or in [process] for all clients together"
        }
        "maxqueue" => "write `max_queue = 100`; at 0 nobody waits",
        "slowstart" => "write `slow_start = \"30s\"`",
        "hash-balance-factor" | "hash_balance_factor" => {
            "write `balance = { hash = \"source\", bound = 1.25 }`"
        }
        "on-marked-down" | "on_marked_down" => "write `on_down = \"close\"` in its pool",
        "inter" => "write `interval`, in the table `check`",
        "fastinter" => "write `interval_changing`, in the table `check`",
        "downinter" => "write `interval_down`, in the table `check`",
        "spread-checks" | "spread_checks" => "write `jitter = 0.1`, in the table `check`",
        "httpchk" | "option httpchk" | "http-check" => {
            "write `check = { type = \"http\", path = \"/health\" }`"
        }
        "disable-on-404" | "disable_on_404" => {
            "write `soft_drain_on_404 = true`, in the table `check`"
        }
        "agent-check" | "agent-port" | "agent-addr" | "agent-inter" | "agent-send" => {
            "write `agent = { address = \"127.0.0.1:9999\" }`"
        }
        _ => return None,
    })
}

/// HAProxy's one word behind `on-marked-down`.
pub(super) const ON_DOWN_OF_HAPROXY: &str = "shutdown-sessions";

/// `global`, `defaults`, `frontend NAME`, … at the very start of a line.
fn begins_section(line: &str) -> bool {
    let bare = line.split('#').next().unwrap_or("");
    let mut words = bare.split_whitespace();
    let named = |name: Option<&str>| {
        name.is_some_and(|name| {
            name.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
        })
    };
    !line.starts_with(char::is_whitespace)
        && match words.next() {
            Some("global" | "defaults") => words.next().is_none(),
            Some("frontend" | "backend" | "listen") => named(words.next()),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_recognised() {
        for (line, begins) in [
            ("global", true),
            ("global\r\n", true),
            ("defaults # all", true),
            ("frontend http-in\n", true),
            ("frontend http-in *:80\n", true),
            ("backend app.1", true),
            ("listen stats", true),
            ("global = 1", false),
            ("# global", false),
            (" global", false),
            ("frontend", false),
            ("frontend = \"a\"", false),
            ("[backend]", false),
            ("", false),
        ] {
            assert_eq!(begins_section(line), begins, "{line}");
        }
    }

    #[test]
    fn a_file_of_tables_is_not_haproxys() {
        assert!(file_of_haproxy("global\n[process]\n").is_none());
        assert!(file_of_haproxy("[process]\nglobal\n").is_none());
        assert!(file_of_haproxy("# mine\nglobal\n  daemon\n").is_some());
    }
}
