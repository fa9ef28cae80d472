//! ringkeeper: a coordination server that speaks ZooKeeper's protocols.
pub mod log;
