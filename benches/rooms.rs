//! The pure rooms on fixed input, so many times: `scripts/instructions` counts what they execute. Not a bench that is
//! timed; those are wire.rs, balance.rs and record.rs.
//!
//! ```text
//! rooms PART TIMES
//! ```

use std::hint::black_box;
use std::path::Path;

use ringbolt::balance::{Ask, Pool};
use ringbolt::config::{self, EmptyEnvironment};
use ringbolt::record::{Kind, Record, Stamp, Termination, httplog};
use ringbolt::route::Table;
use ringbolt::wire::forward::{RequestEdits, ResponseEdits, write_request, write_response};
use ringbolt::wire::request::RequestHead;
use ringbolt::wire::response::ResponseHead;
use ringbolt::wire::websocket::{FrameTracker, From};
use ringbolt::wire::{HeadLimits, cookie};

/// Parsers read words, so what they execute depends on where their input begins.
#[repr(align(64))]
struct Aligned<const N: usize>([u8; N]);

const REQUEST: &[u8] = &Aligned(*b"GET /socket.io/?EIO=4&transport=polling&t=OfZ8xYk&sid=Wd1cBrWYbr5h5JmGAAAC HTTP/1.1\r\n\
Host: myserver.example.com:8080\r\nConnection: keep-alive\r\nCache-Control: no-cache\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n\
Accept: */*\r\nReferer: http://myserver.example.com:8080/\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: en-US,en;q=0.9\r\n\
Cookie: _ga=GA1.2.1234567890.1234567890; theme=dark; SERVERID=bridge1; _gid=GA1.2.987\r\n\r\n").0;

const RESPONSE: &[u8] = &Aligned(*b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Length: 97\r\n\
cache-control: no-store\r\nDate: Sun, 22 Nov 2026 21:00:00 GMT\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n").0;

const CONFIG: &str = "[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:0\"\n\
[[route]]\nhost = \"myserver.example.com\"\npath_prefix = \"/socket.io/\"\npool = \"app\"\n\
[[route]]\nhost = \"*.example.com\"\npool = \"app\"\n\
[[pool.app.server]]\nname = \"one\"\naddress = \"127.0.0.1:1\"\n\
[[pool.app.server]]\nname = \"two\"\naddress = \"127.0.0.1:2\"\nweight = 3\n";

fn main() {
    let mut arguments = std::env::args().skip(1);
    let part = arguments.next().unwrap_or_default();
    let times = arguments.next().and_then(|times| times.parse::<u64>().ok());
    let Some(mut work) = work(&part).filter(|_| times.is_some()) else {
        eprintln!(
            "rooms PART TIMES, where PART is one of {}",
            PARTS.join(", ")
        );
        std::process::exit(2);
    };
    for _ in 0..times.unwrap_or_default() {
        work();
    }
}

const PARTS: [&str; 8] = [
    "request-head",
    "request-forward",
    "response-head",
    "response-forward",
    "route",
    "pick",
    "log-line",
    "frame",
];

fn work(part: &str) -> Option<Box<dyn FnMut()>> {
    let limits = HeadLimits::default();
    let (mut request, mut response) = (RequestHead::new(&limits), ResponseHead::new(&limits));
    let _ = (
        request.parse(REQUEST, 0, &limits),
        response.parse(RESPONSE, 0, &limits),
    );
    let mut out = Vec::with_capacity(4096);
    Some(match part {
        "request-head" => Box::new(move || {
            let _ = black_box(request.parse(black_box(REQUEST), 0, &limits));
        }),
        "request-forward" => {
            let mut edits = Vec::with_capacity(8);
            Box::new(move || {
                out.clear();
                edits.clear();
                cookie::strip(&request.fields, REQUEST, b"SERVERID", &mut edits);
                let edits = RequestEdits {
                    cookies: &edits,
                    forwarded_for: Some((b"X-Forwarded-For", b"192.0.2.17")),
                    forwarded_proto: Some(b"http"),
                    request_id: Some((b"X-Request-Id", b"0123456789abcdef0123456789abcdef")),
                    ..RequestEdits::default()
                };
                write_request(&request, black_box(REQUEST), &edits, &mut out);
                black_box(&out);
            })
        }
        "response-head" => Box::new(move || {
            let _ = black_box(response.parse(black_box(RESPONSE), 0, &limits));
        }),
        "response-forward" => Box::new(move || {
            out.clear();
            let edits = ResponseEdits {
                set_cookie: Some(b"SERVERID=bridge1; path=/"),
                ..ResponseEdits::default()
            };
            write_response(&response, black_box(RESPONSE), &edits, &mut out);
            black_box(&out);
        }),
        "route" => {
            let table = table();
            Box::new(move || {
                black_box(table.find(
                    black_box(b"myserver.example.com"),
                    black_box(b"/socket.io/"),
                ));
            })
        }
        "pick" => {
            let pool = Pool::new(&loaded().pools[0], None, 1);
            Box::new(move || drop(black_box(pool.take(&Ask::default()))))
        }
        "log-line" => {
            let mut stamp = Stamp::new(3600);
            Box::new(move || {
                out.clear();
                httplog(black_box(&record()), &mut stamp, &mut out);
                black_box(&out);
            })
        }
        "frame" => {
            let frame = [b"\x81\xa0\x01\x02\x03\x04".as_slice(), &[b'x'; 32]].concat();
            let mut tracker = FrameTracker::new(From::Client);
            Box::new(move || tracker.advance(black_box(&frame)))
        }
        _ => return None,
    })
}

fn loaded() -> config::Config {
    config::load(Path::new("rooms.toml"), CONFIG, &EmptyEnvironment).expect("a good configuration")
}

fn table() -> Table {
    Table::new(&loaded().routes, 0)
}

fn record() -> Record<'static> {
    Record {
        client: "203.0.113.77:51734".parse().ok(),
        pool: Some("socket_servers"),
        server: Some("node1"),
        status: 200,
        bytes_out: 214,
        bytes_in: 612,
        termination: Termination {
            cookie_request: b'V',
            cookie_response: b'N',
            ..Termination::default()
        },
        method: b"GET",
        target: b"/socket.io/?EIO=4&transport=polling&t=PMQ1bTK&sid=NlzkM8-hVpXoh_wVAAAB",
        ..Record::empty(
            Kind::Exchange,
            1_795_381_533_123,
            1_795_381_558_124,
            "http-in",
        )
    }
}
