use super::Span;

/// One field line of a head, as offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name, as written.
    pub name: Span,
    /// Its value without the whitespace around it.
    pub value: Span,
    /// Which of the names that matter to a proxy this is.
    pub known: Known,
    /// Ends at this hop and is not passed on as it came (RFC 9110 section 7.6.1): hop-by-hop by
    /// definition, or `Connection` lists it.
    pub hop: bool,
}

macro_rules! known {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The field names that a proxy treats specially, found without regard to case.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        #[expect(missing_docs, reason = "each is the field of that name")]
        pub enum Known {
            $($(#[$doc])* $variant,)*
            /// Any other `X-Forwarded-…`.
            XForwardedOther,
            /// Every other name.
            Other,
        }

        impl Known {
            /// All that have one fixed name, with it in its usual spelling.
            pub const NAMES: &'static [(Self, &'static str)] = &[$((Self::$variant, $name),)*];
        }
    };
}

known! {
    Host = "Host",
    Connection = "Connection",
    ContentLength = "Content-Length",
    TransferEncoding = "Transfer-Encoding",
    Cookie = "Cookie",
    SetCookie = "Set-Cookie",
    Upgrade = "Upgrade",
    Expect = "Expect",
    KeepAlive = "Keep-Alive",
    ProxyConnection = "Proxy-Connection",
    ProxyAuthenticate = "Proxy-Authenticate",
    ProxyAuthorization = "Proxy-Authorization",
    Te = "TE",
    Trailer = "Trailer",
    Via = "Via",
    Forwarded = "Forwarded",
    XForwardedFor = "X-Forwarded-For",
    XForwardedProto = "X-Forwarded-Proto",
    XForwardedHost = "X-Forwarded-Host",
    Authorization = "Authorization",
    CacheControl = "Cache-Control",
    Pragma = "Pragma",
    Expires = "Expires",
    IfMatch = "If-Match",
    IfNoneMatch = "If-None-Match",
    IfModifiedSince = "If-Modified-Since",
    IfUnmodifiedSince = "If-Unmodified-Since",
    IfRange = "If-Range",
    ETag = "ETag",
    LastModified = "Last-Modified",
    ContentType = "Content-Type",
    ContentEncoding = "Content-Encoding",
    ContentRange = "Content-Range",
    SecWebSocketKey = "Sec-WebSocket-Key",
    SecWebSocketVersion = "Sec-WebSocket-Version",
    SecWebSocketAccept = "Sec-WebSocket-Accept",
    SecWebSocketProtocol = "Sec-WebSocket-Protocol",
    SecWebSocketExtensions = "Sec-WebSocket-Extensions",
    Http2Settings = "HTTP2-Settings",
}

impl Known {
    /// Which name this is. Length and first letter decide before anything is compared.
    #[inline]
    pub fn of(name: &[u8]) -> Self {
        let candidates: &[(Self, &str)] = match (
            name.len(),
            name[..name.len().min(1)]
                .first()
                .map(u8::to_ascii_lowercase),
        ) {
            (2, Some(b't')) => &[(Self::Te, "te")],
            (3, Some(b'v')) => &[(Self::Via, "via")],
            (4, Some(b'h')) => &[(Self::Host, "host")],
            (4, Some(b'e')) => &[(Self::ETag, "etag")],
            (6, Some(b'c')) => &[(Self::Cookie, "cookie")],
            (6, Some(b'e')) => &[(Self::Expect, "expect")],
            (6, Some(b'p')) => &[(Self::Pragma, "pragma")],
            (7, Some(b'u')) => &[(Self::Upgrade, "upgrade")],
            (7, Some(b't')) => &[(Self::Trailer, "trailer")],
            (7, Some(b'e')) => &[(Self::Expires, "expires")],
            (8, Some(b'i')) => &[(Self::IfMatch, "if-match"), (Self::IfRange, "if-range")],
            (9, Some(b'f')) => &[(Self::Forwarded, "forwarded")],
            (10, Some(b'c')) => &[(Self::Connection, "connection")],
            (10, Some(b's')) => &[(Self::SetCookie, "set-cookie")],
            (10, Some(b'k')) => &[(Self::KeepAlive, "keep-alive")],
            (12, Some(b'c')) => &[(Self::ContentType, "content-type")],
            (13, Some(b'c')) => &[
                (Self::CacheControl, "cache-control"),
                (Self::ContentRange, "content-range"),
            ],
            (13, Some(b'i')) => &[(Self::IfNoneMatch, "if-none-match")],
            (13, Some(b'l')) => &[(Self::LastModified, "last-modified")],
            (13, Some(b'a')) => &[(Self::Authorization, "authorization")],
            (14, Some(b'c')) => &[(Self::ContentLength, "content-length")],
            (14, Some(b'h')) => &[(Self::Http2Settings, "http2-settings")],
            (15, Some(b'x')) => &[(Self::XForwardedFor, "x-forwarded-for")],
            (16, Some(b'c')) => &[(Self::ContentEncoding, "content-encoding")],
            (16, Some(b'p')) => &[(Self::ProxyConnection, "proxy-connection")],
            (16, Some(b'x')) => &[(Self::XForwardedHost, "x-forwarded-host")],
            (17, Some(b'i')) => &[(Self::IfModifiedSince, "if-modified-since")],
            (17, Some(b't')) => &[(Self::TransferEncoding, "transfer-encoding")],
            (17, Some(b'x')) => &[(Self::XForwardedProto, "x-forwarded-proto")],
            (17, Some(b's')) => &[(Self::SecWebSocketKey, "sec-websocket-key")],
            (18, Some(b'p')) => &[(Self::ProxyAuthenticate, "proxy-authenticate")],
            (19, Some(b'i')) => &[(Self::IfUnmodifiedSince, "if-unmodified-since")],
            (19, Some(b'p')) => &[(Self::ProxyAuthorization, "proxy-authorization")],
            (20, Some(b's')) => &[(Self::SecWebSocketAccept, "sec-websocket-accept")],
            (21, Some(b's')) => &[(Self::SecWebSocketVersion, "sec-websocket-version")],
            (22, Some(b's')) => &[(Self::SecWebSocketProtocol, "sec-websocket-protocol")],
            (24, Some(b's')) => &[(Self::SecWebSocketExtensions, "sec-websocket-extensions")],
            _ => &[],
        };
        for (known, spelled) in candidates {
            if is_spelled(name, spelled.as_bytes()) {
                return *known;
            }
        }
        match name.get(..12) {
            Some(start) if is_spelled(start, b"x-forwarded-") => Self::XForwardedOther,
            _ => Self::Other,
        }
    }

