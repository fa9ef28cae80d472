//! Frames and requests that are too long, malformed, or garbage.

use super::*;

/// A setData whose frame is `bytes` long.
fn put_set_of(c: &mut Client, path: &str, bytes: usize) {
    let data = vec![b'x'; bytes - (8 + 4 + path.len() + 4 + 4)];
    c.put_set(path, &data);
}

#[test]
fn a_frame_of_exactly_jute_maxbuffer_works_and_a_longer_one_closes() {
    for (lines, max) in [("jute.maxbuffer=65536", 65536), ("", 0xfffff)] {
        let dir = tempfile::tempdir().expect("a directory");
        let server = server(&dir, lines);
        let began = Instant::now();
        let healthy = Healthy::start(&server);
        let mut c = Client::connect(server.port, 10_000).expect("connect");
        assert_eq!(c.create("/big", b"", 0).expect("create"), 0);
        put_set_of(&mut c, "/big", max);
        c.flush().expect("send");
        assert_eq!(c.receive().expect("a reply").reply().2, 0);
        let data_bytes = c.get("/big").expect("get").expect("data").0.len();
        assert!(data_bytes > max - 64);
        for _ in 0..5 {
            let mut c = Client::connect(server.port, 10_000).expect("connect");
            put_set_of(&mut c, "/big", max + 1);
            let _ = c.flush();
            assert!(c.is_closed());
        }
        assert!(server.metric("refused_oversize") >= 5);
        assert_eq!(c.get("/big").expect("get").expect("data").0.len(), data_bytes);
        healthy.end(&server, began);
    }
}

/// Many identities, each of which an ACL entry `auth` stands for.
fn authenticate(c: &mut Client, from: usize, to: usize) -> i32 {
    let mut err = 0;
    for i in from..to {
        let auth = format!("user-with-a-rather-long-name-{i}:secret");
        c.request_with_xid(-4, OpCode::Auth, |out| {
            AuthPacket { kind: 0, scheme: Some("digest"), auth: Some(auth.as_bytes()) }.encode(out);
        });
        c.flush().expect("send");
        err = c.receive().expect("a reply").reply().2;
    }
    err
}

/// A multi of `count` creates whose transaction is many times as long as the request.
fn multi_of_auth_creates(c: &mut Client, count: usize) -> Vec<i32> {
    let (_, err, body) = c
        .call(OpCode::Multi, |out| {
            for i in 0..count {
                let path = format!("/grown{i}");
                let acl = vec![AclRef { perms: perms::ALL, scheme: "auth", id: "" }];
                let request = CreateRequest { path: &path, data: None, acl, flags: 0 };
                MultiOp::Create { op: OpCode::Create, request }.encode(out);
            }
            end_multi(out);
        })
        .expect("multi");
    if err != 0 {
        return vec![err];
    }
    let results = MultiResults::new(&body).map(|result| match result.expect("a result") {
        MultiResult::Error(err) => err,
        _ => 0,
    });
    results.collect()
}

#[test]
fn a_transaction_longer_than_the_log_takes_is_refused_before_it_is_logged() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = server(&dir, "jute.maxbuffer=65536");
    let mut c = Client::connect(server.port, 10_000).expect("connect");
    assert_eq!(authenticate(&mut c, 0, 100), 0);
    let marshalling = ErrorCode::MarshallingError.code();
    assert_eq!(multi_of_auth_creates(&mut c, 100), [marshalling]);
    assert_eq!(c.get("/grown0").expect("get").err(), Some(-101), "a part of it was done");
    assert_eq!(multi_of_auth_creates(&mut c, 10), [0; 10], "what fits works");
    assert_eq!(server.metric("refused_oversize"), 1);

    // Identities have a bound of their own.
    let mut many = Client::connect(server.port, 10_000).expect("connect");
    assert_eq!(authenticate(&mut many, 0, 127), 0);
    assert_eq!(authenticate(&mut many, 127, 128), ErrorCode::AuthFailed.code());
    assert!(many.is_closed());

    // The end of a session cannot be refused, however much its ephemerals' names take.
    let mut owner = Client::connect(server.port, 10_000).expect("connect");
    let path = |i: usize| format!("/{}{i}", "e".repeat(1000));
    for i in 0..300 {
        owner.put_create(&path(i), b"", 1);
    }
    owner.flush().expect("send");
    for _ in 0..300 {
        assert_eq!(owner.receive().expect("a reply").reply().2, 0);
    }
    owner.close().expect("close");
    assert_eq!(c.get(&path(7)).expect("get").err(), Some(-101));
    server.kill();
    server.start_again();
    let mut c = Client::attach(server.port, 10_000, c.session_id, &c.password, 0).expect("attach");
    assert_eq!(c.get(&path(7)).expect("get").err(), Some(-101), "replay differs");
    assert_eq!(authenticate(&mut c, 0, 1), 0);
    assert!(c.get("/grown9").expect("get").is_ok());
    assert_eq!(c.get("/grown10").expect("get").err(), Some(-101));
    assert!(!server.log().contains("digest at zxid"), "{}", server.log());
}

/// What is neither a handshake nor a four-letter word.
fn garbage(rng: &mut StdRng) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
        b"xyzw".to_vec(),
        i32::MIN.to_be_bytes().to_vec(),
        (-1i32).to_be_bytes().to_vec(),
        i32::MAX.to_be_bytes().to_vec(),
        0x10_0000i32.to_be_bytes().to_vec(),
    ];
    for length in 0..=8i32 {
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend((0..length).map(|_| rng.random::<u8>()));
        all.push(frame);
    }
    for _ in 0..50 {
        // A plausible length, so that the random bytes are taken for a frame.
        let length = rng.random_range(9..200usize);
        let mut frame = (length as i32).to_be_bytes().to_vec();
        frame.extend((0..length).map(|_| rng.random::<u8>()));
        all.push(frame);
    }
    all
}

