//! What the program uses: one struct per table of the file, every default filled in.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::path::PathBuf;
use std::time::Duration;

use super::action::Action;
use super::agent::Agent;
use super::bounds::Bounds;
use super::check::Check;
use super::drain::{Drain, OnDown};
use super::headers::HeaderChanges;
use super::networks::Admission;
use super::page::Page;
use super::passive::Passive;
use super::proxy_protocol::{ProxySenders, ProxyVersion};
use super::rate::{ClientRate, Ramp, Rate, SlowStart};
use super::resolver::Resolver;
use super::retry::Retry;
use super::template::Template;

/// A whole configuration, checked: names resolve, numbers are in range.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[process]`
    pub process: Process,
    /// `[limits]`
    pub limits: Limits,
    /// `[timeouts]`
    pub timeouts: Timeouts,
    /// `[websocket]`
    pub websocket: WebSocket,
    /// `[[log]]`, in file order; empty means no log at all.
    pub logs: Vec<Log>,
    /// `[control]`
    pub control: Control,
    /// `[stats]`, the page that people look at; `None` when the table is absent.
    pub stats: Option<Stats>,
    /// `[resolver]`
    pub resolver: Resolver,
    /// `[[listener]]`
    pub listeners: Vec<Listener>,
    /// `[[route]]`
    pub routes: Vec<Route>,
    /// `[error_pages]`: by status, for all listeners.
    pub error_pages: Vec<(u16, Page)>,
    /// `[pool.NAME]`, in file order. Other tables name a pool by its index here.
    pub pools: Vec<Pool>,
}

/// A wait that may be endless. The file says `"30s"` or `"never"`; 0 is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeout {
    /// Ends after this long.
    After(Duration),
    /// Never ends.
    Never,
}

impl Timeout {
    /// The wait's length, or `None` when it never ends.
    pub const fn as_option(self) -> Option<Duration> {
        match self {
            Self::After(duration) => Some(duration),
            Self::Never => None,
        }
    }
}

/// A value that must never reach a log, `check` or `status`; its `Debug` prints `***`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(pub Vec<u8>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Config {
    /// Whether an IPv6 address is bound without IPv4, because the configuration binds the same port for IPv4 by itself, at one
    /// address or at all.
    pub fn leaves_ipv4(&self, bind: &Bind) -> bool {
        let Bind::Address(Address::Ip(SocketAddr::V6(wanted))) = bind else {
            return false;
        };
        let mut binds = self.listeners.iter().flat_map(|listener| &listener.bind);
        binds.any(|other| match other {
            Bind::Address(Address::Ip(SocketAddr::V4(ip))) => {
                ip.port() == wanted.port() && ip.port() != 0
            }
            Bind::Address(_) | Bind::Every(_) => false,
        })
    }

    /// Bytes of all bodies that stand in the configuration or in files of its own.
    pub fn page_bytes(&self) -> usize {
        let answered = self.routes.iter().filter_map(|route| match &route.action {
            Action::Answer(answer) => Some(&answer.page),
            Action::Pool(_) | Action::Redirect(_) => None,
        });
        let listeners = self.listeners.iter().flat_map(|one| &one.error_pages);
        let pages = self.error_pages.iter().chain(listeners);
        let pages = answered.chain(pages.map(|(_, page)| page));
        pages.map(|page| page.content.len()).sum()
    }
}

/// `[process]`: the process as the system sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct Process {
    /// `workers = "auto"` (one per usable core) or a number.
    pub workers: Workers,
    /// `cores = [0, 2]`: where to pin the workers, in turn; empty: every usable core in order.
    pub cores: Vec<usize>,
    /// `max_connections`: client connections in the whole process (default 4096); at the limit it stops accepting.
    pub max_connections: u32,
    /// `user`: a name or a numeric id to become once everything privileged is open.
    pub user: Option<String>,
    /// `group`: likewise.
    pub group: Option<String>,
    /// `drain_timeout`: how long a stopping process waits for its exchanges and tunnels before it cuts them (default `"30s"`).
    pub drain_timeout: Timeout,
    /// `lame_duck`: how long a process that was told to stop goes on serving as before, new connections too, while its monitors
    /// answer 503 (default 0).
    pub lame_duck: Duration,
    /// `sandbox`: whether the serving process confines itself with seccomp, Landlock and a restricted ring
    /// (default true).
    pub sandbox: bool,
    /// `tunnel_ramp`: new tunnels in the first time after the start (default no limit).
    pub tunnel_ramp: Option<Ramp>,
}

