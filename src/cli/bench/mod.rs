//! `ringbolt bench`: a client that measures tunnels through any proxy, and the server to put behind it.
//!
//! One thread. It opens its tunnels first and measures then, so that handshakes do not count as messages (except in
//! `open`, which is about them). `scripts/bench` uses it for all of its tunnels.

mod echo;
mod pace;
mod tally;
mod tunnel;
mod work;

use super::output;
pub use pace::{Lane, start as at_rate};
pub use tally::{Report, Tally};
pub use tunnel::connect;

use crate::config::Address;
use crate::ring::{self, Alarm, Operations};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::future::Future;
use std::io::IsTerminal as _;
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::pin::pin;
use std::process::ExitCode;
use std::task::Poll;
use std::time::Duration;
use tunnel::{Broken, Target};

/// What is done.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Work {
    /// One message after the other through each tunnel, and how long each takes to come back.
    Ping {
        #[command(flatten)]
        aim: Aim,
        /// Tunnels that carry messages; the others rest [default: all].
        #[arg(long)]
        active: Option<usize>,
        /// Messages a second, over all tunnels: each has its moment, and its latency counts from there
        /// [default: the next when the last has come back].
        #[arg(long, value_parser = rate)]
        rate: Option<f64>,
        #[command(flatten)]
        span: Span,
    },
    /// As many messages as go through.
    Flood {
        #[command(flatten)]
        aim: Aim,
        /// Messages of one tunnel under way at a time.
        #[arg(long, default_value_t = 16)]
        window: u64,
        #[command(flatten)]
        span: Span,
    },
    /// Tunnels one after the other: opened, one message and its echo, closed.
    Open {
        #[command(flatten)]
        aim: Aim,
        /// Tunnels opened a second [default: as many as can be, `--tunnels` at a time].
        #[arg(long, value_parser = rate)]
        rate: Option<f64>,
        #[command(flatten)]
        span: Span,
    },
    /// Tunnels that carry one message each and then rest: for looking at the proxy's memory meanwhile.
    Idle {
        #[command(flatten)]
        aim: Aim,
        #[command(flatten)]
        span: Span,
    },
    /// The server for all of these: sends every message back, on each of the addresses, until Ctrl-C.
    Serve {
        /// Addresses to listen on, such as 127.0.0.1:9001.
        #[arg(required = true)]
        addresses: Vec<SocketAddr>,
    },
}

/// Which tunnels.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Aim {
    /// Through which proxy, such as ws://127.0.0.1:8080/socket.
    url: String,
    /// The Host field [default: the URL's].
    #[arg(long)]
    host: Option<String>,
    /// How many.
    #[arg(long, default_value_t = 64)]
    tunnels: usize,
    /// Bytes in a message.
    #[arg(long, default_value_t = 64)]
    size: usize,
}

/// For how long, and how it is told.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Span {
    /// Seconds before the measured time.
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// The report as one JSON object.
    #[arg(long)]
    json: bool,
    /// Says `begin` and `end` and stands still each time until it is given a line: for a script that reads clocks.
    #[arg(long, hide = true)]
    lockstep: bool,
}

/// Measures. Exit codes: 0 nothing went wrong, 1 something did, 2 the arguments make no sense, 3 nobody is there.
pub(super) fn run(work: Work) -> ExitCode {
    raise_descriptors();
    match ring::block_on(Operations::All, |_| perform(work)) {
        Ok(code) => code,
        Err(error) => {
            errln!("bench: {error}");
            ExitCode::from(NOBODY)
        }
    }
}

async fn perform(work: Work) -> ExitCode {
    match work {
        Work::Serve { addresses } => {
            for address in addresses {
                if let Err(error) = echo::start(address) {
                    errln!("bench: cannot listen on {address}: {error}");
                    return ExitCode::from(NOBODY);
                }
            }
            outln!("ready");
            std::future::pending().await
        }
        Work::Ping {
            aim,
            active,
            rate,
            span,
        } => {
            let measured = async |target: Target, tally: &Tally| {
                let open = open_all(&aim, &target).await?;
                work::ping(open, active.unwrap_or(aim.tunnels), aim.size, rate, tally)?;
                Ok(())
            };
            measure(&aim, span, "messages", measured).await
        }
        Work::Flood { aim, window, span } => {
            let measured = async |target: Target, tally: &Tally| {
                work::flood(open_all(&aim, &target).await?, aim.size, window, tally);
                Ok(())
            };
            measure(&aim, span, "messages", measured).await
        }
        Work::Open { aim, rate, span } => {
            let measured = async |target: Target, tally: &Tally| {
                Ok(work::open(&target, aim.tunnels, aim.size, rate, tally)?)
            };
            measure(&aim, span, "tunnels", measured).await
        }
        Work::Idle { aim, span } => {
            let measured = async |target: Target, tally: &Tally| {
                let open = open_all(&aim, &target).await?;
                tally.rests(open.len() as u64);
                work::ping(open, 0, aim.size, None, tally)?;
                Ok(())
            };
            measure(&aim, span, "tunnels at rest", measured).await
        }
    }
}

