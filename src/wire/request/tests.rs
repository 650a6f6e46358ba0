//! Bytes → meaning, rule by rule.

use super::*;
use crate::wire::properties;
use proptest::prelude::*;

const LIMITS: HeadLimits = HeadLimits {
    size: 4096,
    fields: 10,
};

fn parse(input: &[u8]) -> Result<RequestHead, Refusal> {
    let mut head = RequestHead::new(&LIMITS);
    match head.parse(input, 0, &LIMITS)? {
        Progress::Complete => Ok(head),
        Progress::Partial => panic!("partial: {}", input.escape_ascii()),
    }
}

/// A request with this line, and these lines of fields.
fn with(line: &str, fields: &str) -> Result<RequestHead, Refusal> {
    let fields = fields.replace('\n', "\r\n");
    parse(format!("{line}\r\n{fields}\r\n").as_bytes())
}

#[test]
fn an_ordinary_request() {
    let buf =
        b"\r\nGET /a/b?c=d HTTP/1.1\r\nhost:  Example.com:8080 \r\nCookie: a=b\r\nX: \r\n\r\nrest";
    let head = parse(buf).unwrap();
    assert_eq!(
        (head.method, head.minor, head.form),
        (Method::Get, 1, TargetForm::Origin)
    );
    assert_eq!(
        (head.path(buf), head.query.of(buf)),
        (&b"/a/b"[..], &b"?c=d"[..])
    );
    assert_eq!(head.authority.of(buf), b"Example.com:8080");
    assert_eq!(head.host.of(buf), b"Example.com");
    assert_eq!(
        (head.body, head.keep_alive, head.upgrade),
        (BodyLength::None, true, Upgrade::None)
    );
    assert_eq!(head.size, buf.len() - 4);
    assert_eq!(head.fields.len(), 3);
    assert_eq!(head.fields.value(buf, b"cookie"), Some(&b"a=b"[..]));
    assert_eq!(head.fields.value(buf, b"x"), Some(&b""[..]));
    assert!(head.fields.has(Known::Cookie) && !head.fields.has(Known::Upgrade));
}

#[test]
fn targets() {
    let table = [
        ("GET / HTTP/1.1", "/", "", "h"),
        ("GET /? HTTP/1.1", "/", "?", "h"),
        ("GET //x HTTP/1.1", "//x", "", "h"),
        ("GET /a%20b/../c HTTP/1.1", "/a%20b/../c", "", "h"),
        ("GET /?a=%zz&b={|}\" HTTP/1.1", "/", "?a=%zz&b={|}\"", "h"),
        ("GET /a?b?c/../.. HTTP/1.1", "/a", "?b?c/../..", "h"),
        ("OPTIONS * HTTP/1.1", "*", "", "h"),
        ("OPTIONS http://h HTTP/1.1", "*", "", "h"),
        ("OPTIONS http://h/ HTTP/1.1", "/", "", "h"),
        ("GET http://h/p?q HTTP/1.1", "/p", "?q", "h"),
        ("GET HTTP://H HTTP/1.1", "/", "", "H"),
        ("GET http://h:80 HTTP/1.1", "/", "", "h:80"),
        ("GET https://h:443/ HTTP/1.1", "/", "", "h:443"),
        ("GET ws://h/p?q HTTP/1.1", "/p", "?q", "h"),
        ("GET WSS://h:443 HTTP/1.1", "/", "", "h:443"),
        (
            "GET /caf\u{e9}/..?\u{20ac}=\u{1f600} HTTP/1.1",
            "/caf\u{e9}/..",
            "?\u{20ac}=\u{1f600}",
            "h",
        ),
    ];
    for (line, path, query, authority) in table {
        let buf = format!("{line}\r\nHost: h\r\n\r\n");
        let buf = buf.as_bytes();
        let head = parse(buf).unwrap_or_else(|refusal| panic!("{line}: {refusal}"));
        assert_eq!(head.path(buf), path.as_bytes(), "{line}");
        assert_eq!(head.query.of(buf), query.as_bytes(), "{line}");
        assert_eq!(head.authority.of(buf), authority.as_bytes(), "{line}");
    }
}

