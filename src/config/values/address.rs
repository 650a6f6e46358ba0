//! Where to listen, to connect and to log: IP addresses with a port, unix sockets, networks. Only servers may have a name:
//! the control thread asks for its addresses and follows them, where a listener's or a log's would have to stay as it was.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::Refusal;
use crate::config::{Address, Bind, LocalAddress, LogTarget, Network};

/// Where to listen: `"*:80"` too, and port 0 for one that the kernel chooses.
pub(in crate::config) fn bind_address(text: &str) -> Result<Bind, Refusal> {
    match text.strip_prefix("*:") {
        Some(port) => Ok(Bind::Every(self::port(port, 0)?)),
        // As nginx and Go have it.
        None => match text.strip_prefix(':').unwrap_or(text).parse::<u16>() {
            Ok(port) => Err(Refusal::new("has no address before the port").help(format!(
                "write \"*:{port}\" for every address, or \"127.0.0.1:{port}\""
            ))),
            Err(_) => address(text, 0).map(Bind::Address),
        },
    }
}

/// Where to connect to.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::config) enum Place {
    Address(Address),
    /// A name in DNS, in lower case, and a port.
    Name(String, u16),
}

/// Where to connect to: an address, or a name and a port.
pub(in crate::config) fn server_place(text: &str) -> Result<Place, Refusal> {
    if text.starts_with("*:") {
        return Err(Refusal::new("`*` is no address to connect to"));
    }
    if let Some(refusal) = without_scheme(text) {
        return Err(refusal);
    }
    match text.rsplit_once(':') {
        Some((host, port)) if is_host_name(host) && !text.starts_with("unix:") => {
            let port = self::port(port, 1)?;
            if host.eq_ignore_ascii_case("localhost") {
                return Err(Refusal::new("`localhost` is not in DNS")
                    .help(format!("write \"127.0.0.1:{port}\" or \"[::1]:{port}\"")));
            }
            // The dot at its end is kept: no domain is appended to such a name.
            let dot = if host.ends_with('.') { "." } else { "" };
            Ok(Place::Name(domain_name(host)? + dot, port))
        }
        None if is_host_name(text) => Err(Refusal::new("has no port")
            .help(format!("write \"{}:PORT\"", text.to_ascii_lowercase()))),
        _ => address(text, 1).map(Place::Address),
    }
}

/// Where to ask about a server: an address and no name, since that would have to be asked for at each check.
pub(in crate::config) fn asked_address(text: &str) -> Result<Address, Refusal> {
    match server_place(text)? {
        Place::Address(address) => Ok(address),
        Place::Name(..) => {
            Err(Refusal::new("names are not resolved here").help("write an IP address and a port"))
        }
    }
}

/// `_service._proto.name` (RFC 2782).
pub(in crate::config) fn service_name(text: &str) -> Result<String, Refusal> {
    let name = domain_name(text)?;
    let mut labels = name.splitn(3, '.');
    let underlined = |label: Option<&str>| label.is_some_and(|label| label.starts_with('_'));
    if underlined(labels.next()) && underlined(labels.next()) && labels.next().is_some() {
        return Ok(name);
    }
    let refusal = Refusal::new("not the name of a service");
    Err(refusal.help("write it as \"_ws._tcp.example.com\" (RFC 2782)"))
}

/// A DNS server: an address, and a port if it is not 53.
pub(in crate::config) fn name_server(text: &str) -> Result<SocketAddr, Refusal> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(SocketAddr::new(address, DNS_PORT)),
        Err(_) => ip_and_port(text, 1),
    }
}

/// An address with the zone of its interface as a number, which is how the standard library reads one (RFC 4007 section 11.2).
pub(in crate::config) fn with_numeric_zone(
    text: &str,
    interface: impl Fn(&str) -> Option<u32>,
) -> Result<String, Refusal> {
    let Some((before, rest)) = text
        .split_once('%')
        .filter(|(before, _)| before.contains(':'))
    else {
        return Ok(text.to_owned());
    };
    let (name, after) = rest.split_at(rest.find(']').unwrap_or(rest.len()));
    if name.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() {
        return Ok(text.to_owned());
    }
    match interface(name).filter(|_| !name.is_empty()) {
        Some(index) => Ok(format!("{before}%{index}{after}")),
        None => Err(
            Refusal::new("the zone is no network interface of this machine")
                .help("`ip -6 address` lists them, with their addresses"),
        ),
    }
}

