//! The vectors and the exceptions, as their files tell them.

use super::site::Program;

/// A message on which readers could disagree.
pub struct Vector {
    /// Its place in the file.
    pub number: usize,
    /// `group/name`.
    pub name: String,
    /// What stands in the place that varies, as the file writes it.
    pub shown: String,
    pub bytes: Vec<u8>,
    /// The message of the same shape that must pass.
    pub twin: Vec<u8>,
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

/// Reads `requests.txt`; its head says how it is written.
pub fn requests(text: &str) -> Vec<Vector> {
    let (mut group, mut message, mut twin) = ("", "", "");
    let mut vectors: Vec<Vector> = Vec::new();
    for line in text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        if let Some(head) = line.strip_prefix('[') {
            group = head.split_once(']').expect("a group's name").0;
        } else if let Some(whole) = line.strip_prefix("message ") {
            message = whole;
        } else if let Some(benign) = line.strip_prefix("twin ") {
            twin = benign;
        } else {
            let (name, shown) = line
                .split_once(" = ")
                .unwrap_or_else(|| panic!("no vector: {line:?}"));
            let name = format!("{group}/{name}");
            assert!(
                vectors.iter().all(|other| other.name != name),
                "{name} stands there twice"
            );
            vectors.push(Vector {
                number: vectors.len(),
                name,
                shown: shown.to_owned(),
                bytes: filled(message, shown),
                twin: filled(message, twin),
            });
        }
    }
    vectors
}

/// Reads `exceptions.txt`: `NAME PEER REASON` a line.
pub fn exceptions(text: &str) -> Vec<Exception> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let words = lines.map(|line| {
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

fn filled(message: &str, what: &str) -> Vec<u8> {
    let (before, after) = message.split_once("{here}").expect("a place that varies");
    [bytes(before), bytes(what), bytes(after)].concat()
}

/// Undoes the escapes.
fn bytes(text: &str) -> Vec<u8> {
    let mut all = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        all.extend_from_slice(&rest.as_bytes()[..at]);
        let escape = &rest[at + 1..];
        let used = match escape.as_bytes()[0] {
            b'x' => {
                all.push(u8::from_str_radix(&escape[1..3], 16).unwrap());
                3
            }
            b'{' => {
                let end = escape.find('}').unwrap();
                let (unit, count) = escape[1..end].rsplit_once('*').unwrap();
                all.extend(bytes(unit).repeat(count.parse().unwrap()));
                end + 1
            }
            letter => {
                all.push(match letter {
                    b'r' => b'\r',
                    b'n' => b'\n',
                    b't' => b'\t',
                    b'0' => 0,
                    b'\\' => b'\\',
                    _ => panic!("no such escape: {escape:?}"),
                });
                1
            }
        };
        rest = &escape[used..];
    }
    all.extend_from_slice(rest.as_bytes());
    all
}
