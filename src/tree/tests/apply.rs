//! Transactions applied: results, effects, and multis.

use crate::protocol::{AclRef, EphemeralType, ErrorCode};
use crate::tree::apply::{Applied, ApplyError, DeletedEphemeral, Effect, apply};
use crate::tree::{AclId, TreeConfig, TreeError, TreeWriter, new};
use crate::txn::{Txn, TxnHeader, TxnType};

const SESSION: i64 = 0x1234;

fn header(zxid: i64, kind: TxnType) -> TxnHeader {
    TxnHeader { client_id: SESSION, cxid: 3, zxid, time_ms: 1000 + zxid, kind }
}

fn create<'a>(path: &'a str, ephemeral: bool, parent_cversion: i32) -> Txn<'a> {
    let acl = vec![AclRef::ANYONE_ALL];
    Txn::Create { path, data: Some(b"data"), acl, ephemeral, parent_cversion }
}

fn run(tree: &mut TreeWriter, zxid: i64, txn: &Txn<'_>) -> Applied {
    apply(tree, &header(zxid, txn.kind()), txn).unwrap()
}

fn tree_with(paths: &[&str]) -> TreeWriter {
    let mut tree = new(TreeConfig::default());
    for (zxid, path) in (1..).zip(paths) {
        assert_eq!(run(&mut tree, zxid, &create(path, false, -1)).err, ErrorCode::Ok);
    }
    tree
}

#[test]
fn a_multi_does_all_at_one_zxid() {
    let mut tree = tree_with(&["/a"]);
    let data = Some(&b"new"[..]);
    let multi = Txn::Multi(vec![
        (TxnType::Check, Txn::Check { path: "/a", version: 1 }),
        (TxnType::Create2, create("/a/b", true, 1)),
        (TxnType::SetData, Txn::SetData { path: "/a/b", data, version: 1 }),
        (TxnType::Delete, Txn::Delete { path: "/a/b" }),
        (TxnType::Create, create("/a/c", false, 2)),
    ]);
    let applied = run(&mut tree, 5, &multi);
    assert_eq!(applied.err, ErrorCode::Ok);
    let Effect::Multi(results) = applied.effect else { panic!("{applied:?}") };
    assert_eq!(results[0].effect, Effect::None);
    let Effect::Created { stat, acl, parent_acl } = &results[1].effect else { panic!() };
    assert_eq!(
        (stat.czxid, stat.ephemeral_owner, *acl, *parent_acl),
        (5, SESSION, AclId::OPEN, AclId::OPEN)
    );
    let Effect::DataSet { stat, .. } = &results[2].effect else { panic!() };
    assert_eq!((stat.version, stat.data_length, stat.mtime_ms), (1, 3, 1005));
    assert!(matches!(results[3].effect, Effect::Deleted { .. }));
    let a = tree.get("/a").unwrap();
    assert_eq!((a.cversion_persisted(), a.pzxid()), (2, 5));
    assert_eq!(a.children().collect::<Vec<_>>(), ["c"]);
    assert_eq!(a.stat().cversion, 3);
}

#[test]
fn a_multi_that_failed_does_nothing() {
    let mut tree = tree_with(&["/a"]);
    let digest = tree.digest();
    let multi = Txn::Multi(vec![
        (TxnType::Create, create("/a/b", false, 1)),
        (TxnType::Error, Txn::Error { err: ErrorCode::BadVersion.code() }),
        (TxnType::Delete, Txn::Delete { path: "/a" }),
    ]);
    let applied = run(&mut tree, 2, &multi);
    assert_eq!(applied.err, ErrorCode::BadVersion);
    let Effect::Multi(results) = applied.effect else { panic!() };
    let errors: Vec<ErrorCode> = results.iter().map(|r| r.err).collect();
    assert_eq!(errors, [ErrorCode::Ok, ErrorCode::BadVersion, ErrorCode::RuntimeInconsistency]);
    assert!(results.iter().all(|r| r.effect == Effect::None));
    assert_eq!(tree.digest(), digest);
}

#[test]
fn closing_a_session_deletes_what_is_named_then_what_is_left() {
    let mut tree = tree_with(&["/a"]);
    run(&mut tree, 2, &Txn::CreateSession { timeout_ms: 4000 });
    for (zxid, path) in (3..).zip(["/a/z", "/a/m", "/a/b"]) {
        run(&mut tree, zxid, &create(path, true, -1));
    }
    let paths = Some(vec!["/a/m", "/a/gone"]);
    let applied = run(&mut tree, 9, &Txn::CloseSession { paths });
    assert_eq!(applied.err, ErrorCode::Ok);
    let gone = |path: &str| DeletedEphemeral {
        path: path.to_owned(),
        acl: AclId::OPEN,
        parent_acl: AclId::OPEN,
    };
    let deleted = ["/a/m", "/a/b", "/a/z"].map(gone).to_vec();
    assert_eq!(applied.effect, Effect::SessionClosed { deleted });
    assert_eq!(tree.session(SESSION), None);
    assert_eq!(tree.ephemerals_count(), 0);
    assert_eq!(tree.get("/a").unwrap().pzxid(), 9);
}

