//! The path index: a hash of the whole path → node, eight bytes an entry, read without locks.
//!
//! Extendible hashing: 64 roots, each a directory of small segments of open addressing. A segment
//! that fills is rebuilt a size larger or split in two, and the new one swapped in by a Release
//! store; a directory that must double is copied. So the most one insertion does is bounded: a few
//! KiB copied. What was replaced is given back as [`Garbage`] and frozen: whoever still reads it finds
//! everything that was published when it began. A removal leaves a mark, entries never shift.
//!
//! An entry is (32 bits of hash, node). The index promises candidates only: the caller compares
//! names. A path has one entry, whose node is its youngest life: a path that is deleted and made again
//! without end, faster than readers move, must not fill a segment with its lives.

use super::reclaim::Garbage;
use super::segment::{
    EMPTY, REMOVED, Segment, UNITS_MAX, Words, cells, clear, depth, entry, free_directory,
    free_segment, new_directory, new_segment, units_for, words,
};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

const ROOT_BITS: u32 = 6;
const ROOTS: usize = 1 << ROOT_BITS;
/// The deepest directory: 2^23 segments in all, about 2.5 thousand million entries.
const DEPTH_MAX: u32 = 17;

/// The segment or the entry has no room; see [`DEPTH_MAX`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct IndexFull;

/// The path index. Methods that change it are the writer's alone.
pub(super) struct Index {
    secret: [u64; 4],
    roots: [AtomicPtr<AtomicPtr<AtomicU64>>; ROOTS],
}

/// The cell of `tag` in a directory of 2^`depth` cells: the bits behind the root's.
fn cell_of(tag: u32, depth: u32) -> usize {
    (u64::from(tag << ROOT_BITS) >> (32 - depth)) as usize
}

impl Index {
    pub(super) fn new() -> Self {
        let random = RandomState::new();
        let roots = std::array::from_fn(|_| AtomicPtr::new(new_directory(0)));
        Self { secret: [1u64, 2, 3, 4].map(|i| random.hash_one(i) | 1), roots }
    }

    /// The hash of a path, of which the index keeps a part. Keyed afresh in every process.
    pub(super) fn tag(&self, path: &[u8]) -> u32 {
        (hash(&self.secret, path) >> 32) as u32
    }

    /// Finds the entry with `tag` whose node `is` the wanted one.
    ///
    /// # Safety
    /// The caller is the writer, or an online reader that does not quiesce meanwhile.
    pub(super) unsafe fn find(&self, tag: u32, mut is: impl FnMut(u32) -> bool) -> Option<u32> {
        // SAFETY: the caller's.
        let words = unsafe { self.segment(tag)? };
        let mut slot = words.home(tag);
        for _ in 0..words.slots.len() {
            let word = words.slots[slot].load(Ordering::Acquire);
            if word == EMPTY {
                return None;
            }
            if (word >> 32) as u32 == tag && word != REMOVED && is(word as u32) {
                return Some(word as u32);
            }
            slot = words.after(slot);
        }
        None
    }

