//! `[[log]]`: where lines go and how they read.

use super::item::Item;
use super::reader::Note;
use super::section::{Section, setting};
use super::table::Table;
use super::values::{log_target, tag};
use super::{Level, Log, LogFormat, LogTarget, SyslogForm};

pub(super) const LOG: Section = Section::new(
    "log",
    &[
        setting(
            "target",
            "",
            "\"stdout\", \"stderr\", \"file:/path\", \"syslog://127.0.0.1:514\" or \"syslog:/dev/log\"; must be given",
        ),
        setting(
            "format",
            "\"httplog\"",
            "how access lines read: \"httplog\", as HAProxy's, or \"json\"",
        ),
        setting(
            "level",
            "\"info\"",
            "the least urgent level that is written; access lines are \"info\", servers going up and down \"notice\" and above",
        ),
        setting(
            "skip_empty",
            "true",
            "no line for a connection that sent no byte",
        ),
        setting("facility", "\"local0\"", "syslog only"),
        setting(
            "syslog",
            "\"rfc3164\"",
            "syslog only: the message's form, \"rfc3164\" or \"rfc5424\"",
        ),
        setting(
            "tag",
            "\"ringbolt\"",
            "syslog only: the program's name in the message",
        ),
    ],
);

pub(super) fn log(table: &Table<'_>) -> Option<Log> {
    let target = table.required("target", |item| item.parse(log_target));
    let log = Log {
        target: target.clone().unwrap_or(LogTarget::Stdout),
        format: table.setting("format", |item| item.choice(&FORMATS)),
        level: table.setting("level", level),
        skip_empty: table.setting("skip_empty", |item| item.switch()),
        facility: table.setting("facility", facility),
        syslog: table.setting("syslog", |item| item.choice(&FORMS)),
        tag: table.setting("tag", |item| item.parse(tag)),
    };
    let target = target?;
    if !matches!(target, LogTarget::SyslogUdp(_) | LogTarget::SyslogUnix(_)) {
        warn_of_syslog_settings(table);
    }
    Some(log)
}

fn warn_of_syslog_settings(table: &Table<'_>) {
    for name in ["facility", "syslog", "tag"] {
        if table.has(name) {
            let message = format!("`{name}` has no effect: this target is not syslog");
            table
                .reader
                .report(Note::warning(&table.span_of(name), message));
        }
    }
}

fn level(item: &Item<'_>) -> Option<Level> {
    let short = SHORT_LEVELS.iter().find(|(word, _)| item.is_text(word));
    short
        .map(|(_, level)| *level)
        .or_else(|| item.choice(&LEVELS))
}

fn facility(item: &Item<'_>) -> Option<u8> {
    let words: Vec<_> = FACILITIES.into_iter().zip(0..).collect();
    item.choice(&words)
}

const FORMATS: [(&str, LogFormat); 2] =
    [("httplog", LogFormat::Httplog), ("json", LogFormat::Json)];

const FORMS: [(&str, SyslogForm); 2] = [
    ("rfc3164", SyslogForm::Rfc3164),
    ("rfc5424", SyslogForm::Rfc5424),
];

/// The words of RFC 5424.
const LEVELS: [(&str, Level); 8] = [
    ("emergency", Level::Emergency),
    ("alert", Level::Alert),
    ("critical", Level::Critical),
    ("error", Level::Error),
    ("warning", Level::Warning),
    ("notice", Level::Notice),
    ("info", Level::Info),
    ("debug", Level::Debug),
];

/// The short ones of syslog.h, which HAProxy has.
const SHORT_LEVELS: [(&str, Level); 3] = [
    ("emerg", Level::Emergency),
    ("crit", Level::Critical),
    ("err", Level::Error),
];

/// By number, as HAProxy names them.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "auth2",
    "ftp", "ntp", "audit", "alert", "cron2", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];
