//! Every operation, every error, and that the bytes say all that was done.

mod change;
mod create;
mod delete;
mod model;
mod multi;
mod quota;
mod session;

use super::*;
use crate::jute::Encode;
use crate::protocol::{
    Acl, AclRef, CreateRequest, CreateTtlRequest, DeleteRequest, EventType, SetAclRequest,
    SetDataRequest, Stat, perms,
};
use crate::tree::{self, TreeConfig, apply::apply};
use crate::txn::{Txn, TxnHeader, decode_record};

/// The session that most tests use.
const SESSION: i64 = 0x100;
/// Another one.
const OTHER: i64 = 0x200;
const ANYONE: &[AclRef<'static>] = &[AclRef::ANYONE_ALL];

/// A server's tree, and a second one that is fed with the transactions' bytes alone.
struct Server {
    tree: TreeWriter,
    replica: TreeWriter,
    config: PrepareConfig,
    out: Output,
    zxid: Zxid,
    identities: Vec<Identity>,
    session: i64,
    moved: bool,
}

impl Server {
    fn new() -> Self {
        let config = PrepareConfig {
            extended_types_enabled: true,
            digest_enabled: true,
            ..PrepareConfig::default()
        };
        Self::with(config)
    }

    /// A server with two sessions.
    fn with(config: PrepareConfig) -> Self {
        let tree_config = TreeConfig {
            extended_types: config.extended_types_enabled,
            nodes_max: 10_000,
            sessions_max: 1024,
            ..TreeConfig::default()
        };
        let (tree, replica) = (tree::new(tree_config.clone()), tree::new(tree_config));
        let out = Output::new();
        let mut server = Server {
            tree,
            replica,
            config,
            out,
            zxid: 0,
            identities: vec![],
            session: SESSION,
            moved: false,
        };
        for session in [SESSION, OTHER] {
            server.session = session;
            server.ok(OpCode::CreateSession, &4000_i32.to_be_bytes());
        }
        server.session = SESSION;
        server
    }

    /// Runs a request; the replica applies what it came to.
    fn run(&mut self, op: OpCode, body: &[u8]) -> Outcome {
        let request = Request {
            session_id: self.session,
            cxid: 7,
            op,
            body,
            identities: &self.identities,
            moved: self.moved,
            now_ms: 1_000 + self.zxid,
        };
        let digest = self.tree.digest();
        let outcome = prepare(&mut self.tree, &self.config, &request, self.zxid + 1, &mut self.out);
        match outcome {
            Outcome::Prepared(prepared) => {
                self.zxid += 1;
                assert_eq!(prepared.zxid, self.zxid);
                if !prepared.error.is_ok() {
                    assert!(self.out.reply.is_empty() && self.out.events.is_empty());
                    assert_eq!(self.tree.digest(), digest, "a failed request changes nothing");
                }
                self.replay(prepared.kind);
            }
            Outcome::Refused(_) => {
                assert_eq!(self.tree.digest(), digest);
                assert!(self.out.txn.is_empty());
            }
        }
        outcome
    }

    fn replay(&mut self, kind: TxnType) {
        let (header, txn, digest) = decode_record(&self.out.txn).expect("prepared bytes decode");
        let expected = TxnHeader {
            client_id: self.session,
            cxid: 7,
            zxid: self.zxid,
            time_ms: 999 + self.zxid,
            kind,
        };
        assert_eq!(header, expected);
        let applied = apply(&mut self.replica, &header, &txn).expect("prepared bytes apply");
        assert_eq!(self.replica.digest(), self.tree.digest(), "{txn:?}");
        let carried = digest.map(|d| (d.version, d.tree_digest));
        // An error transaction carries none, as ZooKeeper's.
        let carries = self.config.digest_enabled && kind != TxnType::Error;
        assert_eq!(carried, carries.then_some((2, self.tree.digest())));
        let mut events = Events::default();
        events.push_owed(&txn, &applied.effect);
        // The numbers of ACLs are each tree's own.
        let owed = |tree: &TreeWriter, events: &Events| -> Vec<_> {
            let owed = |e: Event<'_>| (e.kind, e.path.to_owned(), tree.acl_list(e.acl).to_vec());
            events.iter().map(owed).collect()
        };
        let expected = owed(&self.tree, &self.out.events);
        assert_eq!(owed(&self.replica, &events), expected, "a follower owes the same events");
    }

    /// The error of a request; `Ok` if it has none.
    fn error(&mut self, op: OpCode, body: &[u8]) -> ErrorCode {
        match self.run(op, body) {
            Outcome::Prepared(prepared) => prepared.error,
            Outcome::Refused(error) => panic!("{op:?} refused with {error:?}"),
        }
    }

    fn ok(&mut self, op: OpCode, body: &[u8]) {
        assert_eq!(self.error(op, body), ErrorCode::Ok, "{op:?}");
    }

    fn create(&mut self, path: &str, flags: i32) -> ErrorCode {
        self.error(OpCode::Create, &create(path, flags))
    }

    fn create_ttl(&mut self, path: &str, flags: i32, ttl_ms: i64) -> ErrorCode {
        let acl = ANYONE.to_vec();
        let request = CreateTtlRequest { path, data: None, acl, flags, ttl_ms };
        self.error(OpCode::CreateTtl, &bytes(&request))
    }

    fn delete(&mut self, path: &str, version: i32) -> ErrorCode {
        self.error(OpCode::Delete, &bytes(&DeleteRequest { path, version }))
    }

    fn set(&mut self, path: &str, data: &str, version: i32) -> ErrorCode {
        let data = Some(data.as_bytes());
        self.error(OpCode::SetData, &bytes(&SetDataRequest { path, data, version }))
    }

    fn set_acl(&mut self, path: &str, acl: &[AclRef<'_>], version: i32) -> ErrorCode {
        let acl = acl.to_vec();
        self.error(OpCode::SetAcl, &bytes(&SetAclRequest { path, acl, version }))
    }

    fn stat(&self, path: &str) -> Stat {
        self.tree.get(path).unwrap_or_else(|| panic!("{path} is missing")).stat()
    }

    fn acl_of(&self, path: &str) -> Vec<Acl> {
        self.tree.acl_list(self.tree.get(path).unwrap().acl()).to_vec()
    }

    fn events(&self) -> Vec<(EventType, String)> {
        self.out.events.iter().map(|e| (e.kind, e.path.to_owned())).collect()
    }

    /// The transaction that was made last.
    fn txn(&self) -> Txn<'_> {
        decode_record(&self.out.txn).unwrap().1
    }
}

fn bytes<'a>(record: &impl Field<'a>) -> Vec<u8> {
    let mut out = Vec::new();
    record.put(&mut out);
    out
}

