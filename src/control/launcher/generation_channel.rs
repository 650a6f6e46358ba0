//! The launcher's end of the channel to a generation, which never waits and believes nothing.
//!
//! The generation is what meets the network, so it may be stopped, hang, or be taken over. Commands are therefore put into a queue
//! and sent as far as the socket takes them; what is received is collected until it is a whole report. Queue, report and
//! the rate of reports have bounds, and texts in reports are made fit to print.

use super::super::channel::{Command, Frame, HEADER, Received, Report, frame_size};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct GenerationChannel {
    socket: OwnedFd,
    queue: VecDeque<Frame>,
    queued_bytes: usize,
    /// Since when the queue has not moved; `None` while it is empty.
    stuck_since: Option<Instant>,
    /// The report that is arriving.
    incoming: Vec<u8>,
    /// Reports since that moment.
    reports: (Instant, u32),
}

impl GenerationChannel {
    pub(super) fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            queue: VecDeque::new(),
            queued_bytes: 0,
            stuck_since: None,
            incoming: Vec::new(),
            reports: (Instant::now(), 0),
        }
    }

    /// Puts a command behind those that wait, and sends what the socket takes now.
    ///
    /// # Errors
    /// Too much waits already: then this command is not sent. The generation is gone.
    pub(super) fn send(
        &mut self,
        command: &Command,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let frame = Frame::new(command, descriptors)?;
        if !self.queue.is_empty() && self.queued_bytes + frame.size() > QUEUE_BYTES
            || self.queue.len() >= QUEUE_FRAMES
        {
            return Err(io::Error::other(
                "it takes no commands (is it stopped, by a debugger or SIGSTOP?)",
            ));
        }
        self.queued_bytes += frame.size();
        self.queue.push_back(frame);
        self.flush()
    }

    /// Sends what the socket takes now.
    ///
    /// # Errors
    /// The generation is gone.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        while let Some(frame) = self.queue.front_mut() {
            match frame.send(self.socket.as_fd()) {
                Ok(true) => {
                    self.queued_bytes -= frame.size();
                    self.queue.pop_front();
                    self.stuck_since = None;
                }
                Ok(false) => {
                    self.stuck_since = self.stuck_since.or_else(|| Some(Instant::now()));
                    return Ok(());
                }
                Err(error) => {
                    self.queue.clear();
                    (self.queued_bytes, self.stuck_since) = (0, None);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Takes back the commands of which no byte has been sent, with their descriptors.
    pub(super) fn take_back_unsent(&mut self) {
        let begun = self.queue.front().is_some_and(Frame::is_begun);
        self.queue.truncate(usize::from(begun));
        self.queued_bytes = self.queue.iter().map(Frame::size).sum();
    }

    /// Since when commands wait that the generation does not take.
    pub(super) fn stuck_since(&self) -> Option<Instant> {
        self.stuck_since
    }

    /// Takes one report if it has arrived whole.
    ///
    /// # Errors
    /// What arrived is no report, or too many of them arrive: the generation cannot be trusted.
    pub(super) fn receive(&mut self) -> io::Result<Received<Report>> {
        loop {
            let missing = match frame_size(&self.incoming)? {
                size if size > HEADER + REPORT_BYTES => {
                    return Err(invalid(format!("a report of {size} bytes")));
                }
                size => size - self.incoming.len(),
            };
            if missing == 0 {
                break;
            }
            let from = self.incoming.len();
            self.incoming.resize(from + missing, 0);
            // Without room for descriptors: the kernel closes what is sent along.
            let received = rustix::net::recv(
                &self.socket,
                &mut self.incoming[from..],
                RecvFlags::DONTWAIT,
            );
            let count = received.as_ref().map_or(0, |(_, count)| *count);
            self.incoming.truncate(from + count);
            match received {
                Ok((_, 0)) | Err(Errno::CONNRESET) => return Ok(Received::Closed),
                Ok(_) | Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(Received::Nothing),
                Err(error) => return Err(error.into()),
            }
        }
        self.count_report()?;
        let report: Report = serde_json::from_slice(&self.incoming[HEADER..])?;
        self.incoming.clear();
        Ok(Received::Message(cleaned(report), Vec::new()))
    }

    fn count_report(&mut self) -> io::Result<()> {
        let (since, count) = &mut self.reports;
        if since.elapsed() > REPORTS_OVER {
            (*since, *count) = (Instant::now(), 0);
        }
        *count += 1;
        match *count > REPORTS_MAX {
            true => Err(invalid(format!(
                "more than {REPORTS_MAX} reports in {} s",
                REPORTS_OVER.as_secs()
            ))),
            false => Ok(()),
        }
    }
}

impl AsFd for GenerationChannel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// With texts that can be printed: no control characters (a terminal would obey them, a journal would take a line break for
/// another message), and of a bounded length.
fn cleaned(report: Report) -> Report {
    match report {
        Report::Ready {
            driver,
            sandbox,
            missing,
        } => Report::Ready {
            driver: plain(&driver),
            sandbox: plain(&sandbox),
            missing: missing.iter().take(16).map(|text| plain(text)).collect(),
        },
        Report::Failed { why } => Report::Failed { why: plain(&why) },
        Report::Draining => Report::Draining,
        Report::Reloaded => Report::Reloaded,
        Report::ReloadFailed { why } => Report::ReloadFailed { why: plain(&why) },
    }
}

/// Line breaks become `; `, other control characters and those that turn the direction of writing around become `?`.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    for letter in text.trim().chars().take(TEXT_MAX) {
        match letter {
            '\n' => plain.push_str("; "),
            letter if letter.is_control() => plain.push('?'),
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                plain.push('?');
            }
            letter => plain.push(letter),
        }
    }
    plain
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// Bytes of commands that wait; one command alone may be larger.
const QUEUE_BYTES: usize = 64 << 20;
/// Commands that wait: the largest start sends a few for each listener and log.
const QUEUE_FRAMES: usize = 16_384;
/// Bytes of one report.
const REPORT_BYTES: usize = 64 << 10;
/// Characters of a text in it.
const TEXT_MAX: usize = 2_048;
/// Reports taken in [`REPORTS_OVER`]; each reload and start has one or two.
const REPORTS_MAX: u32 = 256;
const REPORTS_OVER: Duration = Duration::from_secs(10);

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::super::super::channel::Channel;
    use super::*;
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    fn pair() -> (GenerationChannel, UnixStream) {
        let (here, there) = UnixStream::pair().unwrap();
        (GenerationChannel::new(here.into()), there)
    }

    fn say(size: usize) -> Command {
        Command::Say {
            text: "x".repeat(size),
        }
    }

    #[test]
    fn what_is_not_taken_waits_within_a_bound() {
        let (mut here, there) = pair();
        let from = Instant::now();
        let sent = (0..100)
            .filter(|_| here.send(&say(1 << 20), &[]).is_ok())
            .count();
        assert_eq!(sent, 63, "as many as there is room for");
        assert!(here.stuck_since().is_some());
        // All of it arrives, in order, once it is read.
        let reader = std::thread::spawn(move || {
            let channel = Channel::new(there.into());
            let mut count = 0;
            while let Received::Message(Command::Say { text }, _) = channel.receive().unwrap() {
                assert_eq!(text.len(), 1 << 20);
                count += 1;
                if count == 63 {
                    break;
                }
            }
            (count, channel)
        });
        while here.stuck_since().is_some() {
            here.flush().unwrap();
            assert!(from.elapsed() < Duration::from_secs(30));
        }
        let (count, _there) = reader.join().unwrap();
        assert_eq!(count, 63);
        assert!(here.send(&say(1), &[]).is_ok());
    }

    #[test]
    fn descriptors_of_unsent_commands_are_closed() {
        let (mut here, _there) = pair();
        let (held, other) = UnixStream::pair().unwrap();
        here.send(&say(4 << 20), &[]).unwrap();
        here.send(&Command::LogFile { log: 0 }, &[other.as_fd()])
            .unwrap();
        drop(other);
        held.set_nonblocking(true).unwrap();
        let is_open = || {
            matches!(
                rustix::io::read(&held, &mut [0_u8; 1][..]),
                Err(Errno::AGAIN)
            )
        };
        assert!(is_open());
        here.take_back_unsent();
        assert!(!is_open(), "the queue had a copy");
        assert!(
            here.stuck_since().is_some(),
            "the one that was begun goes on"
        );
    }

    #[test]
    fn a_report_arrives_in_pieces_and_nobody_waits_for_the_rest() {
        let (mut here, mut there) = pair();
        let json = br#"{"Failed":{"why":"\u001b[31mred\nline\u202e"}}"#;
        let mut frame = Vec::new();
        frame.extend_from_slice(&(json.len() as u32).to_le_bytes());
        frame.extend_from_slice(&0_u32.to_le_bytes());
        frame.extend_from_slice(json);
        for byte in &frame[..frame.len() - 1] {
            there.write_all(&[*byte]).unwrap();
            assert!(matches!(here.receive().unwrap(), Received::Nothing));
        }
        there.write_all(&frame[frame.len() - 1..]).unwrap();
        let Received::Message(Report::Failed { why }, _) = here.receive().unwrap() else {
            panic!("no report");
        };
        assert_eq!(why, "?[31mred; line?");
        drop(there);
        assert!(matches!(here.receive().unwrap(), Received::Closed));
    }

    #[test]
    fn nonsense_and_floods_are_errors() {
        let (mut here, mut there) = pair();
        there.write_all(&[0xff; 8]).unwrap();
        assert!(here.receive().is_err());

        let (mut here, there) = pair();
        let there = Channel::new(there.into());
        let mut taken = 0;
        let error = loop {
            there.send(&Report::Reloaded, &[]).unwrap();
            match here.receive() {
                Ok(Received::Message(Report::Reloaded, _)) => taken += 1,
                Ok(_) => panic!("no report"),
                Err(error) => break error,
            }
        };
        assert_eq!(taken, REPORTS_MAX);
        assert!(
            error.to_string().contains("more than 256 reports"),
            "{error}"
        );
        let long = Report::Failed {
            why: "x".repeat(10_000),
        };
        let Report::Failed { why } = cleaned(long) else {
            panic!("another one");
        };
        assert_eq!(why.len(), TEXT_MAX);
    }
}