#[test]
fn refused_request_lines() {
    use Refusal::*;
    let table = [
        ("GET /", BadRequestLine),
        ("GET", BadRequestLine),
        ("GET  / HTTP/1.1", BadRequestLine),
        ("GET /  HTTP/1.1", BadRequestLine),
        ("GET / HTTP/1.1 ", BareLineEnd),
        (" GET / HTTP/1.1", BadRequestLine),
        ("GET\t/ HTTP/1.1", BadRequestLine),
        ("GET /a b HTTP/1.1", BadRequestLine),
        ("GET / http/1.1", BadRequestLine),
        ("GET / HTTP/1.10", BareLineEnd),
        ("GET / HTTP/11", BadRequestLine),
        ("GET / HTTPS/1.1", BadRequestLine),
        ("GET / HTTP/0.9", BadVersion),
        ("GET / HTTP/1.2", BadVersion),
        ("GET / HTTP/2.0", BadVersion),
        ("GET / HTTP/3.0", BadVersion),
        ("PRI * HTTP/2.0", BadVersion),
        ("get / HTTP/1.1", BadMethod),
        ("GET1 / HTTP/1.1", BadMethod),
        ("G@T / HTTP/1.1", BadRequestLine),
        ("CONNECT h:80 HTTP/1.1", MethodNotImplemented),
        ("TRACE / HTTP/1.1", MethodNotImplemented),
        ("GET * HTTP/1.1", BadTarget),
        ("GET h:80 HTTP/1.1", BadTarget),
        ("GET a/b HTTP/1.1", BadTarget),
        ("GET ?q HTTP/1.1", BadTarget),
        ("GET /#f HTTP/1.1", BadTarget),
        ("GET http://h/#f HTTP/1.1", BadTarget),
        ("GET /\u{e9}#f HTTP/1.1", BadTarget),
        ("GET /\u{e9}/../.. HTTP/1.1", BadTarget),
        ("GET \u{e9} HTTP/1.1", BadTarget),
        ("GET http://\u{e9}/ HTTP/1.1", BadHost),
        ("GET ws://u@h/ HTTP/1.1", BadHost),
        ("GET ws://h:443/ HTTP/1.1", HostMismatch),
        ("GET /\u{7f} HTTP/1.1", BadRequestLine),
        ("GET /\u{1} HTTP/1.1", BadRequestLine),
        ("GET /%zz HTTP/1.1", BadTarget),
        ("GET /%2 HTTP/1.1", BadTarget),
        ("GET /% HTTP/1.1", BadTarget),
        ("GET /%00 HTTP/1.1", BadTarget),
        ("GET /.. HTTP/1.1", BadTarget),
        ("GET /a/../../b HTTP/1.1", BadTarget),
        ("GET /a//../../b HTTP/1.1", BadTarget),
        ("GET /%2e%2E/b HTTP/1.1", BadTarget),
        ("GET /./%2e.%2fb HTTP/1.1", BadTarget),
        ("GET ftp://h/ HTTP/1.1", BadTarget),
        ("GET http:/h/ HTTP/1.1", BadTarget),
        ("GET http://h?q HTTP/1.1", BadTarget),
        ("GET http:///p HTTP/1.1", BadHost),
        ("GET http://u@h/ HTTP/1.1", BadHost),
        ("GET http://u:p@h/ HTTP/1.1", BadHost),
        ("GET http://h:x/ HTTP/1.1", BadHost),
        ("GET http://h\\@i/ HTTP/1.1", BadHost),
        ("GET http://other/ HTTP/1.1", HostMismatch),
        ("GET http://h:8080/ HTTP/1.1", HostMismatch),
        ("GET https://h:80/ HTTP/1.1", HostMismatch),
    ];
    for (line, refusal) in table {
        assert_eq!(with(line, "Host: h\n").err(), Some(refusal), "{line}");
    }
}

