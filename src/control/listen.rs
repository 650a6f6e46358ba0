//! Listening sockets, opened once, by the launcher.
//!
//! A TCP address gets one `SO_REUSEPORT` socket per worker, so that the kernel spreads connections
//! and no worker waits for another. A unix address has one socket that all workers share. What goes
//! wrong here is what newcomers meet first, so every failure says what, where, and what to do.

use crate::config::{Address, Bind, Config, Listener};
use rustix::event::Timespec;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};

/// The sockets of one address.
#[derive(Debug)]
pub(super) struct Listening {
    /// Index in [`Config::listeners`].
    pub(super) listener: usize,
    /// Index in its `bind`.
    pub(super) bind: usize,
    /// Where they listen: as configured, but port 0 has become a port.
    pub(super) address: Bind,
    /// One for each worker.
    pub(super) sockets: Vec<OwnedFd>,
    file: Option<SocketFile>,
}

impl Listening {
    /// Closes our copies and removes the file of a unix socket.
    pub(super) fn close(&mut self) {
        self.sockets.clear();
        self.file = None;
    }
}

/// A unix socket that listens, and its file, which goes when this value goes.
#[derive(Debug)]
pub(super) struct Unix {
    socket: OwnedFd,
    file: SocketFile,
}

impl Unix {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.file.0
    }
}

impl AsFd for Unix {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // Somebody may have removed it already.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Opens everything that the configuration listens on.
///
/// # Errors
/// One line: the listener, the address, what is wrong, what to do.
pub(super) fn open(config: &Config, workers: usize) -> Result<Vec<Listening>, String> {
    let mut all = Vec::new();
    let binds = config
        .listeners
        .iter()
        .enumerate()
        .flat_map(|(listener, settings)| {
            let binds = settings.bind.iter().enumerate();
            binds.map(move |(bind, wanted)| (listener, settings, bind, wanted))
        });
    let failed = |settings: &Listener, wanted: &Bind, error: &io::Error| {
        let advice = advice(error, wanted);
        let name = &settings.name;
        format!("listener \"{name}\": cannot listen on {wanted}: {error}{advice}")
    };
    // Before any is opened: a wildcard of ours must not stand in the way of an address of ours.
    for (_, settings, _, wanted) in binds.clone() {
        nobody_else_listens(wanted, config.leaves_ipv4(wanted))
            .map_err(|error| failed(settings, wanted, &error))?;
    }
    for (listener, settings, bind, wanted) in binds {
        let backlog = settings.backlog;
        let opened = match wanted {
            Bind::Address(Address::Unix(path)) => unix_shared(path, backlog, workers)
                .map(|(sockets, file)| (wanted.clone(), sockets, Some(file))),
            Bind::Address(Address::Ip(_)) | Bind::Every(_) => {
                tcp(wanted, config.leaves_ipv4(wanted), backlog, workers)
                    .map(|(address, sockets)| (address, sockets, None))
            }
        };
        let (address, sockets, file) = opened.map_err(|error| failed(settings, wanted, &error))?;
        all.push(Listening {
            listener,
            bind,
            address,
            sockets,
            file,
        });
    }
    Ok(all)
}

/// A unix socket that listens, mode and owner as given. A file left behind by a process that is gone is
/// replaced; one that somebody answers on is an error, and so is anything that is not a socket.
///
/// # Errors
/// Those of `bind(2)`; `AddrInUse` also for a file that is no socket.
pub(super) fn unix(
    path: &Path,
    backlog: u32,
    mode: u32,
    owner: Option<(Uid, Gid)>,
) -> io::Result<Unix> {
    remove_stale(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile(path.to_owned());
    // Nobody can connect before `listen`, so nobody slips in under the default mode.
    set_access(path, mode, owner)?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    socket.set_nonblocking(true)?;
    Ok(Unix {
        socket: socket.into(),
        file,
    })
}

/// Gives a socket's file its mode and owner. They are set on the file that was looked at, not on its path: who may write to the
/// folder could have put a link in its place.
fn set_access(path: &Path, mode: u32, owner: Option<(Uid, Gid)>) -> io::Result<()> {
    let how = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, how, Mode::empty())?;
    let found = rustix::fs::fstat(&file)?;
    let is_ours = FileType::from_raw_mode(found.st_mode) == FileType::Socket
        && found.st_uid == rustix::process::geteuid().as_raw();
    if !is_ours {
        return Err(io::Error::other(
            "another user has put something else in its place",
        ));
    }
    // fchmod(2) does not take such a descriptor; its name in /proc leads to the same file.
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    rustix::fs::chmod(name, Mode::from_raw_mode(mode))?;
    if let Some((user, group)) = owner {
        rustix::fs::chownat(&file, "", Some(user), Some(group), AtFlags::EMPTY_PATH)?;
    }
    Ok(())
}

/// Everybody may connect, as to a TCP port on the loopback; the folder's mode narrows that.
const UNIX_LISTENER_MODE: u32 = 0o666;

fn tcp(
    wanted: &Bind,
    ipv6_only: bool,
    backlog: u32,
    workers: usize,
) -> io::Result<(Bind, Vec<OwnedFd>)> {
    let mut socket = tcp_socket(wanted, ipv6_only)?;
    let mut sockets = Vec::with_capacity(workers);
    let mut address = wanted.clone();
    loop {
        socket.0.set_reuse_port(true)?;
        // Accepted sockets inherit it (tcp(7)): small messages must not wait for an acknowledgement.
        socket.0.set_tcp_nodelay(true)?;
        socket.0.bind(&socket.1.into())?;
        if let Some(bound) = socket.0.local_addr()?.as_socket() {
            address = match wanted {
                Bind::Every(_) => Bind::Every(bound.port()),
                Bind::Address(_) => Bind::Address(Address::Ip(bound)),
            };
        }
        sockets.push(socket.0);
        if sockets.len() >= workers {
            break;
        }
        socket = tcp_socket(&address, ipv6_only)?;
    }
    // Listening begins only when all are bound, so that a port 0 or a failure half way leaves no
    // client connected to a socket that is closed again.
    let mut listening = Vec::with_capacity(workers);
    for socket in sockets {
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        socket.set_nonblocking(true)?;
        listening.push(socket.into());
    }
    Ok((address, listening))
}

const PAUSE: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// A second Ringbolt could bind beside the first (same user, `SO_REUSEPORT`) and the two would share
/// connections without a word. A socket without that option cannot, so one is bound and closed
/// first. It tries for a second: when a process on io_uring dies, the kernel closes its sockets only
/// some moments after its end is known, and a service manager may be quicker.
fn nobody_else_listens(wanted: &Bind, ipv6_only: bool) -> io::Result<()> {
    match wanted {
        Bind::Every(0) | Bind::Address(Address::Unix(_)) => return Ok(()),
        Bind::Address(Address::Ip(ip)) if ip.port() == 0 => return Ok(()),
        Bind::Every(_) | Bind::Address(Address::Ip(_)) => {}
    }
    let mut tries = 20;
    loop {
        let (socket, address) = tcp_socket(wanted, ipv6_only)?;
        match socket.bind(&address.into()) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => tries -= 1,
            result => return result,
        }
        // A signal may cut it short: it is only a pause.
        let _ = rustix::thread::nanosleep(&PAUSE);
    }
}

