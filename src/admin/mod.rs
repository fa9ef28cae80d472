//! The desk: an ordinary thread that answers four-letter words, so that no question of a person or a script holds up
//! a shard or the core.
//!
//! A shard that gets a word gives it to the desk. The desk asks shards and core for what only they know (connections,
//! watches; sessions' deadlines, digests) through their mailboxes, gathers the parts, reads the rest from the metrics
//! and from the tree at a pinned published zxid (so nothing uncommitted is shown), formats, and sends the text back to
//! the shard's mailbox. Owns [`words`]; never touches a connection.

mod desk;
pub mod words;

pub use desk::{Desk, DeskFacts, Office, ShardDesk};

use crate::reactor::ConnId;
use words::{ConnectionView, Needs, SessionView, WatchSummary, WatcherView, Word};

/// What the desk sends to a shard.
#[derive(Debug)]
pub enum ShardLetter {
    /// Tell what these needs ask of you, for this question.
    Tell(u64, Needs),
    /// Send this text on the connection, then close it.
    Answer(ConnId, Vec<u8>),
    /// Start the statistics of your connections anew (`crst`).
    ResetConnections,
}

/// What the desk sends to the core.
#[derive(Debug)]
pub enum CoreLetter {
    /// Tell your part, for this question.
    Tell(u64),
    /// A snapshot is on the disk and verified.
    SnapshotTaken {
        /// Its size before compression.
        raw_bytes: u64,
        /// Log segments that end before this zxid may go; `None`: all are kept.
        purge_to: Option<crate::protocol::Zxid>,
    },
    /// A snapshot could not be taken.
    SnapshotFailed,
}

/// What the desk gets.
#[derive(Debug)]
pub enum DeskMail {
    /// A word came in on a connection of a shard.
    Asked {
        /// The word.
        word: Word,
        /// The shard.
        shard: u16,
        /// Its connection.
        conn: ConnId,
    },
    /// A shard's part of an answer.
    ShardPart(u64, ShardPart),
    /// The core's part of an answer.
    CorePart(u64, CorePart),
    /// Close the desk.
    Stop,
}

/// What one shard knows.
#[derive(Debug, Default)]
pub struct ShardPart {
    /// Its connections.
    pub connections: Vec<ConnectionView>,
    /// Who watches what.
    pub watchers: Vec<WatcherView>,
    /// Counts of watches.
    pub watch_summary: WatchSummary,
}

/// What the core knows.
#[derive(Debug, Default)]
pub struct CorePart {
    /// Live sessions, with when they would expire.
    pub sessions: Vec<SessionView>,
    /// Zxids and digests, ascending.
    pub digests: Vec<(i64, i64)>,
}
