//! ringkeeper: a coordination server that speaks ZooKeeper's protocols.

pub mod cli;
pub mod config;
pub mod metrics;
pub mod shard;
