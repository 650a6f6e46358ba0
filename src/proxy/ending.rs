//! How an exchange ends: one table from what happened to the status and the log's two letters.

use crate::upstream::ConnectError;
use crate::wire::{Blame, Refusal};

/// What brought an exchange to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// All of the response was sent.
    Complete,
    /// The client's message is not acceptable.
    Refused(Refusal),
    /// What must begin with a PROXY header does not.
    BadIntroduction,
    /// The PROXY header did not come whole in time.
    IntroductionTimeout,
    /// The client was too slow with its head.
    HeadTimeout,
    /// The client left before its head was complete.
    LeftInHead,
    /// The client's network is not admitted.
    Denied,
    /// It has the answer that its route has for it.
    Answered,
    /// No route matches.
    NoRoute,
    /// No server takes the request.
    NoServer,
    /// The client, or its network, has had more than its rate; it may come again after so many seconds.
    OverClientRate(u32),
    /// More tunnels come to the listener than it takes, or than are taken so soon after the start.
    OverRate(u32),
    /// More than the servers that take the request may be given.
    OverServerRate(u32),
    /// The server could not be reached.
    ConnectFailed,
    /// Nor could it be: no descriptor, port, source or memory is left here.
    Exhausted,
    /// Nor did it answer within the connect timeout.
    ConnectTimeout,
    /// As many as may wait for a server do already.
    QueueFull(u32),
    /// No server had room within the queue timeout.
    QueueTimeout(u32),
    /// The client left while it waited for a server with room.
    LeftInQueue,
    /// The client left while the server was being reached.
    LeftInConnect,
    /// The client left while the server worked.
    LeftInWait,
    /// The client left while bodies were moving.
    LeftInData,
    /// The client was too slow to send its body before an answer came.
    BodyTimeout,
    /// The client neither took nor gave a byte for its timeout.
    ClientTimeout,
    /// The server gave no head in time.
    ServerTimeout,
    /// The server broke off before its head.
    ServerBroke,
    /// The server's head cannot be accepted.
    BadResponse(Refusal),
    /// The server broke off within the body.
    DataBroke,
    /// The server gave no byte of the body for its timeout.
    DataTimeout,
    /// The server's body is malformed.
    BadData(Refusal),
    /// The process stops and waits no longer for what is left.
    Shutdown(Phase),
    /// A fault of our own in the client's head.
    PanickedInHead,
    /// A fault of our own before the response began.
    Panicked,
    /// And one within it.
    PanickedInData,
}

/// How far an exchange had come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// A PROXY header was being read.
    ProxyHeader,
    /// The request's head was being read.
    Head,
    /// It waited for a server that has room.
    Queue,
    /// A connection to the server was being made.
    Connect,
    /// The response's head was awaited.
    Response,
    /// The response had begun.
    Data,
}

impl Phase {
    /// As the second letter of the termination state.
    fn letter(self) -> u8 {
        match self {
            Self::ProxyHeader | Self::Head => b'R',
            Self::Queue => b'Q',
            Self::Connect => b'C',
            Self::Response => b'H',
            Self::Data => b'D',
        }
    }
}

impl Ending {
    /// What the client is told, if a response has not begun: 0 for nothing.
    pub fn status(self) -> u16 {
        match self {
            Self::Refused(refusal) => refusal.status(Blame::Client),
            Self::Denied => 403,
            Self::HeadTimeout | Self::BodyTimeout => 408,
            Self::OverClientRate(_) => 429,
            Self::NoRoute
            | Self::NoServer
            | Self::OverRate(_)
            | Self::OverServerRate(_)
            | Self::QueueFull(_)
            | Self::QueueTimeout(_)
            | Self::ConnectFailed
            | Self::Exhausted
            | Self::ConnectTimeout => 503,
            Self::ServerTimeout => 504,
            Self::ServerBroke => 502,
            Self::PanickedInHead | Self::Panicked => 500,
            // The sender of a PROXY header would not understand an answer.
            Self::Shutdown(Phase::ProxyHeader | Phase::Data) => 0,
            Self::Shutdown(_) => 503,
            Self::BadResponse(refusal) => refusal.status(Blame::Server),
            Self::Complete
            | Self::Answered
            | Self::BadIntroduction
            | Self::IntroductionTimeout
            | Self::LeftInHead
            | Self::LeftInQueue
            | Self::LeftInConnect
            | Self::LeftInWait
            | Self::LeftInData
            | Self::ClientTimeout
            | Self::DataBroke
            | Self::DataTimeout
            | Self::BadData(_)
            | Self::PanickedInData => 0,
        }
    }

    /// Why a message was refused, and which side sent it.
    pub(super) fn refused(self) -> Option<(Refusal, Blame)> {
        match self {
            Self::Refused(refusal) => Some((refusal, Blame::Client)),
            Self::BadIntroduction => Some((Refusal::BadProxyHeader, Blame::Client)),
            Self::BadResponse(refusal) | Self::BadData(refusal) => Some((refusal, Blame::Server)),
            _ => None,
        }
    }

    /// Seconds after which the client may come again, where that is known.
    pub(super) fn retry_after(self) -> Option<u32> {
        match self {
            Self::OverClientRate(seconds)
            | Self::OverRate(seconds)
            | Self::OverServerRate(seconds)
            | Self::QueueFull(seconds)
            | Self::QueueTimeout(seconds) => Some(seconds),
            _ => None,
        }
    }

    /// The first two letters of the termination state, as HAProxy's users know them.
    pub fn letters(self) -> (u8, u8) {
        match self {
            Self::Complete => (b'-', b'-'),
            Self::Answered => (b'L', b'R'),
            Self::Refused(_)
            | Self::BadIntroduction
            | Self::Denied
            | Self::OverClientRate(_)
            | Self::OverRate(_) => (b'P', b'R'),
            // We refused before the server was asked.
            Self::OverServerRate(_) => (b'P', b'C'),
            Self::HeadTimeout | Self::IntroductionTimeout => (b'c', b'R'),
            Self::LeftInHead => (b'C', b'R'),
            Self::NoRoute | Self::NoServer | Self::ConnectFailed => (b'S', b'C'),
            Self::Exhausted => (b'R', b'C'),
            Self::ConnectTimeout => (b's', b'C'),
            Self::QueueFull(_) => (b'S', b'Q'),
            Self::QueueTimeout(_) => (b's', b'Q'),
            Self::LeftInQueue => (b'C', b'Q'),
            Self::LeftInConnect => (b'C', b'C'),
            Self::LeftInWait => (b'C', b'H'),
            Self::LeftInData => (b'C', b'D'),
            Self::BodyTimeout | Self::ClientTimeout => (b'c', b'D'),
            Self::ServerTimeout => (b's', b'H'),
            Self::ServerBroke => (b'S', b'H'),
            Self::BadResponse(_) => (b'P', b'H'),
            Self::DataBroke => (b'S', b'D'),
            Self::DataTimeout => (b's', b'D'),
            Self::BadData(_) => (b'P', b'D'),
            Self::Shutdown(phase) => (b'K', phase.letter()),
            Self::PanickedInHead => (b'I', b'R'),
            Self::Panicked => (b'I', b'H'),
            Self::PanickedInData => (b'I', b'D'),
        }
    }
}

impl From<&ConnectError> for Ending {
    fn from(error: &ConnectError) -> Self {
        match error {
            ConnectError::Timeout => Self::ConnectTimeout,
            ConnectError::Failed(_) => Self::ConnectFailed,
            ConnectError::NoSource(_) | ConnectError::Exhausted(_) => Self::Exhausted,
            ConnectError::Unwanted => Self::NoServer,
        }
    }
}
