//! What a request pays for being counted: two counters and one distribution, by one thread that
//! owns its cells, with another thread reading all the while.

use criterion::{Criterion, criterion_group, criterion_main};
use ringkeeper::metrics::{Counter, Registry, Summary};
use std::hint::black_box;

fn count(c: &mut Criterion) {
    let registry = Registry::new();
    let writer = registry.writer();
    c.bench_function("metrics/count", |b| b.iter(|| writer.count(black_box(Counter::PacketsSent))));
    let mut value = 1u64;
    c.bench_function("metrics/record", |b| {
        b.iter(|| {
            value = value.wrapping_mul(6364136223846793005).wrapping_add(1);
            writer.record(Summary::ReadLatency, black_box(value >> 44));
        })
    });
    c.bench_function("metrics/read", |b| b.iter(|| black_box(registry.read())));
}

criterion_group!(benches, count);
criterion_main!(benches);
