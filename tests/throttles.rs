//! The limits and throttles of the configuration, against the real binary: each does what ZooKeeper's does, is counted,
//! and gives back what it took.

mod common;

use std::path::Path;
use std::process::Command;

use common::{Client, Incoming, Server, data_of, number, until};
use ringkeeper::protocol::{ErrorCode, GetChildrenRequest, OpCode};

/// Two shards and the core apart, small log segments, and the lines of the test.
fn server(dir: &tempfile::TempDir, lines: &str) -> Server {
    let lines = format!("tickTime=500\npreAllocSize=1024\n{lines}");
    Server::start(dir.path(), &lines, &["--shards", "2", "--placement", "apart"])
}

#[test]
fn the_server_takes_so_many_connections() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "maxCnxns=3");
    let mut clients = Vec::new();
    // The words with which the start was awaited may still be on their way out.
    until("three connections", || {
        clients.extend(Client::connect(server.port, 10_000).ok());
        clients.len() == 3
    });
    for _ in 0..100 {
        assert!(Client::connect(server.port, 10_000).is_err(), "a fourth was served");
    }
    for c in &mut clients {
        c.ping().expect("those that are in stay in");
    }
    clients.pop().expect("one").close().expect("close");
    until("the free place is given away", || Client::connect(server.port, 10_000).is_ok());
    clients.clear();
    until("a word is answered", || server.word("ruok").is_ok_and(|answer| answer == "imok"));
    assert!(server.metric("refused_total") >= 100);
    assert!(server.metric("connection_rejected") >= 100);
    let lines = server.log().lines().filter(|line| line.contains("maxCnxns")).count();
    assert!((1..50).contains(&lines), "{lines} lines");
}

#[test]
fn sessions_take_tokens_and_without_one_there_is_none() {
    let dir = tempfile::tempdir().expect("a directory");
    // No token comes back within the test.
    let bucket = "zookeeper.connection_throttle_tokens=3\nconnectionTokenFillTime=3600000";
    let server = server(&dir, bucket);
    let mut clients: Vec<Client> =
        (0..3).map(|_| Client::connect(server.port, 10_000).expect("a token is there")).collect();
    for _ in 0..20 {
        assert!(Client::connect(server.port, 10_000).is_err(), "there was no token left");
    }
    let c = &clients[0];
    let again = Client::attach(server.port, 10_000, c.session_id, &c.password, 0);
    assert!(again.is_err(), "a renewed session takes a token, too");
    clients[0].ping().expect("those that have a session keep it");
    assert_eq!(server.metric("refused_by_throttle"), 21);
    assert_eq!(server.metric("connection_rejected"), 21);
    assert_eq!(server.metric("connection_request_count"), 3);
    assert_eq!(server.metric("max_connection_token_deficit"), 3);
    assert_eq!(server.metric("global_sessions"), 3);
}

#[test]
fn a_renewed_session_takes_less_where_sessions_are_weighed() {
    let dir = tempfile::tempdir().expect("a directory");
    let lines = "connectionMaxTokens=2\nconnectionTokenFillTime=3600000\n\
                 zookeeper.connection_throttle_weight_enabled=true\n\
                 connectionFreezeTime=0\nconnectionDropIncrease=1";
    let server = server(&dir, lines);
    let drop_probability = || {
        let text = server.word("mntr").expect("mntr");
        let mut lines = text.lines().filter_map(|line| line.split_once('\t'));
        let found = lines.find(|(name, _)| *name == "zk_connection_drop_probability");
        found.expect("it is shown").1.to_string()
    };
    // Two new sessions would take the six tokens; one takes three, and one that is renewed two.
    let first = Client::connect(server.port, 10_000).expect("three tokens of six");
    let (id, password) = (first.session_id, first.password.clone());
    Client::attach(server.port, 10_000, id, &password, 0).expect("two of three");
    assert!(Client::connect(server.port, 10_000).is_err(), "one token is left");
    assert!(Client::attach(server.port, 10_000, id, &password, 0).is_err(), "and it is not enough");
    assert_eq!(server.metric("refused_by_throttle"), 2);
    assert_eq!(drop_probability(), "0.0", "the bucket is not empty");
}

/// A setData whose frame is `bytes` long.
fn put_set_of(c: &mut Client, path: &str, bytes: usize) {
    let data = vec![b'x'; bytes - (8 + 4 + path.len() + 4 + 4)];
    c.put_set(path, &data);
}

