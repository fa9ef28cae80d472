//! Bytes that Apache ZooKeeper 3.9's own classes wrote, and round trips of anything.

use super::*;
use crate::jute::{DecodeError, Decoder, Field};
use proptest::prelude::*;

const CONNECT: &str = "000000000000000000000005000075300000000000000123000000100000000000000000000000000000\
         000001";
const CREATE_REQ: &str = "0000000100000001000000022f610000000164000000020000001f00000005776f726c6400000006616e\
         796f6e65000000050000000664696765737400000004753a683d00000003";
const CREATE_TTL_REQ: &str = "0000000100000015000000022f61ffffffff000000010000001f00000005776f726c6400000006616e79\
         6f6e650000000500000000000003e8";
const SET_DATA_REQ: &str = "0000000200000005000000022f61000000026464ffffffff";
const SET_ACL_REQ: &str = "0000000200000007000000022f61000000020000001f00000005776f726c6400000006616e796f6e6500\
         0000050000000664696765737400000004753a683dffffffff";
const SET_WATCHES2: &str = "fffffff800000069000000000000000900000001000000022f6100000002000000022f62000000022f63\
         0000000000000001000000022f6400000001000000022f65";
const AUTH: &str = "fffffffc00000064000000000000000664696765737400000003753a70";
const RECONFIG_REQ: &str = "ffffffff0000000131ffffffffffffffffffffffff";
const ADD_WATCH: &str = "000000022f6100000001";
const DELETE_CONTAINER_REQ: &str = "000000022f63";
const MULTI_REQ: &str = "0000000100ffffffff000000022f610000000164000000010000001f00000005776f726c640000000661\
         6e796f6e65000000000000001300ffffffff000000022f63ffffffff000000010000001f00000005776f\
         726c6400000006616e796f6e65000000040000001500ffffffff000000022f74ffffffff000000010000\
         001f00000005776f726c6400000006616e796f6e6500000005000000000000004d0000000200ffffffff\
         000000022f61000000030000000500ffffffff000000022f61ffffffffffffffff0000000d00ffffffff\
         000000022f6100000000ffffffff01ffffffff";
const MULTI_READ: &str =
    "0000000800ffffffff000000022f61000000000400ffffffff000000022f6200ffffffff01ffffffff";
const MULTI_RESP: &str = "000000010000000000000000022f610000000f0000000000000000022f63000000000000000100000000\
         000000020000000000000003000000000000000400000005000000060000000700000000000000080000\
         00090000000a000000000000000b00000002000000000000000005000000000000000000000000010000\
         000000000002000000000000000300000000000000040000000500000006000000070000000000000008\
         000000090000000a000000000000000b0000000d0000000000ffffffff00ffffff9bffffff9bffffffff\
         01ffffffff";
const EVENT: &str = "ffffffff0000000000000005000000000000000300000003000000022f61";

const ANY: AclRef<'static> = AclRef::ANYONE_ALL;
const USER: AclRef<'static> = AclRef { perms: 5, scheme: "digest", id: "u:h=" };

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect()
}

/// The bytes decode to the request behind its header, and both encode to the bytes.
macro_rules! both_ways {
    ($hex:expr, $header:expr, $request:expr, $kind:ident) => {{
        let bytes = unhex($hex);
        let mut input = Decoder::new(&bytes);
        let header: Option<(i32, OpCode)> = $header;
        let mut out = Vec::new();
        if let Some((xid, op)) = header {
            let header = RequestHeader { xid, op_raw: op.code() };
            assert_eq!(RequestHeader::decode(&mut input), Ok(header));
            header.encode(&mut out);
        }
        let request = $request;
        request.encode(&mut out);
        assert_eq!($kind::decode(&mut input), Ok(request));
        assert!(input.is_empty());
        assert_eq!(out, bytes);
    }};
}

