//! `monitor` of a listener: a path at which others ask whether it serves.

use super::Monitor;
use super::item::Item;
use super::names::Names;
use super::section::{Section, setting};
use super::values::url_path;

pub(super) const MONITOR: Section = Section::new(
    "listener.monitor",
    &[
        setting("path", "", "exactly this path; must be given"),
        setting(
            "pools",
            "[]",
            "503 while no server of any of these pools takes new clients",
        ),
    ],
);

/// A path, or a table that names pools as well.
pub(super) fn monitor(item: &Item<'_>, pools: &Names) -> Option<Monitor> {
    if item.is_word() {
        let path = item.parse(url_path)?;
        return Some(Monitor {
            path,
            pools: Vec::new(),
        });
    }
    if !item.is_table() {
        item.wrong_type("a path such as \"/healthz\", or a table { path, pools }");
        return None;
    }
    let table = item.table(&MONITOR)?;
    let pools = table.setting("pools", |item| item.one_or_list(|item| pools.find(item)));
    let path = table.required("path", |item| item.parse(url_path))?;
    Some(Monitor { path, pools })
}
