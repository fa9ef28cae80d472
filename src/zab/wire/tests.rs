//! Bytes that Apache ZooKeeper 3.9.5's servers sent, refusals, bounds, and round trips of anything.
//! `tests/transcripts.rs` does the same with all that was recorded.

use std::sync::Arc;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::txn::{Txn as Body, TxnHeader, TxnType, encode_record};
use crate::zab::{
    AuthInfo, EnsembleConfig, Hello, LearnerInfo, LearnerRequest, Notification, Packet, PeerState,
    Server, ServerKind, Txn,
};

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|two| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap()).collect()
}

/// Reads one packet from exactly these bytes.
fn read(sender: Side, bytes: &[u8]) -> Result<Packet, WireError> {
    let mut reader = QuorumReader::new(sender, Limits::default());
    reader.push(bytes);
    let packet = reader.next_packet()?.expect("the packet is whole");
    assert_eq!(reader.buffered(), 0);
    Ok(packet)
}

fn written(packet: &Packet, sender: Side) -> Vec<u8> {
    let mut out = Vec::new();
    encode_packet(packet, sender, &mut out);
    out
}

fn txn(bytes: &str) -> Txn {
    unhex(bytes).into()
}

const CREATE_SESSION: &str = "030000d3d9db0000000000000000000100000001000001a2099ac125fffffff60000ea60000000020000\
                              000051c6d660";
const FAILED: &str = "030000c3339b0000000000030000000100000005000001a2098a1b25ffffffffffffff99";
const TWO: &str = "server.2=127.0.0.1:51461:42087:participant;127.0.0.1:33277\n\
                   server.4=127.0.0.1:53099:33761:participant;127.0.0.1:44301\n\
                   version=100000006";

fn two() -> Arc<EnsembleConfig> {
    let server = |sid, port| Server {
        sid,
        kind: ServerKind::Participant,
        group: None,
        weight: 1,
        quorum_address: format!("127.0.0.1:{port}"),
    };
    let servers = vec![server(2, 51461), server(4, 53099)];
    Arc::new(EnsembleConfig::new(0x1_0000_0006, servers, TWO))
}

fn info(sid: i64) -> LearnerInfo {
    LearnerInfo { sid: Some(sid), protocol_version: 0x10000, config_version: 0 }
}

/// What ZooKeeper sent, and what it means.
fn vectors() -> Vec<(Side, &'static str, Packet)> {
    use Side::{Leader, Learner};
    vec![
        (
            Learner,
            "0000000b0000000000000000000000140000000000000002000100000000000000000000ffffffff",
            Packet::FollowerInfo { accepted_epoch: 0, info: info(2) },
        ),
        (
            Learner,
            "000000100000000000000000000000140000000000000004000100000000000000000000ffffffff",
            Packet::ObserverInfo { accepted_epoch: 0, info: info(4) },
        ),
        (
            Leader,
            "0000001100000001000000000000000400010000ffffffff",
            Packet::LeaderInfo { epoch: 1, protocol_version: 0x10000 },
        ),
        (
            Learner,
            "0000001200000000000000000000000400000000ffffffff",
            Packet::AckEpoch { last_zxid: 0, current_epoch: Some(0) },
        ),
        (
            Learner,
            "00000012000000010000000200000004ffffffffffffffff",
            Packet::AckEpoch { last_zxid: 0x1_0000_0002, current_epoch: None },
        ),
        (Leader, "0000000d0000000000000000ffffffffffffffff", Packet::Diff { zxid: 0 }),
        (Leader, "0000000e0000000100000003ffffffffffffffff", Packet::Trunc { zxid: 0x1_0000_0003 }),
        (
            Leader,
            "0000000a000000020000000000000087\
             7365727665722e323d3132372e302e302e313a35313436313a34323038373a7061727469636970616e743b\
             3132372e302e302e313a33333237370a7365727665722e343d3132372e302e302e313a35333039393a3333\
             3736313a7061727469636970616e743b3132372e302e302e313a34343330310a76657273696f6e3d313030\
             303030303036ffffffff",
            Packet::NewLeader { epoch: 2, config: Some(two()) },
        ),
        (Learner, "000000030000000100000000ffffffffffffffff", Packet::Ack { zxid: 1 << 32 }),
        (Leader, "0000000cffffffffffffffffffffffffffffffff", Packet::UpToDate),
        (
            Learner,
            "00000001ffffffffffffffff00000014020000c37444000000000000fffffff60000ea60ffffffff",
            Packet::Request(LearnerRequest {
                session: 0x020000c374440000,
                cxid: 0,
                kind: -10,
                body: unhex("0000ea60").into(),
                auth: vec![],
            }),
        ),
        (
            Learner,
            "00000001ffffffffffffffff0000001c010000befaa400000000000a00000002000000042f662f6300000000\
             00000001000000026970000000093132372e302e302e31",
            Packet::Request(LearnerRequest {
                session: 0x010000befaa40000,
                cxid: 10,
                kind: 2,
                body: unhex("000000042f662f6300000000").into(),
                auth: vec![AuthInfo { scheme: "ip".into(), id: "127.0.0.1".into() }],
            }),
        ),
        (
            Leader,
            "00000002000000010000000500000024030000c3339b0000000000030000000100000005000001a2098a1b25\
             ffffffffffffff99ffffffff",
            Packet::Proposal { zxid: 0x1_0000_0005, txn: txn(FAILED), config: None },
        ),
        (
            Leader,
            "000000040000000100000001ffffffffffffffff",
            Packet::Commit { zxid: 0x1_0000_0001 },
        ),
        (
            Leader,
            "00000008000000010000000100000030030000d3d9db0000000000000000000100000001000001a2099ac125\
             fffffff60000ea60000000020000000051c6d660ffffffff",
            Packet::Inform { zxid: 0x1_0000_0001, txn: txn(CREATE_SESSION) },
        ),
        (
            Leader,
            "000000090000000100000002000000080000000000000003ffffffff",
            Packet::CommitAndActivate { zxid: 0x1_0000_0002, designated_leader: 3 },
        ),
        (
            Leader,
            "000000050000000100000002ffffffffffffffff",
            Packet::Ping { zxid: 0x1_0000_0002, touched: vec![] },
        ),
        (
            Learner,
            "00000005000000010000000200000000ffffffff",
            Packet::Ping { zxid: 0x1_0000_0002, touched: vec![] },
        ),
        (
            Learner,
            "0000000500000001000000020000000c020000c3744400000000ea60ffffffff",
            Packet::Ping { zxid: 0x1_0000_0002, touched: vec![(0x020000c374440000, 60_000)] },
        ),
        (
            Learner,
            "00000006ffffffffffffffff0000000c010000c3339600000000ea60ffffffff",
            Packet::Revalidate { session: 0x010000c333960000, timeout_ms: 60_000 },
        ),
        (
            Leader,
            "00000006ffffffffffffffff00000009010000c33396000001ffffffff",
            Packet::Revalidated { session: 0x010000c333960000, valid: true },
        ),
        (Leader, "000000070000000000000000ffffffffffffffff", Packet::Sync),
        (Leader, "0000000f0000000100000000ffffffffffffffff", Packet::Snap { zxid: 1 << 32 }),
    ]
}

