//! The snapshot behind SNAP.

use super::*;

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