#[test]
fn garbage_closes_its_connection_and_nothing_else() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "nio.sessionlessCnxnTimeout=1000");
    let began = Instant::now();
    let healthy = Healthy::start(&server);
    let mut rng = StdRng::seed_from_u64(7);
    let refused = |server: &Server| {
        ["refused_bad_frame", "refused_oversize", "refused_bad_connect", "refused_unknown_op"]
            .map(|name| server.metric(name))
    };
    // In the place of a handshake. Random bytes may happen to be one that asks for an unknown session: then the answer
    // says so, and the connection is closed likewise.
    for bytes in garbage(&mut rng) {
        let mut stream = connect(server.port);
        send(&mut stream, &bytes);
        read_to_end(&mut stream);
    }
    // Behind one. A random request may happen to be a good one; to be closed it takes a bad length.
    for mut bytes in garbage(&mut rng) {
        let mut c = Client::connect(server.port, 2_000).expect("connect");
        bytes.extend(i32::MIN.to_be_bytes());
        let _ = c.raw(&bytes);
        let _ = c.stream().shutdown(Shutdown::Write);
        while c.receive().is_ok() {}
    }
    // Truncated and hung up, in the midst of a handshake and of a request.
    for cut in [1, 3, 4, 5, 20] {
        let mut stream = connect(server.port);
        send(&mut stream, &[0, 0, 0, 44, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0][..cut]);
        drop(stream);
        let mut c = Client::connect(server.port, 2_000).expect("connect");
        c.raw(&[0, 0, 0, 40, 0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 9, 0, 0, 0, 0][..cut]).expect("send");
        c.hang_up();
    }
    let [bad_frames, oversize, bad_connects, _] = refused(&server);
    assert!(bad_frames >= 10 && oversize >= 5 && bad_connects >= 10, "{:?}", refused(&server));
    healthy.end(&server, began);
}

/// Bodies that are wrong in the ways that any record can be: strings and vectors of bad lengths, bad UTF-8, cut off.
fn bad_bodies() -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new(), vec![0], vec![0; 3], vec![0xff; 3]];
    for length in [-2, i32::MIN, i32::MAX, 1 << 28, 100] {
        all.push(i32::to_be_bytes(length).to_vec());
        // A good path, then the bad length: of data, of an ACL, of a list.
        let mut body = Vec::new();
        body.put_str("/x");
        body.extend(i32::to_be_bytes(length));
        all.push(body.clone());
        body.truncate(6);
        body.extend([0, 0, 0, 0]);
        body.extend(i32::to_be_bytes(length));
        all.push(body);
        // A zxid, then the bad length: setWatches.
        let mut body = vec![0; 8];
        body.extend(i32::to_be_bytes(length));
        all.push(body);
    }
    for text in [&b"\xff\xfe"[..], b"/\xc0\x80", b"/\xed\xa0\x80", b"/a\xf0\x9f", b"/\0", b""] {
        let mut body = Vec::new();
        body.put_buffer(Some(text));
        all.push(body.clone());
        body.extend([0; 40]);
        all.push(body);
    }
    all
}

#[test]
fn malformed_requests_of_every_type_are_answered_or_closed() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "extendedTypesEnabled=true");
    let began = Instant::now();
    let healthy = Healthy::start(&server);
    let before = server.resident_bytes();
    let known = (-12..=30).chain(98..=112).chain([i32::MIN, i32::MAX]);
    let mut c = Client::connect(server.port, 10_000).expect("connect");
    let mut refused = 0;
    for op in known {
        for body in bad_bodies() {
            let mut frame = (8 + body.len() as i32).to_be_bytes().to_vec();
            frame.extend(77i32.to_be_bytes());
            frame.extend(op.to_be_bytes());
            frame.extend(&body);
            // The ping behind it shows that the connection goes on. It may overtake the answer.
            frame.extend([0, 0, 0, 8, 0xff, 0xff, 0xff, 0xfe, 0, 0, 0, 11]);
            let mut answers = 0;
            let went_on = c.raw(&frame).is_ok() && {
                loop {
                    match c.receive() {
                        Ok(Incoming::Event { .. }) => {}
                        Ok(Incoming::Reply { err, .. }) => {
                            refused += (err != 0) as usize;
                            answers += 1;
                            if answers == 2 {
                                break true;
                            }
                        }
                        Err(_) => break false,
                    }
                }
            };
            if !went_on {
                c = Client::connect(server.port, 10_000).expect("connect");
            }
        }
    }
    assert!(refused > 500, "only {refused} were refused");
    assert!(server.metric("refused_bad_request") > 100);
    assert!(server.metric("refused_unknown_op") > 10);
    // As many operations as a frame holds, none of which can be done.
    let (_, err, body) = c
        .call(OpCode::Multi, |out| {
            for _ in 0..40_000 {
                MultiOp::Delete(DeleteRequest { path: "/none", version: -1 }).encode(out);
            }
            end_multi(out);
        })
        .expect("multi");
    assert_eq!((err, MultiResults::new(&body).count()), (0, 40_000));
    // A list that says it holds more than a frame could.
    for count in [i32::MAX, 1 << 27, 100_000] {
        let (_, err, _) = c
            .call(OpCode::SetWatches, |out| {
                out.put_i64(0);
                out.put_i32(count);
                out.extend_from_slice(&[0xff; 1000]);
            })
            .expect("setWatches");
        assert_eq!(err, ErrorCode::MarshallingError.code());
    }
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 96 * MIB, "memory grew by {grown} bytes");
    healthy.end(&server, began);
}
