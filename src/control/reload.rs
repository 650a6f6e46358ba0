//! What a reload may change. Pure: two configurations in, sentences out.
//!
//! Nothing is silently ignored: a change that would need other listening sockets refuses the whole
//! reload; a change that waits for a restart is named, and the rest is taken.

use crate::config::Config;

/// Why the new configuration cannot replace the old one while it runs; `Ok` when it can.
///
/// # Errors
/// One line that names the listener.
pub(super) fn refusal(started: &Config, new: &Config) -> Result<(), String> {
    for listener in &started.listeners {
        let name = &listener.name;
        match new.listeners.iter().find(|other| other.name == *name) {
            None => return Err(needs_restart(&format!("listener \"{name}\" was removed"))),
            Some(other) if other.bind != listener.bind => {
                return Err(needs_restart(&format!(
                    "listener \"{name}\" has another `bind`"
                )));
            }
            Some(_) => {}
        }
    }
    for listener in &new.listeners {
        if !started
            .listeners
            .iter()
            .any(|other| other.name == listener.name)
        {
            let name = &listener.name;
            return Err(needs_restart(&format!("listener \"{name}\" was added")));
        }
    }
    let names = |config: &Config| -> Vec<String> {
        config
            .listeners
            .iter()
            .map(|listener| listener.name.clone())
            .collect()
    };
    if names(started) != names(new) {
        return Err(needs_restart("the listeners have another order"));
    }
    Ok(())
}

/// Settings that differ and stay as they were until a restart, a sentence each.
pub(super) fn waiting_for_restart(started: &Config, new: &Config) -> Vec<String> {
    let (old, now) = (&started.process, &new.process);
    let mut settings = Vec::new();
    let mut note = |changed: bool, setting: &str| {
        if changed {
            settings.push(format!(
                "{setting} has changed: this takes effect at the next restart"
            ));
        }
    };
    note(old.workers != now.workers, "process.workers");
    note(old.cores != now.cores, "process.cores");
    note(old.user != now.user, "process.user");
    note(old.group != now.group, "process.group");
    note(
        started.control.socket != new.control.socket,
        "control.socket",
    );
    for (before, after) in started.listeners.iter().zip(&new.listeners) {
        note(
            before.backlog != after.backlog,
            &format!("backlog of listener \"{}\"", after.name),
        );
    }
    settings
}

fn needs_restart(what: &str) -> String {
    format!("{what}: listening sockets are opened at the start only; restart to change them")
}