#[test]
fn hosts() {
    let good = [
        ("h", "h"),
        ("H-1.example.com.", "H-1.example.com."),
        ("a_b:1", "a_b"),
        ("1.2.3.4:65535", "1.2.3.4"),
        ("[::1]", "[::1]"),
        ("[2001:db8::1]:443", "[2001:db8::1]"),
        ("[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]"),
        ("", ""),
        ("\th", "h"),
        (" \t \th:80 ", "h"),
    ];
    for (value, host) in good {
        let buf = format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n");
        let head = parse(buf.as_bytes()).unwrap_or_else(|refusal| panic!("{value}: {refusal}"));
        assert_eq!(head.host.of(buf.as_bytes()), host.as_bytes());
    }
    let bad = [
        ":80",
        "h:",
        "h:x",
        "h:-1",
        "h:65536",
        "h:000080",
        "h:80:80",
        "u@h",
        "h/",
        "h/p",
        "h?",
        "h#",
        "a b",
        "a,b",
        "a\u{e9}",
        ".h",
        "a..b",
        "..",
        "%41",
        "h\t",
        "h \t",
        "a\tb",
        "h\\",
        "[::1",
        "::1",
        "[::1]x",
        "[::1]:",
        "[fe80::1%eth0]",
        "[h]",
        "[]",
        "\"h\"",
        "<h>",
    ];
    for value in bad {
        assert_eq!(
            with("GET / HTTP/1.1", &format!("Host: {value}\n")).err(),
            Some(Refusal::BadHost),
            "{value}"
        );
    }
    assert_eq!(with("GET / HTTP/1.1", "").err(), Some(Refusal::HostMissing));
    let refused = with("GET http://h/ HTTP/1.1", "Host:\n").err();
    assert_eq!(refused, Some(Refusal::BadHost));
    let refused = with("GET http:/// HTTP/1.1", "Host:\n").err();
    assert_eq!(refused, Some(Refusal::BadHost));
    assert_eq!(
        with("GET http://h/ HTTP/1.1", "").err(),
        Some(Refusal::HostMissing)
    );
    assert_eq!(
        with("GET / HTTP/1.1", "Host: h\nhost: h\n").err(),
        Some(Refusal::HostRepeated)
    );
    assert_eq!(
        with("GET / HTTP/1.0", "Host: h\nHost: i\n").err(),
        Some(Refusal::HostRepeated)
    );
    let head = with("GET / HTTP/1.0", "").unwrap();
    assert!(head.host.is_empty() && head.authority.is_empty());
}

#[test]
fn framing() {
    use BodyLength::*;
    let good = [
        ("", None),
        ("Content-Length: 0\n", Length(0)),
        ("content-length: 007\n", Length(7)),
        (
            "Content-Length: 9223372036854775807\n",
            Length(i64::MAX as u64),
        ),
        ("Transfer-Encoding: chunked\n", Chunked),
        ("transfer-encoding: Chunked\n", Chunked),
        (
            "If-None-Match: a\nIf-None-Match: b\nIf-Match: a\nIf-Match: b\n",
            None,
        ),
    ];
    for (fields, body) in good {
        let head = with("POST / HTTP/1.1", &format!("Host: h\n{fields}")).unwrap();
        assert_eq!(head.body, body, "{fields}");
    }
    use Refusal::*;
    let bad = [
        ("Content-Length: \n", BadLength),
        ("Content-Length: +5\n", BadLength),
        ("Content-Length: -5\n", BadLength),
        ("Content-Length: 5 5\n", BadLength),
        ("Content-Length: 5, 5\n", LengthRepeated),
        ("Content-Length: 5,\n", BadLength),
        ("Content-Length: 0x5\n", BadLength),
        ("Content-Length: 5.0\n", BadLength),
        ("Content-Length: 5\u{b2}\n", BadLength),
        ("Content-Length: 9223372036854775808\n", BadLength),
        ("Content-Length: 18446744073709551621\n", BadLength),
        ("Content-Length: 5\nContent-Length: 5\n", LengthRepeated),
        ("Content-Length: 5\ncontent-length: 6\n", LengthsDiffer),
        (
            "Content-Length: 5\nTransfer-Encoding: chunked\n",
            LengthAndCoding,
        ),
        (
            "Transfer-Encoding: chunked\nContent-Length: 0\n",
            LengthAndCoding,
        ),
        (
            "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n",
            BadCoding,
        ),
        ("Transfer-Encoding: \n", BadCoding),
        ("Transfer-Encoding: chunked, chunked\n", BadCoding),
        ("Transfer-Encoding: chunked, identity\n", BadCoding),
        ("Transfer-Encoding: chunked, gzip\n", BadCoding),
        ("Transfer-Encoding: identity\n", BadCoding),
        ("Transfer-Encoding: xchunked\n", BadCoding),
        ("Transfer-Encoding: chunked;q=1\n", BadCoding),
        ("Transfer-Encoding: \"chunked\"\n", BadCoding),
        ("Transfer-Encoding: ,chunked\n", BadCoding),
        ("Transfer-Encoding: \u{b}chunked\n", BadFieldValue),
        ("Transfer-Encoding: gzip, chunked\n", UnknownCoding),
        ("Content-Length:\t5\n", BadLength),
        ("Content-Length: 5\t\n", BadLength),
        ("Transfer-Encoding:\tchunked\n", BadCoding),
        ("Transfer-Encoding: chunked \t\n", BadCoding),
        ("Content_Length: 5\n", LookalikeField),
        ("transfer_encoding: chunked\n", LookalikeField),
        ("X_Forwarded_For: 1.1.1.1\n", LookalikeField),
        (
            "X_Forwarded_For_The_Sake_Of_A_Long_Name: 1.1.1.1\n",
            LookalikeField,
        ),
        ("Authorization: a\nauthorization: a\n", FieldRepeated),
        ("If-Range: a\nIf-Range: b\n", FieldRepeated),
        (
            "If-Modified-Since: a\nIf-Modified-Since: b\n",
            FieldRepeated,
        ),
        ("Expect: a\nExpect: b\n", FieldRepeated),
    ];
    for (fields, refusal) in bad {
        let result = with("POST / HTTP/1.1", &format!("Host: h\n{fields}"));
        assert_eq!(result.err(), Some(refusal), "{fields}");
    }
    assert_eq!(
        with("POST / HTTP/1.0", "Transfer-Encoding: chunked\n").err(),
        Some(CodingInOldVersion)
    );
    assert_eq!(
        with("GET / HTTP/1.0", "Content-Length: 1\n").err(),
        Some(BodyNotExpected)
    );
    assert_eq!(
        with("GET / HTTP/1.0", "Content-Length: 0\n").unwrap().body,
        Length(0)
    );
    assert_eq!(
        with("POST / HTTP/1.0", "Content-Length: 1\n").unwrap().body,
        Length(1)
    );
}

