//! The queue of changes: popped from its newest end to undo what is not published, from its oldest to
//! reclaim what nobody needs.

use super::reclaim::{self, Garbage};
use super::slab::{ALIVE, NIL};
use super::state::State;
use super::version::{ChildrenVersion, Version};
use super::{Tree, quota};
use crate::protocol::{EphemeralType, Zxid};
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

/// A place in the sequence of changes, to which [`TreeWriter::undo_to`](super::TreeWriter::undo_to)
/// goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(pub(super) u64);

/// One change of one thing.
#[derive(Clone, Copy)]
pub(super) struct Change {
    /// The transaction; also the end of the span of what was replaced.
    pub zxid: Zxid,
    /// The digest of the tree before it.
    pub digest_before: i64,
    pub what: What,
}

/// What a change did. Replaced links are found through the new ones.
#[derive(Clone, Copy)]
pub(super) enum What {
    Created {
        node: u32,
    },
    /// `new` replaced the version before it.
    Data {
        node: u32,
        new: NonNull<Version>,
    },
    /// `new` replaced the version before it, if there was one.
    Children {
        node: u32,
        new: NonNull<ChildrenVersion>,
    },
    /// The node died, and its last version of data with it.
    LastData {
        node: u32,
    },
    /// The node died, and its last version of children with it.
    LastChildren {
        node: u32,
    },
    Died {
        node: u32,
    },
    SessionOpened {
        slot: u32,
    },
    SessionClosed {
        slot: u32,
    },
}

const _: () = assert!(size_of::<Change>() <= 32);

// SAFETY: the links are the writer's to free, and the writer may move to another thread whole.
unsafe impl Send for Change {}

impl State {
    pub(super) fn mark(&self) -> Mark {
        Mark(self.first_change + self.changes.len() as u64)
    }

    /// Undoes every change behind `mark`, as far as it is not published.
    pub(super) fn undo_to(&mut self, tree: &Tree, mark: Mark) {
        while self.mark() > mark && self.undo_one(tree, self.published) {}
    }

    /// Undoes every change beyond `zxid`, as far as it is not published.
    pub(super) fn undo_to_zxid(&mut self, tree: &Tree, zxid: Zxid) {
        while self.undo_one(tree, zxid.max(self.published)) {}
    }

    /// Undoes the newest change if it is beyond `keep`.
    fn undo_one(&mut self, tree: &Tree, keep: Zxid) -> bool {
        let Some(change) = self.changes.back().filter(|change| change.zxid > keep) else {
            return false;
        };
        self.changes.pop_back();
        self.bin.superseded_bytes -= reclaim::superseded_bytes(tree, change.what);
        match change.what {
            What::Created { node } => self.undo_created(tree, node),
            What::Data { node, new } => self.undo_data(tree, node, new),
            What::Children { node, new } => {
                // SAFETY: this is the writer; both are linked.
                let (raw, prev) = unsafe { (tree.nodes.get(node), &new.as_ref().prev) };
                raw.children.store(prev.load(Ordering::Relaxed), Ordering::Release);
                self.bin.discard(tree, Garbage::Children(new));
            }
            What::LastData { .. } | What::LastChildren { .. } => {}
            What::Died { node } => self.undo_died(tree, node),
            What::SessionOpened { slot } => {
                self.sessions.unborn(&tree.sessions, slot);
                self.bin.discard(tree, Garbage::Session(slot));
            }
            What::SessionClosed { slot } => self.sessions.reopen(&tree.sessions, slot),
        }
        self.digest = change.digest_before;
        true
    }

    fn undo_data(&mut self, tree: &Tree, node: u32, new: NonNull<Version>) {
        // SAFETY: this is the writer; `new` is the newest link and replaced the one before it.
        unsafe {
            let old = new.as_ref().prev.load(Ordering::Relaxed);
            tree.nodes.get(node).newest.store(old, Ordering::Release);
            let old_len = old.as_ref().map_or(0, Version::data_len);
            self.data_bytes += old_len as i64 - new.as_ref().data_len() as i64;
        }
        self.bin.discard(tree, Garbage::Version(new));
    }

