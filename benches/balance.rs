//! What choosing a server costs a request: the turn, the cookie, the route.

use criterion::BatchSize::PerIteration;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use ringbolt::balance::sticky::{Asked, Verdict};
use ringbolt::balance::{Ask, Change, Counter, Pool, Reason, key_of};
use ringbolt::config::{
    self, Action, Address, AdminState, Admission, Balance, Clients, EmptyEnvironment, Hash,
    HashKey, HostPattern, Network, PathPattern, PoolTimeouts, Route, Secret, Secure, Server,
    Sticky, StickyMode, Timeout,
};
use ringbolt::proxy::Plan;
use ringbolt::route::{Door, Table};
use std::collections::VecDeque;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Small, usual, and far beyond what one pool should hold.
const SIZES: [u16; 3] = [3, 100, 10_000];

fn pick(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick");
    let hash = |bound| {
        Balance::Hash(Hash {
            by: HashKey::Source,
            bound,
        })
    };
    for (policy, balance) in [
        ("round robin", Balance::RoundRobin),
        ("least connections", Balance::LeastConnections),
        ("two choices", Balance::TwoChoices),
        ("first", Balance::First),
        ("hash", hash(None)),
        ("hash, bounded", hash(Some(125))),
    ] {
        for count in SIZES {
            let settings = config::Pool {
                balance: balance.clone(),
                ..pool(count, None)
            };
            let pool = Pool::new(&settings, None, 1);
            // Sessions that last, as tunnels do: two for each server.
            let mut key = 0u64;
            let mut ask = |avoid| {
                key += 1;
                let key = Some(key_of(&key.to_ne_bytes()));
                let wanted = None;
                Ask {
                    wanted,
                    avoid,
                    key,
                    ..Ask::default()
                }
            };
            let mut held: VecDeque<_> = (0..2 * count).map(|_| pool.take(&ask(None))).collect();
            group.bench_function(BenchmarkId::new(policy, count), |b| {
                b.iter(|| pool.pick(&ask(None)));
            });
            group.bench_function(BenchmarkId::new(format!("{policy}, counted"), count), |b| {
                b.iter(|| pool.take(&ask(None)));
            });
            // One comes, the oldest goes.
            group.bench_function(BenchmarkId::new(format!("{policy}, tunnels"), count), |b| {
                b.iter(|| {
                    held.push_back(pool.take(&ask(None)));
                    held.pop_front()
                });
            });
            group.bench_function(
                BenchmarkId::new(format!("{policy}, after a failure"), count),
                |b| {
                    b.iter(|| pool.pick(&ask(Some(0))));
                },
            );
        }
    }
    let pool = Pool::new(&pool(3, None), None, 1);
    group.bench_function("busy, counted", |b| {
        b.iter(|| pool.busy(1).add(0, Counter::Requests, 1));
    });
    group.finish();
}

/// What the control thread does when a server goes or comes.
fn renew(c: &mut Criterion) {
    let mut group = c.benchmark_group("renew");
    group.sample_size(10);
    let by = HashKey::Source;
    let hash = Balance::Hash(Hash { by, bound: None });
    for (policy, balance) in [
        ("round robin", Balance::RoundRobin),
        ("least connections", Balance::LeastConnections),
        ("hash", hash),
    ] {
        for count in SIZES {
            let settings = config::Pool {
                balance: balance.clone(),
                ..pool(count, None)
            };
            let pool = Pool::new(&settings, None, 1);
            group.bench_function(BenchmarkId::new(policy, count), |b| {
                b.iter(|| pool.set_weight(0, 2));
            });
        }
    }
    group.finish();
}

/// What a reload or a DNS answer costs: a plan of so many servers, the first one and one that follows it.
fn plan(c: &mut Criterion) {
    let mut group = c.benchmark_group("plan");
    group.sample_size(10);
    for (policy, balance) in policies() {
        for count in SIZES {
            let text = file(count, balance);
            let load = || config::load(Path::new("bench.toml"), &text, &EmptyEnvironment);
            let config = Arc::new(load().expect("it is right"));
            let first = Plan::new(&config, None, 2, None);
            group.bench_function(BenchmarkId::new(format!("{policy}, first"), count), |b| {
                b.iter(|| Plan::new(&config, None, 2, None));
            });
            group.bench_function(BenchmarkId::new(format!("{policy}, next"), count), |b| {
                b.iter(|| Plan::new(&config, Some(&first), 2, None));
            });
        }
    }
    for count in SIZES {
        let text = file(count, "\"round-robin\"");
        group.bench_function(BenchmarkId::new("reading the file", count), |b| {
            b.iter(|| config::load(Path::new("bench.toml"), &text, &EmptyEnvironment));
        });
    }
    group.finish();
}

