//! The writer: the one handle by which the tree changes.

use super::acl::{AclId, AclWriter};
use super::index::Index;
use super::load::LoadNode;
use super::owners::Owners;
use super::queue::BlockQueue;
use super::reader::NodeNumber;
use super::reclaim::{Bin, Retained};
use super::sessions::{SessionInfo, SessionWriter};
use super::slab::{NEWEST, NodeSlab};
use super::slots::Slots;
use super::state::{Create, Created, Deleted, State};
use super::undo::Mark;
use super::view::{Node, StatPersisted};
use super::{CONFIG_PATH, QUOTA_PATH, Tree, TreeConfig, TreeError};
use crate::protocol::{Acl, AclRef, Stat, Zxid, perms};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// The one writer. It sees and changes the newest state; what it has not published no reader sees.
///
/// Changes go in the order of their zxids, several at one zxid in the order in which they are made.
/// [`TreeWriter::undo_to`] takes back what is not published; [`TreeWriter::publish`] makes it visible and
/// final; [`TreeWriter::reclaim`] has to be called now and then, or old versions stay for ever.
pub struct TreeWriter {
    tree: Arc<Tree>,
    state: State,
}

impl TreeWriter {
    pub(super) fn new(config: TreeConfig) -> Self {
        let (acls, acl_table) = AclWriter::new();
        let (sessions, session_slab) = SessionWriter::new(config.sessions_max);
        let tree = Tree {
            slots: Slots::new(config.readers_max, 0),
            nodes: NodeSlab::new(config.nodes_max),
            index: Index::new(),
            acls: acl_table,
            sessions: session_slab,
            extended_types: config.extended_types,
            orphans: Mutex::new(Vec::new()),
        };
        let mut state = State {
            published: 0,
            changes: BlockQueue::new(),
            first_change: 0,
            digest: 0,
            digest_enabled: config.digest,
            nodes: 0,
            data_bytes: 0,
            owners: Owners::default(),
            sessions,
            acls,
            quotas: BTreeSet::new(),
            bin: Bin::new(),
            scratch: Vec::new(),
        };
        state.link_root(&tree);
        let mut writer = Self { tree: Arc::new(tree), state };
        let loaded = writer.load_first_nodes();
        debug_assert_eq!(loaded, Ok(()), "an empty tree takes the first znodes");
        writer
    }

    /// What a new server's tree has besides the root (`DataTree`'s constructor).
    fn load_first_nodes(&mut self) -> Result<(), TreeError> {
        let read = AclRef { perms: perms::READ, ..AclRef::ANYONE_ALL };
        let read = self.intern_acl(&[read])?;
        let plain = StatPersisted::default();
        // `addConfigNode` sets the ACL at version −1.
        let config = StatPersisted { aversion: -1, ..plain };
        for (path, acl, stat) in [
            ("/zookeeper", AclId::OPEN, plain),
            (QUOTA_PATH, AclId::OPEN, plain),
            (CONFIG_PATH, read, config),
        ] {
            self.load_node(&LoadNode { path, data: Some(b""), acl, stat })?;
        }
        Ok(())
    }

    /// What readers share.
    pub fn shared(&self) -> Arc<Tree> {
        Arc::clone(&self.tree)
    }

