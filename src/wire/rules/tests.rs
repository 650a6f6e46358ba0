//! Every kind of fault by its name: bytes, verdict and status, and beside them what must pass.
//!
//! A group is a message with one place that varies, and what stands there in its benign twin. The whole
//! message is read, head and body, as a connection would.

use super::*;
use crate::wire::chunked::Decoder;
use crate::wire::forward::{RequestEdits, ResponseEdits, write_request, write_response};
use crate::wire::request::{RequestHead, Upgrade};
use crate::wire::{Blame, HeadLimits, Progress};

/// The message (`{}` is the place that varies), the twin, and a row for each fault: its name, what stands in
/// the place, the refusal, the status that the client gets.
type Group = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str, Refusal, u16)],
);

use Refusal::*;

#[rustfmt::skip]
const REQUESTS: &[Group] = &[
    (
        "POST / HTTP/1.1\r\nHost: h\r\n{}\r\n\r\nhello",
        "Content-Length: 5",
        &[
            ("Content-Length with Transfer-Encoding", "Content-Length: 5\r\nTransfer-Encoding: chunked", LengthAndCoding, 400),
            ("Transfer-Encoding with Content-Length", "Transfer-Encoding: chunked\r\nContent-Length: 0", LengthAndCoding, 400),
            ("repeated length", "Content-Length: 5\r\nContent-Length: 5", LengthRepeated, 400),
            ("disagreeing lengths", "Content-Length: 5\r\ncontent-length: 6", LengthsDiffer, 400),
            ("list of lengths", "Content-Length: 5, 5", LengthRepeated, 400),
            ("list of disagreeing lengths", "Content-Length: 5, 6", BadLength, 400),
            ("plus in a length", "Content-Length: +5", BadLength, 400),
            ("minus in a length", "Content-Length: -5", BadLength, 400),
            ("space in a length", "Content-Length: 5 0", BadLength, 400),
            ("tab before a length", "Content-Length:\t5", BadLength, 400),
            ("tab behind a length", "Content-Length: 5\t", BadLength, 400),
            ("empty length", "Content-Length:", BadLength, 400),
            ("hexadecimal length", "Content-Length: 0x5", BadLength, 400),
            ("fraction in a length", "Content-Length: 5.0", BadLength, 400),
            ("length over 63 bits", "Content-Length: 9223372036854775808", BadLength, 400),
            ("length over 64 bits", "Content-Length: 18446744073709551621", BadLength, 400),
            ("length folded", "Content-Length:\r\n 5", FoldedField, 400),
            ("lookalike of a length", "Content_Length: 5", LookalikeField, 400),
            ("lookalike of a coding", "Transfer_Encoding: chunked", LookalikeField, 400),
        ],
    ),
    (
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding:{}\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        " chunked",
        &[
            ("chunked not last", " chunked, gzip", BadCoding, 400),
            ("chunked twice", " chunked, chunked", BadCoding, 400),
            ("chunked in two fields", " chunked\r\nTransfer-Encoding: chunked", BadCoding, 400),
            ("chunked behind another field's coding", " gzip\r\nTransfer-Encoding: chunked", BadCoding, 400),
            ("identity", " identity", BadCoding, 400),
            ("identity in front", " identity, chunked", UnknownCoding, 501),
            ("unknown coding", " gzip, chunked", UnknownCoding, 501),
            ("unknown coding alone", " gzip", BadCoding, 400),
            ("coding with a parameter", " chunked;q=1", BadCoding, 400),
            ("quoted coding", " \"chunked\"", BadCoding, 400),
            ("empty coding", "", BadCoding, 400),
            ("empty element before a coding", " ,chunked", BadCoding, 400),
            ("something before a coding", " xchunked", BadCoding, 400),
            ("tab before a coding", "\tchunked", BadCoding, 400),
            ("vertical tab before a coding", " \x0bchunked", BadFieldValue, 400),
        ],
    ),
    (
        "POST / HTTP/1.0\r\nHost: h\r\n{}\r\n\r\nhello",
        "Content-Length: 5",
        &[
            ("coding in HTTP/1.0", "Transfer-Encoding: chunked", CodingInOldVersion, 400),
            ("coding and length in HTTP/1.0", "Content-Length: 5\r\nTransfer-Encoding: chunked", CodingInOldVersion, 400),
        ],
    ),
    (
        "{} / HTTP/1.0\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
        "POST",
        &[
            ("body of an old GET", "GET", BodyNotExpected, 400),
            ("body of an old HEAD", "HEAD", BodyNotExpected, 400),
            ("body of an old DELETE", "DELETE", BodyNotExpected, 400),
        ],
    ),
    (
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{}hello\r\n0\r\n\r\n",
        "5\r\n",
        &[
            ("chunk size over 64 bits", "10000000000000005\r\n", BadChunkSize, 400),
            ("chunk size over 63 bits", "8000000000000005\r\n", BadChunkSize, 400),
            ("chunk size over 52 bits", "10000000000005\r\n", BadChunkSize, 400),
            ("too many digits behind zeros", "0000010000000000000005\r\n", BadChunkSize, 400),
            ("plus in a chunk size", "+5\r\n", BadChunkSize, 400),
            ("minus in a chunk size", "-5\r\n", BadChunkSize, 400),
            ("0x in a chunk size", "0x5\r\n", BadChunkSize, 400),
            ("space before a chunk size", " 5\r\n", BadChunkSize, 400),
            ("digit behind a space", "5 5\r\n", BadChunkSize, 400),
            ("letter behind a space", "5 x\r\n", BadChunkSize, 400),
            ("vertical tab behind a chunk size", "5\x0b\r\n", BadChunkSize, 400),
            ("bare LF behind a space", "5 \n", BareLineEnd, 400),
            ("bare CR behind a space", "5 \r", BadChunkSize, 400),
            ("only a space", " \r\n", BadChunkSize, 400),
            ("extension without a name", "5;\r\n", BadChunkExtension, 400),
            ("two extensions without names", "5;;\r\n", BadChunkExtension, 400),
            ("extension of a value only", "5; =x\r\n", BadChunkExtension, 400),
            ("extension without its value", "5;a=\r\n", BadChunkExtension, 400),
            ("extension of two words", "5;a b\r\n", BadChunkExtension, 400),
            ("something behind a quoted value", "5;a=\"b\"c\r\n", BadChunkExtension, 400),
            ("bare LF behind a chunk size", "5\n", BareLineEnd, 400),
            ("bare CR behind a chunk size", "5\r", BadChunkSize, 400),
            ("empty chunk size", "\r\n", BadChunkSize, 400),
            ("extension without a chunk size", ";a\r\n", BadChunkSize, 400),
            ("underscore in a chunk size", "5_\r\n", BadChunkSize, 400),
            ("bare LF behind an extension", "5;a\n", BareLineEnd, 400),
            ("quote in an extension left open", "5;a=\"\r\n", BadChunkExtension, 400),
            ("NUL in an extension", "5;a\0\r\n", BadChunkExtension, 400),
            ("non-ASCII in an extension", "5;\u{e9}\r\n", BadChunkExtension, 400),
            ("bare CR in an extension", "5;a\rb\r\n", BadChunkSize, 400),
            ("chunk longer than its size", "4\r\n", BadChunkEnd, 400),
        ],
    ),
    (
        "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello{}\r\n",
        "\r\n0\r\nX-Sum: 1\r\n",
        &[
            ("bare LF behind a chunk", "\n0\r\n", BareLineEnd, 400),
            ("bare CR behind a chunk", "\r0\r\n", BadChunkEnd, 400),
            ("bare LF behind the last chunk", "\r\n0\n", BareLineEnd, 400),
            ("bare LF behind a trailer", "\r\n0\r\nX-Sum: 1\n", BareLineEnd, 400),
            ("bare LF for the last line", "\r\n0\r\n\n", BareLineEnd, 400),
            ("bare CR in a trailer", "\r\n0\r\nX-Sum: 1\r2\r\n", BadTrailer, 400),
            ("NUL in a trailer", "\r\n0\r\nX-Sum: \0\r\n", BadTrailer, 400),
            ("folded trailer", "\r\n0\r\nX-Sum: 1\r\n 2\r\n", BadTrailer, 400),
            ("space before a trailer's colon", "\r\n0\r\nX-Sum : 1\r\n", BadTrailer, 400),
            ("trailer without a name", "\r\n0\r\n: 1\r\n", BadTrailer, 400),
            ("request for a trailer", "\r\n0\r\nGET / HTTP/1.1\r\n", BadTrailer, 400),
            ("trailer Content-Length", "\r\n0\r\nContent-Length: 5\r\n", ForbiddenTrailer, 400),
            ("trailer Transfer-Encoding", "\r\n0\r\nTransfer-Encoding: chunked\r\n", ForbiddenTrailer, 400),
            ("trailer Trailer", "\r\n0\r\nTrailer: X-Sum\r\n", ForbiddenTrailer, 400),
            ("trailer Host", "\r\n0\r\nHost: i\r\n", ForbiddenTrailer, 400),
            ("trailer Connection", "\r\n0\r\nConnection: close\r\n", ForbiddenTrailer, 400),
            ("trailer Upgrade", "\r\n0\r\nUpgrade: h2c\r\n", ForbiddenTrailer, 400),
            ("trailer HTTP2-Settings", "\r\n0\r\nHTTP2-Settings: AA\r\n", ForbiddenTrailer, 400),
            ("trailer TE", "\r\n0\r\nTE: trailers\r\n", ForbiddenTrailer, 400),
            ("trailer Expect", "\r\n0\r\nExpect: 100-continue\r\n", ForbiddenTrailer, 400),
            ("trailer Max-Forwards", "\r\n0\r\nMax-Forwards: 1\r\n", ForbiddenTrailer, 400),
            ("trailer Range", "\r\n0\r\nRange: bytes=0-\r\n", ForbiddenTrailer, 400),
            ("trailer Authorization", "\r\n0\r\nAuthorization: x\r\n", ForbiddenTrailer, 400),
            ("trailer Proxy-Authorization", "\r\n0\r\nProxy-Authorization: x\r\n", ForbiddenTrailer, 400),
            ("trailer Cookie", "\r\n0\r\nCookie: a=b\r\n", ForbiddenTrailer, 400),
            ("trailer Set-Cookie", "\r\n0\r\nSet-Cookie: a=b\r\n", ForbiddenTrailer, 400),
            ("trailer Content-Type", "\r\n0\r\nContent-Type: x\r\n", ForbiddenTrailer, 400),
            ("trailer X-Forwarded-For", "\r\n0\r\nX-Forwarded-For: 1.1.1.1\r\n", ForbiddenTrailer, 400),
            ("trailer Forwarded", "\r\n0\r\nForwarded: for=1.1.1.1\r\n", ForbiddenTrailer, 400),
            ("trailer X-Real-IP", "\r\n0\r\nx-real_ip: 1.1.1.1\r\n", ForbiddenTrailer, 400),
            ("lookalike of a forbidden trailer", "\r\n0\r\nContent_Length: 5\r\n", LookalikeField, 400),
        ],
    ),
    (
        "GET / HTTP/1.1\r\nHost: h\r\n{}\r\n\r\n",
        "A: b",
        &[
            ("bare LF behind a field", "A: b\nC: d", BareLineEnd, 400),
            ("bare LF behind an empty value", "A:\nC: d", BareLineEnd, 400),
            ("bare CR in a value", "A: b\rC: d", BadFieldValue, 400),
            ("bare CR behind a value", "A: b\r", BadFieldValue, 400),
            ("NUL in a value", "A: \0", BadFieldValue, 400),
            ("control byte in a value", "A: \x01", BadFieldValue, 400),
            ("DEL in a value", "A: \x7f", BadFieldValue, 400),
            ("obs-fold", "A: b\r\n c", FoldedField, 400),
            ("obs-fold by a tab", "A: b\r\n\tc", FoldedField, 400),
            ("obs-fold of the first field", " A: b", FoldedField, 400),
            ("space before the colon", "A : b", BadFieldName, 400),
            ("tab before the colon", "A\t: b", BadFieldName, 400),
            ("no colon", "A", BadFieldName, 400),
            ("empty name", ": b", BadFieldName, 400),
            ("NUL in a name", "A\0: b", BadFieldName, 400),
            ("non-ASCII in a name", "A\u{e9}: b", BadFieldName, 400),
            ("bracket in a name", "A[]: b", BadFieldName, 400),
            ("quote in a name", "A\": b", BadFieldName, 400),
            ("space in a name", "A b: c", BadFieldName, 400),
            ("lookalike of Host", "X_Forwarded_Host: i", LookalikeField, 400),
            ("repeated Authorization", "Authorization: a\r\nAuthorization: b", FieldRepeated, 400),
            ("repeated Proxy-Authorization", "Proxy-Authorization: a\r\nProxy-Authorization: b", FieldRepeated, 400),
            ("repeated Expect", "Expect: a\r\nExpect: b", FieldRepeated, 400),
            ("no list in Connection", "Connection: a b", BadConnection, 400),
            ("too many fields", "A: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b", TooManyFields, 431),
        ],
    ),
    (
        "{}Host: h\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\n",
        &[
            ("HTTP/0.9", "GET /\r\n", BadRequestLine, 400),
            ("HTTP/0.9 by its name", "GET / HTTP/0.9\r\n", BadVersion, 505),
            ("HTTP/1.2", "GET / HTTP/1.2\r\n", BadVersion, 505),
            ("HTTP/2 in a request line", "GET / HTTP/2.0\r\n", BadVersion, 505),
            ("HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BadVersion, 505),
            ("HTTP/2 preface in HTTP/1.1", "PRI / HTTP/1.1\r\n", MethodNotImplemented, 501),
            ("version in small letters", "GET / http/1.1\r\n", BadRequestLine, 400),
            ("version of two digits", "GET / HTTP/1.10\r\n", BareLineEnd, 400),
            ("CONNECT", "CONNECT h:80 HTTP/1.1\r\n", MethodNotImplemented, 501),
            ("TRACE", "TRACE / HTTP/1.1\r\n", MethodNotImplemented, 501),
            ("method in small letters", "get / HTTP/1.1\r\n", BadMethod, 400),
            ("digit in a method", "GET1 / HTTP/1.1\r\n", BadMethod, 400),
            ("no token for a method", "G@T / HTTP/1.1\r\n", BadRequestLine, 400),
            ("two spaces", "GET  / HTTP/1.1\r\n", BadRequestLine, 400),
            ("space in a target", "GET /a b HTTP/1.1\r\n", BadRequestLine, 400),
            ("tab for a space", "GET\t/ HTTP/1.1\r\n", BadRequestLine, 400),
            ("control byte in a target", "GET /\x01 HTTP/1.1\r\n", BadRequestLine, 400),
            ("NUL in a target", "GET /\0 HTTP/1.1\r\n", BadRequestLine, 400),
            ("DEL in a target", "GET /\x7f HTTP/1.1\r\n", BadRequestLine, 400),
            ("non-ASCII in an absolute target's host", "GET http://\u{c3}\u{a9}/ HTTP/1.1\r\n", BadHost, 400),
            ("non-ASCII before a fragment", "GET /\u{c3}\u{a9}#f HTTP/1.1\r\n", BadTarget, 400),
            ("path above the root behind non-ASCII", "GET /\u{c3}\u{a9}/../../b HTTP/1.1\r\n", BadTarget, 400),
            ("no UTF-8 in a target", "GET /\u{e9} HTTP/1.1\r\n", BadRequestLine, 400),
            ("escaped NUL in a path", "GET /%00 HTTP/1.1\r\n", BadTarget, 400),
            ("broken escape in a path", "GET /%zz HTTP/1.1\r\n", BadTarget, 400),
            ("path above the root", "GET /a/../../b HTTP/1.1\r\n", BadTarget, 400),
            ("path above the root, escaped", "GET /%2e%2e%2fb HTTP/1.1\r\n", BadTarget, 400),
            ("fragment", "GET /#f HTTP/1.1\r\n", BadTarget, 400),
            ("fragment of an absolute target", "GET http://h/#f HTTP/1.1\r\n", BadTarget, 400),
            ("userinfo", "GET http://u@h/ HTTP/1.1\r\n", BadHost, 400),
            ("userinfo with a password", "GET http://u:p@h/ HTTP/1.1\r\n", BadHost, 400),
            ("authority for a target", "GET h:80 HTTP/1.1\r\n", BadTarget, 400),
            ("asterisk for a target", "GET * HTTP/1.1\r\n", BadTarget, 400),
            ("another scheme", "GET ftp://h/ HTTP/1.1\r\n", BadTarget, 400),
            ("half a scheme", "GET ws:/h/ HTTP/1.1\r\n", BadTarget, 400),
            ("Host's port against a ws target", "GET wss://h:80/ HTTP/1.1\r\n", HostMismatch, 400),
            ("Host against an absolute target", "GET http://other/ HTTP/1.1\r\n", HostMismatch, 400),
            ("Host's port against an absolute target", "GET http://h:8080/ HTTP/1.1\r\n", HostMismatch, 400),
            ("bare LF behind the request line", "GET / HTTP/1.1\n", BareLineEnd, 400),
            ("bare CR behind the request line", "GET / HTTP/1.1\r", BareLineEnd, 400),
            ("nine empty lines before a request", "\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1\r\n", BadStart, 400),
            ("bare LF behind an empty line", "\r\n\nGET / HTTP/1.1\r\n", BadStart, 400),
            ("bare CR behind an empty line", "\r\n\rGET / HTTP/1.1\r\n", BadStart, 400),
            ("space behind an empty line", "\r\n GET / HTTP/1.1\r\n", BadRequestLine, 400),
            ("bare LF before a request", "\nGET / HTTP/1.1\r\n", BadStart, 400),
            ("one byte of TLS", "\x16", TlsOnPlainPort, 400),
            ("TLS", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03", TlsOnPlainPort, 400),
        ],
    ),
    (
        "GET / HTTP/1.1\r\n{}\r\n",
        "Host: h:8080\r\n",
        &[
            ("missing Host", "", HostMissing, 400),
            ("more than one Host", "Host: h\r\nHost: i\r\n", HostRepeated, 400),
            ("the same Host twice", "Host: h\r\nhost: h\r\n", HostRepeated, 400),
            ("empty Host twice", "Host:\r\nHost:\r\n", HostRepeated, 400),
            ("port alone for a Host", "Host: :80\r\n", BadHost, 400),
            ("malformed Host", "Host: h/p\r\n", BadHost, 400),
            ("userinfo in Host", "Host: u@h\r\n", BadHost, 400),
            ("list in Host", "Host: a,b\r\n", BadHost, 400),
            ("space in Host", "Host: a b\r\n", BadHost, 400),
            ("tab behind Host", "Host: h\t\r\n", BadHost, 400),
            ("tab within Host", "Host: a\tb\r\n", BadHost, 400),
            ("vertical tab before Host", "Host:\x0bh\r\n", BadFieldValue, 400),
            ("no number for a port", "Host: h:x\r\n", BadHost, 400),
            ("port without digits", "Host: h:\r\n", BadHost, 400),
            ("port that does not fit", "Host: h:65536\r\n", BadHost, 400),
            ("non-ASCII in Host", "Host: \u{e9}\r\n", BadHost, 400),
            ("escape in Host", "Host: %68\r\n", BadHost, 400),
            ("no IPv6 address in brackets", "Host: [h]\r\n", BadHost, 400),
        ],
    ),
];

/// Answers to a GET; what follows the first empty line is a body or another response.
#[rustfmt::skip]
const RESPONSES: &[Group] = &[
    (
        "HTTP/1.1 200 OK\r\n{}\r\n\r\nhello",
        "Content-Length: 5",
        &[
            ("server that sends both lengths", "Content-Length: 5\r\nTransfer-Encoding: chunked", LengthAndCoding, 502),
            ("server that sends both lengths, turned", "Transfer-Encoding: chunked\r\nContent-Length: 5", LengthAndCoding, 502),
            ("server's repeated length", "Content-Length: 5\r\nContent-Length: 5", LengthRepeated, 502),
            ("server's disagreeing lengths", "Content-Length: 5\r\nContent-Length: 6", LengthsDiffer, 502),
            ("server's list of lengths", "Content-Length: 5, 5", LengthRepeated, 502),
            ("server's sign in a length", "Content-Length: +5", BadLength, 502),
            ("server's length over 63 bits", "Content-Length: 9223372036854775808", BadLength, 502),
            ("server's unknown coding", "Transfer-Encoding: gzip, chunked", UnknownCoding, 502),
            ("server's chunked not last", "Transfer-Encoding: chunked, gzip", BadCoding, 502),
            ("server's chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", BadCoding, 502),
            ("response splitting by a bare LF", "Content-Length: 0\n\nHTTP/1.1 200 OK", BareLineEnd, 502),
            ("response splitting by a bare CR", "A: b\r\rHTTP/1.1 200 OK", BadFieldValue, 502),
            ("server's NUL in a value", "A: \0", BadFieldValue, 502),
            ("server's obs-fold", "A: b\r\n c", FoldedField, 502),
            ("server's space before the colon", "Content-Length : 5", BadFieldName, 502),
            ("server's line without a colon", "A", BadFieldName, 502),
            ("server's empty name", ": b", BadFieldName, 502),
            ("server's word salad in Connection", "Connection: a b", BadConnection, 502),
            ("server's word salad with a parameter", "Connection: keep alive; timeout=5", BadConnection, 502),
        ],
    ),
    (
        "{}\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200",
        &[
            ("no status line", "200 OK", BadStatusLine, 502),
            ("another protocol", "ICY 200 OK", BadStatusLine, 502),
            ("empty line before a status line", "\r\nHTTP/1.1 200 OK", BadStatusLine, 502),
            ("status of two digits", "HTTP/1.1 20 OK", BadStatusLine, 502),
            ("status of four digits", "HTTP/1.1 2000 OK", BadStatusLine, 502),
            ("status below 100", "HTTP/1.1 099 OK", BadStatusLine, 502),
            ("HTTP/2 in a status line", "HTTP/2.0 200 OK", BadVersion, 502),
            ("bare CR in a reason", "HTTP/1.1 200 O\rK", BadStatusLine, 502),
            ("NUL in a reason", "HTTP/1.1 200 O\0K", BadStatusLine, 502),
            ("bare LF behind a status line", "HTTP/1.1 200 OK\nA: b", BareLineEnd, 502),
            ("server's coding in HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked", CodingInOldVersion, 502),
        ],
    ),
    (
        "HTTP/1.1 {}\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "103 Early Hints\r\nLink: x",
        &[
            ("coding in a 100", "100 Continue\r\nTransfer-Encoding: chunked", CodingWithoutBody, 502),
            ("coding in a 103", "103 Early Hints\r\nTransfer-Encoding: chunked", CodingWithoutBody, 502),
            ("coding in an unasked-for 101", "101 Switching Protocols\r\nTransfer-Encoding: chunked", BadSwitch, 502),
            ("bad length in a 204", "204 No Content\r\nContent-Length: x", BadLength, 502),
            ("two lengths in a 304", "304 Not Modified\r\nContent-Length: 5\r\nContent-Length: 6", LengthsDiffer, 502),
            ("unasked-for 101", "101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", BadSwitch, 502),
            ("101 to another protocol", "101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade", BadSwitch, 502),
            ("bare 101", "101 Switching Protocols", BadSwitch, 502),
        ],
    ),
    (
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}\r\n\r\n",
        "5\r\nhello\r\n0",
        &[
            ("server's chunk size over 64 bits", "10000000000000005\r\nhello\r\n0", BadChunkSize, 502),
            ("server's bare LF behind a chunk size", "5\nhello\r\n0", BareLineEnd, 502),
            ("server's chunk longer than its size", "4\r\nhello\r\n0", BadChunkEnd, 502),
            ("server's trailer Set-Cookie", "0\r\nSet-Cookie: a=b", ForbiddenTrailer, 502),
            ("server's trailer Location", "0\r\nLocation: /", ForbiddenTrailer, 502),
            ("server's trailer Content-Encoding", "0\r\nContent-Encoding: gzip", ForbiddenTrailer, 502),
        ],
    ),
];

const LIMITS: HeadLimits = HeadLimits {
    size: 1024,
    fields: 10,
};

/// What a request is to us: the bytes of its body as they go on.
fn request(bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    let mut head = RequestHead::new(&LIMITS);
    match head.parse(bytes, 0, &LIMITS)? {
        Progress::Complete => body(head.body, &bytes[head.size..], Blame::Client),
        Progress::Partial => panic!("no end: {}", bytes.escape_ascii()),
    }
}

/// What an answer to a GET is to us, with those that come before it.
fn response(bytes: &[u8], asked: Option<&Accept>) -> Result<Vec<u8>, Refusal> {
    let (mut head, mut rest) = (ResponseHead::new(&LIMITS), bytes);
    let mut interims = Interims::default();
    loop {
        match head.parse(rest, 0, &LIMITS)? {
            Progress::Partial => panic!("no end: {}", bytes.escape_ascii()),
            Progress::Complete if head.is_interim() => {
                interims.next(head.size, 0)?;
                rest = &rest[head.size..];
            }
            Progress::Complete if head.status == 101 => {
                return switch(&head, rest, asked).map(|()| Vec::new());
            }
            Progress::Complete => {
                return body(head.body(Method::Get), &rest[head.size..], Blame::Server);
            }
        }
    }
}

fn body(length: BodyLength, bytes: &[u8], from: Blame) -> Result<Vec<u8>, Refusal> {
    let mut decoder = Decoder::new(&LIMITS, from);
    let size = match length {
        BodyLength::None => 0,
        BodyLength::Length(length) => usize::try_from(length).unwrap(),
        BodyLength::UntilClose => bytes.len(),
        BodyLength::Chunked => {
            let step = decoder.step(bytes)?;
            assert!(step.done, "no end: {}", bytes.escape_ascii());
            step.taken
        }
    };
    Ok(bytes[..size].to_vec())
}

/// The group's message with `what` in its place. `\u{e9}` and the like stand for that one byte.
fn filled(message: &str, what: &str) -> Vec<u8> {
    let text = message.replacen("{}", what, 1);
    text.chars()
        .map(|letter| u8::try_from(letter).unwrap())
        .collect()
}

fn check(groups: &[Group], blame: Blame, read: impl Fn(&[u8]) -> Result<Vec<u8>, Refusal>) {
    for (message, twin, rows) in groups {
        let twin = filled(message, twin);
        assert!(
            read(&twin).is_ok(),
            "{}: {:?}",
            twin.escape_ascii(),
            read(&twin)
        );
        for (name, what, refusal, status) in *rows {
            let bytes = filled(message, what);
            assert_eq!(
                read(&bytes),
                Err(*refusal),
                "{name}: {}",
                bytes.escape_ascii()
            );
            assert_eq!(refusal.status(blame), *status, "{name}");
        }
    }
}

#[test]
fn requests_on_which_readers_could_differ_are_refused_and_their_twins_are_not() {
    check(REQUESTS, Blame::Client, request);
}

#[test]
fn responses_on_which_readers_could_differ_are_refused_and_their_twins_are_not() {
    check(RESPONSES, Blame::Server, |bytes| response(bytes, None));
}

/// Those that take many bytes: name, bytes, refusal, status; and the same within its bound.
#[test]
fn what_has_no_end_is_refused() {
    let get = |fields: String| format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n\r\n");
    let chunks = |body: String| {
        format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{body}")
    };
    let a = |count: usize| "a".repeat(count);
    let hint = "HTTP/1.1 103 Early Hints\r\n\r\n";
    let last = "HTTP/1.1 204 No Content\r\n\r\n";
    let rows = [
        (
            "over-long target",
            format!("GET /{} HTTP/1.1\r\n", a(1024)),
            TargetTooLong,
            414,
        ),
        ("endless method", a(1024).to_uppercase(), TargetTooLong, 414),
        (
            "large head",
            get(format!("A: {}", a(1024))),
            HeadTooLarge,
            431,
        ),
        (
            "too many fields",
            get(["A: b"; 10].join("\r\n")),
            TooManyFields,
            431,
        ),
        (
            "over-long name",
            get(format!("{}: b", a(256))),
            BadFieldName,
            400,
        ),
        (
            "endless Connection",
            get(format!("Connection: {}", ["a"; 33].join(","))),
            BadConnection,
            400,
        ),
        (
            "endless empty Connection",
            get(format!("Connection: {}", ",".repeat(33))),
            BadConnection,
            400,
        ),
        (
            "over-long extension",
            chunks(format!("1;{}\r\nx\r\n0\r\n\r\n", a(255))),
            BadChunkExtension,
            400,
        ),
        (
            "endless extensions",
            chunks(format!("1;{}\r\nx\r\n", a(250)).repeat(100)),
            BadChunkExtension,
            400,
        ),
        (
            "too many trailers",
            chunks(format!("0\r\n{}", "A: b\r\n".repeat(11))),
            TrailersTooLarge,
            431,
        ),
        (
            "endless trailer",
            chunks(format!("0\r\nA: {}", a(1024))),
            TrailersTooLarge,
            431,
        ),
    ];
    for (name, bytes, refusal, status) in rows {
        assert_eq!(request(bytes.as_bytes()), Err(refusal), "{name}");
        assert_eq!(refusal.status(Blame::Client), status, "{name}");
    }
    let twins = [
        format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", a(900)),
        get(format!("A: {}", a(900))),
        get(["A: b"; 9].join("\r\n")),
        get(format!("{}: b", a(255))),
        get(format!("Connection: {}", ["a"; 32].join(","))),
        chunks(format!("1;{}\r\nx\r\n0\r\n\r\n", a(250))),
        chunks(format!("0\r\n{}\r\n", "A: b\r\n".repeat(10))),
        chunks(format!("0\r\nA: {}\r\n\r\n", a(900))),
    ];
    for twin in twins {
        assert!(request(twin.as_bytes()).is_ok(), "{twin}");
    }
    for (name, bytes, refusal) in [
        ("endless 1xx", hint.repeat(33) + last, TooManyInterims),
        (
            "endless 1xx by their bytes",
            format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", a(960)).repeat(28) + last,
            TooManyInterims,
        ),
        (
            "server's endless status line",
            format!("HTTP/1.1 200 {}", a(1024)),
            HeadTooLarge,
        ),
        (
            "server's large head",
            format!("HTTP/1.1 200 OK\r\nA: {}", a(1024)),
            HeadTooLarge,
        ),
        (
            "server's too many fields",
            format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(11)),
            TooManyFields,
        ),
    ] {
        assert_eq!(response(bytes.as_bytes(), None), Err(refusal), "{name}");
        assert_eq!(refusal.status(Blame::Server), 502, "{name}");
    }
    assert!(response((hint.repeat(32) + last).as_bytes(), None).is_ok());
}

