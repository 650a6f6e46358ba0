//! HAProxy's `option httplog` line (its manual, section 8.2.3), byte for byte:
//!
//! ```text
//! client:port [date] listener pool/server TR/Tw/Tc/Tr/Ta status bytes - - term act/li/po/sv/retries sq/pq {req} {resp} "request"
//! ```
//!
//! The two captured cookies are always `-`. A tunnel's end is an ordinary line whose bytes and Ta span
//! the tunnel's life, with ` ws=IN/OUT/MESSAGES_IN/MESSAGES_OUT` after the closing quote (bytes after
//! the handshake; `-/-` for messages that were not followed): parsers take the last field up to its quote.
//! A refused message has ` refused=WORD` in the same place.
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
    if let Some(word) = record.refused {
        out.extend_from_slice(b" refused=");
        out.extend_from_slice(word.as_bytes());
    }
}

fn client(record: &Record<'_>, out: &mut Vec<u8>) {
    match record.client {
        Some(client) => {
            text::client(&client, out);
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::facts::{Kind, Record, Termination, Timers, TunnelCounts};
    use super::super::stamp::Stamp;
    use super::httplog;

    /// 22 November 2026, 21:05:33.123 UTC.
    const THEN: u64 = 1_795_381_533_123;

    fn line(record: &Record<'_>) -> String {
        let mut out = Vec::new();
        httplog(record, &mut Stamp::new(0), &mut out);
        String::from_utf8(out).expect("only ASCII")
    }

    /// A sticky exchange without anything unusual.
    fn exchange() -> Record<'static> {
        Record {
            client: "10.0.1.2:33317".parse().ok(),
            pool: Some("socket_servers"),
            server: Some("node1"),
            timers: Timers {
                request: 10,
                queue: 0,
                connect: 30,
                response: 69,
                active: 109,
            },
            status: 200,
            bytes_out: 2750,
            termination: Termination {
                cookie_request: b'V',
                cookie_response: b'N',
                ..Termination::default()
            },
            counts: super::Counts {
                process: 6,
                listener: 5,
                pool: 4,
                server: 3,
                server_queue: 2,
                pool_queue: 1,
            },
            method: b"GET",
            target: b"/socket.io/?EIO=4&transport=polling",
            ..Record::empty(Kind::Exchange, THEN, THEN + 109, "http-in")
        }
    }

    #[test]
    fn an_exchange() {
        assert_eq!(
            line(&exchange()),
            "10.0.1.2:33317 [22/Nov/2026:21:05:33.123] http-in socket_servers/node1 10/0/30/69/109 \
             200 2750 - - --VN 6/5/4/3/0 2/1 \"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\""
        );
    }

    /// Each row changes one thing; what it looks like must be in the line.
    #[test]
    fn every_field() {
        let names = vec!["Host".to_owned(), "User-Agent".to_owned()];
        let base = exchange();
        let long = [b'a'; 5000];
        #[rustfmt::skip]
        let table: &[(Record<'_>, &str)] = &[
            (Record { client: None, ..base }, "unix:1 [22/"),
            (Record { client: "[2001:db8::1]:443".parse().ok(), ..base }, "2001:db8::1:443 [22/"),
            (Record { pool: None, server: None, ..base }, "] http-in http-in/<NOSRV> 10/"),
            (Record { server: None, ..base }, " socket_servers/<NOSRV> 10/"),
            (Record { timers: Timers { connect: -1, response: -1, ..base.timers }, ..base }, " 10/0/-1/-1/109 "),
            (Record { status: 0, ..base }, "/109 -1 2750 - - "),
            (Record { bytes_out: u64::MAX, ..base }, " 200 18446744073709551615 - - "),
            (Record { retries: 3, redispatched: true, ..base }, " 6/5/4/3/+3 2/1 "),
            (Record { retries: 2, ..base }, " 6/5/4/3/2 2/1 "),
            (Record { minor: 0, ..base }, "polling HTTP/1.0\""),
            (Record { target: b"/a\"b#c{d|e}\\\x00\x7f\xff ", ..base }, "\"GET /a#22b#23c{d|e}\\#00#7F#FF  HTTP/1.1\""),
            (Record { capture_request_names: &names, captured_request: &[b"a.example", b"x {\"|#} y\xe9"], ..base },
                " 2/1 {a.example|x #7B#22#7C#23#7D y#E9} \"GET "),
            (Record { capture_request_names: &names, captured_request: &[b"", b""], ..base }, " 2/1 {|} \"GET "),
            (Record { capture_response_names: &names[..1], captured_response: &[b"nginx"], ..base }, " 2/1 {nginx} \"GET "),
            (Record { capture_request_names: &names, captured_request: &[b"h", b"u"], capture_response_names: &names, ..base },
                " 2/1 {h|u} {|} \"GET "),
            (Record { method: b"", target: b"", capture_request_names: &names, ..base }, " 2/1 \"<BADREQ>\""),
            (Record { target: &long, ..base }, "aaaa\""),
        ];
        for (record, wanted) in table {
            let line = line(record);
            assert!(line.contains(wanted), "{wanted}\nis not in\n{line}");
        }
    }

    /// The manual's examples in its section 8.9, with the words it uses nowadays for no request.
    #[test]
    fn endings() {
        let nothing = Record {
            client: "127.0.0.1:33318".parse().ok(),
            ..Record::empty(Kind::Empty, THEN, THEN, "px-http")
        };
        let ending = |cause, phase| Termination {
            cause,
            phase,
            ..Termination::default()
        };
        #[rustfmt::skip]
        let table = [
            (Record { timers: Timers { active: 8490, ..Timers::NONE }, termination: ending(b'C', b'R'), ..nothing },
                "px-http px-http/<NOSRV> -1/-1/-1/-1/8490 -1 0 - - CR-- 0/0/0/0/0 0/0 \"<BADREQ>\""),
            (Record { kind: Kind::Exchange, timers: Timers { active: 50_001, ..Timers::NONE }, status: 408, bytes_out: 212,
                termination: ending(b'c', b'R'), ..nothing },
                "px-http px-http/<NOSRV> -1/-1/-1/-1/50001 408 212 - - cR-- 0/0/0/0/0 0/0 \"<BADREQ>\""),
        ];
        for (record, wanted) in table {
            let wanted = format!("127.0.0.1:33318 [22/Nov/2026:21:05:33.123] {wanted}");
            assert_eq!(line(&record), wanted);
        }
    }

    #[test]
    fn tunnels() {
        let counts = TunnelCounts {
            messages_in: 3,
            messages_out: 40,
            bytes_in: 120,
            bytes_out: 9000,
            followed: true,
        };
        let opened = Record {
            kind: Kind::TunnelOpened,
            status: 101,
            tunnel: Some(TunnelCounts::default()),
            ..exchange()
        };
        let ended = Record {
            kind: Kind::TunnelEnded,
            tunnel: Some(counts),
            ..opened
        };
        let unfollowed = Record {
            tunnel: Some(TunnelCounts {
                followed: false,
                ..counts
            }),
            ..ended
        };
        assert!(line(&opened).contains(" 10/0/30/69/+109 101 +2750 - - "));
        assert!(line(&opened).ends_with("HTTP/1.1\" ws=open"));
        assert!(line(&ended).contains(" 10/0/30/69/109 101 2750 - - "));
        assert!(line(&ended).ends_with("HTTP/1.1\" ws=120/9000/3/40"));
        assert!(line(&unfollowed).ends_with("HTTP/1.1\" ws=120/9000/-/-"));
    }

    /// What `#XX` stands for.
    fn decoded(mut text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        while let Some((first, rest)) = text.split_first() {
            text = rest;
            if *first != b'#' {
                out.push(*first);
                continue;
            }
            let (digits, rest) = text.split_at(2);
            text = rest;
            let digits = std::str::from_utf8(digits).expect("ASCII");
            out.push(u8::from_str_radix(digits, 16).expect("two hexadecimal digits"));
        }
        out
    }

    proptest! {
        #[test]
        fn whatever_peers_send_is_one_line_with_one_quoted_field(
            target in prop::collection::vec(any::<u8>(), 0..64),
            value in prop::collection::vec(any::<u8>(), 0..64),
        ) {
            let names = ["Host".to_owned()];
            let record = Record {
                target: &target,
                captured_request: &[&value],
                capture_request_names: &names,
                ..exchange()
            };
            let line = line(&record);
            prop_assert!(line.bytes().all(|byte| (32..127).contains(&byte)));
            let quoted: Vec<&str> = line.split('"').collect();
            prop_assert_eq!(quoted.len(), 3);
            let request = quoted[1].strip_prefix("GET ").and_then(|rest| rest.strip_suffix(" HTTP/1.1"));
            prop_assert_eq!(decoded(request.expect("a request line").as_bytes()), target);
            let braced: Vec<&str> = line.split(['{', '}', '|']).collect();
            prop_assert_eq!(decoded(braced[1].as_bytes()), value);
        }
    }
}
