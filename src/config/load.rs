//! The way from bytes to settings: UTF-8, TOML, tables, names, and the rules between them.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::environment::Environment;
use super::error_pages::error_pages;
use super::foreign::foreign_file;
use super::haproxy::file_of_haproxy;
use super::listener::{LISTENER, Taken, addresses, internal, listeners, take_all};
use super::log::{LOG, log};
use super::names::Names;
use super::pool::{POOL, pool};
use super::problem::{Problem, Problems, Severity};
use super::process::{self, CONTROL, LIMITS, PROCESS, TIMEOUTS, WEBSOCKET};
use super::reader::{Cause, Note, Reader, shorten};
use super::resolver::{RESOLVER, resolver};
use super::route::{ROUTE, routes};
use super::section::Section;
use super::source::{Source, secret_values, suspect_lines};
use super::stats::{STATS, stats};
use super::table::Table;
use super::unquoted::unquoted;
use super::values::name;
use super::{Config, EmptyEnvironment, Listener, Pool, Route};

/// Reads a configuration. `path` is only for the messages; `text` is what the file holds.
///
/// # Errors
/// All errors and warnings, when there is at least one error. Warnings alone are dropped here: use
/// [`check`](fn@check) to show them.
pub fn load(path: &Path, text: &str, environment: &dyn Environment) -> Result<Config, Problems> {
    let checked = check(path, text.as_bytes(), environment);
    checked.config.ok_or(checked.problems)
}

/// What [`check`] found.
#[derive(Debug, Clone, PartialEq)]
pub struct Checked {
    /// The settings, when there is no error.
    pub config: Option<Config>,
    /// Errors and warnings; only warnings when `config` is there.
    pub problems: Problems,
}

/// Reads a configuration and keeps the warnings of one that can be used. Takes bytes, so that a file
/// which is not UTF-8 is reported like any other mistake.
pub fn check(path: &Path, bytes: &[u8], environment: &dyn Environment) -> Checked {
    let file = path.display().to_string();
    let shown = String::from_utf8_lossy(bytes);
    if let Some(problem) = file_of_haproxy(&shown).or_else(|| foreign_file(&shown)) {
        return unusable(file, problem);
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(wrong) => return not_text(file, bytes, wrong.valid_up_to()),
    };
    let source = Source::new(text);
    let (tree, syntax) = DeTable::parse_recoverable(text);
    let reader = Reader::new(&source, environment);
    let mut secrets = secret_values(tree.get_ref());
    if !syntax.is_empty() {
        secrets.extend(suspect_lines(text));
    }
    for error in &syntax {
        reader.report(syntax_note(error, tree.get_ref(), &source, &secrets));
    }
    let config = config(&Table::root(&reader, tree.get_ref()));
    let problems = Problems {
        file,
        problems: resolve(reader.into_notes(), &source, &secrets),
    };
    Checked {
        config: (problems.errors() == 0).then_some(config),
        problems,
    }
}

/// Feeds any bytes through everything that reads and prints: nothing may panic, and an unusable file has an error.
/// Shared by the property test and the fuzz target.
pub fn fuzz_any(bytes: &[u8]) {
    let checked = check(Path::new("fuzz.toml"), bytes, &EmptyEnvironment);
    assert_eq!(checked.config.is_none(), checked.problems.errors() > 0);
    for problem in &checked.problems.problems {
        let shown = problem.text.chars().count();
        assert!(
            problem.mark.end <= shown,
            "the mark lies outside of its line: {problem:?}"
        );
        assert!(problem.column > 0 && problem.line > 0 && problem.line <= bytes.len() + 1);
        assert!(!problem.text.chars().any(char::is_control), "{problem:?}");
        assert!(
            !problem.message.chars().any(char::is_control),
            "{problem:?}"
        );
        let help = problem.help.as_deref().unwrap_or_default();
        assert!(!help.chars().any(char::is_control), "{problem:?}");
    }
    let _printed = (checked.problems.to_string(), checked.problems.to_json());
}