/// RFC 9110 section 15.2.2: the one 101 that is no fault.
#[test]
fn a_switch_that_was_asked_for_passes() {
    let accept = *b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    let good = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    assert!(response(good.as_bytes(), Some(&accept)).is_ok());
    for bad in [
        good.replace("s3pP", "S3pP"),
        good.replace("websocket", "h2c"),
    ] {
        assert_eq!(
            response(bad.as_bytes(), Some(&accept)),
            Err(BadSwitch),
            "{bad}"
        );
    }
}

/// RFC 6455 section 4.2.1 through the eyes of framing: what a server could take for the beginning of a tunnel and we
/// could not, or the other way round.
#[test]
fn a_handshake_that_is_none_is_refused() {
    let good = "GET / HTTP/1.1\nHost: h\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n";
    let rows = [
        (
            "upgrade with a body",
            "Host: h",
            "Host: h\nContent-Length: 5",
            400,
        ),
        (
            "upgrade to two protocols",
            "websocket",
            "websocket, h2c",
            400,
        ),
        (
            "two upgrades",
            "Host: h",
            "Host: h\nUpgrade: websocket",
            400,
        ),
        ("another version", "13", "12", 426),
    ];
    let check = |request: &str| {
        let bytes = request.replace('\n', "\r\n").into_bytes();
        let mut head = RequestHead::new(&LIMITS);
        head.parse(&bytes, 0, &LIMITS).unwrap();
        websocket::check_request(&head, &bytes)
    };
    assert!(check(good).is_ok());
    for empty in ["Content-Length: 0", "Transfer-Encoding: chunked"] {
        let good = good.replace("Host: h", &format!("Host: h\n{empty}"));
        assert!(check(&good).is_ok(), "{empty}");
    }
    for (name, from, to, status) in rows {
        let error = check(&good.replacen(from, to, 1)).unwrap_err();
        assert_eq!(error.refusal().status(Blame::Client), status, "{name}");
    }
}

