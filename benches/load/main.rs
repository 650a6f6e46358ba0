//! The load and the servers behind the proxies that `scripts/bench` compares, and the floods of `scripts/floods`. Both ends are ours, so that
//! what lies between them is the only thing that changes. Tunnels are `ringbolt bench`'s.
//!
//! * `backend`: HTTP/1.1 by monoio-http (small answers), and a server of bodies of any size.
//! * `requests`: requests of any shape, one after the other or at a fixed rate.
//! * `floor`: the forwarder of bytes that does nothing else.
//! * `flood`: clients and servers that are slow, silent, endless or deaf.
//!
//! Standard output and input keep it in step with the script. Before and after the measured time it says
//! `begin` and `end` and stands still until it is given a line: nothing is under way while the script reads
//! the proxy's clocks. The last line is the report, in JSON.

mod exchange;
#[allow(unreachable_pub, reason = "shared with tests/floods.rs")]
mod flood;
mod floor;
mod http;

use std::future::Future;
use std::io::{self, stdin};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use ringbolt::cli::bench::{Tally, stand_still};
use ringbolt::ring::{self, Alarm, Duplex};
use socket2::{Domain, Socket, Type};

#[derive(Debug, Parser)]
enum Work {
    /// Serves until standard input ends.
    Backend {
        /// An address for HTTP; may be given several times.
        #[arg(long)]
        http: Vec<SocketAddr>,
        /// An address for bodies: `/bytes/N`, `/chunked/N`; may be given several times.
        #[arg(long)]
        bodies: Vec<SocketAddr>,
        /// Bytes in a body of the HTTP addresses.
        #[arg(long, default_value_t = 128)]
        body: usize,
    },
    /// Sends requests.
    Requests {
        #[command(flatten)]
        aim: Aim,
        #[command(flatten)]
        shape: exchange::Shape,
        #[command(flatten)]
        span: Span,
    },
    /// Forwards bytes and does nothing else, for ever.
    Floor {
        /// Where clients come in.
        #[arg(long)]
        listen: SocketAddr,
        /// A server; may be given several times.
        #[arg(long)]
        to: Vec<SocketAddr>,
    },
    /// Floods, says `begin` once all connections were begun, ends when given a line.
    Flood(#[command(flatten)] Storm),
}

/// A flood and where it goes.
#[derive(Debug, clap::Args)]
struct Storm {
    /// Which flood.
    #[arg(long)]
    kind: flood::Kind,
    /// The proxy's address.
    #[arg(long)]
    target: SocketAddr,
    /// Where the flood's servers listen; the proxy's route for the path `/flood` leads there.
    #[arg(long)]
    server: SocketAddr,
    /// Client connections.
    #[arg(long)]
    connections: usize,
}

/// Where to.
#[derive(Debug, Clone, clap::Args)]
struct Aim {
    /// The proxy's address.
    #[arg(long)]
    target: SocketAddr,
    /// The host that its route wants.
    #[arg(long, default_value = "bench.example.com")]
    host: String,
}

/// For how long.
#[derive(Debug, Clone, Copy, clap::Args)]
struct Span {
    /// Seconds before the measured time.
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

fn main() -> ExitCode {
    let done = match Work::parse() {
        Work::Backend { http, bodies, body } => run(backend(http, bodies, body)),
        Work::Requests { aim, shape, span } => run(async move {
            let (tally, alarm) = (Tally::default(), Alarm::new()?);
            exchange::start(&aim, &shape, &tally)?;
            measure(&tally, &alarm, span).await
        }),
        Work::Floor { listen, to } => floor::run(listen, &to),
        Work::Flood(storm) => storm.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Storm {
    fn run(&self) -> io::Result<()> {
        let listening = Socket::new(Domain::for_address(self.server), Type::STREAM, None)?;
        listening.set_reuse_address(true)?;
        listening.bind(&self.server.into())?;
        listening.listen(4096)?;
        let _servers = flood::Crowd::servers(listening, self.kind.servers());
        let clients = flood::Crowd::clients(self.target, self.connections, self.kind.clients());
        while clients.open() + clients.ended() < self.connections {
            std::thread::sleep(Duration::from_millis(10));
        }
        stand_still("begin");
        println!(
            "{}",
            serde_json::json!({
                "open": clients.open(), "ended": clients.ended(), "statuses": clients.statuses(),
                "expected": self.kind.status(),
            })
        );
        Ok(())
    }
}

/// Serves both kinds until nobody wants it any more.
async fn backend(http: Vec<SocketAddr>, bodies: Vec<SocketAddr>, body: usize) -> io::Result<()> {
    for address in http {
        http::start_server(address, body)?;
    }
    for address in bodies {
        let listener = ring::Listener::adopt(listen(address)?.into())?;
        ring::spawn(async move {
            while listener.readable().await.is_ok() {
                while let ring::Accepted::Client(stream, _) = listener.accept() {
                    ring::spawn(async move {
                        // However the other end leaves, it is told to the one who asked: the client.
                        let _ = exchange::serve(stream).await;
                    });
                }
            }
        });
    }
    println!("ready");
    std::thread::spawn(|| {
        let _ = io::copy(&mut stdin(), &mut io::sink());
        std::process::exit(0);
    });
    std::future::pending().await
}

fn listen(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM.nonblocking(),
        None,
    )?;
    socket.set_reuse_address(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket)
}

/// Sends all of it.
async fn send_all(stream: &ring::Stream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match stream.try_send(bytes)? {
            0 => stream.writable().await?,
            sent => bytes = &bytes[sent..],
        }
    }
    Ok(())
}

/// Lets the work that was started run warm, then counts it for the given time, and prints the report.
async fn measure(tally: &Tally, alarm: &Alarm, span: Span) -> io::Result<()> {
    alarm.after(Duration::from_secs_f64(span.warm_up)).await?;
    stand_still("begin");
    tally.restart();
    alarm.after(Duration::from_secs_f64(span.seconds)).await?;
    let report = tally.report();
    stand_still("end");
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// Runs on the ring that the proxy's workers have.
fn run(work: impl Future<Output = io::Result<()>>) -> io::Result<()> {
    ring::block_on(ring::Operations::All, |_| work)?
}
