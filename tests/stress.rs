//! A stress test of the invariants of ARCHITECTURE.md against the real binary: many clients under load, each checking
//! order as it goes. `RINGKEEPER_STRESS_S` sets for how many seconds each part runs (default 3).

mod common;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Client, Incoming, Server, data_of, number};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use ringkeeper::protocol::{
    EventType, GetDataRequest, MultiHeader, MultiOp, MultiResult, MultiResults, OpCode,
    SetDataRequest, end_multi,
};

fn seconds() -> Duration {
    let s = std::env::var("RINGKEEPER_STRESS_S").ok().and_then(|s| s.parse().ok());
    Duration::from_secs(s.unwrap_or(3))
}

/// Two shards and the core apart: every hop between threads is there.
fn server(dir: &tempfile::TempDir) -> Server {
    Server::start(dir.path(), "tickTime=500", &["--shards", "2", "--placement", "apart"])
}

/// Keeps the machine busy with writes until told to stop.
fn background_load(port: u16, stop: Arc<AtomicBool>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut c = Client::connect(port, 10_000).expect("connect");
        c.create("/noise", b"", 0).expect("create");
        while !stop.load(Ordering::Relaxed) {
            for _ in 0..32 {
                c.put_set("/noise", b"noise");
            }
            c.flush().expect("send");
            for _ in 0..32 {
                c.receive().expect("a reply");
            }
        }
    })
}

/// What a pipelining client expects next.
enum Expect {
    Set(i32),
    Get(i32, u64),
}

/// R1, R2: replies in the order of requests, zxids never back, writes' zxids rising; each read shows exactly what the
/// writes before it in the same pipeline left, and nothing of those behind it.
fn pipeline(port: u16, id: usize, until: Instant) -> usize {
    let mut rng = StdRng::seed_from_u64(id as u64);
    let mut c = Client::connect(port, 10_000).expect("connect");
    let path = format!("/own{id}");
    assert_eq!(c.create(&path, b"0", 0).expect("create"), 0);
    let (mut value, mut last_zxid, mut last_write, mut done) = (0u64, 0i64, 0i64, 0usize);
    let mut expected = VecDeque::new();
    while Instant::now() < until {
        for _ in 0..rng.random_range(1..40) {
            if rng.random_bool(0.5) {
                value += 1;
                expected.push_back(Expect::Set(c.put_set(&path, value.to_string().as_bytes())));
            } else {
                expected.push_back(Expect::Get(c.put_get(&path, false), value));
            }
        }
        c.flush().expect("send");
        let keep = rng.random_range(0..10);
        while expected.len() > keep {
            let (xid, zxid, err, body) = c.receive().expect("a reply").reply();
            assert_eq!(err, 0);
            assert!(zxid >= last_zxid, "zxid went back from {last_zxid:x} to {zxid:x} (R2)");
            last_zxid = zxid;
            match expected.pop_front().expect("something is expected") {
                Expect::Set(want) => {
                    assert_eq!(xid, want, "a reply out of order (R1)");
                    assert!(zxid > last_write, "a write's zxid did not rise (R1)");
                    last_write = zxid;
                }
                Expect::Get(want, value) => {
                    assert_eq!(xid, want, "a reply out of order (R1)");
                    assert_eq!(
                        number(&data_of(&body).0),
                        value,
                        "a read out of its place (R1, R2)"
                    );
                }
            }
            done += 1;
        }
    }
    done
}

#[test]
fn pipelines_keep_their_order_and_read_their_own_writes() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir);
    let until = Instant::now() + seconds();
    let port = server.port;
    let threads: Vec<_> =
        (0..6).map(|id| thread::spawn(move || pipeline(port, id, until))).collect();
    for t in threads {
        assert!(t.join().expect("a pipeline") > 100, "too little happened to prove anything");
    }
}

