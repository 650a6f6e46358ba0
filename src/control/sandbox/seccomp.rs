//! seccomp: a list of the system calls that serving takes, and nothing else.
//!
//! Three answers for the rest. What only an intruder would call ends the process (SIGSYS, and a line in
//! the kernel's log): that it is asked for at all means that the process is no longer ours. Paths are
//! refused with EACCES, which libraries understand. Everything else does not exist (ENOSYS): so a
//! newer C library that tries a newer call falls back to the one that is listed.
//!
//! Calls on the path of a request have no conditions on their arguments: for those the kernel keeps one
//! bit each since Linux 5.11 and does not run the filter at all.

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter, apply_filter_all_threads,
};
use std::collections::BTreeMap;

/// Confines this thread and those it will start.
///
/// # Errors
/// Why not, in a few words.
pub(super) fn enter() -> Result<String, String> {
    let kill = SeccompAction::KillProcess;
    let refuse = SeccompAction::Errno(libc::EACCES.cast_unsigned());
    let unknown = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    let hostile = plain(HOSTILE.iter().chain(HOSTILE_HERE));
    // The strictest answer of all filters counts, so what is refused in a way of its own is on the list
    // of what is allowed as well.
    for (rules, otherwise, matching) in [
        (hostile, SeccompAction::Allow, kill),
        (paths(), SeccompAction::Allow, refuse),
        (allowed(), unknown, SeccompAction::Allow),
    ] {
        apply(rules, otherwise, matching, apply_filter)?;
    }
    Ok("seccomp".to_owned())
}

/// Takes away what only the start needed, from all threads.
///
/// # Errors
/// Why not, in a few words.
pub(super) fn close() -> Result<(), String> {
    let refuse = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    apply(
        plain(ONLY_AT_THE_START),
        SeccompAction::Allow,
        refuse,
        apply_filter_all_threads,
    )
}

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn apply(
    rules: Rules,
    otherwise: SeccompAction,
    matching: SeccompAction,
    install: impl Fn(&[seccompiler::sock_filter]) -> seccompiler::Result<()>,
) -> Result<(), String> {
    let here = std::env::consts::ARCH
        .try_into()
        .map_err(|_| "not known for this processor".to_owned())?;
    let program: BpfProgram = SeccompFilter::new(rules, otherwise, matching, here)
        .and_then(TryInto::try_into)
        .map_err(|error| error.to_string())?;
    install(&program).map_err(|error| error.to_string())
}

/// Calls without a condition.
fn plain<'a>(calls: impl IntoIterator<Item = &'a libc::c_long>) -> Rules {
    calls.into_iter().map(|call| (*call, Vec::new())).collect()
}

/// Everything that serving takes, and what is refused elsewhere in its own way.
fn allowed() -> Rules {
    let mut rules = plain(
        PLAIN
            .iter()
            .chain(PLAIN_HERE)
            .chain(ONLY_AT_THE_START)
            .chain(PATHS)
            .chain(PATHS_HERE),
    );
    let families = [libc::AF_INET, libc::AF_INET6, libc::AF_UNIX];
    let options = [libc::PR_SET_NAME, libc::PR_SET_NO_NEW_PRIVS, PR_GET_AUXV];
    let requests: [u64; 2] = [libc::FIONBIO, libc::TCGETS];
    let own = u64::from(std::process::id());
    for (call, any_of) in [
        (
            libc::SYS_socket,
            families.map(|family| is(0, family)).to_vec(),
        ),
        (
            libc::SYS_prctl,
            options.map(|option| is(0, option)).to_vec(),
        ),
        (
            libc::SYS_ioctl,
            requests.map(|request| equals(1, request)).to_vec(),
        ),
        // Its own limits, and signals to itself: how abort() ends.
        (libc::SYS_prlimit64, vec![is(0, 0)]),
        (libc::SYS_tgkill, vec![equals(0, own)]),
        // Threads, but no processes. clone3, whose flags no filter can read, does not exist.
        (
            libc::SYS_clone,
            vec![bits(0, libc::CLONE_THREAD, libc::CLONE_THREAD)],
        ),
        // No memory that can be executed.
        (libc::SYS_mmap, vec![bits(2, libc::PROT_EXEC, 0)]),
        (libc::SYS_mprotect, vec![bits(2, libc::PROT_EXEC, 0)]),
    ] {
        rules.insert(call, any_of);
    }
    rules
}

/// What names a path. Looking at an open descriptor by its empty path stays.
fn paths() -> Rules {
    let mut rules = plain(PATHS.iter().chain(PATHS_HERE));
    let by_path = |argument| vec![bits(argument, libc::AT_EMPTY_PATH, 0)];
    rules.insert(libc::SYS_statx, by_path(2));
    rules.insert(libc::SYS_newfstatat, by_path(3));
    rules
}

