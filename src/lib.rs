//! ringkeeper: a coordination server that speaks ZooKeeper's protocols.
//!
//! ARCHITECTURE.md is the map. Rooms, in the order of their arrows:
//! `jute ← protocol ← txn ← tree ← prepare ← ensemble`; `shard` and `ensemble` meet in `lanes`.

pub mod admin;
pub mod auth;
pub mod cli;
pub mod config;
pub mod ensemble;
pub mod jute;
pub mod lanes;
pub mod log;
pub mod metrics;
pub mod planted;
pub mod prepare;
pub mod process;
pub mod protocol;
pub mod reactor;
pub mod server;
pub mod session;
pub mod shard;
pub mod snapshot;
pub mod tree;
pub mod txn;
pub mod watch;
pub mod zab;
