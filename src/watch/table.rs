//! The table: setting, finding and taking away watches, and the counts kept on the way.

use super::kind::{self, KIND_BITS, KINDS, OF_CHILDREN, OF_DATA, RECURSIVE, Removed, WatchKind};
use super::limits::{TooManyWatches, WatchLimits};
use super::paths::{PathEntry, Paths, depth};
use super::set::IdSet;
use crate::protocol::WatcherType;

/// Deeper recursive watches are counted together.
pub(super) const DEPTHS: usize = 32;

/// The watches of one shard's connections. Connections are told apart by the reactor's index, which
/// is dense and used again: [`remove_conn`](Self::remove_conn) comes before its next owner.
///
/// Memory: a watch takes two 4-byte records, one beside its path and one beside its connection, in
/// tables that are at least 7/16 full: 10 to 23 bytes where many connections watch many paths.
#[derive(Debug)]
pub struct WatchTable {
    pub(super) paths: Paths,
    /// By connection index.
    pub(super) conns: Vec<ConnEntry>,
    pub(super) totals: Totals,
    limits: WatchLimits,
}

/// One connection's watches.
#[derive(Debug, Default)]
pub(super) struct ConnEntry {
    pub paths: IdSet<0>,
    /// How many of them ZooKeeper would hold in its manager of data watches.
    pub data: u32,
}

#[derive(Debug, Default)]
pub(super) struct Totals {
    /// Pairs of a connection and a path.
    pub watches: usize,
    /// Pairs in ZooKeeper's manager of data watches, and of child watches.
    pub data: usize,
    pub children: usize,
    /// Paths and connections with at least one data watch.
    pub data_paths: usize,
    pub data_conns: usize,
    pub recursive: usize,
    /// Recursive watches by the depth of their path; lets a trigger skip ancestors unseen.
    pub recursive_at: [u32; DEPTHS],
}

impl Totals {
    /// Accounts for a watch whose kinds go from `old` to `new`; none is 0.
    pub fn change(&mut self, path: &mut PathEntry, conn: &mut ConnEntry, old: u32, new: u32) {
        step(&mut self.watches, old, new, KINDS);
        step(&mut self.children, old, new, OF_CHILDREN);
        match step(&mut self.data, old, new, OF_DATA) {
            1 => {
                self.data_paths += usize::from(path.data == 0);
                self.data_conns += usize::from(conn.data == 0);
                path.data += 1;
                conn.data += 1;
            }
            -1 => {
                path.data -= 1;
                conn.data -= 1;
                self.data_paths -= usize::from(path.data == 0);
                self.data_conns -= usize::from(conn.data == 0);
            }
            _ => {}
        }
        let at = |path: &PathEntry| depth(&path.path).min(DEPTHS - 1);
        match step(&mut self.recursive, old, new, RECURSIVE) {
            1 => {
                path.recursive += 1;
                self.recursive_at[at(path)] += 1;
            }
            -1 => {
                path.recursive -= 1;
                self.recursive_at[at(path)] -= 1;
            }
            _ => {}
        }
    }
}

/// Counts `mask` in or out; says by how much the count went.
fn step(count: &mut usize, old: u32, new: u32, mask: u32) -> i32 {
    match (old & mask != 0, new & mask != 0) {
        (false, true) => {
            *count += 1;
            1
        }
        (true, false) => {
            *count -= 1;
            -1
        }
        _ => 0,
    }
}

impl WatchTable {
    /// An empty table.
    pub fn new(limits: WatchLimits) -> Self {
        Self { paths: Paths::new(), conns: Vec::new(), totals: Totals::default(), limits }
    }

    /// Sets a watch; true if the connection did not have it. At a bound nothing changes.
    pub fn add(&mut self, conn: u32, path: &str, watch: WatchKind) -> Result<bool, TooManyWatches> {
        assert!(conn >> (32 - KIND_BITS) == 0, "connection indexes are dense, {conn} is not");
        let known = self.paths.find(path);
        let old = known.map_or(0, |id| self.kinds(conn, id));
        let new = old | watch.bit();
        if new == old {
            return Ok(false);
        }
        if old == 0 {
            self.check_limits(conn, path, known.is_none())?;
        }
        if self.conns.len() <= conn as usize {
            self.conns.resize_with(conn as usize + 1, ConnEntry::default);
        }
        let id = known.unwrap_or_else(|| self.paths.insert(path));
        let entry = self.paths.get_mut(id);
        let holder = &mut self.conns[conn as usize];
        entry.watchers.put(conn << KIND_BITS | new);
        if old == 0 {
            holder.paths.put(id);
        }
        self.totals.change(entry, holder, old, new);
        Ok(true)
    }

    /// Takes a connection's watches of that type on a path away (removeWatches). Clients raise the
    /// removal event themselves; nothing is to be sent but the reply.
    pub fn remove(&mut self, conn: u32, path: &str, watches: WatcherType) -> Removed {
        let Some(id) = self.paths.find(path) else {
            return Removed::NoWatcher;
        };
        let old = self.kinds(conn, id);
        let new = old & !kind::bits_of(watches);
        if new == old {
            return Removed::NoWatcher;
        }
        self.change(conn, id, old, new);
        Removed::Yes
    }

    /// Whether a connection has a watch of that type on a path (checkWatches).
    pub fn contains(&self, conn: u32, path: &str, watches: WatcherType) -> bool {
        let found = self.paths.find(path).map_or(0, |id| self.kinds(conn, id));
        found & kind::bits_of(watches) != 0
    }

    /// Takes all watches of a connection away; costs what the connection has.
    pub fn remove_conn(&mut self, conn: u32) {
        let Some(holder) = self.conns.get_mut(conn as usize) else {
            return;
        };
        let ids = std::mem::take(&mut holder.paths);
        for id in ids.iter() {
            let old = self.kinds(conn, id);
            self.change(conn, id, old, 0);
        }
        debug_assert_eq!(self.conns[conn as usize].data, 0);
    }

    fn check_limits(&self, conn: u32, path: &str, is_new: bool) -> Result<(), TooManyWatches> {
        let limits = &self.limits;
        let held = self.conns.get(conn as usize).map_or(0, |holder| holder.paths.len());
        if held >= limits.watches_per_conn_max {
            return Err(TooManyWatches::OnConnection { max: limits.watches_per_conn_max });
        }
        if self.totals.watches >= limits.watches_max {
            return Err(TooManyWatches::OnShard { max: limits.watches_max });
        }
        if is_new && self.paths.bytes() + path.len() > limits.path_bytes_max {
            return Err(TooManyWatches::PathBytes { max: limits.path_bytes_max });
        }
        Ok(())
    }

    fn kinds(&self, conn: u32, id: u32) -> u32 {
        self.paths.get(id).watchers.get(conn).map_or(0, |record| record & KINDS)
    }

    fn change(&mut self, conn: u32, id: u32, old: u32, new: u32) {
        let entry = self.paths.get_mut(id);
        let holder = &mut self.conns[conn as usize];
        if new == 0 {
            entry.watchers.remove(conn);
            holder.paths.remove(id);
        } else {
            entry.watchers.put(conn << KIND_BITS | new);
        }
        self.totals.change(entry, holder, old, new);
        if entry.watchers.is_empty() {
            self.paths.remove(id);
        }
    }
}
