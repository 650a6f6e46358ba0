use crate::config::ProxyVersion;
use crate::wire::proxy_header::{self, Verdict};

/// A PROXY header is decided by the first bytes that allow it, and by nothing behind them; what it says, written
/// again in either version, says the same.
pub fn proxy_header(input: &[u8]) {
    let whole = proxy_header::read(input);
    let first = (0..=input.len())
        .map(|size| proxy_header::read(&input[..size]))
        .find(|verdict| *verdict != Verdict::Partial);
    let bytes = input.escape_ascii();
    assert_eq!(first.unwrap_or(Verdict::Partial), whole, "{bytes}");
    assert!(
        whole != Verdict::Partial || input.len() < proxy_header::LONGEST,
        "endless: {bytes}"
    );
    let Verdict::Complete(header) = whole else {
        return;
    };
    assert!(header.size <= input.len(), "{bytes}");
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let mut again = Vec::new();
        proxy_header::write(version, header.endpoints.as_ref(), &mut again);
        let Verdict::Complete(read) = proxy_header::read(&again) else {
            panic!("{} of {bytes}", again.escape_ascii());
        };
        let ip = |end: &proxy_header::Endpoints| {
            let ends = [end.source, end.destination];
            ends.map(|end| (end.ip().to_canonical(), end.port()))
        };
        assert_eq!(
            read.endpoints.as_ref().map(ip),
            header.endpoints.as_ref().map(ip)
        );
        assert_eq!(read.size, again.len(), "{bytes}");
    }
}
