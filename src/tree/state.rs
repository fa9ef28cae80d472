//! The writer's state and the changes it can make. Every step pushes onto the queue of changes what
//! undoing it takes.

use super::acl::{AclId, AclWriter};
use super::digest::{self, DigestStat};
use super::owners::Owners;
use super::queue::BlockQueue;
use super::reclaim::{self, Bin, Garbage};
use super::sessions::SessionWriter;
use super::slab::{NEWEST, NIL, ROOT};
use super::undo::{Change, What};
use super::version::{ChildrenVersion, DATA_BYTES_MAX, Version, VersionHead};
use super::view::{ChildrenHalf, Node};
use super::{Tree, TreeError};
use crate::protocol::{EphemeralType, Stat, Zxid, path};
use std::collections::BTreeSet;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

/// A znode to create.
#[derive(Debug, Clone, Copy)]
pub struct Create<'a> {
    /// The transaction.
    pub zxid: Zxid,
    /// Its time, in milliseconds since 1970.
    pub time_ms: i64,
    /// The znode.
    pub path: &'a str,
    /// Its data; `None` is null.
    pub data: Option<&'a [u8]>,
    /// Its ACL.
    pub acl: AclId,
    /// A session, the code of a container or of a time to live, or 0.
    pub owner: i64,
    /// The parent's persisted cversion afterwards; −1 for one more than it was. The parent's cversion
    /// and pzxid change only if this is more than it was.
    pub parent_cversion: i32,
}

/// A znode was created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Created {
    /// Its Stat.
    pub stat: Stat,
    /// The ACL of its parent.
    pub parent_acl: AclId,
}

/// A znode was deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deleted {
    /// The ACL it had.
    pub acl: AclId,
    /// The ACL of its parent.
    pub parent_acl: AclId,
}

/// Where a path without a living node belongs in the index.
#[derive(Clone, Copy)]
pub(super) struct Place {
    tag: u32,
    /// The latest of its past lives, if somebody may need it.
    elder: Option<u32>,
}

/// All that belongs to the writer alone.
pub(super) struct State {
    pub published: Zxid,
    /// What was changed and can yet be undone or has yet to be reclaimed, oldest first.
    pub changes: BlockQueue<Change>,
    /// The number of the first of `changes`, counted from the beginning of the process.
    pub first_change: u64,
    pub digest: i64,
    pub digest_enabled: bool,
    /// The znodes that live, the root among them.
    pub nodes: u64,
    /// The bytes of their paths and data.
    pub data_bytes: i64,
    pub owners: Owners,
    pub sessions: SessionWriter,
    pub acls: AclWriter,
    /// The paths that have a quota.
    pub quotas: BTreeSet<String>,
    pub bin: Bin,
    pub scratch: Vec<u8>,
}

/// The parent's path and the name of a znode that is not the root.
pub(super) fn split(path: &str) -> Result<(&str, &str), TreeError> {
    match path.rsplit_once('/') {
        Some((_, "")) | None => Err(TreeError::BadPath),
        Some(("", name)) => Ok(("/", name)),
        Some((parent, name)) => Ok((parent, name)),
    }
}

