//! What a client may do wrong, by mistake or on purpose, against the real binary. Each attack must end in a protocol
//! error or a closed connection, be counted, and leave at most a log line a second of its kind, while a healthy session
//! goes on being served and the process's memory stays bounded.

mod common;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::{Client, Incoming, Server, number, until};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ringkeeper::jute::Encode;
use ringkeeper::protocol::{
    AclRef, AddWatchRequest, AuthPacket, CreateRequest, DeleteRequest, ErrorCode, GetDataRequest,
    MultiOp, MultiResult, MultiResults, OpCode, SetDataRequest, end_multi, perms,
};
use socket2::{Domain, SockRef, Socket, Type};

const MIB: u64 = 1 << 20;

/// Two shards and the core apart, small log segments, and the lines of the test.
fn server(dir: &tempfile::TempDir, lines: &str) -> Server {
    let lines = format!("tickTime=500\npreAllocSize=1024\n{lines}");
    Server::start(dir.path(), &lines, &["--shards", "2", "--placement", "apart"])
}

/// A connection without a handshake.
fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("connect");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
    stream
}

/// A connection from `source` whose kernel takes little off the server that its owner does not read.
fn connect_from(source: &str, port: u16, receive_bytes: usize) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(receive_bytes).expect("a small buffer");
    socket
        .bind(&format!("{source}:0").parse::<SocketAddr>().expect("an address").into())
        .expect("bind");
    let to: SocketAddr = format!("127.0.0.1:{port}").parse().expect("an address");
    socket.connect(&to.into()).expect("connect");
    socket.into()
}

/// Everything until the server closes the connection, which it must.
fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    match stream.read_to_end(&mut all) {
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => panic!("the server did not close it"),
        // Reset, because it had not read everything: closed all the same.
        _ => all,
    }
}

/// Sends what the server may refuse to read to its end.
fn send(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes);
}

/// A session that writes and reads all the time; it must never notice what others do.
struct Healthy {
    rounds: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Healthy {
    fn start(server: &Server) -> Healthy {
        let mut c = Client::connect(server.port, 10_000).expect("connect");
        assert_eq!(c.create("/healthy", b"", 1).expect("create"), 0);
        let (rounds, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counted, stopped) = (rounds.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let value = counted.load(Ordering::Relaxed).to_string();
                c.set("/healthy", value.as_bytes()).expect("send").expect("set");
                let (data, _) = c.get("/healthy").expect("get").expect("its ephemeral is there");
                assert_eq!(data, value.as_bytes());
                counted.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Healthy { rounds, stop, thread: Some(thread) }
    }

    /// It is still served.
    fn is_served(&self) {
        let before = self.rounds.load(Ordering::Relaxed);
        until("the healthy session is served", || self.rounds.load(Ordering::Relaxed) > before + 1);
    }

    /// It was served all the time; and the server has neither panicked nor filled its log.
    fn end(mut self, server: &Server, began: Instant) {
        self.is_served();
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("once").join().expect("the healthy session");
        assert_eq!(server.word("ruok").expect("ruok"), "imok");
        let log = server.log();
        assert!(!log.contains("panicked"), "{log}");
        let seconds = began.elapsed().as_secs() as usize;
        for kind in [
            "refused a",
            "announced a frame",
            "first frame",
            "no request header",
            "opcode",
            "malformed",
            "has not read",
            "no handshake",
            "whitelist",
            "authentication",
            "multiRead",
        ] {
            let lines =
                log.lines().filter(|line| line.contains("WARN") && line.contains(kind)).count();
            assert!(lines <= seconds + 2, "{lines} lines of \"{kind}\" in {seconds} s\n{log}");
        }
    }
}

#[test]
fn an_address_has_so_many_connections() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "maxClientCnxns=3");
    let mut clients = Vec::new();
    // The words with which the start was awaited may still be on their way out.
    until("three connections", || {
        clients.extend(Client::connect(server.port, 10_000).ok());
        clients.len() == 3
    });
    for _ in 0..100 {
        assert!(
            read_to_end(&mut connect(server.port)).is_empty(),
            "a fourth connection was served"
        );
    }
    // Another address has its own count.
    let other = connect_from("127.0.0.2", server.port, 65536);
    let mut other = Client::over(other, 10_000).expect("another address is served");
    other.ping().expect("ping");
    for c in &mut clients {
        c.ping().expect("those that are in stay in");
    }
    clients.pop().expect("one").close().expect("close");
    until("the free place is given away", || Client::connect(server.port, 10_000).is_ok());
    clients.clear();
    until("a word is answered", || server.word("ruok").is_ok_and(|answer| answer == "imok"));
    assert!(server.metric("refused_per_address") >= 100);
    let lines = server.log().lines().filter(|line| line.contains("maxClientCnxns")).count();
    assert!(lines < 50, "{lines} lines");
}

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

