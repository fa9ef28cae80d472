//! What a start would find in its way, looked for without changing anything: directories and their room, the port,
//! threads on their CPUs, limits of the process.
//!
//! Owns nothing and leaves nothing behind. It says what it finds; it mends nothing.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, Mode, OFlags};

use super::dirs::{self, own_dir};
use super::{Plan, ServerError, Worker, port, system};
use crate::config::Config;
use crate::log::{self, DirLock, LogOptions, RealDir};
use crate::metrics::{Registry, open_file_descriptors_max};
use crate::reactor::{self, ReactorConfig, ReactorStats};

/// Fewer clients than this are hardly meant.
const CLIENTS_FEW: u64 = 256;

/// Says all that a start with this configuration would find; and what comes of it.
///
/// # Errors
/// What would stop it, a line each.
pub(super) fn check(config: &Config) -> Result<&'static str, String> {
    let mut refusals = Vec::new();
    let mut refuse = |result: Result<(), ServerError>| match result {
        Ok(()) => true,
        Err(error) => {
            refusals.push(error.to_string());
            false
        }
    };
    for look in dirs::LOOKS {
        refuse(look(config));
    }
    let mut in_use = false;
    for (dir, key) in directories(config) {
        match DirLock::holder_of(&own_dir(dir)) {
            Some(holder) => {
                in_use = true;
                tracing::warn!(
                    "{} is in use by a server that runs now (process {holder}): beside it none can be started here, and \
                     the port was not looked at",
                    dir.display()
                );
            }
            None => {
                refuse(can_write(dir, key));
            }
        }
    }
    if refuse(room(config)) && !in_use {
        refuse(port::look(config));
    }
    let plan = Plan::new(config);
    refuse(descriptors(config, &plan));
    refuse(try_threads(&plan));
    match refusals.is_empty() {
        true if in_use => {
            Ok("and a server can start with it here once the one that runs now has ended")
        }
        true => Ok("and a server can start with it here (snapshots and log were not read)"),
        false => Err(refusals.join("\nringkeeper: ")),
    }
}

/// The data directory, and the log's if that is another, with the key of each.
fn directories(config: &Config) -> impl Iterator<Item = (&Path, &'static str)> {
    let apart = config.data_log_dir != config.data_dir;
    let log = apart.then_some((config.data_log_dir.as_path(), "dataLogDir"));
    std::iter::once((config.data_dir.as_path(), "dataDir")).chain(log)
}

/// The directory itself or, if it is to be made, the nearest one above it that exists.
fn nearest(dir: &Path) -> &Path {
    let dir = dir.ancestors().find(|dir| dir.symlink_metadata().is_ok());
    // A relative path begins in the current directory.
    dir.filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Can files be made there, and written directly?
fn can_write(dir: &Path, key: &'static str) -> Result<(), ServerError> {
    let own = own_dir(dir);
    let there = nearest(&own);
    let refused = |error: std::io::Error| ServerError::Directory { dir: there.into(), key, error };
    if !there.metadata().map_err(&refused)?.is_dir() {
        return Err(refused(ErrorKind::NotADirectory.into()));
    }
    // One that is there was looked at already, by `dirs::LOOKS`.
    if there != own {
        dirs::may_use(there, key)?;
    }
    // A file without a name, gone when it is closed. Where the file system knows no such thing, only a start can tell.
    let flags = OFlags::TMPFILE | OFlags::DIRECT | OFlags::WRONLY | OFlags::CLOEXEC;
    match rustix::fs::openat(CWD, there, flags, Mode::RUSR | Mode::WUSR) {
        Err(rustix::io::Errno::INVAL) => Err(refused(std::io::Error::other(
            "the file system knows no direct I/O; take one that does (ext4, xfs)",
        ))),
        _ => Ok(()),
    }
}

/// Has the log's file system room for the segments that a start makes?
fn room(config: &Config) -> Result<(), ServerError> {
    let log_dir = dirs::log_dir(config);
    let Ok(free_bytes) = log::free_bytes(nearest(&log_dir)) else { return Ok(()) };
    let segment_bytes = super::plan::segment_bytes(config);
    let names = std::fs::read_dir(&log_dir).into_iter().flatten().flatten();
    let names = names.filter_map(|entry| entry.file_name().into_string().ok());
    let there = names.filter(|name| log::segment::index_of(name).is_some()).count() as u64;
    let wanted = (1 + LogOptions::default().spares as u64).saturating_sub(there) * segment_bytes;
    if there == 0 && free_bytes < segment_bytes {
        return Err(ServerError::NoRoom { dir: log_dir, segment_bytes, free_bytes });
    }
    if free_bytes < wanted.max(segment_bytes) {
        tracing::warn!(
            "{} has {free_bytes} bytes free, and a segment of the log takes {segment_bytes} (preAllocSize): writes will \
             soon be refused for want of room",
            log_dir.display()
        );
    }
    Ok(())
}

/// How many clients there are descriptors for; `None` if there is no limit.
pub(super) fn clients_max(plan: &Plan) -> Result<Option<u64>, ServerError> {
    let Some(limit) = open_file_descriptors_max() else { return Ok(None) };
    match limit.saturating_sub(plan.own_descriptors()) {
        0 => Err(ServerError::Descriptors { limit, needed: plan.own_descriptors() }),
        clients => Ok(Some(clients)),
    }
}

fn descriptors(config: &Config, plan: &Plan) -> Result<(), ServerError> {
    let wanted = u64::from(config.max_cnxns).max(CLIENTS_FEW);
    if let Some(clients) = clients_max(plan)?.filter(|clients| *clients < wanted) {
        tracing::warn!(
            "descriptors are enough for {clients} clients; let more of them be open (ulimit -n)"
        );
    }
    Ok(())
}

/// Starts the threads of a server, each on its CPU with its rings, and ends them again.
pub(super) fn try_threads(plan: &Plan) -> Result<(), ServerError> {
    let metrics = Registry::new();
    let mut threads = Vec::new();
    let mut started = Ok(());
    for thread in &plan.threads {
        let settings = ReactorConfig {
            name: thread.name.clone(),
            cpu: thread.cpu,
            ..ReactorConfig::default()
        };
        let worker = Worker::<RealDir>::new(Arc::new(ReactorStats::default()), metrics.writer());
        match reactor::spawn(settings, move || worker) {
            Ok(handle) => threads.push(handle),
            Err(error) => {
                started = Err(system("a reactor", error));
                break;
            }
        }
    }
    for thread in &threads {
        thread.stop();
    }
    threads.into_iter().try_for_each(|thread| thread.join()).map_err(|e| system("a reactor", e))?;
    started
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_directory_is_one_that_exists() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(nearest(&dir.path().join("a/b/c")), dir.path());
        assert_eq!(nearest(dir.path()), dir.path());
        assert_eq!(nearest(Path::new("no-such-directory/below")), Path::new("."));
    }
}
