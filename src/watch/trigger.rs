//! What fires, for whom, and what is used up by it (WatchManager.triggerWatch, DataTree).

use super::kind::{CHILD, DATA, KIND_BITS, KINDS, OF_CHILDREN, OF_DATA, RECURSIVE};
use super::paths::{depth, parent};
use super::table::{DEPTHS, WatchTable};
use crate::protocol::EventType;

impl WatchTable {
    /// Appends to `out` the connections to be told of `event` on `path`, each once, and uses up the
    /// one-shot watches among theirs. They are used up even where the event may not be delivered
    /// for want of READ; checking that is the caller's.
    ///
    /// A creation is two triggers, NodeCreated on the path and NodeChildrenChanged on its parent;
    /// a deletion is two likewise, NodeDeleted being the same as [`trigger_delete`](Self::trigger_delete).
    pub fn trigger(&mut self, event: EventType, path: &str, out: &mut Vec<u32>) {
        match event {
            EventType::NodeCreated | EventType::NodeDataChanged => {
                let from = out.len();
                self.fire(path, OF_DATA, DATA, out);
                self.fire_above(path, from, out);
            }
            EventType::NodeChildrenChanged => self.fire(path, OF_CHILDREN, CHILD, out),
            EventType::NodeDeleted => self.trigger_delete(path, out),
            EventType::DataWatchRemoved
            | EventType::ChildWatchRemoved
            | EventType::PersistentWatchRemoved => {
                debug_assert!(false, "{event:?} is raised by clients, no server triggers it");
            }
        }
    }

    /// NodeDeleted to data and child watches of the path and to recursive ones above it: one event
    /// a connection, however many of its watches it meets.
    pub fn trigger_delete(&mut self, path: &str, out: &mut Vec<u32>) {
        let from = out.len();
        self.fire(path, OF_DATA | OF_CHILDREN, DATA | CHILD, out);
        self.fire_above(path, from, out);
    }

    /// Whether a trigger could find anybody at all: lets callers skip work for unwatched shards.
    pub fn is_empty(&self) -> bool {
        self.totals.watches == 0
    }

    /// The watches on the path itself: those of kinds in `reach` fire, and lose the kinds in `uses`.
    fn fire(&mut self, path: &str, reach: u32, uses: u32, out: &mut Vec<u32>) {
        let Some(id) = self.paths.find(path) else {
            return;
        };
        let (conns, totals) = (&mut self.conns, &mut self.totals);
        let entry = self.paths.get_mut(id);
        let mut watchers = std::mem::take(&mut entry.watchers);
        watchers.retain(|record| {
            let (conn, old) = (*record >> KIND_BITS, *record & KINDS);
            if old & reach == 0 {
                return true;
            }
            out.push(conn);
            let new = old & !uses;
            if new != old {
                let holder = &mut conns[conn as usize];
                if new == 0 {
                    holder.paths.remove(id);
                }
                totals.change(entry, holder, old, new);
            }
            *record = conn << KIND_BITS | new;
            new != 0
        });
        entry.watchers = watchers;
        if entry.watchers.is_empty() {
            self.paths.remove(id);
        }
    }

    /// The recursive watches above the path; `out[from..]` has the path's own already.
    fn fire_above(&self, path: &str, from: usize, out: &mut Vec<u32>) {
        if self.totals.recursive == 0 {
            return;
        }
        let mut levels = usize::from(out.len() > from);
        let (mut at, mut at_depth) = (path, depth(path));
        while let Some(above) = parent(at) {
            (at, at_depth) = (above, at_depth.saturating_sub(1));
            if self.totals.recursive_at[at_depth.min(DEPTHS - 1)] == 0 {
                continue;
            }
            let Some(entry) = self.paths.find(at).map(|id| self.paths.get(id)) else {
                continue;
            };
            if entry.recursive > 0 {
                let recursive = entry.watchers.iter().filter(|record| record & RECURSIVE != 0);
                out.extend(recursive.map(|record| record >> KIND_BITS));
                levels += 1;
            }
        }
        if levels > 1 {
            keep_each_once(out, from);
        }
    }
}

fn keep_each_once(out: &mut Vec<u32>, from: usize) {
    out[from..].sort_unstable();
    let mut kept = from;
    for at in from..out.len() {
        if kept == from || out[kept - 1] != out[at] {
            out[kept] = out[at];
            kept += 1;
        }
    }
    out.truncate(kept);
}
