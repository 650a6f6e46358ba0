//! A request to its server and the response back.
//!
//! ```text
//!  reach ──► send ──► wait ──► answer ──► move bodies ──► keep or close
//!    ▲                 │       │
//!    ├── once more ◄───┘       │  a kept link that the server had closed meanwhile
//!    └── elsewhere ◄───────────┘  what the pool's `retry` names
//! ```

use std::cell::Cell;
use std::future::Future;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::connection::{Connection, Guest};
use super::desk::Desk;
use super::ending::{Ending, Phase};
use super::flow::{Flow, Patience, Stopped};
use super::passive;
use super::plan::{self, Terms};
use super::reach::{Start, reach};
use super::refused::Refused;
use super::response::{self, Circumstances, Reading};
use super::retry::{self, Again, Copy};
use super::story::Story;
use crate::balance::{Counter, Pool};
use crate::config::ResponseParsing;
use crate::ring::{self, Buffer, Duplex, Received, ShutDown, Stream, Timer};
use crate::upstream::Link;
use crate::wire::forward::Trailers;
use crate::wire::rules::Interims;
use crate::wire::{Blame, BodyLength, Refusal};

/// How an exchange ended.
pub(super) enum End {
    /// The response was sent whole. The client's connection stays or not; if its request was not
    /// received whole, it may still be sending.
    Done { keep: bool, received: bool },
    /// A tunnel stands.
    Switched(Box<Switched>),
    /// Something went wrong. Unless the story has a status, the client has been sent nothing.
    Failed(Ending),
}

/// A handshake that both sides agreed to.
pub(super) struct Switched {
    pub(super) stream: Stream,
    /// The 101's head, on its way to the client.
    pub(super) head: Buffer,
    /// What the server sent behind its head.
    pub(super) early: Buffer,
}

/// Why an attempt on a link came to nothing.
enum Attempt {
    /// The server had closed the kept link before our request came: once more, on a fresh one.
    Stale,
    /// To be repeated elsewhere; the pool's budget has paid for it.
    Again(Again),
    Failed(Ending),
}

impl From<Ending> for Attempt {
    fn from(ending: Ending) -> Self {
        Self::Failed(ending)
    }
}

/// Runs an exchange to its end. `story` names the pool, and knows afterwards what happened.
pub(super) async fn run<C: Duplex + 'static>(
    connection: &mut Connection<C>,
    story: &mut Story,
    terms: &Terms,
) -> End {
    let mut start = Start::First;
    loop {
        let link = ring::until_shutdown(reach(connection, story, start)).await;
        let link = match link {
            Ok(Ok(link)) => link,
            Ok(Err(ending)) => return End::Failed(ending),
            Err(ShutDown) => {
                let phase = match story.busy {
                    Some(_) => Phase::Connect,
                    None => Phase::Queue,
                };
                return End::Failed(Ending::Shutdown(phase));
            }
        };
        // As the plan has it under which the server was chosen.
        let Some(pool) = story.pool.clone() else {
            return End::Failed(Ending::NoServer);
        };
        match talk(connection, story, terms, &pool, link).await {
            Ok(end) => return end,
            Err(Attempt::Stale) => start = Start::Fresh,
            Err(Attempt::Again(again)) => {
                match again {
                    Again::Status(status) => {
                        count(&connection.guest.desk, story, status);
                        passive::answered(&connection.guest.desk, story, status);
                    }
                    Again::Ended(ending) => count_failure(&connection.guest.desk, story, ending),
                }
                story.again();
                start = Start::Elsewhere;
            }
            Err(Attempt::Failed(ending)) => {
                count_failure(&connection.guest.desk, story, ending);
                return End::Failed(ending);
            }
        }
    }
}