/// How many workers run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// One per usable core.
    Auto,
    /// Exactly this many, 1 to 256.
    Count(usize),
}

/// `[limits]`: bounds on what one peer may send.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// `head_size`: bytes in a request's or response's head (default `"16KiB"`, 1 KiB to 64 KiB).
    pub head_size: usize,
    /// `headers`: fields in a head (default 100, 1 to 256).
    pub headers: usize,
    /// `idle_links`: kept connections per server and worker (default 64; 0 keeps none).
    pub idle_links: usize,
}

/// `[timeouts]`. A pool may replace `connect`, `server`, `tunnel` and `queue`.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeouts {
    /// `connect`: one attempt to reach a server (default `"5s"`).
    pub connect: Timeout,
    /// `client`: inactivity of a client inside an exchange (default `"30s"`).
    pub client: Timeout,
    /// `server`: inactivity of a server inside an exchange (default `"30s"`).
    pub server: Timeout,
    /// `tunnel`: inactivity of a tunnel in both directions; replaces `client` and `server` (default `"1h"`).
    pub tunnel: Timeout,
    /// `request_head`: from a request's first byte to the end of its head (default `"10s"`).
    pub request_head: Timeout,
    /// `keep_alive`: between a client's requests (default `"75s"`: longer than the 60 s of the balancers that may stand in front).
    pub keep_alive: Timeout,
    /// `queue`: waiting for a server that has room (default `"5s"`).
    pub queue: Timeout,
    /// `idle_link`: how long an unused connection to a server is kept (default `"30s"`).
    pub idle_link: Timeout,
}

/// `[websocket]`
#[derive(Debug, Clone, PartialEq)]
pub struct WebSocket {
    /// `inspect`: follow frame headers, so that messages are counted (default true).
    pub inspect: bool,
}

/// `[[log]]`: one destination.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// `target`: `"stdout"`, `"stderr"`, `"file:/path"`, `"syslog://host:port"`, `"syslog:/dev/log"`.
    pub target: LogTarget,
    /// `format`: `"httplog"` (default) or `"json"`.
    pub format: LogFormat,
    /// `level`: the least urgent level that is written (default `"info"`). Access lines are `info`.
    pub level: Level,
    /// `skip_empty`: no line for a connection that sent no byte (default true).
    pub skip_empty: bool,
    /// `facility` (default `local0`), its number 0–23; syslog only.
    pub facility: u8,
    /// `syslog`: `"rfc3164"` (default) or `"rfc5424"`; syslog only.
    pub syslog: SyslogForm,
    /// `tag`: the program name in a syslog message (default `"ringbolt"`).
    pub tag: String,
}

/// Where log lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, opened by the launcher, reopened on SIGUSR1.
    File(PathBuf),
    /// A syslog server over UDP, a datagram per line.
    SyslogUdp(SocketAddr),
    /// A syslog daemon's datagram socket, such as `/dev/log`.
    SyslogUnix(PathBuf),
}

/// How an access line reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// HAProxy's `option httplog`.
    Httplog,
    /// One JSON object a line.
    Json,
}

/// Urgency, as in syslog (RFC 5424 section 6.2.1): 0 is the most urgent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are those of RFC 5424")]
pub enum Level {
    Emergency = 0,
    Alert = 1,
    Critical = 2,
    Error = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
    Debug = 7,
}

/// Which syslog message format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the RFCs")]
pub enum SyslogForm {
    Rfc3164,
    Rfc5424,
}

/// `[control]`
#[derive(Debug, Clone, PartialEq)]
pub struct Control {
    /// `socket`: path of the unix socket that `ringbolt status` reads (default `"/run/ringbolt.sock"`,
    /// or `"$XDG_RUNTIME_DIR/ringbolt.sock"`, or `"/tmp/ringbolt-UID.sock"` for an ordinary user).
    pub socket: PathBuf,
}

