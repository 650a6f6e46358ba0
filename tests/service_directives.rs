//! The directives of the systemd unit that `scripts/install` ships, without a systemd: they are applied to a thread, and the
//! program is started from it, under the shortest list of system calls of all versions of systemd (tests/service/system-service.txt).
//! So this runs where no container boots; tests/service.rs has systemd itself apply them, which includes what takes a mount
//! namespace.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use std::collections::BTreeMap;
use std::path::Path;

use rustix::process::Signal;
use rustix::thread::CapabilitySet;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use support::{Driver, Proxy, Server, Setup};

on_both_drivers!(it_starts_serves_reloads_and_stops_under_the_directives);

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// Directives that say how systemd handles the service and restrict nothing.
const MANAGEMENT: &[&str] = &[
    "Type",
    "NotifyAccess",
    "ExecStart",
    "ExecReload",
    "KillMode",
    "TimeoutStopSec",
    "Restart",
    "RestartSec",
    "RestartPreventExitStatus",
    "LogsDirectory",
    "LogsDirectoryMode",
    // Limits that are raised.
    "LimitNOFILE",
    "LimitMEMLOCK",
];

/// Directives that take a mount namespace: tests/service.rs alone.
const MOUNTS: &[&str] = &["ProtectSystem", "ProtectHome", "ProtectControlGroups"];

/// Those that forbid system calls and capabilities which `SystemCallFilter` and `CapabilityBoundingSet` forbid anyway; the
/// mounts that they make beside are with tests/service.rs.
const IMPLIED: &[(&str, &[&str])] = &[
    ("ProtectKernelTunables", &[]),
    (
        "ProtectKernelModules",
        &["init_module", "finit_module", "delete_module"],
    ),
    ("ProtectKernelLogs", &["syslog"]),
    (
        "ProtectClock",
        &["clock_settime", "settimeofday", "adjtimex", "clock_adjtime"],
    ),
    ("ProtectHostname", &["sethostname", "setdomainname"]),
    ("PrivateDevices", &["ioperm", "iopl"]),
];

/// System calls, and for which arguments: all, if there is no rule.
type Rules = Vec<(i64, Vec<SeccompRule>)>;
type Directives = Vec<(String, String)>;

/// The `[Service]` section.
fn directives() -> Directives {
    let unit = Path::new(REPOSITORY).join("scripts/service/ringbolt.service");
    let text = std::fs::read_to_string(unit).unwrap();
    let section = text.split("[Service]\n").nth(1).unwrap();
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| line.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// The numbers of those calls that this processor has.
fn numbers<'a>(names: impl Iterator<Item = &'a str>) -> Vec<i64> {
    names
        .filter_map(|name| name.parse::<syscalls::Sysno>().ok())
        .map(|call| i64::from(call.id()))
        .collect()
}

/// Both kinds of entries of `SystemCallFilter`.
fn allowed_calls(directives: &Directives) -> Vec<i64> {
    let group =
        std::fs::read_to_string(Path::new(REPOSITORY).join("tests/service/system-service.txt"));
    let group = group.unwrap();
    let group = group.lines().filter(|line| !line.starts_with('#'));
    let mut calls = numbers(group.flat_map(str::split_whitespace));
    for entry in values(directives, "SystemCallFilter") {
        if entry != "@system-service" {
            let more = numbers([entry].into_iter());
            assert_eq!(
                more.len(),
                1,
                "SystemCallFilter has {entry}, which is no system call here"
            );
            calls.extend(more);
        }
    }
    calls
}

fn values<'a>(directives: &'a Directives, wanted: &str) -> impl Iterator<Item = &'a str> {
    let matching = directives.iter().filter(move |(name, _)| name == wanted);
    matching.flat_map(|(_, value)| value.split_whitespace())
}

fn condition(argument: u8, comparison: SeccompCmpOp, value: i32) -> SeccompCondition {
    let value = u64::from(value.cast_unsigned());
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, comparison, value).unwrap()
}

