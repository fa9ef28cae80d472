//! Snapshots of many znodes of 128 bytes: writing, reading back, loading. On the real disk, in the
//! directory `RINGKEEPER_BENCH_DIR` or the system's temporary one; `RINGKEEPER_BENCH_NODES` znodes.

use std::sync::atomic::AtomicBool;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringkeeper::snapshot::{WriteOptions, load, name, verify, write};
use ringkeeper::tree::{self, AclId, Create, TreeConfig, TreeWriter};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn grown(nodes: i64) -> TreeWriter {
    let mut tree = tree::new(TreeConfig::default());
    let mut make = |zxid, path: &str, data: &[u8]| {
        let data = Some(data);
        let create = Create {
            zxid,
            time_ms: zxid,
            path,
            data,
            acl: AclId::OPEN,
            owner: 0,
            parent_cversion: -1,
        };
        tree.create(create).expect("creates");
        if zxid % 1000 == 0 {
            tree.publish(zxid);
            tree.reclaim(usize::MAX);
        }
    };
    let mut data = [0u8; 128];
    for zxid in 1..=nodes {
        let (parent, child) = (zxid / 1000, zxid % 1000);
        // Data that does not compress to nothing.
        for (at, byte) in data.iter_mut().enumerate().take(64) {
            *byte = ((zxid as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (at % 56)) as u8;
        }
        match child {
            1 => make(zxid, &format!("/parent-{parent:06}"), &data),
            0 => make(zxid, &format!("/single-{parent:06}"), &data),
            _ => make(zxid, &format!("/parent-{parent:06}/child-{child:010}"), &data),
        }
    }
    tree.publish(nodes);
    tree
}

fn snapshots(c: &mut Criterion) {
    let nodes = std::env::var("RINGKEEPER_BENCH_NODES").ok().and_then(|n| n.parse().ok());
    let nodes: i64 = nodes.unwrap_or(1_000_000);
    let base = std::env::var_os("RINGKEEPER_BENCH_DIR").map(std::path::PathBuf::from);
    let dir = tempfile::tempdir_in(base.unwrap_or_else(std::env::temp_dir)).expect("a directory");
    let tree = grown(nodes);
    let mut reader = tree.shared().background_reader().expect("a slot");
    let pin = reader.pin();
    let options = WriteOptions { bytes_per_s_max: u64::MAX, ..WriteOptions::default() };
    let path = dir.path().join(name(pin.zxid()));
    let mut group = c.benchmark_group("snapshot");
    group.throughput(Throughput::Elements(nodes as u64)).sample_size(10);
    group.bench_function("write", |b| {
        b.iter(|| {
            let stop = AtomicBool::new(false);
            write(&mut reader, &pin, dir.path(), &options, &stop).expect("writes")
        });
    });
    let info = verify(&path).expect("is good").info().clone();
    println!(
        "{} znodes, {} MiB of blocks, {} MiB of file",
        info.nodes,
        info.raw_bytes >> 20,
        info.file_bytes >> 20
    );
    group.bench_function("verify", |b| b.iter(|| verify(&path).expect("is good")));
    group.bench_function("load", |b| {
        b.iter_with_large_drop(|| {
            let mut tree = tree::new(TreeConfig::default());
            load(&path, &mut tree).expect("loads");
            tree
        });
    });
    group.finish();
}

criterion_group!(benches, snapshots);
criterion_main!(benches);
