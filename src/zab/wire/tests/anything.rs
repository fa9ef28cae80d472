//! Round trips of anything, in pieces of any length.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::txn::{Txn as Body, TxnHeader, TxnType, encode_record};
use crate::zab::{AuthInfo, LearnerInfo, LearnerRequest, Notification, PeerState, Txn};

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
