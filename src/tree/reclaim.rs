//! Reclamation: what nobody can need is unlinked, and what was unlinked is freed once every reader has
//! passed a quiescent point.
//!
//! What was replaced or deleted at a zxid needs a reader before that zxid to need it. So the queue of
//! changes is worked off from its oldest end, up to the zxid of the hindmost reader. What lies under a
//! pin is set aside with it, and looked at again when the pin goes; everything else passes it by, so a
//! pin of minutes costs at most one old version a node.

use super::queue::BlockQueue;
use super::segment::{self, Directory, Segment};
use super::slab::NIL;
use super::slots::Slots;
use super::state::State;
use super::undo::{Change, What};
use super::version::{ChildrenVersion, Link, Version};
use super::{Tree, sessions};
use crate::protocol::{Acl, Zxid};
use std::collections::{BTreeMap, VecDeque};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Something unlinked, to be freed once every reader has quiesced.
#[derive(Clone, Copy)]
pub(super) enum Garbage {
    Version(NonNull<Version>),
    Children(NonNull<ChildrenVersion>),
    Node(u32),
    Session(u32),
    Segment(Segment),
    Directory(Directory),
    Acl(u32, NonNull<Vec<Acl>>),
}

// SAFETY: garbage is the writer's, or belongs to the tree being dropped; it is reached by no other.
unsafe impl Send for Garbage {}

impl Garbage {
    /// What it takes of memory, its place in the queue included.
    ///
    /// # Safety
    /// It has not been freed.
    unsafe fn bytes(self, tree: &Tree) -> usize {
        // SAFETY: the caller's.
        let own = unsafe {
            match self {
                Garbage::Version(version) => version.as_ref().bytes(),
                Garbage::Children(_) => size_of::<ChildrenVersion>(),
                Garbage::Node(index) => tree.nodes.get(index).bytes(),
                Garbage::Session(_) => sessions::SLOT_BYTES,
                Garbage::Segment(segment) => segment::segment_bytes(segment),
                Garbage::Directory(directory) => segment::directory_bytes(directory),
                Garbage::Acl(_, list) => list.as_ref().capacity() * size_of::<Acl>(),
            }
        };
        own + size_of::<(u64, Garbage)>()
    }

    /// Frees what takes memory of its own; slots stay with their slabs.
    ///
    /// # Safety
    /// It is unlinked, and nobody holds it.
    pub(super) unsafe fn free_memory(self) {
        // SAFETY: the caller's, and each was made by the matching allocation.
        unsafe {
            match self {
                Garbage::Version(version) => Version::free(version),
                Garbage::Children(version) => ChildrenVersion::free(version),
                Garbage::Segment(segment) => segment::free_segment(segment),
                Garbage::Directory(directory) => segment::free_directory(directory),
                Garbage::Acl(_, list) => drop(Box::from_raw(list.as_ptr())),
                Garbage::Node(_) | Garbage::Session(_) => {}
            }
        }
    }
}

/// Something replaced or deleted that a pin keeps.
#[derive(Clone, Copy)]
struct Held {
    /// The end of its span.
    end: Zxid,
    what: Kept,
}

#[derive(Clone, Copy)]
enum Kept {
    Version { node: u32, link: NonNull<Version> },
    Children { node: u32, link: NonNull<ChildrenVersion> },
    Node { node: u32 },
    Session { slot: u32 },
}

// SAFETY: as for `Garbage`.
unsafe impl Send for Held {}

impl Kept {
    /// What it takes of memory. It is linked.
    fn bytes(self, tree: &Tree) -> usize {
        // SAFETY: this is the writer, and what is kept is linked.
        unsafe {
            match self {
                Kept::Version { link, .. } => link.as_ref().bytes(),
                Kept::Children { .. } => size_of::<ChildrenVersion>(),
                Kept::Node { node } => tree.nodes.get(node).bytes(),
                Kept::Session { .. } => sessions::SLOT_BYTES,
            }
        }
    }
}

/// What `change`, which has been made, has replaced or deleted, in bytes.
pub(super) fn superseded_bytes(tree: &Tree, change: What) -> usize {
    last_of(tree, change).map_or(0, |kept| kept.bytes(tree))
}

