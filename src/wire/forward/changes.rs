use crate::config::{HeaderChanges, Secret};
use crate::wire::{Field, Known, KnownSet, rules};

/// Fields that a route sets, adds and removes, made ready once: which of a head's fields do not go on, and the lines that are
/// put behind the others.
#[derive(Debug)]
pub struct Changes {
    /// Fields that go, as far as they are known by name.
    known: KnownSet,
    /// All names that go.
    names: Vec<Box<[u8]>>,
    /// A `Host` of its own, which stands first.
    host: Option<Box<[u8]>>,
    /// What is added, each line with its end.
    lines: Box<[u8]>,
    /// The same, taken apart.
    added: Vec<Added>,
}

impl Changes {
    /// `None` where nothing is changed.
    pub fn new(settings: &HeaderChanges) -> Option<Self> {
        let HeaderChanges { set, add, remove } = settings;
        if set.is_empty() && add.is_empty() && remove.is_empty() {
            return None;
        }
        let mut changes = Self {
            known: KnownSet::default(),
            names: Vec::new(),
            host: None,
            lines: Box::default(),
            added: Vec::new(),
        };
        for name in set.iter().map(|(name, _)| name).chain(remove) {
            let name = spelled(name);
            match Known::of(&name) {
                Known::Other | Known::XForwardedOther => {}
                known => changes.known.insert(known),
            }
            changes.names.push(name);
        }
        let mut lines = Vec::new();
        for (name, Secret(value)) in set.iter().chain(add) {
            let (name, value) = (spelled(name), &value[..]);
            if Known::of(&name) == Known::Host {
                changes.host = Some(value.into());
                continue;
            }
            for part in [&name[..], b": ", value, b"\r\n"] {
                lines.extend_from_slice(part);
            }
            changes.added.push(Added {
                name,
                value: value.into(),
            });
        }
        changes.lines = lines.into();
        Some(changes)
    }

    /// Whether a field of this name does not go on, and is not added by anybody else.
    pub fn drops(&self, name: &[u8]) -> bool {
        self.dropped()
            .any(|dropped| rules::is_same_name(dropped, name))
    }

    /// The names that do not go on.
    pub(super) fn dropped(&self) -> impl Iterator<Item = &[u8]> {
        self.names.iter().map(|name| &**name)
    }

    /// The same for a field of a head.
    pub fn drops_field(&self, field: &Field, buf: &[u8]) -> bool {
        match field.known {
            Known::Other | Known::XForwardedOther => self.drops(field.name.of(buf)),
            known => self.known.has(known),
        }
    }

    /// Whether fields known by this name do not go on.
    pub(super) const fn drops_known(&self, known: Known) -> bool {
        self.known.has(known)
    }

    /// The `Host` that a request gets.
    pub(super) fn host(&self) -> Option<&[u8]> {
        self.host.as_deref()
    }

    /// What is added, each line with its end.
    pub fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// The same as names and values.
    pub fn added(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.added.iter().map(|added| (&*added.name, &*added.value))
    }
}

/// A name that is a known field's once its `_` are `-` means that field, and is sent as such: a strict reader refuses the
/// other spelling, and most others do not know it.
fn spelled(name: &str) -> Box<[u8]> {
    match rules::lookalike(name.as_bytes()) {
        Ok(()) => name.as_bytes().into(),
        Err(_) => name.replace('_', "-").into_bytes().into(),
    }
}

#[derive(Debug)]
struct Added {
    name: Box<[u8]>,
    value: Box<[u8]>,
}