/// RFC 9112 section 6.3: a message ends where its framing says, whatever stands behind it: another final response
/// is not taken for a part of the first (such a link is not used again).
#[test]
fn several_final_responses_are_not_one() {
    let more = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad";
    for (first, body) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "0\r\n\r\n",
        ),
        ("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", ""),
        ("HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", ""),
    ] {
        let taken = response(format!("{first}{more}").as_bytes(), None);
        assert_eq!(taken, Ok(body.as_bytes().to_vec()), "{first}");
    }
}

/// RFC 9110 section 7.8: an `Upgrade` that is to be ignored makes an ordinary request, of which nothing of it goes on.
#[test]
fn an_upgrade_that_is_to_be_ignored_is_ignored() {
    let good = "GET / HTTP/1.1\nHost: h\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Version: 13\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\n\n";
    let upgrade = |request: &str| {
        let bytes = request.replace('\n', "\r\n").into_bytes();
        let (mut head, mut out) = (RequestHead::new(&LIMITS), Vec::new());
        head.parse(&bytes, 0, &LIMITS).unwrap();
        write_request(&head, &bytes, &RequestEdits::default(), &mut out);
        let out = String::from_utf8(out).unwrap();
        assert!(!out.contains("pgrade"), "{out}");
        head.upgrade
    };
    assert_eq!(upgrade(good), Upgrade::WebSocket);
    for (from, to) in [
        ("GET", "POST"),
        ("GET", "OPTIONS"),
        ("HTTP/1.1", "HTTP/1.0"),
        ("Connection: Upgrade\n", ""),
        ("Connection: Upgrade", "Connection: keep-alive"),
        ("Connection: Upgrade", "Connection: close"),
    ] {
        assert_eq!(upgrade(&good.replacen(from, to, 1)), Upgrade::None, "{to}");
    }
}