#[test]
fn packets_are_zookeepers() {
    for (sender, bytes, packet) in vectors() {
        let bytes = unhex(bytes);
        assert_eq!(read(sender, &bytes), Ok(packet.clone()), "{}", packet.name());
        assert_eq!(written(&packet, sender), bytes, "{}", packet.name());
    }
}

#[test]
fn a_packet_is_no_packet_before_its_last_byte() {
    for (sender, bytes, packet) in vectors() {
        let bytes = unhex(bytes);
        let mut reader = QuorumReader::new(sender, Limits::default());
        for byte in &bytes[..bytes.len() - 1] {
            reader.push(&[*byte]);
            assert_eq!(reader.next_packet(), Ok(None));
        }
        reader.push(&bytes[bytes.len() - 1..]);
        assert_eq!(reader.next_packet(), Ok(Some(packet)));
    }
}

#[test]
fn a_reconfiguration_brings_its_configuration() {
    let header =
        TxnHeader { client_id: 1, cxid: 2, zxid: 7 << 32 | 1, time_ms: 5, kind: TxnType::Reconfig };
    let make = |text: &str| {
        let path = "/zookeeper/config";
        let body = Body::Reconfig { path, data: Some(text.as_bytes()), version: 1 };
        let mut bytes = Vec::new();
        encode_record(&header, &body, None, &mut bytes);
        Txn::from(bytes)
    };
    let zxid = header.zxid;
    let (txn, config) = (make(TWO), Some(two()));
    let proposal = Packet::Proposal { zxid, txn: txn.clone(), config: config.clone() };
    assert_eq!(read(Side::Leader, &written(&proposal, Side::Leader)), Ok(proposal));
    let inform = Packet::InformAndActivate { zxid, designated_leader: 4, txn, config };
    assert_eq!(read(Side::Leader, &written(&inform, Side::Leader)), Ok(inform));

    let broken = Packet::Proposal { zxid, txn: make("server.2=nonsense"), config: None };
    let refused = read(Side::Leader, &written(&broken, Side::Leader));
    assert!(matches!(refused, Err(WireError::Members { at: 0, .. })), "{refused:?}");
    let other = Packet::Proposal { zxid: zxid + 1, txn: make(TWO), config: None };
    assert_eq!(
        read(Side::Leader, &written(&other, Side::Leader)),
        Err(WireError::OtherZxid { at: 0, packet: zxid + 1, txn: zxid })
    );
}

