//! A server's answers through a proxy to a client.

use std::time::Duration;

use super::client::Client;
use super::corpus::{End, Script, Vector};
use super::delivery::{Delivery, PAUSE};
use super::outcome::Outcome;
use super::reading::{Asked, read_answer};
use super::site::{Program, Site};
use super::trial::{Tried, Way};

pub struct Responses {
    site: Site,
}

impl Responses {
    /// `None` when a peer is not installed. The server is an [`super::origin::Origin`].
    pub fn through(program: Program, server: &str) -> Option<Self> {
        let site = Site::start(program, server)?;
        Some(Self { site })
    }

    /// Asks for a vector (or its twin), and then for what has to follow in order: on the same connection, and on one
    /// that was open before. A server's connection that still has bytes of the vector would give them to either.
    pub fn ask(&self, vector: &Vector, kind: &str, delivery: Delivery, quiet: Duration) -> Outcome {
        let (mut client, beside) = (self.client(), self.client());
        let asked = asked(vector);
        let linger = (quiet + 4 * PAUSE).as_millis();
        let target = format!("/{kind}/{}/{delivery}/{linger}", vector.number);
        client.send(&script(&request(vector, &target)), Delivery::Whole);
        client.receive(quiet, |held| {
            !matches!(read_answer(held, asked, false), Ok(None))
        });
        let mut outcome = outcome(&client, asked);
        let whole = outcome.has_arrived() && outcome.misread.is_none();
        if whole && !client.closed && asked != Asked::ToUpgrade {
            outcome.faults.extend(following(client, "same", vector));
        }
        outcome.faults.extend(following(beside, "other", vector));
        outcome
    }

    fn client(&self) -> Client {
        Client::connect(self.site.address)
    }
}

impl Way for Responses {
    fn program(&self) -> Program {
        self.site.program
    }

    fn try_out(&self, vector: &Vector, quiet: Duration) -> Tried {
        Tried {
            outcome: self.ask(vector, "vector", Delivery::Whole, quiet),
            twin: self.ask(vector, "twin", Delivery::Whole, quiet),
        }
    }
}

fn outcome(client: &Client, asked: Asked) -> Outcome {
    let mut outcome = Outcome {
        status: first_status(&client.held),
        refused: true,
        ..Outcome::default()
    };
    match read_answer(&client.held, asked, client.closed && !client.broken) {
        Ok(None) => {}
        Ok(Some((answer, used))) => {
            outcome.status = answer.last.what.parse().ok();
            outcome.interims = answer.interims;
            // Proxies speak so for themselves; no vector does.
            if !matches!(outcome.status, Some(500..=504)) {
                outcome.refused = false;
                outcome.arrived.push(answer.last);
            }
            let behind = client.held.len() - used;
            outcome.misread = (behind > 0).then(|| format!("{behind} bytes behind the answer"));
        }
        Err(why) => {
            outcome.refused = false;
            outcome.misread = Some(why);
        }
    }
    outcome
}

/// Why the next request on this connection was not answered as it should be. A connection that ended is none.
fn following(mut client: Client, place: &str, vector: &Vector) -> Option<String> {
    let word = format!("{place}-{}", vector.number);
    client.held.clear();
    let next = format!("GET /say/{word} HTTP/1.1\r\nHost: h\r\n\r\n");
    client.send(&script(next.as_bytes()), Delivery::Whole);
    client.receive(Duration::ZERO, |held| {
        !matches!(read_answer(held, Asked::Plainly, false), Ok(None))
    });
    if client.held.is_empty() && client.closed && place == "same" {
        return None;
    }
    match read_answer(&client.held, Asked::Plainly, false) {
        Ok(Some((answer, used)))
            if answer.last.body == word.as_bytes() && used == client.held.len() =>
        {
            None
        }
        _ => Some(format!(
            "the next request on the {place} connection was answered with {:.120?}",
            String::from_utf8_lossy(&client.held)
        )),
    }
}

fn asked(vector: &Vector) -> Asked {
    match &vector.ask[..] {
        "HEAD" => Asked::ForHead,
        "upgrade" => Asked::ToUpgrade,
        _ => Asked::Plainly,
    }
}

fn request(vector: &Vector, target: &str) -> Vec<u8> {
    let text = match &vector.ask[..] {
        "GET" => format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n"),
        "HEAD" => format!("HEAD {target} HTTP/1.1\r\nHost: h\r\n\r\n"),
        "POST" => {
            format!("POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello")
        }
        "old" => format!("GET {target} HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"),
        "upgrade" => format!(
            "GET {target} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ),
        other => panic!("{} asks with {other:?}", vector.name),
    };
    text.into_bytes()
}

fn script(bytes: &[u8]) -> Script {
    Script {
        parts: vec![bytes.to_vec()],
        end: End::Stay,
    }
}

/// What stands in the status line's place.
fn first_status(bytes: &[u8]) -> Option<u16> {
    std::str::from_utf8(bytes.get(9..12)?).ok()?.parse().ok()
}
