//! Who reads what: the published zxid, each reader's own zxid, its pins and its quiescent points.
//!
//! Two questions are answered here, by two independent mechanisms:
//!
//! - *May a version be unlinked?* Only when no reader is inside its span. A shard's zxid holds
//!   everything from it on, a pin holds one point. A reader stores its announcement **before** it
//!   loads the published zxid, and the writer loads the zxids **before** the pins, so that whoever
//!   turns one into the other is never missed.
//! - *May unlinked memory be used again?* Only when every reader has passed a quiescent point since.
//!   The writer advances an epoch after unlinking; a reader copies it when it holds no reference.
//!
//! Everything a reader does here is a plain load or store; only waking up costs a fence.

use super::sync::{AtomicBool, AtomicI64, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence};
use crate::protocol::Zxid;
use crossbeam::utils::CachePadded;

/// The value of a slot's zxid, or of a pin cell, that holds nothing.
pub(super) const NONE: Zxid = i64::MAX;
/// The epoch of a reader that holds no references at all.
const OFFLINE: u64 = u64::MAX;
/// Pin cells in one block; a reader that needs more chains further blocks.
const PINS_A_BLOCK: usize = if cfg!(loom) { 1 } else { 12 };

/// What one reading thread tells the writer.
struct Slot {
    /// Some reader owns the slot.
    taken: AtomicBool,
    /// The zxid from which on this reader needs everything; [`NONE`] when it needs nothing.
    zxid: AtomicI64,
    /// The newest epoch at which this reader held no reference; [`OFFLINE`] while it reads nothing.
    seen: AtomicU64,
    pins: PinBlock,
}

struct PinBlock {
    cells: [AtomicI64; PINS_A_BLOCK],
    next: AtomicPtr<PinBlock>,
}

impl PinBlock {
    fn new() -> Self {
        Self {
            cells: std::array::from_fn(|_| AtomicI64::new(NONE)),
            next: AtomicPtr::new(std::ptr::null_mut()),
        }
    }
}

/// The slots of all readers, the published zxid and the epoch.
pub(super) struct Slots {
    published: CachePadded<AtomicI64>,
    epoch: CachePadded<AtomicU64>,
    slots: Box<[CachePadded<Slot>]>,
    /// One more than the highest slot ever taken, so that scans stay short.
    taken_end: AtomicUsize,
}

impl Slots {
    /// Room for `readers_max` readers; `published` is the zxid they see at first.
    pub(super) fn new(readers_max: usize, published: Zxid) -> Self {
        let slot = |_| {
            CachePadded::new(Slot {
                taken: AtomicBool::new(false),
                zxid: AtomicI64::new(NONE),
                seen: AtomicU64::new(OFFLINE),
                pins: PinBlock::new(),
            })
        };
        Self {
            published: CachePadded::new(AtomicI64::new(published)),
            epoch: CachePadded::new(AtomicU64::new(0)),
            slots: (0..readers_max).map(slot).collect(),
            taken_end: AtomicUsize::new(0),
        }
    }

