//! ringkeeper: a coordination server that speaks ZooKeeper's protocols.
//!
//! ARCHITECTURE.md is the map. Rooms, in the order of their arrows:
//! `jute ← protocol ← txn ← tree ← prepare ← ensemble`; `shard` and `ensemble` meet in `lanes`.

pub mod auth;
pub mod cli;
pub mod config;
pub mod jute;
pub mod lanes;
pub mod metrics;
pub mod protocol;
pub mod shard;
pub mod txn;
pub mod watch;
