//! Sessions between a client, us and servers: what each cookie leads to.

mod answer;
mod dated;
mod properties;
mod read;
mod signed;

use super::super::{Change, Pool, Reason};
use super::*;
use crate::config::{
    Address, AdminState, Balance, Check, Network, PoolTimeouts, Secret, Secure, StickyMode, Timeout,
};
use std::time::Duration;

/// `sticky = { cookie = "SERVERID" }`
pub(super) fn settings() -> config::Sticky {
    config::Sticky {
        cookie: "SERVERID".into(),
        mode: StickyMode::Insert,
        indirect: true,
        nocache: true,
        postonly: false,
        preserve: false,
        persist: false,
        http_only: false,
        secure: Secure::Auto,
        same_site: None,
        partitioned: false,
        domain: Vec::new(),
        path: "/".into(),
        max_age: None,
        attributes: Vec::new(),
        max_idle: None,
        max_life: None,
        dynamic_key: None,
        signing_keys: Vec::new(),
        force: Vec::new(),
        ignore: Vec::new(),
    }
}

/// Servers a, b, … on ports 3000, 3001, … with these keys; `""` is none.
pub(in super::super) fn pool_settings(
    sticky: Option<config::Sticky>,
    keys: &[&str],
) -> config::Pool {
    let server = |(at, key): (u16, &&str)| config::Server {
        name: char::from(b'a' + (at % 26) as u8).to_string() + &at.to_string(),
        address: Address::Ip(([127, 0, 0, 1], 3000 + at).into()),
        source: Vec::new(),
        weight: 1,
        tier: 0,
        slow_start: None,
        tunnel_rate: None,
        bounds: config::Bounds::NONE,
        cookie: (!key.is_empty()).then(|| (*key).to_owned()),
        shared_cookie: true,
        proxy_protocol: None,
        check: Some(Check::PLAIN),
        agent: None,
        state: AdminState::Ready,
    };
    config::Pool {
        name: "p".into(),
        balance: Balance::RoundRobin,
        retries: 3,
        redispatch: true,
        retry: None,
        passive: None,
        upgrade_protocols: Vec::new(),
        response_parsing: config::ResponseParsing::Strict,
        panic_threshold: 0,
        timeouts: PoolTimeouts {
            connect: Timeout::Never,
            server: Timeout::Never,
            tunnel: Timeout::Never,
            queue: Timeout::Never,
        },
        forwarded_for: None,
        forwarded_proto: false,
        forwarded: false,
        via: false,
        request_id: None,
        on_down: config::OnDown::Keep,
        drain: config::Drain::default(),
        sticky,
        max_queue: 1024,
        engine_io: None,
        servers: (0..).zip(keys).map(server).collect(),
        templates: Vec::new(),
    }
}

fn pool(sticky: config::Sticky, keys: &[&str]) -> Pool {
    Pool::new(&pool_settings(Some(sticky), keys), None, 1)
}

fn two(sticky: config::Sticky) -> Pool {
    pool(sticky, &["bridge1", "bridge2"])
}

fn down(pool: &Pool, server: usize) {
    let change = Change {
        up: false,
        soft: false,
        reason: Reason::Refused,
        took: Duration::ZERO,
        lasted: Duration::ZERO,
    };
    pool.mark(server, &change, 1);
}

fn asked<'a>(path: &'a str) -> Asked<'a> {
    Asked {
        path: path.as_bytes(),
        client: None,
        header: &|_, _| false,
    }
}

const NOW: u64 = 1_800_000_000;

fn read_at(pool: &Pool, values: &[&str], now: u64) -> Verdict {
    let sticky = pool.sticky.as_ref().unwrap();
    let values = values.iter().map(|v| v.as_bytes());
    sticky.read(&pool.servers, values, now, &asked("/"))
}

fn read(pool: &Pool, values: &[&str]) -> Verdict {
    read_at(pool, values, NOW)
}

/// The `Set-Cookie` of a 200 to a GET, at `now`.
fn issued_at(pool: &Pool, verdict: &Verdict, chosen: usize, now: u64) -> (String, char) {
    let sticky = pool.sticky.as_ref().unwrap();
    let answer = sticky.answer(verdict, chosen, b"GET", 200, false, false, now);
    let mut line = Vec::new();
    sticky.write(&answer, &mut line);
    assert_eq!(answer.issue == Issue::Nothing, line.is_empty());
    (String::from_utf8(line).unwrap(), char::from(answer.letter))
}

fn issued(pool: &Pool, verdict: &Verdict, chosen: usize) -> (String, char) {
    issued_at(pool, verdict, chosen, NOW)
}

/// The value between the name and the attributes.
fn value_of(line: &str) -> String {
    let rest = line.strip_prefix("SERVERID=").unwrap();
    rest.split(';').next().unwrap().to_owned()
}

fn seen(pool: &Pool, values: &[&str]) -> (char, Option<usize>) {
    let verdict = read(pool, values);
    (char::from(verdict.letter), verdict.server)
}

fn signed(secrets: &[&str]) -> config::Sticky {
    let secret = |s: &&str| Secret(s.as_bytes().to_vec());
    config::Sticky {
        signing_keys: secrets.iter().map(secret).collect(),
        max_idle: Some(Duration::from_secs(100)),
        ..settings()
    }
}