/// Older servers' learner infos are shorter.
#[test]
fn what_old_learners_leave_out_reads_as_nothing() {
    let followerinfo = |data: &str| unhex(&format!("0000000b0000000300000000{data}ffffffff"));
    let expect = |data: &str, sid, protocol_version, config_version| {
        let info = LearnerInfo { sid, protocol_version, config_version };
        let packet = Packet::FollowerInfo { accepted_epoch: 3, info };
        assert_eq!(read(Side::Learner, &followerinfo(data)), Ok(packet));
    };
    expect("ffffffff", None, 0, 0);
    expect("000000080000000000000007", Some(7), 0, 0);
    expect("0000000c000000000000000700010000", Some(7), 0x10000, 0);
    expect("00000014000000000000000700010000000000000000000a", Some(7), 0x10000, 10);
    let short = read(Side::Learner, &followerinfo("0000000400000007"));
    assert!(matches!(short, Err(WireError::Content { what: "FOLLOWERINFO", at: 0, .. })));
}

#[test]
fn refusals_say_what_and_where() {
    let refused = |sender, bytes: &str| {
        let mut reader = QuorumReader::new(sender, Limits::default());
        // Something good before it, so that the place is not the start.
        reader.push(&unhex("000000050000000100000002ffffffffffffffff"));
        assert!(matches!(reader.next_packet(), Ok(Some(Packet::Ping { .. }))));
        reader.push(&unhex(bytes));
        reader.next_packet().expect_err(bytes).to_string()
    };
    let cases = [
        (
            Side::Learner,
            "000000040000000100000001ffffffffffffffff",
            "the packet at byte 20 is of type 4, which a learner does not send",
        ),
        (
            Side::Leader,
            "000000030000000100000001ffffffffffffffff",
            "the packet at byte 20 is of type 3, which a leader does not send",
        ),
        (
            Side::Leader,
            "000000630000000100000001ffffffffffffffff",
            "the packet at byte 20 is of type 99, which a leader does not send",
        ),
        (
            Side::Leader,
            "000000020000000100000001fffffffe",
            "data of a packet at byte 32 announces a length of -2",
        ),
        (
            Side::Leader,
            "00000002000000010000000100200000",
            "data of a packet at byte 32 announces 2097152, where at most 2097150 is taken",
        ),
        (
            Side::Learner,
            "000000010000000100000001ffffffff00020001",
            "identities of a packet at byte 36 announces 131073, where at most 131071 is taken",
        ),
        (
            Side::Leader,
            "000000090000000100000001ffffffffffffffff",
            "COMMITANDACTIVATE at byte 20: data at byte 0 is null",
        ),
        (
            Side::Leader,
            "00000009000000010000000100000003010203ffffffff",
            "COMMITANDACTIVATE at byte 20: truncated long at byte 0: 5 bytes more are needed",
        ),
        (
            Side::Leader,
            "0000000a0000000100000001ffffffffffffffff",
            "NEWLEADER of the message at byte 20 is 4294967297, which means nothing",
        ),
        (
            Side::Leader,
            "0000000a00000001000000000000000461626364ffffffff",
            "the configuration in the message at byte 20: abcd is no key of an ensemble's configuration",
        ),
        (
            Side::Learner,
            "00000012000000010000000100000004fffffffeffffffff",
            "current epoch of an ACKEPOCH of the message at byte 20 is -2, which means nothing",
        ),
        (
            Side::Learner,
            "0000000500000001000000010000000401020304ffffffff",
            "PING at byte 20: truncated long at byte 0: 4 bytes more are needed",
        ),
    ];
    for (sender, bytes, message) in cases {
        assert_eq!(refused(sender, bytes), message);
    }
}

#[test]
fn a_packet_may_be_as_long_as_the_limit_and_no_longer() {
    let limits = Limits::for_requests(100);
    assert_eq!(limits.data_bytes_max, 1124);
    let request = |bytes: usize| {
        let body = vec![7; bytes - 16].into();
        let auth = vec![AuthInfo { scheme: "ip".into(), id: "::1".into() }];
        Packet::Request(LearnerRequest { session: 1, cxid: 2, kind: 1, body, auth })
    };
    let mut reader = QuorumReader::new(Side::Learner, limits);
    let longest = request(1124);
    reader.push(&written(&longest, Side::Learner));
    assert_eq!(reader.next_packet(), Ok(Some(longest)));
    let at = reader.consumed() + 12;
    let over = written(&request(1125), Side::Learner);
    // The length alone is enough: nothing of it is waited for.
    reader.push(&over[..16]);
    let what = "data of a packet";
    let error = WireError::TooLong { what, at, length: 1125, limit: 1124 };
    assert_eq!(reader.next_packet(), Err(error));
}

// ---- the election port

const HELLO: &str = "ffffffffffff000000000000000000010000000f3132372e302e302e313a3534323831";
const VOTE: &str =
    "00000000000000000000000300000000000000000000000000000001000000000000000000000002";

