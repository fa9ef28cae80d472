//! Golden texts: what ZooKeeper 3.9 prints for the same state, taken from a running one.

use super::*;
use crate::metrics::{Counter, Gauge, Registry, Summary};

const A: i64 = 0x0100_000e_d48c_0000;
const B: i64 = A + 1;

fn connection(port: u16, received: u64, session: Option<SessionPart>) -> ConnectionView {
    ConnectionView {
        peer: ([127, 0, 0, 1], port).into(),
        interest_ops: u8::from(session.is_some()),
        queued: 0,
        received,
        sent: if session.is_some() { received } else { 0 },
        expires_ms: 1_795_444_572_000,
        session,
    }
}

fn session(id: i64, last_operation: &'static str, last_cxid: i64, last_zxid: i64) -> SessionPart {
    SessionPart {
        id,
        last_operation,
        established_ms: 1_795_444_559_367,
        timeout_ms: 10_000,
        last_cxid,
        last_zxid,
        last_response_ms: 976_809,
        last_latency_ms: 0,
        min_latency_ms: 0,
        avg_latency_ms: 4,
        max_latency_ms: 11,
    }
}

fn view() -> ServerView {
    ServerView {
        version: "3.9.4-7246445ec281f3dbf53dc54e970c914f39713903, built on 2025-08-19 19:53 UTC"
            .into(),
        serving: true,
        mode: "standalone",
        stats: Stats {
            latency_avg_ms: 3.33333,
            latency_max_ms: 11,
            received: 8,
            sent: 7,
            connections: 3,
            last_zxid: 3,
            node_count: 6,
            ..Stats::default()
        },
        connections: vec![
            connection(51838, 1, None),
            connection(51780, 4, Some(session(A, "GETD", 3, 2))),
            connection(51782, 2, Some(session(B, "NA", -1, -1))),
        ],
        conf: ConfView {
            client_port: 23181,
            data_dir: "/tmp/zk/data/version-2".into(),
            data_log_dir: "/tmp/zk/log/version-2".into(),
            tick_time_ms: 2000,
            max_client_cnxns: 60,
            min_session_timeout_ms: 4000,
            max_session_timeout_ms: 40_000,
            client_port_listen_backlog: -1,
            server_id: 0,
        },
        data_dir_bytes: 457,
        log_dir_bytes: 67_108_880,
        sessions: [A, B].map(|id| SessionView { id, expires_ms: 1_795_444_570_000 }).into(),
        ephemerals: vec![EphemeralsView { session: A, paths: vec!["/eph".into()] }],
        watch_summary: WatchSummary { connections: 2, paths: 2, total: 3 },
        watchers: vec![
            WatcherView { session: A, paths: vec!["/zookeeper".into(), "/eph".into()] },
            WatcherView { session: B, paths: vec!["/eph".into()] },
        ],
        environment: vec![("zookeeper.version", "3.9".into()), ("os.name", "Linux".into())],
        digests: vec![(0x80, 12_345), (0x1_0000_0100, -7)],
        trace_mask: 306,
        ..ServerView::default()
    }
}

fn text(word: Word) -> String {
    String::from_utf8(answer(word, &view())).unwrap()
}

#[test]
fn srvr_and_stat() {
    let head = "Zookeeper version: 3.9.4-7246445ec281f3dbf53dc54e970c914f39713903, built on \
                2025-08-19 19:53 UTC\n";
    let tail = "Latency min/avg/max: 0/3.3333/11\nReceived: 8\nSent: 7\nConnections: 3\n\
                Outstanding: 0\nZxid: 0x3\nMode: standalone\nNode count: 6\n";
    assert_eq!(text(Word::Srvr), format!("{head}{tail}"));
    let clients = "Clients:\n /127.0.0.1:51838[0](queued=0,recved=1,sent=0)\n \
                   /127.0.0.1:51780[1](queued=0,recved=4,sent=4)\n \
                   /127.0.0.1:51782[1](queued=0,recved=2,sent=2)\n\n";
    assert_eq!(text(Word::Stat), format!("{head}{clients}{tail}"));
    let read_only = ServerView { read_only: true, ..view() };
    let read_only = String::from_utf8(answer(Word::Srvr, &read_only)).unwrap();
    assert_eq!(read_only, format!("{head}READ-ONLY mode; serving only read-only clients\n{tail}"));
    let fresh = ServerView { stats: Stats::default(), ..view() };
    let fresh = String::from_utf8(answer(Word::Srvr, &fresh)).unwrap();
    assert!(fresh.contains("Latency min/avg/max: 0/0.0/0\n"), "{fresh}");
}

#[test]
fn the_version_says_of_when_the_source_is_if_that_is_known() {
    let version = concat!("3.9.5-ringkeeper-", env!("CARGO_PKG_VERSION"));
    let built = full_version_of(Some("1795444570"));
    assert_eq!(built, format!("{version}, built on 2026-11-23 14:36 UTC"));
    assert_eq!(full_version_of(None), version);
    assert!(!full_version().contains("unknown"));
}

