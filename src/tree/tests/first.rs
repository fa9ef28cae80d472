//! What a fresh tree is, and one change of each kind.

use crate::protocol::{Acl, AclRef};
use crate::tree::{AclId, Create, LoadNode, StatPersisted, TreeConfig, TreeError, TreeWriter, new};

fn tree() -> TreeWriter {
    new(TreeConfig::default())
}

fn create<'a>(zxid: i64, path: &'a str, data: &'a [u8]) -> Create<'a> {
    let (acl, owner, parent_cversion) = (AclId::OPEN, 0, -1);
    Create { zxid, time_ms: 1000 + zxid, path, data: Some(data), acl, owner, parent_cversion }
}

#[test]
fn a_fresh_tree_is_that_of_a_new_server() {
    let tree = tree();
    assert_eq!(tree.digest(), 1_371_985_504);
    assert_eq!(tree.node_count(), 5);
    assert_eq!(tree.approximate_data_size(), 44);
    let root = tree.get("/").unwrap();
    assert_eq!(root.children().collect::<Vec<_>>(), ["zookeeper"]);
    assert_eq!(root.stat().cversion, -1);
    assert_eq!(root.data(), Some(&b""[..]));
    let config = tree.get("/zookeeper/config").unwrap();
    assert_eq!(config.stat().aversion, -1);
    assert_eq!(tree.acl_list(config.acl())[0].perms, 1);
    let paths: Vec<String> = root.subtree().map(|n| n.path()).collect();
    assert_eq!(paths, ["/", "/zookeeper", "/zookeeper/config", "/zookeeper/quota"]);
}

#[test]
fn changes_are_seen_once_published_and_at_their_zxid() {
    let mut tree = tree();
    let reader = tree.shared().reader().unwrap();
    let stat = tree.create(create(1, "/a", b"one")).unwrap().stat;
    assert_eq!((stat.czxid, stat.pzxid, stat.data_length), (1, 1, 3));
    assert!(reader.get("/a", reader.published()).is_none());
    tree.publish(1);
    tree.set_data(2, 5000, "/a", Some(b"two"), 1).unwrap();
    tree.create(create(3, "/a/a rather long name", b"")).unwrap();
    tree.publish(3);
    assert_eq!(reader.get("/a", 1).unwrap().data(), Some(&b"one"[..]));
    assert_eq!(reader.get("/a", 2).unwrap().data(), Some(&b"two"[..]));
    assert_eq!(reader.get("/a", 2).unwrap().stat().num_children, 0);
    assert_eq!(reader.get("/a", 3).unwrap().stat().num_children, 1);
    assert_eq!(tree.delete(4, "/a"), Err(TreeError::NotEmpty));
    tree.delete(4, "/a/a rather long name").unwrap();
    tree.delete(4, "/a").unwrap();
    tree.publish(4);
    assert!(reader.get("/a/a rather long name", 3).is_some());
    assert!(reader.get("/a", 4).is_none());
    assert_eq!(tree.reclaim(1000), 0, "the reader stands at 0");
    reader.advance(4);
    assert!(tree.reclaim(1000) > 0);
    assert!(tree.retained() > 0, "the reader has not quiesced");
    let mut reader = reader;
    reader.quiesce();
    tree.reclaim(1000);
    assert_eq!(tree.retained(), 0);
}

#[test]
fn undo_takes_everything_back() {
    let mut tree = tree();
    tree.create(create(1, "/a", b"one")).unwrap();
    let (digest, mark) = (tree.digest(), tree.mark());
    tree.create_session(2, 77, 4000).unwrap();
    tree.create(Create { owner: 77, ..create(2, "/a/e", b"x") }).unwrap();
    tree.set_data(2, 9, "/a", Some(b"longer"), 1).unwrap();
    tree.delete(2, "/a/e").unwrap();
    assert_ne!(tree.digest(), digest);
    tree.undo_to(mark);
    assert_eq!(tree.digest(), digest);
    assert_eq!(tree.get("/a").unwrap().data(), Some(&b"one"[..]));
    assert_eq!(tree.session(77), None);
    assert_eq!(tree.ephemerals_count(), 0);
    tree.undo_to_zxid(0);
    assert_eq!(tree.digest(), 1_371_985_504);
    assert_eq!(tree.approximate_data_size(), 44);
    assert_eq!(tree.create(create(0, "/b", b"")), Err(TreeError::ZxidBack { zxid: 0, newest: 0 }));
}