/// An IPv6 link-local address says nothing without its interface: each has the same network (RFC 4291 section 2.5.6).
fn needs_zone(address: &SocketAddr) -> Option<Refusal> {
    match address {
        SocketAddr::V6(v6) if v6.ip().is_unicast_link_local() && v6.scope_id() == 0 => {
            let (ip, port) = (v6.ip(), v6.port());
            let help = format!("write \"[{ip}%eth0]:{port}\", with the interface's name");
            Some(Refusal::new("a link-local address needs its zone").help(help))
        }
        SocketAddr::V6(_) | SocketAddr::V4(_) => None,
    }
}

/// A file.
pub(in crate::config) fn file_path(text: &str) -> Result<PathBuf, Refusal> {
    absolute(text)
}

/// A name as DNS knows it (RFC 1035 section 2.3.4): labels of 1 to 63 bytes, 253 in all. In lower case, without the dot
/// at its end.
pub(in crate::config) fn domain_name(text: &str) -> Result<String, Refusal> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let fits = |label: &str| {
        (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    match name.len() {
        ..=253 if name.split('.').all(fits) && is_host_name(name) => Ok(name.to_ascii_lowercase()),
        ..=253 => Err(Refusal::new("not a name that DNS can have")),
        _ => Err(Refusal::new("a name has at most 253 characters")),
    }
}

/// An address to connect from: no port, which the kernel chooses.
pub(in crate::config) fn source_address(text: &str) -> Result<LocalAddress, Refusal> {
    if let Some((ip, zone)) = text.split_once('%')
        && let (Ok(ip), Ok(zone)) = (ip.parse::<Ipv6Addr>(), zone.parse::<u32>())
    {
        let ip = IpAddr::V6(ip);
        return Ok(LocalAddress { ip, zone });
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        let help = format!("write \"{}\": the kernel chooses the port", address.ip());
        return Err(Refusal::new("has a port").help(help));
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = bare.and_then(|text| text.parse::<Ipv6Addr>().ok()) {
        return Err(Refusal::new("has brackets").help(format!("write \"{address}\"")));
    }
    let parsed = text.parse::<IpAddr>().map(LocalAddress::from);
    if let Ok(LocalAddress {
        ip: IpAddr::V6(ip), ..
    }) = parsed
        && ip.is_unicast_link_local()
    {
        let help = format!("write \"{ip}%eth0\", with the interface's name");
        return Err(Refusal::new("a link-local address needs its zone").help(help));
    }
    parsed.map_err(|_| Refusal::new("not an IP address").help("write \"10.0.0.5\" or \"fd00::5\""))
}

/// `"stdout"`, `"stderr"`, `"file:/path"`, `"syslog://host:port"`, `"syslog:/dev/log"`.
pub(in crate::config) fn log_target(text: &str) -> Result<LogTarget, Refusal> {
    match text.split_once(':') {
        None if text == "stdout" => Ok(LogTarget::Stdout),
        None if text == "stderr" => Ok(LogTarget::Stderr),
        Some(("file", path)) => absolute(path).map(LogTarget::File),
        Some(("syslog", rest)) => match rest.strip_prefix("//") {
            Some(peer) => syslog_peer(peer).map(LogTarget::SyslogUdp),
            None => socket_path(rest).map(LogTarget::SyslogUnix),
        },
        _ => Err(Refusal::new("not a log target").help(
            "write \"stdout\", \"stderr\", \"file:/path\", \"syslog://127.0.0.1:514\" or \"syslog:/dev/log\"",
        )),
    }
}

/// `10.0.0.0/8`, `fd00::/8`, or a lone address.
pub(in crate::config) fn network(text: &str) -> Result<Network, Refusal> {
    let (address, prefix) = text
        .split_once('/')
        .map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let example = "write \"10.0.0.0/8\", \"fd00::/8\" or one address";
    let address: IpAddr = address
        .parse()
        .map_err(|_| Refusal::new("not a network").help(example))?;
    let width = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => width,
        Some(text) if text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit()) => {
            text.parse().unwrap_or(u8::MAX)
        }
        Some(_) => u8::MAX,
    };
    if prefix > width {
        return Err(Refusal::new(format!(
            "the part after `/` must be 0 to {width}"
        )));
    }
    let start = network_start(address, prefix);
    if start != address {
        let help = format!("write \"{start}/{prefix}\"");
        return Err(Refusal::new("has bits set behind its prefix").help(help));
    }
    Ok(Network { address, prefix })
}