/// The exchange on one link.
async fn talk<C: Duplex + 'static>(
    connection: &mut Connection<C>,
    story: &mut Story,
    terms: &Terms,
    pool: &Pool,
    link: Link,
) -> Result<End, Attempt> {
    let waits = Waits {
        client: terms.client,
        server: plan::wait(pool.settings.timeouts.server),
    };
    let facts = story.request.facts;
    let mut up = match &story.body {
        None => Flow::new(facts.body, &terms.limits, Blame::Client)
            .without(Trailers {
                changes: terms.request_changes(),
                pool: Some(&pool.settings),
            })
            .behind(story.request.received as usize),
        // All of it is at hand.
        Some(_) => Flow::new(BodyLength::None, &terms.limits, Blame::Client),
    };
    if !link.reused
        && let Some(server) = story.chosen()
    {
        connection.introduce_to(server, &mut up.waiting);
    }
    let ours = up.waiting.len() as u64;
    let head = &story.request.held.bytes()[..story.request.head];
    let again = story.body.as_ref().map_or(&[][..], |body| body.bytes());
    // Most requests are sent from where they lie.
    up.copy = match &story.body {
        None => retry::keeps(pool, facts).map(Copy::new),
        Some(_) => None,
    };
    let arrived = connection.inbox.bytes();
    let alone = match ours == 0 && again.is_empty() {
        true => up.go_along(arrived),
        false => Ok(None),
    };
    let along = match alone {
        Ok(Some(along)) => Ok(along),
        Ok(None) => {
            up.waiting.push(head);
            up.waiting.push(again);
            up.take_along(arrived)
        }
        Err(refusal) => Err(refusal),
    };
    let (alone, along) = match (alone, along) {
        (Ok(alone), Ok(along)) => (alone, along),
        (Err(refusal), _) | (_, Err(refusal)) => {
            story.refused = Refused::body(up.position);
            return Err(Ending::Refused(refusal).into());
        }
    };
    story.bytes_in = (head.len() + again.len() + along) as u64;
    // Whether the request could be sent once more, to another server: all of it is at hand.
    let repeats = retry::repeats(pool, facts);
    let bare = facts.body.is_empty() || story.body.is_some();
    let at_hand = |up: &Flow<'_>| repeats && up.received_all() && (bare || up.copy.is_some());
    let repeatable = Cell::new(at_hand(&up));
    let sent = match alone {
        Some(along) => up.send_first(&link.stream, head, &arrived[..along]),
        None => up.send_now(&link.stream),
    };
    connection.inbox.consume(along);
    if sent.is_err() && link.reused && up.sent == 0 && along == 0 {
        return Err(Attempt::Stale);
    }
    let Connection {
        guest,
        stream,
        inbox,
        timer,
        ..
    } = connection;
    let whole = sent.is_err() || up.is_done();
    let uploading = Cell::new(!whole);
    let delivered = Cell::new(sent.is_ok() && up.is_done());
    let down = Down {
        guest,
        client: &*stream,
        link: &link,
        pool,
        terms,
        waits,
        timer,
        uploading: &uploading,
        delivered: &delivered,
        can_repeat: link.reused && along == 0 && up.received_all() && facts.method.is_idempotent(),
        repeatable: &repeatable,
        held_early: !inbox.is_empty(),
    };
    if whole {
        let outcome = down.run(story).await;
        return match outcome {
            Ok(outcome) => Ok(finish(connection, story, link, outcome, sent.is_ok())),
            Err(attempt) => Err(keeping(attempt, story, &mut up)),
        };
    }
    let outcome = {
        let up_timer = Timer::new();
        let before = story.bytes_in + ours;
        let upload = async {
            let patience = Patience {
                timer: &up_timer,
                sender: waits.client,
                receiver: waits.server,
                client: None::<&C>,
                meanwhile: None,
            };
            let next = |bytes: &[u8]| inbox.push(bytes);
            let end = up.run(&*stream, &link.stream, next, &patience).await;
            repeatable.set(at_hand(&up));
            end
        };
        let outcome = both(upload, down.run(story), &uploading, &delivered).await;
        story.bytes_in += up.sent.saturating_sub(before);
        outcome
    };
    match outcome {
        Ok(outcome) => Ok(finish(
            connection,
            story,
            link,
            outcome,
            !uploading.get() && up.is_done(),
        )),
        Err(Half::Down(attempt)) => Err(keeping(attempt, story, &mut up)),
        Err(Half::Up(stopped)) => {
            if matches!(stopped, Stopped::Malformed(_)) {
                story.refused = Refused::body(up.position);
            }
            Err(upload_ending(&stopped, story).into())
        }
    }
}

/// What the next attempt needs of this one.
fn keeping(attempt: Attempt, story: &mut Story, up: &mut Flow<'_>) -> Attempt {
    if matches!(attempt, Attempt::Again(_)) {
        story.body = story.body.take().or_else(|| up.copy.take());
    }
    attempt
}

/// Either direction's failure.
enum Half {
    Up(Stopped),
    Down(Attempt),
}

