//! Requests of any shape, as lean as a client can be: heads are built once, answers are followed by the reader that
//! the proxy itself uses, and bodies are counted and thrown away.

use std::rc::Rc;
use std::time::Instant;

use ringbolt::cli::bench::{Lane, Tally, at_rate, connect};
use ringbolt::config::Address;
use ringbolt::ring::{self, Duplex, Received, Stream};
use ringbolt::wire::chunked::Decoder;
use ringbolt::wire::response::ResponseHead;
use ringbolt::wire::{Blame, BodyLength, HeadLimits, Known, Method, Progress};

use crate::{Aim, send_all};

/// What is asked.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Shape {
    /// Client connections.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// The target; `/bytes/N` and `/chunked/N` of the bodies' server give N bytes.
    #[arg(long, default_value = "/api/state?room=42")]
    path: String,
    /// Bytes in each request's body; none is a GET.
    #[arg(long, default_value_t = 0)]
    up: usize,
    /// The request's body goes in chunks.
    #[arg(long)]
    chunked: bool,
    /// A connection for each request.
    #[arg(long)]
    close: bool,
    /// Requests a second, over all connections, each counted from the moment it is due [default: the next when the last is
    /// answered].
    #[arg(long)]
    rate: Option<f64>,
}

/// Starts the clients.
///
/// # Errors
/// When a rate is wanted and there is no descriptor for it.
pub(crate) fn start(aim: &Aim, shape: &Shape, tally: &Tally) -> std::io::Result<()> {
    let count = shape.connections;
    let lanes = shape.rate.map(|rate| at_rate(rate, count)).transpose()?;
    let mut lanes = lanes.into_iter().flatten();
    let body: Rc<[u8]> = match shape.chunked {
        true => in_chunks(shape.up).into(),
        false => vec![b'x'; shape.up].into(),
    };
    for _ in 0..count {
        let client = Client {
            aim: aim.clone(),
            shape: shape.clone(),
            tally: tally.clone(),
            body: body.clone(),
            cookie: "unset".to_owned(),
        };
        let lane = lanes.next();
        ring::spawn(async move {
            let tally = client.tally.clone();
            if let Err(error) = client.run(lane).await {
                tally.error(&error);
            }
        });
    }
    Ok(())
}