#[test]
fn refused_lines() {
    use Refusal::*;
    let table: [(&[u8], Refusal); 22] = [
        (b"GET / HTTP/1.1\nHost: h\r\n\r\n", BareLineEnd),
        (b"GET / HTTP/1.1\r\nHost: h\n\r\n", BareLineEnd),
        (b"GET / HTTP/1.1\r\nHost: h\r\n\n", BareLineEnd),
        (b"GET / HTTP/1.1\r\nHost: h\nA: b\r\n\r\n", BareLineEnd),
        (b"GET / HTTP/1.1\nHost: h\n\n", BareLineEnd),
        (
            b"GET / HTTP/1.1\r\nHost: h\r\nA:\nB: c\r\n\r\n",
            BareLineEnd,
        ),
        (b"GET / HTTP/1.1\rHost: h\r\n\r\n", BareLineEnd),
        (b"GET / HTTP/1.1\r\nHost: h\rA: b\r\n\r\n", BadFieldValue),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA: \0\r\n\r\n", BadFieldValue),
        (
            b"GET / HTTP/1.1\r\nHost: h\r\nA: \x7f\r\n\r\n",
            BadFieldValue,
        ),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n", BadFieldName),
        (b"GET / HTTP/1.1\r\nHost: h\r\n: b\r\n\r\n", BadFieldName),
        (b"GET / HTTP/1.1\r\nHost: h\r\nA\r\n\r\n", BadFieldName),
        (b"GET / HTTP/1.1\r\nHost: h\r\n A: b\r\n\r\n", FoldedField),
        (b"GET / HTTP/1.1\r\n Host: h\r\n\r\n", FoldedField),
        (
            b"GET / HTTP/1.1\r\nHost: h\r\nA\xe9: b\r\n\r\n",
            BadFieldName,
        ),
        (b"GET / HTTP/1.1\r\nHost: h\r\n(): b\r\n\r\n", BadFieldName),
        (b"\r\n\r\n\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", BadStart),
        (b"\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nG", BadStart),
        (b"\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", BadStart),
        (b"\rGET / HTTP/1.1\r\nHost: h\r\n\r\n", BadStart),
        (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", TlsOnPlainPort),
    ];
    for (input, refusal) in table {
        assert_eq!(
            parse(input).err(),
            Some(refusal),
            "{}",
            input.escape_ascii()
        );
    }
}

#[test]
fn bounds() {
    let mut head = RequestHead::new(&LIMITS);
    let fields = |count: usize| "A: b\n".repeat(count);
    assert!(with("GET / HTTP/1.1", &format!("Host: h\n{}", fields(9))).is_ok());
    let refused = with("GET / HTTP/1.1", &format!("Host: h\n{}", fields(10)));
    assert_eq!(refused.err(), Some(Refusal::TooManyFields));

    let target = format!("GET /{} HTTP/1.1\r\n", "x".repeat(5000));
    assert_eq!(
        head.parse(target.as_bytes(), 0, &LIMITS),
        Err(Refusal::TargetTooLong)
    );
    assert_eq!(
        head.parse(target.as_bytes(), 4000, &LIMITS),
        Err(Refusal::TargetTooLong)
    );
    let target = format!("\r\n\r\nGET /{} HTTP/1.1\r\n", "x".repeat(5000));
    assert_eq!(
        head.parse(target.as_bytes(), 4000, &LIMITS),
        Err(Refusal::TargetTooLong)
    );
    // What is percent-encoded takes three times its bytes, and fits as such.
    let target = |count: usize| {
        with(
            &format!("GET /{} HTTP/1.1", "\u{e9}".repeat(count)),
            "Host: h\n",
        )
    };
    assert_eq!(target(600).unwrap().above_ascii, 1200);
    assert_eq!(target(700).err(), Some(Refusal::TargetTooLong));
    let value = format!(
        "GET / HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n",
        "x".repeat(5000)
    );
    assert_eq!(
        head.parse(value.as_bytes(), 0, &LIMITS),
        Err(Refusal::HeadTooLarge)
    );
    assert_eq!(
        head.parse(value.as_bytes(), 4000, &LIMITS),
        Err(Refusal::HeadTooLarge)
    );

    let fits = |size: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: h\r\nA: {}\r\n\r\n",
            "x".repeat(size - 32)
        )
    };
    assert_eq!(
        head.parse(fits(4096).as_bytes(), 0, &LIMITS),
        Ok(Progress::Complete)
    );
    assert_eq!(
        head.parse(fits(4097).as_bytes(), 0, &LIMITS),
        Err(Refusal::HeadTooLarge)
    );

    let name = |length: usize| {
        with(
            "GET / HTTP/1.1",
            &format!("Host: h\n{}: x\n", "a".repeat(length)),
        )
    };
    assert!(name(255).is_ok());
    assert_eq!(name(256).err(), Some(Refusal::BadFieldName));

    let names = |count: usize| format!("Host: h\nConnection: {}\n", vec!["a"; count].join(","));
    assert!(with("GET / HTTP/1.1", &names(32)).is_ok());
    assert_eq!(
        with("GET / HTTP/1.1", &names(33)).err(),
        Some(Refusal::BadConnection)
    );
}

