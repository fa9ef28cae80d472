//! The commit ring: batches of committed transactions from the ensemble core to every shard.
//!
//! One writer; every reader sees every batch, in order, at its own pace. A slot is written again
//! only when the slowest reader has popped it, so the slowest reader is the writer's back-pressure.

use super::recycle;
use super::sync::{Arc, AtomicBool, AtomicU64, Ordering, Padded, UnsafeCell, fence};
use crate::protocol::Zxid;

/// What a reader's counter holds once the reader is gone: it holds up nobody.
const GONE: u64 = u64::MAX;

/// One batch: entries in the order of their zxids, and the last of those.
#[derive(Debug, Default)]
pub struct CommitBatch {
    /// The zxid up to which this batch publishes; 0 in an empty batch.
    pub last_zxid: Zxid,
    /// The entries. Their form is the ensemble core's and the shards' affair.
    pub bytes: Vec<u8>,
}

struct Shared {
    /// Batches published since the beginning; written by the writer.
    published: Padded<AtomicU64>,
    /// Batches popped by each reader, or [`GONE`].
    heads: Box<[Padded<AtomicU64>]>,
    /// The writer found no free slot, and nobody has told it since that there may be one.
    starved: Padded<AtomicBool>,
    slots: Box<[UnsafeCell<CommitBatch>]>,
}

// SAFETY: the slots are the only part that is not Sync by itself. The writer touches slot i (modulo
// their number) only while published ≤ i and every head > i − slots; readers only read it, each
// while its head ≤ i < published. Counters are stored with Release after the last touch of what
// they give away and loaded with Acquire before the first.
unsafe impl Sync for Shared {}
// SAFETY: nothing in it is bound to a thread.
unsafe impl Send for Shared {}

/// The writing end. One thread.
pub struct CommitTx {
    shared: Arc<Shared>,
    published: u64,
    /// The slowest reader's counter, as last seen.
    slowest_seen: u64,
    /// The slot at `published` has been emptied for the batch being built.
    begun: bool,
}

/// One reading end. One thread. Dropping it lets the writer go on without it.
pub struct CommitRx {
    shared: Arc<Shared>,
    reader: usize,
    head: u64,
    published_seen: u64,
}

/// Makes a commit ring of `slots` batches for `readers` readers.
///
/// # Panics
/// With no slots at all.
pub fn commit_ring(readers: usize, slots: usize) -> (CommitTx, Vec<CommitRx>) {
    assert!(slots > 0, "a commit ring needs at least one slot");
    let shared = Arc::new(Shared {
        published: Padded(AtomicU64::new(0)),
        heads: (0..readers).map(|_| Padded(AtomicU64::new(0))).collect(),
        starved: Padded(AtomicBool::new(false)),
        slots: (0..slots).map(|_| UnsafeCell::new(CommitBatch::default())).collect(),
    });
    let rx = (0..readers)
        .map(|reader| CommitRx { shared: shared.clone(), reader, head: 0, published_seen: 0 })
        .collect();
    (CommitTx { shared, published: 0, slowest_seen: 0, begun: false }, rx)
}

impl Shared {
    fn slot(&self, at: u64) -> &UnsafeCell<CommitBatch> {
        &self.slots[(at % self.slots.len() as u64) as usize]
    }
}

impl CommitTx {
    /// The batch being built; `None` while the slowest reader has not freed a slot. Then a reader that frees one will
    /// have the writer woken ([`CommitRx::owes_a_wake`]).
    pub fn batch(&mut self) -> Option<&mut CommitBatch> {
        if !self.has_slot() {
            return None;
        }
        let begin = !std::mem::replace(&mut self.begun, true);
        Some(self.shared.slot(self.published).with_mut(|batch| {
            // SAFETY: has_slot: every reader is past this slot's former batch and none sees the new
            // one before publish. The reference borrows self mutably.
            let batch = unsafe { &mut *batch };
            if begin {
                recycle(&mut batch.bytes);
                batch.last_zxid = 0;
            }
            batch
        }))
    }

    /// Shows the batch to every reader. Nothing happens if none was begun, or if it holds neither a
    /// byte nor a zxid. True: something was published, so sleepers must be woken.
    pub fn publish(&mut self) -> bool {
        let empty = !self.begun
            || self.shared.slot(self.published).with(|batch| {
                // SAFETY: as in batch: begun implies the slot is ours; nothing refers to it now.
                let batch = unsafe { &*batch };
                batch.bytes.is_empty() && batch.last_zxid == 0
            });
        if empty {
            return false;
        }
        self.begun = false;
        self.published += 1;
        self.shared.published.0.store(self.published, Ordering::Release);
        true
    }

    /// Batches that could be published now, the one being built included.
    pub fn free_slots(&mut self) -> usize {
        self.look_at_readers();
        self.shared.slots.len() - (self.published - self.slowest_seen) as usize
    }

    /// Slots of the ring, free or not.
    pub fn slots(&self) -> usize {
        self.shared.slots.len()
    }

    fn has_slot(&mut self) -> bool {
        let slots = self.shared.slots.len() as u64;
        if self.published - self.slowest_seen < slots {
            return true;
        }
        self.look_at_readers();
        if self.published - self.slowest_seen < slots {
            return true;
        }
        // Shown before the last look: either that look sees what a reader freed, or that reader sees this.
        self.shared.starved.0.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.look_at_readers();
        self.published - self.slowest_seen < slots
    }

    fn look_at_readers(&mut self) {
        let heads = self.shared.heads.iter().map(|head| head.0.load(Ordering::Acquire));
        self.slowest_seen = heads.min().unwrap_or(GONE).min(self.published);
    }
}

impl CommitRx {
    /// The oldest batch this reader has not popped.
    pub fn peek(&mut self) -> Option<&CommitBatch> {
        if self.is_empty() {
            return None;
        }
        // SAFETY: head < published: the slot is not written again until pop, which needs self
        // mutably; other readers only read it.
        Some(self.shared.slot(self.head).with(|batch| unsafe { &*batch }))
    }

    /// Goes past the oldest batch. Nothing happens if there is none.
    pub fn pop(&mut self) {
        if self.is_empty() {
            return;
        }
        self.head += 1;
        self.shared.heads[self.reader].0.store(self.head, Ordering::Release);
    }

    /// Whether the writer waits for a slot that this reader may have freed, and is to be woken: asked after [`Self::pop`],
    /// once for several. True for one reader; the writer, woken, looks at all of them.
    pub fn owes_a_wake(&self) -> bool {
        fence(Ordering::SeqCst);
        let starved = &self.shared.starved.0;
        starved.load(Ordering::Relaxed) && starved.swap(false, Ordering::AcqRel)
    }

    /// Whether nothing waits for this reader.
    pub fn is_empty(&mut self) -> bool {
        self.waiting() == 0
    }

    /// Batches that wait for this reader.
    pub fn waiting(&mut self) -> usize {
        if self.head == self.published_seen {
            self.published_seen = self.shared.published.0.load(Ordering::Acquire);
        }
        (self.published_seen - self.head) as usize
    }
}

impl Drop for CommitRx {
    fn drop(&mut self) {
        self.shared.heads[self.reader].0.store(GONE, Ordering::Release);
    }
}
