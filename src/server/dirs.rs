//! The directories that a server keeps its files in: whose they are, and what in them forbids a start.
//!
//! Looks and locks; makes nothing but the lock.

use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::{ServerError, log_mark};
use crate::config::Config;
use crate::log::{DirLock, LogError};

/// Looks for one thing that forbids a start, and changes nothing.
type Look = fn(&Config) -> Result<(), ServerError>;

/// All that can be looked for, in the order in which it is told.
pub(super) const LOOKS: [Look; 5] = [
    look_for_directories,
    look_for_foreign_data,
    look_for_log_left_behind,
    look_for_permission,
    log_mark::look,
];

/// Keeps other servers out of both directories.
pub(super) fn lock(config: &Config) -> Result<Vec<DirLock>, ServerError> {
    let (data, log) = (own_dir(&config.data_dir), own_dir(&config.data_log_dir));
    let acquire = |dir: &Path, key| {
        DirLock::acquire(dir).map_err(|error| match error {
            LogError::Io { source, .. } => {
                ServerError::Directory { dir: dir.into(), key, error: source }
            }
            error => error.into(),
        })
    };
    let mut locks = vec![acquire(&data, "dataDir")?];
    // The one directory may go by two names; the first exists by now.
    if std::fs::canonicalize(&log).ok() != std::fs::canonicalize(&data).ok() {
        locks.push(acquire(&log, "dataLogDir")?);
    }
    Ok(locks)
}

/// Our files live beside ZooKeeper's `version-2/`, so that either can be kept.
pub(crate) fn own_dir(dir: &Path) -> PathBuf {
    dir.join("ringkeeper")
}

/// Where the log's segments are.
pub(super) fn log_dir(config: &Config) -> PathBuf {
    own_dir(&config.data_log_dir).join("log")
}

/// Where directories are not made, a server must find those it has written before: a disk that is not mounted would
/// look like an empty tree.
fn look_for_directories(config: &Config) -> Result<(), ServerError> {
    if config.data_dir_autocreate {
        return Ok(());
    }
    for dir in [&config.data_dir, &config.data_log_dir] {
        let dir = own_dir(dir);
        if !dir.is_dir() {
            return Err(ServerError::NoDirectory { dir });
        }
    }
    Ok(())
}

/// A log that is kept elsewhere from now on was not moved there: a server would begin anew beside it (ZooKeeper's
/// `FileTxnSnapLog.checkSnapDir`).
fn look_for_log_left_behind(config: &Config) -> Result<(), ServerError> {
    let dir = own_dir(&config.data_dir).join("log");
    // However the two are written.
    let place = |dir: &Path| dir.canonicalize().ok();
    if place(&dir) == place(&own_dir(&config.data_log_dir).join("log")) {
        return Ok(());
    }
    let names = std::fs::read_dir(&dir).into_iter().flatten().flatten().map(|e| e.file_name());
    match names.into_iter().any(|name| name.to_string_lossy().starts_with("segment.")) {
        true => Err(ServerError::LogLeftBehind { dir, to: own_dir(&config.data_log_dir) }),
        false => Ok(()),
    }
}

/// What is there can be written to: a server that finds out with its first snapshot, or when its spare segments are used
/// up, has served for days by then.
fn look_for_permission(config: &Config) -> Result<(), ServerError> {
    let ours = [
        (own_dir(&config.data_dir), "dataDir"),
        (own_dir(&config.data_log_dir), "dataLogDir"),
        (log_dir(config), "dataLogDir"),
    ];
    let mut there = ours.iter().filter(|(dir, _)| dir.exists());
    there.try_for_each(|(dir, key)| may_use(dir, key))
}

/// Whether this process may read, make and find files in a directory that is there.
pub(super) fn may_use(dir: &Path, key: &'static str) -> Result<(), ServerError> {
    let access = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    rustix::fs::access(dir, access).map_err(|error| ServerError::Directory {
        dir: dir.into(),
        key,
        error: error.into(),
    })
}

/// Who gives a ZooKeeper's own directory to a new server expects its data there.
fn look_for_foreign_data(config: &Config) -> Result<(), ServerError> {
    if own_dir(&config.data_dir).exists() || own_dir(&config.data_log_dir).exists() {
        return Ok(());
    }
    for dir in [&config.data_dir, &config.data_log_dir] {
        let dir = dir.join("version-2");
        let names = std::fs::read_dir(&dir).into_iter().flatten().flatten().map(|e| e.file_name());
        let is_data = |name: &str| name.starts_with("snapshot.") || name.starts_with("log.");
        if names.filter_map(|name| name.into_string().ok()).any(|name| is_data(&name)) {
            return Err(ServerError::ForeignData { dir });
        }
    }
    Ok(())
}
