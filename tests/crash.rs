//! A crash test against the real binary: writers record what was acknowledged, the server is killed with SIGKILL at
//! random moments, and after each restart everything acknowledged is there, nothing refused is, and the ephemerals of
//! live sessions survive. `RINGKEEPER_CRASH_ROUNDS` sets the number of rounds (default 12).

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::{Client, Incoming, Server, number};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// What one writer knows of its own nodes.
#[derive(Default)]
struct Ledger {
    /// The last acknowledged value of the counter node.
    counter_acknowledged: u64,
    /// The last value sent to it: what is found may be anything from the acknowledged to the sent one.
    counter_sent: u64,
    /// Nodes whose creation was acknowledged, with their data.
    created: BTreeMap<String, u64>,
    /// Nodes whose creation was sent and not answered.
    unsure: BTreeMap<String, u64>,
    /// Nodes whose creation was refused.
    refused: Vec<String>,
    /// The highest zxid that was acknowledged.
    zxid: i64,
}

/// Writes until the server dies.
fn write_until_it_dies(port: u16, id: usize, round: usize, ledger: &Mutex<Ledger>) {
    let mut rng = StdRng::seed_from_u64((round * 100 + id) as u64);
    let Ok(mut c) = Client::connect(port, 30_000) else { return };
    let mut n = 0u64;
    loop {
        let mut batch = Vec::new();
        for _ in 0..rng.random_range(1..20) {
            n += 1;
            let mut l = ledger.lock().expect("ledger");
            match rng.random_range(0..10) {
                0..=5 => {
                    l.counter_sent += 1;
                    let value = l.counter_sent;
                    batch.push((None, value));
                    c.put_set(&format!("/counter{id}"), value.to_string().as_bytes());
                }
                6..=8 => {
                    let path = format!("/w{id}/r{round}n{n}");
                    l.unsure.insert(path.clone(), n);
                    c.put_create(&path, n.to_string().as_bytes(), 0);
                    batch.push((Some(path), n));
                }
                _ => {
                    let path = format!("/nowhere/r{round}n{n}");
                    c.put_create(&path, b"", 0);
                    batch.push((Some(path), u64::MAX));
                }
            }
        }
        if c.flush().is_err() {
            return;
        }
        for (path, value) in batch {
            let Ok(Incoming::Reply { zxid, err, .. }) = c.receive() else { return };
            let mut l = ledger.lock().expect("ledger");
            assert!(zxid >= l.zxid, "zxid went back");
            l.zxid = zxid;
            match path {
                None => {
                    assert_eq!(err, 0);
                    l.counter_acknowledged = value;
                }
                Some(path) if value == u64::MAX => {
                    assert_eq!(err, -101, "a create without a parent is refused");
                    l.refused.push(path);
                }
                Some(path) => {
                    assert_eq!(err, 0);
                    l.unsure.remove(&path);
                    l.created.insert(path, value);
                }
            }
        }
    }
}

fn check(c: &mut Client, id: usize, ledger: &mut Ledger) {
    let (data, stat) = c.get(&format!("/counter{id}")).expect("get").expect("the counter is there");
    let found = number(&data);
    assert!(
        found >= ledger.counter_acknowledged && found <= ledger.counter_sent,
        "writer {id}: the counter is {found}, acknowledged {}, sent {}",
        ledger.counter_acknowledged,
        ledger.counter_sent
    );
    assert!(stat.version as u64 >= ledger.counter_acknowledged);
    ledger.counter_acknowledged = found;
    ledger.counter_sent = found;
    for (path, value) in &ledger.created {
        let (data, _) = c.get(path).expect("get").unwrap_or_else(|e| panic!("{path} is lost: {e}"));
        assert_eq!(number(&data), *value, "{path}");
    }
    for (path, value) in std::mem::take(&mut ledger.unsure) {
        if let Ok((data, _)) = c.get(&path).expect("get") {
            assert_eq!(number(&data), value);
            ledger.created.insert(path, value);
        }
    }
    for path in ledger.refused.drain(..) {
        assert_eq!(c.get(&path).expect("get").err(), Some(-101), "{path} was refused and is there");
    }
}

