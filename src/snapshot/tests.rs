//! What snapshots promise, on real trees and real files.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use super::*;
use crate::protocol::AclRef;
use crate::tree::{self, Create, Node, Tree, TreeConfig, TreeWriter};

static RUN: AtomicBool = AtomicBool::new(false);

fn options() -> WriteOptions {
    WriteOptions { block_bytes: 700, bytes_per_s_max: 1 << 40, now_ms: 1_700_000_000_000 }
}

fn create(tree: &mut TreeWriter, zxid: i64, path: &str, data: Option<&[u8]>, owner: i64) {
    let scheme_id = format!("user{}:x", zxid % 3);
    let list = [AclRef { perms: 31, scheme: "digest", id: &scheme_id }];
    let acl =
        if zxid % 2 == 0 { tree.intern_acl(&list).expect("interns") } else { tree::AclId::OPEN };
    let time_ms = 1000 + zxid;
    tree.create(Create { zxid, time_ms, path, data, acl, owner, parent_cversion: -1 })
        .expect("creates");
}

/// A tree of many shapes: deep, wide, null and empty data, names beyond ASCII, owners of all sorts.
fn grown() -> TreeWriter {
    let mut tree = tree::new(TreeConfig::default());
    let mut zxid = 0;
    let mut next = || {
        zxid += 1;
        zxid
    };
    tree.create_session(next(), 0x1234, 30_000).expect("opens");
    tree.create_session(next(), -5, 4_000).expect("opens");
    create(&mut tree, next(), "/deep", None, 0);
    let mut path = "/deep".to_owned();
    for level in 0..40 {
        path.push_str(&format!("/l{level}"));
        create(&mut tree, next(), &path, Some(path.clone().as_bytes()), 0);
    }
    create(&mut tree, next(), "/wide", Some(b""), i64::MIN);
    for child in 0..300 {
        let path = format!("/wide/child-{child:04}");
        let data = vec![child as u8; child * 7 % 97];
        create(&mut tree, next(), &path, Some(&data), 0);
    }
    create(&mut tree, next(), "/wide/child-0007/grün", Some(&[7; 5000]), 0x1234);
    create(&mut tree, next(), "/deeper", None, 0);
    let (zxid, data) = (next(), b"changed");
    tree.set_data(zxid, 77, "/wide/child-0008", Some(data), 3).expect("sets");
    let zxid = next();
    tree.delete(zxid, "/wide/child-0009").expect("deletes");
    tree.publish(zxid);
    tree
}

/// All that a client could tell of a znode, as text.
fn told(node: &Node<'_>, acl: &[crate::protocol::Acl]) -> String {
    format!("{} {:?} {:?} {acl:?} {:?}", node.path(), node.stat(), node.data(), node.raw_owner())
}

fn everything(tree: &TreeWriter) -> Vec<String> {
    let reader = tree.shared().background_reader().expect("a slot");
    let pin = reader.pin();
    let mut all: Vec<String> =
        reader.walk(&pin).map(|n| told(&n, reader.acl_list(n.acl()))).collect();
    all.extend(reader.sessions_at(&pin).map(|s| format!("{s:?}")));
    all.sort();
    all
}

fn write_to(dir: &Path, tree: &TreeWriter) -> (PathBuf, SnapshotInfo) {
    let mut reader = tree.shared().background_reader().expect("a slot");
    let pin = reader.pin();
    let info = write(&mut reader, &pin, dir, &options(), &RUN).expect("writes");
    (dir.join(name(info.zxid)), info)
}

#[test]
fn what_was_written_is_loaded_to_the_last_byte() {
    let dir = tempfile::tempdir().expect("a directory");
    let tree = grown();
    let (path, info) = write_to(dir.path(), &tree);
    assert_eq!(info.zxid, tree.published());
    assert_eq!(info.digest, tree.digest());
    assert_eq!((info.sessions, info.acl_lists), (2, 4));
    assert_eq!(std::fs::metadata(&path).expect("is there").len(), info.file_bytes);
    assert_eq!(verify(&path).expect("is good").info(), &info);
    let mut loaded = tree::new(TreeConfig::default());
    assert_eq!(load(&path, &mut loaded).expect("loads"), info);
    assert_eq!(everything(&loaded), everything(&tree));
    assert_eq!(loaded.published(), tree.published());
    assert_eq!((loaded.digest(), loaded.node_count()), (tree.digest(), tree.node_count()));
    assert_eq!(loaded.approximate_data_size(), tree.approximate_data_size());
    let ephemerals: Vec<String> = loaded.ephemerals(0x1234).collect();
    assert_eq!(ephemerals, ["/wide/child-0007/grün"]);
    assert_eq!(loaded.containers().count(), 1);
    // It goes on from there as the first one would.
    let mut first = tree;
    for tree in [&mut first, &mut loaded] {
        let zxid = tree.published() + 1;
        create(tree, zxid, "/wide/later", Some(b"x"), 0);
        tree.publish(zxid);
    }
    assert_eq!(loaded.digest(), first.digest());
    assert_eq!(everything(&loaded), everything(&first));
}