/// All servers but one fail, and come back and start slowly, each step of each by itself: the control thread's work.
fn outage(c: &mut Criterion) {
    let mut group = c.benchmark_group("outage");
    group.sample_size(10);
    for (policy, balance) in policies() {
        for count in [3, 100, 1_000] {
            let text = file(count, balance).replace("# slow", "slow_start = \"15s\"");
            let config = config::load(Path::new("bench.toml"), &text, &EmptyEnvironment);
            let pool = Pool::new(&config.expect("it is right").pools[0], None, 2);
            let servers = 1..usize::from(count);
            let all = |up, at: &dyn Fn(usize) -> u64| {
                for server in servers.clone() {
                    pool.mark(server, &change(up), at(server));
                }
            };
            group.bench_function(BenchmarkId::new(format!("{policy}, down"), count), |b| {
                b.iter_batched(|| all(true, &|_| 1), |()| all(false, &|_| 1), PerIteration);
            });
            let back = || {
                all(true, &|server| 2 + server as u64);
                let mut now_ms = 2;
                while let Some(wait) = pool.advance(now_ms) {
                    now_ms += wait.as_millis() as u64;
                }
            };
            group.bench_function(
                BenchmarkId::new(format!("{policy}, slow start"), count),
                |b| b.iter_batched(|| all(false, &|_| 1), |()| back(), PerIteration),
            );
        }
    }
    group.finish();
}

/// No server has room: what the 503 costs.
fn full(c: &mut Criterion) {
    let mut group = c.benchmark_group("full");
    for (policy, balance) in policies() {
        for count in SIZES {
            let text = file(count, balance).replace("# bound", "max_connections = 1");
            let config = config::load(Path::new("bench.toml"), &text, &EmptyEnvironment);
            let pool = Pool::new(&config.expect("it is right").pools[0], None, 2);
            let mut key = 0u64;
            let mut ask = || {
                key += 1;
                Ask {
                    key: Some(key_of(&key.to_ne_bytes())),
                    ..Ask::default()
                }
            };
            let _held: Vec<_> = (0..count).map(|_| pool.take(&ask())).collect();
            group.bench_function(BenchmarkId::new(policy, count), |b| {
                b.iter(|| pool.take(&ask()).is_err());
            });
        }
    }
    group.finish();
}

fn policies() -> [(&'static str, &'static str); 4] {
    [
        ("round robin", "\"round-robin\""),
        ("least connections", "\"least-connections\""),
        ("two choices", "\"two-choices\""),
        ("hash", "{ hash = \"source\" }"),
    ]
}

/// A configuration with one pool of so many servers.
fn file(servers: u16, balance: &str) -> String {
    let mut text = format!(
        "[[listener]]\nname = \"in\"\nbind = \"127.0.0.1:80\"\ndefault_pool = \"app\"\n[pool.app]\n\
         balance = {balance}\nsticky = {{ cookie = \"SERVERID\" }}\n# slow\n"
    );
    for number in 0..servers {
        let (high, low) = (number >> 8, number & 255);
        text += &format!(
            "[[pool.app.server]]\nname = \"node{number}\"\naddress = \"10.0.{high}.{low}:3000\"\n\
             cookie = \"bridge{number}\"\ncheck = true\n# bound\n"
        );
    }
    text
}

fn change(up: bool) -> Change {
    Change {
        up,
        soft: false,
        reason: Reason::Connected,
        took: Duration::ZERO,
        lasted: Duration::ZERO,
    }
}

