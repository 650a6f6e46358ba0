//! What a line costs a worker: formatting alone, and the whole way into a block and through the queue.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringbolt::record::{
    Counts, Kind, Queue, Record, Stamp, Termination, Timers, Wanted, httplog, json,
};

/// A Socket.IO poll as browsers send it.
fn poll() -> Record<'static> {
    Record {
        client: "203.0.113.77:51734".parse().ok(),
        pool: Some("socket_servers"),
        server: Some("node1"),
        timers: Timers {
            request: 0,
            queue: 0,
            connect: 1,
            response: 24_998,
            active: 25_001,
        },
        status: 200,
        bytes_out: 214,
        bytes_in: 612,
        termination: Termination {
            cookie_request: b'V',
            cookie_response: b'N',
            ..Termination::default()
        },
        counts: Counts {
            process: 4012,
            listener: 4012,
            pool: 3977,
            server: 1990,
            ..Counts::default()
        },
        method: b"GET",
        target: b"/socket.io/?EIO=4&transport=polling&t=PMQ1bTK&sid=NlzkM8-hVpXoh_wVAAAB",
        host: b"myserver.example.com",
        request_id: b"0123456789abcdef0123456789abcdef",
        ..Record::empty(
            Kind::Exchange,
            1_795_381_533_123,
            1_795_381_558_124,
            "http-in",
        )
    }
}

fn formats(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("format");
    let record = poll();
    let mut stamp = Stamp::new(3600);
    let mut out = Vec::with_capacity(1024);
    group.throughput(Throughput::Elements(1));
    group.bench_function("httplog", |bench| {
        bench.iter(|| {
            out.clear();
            httplog(black_box(&record), &mut stamp, &mut out);
            black_box(out.len())
        });
    });
    group.bench_function("json", |bench| {
        bench.iter(|| {
            out.clear();
            json(black_box(&record), &mut stamp, &mut out);
            black_box(out.len())
        });
    });
    group.finish();
}

fn access(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("access");
    let record = poll();
    group.throughput(Throughput::Elements(1));
    for (name, wanted) in [
        ("nobody", Wanted::default()),
        (
            "httplog",
            Wanted {
                httplog: true,
                ..Wanted::default()
            },
        ),
    ] {
        let queue = Queue::new(|| {});
        queue.set_wanted(wanted);
        let mut log = queue.log();
        group.bench_function(name, |bench| {
            bench.iter(|| {
                log.access(black_box(&record));
                // A writer that keeps up.
                if let Some(block) = queue.take() {
                    queue.recycle(block);
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, formats, access);
criterion_main!(benches);
