//! Another implementation at both ends: monoio-http as the server behind and the client before.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use bytes::Bytes;
use monoio::io::Splitable as _;
use monoio::io::sink::SinkExt as _;
use monoio::io::stream::Stream as _;
use monoio::net::{TcpListener, TcpStream};
use monoio_http::common::request::Request;
use monoio_http::common::response::Response;
use monoio_http::h1::codec::decoder::{FillPayload as _, RequestDecoder, ResponseDecoder};
use monoio_http::h1::codec::encoder::GenericEncoder;
use monoio_http::h1::payload::{FixedPayload, Payload};
use support::{Driver, Setup};

on_both_drivers!(exchanges_pass_between_its_client_and_its_server);

fn exchanges_pass_between_its_client_and_its_server(on: Driver) {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || run(serve(tell)));
    let address: std::net::SocketAddr = told.recv().unwrap();
    let setup = Setup::new(on).sticky("cookie = \"SERVERID\"");
    let proxy = setup
        .server_at("other", &address.to_string(), "cookie = \"a\"")
        .start();
    let through = proxy.address();
    run(async move {
        let (reading, writing) = TcpStream::connect(through).await.unwrap().into_split();
        let mut sender = GenericEncoder::new(writing);
        let mut receiver = ResponseDecoder::new(reading);
        for number in 0..50 {
            let body = format!("body number {number}, {}", "x".repeat(number * 100));
            sender.send_and_flush(post(number, &body)).await.unwrap();
            let response: Response = receiver.next().await.unwrap().unwrap();
            assert_eq!(response.status().as_u16(), 200);
            let cookie = response
                .headers()
                .get("set-cookie")
                .unwrap()
                .to_str()
                .unwrap();
            assert_eq!(cookie, "SERVERID=a; Path=/");
            assert_eq!(
                response.headers().get("x-target").unwrap(),
                &format!("/{number}")
            );
            assert_eq!(response.headers().get("x-client").unwrap(), "127.0.0.1");
            let Payload::Fixed(payload) = response.into_body() else {
                panic!("a body by length")
            };
            receiver.fill_payload().await.unwrap();
            assert_eq!(whole(payload).await, body.as_bytes());
        }
    });
}

fn run(future: impl Future<Output = ()>) {
    let builder = monoio::RuntimeBuilder::<monoio::LegacyDriver>::new().enable_all();
    builder.build().unwrap().block_on(future);
}

fn post(number: usize, body: &str) -> Request {
    let payload = FixedPayload::new(Bytes::copy_from_slice(body.as_bytes()));
    let builder = Request::<()>::builder()
        .method("POST")
        .uri(format!("/{number}"));
    builder
        .header("Host", "example.com")
        .body(Payload::Fixed(payload))
        .unwrap()
}

/// A server that sends every body back.
async fn serve(tell: std::sync::mpsc::Sender<std::net::SocketAddr>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    tell.send(listener.local_addr().unwrap()).unwrap();
    while let Ok((stream, _)) = listener.accept().await {
        monoio::spawn(async move {
            let (reading, writing) = stream.into_split();
            let mut sender = GenericEncoder::new(writing);
            let mut receiver = RequestDecoder::new(reading);
            while let Some(Ok(request)) = receiver.next().await {
                let request: Request = request;
                let target = request.uri().to_string();
                let client = request.headers().get("x-forwarded-for").unwrap().clone();
                let Payload::Fixed(payload) = request.into_body() else {
                    panic!("a body by length")
                };
                receiver.fill_payload().await.unwrap();
                let body: FixedPayload = FixedPayload::new(Bytes::from(whole(payload).await));
                let response = Response::<()>::builder()
                    .header("X-Target", target)
                    .header("X-Client", client)
                    .body(Payload::Fixed(body))
                    .unwrap();
                sender.send_and_flush(response).await.unwrap();
            }
        });
    }
}

async fn whole(mut payload: FixedPayload) -> Vec<u8> {
    match payload.next().await {
        Some(Ok(bytes)) => bytes.to_vec(),
        _ => Vec::new(),
    }
}
