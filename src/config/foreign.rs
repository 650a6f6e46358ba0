//! A file of another kind where ours is expected: YAML, JSON, nginx's or Caddy's. It ends in one problem that says what it is,
//! instead of one of the TOML reader's for every line.

use super::problem::{Problem, Severity};
use super::source::Source;

/// The one problem with such a file; `None` for any other text.
pub(super) fn foreign_file(text: &str) -> Option<Problem> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with('#') || bare.starts_with("//") {
            start += line.len();
            continue;
        }
        // The first line that says something decides: TOML's is a table or a key.
        let (kind, help) = kind(bare)?;
        let from = start + (line.len() - line.trim_start().len());
        let word = bare
            .find(|c: char| c.is_whitespace() || c == '=')
            .unwrap_or(bare.len());
        let mark = from..from + word;
        // What else stands there may be a secret.
        let rest = mark.end..start + line.trim_end().len();
        let shown = Source::new(text).show(&mark, std::slice::from_ref(&rest));
        return Some(Problem {
            severity: Severity::Error,
            message: format!("this is {kind}: Ringbolt reads TOML"),
            line: shown.line,
            column: shown.column,
            text: shown.text,
            mark: shown.mark,
            help: Some(help.to_owned()),
        });
    }
    None
}

/// What a file that begins with this line is, and what to do; `None` when it may be TOML.
fn kind(line: &str) -> Option<(&'static str, &'static str)> {
    const YAML: &str =
        "write tables and keys: `[process]`, then `workers = 2`; config.toml has every setting";
    const NGINX: &str = "write `[[listener]]` for `server` and `listen`, `[[route]]` for `location`, `[pool.NAME]` for `upstream`; config.toml has every setting";
    const CADDY: &str = "write `[[listener]]` and `[[route]]` for a site, `[pool.NAME]` for `reverse_proxy`; config.toml has every setting";
    let word = line.split(|c: char| c.is_whitespace()).next().unwrap_or("");
    if line.starts_with('{') {
        // Caddy's global options stand in a block without a name, which ends its line.
        return Some(match line {
            "{" => ("JSON or a Caddyfile", CADDY),
            _ => ("JSON", YAML),
        });
    }
    if line == "---" || line.starts_with("- ") {
        return Some(("YAML", YAML));
    }
    if line.contains('=') && !line.ends_with('{') && !line.ends_with(';') {
        return None;
    }
    if line.ends_with(';') {
        return Some(("a configuration of nginx", NGINX));
    }
    if line.ends_with('{') {
        let of_nginx = [
            "http", "server", "upstream", "events", "stream", "location", "map",
        ];
        return Some(match of_nginx.contains(&word) {
            true => ("a configuration of nginx", NGINX),
            false => ("a Caddyfile", CADDY),
        });
    }
    let key = word.strip_suffix(':').filter(|key| !key.is_empty())?;
    let is_key = key
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    is_key.then_some(("YAML", YAML))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_lines() {
        for (text, wanted) in [
            ("listeners:\n  - name: a\n", "this is YAML"),
            ("# mine\n\n---\na: b\n", "this is YAML"),
            ("process: { workers: 2 }\n", "this is YAML"),
            ("- a\n", "this is YAML"),
            ("{ \"process\": {} }\n", "this is JSON"),
            ("{\n  \"process\": {}\n}\n", "this is JSON or a Caddyfile"),
            ("{\n  email x\n}\n", "this is JSON or a Caddyfile"),
            (
                "example.com {\n  reverse_proxy a:1\n}\n",
                "this is a Caddyfile",
            ),
            (":80 {\n", "this is a Caddyfile"),
            ("worker_processes 2;\n", "this is a configuration of nginx"),
            ("upstream app {\n", "this is a configuration of nginx"),
            ("http {\n", "this is a configuration of nginx"),
        ] {
            let problem = foreign_file(text);
            let message = problem.map(|problem| problem.message).unwrap_or_default();
            assert_eq!(message, format!("{wanted}: Ringbolt reads TOML"), "{text}");
        }
        for toml in [
            "",
            "# only a comment\n",
            "[process]\n",
            "[[listener]]\n",
            "listener = [\n",
            "a.b = 1\n",
            "\"quoted\" = { a = 1 }\n",
            "x\n",
            "proces = \"a:b\"\n",
        ] {
            assert!(foreign_file(toml).is_none(), "{toml}");
        }
    }
}