#[test]
fn large_requests_share_a_room_and_one_too_many_closes_its_connection() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "largeRequestThreshold=1000\nlargeRequestMaxBytes=5000");
    let mut c = Client::connect(server.port, 10_000).expect("connect");
    assert_eq!(c.create("/large", b"", 0).expect("create"), 0);
    for bytes in [1000, 1001, 3000, 5000] {
        put_set_of(&mut c, "/large", bytes);
        c.flush().expect("send");
        assert_eq!(c.receive().expect("a reply").reply().2, 0, "{bytes} bytes are few enough");
    }
    // Smaller ones take no room, however many they are.
    for _ in 0..1000 {
        put_set_of(&mut c, "/large", 1000);
    }
    c.flush().expect("send");
    for _ in 0..1000 {
        assert_eq!(c.receive().expect("a reply").reply().2, 0);
    }
    assert_eq!(server.metric("large_requests_rejected"), 0);

    // One that could never find room is not even read: its length is enough.
    let mut lone = Client::connect(server.port, 10_000).expect("connect");
    lone.raw(&5001i32.to_be_bytes()).expect("send");
    assert!(lone.is_closed());
    assert_eq!(server.metric("large_requests_rejected"), 1);
    assert_eq!(c.get("/large").expect("get").expect("data").0.len(), 1000 - 26);

    // Many at once. Whether a write is still in flight when the next one comes is a matter of luck.
    until("two are in flight", || {
        let mut many = Client::connect(server.port, 10_000).expect("connect");
        server.signal(libc::SIGSTOP);
        for _ in 0..20 {
            put_set_of(&mut many, "/large", 2600);
        }
        let _ = many.flush();
        server.signal(libc::SIGCONT);
        let mut answered = 0;
        while many.receive().is_ok() {
            answered += 1;
            if answered == 20 {
                return false;
            }
        }
        true
    });
    let rejected = server.metric("large_requests_rejected");
    assert!(rejected >= 2, "{rejected}");
    // All room was given back.
    put_set_of(&mut c, "/large", 5000);
    c.flush().expect("send");
    assert_eq!(c.receive().expect("a reply").reply().2, 0);
    assert!(server.log().contains("largeRequestMaxBytes"));
}

/// Whether the server's end of a connection has a keep-alive timer, as the kernel lists it.
fn keeps_alive(server: &Server, c: &Client) -> bool {
    let client_port = c.stream().local_addr().expect("an address").port();
    let (local, remote) = (format!(":{:04X}", server.port), format!(":{client_port:04X}"));
    let table = std::fs::read_to_string("/proc/net/tcp").expect("/proc/net/tcp");
    let ends = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next().is_some_and(|field| field.ends_with(&local))
            && fields.next().is_some_and(|field| field.ends_with(&remote))
    };
    let line = table.lines().find(ends).expect("the server's end of the connection");
    let timer = line.split_whitespace().nth(5).expect("a timer");
    timer.starts_with("02:")
}

#[test]
fn keep_alive_is_set_where_it_is_asked_for() {
    for (lines, asked) in [("", false), ("clientTcpKeepAlive=true", true)] {
        let dir = tempfile::tempdir().expect("a directory");
        let server = server(&dir, lines);
        let c = Client::connect(server.port, 10_000).expect("connect");
        // Another timer runs while bytes are on their way.
        until("the timer is as asked", || keeps_alive(&server, &c) == asked);
    }
}

/// Starts a server that should not start, and gives what it says.
fn start_in_vain(data: &Path, log: &Path) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringkeeper"));
    command.args(["server", "--client-port", "0", "-D", "datadir.autocreate=false"]);
    command.arg("--data-dir").arg(data).arg("--data-log-dir").arg(log);
    let output = command.output().expect("run it");
    assert!(!output.status.success(), "it started");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn missing_directories_are_not_made_where_that_is_forbidden() {
    let dir = tempfile::tempdir().expect("a directory");
    let (data, log) = (dir.path().join("data"), dir.path().join("log"));
    std::fs::create_dir(&data).expect("an empty directory, as where no disk is mounted");
    let ours = |dir: &Path| dir.join("ringkeeper");
    let said = start_in_vain(&data, &log);
    assert!(said.contains(&ours(&data).display().to_string()), "{said}");
    std::fs::create_dir(ours(&data)).expect("made by hand");
    let said = start_in_vain(&data, &log);
    assert!(said.contains(&ours(&log).display().to_string()), "{said}");
    assert!(!log.exists() && std::fs::read_dir(ours(&data)).expect("it").next().is_none());
    std::fs::create_dir_all(ours(&log)).expect("made by hand");
    let lines = format!("datadir.autocreate=false\ndataLogDir={}", log.display());
    let server = server(&dir, &lines);
    assert!(Client::connect(server.port, 10_000).is_ok());
}

