//! ringkeeper: a coordination server that speaks ZooKeeper's protocols.

pub mod jute;
pub mod lanes;
pub mod log;
pub mod protocol;
pub mod reactor;
pub mod snapshot;
pub mod tree;
pub mod txn;
