//! Stands in for the log writer until it lands.

use crate::config::Config;
use crate::record::Log;
use std::fs::File;

#[derive(Clone)]
pub(super) struct Logs;

impl Logs {
    pub(super) fn start(
        _config: &Config,
        _files: Vec<(usize, File)>,
        workers: usize,
    ) -> Result<(Self, Vec<Log>), String> {
        Ok((Self, (0..workers).map(|_| Log).collect()))
    }

    pub(super) fn events(&self) -> Voice {
        Voice
    }

    pub(super) fn reopen(&self, _files: Vec<(usize, File)>) {}

    pub(super) fn adopt(&self, _config: &Config, _files: Vec<(usize, File)>) -> Result<(), String> {
        Ok(())
    }

    pub(super) fn finish(&self) {}
}

#[derive(Clone)]
pub(super) struct Voice;

impl Voice {
    pub(super) fn say(&self, level: u8, text: &str) {
        eprintln!("ringbolt: event {level}: {text}");
    }
}
