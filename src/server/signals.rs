//! Ctrl-C and SIGTERM.

use std::io;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Waits for either signal.
pub(super) struct Stopping(Signals);

/// Takes over both signals, so that they stop the server instead of ending it.
pub(super) fn catch() -> io::Result<Stopping> {
    Signals::new([SIGINT, SIGTERM]).map(Stopping)
}

impl Stopping {
    /// Returns when the server is to stop. A second signal ends the process at once, for those who cannot wait.
    pub(super) fn wait(mut self) {
        self.0.forever().next();
        std::thread::spawn(move || {
            if self.0.forever().next().is_some() {
                crate::process::fatal("told to stop a second time");
            }
        });
    }
}
