//! A disk without room.

use super::*;

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
    let lines = server
        .log()
        .lines()
        .filter(|line| line.contains("refused a write: the log cannot have its next segment: "))
        .count();
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

#[test]
fn a_start_on_a_full_disk_serves_what_it_can_and_says_what_is_missing() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("data");
    std::fs::create_dir(&data).expect("a directory");
    let disk = SmallDisk(&data);
    if !disk.mount("size=14m") {
        println!("SKIPPED: mounting a tmpfs is not permitted here, so no disk can be filled");
        return;
    }
    // A segment finds room, and no second one does.
    let mut server = server(&dir, "preAllocSize=8192");
    let mut c = Client::connect(server.port, 10_000).expect("connect");
    assert_eq!(c.create("/full", b"0", 0).expect("create"), 0);
    assert_eq!(c.set("/full", b"1").expect("send").err(), None);
    server.kill();
    // Not a byte is left, nor one that a start could give back.
    let _ = std::fs::remove_file(data.join("ringkeeper/log/segment-unfinished"));
    let filler = data.join("filler");
    let mut file = std::fs::File::create(&filler).expect("a file");
    while file.write_all(&[0; 4096]).is_ok() {}
    server.start_again();
    let mut c = Client::attach(server.port, 10_000, c.session_id, &c.password, 0).expect("attach");
    assert_eq!(number(&c.get("/full").expect("get").expect("data").0), 1);
    let said = server.log();
    assert!(said.contains("0 bytes are free, too few for the next segment"), "{said}");
    let acknowledged = write_until_full(&mut c, 2);
    assert!(acknowledged > 20, "the segment that is there has room: {acknowledged}");
    server.kill();
    server.start_again();
    let mut c = Client::attach(server.port, 10_000, c.session_id, &c.password, 0).expect("attach");
    assert_eq!(number(&c.get("/full").expect("get").expect("data").0), acknowledged);
    std::fs::remove_file(&filler).expect("remove");
    assert!(disk.mount("remount,size=64m"));
    until("writes are taken again", || c.set("/full", b"0").expect("send").is_ok());
    server.kill();
    drop(server);

    // Where there is no log, there is nothing to serve.
    let data = dir.path().join("new");
    std::fs::create_dir(&data).expect("a directory");
    let disk = SmallDisk(&data);
    assert!(disk.mount("size=5m"));
    for look in [&["--check"][..], &[]] {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_ringkeeper"));
        command.args(["--client-port", "0", "-D", "preAllocSize=8192", "--data-dir"]).arg(&data);
        let output = command.args(look).output().expect("run ringkeeper");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let data = data.to_str().expect("a plain path");
        for part in [data, "needs 8388608 bytes", "are free: make room"] {
            assert!(said.contains(part), "{part:?} in {said}");
        }
    }
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
