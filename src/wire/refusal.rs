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
    ($($(#[$doc:meta])* $variant:ident = $status:literal $word:literal,)*) => {
        /// Why a message is refused. A refused message ends its connection and nothing of it reaches the
        /// other side; [`Refusal::status`] is what the client is told and [`Refusal::word`] what the log is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Refusal {
            $($(#[$doc])* $variant,)*
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
        }
    };
}

refusals! {
    /// More bytes than `limits.head_size` without an end of the head.
    HeadTooLarge = 431 "head-too-large",
    /// The request line alone is larger than `limits.head_size`.
    TargetTooLong = 414 "target-too-long",
    /// More fields than `limits.headers`.
    TooManyFields = 431 "too-many-fields",
    /// Bytes before the request line other than a few CRLF.
    BadStart = 400 "bad-start",
    /// The beginning of a TLS handshake (RFC 8446 section 5.1), by a client that expects encryption.
    TlsOnPlainPort = 400 "tls-on-plain-port",
    /// A request line that is none (also HTTP/0.9).
    BadRequestLine = 400 "bad-request-line",
    /// A status line that is none.
    BadStatusLine = 400 "bad-status-line",
    /// A method with other bytes than upper-case letters, `-` and `_`.
    BadMethod = 400 "bad-method",
    /// CONNECT or TRACE, which are not for a load balancer.
    MethodNotImplemented = 501 "method-not-implemented",
    /// A target with control bytes, a fragment or a broken escape.
    BadTarget = 400 "bad-target",
    /// A version that is spelled right but not 1.0 or 1.1 (also the HTTP/2 preface).
    BadVersion = 505 "bad-version",
    /// A line that ends in LF alone, or a CR without LF.
    BareLineEnd = 400 "bare-line-end",
    /// A field name with bytes that are no token, an empty or over-long one, a space before the colon.
    BadFieldName = 400 "bad-field-name",
    /// A line that begins with a blank, which old readers join to the line before it.
    FoldedField = 400 "folded-field",
    /// A control byte in a field's value.
    BadFieldValue = 400 "bad-field-value",
    /// A name that some servers would take for a framing or routing field (`Content_Length`).
    LookalikeField = 400 "lookalike-field",
    /// A field that may stand once stands twice.
    FieldRepeated = 400 "field-repeated",
    /// HTTP/1.1 without `Host`.
    HostMissing = 400 "host-missing",
    /// More than one `Host`.
    HostRepeated = 400 "host-repeated",
    /// A `Host` or authority that is none (also user information).
    BadHost = 400 "bad-host",
    /// `Host` and an absolute target disagree.
    HostMismatch = 400 "host-mismatch",
    /// `Content-Length` that is not one number of at most 63 bits.
    BadLength = 400 "bad-length",
    /// More than one `Content-Length`, or one of several elements, of one value.
    LengthRepeated = 400 "length-repeated",
    /// Two `Content-Length` of different values.
    LengthsDiffer = 400 "lengths-differ",
    /// `Content-Length` and `Transfer-Encoding` together.
    LengthAndCoding = 400 "length-and-coding",
    /// `Transfer-Encoding` that is repeated, empty, or does not end in `chunked`.
    BadCoding = 400 "bad-coding",
    /// A transfer coding other than `chunked`.
    UnknownCoding = 501 "unknown-coding",
    /// `Transfer-Encoding` in HTTP/1.0.
    CodingInOldVersion = 400 "coding-in-old-version",
    /// A transfer coding in an interim response.
    CodingWithoutBody = 400 "coding-without-body",
    /// A body in an HTTP/1.0 GET, HEAD or DELETE, which servers are known to leave in the stream, or in a handshake.
    BodyNotExpected = 400 "body-not-expected",
    /// `Connection` lists too many names, or something that is no name (a server's may have parameters).
    BadConnection = 400 "bad-connection",
    /// A 101 that nobody asked for, or that fails the handshake's check.
    BadSwitch = 400 "bad-switch",
    /// More responses before the final one, or more bytes of them, than are passed on in their time.
    TooManyInterims = 400 "too-many-interims",
    /// A chunk size that is none, or too large, or has too many zeros before it or blanks behind it.
    BadChunkSize = 400 "bad-chunk-size",
    /// A chunk extension that is none, has forbidden bytes, or is too long (a line, or all of them).
    BadChunkExtension = 400 "bad-chunk-extension",
    /// A chunk's data not followed by CRLF.
    BadChunkEnd = 400 "bad-chunk-end",
    /// A trailer line that is none.
    BadTrailer = 400 "bad-trailer",
    /// A trailer that names a framing, routing, cookie, authentication or content field.
    ForbiddenTrailer = 400 "forbidden-trailer",
    /// Trailers beyond the head's limits.
    TrailersTooLarge = 431 "trailers-too-large",
}

impl Refusal {
    /// What an operator can do about it, to stand behind the word; where the server is to blame and a setting of its pool would
    /// accept what it sends.
    pub const fn advice(self, blame: Blame) -> Option<&'static str> {
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
                400 | 414 | 431 | 501 | 505
            ));
            assert_eq!(refusal.status(Blame::Server), 502);
        }
    }
}
