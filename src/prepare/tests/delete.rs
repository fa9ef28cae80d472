//! delete, and the reaping of containers and TTL znodes.

use super::*;
use crate::jute::DecodeError;
use crate::protocol::DeleteContainerRequest;
use EventType::*;

#[test]
fn what_a_deletion_leaves() {
    let mut server = Server::new();
    assert_eq!(server.create("/a", 0), ErrorCode::Ok);
    assert_eq!(server.create("/a/b", 1), ErrorCode::Ok);
    assert_eq!(server.tree.ephemerals(SESSION).collect::<Vec<_>>(), ["/a/b"]);
    assert_eq!(server.delete("/a/b", 0), ErrorCode::Ok);
    assert!(server.out.reply.is_empty());
    assert_eq!(
        server.events(),
        [(NodeDeleted, "/a/b".to_owned()), (NodeChildrenChanged, "/a".to_owned())]
    );
    let parent = server.stat("/a");
    assert_eq!((parent.pzxid, parent.cversion, parent.num_children), (5, 2, 0));
    assert_eq!(server.tree.get("/a").unwrap().cversion_persisted(), 1);
    assert_eq!(server.tree.ephemerals(SESSION).count(), 0);
}

#[test]
fn errors_come_in_zookeepers_order() {
    use ErrorCode::*;
    let mut server = Server::new();
    assert_eq!(server.create("/a", 0), Ok);
    assert_eq!(server.create("/a/b", 0), Ok);
    let table = [
        ("", BadArguments),
        ("a", BadArguments),
        ("/a\0", BadArguments),
        ("/", BadArguments),
        ("/zookeeper", BadArguments),
        ("/zookeeper/quota", BadArguments),
        ("/zookeeper/config", BadArguments),
        ("/a/", NoNode),
        ("/nope", NoNode),
        ("/nope/x", NoNode),
        ("/./a", NoNode),
    ];
    for (path, error) in table {
        assert_eq!(server.delete(path, -1), error, "{path:?}");
    }
    assert_eq!(server.delete("/a", 3), BadVersion);
    assert_eq!(server.delete("/a", -2), BadVersion);
    assert_eq!(server.delete("/a", 0), NotEmpty);
    assert_eq!(server.set_acl("/a", &[user(perms::ALL & !perms::DELETE)], -1), Ok);
    assert_eq!(server.delete("/a/nope", -1), NoAuth);
    server.identities = vec![identity("digest", "u:h")];
    assert_eq!(server.delete("/a/b", -1), NoAuth);
    server.identities = vec![identity("super", "")];
    assert_eq!(server.delete("/a/b", -1), Ok);
    server.session = 5;
    assert_eq!(server.delete("bad", -1), SessionExpired);
}

fn reap(server: &mut Server, path: &str) -> ErrorCode {
    server.error(OpCode::DeleteContainer, &bytes(&PathBuffer(path)))
}

/// deleteContainer's path stands as a buffer.
struct PathBuffer<'a>(&'a str);

impl<'a> Field<'a> for PathBuffer<'a> {
    const BYTES_MIN: usize = 4;
    fn get(input: &mut Decoder<'a>) -> Result<Self, DecodeError> {
        DeleteContainerRequest::decode(input).map(|request| PathBuffer(request.path))
    }
    fn put(&self, out: &mut Vec<u8>) {
        DeleteContainerRequest { path: self.0 }.encode(out);
    }
}

#[test]
fn a_client_needs_the_permission_that_the_server_does_not() {
    use ErrorCode::*;
    let mut server = Server::new();
    server.ok(OpCode::CreateContainer, &create("/c", 4));
    assert_eq!(server.create("/p", 0), Ok);
    assert_eq!(server.create("/p/x", 0), Ok);
    assert_eq!(server.set_acl("/p", &[user(perms::ALL & !perms::DELETE)], -1), Ok);
    assert_eq!(reap(&mut server, "/c"), Ok);
    assert_eq!(reap(&mut server, "/p/x"), NoAuth);
    assert_eq!(reap(&mut server, "/p/nope"), NoAuth, "nor is told what is there");
    server.identities = vec![identity("digest", "u:h")];
    assert_eq!(reap(&mut server, "/p/x"), NoAuth);
    server.identities = vec![identity("super", "")];
    assert_eq!(reap(&mut server, "/p/nope"), NoNode);
    server.identities = vec![];
    server.session = 0;
    assert_eq!(reap(&mut server, "/p/x"), Ok);
}

