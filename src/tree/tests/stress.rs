//! Threads: one writer and readers that check that each read, listing and walk shows exactly one zxid.

use crate::protocol::AclRef;
use crate::tree::{
    AclId, Create, Node, Pin, Reader, Retained, TreeConfig, TreeWriter, Walker, new,
};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

const TXNS: i64 = if cfg!(debug_assertions) { 6_000 } else { 20_000 };
const NODES: i64 = 8;
/// One of these exists at a time, ephemeral-like: at zxid Z the one of Z % FLEETING.
const FLEETING: i64 = 5;

/// As many of these exist at a time, so that the index is rebuilt under the readers.
const GROWING: i64 = 100;

fn growing(zxid: i64) -> String {
    format!("/g/{zxid}")
}

fn value(zxid: i64) -> Vec<u8> {
    // Lengths on both sides of where checksums are kept.
    let len = 8 + (zxid % 9) as usize * 80;
    zxid.to_be_bytes().iter().copied().cycle().take(len).collect()
}

fn fleeting(zxid: i64) -> String {
    format!("/s/a fleeting znode {}", zxid % FLEETING)
}

fn create<'a>(zxid: i64, path: &'a str, data: &'a [u8], acl: AclId) -> Create<'a> {
    let (owner, parent_cversion) = (0, -1);
    Create { zxid, time_ms: zxid, path, data: Some(data), acl, owner, parent_cversion }
}

/// One transaction that changes many things at once.
fn change(tree: &mut TreeWriter, zxid: i64) {
    let data = value(zxid);
    let id = format!("{}", zxid % 3);
    let acl = tree.intern_acl(&[AclRef { perms: 1, scheme: "digest", id: &id }]).unwrap();
    for n in 0..NODES {
        tree.set_data(zxid, zxid, &format!("/s/{n}"), Some(&data), zxid as i32).unwrap();
    }
    tree.set_acl(zxid, "/s/0", acl, 0).unwrap();
    tree.delete(zxid, &fleeting(zxid - 1)).unwrap();
    tree.create(create(zxid, &fleeting(zxid), &data, acl)).unwrap();
    tree.create(create(zxid, &growing(zxid), b"", AclId::OPEN)).unwrap();
    if zxid > GROWING + 1 {
        tree.delete(zxid, &growing(zxid - GROWING)).unwrap();
    }
    tree.close_session(zxid, zxid - 1).unwrap();
    tree.create_session(zxid, zxid, 1000).unwrap();
}

fn write(tree: &mut TreeWriter) {
    let mut zxid = tree.published();
    while zxid < TXNS {
        let batch = 1 + zxid % 7;
        for _ in 0..batch {
            zxid += 1;
            let mark = tree.mark();
            change(tree, zxid);
            if zxid % 11 == 0 {
                tree.undo_to(mark);
                change(tree, zxid);
            }
        }
        tree.publish(zxid);
        // More than a batch leaves behind, by and large: what is held has to be in danger.
        tree.reclaim((zxid * 37 % 600) as usize);
    }
}

/// Everything at `at` says `at`.
fn check_one_zxid(reader: &Reader, at: i64) {
    for n in 0..NODES {
        let node = reader.get(&format!("/s/{n}"), at).unwrap();
        assert_eq!(node.mzxid(), at);
        assert_eq!(node.data(), Some(&value(at)[..]));
    }
    let acl = reader.acl_list(reader.get("/s/0", at).unwrap().acl());
    assert_eq!(acl[0].id, (at % 3).to_string());
    let top = reader.get("/s", at).unwrap();
    assert_eq!(top.num_children() as i64, NODES + 1);
    assert_eq!(top.pzxid(), at);
    let mut names: Vec<&str> = top.children().collect();
    names.sort_unstable();
    assert_eq!(names.len() as i64, NODES + 1);
    assert_eq!(format!("/s/{}", names.last().unwrap()), fleeting(at));
    assert_eq!(reader.get(&fleeting(at), at).unwrap().czxid(), at);
    assert!(reader.get(&fleeting(at + 1), at).is_none());
    for zxid in [at, at - GROWING / 2, at - GROWING + 1].into_iter().filter(|&zxid| zxid > 1) {
        assert_eq!(reader.get(&growing(zxid), at).unwrap().czxid(), zxid);
    }
    assert!(reader.get(&growing(at + 1), at).is_none());
}

