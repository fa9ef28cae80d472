//! When a snapshot is due: by what was logged since the last. The core only asks; a background thread takes it.

use std::sync::mpsc::SyncSender;

use crate::snapshot::SnapshotPolicy;

/// The core's way to the thread that takes snapshots.
pub struct SnapshotRequests {
    policy: SnapshotPolicy,
    ask: SyncSender<()>,
    /// One is being taken.
    busy: bool,
    /// Log bytes since the last one was asked for.
    bytes: u64,
    /// Log bytes below which none is asked for: a large tree is not written again for a small change of it.
    bytes_min: u64,
}

/// Of the log, in bytes, for each byte of the last snapshot, before the next is taken: then writing snapshots costs the
/// disk at most half of what writing the log does.
const LOG_PER_SNAPSHOT: u64 = 2;

impl SnapshotRequests {
    /// Asks through `ask`, whose other end takes one at a time.
    pub fn new(policy: SnapshotPolicy, ask: SyncSender<()>) -> SnapshotRequests {
        SnapshotRequests { policy, ask, busy: false, bytes: 0, bytes_min: 0 }
    }

    /// That much was logged.
    pub fn logged(&mut self, transactions: u64, bytes: u64) {
        self.bytes += bytes;
        let due = self.policy.logged(transactions, bytes) && self.bytes >= self.bytes_min;
        if due && !self.busy && self.ask.try_send(()).is_ok() {
            self.busy = true;
            self.bytes = 0;
            self.policy.taken();
        }
    }

    /// One is on the disk.
    pub(super) fn taken(&mut self, raw_bytes: u64) {
        self.busy = false;
        self.bytes_min = match self.policy.counts_transactions() {
            true => 0,
            false => raw_bytes.saturating_mul(LOG_PER_SNAPSHOT),
        };
    }

    /// One could not be taken; the next is asked for when as much again was logged.
    pub(super) fn failed(&mut self) {
        self.busy = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_and_not_more_than_the_tree_is_worth() {
        let (ask, asked) = std::sync::mpsc::sync_channel(1);
        let mut requests = SnapshotRequests::new(SnapshotPolicy::new(0, 1000, 1), ask);
        requests.logged(1, 1001);
        assert!(asked.try_recv().is_ok());
        requests.logged(1, 5000);
        assert!(asked.try_recv().is_err(), "one is being taken");
        requests.taken(10_000);
        requests.logged(1, 5000);
        assert!(asked.try_recv().is_err(), "the last was larger than what changed since");
        requests.logged(1, 15_000);
        assert!(asked.try_recv().is_ok());
        requests.failed();
        requests.logged(1, 25_000);
        assert!(asked.try_recv().is_ok(), "a failed one does not end it");
    }
}