/// The argument, 32 bits of it, is this value.
fn is(argument: u8, value: i32) -> SeccompRule {
    equals(argument, u64::from(value.cast_unsigned()))
}

fn equals(argument: u8, value: u64) -> SeccompRule {
    rule(argument, SeccompCmpOp::Eq, value)
}

/// These bits of the argument have this value.
fn bits(argument: u8, mask: i32, value: i32) -> SeccompRule {
    let mask = u64::from(mask.cast_unsigned());
    rule(
        argument,
        SeccompCmpOp::MaskedEq(mask),
        u64::from(value.cast_unsigned()),
    )
}

fn rule(argument: u8, comparison: SeccompCmpOp, value: u64) -> SeccompRule {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, comparison, value)
        .and_then(|condition| SeccompRule::new(vec![condition]))
        .expect("arguments are counted from 0 to 5, and there is one condition")
}

/// What serving takes, whatever the arguments.
const PLAIN: &[libc::c_long] = &[
    // Traffic.
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_close,
    libc::SYS_connect,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    libc::SYS_fcntl,
    libc::SYS_fstat,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_io_uring_enter,
    libc::SYS_ppoll,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_socketpair,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_write,
    libc::SYS_writev,
    // Memory.
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    // Threads and time.
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_getrandom,
    libc::SYS_gettimeofday,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_sigaltstack,
    // Who and where it is.
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_getuid,
    libc::SYS_getrusage,
    libc::SYS_uname,
];

/// Older forms that newer processors do not have.
#[cfg(target_arch = "x86_64")]
const PLAIN_HERE: &[libc::c_long] = &[libc::SYS_epoll_wait, libc::SYS_poll];
#[cfg(not(target_arch = "x86_64"))]
const PLAIN_HERE: &[libc::c_long] = &[];

/// Before the workers have their rings.
const ONLY_AT_THE_START: &[libc::c_long] = &[
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_sched_setaffinity,
    libc::SYS_seccomp,
];

/// What names a path.
const PATHS: &[libc::c_long] = &[
    libc::SYS_chdir,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fchmodat,
    libc::SYS_fchownat,
    libc::SYS_linkat,
    libc::SYS_mkdirat,
    libc::SYS_mknodat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_readlinkat,
    libc::SYS_renameat2,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_symlinkat,
    libc::SYS_truncate,
    libc::SYS_newfstatat,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
];
#[cfg(target_arch = "x86_64")]
const PATHS_HERE: &[libc::c_long] = &[
    libc::SYS_access,
    libc::SYS_creat,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_rmdir,
    libc::SYS_stat,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const PATHS_HERE: &[libc::c_long] = &[];

/// What nothing in here would ever call.
const HOSTILE: &[libc::c_long] = &[
    // Other programs, and other processes' memory.
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    // Files behind the back of paths, and the tree itself.
    libc::SYS_chroot,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_mount,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_setns,
    libc::SYS_umount2,
    libc::SYS_unshare,
    // The kernel.
    libc::SYS_add_key,
    libc::SYS_bpf,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_perf_event_open,
    libc::SYS_personality,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_userfaultfd,
    // Other credentials.
    libc::SYS_capset,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    libc::SYS_setregid,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_setreuid,
    libc::SYS_setuid,
    // The clock.
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_settimeofday,
];
#[cfg(target_arch = "x86_64")]
const HOSTILE_HERE: &[libc::c_long] = &[
    libc::SYS_fork,
    libc::SYS_ioperm,
    libc::SYS_iopl,
    libc::SYS_kexec_file_load,
    libc::SYS_modify_ldt,
    libc::SYS_vfork,
];
#[cfg(not(target_arch = "x86_64"))]
const HOSTILE_HERE: &[libc::c_long] = &[];

/// Asked for by rustix where there is no /proc.
const PR_GET_AUXV: i32 = 0x4155_5856;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_call_is_both_allowed_and_hostile() {
        let allowed = allowed();
        for call in HOSTILE.iter().chain(HOSTILE_HERE) {
            assert!(!allowed.contains_key(call), "{call}");
        }
    }

    #[test]
    fn calls_of_a_request_cost_no_filter() {
        let allowed = allowed();
        for call in [
            libc::SYS_accept4,
            libc::SYS_recvfrom,
            libc::SYS_sendto,
            libc::SYS_sendmsg,
            libc::SYS_io_uring_enter,
            libc::SYS_epoll_pwait,
            libc::SYS_epoll_ctl,
            libc::SYS_close,
            libc::SYS_read,
            libc::SYS_write,
        ] {
            assert!(allowed[&call].is_empty(), "{call} has a condition");
        }
    }
}