fn any_bit(argument: u8, bits: &[i32]) -> Vec<SeccompRule> {
    let bit = |bit: i32| {
        let comparison = SeccompCmpOp::MaskedEq(u64::from(bit.cast_unsigned()));
        SeccompRule::new(vec![condition(argument, comparison, bit)]).unwrap()
    };
    bits.iter().copied().map(bit).collect()
}

/// Which calls a directive answers with an error, and for which arguments; `None` for a directive that is not applied so.
fn refused(name: &str, value: &str) -> Option<(i32, Rules)> {
    const NAMESPACES: [i32; 7] = [
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWNET,
        libc::CLONE_NEWNS,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWUTS,
    ];
    let rules = match (name, value) {
        ("RestrictAddressFamilies", families) => {
            let other_than = |family: &str| {
                let number = match family {
                    "AF_INET" => libc::AF_INET,
                    "AF_INET6" => libc::AF_INET6,
                    "AF_UNIX" => libc::AF_UNIX,
                    "AF_NETLINK" => libc::AF_NETLINK,
                    other => panic!("RestrictAddressFamilies has {other}"),
                };
                condition(0, SeccompCmpOp::Ne, number)
            };
            let none_of_them = families.split_whitespace().map(other_than).collect();
            let rule = SeccompRule::new(none_of_them).unwrap();
            return Some((libc::EAFNOSUPPORT, vec![(libc::SYS_socket, vec![rule])]));
        }
        ("RestrictNamespaces", "yes") => vec![
            (libc::SYS_unshare, any_bit(0, &NAMESPACES)),
            (libc::SYS_clone, any_bit(0, &NAMESPACES)),
            (libc::SYS_setns, vec![]),
        ],
        ("RestrictRealtime", "yes") => {
            let policies = [libc::SCHED_FIFO, libc::SCHED_RR, libc::SCHED_DEADLINE];
            let rule = |policy| SeccompRule::new(vec![condition(1, SeccompCmpOp::Eq, policy)]);
            let rules = policies.map(|policy| rule(policy).unwrap());
            vec![(libc::SYS_sched_setscheduler, rules.to_vec())]
        }
        ("RestrictSUIDSGID", "yes") => {
            let bits = [0o4000, 0o2000];
            vec![
                (libc::SYS_fchmod, any_bit(1, &bits)),
                (libc::SYS_fchmodat, any_bit(2, &bits)),
                (libc::SYS_openat, any_bit(3, &bits)),
                (libc::SYS_mkdirat, any_bit(2, &bits)),
            ]
        }
        ("LockPersonality", "yes") => vec![(libc::SYS_personality, vec![])],
        ("MemoryDenyWriteExecute", "yes") => {
            let both = [libc::PROT_WRITE, libc::PROT_EXEC].map(|bit| {
                let comparison = SeccompCmpOp::MaskedEq(u64::from(bit.cast_unsigned()));
                condition(2, comparison, bit)
            });
            vec![
                (
                    libc::SYS_mmap,
                    vec![SeccompRule::new(both.to_vec()).unwrap()],
                ),
                (libc::SYS_mprotect, any_bit(2, &[libc::PROT_EXEC])),
                (libc::SYS_pkey_mprotect, any_bit(2, &[libc::PROT_EXEC])),
            ]
        }
        _ => return None,
    };
    Some((libc::EPERM, rules))
}

fn apply(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matching: SeccompAction,
) {
    let here = std::env::consts::ARCH.try_into().unwrap();
    let filter = SeccompFilter::new(rules, otherwise, matching, here).unwrap();
    let program: BpfProgram = filter.try_into().unwrap();
    seccompiler::apply_filter(&program).unwrap();
}

/// Keeps of the bounding set what the directive names. Nobody but root may, and for nobody but root it makes a difference.
fn bound_capabilities(names: &[&str]) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    for (name, capability) in CapabilitySet::all().iter_names() {
        let kept = names
            .iter()
            .any(|kept| kept.strip_prefix("CAP_") == Some(name));
        if !kept {
            // The kernel may be older than the set.
            let _ = rustix::thread::remove_capability_from_bounding_set(capability);
        }
    }
}

