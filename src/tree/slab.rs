//! Nodes: 64 bytes each, addressed by a `u32`, in chunks that never move.
//!
//! A slot belongs to the writer until the node is linked, and again once every reader has passed a
//! quiescent point after it was unlinked. Links are stored with Release and loaded with Acquire.

use super::version::{ChildrenVersion, Version};
use crate::protocol::Zxid;
use std::alloc::{Layout, alloc_zeroed, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicI64, AtomicPtr, AtomicU32, Ordering};

/// No node.
pub(super) const NIL: u32 = u32::MAX;
/// The root, which always lives.
pub(super) const ROOT: u32 = 0;
/// The death of a node that lives.
pub(super) const ALIVE: Zxid = i64::MAX;
/// The zxid at which the newest state is read: what is alive then has no death.
pub(super) const NEWEST: Zxid = i64::MAX - 1;

const CHUNK_BITS: u32 = 15;
const CHUNK_NODES: usize = 1 << CHUNK_BITS;
/// Names up to this length live in the node itself.
const NAME_INLINE_BYTES: usize = 15;
const NAME_ON_HEAP: u8 = 0xff;

/// A node's name: inline with its length in the last byte, or on the heap.
#[repr(C)]
union Name {
    inline: [u8; 16],
    heap: HeapName,
}

#[derive(Clone, Copy)]
#[repr(C)]
struct HeapName {
    bytes: *mut u8,
    len: u32,
    pad: [u8; 3],
    tag: u8,
}

impl Name {
    fn new(name: &str) -> Self {
        let bytes = name.as_bytes();
        if bytes.len() <= NAME_INLINE_BYTES {
            let mut inline = [0; 16];
            inline[..bytes.len()].copy_from_slice(bytes);
            inline[15] = bytes.len() as u8;
            return Self { inline };
        }
        let len = bytes.len() as u32;
        let bytes = Box::into_raw(bytes.to_vec().into_boxed_slice()).cast::<u8>();
        Self { heap: HeapName { bytes, len, pad: [0; 3], tag: NAME_ON_HEAP } }
    }

    fn as_bytes(&self) -> &[u8] {
        // SAFETY: all 16 bytes of either form are initialised, so both may be read; the last byte
        // says which it is, an inline length being at most 15.
        unsafe {
            match self.inline[15] {
                NAME_ON_HEAP => std::slice::from_raw_parts(self.heap.bytes, self.heap.len as usize),
                len => self.inline.get_unchecked(..len as usize),
            }
        }
    }

    /// # Safety
    /// Nobody holds the name, and it is not used again.
    unsafe fn free(&self) {
        // SAFETY: as in `as_bytes`; the box was made in `new` with exactly this length.
        unsafe {
            if self.inline[15] == NAME_ON_HEAP {
                let all =
                    std::ptr::slice_from_raw_parts_mut(self.heap.bytes, self.heap.len as usize);
                drop(Box::from_raw(all));
            }
        }
    }
}

/// What few nodes have: a death, or an earlier life of the same path.
pub(super) struct Fate {
    /// The zxid that deleted the node, [`ALIVE`] while it lives.
    pub death: AtomicI64,
    /// The life of the same path before this one, while somebody may need it.
    pub elder: AtomicU32,
    /// The life after this one; the index names the one that has none. Of use to the writer alone.
    pub junior: AtomicU32,
}

/// One life of one znode. A path that was deleted and made again has two.
#[repr(C, align(64))]
pub(super) struct RawNode {
    /// The newest version of the data half. Null only in a dead node nobody reads.
    pub newest: AtomicPtr<Version>,
    /// The newest version of the children half; null until there has been a child.
    pub children: AtomicPtr<ChildrenVersion>,
    /// Its birth; written before it is linked, never changed.
    pub czxid: Zxid,
    /// Null in a node that lives and has no elder; once set, it goes with the node.
    fate: AtomicPtr<Fate>,
    pub parent: u32,
    /// The child linked last; dead ones stay until nobody needs them.
    pub first_child: AtomicU32,
    pub next_sibling: AtomicU32,
    /// Of use to the writer alone.
    pub prev_sibling: AtomicU32,
    name: Name,
}

