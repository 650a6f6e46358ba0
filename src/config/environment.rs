//! What a configuration may ask of the machine: environment variables, secret files, the user's id.
//!
//! The room does no I/O of its own. Whoever loads a configuration hands in an [`Environment`]: the
//! launcher gives the real one, tests a table.

use std::io;
use std::path::{Path, PathBuf};

/// Answers to the few questions that a configuration file may put to the machine.
pub trait Environment {
    /// The environment variable of this name, for a secret written as `"${NAME}"` and for
    /// `XDG_RUNTIME_DIR`; `None` when it is not set or is not text.
    fn variable(&self, name: &str) -> Option<String>;

    /// What the file holds, for a secret written as `"file:/path"`. Bounded by the implementation:
    /// 64 KiB are plenty. One newline at the end is dropped by the reader, not here.
    fn secret_file(&self, path: &Path) -> io::Result<Vec<u8>>;

    /// What `/etc/resolv.conf` holds; asked for when a server has a name and the file names no DNS server.
    fn resolv_conf(&self) -> io::Result<Vec<u8>> {
        self.secret_file(Path::new("/etc/resolv.conf"))
    }

    /// The lines of a hosts file, at most 8 MiB of it, that name one of these; asked for when a server has a name.
    fn hosts(&self, path: &Path, names: &[&str]) -> io::Result<Vec<u8>> {
        let _ = (path, names);
        Err(io::ErrorKind::NotFound.into())
    }

    /// The index of the network interface of this name, for a zone written as `%eth0`.
    fn interface(&self, name: &str) -> Option<u32> {
        let _ = name;
        None
    }

    /// The effective user's id; decides where the control socket stands when nothing is said.
    fn user_id(&self) -> u32;
}

/// An environment that knows nothing: no variable is set, no file exists, the user is not root.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmptyEnvironment;

impl Environment for EmptyEnvironment {
    fn variable(&self, _name: &str) -> Option<String> {
        None
    }

    fn secret_file(&self, _path: &Path) -> io::Result<Vec<u8>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn user_id(&self) -> u32 {
        1000
    }
}

/// Where the control socket stands when the file does not say.
pub(super) fn default_socket(environment: &dyn Environment) -> PathBuf {
    let user = environment.user_id();
    if user == 0 {
        return PathBuf::from("/run/ringbolt.sock");
    }
    match environment.variable("XDG_RUNTIME_DIR") {
        Some(folder) if folder.starts_with('/') => Path::new(&folder).join("ringbolt.sock"),
        _ => PathBuf::from(format!("/tmp/ringbolt-{user}.sock")),
    }
}
