//! What concerns the process as a whole: the wall clock, and ending it when it may not go on.

use std::io::Write;

/// The wall clock, milliseconds since 1970. Transactions carry it and clients are shown it; nothing else is decided
/// by it.
pub fn wall_clock_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |d| d.as_millis() as i64)
}

/// Ends the process at once: its state on disk or in memory can no longer be vouched for, and a server that limps is
/// worse than one that is gone. Everything acknowledged is on the medium; the next start recovers it.
pub fn fatal(why: &str) -> ! {
    tracing::error!("stopping: {why}");
    let _ = writeln!(std::io::stderr(), "ringkeeper: stopping: {why}");
    std::process::exit(1)
}