#[test]
fn faults_are_found_before_the_end() {
    let mut head = RequestHead::new(&LIMITS);
    let mut drip = |input: &[u8]| {
        let end = (0..=input.len()).find_map(|size| {
            head.parse(&input[..size], size.saturating_sub(1), &LIMITS)
                .err()
        });
        end.unwrap_or_else(|| panic!("no refusal: {}", input.escape_ascii()))
    };
    assert_eq!(drip(b"GET /\r\n"), Refusal::BadRequestLine);
    assert_eq!(drip(b"\r\nGET /\r\n"), Refusal::BadRequestLine);
    assert_eq!(drip(b"GET / HTTP/1.1\n"), Refusal::BareLineEnd);
    assert_eq!(drip(b"GET / HTTP/1.1\r\nHost: h\n"), Refusal::BareLineEnd);
    assert_eq!(drip(b"\x16"), Refusal::TlsOnPlainPort);
    assert_eq!(drip(b"\r\n\r\n\r\nGET /\r\n"), Refusal::BadRequestLine);
    assert_eq!(drip(b"\r\n\r\n\x16"), Refusal::BadRequestLine);
}

#[test]
fn connection() {
    let table = [
        ("GET / HTTP/1.1", "", true),
        ("GET / HTTP/1.1", "Connection: close\n", false),
        ("GET / HTTP/1.1", "Connection: x, CLOSE\n", false),
        (
            "GET / HTTP/1.1",
            "Connection: keep-alive\nConnection: close\n",
            false,
        ),
        ("GET / HTTP/1.0", "", false),
        ("GET / HTTP/1.0", "Connection: Keep-Alive\n", true),
        ("GET / HTTP/1.0", "Connection: keep-alive, close\n", false),
        ("GET / HTTP/1.0", "Proxy-Connection: keep-alive\n", false),
    ];
    for (line, fields, kept) in table {
        let head = with(line, &format!("Host: h\n{fields}")).unwrap();
        assert_eq!(head.keep_alive, kept, "{line} {fields}");
    }
    let fields =
        "Host: h\nConnection: a, host,, Cookie, TE\na: 1\nb: 2\nCookie: c=d\nTE: trailers\n";
    let head = with("GET / HTTP/1.1", fields).unwrap();
    let hops: Vec<bool> = head.fields.iter().map(|field| field.hop).collect();
    assert_eq!(hops, [false, true, true, false, false, true]);
    assert!(head.te_trailers);
    let refused = with("GET / HTTP/1.1", "Host: h\nConnection: a b\n");
    assert_eq!(refused.err(), Some(Refusal::BadConnection));
}

