//! Quotas.

use super::multi::{errors, multi};
use super::*;
use crate::protocol::MultiOp;

/// A server with a quota of these limits on `/q`, which exists.
fn server(limits: &str) -> Server {
    let mut server = Server::new();
    server.config.enforce_quota = true;
    for path in ["/q", "/zookeeper/quota/q"] {
        assert_eq!(server.create(path, 0), ErrorCode::Ok);
    }
    for (name, data) in [("limits", limits), ("stats", "")] {
        let path = format!("/zookeeper/quota/q/zookeeper_{name}");
        let data = Some(data.as_bytes());
        let request = CreateRequest { path: &path, data, acl: ANYONE.to_vec(), flags: 0 };
        server.ok(OpCode::Create, &bytes(&request));
    }
    server
}

fn stats(server: &Server) -> String {
    let read = |tree: &TreeWriter| {
        let node = tree.get("/zookeeper/quota/q/zookeeper_stats").unwrap();
        assert_eq!(node.stat().version, 0, "statistics change without a version");
        String::from_utf8(node.data().unwrap().to_vec()).unwrap()
    };
    assert_eq!(read(&server.tree), read(&server.replica));
    read(&server.tree)
}

#[test]
fn hard_limits_refuse_and_soft_ones_are_counted() {
    use ErrorCode::*;
    let mut server = server("count=2,bytes=3=;byteHardLimit=5;countHardLimit=3");
    assert_eq!(stats(&server), "count=1,bytes=1");
    assert_eq!(server.create("/q/a", 0), Ok);
    assert_eq!(server.out.quota_warnings, 0);
    assert_eq!(server.create("/q/a/b", 0), Ok);
    assert_eq!(stats(&server), "count=3,bytes=3");
    assert_eq!(server.create("/q/c", 0), QuotaExceeded);
    assert_eq!(server.create("/quite-other", 0), Ok);
    assert_eq!(server.set("/q/a", "123", -1), Ok);
    assert_eq!(server.set("/q/a", "1234", 9), QuotaExceeded, "quota before version");
    assert_eq!(server.set("/q/a", "xyz", -1), Ok, "nothing is added");
    assert_eq!(stats(&server), "count=3,bytes=5");
    assert_eq!(server.delete("/q/a/b", -1), Ok);
    assert_eq!(stats(&server), "count=2,bytes=4");
    server.config.enforce_quota = false;
    assert_eq!(server.set("/q/a", "12345678", -1), Ok);
    assert_eq!((server.out.quota_warnings, server.out.quota_path.as_str()), (1, "/q"));
    // Only where there is no hard limit does the soft one say anything.
    server.config.enforce_quota = true;
    assert_eq!(server.set("/zookeeper/quota/q/zookeeper_limits", "count=2,bytes=3", -1), Ok);
    assert_eq!(server.create("/q/c", 0), Ok);
    assert_eq!(server.out.quota_warnings, 2);
    assert_eq!(server.delete("/zookeeper/quota/q/zookeeper_limits", -1), Ok);
    assert_eq!(server.create("/q/d", 0), Ok);
    assert_eq!(stats(&server), "count=3,bytes=10", "counted no more");
}

#[test]
fn a_multi_is_measured_against_what_was_before_it() {
    let mut server = server("count=-1,bytes=-1=;countHardLimit=2");
    let make = |path| {
        let request = CreateRequest { path, data: None, acl: ANYONE.to_vec(), flags: 0 };
        MultiOp::Create { op: OpCode::Create, request }
    };
    // One more is allowed, and each of the two is one more.
    server.ok(OpCode::Multi, &multi(&[make("/q/a"), make("/q/b")]));
    assert_eq!(stats(&server), "count=3,bytes=1");
    let delete = MultiOp::Delete(DeleteRequest { path: "/q/a", version: -1 });
    let also = MultiOp::Delete(DeleteRequest { path: "/q/b", version: -1 });
    server.ok(OpCode::Multi, &multi(&[delete, also, make("/q/c")]));
    assert_eq!(errors(&server), [0, 0, ErrorCode::QuotaExceeded.code()]);
    assert_eq!(stats(&server), "count=3,bytes=1", "the undo covers the statistics");
}

#[test]
fn limits_that_cannot_be_read_fail_every_write() {
    let mut server = server("garbage");
    assert_eq!(server.create("/q/a", 0), ErrorCode::MarshallingError);
    let request = CreateRequest { path: "/q/a", data: None, acl: ANYONE.to_vec(), flags: 0 };
    let make = MultiOp::Create { op: OpCode::Create, request };
    let also = MultiOp::SetData(SetDataRequest { path: "/", data: None, version: -1 });
    let body = multi(&[also, make]);
    assert_eq!(server.error(OpCode::Multi, &body), ErrorCode::MarshallingError);
    assert_eq!(server.stat("/").version, 0);
    server.config.enforce_quota = false;
    assert_eq!(server.create("/q/a", 0), ErrorCode::Ok);
}
