//! Starting where something is in the way: each must end in an error that says what and what to do, or in a server that
//! serves; never in a panic, never in two servers on one log.

mod common;

use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{Client, Server, free_port};

fn ringkeeper(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringkeeper"));
    command.args(["server", "--data-dir"]).arg(dir.join("data")).args(args);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What it says when it does not start.
fn refusal(mut command: Command) -> String {
    let Output { status, stderr, .. } = command.output().expect("run ringkeeper");
    let stderr = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr
}

/// Waits until the server on this port answers; it must not end.
fn serves(child: &mut Child, port: u16) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while Client::connect(port, 10_000).is_err() {
        assert!(Instant::now() < deadline, "it does not serve");
        if let Some(status) = child.try_wait().expect("wait") {
            let mut said = String::new();
            if let Some(mut stderr) = child.stderr.take() {
                let _ = stderr.read_to_string(&mut said);
            }
            panic!("it ended: {status} {said}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_port_that_is_taken_is_waited_for_and_then_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port().to_string();
    let args = ["--client-address", "127.0.0.1", "--client-port", &port];
    let said = refusal(ringkeeper(dir.path(), &args));
    assert!(said.contains(&format!("cannot listen on 127.0.0.1:{port}")), "{said}");
    assert!(said.contains("is another server running there?"), "{said}");
    assert!(!dir.path().join("data").exists(), "a refused start leaves files behind");
    // Free a moment later, as when a server was killed.
    let mut child = ringkeeper(dir.path(), &args).spawn().expect("start");
    let mut said = String::new();
    let mut stderr = child.stderr.take().expect("piped");
    while !said.contains("is taken") {
        let mut some = [0; 256];
        let count = stderr.read(&mut some).expect("read");
        assert!(count > 0, "it ended: {said}");
        said.push_str(&String::from_utf8_lossy(&some[..count]));
    }
    drop(listener);
    serves(&mut child, port.parse().expect("a port"));
    child.kill().expect("kill");
    child.wait().expect("wait");
}

#[test]
fn a_directory_with_other_data_or_half_of_ours_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let theirs = dir.path().join("data/version-2");
    std::fs::create_dir_all(&theirs).expect("a directory");
    std::fs::write(theirs.join("log.1"), b"ZKLG").expect("a file");
    let port = free_port().to_string();
    let args = ["--client-port", port.as_str(), "-D", "preAllocSize=1024"];
    let said = refusal(ringkeeper(dir.path(), &args));
    assert!(said.contains("version-2 holds an Apache ZooKeeper's data"), "{said}");
    std::fs::remove_dir_all(&theirs).expect("remove it");
    let start = || {
        let mut child = ringkeeper(dir.path(), &args).spawn().expect("start");
        serves(&mut child, port.parse().expect("a port"));
        child.kill().and_then(|()| child.wait()).expect("its end");
    };
    start();
    // With data of our own, what else lies there is no matter.
    std::fs::create_dir_all(&theirs).expect("a directory");
    std::fs::write(theirs.join("snapshot.0"), b"ZKSN").expect("a file");
    start();
    let log = dir.path().join("data/ringkeeper/log");
    std::fs::remove_file(log.join("segment.0000000000000001")).expect("the first segment");
    let said = refusal(ringkeeper(dir.path(), &args));
    assert!(said.contains("segment.0000000000000002, has nothing in it"), "{said}");
    // A log that stays behind when another place is given for it.
    let elsewhere = dir.path().join("elsewhere");
    let mut moved = ringkeeper(dir.path(), &args);
    moved.arg("--data-log-dir").arg(&elsewhere);
    let said = refusal(moved);
    assert!(said.contains("holds a log, and dataLogDir is elsewhere: move that"), "{said}");
    assert!(!elsewhere.exists(), "a refused start leaves files behind");
}

#[test]
fn a_snapshot_whose_log_is_lost_is_refused_unless_that_is_accepted() {
    let dir = tempfile::tempdir().expect("a directory");
    let (log, own) = (dir.path().join("log"), dir.path().join("data/ringkeeper"));
    let lines =
        format!("preAllocSize=1024\nsnapCount=50\ndataLogDir={}\n", log.to_str().expect("UTF-8"));
    let mut server = Server::start(dir.path(), &lines, &[]);
    let port = server.port;
    let mut c = Client::connect(port, 10_000).expect("connect");
    for i in 0..100 {
        assert_eq!(c.create(&format!("/n{i}"), b"", 0).expect("create"), 0);
    }
    let is_snapshot = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|e| e.file_name().to_string_lossy().starts_with("snapshot.0"))
    };
    common::until("there is a snapshot", || {
        std::fs::read_dir(&own).expect("its directory").any(is_snapshot)
    });
    server.kill();
    // As when the log's disk is not mounted.
    let away = dir.path().join("away");
    std::fs::rename(&log, &away).expect("moved away");
    let start = |more: &[&str]| {
        let config = dir.path().join("zoo.cfg");
        let mut command = Command::new(env!("CARGO_BIN_EXE_ringkeeper"));
        command.args(["server", "--config"]).arg(config).args(more);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let said = refusal(start(&[]));
    assert!(said.contains("holds no log, and this server has one"), "{said}");
    assert!(said.contains("ringkeeper.acceptLostLog=yes"), "{said}");
    assert!(!log.exists(), "a refused start leaves files behind");
    let checked = refusal(start(&["--check"]));
    assert!(checked.contains("holds no log, and this server has one"), "{checked}");
    // A server of before, that did not note which log is its own, still sees that the snapshot is ahead.
    let mark = own.join("log.id");
    let noted = std::fs::read(&mark).expect("the log's number");
    std::fs::remove_file(&mark).expect("removed");
    let said = refusal(start(&[]));
    assert!(said.contains("has no transaction, and the newest snapshot is of zxid 0x"), "{said}");
    assert!(said.contains("ringkeeper.acceptLostLog=yes"), "{said}");
    std::fs::write(&mark, &noted).expect("the log's number");
    // The right one is taken as it was.
    std::fs::remove_dir_all(&log).expect("what the refused start made");
    std::fs::rename(&away, &log).expect("moved back");
    server.start_again();
    let mut c = Client::connect(port, 10_000).expect("connect");
    assert!(c.get("/n99").expect("get").is_ok());
    server.kill();
    // A segment that was written to is not taken for a spare when it has become one.
    let segments = log.join("ringkeeper/log");
    let names =
        std::fs::read_dir(&segments).expect("the log").flatten().map(|entry| entry.file_name());
    let newest: Vec<String> =
        names.filter_map(|name| Some(name.to_str()?.strip_prefix("newest.")?.to_owned())).collect();
    let [newest] = &newest[..] else { panic!("one segment is the newest: {newest:?}") };
    let segment = segments.join(format!("segment.{newest}"));
    let written = std::fs::read(&segment).expect("the segment");
    std::fs::write(&segment, vec![0; written.len()]).expect("zeros");
    std::fs::remove_file(&mark).expect("removed");
    let said = refusal(start(&["-D", "ringkeeper.acceptLostLog=yes"]));
    assert!(said.contains(&format!("segment.{newest} has nothing in it")), "{said}");
    assert!(said.contains(&format!("newest.{newest}")), "{said}");
    std::fs::write(&segment, written).expect("as it was");
    std::fs::write(&mark, &noted).expect("the log's number");
    std::fs::rename(&log, &away).expect("lost, it seems");
    let mut child = start(&["-D", "ringkeeper.acceptLostLog=yes"]).spawn().expect("start");
    serves(&mut child, port);
    child.kill().and_then(|()| child.wait()).expect("its end");
    // From here on log and snapshot belong together.
    let mut child = start(&[]).spawn().expect("start");
    serves(&mut child, port);
    child.kill().and_then(|()| child.wait()).expect("its end");
    // And the old one with neither, even if it goes further than the snapshot.
    std::fs::rename(&log, dir.path().join("new")).expect("moved away");
    std::fs::rename(&away, &log).expect("moved back");
    for more in [&[][..], &["-D", "ringkeeper.acceptLostLog=yes"]] {
        let said = refusal(start(more));
        assert!(said.contains("another server's log, or one that was given up"), "{said}");
    }
}

#[test]
fn a_log_directory_that_is_left_out_is_missed_without_any_snapshot() {
    let dir = tempfile::tempdir().expect("a directory");
    let log = dir.path().join("log");
    let lines = format!("preAllocSize=1024\ndataLogDir={}\n", log.to_str().expect("UTF-8"));
    let mut server = Server::start(dir.path(), &lines, &[]);
    let mut c = Client::connect(server.port, 10_000).expect("connect");
    assert_eq!(c.create("/n", b"", 0).expect("create"), 0);
    server.kill();
    let port = free_port().to_string();
    let said = refusal(ringkeeper(dir.path(), &["--client-port", &port]));
    assert!(said.contains("holds no log, and this server has one"), "{said}");
    assert!(said.contains("dataLogDir what it was?"), "{said}");
    std::fs::write(dir.path().join("data/ringkeeper/log.id"), "0").expect("not a number");
    let said = refusal(ringkeeper(dir.path(), &["--client-port", &port]));
    assert!(said.contains("log.id: it names no log"), "{said}");
}

#[test]
fn a_terminal_that_closes_stops_the_server_as_ctrl_c_does_unless_that_is_ignored() {
    let dir = tempfile::tempdir().expect("a directory");
    // What is ignored here is ignored by whatever is started from here.
    let status = std::fs::read_to_string("/proc/self/status").expect("/proc");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("SigIgn");
    if u64::from_str_radix(ignored.trim(), 16).expect("a mask") & 1 == 0 {
        let mut server = Server::start(dir.path(), "", &[]);
        assert!(server.stop_by(libc::SIGHUP).success());
        assert!(server.log().contains("stopping"), "{}", server.log());
    } else {
        println!("skipped: how SIGHUP stops a server; this test ignores it itself (nohup)");
    }
    // As nohup starts it.
    let port = free_port();
    let args = ["--client-port", &port.to_string()];
    let mut child = shell(dir.path(), "trap '' HUP", &args).spawn().expect("start");
    serves(&mut child, port);
    // SAFETY: kill(2) of a child that has not been waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGHUP) }, 0);
    std::thread::sleep(Duration::from_millis(200));
    serves(&mut child, port);
    child.kill().and_then(|()| child.wait()).expect("its end");
}

#[test]
fn a_level_that_is_none_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = ringkeeper(dir.path(), &["--log", "verbose", "--check"]);
    let said = command.output().expect("run ringkeeper");
    assert!(!said.status.success());
    assert!(String::from_utf8_lossy(&said.stderr).contains("'verbose' is no level"));
}