/// `[stats]`: the page for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Stats {
    /// `path` (default `"/ringbolt"`).
    pub path: String,
    /// The listener that `bind` made for it, by its index; on every listener if it has none.
    pub listener: Option<usize>,
    /// `users`: name → password; empty means no authentication.
    pub users: Vec<(String, Secret)>,
    /// `realm` of the basic authentication (default `"Ringbolt"`).
    pub realm: String,
    /// `refresh`: seconds between reloads of the page (default 5).
    pub refresh: Duration,
}

/// An address to listen on or to connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// `"127.0.0.1:80"`, `"[::1]:80"`; to listen also `"0.0.0.0:80"` and `"[::]:80"`.
    Ip(SocketAddr),
    /// `"unix:/path"`.
    Unix(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An address of this machine to connect from; the kernel chooses the port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LocalAddress {
    /// The address.
    pub ip: IpAddr,
    /// The interface's index, for an IPv6 link-local address (RFC 4007 section 11); else 0.
    pub zone: u32,
}

impl LocalAddress {
    /// To be bound.
    pub fn to_bind(self) -> SocketAddr {
        match self.ip {
            IpAddr::V4(ip) => (ip, 0).into(),
            IpAddr::V6(ip) => SocketAddrV6::new(ip, 0, 0, self.zone).into(),
        }
    }
}

impl From<IpAddr> for LocalAddress {
    fn from(ip: IpAddr) -> Self {
        Self { ip, zone: 0 }
    }
}

impl std::fmt::Display for LocalAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.zone {
            0 => self.ip.fmt(f),
            zone => write!(f, "{}%{zone}", self.ip),
        }
    }
}

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bind {
    /// One address, or all of a family. `[::]` takes IPv4 clients too, unless the configuration binds the same port for
    /// IPv4 ([`Config::leaves_ipv4`]).
    Address(Address),
    /// `"*:80"`: every address of both families; IPv4 alone where the machine has no IPv6.
    Every(u16),
}

impl std::fmt::Display for Bind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Every(port) => write!(f, "*:{port}"),
        }
    }
}

/// `[[listener]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// `name`, unique; the "frontend" of the log.
    pub name: String,
    /// `bind`: one address or a list.
    pub bind: Vec<Bind>,
    /// `default_pool`: for requests that no route matches.
    pub default_pool: Option<usize>,
    /// `capture_request = [{ header = "Host", length = 64 }]`: into the log line.
    pub capture_request: Vec<Capture>,
    /// `capture_response`: likewise.
    pub capture_response: Vec<Capture>,
    /// `backlog`: connections waiting to be accepted, per socket (default 1024; the kernel caps it at somaxconn).
    pub backlog: u32,
    /// `trusted_proxies`: peers whose `X-Forwarded-*` and `Forwarded` fields are kept and added to (default none).
    /// What any other peer sends under those names is dropped.
    pub trusted_proxies: Vec<Network>,
    /// `proxy_protocol`: peers that begin every connection with a PROXY header (default none).
    pub proxy_protocol: ProxySenders,
    /// `allow` and `deny`: whose requests are taken at all (default: everybody's).
    pub admission: Admission,
    /// `error_pages`: by status, over those of [`Config::error_pages`].
    pub error_pages: Vec<(u16, Page)>,
    /// `verbose_errors`: the answer to a refused request has the reason (default false).
    pub verbose_errors: bool,
    /// `monitor = "/healthz"` or `{ path, pools }`: where others ask whether it serves (default: nowhere).
    pub monitor: Option<Monitor>,
    /// `tunnel_rate`: new tunnels of all clients together (default no limit). While clients return that were promised a
    /// place, a handshake is held for its token for up to a second.
    pub tunnel_rate: Option<Rate>,
    /// `client_rate`: what each network of clients may begin (default no limit).
    pub client_rate: Option<ClientRate>,
}

/// `monitor` of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monitor {
    /// `path`: exactly this one.
    pub path: String,
    /// `pools`: one of them must have a server that takes new clients; empty asks for none. Indices into [`Config::pools`].
    pub pools: Vec<usize>,
}

/// A header field copied into the log line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// The field's name; compared without regard to case.
    pub header: String,
    /// Bytes kept of its value, 1 to 1,024 (default 64).
    pub length: usize,
}

