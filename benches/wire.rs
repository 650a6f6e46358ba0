//! What the reading and writing of bytes costs: heads, cookies, chunks, frames.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringbolt::wire::chunked::Decoder;
use ringbolt::wire::forward::{RequestEdits, ResponseEdits, write_request, write_response};
use ringbolt::wire::request::RequestHead;
use ringbolt::wire::response::ResponseHead;
use ringbolt::wire::websocket::{FrameTracker, From};
use ringbolt::wire::{Blame, HeadLimits, cookie};

const SMALL: &[u8] = b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n";

const BROWSER: &[u8] = b"GET /socket.io/?EIO=4&transport=polling&t=OfZ8xYk&sid=Wd1cBrWYbr5h5JmGAAAC HTTP/1.1\r\n\
Host: myserver.example.com:8080\r\n\
Connection: keep-alive\r\n\
Cache-Control: no-cache\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n\
Accept: */*\r\n\
Referer: http://myserver.example.com:8080/\r\n\
Accept-Encoding: gzip, deflate\r\n\
Accept-Language: en-US,en;q=0.9\r\n\
Cookie: _ga=GA1.2.1234567890.1234567890; session=eyJ1c2VyIjoiYWxpY2UifQ.abc; theme=dark; SERVERID=bridge1; _gid=GA1.2.987\r\n\
\r\n";

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\n\
Content-Type: text/plain; charset=UTF-8\r\n\
Content-Length: 97\r\n\
cache-control: no-store\r\n\
Date: Sun, 22 Nov 2026 21:00:00 GMT\r\n\
Connection: keep-alive\r\n\
Keep-Alive: timeout=5\r\n\
\r\n";

fn heads(c: &mut Criterion) {
    let limits = HeadLimits::default();
    let mut group = c.benchmark_group("head");
    let mut request = RequestHead::new(&limits);
    for (name, buf) in [("small request", SMALL), ("browser's request", BROWSER)] {
        group.throughput(Throughput::Bytes(buf.len() as u64));
        group.bench_function(name, |b| {
            b.iter(|| request.parse(black_box(buf), 0, &limits))
        });
    }
    let mut response = ResponseHead::new(&limits);
    group.throughput(Throughput::Bytes(ANSWER.len() as u64));
    group.bench_function("response", |b| {
        b.iter(|| response.parse(black_box(ANSWER), 0, &limits));
    });
    group.throughput(Throughput::Bytes(BROWSER.len() as u64));
    group.bench_function("browser's request, byte by byte", |b| {
        b.iter(|| {
            (1..=BROWSER.len())
                .map(|size| request.parse(black_box(&BROWSER[..size]), size - 1, &limits))
                .last()
        });
    });
    group.finish();
}

fn forward(c: &mut Criterion) {
    let limits = HeadLimits::default();
    let mut group = c.benchmark_group("forward");
    let (mut request, mut response) = (RequestHead::new(&limits), ResponseHead::new(&limits));
    let (mut out, mut edits) = (Vec::with_capacity(4096), Vec::with_capacity(8));
    let _ = request.parse(BROWSER, 0, &limits);
    let _ = response.parse(ANSWER, 0, &limits);
    group.bench_function("request, cookie stripped", |b| {
        b.iter(|| {
            out.clear();
            edits.clear();
            cookie::strip(&request.fields, BROWSER, b"SERVERID", &mut edits);
            let edits = RequestEdits {
                cookies: &edits,
                forwarded_for: Some((b"X-Forwarded-For", b"192.0.2.17")),
                forwarded_proto: Some(b"http"),
                request_id: Some((b"X-Request-Id", b"0123456789abcdef")),
                ..RequestEdits::default()
            };
            write_request(&request, black_box(BROWSER), &edits, &mut out);
            out.len()
        });
    });
    group.bench_function("response, cookie added", |b| {
        b.iter(|| {
            out.clear();
            let edits = ResponseEdits {
                set_cookie: Some(b"SERVERID=bridge1; path=/"),
                ..ResponseEdits::default()
            };
            write_response(&response, black_box(ANSWER), &edits, &mut out);
            out.len()
        });
    });
    group.finish();
}

fn cookies(c: &mut Criterion) {
    let limits = HeadLimits::default();
    let mut group = c.benchmark_group("cookie");
    let mut request = RequestHead::new(&limits);
    let _ = request.parse(BROWSER, 0, &limits);
    group.bench_function("fourth of five", |b| {
        b.iter(|| cookie::crumbs(&request.fields, black_box(BROWSER), b"SERVERID").next());
    });
    let many = format!(
        "GET / HTTP/1.1\r\nHost: h\r\nCookie: {}SERVERID=bridge2\r\n\r\n",
        (0..80).fold(String::new(), |all, at| format!(
            "{all}name{at}=some-value-of-{at}; "
        ))
    );
    let _ = request.parse(many.as_bytes(), 0, &limits);
    group.bench_function("last of eighty", |b| {
        b.iter(|| cookie::crumbs(&request.fields, black_box(many.as_bytes()), b"SERVERID").next());
    });
    group.finish();
}

fn bodies(c: &mut Criterion) {
    let mut group = c.benchmark_group("stream");
    let chunk = [b"400\r\n".as_slice(), &[b'x'; 1024], b"\r\n"]
        .concat()
        .repeat(16);
    let mut decoder = Decoder::new(&HeadLimits::default(), Blame::Server);
    group.throughput(Throughput::Bytes(chunk.len() as u64));
    group.bench_function("16 chunks of 1 KiB", |b| {
        b.iter(|| decoder.step(black_box(&chunk)))
    });

    let frame = [b"\x81\xa0\x01\x02\x03\x04".as_slice(), &[b'x'; 32]].concat();
    let mut tracker = FrameTracker::new(From::Client);
    group.throughput(Throughput::Elements(1));
    group.bench_function("one frame", |b| {
        b.iter(|| tracker.advance(black_box(&frame)))
    });
    let frames = frame.repeat(100);
    group.throughput(Throughput::Elements(100));
    group.bench_function("a hundred frames", |b| {
        b.iter(|| tracker.advance(black_box(&frames)))
    });
    assert!(tracker.is_followed() && tracker.at_boundary());
    group.finish();
}

criterion_group!(benches, heads, forward, cookies, bodies);
criterion_main!(benches);