/// Moves both directions until the response is complete. A server that stops reading is no failure
/// yet: its response says why. Nor is a shutdown: the download ends by it too, and knows what the client has got.
async fn both<T>(
    upload: impl Future<Output = Result<(), Stopped>>,
    download: impl Future<Output = Result<T, Attempt>>,
    uploading: &Cell<bool>,
    delivered: &Cell<bool>,
) -> Result<T, Half> {
    let mut upload = pin!(upload);
    let mut download = pin!(download);
    let mut running = true;
    std::future::poll_fn(|cx| {
        if running && let Poll::Ready(end) = upload.as_mut().poll(cx) {
            running = false;
            uploading.set(false);
            match end {
                Ok(()) => delivered.set(true),
                Err(Stopped::ReceiverLeft | Stopped::ShutDown) => {}
                Err(stopped) => return Poll::Ready(Err(Half::Up(stopped))),
            }
        }
        download.as_mut().poll(cx).map_err(Half::Down)
    })
    .await
}

fn upload_ending(stopped: &Stopped, story: &Story) -> Ending {
    let begun = story.status != 0;
    match stopped {
        Stopped::SenderLeft | Stopped::ClientLeft => Ending::LeftInData,
        Stopped::SenderSlow if begun => Ending::ClientTimeout,
        Stopped::SenderSlow => Ending::BodyTimeout,
        Stopped::ReceiverSlow if begun => Ending::DataTimeout,
        Stopped::ReceiverSlow => Ending::ServerTimeout,
        Stopped::ReceiverLeft => Ending::ServerBroke,
        Stopped::ShutDown if begun => Ending::Shutdown(Phase::Data),
        Stopped::ShutDown => Ending::Shutdown(Phase::Response),
        Stopped::Malformed(refusal) => Ending::Refused(*refusal),
    }
}

#[derive(Clone, Copy)]
struct Waits {
    client: Option<Duration>,
    server: Option<Duration>,
}

/// The response's direction.
struct Down<'a, C> {
    guest: &'a Guest,
    client: &'a C,
    link: &'a Link,
    pool: &'a Pool,
    terms: &'a Terms,
    waits: Waits,
    timer: &'a Timer,
    uploading: &'a Cell<bool>,
    /// The request was sent to its end.
    delivered: &'a Cell<bool>,
    can_repeat: bool,
    /// The request could be sent to another server as well.
    repeatable: &'a Cell<bool>,
    /// Bytes lie in the connection's inbox.
    held_early: bool,
}

/// A response that was sent whole.
enum Outcome {
    Final {
        keep_client: bool,
        keep_server: bool,
    },
    Switched {
        head: Buffer,
        early: Buffer,
    },
}