fn config(root: &Table<'_>) -> Config {
    let timeouts = process::timeouts(&root.table("timeouts", &TIMEOUTS));
    let (pools, pool_names) = pools(root, &timeouts);
    let mut listener_names = Names::new("listener");
    let mut taken = Taken::new();
    let mut listeners = listeners(
        &root.tables("listener", &LISTENER),
        &mut listener_names,
        &pool_names,
        &mut taken,
    );
    let routes = routes(
        &root.tables("route", &ROUTE),
        &listener_names,
        &pool_names,
        &pools,
    );
    check_whole(root, &listeners, &listener_names, &routes, &pool_names);
    let stats = root.has("stats").then(|| {
        let table = root.table("stats", &STATS);
        let mut stats = stats(&table);
        if let Some(bind) = table.optional("bind", addresses) {
            listener_names.take(root.reader, STATS_LISTENER, &table.span_of("bind"));
            let bind = take_all(root.reader, bind, &mut taken);
            stats.listener = Some(listeners.len());
            listeners.push(internal(root, STATS_LISTENER, bind));
        }
        stats
    });
    Config {
        process: process::process(&root.table("process", &PROCESS)),
        limits: process::limits(&root.table("limits", &LIMITS)),
        timeouts,
        websocket: process::websocket(&root.table("websocket", &WEBSOCKET)),
        logs: root.tables("log", &LOG).iter().filter_map(log).collect(),
        control: process::control(&root.table("control", &CONTROL)),
        stats,
        resolver: resolver(&root.table("resolver", &RESOLVER), &pools),
        listeners,
        routes,
        error_pages: root
            .optional("error_pages", error_pages)
            .unwrap_or_default(),
        pools,
    }
}

fn pools(root: &Table<'_>, timeouts: &super::Timeouts) -> (Vec<Pool>, Names) {
    let mut names = Names::new("pool");
    let pools = root.optional("pool", |item| {
        let mut pools = Vec::new();
        for (key, span, item) in item.table(&POOLS)?.entries() {
            names.take(item.reader, key, &span);
            if let Err(refusal) = name(key) {
                let message = format!(
                    "a pool cannot be named `{}`: {}",
                    shorten(key),
                    refusal.message
                );
                item.reader
                    .report(Note::error(&span, message).maybe_help(refusal.help));
            }
            if let Some(table) = item.table(&POOL) {
                pools.push(pool(&table, key.to_owned(), timeouts));
            }
        }
        Some(pools)
    });
    (pools.unwrap_or_default(), names)
}

/// What only the whole file can show.
fn check_whole(
    root: &Table<'_>,
    listeners: &[Listener],
    listener_names: &Names,
    routes: &[Route],
    pools: &Names,
) {
    if listeners.is_empty()
        && root
            .optional("listener", |item| item.is_empty_list().then_some(()))
            .is_some()
            == root.has("listener")
    {
        let note = Note::error(&root.span, "there is no listener");
        root.reader.report(
            note.help("write `[[listener]]` with `name`, `bind` and `default_pool`")
                .absent(),
        );
    }
    for (index, listener) in listeners.iter().enumerate() {
        let routed = routes
            .iter()
            .any(|route| route.listener.is_none_or(|only| only == index));
        if let (None, false, Some((name, span))) =
            (listener.default_pool, routed, listener_names.get(index))
        {
            let message = format!(
                "no route and no `default_pool` leads on from listener `{name}`: requests get 503"
            );
            root.reader.report(Note::warning(span, message).unreached());
        }
    }
    let used = |pool: usize| {
        routes.iter().any(|route| route.pool() == Some(pool))
            || listeners
                .iter()
                .any(|listener| listener.default_pool == Some(pool))
    };
    for (index, (name, span)) in pools.iter().enumerate() {
        if !used(index) {
            root.reader.report(
                Note::warning(
                    span,
                    format!("no route and no listener leads to pool `{name}`"),
                )
                .unreached(),
            );
        }
    }
}

/// Drops consequences, sorts by place, and gives each problem its line.
fn resolve(
    mut notes: Vec<Note>,
    source: &Source<'_>,
    secrets: &[std::ops::Range<usize>],
) -> Vec<Problem> {
    notes.sort_by_key(|note| (note.span.start, note.cause != Cause::Syntax));
    let line = |note: &Note| source.line(note.span.start);
    let broken: Vec<usize> = notes
        .iter()
        .filter(|note| note.cause == Cause::Syntax)
        .map(line)
        .collect();
    let errors = notes.iter().any(|note| note.severity == Severity::Error);
    // A table under another proxy's name: what refers to it, and what it would have been, is not missing.
    let misnamed = notes.iter().any(|note| note.cause == Cause::Misnamed);
    let mut previous = None;
    notes.retain(|note| match note.cause {
        Cause::Syntax => !follows(previous.replace(line(note)), line(note), &note.message),
        Cause::Present | Cause::Misnamed => broken.binary_search(&line(note)).is_err(),
        Cause::Absent => broken.is_empty() && !misnamed,
        Cause::Unreached => !errors,
    });
    let problem = |note: Note| {
        let shown = source.show(&note.span, secrets);
        let Note {
            severity,
            message,
            help,
            ..
        } = note;
        Problem {
            severity,
            message: printable(message),
            line: shown.line,
            column: shown.column,
            text: shown.text,
            mark: shown.mark,
            help: help.map(printable),
        }
    };
    notes.into_iter().map(problem).collect()
}

