//! What the launcher hands to a generation before it begins: everything up to `Go`.

use super::channel::{Channel, Command, PROTOCOL, Received, Socket, Start};
use crate::worker::ListenerSockets;
use std::fs::File;
use std::os::fd::OwnedFd;

/// What the launcher sent before `Go`.
pub(super) struct Handed {
    pub(super) start: Start,
    pub(super) listeners: Vec<HandedListener>,
    pub(super) control: OwnedFd,
    pub(super) stats: OwnedFd,
    pub(super) logs: Vec<(usize, File)>,
}

pub(super) struct HandedListener {
    pub(super) listener: usize,
    pub(super) bind: usize,
    pub(super) address: String,
    pub(super) sockets: Vec<OwnedFd>,
}

impl Handed {
    /// Waits for all of it.
    ///
    /// # Errors
    /// One line: the launcher went away, or speaks another language.
    pub(super) fn receive(channel: &Channel) -> Result<Self, String> {
        let mut start = None;
        let mut listeners: Vec<HandedListener> = Vec::new();
        let (mut control, mut stats) = (None, None);
        let mut logs = Vec::new();
        loop {
            let (command, mut descriptors) = match channel.receive() {
                Ok(Received::Message(command, descriptors)) => (command, descriptors),
                Ok(Received::Closed | Received::Nothing) => {
                    return Err("the launcher went away".to_owned());
                }
                Err(error) => return Err(format!("cannot read the launcher's orders: {error}")),
            };
            match command {
                Command::Start(order) if order.protocol != PROTOCOL => {
                    let theirs = order.protocol;
                    return Err(format!(
                        "the binary was replaced while it started (it speaks protocol {PROTOCOL}, \
                         the launcher {theirs}): start again"
                    ));
                }
                Command::Start(order) => start = Some(*order),
                Command::Listener {
                    listener,
                    bind,
                    address,
                } => match listeners.last_mut() {
                    Some(last) if (last.listener, last.bind) == (listener, bind) => {
                        last.sockets.append(&mut descriptors);
                    }
                    _ => listeners.push(HandedListener {
                        listener,
                        bind,
                        address,
                        sockets: descriptors,
                    }),
                },
                Command::Socket(Socket::Control) => control = descriptors.pop(),
                Command::Socket(Socket::Stats) => stats = descriptors.pop(),
                Command::LogFile { log } => logs.extend(files(log, descriptors)),
                Command::Go => break,
                // Told to stop before it began.
                Command::Drain | Command::Stop => std::process::exit(0),
                Command::Reload { .. }
                | Command::Reopen
                | Command::Refused { .. }
                | Command::Hosts { .. }
                | Command::Say { .. } => {}
            }
        }
        match (start, control, stats) {
            (Some(start), Some(control), Some(stats)) => Ok(Self {
                start,
                listeners,
                control,
                stats,
                logs,
            }),
            _ => Err("the launcher's orders are incomplete".to_owned()),
        }
    }
}

/// Open files with the index of their `[[log]]`.
pub(super) fn files(log: usize, descriptors: Vec<OwnedFd>) -> impl Iterator<Item = (usize, File)> {
    descriptors
        .into_iter()
        .map(move |descriptor| (log, File::from(descriptor)))
}

/// By listener: where it really listens.
pub(super) fn addresses(count: usize, listeners: &[HandedListener]) -> Vec<Vec<String>> {
    let mut addresses = vec![Vec::new(); count];
    for handed in listeners {
        if let Some(list) = addresses.get_mut(handed.listener) {
            list.push(handed.address.clone());
        }
    }
    addresses
}

/// As the workers take them: the sockets of an address one after the other.
pub(super) fn sockets(listeners: Vec<HandedListener>) -> Vec<ListenerSockets> {
    listeners
        .into_iter()
        .map(|handed| ListenerSockets {
            listener: handed.listener,
            sockets: handed.sockets,
        })
        .collect()
}
