//! What systemd is told (`sd_notify(3)`); nothing when nobody asked for it.
//!
//! A service manager that does not read its socket holds nobody up for more than a moment: the launcher has one
//! thread, and must go on taking signals.

use sd_notify::NotifyState;
use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// Serving, for the first time or again after a reload; `status` is for `systemctl status`.
pub(super) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// A reload has begun; [`ready`] ends it. `Type=notify-reload` wants the time as well.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// On the way out.
pub(super) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// A service manager that does not listen is no reason to stop serving.
fn tell(state: &[NotifyState<'_>]) {
    if let Some(place) = std::env::var_os("NOTIFY_SOCKET") {
        let lines: Vec<String> = state.iter().map(ToString::to_string).collect();
        let _ = send(&place, &lines.join("\n"));
    }
}

fn send(place: &OsString, text: &str) -> io::Result<()> {
    let address = match place.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(place)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(PATIENCE))?;
    socket.send_to_addr(text.as_bytes(), &address).map(|_| ())
}

/// How long a full socket is waited for.
const PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::time::Instant;

    #[test]
    fn a_message_is_lines_and_a_full_socket_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = UnixDatagram::bind(&path).unwrap();
        let place = path.into_os_string();
        let text = [NotifyState::Ready, NotifyState::Status("so")].map(|state| state.to_string());
        send(&place, &text.join("\n")).unwrap();
        let mut room = [0; 100];
        let count = manager.recv(&mut room).unwrap();
        assert_eq!(&room[..count], b"READY=1\nSTATUS=so");
        let from = Instant::now();
        while send(&place, "x").is_ok() {
            assert!(from.elapsed() < 10 * PATIENCE, "it is never full");
        }
        assert!(from.elapsed() < 10 * PATIENCE, "{:?}", from.elapsed());
    }
}
