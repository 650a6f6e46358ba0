//! What the launcher opens and starts for a generation: where it runs, its sockets for the control
//! thread, its log files, and itself.

use super::channel::Identity;
use super::listen::{self, Unix};
use super::log_file;
use crate::config::{Config, LogTarget, Workers};
use rustix::fs::{Gid, Uid};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The path that this program was started by, made absolute but not resolved: when an upgrade moves
/// a link or replaces the file, the next start takes the new one. `/proc/self/exe` would not.
pub(super) fn own_path() -> Result<PathBuf, String> {
    let name = std::env::args_os()
        .next()
        .map(PathBuf::from)
        .unwrap_or_default();
    if name.components().count() > 1 {
        return std::path::absolute(&name).map_err(|error| format!("no working folder: {error}"));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(&name))
        .find(|file| file.is_file())
        .ok_or_else(|| {
            format!(
                "cannot find {} on the PATH to start it again",
                name.display()
            )
        })
}

/// The program that runs already, for another generation of the same launcher: by its name while that is the same
/// file (then it is also the process's name in `ps`), else as the kernel still has it. A replaced file
/// waits for a restart: a crash in the middle of an upgrade is no time to try it.
pub(super) fn same(program: &Path) -> PathBuf {
    let running = Path::new("/proc/self/exe");
    let file = |path| std::fs::metadata(path).map(|found| (found.dev(), found.ino()));
    match (file(program), file(running)) {
        (Ok(named), Ok(ours)) if named != ours => running.to_owned(),
        (Err(_), Ok(_)) => running.to_owned(),
        _ => program.to_owned(),
    }
}

/// How many workers, and on which cores.
///
/// # Errors
/// One line: a core that is not usable here.
pub fn place(config: &Config) -> Result<(usize, Vec<usize>), String> {
    let set = rustix::thread::sched_getaffinity(None)
        .map_err(|error| format!("cannot ask for usable cores: {error}"))?;
    let usable: Vec<usize> = (0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|&core| set.is_set(core))
        .collect();
    if let Some(missing) = config
        .process
        .cores
        .iter()
        .find(|core| !usable.contains(core))
    {
        return Err(format!(
            "process.cores: core {missing} is not usable here; usable are {usable:?}"
        ));
    }
    let cores = match config.process.cores.as_slice() {
        [] => usable,
        chosen => chosen.to_vec(),
    };
    let workers = match config.process.workers {
        Workers::Auto => cores.len(),
        Workers::Count(count) => count,
    };
    Ok((workers, cores))
}

/// The control thread's sockets, and their files.
pub(super) struct AdminSockets {
    /// For the owner, and the group that Ringbolt runs as.
    pub(super) control: Unix,
    /// For the workers only.
    pub(super) stats: Unix,
}

/// Opens both; the second stands beside the first.
///
/// # Errors
/// One line: where, what is wrong, what to do.
pub(super) fn admin_sockets(
    config: &Config,
    identity: Option<&Identity>,
) -> Result<AdminSockets, String> {
    let control = &config.control.socket;
    let mut stats = control.as_os_str().to_owned();
    stats.push(".stats");
    let open = |path: &Path, mode: u32| {
        let owner = identity.map(|to| (Uid::from_raw(to.user), Gid::from_raw(to.group)));
        let opened = listen::unix(path, ADMIN_BACKLOG, mode, owner);
        opened.map_err(|error| {
            let advice = match error.kind() {
                io::ErrorKind::AddrInUse => ": is another Ringbolt running?",
                io::ErrorKind::PermissionDenied | io::ErrorKind::NotFound => {
                    ": set control.socket to a path that this user may create"
                }
                _ => "",
            };
            format!(
                "control.socket: cannot listen on {}: {error}{advice}",
                path.display()
            )
        })
    };
    Ok(AdminSockets {
        control: open(control, 0o660)?,
        stats: open(Path::new(&stats), 0o600)?,
    })
}

/// Connections waiting to be accepted on either: as many who ask for the stats page at once are answered in turn, further ones
/// with 503. The kernel's `net.core.somaxconn` may be less.
const ADMIN_BACKLOG: u32 = 1024;

/// Opens the log files of a configuration, each with its `[[log]]`'s index.
pub(super) fn open_logs(config: &Config) -> Result<Vec<(usize, File)>, String> {
    let mut files = Vec::new();
    for (index, log) in config.logs.iter().enumerate() {
        if let LogTarget::File(path) = &log.target {
            let failed = |error| format!("cannot open log file {}: {error}", path.display());
            files.push((index, log_file::open(path).map_err(failed)?));
        }
    }
    Ok(files)
}

/// Starts the generation; with our end of its channel. It stays in the process group, so that whoever ends the group ends both;
/// Ctrl-C in a terminal reaches it too, but it heeds the channel only.
pub(super) fn spawn(program: &Path) -> Result<(Child, OwnedFd), String> {
    let (here, there) =
        UnixStream::pair().map_err(|error| format!("cannot make a socketpair: {error}"))?;
    let mut generation = Command::new(program);
    generation
        .arg("generation")
        .stdin(Stdio::from(OwnedFd::from(there)))
        .env_remove("NOTIFY_SOCKET");
    // The allocator asks for huge pages, of which a few hundred bytes here and there keep all: with them
    // a process takes 16 MB instead of 6 before its first client, and an idle tunnel 1,574 B instead of
    // 880. It reads its options before `main`, so they are the parent's to set.
    if std::env::var_os(HUGE_PAGES).is_none() {
        generation.env(HUGE_PAGES, "0");
    }
    generation
        .spawn()
        .map(|child| (child, here.into()))
        .map_err(|error| format!("cannot start {}: {error}", program.display()))
}

/// Whether the allocator may use transparent huge pages: an operator may say so in the environment.
const HUGE_PAGES: &str = "MIMALLOC_ALLOW_THP";
