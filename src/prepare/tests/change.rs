//! setData and setACL.

use super::*;
use crate::jute::Decoder;

#[test]
fn data_and_its_version() {
    let mut server = Server::new();
    assert_eq!(server.create("/a", 0), ErrorCode::Ok);
    assert_eq!(server.set("/a", "two", 0), ErrorCode::Ok);
    let stat = server.stat("/a");
    assert_eq!((stat.version, stat.mzxid, stat.mtime_ms, stat.data_length), (1, 4, 1003, 3));
    assert_eq!((stat.czxid, stat.ctime_ms, stat.pzxid), (3, 1002, 3));
    assert_eq!(Stat::decode(&mut Decoder::new(&server.out.reply)), Ok(stat));
    assert_eq!(server.txn(), Txn::SetData { path: "/a", data: Some(b"two"), version: 1 });
    assert_eq!(server.events(), [(EventType::NodeDataChanged, "/a".to_owned())]);
    let null = SetDataRequest { path: "/a", data: None, version: -1 };
    server.ok(OpCode::SetData, &bytes(&null));
    assert_eq!(server.tree.get("/a").unwrap().data(), None);
    assert_eq!(server.set("/", "root", -1), ErrorCode::Ok);
    assert_eq!(server.stat("/").version, 1);
}

#[test]
fn set_data_errors_come_in_zookeepers_order() {
    use ErrorCode::*;
    let mut server = Server::new();
    assert_eq!(server.create("/a", 0), Ok);
    for (path, error) in [
        ("", BadArguments),
        ("a", BadArguments),
        ("/a/", BadArguments),
        ("/a/.", BadArguments),
        ("/nope", NoNode),
    ] {
        assert_eq!(server.set(path, "x", 9), error, "{path:?}");
    }
    assert_eq!(server.set("/a", "x", 1), BadVersion);
    assert_eq!(server.set("/a", "x", i32::MIN), BadVersion);
    assert_eq!(server.set_acl("/a", &[user(perms::ALL & !perms::WRITE)], -1), Ok);
    assert_eq!(server.set("/a", "x", 9), NoAuth);
    server.identities = vec![identity("digest", "u:h")];
    assert_eq!(server.set("/a", "x", -1), NoAuth);
    server.identities = vec![identity("super", "")];
    assert_eq!(server.set("/a", "x", 0), Ok);
    server.moved = true;
    assert_eq!(server.set("bad", "x", 0), SessionMoved);
}

#[test]
fn versions_wrap_around() {
    use super::super::check::next_version;
    assert_eq!(next_version(i32::MAX, -1), Ok(i32::MIN));
    assert_eq!(next_version(-2, -2), Ok(-1));
    assert_eq!(next_version(-1, -1), Ok(0));
    assert_eq!(next_version(3, 2), Err(ErrorCode::BadVersion));
}

#[test]
fn acls_and_their_version() {
    let mut server = Server::new();
    assert_eq!(server.create("/a", 0), ErrorCode::Ok);
    let acl = [AclRef { perms: 99, scheme: "ip", id: "10.0.0.0/8" }, user(31)];
    assert_eq!(server.set_acl("/a", &acl, 0), ErrorCode::Ok);
    let stat = server.stat("/a");
    assert_eq!((stat.aversion, stat.version, stat.mzxid), (1, 0, 3));
    assert_eq!(Stat::decode(&mut Decoder::new(&server.out.reply)), Ok(stat));
    assert_eq!(server.acl_of("/a"), acl.map(|entry| entry.to_owned()));
    let txn = Txn::SetAcl { path: "/a", acl: acl.to_vec(), aversion: 1 };
    assert_eq!(server.txn(), txn);
    assert!(server.out.events.is_empty(), "no watch fires");
}

#[test]
fn set_acl_errors_come_in_zookeepers_order() {
    use ErrorCode::*;
    let mut server = Server::new();
    assert_eq!(server.create("/a", 0), Ok);
    let bad = AclRef { perms: 1, scheme: "", id: "" };
    assert_eq!(server.set_acl("", &[bad], 0), BadArguments);
    assert_eq!(server.set_acl("/nope", &[], 0), InvalidAcl);
    assert_eq!(server.set_acl("/nope", &[bad], 0), InvalidAcl);
    let auth = AclRef { perms: 1, scheme: "auth", id: "" };
    assert_eq!(server.set_acl("/a", &[auth], 0), InvalidAcl);
    assert_eq!(server.set_acl("/nope", ANYONE, 0), NoNode);
    assert_eq!(server.set_acl("/a", ANYONE, 5), BadVersion);
    assert_eq!(server.set_acl("/a", &[user(perms::ALL & !perms::ADMIN)], 0), Ok);
    server.identities = vec![identity("digest", "u:h")];
    assert_eq!(server.set_acl("/a", ANYONE, 5), NoAuth);
    // The configuration may be read by all and changed by the super user alone.
    assert_eq!(server.set_acl("/zookeeper/config", ANYONE, -1), NoAuth);
    server.config.auth.skip_acl = true;
    assert_eq!(server.set_acl("/a", ANYONE, 1), Ok);
    server.session = 5;
    assert_eq!(server.set_acl("bad", ANYONE, 1), SessionExpired);
}