fn create(path: &str, flags: i32) -> Vec<u8> {
    bytes(&CreateRequest { path, data: Some(b"d"), acl: ANYONE.to_vec(), flags })
}

fn identity(scheme: &str, id: &str) -> Identity {
    Identity { scheme: scheme.to_owned(), id: id.to_owned() }
}

/// An ACL entry of `u` in the scheme digest.
fn user(perms: i32) -> AclRef<'static> {
    AclRef { perms, scheme: "digest", id: "u:h" }
}

#[test]
fn what_is_no_write_or_no_request_takes_no_zxid() {
    let mut server = Server::new();
    let refused = [
        (OpCode::GetData, &b""[..], ErrorCode::Unimplemented),
        (OpCode::Check, b"", ErrorCode::Unimplemented),
        (OpCode::Create, b"", ErrorCode::MarshallingError),
        (OpCode::CreateTtl, b"\0\0\0\x02/a", ErrorCode::MarshallingError),
        (OpCode::SetData, b"\0\0\0\x09/a", ErrorCode::MarshallingError),
        (OpCode::Delete, b"\0\0\0\x02/a\0", ErrorCode::MarshallingError),
        // A null path alone is no reason for a zxid: what is behind it is missing.
        (OpCode::Delete, b"\xff\xff\xff\xff", ErrorCode::MarshallingError),
        (OpCode::SetAcl, b"", ErrorCode::MarshallingError),
        (OpCode::CreateSession, b"", ErrorCode::MarshallingError),
        (OpCode::DeleteContainer, b"\xff\xff\xff\xff", ErrorCode::MarshallingError),
        (OpCode::Reconfig, b"", ErrorCode::MarshallingError),
    ];
    for (op, body, error) in refused {
        assert_eq!(server.run(op, body), Outcome::Refused(error), "{op:?}");
    }
    assert_eq!(server.create("/a", 0), ErrorCode::Ok);
    assert_eq!(server.stat("/a").czxid, 3);
}

