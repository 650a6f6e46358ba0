//! Scripted servers on threads of their own.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use socket2::{Domain, SockAddr, Socket, Type};

use super::conn::Conn;
use super::message::Message;
use super::port::Port;
use super::process::raise_own_limit;
use super::wait::eventually;
use super::websocket::{accept_of, frame};

/// A server that plays its script on every connection. It can stop (its port then refuses) and be
/// revived on the same port.
pub struct Server {
    name: String,
    place: Place,
    backlog: i32,
    listening: Option<Socket>,
    shared: Arc<Shared>,
}

/// Room for connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// Where it listens.
enum Place {
    Port(Port),
    Unix(PathBuf),
}

struct Shared {
    script: Box<dyn Fn(&mut Conn) + Send + Sync>,
    /// What arrived, one entry a connection, in the order of accepting.
    heard: Mutex<Vec<Arc<Mutex<Vec<u8>>>>>,
    requests: Arc<Mutex<Vec<Message>>>,
    open: Mutex<Vec<Socket>>,
    busy: AtomicUsize,
    stopped: AtomicBool,
    failed: AtomicBool,
}

impl Server {
    /// Plays this script on every connection.
    pub fn script(script: impl Fn(&mut Conn) + Send + Sync + 'static) -> Self {
        Self::named_script("one", script)
    }

    pub fn named_script(name: &str, script: impl Fn(&mut Conn) + Send + Sync + 'static) -> Self {
        Self::start(name, Place::Port(Port::v4()), Box::new(script))
    }

    /// An ordinary HTTP server: 200 to everything, with its name in `X-Server` and as the body.
    pub fn named(name: &str) -> Self {
        let script = echo(name);
        Self::named_script(name, script)
    }

    /// The same on IPv6.
    pub fn named_v6(name: &str) -> Self {
        Self::start(name, Place::Port(Port::v6()), Box::new(echo(name)))
    }

    /// The same on a unix socket.
    pub fn named_unix(name: &str, path: &Path) -> Self {
        Self::start(name, Place::Unix(path.to_owned()), Box::new(echo(name)))
    }

    /// Answers every request with these bytes and keeps the connection.
    pub fn answering(bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref().to_vec();
        Self::script(
            move |conn| {
                while conn.read_request().is_some() && conn.try_send(&bytes).is_ok() {}
            },
        )
    }

    /// Answers the first request of each connection with these bytes and closes.
    pub fn answering_once(bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref().to_vec();
        Self::script(move |conn| {
            if conn.read_request().is_some() {
                let _ = conn.try_send(&bytes);
            }
        })
    }

    /// Reads requests and never answers.
    pub fn silent() -> Self {
        Self::script(|conn| while conn.read_request().is_some() {})
    }

    /// Accepts a handshake and sends every frame back unmasked, until a Close frame or the end.
    /// Other requests are answered as by [`Server::named`].
    pub fn websocket(name: &str) -> Self {
        Self::websocket_with_backlog(name, BACKLOG)
    }

    /// The same with room for so few connections that wait to be accepted.
    pub fn websocket_with_backlog(name: &str, backlog: i32) -> Self {
        Self::websocket_on(name, Port::v4(), backlog)
    }

    /// The same at an address of its own.
    pub fn websocket_at(name: &str, port: Port) -> Self {
        Self::websocket_on(name, port, BACKLOG)
    }

    fn websocket_on(name: &str, port: Port, backlog: i32) -> Self {
        let (answer, name) = (answerer(name), name.to_owned());
        let own = name.clone();
        let script = move |conn: &mut Conn| {
            while let Some(request) = conn.read_request() {
                if !request.has("Upgrade") {
                    answer(conn, &request);
                    continue;
                }
                accept_upgrade(conn, &request, &name);
                while let Some(arrived) = conn.try_read_frame() {
                    let close = arrived.opcode == 8;
                    let mut back = frame(arrived.opcode, &arrived.payload, None);
                    if !arrived.fin {
                        back[0] &= 0x7f;
                    }
                    let _ = conn.try_send(back);
                    if close {
                        return;
                    }
                }
                return;
            }
        };
        Self::start_with(&own, Place::Port(port), Box::new(script), backlog)
    }

    /// Accepts a handshake, then plays this script.
    pub fn tunnel(script: impl Fn(&mut Conn) + Send + Sync + 'static) -> Self {
        Self::script(move |conn| {
            if let Some(request) = conn.read_request() {
                accept_upgrade(conn, &request, "one");
                script(conn);
            }
        })
    }

    fn start(name: &str, place: Place, script: Box<dyn Fn(&mut Conn) + Send + Sync>) -> Self {
        Self::start_with(name, place, script, BACKLOG)
    }