/// Puts this thread, and what it starts, under every directive of the unit. One that is not known here fails the test.
fn restrict(directives: &Directives) {
    let calls = allowed_calls(directives);
    let mut filters = Vec::new();
    for (name, value) in directives {
        let implied = IMPLIED.iter().find(|(implied, _)| implied == name);
        if let Some((_, forbidden)) = implied {
            let forbidden = numbers(forbidden.iter().copied());
            assert!(forbidden.iter().all(|call| !calls.contains(call)), "{name}");
        } else if let Some(filter) = refused(name, value) {
            filters.push(filter);
        } else {
            let known = MANAGEMENT.contains(&name.as_str())
                || MOUNTS.contains(&name.as_str())
                || name == "SystemCallFilter"
                || name == "CapabilityBoundingSet"
                || (name == "NoNewPrivileges" && value == "yes")
                // A filter of seccompiler ends a process that calls in another processor's way.
                || (name == "SystemCallArchitectures" && value == "native");
            assert!(
                known,
                "{name}={value} is in the unit, and this test does not apply it"
            );
        }
    }
    bound_capabilities(&values(directives, "CapabilityBoundingSet").collect::<Vec<_>>());
    rustix::thread::set_no_new_privs(true).unwrap();
    for (error, rules) in filters {
        let error = SeccompAction::Errno(error.cast_unsigned());
        apply(rules.into_iter().collect(), SeccompAction::Allow, error);
    }
    // Calls whose flags no filter can read do not exist, as under systemd.
    let unreadable = [libc::SYS_clone3, libc::SYS_openat2].map(|call| (call, Vec::new()));
    let missing = SeccompAction::Errno(libc::ENOSYS.cast_unsigned());
    apply(unreadable.into(), SeccompAction::Allow, missing);
    let allowed = calls.into_iter().map(|call| (call, Vec::new())).collect();
    apply(allowed, SeccompAction::KillProcess, SeccompAction::Allow);
}

fn start_restricted(setup: Setup) -> Proxy {
    let started = std::thread::spawn(move || {
        restrict(&directives());
        setup.start()
    });
    started.join().unwrap()
}

fn it_starts_serves_reloads_and_stops_under_the_directives(on: Driver) {
    let (one, two) = (Server::named("one"), Server::named("two"));
    let root = rustix::process::geteuid().is_root();
    let user = if root { "user = \"nobody\"\n" } else { "" };
    let setup = |server: &Server| Setup::new(on).process(user).server(server);
    let free = setup(&one).start();
    let sandbox = free.status().unwrap()["sandbox"].clone();

    let mut proxy = start_restricted(setup(&one));
    assert_eq!(proxy.get("/").text(), "one");
    assert_eq!(proxy.status().unwrap()["sandbox"], sandbox);
    if root {
        let status = format!("/proc/{}/status", proxy.generation());
        let status = std::fs::read_to_string(status).unwrap();
        let bounding = status
            .lines()
            .find_map(|line| line.strip_prefix("CapBnd:\t"));
        assert_eq!(bounding, Some("0000000000000000"), "this takes CAP_SETPCAP");
    }
    proxy.rewrite_config(&setup(&two).text());
    proxy.sighup();
    proxy.wait_for_complaint("ringbolt: reloaded");
    assert_eventually!(proxy.get("/").text() == "two");

    let crashed = proxy.generation();
    let id = rustix::process::Pid::from_raw(crashed.cast_signed()).unwrap();
    rustix::process::kill_process(id, Signal::KILL).unwrap();
    proxy.wait_for_complaint("another one starts");
    assert_eventually!(
        proxy
            .complaints()
            .iter()
            .filter(|line| line.contains("ringbolt: ready"))
            .count()
            == 2
    );
    assert_eq!(proxy.get("/").text(), "two");

    proxy.sigterm();
    assert!(proxy.wait_for_exit().success());
}
