//! How much watching a shard takes on.

/// Bounds of one shard's table. A watch counts once for a connection and a path, whatever its kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchLimits {
    /// Watches of all connections of the shard together.
    pub watches_max: usize,
    /// Watches of one connection.
    pub watches_per_conn_max: usize,
    /// Bytes of the distinct paths watched.
    pub path_bytes_max: usize,
}

impl Default for WatchLimits {
    fn default() -> Self {
        Self { watches_max: 32 << 20, watches_per_conn_max: 4 << 20, path_bytes_max: 2 << 30 }
    }
}

/// A watch was not set because a bound is reached.
///
/// The answer: a read or addWatch that asked for it fails with ThrottledOp, so that the client knows
/// it watches nothing; a setWatches, which clients do not expect to fail, ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TooManyWatches {
    /// `watches_max`.
    #[error("this shard holds {max} watches, the most allowed: watch less or raise the limit")]
    OnShard {
        /// The limit.
        max: usize,
    },
    /// `watches_per_conn_max`.
    #[error("the connection holds {max} watches, the most allowed: watch less or raise the limit")]
    OnConnection {
        /// The limit.
        max: usize,
    },
    /// `path_bytes_max`.
    #[error("the watched paths take {max} bytes, the most allowed: watch less or raise the limit")]
    PathBytes {
        /// The limit.
        max: usize,
    },
}
