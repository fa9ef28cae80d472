//! The tree of znodes: one writer, many readers that take no lock, versions by zxid.
//!
//! The ensemble core owns the one [`TreeWriter`] and changes the newest state, ahead of what is
//! published; shards and background threads read through a [`Reader`] of their own, each at a zxid of
//! its choice between its own and the published one. What nobody can need any more the writer
//! reclaims, a bounded amount a call. [`apply`](apply::apply) is the one function by which transactions
//! change the tree, on a leader, a follower, and at replay: it depends on the transaction and the
//! state alone.
//!
//! Owns znodes, sessions' lives, interned ACLs, the digest, quota statistics, and the undo list. Never
//! checks permissions, versions or limits (that is `prepare`), never reads a clock, does no I/O.
//!
//! How it is laid out: a [`slab`] of 64-byte nodes; for each, two chains of [`version`]s (data and
//! children change apart); a path [`index`]; [`slots`] in which readers say what they need; and one
//! queue of changes ([`undo`]) that is popped from its newest end to undo, and from its oldest to
//! [`reclaim`].

mod acl;
pub mod apply;
pub mod bulk;
mod digest;
mod index;
mod load;
mod owners;
mod queue;
mod quota;
mod reader;
mod reclaim;
mod segment;
mod sessions;
mod slab;
mod slots;
mod state;
mod sync;
#[cfg(all(test, not(loom)))]
mod tests;
mod undo;
mod version;
mod view;
mod writer;

pub use acl::AclId;
pub use load::LoadNode;
pub use quota::{StatsTrack, stats_path};
pub use reader::{Listing, NodeNumber, Pin, PinRef, Reader, Walker};
pub use reclaim::Retained;
pub use sessions::SessionInfo;
pub use state::{Create, Created, Deleted};
pub use undo::Mark;
pub use view::{Node, StatPersisted, WARM_PATHS_MAX};
pub use writer::TreeWriter;

use reclaim::Garbage;
use std::sync::Mutex;

/// The znode under which quotas stand (`Quotas.quotaZookeeper`).
pub const QUOTA_PATH: &str = "/zookeeper/quota";
/// The znode that holds the ensemble's configuration (`ZooDefs.CONFIG_NODE`).
pub const CONFIG_PATH: &str = "/zookeeper/config";

/// Bounds and choices of a tree.
#[derive(Debug, Clone)]
pub struct TreeConfig {
    /// The most readers at one time: shards, snapshot writers, admin threads.
    pub readers_max: usize,
    /// The most znodes, deleted ones that somebody still reads among them.
    pub nodes_max: u32,
    /// The most sessions.
    pub sessions_max: u32,
    /// Whether the digest is kept (`digest.enabled`); 0 otherwise.
    pub digest: bool,
    /// Whether owners may be times to live (`extendedTypesEnabled`). Has to be the same on all servers.
    pub extended_types: bool,
}

impl Default for TreeConfig {
    fn default() -> Self {
        Self {
            readers_max: 64,
            nodes_max: 1 << 30,
            sessions_max: 16 << 20,
            digest: true,
            extended_types: true,
        }
    }
}

/// A fresh tree, with the znodes of a new server: `/`, `/zookeeper`, its `quota` and its `config`.
/// Its zxid is 0, and that is published.
pub fn new(config: TreeConfig) -> TreeWriter {
    TreeWriter::new(config)
}

/// What readers share. Make a [`Reader`] to read it.
pub struct Tree {
    slots: slots::Slots,
    nodes: slab::NodeSlab,
    index: index::Index,
    acls: acl::AclTable,
    sessions: sessions::SessionSlab,
    extended_types: bool,
    /// What a dropped writer had unlinked and could not free yet.
    orphans: Mutex<Vec<Garbage>>,
}

impl Drop for Tree {
    fn drop(&mut self) {
        let orphans = self.orphans.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        for garbage in orphans.drain(..) {
            // SAFETY: the tree is being dropped, so there is no reader and no writer.
            unsafe { garbage.free_memory() };
        }
    }
}

/// All reader slots are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all reader slots of the tree are taken; raise readers_max")]
pub struct TooManyReaders;

/// Why a change cannot be made. The tree is as it was before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The znode, or the parent of the one to create, does not exist.
    #[error("no such znode")]
    NoNode,
    /// The znode to create exists.
    #[error("the znode exists")]
    NodeExists,
    /// The znode to delete has children.
    #[error("the znode has children")]
    NotEmpty,
    /// The path is none, or is the root where the root will not do.
    #[error("not a path that this change can be made to")]
    BadPath,
    /// Zxids go forward.
    #[error("zxid {zxid:#x} is not beyond what is published or changed already ({newest:#x})")]
    ZxidBack {
        /// The zxid of the change.
        zxid: i64,
        /// The one it may not fall behind.
        newest: i64,
    },
    /// The data is longer than a version can hold (2 GiB).
    #[error("data of {bytes} bytes is too long to store")]
    DataTooLong {
        /// Its length.
        bytes: usize,
    },
    /// All slots for znodes are in use.
    #[error("no room for another znode; raise nodes_max")]
    TooManyNodes,
    /// All slots for sessions are in use.
    #[error("no room for another session; raise sessions_max")]
    TooManySessions,
    /// All numbers for ACLs are in use.
    #[error("no room for another distinct ACL (at most 1048576 at one time)")]
    TooManyAcls,
    /// The path index has no room where this path belongs.
    #[error("the path index is full")]
    IndexFull,
    /// Something is loaded into a tree that has changed or was published already.
    #[error("a snapshot can be loaded only into a fresh tree")]
    NotFresh,
    /// A snapshot's root that was created by a transaction.
    #[error("the snapshot's root has czxid {czxid:#x}; a root has always been there (0)")]
    RootBorn {
        /// What the snapshot says.
        czxid: i64,
    },
}
