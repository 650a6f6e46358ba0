//! Answers that the configuration has us give: no server is asked, and the connection stays where the request
//! allows it.

use std::sync::Arc;

use super::connection::{After, Connection};
use super::ending::{Ending, Phase};
use super::request::{Facts, Request};
use super::story::Story;
use crate::ring::{self, Buffer, Duplex, Elapsed};
use crate::wire::Method;
use crate::wire::answer::{Answer, Elsewhere};
use crate::wire::forward::Connection as Says;
use crate::wire::request::RequestHead;

/// An answer of our own on its way. Its head is what the request holds to be sent ([`Request::head`]), and its body too
/// when that is short.
pub(super) struct Own {
    pub(super) status: u16,
    /// A body that is not copied for each client that is sent it.
    body: Option<Arc<[u8]>>,
    /// The client's connection stays.
    keep: bool,
    /// It is counted, and has no line in the log.
    quiet: bool,
}

impl Own {
    /// A page.
    pub(super) fn answer(answer: &Answer, keep: bool, request: &mut Request) -> Self {
        let wanted = request.facts.method != Method::Head;
        let copied = wanted && answer.body().len() <= COPIED;
        request.held.reserve(answer.room() + COPIED);
        let out = request.held.tail();
        answer.write_head(says(keep, &request.facts), out);
        if copied {
            out.extend_from_slice(answer.body());
        }
        request.head = request.held.len();
        Self {
            status: answer.status,
            body: (wanted && !copied).then(|| answer.shared_body()),
            keep,
            quiet: false,
        }
    }

    /// The monitor's answer.
    pub(super) fn quietly(self) -> Self {
        Self {
            quiet: true,
            ..self
        }
    }

    /// A redirect. `None` for a request without the host that it needs.
    pub(super) fn redirect(
        elsewhere: &Elsewhere,
        head: &RequestHead,
        bytes: &[u8],
        keep: bool,
        request: &mut Request,
    ) -> Option<Self> {
        request.held.reserve(elsewhere.room() + head.size);
        let says = says(keep, &request.facts);
        let written = elsewhere.write(head, bytes, says, request.held.tail());
        request.head = request.held.len();
        written.then_some(Self {
            status: elsewhere.status,
            body: None,
            keep,
            quiet: false,
        })
    }
}

fn says(keep: bool, facts: &Facts) -> Says {
    match (keep, facts.minor) {
        (false, _) => Says::Close,
        (true, 0) => Says::KeptExplicitly,
        (true, _) => Says::Kept,
    }
}

impl<C: Duplex + 'static> Connection<C> {
    /// Sends an answer of our own. A body of the request is not read: the connection ends after it.
    pub(super) async fn own(&mut self, story: &mut Story, own: Own) -> After {
        story.status = own.status;
        let head = &story.request.held.bytes()[..story.request.head];
        let body = own.body.as_deref().unwrap_or_default();
        let whole = (head.len() + body.len()) as u64;
        story.bytes_out = self.deliver(head, body).await;
        let (complete, received) = (
            story.bytes_out == whole,
            story.request.facts.body.is_empty(),
        );
        match complete {
            _ if own.quiet => self.guest.listener.add_monitored(),
            true => story.log(&self.guest, Ending::Answered),
            false if ring::is_shutting_down() => {
                story.log(&self.guest, Ending::Shutdown(Phase::Data));
            }
            false => story.log(&self.guest, Ending::LeftInData),
        }
        if !complete {
            return After::Close;
        }
        match own.keep {
            true => After::Again,
            false if received && self.is_silent() => After::Close,
            false => After::Linger,
        }
    }

    /// Sends both, for as long as the client takes something within its timeout; says how much it took.
    pub(super) async fn deliver(&self, mut first: &[u8], mut second: &[u8]) -> u64 {
        let mut taken = 0;
        self.timer.arm(self.guest.desk.plan().waits.client);
        while !first.is_empty() || !second.is_empty() {
            let now = if first.is_empty() { second } else { first };
            match self.stream.try_send(now) {
                Ok(0) => match self.timer.limit(self.stream.writable()).await {
                    Ok(Ok(())) => {}
                    Ok(Err(_)) | Err(Elapsed) => break,
                },
                Ok(sent) => {
                    // The client has its whole time for the rest again.
                    if sent < first.len() + second.len() {
                        self.timer.arm(self.guest.desk.plan().waits.client);
                    }
                    taken += sent as u64;
                    let rest = first.len().min(sent);
                    first = &first[rest..];
                    second = &second[sent - rest..];
                }
                Err(_) => break,
            }
        }
        taken
    }
}

/// A body up to this size goes out in one send with its head, from a small buffer.
const COPIED: usize = Buffer::SMALL - 1024;