/// Starts the work, lets it run warm, counts it for the given time, and tells.
async fn measure(
    aim: &Aim,
    span: Span,
    what: &str,
    start: impl AsyncFnOnce(Target, &Tally) -> Result<(), Broken>,
) -> ExitCode {
    let target = match target(aim) {
        Ok(target) => target,
        Err(why) => {
            errln!("bench: {why}");
            return ExitCode::from(USAGE);
        }
    };
    let (tally, alarm) = (Tally::default(), Alarm::new());
    if let Ok(alarm) = &alarm
        && let Err(why) = probe(&target, aim.size, alarm).await
    {
        errln!("bench: {}: {why}", aim.url);
        return ExitCode::from(NOBODY);
    }
    let started = start(target, &tally).await;
    let (Ok(()), Ok(alarm)) = (&started, &alarm) else {
        let why = started
            .err()
            .map_or_else(|| "no descriptor is left".to_owned(), |e| e.to_string());
        errln!("bench: {}: {why}", aim.url);
        return ExitCode::from(NOBODY);
    };
    let _ = alarm.after(Duration::from_secs_f64(span.warm_up)).await;
    span.stand_still("begin");
    tally.restart();
    let _ = alarm.after(Duration::from_secs_f64(span.seconds)).await;
    let report = tally.report();
    span.stand_still("end");
    tell(&report, what, span.json || span.lockstep);
    ExitCode::from(u8::from(report.errors > 0))
}

/// Whether messages come back at all: not every server behind a proxy sends them back, and then everything here would wait
/// for ever.
async fn probe(target: &Target, size: usize, alarm: &Alarm) -> Result<(), String> {
    let (mut echo, mut over) = (pin!(work::touched(target, size)), pin!(alarm.after(PROBE)));
    let came = std::future::poll_fn(|cx| match echo.as_mut().poll(cx) {
        Poll::Ready(came) => Poll::Ready(Some(came)),
        Poll::Pending => over.as_mut().poll(cx).map(|_| None),
    });
    match came.await {
        Some(came) => came.map(drop).map_err(|broken| broken.to_string()),
        None => Err(format!(
            "no message came back within {} s; put `ringbolt bench serve` behind the proxy",
            PROBE.as_secs()
        )),
    }
}

async fn open_all(aim: &Aim, target: &Target) -> Result<Vec<tunnel::Tunnel>, Broken> {
    let (all, shown) = (aim.tunnels, std::io::stderr().is_terminal());
    let told = move |open: usize| {
        if shown && (open.is_multiple_of(100) || open == all) {
            let end = if open == all { "\n" } else { "" };
            let text = format!("\rbench: {open} of {all} tunnels are open {end}");
            let _ = output::write(std::io::stderr(), &text);
        }
    };
    work::open_all(target, all, aim.size, told).await
}

impl Span {
    /// Says `word` and does nothing, not even in other tasks, until a line comes.
    fn stand_still(self, word: &str) {
        if self.lockstep {
            stand_still(word);
        }
    }
}

/// Says `word` on standard output and stops the thread until standard input has a line.
pub fn stand_still(word: &str) {
    outln!("{word}");
    let _ = std::io::stdin().read_line(&mut String::new());
}

fn tell(report: &Report, what: &str, json: bool) {
    if json {
        outln!("{}", serde_json::to_string(report).expect("numbers"));
        return;
    }
    if report.max_us == 0.0 {
        outln!(
            "{} {what} for {:.1} s; {} errors",
            report.units,
            report.seconds,
            report.errors
        );
        return;
    }
    let per_second = report.units as f64 / report.seconds;
    outln!(
        "{} {what} in {:.1} s: {per_second:.0} a second, {:.1} MB/s back; {} errors",
        report.units,
        report.seconds,
        report.bytes as f64 / report.seconds / 1e6,
        report.errors
    );
    if report.units > 0 {
        outln!(
            "latency, µs: p50 {:.0}  p90 {:.0}  p99 {:.0}  p99.9 {:.0}  p99.99 {:.0}  max {:.0}",
            report.p50_us,
            report.p90_us,
            report.p99_us,
            report.p99_9_us,
            report.p99_99_us,
            report.max_us
        );
    }
}

/// Takes a `ws://` URL apart; a name is resolved once.
fn target(aim: &Aim) -> Result<Target, String> {
    let wanted = || {
        format!(
            "\"{}\" is no URL such as ws://127.0.0.1:8080/socket",
            aim.url
        )
    };
    let rest = aim.url.strip_prefix("ws://").ok_or_else(wanted)?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let sound = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if authority.is_empty() || !sound(rest) {
        return Err(wanted());
    }
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let with_port = if has_port {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let address = with_port
        .to_socket_addrs()
        .map_err(|error| format!("{with_port}: {error}"))?
        .next()
        .ok_or_else(|| format!("{with_port} has no address"))?;
    Ok(Target {
        address: Address::Ip(address),
        host: aim.host.clone().unwrap_or_else(|| authority.to_owned()),
        path: path.to_owned(),
    })
}

fn rate(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok();
    let fits = number.filter(|rate| (0.001..=10_000_000.0).contains(rate));
    fits.ok_or_else(|| "a rate is a number above 0".to_owned())
}

/// As many descriptors as this user may have; a tunnel needs one.
fn raise_descriptors() {
    let now = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: now.maximum,
        ..now
    };
    let _ = setrlimit(Resource::Nofile, all);
}

/// How long the first message is waited for.
const PROBE: Duration = Duration::from_secs(10);
/// The arguments make no sense.
const USAGE: u8 = 2;
/// Nothing can be measured: nobody is there, or an address is taken.
const NOBODY: u8 = 3;

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let aim = |url: &str| Aim {
            url: url.to_owned(),
            host: None,
            tunnels: 1,
            size: 1,
        };
        let good = target(&aim("ws://127.0.0.1:81/a?b")).unwrap();
        assert_eq!(
            (good.address.to_string(), &*good.host, &*good.path),
            ("127.0.0.1:81".to_owned(), "127.0.0.1:81", "/a?b")
        );
        let bare = target(&aim("ws://[::1]")).unwrap();
        assert_eq!(
            (bare.address.to_string(), &*bare.path),
            ("[::1]:80".to_owned(), "/")
        );
        for bad in ["", "ws://", "http://a", "ws:///a", "ws://a b/"] {
            assert!(target(&aim(bad)).is_err(), "{bad}");
        }
    }
}