fn vote() -> Notification {
    Notification {
        state: PeerState::Looking,
        leader: 3,
        zxid: 0,
        election_epoch: 1,
        peer_epoch: 0,
        version: 2,
        config: Some(two()),
    }
}

fn vote_bytes() -> Vec<u8> {
    let mut bytes = unhex("000000b3");
    bytes.extend(unhex(VOTE));
    bytes.extend((TWO.len() as u32).to_be_bytes());
    bytes.extend(TWO.as_bytes());
    bytes
}

#[test]
fn hellos_and_votes_are_zookeepers() {
    let hello = Hello { sid: 1, addresses: vec!["127.0.0.1:54281".into()] };
    let mut out = Vec::new();
    encode_hello(&hello, &mut out);
    assert_eq!(out, unhex(HELLO));
    encode_notification(&vote(), &mut out);
    assert_eq!(out[35..], vote_bytes());

    let mut reader = ElectionReader::of_dialler();
    reader.push(&out);
    assert_eq!(reader.next_item(), Ok(Some(ElectionItem::Hello(hello))));
    assert_eq!(reader.next_item(), Ok(Some(ElectionItem::Notification(vote()))));
    assert_eq!(reader.next_item(), Ok(None));
    assert_eq!(reader.buffered(), 0);
}

#[test]
fn hellos_of_other_versions() {
    let read = |bytes: &[u8]| {
        let mut reader = ElectionReader::of_dialler();
        reader.push(bytes);
        reader.next_item()
    };
    let several = Hello { sid: 5, addresses: vec!["a:1".into(), "[::1]:2".into()] };
    let mut out = Vec::new();
    encode_hello(&several, &mut out);
    assert_eq!(out[..8], (-65535i64).to_be_bytes());
    assert_eq!(read(&out), Ok(Some(ElectionItem::Hello(several))));
    // Before 3.5 the sid alone.
    let old = Hello { sid: 9, addresses: vec![] };
    let mut out = Vec::new();
    encode_hello(&old, &mut out);
    assert_eq!(out, 9i64.to_be_bytes());
    assert_eq!(read(&out), Ok(Some(ElectionItem::Hello(old))));
    // Bounds: 1..=2048 bytes of addresses.
    let sized = |bytes: i32| {
        let mut hello = unhex("ffffffffffff00000000000000000001");
        hello.extend(bytes.to_be_bytes());
        read(&hello)
    };
    assert_eq!(sized(2048), Ok(None));
    let what = "addresses of a hello";
    let error = WireError::TooLong { what, at: 16, length: 2049, limit: 2048 };
    assert_eq!(sized(2049), Err(error));
    assert_eq!(sized(0), Err(WireError::BadLength { what, at: 16, length: 0 }));
    assert_eq!(sized(-1), Err(WireError::BadLength { what, at: 16, length: -1 }));
    assert!(matches!(read(&(-1i64).to_be_bytes()), Err(WireError::Invalid { value: -1, .. })));
    let mut bad = unhex(HELLO);
    bad.truncate(20);
    bad.extend(b"127.0.0.1:70000");
    assert!(matches!(read(&bad), Err(WireError::Address { at: 0, .. })));
}

#[test]
fn a_hello_never_exceeds_what_is_read() {
    let addresses: Vec<String> = (0..200).map(|n| format!("server-{n}.example.org:3888")).collect();
    let mut out = Vec::new();
    encode_hello(&Hello { sid: 1, addresses: addresses.clone() }, &mut out);
    let mut reader = ElectionReader::of_dialler();
    reader.push(&out);
    let Ok(Some(ElectionItem::Hello(hello))) = reader.next_item() else { panic!("no hello") };
    assert!(hello.addresses.len() > 50 && addresses.starts_with(&hello.addresses));
}

#[test]
fn frames_have_bounds() {
    let sized = |bytes: i32| {
        let mut reader = ElectionReader::of_acceptor();
        reader.push(&bytes.to_be_bytes());
        reader.next_item()
    };
    assert_eq!(sized(524_288), Ok(None));
    let what = "frame of the election port";
    let error = WireError::TooLong { what, at: 0, length: 524_289, limit: 524_288 };
    assert_eq!(sized(524_289), Err(error));
    assert_eq!(sized(0), Err(WireError::BadLength { what, at: 0, length: 0 }));
}