#[test]
fn a_connection_that_makes_no_session_is_closed() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "nio.sessionlessCnxnTimeout=300");
    let began = Instant::now();
    let healthy = Healthy::start(&server);
    let mut streams: Vec<TcpStream> = (0..60).map(|_| connect(server.port)).collect();
    for (i, stream) in streams.iter_mut().enumerate() {
        // Nothing, a part of a word, a part of a length, a part of a handshake.
        send(stream, [&b""[..], b"ru", &[0, 0, 0], &[0, 0, 0, 44, 0, 0, 0, 0]][i % 4]);
    }
    for stream in &mut streams {
        assert!(read_to_end(stream).is_empty());
    }
    assert!(server.metric("sessionless_connections_expired") >= 60);
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

#[test]
fn one_request_cannot_ask_for_more_than_its_connection_may_be_owed() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "ringkeeper.outputLimitBytes=8388608");
    let began = Instant::now();
    let healthy = Healthy::start(&server);
    let mut c = Client::connect(server.port, 10_000).expect("connect");
    assert_eq!(c.create("/big", &vec![7; 900_000], 0).expect("create"), 0);
    let before = server.resident_bytes();
    let mut read = |count: usize| {
        c.call(OpCode::MultiRead, |out| {
            for _ in 0..count {
                MultiOp::GetData(GetDataRequest { path: "/big", watch: false }).encode(out);
            }
            end_multi(out);
        })
        .expect("multiRead")
    };
    let (_, err, body) = read(20_000);
    assert_eq!((err, body.len()), (ErrorCode::ThrottledOp.code(), 0));
    let (_, err, body) = read(5);
    assert!(err == 0 && body.len() > 4_500_000, "what is within the bound works");
    assert_eq!(server.metric("throttled_ops"), 1);
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 64 * MIB, "memory grew by {grown} bytes");
    healthy.end(&server, began);
}

#[test]
fn who_asks_for_much_and_reads_nothing_is_paused_and_then_closed() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "ringkeeper.outputPauseBytes=65536");
    let began = Instant::now();
    let healthy = Healthy::start(&server);
    let mut slow =
        Client::over(connect_from("127.0.0.1", server.port, 4096), 4_000).expect("connect");
    assert_eq!(slow.create("/big", &vec![7; 500_000], 0).expect("create"), 0);
    assert_eq!(slow.create("/slow", b"", 1).expect("create"), 0);
    let before = server.resident_bytes();
    for _ in 0..1000 {
        slow.put_get("/big", false);
    }
    slow.flush().expect("send");
    until("it is paused", || server.metric("paused_output") > 0);
    until("what it has not read is shown", || server.metric("output_backlog_bytes") > 0);
    healthy.is_served();
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 48 * MIB, "500 MB were asked for, and memory grew by {grown} bytes");
    // It is not read, so its silence does not expire it at once; but neither may it hold its ephemerals for ever.
    until("it is closed", || server.metric("refused_slow_reader") == 1);
    let mut other = Client::connect(server.port, 10_000).expect("connect");
    until("its session expires", || other.get("/slow").expect("get").is_err());
    healthy.end(&server, began);
    drop(slow);
}

