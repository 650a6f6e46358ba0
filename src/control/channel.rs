//! What launcher and generation say to each other: the closed list of commands, and how they travel.
//!
//! One unix stream socket, which the generation finds as its standard input. A message is a frame:
//! eight bytes (length of the JSON, number of descriptors, both little-endian `u32`), then the JSON.
//! Descriptors ride on the frame's first bytes (`SCM_RIGHTS`), at most [`MAX_DESCRIPTORS`] on one.
//! Both ends are the same binary; [`PROTOCOL`] guards against a file that was replaced in between.
//!
//! ```text
//!  launcher                                   generation
//!  Start, Listener*, Socket*, LogFile*, Go ─► drops privileges, starts workers
//!                                           ◄─ Ready | Failed
//!  LogFile*, Reload                         ─►
//!                                           ◄─ Reloaded | ReloadFailed
//!  LogFile*, Reopen                         ─►
//!  Refused, Say                             ─►  into the log
//!  Drain, Stop                              ─►  ends; the exit status says how
//! ```

use super::environment::Answers;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

/// Launcher to generation.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Command {
    /// The first message.
    Start(Box<Start>),
    /// Listening sockets of one address, one per worker; several messages when they are many.
    Listener {
        /// Index in the configuration.
        listener: usize,
        /// Index in the listener's `bind`.
        bind: usize,
        /// Where they really listen (port 0 has become a port).
        address: String,
    },
    /// A listening unix socket of the control thread.
    Socket(Socket),
    /// An open log file, for the `[[log]]` of this index; counts from the next `Go`, `Reload` or `Reopen` on.
    LogFile {
        /// Index in the configuration that is in force, or comes into force with the next message.
        log: usize,
    },
    /// Everything has been sent: begin.
    Go,
    /// A new configuration, already found good.
    Reload {
        /// The file's text.
        text: String,
        /// What it asked of the machine.
        answers: Answers,
        /// What of it waits for a restart, a sentence each.
        warnings: Vec<String>,
    },
    /// Write to the log files sent just before; close the old ones.
    Reopen,
    /// A reload was refused before it got here; for the log and the status.
    Refused {
        /// One line.
        why: String,
    },
    /// The hosts file says something else of the names of servers.
    Hosts {
        /// Its lines that have one of them.
        lines: Vec<u8>,
    },
    /// Put this into the log, as an error.
    Say {
        /// One line.
        text: String,
    },
    /// Wait for `process.lame_duck`, stop accepting, finish, wait for tunnels, exit.
    Drain,
    /// Exit at once.
    Stop,
}

/// What a generation needs before its first descriptor.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Start {
    /// [`PROTOCOL`] of the launcher.
    pub(super) protocol: u32,
    /// The launcher's process id: what the generation's parent must be.
    pub(super) launcher: u32,
    /// Name of the configuration file, for messages.
    pub(super) path: PathBuf,
    /// Its text.
    pub(super) text: String,
    /// What it asked of the machine.
    pub(super) answers: Answers,
    /// Whom to become; `None` keeps the launcher's user.
    pub(super) identity: Option<Identity>,
    /// How many workers.
    pub(super) workers: usize,
    /// Where to pin them, in turn.
    pub(super) cores: Vec<usize>,
    /// Where workers find the stats page.
    pub(super) stats_socket: PathBuf,
    /// What the operator should know, a sentence each.
    pub(super) warnings: Vec<String>,
    /// How many generations have died before this one.
    pub(super) restarts: u32,
    /// Of what the last of them died, one line.
    pub(super) because: Option<String>,
}

/// A user as numbers; names are resolved by the launcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Identity {
    /// User id.
    pub(super) user: u32,
    /// Group id.
    pub(super) group: u32,
    /// Supplementary groups.
    pub(super) groups: Vec<u32>,
}

/// Which unix socket of the control thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Socket {
    /// For `ringbolt status`.
    Control,
    /// For workers that met the stats path.
    Stats,
}

/// Generation to launcher.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// It serves.
    Ready {
        /// What drives the workers, such as `io_uring (single issuer, deferred task run)`.
        driver: String,
        /// What confines it, in a few words.
        sandbox: String,
        /// What should confine it and does not, a line each.
        missing: Vec<String>,
    },
    /// It cannot, and exits with code 3.
    Failed {
        /// One line.
        why: String,
    },
    /// It accepts nothing more: after `process.lame_duck`, or at once.
    Draining,
    /// The new configuration is in force.
    Reloaded,
    /// The old one still is.
    ReloadFailed {
        /// One line.
        why: String,
    },
}

/// Changes with every change of the messages above.
pub(super) const PROTOCOL: u32 = 5;
/// Descriptors on one message; the kernel's bound is 253 (`SCM_MAX_FD`).
pub(super) const MAX_DESCRIPTORS: usize = 240;
/// Bytes of JSON in one message: a configuration of several megabytes, escaped.
const MAX_FRAME: usize = 16 << 20;

