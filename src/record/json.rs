//! The access line as one JSON object: everything the record knows, a field for a fact.
//!
//! Times are milliseconds; a phase that was not reached, a status that was not sent, a pool or server
//! that was not chosen is `null`. Text from peers is escaped as RFC 8259 section 7 wants; bytes that
//! are no UTF-8 become U+FFFD.

use super::facts::{Kind, Record, TunnelCounts};
use super::stamp::Stamp;
use super::text::{self, HEX_LOWER, TARGET_MAX, number};

/// Appends the object of a record, without a line's end.
pub fn json(record: &Record<'_>, stamp: &mut Stamp, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"time\":\"");
    stamp.iso(record.now_ms, out);
    out.extend_from_slice(b"\",\"level\":\"info\",\"event\":\"");
    out.extend_from_slice(word(record.kind));
    out.extend_from_slice(b"\",\"started\":\"");
    stamp.iso(record.accepted_ms, out);
    out.push(b'"');
    client(record, out);
    texts(record, out);
    match record.status {
        0 => out.extend_from_slice(b",\"status\":null"),
        status => numeric("status", status, out),
    }
    numeric("bytes_in", record.bytes_in, out);
    numeric("bytes_out", record.bytes_out, out);
    timers(record, out);
    out.extend_from_slice(b",\"termination\":\"");
    out.extend_from_slice(&record.termination.letters());
    out.push(b'"');
    numeric("retries", record.retries, out);
    boolean("redispatched", record.redispatched, out);
    counts(record, out);
    captured(
        "request_headers",
        record.captured_request,
        record.capture_request_names,
        out,
    );
    captured(
        "response_headers",
        record.captured_response,
        record.capture_response_names,
        out,
    );
    if let Some(counts) = &record.tunnel {
        tunnel(counts, out);
    }
    out.push(b'}');
}

fn word(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::Exchange => b"request",
        Kind::TunnelOpened => b"tunnel_opened",
        Kind::TunnelEnded => b"tunnel_ended",
        Kind::Empty => b"empty",
    }
}

fn client(record: &Record<'_>, out: &mut Vec<u8>) {
    match record.client {
        Some(client) => {
            out.extend_from_slice(b",\"client_ip\":\"");
            text::address(client.ip(), out);
            out.push(b'"');
            numeric("client_port", client.port(), out);
        }
        None => out.extend_from_slice(b",\"client_ip\":\"unix\",\"client_port\":null"),
    }
}

fn texts(record: &Record<'_>, out: &mut Vec<u8>) {
    let minor = match record.minor {
        0 => "HTTP/1.0",
        _ => "HTTP/1.1",
    };
    let method = Some(record.method).filter(|method| !method.is_empty());
    let target = &record.target[..record.target.len().min(TARGET_MAX)];
    name("listener", Some(record.listener.as_bytes()), out);
    name("pool", record.pool.map(str::as_bytes), out);
    name("server", record.server.map(str::as_bytes), out);
    name("method", method, out);
    name("target", method.map(|_| target), out);
    name("protocol", method.map(|_| minor.as_bytes()), out);
    name(
        "host",
        Some(record.host).filter(|host| !host.is_empty()),
        out,
    );
    name(
        "request_id",
        Some(record.request_id).filter(|id| !id.is_empty()),
        out,
    );
}

fn timers(record: &Record<'_>, out: &mut Vec<u8>) {
    let timers = &record.timers;
    for (field, phase) in [
        ("time_request_ms", timers.request),
        ("time_queue_ms", timers.queue),
        ("time_connect_ms", timers.connect),
        ("time_response_ms", timers.response),
        ("time_total_ms", timers.active),
    ] {
        key(field, out);
        match phase {
            ..0 => out.extend_from_slice(b"null"),
            ms => number(ms, out),
        }
    }
}

fn counts(record: &Record<'_>, out: &mut Vec<u8>) {
    let counts = &record.counts;
    numeric("process_connections", counts.process, out);
    numeric("listener_connections", counts.listener, out);
    numeric("pool_connections", counts.pool, out);
    numeric("server_connections", counts.server, out);
    numeric("server_queue", counts.server_queue, out);
    numeric("pool_queue", counts.pool_queue, out);
}

/// An object of name to value; absent without captures. A name that is captured twice stands there twice.
fn captured(field: &str, values: &[&[u8]], names: &[String], out: &mut Vec<u8>) {
    if names.is_empty() {
        return;
    }
    key(field, out);
    let mut before = b'{';
    for (column, name) in names.iter().enumerate() {
        out.push(before);
        string(name.as_bytes(), out);
        out.push(b':');
        string(values.get(column).copied().unwrap_or_default(), out);
        before = b',';
    }
    out.push(b'}');
}

fn tunnel(counts: &TunnelCounts, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"tunnel\":{\"bytes_in\":");
    number(counts.bytes_in, out);
    numeric("bytes_out", counts.bytes_out, out);
    for (field, messages) in [
        ("messages_in", counts.messages_in),
        ("messages_out", counts.messages_out),
    ] {
        key(field, out);
        match counts.followed {
            true => number(messages, out),
            false => out.extend_from_slice(b"null"),
        }
    }
    boolean("followed", counts.followed, out);
    out.push(b'}');
}

fn numeric(field: &str, value: impl itoa::Integer, out: &mut Vec<u8>) {
    key(field, out);
    number(value, out);
}

fn boolean(field: &str, value: bool, out: &mut Vec<u8>) {
    key(field, out);
    out.extend_from_slice(if value { b"true" } else { b"false" });
}

fn name(field: &str, value: Option<&[u8]>, out: &mut Vec<u8>) {
    key(field, out);
    match value {
        Some(value) => string(value, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// `,"field":`
fn key(field: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(field.as_bytes());
    out.extend_from_slice(b"\":");
}

/// A JSON string of any bytes.
pub(super) fn string(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        escaped(chunk.valid().as_bytes(), out);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
    out.push(b'"');
}

fn escaped(text: &[u8], out: &mut Vec<u8>) {
    let mut from = 0;
    for (at, byte) in text.iter().copied().enumerate() {
        if byte >= 0x20 && !matches!(byte, b'"' | b'\\' | 0x7f) {
            continue;
        }
        out.extend_from_slice(&text[from..at]);
        from = at + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            _ => {
                let [high, low] = [byte >> 4, byte & 15].map(|half| HEX_LOWER[usize::from(half)]);
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        }
    }
    out.extend_from_slice(&text[from..]);
}
