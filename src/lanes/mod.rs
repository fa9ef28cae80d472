//! Lanes: the bounded queues between threads, and the wake protocol that goes with them.
//!
//! Owns: the batch lane from one thread to one other ([`lane`]), the commit ring from the ensemble
//! core to every shard ([`commit_ring`]), and going to sleep without missing a wake ([`Bell`]). Never blocks, never allocates on the way of a message once the
//! slots have grown to their working size, never knows what the bytes mean, and never wakes anybody
//! itself: it only says whether somebody must be woken.
//!
//! Every queue here is a ring of slots that are reused with the memory they hold. A full ring is an
//! answer (`None`), never a wait: what to do about it is the caller's back-pressure.

mod bell;
mod commit;
pub mod entry;
mod mailbox;
pub mod request;
mod spsc;
mod sync;

pub use bell::Bell;
pub use commit::{CommitBatch, CommitRx, CommitTx, commit_ring};
pub use mailbox::Mailbox;
pub use spsc::{LaneRx, LaneTx, lane};

/// A slot that grew beyond this gives its memory back before it is reused, so that one huge batch
/// does not stay resident for the life of the ring.
pub const SLOT_BYTES_KEPT: usize = 256 << 10;

/// Empties a slot for its next use; keeps its memory unless it grew too large.
fn recycle(bytes: &mut Vec<u8>) {
    if bytes.capacity() > SLOT_BYTES_KEPT {
        *bytes = Vec::new();
    } else {
        bytes.clear();
    }
}

#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(all(test, not(loom)))]
mod tests;
