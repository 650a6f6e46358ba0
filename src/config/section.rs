//! The settings that exist: one table per kind of table in the file, each setting with its name, default and
//! meaning. The reader takes the defaults from here, unknown keys are compared with it, and the reference that
//! people read is made of it, so that the three cannot differ.

use super::SECTIONS;

/// A kind of table: `[process]`, `[[listener]]`, `[pool.NAME]`, …
#[derive(Debug)]
pub struct Section {
    /// As people write it, with `NAME` for what they choose; empty for the file itself.
    pub name: &'static str,
    /// Its settings, in the order in which they are best read.
    pub settings: &'static [Setting],
    /// The keys are names that the user chooses.
    pub free_keys: bool,
}

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// The key.
    pub name: &'static str,
    /// The default as it would stand in the file; empty when leaving it out means something that no
    /// value says, which `meaning` explains.
    pub default: &'static str,
    /// What it does, in one sentence for people.
    pub meaning: &'static str,
}

impl Section {
    /// A kind of table with these settings.
    pub(super) const fn new(name: &'static str, settings: &'static [Setting]) -> Self {
        Self {
            name,
            settings,
            free_keys: false,
        }
    }

    /// Whether it has a setting of this name.
    pub fn knows(&self, name: &str) -> bool {
        self.settings.iter().any(|setting| setting.name == name)
    }

    pub(super) fn default(&self, name: &str) -> &'static str {
        let setting = self.settings.iter().find(|setting| setting.name == name);
        setting.map_or("", |setting| setting.default)
    }
}

/// Every setting as Markdown, a table per section: what the README shows.
pub fn reference() -> String {
    let mut text = String::new();
    for section in SECTIONS.iter().filter(|section| !section.name.is_empty()) {
        text.push_str(&format!(
            "### `{}`\n\n| setting | default | |\n| --- | --- | --- |\n",
            section.name
        ));
        for Setting {
            name,
            default,
            meaning,
        } in section.settings
        {
            let default = if default.is_empty() {
                "–".to_owned()
            } else {
                format!("`{default}`")
            };
            text.push_str(&format!("| `{name}` | {default} | {meaning} |\n"));
        }
        text.push('\n');
    }
    text
}

/// A row of a section's table.
pub(super) const fn setting(
    name: &'static str,
    default: &'static str,
    meaning: &'static str,
) -> Setting {
    Setting {
        name,
        default,
        meaning,
    }
}

/// The known name that this one was probably meant to be.
pub(super) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = |other: &str| {
        name.len()
            .max(other.len())
            .div_ceil(3)
            .min(other.len().saturating_sub(1))
    };
    known
        .into_iter()
        .filter_map(|other| Some((slips(name, other)?, other)))
        .filter(|(slips, other)| *slips <= allowed(other))
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, other)| other)
}

/// How many slips of the finger lie between two names; case, `-` and `_` are none. `None` for a name too long to be one: the
/// comparison costs the product of both lengths.
pub(super) fn slips(name: &str, other: &str) -> Option<usize> {
    let plain = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    (name.len() <= 64).then(|| strsim::damerau_levenshtein(&plain(name), &plain(other)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_finds_slips_and_nothing_else() {
        let known = [
            "connect",
            "client",
            "server",
            "tunnel",
            "request_head",
            "keep_alive",
        ];
        for (written, meant) in [
            ("conect", Some("connect")),
            ("keep-alive", Some("keep_alive")),
            ("KEEP_ALIVE", Some("keep_alive")),
            ("requesthead", Some("request_head")),
            ("tunel", Some("tunnel")),
            ("http", None),
            ("", None),
            ("zzzzzzzz", None),
        ] {
            assert_eq!(nearest(written, known), meant, "{written}");
        }
    }
}