#[test]
fn slow_log_writes_are_reported() {
    for (threshold_ms, slow) in [(0, true), (i32::MAX, false)] {
        let dir = tempfile::tempdir().expect("a directory");
        let server = server(&dir, &format!("fsync.warningthresholdms={threshold_ms}"));
        let mut c = Client::connect(server.port, 10_000).expect("connect");
        assert_eq!(c.create("/slow", b"", 0).expect("create"), 0);
        let (writes, exceeded) =
            (server.metric("cnt_fsynctime"), server.metric("fsync_threshold_exceed_count"));
        assert!(writes >= 2, "{writes} writes were timed");
        assert_eq!(exceeded, if slow { writes } else { 0 });
        assert_eq!(server.log().contains("fsync.warningthresholdms)"), slow);
    }
}

/// A single shard, so that the counts are exact.
fn single(dir: &tempfile::TempDir, lines: &str) -> Server {
    let lines = format!("tickTime=500\npreAllocSize=1024\n{lines}");
    Server::start(dir.path(), &lines, &["--shards", "1", "--placement", "apart"])
}

/// Sends so many pairs of a write and a read at once and checks every answer; the answers that were THROTTLEDOP.
fn pipeline(c: &mut Client, path: &str, pairs: u64) -> usize {
    let first = c.put_set(path, b"0");
    c.put_get(path, false);
    for i in 1..pairs {
        c.put_set(path, i.to_string().as_bytes());
        c.put_get(path, false);
    }
    c.flush().expect("send");
    let (mut written, mut throttled) = (u64::MAX, 0);
    for i in 0..2 * pairs {
        let (xid, _, err, body) = c.receive().expect("a reply").reply();
        assert_eq!(xid, first + i as i32, "replies come in the order of requests (R1)");
        match err {
            0 if i % 2 == 0 => written = i / 2,
            0 if written < u64::MAX => assert_eq!(number(&data_of(&body).0), written),
            0 => {}
            _ => {
                assert_eq!(err, ErrorCode::ThrottledOp.code());
                throttled += 1;
            }
        }
    }
    throttled
}

#[test]
fn a_connection_is_held_back_while_too_much_is_under_way() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = single(&dir, "globalOutstandingLimit=10");
    let mut clients: Vec<Client> =
        (0..4).map(|_| Client::connect(server.port, 10_000).expect("connect")).collect();
    assert_eq!(clients[0].create("/n", b"0", 0).expect("create"), 0);
    assert_eq!(pipeline(&mut clients[0], "/n", 3000), 0);
    assert!(server.metric("paused_outstanding") > 0);
    let most = server.metric("max_sync_processor_batch_size");
    assert!(most <= 11, "{most} writes of one connection were under way");
    std::thread::scope(|scope| {
        for (i, c) in clients.iter_mut().enumerate() {
            scope.spawn(move || {
                let path = format!("/n{i}");
                assert_eq!(c.create(&path, b"0", 0).expect("create"), 0);
                assert_eq!(pipeline(c, &path, 2000), 0);
            });
        }
    });
    let most = server.metric("max_sync_processor_batch_size");
    assert!(most <= 14, "{most} writes of four connections were under way");
    assert_eq!(server.metric("outstanding_requests"), 0);
}

#[test]
fn a_throttled_request_waits_its_turn() {
    for (limit, shards) in [(1, "1"), (5, "1"), (5, "2")] {
        let dir = tempfile::tempdir().expect("a directory");
        let lines = format!(
            "tickTime=500\nzookeeper.request_throttle_max_requests={limit}\nrequestThrottleStallTime=1"
        );
        let flags = ["--shards", shards, "--placement", "apart"];
        let server = Server::start(dir.path(), &lines, &flags);
        let clients: Vec<Client> =
            (0..4).map(|_| Client::connect(server.port, 10_000).expect("connect")).collect();
        server.word("srst").expect("sessions are opened past the throttle: count from here");
        std::thread::scope(|scope| {
            for (i, mut c) in clients.into_iter().enumerate() {
                scope.spawn(move || {
                    let path = format!("/n{i}");
                    assert_eq!(c.create(&path, b"0", 0).expect("create"), 0);
                    assert_eq!(pipeline(&mut c, &path, 500), 0);
                    c.close().expect("a session's end waits its turn, too");
                });
            }
        });
        let waited = server.metric("request_throttle_wait_count");
        assert!(waited > 1000, "only {waited} waited");
        assert_eq!(server.metric("cnt_request_throttle_queue_time_ms"), waited);
        let most = server.metric("max_sync_processor_batch_size");
        if shards == "1" {
            assert!(most <= limit, "{most} writes were under way");
        }
        assert_eq!(server.metric("outstanding_requests"), 0);
    }
}

