//! Bodies of answers that are given here: a text of the file, or a file of its own, which the launcher reads.

use std::sync::Arc;

use super::item::Item;
use super::reader::Note;
use super::table::Table;
use super::values::Refusal;

/// A body and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// `body`, or what `file` holds: at most 64 KiB.
    pub content: Arc<[u8]>,
    /// `type`: its `Content-Type`.
    pub kind: String,
}

/// What a text is when nothing is said.
pub(super) const PLAIN: &str = "text/plain; charset=utf-8";

/// Reads `body`, `file` and `type`; `otherwise` is the type of what says none.
pub(super) fn page(table: &Table<'_>, otherwise: &str) -> Option<Page> {
    if table.has("body") && table.has("file") {
        let message = format!("`{}` has `body` or `file`, not both", table.path);
        table
            .reader
            .report(Note::error(&table.span_of("file"), message));
        return None;
    }
    let by_name = table.optional("file", |item| {
        item.text().map(|path| kind_of(path, otherwise))
    });
    let kind = match table.optional("type", |item| Some(item.parse(content_type))) {
        Some(kind) => kind?,
        None => by_name.unwrap_or(otherwise).to_owned(),
    };
    let content = if table.has("file") {
        table.optional("file", |item| item.text().and_then(|path| held(item, path)))?
    } else {
        let body = table.optional("body", |item| {
            Some(item.text().map(|text| text.as_bytes().into()))
        });
        body.unwrap_or_else(|| Some(Arc::default()))?
    };
    Some(Page { content, kind })
}

/// What a file holds, as the launcher found it.
pub(super) fn held(item: &Item<'_>, path: &str) -> Option<Arc<[u8]>> {
    if !path.starts_with('/') {
        item.refuse(Refusal::new("a file's path begins with `/`"));
        return None;
    }
    match item.reader.environment.secret_file(path.as_ref()) {
        Ok(held) if item.reader.may_hold(held.len()) => Some(held.into()),
        Ok(_) => {
            item.error("the pages of this file have more than 2 MiB in all");
            None
        }
        Err(why) => {
            item.error(format!("`{}`: cannot read {path}: {why}", item.name));
            None
        }
    }
}

/// By the file's ending.
pub(super) fn kind_of<'a>(path: &str, otherwise: &'a str) -> &'a str {
    let ending = path.rsplit(['.', '/']).next().unwrap_or("");
    match ending {
        "html" | "htm" => HTML,
        "json" => "application/json",
        "txt" => PLAIN,
        "xml" => "application/xml",
        "svg" => "image/svg+xml",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "png" => "image/png",
        "ico" => "image/x-icon",
        _ => otherwise,
    }
}

/// A page for people.
pub(super) const HTML: &str = "text/html; charset=utf-8";

/// A media type with its parameters (RFC 9110 section 8.3), as it stands in the field.
fn content_type(text: &str) -> Result<String, Refusal> {
    let printable = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    let plain = text.split_once('/').is_some_and(|(one, two)| {
        !one.is_empty() && !two.is_empty() && text.trim() == text && text.len() <= 256
    });
    if printable && plain {
        return Ok(text.to_owned());
    }
    Err(Refusal::new("not a media type").help("write \"text/html; charset=utf-8\""))
}
