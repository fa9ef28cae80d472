//! Who asks for much and reads little.

use super::*;

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