    /// The newest state of a znode.
    pub fn get(&self, path: &str) -> Option<Node<'_>> {
        self.state.find(&self.tree, path)
    }

    /// As [`super::Reader::is_worth_warming`].
    pub fn is_worth_warming(&self) -> bool {
        self.tree.is_worth_warming()
    }

    /// Has the processor fetch what changes to these paths will look at, as [`super::Reader::warm`].
    pub fn warm<'p>(&self, paths: impl IntoIterator<Item = &'p str>) {
        // SAFETY: this is the writer.
        unsafe { self.tree.warm(paths.into_iter()) };
    }

    /// The ACL of that number.
    pub fn acl_list(&self, id: AclId) -> &[Acl] {
        // SAFETY: this is the writer, and it frees nothing while the slice is borrowed.
        unsafe { self.tree.acls.list(id) }
    }

    /// The number of an ACL. It stays good until the next reclamation even if no znode gets it.
    pub fn intern_acl(&mut self, list: &[AclRef<'_>]) -> Result<AclId, TreeError> {
        self.state.acls.intern(&self.tree.acls, list)
    }

    /// How many different ACLs are in use.
    pub fn acl_count(&self) -> usize {
        self.state.acls.len(&self.tree.acls)
    }

    /// Creates a znode.
    pub fn create(&mut self, create: Create<'_>) -> Result<Created, TreeError> {
        self.state.create(&self.tree, &create)
    }

    /// Deletes a znode that has no children.
    pub fn delete(&mut self, zxid: Zxid, path: &str) -> Result<Deleted, TreeError> {
        self.state.delete(&self.tree, zxid, path)
    }

    /// Replaces data; `version` is the version afterwards. Returns the Stat afterwards and the ACL.
    pub fn set_data(
        &mut self,
        zxid: Zxid,
        time_ms: i64,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
    ) -> Result<(Stat, AclId), TreeError> {
        self.state.set_data(&self.tree, zxid, time_ms, path, data, version)
    }

    /// Replaces the ACL; `aversion` is the ACL version afterwards. Returns the Stat afterwards.
    pub fn set_acl(
        &mut self,
        zxid: Zxid,
        path: &str,
        acl: AclId,
        aversion: i32,
    ) -> Result<Stat, TreeError> {
        self.state.set_acl(&self.tree, zxid, path, acl, aversion)
    }

    /// What replaying the creation of a znode that exists does (`DataTree.createNode`): the ACL changes.
    pub(super) fn replace_acl(&mut self, zxid: Zxid, path: &str, acl: AclId) {
        self.state.replace_acl(&self.tree, zxid, path, acl);
    }

    /// What replaying the deletion of a znode that is gone does to its parent (`DataTree.deleteNode`).
    pub(super) fn raise_pzxid(&mut self, zxid: Zxid, path: &str) {
        self.state.raise_pzxid(&self.tree, zxid, path);
    }

    /// `DataTree.setCversionPzxid`.
    pub(super) fn raise_cversion(&mut self, zxid: Zxid, path: &str, cversion: i32) {
        self.state.raise_cversion(&self.tree, zxid, path, cversion);
    }

    /// Opens a session; one that lives gets the new time-out.
    pub fn create_session(
        &mut self,
        zxid: Zxid,
        id: i64,
        timeout_ms: i32,
    ) -> Result<(), TreeError> {
        self.state.create_session(&self.tree, zxid, id, timeout_ms)
    }

    /// Closes a session, if it lives. Its ephemerals are not touched.
    pub fn close_session(&mut self, zxid: Zxid, id: i64) -> Result<(), TreeError> {
        self.state.close_session(&self.tree, zxid, id)
    }

    /// A session of the newest state.
    pub fn session(&self, id: i64) -> Option<SessionInfo> {
        self.state.sessions.get(&self.tree.sessions, id)
    }

    /// The sessions of the newest state, by id.
    pub fn sessions(&self) -> impl Iterator<Item = (i64, SessionInfo)> + '_ {
        self.state.sessions.iter(&self.tree.sessions)
    }

    /// How many sessions live.
    pub fn session_count(&self) -> usize {
        self.state.sessions.len()
    }

    /// The paths of a session's ephemerals, in order.
    pub fn ephemerals(&self, session: i64) -> impl Iterator<Item = String> + use<> {
        let nodes = self.state.owners.ephemerals(session);
        self.state.sorted_paths(&self.tree, nodes).into_iter()
    }

    /// The numbers of a session's ephemerals in the newest state.
    pub fn ephemeral_numbers(&self, session: i64) -> impl Iterator<Item = NodeNumber> + '_ {
        self.state.owners.ephemerals(session).map(NodeNumber)
    }

    /// The sessions that own ephemerals, by id.
    pub fn ephemeral_owners(&self) -> impl Iterator<Item = i64> + '_ {
        self.state.owners.sessions()
    }

    /// The containers, oldest first.
    pub fn containers(&self) -> impl Iterator<Item = Node<'_>> {
        self.nodes(self.state.owners.containers())
    }

    /// The znodes with a time to live, oldest first.
    pub fn ttl_nodes(&self) -> impl Iterator<Item = Node<'_>> {
        self.nodes(self.state.owners.ttls())
    }

    fn nodes(&self, indexes: impl Iterator<Item = u32>) -> impl Iterator<Item = Node<'_>> {
        // SAFETY: this is the writer, and the sets name living nodes.
        indexes.filter_map(|index| unsafe { self.tree.node_at(index, NEWEST) })
    }

    /// The deepest path with a quota that `path` is or lies under.
    pub fn quota_root<'p>(&self, path: &'p str) -> Option<&'p str> {
        self.state.quota_root(path)
    }

    /// The digest of the newest state, digest version 2; 0 if it is not kept.
    pub fn digest(&self) -> i64 {
        self.state.digest
    }

    /// How many znodes there are. As in ZooKeeper (`DataTree.getNodeCount`), the root counts twice.
    pub fn node_count(&self) -> u64 {
        self.state.nodes + 1
    }

    /// The bytes of all paths and data (`DataTree.cachedApproximateDataSize`).
    pub fn approximate_data_size(&self) -> u64 {
        u64::try_from(self.state.data_bytes).unwrap_or(0)
    }

    /// How many ephemerals there are.
    pub fn ephemerals_count(&self) -> usize {
        self.state.owners.ephemerals_count()
    }

    /// Where the sequence of changes stands.
    pub fn mark(&self) -> Mark {
        self.state.mark()
    }

    /// Undoes everything done since `mark` that is not published.
    pub fn undo_to(&mut self, mark: Mark) {
        self.state.undo_to(&self.tree, mark);
    }

    /// Undoes everything beyond `zxid` that is not published.
    pub fn undo_to_zxid(&mut self, zxid: Zxid) {
        self.state.undo_to_zxid(&self.tree, zxid);
    }

    /// Makes everything up to `zxid` visible and final. A step back does nothing.
    pub fn publish(&mut self, zxid: Zxid) {
        debug_assert!(zxid >= self.state.published, "publish goes forward");
        if zxid > self.state.published {
            self.state.published = zxid;
            self.tree.slots.publish(zxid);
        }
    }

    /// What is published.
    pub fn published(&self) -> Zxid {
        self.state.published
    }

    /// Unlinks and frees what no reader can need, at most `max_items` of each. Returns how many; 0 says
    /// that nothing can be done before some reader moves.
    pub fn reclaim(&mut self, max_items: usize) -> usize {
        self.state.reclaim(&self.tree, max_items)
    }

    /// Changes and old versions that are kept: what can be undone, waits for readers, or is pinned.
    pub fn retained(&self) -> usize {
        self.state.changes.len() + self.state.bin.len()
    }

    /// The same in bytes. What [`TreeWriter::reclaim`] could free now is counted until it has.
    pub fn retained_bytes(&self) -> Retained {
        self.state.bin.retained(self.state.changes.len())
    }

    /// Before a snapshot is loaded: takes out the znodes of a fresh tree, the root excepted.
    pub fn begin_load(&mut self) -> Result<(), TreeError> {
        self.state.clear(&self.tree)
    }

    /// Puts in a znode of a snapshot. Parents come before their children. Nothing of it can be undone,
    /// so an error means to start over with another tree.
    pub fn load_node(&mut self, node: &LoadNode<'_>) -> Result<(), TreeError> {
        self.state.load_node(&self.tree, node)
    }

    /// Puts in a session of a snapshot; of two with one id the later holds.
    pub fn load_session(&mut self, id: i64, timeout_ms: i32) -> Result<(), TreeError> {
        self.state.load_session(&self.tree, id, timeout_ms)
    }

    /// After the last znode of a snapshot of `zxid`. `recount_quotas` makes quota statistics anew, as
    /// ZooKeeper does whenever it loads a snapshot of its own. What was loaded is visible from the next
    /// [`TreeWriter::publish`] on.
    pub fn finish_load(&mut self, zxid: Zxid, recount_quotas: bool) -> Result<(), TreeError> {
        self.state.finish_load(&self.tree, zxid, recount_quotas)
    }
}

impl Drop for TreeWriter {
    fn drop(&mut self) {
        let orphans = self.state.bin.take_limbo();
        self.tree.orphans.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(orphans);
    }
}