impl State {
    /// The newest state of a znode.
    pub(super) fn find<'t>(&self, tree: &'t Tree, path: &str) -> Option<Node<'t>> {
        // SAFETY: this is the writer; what it finds it uses before its next change.
        unsafe { tree.find(path, NEWEST) }
    }

    /// A change at `zxid` may be made now.
    pub(super) fn check_zxid(&self, zxid: Zxid) -> Result<(), TreeError> {
        let changed = self.changes.back().map_or(Zxid::MIN, |change| change.zxid);
        if zxid > self.published && zxid >= changed {
            return Ok(());
        }
        Err(TreeError::ZxidBack { zxid, newest: self.published.max(changed) })
    }

    pub(super) fn check_data(data: Option<&[u8]>) -> Result<(), TreeError> {
        match data {
            Some(data) if data.len() > DATA_BYTES_MAX => {
                Err(TreeError::DataTooLong { bytes: data.len() })
            }
            _ => Ok(()),
        }
    }

    pub(super) fn push(&mut self, tree: &Tree, zxid: Zxid, digest_before: i64, what: What) {
        self.bin.superseded_bytes += reclaim::superseded_bytes(tree, what);
        self.changes.push_back(Change { zxid, digest_before, what });
    }

    /// Makes a version, with a reference to its ACL.
    pub(super) fn allocate_version(
        &mut self,
        path: &str,
        head: VersionHead,
        prev: *mut Version,
        data: Option<&[u8]>,
    ) -> NonNull<Version> {
        self.acls.acquire(head.acl);
        let crc = || digest::prefix_crc(path.as_bytes(), data.unwrap_or_default());
        Version::allocate(head, prev, data, crc)
    }

    /// Where `path` belongs in the index, if it does not name a living node.
    pub(super) fn place(&self, tree: &Tree, path: &str) -> Result<Place, TreeError> {
        let tag = tree.index.tag(path.as_bytes());
        // SAFETY: this is the writer.
        let youngest = unsafe { tree.youngest(tag, path.as_bytes()) };
        // SAFETY: as above.
        match youngest.filter(|&index| unsafe { tree.nodes.get(index) }.lives_at(NEWEST)) {
            Some(_) => Err(TreeError::NodeExists),
            None => Ok(Place { tag, elder: youngest }),
        }
    }

    /// Makes a node and links it into index and siblings. Readers that come upon it find it unborn.
    pub(super) fn link_node(
        &mut self,
        tree: &Tree,
        path: &str,
        place: Place,
        parent: u32,
        czxid: Zxid,
        version: NonNull<Version>,
    ) -> Result<u32, TreeError> {
        let (_, name) = split(path)?;
        let index =
            tree.nodes.allocate(name, parent, czxid, version).ok_or(TreeError::TooManyNodes)?;
        self.index_node(tree, place, index)?;
        // SAFETY: this is the writer; parent, node and sibling are linked or about to be.
        let (node, parent) = unsafe { (tree.nodes.get(index), tree.nodes.get(parent)) };
        let sibling = parent.first_child.load(Ordering::Relaxed);
        node.next_sibling.store(sibling, Ordering::Relaxed);
        if sibling != NIL {
            // SAFETY: as above.
            unsafe { tree.nodes.get(sibling) }.prev_sibling.store(index, Ordering::Relaxed);
        }
        parent.first_child.store(index, Ordering::Release);
        Ok(index)
    }

    /// Puts a new node into the index: in its elder's place if the path has lived before and somebody
    /// may need that. If there is no room the node is freed.
    fn index_node(&mut self, tree: &Tree, place: Place, index: u32) -> Result<(), TreeError> {
        let Place { tag, elder } = place;
        if let Some(elder) = elder {
            // SAFETY: this is the writer; both nodes are its to change.
            let (node, dead) = unsafe { (tree.nodes.get(index), tree.nodes.get(elder)) };
            node.fate_or_new().elder.store(elder, Ordering::Release);
            dead.fate_or_new().junior.store(index, Ordering::Relaxed);
            let replaced = tree.index.replace(tag, elder, index);
            debug_assert!(replaced, "what was found is in the index");
            return Ok(());
        }
        let bin = &mut self.bin;
        tree.index.insert(tag, index, &mut |garbage| bin.discard(tree, garbage)).map_err(|_| {
            // SAFETY: it was never linked; its version is the caller's.
            unsafe { tree.nodes.free(index) };
            TreeError::IndexFull
        })
    }

    pub(super) fn create(&mut self, tree: &Tree, c: &Create<'_>) -> Result<Created, TreeError> {
        self.check_zxid(c.zxid)?;
        Self::check_data(c.data)?;
        path::validate(c.path).map_err(|_| TreeError::BadPath)?;
        let (parent_path, _) = split(c.path)?;
        let parent = self.find(tree, parent_path).ok_or(TreeError::NoNode)?;
        let place = self.place(tree, c.path)?;
        let (index, version) = self.create_node(tree, c, place, parent.index())?;
        let before = self.digest;
        let stat = DigestStat { czxid: c.zxid, pzxid: c.zxid, cversion: 0 };
        self.add_digest(c.path, version, stat);
        self.push(tree, c.zxid, before, What::Created { node: index });
        self.change_children(tree, c.zxid, parent_path, parent, |children| {
            let cversion = match c.parent_cversion {
                -1 => children.cversion.wrapping_add(1),
                given => given,
            };
            if cversion > children.cversion {
                children.cversion = cversion;
                children.pzxid = c.zxid;
            }
            children.count += 1;
        });
        let parent_acl = parent.acl();
        self.quota_created(tree, c.zxid, c.path, c.data.map_or(0, <[u8]>::len));
        // SAFETY: this is the writer, and it has just made the node.
        let node = unsafe { tree.node_at(index, NEWEST) }.ok_or(TreeError::NoNode)?;
        Ok(Created { stat: node.stat(), parent_acl })
    }

    /// The node itself, its version, and what is counted about it; not its parent.
    fn create_node(
        &mut self,
        tree: &Tree,
        c: &Create<'_>,
        place: Place,
        parent: u32,
    ) -> Result<(u32, NonNull<Version>), TreeError> {
        let head = VersionHead {
            zxid: c.zxid,
            mzxid: c.zxid,
            ctime_ms: c.time_ms,
            mtime_ms: c.time_ms,
            owner: c.owner,
            acl: c.acl.0,
            ..VersionHead::default()
        };
        let version = self.allocate_version(c.path, head, std::ptr::null_mut(), c.data);
        let index = match self.link_node(tree, c.path, place, parent, c.zxid, version) {
            Ok(index) => index,
            Err(error) => {
                self.bin.discard(tree, Garbage::Version(version));
                return Err(error);
            }
        };
        // SAFETY: this is the writer.
        let node = unsafe { tree.nodes.get(index) };
        self.owners.add(EphemeralType::of(c.owner, tree.extended_types), c.owner, index, node);
        self.nodes += 1;
        self.data_bytes += (c.path.len() + c.data.map_or(0, <[u8]>::len)) as i64;
        Ok((index, version))
    }

    /// A new version of a znode's children half.
    pub(super) fn change_children(
        &mut self,
        tree: &Tree,
        zxid: Zxid,
        path: &str,
        node: Node<'_>,
        change: impl FnOnce(&mut ChildrenHalf),
    ) {
        let raw = node.raw();
        // SAFETY: this is the writer.
        let old = unsafe { raw.children_half(NEWEST) };
        let mut new = old;
        change(&mut new);
        let before = self.digest;
        if (new.pzxid, new.cversion) != (old.pzxid, old.cversion) {
            let version = node.version_link();
            let stat = |half: ChildrenHalf| DigestStat {
                czxid: raw.czxid,
                pzxid: half.pzxid,
                cversion: half.cversion,
            };
            self.subtract_digest(path, version, stat(old));
            self.add_digest(path, version, stat(new));
        }
        let new = ChildrenVersion::allocate(ChildrenVersion {
            prev: AtomicPtr::new(raw.children.load(Ordering::Relaxed)),
            zxid,
            pzxid: new.pzxid,
            cversion: new.cversion,
            count: AtomicU32::new(new.count),
        });
        raw.children.store(new.as_ptr(), Ordering::Release);
        debug_assert!(tree.nodes.used() > node.index());
        self.push(tree, zxid, before, What::Children { node: node.index(), new });
    }

    pub(super) fn delete(
        &mut self,
        tree: &Tree,
        zxid: Zxid,
        path: &str,
    ) -> Result<Deleted, TreeError> {
        self.check_zxid(zxid)?;
        let (parent_path, _) = split(path)?;
        let node = self.find(tree, path).ok_or(TreeError::NoNode)?;
        if node.num_children() > 0 {
            return Err(TreeError::NotEmpty);
        }
        let parent = self.find(tree, parent_path).ok_or(TreeError::NoNode)?;
        let deleted = Deleted { acl: node.acl(), parent_acl: parent.acl() };
        let bytes = node.data_len();
        self.change_children(tree, zxid, parent_path, parent, |children| {
            children.count = children.count.saturating_sub(1);
            children.pzxid = children.pzxid.max(zxid);
        });
        self.delete_node(tree, zxid, path, node);
        self.quota_deleted(tree, zxid, path, bytes);
        Ok(deleted)
    }

    fn delete_node(&mut self, tree: &Tree, zxid: Zxid, path: &str, node: Node<'_>) {
        let (raw, index) = (node.raw(), node.index());
        let before = self.digest;
        self.subtract_digest(path, node.version_link(), node.digest_stat());
        self.owners.remove(node.kind(), node.raw_owner(), index, raw);
        self.nodes -= 1;
        self.data_bytes -= (path.len() + node.data_len()) as i64;
        raw.fate_or_new().death.store(zxid, Ordering::Release);
        // One entry for each thing to be unlinked, the node itself last.
        self.push(tree, zxid, before, What::LastData { node: index });
        if !raw.children.load(Ordering::Relaxed).is_null() {
            self.push(tree, zxid, before, What::LastChildren { node: index });
        }
        self.push(tree, zxid, before, What::Died { node: index });
    }

    /// The parent of a child that is already gone still hears of its deletion (`DataTree.deleteNode`).
    pub(super) fn raise_pzxid(&mut self, tree: &Tree, zxid: Zxid, path: &str) {
        if let Some(node) = self.find(tree, path)
            && node.pzxid() < zxid
            && self.check_zxid(zxid).is_ok()
        {
            self.change_children(tree, zxid, path, node, |children| children.pzxid = zxid);
        }
    }

    /// Raises cversion and pzxid together (`DataTree.setCversionPzxid`); −1 is one more than it was.
    pub(super) fn raise_cversion(&mut self, tree: &Tree, zxid: Zxid, path: &str, cversion: i32) {
        let Some(node) = self.find(tree, path) else { return };
        let old = node.cversion_persisted();
        let new = if cversion == -1 { old.wrapping_add(1) } else { cversion };
        if new > old && self.check_zxid(zxid).is_ok() {
            self.change_children(tree, zxid, path, node, |children| {
                children.cversion = new;
                children.pzxid = zxid;
            });
        }
    }

    /// A new version of a znode's data half.
    pub(super) fn change_data(
        &mut self,
        tree: &Tree,
        path: &str,
        node: Node<'_>,
        head: VersionHead,
        data: Option<&[u8]>,
    ) {
        let (raw, old) = (node.raw(), node.version_link());
        let before = self.digest;
        let stat = node.digest_stat();
        self.subtract_digest(path, old, stat);
        let new = self.allocate_version(path, head, old.as_ptr(), data);
        self.add_digest(path, new, stat);
        self.data_bytes += data.map_or(0, <[u8]>::len) as i64 - node.data_len() as i64;
        raw.newest.store(new.as_ptr(), Ordering::Release);
        self.push(tree, head.zxid, before, What::Data { node: node.index(), new });
    }

    pub(super) fn set_data(
        &mut self,
        tree: &Tree,
        zxid: Zxid,
        time_ms: i64,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
    ) -> Result<(Stat, AclId), TreeError> {
        self.check_zxid(zxid)?;
        Self::check_data(data)?;
        let node = self.find(tree, path).ok_or(TreeError::NoNode)?;
        let head = VersionHead { zxid, mzxid: zxid, mtime_ms: time_ms, version, ..*node.head() };
        let bytes_before = node.data_len();
        self.change_data(tree, path, node, head, data);
        let bytes = data.map_or(0, <[u8]>::len);
        self.quota_changed(tree, zxid, path, bytes as i64 - bytes_before as i64);
        Ok((self.renewed(tree, node).stat(), AclId(head.acl)))
    }

    /// The view of a node again, after it was changed.
    fn renewed<'t>(&self, tree: &'t Tree, node: Node<'t>) -> Node<'t> {
        // SAFETY: this is the writer, and the node lives.
        unsafe { tree.node_at(node.index(), NEWEST) }.unwrap_or(node)
    }

    pub(super) fn set_acl(
        &mut self,
        tree: &Tree,
        zxid: Zxid,
        path: &str,
        acl: AclId,
        aversion: i32,
    ) -> Result<Stat, TreeError> {
        self.check_zxid(zxid)?;
        let node = self.find(tree, path).ok_or(TreeError::NoNode)?;
        let head = VersionHead { zxid, acl: acl.0, aversion, ..*node.head() };
        self.change_data(tree, path, node, head, node.data());
        Ok(self.renewed(tree, node).stat())
    }

    /// Changes the ACL and nothing else: what creating a znode that exists comes to at replay
    /// (`DataTree.createNode`).
    pub(super) fn replace_acl(&mut self, tree: &Tree, zxid: Zxid, path: &str, acl: AclId) {
        if let Some(node) = self.find(tree, path)
            && node.acl() != acl
            && self.check_zxid(zxid).is_ok()
        {
            let head = VersionHead { zxid, acl: acl.0, ..*node.head() };
            self.change_data(tree, path, node, head, node.data());
        }
    }

    pub(super) fn create_session(
        &mut self,
        tree: &Tree,
        zxid: Zxid,
        id: i64,
        timeout_ms: i32,
    ) -> Result<(), TreeError> {
        self.check_zxid(zxid)?;
        if !self.sessions.has_room(&tree.sessions) {
            return Err(TreeError::TooManySessions);
        }
        // One that lives gets the new time-out, as a new life.
        self.close_session(tree, zxid, id)?;
        let slot = self.sessions.create(&tree.sessions, zxid, id, timeout_ms)?;
        self.push(tree, zxid, self.digest, What::SessionOpened { slot });
        Ok(())
    }

    pub(super) fn close_session(
        &mut self,
        tree: &Tree,
        zxid: Zxid,
        id: i64,
    ) -> Result<(), TreeError> {
        self.check_zxid(zxid)?;
        if let Some(slot) = self.sessions.slot_of(id) {
            self.sessions.close(&tree.sessions, zxid, slot);
            self.push(tree, zxid, self.digest, What::SessionClosed { slot });
        }
        Ok(())
    }

    /// Paths of nodes, in order.
    pub(super) fn sorted_paths(
        &self,
        tree: &Tree,
        nodes: impl Iterator<Item = u32>,
    ) -> Vec<String> {
        let path = |index| {
            let mut path = String::new();
            // SAFETY: this is the writer, and the nodes live.
            unsafe { tree.push_path(index, &mut path) };
            path
        };
        let mut paths: Vec<String> = nodes.map(path).collect();
        paths.sort_unstable();
        paths
    }

    /// The root and the znodes every new server has, at zxid 0.
    pub(super) fn link_root(&mut self, tree: &Tree) {
        let head = VersionHead { acl: AclId::OPEN.0, ..VersionHead::default() };
        let version = self.allocate_version("/", head, std::ptr::null_mut(), Some(b""));
        let root = tree.nodes.allocate("", NIL, 0, version);
        assert_eq!(root, Some(ROOT), "the root is the first node of a tree");
        self.add_digest("/", version, DigestStat { czxid: 0, pzxid: 0, cversion: 0 });
        self.nodes = 1;
        // Counted under both its names, as ZooKeeper has it.
        self.data_bytes = 1;
    }
}