#[test]
fn a_path_made_again_and_again_keeps_all_its_lives_and_fills_nothing() {
    let mut tree = tree();
    let reader = tree.shared().reader().unwrap();
    for zxid in 1..=3000 {
        tree.create(create(zxid, "/again", &zxid.to_be_bytes())).unwrap();
        if zxid < 3000 {
            tree.delete(zxid, "/again").unwrap();
        }
        if zxid == 1500 {
            // Between two lives at one zxid nothing shows.
            assert!(tree.get("/again").is_none());
        }
    }
    tree.publish(3000);
    assert_eq!(reader.get("/again", 3000).unwrap().czxid(), 3000);
    assert!(reader.get("/again", 2999).is_none());
    let mark = tree.mark();
    tree.delete(3001, "/again").unwrap();
    tree.create(create(3002, "/again", b"new")).unwrap();
    tree.undo_to(mark);
    assert_eq!(tree.get("/again").unwrap().czxid(), 3000);
    reader.advance(3000);
    drop(reader);
    while tree.reclaim(100) > 0 {}
    assert_eq!(tree.retained(), 0);
    assert_eq!(tree.get("/again").unwrap().czxid(), 3000);
}

/// Publishes, and has everything reclaimed that no pin keeps.
fn publish_and_reclaim(tree: &mut TreeWriter, zxid: i64) {
    tree.publish(zxid);
    while tree.reclaim(100) > 0 {}
}

#[test]
fn a_pinned_life_is_found_behind_younger_ones_that_have_gone() {
    let mut tree = tree();
    let reader = tree.shared().background_reader().unwrap();
    tree.create(create(1, "/again", b"first")).unwrap();
    publish_and_reclaim(&mut tree, 1);
    let first = reader.pin();
    for (zxid, data) in [(2, b"second"), (4, b"third "), (6, b"fourth")] {
        tree.delete(zxid, "/again").unwrap();
        tree.create(create(zxid + 1, "/again", data)).unwrap();
        publish_and_reclaim(&mut tree, zxid + 1);
    }
    // The lives between are gone, slots and all, and their slots are used again.
    drop(reader);
    while tree.reclaim(100) > 0 {}
    for (zxid, name) in [(8, "/x"), (9, "/y"), (10, "/z")] {
        tree.create(create(zxid, name, b"")).unwrap();
    }
    publish_and_reclaim(&mut tree, 10);
    let reader = tree.shared().background_reader().unwrap();
    assert_eq!(reader.get("/again", first.zxid()).unwrap().data(), Some(&b"first"[..]));
    assert_eq!(reader.get("/again", 10).unwrap().data(), Some(&b"fourth"[..]));
    drop(first);
    drop(reader);
    while tree.reclaim(100) > 0 {}
    assert_eq!(tree.retained(), 0);
    assert_eq!(tree.get("/again").unwrap().data(), Some(&b"fourth"[..]));
    tree.delete(11, "/again").unwrap();
    publish_and_reclaim(&mut tree, 11);
    assert!(tree.get("/again").is_none());
}

