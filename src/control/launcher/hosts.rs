//! Following the hosts file: the generation may open no file, so the launcher watches it and sends what it says.

use super::super::channel::Command;
use super::super::environment;
use super::{Launcher, State, say};
use crate::config::{Config, host_names, hosts};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use std::ffi::CString;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// A hosts file that is watched: its folder, for a file that is replaced, and the file itself, which may be a mount of its own
/// as in a container.
#[derive(Debug)]
pub(super) struct HostsWatch {
    inotify: OwnedFd,
    path: PathBuf,
    name: CString,
    folder: i32,
}

impl AsFd for HostsWatch {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}

impl HostsWatch {
    /// Watches the file of this configuration, if it has one and a server has a name.
    pub(super) fn of(config: &Config) -> Option<Self> {
        let path = config.resolver.hosts_file.as_deref()?;
        if host_names(&config.pools).is_empty() {
            return None;
        }
        match Self::start(path) {
            Ok(watch) => Some(watch),
            Err(error) => {
                let path = path.display();
                say(&format!(
                    "ringbolt: cannot watch {path}: {error}: its changes count after a reload"
                ));
                None
            }
        }
    }

    fn start(path: &Path) -> io::Result<Self> {
        let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let changes = WatchFlags::MOVED_TO
            | WatchFlags::MOVED_FROM
            | WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::CLOSE_WRITE;
        let watch = Self {
            folder: inotify::add_watch(&inotify, folder, changes)?,
            inotify,
            path: path.to_owned(),
            name: CString::new(name.as_bytes())?,
        };
        watch.watch_file();
        Ok(watch)
    }

    /// The file as it is now; adding the same one again changes nothing. One that is not there has no changes of its own.
    fn watch_file(&self) {
        let changes = WatchFlags::CLOSE_WRITE | WatchFlags::MODIFY;
        let _ = inotify::add_watch(&self.inotify, &self.path, changes);
    }

    /// Whether the file has changed since the last call.
    fn changed(&self) -> bool {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut reader = Reader::new(&self.inotify, &mut buffer);
        let mut changed = false;
        // Each call of the kernel gives what there is; there is an end to it (EAGAIN).
        while let Ok(event) = reader.next() {
            changed |= event.wd() != self.folder
                || event.events().contains(ReadFlags::QUEUE_OVERFLOW)
                || event.file_name() == Some(&*self.name);
        }
        if changed {
            self.watch_file();
        }
        changed
    }
}

impl Launcher {
    /// Reads the hosts file again if it has changed, and gives it to the generation when that can take it.
    pub(super) fn follow_hosts(&mut self) {
        self.hosts_changed |= self.hosts.as_ref().is_some_and(HostsWatch::changed);
        if !self.hosts_changed || !matches!(self.state, State::Serving | State::Waiting { .. }) {
            return;
        }
        self.hosts_changed = false;
        let config = &mut self.current.config;
        let Some(path) = &config.resolver.hosts_file else {
            return;
        };
        let names = host_names(&config.pools);
        let lines = match environment::hosts(path, &names) {
            Ok(lines) => lines,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => {
                let path = path.display();
                return say(&format!(
                    "ringbolt: cannot read {path}: {error}: what it said before stays in force"
                ));
            }
        };
        let now = hosts::parse(&lines, names.into_iter());
        if now == config.resolver.hosts {
            return;
        }
        config.resolver.hosts = now;
        self.current.answers.set_hosts(Ok(lines.clone()));
        if matches!(self.state, State::Serving) {
            // One that has died meanwhile is followed by another, which is given the same.
            let _ = self.channel.send(&Command::Hosts { lines }, &[]);
        }
    }

    /// A configuration is in force: its hosts file is watched, and read once more, for what changed meanwhile.
    pub(super) fn watch_hosts(&mut self) {
        self.hosts = HostsWatch::of(&self.current.config);
        self.hosts_changed = self.hosts.is_some();
    }
}
