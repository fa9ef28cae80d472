//! Ctrl-C, SIGTERM, and SIGHUP of a terminal that closes.

use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;

/// Signals no further apart are one.
const TOGETHER: Duration = Duration::from_millis(500);

/// Waits for any of the signals.
pub(super) struct Stopping(Signals);

/// Takes over the signals, so that they stop the server instead of ending it. Who is started to outlive its terminal
/// (`nohup`) goes on ignoring that it closes.
pub(super) fn catch() -> io::Result<Stopping> {
    // A file that may not grow (`ulimit -f`) is an error of the write, which says so, and no reason to end without a word.
    let seen = Arc::new(AtomicBool::new(false));
    signal_hook::flag::register(SIGXFSZ, seen)?;
    let mut signals = vec![SIGINT, SIGTERM];
    if !is_ignored(SIGHUP) {
        signals.push(SIGHUP);
    }
    Signals::new(signals).map(Stopping)
}

fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    mask >> (signal - 1) & 1 == 1
}

impl Stopping {
    /// Returns when the server is to stop. A second signal ends the process at once, for those who cannot wait; but not
    /// one that comes with the first, as `timeout` and shells send it to a process and to its group.
    pub(super) fn wait(mut self) {
        self.0.forever().next();
        let first = Instant::now();
        std::thread::spawn(move || {
            if self.0.forever().any(|_| first.elapsed() > TOGETHER) {
                crate::process::fatal("told to stop a second time");
            }
        });
    }
}
