//! The configuration file, read from disk and checked: for `run`, for a reload, for `check`.

use super::auth;
use super::environment::{self, Answers, Machine};
use crate::config::{self, Config, Problems};
use std::fmt;
use std::io::Read as _;
use std::path::Path;

/// A configuration that was found good, and all that is needed to find it good again elsewhere.
#[derive(Debug)]
pub struct Loaded {
    /// The settings.
    pub config: Config,
    /// What the operator should know all the same.
    pub warnings: Problems,
    pub(super) text: String,
    pub(super) answers: Answers,
}

/// Why a configuration cannot be used. Displayed it is everything there is to say, with a newline at
/// the end.
#[derive(Debug)]
pub enum Refused {
    /// The file cannot be read, or holds what only this program can judge; one line.
    File(String),
    /// Problems of its text.
    Text(Problems),
}

/// Reads and checks the file.
///
/// # Errors
/// All of its problems at once.
pub fn read(path: &Path) -> Result<Loaded, Refused> {
    let file = path.display();
    let mut bytes = Vec::new();
    let read = environment::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
    read.map_err(|error| {
        let advice = match error.kind() {
            std::io::ErrorKind::NotFound => ": name another file, as in `ringbolt run FILE`",
            _ => "",
        };
        Refused::File(format!("cannot read {file}: {error}{advice}"))
    })?;
    let machine = Machine::new();
    let checked = config::check(path, &bytes, &machine);
    let Some(config) = checked.config else {
        return Err(Refused::Text(checked.problems));
    };
    if let Some(why) = config.stats.as_ref().and_then(auth::problem) {
        return Err(Refused::File(format!("{file}: {why}")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| Refused::File(format!("cannot read {file}: {error}")))?;
    let (warnings, answers) = (checked.problems, machine.answers());
    Ok(Loaded {
        config,
        warnings,
        text,
        answers,
    })
}

impl Refused {
    /// The same in one line of log: what and where, without the quoted lines.
    pub(super) fn one_line(&self) -> String {
        match self {
            Self::File(why) => why.clone(),
            Self::Text(problems) => {
                let lines: Vec<_> = problems
                    .problems
                    .iter()
                    .filter(|problem| problem.severity == config::Severity::Error)
                    .map(|problem| {
                        let (file, line, column) = (&problems.file, problem.line, problem.column);
                        format!("{file}:{line}:{column}: {}", problem.message)
                    })
                    .collect();
                lines.join("; ")
            }
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(why) => writeln!(f, "ringbolt: {why}"),
            Self::Text(problems) => problems.fmt(f),
        }
    }
}
