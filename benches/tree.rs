//! The tree: reads, and transactions through `apply`, on a million znodes. Says first how many resident
//! bytes a znode takes.

use criterion::{Criterion, criterion_group, criterion_main};
use ringkeeper::protocol::AclRef;
use ringkeeper::tree::apply::apply;
use ringkeeper::tree::{Reader, TreeConfig, TreeWriter, new};
use ringkeeper::txn::{Txn, TxnHeader, TxnType};
use std::hint::black_box;

#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ZNODES: usize = 1_000_000;
const FOLDERS: usize = 1000;
const DATA: [u8; 128] = [0x5a; 128];
/// How many changes a publication covers, as the core's batches do.
const BATCH: i64 = 64;

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("/proc/self/statm");
    let pages = statm.split_whitespace().nth(1).and_then(|p| p.parse::<usize>().ok());
    pages.expect("resident pages in /proc/self/statm") * 4096
}

/// A writer that publishes and reclaims as the core does.
struct Core {
    tree: TreeWriter,
    reader: Reader,
    zxid: i64,
}

impl Core {
    fn new() -> Self {
        let tree = new(TreeConfig::default());
        let reader = tree.shared().reader().expect("a fresh tree has room for a reader");
        Self { tree, reader, zxid: 0 }
    }

    fn apply(&mut self, kind: TxnType, txn: &Txn<'_>) {
        self.zxid += 1;
        let header = TxnHeader { client_id: 1, cxid: 1, zxid: self.zxid, time_ms: self.zxid, kind };
        let applied = apply(&mut self.tree, &header, txn).expect("a sound transaction");
        debug_assert_eq!(applied.err as i32, 0);
        black_box(&applied);
        if self.zxid % BATCH == 0 {
            self.tree.publish(self.zxid);
            self.reader.advance(self.zxid);
            self.reader.quiesce();
            self.tree.reclaim(4 * BATCH as usize);
        }
    }

    fn create(&mut self, path: &str, data: &[u8]) {
        let acl = vec![AclRef::ANYONE_ALL];
        let (ephemeral, parent_cversion) = (false, -1);
        let txn = Txn::Create { path, data: Some(data), acl, ephemeral, parent_cversion };
        self.apply(TxnType::Create, &txn);
    }
}

fn path(n: usize) -> String {
    format!("/bench/{}/n{n}", n % FOLDERS)
}

fn fill(core: &mut Core) {
    core.create("/bench", b"");
    (0..FOLDERS).for_each(|f| core.create(&format!("/bench/{f}"), b""));
    let mut path = String::new();
    for n in 0..ZNODES {
        use std::fmt::Write;
        path.clear();
        let _ = write!(path, "/bench/{}/n{n}", n % FOLDERS);
        core.create(&path, &DATA);
    }
    core.tree.publish(core.zxid);
    core.reader.advance(core.zxid);
    core.reader.quiesce();
    while core.tree.reclaim(10_000) > 0 {}
}

/// Numbers in no order, each as likely.
struct Scattered(u64);

impl Scattered {
    fn next(&mut self, below: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }
}

fn tree(c: &mut Criterion) {
    let before = resident_bytes();
    let mut core = Core::new();
    let begun = std::time::Instant::now();
    fill(&mut core);
    let seconds = begun.elapsed().as_secs_f64();
    let bytes = (resident_bytes() - before) / ZNODES;
    println!(
        "{ZNODES} znodes of {} bytes: {bytes} resident bytes each, filled in {seconds:.2} s",
        DATA.len()
    );
    let paths: Vec<String> = (0..ZNODES).map(path).collect();
    let mut numbers = Scattered(1);
    let mut group = c.benchmark_group("tree");

    group.bench_function("get scattered", |b| {
        let at = core.reader.zxid();
        b.iter(|| {
            let node = core.reader.get(&paths[numbers.next(ZNODES)], at).expect("it is there");
            black_box((node.stat(), node.data()))
        });
    });
    group.bench_function("get hot", |b| {
        let at = core.reader.zxid();
        b.iter(|| {
            let node = core.reader.get(&paths[numbers.next(256)], at).expect("it is there");
            black_box((node.stat(), node.data()))
        });
    });
    group.bench_function("16 gets scattered, fetched ahead", |b| {
        let at = core.reader.zxid();
        b.iter(|| {
            let batch: [&str; 16] = std::array::from_fn(|_| paths[numbers.next(ZNODES)].as_str());
            core.reader.warm(batch);
            for path in batch {
                let node = core.reader.get(path, at).expect("it is there");
                black_box((node.stat(), node.data()));
            }
        });
    });
    group.bench_function("set_data scattered", |b| {
        b.iter(|| {
            let path = &paths[numbers.next(ZNODES)];
            let txn = Txn::SetData { path, data: Some(&DATA), version: 1 };
            core.apply(TxnType::SetData, &txn);
        });
    });
    group.bench_function("set_data hot", |b| {
        b.iter(|| {
            let path = &paths[numbers.next(256)];
            let txn = Txn::SetData { path, data: Some(&DATA), version: 1 };
            core.apply(TxnType::SetData, &txn);
        });
    });
    group.bench_function("create and delete", |b| {
        b.iter(|| {
            let path = format!("/bench/{}/new", numbers.next(FOLDERS));
            core.create(&path, &DATA);
            core.apply(TxnType::Delete, &Txn::Delete { path: &path });
        });
    });
    group.bench_function("list 1000 children", |b| {
        let at = core.reader.zxid();
        b.iter(|| {
            let node = core.reader.get("/bench/7", at).expect("it is there");
            black_box(node.children().map(str::len).sum::<usize>())
        });
    });
    group.bench_function("nothing to reclaim", |b| b.iter(|| core.tree.reclaim(64)));
    group.finish();
}

criterion_group!(benches, tree);
criterion_main!(benches);
