//! The files of `src/lanes` that synchronise threads.

#[path = "../../../src/lanes/commit.rs"]
mod commit;
#[path = "../../../src/lanes/parked.rs"]
mod parked;
#[path = "../../../src/lanes/spsc.rs"]
mod spsc;
#[path = "../../../src/lanes/sync.rs"]
mod sync;

pub use commit::{CommitBatch, CommitRx, CommitTx, commit_ring};
pub use parked::{Bell, Parked};
pub use spsc::{LaneRx, LaneTx, lane};

fn recycle(bytes: &mut Vec<u8>) {
    bytes.clear();
}

#[cfg(all(test, loom))]
#[path = "../../../src/lanes/loom_tests.rs"]
mod loom_tests;