fn rounds(dir: &Path, config: &str, args: &[&str], rounds: usize, seed: u64) {
    const WRITERS: usize = 3;
    let mut rng = StdRng::seed_from_u64(seed);
    let mut server = Server::start(dir, config, args);
    let mut c = Client::connect(server.port, 30_000).expect("connect");
    for id in 0..WRITERS {
        assert_eq!(c.create(&format!("/counter{id}"), b"0", 0).expect("create"), 0);
        assert_eq!(c.create(&format!("/w{id}"), b"", 0).expect("create"), 0);
    }
    // A session that lives through all the crashes, with an ephemeral node.
    let (session_id, password) = (c.session_id, c.password.clone());
    assert_eq!(c.create("/alive", b"", 1).expect("create"), 0);
    let ledgers: Vec<Arc<Mutex<Ledger>>> = (0..WRITERS).map(|_| Arc::default()).collect();
    let mut proved = 0;
    for round in 0..rounds {
        let writers: Vec<_> = ledgers
            .iter()
            .enumerate()
            .map(|(id, ledger)| {
                let (ledger, port) = (ledger.clone(), server.port);
                thread::spawn(move || write_until_it_dies(port, id, round, &ledger))
            })
            .collect();
        thread::sleep(Duration::from_millis(rng.random_range(20..600)));
        server.kill();
        for w in writers {
            w.join().expect("a writer");
        }
        server.start_again();
        c = Client::attach(server.port, 30_000, session_id, &password, 0).expect("attach");
        assert_eq!(c.session_id, session_id, "round {round}: the session did not survive");
        assert!(c.get("/alive").expect("get").is_ok(), "round {round}: its ephemeral did not");
        for (id, ledger) in ledgers.iter().enumerate() {
            let mut l = ledger.lock().expect("ledger");
            check(&mut c, id, &mut l);
            proved = proved.max(l.created.len());
        }
    }
    assert!(proved > 50, "too little was written to prove anything: {proved}");
}

fn round_count() -> usize {
    let n = std::env::var("RINGKEEPER_CRASH_ROUNDS").ok().and_then(|s| s.parse().ok());
    n.unwrap_or(12)
}

#[test]
fn nothing_acknowledged_is_lost_at_a_kill() {
    let dir = tempfile::tempdir().expect("a directory");
    rounds(dir.path(), "", &[], round_count(), 1);
}

/// The same with small segments and frequent snapshots, so that kills fall into rolling and into snapshots.
#[test]
fn nothing_acknowledged_is_lost_at_a_kill_while_segments_and_snapshots_come_and_go() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = "preAllocSize=1024\nsnapCount=300\nautopurge.purgeInterval=1\n";
    rounds(dir.path(), config, &["--placement", "apart"], round_count(), 2);
}

#[test]
fn a_clean_stop_keeps_everything_and_exits_well() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut server = Server::start(dir.path(), "", &[]);
    let mut c = Client::connect(server.port, 30_000).expect("connect");
    assert_eq!(c.create("/kept", b"17", 0).expect("create"), 0);
    let status = server.stop();
    assert!(status.success(), "it ended with {status}\n{}", server.log());
    server.start_again();
    let mut c = Client::connect(server.port, 30_000).expect("connect");
    assert_eq!(number(&c.get("/kept").expect("get").expect("data").0), 17);
}

#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let server = Server::start(dir.path(), "", &[]);
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_ringkeeper"))
        .args(["server", "--client-port", &common::free_port().to_string(), "--data-dir"])
        .arg(server.dir.join("data"))
        .output()
        .expect("run it");
    assert!(!output.status.success(), "a second server started on the same data");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("data"), "it does not say why: {said}");
}
