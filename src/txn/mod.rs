//! Transactions as bytes: exactly those of ZooKeeper's log, PROPOSAL and committed-log records.
//!
//! Owns header, bodies and digest trailer, their reading and writing. A transaction's bytes are made
//! once, in `prepare`, and go unchanged into the log, to the peers and to learners; what reads them
//! here borrows from them. Never applies anything: that is the tree's.

mod body;
mod header;
mod record;
#[cfg(test)]
mod tests;

pub use body::Txn;
pub(crate) use body::put_sub_txn;
pub use header::{DIGEST_VERSION, TxnDigest, TxnHeader, TxnType};
pub use record::{TxnError, decode_record, encode_record};