#[test]
fn votes_of_other_versions() {
    let old = unhex(VOTE);
    // 28 bytes: the peer's epoch is the zxid's.
    let mut bytes = old[..28].to_vec();
    bytes[12..20].copy_from_slice(&(6i64 << 32 | 9).to_be_bytes());
    let read = decode_notification(&bytes, 0).unwrap();
    assert_eq!((read.peer_epoch, read.version, read.config), (6, 0, None));
    // 40 bytes: the version is not looked at.
    let read = decode_notification(&old, 0).unwrap();
    assert_eq!((read.peer_epoch, read.version, read.config), (0, 0, None));
    // Neither one nor the other.
    for length in [0, 27, 29, 36, 39, 41, 43] {
        let mut bytes = old.clone();
        bytes.resize(length, 0);
        let what = "notification";
        let refused = decode_notification(&bytes, 0);
        match length {
            41 | 43 => {
                assert!(matches!(refused, Err(WireError::Content { what: w, .. }) if w == what))
            }
            _ => assert!(refused.is_err(), "{length}"),
        }
    }
    // A configuration longer than the frame, and one that is none.
    let mut bytes = vote_bytes()[4..].to_vec();
    bytes[43] += 1;
    assert!(decode_notification(&bytes, 0).is_err());
    let mut bytes = vote_bytes()[4..].to_vec();
    bytes[44..48].copy_from_slice(b"oops");
    assert_eq!(decode_notification(&bytes, 0), Ok(Notification { config: None, ..vote() }));
    let mut bytes = vote_bytes()[4..].to_vec();
    bytes[3] = 4;
    assert!(matches!(decode_notification(&bytes, 0), Err(WireError::Invalid { value: 4, .. })));
}

#[test]
fn a_vote_without_a_configuration_is_written_as_of_version_1() {
    let bare = Notification { config: None, ..vote() };
    let mut out = Vec::new();
    encode_notification(&bare, &mut out);
    assert_eq!(out.len(), 4 + NOTIFICATION_BYTES_40);
    assert_eq!(out[40..], 1i32.to_be_bytes());
    let read = decode_notification(&out[4..], 0);
    assert_eq!(read, Ok(Notification { version: 0, ..bare }));
}

#[test]
fn a_frame_that_is_no_vote_is_passed_over() {
    let mut bytes = unhex("00000003010203");
    bytes.extend(vote_bytes());
    let mut reader = ElectionReader::of_acceptor();
    reader.push(&bytes);
    assert!(matches!(reader.next_item(), Ok(Some(ElectionItem::Skipped(_)))));
    assert_eq!(reader.next_item(), Ok(Some(ElectionItem::Notification(vote()))));
}

// ---- the snapshot

#[test]
fn a_snapshot_without_its_signature_is_refused() {
    let mut bytes = written(&Packet::Snap { zxid: 5 }, Side::Leader);
    SnapshotPiece::Sessions(0).encode(&mut bytes);
    SnapshotPiece::AclLists(0).encode(&mut bytes);
    bytes.extend(b"\0\0\0\x01/\0\0\0\x0aBenWasHurt");
    let mut reader = QuorumReader::new(Side::Leader, Limits::default());
    reader.push(&bytes);
    assert_eq!(reader.next_piece(), Ok(None), "no snapshot before SNAP");
    assert_eq!(reader.next_packet(), Ok(Some(Packet::Snap { zxid: 5 })));
    assert_eq!(reader.next_packet(), Ok(None), "no packet within a snapshot");
    assert_eq!(reader.next_piece(), Ok(Some(SnapshotPiece::Sessions(0))));
    assert_eq!(reader.next_piece(), Ok(Some(SnapshotPiece::AclLists(0))));
    let message = "the snapshot ends at byte 28 with \"BenWasHurt\" instead of \"BenWasHere\"";
    assert_eq!(reader.next_piece().unwrap_err().to_string(), message);
}

#[test]
fn the_rest_of_a_stream_can_be_taken() {
    let mut reader = QuorumReader::new(Side::Leader, Limits::default());
    reader.push(&written(&Packet::Snap { zxid: 5 }, Side::Leader));
    reader.push(b"unread");
    assert!(matches!(reader.next_packet(), Ok(Some(Packet::Snap { .. }))));
    assert_eq!(reader.take_rest(), b"unread");
    assert_eq!((reader.buffered(), reader.consumed()), (0, 26));
}

// ---- SASL

#[test]
fn sasl_packets() {
    let packet = sasl::AuthPacket { status: sasl::AuthStatus::Success, token: Some(vec![1, 2]) };
    let mut out = Vec::new();
    packet.encode(&mut out);
    assert_eq!(out, unhex("5f2435013501edcc00000001000000020102"));
    assert_eq!(sasl::AuthPacket::decode(&out), Ok(Some((packet, 18))));
    for end in 0..out.len() {
        assert_eq!(sasl::AuthPacket::decode(&out[..end]), Ok(None), "{end}");
    }
    assert_eq!(sasl::begins_with_auth(&out[..7]), None);
    assert_eq!(sasl::begins_with_auth(&out), Some(true));
    assert_eq!(sasl::begins_with_auth(&unhex("0000000b")), Some(false));
    out[11] = 9;
    assert!(matches!(sasl::AuthPacket::decode(&out), Err(WireError::Invalid { value: 9, .. })));
    assert!(sasl::AuthPacket::decode(&unhex(HELLO)).is_err());
}

// ---- configurations