/// R3, R4: the event of a change comes after the reply that armed the watch and before any data of the change.
fn watcher(port: u16, stop: Arc<AtomicBool>) -> usize {
    let mut c = Client::connect(port, 10_000).expect("connect");
    let (mut armed_at, mut armed_value): (Option<i64>, u64) = (None, 0);
    let mut events = 0;
    let mut outstanding = VecDeque::new();
    while !stop.load(Ordering::Relaxed) || !outstanding.is_empty() {
        if !stop.load(Ordering::Relaxed) {
            // One read that arms, some that do not: all must agree with the events between them.
            outstanding.push_back((c.put_get("/counter", true), true));
            for _ in 0..3 {
                outstanding.push_back((c.put_get("/counter", false), false));
            }
            c.flush().expect("send");
        }
        let until_len = if stop.load(Ordering::Relaxed) { 0 } else { 8 };
        while outstanding.len() > until_len {
            match c.receive().expect("a frame") {
                Incoming::Event { zxid, kind, path } => {
                    assert_eq!((kind, path.as_str()), (EventType::NodeDataChanged, "/counter"));
                    let at = armed_at
                        .take()
                        .expect("an event without a watch, or before its reply (R4)");
                    assert!(zxid > at, "an event of 0x{zxid:x} for a watch set at 0x{at:x} (R4)");
                    events += 1;
                }
                Incoming::Reply { xid, err, body, .. } => {
                    let (want, arms) = outstanding.pop_front().expect("something is outstanding");
                    assert_eq!((xid, err), (want, 0));
                    let (data, stat) = data_of(&body);
                    let value = number(&data);
                    if armed_at.is_some() {
                        assert_eq!(
                            value, armed_value,
                            "new data before the event that it owed (R3)"
                        );
                    }
                    if arms && armed_at.is_none() {
                        // Later changes have a larger mzxid than what this reply shows.
                        armed_at = Some(stat.mzxid);
                        armed_value = value;
                    }
                }
            }
        }
    }
    events
}

#[test]
fn events_come_between_the_reply_that_armed_them_and_the_data_they_tell_of() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir);
    let port = server.port;
    let mut writer = Client::connect(port, 10_000).expect("connect");
    assert_eq!(writer.create("/counter", b"0", 0).expect("create"), 0);
    let stop = Arc::new(AtomicBool::new(false));
    let noise = background_load(port, stop.clone());
    let watchers: Vec<_> = (0..6)
        .map(|_| {
            let stop = stop.clone();
            thread::spawn(move || watcher(port, stop))
        })
        .collect();
    let until = Instant::now() + seconds();
    let mut value = 0u64;
    while Instant::now() < until {
        value += 1;
        writer.set("/counter", value.to_string().as_bytes()).expect("send").expect("set");
    }
    stop.store(true, Ordering::Relaxed);
    for w in watchers {
        assert!(w.join().expect("a watcher") > 10, "too few events to prove anything");
    }
    noise.join().expect("the load");
}

/// R5: a multi sets two nodes to one value; no read, and no multiRead, ever shows half of it.
#[test]
fn transactions_are_seen_whole() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir);
    let port = server.port;
    let mut writer = Client::connect(port, 10_000).expect("connect");
    for path in ["/left", "/right"] {
        assert_eq!(writer.create(path, b"0", 0).expect("create"), 0);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let stop = stop.clone();
            thread::spawn(move || both(port, &stop))
        })
        .collect();
    let until = Instant::now() + seconds();
    let mut value = 0u64;
    while Instant::now() < until {
        value += 1;
        let data = value.to_string();
        let (_, err, body) = writer
            .call(OpCode::Multi, |out| {
                for path in ["/left", "/right"] {
                    MultiHeader::of(OpCode::SetData).encode(out);
                    SetDataRequest { path, data: Some(data.as_bytes()), version: -1 }.encode(out);
                }
                end_multi(out);
            })
            .expect("a multi");
        assert_eq!(err, 0);
        assert_eq!(MultiResults::new(&body).count(), 2);
    }
    stop.store(true, Ordering::Relaxed);
    for r in readers {
        assert!(r.join().expect("a reader") > 100, "too few reads to prove anything");
    }
}

fn both(port: u16, stop: &AtomicBool) -> usize {
    let mut c = Client::connect(port, 10_000).expect("connect");
    let mut reads = 0;
    let mut seen = 0;
    while !stop.load(Ordering::Relaxed) {
        let (_, err, body) = c
            .call(OpCode::MultiRead, |out| {
                for path in ["/left", "/right"] {
                    MultiOp::GetData(GetDataRequest { path, watch: false }).encode(out);
                }
                end_multi(out);
            })
            .expect("a multiRead");
        assert_eq!(err, 0);
        let values: Vec<u64> = MultiResults::new(&body)
            .map(|r| match r.expect("a result") {
                MultiResult::GetData { data, .. } => number(data.unwrap_or_default()),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(values[0], values[1], "half of a transaction was seen (R5)");
        assert!(values[0] >= seen, "time went back (R2)");
        seen = values[0];
        // The same through single reads: the second may be later, never earlier.
        let left = number(&c.get("/left").expect("get").expect("data").0);
        let right = number(&c.get("/right").expect("get").expect("data").0);
        assert!(right >= left && left >= seen, "time went back (R2)");
        seen = right;
        reads += 1;
    }
    reads
}

/// R10: what one connection was told, by a write's answer or by a read, every other connection sees.
#[test]
fn what_one_connection_was_told_every_other_sees() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir);
    let port = server.port;
    let stop = Arc::new(AtomicBool::new(false));
    let noise = background_load(port, stop.clone());
    // Enough connections that both shards have some.
    let mut clients: Vec<Client> =
        (0..12).map(|_| Client::connect(port, 10_000).expect("connect")).collect();
    assert_eq!(clients[0].create("/told", b"0", 0).expect("create"), 0);
    let until = Instant::now() + seconds();
    let mut rng = StdRng::seed_from_u64(10);
    let mut value = 0u64;
    let mut zxid = 0;
    while Instant::now() < until {
        let writer = rng.random_range(0..clients.len());
        value += 1;
        let data = value.to_string();
        zxid = clients[writer].set("/told", data.as_bytes()).expect("send").expect("set").max(zxid);
        for _ in 0..4 {
            let reader = rng.random_range(0..clients.len());
            let (data, stat) = clients[reader].get("/told").expect("get").expect("data");
            assert_eq!(number(&data), value, "another connection saw an older state (R10)");
            assert_eq!(stat.mzxid, zxid);
        }
    }
    assert!(value > 50, "too little happened to prove anything");
    stop.store(true, Ordering::Relaxed);
    noise.join().expect("the load");
}

