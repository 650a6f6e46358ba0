//! Requests through a proxy to a recorder of its own.

use std::net::SocketAddr;
use std::time::Duration;

use super::client::Client;
use super::corpus::{Script, Vector};
use super::delivery::Delivery;
use super::outcome::Outcome;
use super::recorder::Recorder;
use super::site::{Program, Site};
use super::trial::{Tried, Way};

pub struct Requests {
    site: Site,
    recorder: Recorder,
}

impl Requests {
    /// `None` when a peer is not installed.
    pub fn through(program: Program) -> Option<Self> {
        let recorder = Recorder::start();
        let site = Site::start(program, &recorder.address())?;
        Some(Self { site, recorder })
    }

    pub fn send(&self, script: &Script, delivery: Delivery, quiet: Duration) -> Outcome {
        self.send_on(self.client(), script, delivery, quiet)
    }

    fn client(&self) -> Client {
        let address: SocketAddr = self.site.address;
        Client::connect(address)
    }

    fn send_on(
        &self,
        mut client: Client,
        script: &Script,
        delivery: Delivery,
        quiet: Duration,
    ) -> Outcome {
        let mark = self.recorder.mark();
        client.send(script, delivery);
        client.receive(quiet, |held| status(held).is_some());
        let status = status(&client.held);
        drop(client);
        let arrivals = self.recorder.since(mark);
        Outcome {
            status,
            refused: status.is_none_or(|status| status >= 400),
            misread: arrivals.iter().find_map(|arrival| arrival.misread.clone()),
            arrived: arrivals
                .into_iter()
                .flat_map(|arrival| arrival.requests)
                .collect(),
            ..Outcome::default()
        }
    }
}

impl Way for Requests {
    fn program(&self) -> Program {
        self.site.program
    }

    /// The twin goes over a connection that was open before.
    fn try_out(&self, vector: &Vector, quiet: Duration) -> Tried {
        let beside = self.client();
        let outcome = self.send(&vector.script, Delivery::Whole, quiet);
        let twin = self.send_on(beside, &vector.twin, Delivery::Whole, quiet);
        Tried { outcome, twin }
    }
}

/// The status of the first response that is not 1xx.
fn status(mut bytes: &[u8]) -> Option<u16> {
    loop {
        let text = bytes.get(9..12)?;
        let status: u16 = std::str::from_utf8(text).ok()?.parse().ok()?;
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        if status >= 200 || status == 101 {
            return Some(status);
        }
        bytes = &bytes[end + 4..];
    }
}
