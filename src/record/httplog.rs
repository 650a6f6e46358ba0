//! HAProxy's `option httplog` line (its manual, section 8.2.3), byte for byte:
//!
//! ```text
//! client:port [date] listener pool/server TR/Tw/Tc/Tr/Ta status bytes - - term act/li/po/sv/retries sq/pq {req} {resp} "request"
//! ```
//!
//! The two captured cookies are always `-`. A tunnel's end is an ordinary line whose bytes and Ta span
//! the tunnel's life, with ` ws=IN/OUT/MESSAGES_IN/MESSAGES_OUT` after the closing quote (bytes after
//! the handshake; `-/-` for messages that were not followed): parsers take the last field up to its quote.
//! A tunnel's opening is the line that `option logasap` gives, with `+` before Ta and bytes since
//! both go on growing, and ` ws=open` at the end.

use super::facts::{Counts, Kind, Record, Timers, TunnelCounts};
use super::stamp::Stamp;
use super::text::{self, TARGET_MAX, hash_encoded, number};

/// Appends the line of a record, without a line's end.
pub fn httplog(record: &Record<'_>, stamp: &mut Stamp, out: &mut Vec<u8>) {
    let growing = record.kind == Kind::TunnelOpened;
    client(record, out);
    out.extend_from_slice(b" [");
    stamp.httplog(record.accepted_ms, out);
    out.extend_from_slice(b"] ");
    places(record, out);
    timers(&record.timers, growing, out);
    match record.status {
        0 => out.extend_from_slice(b" -1 "),
        status => spaced(status, out),
    }
    if growing {
        out.push(b'+');
    }
    number(record.bytes_out, out);
    out.extend_from_slice(b" - - ");
    out.extend_from_slice(&record.termination.letters());
    counts(record, &record.counts, out);
    if !record.method.is_empty() {
        captured(record.captured_request, record.capture_request_names, out);
        captured(record.captured_response, record.capture_response_names, out);
    }
    request(record, out);
    match (record.kind, &record.tunnel) {
        (Kind::TunnelOpened, _) => out.extend_from_slice(b" ws=open"),
        (Kind::TunnelEnded, Some(tunnel)) => ended(tunnel, out),
        _ => {}
    }
}

fn client(record: &Record<'_>, out: &mut Vec<u8>) {
    match record.client {
        Some(client) => {
            text::address(client.ip(), out);
            out.push(b':');
            number(client.port(), out);
        }
        None => out.extend_from_slice(b"unix:1"),
    }
}

/// `listener pool/server `
fn places(record: &Record<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(record.listener.as_bytes());
    out.push(b' ');
    out.extend_from_slice(record.pool.unwrap_or(record.listener).as_bytes());
    out.push(b'/');
    out.extend_from_slice(record.server.unwrap_or("<NOSRV>").as_bytes());
    out.push(b' ');
}

fn timers(timers: &Timers, growing: bool, out: &mut Vec<u8>) {
    for phase in [
        timers.request,
        timers.queue,
        timers.connect,
        timers.response,
    ] {
        number(phase, out);
        out.push(b'/');
    }
    if growing {
        out.push(b'+');
    }
    number(timers.active, out);
}

fn spaced(value: u16, out: &mut Vec<u8>) {
    out.push(b' ');
    number(value, out);
    out.push(b' ');
}

/// ` actconn/feconn/beconn/srv_conn/retries srv_queue/backend_queue `
fn counts(record: &Record<'_>, counts: &Counts, out: &mut Vec<u8>) {
    let mut before = b' ';
    for count in [counts.process, counts.listener, counts.pool, counts.server] {
        out.push(before);
        number(count, out);
        before = b'/';
    }
    out.push(b'/');
    if record.redispatched {
        out.push(b'+');
    }
    number(record.retries, out);
    out.push(b' ');
    number(counts.server_queue, out);
    out.push(b'/');
    number(counts.pool_queue, out);
    out.push(b' ');
}

/// `{a|b} `, with a column for each name even where nothing was captured; nothing at all without captures.
fn captured(values: &[&[u8]], names: &[String], out: &mut Vec<u8>) {
    let columns = names.len().max(values.len());
    if columns == 0 {
        return;
    }
    let mut before = b'{';
    for column in 0..columns {
        out.push(before);
        hash_encoded(
            values.get(column).copied().unwrap_or_default(),
            &IN_CAPTURES,
            out,
        );
        before = b'|';
    }
    out.extend_from_slice(b"} ");
}

/// `"GET /path HTTP/1.1"`; a target that had to be cut ends the field, as HAProxy's does.
fn request(record: &Record<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    if record.method.is_empty() {
        out.extend_from_slice(b"<BADREQ>");
    } else {
        hash_encoded(record.method, &IN_REQUEST, out);
        out.push(b' ');
        match record.target.get(..TARGET_MAX) {
            Some(cut) if cut.len() < record.target.len() => hash_encoded(cut, &IN_REQUEST, out),
            _ => {
                hash_encoded(record.target, &IN_REQUEST, out);
                out.extend_from_slice(b" HTTP/1.");
                number(record.minor, out);
            }
        }
    }
    out.push(b'"');
}

/// ` ws=IN/OUT/MESSAGES_IN/MESSAGES_OUT`
fn ended(tunnel: &TunnelCounts, out: &mut Vec<u8>) {
    out.extend_from_slice(b" ws=");
    number(tunnel.bytes_in, out);
    out.push(b'/');
    number(tunnel.bytes_out, out);
    if !tunnel.followed {
        return out.extend_from_slice(b"/-/-");
    }
    for messages in [tunnel.messages_in, tunnel.messages_out] {
        out.push(b'/');
        number(messages, out);
    }
}

/// HAProxy's `url_encode_map`, turned round.
static IN_REQUEST: [bool; 256] = text::plain_except(b"\"#");
/// HAProxy's `hdr_encode_map`, likewise.
static IN_CAPTURES: [bool; 256] = text::plain_except(b"\"#{|}");