#[test]
fn cons_shows_sessions_and_leaves_out_what_there_is_not() {
    assert_eq!(
        text(Word::Cons),
        " /127.0.0.1:51838[0](queued=0,recved=1,sent=0)\n \
         /127.0.0.1:51780[1](queued=0,recved=4,sent=4,sid=0x100000ed48c0000,lop=GETD,\
         est=1795444559367,to=10000,lcxid=0x3,lzxid=0x2,lresp=976809,llat=0,minlat=0,avglat=4,\
         maxlat=11)\n \
         /127.0.0.1:51782[1](queued=0,recved=2,sent=2,sid=0x100000ed48c0001,lop=NA,\
         est=1795444559367,to=10000,lzxid=0xffffffffffffffff,lresp=976809,llat=0,minlat=0,\
         avglat=4,maxlat=11)\n\n"
    );
}

#[test]
fn conf_and_dirs() {
    assert_eq!(
        text(Word::Conf),
        "clientPort=23181\nsecureClientPort=-1\ndataDir=/tmp/zk/data/version-2\n\
         dataDirSize=457\ndataLogDir=/tmp/zk/log/version-2\ndataLogSize=67108880\n\
         tickTime=2000\nmaxClientCnxns=60\nminSessionTimeout=4000\nmaxSessionTimeout=40000\n\
         clientPortListenBacklog=-1\nserverId=0\n"
    );
    assert_eq!(text(Word::Dirs), "datadir_size: 457\nlogdir_size: 67108880\n");
}

#[test]
fn dump_groups_by_expiry() {
    assert_eq!(
        text(Word::Dump),
        "SessionTracker dump:\nSession Sets (1)/(2):\n2 expire at Mon Nov 23 14:36:10 UTC 2026:\n\
         \t0x100000ed48c0000\n\t0x100000ed48c0001\nephemeral nodes dump:\n\
         Sessions with Ephemerals (1):\n0x100000ed48c0000:\n\t/eph\nConnections dump:\n\
         Connections Sets (1)/(3):\n3 expire at Mon Nov 23 14:36:12 UTC 2026:\n\
         \tip: /127.0.0.1:51838 sessionId: 0x0\n\
         \tip: /127.0.0.1:51780 sessionId: 0x100000ed48c0000\n\
         \tip: /127.0.0.1:51782 sessionId: 0x100000ed48c0001\n"
    );
    let mut close = view();
    close.sessions[0].expires_ms -= 999;
    assert_eq!(String::from_utf8(answer(Word::Dump, &close)).unwrap(), text(Word::Dump));
    let mut later = view();
    later.sessions[0].expires_ms += 2000;
    let later = String::from_utf8(answer(Word::Dump, &later)).unwrap();
    assert!(
        later.contains(
            "Session Sets (2)/(2):\n1 expire at Mon Nov 23 14:36:10 UTC 2026:\n\
             \t0x100000ed48c0001\n1 expire at Mon Nov 23 14:36:12 UTC 2026:\n\t0x100000ed48c0000\n"
        ),
        "{later}"
    );
}

#[test]
fn watches() {
    assert_eq!(text(Word::Wchs), "2 connections watching 2 paths\nTotal watches:3\n");
    assert_eq!(
        text(Word::Wchc),
        "0x100000ed48c0000\n\t/zookeeper\n\t/eph\n0x100000ed48c0001\n\t/eph\n\n"
    );
    assert_eq!(
        text(Word::Wchp),
        "/eph\n\t0x100000ed48c0000\n\t0x100000ed48c0001\n/zookeeper\n\t0x100000ed48c0000\n\n"
    );
}

#[test]
fn short_ones() {
    for (word, expected) in [
        (Word::Ruok, "imok"),
        (Word::Isro, "rw"),
        (Word::Crst, "Connection stats reset.\n"),
        (Word::Srst, "Server stats reset.\n"),
        (Word::Gtmk, "306"),
        (Word::Stmk, "306"),
        (Word::Envi, "Environment:\nzookeeper.version=3.9\nos.name=Linux\n"),
        (Word::Hash, "80: 12345\n100000100: -7\n"),
        (Word::TelnetClose, ""),
    ] {
        assert_eq!(text(word), expected);
    }
    let read_only = ServerView { read_only: true, ..view() };
    assert_eq!(answer(Word::Isro, &read_only), b"ro");
}

#[test]
fn a_server_that_does_not_serve_says_so() {
    let view = ServerView { serving: false, ..view() };
    let line = "This ZooKeeper instance is not currently serving requests";
    for word in Word::ALL {
        let text = String::from_utf8(answer(word, &view)).unwrap();
        match word {
            Word::Ruok => assert_eq!(text, "imok"),
            Word::Isro => assert_eq!(text, "null"),
            Word::Hash => assert_eq!(text, line),
            Word::Gtmk | Word::Stmk => assert_eq!(text, "306"),
            Word::Envi => assert!(text.starts_with("Environment:\n")),
            _ => assert_eq!(text, format!("{line}\n"), "{}", word.name()),
        }
    }
}

