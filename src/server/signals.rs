//! Ctrl-C and SIGTERM.

use std::io;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Signals no further apart are one.
const TOGETHER: Duration = Duration::from_millis(500);

/// Waits for either signal.
pub(super) struct Stopping(Signals);

/// Takes over both signals, so that they stop the server instead of ending it.
pub(super) fn catch() -> io::Result<Stopping> {
    Signals::new([SIGINT, SIGTERM]).map(Stopping)
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
