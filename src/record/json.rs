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
    if let Some(word) = record.refused {
        out.extend_from_slice(b"\",\"refused\":\"");
        out.extend_from_slice(word.as_bytes());
    }
    out.push(b'"');
    if let Some(at) = record.refused_at {
        numeric("refused_at", at, out);
    }
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
            text::client(&client, out);
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
    if is_plain(bytes) {
        out.extend_from_slice(bytes);
    } else {
        lossy(bytes, out);
    }
    out.push(b'"');
}

/// Only bytes that stand for themselves; looks at all of them, which is faster than stopping at the first.
fn is_plain(bytes: &[u8]) -> bool {
    let special = |byte: u8| !(0x20..0x7f).contains(&byte) | (byte == b'"') | (byte == b'\\');
    !bytes
        .iter()
        .fold(false, |found, byte| found | special(*byte))
}

fn lossy(bytes: &[u8], out: &mut Vec<u8>) {
    for chunk in bytes.utf8_chunks() {
        escaped(chunk.valid().as_bytes(), out);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::facts::{Counts, Termination, Timers};
    use super::*;

    const THEN: u64 = 1_795_381_533_123;

    fn line(record: &Record<'_>) -> String {
        let mut out = Vec::new();
        json(record, &mut Stamp::new(3600), &mut out);
        String::from_utf8(out).expect("UTF-8 whatever the peers send")
    }

    #[test]
    fn a_tunnels_end_with_everything() {
        let names = vec!["User-Agent".to_owned()];
        let record = Record {
            client: "[::1]:5000".parse().ok(),
            pool: Some("p"),
            server: Some("s"),
            timers: Timers {
                request: 1,
                queue: 0,
                connect: 2,
                response: 3,
                active: 4,
            },
            status: 101,
            bytes_in: 10,
            bytes_out: 20,
            termination: Termination {
                cause: b'C',
                phase: b'D',
                cookie_request: b'V',
                cookie_response: b'N',
            },
            counts: Counts {
                process: 6,
                listener: 5,
                pool: 4,
                server: 3,
                server_queue: 2,
                pool_queue: 1,
            },
            retries: 1,
            redispatched: true,
            method: b"GET",
            target: b"/ws?\"\\\n\x01\xff",
            host: b"a.example",
            request_id: b"77",
            capture_request_names: &names,
            captured_request: &["Zürich".as_bytes()],
            tunnel: Some(TunnelCounts {
                messages_in: 1,
                messages_out: 2,
                bytes_in: 3,
                bytes_out: 4,
                followed: true,
            }),
            ..Record::empty(Kind::TunnelEnded, THEN, THEN + 4, "in")
        };
        assert_eq!(
            line(&record),
            r#"{"time":"2026-11-22T22:05:33.127+01:00","level":"info","event":"tunnel_ended","#
                .to_owned()
                + r#""started":"2026-11-22T22:05:33.123+01:00","client_ip":"::1","client_port":5000,"#
                + r#""listener":"in","pool":"p","server":"s","method":"GET","target":"/ws?\"\\\n\u0001"#
                + "\u{fffd}\","
                + r#""protocol":"HTTP/1.1","host":"a.example","request_id":"77","status":101,"bytes_in":10,"#
                + r#""bytes_out":20,"time_request_ms":1,"time_queue_ms":0,"time_connect_ms":2,"#
                + r#""time_response_ms":3,"time_total_ms":4,"termination":"CDVN","retries":1,"#
                + r#""redispatched":true,"process_connections":6,"listener_connections":5,"#
                + r#""pool_connections":4,"server_connections":3,"server_queue":2,"pool_queue":1,"#
                + r#""request_headers":{"User-Agent":"Zürich"},"tunnel":{"bytes_in":3,"bytes_out":4,"#
                + r#""messages_in":1,"messages_out":2,"followed":true}}"#
        );
    }

    #[test]
    fn what_was_not_reached_is_null() {
        let line = line(&Record::empty(Kind::Empty, THEN, THEN, "in"));
        let object: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        for field in [
            "pool",
            "server",
            "status",
            "method",
            "target",
            "protocol",
            "host",
            "request_id",
            "time_total_ms",
        ] {
            assert!(object[field].is_null(), "{field}: {line}");
        }
        assert_eq!(object["client_ip"], "unix");
        assert_eq!(object["event"], "empty");
        assert!(object.get("tunnel").is_none() && object.get("request_headers").is_none());
    }

    #[test]
    fn a_tunnel_that_is_not_followed_counts_no_messages() {
        let record = Record {
            tunnel: Some(TunnelCounts::default()),
            ..Record::empty(Kind::TunnelEnded, THEN, THEN, "in")
        };
        assert!(line(&record).ends_with(
            r#""tunnel":{"bytes_in":0,"bytes_out":0,"messages_in":null,"messages_out":null,"followed":false}}"#
        ));
    }

    proptest! {
        #[test]
        fn any_bytes_make_a_json_string_of_their_lossy_text(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let mut out = Vec::new();
            string(&bytes, &mut out);
            prop_assert!(out.iter().all(|byte| *byte >= 0x20), "one line");
            let read: String = serde_json::from_slice(&out).expect("a JSON string");
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
        }
    }
}