#[test]
fn a_log_directory_has_one_server() {
    let [first, second] = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let shared = tempfile::tempdir().expect("a directory");
    let mut server =
        Server::start(first.path(), &format!("dataLogDir={}", shared.path().display()), &[]);
    let shared = shared.path().to_str().expect("a plain path");
    let said = refusal(ringkeeper(
        second.path(),
        &["--data-log-dir", shared, "--client-port", &free_port().to_string()],
    ));
    assert!(said.contains("is in use by another server"), "{said}");
    assert!(said.contains(shared), "{said}");
    server.kill();
    // The data directory by another name is not another server's.
    let third = tempfile::tempdir().expect("a directory");
    std::fs::create_dir(third.path().join("data")).expect("a directory");
    let link = third.path().join("link");
    std::os::unix::fs::symlink(third.path().join("data"), &link).expect("a link");
    let port = free_port();
    let mut command = ringkeeper(third.path(), &["--client-port", &port.to_string()]);
    let mut child = command.arg("--data-log-dir").arg(&link).spawn().expect("start");
    serves(&mut child, port);
    child.kill().expect("kill");
    child.wait().expect("wait");
}

#[test]
fn a_standard_output_that_takes_nothing_stops_no_server() {
    let dir = tempfile::tempdir().expect("a directory");
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let port = free_port();
    let mut command = ringkeeper(dir.path(), &["--client-port", &port.to_string()]);
    let mut child = command.stdout(full()).stderr(full()).spawn().expect("start");
    serves(&mut child, port);
    // A refusal is logged.
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).expect("connect");
    std::io::Write::write_all(&mut stream, &[0xff; 8]).expect("send");
    assert_eq!(stream.read(&mut [0; 8]).unwrap_or(0), 0);
    serves(&mut child, port);
    child.kill().expect("kill");
    child.wait().expect("wait");
    let mut command = ringkeeper(dir.path(), &["--client-port", "99999"]);
    let status = command.stdout(full()).stderr(full()).status().expect("run");
    assert_eq!(status.code(), Some(1));
}

