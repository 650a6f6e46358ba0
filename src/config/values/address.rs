//! Where to listen, to connect and to log: IP addresses with a port, unix sockets, networks. Names are not resolved:
//! a worker must never wait for DNS, and an address that changes behind a name would go unnoticed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use super::Refusal;
use crate::config::{Address, LogTarget, Network};

/// Where to listen: `"*:80"` too, and port 0 for one that the kernel chooses.
pub(in crate::config) fn bind_address(text: &str) -> Result<Address, Refusal> {
    match text.strip_prefix("*:") {
        Some(port) => Ok(Address::Ip(SocketAddr::from((
            Ipv4Addr::UNSPECIFIED,
            self::port(port, 0)?,
        )))),
        None => address(text, 0),
    }
}

/// Where to connect to.
pub(in crate::config) fn server_address(text: &str) -> Result<Address, Refusal> {
    if text.starts_with("*:") {
        return Err(Refusal::new("`*` is no address to connect to"));
    }
    address(text, 1)
}

/// An address to connect from: no port, which the kernel chooses.
pub(in crate::config) fn source_address(text: &str) -> Result<IpAddr, Refusal> {
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
    let parsed = text.parse();
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

fn ip_and_port(text: &str, least_port: u16) -> Result<SocketAddr, Refusal> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return match address.port() {
            port if port < least_port => Err(port_out_of_range("0", least_port)),
            _ => Ok(address),
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
    Refusal::new("names are not resolved yet")
}

fn is_host_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    text.bytes().all(allowed) && text.bytes().any(|byte| byte.is_ascii_alphabetic())
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
            ("*:8080", "0.0.0.0:8080"),
            ("[::]:0", "[::]:0"),
            ("unix:/run/a.sock", "unix:/run/a.sock"),
        ] {
            assert_eq!(bind_address(text).unwrap().to_string(), meaning, "{text}");
        }
        assert_eq!(
            server_address("10.0.0.1:3000").unwrap().to_string(),
            "10.0.0.1:3000"
        );
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
            ("localhost:80", "names are not resolved yet"),
            ("backend-1.example.com:80", "names are not resolved yet"),
            ("http://127.0.0.1:80", "not an address"),
            ("*:80", "`*` is no address to connect to"),
            ("unix:relative", "the path must begin with `/`"),
            ("unix:/a\0b", "a path has no NUL in it"),
        ] {
            assert_eq!(
                server_address(text).map_err(|refusal| refusal.message),
                Err(message.to_owned()),
                "{text}"
            );
        }
        let long = format!("unix:/{}", "a".repeat(SOCKET_PATH_MAX));
        assert!(server_address(&long).is_err());
        assert!(server_address(&long[..long.len() - 1]).is_ok());
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
