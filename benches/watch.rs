//! What a trigger costs by the number of watchers, in a table that holds many other watches.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ringkeeper::protocol::EventType;
use ringkeeper::watch::{WatchKind, WatchLimits, WatchTable};

const PATH: &str = "/services/payments/instances/hot";

/// 500 connections watch the same 200 paths: 100,000 watches that have nothing to do with `PATH`.
fn crowded() -> WatchTable {
    let mut table = WatchTable::new(WatchLimits::default());
    for path in 0..200 {
        for conn in 0..500 {
            let path = format!("/services/other/instances/{path:010}");
            table.add(conn, &path, WatchKind::Data).expect("within the limits");
        }
    }
    table
}

fn arm(table: &mut WatchTable, watchers: u32, kind: WatchKind) {
    for conn in 0..watchers {
        table.add(conn, PATH, kind).expect("within the limits");
    }
}

fn trigger(c: &mut Criterion) {
    let mut group = c.benchmark_group("trigger");
    let mut out = Vec::new();
    let mut table = crowded();
    let mut fire = |table: &mut WatchTable| {
        out.clear();
        table.trigger(EventType::NodeDataChanged, black_box(PATH), &mut out);
        out.len()
    };
    group.bench_function("nobody", |b| b.iter(|| fire(&mut table)));
    table.add(1, "/config", WatchKind::PersistentRecursive).expect("within the limits");
    group.bench_function("nobody, one recursive watch elsewhere", |b| b.iter(|| fire(&mut table)));
    for watchers in [1, 2_000] {
        group.throughput(Throughput::Elements(u64::from(watchers)));
        group.bench_function(format!("{watchers} one-shot, armed again"), |b| {
            b.iter(|| {
                arm(&mut table, watchers, WatchKind::Data);
                fire(&mut table)
            });
        });
        arm(&mut table, watchers, WatchKind::Persistent);
        group.bench_function(format!("{watchers} persistent"), |b| b.iter(|| fire(&mut table)));
        for conn in 0..watchers {
            let _ = table.remove(conn, PATH, ringkeeper::protocol::WatcherType::Any);
        }
    }
    group.finish();
}

fn connections(c: &mut Criterion) {
    let mut group = c.benchmark_group("connection");
    let mut table = crowded();
    group.bench_function("goes with its 200 watches of 100,000 and comes back", |b| {
        let paths: Vec<String> =
            (0..200).map(|path| format!("/services/other/instances/{path:010}")).collect();
        b.iter_batched(
            || (),
            |()| {
                table.remove_conn(77);
                for path in &paths {
                    table.add(77, path, WatchKind::Data).expect("within the limits");
                }
            },
            BatchSize::SmallInput,
        );
    });
    group.finish();
}

criterion_group!(benches, trigger, connections);
criterion_main!(benches);