#[test]
fn who_reads_slowly_for_longer_than_its_time_out_gets_every_byte() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "ringkeeper.outputPauseBytes=65536");
    let began = Instant::now();
    let healthy = Healthy::start(&server);
    let stream = connect_from("127.0.0.1", server.port, 65536);
    let mut slow = Client::over(stream, 2_000).expect("connect");
    let big: Vec<u8> = (0..900_000u32).map(|at| (at % 251) as u8).collect();
    assert_eq!(slow.create("/big", &big, 0).expect("create"), 0);
    assert_eq!(slow.create("/slow", b"", 1).expect("create"), 0);
    let first = slow.put_get("/big", false);
    for _ in 1..20 {
        slow.put_get("/big", false);
    }
    slow.flush().expect("send");
    until("it is paused", || server.metric("paused_output") > 0);
    // A trickle for three times its time-out, during which it sends nothing; then all the rest.
    let mut bytes = Vec::new();
    let until = Instant::now() + 3 * Duration::from_millis(slow.timeout_ms as u64);
    let mut stream = slow.stream().try_clone().expect("a second handle");
    while Instant::now() < until {
        let mut some = [0; 2048];
        let count = stream.read(&mut some).expect("it is not closed");
        assert!(count > 0, "it is not closed");
        bytes.extend(&some[..count]);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(bytes.len() < 10 << 20, "the trickle was a flood");
    slow.unread(&bytes);
    let (mut next, mut pongs) = (first, 0);
    while next < first + 20 || pongs < 0 {
        // The server may have let go of everything: from then on its silence counts.
        if next < first + 20 {
            slow.request_with_xid(-2, OpCode::Ping, |_| {});
            slow.flush().expect("send");
            pongs -= 1;
        }
        let (found, _, err, body) = slow.receive().expect("a reply").reply();
        if found == -2 {
            pongs += 1;
        } else {
            assert_eq!((found, err), (next, 0));
            assert!(common::data_of(&body).0 == big);
            next += 1;
        }
    }
    assert!(slow.get("/slow").expect("get").is_ok(), "its session lives");
    assert_eq!(server.metric("refused_slow_reader"), 0);
    healthy.end(&server, began);
}

#[test]
fn many_slow_readers_together_hold_no_more_than_the_total() {
    let dir = tempfile::tempdir().expect("a directory");
    let lines = "ringkeeper.outputPauseBytes=4194304\nringkeeper.outputLimitBytes=8388608\n\
                 ringkeeper.outputTotalBytes=16777216";
    let server = server(&dir, lines);
    let began = Instant::now();
    let healthy = Healthy::start(&server);
    let mut reader = Client::connect(server.port, 10_000).expect("connect");
    assert_eq!(reader.create("/big", &vec![7; 900_000], 0).expect("create"), 0);
    let before = server.resident_bytes();
    let mut most = 0;
    // Each asks for 18 MB and reads nothing: 4 MiB of that would be made before it is read no more.
    let mut slow = Vec::new();
    for _ in 0..60 {
        let stream = connect_from("127.0.0.1", server.port, 4096);
        let mut c = Client::over(stream, 10_000).expect("connect");
        for _ in 0..20 {
            c.put_get("/big", false);
        }
        c.flush().expect("send");
        slow.push(c);
        most = most.max(server.resident_bytes());
        // Who reads is served meanwhile.
        assert_eq!(reader.get("/big").expect("get").expect("data").0.len(), 900_000);
    }
    until("the greatest holders are closed", || {
        most = most.max(server.resident_bytes());
        server.metric("refused_memory") > 20
    });
    until("what is held is within the bound", || {
        let held = server.metric("output_backlog_bytes");
        held > 0 && held <= 16 << 20
    });
    assert!(server.metric("paused_memory") > 0, "back-pressure comes first");
    assert_eq!(server.metric("refused_slow_reader"), 0);
    let grown = most.saturating_sub(before);
    assert!(grown < 80 * MIB, "memory grew by {grown} bytes");
    // Their sessions live on.
    for c in slow {
        let (id, password) = (c.session_id, c.password.clone());
        let again = Client::attach(server.port, 10_000, id, &password, 0).expect("attach");
        assert_eq!(again.session_id, id);
        again.close().expect("close");
    }
    healthy.end(&server, began);
}

