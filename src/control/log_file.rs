//! Opening a log file: never waiting, and never through a symbolic link that another user placed.

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Opens a log file for appending; one that is not there is created, readable by its group.
///
/// A FIFO is opened for reading and writing (Linux, fifo(7)), so that neither opening nor writing depends on a reader: what
/// one has not read waits in the pipe, and what finds no room there is counted as lost.
///
/// # Errors
/// Those of open(2); a link of a user who is neither root nor ours; too many links.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        match open_no_link(&path) {
            Err(Errno::LOOP) => path = target(&path)?,
            opened => return Ok(opened?.into()),
        }
    }
    Err(Errno::LOOP.into())
}

fn open_no_link(path: &Path) -> Result<OwnedFd, Errno> {
    let how = OFlags::APPEND
        | OFlags::CREATE
        | OFlags::CLOEXEC
        | OFlags::NONBLOCK
        | OFlags::NOCTTY
        | OFlags::NOFOLLOW;
    let open = |how| rustix::io::retry_on_intr(|| rustix::fs::open(path, how, MODE));
    let file = match open(how | OFlags::WRONLY) {
        // A FIFO without a reader.
        Err(Errno::NXIO) => return open(how | OFlags::RDWR),
        opened => opened?,
    };
    match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
        // Its reader may go.
        FileType::Fifo => open(how | OFlags::RDWR),
        _ => Ok(file),
    }
}

/// Where a link leads, read from the same link whose owner was looked at.
fn target(path: &Path) -> io::Result<PathBuf> {
    let how = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let link = rustix::fs::open(path, how, Mode::empty())?;
    let owner = rustix::fs::fstat(&link)?.st_uid;
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other(format!(
            "it is a symbolic link that user {owner} placed, which is not followed: remove it, or name the file itself"
        )));
    }
    let target = rustix::fs::readlinkat(link.as_fd(), "", Vec::new())?;
    let target = Path::new(OsStr::from_bytes(target.as_bytes()));
    Ok(path.parent().unwrap_or_else(|| Path::new("/")).join(target))
}

/// Readable by the group, so that people in it can read logs.
const MODE: Mode = Mode::from_raw_mode(0o640);

/// Links that lead to one another.
const LINKS_MAX: usize = 8;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use rustix::fs::{AtFlags, CWD, Gid, Uid, chownat, mknodat};
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn files_and_links_of_ours() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("log"), folder.path().join("link"));
        open(&file).unwrap().write_all(b"one\n").unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
        // Relative to its own folder, and through another one.
        symlink("log", &link).unwrap();
        let further = folder.path().join("further");
        symlink(&link, &further).unwrap();
        open(&further).unwrap().write_all(b"two\n").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"one\ntwo\n");
        let circle = folder.path().join("circle");
        symlink("circle", &circle).unwrap();
        assert!(open(&circle).is_err());
        assert!(open(folder.path()).is_err());
    }

    #[test]
    fn a_link_of_another_user_is_not_followed() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let (victim, link) = (folder.path().join("victim"), folder.path().join("link"));
        std::fs::write(&victim, b"precious").unwrap();
        symlink(&victim, &link).unwrap();
        let nobody = (Some(Uid::from_raw(65_534)), Some(Gid::from_raw(65_534)));
        chownat(CWD, &link, nobody.0, nobody.1, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        let error = open(&link).unwrap_err().to_string();
        assert!(error.contains("user 65534 placed"), "{error}");
        assert_eq!(std::fs::read(&victim).unwrap(), b"precious");
    }

    #[test]
    fn a_fifo_needs_no_reader() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        let mut writer = open(&fifo).unwrap();
        writer.write_all(b"waits").unwrap();
        let mut reader = File::open(&fifo).unwrap();
        let mut got = [0; 5];
        reader.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"waits");
        drop(reader);
        writer.write_all(b"nobody reads").unwrap();
        // Full: at once, too.
        let full = std::iter::repeat_with(|| writer.write(&[0; 4096])).take(64);
        let error = full.filter_map(Result::err).next().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    }
}
