//! Signals that end a process unless it says otherwise.

use signal_hook::consts::{
    SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM,
    SIGXCPU, SIGXFSZ,
};

/// Those that have a meaning for the launcher, or that somebody may send or cause by mistake, such as `kill -USR2` for an upgrade, as other
/// proxies have it. Neither process may end by one of them. Signals that stop a process (SIGTSTP) or that it causes by a
/// fault (SIGSEGV) keep their meaning.
pub(super) fn all() -> impl Iterator<Item = i32> {
    const NAMED: [i32; 14] = [
        SIGTERM,
        SIGINT,
        SIGQUIT,
        SIGHUP,
        SIGUSR1,
        SIGUSR2,
        SIGALRM,
        SIGVTALRM,
        SIGPROF,
        SIGIO,
        SIGXCPU,
        SIGXFSZ,
        libc::SIGPWR,
        libc::SIGSTKFLT,
    ];
    NAMED.into_iter().chain(libc::SIGRTMIN()..libc::SIGRTMAX())
}

/// Caught where possible: valgrind, which counts instructions in the gate, keeps the last signal for itself.
pub(super) fn last() -> i32 {
    libc::SIGRTMAX()
}