#[test]
fn an_announced_length_takes_no_memory() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "");
    let began = Instant::now();
    let healthy = Healthy::start(&server);
    let mut connections = Vec::new();
    let mut announce = |phase: &str| {
        let before = server.resident_bytes();
        let half = connections.len();
        for _ in 0..1000 {
            let mut c = Client::connect(server.port, 10_000).expect("connect");
            if phase == "request" {
                c.raw(&[0, 0x0f, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 5]).expect("send");
            }
            connections.push(c);
        }
        // A word behind them all: they have been received.
        assert!(server.metric("num_alive_connections") >= 1000 + half as i64);
        server.resident_bytes().saturating_sub(before)
    };
    let (idle, announced) = (announce("nothing"), announce("request"));
    assert!(announced < idle + 16 * MIB, "{announced} bytes, {idle} without a prefix");
    healthy.end(&server, began);
}

#[test]
fn unfinished_requests_together_hold_no_more_than_the_total() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "ringkeeper.inputTotalBytes=16777216");
    let began = Instant::now();
    let healthy = Healthy::start(&server);
    // The shortest time-out, so that a wait for room would end its session if silence then counted.
    let mut honest = Client::connect(server.port, 1_000).expect("connect");
    assert_eq!(honest.create("/honest", b"", 1).expect("create"), 0);
    let before = server.resident_bytes();
    let stop = Arc::new(AtomicBool::new(false));
    // Each sends 900 KB of a request of 1 MB, as far as it is read, and waits.
    let unfinished: Vec<_> = (0..60)
        .map(|_| {
            let (stop, port) = (stop.clone(), server.port);
            std::thread::spawn(move || {
                let mut rest = vec![7; 900_000];
                rest[..12].copy_from_slice(&[0, 0x0f, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 5]);
                let mut closed = 0;
                while !stop.load(Ordering::Relaxed) {
                    let Ok(c) = Client::connect(port, 10_000) else { continue };
                    let mut stream = c.stream();
                    stream.set_write_timeout(Some(Duration::from_millis(100))).expect("a time-out");
                    stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out");
                    let mut sent = 0;
                    while !stop.load(Ordering::Relaxed) {
                        match stream.write(&rest[sent..]) {
                            Ok(0) => match stream.read(&mut [0]) {
                                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                                _ => break,
                            },
                            Ok(count) => sent += count,
                            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                            Err(_) => break,
                        }
                    }
                    closed += 1;
                }
                closed
            })
        })
        .collect();
    let mut most = 0;
    until("the greatest holders are closed", || {
        most = most.max(server.resident_bytes());
        honest.ping().expect("ping");
        server.metric("refused_memory") > 10
    });
    for round in 0..3u8 {
        honest.set("/honest", &vec![round; 500_000]).expect("send").expect("set");
        most = most.max(server.resident_bytes());
    }
    assert!(server.metric("paused_memory") > 0, "back-pressure comes first");
    assert!(honest.get("/honest").expect("get").is_ok(), "its session lives");
    let grown = most.saturating_sub(before);
    assert!(grown < 64 * MIB, "memory grew by {grown} bytes");
    stop.store(true, Ordering::Relaxed);
    let closed: usize = unfinished.into_iter().map(|t| t.join().expect("a thread")).sum();
    assert!(closed > 10, "{closed}");
    until("nothing is left of them", || server.metric("input_backlog_bytes") < 1 << 20);
    healthy.end(&server, began);
}

