//! Proofs from outside: the differential oracle and kazoo's own test suite, run against the ringkeeper binary.
//!
//! Both are Python programs under `tests/` that fetch what they compare with (Apache ZooKeeper, kazoo) into a cache once.
//! Where they cannot run (no Python, no Java, no network and nothing cached) the test says SKIPPED and why, and
//! passes; `RINGKEEPER_EXTERNAL=require` makes that a failure, `RINGKEEPER_EXTERNAL=skip` leaves them out.
//! `RINGKEEPER_ORACLE_SEEDS` sets how many random sequences the oracle runs (20), `RINGKEEPER_ORACLE_SECONDS` for how
//! long at most (120).

use std::env;
use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// What the Python programs end with when they cannot run here.
const EXIT_SKIPPED: i32 = 77;

/// One program at a time: each keeps the machine busy, and kazoo's tests have timeouts of their own.
static TURN: Mutex<()> = Mutex::new(());

fn tests_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn setting(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// Runs one of the programs to its end, its output on ours, and turns how it ended into the test's verdict.
fn run(program: &str, arguments: &[&str]) {
    let policy = setting("RINGKEEPER_EXTERNAL", "try");
    if policy == "skip" {
        say_skipped(program, "RINGKEEPER_EXTERNAL=skip");
        return;
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let output = Command::new("python3")
        .arg(tests_directory().join(program))
        .args(arguments)
        .env("RINGKEEPER_BIN", env!("CARGO_BIN_EXE_ringkeeper"))
        .stdin(Stdio::null())
        .output();
    let skipped = match output {
        Err(error) => Some(format!("python3 does not start: {error}")),
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            let errors = String::from_utf8_lossy(&output.stderr);
            println!("{text}");
            match output.status.code() {
                Some(0) => None,
                Some(EXIT_SKIPPED) => Some(reason_in(&text)),
                _ => panic!("{program} ended with {}:\n{text}\n{errors}", output.status),
            }
        }
    };
    if let Some(reason) = skipped {
        assert!(policy != "require", "{program} cannot run here: {reason}");
        say_skipped(program, &reason);
    }
}

/// Says it past the test harness, which would show it only for failing tests.
fn say_skipped(program: &str, reason: &str) {
    let _ = writeln!(stderr(), "SKIPPED {program}: {reason}");
}

/// The reason a program gave for not running.
fn reason_in(text: &str) -> String {
    let line = text.lines().rev().find_map(|line| line.strip_prefix("SKIPPED: "));
    line.unwrap_or("it gave no reason").to_owned()
}

#[test]
fn answers_as_apache_zookeeper_does() {
    let seeds = setting("RINGKEEPER_ORACLE_SEEDS", "20");
    let seconds = setting("RINGKEEPER_ORACLE_SECONDS", "120");
    run("oracle/oracle.py", &["--right", "ringkeeper", "--seeds", &seeds, "--seconds", &seconds]);
}

#[test]
fn passes_what_apache_zookeeper_passes_of_kazoos_tests() {
    run("kazoo/run.py", &["--server", "ringkeeper"]);
}
