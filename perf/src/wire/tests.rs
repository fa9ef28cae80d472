//! Byte vectors written out by hand from the records' definition, and refusals of damaged input.

use super::*;

fn body(out: &[u8]) -> &[u8] {
    let (body, used) = next_frame(out).unwrap().unwrap();
    assert_eq!(used, out.len(), "one frame and nothing more");
    body
}

#[test]
fn a_handshake_is_45_bytes_and_its_prefix() {
    let mut out = Vec::new();
    connect(&mut out, 0x0102_0304);
    let mut expected = vec![0, 0, 0, 45];
    expected.extend([0; 4]);
    expected.extend([0; 8]);
    expected.extend([1, 2, 3, 4]);
    expected.extend([0; 8]);
    expected.extend([0, 0, 0, 16]);
    expected.extend([0; 16]);
    expected.push(0);
    assert_eq!(out, expected);
}

#[test]
fn requests_match_their_vectors() {
    let mut out = Vec::new();
    get_data(&mut out, 7, "/a", true);
    assert_eq!(out, [0, 0, 0, 15, 0, 0, 0, 7, 0, 0, 0, 4, 0, 0, 0, 2, b'/', b'a', 1]);
    patch_xid(&mut out, 0x0a0b_0c0d);
    assert_eq!(out[4..8], [10, 11, 12, 13]);
    out.clear();
    set_data(&mut out, 8, "/a", b"xyz");
    assert_eq!(
        out,
        [
            0, 0, 0, 25, 0, 0, 0, 8, 0, 0, 0, 5, 0, 0, 0, 2, b'/', b'a', 0, 0, 0, 3, b'x', b'y',
            b'z', 255, 255, 255, 255
        ]
    );
    out.clear();
    close_session(&mut out, 3);
    assert_eq!(out, [0, 0, 0, 8, 0, 0, 0, 3, 255, 255, 255, 245]);
}

const CREATE_A: &[u8] = &[
    0, 0, 0, 2, b'/', b'a', 0, 0, 0, 1, b'd', 0, 0, 0, 1, 0, 0, 0, 31, 0, 0, 0, 5, b'w', b'o',
    b'r', b'l', b'd', 0, 0, 0, 6, b'a', b'n', b'y', b'o', b'n', b'e', 0, 0, 0, 0,
];

#[test]
fn creates_alone_and_in_a_multi_carry_the_same_record() {
    let mut out = Vec::new();
    create(&mut out, 9, "/a", b"d");
    assert_eq!(body(&out), [&[0, 0, 0, 9, 0, 0, 0, 1], CREATE_A].concat());
    out.clear();
    multi_create(&mut out, 9, ["/a", "/a"].into_iter(), b"d");
    let item = [&[0, 0, 0, 1, 0, 255, 255, 255, 255], CREATE_A].concat();
    let end = [255, 255, 255, 255, 1, 255, 255, 255, 255];
    assert_eq!(body(&out), [&[0, 0, 0, 9, 0, 0, 0, 14][..], &item, &item, &end].concat());
}

#[test]
fn a_multi_reply_counts_only_when_all_were_created() {
    let mut reply = Vec::new();
    let mut w = Writer { out: &mut reply };
    for path in ["/a", "/b"] {
        w.int(op::CREATE).boolean(false).int(0).text(path);
    }
    w.int(-1).boolean(true).int(-1);
    assert_eq!(multi_created(&mut Reader::new(&reply), 2), Ok(true));
    assert_eq!(multi_created(&mut Reader::new(&reply), 1), Ok(false), "one more than asked for");
    assert!(matches!(multi_created(&mut Reader::new(&reply), 3), Ok(false)));
    let mut failed = Vec::new();
    Writer { out: &mut failed }.int(-1).boolean(false).int(-110).int(-110);
    assert_eq!(multi_created(&mut Reader::new(&failed), 1), Ok(false));
    assert_eq!(
        multi_created(&mut Reader::new(&reply[..20]), 2),
        Err(WireError::Short("multi err"))
    );
}

fn stat_bytes() -> Vec<u8> {
    let mut out = Vec::new();
    Writer { out: &mut out }
        .long(1)
        .long(2)
        .long(3)
        .long(4)
        .int(5)
        .int(6)
        .int(7)
        .long(8)
        .int(9)
        .int(10)
        .long(11);
    out
}

#[test]
fn a_stat_is_68_bytes_and_read_in_order() {
    let bytes = stat_bytes();
    assert_eq!(bytes.len(), STAT_BYTES);
    let mut reader = Reader::new(&bytes);
    let stat = Stat::read(&mut reader).unwrap();
    assert_eq!(stat, Stat { mzxid: 2, version: 5, data_length: 9, num_children: 10 });
    assert_eq!(reader.int("more"), Err(WireError::Short("more")));
    for cut in 0..bytes.len() {
        assert!(Stat::read(&mut Reader::new(&bytes[..cut])).is_err(), "cut at {cut}");
    }
}

#[test]
fn reply_sizes_are_those_of_the_encoded_records() {
    let mut reply = Vec::new();
    frame(&mut reply, |w| {
        w.int(1).long(2).int(0).buffer(&[7; 128]);
        w.out.extend(stat_bytes());
    });
    assert_eq!(body(&reply).len(), REPLY_HEADER_BYTES + get_data_reply_bytes(128));
    assert_eq!(get_data_reply_bytes(128), 200);
    let mut reader = Reader::new(body(&reply));
    assert_eq!(ReplyHeader::read(&mut reader).unwrap(), ReplyHeader { xid: 1, zxid: 2, err: 0 });
    assert_eq!(reader.buffer("data").unwrap(), [7; 128]);
}

#[test]
fn connect_responses_and_events_are_read() {
    let mut out = Vec::new();
    frame(&mut out, |w| {
        w.int(0).int(30_000).long(0x1234).buffer(&[1; 16]).boolean(false);
    });
    assert_eq!(out.len(), 41);
    let response = ConnectResponse::read(body(&out)).unwrap();
    assert_eq!(response, ConnectResponse { timeout_ms: 30_000, session_id: 0x1234 });
    out.clear();
    frame(&mut out, |w| {
        w.int(3).int(3).text("/x");
    });
    let event = WatcherEvent::read(&mut Reader::new(body(&out))).unwrap();
    assert_eq!(event, WatcherEvent { kind: EVENT_DATA_CHANGED, state: 3, path: "/x" });
}

#[test]
fn frames_are_cut_only_when_whole() {
    let bytes = [0, 0, 0, 2, 5, 6, 0, 0];
    for cut in 0..6 {
        assert_eq!(next_frame(&bytes[..cut]), Ok(None));
    }
    assert_eq!(next_frame(&bytes), Ok(Some((&bytes[4..6], 6))));
    let impossible = Err(WireError::Length { what: "a frame", length: -1 });
    assert_eq!(next_frame(&[255; 4]), impossible);
    assert!(next_frame(&[0x7f, 255, 255, 255]).is_err());
}

#[test]
fn damaged_fields_are_refused() {
    assert_eq!(Reader::new(&[0, 0]).int("x"), Err(WireError::Short("x")));
    assert_eq!(Reader::new(&[0, 0, 0, 5, 1]).buffer("x"), Err(WireError::Short("x")));
    assert_eq!(Reader::new(&[255; 4]).buffer("x"), Ok(&[][..]));
    assert_eq!(
        Reader::new(&[255, 255, 255, 254]).buffer("x"),
        Err(WireError::Length { what: "x", length: -2 })
    );
    assert_eq!(Reader::new(&[0, 0, 0, 1, 0xff]).text("x"), Err(WireError::Text("x")));
}
