//! What a fresh tree is, and one change of each kind.

use crate::tree::{AclId, Create, TreeConfig, TreeError, TreeWriter, new};

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