/// One end of the socket, which waits: the generation's.
#[derive(Debug)]
pub(super) struct Channel {
    socket: OwnedFd,
}

/// What came.
#[derive(Debug)]
pub(super) enum Received<T> {
    /// A message and its descriptors.
    Message(T, Vec<OwnedFd>),
    /// Nothing for now; only where it is not waited for.
    Nothing,
    /// The other end is gone.
    Closed,
}

impl Channel {
    /// Takes a connected stream socket, blocking or not: this type waits by itself where it must.
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self { socket }
    }

    /// Sends one message; waits while the other end's buffer is full.
    pub(super) fn send<T: Serialize>(
        &self,
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let mut frame = Frame::new(message, descriptors)?;
        while !frame.send(self.socket.as_fd())? {
            self.wait(PollFlags::OUT)?;
        }
        Ok(())
    }

    /// Waits for one message.
    pub(super) fn receive<T: DeserializeOwned>(&self) -> io::Result<Received<T>> {
        self.read(RecvFlags::empty())
    }

    /// Takes one message if one has begun to arrive.
    pub(super) fn try_receive<T: DeserializeOwned>(&self) -> io::Result<Received<T>> {
        self.read(RecvFlags::DONTWAIT)
    }

    fn read<T: DeserializeOwned>(&self, first: RecvFlags) -> io::Result<Received<T>> {
        let mut header = [0; HEADER];
        let mut descriptors = Vec::new();
        match self.fill(&mut header, first, &mut descriptors)? {
            Filled::Whole => {}
            Filled::Nothing => return Ok(Received::Nothing),
            Filled::Closed => return Ok(Received::Closed),
        }
        let [a, b, c, d, e, f, g, h] = header;
        let size = u32::from_le_bytes([a, b, c, d]) as usize;
        let promised = u32::from_le_bytes([e, f, g, h]) as usize;
        if size > MAX_FRAME {
            return Err(invalid(format!("a message of {size} bytes")));
        }
        let mut json = vec![0; size];
        match self.fill(&mut json, RecvFlags::empty(), &mut descriptors)? {
            Filled::Whole => {}
            Filled::Nothing | Filled::Closed => return Ok(Received::Closed),
        }
        if descriptors.len() != promised {
            let arrived = descriptors.len();
            return Err(invalid(format!(
                "{arrived} of {promised} descriptors arrived"
            )));
        }
        Ok(Received::Message(
            serde_json::from_slice(&json)?,
            descriptors,
        ))
    }

    /// Reads until `buffer` is full; only the first read has `flags`.
    fn fill(
        &self,
        buffer: &mut [u8],
        mut flags: RecvFlags,
        descriptors: &mut Vec<OwnedFd>,
    ) -> io::Result<Filled> {
        let mut filled = 0;
        while filled < buffer.len() {
            let mut space = vec![MaybeUninit::uninit(); ANCILLARY_SPACE];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let mut rest = [IoSliceMut::new(&mut buffer[filled..])];
            let flags_now = flags | RecvFlags::CMSG_CLOEXEC;
            let message = match recvmsg(&self.socket, &mut rest, &mut ancillary, flags_now) {
                Ok(message) => message,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) if flags.contains(RecvFlags::DONTWAIT) => {
                    return Ok(Filled::Nothing);
                }
                // The launcher puts a whole frame on its way and sends it on as it is read.
                Err(Errno::AGAIN) => {
                    self.wait(PollFlags::IN)?;
                    continue;
                }
                Err(Errno::CONNRESET) => return Ok(Filled::Closed),
                Err(error) => return Err(error.into()),
            };
            for part in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(arrived) = part {
                    descriptors.extend(arrived);
                }
            }
            if message.flags.contains(ReturnFlags::CTRUNC) {
                return Err(invalid(
                    "descriptors were lost: too many open files".to_owned(),
                ));
            }
            if message.bytes == 0 {
                return Ok(Filled::Closed);
            }
            filled += message.bytes;
            flags = RecvFlags::empty();
        }
        Ok(Filled::Whole)
    }

    fn wait(&self, what: PollFlags) -> io::Result<()> {
        match poll(&mut [PollFd::new(&self.socket, what)], None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// A message on its way, with its descriptors.
#[derive(Debug)]
pub(super) struct Frame {
    bytes: Vec<u8>,
    sent: usize,
    /// Until the first byte is sent.
    descriptors: Vec<OwnedFd>,
}

impl Frame {
    /// Of a message; the descriptors are copied.
    pub(super) fn new<T: Serialize>(
        message: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<Self> {
        assert!(
            descriptors.len() <= MAX_DESCRIPTORS,
            "callers send in pieces"
        );
        let json = serde_json::to_vec(message)?;
        let mut bytes = Vec::with_capacity(HEADER + json.len());
        bytes.extend_from_slice(&length(json.len())?.to_le_bytes());
        bytes.extend_from_slice(&length(descriptors.len())?.to_le_bytes());
        bytes.extend_from_slice(&json);
        let copies = descriptors.iter().map(BorrowedFd::try_clone_to_owned);
        Ok(Self {
            bytes,
            sent: 0,
            descriptors: copies.collect::<io::Result<_>>()?,
        })
    }

    pub(super) fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Whether a part of it has been sent.
    pub(super) fn is_begun(&self) -> bool {
        self.sent > 0
    }

    /// Sends as much as the socket takes now; true when that was the rest.
    pub(super) fn send(&mut self, socket: BorrowedFd<'_>) -> io::Result<bool> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        while self.sent < self.bytes.len() {
            let mut space = [MaybeUninit::uninit(); ANCILLARY_SPACE];
            let mut ancillary = SendAncillaryBuffer::new(&mut space);
            let descriptors: Vec<BorrowedFd<'_>> =
                self.descriptors.iter().map(AsFd::as_fd).collect();
            if !descriptors.is_empty() {
                let fits = ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
                assert!(fits, "the space is for MAX_DESCRIPTORS");
            }
            let rest = [IoSlice::new(&self.bytes[self.sent..])];
            match sendmsg(socket, &rest, &mut ancillary, flags) {
                Ok(count) => {
                    self.sent += count;
                    self.descriptors.clear();
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(false),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}

/// Bytes of the frame that begins with these, as far as they tell: its header's while that is not whole.
pub(super) fn frame_size(start: &[u8]) -> io::Result<usize> {
    let Some(size) = start.first_chunk::<4>().filter(|_| start.len() >= HEADER) else {
        return Ok(HEADER);
    };
    match u32::from_le_bytes(*size) as usize {
        size if size > MAX_FRAME => Err(invalid(format!("a message of {size} bytes"))),
        size => Ok(HEADER + size),
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

enum Filled {
    Whole,
    Nothing,
    Closed,
}

/// Bytes before the JSON.
pub(super) const HEADER: usize = 8;
const ANCILLARY_SPACE: usize = rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS));

fn length(count: usize) -> io::Result<u32> {
    u32::try_from(count).map_err(|_| invalid(format!("a message of {count} bytes")))
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn pair() -> (Channel, Channel) {
        let (a, b) = UnixStream::pair().unwrap();
        (Channel::new(a.into()), Channel::new(b.into()))
    }

    #[test]
    fn messages_arrive_in_order_with_their_descriptors() {
        let (here, there) = pair();
        let (mut left, right) = UnixStream::pair().unwrap();
        let say = |text: &str| Command::Say {
            text: text.to_owned(),
        };
        here.send(&say("first"), &[]).unwrap();
        here.send(
            &Command::LogFile { log: 3 },
            &[right.as_fd(), right.as_fd()],
        )
        .unwrap();
        here.send(&say("last"), &[]).unwrap();

        let Received::Message(Command::Say { text, .. }, none) = there.receive().unwrap() else {
            panic!("no first message");
        };
        assert_eq!((text.as_str(), none.len()), ("first", 0));
        let Received::Message(Command::LogFile { log: 3 }, mut got) = there.receive().unwrap()
        else {
            panic!("no second message");
        };
        assert_eq!(got.len(), 2);
        left.write_all(b"x").unwrap();
        let mut byte = [0];
        UnixStream::from(got.remove(0))
            .read_exact(&mut byte)
            .unwrap();
        assert_eq!(&byte, b"x");
        let Received::Message(Command::Say { text, .. }, _) = there.receive().unwrap() else {
            panic!("no last message");
        };
        assert_eq!(text, "last");
        assert!(matches!(
            there.try_receive::<Command>().unwrap(),
            Received::Nothing
        ));
        drop(here);
        assert!(matches!(
            there.receive::<Command>().unwrap(),
            Received::Closed
        ));
    }

    #[test]
    fn a_message_larger_than_the_socket_buffer_arrives_whole() {
        let (here, there) = pair();
        let text = "é\"\n".repeat(400_000);
        let sent = text.clone();
        let sender = std::thread::spawn(move || {
            here.send(&Command::Say { text: sent }, &[]).unwrap();
        });
        let Received::Message(Command::Say { text: got, .. }, _) = there.receive().unwrap() else {
            panic!("no message");
        };
        assert!(got == text);
        sender.join().unwrap();
    }

    #[test]
    fn nonsense_is_an_error_and_not_an_allocation() {
        let (mut raw, end) = UnixStream::pair().unwrap();
        raw.write_all(&[0xff; 8]).unwrap();
        assert!(Channel::new(end.into()).receive::<Command>().is_err());
    }
}
