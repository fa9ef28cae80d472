//! Loading a snapshot into a fresh tree: znodes as they were, without undo and without versions.

use super::acl::AclId;
use super::digest::DigestStat;
use super::reclaim::Garbage;
use super::slab::{NEWEST, ROOT};
use super::state::{State, split};
use super::undo::What;
use super::version::{ChildrenVersion, VersionHead};
use super::view::StatPersisted;
use super::{QUOTA_PATH, Tree, TreeError, quota};
use crate::protocol::{EphemeralType, Zxid, path};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// A znode of a snapshot.
#[derive(Debug, Clone, Copy)]
pub struct LoadNode<'a> {
    /// Its path; its parent has been loaded before it.
    pub path: &'a str,
    /// Its data; `None` is null.
    pub data: Option<&'a [u8]>,
    /// Its ACL.
    pub acl: AclId,
    /// Its stat.
    pub stat: StatPersisted,
}

impl State {
    /// Only what [`super::new`] made is there, and no more has been published.
    pub(super) fn check_fresh(&self) -> Result<(), TreeError> {
        match self.published == 0 && self.changes.len() == 0 {
            true => Ok(()),
            false => Err(TreeError::NotFresh),
        }
    }

    /// Takes out all znodes but the root.
    pub(super) fn clear(&mut self, tree: &Tree) -> Result<(), TreeError> {
        self.check_fresh()?;
        // SAFETY: this is the writer; the root is linked.
        while let Some(mut index) = unsafe { tree.first_child_at(ROOT, NEWEST) } {
            // SAFETY: this is the writer.
            while let Some(child) = unsafe { tree.first_child_at(index, NEWEST) } {
                index = child;
            }
            self.unload(tree, index);
        }
        Ok(())
    }

    fn unload(&mut self, tree: &Tree, index: u32) {
        let mut path = String::new();
        // SAFETY: this is the writer; the node is linked.
        let node = unsafe {
            tree.push_path(index, &mut path);
            tree.nodes.get(index)
        };
        // SAFETY: as above.
        if let Some(view) = unsafe { tree.node_at(index, NEWEST) } {
            self.subtract_digest(&path, view.version_link(), view.digest_stat());
            self.owners.remove(view.kind(), view.raw_owner(), index, node);
            self.data_bytes -= (path.len() + view.data_len()) as i64;
            node.newest.store(std::ptr::null_mut(), Ordering::Release);
            self.bin.discard(tree, Garbage::Version(view.version_link()));
        }
        if let Some(children) =
            NonNull::new(node.children.swap(std::ptr::null_mut(), Ordering::AcqRel))
        {
            self.bin.discard(tree, Garbage::Children(children));
        }
        self.nodes -= 1;
        self.add_child_count(tree, node.parent, -1);
        self.unlink_node(tree, index, &path);
    }

    pub(super) fn load_node(&mut self, tree: &Tree, load: &LoadNode<'_>) -> Result<(), TreeError> {
        self.check_fresh()?;
        Self::check_data(load.data)?;
        if matches!(load.path, "/" | "") {
            return self.load_root(tree, load);
        }
        path::validate(load.path).map_err(|_| TreeError::BadPath)?;
        let (parent_path, _) = split(load.path)?;
        let parent = self.find(tree, parent_path).ok_or(TreeError::NoNode)?.index();
        let place = self.place(tree, load.path)?;
        let head = head_of(load);
        let version = self.allocate_version(load.path, head, std::ptr::null_mut(), load.data);
        let index = match self.link_node(tree, load.path, place, parent, load.stat.czxid, version) {
            Ok(index) => index,
            Err(error) => {
                self.bin.discard(tree, Garbage::Version(version));
                return Err(error);
            }
        };
        self.load_children_half(tree, index, &load.stat);
        self.add_digest(load.path, version, digest_stat(&load.stat));
        // SAFETY: this is the writer, and has just linked it.
        let node = unsafe { tree.nodes.get(index) };
        let owner = head.owner;
        self.owners.add(EphemeralType::of(owner, tree.extended_types), owner, index, node);
        self.nodes += 1;
        self.data_bytes += (load.path.len() + load.data.map_or(0, <[u8]>::len)) as i64;
        self.add_child_count(tree, parent, 1);
        Ok(())
    }