#[test]
fn upgrade_and_expect() {
    let upgrade = |fields: &str| {
        with(
            "GET / HTTP/1.1",
            &format!("Host: h\nConnection: x, Upgrade\n{fields}"),
        )
        .unwrap()
        .upgrade
    };
    assert_eq!(upgrade(""), Upgrade::None);
    assert_eq!(upgrade("Upgrade: WebSocket\n"), Upgrade::WebSocket);
    assert_eq!(upgrade("Upgrade: h2c, websocket\n"), Upgrade::WebSocket);
    assert_eq!(upgrade("Upgrade: h2c\nHTTP2-Settings: x\n"), Upgrade::Other);
    let expects = |line: &str, value: &str| {
        with(line, &format!("Host: h\nExpect: {value}\n"))
            .unwrap()
            .expect_continue
    };
    assert!(expects("POST / HTTP/1.1", "100-Continue"));
    assert!(!expects("POST / HTTP/1.0", "100-continue"));
    assert!(!expects("POST / HTTP/1.1", "200-ok"));
}

#[test]
fn a_head_is_used_again_without_a_trace() {
    let (mut head, mut fresh) = (RequestHead::new(&LIMITS), RequestHead::new(&LIMITS));
    let rich = b"POST http://h/p?q HTTP/1.1\r\nHost: h\r\nConnection: close, upgrade\r\nUpgrade: websocket\r\nExpect: 100-continue\r\nTE: trailers\r\nContent-Length: 3\r\n\r\n";
    let poor = b"GET / HTTP/1.0\r\n\r\n";
    head.parse(rich, 0, &LIMITS).unwrap();
    head.parse(poor, 0, &LIMITS).unwrap();
    fresh.parse(poor, 0, &LIMITS).unwrap();
    assert_eq!(format!("{head:?}"), format!("{fresh:?}"));
}

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let words = proptest::sample::select(vec![
        "GET ",
        "POST ",
        "/",
        "*",
        "http://h",
        " HTTP/1.1",
        " HTTP/1.0",
        "\r\n",
        "\r\n",
        "\r\n",
        "\r\n\r\n",
        "\n",
        "\r",
        "Host: h",
        "Content-Length: 5",
        "Transfer-Encoding: chunked",
        "Connection: close",
        "A: b",
        " ",
        ":",
        "\0",
        "\u{e9}",
        "%2e",
        "..",
    ]);
    proptest::collection::vec(words, 0..16).prop_map(|words| words.concat().into_bytes())
}

proptest! {
    #[test]
    fn splitting_changes_nothing(input in pieces(), cut in 0_usize..200) {
        properties::request_head(&input, cut);
    }

    #[test]
    fn splitting_a_good_head_changes_nothing(
        names in proptest::collection::vec("[a-zA-Z-]{1,12}", 0..10),
        value in "[ -~]{0,80}",
        rest in "[ -~]{0,20}",
        cut in 0_usize..400,
    ) {
        let mut input = b"GET /x?y HTTP/1.1\r\nHost: h\r\n".to_vec();
        for name in names {
            input.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        input.extend_from_slice(b"\r\n");
        input.extend_from_slice(rest.as_bytes());
        properties::request_head(&input, cut);
    }

    #[test]
    fn any_bytes(input: Vec<u8>, cut in 0_usize..100) {
        properties::request_head(&input, cut);
    }
}
