//! What a server under sustained writes may take of memory: its tree, and bounds. Old versions must be freed though
//! sessions idle, watches stand, snapshots are written and four-letter words are asked meanwhile.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Client, Incoming, Server};

const NODES: usize = 8;
const DATA_BYTES: usize = 8 << 10;
const WRITERS: usize = 4;
/// What is written in all: many times the bound.
const WRITTEN_BYTES: u64 = 1 << 30;
/// `ringkeeper.retainedBytesMax`.
const RETAINED_BYTES: u64 = 16 << 20;
/// What is there whatever is written: buffers of the log and of connections, batches in flight, a snapshot's blocks,
/// and what the allocator has not given back.
const BUFFERS_BYTES: u64 = 64 << 20;

fn path(n: usize) -> String {
    format!("/n{}", n % NODES)
}

/// Sets data, several requests in flight, until enough is written; says how long it ever waited for an answer.
fn write(port: u16, id: usize, written: &AtomicU64) -> Duration {
    let mut c = Client::connect(port, 30_000).expect("connect");
    let (mut n, mut longest) = (id, Duration::ZERO);
    let data = vec![id as u8; DATA_BYTES];
    while written.load(Ordering::Relaxed) < WRITTEN_BYTES {
        for _ in 0..16 {
            n += 1;
            c.put_set(&path(n), &data);
        }
        let asked = Instant::now();
        c.flush().expect("send");
        for _ in 0..16 {
            let (_, _, err, _) = c.receive().expect("an answer: writes must go on").reply();
            assert_eq!(err, 0);
            written.fetch_add(DATA_BYTES as u64, Ordering::Relaxed);
        }
        longest = longest.max(asked.elapsed());
    }
    longest
}

/// Has a watch on each node, and sets it again whenever it fires.
fn watch(port: u16, done: &AtomicBool) -> u64 {
    let mut c = Client::connect(port, 30_000).expect("connect");
    for n in 0..NODES {
        c.put_get(&path(n), true);
    }
    c.flush().expect("send");
    let mut events = 0;
    while !done.load(Ordering::Relaxed) {
        if let Incoming::Event { path, .. } = c.receive().expect("an event or a reply") {
            events += 1;
            c.put_get(&path, true);
            c.flush().expect("send");
        }
    }
    events
}

fn memory_is_bounded(args: &[&str], lines: &str) {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let lines = format!("snapCount=3000\nringkeeper.retainedBytesMax={RETAINED_BYTES}\n{lines}");
    let server = Server::start(dir.path(), &lines, args);
    let mut idle = Client::connect(server.port, 30_000).expect("connect");
    for n in 0..NODES {
        assert_eq!(idle.create(&path(n), b"", 0).expect("create"), 0);
    }
    assert_eq!(idle.create("/own", b"", 1).expect("an ephemeral"), 0);
    let before = server.resident_bytes();
    let tree = (NODES * DATA_BYTES) as u64;
    let bound = before + tree + RETAINED_BYTES + BUFFERS_BYTES;
    let (written, done) = (AtomicU64::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(server.port, &done));
        let writers: Vec<_> = (0..WRITERS)
            .map(|id| {
                scope.spawn({
                    let (server, written) = (&server, &written);
                    move || write(server.port, id, written)
                })
            })
            .collect();
        let (mut most, mut round) = (0, 0);
        while writers.iter().any(|w| !w.is_finished()) {
            round += 1;
            let word = ["mntr", "dump", "cons", "stat", "wchp", "srvr"][round % 6];
            server.word(word).expect("an answer");
            most = most.max(server.resident_bytes());
            assert!(
                most <= bound,
                "{most} bytes resident, at most {bound} are expected\n{}",
                server.word("mntr").unwrap_or_default()
            );
            thread::sleep(Duration::from_millis(20));
        }
        let longest = writers.into_iter().map(|w| w.join().expect("no panic")).max();
        // The watcher goes on until something comes that it can count.
        done.store(true, Ordering::Relaxed);
        assert!(idle.set(&path(0), b"x").expect("a write").is_ok());
        let events = watcher.join().expect("no panic");
        eprintln!(
            "{} MiB written, {} MiB resident at the most ({} at first), {events} events, {longest:?} the longest batch",
            written.load(Ordering::Relaxed) >> 20,
            most >> 20,
            before >> 20
        );
        assert!(events > 0);
    });
    assert!(server.log().contains("snapshot of zxid"), "snapshots were taken meanwhile");
    let kept = server.metric("tree_superseded_bytes") + server.metric("tree_unlinked_bytes");
    assert!(kept < RETAINED_BYTES as i64, "{kept} bytes of old versions in an idle server");
}

#[test]
fn memory_stays_bounded_under_writes_on_one_thread() {
    memory_is_bounded(&[], "ringkeeper.placement=together\nringkeeper.shards=1");
}

#[test]
fn memory_stays_bounded_under_writes_on_threads_apart() {
    memory_is_bounded(&[], "ringkeeper.placement=apart\nringkeeper.shards=2");
}
