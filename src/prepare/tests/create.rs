//! create and its kin.

use super::*;
use crate::jute::Decoder;
use crate::protocol::{CONTAINER_OWNER, Create2Response, CreateResponse, TTL_MS_MAX, ttl_owner};
use EventType::*;

#[test]
fn each_opcode_makes_its_kind() {
    let mut server = Server::new();
    let owner = |server: &Server, path| server.tree.get(path).unwrap().raw_owner();
    // The opcode decides, the flags say only whether it is ephemeral or has a number.
    let table = [
        (OpCode::Create, 0, "/p0", "/p0", 0),
        (OpCode::Create, 4, "/p4", "/p4", 0),
        (OpCode::Create, 1, "/e1", "/e1", SESSION),
        (OpCode::Create, 2, "/s2-", "/s2-0000000004", 0),
        (OpCode::Create, 3, "/s3-", "/s3-0000000005", SESSION),
        (OpCode::Create2, 0, "/q0", "/q0", 0),
        (OpCode::Create2, 3, "/", "/0000000007", SESSION),
        (OpCode::CreateContainer, 4, "/c4", "/c4", CONTAINER_OWNER),
        (OpCode::CreateContainer, 0, "/c0", "/c0", CONTAINER_OWNER),
        (OpCode::CreateContainer, 1, "/c1", "/c1", CONTAINER_OWNER),
        (OpCode::CreateContainer, 2, "/c2", "/c20000000011", CONTAINER_OWNER),
    ];
    // The root of a fresh server has had no creation counted.
    assert_eq!(server.stat("/").cversion, -1);
    assert_eq!(server.create("/first", 0), ErrorCode::Ok);
    for (op, flags, path, made, raw) in table {
        server.ok(op, &create(path, flags));
        let mut reply = Decoder::new(&server.out.reply);
        if op == OpCode::Create {
            assert_eq!(CreateResponse::decode(&mut reply), Ok(CreateResponse { path: made }));
        } else {
            let stat = server.stat(made);
            let expected = Create2Response { path: made, stat };
            assert_eq!(Create2Response::decode(&mut reply), Ok(expected));
            assert_eq!(stat.ephemeral_owner, if raw == SESSION { SESSION } else { 0 });
        }
        assert!(reply.is_empty());
        assert_eq!(owner(&server, made), raw, "{made}");
        let expected = [(NodeCreated, made.to_owned()), (NodeChildrenChanged, "/".to_owned())];
        assert_eq!(server.events(), expected);
    }
    assert_eq!(server.create_ttl("/t", 5, 100), ErrorCode::Ok);
    assert_eq!(owner(&server, "/t"), ttl_owner(100).unwrap());
    assert_eq!(server.create_ttl("/t", 6, TTL_MS_MAX), ErrorCode::Ok);
    assert_eq!(owner(&server, "/t0000000013"), ttl_owner(TTL_MS_MAX).unwrap());
    let reply = Create2Response::decode(&mut Decoder::new(&server.out.reply)).unwrap();
    assert_eq!((reply.path, reply.stat.ephemeral_owner), ("/t0000000013", 0));
}

#[test]
fn a_new_znode_and_its_parent() {
    let mut server = Server::new();
    assert_eq!(server.create("/a", 0), ErrorCode::Ok);
    assert_eq!(server.create("/a/b", 0), ErrorCode::Ok);
    let stat =
        Stat { czxid: 4, mzxid: 4, pzxid: 4, ctime_ms: 1003, mtime_ms: 1003, ..Stat::default() };
    assert_eq!(server.stat("/a/b"), Stat { data_length: 1, ..stat });
    let parent = server.stat("/a");
    assert_eq!((parent.pzxid, parent.cversion, parent.num_children, parent.mzxid), (4, 1, 1, 3));
    assert_eq!(server.events()[1], (NodeChildrenChanged, "/a".to_owned()));
    let request = CreateRequest { path: "/null", data: None, acl: ANYONE.to_vec(), flags: 0 };
    server.ok(OpCode::Create, &bytes(&request));
    assert_eq!(server.tree.get("/null").unwrap().data(), None);
}

#[test]
fn numbers_count_creations_that_succeeded() {
    let mut server = Server::new();
    assert_eq!(server.create("/s", 0), ErrorCode::Ok);
    assert_eq!(server.create("/s/", 2), ErrorCode::Ok);
    assert_eq!(server.create("/s/n", 2), ErrorCode::Ok);
    assert_eq!(server.create("/s/0000000000", 0), ErrorCode::NodeExists);
    assert_eq!(server.delete("/s/0000000000", -1), ErrorCode::Ok);
    assert_eq!(server.create("/s/", 2), ErrorCode::Ok);
    let mut children: Vec<_> = server.tree.get("/s").unwrap().children().collect();
    children.sort_unstable();
    assert_eq!(children, ["0000000002", "n0000000001"]);
}