/// `[[route]]`: what becomes of which requests. Order in the file never matters.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// `listener = "name"`: only there; `None` is every listener. An index into [`Config::listeners`].
    pub listener: Option<usize>,
    /// `host`: exact, or `*.example.com` (any depth below); `None` is any.
    pub host: HostPattern,
    /// `path` (exact) or `path_prefix`; neither is any.
    pub path: PathPattern,
    /// `pool`, `redirect` or `answer`.
    pub action: Action,
    /// `allow` and `deny`: whose requests are taken (default: everybody's).
    pub admission: Admission,
    /// `request_headers`: what is changed on the way to a server.
    pub request_headers: HeaderChanges,
    /// `response_headers`: what is changed on the way to the client, or in the route's own answer.
    pub response_headers: HeaderChanges,
}

impl Route {
    /// The pool that it leads to, if it leads to one: an index into [`Config::pools`].
    pub const fn pool(&self) -> Option<usize> {
        match self.action {
            Action::Pool(pool) => Some(pool),
            Action::Redirect(_) | Action::Answer(_) => None,
        }
    }
}

/// Hosts that a route takes; lower case, without port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostPattern {
    /// Exactly this host.
    Exact(String),
    /// Any host that ends in `.` and this.
    Wildcard(String),
    /// Any host, and none.
    Any,
}

/// Paths that a route takes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PathPattern {
    /// Exactly this path (before `?`).
    Exact(String),
    /// Any path that begins with these bytes.
    Prefix(String),
    /// Any path.
    Any,
}

/// `[pool.NAME]`: servers that stand in for each other.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// The table's name; the "backend" of the log.
    pub name: String,
    /// `balance` (default `"round-robin"`).
    pub balance: Balance,
    /// `retries`: further attempts to connect after the first (default 3, at most 10).
    pub retries: u32,
    /// `redispatch`: the last retry goes to another server (default true).
    pub redispatch: bool,
    /// `retry`: further conditions, and a budget (default none: failed connections only, and no budget).
    pub retry: Option<Retry>,
    /// `timeouts = { connect = …, server = …, tunnel = …, queue = … }` over the global ones.
    pub timeouts: PoolTimeouts,
    /// `forwarded_for`: add `X-Forwarded-For` (default true). A table sets `header` and `except = ["10.0.0.0/8"]`.
    pub forwarded_for: Option<ForwardedFor>,
    /// `forwarded_proto`: add `X-Forwarded-Proto` (default true).
    pub forwarded_proto: bool,
    /// `forwarded`: add `Forwarded` (RFC 7239; default false).
    pub forwarded: bool,
    /// `via`: add `Via: 1.1 ringbolt` on both sides (default false).
    pub via: bool,
    /// `upgrade_protocols`: other protocols than WebSocket that may become tunnels, in lower case (default none).
    pub upgrade_protocols: Vec<String>,
    /// `response_parsing` (default `"strict"`).
    pub response_parsing: ResponseParsing,
    /// `request_id`: name of the field that carries a fresh id, `"X-Request-Id"` by default; `false` adds none.
    /// What the client sent under that name is replaced.
    pub request_id: Option<String>,
    /// `on_down` (default `"keep"`).
    pub on_down: OnDown,
    /// `drain`
    pub drain: Drain,
    /// `sticky`, where it has a `cookie`.
    pub sticky: Option<Sticky>,
    /// `passive`: when traffic ejects a server (default none).
    pub passive: Option<Passive>,
    /// `panic_threshold`, in thousandths (default 0): with a smaller share of working servers health is ignored.
    pub panic_threshold: u32,
    /// `max_queue`: requests that may wait for the first server with room (default 1024; 0: nobody waits).
    pub max_queue: u32,
    /// `sticky = { engine_io = … }`
    pub engine_io: Option<EngineIo>,
    /// `[[pool.NAME.server]]` with an address; in a plan also those that were found by name.
    pub servers: Vec<Server>,
    /// `[[pool.NAME.server]]` with a name. They and the servers are not both empty.
    pub templates: Vec<Template>,
}

/// Which responses of a pool's servers are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ResponseParsing {
    /// `"strict"`: those that have one reading.
    #[default]
    Strict,
    /// `"lenient"`: what old servers send as well. It is forwarded in the strict form, and the connection is not used again.
    Lenient,
}

