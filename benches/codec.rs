//! What the codecs and `prepare` cost a request, in time of the processor: a crowded machine makes it
//! less wrong than time on the wall.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Bencher, Criterion, Throughput, criterion_group, criterion_main};
use ringkeeper::jute::Decoder;
use ringkeeper::prepare::{Outcome, Output, PrepareConfig, Request, prepare};
use ringkeeper::protocol::{
    AclRef, CreateRequest, DeleteRequest, GetDataRequest, MultiOp, OpCode, SetDataRequest, Stat,
    end_multi, put_stat,
};
use ringkeeper::tree::{self, TreeConfig, TreeWriter};
use ringkeeper::txn::decode_record;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long this thread has run.
fn thread_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a timespec to be filled.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0, "every Linux has this clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn measure<T>(b: &mut Bencher<'_>, mut work: impl FnMut() -> T) {
    b.iter_custom(|times| {
        let start = thread_time();
        for _ in 0..times {
            black_box(work());
        }
        thread_time().saturating_sub(start)
    });
}

const SESSION: i64 = 0x100;
const DATA: [u8; 128] = [7; 128];

fn body(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out);
    out
}

fn create(path: &str, flags: i32) -> Vec<u8> {
    let acl = vec![AclRef::ANYONE_ALL];
    body(|out| CreateRequest { path, data: Some(&DATA), acl, flags }.encode(out))
}

fn set_data(path: &str) -> Vec<u8> {
    body(|out| SetDataRequest { path, data: Some(&DATA), version: -1 }.encode(out))
}

/// A tree with sessions and znodes, and what preparing needs beside it.
struct Core {
    tree: TreeWriter,
    config: PrepareConfig,
    out: Output,
    zxid: i64,
}

impl Core {
    fn new(znodes: usize) -> Self {
        let config = PrepareConfig { digest_enabled: true, ..PrepareConfig::default() };
        let tree = tree::new(TreeConfig::default());
        let mut core = Core { tree, config, out: Output::new(), zxid: 0 };
        for session in 0..1000 {
            core.send(SESSION + session, OpCode::CreateSession, &4000_i32.to_be_bytes());
        }
        core.send(SESSION, OpCode::Create, &create("/bench", 0));
        for n in 0..znodes {
            core.send(SESSION, OpCode::Create, &create(&format!("/bench/node{n:06}"), 0));
        }
        core
    }

    /// Prepares, publishes, and from time to time reclaims, as the ensemble core does.
    fn send(&mut self, session_id: i64, op: OpCode, body: &[u8]) {
        self.zxid += 1;
        let (identities, now_ms) = (&[][..], self.zxid);
        let request = Request { session_id, cxid: 1, op, body, identities, moved: false, now_ms };
        let outcome = prepare(&mut self.tree, &self.config, &request, self.zxid, &mut self.out);
        assert!(matches!(outcome, Outcome::Prepared(p) if p.error.is_ok()), "{op:?} {outcome:?}");
        if self.zxid % 64 == 0 {
            self.tree.publish(self.zxid);
            while self.tree.reclaim(1024) > 0 {}
        }
    }
}

fn codecs(c: &mut Criterion) {
    let mut group = c.benchmark_group("codec");
    group.throughput(Throughput::Elements(1));
    let get = body(|out| GetDataRequest { path: "/bench/node000001", watch: false }.encode(out));
    group.bench_function("decode getData", |b| {
        measure(b, || GetDataRequest::decode(&mut Decoder::new(black_box(&get))));
    });
    let set = set_data("/bench/node000001");
    group.bench_function("decode setData, 128 bytes", |b| {
        measure(b, || SetDataRequest::decode(&mut Decoder::new(black_box(&set))));
    });
    let create = create("/bench/node000001", 0);
    group.bench_function("decode create, 128 bytes", |b| {
        measure(b, || CreateRequest::decode(&mut Decoder::new(black_box(&create))));
    });
    let mut out = Vec::with_capacity(4096);
    group.bench_function("encode a Stat", |b| {
        measure(b, || {
            out.clear();
            put_stat(&mut out, black_box(&Stat::default()));
        });
    });
    let mut core = Core::new(1);
    core.send(SESSION, OpCode::SetData, &set_data("/bench/node000000"));
    let txn = core.out.txn.clone();
    group.bench_function("decode a setData transaction", |b| {
        measure(b, || decode_record(black_box(&txn)).is_ok());
    });
    group.finish();
}

fn preparing(c: &mut Criterion) {
    let mut group = c.benchmark_group("prepare");
    group.throughput(Throughput::Elements(1));
    for znodes in [100, 100_000] {
        let mut core = Core::new(znodes);
        let requests: Vec<_> =
            (0..znodes).map(|n| set_data(&format!("/bench/node{n:06}"))).collect();
        let mut n = 0;
        group.bench_function(format!("setData, 128 bytes, {znodes} znodes"), |b| {
            measure(b, || {
                // A stride that visits all of them, far from each other.
                n = (n + 7919) % znodes;
                core.send(SESSION + (n % 1000) as i64, OpCode::SetData, &requests[n]);
            });
        });
    }
    let mut core = Core::new(0);
    let (numbered, gone) = (create("/bench/s-", 2), create("/bench/gone", 0));
    group.bench_function("create, numbered, 128 bytes", |b| {
        measure(b, || core.send(SESSION, OpCode::Create, &numbered));
    });
    let delete = body(|out| DeleteRequest { path: "/bench/gone", version: -1 }.encode(out));
    group.bench_function("create and delete", |b| {
        measure(b, || {
            core.send(SESSION, OpCode::Create, &gone);
            core.send(SESSION, OpCode::Delete, &delete);
        });
    });
    let multi = body(|out| {
        let request = SetDataRequest { path: "/bench", data: Some(&DATA), version: -1 };
        for _ in 0..10 {
            MultiOp::SetData(request).encode(out);
        }
        end_multi(out);
    });
    group.bench_function("multi of 10 setData", |b| {
        measure(b, || core.send(SESSION, OpCode::Multi, &multi));
    });
    group.finish();
}

criterion_group!(benches, codecs, preparing);
criterion_main!(benches);