/// RFC 9112 section 6.1: a coding that frames nothing is not passed on, and the link is not kept. One that no reader knows
/// stays refused.
#[test]
fn a_coding_without_a_body_is_dropped() {
    for status in ["101", "204", "304"] {
        let read = |fields: &str| {
            let bytes = format!("HTTP/1.1 {status} X\r\n{fields}\r\nA: b\r\n\r\n");
            let (mut head, mut out) = (ResponseHead::new(&LIMITS), Vec::new());
            assert_eq!(
                head.parse(bytes.as_bytes(), 0, &LIMITS)?,
                Progress::Complete
            );
            assert_eq!(head.body(Method::Get), BodyLength::None, "{bytes}");
            write_response(&head, bytes.as_bytes(), &ResponseEdits::default(), &mut out);
            Ok((head.keep_alive, String::from_utf8(out).unwrap()))
        };
        let dropped = (false, format!("HTTP/1.1 {status} X\r\nA: b\r\n\r\n"));
        let fields = "Connection: keep-alive\r\nTransfer-Encoding: Chunked";
        assert_eq!(read(fields), Ok(dropped));
        for (fields, refusal) in [
            ("Transfer-Encoding: gzip", BadCoding),
            ("Transfer-Encoding: gzip, chunked", UnknownCoding),
            ("Transfer-Encoding: chunked, chunked", BadCoding),
            (
                "Transfer-Encoding: chunked\r\nContent-Length: 0",
                LengthAndCoding,
            ),
        ] {
            assert_eq!(read(fields), Err(refusal), "{status} {fields}");
        }
    }
}