#[test]
fn configurations_are_zookeepers() {
    let text = "server.1=one.example:2888:3888:participant;0.0.0.0:2181\n\
                server.2=[fd00::2]:2888:3888|two.example:2889:3889:observer;[::]:2181\n\
                server.3=c:1:2:participant\n\
                server.4=d:1:2:participant\n\
                group.1=1:3\n\
                group.2=4\n\
                weight.1=1\n\
                weight.3=0\n\
                weight.4=5\n\
                version=10000000f";
    let members = Members::parse(text).unwrap();
    assert_eq!(members.to_string(), text);
    let config = members.to_config(text);
    assert_eq!((config.version, &*config.text), (0x1_0000_000f, text));
    assert_eq!(config.servers[1].quorum_address, "[fd00::2]:2888|two.example:2889");
    assert_eq!(config.servers[1].kind, ServerKind::Observer);
    let groups: Vec<_> = config.servers.iter().map(|s| (s.group, s.weight)).collect();
    assert_eq!(groups, [(Some(1), 1), (None, 1), (Some(1), 0), (Some(2), 5)]);
    // As a person writes it.
    let short = Members::parse(" server.1 = a:1:2\nserver.1: b:1:2;2181\n");
    let short = short.expect("blanks and doubles are taken");
    assert_eq!(short.to_string(), "server.1=b:1:2:participant;0.0.0.0:2181\nversion=0");
}

#[test]
fn texts_that_are_no_configuration() {
    let cases = [
        ("", "there is no participant"),
        ("version=1", "there is no participant"),
        ("server.1=a:1:2:observer", "there is no participant"),
        ("tickTime=2000", "tickTime is no key of an ensemble's configuration"),
        ("server.x=a:1:2", "server.x is no key of an ensemble's configuration"),
        ("version=xyz", "version=xyz: not a zxid in hexadecimal digits"),
        ("version=-5", "version=-5: not a zxid in hexadecimal digits"),
        ("server.1=a:1", "server.1=a:1: not of the form host:port:port[:type][;[host:]port]"),
        ("server.1=a:1:1", "server.1=a:1:1: the quorum port and the election port are the same"),
        (
            "server.1=a:1:2:leader",
            "server.1=a:1:2:leader: the type is neither participant nor observer",
        ),
        ("server.1=a:1:99999", "server.1=a:1:99999: a port is no number up to 65535"),
        ("server.1=[::1:1:2", "server.1=[::1:1:2: a [ without its ]:"),
        ("server.1=:1:2", "server.1=:1:2: the host is missing"),
        (
            "server.1=a:1:2:observer|b:1:2:participant",
            "server.1=a:1:2:observer|b:1:2:participant: the addresses do not agree on the type",
        ),
        ("server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1", "server.2 votes and is in no group"),
        ("server.1=a:1:2\ngroup.1=1\ngroup.2=1", "server.1 is in more than one group"),
        ("server.1=a:1:2\nweight.1=-1\ngroup.1=1", "weight.1=-1: not a weight"),
        ("server.1=a:1:2\ngroup.1=x", "group.1=x: not a number"),
        ("server.1=a:1:2\\u12", "line 1: \\u must be followed by four hex digits"),
    ];
    for (text, message) in cases {
        assert_eq!(Members::parse(text).expect_err(text).to_string(), message);
    }
    let latin = read_config(b"server.1=\xe9:1:2").unwrap_err();
    assert_eq!(latin, MembersError::Utf8 { valid_up_to: 9 });
}

// ---- anything

fn any_config() -> impl Strategy<Value = Arc<EnsembleConfig>> {
    let member = |sid| {
        let port = any::<u16>();
        (any::<bool>(), "[a-z]{1,8}(\\.[a-z]{1,4})?", port, option::of(any::<u16>())).prop_map(
            move |(observer, host, port, client)| Member {
                sid,
                kind: if observer { ServerKind::Observer } else { ServerKind::Participant },
                addresses: vec![PeerAddress {
                    host,
                    quorum_port: port,
                    election_port: port.wrapping_add(1),
                }],
                client: client.map(|port| ("0.0.0.0".into(), port)),
                group: None,
                weight: 1,
            },
        )
    };
    let servers = (1..6i64).map(member).collect::<Vec<_>>();
    (any::<i64>().prop_map(|v| v & i64::MAX), servers).prop_map(|(version, mut servers)| {
        servers[0].kind = ServerKind::Participant;
        let members = Members { version, servers };
        let text = members.to_string();
        assert_eq!(Members::parse(&text), Ok(members.clone()));
        Arc::new(members.to_config(&text))
    })
}

fn any_auth() -> impl Strategy<Value = Vec<AuthInfo>> {
    vec((".{0,5}", ".{0,9}").prop_map(|(scheme, id)| AuthInfo { scheme, id }), 0..4)
}

fn any_info() -> impl Strategy<Value = LearnerInfo> {
    (any::<i64>(), any::<i32>(), any::<i64>()).prop_map(
        |(sid, protocol_version, config_version)| LearnerInfo {
            sid: Some(sid),
            protocol_version,
            config_version,
        },
    )
}

