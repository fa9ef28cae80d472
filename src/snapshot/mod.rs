//! Snapshots: the whole state of exactly one zxid, in one file.
//!
//! Owns: the format of the files (`docs/design/snapshot.md`), writing them while the server goes
//! on, verifying them, loading them, and which of them may go.
//! Never does: change the tree outside of a load, decide what is committed, remove anything before
//! a newer snapshot has been read back.
//!
//! A snapshot thread: [`write()`] (or [`take`], which does all of this), [`verify`], [`purge`].
//! A start: [`load_newest`], then the log behind its zxid.

pub mod block;
mod content;
mod error;
#[allow(warnings, clippy::all, missing_docs, unsafe_op_in_unsafe_fn)]
#[rustfmt::skip]
#[path = "snapshot_generated.rs"]
mod generated;
mod loader;
mod output;
mod policy;
mod store;
#[cfg(test)]
mod tests;
mod writer;

pub use content::{SnapshotInfo, inspect};
pub use error::SnapshotError;
pub use loader::load;
pub use policy::SnapshotPolicy;
pub use store::{
    Loaded, Verified, list, load_newest, name, purge, settle_received, take, verify, zxid_of,
};
pub use writer::{WriteOptions, write, write_received};

/// A snapshot that came from a leader, complete, before it takes over.
const RECEIVED: &str = "snapshot-received";
/// A snapshot in the making.
const UNFINISHED: &str = "snapshot-unfinished";