const _: () = assert!(size_of::<RawNode>() == 64);
// `allocate_chunk` aligns a chunk to its size.
const _: () = assert!(CHUNK_BYTES.is_power_of_two() && CHUNK_BYTES >= 4096);

impl RawNode {
    fn new(name: &str, parent: u32, czxid: Zxid, newest: NonNull<Version>) -> Self {
        Self {
            newest: AtomicPtr::new(newest.as_ptr()),
            children: AtomicPtr::new(std::ptr::null_mut()),
            czxid,
            fate: AtomicPtr::new(std::ptr::null_mut()),
            parent,
            first_child: AtomicU32::new(NIL),
            next_sibling: AtomicU32::new(NIL),
            prev_sibling: AtomicU32::new(NIL),
            name: Name::new(name),
        }
    }

    /// The last component of its path; empty for the root.
    pub(super) fn name_bytes(&self) -> &[u8] {
        self.name.as_bytes()
    }

    /// What a node that has died takes of memory, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let name = self.name.as_bytes().len();
        let heap = if name > NAME_INLINE_BYTES { name } else { 0 };
        size_of::<Self>() + size_of::<Fate>() + heap
    }

    /// The last component of its path; empty for the root.
    pub(super) fn name(&self) -> &str {
        // SAFETY: names are made from `&str` alone.
        unsafe { std::str::from_utf8_unchecked(self.name.as_bytes()) }
    }

    /// Whether it lives at `at`.
    pub(super) fn lives_at(&self, at: Zxid) -> bool {
        self.czxid <= at && self.fate().is_none_or(|fate| at < fate.death.load(Ordering::Acquire))
    }

    fn fate(&self) -> Option<&Fate> {
        // SAFETY: a fate goes with its node, and whoever has the node holds it.
        unsafe { self.fate.load(Ordering::Acquire).as_ref() }
    }

    /// Writer: its fate, made if need be.
    pub(super) fn fate_or_new(&self) -> &Fate {
        if self.fate().is_none() {
            let fate = Fate {
                death: AtomicI64::new(ALIVE),
                elder: AtomicU32::new(NIL),
                junior: AtomicU32::new(NIL),
            };
            self.fate.store(Box::into_raw(Box::new(fate)), Ordering::Release);
        }
        // SAFETY: as in `fate`; it is there now.
        unsafe { &*self.fate.load(Ordering::Relaxed) }
    }

    /// The life of the same path before this one, while somebody may need it.
    pub(super) fn elder(&self) -> Option<u32> {
        let elder = self.fate()?.elder.load(Ordering::Acquire);
        (elder != NIL).then_some(elder)
    }

    /// Writer: the life of the same path after this one.
    pub(super) fn junior(&self) -> Option<u32> {
        let junior = self.fate()?.junior.load(Ordering::Relaxed);
        (junior != NIL).then_some(junior)
    }

    /// # Safety
    /// Nobody holds the node's name or fate, and they are not used again.
    unsafe fn free_parts(&self) {
        // SAFETY: the caller's; the fate was made from a box.
        unsafe {
            self.name.free();
            let fate = self.fate.load(Ordering::Relaxed);
            if !fate.is_null() {
                drop(Box::from_raw(fate));
            }
        }
    }
}

/// All nodes.
pub(super) struct NodeSlab {
    /// Chunks by number; null beyond the last one.
    chunks: Box<[AtomicPtr<RawNode>]>,
    /// Slots below this one have been used. Written by the writer alone.
    used: AtomicU32,
    /// The head of the list of free slots (linked by `parent`). Of use to the writer alone.
    free: AtomicU32,
}