#[test]
fn requests_as_java_writes_them() {
    let acl = vec![ANY, USER];
    let create = CreateRequest { path: "/a", data: Some(b"d"), acl: acl.clone(), flags: 3 };
    both_ways!(CREATE_REQ, Some((1, OpCode::Create)), create, CreateRequest);
    let (path, data, flags) = ("/a", None, 5);
    let ttl = CreateTtlRequest { path, data, acl: vec![ANY], flags, ttl_ms: 1000 };
    both_ways!(CREATE_TTL_REQ, Some((1, OpCode::CreateTtl)), ttl, CreateTtlRequest);
    let set_data = SetDataRequest { path: "/a", data: Some(b"dd"), version: -1 };
    both_ways!(SET_DATA_REQ, Some((2, OpCode::SetData)), set_data, SetDataRequest);
    let set_acl = SetAclRequest { path: "/a", acl, version: -1 };
    both_ways!(SET_ACL_REQ, Some((2, OpCode::SetAcl)), set_acl, SetAclRequest);
    let watches = SetWatches2 {
        relative_zxid: 9,
        data_watches: vec!["/a"],
        exist_watches: vec!["/b", "/c"],
        child_watches: vec![],
        persistent_watches: vec!["/d"],
        persistent_recursive_watches: vec!["/e"],
    };
    let op = OpCode::SetWatches2;
    both_ways!(SET_WATCHES2, Some((xid::SET_WATCHES, op)), watches, SetWatches2);
    let auth = AuthPacket { kind: 0, scheme: Some("digest"), auth: Some(b"u:p") };
    both_ways!(AUTH, Some((xid::AUTH, OpCode::Auth)), auth, AuthPacket);
    let reconfig = ReconfigRequest {
        joining_servers: None,
        leaving_servers: Some("1"),
        new_members: None,
        config_id: -1,
    };
    both_ways!(RECONFIG_REQ, None, reconfig, ReconfigRequest);
    let add_watch = AddWatchRequest { path: Some("/a"), mode: 1 };
    both_ways!(ADD_WATCH, None, add_watch, AddWatchRequest);
    let reap = DeleteContainerRequest { path: "/c" };
    both_ways!(DELETE_CONTAINER_REQ, None, reap, DeleteContainerRequest);
}

#[test]
fn handshakes_and_events_as_java_writes_them() {
    let connect = ConnectRequest {
        protocol_version: 0,
        last_zxid_seen: 5,
        timeout_ms: 30_000,
        session_id: 0x123,
        password: Some(&[0; 16]),
        read_only: Some(true),
    };
    both_ways!(CONNECT, None, connect, ConnectRequest);
    let bytes = unhex(EVENT);
    let mut out = Vec::new();
    put_event(&mut out, 5, EventType::NodeDataChanged, "/a");
    assert_eq!(out[4..], bytes);
}

#[test]
fn multis_as_java_writes_them() {
    let node = |path, data, flags| CreateRequest { path, data, acl: vec![ANY], flags };
    let (path, data, flags) = ("/t", None, 5);
    let ttl = CreateTtlRequest { path, data, acl: vec![ANY], flags, ttl_ms: 77 };
    let writes = [
        MultiOp::Create { op: OpCode::Create, request: node("/a", Some(b"d"), 0) },
        MultiOp::Create { op: OpCode::CreateContainer, request: node("/c", None, 4) },
        MultiOp::CreateTtl(ttl),
        MultiOp::Delete(DeleteRequest { path: "/a", version: 3 }),
        MultiOp::SetData(SetDataRequest { path: "/a", data: None, version: -1 }),
        MultiOp::Check(CheckVersionRequest { path: "/a", version: 0 }),
    ];
    let reads = [
        MultiOp::GetChildren(GetChildrenRequest { path: "/a", watch: false }),
        MultiOp::GetData(GetDataRequest { path: "/b", watch: false }),
    ];
    for (hex, ops) in [(MULTI_REQ, &writes[..]), (MULTI_READ, &reads[..])] {
        let bytes = unhex(hex);
        let read: Vec<_> = MultiOps::new(&bytes).map(|item| item.unwrap().1).collect();
        assert_eq!(read, ops);
        let mut out = Vec::new();
        ops.iter().for_each(|op| op.encode(&mut out));
        end_multi(&mut out);
        assert_eq!(out, bytes);
    }
}

#[test]
fn results_as_java_writes_them() {
    let stat = Stat {
        czxid: 1,
        mzxid: 2,
        ctime_ms: 3,
        mtime_ms: 4,
        version: 5,
        cversion: 6,
        aversion: 7,
        ephemeral_owner: 8,
        data_length: 9,
        num_children: 10,
        pzxid: 11,
    };
    let results = [
        MultiResult::Create { path: "/a" },
        MultiResult::Create2 { path: "/c", stat },
        MultiResult::Delete,
        MultiResult::SetData(stat),
        MultiResult::Check,
        MultiResult::Error(-101),
    ];
    let bytes = unhex(MULTI_RESP);
    let read: Result<Vec<_>, DecodeError> = MultiResults::new(&bytes).collect();
    assert_eq!(read.as_deref(), Ok(&results[..]));
    let mut out = Vec::new();
    results.iter().for_each(|result| result.encode(&mut out));
    end_multi(&mut out);
    assert_eq!(out, bytes);
}

