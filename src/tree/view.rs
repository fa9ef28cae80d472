//! A znode as it was at one zxid.

use super::Tree;
use super::acl::AclId;
use super::digest::DigestStat;
use super::slab::{NIL, ROOT, RawNode};
use super::version::{ChildrenVersion, Version, newest_at};
use crate::protocol::{EphemeralType, Stat, Zxid};
use std::ptr::NonNull;
use std::sync::atomic::Ordering;

/// How many paths are fetched ahead at one time: about what a processor can wait for at once.
pub const WARM_PATHS_MAX: usize = 16;

#[inline(always)]
fn prefetch<T>(at: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: prefetching reads nothing, whatever the address.
    unsafe {
        std::arch::x86_64::_mm_prefetch(at.cast(), std::arch::x86_64::_MM_HINT_T0);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// The stat of a znode as it is stored (`StatPersisted`): `cversion` counts creations of children
/// alone, the owner may be the code of a container or a time to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StatPersisted {
    /// The zxid that created the znode.
    pub czxid: Zxid,
    /// The zxid that last changed its data.
    pub mzxid: Zxid,
    /// When it was created, in milliseconds since 1970.
    pub ctime_ms: i64,
    /// When its data was last changed, in milliseconds since 1970.
    pub mtime_ms: i64,
    /// How often its data was changed.
    pub version: i32,
    /// How many children were created in it.
    pub cversion: i32,
    /// How often its ACL was changed.
    pub aversion: i32,
    /// A session, or the code of a container or of a time to live, or 0.
    pub ephemeral_owner: i64,
    /// The zxid that last changed its list of children.
    pub pzxid: Zxid,
}

/// A znode as it was at one zxid. Borrows from the reader or writer that found it; it does not
/// outlast the reader's next quiescent point, nor the writer's next change.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    tree: &'a Tree,
    raw: &'a RawNode,
    version: NonNull<Version>,
    index: u32,
    at: Zxid,
}

/// What a znode's children half says.
#[derive(Clone, Copy)]
pub(super) struct ChildrenHalf {
    pub pzxid: Zxid,
    pub cversion: i32,
    pub count: u32,
}

/// Nodes below which a tree is likely to be in the processor's cache, with a version each some 5 MiB.
const WARM_NODES_MIN: u32 = 1 << 14;

impl Tree {
    /// Whether the tree is larger than a processor's cache.
    pub(super) fn is_worth_warming(&self) -> bool {
        self.nodes.used() >= WARM_NODES_MIN
    }

