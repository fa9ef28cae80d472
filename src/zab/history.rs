//! The log as the core knows it: where it ends, what of it is durable, what is committed, and its recent transactions.
//!
//! It holds the bytes of what is not committed yet (they may have to be proposed to a learner that comes) and of a
//! bounded window of what is (for learners a little behind). Everything older is the driver's, on disk. The window has
//! no holes: a learner that was sent one would pass it on when it leads (ZOOKEEPER-4925, 2846).

use std::collections::VecDeque;
use std::sync::Arc;

use super::ensemble::EnsembleConfig;
use super::types::{Generation, Txn, Zxid, counter_of, epoch_of};

/// A transaction of the window.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub zxid: Zxid,
    pub txn: Txn,
    /// What it proposes, if it is a reconfiguration.
    pub config: Option<Arc<EnsembleConfig>>,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct History {
    /// The window: every transaction in (`base`, `last`].
    entries: VecDeque<Entry>,
    /// What the window begins after.
    base: Zxid,
    /// Bytes of the window.
    bytes: usize,
    /// The last zxid of the log, or of the snapshot that it begins after.
    last: Zxid,
    /// The snapshot that it begins after, as far as we know.
    begins: Zxid,
    /// All through here is on the medium, as far as completions of this generation say.
    durable: Zxid,
    /// The last committed transaction.
    committed: Zxid,
    /// What is published: the last committed transaction, or the epoch << 32 of an established leader.
    published: Zxid,
    /// Which completions count.
    generation: Generation,
}

impl History {
    /// A log that ends at `last`, durably.
    pub fn new(last: Zxid, committed: Zxid, published: Zxid, generation: Generation) -> History {
        History {
            entries: VecDeque::new(),
            base: last,
            bytes: 0,
            last,
            begins: 0,
            durable: last,
            committed: committed.min(last),
            published,
            generation,
        }
    }

    /// A log that begins after a snapshot that was received.
    pub fn staged(zxid: Zxid, committed: Zxid, published: Zxid, generation: Generation) -> History {
        History { begins: zxid, ..History::new(zxid, committed, published, generation) }
    }

    pub fn begins(&self) -> Zxid {
        self.begins
    }

    pub fn base(&self) -> Zxid {
        self.base
    }

    pub fn last(&self) -> Zxid {
        self.last
    }

    pub fn durable(&self) -> Zxid {
        self.durable
    }

    pub fn is_durable(&self) -> bool {
        self.durable == self.last
    }

    pub fn committed(&self) -> Zxid {
        self.committed
    }

    pub fn published(&self) -> Zxid {
        self.published
    }

    pub fn generation(&self) -> Generation {
        self.generation
    }

    /// Whether `zxid` is the one to come next: the successor within the epoch, or the first of a later one. With
    /// this no hole can get into the log unseen (ZOOKEEPER-4925).
    pub fn is_next(&self, zxid: Zxid, first_counter: i64) -> bool {
        if epoch_of(zxid) == epoch_of(self.last) && counter_of(self.last) != 0 {
            zxid == self.last + 1
        } else {
            zxid > self.last && counter_of(zxid) == first_counter
        }
    }

    /// Takes a transaction that is appended to the log.
    pub fn push(&mut self, entry: Entry) {
        assert!(entry.zxid > self.last, "the log only grows");
        self.last = entry.zxid;
        self.bytes += entry.txn.len();
        self.entries.push_back(entry);
    }

    /// As [`push`](History::push), without keeping the bytes. For an ensemble of one without learners.
    pub fn push_unkept(&mut self, zxid: Zxid) {
        assert!(zxid > self.last, "the log only grows");
        self.entries.clear();
        self.bytes = 0;
        self.last = zxid;
        self.base = zxid;
    }

    /// Drops the oldest of the window while it is too large, but none beyond `settled`.
    pub fn trim(&mut self, settled: Zxid, txns_max: usize, bytes_max: usize) {
        while self.entries.len() > txns_max || self.bytes > bytes_max {
            match self.entries.front() {
                Some(entry) if entry.zxid <= settled => {
                    self.base = entry.zxid;
                    self.bytes -= entry.txn.len();
                    self.entries.pop_front();
                }
                _ => return,
            }
        }
    }

    /// All through `zxid` is on the medium.
    pub fn set_durable(&mut self, zxid: Zxid) {
        self.durable = self.durable.max(zxid.min(self.last));
    }

    /// As [`next_generation`](History::next_generation), from the number of another history of this process.
    pub fn set_generation(&mut self, generation: Generation) {
        self.generation = self.generation.max(generation);
    }

    /// Completions of writes made so far count no longer.
    pub fn next_generation(&mut self) {
        self.generation.0 += 1;
    }

    /// All through `txn` is committed, and `published` may be told.
    pub fn commit(&mut self, txn: Zxid, published: Zxid) {
        assert!(txn >= self.committed, "what is committed stays committed");
        assert!(txn <= self.last, "only what is logged is committed");
        self.committed = txn;
        self.published = self.published.max(published);
    }

    /// The log was cut back to `last`.
    pub fn truncate(&mut self, last: Zxid) {
        assert!(last >= self.committed, "what is committed is never cut");
        while self.entries.back().is_some_and(|entry| entry.zxid > last) {
            self.bytes -= self.entries.pop_back().map_or(0, |entry| entry.txn.len());
        }
        self.last = last;
        self.base = self.base.min(last);
        // Cutting is durable when it is done, and so is all before it.
        self.durable = last;
    }

    /// The window's transactions in (`after`, `through`].
    pub fn range(&self, after: Zxid, through: Zxid) -> impl Iterator<Item = &Entry> {
        let from = self.entries.partition_point(|entry| entry.zxid <= after);
        let to = self.entries.partition_point(|entry| entry.zxid <= through).max(from);
        self.entries.range(from..to)
    }

    /// The first transaction of the window after `zxid`.
    pub fn next_after(&self, zxid: Zxid) -> Option<&Entry> {
        self.entries.get(self.entries.partition_point(|entry| entry.zxid <= zxid))
    }

    /// The transaction of this zxid.
    pub fn entry(&self, zxid: Zxid) -> Option<&Entry> {
        let at = self.entries.binary_search_by_key(&zxid, |entry| entry.zxid).ok()?;
        self.entries.get(at)
    }

    /// The greatest zxid of the log at or below `zxid`, if the window reaches back that far.
    pub fn floor(&self, zxid: Zxid) -> Option<Zxid> {
        if zxid < self.base {
            return None;
        }
        let at = self.entries.partition_point(|entry| entry.zxid <= zxid);
        Some(if at == 0 { self.base } else { self.entries[at - 1].zxid })
    }
}
