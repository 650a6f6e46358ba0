//! The PROXY protocol round a connection: who the client is, as the proxy before us says it, and as we say it
//! to servers.
//!
//! Which peers introduce their clients is a setting of the listener, never a guess. From them nothing is read
//! as a request before a whole header has come; what is none closes the connection without an answer, for its
//! sender would not understand one. From the header on, the address that it tells is the client's: for the log, the
//! fields that servers are sent, and every rule that goes by address (`trusted_proxies` too: it is about what the
//! introduced peer says, as in HAProxy, where `src` is the introduced one from here on).

use std::num::NonZeroU64;

use super::connection::{Connection, NoHead};
use super::ending::{Ending, Phase};
use super::refused::Refused;
use super::request::address_text;
use crate::balance::Server;
use crate::ring::Duplex;
use crate::wire::proxy_header::{self, Endpoints, ProxyHeader, Verdict};

impl<C: Duplex + 'static> Connection<C> {
    /// Whether this client's connection begins with a PROXY header.
    pub(super) fn is_introduced(&self) -> bool {
        let plan = self.guest.desk.plan();
        let senders = &self.guest.of(&plan).senders;
        !senders.is_empty() && senders.include(self.guest.address.map(|address| address.ip()))
    }

    /// Reads the header, within the time that a request's head has. False: the connection is over.
    pub(super) async fn introduction(&mut self) -> bool {
        let mut began = None;
        loop {
            if !self.inbox.is_empty() {
                began.get_or_insert_with(|| self.guest.desk.now());
            }
            let ending = match proxy_header::read(self.inbox.bytes()) {
                Verdict::Complete(header) => {
                    self.meet(&header);
                    return true;
                }
                Verdict::Refused(_) => Ending::BadIntroduction,
                Verdict::Partial => match self.receive(began).await {
                    Ok(()) => continue,
                    Err(NoHead::Quiet { slow }) => {
                        self.leave_quietly(slow);
                        return false;
                    }
                    Err(NoHead::Left(_)) => Ending::LeftInHead,
                    Err(NoHead::Slow(_)) => Ending::IntroductionTimeout,
                    Err(NoHead::ShutDown(_)) => Ending::Shutdown(Phase::ProxyHeader),
                },
            };
            let refused = match ending {
                Ending::BadIntroduction => Refused::proxy_header(self.inbox.bytes()),
                _ => None,
            };
            self.refuse(began.unwrap_or(self.accepted), ending, refused)
                .await;
            return false;
        }
    }

    fn meet(&mut self, header: &ProxyHeader) {
        self.inbox.consume(header.size);
        let Some(endpoints) = header.endpoints else {
            return;
        };
        self.guest.address = Some(endpoints.source);
        self.text = address_text(self.guest.address);
        self.destination = Some(Box::new(endpoints.destination));
    }
}

impl<C: Duplex> Connection<C> {
    /// Puts the header in front of what a fresh link to this server is sent, if it wants one.
    pub(super) fn introduce_to(&self, server: &Server, out: &mut crate::ring::Buffer) {
        if let Some(version) = server.proxy_protocol {
            proxy_header::write(version, self.endpoints().as_ref(), out.tail());
        }
    }

    /// The client and what it connected to; none over a unix socket.
    fn endpoints(&self) -> Option<Endpoints> {
        Some(Endpoints {
            source: self.guest.address?,
            destination: match self.destination.as_deref() {
                Some(destination) => *destination,
                None => self.stream.local_address()?,
            },
        })
    }

    /// Whose the kept links to this server are: anybody's, or, where a link is introduced as one client's, that
    /// client's connection's alone ("MUST NOT implement this protocol on multiplexed connections", section 2).
    pub(super) fn owner_of_links(&self, server: &Server) -> Option<NonZeroU64> {
        server.proxy_protocol?;
        let owner = self.owner.get().or_else(|| {
            let next = self.guest.desk.links.new_owner();
            Some(next)
        });
        self.owner.set(owner);
        owner
    }
}
