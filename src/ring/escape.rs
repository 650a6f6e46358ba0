//! What an intruder would try from inside, for tests of the sandbox. Debug builds only: a release does
//! not have this file. It is in this room because some of it is unsafe to call.

use std::io::{self, Write as _};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Tries one way out by system calls; `Ok` is an escape.
///
/// # Errors
/// How the kernel refused it.
pub fn by(way: &str) -> io::Result<()> {
    match way {
        "open" => std::fs::File::open("/dev/null").map(drop),
        "create" => std::fs::File::create("/tmp/ringbolt-escape").map(drop),
        "exec" => Err(Command::new("/bin/true").exec()),
        "spawn" => Command::new("/bin/true").spawn().map(drop),
        "ptrace" => ptrace(),
        "ring" => io_uring::IoUring::new(2).map(drop),
        "netlink" => {
            let netlink = rustix::net::AddressFamily::NETLINK;
            rustix::net::socket(netlink, rustix::net::SocketType::RAW, None)?;
            Ok(())
        }
        // Bound and listening: on a port of its choice, and on one of the kernel's.
        "listen" => {
            let port = 20_000 + (std::process::id() % 10_000) as u16;
            std::net::TcpListener::bind(("127.0.0.9", port)).map(drop)
        }
        "listen-any" => std::net::TcpListener::bind("127.0.0.1:0").map(drop),
        "code" => executable_memory(),
        "root" => Ok(rustix::thread::set_thread_res_uid(
            rustix::process::Uid::ROOT,
            rustix::process::Uid::ROOT,
            rustix::process::Uid::ROOT,
        )?),
        _ => Err(io::Error::other("no such way")),
    }
}

/// Tries to open a file through this thread's own ring; on epoll it is a system call.
///
/// # Errors
/// How the kernel refused it.
pub async fn by_ring() -> io::Result<()> {
    monoio::fs::File::open("/dev/null").await.map(drop)
}

/// Says on standard error what came of a try, in one write: the launcher writes there too.
pub fn tell(way: &str, tried: &io::Result<()>) {
    let line = format!("ringbolt: escape by {way}: {tried:?}\n");
    let _ = io::stderr().write_all(line.as_bytes());
}

fn ptrace() -> io::Result<()> {
    let parent = std::os::unix::process::parent_id();
    let none: *const libc::c_void = std::ptr::null();
    // SAFETY: attaching takes a process and nothing else; the launcher's memory is not ours.
    let result = unsafe { libc::ptrace(libc::PTRACE_ATTACH, parent, none, none) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn executable_memory() -> io::Result<()> {
    let rights = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping of one page, wherever the kernel likes; nothing is put there.
    let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, rights, kind, -1, 0) };
    if page == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