    /// The node at `index` as it was at `at`, if it lived then.
    ///
    /// # Safety
    /// `index` was read from a link by the writer, or by an online reader that does not quiesce during
    /// `'a`; or its node lives at a zxid that the caller has pinned.
    pub(super) unsafe fn node_at(&self, index: u32, at: Zxid) -> Option<Node<'_>> {
        // SAFETY: the caller's.
        unsafe {
            let raw = self.nodes.get(index);
            if !raw.lives_at(at) {
                return None;
            }
            let version = newest_at(&raw.newest, at)?;
            Some(Node { tree: self, raw, version, index, at })
        }
    }

    /// The node that `path` named at `at`.
    ///
    /// # Safety
    /// The caller is the writer, or an online reader that does not quiesce during `'a`.
    pub(super) unsafe fn find(&self, path: &str, at: Zxid) -> Option<Node<'_>> {
        // SAFETY: the caller's.
        unsafe {
            let path = path.as_bytes();
            if path == b"/" {
                return self.node_at(ROOT, at);
            }
            let mut index = self.youngest(self.index.tag(path), path)?;
            loop {
                let node = self.nodes.get(index);
                if node.lives_at(at) {
                    return self.node_at(index, at);
                }
                index = node.elder()?;
            }
        }
    }

    /// The youngest life of `path`, whose hash is `tag`.
    ///
    /// # Safety
    /// As [`Tree::find`].
    pub(super) unsafe fn youngest(&self, tag: u32, path: &[u8]) -> Option<u32> {
        // SAFETY: the caller's.
        unsafe { self.index.find(tag, |index| self.has_path(self.nodes.get(index), path)) }
    }

    /// Has the processor fetch what searches for these paths will look at, all paths at once where one
    /// search after the other would wait for each line in turn. At most [`WARM_PATHS_MAX`] of them.
    ///
    /// # Safety
    /// As [`Tree::find`].
    pub(super) unsafe fn warm<'p>(&self, paths: impl Iterator<Item = &'p str>) {
        let mut tags = [0; WARM_PATHS_MAX];
        let mut nodes: [Option<&RawNode>; WARM_PATHS_MAX] = [None; WARM_PATHS_MAX];
        let mut count = 0;
        // SAFETY: the caller's, here and below.
        unsafe {
            for path in paths.take(WARM_PATHS_MAX) {
                tags[count] = self.index.tag(path.as_bytes());
                self.index.first_slot(tags[count]).inspect(|slot| prefetch(*slot));
                count += 1;
            }
            for (tag, node) in tags[..count].iter().zip(&mut nodes) {
                // Most likely the right one; whether it is, the search will see.
                *node = self.index.find(*tag, |_| true).map(|index| self.nodes.get(index));
                node.inspect(|node| prefetch(*node));
            }
            for node in nodes.iter().flatten() {
                let version = node.newest.load(Ordering::Acquire);
                prefetch(version);
                prefetch(version.wrapping_add(1));
                prefetch(version.wrapping_add(2));
            }
        }
    }

    /// Whether the names of a node and its ancestors make up `path`.
    ///
    /// # Safety
    /// As [`Tree::find`].
    unsafe fn has_path(&self, node: &RawNode, path: &[u8]) -> bool {
        let (mut node, mut rest) = (node, path);
        loop {
            let Some(b"/") = rest
                .strip_suffix(node.name_bytes())
                .and_then(|before| before.last_chunk::<1>().map(|c| &c[..]))
                .filter(|_| !node.name_bytes().is_empty())
            else {
                return false;
            };
            rest = &rest[..rest.len() - node.name_bytes().len() - 1];
            if node.parent == ROOT {
                return rest.is_empty();
            }
            // SAFETY: the caller's; an ancestor outlasts its descendants.
            node = unsafe { self.nodes.get(node.parent) };
        }
    }

    /// The first of a chain of siblings that lives at `at`.
    ///
    /// # Safety
    /// As [`Tree::node_at`].
    pub(super) unsafe fn first_living(&self, mut index: u32, at: Zxid) -> Option<u32> {
        while index != NIL {
            // SAFETY: the caller's.
            let node = unsafe { self.nodes.get(index) };
            if node.lives_at(at) {
                return Some(index);
            }
            index = node.next_sibling.load(Ordering::Acquire);
        }
        None
    }

    /// # Safety
    /// As [`Tree::node_at`].
    pub(super) unsafe fn first_child_at(&self, index: u32, at: Zxid) -> Option<u32> {
        // SAFETY: the caller's.
        unsafe { self.first_living(self.nodes.get(index).first_child.load(Ordering::Acquire), at) }
    }

    /// # Safety
    /// As [`Tree::node_at`].
    pub(super) unsafe fn next_sibling_at(&self, index: u32, at: Zxid) -> Option<u32> {
        // SAFETY: the caller's.
        unsafe { self.first_living(self.nodes.get(index).next_sibling.load(Ordering::Acquire), at) }
    }

    /// What follows `index` depth first, parents before children, within the subtree of `top`.
    ///
    /// # Safety
    /// As [`Tree::node_at`]; `index` lives at `at` and lies under `top`.
    pub(super) unsafe fn next_in_walk(&self, top: u32, index: u32, at: Zxid) -> Option<u32> {
        // SAFETY: the caller's; an ancestor lives where its descendant does.
        unsafe {
            if let Some(child) = self.first_child_at(index, at) {
                return Some(child);
            }
            let mut index = index;
            while index != top {
                if let Some(sibling) = self.next_sibling_at(index, at) {
                    return Some(sibling);
                }
                index = self.nodes.get(index).parent;
            }
            None
        }
    }

    /// Appends the path of a node.
    ///
    /// # Safety
    /// As [`Tree::node_at`].
    pub(super) unsafe fn push_path(&self, index: u32, out: &mut String) {
        if index == ROOT {
            return out.push('/');
        }
        // SAFETY: the caller's; an ancestor outlasts its descendants.
        unsafe {
            let mut names = Vec::with_capacity(8);
            let mut node = self.nodes.get(index);
            loop {
                names.push(node.name());
                if node.parent == ROOT {
                    break;
                }
                node = self.nodes.get(node.parent);
            }
            out.reserve(names.iter().map(|n| n.len() + 1).sum());
            for name in names.iter().rev() {
                out.push('/');
                out.push_str(name);
            }
        }
    }
}

impl RawNode {
    /// The children half at `at`; that of a node without children if there has been none.
    ///
    /// # Safety
    /// The caller is the writer, or an online reader that does not quiesce meanwhile.
    pub(super) unsafe fn children_half(&self, at: Zxid) -> ChildrenHalf {
        // SAFETY: the caller's.
        match unsafe { newest_at::<ChildrenVersion>(&self.children, at).map(|c| c.as_ref()) } {
            Some(c) => {
                let count = c.count.load(Ordering::Relaxed);
                ChildrenHalf { pzxid: c.pzxid, cversion: c.cversion, count }
            }
            None => ChildrenHalf { pzxid: self.czxid, cversion: 0, count: 0 },
        }
    }
}

