//! Why a measurement was given up. Nothing is retried: a wrong answer makes the number worthless.

use crate::wire::WireError;
use std::io;
use std::path::PathBuf;

/// Any reason to stop.
#[derive(Debug, thiserror::Error)]
pub enum PerfError {
    /// A system call failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The server sent bytes that make no sense.
    #[error("session {session}: {source}")]
    Wire {
        /// Index of the session.
        session: usize,
        /// What is wrong.
        source: WireError,
    },
    /// The server gave an answer that is not the right one.
    #[error("session {session}: wrong answer: {what}")]
    Wrong {
        /// Index of the session.
        session: usize,
        /// What was expected and what came.
        what: String,
    },
    /// The server closed a connection that it should have kept.
    #[error("session {session}: the server closed the connection ({state})")]
    Closed {
        /// Index of the session.
        session: usize,
        /// What the session was doing.
        state: &'static str,
    },
    /// Nothing came for too long.
    #[error("no answer within {seconds} s while {what}")]
    Silent {
        /// How long was waited, in seconds.
        seconds: u64,
        /// What was being done.
        what: String,
    },
    /// A server did not start or did not stay.
    #[error("{what}; the end of {log}:\n{tail}")]
    Server {
        /// What happened.
        what: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of that file.
        tail: String,
    },
    /// The measurement cannot be made as asked.
    #[error("{0}")]
    Setup(String),
}

/// Results of this program.
pub type Result<T> = std::result::Result<T, PerfError>;

/// Says what was being done when a system call failed.
pub trait Doing<T> {
    /// Attaches the description.
    fn doing(self, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| PerfError::Io { what: what(), source })
    }
}