/// What `change` has replaced or deleted. It is linked still.
fn last_of(tree: &Tree, change: What) -> Option<Kept> {
    // SAFETY: this is the writer; a new link is linked, and a dead node stays until its chains are empty.
    unsafe {
        Some(match change {
            What::Created { .. } | What::SessionOpened { .. } => return None,
            What::Data { node, new } => {
                let link = NonNull::new(new.as_ref().prev.load(Ordering::Relaxed))?;
                Kept::Version { node, link }
            }
            What::Children { node, new } => {
                let link = NonNull::new(new.as_ref().prev.load(Ordering::Relaxed))?;
                Kept::Children { node, link }
            }
            What::LastData { node } => {
                let link = NonNull::new(tree.nodes.get(node).newest.load(Ordering::Relaxed))?;
                Kept::Version { node, link }
            }
            What::LastChildren { node } => {
                let link = NonNull::new(tree.nodes.get(node).children.load(Ordering::Relaxed))?;
                Kept::Children { node, link }
            }
            What::Died { node } => Kept::Node { node },
            What::SessionClosed { slot } => Kept::Session { slot },
        })
    }
}

/// Memory that holds nothing newest, in bytes: what reading threads have yet to let go of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retained {
    /// Replaced or deleted, and linked still: a reader may be at a zxid before that. The list of changes is counted
    /// here as well. Without what pins keep.
    pub superseded_bytes: usize,
    /// Kept by pins: of each znode one version a pin at the most, so no more than the tree had at the pin.
    pub pinned_bytes: usize,
    /// Unlinked, and not free before every reader has passed a quiescent point.
    pub unlinked_bytes: usize,
}

/// What is on its way out.
pub(super) struct Bin {
    /// What was replaced or deleted and is linked still, what pins keep included.
    pub superseded_bytes: usize,
    /// Of that, what pins keep, or have kept until just now.
    pinned_bytes: usize,
    /// What `limbo` takes.
    unlinked_bytes: usize,
    /// By the pin that keeps it.
    held: BTreeMap<Zxid, BlockQueue<Held>>,
    /// What a pin kept that is gone.
    released: VecDeque<BlockQueue<Held>>,
    /// Unlinked, with the epoch that every reader has to have seen.
    limbo: BlockQueue<(u64, Garbage)>,
    /// The epoch that the newest of `limbo` waits for.
    limbo_epoch: u64,
    /// The pinned zxids, ascending, as of the last look.
    pins: Vec<Zxid>,
}

impl Bin {
    pub(super) fn new() -> Self {
        Self {
            superseded_bytes: 0,
            pinned_bytes: 0,
            unlinked_bytes: 0,
            held: BTreeMap::new(),
            released: VecDeque::new(),
            limbo: BlockQueue::new(),
            limbo_epoch: 0,
            pins: Vec::new(),
        }
    }

    /// Takes something unlinked.
    pub(super) fn discard(&mut self, tree: &Tree, garbage: Garbage) {
        // SAFETY: it is freed only by `State::free`.
        self.unlinked_bytes += unsafe { garbage.bytes(tree) };
        self.limbo_epoch = tree.slots.next_epoch();
        self.limbo.push_back((self.limbo_epoch, garbage));
    }

    /// The newest pin in `start .. end`.
    fn pin_in(&self, start: Zxid, end: Zxid) -> Option<Zxid> {
        let before = self.pins.partition_point(|&pin| pin < end);
        let pin = *self.pins.get(before.checked_sub(1)?)?;
        (pin >= start).then_some(pin)
    }

    fn hold(&mut self, tree: &Tree, pin: Zxid, held: Held) {
        self.pinned_bytes += held.what.bytes(tree);
        self.held.entry(pin).or_insert_with(BlockQueue::new).push_back(held);
    }

    /// Moves what was kept by pins that are gone to `released`.
    fn release_unpinned(&mut self) {
        let pins = &self.pins;
        let gone = self.held.extract_if(.., |pin, _| pins.binary_search(pin).is_err());
        self.released.extend(gone.map(|(_, held)| held));
    }

    fn next_released(&mut self) -> Option<Held> {
        loop {
            let first = self.released.front_mut()?;
            match first.pop_front() {
                Some(held) => return Some(held),
                None => drop(self.released.pop_front()),
            }
        }
    }

    fn release_later(&mut self, tree: &Tree, held: Held) {
        self.pinned_bytes += held.what.bytes(tree);
        if self.released.is_empty() {
            self.released.push_back(BlockQueue::new());
        }
        if let Some(last) = self.released.back_mut() {
            last.push_back(held);
        }
    }

    fn is_empty(&self) -> bool {
        self.limbo.len() == 0 && self.released.is_empty() && self.held.is_empty()
    }

    /// What all this takes of memory. `changes`: how many changes wait to be reclaimed.
    pub(super) fn retained(&self, changes: usize) -> Retained {
        Retained {
            superseded_bytes: self.superseded_bytes - self.pinned_bytes
                + changes * size_of::<Change>(),
            pinned_bytes: self.pinned_bytes,
            unlinked_bytes: self.unlinked_bytes,
        }
    }