#[test]
fn a_watcher_of_a_hot_node_that_reads_nothing_is_closed() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "tickTime=2000\nringkeeper.outputLimitBytes=1048576");
    let began = Instant::now();
    let healthy = Healthy::start(&server);
    let path = format!("/{}", "hot".repeat(600));
    let mut writer = Client::connect(server.port, 40_000).expect("connect");
    assert_eq!(writer.create(&path, b"", 0).expect("create"), 0);
    let mut watchers = Vec::new();
    for _ in 0..10 {
        let mut c =
            Client::over(connect_from("127.0.0.1", server.port, 4096), 40_000).expect("connect");
        let watch = |out: &mut Vec<u8>| AddWatchRequest { path: Some(&path), mode: 0 }.encode(out);
        assert_eq!(c.call(OpCode::AddWatch, watch).expect("addWatch").1, 0);
        watchers.push(c);
    }
    // One that reads, to see that it gets every event.
    let mut reader = Client::connect(server.port, 40_000).expect("connect");
    let watch = |out: &mut Vec<u8>| AddWatchRequest { path: Some(&path), mode: 0 }.encode(out);
    assert_eq!(reader.call(OpCode::AddWatch, watch).expect("addWatch").1, 0);
    let before = server.resident_bytes();
    let (mut most, mut last) = (0, 0);
    until("the watchers are closed", || {
        for _ in 0..100 {
            writer.put_set(&path, b"x");
        }
        writer.flush().expect("send");
        for _ in 0..100 {
            assert_eq!(writer.receive().expect("a reply").reply().2, 0);
            let Incoming::Event { zxid, .. } = reader.receive().expect("an event") else {
                panic!("a reply to nothing");
            };
            assert!(zxid > last);
            last = zxid;
        }
        most = most.max(server.resident_bytes());
        server.metric("refused_slow_reader") == 10
    });
    let grown = most.saturating_sub(before);
    assert!(grown < 96 * MIB, "memory grew by {grown} bytes");
    healthy.end(&server, began);
}

#[test]
fn a_flood_of_writes_whose_sender_reads_nothing_is_held_back() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "ringkeeper.outputPauseBytes=16384");
    let began = Instant::now();
    let healthy = Healthy::start(&server);
    let mut flood =
        Client::over(connect_from("127.0.0.1", server.port, 4096), 1_000).expect("connect");
    assert_eq!(flood.create("/flood", b"", 0).expect("create"), 0);
    let before = server.resident_bytes();
    let mut most = 0;
    let stop = Instant::now() + Duration::from_secs(60);
    flood.stream().set_write_timeout(Some(Duration::from_millis(200))).expect("a time-out");
    // Until the server does not take any more, and then until it ends it.
    loop {
        for _ in 0..1000 {
            flood.put_set("/flood", &[7; 1000]);
        }
        if flood.flush().is_err() && server.metric("refused_slow_reader") == 1 {
            break;
        }
        most = most.max(server.resident_bytes());
        assert!(Instant::now() < stop, "the flood is neither held back nor ended");
    }
    assert!(server.metric("paused_output") > 0);
    let grown = most.saturating_sub(before);
    assert!(grown < 96 * MIB, "memory grew by {grown} bytes");
    healthy.end(&server, began);
}