    fn start_with(
        name: &str,
        place: Place,
        script: Box<dyn Fn(&mut Conn) + Send + Sync>,
        backlog: i32,
    ) -> Self {
        raise_own_limit();
        let shared = Arc::new(Shared {
            script,
            heard: Mutex::default(),
            requests: Arc::default(),
            open: Mutex::default(),
            busy: AtomicUsize::new(0),
            stopped: AtomicBool::new(true),
            failed: AtomicBool::new(false),
        });
        let mut server = Self {
            name: name.to_owned(),
            place,
            backlog,
            listening: None,
            shared,
        };
        server.revive();
        server
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The `address` of the configuration.
    pub fn address(&self) -> String {
        match &self.place {
            Place::Port(port) => port.address.to_string(),
            Place::Unix(path) => format!("unix:{}", path.display()),
        }
    }

    /// Stops listening and cuts what is open.
    pub fn stop(&mut self) {
        self.stop_listening();
        if let Place::Unix(path) = &self.place {
            let _ = std::fs::remove_file(path);
        }
        self.cut();
    }

    /// Stops listening, and keeps what is open.
    pub fn stop_listening(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        if let Some(socket) = self.listening.take() {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Cuts every open connection, and goes on listening.
    pub fn cut(&self) {
        let mut open = self
            .shared
            .open
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        for socket in open.drain(..) {
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Listens again after [`Server::stop`].
    pub fn revive(&mut self) {
        let socket = match &self.place {
            Place::Port(port) => port.listen(self.backlog),
            Place::Unix(path) => {
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
                socket.bind(&SockAddr::unix(path).unwrap()).unwrap();
                socket.listen(1024).unwrap();
                socket
            }
        };
        self.shared.stopped.store(false, Ordering::SeqCst);
        self.listening = Some(socket.try_clone().unwrap());
        let shared = Arc::clone(&self.shared);
        std::thread::spawn(move || serve(&socket, &shared));
    }

    // === What arrived ===

    /// How many connections were accepted that carried at least one byte (checks carry none).
    pub fn connections(&self) -> usize {
        self.received()
            .iter()
            .filter(|bytes| !bytes.is_empty())
            .count()
    }

    /// How many connections were accepted at all.
    pub fn accepted(&self) -> usize {
        self.shared.heard.lock().unwrap().len()
    }

    /// How many connections are open now.
    pub fn open(&self) -> usize {
        self.shared.busy.load(Ordering::SeqCst)
    }

    /// What arrived on each connection, byte for byte.
    pub fn received(&self) -> Vec<Vec<u8>> {
        let heard = self.shared.heard.lock().unwrap();
        heard
            .iter()
            .map(|bytes| bytes.lock().unwrap().clone())
            .collect()
    }

    /// Every whole request so far.
    pub fn requests(&self) -> Vec<Message> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// The latest whole request, waited for.
    pub fn last_request(&self) -> Message {
        eventually("a request reaches the server", || self.requests().pop())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            return;
        }
        if self.shared.failed.load(Ordering::SeqCst) {
            panic!("the script of server {} failed; see above", self.name);
        }
    }
}

fn serve(listener: &Socket, shared: &Arc<Shared>) {
    loop {
        let Ok((socket, _)) = listener.accept() else {
            return;
        };
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let _ = socket.set_tcp_nodelay(true);
        let heard = Arc::<Mutex<Vec<u8>>>::default();
        shared.heard.lock().unwrap().push(Arc::clone(&heard));
        shared
            .open
            .lock()
            .unwrap()
            .push(socket.try_clone().unwrap());
        shared.busy.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            let number = socket.try_clone().unwrap();
            let mut conn = Conn::recorded(socket, heard, Arc::clone(&shared.requests));
            conn.wait_for_ever();
            let script = std::panic::AssertUnwindSafe(|| (shared.script)(&mut conn));
            if std::panic::catch_unwind(script).is_err() {
                shared.failed.store(true, Ordering::SeqCst);
            }
            forget(&shared, &number);
            drop(number);
            drop(conn);
            shared.busy.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

/// Drops the handle by which [`Server::cut`] would reach this connection, so that it really closes.
fn forget(shared: &Shared, socket: &Socket) {
    let peer = socket
        .peer_addr()
        .ok()
        .and_then(|address| address.as_socket());
    let mut open = shared.open.lock().unwrap();
    let same = |other: &Socket| {
        other
            .peer_addr()
            .ok()
            .and_then(|address| address.as_socket())
    };
    match peer {
        Some(_) => open.retain(|other| same(other) != peer),
        // Already cut by the peer, or a unix socket: dead handles and unnamed ones all go.
        None => open.retain(|other| same(other).is_some()),
    }
}

fn accept_upgrade(conn: &mut Conn, request: &Message, name: &str) {
    let accept = accept_of(request.field("Sec-WebSocket-Key").expect("a key"));
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\nX-Server: {name}\r\n\r\n"
    );
    let _ = conn.try_send(answer);
}

fn echo(name: &str) -> impl Fn(&mut Conn) + Send + Sync + 'static {
    let answer = answerer(name);
    move |conn: &mut Conn| {
        while let Some(request) = conn.read_request() {
            answer(conn, &request);
        }
    }
}

fn answerer(name: &str) -> impl Fn(&mut Conn, &Message) + Send + Sync + 'static {
    let name = name.to_owned();
    move |conn, request| {
        let head = format!(
            "HTTP/1.1 200 OK\r\nX-Server: {name}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n",
            name.len()
        );
        let body = if request.method() == "HEAD" {
            ""
        } else {
            name.as_str()
        };
        let _ = conn.try_send(head + body);
    }
}

/// A server that accepts no connection and refuses none: its queue is full, so the kernel drops
/// every SYN.
pub struct Unreachable {
    port: Port,
    _listener: Socket,
    _queued: Vec<Socket>,
}

impl Unreachable {
    pub fn new() -> Self {
        let port = Port::v4();
        let listener = port.listen(0);
        let mut queued = Vec::new();
        loop {
            let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
            let wait = std::time::Duration::from_millis(200);
            let full = socket.connect_timeout(&port.address.into(), wait).is_err();
            queued.push(socket);
            if full {
                return Self {
                    port,
                    _listener: listener,
                    _queued: queued,
                };
            }
        }
    }

    pub fn address(&self) -> String {
        self.port.address.to_string()
    }
}
