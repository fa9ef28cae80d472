//! What many clients may take together.

use super::*;

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
    let before = server.resident_bytes();
    let stop = Arc::new(AtomicBool::new(false));
    // Each sends 900 KB of a request of 1 MB, as far as it is read, and waits.
    let unfinished: Vec<_> = (0..30)
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
        server.metric("refused_memory") > 10
    });
    // A short time-out, so that its waits for room would end its session if silence then counted. All is sent at once:
    // between requests it would be silent itself, for as long as this machine has no time for it.
    let mut honest = Client::connect(server.port, 2_000).expect("connect");
    honest.put_create("/honest", b"", 1);
    for round in 0..2u8 {
        honest.put_set("/honest", &vec![round; 500_000]);
    }
    honest.flush().expect("send");
    for _ in 0..3 {
        assert_eq!(honest.receive().expect("a reply").reply().2, 0, "its session lives");
    }
    most = most.max(server.resident_bytes());
    assert!(server.metric("paused_memory") > 0, "back-pressure comes first");
    let grown = most.saturating_sub(before);
    assert!(grown < 64 * MIB, "memory grew by {grown} bytes");
    stop.store(true, Ordering::Relaxed);
    let closed: usize = unfinished.into_iter().map(|t| t.join().expect("a thread")).sum();
    assert!(closed > 10, "{closed}");
    until("nothing is left of them", || server.metric("input_backlog_bytes") < 1 << 20);
    healthy.end(&server, began);
}
