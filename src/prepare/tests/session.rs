//! Sessions.

use super::*;
use EventType::*;

#[test]
fn opening_and_closing() {
    let mut server = Server::new();
    server.session = 0x300;
    server.ok(OpCode::CreateSession, &30_000_i32.to_be_bytes());
    assert_eq!(server.txn(), Txn::CreateSession { timeout_ms: 30_000 });
    assert_eq!(server.tree.session(0x300).map(|s| s.timeout_ms), Some(30_000));
    for path in ["/z", "/d", "/a"] {
        assert_eq!(server.create(path, if path == "/d" { 0 } else { 1 }), ErrorCode::Ok);
    }
    assert_eq!(server.create("/d/e", 1), ErrorCode::Ok);
    server.session = SESSION;
    assert_eq!(server.create("/stays", 1), ErrorCode::Ok);
    server.session = 0x300;
    server.moved = true;
    server.ok(OpCode::CloseSession, b"");
    assert!(server.out.reply.is_empty());
    assert_eq!(server.txn(), Txn::CloseSession { paths: Some(vec!["/a", "/d/e", "/z"]) });
    let event = |kind, path: &str| (kind, path.to_owned());
    let expected = [
        event(NodeDeleted, "/a"),
        event(NodeChildrenChanged, "/"),
        event(NodeDeleted, "/d/e"),
        event(NodeChildrenChanged, "/d"),
        event(NodeDeleted, "/z"),
        event(NodeChildrenChanged, "/"),
    ];
    assert_eq!(server.events(), expected);
    assert!(server.tree.session(0x300).is_none());
    assert!(server.replica.session(0x300).is_none());
    assert_eq!(server.stat("/").num_children, 3);
    assert_eq!(server.stat("/").pzxid, server.zxid);
    // Whatever it had asked for meanwhile fails; closing it again does nothing, with a zxid.
    assert_eq!(server.create("/late", 0), ErrorCode::SessionExpired);
    server.ok(OpCode::CloseSession, b"");
    assert_eq!(server.txn(), Txn::CloseSession { paths: Some(vec![]) });
}