#[test]
fn a_long_pin_costs_one_old_version_of_each_half() {
    let mut tree = tree();
    let mut reader = tree.shared().background_reader().unwrap();
    tree.create(create(1, "/a", b"one")).unwrap();
    publish_and_reclaim(&mut tree, 1);
    let pin = reader.pin();
    for zxid in (2..1000).step_by(3) {
        tree.set_data(zxid, 0, "/a", Some(b"more"), 1).unwrap();
        tree.create(create(zxid + 1, "/a/child", b"")).unwrap();
        tree.delete(zxid + 2, "/a/child").unwrap();
        reader.quiesce();
        publish_and_reclaim(&mut tree, zxid + 2);
    }
    reader.quiesce();
    while tree.reclaim(100) > 0 {}
    assert_eq!(tree.retained(), 1, "the data half of /a; its children half was none at the pin");
    assert_eq!(reader.get("/a", pin.zxid()).unwrap().data(), Some(&b"one"[..]));
    assert_eq!(reader.get("/a", pin.zxid()).unwrap().num_children(), 0);
}

#[test]
fn a_reader_slot_is_used_again_and_their_number_is_bounded() {
    let tree = new(TreeConfig { readers_max: 2, ..TreeConfig::default() });
    let shared = tree.shared();
    let one = shared.reader().unwrap();
    let two = shared.reader().unwrap();
    assert!(shared.reader().is_err());
    let pin = one.pin();
    drop(one);
    let again = shared.reader().unwrap();
    assert_eq!(again.get("/", pin.zxid()).unwrap().num_children(), 1);
    drop((two, again, pin));
}

#[test]
fn many_pins_at_one_time() {
    let mut tree = tree();
    let reader = tree.shared().background_reader().unwrap();
    let mut pins = Vec::new();
    for zxid in 1..=100 {
        let made = match zxid {
            1 => tree.create(create(1, "/a", &[1])).map(drop),
            _ => tree.set_data(zxid, 0, "/a", Some(&[zxid as u8]), 1).map(drop),
        };
        assert_eq!(made, Ok(()));
        publish_and_reclaim(&mut tree, zxid);
        pins.push(reader.pin());
    }
    for pin in pins.iter().skip(1).step_by(2) {
        assert_eq!(reader.get("/a", pin.zxid()).unwrap().data(), Some(&[pin.zxid() as u8][..]));
    }
    drop(reader);
    while tree.reclaim(1000) > 0 {}
    assert_eq!(tree.retained(), 99);
    pins.clear();
    while tree.reclaim(1000) > 0 {}
    assert_eq!(tree.retained(), 0);
}

