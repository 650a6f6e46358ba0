//! What everybody made of every vector: a file for people, its differences first.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::outcome::Outcome;
use super::site::Program;
use super::support::Driver;
use super::trial::Trial;

/// Writes `target/differential/NAME.md` and says so, whether or not the test passes.
pub fn write(name: &str, columns: &str, trials: &[Trial<'_>]) -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_ringbolt"));
    let folder = binary.ancestors().nth(2).unwrap().join("differential");
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("{name}.md"));
    let summary = summary(name, trials);
    let text = format!(
        "# {summary}\n\n{}\n{}",
        differences(trials),
        table(columns, trials)
    );
    std::fs::write(&path, text).unwrap();
    let line = format!("differential: {summary} ({})\n", path.display());
    // Not through a macro: a test that passes would keep it to itself.
    let _ = std::io::stderr().write_all(line.as_bytes());
    path
}

fn summary(name: &str, trials: &[Trial<'_>]) -> String {
    let programs: Vec<String> = trials[0]
        .outcomes
        .iter()
        .map(|(program, _)| program.to_string())
        .collect();
    let alone = trials
        .iter()
        .filter(|trial| refusing(trial) == ["Ringbolt"])
        .count();
    let excused: usize = trials.iter().map(|trial| trial.excused.len()).sum();
    let findings: usize = trials.iter().map(|trial| trial.faults.len()).sum();
    format!(
        "{} {name}, each with its twin, through {}: {findings} findings, {excused} excused, {alone} refused by Ringbolt alone",
        trials.len(),
        programs.join(", ")
    )
}

/// Who passed what, by group.
fn differences(trials: &[Trial<'_>]) -> String {
    let mut classes: BTreeMap<String, Vec<&Trial<'_>>> = BTreeMap::new();
    for trial in trials {
        classes.entry(class(trial)).or_default().push(trial);
    }
    let mut text = String::from("| Who refuses | Vectors | Of these |\n|---|---|---|\n");
    for (class, trials) in classes {
        let mut groups: Vec<(&str, usize)> = Vec::new();
        for trial in &trials {
            match groups.last_mut() {
                Some((group, count)) if *group == trial.vector.group() => *count += 1,
                _ => groups.push((trial.vector.group(), 1)),
            }
        }
        let groups: Vec<String> = groups
            .iter()
            .map(|(group, count)| format!("{group} {count}"))
            .collect();
        writeln!(
            text,
            "| {class} | {} | {} |",
            trials.len(),
            groups.join(", ")
        )
        .unwrap();
    }
    text
}

fn class(trial: &Trial<'_>) -> String {
    let refusing = refusing(trial);
    let all = judged(trial).count();
    match refusing.len() {
        0 => "nobody".to_owned(),
        count if count == all => "all".to_owned(),
        1 => format!("{} alone", refusing[0]),
        _ => refusing.join(" and "),
    }
}

fn refusing(trial: &Trial<'_>) -> Vec<String> {
    judged(trial)
        .filter(|(_, outcome)| outcome.refused)
        .map(|(program, _)| program.to_string())
        .collect()
}

/// Ringbolt once: the drivers may not differ.
fn judged<'t>(trial: &'t Trial<'_>) -> impl Iterator<Item = &'t (Program, Outcome)> {
    trial
        .outcomes
        .iter()
        .filter(|(program, _)| *program != Program::Ringbolt(Driver::Epoll))
}

fn table(columns: &str, trials: &[Trial<'_>]) -> String {
    let mut text = format!("{columns}\n\n| Vector | Twin | What stands there |");
    for (program, _) in &trials[0].outcomes {
        write!(text, " {program} |").unwrap();
    }
    text.push_str(" Remark |\n|---|---|---|");
    text.push_str(&"---|".repeat(trials[0].outcomes.len() + 1));
    for trial in trials {
        let vector = trial.vector;
        let shown: String = vector.shown.chars().take(60).collect();
        let shown = shown.replace('|', "\\|").replace('`', "'");
        write!(
            text,
            "\n| {} | {} | `{shown}` |",
            vector.name, vector.twin_name
        )
        .unwrap();
        for (_, outcome) in &trial.outcomes {
            write!(text, " {outcome} |").unwrap();
        }
        let reasons = trial.excused.iter().map(|exception| &exception.reason);
        let remarks: Vec<&str> = trial
            .faults
            .iter()
            .chain(reasons)
            .map(String::as_str)
            .collect();
        write!(text, " {} |", remarks.join("; ").replace('|', "\\|")).unwrap();
    }
    text.push('\n');
    text
}