    fn undo_created(&mut self, tree: &Tree, index: u32) {
        let mut path = String::new();
        // SAFETY: this is the writer; the node is linked and has its first version.
        let (node, version) = unsafe {
            tree.push_path(index, &mut path);
            let node = tree.nodes.get(index);
            (node, NonNull::new(node.newest.load(Ordering::Relaxed)))
        };
        if let Some(version) = version {
            // SAFETY: as above.
            let (head, len) = unsafe { (version.as_ref().head, version.as_ref().data_len()) };
            let kind = EphemeralType::of(head.owner, tree.extended_types);
            self.owners.remove(kind, head.owner, index, node);
            self.data_bytes -= (path.len() + len) as i64;
            // Readers that come upon the node find it unborn, and look no further.
            node.newest.store(std::ptr::null_mut(), Ordering::Release);
            self.bin.discard(tree, Garbage::Version(version));
        }
        self.nodes -= 1;
        if let Some(limited) = quota::limited_by(&path) {
            self.quotas.remove(limited);
        }
        self.unlink_node(tree, index, &path);
    }

    fn undo_died(&mut self, tree: &Tree, index: u32) {
        let mut path = String::new();
        // SAFETY: this is the writer; the node is linked still, for its death was not published.
        unsafe {
            tree.push_path(index, &mut path);
            let node = tree.nodes.get(index);
            node.fate_or_new().death.store(ALIVE, Ordering::Release);
            if let Some(version) = node.newest.load(Ordering::Relaxed).as_ref() {
                let owner = version.head.owner;
                let kind = EphemeralType::of(owner, tree.extended_types);
                self.owners.add(kind, owner, index, node);
                self.data_bytes += (path.len() + version.data_len()) as i64;
            }
        }
        self.nodes += 1;
        if let Some(limited) = quota::limited_by(&path) {
            self.quotas.insert(limited.to_owned());
        }
    }

    /// Takes a node out of its siblings and the index. Readers on their way through it go on from it.
    pub(super) fn unlink_node(&mut self, tree: &Tree, index: u32, path: &str) {
        // SAFETY: this is the writer; neighbours and parent are linked.
        unsafe {
            let node = tree.nodes.get(index);
            let (prev, next) = (
                node.prev_sibling.load(Ordering::Relaxed),
                node.next_sibling.load(Ordering::Relaxed),
            );
            match prev {
                NIL => {
                    tree.nodes.get(node.parent).first_child.store(next, Ordering::Release);
                }
                prev => tree.nodes.get(prev).next_sibling.store(next, Ordering::Release),
            }
            if next != NIL {
                tree.nodes.get(next).prev_sibling.store(prev, Ordering::Relaxed);
            }
        }
        Self::unlink_life(tree, index, path);
        self.bin.discard(tree, Garbage::Node(index));
    }
    /// Takes a node out of the lives of its path. It keeps its own elder: readers may be on their way.
    fn unlink_life(tree: &Tree, index: u32, path: &str) {
        let tag = tree.index.tag(path.as_bytes());
        // SAFETY: this is the writer; the lives of a path that name each other are linked.
        let life = |index| unsafe { tree.nodes.get(index) };
        let (elder, junior) = (life(index).elder(), life(index).junior());
        if let Some(elder) = elder {
            life(elder).fate_or_new().junior.store(junior.unwrap_or(NIL), Ordering::Relaxed);
        }
        let indexed = match (elder, junior) {
            (_, Some(junior)) => {
                let fate = life(junior).fate_or_new();
                fate.elder.store(elder.unwrap_or(NIL), Ordering::Release);
                true
            }
            (Some(elder), None) => tree.index.replace(tag, index, elder),
            (None, None) => tree.index.remove(tag, index),
        };
        debug_assert!(indexed, "the youngest life of a path is in the index");
    }
}