/// A snapshot of one tree, loaded into another, gives the same tree.
#[test]
fn what_was_loaded_is_what_was_walked() {
    let mut tree = tree();
    let acl = tree.intern_acl(&[AclRef { perms: 31, scheme: "digest", id: "somebody" }]).unwrap();
    tree.create(create(1, "/a", &[7; 700])).unwrap();
    tree.create(Create { owner: 77, acl, data: None, ..create(2, "/a/ephemeral", b"") }).unwrap();
    tree.create(Create { owner: i64::MIN, ..create(3, "/container", b"c") }).unwrap();
    tree.create(create(4, "/a/gone", b"")).unwrap();
    tree.delete(5, "/a/gone").unwrap();
    tree.create_session(6, 77, 4000).unwrap();
    for path in ["/zookeeper/quota/a", "/zookeeper/quota/a/zookeeper_limits"] {
        tree.create(create(7, path, b"count=5,bytes=-1")).unwrap();
    }
    tree.create(create(7, "/zookeeper/quota/a/zookeeper_stats", b"")).unwrap();
    tree.publish(7);
    let reader = tree.shared().background_reader().unwrap();
    let pin = reader.pin();

    let mut other = new(TreeConfig::default());
    other.begin_load().unwrap();
    for node in reader.walk(&pin) {
        let list: Vec<AclRef<'_>> = reader.acl_list(node.acl()).iter().map(Acl::as_ref).collect();
        let acl = other.intern_acl(&list).unwrap();
        let (path, stat) = (node.path(), node.stat_persisted());
        other.load_node(&LoadNode { path: &path, data: node.data(), acl, stat }).unwrap();
    }
    for (id, timeout_ms) in reader.sessions_at(&pin) {
        other.load_session(id, timeout_ms).unwrap();
    }
    other.finish_load(pin.zxid(), false).unwrap();
    other.publish(pin.zxid());

    assert_eq!(other.digest(), tree.digest());
    assert_eq!(other.node_count(), tree.node_count());
    assert_eq!(other.approximate_data_size(), tree.approximate_data_size());
    assert_eq!(other.ephemerals(77).collect::<Vec<_>>(), ["/a/ephemeral"]);
    assert_eq!(other.session(77), tree.session(77));
    assert_eq!(other.containers().count(), 1);
    assert_eq!(other.quota_root("/a/x"), Some("/a"));
    assert_eq!(other.begin_load(), Err(TreeError::NotFresh));
    let copy = other.shared().background_reader().unwrap();
    for node in reader.walk(&pin) {
        let same = copy.get(&node.path(), pin.zxid()).unwrap();
        assert_eq!(same.stat(), node.stat());
        assert_eq!(same.stat_persisted(), node.stat_persisted());
        assert_eq!(same.data(), node.data());
        assert_eq!(copy.acl_list(same.acl()), reader.acl_list(node.acl()));
        assert_eq!(same.children().count(), node.children().count());
    }
    drop(copy);
    while other.reclaim(100) > 0 {}
    assert_eq!(other.retained(), 0);

    // Both go on alike.
    for tree in [&mut tree, &mut other] {
        tree.create(create(8, "/a/next", b"12345")).unwrap();
    }
    assert_eq!(other.digest(), tree.digest());
    let stats = "/zookeeper/quota/a/zookeeper_stats";
    assert_eq!(other.get(stats).unwrap().data(), Some(&b"count=3,bytes=705"[..]));
    assert_eq!(tree.get(stats).unwrap().data(), Some(&b"count=3,bytes=705"[..]));
}

#[test]
fn a_loaded_count_can_be_made_anew_and_parents_come_first() {
    let mut tree = tree();
    tree.begin_load().unwrap();
    let load = |tree: &mut TreeWriter, path: &str, data: &[u8]| {
        let (acl, stat) = (AclId::OPEN, StatPersisted::default());
        tree.load_node(&LoadNode { path, data: Some(data), acl, stat })
    };
    assert_eq!(load(&mut tree, "/a/b", b""), Err(TreeError::NoNode));
    for (path, data) in [
        ("", &b""[..]),
        ("/a", b"12"),
        ("/a/b", b"345"),
        ("/zookeeper", b""),
        ("/zookeeper/quota", b""),
        ("/zookeeper/quota/a", b""),
        ("/zookeeper/quota/a/zookeeper_limits", b"count=1,bytes=1"),
        ("/zookeeper/quota/a/zookeeper_stats", b"count=77,bytes=77"),
    ] {
        assert_eq!(load(&mut tree, path, data), Ok(()), "{path}");
    }
    assert_eq!(load(&mut tree, "/a", b""), Err(TreeError::NodeExists));
    tree.finish_load(9, true).unwrap();
    tree.publish(9);
    let stats = tree.get("/zookeeper/quota/a/zookeeper_stats").unwrap();
    assert_eq!(stats.data(), Some(&b"count=2,bytes=5"[..]));
    assert_eq!(tree.get("/").unwrap().num_children(), 2);
}

#[test]
fn warming_changes_nothing() {
    let mut tree = tree();
    tree.create(create(1, "/a", b"one")).unwrap();
    tree.publish(1);
    let reader = tree.shared().reader().unwrap();
    reader.warm(std::iter::repeat_n(["/a", "/b", "/", "/zookeeper"], 9).flatten());
    tree.warm(["/a"]);
    assert_eq!(reader.get("/a", 1).unwrap().data(), Some(&b"one"[..]));
}
