//! Why the server does not start, in words for who starts it.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::log;
use crate::protocol::Zxid;

/// Why the server does not start, or why it ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The client port cannot be had.
    #[error("cannot listen on {address}: {error}; {} (clientPort, clientPortAddress)", hint(.error))]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// A directory is missing and is not to be made.
    #[error(
        "{dir} is missing, and datadir.autocreate=false forbids making it: mount its disk, or make it if this server is new"
    )]
    NoDirectory {
        /// The directory.
        dir: PathBuf,
    },
    /// A directory cannot be used.
    #[error(
        "{dir} cannot be used ({key}): {error}; the server makes files there and writes them directly"
    )]
    Directory {
        /// The directory, or the nearest above it that exists.
        dir: PathBuf,
        /// The key that names it.
        key: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
    /// The log's file system is too full for a first segment.
    #[error(
        "{dir}: the log needs {segment_bytes} bytes for a segment, and {free_bytes} are free: make room, or give \
         another dataLogDir, or a smaller preAllocSize"
    )]
    NoRoom {
        /// The log's directory.
        dir: PathBuf,
        /// Bytes of one segment.
        segment_bytes: u64,
        /// Bytes that the server may use.
        free_bytes: u64,
    },
    /// The log does not reach the snapshot.
    #[error(
        "the log in {dir} {}, and the newest snapshot is of zxid 0x{snapshot_zxid:x}: what was acknowledged behind that is not \
         there either. Is its disk mounted (dataLogDir)? Bring the log back; or, if it is lost, start once with \
         ringkeeper.acceptLostLog=yes, which loses what it held",
        ends(.log_zxid)
    )]
    LostLog {
        /// The log's directory.
        dir: PathBuf,
        /// Where it ends.
        log_zxid: Option<Zxid>,
        /// What the snapshot is of.
        snapshot_zxid: Zxid,
    },
    /// The directory that this server's log should be in holds none.
    #[error(
        "{dir} holds no log, and this server has one: {mark} names log {log_id:016x}. Is its disk mounted, and dataLogDir what it \
         was? Bring the log back; or, if it is lost, start once with ringkeeper.acceptLostLog=yes, which begins a new one behind the \
         newest snapshot and loses what was acknowledged since"
    )]
    NoLog {
        /// Where it should be.
        dir: PathBuf,
        /// The file that names it.
        mark: PathBuf,
        /// The log that was there.
        log_id: u64,
    },
    /// There is a log, but not this server's.
    #[error(
        "{dir} holds log {found:016x}, and {mark} names log {log_id:016x} as this server's: another server's log, or one that was \
         given up. Behind this server's snapshots it would make a state that never was. Put the right log there, or give its \
         dataLogDir; a log that is not needed can be moved away"
    )]
    OtherLog {
        /// Where it is.
        dir: PathBuf,
        /// The file that names ours.
        mark: PathBuf,
        /// The log that is there.
        found: u64,
        /// Ours.
        log_id: u64,
    },
    /// The file that names the log cannot be used.
    #[error("{mark}: {reason}")]
    LogMark {
        /// The file.
        mark: PathBuf,
        /// What is the matter with it, and what to do.
        reason: String,
    },
    /// There is a log where none should be.
    #[error(
        "{dir} holds a log, and dataLogDir is elsewhere: move that directory into {to}, or leave dataLogDir out"
    )]
    LogLeftBehind {
        /// The log that was found.
        dir: PathBuf,
        /// Where it belongs by the configuration.
        to: PathBuf,
    },
    /// Too few files may be open.
    #[error(
        "{limit} descriptors may be open (ulimit -n), and the server itself needs {needed}: allow more of them"
    )]
    Descriptors {
        /// The limit.
        limit: u64,
        /// What is needed without any client.
        needed: u64,
    },
    /// There is the data of Apache ZooKeeper, and none of ours.
    #[error(
        "{dir} holds an Apache ZooKeeper's data, which ringkeeper cannot read yet: it would serve an empty tree in its place. \
         Give another dataDir, or move that directory away if its data is not needed"
    )]
    ForeignData {
        /// Its `version-2`.
        dir: PathBuf,
    },
    /// The log or a snapshot.
    #[error(transparent)]
    Log(#[from] log::LogError),
    /// The snapshots.
    #[error(transparent)]
    Snapshot(#[from] crate::snapshot::SnapshotError),
    /// What the log or a snapshot says cannot be applied.
    #[error("cannot recover: {0}")]
    Recovery(String),
    /// The machine has no room for a thread or a descriptor.
    #[error("cannot start {what}: {error}")]
    System {
        /// What was to be started.
        what: &'static str,
        /// What the system said.
        error: std::io::Error,
    },
}

fn ends(log_zxid: &Option<Zxid>) -> String {
    log_zxid.map_or("has no transaction".into(), |zxid| format!("ends at zxid 0x{zxid:x}"))
}

fn hint(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => "is another server running there?",
        ErrorKind::AddrNotAvailable => "this machine does not have that address",
        ErrorKind::PermissionDenied => "ports below 1024 need a privilege",
        _ => "is another port or address free?",
    }
}
