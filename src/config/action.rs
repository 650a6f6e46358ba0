//! What a route leads to: a pool, a redirect, or an answer that stands in the file.

use super::item::Item;
use super::names::Names;
use super::page::{self, Page};
use super::reader::Note;
use super::section::{Section, setting};
use super::table::Table;
use super::values::Refusal;

pub(super) const REDIRECT: Section = Section::new(
    "route.redirect",
    &[
        setting(
            "to",
            "",
            "where to: `{host}`, `{path}` and `{query}` stand for the request's; must be given",
        ),
        setting("code", "302", "301, 302, 303, 307 or 308"),
    ],
);

pub(super) const ANSWER: Section = Section::new(
    "route.answer",
    &[
        setting("status", "200", "200 to 599"),
        setting("body", "", "the body, in one line; or `file`"),
        setting(
            "file",
            "",
            "a file of at most 64 KiB that holds the body, read at the start and at each reload",
        ),
        setting(
            "type",
            "",
            "its Content-Type; left out: by the file's ending, otherwise text/plain",
        ),
    ],
);

/// What becomes of a route's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `pool`: they go to one of its servers; an index into [`Config::pools`](super::Config::pools).
    Pool(usize),
    /// `redirect`: they are sent elsewhere.
    Redirect(Redirect),
    /// `answer`: they get this.
    Answer(Answer),
}

/// `redirect = "https://{host}{path}{query}"` or `redirect = { to, code }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// `code`: 301, 302 (default), 303, 307 or 308.
    pub code: u16,
    /// `to`: what `Location` is made of.
    pub to: Vec<Piece>,
}

/// A piece of a redirect's `Location`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it stands in the file.
    Text(String),
    /// `{host}`: the request's, without port.
    Host,
    /// `{path}`: the request's.
    Path,
    /// `{query}`: the request's with its `?`; empty when there is none.
    Query,
}

/// `answer = { status, body, file, type }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// `status`: 200 to 599 (default 200).
    pub status: u16,
    /// Its body.
    pub page: Page,
}

/// `None` when it is wrong or missing.
pub(super) fn action(table: &Table<'_>, pools: &Names) -> Option<Action> {
    let given: Vec<_> = ["pool", "redirect", "answer"]
        .into_iter()
        .filter(|name| table.has(name))
        .collect();
    if let [first, second, ..] = given[..] {
        let message = format!("a route has `{first}` or `{second}`, not both");
        table
            .reader
            .report(Note::error(&table.span_of(second), message));
        return None;
    }
    match given[..] {
        ["redirect"] => table.optional("redirect", redirect).map(Action::Redirect),
        ["answer"] => table.optional("answer", answer).map(Action::Answer),
        ["pool"] => table
            .optional("pool", |item| pools.find(item))
            .map(Action::Pool),
        _ if table.has_a_foreign_key() => None,
        _ => {
            let note = Note::error(&table.span, format!("`{}` has no `pool`", table.path));
            table.reader.report(
                note.help("write `pool`, `redirect` or `answer`: what becomes of its requests")
                    .absent(),
            );
            None
        }
    }
}

/// Text, or a table that sets the code as well.
fn redirect(item: &Item<'_>) -> Option<Redirect> {
    if item.is_word() {
        let to = item.parse(location)?;
        return Some(Redirect { code: 302, to });
    }
    if !item.is_table() {
        item.wrong_type("text such as \"https://{host}{path}{query}\", or a table { to, code }");
        return None;
    }
    let table = item.table(&REDIRECT)?;
    let code = table.setting("code", code);
    let to = table.required("to", |item| item.parse(location))?;
    Some(Redirect { code, to })
}

fn code(item: &Item<'_>) -> Option<u16> {
    let code = item.number(300..=399)? as u16;
    if !matches!(code, 301 | 302 | 303 | 307 | 308) {
        item.refuse(Refusal::new("must be 301, 302, 303, 307 or 308"));
        return None;
    }
    Some(code)
}

/// A redirect's target. Whatever a client puts into its request, the host that it is sent to is the one that is written
/// here, or the one that it has asked: that is what the rules for the placeholders are about.
fn location(text: &str) -> Result<Vec<Piece>, Refusal> {
    if text.len() > LONGEST_TARGET {
        return Err(Refusal::new(format!(
            "a redirect's target has at most {LONGEST_TARGET} bytes"
        )));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Refusal::new(
            "a redirect's target has only printable ASCII and no spaces in it",
        )
        .help("write other bytes as `%XX`"));
    }
    let rest = match text.split_once("://") {
        Some(("http" | "https", rest)) => Some(rest),
        _ => None,
    };
    let local = rest.is_none() && text.starts_with('/');
    if rest.is_none() && !local {
        return Err(Refusal::new("not a redirect's target").help(
            "write \"https://example.com/path\", \"https://{host}{path}{query}\" or \"/path\"",
        ));
    }
    let pieces = pieces(text)?;
    authority(text, rest)?;
    query(&pieces)?;
    Ok(pieces)
}

/// Splits a target at its placeholders.
fn pieces(text: &str) -> Result<Vec<Piece>, Refusal> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some((before, after)) = rest.split_once('{') {
        let (name, behind) = after.split_once('}').unwrap_or((after, ""));
        let piece = match name {
            "host" => Piece::Host,
            "path" => Piece::Path,
            "query" => Piece::Query,
            _ => {
                return Err(Refusal::new("has a `{` that begins no placeholder")
                    .help("there are `{host}`, `{path}` and `{query}`"));
            }
        };
        if !before.is_empty() {
            pieces.push(Piece::Text(before.to_owned()));
        }
        pieces.push(piece);
        rest = behind;
    }
    if rest.contains('}') {
        return Err(Refusal::new("has a `}` that ends no placeholder"));
    }
    if !rest.is_empty() {
        pieces.push(Piece::Text(rest.to_owned()));
    }
    Ok(pieces)
}