#[test]
fn errors_take_a_zxid_and_change_nothing() {
    let mut tree = tree_with(&["/a"]);
    let digest = tree.digest();
    let applied = run(&mut tree, 2, &Txn::Error { err: ErrorCode::NoAuth.code() });
    assert_eq!(applied, Applied { err: ErrorCode::NoAuth, effect: Effect::None });
    assert_eq!(run(&mut tree, 3, &Txn::Error { err: -7777 }).err, ErrorCode::SystemError);
    assert_eq!(tree.digest(), digest);
}

#[test]
fn a_parent_hears_of_what_was_replayed() {
    let mut tree = tree_with(&["/a", "/a/b"]);
    let deleted = run(&mut tree, 7, &Txn::Delete { path: "/a/gone" });
    assert_eq!(deleted.err, ErrorCode::NoNode);
    assert_eq!(tree.get("/a").unwrap().pzxid(), 7);
    let cversion = tree.get("/a").unwrap().cversion_persisted();
    // create2 leaves the parent alone, create raises it, and never lowers it.
    let again = create("/a/b", false, 40);
    let applied = apply(&mut tree, &header(8, TxnType::Create2), &again).unwrap();
    assert_eq!(applied.err, ErrorCode::NodeExists);
    assert_eq!(tree.get("/a").unwrap().cversion_persisted(), cversion);
    assert_eq!(run(&mut tree, 9, &again).err, ErrorCode::NodeExists);
    assert_eq!(tree.get("/a").unwrap().cversion_persisted(), 40);
    run(&mut tree, 10, &create("/a/b", false, 20));
    let a = tree.get("/a").unwrap();
    assert_eq!((a.cversion_persisted(), a.pzxid()), (40, 9));
}

#[test]
fn kinds_of_owners() {
    let mut tree = tree_with(&[]);
    let acl = || vec![AclRef::ANYONE_ALL];
    let (data, parent_cversion) = (None, -1);
    let container = Txn::CreateContainer { path: "/c", data, acl: acl(), parent_cversion };
    run(&mut tree, 1, &container);
    let ttl = |ttl_ms| Txn::CreateTtl { path: "/t", data, acl: acl(), parent_cversion, ttl_ms };
    assert_eq!(
        apply(&mut tree, &header(2, TxnType::CreateTtl), &ttl(0)),
        Err(ApplyError::TimeToLive { zxid: 2, path: "/t".into(), ttl_ms: 0 })
    );
    run(&mut tree, 2, &ttl(77));
    let kind = |path| tree.get(path).unwrap().kind();
    assert_eq!(kind("/c"), EphemeralType::Container);
    assert_eq!(kind("/t"), EphemeralType::Ttl { ttl_ms: 77 });
    let stat = tree.get("/t").unwrap().stat();
    assert_eq!((stat.ephemeral_owner, stat.data_length), (0, 0));
    assert_eq!(tree.containers().map(|n| n.path()).collect::<Vec<_>>(), ["/c"]);
    assert_eq!(tree.ttl_nodes().map(|n| n.path()).collect::<Vec<_>>(), ["/t"]);
    run(&mut tree, 3, &Txn::DeleteContainer { path: "/c" });
    assert_eq!(tree.containers().count(), 0);
}

#[test]
fn what_no_server_could_have_made_is_refused() {
    let mut tree = tree_with(&["/a", "/a/b"]);
    let delete = Txn::Delete { path: "/a" };
    let refused = |error| {
        let (zxid, kind, path) = (5, TxnType::Delete, "/a".to_owned());
        Err(ApplyError::Refused { zxid, kind, path, error })
    };
    assert_eq!(
        apply(&mut tree, &header(5, TxnType::Delete), &delete),
        refused(TreeError::NotEmpty)
    );
    assert_eq!(
        apply(&mut tree, &header(5, TxnType::SetData), &delete),
        Err(ApplyError::Mismatch { zxid: 5, kind: TxnType::SetData, body: TxnType::Delete })
    );
    let session = Txn::CreateSession { timeout_ms: 1 };
    let multi = Txn::Multi(vec![(TxnType::CreateSession, session)]);
    assert_eq!(
        apply(&mut tree, &header(5, TxnType::Multi), &multi),
        Err(ApplyError::InsideMulti { zxid: 5, kind: TxnType::CreateSession })
    );
    for path in ["", "relative", "/a//b", "/a/", "/", "//a", "/a/."] {
        let created = apply(&mut tree, &header(5, TxnType::Create), &create(path, false, -1));
        assert!(
            matches!(created, Err(ApplyError::Refused { error: TreeError::BadPath, .. })),
            "{path:?}"
        );
    }
    tree.publish(9);
    assert!(apply(&mut tree, &header(9, TxnType::Create), &create("/x", false, -1)).is_err());
}