    /// The segment in which `tag` belongs.
    ///
    /// # Safety
    /// As [`Index::find`].
    unsafe fn segment(&self, tag: u32) -> Option<Words<'_>> {
        let directory = self.roots[(tag >> (32 - ROOT_BITS)) as usize].load(Ordering::Acquire);
        // SAFETY: the caller's: neither directory nor segment is freed meanwhile.
        let cells = unsafe { cells(directory) };
        let segment = cells[cell_of(tag, depth(directory))].load(Ordering::Acquire);
        // SAFETY: as above.
        (!segment.is_null()).then(|| unsafe { words(segment) })
    }

    /// The first slot that a search for `tag` looks at, to be prefetched.
    ///
    /// # Safety
    /// As [`Index::find`].
    pub(super) unsafe fn first_slot(&self, tag: u32) -> Option<&AtomicU64> {
        // SAFETY: the caller's.
        let words = unsafe { self.segment(tag)? };
        Some(&words.slots[words.home(tag)])
    }

    /// Writer: adds an entry.
    pub(super) fn insert(
        &self,
        tag: u32,
        node: u32,
        garbage: &mut impl FnMut(Garbage),
    ) -> Result<(), IndexFull> {
        loop {
            let (cells, depth) = self.directory(tag);
            let cell = &cells[cell_of(tag, depth)];
            let segment = cell.load(Ordering::Relaxed);
            if segment.is_null() {
                cell.store(new_segment(1, depth), Ordering::Release);
                continue;
            }
            // SAFETY: this is the writer, and it gives back what it replaced only later.
            let words = unsafe { words(segment) };
            if words.meta().used < words.used_max() {
                words.put(tag, node);
                return Ok(());
            }
            match units_for(words.meta().live + 1) {
                units @ ..=UNITS_MAX => self.rebuild(tag, segment, units),
                _ => self.split(tag, segment, garbage)?,
            }
            garbage(Garbage::Segment(segment));
        }
    }

    /// Writer: takes an entry out; whether it was there.
    pub(super) fn remove(&self, tag: u32, node: u32) -> bool {
        self.locate(tag, node).map(|(words, slot)| clear(words, slot)).is_some()
    }

    /// Writer: puts another node in an entry's place; whether it was there.
    pub(super) fn replace(&self, tag: u32, old: u32, new: u32) -> bool {
        let located = self.locate(tag, old);
        // Release: whoever finds the entry sees the node.
        located
            .map(|(words, slot)| words.slots[slot].store(entry(tag, new), Ordering::Release))
            .is_some()
    }

    fn locate(&self, tag: u32, node: u32) -> Option<(Words<'_>, usize)> {
        let (cells, depth) = self.directory(tag);
        let segment = cells[cell_of(tag, depth)].load(Ordering::Relaxed);
        if segment.is_null() {
            return None;
        }
        // SAFETY: this is the writer, and the segment is linked.
        let words = unsafe { words(segment) };
        let wanted = entry(tag, node);
        let mut slot = words.home(tag);
        for _ in 0..words.slots.len() {
            match words.slots[slot].load(Ordering::Relaxed) {
                EMPTY => return None,
                word if word == wanted => return Some((words, slot)),
                _ => slot = words.after(slot),
            }
        }
        None
    }

    fn directory(&self, tag: u32) -> (&[AtomicPtr<AtomicU64>], u32) {
        let directory = self.roots[(tag >> (32 - ROOT_BITS)) as usize].load(Ordering::Relaxed);
        // SAFETY: the writer alone calls this, and what is linked is live.
        (unsafe { cells(directory) }, depth(directory))
    }

    /// Copies a segment without its removed entries, into `units`.
    fn rebuild(&self, tag: u32, segment: Segment, units: usize) {
        // SAFETY: this is the writer, and the segment is linked.
        let old = unsafe { words(segment) };
        let depth = old.meta().depth;
        let new = new_segment(units, depth);
        // SAFETY: just made.
        let new_words = unsafe { words(new) };
        old.entries().for_each(|word| new_words.put((word >> 32) as u32, word as u32));
        self.link(tag, depth, new);
    }

    /// Parts a segment's entries by the next bit of their hash.
    fn split(
        &self,
        tag: u32,
        segment: Segment,
        garbage: &mut impl FnMut(Garbage),
    ) -> Result<(), IndexFull> {
        // SAFETY: this is the writer, and the segment is linked.
        let old = unsafe { words(segment) };
        let depth = old.meta().depth;
        if depth == self.directory(tag).1 {
            self.double(tag, garbage)?;
        }
        let bit = 1 << (31 - ROOT_BITS - depth);
        let ones = old.entries().filter(|word| (word >> 32) as u32 & bit != 0).count();
        let counts = [old.meta().live - ones, ones];
        let halves = counts.map(|n| new_segment(units_for(n).min(UNITS_MAX), depth + 1));
        for word in old.entries() {
            let tag = (word >> 32) as u32;
            // SAFETY: just made.
            unsafe { words(halves[usize::from(tag & bit != 0)]) }.put(tag, word as u32);
        }
        self.link(tag & !bit, depth + 1, halves[0]);
        self.link(tag | bit, depth + 1, halves[1]);
        Ok(())
    }

    /// Points every cell whose first `depth` bits are those of `tag` at `segment`.
    fn link(&self, tag: u32, depth: u32, segment: Segment) {
        let (cells, directory_depth) = self.directory(tag);
        let span = 1 << (directory_depth - depth);
        let first = cell_of(tag, directory_depth) / span * span;
        for cell in &cells[first..first + span] {
            cell.store(segment, Ordering::Release);
        }
    }

    fn double(&self, tag: u32, garbage: &mut impl FnMut(Garbage)) -> Result<(), IndexFull> {
        let (old, depth) = self.directory(tag);
        if depth == DEPTH_MAX {
            return Err(IndexFull);
        }
        let new = new_directory(depth + 1);
        // SAFETY: just made.
        let new_cells = unsafe { cells(new) };
        for (i, cell) in new_cells.iter().enumerate() {
            cell.store(old[i / 2].load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let root = &self.roots[(tag >> (32 - ROOT_BITS)) as usize];
        garbage(Garbage::Directory(root.load(Ordering::Relaxed)));
        root.store(new, Ordering::Release);
        Ok(())
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        for root in &self.roots {
            let directory = root.load(Ordering::Relaxed);
            // SAFETY: the index is being dropped; a segment stands in neighbouring cells only, so
            // each is freed once, and what was replaced is freed elsewhere.
            unsafe {
                let mut last = std::ptr::null_mut();
                for cell in cells(directory) {
                    let segment = cell.load(Ordering::Relaxed);
                    if !segment.is_null() && segment != last {
                        free_segment(segment);
                    }
                    last = segment;
                }
                free_directory(directory);
            }
        }
    }
}

/// A keyed hash by folded multiplication, 16 bytes a step.
fn hash(secret: &[u64; 4], bytes: &[u8]) -> u64 {
    let len = bytes.len();
    let mut state = secret[0] ^ (len as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut rest = bytes;
    while let Some((block, tail)) = rest.split_first_chunk::<16>()
        && !tail.is_empty()
    {
        let (a, b) = halves(block);
        state = fold(a ^ secret[1], b ^ state);
        rest = tail;
    }
    // What is left, at most 16 bytes; it may overlap what came before.
    let (a, b) = match bytes.last_chunk::<16>() {
        Some(block) => halves(block),
        None => short(rest),
    };
    state = fold(a ^ secret[2], b ^ state);
    fold(state ^ secret[3], secret[1])
}

fn halves(block: &[u8; 16]) -> (u64, u64) {
    let word = u128::from_le_bytes(*block);
    (word as u64, (word >> 64) as u64)
}

fn short(bytes: &[u8]) -> (u64, u64) {
    match (bytes.first_chunk::<8>(), bytes.last_chunk::<8>()) {
        (Some(first), Some(last)) => (u64::from_le_bytes(*first), u64::from_le_bytes(*last)),
        _ => {
            let mut block = [0; 8];
            block[..bytes.len()].copy_from_slice(bytes);
            (u64::from_le_bytes(block), 0)
        }
    }
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::super::segment::units;
    use super::*;
    use std::collections::{HashMap, HashSet};

    fn free(garbage: Garbage) {
        // SAFETY: single-threaded tests: nobody reads what was replaced.
        unsafe {
            match garbage {
                Garbage::Segment(s) => free_segment(s),
                Garbage::Directory(d) => free_directory(d),
                _ => unreachable!("an index makes no other garbage"),
            }
        }
    }

    /// An index whose garbage is freed only when the test ends, as with readers about.
    struct Held(Index, Vec<Garbage>);

    impl Held {
        fn insert(&mut self, tag: u32, node: u32) -> Result<(), IndexFull> {
            let Self(index, garbage) = self;
            index.insert(tag, node, &mut |g| garbage.push(g))
        }

        fn all(&self, tag: u32) -> HashSet<u32> {
            let mut found = HashSet::new();
            // SAFETY: single-threaded.
            unsafe {
                self.0.find(tag, |node| {
                    found.insert(node);
                    false
                })
            };
            found
        }
    }

    impl Drop for Held {
        fn drop(&mut self) {
            self.1.drain(..).for_each(free);
        }
    }

    #[test]
    fn behaves_as_a_map_of_sets_through_growth_and_removal() {
        let mut index = Held(Index::new(), Vec::new());
        let mut model: HashMap<u32, HashSet<u32>> = HashMap::new();
        let mut state = 1u64;
        for node in 1..60_000u32 {
            state = fold(state ^ 0x1234_5678_9abc_def1, 0x9e37_79b9_7f4a_7c15 ^ u64::from(node));
            let tag = (state >> 32) as u32 & !0x7; // some tags twice
            index.insert(tag, node).unwrap();
            model.entry(tag).or_default().insert(node);
            if node % 5 == 0 {
                assert!(index.0.replace(tag, node, node + 1_000_000));
                assert!(!index.0.replace(tag, node, 1));
                let nodes = model.get_mut(&tag).unwrap();
                nodes.remove(&node);
                nodes.insert(node + 1_000_000);
            }
            if node % 3 == 0 {
                let (&tag, nodes) = model.iter_mut().next().unwrap();
                let node = *nodes.iter().next().unwrap();
                assert!(index.0.remove(tag, node));
                assert!(!index.0.remove(tag, node));
                nodes.remove(&node);
                if nodes.is_empty() {
                    model.remove(&tag);
                }
            }
        }
        assert!(model.len() > 1000);
        for (tag, nodes) in &model {
            assert_eq!(&index.all(*tag), nodes);
        }
        assert!(index.1.len() > 100, "it has grown in many steps");
    }

    #[test]
    fn churn_does_not_grow_a_segment() {
        let mut index = Held(Index::new(), Vec::new());
        for node in 1..20_000u32 {
            index.insert(node.wrapping_mul(0x85eb_ca6b) >> 6, node).unwrap();
            assert!(index.0.remove(node.wrapping_mul(0x85eb_ca6b) >> 6, node));
        }
        let (cells, depth) = index.0.directory(0);
        assert_eq!(depth, 0);
        assert_eq!(units(cells[0].load(Ordering::Relaxed)), 1, "still one unit");
    }

    #[test]
    fn equal_tags_without_end_are_refused_not_looped_over() {
        let mut index = Held(Index::new(), Vec::new());
        let refused = (1..1000).find(|&node| index.insert(7, node).is_err());
        assert!(refused.is_some_and(|n| n > 400), "{refused:?}");
        assert_eq!(index.all(7).len(), refused.unwrap() as usize - 1);
    }

    #[test]
    fn hashes_depend_on_every_byte_and_the_length() {
        let secret = [3, 5, 7, 9];
        let base: Vec<u8> = (1..80).collect();
        for len in 0..base.len() {
            let whole = hash(&secret, &base[..len]);
            assert_ne!(whole, hash(&secret, &base[..len + 1]));
            for i in 0..len {
                let mut other = base[..len].to_vec();
                other[i] ^= 0x10;
                assert_ne!(whole, hash(&secret, &other), "byte {i} of {len}");
            }
        }
    }
}