#[test]
fn what_the_machine_has_not_is_named() {
    let dir = tempfile::tempdir().expect("a directory");
    let port = free_port().to_string();
    let said = |args: &[&str]| {
        let args = [&["--client-port", &port], args].concat();
        refusal(ringkeeper(dir.path(), &args))
    };
    let text = said(&["-D", "ringkeeper.cores=1000", "-D", "ringkeeper.pin=yes"]);
    assert!(text.contains("1000") && text.contains("ringkeeper.cores"), "{text}");
    let text = said(&["--client-address", "192.0.2.1"]);
    assert!(text.contains("this machine does not have that address"), "{text}");
    // Memory that may be locked; a shell sets the limit for what it becomes.
    let mut shell = Command::new("sh");
    let binary = env!("CARGO_BIN_EXE_ringkeeper");
    shell.args(["-c", "ulimit -l 64; exec \"$0\" server --data-dir \"$1\" --client-port \"$2\""]);
    shell.arg(binary).arg(dir.path().join("data")).arg(&port);
    let text = refusal(shell);
    assert!(text.contains("ulimit -l"), "{text}");
    assert!(!dir.path().join("data").exists(), "a refused start leaves files behind");
}

/// A server for whom a shell sets a limit.
fn limited(dir: &Path, limit: &str, args: &[&str]) -> Command {
    shell(dir, &format!("ulimit {limit}"), args)
}

