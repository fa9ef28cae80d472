//! Bytes that Apache ZooKeeper 3.9's own classes wrote, and round trips of anything.

use super::*;
use crate::jute::DecodeError;
use crate::protocol::AclRef;
use proptest::prelude::*;

const CREATE: &str = "01000000000000010000000700000002000000030000018bcfe5680000000001000000022f6100000001\
         64000000010000001f00000005776f726c6400000006616e796f6e650100000003000000020000000051\
         c6d660";
const CREATE_V0: &str = "01000000000000010000000700000002000000030000018bcfe5680000000001000000022f61ffffffff\
         000000010000001f00000005776f726c6400000006616e796f6e6500";
const CREATE2: &str = "01000000000000010000000700000002000000030000018bcfe568000000000f000000022f6100000000\
         000000020000001f00000005776f726c6400000006616e796f6e65000000050000000664696765737400\
         000004753a683d00ffffffff000000020000000051c6d660";
const CONTAINER: &str = "01000000000000010000000700000002000000030000018bcfe5680000000013000000022f63ffffffff\
         000000010000001f00000005776f726c6400000006616e796f6e6500000001";
const TTL: &str = "01000000000000010000000700000002000000030000018bcfe5680000000015000000022f7400000001\
         78000000010000001f00000005776f726c6400000006616e796f6e650000000200000000000013880000\
         00020000000051c6d660";
const DELETE: &str = "01000000000000010000000700000002000000030000018bcfe5680000000002000000022f6100000002\
         0000000051c6d660";
const DELETE_CONTAINER: &str = "01000000000000010000000700000002000000030000018bcfe5680000000014000000022f6300000002\
         0000000051c6d660";
const SET_DATA: &str = "01000000000000010000000700000002000000030000018bcfe5680000000005000000022f6100000002\
         646400000004000000020000000051c6d660";
const RECONFIG: &str = "01000000000000010000000700000002000000030000018bcfe5680000000010000000112f7a6f6f6b65\
         657065722f636f6e6669670000000176ffffffff000000020000000051c6d660";
const SET_ACL: &str = "01000000000000010000000700000002000000030000018bcfe5680000000007000000022f6100000002\
         0000001f00000005776f726c6400000006616e796f6e6500000005000000066469676573740000000475\
         3a683d00000002000000020000000051c6d660";
const CREATE_SESSION: &str = "01000000000000010000000700000002000000030000018bcfe56800fffffff600007530000000020000\
         000051c6d660";
const CLOSE_SESSION: &str = "01000000000000010000000700000002000000030000018bcfe56800fffffff500000002000000022f61\
         000000042f622f63000000020000000051c6d660";
const CLOSE_SESSION_EMPTY: &str = "01000000000000010000000700000002000000030000018bcfe56800fffffff500000000000000020000\
         000051c6d660";
const CLOSE_SESSION_OLD: &str = "01000000000000010000000700000002000000030000018bcfe56800fffffff5";
const CLOSE_SESSION_OLD_DIGEST: &str = "01000000000000010000000700000002000000030000018bcfe56800fffffff5000000020000000051c6\
         d660";
const ERROR: &str = "01000000000000010000000700000002000000030000018bcfe56800ffffffffffffff9b";
const MULTI: &str = "01000000000000010000000700000002000000030000018bcfe568000000000e00000004000000010000\
         002a000000022f6dffffffff000000010000001f00000005776f726c6400000006616e796f6e65000000\
         00090000000d0000000a000000022f6d00000001000000050000000f000000022f6d000000017a000000\
         010000000200000006000000022f6d000000020000000051c6d660";
const MULTI_ERROR: &str = "01000000000000010000000700000002000000030000018bcfe568000000000e00000002ffffffff0000\
         000400000000ffffffff00000004fffffffe000000020000000051c6d660";

const ANY: AclRef<'static> = AclRef::ANYONE_ALL;
const USER: AclRef<'static> = AclRef { perms: 5, scheme: "digest", id: "u:h=" };

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

fn header(kind: TxnType) -> TxnHeader {
    let (zxid, time_ms) = (0x2_0000_0003, 1_700_000_000_000);
    TxnHeader { client_id: 0x100_0000_0000_0001, cxid: 7, zxid, time_ms, kind }
}

