//! ringkeeper: a coordination server that speaks ZooKeeper's protocols.

pub mod auth;
pub mod jute;
pub mod prepare;
pub mod protocol;
pub mod session;
pub mod tree;
pub mod txn;
pub mod watch;