/// A server that a shell becomes after it has done something.
fn shell(dir: &Path, first: &str, args: &[&str]) -> Command {
    let mut shell = Command::new("sh");
    let binary = env!("CARGO_BIN_EXE_ringkeeper");
    shell.args(["-c", &format!("{first}; exec \"$0\" \"$@\""), binary, "server"]);
    shell.args(args).arg("--data-dir").arg(dir.join("data"));
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    shell
}

#[test]
fn clients_leave_the_log_its_descriptors() {
    let dir = tempfile::tempdir().expect("a directory");
    let port = free_port();
    let text = port.to_string();
    let args = ["--client-port", &text, "--shards", "1", "-D", "preAllocSize=1024"];
    let args = [&args[..], &["-D", "maxClientCnxns=0", "-D", "jute.maxbuffer=100000"]].concat();
    let mut child = limited(dir.path(), "-n 70", &args).spawn().expect("start");
    serves(&mut child, port);
    let mut c = Client::connect(port, 10_000).expect("connect");
    assert_eq!(c.create("/on", b"", 0).expect("create"), 0);
    let idle: Vec<_> =
        (0..200).filter_map(|_| std::net::TcpStream::connect(("127.0.0.1", port)).ok()).collect();
    // Several segments of a megabyte, while they are there.
    for _ in 0..100 {
        c.set("/on", &[7; 90_000]).expect("send").expect("set");
    }
    drop(idle);
    child.kill().and_then(|()| child.wait()).expect("its end");
    let said = refusal(limited(dir.path(), "-n 30", &args));
    assert!(said.contains("ulimit -n"), "{said}");
}

/// `--check`: whether it is content, and all that it says.
fn checked(mut command: Command) -> (bool, String) {
    let Output { status, stdout, stderr } =
        command.arg("--check").output().expect("run ringkeeper");
    let said = [stdout, stderr].concat();
    (status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn check_finds_what_a_start_would_and_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("its address").port().to_string();
    let free = free_port().to_string();
    let check = |args: &[&str]| checked(ringkeeper(dir.path(), args));

    let (good, said) = check(&["--client-port", &free]);
    assert!(good && said.contains("a server can start with it here"), "{said}");
    // Everything at once, a line each.
    let data = ["--client-port", &taken, "--client-address", "127.0.0.1"];
    let cores = ["-D", "ringkeeper.cores=1000", "-D", "ringkeeper.pin=yes"];
    let file = dir.path().join("file");
    std::fs::write(&file, b"").expect("a file");
    let log = file.join("log");
    let log = ["--data-log-dir", log.to_str().expect("a plain path")];
    let (good, said) = check(&[&data[..], &cores[..], &log[..]].concat());
    assert!(!good, "{said}");
    for part in [
        format!("cannot listen on 127.0.0.1:{taken}"),
        "1000".into(),
        format!("{} cannot be used (dataLogDir): not a directory", file.display()),
    ] {
        assert!(said.contains(&part), "{part:?} in {said}");
    }
    assert!(!dir.path().join("data").exists(), "a look changes nothing");

    // Limits; a shell sets them for what it becomes.
    for (limit, asked) in [("-n 40", "ulimit -n"), ("-l 64", "ulimit -l")] {
        let (good, said) = checked(limited(dir.path(), limit, &["--client-port", &free]));
        assert!(!good && said.contains(asked), "{said}");
    }

    // Before a restart: what the server that runs holds is no fault of the configuration.
    let mut server = Server::start(dir.path(), "", &[]);
    let listed = || std::fs::read_dir(dir.path().join("data/ringkeeper")).expect("list").count();
    let before = listed();
    let (good, said) = check(&["--client-port", &server.port.to_string()]);
    assert!(good && said.contains("in use by a server that runs now"), "{said}");
    assert!(said.contains("once the one that runs now has ended"), "{said}");
    assert_eq!(listed(), before);
    server.kill();
}
