//! What the four-letter words tell of the server, against the real binary.

mod common;

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};

use common::{Client, Incoming, Server, until};
use ringkeeper::protocol::{AddWatchRequest, OpCode};

fn server(dir: &tempfile::TempDir, lines: &str) -> Server {
    let lines = format!("tickTime=500\npreAllocSize=1024\n{lines}");
    Server::start(dir.path(), &lines, &["--shards", "1"])
}

/// Everything that `mntr` shows as a whole number.
fn monitor(server: &Server) -> HashMap<String, i64> {
    let text = server.word("mntr").expect("mntr");
    let pairs = text.lines().filter_map(|line| line.strip_prefix("zk_")?.split_once('\t'));
    pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

#[test]
fn replies_connections_and_watchers_are_counted() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "");
    let mut c = Client::connect(server.port, 10_000).expect("connect");
    assert_eq!(c.create("/n", b"0123456789", 0).expect("create"), 0);
    server.word("srst").expect("srst");
    let before = monitor(&server);
    assert_eq!(before["max_client_response_size"], -1, "no reply since the reset");
    c.get("/n").expect("get").expect("data");
    c.ping().expect("ping");
    let after = monitor(&server);
    let more = |name: &str| after[name] - before[name];
    // Header, buffer of ten bytes, Stat; and a header.
    assert_eq!(more("response_bytes"), (16 + 4 + 10 + 68) + 16);
    assert_eq!(after["max_client_response_size"], 16 + 4 + 10 + 68);
    assert_eq!((after["min_client_response_size"], after["last_client_response_size"]), (16, 16));
    // The two requests, with the word that asked.
    assert_eq!(more("bytes_received_count"), (4 + 8 + 4 + 2 + 1) + (4 + 8) + 4);

    let mut watchers: Vec<Client> =
        (0..3).map(|_| Client::connect(server.port, 10_000).expect("connect")).collect();
    for w in &mut watchers {
        let watch = |out: &mut Vec<u8>| AddWatchRequest { path: Some("/n"), mode: 0 }.encode(out);
        assert_eq!(w.call(OpCode::AddWatch, watch).expect("addWatch").1, 0);
    }
    c.set("/n", b"").expect("set").expect("set");
    c.create("/n/child", b"", 0).expect("create");
    for w in &mut watchers {
        for _ in 0..2 {
            assert!(matches!(w.receive().expect("an event"), Incoming::Event { .. }));
        }
    }
    let seen = monitor(&server);
    for name in ["node_changed_watch_count", "node_children_watch_count"] {
        let figures = ["cnt", "sum", "max"].map(|figure| seen[&format!("{figure}_{name}")]);
        assert_eq!(figures, [1, 3, 3], "{name}");
    }
    assert_eq!(seen["cnt_node_deleted_watch_count"], 0, "nothing was deleted");

    assert_eq!(seen["connection_drop_count"], 0);
    watchers.pop().expect("one").close().expect("close");
    watchers.pop().expect("another").hang_up();
    until("it is counted", || server.metric("connection_drop_count") > 0);
    assert_eq!(server.metric("connection_drop_count"), 1, "who closes its session is no loss");
    until("an answer finds nobody", || {
        let mut gone = Client::connect(server.port, 10_000).expect("connect");
        for _ in 0..100 {
            gone.put_set("/n", b"x");
        }
        gone.flush().expect("send");
        gone.hang_up();
        server.metric("stale_replies") > 0
    });
    assert_eq!(server.metric("lost_wakes"), 0);
}

#[test]
fn writes_and_recovery_are_timed() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = server(&dir, "");
    let mut c = Client::connect(server.port, 10_000).expect("connect");
    assert_eq!(c.create("/n", b"", 0).expect("create"), 0);
    for _ in 0..500 {
        c.put_set("/n", b"x");
    }
    c.flush().expect("send");
    for _ in 0..500 {
        assert_eq!(c.receive().expect("a reply").reply().2, 0);
    }
    // The session, the node, and what was set.
    let seen = monitor(&server);
    assert_eq!((seen["commit_count"], seen["cnt_propagation_latency"]), (502, 502));
    assert_eq!(seen["cnt_prep_process_time"], 502);
    assert!(seen["cnt_fsynctime"] > 0 && seen["cnt_fsynctime"] <= seen["log_writes"]);
    assert_eq!((seen["cnt_dbinittime"], seen["sum_startup_txns_loaded"]), (1, 0));
    server.kill();
    server.start_again();
    let seen = monitor(&server);
    assert_eq!((seen["cnt_dbinittime"], seen["sum_startup_txns_loaded"]), (1, 502));
    assert_eq!((seen["cnt_startup_snap_load_time"], seen["cnt_startup_txns_load_time"]), (1, 1));
    assert_eq!(seen["digest_mismatches_count"], 0);
}

/// What `hash` shows: zxids and digests.
fn digests(server: &Server) -> Vec<(i64, String)> {
    let text = server.word("hash").expect("hash");
    let line = |line: &str| {
        let (zxid, digest) = line.split_once(": ").expect("a zxid and a digest");
        (i64::from_str_radix(zxid, 16).expect("a zxid"), digest.to_owned())
    };
    text.lines().map(line).collect()
}

#[test]
fn every_128th_digest_is_kept_and_found_again() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = server(&dir, "");
    let mut c = Client::connect(server.port, 10_000).expect("connect");
    assert!(digests(&server).is_empty());
    // The session's zxid is 1.
    for i in 2..=400 {
        assert_eq!(c.create(&format!("/n{i}"), b"", 0).expect("create"), 0);
    }
    let kept = digests(&server);
    assert_eq!(kept.iter().map(|(zxid, _)| *zxid).collect::<Vec<_>>(), [128, 256, 384]);
    assert!(kept.windows(2).all(|pair| pair[0].1 != pair[1].1), "the state has changed");
    server.kill();
    server.start_again();
    assert_eq!(digests(&server), kept, "the replay goes through the same states");
}

#[test]
fn without_digests_there_are_none_to_show() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "digest.enabled=false");
    let mut c = Client::connect(server.port, 10_000).expect("connect");
    for i in 2..=200 {
        assert_eq!(c.create(&format!("/n{i}"), b"", 0).expect("create"), 0);
    }
    assert!(digests(&server).is_empty());
}

#[test]
fn who_pipes_a_word_and_hangs_up_on_his_side_gets_the_answer() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = server(&dir, "");
    for word in ["ruok", "srvr\n", "mntr\n", "wchs"] {
        for _ in 0..20 {
            let mut stream = TcpStream::connect(("127.0.0.1", server.port)).expect("connect");
            stream.write_all(word.as_bytes()).expect("asked");
            stream.shutdown(Shutdown::Write).expect("half closed");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).expect("read to the end");
            assert!(!answer.is_empty(), "{word}");
        }
    }
    let connections = || monitor(&server)["num_alive_connections"];
    until("all of them are gone", || connections() <= 1);
}
