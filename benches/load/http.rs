//! Small answers, by monoio-http: its codecs are made for two ends that trust each other. The head is built once and encoded
//! from a reference each time.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::Bytes;
use monoio::io::{Splitable, sink::SinkExt, stream::Stream};
use monoio::net::{TcpListener, TcpStream};
use monoio_http::common::IntoParts;
use monoio_http::common::error::HttpError;
use monoio_http::common::response::{ResponseBuilder, ResponseHead};
use monoio_http::h1::codec::decoder::RequestDecoder;
use monoio_http::h1::codec::encoder::GenericEncoder;
use monoio_http::h1::payload::{FixedPayload, Payload};

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

/// A response with all of its body.
struct Answer<'a>(&'a ResponseHead, Bytes);

impl<'a> IntoParts for Answer<'a> {
    type Parts = &'a ResponseHead;
    type Body = Payload;

    fn into_parts(self) -> (Self::Parts, Self::Body) {
        (self.0, Payload::Fixed(FixedPayload::new(self.1)))
    }
}
