//! The systemd unit that `scripts/install` ships, under a systemd that runs it: a container is booted, the service is
//! installed in it, started, asked, reloaded, crashed and stopped (tests/service/probe.sh). Every directive is thereby
//! applied by systemd itself: the system call filter, the capabilities, the file system's protection and the rest.

#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// Where /usr and a few files of /etc come from. Another systemd is tested with a folder that debootstrap filled:
/// `debootstrap --variant=minbase --include=systemd trixie /tmp/trixie`, then `RINGBOLT_SYSTEMD_FROM=/tmp/trixie`.
fn origin() -> PathBuf {
    std::env::var_os("RINGBOLT_SYSTEMD_FROM").map_or_else(|| PathBuf::from("/"), PathBuf::from)
}

const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");

/// The default configuration names two servers; this is the first of them.
const SERVER: &str = "[process]\nworkers = 1\n[control]\nsocket = \"/probe/backend.sock\"\n\
[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:3000\"\n\
[[route]]\npath_prefix = \"/\"\nanswer = { body = \"the server\" }\n";

const UNITS: [(&str, &str); 3] = [
    (
        "default.target",
        "[Unit]\nRequires=backend.service probe.service\n",
    ),
    (
        "backend.service",
        "[Unit]\nDefaultDependencies=no\n[Service]\nExecStart=/probe/ringbolt run /probe/backend.toml\n",
    ),
    (
        "probe.service",
        "[Unit]\nAfter=basic.target backend.service\nRequires=basic.target\n\
         [Service]\nType=oneshot\nExecStart=/probe/source/tests/service/probe.sh\n",
    ),
];

/// Units of the host's /usr that take time and have no part in this.
const MASKED: [&str; 4] = [
    "systemd-networkd-wait-online.service",
    "systemd-update-utmp.service",
    "systemd-journal-flush.service",
    "systemd-tmpfiles-setup-dev.service",
];

/// A folder that systemd can boot: /usr is the host's, the rest is new.
fn tree(root: &Path, unit: &str) {
    fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
    for folder in [
        "usr",
        "proc",
        "sys",
        "dev",
        "run",
        "tmp",
        "root",
        "var/log",
        "etc/systemd/system",
        "probe/source",
    ] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    for link in ["bin", "sbin", "lib", "lib64"] {
        symlink(format!("usr/{link}"), root.join(link)).unwrap();
    }
    for file in [
        "passwd",
        "group",
        "shadow",
        "gshadow",
        "login.defs",
        "nsswitch.conf",
        "os-release",
        "ld.so.cache",
        "ld.so.conf",
    ] {
        // What is missing is missing on the host as well.
        let _ = fs::copy(origin().join("etc").join(file), root.join("etc").join(file));
    }
    fs::write(
        root.join("etc/machine-id"),
        "00000000000000000000000000000001\n",
    )
    .unwrap();
    let units = root.join("etc/systemd/system");
    for (name, text) in UNITS {
        fs::write(units.join(name), text).unwrap();
    }
    for name in MASKED {
        symlink("/dev/null", units.join(name)).unwrap();
    }
    fs::write(root.join("probe/backend.toml"), SERVER).unwrap();
    fs::write(root.join("probe/source.service"), unit).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_ringbolt"), root.join("probe/ringbolt")).unwrap();
}

fn boot(root: &Path) -> io::Result<Output> {
    Command::new("timeout")
        .args(["--kill-after=5", "120", "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot", "--private-network", "--console=pipe"])
        .arg(format!("--machine=ringbolt-{}", std::process::id()))
        // Against the container's own filter, which knows nothing of sandboxes inside.
        .arg("--system-call-filter=@aio seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self")
        .arg(format!("--bind-ro={}:/usr", origin().join("usr").display()))
        .arg("--tmpfs=/usr/local")
        .arg(format!("--bind-ro={REPOSITORY}:/probe/source"))
        .arg("--directory")
        .arg(root)
        .args(["systemd.show_status=no", "systemd.log_target=console", "systemd.log_level=warning"])
        .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
        .stdin(Stdio::null())
        .output()
}

/// What the probe found under this unit, a line a step, and what was said meanwhile.
fn found(unit: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    tree(folder.path(), unit);
    let output = boot(folder.path()).unwrap();
    let read =
        |name: &str| fs::read_to_string(folder.path().join("probe").join(name)).unwrap_or_default();
    let said = format!(
        "found:\n{}\ninstall:\n{}\nstatus:\n{}\njournal:\n{}\nconsole:\n{}{}",
        read("found"),
        read("install.log"),
        read("status"),
        read("journal"),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    (read("found"), said)
}

/// Why no systemd can be booted here, if so: nothing of the unit is involved in this.
fn obstacle() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("a container takes root".to_owned());
    }
    let folder = tempfile::tempdir().unwrap();
    tree(folder.path(), "");
    // The same container, whose only unit powers it off.
    let off = "[Unit]\nDefaultDependencies=no\n[Service]\nType=oneshot\n\
        ExecStart=/bin/sh -c \"echo booted > /probe/found; systemctl --force poweroff\"\n";
    let units = folder.path().join("etc/systemd/system");
    fs::write(units.join("probe.service"), off).unwrap();
    fs::write(
        units.join("default.target"),
        "[Unit]\nDefaultDependencies=no\nWants=probe.service\n",
    )
    .unwrap();
    let output = match boot(folder.path()) {
        Ok(output) => output,
        Err(error) => return Some(format!("systemd-nspawn: {error}")),
    };
    let booted = folder.path().join("probe/found").exists();
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().last().unwrap_or_default();
    (!booted).then(|| format!("systemd-nspawn boots no systemd here: {last}"))
}

#[test]
fn the_unit_starts_serves_reloads_and_stops_under_systemd() {
    if let Some(why) = obstacle() {
        assert!(std::env::var_os("RINGBOLT_SYSTEMD_FROM").is_none(), "{why}");
        support::not_run("the unit under systemd", &why);
        return;
    }
    let unit = fs::read_to_string(Path::new(REPOSITORY).join("scripts/service/ringbolt.service"));
    let (found, said) = found(&unit.unwrap().replace("@PREFIX@", "/usr/local"));
    let bounding = found
        .lines()
        .find_map(|line| line.strip_prefix("bounding: "))
        .and_then(|set| u64::from_str_radix(set, 16).ok());
    // CHOWN, DAC_OVERRIDE, FOWNER, KILL, SETGID, SETUID, SETPCAP and NET_BIND_SERVICE; SYS_RESOURCE where the machine has it.
    assert_eq!(bounding.map(|set| set & !(1 << 24)), Some(0x5eb), "{said}");
    let rest: Vec<_> = found
        .lines()
        .filter(|line| !line.starts_with("bounding: "))
        .collect();
    let same = [
        "install: 0",
        "user: ringbolt:/usr/sbin/nologin",
        "complaints about the unit: 0",
        "start: 0 active success 0",
        "request: 200 the server",
        "status: 0, sandbox as without the unit: 0",
        "launcher: user 0, no new privileges 1, seccomp 2",
        "serving: user ringbolt, capabilities 0000000000000000 0000000000000000 0000000000000000",
        "log reopened: 0",
        "reload: 0 active success 0",
        "after reload: 200 reloaded, same launcher 0",
        "bad reload: 1 active, 200 reloaded",
        "after a crash: 200 the server, same launcher 0",
        "stop: 0 inactive success 0",
        "left: 0",
        "second start: 0 active success 0",
        "second request: 200 the server",
        "second stop: 0 inactive success 0",
    ];
    assert_eq!(rest, same, "{said}");
}
