//! Batches: what goes to the log in one frame, and what the shards are told once that is durable.
//!
//! How much that is: see [`gather`](super::gather).

use crate::log::BatchBuilder;
use crate::protocol::Zxid;

/// Transactions that are logged together, with the entries that tell the shards of them.
#[derive(Default)]
pub(super) struct Batch {
    /// The transactions for the log.
    pub txns: BatchBuilder,
    /// Entries of the commit ring, in zxid order.
    pub entries: Vec<u8>,
    /// The last transaction in it, or the newest before it if it has none.
    pub last_zxid: Zxid,
    /// When the first of them was ordered (monotonic).
    pub since_ns: u64,
    /// Number of transactions.
    pub count: usize,
    /// Shards that are owed a reply, a bit each (shards from 63 on share the last bit).
    pub replies: u64,
    /// Whether any entry has watch events.
    pub events: bool,
}

impl Batch {
    /// Whether the batch has neither transactions nor answers.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.count == 0
    }

    /// Whether `shard` is owed a reply.
    pub fn replies_to(&self, shard: usize) -> bool {
        self.replies & shard_bit(shard) != 0
    }

    /// Takes over the entries of a batch without transactions that follows.
    pub fn take_answers(&mut self, from: &mut Batch) {
        debug_assert!(from.count == 0 && !from.events, "answers alone");
        self.entries.extend_from_slice(&from.entries);
        self.replies |= from.replies;
        from.reset();
    }

    /// Makes it ready to be filled again.
    pub fn reset(&mut self) {
        self.txns.clear();
        self.entries.clear();
        if self.entries.capacity() > KEEP_BYTES {
            self.entries = Vec::new();
        }
        self.count = 0;
        self.replies = 0;
        self.events = false;
    }
}

/// A reused buffer that grew beyond this is given back.
const KEEP_BYTES: usize = 256 << 10;

/// The bit of a shard in [`Batch::replies`].
pub(super) fn shard_bit(shard: usize) -> u64 {
    1 << shard.min(63)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_behind_what_was_there() {
        let mut batch = Batch { entries: vec![1, 2], count: 1, replies: 1, ..Batch::default() };
        let mut answers = Batch { entries: vec![3], replies: 4, ..Batch::default() };
        batch.take_answers(&mut answers);
        assert_eq!((&batch.entries[..], batch.count), (&[1, 2, 3][..], 1));
        assert!(batch.replies_to(0) && batch.replies_to(2) && !batch.replies_to(1));
        assert!(answers.is_empty() && answers.replies == 0);
    }
}