/// What may stand where the host stands. `//` and `/\` at the beginning would make the next part a host.
fn authority(text: &str, rest: Option<&str>) -> Result<(), Refusal> {
    let Some(rest) = rest else {
        if text.contains("{host}") {
            return Err(Refusal::new(
                "`{host}` stands behind `http://` or `https://` only",
            ));
        }
        let second = text[1..].chars().next();
        return match second {
            Some('/' | '\\') => Err(
                Refusal::new("a target that begins with `//` is another host")
                    .help("write \"https://…\" for another host"),
            ),
            Some('{') if text[1..].starts_with("{path}") => Err(Refusal::new(
                "a path behind `/` would begin with `//`, which is another host",
            )),
            _ => Ok(()),
        };
    };
    let behind = match rest.strip_prefix("{host}") {
        Some(behind) => behind,
        None => {
            let end = rest.find(['/', '?', '#', '{']).unwrap_or(rest.len());
            let host = &rest[..end];
            if host.is_empty() || host.contains(['@', '\\']) {
                return Err(Refusal::new("has no host behind `://`")
                    .help("write a name, an address or `{host}`"));
            }
            if rest[end..].starts_with("{host}") {
                return Err(Refusal::new(
                    "`{host}` stands right behind `://`, with nothing before it",
                )
                .help("a host made of two could be anybody's"));
            }
            &rest[end..]
        }
    };
    if behind.contains("{host}") {
        return Err(Refusal::new("`{host}` stands right behind `://` only"));
    }
    let port = behind.strip_prefix(':').map(|port| {
        let digits = port.len() - port.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        (digits, &port[digits..])
    });
    let after = match port {
        Some((1..=5, after)) => after,
        Some(_) => return Err(Refusal::new("has no port behind `:`")),
        None => behind,
    };
    match after.chars().next() {
        None | Some('/' | '?' | '#') => Ok(()),
        Some(_) if after.starts_with("{path}") || after.starts_with("{query}") => Ok(()),
        Some(_) => Err(Refusal::new("only a port or a path stands behind the host")),
    }
}

/// A query begins with `?`, so it follows a path, and is the last.
fn query(pieces: &[Piece]) -> Result<(), Refusal> {
    let Some(at) = pieces.iter().position(|piece| *piece == Piece::Query) else {
        return Ok(());
    };
    let asks = |piece: &Piece| matches!(piece, Piece::Text(text) if text.contains(['?', '#']));
    if at + 1 < pieces.len() {
        return Err(Refusal::new("`{query}` is the last thing in a target"));
    }
    if pieces.iter().any(asks) {
        return Err(
            Refusal::new("`{query}` brings its own `?`, and there is one already")
                .help("leave one of the two out"),
        );
    }
    Ok(())
}

fn answer(item: &Item<'_>) -> Option<Answer> {
    let table = item.table(&ANSWER)?;
    let status = table.setting("status", |item| item.number(200..=599)) as u16;
    let page = page::page(&table, page::PLAIN)?;
    if matches!(status, 204 | 205 | 304) && !page.content.is_empty() {
        let message = format!("an answer with status {status} has no body");
        table
            .reader
            .report(Note::error(&table.span_of("status"), message));
        return None;
    }
    Some(Answer { status, page })
}

/// Longer ones are no target that a browser's address line would take.
const LONGEST_TARGET: usize = 2_048;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for text in [
            "https://example.com",
            "https://example.com/",
            "https://example.com:8443/a?b=c#d",
            "https://{host}{path}{query}",
            "https://{host}:8443{path}{query}",
            "http://{host}/maintenance",
            "https://example.com{path}",
            "https://example.com{query}",
            "https://[2001:db8::1]/",
            "/",
            "/new",
            "/new{path}{query}",
            "/new{query}",
            "/{query}",
        ] {
            assert!(location(text).is_ok(), "{text}: {:?}", location(text));
        }
        for text in [
            "",
            "example.com",
            "ftp://example.com",
            "javascript:alert(1)",
            "//evil.example",
            "/\\evil.example",
            "/{path}",
            "{path}",
            "{host}",
            "/{host}",
            "https://",
            "https:///a",
            "https://{path}",
            "https://a@b",
            "https://{host}@evil",
            "https://{host}.evil.example/",
            "https://evil.{host}/",
            "https://{host}{host}/",
            "https://{host}:x/",
            "https://{host}:/",
            "https://a/{host}",
            "https://a/{user}",
            "https://a/{",
            "https://a/}",
            "https://a/ b",
            "https://a/\r\nSet-Cookie: x",
            "https://a/ä",
            "https://a{query}{path}",
            "https://a/?x=1{query}",
        ] {
            assert!(location(text).is_err(), "{text}");
        }
        assert!(location(&format!("/{}", "a".repeat(LONGEST_TARGET))).is_err());
        assert_eq!(
            location("https://{host}/x{query}"),
            Ok(vec![
                Piece::Text("https://".into()),
                Piece::Host,
                Piece::Text("/x".into()),
                Piece::Query
            ])
        );
    }
}