/// A snapshot that is being written keeps what its zxid needs and nothing else: while it compresses, writes and waits,
/// what has come and gone since is freed.
#[test]
fn garbage_is_freed_while_a_block_is_being_written() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut tree = grown();
    let mut random = 1u64;
    for n in 0..40 {
        let mut byte = || {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 56) as u8
        };
        let data: Vec<u8> = (0..100_000).map(|_| byte()).collect();
        let zxid = tree.published() + 1;
        create(&mut tree, zxid, &format!("/large{n}"), Some(&data), 0);
        tree.publish(zxid);
    }
    while tree.reclaim(1000) > 0 {}
    let (shared, stop) = (tree.shared(), AtomicBool::new(false));
    // A second of pause after the first megabyte, and another after each.
    let slow = WriteOptions { bytes_per_s_max: 1 << 20, ..options() };
    let pinned = std::sync::Barrier::new(2);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut reader = shared.background_reader().expect("a slot");
            let pin = reader.pin();
            pinned.wait();
            write(&mut reader, &pin, dir.path(), &slow, &stop)
        });
        pinned.wait();
        // So many goes of which each frees what it has replaced: longer than a walk from block to block.
        let mut freed = 0;
        while freed < 2000 {
            let zxid = tree.published() + 1;
            tree.set_data(zxid, 1, "/large0", Some(&[7; 90_000]), 1).expect("sets");
            tree.publish(zxid);
            while tree.reclaim(1000) > 0 {}
            let kept = tree.retained_bytes();
            freed = if kept.unlinked_bytes == 0 { freed + 1 } else { 0 };
            assert!(kept.superseded_bytes < 100_000, "{kept:?}");
            assert!(kept.pinned_bytes < 41 * 110_000, "one version of a znode: {kept:?}");
            assert!(!writer.is_finished(), "what was replaced was not freed while it wrote");
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(writer.join().expect("no panic").is_err(), "told to stop");
    });
    while tree.reclaim(1000) > 0 {}
    assert_eq!(tree.retained_bytes(), tree::Retained::default());
}

#[test]
fn it_is_of_the_pinned_zxid_whatever_happens_meanwhile() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut tree = grown();
    let (before, digest, zxid) = (everything(&tree), tree.digest(), tree.published());
    let mut reader = tree.shared().background_reader().expect("a slot");
    let pin = reader.pin();
    for later in 1..200 {
        let zxid = zxid + later;
        match later % 4 {
            0 => create(&mut tree, zxid, &format!("/new{later}"), Some(b"n"), 0x1234),
            1 => drop(tree.delete(zxid, &format!("/wide/child-{later:04}"))),
            2 => drop(tree.set_data(zxid, 5, "/deep/l0/l1", Some(&[9; 300]), later as i32)),
            _ => tree.create_session(zxid, later, 1).expect("opens"),
        }
        tree.publish(zxid);
        tree.reclaim(1000);
    }
    let info = write(&mut reader, &pin, dir.path(), &options(), &RUN).expect("writes");
    assert_eq!((info.zxid, info.digest), (zxid, digest));
    let mut loaded = tree::new(TreeConfig::default());
    load(&dir.path().join(name(zxid)), &mut loaded).expect("loads");
    assert_eq!(everything(&loaded), before);
}

#[test]
fn any_damaged_byte_is_found_by_loading_and_by_verifying() {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, info) = write_to(dir.path(), &grown());
    let good = std::fs::read(&path).expect("reads");
    let blocks = good.len() - 4096;
    let mut noticed = 0;
    for at in (0..good.len()).step_by(41).chain(good.len() - block::FOOTER..good.len()) {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        std::fs::write(&path, &bad).expect("writes");
        let mut tree = tree::new(TreeConfig::default());
        match (verify(&path), load(&path, &mut tree)) {
            (Err(_), Err(_)) => noticed += 1,
            // Padding between blocks and before the footer holds nothing.
            (Ok(verified), Ok(loaded)) => {
                assert_eq!((verified.info(), &loaded), (&info, &info));
                assert_eq!(good[at], 0, "byte {at}");
            }
            (verified, loaded) => panic!("byte {at}: {verified:?} {loaded:?}"),
        }
    }
    assert!(noticed > blocks / 41 * 9 / 10, "{noticed}");
    for len in (0..good.len()).step_by(509) {
        std::fs::write(&path, &good[..len]).expect("writes");
        assert!(verify(&path).is_err(), "cut to {len}");
    }
}