/// A path that a unix socket can have.
pub(in crate::config) fn socket_path(text: &str) -> Result<PathBuf, Refusal> {
    let path = absolute(text)?;
    if text.len() > SOCKET_PATH_MAX {
        return Err(Refusal::new(format!(
            "the path of a unix socket has at most {SOCKET_PATH_MAX} bytes"
        )));
    }
    Ok(path)
}

fn syslog_peer(text: &str) -> Result<SocketAddr, Refusal> {
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(SocketAddr::new(address, SYSLOG_PORT)),
        Err(_) => ip_and_port(text, 1)
            .map_err(|refusal| refusal.help("write an IP address: \"syslog://127.0.0.1:514\"")),
    }
}

fn address(text: &str, least_port: u16) -> Result<Address, Refusal> {
    match text.strip_prefix("unix:") {
        Some(path) => socket_path(path).map(Address::Unix),
        None => ip_and_port(text, least_port).map(Address::Ip),
    }
}

/// Without the scheme and the path of a URL, which are no part of an address.
fn without_scheme(text: &str) -> Option<Refusal> {
    let (scheme, rest) = text.split_once("://")?;
    let rest = rest.split('/').next().unwrap_or("");
    let port = if matches!(scheme, "https" | "wss") {
        443
    } else {
        80
    };
    let rest = match rest.rsplit_once(':') {
        Some((_, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            rest.to_owned()
        }
        _ => format!("{rest}:{port}"),
    };
    let shown = rest
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:[]".contains(&byte));
    let help = match (scheme, shown) {
        ("https" | "wss", _) => {
            "write host and port alone, and a server's port without TLS: Ringbolt speaks no TLS yet"
                .to_owned()
        }
        (_, true) => format!("write \"{rest}\""),
        (_, false) => "write host and port alone".to_owned(),
    };
    Some(Refusal::new("an address has no scheme").help(help))
}

fn ip_and_port(text: &str, least_port: u16) -> Result<SocketAddr, Refusal> {
    if let Some(refusal) = without_scheme(text) {
        return Err(refusal);
    }
    if let Ok(address) = text.parse::<SocketAddr>() {
        return match (address.port(), needs_zone(&address)) {
            (port, _) if port < least_port => Err(port_out_of_range("0", least_port)),
            (_, Some(refusal)) => Err(refusal),
            (_, None) => Ok(address),
        };
    }
    if let Ok(address) = text.parse::<IpAddr>() {
        return Err(Refusal::new("has no port").help(match address {
            IpAddr::V4(address) => format!("write \"{address}:PORT\""),
            IpAddr::V6(address) => format!("write \"[{address}]:PORT\""),
        }));
    }
    let (host, port_text) = match text.rsplit_once(':') {
        Some(halves) => halves,
        None if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() => {
            return Err(Refusal::new("has no address before the port")
                .help(format!("write \"127.0.0.1:{text}\"")));
        }
        None if is_host_name(text) => return Err(no_names().help(EXAMPLES)),
        None => return Err(Refusal::new("not an address").help(EXAMPLES)),
    };
    let port = port(port_text, least_port)?;
    Err(match host {
        "" => Refusal::new("has no address before the port")
            .help(format!("write \"127.0.0.1:{port}\"")),
        "localhost" => no_names().help(format!("write \"127.0.0.1:{port}\"")),
        host if host.parse::<Ipv6Addr>().is_ok() => {
            Refusal::new("an IPv6 address stands in brackets")
                .help(format!("write \"[{host}]:{port}\""))
        }
        host if host
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.') =>
        {
            Refusal::new("not an address").help(EXAMPLES)
        }
        host if host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) =>
        {
            no_names().help("write the address that the name stands for")
        }
        _ => Refusal::new("not an address").help(EXAMPLES),
    })
}

fn no_names() -> Refusal {
    Refusal::new("only a server may have a name")
}

