//! Segments and directories of the path index: their memory, and what one segment does by itself.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// Segments come in units of 512 bytes, and up to eight of them.
pub(super) const UNIT_SLOTS: usize = 64;
pub(super) const UNITS_MAX: usize = 8;
/// Pointers are aligned so that a size in units, or a depth, fits below.
pub(super) const SEGMENT_ALIGN: usize = 16;
pub(super) const DIRECTORY_ALIGN: usize = 32;
pub(super) const EMPTY: u64 = 0;
/// A removed entry; no node has the number `u32::MAX`.
pub(super) const REMOVED: u64 = u32::MAX as u64;

/// A segment: `units · 64` words, the last of which is the writer's [`Meta`]; `units` sits in the
/// low bits of the pointer.
pub(super) type Segment = *mut AtomicU64;
/// A directory: 2^depth segments; the depth sits in the low bits of the pointer.
pub(super) type Directory = *mut AtomicPtr<AtomicU64>;

/// What the writer knows of a segment.
#[derive(Clone, Copy)]
pub(super) struct Meta {
    /// Slots that are not empty.
    pub(super) used: usize,
    /// Slots that hold an entry.
    pub(super) live: usize,
    /// How many bits behind the root's its entries share.
    pub(super) depth: u32,
}

impl Meta {
    pub(super) fn unpack(word: u64) -> Self {
        let (used, live) = ((word & 0xffff) as usize, (word >> 16 & 0xffff) as usize);
        Self { used, live, depth: (word >> 32) as u32 }
    }

    pub(super) fn pack(self) -> u64 {
        self.used as u64 | (self.live as u64) << 16 | u64::from(self.depth) << 32
    }
}

/// A view of a segment's words.
#[derive(Clone, Copy)]
pub(super) struct Words<'a> {
    pub(super) slots: &'a [AtomicU64],
    meta: &'a AtomicU64,
}

impl Words<'_> {
    pub(super) fn meta(&self) -> Meta {
        Meta::unpack(self.meta.load(Ordering::Relaxed))
    }

    pub(super) fn set_meta(&self, meta: Meta) {
        self.meta.store(meta.pack(), Ordering::Relaxed);
    }

    /// Where the probing for `tag` begins. All bits count: the upper ones are the same throughout a
    /// segment.
    pub(super) fn home(&self, tag: u32) -> usize {
        let mixed = u64::from(tag.wrapping_mul(0x9e37_79b1));
        ((mixed * self.slots.len() as u64) >> 32) as usize
    }

    pub(super) fn after(&self, slot: usize) -> usize {
        if slot + 1 == self.slots.len() { 0 } else { slot + 1 }
    }

    pub(super) fn before(&self, slot: usize) -> usize {
        if slot == 0 { self.slots.len() - 1 } else { slot - 1 }
    }

    /// Used slots from which on the segment has to grow.
    pub(super) fn used_max(&self) -> usize {
        self.slots.len() * 27 / 32
    }

    pub(super) fn put(&self, tag: u32, node: u32) {
        let mut slot = self.home(tag);
        let mut meta = self.meta();
        loop {
            let word = self.slots[slot].load(Ordering::Relaxed);
            if word == EMPTY || word == REMOVED {
                // Release: whoever finds the entry sees the node.
                self.slots[slot].store(entry(tag, node), Ordering::Release);
                meta.used += usize::from(word == EMPTY);
                meta.live += 1;
                return self.set_meta(meta);
            }
            slot = self.after(slot);
        }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = u64> {
        let words = self.slots.iter().map(|slot| slot.load(Ordering::Relaxed));
        words.filter(|&word| word != EMPTY && word != REMOVED)
    }
}

pub(super) fn entry(tag: u32, node: u32) -> u64 {
    u64::from(tag) << 32 | u64::from(node)
}

pub(super) fn low_bits<T>(pointer: *mut T, align: usize) -> usize {
    pointer.addr() & (align - 1)
}

pub(super) fn units(segment: Segment) -> usize {
    low_bits(segment, SEGMENT_ALIGN)
}

pub(super) fn depth(directory: Directory) -> u32 {
    low_bits(directory, DIRECTORY_ALIGN) as u32
}

/// Asks for no alignment: see the layout of versions.
pub(super) fn segment_layout(units: usize) -> Layout {
    // Never fails: at most UNITS_MAX units.
    Layout::from_size_align(units * UNIT_SLOTS * 8, 1)
        .unwrap_or_else(|_| unreachable!("{units} units of a segment"))
}