#[test]
fn who_waits_too_long_in_the_throttle_is_told_so() {
    let dir = tempfile::tempdir().expect("a directory");
    let lines = "requestThrottleLimit=1\nthrottledOpWaitTime=1";
    let server = single(&dir, lines);
    let mut c = Client::connect(server.port, 10_000).expect("connect");
    assert_eq!(c.create("/n", b"0", 0).expect("create"), 0);
    let mut throttled = 0;
    until("some wait too long", || {
        throttled += pipeline(&mut c, "/n", 2000);
        throttled > 0
    });
    assert_eq!(server.metric("throttled_ops"), throttled as i64);
    assert_eq!(server.metric("stale_requests_dropped"), 0);
    c.close().expect("a session's end is never throttled away");
}

#[test]
fn a_stale_request_in_the_throttle_closes_its_connection() {
    let dir = tempfile::tempdir().expect("a directory");
    // Sessions of 20 ms.
    let lines = "requestThrottleLimit=1\nrequestStaleLatencyCheck=true\ntickTime=10";
    let server = single(&dir, lines);
    let mut setter = Client::connect(server.port, 200).expect("connect");
    assert_eq!(setter.create("/n", b"0", 0).expect("create"), 0);
    setter.hang_up();
    let dropped = || server.metric("stale_requests_dropped");
    until("one is dropped as stale", || {
        // It may also expire before its first request.
        let Ok(mut c) = Client::connect(server.port, 20) else { return false };
        let before = dropped();
        let first = c.put_set("/n", b"x");
        for _ in 1..4000 {
            c.put_set("/n", &[b'x'; 1000]);
        }
        let mut next = first;
        let _ = c.flush();
        while let Ok(Incoming::Reply { xid, err, .. }) = c.receive() {
            assert_eq!((xid, err), (next, 0), "what is done is done in order");
            next += 1;
            if next == first + 4000 {
                return false;
            }
        }
        dropped() > before && server.log().contains("longer than its session")
    });
    assert!(dropped() > 0);
    assert_eq!(server.metric("outstanding_requests"), 0);
}

#[test]
fn what_waits_in_the_throttle_goes_with_its_connection() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = single(&dir, "requestThrottleLimit=1\nrequestStaleConnectionCheck=false");
    assert!(server.log().contains("requestStaleConnectionCheck is ignored"), "{}", server.log());
    let mut c = Client::connect(server.port, 10_000).expect("connect");
    assert_eq!(c.create("/n", b"0", 0).expect("create"), 0);
    until("something waited when its connection went", || {
        let mut gone = Client::connect(server.port, 10_000).expect("connect");
        for _ in 0..2000 {
            gone.put_set("/n", &[b'x'; 1000]);
        }
        let _ = gone.flush();
        gone.hang_up();
        server.metric("stale_requests_dropped") > 0
    });
    assert_eq!(pipeline(&mut c, "/n", 100), 0, "the others go on");
    until("all is answered or gone", || server.metric("outstanding_requests") == 0);
}

#[test]
fn nobody_in_the_throttle_waits_for_who_does_not_read() {
    let dir = tempfile::tempdir().expect("a directory");
    let lines = "tickTime=2000\nrequestThrottleLimit=1\nringkeeper.outputPauseBytes=4096";
    let server = single(&dir, lines);
    let mut slow = Client::connect(server.port, 40_000).expect("connect");
    for i in 0..20_000 {
        slow.put_create(&format!("/a-child-of-the-root-with-a-long-name-{i}"), b"", 0);
        if i % 1000 == 999 {
            slow.flush().expect("send");
            for _ in 0..1000 {
                assert_eq!(slow.receive().expect("a reply").reply().2, 0);
            }
        }
    }
    // Listings of a megabyte each, of which it reads nothing, and writes between them so that they have to wait.
    for _ in 0..50 {
        slow.put_set("/a-child-of-the-root-with-a-long-name-0", b"");
        slow.request(OpCode::GetChildren, |out| {
            GetChildrenRequest { path: "/", watch: false }.encode(out);
        });
    }
    slow.flush().expect("send");
    let mut c = Client::connect(server.port, 10_000).expect("connect");
    assert_eq!(c.create("/n", b"0", 0).expect("create"), 0);
    let unread = || server.metric("output_backlog_bytes");
    until("there is something that it does not read", || unread() > 0);
    for _ in 0..10 {
        assert_eq!(pipeline(&mut c, "/n", 100), 0);
    }
    assert!(unread() > 0, "it has not read it since");
    assert_eq!(server.metric("refused_slow_reader"), 0, "nobody waited for its end");
    drop(slow);
}