/// Letters, digits, `-`, `_` and `.`, and the last part is no number: that would be a mistyped address.
fn is_host_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    let last = text.trim_end_matches('.').rsplit('.').next();
    text.bytes().all(allowed)
        && last.is_some_and(|last| last.bytes().any(|byte| !byte.is_ascii_digit()))
}

fn port(text: &str, least: u16) -> Result<u16, Refusal> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::new("the port is not a number"));
    }
    text.parse()
        .ok()
        .filter(|port| *port >= least)
        .ok_or_else(|| port_out_of_range(text, least))
}

fn port_out_of_range(port: &str, least: u16) -> Refusal {
    Refusal::new(format!(
        "port {port} is out of range: must be {least} to 65535"
    ))
}

fn absolute(text: &str) -> Result<PathBuf, Refusal> {
    match text {
        text if !text.starts_with('/') => Err(Refusal::new("the path must begin with `/`")),
        text if text.contains('\0') => Err(Refusal::new("a path has no NUL in it")),
        text => Ok(PathBuf::from(text)),
    }
}

fn network_start(address: IpAddr, prefix: u8) -> IpAddr {
    let prefix = u32::from(prefix);
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
            Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
            Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    }
}

/// RFC 1035 section 4.2.
pub(in crate::config) const DNS_PORT: u16 = 53;
/// RFC 5426 section 3.3.
const SYSLOG_PORT: u16 = 514;
/// `sun_path` has 108 bytes, the last of them zero.
const SOCKET_PATH_MAX: usize = 107;
const EXAMPLES: &str = "write \"127.0.0.1:8080\", \"[::1]:8080\" or \"unix:/path\"";

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, meaning) in [
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:80", "[::1]:80"),
            ("*:8080", "*:8080"),
            ("[::]:0", "[::]:0"),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
        ] {
            assert_eq!(bind_address(text).unwrap().to_string(), meaning, "{text}");
        }
        let address = Place::Address(Address::Ip("10.0.0.1:3000".parse().unwrap()));
        assert_eq!(server_place("10.0.0.1:3000"), Ok(address));
    }

    #[test]
    fn names() {
        for (text, name, port) in [
            ("backend-1.example.com:80", "backend-1.example.com", 80),
            ("Node.Internal.:3000", "node.internal.", 3000),
            ("chat_app_1:3000", "chat_app_1", 3000),
            ("1.example:65535", "1.example", 65535),
        ] {
            let place = Place::Name(name.to_owned(), port);
            assert_eq!(server_place(text), Ok(place), "{text}");
        }
        let service = service_name("_ws._TCP.Example.com.").unwrap();
        assert_eq!(service, "_ws._tcp.example.com");
        for text in [
            "ws._tcp.example",
            "_ws._tcp",
            "_ws.example.com",
            "",
            "_ws._tcp.a b",
        ] {
            assert!(service_name(text).is_err(), "{text}");
        }
        for (text, server) in [
            ("127.0.0.1", "127.0.0.1:53"),
            ("::1", "[::1]:53"),
            ("[::1]:5353", "[::1]:5353"),
        ] {
            assert_eq!(name_server(text).unwrap().to_string(), server);
        }
        assert!(name_server("dns.example.com").is_err());
    }

    #[test]
    fn addresses_refused() {
        for (text, message) in [
            ("", "not an address"),
            ("8080", "has no address before the port"),
            (":8080", "has no address before the port"),
            ("127.0.0.1", "has no port"),
            ("::1", "has no port"),
            ("::1:80x", "the port is not a number"),
            ("fe80::1:2:3:4:5:6:80", "an IPv6 address stands in brackets"),
            (
                "127.0.0.1:70000",
                "port 70000 is out of range: must be 1 to 65535",
            ),
            ("127.0.0.1:0", "port 0 is out of range: must be 1 to 65535"),
            ("127.0.0.1:-1", "the port is not a number"),
            ("127.0.0.1:", "the port is not a number"),
            ("300.0.0.1:80", "not an address"),
            ("localhost:80", "`localhost` is not in DNS"),
            ("backend.example.com", "has no port"),
            ("a..b:80", "not a name that DNS can have"),
            ("-a.b:80", "not a name that DNS can have"),
            ("backend:0", "port 0 is out of range: must be 1 to 65535"),
            ("http://127.0.0.1:80", "an address has no scheme"),
            ("https://example.com", "an address has no scheme"),
            ("*:80", "`*` is no address to connect to"),
            ("unix:relative", "the path must begin with `/`"),
            ("unix:/a\0b", "a path has no NUL in it"),
        ] {
            assert_eq!(
                server_place(text).map_err(|refusal| refusal.message),
                Err(message.to_owned()),
                "{text}"
            );
        }
        let long = format!("unix:/{}", "a".repeat(SOCKET_PATH_MAX));
        assert!(server_place(&long).is_err());
        assert!(server_place(&long[..long.len() - 1]).is_ok());
    }

    #[test]
    fn zones() {
        let interface = |name: &str| (name == "eth0").then_some(7);
        for (text, wanted) in [
            ("[fe80::1%eth0]:80", Ok("[fe80::1%7]:80")),
            ("[fe80::1%3]:80", Ok("[fe80::1%3]:80")),
            ("fe80::1%eth0", Ok("fe80::1%7")),
            (
                "[fe80::1%eth1]:80",
                Err("the zone is no network interface of this machine"),
            ),
            (
                "[fe80::1%]:80",
                Err("the zone is no network interface of this machine"),
            ),
            ("unix/%eth0", Ok("unix/%eth0")),
        ] {
            let found = with_numeric_zone(text, interface).map_err(|refusal| refusal.message);
            assert_eq!(found.as_deref().map_err(String::as_str), wanted, "{text}");
        }
        let lacking = Some("a link-local address needs its zone".to_owned());
        for text in ["[fe80::1]:80", "[febf::1]:80"] {
            assert_eq!(
                bind_address(text).err().map(|refusal| refusal.message),
                lacking,
                "{text}"
            );
            assert_eq!(
                server_place(text).err().map(|refusal| refusal.message),
                lacking,
                "{text}"
            );
        }
        assert_eq!(
            source_address("fe80::1")
                .err()
                .map(|refusal| refusal.message),
            lacking
        );
        assert_eq!(
            source_address("fe80::1%7").unwrap().to_string(),
            "fe80::1%7"
        );
        let bound = bind_address("[fe80::1%7]:80").unwrap();
        assert_eq!(bound.to_string(), "[fe80::1%7]:80");
        assert!(bind_address("[fec0::1]:80").is_ok(), "another network");
    }

    #[test]
    fn targets() {
        for (text, target) in [
            ("stdout", Some(LogTarget::Stdout)),
            ("stderr", Some(LogTarget::Stderr)),
            (
                "file:/var/log/x",
                Some(LogTarget::File("/var/log/x".into())),
            ),
            (
                "syslog://127.0.0.1:5514",
                Some(LogTarget::SyslogUdp("127.0.0.1:5514".parse().unwrap())),
            ),
            (
                "syslog://127.0.0.1",
                Some(LogTarget::SyslogUdp("127.0.0.1:514".parse().unwrap())),
            ),
            (
                "syslog://[::1]:514",
                Some(LogTarget::SyslogUdp("[::1]:514".parse().unwrap())),
            ),
            (
                "syslog:/dev/log",
                Some(LogTarget::SyslogUnix("/dev/log".into())),
            ),
            ("stdout:", None),
            ("syslog", None),
            ("syslog://", None),
            ("syslog://host:514", None),
            ("file:log", None),
            ("/var/log/x", None),
            ("", None),
        ] {
            assert_eq!(log_target(text).ok(), target, "{text}");
        }
    }

    #[test]
    fn networks() {
        for (text, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("0.0.0.0/0", "255.0.0.1", "::1"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("fd00::/8", "fd12::1", "fe00::1"),
            ("10.0.0.0/8", "::ffff:10.1.1.1", "::ffff:11.1.1.1"),
        ] {
            let network = network(text).unwrap();
            assert!(network.contains(inside.parse().unwrap()), "{text} {inside}");
            assert!(
                !network.contains(outside.parse().unwrap()),
                "{text} {outside}"
            );
        }
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.1/8",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "x/8",
            "10.0.0.0/999",
        ] {
            assert!(network(text).is_err(), "{text}");
        }
    }
}
