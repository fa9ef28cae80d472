//! The kinds of watches and the bits that a record keeps of them.

use crate::protocol::{AddWatchMode, WatcherType};

/// What a client asked to be told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WatchKind {
    /// getData with a watch, or exists of a node that is there.
    Data,
    /// exists with a watch. The same as `Data` to the server; only clients tell them apart.
    Exist,
    /// getChildren with a watch.
    Child,
    /// addWatch; stays when it fires.
    Persistent,
    /// addWatch; stays when it fires, covers the whole subtree, is not told NodeChildrenChanged.
    PersistentRecursive,
}

impl From<AddWatchMode> for WatchKind {
    fn from(mode: AddWatchMode) -> Self {
        match mode {
            AddWatchMode::Persistent => Self::Persistent,
            AddWatchMode::PersistentRecursive => Self::PersistentRecursive,
        }
    }
}

/// The answer to removeWatches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Removed {
    /// At least one watch went.
    Yes,
    /// There was none of that type: answer NoWatcher.
    NoWatcher,
}

pub(super) const DATA: u32 = 1;
pub(super) const CHILD: u32 = 2;
pub(super) const PERSISTENT: u32 = 4;
pub(super) const RECURSIVE: u32 = 8;
/// How many low bits of a record are kinds; the connection index stands above them.
pub(super) const KIND_BITS: u32 = 4;
pub(super) const KINDS: u32 = (1 << KIND_BITS) - 1;
/// What ZooKeeper keeps in its manager of data watches.
pub(super) const OF_DATA: u32 = DATA | PERSISTENT | RECURSIVE;
/// What ZooKeeper keeps in its manager of child watches.
pub(super) const OF_CHILDREN: u32 = CHILD | PERSISTENT;

impl WatchKind {
    pub(super) fn bit(self) -> u32 {
        match self {
            Self::Data | Self::Exist => DATA,
            Self::Child => CHILD,
            Self::Persistent => PERSISTENT,
            Self::PersistentRecursive => RECURSIVE,
        }
    }
}

/// The bits that checkWatches and removeWatches of this type are about.
pub(super) fn bits_of(kind: WatcherType) -> u32 {
    match kind {
        WatcherType::Children => CHILD,
        WatcherType::Data => DATA,
        WatcherType::Persistent => PERSISTENT,
        WatcherType::PersistentRecursive => RECURSIVE,
        WatcherType::Any => KINDS,
    }
}