fn in_chunks(size: usize) -> Vec<u8> {
    let mut body = Vec::new();
    for start in (0..size).step_by(8 * 1024) {
        let size = (size - start).min(8 * 1024);
        body.extend_from_slice(format!("{size:x}\r\n").as_bytes());
        body.resize(body.len() + size, b'x');
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    body
}

struct Client {
    aim: Aim,
    shape: Shape,
    tally: Tally,
    body: Rc<[u8]>,
    /// The persistence cookie's value: kept, as a browser does.
    cookie: String,
}

impl Client {
    async fn run(mut self, lane: Option<Lane>) -> std::io::Result<()> {
        let limits = HeadLimits::default();
        let (mut head, mut inbox) = (ResponseHead::new(&limits), Vec::new());
        let mut request = self.request();
        let mut kept: Option<Stream> = None;
        loop {
            let begun = match &lane {
                Some(lane) => lane.next().await,
                None => Instant::now(),
            };
            let stream = match kept.take() {
                Some(stream) => stream,
                None => connect(&Address::Ip(self.aim.target)).await?,
            };
            send_all(&stream, &request).await?;
            inbox.clear();
            while head
                .parse(&inbox, 0, &limits)
                .map_err(|refusal| broken(&format!("{refusal:?}")))?
                == Progress::Partial
            {
                receive(&stream, &mut inbox).await?;
            }
            if head.status != 200 {
                return Err(broken(&format!("answer {}", head.status)));
            }
            let fresh = head.fields.value(&inbox, b"Set-Cookie").and_then(cookie_of);
            let body = head.body(Method::Get);
            inbox.drain(..head.size);
            let bytes = skip(&stream, body, &inbox, &limits).await?;
            self.tally.unit(begun.elapsed(), bytes);
            if let Some(fresh) = fresh {
                self.cookie = fresh;
                request = self.request();
            }
            kept = (!self.shape.close).then_some(stream);
        }
    }

    /// A request of about 200 bytes, as small ones are, with its body.
    fn request(&self) -> Vec<u8> {
        let Shape {
            path,
            up,
            chunked,
            close,
            ..
        } = &self.shape;
        let method = if *up == 0 && !chunked { "GET" } else { "POST" };
        let framing = match (*up, *chunked) {
            (_, true) => "Transfer-Encoding: chunked\r\n".to_owned(),
            (0, false) => String::new(),
            (up, false) => format!("Content-Length: {up}\r\n"),
        };
        let connection = if *close { "Connection: close\r\n" } else { "" };
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: ringbolt-bench/1\r\nAccept: application/json, text/plain, */*\r\n\
             Accept-Encoding: gzip, deflate\r\n{framing}{connection}Cookie: theme=dark; SERVERID={}\r\n\r\n",
            self.aim.host, self.cookie
        );
        let body = if *up == 0 && !chunked {
            &[][..]
        } else {
            &self.body
        };
        [head.as_bytes(), body].concat()
    }
}

/// The value of a `Set-Cookie`.
fn cookie_of(field: &[u8]) -> Option<String> {
    let pair = field.split(|byte| *byte == b';').next()?;
    let value = pair.splitn(2, |byte| *byte == b'=').nth(1)?;
    String::from_utf8(value.to_vec()).ok()
}

/// Reads a body to its end, the beginning of which has come; how many bytes it had.
async fn skip(
    stream: &Stream,
    body: BodyLength,
    begun: &[u8],
    limits: &HeadLimits,
) -> std::io::Result<u64> {
    let mut seen = begun.len() as u64;
    match body {
        BodyLength::None => Ok(0),
        BodyLength::Length(length) => {
            while seen < length {
                seen += take(stream, |bytes| Ok(bytes.len())).await? as u64;
            }
            Ok(length)
        }
        BodyLength::Chunked => {
            let mut decoder = Decoder::new(limits, Blame::Server);
            let mut step = |bytes: &[u8]| {
                let step = decoder
                    .step(bytes)
                    .map_err(|refusal| broken(&format!("{refusal:?}")))?;
                std::io::Result::Ok((step.done, bytes.len()))
            };
            let mut done = step(begun)?.0;
            while !done {
                let (now, count) = take(stream, &mut step).await?;
                done = now;
                seen += count as u64;
            }
            Ok(seen)
        }
        BodyLength::UntilClose => Err(broken("a body without a length")),
    }
}

/// What the next receive gives.
async fn take<T>(
    stream: &Stream,
    mut use_it: impl FnMut(&[u8]) -> std::io::Result<T>,
) -> std::io::Result<T> {
    loop {
        stream.readable().await?;
        let taken = ring::with_scratch(|scratch| match stream.try_recv(scratch)? {
            Received::Bytes(count) => use_it(&scratch[..count]).map(Some),
            Received::Empty => Ok(None),
            Received::Closed => Err(broken("the proxy closed a connection")),
        })?;
        if let Some(taken) = taken {
            return Ok(taken);
        }
    }
}

async fn receive(stream: &Stream, inbox: &mut Vec<u8>) -> std::io::Result<()> {
    take(stream, |bytes| {
        inbox.extend_from_slice(bytes);
        Ok(())
    })
    .await
}

fn broken(why: &str) -> std::io::Error {
    std::io::Error::other(why.to_owned())
}

/// Serves `/bytes/N` by length and `/chunked/N` in chunks of 8 KiB, whatever is sent along.
pub(crate) async fn serve(stream: Stream) -> std::io::Result<()> {
    let limits = HeadLimits::default();
    let mut head = ringbolt::wire::request::RequestHead::new(&limits);
    let mut inbox = Vec::new();
    loop {
        while head
            .parse(&inbox, 0, &limits)
            .map_err(|refusal| broken(&format!("{refusal:?}")))?
            == Progress::Partial
        {
            receive(&stream, &mut inbox).await?;
        }
        let path = String::from_utf8_lossy(head.path(&inbox)).into_owned();
        let (body, keep) = (head.body, head.keep_alive);
        let expects = head.fields.has(Known::Expect);
        inbox.drain(..head.size);
        if expects {
            send_all(&stream, b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        skip(&stream, body, &inbox, &limits).await?;
        inbox.clear();
        answer(&stream, &path).await?;
        if !keep {
            return Ok(());
        }
    }
}

async fn answer(stream: &Stream, path: &str) -> std::io::Result<()> {
    let size = |kind: &str| path.strip_prefix(kind)?.parse::<usize>().ok();
    if let Some(size) = size("/chunked/") {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        return send_all(stream, &[head.as_bytes(), &in_chunks(size)].concat()).await;
    }
    let size = size("/bytes/").unwrap_or(128);
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: {size}\r\n\r\n"
    );
    let first = size.min(FILL.len() - head.len());
    send_all(stream, &[head.as_bytes(), &FILL[..first]].concat()).await?;
    let mut left = size - first;
    while left > 0 {
        let now = left.min(FILL.len());
        send_all(stream, &FILL[..now]).await?;
        left -= now;
    }
    Ok(())
}

static FILL: [u8; 256 * 1024] = [b'x'; 256 * 1024];