/// A slice of null pointers whose pages the system need not touch.
fn null_table(entries: usize) -> Box<[AtomicPtr<RawNode>]> {
    let layout = Layout::array::<AtomicPtr<RawNode>>(entries).unwrap_or(Layout::new::<u64>());
    assert!(layout.size() == entries * 8 && entries > 0);
    // SAFETY: the layout is that of the boxed slice, of more than zero bytes, and a zeroed
    // `AtomicPtr` is a null one.
    unsafe {
        let table = alloc_zeroed(layout).cast::<AtomicPtr<RawNode>>();
        if table.is_null() {
            handle_alloc_error(layout);
        }
        Box::from_raw(std::ptr::slice_from_raw_parts_mut(table, entries))
    }
}

impl NodeSlab {
    /// Room for at least `nodes_max` nodes.
    pub(super) fn new(nodes_max: u32) -> Self {
        let chunks = (nodes_max as usize).div_ceil(CHUNK_NODES).max(1);
        Self { chunks: null_table(chunks), used: AtomicU32::new(0), free: AtomicU32::new(NIL) }
    }

    fn pointer(&self, index: u32) -> *mut RawNode {
        let chunk = self.chunks[(index >> CHUNK_BITS) as usize].load(Ordering::Acquire);
        chunk.wrapping_add(index as usize & (CHUNK_NODES - 1))
    }

    /// The node at `index`.
    ///
    /// # Safety
    /// `index` was read from a link (or is the root), and its slot is not given back while the
    /// reference lives: the caller is the writer, or an online reader that has not quiesced since.
    pub(super) unsafe fn get(&self, index: u32) -> &RawNode {
        debug_assert!(index < self.used.load(Ordering::Relaxed));
        // SAFETY: the caller's; a linked node's chunk exists and its slot is initialised.
        unsafe { &*self.pointer(index) }
    }

    /// Writer: makes a node. `None` when there is no slot left.
    pub(super) fn allocate(
        &self,
        name: &str,
        parent: u32,
        czxid: Zxid,
        newest: NonNull<Version>,
    ) -> Option<u32> {
        let index = match self.free.load(Ordering::Relaxed) {
            NIL => self.fresh()?,
            index => {
                // SAFETY: a free slot is initialised and the writer's alone.
                let next = unsafe { self.get(index) }.parent;
                self.free.store(next, Ordering::Relaxed);
                index
            }
        };
        // SAFETY: the slot lies in a chunk and is the writer's alone.
        unsafe { self.pointer(index).write(RawNode::new(name, parent, czxid, newest)) };
        Some(index)
    }

    fn fresh(&self) -> Option<u32> {
        let index = self.used.load(Ordering::Relaxed);
        let chunk = (index >> CHUNK_BITS) as usize;
        if chunk >= self.chunks.len() || index == NIL {
            return None;
        }
        if index as usize & (CHUNK_NODES - 1) == 0 {
            let memory = allocate_chunk();
            if chunk > 0 {
                // A small tree stays small.
                advise_huge(memory);
            }
            self.chunks[chunk].store(memory, Ordering::Release);
        }
        self.used.store(index + 1, Ordering::Release);
        Some(index)
    }

    /// Writer: gives a slot back.
    ///
    /// # Safety
    /// The node is unlinked, no reader holds it, and its chains are empty or freed elsewhere.
    pub(super) unsafe fn free(&self, index: u32) {
        // SAFETY: the caller's: nobody refers to the slot, so it may be freed and written.
        unsafe {
            let slot = self.pointer(index);
            (*slot).free_parts();
            let mut empty = RawNode::new("", NIL, ALIVE, NonNull::dangling());
            empty.newest = AtomicPtr::new(std::ptr::null_mut());
            empty.parent = self.free.load(Ordering::Relaxed);
            slot.write(empty);
        }
        self.free.store(index, Ordering::Relaxed);
    }

    /// Slots ever used, free ones among them.
    pub(super) fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }
}

const CHUNK_BYTES: usize = CHUNK_NODES * size_of::<RawNode>();