/// A socket to be bound to that address; `bind` is an IP address.
fn tcp_socket(bind: &Bind, ipv6_only: bool) -> io::Result<(Socket, SocketAddr)> {
    let address = match bind {
        Bind::Address(Address::Ip(address)) => *address,
        Bind::Every(port) if has_ipv6() => (Ipv6Addr::UNSPECIFIED, *port).into(),
        Bind::Every(port) => (Ipv4Addr::UNSPECIFIED, *port).into(),
        Bind::Address(Address::Unix(_)) => return Err(io::ErrorKind::InvalidInput.into()),
    };
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // Whatever net.ipv6.bindv6only says.
        socket.set_only_v6(ipv6_only)?;
    }
    Ok((socket, address))
}

/// Whether the machine has IPv6: not compiled out, and not switched off for all interfaces.
fn has_ipv6() -> bool {
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0));
    let socket = Socket::new(Domain::IPV6, Type::STREAM, None);
    socket.is_ok_and(|socket| socket.bind(&any.into()).is_ok())
}

fn unix_shared(
    path: &Path,
    backlog: u32,
    workers: usize,
) -> io::Result<(Vec<OwnedFd>, SocketFile)> {
    let Unix { socket, file } = unix(path, backlog, UNIX_LISTENER_MODE, None)?;
    let mut sockets = Vec::with_capacity(workers);
    for _ in 1..workers.max(1) {
        sockets.push(socket.try_clone()?);
    }
    sockets.push(socket);
    Ok((sockets, file))
}

fn remove_stale(path: &Path) -> io::Result<()> {
    let Ok(metadata) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        return Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "there is a file of that name, and it is not a socket",
        ));
    }
    // Without waiting: a process that accepts nobody would keep the launcher from its signals.
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    probe.set_nonblocking(true)?;
    match probe.connect(&SockAddr::unix(path)?) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        // Somebody answers, or is too busy to (EAGAIN), or we may not know (EACCES).
        Ok(()) => Err(io::Error::new(
            io::ErrorKind::AddrInUse,
            "another process answers there",
        )),
        Err(error) => Err(error),
    }
}

