//! What can go wrong in the log, and what to do about it.

use std::io;

use crate::log::Zxid;

/// What a caller's `apply` may return: any error, told on with the zxid it stopped at.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An error of the log. Each message says what was wrong, where, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The disk or the file system refused something.
    #[error("log: cannot {what} {name}: {source}")]
    Io {
        /// What was being done ("read", "create", …).
        what: &'static str,
        /// File name in the log directory.
        name: String,
        /// The system's error.
        source: io::Error,
    },
    /// Something before the tail is damaged: cutting it would lose acknowledged transactions.
    #[error(
        "log: {name} is damaged at offset {offset} ({reason}); a later frame ({later_name} at \
         offset {later_offset}) proves that what stood there was already durable, behind zxid \
         0x{last_zxid:x}. Nothing was changed. In an ensemble: move this directory aside and start \
         again, the server copies the state from the leader. Alone: restore the file from a backup"
    )]
    Damaged {
        /// Segment file.
        name: String,
        /// Byte offset of the bad frame.
        offset: u64,
        /// What is wrong with it.
        reason: String,
        /// Segment file of the frame that proves it.
        later_name: String,
        /// Its byte offset.
        later_offset: u64,
        /// The last zxid that is still good.
        last_zxid: Zxid,
    },
    /// A segment between others is not there.
    #[error(
        "log: {name} is missing: it comes behind {before}, and a later frame ({later_name} at offset {later_offset}) proves that \
         what stood there was already durable, behind zxid 0x{last_zxid:x}. Nothing was changed. Put the file back, or restore \
         it from a backup; in an ensemble, move this directory aside and start again, the server copies the state from the leader"
    )]
    Missing {
        /// Its name.
        name: String,
        /// The segment before it.
        before: String,
        /// Segment file of the frame that proves that there was more.
        later_name: String,
        /// Its byte offset.
        later_offset: u64,
        /// The last zxid that is still good.
        last_zxid: Zxid,
    },
    /// A frame whose CRC is right says something that no log says.
    #[error(
        "log: {name} at offset {offset}: {reason}. The bytes are as they were written, so this is \
         no disk error: keep the file and report it"
    )]
    Inconsistent {
        /// Segment file.
        name: String,
        /// Byte offset of the frame.
        offset: u64,
        /// What does not fit.
        reason: String,
    },
    /// The log does not go back to the snapshot that was loaded.
    #[error(
        "log: it begins behind zxid 0x{begins_after:x}, but the newest usable snapshot is of zxid \
         0x{from_zxid:x}: transactions between them are missing. Restore a snapshot of zxid \
         0x{begins_after:x} or later, or let the server copy the state from its leader"
    )]
    Gap {
        /// The log holds what is beyond this zxid.
        begins_after: Zxid,
        /// Replay was asked to start behind this zxid.
        from_zxid: Zxid,
    },
    /// Segments are there, but neither the first nor any that begins with a whole frame.
    #[error(
        "log: the oldest segment, {name}, has nothing in it that can be read: it is damaged, or those before it, in which \
         everything was written, are missing. Restore the snapshots and the log from a backup; only if this server may go \
         on with what the newest snapshot holds, if there is one, remove the log's directory"
    )]
    NoBeginning {
        /// The oldest segment file.
        name: String,
    },
    /// The newest segment that was written to is missing, or its beginning is damaged.
    #[error(
        "log: {name} {lost}, and it is the newest segment that was written to. What can be read ends {last}, at zxid \
         0x{last_zxid:x}; what was acknowledged behind that is not there. Nothing was changed. Restore that segment from a \
         backup; only if this server may go on without what stood in it, remove the empty file {mark} from the log's directory"
    )]
    LostEnd {
        /// That segment file.
        name: String,
        /// What has become of it.
        lost: &'static str,
        /// Where the log ends without it.
        last: String,
        /// And at which transaction.
        last_zxid: Zxid,
        /// The file whose name says that it was written to.
        mark: String,
    },
    /// A segment is shorter than any is made.
    #[error(
        "log: {name} is {bytes} bytes long: it was cut short, and what was acknowledged may have stood there. Nothing was \
         changed. Restore it from a backup; only if this server may go on without what stood in it, remove it"
    )]
    CutShort {
        /// The segment file.
        name: String,
        /// Its length.
        bytes: u64,
    },
    /// A segment of another log lies in the directory.
    #[error(
        "log: {name} belongs to another log (id {found:016x}, expected {expected:016x}); was it \
         copied here by mistake? Move it out of the directory"
    )]
    ForeignSegment {
        /// Segment file.
        name: String,
        /// Its log id.
        found: u64,
        /// The log id of the other segments.
        expected: u64,
    },
    /// `apply` refused a transaction.
    #[error("log: replay of zxid 0x{zxid:x} failed ({name} at offset {offset}): {source}")]
    Apply {
        /// The transaction.
        zxid: Zxid,
        /// Segment file.
        name: String,
        /// Byte offset of the frame.
        offset: u64,
        /// What `apply` said.
        source: BoxError,
    },
    /// There is no room for another segment. Refuse writes; reads go on.
    #[error("log: no space for the next segment ({reason}); writes are refused until there is")]
    NoSpace {
        /// What the spare maker last met.
        reason: String,
    },
    /// The next segment is still being made: keep the batch and try again.
    #[error("log: the next segment is not ready yet")]
    SpareNotReady,
    /// A transaction larger than any segment.
    #[error(
        "log: a transaction of {bytes} bytes does not fit a frame of at most {limit}; raise \
         preAllocSize or lower jute.maxbuffer"
    )]
    TooLarge {
        /// Size of the transaction.
        bytes: usize,
        /// The largest that fits.
        limit: usize,
    },
    /// A caller handed over transactions out of order.
    #[error("log: zxid 0x{zxid:x} does not follow 0x{last_zxid:x}")]
    OutOfOrder {
        /// The transaction that was handed over.
        zxid: Zxid,
        /// The last one in the log.
        last_zxid: Zxid,
    },
    /// A write failed earlier; the process must end.
    #[error("log: a write failed earlier; nothing more can be logged")]
    Failed,
    /// The log cannot be cut while writes are in flight.
    #[error("log: {0} writes are in flight; the log can only be cut when there are none")]
    InFlight(usize),
    /// Another process has the directory.
    #[error(
        "{path} is in use by another server (process {holder}); stop it or use another directory (dataDir, dataLogDir)"
    )]
    Locked {
        /// The lock file.
        path: String,
        /// What the lock file says of its holder.
        holder: String,
    },
}

/// A log write failed or fell short: the process must end, nothing may be retried over it.
#[derive(Debug, thiserror::Error)]
#[error(
    "log: the write of frame {sequence} ({bytes} bytes at offset {offset} of {name}) failed: \
     {reason}. The server stops: what the disk holds is unknown. Check the disk, then start again"
)]
pub struct Fatal {
    /// Sequence of the frame.
    pub sequence: u64,
    /// Segment file.
    pub name: String,
    /// Byte offset of the frame.
    pub offset: u64,
    /// Length of the write.
    pub bytes: usize,
    /// The system's words, or how far it fell short.
    pub reason: String,
}

impl LogError {
    /// Makes an `Io` error.
    pub(crate) fn io(what: &'static str, name: impl Into<String>, source: io::Error) -> LogError {
        LogError::Io { what, name: name.into(), source }
    }
}
