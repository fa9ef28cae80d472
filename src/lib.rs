//! ringkeeper: a coordination server that speaks ZooKeeper's protocols.
//!
//! ARCHITECTURE.md is the map. Rooms, in the order of their arrows:
//! `jute ← protocol ← txn ← tree ← prepare ← ensemble`; `shard` and `ensemble` meet in `lanes`.

pub mod auth;
pub mod config;
pub mod jute;
pub mod lanes;
pub mod protocol;
pub mod txn;
pub mod watch;