    fn load_root(&mut self, tree: &Tree, load: &LoadNode<'_>) -> Result<(), TreeError> {
        if load.stat.czxid != 0 {
            return Err(TreeError::RootBorn { czxid: load.stat.czxid });
        }
        let Some(root) = self.find(tree, "/") else { return Err(TreeError::NoNode) };
        let old = root.version_link();
        self.subtract_digest("/", old, root.digest_stat());
        self.data_bytes += load.data.map_or(0, <[u8]>::len) as i64 - root.data_len() as i64;
        let new = self.allocate_version("/", head_of(load), std::ptr::null_mut(), load.data);
        root.raw().newest.store(new.as_ptr(), Ordering::Release);
        self.bin.discard(tree, Garbage::Version(old));
        self.load_children_half(tree, ROOT, &load.stat);
        self.add_digest("/", new, digest_stat(&load.stat));
        Ok(())
    }

    /// The children half of a loaded znode, if it is not that of one that never had a child.
    fn load_children_half(&mut self, tree: &Tree, index: u32, stat: &StatPersisted) {
        // SAFETY: this is the writer; the node is linked.
        let (node, old) = unsafe {
            let node = tree.nodes.get(index);
            (node, node.children_half(NEWEST))
        };
        if (stat.pzxid, stat.cversion) == (old.pzxid, old.cversion) {
            return;
        }
        let new = ChildrenVersion::allocate(ChildrenVersion {
            prev: AtomicPtr::new(std::ptr::null_mut()),
            zxid: 0,
            pzxid: stat.pzxid,
            cversion: stat.cversion,
            count: AtomicU32::new(old.count),
        });
        let old = node.children.swap(new.as_ptr(), Ordering::AcqRel);
        if let Some(old) = NonNull::new(old) {
            self.bin.discard(tree, Garbage::Children(old));
        }
    }

    /// Counts a loaded child in its parent, in place: nobody reads the count of an unpublished load.
    fn add_child_count(&mut self, tree: &Tree, parent: u32, by: i32) {
        // SAFETY: this is the writer; the node is linked, and so are its versions.
        let (node, half) = unsafe {
            let node = tree.nodes.get(parent);
            (node, node.children.load(Ordering::Relaxed).as_ref())
        };
        match half {
            Some(half) => {
                let count = half.count.load(Ordering::Relaxed);
                half.count.store(count.saturating_add_signed(by), Ordering::Relaxed);
            }
            None => {
                let new = ChildrenVersion::allocate(ChildrenVersion {
                    prev: AtomicPtr::new(std::ptr::null_mut()),
                    zxid: 0,
                    pzxid: node.czxid,
                    cversion: 0,
                    count: AtomicU32::new(by.max(0) as u32),
                });
                node.children.store(new.as_ptr(), Ordering::Release);
            }
        }
    }

    pub(super) fn load_session(
        &mut self,
        tree: &Tree,
        id: i64,
        timeout_ms: i32,
    ) -> Result<(), TreeError> {
        self.check_fresh()?;
        if let Some(slot) = self.sessions.slot_of(id) {
            self.sessions.unborn(&tree.sessions, slot);
            self.bin.discard(tree, Garbage::Session(slot));
        }
        self.sessions.create(&tree.sessions, 0, id, timeout_ms).map(drop)
    }

    /// Finds the quotas among what was loaded, and counts their statistics anew if asked to.
    pub(super) fn finish_load(
        &mut self,
        tree: &Tree,
        zxid: Zxid,
        recount_quotas: bool,
    ) -> Result<(), TreeError> {
        self.check_fresh()?;
        let mut limited = Vec::new();
        if let Some(quota) = self.find(tree, QUOTA_PATH) {
            // Only a leaf counts (`DataTree.traverseNode`).
            let paths = quota.subtree().filter(|n| n.num_children() == 0).map(|n| n.path());
            limited.extend(paths.filter_map(|p| quota::limited_by(&p).map(str::to_owned)));
        }
        for path in limited {
            if recount_quotas && zxid > 0 {
                self.count_quota(tree, zxid, &path);
            }
            self.quotas.insert(path);
        }
        debug_assert!(
            self.changes.iter().all(|c| matches!(c.what, What::Data { .. })),
            "loading leaves nothing to undo but recounted statistics"
        );
        Ok(())
    }
}

/// As of zxid 0: whatever transactions follow replace it, be their zxids below the node's own, for what a
/// snapshot of ZooKeeper's holds may be newer than its name.
fn head_of(load: &LoadNode<'_>) -> VersionHead {
    VersionHead {
        mzxid: load.stat.mzxid,
        ctime_ms: load.stat.ctime_ms,
        mtime_ms: load.stat.mtime_ms,
        owner: load.stat.ephemeral_owner,
        version: load.stat.version,
        aversion: load.stat.aversion,
        acl: load.acl.0,
        ..VersionHead::default()
    }
}

fn digest_stat(stat: &StatPersisted) -> DigestStat {
    DigestStat { czxid: stat.czxid, pzxid: stat.pzxid, cversion: stat.cversion }
}