    /// Its place in a [`KnownSet`].
    #[inline]
    const fn bit(self) -> u64 {
        1 << self as u8
    }
}

/// Whether a name of the same length is this one, without regard to case. `lower` is a field name in small letters. Eight
/// bytes at a time; the last ones may be looked at twice.
#[inline]
fn is_spelled(name: &[u8], lower: &[u8]) -> bool {
    debug_assert_eq!(name.len(), lower.len(), "the caller's");
    let word = |bytes: &[u8], at: usize| {
        let half = |four: &[u8; 4]| u64::from(u32::from_le_bytes(*four));
        if let Some(eight) = bytes[at..].first_chunk() {
            u64::from_le_bytes(*eight)
        } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
            half(first) | half(last) << 32
        } else {
            bytes
                .iter()
                .fold(0, |word, byte| word << 8 | u64::from(*byte))
        }
    };
    // Only a letter has the bit of 64, and only a letter may differ, in the bit of 32.
    let differs = |name: u64, lower: u64| (name ^ lower) & !(lower >> 1 & 0x2020_2020_2020_2020);
    let mut at = 0;
    while at + 8 < name.len() {
        if differs(word(name, at), word(lower, at)) != 0 {
            return false;
        }
        at += 8;
    }
    let at = name.len().saturating_sub(8);
    differs(word(name, at), word(lower, at)) == 0
}

/// Which names a head has, one bit each: most questions a proxy asks are answered "not there".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KnownSet(u64);

impl KnownSet {
    /// Adds one.
    #[inline]
    pub const fn insert(&mut self, known: Known) {
        self.0 |= known.bit();
    }

    /// Whether it is there.
    #[inline]
    pub const fn has(self, known: Known) -> bool {
        self.0 & known.bit() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_in_any_case() {
        for (known, name) in Known::NAMES {
            assert_eq!(Known::of(name.as_bytes()), *known, "{name}");
            assert_eq!(Known::of(name.to_ascii_lowercase().as_bytes()), *known);
            assert_eq!(Known::of(name.to_ascii_uppercase().as_bytes()), *known);
            assert_ne!(Known::of(&name.as_bytes()[1..]), *known);
            assert_ne!(Known::of(format!("{name}x").as_bytes()), *known);
        }
        assert!((Known::Other as u8) < 64, "KnownSet has 64 places");
    }

    #[test]
    fn only_letters_have_a_case() {
        for (known, name) in Known::NAMES {
            for at in 0..name.len() {
                for byte in 0..=u8::MAX {
                    let mut bytes = name.as_bytes().to_vec();
                    bytes[at] = byte;
                    let same = bytes.eq_ignore_ascii_case(name.as_bytes());
                    assert_eq!(Known::of(&bytes) == *known, same, "{name} {at} {byte}");
                }
            }
        }
    }

    #[test]
    fn others_are_other() {
        for name in [
            "",
            "x",
            "Accept",
            "Hosts",
            "X-Forwarded",
            "Cookie2",
            "content_length",
        ] {
            assert_eq!(Known::of(name.as_bytes()), Known::Other, "{name}");
        }
        assert_eq!(Known::of(b"X-Forwarded-Port"), Known::XForwardedOther);
        assert_eq!(Known::of(b"x-forwarded-"), Known::XForwardedOther);
    }
}