#[test]
fn reaping_spares_what_is_ephemeral_or_has_children() {
    use ErrorCode::*;
    let mut server = Server::new();
    server.ok(OpCode::CreateContainer, &create("/c", 4));
    assert_eq!(server.create("/c/x", 0), Ok);
    assert_eq!(server.create("/e", 1), Ok);
    // Nobody's session asks for it, and no ACL is looked at.
    assert_eq!(server.set_acl("/", &[user(perms::READ)], -1), Ok);
    server.session = 0;
    for (path, error) in [
        ("x", BadArguments),
        ("/", BadArguments),
        ("/zookeeper/config", BadArguments),
        ("/nope", NoNode),
        ("/c", NotEmpty),
        ("/e", BadVersion),
        ("/c/x", Ok),
        ("/c", Ok),
    ] {
        assert_eq!(reap(&mut server, path), error, "{path}");
    }
    assert_eq!(server.txn(), Txn::DeleteContainer { path: "/c" });
    let expected = [(NodeDeleted, "/c".to_owned()), (NodeChildrenChanged, "/".to_owned())];
    assert_eq!(server.events(), expected);
}

#[test]
fn what_is_due_for_reaping() {
    let mut server = Server::new();
    for path in ["/used", "/fresh", "/full"] {
        server.ok(OpCode::CreateContainer, &create(path, 4));
    }
    for path in ["/used/x", "/full/x", "/plain"] {
        assert_eq!(server.create(path, 0), ErrorCode::Ok);
    }
    assert_eq!(server.delete("/used/x", -1), ErrorCode::Ok);
    assert_eq!(server.create_ttl("/ttl", 5, 100), ErrorCode::Ok);
    assert_eq!(server.create_ttl("/parent", 5, 100), ErrorCode::Ok);
    assert_eq!(server.create("/parent/x", 0), ErrorCode::Ok);
    let made_ms = server.stat("/ttl").mtime_ms;
    let mut config = ReapConfig { never_used_ms_max: 0, candidates_max: 10 };
    let due = |server: &Server, config: &ReapConfig, now_ms| {
        reap_candidates(&server.tree, config, now_ms)
    };
    assert_eq!(due(&server, &config, made_ms + 100), ["/used"]);
    assert_eq!(due(&server, &config, made_ms + 101), ["/used", "/ttl"]);
    config.candidates_max = 1;
    assert_eq!(due(&server, &config, made_ms + 101), ["/used"]);
    config = ReapConfig { never_used_ms_max: 50, candidates_max: 10 };
    let fresh_ms = server.stat("/fresh").mtime_ms;
    assert_eq!(due(&server, &config, fresh_ms + 50), ["/used"]);
    assert_eq!(due(&server, &config, fresh_ms + 51), ["/used", "/fresh"]);
    // A change of data begins the time anew.
    assert_eq!(server.set("/ttl", "x", -1), ErrorCode::Ok);
    assert!(!due(&server, &config, made_ms + 101).contains(&"/ttl".to_owned()));
    // Nor is it reaped, or what was made anew, if it was found before that.
    let still = |path, now_ms| is_due(&server.tree, path, &config, now_ms);
    let changed_ms = server.stat("/ttl").mtime_ms;
    assert!(!still("/ttl", made_ms + 101) && still("/ttl", changed_ms + 101));
    assert!(still("/used", made_ms) && still("/fresh", fresh_ms + 51));
    for path in ["/fresh", "/full", "/parent", "/plain", "/gone"] {
        assert!(!still(path, fresh_ms + 50), "{path}");
    }
}