#[test]
fn the_newest_good_one_is_loaded_and_none_if_all_are_bad() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = TreeConfig::default();
    let fresh = load_newest(dir.path(), &config).expect("an empty directory is a fresh start");
    assert!(fresh.info.is_none() && fresh.tree.published() == 0);
    let mut tree = grown();
    let (old, info) = write_to(dir.path(), &tree);
    let zxid = tree.published() + 1;
    create(&mut tree, zxid, "/newer", None, 0);
    tree.publish(zxid);
    let (new, _) = write_to(dir.path(), &tree);
    std::fs::write(dir.path().join(UNFINISHED), b"half").expect("writes");
    let loaded = load_newest(dir.path(), &config).expect("loads");
    assert_eq!(loaded.info.map(|i| i.zxid), Some(zxid));
    assert!(!dir.path().join(UNFINISHED).exists());
    let mut bytes = std::fs::read(&new).expect("reads");
    bytes[100] ^= 1;
    std::fs::write(&new, &bytes).expect("writes");
    let loaded = load_newest(dir.path(), &config).expect("loads the older");
    assert_eq!((loaded.info, loaded.passed_over.len()), (Some(info), 1));
    assert!(loaded.tree.get("/newer").is_none());
    std::fs::write(&old, b"").expect("writes");
    let err = load_newest(dir.path(), &config).err().expect("an empty tree would not do");
    assert!(matches!(err, SnapshotError::NoneUsable { count: 2, .. }), "{err}");
}

#[test]
fn purge_keeps_the_newest_and_the_one_that_was_verified() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut tree = grown();
    let mut paths = Vec::new();
    for _ in 0..5 {
        paths.push(write_to(dir.path(), &tree).0);
        let zxid = tree.published() + 1;
        create(&mut tree, zxid, &format!("/n{zxid}"), None, 0);
        tree.publish(zxid);
    }
    let zxid = |path: &PathBuf| zxid_of(path.file_name().and_then(|n| n.to_str()).unwrap_or(""));
    let verified = verify(&paths[4]).expect("is good");
    assert_eq!(Some(purge(dir.path(), 3, &verified).expect("purges")), zxid(&paths[2]));
    assert_eq!(list(dir.path()).expect("lists").len(), 3);
    // The newest that is known to be good is the third: two newer ones do not push it out.
    let verified = verify(&paths[2]).expect("is good");
    assert_eq!(Some(purge(dir.path(), 1, &verified).expect("purges")), zxid(&paths[2]));
    assert_eq!(list(dir.path()).expect("lists").len(), 3);
    let verified = verify(&paths[4]).expect("is good");
    assert_eq!(Some(purge(dir.path(), 0, &verified).expect("purges")), zxid(&paths[4]));
    assert_eq!(list(dir.path()).expect("lists").len(), 1);
}

#[test]
fn a_snapshot_thread_takes_verifies_and_can_be_stopped() {
    let dir = tempfile::tempdir().expect("a directory");
    let tree = grown();
    let shared: std::sync::Arc<Tree> = tree.shared();
    let stop = AtomicBool::new(true);
    let err = std::thread::scope(|s| {
        let thread = s.spawn(|| take(&shared, dir.path(), 3, &options(), &stop));
        thread.join().expect("ends").expect_err("was stopped")
    });
    assert!(matches!(err, SnapshotError::Stopped));
    assert_eq!(std::fs::read_dir(dir.path()).expect("lists").count(), 0);
    let (verified, oldest) = std::thread::scope(|s| {
        let thread = s.spawn(|| take(&shared, dir.path(), 3, &options(), &RUN));
        thread.join().expect("ends").expect("is taken")
    });
    assert_eq!((verified.info().zxid, oldest), (tree.published(), tree.published()));
}

#[test]
fn names_are_read_back_and_others_are_not() {
    assert_eq!(name(0x1_0000_002a), "snapshot.000000010000002a");
    for zxid in [0, 1, i64::MAX] {
        assert_eq!(zxid_of(&name(zxid)), Some(zxid));
    }
    for other in ["snapshot.2a", "snapshot.000000010000002A", "snapshot-unfinished", "segment.1"] {
        assert_eq!(zxid_of(other), None);
    }
}

#[test]
fn a_received_snapshot_takes_over_with_the_logs_restart_and_not_before() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut own = grown();
    let (_, old) = write_to(dir.path(), &own);
    let leader = {
        let mut tree = grown();
        let zxid = tree.published() + 10;
        create(&mut tree, zxid, "/of-the-leader", None, 0);
        tree.publish(zxid);
        tree
    };
    let zxid = own.published() + 500;
    create(&mut own, zxid, "/of-my-own", None, 0);
    own.publish(zxid);
    write_to(dir.path(), &own);
    let receive = || {
        let mut reader = leader.shared().background_reader().expect("a slot");
        let pin = reader.pin();
        write_received(&mut reader, &pin, dir.path(), &options(), &RUN).expect("writes")
    };
    let config = TreeConfig::default();
    for restarted_at in [None, Some(old.zxid)] {
        receive();
        assert!(!settle_received(dir.path(), restarted_at).expect("settles"));
        assert!(!dir.path().join(RECEIVED).exists());
        let loaded = load_newest(dir.path(), &config).expect("loads");
        assert_eq!(loaded.info.map(|i| i.zxid), Some(zxid));
    }
    let received = receive();
    assert!(settle_received(dir.path(), Some(received.zxid)).expect("settles"));
    let loaded = load_newest(dir.path(), &config).expect("loads");
    assert_eq!(loaded.info, Some(received));
    assert!(loaded.tree.get("/of-the-leader").is_some());
    assert!(!settle_received(dir.path(), Some(old.zxid)).expect("nothing to settle"));
}
