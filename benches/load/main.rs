//! The load and the servers behind the proxies that `scripts/bench` compares, and the floods of `scripts/floods`. Both ends are ours, so that
//! what lies between them is the only thing that changes.
//!
//! * `backend`: HTTP/1.1 by monoio-http, and WebSocket echo on raw monoio sockets.
//! * `requests`: keep-alive GETs, by monoio-http.
//! * `messages`: 64-byte messages and their echoes through tunnels.
//! * `flood`: clients and servers that are slow, silent, endless or deaf.
//! * `idle`: many tunnels that carried one message each and then rest.
//!
//! Standard output and input keep it in step with the script. Before and after the measured time it says
//! `begin` and `end` and stands still until it is given a line: nothing is under way while the script reads
//! the proxy's clocks. The last line is the report, in JSON.
//!
//! monoio-http knows no upgrade (its codecs never give the socket back), hence the raw sockets for tunnels.

#[allow(unreachable_pub, reason = "shared with tests/floods.rs")]
mod flood;
mod http;
mod tally;
mod tunnel;

use std::future::Future;
use std::io::{Write, stdin, stdout};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use monoio::{IoUringDriver, RuntimeBuilder};
use socket2::{Domain, Socket, Type};
use tally::Tally;

#[derive(Debug, Parser)]
enum Work {
    /// Serves until standard input ends.
    Backend {
        /// An address for HTTP; may be given several times.
        #[arg(long)]
        http: Vec<SocketAddr>,
        /// An address for WebSocket echo; may be given several times.
        #[arg(long)]
        tunnel: Vec<SocketAddr>,
        /// Bytes in a response's body.
        #[arg(long, default_value_t = 128)]
        body: usize,
    },
    /// Sends keep-alive requests, the next when the answer to the last is complete.
    Requests {
        #[command(flatten)]
        aim: Aim,
        /// Client connections.
        #[arg(long, default_value_t = 64)]
        connections: usize,
        #[command(flatten)]
        span: Span,
    },
    /// Sends messages through tunnels, the next when the last has come back.
    Messages {
        #[command(flatten)]
        aim: Aim,
        /// Tunnels to open.
        #[arg(long, default_value_t = 256)]
        tunnels: usize,
        /// How many of them carry messages.
        #[arg(long, default_value_t = 64)]
        active: usize,
        #[command(flatten)]
        span: Span,
    },
    /// Floods, says `begin` once all connections were begun, ends when given a line.
    Flood(#[command(flatten)] Storm),
    /// Opens tunnels, sends one message through each, says `begin`, and closes them when given a line.
    Idle {
        #[command(flatten)]
        aim: Aim,
        /// Tunnels to open.
        #[arg(long, default_value_t = 8_000)]
        tunnels: usize,
    },
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
        Work::Backend { http, tunnel, body } => run(backend(http, tunnel, body)),
        Work::Requests {
            aim,
            connections,
            span,
        } => run(async move {
            let tally = Tally::default();
            http::start_clients(&aim, connections, &tally);
            measure(&tally, span).await;
            Ok(())
        }),
        Work::Messages {
            aim,
            tunnels,
            active,
            span,
        } => run(async move {
            let tally = Tally::default();
            let open = tunnel::open_all(&aim, tunnels, false).await?;
            tunnel::start_talk(open, active, &tally);
            measure(&tally, span).await;
            Ok(())
        }),
        Work::Flood(storm) => storm.run(),
        Work::Idle { aim, tunnels } => run(async move {
            let open = tunnel::open_all(&aim, tunnels, true).await?;
            wait_at("begin");
            println!(
                "{}",
                serde_json::json!({ "units": open.len(), "errors": 0 })
            );
            Ok(())
        }),
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
    fn run(&self) -> std::io::Result<()> {
        let listening = Socket::new(Domain::for_address(self.server), Type::STREAM, None)?;
        listening.set_reuse_address(true)?;
        listening.bind(&self.server.into())?;
        listening.listen(4096)?;
        let _servers = flood::Crowd::servers(listening, self.kind.servers());
        let clients = flood::Crowd::clients(self.target, self.connections, self.kind.clients());
        while clients.open() + clients.ended() < self.connections {
            std::thread::sleep(Duration::from_millis(10));
        }
        wait_at("begin");
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
async fn backend(
    http: Vec<SocketAddr>,
    tunnel: Vec<SocketAddr>,
    body: usize,
) -> std::io::Result<()> {
    for address in http {
        http::start_server(address, body)?;
    }
    for address in tunnel {
        tunnel::start_server(address)?;
    }
    println!("ready");
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    std::future::pending().await
}

/// Lets the work that was started run warm, then counts it for the given time, and prints the report.
async fn measure(tally: &Tally, span: Span) {
    monoio::time::sleep(Duration::from_secs_f64(span.warm_up)).await;
    wait_at("begin");
    tally.restart();
    monoio::time::sleep(Duration::from_secs_f64(span.seconds)).await;
    let report = tally.report();
    wait_at("end");
    println!("{report}");
}

/// Says `word` and does nothing, not even in other tasks, until a line comes.
fn wait_at(word: &str) {
    println!("{word}");
    let _ = stdout().flush();
    let _ = stdin().read_line(&mut String::new());
}

/// Runs on a ring with the flags that cost least (`ring::runtime` of the proxy has the measurement).
fn run(work: impl Future<Output = std::io::Result<()>>) -> std::io::Result<()> {
    let mut flags = io_uring::IoUring::builder();
    flags
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_coop_taskrun();
    flags.setup_submit_all().setup_clamp().setup_cqsize(16_384);
    RuntimeBuilder::<IoUringDriver>::new()
        .uring_builder(flags)
        .with_entries(2_048)
        .enable_timer()
        .build()?
        .block_on(work)
}