pub(super) fn directory_layout(depth: u32) -> Layout {
    // Never fails: at most 2^DEPTH_MAX cells. A power of two, which allocators align by itself.
    Layout::from_size_align(DIRECTORY_ALIGN.max(8 << depth), DIRECTORY_ALIGN)
        .unwrap_or_else(|_| unreachable!("a directory of depth {depth}"))
}

pub(super) fn allocate_zeroed(layout: Layout) -> *mut u8 {
    // SAFETY: the layout has a size.
    let memory = unsafe { alloc_zeroed(layout) };
    if memory.is_null() {
        handle_alloc_error(layout);
    }
    memory
}

pub(super) fn new_segment(units: usize, depth: u32) -> Segment {
    let segment = allocate_zeroed(segment_layout(units)).cast::<AtomicU64>();
    assert!(low_bits(segment, SEGMENT_ALIGN) == 0, "the allocator aligns large blocks to 16");
    let segment = segment.map_addr(|a| a | units);
    // SAFETY: just made, of that many units.
    unsafe { words(segment) }.set_meta(Meta { used: 0, live: 0, depth });
    segment
}

pub(super) fn new_directory(depth: u32) -> Directory {
    let directory = allocate_zeroed(directory_layout(depth)).cast::<AtomicPtr<AtomicU64>>();
    directory.map_addr(|a| a | depth as usize)
}

/// # Safety
/// `segment` is a live one, not null, and stays live for `'a`.
pub(super) unsafe fn words<'a>(segment: Segment) -> Words<'a> {
    let count = units(segment) * UNIT_SLOTS;
    let first = segment.map_addr(|a| a & !(SEGMENT_ALIGN - 1));
    // SAFETY: the caller's; the pointer says how many words there are.
    let all = unsafe { std::slice::from_raw_parts(first.cast_const(), count) };
    Words { slots: &all[..count - 1], meta: &all[count - 1] }
}

/// # Safety
/// `directory` is a live one and stays live for `'a`.
pub(super) unsafe fn cells<'a>(directory: Directory) -> &'a [AtomicPtr<AtomicU64>] {
    let first = directory.map_addr(|a| a & !(DIRECTORY_ALIGN - 1));
    // SAFETY: the caller's; the pointer says how many cells there are.
    unsafe { std::slice::from_raw_parts(first.cast_const(), 1 << depth(directory)) }
}

/// What a segment takes of memory, in bytes.
pub(super) fn segment_bytes(segment: Segment) -> usize {
    segment_layout(units(segment)).size()
}

/// What a directory takes of memory, in bytes.
pub(super) fn directory_bytes(directory: Directory) -> usize {
    directory_layout(depth(directory)).size()
}

/// # Safety
/// Nobody holds or can reach `segment` any more.
pub(super) unsafe fn free_segment(segment: Segment) {
    let first = segment.map_addr(|a| a & !(SEGMENT_ALIGN - 1));
    // SAFETY: the caller's; made by `new_segment` with the same layout.
    unsafe { dealloc(first.cast(), segment_layout(units(segment))) };
}

/// # Safety
/// Nobody holds or can reach `directory` any more; its segments live on.
pub(super) unsafe fn free_directory(directory: Directory) {
    let first = directory.map_addr(|a| a & !(DIRECTORY_ALIGN - 1));
    // SAFETY: the caller's; made by `new_directory` with the same layout.
    unsafe { dealloc(first.cast(), directory_layout(depth(directory))) };
}

/// The units for `live` entries that leave room to grow.
pub(super) fn units_for(live: usize) -> usize {
    (live * 100 / 72 + 1).div_ceil(UNIT_SLOTS)
}

/// Marks a slot as removed, or empties it and the marks before it when nothing lies behind: then no
/// probing has a reason to pass through here.
pub(super) fn clear(words: Words<'_>, slot: usize) {
    let mut meta = words.meta();
    meta.live -= 1;
    if words.slots[words.after(slot)].load(Ordering::Relaxed) != EMPTY {
        words.slots[slot].store(REMOVED, Ordering::Release);
        return words.set_meta(meta);
    }
    let mut slot = slot;
    loop {
        words.slots[slot].store(EMPTY, Ordering::Release);
        meta.used -= 1;
        slot = words.before(slot);
        if words.slots[slot].load(Ordering::Relaxed) != REMOVED {
            return words.set_meta(meta);
        }
    }
}
