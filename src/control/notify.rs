//! What systemd is told (`sd_notify(3)`); nothing when nobody asked for it.

use sd_notify::NotifyState;

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
    let _ = sd_notify::notify(state);
}