/// 2 MiB straight from the system, aligned so that one huge page can hold them: an allocator would add a
/// part of it, and a scattered read spends much of its time on small pages' translation.
fn allocate_chunk() -> *mut RawNode {
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a new anonymous mapping touches nothing that exists.
    let mapping =
        unsafe { libc::mmap(std::ptr::null_mut(), 2 * CHUNK_BYTES, protection, flags, -1, 0) };
    if mapping == libc::MAP_FAILED {
        // As for an allocation: there is no going on without memory.
        handle_alloc_error(Layout::new::<[RawNode; CHUNK_NODES]>());
    }
    let before = mapping.addr().next_multiple_of(CHUNK_BYTES) - mapping.addr();
    let chunk = mapping.wrapping_byte_add(before);
    // SAFETY: what is given back lies before and behind the chunk within the mapping just made.
    unsafe {
        if before > 0 {
            libc::munmap(mapping, before);
        }
        libc::munmap(chunk.wrapping_byte_add(CHUNK_BYTES), CHUNK_BYTES - before);
    }
    chunk.cast()
}

/// Asks for a huge page; where there is none, small ones do.
fn advise_huge(chunk: *mut RawNode) {
    // SAFETY: the chunk is mapped, and advice changes nothing that is in it.
    unsafe { libc::madvise(chunk.cast(), CHUNK_BYTES, libc::MADV_HUGEPAGE) };
}

impl Drop for NodeSlab {
    fn drop(&mut self) {
        for index in 0..self.used() {
            // SAFETY: the slab is being dropped, so nobody reads; used slots are initialised.
            unsafe { drop_node(self.get(index)) };
        }
        for chunk in &self.chunks {
            let chunk = chunk.load(Ordering::Relaxed);
            if !chunk.is_null() {
                // SAFETY: made by `allocate_chunk`, and nothing refers to it any more.
                unsafe { libc::munmap(chunk.cast(), CHUNK_BYTES) };
            }
        }
    }
}

/// # Safety
/// Nobody reads or will read the node or its versions.
unsafe fn drop_node(node: &RawNode) {
    // SAFETY: the caller's; a chain's links are each reachable from exactly one node, and what was
    // unlinked is freed elsewhere.
    unsafe {
        let mut version = NonNull::new(node.newest.load(Ordering::Relaxed));
        while let Some(v) = version {
            version = NonNull::new(v.as_ref().prev.load(Ordering::Relaxed));
            Version::free(v);
        }
        let mut children = NonNull::new(node.children.load(Ordering::Relaxed));
        while let Some(c) = children {
            children = NonNull::new(c.as_ref().prev.load(Ordering::Relaxed));
            ChildrenVersion::free(c);
        }
        node.free_parts();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::version::VersionHead;

    fn version() -> NonNull<Version> {
        Version::allocate(VersionHead::default(), std::ptr::null_mut(), None, || 0)
    }

    #[test]
    fn names_inline_and_on_the_heap() {
        for len in [0, 1, 14, 15, 16, 17, 300] {
            let text = "é".repeat(len / 2) + &"x".repeat(len % 2);
            let name = Name::new(&text);
            assert_eq!(name.as_bytes(), text.as_bytes());
            // SAFETY: not used again.
            unsafe { name.free() };
        }
    }

    #[test]
    fn slots_are_used_again_and_bounded() {
        let slab = NodeSlab::new(1);
        let all: Vec<u32> = (0..CHUNK_NODES)
            .map(|i| slab.allocate(&format!("a name of node {i}"), NIL, 0, version()).unwrap())
            .collect();
        let spare = version();
        assert_eq!(slab.allocate("one too many", NIL, 0, spare), None);
        // SAFETY: this thread is the writer, and there are no readers.
        unsafe {
            let node = slab.get(all[77]);
            assert_eq!(node.name(), "a name of node 77");
            Version::free(NonNull::new(node.newest.load(Ordering::Relaxed)).unwrap());
            slab.free(all[77]);
            assert_eq!(slab.allocate("again", NIL, 0, spare), Some(all[77]));
            assert_eq!(slab.get(all[77]).name(), "again");
        }
    }
}
