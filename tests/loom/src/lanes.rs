//! The files of `src/lanes` that synchronise threads.

#[path = "../../../src/lanes/bell.rs"]
mod bell;
#[path = "../../../src/lanes/commit.rs"]
mod commit;
#[path = "../../../src/lanes/spsc.rs"]
mod spsc;
#[path = "../../../src/lanes/sync.rs"]
mod sync;

pub use bell::Bell;
pub use commit::{CommitBatch, CommitRx, CommitTx, commit_ring};
pub use spsc::{LaneRx, LaneTx, lane};

fn recycle(bytes: &mut Vec<u8>) {
    bytes.clear();
}

#[cfg(all(test, loom))]
#[path = "../../../src/lanes/loom_tests.rs"]
mod loom_tests;