#[test]
fn errors_come_in_zookeepers_order() {
    use ErrorCode::*;
    let mut server = Server::new();
    assert_eq!(server.create("/e", 1), Ok);
    assert_eq!(server.create("/a", 0), Ok);
    let invalid = [AclRef { perms: 31, scheme: "nope", id: "x" }];
    // (opcode, path, flags, ACL, error)
    let table: &[(OpCode, &str, i32, &[AclRef<'_>], ErrorCode)] = &[
        (OpCode::Create, "/x", 7, ANYONE, BadArguments),
        (OpCode::Create, "/x", -1, &[], BadArguments),
        (OpCode::Create, "/x", 5, ANYONE, BadArguments),
        (OpCode::CreateContainer, "/x", 6, ANYONE, BadArguments),
        (OpCode::Create, "x", 0, ANYONE, BadArguments),
        (OpCode::Create, "", 0, ANYONE, BadArguments),
        (OpCode::Create, "/x\0", 0, &invalid, BadArguments),
        (OpCode::Create, "/nope/x", 0, &[], InvalidAcl),
        (OpCode::Create, "/nope/x", 0, &invalid, InvalidAcl),
        (OpCode::Create, "/nope/./x", 0, ANYONE, NoNode),
        (OpCode::Create, "x/y", 0, ANYONE, NoNode),
        (OpCode::Create, "/.", 0, ANYONE, BadArguments),
        (OpCode::Create, "/a/", 0, ANYONE, BadArguments),
        (OpCode::Create, "//x", 0, ANYONE, BadArguments),
        (OpCode::Create, "/x\u{1}", 0, ANYONE, BadArguments),
        (OpCode::Create, "/", 0, ANYONE, NodeExists),
        (OpCode::Create, "/a", 0, ANYONE, NodeExists),
        (OpCode::Create2, "/a", 1, ANYONE, NodeExists),
        (OpCode::Create, "/zookeeper", 0, ANYONE, NodeExists),
        (OpCode::Create, "/e/x", 0, ANYONE, NoChildrenForEphemerals),
        (OpCode::CreateContainer, "/e/x", 4, ANYONE, NoChildrenForEphemerals),
    ];
    for &(op, path, flags, acl, error) in table {
        let request = CreateRequest { path, data: None, acl: acl.to_vec(), flags };
        let kind = match server.run(op, &bytes(&request)) {
            Outcome::Prepared(prepared) => (prepared.kind, prepared.error),
            refused => panic!("{refused:?}"),
        };
        assert_eq!(kind, (TxnType::Error, error), "{op:?} {path:?} {flags}");
        assert_eq!(server.txn(), Txn::Error { err: error.code() });
    }
    assert_eq!(server.create("/zookeeper/x", 0), Ok);
}

#[test]
fn times_to_live_have_bounds_and_have_to_be_enabled() {
    use ErrorCode::*;
    let mut server = Server::new();
    let table = [
        (5, 0, BadArguments),
        (5, -1, BadArguments),
        (6, TTL_MS_MAX + 1, BadArguments),
        (0, 5, BadArguments),
        (0, -1, BadArguments),
        (9, 5, BadArguments),
        (5, 1, Ok),
    ];
    for (flags, ttl_ms, error) in table {
        assert_eq!(server.create_ttl("/t", flags, ttl_ms), error, "{flags} {ttl_ms}");
    }
    let mut server = Server::with(PrepareConfig::default());
    assert_eq!(server.create_ttl("/t", 5, 1), Unimplemented);
    assert_eq!(server.create_ttl("/t", 0, 1), BadArguments);
    assert_eq!(server.create("/t", 6), Unimplemented);
}

#[test]
fn the_session_is_looked_at_behind_the_mode() {
    let mut server = Server::new();
    server.session = 5;
    assert_eq!(server.create("/x", 9), ErrorCode::BadArguments);
    assert_eq!(server.create("no path", 0), ErrorCode::SessionExpired);
    server.moved = true;
    assert_eq!(server.create("/x", 1), ErrorCode::SessionExpired);
    server.session = SESSION;
    assert_eq!(server.create("/x", 1), ErrorCode::SessionMoved);
}

#[test]
fn the_parents_acl_allows_it_and_the_acl_is_fixed_up() {
    let mut server = Server::new();
    let guarded = [user(perms::ALL & !perms::CREATE)];
    let request = CreateRequest { path: "/g", data: None, acl: guarded.to_vec(), flags: 0 };
    server.ok(OpCode::Create, &bytes(&request));
    assert_eq!(server.acl_of("/g"), [guarded[0].to_owned()]);
    server.identities = vec![identity("ip", "1.2.3.4"), identity("digest", "u:h")];
    assert_eq!(server.create("/g/x", 0), ErrorCode::NoAuth);
    assert_eq!(server.create("/g//x", 0), ErrorCode::NoNode, "its parent is no znode");
    server.identities.push(identity("super", ""));
    assert_eq!(server.create("/g/x", 0), ErrorCode::Ok);
    // `auth` becomes the digest identity, the duplicate goes.
    let auth = AclRef { perms: 3, scheme: "auth", id: "whatever" };
    let acl = vec![AclRef::ANYONE_ALL, auth, AclRef::ANYONE_ALL];
    let request = CreateRequest { path: "/g/auth", data: None, acl, flags: 0 };
    server.ok(OpCode::Create, &bytes(&request));
    let expected = [AclRef::ANYONE_ALL.to_owned(), AclRef { perms: 3, ..user(3) }.to_owned()];
    assert_eq!(server.acl_of("/g/auth"), expected);
    assert_eq!(
        server.out.events.iter().next().unwrap().acl,
        server.tree.get("/g/auth").unwrap().acl()
    );
    assert_eq!(server.out.events.iter().nth(1).unwrap().acl, server.tree.get("/g").unwrap().acl());
}
