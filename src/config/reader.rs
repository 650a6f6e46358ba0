//! What all readers of one file share: its text, the environment, and the problems found so far.
//!
//! Reading goes over three types. A [`Table`](super::table::Table) knows which settings it may have and reports the keys that it has
//! not. An [`Item`](super::item::Item) is one value; its methods turn it into a Rust value, or report why not and return `None`. The
//! [`Reader`] collects what they report. Nothing stops at the first problem: a wrong value is replaced by its default, so that all
//! others are found in the same run.

use std::cell::{Cell, RefCell};
use std::fmt::Display;
use std::ops::Range;

use super::environment::Environment;
use super::problem::Severity;
use super::source::Source;

/// A stretch of the file, in bytes.
pub(super) type Span = Range<usize>;

/// What all tables and items of one file share.
pub(super) struct Reader<'a> {
    pub(super) source: &'a Source<'a>,
    pub(super) environment: &'a dyn Environment,
    notes: RefCell<Vec<Note>>,
    /// Bytes of pages so far.
    pages: Cell<usize>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(source: &'a Source<'a>, environment: &'a dyn Environment) -> Self {
        Self {
            source,
            environment,
            notes: RefCell::default(),
            pages: Cell::new(0),
        }
    }

    /// Counts a page of so many bytes; false when all of them have become too much. They travel to the serving process in one
    /// message, and stay in its memory.
    pub(super) fn may_hold(&self, bytes: usize) -> bool {
        self.pages.set(self.pages.get() + bytes);
        self.pages.get() <= PAGES
    }

    pub(super) fn report(&self, note: Note) {
        self.notes.borrow_mut().push(note);
    }

    pub(super) fn into_notes(self) -> Vec<Note> {
        self.notes.into_inner()
    }

    /// Says that a thing which may be there once is there again.
    pub(super) fn twice(&self, what: impl Display, first: &Span, second: &Span) {
        let line = self.source.line(first.start);
        self.report(
            Note::error(second, what.to_string())
                .help(format!("the first one stands in line {line}")),
        );
    }
}

/// Bytes of all pages of one file.
pub(super) const PAGES: usize = 2 << 20;

/// A problem that has not been given its line yet.
pub(super) struct Note {
    pub(super) severity: Severity,
    pub(super) span: Span,
    pub(super) message: String,
    pub(super) help: Option<String>,
    pub(super) cause: Cause,
}

/// Where a problem comes from; decides which are consequences of others and stay unsaid.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The file is not TOML there.
    Syntax,
    /// Something that stands there is wrong.
    Present,
    /// Something is missing: no news while syntax errors may have swallowed it.
    Absent,
    /// A table has a name that another proxy has for it.
    Misnamed,
    /// Nothing leads there: no news while there is any error, which may be why.
    Unreached,
}

impl Note {
    pub(super) fn error(span: &Span, message: impl Into<String>) -> Self {
        let (severity, cause) = (Severity::Error, Cause::Present);
        Self {
            severity,
            span: span.clone(),
            message: message.into(),
            help: None,
            cause,
        }
    }

    pub(super) fn warning(span: &Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(span, message)
        }
    }

    pub(super) fn help(self, help: impl Into<String>) -> Self {
        Self {
            help: Some(help.into()),
            ..self
        }
    }

    pub(super) fn maybe_help(self, help: Option<String>) -> Self {
        Self { help, ..self }
    }

    pub(super) fn absent(self) -> Self {
        Self {
            cause: Cause::Absent,
            ..self
        }
    }

    pub(super) fn misnamed(self) -> Self {
        Self {
            cause: Cause::Misnamed,
            ..self
        }
    }

    pub(super) fn unreached(self) -> Self {
        Self {
            cause: Cause::Unreached,
            ..self
        }
    }

    pub(super) fn syntax(self) -> Self {
        Self {
            cause: Cause::Syntax,
            ..self
        }
    }
}

/// Foreign text for a message: escaped, and not longer than a name is.
pub(super) fn shorten(text: &str) -> String {
    let escape = |character: char| -> String {
        match character {
            '"' | '\'' => character.into(),
            other => other.escape_debug().collect(),
        }
    };
    let short: String = text.chars().take(64).map(escape).collect();
    if text.chars().count() > 64 {
        return format!("{short}…");
    }
    short
}
