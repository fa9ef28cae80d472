//! The election port.

use super::*;
use crate::zab::{Hello, Notification, PeerState};

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