#[test]
fn a_null_that_zookeeper_runs_into_takes_a_zxid() {
    let mut server = Server::new();
    // A path of null, then as much as the longest of them reads.
    let null_path = [&[0xff; 4][..], &[0; 12], &[0xff; 8]].concat();
    for (op, error) in [
        (OpCode::Create, ErrorCode::MarshallingError),
        // Flags and time to live come before the path, and these do not go together.
        (OpCode::CreateTtl, ErrorCode::BadArguments),
        (OpCode::Delete, ErrorCode::MarshallingError),
        (OpCode::SetData, ErrorCode::BadArguments),
        (OpCode::SetAcl, ErrorCode::BadArguments),
    ] {
        assert_eq!(server.error(op, &null_path), error, "{op:?}");
    }
    // A path, no data, and null for an ACL.
    let null_acl = [&b"\0\0\0\x02/a"[..], &[0xff; 8], &[0; 4]].concat();
    assert_eq!(server.error(OpCode::Create, &null_acl), ErrorCode::InvalidAcl);
    let null_id =
        [b"\0\0\0\x02/a", &[0xff; 4][..], b"\0\0\0\x01\0\0\0\x1f\0\0\0\x05world", &[0xff; 4]];
    let null_id = [&null_id.concat()[..], &[0; 4]].concat();
    assert_eq!(server.error(OpCode::Create, &null_id), ErrorCode::MarshallingError);
    assert_eq!(server.zxid, 9);
    let ttl = [&[0xff; 4][..], &[0; 8], &5_i32.to_be_bytes(), &1_i64.to_be_bytes()].concat();
    assert_eq!(server.error(OpCode::CreateTtl, &ttl), ErrorCode::MarshallingError);
    server.config.extended_types_enabled = false;
    assert_eq!(server.error(OpCode::CreateTtl, &ttl), ErrorCode::Unimplemented);
}

#[test]
fn a_null_id_matters_where_ids_are_looked_at() {
    let mut server = Server::new();
    server.identities = vec![identity("digest", "u:h")];
    let mut entry = |scheme: &str| {
        let mut body = Vec::new();
        body.put_str(&format!("/{scheme}"));
        body.put_buffer(None);
        body.put_count(1);
        body.put_i32(perms::ALL);
        body.put_buffer((scheme != "null").then_some(scheme.as_bytes()));
        body.put_buffer(None);
        body.put_i32(0);
        server.error(OpCode::Create, &body)
    };
    for scheme in ["world", "digest", "ip"] {
        assert_eq!(entry(scheme), ErrorCode::MarshallingError, "{scheme}");
    }
    assert_eq!(entry("null"), ErrorCode::InvalidAcl);
    assert_eq!(entry("nope"), ErrorCode::InvalidAcl);
    // kazoo writes an empty string so.
    assert_eq!(entry("auth"), ErrorCode::Ok);
    assert_eq!(server.acl_of("/auth"), [user(perms::ALL).to_owned()]);
}