/// A session moves from connection to connection in the midst of its writes: what was answered is there, nothing of
/// the old connection is ordered behind what the new one did, and nothing is applied twice.
#[test]
fn a_session_moves_between_connections_in_the_midst_of_its_writes() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir);
    let port = server.port;
    let mut c = Client::connect(port, 10_000).expect("connect");
    assert_eq!(c.create("/moving", b"0", 0).expect("create"), 0);
    assert_eq!(c.create("/alive", b"", 1).expect("create"), 0);
    let until = Instant::now() + seconds();
    let mut value = 0u64;
    let mut moves = 0;
    while Instant::now() < until {
        let (first, mut answered) = (value, value);
        for _ in 0..50 {
            value += 1;
            c.put_set("/moving", value.to_string().as_bytes());
        }
        c.flush().expect("send");
        for _ in 0..moves % 7 {
            let (_, _, err, _) = c.receive().expect("a reply").reply();
            assert_eq!(err, 0);
            answered += 1;
        }
        let mut next = Client::attach(port, 10_000, c.session_id, &c.password, 0).expect("attach");
        assert_eq!(next.session_id, c.session_id, "the session was refused");
        let (data, _) = next.get("/moving").expect("get").expect("data");
        let now = number(&data);
        assert!(now >= answered, "an answered write is lost: {now} < {answered}");
        assert!(now >= first && now <= value);
        next.set("/moving", b"1000000000").expect("send").expect("set");
        for _ in 0..3 {
            let (data, _) = next.get("/moving").expect("get").expect("data");
            assert_eq!(number(&data), 1_000_000_000, "a write of the old connection came later");
        }
        next.set("/moving", value.to_string().as_bytes()).expect("send").expect("set");
        c = next;
        moves += 1;
    }
    assert!(moves > 10);
    assert!(c.get("/alive").expect("get").is_ok(), "the session's ephemeral is gone");
}

/// R9: the server is stopped for much longer than every session's timeout; no session that speaks afterwards expires.
#[test]
fn no_live_session_expires_while_the_server_is_stopped() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir);
    let port = server.port;
    let mut clients: Vec<Client> = Vec::new();
    for i in 0..50 {
        let mut c = Client::connect(port, 1_000).expect("connect");
        assert_eq!(c.timeout_ms, 1_000);
        assert_eq!(c.create(&format!("/e{i}"), b"", 1).expect("create"), 0);
        clients.push(c);
    }
    for round in 0..2 {
        server.signal(libc::SIGSTOP);
        // Pings sent while it is stopped wait in the sockets: the sessions are alive.
        for c in &mut clients {
            c.request_with_xid(-2, OpCode::Ping, |_| {});
            c.flush().expect("send");
        }
        thread::sleep(Duration::from_secs(3));
        server.signal(libc::SIGCONT);
        for (i, c) in clients.iter_mut().enumerate() {
            let (xid, ..) = c.receive().expect("the ping's answer").reply();
            assert_eq!(xid, -2);
            let r = c.get(&format!("/e{i}")).expect("get");
            assert!(r.is_ok(), "round {round}: session {i} lost its ephemeral (R9)");
        }
    }
    // And the other way round: a session that falls silent does expire.
    let silent = clients.pop().expect("a client");
    let path = "/e49";
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        for c in &mut clients {
            c.ping().expect("ping");
        }
        if clients[0].get(path).expect("get") == Err(-101) {
            break;
        }
        assert!(Instant::now() < deadline, "a silent session does not expire");
        thread::sleep(Duration::from_millis(100));
    }
    drop(silent);
}
