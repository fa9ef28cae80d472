//! Setting watches again after a reconnect (DataTree.setWatches): what changed meanwhile is told at
//! once, the rest is watched on.

use super::kind::WatchKind;
use super::limits::TooManyWatches;
use super::table::WatchTable;
use crate::protocol::{EventType, SetWatches, SetWatches2, Zxid};

/// What deciding about a watch takes to know of its node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeZxids {
    /// Of the last change of its data.
    pub mzxid: Zxid,
    /// Of the last change of its children.
    pub pzxid: Zxid,
}

/// The lists of a setWatches or setWatches2 request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rewatch<'a> {
    /// The last zxid the client saw.
    pub relative_zxid: Zxid,
    /// Watches on nodes that were there.
    pub data: &'a [&'a str],
    /// Watches on nodes that were not.
    pub exist: &'a [&'a str],
    /// Watches on children.
    pub child: &'a [&'a str],
    /// Of addWatch.
    pub persistent: &'a [&'a str],
    /// Of addWatch.
    pub persistent_recursive: &'a [&'a str],
}

impl<'a> From<&'a SetWatches<'a>> for Rewatch<'a> {
    fn from(request: &'a SetWatches<'a>) -> Self {
        Self {
            relative_zxid: request.relative_zxid,
            data: &request.data_watches,
            exist: &request.exist_watches,
            child: &request.child_watches,
            persistent: &[],
            persistent_recursive: &[],
        }
    }
}

impl<'a> From<&'a SetWatches2<'a>> for Rewatch<'a> {
    fn from(request: &'a SetWatches2<'a>) -> Self {
        Self {
            relative_zxid: request.relative_zxid,
            data: &request.data_watches,
            exist: &request.exist_watches,
            child: &request.child_watches,
            persistent: &request.persistent_watches,
            persistent_recursive: &request.persistent_recursive_watches,
        }
    }
}

impl WatchTable {
    /// Sets a connection's watches again. `node` looks a path up in the shard's tree, `tell` sends
    /// one catch-up event; those carry zxid −1, need no permission, and leave before the reply.
    ///
    /// One event a list entry: a node that was in two lists and is gone is told twice. Persistent
    /// watches miss what happened meanwhile. On error the connection is to be closed, for part of
    /// its watches is set.
    pub fn rewatch(
        &mut self,
        conn: u32,
        lists: &Rewatch<'_>,
        mut node: impl FnMut(&str) -> Option<NodeZxids>,
        mut tell: impl FnMut(EventType, &str),
    ) -> Result<(), TooManyWatches> {
        let seen = lists.relative_zxid;
        for path in lists.data {
            match node(path) {
                None => tell(EventType::NodeDeleted, path),
                Some(now) if now.mzxid > seen => tell(EventType::NodeDataChanged, path),
                Some(_) => {
                    self.add(conn, path, WatchKind::Data)?;
                }
            }
        }
        for path in lists.exist {
            match node(path) {
                Some(_) => tell(EventType::NodeCreated, path),
                None => {
                    self.add(conn, path, WatchKind::Exist)?;
                }
            }
        }
        for path in lists.child {
            match node(path) {
                None => tell(EventType::NodeDeleted, path),
                Some(now) if now.pzxid > seen => tell(EventType::NodeChildrenChanged, path),
                Some(_) => {
                    self.add(conn, path, WatchKind::Child)?;
                }
            }
        }
        for path in lists.persistent {
            self.add(conn, path, WatchKind::Persistent)?;
        }
        for path in lists.persistent_recursive {
            self.add(conn, path, WatchKind::PersistentRecursive)?;
        }
        Ok(())
    }
}