#[test]
fn a_null_id_is_looked_at_when_its_turn_comes() {
    let mut server = Server::new();
    assert_eq!(server.create("/a", 0), ErrorCode::Ok);
    let put_acl = |body: &mut Vec<u8>, entries: &[(Option<&str>, Option<&str>)]| {
        body.put_count(entries.len());
        for (scheme, id) in entries {
            body.put_i32(perms::ALL);
            body.put_buffer(scheme.map(str::as_bytes));
            body.put_buffer(id.map(str::as_bytes));
        }
    };
    let null = (Some("digest"), None);
    let create = |path: &str, flags: i32, entries: &[_]| {
        let mut body = Vec::new();
        body.put_str(path);
        body.put_buffer(None);
        put_acl(&mut body, entries);
        body.put_i32(flags);
        body
    };
    use ErrorCode::*;
    for (path, flags, entries, error) in [
        ("/x", 9, &[null][..], BadArguments),
        ("/x", 5, &[null], BadArguments),
        ("x", 0, &[null], BadArguments),
        ("/nope/x", 0, &[null], MarshallingError),
        ("/x", 0, &[(Some("nope"), Some("x")), null], InvalidAcl),
        ("/x", 0, &[(Some("world"), Some("anyone")), null], MarshallingError),
        ("/x", 0, &[null, (Some("nope"), Some("x"))], MarshallingError),
        ("/x", 0, &[], InvalidAcl),
    ] {
        let body = create(path, flags, entries);
        assert_eq!(server.error(OpCode::Create, &body), error, "{path} {flags} {entries:?}");
    }
    let set_acl = |path: &str| {
        let mut body = Vec::new();
        body.put_str(path);
        put_acl(&mut body, &[null]);
        body.put_i32(9);
        body
    };
    assert_eq!(server.error(OpCode::SetAcl, &set_acl("/a/")), BadArguments);
    assert_eq!(server.error(OpCode::SetAcl, &set_acl("/nope")), MarshallingError);
    assert_eq!(server.error(OpCode::SetAcl, &set_acl("/a")), MarshallingError);
}

#[test]
fn what_is_no_utf_8_is_no_request() {
    let mut server = Server::new();
    let path = |bytes: &[u8], rest: &[u8]| {
        let mut body = Vec::new();
        body.put_buffer(Some(bytes));
        body.extend_from_slice(rest);
        body
    };
    let refused = Outcome::Refused(ErrorCode::MarshallingError);
    assert_eq!(server.run(OpCode::Create, &path(b"/\xff", &create("", 0)[4..])), refused);
    assert_eq!(server.run(OpCode::Delete, &path(b"/\xff", &[0; 4])), refused);
    assert_eq!(server.run(OpCode::DeleteContainer, &path(b"/\xc3", &[])), refused);
    assert_eq!(server.run(OpCode::SetData, &path(b"/\xed\xa0\x80", &[0; 8])), refused);
    // A multi takes a zxid whatever it is.
    let header = [0, 0, 0, 2, 0, 0, 0, 0, 0];
    let multi = [&header[..], &path(b"/\xff", &[0; 4]), &multi::multi(&[])].concat();
    assert_eq!(server.error(OpCode::Multi, &multi), ErrorCode::MarshallingError);
}

#[test]
fn bytes_behind_a_request_are_passed_over() {
    let mut server = Server::new();
    let body = [create("/a", 0), vec![1, 2, 3]].concat();
    server.ok(OpCode::Create, &body);
}

#[test]
fn reconfig_is_refused_with_a_transaction() {
    let mut server = Server::new();
    let body = bytes(&crate::protocol::ReconfigRequest {
        joining_servers: None,
        leaving_servers: Some("1"),
        new_members: None,
        config_id: -1,
    });
    assert_eq!(server.error(OpCode::Reconfig, &body), ErrorCode::ReconfigDisabled);
    server.config.reconfig_enabled = true;
    assert_eq!(server.error(OpCode::Reconfig, &body), ErrorCode::Unimplemented);
    server.session = 5;
    assert_eq!(server.error(OpCode::Reconfig, &body), ErrorCode::SessionExpired);
    assert_eq!(server.zxid, 5);
}

#[test]
fn a_full_tree_fails_a_request_and_stays_as_it_is() {
    let mut server = Server::new();
    let mut full = tree::new(TreeConfig { sessions_max: 1, ..TreeConfig::default() });
    let timeout = 1_i32.to_be_bytes();
    let mut open = |zxid| {
        let (op, body, identities) = (OpCode::CreateSession, &timeout[..], &[][..]);
        let (session_id, moved, now_ms) = (zxid, false, 0);
        let request = Request { session_id, cxid: 0, op, body, identities, moved, now_ms };
        let outcome = prepare(&mut full, &server.config, &request, zxid, &mut server.out);
        (outcome, full.session_count())
    };
    let made = |zxid, kind, error| Outcome::Prepared(Prepared { zxid, kind, error });
    assert_eq!(open(1), (made(1, TxnType::CreateSession, ErrorCode::Ok), 1));
    assert_eq!(open(2), (made(2, TxnType::Error, ErrorCode::SystemError), 1));
    assert_eq!(server.txn(), Txn::Error { err: -1 });
}