fn any_epoch() -> impl Strategy<Value = i64> {
    0..=i64::from(i32::MAX)
}

/// A transaction that is no reconfiguration, and its zxid.
fn any_txn() -> impl Strategy<Value = (i64, Txn)> {
    (any::<i64>(), any::<i32>(), "/[a-z]{0,9}", vec(any::<u8>(), 0..64)).prop_map(
        |(zxid, cxid, path, data)| {
            let header = TxnHeader { client_id: 7, cxid, zxid, time_ms: 5, kind: TxnType::SetData };
            let body = Body::SetData { path: &path, data: Some(&data), version: 3 };
            let mut bytes = Vec::new();
            encode_record(&header, &body, None, &mut bytes);
            (zxid, bytes.into())
        },
    )
}

fn any_request() -> impl Strategy<Value = LearnerRequest> {
    let body = vec(any::<u8>(), 0..64);
    (any::<i64>(), any::<i32>(), any::<i32>(), body, any_auth()).prop_map(
        |(session, cxid, kind, body, auth)| LearnerRequest {
            session,
            cxid,
            kind,
            body: body.into(),
            auth,
        },
    )
}

fn from_learner() -> impl Strategy<Value = Packet> {
    let epoch = -(1i64 << 31)..1 << 31;
    prop_oneof![
        (epoch.clone(), any_info())
            .prop_map(|(accepted_epoch, info)| Packet::FollowerInfo { accepted_epoch, info }),
        (epoch, any_info())
            .prop_map(|(accepted_epoch, info)| Packet::ObserverInfo { accepted_epoch, info }),
        (any::<i64>(), option::of(any_epoch())).prop_map(|(last_zxid, current_epoch)| {
            Packet::AckEpoch { last_zxid, current_epoch }
        }),
        any::<i64>().prop_map(|zxid| Packet::Ack { zxid }),
        (any::<i64>(), vec(any::<(i64, i32)>(), 0..9))
            .prop_map(|(zxid, touched)| Packet::Ping { zxid, touched }),
        any::<(i64, i32)>()
            .prop_map(|(session, timeout_ms)| Packet::Revalidate { session, timeout_ms }),
        any_request().prop_map(Packet::Request),
    ]
}

fn from_leader() -> impl Strategy<Value = Packet> {
    prop_oneof![
        (any_epoch(), any::<i32>())
            .prop_map(|(epoch, protocol_version)| Packet::LeaderInfo { epoch, protocol_version }),
        any::<i64>().prop_map(|zxid| Packet::Diff { zxid }),
        any::<i64>().prop_map(|zxid| Packet::Trunc { zxid }),
        (any_epoch(), option::of(any_config()))
            .prop_map(|(epoch, config)| Packet::NewLeader { epoch, config }),
        Just(Packet::UpToDate),
        Just(Packet::Sync),
        any_txn().prop_map(|(zxid, txn)| Packet::Proposal { zxid, txn, config: None }),
        any_txn().prop_map(|(zxid, txn)| Packet::Inform { zxid, txn }),
        (any_txn(), any::<i64>()).prop_map(|((zxid, txn), designated_leader)| {
            Packet::InformAndActivate { zxid, designated_leader, txn, config: None }
        }),
        any::<i64>().prop_map(|zxid| Packet::Commit { zxid }),
        any::<(i64, i64)>().prop_map(|(zxid, designated_leader)| Packet::CommitAndActivate {
            zxid,
            designated_leader
        }),
        any::<i64>().prop_map(|zxid| Packet::Ping { zxid, touched: vec![] }),
        any::<(i64, bool)>().prop_map(|(session, valid)| Packet::Revalidated { session, valid }),
    ]
}

fn any_vote() -> impl Strategy<Value = Notification> {
    let state = prop_oneof![
        Just(PeerState::Looking),
        Just(PeerState::Following),
        Just(PeerState::Leading),
        Just(PeerState::Observing)
    ];
    (state, any::<[i64; 4]>(), any_config()).prop_map(
        |(state, [leader, zxid, election_epoch, peer_epoch], config)| Notification {
            state,
            leader,
            zxid,
            election_epoch,
            peer_epoch,
            version: 2,
            config: Some(config),
        },
    )
}