fn cookie(c: &mut Criterion) {
    let mut group = c.benchmark_group("cookie");
    let asked = Asked {
        path: b"/socket.io/?EIO=4&transport=polling",
        client: None,
        header: &|_, _| false,
    };
    let signed = Sticky {
        signing_keys: vec![Secret(b"0123456789abcdef0123456789abcdef".to_vec())],
        ..sticky()
    };
    for (kind, settings) in [("plain", sticky()), ("signed", signed)] {
        for count in SIZES {
            let pool = Pool::new(&pool(count, Some(settings.clone())), None, 1);
            let sticky = pool.sticky.as_ref().expect("set above");
            let last = usize::from(count) - 1;
            let mut line = Vec::with_capacity(256);
            let new = sticky.answer(&Verdict::NONE, last, b"GET", 200, false, false, 1);
            sticky.write(&new, &mut line);
            let value = line.split(|b| *b == b'=' || *b == b';').nth(1);
            let value = value.expect("a cookie has a value").to_vec();
            group.bench_function(BenchmarkId::new(format!("{kind} verdict"), count), |b| {
                b.iter(|| sticky.read(&pool.servers, [black_box(&value[..])], 1, &asked));
            });
            group.bench_function(BenchmarkId::new(format!("{kind} issue"), count), |b| {
                b.iter(|| {
                    line.clear();
                    let none = black_box(&Verdict::NONE);
                    let answer = sticky.answer(none, last, b"GET", 200, false, false, 1);
                    sticky.write(&answer, &mut line);
                    line.len()
                });
            });
        }
    }
    group.finish();
}

fn route(c: &mut Criterion) {
    let mut group = c.benchmark_group("route");
    for count in SIZES {
        let route = |n: u16| Route {
            listener: None,
            host: HostPattern::Exact(format!("host-{n}.example.com")),
            path: PathPattern::Prefix("/socket.io/".into()),
            action: Action::Pool(usize::from(n)),
            admission: Admission::default(),
            request_headers: config::HeaderChanges::default(),
            response_headers: config::HeaderChanges::default(),
        };
        let routes: Vec<_> = (0..count).map(route).collect();
        let table = Table::new(&routes, 0);
        let host = format!("Host-{}.example.com:8080", count - 1).into_bytes();
        group.bench_function(BenchmarkId::new("host and prefix", count), |b| {
            b.iter(|| table.find(black_box(&host), b"/socket.io/?EIO=4"));
        });
    }
    group.finish();
}

/// Whether a client may come in, by lists of so many networks.
fn admission(c: &mut Criterion) {
    let mut group = c.benchmark_group("admission");
    for count in SIZES {
        let network = |n: u16| Network {
            address: [10, (n >> 8) as u8, n as u8, 0].into(),
            prefix: 24,
        };
        let door = Door::new(&Admission {
            allow: None,
            deny: Clients {
                networks: (0..count).map(network).collect(),
                unix: false,
            },
        });
        let client = [10, 200, 1, 1].into();
        group.bench_function(BenchmarkId::new("not denied", count), |b| {
            b.iter(|| {
                door.as_ref()
                    .is_none_or(|door| door.admits(black_box(Some(client))))
            });
        });
    }
    group.finish();
}

fn pool(count: u16, sticky: Option<Sticky>) -> config::Pool {
    let server = |n: u16| Server {
        name: format!("node{n}"),
        address: Address::Ip(([127, 0, 0, 1], n + 1).into()),
        source: Vec::new(),
        weight: 1 + n % 2,
        tier: 0,
        slow_start: None,
        tunnel_rate: None,
        bounds: config::Bounds::NONE,
        cookie: Some(format!("bridge{n}")),
        shared_cookie: false,
        proxy_protocol: None,
        check: None,
        agent: None,
        state: AdminState::Ready,
    };
    config::Pool {
        name: "socket_servers".into(),
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
        forwarded_proto: true,
        forwarded: false,
        via: false,
        request_id: None,
        on_down: config::OnDown::Keep,
        drain: config::Drain::default(),
        sticky,
        max_queue: 1024,
        engine_io: None,
        servers: (0..count).map(server).collect(),
        templates: Vec::new(),
    }
}

fn sticky() -> Sticky {
    Sticky {
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

criterion_group!(
    benches, pick, renew, plan, outage, full, cookie, route, admission
);
criterion_main!(benches);
