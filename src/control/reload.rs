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
    note(old.sandbox != now.sandbox, "process.sandbox");
    note(
        started.control.socket != new.control.socket,
        "control.socket",
    );
    for before in &started.listeners {
        let after = new.listeners.iter().find(|after| after.name == before.name);
        let changed = after.is_some_and(|after| after.backlog != before.backlog);
        note(changed, &format!("backlog of listener \"{}\"", before.name));
    }
    settings
}

fn needs_restart(what: &str) -> String {
    format!("{what}: listening sockets are opened at the start only; restart to change them")
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::config::{self, EmptyEnvironment};
    use std::path::Path;

    fn config(process: &str, listeners: &[(&str, &str)]) -> Config {
        let mut text = format!(
            "[process]\n{process}\n[[pool.app.server]]\nname = \"s\"\naddress = \"127.0.0.1:1\"\n"
        );
        for (name, rest) in listeners {
            text.push_str(&format!(
                "[[listener]]\nname = \"{name}\"\ndefault_pool = \"app\"\n{rest}\n"
            ));
        }
        config::load(Path::new("test.toml"), &text, &EmptyEnvironment).unwrap()
    }

    #[test]
    fn only_other_sockets_refuse() {
        const A: (&str, &str) = ("a", "bind = \"127.0.0.1:81\"");
        const B: (&str, &str) = ("b", "bind = \"127.0.0.1:82\"");
        const MOVED: (&str, &str) = ("b", "bind = [\"127.0.0.1:82\", \"127.0.0.1:83\"]");
        let started = config("", &[A, B]);
        let cases: [(&[_], _); 5] = [
            (&[A, B], None),
            (&[B, A], None),
            (&[A], Some("listener \"b\" was removed")),
            (&[A, MOVED], Some("listener \"b\" has another `bind`")),
            (
                &[A, B, ("c", "bind = \"127.0.0.1:84\"")],
                Some("listener \"c\" was added"),
            ),
        ];
        for (listeners, wanted) in cases {
            let said = refusal(&started, &config("", listeners)).err();
            match wanted {
                None => assert_eq!(said, None, "{listeners:?}"),
                Some(words) => assert!(said.unwrap().starts_with(words), "{listeners:?}"),
            }
        }
    }

    #[test]
    fn what_waits_is_named_once() {
        let started = config("workers = 2", &[("a", "bind = \"127.0.0.1:81\"")]);
        assert_eq!(waiting_for_restart(&started, &started), [""; 0]);
        let new = config(
            "workers = 3\ncores = [0]\nuser = \"u\"\ngroup = \"g\"\nsandbox = false\nmax_connections = 9",
            &[("a", "bind = \"127.0.0.1:81\"\nbacklog = 7")],
        );
        let said = waiting_for_restart(&started, &new);
        let names: Vec<_> = said
            .iter()
            .map(|line| line.split(" has ").next().unwrap())
            .collect();
        let wanted = [
            "process.workers",
            "process.cores",
            "process.user",
            "process.group",
            "process.sandbox",
        ];
        assert_eq!(names[..5], wanted);
        assert_eq!(names[5..], ["backlog of listener \"a\""]);
    }
}
