//! A shard's watches: who wants to hear of what.
//!
//! Owns: the table of watches of one shard's connections, keyed by path and connection index, and
//! the rules by which they fire, are used up, checked, removed and set again after a reconnect.
//! Single-threaded. Never does: I/O, encoding, ACL checks (the shard checks READ before it delivers),
//! reading the tree (what it needs of a node is handed in).
//!
//! The rules are those of ZooKeeper's DataTree with its two WatchManagers: one for data (data,
//! exists and persistent watches), one for children (child and persistent watches). Here a watch is
//! one record for a connection and a path that says in bits which of them hold it.
//!
//! Events 5, 6 and 7 (a watch was removed) never leave a server: clients raise them themselves when
//! removeWatches is answered.

mod kind;
mod limits;
mod paths;
mod report;
mod rewatch;
mod set;
mod table;
#[cfg(test)]
mod tests;
mod trigger;

pub use kind::{Removed, WatchKind};
pub use limits::{TooManyWatches, WatchLimits};
pub use report::WatchCounts;
pub use rewatch::{NodeZxids, Rewatch};
pub use table::WatchTable;
