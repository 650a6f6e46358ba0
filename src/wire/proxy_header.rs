//! The PROXY protocol: what a proxy says of its client before the first byte of the client's own.
//!
//! Version 1 is a line of text, version 2 a binary block (HAProxy's `proxy-protocol.txt`, sections 2.1 and 2.2).
//! [`read`] is given all bytes that have come so far and decides as soon as they can mean one thing only, so
//! that how they were cut never matters; nothing behind the header is looked at. A header that the specification
//! does not allow is refused: there is no telling what else its sender gets wrong, and an address is at stake.
//!
//! Where the header names no client (`UNKNOWN`, `LOCAL`, an unspecified or unix family, datagrams), the
//! connection's own addresses stand (sections 2.1 and 2.2). TLVs are stepped over, and a checksum among them is
//! verified (section 2.2.3). [`write()`] is the other side.

mod checksum;
mod line;
#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::config::ProxyVersion;

/// The two ends of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoints {
    /// The client.
    pub source: SocketAddr,
    /// What it connected to.
    pub destination: SocketAddr,
}

/// A header that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProxyHeader {
    /// Its bytes; the client's own begin behind them.
    pub size: usize,
    /// `None`: those of the connection itself.
    pub endpoints: Option<Endpoints>,
}

/// What the bytes so far are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The beginning of a header.
    Partial,
    /// A whole one, perhaps with more behind it.
    Complete(ProxyHeader),
    /// None, and no further byte would make them one.
    Refused(Fault),
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// They begin like neither version.
    NoHeader,
    /// A line that does not end within its 107 bytes, or a block of more than [`LONGEST`].
    TooLong,
    /// A line that is not spelled as it must be.
    BadLine,
    /// An address that is none, or of the other family.
    BadAddress,
    /// A port that is none.
    BadPort,
    /// Another version than 2 behind the signature of version 2.
    BadVersion,
    /// Neither `LOCAL` nor `PROXY`.
    BadCommand,
    /// A family or transport that does not exist.
    BadFamily,
    /// A block too short for its family's addresses.
    TooShort,
    /// A TLV that reaches beyond the block, or a checksum that is not four bytes or is there twice.
    BadTlv,
    /// The checksum is another one.
    BadChecksum,
}

/// Reads a header at the front of `bytes`, which are all that have come.
pub fn read(bytes: &[u8]) -> Verdict {
    let verdict = match bytes.first() {
        None => Ok(None),
        Some(b'P') => line::read(bytes),
        Some(_) => read_block(bytes),
    };
    match verdict {
        Ok(None) => Verdict::Partial,
        Ok(Some(header)) => Verdict::Complete(header),
        Err(fault) => Verdict::Refused(fault),
    }
}

/// Appends a header for a client between these endpoints. Without them (a unix socket) the header says that
/// nothing is known: `UNKNOWN`, or `LOCAL` as HAProxy does.
///
/// IPv4 addresses written in IPv6 form go as IPv4; where only one of both is IPv4, it goes in IPv6 form.
pub fn write(version: ProxyVersion, endpoints: Option<&Endpoints>, out: &mut Vec<u8>) {
    let pair = endpoints.map(Endpoints::of_one_family);
    match version {
        ProxyVersion::V1 => line::write(pair.as_ref(), out),
        ProxyVersion::V2 => write_block(pair.as_ref(), out),
    }
}

/// Addresses of one family, with their ports.
enum Pair {
    V4([Ipv4Addr; 2], [u16; 2]),
    V6([Ipv6Addr; 2], [u16; 2]),
}