    /// Takes a free slot. The reader is offline until it comes [`Self::online`] or announces itself.
    pub(super) fn claim(&self) -> Option<usize> {
        let free = |slot: &CachePadded<Slot>| {
            slot.taken.compare_exchange(false, true, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        let slot = self.slots.iter().position(free)?;
        self.taken_end.fetch_max(slot + 1, Ordering::AcqRel);
        Some(slot)
    }

    /// Gives a slot back. Pins taken through it live on.
    pub(super) fn release(&self, slot: usize) {
        self.park(slot);
        self.slots[slot].taken.store(false, Ordering::Release);
    }

    /// From here on the reader's references count, until it parks.
    pub(super) fn online(&self, slot: usize) {
        let epoch = self.epoch.load(Ordering::Acquire);
        self.slots[slot].seen.store(epoch, Ordering::Relaxed);
        // Pairs with the fence of `passed`: either the writer sees this reader, or this reader
        // sees everything the writer unlinked.
        fence(Ordering::SeqCst);
    }

    /// Holds everything from `zxid` on, then says what is published: never less than what a
    /// reclamation that missed the announcement has gone by.
    pub(super) fn announce(&self, slot: usize, zxid: Zxid) -> Zxid {
        self.slots[slot].zxid.store(zxid, Ordering::Relaxed);
        self.online(slot);
        self.published.load(Ordering::Acquire)
    }

    /// The reader holds nothing from its own zxid any more; its pins stay.
    pub(super) fn withdraw(&self, slot: usize) {
        self.slots[slot].zxid.store(NONE, Ordering::Release);
    }

    /// The reader moves its own zxid forward.
    pub(super) fn advance(&self, slot: usize, zxid: Zxid) {
        self.slots[slot].zxid.store(zxid, Ordering::Release);
    }

    /// The reader holds no reference at this moment.
    pub(super) fn quiesce(&self, slot: usize) {
        let epoch = self.epoch.load(Ordering::Acquire);
        self.slots[slot].seen.store(epoch, Ordering::Release);
    }

    /// The reader holds no reference and no zxid until it announces itself again.
    pub(super) fn park(&self, slot: usize) {
        self.withdraw(slot);
        self.slots[slot].seen.store(OFFLINE, Ordering::Release);
    }

    /// Stores a pin at `zxid` and returns its cell. The reader's announced zxid must be at or below
    /// it, so that nothing `zxid` needs goes while the pin is being stored.
    pub(super) fn pin(&self, slot: usize, zxid: Zxid) -> usize {
        let mut block = &self.slots[slot].pins;
        let mut first = 0;
        loop {
            // Only the slot's owner fills cells, so a free one stays free until the store below.
            let free = block.cells.iter().position(|c| c.load(Ordering::Acquire) == NONE);
            if let Some(cell) = free {
                block.cells[cell].store(zxid, Ordering::Release);
                return first + cell;
            }
            first += PINS_A_BLOCK;
            block = Self::next_block_or_new(block);
        }
    }

    fn next_block(block: &PinBlock) -> Option<&PinBlock> {
        let next = block.next.load(Ordering::Acquire);
        // SAFETY: blocks are only ever added, and freed when the `Slots` is dropped.
        unsafe { next.as_ref() }
    }

    fn next_block_or_new(block: &PinBlock) -> &PinBlock {
        if let Some(next) = Self::next_block(block) {
            return next;
        }
        let new = Box::into_raw(Box::new(PinBlock::new()));
        block.next.store(new, Ordering::Release);
        // SAFETY: just made from a box, and freed only when the `Slots` is dropped.
        unsafe { &*new }
    }

    /// Empties the pin cell that [`Self::pin`] returned. Any thread may do it.
    pub(super) fn unpin(&self, slot: usize, cell: usize) {
        let mut block = &self.slots[slot].pins;
        for _ in 0..cell / PINS_A_BLOCK {
            match Self::next_block(block) {
                Some(next) => block = next,
                None => return,
            }
        }
        block.cells[cell % PINS_A_BLOCK].store(NONE, Ordering::Release);
    }

    /// The newest zxid that readers may see.
    pub(super) fn published(&self) -> Zxid {
        self.published.load(Ordering::Acquire)
    }

    /// Writer: everything up to `zxid` may be seen from here on.
    pub(super) fn publish(&self, zxid: Zxid) {
        self.published.store(zxid, Ordering::Release);
    }

    fn taken(&self) -> &[CachePadded<Slot>] {
        &self.slots[..self.taken_end.load(Ordering::Acquire)]
    }

    /// Writer: fills `pins` with the pinned zxids, ascending, and returns the zxid before which
    /// nobody reads except at those pins.
    pub(super) fn horizon(&self, pins: &mut Vec<Zxid>) -> Zxid {
        // Pairs with the fence of `announce`: a reader that this scan misses will see at least the
        // zxid published before this line.
        fence(Ordering::SeqCst);
        let taken = self.taken();
        let published = self.published.load(Ordering::Relaxed);
        // The zxids first: a reader pins before it lets go of its zxid.
        let zxids = taken.iter().map(|slot| slot.zxid.load(Ordering::Acquire));
        let horizon = zxids.fold(published, Zxid::min);
        pins.clear();
        for slot in taken {
            let mut block = Some(&slot.pins);
            while let Some(b) = block {
                pins.extend(
                    b.cells.iter().map(|c| c.load(Ordering::Acquire)).filter(|&z| z != NONE),
                );
                block = Self::next_block(b);
            }
        }
        pins.sort_unstable();
        pins.dedup();
        horizon
    }

    /// Writer: the epoch that what is unlinked now must wait for.
    pub(super) fn next_epoch(&self) -> u64 {
        self.epoch.load(Ordering::Relaxed) + 1
    }

    /// Writer: begins the next epoch; everything unlinked before is waited for with it.
    pub(super) fn begin_epoch(&self) {
        self.epoch.store(self.next_epoch(), Ordering::Release);
    }

    /// Writer: the newest epoch that every reader has seen without holding a reference.
    pub(super) fn passed(&self) -> u64 {
        // Pairs with the fence of `online`.
        fence(Ordering::SeqCst);
        let seen = self.taken().iter().map(|slot| slot.seen.load(Ordering::Acquire));
        seen.fold(OFFLINE, u64::min)
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        for slot in &self.slots {
            let mut next = slot.pins.next.load(Ordering::Relaxed);
            while !next.is_null() {
                // SAFETY: each block was made by `Box::into_raw` and is linked exactly once;
                // nobody else can reach it, the `Slots` being dropped.
                let block = unsafe { Box::from_raw(next) };
                next = block.next.load(Ordering::Relaxed);
            }
        }
    }
}

/// The protocol on its own, in every order of its steps: a znode of two versions, a writer that replaces
/// the older, unlinks and frees it, and a reader that must find the version of its zxid, alive.
/// Run as tests/loom/Cargo.toml says.
#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    const OLD: usize = 1;
    const NEW: usize = 2;

    struct World {
        slots: Slots,
        /// 0 is none; version n is the one made at zxid n.
        newest: AtomicUsize,
        behind_new: AtomicUsize,
        alive: [UnsafeCell<bool>; 3],
    }

    impl World {
        fn new() -> Self {
            Self {
                slots: Slots::new(1, OLD as Zxid),
                newest: AtomicUsize::new(OLD),
                behind_new: AtomicUsize::new(0),
                alive: std::array::from_fn(|_| UnsafeCell::new(true)),
            }
        }

        /// Finds the version of `at`.
        fn find(&self, at: Zxid) -> usize {
            let mut version = self.newest.load(Ordering::Acquire);
            if version as Zxid > at {
                version = self.behind_new.load(Ordering::Acquire);
            }
            assert_eq!(version as Zxid, at, "the version of {at} was unlinked");
            version
        }

        /// Looks at a version; loom sees to it that nobody frees it meanwhile.
        fn touch(&self, version: usize) {
            // SAFETY: loom checks that no other thread writes it.
            assert!(self.alive[version].with(|alive| unsafe { *alive }), "freed");
        }

        fn check(&self, at: Zxid) {
            self.touch(self.find(at));
        }

        fn publish_new(&self) {
            self.behind_new.store(OLD, Ordering::Relaxed);
            self.newest.store(NEW, Ordering::Release);
            self.slots.publish(NEW as Zxid);
        }

        fn reclaim_old(&self) {
            let (mut pins, mut unlinked) = (Vec::new(), None);
            for _ in 0..2 {
                let horizon = self.slots.horizon(&mut pins);
                let pinned = pins.contains(&(OLD as Zxid));
                if unlinked.is_none() && horizon >= NEW as Zxid && !pinned {
                    self.behind_new.store(0, Ordering::Release);
                    unlinked = Some(self.slots.next_epoch());
                    self.slots.begin_epoch();
                }
                if unlinked.is_some_and(|epoch| epoch <= self.slots.passed()) {
                    // SAFETY: loom checks that no other thread looks at it.
                    self.alive[OLD].with_mut(|alive| unsafe { *alive = false });
                    return;
                }
            }
        }
    }

    fn explore(read: impl Fn(&World, usize) + Send + Sync + Copy + 'static) {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(4);
        model.check(move || {
            let world = Arc::new(World::new());
            let slot = world.slots.claim().unwrap();
            let reader = {
                let world = Arc::clone(&world);
                thread::spawn(move || {
                    read(&world, slot);
                    world.slots.release(slot);
                })
            };
            world.publish_new();
            world.reclaim_old();
            reader.join().unwrap();
        });
    }

    #[test]
    fn a_shard_reads_at_its_zxid_and_moves_on() {
        explore(|world, slot| {
            let own = world.slots.announce(slot, Zxid::MIN);
            world.slots.advance(slot, own);
            world.check(own);
            let published = world.slots.published();
            world.slots.advance(slot, published);
            world.slots.quiesce(slot);
            world.check(published);
        });
    }

    /// What was found before the reader moved on is not freed before it quiesces, even if unlinked.
    #[test]
    fn what_a_shard_holds_stays_until_it_quiesces() {
        explore(|world, slot| {
            let own = world.slots.announce(slot, Zxid::MIN);
            world.slots.advance(slot, own);
            let held = world.find(own);
            world.slots.advance(slot, world.slots.published());
            world.touch(held);
            world.slots.quiesce(slot);
        });
    }

    #[test]
    fn a_background_reader_reads_at_its_pin() {
        explore(|world, slot| {
            world.slots.online(slot);
            let zxid = world.slots.announce(slot, Zxid::MIN);
            let cell = world.slots.pin(slot, zxid);
            world.slots.withdraw(slot);
            world.check(zxid);
            world.slots.quiesce(slot);
            world.check(zxid);
            world.slots.unpin(slot, cell);
        });
    }

    #[test]
    fn a_shard_leaves_a_pin_behind() {
        explore(|world, slot| {
            let own = world.slots.announce(slot, Zxid::MIN);
            world.slots.advance(slot, own);
            let cell = world.slots.pin(slot, own);
            world.slots.advance(slot, world.slots.published());
            world.slots.quiesce(slot);
            world.check(own);
            world.slots.unpin(slot, cell);
        });
    }

    #[test]
    fn a_shard_parks_and_comes_back() {
        explore(|world, slot| {
            let own = world.slots.announce(slot, Zxid::MIN);
            world.slots.advance(slot, own);
            world.slots.park(slot);
            let published = world.slots.announce(slot, own);
            world.slots.advance(slot, published);
            world.check(published);
        });
    }
}