/// Timeouts of one pool, global ones already filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "documented at Timeouts")]
pub struct PoolTimeouts {
    pub connect: Timeout,
    pub server: Timeout,
    pub tunnel: Timeout,
    pub queue: Timeout,
}

/// How a pool chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Balance {
    /// Weighted, smooth, one order over all workers.
    RoundRobin,
    /// The server with the fewest requests and tunnels for its weight; ties in turn.
    LeastConnections,
    /// The less busy of two random ones.
    TwoChoices,
    /// The first in file order that takes new sessions.
    First,
    /// Equal keys to the same server.
    Hash(Hash),
}

/// `balance = { hash = …, bound = … }`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hash {
    /// `hash`: what is hashed. A request that lacks it goes to the server whose turn it is.
    pub by: HashKey,
    /// `bound`, in hundredths (1.25 is 125): a server with so many times its share of the pool's sessions
    /// is passed over. `None` is `false`.
    pub bound: Option<u32>,
}

/// What equal requests have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HashKey {
    /// `"source"`: the client's address.
    Source,
    /// `"path"`: the target without its query.
    Path,
    /// `{ header = "NAME" }`: a field's value.
    Header(String),
    /// `{ cookie = "NAME" }`: a cookie's value.
    Cookie(String),
    /// `{ query = "NAME" }`: a parameter's value, as written.
    Query(String),
}

/// `forwarded_for`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardedFor {
    /// `header` (default `X-Forwarded-For`).
    pub header: String,
    /// `except`: clients in these networks get no field.
    pub except: Vec<Network>,
}

/// `10.0.0.0/8`, `fd00::/8`, or a lone address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// The network's address, host bits zero.
    pub address: IpAddr,
    /// Bits that count.
    pub prefix: u8,
}

impl Network {
    /// Whether the address lies in this network. An IPv4 address written in IPv6 form
    /// (`::ffff:10.0.0.1`, what a socket on `[::]` sees) counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => same_start(
                u128::from(own.to_bits()),
                u128::from(other.to_bits()),
                32,
                self.prefix,
            ),
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                same_start(own.to_bits(), other.to_bits(), 128, self.prefix)
            }
            _ => false,
        }
    }
}

/// Whether two numbers of `width` bits agree in their first `prefix` bits.
fn same_start(one: u128, other: u128, width: u32, prefix: u8) -> bool {
    let ignored = width.saturating_sub(u32::from(prefix));
    (one ^ other).checked_shr(ignored).unwrap_or(0) == 0
}

/// `sticky`: the persistence cookie (see the README's settings for the rules between them).
#[derive(Debug, Clone, PartialEq)]
pub struct Sticky {
    /// `cookie`: its name, an RFC 6265 token.
    pub cookie: String,
    /// `mode` (default `"insert"`).
    pub mode: StickyMode,
    /// `indirect`: the servers never see the cookie (default true with insert, else false).
    pub indirect: bool,
    /// `nocache`: `Cache-Control: private` where a shared cache could store the cookie (default true with insert).
    pub nocache: bool,
    /// `postonly`: issue only in answers to POST.
    pub postonly: bool,
    /// `preserve`: a server's own cookie of that name wins.
    pub preserve: bool,
    /// `persist`: a stopped server named by the cookie is tried all the same.
    pub persist: bool,
    /// `http_only` (default false, as HAProxy).
    pub http_only: bool,
    /// `secure`: `true`, `false`, or `"auto"` (default): when the client side is encrypted.
    pub secure: Secure,
    /// `same_site`: `"lax"`, `"strict"`, `"none"`; absent: no attribute.
    pub same_site: Option<SameSite>,
    /// `partitioned`
    pub partitioned: bool,
    /// `domain`: one or a list.
    pub domain: Vec<String>,
    /// `path` (default `"/"`).
    pub path: String,
    /// `max_age`: makes it a lasting cookie.
    pub max_age: Option<Duration>,
    /// `attributes`: further ones as written, without control characters and `;`.
    pub attributes: Vec<String>,
    /// `max_idle`: a cookie not seen for so long no longer counts.
    pub max_idle: Option<Duration>,
    /// `max_life`: a cookie issued so long ago no longer counts.
    pub max_life: Option<Duration>,
    /// `dynamic_key`: servers without a key get one derived from this secret and their address.
    pub dynamic_key: Option<Secret>,
    /// `signed = true` with `signing_keys = [new, old]`: the value is opaque and authenticated. Empty: not signed.
    pub signing_keys: Vec<Secret>,
    /// `force = [{…}]`: requests whose cookie is honoured even when its server is stopped.
    pub force: Vec<Condition>,
    /// `ignore = [{…}]`: requests whose cookie is not looked at, and that get none.
    pub ignore: Vec<Condition>,
}