/// RFC 9110 section 15.2: an hour of them at a pace passes; at once, only so many and so many bytes.
#[test]
fn interim_responses_are_bounded_by_their_rate_and_their_bytes() {
    let hint = "HTTP/1.1 103 Early Hints\r\n\r\n".len();
    let mut interims = Interims::default();
    for second in 0..3_600 {
        for _ in 0..9 {
            assert_eq!(interims.next(hint, second * 1_000), Ok(()));
        }
    }
    let at_once = |size: usize, now_ms: u64| {
        let mut interims = Interims::default();
        (0..)
            .take_while(|_| interims.next(size, now_ms).is_ok())
            .count()
    };
    for now_ms in [0, 1, 1 << 40] {
        assert_eq!(at_once(hint, now_ms), 32);
        assert_eq!(at_once(16 * 1024, now_ms), 8);
    }
    // Silence does not save up for more.
    let mut interims = Interims::default();
    let burst = (0..100).filter(|_| interims.next(hint, 3_600_000).is_ok());
    assert_eq!(burst.count(), 32);
}

/// What is not refused and all the same never passed on: name, what the peer sends, what must not be in the
/// head that goes on.
#[test]
fn what_ends_here_is_never_passed_on() {
    let rows = [
        ("Upgrade: h2c", "Upgrade: h2c\r\n", "upgrade"),
        (
            "h2c in Upgrade and Connection",
            "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AA\r\n",
            "h2c",
        ),
        (
            "HTTP2-Settings that Connection does not name",
            "HTTP2-Settings: AA\r\n",
            "http2",
        ),
        (
            "HTTP2-Settings beside a handshake",
            "Connection: Upgrade\r\nhttp2-settings: AA\r\n",
            "http2",
        ),
        (
            "any other Upgrade",
            "Upgrade: TLS/1.0\r\nConnection: upgrade\r\n",
            "tls",
        ),
        ("Keep-Alive", "Keep-Alive: 5\r\n", "keep-alive"),
        (
            "Proxy-Connection",
            "Proxy-Connection: keep-alive\r\n",
            "connection",
        ),
        ("TE", "TE: gzip\r\n", "gzip"),
        (
            "Connection",
            "Connection: close, X-Hop\r\nX-Hop: a\r\n",
            "hop",
        ),
        (
            "what an untrusted peer says of itself",
            "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\n",
            "6.6.6.6",
        ),
    ];
    let passed = |fields: &str| {
        let bytes = format!("GET / HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let (mut head, mut out) = (RequestHead::new(&LIMITS), Vec::new());
        head.parse(bytes.as_bytes(), 0, &LIMITS).unwrap();
        let edits = RequestEdits {
            forwarded_for: Some((b"X-Real-IP", b"10.0.0.1")),
            ..RequestEdits::default()
        };
        write_request(&head, bytes.as_bytes(), &edits, &mut out);
        String::from_utf8(out).unwrap().to_lowercase()
    };
    let answered = |fields: &str| {
        let bytes = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
        let (mut head, mut out) = (ResponseHead::new(&LIMITS), Vec::new());
        head.parse(bytes.as_bytes(), 0, &LIMITS).unwrap();
        write_response(&head, bytes.as_bytes(), &ResponseEdits::default(), &mut out);
        String::from_utf8(out).unwrap().to_lowercase()
    };
    for (name, fields, gone) in rows {
        assert!(!passed(fields).contains(gone), "{name}: {}", passed(fields));
        if !name.contains("untrusted") {
            assert!(
                !answered(fields).contains(gone),
                "{name}: {}",
                answered(fields)
            );
        }
    }
    assert!(passed("A: b\r\n").contains("a: b\r\n") && answered("A: b\r\n").contains("a: b\r\n"));
}

/// A refusal that no row shows would be a rule without a test.
#[test]
fn every_refusal_has_a_row() {
    let rows = REQUESTS
        .iter()
        .chain(RESPONSES)
        .flat_map(|(_, _, rows)| *rows);
    let mut shown: Vec<Refusal> = rows.map(|(_, _, refusal, _)| *refusal).collect();
    // These take many bytes.
    shown.extend([
        HeadTooLarge,
        TargetTooLong,
        TooManyInterims,
        TrailersTooLarge,
    ]);
    // These are no faults of HTTP; [`a_handshake_that_is_none_is_refused`] and the PROXY header's tests have them.
    shown.extend([BadHandshake, WebSocketVersion, BadProxyHeader]);
    for refusal in Refusal::ALL {
        assert!(shown.contains(refusal), "{refusal}");
    }
}