#[test]
fn thousands_of_requests_may_be_outstanding_on_a_connection() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "");
    let began = Instant::now();
    let healthy = Healthy::start(&server);
    let mut c = Client::connect(server.port, 10_000).expect("connect");
    assert_eq!(c.create("/n", b"0", 0).expect("create"), 0);
    let mut out = c.stream().try_clone().expect("a second handle");
    const PAIRS: usize = 10_000;
    let sender = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        for i in 0..PAIRS as i32 {
            let value = i.to_string();
            let set = SetDataRequest { path: "/n", data: Some(value.as_bytes()), version: -1 };
            let mut body = Vec::new();
            for (xid, op) in [(2 * i, 5i32), (2 * i + 1, 4)] {
                body.clear();
                body.extend(xid.to_be_bytes());
                body.extend(op.to_be_bytes());
                match op {
                    5 => set.encode(&mut body),
                    _ => GetDataRequest { path: "/n", watch: false }.encode(&mut body),
                }
                bytes.put_buffer(Some(&body));
            }
        }
        out.write_all(&bytes).expect("send");
    });
    for i in 0..PAIRS as i32 {
        let (xid, _, err, _) = c.receive().expect("a reply").reply();
        assert_eq!((xid, err), (2 * i, 0));
        let (xid, _, err, body) = c.receive().expect("a reply").reply();
        assert_eq!((xid, err), (2 * i + 1, 0));
        assert_eq!(number(&common::data_of(&body).0), i as u64);
    }
    sender.join().expect("the sender");
    healthy.end(&server, began);
}

#[test]
fn a_flood_of_connections_leaves_nothing_behind() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "");
    let began = Instant::now();
    let healthy = Healthy::start(&server);
    let connections = server.metric("num_alive_connections");
    let before = server.resident_bytes();
    for i in 0..1500 {
        let mut stream = connect(server.port);
        match i % 5 {
            0 => {}
            1 => send(&mut stream, b"ru"),
            2 => drop(Client::over(stream.try_clone().expect("a handle"), 1_000)),
            3 => send(&mut stream, b"srvr"),
            _ => send(&mut stream, &[0, 0, 0, 44, 0, 0]),
        }
        if i % 2 == 0 {
            // A reset instead of an orderly end.
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("linger");
        }
    }
    until("they are all gone", || server.metric("num_alive_connections") <= connections);
    until("their sessions expire", || server.metric("global_sessions") == 1);
    assert!(server.metric("stale_sessions_expired") >= 100);
    let grown = server.resident_bytes().saturating_sub(before);
    assert!(grown < 64 * MIB, "memory grew by {grown} bytes");
    healthy.end(&server, began);
}

#[test]
fn words_are_answered_from_the_white_list_and_whole_only() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "4lw.commands.whitelist=ruok,mntr");
    let began = Instant::now();
    let healthy = Healthy::start(&server);
    for _ in 0..50 {
        for word in ["stat", "dump", "wchp", "cons", "envi"] {
            let answer = server.word(word).expect("an answer");
            assert_eq!(
                answer,
                format!("{word} is not executed because it is not in the whitelist.\n")
            );
        }
    }
    assert!(server.metric("refused_word") >= 250);
    // In two pieces it is a word; half of it and an end is nothing.
    let mut stream = connect(server.port);
    stream.set_nodelay(true).expect("nodelay");
    send(&mut stream, b"ru");
    send(&mut stream, b"ok");
    assert_eq!(read_to_end(&mut stream), b"imok");
    for part in ["r", "ru", "ruo"] {
        let mut stream = connect(server.port);
        send(&mut stream, part.as_bytes());
        stream.shutdown(Shutdown::Write).expect("end");
        assert!(read_to_end(&mut stream).is_empty());
    }
    healthy.end(&server, began);
}

#[test]
fn watches_have_a_limit_and_a_client_that_is_ahead_is_turned_away() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "ringkeeper.watchesPerConnectionMax=10");
    let began = Instant::now();
    let healthy = Healthy::start(&server);
    let mut c = Client::connect(server.port, 10_000).expect("connect");
    for i in 0..100 {
        let path = format!("/w{i}");
        let watch = |out: &mut Vec<u8>| AddWatchRequest { path: Some(&path), mode: 1 }.encode(out);
        let (_, err, _) = c.call(OpCode::AddWatch, watch).expect("addWatch");
        assert_eq!(err, if i < 10 { 0 } else { ErrorCode::ThrottledOp.code() });
    }
    assert_eq!(server.metric("watch_count"), 10);
    assert_eq!(server.metric("refused_too_many_watches"), 90);
    for _ in 0..50 {
        assert!(Client::attach(server.port, 10_000, 0, &[0; 16], i64::MAX).is_err());
    }
    assert_eq!(server.metric("refused_zxid_ahead"), 50);
    healthy.end(&server, began);
}