impl<'a> Node<'a> {
    pub(super) fn head(&self) -> &'a super::version::VersionHead {
        // SAFETY: whoever made this view holds its version live for 'a.
        unsafe { &self.version.as_ref().head }
    }

    fn children_half(&self) -> ChildrenHalf {
        // SAFETY: whoever made this view is the writer or an online reader for 'a.
        unsafe { self.raw.children_half(self.at) }
    }

    pub(super) fn index(&self) -> u32 {
        self.index
    }

    pub(super) fn raw(&self) -> &'a RawNode {
        self.raw
    }

    pub(super) fn version_link(&self) -> NonNull<Version> {
        self.version
    }

    pub(super) fn digest_stat(&self) -> DigestStat {
        let children = self.children_half();
        DigestStat { czxid: self.raw.czxid, pzxid: children.pzxid, cversion: children.cversion }
    }

    /// The Stat that clients see.
    pub fn stat(&self) -> Stat {
        let (head, children) = (self.head(), self.children_half());
        let num_children = children.count as i32;
        Stat {
            czxid: self.raw.czxid,
            mzxid: head.mzxid,
            ctime_ms: head.ctime_ms,
            mtime_ms: head.mtime_ms,
            version: head.version,
            // Clients see creations and deletions: two for each creation but for those still there.
            cversion: children.cversion.wrapping_mul(2).wrapping_sub(num_children),
            aversion: head.aversion,
            ephemeral_owner: if self.kind() == EphemeralType::Normal { head.owner } else { 0 },
            data_length: self.data_len() as i32,
            num_children,
            pzxid: children.pzxid,
        }
    }

    /// The stat as it is stored.
    pub fn stat_persisted(&self) -> StatPersisted {
        let (head, children) = (self.head(), self.children_half());
        StatPersisted {
            czxid: self.raw.czxid,
            mzxid: head.mzxid,
            ctime_ms: head.ctime_ms,
            mtime_ms: head.mtime_ms,
            version: head.version,
            cversion: children.cversion,
            aversion: head.aversion,
            ephemeral_owner: head.owner,
            pzxid: children.pzxid,
        }
    }

    /// Its data; `None` is null, which is not the same as empty.
    pub fn data(&self) -> Option<&'a [u8]> {
        // SAFETY: whoever made this view holds its version live for 'a.
        unsafe { Version::data(self.version) }
    }

    /// The length of its data in bytes, 0 for null.
    pub fn data_len(&self) -> usize {
        self.data().map_or(0, <[u8]>::len)
    }

    /// The zxid that last changed its data.
    pub fn mzxid(&self) -> Zxid {
        self.head().mzxid
    }

    /// The zxid that created it.
    pub fn czxid(&self) -> Zxid {
        self.raw.czxid
    }

    /// The zxid that last changed its list of children.
    pub fn pzxid(&self) -> Zxid {
        self.children_half().pzxid
    }

    /// How often its data was changed.
    pub fn version(&self) -> i32 {
        self.head().version
    }

    /// How often its ACL was changed.
    pub fn aversion(&self) -> i32 {
        self.head().aversion
    }

    /// How many children were created in it: what sequential names are numbered by.
    pub fn cversion_persisted(&self) -> i32 {
        self.children_half().cversion
    }

    /// Its ACL.
    pub fn acl(&self) -> AclId {
        AclId(self.head().acl)
    }

    /// Its owner as it is stored.
    pub fn raw_owner(&self) -> i64 {
        self.head().owner
    }

    /// What its owner says it is.
    pub fn kind(&self) -> EphemeralType {
        EphemeralType::of(self.head().owner, self.tree.extended_types)
    }

    /// The number of its children.
    pub fn num_children(&self) -> u32 {
        self.children_half().count
    }

    /// The names of its children, those made last first.
    pub fn children(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let tree = self.tree;
        // SAFETY: the indexes come from links, read by whoever made this view, during 'a.
        self.child_indexes().map(move |index| unsafe { tree.nodes.get(index) }.name())
    }

    /// Its children, those made last first.
    pub fn child_nodes(&self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let (tree, at) = (self.tree, self.at);
        // SAFETY: as in `children`.
        self.child_indexes().filter_map(move |index| unsafe { tree.node_at(index, at) })
    }

    fn child_indexes(&self) -> impl Iterator<Item = u32> + use<'a> {
        let (tree, at) = (self.tree, self.at);
        // SAFETY: as in `children`.
        let first = unsafe { tree.first_child_at(self.index, at) };
        std::iter::successors(first, move |&index| unsafe {
            // SAFETY: as in `children`.
            tree.next_sibling_at(index, at)
        })
    }

    /// It and everything under it, depth first, parents before their children.
    pub fn subtree(&self) -> impl Iterator<Item = Node<'a>> + use<'a> {
        let (tree, at, top) = (self.tree, self.at, self.index);
        // SAFETY: as in `children`; each index lives at `at`, under `top`.
        let indexes = std::iter::successors(Some(top), move |&index| unsafe {
            tree.next_in_walk(top, index, at)
        });
        // SAFETY: as above.
        indexes.filter_map(move |index| unsafe { tree.node_at(index, at) })
    }

    /// The last component of its path; empty for the root.
    pub fn name(&self) -> &'a str {
        self.raw.name()
    }

    /// Its path.
    pub fn path(&self) -> String {
        let mut path = String::new();
        self.push_path(&mut path);
        path
    }

    /// Appends its path.
    pub fn push_path(&self, out: &mut String) {
        // SAFETY: whoever made this view is the writer or an online reader for 'a.
        unsafe { self.tree.push_path(self.index, out) };
    }
}

impl std::fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node").field("path", &self.path()).field("stat", &self.stat()).finish()
    }
}