/// Without control characters: a quoted key may hold any, and a message goes to a terminal.
fn printable(message: String) -> String {
    if !message.contains(char::is_control) {
        return message;
    }
    let drawn = |character: char| match character.is_control() {
        true => character.escape_default().collect(),
        false => character.to_string(),
    };
    message.chars().map(drawn).collect()
}

/// The TOML reader's words, but for a name that is there twice and a value without its quotes.
fn syntax_note(
    error: &toml::de::Error,
    tree: &DeTable<'_>,
    source: &Source<'_>,
    secrets: &[std::ops::Range<usize>],
) -> Note {
    let span = error.span().unwrap_or(0..0);
    if let Some(note) = unquoted(error.message(), &span, source, secrets) {
        return note;
    }
    if error.message() != "duplicate key" {
        let help = syntax_help(error.message()).map(str::to_owned);
        return Note::error(&span, error.message())
            .maybe_help(help)
            .syntax();
    }
    let key = source.text(&span).trim_matches(['"', '\'']);
    let message = format!("`{}` is there twice", shorten(key));
    let first = nearest_before(key, span.start, tree).map(|first| source.line(first));
    let first = first.or_else(|| source.same_before(span.start));
    let help = first.map(|line| format!("the first one stands in line {line}"));
    Note::error(&span, message).maybe_help(help).syntax()
}

/// What the two most common slips look like to a TOML reader.
fn syntax_help(message: &str) -> Option<&'static str> {
    let starts = |words: &[&str]| words.iter().any(|word| message.starts_with(word));
    match message {
        _ if starts(&[
            "invalid basic string, expected `\"`",
            "invalid literal string, expected `'`",
        ]) =>
        {
            Some("the closing quote is missing")
        }
        _ if starts(&[
            "string values must be quoted",
            "invalid float",
            "invalid integer",
            "invalid date",
        ]) =>
        {
            Some("text stands in quotes, a number and true or false without")
        }
        _ => None,
    }
}

/// Where the last key of this name before an offset stands.
fn nearest_before(key: &str, offset: usize, tree: &DeTable<'_>) -> Option<usize> {
    let inside = |value: &DeValue<'_>| match value {
        DeValue::Table(table) => nearest_before(key, offset, table),
        DeValue::Array(list) => list
            .iter()
            .filter_map(|item| nearest_before(key, offset, item.get_ref().as_table()?))
            .max(),
        _ => None,
    };
    let here = |name: &toml::Spanned<std::borrow::Cow<'_, str>>| {
        let start = name.span().start;
        (name.get_ref() == key && start < offset).then_some(start)
    };
    tree.iter()
        .filter_map(|(name, value)| here(name).max(inside(value.get_ref())))
        .max()
}

/// Whether a syntax error is the echo of the one before: in the same line, or because an open bracket there swallows one
/// line after the other.
fn follows(previous: Option<usize>, line: usize, message: &str) -> bool {
    let swallowed =
        message.starts_with("missing comma") || message.starts_with("missing assignment");
    previous.is_some_and(|previous| previous == line || swallowed && previous + 1 == line)
}

fn not_text(file: String, bytes: &[u8], at: usize) -> Checked {
    let text = String::from_utf8_lossy(bytes);
    let shown = Source::new(&text).show(
        &(at..at + char::REPLACEMENT_CHARACTER.len_utf8()),
        &suspect_lines(&text),
    );
    let problem = Problem {
        severity: Severity::Error,
        message: "the file is not UTF-8 text".to_owned(),
        line: shown.line,
        column: shown.column,
        text: shown.text,
        mark: shown.mark,
        help: None,
    };
    unusable(file, problem)
}

/// A file about which there is only one thing to say.
fn unusable(file: String, problem: Problem) -> Checked {
    Checked {
        config: None,
        problems: Problems {
            file,
            problems: vec![problem],
        },
    }
}

/// The listener of the stats page, if it has addresses of its own.
const STATS_LISTENER: &str = "stats";

/// `[pool.NAME]`: the keys are the pools' names.
const POOLS: Section = Section {
    free_keys: true,
    ..Section::new("pool", &[])
};
