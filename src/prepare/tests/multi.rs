//! multi.

use super::*;
use crate::protocol::{CheckVersionRequest, MultiOp, MultiResult, MultiResults, end_multi};
use EventType::*;

fn make(path: &str, flags: i32) -> MultiOp<'_> {
    let request = CreateRequest { path, data: Some(b"d"), acl: ANYONE.to_vec(), flags };
    MultiOp::Create { op: OpCode::Create, request }
}

fn set(path: &str, version: i32) -> MultiOp<'_> {
    MultiOp::SetData(SetDataRequest { path, data: Some(b"s"), version })
}

fn delete(path: &str, version: i32) -> MultiOp<'_> {
    MultiOp::Delete(DeleteRequest { path, version })
}

fn check(path: &str, version: i32) -> MultiOp<'_> {
    MultiOp::Check(CheckVersionRequest { path, version })
}

pub(super) fn multi(ops: &[MultiOp<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    ops.iter().for_each(|op| op.encode(&mut out));
    end_multi(&mut out);
    out
}

pub(super) fn errors(server: &Server) -> Vec<i32> {
    MultiResults::new(&server.out.reply)
        .map(|result| match result.unwrap() {
            MultiResult::Error(error) => error,
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn each_operation_sees_those_before_it() {
    let mut server = Server::new();
    let request = CreateRequest { path: "/two", data: None, acl: ANYONE.to_vec(), flags: 2 };
    let create2 = MultiOp::Create { op: OpCode::Create2, request };
    let container = CreateRequest { path: "/c", data: None, acl: ANYONE.to_vec(), flags: 4 };
    let container = MultiOp::Create { op: OpCode::CreateContainer, request: container };
    let ops = [
        make("/a", 0),
        set("/a", 0),
        check("/a", 1),
        make("/a/", 2),
        create2,
        container,
        delete("/a/0000000000", 0),
        delete("/a", 1),
    ];
    server.ok(OpCode::Multi, &multi(&ops));
    let results: Vec<_> = MultiResults::new(&server.out.reply).map(Result::unwrap).collect();
    assert_eq!(results.len(), ops.len());
    assert_eq!(results[0], MultiResult::Create { path: "/a" });
    let MultiResult::SetData(stat) = results[1] else { panic!("{results:?}") };
    assert_eq!((stat.version, stat.num_children, stat.mzxid), (1, 0, 3));
    assert_eq!(results[2], MultiResult::Check);
    assert_eq!(results[3], MultiResult::Create { path: "/a/0000000000" });
    assert!(matches!(results[4], MultiResult::Create2 { path: "/two0000000001", .. }));
    assert!(matches!(results[5], MultiResult::Create2 { path: "/c", .. }));
    assert_eq!(results[6..], [MultiResult::Delete, MultiResult::Delete]);
    let kinds: Vec<_> = server.events().iter().map(|(kind, _)| *kind).collect();
    let created = [NodeCreated, NodeChildrenChanged];
    let deleted = [NodeDeleted, NodeChildrenChanged];
    let expected =
        [&created[..], &[NodeDataChanged], &created, &created, &created, &deleted, &deleted];
    assert_eq!(kinds, expected.concat());
    let Txn::Multi(txns) = server.txn() else { panic!() };
    let kinds: Vec<_> = txns.iter().map(|(kind, _)| *kind).collect();
    use TxnType::*;
    assert_eq!(kinds, [Create, SetData, Check, Create, Create2, CreateContainer, Delete, Delete]);
    assert_eq!(txns[2].1, Txn::Check { path: "/a", version: 2 });
}

#[test]
fn a_failure_undoes_what_was_before_it() {
    let mut server = Server::new();
    assert_eq!(server.create("/a", 0), ErrorCode::Ok);
    let before = (server.stat("/"), server.stat("/a"), server.tree.node_count());
    let ops = [
        set("/a", 0),
        make("/a/e", 1),
        make("/s", 2),
        delete("/a", -1),
        set("/a", -1),
        make("/b", 0),
    ];
    let body = multi(&ops);
    let outcome = server.run(OpCode::Multi, &body);
    let expected = Prepared { zxid: 4, kind: TxnType::Multi, error: ErrorCode::Ok };
    assert_eq!(outcome, Outcome::Prepared(expected));
    assert_eq!(errors(&server), [0, 0, 0, ErrorCode::NotEmpty.code(), -2, -2]);
    assert_eq!((server.stat("/"), server.stat("/a"), server.tree.node_count()), before);
    assert_eq!(server.tree.ephemerals(SESSION).count(), 0);
    assert!(server.out.events.is_empty());
    let Txn::Multi(txns) = server.txn() else { panic!() };
    // What was before stays as it was, as in ZooKeeper's log; the errors make all of it do nothing.
    let kinds: Vec<_> = txns.iter().map(|(kind, _)| *kind).collect();
    use TxnType::*;
    assert_eq!(kinds, [SetData, Create, Create, Error, Error, Error]);
    assert_eq!(txns[3].1, Txn::Error { err: ErrorCode::NotEmpty.code() });
    assert_eq!(txns[5].1, Txn::Error { err: -2 });
    // The number of the sequential znode is free again.
    assert_eq!(server.create("/s", 2), ErrorCode::Ok);
    assert!(server.tree.get("/s0000000001").is_some());
}

#[test]
fn every_operation_can_fail_one() {
    use ErrorCode::*;
    let mut server = Server::new();
    assert_eq!(server.create("/a", 0), Ok);
    assert_eq!(server.create("/e", 1), Ok);
    let request = CreateTtlRequest { path: "/t", data: None, acl: vec![], flags: 5, ttl_ms: 0 };
    let table = [
        (make("/a", 0), NodeExists),
        (make("/nope/x", 0), NoNode),
        (make("/e/x", 0), NoChildrenForEphemerals),
        (make("bad", 0), BadArguments),
        (MultiOp::CreateTtl(request), BadArguments),
        (set("/a", 3), BadVersion),
        (set("/nope", -1), NoNode),
        (delete("/nope", -1), NoNode),
        (delete("/", -1), BadArguments),
        (check("/a", 3), BadVersion),
        (check("/nope", -1), NoNode),
        (check("/a/", -1), BadArguments),
    ];
    for (op, error) in table {
        let body = multi(&[check("/a", 0), op.clone(), check("/a", 0)]);
        server.ok(OpCode::Multi, &body);
        assert_eq!(errors(&server), [0, error.code(), -2], "{op:?}");
    }
    assert_eq!(server.set_acl("/a", &[user(perms::ALL & !perms::READ)], -1), Ok);
    server.identities = vec![identity("digest", "u:h")];
    server.ok(OpCode::Multi, &multi(&[check("/a", 0)]));
    assert_eq!(errors(&server), [NoAuth.code()]);
}

#[test]
fn sessions_in_a_multi() {
    let mut server = Server::new();
    server.session = 5;
    server.ok(OpCode::Multi, &multi(&[make("/a", 0), make("/b", 0)]));
    assert_eq!(errors(&server), [ErrorCode::SessionExpired.code(), -2]);
    // A multi of nothing looks at no session.
    server.ok(OpCode::Multi, &multi(&[]));
    assert_eq!(server.txn(), Txn::Multi(vec![]));
    assert!(errors(&server).is_empty());
    server.session = SESSION;
    server.moved = true;
    let outcome = server.run(OpCode::Multi, &multi(&[make("/a", 0)]));
    let error = ErrorCode::SessionMoved;
    let expected = Prepared { zxid: server.zxid, kind: TxnType::Multi, error };
    assert_eq!(outcome, Outcome::Prepared(expected));
}

#[test]
fn what_is_no_multi_takes_a_zxid_all_the_same() {
    let mut server = Server::new();
    let read = crate::protocol::GetDataRequest { path: "/", watch: false };
    let whole = multi(&[make("/a", 0)]);
    let no_mode = multi(&[make("/a", 0), make("/b", 9)]);
    let reads = multi(&[MultiOp::GetData(read)]);
    for body in [&b""[..], &whole[..whole.len() - 1], &no_mode, &reads] {
        assert_eq!(server.error(OpCode::Multi, body), ErrorCode::MarshallingError);
        assert_eq!(server.txn(), Txn::Error { err: ErrorCode::MarshallingError.code() });
    }
    assert_eq!(server.zxid, 6);
    assert!(server.tree.get("/a").is_none());
}