#[test]
fn words_are_told_from_lengths() {
    for word in Word::ALL {
        let bytes: [u8; 4] = word.name().as_bytes().try_into().unwrap();
        assert_eq!(Word::from_prefix(bytes), Some(word));
        assert!(i32::from_be_bytes(bytes) > 1 << 28, "as a length it is beyond any limit");
    }
    assert_eq!(Word::from_prefix([0xff, 0xf4, 0xff, 0xfd]), Some(Word::TelnetClose));
    for bytes in [*b"RUOK", *b"abcd", [0, 0, 0, 44], [0xff; 4]] {
        assert_eq!(Word::from_prefix(bytes), None);
    }
    assert_eq!((Word::Stmk.extra_bytes(), Word::Ruok.extra_bytes()), (8, 0));
    assert_eq!(Word::Crst.effect(), Effect::ResetConnections);
    assert_eq!(Word::Srst.effect(), Effect::ResetServer);
}

#[test]
fn the_white_list() {
    let list = |text: &str, read_only| {
        let words: Vec<String> = text.split(',').map(str::to_owned).collect();
        let list = WhiteList::new(&words, read_only);
        let names: Vec<_> = Word::ALL.into_iter().filter(|&w| list.allows(w)).collect();
        (list, names)
    };
    assert_eq!(list("", false).1, [Word::Srvr]);
    assert_eq!(list("", true).1, [Word::Isro, Word::Srvr]);
    assert_eq!(list("stat,ruok,nope", false).1, [Word::Ruok, Word::Srvr, Word::Stat]);
    let (all, names) = list("*", false);
    assert_eq!(names, Word::ALL);
    assert!(!all.allows(Word::TelnetClose));
    assert_eq!(refusal(Word::Ruok), b"ruok is not executed because it is not in the whitelist.\n");
}

#[test]
fn needs_cover_what_the_answer_shows() {
    let bare = ServerView { serving: true, mode: "standalone", ..ServerView::default() };
    for word in Word::ALL.into_iter().filter(|w| w.needs() == Needs::default()) {
        let full = ServerView { trace_mask: 0, ..view() };
        assert_eq!(answer(word, &bare), answer(word, &full), "{}", word.name());
    }
}

#[test]
fn mntr_lists_every_metric_once_under_zookeepers_names() {
    let registry = Registry::new();
    let writer = registry.writer();
    writer.add(Counter::PacketsReceived, 21);
    writer.set(Gauge::Znodes, 6);
    writer.record(Summary::UpdateLatency, 11_000_000);
    writer.record(Summary::ReadLatency, 250_000);
    writer.record(Summary::BatchSize, 5);
    writer.record(Summary::ResponseSize, 84);
    let facts = MonitorFacts {
        version: full_version(),
        mode: "standalone",
        open_fds: Some(80),
        max_fds: Some(20_000),
        connection_drop_probability: 0.0,
    };
    let values = monitor(&facts, &registry.read());
    let view = ServerView { serving: true, monitor: values, ..ServerView::default() };
    let text = String::from_utf8(answer(Word::Mntr, &view)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("zk_version\t3.9.5-ringkeeper-"), "{}", lines[0]);
    assert_eq!(lines[1], "zk_server_state\tstandalone");
    for line in [
        "zk_avg_latency\t5.625",
        "zk_max_latency\t11",
        "zk_min_latency\t0",
        "zk_packets_received\t21",
        "zk_packets_sent\t0",
        "zk_num_alive_connections\t0",
        "zk_outstanding_requests\t0",
        "zk_znode_count\t6",
        "zk_watch_count\t0",
        "zk_ephemerals_count\t0",
        "zk_approximate_data_size\t0",
        "zk_global_sessions\t0",
        "zk_open_file_descriptor_count\t80",
        "zk_max_file_descriptor_count\t20000",
        "zk_connection_drop_probability\t0.0",
        "zk_avg_updatelatency\t11.0",
        "zk_max_updatelatency\t11",
        "zk_cnt_updatelatency\t1",
        "zk_p99_updatelatency\t11",
        "zk_avg_readlatency\t0.25",
        "zk_avg_sync_processor_batch_size\t5.0",
        "zk_sum_sync_processor_batch_size\t5",
    ] {
        assert!(lines.contains(&line), "{line} is missing in\n{text}");
    }
    for one in Counter::ALL {
        assert!(text.contains(&format!("zk_{}\t", one.name())), "{}", one.name());
    }
    let mut names: Vec<&str> = lines.iter().map(|l| l.split('\t').next().unwrap()).collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "a name stands twice");
}

#[test]
fn stats_come_from_the_metrics() {
    let registry = Registry::new();
    let writer = registry.writer();
    writer.add(Counter::PacketsSent, 7);
    writer.set(Gauge::LastZxid, 0x30);
    writer.set(Gauge::Znodes, 6);
    writer.record(Summary::ReadLatency, 2_900_000);
    let stats = Stats::from_reading(&registry.read());
    let expected = Stats {
        latency_min_ms: 2,
        latency_avg_ms: 2.9,
        latency_max_ms: 2,
        sent: 7,
        last_zxid: 0x30,
        node_count: 6,
        ..Stats::default()
    };
    assert_eq!(stats, expected);
}