/// A file system of limited size; gone when dropped.
struct SmallDisk<'a>(&'a Path);

impl SmallDisk<'_> {
    fn mount(&self, options: &str) -> bool {
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(self.0);
        mount.output().is_ok_and(|output| output.status.success())
    }
}

impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0).output();
    }
}

/// Writes until the server refuses; the last value that it acknowledged.
fn write_until_full(c: &mut Client, from: u64) -> u64 {
    for value in from.. {
        let data = format!("{value:060000}");
        match c.set("/full", data.as_bytes()).expect("the connection goes on") {
            Ok(_) => assert!(value < from + 10_000, "the disk does not become full"),
            Err(err) => {
                assert_eq!(err, ErrorCode::SystemError.code());
                return value - 1;
            }
        }
    }
    unreachable!("the loop has no end")
}

#[test]
fn a_full_disk_refuses_writes_and_loses_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    std::fs::create_dir(&log).expect("a directory");
    let disk = SmallDisk(&log);
    if !disk.mount("size=24m") {
        println!("SKIPPED: mounting a tmpfs is not permitted here, so no disk can be filled");
        return;
    }
    let lines = format!("preAllocSize=4096\ndataLogDir={}", log.display());
    let mut server = server(&dir, &lines);
    let began = Instant::now();
    let mut c = Client::connect(server.port, 10_000).expect("connect");
    assert_eq!(c.create("/full", b"0", 0).expect("create"), 0);
    let written = |c: &mut Client| number(&c.get("/full").expect("get").expect("data").0);
    let mut acknowledged = write_until_full(&mut c, 1);
    assert!(acknowledged > 50, "only {acknowledged} writes before the disk was full");
    for _ in 0..200 {
        assert_eq!(
            c.set("/full", b"refused").expect("send").err(),
            Some(ErrorCode::SystemError.code())
        );
        assert_eq!(written(&mut c), acknowledged, "reads go on, at the last acknowledged write");
    }
    assert!(Client::connect(server.port, 10_000).is_err(), "a new session is a write, too");
    assert!(server.metric("refused_no_space") >= 200);
    let lines = server.log().lines().filter(|line| line.contains("no space for")).count();
    assert!(lines <= 2 * (began.elapsed().as_secs() as usize + 2), "{lines} lines");

    // Killed while the disk is full, it starts again on it.
    server.kill();
    server.start_again();
    let mut c = Client::attach(server.port, 10_000, c.session_id, &c.password, 0).expect("attach");
    assert_eq!(written(&mut c), acknowledged);

    // With space again it goes on by itself.
    assert!(disk.mount("remount,size=64m"));
    until("writes are taken again", || {
        let next = acknowledged + 1;
        let taken = c.set("/full", next.to_string().as_bytes()).expect("send").is_ok();
        acknowledged += taken as u64;
        taken
    });
    acknowledged = write_until_full(&mut c, acknowledged + 1);
    assert_eq!(written(&mut c), acknowledged);
    server.kill();
    server.start_again();
    let mut c = Client::attach(server.port, 10_000, c.session_id, &c.password, 0).expect("attach");
    assert_eq!(written(&mut c), acknowledged);
    assert!(!server.log().contains("panicked"));
    drop(server);
}

/// A session with so many ephemerals of long names: its end is a transaction of so many kilobytes.
fn with_ephemerals(port: u16, index: usize, count: usize) -> Client {
    let mut c = Client::connect(port, 1_000).expect("connect");
    for i in 0..count {
        c.put_create(&ephemeral(index, i), b"", 1);
    }
    c.flush().expect("send");
    for _ in 0..count {
        assert_eq!(c.receive().expect("a reply").reply().2, 0);
    }
    c
}

fn ephemeral(session: usize, i: usize) -> String {
    format!("/{}-{session}-{i}", "e".repeat(1000))
}

