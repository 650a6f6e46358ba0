//! Small requests and their answers, both by monoio-http: its codecs are made for two ends that trust each other.
//!
//! Heads are built once and encoded from a reference each time. The decoder that hands a body over by a
//! channel is used on both sides, since the client codec of the crate is consumed by the first body it reads.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use bytes::Bytes;
use monoio::io::{Splitable, sink::SinkExt, stream::Stream};
use monoio::net::{TcpListener, TcpStream};
use monoio_http::common::IntoParts;
use monoio_http::common::body::BodyExt;
use monoio_http::common::error::HttpError;
use monoio_http::common::request::{RequestBuilder, RequestHead};
use monoio_http::common::response::{ResponseBuilder, ResponseHead};
use monoio_http::h1::codec::decoder::{FillPayload, RequestDecoder, ResponseDecoder};
use monoio_http::h1::codec::encoder::GenericEncoder;
use monoio_http::h1::payload::{FixedPayload, Payload};

use crate::Aim;
use crate::tally::Tally;

/// Starts that many clients, each on a connection of its own.
pub(crate) fn start_clients(aim: &Aim, connections: usize, tally: &Tally) {
    for _ in 0..connections {
        let (aim, tally) = (aim.clone(), tally.clone());
        monoio::spawn(async move {
            match client(&aim, &tally).await {
                Ok(()) => tally.error(&"the proxy closed a connection"),
                Err(error) => tally.error(&error),
            }
        });
    }
}

/// Asks until the connection ends. Keeps the persistence cookie, as a browser does.
async fn client(aim: &Aim, tally: &Tally) -> Result<(), HttpError> {
    let stream = TcpStream::connect_addr(aim.target).await?;
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    let mut decoder = ResponseDecoder::new(reader);
    let mut encoder = GenericEncoder::new(writer);
    let mut head = request(&aim.host);
    loop {
        let begun = Instant::now();
        encoder.send_and_flush(Ask(&head)).await?;
        let Some(response) = decoder.next().await else {
            return Ok(());
        };
        let response = response?;
        decoder.fill_payload().await?;
        let (answer, body) = response.into_parts();
        let length = body.bytes().await?.len();
        tally.unit(begun.elapsed());
        if answer.status.as_u16() != 200 || length == 0 {
            tally.error(&format_args!(
                "answer {} with {length} bytes",
                answer.status
            ));
        }
        if let Some(cookie) = answer.headers.get("set-cookie") {
            let pair = cookie
                .as_bytes()
                .split(|&byte| byte == b';')
                .next()
                .unwrap_or_default();
            let value = [b"theme=dark; ", pair].concat();
            head.headers.insert(
                "cookie",
                value.try_into().expect("part of a field value is one"),
            );
        }
    }
}

/// A request of about 200 bytes, as small ones are.
fn request(host: &str) -> RequestHead {
    RequestBuilder::new()
        .uri("/api/state?room=42")
        .header("host", host)
        .header("user-agent", "ringbolt-bench/1")
        .header("accept", "application/json, text/plain, */*")
        .header("accept-encoding", "gzip, deflate")
        .header("cookie", "theme=dark; SERVERID=unset")
        .body(())
        .expect("a request of valid parts")
        .into_parts()
        .0
}

/// Serves `body` bytes for whatever is asked.
pub(crate) fn start_server(address: SocketAddr, body: usize) -> io::Result<()> {
    let listener = TcpListener::bind(address)?;
    let answer = Rc::new((response(), Bytes::from(vec![b'x'; body.max(1)])));
    monoio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answer.clone();
            monoio::spawn(async move { serve(stream, &answer.0, &answer.1).await });
        }
    });
    Ok(())
}

async fn serve(stream: TcpStream, head: &ResponseHead, body: &Bytes) -> Result<(), HttpError> {
    stream.set_nodelay(true)?;
    let (reader, writer) = stream.into_split();
    let mut decoder = RequestDecoder::new(reader);
    let mut encoder = GenericEncoder::new(writer);
    while let Some(request) = decoder.next().await {
        request?;
        encoder.send_and_flush(Answer(head, body.clone())).await?;
    }
    Ok(())
}

fn response() -> ResponseHead {
    ResponseBuilder::new()
        .header("content-type", "application/json")
        .header("date", "Thu, 01 Jan 2026 00:00:00 GMT")
        .body(())
        .expect("a response of valid parts")
        .into_parts()
        .0
}

/// A request without a body.
struct Ask<'a>(&'a RequestHead);

impl<'a> IntoParts for Ask<'a> {
    type Parts = &'a RequestHead;
    type Body = Payload;

    fn into_parts(self) -> (Self::Parts, Self::Body) {
        (self.0, Payload::None)
    }
}

/// A response with all of its body.
struct Answer<'a>(&'a ResponseHead, Bytes);

impl<'a> IntoParts for Answer<'a> {
    type Parts = &'a ResponseHead;
    type Body = Payload;

    fn into_parts(self) -> (Self::Parts, Self::Body) {
        (self.0, Payload::Fixed(FixedPayload::new(self.1)))
    }
}