impl Endpoints {
    fn of_one_family(&self) -> Pair {
        let ports = [self.source.port(), self.destination.port()];
        let ips = [self.source.ip(), self.destination.ip()].map(|ip| ip.to_canonical());
        let v6 = |ip| match ip {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        match ips {
            [IpAddr::V4(source), IpAddr::V4(destination)] => Pair::V4([source, destination], ports),
            mixed => Pair::V6(mixed.map(v6), ports),
        }
    }
}

// === Version 2 ===

/// Section 2.2: "\r\n\r\n\0\r\nQUIT\n", then version and command, family, length.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const FIXED: usize = 16;
/// The longest block that is read, its TLVs included: a client's certificate fits, and the sender is one that
/// was listed. nginx has the same bound.
pub const LONGEST: usize = 4096;

const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
const CRC32C: u8 = 0x03;

/// Looks at the bytes in their order, so that the first one that is wrong decides, however they come.
fn read_block(bytes: &[u8]) -> Result<Option<ProxyHeader>, Fault> {
    let start = bytes.len().min(SIGNATURE.len());
    if bytes[..start] != SIGNATURE[..start] {
        return Err(Fault::NoHeader);
    }
    let Some(&command) = bytes.get(12) else {
        return Ok(None);
    };
    match command {
        LOCAL | PROXY => {}
        0x20..=0x2f => return Err(Fault::BadCommand),
        _ => return Err(Fault::BadVersion),
    }
    let Some(&family) = bytes.get(13) else {
        return Ok(None);
    };
    // The family of LOCAL "is ignored".
    if command == PROXY && (family >> 4 > 3 || family & 15 > 2) {
        return Err(Fault::BadFamily);
    }
    let Some(length) = bytes.get(14..FIXED) else {
        return Ok(None);
    };
    let size = FIXED + usize::from(u16::from_be_bytes([length[0], length[1]]));
    let addresses = if command == PROXY { room_of(family) } else { 0 };
    if size > LONGEST {
        return Err(Fault::TooLong);
    }
    if size < FIXED + addresses {
        return Err(Fault::TooShort);
    }
    let Some(block) = bytes.get(..size) else {
        return Ok(None);
    };
    let endpoints = (command == PROXY).then(|| endpoints(family, &block[FIXED..]));
    let endpoints = endpoints.flatten();
    if endpoints.is_some() {
        check_tlvs(block, FIXED + addresses)?;
    }
    Ok(Some(ProxyHeader { size, endpoints }))
}

/// Bytes of a family's addresses and ports.
const fn room_of(family: u8) -> usize {
    match family {
        0x11 | 0x12 => 12,
        0x21 | 0x22 => 36,
        0x31 | 0x32 => 216,
        _ => 0,
    }
}

/// The endpoints in a block that is long enough for them. Only TCP's are of use to a proxy of TCP.
fn endpoints(family: u8, block: &[u8]) -> Option<Endpoints> {
    let port = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
    let pair: [IpAddr; 2] = match family {
        TCP4 => [four(block, 0)?.into(), four(block, 4)?.into()],
        TCP6 => [sixteen(block, 0)?.into(), sixteen(block, 16)?.into()],
        _ => return None,
    };
    let ports = room_of(family) - 4;
    Some(Endpoints {
        source: SocketAddr::new(pair[0], port(ports)),
        destination: SocketAddr::new(pair[1], port(ports + 2)),
    })
}

fn four(block: &[u8], at: usize) -> Option<[u8; 4]> {
    block.get(at..at + 4)?.try_into().ok()
}

fn sixteen(block: &[u8], at: usize) -> Option<[u8; 16]> {
    block.get(at..at + 16)?.try_into().ok()
}

/// Steps over the TLVs from `at` on, and verifies a checksum.
fn check_tlvs(block: &[u8], mut at: usize) -> Result<(), Fault> {
    let mut sum = None;
    while at < block.len() {
        let Some(&[kind, high, low]) = block.get(at..at + 3) else {
            return Err(Fault::BadTlv);
        };
        let value = at + 3;
        at = value + usize::from(u16::from_be_bytes([high, low]));
        if at > block.len() {
            return Err(Fault::BadTlv);
        }
        if kind == CRC32C {
            let twice = sum.replace(value).is_some();
            if twice || at - value != 4 {
                return Err(Fault::BadTlv);
            }
        }
    }
    match sum {
        Some(place) if !is_checked(block, place) => Err(Fault::BadChecksum),
        Some(_) | None => Ok(()),
    }
}

/// Whether the four bytes at `place` are the checksum of the block with zeros in their place.
fn is_checked(block: &[u8], place: usize) -> bool {
    let mut sum = checksum::Crc32c::new();
    sum.add(&block[..place]);
    sum.add(&[0; 4]);
    sum.add(&block[place + 4..]);
    block[place..place + 4] == sum.finish().to_be_bytes()
}

fn write_block(pair: Option<&Pair>, out: &mut Vec<u8>) {
    out.extend_from_slice(&SIGNATURE);
    match pair {
        None => out.extend_from_slice(&[LOCAL, 0, 0, 0]),
        Some(Pair::V4(ips, ports)) => {
            out.extend_from_slice(&[PROXY, TCP4, 0, 12]);
            ips.iter()
                .for_each(|ip| out.extend_from_slice(&ip.octets()));
            push_ports(*ports, out);
        }
        Some(Pair::V6(ips, ports)) => {
            out.extend_from_slice(&[PROXY, TCP6, 0, 36]);
            ips.iter()
                .for_each(|ip| out.extend_from_slice(&ip.octets()));
            push_ports(*ports, out);
        }
    }
}

fn push_ports(ports: [u16; 2], out: &mut Vec<u8>) {
    for port in ports {
        out.extend_from_slice(&port.to_be_bytes());
    }
}
