//! The log: framing a batch, and replaying what was framed. No disk: the writes go nowhere, the
//! replay reads a disk in memory.

use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ringkeeper::log::testing::SimDir;
use ringkeeper::log::{BatchBuilder, LogOptions, Writer, recover_in};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A create of 128 bytes comes to about this much.
const RECORD: usize = 230;

fn writer(dir: &SimDir, segment_bytes: u64) -> Writer<SimDir> {
    let (_, tail) = recover_in(Arc::new(dir.clone()), 0, &mut |_| Ok(())).expect("recovers");
    let options = LogOptions { segment_bytes, log_id: 1, ..LogOptions::default() };
    let (writer, maker) = Writer::open(tail, options).expect("opens");
    while maker.turn() {}
    writer
}

fn append(c: &mut Criterion) {
    let mut group = c.benchmark_group("frame");
    for count in [1usize, 16, 256, 4096] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(format!("append {count}"), |b| {
            let segment_bytes = 256 << 20;
            let mut log = writer(&SimDir::new(), segment_bytes);
            let mut batch = BatchBuilder::new();
            let record = vec![0x5a; RECORD];
            b.iter(|| {
                let last = log.last_zxid();
                batch.clear();
                for zxid in last + 1..=last + count as i64 {
                    batch.push(zxid, &record);
                }
                let writes = match log.frame(&batch, last, last) {
                    Ok(writes) => writes,
                    Err(_) => {
                        log = writer(&SimDir::new(), segment_bytes);
                        return;
                    }
                };
                for write in writes {
                    let len = write.buf.len();
                    log.completed(write.token, Ok(len), write.buf).expect("completes");
                }
            });
        });
    }
    group.finish();
}

fn replay(c: &mut Criterion) {
    const TRANSACTIONS: i64 = 200_000;
    let dir = SimDir::new();
    let mut log = writer(&dir, 64 << 20);
    let (mut batch, record) = (BatchBuilder::new(), vec![0x5a; RECORD]);
    for first in (1..=TRANSACTIONS).step_by(100) {
        batch.clear();
        (first..first + 100).for_each(|zxid| batch.push(zxid, &record));
        for write in log.frame(&batch, first - 1, first - 1).expect("there is room") {
            let (token, buf) = dir.submit(write);
            let written = dir.complete(token);
            log.completed(token, written, buf).expect("completes");
        }
    }
    let mut group = c.benchmark_group("recovery");
    group.throughput(Throughput::Elements(TRANSACTIONS as u64)).sample_size(10);
    group.bench_function("replay", |b| {
        b.iter_batched(
            || Arc::new(dir.copy()),
            |dir| {
                let mut bytes = 0;
                let replayed = recover_in(dir, 0, &mut |record| {
                    bytes += record.len();
                    Ok(())
                });
                let (recovered, _) = replayed.expect("recovers");
                assert_eq!(recovered.transactions, TRANSACTIONS as u64);
                bytes
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, append, replay);
criterion_main!(benches);