impl<C: Duplex> Down<'_, C> {
    async fn run(&self, story: &mut Story) -> Result<Outcome, Attempt> {
        let mut inbox = Buffer::new();
        // Bytes that were looked at, and those of them that need not be again.
        let (mut looked_at, mut seen) = (0, 0);
        let (mut interims, mut is_first) = (Interims::default(), true);
        // This head, and any, was rewritten into the strict form.
        let (mut is_rewritten, mut was_lenient) = (false, false);
        #[cfg(debug_assertions)]
        super::fault::at(story.request.held.bytes(), "wait");
        loop {
            if inbox.len() == looked_at
                && let Err(attempt) = self.receive(&mut inbox, is_first).await
            {
                return Err(match attempt {
                    Attempt::Failed(ending)
                        if inbox.is_empty() && self.goes_again(story, Again::Ended(ending)) =>
                    {
                        Attempt::Again(Again::Ended(ending))
                    }
                    attempt => attempt,
                });
            }
            let reading = match self.read(story, &inbox, seen) {
                Err(refusal) if self.is_lenient() && !is_rewritten => {
                    match response::rewrite(inbox.bytes(), &self.terms.limits) {
                        Ok(Some(strict)) => {
                            inbox = strict;
                            (looked_at, seen) = (0, 0);
                            (is_rewritten, was_lenient) = (true, true);
                            story.refused = None;
                            continue;
                        }
                        Ok(None) => {
                            (looked_at, seen) = (inbox.len(), 0);
                            story.refused = None;
                            continue;
                        }
                        Err(_) => Err(refusal),
                    }
                }
                reading => reading,
            };
            let reading = match reading {
                Ok(reading) => reading,
                Err(refusal) => return Err(self.refuse(story, &inbox, refusal).into()),
            };
            match reading {
                Reading::Partial => (looked_at, seen) = (inbox.len(), inbox.len()),
                Reading::Interim { taken, out } => {
                    let spent = interims.next(taken, self.guest.desk.now().ms());
                    if let Err(refusal) = spent {
                        return Err(self.refuse(story, &inbox, refusal).into());
                    }
                    (is_first, is_rewritten) = (false, false);
                    inbox.consume(taken);
                    (looked_at, seen) = (0, 0);
                    self.send(story, out).await?;
                }
                Reading::Switched { taken, out } => {
                    inbox.consume(taken);
                    story.marks.answered = Some(self.guest.desk.now());
                    story.status = 101;
                    story.bytes_out += out.len() as u64;
                    return Ok(Outcome::Switched {
                        head: out,
                        early: inbox,
                    });
                }
                Reading::Final(last) if self.goes_again(story, Again::Status(last.status)) => {
                    return Err(Attempt::Again(Again::Status(last.status)));
                }
                Reading::Final(mut last) => {
                    last.keep_server &= !was_lenient;
                    return self.pass_on(story, &mut inbox, &mut last).await;
                }
            }
        }
    }

    /// Notes where a response is wrong, unless that is in its body and noted already.
    #[cold]
    fn refuse(&self, story: &mut Story, inbox: &Buffer, refusal: Refusal) -> Ending {
        if story.refused.is_none() {
            let (is_first, limits) = (!self.link.reused, &self.terms.limits);
            story.refused = Refused::response(inbox.bytes(), is_first, refusal, limits);
        }
        Ending::BadResponse(refusal)
    }

    /// Whether the pool's servers are old ones.
    fn is_lenient(&self) -> bool {
        self.pool.settings.response_parsing == ResponseParsing::Lenient
    }

    /// Whether the request is sent to another server because of this, instead of telling the client.
    fn goes_again(&self, story: &Story, again: Again) -> bool {
        let desk = &self.guest.desk;
        self.repeatable.get()
            && retry::is_wanted(self.pool, story, again)
            && !self.client.peer_left()
            && self.pool.spend_retry(desk.now().ms())
    }

    fn read(&self, story: &mut Story, inbox: &Buffer, seen: usize) -> Result<Reading<'_>, Refusal> {
        let desk = &self.guest.desk;
        let asked = story.request.facts.upgrade.is_some();
        let spoke_early = || asked && (self.held_early || self.client.has_input());
        let circumstances = Circumstances {
            limits: &self.terms.limits,
            request_sent: self.delivered.get(),
            now_s: desk.clock.get().wall_ms(story.marks.head) / 1_000,
            via: self.pool.settings.via,
            lenient: self.is_lenient(),
            changes: self.terms.response_changes(),
            captures: &self.guest.capture.response,
            spoke_early: &spoke_early,
        };
        response::read(desk, story, inbox.bytes(), seen, &circumstances)
    }

    /// Waits for bytes of a head.
    async fn receive(&self, inbox: &mut Buffer, first: bool) -> Result<(), Attempt> {
        loop {
            self.patience()
                .until_readable(&self.link.stream)
                .await
                .map_err(|stopped| match stopped {
                    Stopped::ClientLeft => Ending::LeftInWait,
                    Stopped::SenderSlow => Ending::ServerTimeout,
                    Stopped::ShutDown => Ending::Shutdown(Phase::Response),
                    Stopped::SenderLeft
                    | Stopped::ReceiverLeft
                    | Stopped::ReceiverSlow
                    | Stopped::Malformed(_) => Ending::ServerBroke,
                })?;
            let most = self.terms.limits.size.max(Buffer::LARGE);
            match self.link.stream.try_recv_into(inbox, most) {
                Ok(Received::Bytes(_)) => return Ok(()),
                Ok(Received::Empty) => {}
                Ok(Received::Closed) | Err(_) if first && inbox.is_empty() && self.can_repeat => {
                    return Err(Attempt::Stale);
                }
                Ok(Received::Closed) | Err(_) => return Err(Ending::ServerBroke.into()),
            }
        }
    }

    fn patience(&self) -> Patience<'_, C> {
        Patience {
            timer: self.timer,
            sender: self.waits.server,
            receiver: self.waits.client,
            client: Some(self.client),
            meanwhile: Some(self.uploading),
        }
    }

    /// Sends an interim response.
    async fn send(&self, story: &mut Story, out: Buffer) -> Result<(), Ending> {
        let mut flow = Flow::new(BodyLength::None, &self.terms.limits, Blame::Server);
        flow.waiting = out;
        let sent = flow
            .run(&self.link.stream, self.client, |_| (), &self.patience())
            .await;
        story.bytes_out += flow.sent;
        sent.map_err(|stopped| data_ending(&stopped))
    }

    /// Sends the final response: what has come of it, then the rest as it comes.
    async fn pass_on(
        &self,
        story: &mut Story,
        inbox: &mut Buffer,
        last: &mut response::Final<'_>,
    ) -> Result<Outcome, Attempt> {
        // By reference, as the inbox: what is moved into a future is stored there twice.
        let response::Final {
            flow,
            status,
            taken,
            beside,
            keep_client,
            keep_server,
        } = last;
        story.marks.answered = Some(self.guest.desk.now());
        story.status = *status;
        #[cfg(debug_assertions)]
        super::fault::at(story.request.held.bytes(), "data");
        // With nothing that could be left unread, and so nothing that could make of the end a reset.
        let is_last = !*keep_client
            && flow.received_all()
            && story.request.facts.says_all()
            && !self.held_early;
        let sent = match (*beside, is_last) {
            (0, true) => flow.send_last(self.client),
            (0, false) => flow.send_now(self.client),
            (beside, _) => flow.send_with(self.client, &inbox.bytes()[*taken - beside..*taken]),
        };
        inbox.consume(*taken);
        // Bytes behind the end belong to no request: such a link is not used again, and nothing of what they
        // and the request's head were is kept while the client reads.
        let surplus = Cell::new(!inbox.is_empty());
        inbox.release();
        story.shed();
        let sent = match sent {
            Ok(true) if flow.received_all() => Ok(()),
            Ok(_) => {
                let client = self.patience();
                let beyond = |_: &[u8]| surplus.set(true);
                flow.run(&self.link.stream, self.client, beyond, &client)
                    .await
            }
            Err(_) => Err(Stopped::ReceiverLeft),
        };
        story.bytes_out += flow.sent;
        if sent.is_err() && flow.ends_with_the_connection() {
            // An orderly end would make part of a body the whole of it (RFC 9112 section 8).
            self.client.spoil();
        }
        if matches!(sent, Err(Stopped::Malformed(_))) {
            story.refused = Refused::body(flow.position);
        }
        sent.map_err(|stopped| data_ending(&stopped))?;
        Ok(Outcome::Final {
            keep_client: *keep_client,
            keep_server: *keep_server && !surplus.get() && !flow.had_bare_lf,
        })
    }
}

