use std::fmt;

/// Who is to blame for a refused message, and so what the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The request is at fault.
    Client,
    /// The server's response is at fault: the client is told 502.
    Server,
}

macro_rules! refusals {
    ($($(#[doc = $doc:literal])* $variant:ident = $status:literal $word:literal $advice:literal,)*) => {
        /// Why a message is refused. A refused message ends its connection and nothing of it reaches the
        /// other side; [`Refusal::status`] is what the client is told and [`Refusal::word`] what the log is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Refusal {
            $($(#[doc = $doc])* $variant,)*
        }

        impl Refusal {
            /// Every refusal, for tables and tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The status of the answer: as the table says where the client is to blame, 502 where the
            /// server is.
            pub const fn status(self, blame: Blame) -> u16 {
                match blame {
                    Blame::Server => 502,
                    Blame::Client => match self {
                        $(Self::$variant => $status,)*
                    },
                }
            }

            /// A word for the log.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }

            /// What the word means, in a sentence.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$variant => concat!($($doc),*).trim_ascii_start(),)*
                }
            }

            /// What the sender should change, in a sentence.
            const fn correction(self) -> &'static str {
                match self {
                    $(Self::$variant => $advice,)*
                }
            }
        }
    };
}

refusals! {
    /// More bytes than `limits.head_size` without an end of the head.
    HeadTooLarge = 431 "head-too-large"
        "Send fewer or shorter header fields, or raise limits.head_size.",
    /// The request line alone is larger than `limits.head_size`.
    TargetTooLong = 414 "target-too-long"
        "Shorten the URL, or raise limits.head_size.",
    /// More fields than `limits.headers`.
    TooManyFields = 431 "too-many-fields"
        "Send fewer header fields, or raise limits.headers.",
    /// Bytes before the request line other than a few CRLF.
    BadStart = 400 "bad-start"
        "Send nothing before the request line; check the Content-Length of the request before.",
    /// The beginning of a TLS handshake (RFC 8446 section 5.1), by a client that expects encryption.
    TlsOnPlainPort = 400 "tls-on-plain-port"
        "Use http:// for this port: the listener does not terminate TLS.",
    /// A request line that is none (also HTTP/0.9).
    BadRequestLine = 400 "bad-request-line"
        "Send METHOD, target and HTTP/1.1, separated by one space each.",
    /// A status line that is none.
    BadStatusLine = 400 "bad-status-line"
        "Send HTTP/1.1, a status of three digits and a reason, separated by one space each; check the body length of the response before.",
    /// A method with other bytes than upper-case letters, `-` and `_`.
    BadMethod = 400 "bad-method"
        "Write the method in upper-case letters.",
    /// CONNECT or TRACE, which are not for a load balancer.
    MethodNotImplemented = 501 "method-not-implemented"
        "Send CONNECT to a forward proxy; TRACE and the HTTP/2 preface are not supported.",
    /// A target with control bytes, a fragment or a broken escape.
    BadTarget = 400 "bad-target"
        "Percent-encode special characters in the URL, send no fragment and do not climb above the root with \"..\".",
    /// A version that is spelled right but not 1.0 or 1.1 (also the HTTP/2 preface).
    BadVersion = 505 "bad-version"
        "Use HTTP/1.1.",
    /// A line that ends in LF alone, or a CR without LF.
    BareLineEnd = 400 "bare-line-end"
        "End every line with CRLF.",
    /// A field name with bytes that are no token, an empty or over-long one, a space before the colon.
    BadFieldName = 400 "bad-field-name"
        "Use letters, digits and hyphens in field names, with the colon directly behind the name.",
    /// A line that begins with a blank, which old readers join to the line before it.
    FoldedField = 400 "folded-field"
        "Write each field on one line.",
    /// A control byte in a field's value.
    BadFieldValue = 400 "bad-field-value"
        "Remove control characters from the field value.",
    /// A name that some servers would take for a framing or routing field (`Content_Length`).
    LookalikeField = 400 "lookalike-field"
        "Write the field name with hyphens instead of underscores.",
    /// A field that may stand once stands twice.
    FieldRepeated = 400 "field-repeated"
        "Send this field once.",
    /// HTTP/1.1 without `Host`.
    HostMissing = 400 "host-missing"
        "Send a Host field.",
    /// More than one `Host`.
    HostRepeated = 400 "host-repeated"
        "Send one Host field.",
    /// A `Host` or authority that is none (also user information).
    BadHost = 400 "bad-host"
        "Send a host name or an IP address and optionally a port in Host, without user information.",
    /// `Host` and an absolute target disagree.
    HostMismatch = 400 "host-mismatch"
        "Send the same host and port in Host as in the absolute target.",
    /// `Content-Length` that is not one number of at most 63 bits.
    BadLength = 400 "bad-length"
        "Send one decimal number in Content-Length.",
    /// More than one `Content-Length`, or one of several elements, of one value.
    LengthRepeated = 400 "length-repeated"
        "Send Content-Length once.",
    /// Two `Content-Length` of different values.
    LengthsDiffer = 400 "lengths-differ"
        "Send Content-Length once, with the number of bytes of the body.",
    /// `Content-Length` and `Transfer-Encoding` together.
    LengthAndCoding = 400 "length-and-coding"
        "Send either Content-Length or Transfer-Encoding.",
    /// `Transfer-Encoding` that is repeated, empty, or does not end in `chunked`.
    BadCoding = 400 "bad-coding"
        "Send one Transfer-Encoding field with the value chunked.",
    /// A transfer coding other than `chunked`.
    UnknownCoding = 501 "unknown-coding"
        "Use no other transfer coding than chunked; compress with Content-Encoding instead.",
    /// `Transfer-Encoding` in HTTP/1.0.
    CodingInOldVersion = 400 "coding-in-old-version"
        "Use HTTP/1.1 to send chunks.",
    /// A transfer coding in an interim response.
    CodingWithoutBody = 400 "coding-without-body"
        "Send no Transfer-Encoding in interim responses.",
    /// A body in an HTTP/1.0 GET, HEAD or DELETE, which servers are known to leave in the stream, or in a handshake.
    BodyNotExpected = 400 "body-not-expected"
        "Use HTTP/1.1, or another method, to send a body.",
    /// `Connection` lists too many names, or something that is no name (a server's may have parameters).
    BadConnection = 400 "bad-connection"
        "List only field names in Connection, at most 32.",
    /// A 101 that nobody asked for, or that fails the handshake's check.
    BadSwitch = 400 "bad-switch"
        "Answer with 101 only to a request with Upgrade, and with its protocol and its Sec-WebSocket-Accept.",
    /// More responses before the final one, or more bytes of them, than are passed on in their time.
    TooManyInterims = 400 "too-many-interims"
        "Send at most ten interim responses a second.",
    /// A chunk size that is none, or too large, or has too many zeros before it or blanks behind it.
    BadChunkSize = 400 "bad-chunk-size"
        "Begin each chunk with its size in hexadecimal digits and CRLF.",
    /// A chunk extension that is none, has forbidden bytes, or is too long (a line, or all of them).
    BadChunkExtension = 400 "bad-chunk-extension"
        "Send no chunk extensions.",
    /// A chunk's data not followed by CRLF.
    BadChunkEnd = 400 "bad-chunk-end"
        "Send as many bytes as the chunk size says, then CRLF.",
    /// A trailer line that is none.
    BadTrailer = 400 "bad-trailer"
        "Write trailers as header fields: name, colon, value, CRLF.",
    /// A trailer that names a framing, routing, cookie, authentication or content field.
    ForbiddenTrailer = 400 "forbidden-trailer"
        "Send this field in the head, not as a trailer.",
    /// Trailers beyond the head's limits.
    TrailersTooLarge = 431 "trailers-too-large"
        "Send fewer or shorter trailers, or raise limits.head_size or limits.headers.",
    /// A WebSocket handshake that is none: a body, no single `Upgrade`, or no right version or key.
    BadHandshake = 400 "bad-handshake"
        "Send a handshake as RFC 6455 section 4.1 has it: GET, Upgrade, Sec-WebSocket-Version and one Sec-WebSocket-Key of 16 bytes.",
    /// A WebSocket handshake of another version than 13.
    WebSocketVersion = 426 "websocket-version"
        "Use WebSocket version 13.",
    /// A connection of a `proxy_protocol` peer that does not begin with a valid PROXY header.
    BadProxyHeader = 400 "bad-proxy-header"
        "Let the peer send a PROXY header, version 1 or 2, or take its network out of the listener's proxy_protocol.",
}

impl Refusal {
    /// The setting that would accept such a message: of the pool, where the server sent it.
    pub const fn accepted_by(self, blame: Blame) -> Option<&'static str> {
        match (blame, self) {
            (
                Blame::Server,
                Self::BareLineEnd
                | Self::FoldedField
                | Self::LengthRepeated
                | Self::LengthAndCoding,
            ) => Some("accepted by response_parsing = lenient"),
            _ => None,
        }
    }

    /// What to change, in a sentence: in what is sent, or in the configuration.
    pub const fn advice(self, blame: Blame) -> &'static str {
        match self.accepted_by(blame) {
            Some(_) => "Correct the server, or set response_parsing = \"lenient\" in its pool.",
            None => self.correction(),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_statuses_have_replies() {
        for (at, refusal) in Refusal::ALL.iter().enumerate() {
            assert!(
                Refusal::ALL[..at]
                    .iter()
                    .all(|other| other.word() != refusal.word())
            );
            assert!(matches!(
                refusal.status(Blame::Client),
                400 | 414 | 426 | 431 | 501 | 505
            ));
            assert_eq!(refusal.status(Blame::Server), 502);
        }
    }
}