/// `engine_io`: sessions of Engine.IO, which carries Socket.IO, held on their servers by their `sid`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineIo {
    /// `path` (default `"/socket.io/"`): paths that begin so.
    pub path: String,
    /// `idle` (default `"2m"`): a session without a request for so long is forgotten; whole seconds.
    pub idle: Duration,
    /// `sessions` (default 65,536): so many are remembered.
    pub sessions: u32,
}

/// All that is given must hold.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Condition {
    /// `path_prefix`
    pub path_prefix: Option<String>,
    /// `path_suffix`
    pub path_suffix: Option<String>,
    /// `network`: the client's address.
    pub network: Option<Network>,
    /// `header = "Name"`: the field is there (any case).
    pub header: Option<String>,
    /// `value`: and equals this; only with `header`.
    pub value: Option<String>,
}

/// What is done with the cookie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StickyMode {
    /// We issue it.
    Insert,
    /// The server issues it, we write our key into it.
    Rewrite,
    /// We put our key and `~` before the server's value.
    Prefix,
    /// We only read it.
    Passive,
}

/// The `Secure` attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words speak")]
pub enum Secure {
    Auto,
    Always,
    Never,
}

/// The `SameSite` attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words are RFC 6265bis's")]
pub enum SameSite {
    Strict,
    Lax,
    None,
}

/// `[[pool.NAME.server]]`
#[derive(Debug, Clone, PartialEq)]
pub struct Server {
    /// `name`, unique in its pool.
    pub name: String,
    /// `address`
    pub address: Address,
    /// `source`: the addresses to connect from, in turn; empty: the kernel's choice.
    pub source: Vec<LocalAddress>,
    /// `weight`: 0 to 256 (default 1; 0 takes only sticky clients).
    pub weight: u16,
    /// `tier` (default 0): takes new clients only while no server of a lower tier does.
    pub tier: u8,
    /// `slow_start`, its own or the pool's: how long its share grows after it came back.
    pub slow_start: Option<SlowStart>,
    /// `tunnel_rate`, its own or the pool's: new tunnels to it (default no limit).
    pub tunnel_rate: Option<Rate>,
    /// `max_connections`, `max_tunnels`, `max_queue`
    pub bounds: Bounds,
    /// `cookie`: its key.
    pub cookie: Option<String>,
    /// `shared_cookie`: another server may have the same key; the first usable one in file order is taken.
    pub shared_cookie: bool,
    /// `proxy_protocol`: every connection to it begins with a PROXY header of this version (default none).
    pub proxy_protocol: Option<ProxyVersion>,
    /// `check`, its own or the pool's: `true`, `false` or a table.
    pub check: Option<Check>,
    /// `agent`: a program that says what it is good for (default none).
    pub agent: Option<Agent>,
    /// `state`: `"ready"` (default), `"drain"` or `"maintenance"`.
    pub state: AdminState,
}

/// What the operator said of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminState {
    /// Takes traffic.
    Ready,
    /// Only clients whose cookie names it.
    Drain,
    /// None, and no checks.
    Maintenance,
}

impl AdminState {
    /// All of them, in the words of the file and of the commands.
    pub const WORDS: [(&str, Self); 3] = [
        ("ready", Self::Ready),
        ("drain", Self::Drain),
        ("maintenance", Self::Maintenance),
    ];

    /// Its word.
    pub fn word(self) -> &'static str {
        let mut words = Self::WORDS.iter();
        words
            .find(|(_, state)| *state == self)
            .map_or("", |(word, _)| word)
    }
}