    /// How many things are replaced or deleted and not freed yet.
    pub(super) fn len(&self) -> usize {
        let held: usize = self.held.values().map(BlockQueue::len).sum();
        let released: usize = self.released.iter().map(BlockQueue::len).sum();
        held + released + self.limbo.len()
    }

    /// Gives up everything unlinked, to be freed with the tree.
    pub(super) fn take_limbo(&mut self) -> impl Iterator<Item = Garbage> {
        std::iter::from_fn(|| self.limbo.pop_front().map(|(_, garbage)| garbage))
    }
}

/// Takes `link` out of a chain. The chain is short but for what is not reclaimed yet.
///
/// # Safety
/// The caller is the writer, and the chain's links are live.
unsafe fn unlink<L: Link>(newest: &AtomicPtr<L>, link: NonNull<L>) -> bool {
    // SAFETY: the caller's.
    unsafe {
        let mut at = newest;
        while let Some(next) = at.load(Ordering::Relaxed).as_ref() {
            if std::ptr::eq(next, link.as_ptr()) {
                at.store(next.prev().load(Ordering::Relaxed), Ordering::Release);
                return true;
            }
            at = next.prev();
        }
        false
    }
}

impl State {
    /// One bounded step of reclamation: at most `max_items` unlinked and as many freed. Returns how many.
    pub(super) fn reclaim(&mut self, tree: &Tree, max_items: usize) -> usize {
        let due = self.changes.front().is_some_and(|change| change.zxid <= self.published);
        if !due && self.bin.is_empty() && !self.acls.has_floating() {
            return 0;
        }
        let unlinked = self.unlink_due(tree, &tree.slots, max_items) + self.unlink_floating(tree);
        if self.bin.limbo_epoch == tree.slots.next_epoch() {
            tree.slots.begin_epoch();
        }
        unlinked + self.free_passed(tree, max_items)
    }

    fn unlink_due(&mut self, tree: &Tree, slots: &Slots, max_items: usize) -> usize {
        let horizon = slots.horizon(&mut self.bin.pins);
        self.bin.release_unpinned();
        let mut done = 0;
        while done < max_items
            && let Some(change) = self.changes.front().filter(|change| change.zxid <= horizon)
        {
            self.changes.pop_front();
            self.first_change += 1;
            self.retire(tree, change);
            done += 1;
        }
        while done < max_items
            && let Some(held) = self.bin.next_released()
        {
            done += 1;
            self.bin.pinned_bytes -= held.what.bytes(tree);
            // What cannot go yet is put behind; once round is enough for one call.
            if !self.settle(tree, held) {
                break;
            }
        }
        done
    }

    /// ACLs that were interned and came to nothing go as versions do.
    fn unlink_floating(&mut self, tree: &Tree) -> usize {
        let mut done = 0;
        while let Some((id, list)) = self.acls.unlink_floating(&tree.acls) {
            self.bin.discard(tree, Garbage::Acl(id, list));
            done += 1;
        }
        done
    }

    /// What a change replaced or deleted goes, or is kept by a pin.
    fn retire(&mut self, tree: &Tree, change: Change) {
        match change.what {
            What::Data { new, .. } => self.retire_link(tree, change, new, Garbage::Version),
            What::Children { new, .. } => self.retire_link(tree, change, new, Garbage::Children),
            what => {
                if let Some(what) = last_of(tree, what) {
                    self.settle(tree, Held { end: change.zxid, what });
                }
            }
        }
    }

    /// The link that `new` replaced: found behind it, no search needed. `new` cannot have gone, for
    /// its own end comes later in the queue.
    fn retire_link<L: Link + Keep>(
        &mut self,
        tree: &Tree,
        change: Change,
        new: NonNull<L>,
        garbage: fn(NonNull<L>) -> Garbage,
    ) {
        // SAFETY: this is the writer; both links are live.
        let (prev, old) = unsafe {
            let prev = new.as_ref().prev();
            (prev, NonNull::new(prev.load(Ordering::Relaxed)))
        };
        let Some(old) = old else { return };
        // SAFETY: as above.
        let old_link = unsafe { old.as_ref() };
        if let Some(pin) = self.bin.pin_in(old_link.zxid(), change.zxid) {
            let what = L::kept(change.what, old);
            return self.bin.hold(tree, pin, Held { end: change.zxid, what });
        }
        self.bin.superseded_bytes -= L::kept(change.what, old).bytes(tree);
        prev.store(old_link.prev().load(Ordering::Relaxed), Ordering::Release);
        self.bin.discard(tree, garbage(old));
    }

    /// Where the span of something kept begins.
    fn start(&self, tree: &Tree, what: Kept) -> Zxid {
        // SAFETY: this is the writer, and what is kept is linked.
        unsafe {
            match what {
                Kept::Version { link, .. } => link.as_ref().zxid(),
                Kept::Children { link, .. } => link.as_ref().zxid(),
                Kept::Node { node } => tree.nodes.get(node).czxid,
                Kept::Session { slot } => self.sessions.birth(&tree.sessions, slot),
            }
        }
    }

