//! Directories, log, snapshots.

use super::INT_MAX;
use crate::config::table::{Key, Kind, NotAccepted};
use std::path::PathBuf;

/// Directories.
pub const DIRECTORIES: &[Key] = &[
    Key::honoured(
        "dataDir",
        "data",
        Kind::Text {
            form: "a directory",
            set: |c, v| {
                c.data_dir = directory(v)?;
                Ok(())
            },
        },
        "Where snapshots are kept, and the log unless `dataLogDir` is set; our files are in \
         `ringkeeper/` below it, beside ZooKeeper's `version-2/`.",
    ),
    Key::honoured(
        "dataLogDir",
        "",
        Kind::Text {
            form: "a directory",
            set: |c, v| {
                c.data_log_dir = directory(v)?;
                Ok(())
            },
        },
        "Where the transaction log is kept, best on a medium of its own; without it, `dataDir`.",
    ),
    Key::honoured(
        "datadir.autocreate",
        "true",
        Kind::Bool(|c, v| c.data_dir_autocreate = v),
        "Makes missing directories instead of refusing to start.",
    ),
];

/// Log and snapshots.
pub const STORAGE: &[Key] = &[
    Key::honoured(
        "forceSync",
        "yes",
        Kind::YesNo(|c, v| c.force_sync = v),
        "Acknowledges a write only when it is on its medium; `no` may lose acknowledged writes \
         when the machine fails.",
    ),
    Key::honoured(
        "ringkeeper.acceptLostLog",
        "no",
        Kind::YesNo(|c, v| c.accept_lost_log = v),
        "Starts with a snapshot's state although the log ends before it or is missing, and loses \
         for good what was acknowledged behind that. For one start, after a log was lost.",
    ),
    Key::honoured(
        "fsync.warningthresholdms",
        "1000",
        Kind::Int {
            min: 0,
            max: INT_MAX,
            unit: "ms",
            set: |c, v| c.fsync_warning_threshold_ms = v as u64,
        },
        "Log writes that take longer are reported in the server's log and counted.",
    ),
    Key::honoured(
        "preAllocSize",
        "65536",
        Kind::Int {
            min: 1024,
            max: 4 << 20,
            unit: "KiB",
            set: |c, v| c.pre_alloc_size_kb = v as u64,
        },
        "Size of a segment of the transaction log, which is written ahead in full; at least what one transaction of jute.maxbuffer takes.",
    ),
    Key::honoured(
        "snapCount",
        "0",
        Kind::Int {
            min: 0,
            max: INT_MAX,
            unit: "transactions",
            set: |c, v| c.snap_count = v as u32,
        },
        "Transactions after which a snapshot is taken, randomised between half of it and all; 0: by volume alone.",
    ),
    Key::honoured(
        "snapSizeLimitInKb",
        "524288",
        Kind::Int {
            min: -1,
            max: i64::MAX >> 10,
            unit: "KiB",
            set: |c, v| c.snap_size_limit_kb = v.max(0) as u64,
        },
        "Log volume after which a snapshot is taken, randomised likewise, at least twice the last snapshot's size; 0 is off.",
    ),
    Key::honoured(
        "autopurge.snapRetainCount",
        "3",
        Kind::Int {
            min: 0,
            max: INT_MAX,
            unit: "snapshots",
            set: |c, v| c.autopurge_snap_retain_count = v as u32,
        },
        "Snapshots, with the log they need, that a purge keeps; at least 3.",
    ),
    Key::honoured(
        "autopurge.purgeInterval",
        "1",
        Kind::Int {
            min: 0,
            max: INT_MAX / 3600,
            unit: "hours",
            set: |c, v| c.autopurge_purge_interval_h = v as u32,
        },
        "0 keeps all snapshots and log segments; with anything else the old ones go after each snapshot.",
    ),
    Key::ignored(
        "txnLogSizeLimitInKb",
        "Size at which a log file is closed.",
        "log segments have the fixed size of preAllocSize",
    ),
    Key::ignored(
        "flushDelay",
        "How long a write waits for others to share its sync.",
        "a batch is whatever came while the writes before it were in flight",
    ),
    Key::ignored(
        "maxWriteQueuePollTime",
        "How long to wait for further writes before a sync.",
        "a batch is whatever came while the writes before it were in flight",
    ),
    Key::ignored(
        "maxBatchSize",
        "Writes that share a sync at most.",
        "a batch is whatever came while the writes before it were in flight",
    ),
    Key::ignored(
        "snapshot.compression.method",
        "How snapshots are compressed.",
        "snapshots have a format of their own that settles it",
    ),
    Key::ignored(
        "snapshot.trust.empty",
        "Starts from a log that has no snapshot.",
        "the log says itself where it begins, so there is nothing to trust",
    ),
    Key::ignored(
        "serializeLastProcessedZxid.enabled",
        "Notes in a snapshot how far it goes.",
        "snapshots are exact and always say so",
    ),
    Key::ignored(
        "db.autocreate",
        "Lets a server without data begin with an empty tree.",
        "it guards members of an ensemble; a standalone server may begin empty",
    ),
    Key::ignored(
        "jute.maxbuffer.extrasize",
        "What a stored record may have beyond the longest request.",
        "stored transactions are limited by jute.maxbuffer when they are made",
    ),
    Key::ignored(
        "closeSessionTxn.enabled",
        "Lists the ephemeral nodes in the transaction that closes a session.",
        "they are always listed",
    ),
];

fn directory(value: &str) -> Result<PathBuf, NotAccepted> {
    if value.is_empty() || value.contains('\0') {
        return Err(NotAccepted);
    }
    Ok(PathBuf::from(value))
}
