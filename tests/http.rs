//! Exchanges over HTTP/1.1, byte by byte.

#![allow(clippy::unwrap_used, reason = "tests")]

#[macro_use]
mod support;

use support::{Driver, Proxy, Server};

on_both_drivers!(a_request_reaches_the_server_and_its_answer_the_client);

fn a_request_reaches_the_server_and_its_answer_the_client(on: Driver) {
    let server = Server::named("one");
    let proxy = Proxy::before(on, &[&server]);
    let reply = proxy.get("/hello?x=1");
    assert_eq!((reply.status(), reply.text().as_str()), (200, "one"));
    assert_eq!(server.last_request().start, "GET /hello?x=1 HTTP/1.1");
}
