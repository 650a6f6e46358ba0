//! `error_pages`: what clients see instead of our own words when a request is refused or no server answers it.

use super::item::Item;
use super::page::{self, Page};
use super::reader::Note;
use super::section::{Section, setting};

/// The keys are statuses.
const PAGES: Section = Section {
    free_keys: true,
    ..Section::new("error_pages", &[])
};

pub(super) const PAGE: Section = Section::new(
    "error_pages.STATUS",
    &[
        setting("body", "", "the page, in one line; or `file`"),
        setting(
            "file",
            "",
            "a file of at most 64 KiB that holds the page, read at the start and at each reload",
        ),
        setting(
            "type",
            "",
            "its Content-Type; left out: by the file's ending, otherwise text/html",
        ),
    ],
);

/// The statuses that are answered here, by the proxy and no server.
pub const ERROR_STATUSES: [u16; 14] = [
    400, 403, 408, 413, 414, 426, 429, 431, 500, 501, 502, 503, 504, 505,
];

pub(super) fn error_pages(item: &Item<'_>) -> Option<Vec<(u16, Page)>> {
    let mut pages = Vec::new();
    for (status, span, item) in item.table(&PAGES)?.entries() {
        let number = status.parse().ok();
        match number.filter(|number| ERROR_STATUSES.contains(number)) {
            Some(number) => pages.extend(error_page(&item).map(|page| (number, page))),
            None => {
                let status = super::reader::shorten(status);
                let message = format!("`{status}` is no status that is answered here");
                let listed: Vec<_> = ERROR_STATUSES.iter().map(u16::to_string).collect();
                let note = Note::error(&span, message);
                item.reader
                    .report(note.help(format!("there are {}", listed.join(", "))));
            }
        }
    }
    Some(pages)
}

/// The page itself, `"file:/path"`, or a table that sets the type as well.
fn error_page(item: &Item<'_>) -> Option<Page> {
    if !item.is_word() {
        if !item.is_table() {
            item.wrong_type("text, \"file:/path\" or a table { body, file, type }");
            return None;
        }
        return page::page(&item.table(&PAGE)?, page::HTML);
    }
    let text = item.text()?;
    match text.strip_prefix("file:") {
        Some(path) => Some(Page {
            content: page::held(item, path)?,
            kind: page::kind_of(path, page::HTML).to_owned(),
        }),
        None => Some(Page {
            content: text.as_bytes().into(),
            kind: page::HTML.to_owned(),
        }),
    }
}