/// The bytes decode to the transaction, and the transaction encodes to the bytes.
fn both_ways(hex: &str, kind: TxnType, txn: Txn<'_>, has_digest: bool) {
    let bytes = unhex(hex);
    let digest =
        has_digest.then_some(TxnDigest { version: DIGEST_VERSION, tree_digest: 1_371_985_504 });
    assert_eq!(decode_record(&bytes), Ok((header(kind), txn.clone(), digest)));
    let mut out = Vec::new();
    encode_record(&header(kind), &txn, digest, &mut out);
    assert_eq!(out, bytes, "{kind:?}");
}

#[test]
fn creations_as_java_writes_them() {
    let create = |data, acl, ephemeral, parent_cversion| Txn::Create {
        path: "/a",
        data,
        acl,
        ephemeral,
        parent_cversion,
    };
    both_ways(CREATE, TxnType::Create, create(Some(b"d"), vec![ANY], true, 3), true);
    both_ways(CREATE2, TxnType::Create2, create(Some(b""), vec![ANY, USER], false, -1), true);
    let old = unhex(CREATE_V0);
    let txn = create(None, vec![ANY], false, -1);
    assert_eq!(decode_record(&old), Ok((header(TxnType::Create), txn, None)));
    let (path, data, acl) = ("/c", None, vec![ANY]);
    let container = Txn::CreateContainer { path, data, acl: acl.clone(), parent_cversion: 1 };
    both_ways(CONTAINER, TxnType::CreateContainer, container, false);
    let (path, data) = ("/t", Some(&b"x"[..]));
    let ttl = Txn::CreateTtl { path, data, acl, parent_cversion: 2, ttl_ms: 5000 };
    both_ways(TTL, TxnType::CreateTtl, ttl, true);
}

#[test]
fn changes_as_java_writes_them() {
    both_ways(DELETE, TxnType::Delete, Txn::Delete { path: "/a" }, true);
    let reap = Txn::DeleteContainer { path: "/c" };
    both_ways(DELETE_CONTAINER, TxnType::DeleteContainer, reap, true);
    let set_data = Txn::SetData { path: "/a", data: Some(b"dd"), version: 4 };
    both_ways(SET_DATA, TxnType::SetData, set_data, true);
    let reconfig = Txn::Reconfig { path: "/zookeeper/config", data: Some(b"v"), version: -1 };
    both_ways(RECONFIG, TxnType::Reconfig, reconfig, true);
    let set_acl = Txn::SetAcl { path: "/a", acl: vec![ANY, USER], aversion: 2 };
    both_ways(SET_ACL, TxnType::SetAcl, set_acl, true);
    both_ways(ERROR, TxnType::Error, Txn::Error { err: -101 }, false);
}

#[test]
fn sessions_as_java_writes_them() {
    let open = Txn::CreateSession { timeout_ms: 30_000 };
    both_ways(CREATE_SESSION, TxnType::CreateSession, open, true);
    let close = |paths| Txn::CloseSession { paths };
    let kind = TxnType::CloseSession;
    both_ways(CLOSE_SESSION, kind, close(Some(vec!["/a", "/b/c"])), true);
    both_ways(CLOSE_SESSION_EMPTY, kind, close(Some(vec![])), true);
    both_ways(CLOSE_SESSION_OLD, kind, close(None), false);
    both_ways(CLOSE_SESSION_OLD_DIGEST, kind, close(None), true);
}

#[test]
fn multis_as_java_writes_them() {
    let create = Txn::Create {
        path: "/m",
        data: None,
        acl: vec![ANY],
        ephemeral: false,
        parent_cversion: 9,
    };
    let txn = Txn::Multi(vec![
        (TxnType::Create, create),
        (TxnType::Check, Txn::Check { path: "/m", version: 1 }),
        (TxnType::SetData, Txn::SetData { path: "/m", data: Some(b"z"), version: 1 }),
        (TxnType::Delete, Txn::Delete { path: "/m" }),
    ]);
    both_ways(MULTI, TxnType::Multi, txn, true);
    let errors = [0, -2].map(|err| (TxnType::Error, Txn::Error { err }));
    both_ways(MULTI_ERROR, TxnType::Multi, Txn::Multi(errors.into()), true);
}

#[test]
fn every_cut_of_a_record_is_an_error_or_an_older_form() {
    for hex in [CREATE2, CONTAINER, TTL, SET_DATA, SET_ACL, MULTI, CREATE_SESSION] {
        let bytes = unhex(hex);
        let (whole, _) = (decode_record(&bytes).unwrap(), ());
        let digest = if whole.2.is_some() { TxnDigest::BYTES } else { 0 };
        for cut in 0..bytes.len() {
            let read = decode_record(&bytes[..cut]);
            assert_eq!(read.is_ok(), cut == bytes.len() - digest, "{hex} cut at {cut}");
        }
    }
}