/// Reads a record from any bytes; what is read must be written and read again as the same.
fn settles<'a, T: Field<'a> + PartialEq + std::fmt::Debug>(bytes: &'a [u8], out: &'a mut Vec<u8>) {
    let mut input = Decoder::new(bytes);
    if let Ok(record) = T::get(&mut input) {
        assert!(input.offset() >= T::BYTES_MIN);
        record.put(out);
        assert_eq!(T::get(&mut Decoder::new(out)), Ok(record));
    }
}

/// Bytes in which lengths are small and −1 is common, so that records come about.
fn likely_bytes() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        (0..4_u8).prop_map(|n| vec![0, 0, 0, n]),
        Just(vec![0xff; 4]),
        "[/a-z]{0,5}".prop_map(|text| {
            let mut bytes = Vec::new();
            crate::jute::Encode::put_str(&mut bytes, &text);
            bytes
        }),
        proptest::collection::vec(any::<u8>(), 0..3),
    ];
    proptest::collection::vec(piece, 0..16).prop_map(|pieces| pieces.concat())
}

macro_rules! settle_all {
    ($bytes:expr, $($kind:ty),* $(,)?) => { $( settles::<$kind>($bytes, &mut Vec::new()); )* };
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_settle(bytes in likely_bytes()) {
        settle_all!(&bytes, CreateRequest<'_>, CreateTtlRequest<'_>, DeleteRequest<'_>,
            SetDataRequest<'_>, SetAclRequest<'_>, CheckVersionRequest<'_>, ExistsRequest<'_>,
            GetAclRequest<'_>, SetWatches<'_>, SetWatches2<'_>, AuthPacket<'_>,
            ReconfigRequest<'_>, AddWatchRequest<'_>, WatcherEvent<'_>, GetDataResponse<'_>,
            GetChildren2Response<'_>, GetAclResponse<'_>, WhoAmIResponse<'_>, Stat, ReplyHeader);
        let _ = ConnectRequest::decode(&mut Decoder::new(&bytes));
        let _ = MultiOps::new(&bytes).count();
        let _ = MultiResults::new(&bytes).count();
    }

    #[test]
    fn a_create_is_read_as_written(
        path in ".{0,20}",
        data in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..50)),
        acl in proptest::collection::vec((any::<i32>(), ".{0,8}", ".{0,8}"), 0..4),
        flags: i32,
    ) {
        let acl = acl.iter().map(|(perms, scheme, id)| AclRef { perms: *perms, scheme, id });
        let (path, data, acl) = (path.as_str(), data.as_deref(), acl.collect());
        let request = CreateRequest { path, data, acl, flags };
        let mut bytes = Vec::new();
        request.encode(&mut bytes);
        let mut input = Decoder::new(&bytes);
        prop_assert_eq!(CreateRequest::decode(&mut input), Ok(request));
        prop_assert!(input.is_empty());
    }

    /// The rules of paths again, said a second way: as Java's loop over UTF-16 units says them.
    #[test]
    fn paths_are_judged_as_java_judges_them(path in "[/.a\u{0}\u{1f}\u{7f}\u{9f}\u{a0}\u{e000}\u{fff0}\u{10000}]{0,8}") {
        prop_assert_eq!(path::validate(&path).is_ok(), java_accepts(&path), "{:?}", path);
    }
}

fn java_accepts(path: &str) -> bool {
    let units: Vec<u16> = path.encode_utf16().collect();
    let slash = u16::from(b'/');
    let dot = u16::from(b'.');
    if units.first() != Some(&slash) {
        return false;
    }
    if units.len() > 1 && units.last() == Some(&slash) {
        return false;
    }
    let ends = |i: usize| i + 1 == units.len() || units[i + 1] == slash;
    !(1..units.len()).any(|i| {
        let (unit, before) = (units[i], units[i - 1]);
        unit == slash && before == slash
            || unit == dot && before == slash && ends(i)
            || unit == dot && before == dot && units[i - 2] == slash && ends(i)
            || unit <= 0x1f
            || (0x7f..=0x9f).contains(&unit)
            || (0xd800..=0xf8ff).contains(&unit)
            || unit >= 0xfff0
    })
}
