//! Giving privileges up: names to numbers in the launcher, the drop itself in the generation.
//!
//! Linux changes credentials per thread, so the generation drops them before its first other thread
//! exists; threads inherit. `process.user` of somebody who may not change users is an error, as it
//! is in HAProxy: running as somebody else than the file says would be worse than not running.

use super::channel::Identity;
use crate::config::Process;
use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs, set_thread_groups,
    set_thread_res_gid, set_thread_res_uid,
};
use std::ffi::CString;

/// Whom `process.user` and `process.group` mean; `None` when neither is set or it is who we are.
///
/// # Errors
/// One line: a name that nobody has, or a change that this user may not make.
pub(super) fn resolve(process: &Process) -> Result<Option<Identity>, String> {
    let (me, mine) = (Uid::effective(), Gid::effective());
    let user = process.user.as_deref().map(find_user).transpose()?;
    let group = process.group.as_deref().map(find_group).transpose()?;
    if user.is_none() && group.is_none() {
        return Ok(None);
    }
    let uid = user.as_ref().map_or(me, |user| user.id);
    let gid = group
        .or_else(|| user.as_ref().and_then(|user| user.group))
        .unwrap_or(mine);
    if (uid, gid) == (me, mine) && !me.is_root() {
        return Ok(None);
    }
    if !may_change() {
        let wanted = process.user.as_ref().or(process.group.as_ref());
        let wanted = wanted.map_or("", String::as_str);
        return Err(format!(
            "process.user: this user (id {me}) may not become \"{wanted}\": start as root, or \
             remove process.user and process.group"
        ));
    }
    let mut groups = match user.and_then(|user| user.name) {
        // The user's groups by the system's database, as `initgroups` would set them.
        Some(name) => getgrouplist(&name, gid).unwrap_or_else(|_| vec![gid]),
        None => vec![gid],
    };
    groups.dedup();
    Ok(Some(Identity {
        user: uid.as_raw(),
        group: gid.as_raw(),
        groups: groups.into_iter().map(Gid::as_raw).collect(),
    }))
}

/// The user and group that the configuration names and this machine does not have, a line each.
pub(super) fn unknown(process: &Process) -> Vec<String> {
    let user = process
        .user
        .as_deref()
        .and_then(|name| find_user(name).err());
    let group = process
        .group
        .as_deref()
        .and_then(|name| find_group(name).err());
    user.into_iter().chain(group).collect()
}

/// Becomes `identity`, for good, and sees to it that nothing is gained later. To be called while the
/// process has one thread.
///
/// # Errors
/// One line that says which step the kernel refused.
pub(super) fn assume(identity: Option<&Identity>, launcher: u32) -> Result<(), String> {
    // While it still may: without this set no file's capabilities could ever come back.
    for capability in CapabilitySet::all().iter() {
        let _ = remove_capability_from_bounding_set(capability);
    }
    if let Some(to) = identity {
        let (user, group) = (uid(to.user), gid(to.group));
        let groups: Vec<_> = to.groups.iter().map(|&id| gid(id)).collect();
        let step = |what: &str, error: rustix::io::Errno| {
            format!(
                "cannot set {what} {}: {error}: start as root, or remove process.user and \
                 process.group",
                if what == "the user" {
                    to.user
                } else {
                    to.group
                }
            )
        };
        set_thread_groups(&groups).map_err(|error| step("the groups of user", error))?;
        set_thread_res_gid(group, group, group).map_err(|error| step("the group", error))?;
        set_thread_res_uid(user, user, user).map_err(|error| step("the user", error))?;
    }
    // After a change from root these are empty; after a start by a service manager that gave
    // CAP_NET_BIND_SERVICE, or when root stays root, they are not, and only the launcher has use for them.
    let _ = clear_ambient_capability_set();
    let none = CapabilitySet::empty();
    let sets = CapabilitySets {
        effective: none,
        permitted: none,
        inheritable: none,
    };
    set_capabilities(None, sets).map_err(|error| format!("cannot drop capabilities: {error}"))?;
    set_no_new_privs(true).map_err(|error| format!("cannot set no_new_privs: {error}"))?;
    // After the change of user, which clears it. If the launcher is gone already it never fires.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| format!("cannot bind to the launcher's life: {error}"))?;
    if std::os::unix::process::parent_id() != launcher {
        return Err("the launcher has ended".to_owned());
    }
    Ok(())
}

/// Whether this process is root's.
pub(super) fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Whether the kernel lets this process change its user and groups.
fn may_change() -> bool {
    let needed = CapabilitySet::SETUID | CapabilitySet::SETGID;
    capabilities(None).is_ok_and(|sets| sets.effective.contains(needed))
}

struct Found {
    id: Uid,
    group: Option<Gid>,
    name: Option<CString>,
}

/// By name, else by number; a number need not be in the database.
fn find_user(name: &str) -> Result<Found, String> {
    let lookup = match name.parse() {
        Ok(number) => User::from_uid(Uid::from_raw(number)),
        Err(_) => User::from_name(name),
    };
    match (lookup, name.parse()) {
        (Ok(Some(user)), _) => Ok(Found {
            id: user.uid,
            group: Some(user.gid),
            name: CString::new(user.name).ok(),
        }),
        (_, Ok(number)) => Ok(Found {
            id: Uid::from_raw(number),
            group: None,
            name: None,
        }),
        (Ok(None), _) => Err(format!(
            "process.user: there is no user \"{name}\": create it with \
             `useradd --system --no-create-home {name}`, or choose another"
        )),
        (Err(error), _) => Err(format!("process.user: cannot look up \"{name}\": {error}")),
    }
}

fn find_group(name: &str) -> Result<Gid, String> {
    if let Ok(number) = name.parse() {
        return Ok(Gid::from_raw(number));
    }
    match Group::from_name(name) {
        Ok(Some(group)) => Ok(group.gid),
        Ok(None) => Err(format!(
            "process.group: there is no group \"{name}\": create it with \
             `groupadd --system {name}`, or choose another"
        )),
        Err(error) => Err(format!("process.group: cannot look up \"{name}\": {error}")),
    }
}

fn uid(raw: u32) -> rustix::process::Uid {
    rustix::process::Uid::from_raw(raw)
}

fn gid(raw: u32) -> rustix::process::Gid {
    rustix::process::Gid::from_raw(raw)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!(find_user("root").unwrap().id.as_raw(), 0);
        assert_eq!(find_user("0").unwrap().group.unwrap().as_raw(), 0);
        assert_eq!(find_user("54321").unwrap().id.as_raw(), 54321);
        let why = find_user("no-such-user-here").err().unwrap();
        assert!(
            why.contains("no-such-user-here") && why.contains("useradd"),
            "{why}"
        );
        assert_eq!(find_group("root").unwrap().as_raw(), 0);
        assert!(find_group("no-such-group-here").is_err());
    }
}