fn data_ending(stopped: &Stopped) -> Ending {
    match stopped {
        Stopped::SenderLeft => Ending::DataBroke,
        Stopped::SenderSlow => Ending::DataTimeout,
        Stopped::ReceiverLeft | Stopped::ClientLeft => Ending::LeftInData,
        Stopped::ReceiverSlow => Ending::ClientTimeout,
        Stopped::ShutDown => Ending::Shutdown(Phase::Data),
        Stopped::Malformed(refusal) => Ending::BadData(*refusal),
    }
}

/// What becomes of both connections after the response.
fn finish<C: Duplex>(
    connection: &Connection<C>,
    story: &Story,
    link: Link,
    outcome: Outcome,
    request_sent: bool,
) -> End {
    count(&connection.guest.desk, story, story.status);
    passive::answered(&connection.guest.desk, story, story.status);
    match outcome {
        Outcome::Switched { head, early } => End::Switched(Box::new(Switched {
            stream: link.stream,
            head,
            early,
        })),
        Outcome::Final {
            keep_client,
            keep_server,
        } => {
            if keep_server
                && request_sent
                && let Some(busy) = &story.busy
            {
                let link = Link {
                    reused: true,
                    ..link
                };
                let owner = story
                    .chosen()
                    .and_then(|server| connection.owner_of_links(server));
                let links = &connection.guest.desk.links;
                links.keep(busy.live().id(), link, owner);
            }
            let keep = keep_client && request_sent;
            End::Done {
                keep,
                received: request_sent,
            }
        }
    }
}

/// Counts an exchange for its server. A status of 0 is no answer.
fn count(desk: &Desk, story: &Story, status: u16) {
    if let Some(busy) = &story.busy {
        busy.add(desk.worker, Counter::Requests, 1);
        busy.add(desk.worker, Counter::BytesIn, story.bytes_in);
        busy.add(desk.worker, Counter::BytesOut, story.bytes_out);
        if status > 0 {
            busy.add(desk.worker, Counter::of_status(status), 1);
        }
    }
}

/// The same for one that broke off; the server's own fault is counted as such.
fn count_failure(desk: &Desk, story: &Story, ending: Ending) {
    let begun = story.status > 0;
    count(
        desk,
        story,
        if begun { story.status } else { ending.status() },
    );
    let theirs = matches!(
        ending,
        Ending::ServerBroke
            | Ending::ServerTimeout
            | Ending::BadResponse(_)
            | Ending::DataBroke
            | Ending::DataTimeout
            | Ending::BadData(_)
    );
    if let Some(busy) = story.busy.as_ref().filter(|_| theirs) {
        busy.add(desk.worker, Counter::ResponseErrors, 1);
        if let Some(pool) = &story.pool {
            passive::failed(desk, pool, busy.live());
        }
    }
}