#[test]
fn what_is_no_transaction_is_refused() {
    let mut bytes = unhex(DELETE);
    bytes.push(0);
    let trailing = TxnError::Trailing { zxid: 0x2_0000_0003, kind: TxnType::Delete, bytes: 13 };
    assert_eq!(decode_record(&bytes), Err(trailing));
    let mut bytes = unhex(DELETE);
    bytes[31] = 4;
    let invalid = DecodeError::Invalid { what: "transaction type", offset: 28, value: 4 };
    assert_eq!(decode_record(&bytes), Err(TxnError::Header(invalid)));
    // A multi inside a multi would recurse as deep as its bytes allow.
    let inner = (TxnType::Multi, Txn::Multi(vec![]));
    let mut bytes = Vec::new();
    encode_record(&header(TxnType::Multi), &Txn::Multi(vec![inner]), None, &mut bytes);
    assert!(matches!(decode_record(&bytes), Err(TxnError::Body { .. })));
}

const NAMES: [&str; 5] = ["", "/", "/a", "/some/longer/path", "ä"];

fn name() -> impl Strategy<Value = &'static str> + Clone {
    proptest::sample::select(&NAMES[..])
}

const DATA: [Option<&[u8]>; 4] = [None, Some(b""), Some(b"x"), Some(&[0xff; 300])];

fn data() -> impl Strategy<Value = Option<&'static [u8]>> + Clone {
    proptest::sample::select(&DATA[..])
}

fn acl() -> impl Strategy<Value = Vec<AclRef<'static>>> + Clone {
    let entry = (any::<i32>(), name(), name());
    proptest::collection::vec(
        entry.prop_map(|(perms, scheme, id)| AclRef { perms, scheme, id }),
        0..3,
    )
}

fn single() -> impl Strategy<Value = Txn<'static>> {
    let node = (name(), data(), acl(), any::<i32>());
    prop_oneof![
        (node.clone(), any::<bool>()).prop_map(
            |((path, data, acl, parent_cversion), ephemeral)| {
                Txn::Create { path, data, acl, ephemeral, parent_cversion }
            }
        ),
        node.clone().prop_map(|(path, data, acl, parent_cversion)| {
            Txn::CreateContainer { path, data, acl, parent_cversion }
        }),
        (node, any::<i64>()).prop_map(|((path, data, acl, parent_cversion), ttl_ms)| {
            Txn::CreateTtl { path, data, acl, parent_cversion, ttl_ms }
        }),
        name().prop_map(|path| Txn::Delete { path }),
        name().prop_map(|path| Txn::DeleteContainer { path }),
        (name(), data(), any::<i32>()).prop_map(|(path, data, version)| Txn::SetData {
            path,
            data,
            version
        }),
        (name(), acl(), any::<i32>()).prop_map(|(path, acl, aversion)| Txn::SetAcl {
            path,
            acl,
            aversion
        }),
        (name(), any::<i32>()).prop_map(|(path, version)| Txn::Check { path, version }),
        any::<i32>().prop_map(|timeout_ms| Txn::CreateSession { timeout_ms }),
        any::<i32>().prop_map(|err| Txn::Error { err }),
    ]
}

fn txn() -> impl Strategy<Value = Txn<'static>> {
    prop_oneof![
        4 => single(),
        1 => proptest::collection::vec(name(), 0..4)
            .prop_map(|paths| Txn::CloseSession { paths: Some(paths) }),
        2 => proptest::collection::vec(single().prop_map(|txn| (txn.kind(), txn)), 0..5)
            .prop_map(Txn::Multi),
    ]
}

proptest! {
    #[test]
    fn what_is_written_is_read(txn in txn(), digest in proptest::option::of(any::<i64>())) {
        let digest = digest.map(|tree_digest| TxnDigest { version: DIGEST_VERSION, tree_digest });
        let header = header(txn.kind());
        let mut bytes = Vec::new();
        encode_record(&header, &txn, digest, &mut bytes);
        prop_assert_eq!(decode_record(&bytes), Ok((header, txn, digest)));
    }

    #[test]
    fn anything_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), kind in 0..14_usize) {
        let _ = decode_record(&bytes);
        // Random types are nearly never ones, so begin with a sound header as well.
        let mut record = Vec::new();
        header(TxnType::ALL[kind]).encode(&mut record);
        record.extend_from_slice(&bytes);
        let _ = decode_record(&record);
    }
}
