//! Version 1: a line of text.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use super::{Endpoints, Fault, Pair, ProxyHeader};
use crate::wire::text;

/// Section 2.1: "CRLF not found in the first 107 characters" makes it invalid.
const LONGEST: usize = 107;
const START: &[u8] = b"PROXY ";

pub(super) fn read(bytes: &[u8]) -> Result<Option<ProxyHeader>, Fault> {
    let start = bytes.len().min(START.len());
    if bytes[..start] != START[..start] {
        return Err(Fault::NoHeader);
    }
    let Some(end) = memchr::memchr(b'\n', &bytes[..bytes.len().min(LONGEST)]) else {
        return if bytes.len() < LONGEST {
            Ok(None)
        } else {
            Err(Fault::TooLong)
        };
    };
    let line = bytes[START.len()..end]
        .strip_suffix(b"\r")
        .ok_or(Fault::BadLine)?;
    Ok(Some(ProxyHeader {
        size: end + 1,
        endpoints: endpoints(line)?,
    }))
}

/// What stands behind `PROXY ` and before the line's end.
fn endpoints(line: &[u8]) -> Result<Option<Endpoints>, Fault> {
    // "The receiver must ignore anything presented before the CRLF is found."
    if line == b"UNKNOWN" || line.starts_with(b"UNKNOWN ") {
        return Ok(None);
    }
    let line = str::from_utf8(line).map_err(|_| Fault::BadLine)?;
    let mut words = line.split(' ');
    let mut word = || words.next().ok_or(Fault::BadLine);
    let (family, source, destination) = (word()?, word()?, word()?);
    let ports = [word()?, word()?];
    if words.next().is_some() {
        return Err(Fault::BadLine);
    }
    let ips = match family {
        "TCP4" => [source, destination].map(address::<Ipv4Addr>),
        "TCP6" => [source, destination].map(address::<Ipv6Addr>),
        _ => return Err(Fault::BadLine),
    };
    let [source, destination] = ips;
    Ok(Some(Endpoints {
        source: SocketAddr::new(source?, port(ports[0])?),
        destination: SocketAddr::new(destination?, port(ports[1])?),
    }))
}

/// The standard library's readers take no leading zeros, no signs, no spaces and no zones.
fn address<T: FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, Fault> {
    text.parse::<T>()
        .map(Into::into)
        .map_err(|_| Fault::BadAddress)
}

/// 0 to 65535, without "heading zeroes".
fn port(text: &str) -> Result<u16, Fault> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let padded = text.len() > 1 && text.starts_with('0');
    if !plain || padded {
        return Err(Fault::BadPort);
    }
    text.parse().map_err(|_| Fault::BadPort)
}

pub(super) fn write(pair: Option<&Pair>, out: &mut Vec<u8>) {
    out.extend_from_slice(START);
    let ports = match pair {
        None => return out.extend_from_slice(b"UNKNOWN\r\n"),
        Some(Pair::V4(ips, ports)) => {
            out.extend_from_slice(b"TCP4");
            for ip in ips {
                out.push(b' ');
                text::push_v4(out, *ip);
            }
            ports
        }
        Some(Pair::V6(ips, ports)) => {
            out.extend_from_slice(b"TCP6");
            for ip in ips {
                out.push(b' ');
                text::push_v6(out, *ip);
            }
            ports
        }
    };
    for port in ports {
        out.push(b' ');
        text::push_decimal(out, u64::from(*port));
    }
    out.extend_from_slice(b"\r\n");
}
