//! The table of keys, a file a subject. To add a key: one line here, a field in `Config` if it
//! is honoured, then `RINGKEEPER_BLESS=1 cargo test --profile fast config::document`.

pub mod access;
pub mod admin;
pub mod ensemble;
pub mod insides;
pub mod limits;
pub mod network;
pub mod own;
pub mod storage;
pub mod znodes;

/// Java's `Integer.MAX_VALUE`, the largest value of most of ZooKeeper's numbers.
pub(crate) const INT_MAX: i64 = i32::MAX as i64;
