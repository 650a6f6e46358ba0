//! The configuration file, read from disk and checked: for `run`, for a reload, for `check`.

use super::auth;
use super::environment::{self, Answers, Machine};
use super::identity;
use crate::config::{self, Address, Bind, Config, LogTarget, Problems};
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
    let mut bytes = Vec::new();
    let read = environment::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
    read.map_err(|error| {
        let file = path.display();
        let advice = match error.kind() {
            std::io::ErrorKind::NotFound => ": name another file, as in `ringbolt run FILE`",
            _ => "",
        };
        Refused::File(format!("cannot read {file}: {error}{advice}"))
    })?;
    checked(path, bytes)
}

/// Reads and checks what standard input has, up to 16 MiB of it.
///
/// # Errors
/// All of its problems at once.
pub fn read_standard_input() -> Result<Loaded, Refused> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().take(INPUT_MAX + 1).read_to_end(&mut bytes);
    let why = match read {
        Ok(count) if count as u64 <= INPUT_MAX => {
            return checked(Path::new("standard input"), bytes);
        }
        Ok(_) => "it has more than 16 MiB".to_owned(),
        Err(error) => error.to_string(),
    };
    Err(Refused::File(format!("cannot read standard input: {why}")))
}

/// What a start on this machine would miss, a line each: users, groups and folders that are not there.
pub fn missing(config: &Config) -> Vec<String> {
    let mut missing = identity::unknown(&config.process);
    let mut folder = |what: &str, path: &Path| {
        let folder = path.parent().filter(|folder| !folder.is_dir());
        if let Some(folder) = folder {
            let (path, folder) = (path.display(), folder.display());
            missing.push(format!(
                "{what} {path}: there is no folder {folder}: create it"
            ));
        }
    };
    for log in &config.logs {
        if let LogTarget::File(path) = &log.target {
            folder("log file", path);
        }
    }
    for bind in config.listeners.iter().flat_map(|listener| &listener.bind) {
        if let Bind::Address(Address::Unix(path)) = bind {
            folder("listener on", path);
        }
    }
    folder("control.socket", &config.control.socket);
    missing
}

fn checked(path: &Path, bytes: Vec<u8>) -> Result<Loaded, Refused> {
    let file = path.display();
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

/// Bytes of a configuration from standard input.
const INPUT_MAX: u64 = 16 << 20;

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
