//! The server behind every proxy: it keeps what arrives and answers each request with 200.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::reading::{self, Reading};
use super::support::Port;

/// Listens for as long as the test program runs.
pub struct Recorder {
    port: Port,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
}

/// What came over one connection.
#[derive(Debug, Default, Clone)]
pub struct Arrival {
    pub requests: Vec<Reading>,
    /// Why a strict reading refuses it.
    pub misread: Option<String>,
    ended: bool,
}

impl Recorder {
    pub fn start() -> Self {
        let port = Port::v4();
        let listener: TcpListener = port.listen(64).into();
        let arrivals: Arc<Mutex<Vec<Arrival>>> = Arc::default();
        let theirs = Arc::clone(&arrivals);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let arrivals = Arc::clone(&theirs);
                let number = {
                    let mut all = arrivals.lock().unwrap();
                    all.push(Arrival::default());
                    all.len() - 1
                };
                std::thread::spawn(move || record(stream.unwrap(), &arrivals, number));
            }
        });
        Self { port, arrivals }
    }

    pub fn address(&self) -> String {
        self.port.address.to_string()
    }

    /// How many connections there were; what comes later is found behind this.
    pub fn mark(&self) -> usize {
        self.arrivals.lock().unwrap().len()
    }

    /// What came since the mark, once all of it has ended.
    pub fn since(&self, mark: usize) -> Vec<Arrival> {
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            let arrivals = self.arrivals.lock().unwrap()[mark..].to_vec();
            if arrivals.iter().all(|arrival| arrival.ended) || Instant::now() > deadline {
                return arrivals;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// How long a request may stay incomplete.
const PATIENCE: Duration = Duration::from_secs(3);

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

fn record(mut stream: TcpStream, arrivals: &Mutex<Vec<Arrival>>, number: usize) {
    let _ = stream.set_read_timeout(Some(PATIENCE));
    let (mut held, mut room) = (Vec::new(), [0; 65_536]);
    let mut answered = false;
    loop {
        match stream.read(&mut room) {
            Ok(count) if count > 0 => held.extend_from_slice(&room[..count]),
            _ => break,
        }
        let mut known = false;
        loop {
            let mut all = arrivals.lock().unwrap();
            match reading::read(&held) {
                Ok(Some((request, used))) => {
                    held.drain(..used);
                    all[number].requests.push(request);
                    known = true;
                }
                Ok(None) => break,
                Err(why) => {
                    all[number].misread = Some(why);
                    known = true;
                    break;
                }
            }
        }
        if known && !answered {
            answered = true;
            let _ = stream.write_all(ANSWER);
            let _ = stream.shutdown(Shutdown::Write);
        }
    }
    let mut all = arrivals.lock().unwrap();
    let whole = !all[number].requests.is_empty();
    if whole && !held.is_empty() && all[number].misread.is_none() {
        all[number].misread = Some(format!("{} bytes behind the request", held.len()));
    }
    all[number].ended = true;
}
