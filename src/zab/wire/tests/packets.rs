//! The quorum port.

use super::*;
use crate::txn::{Txn as Body, TxnHeader, TxnType, encode_record};
use crate::zab::{AuthInfo, LearnerInfo, LearnerRequest, Txn};

fn txn(bytes: &str) -> Txn {
    unhex(bytes).into()
}

const CREATE_SESSION: &str = "030000d3d9db0000000000000000000100000001000001a2099ac125fffffff60000ea60000000020000\
                              000051c6d660";
const FAILED: &str = "030000c3339b0000000000030000000100000005000001a2098a1b25ffffffffffffff99";

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
