//! Time, and what a reactor tells others of its passes.

use std::sync::atomic::{AtomicU64, Ordering};

/// CLOCK_MONOTONIC in nanoseconds: one clock for all threads of the machine.
pub fn monotonic_ns() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec to write to; this clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// How far a reactor has looked at its sockets. The expiry wheel reads it: a session may expire only
/// after its shard completed a full pass that began after the deadline.
#[derive(Debug, Default)]
pub struct PassClock {
    completed_start_ns: AtomicU64,
    passes: AtomicU64,
}

impl PassClock {
    /// A clock that has seen no pass.
    pub fn new() -> Self {
        Self::default()
    }

    /// When the last completed full pass *began*: whatever had reached a socket by then has been
    /// given to the resident (connections whose reading is paused excepted). 0: none yet.
    pub fn start_ns(&self) -> u64 {
        self.completed_start_ns.load(Ordering::Acquire)
    }

    /// Full passes completed.
    pub fn passes(&self) -> u64 {
        self.passes.load(Ordering::Relaxed)
    }

    /// A full pass that began at `start_ns` is complete. Called by the reactor, or by whoever stands
    /// in for it.
    pub fn completed(&self, start_ns: u64) {
        // Only the reactor's thread writes, so a plain load and store make the sum.
        self.passes.store(self.passes.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        self.completed_start_ns.store(start_ns, Ordering::Release);
    }
}