    /// Unlinks something, or has a pin keep it. False if it has to wait for what hangs on it.
    fn settle(&mut self, tree: &Tree, held: Held) -> bool {
        if let Some(pin) = self.bin.pin_in(self.start(tree, held.what), held.end) {
            self.bin.hold(tree, pin, held);
            return true;
        }
        if let Kept::Node { node } = held.what {
            return self.settle_node(tree, node, held);
        }
        self.bin.superseded_bytes -= held.what.bytes(tree);
        match held.what {
            Kept::Version { node, link } => {
                // SAFETY: this is the writer; a node stays until its chains are empty.
                let found = unsafe { unlink(&tree.nodes.get(node).newest, link) };
                debug_assert!(found, "a kept version is linked");
                self.bin.discard(tree, Garbage::Version(link));
            }
            Kept::Children { node, link } => {
                // SAFETY: as above.
                let found = unsafe { unlink(&tree.nodes.get(node).children, link) };
                debug_assert!(found, "a kept version is linked");
                self.bin.discard(tree, Garbage::Children(link));
            }
            Kept::Node { .. } => {}
            Kept::Session { slot } => {
                self.sessions.hide(&tree.sessions, slot);
                self.bin.discard(tree, Garbage::Session(slot));
            }
        }
        true
    }

    /// A dead node goes when its versions and children have gone.
    fn settle_node(&mut self, tree: &Tree, index: u32, held: Held) -> bool {
        // SAFETY: this is the writer; the node is linked.
        let node = unsafe { tree.nodes.get(index) };
        let bare = node.newest.load(Ordering::Relaxed).is_null()
            && node.children.load(Ordering::Relaxed).is_null()
            && node.first_child.load(Ordering::Relaxed) == NIL;
        if !bare {
            self.bin.release_later(tree, held);
            return false;
        }
        let mut path = String::new();
        // SAFETY: as above.
        unsafe { tree.push_path(index, &mut path) };
        self.bin.superseded_bytes -= held.what.bytes(tree);
        self.unlink_node(tree, index, &path);
        true
    }

    /// Frees what every reader has quiesced after.
    fn free_passed(&mut self, tree: &Tree, max_items: usize) -> usize {
        let mut done = 0;
        if self.bin.limbo.len() == 0 {
            return 0;
        }
        let passed = tree.slots.passed();
        while done < max_items
            && self.bin.limbo.front().is_some_and(|(epoch, _)| epoch <= passed)
            && let Some((_, garbage)) = self.bin.limbo.pop_front()
        {
            self.free(tree, garbage);
            done += 1;
        }
        done
    }

    fn free(&mut self, tree: &Tree, garbage: Garbage) {
        // SAFETY: it is freed at the end of this function.
        self.bin.unlinked_bytes -= unsafe { garbage.bytes(tree) };
        match garbage {
            Garbage::Version(version) => {
                // SAFETY: unlinked, and not freed before the end of this function.
                let acl = unsafe { version.as_ref() }.head.acl;
                if let Some(list) = self.acls.release(&tree.acls, acl) {
                    self.bin.discard(tree, Garbage::Acl(acl, list));
                }
            }
            // SAFETY: unlinked, every reader has quiesced, and its chains were emptied before.
            Garbage::Node(index) => unsafe { tree.nodes.free(index) },
            Garbage::Session(slot) => self.sessions.recycle(slot),
            Garbage::Acl(id, _) => self.acls.recycle(id),
            Garbage::Children(_) | Garbage::Segment(_) | Garbage::Directory(_) => {}
        }
        // SAFETY: it is unlinked, and every reader has quiesced since.
        unsafe { garbage.free_memory() };
    }
}

/// How a replaced link is named when a pin keeps it.
trait Keep: Sized {
    fn kept(what: What, link: NonNull<Self>) -> Kept;
}

fn node_of(what: What) -> u32 {
    match what {
        What::Created { node }
        | What::Data { node, .. }
        | What::Children { node, .. }
        | What::LastData { node }
        | What::LastChildren { node }
        | What::Died { node } => node,
        What::SessionOpened { .. } | What::SessionClosed { .. } => NIL,
    }
}

impl Keep for Version {
    fn kept(what: What, link: NonNull<Self>) -> Kept {
        Kept::Version { node: node_of(what), link }
    }
}

impl Keep for ChildrenVersion {
    fn kept(what: What, link: NonNull<Self>) -> Kept {
        Kept::Children { node: node_of(what), link }
    }
}