/// What to do about it; begins with `": "` or is empty.
fn advice(error: &io::Error, bind: &Bind) -> String {
    let ip = match bind {
        Bind::Address(Address::Ip(ip)) => Some(*ip),
        Bind::Every(port) => Some((Ipv4Addr::UNSPECIFIED, *port).into()),
        Bind::Address(Address::Unix(_)) => None,
    };
    let Some(ip) = ip else {
        return match error.kind() {
            io::ErrorKind::NotFound => ": create the folder first".to_owned(),
            io::ErrorKind::PermissionDenied => {
                ": choose a folder that this user may write to".to_owned()
            }
            _ => String::new(),
        };
    };
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            let port = ip.port();
            format!(": find who has it with `ss -ltnp sport = :{port}`, or choose another port")
        }
        io::ErrorKind::PermissionDenied => {
            let port = ip.port();
            format!(
                ": ports below {} need privilege: start as root (process.user gives it up again), \
                 give the binary CAP_NET_BIND_SERVICE, or choose a port above",
                privileged_below().max(u32::from(port) + 1)
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            let every = if ip.is_ipv6() { "[::]" } else { "0.0.0.0" };
            format!(
                ": no interface here has that address; `ip address` lists them, {every} is all of them"
            )
        }
        _ if ip.is_ipv6() => ": is IPv6 switched off on this machine?".to_owned(),
        _ => String::new(),
    }
}

fn privileged_below() -> u32 {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(1024)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixListener;

    fn bind(text: &str) -> Bind {
        Bind::Address(Address::Ip(text.parse().unwrap()))
    }

    fn address(bind: &Bind) -> SocketAddr {
        match bind {
            Bind::Address(Address::Ip(address)) => *address,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn one_port_for_all_workers() {
        let (bound, sockets) = tcp(&bind("127.0.0.1:0"), false, 16, 3).unwrap();
        assert_ne!(address(&bound).port(), 0);
        assert_eq!(sockets.len(), 3);
        for socket in sockets {
            let local = TcpListener::from(socket).local_addr().unwrap();
            assert_eq!(local, address(&bound));
        }
    }

    #[test]
    fn every_address_is_one_port_of_both_families() {
        let (bound, sockets) = tcp(&Bind::Every(0), false, 16, 2).unwrap();
        let Bind::Every(port) = bound else {
            panic!("{bound}")
        };
        assert!(port != 0 && sockets.len() == 2);
        assert!(TcpStream::connect(("127.0.0.1", port)).is_ok());
        // The address may be missing where the family is there.
        if TcpListener::bind("[::1]:0").is_ok() {
            assert!(TcpStream::connect(("::1", port)).is_ok());
        }
        assert!(nobody_else_listens(&bound, false).is_err());
    }

    #[test]
    fn a_second_ringbolt_on_the_same_port_is_noticed() {
        let (bound, _first) = tcp(&bind("127.0.0.1:0"), false, 16, 2).unwrap();
        let error = nobody_else_listens(&bound, false).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        let advice = advice(&error, &bound);
        let port = address(&bound).port();
        assert!(advice.contains(&format!("sport = :{port}")), "{advice}");
    }

    #[test]
    fn an_address_of_another_machine() {
        let error = tcp(&bind("192.0.2.1:0"), false, 16, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrNotAvailable);
    }

    #[test]
    fn a_stale_file_is_replaced_a_live_one_and_a_plain_one_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        drop(UnixListener::bind(&path).unwrap());
        let live = unix(&path, 16, 0o600, None).unwrap();
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            unix(&path, 16, 0o600, None).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        drop(live);

        let plain = folder.path().join("plain");
        std::fs::write(&plain, "x").unwrap();
        assert!(unix(&plain, 16, 0o600, None).is_err());
        assert_eq!(std::fs::read(&plain).unwrap(), b"x");
    }

    /// The mode and owner are a socket's of ours, never those of what a link leads to.
    #[test]
    fn a_link_in_a_sockets_place_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (victim, link) = (folder.path().join("victim"), folder.path().join("link"));
        std::fs::write(&victim, "precious").unwrap();
        let before = victim.metadata().unwrap().permissions();
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        // bind(2) does not follow it either.
        assert!(unix(&link, 16, 0o666, None).is_err());
        assert!(set_access(&link, 0o666, None).is_err());
        assert!(set_access(&victim, 0o666, None).is_err());
        assert_eq!(victim.metadata().unwrap().permissions(), before);
    }
}
