//! The shape of the source: rooms name only rooms before them, unsafe code stays in its room, and
//! nothing names a package registry's host.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::{Path, PathBuf};

fn top() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if ["target", "node_modules", ".git"].contains(&name) {
            continue;
        }
        if path.is_dir() {
            all.extend(files(&path));
        } else {
            all.push(path);
        }
    }
    all
}

/// The code of a Rust file: comment lines, which may name anything, left empty.
fn code(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let is_comment = |line: &str| line.trim_start().starts_with("//");
    text.lines()
        .map(|line| {
            if is_comment(line) {
                "\n".to_owned()
            } else {
                format!("{line}\n")
            }
        })
        .collect()
}

/// The rooms, in the order in which `lib.rs` introduces them.
fn rooms() -> Vec<String> {
    let lib = std::fs::read_to_string(top().join("src/lib.rs")).unwrap();
    let names = lib
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';'));
    names.map(str::to_owned).collect()
}

/// Which rooms a piece of code names: `crate::room` and each of `crate::{room, …}`.
fn rooms_named(code: &str) -> Vec<String> {
    let mut named = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let preceded = code[..at].chars().next_back();
        if preceded.is_some_and(|before| before.is_alphanumeric() || before == '_' || before == '$')
        {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => named.extend(first_level(list)),
            None => named.push(word(rest)),
        }
    }
    named
}

/// The first word of each element of a list that ends at its own `}`.
fn first_level(list: &str) -> Vec<String> {
    let (mut depth, mut elements) = (0, vec![String::new()]);
    for letter in list.chars() {
        match letter {
            '}' if depth == 0 => break,
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => elements.push(String::new()),
            _ if depth == 0 => elements.last_mut().unwrap().push(letter),
            _ => {}
        }
    }
    elements
        .iter()
        .map(|element| word(element.trim()))
        .filter(|name| !name.is_empty())
        .collect()
}

fn word(text: &str) -> String {
    text.chars()
        .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
        .collect()
}

#[test]
fn a_room_names_only_rooms_before_it() {
    let rooms = rooms();
    assert_eq!(
        rooms.first().map(String::as_str),
        Some("config"),
        "{rooms:?}"
    );
    assert!(rooms.len() >= 10, "{rooms:?}");
    let mut wrong = Vec::new();
    for (place, room) in rooms.iter().enumerate() {
        for file in files(&top().join("src").join(room)) {
            for named in rooms_named(&code(&file)) {
                let later = rooms
                    .iter()
                    .position(|other| *other == named)
                    .is_some_and(|at| at > place);
                if later {
                    wrong.push(format!("{} names crate::{named}", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_source_file_belongs_to_a_room() {
    let rooms = rooms();
    for file in files(&top().join("src")) {
        let inside = file.strip_prefix(top().join("src")).unwrap();
        let first = inside.iter().next().unwrap().to_str().unwrap();
        let known =
            ["lib.rs", "main.rs"].contains(&first) || rooms.iter().any(|room| room == first);
        assert!(
            known,
            "{} is in no room that lib.rs introduces",
            file.display()
        );
    }
}

/// The forwarder that the proxies are measured against has a ring of its own, without the runtime. It is part of no program
/// that is shipped.
const FLOOR: &str = "benches/load/floor.rs";

#[test]
fn unsafe_code_lives_in_ring_alone() {
    let mut wrong = Vec::new();
    for folder in ["src", "tests", "benches"] {
        for file in files(&top().join(folder)) {
            let rust = file.extension().is_some_and(|ending| ending == "rs");
            let of_ring = file.starts_with(top().join("src/ring"));
            if !rust || of_ring || file.ends_with("structure.rs") || file.ends_with(FLOOR) {
                continue;
            }
            let code = code(&file);
            for mark in [
                "unsafe {",
                "unsafe fn",
                "unsafe impl",
                "allow(unsafe_code",
                "expect(unsafe_code",
            ] {
                if code.contains(mark) {
                    wrong.push(format!("{} has `{mark}`", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_pure_rooms_ask_nobody() {
    let mut wrong = Vec::new();
    for room in ["wire", "route", "balance", "record"] {
        let folder = top().join("src").join(room);
        // A folder `tests` is the module of that name, which is compiled for tests only.
        let is_product = |file: &PathBuf| {
            let inside = file.strip_prefix(&folder).unwrap();
            !inside.iter().any(|part| part == "tests")
        };
        for file in files(&folder).into_iter().filter(is_product) {
            let code = code(&file);
            let product = code.split("#[cfg(test)]").next().unwrap();
            for mark in [
                "Instant::now",
                "SystemTime::now",
                "std::net::Tcp",
                "std::fs::",
                "std::thread::",
                "monoio::",
            ] {
                if product.contains(mark) {
                    wrong.push(format!("{} has `{mark}`", file.display()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_package_registry_is_named() {
    let hosts = [
        ["crates", ".io"].concat(),
        ["npmjs", ".org"].concat(),
        ["npmjs", ".com"].concat(),
        ["pypi", ".org"].concat(),
        ["deb.debian", ".org"].concat(),
    ];
    let mut wrong = Vec::new();
    for file in files(&top()) {
        // Cargo writes where its index is into the lock file; that is not ours to choose.
        if file.ends_with("Cargo.lock") {
            continue;
        }
        let text = std::fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&text);
        for host in hosts.iter().filter(|host| text.contains(host.as_str())) {
            wrong.push(format!("{} names {host}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_are_found_in_every_form_of_use() {
    let named = rooms_named(
        "use crate::wire::Head; use crate::{config::{self, Pool}, proxy as p, ring}; mycrate::cli; crate::balance::x()",
    );
    assert_eq!(named, ["wire", "config", "proxy", "ring", "balance"]);
}

#[test]
fn escapes_on_purpose_are_in_debug_builds_only() {
    const CONDITION: &str = "#[cfg(debug_assertions)]";
    let mut mentions = 0;
    for path in files(&top().join("src")) {
        if path.ends_with("src/ring/escape.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (number, line) in lines.iter().enumerate() {
            let named = [
                "mod escape;",
                "::escape;",
                "fn try_to_escape",
                "Command::Escape =>",
            ];
            if named.iter().any(|words| line.contains(words)) {
                assert_eq!(lines[number - 1], CONDITION, "{}: {line}", path.display());
                mentions += 1;
            }
        }
    }
    assert_eq!(
        mentions, 4,
        "the module, its use, its call, the worker's order"
    );
}

#[test]
fn faults_on_purpose_are_in_debug_builds_only() {
    // The module exists under this condition only, so a mention without it would not compile for release.
    const CONDITION: &str = "#[cfg(debug_assertions)]";
    let mut mentions = 0;
    for path in files(&top().join("src")) {
        let text = std::fs::read_to_string(&path).unwrap();
        let within = path.ends_with("src/proxy/fault.rs");
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (number, line) in lines.iter().enumerate() {
            let named = line.contains("fault::at") || line.contains("mod fault;");
            assert!(
                !named || lines[number - 1] == CONDITION,
                "{}:{}: without {CONDITION}",
                path.display(),
                number + 1
            );
            mentions += usize::from(named);
            assert!(within || !line.contains("RINGBOLT_TEST_PANIC"), "{line}");
        }
    }
    assert!(mentions >= 7, "{mentions}");
}
