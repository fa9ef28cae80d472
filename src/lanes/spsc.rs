//! A lane: batches of bytes from one thread to one other.
//!
//! The slot at `tail` belongs to the sender (it builds its batch there, in place), the slots in
//! `head..tail` to the receiver. Each side keeps its own counter and a stale copy of the other's,
//! which it refreshes only when the copy says "full" or "empty".

use super::recycle;
use super::sync::{Arc, AtomicU64, Ordering, Padded, UnsafeCell};

struct Shared {
    /// Batches handed over since the beginning; written by the sender.
    tail: Padded<AtomicU64>,
    /// Batches taken since the beginning; written by the receiver.
    head: Padded<AtomicU64>,
    slots: Box<[UnsafeCell<Vec<u8>>]>,
}

// SAFETY: the slots are the only part that is not Sync by itself. A slot with index i (modulo their
// number) is touched by the sender only while tail ≤ i < head + slots, and by the receiver only
// while head ≤ i < tail. Each counter is written by one side alone, with Release after the last
// touch of the slot it gives away, and read by the other with Acquire before the first touch.
unsafe impl Sync for Shared {}
// SAFETY: nothing in it is bound to a thread.
unsafe impl Send for Shared {}

/// The sending end of a lane. One thread.
pub struct LaneTx {
    shared: Arc<Shared>,
    tail: u64,
    head_seen: u64,
    slot_bytes_max: usize,
    handed_over: bool,
}

/// The receiving end of a lane. One thread.
pub struct LaneRx {
    shared: Arc<Shared>,
    head: u64,
    tail_seen: u64,
}

/// Makes a lane of `slots` batches. A batch that has reached `slot_bytes_max` is handed over by
/// itself and the next slot begun; one message may make a batch longer than that, so the lane holds
/// at most `slots × (slot_bytes_max + one message)` bytes.
///
/// # Panics
/// With no slots at all.
pub fn lane(slots: usize, slot_bytes_max: usize) -> (LaneTx, LaneRx) {
    assert!(slots > 0, "a lane needs at least one slot");
    let shared = Arc::new(Shared {
        tail: Padded(AtomicU64::new(0)),
        head: Padded(AtomicU64::new(0)),
        slots: (0..slots).map(|_| UnsafeCell::new(Vec::new())).collect(),
    });
    let tx = LaneTx {
        shared: shared.clone(),
        tail: 0,
        head_seen: 0,
        slot_bytes_max: slot_bytes_max.max(1),
        handed_over: false,
    };
    (tx, LaneRx { shared, head: 0, tail_seen: 0 })
}

impl Shared {
    fn slot(&self, at: u64) -> &UnsafeCell<Vec<u8>> {
        &self.slots[(at % self.slots.len() as u64) as usize]
    }
}

impl LaneTx {
    /// The batch being built, to append to; `None` when the ring is full. What is appended stays
    /// with the sender until [`flush`](Self::flush), or until the batch has reached its size.
    pub fn batch(&mut self) -> Option<&mut Vec<u8>> {
        if self.has_slot() && self.built_bytes() >= self.slot_bytes_max {
            self.hand_over();
        }
        if !self.has_slot() {
            return None;
        }
        let slot = self.shared.slot(self.tail);
        // SAFETY: has_slot: the slot at `tail` is ours until hand_over. The reference borrows self
        // mutably, so nothing of ours touches the slot while it lives.
        Some(slot.with_mut(|bytes| unsafe { &mut *bytes }))
    }

    /// Hands the batch over if there is anything in it. True: something was handed over since the
    /// last call (here, or because a batch had reached its size), so the receiver must be woken if
    /// it sleeps.
    pub fn flush(&mut self) -> bool {
        if self.has_slot() && self.built_bytes() > 0 {
            self.hand_over();
        }
        std::mem::take(&mut self.handed_over)
    }

    /// Whether there is no batch to append to.
    pub fn is_full(&mut self) -> bool {
        self.batch().is_none()
    }

    /// Slots that could be handed over now, the one being built included.
    pub fn free_slots(&mut self) -> usize {
        self.head_seen = self.shared.head.0.load(Ordering::Acquire);
        self.shared.slots.len() - (self.tail - self.head_seen) as usize
    }

    fn has_slot(&mut self) -> bool {
        let slots = self.shared.slots.len() as u64;
        if self.tail - self.head_seen < slots {
            return true;
        }
        self.head_seen = self.shared.head.0.load(Ordering::Acquire);
        self.tail - self.head_seen < slots
    }

    /// Only behind `has_slot`.
    fn built_bytes(&self) -> usize {
        // SAFETY: the slot at `tail` is ours (has_slot), and no reference to it is alive, for it
        // would borrow self.
        self.shared.slot(self.tail).with(|bytes| unsafe { (*bytes).len() })
    }

    fn hand_over(&mut self) {
        self.tail += 1;
        self.shared.tail.0.store(self.tail, Ordering::Release);
        self.handed_over = true;
    }
}

impl LaneRx {
    /// The oldest batch, still in its slot.
    pub fn peek(&mut self) -> Option<&[u8]> {
        if self.is_empty() {
            return None;
        }
        let slot = self.shared.slot(self.head);
        // SAFETY: head < tail, so the slot is ours until pop, which needs self mutably.
        Some(slot.with(|bytes| unsafe { (*bytes).as_slice() }))
    }

    /// Gives the oldest batch's slot back. Nothing happens on an empty lane.
    pub fn pop(&mut self) {
        if self.is_empty() {
            return;
        }
        // The receiver empties the slot, so that a batch that grew huge is given back here and now
        // rather than when the sender next comes round.
        // SAFETY: as in peek; the slice peek gave borrowed self and is gone.
        self.shared.slot(self.head).with_mut(|bytes| unsafe { recycle(&mut *bytes) });
        self.head += 1;
        self.shared.head.0.store(self.head, Ordering::Release);
    }

    /// Whether nothing waits.
    pub fn is_empty(&mut self) -> bool {
        if self.head < self.tail_seen {
            return false;
        }
        self.tail_seen = self.shared.tail.0.load(Ordering::Acquire);
        self.head == self.tail_seen
    }
}