fn check_pin(reader: &mut Reader, pin: &Pin) {
    let at = pin.zxid();
    assert_eq!(reader.sessions_at(pin).collect::<Vec<_>>(), [(at, 1000)]);
    let mut walker = Walker::new(pin);
    let mut count = 0;
    while let Some(node) = walker.next(reader) {
        if node.path().starts_with("/s/") {
            assert_eq!(node.mzxid(), at);
            count += 1;
        }
    }
    assert_eq!(count, NODES + 1);
}

/// Reads until the writer is done, and a few rounds more than none.
fn read(mut reader: Reader, seed: u64, done: &AtomicBool, rounds: &AtomicI64) {
    let shard = reader.zxid() != i64::MAX;
    let mut random = seed;
    let mut pin: Option<Pin> = None;
    loop {
        let last = done.load(Ordering::Acquire);
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if shard {
            let (own, published) = (reader.zxid(), reader.published());
            check_one_zxid(&reader, own);
            let held: Vec<Node<'_>> =
                (0..NODES).filter_map(|n| reader.get(&format!("/s/{n}"), own)).collect();
            reader.advance(published);
            if random >> 58 & 3 == 0 {
                std::thread::yield_now();
            }
            // Unlinked perhaps by now, but not freed before this reader quiesces.
            assert_eq!(held.len() as i64, NODES);
            assert!(held.iter().all(|node| node.data() == Some(&value(own)[..])));
            check_one_zxid(&reader, published);
        }
        match random >> 60 {
            0..=2 => {
                reader.park();
                if random >> 59 & 1 == 0 {
                    std::thread::yield_now();
                }
                let published = reader.unpark();
                if shard {
                    reader.advance(published);
                }
            }
            3 | 4 => pin = Some(reader.pin()),
            5..=7 => pin = None,
            _ => reader.quiesce(),
        }
        if let Some(pin) = &pin {
            check_one_zxid(&reader, pin.zxid());
            check_pin(&mut reader, pin);
        }
        rounds.fetch_add(1, Ordering::Relaxed);
        if last {
            return;
        }
    }
}

#[test]
fn readers_see_exactly_one_zxid_while_the_writer_goes_on() {
    let mut tree = new(TreeConfig::default());
    tree.create(create(1, "/g", b"", AclId::OPEN)).unwrap();
    tree.create(create(1, "/s", b"", AclId::OPEN)).unwrap();
    for n in 0..NODES {
        tree.create(create(1, &format!("/s/{n}"), b"", AclId::OPEN)).unwrap();
    }
    tree.create(create(1, &fleeting(1), b"", AclId::OPEN)).unwrap();
    tree.create_session(1, 1, 1000).unwrap();
    change(&mut tree, 2);
    tree.publish(2);
    let (done, rounds) = (AtomicBool::new(false), AtomicI64::new(0));
    let readers = [
        tree.shared().reader().unwrap(),
        tree.shared().reader().unwrap(),
        tree.shared().background_reader().unwrap(),
    ];
    std::thread::scope(|scope| {
        for (seed, reader) in readers.into_iter().enumerate() {
            let (done, rounds) = (&done, &rounds);
            scope.spawn(move || read(reader, seed as u64 * 77 + 1, done, rounds));
        }
        write(&mut tree);
        done.store(true, Ordering::Release);
    });
    assert!(rounds.into_inner() > 0);
    while tree.reclaim(1000) > 0 {}
    assert_eq!(tree.retained(), 0);
    assert_eq!(tree.retained_bytes(), Retained::default());
    assert_eq!(tree.acl_count(), 3, "open, that of the configuration, the last transaction's");
}
