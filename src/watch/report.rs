//! What the four-letter words and metrics show of a table.

use super::kind::{KIND_BITS, OF_DATA};
use super::table::WatchTable;

/// Counts of a shard's watches; those of a server are their sums, except `paths`, which counts a
/// path once a shard.
///
/// As in ZooKeeper, wchs, wchp and wchc know of the manager of data watches only (data, exists and
/// persistent watches), while `zk_watch_count` counts both managers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WatchCounts {
    /// Connections with a data watch (wchs).
    pub conns: usize,
    /// Paths with a data watch (wchs).
    pub paths: usize,
    /// Data watches (wchs, "Total watches").
    pub data_watches: usize,
    /// Data watches and child watches (`zk_watch_count`); a persistent watch is both.
    pub all_watches: usize,
}

impl WatchTable {
    /// The counts, at no cost.
    pub fn counts(&self) -> WatchCounts {
        WatchCounts {
            conns: self.totals.data_conns,
            paths: self.totals.data_paths,
            data_watches: self.totals.data,
            all_watches: self.totals.data + self.totals.children,
        }
    }

    /// Bytes of the distinct paths watched.
    pub fn path_bytes(&self) -> usize {
        self.paths.bytes()
    }

    /// Paths with a data watch and the connections that hold one, for wchp. Each comes with its
    /// number, so that a long report can be made in slices: go on from the last number plus one.
    pub fn paths_from(
        &self,
        from: u32,
    ) -> impl Iterator<Item = (u32, &str, impl Iterator<Item = u32>)> {
        self.paths.iter_from(from).filter(|(_, entry)| entry.data > 0).map(|(id, entry)| {
            let data = entry.watchers.iter().filter(|record| record & OF_DATA != 0);
            (id, &*entry.path, data.map(|record| record >> KIND_BITS))
        })
    }

    /// Connections with a data watch and the paths of theirs, for wchc; to go on after a slice,
    /// start from the last connection plus one.
    pub fn conns_from(&self, from: u32) -> impl Iterator<Item = (u32, impl Iterator<Item = &str>)> {
        let conns = self.conns.iter().enumerate().skip(from as usize);
        conns.filter(|(_, holder)| holder.data > 0).map(|(conn, holder)| {
            let conn = conn as u32;
            let entries = holder.paths.iter().map(|id| self.paths.get(id));
            let data = entries
                .filter(move |e| e.watchers.get(conn).is_some_and(|record| record & OF_DATA != 0));
            (conn, data.map(|entry| &*entry.path))
        })
    }
}
