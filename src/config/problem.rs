//! What is wrong with a configuration file, as people and as programs read it.
//!
//! A [`Problem`] carries all that is needed to show it, so that the file need not be at hand: the
//! place, the message, the line (secrets already replaced) and where the caret goes. [`Problems`]
//! prints them in the order of the file, in the style that compilers have taught everybody, and
//! `serde` turns them into JSON for `check --json`.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// All problems of one file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Problems {
    /// The file, as the caller named it.
    pub file: String,
    /// Errors and warnings.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether the file can be used all the same.
    pub severity: Severity,
    /// Lower case, no full stop, names the thing and the value.
    pub message: String,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// The line as it is shown: secrets replaced by `***`, tabs by spaces, cut when it is very long.
    pub text: String,
    /// Which characters of `text` are meant.
    pub mark: Range<usize>,
    /// What to do about it.
    pub help: Option<String>,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file is not used.
    Error,
    /// The file is used; the operator should know.
    Warning,
}

impl Problems {
    /// How many errors there are.
    pub fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    /// How many warnings there are.
    pub fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    /// Whether there is neither error nor warning.
    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// One JSON object: `{"file": …, "problems": [{"severity": …, "message": …, "line": …, …}]}`.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("strings and numbers always have a JSON form")
    }

    fn count(&self, severity: Severity) -> usize {
        self.problems
            .iter()
            .filter(|problem| problem.severity == severity)
            .count()
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            problem.show(&self.file, f)?;
            f.write_str("\n")?;
        }
        let errors = counted(self.errors(), "error");
        match self.warnings() {
            0 => writeln!(f, "{}: {errors}", self.file),
            warnings => writeln!(
                f,
                "{}: {errors}, {}",
                self.file,
                counted(warnings, "warning")
            ),
        }
    }
}

impl Problem {
    /// Five or six lines: what, where, the line, the caret, the help.
    fn show(&self, file: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, gutter) = (self.line, self.line.to_string().len());
        let before = self.mark.start;
        let carets = "^".repeat(self.mark.len().max(1));
        writeln!(f, "{}: {}", self.severity, self.message)?;
        writeln!(f, "{:gutter$}--> {file}:{number}:{}", "", self.column)?;
        writeln!(f, "{:gutter$} |", "")?;
        writeln!(f, "{}", format!("{number} | {}", self.text).trim_end())?;
        writeln!(f, "{:gutter$} | {:before$}{carets}", "", "")?;
        match &self.help {
            Some(help) => writeln!(f, "{:gutter$} = help: {help}", ""),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}
