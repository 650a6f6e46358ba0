//! The settings that exist: one table per kind of table in the file, each setting with its name, default and
//! meaning. The reader takes the defaults from here, unknown keys are compared with it, and the reference that
//! people read is made of it, so that the three cannot differ.

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
    let plain = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    if name.len() > 64 {
        return None; // the distance costs the product of both lengths
    }
    let name = plain(name);
    let distance = |other: &str| strsim::damerau_levenshtein(&name, &plain(other));
    let allowed = |other: &str| name.len().max(other.len()).div_ceil(3);
    known
        .into_iter()
        .map(|other| (distance(other), other))
        .filter(|(distance, other)| *distance <= allowed(other) && *distance < other.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
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
