//! What can go wrong with a snapshot, and what to do about it.

use std::io;

use crate::tree::TreeError;

/// An error of writing, verifying or loading a snapshot.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The disk or the file system refused something.
    #[error("snapshot: cannot {what} {name}: {source}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// The file.
        name: String,
        /// The system's error.
        source: io::Error,
    },
    /// The file is not as it was written. An older snapshot with its log will do.
    #[error(
        "snapshot: {name} is damaged at offset {offset}: {reason}; an older one is used if there is one"
    )]
    Damaged {
        /// The file.
        name: String,
        /// Byte offset of the block.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// Something that cannot be held in a snapshot.
    #[error("snapshot: {path} holds {bytes} bytes, more than a block can ({limit})")]
    TooLarge {
        /// The znode.
        path: String,
        /// Its data and name.
        bytes: usize,
        /// The most there may be.
        limit: usize,
    },
    /// The tree does not take what the snapshot holds.
    #[error("snapshot: {name}: the tree refuses {path}: {source}")]
    Refused {
        /// The file.
        name: String,
        /// The znode, or what else it was.
        path: String,
        /// Why.
        source: TreeError,
    },
    /// The tree has no reader slot left for the snapshot's writer.
    #[error("snapshot: {0}")]
    Readers(#[from] crate::tree::TooManyReaders),
    /// There are snapshots, but none can be used.
    #[error(
        "snapshot: none of the {count} snapshots can be used; the newest: {newest}. Restore one from \
         a backup, or let the server copy the state from its leader"
    )]
    NoneUsable {
        /// How many there are.
        count: usize,
        /// What is wrong with the newest.
        newest: Box<SnapshotError>,
    },
    /// It was told to stop.
    #[error("snapshot: it was given up, for the server stops")]
    Stopped,
}

impl SnapshotError {
    pub(crate) fn io(what: &'static str, name: impl Into<String>, source: io::Error) -> Self {
        SnapshotError::Io { what, name: name.into(), source }
    }
}
