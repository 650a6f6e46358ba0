//! One end of a connection, as raw bytes: the tests' client, and what a scripted server is handed.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::Socket;

use super::message::{Framing, Message};
use super::wait::PATIENCE;

/// Either end of a connection. What is read and not yet asked for is held.
#[derive(Debug)]
pub struct Conn {
    socket: Socket,
    held: Vec<u8>,
    ended: bool,
    /// Everything that arrived, for the servers' records.
    heard: Arc<Mutex<Vec<u8>>>,
    /// Every request read with [`Conn::read_request`], likewise.
    requests: Arc<Mutex<Vec<Message>>>,
    patience: Option<Duration>,
}

impl Conn {
    pub fn over(socket: Socket) -> Self {
        Self::recorded(socket, Arc::default(), Arc::default())
    }

    pub fn recorded(
        socket: Socket,
        heard: Arc<Mutex<Vec<u8>>>,
        requests: Arc<Mutex<Vec<Message>>>,
    ) -> Self {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            socket,
            held: Vec::new(),
            ended: false,
            heard,
            requests,
            patience: Some(PATIENCE),
        }
    }

    pub fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)
            .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        stream.set_nodelay(true).unwrap();
        Self::over(stream.into())
    }

    pub fn connect_unix(path: &Path) -> Self {
        Self::over(UnixStream::connect(path).unwrap().into())
    }

    /// Connects with a small receive window, so that little is in flight towards a slow reader.
    pub fn connect_narrow(address: SocketAddr) -> Self {
        let socket = Socket::new(
            socket2::Domain::for_address(address),
            socket2::Type::STREAM,
            None,
        )
        .unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        socket.connect_timeout(&address.into(), PATIENCE).unwrap();
        Self::over(socket)
    }

    /// Reads without a deadline, as a server that keeps idle connections does.
    pub fn wait_for_ever(&mut self) {
        self.patience = None;
        self.socket.set_read_timeout(None).unwrap();
    }

    /// Reads with another deadline than most tests.
    pub fn wait_for(&mut self, patience: Duration) {
        self.patience = Some(patience);
        self.socket.set_read_timeout(self.patience).unwrap();
        self.socket.set_write_timeout(self.patience).unwrap();
    }

    pub fn local_address(&self) -> SocketAddr {
        self.socket.local_addr().unwrap().as_socket().unwrap()
    }

    pub fn peer_port(&self) -> u16 {
        let peer = self.socket.peer_addr().ok();
        peer.and_then(|peer| peer.as_socket())
            .map_or(0, |peer| peer.port())
    }

    /// Another handle on the same connection; what one has already read, the other does not see.
    pub fn twin(&self) -> Self {
        Self::over(self.socket.try_clone().unwrap())
    }

    // === Sending ===

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.try_send(bytes)
            .unwrap_or_else(|error| panic!("cannot send: {error}"));
        self
    }

    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        self.socket.write_all(bytes.as_ref())
    }

    /// Sends each byte in a packet of its own.
    pub fn send_by_the_byte(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        for byte in bytes.as_ref() {
            self.send([*byte]);
        }
        self
    }

    /// Sends until nothing more is taken for a while, and says how many bytes that were.
    pub fn send_until_held_back(&mut self) -> usize {
        self.send_until_held_back_by(&[b'.'; 65_536])
    }

    /// The same with these bytes over and over.
    pub fn send_until_held_back_by(&mut self, bytes: &[u8]) -> usize {
        self.socket
            .set_write_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        let mut sent = 0;
        while let Ok(count) = self.socket.write(&bytes[sent % bytes.len()..]) {
            sent += count;
        }
        self.socket.set_write_timeout(Some(PATIENCE)).unwrap();
        sent
    }

    /// Ends our direction; the other stays open.
    pub fn finish(&mut self) -> &mut Self {
        let _ = self.socket.shutdown(Shutdown::Write);
        self
    }

    /// Closes with a reset instead of an orderly end.
    pub fn reset(self) {
        self.socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Sends a GET and reads its response.
    pub fn get(&mut self, target: &str) -> Message {
        self.request(&format!(
            "GET {target} HTTP/1.1\r\nHost: example.com\r\n\r\n"
        ))
    }

    /// Sends a GET with further header lines (each ended by CRLF) and reads its response.
    pub fn get_with(&mut self, target: &str, lines: &str) -> Message {
        self.request(&format!(
            "GET {target} HTTP/1.1\r\nHost: example.com\r\n{lines}\r\n"
        ))
    }

    /// Sends a whole request and reads its response (of a HEAD: without a body).
    pub fn request(&mut self, request: &str) -> Message {
        self.send(request);
        let method = request.split(' ').next().unwrap();
        self.read_response_to(method)
    }

    // === Receiving ===

    /// Reads what arrives next; 0 at the end of the stream, however it ended.
    fn fill(&mut self) -> usize {
        let mut room = [0; 64 * 1024];
        loop {
            match self.socket.read(&mut room) {
                Ok(count) => {
                    self.ended = count == 0;
                    self.held.extend_from_slice(&room[..count]);
                    self.heard.lock().unwrap().extend_from_slice(&room[..count]);
                    return count;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => panic!(
                    "nothing more arrived; so far: {:?}",
                    String::from_utf8_lossy(&self.held[..self.held.len().min(4096)])
                ),
                Err(_) => {
                    self.ended = true;
                    return 0;
                }
            }
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let rest = self.held.split_off(count);
        std::mem::replace(&mut self.held, rest)
    }

    /// Exactly this many bytes, or `None` if the stream ends before.
    pub fn try_read_exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.held.len() < count {
            if self.fill() == 0 {
                return None;
            }
        }
        Some(self.take(count))
    }

    pub fn read_exactly(&mut self, count: usize) -> Vec<u8> {
        self.try_read_exactly(count).unwrap_or_else(|| {
            panic!(
                "ended after {:?}, {count} bytes wanted",
                String::from_utf8_lossy(&self.held)
            )
        })
    }

    /// Everything up to and with `mark`; `None` if the stream ends before.
    pub fn try_read_until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        let mut from = 0;
        loop {
            if let Some(at) = memchr::memmem::find(&self.held[from..], mark) {
                return Some(self.take(from + at + mark.len()));
            }
            from = self.held.len().saturating_sub(mark.len() - 1);
            if self.fill() == 0 {
                return None;
            }
        }
    }

    pub fn read_until(&mut self, mark: &[u8]) -> Vec<u8> {
        self.try_read_until(mark).unwrap_or_else(|| {
            panic!(
                "ended after {:?} without {:?}",
                String::from_utf8_lossy(&self.held),
                String::from_utf8_lossy(mark)
            )
        })
    }

    /// Everything until the stream ends.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        while !self.ended && self.fill() > 0 {}
        std::mem::take(&mut self.held)
    }

    /// Whether the stream ends here, and by a reset: nothing else tells it from a whole body that ends with its connection.
    pub fn is_reset(&mut self) -> bool {
        let mut room = [0; 1];
        match self.socket.read(&mut room) {
            Ok(0) => false,
            Ok(_) => panic!("neither an end nor a reset"),
            Err(error) => error.kind() == ErrorKind::ConnectionReset,
        }
    }

    /// Reads and forgets exactly this many bytes.
    pub fn skip(&mut self, mut count: u64) {
        let at_hand = count.min(self.held.len() as u64);
        self.held.drain(..at_hand as usize);
        count -= at_hand;
        let mut room = vec![0; 256 * 1024];
        while count > 0 {
            let want = room.len().min(count as usize);
            match self.socket.read(&mut room[..want]) {
                Ok(0) => panic!("ended {count} bytes early"),
                Ok(got) => count -= got as u64,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{count} bytes before the end: {error}"),
            }
        }
    }

    /// The stream ends here (orderly or by reset), and nothing came before the end.
    pub fn expect_closed(&mut self) {
        let rest = self.read_to_end();
        assert!(
            rest.is_empty(),
            "before the end came {:?}",
            String::from_utf8_lossy(&rest)
        );
    }

    /// Whether something has arrived, or the end has; does not wait.
    pub fn has_something(&self) -> bool {
        if !self.held.is_empty() {
            return true;
        }
        self.socket.set_nonblocking(true).unwrap();
        let mut room = [std::mem::MaybeUninit::uninit(); 1];
        let waiting = matches!(self.socket.peek(&mut room), Err(error) if error.kind() == ErrorKind::WouldBlock);
        self.socket.set_nonblocking(false).unwrap();
        !waiting
    }

    /// Nothing arrives for this long, and the stream stays open.
    pub fn expect_silence(&mut self, for_: Duration) {
        assert!(
            self.held.is_empty(),
            "already arrived: {:?}",
            String::from_utf8_lossy(&self.held)
        );
        self.socket.set_read_timeout(Some(for_)).unwrap();
        let mut room = [0; 4096];
        match self.socket.read(&mut room) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Ok(count) => {
                panic!(
                    "instead of silence: {:?}",
                    String::from_utf8_lossy(&room[..count])
                )
            }
            Err(error) => panic!("instead of silence: {error}"),
        }
        self.socket.set_read_timeout(self.patience).unwrap();
    }

    // === Messages ===

    /// The next request, whole; `None` when the stream ends instead.
    pub fn read_request(&mut self) -> Option<Message> {
        let request = self.read_request_head()?;
        let request = self.read_body(request, Framing::of_request)?;
        self.requests.lock().unwrap().push(request.clone());
        Some(request)
    }

    /// The next request's head; its body is left unread.
    pub fn read_request_head(&mut self) -> Option<Message> {
        let head = self.try_read_until(b"\r\n\r\n")?;
        Some(Message::of_head(&head))
    }

    /// The response to a GET, whole.
    pub fn read_response(&mut self) -> Message {
        self.read_response_to("GET")
    }

    /// The response to this method, whole. A 1xx is a response of its own.
    pub fn read_response_to(&mut self, method: &str) -> Message {
        let head = self.read_until(b"\r\n\r\n");
        let response = Message::of_head(&head);
        let framing = move |message: &Message| Framing::of_response(message, method);
        self.read_body(response, framing)
            .expect("a whole response body")
    }

    /// The response's head only.
    pub fn read_response_head(&mut self) -> Message {
        Message::of_head(&self.read_until(b"\r\n\r\n"))
    }

    fn read_body(
        &mut self,
        mut message: Message,
        framing: impl Fn(&Message) -> Framing,
    ) -> Option<Message> {
        match framing(&message) {
            Framing::None => {}
            Framing::Length(count) => message.body = self.try_read_exactly(count)?,
            Framing::Chunked => self.read_chunks(&mut message)?,
            Framing::UntilClose => message.body = self.read_to_end(),
        }
        Some(message)
    }

    fn read_chunks(&mut self, message: &mut Message) -> Option<()> {
        loop {
            let line = self.try_read_until(b"\r\n")?;
            let text = String::from_utf8_lossy(&line).into_owned();
            message.raw_body.extend_from_slice(&line);
            let size = text.trim_end().split(';').next().unwrap().trim();
            let size = usize::from_str_radix(size, 16)
                .unwrap_or_else(|_| panic!("no chunk size: {text:?}"));
            if size == 0 {
                break;
            }
            let chunk = self.try_read_exactly(size + 2)?;
            assert!(
                chunk.ends_with(b"\r\n"),
                "a chunk does not end where it says"
            );
            message.body.extend_from_slice(&chunk[..size]);
            message.raw_body.extend_from_slice(&chunk);
        }
        loop {
            let line = self.try_read_until(b"\r\n")?;
            message.raw_body.extend_from_slice(&line);
            if line == b"\r\n" {
                return Some(());
            }
            message.trailers.push(Message::field_of(&line));
        }
    }
}