#[test]
fn many_sessions_that_end_at_once_end_in_what_the_log_can_hold() {
    let dir = tempfile::tempdir().expect("a directory");
    // Segments of 2 MiB, and 8 MiB to log.
    let mut server = server(&dir, "");
    let mut c = Client::connect(server.port, 10_000).expect("connect");
    let mut sessions: Vec<Client> =
        (0..80).map(|index| with_ephemerals(server.port, index, 100)).collect();
    // So that they are silent from the same moment.
    for session in &mut sessions {
        session.ping().expect("ping");
    }
    until("they have ended", || {
        c.ping().expect("ping");
        server.metric("global_sessions") == 1
    });
    assert_eq!(server.metric("stale_sessions_expired"), 80);
    assert_eq!(server.metric("ephemerals_count"), 0);
    assert_eq!(c.create("/on", b"", 0).expect("writes go on"), 0);
    server.kill();
    server.start_again();
    assert_eq!(server.metric("ephemerals_count"), 0);
    assert_eq!(server.metric("global_sessions"), 1);
    drop(sessions);
}

#[test]
fn sessions_that_expire_on_a_full_disk_stay_until_their_end_can_be_logged() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    std::fs::create_dir(&log).expect("a directory");
    let disk = SmallDisk(&log);
    if !disk.mount("size=24m") {
        println!("SKIPPED: mounting a tmpfs is not permitted here, so no disk can be filled");
        return;
    }
    let lines = format!("preAllocSize=4096\ndataLogDir={}", log.display());
    let mut server = server(&dir, &lines);
    let mut c = Client::connect(server.port, 10_000).expect("connect");
    assert_eq!(c.create("/full", b"0", 0).expect("create"), 0);
    // Their ends are more than the log keeps back for what cannot be refused.
    let sessions: Vec<Client> =
        (0..60).map(|index| with_ephemerals(server.port, index, 100)).collect();
    let acknowledged = write_until_full(&mut c, 1);
    let known: Vec<_> = sessions.iter().map(|s| (s.session_id, s.password.clone())).collect();
    drop(sessions);
    until("they have expired", || {
        c.ping().expect("ping");
        server.metric("expiries_postponed") > 3
    });
    assert_eq!(server.metric("stale_sessions_expired"), 0, "the log has no room for an end");
    // Everything is answered at once all the same, and refused with a clear error where it is a write.
    let refused = ErrorCode::SystemError.code();
    for _ in 0..50 {
        assert_eq!(c.set("/full", b"refused").expect("send").err(), Some(refused));
        assert_eq!(number(&c.get("/full").expect("get").expect("data").0), acknowledged);
        assert!(c.get(&ephemeral(7, 7)).expect("get").is_ok(), "whose session has not ended");
    }
    assert_eq!(c.call(OpCode::CloseSession, |_| {}).expect("closeSession").1, refused);
    // Whose client comes back has its session again.
    let (id, password) = &known[7];
    let mut back = Client::attach(server.port, 10_000, *id, password, 0).expect("attach");
    assert_eq!(back.session_id, *id);
    assert!(back.get(&ephemeral(7, 7)).expect("get").is_ok());
    assert!(server.log().contains("have expired and stay"), "{}", server.log());

    assert!(disk.mount("remount,size=64m"));
    until("the others end", || {
        back.ping().expect("ping");
        c.ping().expect("ping");
        server.metric("ephemerals_count") == 100
    });
    assert_eq!(server.metric("global_sessions"), 2);
    server.kill();
    server.start_again();
    let mut back = Client::attach(server.port, 10_000, *id, password, 0).expect("attach");
    assert!(back.get(&ephemeral(7, 7)).expect("get").is_ok());
    assert_eq!(back.get(&ephemeral(8, 7)).expect("get").err(), Some(-101));
    assert_eq!(number(&back.get("/full").expect("get").expect("data").0), acknowledged);
    assert!(!server.log().contains("panicked"));
    drop(server);
}
