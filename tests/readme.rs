//! The README is true: its settings are those of `config.toml`, its configuration loads, its links lead somewhere.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

const README: &str = include_str!("../README.md");
const CONFIG: &str = include_str!("../config.toml");

/// `table.key` → the default's text; `None` where the file or the README says it in words.
type Settings = BTreeMap<String, Option<String>>;

#[test]
fn the_readme_has_every_setting_of_config_toml_and_its_default() {
    let (told, real) = (settings_of_readme(), settings_of_config());
    assert!(
        real.len() > 70,
        "config.toml was understood: {}",
        real.len()
    );
    let names = |settings: &Settings| settings.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&told), names(&real));
    for (name, default) in &real {
        if let (Some(default), Some(told)) = (default, &told[name]) {
            assert_eq!(told, default, "{name}");
        }
    }
}

#[test]
fn the_configuration_beside_haproxy_cfg_loads() {
    let block = README.split("```toml\n").nth(1).unwrap();
    let text = block.split("```").next().unwrap();
    assert!(text.contains("/haproxyStats"), "{text}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    let binary = env!("CARGO_BIN_EXE_ringbolt");
    let checked = Command::new(binary)
        .arg("check")
        .arg(&path)
        .output()
        .unwrap();
    assert!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
}

#[test]
fn files_and_scripts_that_it_names_are_there() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let links = README
        .split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap());
    let files = links.filter(|link| !link.starts_with("http") && !link.starts_with('#'));
    let scripts = README.match_indices("scripts/").map(|(at, _)| {
        let rest = &README[at..];
        rest.split(|c: char| !(c.is_ascii_alphanumeric() || c == '/'))
            .next()
            .unwrap()
    });
    for file in files.chain(scripts) {
        assert!(top.join(file).exists(), "{file}");
    }
}

/// Rows of the tables under headings such as ``### `[process]` ``.
fn settings_of_readme() -> Settings {
    let mut settings = Settings::new();
    let mut table = None;
    for line in README.lines() {
        if line.starts_with('#') {
            table = line
                .strip_prefix("### `[")
                .map(|rest| name_of(rest.trim_end_matches('`')));
        }
        let Some(table) = &table else { continue };
        let cells: Vec<&str> = line
            .split(" | ")
            .map(|cell| cell.trim_matches(['|', ' ']))
            .collect();
        if cells.len() != 4 || !cells[0].starts_with('`') {
            continue;
        }
        let default = cells[2]
            .strip_prefix('`')
            .and_then(|rest| rest.strip_suffix('`'));
        let default = default
            .filter(|text| !text.contains('`'))
            .map(str::to_owned);
        for key in cells[0].split(", ") {
            settings.insert(
                format!("{table}.{}", key.trim_matches('`')),
                default.clone(),
            );
        }
    }
    settings
}

/// Its lines `key = value` and `# key = value` under their tables.
fn settings_of_config() -> Settings {
    let mut settings = Settings::new();
    let mut table = String::new();
    for line in CONFIG.lines() {
        let (bare, commented) = match line.strip_prefix("# ") {
            Some(rest) => (rest, true),
            None => (line, false),
        };
        if bare.starts_with('[') && bare.ends_with(']') {
            table = name_of(bare);
        }
        let Some((key, value)) = bare.split_once(" = ") else {
            continue;
        };
        let is_key = key
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        if !is_key || is_condition(&table) || table.is_empty() {
            continue;
        }
        // A value in a comment is an example, and one of these stands for itself.
        let is_example = commented || ["name", "bind", "target", "check"].contains(&key);
        let default = (!is_example).then(|| value.to_owned());
        settings.entry(format!("{table}.{key}")).or_insert(default);
    }
    settings
}

/// The tables of `force` and `ignore`, which the README tells of in a sentence.
fn is_condition(table: &str) -> bool {
    table.ends_with(".ignore") || table.ends_with(".force")
}

/// `pool.NAME.server` of `[[pool.servers.server]]`.
fn name_of(heading: &str) -> String {
    heading
        .trim_matches(['[', ']'])
        .replace("pool.servers", "pool.NAME")
}