fn any_tree() -> impl Strategy<Value = Vec<SnapshotPiece<'static>>> {
    let entry = (any::<i32>(), ".{0,5}", ".{0,9}").prop_map(|(perms, scheme, id)| AclEntry {
        perms,
        scheme,
        id,
    });
    let list = (any::<i64>(), vec(entry, 0..4))
        .prop_map(|(id, entries)| SnapshotPiece::AclList { id, entries });
    let session =
        any::<(i64, i32)>().prop_map(|(id, timeout_ms)| SnapshotPiece::Session { id, timeout_ms });
    let path = prop_oneof![Just(""), Just("/a"), Just("/a/b"), Just("//")];
    let data = prop_oneof![Just(None), Just(Some(&b""[..])), Just(Some(&b"data"[..]))];
    let node = (path, data, any::<i64>(), any::<[i64; 5]>()).prop_map(|(path, data, acl, n)| {
        let stat = NodeStat {
            czxid: n[0],
            mzxid: n[1],
            ctime_ms: n[2],
            mtime_ms: n[3],
            version: 1,
            cversion: 2,
            aversion: 3,
            ephemeral_owner: n[4],
            pzxid: 9,
        };
        SnapshotPiece::Node { path, data, acl, stat }
    });
    (vec(session, 0..4), vec(list, 0..4), vec(node, 0..9)).prop_map(|(sessions, lists, nodes)| {
        let mut pieces = vec![SnapshotPiece::Sessions(sessions.len() as u32)];
        pieces.extend(sessions);
        pieces.push(SnapshotPiece::AclLists(lists.len() as u32));
        pieces.extend(lists);
        pieces.extend(nodes);
        pieces.push(SnapshotPiece::End);
        pieces
    })
}

/// All packets that a stream holds, handed over in pieces of these lengths.
fn read_in_pieces(sender: Side, mut bytes: &[u8], lengths: &[usize]) -> Vec<Packet> {
    let mut reader = QuorumReader::new(sender, Limits::default());
    let mut packets = Vec::new();
    let mut lengths = lengths.iter().cycle();
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at(lengths.next().copied().unwrap_or(1).min(bytes.len()));
        bytes = rest;
        reader.push(piece);
        while let Some(packet) = reader.next_packet().unwrap() {
            packets.push(packet);
        }
    }
    assert_eq!(reader.buffered(), 0);
    packets
}

proptest! {
    #[test]
    fn leaders_packets_survive(packets in vec(from_leader(), 1..9), cuts in vec(1..99usize, 1..9)) {
        let mut bytes = Vec::new();
        packets.iter().for_each(|packet| encode_packet(packet, Side::Leader, &mut bytes));
        prop_assert_eq!(read_in_pieces(Side::Leader, &bytes, &cuts), packets);
    }

    #[test]
    fn learners_packets_survive(packets in vec(from_learner(), 1..9), cuts in vec(1..99usize, 1..9)) {
        let mut bytes = Vec::new();
        packets.iter().for_each(|packet| encode_packet(packet, Side::Learner, &mut bytes));
        prop_assert_eq!(read_in_pieces(Side::Learner, &bytes, &cuts), packets);
    }

    #[test]
    fn votes_survive(votes in vec(any_vote(), 1..9), cut in 1..99usize) {
        let mut bytes = Vec::new();
        votes.iter().for_each(|vote| encode_notification(vote, &mut bytes));
        let mut reader = ElectionReader::of_acceptor();
        let mut read = Vec::new();
        for piece in bytes.chunks(cut) {
            reader.push(piece);
            while let Some(item) = reader.next_item().unwrap() {
                let ElectionItem::Notification(vote) = item else { panic!("{item:?}") };
                read.push(vote);
            }
        }
        prop_assert_eq!(read, votes);
    }

    #[test]
    fn snapshots_survive(pieces in any_tree(), cut in 1..99usize) {
        let mut bytes = written(&Packet::Snap { zxid: 7 }, Side::Leader);
        pieces.iter().for_each(|piece| piece.encode(&mut bytes));
        bytes.extend(written(&Packet::UpToDate, Side::Leader));
        let mut reader = QuorumReader::new(Side::Leader, Limits::default());
        let (mut packets, mut read) = (0, 0);
        for chunk in bytes.chunks(cut) {
            reader.push(chunk);
            loop {
                let before = reader.consumed();
                while reader.next_packet().unwrap().is_some() {
                    packets += 1;
                }
                while let Some(piece) = reader.next_piece().unwrap() {
                    prop_assert_eq!(&piece, &pieces[read]);
                    read += 1;
                }
                if reader.consumed() == before {
                    break;
                }
            }
        }
        prop_assert_eq!((packets, read), (2, pieces.len()));
    }

    #[test]
    fn no_bytes_bring_a_reader_down(bytes in vec(any::<u8>(), 0..200), cut in 1..50usize) {
        for sender in [Side::Leader, Side::Learner] {
            let mut reader = QuorumReader::new(sender, Limits::default());
            for piece in bytes.chunks(cut) {
                reader.push(piece);
                if reader.next_packet().is_err() || reader.next_piece().is_err() {
                    break;
                }
            }
        }
        for mut reader in [ElectionReader::of_dialler(), ElectionReader::of_acceptor()] {
            for piece in bytes.chunks(cut) {
                reader.push(piece);
                while let Ok(Some(_)) = reader.next_item() {}
            }
        }
        let _ = sasl::AuthPacket::decode(&bytes);
        let _ = read_config(&bytes);
    }
}
