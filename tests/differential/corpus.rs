//! The vectors, their twins and the exceptions, as their files tell them.

use super::site::Program;

/// A message on which readers could disagree.
pub struct Vector {
    /// Its place in the file.
    pub number: usize,
    /// `group/name`.
    pub name: String,
    /// What the answers of this group are asked for with; empty for requests.
    pub ask: String,
    /// What stands in the place that varies, as the file writes it.
    pub shown: String,
    pub script: Script,
    /// The message of the same kind that must pass.
    pub twin: Script,
    pub twin_name: String,
}

impl Vector {
    pub fn group(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }
}

/// A message as its sender plays it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// Each after a short pause.
    pub parts: Vec<Vec<u8>>,
    pub end: End,
}

/// What the sender does behind the last byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Waits for the other side.
    Stay,
    /// Closes at once.
    Close,
    /// Resets at once.
    Reset,
}

impl Script {
    pub fn bytes(&self) -> Vec<u8> {
        self.parts.concat()
    }
}

/// Where Ringbolt may forward what a peer refuses.
pub struct Exception {
    name: String,
    peer: String,
    pub reason: String,
}

impl Exception {
    pub fn covers(&self, vector: &Vector, peer: Program) -> bool {
        self.name == vector.name && self.peer == peer.to_string()
    }
}

impl std::fmt::Display for Exception {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.name, self.peer)
    }
}

/// Reads `requests.txt` or `responses.txt`; their heads say how they are written.
pub fn vectors(text: &str) -> Vec<Vector> {
    let (mut group, mut ask, mut message) = ("", "", "");
    let mut twins: Vec<(&str, &str)> = Vec::new();
    let mut vectors: Vec<Vector> = Vec::new();
    for line in meant(text) {
        if let Some(head) = line.strip_prefix('[') {
            group = head.split_once(']').expect("a group's name").0;
            (ask, message) = ("", "");
            twins.clear();
            continue;
        }
        if let Some(whole) = line.strip_prefix("message ") {
            message = whole;
            continue;
        }
        if let Some(word) = line.strip_prefix("ask ") {
            ask = word;
            continue;
        }
        let (head, shown) = line
            .split_once(" = ")
            .or_else(|| Some((line.strip_suffix(" =")?, "")))
            .unwrap_or_else(|| panic!("no vector: {line:?}"));
        let (name, twin) = head
            .split_once(' ')
            .unwrap_or_else(|| panic!("{group}/{head} names no twin"));
        if name == "twin" {
            twins.push((twin, shown));
            continue;
        }
        let (_, benign) = twins
            .iter()
            .find(|(other, _)| *other == twin)
            .unwrap_or_else(|| panic!("{group} has no twin {twin}"));
        let name = format!("{group}/{name}");
        assert!(
            vectors.iter().all(|other| other.name != name),
            "{name} stands there twice"
        );
        vectors.push(Vector {
            number: vectors.len(),
            name,
            ask: ask.to_owned(),
            shown: shown.to_owned(),
            script: script(message, shown),
            twin: script(message, benign),
            twin_name: twin.to_owned(),
        });
    }
    vectors
}

/// Reads exceptions: `NAME PEER REASON` a line.
pub fn exceptions(text: &str) -> Vec<Exception> {
    let words = meant(text).map(|line| {
        let mut words = line.splitn(3, ' ').map(str::to_owned);
        let mut word = || {
            words
                .next()
                .unwrap_or_else(|| panic!("no exception: {line:?}"))
        };
        Exception {
            name: word(),
            peer: word(),
            reason: word(),
        }
    });
    words.collect()
}

fn meant(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn script(message: &str, what: &str) -> Script {
    let mut script = Script {
        parts: vec![Vec::new()],
        end: End::Stay,
    };
    let (before, after) = message.split_once("{here}").expect("a place that varies");
    for text in [before, what, after] {
        read(text, &mut script);
    }
    script
}

/// Undoes the escapes.
fn read(text: &str, script: &mut Script) {
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at + 1..];
        script.push(&rest.as_bytes()[..at]);
        let used = match escape.as_bytes()[0] {
            b'x' => {
                script.push(&[u8::from_str_radix(&escape[1..3], 16).unwrap()]);
                3
            }
            b'{' => {
                let end = escape.find('}').unwrap();
                let (unit, count) = escape[1..end].rsplit_once('*').unwrap();
                for _ in 0..count.parse::<usize>().unwrap() {
                    read(unit, script);
                }
                end + 1
            }
            b'p' => {
                script.parts.push(Vec::new());
                1
            }
            b'C' => {
                script.end = End::Close;
                1
            }
            b'R' => {
                script.end = End::Reset;
                1
            }
            letter => {
                script.push(match letter {
                    b'r' => b"\r",
                    b'n' => b"\n",
                    b't' => b"\t",
                    b'0' => b"\0",
                    b'\\' => b"\\",
                    _ => panic!("no such escape: {escape:?}"),
                });
                1
            }
        };
        rest = &escape[used..];
    }
    script.push(rest.as_bytes());
}

impl Script {
    fn push(&mut self, bytes: &[u8]) {
        self.parts
            .last_mut()
            .expect("one from the beginning")
            .extend_from_slice(bytes);
    }
}
