//! The machine as a configuration sees it, and a record of what it answered.
//!
//! The launcher asks the real machine while it still may (a secret file is often readable by root
//! only) and keeps every answer; the generation, which may not, loads the same text from the record.

use crate::config::Environment;
use rustix::fs::{FileType, Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The real machine. Every answer is kept for the generation.
#[derive(Debug)]
pub struct Machine {
    answers: RefCell<Answers>,
}

impl Machine {
    /// Nothing asked yet.
    pub fn new() -> Self {
        let user = rustix::process::geteuid().as_raw();
        let answers = Answers {
            user,
            variables: BTreeMap::new(),
            files: BTreeMap::new(),
            hosts: None,
            interfaces: BTreeMap::new(),
        };
        Self {
            answers: RefCell::new(answers),
        }
    }

    /// What it has answered so far.
    pub(super) fn answers(self) -> Answers {
        self.answers.into_inner()
    }
}

impl Default for Machine {
    fn default() -> Self {
        Self::new()
    }
}

impl Environment for Machine {
    fn variable(&self, name: &str) -> Option<String> {
        let value = std::env::var(name).ok();
        self.answers
            .borrow_mut()
            .variables
            .insert(name.to_owned(), value.clone());
        value
    }

    fn secret_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        let content = read_bounded(path);
        let kept = content
            .as_ref()
            .map(Vec::clone)
            .map_err(ToString::to_string);
        self.answers
            .borrow_mut()
            .files
            .insert(path.to_owned(), kept);
        content
    }

    fn hosts(&self, path: &Path, names: &[&str]) -> io::Result<Vec<u8>> {
        let content = hosts(path, names);
        let kept = content
            .as_ref()
            .map(Vec::clone)
            .map_err(ToString::to_string);
        self.answers.borrow_mut().hosts = Some(kept);
        content
    }

    fn interface(&self, name: &str) -> Option<u32> {
        let index = nix::net::if_::if_nametoindex(name).ok();
        let mut answers = self.answers.borrow_mut();
        answers.interfaces.insert(name.to_owned(), index);
        index
    }

    fn user_id(&self) -> u32 {
        self.answers.borrow().user
    }
}

/// What a machine answered, as it travels to the generation. `Debug` shows no value.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Answers {
    user: u32,
    variables: BTreeMap<String, Option<String>>,
    files: BTreeMap<PathBuf, Result<Vec<u8>, String>>,
    /// The lines of the hosts file that count.
    hosts: Option<Result<Vec<u8>, String>>,
    interfaces: BTreeMap<String, Option<u32>>,
}

impl Answers {
    /// The hosts file has changed.
    pub(super) fn set_hosts(&mut self, lines: Result<Vec<u8>, String>) {
        self.hosts = Some(lines);
    }
}

impl Environment for Answers {
    fn variable(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned().flatten()
    }

    fn secret_file(&self, path: &Path) -> io::Result<Vec<u8>> {
        match self.files.get(path) {
            Some(Ok(content)) => Ok(content.clone()),
            Some(Err(why)) => Err(io::Error::other(why.clone())),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn hosts(&self, _path: &Path, _names: &[&str]) -> io::Result<Vec<u8>> {
        match &self.hosts {
            Some(Ok(content)) => Ok(content.clone()),
            Some(Err(why)) => Err(io::Error::other(why.clone())),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn interface(&self, name: &str) -> Option<u32> {
        self.interfaces.get(name).copied().flatten()
    }

    fn user_id(&self) -> u32 {
        self.user
    }
}

impl fmt::Debug for Answers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files: Vec<_> = self.files.keys().collect();
        let variables: Vec<_> = self.variables.keys().collect();
        f.debug_struct("Answers")
            .field("variables", &variables)
            .field("files", &files)
            .finish()
    }
}

/// A secret of more than 64 KiB is a mistake, such as a device that never ends.
const MAX_SECRET: u64 = 64 << 10;

/// Opens a file to read it whole, never waiting: a named pipe would keep whoever opens it until somebody writes, and the launcher
/// hears no signal meanwhile.
///
/// # Errors
/// Those of open(2), and whatever is no regular file.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let how = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = rustix::io::retry_on_intr(|| rustix::fs::open(path, how, Mode::empty()))?;
    let mode = rustix::fs::fstat(&file)?.st_mode;
    match FileType::from_raw_mode(mode) {
        FileType::RegularFile => Ok(file.into()),
        _ => Err(io::Error::other("not a regular file")),
    }
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open(path)?.take(MAX_SECRET + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_SECRET {
        return Err(io::Error::other("more than 64 KiB"));
    }
    Ok(content)
}

/// Bytes of a hosts file; those that block advertising have a few.
const MAX_HOSTS: u64 = 8 << 20;

/// The lines of a hosts file that have one of these names, without regard to case.
///
/// # Errors
/// Those of open(2) and read(2); a file that is larger than 8 MiB.
pub(super) fn hosts(path: &Path, names: &[&str]) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open(path)?.take(MAX_HOSTS + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_HOSTS {
        return Err(io::Error::other("more than 8 MiB"));
    }
    let concerns = |line: &&[u8]| {
        let mut words = line.split(u8::is_ascii_whitespace);
        words.any(|word| {
            names
                .iter()
                .any(|name| word.eq_ignore_ascii_case(name.as_bytes()))
        })
    };
    let lines = content.split(|byte| *byte == b'\n').filter(concerns);
    let mut kept = Vec::new();
    for line in lines {
        kept.extend_from_slice(line);
        kept.push(b'\n');
        if kept.len() as u64 > MAX_SECRET {
            return Err(io::Error::other("more than 64 KiB of lines about servers"));
        }
    }
    Ok(kept)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn the_record_answers_as_the_machine_did() {
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there");
        std::fs::write(&there, b"value\n").unwrap();
        let missing = folder.path().join("missing");

        let machine = Machine::new();
        let path = machine.variable("PATH");
        assert_eq!(machine.variable("RINGBOLT_SURELY_UNSET"), None);
        assert_eq!(machine.secret_file(&there).unwrap(), b"value\n");
        let why = machine.secret_file(&missing).unwrap_err().to_string();

        let json = serde_json::to_string(&machine.answers()).unwrap();
        let answers: Answers = serde_json::from_str(&json).unwrap();
        assert_eq!(answers.variable("PATH"), path);
        assert_eq!(answers.variable("RINGBOLT_SURELY_UNSET"), None);
        assert_eq!(answers.secret_file(&there).unwrap(), b"value\n");
        assert_eq!(answers.secret_file(&missing).unwrap_err().to_string(), why);
        assert!(!format!("{answers:?}").contains("value"));
    }

    #[test]
    fn an_endless_secret_is_refused() {
        assert!(Machine::new().secret_file(Path::new("/dev/zero")).is_err());
    }
}
